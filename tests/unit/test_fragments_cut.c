/* Where fragments are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/track.h"
#include "fragments/fragment.h"
#include "fragments/store/cut.h"

#define MS KN_NS_PER_MS
#define S KN_NS_PER_S
#define T0 (INT64_C(1795209820) * S)

struct cutting {
    struct frag_cut cut;
    int64_t target_ns;
    unsigned begun, forced, dropped, broken;
    int64_t durations[256]; /* of the fragments that ended */
};

static struct kn_tracks *make_tracks(bool video, bool audio) {
    struct kn_track items[2] = {0};
    size_t count = 0;
    if (audio) { /* first, so that the lead is not merely track 0 */
        items[count++] = (struct kn_track){
            .number = 2, .media = KN_MEDIA_AUDIO, .codec = KN_CODEC_OPUS, .codec_id = "A_OPUS"};
    }
    if (video) {
        items[count++] = (struct kn_track){
            .number = 1, .media = KN_MEDIA_VIDEO, .codec = KN_CODEC_VP8, .codec_id = "V_VP8"};
    }
    struct kn_tracks *tracks = NULL;
    assert_int_equal(kn_tracks_create(items, count, &tracks), 0);
    return tracks;
}

static void init(struct cutting *cutting, bool video, bool audio, int64_t target_ns) {
    *cutting = (struct cutting){.target_ns = target_ns};
    struct kn_tracks *tracks = make_tracks(video, audio);
    frag_cut_init(&cutting->cut, tracks);
    kn_tracks_unref(tracks);
}

static void end(struct cutting *cutting, const struct kn_wall *next) {
    if (cutting->begun > 0) {
        cutting->durations[(cutting->begun - 1) % 256] = frag_cut_duration(&cutting->cut, next);
    }
    frag_cut_end(&cutting->cut);
}

static enum frag_cut_step offer(struct cutting *cutting, int64_t at, uint8_t track, bool key,
                                size_t size, int64_t duration_ns) {
    const struct kn_sample sample = {
        .size = size, .track = track, .duration_ns = duration_ns, .flags = key ? KN_SAMPLE_KEY : 0};
    struct kn_wall time = {T0 + at};
    enum frag_cut_step step = frag_cut_next(&cutting->cut, time, &sample, cutting->target_ns);
    if (step == FRAG_CUT_BROKEN) {
        cutting->broken++;
        end(cutting, NULL);
        step = frag_cut_next(&cutting->cut, time, &sample, cutting->target_ns);
    }
    if (step == FRAG_CUT_BEGIN || step == FRAG_CUT_FORCED) {
        if (cutting->cut.running) {
            end(cutting, &time);
        }
        cutting->begun++;
        cutting->forced += step == FRAG_CUT_FORCED ? 1 : 0;
        frag_cut_take(&cutting->cut, time, &sample, true);
    } else if (step == FRAG_CUT_ADD) {
        frag_cut_take(&cutting->cut, time, &sample, false);
    } else {
        cutting->dropped++;
    }
    return step;
}

static void cuts_at_key_frames(void **state) {
    (void)state;
    static const struct {
        int gop;
        int64_t target_ns;
        unsigned begun; /* of 1,000 pictures, 25 a second: 40 s */
        int64_t duration_ns;
    } cases[] = {
        {50, 2 * S, 20, 2 * S}, {25, 2 * S, 20, 2 * S},  {10, 2 * S, 20, 2 * S},
        {1, 2 * S, 20, 2 * S},  {100, 2 * S, 10, 4 * S}, {50, 1 * S, 20, 2 * S},
        {75, 2 * S, 14, 3 * S}, {25, 20 * S, 2, 20 * S},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cutting cutting;
        init(&cutting, true, false, cases[i].target_ns);
        for (int n = 0; n < 1000; n++) {
            offer(&cutting, n * 40 * MS, 0, n % cases[i].gop == 0, 1000, 40 * MS);
        }
        assert_int_equal(cutting.begun, cases[i].begun);
        assert_int_equal(cutting.forced, 0);
        assert_int_equal(cutting.dropped, 0);
        assert_int_equal(cutting.durations[0], cases[i].duration_ns);
    }
}

