#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/track.h"
#include "tests/support/fail_alloc.h"

static const uint8_t avcc[] = {1, 0x64, 0, 0x1f, 0xff};

static struct kn_track video(void) {
    return (struct kn_track){
        .number = 1,
        .uid = 77,
        .media = KN_MEDIA_VIDEO,
        .codec = KN_CODEC_H264,
        .codec_id = "V_MPEG4/ISO/AVC",
        .name = "front",
        .language = "und",
        .codec_private = avcc,
        .codec_private_bytes = sizeof(avcc),
        .default_duration_ns = 33333333,
        .width = 1920,
        .height = 1080,
    };
}

static struct kn_track audio(void) {
    return (struct kn_track){.number = 2,
                             .media = KN_MEDIA_AUDIO,
                             .codec = KN_CODEC_AAC,
                             .codec_id = "A_AAC",
                             .sample_rate_hz = 48000,
                             .channels = 2};
}

static void a_set_copies_everything(void **state) {
    (void)state;
    uint8_t private[] = {9, 8, 7};
    struct kn_track items[] = {video(), audio(), {.number = UINT64_MAX}};
    items[2].codec_private = private;
    items[2].codec_private_bytes = sizeof(private);
    struct kn_tracks *tracks;
    assert_int_equal(kn_tracks_create(items, 3, &tracks), 0);
    memset(items, 0xff, sizeof(items));
    memset(private, 0xff, sizeof(private));

    assert_int_equal(tracks->count, 3);
    assert_string_equal(tracks->items[0].codec_id, "V_MPEG4/ISO/AVC");
    assert_string_equal(tracks->items[0].name, "front");
    assert_int_equal(tracks->items[0].codec_private_bytes, sizeof(avcc));
    assert_ptr_not_equal(tracks->items[0].codec_private, avcc);
    assert_memory_equal(tracks->items[0].codec_private, avcc, sizeof(avcc));
    assert_null(tracks->items[1].codec_private);
    assert_int_equal(tracks->items[1].sample_rate_hz, 48000);
    assert_memory_equal(tracks->items[2].codec_private, "\11\10\7", 3);

    assert_int_equal(kn_tracks_find(tracks, 1), 0);
    assert_int_equal(kn_tracks_find(tracks, 2), 1);
    assert_int_equal(kn_tracks_find(tracks, UINT64_MAX), 2);
    assert_int_equal(kn_tracks_find(tracks, 3), -ENOENT);
    assert_int_equal(kn_tracks_find(tracks, 0), -ENOENT);

    assert_ptr_equal(kn_tracks_ref(tracks), tracks);
    kn_tracks_unref(tracks);
    assert_int_equal(tracks->count, 3);
    kn_tracks_unref(tracks);
    kn_tracks_unref(NULL);
}

static int create_one(struct kn_track track) {
    struct kn_tracks *tracks = NULL;
    int rc = kn_tracks_create(&track, 1, &tracks);
    assert_true((rc == 0) == (tracks != NULL));
    kn_tracks_unref(tracks);
    return rc;
}

static void bad_sets_are_refused(void **state) {
    (void)state;
    struct kn_tracks *tracks = NULL;
    struct kn_track items[KN_TRACKS_MAX + 1] = {{0}};
    for (size_t i = 0; i < KN_COUNT(items); i++) {
        items[i].number = i + 1;
    }
    assert_int_equal(kn_tracks_create(items, 0, &tracks), -EINVAL);
    assert_int_equal(kn_tracks_create(NULL, 0, &tracks), -EINVAL);
    assert_int_equal(kn_tracks_create(items, KN_TRACKS_MAX + 1, &tracks), -EINVAL);
    items[KN_TRACKS_MAX - 1].number = 1;
    assert_int_equal(kn_tracks_create(items, KN_TRACKS_MAX, &tracks), -EINVAL);
    assert_null(tracks);
    items[KN_TRACKS_MAX - 1].number = KN_TRACKS_MAX;
    assert_int_equal(kn_tracks_create(items, KN_TRACKS_MAX, &tracks), 0);
    kn_tracks_unref(tracks);

    struct kn_track track = video();
    track.number = 0;
    assert_int_equal(create_one(track), -EINVAL);
    track = video();
    track.codec_private = NULL;
    assert_int_equal(create_one(track), -EINVAL);
    char *const texts[] = {track.codec_id, track.name, track.language};
    for (size_t i = 0; i < KN_COUNT(texts); i++) {
        track = video();
        memset(texts[i], 'x', KN_TRACK_TEXT_BYTES);
        assert_int_equal(create_one(track), -EINVAL);
        texts[i][KN_TRACK_TEXT_BYTES - 1] = '\0';
        assert_int_equal(create_one(track), 0);
    }
}

