/* Where a fragment stands in the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"
#include "playback/export_inner.h"

#define MS KN_NS_PER_MS
#define BEGIN_MS INT64_C(1795209820000)
#define HOUR_MS (3600 * 1000)
#define HOLE_NS (6 * HOUR_MS * MS)
#define COUNT 4

/* Four samples of track 0, 100 ms apart. */
static int place(struct play_times *times, int64_t at_ms, struct kn_sample samples[static COUNT]) {
    for (int64_t i = 0; i < COUNT; i++) {
        samples[i] = (struct kn_sample){.pts_ns = i * 100 * MS, .dts_ns = i * 100 * MS};
    }
    return play_times_place(times, (struct kn_wall){(BEGIN_MS + at_ms) * MS}, HOLE_NS, samples,
                            COUNT);
}

static void assert_placed(struct play_times *times, int64_t at_ms, int64_t expected_ms) {
    struct kn_sample samples[COUNT];
    assert_int_equal(place(times, at_ms, samples), PLAY_FITS);
    for (int64_t i = 0; i < COUNT; i++) {
        assert_int_equal(samples[i].pts_ns, (expected_ms + i * 100) * MS);
        assert_int_equal(samples[i].dts_ns, samples[i].pts_ns);
    }
}

static void test_by_producer_time(void **state) {
    struct play_times times = {0};

    (void)state;
    assert_placed(&times, 0, 0);
    assert_placed(&times, 400, 400);
    assert_placed(&times, 850, 850);     /* late */
    assert_placed(&times, 1200, 1200);   /* jitter: before the end of the last one, behind it */
    assert_placed(&times, 60000, 60000); /* a hole */
    assert_int_equal(times.shifted, 0);
    assert_int_equal(times.zero.ns, BEGIN_MS * MS);
}

static void test_overlap_follows(void **state) {
    struct play_times times = {0};

    (void)state;
    assert_placed(&times, 0, 0);
    assert_placed(&times, 100, 400);    /* a second session */
    assert_placed(&times, -99999, 800); /* the clock was set back */
    assert_placed(&times, 1050, 1200);
    assert_placed(&times, 1601, 1601); /* by its own time again */
    assert_int_equal(times.shifted, 3);
    assert_placed(&times, 1901, 2001); /* begins with the last one's last sample */
    assert_int_equal(times.begin_ns, 0);
    assert_int_equal(times.end_ns, 400 * MS); /* by its own time */
}

static void test_tracks_move_together(void **state) {
    struct play_times times = {0};
    struct kn_sample samples[] = {
        {.pts_ns = 0, .dts_ns = -40 * MS},
        {.pts_ns = 0, .track = 1},
        {.pts_ns = 300 * MS, .dts_ns = 0},
        {.pts_ns = 500 * MS, .dts_ns = 500 * MS, .duration_ns = 20 * MS, .track = 1},
    };
    struct kn_sample again[COUNT];

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        again[i] = samples[i];
    }
    const struct kn_wall begin = {BEGIN_MS * MS};
    assert_int_equal(play_times_place(&times, begin, HOLE_NS, samples, COUNT), PLAY_FITS);
    assert_int_equal(samples[0].dts_ns, -40 * MS);
    /* Sound ends at 520, pictures at 600: both go there. */
    assert_int_equal(play_times_place(&times, begin, HOLE_NS, again, COUNT), PLAY_FITS);
    assert_int_equal(again[0].pts_ns, 600 * MS);
    assert_int_equal(again[0].dts_ns, 560 * MS);
    assert_int_equal(again[1].pts_ns, 600 * MS);
    assert_int_equal(times.tracks[1].end_ns, 1120 * MS);
}

static void test_leading_pictures(void **state) {
    struct play_times times = {0};
    struct kn_sample samples[] = {
        {.pts_ns = 0, .dts_ns = -80 * MS},
        {.pts_ns = -40 * MS, .dts_ns = -40 * MS},
    };

    (void)state;
    assert_int_equal(play_times_place(&times, (struct kn_wall){BEGIN_MS * MS}, HOLE_NS, samples, 2),
                     PLAY_FITS);
    assert_int_equal(times.zero.ns, (BEGIN_MS - 40) * MS);
    assert_int_equal(samples[0].pts_ns, 40 * MS);
    assert_int_equal(samples[1].pts_ns, 0);
}

/* A track that comes later may begin before the file does. */
static void test_never_below_zero(void **state) {
    struct play_times times = {0};
    struct kn_sample sound = {.pts_ns = -900 * MS, .dts_ns = -900 * MS, .track = 1};

    (void)state;
    assert_placed(&times, 0, 0);
    assert_int_equal(
        play_times_place(&times, (struct kn_wall){(BEGIN_MS + 400) * MS}, HOLE_NS, &sound, 1),
        PLAY_FITS);
    assert_int_equal(sound.pts_ns, 0);
}

static void test_hole_too_long(void **state) {
    struct play_times times = {0};
    struct kn_sample samples[COUNT];

    (void)state;
    assert_placed(&times, 0, 0);
    assert_int_equal(place(&times, 400 + 6 * HOUR_MS + 1, samples), PLAY_TOO_FAR);
    assert_int_equal(samples[0].pts_ns, 0); /* as before */
    assert_int_equal(place(&times, INT64_C(1000) * 365 * 24 * 3600 * 40, samples), PLAY_TOO_FAR);
    assert_placed(&times, 400 + 6 * HOUR_MS, 400 + 6 * HOUR_MS);
}

static void test_impossible_times(void **state) {
    static const int64_t ends[] = {INT64_MIN, INT64_MIN / 2, INT64_MAX};
    struct play_times times = {0};
    struct kn_sample sample = {.dts_ns = INT64_MIN};

    (void)state;
    for (size_t i = 0; i < KN_COUNT(ends); i++) {
        assert_int_equal(play_times_place(&times, (struct kn_wall){ends[i]}, HOLE_NS, &sample, 1),
                         KN_E_MALFORMED);
        struct kn_sample odd = {.pts_ns = ends[i], .dts_ns = ends[i]};
        assert_int_equal(play_times_place(&times, (struct kn_wall){0}, HOLE_NS, &odd, 1),
                         KN_E_MALFORMED);
    }
    struct kn_sample late = {.pts_ns = 0, .dts_ns = 1};
    assert_int_equal(play_times_place(&times, (struct kn_wall){0}, HOLE_NS, &late, 1),
                     KN_E_MALFORMED);
    assert_false(times.begun);
    /* Such a dts comes of hostile times; the sample is none the worse. */
    assert_int_equal(play_times_place(&times, (struct kn_wall){0}, HOLE_NS, &sample, 1), PLAY_FITS);
    assert_int_equal(sample.dts_ns, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_producer_time),     cmocka_unit_test(test_overlap_follows),
        cmocka_unit_test(test_tracks_move_together), cmocka_unit_test(test_leading_pictures),
        cmocka_unit_test(test_never_below_zero),     cmocka_unit_test(test_hole_too_long),
        cmocka_unit_test(test_impossible_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
