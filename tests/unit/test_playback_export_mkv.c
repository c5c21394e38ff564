/* Export as Matroska, read back by the sample reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/sample_media.h"
#include "tests/unit/playback_exports.h"

/* ---- reading back ---- */

struct seen {
    const struct export_clip *clip; /* what must be there */
    struct frag_mkv_info info;
    size_t fragment, sample; /* of the clip: the next one */
    size_t samples, tags, clusters;
    bool seek_head, cues;
    char first[64], last[64], stream[64];
};

static int see_info(const struct frag_mkv_info *info, void *user) {
    ((struct seen *)user)->info = *info;
    return 0;
}

static int see_element(const struct frag_mkv_element *element, void *user) {
    struct seen *seen = user;
    seen->seek_head = seen->seek_head || element->id == FRAG_MKV_SEEK_HEAD;
    seen->cues = seen->cues || element->id == FRAG_MKV_CUES;
    assert_int_not_equal(element->size, FRAG_MKV_UNKNOWN_SIZE);
    return 0;
}

static int see_tag(const struct frag_mkv_tag *tag, void *user) {
    struct seen *seen = user;
    char *room = strcmp(tag->name, "STREAM") == 0           ? seen->stream
                 : strcmp(tag->name, "FIRST_FRAGMENT") == 0 ? seen->first
                 : strcmp(tag->name, "LAST_FRAGMENT") == 0  ? seen->last
                                                            : NULL;
    assert_non_null(room);
    (void)snprintf(room, sizeof(seen->first), "%.*s", (int)tag->value_bytes,
                   (const char *)tag->value);
    seen->tags++;
    return 0;
}

static int see_bad_crc(const struct frag_mkv_element *element, void *user) {
    (void)user;
    fail_msg("bad CRC-32 in %s", frag_mkv_id_name(element->id));
    return 0;
}

static const struct kn_sample *next_sample(struct seen *seen, int64_t *ret_producer_ns) {
    while (seen->fragment < seen->clip->count) {
        const struct frag_loaded *loaded = seen->clip->fragments[seen->fragment];
        if (loaded != NULL && seen->sample < loaded->sample_count) {
            *ret_producer_ns = loaded->entry.producer.ns;
            return &loaded->samples[seen->sample++];
        }
        seen->fragment++;
        seen->sample = 0;
    }
    return NULL;
}

static int see_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct seen *seen = user;
    const struct kn_tracks *tracks = seen->clip->fragments[0]->tracks;
    for (size_t i = 0; i < tracks->count; i++) {
        assert_int_equal(fragment->tracks->items[i].codec, tracks->items[i].codec);
        assert_int_equal(fragment->tracks->items[i].codec_private_bytes,
                         tracks->items[i].codec_private_bytes);
    }
    seen->clusters++;
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        int64_t producer_ns = 0;
        const struct kn_sample *known = next_sample(seen, &producer_ns);
        assert_non_null(known);
        assert_int_equal(sample->track, known->track);
        assert_int_equal(sample->size, known->size);
        assert_memory_equal(sample->data, known->data, known->size);
        assert_int_equal(sample->flags & KN_SAMPLE_KEY, known->flags & KN_SAMPLE_KEY);
        assert_int_equal(sample->discard_ns, known->discard_ns);
        /* The file's date plus the sample's time is its producer time, to the millisecond. */
        int64_t off_ns =
            seen->info.date_ns + fragment->time_ns + sample->pts_ns - (producer_ns + known->pts_ns);
        assert_true(off_ns <= KN_NS_PER_MS / 2 && off_ns >= -KN_NS_PER_MS / 2);
        seen->samples++;
    }
    return 0;
}

static void read_back(struct seen *seen, const struct export_clip *clip) {
    static const struct frag_mkv_reader_handler handler = {.begin = see_element,
                                                           .info = see_info,
                                                           .fragment = see_fragment,
                                                           .tag = see_tag,
                                                           .bad_crc = see_bad_crc};
    const struct frag_mkv_reader_config config = {
        .handler = &handler, .user = seen, .verify_crc = true};
    *seen = (struct seen){.clip = clip};
    struct frag_mkv_reader *reader = NULL;
    assert_int_equal(frag_mkv_reader_create(&config, &reader), 0);
    FILE *file = fopen(export_path, "rbe");
    assert_non_null(file);
    static uint8_t room[65536];
    size_t got = 0;
    while ((got = fread(room, 1, sizeof(room), file)) > 0) {
        assert_int_equal(frag_mkv_reader_push(reader, room, got), 0);
    }
    assert_int_equal(frag_mkv_reader_finish(reader), 0);
    (void)fclose(file);
    frag_mkv_reader_destroy(reader);
    int64_t producer_ns = 0;
    assert_null(next_sample(seen, &producer_ns)); /* none is missing at the end */
}

