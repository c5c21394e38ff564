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

struct h264_fields {
    uint32_t profile_idc, constraints, id;
    uint32_t chroma_format_idc, separate_planes, bit_depth_minus8;
    bool scaling_matrix;
    int32_t scaling_delta;
    uint32_t log2_max_frame_num_minus4;
    uint32_t order_count_type, cycle;
    uint32_t reference_frames;
    uint32_t width_mbs, height_units;
    bool field_pictures;
    uint32_t crop[4];
    bool vui, restriction;
    uint32_t units_in_tick, time_scale;
    uint32_t hrd_count; /* of the VCL HRD; 0: no HRD */
    uint32_t reorder;
};

static const struct h264_fields h264_plain = {
    .profile_idc = 100,
    .chroma_format_idc = 1,
    .width_mbs = 120,
    .height_units = 68,
    .crop = {0, 0, 0, 4},
    .reference_frames = 4,
};

static void put_h264_scaling(struct put *put, const struct h264_fields *fields) {
    const unsigned lists = fields->chroma_format_idc == 3 ? 12 : 8;

    for (unsigned i = 0; i < lists; i++) {
        const unsigned size = i < 6 ? 16 : 64;
        put_u(put, 1, i % 2); /* every second list */
        if (i % 4 == 1) {
            put_se(put, -8); /* the list ends at once: default values */
        } else if (i % 4 == 3) {
            int32_t scale = 8;
            for (unsigned k = 0; k < size && scale != 0; k++) {
                put_se(put, fields->scaling_delta);
                scale = (scale + fields->scaling_delta + 256) % 256; /* 0 ends the list */
            }
        }
    }
}

static void put_h264_vui(struct put *put, const struct h264_fields *fields) {
    put_u(put, 4, 0); /* aspect ratio, overscan, signal, chroma location */
    put_u(put, 1, fields->time_scale != 0);
    if (fields->time_scale != 0) {
        put_u(put, 32, fields->units_in_tick);
        put_u(put, 32, fields->time_scale);
        put_u(put, 1, 1);
    }
    put_u(put, 1, 0);
    put_u(put, 1, fields->hrd_count > 0);
    if (fields->hrd_count > 0) {
        put_ue(put, fields->hrd_count - 1);
        put_u(put, 8, 0);
        for (uint32_t i = 0; i < fields->hrd_count; i++) {
            put_ue(put, UINT32_MAX - 1);
            put_ue(put, 1000 * i);
            put_u(put, 1, 1);
        }
        put_u(put, 20, 0);
        put_u(put, 1, 0); /* low_delay_hrd_flag */
    }
    put_u(put, 1, 0);
    put_u(put, 1, fields->restriction);
    if (fields->restriction) {
        put_u(put, 1, 1);
        for (int i = 0; i < 4; i++) {
            put_ue(put, 10);
        }
        put_ue(put, fields->reorder);
        put_ue(put, 4);
    }
}

static struct frag_nal make_h264(const struct h264_fields *fields) {
    struct put put = {0};

    put_u(&put, 8, fields->profile_idc);
    put_u(&put, 8, fields->constraints);
    put_u(&put, 8, 40);
    put_ue(&put, fields->id);
    if (fields->profile_idc >= 100 || fields->profile_idc == 44) {
        put_ue(&put, fields->chroma_format_idc);
        if (fields->chroma_format_idc == 3) {
            put_u(&put, 1, fields->separate_planes);
        }
        put_ue(&put, fields->bit_depth_minus8);
        put_ue(&put, fields->bit_depth_minus8);
        put_u(&put, 1, 0);
        put_u(&put, 1, fields->scaling_matrix);
        if (fields->scaling_matrix) {
            put_h264_scaling(&put, fields);
        }
    }
    put_ue(&put, fields->log2_max_frame_num_minus4);
    put_ue(&put, fields->order_count_type);
    if (fields->order_count_type == 0) {
        put_ue(&put, 2);
    } else if (fields->order_count_type == 1) {
        put_u(&put, 1, 0);
        put_se(&put, -70000);
        put_se(&put, INT32_MAX);
        put_ue(&put, fields->cycle);
        for (uint32_t i = 0; i < fields->cycle; i++) {
            put_se(&put, -(int32_t)i);
        }
    }
    put_ue(&put, fields->reference_frames);
    put_u(&put, 1, 0);
    put_ue(&put, fields->width_mbs - 1);
    put_ue(&put, fields->height_units - 1);
    put_u(&put, 1, !fields->field_pictures);
    put_u(&put, fields->field_pictures ? 2 : 1, 1);
    put_u(&put, 1, 1);
    for (size_t i = 0; i < 4; i++) {
        put_ue(&put, fields->crop[i]);
    }
    put_u(&put, 1, fields->vui);
    if (fields->vui) {
        put_h264_vui(&put, fields);
    }
    return finish_unit(&put, (const uint8_t[]){0x67}, 1);
}

