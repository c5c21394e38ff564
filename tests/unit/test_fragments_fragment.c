#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "fragments/fragment.h"
#include "fragments/fragment_settle.h"
#include "tests/support/aborts.h"
#include "tests/support/fail_alloc.h"

#define HOLDERS 4

static void count_release(void *user) {
    atomic_fetch_add((atomic_uint *)user, 1);
}

static const uint8_t bytes[100];

static struct kn_buffer *wrap(atomic_uint *released) {
    struct kn_buffer *buffer;
    assert_int_equal(kn_buffer_wrap(NULL, bytes, sizeof(bytes), count_release, released, &buffer),
                     0);
    return buffer;
}

/* The sizes of samples are values to a fragment: nothing is read there. */
static struct kn_sample sample(struct kn_buffer *buffer, size_t size, uint8_t track) {
    return (struct kn_sample){
        .buffer = buffer, .data = bytes, .size = size, .track = track, .pts_ns = 40};
}

static struct kn_tracks *tracks_create(void) {
    static const struct kn_track items[] = {
        {.number = 1, .media = KN_MEDIA_VIDEO, .codec = KN_CODEC_H264},
        {.number = 2, .media = KN_MEDIA_AUDIO, .codec = KN_CODEC_AAC},
    };
    struct kn_tracks *tracks;
    assert_int_equal(kn_tracks_create(items, KN_COUNT(items), &tracks), 0);
    return tracks;
}

/* Holds the only reference of its tracks. */
static struct frag_fragment *create(void) {
    struct kn_tracks *tracks = tracks_create();
    const struct frag_fragment_start start = {
        .number = {.sequence = 7, .server_ms = 8, .low = 9},
        .ordinal = 3,
        .discontinuities = 1,
        .producer = {.ns = 5},
        .server = {.ns = 6},
        .flags = FRAG_DISCONTINUITY,
    };
    struct frag_fragment *fragment;
    assert_int_equal(frag_fragment_create(&start, tracks, &fragment), 0);
    kn_tracks_unref(tracks);
    return fragment;
}

static void a_fragment_lives_from_building_to_durable(void **state) {
    (void)state;
    atomic_uint released = 0;
    struct frag_fragment *fragment = create();
    assert_int_equal(frag_fragment_state(fragment), FRAG_BUILDING);
    assert_true(fragment->start.number.sequence == 7 && fragment->start.ordinal == 3);
    assert_int_equal(fragment->start.flags, FRAG_DISCONTINUITY);
    assert_int_equal(fragment->tracks->count, 2);
    assert_int_equal(fragment->sample_count, 0);

    struct kn_buffer *buffer = wrap(&released);
    for (uint8_t i = 0; i < 10; i++) {
        struct kn_sample slice = sample(buffer, i, i % 2);
        assert_int_equal(frag_fragment_add(fragment, &slice), 0);
    }
    kn_buffer_unref(buffer);
    assert_int_equal(released, 0);

    frag_fragment_seal(fragment, 2 * KN_NS_PER_S);
    assert_int_equal(frag_fragment_state(fragment), FRAG_QUEUED);
    assert_int_equal(frag_fragment_error(fragment), 0);
    assert_true(fragment->duration_ns == 2 * KN_NS_PER_S);
    assert_int_equal(fragment->sample_count, 10);
    assert_int_equal(fragment->bytes, 45);
    for (uint8_t i = 0; i < 10; i++) {
        const struct kn_sample *slice = &fragment->samples[i];
        assert_ptr_equal(slice->data, bytes);
        assert_true(slice->size == i && slice->track == i % 2 && slice->pts_ns == 40);
    }

    frag_fragment_settle(fragment, 0);
    assert_int_equal(frag_fragment_state(fragment), FRAG_DURABLE);
    assert_int_equal(frag_fragment_error(fragment), 0);
    frag_fragment_unref(fragment);
    assert_int_equal(released, 1);
}

static void a_failed_fragment_says_why(void **state) {
    (void)state;
    struct frag_fragment *fragment = create();
    assert_int_equal(frag_fragment_error(fragment), 0);
    frag_fragment_seal(fragment, 0);
    frag_fragment_settle(fragment, -ENOSPC);
    assert_int_equal(frag_fragment_state(fragment), FRAG_FAILED);
    assert_int_equal(frag_fragment_error(fragment), -ENOSPC);
    frag_fragment_unref(fragment);
}

static void the_last_reference_releases_each_buffer_once(void **state) {
    (void)state;
    atomic_uint released[300] = {0};
    struct frag_fragment *fragment = create();
    for (size_t i = 0; i < KN_COUNT(released); i++) {
        struct kn_buffer *buffer = wrap(&released[i]);
        struct kn_sample whole = sample(buffer, sizeof(bytes), 0);
        assert_int_equal(frag_fragment_add(fragment, &whole), 0);
        kn_sample_unref(&whole);
    }
    assert_ptr_equal(frag_fragment_ref(fragment), fragment);
    frag_fragment_seal(fragment, 1);
    frag_fragment_unref(fragment);
    for (size_t i = 0; i < KN_COUNT(released); i++) {
        assert_int_equal(released[i], 0);
    }
    struct kn_sample kept = kn_sample_ref(&fragment->samples[1]);
    frag_fragment_unref(fragment);
    for (size_t i = 0; i < KN_COUNT(released); i++) {
        assert_int_equal(released[i], i == 1 ? 0 : 1);
    }
    kn_sample_unref(&kept);
    assert_int_equal(released[1], 1);
    frag_fragment_unref(NULL);
}

