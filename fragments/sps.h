/* What the sequence parameter sets of H.264 and H.265 share. Inner to fragments; pure. */
#ifndef FRAGMENTS_SPS_H
#define FRAGMENTS_SPS_H

#include "fragments/nal.h"

/* Real ones have 10 to 100 bytes, with every scaling list and reference picture set about 2,000. */
#define FRAG_SPS_BYTES_MAX 4096
#define FRAG_PICTURE_SIDE_MAX 16384

/* A set's payload (RBSP) without emulation prevention, and the bits to read it by. */
struct frag_sps_payload {
    struct kn_bits bits;
    uint8_t bytes[FRAG_SPS_BYTES_MAX];
};

/* Copies what stands behind the unit's header. `payload` must not move afterwards. 0,
 * KN_E_TRUNCATED (nothing there), KN_E_LIMIT. */
KN_MUST_CHECK int frag_sps_open(struct frag_nal nal, size_t header_bytes,
                                struct frag_sps_payload *payload);

/* Cropping counts chroma samples: how many luma samples one of them spans. */
uint32_t frag_sps_chroma_width(uint32_t chroma_format_idc);
uint32_t frag_sps_chroma_height(uint32_t chroma_format_idc);
/* The side left of `coded` luma samples when `before` + `after` units are cropped. 0 or KN_E_LIMIT.
 */
KN_MUST_CHECK int frag_sps_crop(uint64_t coded, uint32_t unit, uint32_t before, uint32_t after,
                                uint32_t *ret_side);

/* Both VUIs begin alike: aspect ratio, overscan, video signal, chroma location. */
void frag_sps_read_vui_start(struct kn_bits *bits, struct frag_video_params *params);
/* Reduces the fraction; leaves the rate where it is zero or does not fit. */
void frag_sps_set_rate(struct frag_video_params *params, uint64_t num, uint64_t den);

#endif
