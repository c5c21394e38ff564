#include "fragments/store/journal.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc.h"
#include "base/error.h"

static const uint8_t magic[4] = {'K', 'N', 'J', '1'};

#define CHECKSUM_AT (FRAG_JOURNAL_HEADER_BYTES - 4)
#define BODY_AT 16u
#define BODY_LEAST 5u
#define BODY_MOST (FRAG_JOURNAL_RECORD_MAX - BODY_AT)

_Static_assert(FRAG_CATALOG_KEY_MAX + FRAG_CATALOG_VALUE_MAX + BODY_LEAST == BODY_MOST,
               "the longest key and value make the longest body");

void frag_journal_encode_header(const struct frag_journal_header *header,
                                uint8_t room[static FRAG_JOURNAL_HEADER_BYTES]) {
    KN_ASSERT(header->first >= 1 && header->whole >= header->first - 1);
    struct kn_writer writer;
    kn_writer_init(&writer, room, FRAG_JOURNAL_HEADER_BYTES);
    kn_write_bytes(&writer, magic, sizeof(magic));
    kn_write_be32(&writer, FRAG_JOURNAL_VERSION);
    kn_write_bytes(&writer, header->store_id, FRAG_ID_BYTES);
    kn_write_be64(&writer, header->first);
    kn_write_be64(&writer, header->whole);
    kn_write_be32(&writer, kn_crc32c(0, room, CHECKSUM_AT));
    KN_ASSERT(kn_writer_status(&writer) == 0 && writer.size == FRAG_JOURNAL_HEADER_BYTES);
}

int frag_journal_decode_header(const uint8_t *data, size_t size,
                               struct frag_journal_header *ret_header) {
    struct kn_reader reader;
    struct frag_journal_header header;
    if (size < FRAG_JOURNAL_HEADER_BYTES) {
        return KN_E_TRUNCATED;
    }
    kn_reader_init(&reader, data, FRAG_JOURNAL_HEADER_BYTES);
    const uint8_t *start = kn_read_bytes(&reader, sizeof(magic));
    uint32_t version = kn_read_be32(&reader);
    const uint8_t *id = kn_read_bytes(&reader, FRAG_ID_BYTES);
    header.first = kn_read_be64(&reader);
    header.whole = kn_read_be64(&reader);
    /* The checksum first: only then is another version a version and not a wrong bit. */
    if (start == NULL || id == NULL || memcmp(start, magic, sizeof(magic)) != 0 ||
        kn_read_be32(&reader) != kn_crc32c(0, data, CHECKSUM_AT) || version == 0) {
        return KN_E_MALFORMED;
    }
    memcpy(header.store_id, id, FRAG_ID_BYTES);
    if (version > FRAG_JOURNAL_VERSION) {
        memcpy(ret_header->store_id, id, FRAG_ID_BYTES);
        return KN_E_UNSUPPORTED;
    }
    if (header.first < 1 || header.whole < header.first - 1 ||
        header.whole > FRAG_JOURNAL_SEQUENCE_MAX) {
        return KN_E_MALFORMED;
    }
    *ret_header = header;
    return 0;
}

void frag_journal_encode(const struct frag_journal_record *record,
                         uint8_t room[static FRAG_JOURNAL_RECORD_HEAD_BYTES]) {
    KN_ASSERT(record->key.size <= FRAG_CATALOG_KEY_MAX &&
              record->value.size <= FRAG_CATALOG_VALUE_MAX);
    KN_ASSERT(record->operation != FRAG_JOURNAL_DELETE || record->value.size == 0);
    struct kn_writer writer;
    kn_writer_init(&writer, room, FRAG_JOURNAL_RECORD_HEAD_BYTES);
    kn_write_be32(&writer, (uint32_t)(BODY_LEAST + record->key.size + record->value.size));
    kn_write_be32(&writer, 0);
    kn_write_be64(&writer, record->sequence);
    kn_write_u8(&writer, record->operation);
    kn_write_be16(&writer, record->kind);
    kn_write_be16(&writer, (uint16_t)record->key.size);
    KN_ASSERT(kn_writer_status(&writer) == 0 && writer.size == FRAG_JOURNAL_RECORD_HEAD_BYTES);
    uint32_t crc = kn_crc32c(0, room + 8, FRAG_JOURNAL_RECORD_HEAD_BYTES - 8);
    crc = kn_crc32c(crc, record->key.data, record->key.size);
    crc = kn_crc32c(crc, record->value.data, record->value.size);
    kn_writer_init(&writer, room + 4, 4);
    kn_write_be32(&writer, crc);
}

size_t frag_journal_record_bytes(const uint8_t data[static 16]) {
    struct kn_reader reader;
    kn_reader_init(&reader, data, 4);
    uint32_t body = kn_read_be32(&reader);
    return body >= BODY_LEAST && body <= BODY_MOST ? BODY_AT + body : 0;
}

/* `record` has its sequence and bytes; the rest is read from its body. */
static int decode_body(const uint8_t *body, struct frag_journal_record *record) {
    struct kn_reader reader;
    kn_reader_init(&reader, body, record->bytes - BODY_AT);
    record->operation = kn_read_u8(&reader);
    record->kind = kn_read_be16(&reader);
    record->key.size = kn_read_be16(&reader);
    record->key.data = kn_read_bytes(&reader, record->key.size);
    record->value.size = kn_reader_left(&reader);
    record->value.data = kn_read_bytes(&reader, record->value.size);
    if (kn_reader_status(&reader) != 0 || record->key.size > FRAG_CATALOG_KEY_MAX ||
        record->value.size > FRAG_CATALOG_VALUE_MAX) {
        return KN_E_MALFORMED;
    }
    bool is_delete = record->operation == FRAG_JOURNAL_DELETE && record->value.size == 0;
    return record->operation == FRAG_JOURNAL_PUT || is_delete ? 0 : KN_E_MALFORMED;
}

int frag_journal_decode_between(const uint8_t *data, size_t size, uint64_t least, uint64_t most,
                                struct frag_journal_record *ret_record, uint64_t *checked_bytes) {
    if (size < BODY_AT) {
        return KN_E_TRUNCATED;
    }
    struct kn_reader reader;
    struct frag_journal_record record = {.bytes = frag_journal_record_bytes(data)};
    kn_reader_init(&reader, data, size);
    (void)kn_read_be32(&reader); /* the length, just used */
    uint32_t crc = kn_read_be32(&reader);
    record.sequence = kn_read_be64(&reader);
    if (record.bytes == 0 || record.sequence < least || record.sequence > most) {
        return KN_E_MALFORMED;
    }
    if (size < record.bytes) {
        return KN_E_TRUNCATED;
    }
    *checked_bytes += record.bytes;
    if (kn_crc32c(0, data + 8, record.bytes - 8) != crc ||
        decode_body(data + BODY_AT, &record) != 0) {
        return KN_E_MALFORMED;
    }
    *ret_record = record;
    return 0;
}

int frag_journal_decode(const uint8_t *data, size_t size, uint64_t sequence,
                        struct frag_journal_record *ret_record) {
    uint64_t unused = 0;
    return frag_journal_decode_between(data, size, sequence, sequence, ret_record, &unused);
}