/* Key frames a little early must not double a fragment. */
static void stands_jitter(void **state) {
    (void)state;
    struct cutting cutting;
    init(&cutting, true, false, 2 * S);
    for (int n = 0; n < 1000; n++) {
        int64_t jitter = (n * 7919 % 31 - 15) * MS;
        offer(&cutting, n * 40 * MS + jitter, 0, n % 50 == 0, 1000, 0);
    }
    assert_int_equal(cutting.begun, 20);
}

static void waits_for_a_key_frame(void **state) {
    (void)state;
    struct cutting cutting;
    init(&cutting, true, true, 2 * S);
    for (int n = 0; n < 10; n++) {
        assert_int_equal(offer(&cutting, n * 40 * MS, 1, false, 10, 0), FRAG_CUT_DROP);
        assert_int_equal(offer(&cutting, n * 40 * MS, 0, true, 10, 0), FRAG_CUT_DROP);
    }
    assert_int_equal(offer(&cutting, 400 * MS, 1, true, 10, 0), FRAG_CUT_BEGIN);
    assert_int_equal(offer(&cutting, 380 * MS, 0, true, 10, 0), FRAG_CUT_ADD);
}

static void long_groups_are_forced(void **state) {
    (void)state;
    struct cutting cutting;
    init(&cutting, true, true, 2 * S);
    for (int n = 0; n < 25 * 70; n++) {
        offer(&cutting, n * 40 * MS, 1, n == 0, 1000, 40 * MS);
        offer(&cutting, n * 40 * MS + 100 * MS, 0, true, 100, 20 * MS); /* sound runs ahead */
    }
    assert_int_equal(cutting.begun, 4);
    assert_int_equal(cutting.forced, 3);
    assert_int_equal(cutting.durations[0], 20 * S);
    assert_int_equal(cutting.durations[2], 20 * S);
}

static void full_fragments_are_forced(void **state) {
    (void)state;
    struct cutting cutting;
    init(&cutting, true, false, 20 * S);
    for (int n = 0; n < 10; n++) {
        offer(&cutting, n * 40 * MS, 0, n == 0, 20u << 20, 0);
    }
    assert_int_equal(cutting.begun, 5); /* two fit into 50 MB */
    init(&cutting, true, false, 20 * S);
    for (unsigned n = 0; n < FRAG_MAX_SAMPLES + 10; n++) {
        offer(&cutting, n * 10000, 0, n == 0, 1, 0);
    }
    assert_int_equal(cutting.begun, 2);
    assert_int_equal(cutting.forced, 1);
}

static void sound_is_cut_by_time(void **state) {
    (void)state;
    struct cutting cutting;
    init(&cutting, false, true, 2 * S);
    for (int n = 0; n < 1000; n++) {
        offer(&cutting, n * 20 * MS, 0, true, 100, 20 * MS);
    }
    assert_int_equal(cutting.begun, 10);
    assert_int_equal(cutting.durations[3], 2 * S);
}

static void jumps_break(void **state) {
    (void)state;
    static const int64_t jumps[] = {11 * S, -11 * S, 9800 * S, -9800 * S, INT64_MIN / 2};
    for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
        struct cutting cutting;
        init(&cutting, true, false, 2 * S);
        for (int n = 0; n < 60; n++) {
            offer(&cutting, n * 40 * MS, 0, n % 50 == 0, 10, 40 * MS);
        }
        assert_int_equal(offer(&cutting, 60 * 40 * MS + jumps[i], 0, false, 10, 40 * MS),
                         FRAG_CUT_DROP);
        assert_int_equal(cutting.broken, 1);
        assert_int_equal(cutting.durations[1], 400 * MS); /* ends where it did */
        assert_int_equal(offer(&cutting, 61 * 40 * MS + jumps[i], 0, true, 10, 40 * MS),
                         FRAG_CUT_BEGIN);
    }
}

