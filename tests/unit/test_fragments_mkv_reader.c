#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <jansson.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/nal.h"
#include "tests/support/ebml_build.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/sample_media.h"

#define NS_PER_MS INT64_C(1000000)
#define FRAGMENTS_MAX 16

/* ---- a reader that keeps what it is given ---- */

struct kept {
    struct frag_mkv_fragment fragments[FRAGMENTS_MAX]; /* samples are ours, with references */
    size_t count;
    size_t tags, infos, begins, ends, cluster_times;
    uint64_t timecode, outside_bytes, outside_upto, cluster_bytes;
    struct kn_tracks *received; /* as the tracks callback gave it */
    int answer;                 /* of the fragment callback */
    bool only_count;
};

static void keep(struct kept *kept, const struct frag_mkv_fragment *fragment) {
    assert_true(kept->count < FRAGMENTS_MAX);
    struct frag_mkv_fragment *copy = &kept->fragments[kept->count];
    struct kn_sample *samples = calloc(fragment->sample_count + 1, sizeof(*samples));

    assert_non_null(samples);
    for (size_t i = 0; i < fragment->sample_count; i++) {
        samples[i] = kn_sample_ref(&fragment->samples[i]);
    }
    *copy = *fragment;
    copy->samples = samples;
    copy->bytes = kn_buffer_ref(fragment->bytes);
    copy->tracks = kn_tracks_ref(fragment->tracks);
}

static int handle_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct kept *kept = user;

    assert_int_equal(fragment->bytes->size, fragment->end_offset - fragment->cluster.offset);
    assert_int_equal(fragment->timecode, kept->timecode);
    kept->cluster_bytes += fragment->bytes->size;
    if (!kept->only_count) {
        keep(kept, fragment);
    }
    kept->count++;
    return kept->answer;
}

static int handle_tracks(struct kn_tracks *tracks, void *user) {
    ((struct kept *)user)->received = kn_tracks_ref(tracks);
    return 0;
}

static int handle_tag(const struct frag_mkv_tag *tag, void *user) {
    (void)tag;
    ((struct kept *)user)->tags++;
    return 0;
}

static int handle_info(const struct frag_mkv_info *info, void *user) {
    (void)info;
    ((struct kept *)user)->infos++;
    return 0;
}

static int handle_begin(const struct frag_mkv_element *element, void *user) {
    (void)element;
    ((struct kept *)user)->begins++;
    return 0;
}

static int handle_end(const struct frag_mkv_element *element, uint64_t end_offset, void *user) {
    (void)element;
    (void)end_offset;
    ((struct kept *)user)->ends++;
    return 0;
}

static int handle_cluster_time(uint64_t timecode, int64_t time_ns, void *user) {
    struct kept *kept = user;
    (void)time_ns;
    /* Before its fragment, and once for each. */
    assert_int_equal(kept->cluster_times, kept->count);
    kept->cluster_times++;
    kept->timecode = timecode;
    return 0;
}

static int handle_bytes(const uint8_t *data, size_t size, uint64_t offset, void *user) {
    struct kept *kept = user;
    (void)data;
    assert_true(offset >= kept->outside_upto); /* in order, and none twice */
    kept->outside_upto = offset + size;
    kept->outside_bytes += size;
    return 0;
}

static const struct frag_mkv_reader_handler handler = {
    .cluster_time = handle_cluster_time,
    .bytes = handle_bytes,
    .fragment = handle_fragment,
    .tracks = handle_tracks,
    .tag = handle_tag,
    .info = handle_info,
    .begin = handle_begin,
    .end = handle_end,
};

static void drop(struct kept *kept) {
    for (size_t i = 0; i < kept->count && !kept->only_count; i++) {
        struct frag_mkv_fragment *face = &kept->fragments[i];
        struct kn_sample *samples = (struct kn_sample *)(uintptr_t)face->samples;
        for (size_t s = 0; s < face->sample_count; s++) {
            kn_sample_unref(&samples[s]);
        }
        free(samples);
        kn_buffer_unref(face->bytes);
        kn_tracks_unref(face->tracks);
    }
    kn_tracks_unref(kept->received);
    *kept = (struct kept){0};
}

