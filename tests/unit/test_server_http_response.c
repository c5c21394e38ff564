#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "server/http/response.h"

#define ROOM_BYTES 4096u
#define DATE "Sat, 21 Nov 2026 01:46:56 GMT"

/* ---- a second reader, that shares nothing with the writer ---- */

struct read_back {
    int status;
    size_t fields;
    char names[16][64];
    char values[16][256];
    char body[ROOM_BYTES];
    size_t body_bytes;
    bool by_close;
    const char *rest; /* behind the response */
};

static const char *take_line(const char *at, const char *end, char *line, size_t room) {
    size_t size = 0;
    while (at + size < end && at[size] != '\r' && at[size] != '\n') {
        assert_true((unsigned char)at[size] >= 0x20 || at[size] == '\t');
        size++;
    }
    assert_true(at + size + 2 <= end && at[size] == '\r' && at[size + 1] == '\n');
    assert_true(size < room);
    memcpy(line, at, size);
    line[size] = '\0';
    return at + size + 2;
}

static const char *value_of(const struct read_back *back, const char *name) {
    const char *value = NULL;
    for (size_t i = 0; i < back->fields; i++) {
        if (strcmp(back->names[i], name) == 0) {
            assert_null(value); /* each of ours once */
            value = back->values[i];
        }
    }
    return value;
}

static const char *take_fields(const char *at, const char *end, struct read_back *back) {
    char line[512];
    for (at = take_line(at, end, line, sizeof(line)); line[0] != '\0';
         at = take_line(at, end, line, sizeof(line))) {
        char *colon = strstr(line, ": ");
        assert_non_null(colon);
        assert_true(back->fields < 16 && colon > line && colon - line < 64);
        memcpy(back->names[back->fields], line, (size_t)(colon - line));
        back->names[back->fields][colon - line] = '\0';
        assert_true(strlen(colon + 2) < 256);
        memcpy(back->values[back->fields], colon + 2, strlen(colon + 2) + 1);
        back->fields++;
    }
    return at;
}

static const char *take_bytes(const char *at, const char *end, size_t size,
                              struct read_back *back) {
    assert_true(size <= (size_t)(end - at) && back->body_bytes + size <= sizeof(back->body));
    memcpy(back->body + back->body_bytes, at, size);
    back->body_bytes += size;
    return at + size;
}

static const char *take_chunks(const char *at, const char *end, struct read_back *back) {
    char line[64];
    for (;;) {
        at = take_line(at, end, line, sizeof(line));
        assert_true(strlen(line) > 0 && strspn(line, "0123456789abcdef") == strlen(line));
        size_t size = strtoul(line, NULL, 16);
        at = take_bytes(at, end, size, back);
        at = take_line(at, end, line, sizeof(line));
        assert_string_equal(line, "");
        if (size == 0) {
            return at;
        }
    }
}

/* What a client that asked with `head_only` reads. */
static void read_response(const char *at, const char *end, bool head_only, struct read_back *back) {
    char line[128];
    memset(back, 0, sizeof(*back));
    at = take_line(at, end, line, sizeof(line));
    assert_memory_equal(line, "HTTP/1.1 ", 9);
    assert_true(strspn(line + 9, "0123456789") == 3 && line[12] == ' ');
    back->status = (int)strtol(line + 9, NULL, 10);
    at = take_fields(at, end, back);
    const char *length = value_of(back, "Content-Length");
    const char *coding = value_of(back, "Transfer-Encoding");
    bool bodiless = back->status < 200 || back->status == 204 || back->status == 304;
    assert_true(length == NULL || coding == NULL);
    assert_true(!bodiless || (length == NULL && coding == NULL));
    if (bodiless || head_only) {
        back->rest = at;
        return;
    }
    if (coding != NULL) {
        assert_string_equal(coding, "chunked");
        at = take_chunks(at, end, back);
    } else if (length != NULL) {
        at = take_bytes(at, end, strtoul(length, NULL, 10), back);
    } else {
        back->by_close = true;
        at = take_bytes(at, end, (size_t)(end - at), back);
    }
    back->rest = at;
}

/* ---- the writer ---- */

static struct srv_http_request get_request(void) {
    return (struct srv_http_request){.method = SRV_HTTP_GET, .minor = 1, .keep_alive = true};
}

