/* The writer: header, cues, tags into a kn_writer; clusters as a list of slices. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/matroska/elements.h"
#include "fragments/matroska/ids.h"

#define MKV_EPOCH_NS (INT64_C(978307200) * 1000000000)
#define DURATION_ELEMENT_BYTES 11
/* id 4, size 8, Timestamp 10 */
#define CLUSTER_HEAD_MAX 22
/* BlockGroup and Block headers 18, track 8, time and flags 3, duration and reference 20, discard 11
 */
#define BLOCK_HEAD_MAX 60
/* Blocks name their track in at most 8 bytes. */
#define TRACK_NUMBER_MAX ((UINT64_C(1) << 56) - 1)

/* ---- header ---- */

static void write_ebml(struct kn_writer *writer) {
    struct master ebml = open_master(writer, FRAG_MKV_EBML, 1, false);
    put_uint(writer, ID_EBML_VERSION, 1);
    put_uint(writer, ID_EBML_READ_VERSION, 1);
    put_uint(writer, ID_EBML_MAX_ID_LENGTH, 4);
    put_uint(writer, ID_EBML_MAX_SIZE_LENGTH, 8);
    put_text(writer, ID_DOC_TYPE, "matroska");
    put_uint(writer, ID_DOC_TYPE_VERSION, 4);
    put_uint(writer, ID_DOC_TYPE_READ_VERSION, 2);
    close_master(writer, ebml);
}

void frag_mkv_write_info(struct kn_writer *writer, const struct frag_mkv_header *header) {
    uint64_t scale_ns =
        header->timecode_scale_ns == 0 ? FRAG_MKV_DEFAULT_SCALE_NS : header->timecode_scale_ns;
    struct master info = open_master(writer, FRAG_MKV_INFO, 8, true);
    put_uint(writer, ID_TIMECODE_SCALE, scale_ns);
    if (header->segment_uid != NULL) {
        put_bytes(writer, ID_SEGMENT_UID, header->segment_uid, 16);
    }
    if (header->duration_ns > 0) {
        put_float(writer, ID_DURATION, (double)header->duration_ns / (double)scale_ns);
    } else if (header->duration_ns == 0) {
        put_void(writer, DURATION_ELEMENT_BYTES);
    }
    if (header->has_date) {
        put_id(writer, ID_DATE_UTC);
        put_size(writer, 8);
        kn_write_be64(writer, (uint64_t)(header->date_ns - MKV_EPOCH_NS));
    }
    put_text(writer, ID_TITLE, header->title);
    put_text(writer, ID_MUXING_APP, "Kinora");
    put_text(writer, ID_WRITING_APP, header->writing_app == NULL ? "Kinora" : header->writing_app);
    close_master(writer, info);
}

static void write_video(struct kn_writer *writer, const struct kn_track *track) {
    struct master video = open_master(writer, ID_VIDEO, 8, false);
    put_uint(writer, ID_PIXEL_WIDTH, track->width);
    put_uint(writer, ID_PIXEL_HEIGHT, track->height);
    if (track->display_width != 0 && track->display_height != 0) {
        put_uint(writer, ID_DISPLAY_WIDTH, track->display_width);
        put_uint(writer, ID_DISPLAY_HEIGHT, track->display_height);
    }
    close_master(writer, video);
}

static void write_audio(struct kn_writer *writer, const struct kn_track *track) {
    struct master audio = open_master(writer, ID_AUDIO, 8, false);
    put_float(writer, ID_SAMPLING_FREQUENCY, (double)track->sample_rate_hz);
    put_uint(writer, ID_CHANNELS, track->channels == 0 ? 1 : track->channels);
    if (track->bits_per_sample != 0) {
        put_uint(writer, ID_BIT_DEPTH, track->bits_per_sample);
    }
    close_master(writer, audio);
}

static uint64_t media_type(enum kn_media media) {
    switch (media) {
    case KN_MEDIA_VIDEO:
        return 1;
    case KN_MEDIA_AUDIO:
        return 2;
    case KN_MEDIA_TEXT:
        return 17;
    case KN_MEDIA_OTHER:
        break;
    }
    return 33; /* metadata */
}

