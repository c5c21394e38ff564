/* Inner: what the parts of retention share. */
#ifndef FRAGMENTS_STORE_RETENTION_H
#define FRAGMENTS_STORE_RETENTION_H

#include "fragments/store/engine.h"
#include "fragments/store/reel.h"
#include "fragments/store/retention_plan.h"

/* ---- holds (holds.c) ---- */

struct frag_held_range {
    uint8_t stream[FRAG_ID_BYTES];
    enum frag_clock clock;
    struct kn_wall from, to;
};

struct frag_held {
    struct frag_held_range *ranges;
    size_t count, room;
};

/* All ranges, or those of one stream. Clerk; an opened-for-reading store's any thread. */
KN_MUST_CHECK int frag_held_load(struct frag_store *store, const uint8_t *stream,
                                 struct frag_held *ret_held);
void frag_held_finish(struct frag_held *held);
bool frag_held_any(const struct frag_held *held, const uint8_t stream[static FRAG_ID_BYTES]);
/* Has the fragment any part in a range? It begins at its time and ends before time + duration; one
 * without a duration is an instant. */
bool frag_held_touches(const struct frag_held *held, const uint8_t stream[static FRAG_ID_BYTES],
                       const struct frag_reel_row *row);

/* ---- copies (retention_keep.c); blocks, any thread ---- */

/* A kept reel on disk that the index does not know yet. */
struct frag_keep {
    struct frag_reel_identity identity;
    char path[FRAG_REEL_PATH_BYTES]; /* below its storage directory */
    uint64_t bytes;
    struct kn_writer table; /* packed */
    uint64_t *sequences;    /* of its fragments, rising */
    size_t count;
};

/* Copies rows of `old` (rising sequences, at least one) to a new kept reel in the same storage
 * directory: clusters byte for byte, trailers new; synced and closed. KN_E_MALFORMED,
 * KN_E_TRUNCATED: what was to be copied is damaged. An errno. Nothing is left behind then, as far
 * as that is possible. */
KN_MUST_CHECK int frag_keep_copy(struct frag_folder *folder, const char *stream_name,
                                 const struct frag_index_reel *old,
                                 const struct frag_reel_row *rows, size_t count,
                                 struct frag_keep *ret_keep);
bool frag_keep_has(const struct frag_keep *keep, uint64_t sequence);
/* Does the index have this fragment of a reel in a kept one as well? */
bool frag_keep_exists(struct frag_index *index, const uint8_t stream[static FRAG_ID_BYTES],
                      int64_t reel, uint64_t sequence);
/* Removes the file: it was not needed. */
void frag_keep_remove(struct frag_folder *folder, const struct frag_keep *keep);
void frag_keep_finish(struct frag_keep *keep);

/* ---- one reel (retention_take.c) ---- */

enum frag_fate {
    FRAG_FATE_GONE,   /* it was deleted, or was not there any more */
    FRAG_FATE_STAYS,  /* it may not go now */
    FRAG_FATE_DAMAGED /* what is held in it cannot be copied: it stays as a whole */
};

struct frag_take {
    struct frag_stream *stream; /* NULL: the reel says which, and it is set */
    int64_t row;
    enum frag_retention_cause cause;
    int64_t retention_ns;     /* that the cause is about */
    uint64_t retention_bytes; /* likewise */
    bool copy;                /* false: held fragments that are not copied yet make it stay */

    enum frag_fate fate;
    int copy_error; /* why it stays: its own copy failed, others may go */
    bool marked;    /* it is not found any more, but its file may be there: try again */
    uint64_t bytes, copied_bytes;
};

/* Decides again, copies what is held, marks, unlinks, drops the row. 0 and the fate, or a failure.
 * Janitor's thread. */
KN_MUST_CHECK int frag_take_reel(struct frag_store *store, struct frag_take *take);
/* The index that the clerk writes, opened again where it had failed. Clerk. */
KN_MUST_CHECK int frag_take_index(struct frag_store *store, struct frag_index **ret_index);

/* ---- which reels there are (retention_gather.c) ---- */

