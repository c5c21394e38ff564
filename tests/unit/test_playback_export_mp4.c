/* Export as MP4, read back by libavformat's demuxer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/mathematics.h>

#include "base/error.h"
#include "playback/export_mp4_tracks.h"
#include "tests/support/sample_media.h"
#include "tests/unit/playback_exports.h"

#define VIDEO_RATE 90000

/* ---- reading back ---- */

/* The clip's samples of one track, one after another. */
struct cursor {
    const struct export_clip *clip;
    size_t track, fragment, sample;
};

static const struct kn_sample *next_sample(struct cursor *cursor, int64_t *ret_producer_ns) {
    while (cursor->fragment < cursor->clip->count) {
        const struct frag_loaded *loaded = cursor->clip->fragments[cursor->fragment];
        if (loaded == NULL || cursor->sample == loaded->sample_count) {
            cursor->fragment++;
            cursor->sample = 0;
            continue;
        }
        const struct kn_sample *sample = &loaded->samples[cursor->sample++];
        if (sample->track == cursor->track) {
            *ret_producer_ns = loaded->entry.producer.ns;
            return sample;
        }
    }
    return NULL;
}

static AVFormatContext *open_new(void) {
    AVFormatContext *context = NULL;
    assert_int_equal(avformat_open_input(&context, export_path, NULL, NULL), 0);
    return context;
}

struct stream_seen {
    struct cursor cursor;
    const struct kn_track *track;
    size_t packets;
    int64_t last_dts;
};

/* Sound may be where Matroska's rounded time says, or at the sample it was rounded from. */
static void assert_time(const struct stream_seen *seen, const AVPacket *packet, AVRational base,
                        int64_t file_ns) {
    if (seen->track->media == KN_MEDIA_VIDEO) {
        assert_int_equal(packet->pts, av_rescale(file_ns, VIDEO_RATE, KN_NS_PER_S));
        return;
    }
    int64_t at_ns = av_rescale(packet->pts, base.num * KN_NS_PER_S, base.den);
    int64_t off_ns = at_ns - (file_ns - seen->track->codec_delay_ns);
    int64_t unit_ns = KN_NS_PER_S / base.den;
    if (off_ns > KN_NS_PER_MS + unit_ns || -off_ns > KN_NS_PER_MS + unit_ns) {
        fail_msg("sound is %lld ns off", (long long)off_ns);
    }
}

static void see_packet(struct stream_seen *seen, const AVPacket *packet, AVRational base,
                       struct kn_wall zero) {
    int64_t producer_ns = 0;
    const struct kn_sample *known = next_sample(&seen->cursor, &producer_ns);
    assert_non_null(known);
    assert_int_equal(packet->size, known->size);
    assert_memory_equal(packet->data, known->data, known->size);
    assert_int_equal((packet->flags & AV_PKT_FLAG_KEY) != 0, (known->flags & KN_SAMPLE_KEY) != 0);
    assert_time(seen, packet, base, producer_ns + known->pts_ns - zero.ns);
    assert_true(packet->dts <= packet->pts);
    assert_true(seen->packets == 0 || packet->dts > seen->last_dts);
    seen->last_dts = packet->dts;
    seen->packets++;
}

/* All carried samples of the clip are in the file, byte for byte, and nothing else. */
static void assert_same(const struct export_clip *clip, const struct play_export_result *result) {
    const struct kn_tracks *tracks = clip->fragments[0]->tracks;
    AVFormatContext *context = open_new();
    struct stream_seen seen[KN_TRACKS_MAX];
    size_t streams = 0;
    for (size_t i = 0; i < tracks->count; i++) {
        if (play_mp4_writer.refusal(&tracks->items[i]) == NULL) {
            seen[streams++] = (struct stream_seen){.cursor = {.clip = clip, .track = i},
                                                   .track = &tracks->items[i]};
        }
    }
    assert_int_equal(context->nb_streams, streams);
    AVPacket *packet = av_packet_alloc();
    assert_non_null(packet);
    size_t packets = 0;
    while (av_read_frame(context, packet) == 0) {
        const AVStream *stream = context->streams[packet->stream_index];
        see_packet(&seen[packet->stream_index], packet, stream->time_base, result->from);
        packets++;
        av_packet_unref(packet);
    }
    int64_t producer_ns = 0;
    for (size_t i = 0; i < streams; i++) {
        assert_null(next_sample(&seen[i].cursor, &producer_ns));
    }
    assert_int_equal(packets, result->samples);
    av_packet_free(&packet);
    avformat_close_input(&context);
}

