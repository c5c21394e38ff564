/* Looks into frames: H.264 and H.265 (video.h), and the other codecs (codecs.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "ingest/replay/codecs.h"
#include "ingest/replay/video.h"
#include "tests/support/fail_alloc.h"

#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

/* ---- H.264 ---- */

/* Baseline of 320x180 and of 640x360, as x264 writes them, and a PPS of both. */
#define SPS_SMALL                                                                                  \
    "\x67\x42\xc0\x0c\xd9\x01\x41\x9f\x9f\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x02\x80\xf1\x42" \
    "\xa4\x80"
#define SPS_LARGE                                                                                  \
    "\x67\x42\xc0\x1e\xd9\x00\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16" \
    "\x2e\x48"
#define PPS "\x68\xcb\x83\xcb\x20"
#define PPS_OTHER "\x68\x4e\x3f\xc8"
#define CODE "\0\0\0\1"
/* first_mb 0, slice types: 7 is I, 5 is P of all slices; 2 and 0 of this one. */
#define IDR "\x65\x88\x84\x21"
#define SLICE_I "\x41\x88\x84\x21"
#define SLICE_P "\x41\x9a\x21\x22"
#define SLICE_LONE_P "\x01\x9a\x21\x22"

static struct ing_video_frame look(struct ing_video *video, const void *data, size_t size,
                                   bool flagged) {
    struct ing_video_frame frame;
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    assert_int_equal(ing_video_look(video, copy, size, flagged, &frame), 0);
    if (frame.new_bytes > 0) {
        uint8_t *room = malloc(frame.new_bytes);
        assert_non_null(room);
        ing_video_write(video, &frame, copy, size, room);
        assert_true(frag_nal_is_prefixed(room, frame.new_bytes, 4));
        free(room);
    }
    free(copy);
    return frame;
}

static struct ing_video start(enum kn_codec codec, const uint8_t *extradata, size_t size) {
    struct ing_video video;
    assert_int_equal(ing_video_init(&video, codec, extradata, size), 0);
    return video;
}

static void test_kinds_of_pictures(void **state) {
    static const struct {
        const uint8_t *data;
        size_t size;
        bool flagged, key, disposable, resets, malformed;
    } cases[] = {
        {BYTES(CODE IDR), false, true, false, true, false},
        {BYTES(CODE IDR CODE IDR), true, true, false, true, false},
        {BYTES(CODE SLICE_I), false, false, false, false, false},
        {BYTES(CODE SLICE_I), true, true, false, false, false},
        /* Believed of whole intra pictures alone: gradual refresh is no place to begin. */
        {BYTES(CODE SLICE_P), true, false, false, false, false},
        {BYTES(CODE SLICE_I CODE SLICE_P), true, false, false, false, false},
        {BYTES(CODE SLICE_LONE_P), false, false, true, false, false},
        {BYTES(CODE SLICE_LONE_P CODE SLICE_P), false, false, false, false, false},
        {BYTES("\0\0\0\4" SLICE_P), false, false, false, false, false},
        {BYTES("\0\0\0\4" IDR), false, true, false, true, false},
        {BYTES("\0\0\0\5" IDR), false, false, false, false, true},
        {BYTES("\x12\x34\x56"), true, true, false, false, true},
        {BYTES(""), false, false, false, false, false},
        {BYTES(CODE "\x09\xf0"), true, false, false, false, false},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        struct ing_video video = start(KN_CODEC_H264, NULL, 0);
        struct ing_video_frame frame = look(&video, cases[i].data, cases[i].size, cases[i].flagged);
        assert_int_equal(frame.key, cases[i].key);
        assert_int_equal(frame.disposable, cases[i].disposable);
        assert_int_equal(frame.resets_order, cases[i].resets);
        assert_int_equal(frame.malformed, cases[i].malformed);
        assert_false(frame.changed);
        ing_video_finish(&video);
    }
}

