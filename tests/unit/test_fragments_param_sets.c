#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "fragments/nal.h"
#include "tests/unit/fragments_records.h"

#define RECORD_BYTES_MAX 1024

struct bytes {
    size_t size;
    uint8_t data[RECORD_BYTES_MAX];
};

static uint8_t hex_digit(char c) {
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static struct bytes from_hex(const char *hex) {
    struct bytes bytes = {.size = strlen(hex) / 2};

    assert_true(bytes.size <= sizeof(bytes.data));
    for (size_t i = 0; i < bytes.size; i++) {
        bytes.data[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    }
    return bytes;
}

/* Bytes in a block of exactly their size, so that a read past them is seen. */
static uint8_t *exact_copy(const void *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);

    assert_non_null(copy);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

static int parse(enum kn_codec codec, const uint8_t *data, size_t size,
                 struct frag_param_sets *ret_sets) {
    return codec == KN_CODEC_H264 ? frag_avcc_parse(data, size, ret_sets)
                                  : frag_hvcc_parse(data, size, ret_sets);
}

static struct frag_nal literal_nal(const char *bytes, size_t size) {
    return (struct frag_nal){(const uint8_t *)bytes, size};
}

#define NAL(literal) literal_nal((literal), sizeof(literal) - 1)

/* ---- records of real streams ---- */

static void check_facts(const struct record_facts *facts, const struct frag_video_params *params) {
    char text[64];

    assert_string_equal(frag_video_params_text(facts->codec, params, text, sizeof(text)),
                        facts->text);
    assert_int_equal(params->width, facts->width);
    assert_int_equal(params->height, facts->height);
    assert_int_equal(params->sar_width, facts->sar_width);
    assert_int_equal(params->sar_height, facts->sar_height);
    assert_int_equal(params->rate_num, facts->rate_num);
    assert_int_equal(params->rate_den, facts->rate_den);
    assert_int_equal(params->chroma_format_idc, facts->chroma_format_idc);
    assert_int_equal(params->bit_depth_luma, facts->bit_depth);
    assert_int_equal(params->bit_depth_chroma, facts->bit_depth);
    assert_int_equal(params->max_sub_layers, facts->sub_layers);
    assert_int_equal(params->reorder_frames, facts->reorder_frames);
    assert_int_equal(params->interlaced, facts->interlaced);
}

static void check_same_sets(const struct frag_param_sets *a, const struct frag_param_sets *b) {
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->nals[i].size, b->nals[i].size);
        assert_memory_equal(a->nals[i].data, b->nals[i].data, a->nals[i].size);
    }
}

static void test_records_are_read(void **state) {
    (void)state;
    for (size_t i = 0; i < KN_COUNT(records); i++) {
        const enum kn_codec codec = records[i].codec;
        const struct bytes record = from_hex(records[i].hex);
        struct frag_video_params params;
        struct frag_param_sets sets;

        assert_int_equal(parse(codec, record.data, record.size, &sets), 0);
        assert_int_equal(sets.length_bytes, 4);
        assert_int_equal(sets.count, codec == KN_CODEC_H264 ? 2 : 3);
        assert_true(frag_param_sets_complete(codec, &sets));
        assert_int_equal(frag_param_sets_describe(codec, &sets, &params), 0);
        check_facts(&records[i], &params);
    }
}

static void test_records_are_written_alike(void **state) {
    (void)state;
    for (size_t i = 0; i < KN_COUNT(records); i++) {
        const struct bytes record = from_hex(records[i].hex);
        struct frag_param_sets sets, again;
        uint8_t room[RECORD_BYTES_MAX];
        struct kn_writer writer;

        assert_int_equal(parse(records[i].codec, record.data, record.size, &sets), 0);
        kn_writer_init(&writer, room, sizeof(room));
        assert_int_equal(frag_param_sets_pack(records[i].codec, &sets, &writer), 0);
        if (records[i].exact) {
            assert_int_equal(writer.size, record.size);
            assert_memory_equal(writer.data, record.data, record.size);
        }
        assert_int_equal(parse(records[i].codec, writer.data, writer.size, &again), 0);
        check_same_sets(&sets, &again);
        for (size_t size = 0; size < writer.size; size++) {
            struct kn_writer small;
            uint8_t *place = exact_copy(room, size);
            kn_writer_init(&small, place, size);
            assert_int_equal(frag_param_sets_pack(records[i].codec, &sets, &small), KN_E_LIMIT);
            free(place);
        }
    }
}

