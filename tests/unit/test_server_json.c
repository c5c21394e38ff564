#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "server/json/json.h"
#include "tests/support/fail_alloc.h"

/* ---- reading ---- */

static void test_good(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{}", " [1, -2.5e3, true, null] ",    "\"a\\u00fc\\\"]]\"",
        "7",  "{\"a\":{\"a\":[\"}{\\\\\"]}}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *value = NULL;
        char problem[SRV_JSON_PROBLEM_BYTES] = "";
        if (srv_json_parse(texts[i], strlen(texts[i]), &value, problem) != 0) {
            fail_msg("%s: %s", texts[i], problem);
        }
        json_decref(value);
    }
}

static void test_bad(void **state) {
    (void)state;
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"", "line 1, column 1: it ends inside a value"},
        {"{\"a\": 1,\n \"b\": hush}", "line 2, column 10: this is no JSON"},
        {"{\"a\": 1, \"a\": 2}", "line 1, column 12: a member is there twice"},
        {"[1] 2", "line 1, column 5: something stands behind the value"},
        {"\"a\\u0000b\"", "line 1, column 10: a text with \\u0000"},
        {"{\"a\\u0000b\": 1}", "line 1, column 11: a text with \\u0000"},
        {"\"\xff\"", "line 1, column 1: a text is not UTF-8"},
        {"[1e999]", "line 1, column 6: a number is too large"},
        {"[99999999999999999999]", "line 1, column 21: a number is too large"},
        {"[1,]", "line 1, column 4: this is no JSON"},
        {"[", "line 1, column 1: it ends inside a value"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *value = NULL;
        char problem[SRV_JSON_PROBLEM_BYTES] = "";
        int rc = srv_json_parse(cases[i].text, strlen(cases[i].text), &value, problem);
        assert_int_equal(rc, KN_E_MALFORMED);
        assert_string_equal(problem, cases[i].problem);
        assert_null(value);
    }
}

static void nested(char *text, size_t depth) {
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = '\0';
}

static void test_depth(void **state) {
    (void)state;
    char text[2 * SRV_JSON_DEPTH + 3], problem[SRV_JSON_PROBLEM_BYTES];
    json_t *value;
    nested(text, SRV_JSON_DEPTH);
    assert_int_equal(srv_json_parse(text, strlen(text), &value, problem), 0);
    json_decref(value);
    nested(text, SRV_JSON_DEPTH + 1);
    assert_int_equal(srv_json_parse(text, strlen(text), &value, problem), KN_E_LIMIT);
    assert_string_equal(problem, "line 1, column 33: it is nested too deeply");
    /* A text that never ends, and an escape at the very end. */
    assert_int_equal(srv_json_parse("\"[[\\", 4, &value, problem), KN_E_MALFORMED);
}

/* ---- writing ---- */

static void assert_dumps(json_t *value, const char *expected) {
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
    json_decref(value);
}

static void test_time(void **state) {
    (void)state;
    const int64_t second = INT64_C(1795209820) * KN_NS_PER_S;
    assert_dumps(srv_json_time((struct kn_wall){0}), "null");
    assert_dumps(srv_json_time((struct kn_wall){second}), "\"2026-11-20T21:23:40Z\"");
    assert_dumps(srv_json_time((struct kn_wall){second + 120000000}),
                 "\"2026-11-20T21:23:40.12Z\"");
    assert_dumps(srv_json_time((struct kn_wall){second + 1}), "\"2026-11-20T21:23:40.000000001Z\"");
    assert_dumps(srv_json_time((struct kn_wall){-1}), "\"1969-12-31T23:59:59.999999999Z\"");
    assert_dumps(srv_json_time((struct kn_wall){-KN_NS_PER_S}), "\"1969-12-31T23:59:59Z\"");
    assert_dumps(srv_json_time((struct kn_wall){INT64_MIN}), "\"1677-09-21T00:12:43.145224192Z\"");
    assert_dumps(srv_json_time((struct kn_wall){INT64_MAX}), "\"2262-04-11T23:47:16.854775807Z\"");
}

static void test_numbers(void **state) {
    (void)state;
    assert_dumps(srv_json_u64(0), "0");
    assert_dumps(srv_json_u64(UINT64_C(1) << 53), "9007199254740992");
    assert_dumps(srv_json_u64((UINT64_C(1) << 53) + 1), "\"9007199254740993\"");
    assert_dumps(srv_json_u64(UINT64_MAX), "\"18446744073709551615\"");
    assert_dumps(srv_json_duration(0), "\"0s\"");
    assert_dumps(srv_json_duration(7 * 86400 * KN_NS_PER_S), "\"7d\"");
    assert_dumps(srv_json_duration(INT64_MAX), "\"forever\"");
}

static void test_texts(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0x00, 0x7f, 0xff};
    assert_dumps(srv_json_text("T\xc3\xbcr"), "\"T\xc3\xbcr\"");
    assert_dumps(srv_json_text("a\xff\xc3\xbc\xc3"), "\"a?\xc3\xbc?\"");
    assert_dumps(srv_json_text("\x01\xff"), "\"\\u0001?\"");
    assert_dumps(srv_json_text(""), "\"\"");
    assert_dumps(srv_json_hex(bytes, sizeof(bytes)), "\"007fff\"");
    assert_dumps(srv_json_hex(bytes, 0), "\"\"");
    fail_alloc_at(1);
    assert_null(srv_json_text("\xff"));
    fail_alloc_stop();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good), cmocka_unit_test(test_bad),     cmocka_unit_test(test_depth),
        cmocka_unit_test(test_time), cmocka_unit_test(test_numbers), cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
