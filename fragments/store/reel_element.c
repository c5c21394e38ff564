/* Tags elements of ours, written and read back: exactly one layout. */
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/matroska/elements.h"
#include "fragments/matroska/ids.h"
#include "fragments/store/reel_inner.h"

#define SIZE_4_MARKER (UINT32_C(1) << 28)
/* The largest number in a 4-byte size; one more is 'unknown'. */
#define SIZE_4_MAX (SIZE_4_MARKER - 2)

void frag_reel_fail(struct kn_writer *writer, int error) {
    if (writer->error == 0) {
        writer->error = error;
    }
}

bool frag_reel_row_can_be(const struct frag_reel_row *row) {
    int64_t end_ns = 0;
    uint64_t end = 0;
    return row->cluster_at >= FRAG_REEL_BODY_AT &&
           row->cluster_bytes >= FRAG_REEL_CLUSTER_HEAD_BYTES &&
           kn_u64_add(row->cluster_at, row->cluster_bytes, &end) &&
           end <= (uint64_t)INT64_MAX - FRAG_REEL_TRAILER_MOST &&
           row->number.sequence <= FRAG_NUMBER_SEQUENCE_MAX &&
           row->number.server_ms <= FRAG_REEL_SERVER_MS_MAX && row->duration_ns >= 0 &&
           kn_i64_add(row->producer.ns, row->duration_ns, &end_ns) &&
           (row->flags & ~(unsigned)(FRAG_DISCONTINUITY | FRAG_NO_KEY_START)) == 0;
}

/* ---- writing ---- */

/* Up to `size` bytes of the value from `at` on, from whichever slices they are in. */
static void put_part(struct kn_writer *writer, const struct frag_reel_value *value, size_t at,
                     size_t size) {
    for (size_t i = 0; i < KN_COUNT(value->slices); i++) {
        size_t left = at < value->sizes[i] ? value->sizes[i] - at : 0;
        size_t part = left < size ? left : size;
        if (part > 0) {
            kn_write_bytes(writer, value->slices[i] + at, part);
        }
        at = left > 0 ? 0 : at - value->sizes[i];
        size -= part;
    }
}

static void put_simple_tag(struct kn_writer *writer, const struct frag_reel_value *value, size_t at,
                           size_t size) {
    size_t name_bytes = strlen(value->name);
    struct master simple = open_master(writer, ID_SIMPLE_TAG, 4, false);
    put_id(writer, ID_TAG_NAME);
    put_size_in(writer, name_bytes, 4);
    kn_write_bytes(writer, value->name, name_bytes);
    put_id(writer, value->text ? ID_TAG_STRING : ID_TAG_BINARY);
    put_size_in(writer, size, 4);
    put_part(writer, value, at, size);
    close_master(writer, simple);
}

static void put_value(struct kn_writer *writer, const struct frag_reel_value *value) {
    size_t left = value->sizes[0] + value->sizes[1];
    size_t at = 0;
    do {
        size_t piece = left < FRAG_REEL_PIECE_BYTES ? left : FRAG_REEL_PIECE_BYTES;
        put_simple_tag(writer, value, at, piece);
        at += piece;
        left -= piece;
    } while (left > 0 && kn_writer_status(writer) == 0);
}

void frag_reel_write_tags(struct kn_writer *writer, const struct frag_reel_value *values,
                          size_t count) {
    size_t start = writer->size;
    size_t all = 0;
    for (size_t i = 0; i < count; i++) {
        if (!kn_size_add(all, values[i].sizes[0], &all) ||
            !kn_size_add(all, values[i].sizes[1], &all) || all > SIZE_4_MAX) {
            frag_reel_fail(writer, KN_E_LIMIT);
            return;
        }
    }
    struct master tags = open_master(writer, FRAG_MKV_TAGS, 4, true);
    struct master tag = open_master(writer, ID_TAG, 4, false);
    close_master(writer, open_master(writer, ID_TARGETS, 4, false));
    for (size_t i = 0; i < count; i++) {
        put_value(writer, &values[i]);
    }
    /* The heads of the pieces count too. */
    if (writer->size - start > SIZE_4_MAX) {
        frag_reel_fail(writer, KN_E_LIMIT);
    }
    close_master(writer, tag);
    close_master(writer, tags);
}

/* ---- reading ---- */