/* ---- tests ---- */

static void test_every_clip(void **state) {
    (void)state;
    for (size_t i = 0; i < SAMPLE_CLIPS; i++) {
        struct export_clip clip;
        struct play_export_result result;
        struct seen seen;
        export_clip_load(&clip, sample_path(sample_clips[i]));
        assert_int_equal(export_clip_as(&clip, PLAY_MKV, &result), 0);
        read_back(&seen, &clip);
        assert_int_equal(result.fragments, clip.count);
        assert_int_equal(result.samples, seen.samples);
        assert_int_equal(result.left_out + result.left_out_samples, 0);
        assert_int_equal(result.from.ns, seen.info.date_ns);
        assert_int_equal(result.to.ns - result.from.ns, seen.info.duration_ns);
        assert_true(seen.info.has_date && seen.seek_head && seen.cues);
        assert_string_equal(seen.info.title, "front-door");
        assert_int_equal(seen.info.timecode_scale_ns, KN_NS_PER_MS);
        assert_string_equal(result.note, "");
        export_clip_finish(&clip);
    }
}

static void test_tags(void **state) {
    struct export_clip clip;
    struct play_export_result result;
    struct seen seen;
    char text[FRAG_NUMBER_TEXT_BYTES];

    (void)state;
    export_clip_load(&clip, sample_path("box.mkv"));
    assert_int_equal(export_clip_as(&clip, PLAY_MKV, &result), 0);
    read_back(&seen, &clip);
    assert_int_equal(seen.tags, 3);
    assert_string_equal(seen.stream, "front-door");
    assert_string_equal(seen.first, frag_number_format(clip.fragments[0]->entry.number, text));
    assert_string_equal(seen.last, frag_number_format(clip.fragments[4]->entry.number, text));
    export_clip_finish(&clip);
}

/* Producer times are not whole milliseconds; nothing may add up. */
static void test_odd_times(void **state) {
    struct export_clip clip;
    struct play_export_result result;
    struct seen seen;

    (void)state;
    export_clip_load(&clip, sample_path("bframes.mkv"));
    for (size_t i = 0; i < clip.count; i++) {
        clip.fragments[i]->entry.producer.ns += 333333 + (int64_t)i * 700001;
    }
    assert_int_equal(export_clip_as(&clip, PLAY_MKV, &result), 0);
    read_back(&seen, &clip);
    assert_int_equal(seen.info.date_ns, EXPORT_CLIP_BEGIN_NS + 333333);
    assert_int_equal(seen.clusters, clip.count);
    export_clip_finish(&clip);
}

/* A block reaches 32 seconds from its cluster: what lies further apart needs two. */
static void test_long_fragment(void **state) {
    struct export_clip clip;
    struct play_export_result result;
    struct seen seen;

    (void)state;
    export_clip_load(&clip, sample_path("box.mkv"));
    struct frag_loaded *first = clip.fragments[0];
    struct kn_sample *samples = (struct kn_sample *)(uintptr_t)first->samples;
    int64_t late_ns = 70 * KN_NS_PER_S;
    for (size_t i = first->sample_count / 2; i < first->sample_count; i++) {
        samples[i].pts_ns += late_ns;
        samples[i].dts_ns += late_ns;
    }
    for (size_t i = 1; i < clip.count; i++) {
        clip.fragments[i]->entry.producer.ns += late_ns;
    }
    assert_int_equal(export_clip_as(&clip, PLAY_MKV, &result), 0);
    read_back(&seen, &clip);
    assert_int_equal(seen.clusters, clip.count + 1);
    assert_int_equal(seen.info.duration_ns, late_ns + 10112 * KN_NS_PER_MS);
    export_clip_finish(&clip);
}

/* A night without a picture stays as long as it was. */
static void test_hole_stays(void **state) {
    struct export_clip clip;
    struct play_export_result result;
    struct seen seen;
    int64_t night_ns = 14 * 3600 * KN_NS_PER_S;

    (void)state;
    export_clip_load(&clip, sample_path("box.mkv"));
    export_clip_append(&clip, sample_path("box.mkv"), night_ns);
    assert_int_equal(export_clip_as(&clip, PLAY_MKV, &result), 0);
    read_back(&seen, &clip);
    assert_int_equal(result.fragments, 10);
    assert_int_equal(seen.info.duration_ns, night_ns + 10112 * KN_NS_PER_MS);
    export_clip_finish(&clip);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_clip), cmocka_unit_test(test_tags),
        cmocka_unit_test(test_odd_times),  cmocka_unit_test(test_long_fragment),
        cmocka_unit_test(test_hole_stays),
    };
    return cmocka_run_group_tests(tests, make_export_folder, remove_export_folder);
}
