/* The index: where each fragment is, in SQLite (WAL). A cache of reels and catalog: it may be
 * deleted and made again. Open reels have a row per fragment; a closed reel is one row with its
 * packed table (docs/index-schema.md).
 *
 *     frag_index_open -> { frag_index_begin -> add, close, mark, drop -> frag_index_commit } ...
 *                     -> frag_index_find_..., _range, _get_reel, _each_... -> frag_index_close
 *
 * One connection an object, one thread at a time. There is one writer (the index thread); readers
 * open their own connections and never wait for it. A reading call sees one state of the store, and
 * no read transaction outlives it or stays open during a callback. What is read from the file is
 * checked: damage is KN_E_MALFORMED or something not found, never a wrong row. */
#ifndef FRAGMENTS_STORE_INDEX_H
#define FRAGMENTS_STORE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/time.h"
#include "fragments/store/reel_format.h"

struct frag_record_key;

/* A reel's fragments lie within this much of each clock; its writer opens another one before. */
#define FRAG_REEL_SPAN_NS (20 * 60 * KN_NS_PER_S)
/* Fragments of one reel, so that closing it takes bounded memory. */
#define FRAG_INDEX_REEL_FRAGMENTS 262144u
/* A path below the storage directory, with its NUL. */
#define FRAG_INDEX_PATH_BYTES 512u
#define FRAG_INDEX_RANGE_MAX 1000u

enum frag_reel_state {
    FRAG_REEL_OPEN, /* being written, or not recovered yet */
    FRAG_REEL_CLOSED,
    FRAG_REEL_DELETING /* marked: its file goes, then its row; not found any more */
};

/* Of all fragments of a reel; times are of their beginnings. */
struct frag_index_span {
    uint64_t first_sequence, last_sequence;
    uint64_t first_ordinal, last_ordinal;
    uint64_t discontinuities; /* up to and with the last one */
    struct kn_wall producer_min, producer_max;
    struct kn_wall server_min, server_max;
};

/* A reel as the index knows it. Borrowed pointers live for the call. */
struct frag_index_reel {
    int64_t row; /* the index's own key, from 1; never used again */
    struct frag_reel_identity identity;
    enum frag_reel_state state;
    uint16_t folder;  /* number of its storage directory */
    const char *path; /* below it: relative, no part of it empty, "." or ".." */
    uint64_t bytes;   /* of the file, as far as it is known to be good */
    uint64_t fragments;
    struct frag_index_span span; /* given by the index, where there are fragments; else zeros */
};

/* What a stream has in the index, marked reels left out. */
struct frag_index_totals {
    uint8_t stream[FRAG_ID_BYTES];
    uint64_t reels, bytes, fragments;
};

/* Rows have what a packed table holds; the rest is 0 and in the trailers. */
struct frag_index_found {
    int64_t reel;
    struct frag_reel_row row;
};

struct frag_index;

enum frag_index_mode { FRAG_INDEX_READ, FRAG_INDEX_WRITE };

/* FRAG_INDEX_WRITE makes the file and upgrades older versions step by step. 0; -ENOENT (reading
 * what is not there, or is empty); KN_E_UNSUPPORTED (a newer version; reading: an older one that no
 * writer has upgraded; no WAL on this file system); KN_E_MALFORMED (no database, or a damaged one:
 * make it again); -EBUSY (held by another program for 1 s); -ENOMEM, -EIO, -ENOSPC, -EROFS and the
 * like.
 *
 * FRAG_INDEX_READ needs the right to write to the folder, or a writer's shared memory there. Where
 * it has neither and the log is empty or missing, as a writer leaves it, the file is read as one
 * that nobody changes: a writer that comes later is not noticed, and what it changes is not found
 * or KN_E_MALFORMED until the index is opened again. Where the log has something, -EROFS or
 * -EACCES. */
KN_MUST_CHECK int frag_index_open(const char *path, enum frag_index_mode mode,
                                  struct frag_index **ret_index);
/* NULL is fine. An open transaction is rolled back. */
void frag_index_close(struct frag_index *index);

/* ---- writing: between begin and commit ---- */