static void test_setup_in_the_stream(void **state) {
    struct ing_video video = start(KN_CODEC_H264, NULL, 0);
    (void)state;
    assert_null(video.record);
    assert_false(look(&video, BYTES(CODE SPS_SMALL CODE IDR), false).changed); /* no PPS yet */
    assert_null(video.record);
    assert_true(look(&video, BYTES(CODE SPS_SMALL CODE PPS CODE IDR), false).changed);
    assert_non_null(video.record);
    assert_true(video.described);
    assert_int_equal(video.params.width, 320);
    assert_int_equal(video.params.height, 180);
    assert_false(look(&video, BYTES(CODE SPS_SMALL CODE PPS CODE IDR), false).changed);
    assert_false(look(&video, BYTES(CODE PPS CODE SLICE_P), false).changed);

    /* A PPS more is added, another SPS replaces all. */
    size_t before = video.record_bytes;
    assert_true(look(&video, BYTES(CODE PPS_OTHER CODE SLICE_P), false).changed);
    assert_true(video.record_bytes > before);
    assert_int_equal(video.params.width, 320);
    assert_true(look(&video, BYTES(CODE SPS_LARGE CODE PPS CODE IDR), false).changed);
    assert_int_equal(video.params.width, 640);
    assert_int_equal(video.params.height, 360);
    struct frag_param_sets sets;
    assert_int_equal(frag_avcc_parse(video.record, video.record_bytes, &sets), 0);
    assert_int_equal(sets.count, 2);
    assert_false(look(&video, BYTES(CODE SPS_SMALL CODE IDR), false).changed);
    assert_int_equal(video.params.width, 640);
    ing_video_finish(&video);
}

static void test_setup_of_the_container(void **state) {
    struct ing_video annexb = start(KN_CODEC_H264, BYTES(CODE SPS_SMALL CODE PPS));
    bool changed = true;
    (void)state;
    assert_non_null(annexb.record);
    struct ing_video record = start(KN_CODEC_H264, annexb.record, annexb.record_bytes);
    assert_int_equal(record.record_bytes, annexb.record_bytes);
    assert_memory_equal(record.record, annexb.record, annexb.record_bytes);
    assert_int_equal(ing_video_renew(&record, BYTES(CODE SPS_SMALL CODE PPS), &changed), 0);
    assert_false(changed);
    assert_int_equal(ing_video_renew(&record, BYTES(CODE SPS_LARGE CODE PPS), &changed), 0);
    assert_true(changed);
    assert_int_equal(ing_video_renew(&record, BYTES("rubbish"), &changed), 0);
    assert_false(changed);
    assert_int_equal(record.params.width, 640);
    ing_video_finish(&annexb);
    ing_video_finish(&record);
}

/* Lengths of two bytes become lengths of four, in the record too. */
static void test_short_lengths(void **state) {
    uint8_t record[64];
    struct kn_writer writer;
    (void)state;
    kn_writer_init(&writer, record, sizeof(record));
    kn_write_bytes(&writer, BYTES("\1\x42\xc0\x0c\xfd\xe1"));
    kn_write_be16(&writer, sizeof(SPS_SMALL) - 1);
    kn_write_bytes(&writer, BYTES(SPS_SMALL "\1\0\5" PPS));
    struct ing_video video = start(KN_CODEC_H264, record, writer.size);
    assert_int_equal(video.length_bytes, 2);
    assert_non_null(video.record);
    assert_int_equal(video.record[4] & 3, 3);
    struct ing_video_frame frame = look(&video, BYTES("\0\4" IDR "\0\4" IDR), false);
    assert_true(frame.key && !frame.annexb);
    assert_int_equal(frame.new_bytes, 16);
    ing_video_finish(&video);
}

static void test_h265(void **state) {
    struct ing_video video = start(KN_CODEC_H265, NULL, 0);
    (void)state;
    struct ing_video_frame idr = look(&video, BYTES(CODE "\x26\1\xaf"), false);
    assert_true(idr.key && idr.resets_order);
    struct ing_video_frame cra = look(&video, BYTES(CODE "\x2a\1\xaf"), false);
    assert_true(cra.key && !cra.resets_order);
    /* Not what the container says: leading pictures of it could not be told apart. */
    assert_false(look(&video, BYTES(CODE "\2\1\xd0"), true).key);
    assert_true(look(&video, BYTES(CODE "\0\1\xd0"), false).disposable);
    assert_false(look(&video, BYTES(CODE "\2\1\xd0"), false).disposable);
    video.described = true;
    video.params.max_sub_layers = 2;
    assert_false(look(&video, BYTES(CODE "\0\1\xd0"), false).disposable);
    assert_true(look(&video, BYTES(CODE "\0\2\xd0"), false).disposable);
    ing_video_finish(&video);
}

