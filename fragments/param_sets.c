/* AVCDecoderConfigurationRecord and HEVCDecoderConfigurationRecord: ISO/IEC 14496-15, 5.3.3.1 and
 * 8.3.3.1. */
#include "fragments/nal.h"

#include <string.h>

#include "base/error.h"

#define RECORD_VERSION 1
#define LENGTH_BYTES 4

/* ---- the list ---- */

/* Place in the order of VPS, SPS, PPS; 0 for what is no parameter set. */
static unsigned rank_of(enum kn_codec codec, struct frag_nal nal) {
    switch (frag_nal_kind(codec, nal)) {
    case FRAG_NAL_VPS:
        return 1;
    case FRAG_NAL_SPS:
        return 2;
    case FRAG_NAL_PPS:
        return 3;
    case FRAG_NAL_OTHER:
    case FRAG_NAL_KEY:
    case FRAG_NAL_SLICE:
    case FRAG_NAL_SEI:
    case FRAG_NAL_DELIMITER:
        break;
    }
    return 0;
}

static bool contains(const struct frag_param_sets *sets, struct frag_nal nal) {
    for (size_t i = 0; i < sets->count; i++) {
        if (sets->nals[i].size == nal.size && memcmp(sets->nals[i].data, nal.data, nal.size) == 0) {
            return true;
        }
    }
    return false;
}

/* 1 when added; 0 for duplicates and for what is no parameter set. Records have 16-bit lengths.
 * Trailing zeros belong to no unit, but AVC-Intra writers pad prefixed ones with them: without them
 * a set is the same one in both framings. */
static int add(enum kn_codec codec, struct frag_nal nal, struct frag_param_sets *sets) {
    size_t at = sets->count;
    unsigned rank;

    while (nal.size > 0 && nal.data[nal.size - 1] == 0) {
        nal.size--;
    }
    rank = rank_of(codec, nal);
    if (rank == 0 || contains(sets, nal)) {
        return 0;
    }
    if (sets->count >= FRAG_PARAM_SETS_MAX || nal.size > UINT16_MAX) {
        return KN_E_LIMIT;
    }
    for (; at > 0 && rank_of(codec, sets->nals[at - 1]) > rank; at--) {
        sets->nals[at] = sets->nals[at - 1];
    }
    sets->nals[at] = nal;
    sets->count++;
    return 1;
}

static size_t count_kind(enum kn_codec codec, const struct frag_param_sets *sets,
                         enum frag_nal_kind kind) {
    size_t count = 0;

    for (size_t i = 0; i < sets->count; i++) {
        count += frag_nal_kind(codec, sets->nals[i]) == kind ? 1 : 0;
    }
    return count;
}

static int next_unit(struct kn_reader *reader, unsigned length_bytes, struct frag_nal *ret_nal) {
    if (length_bytes == 0) {
        return frag_nal_next_annexb(reader, ret_nal) ? 1 : 0;
    }
    return frag_nal_next_prefixed(reader, length_bytes, ret_nal);
}

int frag_param_sets_collect(enum kn_codec codec, const uint8_t *data, size_t size,
                            unsigned length_bytes, struct frag_param_sets *sets) {
    struct frag_param_sets grown = *sets;
    struct kn_reader reader;
    struct frag_nal nal;
    int added = 0;
    int result;

    kn_reader_init(&reader, data, size);
    while ((result = next_unit(&reader, length_bytes, &nal)) > 0) {
        result = add(codec, nal, &grown);
        if (result < 0) {
            return result;
        }
        added += result;
    }
    if (result < 0) {
        return result;
    }
    *sets = grown;
    return added;
}

bool frag_param_sets_complete(enum kn_codec codec, const struct frag_param_sets *sets) {
    if (codec != KN_CODEC_H264 && codec != KN_CODEC_H265) {
        return false;
    }
    if (codec == KN_CODEC_H265 && count_kind(codec, sets, FRAG_NAL_VPS) == 0) {
        return false;
    }
    return count_kind(codec, sets, FRAG_NAL_SPS) > 0 && count_kind(codec, sets, FRAG_NAL_PPS) > 0;
}

