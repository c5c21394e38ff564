/* The sequence parameter set of H.264: section 7.3.2.1.1 and annex E. */
#include "fragments/sps.h"

#include "base/error.h"

#define DPB_FRAMES_MAX 16 /* MaxDpbFrames, A.3.1 */

/* Profiles whose set has chroma format, bit depths and scaling lists. 144 is High 4:4:4 of 2005,
 * withdrawn, with the same fields. */
static bool has_high_fields(uint32_t profile_idc) {
    static const uint8_t profiles[] = {100, 110, 122, 244, 44,  83,  86,
                                       118, 128, 138, 139, 134, 135, 144};

    for (size_t i = 0; i < KN_COUNT(profiles); i++) {
        if (profiles[i] == profile_idc) {
            return true;
        }
    }
    return false;
}

/* 7.3.2.1.1.1: only how long the list is matters here. */
static int skip_scaling_list(struct kn_bits *bits, unsigned size) {
    int32_t last = 8;

    for (unsigned i = 0; i < size; i++) {
        const int32_t delta = kn_bits_read_se(bits);
        int32_t next;

        if (delta < -128 || delta > 127) {
            return KN_E_MALFORMED;
        }
        next = (last + delta + 256) % 256;
        if (next == 0) {
            break;
        }
        last = next;
    }
    return 0;
}

static int skip_scaling_matrix(struct kn_bits *bits, uint32_t chroma_format_idc) {
    const unsigned lists = chroma_format_idc == 3 ? 12 : 8;

    for (unsigned i = 0; i < lists; i++) {
        if (kn_bits_read(bits, 1) != 0) {
            const int result = skip_scaling_list(bits, i < 6 ? 16 : 64);
            if (result < 0) {
                return result;
            }
        }
    }
    return 0;
}

static int read_high_fields(struct kn_bits *bits, struct frag_video_params *params,
                            bool *ret_separate_planes) {
    const uint32_t chroma_format_idc = kn_bits_read_ue(bits);
    bool separate_planes = false;
    uint32_t luma, chroma;

    if (chroma_format_idc > 3) {
        return KN_E_MALFORMED;
    }
    if (chroma_format_idc == 3) {
        separate_planes = kn_bits_read(bits, 1) != 0;
    }
    luma = kn_bits_read_ue(bits);
    chroma = kn_bits_read_ue(bits);
    if (luma > 6 || chroma > 6) {
        return KN_E_MALFORMED;
    }
    params->chroma_format_idc = (uint8_t)chroma_format_idc;
    params->bit_depth_luma = (uint8_t)(8 + luma);
    params->bit_depth_chroma = (uint8_t)(8 + chroma);
    *ret_separate_planes = separate_planes;
    kn_bits_skip(bits, 1); /* qpprime_y_zero_transform_bypass_flag */
    return kn_bits_read(bits, 1) != 0 ? skip_scaling_matrix(bits, chroma_format_idc) : 0;
}

static int read_order_count(struct kn_bits *bits, uint32_t *ret_type) {
    const uint32_t type = kn_bits_read_ue(bits);

    if (type > 2) {
        return KN_E_MALFORMED;
    }
    if (type == 0) {
        if (kn_bits_read_ue(bits) > 12) { /* log2_max_pic_order_cnt_lsb_minus4 */
            return KN_E_MALFORMED;
        }
    } else if (type == 1) {
        uint32_t cycle;

        kn_bits_skip(bits, 1);
        (void)kn_bits_read_se(bits);
        (void)kn_bits_read_se(bits);
        cycle = kn_bits_read_ue(bits);
        if (cycle > 255) {
            return KN_E_MALFORMED;
        }
        for (uint32_t i = 0; i < cycle; i++) {
            (void)kn_bits_read_se(bits);
        }
    }
    *ret_type = type;
    return 0;
}

static int read_geometry(struct kn_bits *bits, bool separate_planes,
                         struct frag_video_params *params) {
    /* ChromaArrayType of 7.4.2.1.1 decides the cropping units, not chroma_format_idc. */
    const uint32_t array_type = separate_planes ? 0 : params->chroma_format_idc;
    uint32_t crop[4] = {0, 0, 0, 0}; /* left, right, top, bottom */
    uint64_t width, height;
    uint32_t fields;
    int result;

    width = ((uint64_t)kn_bits_read_ue(bits) + 1) * 16;
    height = ((uint64_t)kn_bits_read_ue(bits) + 1) * 16;
    params->interlaced = kn_bits_read(bits, 1) == 0; /* frame_mbs_only_flag */
    fields = params->interlaced ? 2 : 1;
    if (params->interlaced) {
        kn_bits_skip(bits, 1); /* mb_adaptive_frame_field_flag */
    }
    kn_bits_skip(bits, 1);            /* direct_8x8_inference_flag */
    if (kn_bits_read(bits, 1) != 0) { /* frame_cropping_flag */
        for (size_t i = 0; i < KN_COUNT(crop); i++) {
            crop[i] = kn_bits_read_ue(bits);
        }
    }
    result =
        frag_sps_crop(width, frag_sps_chroma_width(array_type), crop[0], crop[1], &params->width);
    if (result < 0) {
        return result;
    }
    return frag_sps_crop(height * fields, frag_sps_chroma_height(array_type) * fields, crop[2],
                         crop[3], &params->height);
}