static int read_h264(const struct h264_fields *fields, struct frag_video_params *ret_params) {
    const struct frag_nal nal = make_h264(fields);
    const int result = frag_h264_parse_sps(nal, ret_params);

    free_unit(nal);
    return result;
}

static void check_h264_size(const struct h264_fields *fields, uint32_t width, uint32_t height) {
    struct frag_video_params params;

    assert_int_equal(read_h264(fields, &params), 0);
    assert_int_equal(params.width, width);
    assert_int_equal(params.height, height);
    assert_int_equal(params.interlaced, fields->field_pictures);
}

static void test_h264_cropping_units(void **state) {
    struct h264_fields fields = h264_plain;

    (void)state;
    check_h264_size(&fields, 1920, 1080);
    memcpy(fields.crop, (uint32_t[]){1, 2, 3, 4}, sizeof(fields.crop));
    check_h264_size(&fields, 1914, 1088 - 14);
    fields.field_pictures = true;
    check_h264_size(&fields, 1914, 2176 - 28);
    fields.chroma_format_idc = 2;
    check_h264_size(&fields, 1914, 2176 - 14);
    fields.chroma_format_idc = 3;
    check_h264_size(&fields, 1917, 2176 - 14);
    fields.separate_planes = 1;
    check_h264_size(&fields, 1917, 2176 - 14);
    fields.chroma_format_idc = 0;
    fields.field_pictures = false;
    check_h264_size(&fields, 1917, 1088 - 7);
}

static void test_h264_scaling_lists(void **state) {
    static const int32_t deltas[] = {0, 1, -1, 64, -128, 127};

    (void)state;
    for (uint32_t chroma = 1; chroma <= 3; chroma += 2) {
        for (size_t i = 0; i < KN_COUNT(deltas); i++) {
            struct h264_fields fields = h264_plain;
            fields.chroma_format_idc = chroma;
            fields.scaling_matrix = true;
            fields.scaling_delta = deltas[i];
            check_h264_size(&fields, 1920, chroma == 3 ? 1084 : 1080);
        }
    }
}

static void test_h264_order_counts(void **state) {
    struct h264_fields fields = h264_plain;

    (void)state;
    fields.order_count_type = 1;
    check_h264_size(&fields, 1920, 1080);
    fields.cycle = 255;
    check_h264_size(&fields, 1920, 1080);
    fields.order_count_type = 2;
    check_h264_size(&fields, 1920, 1080);
}

static int h264_reorder(uint32_t profile_idc, uint32_t constraints, uint32_t order_count_type) {
    struct h264_fields fields = h264_plain;
    struct frag_video_params params;

    fields.profile_idc = profile_idc;
    fields.constraints = constraints;
    fields.order_count_type = order_count_type;
    assert_int_equal(read_h264(&fields, &params), 0);
    return params.reorder_frames;
}

