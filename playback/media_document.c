/* Documents as GetMedia has them: pure, bytes out of values. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "playback/media_inner.h"

#define DOCUMENT_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define CLUSTER_HEAD_BYTES 12u
/* From here on a copy costs more than a reference. */
#define SHARED_FROM_BYTES 4096u

/* ---- pieces ---- */

void play_pieces_clear(struct play_pieces *pieces) {
    while (pieces->first < pieces->count) {
        kn_buffer_unref(pieces->items[pieces->first++]);
    }
    pieces->first = pieces->count = 0;
}

void play_pieces_add(struct play_pieces *pieces, struct kn_buffer *buffer) {
    if (pieces->first == pieces->count) {
        pieces->first = pieces->count = 0;
    }
    KN_ASSERT(pieces->count < PLAY_PIECES_MAX);
    pieces->items[pieces->count++] = buffer;
}

int play_pieces_add_text(struct play_pieces *pieces, struct kn_writer *text) {
    struct kn_buffer *buffer = NULL;
    size_t size = 0;
    int rc = kn_writer_status(text);
    if (rc < 0 || text->size == 0) {
        return rc;
    }
    uint8_t *data = kn_writer_take(text, &size);
    rc = kn_buffer_wrap(NULL, data, size, free, data, &buffer);
    if (rc < 0) {
        free(data);
        return rc;
    }
    play_pieces_add(pieces, buffer);
    return 0;
}

/* ---- headers ---- */

/* The bytes of an element's size field at `at`, or 0: there is none. */
static size_t read_size(const uint8_t *data, size_t size, size_t at, uint64_t *ret_value) {
    size_t width = 1;
    if (at >= size || data[at] == 0) {
        return 0;
    }
    while ((data[at] & 0x80u >> (width - 1)) == 0) {
        width++;
    }
    if (width > size - at) {
        return 0;
    }
    uint64_t value = data[at] & (0x7Fu >> (width - 1));
    for (size_t i = 1; i < width; i++) {
        value = value << 8 | data[at + i];
    }
    *ret_value = value;
    return width;
}

/* Where the Segment's size field stands, and its bytes; false: this is no header of Matroska. */
static bool find_segment(const uint8_t *header, size_t size, size_t *ret_at, size_t *ret_width) {
    static const uint8_t ebml[4] = {0x1A, 0x45, 0xDF, 0xA3};
    static const uint8_t segment[4] = {0x18, 0x53, 0x80, 0x67};
    uint64_t value = 0;
    if (size < 4 || memcmp(header, ebml, 4) != 0) {
        return false;
    }
    size_t width = read_size(header, size, 4, &value);
    if (width == 0 || value > size - 4 - width || size - 4 - width - value < 4 ||
        memcmp(header + 4 + width + value, segment, 4) != 0) {
        return false;
    }
    size_t at = 4 + width + (size_t)value + 4;
    *ret_at = at;
    *ret_width = read_size(header, size, at, &value);
    return *ret_width > 0;
}

static void made_header(struct kn_writer *text, struct kn_tracks *tracks, uint64_t scale_ns) {
    struct frag_mkv_layout layout;
    const struct frag_mkv_header header = {
        .tracks = tracks, .timecode_scale_ns = scale_ns, .duration_ns = -1};
    frag_mkv_write_header(text, &header, &layout);
}

void play_document_header(struct kn_writer *text, const uint8_t *header, size_t header_bytes,
                          struct kn_tracks *tracks, uint64_t timecode_scale_ns) {
    size_t at = 0;
    size_t width = 0;
    if (header == NULL) {
        made_header(text, tracks, timecode_scale_ns);
    } else if (!find_segment(header, header_bytes, &at, &width)) {
        kn_write_bytes(text, header, header_bytes);
    } else {
        kn_write_bytes(text, header, at);
        kn_write_be64(text, UINT64_C(0x01FFFFFFFFFFFFFF));
        kn_write_bytes(text, header + at + width, header_bytes - at - width);
    }
}

/* ---- tags ---- */

static struct frag_mkv_tag tag_of(const char *name, const char *value) {
    return (struct frag_mkv_tag){.name = name,
                                 .value = (const uint8_t *)value,
                                 .value_bytes = strlen(value),
                                 .has_value = true};
}