/* Whatever `data` says: nothing is read past it, and what is accepted can be packed or refused. */
static void read_any_record(enum kn_codec codec, const uint8_t *data, size_t size) {
    uint8_t *copy = exact_copy(data, size);
    struct frag_video_params params;
    struct frag_param_sets sets;

    if (parse(codec, copy, size, &sets) == 0 &&
        frag_param_sets_describe(codec, &sets, &params) == 0) {
        uint8_t room[2 * RECORD_BYTES_MAX];
        struct kn_writer writer;

        kn_writer_init(&writer, room, sizeof(room));
        if (frag_param_sets_complete(codec, &sets)) {
            const int result = frag_param_sets_pack(codec, &sets, &writer);
            assert_true(result == 0 || result == KN_E_UNSUPPORTED);
        }
    }
    free(copy);
}

static void test_cut_records(void **state) {
    (void)state;
    for (size_t i = 0; i < KN_COUNT(records); i++) {
        const struct bytes record = from_hex(records[i].hex);
        struct frag_param_sets sets;
        /* avcC may lack its last four bytes, the High profiles' fields. */
        const size_t optional = records[i].codec == KN_CODEC_H264 ? 4 : 0;

        for (size_t size = 0; size < record.size; size++) {
            uint8_t *copy = exact_copy(record.data, size);
            const int result = parse(records[i].codec, copy, size, &sets);
            if (size + optional < record.size) {
                assert_int_equal(result, KN_E_TRUNCATED);
            }
            free(copy);
            read_any_record(records[i].codec, record.data, size);
        }
    }
}

