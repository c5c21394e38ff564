/* Records: small things of a time with up to four keys (results of analyzers, thumbnails), kept in
 * a stream of their own, which is otherwise as any other: retention, holds, gaps, tags, recovery.
 *
 *     settings.records = true -> frag_stream_create
 *     frag_records_open -> frag_records_add ... -> frag_records_close
 *     frag_archive_open -> frag_records_each
 *
 * Records are gathered into batches; a batch is a fragment: a cluster with a block a record. Live,
 * the stream's tail gives batches as it gives fragments; frag_record_read reads their samples. */
#ifndef FRAGMENTS_RECORDS_H
#define FRAGMENTS_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/time.h"
#include "fragments/archive.h"
#include "fragments/store.h"
#include "fragments/writer.h"

#define FRAG_RECORD_KEYS 4u
#define FRAG_RECORD_MAX_BYTES (4u * 1024u * 1024u)
/* A batch is sent before it would have more of any of these: bytes (unless one record alone has
 * more), records, different keys, time between its first and last record, and age. */
#define FRAG_BATCH_BYTES (1024u * 1024u)
#define FRAG_BATCH_RECORDS 8192u
#define FRAG_BATCH_KEYS 4096u
#define FRAG_BATCH_SPAN_NS (20 * KN_NS_PER_S)
#define FRAG_BATCH_AGE_NS KN_NS_PER_S

struct frag_record {
    struct kn_wall time; /* producer clock; from 1970 to 2116 */
    unsigned key_mask;   /* bit n: keys[n] is there */
    uint64_t keys[FRAG_RECORD_KEYS];
    const uint8_t *data; /* borrowed; never looked into */
    size_t bytes;        /* at most FRAG_RECORD_MAX_BYTES */
};

struct frag_record_key {
    unsigned slot; /* 0 to FRAG_RECORD_KEYS - 1 */
    uint64_t key;
};

/* A record out of its block: of samples of the tail's fragments, and of loaded ones. Borrows
 * `data`. 0, KN_E_TRUNCATED, KN_E_MALFORMED. */
KN_MUST_CHECK int frag_record_read(const uint8_t *data, size_t size,
                                   struct frag_record *ret_record);

/* ---- writing: one thread at a time; nothing blocks, with threads in the store ---- */

struct frag_records_config {
    /* As struct frag_writer_config's: DURABLE or FAILED once a batch, with its `first_record` and
     * `records`, as frag_records_add counted them. NULL: none. */
    void (*handle_ack)(const struct frag_ack *ack, void *user);
    void (*handle_closed)(void *user);
    void *user;
};

struct frag_records;

/* As frag_writer_open; -EINVAL: the stream is not for records. `config` is copied. */
KN_MUST_CHECK int frag_records_open(struct frag_stream *stream,
                                    const struct frag_records_config *config,
                                    struct frag_records **ret_records);
/* Copies the record. 0: it will be acknowledged, as the n-th that was added, n from 0. -EINVAL: a
 * time, mask or size that cannot be. Else it was not taken, and those before it that wait still do:
 * -EAGAIN or -ENOSPC: the disk is behind or full, try again later; KN_E_MEMORY_LIMIT and -ENOMEM
 * likewise; KN_E_CLOSED: the stream was deleted; -EOVERFLOW as frag_writer_begin. */
KN_MUST_CHECK int frag_records_add(struct frag_records *records, const struct frag_record *record);
/* Sends what waits, at once. 0, also where nothing does; else as frag_records_add: it still waits.
 */
KN_MUST_CHECK int frag_records_commit(struct frag_records *records);
/* Sends what has waited for FRAG_BATCH_AGE_NS, as frag_records_add does too. For a timer of the
 * caller's: there is none in here, so without it the last batch waits for the next record. As
 * frag_records_commit. */
KN_MUST_CHECK int frag_records_tick(struct frag_records *records);
/* Commits; what could not be sent gets its FAILED ack from here. Opens a gap as frag_writer_close.
 * NULL is fine. */
void frag_records_close(struct frag_records *records, enum frag_gap_cause cause);

/* ---- reading ---- */

/* Records with a time in [from, to], both ends in, batch by batch in the order in which they were
 * sent. With `key` not NULL only those that have it; batches without it are not read. What is
 * given to `each` is valid during the call; a negative answer ends it and is returned. 0; -EINVAL:
 * no stream for records, or no such slot; -ENOENT: the stream is deleted. KN_E_MALFORMED or
 * -ENODEV: a batch is damaged or lost, or its storage directory is offline; all others were told,
 * unless it is the index that is damaged. Else as frag_archive_load. */
KN_MUST_CHECK int frag_records_each(struct frag_archive *archive, struct frag_stream *stream,
                                    struct kn_wall from, struct kn_wall to,
                                    const struct frag_record_key *key,
                                    int (*each)(const struct frag_record *record, void *user),
                                    void *user);

#endif
