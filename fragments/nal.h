/* NAL units and parameter sets of H.264 and H.265: how cameras' bytes become AVCC and HVCC, and
 * what a stream says about itself. Pure, any thread; everything here is fed by strangers.
 *
 * Two framings exist: Annex-B (start codes; cameras, MPEG-TS, careless producers) and
 * length-prefixed (MP4, Matroska). Kinora keeps and hands out length-prefixed ones. */
#ifndef FRAGMENTS_NAL_H
#define FRAGMENTS_NAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "base/track.h"

/* One unit without start code or length; borrowed. */
struct frag_nal {
    const uint8_t *data;
    size_t size;
};

/* ---- framing ---- */

/* Steps through Annex-B units, from the first start code on; `ret_nal` without the zeros that pad
 * it at the end (it may begin with one: H.265's TRAIL_N). Units without bytes are left out. False
 * at the end. */
bool frag_nal_next_annexb(struct kn_reader *reader, struct frag_nal *ret_nal);
/* Steps through length-prefixed units (length_bytes 1 to 4). 1: one unit, which may have no bytes;
 * 0: the end; KN_E_MALFORMED: a length runs over the end. */
KN_MUST_CHECK int frag_nal_next_prefixed(struct kn_reader *reader, unsigned length_bytes,
                                         struct frag_nal *ret_nal);
/* True for zeros (2 or more), then a 1. So begin length-prefixed units of 256 to 511 bytes, too:
 * where both are possible, ask frag_nal_is_prefixed first. */
bool frag_nal_starts_annexb(const uint8_t *data, size_t size);
/* True when units of this length size fill the bytes exactly; no units fill no bytes. */
bool frag_nal_is_prefixed(const uint8_t *data, size_t size, unsigned length_bytes);
/* Writes Annex-B units with 4-byte lengths; at most 4 GiB. The writer says whether they fitted. */
void frag_nal_annexb_to_prefixed(const uint8_t *data, size_t size, struct kn_writer *writer);

/* ---- unit types ---- */

enum frag_nal_kind {
    FRAG_NAL_OTHER,
    FRAG_NAL_VPS,
    FRAG_NAL_SPS,
    FRAG_NAL_PPS,
    FRAG_NAL_KEY,   /* slice of an IDR or, in H.265, any IRAP picture (IDR, CRA, BLA) */
    FRAG_NAL_SLICE, /* any other slice */
    FRAG_NAL_SEI,
    FRAG_NAL_DELIMITER
};

/* codec: KN_CODEC_H264 or KN_CODEC_H265; FRAG_NAL_OTHER for anything else, an empty unit, one
 * marked damaged (forbidden_zero_bit) and, in H.265, one of a layer over 0. */
enum frag_nal_kind frag_nal_kind(enum kn_codec codec, struct frag_nal nal);

/* ---- sequence parameter sets ---- */

struct frag_video_params {
    uint8_t profile_idc;
    uint8_t profile_compatibility[4]; /* H.264: constraint flags in [0] */
    uint8_t constraint_indicator[6];  /* H.265 general constraint flags */
    uint8_t tier;                     /* H.265 */
    uint8_t level_idc;
    uint8_t chroma_format_idc;
    uint8_t bit_depth_luma, bit_depth_chroma;
    uint32_t width, height;         /* after cropping; H.265's field_seq: of a field */
    uint32_t sar_width, sar_height; /* 1:1 where not said */
    /* Frames (field_seq: fields) a second from timing info, reduced; 0/0 where not said. */
    uint32_t rate_num, rate_den;
    int reorder_frames; /* how many frames decode before their turn; -1: not said */
    bool interlaced;
    uint8_t max_sub_layers; /* H.265 */
    bool temporal_id_nested;
};

/* `nal` with its header and emulation bytes. 0, KN_E_TRUNCATED, KN_E_MALFORMED (also: not an SPS),
 * KN_E_LIMIT (a picture side of 0 or over 16384, an SPS over 4096 bytes), KN_E_UNSUPPORTED (a
 * general_profile_space of H.265). A VUI that ends early or is out of range counts as absent, and
 * what follows the VUI is not looked at. */
KN_MUST_CHECK int frag_h264_parse_sps(struct frag_nal nal, struct frag_video_params *ret_params);
KN_MUST_CHECK int frag_h265_parse_sps(struct frag_nal nal, struct frag_video_params *ret_params);

/* ---- avcC and hvcC, the CodecPrivate of Matroska and MP4 ---- */

#define FRAG_PARAM_SETS_MAX 32

/* Units in order of VPS, SPS, PPS, without trailing zeros; borrowed from the record or stream they
 * were read from. */
struct frag_param_sets {
    unsigned length_bytes;
    size_t count;
    struct frag_nal nals[FRAG_PARAM_SETS_MAX];
};

/* What is no parameter set (SEI) and repetitions are left out; the sets may be incomplete.
 * 0, KN_E_TRUNCATED, KN_E_MALFORMED (other version, length size 3 ...), KN_E_LIMIT. */
KN_MUST_CHECK int frag_avcc_parse(const uint8_t *data, size_t size,
                                  struct frag_param_sets *ret_sets);
KN_MUST_CHECK int frag_hvcc_parse(const uint8_t *data, size_t size,
                                  struct frag_param_sets *ret_sets);

/* Adds the parameter sets found in a frame (Annex-B when length_bytes is 0) whose bytes are not yet
 * in `sets`; start with zeroed ones. Returns how many were added; or KN_E_LIMIT (also: a set over
 * 65535 bytes) or KN_E_MALFORMED (a length runs over the end), and nothing is added. */
KN_MUST_CHECK int frag_param_sets_collect(enum kn_codec codec, const uint8_t *data, size_t size,
                                          unsigned length_bytes, struct frag_param_sets *sets);
/* True once there is an SPS and a PPS (and a VPS for H.265). */
bool frag_param_sets_complete(enum kn_codec codec, const struct frag_param_sets *sets);
/* Writes avcC or hvcC (for samples without sets: hvc1) with 4-byte lengths; whatever
 * sets->length_bytes says. 0, KN_E_MALFORMED (sets incomplete or a first SPS that cannot be read),
 * KN_E_LIMIT, KN_E_UNSUPPORTED (another codec, 16-bit H.265), or the writer's failure. */
KN_MUST_CHECK int frag_param_sets_pack(enum kn_codec codec, const struct frag_param_sets *sets,
                                       struct kn_writer *writer);
/* The first SPS of a record. KN_E_MALFORMED without one, KN_E_UNSUPPORTED for another codec, else
 * as the parser says. */
KN_MUST_CHECK int frag_param_sets_describe(enum kn_codec codec, const struct frag_param_sets *sets,
                                           struct frag_video_params *ret_params);

/* "High 4.0", "Main 10 L5.1 High tier": for people; cut where the room ends, "" for another codec.
 * Returns `text`. */
const char *frag_video_params_text(enum kn_codec codec, const struct frag_video_params *params,
                                   char *text, size_t room);

#endif
