/* All of fragments/nal.h. The first byte chooses: bits 0-2 what is run, bit 3 the codec, bits 4-5
 * the length size; the rest is what the function reads. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fragments/nal.h"

#define PACKED_MAX ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_bytes(const void *a, const void *b, size_t size) {
    return memcmp(a, b, size) == 0;
}

static bool same_nal(struct frag_nal a, struct frag_nal b) {
    return a.size == b.size && same_bytes(a.data, b.data, a.size);
}

static bool is_inside(struct frag_nal nal, const uint8_t *data, size_t size) {
    return nal.data >= data && nal.size <= size && (size_t)(nal.data - data) <= size - nal.size;
}

/* ---- framing ---- */

static void check_annexb_unit(struct frag_nal nal, const uint8_t *data, size_t size) {
    KN_ASSERT(nal.size > 0 && is_inside(nal, data, size) && nal.data - data >= 3);
    KN_ASSERT(memcmp(nal.data - 3, "\0\0\1", 3) == 0);
    KN_ASSERT(nal.data[nal.size - 1] != 0);
    for (size_t i = 0; i + 3 <= nal.size; i++) {
        KN_ASSERT(memcmp(nal.data + i, "\0\0\1", 3) != 0);
    }
}

/* The converted bytes hold the same units, of the same kinds. */
static void check_converted(enum kn_codec codec, const uint8_t *data, size_t size,
                            const struct kn_writer *converted) {
    struct kn_reader annexb, prefixed;
    struct frag_nal a, b;

    KN_ASSERT(frag_nal_is_prefixed(converted->data, converted->size, 4));
    kn_reader_init(&annexb, data, size);
    kn_reader_init(&prefixed, converted->data, converted->size);
    while (frag_nal_next_annexb(&annexb, &a)) {
        KN_ASSERT(frag_nal_next_prefixed(&prefixed, 4, &b) == 1);
        KN_ASSERT(same_nal(a, b) && frag_nal_kind(codec, a) == frag_nal_kind(codec, b));
    }
    KN_ASSERT(frag_nal_next_prefixed(&prefixed, 4, &b) == 0);
}

static void run_annexb(enum kn_codec codec, const uint8_t *data, size_t size) {
    struct kn_reader reader;
    struct kn_writer writer;
    struct frag_nal nal;
    size_t count = 0;

    kn_reader_init(&reader, data, size);
    while (frag_nal_next_annexb(&reader, &nal)) {
        check_annexb_unit(nal, data, size);
        count++;
    }
    KN_ASSERT(kn_reader_left(&reader) == 0);
    KN_ASSERT(!frag_nal_starts_annexb(data, size) || size >= 3);
    kn_writer_init_growing(&writer, PACKED_MAX);
    frag_nal_annexb_to_prefixed(data, size, &writer);
    if (kn_writer_status(&writer) == 0) {
        KN_ASSERT((writer.size == 0) == (count == 0));
        check_converted(codec, data, size, &writer);
    }
    kn_writer_finish(&writer);
}

static void run_prefixed(unsigned length_bytes, const uint8_t *data, size_t size) {
    struct kn_reader reader;
    struct frag_nal nal;
    size_t used = 0;
    int result;

    kn_reader_init(&reader, data, size);
    while ((result = frag_nal_next_prefixed(&reader, length_bytes, &nal)) > 0) {
        used += length_bytes;
        KN_ASSERT(nal.data == data + used && is_inside(nal, data, size));
        used += nal.size;
    }
    KN_ASSERT((result == 0) == (used == size));
    KN_ASSERT((result == 0) == frag_nal_is_prefixed(data, size, length_bytes));
    KN_ASSERT(frag_nal_next_prefixed(&reader, length_bytes, &nal) == result);
}

/* ---- sequence parameter sets ---- */

static void check_text(enum kn_codec codec, const struct frag_video_params *params) {
    char whole[80], part[80];
    size_t length;

    KN_ASSERT(frag_video_params_text(codec, params, whole, sizeof(whole)) == whole);
    length = strlen(whole);
    KN_ASSERT(length > 0 && length < 64);
    for (size_t room = 0; room <= length; room++) {
        memset(part, 'x', sizeof(part));
        (void)frag_video_params_text(codec, params, part, room);
        KN_ASSERT(room == 0 || (strlen(part) == room - 1 && memcmp(part, whole, room - 1) == 0));
        KN_ASSERT(part[room] == 'x');
    }
}