/* The whole way, in pieces. The error as it stood at the end, when it is asked for. */
static int read_bytes(struct kept *kept, struct frag_mkv_reader_config config, const uint8_t *data,
                      size_t size, struct frag_mkv_error *ret_error) {
    struct frag_mkv_reader *reader = NULL;

    config.handler = &handler;
    config.user = kept;
    int rc = frag_mkv_reader_create(&config, &reader);
    for (size_t from = 0; from < size && rc == 0; from += 4099) {
        rc = frag_mkv_reader_push(reader, data + from, size - from < 4099 ? size - from : 4099);
    }
    if (rc == 0) {
        rc = frag_mkv_reader_finish(reader);
    }
    if (reader != NULL) {
        assert_true(rc != 0 || kept->outside_bytes + kept->cluster_bytes == size);
        assert_int_equal(frag_mkv_reader_push(reader, data, 0), rc);
        assert_int_equal(frag_mkv_reader_error(reader)->result, rc);
        if (ret_error != NULL) {
            *ret_error = *frag_mkv_reader_error(reader);
        }
    }
    frag_mkv_reader_destroy(reader);
    return rc;
}

static int read_text(struct kept *kept, struct frag_mkv_reader_config config, const char *text,
                     struct frag_mkv_error *ret_error) {
    struct ebml_document document;

    ebml_build(&document, text);
    int rc = read_bytes(kept, config, document.data, document.size, ret_error);
    ebml_free(&document);
    return rc;
}

static int read_clip(struct kept *kept, const char *file) {
    size_t size = 0;
    uint8_t *data = sample_load(file, &size);
    int rc = read_bytes(kept, (struct frag_mkv_reader_config){0}, data, size, NULL);
    free(data);
    return rc;
}

/* ---- every clip against the manifest ---- */

static json_int_t fact(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static bool is_odd(const json_t *clip, const char *what) {
    const json_t *all = json_object_get(json_object_get(clip, "expect"), "odd");
    size_t i;
    json_t *odd;
    json_array_foreach(all, i, odd) {
        if (strcmp(json_string_value(odd), what) == 0) {
            return true;
        }
    }
    return false;
}

struct clip_count {
    size_t frames[KN_TRACKS_MAX], keys[KN_TRACKS_MAX];
    int64_t first_ns;
};

/* Samples of one fragment: framing, order of times. */
static void check_samples(const struct frag_mkv_fragment *fragment, struct clip_count *count) {
    int64_t last[KN_TRACKS_MAX];
    bool seen[KN_TRACKS_MAX] = {false};

    assert_int_equal(fragment->malformed, 0);
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        const struct kn_track *track = &fragment->tracks->items[sample->track];
        int64_t time_ns = fragment->time_ns + sample->pts_ns;
        if (track->codec == KN_CODEC_H264 || track->codec == KN_CODEC_H265) {
            assert_true(frag_nal_is_prefixed(sample->data, sample->size, 4));
        }
        assert_true(sample->size > 0 && (sample->flags & KN_SAMPLE_MALFORMED) == 0);
        assert_true(sample->dts_ns <= sample->pts_ns);
        assert_true(!seen[sample->track] || sample->dts_ns > last[sample->track]);
        last[sample->track] = sample->dts_ns;
        seen[sample->track] = true;
        count->first_ns = time_ns < count->first_ns ? time_ns : count->first_ns;
        count->frames[sample->track]++;
        count->keys[sample->track] += (sample->flags & KN_SAMPLE_KEY) != 0;
    }
}

static void check_cluster(const struct frag_mkv_fragment *fragment, const json_t *facts) {
    size_t video_keys = 0;

    assert_int_equal(fragment->cluster.offset, fact(facts, "offset"));
    assert_int_equal(fragment->time_ns, fact(facts, "start_ms") * NS_PER_MS);
    assert_int_equal(fragment->sample_count, fact(facts, "frames"));
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        bool video = fragment->tracks->items[sample->track].media == KN_MEDIA_VIDEO;
        video_keys += video && (sample->flags & KN_SAMPLE_KEY) != 0;
    }
    assert_int_equal(video_keys, fact(facts, "video_key_frames"));
}