/* E.1.2. False where it cannot be read on. */
static bool skip_hrd(struct kn_bits *bits) {
    const uint32_t count = kn_bits_read_ue(bits);

    if (count > 31) {
        return false;
    }
    kn_bits_skip(bits, 4 + 4);
    for (uint32_t i = 0; i <= count; i++) {
        (void)kn_bits_read_ue(bits);
        (void)kn_bits_read_ue(bits);
        kn_bits_skip(bits, 1);
    }
    kn_bits_skip(bits, 4 * 5);
    return true;
}

static bool read_restriction(struct kn_bits *bits, struct frag_video_params *params) {
    uint32_t reorder;

    kn_bits_skip(bits, 1);
    for (int i = 0; i < 4; i++) { /* bytes, bits and motion vector denominators */
        (void)kn_bits_read_ue(bits);
    }
    reorder = kn_bits_read_ue(bits);
    if (reorder > DPB_FRAMES_MAX) {
        return false;
    }
    (void)kn_bits_read_ue(bits); /* max_dec_frame_buffering */
    params->reorder_frames = (int)reorder;
    return true;
}

/* E.1.1. False where it ends early or contradicts itself. */
static bool read_vui(struct kn_bits *bits, struct frag_video_params *params) {
    bool nal_hrd, vcl_hrd;

    frag_sps_read_vui_start(bits, params);
    if (kn_bits_read(bits, 1) != 0) { /* timing_info_present_flag */
        const uint32_t units = kn_bits_read(bits, 32);
        const uint32_t scale = kn_bits_read(bits, 32);

        frag_sps_set_rate(params, scale, (uint64_t)units * 2); /* ticks count fields */
        kn_bits_skip(bits, 1);
    }
    nal_hrd = kn_bits_read(bits, 1) != 0;
    if (nal_hrd && !skip_hrd(bits)) {
        return false;
    }
    vcl_hrd = kn_bits_read(bits, 1) != 0;
    if (vcl_hrd && !skip_hrd(bits)) {
        return false;
    }
    if (nal_hrd || vcl_hrd) {
        kn_bits_skip(bits, 1); /* low_delay_hrd_flag */
    }
    kn_bits_skip(bits, 1); /* pic_struct_present_flag */
    if (kn_bits_read(bits, 1) != 0 && !read_restriction(bits, params)) {
        return false;
    }
    return kn_bits_status(bits) == 0;
}

/* Reordering where the VUI does not speak of it: E.2.1 on max_num_reorder_frames, 8.2.1 (type 2 is
 * output in decoding order) and A.2.1 (Baseline has no B slices). */
static int reorder_by_profile(const struct frag_video_params *params, uint32_t order_count_type) {
    const bool set3 = (params->profile_compatibility[0] & 0x10) != 0;

    if (order_count_type == 2 || params->profile_idc == 66) {
        return 0;
    }
    switch (params->profile_idc) {
    case 44:
    case 86:
    case 100:
    case 110:
    case 122:
    case 244:
        return set3 ? 0 : -1;
    default:
        return -1;
    }
}

static int read_sps(struct kn_bits *bits, struct frag_video_params *params,
                    uint32_t *ret_order_count_type) {
    bool separate_planes = false;
    int result;

    params->profile_idc = (uint8_t)kn_bits_read(bits, 8);
    params->profile_compatibility[0] = (uint8_t)kn_bits_read(bits, 8);
    params->level_idc = (uint8_t)kn_bits_read(bits, 8);
    if (kn_bits_read_ue(bits) > 31) { /* seq_parameter_set_id */
        return KN_E_MALFORMED;
    }
    if (has_high_fields(params->profile_idc)) {
        result = read_high_fields(bits, params, &separate_planes);
        if (result < 0) {
            return result;
        }
    }
    if (kn_bits_read_ue(bits) > 12) { /* log2_max_frame_num_minus4 */
        return KN_E_MALFORMED;
    }
    result = read_order_count(bits, ret_order_count_type);
    if (result < 0) {
        return result;
    }
    if (kn_bits_read_ue(bits) > DPB_FRAMES_MAX) { /* max_num_ref_frames */
        return KN_E_MALFORMED;
    }
    kn_bits_skip(bits, 1); /* gaps_in_frame_num_value_allowed_flag */
    return read_geometry(bits, separate_planes, params);
}

int frag_h264_parse_sps(struct frag_nal nal, struct frag_video_params *ret_params) {
    struct frag_video_params params = {
        .chroma_format_idc = 1,
        .bit_depth_luma = 8,
        .bit_depth_chroma = 8,
        .sar_width = 1,
        .sar_height = 1,
    };
    struct frag_sps_payload payload;
    uint32_t order_count_type = 0;
    bool vui_present = false;
    int result;

    if (nal.size > 0 && frag_nal_kind(KN_CODEC_H264, nal) != FRAG_NAL_SPS) {
        return KN_E_MALFORMED;
    }
    result = frag_sps_open(nal, 1, &payload);
    if (result < 0) {
        return result;
    }
    result = read_sps(&payload.bits, &params, &order_count_type);
    if (result == 0) {
        vui_present = kn_bits_read(&payload.bits, 1) != 0;
    }
    /* A set that ends early reads on as zeros, which may look like another fault first. */
    if (kn_bits_status(&payload.bits) < 0) {
        return KN_E_TRUNCATED;
    }
    if (result < 0) {
        return result;
    }
    params.reorder_frames = reorder_by_profile(&params, order_count_type);
    if (vui_present) {
        struct frag_video_params with_vui = params;
        if (read_vui(&payload.bits, &with_vui)) {
            params = with_vui;
        }
    }
    *ret_params = params;
    return 0;
}
