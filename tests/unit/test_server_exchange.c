#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/log.h"
#include "tests/support/exchange_world.h"
#include "tests/support/fail_alloc.h"

#define HOST "Host: a\r\n"

static struct exchange_world world;

static int set_up(void **state) {
    (void)state;
    return exchange_world_init(&world, 16);
}

static int tear_down(void **state) {
    (void)state;
    exchange_world_finish(&world);
    return 0;
}

static void say(const char *text) {
    exchange_world_say(&world, text, strlen(text), 0);
}

static void assert_sent(const char *text) {
    if (strstr(world.fake.sent, text) == NULL) {
        fail_msg("\"%s\" is not in \"%.600s\"", text, world.fake.sent);
    }
}

static void assert_not_sent(const char *text) {
    if (strstr(world.fake.sent, text) != NULL) {
        fail_msg("\"%s\" is in \"%.600s\"", text, world.fake.sent);
    }
}

static size_t count_answers(void) {
    size_t count = 0;
    for (const char *at = world.fake.sent; (at = strstr(at, "HTTP/1.1 ")) != NULL; at++) {
        count += strncmp(at, "HTTP/1.1 100", 12) != 0;
    }
    return count;
}

static struct srv_http_conn *conn(void) {
    return world.fake.owner;
}

/* ---- answers ---- */

