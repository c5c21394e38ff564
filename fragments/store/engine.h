/* Inner: how the parts of the store see each other. Not for other folders.
 *
 * Three kinds of threads, each owning what it changes:
 *   disk     one a storage directory: its open reels, and the unlinking in it    disk.c
 *   clerk    the one writer of index and journal; all decisions that must agree  clerk.c
 *   janitor  retention, step by step, by calls to the other two                  janitor.c
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
#include "fragments/store/clock_rule.h"
#include "fragments/store/index.h"
#include "fragments/store/io.h"
#include "fragments/store/random.h"
#include "fragments/store/times.h"
#include "fragments/store/values.h"

struct frag_batch;
struct frag_disk;

/* ---- storage directories ---- */

struct frag_folder {
    struct frag_store *store;
    uint16_t number; /* as the index has it */
    uint8_t id[FRAG_ID_BYTES];
    char *path;
    bool online;                         /* its identity file was there at opening; never changes */
    atomic_int_least64_t avoid_until_ns; /* monotonic; a reel could not be written: others first */
    int64_t avoid_ns;   /* the disk's: for how long, the last time; 0: a sync was good since */
    atomic_bool astray; /* another directory stands in its place: nothing is written or unlinked */
    atomic_bool full;   /* under a quarter of the least free space: takes nothing */
    /* What a write failed for want of room showed: so much must be free, whatever the configured
     * least is; 0: none failed. Bounded, since it costs recordings. */
    atomic_uint_least64_t reserve_bytes;
    atomic_uint_least64_t free_bytes, total_bytes; /* as of the last look */
    struct frag_disk *disk;                        /* NULL: offline, or opened for reading */
};

/* ---- streams ---- */

/* What a stream with retention 0 keeps in memory at most; less where all of them together would
 * hold more than they may (ring.c). */
#define FRAG_RING_FRAGMENTS 32u
#define FRAG_RING_BYTES ((size_t)32 << 20)

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
    struct frag_clock_rule clock;
    struct kn_wall last_end; /* server time at which its newest fragment ends; 0: none yet */
    unsigned writers;
    size_t unfinished; /* fragments that were published and are neither durable nor failed yet */
    struct frag_stream_counters counters;
    /* Retention 0: what the tail keeps, so that the oldest can go. */
    struct frag_number ring[FRAG_RING_FRAGMENTS];
    size_t ring_bytes[FRAG_RING_FRAGMENTS];
    size_t ring_first, ring_count, ring_total;

    /* Gaps that writers saw; the clerk takes each once all that was published before it is
     * finished. What does not fit is joined to the last one. */
    struct frag_gap_note {
        struct frag_gap_entry gap;
        uint64_t after; /* the last sequence published before it */
        size_t older;   /* how many of those up to `after` are not finished yet */
    } notes[32];
    size_t note_count;

    /* The clerk's own. */
    bool gap_open; /* gap_at is the key of the open one */
    struct frag_gap_key gap_at;
    struct frag_gap_entry gap;
    uint32_t gap_count;
    bool marked; /* its mark stands in the journal */
    struct frag_value_mark mark;

    /* Under the lock, by the clerk: is anything held; fragments with a server time before this are
     * not. */
    bool held;
    struct kn_wall held_from;

    /* The janitor's own, of a stream being deleted. */
    bool emptied; /* the last pass found no reel of it */
    bool erased;  /* nothing of it is left on disk; under the lock of the lists */
};

/* Caller holds the lock. Retention as it is now: fragments with a server time below this are not
 * seen; INT64_MIN: all are. Nothing that is held is below it, so where a stream has a hold, expired
 * fragments that are still there may be seen. */
struct kn_wall frag_stream_visible_from(struct frag_stream *stream, struct kn_wall now);
/* For records, not video? Takes the lock. */
bool frag_stream_is_for_records(struct frag_stream *stream);
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
    int error;           /* what is in the way of index or journal; 0: nothing */
    atomic_bool failing; /* the same for others */
    struct frag_batch *waiting, *last_waiting; /* could not be written yet; in order */
};

struct frag_janitor;
struct frag_open_hooks;

struct frag_store {
    char *data;
    enum frag_store_mode mode;
    bool threads;
    struct frag_io *io;
    const struct kn_clock *clock;
    struct frag_random random;
    struct kn_budget *budget;  /* of recording */
    struct kn_budget *reading; /* of what archives have loaded */
    /* Retention 0: what all rings hold together, and how many are not empty (ring.c). */
    atomic_size_t ring_bytes, rings;
    uint64_t min_free_bytes; /* FRAG_STORE_MIN_FREE_DEFAULT: by the file system's size */
    int lock_fd;
    uint8_t id[FRAG_ID_BYTES];
    uint64_t epoch;
    bool journal_read; /* opening: the main directory's own copy could be read */
    char *index_path;
    const struct frag_open_hooks *hooks; /* of a rebuild, while it opens; else NULL */

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
    atomic_bool noted; /* some stream has gap notes */

