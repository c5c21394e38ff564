/* Trailers: what commits the cluster before them. */
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/store/reel_inner.h"

/* What a KINORA_AROUND has beside its bytes. */
#define PIECE_HEAD_BYTES 31u

static const char fragment_name[] = "KINORA_FRAGMENT";
static const char around_name[] = "KINORA_AROUND";

static uint32_t element_bytes(size_t around_bytes) {
    size_t pieces = (around_bytes + FRAG_REEL_PIECE_BYTES - 1) / FRAG_REEL_PIECE_BYTES;
    return (uint32_t)(FRAG_REEL_TRAILER_LEAST + around_bytes + pieces * PIECE_HEAD_BYTES);
}

/* Known or not, in so many bytes: could this cluster have come so? */
static bool received_can_be(const struct frag_reel_row *row) {
    uint64_t body = row->cluster_bytes - FRAG_REEL_CLUSTER_HEAD_BYTES;
    if (row->received_width > 8 || row->received_unknown > 1) {
        return false;
    }
    if (row->received_width == 0 || row->received_unknown == 1) {
        return row->received_width != 0 || row->received_unknown == 0;
    }
    /* All ones is 'unknown'. */
    return body <= (UINT64_C(1) << (7 * row->received_width)) - 2;
}

static void pack_trailer(uint8_t room[static FRAG_REEL_TRAILER_BYTES],
                         const struct frag_reel_row *row,
                         const uint8_t reel_id[static FRAG_ID_BYTES]) {
    struct kn_writer writer;
    kn_writer_init(&writer, room, FRAG_REEL_TRAILER_BYTES);
    kn_write_be16(&writer, FRAG_REEL_VERSION);
    kn_write_be16(&writer, row->flags);
    kn_write_bytes(&writer, reel_id, FRAG_ID_BYTES);
    kn_write_be64(&writer, row->cluster_at + row->cluster_bytes);
    kn_write_be64(&writer, row->cluster_bytes);
    kn_write_be32(&writer, row->cluster_crc32c);
    kn_write_be64(&writer, row->number.sequence);
    kn_write_be64(&writer, row->number.server_ms);
    kn_write_be64(&writer, row->ordinal);
    kn_write_be64(&writer, row->discontinuities);
    kn_write_be64(&writer, (uint64_t)row->producer.ns);
    kn_write_be64(&writer, (uint64_t)row->server.ns);
    kn_write_be64(&writer, (uint64_t)row->duration_ns);
    kn_write_be32(&writer, row->frames);
    kn_write_u8(&writer, row->received_unknown);
    kn_write_u8(&writer, row->received_width);
    kn_write_be16(&writer, 0);
    kn_write_be32(&writer, row->before_bytes);
    kn_write_be32(&writer, row->after_bytes);
    kn_write_be32(&writer, row->trailer_bytes);
    kn_write_be32(&writer, 0);
    kn_write_be32(&writer, kn_crc32c(0, writer.data, writer.size));
    KN_ASSERT(kn_writer_status(&writer) == 0 && writer.size == FRAG_REEL_TRAILER_BYTES);
}

void frag_reel_write_trailer(struct kn_writer *writer, struct frag_reel_row *row,
                             const uint8_t reel_id[static FRAG_ID_BYTES], const uint8_t *before,
                             const uint8_t *after) {
    uint8_t packed[FRAG_REEL_TRAILER_BYTES];
    KN_ASSERT(before != NULL || row->before_bytes == 0);
    KN_ASSERT(after != NULL || row->after_bytes == 0);
    if (row->before_bytes > FRAG_REEL_AROUND_MAX ||
        row->after_bytes > FRAG_REEL_AROUND_MAX - row->before_bytes) {
        frag_reel_fail(writer, KN_E_LIMIT);
        return;
    }
    if (!frag_reel_row_can_be(row) || !received_can_be(row)) {
        frag_reel_fail(writer, KN_E_MALFORMED);
        return;
    }
    size_t around = (size_t)row->before_bytes + row->after_bytes;
    size_t from = writer->size;
    row->trailer_bytes = element_bytes(around);
    pack_trailer(packed, row, reel_id);
    const struct frag_reel_value values[] = {
        {.name = fragment_name, .slices = {packed}, .sizes = {sizeof(packed)}},
        {.name = around_name,
         .slices = {before, after},
         .sizes = {row->before_bytes, row->after_bytes}},
    };
    frag_reel_write_tags(writer, values, around > 0 ? 2 : 1);
    KN_ASSERT(kn_writer_status(writer) != 0 || writer->size - from == row->trailer_bytes);
}

