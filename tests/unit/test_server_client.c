#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "base/error.h"
#include "server/server.h"
#include "tests/support/fail_alloc.h"

/* A data directory with the socket of a server that says what it is told to. */
struct world {
    char data[64];
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    int listening;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    const char *head;     /* what it answers: this, */
    size_t body_bytes;    /* then so many spaces, */
    const char *body;     /* then this */
    char request[4096];   /* what it was asked */
};

static void *answer(void *user) {
    struct world *world = user;
    for (;;) {
        int fd = accept(world->listening, NULL, NULL);
        if (fd < 0) {
            return NULL; /* shut down */
        }
        (void)pthread_mutex_lock(&world->lock);
        /* One read has it all: requests are short, and curl writes them at once. The first
         * connection of a client is only tried. */
        ssize_t got = read(fd, world->request, sizeof(world->request) - 1);
        if (got > 0) {
            static const char blank[4096] = "";
            world->request[got] = '\0';
            ssize_t sent = send(fd, world->head, strlen(world->head), MSG_NOSIGNAL);
            for (size_t left = world->body_bytes; left > 0 && sent >= 0;) {
                size_t size = left < sizeof(blank) ? left : sizeof(blank);
                sent = send(fd, blank, size, MSG_NOSIGNAL);
                left -= size;
            }
            (void)send(fd, world->body, strlen(world->body), MSG_NOSIGNAL);
        }
        (void)pthread_mutex_unlock(&world->lock);
        (void)close(fd);
    }
}

static int set_up(void **state) {
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    (void)snprintf(world->data, sizeof(world->data), "/tmp/kinora-client-XXXXXX");
    assert_non_null(mkdtemp(world->data));
    (void)snprintf(world->path, sizeof(world->path), "%s/" SRV_SOCKET_NAME, world->data);
    world->listening = -1;
    assert_int_equal(pthread_mutex_init(&world->lock, NULL), 0);
    world->head = world->body = "";
    *state = world;
    return 0;
}

static void listen_there(struct world *world) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", world->path);
    world->listening = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(world->listening >= 0);
    assert_int_equal(bind(world->listening, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(world->listening, 16), 0);
    assert_int_equal(pthread_create(&world->thread, NULL, answer, world), 0);
}

static int tear_down(void **state) {
    struct world *world = *state;
    if (world->listening >= 0) {
        (void)shutdown(world->listening, SHUT_RDWR);
        assert_int_equal(pthread_join(world->thread, NULL), 0);
        (void)close(world->listening);
    }
    (void)unlink(world->path);
    assert_int_equal(rmdir(world->data), 0);
    (void)pthread_mutex_destroy(&world->lock);
    free(world);
    return 0;
}

static void say(struct world *world, const char *head, size_t body_bytes, const char *body) {
    (void)pthread_mutex_lock(&world->lock);
    world->head = head;
    world->body_bytes = body_bytes;
    world->body = body;
    (void)pthread_mutex_unlock(&world->lock);
}

/* Whether it was asked that. */
static bool asked(struct world *world, const char *text) {
    (void)pthread_mutex_lock(&world->lock);
    bool found = strstr(world->request, text) != NULL;
    (void)pthread_mutex_unlock(&world->lock);
    return found;
}

static struct srv_client *open_client(struct world *world) {
    struct srv_client *client = NULL;
    assert_int_equal(srv_client_open(world->data, &client), 0);
    return client;
}

static void without_a_server_it_says_so(void **state) {
    struct world *world = *state;
    struct srv_client *client = NULL;
    assert_int_equal(srv_client_open(world->data, &client), -ENOENT);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", world->path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd); /* what a server leaves that was killed */
    assert_int_equal(srv_client_open(world->data, &client), -ECONNREFUSED);
    char longer[PATH_MAX];
    (void)memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(srv_client_open(longer, &client), -ENAMETOOLONG);
    assert_null(client);
}

static void a_request_and_its_answer(void **state) {
    struct world *world = *state;
    world->head = "HTTP/1.1 201 Created\r\nContent-Type: application/json; charset=utf-8\r\n"
                  "Connection: close\r\n\r\n";
    world->body = "{\"id\":\"abc\"}";
    listen_there(world);
    struct srv_client *client = open_client(world);
    json_t *body = json_pack("{s:s}", "reason", "theft"), *told = NULL;
    int status = 0;
    assert_int_equal(srv_client_ask(client, "POST", "/api/v1/x/../y?z=1", body, &status, &told), 0);
    assert_int_equal(status, 201);
    assert_string_equal(json_string_value(json_object_get(told, "id")), "abc");
    assert_true(asked(world, "POST /api/v1/x/../y?z=1 HTTP/1.1\r\n"));
    assert_true(asked(world, "Content-Type: application/json\r\n"));
    assert_true(asked(world, "\r\n\r\n{\"reason\":\"theft\"}"));
    assert_false(asked(world, "Expect"));
    json_decref(told);
    json_decref(body);
    srv_client_close(client);
}

static void no_body_and_no_json(void **state) {
    struct world *world = *state;
    world->head = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n"
                  "Connection: close\r\n\r\n";
    world->body = "gone";
    listen_there(world);
    struct srv_client *client = open_client(world);
    json_t *told = (json_t *)1;
    int status = 0;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(srv_client_ask(client, "DELETE", "/api/v1/holds/1", NULL, &status, &told), 0);
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(status, 404);
    assert_null(told);
    assert_true(asked(world, "DELETE /api/v1/holds/1 HTTP/1.1\r\n"));
    assert_false(asked(world, "Content-"));
    srv_client_close(client);
}

static void what_is_no_answer_is_refused(void **state) {
    static const struct {
        const char *head, *body;
        size_t body_bytes;
        int rc;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n", "{", 0,
         KN_E_MALFORMED},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n", "{}", 0,
         -ECONNRESET},
        {"SSH-2.0-x\r\n", "", 0, -ECONNRESET},
        {"", "", 0, -ECONNRESET},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n", "{}",
         (size_t)17 << 20, KN_E_LIMIT},
    };
    struct world *world = *state;
    listen_there(world);
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        say(world, cases[i].head, cases[i].body_bytes, cases[i].body);
        struct srv_client *client = open_client(world);
        json_t *told = NULL;
        int status = 42;
        int rc = srv_client_ask(client, "GET", "/", NULL, &status, &told);
        assert_int_equal(rc, cases[i].rc);
        assert_int_equal(status, 42);
        assert_null(told);
        srv_client_close(client);
    }
}

static void without_memory_it_fails_cleanly(void **state) {
    struct world *world = *state;
    world->head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
    world->body = "{}";
    listen_there(world);
    unsigned long tried = 0;
    int rc;
    do {
        struct srv_client *client = NULL;
        json_t *told = NULL;
        int status = 0;
        fail_alloc_at(++tried);
        rc = srv_client_open(world->data, &client);
        if (rc == 0) {
            rc = srv_client_ask(client, "GET", "/", NULL, &status, &told);
        }
        fail_alloc_stop();
        json_decref(told);
        srv_client_close(client);
    } while (rc == -ENOMEM);
    assert_int_equal(rc, 0);
    assert_true(tried > 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_server_it_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_and_its_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_body_and_no_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_answer_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_it_fails_cleanly, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