static void test_records_with_any_bit_flipped(void **state) {
    (void)state;
    for (size_t i = 0; i < KN_COUNT(records); i++) {
        struct bytes record = from_hex(records[i].hex);

        for (size_t bit = 0; bit < record.size * 8; bit++) {
            record.data[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
            read_any_record(records[i].codec, record.data, record.size);
            record.data[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        }
    }
}

/* ---- records made here ---- */

static void check_refused(enum kn_codec codec, const char *bytes, size_t size, int expected) {
    struct frag_param_sets sets = {.count = 7};

    assert_int_equal(parse(codec, (const uint8_t *)bytes, size, &sets), expected);
    assert_int_equal(sets.count, 7); /* untouched */
}

static void test_refused_records(void **state) {
    char hvcc[24] = "\1\1\x60\0\0\0\x90\0\0\0\0\0\x5d\xf0\0\xfc\xfd\xf8\xf8\0\0\0\1";

    (void)state;
    check_refused(KN_CODEC_H264, "", 0, KN_E_TRUNCATED);
    check_refused(KN_CODEC_H264, "\0\x64\0\x28\xff\xe0\0", 7, KN_E_MALFORMED);
    check_refused(KN_CODEC_H264, "\2\x64\0\x28\xff\xe0\0", 7, KN_E_MALFORMED);
    check_refused(KN_CODEC_H264, "\1\x64\0\x28\xfe\xe0\0", 7, KN_E_MALFORMED); /* 3 bytes */
    check_refused(KN_CODEC_H264, "\1\x64\0\x28\xff\xe1\xff\xff\x67", 9, KN_E_TRUNCATED);
    check_refused(KN_CODEC_H265, "", 0, KN_E_TRUNCATED);
    check_refused(KN_CODEC_H265, "\0\0\1\x40", 4, KN_E_MALFORMED);
    hvcc[21] = 0x0e;
    check_refused(KN_CODEC_H265, hvcc, 23, KN_E_MALFORMED); /* 3 bytes */
    hvcc[21] = 0x0f;
    check_refused(KN_CODEC_H265, hvcc, 23, KN_E_TRUNCATED);
}

static void test_length_sizes(void **state) {
    static const unsigned sizes[4] = {1, 2, 0, 4};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t record[] = {1, 0x64, 0, 0x28, (uint8_t)(0xfc | i), 0xe0, 0};
        struct frag_param_sets sets;
        const int result = frag_avcc_parse(record, sizeof(record), &sets);

        assert_int_equal(result, sizes[i] != 0 ? 0 : KN_E_MALFORMED);
        if (result == 0) {
            assert_int_equal(sets.length_bytes, sizes[i]);
            assert_int_equal(sets.count, 0);
            assert_false(frag_param_sets_complete(KN_CODEC_H264, &sets));
        }
    }
}

/* Repetitions, empty units and what is no parameter set are left out; wrong places are put right.
 */
static void test_odd_avcc(void **state) {
    static const uint8_t record[] = {
        1,    0x42, 0,    0x1e, 0xff, 0xe4,                /* four "SPS" */
        0,    2,    0x67, 1,    0,    2,    0x68, 7,       /* the second is a PPS */
        0,    2,    0x67, 1,    0,    0,                   /* again; empty */
        3,    0,    2,    0x67, 2,    0,    2,    0x06, 5, /* three "PPS": an SPS, an SEI */
        0,    4,    0x68, 7,    0,    0,                   /* again, padded */
        0xfd, 0xf8, 0xf8, 0,    0xde, 0xad, 0xbe,          /* the High fields and then some */
    };
    struct frag_param_sets sets;

    (void)state;
    assert_int_equal(frag_avcc_parse(record, sizeof(record), &sets), 0);
    assert_int_equal(sets.count, 3);
    assert_memory_equal(sets.nals[0].data, "\x67\1", 2);
    assert_memory_equal(sets.nals[1].data, "\x67\2", 2);
    assert_memory_equal(sets.nals[2].data, "\x68\7", 2);
}

static void test_too_many_sets(void **state) {
    uint8_t record[6 + 31 * 4 + 1 + 3 * 4] = {1, 0x42, 0, 0x1e, 0xff, 0xff};
    struct frag_param_sets sets;
    size_t at = 6;

    (void)state;
    for (uint8_t i = 0; i < 31; i++, at += 4) {
        memcpy(record + at, (uint8_t[]){0, 2, 0x67, (uint8_t)(i + 1)}, 4);
    }
    record[at++] = 1;
    memcpy(record + at, (uint8_t[]){0, 2, 0x68, 1, 0, 2, 0x68, 2, 0, 2, 0x68, 3}, 12);
    assert_int_equal(frag_avcc_parse(record, sizeof(record), &sets), 0);
    assert_int_equal(sets.count, FRAG_PARAM_SETS_MAX);
    record[at - 1] = 2;
    assert_int_equal(frag_avcc_parse(record, sizeof(record), &sets), KN_E_LIMIT);
}

/* ---- collecting ---- */

static void test_collect_annexb(void **state) {
    static const char frame[] = "\0\0\0\1\x68\x11\0\0\1\x06\5\1\0\0\0\1\x67\x22\0\0\1\x67\x22\0"
                                "\0\0\1\x68\x33\0\0\1\x65\x88";
    struct frag_param_sets sets = {0};
    const uint8_t *data = (const uint8_t *)frame;

    (void)state;
    assert_int_equal(frag_param_sets_collect(KN_CODEC_H264, data, sizeof(frame) - 1, 0, &sets), 3);
    assert_int_equal(sets.count, 3);
    assert_memory_equal(sets.nals[0].data, "\x67\x22", 2);
    assert_memory_equal(sets.nals[1].data, "\x68\x11", 2);
    assert_memory_equal(sets.nals[2].data, "\x68\x33", 2);
    assert_true(frag_param_sets_complete(KN_CODEC_H264, &sets));
    assert_int_equal(frag_param_sets_collect(KN_CODEC_H264, data, sizeof(frame) - 1, 0, &sets), 0);
    assert_int_equal(frag_param_sets_collect(KN_CODEC_H264, NULL, 0, 0, &sets), 0);
    assert_int_equal(frag_param_sets_collect(KN_CODEC_AAC, data, sizeof(frame) - 1, 0, &sets), 0);
    assert_int_equal(sets.count, 3);
}

/* The same sets in the other framing, padded, are the same; one changed is kept as well. */
static void test_collect_prefixed(void **state) {
    static const uint8_t first[] = {0, 2, 0x67, 0x22, 0, 2, 0x68, 0x11, 0, 1, 0x65};
    static const uint8_t second[] = {4, 0x67, 0x22, 0, 0, 2, 0x67, 0x23};
    static const uint8_t cut[] = {2, 0x68, 0x44, 9, 0x65};
    struct frag_param_sets sets = {0};

    (void)state;
    assert_int_equal(frag_param_sets_collect(KN_CODEC_H264, first, sizeof(first), 2, &sets), 2);
    assert_int_equal(frag_param_sets_collect(KN_CODEC_H264, second, sizeof(second), 1, &sets), 1);
    assert_int_equal(sets.count, 3);
    assert_memory_equal(sets.nals[1].data, "\x67\x23", 2);
    assert_int_equal(sets.nals[2].data[0], 0x68);
    assert_int_equal(frag_param_sets_collect(KN_CODEC_H264, cut, sizeof(cut), 1, &sets),
                     KN_E_MALFORMED);
    assert_int_equal(sets.count, 3);
}

static void test_collect_h265_order(void **state) {
    static const char frame[] = "\0\0\1\x44\1\3\0\0\1\x42\1\2\0\0\1\x40\1\1\0\0\1\x26\1\xaf";
    const uint8_t *data = (const uint8_t *)frame;
    struct frag_param_sets sets = {0};

    (void)state;
    assert_int_equal(frag_param_sets_collect(KN_CODEC_H265, data, 12, 0, &sets), 2);
    assert_false(frag_param_sets_complete(KN_CODEC_H265, &sets));
    assert_int_equal(frag_param_sets_collect(KN_CODEC_H265, data, sizeof(frame) - 1, 0, &sets), 1);
    assert_true(frag_param_sets_complete(KN_CODEC_H265, &sets));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sets.nals[i].data[2], i + 1);
    }
    assert_false(frag_param_sets_complete(KN_CODEC_AV1, &sets));
}