static void a_request_is_answered_and_the_connection_stays(void **state) {
    (void)state;
    say("GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_sent("HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 01:46:56 GMT\r\n");
    assert_sent("Content-Length: 5\r\n");
    assert_sent("Content-Type: text/plain\r\n");
    assert_sent("X-Request-Id: 00000000000000000000000000000001\r\n");
    assert_sent("X-Content-Type-Options: nosniff\r\n");
    assert_sent("Cache-Control: no-store\r\n\r\nhello");
    say("GET /items/a%20b HTTP/1.1\r\n" HOST "\r\n");
    assert_sent("{\"id\":\"a b\"}");
    assert_int_equal(count_answers(), 2);
    assert_non_null(world.fake.owner);
    assert_true(world.fake.receiving);
}

static void head_and_options(void **state) {
    (void)state;
    say("HEAD /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_sent("Content-Length: 5\r\n");
    assert_not_sent("hello");
    say("OPTIONS /items/3 HTTP/1.1\r\n" HOST "\r\n");
    assert_sent("204 No Content\r\n");
    assert_sent("Allow: GET, HEAD, DELETE, OPTIONS\r\n");
    fake_conn_clear(&world.fake);
    say("OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
    assert_sent("Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n");
    assert_int_equal(world.handled, 1);
}

static void what_is_not_there(void **state) {
    (void)state;
    static const struct {
        const char *request, *answer;
    } cases[] = {
        {"GET /nothing HTTP/1.1\r\n" HOST "\r\n", "404 Not Found"},
        {"GET /hello/ HTTP/1.1\r\n" HOST "\r\n", "404 Not Found"},
        {"GET //hello HTTP/1.1\r\n" HOST "\r\n", "404 Not Found"},
        {"GET /items/ HTTP/1.1\r\n" HOST "\r\n", "404 Not Found"},
        {"GET /items/a%2Fb HTTP/1.1\r\n" HOST "\r\n", "400 Bad Request"},
        {"PUT /hello HTTP/1.1\r\n" HOST "\r\n", "405 Method Not Allowed"},
        {"GET /silent HTTP/1.1\r\n" HOST "\r\n", "500 Internal Server Error"},
        {"POST /json HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", "415 Unsupported"},
        {"POST /json HTTP/1.1\r\n" HOST
         "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n[]",
         "400 Bad Request"},
        {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 100001\r\n\r\n", "413 Content Too Large"},
        {"GET / HTTP/3.0\r\n" HOST "\r\n", "505 HTTP Version"},
        {"BREW / HTTP/1.1\r\n" HOST "\r\n", "501 Not Implemented"},
        {"GET / HTTP/1.1\r\n\r\n", "400 Bad Request"},
    };
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        assert_true(exchange_world_connect(&world));
        say(cases[i].request);
        assert_sent(cases[i].answer);
        assert_sent("Content-Type: application/json\r\n");
        assert_sent("{\"error\":\"");
        assert_int_equal(count_answers(), 1);
    }
}

static void json_bodies(void **state) {
    (void)state;
    say("POST /json HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    assert_sent("201 Created");
    assert_sent("\r\n\r\n{}");
    say("POST /json HTTP/1.1\r\n" HOST "Content-Type: Application/JSON ; charset=utf-8\r\n"
        "Content-Length: 7\r\n\r\n{\"a\":1}");
    assert_sent("\r\n\r\n{\"a\":1}");
}

static void the_door_is_asked_before_the_body(void **state) {
    (void)state;
    say("POST /echo HTTP/1.1\r\n" HOST "X-Door: no\r\nContent-Length: 5\r\n\r\n");
    assert_sent("403 Forbidden");
    assert_sent("{\"error\":\"AccessDeniedException\",\"message\":\"not you\"}");
    say("HELLO"); /* small, so it is dropped and the connection stays */
    say("GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_sent("\r\n\r\nhello");
    say("POST /echo HTTP/1.1\r\n" HOST "X-Door: unknown\r\nContent-Length: 90000\r\n\r\n");
    assert_sent("WWW-Authenticate: Bearer\r\n");
    assert_sent("Connection: close\r\n");
    assert_null(world.fake.owner);
    assert_true(exchange_world_connect(&world));
    say("GET /hello HTTP/1.1\r\n" HOST "X-Door: busy\r\n\r\n");
    assert_sent("Retry-After: 60\r\n");
    assert_int_equal(world.handled, 1);
    assert_int_equal(atomic_load(&world.lane->counts.denied[0]), 1);
    assert_int_equal(atomic_load(&world.lane->counts.denied[1]), 1);
    assert_int_equal(atomic_load(&world.lane->counts.denied[2]), 1);
}

static void the_door_may_want_the_body_or_a_worker(void **state) {
    (void)state;
    say("POST /echo HTTP/1.1\r\n" HOST "X-Door: hash\r\nContent-Length: 5\r\n\r\nabcde");
    assert_sent("\r\n\r\nabcde");
    assert_sent("X-Echo: yes\r\n");
    assert_not_sent("X-Echo: no");
    assert_int_equal(world.doors, 2);
    say("POST /echo HTTP/1.1\r\n" HOST "X-Door: slow\r\nContent-Length: 5\r\n\r\nfghij");
    assert_sent("\r\n\r\nfghij");
    assert_int_equal(world.doors, 4);
}

static void the_door_is_asked_again_after_a_slow_body(void **state) {
    (void)state;
    say("POST /echo HTTP/1.1\r\n" HOST "X-Door: once\r\nContent-Length: 5\r\n\r\nabc");
    exchange_world_wait(&world, 2);
    say("de");
    assert_sent("401 Unauthorized");
    assert_int_equal(world.handled, 0);
    assert_int_equal(world.doors, 2);
    say("DELETE /items/7 HTTP/1.1\r\n" HOST "X-Door: slow\r\nContent-Length: 5\r\n\r\nabc");
    exchange_world_wait(&world, 2);
    say("de");
    assert_sent("204 No Content");
    assert_int_equal(world.handled, 1);
    assert_int_equal(world.doors, 6);
}

static void go_on_is_said_when_the_body_is_wanted(void **state) {
    (void)state;
    say("POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_string_equal(world.fake.sent, "HTTP/1.1 100 Continue\r\n\r\n");
    say("abc");
    assert_sent("\r\n\r\nabc");
    fake_conn_clear(&world.fake);
    say("POST /echo HTTP/1.1\r\n" HOST
        "X-Door: no\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_not_sent("100 Continue");
    assert_sent("Connection: close\r\n");
    assert_null(world.fake.owner);
    assert_true(exchange_world_connect(&world));
    say("GET /hello HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_not_sent("100 Continue");
    assert_sent("hello");
    assert_null(world.fake.owner);
}

static void the_worker_queue_has_an_end(void **state) {
    (void)state;
    exchange_world_finish(&world);
    assert_int_equal(exchange_world_init(&world, 0), 0);
    say("GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_sent("503 Service Unavailable");
    assert_sent("Retry-After: 1\r\n");
    assert_int_equal(atomic_load(&world.lane->counts.busy), 1);
    assert_non_null(world.fake.owner);
}

static void a_file_and_a_buffer_go_as_there_is_room(void **state) {
    (void)state;
    world.file = memfd_create("file", 0);
    assert_int_equal(ftruncate(world.file, FILE_PROMISED), 0);
    world.fake.window = 1000;
    say("GET /file HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(world.fake.sent_bytes, 1000);
    while (conn()->exchange != NULL) {
        world.fake.window = 7777;
        exchange_world_turn(&world);
    }
    size_t head = (size_t)(strstr(world.fake.sent, "\r\n\r\n") - world.fake.sent) + 4;
    assert_int_equal(world.fake.sent_bytes, head + FILE_PROMISED);
    fake_conn_clear(&world.fake);
    world.fake.window = 0;
    say("GET /big HTTP/1.1\r\n" HOST "\r\n");
    while (conn()->exchange != NULL) {
        world.fake.window = 700001;
        exchange_world_turn(&world);
    }
    head = (size_t)(strstr(world.fake.sent, "\r\n\r\n") - world.fake.sent) + 4;
    assert_int_equal(world.fake.sent_bytes, head + BIG_BYTES);
}

static void a_file_that_is_shorter_breaks_off(void **state) {
    (void)state;
    world.file = memfd_create("file", 0);
    assert_int_equal(ftruncate(world.file, FILE_PROMISED - 1), 0);
    say("GET /file HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_null(world.fake.owner);
    assert_true(world.fake.aborted);
    assert_int_equal(count_answers(), 1);
}

static void bodies_have_their_limits(void **state) {
    static char chunk[70000];
    (void)state;
    memset(chunk, 'x', sizeof(chunk));
    say("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n186a1\r\n");
    assert_sent("413 Content Too Large");
    assert_null(world.fake.owner);

    /* A refused body without a length is dropped up to 64 KiB. */
    assert_true(exchange_world_connect(&world));
    say("POST /echo HTTP/1.1\r\n" HOST "X-Door: no\r\nTransfer-Encoding: chunked\r\n\r\n"
        "11170\r\n");
    assert_sent("403 Forbidden");
    assert_non_null(world.fake.owner);
    exchange_world_say(&world, chunk, sizeof(chunk), 10000);
    assert_null(world.fake.owner);
    assert_true(world.fake.finished);

    /* All bodies together have a budget, of 1 MiB here. */
    assert_true(exchange_world_connect(&world));
    assert_int_equal(kn_budget_claim(world.engine.bodies, (1 << 20) - 3), 0);
    say("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nabcd");
    assert_sent("503 Service Unavailable");
    kn_budget_release(world.engine.bodies, (1 << 20) - 3);
    say("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nabcd");
    assert_sent("\r\n\r\nabcd");
}

static void addresses_to_hand_out(void **state) {
    const struct srv_peer plain = {.port = 5466}, tls = {.port = 443, .tls = true};
    const struct srv_peer local = {.local = true};
    const struct srv_http_text none = {"", 0}, host = {"camera:5466", 11};
    char url[64];
    (void)state;
    srv_base_url_make("https://cams.example/kinora//", host, &plain, url, sizeof(url));
    assert_string_equal(url, "https://cams.example/kinora");
    srv_base_url_make(NULL, host, &plain, url, sizeof(url));
    assert_string_equal(url, "http://camera:5466");
    srv_base_url_make("", host, &tls, url, sizeof(url));
    assert_string_equal(url, "https://camera:5466");
    srv_base_url_make(NULL, none, &plain, url, sizeof(url));
    assert_string_equal(url, "http://localhost:5466");
    srv_base_url_make(NULL, none, &local, url, sizeof(url));
    assert_string_equal(url, "http://localhost");
}

/* ---- cuts ---- */

static const char requests[] =
    "GET /hello HTTP/1.1\r\n" HOST "\r\n"
    "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nX-Trailer: 1\r\n\r\n"
    "GET /items/7?x=1 HTTP/1.1\r\n" HOST "\r\n"
    "POST /count/door HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
    "a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n"
    "DELETE /items/7 HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbody"
    "POST /json HTTP/1.1\r\n" HOST "X-Door: hash\r\nContent-Type: application/json\r\n"
    "Content-Length: 8\r\n\r\n{\"b\": 2}"
    "POST /echo HTTP/1.1\r\n" HOST "X-Door: no\r\nContent-Length: 4\r\n\r\nGET "
    "GET /nothing HTTP/1.1\r\n" HOST "\r\n"
    "GET /hello HTTP/1.1\r\n" HOST "X-Door: slow\r\nConnection: close\r\n\r\n"
    "GET /hello HTTP/1.1\r\n" HOST "\r\n";

/* What is held back while the connection does not receive is pushed later. */
static void push_all(size_t cut, size_t step) {
    size_t size = sizeof(requests) - 1;
    for (size_t at = 0; at < size && world.fake.owner != NULL;) {
        size_t piece = at < cut ? cut - at : step;
        piece = piece < size - at ? piece : size - at;
        assert_true(fake_conn_push(&world.fake, requests + at, piece));
        exchange_world_turn(&world);
        at += piece;
    }
}

static void every_cut_gives_the_same_answers(void **state) {
    (void)state;
    push_all(0, sizeof(requests));
    char *whole = strdup(world.fake.sent);
    assert_int_equal(count_answers(), 9);
    assert_sent("\r\n\r\nabcdefgh");
    assert_sent("11 whole");
    assert_sent("{\"b\":2}");
    for (size_t cut = 0; cut < sizeof(requests); cut++) {
        assert_true(exchange_world_connect(&world));
        push_all(cut, cut == 0 ? 1 : sizeof(requests));
        assert_string_equal(world.fake.sent, whole);
        assert_null(world.fake.owner);
    }
    free(whole);
}

static void a_connection_may_go_at_every_byte(void **state) {
    (void)state;
    for (size_t cut = 0; cut < sizeof(requests); cut++) {
        assert_true(exchange_world_connect(&world));
        /* Nothing is done by workers before the connection goes. */
        (void)fake_conn_push(&world.fake, requests, cut);
        world.closed = 0;
        bool flows = world.flow != NULL;
        fake_conn_cut(&world.fake);
        assert_int_equal(world.closed, flows);
        exchange_world_turn(&world);
        assert_int_equal(atomic_load(&world.lane->counts.requests_open), 0);
        assert_true(exchange_world_connect(&world));
        exchange_world_say(&world, requests, cut, 0);
        fake_conn_end(&world.fake);
        exchange_world_turn(&world);
        assert_null(world.fake.owner);
        assert_int_equal(atomic_load(&world.lane->counts.requests_open), 0);
    }
}

/* Behind what is wrong nothing is believed. */
static void nothing_behind_a_bad_request_is_answered(void **state) {
    (void)state;
    static const char *const bad[] = {
        "POST /echo HTTP/1.1\r\n" HOST
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "GET /hello HTTP/1.1\r\n" HOST " folded\r\n\r\n",
        "GET /hello HTTP/1.1\r\n" HOST "Host: b\r\n\r\n",
        "GET /hello HTTP/1.1\n" HOST "\r\n",
        "POST /count/s HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\nabc0\r\n\r\n",
    };
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        assert_true(exchange_world_connect(&world));
        world.handled = 0;
        char text[512];
        (void)snprintf(text, sizeof(text), "%sGET /items/smuggled HTTP/1.1\r\n" HOST "\r\n",
                       bad[i]);
        say(text);
        assert_int_equal(count_answers(), 1);
        assert_not_sent("smuggled");
        assert_sent("Connection: close\r\n");
        assert_null(world.fake.owner);
    }
}

static void held_back_input_is_bounded(void **state) {
    (void)state;
    static char junk[64 * 1024];
    memset(junk, 'x', sizeof(junk));
    const char *get = "GET /hello HTTP/1.1\r\n" HOST "\r\n";
    assert_true(fake_conn_push(&world.fake, get, strlen(get))); /* a worker has it */
    assert_true(fake_conn_push(&world.fake, junk, sizeof(junk)));
    assert_false(world.fake.receiving);
    assert_int_equal(conn()->held_bytes, sizeof(junk));
    exchange_world_turn(&world);
    assert_sent("hello");
    assert_sent("414 URI Too Long");
}

/* ---- flows ---- */

static void a_flow_goes_both_ways_at_once(void **state) {
    (void)state;
    say("POST /copy/door HTTP/1.1\r\n" HOST
        "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_sent("100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
    say("3\r\nabc\r\n");
    assert_sent("\r\n3\r\nabc\r\n");
    say("2\r\nde\r\n");
    assert_sent("\r\n2\r\nde\r\n");
    assert_int_equal(atomic_load(&world.lane->counts.flows_open), 1);
    say("0\r\n\r\n");
    assert_sent("\r\n0\r\n\r\n");
    assert_int_equal(world.closed, 1);
    assert_true(world.was_whole);
    say("GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_sent("\r\n\r\nhello");
    assert_int_equal(atomic_load(&world.lane->counts.flows_open), 0);
}

static void a_flow_holds_its_sender_back(void **state) {
    (void)state;
    world.take_most = 4;
    say("POST /copy/door HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
        "a\r\n0123456789\r\n0\r\n\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(world.counted, 4);
    assert_false(world.fake.receiving);
    exchange_world_wait(&world, 100); /* our own pause is nobody's fault */
    assert_non_null(world.flow);
    srv_exchange_read_on(world.flow);
    exchange_world_turn(&world);
    assert_int_equal(world.counted, 8);
    assert_int_equal(world.body_ends, 0);
    world.take_most = SIZE_MAX;
    srv_exchange_read_on(world.flow);
    exchange_world_turn(&world);
    assert_int_equal(world.counted, 10);
    assert_int_equal(world.closed, 1);
    assert_sent("\r\n\r\nhello");
    assert_true(world.fake.receiving);
}

static void a_reader_holds_its_flow_back(void **state) {
    (void)state;
    static char data[100000];
    memset(data, 'd', sizeof(data));
    say("GET /live HTTP/1.1\r\n" HOST "\r\n");
    assert_non_null(world.flow);
    world.fake.window = 50000;
    size_t sent = 0;
    int rc;
    while ((rc = srv_exchange_send(world.flow, data, sizeof(data))) == 0) {
        sent++;
    }
    assert_int_equal(rc, KN_E_LIMIT);
    assert_true(srv_exchange_queued(world.flow) >= SRV_EXCHANGE_QUEUE);
    assert_true(srv_exchange_queued(world.flow) < SRV_EXCHANGE_QUEUE + 2 * sizeof(data));
    assert_int_equal(world.rooms, 0);
    for (size_t i = 0; i < 30; i++) {
        world.fake.window = 50000;
        exchange_world_turn(&world);
        assert_int_equal(world.rooms,
                         srv_exchange_queued(world.flow) < SRV_EXCHANGE_QUEUE / 2 ? 1 : 0);
    }
    world.fake.window = SIZE_MAX;
    srv_exchange_end(world.flow);
    exchange_world_turn(&world);
    assert_int_equal(world.closed, 1);
    assert_int_equal(world.rooms, 1);
    assert_true(world.fake.sent_bytes > sent * sizeof(data));
}

static void a_flow_is_woken_and_ends_with_its_peer(void **state) {
    (void)state;
    say("GET /live HTTP/1.1\r\n" HOST "\r\n");
    struct srv_exchange *flow = srv_exchange_ref(world.flow);
    srv_exchange_wake(flow);
    srv_exchange_wake(flow);
    exchange_world_turn(&world);
    assert_int_equal(world.wakes, 1);
    srv_exchange_wake(flow);
    fake_conn_cut(&world.fake);
    assert_int_equal(world.closed, 1);
    exchange_world_turn(&world);
    srv_exchange_wake(flow);
    exchange_world_turn(&world);
    assert_int_equal(world.wakes, 1);
    assert_int_equal(srv_exchange_send(flow, "x", 1), KN_E_CLOSED);
    srv_exchange_end(flow);
    srv_exchange_unref(flow);
}

static void a_flow_is_told_the_seconds(void **state) {
    (void)state;
    say("GET /live HTTP/1.1\r\n" HOST "\r\n");
    exchange_world_wait(&world, 3);
    assert_int_equal(world.ticks, 3);
    srv_exchange_end(world.flow);
    exchange_world_wait(&world, 3);
    assert_int_equal(world.ticks, 3);
    assert_int_equal(world.closed, 1);
}

static void a_connection_ends_with_an_answer_that_says_so(void **state) {
    (void)state;
    say("POST /copy/door HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    srv_exchange_close_behind(world.flow);
    srv_exchange_end(world.flow);
    exchange_world_turn(&world);
    assert_int_equal(world.closed, 1); /* though more of the body was to come */
    assert_true(world.fake.finished);
}

static unsigned works;

static void do_nothing(struct srv_job *job, struct srv_worker *worker) {
    (void)job;
    (void)worker;
}

static void work_once(struct srv_exchange *exchange, void *user) {
    (void)user;
    assert_ptr_equal(srv_exchange_world(exchange), &world);
    works++;
}

static void a_flow_has_a_worker_do_what_blocks(void **state) {
    (void)state;
    works = 0;
    say("GET /live HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(srv_exchange_work(world.flow, work_once), 0);
    assert_true(srv_exchange_works(world.flow));
    assert_int_equal(works, 0);
    assert_int_equal(world.wakes, 0);
    exchange_world_turn(&world);
    assert_int_equal(works, 1);
    assert_int_equal(world.wakes, 1);
    assert_false(srv_exchange_works(world.flow));
    assert_int_equal(srv_exchange_work(world.flow, work_once), 0);
    fake_conn_cut(&world.fake);
    assert_int_equal(world.closed, 0); /* what the work looks at must stay */
    exchange_world_turn(&world);
    assert_int_equal(works, 2);
    assert_int_equal(world.wakes, 1);
    assert_int_equal(world.closed, 1);
}

static void work_of_a_flow_may_be_broken_off(void **state) {
    (void)state;
    works = 0;
    say("GET /live HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(srv_exchange_work(world.flow, work_once), 0);
    struct srv_exchange *flow = srv_exchange_ref(world.flow);
    srv_exchange_break(flow);
    exchange_world_turn(&world);
    assert_int_equal(works, 1);
    assert_int_equal(world.wakes, 0);
    assert_int_equal(world.closed, 1);
    assert_int_equal(srv_exchange_work(flow, work_once), KN_E_CLOSED);
    srv_exchange_unref(flow);
}

static void a_full_queue_refuses_work_of_a_flow(void **state) {
    (void)state;
    struct srv_job jobs[16];
    works = 0;
    say("GET /live HTTP/1.1\r\n" HOST "\r\n");
    for (size_t i = 0; i < KN_COUNT(jobs); i++) {
        jobs[i] = (struct srv_job){.run = do_nothing};
        assert_int_equal(srv_workers_give(world.engine.workers, &jobs[i]), 0);
    }
    assert_int_equal(srv_exchange_work(world.flow, work_once), -EAGAIN);
    assert_false(srv_exchange_works(world.flow));
    exchange_world_turn(&world);
    assert_int_equal(works, 0);
    assert_int_equal(world.wakes, 0);
}

static void a_broken_flow_is_seen(void **state) {
    (void)state;
    say("POST /copy/door HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX");
    assert_false(world.was_whole);
    assert_int_equal(world.body_ends, 1);
    assert_int_equal(world.closed, 1);
    assert_true(world.fake.aborted);
    assert_not_sent("0\r\n\r\n");
}

/* ---- time ---- */

static void slow_peers_are_given_up(void **state) {
    (void)state;
    exchange_world_wait(&world, 60);
    assert_non_null(world.fake.owner);
    exchange_world_wait(&world, 1);
    assert_null(world.fake.owner);
    assert_int_equal(world.fake.sent_bytes, 0);

    assert_true(exchange_world_connect(&world));
    say("GET /hel");
    exchange_world_wait(&world, 6); /* 8 bytes are less than 240 for each second behind the 5th */
    assert_sent("408 Request Timeout");
    assert_null(world.fake.owner);

    assert_true(exchange_world_connect(&world));
    say("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 50000\r\n\r\n");
    for (int i = 0; i < 12 && world.fake.owner != NULL; i++) {
        say("0123456789");
        exchange_world_wait(&world, 1);
    }
    assert_sent("408 Request Timeout");
    assert_null(world.fake.owner);

    assert_true(exchange_world_connect(&world));
    world.fake.window = 100;
    say("GET /big HTTP/1.1\r\n" HOST "\r\n");
    exchange_world_wait(&world, 30);
    assert_non_null(world.fake.owner);
    exchange_world_wait(&world, 2);
    assert_null(world.fake.owner);
    assert_true(world.fake.aborted);

    assert_true(exchange_world_connect(&world));
    say("GET /live HTTP/1.1\r\n" HOST "\r\n");
    srv_exchange_idle_limit(world.flow, 5 * KN_NS_PER_S);
    exchange_world_wait(&world, 5);
    assert_int_equal(srv_exchange_send(world.flow, "x", 1), 0);
    exchange_world_wait(&world, 5);
    assert_non_null(world.flow);
    exchange_world_wait(&world, 1);
    assert_null(world.flow);
    assert_null(world.fake.owner);
}

static void an_idle_connection_keeps_no_memory(void **state) {
    (void)state;
    say("GET /hello HTTP/1.1\r\n" HOST "\r\n");
    exchange_world_wait(&world, 2);
    assert_null(conn()->held);
    assert_null(conn()->exchange);
    assert_true(sizeof(struct srv_http_conn) <= 512);
    say("GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(count_answers(), 2);
}

/* ---- draining ---- */

static unsigned drained;

static void tell_drained(struct srv_lane *lane, void *user) {
    (void)lane;
    (void)user;
    drained++;
}

static void draining_waits_for_what_goes_on(void **state) {
    (void)state;
    drained = 0;
    const char *get = "GET /hello HTTP/1.1\r\n" HOST "\r\n";
    assert_true(fake_conn_push(&world.fake, get, strlen(get)));
    srv_lane_drain(world.lane, tell_drained, NULL);
    assert_int_equal(drained, 0);
    exchange_world_turn(&world);
    assert_sent("Connection: close\r\n");
    assert_sent("hello");
    assert_int_equal(drained, 1);
    assert_false(exchange_world_connect(&world));
}

static void draining_ends_idle_connections(void **state) {
    (void)state;
    drained = 0;
    srv_lane_drain(world.lane, tell_drained, NULL);
    assert_int_equal(drained, 1);
    assert_true(world.fake.finished);
}

static void draining_tells_flows_and_breaks_off_at_last(void **state) {
    (void)state;
    drained = 0;
    say("GET /live HTTP/1.1\r\n" HOST "\r\n");
    world.drains_by_itself = true; /* it does not come to an end */
    srv_lane_drain(world.lane, tell_drained, NULL);
    assert_int_equal(world.drains, 1);
    exchange_world_wait(&world, 9);
    assert_int_equal(drained, 0);
    assert_int_equal(world.drains, 1);
    exchange_world_wait(&world, 1);
    assert_int_equal(drained, 1);
    assert_int_equal(world.closed, 1);
    assert_true(world.fake.aborted);
}

/* ---- out of memory ---- */

static void memory_may_fail_at_each_allocation(void **state) {
    (void)state;
    static const char request[] =
        "POST /json HTTP/1.1\r\n" HOST "X-Door: hash\r\nContent-Type: application/json\r\n"
        "Content-Length: 8\r\n\r\n{\"b\": 2}";
    unsigned long allocations = 1;
    size_t answered = 0;
    for (unsigned long n = 1; n <= allocations; n++) {
        assert_true(exchange_world_connect(&world));
        fail_alloc_at(n);
        exchange_world_say(&world, request, sizeof(request) - 1, 9);
        fail_alloc_stop();
        allocations = fail_alloc_count() + 1;
        if (world.fake.owner != NULL || !world.fake.aborted) {
            assert_int_equal(count_answers(), 1);
            bool refused = strstr(world.fake.sent, "HTTP/1.1 503") == world.fake.sent;
            assert_true(refused || strstr(world.fake.sent, "{\"b\":2}") != NULL);
            answered += !refused;
        }
        assert_true(n < 200);
    }
    assert_true(answered >= 1);
}

static void failing_memory_breaks_a_flow_off(void **state) {
    (void)state;
    static const char request[] =
        "POST /copy/s HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    unsigned long allocations = 1;
    for (unsigned long n = 1; n <= allocations; n++) {
        assert_true(exchange_world_connect(&world));
        world.closed = 0;
        world.handled = 0;
        world.fake.window = 3;
        fail_alloc_at(n);
        exchange_world_say(&world, request, sizeof(request) - 1, 0);
        world.fake.window = SIZE_MAX;
        exchange_world_turn(&world);
        fail_alloc_stop();
        allocations = fail_alloc_count() + 1;
        fake_conn_cut(&world.fake);
        assert_int_equal(world.closed, world.handled);
        assert_true(n < 200);
    }
}

static void quiet(const char *line, size_t bytes, void *user) {
    (void)line;
    (void)bytes;
    (void)user;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    static const struct CMUnitTest tests[] = {
        TEST(a_request_is_answered_and_the_connection_stays),
        TEST(head_and_options),
        TEST(what_is_not_there),
        TEST(json_bodies),
        TEST(the_door_is_asked_before_the_body),
        TEST(the_door_may_want_the_body_or_a_worker),
        TEST(the_door_is_asked_again_after_a_slow_body),
        TEST(go_on_is_said_when_the_body_is_wanted),
        TEST(the_worker_queue_has_an_end),
        TEST(a_file_and_a_buffer_go_as_there_is_room),
        TEST(a_file_that_is_shorter_breaks_off),
        TEST(bodies_have_their_limits),
        TEST(addresses_to_hand_out),
        TEST(every_cut_gives_the_same_answers),
        TEST(a_connection_may_go_at_every_byte),
        TEST(nothing_behind_a_bad_request_is_answered),
        TEST(held_back_input_is_bounded),
        TEST(a_flow_goes_both_ways_at_once),
        TEST(a_flow_holds_its_sender_back),
        TEST(a_reader_holds_its_flow_back),
        TEST(a_flow_is_woken_and_ends_with_its_peer),
        TEST(a_flow_is_told_the_seconds),
        TEST(a_connection_ends_with_an_answer_that_says_so),
        TEST(a_flow_has_a_worker_do_what_blocks),
        TEST(work_of_a_flow_may_be_broken_off),
        TEST(a_full_queue_refuses_work_of_a_flow),
        TEST(a_broken_flow_is_seen),
        TEST(slow_peers_are_given_up),
        TEST(an_idle_connection_keeps_no_memory),
        TEST(draining_waits_for_what_goes_on),
        TEST(draining_ends_idle_connections),
        TEST(draining_tells_flows_and_breaks_off_at_last),
        TEST(memory_may_fail_at_each_allocation),
        TEST(failing_memory_breaks_a_flow_off),
    };
    kn_log_set_sink(quiet, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
