#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/log.h"

#define TS "ts=2026-11-20T21:23:40.123Z level=info msg="
static const struct kn_wall when = {INT64_C(1795209820123456789)};

/* The line of message "m" and one field, without its start and its newline. */
static const char *line_of(struct kn_field field) {
    static char line[KN_LOG_LINE_BYTES + 1];
    size_t bytes = kn_log_format(line, KN_LOG_LINE_BYTES, when, KN_LOG_INFO, "m", &field, 1);
    assert_true(bytes > 0 && line[bytes - 1] == '\n');
    line[bytes - 1] = '\0';
    assert_int_equal(strncmp(line, TS "m ", sizeof(TS "m ") - 1), 0);
    return line + sizeof(TS "m ") - 1;
}

static void a_line_has_its_parts(void **state) {
    (void)state;
    static const char expected[] =
        "ts=2026-11-20T21:23:40.123Z level=warn msg=\"camera refused\" stream=door "
        "source=rtsp://***@10.0.0.7/1 status=401 delta=-7 big=18446744073709551615 "
        "error=\"No such file or directory\" own=Closed none=\"\"\n";
    const struct kn_field fields[] = {
        kn_str("stream", "door"),   kn_url("source", "rtsp://admin:pw@10.0.0.7/1"),
        kn_int("status", 401),      kn_int("delta", -7),
        kn_uint("big", UINT64_MAX), kn_err("error", -ENOENT),
        kn_err("own", KN_E_CLOSED), kn_str("none", NULL),
    };
    char line[KN_LOG_LINE_BYTES];
    size_t bytes = kn_log_format(line, sizeof(line), when, KN_LOG_WARN, "camera refused", fields,
                                 KN_COUNT(fields));
    assert_int_equal(bytes, sizeof(expected) - 1);
    assert_memory_equal(line, expected, bytes);
}

static void values_cannot_forge_a_line(void **state) {
    (void)state;
    static const struct {
        const char *value, *line;
    } cases[] = {
        {"plain-1.2:3/4", "k=plain-1.2:3/4"},
        {"", "k=\"\""},
        {"two words", "k=\"two words\""},
        {"a=b", "k=\"a=b\""},
        {"say \"hi\"", "k=\"say \\\"hi\\\"\""},
        {"back\\slash", "k=\"back\\\\slash\""},
        {"x\nts=1 level=error\r\t", "k=\"x\\nts=1 level=error\\r\\t\""},
        {"\x01\x1b[2J\x7f", "k=\"\\x01\\x1b[2J\\x7f\""},
        {"T\xc3\xbcr \xe2\x82\xac \xf0\x9f\x8e\xa5",
         "k=\"T\xc3\xbcr \xe2\x82\xac \xf0\x9f\x8e\xa5\""},
        {"\xff\xfe", "k=\"\\xff\\xfe\""},
        {"\xc3", "k=\"\\xc3\""},
        {"\xe2\x82", "k=\"\\xe2\\x82\""},
        {"\xe2\x82x", "k=\"\\xe2\\x82x\""},
        {"\x80", "k=\"\\x80\""},
        {"\xc0\xaf", "k=\"\\xc0\\xaf\""},          /* '/' too long */
        {"\xe0\x80\xaf", "k=\"\\xe0\\x80\\xaf\""}, /* and longer */
        {"\xed\xa0\x80", "k=\"\\xed\\xa0\\x80\""}, /* a surrogate */
        {"\xf4\x90\x80\x80", "k=\"\\xf4\\x90\\x80\\x80\""},
        {"\xf8\x88\x80\x80\x80", "k=\"\\xf8\\x88\\x80\\x80\\x80\""},
        {"\xc2\x9b", "k=\"\\xc2\\x9b\""},          /* CSI in one character */
        {"\xe2\x80\xa8", "k=\"\\xe2\\x80\\xa8\""}, /* line separator */
        {"\xe2\x80\xae", "k=\"\\xe2\\x80\\xae\""}, /* right-to-left override */
    };
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        assert_string_equal(line_of(kn_str("k", cases[i].value)), cases[i].line);
    }
    assert_string_equal(line_of(kn_str("a b=\n", "v")), "a_b__=v");
    assert_string_equal(line_of(kn_str("", "v")), "_=v");
    assert_string_equal(line_of(kn_str(NULL, "v")), "_=v");
}

static void every_byte_gives_one_line(void **state) {
    (void)state;
    for (int a = 1; a < 256; a++) {
        for (int b = 1; b < 256; b++) {
            const char value[] = {(char)a, (char)b, '\0'};
            const char *line = line_of(kn_str("k", value));
            for (const char *c = line; *c != '\0'; c++) {
                assert_true((unsigned char)*c >= ' ' && *c != 0x7f);
            }
        }
    }
}