static void check_tracks(const struct kn_tracks *received, const json_t *facts) {
    size_t i;
    json_t *track;

    assert_int_equal(received->count, json_array_size(facts));
    json_array_foreach(facts, i, track) {
        const struct kn_track *item = &received->items[i];
        assert_int_equal(item->number, fact(track, "number"));
        assert_string_equal(item->codec_id, json_string_value(json_object_get(track, "codec")));
        assert_int_equal(item->codec_private_bytes, fact(track, "codec_private_bytes"));
        assert_int_equal(item->default_duration_ns, fact(track, "default_duration_ns"));
        if (item->media == KN_MEDIA_VIDEO) {
            assert_int_equal(item->width, fact(track, "width"));
            assert_int_equal(item->height, fact(track, "height"));
        } else {
            assert_int_equal(item->sample_rate_hz, fact(track, "sample_rate"));
            assert_int_equal(item->channels, fact(track, "channels"));
        }
    }
}

static void check_clip(const json_t *clip) {
    const json_t *clusters = json_object_get(clip, "cluster_list");
    const json_t *tracks = json_object_get(clip, "tracks");
    bool truncated = is_odd(clip, "truncated");
    struct clip_count count = {.first_ns = INT64_MAX};
    struct kept kept = {0};
    size_t converted = 0, frames = 0, i;
    json_t *track;

    int rc = read_clip(&kept, json_string_value(json_object_get(clip, "file")));
    assert_int_equal(rc, truncated ? KN_E_TRUNCATED : 0);
    /* The cluster that is cut is not given. */
    assert_int_equal(kept.count, json_array_size(clusters) - (truncated ? 1 : 0));
    check_tracks(kept.received, tracks);
    for (size_t f = 0; f < kept.count; f++) {
        const struct frag_mkv_fragment *fragment = &kept.fragments[f];
        check_cluster(fragment, json_array_get(clusters, f));
        check_samples(fragment, &count);
        converted += fragment->converted;
        frames += fragment->sample_count;
    }
    assert_int_equal(converted, is_odd(clip, "annexb-frames") ? frames : 0);
    assert_int_equal(count.first_ns, fact(clip, "first_ms") * NS_PER_MS);
    json_array_foreach(tracks, i, track) {
        bool video = kept.received->items[i].media == KN_MEDIA_VIDEO;
        if (!truncated) {
            assert_int_equal(count.frames[i], fact(track, "frames"));
            /* Audio is key throughout, whatever its container says. */
            assert_int_equal(count.keys[i], fact(track, video ? "key_frames" : "frames"));
        }
    }
    drop(&kept);
}

static void test_clips(void **state) {
    json_error_t error;
    json_t *manifest = json_load_file(sample_path("manifest.json"), 0, &error);
    const json_t *clips = json_object_get(manifest, "clips");
    size_t i;
    json_t *clip;

    (void)state;
    assert_int_equal(json_array_size(clips), SAMPLE_CLIPS);
    json_array_foreach(clips, i, clip) {
        check_clip(clip);
    }
    json_decref(manifest);
}

/* ---- what single clips are for ---- */

/* IPBB with a pyramid: in decode order 0 4 2 1 3 ..., two pictures before their turn. */
static void test_pyramid(void **state) {
    static const int64_t pts[] = {0, 160, 80, 40, 120};
    struct kept kept = {0};

    (void)state;
    assert_int_equal(read_clip(&kept, "bframes.mkv"), 0);
    for (size_t f = 0; f < kept.count; f++) {
        const struct frag_mkv_fragment *fragment = &kept.fragments[f];
        for (size_t i = 0; i < KN_COUNT(pts); i++) {
            assert_int_equal(fragment->samples[i].pts_ns, pts[i] * NS_PER_MS);
        }
        for (size_t i = 0; i < fragment->sample_count; i++) {
            assert_int_equal(fragment->samples[i].dts_ns, ((int64_t)i - 2) * 40 * NS_PER_MS);
        }
    }
    drop(&kept);
}