int frag_reel_read_element(const uint8_t *data, size_t size, uint32_t *ret_id,
                           uint64_t *ret_bytes) {
    struct kn_reader reader;
    kn_reader_init(&reader, data, size);
    uint32_t id = kn_read_be32(&reader);
    bool tags = id == FRAG_MKV_TAGS;
    if (kn_reader_status(&reader) == 0 && !tags && id != FRAG_MKV_CLUSTER && id != FRAG_MKV_CUES) {
        return KN_E_MALFORMED;
    }
    unsigned width = tags ? 4 : 8;
    uint64_t field = kn_read_be(&reader, width);
    if (kn_reader_status(&reader) != 0) {
        return KN_E_TRUNCATED;
    }
    uint64_t marker = UINT64_C(1) << (7 * width);
    if (field >> (7 * width) != 1 || field == 2 * marker - 1) {
        return KN_E_MALFORMED;
    }
    *ret_id = id;
    *ret_bytes = 4 + width + (field - marker);
    return 0;
}

/* An element inside a Tag, with its 4-byte size. False where it is another one, or does not fit. */
static bool take_element(struct kn_reader *reader, uint32_t id, struct kn_reader *ret_body) {
    uint32_t found = kn_read_be16(reader);
    uint32_t size = kn_read_be32(reader) ^ SIZE_4_MARKER;
    const uint8_t *body = found == id && size <= SIZE_4_MAX ? kn_read_bytes(reader, size) : NULL;
    if (body == NULL) {
        return false;
    }
    kn_reader_init(ret_body, body, size);
    return true;
}

int frag_reel_open_tags(const uint8_t *data, size_t size, size_t most, struct kn_reader *ret_simple,
                        size_t *ret_bytes) {
    uint32_t id = 0;
    uint64_t bytes = 0;
    int rc = frag_reel_read_element(data, size, &id, &bytes);
    if (rc != 0) {
        return rc;
    }
    if (id != FRAG_MKV_TAGS || bytes > most) {
        return KN_E_MALFORMED;
    }
    if (bytes > size) {
        return KN_E_TRUNCATED;
    }
    struct kn_reader reader;
    struct kn_reader tag;
    struct kn_reader targets;
    kn_reader_init(&reader, data + FRAG_REEL_TAGS_HEAD_BYTES, bytes - FRAG_REEL_TAGS_HEAD_BYTES);
    uint16_t head = kn_read_be16(&reader);
    uint32_t crc = kn_read_le32(&reader);
    if (kn_reader_status(&reader) != 0 || head != (FRAG_MKV_CRC32 << 8 | 0x84) ||
        crc != kn_crc32(0, reader.data + reader.at, kn_reader_left(&reader)) ||
        !take_element(&reader, ID_TAG, &tag) || kn_reader_left(&reader) != 0 ||
        !take_element(&tag, ID_TARGETS, &targets) || kn_reader_left(&targets) != 0) {
        return KN_E_MALFORMED;
    }
    *ret_simple = tag;
    *ret_bytes = bytes;
    return 0;
}

int frag_reel_next_value(struct kn_reader *simple, const char *name, bool text,
                         struct kn_reader *ret_value) {
    struct kn_reader body;
    struct kn_reader found;
    struct kn_reader value;
    if (!take_element(simple, ID_SIMPLE_TAG, &body) || !take_element(&body, ID_TAG_NAME, &found) ||
        found.size != strlen(name) || memcmp(found.data, name, found.size) != 0 ||
        !take_element(&body, text ? ID_TAG_STRING : ID_TAG_BINARY, &value) ||
        kn_reader_left(&body) != 0) {
        return KN_E_MALFORMED;
    }
    *ret_value = value;
    return 0;
}

int64_t frag_reel_join_pieces(struct kn_reader *simple, const char *name,
                              struct kn_writer *joined) {
    int64_t total = 0;
    while (kn_reader_left(simple) > 0) {
        struct kn_reader piece;
        if (frag_reel_next_value(simple, name, false, &piece) != 0 || piece.size == 0 ||
            piece.size > FRAG_REEL_PIECE_BYTES || total % FRAG_REEL_PIECE_BYTES != 0) {
            return KN_E_MALFORMED;
        }
        if (joined != NULL) {
            kn_write_bytes(joined, piece.data, piece.size);
        }
        total += (int64_t)piece.size;
    }
    return total;
}