static void keys_that_name_secrets_hide_values(void **state) {
    (void)state;
    static const char *const secret[] = {"password",   "Password",      "db_password",
                                         "passwd",     "client_secret", "SECRET",
                                         "token",      "accessToken",   "token_count",
                                         "key",        "KEY",           "access_key",
                                         "api_key",    "api-key",       "apikey",
                                         "stream_key", "authorization", "Proxy-Authorization",
                                         "credentials"};
    for (size_t i = 0; i < KN_COUNT(secret); i++) {
        char expected[64];
        (void)snprintf(expected, sizeof(expected), "%s=***", secret[i]);
        assert_string_equal(line_of(kn_str(secret[i], "hunter2")), expected);
        assert_string_equal(line_of(kn_int(secret[i], 1234)), expected);
        assert_string_equal(line_of(kn_url(secret[i], "http://h/")), expected);
        assert_string_equal(line_of(kn_str(secret[i], NULL)), expected);
    }
    assert_string_equal(line_of(kn_str("key_frame", "yes")), "key_frame=yes");
    assert_string_equal(line_of(kn_str("keyed", "yes")), "keyed=yes");
    assert_string_equal(line_of(kn_str("monkey", "yes")), "monkey=yes");
}

static void urls_lose_their_secrets(void **state) {
    (void)state;
    static const struct {
        const char *url, *line;
    } cases[] = {
        {"rtsp://10.0.0.7:554/1", "u=rtsp://10.0.0.7:554/1"},
        {"rtsp://user:pass@10.0.0.7:554/1", "u=rtsp://***@10.0.0.7:554/1"},
        {"rtsp://user@host", "u=rtsp://***@host"},
        {"rtsp://@host", "u=rtsp://***@host"},
        {"RTSPS://u:p@[fe80::1]:322/a", "u=RTSPS://***@[fe80::1]:322/a"},
        /* passwords as people write them */
        {"rtsp://me@mail.org:p@ss@host/1", "u=rtsp://***@host/1"},
        {"rtsp://u:p/w@host/1", "u=rtsp://***@host/1"},
        {"rtsp://u@x:p/w@host/1", "u=rtsp://***@host/1"},
        {"rtsp://u:p?w@host/1", "u=rtsp://***"},
        {"rtsp://u:p#w@host/1", "u=rtsp://***"},
        {"rtsp://u:12/3?4@host/1", "u=rtsp://***"},
        {"u:p@host/1", "u=***@host/1"},
        {"//u:p@host/1", "u=***@host/1"},
        {"u:p@rtsp://host/1", "u=***@rtsp://host/1"},
        {"host/1", "u=host/1"},
        {"://u:p@host", "u=***@host"},
        /* queries and fragments */
        {"http://h/a?user=me&token=t", "u=\"http://h/a?user=***&token=***\""},
        {"http://h/a?a=b=c;d=e", "u=\"http://h/a?a=***;d=***\""},
        {"http://h/a?secret", "u=http://h/a?***"},
        {"http://h/a?=secret", "u=\"http://h/a?=***\""},
        {"http://h/a?&&x=", "u=\"http://h/a?&&x=***\""},
        {"http://h/a?", "u=http://h/a?"},
        {"http://h/a?x=1?y=2", "u=\"http://h/a?x=***\""},
        {"http://h/a#token", "u=http://h/a#***"},
        {"http://h/a#", "u=http://h/a#***"},
        {"http://h/a?x=1#y=2?z=3", "u=\"http://h/a?x=***#***\""},
        {"http://u:p@h?x=1&y", "u=\"http://***@h?x=***&***\""},
        {"http://h/a b\n", "u=\"http://h/a b\\n\""},
        {"", "u=\"\""},
        {"@", "u=***@"},
    };
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        assert_string_equal(line_of(kn_url("u", cases[i].url)), cases[i].line);
    }
    assert_string_equal(line_of(kn_url("u", NULL)), "u=\"\"");
}

static void a_secret_far_behind_the_line_stays_hidden(void **state) {
    (void)state;
    char url[3 * KN_LOG_LINE_BYTES];
    memset(url, 's', sizeof(url));
    memcpy(url, "rtsp://", 7);
    memcpy(url + sizeof(url) - 7, "@host/", 7);
    assert_string_equal(line_of(kn_url("u", url)), "u=rtsp://***@host/");
}

static const char cut_end[] = " truncated=true\n";

static bool ends_cut(const char *line, size_t bytes) {
    size_t end = sizeof(cut_end) - 1;
    return bytes >= end && memcmp(line + bytes - end, cut_end, end) == 0;
}

/* Whether quotes and escapes of the line are whole. */
static bool is_balanced(const char *line, size_t bytes) {
    bool quoted = false;
    for (size_t i = 0; i < bytes; i++) {
        if (quoted && line[i] == '\\') {
            i += line[i + 1] == 'x' ? 3 : 1;
        } else if (line[i] == '"') {
            quoted = !quoted;
        }
    }
    return !quoted;
}

