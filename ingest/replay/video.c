#include "ingest/replay/video.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define LENGTH_BYTES 4u

/* ---- the record ---- */

static int parse_record(enum kn_codec codec, const uint8_t *data, size_t size,
                        struct frag_param_sets *ret_sets) {
    return codec == KN_CODEC_H264 ? frag_avcc_parse(data, size, ret_sets)
                                  : frag_hvcc_parse(data, size, ret_sets);
}

static bool same_record(const struct ing_video *video, const struct kn_writer *writer) {
    return video->record_bytes == writer->size && video->record != NULL &&
           memcmp(video->record, writer->data, writer->size) == 0;
}

/* Sets that make no record (incomplete, or an SPS that cannot be read) change nothing. The sets may
 * borrow from the record at hand. */
static int use_sets(struct ing_video *video, const struct frag_param_sets *sets,
                    bool *ret_changed) {
    struct kn_writer writer;
    kn_writer_init_growing(&writer, KN_TRACK_PRIVATE_MAX);
    int rc = frag_param_sets_pack(video->codec, sets, &writer);
    bool changed = rc == 0 && !same_record(video, &writer);
    if (changed) {
        struct frag_video_params params;
        video->described = frag_param_sets_describe(video->codec, sets, &params) == 0;
        if (video->described) {
            video->params = params;
        }
        free(video->record);
        video->record = kn_writer_take(&writer, &video->record_bytes);
    }
    kn_writer_finish(&writer);
    *ret_changed = changed;
    return rc == -ENOMEM ? rc : 0;
}

int ing_video_renew(struct ing_video *video, const uint8_t *extradata, size_t size,
                    bool *ret_changed) {
    struct frag_param_sets sets = {0};
    *ret_changed = false;
    if (size == 0) {
        return 0;
    }
    if (parse_record(video->codec, extradata, size, &sets) == 0) {
        video->length_bytes = sets.length_bytes;
    } else if (!frag_nal_starts_annexb(extradata, size) ||
               frag_param_sets_collect(video->codec, extradata, size, 0, &sets) <= 0) {
        return 0;
    }
    return use_sets(video, &sets, ret_changed);
}

int ing_video_init(struct ing_video *video, enum kn_codec codec, const uint8_t *extradata,
                   size_t size) {
    bool changed;
    *video = (struct ing_video){.codec = codec, .length_bytes = LENGTH_BYTES};
    return ing_video_renew(video, extradata, size, &changed);
}

void ing_video_finish(struct ing_video *video) {
    free(video->record);
    *video = (struct ing_video){0};
}

static size_t count_sps(enum kn_codec codec, const struct frag_param_sets *sets) {
    size_t count = 0;
    for (size_t i = 0; i < sets->count; i++) {
        count += frag_nal_kind(codec, sets->nals[i]) == FRAG_NAL_SPS ? 1 : 0;
    }
    return count;
}

/* Sets that the record has already change nothing. A new SPS with all that belongs to it replaces
 * the record; PPS alone are added to it. */
static int adopt_sets(struct ing_video *video, const uint8_t *data, size_t size,
                      unsigned length_bytes, bool *ret_changed) {
    enum kn_codec codec = video->codec;
    struct frag_param_sets all = {0}, found = {0};
    size_t known_sps = 0;
    *ret_changed = false;
    if (video->record != NULL &&
        parse_record(codec, video->record, video->record_bytes, &all) == 0) {
        known_sps = count_sps(codec, &all);
    }
    int added = frag_param_sets_collect(codec, data, size, length_bytes, &all);
    if (added == 0 || added == KN_E_MALFORMED) {
        return 0;
    }
    if (added < 0 || (known_sps > 0 && count_sps(codec, &all) > known_sps)) {
        if (frag_param_sets_collect(codec, data, size, length_bytes, &found) <= 0) {
            return 0;
        }
        return use_sets(video, &found, ret_changed);
    }
    return use_sets(video, &all, ret_changed);
}

/* ---- units of a frame ---- */

/* What its slices say. */
struct slices {
    bool any, irap, intra, resets, disposable;
    bool sets; /* parameter sets stand in it */
};

/* 7.3.3: first_mb_in_slice, slice_type. Of 0 to 9, 2, 4, 7 and 9 are I and SI. */
static bool is_h264_intra(struct frag_nal nal) {
    struct kn_bits bits;
    kn_bits_init(&bits, nal.data, nal.size);
    kn_bits_skip(&bits, 8);
    (void)kn_bits_read_ue(&bits);
    uint32_t type = kn_bits_read_ue(&bits);
    return kn_bits_status(&bits) == 0 && (type % 5 == 2 || type % 5 == 4);
}

