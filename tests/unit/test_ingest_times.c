#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"
#include "base/time.h"
#include "ingest/replay/order.h"
#include "ingest/replay/times.h"

#define MS KN_NS_PER_MS
#define S KN_NS_PER_S
#define NONE ING_TIME_NONE
#define STEP (40 * MS)
#define WRAP INT64_C(95443717688889) /* 33 bits of 90 kHz */

static struct ing_times new_times(bool may_jump, int64_t wrap_ns) {
    struct ing_times times = {.may_jump = may_jump};
    for (size_t i = 0; i < KN_TRACKS_MAX; i++) {
        times.tracks[i] = (struct ing_times_track){
            .step_ns = STEP, .reorder_ns = i == 0 ? 2 * STEP : 0, .wrap_ns = wrap_ns};
    }
    return times;
}

struct put {
    struct ing_stamp stamp;
    int64_t step_ns;
    bool jumped;
};

static struct put put(struct ing_times *times, unsigned track, int64_t pts_ns, int64_t dts_ns,
                      int64_t duration_ns) {
    const struct ing_stamp stamp = {pts_ns, dts_ns, duration_ns};
    struct put done = {0};
    assert_int_equal(ing_times_put(times, track, &stamp, &done.stamp, &done.step_ns, &done.jumped),
                     0);
    return done;
}

static void check(struct put done, int64_t pts_ns, int64_t dts_ns, bool jumped) {
    assert_int_equal(done.stamp.pts_ns, pts_ns);
    assert_int_equal(done.stamp.dts_ns, dts_ns);
    assert_int_equal(done.jumped, jumped);
}

static void test_plain(void **state) {
    struct ing_times times = new_times(false, 0);
    (void)state;
    check(put(&times, 0, 80 * MS, 0, STEP), 80 * MS, 0, false);
    check(put(&times, 0, 240 * MS, 40 * MS, STEP), 240 * MS, 40 * MS, false);
    struct put done = put(&times, 0, 160 * MS, 80 * MS, 0);
    check(done, 160 * MS, 80 * MS, false);
    assert_int_equal(done.stamp.duration_ns, 0);
    assert_int_equal(done.step_ns, STEP);
    /* A gap is kept. */
    check(put(&times, 0, 60 * S, 60 * S, 50 * MS), 60 * S, 60 * S, false);
    assert_int_equal(put(&times, 0, 61 * S, 61 * S, 11 * S).stamp.duration_ns, 0);
    assert_int_equal(put(&times, 0, 61 * S, 61 * S, -1).stamp.duration_ns, 0);
}

/* As Matroska tells reordered pictures. */
static void test_no_dts(void **state) {
    struct ing_times times = new_times(false, 0);
    (void)state;
    check(put(&times, 0, 0, NONE, STEP), 0, -2 * STEP, false);
    check(put(&times, 0, 4 * STEP, NONE, STEP), 4 * STEP, -STEP, false);
    check(put(&times, 0, 2 * STEP, 0, STEP), 2 * STEP, 0, false);
}

static void test_no_times(void **state) {
    struct ing_times times = new_times(false, 0);
    (void)state;
    check(put(&times, 0, NONE, NONE, 50 * MS), -2 * STEP, -2 * STEP, false);
    check(put(&times, 0, NONE, NONE, 0), -30 * MS, -30 * MS, false);
    check(put(&times, 0, NONE, NONE, 0), 10 * MS, 10 * MS, false);
    check(put(&times, 1, NONE, 5 * MS, 0), 5 * MS, 5 * MS, false);
}

static void test_small_steps_back(void **state) {
    struct ing_times times = new_times(true, 0);
    (void)state;
    check(put(&times, 0, 1 * S, 1 * S, 0), 1 * S, 1 * S, false);
    check(put(&times, 0, 900 * MS, 900 * MS, 0), 900 * MS, 1 * S, false);
    /* Not to be believed: far behind, far ahead. */
    check(put(&times, 0, 20 * S, 1100 * MS, 0), 1100 * MS, 1100 * MS, false);
    check(put(&times, 0, -1 * S, 1200 * MS, 0), 1200 * MS, 1200 * MS, false);
}

