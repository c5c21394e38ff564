/* Sequence parameter sets written field by field, for what the encoders of
 * test_fragments_param_sets.c do not write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "fragments/nal.h"
#include "tests/unit/fragments_bits.h"

struct h265_fields {
    uint32_t profile_space;
    unsigned sub_layers_minus1;
    bool sub_layer_levels; /* each with profile and level, and an ordering of its own */
    uint32_t id;
    uint32_t chroma_format_idc, width, height, crop[4];
    uint32_t bit_depth_minus8, order_count_bits_minus4;
    uint32_t buffering_minus1, reorder;
    bool scaling_lists, pcm;
    uint32_t scaling_pred_delta;
    uint32_t long_term_count;
    void (*put_reference_sets)(struct put *put); /* NULL: none */
    bool vui, field_sequence, display_window;
};

static const struct h265_fields h265_plain = {
    .chroma_format_idc = 1,
    .width = 1920,
    .height = 1088,
    .crop = {0, 0, 0, 4},
    .buffering_minus1 = 4,
    .reorder = 2,
};

static void put_h265_profile(struct put *put, const struct h265_fields *fields) {
    const unsigned lower = fields->sub_layers_minus1;

    put_u(put, 2, fields->profile_space);
    put_u(put, 1, 1);
    put_u(put, 5, 1);
    put_u(put, 32, 0x60000000);
    put_u(put, 48, UINT64_C(0x900000000000));
    put_u(put, 8, 123);
    for (unsigned i = 0; i < lower; i++) {
        put_u(put, 2, fields->sub_layer_levels ? 3 : 0);
    }
    if (lower > 0) {
        put_u(put, 2 * (8 - lower), 0);
    }
    for (unsigned i = 0; i < lower && fields->sub_layer_levels; i++) {
        put_u(put, 32, 0x01600000);
        put_u(put, 64, UINT64_C(0x0000900000000000));
    }
}

static void put_h265_scaling(struct put *put, const struct h265_fields *fields) {
    for (unsigned size = 0; size < 4; size++) {
        const unsigned step = size == 3 ? 3 : 1;
        for (unsigned matrix = 0; matrix < 6; matrix += step) {
            const bool coded = matrix % 2 == 0;
            put_u(put, 1, coded);
            if (!coded) {
                put_ue(put, fields->scaling_pred_delta);
                continue;
            }
            if (size > 1) {
                put_se(put, -7);
            }
            for (unsigned i = 0; i < (size == 0 ? 16u : 64u); i++) {
                put_se(put, (int32_t)i - 32);
            }
        }
    }
}

static void put_h265_vui(struct put *put, const struct h265_fields *fields) {
    put_u(put, 1, 1);
    put_u(put, 8, 255);
    put_u(put, 16, 64);
    put_u(put, 16, 45);
    put_u(put, 2, 3); /* overscan */
    put_u(put, 1, 1); /* signal with colours */
    put_u(put, 5, 5 << 2 | 1);
    put_u(put, 24, 0x010101);
    put_u(put, 1, 1);
    put_ue(put, 2);
    put_ue(put, 2);
    put_u(put, 1, 0);
    put_u(put, 1, fields->field_sequence);
    put_u(put, 1, fields->field_sequence);
    put_u(put, 1, fields->display_window);
    for (int i = 0; i < 4 && fields->display_window; i++) {
        put_ue(put, 8);
    }
    put_u(put, 1, 1);
    put_u(put, 32, 1001);
    put_u(put, 32, 24000);
    put_u(put, 3, 0);
}

static struct frag_nal make_h265(const struct h265_fields *fields) {
    struct put put = {0};