/* Leading pictures are shown before the key frame they follow: their pts are before it. */
static void test_open_gop(void **state) {
    static const char *const files[] = {"open-gop.mkv", "h265-bframes.mkv"};

    (void)state;
    for (size_t file = 0; file < KN_COUNT(files); file++) {
        struct kept kept = {0};
        size_t leading = 0;
        int64_t last_dts = INT64_MIN;
        assert_int_equal(read_clip(&kept, files[file]), 0);
        for (size_t f = 0; f < kept.count; f++) {
            const struct frag_mkv_fragment *fragment = &kept.fragments[f];
            assert_true((fragment->samples[0].flags & KN_SAMPLE_KEY) != 0);
            for (size_t i = 0; i < fragment->sample_count; i++) {
                leading += fragment->samples[i].pts_ns < fragment->samples[0].pts_ns;
            }
            /* Decode times go on rising over the fragments' border. */
            assert_true(fragment->time_ns + fragment->samples[0].dts_ns > last_dts);
            last_dts = fragment->time_ns + fragment->samples[fragment->sample_count - 1].dts_ns;
        }
        assert_true(leading > 0);
        drop(&kept);
    }
}

/* Parameter sets from Annex-B private data, and from frames where there is none: the same avcC. */
static void test_annexb_gets_an_avcc(void **state) {
    struct kept with = {0}, bare = {0};
    struct frag_param_sets sets;

    (void)state;
    assert_int_equal(read_clip(&with, "annexb.mkv"), 0);
    assert_int_equal(read_clip(&bare, "annexb-bare.mkv"), 0);
    assert_int_equal(bare.received->items[0].codec_private_bytes, 0);
    assert_int_equal(with.count, bare.count);
    for (size_t f = 0; f < with.count; f++) {
        const struct kn_track *a = &with.fragments[f].tracks->items[0];
        const struct kn_track *b = &bare.fragments[f].tracks->items[0];
        assert_int_equal(frag_avcc_parse(a->codec_private, a->codec_private_bytes, &sets), 0);
        assert_int_equal(sets.length_bytes, 4);
        assert_int_equal(sets.count, 2);
        assert_int_equal(a->codec_private_bytes, b->codec_private_bytes);
        assert_memory_equal(a->codec_private, b->codec_private, a->codec_private_bytes);
        /* What was received stays as it was, beside what is made of it. */
        const struct frag_mkv_fragment *face = &with.fragments[f];
        assert_ptr_not_equal(face->samples[0].buffer, face->bytes);
    }
    drop(&with);
    drop(&bare);
}

/* ---- documents ---- */

#define HEAD "EBML{DocType='matroska'} Segment:?{"
/* Those of annexb.mkv. */
#define SPS "6764000CACB202833F3E0220000003002000000501E28549"
#define PPS "68EBC2CB22C0"
#define AVCC(length) "Private<01 64000C " length " E1 0018 " SPS " 01 0006 " PPS ">"
#define H264(private)                                                                              \
    HEAD                                                                                           \
        "Tracks{Entry{Number=1 Type=1 Codec='V_MPEG4/ISO/AVC' " private "} Entry{Number=2 Type=2 " \
                                                                        "Codec='A_OPUS'}} "

