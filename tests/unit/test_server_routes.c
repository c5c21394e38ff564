#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "server/exchange/routes.h"
#include "tests/support/fail_alloc.h"

static void handle(struct srv_exchange *exchange) {
    (void)exchange;
}

#define ROW(label, verb, where)                                                                    \
    { .name = (label), .method = (verb), .path = (where), .handle = handle }

static const struct srv_route first_rows[] = {
    ROW("Root", SRV_HTTP_GET, "/"),
    ROW("Show", SRV_HTTP_GET, "/streams/{stream}"),
    ROW("Change", SRV_HTTP_PATCH, "/streams/{stream}"),
    ROW("Plan", SRV_HTTP_GET, "/streams/plan"),
    ROW("Any", SRV_HTTP_POST, "/streams/{stream}/{what}"),
    ROW("Gaps", SRV_HTTP_POST, "/streams/{stream}/gaps"),
};
static const struct srv_route second_rows[] = {
    ROW("Files", SRV_HTTP_GET, "/files/{path...}"),
    ROW("Readme", SRV_HTTP_GET, "/files/readme"),
    ROW("Folder", SRV_HTTP_GET, "/folder/"),
    ROW("List", SRV_HTTP_POST, "/streams"),
};
static const struct srv_routes first = {first_rows, KN_COUNT(first_rows), NULL};
static const struct srv_routes second = {second_rows, KN_COUNT(second_rows), NULL};
static const struct srv_routes *const tables[] = {&first, &second};

static struct srv_router *router;

static int set_up(void **state) {
    (void)state;
    return srv_router_create(tables, KN_COUNT(tables), &router);
}

static int tear_down(void **state) {
    (void)state;
    srv_router_destroy(router);
    return 0;
}

static struct srv_http_path path;

static struct srv_match find(enum srv_http_method method, const char *raw) {
    struct srv_match match;
    assert_int_equal(srv_http_path_split((struct srv_http_text){raw, strlen(raw)}, &path), 0);
    srv_router_find(router, method, &path, &match);
    return match;
}

static void each_path_has_its_route(void **state) {
    static const struct {
        enum srv_http_method method;
        const char *path, *name;
    } cases[] = {
        {SRV_HTTP_GET, "/", "Root"},
        {SRV_HTTP_HEAD, "/", "Root"},
        {SRV_HTTP_GET, "/streams/door", "Show"},
        {SRV_HTTP_GET, "/%73treams/door", "Show"},
        {SRV_HTTP_GET, "/x/../streams/door", "Show"},
        {SRV_HTTP_PATCH, "/streams/door", "Change"},
        {SRV_HTTP_GET, "/streams/plan", "Plan"},
        {SRV_HTTP_PATCH, "/streams/plan", "Change"},
        {SRV_HTTP_POST, "/streams/door/gaps", "Gaps"},
        {SRV_HTTP_POST, "/streams/door/gap", "Any"},
        {SRV_HTTP_GET, "/files/a/b/c", "Files"},
        {SRV_HTTP_GET, "/files/readme", "Readme"},
        {SRV_HTTP_GET, "/files/readme/x", "Files"},
        {SRV_HTTP_GET, "/folder/", "Folder"},
        {SRV_HTTP_POST, "/streams", "List"},
        {SRV_HTTP_GET, "/streams", NULL},
        {SRV_HTTP_GET, "/streams/", NULL},
        {SRV_HTTP_GET, "/streams/door/", NULL},
        {SRV_HTTP_GET, "/streams//", NULL},
        {SRV_HTTP_GET, "/files", NULL},
        {SRV_HTTP_GET, "/files/", NULL},
        {SRV_HTTP_GET, "/files//a", NULL},
        {SRV_HTTP_GET, "/folder", NULL},
        {SRV_HTTP_GET, "/Streams/door", NULL},
        {SRV_HTTP_GET, "/stream", NULL},
        {SRV_HTTP_GET, "/streamsx/door", NULL},
        {SRV_HTTP_POST, "/streams/a/b/c", NULL},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        struct srv_match match = find(cases[i].method, cases[i].path);
        const char *name = match.route == NULL ? "-" : match.route->name;
        assert_string_equal(name, cases[i].name == NULL ? "-" : cases[i].name);
        if (match.route != NULL) {
            assert_ptr_equal(srv_router_row(router, match.row), match.route);
            assert_ptr_equal(match.table, match.row < KN_COUNT(first_rows) ? &first : &second);
        }
    }
}

