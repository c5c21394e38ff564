/* All of it: real loops, sockets, workers, the door of a store without principals. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/log.h"
#include "server/exchange/exchange.h"
#include "server/exchange/http_server.h"
#include "server/world.h"

#define HOST "Host: 127.0.0.1\r\n"
#define CONNECTIONS 64

struct test {
    char folder[64], log[80];
    struct frag_store *store;
    struct srv_world world;
    struct srv_http_server *server;
    uint16_t port;
    /* The flow of /live. */
    pthread_t waker;
    pthread_mutex_t lock;
    struct srv_exchange *flow; /* a reference; under the lock */
    bool wakes;                /* under the lock */
    bool is_late;              /* under the lock */
    uint64_t late_accepted;
};

static struct test test;

/* ---- routes ---- */

static void hello(struct srv_exchange *exchange) {
    assert_non_null(srv_exchange_archive(exchange));
    srv_answer(exchange, 200, "text/plain", "hello", 5);
}

static void echo(struct srv_exchange *exchange) {
    struct srv_http_text body = srv_exchange_body(exchange);
    srv_answer(exchange, 200, "application/octet-stream", body.data, body.size);
}

static size_t copy_body(struct srv_exchange *exchange, const void *data, size_t size, void *user) {
    (void)user;
    return srv_exchange_send(exchange, data, size) == 0 ? size : 0;
}

static void end_copy(struct srv_exchange *exchange, bool whole, void *user) {
    (void)whole;
    (void)user;
    srv_exchange_end(exchange);
}

static void read_on(struct srv_exchange *exchange, void *user) {
    (void)user;
    srv_exchange_read_on(exchange);
}

static void forget(struct srv_exchange *exchange, void *user) {
    (void)exchange;
    (void)user;
}

static const struct srv_flow copy_flow = {
    .body = copy_body, .body_end = end_copy, .room = read_on, .closed = forget};

static void copy(struct srv_exchange *exchange) {
    srv_exchange_go_on(exchange, &copy_flow, NULL);
    (void)srv_exchange_begin(exchange, 200, "video/x-matroska", SRV_HTTP_UNKNOWN_LENGTH);
}

static void send_tick(struct srv_exchange *exchange, void *user) {
    (void)user;
    (void)srv_exchange_send(exchange, "tick", 4); /* its end comes with `closed` */
}

static void end_live(struct srv_exchange *exchange, void *user) {
    (void)user;
    srv_exchange_end(exchange);
}

static void close_live(struct srv_exchange *exchange, void *user) {
    struct test *live = user;
    (void)pthread_mutex_lock(&live->lock);
    live->wakes = false;
    (void)pthread_mutex_unlock(&live->lock);
    srv_exchange_unref(exchange);
}

static const struct srv_flow live_flow = {
    .wake = send_tick, .drain = end_live, .closed = close_live};

static void live(struct srv_exchange *exchange) {
    srv_exchange_go_on(exchange, &live_flow, &test);
    (void)srv_exchange_begin(exchange, 200, "text/event-stream", SRV_HTTP_UNKNOWN_LENGTH);
    (void)pthread_mutex_lock(&test.lock);
    test.flow = srv_exchange_ref(exchange);
    test.wakes = true;
    (void)pthread_mutex_unlock(&test.lock);
}

/* Its peer is gone long before it looks at the server. */
static void late(struct srv_exchange *exchange) {
    const struct timespec nap = {.tv_nsec = 300 * 1000 * 1000};
    struct srv_http_server *server = test.server;
    (void)pthread_mutex_lock(&test.lock);
    test.is_late = true;
    (void)pthread_mutex_unlock(&test.lock);
    (void)nanosleep(&nap, NULL);
    test.late_accepted = srv_http_server_stats(server).transport.accepted;
    srv_answer_empty(exchange, 204);
}

static const struct srv_route rows[] = {
    {.name = "Hello", .method = SRV_HTTP_GET, .path = "/hello", .handle = hello},
    {.name = "Echo",
     .method = SRV_HTTP_POST,
     .path = "/echo",
     .body = SRV_BODY_WHOLE,
     .handle = echo},
    {.name = "Copy",
     .method = SRV_HTTP_POST,
     .path = "/copy/{stream}",
     .access = SRV_ON_STREAM,
     .action = SRV_ACTION_RECORD,
     .body = SRV_BODY_FLOW,
     .body_max = UINT64_MAX,
     .on_loop = true,
     .unsigned_body = true,
     .handle = copy},
    {.name = "Live", .method = SRV_HTTP_GET, .path = "/live", .on_loop = true, .handle = live},
    {.name = "Late", .method = SRV_HTTP_GET, .path = "/late", .handle = late},
};
static const struct srv_routes table = {rows, KN_COUNT(rows), NULL};
static const struct srv_routes *const tables[] = {&table};