static void write_track(struct kn_writer *writer, const struct kn_track *track) {
    struct master entry = open_master(writer, ID_TRACK_ENTRY, 8, false);
    put_uint(writer, ID_TRACK_NUMBER, track->number);
    put_uint(writer, ID_TRACK_UID, track->uid == 0 ? track->number : track->uid);
    put_uint(writer, ID_TRACK_TYPE, media_type(track->media));
    put_uint(writer, ID_FLAG_LACING, 0);
    put_text(writer, ID_TRACK_NAME, track->name);
    put_text(writer, ID_LANGUAGE, track->language);
    put_text(writer, ID_CODEC_ID, track->codec_id);
    if (track->codec_private_bytes > 0) {
        put_bytes(writer, ID_CODEC_PRIVATE, track->codec_private, track->codec_private_bytes);
    }
    if (track->codec_delay_ns > 0) {
        put_uint(writer, ID_CODEC_DELAY, (uint64_t)track->codec_delay_ns);
    }
    if (track->seek_preroll_ns > 0) {
        put_uint(writer, ID_SEEK_PREROLL, (uint64_t)track->seek_preroll_ns);
    }
    if (track->default_duration_ns > 0) {
        put_uint(writer, ID_DEFAULT_DURATION, (uint64_t)track->default_duration_ns);
    }
    if (track->media == KN_MEDIA_VIDEO) {
        write_video(writer, track);
    } else if (track->media == KN_MEDIA_AUDIO) {
        write_audio(writer, track);
    }
    close_master(writer, entry);
}

void frag_mkv_write_tracks(struct kn_writer *writer, const struct kn_tracks *tracks) {
    struct master all = open_master(writer, FRAG_MKV_TRACKS, 8, true);
    for (size_t i = 0; i < tracks->count; i++) {
        write_track(writer, &tracks->items[i]);
    }
    close_master(writer, all);
}

void frag_mkv_write_header(struct kn_writer *writer, const struct frag_mkv_header *header,
                           struct frag_mkv_layout *ret_layout) {
    size_t start = writer->size;
    struct frag_mkv_layout layout = {0};
    write_ebml(writer);
    put_id(writer, FRAG_MKV_SEGMENT);
    if (header->segment_bytes == 0) {
        kn_write_be64(writer, UINT64_C(0x01FFFFFFFFFFFFFF));
    } else {
        put_size_in(writer, header->segment_bytes, 8);
    }
    layout.segment_data_at = writer->size - start;
    layout.seek_head_at = writer->size - start;
    if (header->seek_head_room > 1) {
        put_void(writer, header->seek_head_room);
    }
    layout.info_at = writer->size - start;
    frag_mkv_write_info(writer, header);
    layout.tracks_at = writer->size - start;
    frag_mkv_write_tracks(writer, header->tracks);
    layout.end = writer->size - start;
    *ret_layout = layout;
}

/* ---- seek head, cues, tags ---- */

int frag_mkv_write_seek_head(struct kn_writer *writer, const struct frag_mkv_seek *seeks,
                             size_t count, size_t room) {
    size_t needed = 4 + 8 + CRC_ELEMENT_BYTES;
    for (size_t i = 0; i < count; i++) {
        /* Seek 3, SeekID 3 + 4, SeekPosition 3 + its bytes */
        needed += 13 + uint_bytes(seeks[i].position);
    }
    if (needed > room || room - needed == 1) {
        return KN_E_LIMIT; /* one byte cannot be filled: a Void has two */
    }
    struct master head = open_master(writer, FRAG_MKV_SEEK_HEAD, 8, true);
    for (size_t i = 0; i < count; i++) {
        struct master seek = open_master(writer, ID_SEEK, 1, false);
        put_id(writer, ID_SEEK_ID);
        put_size(writer, 4);
        kn_write_be32(writer, seeks[i].id);
        put_uint(writer, ID_SEEK_POSITION, seeks[i].position);
        close_master(writer, seek);
    }
    close_master(writer, head);
    if (room > needed) {
        put_void(writer, room - needed);
    }
    return kn_writer_status(writer);
}