static void private_data_has_a_maximum(void **state) {
    (void)state;
    uint8_t *large = calloc(1, KN_TRACK_PRIVATE_MAX + 1);
    assert_non_null(large);
    struct kn_track track = video();
    track.codec_private = large;
    track.codec_private_bytes = KN_TRACK_PRIVATE_MAX + 1;
    assert_int_equal(create_one(track), -EINVAL);
    track.codec_private_bytes = SIZE_MAX;
    assert_int_equal(create_one(track), -EINVAL);
    track.codec_private_bytes = KN_TRACK_PRIVATE_MAX;
    assert_int_equal(create_one(track), 0);
    free(large);
}

static void out_of_memory_is_an_error(void **state) {
    (void)state;
    struct kn_track track = video();
    fail_alloc_at(1);
    int rc = create_one(track);
    fail_alloc_stop();
    assert_int_equal(rc, -ENOMEM);
    assert_int_equal(fail_alloc_count(), 1);
}

static bool equal_to_video(struct kn_track track) {
    struct kn_track original = video();
    struct kn_tracks *a, *b;
    assert_int_equal(kn_tracks_create(&original, 1, &a), 0);
    assert_int_equal(kn_tracks_create(&track, 1, &b), 0);
    bool equal = kn_tracks_equal(a, b);
    assert_true(equal == kn_tracks_equal(b, a));
    assert_true(kn_tracks_equal(a, a));
    assert_false(kn_tracks_equal(a, NULL));
    assert_false(kn_tracks_equal(NULL, a));
    kn_tracks_unref(a);
    kn_tracks_unref(b);
    return equal;
}

#define DIFFERS(change)                                                                            \
    do {                                                                                           \
        struct kn_track track = video();                                                           \
        track.change;                                                                              \
        assert_false(equal_to_video(track));                                                       \
    } while (0)

static void any_difference_makes_sets_unequal(void **state) {
    (void)state;
    assert_true(equal_to_video(video()));
    assert_true(kn_tracks_equal(NULL, NULL));
    DIFFERS(number = 2);
    DIFFERS(uid = 2);
    DIFFERS(media = KN_MEDIA_AUDIO);
    DIFFERS(codec = KN_CODEC_H265);
    DIFFERS(codec_id[0] = 'X');
    DIFFERS(name[0] = '\0');
    DIFFERS(language[0] = 'd');
    DIFFERS(codec_private = (const uint8_t *)"\1\2\3\4\5");
    DIFFERS(codec_private_bytes = 4);
    DIFFERS(codec_private_bytes = 0);
    DIFFERS(default_duration_ns = 0);
    DIFFERS(codec_delay_ns = 1);
    DIFFERS(seek_preroll_ns = 1);
    DIFFERS(width = 1);
    DIFFERS(height = 1);
    DIFFERS(display_width = 1);
    DIFFERS(display_height = 1);
    DIFFERS(sample_rate_hz = 1);
    DIFFERS(channels = 1);
    DIFFERS(bits_per_sample = 1);
    /* What stands behind a text's end does not count. */
    struct kn_track track = video();
    track.name[20] = 'x';
    assert_true(equal_to_video(track));

    struct kn_track two[] = {video(), audio()}, turned[] = {audio(), video()};
    struct kn_tracks *a, *b, *c;
    assert_int_equal(kn_tracks_create(two, 2, &a), 0);
    assert_int_equal(kn_tracks_create(two, 1, &b), 0);
    assert_int_equal(kn_tracks_create(turned, 2, &c), 0);
    assert_false(kn_tracks_equal(a, b));
    assert_false(kn_tracks_equal(a, c)); /* samples name tracks by index */
    kn_tracks_unref(a);
    kn_tracks_unref(b);
    kn_tracks_unref(c);
}

static void matroska_ids_name_codecs(void **state) {
    (void)state;
    static const struct {
        const char *id;
        enum kn_codec codec;
    } ids[] = {
        {"V_MPEG4/ISO/AVC", KN_CODEC_H264},
        {"V_MPEG/ISO/AVC", KN_CODEC_H264},
        {"V_MPEGH/ISO/HEVC", KN_CODEC_H265},
        {"V_MPEG/ISO/HEVC", KN_CODEC_H265},
        {"V_AV1", KN_CODEC_AV1},
        {"V_VP8", KN_CODEC_VP8},
        {"V_VP9", KN_CODEC_VP9},
        {"V_MJPEG", KN_CODEC_MJPEG},
        {"A_AAC", KN_CODEC_AAC},
        {"A_AAC/MPEG4/LC", KN_CODEC_AAC},
        {"A_OPUS", KN_CODEC_OPUS},
        {"A_PCM/INT/LIT", KN_CODEC_PCM_S16LE},
        {"A_PCM/INT/BIG", KN_CODEC_PCM_S16BE},
        {"A_AACX", KN_CODEC_OTHER},
        {"A_VORBIS", KN_CODEC_OTHER},
        {"v_av1", KN_CODEC_OTHER},
        {"V_MPEG4/ISO/AVC ", KN_CODEC_OTHER},
        {"", KN_CODEC_OTHER},
        {NULL, KN_CODEC_OTHER},
        {"V_MS/VFW/FOURCC", KN_CODEC_OTHER},
        {"A_MS/ACM", KN_CODEC_OTHER},
    };
    for (size_t i = 0; i < KN_COUNT(ids); i++) {
        assert_int_equal(kn_codec_from_matroska(ids[i].id, NULL, 0), ids[i].codec);
    }
}