/* Building may be given up at any moment. */
static void an_unfinished_fragment_is_released_too(void **state) {
    (void)state;
    atomic_uint released = 0;
    struct frag_fragment *fragment = create();
    struct kn_sample whole = sample(wrap(&released), sizeof(bytes), 1);
    assert_int_equal(frag_fragment_add(fragment, &whole), 0);
    kn_sample_unref(&whole);
    frag_fragment_unref(fragment);
    assert_int_equal(released, 1);
    frag_fragment_unref(create());
}

static void bytes_are_limited(void **state) {
    (void)state;
    atomic_uint released = 0;
    struct frag_fragment *fragment = create();
    struct kn_buffer *buffer = wrap(&released);
    static const struct {
        size_t size;
        int rc;
    } steps[] = {
        {(size_t)FRAG_MAX_BYTES + 1, KN_E_LIMIT},
        {SIZE_MAX, KN_E_LIMIT},
        {FRAG_MAX_BYTES - 10, 0},
        {11, KN_E_LIMIT},
        {SIZE_MAX - FRAG_MAX_BYTES + 11, KN_E_LIMIT},
        {10, 0},
        {1, KN_E_LIMIT},
        {0, 0},
    };
    size_t count = 0, size = 0;
    for (size_t i = 0; i < KN_COUNT(steps); i++) {
        struct kn_sample large = sample(buffer, steps[i].size, 0);
        assert_int_equal(frag_fragment_add(fragment, &large), steps[i].rc);
        count += steps[i].rc == 0;
        size += steps[i].rc == 0 ? steps[i].size : 0;
        assert_int_equal(fragment->sample_count, count);
        assert_int_equal(fragment->bytes, size);
    }
    kn_buffer_unref(buffer);
    frag_fragment_unref(fragment);
    assert_int_equal(released, 1);
}

static void samples_are_limited(void **state) {
    (void)state;
    atomic_uint released = 0;
    struct frag_fragment *fragment = create();
    struct kn_sample small = sample(wrap(&released), 1, 0);
    unsigned refused = 0;
    for (size_t i = 0; i < FRAG_MAX_SAMPLES; i++) {
        refused += frag_fragment_add(fragment, &small) != 0;
    }
    assert_int_equal(refused, 0);
    assert_int_equal(frag_fragment_add(fragment, &small), KN_E_LIMIT);
    assert_int_equal(fragment->sample_count, FRAG_MAX_SAMPLES);
    assert_int_equal(fragment->bytes, FRAG_MAX_SAMPLES);
    kn_sample_unref(&small);
    frag_fragment_seal(fragment, 1);
    frag_fragment_unref(fragment);
    assert_int_equal(released, 1);
}

static void samples_name_a_track(void **state) {
    (void)state;
    atomic_uint released = 0;
    struct frag_fragment *fragment = create();
    struct kn_buffer *buffer = wrap(&released);
    struct kn_sample lost = sample(buffer, 1, 2);
    assert_int_equal(frag_fragment_add(fragment, &lost), -EINVAL);
    lost.track = UINT8_MAX;
    assert_int_equal(frag_fragment_add(fragment, &lost), -EINVAL);
    assert_int_equal(fragment->sample_count, 0);
    assert_int_equal(fragment->bytes, 0);
    /* What was refused was not referenced. */
    kn_buffer_unref(buffer);
    assert_int_equal(released, 1);
    frag_fragment_unref(fragment);
}

static void out_of_memory_leaves_it_as_before(void **state) {
    (void)state;
    struct kn_tracks *tracks = tracks_create();
    struct frag_fragment *fragment = NULL;
    const struct frag_fragment_start start = {.ordinal = 1};
    fail_alloc_at(1);
    int rc = frag_fragment_create(&start, tracks, &fragment);
    fail_alloc_stop();
    assert_int_equal(rc, -ENOMEM);
    assert_null(fragment);
    kn_tracks_unref(tracks);

    atomic_uint released = 0;
    fragment = create();
    struct kn_buffer *buffer = wrap(&released);
    unsigned failures = 0;
    for (size_t i = 0; i < 5000; i++) {
        struct kn_sample small = sample(buffer, i % 7, i % 2);
        size_t count = fragment->sample_count, size = fragment->bytes;
        fail_alloc_always();
        rc = frag_fragment_add(fragment, &small);
        fail_alloc_stop();
        if (rc != 0) {
            assert_int_equal(rc, -ENOMEM);
            assert_int_equal(fragment->sample_count, count);
            assert_int_equal(fragment->bytes, size);
            failures++;
            assert_int_equal(frag_fragment_add(fragment, &small), 0);
        }
        assert_int_equal(fragment->bytes, size + i % 7);
    }
    /* As often as it needed more room. */
    assert_in_range(failures, 2, 20);
    for (size_t i = 0; i < 5000; i++) {
        assert_true(fragment->samples[i].size == i % 7 && fragment->samples[i].track == i % 2);
    }
    kn_buffer_unref(buffer);
    frag_fragment_unref(fragment);
    assert_int_equal(released, 1);
}