static void test_malformed_frames_are_kept(void **state) {
    struct kept kept = {0};

    (void)state;
    assert_int_equal(
        read_text(&kept, (struct frag_mkv_reader_config){0},
                  H264(AVCC("FF")) "Cluster{Time=1 Simple<81 0000 80 00000002 6588> "
                                   "Simple<81 0001 00 00000009 41> Simple<81 0002 00 'junk!'> "
                                   "Simple<81 0003 00 000001 41 9A> Simple<82 0000 00 FFFFFF>}}",
                  NULL),
        0);
    const struct frag_mkv_fragment *fragment = &kept.fragments[0];
    assert_int_equal(fragment->sample_count, 5);
    assert_int_equal(fragment->malformed, 2);
    assert_int_equal(fragment->converted, 1);
    assert_int_equal(fragment->samples[0].flags, KN_SAMPLE_KEY);
    assert_int_equal(fragment->samples[1].flags, KN_SAMPLE_MALFORMED);
    assert_memory_equal(fragment->samples[1].data, "\0\0\0\x09\x41", 5);
    assert_int_equal(fragment->samples[2].flags, KN_SAMPLE_MALFORMED);
    assert_memory_equal(fragment->samples[2].data, "junk!", 5);
    assert_int_equal(fragment->samples[3].flags, 0);
    assert_int_equal(fragment->samples[3].size, 6);
    assert_memory_equal(fragment->samples[3].data, "\0\0\0\x02\x41\x9A", 6);
    assert_int_equal(fragment->samples[4].flags, KN_SAMPLE_KEY);
    assert_ptr_equal(fragment->samples[0].buffer, fragment->bytes);
    assert_ptr_equal(fragment->samples[1].buffer, fragment->bytes);
    assert_ptr_not_equal(fragment->samples[3].buffer, fragment->bytes);
    drop(&kept);
}

/* With 2-byte lengths Annex-B cannot be told apart for sure, nor put among them. */
static void test_shorter_lengths(void **state) {
    struct kept kept = {0};

    (void)state;
    assert_int_equal(read_text(&kept, (struct frag_mkv_reader_config){0},
                               H264(AVCC("FD")) "Cluster{Time=1 Simple<81 0000 80 0002 6588> "
                                                "Simple<81 0001 00 000001 41>}}",
                               NULL),
                     0);
    const struct frag_mkv_fragment *fragment = &kept.fragments[0];
    assert_int_equal(fragment->samples[0].flags, KN_SAMPLE_KEY);
    assert_int_equal(fragment->samples[1].flags, KN_SAMPLE_MALFORMED);
    assert_int_equal(fragment->malformed, 1);
    drop(&kept);
}

/* Sets that come with the second fragment: from there on, and into an avcC of its own. */
static void test_sets_that_come_later(void **state) {
    struct frag_param_sets sets;
    struct kept kept = {0};

    (void)state;
    /* The second frame begins 00 00 01 2C: a length, of an SEI of 300 bytes, no start code. */
    assert_int_equal(
        read_text(&kept, (struct frag_mkv_reader_config){0},
                  H264("") "Cluster{Time=1 Simple<81 0000 80 00000002 6588>} "
                           "Cluster{Time=2 Simple<81 0000 80 0000012C 06 'x'*299 00000018 " SPS
                           " 00000006 " PPS " 00000002 6588>}}",
                  NULL),
        0);
    assert_int_equal(kept.count, 2);
    assert_ptr_equal(kept.fragments[0].tracks, kept.received);
    const struct kn_tracks *tracks = kept.fragments[1].tracks;
    assert_int_equal(frag_avcc_parse(tracks->items[0].codec_private,
                                     tracks->items[0].codec_private_bytes, &sets),
                     0);
    assert_int_equal(sets.count, 2);
    assert_string_equal(tracks->items[1].codec_id, "A_OPUS");
    assert_int_equal(kept.fragments[1].converted, 0);
    drop(&kept);
}

static void test_a_frame_of_start_codes_alone(void **state) {
    struct kept kept = {0};

    (void)state;
    assert_int_equal(read_text(&kept, (struct frag_mkv_reader_config){0},
                               H264("") "Cluster{Time=1 Simple<81 0000 80 000001> "
                                        "Simple<81 0001 80 00000001 000001>}}",
                               NULL),
                     0);
    assert_int_equal(kept.fragments[0].converted, 2);
    assert_int_equal(kept.fragments[0].samples[0].size, 0);
    drop(&kept);
}

#define PLAIN HEAD "Tracks{Entry{Number=1 Type=1 Codec='V_VP8'}} "

