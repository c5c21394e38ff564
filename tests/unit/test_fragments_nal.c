#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "fragments/nal.h"

/* Bytes in a block of exactly their size, so that a read past them is seen. */
static uint8_t *exact_copy(const void *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);

    assert_non_null(copy);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

/* ---- Annex-B ---- */

struct annexb_case {
    const char *bytes;
    size_t size;
    const char *units[4];
    size_t unit_sizes[4];
};

#define BYTES(literal) (literal), sizeof(literal) - 1

static void check_annexb(const struct annexb_case *expected) {
    uint8_t *data = exact_copy(expected->bytes, expected->size);
    struct kn_reader reader;
    struct frag_nal nal;
    size_t count = 0;

    kn_reader_init(&reader, data, expected->size);
    while (frag_nal_next_annexb(&reader, &nal)) {
        assert_true(count < KN_COUNT(expected->units));
        assert_int_equal(nal.size, expected->unit_sizes[count]);
        assert_memory_equal(nal.data, expected->units[count], nal.size);
        count++;
    }
    assert_true(count == KN_COUNT(expected->units) || expected->units[count] == NULL);
    assert_int_equal(kn_reader_left(&reader), 0);
    assert_false(frag_nal_next_annexb(&reader, &nal));
    free(data);
}

static void test_annexb(void **state) {
    static const struct annexb_case cases[] = {
        {BYTES(""), {NULL}, {0}},
        {BYTES("\0"), {NULL}, {0}},
        {BYTES("\0\0\1"), {NULL}, {0}},
        {BYTES("\0\0\0\1"), {NULL}, {0}},
        {BYTES("\x67\x42\x1f"), {NULL}, {0}},
        {BYTES("\0\0\1\x67\x42"), {"\x67\x42"}, {2}},
        {BYTES("\0\0\0\1\x67\x42"), {"\x67\x42"}, {2}},
        {BYTES("\0\0\0\0\0\0\1\x09"), {"\x09"}, {1}},
        {BYTES("\0\0\0\1\x67\0\0\0\1\x68\0\0\1\x65\x88"), {"\x67", "\x68", "\x65\x88"}, {1, 1, 2}},
        /* trailing_zero_8bits, and a start code that nothing follows */
        {BYTES("\0\0\1\x67\x42\0\0\0\0\0\1\x68\0\0"), {"\x67\x42", "\x68"}, {2, 1}},
        {BYTES("\0\0\1\x67\0\0\1"), {"\x67"}, {1}},
        {BYTES("\0\0\1\x67\0\0\1\0\0\1\0\0\0\1"), {"\x67"}, {1}},
        /* What stands before the first start code is no unit. */
        {BYTES("\xff\x41\0\0\1\x68"), {"\x68"}, {1}},
        /* Emulation prevention is left alone; a unit may begin with a zero (H.265's TRAIL_N). */
        {BYTES("\0\0\1\x65\0\0\3\1\0\0\3"), {"\x65\0\0\3\1\0\0\3"}, {8}},
        {BYTES("\0\0\1\0\1\xaf\0\0\1\x40\1"), {"\0\1\xaf", "\x40\1"}, {3, 2}},
        {BYTES("\0\0\1\1\1\0\0\1\2"), {"\1\1", "\2"}, {2, 1}},
    };

    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        check_annexb(&cases[i]);
    }
}

/* The search skips bytes: a start code at every place of a block, among zeros, ones and others. */
static void test_annexb_finds_every_place(void **state) {
    static const uint8_t start_code[] = {0, 0, 1, 0x65};
    static const uint8_t fillings[] = {0, 1, 2, 0xff};

    (void)state;
    for (size_t f = 0; f < KN_COUNT(fillings); f++) {
        for (size_t size = 4; size < 24; size++) {
            for (size_t at = 0; at + 4 <= size; at++) {
                uint8_t *data = malloc(size);
                struct kn_reader reader;
                struct frag_nal nal;

                assert_non_null(data);
                memset(data, fillings[f], size);
                memcpy(data + at, start_code, sizeof(start_code));
                kn_reader_init(&reader, data, size);
                assert_true(frag_nal_next_annexb(&reader, &nal));
                assert_ptr_equal(nal.data, data + at + 3);
                assert_int_equal(nal.size, fillings[f] == 0 ? 1 : size - at - 3);
                assert_false(frag_nal_next_annexb(&reader, &nal));
                free(data);
            }
        }
    }
}