void frag_mkv_write_cues(struct kn_writer *writer, const struct frag_mkv_cue *cues, size_t count) {
    struct master all = open_master(writer, FRAG_MKV_CUES, 8, true);
    for (size_t i = 0; i < count; i++) {
        struct master point = open_master(writer, ID_CUE_POINT, 1, false);
        put_uint(writer, ID_CUE_TIME, cues[i].timecode);
        struct master place = open_master(writer, ID_CUE_TRACK_POSITIONS, 1, false);
        put_uint(writer, ID_CUE_TRACK, cues[i].track);
        put_uint(writer, ID_CUE_CLUSTER_POSITION, cues[i].cluster_position);
        put_uint(writer, ID_CUE_RELATIVE_POSITION, cues[i].relative_position);
        close_master(writer, place);
        close_master(writer, point);
    }
    close_master(writer, all);
}

static void put_sized_4(struct kn_writer *writer, uint32_t id, const void *data, size_t size) {
    put_id(writer, id);
    put_size_in(writer, size, 4);
    kn_write_bytes(writer, data, size);
}

static struct master open_tag(struct kn_writer *writer, uint64_t track_uid, bool targets) {
    struct master tag = open_master(writer, ID_TAG, 4, false);
    if (targets) {
        struct master target = open_master(writer, ID_TARGETS, 4, false);
        if (track_uid != 0) {
            put_uint(writer, ID_TAG_TRACK_UID, track_uid);
        }
        close_master(writer, target);
    }
    return tag;
}

void frag_mkv_write_tags(struct kn_writer *writer, const struct frag_mkv_tag *tags, size_t count,
                         struct frag_mkv_tags_form form) {
    struct master all = open_master(writer, FRAG_MKV_TAGS, 4, form.crc);
    struct master tag = {0};
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || tags[i].group != tags[i - 1].group) {
            tag = open_tag(writer, tags[i].track_uid, form.targets);
        }
        struct master simple = open_master(writer, ID_SIMPLE_TAG, 4, false);
        put_sized_4(writer, ID_TAG_NAME, tags[i].name, strlen(tags[i].name));
        if (tags[i].has_value) {
            put_sized_4(writer, tags[i].binary ? ID_TAG_BINARY : ID_TAG_STRING, tags[i].value,
                        tags[i].value_bytes);
        }
        close_master(writer, simple);
        if (i + 1 == count || tags[i + 1].group != tags[i].group) {
            close_master(writer, tag);
        }
    }
    close_master(writer, all);
}

/* ---- clusters ---- */

struct frag_mkv_packer {
    struct kn_writer heads; /* fixed room, made large enough before a cluster begins */
    uint8_t *room;
    size_t room_bytes;
    struct iovec *iov;
    size_t iov_room, iov_count;
    size_t run_from; /* heads from here on are not in iov yet */
    size_t bytes;
};

int frag_mkv_packer_create(struct frag_mkv_packer **ret_packer) {
    struct frag_mkv_packer *packer = calloc(1, sizeof(*packer));
    if (packer == NULL) {
        return -ENOMEM;
    }
    *ret_packer = packer;
    return 0;
}

void frag_mkv_packer_destroy(struct frag_mkv_packer *packer) {
    if (packer != NULL) {
        free(packer->room);
        free(packer->iov);
        free(packer);
    }
}