static void load(struct export_clip *clip, const char *name) {
    export_clip_load(clip, sample_path(name));
}

/* ---- what is carried ---- */

static void test_every_clip(void **state) {
    (void)state;
    for (size_t i = 0; i < SAMPLE_CLIPS; i++) {
        struct export_clip clip;
        struct play_export_result result;
        load(&clip, sample_clips[i]);
        assert_int_equal(export_clip_as(&clip, PLAY_MP4, &result), 0);
        assert_int_equal(result.fragments, clip.count);
        assert_same(&clip, &result);
        export_clip_finish(&clip);
    }
}

static void test_texts(void **state) {
    struct export_clip clip;
    struct play_export_result result;
    char first[FRAG_NUMBER_TEXT_BYTES];
    char last[FRAG_NUMBER_TEXT_BYTES];
    char comment[128];

    (void)state;
    load(&clip, "h265.mkv");
    assert_int_equal(export_clip_as(&clip, PLAY_MP4, &result), 0);
    (void)snprintf(comment, sizeof(comment), "Fragments %s to %s",
                   frag_number_format(clip.fragments[0]->entry.number, first),
                   frag_number_format(clip.fragments[4]->entry.number, last));
    AVFormatContext *context = open_new();
    const AVDictionary *found = context->metadata;
    assert_string_equal(av_dict_get(found, "title", NULL, 0)->value, "front-door");
    assert_string_equal(av_dict_get(found, "creation_time", NULL, 0)->value,
                        "2026-11-20T21:23:40.000000Z");
    assert_string_equal(av_dict_get(found, "comment", NULL, 0)->value, comment);
    assert_int_equal(context->streams[0]->codecpar->codec_tag, MKTAG('h', 'v', 'c', '1'));
    assert_int_equal(context->streams[0]->codecpar->extradata_size,
                     clip.fragments[0]->tracks->items[0].codec_private_bytes);
    assert_int_equal(context->streams[0]->time_base.den, VIDEO_RATE);
    assert_int_equal(context->streams[1]->time_base.den, 16000);
    avformat_close_input(&context);
    export_clip_finish(&clip);
}

static void test_left_out_tracks(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    load(&clip, "g711.mkv");
    assert_int_equal(export_clip_as(&clip, PLAY_MP4, &result), 0);
    assert_int_equal(result.left_out_samples, 400);
    assert_non_null(strstr(result.note, "Track 2 (G.711 A-law) is left out"));
    /* The sound alone: nothing goes in. */
    for (size_t i = 0; i < clip.count; i++) {
        export_clip_set_tracks(clip.fragments[i], &clip.fragments[i]->tracks->items[1], 1);
        for (size_t j = 0; j < clip.fragments[i]->sample_count; j++) {
            kn_sample_unref((struct kn_sample *)(uintptr_t)&clip.fragments[i]->samples[j]);
        }
        clip.fragments[i]->sample_count = 0;
    }
    assert_int_equal(unlink(export_path), 0);
    assert_int_equal(export_clip_as(&clip, PLAY_MP4, &result), KN_E_UNSUPPORTED);
    assert_non_null(strstr(result.note, "G.711 A-law"));
    assert_int_equal(files_in_folder(), 0);
    export_clip_finish(&clip);
}

static void test_refusals(void **state) {
    static const uint8_t avcc[] = {1, 66, 0, 30, 255, 225, 0};
    static const uint8_t annexb[] = {0, 0, 0, 1, 103, 66, 0};
    struct kn_track track = {.media = KN_MEDIA_VIDEO,
                             .codec = KN_CODEC_H264,
                             .codec_private = avcc,
                             .codec_private_bytes = sizeof(avcc),
                             .width = 640,
                             .height = 360};

    (void)state;
    assert_null(play_mp4_writer.refusal(&track));
    track.height = 0; /* these parameter sets do not say it either */
    assert_non_null(play_mp4_writer.refusal(&track));
    track.height = 65536;
    assert_non_null(play_mp4_writer.refusal(&track));
    track.height = 360;
    track.codec_private = annexb;
    assert_non_null(play_mp4_writer.refusal(&track));
    track.codec_private_bytes = 0;
    assert_non_null(play_mp4_writer.refusal(&track));
    track.codec = KN_CODEC_MJPEG; /* needs none */
    assert_null(play_mp4_writer.refusal(&track));
    track.media = KN_MEDIA_TEXT;
    assert_non_null(play_mp4_writer.refusal(&track));
    const struct kn_track sound = {.media = KN_MEDIA_AUDIO,
                                   .codec = KN_CODEC_AAC,
                                   .codec_private = avcc,
                                   .codec_private_bytes = 2};
    assert_non_null(play_mp4_writer.refusal(&sound));
}