static void test_starts_annexb(void **state) {
    (void)state;
    assert_true(frag_nal_starts_annexb((const uint8_t *)"\0\0\1", 3));
    assert_true(frag_nal_starts_annexb((const uint8_t *)"\0\0\0\1\x67", 5));
    assert_true(frag_nal_starts_annexb((const uint8_t *)"\0\0\0\0\0\1", 6));
    assert_false(frag_nal_starts_annexb(NULL, 0));
    assert_false(frag_nal_starts_annexb((const uint8_t *)"\0\0\0", 3));
    assert_false(frag_nal_starts_annexb((const uint8_t *)"\0\1\0", 3));
    assert_false(frag_nal_starts_annexb((const uint8_t *)"\0\0\2\1", 4));
    assert_false(frag_nal_starts_annexb((const uint8_t *)"\1\0\0\1", 4));
}

/* ---- length-prefixed ---- */

static int count_prefixed(const void *bytes, size_t size, unsigned length_bytes) {
    uint8_t *data = exact_copy(bytes, size);
    struct frag_nal nal = {0};
    struct kn_reader reader;
    int count = 0;
    int result;

    kn_reader_init(&reader, data, size);
    while ((result = frag_nal_next_prefixed(&reader, length_bytes, &nal)) > 0) {
        count++;
    }
    assert_int_equal(frag_nal_is_prefixed(data, size, length_bytes), result == 0);
    assert_int_equal(frag_nal_next_prefixed(&reader, length_bytes, &nal), result);
    free(data);
    return result < 0 ? result : count;
}

static void test_prefixed(void **state) {
    static const uint8_t two[] = {0, 0, 0, 2, 0x67, 0x42, 0, 0, 0, 1, 0x68};
    struct kn_reader reader;
    struct frag_nal nal;

    (void)state;
    kn_reader_init(&reader, two, sizeof(two));
    assert_int_equal(frag_nal_next_prefixed(&reader, 4, &nal), 1);
    assert_ptr_equal(nal.data, two + 4);
    assert_int_equal(nal.size, 2);
    assert_int_equal(frag_nal_next_prefixed(&reader, 4, &nal), 1);
    assert_ptr_equal(nal.data, two + 10);
    assert_int_equal(nal.size, 1);
    assert_int_equal(frag_nal_next_prefixed(&reader, 4, &nal), 0);

    for (size_t size = 0; size <= sizeof(two); size++) {
        const int units = size == 0 ? 0 : size == 6 ? 1 : size == 11 ? 2 : KN_E_MALFORMED;
        assert_int_equal(count_prefixed(two, size, 4), units);
    }
    assert_int_equal(count_prefixed("\1\x67\2\x68\x69", 5, 1), 2);
    assert_int_equal(count_prefixed("\0\1\x67\0\2\x68\x69", 7, 2), 2);
    assert_int_equal(count_prefixed("\0\0\1\x67", 4, 3), 1);
    assert_int_equal(count_prefixed("\0\0\0\0", 4, 4), 1);
    assert_int_equal(count_prefixed("\xff\xff\xff\xff\x67", 5, 4), KN_E_MALFORMED);
}

static void test_failed_step_leaves_the_result(void **state) {
    static const uint8_t cut[] = {5, 0x67};
    struct frag_nal nal = {cut, 77};
    struct kn_reader reader;

    (void)state;
    kn_reader_init(&reader, cut, sizeof(cut));
    assert_int_equal(frag_nal_next_prefixed(&reader, 1, &nal), KN_E_MALFORMED);
    assert_ptr_equal(nal.data, cut);
    assert_int_equal(nal.size, 77);
}

/* ---- conversion ---- */

static void test_conversion(void **state) {
    static const uint8_t annexb[] = {0, 0, 0, 1, 0x67, 0x42, 0, 0, 1, 0, 0, 0, 1, 0x65, 9, 8, 0};
    static const uint8_t expected[] = {0, 0, 0, 2, 0x67, 0x42, 0, 0, 0, 3, 0x65, 9, 8};
    uint8_t room[32];
    struct kn_writer writer;

    (void)state;
    kn_writer_init(&writer, room, sizeof(room));
    frag_nal_annexb_to_prefixed(annexb, sizeof(annexb), &writer);
    assert_int_equal(kn_writer_status(&writer), 0);
    assert_int_equal(writer.size, sizeof(expected));
    assert_memory_equal(writer.data, expected, sizeof(expected));
    assert_true(frag_nal_is_prefixed(writer.data, writer.size, 4));

    for (size_t size = 0; size < sizeof(expected); size++) {
        kn_writer_init(&writer, room, size);
        frag_nal_annexb_to_prefixed(annexb, sizeof(annexb), &writer);
        assert_int_equal(kn_writer_status(&writer), KN_E_LIMIT);
    }
}

