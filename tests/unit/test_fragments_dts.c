#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "fragments/matroska.h"
#include "tests/support/fail_alloc.h"

#define MAX 64

struct times {
    size_t count;
    int64_t values[MAX];
};

/* Decode times never pass their pictures' and never fall; they rise where pictures' times differ.
 */
static void check_order(const struct kn_sample *samples, size_t count, uint8_t track) {
    const struct kn_sample *last = NULL;
    for (size_t i = 0; i < count; i++) {
        if (samples[i].track == track) {
            assert_true(samples[i].dts_ns <= samples[i].pts_ns);
            assert_true(last == NULL || samples[i].dts_ns >= last->dts_ns);
            last = &samples[i];
        }
    }
}

static struct times assign(const struct times *pts, int reorder_frames) {
    struct kn_sample samples[MAX];
    struct times dts = {.count = pts->count};

    for (size_t i = 0; i < pts->count; i++) {
        samples[i] = (struct kn_sample){.pts_ns = pts->values[i], .dts_ns = 12345};
    }
    assert_int_equal(frag_assign_dts(samples, pts->count, 0, reorder_frames), 0);
    check_order(samples, pts->count, 0);
    for (size_t i = 0; i < pts->count; i++) {
        assert_int_equal(samples[i].pts_ns, pts->values[i]);
        dts.values[i] = samples[i].dts_ns;
    }
    return dts;
}

struct dts_case {
    const char *name;
    int reorder_frames;
    size_t count;
    int64_t pts[12];
    int64_t dts[12];
};

static void test_cases(void **state) {
    static const struct dts_case cases[] = {
        {"none", -1, 0, {0}, {0}},
        {"no reordering", 0, 4, {0, 40, 80, 120}, {0, 40, 80, 120}},
        {"no reordering, not said", -1, 4, {-40, 0, 40, 80}, {-40, 0, 40, 80}},
        {"one B-frame", 1, 5, {0, 80, 40, 160, 120}, {-40, 0, 40, 80, 120}},
        {"one B-frame, not said", -1, 5, {0, 80, 40, 160, 120}, {-40, 0, 40, 80, 120}},
        {"pyramid", 2, 6, {0, 160, 80, 40, 120, 200}, {-80, -40, 0, 40, 80, 120}},
        {"said depth too small", 1, 6, {0, 160, 80, 40, 120, 200}, {-80, -40, 0, 40, 80, 120}},
        {"said depth larger than needed", 3, 5, {0, 80, 40, 120, 160}, {-120, -80, -40, 0, 40}},
        {"said depth, in order", 2, 4, {0, 40, 80, 120}, {-80, -40, 0, 40}},
        {"open GOP: leading pictures",
         2,
         6,
         {0, -80, -120, -40, 80, 40},
         {-200, -160, -120, -80, -40, 0}},
        {"one picture", 0, 1, {7}, {7}},
        {"one picture, reordered stream", 2, 1, {7}, {7 - 2 * 33333333, 0}},
        {"fewer pictures than depth", 4, 2, {0, 40}, {-160, -120}},
        {"equal times", -1, 4, {5, 5, 5, 5}, {5, 5, 5, 5}},
        {"equal times, reordered", 1, 4, {10, 10, 5, 5}, {-5, 0, 5, 5}},
        {"equal times throughout, depth said", 1, 2, {5, 5}, {5 - 33333333, 5}},
        {"variable rate: the smallest step",
         1,
         5,
         {0, 300, 100, 400, 390},
         {-10, 0, 100, 300, 390}},
        {"back and forth", -1, 4, {30, 20, 10, 0}, {-30, -20, -10, 0}},
    };

    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        const struct dts_case *c = &cases[i];
        struct times pts = {.count = c->count};
        memcpy(pts.values, c->pts, sizeof(c->pts));
        struct times dts = assign(&pts, c->reorder_frames);
        for (size_t k = 0; k < c->count; k++) {
            if (dts.values[k] != c->dts[k]) {
                fail_msg("%s: dts %zu is %lld, expected %lld", c->name, k, (long long)dts.values[k],
                         (long long)c->dts[k]);
            }
        }
    }
}