static void test_h264_reordering(void **state) {
    struct h264_fields fields = h264_plain;
    struct frag_video_params params;

    (void)state;
    assert_int_equal(h264_reorder(66, 0, 0), 0);
    assert_int_equal(h264_reorder(77, 0, 0), -1);
    assert_int_equal(h264_reorder(77, 0, 2), 0);
    assert_int_equal(h264_reorder(77, 0x10, 0), -1); /* there it means level 1b */
    assert_int_equal(h264_reorder(100, 0, 0), -1);
    assert_int_equal(h264_reorder(100, 0x10, 0), 0);
    assert_int_equal(h264_reorder(110, 0x10, 0), 0);
    assert_int_equal(h264_reorder(44, 0x10, 0), 0);
    assert_int_equal(h264_reorder(118, 0x10, 0), -1);

    fields.vui = true;
    assert_int_equal(read_h264(&fields, &params), 0);
    assert_int_equal(params.reorder_frames, -1);
    fields.restriction = true;
    for (fields.reorder = 0; fields.reorder <= 16; fields.reorder++) {
        assert_int_equal(read_h264(&fields, &params), 0);
        assert_int_equal(params.reorder_frames, fields.reorder);
    }
}

static void test_h264_timing(void **state) {
    struct h264_fields fields = h264_plain;
    struct frag_video_params params;

    (void)state;
    fields.vui = true;
    fields.restriction = true;
    fields.units_in_tick = 1001;
    fields.time_scale = 60000;
    fields.hrd_count = 32;
    fields.reorder = 3;
    assert_int_equal(read_h264(&fields, &params), 0);
    assert_int_equal(params.rate_num, 30000);
    assert_int_equal(params.rate_den, 1001);
    assert_int_equal(params.reorder_frames, 3);
    /* 2 * num_units_in_tick is over 32 bits, its reduced form is not. */
    fields.units_in_tick = UINT32_C(0x80000000);
    fields.time_scale = 0x10000;
    assert_int_equal(read_h264(&fields, &params), 0);
    assert_int_equal(params.rate_num, 1);
    assert_int_equal(params.rate_den, 0x10000);
    fields.units_in_tick = UINT32_MAX;
    fields.time_scale = 2147483647;
    assert_int_equal(read_h264(&fields, &params), 0);
    assert_int_equal(params.rate_num, 0);
    assert_int_equal(params.rate_den, 0);
    fields.units_in_tick = 0;
    assert_int_equal(read_h264(&fields, &params), 0);
    assert_int_equal(params.rate_num, 0);
}

/* A VUI out of range or cut takes nothing else with it. */
static void test_h264_bad_vui_is_no_vui(void **state) {
    struct h264_fields fields = h264_plain;
    struct frag_video_params params;
    struct frag_nal nal;

    (void)state;
    fields.vui = true;
    fields.restriction = true;
    fields.units_in_tick = 1;
    fields.time_scale = 50;
    fields.reorder = 17;
    assert_int_equal(read_h264(&fields, &params), 0);
    assert_int_equal(params.reorder_frames, -1);
    assert_int_equal(params.rate_num, 0);
    fields.reorder = 2;
    fields.hrd_count = 33;
    assert_int_equal(read_h264(&fields, &params), 0);
    assert_int_equal(params.rate_num, 0);

    fields.hrd_count = 0;
    nal = make_h264(&fields);
    nal.size -= 6;
    assert_int_equal(frag_h264_parse_sps(nal, &params), 0);
    assert_int_equal(params.height, 1080);
    assert_int_equal(params.rate_num, 0);
    assert_int_equal(params.sar_width, 1);
    free_unit(nal);
}