/* What all of these answer beside their own: KN_E_MALFORMED (damaged), -ENOMEM, -EIO, -ENOSPC and
 * the like. -EINVAL, -ENOENT, -EEXIST, KN_E_LIMIT and the face's own KN_E_MALFORMED for a bad table
 * leave the transaction as it was; after any other failure it may be half done, and commit refuses
 * it. */

/* -EROFS (opened for reading); -EBUSY: another writer kept it for 1 s; -EIO: a sync has failed on
 * this connection, which is never retried: make the index again. */
KN_MUST_CHECK int frag_index_begin(struct frag_index *index);
/* `durable`: synced to disk when it returns (marks before unlinking); else a crash of the machine
 * may lose the newest commits, which recovery finds again. On failure the transaction is rolled
 * back, but for one: where the sync of a durable commit fails (-EIO) it is in effect and may yet be
 * lost. */
KN_MUST_CHECK int frag_index_commit(struct frag_index *index, bool durable);
void frag_index_rollback(struct frag_index *index);

/* A new open reel: row, state and fragments are not looked at; `bytes` is where its first cluster
 * can begin. -EINVAL for an identity or path that cannot be, -EEXIST for a reel id that is there.
 */
KN_MUST_CHECK int frag_index_add_reel(struct frag_index *index, const struct frag_index_reel *reel,
                                      int64_t *ret_row);
/* A fragment at the end of an open reel. -ENOENT: no such reel. -EINVAL: it is not open, or the
 * fragment does not follow: its place, sequence (1 and up), ordinal, discontinuities, number's low
 * bits, FRAG_REEL_SPAN_NS. KN_E_LIMIT: the reel has FRAG_INDEX_REEL_FRAGMENTS. */
KN_MUST_CHECK int frag_index_add_fragment(struct frag_index *index, int64_t reel,
                                          const struct frag_reel_row *row);
/* Rows of the open reel become its packed table; `bytes` is the file's final size. -ENOENT, -EINVAL
 * (not open, or fewer bytes than its fragments have). */
KN_MUST_CHECK int frag_index_close_reel(struct frag_index *index, int64_t reel, uint64_t bytes);
/* The same from a table read out of a reel's footer (rebuild). KN_E_MALFORMED for a bad table, or
 * one that could not have been added; KN_E_LIMIT; -EINVAL, -EEXIST as for frag_index_add_reel. */
KN_MUST_CHECK int frag_index_add_closed_reel(struct frag_index *index,
                                             const struct frag_index_reel *reel, const void *table,
                                             size_t table_bytes, int64_t *ret_row);
/* The keys of a batch of records, each once, of a fragment that was just added to this reel, or is
 * in its table. */
KN_MUST_CHECK int frag_index_add_keys(struct frag_index *index, int64_t reel, uint64_t sequence,
                                      const struct frag_record_key *keys, size_t count);
/* The reel `to` has copies of some batches of `from`: of those that `has`. */
KN_MUST_CHECK int frag_index_copy_keys(struct frag_index *index, int64_t from, int64_t to,
                                       bool (*has)(uint64_t sequence, const void *user),
                                       const void *user);
/* Open or closed; 0 also where it is marked. -ENOENT. */
KN_MUST_CHECK int frag_index_mark_deleting(struct frag_index *index, int64_t reel);
/* In any state, with all that is of it. -ENOENT. */
KN_MUST_CHECK int frag_index_drop_reel(struct frag_index *index, int64_t reel);

/* ---- reading ---- */

/* From now on find_sequence, find_time, earliest, latest and range leave out fragments with an
 * earlier server time, but those of kept reels (FRAG_REEL_KEPT): what retention hides. INT64_MIN,
 * as after opening: none are left out. */
void frag_index_see_from(struct frag_index *index, struct kn_wall server);

/* All of these answer 0, -ENOENT for nothing found, KN_E_MALFORMED for a damaged row, or an errno.
 * `stream` is a stream id. Reels marked for deletion are not seen. Where two reels have the same
 * number (a fragment was copied to a kept reel) the reel added last has it. */
KN_MUST_CHECK int frag_index_find_sequence(struct frag_index *index,
                                           const uint8_t stream[static FRAG_ID_BYTES],
                                           uint64_t sequence, struct frag_index_found *ret_found);