/* Two files of a camera, one behind the other: sound and pictures keep step. */
static void test_jump_back(void **state) {
    struct ing_times times = new_times(false, 0);
    (void)state;
    (void)put(&times, 0, 100 * S, 100 * S, STEP);
    (void)put(&times, 1, 100 * S, 100 * S, STEP);
    check(put(&times, 0, 5 * S, 5 * S, STEP), 100 * S + STEP, 100 * S + STEP, true);
    check(put(&times, 1, 100 * S + 30 * MS, 100 * S + 30 * MS, STEP), 100 * S + 30 * MS,
          100 * S + 30 * MS, false);
    check(put(&times, 1, 5 * S + 90 * MS, 5 * S + 90 * MS, STEP), 100 * S + 130 * MS,
          100 * S + 130 * MS, true);
    check(put(&times, 0, 5 * S + STEP, 5 * S + STEP, STEP), 100 * S + 2 * STEP, 100 * S + 2 * STEP,
          false);
}

static void test_jump_forward(void **state) {
    struct ing_times plain = new_times(false, 0), mpeg = new_times(true, 0);
    (void)state;
    (void)put(&plain, 0, 0, 0, STEP);
    (void)put(&mpeg, 0, 0, 0, STEP);
    check(put(&plain, 0, 20 * S, 20 * S, STEP), 20 * S, 20 * S, false);
    check(put(&mpeg, 0, 9 * S, 9 * S, STEP), 9 * S, 9 * S, false);
    check(put(&mpeg, 0, 3600 * S, 3600 * S, STEP), 9 * S + STEP, 9 * S + STEP, true);
    check(put(&mpeg, 0, 3600 * S + STEP, 3600 * S + STEP, STEP), 9 * S + 2 * STEP, 9 * S + 2 * STEP,
          false);
    /* A track that begins later begins on the time line that holds now. */
    check(put(&mpeg, 1, 3600 * S, 3600 * S, STEP), 9 * S + STEP, 9 * S + STEP, false);
}

static void test_wrap(void **state) {
    struct ing_times times = new_times(true, WRAP);
    (void)state;
    check(put(&times, 0, WRAP - 50 * MS, WRAP - 100 * MS, STEP), WRAP - 50 * MS, WRAP - 100 * MS,
          false);
    /* pts went round already, dts did not. */
    check(put(&times, 0, 20 * MS, WRAP - 60 * MS, STEP), WRAP + 20 * MS, WRAP - 60 * MS, false);
    check(put(&times, 0, 30 * MS, 10 * MS, STEP), WRAP + 30 * MS, WRAP + 10 * MS, false);
    check(put(&times, 1, 20 * MS, 20 * MS, STEP), WRAP + 20 * MS, WRAP + 20 * MS, false);
    /* A straggler, and once round again. */
    check(put(&times, 0, WRAP - 20 * MS, WRAP - 20 * MS, STEP), WRAP - 20 * MS, WRAP + 10 * MS,
          false);
    check(put(&times, 0, 50 * MS, 50 * MS, STEP), WRAP + 50 * MS, WRAP + 50 * MS, false);
    for (int64_t at = 0; at < WRAP; at += 9 * S) {
        assert_false(put(&times, 0, at, at, STEP).jumped);
    }
    assert_true(put(&times, 0, 1 * S, 1 * S, STEP).stamp.dts_ns > 2 * WRAP);
}