/* ---- wrong use ---- */

static void add(void *user) {
    struct kn_sample small = {.size = 1};
    (void)frag_fragment_add(user, &small);
}

static void seal(void *user) {
    frag_fragment_seal(user, 1);
}

static void settle(void *user) {
    frag_fragment_settle(user, 0);
}

static void settle_with_error(void *user) {
    frag_fragment_settle(user, -EIO);
}

static void settle_with_a_success(void *user) {
    frag_fragment_settle(user, 1);
}

static void wrong_use_stops_the_program(void **state) {
    (void)state;
    struct frag_fragment *fragment = create();
    assert_false(aborts(add, fragment));
    assert_false(aborts(seal, fragment));
    assert_true(aborts(settle, fragment));
    assert_true(aborts(settle_with_error, fragment));

    frag_fragment_seal(fragment, 1);
    assert_true(aborts(add, fragment));
    assert_true(aborts(seal, fragment));
    assert_false(aborts(settle, fragment));
    assert_false(aborts(settle_with_error, fragment));
    assert_true(aborts(settle_with_a_success, fragment));

    frag_fragment_settle(fragment, 0);
    assert_true(aborts(add, fragment));
    assert_true(aborts(seal, fragment));
    assert_true(aborts(settle, fragment));
    assert_true(aborts(settle_with_error, fragment));
    frag_fragment_unref(fragment);
}

/* ---- with threads ---- */

/* Reads what a holder may, until it is settled; nothing says so but the state. */
static void *hold(void *user) {
    struct frag_fragment *fragment = user;
    size_t size = 0;
    for (size_t i = 0; i < 1000; i++) {
        struct frag_fragment *again = frag_fragment_ref(fragment);
        size += again->samples[i % again->sample_count].size;
        frag_fragment_unref(again);
    }
    while (frag_fragment_state(fragment) == FRAG_QUEUED) {
    }
    bool right = size == 1000 && frag_fragment_error(fragment) == -EIO;
    frag_fragment_unref(fragment);
    return right ? user : NULL;
}

static void holders_on_many_threads(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        atomic_uint released = 0;
        struct frag_fragment *fragment = create();
        struct kn_sample small = sample(wrap(&released), 1, 0);
        for (int i = 0; i < 200; i++) {
            assert_int_equal(frag_fragment_add(fragment, &small), 0);
        }
        kn_sample_unref(&small);
        frag_fragment_seal(fragment, 1);
        pthread_t holders[HOLDERS];
        for (int i = 0; i < HOLDERS; i++) {
            assert_int_equal(pthread_create(&holders[i], NULL, hold, frag_fragment_ref(fragment)),
                             0);
        }
        frag_fragment_settle(fragment, -EIO);
        frag_fragment_unref(fragment);
        for (int i = 0; i < HOLDERS; i++) {
            void *right;
            assert_int_equal(pthread_join(holders[i], &right), 0);
            assert_non_null(right);
        }
        assert_int_equal(released, 1);
    }
}

static void every_cause_of_a_gap_has_its_text(void **state) {
    (void)state;
    for (int a = FRAG_GAP_SOURCE_REFUSED; a <= FRAG_GAP_SHUTDOWN; a++) {
        const char *text = frag_gap_cause_text((enum frag_gap_cause)a);
        assert_string_not_equal(text, "unknown");
        for (int b = FRAG_GAP_SOURCE_REFUSED; b < a; b++) {
            assert_string_not_equal(text, frag_gap_cause_text((enum frag_gap_cause)b));
        }
    }
    /* The numbers are stored. */
    assert_int_equal(FRAG_GAP_DISK_FULL, 4);
    assert_int_equal(FRAG_GAP_SHUTDOWN, 13);
    assert_string_equal(frag_gap_cause_text((enum frag_gap_cause)99), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fragment_lives_from_building_to_durable),
        cmocka_unit_test(a_failed_fragment_says_why),
        cmocka_unit_test(the_last_reference_releases_each_buffer_once),
        cmocka_unit_test(an_unfinished_fragment_is_released_too),
        cmocka_unit_test(bytes_are_limited),
        cmocka_unit_test(samples_are_limited),
        cmocka_unit_test(samples_name_a_track),
        cmocka_unit_test(out_of_memory_leaves_it_as_before),
        cmocka_unit_test(wrong_use_stops_the_program),
        cmocka_unit_test(holders_on_many_threads),
        cmocka_unit_test(every_cause_of_a_gap_has_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