static void test_h264_refusals(void **state) {
    struct frag_video_params params;
    struct h264_fields fields;

#define CHECK_REFUSED(field, value, expected)                                                      \
    fields = h264_plain;                                                                           \
    fields.field = (value);                                                                        \
    assert_int_equal(read_h264(&fields, &params), expected)

    (void)state;
    CHECK_REFUSED(id, 32, KN_E_MALFORMED);
    CHECK_REFUSED(chroma_format_idc, 4, KN_E_MALFORMED);
    CHECK_REFUSED(bit_depth_minus8, 7, KN_E_MALFORMED);
    CHECK_REFUSED(log2_max_frame_num_minus4, 13, KN_E_MALFORMED);
    CHECK_REFUSED(order_count_type, 3, KN_E_MALFORMED);
    CHECK_REFUSED(reference_frames, 17, KN_E_MALFORMED);
    CHECK_REFUSED(width_mbs, 1025, KN_E_LIMIT);
    CHECK_REFUSED(height_units, 1025, KN_E_LIMIT);
    CHECK_REFUSED(crop[1], 960, KN_E_LIMIT);
    CHECK_REFUSED(crop[2], 540, KN_E_LIMIT);
    CHECK_REFUSED(crop[0], UINT32_MAX - 1, KN_E_LIMIT);
    CHECK_REFUSED(width_mbs, UINT32_MAX, KN_E_LIMIT);
#undef CHECK_REFUSED

    fields = h264_plain;
    fields.order_count_type = 1;
    fields.cycle = 256;
    assert_int_equal(read_h264(&fields, &params), KN_E_MALFORMED);
    fields = h264_plain;
    fields.scaling_matrix = true;
    fields.scaling_delta = 128;
    assert_int_equal(read_h264(&fields, &params), KN_E_MALFORMED);
    fields = h264_plain;
    fields.width_mbs = 1024;
    fields.height_units = 1024;
    fields.crop[3] = 0;
    check_h264_size(&fields, 16384, 16384);
}

/* A VUI that is cut is no VUI; anything before it is needed. */
static void test_h264_cuts(void **state) {
    struct h264_fields fields = h264_plain;
    struct frag_nal nal, without_vui;

    (void)state;
    fields.scaling_matrix = true;
    without_vui = make_h264(&fields);
    fields.vui = true;
    fields.time_scale = 50;
    fields.units_in_tick = 1;
    nal = make_h264(&fields);
    check_cuts(frag_h264_parse_sps, without_vui, 1);
    check_cuts(frag_h264_parse_sps, nal, nal.size - without_vui.size + 1);
    free_unit(nal);
    free_unit(without_vui);
}

static void test_h264_not_an_sps(void **state) {
    static const uint8_t pps[] = {0x68, 0xeb, 0xe3}, header[] = {0x67};
    struct frag_video_params params;

    (void)state;
    assert_int_equal(frag_h264_parse_sps((struct frag_nal){NULL, 0}, &params), KN_E_TRUNCATED);
    assert_int_equal(frag_h264_parse_sps((struct frag_nal){header, 1}, &params), KN_E_TRUNCATED);
    assert_int_equal(frag_h264_parse_sps((struct frag_nal){pps, 3}, &params), KN_E_MALFORMED);
}

/* Bytes behind the set are tolerated, up to the 4096 that are read. */
static void test_h264_trailing_bytes(void **state) {
    const struct frag_nal nal = make_h264(&h264_plain);
    struct frag_video_params params;
    uint8_t *large = calloc(1, 4097);

    (void)state;
    assert_non_null(large);
    memcpy(large, nal.data, nal.size);
    memset(large + nal.size, 0xa5, 4097 - nal.size);
    assert_int_equal(frag_h264_parse_sps((struct frag_nal){large, 4096}, &params), 0);
    assert_int_equal(params.height, 1080);
    assert_int_equal(frag_h264_parse_sps((struct frag_nal){large, 4097}, &params), KN_E_LIMIT);
    free(large);
    free_unit(nal);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h264_cropping_units), cmocka_unit_test(test_h264_scaling_lists),
        cmocka_unit_test(test_h264_order_counts),   cmocka_unit_test(test_h264_reordering),
        cmocka_unit_test(test_h264_timing),         cmocka_unit_test(test_h264_bad_vui_is_no_vui),
        cmocka_unit_test(test_h264_refusals),       cmocka_unit_test(test_h264_cuts),
        cmocka_unit_test(test_h264_not_an_sps),     cmocka_unit_test(test_h264_trailing_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