static void test_passes_on_the_rest(void **state) {
    struct kept kept = {0};

    (void)state;
    assert_int_equal(read_text(&kept, (struct frag_mkv_reader_config){0},
                               PLAIN "Info{} Tags{Tag{SimpleTag{TagName='a'}}} Cluster{Time=1} "
                                     "Cues{} Cluster:?{Time=2} Tags{Tag{SimpleTag{TagName='b'}}}}",
                               NULL),
                     0);
    assert_int_equal(kept.count, 2);
    assert_int_equal(kept.fragments[0].sample_count, 0);
    assert_int_equal(kept.fragments[1].timecode, 2);
    assert_int_equal(kept.tags, 2);
    assert_int_equal(kept.infos, 1);
    assert_int_equal(kept.begins, 7);
    assert_int_equal(kept.ends, 7);
    drop(&kept);
}

static void test_a_callback_stops_the_reader(void **state) {
    struct kept kept = {.answer = -EPIPE, .only_count = true};
    struct frag_mkv_error error;

    (void)state;
    assert_int_equal(read_text(&kept, (struct frag_mkv_reader_config){0},
                               PLAIN "Cluster{Time=1} Cluster{Time=2}}", &error),
                     -EPIPE);
    assert_int_equal(error.fault, FRAG_MKV_STOPPED);
    assert_int_equal(kept.count, 1);
    drop(&kept);
}

/* A cluster that something breaks is not given. */
static void test_a_broken_cluster_is_not_given(void **state) {
    struct frag_mkv_error error;
    struct kept kept = {.only_count = true};

    (void)state;
    assert_int_equal(read_text(&kept, (struct frag_mkv_reader_config){0},
                               PLAIN "Cluster{Time=1} Cluster{Time=2 Simple<81 0000 80 'a'> "
                                     "Simple<82 0000 80>}}",
                               &error),
                     KN_E_MALFORMED);
    assert_int_equal(error.fault, FRAG_MKV_NO_SUCH_TRACK);
    assert_int_equal(kept.count, 1);
    drop(&kept);
}

static void test_cluster_mode(void **state) {
    static const struct kn_track items[] = {{.number = 3, .media = KN_MEDIA_AUDIO}};
    struct frag_mkv_reader_config config = {.timecode_scale_ns = 1000};
    struct kept kept = {0};

    (void)state;
    assert_int_equal(kn_tracks_create(items, 1, &config.tracks), 0);
    assert_int_equal(read_text(&kept, config, "Cluster{Time=7 Simple<83 FFFE 00 'x'>}", NULL), 0);
    assert_int_equal(kept.fragments[0].time_ns, 7000);
    assert_int_equal(kept.fragments[0].samples[0].pts_ns, -2000);
    assert_int_equal(kept.fragments[0].samples[0].dts_ns, -2000);
    assert_int_equal(kept.fragments[0].samples[0].flags, KN_SAMPLE_KEY);
    assert_ptr_equal(kept.fragments[0].tracks, config.tracks);
    drop(&kept);
    kn_tracks_unref(config.tracks);
}

/* ---- bounds ---- */

static void test_cluster_too_large(void **state) {
    static const char *const texts[] = {
        /* said to be too large; too large by its header; found to be, in each kind of piece */
        PLAIN "!Cluster:8~1001{Time=1",
        PLAIN "!Cluster:8~990{Time=1 Void<00*984>",
        PLAIN "!Cluster:?{Time=1 Simple<81 0000 80 'x'*1000>}}",
        PLAIN "!Cluster:?{Time=1 Void{}*1000}}",
    };
    struct frag_mkv_reader_config config = {.max_cluster_bytes = 1000};

    (void)state;
    for (size_t i = 0; i < KN_COUNT(texts); i++) {
        struct kept kept = {.only_count = true};
        struct ebml_document document;
        struct frag_mkv_error error;
        ebml_build(&document, texts[i]);
        assert_int_equal(read_bytes(&kept, config, document.data, document.size, &error),
                         KN_E_LIMIT);
        assert_int_equal(error.fault, FRAG_MKV_TOO_LARGE);
        assert_int_equal(error.offset, document.mark);
        assert_non_null(strstr(error.text, "more than 1000 bytes"));
        assert_int_equal(kept.count, 0);
        ebml_free(&document);
        drop(&kept);
    }
    struct kept kept = {.only_count = true};
    assert_int_equal(read_text(&kept, config, PLAIN "Cluster:4{Time=1 Void:2<00*986>}}", NULL), 0);
    assert_int_equal(kept.count, 1); /* 8 + 3 + 3 + 986 bytes */
    drop(&kept);
}