/* ---- the server ---- */

static void open_world(void) {
    char key[80];
    struct frag_store_config store = frag_store_config_defaults();
    struct srv_gate_config gate = srv_gate_config_defaults();
    (void)snprintf(test.folder, sizeof(test.folder), "%s/kinora-http-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(test.folder));
    (void)snprintf(key, sizeof(key), "%s/key", test.folder);
    (void)snprintf(test.log, sizeof(test.log), "%s/requests", test.folder);
    store.data = test.folder;
    store.threads = false;
    store.min_free_bytes = 0;
    store.mode = FRAG_STORE_WRITE;
    assert_int_equal(frag_store_open(&store, &test.store, NULL), 0);
    test.world.store = test.store;
    test.world.clock = kn_clock_system();
    assert_int_equal(srv_keyfile_create(key), 0);
    assert_int_equal(srv_keyfile_open(key, &test.world.keyfile), 0);
    assert_int_equal(srv_principals_open(test.store, &test.world.keyfile, &test.world.principals),
                     0);
    gate.principals = test.world.principals;
    gate.keyfile = &test.world.keyfile;
    assert_int_equal(srv_gate_create(&gate, &test.world.gate), 0);
}

static int set_up(void **state) {
    static const struct srv_listen listen = {.address = "127.0.0.1:0"};
    char problem[SRV_PROBLEM_BYTES] = "";
    struct srv_http_server_config config = srv_http_server_config_defaults();
    (void)state;
    memset(&test, 0, sizeof(test));
    assert_int_equal(pthread_mutex_init(&test.lock, NULL), 0);
    open_world();
    config.world = &test.world;
    config.transport.listen = &listen;
    config.transport.listen_count = 1;
    config.loops = 2;
    config.workers = 2;
    config.times.drain_ns = 2 * KN_NS_PER_S;
    config.log_file = test.log;
    config.routes = tables;
    config.route_tables = KN_COUNT(tables);
    int rc = srv_http_server_start(&config, &test.server, problem);
    if (rc != 0) {
        fail_msg("%s: %s", problem, kn_error_text(rc));
    }
    const char *address = srv_transport_address(srv_http_server_transport(test.server), 0);
    test.port = (uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10);
    return 0;
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about;
    (void)type;
    (void)place;
    return remove(path);
}

static int tear_down(void **state) {
    (void)state;
    srv_http_server_stop(test.server);
    srv_gate_destroy(test.world.gate);
    srv_principals_close(test.world.principals);
    frag_store_close(test.store);
    (void)pthread_mutex_destroy(&test.lock);
    return nftw(test.folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- a client ---- */

static int dial(void) {
    const struct timeval limit = {.tv_sec = 10};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(test.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void tell(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until `end` stands at the end of what came. */
static void hear(int fd, const char *end, char *text, size_t room) {
    size_t used = 0, size = strlen(end);
    while (used < size || memcmp(text + used - size, end, size) != 0) {
        assert_true(used + 1 < room);
        ssize_t got = recv(fd, text + used, room - 1 - used, 0);
        if (got <= 0) {
            text[used] = '\0';
            fail_msg("\"%s\" does not end in \"%s\"", text, end);
        }
        used += (size_t)got;
    }
    text[used] = '\0';
}

/* ---- tests ---- */

static void many_connections_are_answered(void **state) {
    int fds[CONNECTIONS];
    char text[4096];
    (void)state;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = dial();
        tell(fds[i], "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    }
    for (size_t i = 0; i < CONNECTIONS; i++) {
        hear(fds[i], "\r\n\r\nhello", text, sizeof(text));
        tell(fds[i], "POST /echo HTTP/1.1\r\n" HOST
                     "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    }
    for (size_t i = 0; i < CONNECTIONS; i++) {
        hear(fds[i], "HTTP/1.1 100 Continue\r\n\r\n", text, sizeof(text));
        tell(fds[i], "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\nGET /hello HTTP/1.1\r\n" HOST
                     "Connection: close\r\n\r\n");
    }
    for (size_t i = 0; i < CONNECTIONS; i++) {
        hear(fds[i], "\r\n\r\nhello", text, sizeof(text));
        assert_non_null(strstr(text, "\r\n\r\nabcdef"));
        assert_int_equal(recv(fds[i], text, sizeof(text), 0), 0);
        (void)close(fds[i]);
    }
    struct srv_http_stats stats = srv_http_server_stats(test.server);
    assert_int_equal(stats.requests, 3 * CONNECTIONS);
    struct srv_route_stats hellos = srv_http_server_route_stats(test.server, 0);
    struct srv_route_stats echos = srv_http_server_route_stats(test.server, 1);
    assert_int_equal(hellos.by_status[2], 2 * CONNECTIONS);
    assert_int_equal(echos.received_bytes, 6 * CONNECTIONS);
    assert_true(srv_http_server_answers(test.server, 5 * KN_NS_PER_S));
}

#define FLOW_BYTES ((size_t)4 * 1024 * 1024)
#define FLOW_CHUNK 65536u

static void *send_flow(void *user) {
    int fd = *(int *)user;
    static char chunk[FLOW_CHUNK];
    memset(chunk, 'x', sizeof(chunk));
    for (size_t sent = 0; sent < FLOW_BYTES; sent += sizeof(chunk)) {
        tell(fd, "10000\r\n");
        for (size_t at = 0; at < sizeof(chunk);) {
            ssize_t wrote = send(fd, chunk + at, sizeof(chunk) - at, MSG_NOSIGNAL);
            assert_true(wrote > 0);
            at += (size_t)wrote;
        }
        tell(fd, "\r\n");
    }
    tell(fd, "0\r\n\r\n");
    return NULL;
}

static void a_flow_goes_both_ways_over_a_socket(void **state) {
    pthread_t sender;
    char text[16384];
    size_t count = 0;
    ssize_t got;
    (void)state;
    int fd = dial();
    tell(fd, "POST /copy/door HTTP/1.1\r\n" HOST
             "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    hear(fd, "\r\n\r\n", text, sizeof(text));
    assert_int_equal(pthread_create(&sender, NULL, send_flow, &fd), 0);
    while ((got = recv(fd, text, sizeof(text), 0)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            count += text[i] == 'x';
        }
    }
    assert_int_equal(got, 0);
    assert_int_equal(count, FLOW_BYTES);
    assert_int_equal(pthread_join(sender, NULL), 0);
    (void)close(fd);
}

/* As long as the flow lives. */
static void *wake_often(void *user) {
    struct test *live = user;
    bool goes_on = true;
    while (goes_on) {
        (void)pthread_mutex_lock(&live->lock);
        goes_on = live->wakes;
        if (goes_on) {
            srv_exchange_wake(live->flow);
        }
        (void)pthread_mutex_unlock(&live->lock);
    }
    return NULL;
}

static void another_thread_wakes_a_flow_that_draining_ends(void **state) {
    char text[4096];
    (void)state;
    int fd = dial();
    tell(fd, "GET /live HTTP/1.1\r\n" HOST "\r\n");
    hear(fd, "\r\n\r\n", text, sizeof(text));
    /* The head is sent from within the handler, and `wakes` set before it is left. */
    do {
        (void)pthread_mutex_lock(&test.lock);
        bool there = test.wakes;
        (void)pthread_mutex_unlock(&test.lock);
        if (there) {
            break;
        }
    } while (true);
    assert_int_equal(pthread_create(&test.waker, NULL, wake_often, &test), 0);
    hear(fd, "4\r\ntick\r\n", text, sizeof(text));
    shutdown(fd, SHUT_WR);
    srv_http_server_drain(test.server);
    ssize_t got;
    char last[5] = "";
    while ((got = recv(fd, text, sizeof(text), 0)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            memmove(last, last + 1, 4);
            last[4] = text[i];
        }
    }
    assert_memory_equal(last, "0\r\n\r\n", 5);
    assert_int_equal(pthread_join(test.waker, NULL), 0);
    (void)close(fd);
}

static void requests_are_logged(void **state) {
    char text[4096];
    (void)state;
    int fd = dial();
    tell(fd, "GET /hello?token=geheim HTTP/1.1\r\n" HOST "\r\n");
    hear(fd, "hello", text, sizeof(text));
    tell(fd, "GET /nothing HTTP/1.1\r\n" HOST "\r\nNO\r\n\r\n");
    hear(fd, "\"}", text, sizeof(text));
    srv_http_server_drain(test.server);
    (void)close(fd);
    srv_http_server_stop(test.server);
    test.server = NULL;
    FILE *file = fopen(test.log, "re");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    text[size] = '\0';
    (void)fclose(file);
    assert_null(strstr(text, "geheim"));
    assert_non_null(strstr(text, "method=GET path=/hello status=200 in=0 out=5"));
    assert_non_null(strstr(text, "route=Hello fault=-"));
    assert_non_null(strstr(text, "path=/nothing status=404"));
    assert_non_null(strstr(text, "fault=bad-request-line"));
}

static void the_log_changes_and_fails_without_harm(void **state) {
    char text[4096];
    (void)state;
    assert_int_equal(srv_http_server_log(test.server, SRV_LOG_ALL, "/nothing/there"), -ENOENT);
    int fd = dial();
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(srv_http_server_log(test.server, SRV_LOG_ALL, "/dev/full"), 0);
        /* Its thread writes when it likes. */
        for (int i = 0; i < 100000 && srv_http_server_stats(test.server).log_lines_lost == 0; i++) {
            tell(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
            hear(fd, "hello", text, sizeof(text));
        }
        assert_true(srv_http_server_stats(test.server).log_lines_lost > 0);
    }
    assert_int_equal(srv_http_server_log(test.server, SRV_LOG_NONE, test.log), 0);
    tell(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    hear(fd, "hello", text, sizeof(text));
    (void)close(fd);
}

/* A pipe that nobody reads holds up neither another file nor the end. */
static void a_log_that_nobody_reads_holds_up_nothing(void **state) {
    char path[96], text[4096];
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/pipe", test.folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(srv_http_server_log(test.server, SRV_LOG_ALL, path), 0);
        int fd = dial();
        for (int i = 0; i < 1000; i++) { /* 64 KiB are in a pipe */
            tell(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
            hear(fd, "hello", text, sizeof(text));
        }
        (void)close(fd);
        if (round == 0) {
            assert_int_equal(srv_http_server_log(test.server, SRV_LOG_ALL, test.log), 0);
        }
    }
    srv_http_server_stop(test.server);
    test.server = NULL;
    (void)close(reader);
}

static void wait_until_late(void) {
    const struct timespec nap = {.tv_nsec = 1000 * 1000};
    for (bool is_late = false; !is_late;) {
        (void)nanosleep(&nap, NULL);
        (void)pthread_mutex_lock(&test.lock);
        is_late = test.is_late;
        (void)pthread_mutex_unlock(&test.lock);
    }
}

/* A request whose peer went holds up no draining, and still finds the whole server. */
static void a_stop_waits_for_workers_first(void **state) {
    const struct linger reset = {.l_onoff = 1};
    (void)state;
    int fd = dial();
    tell(fd, "GET /late HTTP/1.1\r\n" HOST "\r\n");
    wait_until_late();
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    (void)close(fd);
    srv_http_server_stop(test.server);
    test.server = NULL;
    assert_int_equal(test.late_accepted, 1);
}

static void a_wrong_start_says_why(void **state) {
    static const struct srv_listen listen = {.address = "256.0.0.1:0"};
    char problem[SRV_PROBLEM_BYTES] = "";
    struct srv_http_server *server;
    struct srv_http_server_config config = srv_http_server_config_defaults();
    (void)state;
    config.world = &test.world;
    config.transport.listen = &listen;
    config.transport.listen_count = 1;
    config.loops = 1;
    config.routes = tables;
    config.route_tables = KN_COUNT(tables);
    assert_true(srv_http_server_start(&config, &server, problem) < 0);
    assert_non_null(strstr(problem, "256.0.0.1"));
    config.log_file = "/nothing/there";
    assert_int_equal(srv_http_server_start(&config, &server, problem), -ENOENT);
}

static void quiet(const char *line, size_t bytes, void *user) {
    (void)line;
    (void)bytes;
    (void)user;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    static const struct CMUnitTest tests[] = {
        TEST(many_connections_are_answered),
        TEST(a_flow_goes_both_ways_over_a_socket),
        TEST(another_thread_wakes_a_flow_that_draining_ends),
        TEST(requests_are_logged),
        TEST(the_log_changes_and_fails_without_harm),
        TEST(a_log_that_nobody_reads_holds_up_nothing),
        TEST(a_stop_waits_for_workers_first),
        TEST(a_wrong_start_says_why),
    };
    kn_log_set_sink(quiet, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