static uint32_t common_divisor(uint32_t a, uint32_t b) {
    while (b != 0) {
        const uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static void check_params(enum kn_codec codec, const struct frag_video_params *params) {
    const int most = codec == KN_CODEC_H264 ? 16 : 15;

    KN_ASSERT(params->width >= 1 && params->width <= 16384);
    KN_ASSERT(params->height >= 1 && params->height <= 16384);
    KN_ASSERT(params->sar_width >= 1 && params->sar_width <= 65535);
    KN_ASSERT(params->sar_height >= 1 && params->sar_height <= 65535);
    KN_ASSERT((params->rate_num == 0) == (params->rate_den == 0));
    KN_ASSERT(params->rate_num == 0 || common_divisor(params->rate_num, params->rate_den) == 1);
    KN_ASSERT(params->chroma_format_idc <= 3);
    KN_ASSERT(params->bit_depth_luma >= 8 && params->bit_depth_luma <= 16);
    KN_ASSERT(params->bit_depth_chroma >= 8 && params->bit_depth_chroma <= 16);
    KN_ASSERT(params->reorder_frames >= (codec == KN_CODEC_H264 ? -1 : 0));
    KN_ASSERT(params->reorder_frames <= most && params->tier <= 1);
    KN_ASSERT(params->max_sub_layers <= 7);
    KN_ASSERT((params->max_sub_layers == 0) == (codec == KN_CODEC_H264));
    check_text(codec, params);
}

static int parse_sps(enum kn_codec codec, struct frag_nal nal,
                     struct frag_video_params *ret_params) {
    return codec == KN_CODEC_H264 ? frag_h264_parse_sps(nal, ret_params)
                                  : frag_h265_parse_sps(nal, ret_params);
}

static void run_sps(enum kn_codec codec, const uint8_t *data, size_t size) {
    const struct frag_nal nal = {data, size};
    struct frag_video_params params, untouched;
    int result;

    memset(&params, 0x5a, sizeof(params));
    memcpy(&untouched, &params, sizeof(params));
    result = parse_sps(codec, nal, &params);
    if (result < 0) {
        KN_ASSERT(same_bytes(&untouched, &params, sizeof(params)));
        return;
    }
    KN_ASSERT(result == 0 && frag_nal_kind(codec, nal) == FRAG_NAL_SPS);
    check_params(codec, &params);
}

static void run_text(enum kn_codec codec, const uint8_t *data, size_t size) {
    struct frag_video_params params = {0};

    if (size >= 12) {
        params.profile_idc = data[0];
        params.level_idc = data[1];
        params.tier = data[2];
        memcpy(params.profile_compatibility, data + 3, sizeof(params.profile_compatibility));
        memcpy(params.constraint_indicator, data + 6, sizeof(params.constraint_indicator));
    }
    check_text(codec, &params);
}

/* ---- sets ---- */

static int rank(enum kn_codec codec, struct frag_nal nal) {
    const enum frag_nal_kind kind = frag_nal_kind(codec, nal);

    KN_ASSERT(kind == FRAG_NAL_VPS || kind == FRAG_NAL_SPS || kind == FRAG_NAL_PPS);
    return kind == FRAG_NAL_VPS ? 0 : kind == FRAG_NAL_SPS ? 1 : 2;
}

static void check_sets(enum kn_codec codec, const struct frag_param_sets *sets, const uint8_t *data,
                       size_t size) {
    KN_ASSERT(sets->count <= FRAG_PARAM_SETS_MAX);
    for (size_t i = 0; i < sets->count; i++) {
        KN_ASSERT(is_inside(sets->nals[i], data, size));
        KN_ASSERT(i == 0 || rank(codec, sets->nals[i - 1]) <= rank(codec, sets->nals[i]));
        for (size_t k = 0; k < i; k++) {
            KN_ASSERT(!same_nal(sets->nals[k], sets->nals[i]));
        }
    }
}

static bool same_sets(const struct frag_param_sets *a, const struct frag_param_sets *b) {
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        if (!same_nal(a->nals[i], b->nals[i])) {
            return false;
        }
    }
    return a->count == b->count;
}

static int parse_record(enum kn_codec codec, const uint8_t *data, size_t size,
                        struct frag_param_sets *ret_sets) {
    return codec == KN_CODEC_H264 ? frag_avcc_parse(data, size, ret_sets)
                                  : frag_hvcc_parse(data, size, ret_sets);
}

/* A packed record parses back to the same sets, and these describe the same picture. */
static void check_pack(enum kn_codec codec, const struct frag_param_sets *sets) {
    struct frag_video_params params, params_again;
    struct frag_param_sets again;
    struct kn_writer writer;
    bool readable;
    int result;

    readable = frag_param_sets_describe(codec, sets, &params) == 0;
    kn_writer_init_growing(&writer, PACKED_MAX);
    result = frag_param_sets_pack(codec, sets, &writer);
    if (result == 0) {
        KN_ASSERT(readable && frag_param_sets_complete(codec, sets));
        KN_ASSERT(parse_record(codec, writer.data, writer.size, &again) == 0);
        KN_ASSERT(again.length_bytes == 4 && same_sets(sets, &again));
        KN_ASSERT(frag_param_sets_describe(codec, &again, &params_again) == 0);
        KN_ASSERT(params.width == params_again.width && params.height == params_again.height);
        check_params(codec, &params);
    }
    kn_writer_finish(&writer);
}

static void run_record(enum kn_codec codec, const uint8_t *data, size_t size) {
    struct frag_param_sets sets;

    if (parse_record(codec, data, size, &sets) == 0) {
        KN_ASSERT(sets.length_bytes == 1 || sets.length_bytes == 2 || sets.length_bytes == 4);
        check_sets(codec, &sets, data, size);
        check_pack(codec, &sets);
    }
}

static void run_collect(enum kn_codec codec, unsigned length_bytes, const uint8_t *data,
                        size_t size) {
    struct frag_param_sets sets = {0};
    const int added = frag_param_sets_collect(codec, data, size, length_bytes, &sets);

    if (added < 0) {
        KN_ASSERT(sets.count == 0);
        return;
    }
    KN_ASSERT((size_t)added == sets.count);
    check_sets(codec, &sets, data, size);
    KN_ASSERT(frag_param_sets_collect(codec, data, size, length_bytes, &sets) == 0);
    KN_ASSERT((size_t)added == sets.count);
    check_pack(codec, &sets);
}

/* Annex-B and what it is converted to hold the same sets. */
static void run_collect_converted(enum kn_codec codec, const uint8_t *data, size_t size) {
    struct frag_param_sets sets = {0}, converted_sets = {0};
    struct kn_writer writer;
    int added;

    added = frag_param_sets_collect(codec, data, size, 0, &sets);
    kn_writer_init_growing(&writer, PACKED_MAX);
    frag_nal_annexb_to_prefixed(data, size, &writer);
    if (kn_writer_status(&writer) == 0) {
        KN_ASSERT(frag_param_sets_collect(codec, writer.data, writer.size, 4, &converted_sets) ==
                  added);
        KN_ASSERT(same_sets(&sets, &converted_sets));
    }
    kn_writer_finish(&writer);
}

/* Any SPS among well-formed neighbours. */
static void run_pack(enum kn_codec codec, const uint8_t *data, size_t size) {
    static const uint8_t vps[] = {0x40, 1, 0x0c}, pps5[] = {0x44, 1, 0xc1}, pps4[] = {0x68, 0xeb};
    struct frag_param_sets sets = {0};

    while (size > 0 && data[size - 1] == 0) {
        size--;
    }
    if (size == 0 || frag_nal_kind(codec, (struct frag_nal){data, size}) != FRAG_NAL_SPS) {
        return;
    }
    if (codec == KN_CODEC_H265) {
        sets.nals[sets.count++] = (struct frag_nal){vps, sizeof(vps)};
    }
    sets.nals[sets.count++] = (struct frag_nal){data, size};
    sets.nals[sets.count++] = codec == KN_CODEC_H265 ? (struct frag_nal){pps5, sizeof(pps5)}
                                                     : (struct frag_nal){pps4, sizeof(pps4)};
    check_pack(codec, &sets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum kn_codec codec;
    unsigned length_bytes, mode;

    if (size == 0) {
        return 0;
    }
    mode = data[0] & 7u;
    codec = (data[0] & 8) != 0 ? KN_CODEC_H265 : KN_CODEC_H264;
    length_bytes = (data[0] >> 4 & 3u) + 1;
    data++;
    size--;
    switch (mode) {
    case 0:
        run_annexb(codec, data, size);
        break;
    case 1:
        run_prefixed(length_bytes, data, size);
        break;
    case 2:
        run_sps(codec, data, size);
        break;
    case 3:
        run_record(codec, data, size);
        break;
    case 4:
        run_collect(codec, length_bytes, data, size);
        break;
    case 5:
        run_collect(codec, 0, data, size);
        break;
    case 6:
        run_collect_converted(codec, data, size);
        break;
    default:
        run_pack(codec, data, size);
        run_text(codec, data, size);
        break;
    }
    return 0;
}
