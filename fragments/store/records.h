/* Inner: what writing, reading and recovering records share (fragments/records.h). */
#ifndef FRAGMENTS_STORE_RECORDS_H
#define FRAGMENTS_STORE_RECORDS_H

#include "base/bytes.h"
#include "base/track.h"
#include "fragments/records.h"
#include "fragments/store/index.h"
#include "fragments/store/io.h"

/* ---- framing (docs/store-format.md, Records); pure ---- */

/* Mask, time, keys: what stands before the record's own bytes. */
#define FRAG_RECORD_HEAD_MOST (1u + 8u + 8u * FRAG_RECORD_KEYS)

/* May it be written? */
bool frag_record_can_be(const struct frag_record *record);
/* KN_E_MALFORMED for what cannot be. */
void frag_record_write(struct kn_writer *writer, const struct frag_record *record);
/* The one track of every reel of records. 0 or -ENOMEM. */
KN_MUST_CHECK int frag_record_tracks(struct kn_tracks **ret_tracks);

/* ---- the keys of a batch: each once, in order of slot and key ---- */

struct frag_record_keys {
    struct frag_record_key *all; /* owned; zeroed: none */
    size_t count, room;
};

void frag_record_keys_finish(struct frag_record_keys *keys);
/* Would there be more than FRAG_BATCH_KEYS with those of the record? */
bool frag_record_keys_fit(const struct frag_record_keys *keys, const struct frag_record *record);
/* 0 or -ENOMEM, and then as before. */
KN_MUST_CHECK int frag_record_keys_add(struct frag_record_keys *keys,
                                       const struct frag_record *record);

/* ---- out of a reel ---- */

/* The keys of each batch of the file, out of its clusters and trailers, which `table` lists. A
 * negative answer ends it and is returned. 0 and how many batches are damaged (they are left out),
 * or what the machine answered. */
KN_MUST_CHECK int frag_records_each_batch(
    struct frag_io *io, const char *path, const struct frag_reel_identity *identity,
    const struct kn_writer *table,
    int (*each)(uint64_t sequence, const struct frag_record_keys *keys, void *user), void *user,
    uint64_t *ret_damaged);
/* Puts them into the index, where the reel's row `row` was just added. Inside a transaction. */
KN_MUST_CHECK int frag_records_index_reel(struct frag_io *io, const char *path,
                                          const struct frag_reel_identity *identity,
                                          const struct kn_writer *table, struct frag_index *index,
                                          int64_t row, uint64_t *ret_damaged);

#endif
