#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/time.h"
#include "tests/support/fake_clock.h"

static const struct {
    int64_t ns;
    const char *text;
} both_ways[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {1, "1970-01-01T00:00:00.000Z"},
    {-1, "1969-12-31T23:59:59.999Z"},
    {INT64_C(999999999), "1970-01-01T00:00:00.999Z"},
    {INT64_C(951782400000000000), "2000-02-29T00:00:00.000Z"},
    {INT64_C(951868799999000000), "2000-02-29T23:59:59.999Z"},
    {INT64_C(951868800000000000), "2000-03-01T00:00:00.000Z"},
    {INT64_C(4107542400000000000), "2100-03-01T00:00:00.000Z"},
    {INT64_C(4107542399000000000), "2100-02-28T23:59:59.000Z"},
    {INT64_C(1795209820123000000), "2026-11-20T21:23:40.123Z"},
    {INT64_C(-2203891200000000000), "1900-03-01T00:00:00.000Z"},
    {INT64_MAX, "2262-04-11T23:47:16.854Z"},
    {INT64_MIN, "1677-09-21T00:12:43.145Z"},
};

static void formats_known_times(void **state) {
    (void)state;
    char text[KN_WALL_TEXT_BYTES];
    for (size_t i = 0; i < KN_COUNT(both_ways); i++) {
        assert_ptr_equal(kn_wall_format((struct kn_wall){both_ways[i].ns}, text), text);
        assert_string_equal(text, both_ways[i].text);
    }
}

static void every_day_is_formatted_and_read_back(void **state) {
    (void)state;
    char text[KN_WALL_TEXT_BYTES], expected[KN_WALL_TEXT_BYTES];
    /* 1700 to 2250, a few seconds into each day; libc is the judge. */
    for (int64_t day = -98615; day < 102300; day++) {
        int64_t seconds = day * 86400 + 12345 + (day & 1023);
        time_t libc_seconds = (time_t)seconds;
        struct tm tm;
        assert_non_null(gmtime_r(&libc_seconds, &tm));
        assert_int_equal(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000Z", &tm), 24);
        kn_wall_format((struct kn_wall){seconds * KN_NS_PER_S}, text);
        assert_string_equal(text, expected);
        struct kn_wall wall = {0};
        assert_int_equal(kn_wall_parse(text, &wall), 0);
        assert_true(wall.ns == seconds * KN_NS_PER_S);
    }
}

static void reads_what_is_well_formed(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"2026-11-20T21:23:40Z", INT64_C(1795209820000000000)},
        {"2026-11-20t21:23:40z", INT64_C(1795209820000000000)},
        {"2026-11-20 21:23:40Z", INT64_C(1795209820000000000)},
        {"2026-11-20T21:23:40.5Z", INT64_C(1795209820500000000)},
        {"2026-11-20T21:23:40.123456789Z", INT64_C(1795209820123456789)},
        {"2026-11-20T21:23:40.1234567899999Z", INT64_C(1795209820123456789)},
        {"2026-11-20T22:53:40+01:30", INT64_C(1795209820000000000)},
        {"2026-11-20T13:23:40-08:00", INT64_C(1795209820000000000)},
        {"2026-11-20T21:23:40-00:00", INT64_C(1795209820000000000)},
        {"1969-12-31T23:59:59.25Z", INT64_C(-750000000)},
        {"1970-01-01T00:00:00+23:59", INT64_C(-86340000000000)},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000000000)},
        /* a leap second is the first second of the next day, in any zone */
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000000000)},
        {"2017-01-01T00:59:60+01:00", INT64_C(1483228800000000000)},
        {"0", 0},
        {"0.5", INT64_C(500000000)},
        {"2026", INT64_C(2026000000000)},
        {"1795209820", INT64_C(1795209820000000000)},
        {"1795209820.5", INT64_C(1795209820500000000)},
        {"1795209820.000000001", INT64_C(1795209820000000001)},
        {"9223372036.854775807", INT64_MAX},
        {"2262-04-11T23:47:16.854775807Z", INT64_MAX},
    };
    for (size_t i = 0; i < KN_COUNT(good); i++) {
        struct kn_wall wall = {-1};
        assert_int_equal(kn_wall_parse(good[i].text, &wall), 0);
        assert_true(wall.ns == good[i].ns);
    }
}

