#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/quantity.h"

#define MS KN_NS_PER_MS
#define S KN_NS_PER_S
#define DAY (86400 * S)

static void durations_are_read(void **state) {
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"0", 0},
        {"0s", 0},
        {"500ms", 500 * MS},
        {"10s", 10 * S},
        {"0010s", 10 * S},
        {"5m", 300 * S},
        {"2h", 7200 * S},
        {"7d", 7 * DAY},
        {"1.5m", 90 * S},
        {"0.1d", 8640 * S},
        {"0.000000001s", 1},
        {"0.0000000019s", 1},
        {"0.000001ms", 1},
        {"1.000000001s", S + 1},
        {"9223372036.854775807s", INT64_MAX},
        {"106751d", INT64_C(106751) * DAY},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        int64_t ns = -1;
        assert_int_equal(kn_duration_parse(cases[i].text, &ns), 0);
        assert_true(ns == cases[i].ns);
    }
}

static void other_durations_are_refused(void **state) {
    static const char *const cases[] = {
        "",    "s",   "10",   "-1s",  "+1s",     " 1s",
        "1s ", "1 s", "1.s",  ".5s",  "1.5.5s",  "1e3s",
        "1S",  "1w",  "1ms2", "1s1s", "0x1s",    "9223372036.854775808s",
        "00",  "1us", "1M",   "inf",  "106752d", "18446744073709551616ms",
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        int64_t ns = 42;
        assert_int_equal(kn_duration_parse(cases[i], &ns), KN_E_MALFORMED);
        assert_int_equal(ns, 42);
    }
}

static void the_front_of_a_text_is_read(void **state) {
    uint64_t whole = 0;
    uint32_t part = 0;
    int64_t ns = 0;
    (void)state;
    assert_int_equal(kn_duration_read("10s@3", 5, &ns), 3);
    assert_true(ns == 10 * S);
    assert_int_equal(kn_duration_read("10ms", 3, &ns), 3); /* "10m" */
    assert_true(ns == 600 * S);
    assert_int_equal(kn_duration_read("10s", 2, &ns), 0);
    assert_int_equal(kn_duration_read("", 0, &ns), 0);
    assert_int_equal(kn_decimal_read("2.5%", 4, &whole, &part), 3);
    assert_true(whole == 2 && part == 500000000);
    assert_int_equal(kn_decimal_read("2.5%", 2, &whole, &part), 0); /* "2." */
    assert_int_equal(kn_decimal_read("2.5%", 1, &whole, &part), 1);
    assert_int_equal(kn_decimal_read("x", 1, &whole, &part), 0);
}

static void sizes_are_read(void **state) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"1500", 1500},
        {"10K", 10240},
        {"10M", 10485760},
        {"5G", UINT64_C(5) << 30},
        {"2T", UINT64_C(2) << 40},
        {"1.5G", UINT64_C(3) << 29},
        {"0.5K", 512},
        {"0.0001K", 0},
        {"18446744073709551615", UINT64_MAX},
        {"16777215T", UINT64_C(16777215) << 40},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        uint64_t bytes = 42;
        assert_int_equal(kn_size_parse(cases[i].text, &bytes), 0);
        assert_true(bytes == cases[i].bytes);
    }
}

static void other_sizes_are_refused(void **state) {
    static const char *const cases[] = {
        "",    "K",   "-1",   "+1", " 1",   "1 ", "1.5", "1.0",       "1k",
        "1KB", "1.K", "5GiB", "1P", "1M1M", "ff", "1e3", "16777216T", "18446744073709551616",
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        uint64_t bytes = 42;
        assert_int_equal(kn_size_parse(cases[i], &bytes), KN_E_MALFORMED);
        assert_int_equal(bytes, 42);
    }
}

static void times_are_read(void **state) {
    const struct kn_wall now = {INT64_C(1795209820) * S};
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"now", INT64_C(1795209820) * S},
        {"-10m", INT64_C(1795209220) * S},
        {"+2h", INT64_C(1795217020) * S},
        {"-0", INT64_C(1795209820) * S},
        {"2026-11-20T21:23:40Z", INT64_C(1795209820) * S},
        {"1795209820.5", INT64_C(1795209820) * S + 500 * MS},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        struct kn_wall wall = {0};
        assert_int_equal(kn_when_parse(cases[i].text, now, &wall), 0);
        assert_true(wall.ns == cases[i].ns);
    }
}

static void other_times_are_refused(void **state) {
    static const char *const cases[] = {
        "", "-", "+", "10m", "-10", "--10m", "-now", "now ", "yesterday", "-1795209820", "+106751d",
    };
    const struct kn_wall now = {INT64_C(1795209820) * S};
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        struct kn_wall wall = {42};
        assert_int_equal(kn_when_parse(cases[i], now, &wall), KN_E_MALFORMED);
        assert_int_equal(wall.ns, 42);
    }
}

static void what_lies_ahead_needs_no_sign(void **state) {
    const struct kn_wall now = {INT64_C(1795209820) * S};
    struct kn_wall wall = {42};
    (void)state;
    assert_int_equal(kn_when_ahead_parse("7d", now, &wall), 0);
    assert_true(wall.ns == now.ns + INT64_C(7) * 86400 * S);
    assert_int_equal(kn_when_ahead_parse("+7d", now, &wall), 0);
    assert_true(wall.ns == now.ns + INT64_C(7) * 86400 * S);
    assert_int_equal(kn_when_ahead_parse("1795209821", now, &wall), 0);
    assert_true(wall.ns == now.ns + S);
    static const char *const wrong[] = {"", "90", "1795209820", "106751d", "soon"};
    wall.ns = 42;
    for (size_t i = 0; i < KN_COUNT(wrong); i++) {
        assert_int_equal(kn_when_ahead_parse(wrong[i], now, &wall), KN_E_MALFORMED);
        assert_int_equal(wall.ns, 42);
    }
}

static void durations_are_written(void **state) {
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {500 * MS, "500ms"},
        {90 * S, "90s"},
        {120 * S, "2m"},
        {36 * 3600 * S, "36h"},
        {7 * DAY, "7d"},
        {-2 * S, "-2s"},
        {1, "0.000000001s"},
        {1500 * MS + 1, "1.500000001s"},
        {INT64_MAX, "9223372036.854775807s"},
        {INT64_MIN, "-9223372036.854775808s"},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        char text[KN_DURATION_TEXT_BYTES];
        int64_t ns = 0;
        assert_ptr_equal(kn_duration_format(cases[i].ns, text), text);
        assert_string_equal(text, cases[i].text);
        if (cases[i].ns >= 0) {
            assert_int_equal(kn_duration_parse(text, &ns), 0);
            assert_true(ns == cases[i].ns);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(other_durations_are_refused),
        cmocka_unit_test(the_front_of_a_text_is_read),
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(other_sizes_are_refused),
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(other_times_are_refused),
        cmocka_unit_test(what_lies_ahead_needs_no_sign),
        cmocka_unit_test(durations_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