/* All but what only the place decides: version, checksums, possible values. */
static bool unpack_trailer(struct kn_reader *reader, uint8_t ret_reel_id[static FRAG_ID_BYTES],
                           uint64_t *ret_at, struct frag_reel_row *ret_row) {
    struct frag_reel_row row = {0};
    uint16_t version = kn_read_be16(reader);
    row.flags = kn_read_be16(reader);
    const uint8_t *reel_id = kn_read_bytes(reader, FRAG_ID_BYTES);
    uint64_t at = kn_read_be64(reader);
    row.cluster_bytes = kn_read_be64(reader);
    row.cluster_crc32c = kn_read_be32(reader);
    row.number.sequence = kn_read_be64(reader);
    row.number.server_ms = kn_read_be64(reader);
    row.ordinal = kn_read_be64(reader);
    row.discontinuities = kn_read_be64(reader);
    row.producer.ns = (int64_t)kn_read_be64(reader);
    row.server.ns = (int64_t)kn_read_be64(reader);
    row.duration_ns = (int64_t)kn_read_be64(reader);
    row.frames = kn_read_be32(reader);
    row.received_unknown = kn_read_u8(reader);
    row.received_width = kn_read_u8(reader);
    uint32_t zeros = kn_read_be16(reader);
    row.before_bytes = kn_read_be32(reader);
    row.after_bytes = kn_read_be32(reader);
    row.trailer_bytes = kn_read_be32(reader);
    zeros |= kn_read_be32(reader);
    uint32_t checked = kn_crc32c(0, reader->data, reader->at);
    uint32_t crc = kn_read_be32(reader);
    if (kn_reader_status(reader) != 0 || kn_reader_left(reader) != 0 || crc != checked ||
        version != FRAG_REEL_VERSION || zeros != 0 || row.cluster_bytes > at) {
        return false;
    }
    row.cluster_at = at - row.cluster_bytes;
    if (!frag_reel_row_can_be(&row) || !received_can_be(&row)) {
        return false;
    }
    memcpy(ret_reel_id, reel_id, FRAG_ID_BYTES);
    *ret_at = at;
    *ret_row = row;
    return true;
}

int frag_reel_read_trailer(const uint8_t *data, size_t size, uint64_t offset,
                           const struct frag_reel_identity *identity,
                           struct frag_reel_row *ret_row) {
    struct kn_reader simple;
    struct kn_reader value;
    struct frag_reel_row row;
    uint8_t reel_id[FRAG_ID_BYTES];
    uint64_t at = 0;
    size_t bytes = 0;
    int rc = frag_reel_open_tags(data, size, FRAG_REEL_TRAILER_MOST, &simple, &bytes);
    if (rc != 0) {
        return rc;
    }
    if (frag_reel_next_value(&simple, fragment_name, false, &value) != 0 ||
        !unpack_trailer(&value, reel_id, &at, &row) || at != offset || row.trailer_bytes != bytes ||
        memcmp(reel_id, identity->reel_id, FRAG_ID_BYTES) != 0 ||
        frag_reel_join_pieces(&simple, around_name, NULL) !=
            (int64_t)row.before_bytes + row.after_bytes) {
        return KN_E_MALFORMED;
    }
    row.number.low = identity->number_low;
    *ret_row = row;
    return 0;
}

int frag_reel_read_around(const uint8_t *data, size_t size, const struct frag_reel_row *row,
                          struct kn_writer *around) {
    struct kn_reader simple;
    struct kn_reader value;
    size_t bytes = 0;
    int rc = frag_reel_open_tags(data, size, FRAG_REEL_TRAILER_MOST, &simple, &bytes);
    if (rc != 0) {
        return rc;
    }
    if (frag_reel_next_value(&simple, fragment_name, false, &value) != 0) {
        return KN_E_MALFORMED;
    }
    struct kn_reader again = simple;
    if (frag_reel_join_pieces(&simple, around_name, NULL) !=
        (int64_t)row->before_bytes + row->after_bytes) {
        return KN_E_MALFORMED;
    }
    (void)frag_reel_join_pieces(&again, around_name, around); /* good, as just seen */
    return kn_writer_status(around);
}
