#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "server/http/path.h"

static struct srv_http_text text_of(const char *string) {
    return (struct srv_http_text){string, strlen(string)};
}

/* "[a][b]" and '/' when it ends in a slash; "!-10002" for an error. */
static const char *split(const char *raw, char shown[static 128]) {
    static struct srv_http_path path;
    memset(&path, 0xaa, sizeof(path));
    size_t used = 0;
    int rc = srv_http_path_split(text_of(raw), &path);
    if (rc != 0) {
        assert_int_equal(path.count, 0);
        (void)snprintf(shown, 128, "!%d", rc);
        return shown;
    }
    shown[0] = '\0';
    for (size_t i = 0; i < path.count; i++) {
        used += (size_t)snprintf(shown + used, 128 - used, "[%.*s]", (int)path.segments[i].size,
                                 path.segments[i].data);
    }
    (void)snprintf(shown + used, 128 - used, "%s", path.slash ? "/" : "");
    return shown;
}

static void test_paths(void **state) {
    (void)state;
    static const struct {
        const char *raw, *shown;
    } paths[] = {
        {"/", "/"},
        {"/a", "[a]"},
        {"/a/", "[a]/"},
        {"/a/bc/d.e", "[a][bc][d.e]"},
        {"//", "[]/"},
        {"//a", "[][a]"},
        {"/a//b", "[a][][b]"},
        {"/a%20b%C3%A9", "[a b\xc3\xa9]"},
        {"/%41%7e%2d", "[A~-]"},
        {"/a+b", "[a+b]"},
        {"/a;b=c,d:@!$&'()*", "[a;b=c,d:@!$&'()*]"},
        {"/%25%32%66", "[%2f]"}, /* decoded once */
        {"/%252F", "[%2F]"},
        /* Dot segments, RFC 3986 5.2.4. */
        {"/.", "/"},
        {"/./", "/"},
        {"/a/.", "[a]/"},
        {"/a/./b", "[a][b]"},
        {"/a/..", "/"},
        {"/a/../b", "[b]"},
        {"/a/b/../../c", "[c]"},
        {"/a/b/%2e%2E/c", "[a][c]"},
        {"/a/.%2e/b", "[b]"},
        {"/a/%2e/b", "[a][b]"},
        {"/...", "[...]"},
        {"/.a/..b/c..", "[.a][..b][c..]"},
        {"/a//../b", "[a][b]"},
    };
    char shown[128];
    for (size_t i = 0; i < KN_COUNT(paths); i++) {
        assert_string_equal(split(paths[i].raw, shown), paths[i].shown);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const char *const paths[] = {
        "",           "a",
        "*",          "/..",
        "/../a",      "/a/../..",
        "/%2e%2e",    "/a/%2E./../b",
        "/%2F",       "/a%2fb",
        "/..%2fa",    "/%00",
        "/a%00b",     "/%0a",
        "/%0D",       "/%1b",
        "/%7f",       "/%",
        "/%4",        "/%zz",
        "/%4g",       "/%-1",
        "/% 1",       "/a/%",
        "/%ff",       "/%c0%af",
        "/%c0%ae",    "/%e0%80%af",
        "/%ed%a0%80", "/%f4%90%80%80",
        "/%c3",       "/%c3/%a9",
        "/%a9",       "/%c2%85",
        "/%e2%80%ae", "/\xff",
        "/%u002e",
    };
    char shown[128], expected[16];
    (void)snprintf(expected, sizeof(expected), "!%d", KN_E_MALFORMED);
    for (size_t i = 0; i < KN_COUNT(paths); i++) {
        assert_string_equal(split(paths[i], shown), expected);
    }
}

static void test_limits(void **state) {
    (void)state;
    static struct srv_http_path path;
    static char raw[3 * SRV_HTTP_PATH_BYTES + 8];
    size_t used = 0;
    for (size_t i = 0; i < SRV_HTTP_PATH_SEGMENTS; i++) {
        used += (size_t)snprintf(raw + used, sizeof(raw) - used, "/a");
    }
    assert_int_equal(srv_http_path_split((struct srv_http_text){raw, used}, &path), 0);
    assert_int_equal(path.count, SRV_HTTP_PATH_SEGMENTS);
    memcpy(raw + used, "/a", 2);
    assert_int_equal(srv_http_path_split((struct srv_http_text){raw, used + 2}, &path), KN_E_LIMIT);
    /* Decoded bytes count. */
    raw[0] = '/';
    for (size_t i = 0; i <= SRV_HTTP_PATH_BYTES; i++) {
        memcpy(raw + 1 + i * 3, "%41", 3);
    }
    used = 1 + 3 * (size_t)SRV_HTTP_PATH_BYTES;
    assert_int_equal(srv_http_path_split((struct srv_http_text){raw, used}, &path), 0);
    assert_int_equal(path.segments[0].size, SRV_HTTP_PATH_BYTES);
    assert_int_equal(srv_http_path_split((struct srv_http_text){raw, used + 3}, &path), KN_E_LIMIT);
    assert_int_equal(path.count, 0);
}

static void test_segment_is(void **state) {
    (void)state;
    static struct srv_http_path path;
    assert_int_equal(srv_http_path_split(text_of("/api/v1"), &path), 0);
    assert_true(srv_http_path_segment_is(&path, 0, "api"));
    assert_true(srv_http_path_segment_is(&path, 1, "v1"));
    assert_false(srv_http_path_segment_is(&path, 0, "Api"));
    assert_false(srv_http_path_segment_is(&path, 0, "ap"));
    assert_false(srv_http_path_segment_is(&path, 2, ""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_segment_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