/* The fragment in which an instant lies: of those that begin at or before it, the one that begins
 * last; of equal beginnings the largest number. */
KN_MUST_CHECK int frag_index_find_time(struct frag_index *index,
                                       const uint8_t stream[static FRAG_ID_BYTES],
                                       enum frag_clock clock, struct kn_wall time,
                                       struct frag_index_found *ret_found);
/* By number. */
KN_MUST_CHECK int frag_index_earliest(struct frag_index *index,
                                      const uint8_t stream[static FRAG_ID_BYTES],
                                      struct frag_index_found *ret_found);
KN_MUST_CHECK int frag_index_latest(struct frag_index *index,
                                    const uint8_t stream[static FRAG_ID_BYTES],
                                    struct frag_index_found *ret_found);
/* Fragments that begin in [from, to], both ends in, in order of number, with a sequence above
 * `after` (0 to begin); at most `max` (1 to FRAG_INDEX_RANGE_MAX): how many, 0 for no more. Go on
 * with the last one's sequence. What stands in `found` beyond the answer, and after a failure, is
 * not defined. */
KN_MUST_CHECK int frag_index_range(struct frag_index *index,
                                   const uint8_t stream[static FRAG_ID_BYTES],
                                   enum frag_clock clock, struct kn_wall from, struct kn_wall to,
                                   uint64_t after, struct frag_index_found *found, size_t max);
/* The same of those batches of records alone that have this key. */
KN_MUST_CHECK int frag_index_range_of_key(struct frag_index *index,
                                          const uint8_t stream[static FRAG_ID_BYTES],
                                          enum frag_clock clock, struct kn_wall from,
                                          struct kn_wall to, uint64_t after,
                                          const struct frag_record_key *key,
                                          struct frag_index_found *found, size_t max);
/* Has this batch of this reel the key? 1, 0, or as above; and how many such rows a reel has. */
KN_MUST_CHECK int frag_index_has_key(struct frag_index *index, int64_t reel,
                                     const struct frag_record_key *key, uint64_t sequence);
KN_MUST_CHECK int frag_index_count_keys(struct frag_index *index, int64_t reel,
                                        uint64_t *ret_count);
/* One reel, in any state; `path` is copied to `path_room`: FRAG_INDEX_PATH_BYTES are enough, else
 * KN_E_LIMIT. */
KN_MUST_CHECK int frag_index_get_reel(struct frag_index *index, int64_t row, char *path_room,
                                      size_t path_room_bytes, struct frag_index_reel *ret_reel);
/* Every reel in any state, oldest row first. A negative answer ends it and is returned. `each` may
 * use the index, also to drop the reel it is called with. Reels that are added or dropped meanwhile
 * may be seen or not. */
KN_MUST_CHECK int frag_index_each_reel(struct frag_index *index,
                                       int (*each)(const struct frag_index_reel *reel, void *user),
                                       void *user);
/* Reels of one stream that are not marked, in order of their earliest server time; those without
 * fragments come first. As frag_index_each_reel otherwise. */
KN_MUST_CHECK int
frag_index_each_reel_of(struct frag_index *index, const uint8_t stream[static FRAG_ID_BYTES],
                        int (*each)(const struct frag_index_reel *reel, void *user), void *user);
/* The reel with this id, in any state; else as frag_index_get_reel. -ENOENT. */
KN_MUST_CHECK int frag_index_find_reel(struct frag_index *index,
                                       const uint8_t reel_id[static FRAG_ID_BYTES], char *path_room,
                                       size_t path_room_bytes, struct frag_index_reel *ret_reel);
/* One call a stream that has reels that are not marked, in no order. */
KN_MUST_CHECK int
frag_index_each_total(struct frag_index *index,
                      int (*each)(const struct frag_index_totals *totals, void *user), void *user);
/* Every fragment of a reel in any state, in its order. As above; a reel that is dropped meanwhile
 * ends it with -ENOENT. */
KN_MUST_CHECK int frag_index_each_fragment(struct frag_index *index, int64_t reel,
                                           int (*each)(const struct frag_reel_row *row, void *user),
                                           void *user);

#endif