/* ---- unit types ---- */

static enum frag_nal_kind kind_of(enum kn_codec codec, const char *bytes, size_t size) {
    return frag_nal_kind(codec, (struct frag_nal){(const uint8_t *)bytes, size});
}

static void test_kinds_h264(void **state) {
    static const enum frag_nal_kind kinds[32] = {
        [1] = FRAG_NAL_SLICE, [2] = FRAG_NAL_SLICE, [3] = FRAG_NAL_SLICE,
        [4] = FRAG_NAL_SLICE, [5] = FRAG_NAL_KEY,   [6] = FRAG_NAL_SEI,
        [7] = FRAG_NAL_SPS,   [8] = FRAG_NAL_PPS,   [9] = FRAG_NAL_DELIMITER,
    };

    (void)state;
    for (unsigned header = 0; header < 256; header++) {
        const uint8_t byte = (uint8_t)header;
        const enum frag_nal_kind kind = header < 128 ? kinds[header % 32] : FRAG_NAL_OTHER;
        assert_int_equal(frag_nal_kind(KN_CODEC_H264, (struct frag_nal){&byte, 1}), kind);
    }
}

static void test_kinds_h265(void **state) {
    (void)state;
    for (unsigned type = 0; type < 64; type++) {
        const uint8_t base[2] = {(uint8_t)(type << 1), 1};
        const uint8_t layer_1[2] = {(uint8_t)(type << 1), 1 << 3 | 1};
        const uint8_t layer_32[2] = {(uint8_t)(type << 1 | 1), 1};
        const uint8_t damaged[2] = {(uint8_t)(type << 1 | 0x80), 1};
        enum frag_nal_kind kind = FRAG_NAL_OTHER;

        if (type <= 9) {
            kind = FRAG_NAL_SLICE;
        } else if (type >= 16 && type <= 21) {
            kind = FRAG_NAL_KEY;
        } else if (type >= 32 && type <= 34) {
            kind = type == 32 ? FRAG_NAL_VPS : type == 33 ? FRAG_NAL_SPS : FRAG_NAL_PPS;
        } else if (type == 35) {
            kind = FRAG_NAL_DELIMITER;
        } else if (type == 39 || type == 40) {
            kind = FRAG_NAL_SEI;
        }
        assert_int_equal(frag_nal_kind(KN_CODEC_H265, (struct frag_nal){base, 2}), kind);
        assert_int_equal(frag_nal_kind(KN_CODEC_H265, (struct frag_nal){base, 1}), FRAG_NAL_OTHER);
        assert_int_equal(frag_nal_kind(KN_CODEC_H265, (struct frag_nal){layer_1, 2}),
                         FRAG_NAL_OTHER);
        assert_int_equal(frag_nal_kind(KN_CODEC_H265, (struct frag_nal){layer_32, 2}),
                         FRAG_NAL_OTHER);
        assert_int_equal(frag_nal_kind(KN_CODEC_H265, (struct frag_nal){damaged, 2}),
                         FRAG_NAL_OTHER);
    }
}

static void test_kinds_of_nothing(void **state) {
    (void)state;
    assert_int_equal(frag_nal_kind(KN_CODEC_H264, (struct frag_nal){NULL, 0}), FRAG_NAL_OTHER);
    assert_int_equal(frag_nal_kind(KN_CODEC_H265, (struct frag_nal){NULL, 0}), FRAG_NAL_OTHER);
    assert_int_equal(kind_of(KN_CODEC_AV1, "\x67\1", 2), FRAG_NAL_OTHER);
    assert_int_equal(kind_of(KN_CODEC_OTHER, "\x67\1", 2), FRAG_NAL_OTHER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_annexb),
        cmocka_unit_test(test_annexb_finds_every_place),
        cmocka_unit_test(test_starts_annexb),
        cmocka_unit_test(test_prefixed),
        cmocka_unit_test(test_failed_step_leaves_the_result),
        cmocka_unit_test(test_conversion),
        cmocka_unit_test(test_kinds_h264),
        cmocka_unit_test(test_kinds_h265),
        cmocka_unit_test(test_kinds_of_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
