/* The sequence parameter set of H.265: section 7.3.2.2.1 and annex E. */
#include "fragments/sps.h"

#include "base/error.h"

#define SUB_LAYERS_MAX 7
#define REFERENCE_SETS_MAX 64
#define PICTURES_MAX 16 /* MaxDpbSize, A.4.2 */

/* One short-term reference picture set: distances to pictures before and after, nearest first. */
struct reference_set {
    uint32_t before_count, after_count;
    int32_t before[PICTURES_MAX], after[PICTURES_MAX];
};

/* 7.3.3 with profilePresentFlag 1. */
static int read_profile_tier_level(struct kn_bits *bits, unsigned sub_layers,
                                   struct frag_video_params *params) {
    bool profile_present[SUB_LAYERS_MAX] = {false};
    bool level_present[SUB_LAYERS_MAX] = {false};

    /* A.3.1: another general_profile_space is for others to define. */
    if (kn_bits_read(bits, 2) != 0) {
        return KN_E_UNSUPPORTED;
    }
    params->tier = (uint8_t)kn_bits_read(bits, 1);
    params->profile_idc = (uint8_t)kn_bits_read(bits, 5);
    for (size_t i = 0; i < sizeof(params->profile_compatibility); i++) {
        params->profile_compatibility[i] = (uint8_t)kn_bits_read(bits, 8);
    }
    for (size_t i = 0; i < sizeof(params->constraint_indicator); i++) {
        params->constraint_indicator[i] = (uint8_t)kn_bits_read(bits, 8);
    }
    params->level_idc = (uint8_t)kn_bits_read(bits, 8);
    for (unsigned i = 0; i + 1 < sub_layers; i++) {
        profile_present[i] = kn_bits_read(bits, 1) != 0;
        level_present[i] = kn_bits_read(bits, 1) != 0;
    }
    if (sub_layers > 1) {
        kn_bits_skip(bits, 2 * (size_t)(8 - (sub_layers - 1))); /* reserved_zero_2bits */
    }
    for (unsigned i = 0; i + 1 < sub_layers; i++) {
        kn_bits_skip(bits, profile_present[i] ? 88 : 0);
        kn_bits_skip(bits, level_present[i] ? 8 : 0);
    }
    return 0;
}

static int read_geometry(struct kn_bits *bits, struct frag_video_params *params) {
    const uint32_t chroma_format_idc = kn_bits_read_ue(bits);
    uint32_t crop[4] = {0, 0, 0, 0}; /* left, right, top, bottom */
    uint32_t width, height, luma, chroma;
    int result;

    if (chroma_format_idc > 3) {
        return KN_E_MALFORMED;
    }
    if (chroma_format_idc == 3) {
        kn_bits_skip(bits, 1); /* separate_colour_plane_flag */
    }
    width = kn_bits_read_ue(bits);
    height = kn_bits_read_ue(bits);
    if (kn_bits_read(bits, 1) != 0) { /* conformance_window_flag */
        for (size_t i = 0; i < KN_COUNT(crop); i++) {
            crop[i] = kn_bits_read_ue(bits);
        }
    }
    luma = kn_bits_read_ue(bits);
    chroma = kn_bits_read_ue(bits);
    if (luma > 8 || chroma > 8) {
        return KN_E_MALFORMED;
    }
    params->chroma_format_idc = (uint8_t)chroma_format_idc;
    params->bit_depth_luma = (uint8_t)(8 + luma);
    params->bit_depth_chroma = (uint8_t)(8 + chroma);
    result = frag_sps_crop(width, frag_sps_chroma_width(chroma_format_idc), crop[0], crop[1],
                           &params->width);
    if (result < 0) {
        return result;
    }
    return frag_sps_crop(height, frag_sps_chroma_height(chroma_format_idc), crop[2], crop[3],
                         &params->height);
}