static void bitmap_headers_name_codecs(void **state) {
    (void)state;
    static const struct {
        const char *fourcc;
        enum kn_codec codec;
    } codes[] = {
        {"H264", KN_CODEC_H264},  {"h264", KN_CODEC_H264},  {"avc1", KN_CODEC_H264},
        {"HEVC", KN_CODEC_H265},  {"hev1", KN_CODEC_H265},  {"hvc1", KN_CODEC_H265},
        {"MJPG", KN_CODEC_MJPEG}, {"XVID", KN_CODEC_OTHER}, {"\0\0\0", KN_CODEC_OTHER},
    };
    for (size_t i = 0; i < KN_COUNT(codes); i++) {
        uint8_t header[40] = {40};
        memcpy(header + 16, codes[i].fourcc, 4);
        assert_int_equal(kn_codec_from_matroska("V_MS/VFW/FOURCC", header, sizeof(header)),
                         codes[i].codec);
        assert_int_equal(kn_codec_from_matroska("V_MS/VFW/FOURCC", header, 20), codes[i].codec);
        assert_int_equal(kn_codec_from_matroska("V_MS/VFW/FOURCC", header, 19), KN_CODEC_OTHER);
    }
}

static void wave_headers_name_codecs(void **state) {
    (void)state;
    static const struct {
        uint8_t tag[2];
        uint8_t bits;
        enum kn_codec codec;
    } tags[] = {
        {{1, 0}, 16, KN_CODEC_PCM_S16LE}, {{1, 0}, 8, KN_CODEC_OTHER},
        {{1, 0}, 24, KN_CODEC_OTHER},     {{6, 0}, 8, KN_CODEC_PCMA},
        {{7, 0}, 8, KN_CODEC_PCMU},       {{0x45, 0}, 4, KN_CODEC_G726},
        {{0x64, 0}, 4, KN_CODEC_G726},    {{0xff, 0}, 16, KN_CODEC_AAC},
        {{0x10, 0x16}, 16, KN_CODEC_AAC}, {{0x55, 0}, 0, KN_CODEC_OTHER},
        {{0, 6}, 8, KN_CODEC_OTHER},      {{0, 0}, 0, KN_CODEC_OTHER},
    };
    for (size_t i = 0; i < KN_COUNT(tags); i++) {
        uint8_t header[18] = {tags[i].tag[0], tags[i].tag[1]};
        header[14] = tags[i].bits;
        assert_int_equal(kn_codec_from_matroska("A_MS/ACM", header, sizeof(header)), tags[i].codec);
        assert_int_equal(kn_codec_from_matroska("A_MS/ACM", header, 16), tags[i].codec);
        assert_int_equal(kn_codec_from_matroska("A_MS/ACM", header, 1), KN_CODEC_OTHER);
    }
    /* A header of nothing but its tag is enough. */
    assert_int_equal(kn_codec_from_matroska("A_MS/ACM", tags[0].tag, 2), KN_CODEC_PCM_S16LE);
    assert_int_equal(kn_codec_from_matroska("A_MS/ACM", tags[3].tag, 2), KN_CODEC_PCMA);
}

static void codecs_and_media_have_names(void **state) {
    (void)state;
    assert_string_equal(kn_codec_name(KN_CODEC_OTHER), "other");
    assert_string_equal(kn_codec_name(KN_CODEC_H264), "H.264");
    assert_string_equal(kn_codec_name(KN_CODEC_AAC), "AAC");
    for (int a = 0; a <= KN_CODEC_PCM_S16BE; a++) {
        for (int b = 0; b < a; b++) {
            assert_string_not_equal(kn_codec_name((enum kn_codec)a),
                                    kn_codec_name((enum kn_codec)b));
        }
    }
    assert_string_equal(kn_media_name(KN_MEDIA_OTHER), "other");
    assert_string_equal(kn_media_name(KN_MEDIA_VIDEO), "video");
    assert_string_equal(kn_media_name(KN_MEDIA_AUDIO), "audio");
    assert_string_equal(kn_media_name(KN_MEDIA_TEXT), "text");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_copies_everything),
        cmocka_unit_test(bad_sets_are_refused),
        cmocka_unit_test(private_data_has_a_maximum),
        cmocka_unit_test(out_of_memory_is_an_error),
        cmocka_unit_test(any_difference_makes_sets_unequal),
        cmocka_unit_test(matroska_ids_name_codecs),
        cmocka_unit_test(bitmap_headers_name_codecs),
        cmocka_unit_test(wave_headers_name_codecs),
        cmocka_unit_test(codecs_and_media_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
