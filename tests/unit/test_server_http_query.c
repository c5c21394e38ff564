#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "server/http/query.h"

static struct srv_http_text text_of(const char *string) {
    return (struct srv_http_text){string, strlen(string)};
}

static void assert_text(struct srv_http_text text, const char *expected) {
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
}

static void test_pairs(void **state) {
    (void)state;
    static const struct {
        const char *name, *value;
        bool has_value;
    } expected[] = {
        {"a", "1", true}, {"b", "", false},   {"c", "", true},
        {"", "d", true},  {"e", "f=g", true}, {"", "", true},
        {"a", "2", true}, {"h;i", "j", true}, {"%41+", "%3D+", true},
    };
    struct srv_http_query query =
        srv_http_query_begin(text_of("&a=1&b&&c=&=d&e=f=g&=&a=2&h;i=j&%41+=%3D+&"));
    struct srv_http_pair pair;
    for (size_t i = 0; i < KN_COUNT(expected); i++) {
        assert_true(srv_http_query_next(&query, &pair));
        assert_text(pair.name, expected[i].name);
        assert_text(pair.value, expected[i].value);
        assert_int_equal(pair.has_value, expected[i].has_value);
    }
    assert_false(srv_http_query_next(&query, &pair));
    query = srv_http_query_begin(text_of(""));
    assert_false(srv_http_query_next(&query, &pair));
    query = srv_http_query_begin(text_of("&&"));
    assert_false(srv_http_query_next(&query, &pair));
    query = srv_http_query_begin((struct srv_http_text){NULL, 0});
    assert_false(srv_http_query_next(&query, &pair));
}

static void test_decode(void **state) {
    (void)state;
    static const struct {
        const char *raw, *text;
    } good[] = {
        {"", ""},
        {"a", "a"},
        {"a+b%20c%2Bd", "a b c+d"},
        {"%2Fvar%2f", "/var/"},
        {"%26%3D%25", "&=%"},
        {"%e2%82%ac\xe2\x82\xac", "\xe2\x82\xac\xe2\x82\xac"},
        {"2026-11-21T01:46:56Z", "2026-11-21T01:46:56Z"},
    };
    static const char *const bad[] = {"%",   "%4",    "a%",  "%g0",      "%0g", "%00",
                                      "%0a", "%0d",   "%7F", "%c0%80",   "%c3", "%ff",
                                      "\n",  "a\x80", "%+1", "%ed%a0%80"};
    char room[32];
    struct srv_http_text text;
    for (size_t i = 0; i < KN_COUNT(good); i++) {
        assert_int_equal(srv_http_query_decode(text_of(good[i].raw), room, sizeof(room), &text), 0);
        assert_text(text, good[i].text);
    }
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        assert_int_equal(srv_http_query_decode(text_of(bad[i]), room, sizeof(room), &text),
                         KN_E_MALFORMED);
    }
    assert_int_equal(srv_http_query_decode(text_of("ab%63"), room, 3, &text), 0);
    assert_int_equal(srv_http_query_decode(text_of("ab%63d"), room, 3, &text), KN_E_LIMIT);
}

static void test_find(void **state) {
    (void)state;
    static const char raw[] = "start=1+2&x%2Dy=%7e&empty=&bare&twice=1&twice=1&bad=%zz&%zz=1";
    char room[32];
    struct srv_http_text text = {NULL, 77};
    struct srv_http_text query = text_of(raw);
    assert_int_equal(srv_http_query_find(query, "none", room, sizeof(room), &text), -ENOENT);
    assert_int_equal(srv_http_query_find(query, "twice", room, sizeof(room), &text),
                     KN_E_MALFORMED);
    assert_int_equal(srv_http_query_find(query, "bad", room, sizeof(room), &text), KN_E_MALFORMED);
    assert_int_equal(srv_http_query_find(query, "start", room, 2, &text), KN_E_LIMIT);
    assert_int_equal(text.size, 77);
    assert_int_equal(srv_http_query_find(query, "start", room, sizeof(room), &text), 0);
    assert_text(text, "1 2");
    assert_int_equal(srv_http_query_find(query, "x-y", room, sizeof(room), &text), 0);
    assert_text(text, "~");
    assert_int_equal(srv_http_query_find(query, "empty", room, sizeof(room), &text), 0);
    assert_text(text, "");
    assert_int_equal(srv_http_query_find(query, "bare", room, sizeof(room), &text), 0);
    assert_text(text, "");
    /* Written in two ways it is still twice. */
    assert_int_equal(srv_http_query_find(text_of("a=1&%61=2"), "a", room, sizeof(room), &text),
                     KN_E_MALFORMED);
    assert_int_equal(srv_http_query_find(text_of(""), "a", room, sizeof(room), &text), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