/* Sub-layer non-reference pictures (even types below 16) of the highest sub-layer. */
static bool is_h265_disposable(const struct ing_video *video, struct frag_nal nal) {
    unsigned type = (unsigned)nal.data[0] >> 1, layer = nal.data[1] & 7u;
    unsigned layers = video->described ? video->params.max_sub_layers : 1;
    return type < 16 && type % 2 == 0 && layer >= layers;
}

static void look_at_slice(const struct ing_video *video, struct frag_nal nal, bool irap,
                          struct slices *slices) {
    bool h264 = video->codec == KN_CODEC_H264;
    bool disposable = h264 ? (nal.data[0] & 0x60) == 0 : is_h265_disposable(video, nal);
    slices->disposable = (!slices->any || slices->disposable) && disposable;
    slices->intra = (!slices->any || slices->intra) && h264 && is_h264_intra(nal);
    slices->any = true;
    slices->irap |= irap;
    /* A CRA picture, 21, goes on counting unless it is the first one. */
    slices->resets |= irap && (h264 || nal.data[0] >> 1 != 21);
}

static void look_at_unit(const struct ing_video *video, struct frag_nal nal,
                         struct slices *slices) {
    enum frag_nal_kind kind = frag_nal_kind(video->codec, nal);
    switch (kind) {
    case FRAG_NAL_VPS:
    case FRAG_NAL_SPS:
    case FRAG_NAL_PPS:
        slices->sets = true;
        break;
    case FRAG_NAL_KEY:
    case FRAG_NAL_SLICE:
        look_at_slice(video, nal, kind == FRAG_NAL_KEY, slices);
        break;
    case FRAG_NAL_SEI:
    case FRAG_NAL_DELIMITER:
    case FRAG_NAL_OTHER:
        break;
    }
}

/* In either framing; 0 length bytes: Annex-B. */
static bool next_unit(struct kn_reader *reader, unsigned length_bytes, struct frag_nal *ret_nal) {
    return length_bytes == 0 ? frag_nal_next_annexb(reader, ret_nal)
                             : frag_nal_next_prefixed(reader, length_bytes, ret_nal) > 0;
}

static size_t look_at_units(const struct ing_video *video, const uint8_t *data, size_t size,
                            unsigned length_bytes, struct slices *slices) {
    struct kn_reader reader;
    struct frag_nal nal;
    size_t bytes = 0;
    kn_reader_init(&reader, data, size);
    while (next_unit(&reader, length_bytes, &nal)) {
        bytes += LENGTH_BYTES + nal.size;
        look_at_unit(video, nal, slices);
    }
    return bytes;
}

int ing_video_look(struct ing_video *video, const uint8_t *data, size_t size, bool flagged,
                   struct ing_video_frame *ret_frame) {
    struct ing_video_frame frame = {0};
    struct slices slices = {0};
    /* No units at all fill no bytes: an empty frame has nothing to put right. */
    bool prefixed = frag_nal_is_prefixed(data, size, video->length_bytes);
    frame.annexb = !prefixed && frag_nal_starts_annexb(data, size);
    if (!prefixed && !frame.annexb) {
        *ret_frame = (struct ing_video_frame){.malformed = true, .key = flagged};
        return 0;
    }
    unsigned length_bytes = frame.annexb ? 0 : video->length_bytes;
    size_t bytes = look_at_units(video, data, size, length_bytes, &slices);
    frame.new_bytes = length_bytes == LENGTH_BYTES ? 0 : bytes;
    frame.key = slices.irap || (flagged && slices.intra);
    frame.resets_order = slices.resets;
    frame.disposable = slices.any && slices.disposable && !frame.key;
    if (slices.sets) {
        int rc = adopt_sets(video, data, size, length_bytes, &frame.changed);
        if (rc != 0) {
            return rc;
        }
    }
    *ret_frame = frame;
    return 0;
}

void ing_video_write(const struct ing_video *video, const struct ing_video_frame *frame,
                     const uint8_t *data, size_t size, uint8_t *room) {
    struct kn_reader reader;
    struct kn_writer writer;
    struct frag_nal nal;
    kn_reader_init(&reader, data, size);
    kn_writer_init(&writer, room, frame->new_bytes);
    while (next_unit(&reader, frame->annexb ? 0 : video->length_bytes, &nal)) {
        kn_write_be32(&writer, (uint32_t)nal.size);
        kn_write_bytes(&writer, nal.data, nal.size);
    }
    int rc = kn_writer_status(&writer);
    KN_ASSERT(rc == 0 && writer.size == frame->new_bytes); /* the same walk counted them */
}
