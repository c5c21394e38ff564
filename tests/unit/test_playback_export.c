/* What an export does whatever the format: what is left out, where it ends, and the new file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/error.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/sample_media.h"
#include "tests/unit/playback_exports.h"

static const enum play_format formats[] = {PLAY_MKV, PLAY_MP4};

static void load(struct export_clip *clip, const char *name) {
    export_clip_load(clip, sample_path(name));
}

static struct kn_sample *samples_of(struct export_clip *clip, size_t fragment) {
    return (struct kn_sample *)(uintptr_t)clip->fragments[fragment]->samples;
}

static void drop_fragment(struct export_clip *clip, size_t fragment) {
    struct export_clip one = {.fragments = {clip->fragments[fragment]}, .count = 1};
    export_clip_finish(&one);
    clip->fragments[fragment] = NULL;
}

static int64_t clip_ns(int64_t ms) {
    return EXPORT_CLIP_BEGIN_NS + ms * KN_NS_PER_MS;
}

/* ---- what is left out ---- */

static void test_damaged_fragment(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    for (size_t i = 0; i < KN_COUNT(formats); i++) {
        load(&clip, "bframes.mkv");
        drop_fragment(&clip, 1);
        assert_int_equal(export_clip_as(&clip, formats[i], &result), 0);
        assert_int_equal(result.left_out, 1);
        assert_int_equal(result.fragments, 3);
        assert_int_equal(result.samples, 150);
        assert_int_equal(result.from.ns, clip_ns(0));
        assert_int_equal(result.to.ns, clip_ns(8000)); /* the hole is still there */
        export_clip_finish(&clip);
    }
}

static void test_all_damaged(void **state) {
    struct export_clip clip = {.count = 3};
    struct play_export_result result;

    (void)state;
    (void)unlink(export_path);
    assert_int_equal(export_clip_as(&clip, PLAY_MKV, &result), -ENOENT);
    assert_int_equal(result.left_out, 3);
    assert_false(result.about_new);
    clip.count = 0;
    assert_int_equal(export_clip_as(&clip, PLAY_MP4, &result), -ENOENT);
    assert_int_equal(files_in_folder(), 0);
}

static void clear_keys(struct export_clip *clip, size_t fragment, size_t below) {
    for (size_t i = 0; i < below; i++) {
        struct kn_sample *sample = &samples_of(clip, fragment)[i];
        if (sample->track == 0) {
            sample->flags &= (uint16_t)~KN_SAMPLE_KEY;
        }
    }
}

/* Of box.mkv's first fragment: picture 20, at 1 s, is the first key frame. */
static void test_begins_with_a_key(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    for (size_t i = 0; i < KN_COUNT(formats); i++) {
        load(&clip, "box.mkv");
        size_t count = clip.fragments[0]->sample_count;
        clear_keys(&clip, 0, count);
        size_t pictures = 0;
        size_t kept = 0;
        for (size_t j = 0; j < count; j++) {
            struct kn_sample *sample = &samples_of(&clip, 0)[j];
            pictures += sample->track == 0;
            if (sample->track == 0 && pictures == 21) {
                sample->flags |= KN_SAMPLE_KEY;
                assert_int_equal(sample->pts_ns, KN_NS_PER_S);
            }
            kept += sample->pts_ns >= KN_NS_PER_S;
        }
        assert_int_equal(export_clip_as(&clip, formats[i], &result), 0);
        assert_int_equal(result.from.ns, clip_ns(1000));
        assert_int_equal(result.samples, 358 - count + kept);
        assert_non_null(strstr(result.note, "without a key frame"));
        export_clip_finish(&clip);
    }
}

/* Behind what is left out, what has no key frame cannot be decoded either. */
static void test_no_key_behind_damage(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    for (size_t i = 0; i < KN_COUNT(formats); i++) {
        load(&clip, "bframes.mkv");
        clear_keys(&clip, 1, clip.fragments[1]->sample_count);
        assert_int_equal(export_clip_as(&clip, formats[i], &result), 0);
        assert_int_equal(result.samples, 200); /* its key frame is there */
        drop_fragment(&clip, 0);
        assert_int_equal(export_clip_as(&clip, formats[i], &result), 0);
        assert_int_equal(result.samples, 100);
        assert_int_equal(result.from.ns, clip_ns(4000));
        export_clip_finish(&clip);
    }
}