static void a_wrong_method_tells_the_right_ones(void **state) {
    (void)state;
    struct srv_match match = find(SRV_HTTP_DELETE, "/streams/plan");
    assert_null(match.route);
    assert_true(match.path_known);
    assert_ptr_equal(match.table, &first);
    assert_int_equal(match.methods,
                     1u << SRV_HTTP_GET | 1u << SRV_HTTP_HEAD | 1u << SRV_HTTP_PATCH);
    match = find(SRV_HTTP_DELETE, "/nothing");
    assert_false(match.path_known);
    assert_int_equal(match.methods, 0);
}

static void parameters_are_cut_out(void **state) {
    (void)state;
    struct srv_match match = find(SRV_HTTP_POST, "/streams/door%201/live");
    assert_int_equal(match.parameter_count, 2);
    assert_true(srv_http_text_is(match.parameters[0].name, "stream"));
    assert_true(srv_http_text_is(match.parameters[0].value, "door 1"));
    assert_true(srv_http_text_is(match.parameters[1].name, "what"));
    assert_true(srv_http_text_is(match.parameters[1].value, "live"));
    match = find(SRV_HTTP_GET, "/files/a/b");
    assert_int_equal(match.parameter_count, 1);
    assert_int_equal(match.parameters[0].first, 1);
    assert_int_equal(match.parameters[0].segments, 2);
}

static void rows_are_in_order(void **state) {
    (void)state;
    assert_string_equal(srv_router_row(router, 0)->name, "Root");
    assert_string_equal(srv_router_row(router, 6)->name, "Files");
    assert_null(srv_router_row(router, KN_COUNT(first_rows) + KN_COUNT(second_rows)));
}

/* Beside a good row. */
static int start_with(struct srv_route row) {
    struct srv_router *made = NULL;
    const struct srv_route rows[] = {
        {.name = "Good", .method = SRV_HTTP_GET, .path = "/good/{a}/b", .handle = handle}, row};
    const struct srv_routes table = {rows, KN_COUNT(rows), NULL};
    const struct srv_routes *const one[] = {&table};
    int rc = srv_router_create(one, 1, &made);
    srv_router_destroy(made);
    return rc;
}

static void a_row_that_cannot_be_is_refused(void **state) {
    static const struct srv_route good = ROW("X", SRV_HTTP_GET, "/x/{stream}");
    static const char *const paths[] = {
        "",
        "x",
        "/x//y",
        "/{a",
        "/{}",
        "/{a}/{a}",
        "/{a...}/b",
        "/{a}/{b}/{c}/{d}/{e}",
        "/a{b}",
        "/a%20",
        "//",
        "/good/{b}/b",
        "/1/2/3/4/5/6/7/8/9/10/11/12/13",
    };
    struct srv_route row = good;
    (void)state;
    assert_int_equal(start_with(row), 0);
    for (size_t i = 0; i < KN_COUNT(paths); i++) {
        row.path = paths[i];
        assert_int_equal(start_with(row), -EEXIST);
    }
    row = good;
    row.path = NULL;
    assert_int_equal(start_with(row), -EEXIST);
    row = good;
    row.name = NULL;
    assert_int_equal(start_with(row), -EEXIST);
    row = good;
    row.name = "Good";
    assert_int_equal(start_with(row), -EEXIST);
    row = good;
    row.handle = NULL;
    assert_int_equal(start_with(row), -EEXIST);
    row = good;
    row.method = SRV_HTTP_HEAD;
    assert_int_equal(start_with(row), -EEXIST);
    row = good;
    row.access = SRV_ON_STREAM;
    assert_int_equal(start_with(row), -EEXIST); /* no action */
    row.action = SRV_ACTION_READ;
    assert_int_equal(start_with(row), 0);
    row.path = "/x/{streams}";
    assert_int_equal(start_with(row), -EEXIST);
    row.access = SRV_ON_ALL;
    assert_int_equal(start_with(row), 0);
    row = good;
    row.body = SRV_BODY_FLOW;
    row.unsigned_body = true;
    assert_int_equal(start_with(row), -EEXIST);
    row.on_loop = true;
    assert_int_equal(start_with(row), 0);
    row.unsigned_body = false;
    assert_int_equal(start_with(row), -EEXIST);
}

static void memory_may_fail(void **state) {
    struct srv_router *made;
    (void)state;
    for (unsigned long n = 1; n <= 3; n++) {
        fail_alloc_at(n);
        int rc = srv_router_create(tables, KN_COUNT(tables), &made);
        fail_alloc_stop();
        assert_int_equal(rc, -ENOMEM);
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
        TEST(each_path_has_its_route),         TEST(a_wrong_method_tells_the_right_ones),
        TEST(parameters_are_cut_out),          TEST(rows_are_in_order),
        TEST(a_row_that_cannot_be_is_refused), TEST(memory_may_fail),
    };
    kn_log_set_sink(quiet, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