static void test_collect_has_limits(void **state) {
    uint8_t many[(FRAG_PARAM_SETS_MAX + 1) * 3];
    struct frag_param_sets sets = {0};
    size_t size = 5 + 65536;
    uint8_t *large = malloc(size);

    (void)state;
    for (size_t i = 0; i <= FRAG_PARAM_SETS_MAX; i++) {
        memcpy(many + 3 * i, (uint8_t[]){2, 0x68, (uint8_t)(i + 1)}, 3);
    }
    assert_int_equal(frag_param_sets_collect(KN_CODEC_H264, many, sizeof(many), 1, &sets),
                     KN_E_LIMIT);
    assert_int_equal(sets.count, 0);
    assert_int_equal(frag_param_sets_collect(KN_CODEC_H264, many, sizeof(many) - 3, 1, &sets),
                     FRAG_PARAM_SETS_MAX);

    sets.count = 0;
    assert_non_null(large);
    memset(large, 0x55, size);
    memcpy(large, (uint8_t[]){0, 0, 0, 1, 0x68}, 5);
    assert_int_equal(frag_param_sets_collect(KN_CODEC_H264, large, size, 0, &sets), KN_E_LIMIT);
    assert_int_equal(frag_param_sets_collect(KN_CODEC_H264, large, size - 2, 0, &sets), 1);
    free(large);
}

/* ---- packing ---- */

static void test_pack_refuses(void **state) {
    uint8_t *large = calloc(1, 65536);
    const struct bytes record = from_hex(records[0].hex);
    struct frag_param_sets sets, other;
    uint8_t room[RECORD_BYTES_MAX];
    struct kn_writer writer;

    (void)state;
    assert_non_null(large);
    large[0] = 0x68;
    kn_writer_init(&writer, room, sizeof(room));
    assert_int_equal(frag_avcc_parse(record.data, record.size, &sets), 0);
    assert_int_equal(frag_param_sets_pack(KN_CODEC_VP9, &sets, &writer), KN_E_UNSUPPORTED);
    assert_int_equal(frag_param_sets_pack(KN_CODEC_H265, &sets, &writer), KN_E_MALFORMED);
    other = sets;
    other.count = 1; /* no PPS */
    assert_int_equal(frag_param_sets_pack(KN_CODEC_H264, &other, &writer), KN_E_MALFORMED);
    other = sets;
    other.nals[0] = NAL("\x67\x42"); /* cannot be read */
    assert_int_equal(frag_param_sets_pack(KN_CODEC_H264, &other, &writer), KN_E_MALFORMED);
    other = sets;
    other.nals[1] = (struct frag_nal){large, 65536};
    assert_int_equal(frag_param_sets_pack(KN_CODEC_H264, &other, &writer), KN_E_LIMIT);
    assert_int_equal(writer.size, 0);
    free(large);
}

static void test_describe_refuses(void **state) {
    const struct frag_param_sets pps = {.count = 1, .nals = {NAL("\x68\1")}};
    struct frag_video_params params;

    (void)state;
    assert_int_equal(frag_param_sets_describe(KN_CODEC_H264, &pps, &params), KN_E_MALFORMED);
    assert_int_equal(frag_param_sets_describe(KN_CODEC_AAC, &pps, &params), KN_E_UNSUPPORTED);
}

/* ---- text ---- */

struct text_case {
    enum kn_codec codec;
    struct frag_video_params params;
    const char *text;
};