/* Reels that may go, and what a plan must know of streams and disks. */
struct frag_gathering {
    struct frag_store *store;
    struct frag_index *index; /* its own connection */
    struct frag_held held;
    uint8_t (*seals)[FRAG_ID_BYTES]; /* reels that are given up: nobody writes to them */
    size_t seal_count, seal_room;
    struct frag_stream **which;               /* by the plan's number of the stream */
    size_t disk_of[FRAG_CATALOG_FOLDERS_MAX]; /* by place in store->folders */
    struct frag_plan plan;
    size_t reel_room;
    /* By disk, for what is foretold: bytes that may be deleted, and bytes a day that may not. */
    uint64_t deletable[FRAG_CATALOG_FOLDERS_MAX], held_per_day[FRAG_CATALOG_FOLDERS_MAX];
    struct kn_wall held_until[FRAG_CATALOG_FOLDERS_MAX];
};

/* Opens the index and lists streams, disks and holds. `foretell`: measures what was written in the
 * last 24 h, for which it looks at every reel. On failure there is nothing to finish. */
KN_MUST_CHECK int frag_gather_begin(struct frag_store *store, struct kn_wall now,
                                    struct kn_wall until, bool foretell,
                                    struct frag_gathering *ret_gathering);
void frag_gather_finish(struct frag_gathering *gathering);
/* Lists reels and starts the plan. */
KN_MUST_CHECK int frag_gather_reels(struct frag_gathering *gathering, bool clock_in_doubt);

/* ---- is the clock right? (retention_clock.c) ---- */

enum frag_doubt { FRAG_DOUBT_NONE, FRAG_DOUBT_STEPPED, FRAG_DOUBT_FUTURE, FRAG_DOUBT_ALL };

struct frag_doubt_facts {
    int64_t moved_ns; /* wall against monotonic since the clock was last known to be right */
    struct kn_wall now;
    struct kn_wall newest; /* server time of the newest stored fragment; INT64_MIN: none */
    bool all_expire;       /* every reel of all streams would go by age at once, and they are more
                            * than one */
    bool one_expires;      /* likewise of one stream; asked at opening */
    bool confirmed;        /* an operator said it was right, when moved_ns was 0 */
    enum frag_doubt before;
};

/* Pure. A doubt stays until it is resolved: new recordings do not. */
enum frag_doubt frag_doubt_decide(const struct frag_doubt_facts *facts);
const char *frag_doubt_text(enum frag_doubt doubt);
/* The kernel says that the machine's clock is synchronised. */
bool frag_clock_synchronised(const struct kn_clock *clock);
/* newest, all_expire and one_expires, as the gathering's index has them. */
KN_MUST_CHECK int frag_gather_doubt(struct frag_gathering *gathering, bool opening,
                                    struct frag_doubt_facts *ret_facts);

/* The janitor's view of the clock, as of now (janitor.c). Also without a janitor. */
KN_MUST_CHECK int frag_janitor_doubt(struct frag_gathering *gathering, bool opening,
                                     enum frag_doubt *ret_doubt);

/* ---- a pass (retention.c); one at a time ---- */

/* Rows of the index. */
struct frag_rows {
    int64_t *all;
    size_t count, room;
};

/* What passes remember; zeros at first. */
struct frag_pass_memory {
    struct frag_rows marked;  /* could not be unlinked or dropped: tried again */
    struct frag_rows damaged; /* with fragments that cannot be copied: told once */
    int told_error;           /* of the last pass: told once too */
    uint64_t deleted;         /* reels, by the last pass */
    atomic_bool stop;         /* ends a pass between two reels; any thread */
};

/* 0 or the first failure; what could be done was done. */
KN_MUST_CHECK int frag_retention_pass(struct frag_store *store, struct frag_pass_memory *memory);
void frag_pass_memory_finish(struct frag_pass_memory *memory);

/* ---- streams that are deleted, expired gaps (retention_streams.c) ---- */

/* Nothing of it was found: what the catalog has of it goes too. */
KN_MUST_CHECK int frag_erase_stream(struct frag_stream *stream);
/* Forgets gaps that ended before what is visible. */
KN_MUST_CHECK int frag_expire_gaps(struct frag_store *store);

#endif
