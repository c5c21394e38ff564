/* Inner: how the parts of the store see each other. Not for other folders.
 *
 * Three kinds of threads, each owning what it changes:
 *   disk     one a storage directory: its open reels, and the unlinking in it    disk.c
 *   clerk    the one writer of index and journal; all decisions that must agree  clerk.c
 *   janitor  retention, step by step, by calls to the other two                  retention.c
 * A store without threads does the same work on the caller's, in the same functions.
 *
 * Locks: a stream's lock may hold its tail's (the order of numbers is the order of publication);
 * every other lock is a leaf. */
#ifndef FRAGMENTS_STORE_ENGINE_H
#define FRAGMENTS_STORE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/queue.h"
#include "fragments/fragments.h"
#include "fragments/store/catalog.h"
#include "fragments/store/index.h"
#include "fragments/store/io.h"
#include "fragments/store/random.h"
#include "fragments/store/values.h"

struct frag_disk;
struct frag_session;

/* ---- storage directories ---- */

struct frag_folder {
    struct frag_store *store;
    uint16_t number; /* as the index has it */
    uint8_t id[FRAG_ID_BYTES];
    char *path;
    bool online;         /* its identity file was there at opening; never changes */
    atomic_bool failing; /* its last reel could not be written: others are preferred for a while */
    atomic_bool full;    /* under a quarter of the least free space: takes nothing */
    atomic_uint_least64_t free_bytes, total_bytes; /* as of the last look */
    struct frag_disk *disk;                        /* NULL: offline, or opened for reading */
};

/* ---- streams ---- */

struct frag_stream {
    struct frag_store *store;
    uint8_t id[FRAG_ID_BYTES];
    char name[FRAG_STREAM_NAME_BYTES];
    struct kn_wall created;
    struct frag_tail *tail;
    struct kn_budget *budget;

    /* Written by the clerk under the lock, which others need for reading. */
    pthread_mutex_t lock;
    char version[21];
    bool deleting;
    struct frag_stream_settings settings;
    size_t tag_count;
    struct frag_stream_tag *tags;

    /* Numbers, under the lock; taken by writers on any thread. */
    uint32_t counter;              /* of this epoch's sequences */
    uint64_t last_sealed_sequence; /* numbers are published in rising order */
    uint64_t next_ordinal;
    uint64_t discontinuities;
    bool discontinuity; /* the next fragment has one */
    struct kn_wall last_server;
    struct kn_wall last_end; /* server time at which its newest fragment ends; 0: none yet */
    unsigned writers;
    struct frag_stream_counters counters;
    /* Retention 0: numbers of what the tail keeps, so that the oldest can go. */
    struct frag_number ring[64];
    size_t ring_first, ring_count;
    size_t ring_bytes[64];

    /* The clerk's own. */
    bool gap_open; /* gap_at is the key of the open one */
    struct frag_gap_key gap_at;
    struct frag_gap_entry gap;
    uint32_t gap_count;
    bool marked; /* its mark stands in the journal */
    struct frag_value_mark mark;
};

/* Caller holds the lock. Retention as it is now: fragments with a server time below this are not
 * seen; INT64_MIN: all are. */
struct kn_wall frag_stream_visible_from(struct frag_stream *stream, struct kn_wall now);
/* A stream by id, deleted ones too while their files are there; NULL. */
struct frag_stream *frag_stream_by_id(struct frag_store *store,
                                      const uint8_t id[static FRAG_ID_BYTES]);

/* ---- jobs of the clerk and the disks ---- */

struct frag_job {
    /* On that thread; frees the job. */
    void (*run)(struct frag_job *job);
    struct frag_store *store;
};

/* Runs `work` on the clerk's thread, behind all that was sent before, and gives its answer;
 * KN_E_CLOSED when the store is closing. Blocks. Never on the clerk's or a disk's thread. */
KN_MUST_CHECK int frag_clerk_call(struct frag_store *store,
                                  int (*work)(struct frag_store *store, void *user), void *user);
/* Hands over; waits while the clerk is far behind. Not on the clerk's thread. 0 or KN_E_CLOSED (the
 * job is still the caller's). */