static void refuses_everything_else(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "now",
        "-1",
        "+1",
        "1.",
        ".5",
        "1e9",
        "1 ",
        " 1",
        "1.5.5",
        "1.5Z",
        "0x10",
        "9223372036.854775808",
        "99999999999999999999999999",
        "1795209820123", /* milliseconds: beyond 2262 */
        "2026-11-20",
        "2026-11-20T21:23:40", /* whose time? */
        "2026-11-20T21:23Z",
        "2026-11-20T21:23:40.Z",
        "2026-11-20T21:23:40,5Z",
        "2026-11-20T21:23:40Z ",
        "2026-11-20T21:23:40ZZ",
        "2026-11-20T21:23:40+0100",
        "2026-11-20T21:23:40+24:00",
        "2026-11-20T21:23:40+01:60",
        "2026-11-20T21:23:40+01",
        "2026-13-20T21:23:40Z",
        "2026-00-20T21:23:40Z",
        "2026-11-31T21:23:40Z",
        "2026-11-00T21:23:40Z",
        "2026-02-29T21:23:40Z",
        "2100-02-29T21:23:40Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T21:60:40Z",
        "2026-11-20T21:23:60Z",
        "2026-11-20T21:23:61Z",
        "2026-1-20T21:23:40Z",
        "26-11-20T21:23:40Z",
        "02026-11-20T21:23:40Z",
        "2026-11-20T21:23:-1Z",
        "2026/11/20T21:23:40Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z", /* well formed, but not in int64 */
        "2262-04-11T23:47:16.854775808Z",
        "9999-12-31T23:59:59Z",
        "2026-11-20T21:23:40.000000000000000000000000000000000000000000000000000000Z",
        "0000000000000000000000000000000000000000000000000000000000000000000000001",
    };
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        struct kn_wall wall = {42};
        if (kn_wall_parse(bad[i], &wall) != KN_E_MALFORMED) {
            fail_msg("accepted: %s", bad[i]);
        }
        assert_true(wall.ns == 42);
    }
    struct kn_wall wall = {42};
    assert_int_equal(kn_wall_parse(NULL, &wall), KN_E_MALFORMED);
}

static void no_prefix_of_a_time_is_read_over_its_end(void **state) {
    (void)state;
    static const char full[] = "2026-11-20T21:23:40.123+01:30";
    for (size_t size = 5; size < sizeof(full) - 1; size++) {
        char text[sizeof(full)] = "";
        memcpy(text, full, size);
        struct kn_wall wall;
        assert_int_equal(kn_wall_parse(text, &wall), KN_E_MALFORMED);
    }
}

static void the_system_clock_runs(void **state) {
    (void)state;
    const struct kn_clock *clock = kn_clock_system();
    assert_ptr_equal(clock, kn_clock_system());
    struct kn_mono before = clock->mono(clock);
    assert_true(clock->mono(clock).ns >= before.ns);
    assert_true(clock->wall(clock).ns > INT64_C(1600000000) * KN_NS_PER_S);
}

static void the_fake_clock_moves_when_told(void **state) {
    (void)state;
    struct fake_clock fake;
    fake_clock_init(&fake, 1000, 10);
    const struct kn_clock *clock = &fake.clock;
    assert_true(clock->wall(clock).ns == 1000 && clock->mono(clock).ns == 10);
    fake_clock_advance(&fake, 5);
    assert_true(clock->wall(clock).ns == 1005 && clock->mono(clock).ns == 15);
    fake_clock_step_wall(&fake, -2000);
    assert_true(clock->wall(clock).ns == -995 && clock->mono(clock).ns == 15);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_known_times),
        cmocka_unit_test(every_day_is_formatted_and_read_back),
        cmocka_unit_test(reads_what_is_well_formed),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(no_prefix_of_a_time_is_read_over_its_end),
        cmocka_unit_test(the_system_clock_runs),
        cmocka_unit_test(the_fake_clock_moves_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