/* Each fragment of a stream alone: the times rise over the border, too. */
static void test_fragments_join(void **state) {
    static const int64_t pts[] = {0, 160, 80, 40, 120, 320, 240, 200, 280};
    struct times fragment = {.count = KN_COUNT(pts)};
    int64_t last = INT64_MIN;

    (void)state;
    for (int64_t f = 0; f < 3; f++) {
        int64_t at = f * 360;
        for (size_t i = 0; i < KN_COUNT(pts); i++) {
            fragment.values[i] = pts[i];
        }
        struct times dts = assign(&fragment, 2);
        assert_true(at + dts.values[0] > last);
        last = at + dts.values[KN_COUNT(pts) - 1];
    }
}

static void test_one_track_among_others(void **state) {
    struct kn_sample samples[] = {
        {.pts_ns = 0, .track = 1},  {.pts_ns = 5, .track = 0, .dts_ns = 77},
        {.pts_ns = 80, .track = 1}, {.pts_ns = 3, .track = 0, .dts_ns = 78},
        {.pts_ns = 40, .track = 1},
    };

    (void)state;
    assert_int_equal(frag_assign_dts(samples, KN_COUNT(samples), 1, -1), 0);
    assert_int_equal(samples[0].dts_ns, -40);
    assert_int_equal(samples[2].dts_ns, 0);
    assert_int_equal(samples[4].dts_ns, 40);
    assert_int_equal(samples[1].dts_ns, 77);
    assert_int_equal(samples[3].dts_ns, 78);
    assert_int_equal(frag_assign_dts(samples, KN_COUNT(samples), 9, 4), 0);
    assert_int_equal(frag_assign_dts(NULL, 0, 0, 4), 0);
}

static uint64_t random_state = 1;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Whatever the times, also where differences of two do not fit into 64 bits. */
static void test_hostile(void **state) {
    static const int64_t edges[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        struct times pts = {.count = next_random() % 20};
        for (size_t i = 0; i < pts.count; i++) {
            uint64_t value = next_random();
            int64_t wide = 0;
            memcpy(&wide, &value, sizeof(wide));
            pts.values[i] = round % 3 == 0   ? edges[value % KN_COUNT(edges)]
                            : round % 3 == 1 ? wide
                                             : (int64_t)(value % 50) - 25;
        }
        (void)assign(&pts, (int)(next_random() % 20) - 2);
    }
}

/* Going back beyond the first picture by more than 64 bits hold: still in order. */
static void test_extremes_stay_in_order(void **state) {
    struct times pts = {.count = 3, .values = {INT64_MIN + 100, INT64_MIN + 190, INT64_MIN + 145}};
    struct times dts = assign(&pts, 4);

    (void)state;
    assert_true(dts.values[0] == INT64_MIN);
    assert_true(dts.values[1] == INT64_MIN);
    assert_true(dts.values[2] == INT64_MIN + 10);
}

/* 65,536 samples from end to start: sorted, not searched one by one. */
static void test_many(void **state) {
    size_t count = 65536;
    struct kn_sample *samples = calloc(count, sizeof(*samples));

    (void)state;
    assert_non_null(samples);
    for (size_t i = 0; i < count; i++) {
        samples[i].pts_ns = (int64_t)(count - i);
    }
    assert_int_equal(frag_assign_dts(samples, count, 0, 2), 0);
    check_order(samples, count, 0);
    free(samples);
}

static void test_out_of_memory(void **state) {
    struct kn_sample samples[] = {{.pts_ns = 1, .dts_ns = 9}, {.pts_ns = 0, .dts_ns = 9}};

    (void)state;
    fail_alloc_at(1);
    assert_int_equal(frag_assign_dts(samples, 2, 0, 0), -ENOMEM);
    fail_alloc_stop();
    assert_int_equal(samples[0].dts_ns, 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_fragments_join),
        cmocka_unit_test(test_one_track_among_others),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_extremes_stay_in_order),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("fragments dts", tests, NULL, NULL);
}