KN_MUST_CHECK int frag_clerk_send(struct frag_store *store, struct frag_job *job);
/* The same on a disk's thread, between its ticks. -ENODEV: the folder is offline. */
KN_MUST_CHECK int frag_disk_call(struct frag_folder *folder,
                                 int (*work)(struct frag_folder *folder, void *user), void *user);

/* ---- the store ---- */

struct frag_clerk {
    struct frag_index *index; /* NULL: it has failed; opened again at the next try */
    struct frag_catalog *catalog;
    struct kn_queue *queue; /* of struct frag_job */
    pthread_t thread;
    bool started;
    int error;                /* what is in the way of index or journal; 0: nothing */
    struct frag_job *waiting; /* a batch that could not be written yet */
};

struct frag_janitor;

struct frag_store {
    char *data;
    enum frag_store_mode mode;
    bool threads;
    struct frag_io *io;
    const struct kn_clock *clock;
    struct frag_random random;
    struct kn_budget *budget;
    uint64_t min_free_bytes; /* FRAG_STORE_MIN_FREE_DEFAULT: by the file system's size */
    int lock_fd;
    uint8_t id[FRAG_ID_BYTES];
    uint64_t epoch;
    char *index_path;

    struct frag_folder folders[FRAG_CATALOG_FOLDERS_MAX];
    size_t folder_count;

    pthread_mutex_t streams_lock;
    struct frag_stream **streams; /* in order of names; deleting ones are in `gone` */
    size_t stream_count, stream_room;
    struct frag_stream **gone;
    size_t gone_count, gone_room;

    struct frag_clerk clerk;
    struct frag_janitor *janitor; /* retention.c; NULL when opened for reading */
    atomic_bool closing;

    /* Counters of struct frag_store_stats. */
    atomic_uint_least64_t appended, failed, syncs, sync_errors, commits;
    atomic_uint_least64_t deleted_reels, deleted_bytes;
};

/* Least free space of a folder's file system, in bytes; below a quarter of it nothing is written.
 */
uint64_t frag_folder_min_free(const struct frag_folder *folder);
/* Looks at the file system, sets free_bytes and `full`. */
void frag_folder_look(struct frag_folder *folder);
struct frag_folder *frag_store_folder(struct frag_store *store, uint16_t number);
/* "<folder>/<path>" in room. 0 or KN_E_LIMIT. */
KN_MUST_CHECK int frag_folder_join(const struct frag_folder *folder, const char *path, char *room,
                                   size_t room_bytes);

/* ---- retention.c, for open.c and disk.c ---- */

/* 0 or -ENOMEM, or the thread's. Starts its thread where the store has threads. */
KN_MUST_CHECK int frag_janitor_create(struct frag_store *store, bool clock_confirmed);
/* Ends the thread; nothing of it runs afterwards. NULL is fine. */
void frag_janitor_destroy(struct frag_janitor *janitor);
/* A disk is full or low: a pass now. Any thread, does not wait. */
void frag_janitor_wake(struct frag_store *store);
bool frag_janitor_clock_in_doubt(struct frag_store *store);

/* ---- totals of streams; clerk ---- */

/* A reel's bytes and fragments came (+1) or went (-1). */
void frag_totals_reel(struct frag_stream *stream, int sign, uint64_t bytes, uint64_t fragments);
/* Of a reel that stays. */
void frag_totals_grow(struct frag_stream *stream, uint64_t bytes, uint64_t fragments);

/* ---- gaps; clerk (gaps.c) ---- */

/* The open gap, if any, ends; then, with `cause`, another one is open from `from` on. Journalled;
 * told to the tail. 0 or the journal's failure. */
KN_MUST_CHECK int frag_gaps_open(struct frag_stream *stream, const struct frag_gap_entry *gap);
/* No-op where none is open. */
KN_MUST_CHECK int frag_gaps_close(struct frag_stream *stream, struct kn_wall to);
/* One that is over. */
KN_MUST_CHECK int frag_gaps_add(struct frag_stream *stream, const struct frag_gap_entry *gap);
/* Those that ended before `before` are forgotten (retention). */
KN_MUST_CHECK int frag_gaps_forget(struct frag_stream *stream, struct kn_wall before);

#endif