/* Room for all heads of a cluster of `count` samples, so that nothing moves while it is packed. */
static int make_room(struct frag_mkv_packer *packer, size_t count) {
    size_t room = 0;
    size_t slices = 0;
    size_t iov_bytes = 0;
    if (!kn_size_mul(count, BLOCK_HEAD_MAX, &room) || !kn_size_add(room, CLUSTER_HEAD_MAX, &room) ||
        !kn_size_mul(count, 2, &slices) || !kn_size_add(slices, 1, &slices) ||
        !kn_size_mul(slices, sizeof(*packer->iov), &iov_bytes)) {
        return -ENOMEM;
    }
    if (room > packer->room_bytes) {
        uint8_t *larger = realloc(packer->room, room);
        if (larger == NULL) {
            return -ENOMEM;
        }
        packer->room = larger;
        packer->room_bytes = room;
    }
    if (slices > packer->iov_room) {
        struct iovec *larger = realloc(packer->iov, iov_bytes);
        if (larger == NULL) {
            return -ENOMEM;
        }
        packer->iov = larger;
        packer->iov_room = slices;
    }
    kn_writer_init(&packer->heads, packer->room, packer->room_bytes);
    packer->iov_count = 0;
    packer->run_from = 0;
    packer->bytes = 0;
    return 0;
}

static void add_slice(struct frag_mkv_packer *packer, const uint8_t *data, size_t size) {
    if (size > 0) {
        packer->iov[packer->iov_count++] =
            (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = size};
        packer->bytes += size;
    }
}

static void flush_heads(struct frag_mkv_packer *packer) {
    add_slice(packer, packer->room + packer->run_from, packer->heads.size - packer->run_from);
    packer->run_from = packer->heads.size;
}

static int64_t to_ticks(int64_t ns, int64_t scale_ns) {
    int64_t ticks = ns / scale_ns;
    int64_t rest = ns % scale_ns;
    int64_t up_from = scale_ns - scale_ns / 2; /* halves go away from 0 */
    return rest >= up_from ? ticks + 1 : -rest >= up_from ? ticks - 1 : ticks;
}

struct packed_block {
    const struct kn_track *track;
    const struct kn_sample *sample;
    int16_t relative;
    uint64_t duration; /* in ticks; 0: not written */
    int64_t reference; /* of a frame that is no key: where the one before it is */
};

static void put_block_body(struct frag_mkv_packer *packer, const struct packed_block *block,
                           unsigned flags) {
    put_size(&packer->heads, block->track->number);
    kn_write_be16(&packer->heads, (uint16_t)block->relative);
    kn_write_u8(&packer->heads, (uint8_t)flags);
    flush_heads(packer);
    add_slice(packer, block->sample->data, block->sample->size);
}

static void put_simple_block(struct frag_mkv_packer *packer, const struct packed_block *block) {
    unsigned sample_flags = block->sample->flags;
    unsigned flags = (sample_flags & KN_SAMPLE_KEY ? 0x80u : 0u) |
                     (sample_flags & KN_SAMPLE_INVISIBLE ? 0x08u : 0u) |
                     (sample_flags & KN_SAMPLE_DISPOSABLE ? 0x01u : 0u);
    put_id(&packer->heads, ID_SIMPLE_BLOCK);
    put_size(&packer->heads, size_bytes(block->track->number) + 3 + block->sample->size);
    put_block_body(packer, block, flags);
}

/* The only place for a duration and for sound to discard; a reference is what says 'no key frame'
 * here. */
static void put_block_group(struct frag_mkv_packer *packer, const struct packed_block *block) {
    uint64_t body = size_bytes(block->track->number) + 3 + block->sample->size;
    bool key = (block->sample->flags & KN_SAMPLE_KEY) != 0;
    uint64_t group = 1 + size_bytes(body) + body;
    group += block->duration > 0 ? 2 + uint_bytes(block->duration) : 0;
    group += key ? 0 : 2 + 4;
    group += block->sample->discard_ns != 0 ? 3 + 8 : 0;
    put_id(&packer->heads, ID_BLOCK_GROUP);
    put_size(&packer->heads, group);
    put_id(&packer->heads, ID_BLOCK);
    put_size(&packer->heads, body);
    put_block_body(packer, block, block->sample->flags & KN_SAMPLE_INVISIBLE ? 0x08u : 0u);
    if (block->duration > 0) {
        put_uint(&packer->heads, ID_BLOCK_DURATION, block->duration);
    }
    if (!key) {
        put_id(&packer->heads, ID_REFERENCE_BLOCK);
        put_size(&packer->heads, 4);
        kn_write_be32(&packer->heads, (uint32_t)block->reference);
    }
    if (block->sample->discard_ns != 0) {
        put_id(&packer->heads, ID_DISCARD_PADDING);
        put_size(&packer->heads, 8);
        kn_write_be64(&packer->heads, (uint64_t)block->sample->discard_ns);
    }
}