/* The last one read is the highest sub-layer's: what decoding everything takes. */
static int read_ordering(struct kn_bits *bits, unsigned sub_layers,
                         struct frag_video_params *params) {
    const bool each = kn_bits_read(bits, 1) != 0; /* sub_layer_ordering_info_present_flag */

    for (unsigned i = each ? 0 : sub_layers - 1; i < sub_layers; i++) {
        const uint32_t buffering = kn_bits_read_ue(bits); /* minus 1 */
        const uint32_t reorder = kn_bits_read_ue(bits);

        (void)kn_bits_read_ue(bits); /* sps_max_latency_increase_plus1 */
        if (buffering >= PICTURES_MAX || reorder >= PICTURES_MAX) {
            return KN_E_MALFORMED;
        }
        params->reorder_frames = (int)reorder;
    }
    return 0;
}

/* 7.3.4 */
static int skip_scaling_lists(struct kn_bits *bits) {
    for (unsigned size = 0; size < 4; size++) {
        const unsigned step = size == 3 ? 3 : 1;
        const unsigned coefficients = size == 0 ? 16 : 64;

        for (unsigned matrix = 0; matrix < 6; matrix += step) {
            if (kn_bits_read(bits, 1) == 0) {                /* scaling_list_pred_mode_flag */
                if (kn_bits_read_ue(bits) > matrix / step) { /* ..._pred_matrix_id_delta */
                    return KN_E_MALFORMED;
                }
                continue;
            }
            for (unsigned i = size > 1 ? 0 : 1; i <= coefficients; i++) {
                (void)kn_bits_read_se(bits); /* the DC of the larger sizes comes first */
            }
        }
    }
    return 0;
}

/* One distance of an explicit set, further on than `from`. False out of 7.4.8's range. */
static bool read_distance(struct kn_bits *bits, int32_t sign, int32_t from, int32_t *ret_distance) {
    const uint32_t delta = kn_bits_read_ue(bits); /* minus 1 */

    if (delta > 0x7fff) {
        return false;
    }
    kn_bits_skip(bits, 1); /* used_by_curr_pic */
    *ret_distance = from + sign * ((int32_t)delta + 1);
    return true;
}

static int read_explicit_set(struct kn_bits *bits, struct reference_set *ret_set) {
    struct reference_set set = {0};
    int32_t distance = 0;

    set.before_count = kn_bits_read_ue(bits);
    set.after_count = kn_bits_read_ue(bits);
    if (set.before_count > PICTURES_MAX || set.after_count > PICTURES_MAX - set.before_count) {
        return KN_E_MALFORMED;
    }
    for (uint32_t i = 0; i < set.before_count; i++) {
        if (!read_distance(bits, -1, distance, &distance)) {
            return KN_E_MALFORMED;
        }
        set.before[i] = distance;
    }
    distance = 0;
    for (uint32_t i = 0; i < set.after_count; i++) {
        if (!read_distance(bits, 1, distance, &distance)) {
            return KN_E_MALFORMED;
        }
        set.after[i] = distance;
    }
    *ret_set = set;
    return 0;
}

/* Adds a distance to the side that its sign says; zero is the picture itself and is dropped. */
static bool add_distance(struct reference_set *set, int32_t distance) {
    if (distance == 0) {
        return true;
    }
    if (set->before_count + set->after_count >= PICTURES_MAX) {
        return false;
    }
    if (distance < 0) {
        set->before[set->before_count++] = distance;
    } else {
        set->after[set->after_count++] = distance;
    }
    return true;
}

/* Equations 7-61 and 7-62: each side is filled nearest first, from the far end of the other side of
 * `from` over the shift itself to its own. `kept` goes by the coded order: before, after, shift. */