/* ---- what samples say ---- */

static void test_sound_lengths(void **state) {
    static const struct {
        uint8_t bytes[2];
        size_t size;
        int64_t length;
    } packets[] = {
        {{0x00}, 1, 480},        {{0x08}, 1, 960},       {{0x18}, 1, 2880}, /* SILK 10, 20, 60 ms */
        {{0x60}, 1, 480},        {{0x68}, 1, 960},                          /* hybrid 10, 20 */
        {{0x80}, 1, 120},        {{0x98}, 1, 960},       {{0xF8}, 1, 960},  /* CELT 2.5, 20, 20 */
        {{0xF9}, 1, 1920},       {{0xFA}, 1, 1920},                         /* two frames */
        {{0xFB, 0x83}, 2, 2880}, {{0x83, 0x01}, 2, 120},                    /* as many as it says */
        {{0xFB}, 1, 960},        {{0xFB, 0x00}, 2, 960}, {{0}, 0, 960},     /* broken */
    };
    const struct kn_track opus = {.media = KN_MEDIA_AUDIO, .codec = KN_CODEC_OPUS};

    (void)state;
    for (size_t i = 0; i < KN_COUNT(packets); i++) {
        const struct kn_sample sample = {.data = packets[i].bytes, .size = packets[i].size};
        assert_int_equal(play_mp4_sound_length(&opus, &sample), packets[i].length);
    }
    static const int64_t said_ns[][2] = {{0, 1024},        {21333333, 1024}, {21000000, 1024},
                                         {20000000, 960},  {42666667, 2048}, {10666667, 512},
                                         {INT64_MAX, 2048}};
    struct kn_track aac = {.media = KN_MEDIA_AUDIO, .codec = KN_CODEC_AAC, .sample_rate_hz = 48000};
    for (size_t i = 0; i < KN_COUNT(said_ns); i++) {
        aac.default_duration_ns = said_ns[i][0];
        assert_int_equal(play_mp4_sound_length(&aac, NULL), said_ns[i][1]);
    }
}

static int format_of(const char *frame, size_t size) {
    const struct kn_track track = {
        .media = KN_MEDIA_VIDEO, .codec = KN_CODEC_VP9, .width = 64, .height = 36};
    const struct kn_sample sample = {.data = (const uint8_t *)frame, .size = size};
    AVFormatContext *context = avformat_alloc_context();
    assert_non_null(context);
    AVStream *stream = avformat_new_stream(context, NULL);
    assert_non_null(stream);
    assert_int_equal(play_mp4_describe(&track, &sample, stream), 0);
    int format = stream->codecpar->format;
    avformat_free_context(context);
    return format;
}

/* Key frames' first bytes: marker, profile, show, sync code, then depth, colour, subsampling. */
static void test_vp9_formats(void **state) {
    (void)state;
    assert_int_equal(format_of("\x82\x49\x83\x42\x00", 5), AV_PIX_FMT_YUV420P);
    assert_int_equal(format_of("\xA2\x49\x83\x42\x20", 5), AV_PIX_FMT_YUV444P);
    assert_int_equal(format_of("\xA2\x49\x83\x42\x28", 5), AV_PIX_FMT_YUV422P);
    assert_int_equal(format_of("\x92\x49\x83\x42\x00", 5), AV_PIX_FMT_YUV420P10);
    assert_int_equal(format_of("\x92\x49\x83\x42\x80", 5), AV_PIX_FMT_YUV420P12);
    assert_int_equal(format_of("\xB1\x24\xC1\xA1\x10", 5), AV_PIX_FMT_YUV444P10);
    assert_int_equal(format_of("\xB1\x24\xC1\xA1\x38", 5), AV_PIX_FMT_YUV444P10); /* RGB */
    assert_int_equal(format_of("\x82\x49", 2), AV_PIX_FMT_YUV420P);               /* cut */
}

/* ---- where the index is ---- */