static void test_no_memory(void **state) {
    (void)state;
    for (unsigned long k = 1;; k++) {
        struct ing_video video;
        struct ing_video_frame frame;
        fail_alloc_at(k);
        int rc = ing_video_init(&video, KN_CODEC_H264, BYTES(CODE SPS_SMALL CODE PPS));
        if (rc == 0) {
            rc = ing_video_look(&video, BYTES(CODE SPS_LARGE CODE PPS CODE IDR), false, &frame);
        }
        bool reached = fail_alloc_count() >= k;
        fail_alloc_stop();
        ing_video_finish(&video);
        assert_int_equal(rc, reached ? -ENOMEM : 0);
        if (!reached) {
            assert_true(k > 2);
            return;
        }
    }
}

/* ---- ADTS ---- */

static void test_adts(void **state) {
    /* AAC-LC, 16 kHz, mono, 10 bytes in all. */
    static const uint8_t frame[] = {0xff, 0xf1, 0x60, 0x40, 0x01, 0x5f, 0xfc, 1, 2, 3};
    struct ing_adts adts;
    (void)state;
    assert_int_equal(ing_adts_parse(frame, sizeof(frame), &adts), 0);
    assert_int_equal(adts.header_bytes, 7);
    assert_memory_equal(adts.config, "\x14\x08", 2);

    uint8_t other[sizeof(frame)];
    memcpy(other, frame, sizeof(frame));
    other[1] = 0xf0; /* with a checksum */
    assert_int_equal(ing_adts_parse(other, sizeof(other), &adts), 0);
    assert_int_equal(adts.header_bytes, 9);
    for (size_t size = 0; size < 7; size++) {
        assert_int_equal(ing_adts_parse(frame, size, &adts), KN_E_TRUNCATED);
    }
    assert_int_equal(ing_adts_parse(frame, sizeof(frame) - 1, &adts), KN_E_MALFORMED);

    static const struct {
        size_t at;
        uint8_t byte;
        int result;
    } broken[] = {
        {0, 0xfe, KN_E_MALFORMED},   {1, 0xf5, KN_E_MALFORMED},   {2, 0x7c, KN_E_MALFORMED},
        {3, 0x00, KN_E_UNSUPPORTED}, {6, 0xfd, KN_E_UNSUPPORTED}, {4, 0x00, KN_E_MALFORMED},
    };
    for (size_t i = 0; i < KN_COUNT(broken); i++) {
        memcpy(other, frame, sizeof(frame));
        other[broken[i].at] = broken[i].byte;
        assert_int_equal(ing_adts_parse(other, sizeof(other), &adts), broken[i].result);
    }
}

/* ---- sizes ---- */