struct run {
    struct srv_http_response response;
    struct kn_writer writer;
    char room[ROOM_BYTES];
};

static void start(struct run *run, const struct srv_http_request *request) {
    kn_writer_init(&run->writer, run->room, sizeof(run->room));
    srv_http_response_init(&run->response, request, DATE);
}

static void head(struct run *run, int status, uint64_t length) {
    static const struct srv_http_field fields[] = {
        {{"X-A", 3}, {"1 2\t\"\xc3\xa9", 7}},
        {{"x-empty", 7}, {"", 0}},
    };
    assert_int_equal(
        srv_http_response_head(&run->response, &run->writer, status, fields, 2, length), 0);
}

static void body(struct run *run, const char *text) {
    assert_int_equal(srv_http_response_body(&run->response, &run->writer, text, strlen(text)), 0);
}

static void end(struct run *run) {
    assert_int_equal(srv_http_response_end(&run->response, &run->writer), 0);
    assert_int_equal(kn_writer_status(&run->writer), 0);
}

static void read_run(const struct run *run, bool head_only, struct read_back *back) {
    read_response(run->room, run->room + run->writer.size, head_only, back);
    assert_ptr_equal(back->rest, run->room + run->writer.size);
}

static void assert_body(const struct read_back *back, const char *text) {
    assert_int_equal(back->body_bytes, strlen(text));
    assert_memory_equal(back->body, text, strlen(text));
}

static void test_bytes(void **state) {
    (void)state;
    static struct run run;
    struct srv_http_request request = get_request();
    start(&run, &request);
    head(&run, 200, 3);
    body(&run, "ab");
    body(&run, "");
    body(&run, "c");
    end(&run);
    run.room[run.writer.size] = '\0';
    assert_string_equal(run.room, "HTTP/1.1 200 OK\r\nDate: " DATE "\r\nContent-Length: 3\r\n"
                                  "X-A: 1 2\t\"\xc3\xa9\r\nx-empty: \r\n\r\nabc");
    assert_true(srv_http_response_keeps(&run.response));
}

struct shape {
    enum srv_http_method method;
    int minor;
    bool keep_alive;
    int status;
    bool known;
    /* expected */
    const char *length, *coding, *connection;
    bool body, by_close, keeps;
};

static void test_shapes(void **state) {
    (void)state;
    static const struct shape shapes[] = {
        {SRV_HTTP_GET, 1, true, 200, true, "5", NULL, NULL, true, false, true},
        {SRV_HTTP_GET, 1, true, 200, false, NULL, "chunked", NULL, true, false, true},
        {SRV_HTTP_GET, 1, false, 200, false, NULL, "chunked", "close", true, false, false},
        {SRV_HTTP_GET, 1, false, 404, true, "5", NULL, "close", true, false, false},
        {SRV_HTTP_HEAD, 1, true, 200, true, "5", NULL, NULL, false, false, true},
        {SRV_HTTP_HEAD, 1, true, 200, false, NULL, "chunked", NULL, false, false, true},
        {SRV_HTTP_HEAD, 0, true, 200, false, NULL, NULL, "keep-alive", false, false, true},
        {SRV_HTTP_GET, 1, true, 204, true, NULL, NULL, NULL, false, false, true},
        {SRV_HTTP_GET, 1, true, 204, false, NULL, NULL, NULL, false, false, true},
        {SRV_HTTP_GET, 1, true, 304, true, NULL, NULL, NULL, false, false, true},
        {SRV_HTTP_GET, 0, true, 304, false, NULL, NULL, "keep-alive", false, false, true},
        {SRV_HTTP_GET, 0, true, 200, true, "5", NULL, "keep-alive", true, false, true},
        {SRV_HTTP_GET, 0, true, 200, false, NULL, NULL, "close", true, true, false},
        {SRV_HTTP_GET, 0, false, 200, true, "5", NULL, "close", true, false, false},
        {SRV_HTTP_POST, 1, true, 599, true, "5", NULL, NULL, true, false, true},
    };
    static struct run run;
    static struct read_back back;
    for (size_t i = 0; i < KN_COUNT(shapes); i++) {
        const struct shape *shape = &shapes[i];
        const struct srv_http_request request = {
            .method = shape->method, .minor = shape->minor, .keep_alive = shape->keep_alive};
        start(&run, &request);
        head(&run, shape->status, shape->known ? 5 : SRV_HTTP_UNKNOWN_LENGTH);
        body(&run, "abc");
        body(&run, "de");
        end(&run);
        read_run(&run, shape->method == SRV_HTTP_HEAD, &back);
        assert_int_equal(back.status, shape->status);
        assert_string_equal(value_of(&back, "Date"), DATE);
        assert_string_equal(value_of(&back, "X-A"), "1 2\t\"\xc3\xa9");
        const char *got[] = {value_of(&back, "Content-Length"),
                             value_of(&back, "Transfer-Encoding"), value_of(&back, "Connection")};
        const char *expected[] = {shape->length, shape->coding, shape->connection};
        for (size_t j = 0; j < KN_COUNT(got); j++) {
            assert_string_equal(got[j] == NULL ? "-" : got[j],
                                expected[j] == NULL ? "-" : expected[j]);
        }
        assert_body(&back, shape->body ? "abcde" : "");
        assert_int_equal(back.by_close, shape->by_close);
        assert_int_equal(srv_http_response_keeps(&run.response), shape->keeps);
        assert_int_equal(run.response.body_bytes, shape->body ? 5 : 0);
    }
}