    put_u(&put, 4, 0);
    put_u(&put, 3, fields->sub_layers_minus1);
    put_u(&put, 1, 1);
    put_h265_profile(&put, fields);
    put_ue(&put, fields->id);
    put_ue(&put, fields->chroma_format_idc);
    if (fields->chroma_format_idc == 3) {
        put_u(&put, 1, 0);
    }
    put_ue(&put, fields->width);
    put_ue(&put, fields->height);
    put_u(&put, 1, 1);
    for (size_t i = 0; i < 4; i++) {
        put_ue(&put, fields->crop[i]);
    }
    put_ue(&put, fields->bit_depth_minus8);
    put_ue(&put, fields->bit_depth_minus8);
    put_ue(&put, fields->order_count_bits_minus4);
    put_u(&put, 1, fields->sub_layer_levels);
    for (unsigned i = fields->sub_layer_levels ? 0 : fields->sub_layers_minus1;
         i <= fields->sub_layers_minus1; i++) {
        const bool last = i == fields->sub_layers_minus1;
        put_ue(&put, last ? fields->buffering_minus1 : 0);
        put_ue(&put, last ? fields->reorder : 0);
        put_ue(&put, 0);
    }
    for (int i = 0; i < 6; i++) {
        put_ue(&put, 1);
    }
    put_u(&put, 1, fields->scaling_lists);
    if (fields->scaling_lists) {
        put_u(&put, 1, 1);
        put_h265_scaling(&put, fields);
    }
    put_u(&put, 2, 3);
    put_u(&put, 1, fields->pcm);
    if (fields->pcm) {
        put_u(&put, 8, 0x77);
        put_ue(&put, 0);
        put_ue(&put, 2);
        put_u(&put, 1, 1);
    }
    if (fields->put_reference_sets != NULL) {
        fields->put_reference_sets(&put);
    } else {
        put_ue(&put, 0);
    }
    put_u(&put, 1, fields->long_term_count > 0);
    if (fields->long_term_count > 0) {
        put_ue(&put, fields->long_term_count);
        for (uint32_t i = 0; i < fields->long_term_count; i++) {
            put_u(&put, fields->order_count_bits_minus4 + 4, i % 16);
            put_u(&put, 1, 1);
        }
    }
    put_u(&put, 2, 3);
    put_u(&put, 1, fields->vui);
    if (fields->vui) {
        put_h265_vui(&put, fields);
    }
    put_u(&put, 1, 0);
    return finish_unit(&put, (const uint8_t[]){0x42, 0x01}, 2);
}

static int read_h265(const struct h265_fields *fields, struct frag_video_params *ret_params) {
    const struct frag_nal nal = make_h265(fields);
    const int result = frag_h265_parse_sps(nal, ret_params);

    free_unit(nal);
    return result;
}

/* The VUI stands at the very end: only who read everything before it rightly finds this in it. */
static void check_h265_to_the_end(struct h265_fields fields) {
    struct frag_video_params params;

    fields.vui = true;
    assert_int_equal(read_h265(&fields, &params), 0);
    assert_int_equal(params.rate_num, 24000);
    assert_int_equal(params.rate_den, 1001);
    assert_int_equal(params.sar_width, 64);
    assert_int_equal(params.sar_height, 45);
    assert_int_equal(params.width, fields.width);
    assert_int_equal(params.height, 1080);
    assert_int_equal(params.tier, 1);
    assert_int_equal(params.level_idc, 123);
    assert_int_equal(params.reorder_frames, fields.reorder);
    assert_int_equal(params.max_sub_layers, fields.sub_layers_minus1 + 1);
    assert_int_equal(params.interlaced, fields.field_sequence);
}

static void test_h265_fields(void **state) {
    struct h265_fields fields = h265_plain;

    (void)state;
    check_h265_to_the_end(fields);
    fields.display_window = true;
    check_h265_to_the_end(fields);
    fields.field_sequence = true;
    check_h265_to_the_end(fields);
    fields.pcm = true;
    fields.scaling_lists = true;
    check_h265_to_the_end(fields);
    fields.order_count_bits_minus4 = 12;
    fields.long_term_count = 32;
    check_h265_to_the_end(fields);
    for (fields.sub_layers_minus1 = 0; fields.sub_layers_minus1 < 7; fields.sub_layers_minus1++) {
        fields.sub_layer_levels = false;
        check_h265_to_the_end(fields);
        fields.sub_layer_levels = true;
        check_h265_to_the_end(fields);
    }
}

static void put_explicit(struct put *put, const int32_t *steps, uint32_t before, uint32_t after) {
    put_ue(put, before);
    put_ue(put, after);
    for (uint32_t i = 0; i < before + after; i++) {
        put_ue(put, (uint32_t)steps[i] - 1);
        put_u(put, 1, 1);
    }
}

/* kept: one character for each picture of the set before and for the shift; 'u' used, 'k' kept for
 * later pictures, '-' dropped. */
static void put_predicted(struct put *put, int32_t shift, const char *kept) {
    put_u(put, 1, 1);
    put_u(put, 1, shift < 0);
    put_ue(put, (uint32_t)(shift < 0 ? -shift : shift) - 1);
    for (; *kept != '\0'; kept++) {
        put_u(put, 1, *kept == 'u');
        if (*kept != 'u') {
            put_u(put, 1, *kept == 'k');
        }
    }
}