/* Sound that stands and begins before the first picture stays where the picture is a key frame. */
static void test_early_sound_stays(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    load(&clip, "box.mkv");
    struct kn_sample *samples = samples_of(&clip, 0);
    size_t first = 0;
    while (samples[first].track == 0) {
        first++;
    }
    const struct kn_sample sound = samples[first];
    memmove(samples + 1, samples, first * sizeof(*samples));
    samples[0] = sound;
    samples[0].pts_ns -= 30 * KN_NS_PER_MS;
    samples[0].dts_ns = samples[0].pts_ns;
    assert_int_equal(export_clip_as(&clip, PLAY_MKV, &result), 0);
    assert_int_equal(result.samples, 358);
    assert_int_equal(result.from.ns, clip_ns(-30));
    export_clip_finish(&clip);
}

static void test_impossible_times(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    for (size_t i = 0; i < KN_COUNT(formats); i++) {
        load(&clip, "bframes.mkv");
        clip.fragments[2]->entry.producer.ns = INT64_MAX;
        assert_int_equal(export_clip_as(&clip, formats[i], &result), 0);
        assert_int_equal(result.left_out, 1);
        assert_int_equal(result.samples, 150);
        export_clip_finish(&clip);
    }
}

/* ---- where it ends ---- */

static void test_setup_changes(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    for (size_t i = 0; i < KN_COUNT(formats); i++) {
        load(&clip, "bframes.mkv");
        export_clip_append(&clip, sample_path("box.mkv"), 8 * KN_NS_PER_S);
        assert_int_equal(export_clip_as(&clip, formats[i], &result), 0);
        assert_int_equal(result.fragments, 4);
        assert_int_equal(result.ended_at.ns, clip_ns(8000));
        assert_string_equal(result.note, "The file ends before 2026-11-20T21:23:48.000Z: the codec "
                                         "setup changes. Export from there on for the rest.");
        export_clip_finish(&clip);
    }
}

static void test_ended_at_by_the_clock(void **state) {
    struct export_clip clip;
    struct play_export_result result;
    const struct play_export_config config = {
        .clock = FRAG_CLOCK_SERVER, .path = export_path, .replace = true};

    (void)state;
    load(&clip, "bframes.mkv");
    export_clip_append(&clip, sample_path("box.mkv"), 8 * KN_NS_PER_S);
    const struct play_source source = export_clip_source(&clip);
    assert_int_equal(play_export_from(&config, &source, &result), 0);
    assert_int_equal(result.ended_at.ns, clip.fragments[4]->entry.server.ns);
    assert_int_equal(result.from.ns, clip.fragments[0]->entry.server.ns);
    assert_int_equal(result.to.ns, clip_ns(9000)); /* the server's clock is 1 s late */
    export_clip_finish(&clip);
}

/* The same setup in another session, and one whose parameter sets are not told again. */
static void test_setup_stays(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    for (size_t i = 0; i < KN_COUNT(formats); i++) {
        load(&clip, "annexb-bare.mkv");
        export_clip_append(&clip, sample_path("annexb-bare.mkv"), 8 * KN_NS_PER_S);
        struct kn_track track = clip.fragments[6]->tracks->items[0];
        track.codec_private = NULL;
        track.codec_private_bytes = 0;
        export_clip_set_tracks(clip.fragments[6], &track, 1);
        assert_int_equal(export_clip_as(&clip, formats[i], &result), 0);
        assert_int_equal(result.fragments, 8);
        assert_int_equal(result.ended_at.ns, 0);
        track.width++;
        export_clip_set_tracks(clip.fragments[6], &track, 1);
        assert_int_equal(export_clip_as(&clip, formats[i], &result), 0);
        assert_int_equal(result.fragments, 6);
        export_clip_finish(&clip);
    }
}