static void test_bounds(void **state) {
    static const int64_t far[] = {ING_TIME_MAX_NS + 1, -ING_TIME_MAX_NS - 1, INT64_MAX,
                                  INT64_MIN + 1};
    (void)state;
    for (size_t i = 0; i < KN_COUNT(far); i++) {
        struct ing_times times = new_times(true, 0);
        const struct ing_stamp stamps[] = {{far[i], 0, 0}, {0, far[i], 0}};
        struct put done;
        assert_int_equal(
            ing_times_put(&times, 0, &stamps[0], &done.stamp, &done.step_ns, &done.jumped),
            KN_E_LIMIT);
        assert_int_equal(
            ing_times_put(&times, 0, &stamps[1], &done.stamp, &done.step_ns, &done.jumped),
            KN_E_LIMIT);
    }
    struct ing_times times = new_times(false, 0);
    (void)put(&times, 0, ING_TIME_MAX_NS - S, ING_TIME_MAX_NS - S, 0);
    (void)put(&times, 0, 0, 0, 0);
    const struct ing_stamp back = {-ING_TIME_MAX_NS, -ING_TIME_MAX_NS, 0};
    struct put done;
    assert_int_equal(ing_times_put(&times, 0, &back, &done.stamp, &done.step_ns, &done.jumped),
                     KN_E_LIMIT);
}

/* ---- order ---- */

/* Decode order of two groups; 0 begins each. */
static void test_order(void **state) {
    static const int64_t counts[] = {0, 8, 4, 2, 6, 16, 12, 10, 14, 0, 2, 4, 6};
    static const int64_t shown_at[] = {0, 4, 2, 1, 3, 8, 6, 5, 7, 9, 10, 11, 12};
    struct ing_order order = {.depth = 2, .step_ns = STEP};
    struct ing_order_shown shown[ING_ORDER_DEPTH_MAX + 1];
    int64_t pts_ns[KN_COUNT(counts)];
    size_t known = 0;
    (void)state;
    for (size_t i = 0; i < KN_COUNT(counts) + 1; i++) {
        bool over = i == KN_COUNT(counts);
        size_t found = over || counts[i] == 0 ? ing_order_reset(&order, shown) : 0;
        for (size_t k = 0; k < 2; k++) {
            for (size_t s = 0; s < found; s++) {
                pts_ns[shown[s].id] = shown[s].pts_ns;
                known++;
            }
            found =
                over || k == 1 ? 0 : ing_order_put(&order, i, counts[i], (int64_t)i * STEP, shown);
        }
    }
    assert_int_equal(known, KN_COUNT(counts));
    for (size_t i = 0; i < KN_COUNT(counts); i++) {
        assert_int_equal(pts_ns[i], (shown_at[i] + 2) * STEP);
    }
}

static void test_order_without_depth(void **state) {
    struct ing_order order = {.step_ns = STEP};
    struct ing_order_shown shown[ING_ORDER_DEPTH_MAX + 1];
    (void)state;
    for (uint64_t i = 0; i < 50; i++) {
        /* Counts that make no sense change nothing. */
        assert_int_equal(ing_order_put(&order, i, (int64_t)(i * 7 % 5), (int64_t)i * STEP, shown),
                         1);
        assert_int_equal(shown[0].id, i);
        assert_int_equal(shown[0].pts_ns, (int64_t)i * STEP);
    }
    assert_int_equal(ing_order_reset(&order, shown), 0);
}

static void test_deepest_order(void **state) {
    struct ing_order order = {.depth = ING_ORDER_DEPTH_MAX, .step_ns = STEP};
    struct ing_order_shown shown[ING_ORDER_DEPTH_MAX + 1];
    (void)state;
    for (uint64_t i = 0; i < ING_ORDER_DEPTH_MAX; i++) {
        assert_int_equal(ing_order_put(&order, i, -(int64_t)i, 0, shown), 0);
    }
    assert_int_equal(ing_order_put(&order, 99, -3, 0, shown), 1);
    assert_int_equal(shown[0].id, ING_ORDER_DEPTH_MAX - 1);
    assert_int_equal(ing_order_reset(&order, shown), ING_ORDER_DEPTH_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),         cmocka_unit_test(test_no_dts),
        cmocka_unit_test(test_no_times),      cmocka_unit_test(test_small_steps_back),
        cmocka_unit_test(test_jump_back),     cmocka_unit_test(test_jump_forward),
        cmocka_unit_test(test_wrap),          cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_order),         cmocka_unit_test(test_order_without_depth),
        cmocka_unit_test(test_deepest_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