/* The pictures after each step: a wrong count in one makes all that follows unreadable. */
static void put_chain(struct put *put) {
    put_ue(put, 13);
    put_explicit(put, (const int32_t[]){8, 2, 4, 4}, 2, 2); /* -8 -10 +4 +8 */
    put_predicted(put, -4, "uuuuu");                        /* -4 -12 -14 +4; 4 - 4 is dropped */
    put_predicted(put, 4, "uku-k");                         /* -8 -10 +4; -4 + 4 is dropped */
    put_predicted(put, -1, "u-uu");                         /* -1 -9 +3 */
    put_u(put, 1, 0);
    put_explicit(put, NULL, 0, 0);
    put_predicted(put, 32768, "u");   /* +32768 */
    put_predicted(put, -32768, "uk"); /* -32768 */
    /* Pictures that change sides: the order within a side decides what the next flags mean. */
    put_u(put, 1, 0);
    put_explicit(put, (const int32_t[]){1, 2, 1, 3}, 2, 2); /* -1 -3 +1 +4 */
    put_predicted(put, -8, "u-u-u");                        /* -7 -8 -9 */
    put_predicted(put, 8, "u-uu");                          /* -1 +1 +8 */
    put_predicted(put, 100, "uuuu");                        /* +99 +100 +101 +108 */
    put_predicted(put, -99, "-uuuu");                       /* -99 +1 +2 +9 */
    put_predicted(put, -1, "uuuuu");
}