static void test_too_many_frames(void **state) {
    struct frag_mkv_error error;
    struct kept kept = {.only_count = true};

    (void)state;
    assert_int_equal(read_text(&kept, (struct frag_mkv_reader_config){0},
                               PLAIN "Cluster{Time=1 Simple<81 0000 80>*65536}}", NULL),
                     0);
    assert_int_equal(kept.count, 1);
    drop(&kept);
    kept.only_count = true;
    assert_int_equal(read_text(&kept, (struct frag_mkv_reader_config){0},
                               PLAIN "Cluster{Time=1 Simple<81 0000 84 FF 'x'*256>*257}}", &error),
                     KN_E_LIMIT);
    assert_int_equal(error.fault, FRAG_MKV_TOO_LARGE);
    assert_non_null(strstr(error.text, "65536 frames"));
    assert_int_equal(kept.count, 0);
    drop(&kept);
}

static void test_budget(void **state) {
    struct frag_mkv_reader_config config = {0};
    struct frag_mkv_error error;
    struct kept kept = {0};

    (void)state;
    assert_int_equal(kn_budget_create(3000, NULL, &config.budget), 0);
    static const char text[] = PLAIN "Cluster{Time=1 Simple<81 0000 80 'x'*1000>} "
                                     "Cluster{Time=2 Simple<81 0000 80 'x'*1000>} "
                                     "Cluster{Time=3 Simple<81 0000 80 'x'*1000>}}";
    /* Two stay referenced: the third does not fit. */
    assert_int_equal(read_text(&kept, config, text, &error), KN_E_MEMORY_LIMIT);
    assert_int_equal(error.fault, FRAG_MKV_STOPPED);
    assert_int_equal(kept.count, 2);
    /* Only what they hold counts, not the room that was made for it. */
    assert_int_equal(kn_budget_used(config.budget),
                     kept.fragments[0].bytes->size + kept.fragments[1].bytes->size);
    drop(&kept);
    assert_int_equal(kn_budget_used(config.budget), 0);
    kept.only_count = true;
    assert_int_equal(read_text(&kept, config, text, NULL), 0);
    assert_int_equal(kept.count, 3);
    assert_int_equal(kn_budget_used(config.budget), 0);
    drop(&kept);
    /* Converted frames count, too. */
    kept = (struct kept){0};
    assert_int_equal(read_text(&kept, config,
                               H264("") "Cluster{Time=1 Simple<81 0000 80 000001 65 'x'*1700>}}",
                               &error),
                     KN_E_MEMORY_LIMIT);
    drop(&kept);
    assert_int_equal(kn_budget_used(config.budget), 0);
    kn_budget_unref(config.budget);
}

/* A cluster of unknown size is not given more memory than its bytes deserve. */
static void test_unknown_size_claims_what_it_takes(void **state) {
    struct frag_mkv_reader_config config = {0};
    struct kept kept = {0};

    (void)state;
    assert_int_equal(kn_budget_create(1 << 20, NULL, &config.budget), 0);
    assert_int_equal(
        read_text(&kept, config, PLAIN "Cluster:?{Time=1 Simple<81 0000 80 'x'*100000>}}", NULL),
        0);
    /* Room is doubled while bytes come, and stays allocated. */
    assert_int_equal(kept.fragments[0].bytes->size,
                     kept.fragments[0].end_offset - kept.fragments[0].cluster.offset);
    assert_int_equal(kn_budget_used(config.budget), 131072);
    drop(&kept);
    kn_budget_unref(config.budget);
}