static bool shift_set(const struct reference_set *from, int32_t shift, const bool *kept,
                      struct reference_set *ret_set) {
    const bool *kept_after = kept + from->before_count;
    const bool kept_shift = kept[from->before_count + from->after_count];
    struct reference_set set = {0};
    bool fits = true;

    for (uint32_t i = from->after_count; i-- > 0;) {
        if (kept_after[i] && from->after[i] + shift < 0) {
            fits = fits && add_distance(&set, from->after[i] + shift);
        }
    }
    if (kept_shift && shift < 0) {
        fits = fits && add_distance(&set, shift);
    }
    for (uint32_t i = 0; i < from->before_count; i++) {
        if (kept[i] && from->before[i] + shift < 0) {
            fits = fits && add_distance(&set, from->before[i] + shift);
        }
    }
    for (uint32_t i = from->before_count; i-- > 0;) {
        if (kept[i] && from->before[i] + shift > 0) {
            fits = fits && add_distance(&set, from->before[i] + shift);
        }
    }
    if (kept_shift && shift > 0) {
        fits = fits && add_distance(&set, shift);
    }
    for (uint32_t i = 0; i < from->after_count; i++) {
        if (kept_after[i] && from->after[i] + shift > 0) {
            fits = fits && add_distance(&set, from->after[i] + shift);
        }
    }
    *ret_set = set;
    return fits;
}

/* A set told as the one before it, moved; delta_idx_minus1 exists in slice headers only. */
static int read_predicted_set(struct kn_bits *bits, struct reference_set *set) {
    const uint32_t count = set->before_count + set->after_count;
    const int32_t sign = kn_bits_read(bits, 1) != 0 ? -1 : 1;
    const uint32_t distance = kn_bits_read_ue(bits); /* abs_delta_rps_minus1 */
    const struct reference_set from = *set;
    bool kept[PICTURES_MAX + 1] = {false};

    if (distance > 0x7fff) {
        return KN_E_MALFORMED;
    }
    for (uint32_t i = 0; i <= count; i++) {
        /* use_delta_flag is there for unused pictures, else inferred as 1. */
        kept[i] = kn_bits_read(bits, 1) != 0 || kn_bits_read(bits, 1) != 0;
    }
    return shift_set(&from, sign * ((int32_t)distance + 1), kept, set) ? 0 : KN_E_MALFORMED;
}

