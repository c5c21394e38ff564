/* Journals as bytes (docs/store-format.md, Journal). Pure, any thread; decoders are fed by damaged
 * disks. */
#ifndef FRAGMENTS_STORE_JOURNAL_H
#define FRAGMENTS_STORE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "fragments/fragment.h"

#define FRAG_CATALOG_KEY_MAX 1024u
#define FRAG_CATALOG_VALUE_MAX (1024u * 1024u - 1024u - 5u)

#define FRAG_JOURNAL_VERSION 1u
#define FRAG_JOURNAL_HEADER_BYTES 44u
#define FRAG_JOURNAL_RECORD_HEAD_BYTES 21u /* of a record: all before the key */
#define FRAG_JOURNAL_RECORD_MAX (16u + 1024u * 1024u)
/* Sequences end here, so that no sum of them overflows. */
#define FRAG_JOURNAL_SEQUENCE_MAX (UINT64_C(1) << 62)

/* Borrowed; who gives it says for how long. */
struct frag_catalog_value {
    const uint8_t *data;
    size_t size;
};

struct frag_journal_header {
    uint8_t store_id[FRAG_ID_BYTES];
    uint64_t first; /* sequence of the first record; 1 and up */
    uint64_t whole; /* up to this sequence it was synced before it got its name; first - 1: none */
};

enum frag_journal_operation { FRAG_JOURNAL_PUT = 1, FRAG_JOURNAL_DELETE = 2 };

struct frag_journal_record {
    uint64_t sequence;
    uint8_t operation; /* enum frag_journal_operation */
    uint16_t kind;
    struct frag_catalog_value key, value;
    size_t bytes; /* of the whole record; set by decoding */
};

void frag_journal_encode_header(const struct frag_journal_header *header,
                                uint8_t room[static FRAG_JOURNAL_HEADER_BYTES]);
/* 0. KN_E_TRUNCATED, KN_E_MALFORMED. KN_E_UNSUPPORTED: of a newer version; then only the store id
 * is given. */
KN_MUST_CHECK int frag_journal_decode_header(const uint8_t *data, size_t size,
                                             struct frag_journal_header *ret_header);

/* What stands before key and value, checksum included. Key and value are within their maxima, a
 * delete has no value. */
void frag_journal_encode(const struct frag_journal_record *record,
                         uint8_t room[static FRAG_JOURNAL_RECORD_HEAD_BYTES]);

/* 0: one record at `data`, which has `size` bytes and must have this sequence; key and value borrow
 * `data`. KN_E_TRUNCATED: it is cut; KN_E_MALFORMED: it is not that. */
KN_MUST_CHECK int frag_journal_decode(const uint8_t *data, size_t size, uint64_t sequence,
                                      struct frag_journal_record *ret_record);
/* The same with any sequence from `least` to `most`. `checked_bytes` grows by what a checksum was
 * made of: the cost of a search. */
KN_MUST_CHECK int frag_journal_decode_between(const uint8_t *data, size_t size, uint64_t least,
                                              uint64_t most, struct frag_journal_record *ret_record,
                                              uint64_t *checked_bytes);
/* Bytes of the record at `data` if its first 16 bytes are right; 0 where no record can begin. */
size_t frag_journal_record_bytes(const uint8_t data[static 16]);

#endif