/* Chunks of all sizes around a change of digits, by the caller's own writing. */
static void test_frames(void **state) {
    (void)state;
    static const uint64_t sizes[] = {1, 15, 16, 255, 256, 2000};
    static struct run run;
    static struct read_back back;
    static char payload[2000];
    size_t sum = 0;
    struct srv_http_frame frame;
    struct srv_http_request request = get_request();
    memset(payload, 'x', sizeof(payload));
    start(&run, &request);
    assert_int_equal(srv_http_response_frame(&run.response, 1, &frame), -EINVAL);
    head(&run, 200, SRV_HTTP_UNKNOWN_LENGTH);
    for (size_t i = 0; i < KN_COUNT(sizes); i++) {
        assert_int_equal(srv_http_response_frame(&run.response, sizes[i], &frame), 0);
        assert_true(frame.send);
        kn_write_bytes(&run.writer, frame.before, frame.before_bytes);
        kn_write_bytes(&run.writer, payload, (size_t)sizes[i]);
        kn_write_bytes(&run.writer, frame.after, frame.after_bytes);
        sum += (size_t)sizes[i];
    }
    assert_int_equal(srv_http_response_frame(&run.response, 0, &frame), 0);
    assert_false(frame.send);
    end(&run);
    read_run(&run, false, &back);
    assert_int_equal(back.body_bytes, sum);
    /* The longest there is. */
    start(&run, &request);
    head(&run, 200, SRV_HTTP_UNKNOWN_LENGTH);
    assert_int_equal(srv_http_response_frame(&run.response, UINT64_MAX, &frame), 0);
    assert_int_equal(frame.before_bytes, 18);
    assert_memory_equal(frame.before, "ffffffffffffffff\r\n", 18);
}

static void test_wrong_lengths(void **state) {
    (void)state;
    static struct run run;
    struct srv_http_request request = get_request();
    start(&run, &request);
    head(&run, 200, 3);
    size_t before = run.writer.size;
    assert_int_equal(srv_http_response_body(&run.response, &run.writer, "abcd", 4), KN_E_LIMIT);
    assert_int_equal(run.writer.size, before);
    body(&run, "ab");
    assert_int_equal(srv_http_response_end(&run.response, &run.writer), KN_E_TRUNCATED);
    assert_false(srv_http_response_keeps(&run.response));
    assert_int_equal(srv_http_response_end(&run.response, &run.writer), -EINVAL);
    assert_int_equal(srv_http_response_body(&run.response, &run.writer, "c", 1), -EINVAL);
}

static void test_break(void **state) {
    (void)state;
    static struct run run;
    struct srv_http_request request = get_request();
    start(&run, &request);
    head(&run, 200, SRV_HTTP_UNKNOWN_LENGTH);
    body(&run, "ab");
    size_t before = run.writer.size;
    srv_http_response_break(&run.response);
    assert_int_equal(srv_http_response_end(&run.response, &run.writer), -EINVAL);
    assert_int_equal(run.writer.size, before); /* no last chunk */
    assert_false(srv_http_response_keeps(&run.response));
}

