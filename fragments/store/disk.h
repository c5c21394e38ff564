/* Inner: the disk threads and what they tell the clerk. */
#ifndef FRAGMENTS_STORE_DISK_H
#define FRAGMENTS_STORE_DISK_H

#include "fragments/store/reel.h"
#include "fragments/store/session.h"

/* A reel closes at this size, or when its stream's next ten minutes begin (each stream has its own
 * moment), or where its fragments would not lie within FRAG_REEL_SPAN_NS. */
#define FRAG_REEL_CLOSE_BYTES ((uint64_t)256 << 20)
/* ... and no more than this share of its disk. */
#define FRAG_REELS_A_DISK 32u
#define FRAG_REEL_CLOSE_NS (10 * 60 * KN_NS_PER_S)
/* A step of the producer's clock that opens another one. */
#define FRAG_REEL_JUMP_NS (10 * 60 * KN_NS_PER_S)

/* A reel being written. The disk's, but for `index_row`, which is the clerk's; counted, because
 * messages to the clerk outlive it. */
struct frag_open_reel {
    atomic_size_t refs;
    struct frag_session *session; /* a reference */
    struct frag_folder *folder;
    struct frag_reel_identity identity;
    char path[FRAG_REEL_PATH_BYTES];
    struct frag_reel *reel; /* NULL: closed or given up */
    struct kn_tracks *tracks;
    uint64_t head_bytes; /* where its first cluster begins */
    uint64_t told_bytes; /* up to here the clerk knows of it */
    int64_t period;      /* which ten minutes it is of */
    struct kn_wall server_min, server_max, producer_min, producer_max, producer_end;
    bool dirty;
    bool told;              /* the clerk has heard of it */
    int error;              /* why it was given up */
    uint64_t durable_bytes; /* then: what of it counts */
    bool removed;           /* then: nothing did, and its file is gone for good */
    uint64_t closed_bytes;
    struct frag_open_reel *next; /* of the disk's */

    int64_t index_row; /* 0: none */
    bool index_failed; /* the index would not have one of its rows: the next start mends it */
};

struct frag_open_reel *frag_open_reel_ref(struct frag_open_reel *reel);
void frag_open_reel_unref(struct frag_open_reel *reel);

enum frag_event_kind {
    FRAG_EVENT_OPENED,
    FRAG_EVENT_WRITTEN, /* `write`: durable, or failed with its error */
    FRAG_EVENT_CLOSED,  /* `bytes`: of the file */
    FRAG_EVENT_SEALED   /* `bytes`: its last durable offset */
};

struct frag_event {
    enum frag_event_kind kind;
    struct frag_open_reel *reel; /* a reference; NULL for a write that found no reel */
    struct frag_write *write;    /* owned */
    uint64_t bytes;
};

/* What one tick of a disk did, in its order. */
struct frag_batch {
    struct frag_job job; /* first */
    struct frag_batch *next;
    size_t count, room;
    struct frag_event events[];
};

/* ---- the clerk's side (clerk.c) ---- */

/* For frag_store_open and _close. */
KN_MUST_CHECK int frag_clerk_start(struct frag_store *store);
/* Ends the thread; what was sent is done before. */
void frag_clerk_stop(struct frag_store *store);
/* Tries again what could not be written yet. 0, or what is in the way. Clerk. */
KN_MUST_CHECK int frag_clerk_retry(struct frag_store *store);
/* Gives up what waits: as after kill -9. Clerk. */
void frag_clerk_drop(struct frag_store *store);
/* The job's function of a batch. */
void frag_batch_run(struct frag_job *job);

/* ---- the disk's side (disk.c) ---- */

KN_MUST_CHECK int frag_disk_create(struct frag_folder *folder, struct frag_disk **ret_disk);
/* Starts its thread, where the store has threads. */
KN_MUST_CHECK int frag_disk_start(struct frag_disk *disk);
/* What was submitted is written; reels are closed where `close_reels`; the thread ends. */
void frag_disk_stop(struct frag_disk *disk, bool close_reels);
void frag_disk_destroy(struct frag_disk *disk);
/* Any thread. 0: it will be finished. -EAGAIN: the disk is behind; KN_E_CLOSED. */
KN_MUST_CHECK int frag_disk_submit(struct frag_disk *disk, struct frag_write *write);
/* What was submitted before is with the clerk when it returns. */
void frag_disk_flush(struct frag_disk *disk);
/* Without threads: does what was submitted. */
void frag_disk_work(struct frag_disk *disk);
/* How many are waiting, and their weight (frag_write_weight). */
size_t frag_disk_waiting(struct frag_disk *disk);
size_t frag_disk_waiting_bytes(struct frag_disk *disk);
/* Whether one of this weight would be taken now; where others submit too, that may change. */
bool frag_disk_has_room(struct frag_disk *disk, size_t weight);

/* ---- one tick (disk_tick.c); disk thread ---- */

struct frag_tick {
    struct frag_disk *disk;
    struct frag_folder *folder;
    struct frag_open_reel **reels; /* the disk's list */
    struct frag_mkv_packer *packer;
};

/* Appends, syncs and closes; then the clerk hears of it. `writes` are used up. With `close_all`
 * every reel is closed. */
void frag_tick_run(const struct frag_tick *tick, struct frag_write **writes, size_t count,
                   bool close_all);

#endif
