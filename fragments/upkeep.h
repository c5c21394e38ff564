/* What the operator of a store does: gaps, holds, retention, check, rebuild. Everything here
 * blocks. */
#ifndef FRAGMENTS_UPKEEP_H
#define FRAGMENTS_UPKEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "fragments/archive.h"
#include "fragments/store.h"

/* ---- gaps ---- */

struct frag_gap_entry {
    struct frag_gap gap; /* server clock; `to` as `from` while open */
    bool open;
    uint64_t ordinal;  /* the ordinals no fragment has because of it: the first one ... */
    uint32_t ordinals; /* ... and how many */
};

/* Kept for each stream; the oldest go first. */
#define FRAG_GAPS_MAX 10000u

/* Those that touch [from, to], oldest first. A negative answer of `each` ends it and is returned.
 */
KN_MUST_CHECK int frag_gap_each(struct frag_stream *stream, struct kn_wall from, struct kn_wall to,
                                int (*each)(const struct frag_gap_entry *gap, void *user),
                                void *user);
/* What the store cannot know by itself (schedule, operator, source refused). Durable. */
KN_MUST_CHECK int frag_gap_add(struct frag_stream *stream, const struct frag_gap *gap, bool open);

/* ---- holds: fragments that retention must not take ---- */

#define FRAG_HOLD_REASON_BYTES 257
#define FRAG_HOLDS_MAX 10000u /* of a store */

struct frag_hold {
    uint8_t id[FRAG_ID_BYTES];           /* given by frag_hold_add */
    char stream[FRAG_STREAM_NAME_BYTES]; /* set by frag_hold_each */
    enum frag_clock clock;
    struct kn_wall from, to; /* fragments that have any part in it are held */
    char reason[FRAG_HOLD_REASON_BYTES];
    struct kn_wall created;
};

/* Durable when it returns 0: from then on nothing under it is deleted. -EINVAL: from after to, or a
 * reason that is no line of UTF-8. KN_E_LIMIT. -EROFS. -ENOENT: the stream is deleted. */
KN_MUST_CHECK int frag_hold_add(struct frag_stream *stream, struct frag_hold *hold);
KN_MUST_CHECK int frag_hold_remove(struct frag_store *store,
                                   const uint8_t id[static FRAG_ID_BYTES]);
KN_MUST_CHECK int frag_hold_each(struct frag_store *store,
                                 int (*each)(const struct frag_hold *hold, void *user), void *user);

/* ---- retention ---- */

enum frag_retention_cause {
    FRAG_RETENTION_AGE,
    FRAG_RETENTION_BYTES,     /* the stream's limit */
    FRAG_RETENTION_FREE_SPACE /* the file system's least free space */
};

struct frag_retention_item {
    const char *stream;
    const char *path; /* of the reel, with its storage directory */
    enum frag_retention_cause cause;
    struct kn_wall from, to; /* server times of its fragments */
    struct kn_wall when;     /* when it goes; not before now */
    uint64_t bytes, fragments;
    uint64_t held_fragments; /* of these: copied to a kept reel first */
};

struct frag_retention_summary {
    uint64_t reels, bytes; /* that go until then */
    uint64_t held_bytes;   /* kept because of holds */
    bool clock_in_doubt;   /* nothing goes by age until it is resolved */
    const char *doubt;     /* why, in words; NULL */
    bool fills;            /* a disk would be full ... */
    struct kn_wall
        full_at; /* ... then, at the rate of the last 24 h, with nothing left to delete */
    uint64_t bytes_per_day;
};

/* What goes until `until`, in the order it goes, at the rate of the last 24 h. */
KN_MUST_CHECK int frag_retention_plan(struct frag_store *store, struct kn_wall until,
                                      int (*each)(const struct frag_retention_item *item,
                                                  void *user),
                                      void *user, struct frag_retention_summary *ret_summary);
/* One pass now. 0, -EROFS, or the first failure. */
KN_MUST_CHECK int frag_retention_run(struct frag_store *store);
/* The operator says that the clock is right. */
void frag_retention_confirm_clock(struct frag_store *store);

/* ---- check and rebuild ---- */

enum frag_check_severity {
    FRAG_CHECK_NOTE,   /* worth knowing, nothing is wrong */
    FRAG_CHECK_REPAIR, /* the next start, kinora rebuild or the operator puts it right */
    FRAG_CHECK_DAMAGE  /* bytes of video, journal or index are not as they were written */
};

struct frag_check_finding {
    enum frag_check_severity severity;
    const char *path;   /* the file; "" for the store as a whole */
    uint64_t from, to;  /* bytes of it; both 0: all of it */
    const char *stream; /* "" */
    const char *what;
};

struct frag_check_progress {
    uint64_t files, files_all, bytes, bytes_all;
};

struct frag_check_report {
    uint64_t files, bytes, fragments;
    uint64_t notes, repairs, damages;
};

struct frag_check_handler {
    /* A negative answer ends it and is returned. Either may be NULL. */
    int (*finding)(const struct frag_check_finding *finding, void *user);
    int (*progress)(const struct frag_check_progress *progress, void *user);
};

/* Reads everything of a store and compares: journal copies, index rows, reels with their
 * checksums, packed tables against trailers, numbers, ordinals, holds. Changes nothing; beside a
 * writer it leaves out what is being written. 0, also with findings; else as frag_store_open with
 * FRAG_STORE_READ (findings may have been told before, and the report counts them). */
KN_MUST_CHECK int frag_store_check(const struct frag_store_config *config,
                                   const struct frag_check_handler *handler, void *user,
                                   struct frag_check_report *ret_report);
/* Makes the index again from reels and journal; needs the store for itself. Files that the old one
 * knows and no directory has become gaps first, as at every start. As frag_store_open with
 * FRAG_STORE_WRITE; -ENOSPC, and the old index stays: no room for its size and 16 MiB more. */
KN_MUST_CHECK int frag_store_rebuild(const struct frag_store_config *config,
                                     const struct frag_check_handler *handler, void *user,
                                     struct frag_store_opening *ret_opening);

#endif