#define SECONDS_BYTES 32u
static const char *seconds(struct kn_wall time, char text[static SECONDS_BYTES]) {
    int64_t ms = time.ns > 0 ? time.ns / KN_NS_PER_MS : 0;
    (void)snprintf(text, SECONDS_BYTES, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
    return text;
}

void play_document_begin(struct kn_writer *text, const struct play_document_about *about) {
    char number[FRAG_NUMBER_TEXT_BYTES], server[SECONDS_BYTES], producer[SECONDS_BYTES];
    const struct frag_mkv_tag tags[] = {
        tag_of("AWS_KINESISVIDEO_FRAGMENT_NUMBER", frag_number_format(about->number, number)),
        tag_of("AWS_KINESISVIDEO_SERVER_TIMESTAMP", seconds(about->server, server)),
        tag_of("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", seconds(about->producer, producer)),
    };
    frag_mkv_write_tags(text, tags, KN_COUNT(tags), (struct frag_mkv_tags_form){0});
}

void play_document_end(struct kn_writer *text, struct frag_number number, int64_t behind_ns) {
    char token[FRAG_NUMBER_TEXT_BYTES], behind[SECONDS_BYTES];
    (void)snprintf(behind, sizeof(behind), "%" PRId64, behind_ns / KN_NS_PER_MS);
    const struct frag_mkv_tag tags[] = {
        tag_of("AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", behind),
        tag_of("AWS_KINESISVIDEO_CONTINUATION_TOKEN", frag_number_format(number, token)),
    };
    frag_mkv_write_tags(text, tags, KN_COUNT(tags), (struct frag_mkv_tags_form){0});
}

void play_document_error(struct kn_writer *text, const struct frag_number *number, int id,
                         const char *message, bool of_list) {
    static const char *const names[2][2] = {
        {"AWS_KINESISVIDEO_ERROR_ID", "AWS_KINESISVIDEO_ERROR_CODE"},
        {"AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE", "AWS_KINESISVIDEO_EXCEPTION_MESSAGE"}};
    static const struct kn_tracks none;
    struct frag_mkv_layout layout;
    char number_text[FRAG_NUMBER_TEXT_BYTES], id_text[SECONDS_BYTES];
    struct frag_mkv_tag tags[3];
    size_t count = 0;
    const struct frag_mkv_header header = {.tracks = (struct kn_tracks *)(uintptr_t)&none,
                                           .duration_ns = -1};
    size_t start = text->size;
    frag_mkv_write_header(text, &header, &layout);
    if (kn_writer_status(text) == 0) {
        text->size = start + layout.info_at; /* nothing is known of the tracks */
    }
    if (number != NULL) {
        tags[count++] =
            tag_of("AWS_KINESISVIDEO_FRAGMENT_NUMBER", frag_number_format(*number, number_text));
    }
    (void)snprintf(id_text, sizeof(id_text), "%d", id);
    tags[count++] = tag_of(names[of_list][0], id_text);
    tags[count++] = tag_of(names[of_list][1], message);
    frag_mkv_write_tags(text, tags, count, (struct frag_mkv_tags_form){0});
}

/* ---- clusters ---- */

void play_document_cluster(struct kn_writer *text, unsigned width, bool unknown,
                           uint64_t body_bytes) {
    uint64_t marker = UINT64_C(1) << 7 * width;
    kn_write_be32(text, FRAG_MKV_CLUSTER);
    kn_write_be(text, marker | (unknown ? marker - 1 : body_bytes), width);
}

static void release(void *user) {
    kn_buffer_unref(user);
}

static int share(struct play_pieces *pieces, const struct kn_sample *sample) {
    struct kn_buffer *buffer = NULL;
    int rc = kn_buffer_wrap(NULL, sample->data, sample->size, release, sample->buffer, &buffer);
    if (rc == 0) {
        (void)kn_buffer_ref(sample->buffer);
        play_pieces_add(pieces, buffer);
    }
    return rc;
}

static uint64_t timecode_of(const struct play_blocks *blocks) {
    uint64_t ns = blocks->producer.ns > 0 ? (uint64_t)blocks->producer.ns : 0;
    return ns / blocks->timecode_scale_ns;
}

/* The head of the packed cluster becomes what is wanted of it. */
static void write_head(struct kn_writer *text, const uint8_t *head, size_t size, bool begins,
                       bool open) {
    size_t time_bytes = 2u + (head[CLUSTER_HEAD_BYTES + 1] & 0x7Fu);
    if (!begins) {
        kn_write_bytes(text, head + CLUSTER_HEAD_BYTES + time_bytes,
                       size - CLUSTER_HEAD_BYTES - time_bytes);
    } else if (open) {
        kn_write_bytes(text, head, 4);
        kn_write_be64(text, UINT64_C(0x01FFFFFFFFFFFFFF));
        kn_write_bytes(text, head + CLUSTER_HEAD_BYTES, size - CLUSTER_HEAD_BYTES);
    } else {
        kn_write_bytes(text, head, size);
    }
}

static void write_slices(struct kn_writer *text, const struct frag_mkv_cluster *cluster,
                         size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        kn_write_bytes(text, cluster->iov[i].iov_base, cluster->iov[i].iov_len);
    }
}

int play_document_blocks(struct play_pieces *pieces, struct frag_mkv_packer *packer,
                         const struct play_blocks *blocks, bool open) {
    struct frag_mkv_cluster cluster;
    struct kn_writer text;
    const struct kn_sample *samples = blocks->samples + blocks->from;
    size_t count = blocks->count - blocks->from;
    int rc = frag_mkv_pack_cluster(packer, blocks->tracks, blocks->timecode_scale_ns,
                                   timecode_of(blocks), samples, count, &cluster);
    if (rc != 0) {
        return rc;
    }
    kn_writer_init_growing(&text, DOCUMENT_MAX_BYTES);
    write_head(&text, cluster.iov[0].iov_base, cluster.iov[0].iov_len, blocks->from == 0, open);
    /* One large sample: its block's head, itself by reference, what is behind it. */
    if (count == 1 && samples->size >= SHARED_FROM_BYTES && cluster.iov_count >= 2) {
        rc = play_pieces_add_text(pieces, &text);
        rc = rc == 0 ? share(pieces, samples) : rc;
        write_slices(&text, &cluster, 2, cluster.iov_count);
    } else {
        write_slices(&text, &cluster, 1, cluster.iov_count);
    }
    rc = rc == 0 ? play_pieces_add_text(pieces, &text) : rc;
    kn_writer_finish(&text);
    return rc;
}