/* Sound that stands apart from its pictures, or pauses, costs no picture. */
static void sound_apart_is_no_jump(void **state) {
    (void)state;
    static const int64_t apart[] = {15 * S, -15 * S, 40 * S, -40 * S, 3600 * S};
    for (size_t i = 0; i < sizeof(apart) / sizeof(apart[0]); i++) {
        struct cutting cutting;
        init(&cutting, true, true, 2 * S);
        for (int n = 0; n < 1500; n++) {
            offer(&cutting, n * 40 * MS, 1, n % 50 == 0, 1000, 40 * MS);
            if (n < 500 || n > 800) { /* a pause of 12 s */
                offer(&cutting, n * 40 * MS + apart[i], 0, true, 100, 40 * MS);
            }
        }
        assert_int_equal(cutting.broken, 0);
        assert_int_equal(cutting.forced, 0);
        assert_int_equal(cutting.dropped, 0);
        assert_int_equal(cutting.begun, 30);
    }
}

/* Pictures stop, sound goes on: the fragment ends, and the next key frame begins another. */
static void a_lead_that_stops_is_left(void **state) {
    (void)state;
    struct cutting cutting;
    init(&cutting, true, true, 2 * S);
    for (int n = 0; n < 2000; n++) {
        if (n < 75 || n >= 1500) {
            offer(&cutting, n * 40 * MS, 1, n % 50 == 0, 1000, 40 * MS);
        }
        offer(&cutting, n * 40 * MS, 0, true, 100, 40 * MS);
    }
    assert_int_equal(cutting.broken, 1);
    assert_int_equal(cutting.begun, 2 + 10);
    assert_int_equal(cutting.durations[1], S);
}

static void said_durations_are_bounded(void **state) {
    (void)state;
    struct cutting cutting;
    init(&cutting, true, false, 2 * S);
    offer(&cutting, 0, 0, true, 1000, 50 * 365 * 86400 * S);
    assert_int_equal(frag_cut_duration(&cutting.cut, NULL), 20 * S);
}

static void ends_are_of_the_lead(void **state) {
    (void)state;
    struct cutting cutting;
    init(&cutting, true, true, 2 * S);
    static const int order[] = {0, 3, 1, 2, 6, 4, 5}; /* B-frames */
    for (size_t n = 0; n < sizeof(order) / sizeof(order[0]); n++) {
        offer(&cutting, order[n] * 40 * MS, 1, n == 0, 10, 0);
    }
    offer(&cutting, 900 * MS, 0, true, 10, 20 * MS);
    assert_int_equal(frag_cut_duration(&cutting.cut, NULL), 7 * 40 * MS);
    struct kn_wall next = {T0 + 2 * S};
    assert_int_equal(frag_cut_duration(&cutting.cut, &next), 2 * S);
    next.ns = T0 + 3600 * S; /* not what follows it */
    assert_int_equal(frag_cut_duration(&cutting.cut, &next), 7 * 40 * MS);
    next.ns = T0 - S;
    assert_int_equal(frag_cut_duration(&cutting.cut, &next), 7 * 40 * MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_at_key_frames),
        cmocka_unit_test(stands_jitter),
        cmocka_unit_test(waits_for_a_key_frame),
        cmocka_unit_test(long_groups_are_forced),
        cmocka_unit_test(full_fragments_are_forced),
        cmocka_unit_test(sound_is_cut_by_time),
        cmocka_unit_test(jumps_break),
        cmocka_unit_test(ends_are_of_the_lead),
        cmocka_unit_test(sound_apart_is_no_jump),
        cmocka_unit_test(a_lead_that_stops_is_left),
        cmocka_unit_test(said_durations_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