static int pack_sample(struct frag_mkv_packer *packer, const struct kn_track *track,
                       const struct kn_sample *sample, int64_t scale_ns, int64_t *last) {
    int64_t relative = to_ticks(sample->pts_ns, scale_ns);
    if (relative < INT16_MIN || relative > INT16_MAX) {
        return -ERANGE;
    }
    struct packed_block block = {.track = track, .sample = sample, .relative = (int16_t)relative};
    if (sample->duration_ns > 0 && sample->duration_ns != track->default_duration_ns) {
        block.duration = (uint64_t)to_ticks(sample->duration_ns, scale_ns);
    }
    block.reference = *last == INT64_MAX || *last == relative ? -1 : *last - relative;
    *last = relative;
    if (block.duration > 0 || sample->discard_ns != 0) {
        put_block_group(packer, &block);
    } else {
        put_simple_block(packer, &block);
    }
    return 0;
}

static bool has_video(const struct kn_tracks *tracks) {
    bool video = false;
    for (size_t i = 0; i < tracks->count; i++) {
        video = video || tracks->items[i].media == KN_MEDIA_VIDEO;
    }
    return video;
}

int frag_mkv_pack_cluster(struct frag_mkv_packer *packer, const struct kn_tracks *tracks,
                          uint64_t timecode_scale_ns, uint64_t timecode,
                          const struct kn_sample *samples, size_t count,
                          struct frag_mkv_cluster *ret_cluster) {
    int rc = make_room(packer, count);
    if (rc != 0) {
        return rc;
    }
    put_id(&packer->heads, FRAG_MKV_CLUSTER);
    kn_write_zeros(&packer->heads, 8);
    size_t body_from = packer->heads.size;
    put_uint(&packer->heads, ID_TIMECODE, timecode);
    int64_t last[KN_TRACKS_MAX];
    for (size_t i = 0; i < KN_TRACKS_MAX; i++) {
        last[i] = INT64_MAX;
    }
    int64_t scale_ns =
        timecode_scale_ns == 0 ? (int64_t)FRAG_MKV_DEFAULT_SCALE_NS : (int64_t)timecode_scale_ns;
    size_t first_key = SIZE_MAX;
    size_t first_key_at = SIZE_MAX;
    bool video = has_video(tracks);
    for (size_t i = 0; i < count; i++) {
        const struct kn_sample *sample = &samples[i];
        if (sample->track >= tracks->count) {
            return -EINVAL;
        }
        const struct kn_track *track = &tracks->items[sample->track];
        if (track->number > TRACK_NUMBER_MAX) {
            return -EINVAL;
        }
        if (first_key == SIZE_MAX && (track->media == KN_MEDIA_VIDEO || !video) &&
            (sample->flags & KN_SAMPLE_KEY) != 0) {
            first_key = i;
            /* Heads since the last slice are not in bytes yet. */
            first_key_at = packer->bytes + packer->heads.size - packer->run_from - body_from;
        }
        rc = pack_sample(packer, track, sample, scale_ns, &last[sample->track]);
        if (rc != 0) {
            return rc;
        }
    }
    flush_heads(packer);
    rc = kn_writer_status(&packer->heads);
    if (rc != 0) {
        return rc;
    }
    struct kn_writer field;
    kn_writer_init(&field, packer->room + body_from - 8, 8);
    put_size_in(&field, packer->bytes - body_from, 8);
    *ret_cluster = (struct frag_mkv_cluster){
        .iov = packer->iov,
        .iov_count = packer->iov_count,
        .bytes = packer->bytes,
        .first_key = first_key,
        .first_key_at = first_key_at,
    };
    return 0;
}