    /* Counters of struct frag_store_stats. */
    atomic_uint_least64_t appended, failed, syncs, sync_errors, commits;
    atomic_uint_least64_t deleted_reels, deleted_bytes;
    struct frag_shared_times sync_times;
    atomic_size_t queued_rows; /* sent to the clerk and not written yet */
};

/* Least free space of a folder's file system, in bytes; below a quarter of it nothing is written.
 */
uint64_t frag_folder_min_free(const struct frag_folder *folder);
/* Looks at the file system, sets free_bytes and `full`. */
void frag_folder_look(struct frag_folder *folder);
/* So little is free that reels take only what they write. Any thread. */
bool frag_folder_is_scarce(const struct frag_folder *folder);
/* A write found no room. The folder is full until there is more than now, or until it is not
 * avoided any more; and retention makes room by itself from now on. Disk. */
void frag_folder_found_full(struct frag_folder *folder);
/* Is it still the directory that was opened, or was it unmounted or replaced? 0; -ENODEV, logged
 * once; or what reading its identity failed with. Any thread. */
KN_MUST_CHECK int frag_folder_check(struct frag_folder *folder);
/* Where it is not there: makes it and syncs its parent, so that what is in it cannot be lost with
 * its name. */
KN_MUST_CHECK int frag_folder_make(struct frag_io *io, const char *path);
struct frag_folder *frag_store_folder(struct frag_store *store, uint16_t number);
/* "<folder>/<path>" in room. 0 or KN_E_LIMIT. */
KN_MUST_CHECK int frag_folder_join(const struct frag_folder *folder, const char *path, char *room,
                                   size_t room_bytes);

/* ---- janitor.c, for open.c and disk.c ---- */

/* Before the threads of clerk and disks start, once the index is there: sets store->janitor, and
 * looks at the clock before anything is recorded by it. 0, -ENOMEM, or as the index answers. */
KN_MUST_CHECK int frag_janitor_create(struct frag_store *store, bool clock_confirmed);
/* Its thread, where the store has threads; once clerk and disks have theirs. */
KN_MUST_CHECK int frag_janitor_start(struct frag_store *store);
/* Ends the thread while clerk and disks still work; fine without a janitor. */
void frag_janitor_stop(struct frag_store *store);
/* When no other thread is left. NULL is fine. */
void frag_janitor_destroy(struct frag_janitor *janitor);
/* A disk is full or low: a pass now. Any thread, does not wait. */
void frag_janitor_wake(struct frag_store *store);
bool frag_janitor_clock_in_doubt(struct frag_store *store);
/* Without threads: a pass, if one was asked for or the last one is a minute ago. */
void frag_janitor_pass_if_due(struct frag_store *store);
/* Sets `held` of all streams, once they are there and before other threads are. */
KN_MUST_CHECK int frag_holds_open(struct frag_store *store);
/* Clerk. Is anything of this stream held? (Where the answer cannot be had: yes.) */
bool frag_holds_any(struct frag_store *store, const uint8_t stream[static FRAG_ID_BYTES]);

/* ---- totals of streams; clerk ---- */

/* A reel's bytes and fragments came (+1) or went (-1). */
void frag_totals_reel(struct frag_stream *stream, int sign, uint64_t bytes, uint64_t fragments);
/* Of a reel that stays. */
void frag_totals_grow(struct frag_stream *stream, uint64_t bytes, uint64_t fragments);

/* ---- gaps (gaps.c) ---- */

/* Any thread, does not wait: the clerk does _open or _add once all fragments are finished that were
 * published before. */
void frag_gaps_note(struct frag_stream *stream, const struct frag_gap_entry *gap);
/* The same where the caller holds the stream's lock. */
void frag_gaps_note_locked(struct frag_stream *stream, const struct frag_gap_entry *gap);

/* The rest is the clerk's. */
void frag_gaps_take_notes(struct frag_store *store);
void frag_gaps_take_notes_of(struct frag_stream *stream);
/* A fragment is durable or failed; caller holds the stream's lock. Any thread. */
void frag_gaps_finished(struct frag_stream *stream, uint64_t sequence);

/* The open gap, if any, ends; then, with `cause`, another one is open from `from` on. Journalled;
 * told to the tail. 0 or the journal's failure. */
KN_MUST_CHECK int frag_gaps_open(struct frag_stream *stream, const struct frag_gap_entry *gap);
/* The open one says something else now (its cause or ordinals). */
KN_MUST_CHECK int frag_gaps_renew(struct frag_stream *stream, const struct frag_gap_entry *gap);
/* No-op where none is open. */
KN_MUST_CHECK int frag_gaps_close(struct frag_stream *stream, struct kn_wall to);
/* One that is over. */
KN_MUST_CHECK int frag_gaps_add(struct frag_stream *stream, const struct frag_gap_entry *gap);
/* Those that ended before `before` are forgotten (retention). */
KN_MUST_CHECK int frag_gaps_forget(struct frag_stream *stream, struct kn_wall before);

#endif