int frag_param_sets_describe(enum kn_codec codec, const struct frag_param_sets *sets,
                             struct frag_video_params *ret_params) {
    if (codec != KN_CODEC_H264 && codec != KN_CODEC_H265) {
        return KN_E_UNSUPPORTED;
    }
    for (size_t i = 0; i < sets->count; i++) {
        if (frag_nal_kind(codec, sets->nals[i]) == FRAG_NAL_SPS) {
            return codec == KN_CODEC_H264 ? frag_h264_parse_sps(sets->nals[i], ret_params)
                                          : frag_h265_parse_sps(sets->nals[i], ret_params);
        }
    }
    return KN_E_MALFORMED;
}

/* ---- reading records ---- */

static int read_units(enum kn_codec codec, struct kn_reader *reader, unsigned count,
                      struct frag_param_sets *sets) {
    for (unsigned i = 0; i < count; i++) {
        struct frag_nal nal;
        int result;

        nal.size = kn_read_be16(reader);
        nal.data = kn_read_bytes(reader, nal.size);
        result = kn_reader_status(reader);
        if (result < 0) {
            return result;
        }
        result = add(codec, nal, sets);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

/* The low two bits are lengthSizeMinusOne; three bytes are not allowed. */
static int read_length_bytes(struct kn_reader *reader, struct frag_param_sets *sets) {
    sets->length_bytes = (kn_read_u8(reader) & 3u) + 1;
    return sets->length_bytes == 3 ? KN_E_MALFORMED : 0;
}

int frag_avcc_parse(const uint8_t *data, size_t size, struct frag_param_sets *ret_sets) {
    struct frag_param_sets sets = {0};
    struct kn_reader reader;
    int result;

    kn_reader_init(&reader, data, size);
    if (size > 0 && kn_read_u8(&reader) != RECORD_VERSION) {
        return KN_E_MALFORMED;
    }
    kn_read_skip(&reader, 3); /* profile, constraints and level stand in the SPS, too */
    result = read_length_bytes(&reader, &sets);
    if (result < 0) {
        return result;
    }
    result = read_units(KN_CODEC_H264, &reader, kn_read_u8(&reader) & 0x1fu, &sets);
    if (result < 0) {
        return result;
    }
    result = read_units(KN_CODEC_H264, &reader, kn_read_u8(&reader), &sets);
    if (result < 0) {
        return result;
    }
    /* The High profiles' fields may follow, or not: writers disagree, and the SPS says the same. */
    result = kn_reader_status(&reader);
    if (result < 0) {
        return result;
    }
    *ret_sets = sets;
    return 0;
}

int frag_hvcc_parse(const uint8_t *data, size_t size, struct frag_param_sets *ret_sets) {
    struct frag_param_sets sets = {0};
    struct kn_reader reader;
    unsigned arrays;
    int result;

    kn_reader_init(&reader, data, size);
    if (size > 0 && kn_read_u8(&reader) != RECORD_VERSION) {
        return KN_E_MALFORMED;
    }
    kn_read_skip(&reader, 20); /* from the profile to avgFrameRate: the SPS says the same */
    result = read_length_bytes(&reader, &sets);
    if (result < 0) {
        return result;
    }
    arrays = kn_read_u8(&reader);
    for (unsigned i = 0; i < arrays; i++) {
        kn_read_skip(&reader, 1); /* array_completeness and type: the units say theirs */
        result = read_units(KN_CODEC_H265, &reader, kn_read_be16(&reader), &sets);
        if (result < 0) {
            return result;
        }
    }
    result = kn_reader_status(&reader);
    if (result < 0) {
        return result;
    }
    *ret_sets = sets;
    return 0;
}

/* ---- writing records ---- */

static void write_units(enum kn_codec codec, const struct frag_param_sets *sets,
                        enum frag_nal_kind kind, struct kn_writer *writer) {
    for (size_t i = 0; i < sets->count; i++) {
        if (frag_nal_kind(codec, sets->nals[i]) == kind) {
            kn_write_be16(writer, (uint16_t)sets->nals[i].size);
            kn_write_bytes(writer, sets->nals[i].data, sets->nals[i].size);
        }
    }
}

static void write_avcc(const struct frag_param_sets *sets, const struct frag_video_params *params,
                       struct kn_writer *writer) {
    kn_write_u8(writer, RECORD_VERSION);
    kn_write_u8(writer, params->profile_idc);
    kn_write_u8(writer, params->profile_compatibility[0]);
    kn_write_u8(writer, params->level_idc);
    kn_write_u8(writer, 0xfc | (LENGTH_BYTES - 1));
    kn_write_u8(writer, (uint8_t)(0xe0 | count_kind(KN_CODEC_H264, sets, FRAG_NAL_SPS)));
    write_units(KN_CODEC_H264, sets, FRAG_NAL_SPS, writer);
    kn_write_u8(writer, (uint8_t)count_kind(KN_CODEC_H264, sets, FRAG_NAL_PPS));
    write_units(KN_CODEC_H264, sets, FRAG_NAL_PPS, writer);
    /* Older editions name 100, 110, 122 and 144 here; the current one all but these three. */
    if (params->profile_idc != 66 && params->profile_idc != 77 && params->profile_idc != 88) {
        kn_write_u8(writer, 0xfc | params->chroma_format_idc);
        kn_write_u8(writer, (uint8_t)(0xf8 | (params->bit_depth_luma - 8)));
        kn_write_u8(writer, (uint8_t)(0xf8 | (params->bit_depth_chroma - 8)));
        kn_write_u8(writer, 0); /* numOfSequenceParameterSetExt */
    }
}

static void write_hvcc_array(const struct frag_param_sets *sets, enum frag_nal_kind kind,
                             uint8_t type, struct kn_writer *writer) {
    kn_write_u8(writer, 0x80 | type); /* array_completeness: none in the samples only */
    kn_write_be16(writer, (uint16_t)count_kind(KN_CODEC_H265, sets, kind));
    write_units(KN_CODEC_H265, sets, kind, writer);
}

static void write_hvcc(const struct frag_param_sets *sets, const struct frag_video_params *params,
                       struct kn_writer *writer) {
    kn_write_u8(writer, RECORD_VERSION);
    kn_write_u8(writer, (uint8_t)(params->tier << 5 | params->profile_idc));
    kn_write_bytes(writer, params->profile_compatibility, sizeof(params->profile_compatibility));
    kn_write_bytes(writer, params->constraint_indicator, sizeof(params->constraint_indicator));
    kn_write_u8(writer, params->level_idc);
    kn_write_be16(writer, 0xf000); /* min_spatial_segmentation_idc 0: not said */
    kn_write_u8(writer, 0xfc);     /* parallelismType 0: not said */
    kn_write_u8(writer, 0xfc | params->chroma_format_idc);
    kn_write_u8(writer, (uint8_t)(0xf8 | (params->bit_depth_luma - 8)));
    kn_write_u8(writer, (uint8_t)(0xf8 | (params->bit_depth_chroma - 8)));
    kn_write_be16(writer, 0); /* avgFrameRate: not said; constantFrameRate 0 below */
    kn_write_u8(writer, (uint8_t)(params->max_sub_layers << 3 |
                                  (params->temporal_id_nested ? 1 << 2 : 0) | (LENGTH_BYTES - 1)));
    kn_write_u8(writer, 3);
    write_hvcc_array(sets, FRAG_NAL_VPS, 32, writer);
    write_hvcc_array(sets, FRAG_NAL_SPS, 33, writer);
    write_hvcc_array(sets, FRAG_NAL_PPS, 34, writer);
}

int frag_param_sets_pack(enum kn_codec codec, const struct frag_param_sets *sets,
                         struct kn_writer *writer) {
    struct frag_video_params params;

    if (codec != KN_CODEC_H264 && codec != KN_CODEC_H265) {
        return KN_E_UNSUPPORTED;
    }
    if (!frag_param_sets_complete(codec, sets) ||
        frag_param_sets_describe(codec, sets, &params) < 0) {
        return KN_E_MALFORMED;
    }
    for (size_t i = 0; i < sets->count; i++) {
        if (sets->nals[i].size > UINT16_MAX) {
            return KN_E_LIMIT;
        }
    }
    if (codec == KN_CODEC_H264) {
        write_avcc(sets, &params, writer);
    } else if (params.bit_depth_luma > 15 || params.bit_depth_chroma > 15) {
        return KN_E_UNSUPPORTED; /* hvcC has three bits for the depth over 8 */
    } else {
        write_hvcc(sets, &params, writer);
    }
    return kn_writer_status(writer);
}