static bool index_in_front(void) {
    uint8_t head[64] = {0};
    FILE *file = fopen(export_path, "rbe");
    assert_non_null(file);
    assert_int_equal(fread(head, 1, sizeof(head), file), sizeof(head));
    (void)fclose(file);
    size_t ftyp = (size_t)head[2] << 8 | head[3];
    return memcmp(head + ftyp + 4, "moov", 4) == 0;
}

static void test_index(void **state) {
    const uint64_t sizes[] = {0, PLAY_MP4_FASTSTART_MAX_BYTES, PLAY_MP4_FASTSTART_MAX_BYTES + 1};
    struct export_clip clip;
    struct play_export_result result;
    const struct play_export_config config = {
        .format = PLAY_MP4, .path = export_path, .replace = true};

    (void)state;
    load(&clip, "bframes.mkv");
    for (size_t i = 0; i < KN_COUNT(sizes); i++) {
        struct play_source source = export_clip_source(&clip);
        source.expected_bytes = sizes[i];
        assert_int_equal(play_export_from(&config, &source, &result), 0);
        assert_int_equal(index_in_front(), i < 2);
        assert_same(&clip, &result);
        FILE *file = fopen(export_path, "rbe");
        assert_non_null(file);
        assert_int_equal(fseek(file, 0, SEEK_END), 0);
        assert_int_equal(ftell(file), result.bytes);
        (void)fclose(file);
    }
    export_clip_finish(&clip);
}

/* ---- times ---- */

static void test_hole_and_odd_times(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    load(&clip, "h265-bframes.mkv");
    export_clip_append(&clip, sample_path("h265-bframes.mkv"), 5 * 3600 * KN_NS_PER_S);
    for (size_t i = 0; i < clip.count; i++) {
        clip.fragments[i]->entry.producer.ns += 123457 + (int64_t)i * 1300021;
    }
    assert_int_equal(export_clip_as(&clip, PLAY_MP4, &result), 0);
    assert_int_equal(result.fragments, 8);
    assert_same(&clip, &result);
    assert_string_equal(result.note, "");
    export_clip_finish(&clip);
}

static void test_hole_too_long(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    load(&clip, "bframes.mkv");
    export_clip_append(&clip, sample_path("bframes.mkv"), 7 * 3600 * KN_NS_PER_S);
    assert_int_equal(export_clip_as(&clip, PLAY_MP4, &result), 0);
    assert_int_equal(result.fragments, 4);
    assert_int_equal(result.ended_at.ns, clip.fragments[4]->entry.producer.ns);
    assert_non_null(strstr(result.note, "too long"));
    size_t all = clip.count;
    clip.count = 4;
    assert_same(&clip, &result);
    clip.count = all;
    export_clip_finish(&clip);
}

/* Decode times found for one fragment alone may lie before the last ones of another. */
static void test_dts_rise(void **state) {
    struct export_clip clip;
    struct play_export_result result;

    (void)state;
    load(&clip, "bframes.mkv");
    for (size_t i = 0; i < clip.count; i++) {
        struct kn_sample *samples = (struct kn_sample *)(uintptr_t)clip.fragments[i]->samples;
        for (size_t j = 0; j < clip.fragments[i]->sample_count; j++) {
            samples[j].dts_ns -= (int64_t)i * 300 * KN_NS_PER_MS;
        }
    }
    assert_int_equal(export_clip_as(&clip, PLAY_MP4, &result), 0);
    assert_same(&clip, &result);
    export_clip_finish(&clip);
}