/* 7.3.7. A set may be told by its predecessor alone, so one is kept, not 64. */
static int skip_reference_sets(struct kn_bits *bits) {
    const uint32_t count = kn_bits_read_ue(bits); /* num_short_term_ref_pic_sets */
    struct reference_set set = {0};

    if (count > REFERENCE_SETS_MAX) {
        return KN_E_MALFORMED;
    }
    for (uint32_t i = 0; i < count; i++) {
        const bool predicted = i > 0 && kn_bits_read(bits, 1) != 0;
        const int result =
            predicted ? read_predicted_set(bits, &set) : read_explicit_set(bits, &set);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

static int skip_long_term_pictures(struct kn_bits *bits, uint32_t order_count_bits) {
    uint32_t count;

    if (kn_bits_read(bits, 1) == 0) { /* long_term_ref_pics_present_flag */
        return 0;
    }
    count = kn_bits_read_ue(bits);
    if (count > 32) {
        return KN_E_MALFORMED;
    }
    kn_bits_skip(bits, (size_t)count * (order_count_bits + 1));
    return 0;
}

/* Block sizes, scaling lists, tools: everything between the ordering and the reference sets. */
static int skip_coding_tools(struct kn_bits *bits) {
    for (int i = 0; i < 6; i++) { /* log2 block sizes and transform depths */
        (void)kn_bits_read_ue(bits);
    }
    /* scaling_list_enabled_flag, sps_scaling_list_data_present_flag */
    if (kn_bits_read(bits, 1) != 0 && kn_bits_read(bits, 1) != 0) {
        const int result = skip_scaling_lists(bits);
        if (result < 0) {
            return result;
        }
    }
    kn_bits_skip(bits, 2);            /* amp_enabled, sample_adaptive_offset_enabled */
    if (kn_bits_read(bits, 1) != 0) { /* pcm_enabled_flag */
        kn_bits_skip(bits, 4 + 4);
        (void)kn_bits_read_ue(bits);
        (void)kn_bits_read_ue(bits);
        kn_bits_skip(bits, 1);
    }
    return 0;
}

/* E.2.1 up to the timing; what follows is not needed. False where it ends early. */
static bool read_vui(struct kn_bits *bits, struct frag_video_params *params) {
    frag_sps_read_vui_start(bits, params);
    kn_bits_skip(bits, 1);            /* neutral_chroma_indication_flag */
    if (kn_bits_read(bits, 1) != 0) { /* field_seq_flag */
        params->interlaced = true;
    }
    kn_bits_skip(bits, 1);            /* frame_field_info_present_flag */
    if (kn_bits_read(bits, 1) != 0) { /* default_display_window_flag: for displays, not decoders */
        for (int i = 0; i < 4; i++) {
            (void)kn_bits_read_ue(bits);
        }
    }
    if (kn_bits_read(bits, 1) != 0) { /* vui_timing_info_present_flag */
        const uint32_t units = kn_bits_read(bits, 32);
        const uint32_t scale = kn_bits_read(bits, 32);

        frag_sps_set_rate(params, scale, units);
    }
    return kn_bits_status(bits) == 0;
}

static int read_sps(struct kn_bits *bits, struct frag_video_params *params) {
    unsigned sub_layers;
    uint32_t order_count_bits;
    int result;

    kn_bits_skip(bits, 4); /* sps_video_parameter_set_id */
    sub_layers = kn_bits_read(bits, 3) + 1;
    if (sub_layers > SUB_LAYERS_MAX) {
        return KN_E_MALFORMED;
    }
    params->max_sub_layers = (uint8_t)sub_layers;
    params->temporal_id_nested = kn_bits_read(bits, 1) != 0;
    result = read_profile_tier_level(bits, sub_layers, params);
    if (result < 0) {
        return result;
    }
    /* general_progressive_source_flag and general_interlaced_source_flag; both: it varies. */
    params->interlaced = (params->constraint_indicator[0] & 0xc0) == 0x40;
    if (kn_bits_read_ue(bits) > 15) { /* sps_seq_parameter_set_id */
        return KN_E_MALFORMED;
    }
    result = read_geometry(bits, params);
    if (result < 0) {
        return result;
    }
    order_count_bits = kn_bits_read_ue(bits);
    if (order_count_bits > 12) { /* log2_max_pic_order_cnt_lsb_minus4 */
        return KN_E_MALFORMED;
    }
    result = read_ordering(bits, sub_layers, params);
    if (result < 0) {
        return result;
    }
    result = skip_coding_tools(bits);
    if (result < 0) {
        return result;
    }
    result = skip_reference_sets(bits);
    if (result < 0) {
        return result;
    }
    result = skip_long_term_pictures(bits, order_count_bits + 4);
    if (result < 0) {
        return result;
    }
    kn_bits_skip(bits, 2); /* sps_temporal_mvp_enabled, strong_intra_smoothing_enabled */
    return 0;
}

int frag_h265_parse_sps(struct frag_nal nal, struct frag_video_params *ret_params) {
    struct frag_video_params params = {.sar_width = 1, .sar_height = 1};
    struct frag_sps_payload payload;
    bool vui_present = false;
    int result;

    if (nal.size < 2) {
        return KN_E_TRUNCATED;
    }
    if (frag_nal_kind(KN_CODEC_H265, nal) != FRAG_NAL_SPS) {
        return KN_E_MALFORMED;
    }
    result = frag_sps_open(nal, 2, &payload);
    if (result < 0) {
        return result;
    }
    result = read_sps(&payload.bits, &params);
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
    if (vui_present) {
        struct frag_video_params with_vui = params;
        if (read_vui(&payload.bits, &with_vui)) {
            params = with_vui;
        }
    }
    *ret_params = params;
    return 0;
}
