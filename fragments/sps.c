#include "fragments/sps.h"

#include "base/error.h"

int frag_sps_open(struct frag_nal nal, size_t header_bytes, struct frag_sps_payload *payload) {
    size_t size = 0;
    unsigned zeros = 0;

    if (nal.size <= header_bytes) {
        return KN_E_TRUNCATED;
    }
    if (nal.size > FRAG_SPS_BYTES_MAX) {
        return KN_E_LIMIT;
    }
    for (size_t i = header_bytes; i < nal.size; i++) {
        const uint8_t byte = nal.data[i];
        /* emulation_prevention_three_byte */
        if (zeros >= 2 && byte == 3) {
            zeros = 0;
            continue;
        }
        zeros = byte == 0 ? zeros + 1 : 0;
        payload->bytes[size++] = byte;
    }
    kn_bits_init(&payload->bits, payload->bytes, size);
    return 0;
}

/* SubWidthC and SubHeightC, H.264 table 6-1 and H.265 table 6-1. */
uint32_t frag_sps_chroma_width(uint32_t chroma_format_idc) {
    return chroma_format_idc == 1 || chroma_format_idc == 2 ? 2 : 1;
}

uint32_t frag_sps_chroma_height(uint32_t chroma_format_idc) {
    return chroma_format_idc == 1 ? 2 : 1;
}

int frag_sps_crop(uint64_t coded, uint32_t unit, uint32_t before, uint32_t after,
                  uint32_t *ret_side) {
    const uint64_t cropped = ((uint64_t)before + after) * unit;

    if (coded > FRAG_PICTURE_SIDE_MAX || cropped >= coded) {
        return KN_E_LIMIT;
    }
    *ret_side = (uint32_t)(coded - cropped);
    return 0;
}

/* H.264 table E-1 and H.265 table E.1; 0 says "unspecified". */
static const uint8_t aspect_ratios[][2] = {
    {1, 1},   {1, 1},   {12, 11}, {10, 11}, {16, 11},  {40, 33}, {24, 11}, {20, 11}, {32, 11},
    {80, 33}, {18, 11}, {15, 11}, {64, 33}, {160, 99}, {4, 3},   {3, 2},   {2, 1},
};
#define ASPECT_EXTENDED 255

static void read_aspect_ratio(struct kn_bits *bits, struct frag_video_params *params) {
    const uint32_t idc = kn_bits_read(bits, 8);

    if (idc == ASPECT_EXTENDED) {
        const uint32_t width = kn_bits_read(bits, 16);
        const uint32_t height = kn_bits_read(bits, 16);
        /* A zero in either means unspecified. */
        if (width != 0 && height != 0) {
            params->sar_width = width;
            params->sar_height = height;
        }
    } else if (idc < KN_COUNT(aspect_ratios)) {
        params->sar_width = aspect_ratios[idc][0];
        params->sar_height = aspect_ratios[idc][1];
    }
}

void frag_sps_read_vui_start(struct kn_bits *bits, struct frag_video_params *params) {
    if (kn_bits_read(bits, 1) != 0) { /* aspect_ratio_info_present_flag */
        read_aspect_ratio(bits, params);
    }
    if (kn_bits_read(bits, 1) != 0) { /* overscan_info_present_flag */
        kn_bits_skip(bits, 1);
    }
    if (kn_bits_read(bits, 1) != 0) { /* video_signal_type_present_flag */
        kn_bits_skip(bits, 3 + 1);
        if (kn_bits_read(bits, 1) != 0) { /* colour_description_present_flag */
            kn_bits_skip(bits, 3 * 8);
        }
    }
    if (kn_bits_read(bits, 1) != 0) { /* chroma_loc_info_present_flag */
        (void)kn_bits_read_ue(bits);
        (void)kn_bits_read_ue(bits);
    }
}

static uint64_t common_divisor(uint64_t a, uint64_t b) {
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

void frag_sps_set_rate(struct frag_video_params *params, uint64_t num, uint64_t den) {
    uint64_t divisor;

    if (num == 0 || den == 0) {
        return;
    }
    divisor = common_divisor(num, den);
    if (num / divisor <= UINT32_MAX && den / divisor <= UINT32_MAX) {
        params->rate_num = (uint32_t)(num / divisor);
        params->rate_den = (uint32_t)(den / divisor);
    }
}