static void test_picture_sizes(void **state) {
    static const struct {
        enum kn_codec codec;
        const uint8_t *data;
        size_t size;
        uint32_t width, height; /* 0: it does not say */
    } cases[] = {
        {KN_CODEC_MJPEG, BYTES("\xff\xd8\xff\xe0\0\4ab\xff\xc0\0\x11\x08\0\xb4\1\x40"), 320, 180},
        {KN_CODEC_MJPEG, BYTES("\xff\xd8\xff\xc4\0\2\xff\xc2\0\x11\x08\0\2\0\3"), 3, 2},
        {KN_CODEC_MJPEG, BYTES("\xff\xd8\xff\xc0\0\x11\x08\0\0\1\x40"), 0, 0},
        {KN_CODEC_MJPEG, BYTES("\xff\xd8\xff\xda\0\4ab\xff\xc0\0\x11\x08\0\2\0\3"), 0, 0},
        {KN_CODEC_MJPEG, BYTES("\xff\xd8\xff\xe0\0\1\xff\xc0\0\x11\x08\0\2\0\3"), 0, 0},
        {KN_CODEC_MJPEG, BYTES("\xff\xd8\xff\xc0\0\x11\x08\0\2\0"), 0, 0},
        {KN_CODEC_MJPEG, BYTES("\xff\xd9\xff\xc0\0\x11\x08\0\2\0\3"), 0, 0},
        {KN_CODEC_MJPEG, BYTES(""), 0, 0},
        {KN_CODEC_VP8, BYTES("\x10\2\0\x9d\1\x2a\x40\1\xb4\0"), 320, 180},
        {KN_CODEC_VP8, BYTES("\x10\2\0\x9d\1\x2a\x40\x41\xb4\x80"), 320, 180},
        {KN_CODEC_VP8, BYTES("\x11\2\0\x9d\1\x2a\x40\1\xb4\0"), 0, 0},
        {KN_CODEC_VP8, BYTES("\x10\2\0\x9d\1\x2b\x40\1\xb4\0"), 0, 0},
        {KN_CODEC_VP8, BYTES("\x10\2\0\x9d\1\x2a\x40\1\xb4"), 0, 0},
        /* profile 0, key, shown; BT.601; 319 and 179 */
        {KN_CODEC_VP9, BYTES("\x82\x49\x83\x42\x20\x13\xf0\x0b\x30"), 320, 180},
        {KN_CODEC_VP9, BYTES("\x86\x49\x83\x42\x20\x13\xf0\x0b\x30"), 0, 0},
        {KN_CODEC_VP9, BYTES("\x82\x49\x83\x43\x20\x13\xf0\x0b\x30"), 0, 0},
        {KN_CODEC_VP9, BYTES("\x82\x49\x83\x42\x20\x13\xf0\x0b"), 0, 0},
        {KN_CODEC_AV1, BYTES("\x10\2\0\x9d\1\x2a\x40\1\xb4\0"), 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        uint32_t width = 7, height = 7;
        bool told = ing_picture_size(cases[i].codec, cases[i].data, cases[i].size, &width, &height);
        assert_int_equal(told, cases[i].width != 0);
        assert_int_equal(width, told ? cases[i].width : 7);
        assert_int_equal(height, told ? cases[i].height : 7);
    }
}

/* ---- AV1 ---- */

/* As libaom writes them: 320x180 in 4:4:4. */
#define DELIMITER "\x12\x00"
#define SEQUENCE "\x0a\x0d\x20\x00\x00\x04\x3c\xfe\xcc\xda\xf9\x20\x21\xa0\x04"

static void test_av1_units(void **state) {
    const uint8_t *obu = NULL;
    size_t bytes = 0;
    (void)state;
    assert_int_equal(ing_av1_delimiters(BYTES(DELIMITER "\x32\1x")), 2);
    assert_int_equal(ing_av1_delimiters(BYTES("\x32\1x" DELIMITER)), 0);
    assert_int_equal(ing_av1_delimiters(BYTES("\x12")), 0);
    assert_int_equal(ing_av1_delimiters(BYTES("")), 0);
    assert_int_equal(ing_av1_find_sequence(BYTES("\x32\1x"), &obu, &bytes), -ENOENT);
    assert_int_equal(ing_av1_find_sequence(BYTES("\x32\5x"), &obu, &bytes), KN_E_TRUNCATED);
    assert_int_equal(ing_av1_find_sequence(BYTES("\x92\0"), &obu, &bytes), KN_E_MALFORMED);
    assert_int_equal(
        ing_av1_find_sequence(BYTES("\x32\xff\xff\xff\xff\xff\xff\xff\xffx"), &obu, &bytes),
        KN_E_TRUNCATED);
    /* The last unit may leave its size out. */
    assert_int_equal(ing_av1_find_sequence(BYTES(DELIMITER "\x08zz"), &obu, &bytes), 0);
    assert_int_equal(bytes, 3);
    assert_memory_equal(obu, "\x08zz", 3);
}

/* Bits, as the specification counts them. */
struct bits {
    uint8_t data[64];
    size_t count;
};

static void put_bits(struct bits *bits, uint64_t value, unsigned count) {
    for (unsigned i = count; i-- > 0; bits->count++) {
        if ((value >> i & 1) != 0) {
            bits->data[bits->count / 8] |= (uint8_t)(0x80 >> bits->count % 8);
        }
    }
}

/* A header of 10 bits 4:2:2 with everything on that can be skipped. */
static size_t build_sequence(uint8_t obu[66]) {
    struct bits bits = {0};
    put_bits(&bits, 2, 3);   /* profile */
    put_bits(&bits, 0, 2);   /* still, reduced */
    put_bits(&bits, 1, 1);   /* timing_info_present */
    put_bits(&bits, 1, 32);  /* tick */
    put_bits(&bits, 25, 32); /* scale */
    put_bits(&bits, 1, 1);   /* equal_picture_interval */
    put_bits(&bits, 5, 5);   /* uvlc 00101 */
    put_bits(&bits, 1, 1);   /* decoder_model_info_present */
    put_bits(&bits, 9, 5);   /* delays of 10 bits */
    put_bits(&bits, 77, 32);
    put_bits(&bits, 0, 10);
    put_bits(&bits, 1, 1); /* initial_display_delay_present */
    put_bits(&bits, 1, 5); /* two operating points */
    put_bits(&bits, 0, 12);
    put_bits(&bits, 9, 5); /* level */
    put_bits(&bits, 1, 1); /* tier */
    put_bits(&bits, 1, 1); /* decoder model of this one */
    put_bits(&bits, 0, 21);
    put_bits(&bits, 1, 1); /* display delay of this one */
    put_bits(&bits, 3, 4);
    put_bits(&bits, 1, 12);
    put_bits(&bits, 5, 5);
    put_bits(&bits, 0, 2);
    put_bits(&bits, 10, 4); /* sizes of 11 bits */
    put_bits(&bits, 10, 4);
    put_bits(&bits, 1919, 11);
    put_bits(&bits, 1079, 11);
    put_bits(&bits, 1, 1); /* frame ids */
    put_bits(&bits, 0, 7);
    put_bits(&bits, 0, 3);
    put_bits(&bits, 0, 4);
    put_bits(&bits, 1, 1); /* order hint */
    put_bits(&bits, 0, 2);
    put_bits(&bits, 0, 1); /* screen content: not chosen, */
    put_bits(&bits, 1, 1); /* but forced; */
    put_bits(&bits, 0, 1); /* integer mv: not chosen, */
    put_bits(&bits, 0, 1); /* and off */
    put_bits(&bits, 6, 3);
    put_bits(&bits, 0, 3);
    put_bits(&bits, 1, 1); /* high_bitdepth */
    put_bits(&bits, 0, 1); /* twelve_bit */
    put_bits(&bits, 0, 1); /* monochrome */
    put_bits(&bits, 1, 1); /* colour description */
    put_bits(&bits, 0x010101, 24);
    put_bits(&bits, 0, 1); /* range */
    size_t payload = (bits.count + 7) / 8;
    obu[0] = 0x0a;
    obu[1] = (uint8_t)payload;
    memcpy(obu + 2, bits.data, payload);
    return payload + 2;
}

static void test_av1_sequence(void **state) {
    struct ing_av1_sequence sequence;
    uint8_t obu[66], record[80];
    struct kn_writer writer;
    size_t bytes = build_sequence(obu);
    (void)state;
    assert_int_equal(ing_av1_parse_sequence(obu, bytes, &sequence), 0);
    assert_int_equal(sequence.profile, 2);
    assert_int_equal(sequence.level, 9);
    assert_int_equal(sequence.tier, 1);
    assert_true(sequence.high_bitdepth && !sequence.twelve_bit && !sequence.monochrome);
    assert_int_equal(sequence.subsampling_x, 1);
    assert_int_equal(sequence.subsampling_y, 0);
    assert_int_equal(sequence.width, 1920);
    assert_int_equal(sequence.height, 1080);
    kn_writer_init(&writer, record, sizeof(record));
    ing_av1_write_record(&sequence, obu, bytes, &writer);
    assert_int_equal(writer.size, bytes + 4);
    assert_memory_equal(record, "\x81\x49\xc8\x00", 4);
    assert_memory_equal(record + 4, obu, bytes);

    for (size_t cut = 0; cut + 2 < bytes; cut++) {
        obu[1] = (uint8_t)cut;
        assert_int_equal(ing_av1_parse_sequence(obu, cut + 2, &sequence), KN_E_TRUNCATED);
    }
    assert_int_equal(ing_av1_parse_sequence(BYTES(DELIMITER), &sequence), KN_E_MALFORMED);
    assert_int_equal(ing_av1_parse_sequence(NULL, 0, &sequence), KN_E_TRUNCATED);
}

static void test_av1_of_an_encoder(void **state) {
    struct ing_av1_sequence sequence;
    struct kn_writer writer;
    uint8_t record[32];
    (void)state;
    assert_int_equal(ing_av1_parse_sequence(BYTES(SEQUENCE), &sequence), 0);
    assert_int_equal(sequence.profile, 1);
    assert_int_equal(sequence.width, 320);
    assert_int_equal(sequence.height, 180);
    assert_int_equal(sequence.subsampling_x + sequence.subsampling_y, 0);
    assert_false(sequence.high_bitdepth);
    /* ffmpeg's muxers write the same record. */
    kn_writer_init(&writer, record, sizeof(record));
    ing_av1_write_record(&sequence, BYTES(SEQUENCE), &writer);
    assert_int_equal(writer.size, 19);
    assert_memory_equal(record, "\x81\x20\0\0", 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds_of_pictures),
        cmocka_unit_test(test_setup_in_the_stream),
        cmocka_unit_test(test_setup_of_the_container),
        cmocka_unit_test(test_short_lengths),
        cmocka_unit_test(test_h265),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_adts),
        cmocka_unit_test(test_picture_sizes),
        cmocka_unit_test(test_av1_units),
        cmocka_unit_test(test_av1_sequence),
        cmocka_unit_test(test_av1_of_an_encoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