static void test_overlap(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    for (size_t i = 0; i < KN_COUNT(formats); i++) {
        load(&clip, "bframes.mkv");
        export_clip_append(&clip, sample_path("bframes.mkv"), 7 * KN_NS_PER_S);
        assert_int_equal(export_clip_as(&clip, formats[i], &result), 0);
        assert_int_equal(result.samples, 400);
        assert_int_equal(result.to.ns, clip_ns(15000));
        assert_non_null(strstr(result.note, "4 fragments overlap"));
        export_clip_finish(&clip);
    }
}

static void test_source_fails(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    (void)unlink(export_path);
    load(&clip, "bframes.mkv");
    clip.error = KN_E_MEMORY_LIMIT;
    for (size_t i = 0; i < KN_COUNT(formats); i++) {
        assert_int_equal(export_clip_as(&clip, formats[i], &result), KN_E_MEMORY_LIMIT);
        assert_false(result.about_new);
        assert_int_equal(files_in_folder(), 0);
    }
    export_clip_finish(&clip);
}

/* ---- progress and stopping ---- */

struct watch {
    atomic_bool stop;
    uint64_t stop_at; /* fragments */
    uint64_t calls, fragments, bytes;
    struct kn_wall at;
};

static void handle_progress(const struct play_export_progress *progress, void *user) {
    struct watch *watch = user;
    assert_true(progress->fragments > watch->fragments && progress->bytes >= watch->bytes);
    assert_true(progress->at.ns > watch->at.ns);
    watch->calls++;
    watch->fragments = progress->fragments;
    watch->bytes = progress->bytes;
    watch->at = progress->at;
    if (watch->fragments >= watch->stop_at) {
        atomic_store(&watch->stop, true);
    }
}

static void test_progress_and_stop(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    (void)unlink(export_path);
    load(&clip, "qr.mkv");
    for (int64_t i = 1; i < 20; i++) {
        export_clip_append(&clip, sample_path("qr.mkv"), i * 11 * KN_NS_PER_S);
    }
    for (size_t i = 0; i < KN_COUNT(formats); i++) {
        struct watch watch = {.stop_at = 100};
        struct play_export_config config = {.format = formats[i],
                                            .path = export_path,
                                            .stop = &watch.stop,
                                            .handle_progress = handle_progress,
                                            .user = &watch};
        struct play_source source = export_clip_source(&clip);
        assert_int_equal(play_export_from(&config, &source, &result), -ECANCELED);
        assert_true(watch.calls >= 2);
        assert_true(result.fragments >= 100 && result.fragments < 200);
        assert_int_equal(files_in_folder(), 0);
        watch = (struct watch){.stop_at = UINT64_MAX};
        source = export_clip_source(&clip);
        assert_int_equal(play_export_from(&config, &source, &result), 0);
        assert_true(watch.calls >= 200 / 64);
        assert_int_equal(unlink(export_path), 0);
    }
    export_clip_finish(&clip);
}

static atomic_bool stop_at_end;

static int next_until_end(void *user, struct frag_loaded **ret_loaded) {
    struct export_clip *clip = user;
    if (clip->next == clip->count) {
        atomic_store(&stop_at_end, true);
        return PLAY_NEXT_END;
    }
    clip->given++;
    *ret_loaded = clip->fragments[clip->next++];
    return PLAY_NEXT_FRAGMENT;
}

/* Moving an MP4's index to the front takes a while, too. */
static void test_stop_at_the_end(void **state) {
    struct export_clip clip;
    struct play_export_result result;
    const struct play_export_config config = {
        .format = PLAY_MP4, .path = export_path, .stop = &stop_at_end};

    (void)state;
    (void)unlink(export_path);
    load(&clip, "bframes.mkv");
    struct play_source source = export_clip_source(&clip);
    source.next = next_until_end;
    assert_int_equal(play_export_from(&config, &source, &result), -ECANCELED);
    assert_false(result.about_new);
    assert_int_equal(files_in_folder(), 0);
    export_clip_finish(&clip);
}