static void test_order(void **state) {
    (void)state;
    static struct run run;
    struct srv_http_request request = get_request();
    start(&run, &request);
    assert_false(srv_http_response_keeps(&run.response));
    assert_int_equal(srv_http_response_end(&run.response, &run.writer), -EINVAL);
    assert_int_equal(srv_http_response_body(&run.response, &run.writer, "a", 1), -EINVAL);
    assert_int_equal(run.writer.size, 0);
    head(&run, 200, 0);
    size_t before = run.writer.size;
    assert_int_equal(srv_http_response_head(&run.response, &run.writer, 200, NULL, 0, 0),
                     -EALREADY);
    assert_int_equal(srv_http_response_continue(&run.response, &run.writer), -EALREADY);
    assert_int_equal(run.writer.size, before);
    assert_false(srv_http_response_keeps(&run.response));
    end(&run);
    assert_true(srv_http_response_keeps(&run.response));
    srv_http_response_close(&run.response);
    assert_false(srv_http_response_keeps(&run.response));
}

/* ---- 100 Continue ---- */

static void test_continue(void **state) {
    (void)state;
    static struct run run;
    static struct read_back back;
    struct srv_http_request request = get_request();
    request.expects_continue = true;
    start(&run, &request);
    assert_int_equal(srv_http_response_continue(&run.response, &run.writer), 0);
    assert_int_equal(srv_http_response_continue(&run.response, &run.writer), 0);
    assert_int_equal(run.writer.size, 25);
    assert_memory_equal(run.room, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    head(&run, 200, 0);
    end(&run);
    assert_true(srv_http_response_keeps(&run.response));
    /* Without it nobody knows whether the body will come. */
    start(&run, &request);
    head(&run, 403, 0);
    end(&run);
    read_run(&run, false, &back);
    assert_string_equal(value_of(&back, "Connection"), "close");
    assert_false(srv_http_response_keeps(&run.response));
    /* Not expected: nothing is written. */
    request.expects_continue = false;
    start(&run, &request);
    assert_int_equal(srv_http_response_continue(&run.response, &run.writer), 0);
    assert_int_equal(run.writer.size, 0);
}

/* ---- what must not be written ---- */

static void test_fields_that_are_refused(void **state) {
    (void)state;
    static const struct srv_http_field fields[] = {
        {{"", 0}, {"a", 1}},
        {{"a b", 3}, {"a", 1}},
        {{"a:", 2}, {"a", 1}},
        {{"a\r\nb", 4}, {"a", 1}},
        {{"Location", 8}, {"/\r\nSet-Cookie: x", 16}},
        {{"Location", 8}, {"/\nx", 3}},
        {{"Location", 8}, {"/\rx", 3}},
        {{"Location", 8}, {"/\0x", 3}},
        {{"Location", 8}, {"\x7f", 1}},
        {{"Content-Length", 14}, {"0", 1}},
        {{"CONTENT-length", 14}, {"0", 1}},
        {{"Transfer-Encoding", 17}, {"chunked", 7}},
        {{"Connection", 10}, {"close", 5}},
        {{"Date", 4}, {"now", 3}},
    };
    static const int statuses[] = {-1, 0, 99, 100, 101, 102, 103, 199, 600, 999, 1000};
    static struct run run;
    struct srv_http_request request = get_request();
    start(&run, &request);
    for (size_t i = 0; i < KN_COUNT(fields); i++) {
        const struct srv_http_field two[] = {{{"X-Good", 6}, {"1", 1}}, fields[i]};
        assert_int_equal(srv_http_response_head(&run.response, &run.writer, 200, two, 2, 0),
                         -EINVAL);
    }
    for (size_t i = 0; i < KN_COUNT(statuses); i++) {
        assert_int_equal(
            srv_http_response_head(&run.response, &run.writer, statuses[i], NULL, 0, 0), -EINVAL);
    }
    assert_int_equal(run.writer.size, 0);
    /* Nothing of it has been remembered. */
    head(&run, 200, 0);
    end(&run);
    assert_true(srv_http_response_keeps(&run.response));
}

static void test_no_room(void **state) {
    (void)state;
    struct srv_http_response response;
    struct kn_writer writer;
    char room[64];
    struct srv_http_request request = get_request();
    kn_writer_init(&writer, room, sizeof(room));
    srv_http_response_init(&response, &request, DATE);
    assert_int_equal(srv_http_response_head(&response, &writer, 200, NULL, 0, 0), 0);
    assert_int_equal(kn_writer_status(&writer), KN_E_LIMIT);
}

/* ---- upgrade, faults ---- */

static void test_upgrade(void **state) {
    (void)state;
    static struct run run;
    static const struct srv_http_field field = {{"Upgrade", 7}, {"websocket", 9}};
    struct srv_http_request request = get_request();
    start(&run, &request);
    assert_int_equal(srv_http_response_head(&run.response, &run.writer, 101, &field, 1, 0),
                     -EINVAL);
    request.upgrade = SRV_HTTP_TEXT("websocket");
    start(&run, &request);
    assert_int_equal(srv_http_response_head(&run.response, &run.writer, 101, NULL, 0, 0), -EINVAL);
    assert_int_equal(srv_http_response_head(&run.response, &run.writer, 101, &field, 1, 0), 0);
    run.room[run.writer.size] = '\0';
    assert_string_equal(run.room, "HTTP/1.1 101 Switching Protocols\r\nDate: " DATE "\r\n"
                                  "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_false(srv_http_response_keeps(&run.response));
    assert_int_equal(srv_http_response_body(&run.response, &run.writer, "a", 1), -EINVAL);
}

static void test_fault(void **state) {
    (void)state;
    static struct run run;
    static struct read_back back;
    for (int kind = SRV_HTTP_BAD_REQUEST_LINE; kind <= SRV_HTTP_NO_MEMORY; kind++) {
        struct srv_http_fault fault = srv_http_fault_make((enum srv_http_fault_kind)kind, 0);
        start(&run, NULL);
        assert_int_equal(srv_http_response_fault(&run.response, &run.writer, &fault), 0);
        read_run(&run, false, &back);
        assert_int_equal(back.status, fault.status);
        assert_true(srv_http_status_phrase(fault.status)[0] != '\0');
        assert_string_equal(value_of(&back, "Connection"), "close");
        assert_int_equal(back.body_bytes, strlen(fault.phrase) + 1);
        assert_memory_equal(back.body, fault.phrase, strlen(fault.phrase));
        assert_false(srv_http_response_keeps(&run.response));
    }
    /* In the middle of a response only closing is left. */
    struct srv_http_fault fault = srv_http_fault_make(SRV_HTTP_BAD_CHUNK, 0);
    struct srv_http_request request = get_request();
    start(&run, &request);
    head(&run, 200, SRV_HTTP_UNKNOWN_LENGTH);
    size_t before = run.writer.size;
    assert_int_equal(srv_http_response_fault(&run.response, &run.writer, &fault), -EALREADY);
    assert_int_equal(run.writer.size, before);
    end(&run);
    assert_false(srv_http_response_keeps(&run.response));
}

/* ---- dates ---- */

static void test_dates(void **state) {
    (void)state;
    static const struct {
        int64_t s;
        const char *text;
    } dates[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* RFC 9110's */
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {1795225616, "Sat, 21 Nov 2026 01:46:56 GMT"},
        {4102444799, "Thu, 31 Dec 2099 23:59:59 GMT"},
        {9223372036, "Fri, 11 Apr 2262 23:47:16 GMT"},
    };
    char text[SRV_HTTP_DATE_BYTES];
    for (size_t i = 0; i < KN_COUNT(dates); i++) {
        struct kn_wall wall = {dates[i].s * KN_NS_PER_S};
        assert_string_equal(srv_http_date_format(wall, text), dates[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),    cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_frames),   cmocka_unit_test(test_wrong_lengths),
        cmocka_unit_test(test_break),    cmocka_unit_test(test_order),
        cmocka_unit_test(test_continue), cmocka_unit_test(test_fields_that_are_refused),
        cmocka_unit_test(test_no_room),  cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_fault),    cmocka_unit_test(test_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