static void test_text(void **state) {
    static const struct text_case cases[] = {
        {KN_CODEC_H264, {.profile_idc = 66, .level_idc = 30}, "Baseline 3.0"},
        {KN_CODEC_H264,
         {.profile_idc = 66, .profile_compatibility = {0x40}, .level_idc = 31},
         "Constrained Baseline 3.1"},
        {KN_CODEC_H264,
         {.profile_idc = 77, .profile_compatibility = {0x10}, .level_idc = 11},
         "Main 1b"},
        {KN_CODEC_H264, {.profile_idc = 100, .level_idc = 9}, "High 1b"},
        {KN_CODEC_H264,
         {.profile_idc = 100, .profile_compatibility = {0x0c}, .level_idc = 52},
         "Constrained High 5.2"},
        {KN_CODEC_H264, {.profile_idc = 244, .level_idc = 62}, "High 4:4:4 Predictive 6.2"},
        {KN_CODEC_H264, {.profile_idc = 44, .level_idc = 40}, "CAVLC 4:4:4 Intra 4.0"},
        {KN_CODEC_H264, {.profile_idc = 83, .level_idc = 40}, "Scalable Baseline 4.0"},
        {KN_CODEC_H264, {.profile_idc = 86, .level_idc = 40}, "Scalable High 4.0"},
        {KN_CODEC_H264, {.profile_idc = 88, .level_idc = 40}, "Extended 4.0"},
        {KN_CODEC_H264, {.profile_idc = 118, .level_idc = 40}, "Multiview High 4.0"},
        {KN_CODEC_H264, {.profile_idc = 128, .level_idc = 40}, "Stereo High 4.0"},
        {KN_CODEC_H264, {.profile_idc = 144, .level_idc = 40}, "High 4:4:4 4.0"},
        {KN_CODEC_H264, {.profile_idc = 255, .level_idc = 255}, "Profile 255 25.5"},
        {KN_CODEC_H265, {.profile_idc = 1, .level_idc = 93}, "Main L3.1"},
        {KN_CODEC_H265, {.profile_idc = 2, .level_idc = 153, .tier = 1}, "Main 10 L5.1 High tier"},
        {KN_CODEC_H265, {.profile_idc = 3, .level_idc = 30}, "Main Still Picture L1.0"},
        {KN_CODEC_H265,
         {.profile_idc = 4, .constraint_indicator = {0x9d, 0x08}, .level_idc = 120},
         "Main 4:2:2 10 L4.0"},
        {KN_CODEC_H265,
         {.profile_idc = 4, .constraint_indicator = {0x88, 0xa0}, .level_idc = 120},
         "Main 12 Intra L4.0"},
        {KN_CODEC_H265,
         {.profile_idc = 4, .constraint_indicator = {0x80, 0x30}, .level_idc = 255},
         "Main 4:4:4 16 Still Picture L8.5"},
        {KN_CODEC_H265, {.profile_idc = 5, .level_idc = 120}, "High Throughput L4.0"},
        {KN_CODEC_H265, {.profile_idc = 6, .level_idc = 120}, "Multiview Main L4.0"},
        {KN_CODEC_H265, {.profile_idc = 7, .level_idc = 120}, "Scalable Main L4.0"},
        {KN_CODEC_H265, {.profile_idc = 9, .level_idc = 120}, "Screen-Extended Main L4.0"},
        {KN_CODEC_H265, {.profile_idc = 31, .level_idc = 0}, "Profile 31 L0.0"},
        {KN_CODEC_AAC, {.profile_idc = 1}, ""},
    };

    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        char text[64];
        assert_string_equal(
            frag_video_params_text(cases[i].codec, &cases[i].params, text, sizeof(text)),
            cases[i].text);
        for (size_t room = 1; room < sizeof(text); room++) {
            char *small = (char *)exact_copy(text, room);
            assert_ptr_equal(frag_video_params_text(cases[i].codec, &cases[i].params, small, room),
                             small);
            assert_int_equal(strncmp(small, cases[i].text, room - 1), 0);
            assert_true(strlen(small) < room);
            free(small);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_are_read),
        cmocka_unit_test(test_records_are_written_alike),
        cmocka_unit_test(test_cut_records),
        cmocka_unit_test(test_records_with_any_bit_flipped),
        cmocka_unit_test(test_refused_records),
        cmocka_unit_test(test_length_sizes),
        cmocka_unit_test(test_odd_avcc),
        cmocka_unit_test(test_too_many_sets),
        cmocka_unit_test(test_collect_annexb),
        cmocka_unit_test(test_collect_prefixed),
        cmocka_unit_test(test_collect_h265_order),
        cmocka_unit_test(test_collect_has_limits),
        cmocka_unit_test(test_pack_refuses),
        cmocka_unit_test(test_describe_refuses),
        cmocka_unit_test(test_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
