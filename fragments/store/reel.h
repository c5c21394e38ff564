/* Reels as files: written by their disk thread, recovered at start, checked on demand. The bytes
 * are reel_format.h's; every file operation is the io table's.
 *
 *     frag_reel_create -> frag_reel_append ... -> frag_reel_sync -> (append, sync) ...
 *                      -> frag_reel_close
 *
 * A fragment is durable once frag_reel_sync returned 0 after its append. A failed file operation is
 * final for the reel: nothing is written to it any more and every call answers that failure; what
 * was synced before stands. */
#ifndef FRAGMENTS_STORE_REEL_H
#define FRAGMENTS_STORE_REEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attributes.h"
#include "fragments/store/io.h"
#include "fragments/store/reel_format.h"

#define FRAG_REEL_PATH_BYTES 256
/* Rows are kept until a reel is closed: about 45 MiB at this many. */
#define FRAG_REEL_ROWS_MAX 262144u

/* "reels/<stream>-<8 hex>/<date>/<time>-<8 hex>.mkv" below a storage directory. Returns `path`. */
const char *frag_reel_path_of(const struct frag_reel_identity *identity, const char *stream_name,
                              char path[static FRAG_REEL_PATH_BYTES]);

/* ---- writing: one thread ---- */

struct frag_reel;

struct frag_reel_config {
    struct frag_io *io;
    const char *folder; /* the storage directory */
    struct frag_reel_identity identity;
    const char *stream_name;
    struct kn_tracks *tracks;
    const uint8_t *producer_header; /* identity.producer_header_bytes of it, or NULL */
    bool sparing; /* the disk has little room: nothing is allocated ahead of what is written */
};

/* Makes folders and file and writes the head; nothing is synced yet. Of what `config` points at
 * only `io` is kept. 0; -EEXIST; another errno; KN_E_LIMIT, KN_E_MALFORMED as frag_reel_write_head.
 * On failure the file is removed again, as far as that is possible. */
KN_MUST_CHECK int frag_reel_create(const struct frag_reel_config *config,
                                   struct frag_reel **ret_reel);
/* Below the storage directory. */
const char *frag_reel_path(const struct frag_reel *reel);

/* Appends a cluster and its trailer. Of `row` the caller sets number, ordinal, discontinuities,
 * times, duration, frames, flags, received_* and the byte counts around; place, lengths and
 * checksum are set here on success. `cluster` is the whole element with its 8-byte size, of
 * `cluster_bytes`. Nothing is written, and the reel goes on: -EINVAL where the row does not follow
 * the last one (sequence, ordinal, discontinuities), has another `low` than the reel, or the slices
 * are no such cluster; KN_E_MALFORMED, KN_E_LIMIT as frag_reel_write_trailer; -ENOMEM; KN_E_LIMIT
 * at FRAG_REEL_ROWS_MAX too: close it and open another. */
KN_MUST_CHECK int frag_reel_append(struct frag_reel *reel, struct frag_reel_row *row,
                                   const struct iovec *cluster, size_t slices,
                                   uint64_t cluster_bytes, const uint8_t *before,
                                   const uint8_t *after);
/* Starts writing out what was appended; does not wait. */
KN_MUST_CHECK int frag_reel_start_write_back(struct frag_reel *reel);
/* fdatasync; the first time also the folders up to the storage directory. */
KN_MUST_CHECK int frag_reel_sync(struct frag_reel *reel);
/* Where the last synced fragment ends; 0 before the first sync. */
uint64_t frag_reel_durable_bytes(const struct frag_reel *reel);
/* Where the last appended fragment ends. */
uint64_t frag_reel_bytes(const struct frag_reel *reel);
size_t frag_reel_fragments(const struct frag_reel *reel);
/* Cues, table and the page that finds them, synced; then the descriptor is closed and the reel
 * freed, also on failure: an unclosed reel is recovered at the next start. `ret_bytes` is the
 * file's size. After a failure it is not known whether the fragments since the last sync will be
 * found. */
KN_MUST_CHECK int frag_reel_close(struct frag_reel *reel, uint64_t *ret_bytes);
/* Closes the descriptor without another write and frees. NULL is fine. */
void frag_reel_abandon(struct frag_reel *reel);

/* ---- reading and recovery: any thread, its own descriptor ---- */

/* Members may be NULL. A negative answer stops and is returned. */
struct frag_reel_handler {
    /* Fragments in their order. */
    int (*fragment)(const struct frag_reel_row *row, void *user);
    /* Bytes [from, to) are not as they were written, or were not written whole: "torn end", "wrong
     * checksum", ... A file that ends early may miss them. */
    int (*damage)(uint64_t from, uint64_t to, const char *what, void *user);
};

struct frag_reel_scanned {
    struct frag_reel_identity identity;
    bool closed;         /* with a good table */
    uint64_t good_bytes; /* where the last good fragment ends, or where the first would begin */
    uint64_t file_bytes;
    uint64_t fragments; /* told */
};

/* The identity alone. As frag_reel_read_identity, or an errno. Without it a reel tells nothing. */
KN_MUST_CHECK int frag_reel_identify(struct frag_io *io, const char *path,
                                     struct frag_reel_identity *ret_identity);
/* The packed table of a closed reel, joined and appended to `table`, through the page at 4096;
 * reads nothing else. -ENODATA: it is not closed. KN_E_MALFORMED: it says it is, but the table is
 * damaged: scan it. Else as frag_reel_identify, or the writer's own failure. */
KN_MUST_CHECK int frag_reel_read_footer(struct frag_io *io, const char *path,
                                        struct frag_reel_identity *ret_identity,
                                        struct kn_writer *table);
/* Reads clusters and trailers from `from` (0: the first) on and tells the good ones, with about 1
 * MiB of memory (up to 34 MiB where the producer's header is that large; a table's own size). What
 * is damaged in between is told and passed over: the search believes only a trailer that names this
 * reel and its own offset and whose cluster has the checksum it says. Rows that do not follow the
 * one before are no good either. With `verify` false the checksums of clusters are compared only
 * behind damage and for the last fragment: not enough for what was never synced. 0, also with
 * damage; as frag_reel_identify; -EINVAL: `from` is in the head; KN_E_TRUNCATED: the file, or its
 * first page, ends before it. */
KN_MUST_CHECK int frag_reel_scan(struct frag_io *io, const char *path, uint64_t from, bool verify,
                                 const struct frag_reel_handler *handler, void *user,
                                 struct frag_reel_scanned *ret_state);
/* After a crash: scans from `from` with checksums, cuts the torn end off, writes Cues, table and
 * page, syncs file and folders. For that it needs all rows before `from` as well (`known`, in
 * order; -EINVAL where the last does not end there). Fragments are told before anything is written:
 * they are durable when it returns 0. The file is left alone when it is closed already, where the
 * known rows make no table (KN_E_MALFORMED), and where its Info, Tracks or producer's header are
 * damaged (KN_E_MALFORMED, KN_E_TRUNCATED, after its fragments were told). What is damaged between
 * good fragments stays as it is. Else as frag_reel_scan; KN_E_LIMIT: over FRAG_REEL_ROWS_MAX. */
KN_MUST_CHECK int frag_reel_recover(struct frag_io *io, const char *path, uint64_t from,
                                    const struct frag_reel_row *known, size_t known_count,
                                    const struct frag_reel_handler *handler, void *user,
                                    struct frag_reel_scanned *ret_state);

#endif