/* ---- the new file ---- */

static void test_existing(void **state) {
    struct export_clip clip;
    struct play_export_result result;
    struct stat status;

    (void)state;
    load(&clip, "bframes.mkv");
    for (size_t i = 0; i < KN_COUNT(formats); i++) {
        struct play_export_config config = {.format = formats[i], .path = export_path};
        FILE *file = fopen(export_path, "wbe");
        assert_non_null(file);
        (void)fclose(file);
        struct play_source source = export_clip_source(&clip);
        assert_int_equal(play_export_from(&config, &source, &result), -EEXIST);
        assert_true(result.exists && result.about_new);
        assert_int_equal(clip.next, 0); /* nothing was read in vain */
        assert_int_equal(stat(export_path, &status), 0);
        assert_int_equal(status.st_size, 0);
        config.replace = true;
        assert_int_equal(play_export_from(&config, &source, &result), 0);
        assert_int_equal(stat(export_path, &status), 0);
        assert_int_equal(status.st_size, result.bytes);
        assert_int_equal(files_in_folder(), 1);
        assert_int_equal(unlink(export_path), 0);
    }
    struct play_export_config config = {.path = export_folder, .replace = true};
    const struct play_source source = export_clip_source(&clip);
    assert_int_equal(play_export_from(&config, &source, &result), -EEXIST);
    assert_true(result.exists);
    assert_string_equal(result.note, "It is no regular file.");
    config.path = "/nowhere/at/all";
    assert_int_equal(play_export_from(&config, &source, &result), -ENOENT);
    assert_true(result.about_new);
    export_clip_finish(&clip);
}

/* As a full disk: the file cannot grow. */
static void test_cannot_be_written(void **state) {
    struct export_clip clip;
    struct play_export_result result;
    struct rlimit limit;

    (void)state;
    (void)unlink(export_path);
    load(&clip, "bframes.mkv");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    static const rlim_t sizes[] = {100, 5000, 150000, 311000};
    for (size_t i = 0; i < KN_COUNT(sizes) * KN_COUNT(formats); i++) {
        const struct rlimit small = {.rlim_cur = sizes[i / 2], .rlim_max = limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        int rc = export_clip_as(&clip, formats[i % 2], &result);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(rc, -EFBIG);
        assert_true(result.about_new && !result.exists);
        assert_int_equal(files_in_folder(), 0);
    }
    export_clip_finish(&clip);
}

static void test_out_of_memory(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    (void)unlink(export_path);
    load(&clip, "box.mkv");
    for (size_t i = 0; i < KN_COUNT(formats); i++) {
        unsigned long failures = 0;
        int rc = -ENOMEM;
        while (rc != 0) {
            fail_alloc_at(failures + 1);
            rc = export_clip_as(&clip, formats[i], &result);
            fail_alloc_stop();
            if (rc != 0) {
                failures++;
                assert_int_equal(rc, -ENOMEM);
                assert_int_equal(files_in_folder(), 0);
            }
        }
        assert_true(failures >= (formats[i] == PLAY_MKV ? 5 : 3));
        assert_int_equal(unlink(export_path), 0);
    }
    export_clip_finish(&clip);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_fragment),  cmocka_unit_test(test_all_damaged),
        cmocka_unit_test(test_begins_with_a_key), cmocka_unit_test(test_no_key_behind_damage),
        cmocka_unit_test(test_early_sound_stays), cmocka_unit_test(test_impossible_times),
        cmocka_unit_test(test_setup_changes),     cmocka_unit_test(test_ended_at_by_the_clock),
        cmocka_unit_test(test_setup_stays),       cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_source_fails),      cmocka_unit_test(test_progress_and_stop),
        cmocka_unit_test(test_stop_at_the_end),   cmocka_unit_test(test_existing),
        cmocka_unit_test(test_cannot_be_written), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make_export_folder, remove_export_folder);
}