static void a_line_is_cut_at_every_length(void **state) {
    (void)state;
    const struct kn_field fields[] = {
        kn_str("stream", "front door"), kn_str("odd", "\x01\x02\xc3\xbc\"\\\n\xff"),
        kn_url("u", "http://u:p@h/?a=b"), kn_int("status", 401), kn_str("token", "x")};
    char whole[KN_LOG_LINE_BYTES];
    size_t full = kn_log_format(whole, sizeof(whole), when, KN_LOG_INFO, "a message", fields,
                                KN_COUNT(fields));
    assert_false(ends_cut(whole, full));
    for (size_t room = 0; room < full; room++) {
        char *line = malloc(room + 1); /* of this size, so that a sanitizer sees one byte more */
        assert_non_null(line);
        size_t bytes =
            kn_log_format(line, room, when, KN_LOG_INFO, "a message", fields, KN_COUNT(fields));
        assert_true(bytes <= room);
        assert_true(bytes == 0 ? room < sizeof(cut_end) - 1 : ends_cut(line, bytes));
        assert_true(is_balanced(line, bytes));
        free(line);
    }
    char again[KN_LOG_LINE_BYTES];
    assert_int_equal(
        kn_log_format(again, full, when, KN_LOG_INFO, "a message", fields, KN_COUNT(fields)), full);
    assert_memory_equal(again, whole, full);
}

static void long_lines_say_that_they_are_cut(void **state) {
    (void)state;
    static char value[100000], line[100000];
    static const char fills[] = {'v', ' ', '\n'};
    for (size_t i = 0; i < KN_COUNT(fills); i++) {
        memset(value, fills[i], sizeof(value) - 1);
        const struct kn_field fields[] = {kn_str("k", value), kn_str("after", "never")};
        size_t bytes = kn_log_format(line, sizeof(line), when, KN_LOG_INFO, "m", fields, 2);
        assert_in_range(bytes, KN_LOG_LINE_BYTES - 4, KN_LOG_LINE_BYTES);
        assert_true(ends_cut(line, bytes));
        assert_true(is_balanced(line, bytes));
        bytes = kn_log_format(line, sizeof(line), when, KN_LOG_INFO, value, fields, 2);
        assert_true(bytes <= KN_LOG_LINE_BYTES && ends_cut(line, bytes));
        const struct kn_field url = kn_url("k", value);
        bytes = kn_log_format(line, sizeof(line), when, KN_LOG_INFO, "m", &url, 1);
        assert_true(bytes <= KN_LOG_LINE_BYTES && ends_cut(line, bytes));
    }
}

struct seen {
    char line[KN_LOG_LINE_BYTES];
    size_t bytes;
    unsigned lines;
};

static void remember(const char *line, size_t bytes, void *user) {
    struct seen *seen = user;
    memcpy(seen->line, line, bytes);
    seen->bytes = bytes;
    seen->lines++;
}

static void levels_below_the_least_are_not_made(void **state) {
    (void)state;
    struct seen seen = {.lines = 0};
    kn_log_set_sink(remember, &seen);
    errno = EXDEV;
    kn_log_debug("hidden", kn_int("n", 1));
    assert_int_equal(seen.lines, 0);
    kn_log_info("shown", kn_int("n", 1));
    assert_int_equal(seen.lines, 1);
    kn_log_set_level(KN_LOG_ERROR);
    kn_log_warn("hidden", kn_int("n", 1));
    assert_int_equal(seen.lines, 1);
    kn_log_error("shown", kn_int("n", 1), kn_str("s", "two words"));
    assert_int_equal(seen.lines, 2);
    kn_log_set_level(KN_LOG_DEBUG);
    kn_log_debug("shown", kn_int("n", 1));
    assert_int_equal(seen.lines, 3);
    assert_int_equal(errno, EXDEV);
    kn_log_set_level(KN_LOG_INFO);
    kn_log_set_sink(NULL, NULL);
    static const char end[] = "Z level=debug msg=shown n=1\n";
    assert_true(seen.bytes > sizeof(end));
    assert_memory_equal(seen.line + seen.bytes - (sizeof(end) - 1), end, sizeof(end) - 1);
}

static void without_a_sink_lines_go_to_standard_error(void **state) {
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0);
    assert_int_equal(dup2(pipes[1], STDERR_FILENO), STDERR_FILENO);
    kn_log_info("hello", kn_int("n", 1));
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(close(saved) + close(pipes[1]), 0);
    char line[KN_LOG_LINE_BYTES];
    ssize_t bytes = read(pipes[0], line, sizeof(line));
    assert_true(bytes > 0 && line[bytes - 1] == '\n');
    assert_int_equal(read(pipes[0], line + bytes, sizeof(line) - (size_t)bytes), 0);
    assert_int_equal(close(pipes[0]), 0);
    line[bytes - 1] = '\0';
    assert_non_null(strstr(line, " level=info msg=hello n=1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_its_parts),
        cmocka_unit_test(values_cannot_forge_a_line),
        cmocka_unit_test(every_byte_gives_one_line),
        cmocka_unit_test(keys_that_name_secrets_hide_values),
        cmocka_unit_test(urls_lose_their_secrets),
        cmocka_unit_test(a_secret_far_behind_the_line_stays_hidden),
        cmocka_unit_test(a_line_is_cut_at_every_length),
        cmocka_unit_test(long_lines_say_that_they_are_cut),
        cmocka_unit_test(levels_below_the_least_are_not_made),
        cmocka_unit_test(without_a_sink_lines_go_to_standard_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