/* Sixteen pictures are the most. */
static void put_full_set(struct put *put) {
    static const int32_t steps[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

    put_ue(put, 2);
    put_explicit(put, steps, 16, 0);
    put_predicted(put, -1, "uuuuuuuuuuuuuuuu-");
}

static void put_overfull_set(struct put *put) {
    static const int32_t steps[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

    put_ue(put, 2);
    put_explicit(put, steps, 16, 0);
    put_predicted(put, -1, "uuuuuuuuuuuuuuuuu");
}

static void put_17_pictures(struct put *put) {
    put_ue(put, 1);
    put_ue(put, 9);
    put_ue(put, 8);
}

static void put_64_sets(struct put *put) {
    put_ue(put, 64);
    put_explicit(put, (const int32_t[]){1}, 1, 0);
    for (int i = 1; i < 64; i++) {
        put_predicted(put, -1, i % 2 != 0 ? "uu" : "-u-");
    }
}

static void put_65_sets(struct put *put) {
    put_ue(put, 65);
}

static void put_far_picture(struct put *put) {
    put_ue(put, 1);
    put_explicit(put, (const int32_t[]){32769}, 1, 0);
}

static void put_far_picture_after(struct put *put) {
    put_ue(put, 1);
    put_explicit(put, (const int32_t[]){32769}, 0, 1);
}

static void put_far_shift(struct put *put) {
    put_ue(put, 2);
    put_explicit(put, NULL, 0, 0);
    put_predicted(put, 32769, "u");
}

static void test_h265_reference_sets(void **state) {
    static void (*const good[])(struct put *) = {put_chain, put_full_set, put_64_sets};
    static void (*const bad[])(struct put *) = {put_overfull_set,      put_17_pictures,
                                                put_65_sets,           put_far_picture,
                                                put_far_picture_after, put_far_shift};
    struct h265_fields fields = h265_plain;
    struct frag_video_params params;

    (void)state;
    for (size_t i = 0; i < KN_COUNT(good); i++) {
        fields.put_reference_sets = good[i];
        check_h265_to_the_end(fields);
    }
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        fields.put_reference_sets = bad[i];
        assert_int_equal(read_h265(&fields, &params), KN_E_MALFORMED);
    }
}

static void test_h265_window_units(void **state) {
    struct h265_fields fields = h265_plain;
    struct frag_video_params params;

    (void)state;
    memcpy(fields.crop, (uint32_t[]){1, 2, 3, 4}, sizeof(fields.crop));
    for (fields.chroma_format_idc = 0; fields.chroma_format_idc <= 3; fields.chroma_format_idc++) {
        const uint32_t chroma = fields.chroma_format_idc;
        assert_int_equal(read_h265(&fields, &params), 0);
        assert_int_equal(params.width, 1920 - 3 * (chroma == 1 || chroma == 2 ? 2 : 1));
        assert_int_equal(params.height, 1088 - 7 * (chroma == 1 ? 2 : 1));
        assert_int_equal(params.chroma_format_idc, chroma);
    }
}

static void test_h265_refusals(void **state) {
    struct frag_video_params params;
    struct h265_fields fields;

#define CHECK_REFUSED(field, value, expected)                                                      \
    fields = h265_plain;                                                                           \
    fields.field = (value);                                                                        \
    assert_int_equal(read_h265(&fields, &params), expected)

    (void)state;
    CHECK_REFUSED(profile_space, 1, KN_E_UNSUPPORTED);
    CHECK_REFUSED(sub_layers_minus1, 7, KN_E_MALFORMED);
    CHECK_REFUSED(id, 16, KN_E_MALFORMED);
    CHECK_REFUSED(chroma_format_idc, 4, KN_E_MALFORMED);
    CHECK_REFUSED(width, 0, KN_E_LIMIT);
    CHECK_REFUSED(height, 0, KN_E_LIMIT);
    CHECK_REFUSED(width, 16385, KN_E_LIMIT);
    CHECK_REFUSED(height, UINT32_MAX - 1, KN_E_LIMIT);
    CHECK_REFUSED(crop[0], 960, KN_E_LIMIT);
    CHECK_REFUSED(crop[3], UINT32_MAX - 1, KN_E_LIMIT);
    CHECK_REFUSED(bit_depth_minus8, 9, KN_E_MALFORMED);
    CHECK_REFUSED(order_count_bits_minus4, 13, KN_E_MALFORMED);
    CHECK_REFUSED(buffering_minus1, 16, KN_E_MALFORMED);
    CHECK_REFUSED(reorder, 16, KN_E_MALFORMED);
    CHECK_REFUSED(long_term_count, 33, KN_E_MALFORMED);
#undef CHECK_REFUSED

    fields = h265_plain;
    fields.scaling_lists = true;
    fields.scaling_pred_delta = 2;
    assert_int_equal(read_h265(&fields, &params), KN_E_MALFORMED);
}

/* hvcC has no place for 16 bits. */
static void test_h265_16_bits_are_not_packed(void **state) {
    struct h265_fields fields = h265_plain;
    struct frag_param_sets sets = {.count = 3};
    uint8_t room[256];
    struct kn_writer writer;

    (void)state;
    sets.nals[0] = (struct frag_nal){(const uint8_t *)"\x40\1\x0c", 3};
    sets.nals[2] = (struct frag_nal){(const uint8_t *)"\x44\1\xc1", 3};
    for (fields.bit_depth_minus8 = 7; fields.bit_depth_minus8 <= 8; fields.bit_depth_minus8++) {
        sets.nals[1] = make_h265(&fields);
        kn_writer_init(&writer, room, sizeof(room));
        assert_int_equal(frag_param_sets_pack(KN_CODEC_H265, &sets, &writer),
                         fields.bit_depth_minus8 == 8 ? KN_E_UNSUPPORTED : 0);
        assert_int_equal(writer.size == 0, fields.bit_depth_minus8 == 8);
        free_unit(sets.nals[1]);
    }
}

static void test_h265_cuts(void **state) {
    struct h265_fields fields = h265_plain;
    struct frag_nal nal;

    (void)state;
    fields.put_reference_sets = put_chain;
    fields.scaling_lists = true;
    nal = make_h265(&fields);
    check_cuts(frag_h265_parse_sps, nal, 1);
    free_unit(nal);
}

static void test_h265_not_an_sps(void **state) {
    static const uint8_t pps[] = {0x44, 1, 0xc1}, layer_1[] = {0x42, 9, 1, 1}, header[] = {0x42, 1};
    struct frag_video_params params;
    uint8_t *large = calloc(1, 4097);

    (void)state;
    assert_non_null(large);
    memcpy(large, header, 2);
    assert_int_equal(frag_h265_parse_sps((struct frag_nal){NULL, 0}, &params), KN_E_TRUNCATED);
    assert_int_equal(frag_h265_parse_sps((struct frag_nal){header, 1}, &params), KN_E_TRUNCATED);
    assert_int_equal(frag_h265_parse_sps((struct frag_nal){header, 2}, &params), KN_E_TRUNCATED);
    assert_int_equal(frag_h265_parse_sps((struct frag_nal){pps, 3}, &params), KN_E_MALFORMED);
    assert_int_equal(frag_h265_parse_sps((struct frag_nal){layer_1, 4}, &params), KN_E_MALFORMED);
    assert_int_equal(frag_h265_parse_sps((struct frag_nal){large, 4097}, &params), KN_E_LIMIT);
    free(large);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h265_fields),
        cmocka_unit_test(test_h265_reference_sets),
        cmocka_unit_test(test_h265_window_units),
        cmocka_unit_test(test_h265_refusals),
        cmocka_unit_test(test_h265_16_bits_are_not_packed),
        cmocka_unit_test(test_h265_cuts),
        cmocka_unit_test(test_h265_not_an_sps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