/* ---- what is kept ---- */

static void test_references_outlive_the_reader(void **state) {
    struct kept kept = {0};
    uint32_t crc = 0, crc_later = 0;

    (void)state;
    /* read_clip destroys the reader and frees the input. */
    assert_int_equal(read_clip(&kept, "annexb-bare.mkv"), 0);
    for (size_t f = 0; f < kept.count; f++) {
        const struct frag_mkv_fragment *face = &kept.fragments[f];
        crc = kn_crc32(crc, face->bytes->data, face->bytes->size);
        kn_buffer_unref(face->bytes);
        kept.fragments[f].bytes = NULL;
        for (size_t i = 0; i < face->sample_count; i++) {
            crc_later = kn_crc32(crc_later, face->samples[i].data, face->samples[i].size);
        }
    }
    assert_true(crc != 0 && crc_later != 0);
    drop(&kept);
}

/* ---- out of memory ---- */

static void check_out_of_memory(const uint8_t *data, size_t size, size_t fragments,
                                unsigned long at_least) {
    struct frag_mkv_reader_config config = {0};
    unsigned long k = 0;
    int rc = -ENOMEM;

    assert_int_equal(kn_budget_create(1 << 24, NULL, &config.budget), 0);
    while (rc != 0) {
        struct kept kept = {.only_count = true};
        struct frag_mkv_error error = {0};
        fail_alloc_at(++k);
        rc = read_bytes(&kept, config, data, size, &error);
        fail_alloc_stop();
        assert_true(rc == 0 || rc == -ENOMEM);
        assert_true(kept.count <= fragments && (rc != 0 || kept.count == fragments));
        assert_int_equal(kn_budget_used(config.budget), 0);
        assert_true(error.fault == FRAG_MKV_FINE || error.fault == FRAG_MKV_NO_MEMORY);
        drop(&kept);
        /* Nothing stays behind: another one works. */
        kept.only_count = true;
        assert_int_equal(read_bytes(&kept, config, data, size, NULL), 0);
        assert_int_equal(kept.count, fragments);
        drop(&kept);
        assert_true(k < 200);
    }
    assert_true(k > at_least);
    kn_budget_unref(config.budget);
}

static void test_out_of_memory(void **state) {
    struct ebml_document document;

    (void)state;
    ebml_build(
        &document,
        H264("Private<'p'*9>") "Cluster:?{Time=1 Simple<81 0000 80 00000001 " SPS " 000001 " PPS
                               " 000001 6588> Simple<81 0002 00 000001 419A> "
                               "Simple<81 0001 00 000001 419A>*600 Simple<82 0000 80 'x'*70000>} "
                               "Tags{Tag{SimpleTag{TagName='n' TagString<'v'*5000>}}} "
                               "Cluster{Time=9 Simple<81 0000 80 00000002 6588>}}");
    check_out_of_memory(document.data, document.size, 2, 15);
    ebml_free(&document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clips),
        cmocka_unit_test(test_pyramid),
        cmocka_unit_test(test_open_gop),
        cmocka_unit_test(test_annexb_gets_an_avcc),
        cmocka_unit_test(test_malformed_frames_are_kept),
        cmocka_unit_test(test_shorter_lengths),
        cmocka_unit_test(test_sets_that_come_later),
        cmocka_unit_test(test_a_frame_of_start_codes_alone),
        cmocka_unit_test(test_passes_on_the_rest),
        cmocka_unit_test(test_a_callback_stops_the_reader),
        cmocka_unit_test(test_a_broken_cluster_is_not_given),
        cmocka_unit_test(test_cluster_mode),
        cmocka_unit_test(test_cluster_too_large),
        cmocka_unit_test(test_too_many_frames),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_unknown_size_claims_what_it_takes),
        cmocka_unit_test(test_references_outlive_the_reader),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("fragments mkv reader", tests, NULL, NULL);
}