/* The lengths of a sound track's packets, all but the last one. */
static size_t other_lengths(int64_t length, size_t *ret_packets) {
    AVFormatContext *context = open_new();
    AVPacket *packet = av_packet_alloc();
    assert_non_null(packet);
    size_t other = 0;
    *ret_packets = 0;
    while (av_read_frame(context, packet) == 0) {
        if (packet->stream_index == 1) {
            other += packet->duration != length;
            (*ret_packets)++;
        }
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    avformat_close_input(&context);
    return other;
}

static void round_sound(struct export_clip *clip, int64_t length_ns, int64_t drift_ns) {
    int64_t n = 0;
    for (size_t i = 0; i < clip->count; i++) {
        const struct frag_loaded *loaded = clip->fragments[i];
        struct kn_sample *samples = (struct kn_sample *)(uintptr_t)loaded->samples;
        int64_t from_ns = loaded->entry.producer.ns - EXPORT_CLIP_BEGIN_NS;
        for (size_t j = 0; j < loaded->sample_count; j++) {
            if (samples[j].track == 1) {
                int64_t at_ms = n * (length_ns + drift_ns) / KN_NS_PER_MS; /* rounded down */
                samples[j].pts_ns = at_ms * KN_NS_PER_MS - from_ns;
                samples[j].dts_ns = samples[j].pts_ns;
                n++;
            }
        }
    }
}

static void test_sound_snaps(void **state) {
    struct export_clip clip;
    struct play_export_result result;
    size_t packets = 0;

    (void)state;
    load(&clip, "box.mkv");
    struct kn_track items[2];
    memcpy(items, clip.fragments[0]->tracks->items, sizeof(items));
    items[1].sample_rate_hz = 44100;
    items[1].default_duration_ns = 0;
    for (size_t i = 0; i < clip.count; i++) {
        export_clip_set_tracks(clip.fragments[i], items, 2);
    }
    const int64_t length_ns = 1024 * KN_NS_PER_S / 44100;
    round_sound(&clip, length_ns, 0);
    assert_int_equal(export_clip_as(&clip, PLAY_MP4, &result), 0);
    assert_int_equal(other_lengths(1024, &packets), 0);
    assert_int_equal(packets, 158);
    assert_same(&clip, &result);
    /* A clock that runs 1 % slow: the times are followed, a step at a time. */
    round_sound(&clip, length_ns, length_ns / 100);
    assert_int_equal(export_clip_as(&clip, PLAY_MP4, &result), 0);
    size_t steps = other_lengths(1024, &packets);
    assert_true(steps > 10 && steps < 60);
    assert_same(&clip, &result);
    export_clip_finish(&clip);
}

/* ---- limits ---- */

/* libavformat's muxer moves its table every 1,024 samples. A sanitizer's allocator never grows it
 * in place: minutes, for nothing of ours. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
/* Fragments of 60,000 pictures of 8 bytes, until the file ends by itself. */
static void test_most_samples(void **state) {
    enum { PICTURES = 60000, FRAGMENTS = 40 };
    static const uint8_t picture[8] = {0xFF, 0xD8, 0xFF, 0xD9};
    static struct frag_loaded fragments[FRAGMENTS];
    const struct kn_track track = {.number = 1,
                                   .media = KN_MEDIA_VIDEO,
                                   .codec = KN_CODEC_MJPEG,
                                   .codec_id = "V_MJPEG",
                                   .width = 8,
                                   .height = 8};
    struct kn_tracks *tracks = NULL;
    struct kn_sample *samples = calloc(PICTURES, sizeof(*samples));
    struct export_clip clip = {.count = FRAGMENTS};
    struct play_export_result result;

    (void)state;
    assert_non_null(samples);
    assert_int_equal(kn_tracks_create(&track, 1, &tracks), 0);
    for (int64_t i = 0; i < PICTURES; i++) {
        int64_t at_ns = i * KN_NS_PER_MS;
        samples[i] = (struct kn_sample){.data = picture,
                                        .size = sizeof(picture),
                                        .pts_ns = at_ns,
                                        .dts_ns = at_ns,
                                        .flags = KN_SAMPLE_KEY};
    }
    for (int64_t i = 0; i < FRAGMENTS; i++) {
        fragments[i] = (struct frag_loaded){
            .entry = {.producer = {EXPORT_CLIP_BEGIN_NS + i * PICTURES * KN_NS_PER_MS}},
            .tracks = tracks,
            .samples = samples,
            .sample_count = PICTURES};
        clip.fragments[i] = &fragments[i];
    }
    assert_int_equal(export_clip_as(&clip, PLAY_MP4, &result), 0);
    assert_int_equal(result.samples, 33 * PICTURES);
    assert_int_equal(result.ended_at.ns, fragments[33].entry.producer.ns);
    assert_non_null(strstr(result.note, "as many samples"));
    kn_tracks_unref(tracks);
    free(samples);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_clip),      cmocka_unit_test(test_texts),
        cmocka_unit_test(test_left_out_tracks), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_sound_lengths),   cmocka_unit_test(test_vp9_formats),
        cmocka_unit_test(test_index),           cmocka_unit_test(test_hole_and_odd_times),
        cmocka_unit_test(test_hole_too_long),   cmocka_unit_test(test_dts_rise),
        cmocka_unit_test(test_sound_snaps),
#ifndef SANITIZED
        cmocka_unit_test(test_most_samples),
#endif
    };
    return cmocka_run_group_tests(tests, make_export_folder, remove_export_folder);
}
