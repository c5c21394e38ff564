/* Inner: which reels go, in which order and why. Pure: values in, values out; one thread a plan.
 *
 *     fill streams, disks and reels (reels by rising `from`), then frag_plan_start
 *         -> frag_plan_next, until it answers 0
 *
 * A plan counts what it lets go: the bytes to free are known once, at the beginning. With `until`
 * after `now` it foretells: streams grow meanwhile at the rate they are given. */
#ifndef FRAGMENTS_STORE_RETENTION_PLAN_H
#define FRAGMENTS_STORE_RETENTION_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "fragments/upkeep.h"

#define FRAG_PLAN_NONE SIZE_MAX

struct frag_plan_item {
    size_t reel;  /* of plan->reels */
    bool deleted; /* because its stream is; else `cause` */
    enum frag_retention_cause cause;
    struct kn_wall when; /* from `now` to `until` */
};

struct frag_plan_stream {
    int64_t retention_ns;
    uint64_t retention_bytes; /* 0: no limit */
    bool deleting;
    uint64_t bytes;         /* of all its reels, those of the plan and others */
    uint64_t bytes_per_day; /* written from now on ... */
    size_t disk;            /* ... to this one, or FRAG_PLAN_NONE */

    /* The plan's own. */
    size_t first;    /* of its reels that may still go; FRAG_PLAN_NONE: no more */
    bool known, any; /* `next` is right; there is one */
    struct frag_plan_item next;
};

/* A file system. */
struct frag_plan_disk {
    uint64_t free_bytes;
    uint64_t least_bytes; /* that are to be free */

    size_t first; /* the plan's own: of all reels, where its oldest may be */
};

struct frag_plan_reel {
    int64_t row; /* of the index */
    size_t stream;
    size_t disk;             /* FRAG_PLAN_NONE: out of reach for now */
    struct kn_wall from, to; /* server time: the first fragment begins, the last one ends */
    uint64_t bytes, fragments;
    bool kept;
    bool writing; /* a disk may still append to it */
    /* Fragments that are to be copied first, and their bytes; of kept reels: under a hold. */
    uint64_t held_fragments, held_bytes;
    bool looked; /* `to` and held_* are as they are; else no earlier, and not known */

    size_t next; /* the plan's own: the stream's next one */
    bool gone;   /* chosen, or it stays whatever comes */
};

struct frag_plan {
    struct kn_wall now, until;
    bool clock_in_doubt; /* nothing goes by age */
    struct frag_plan_stream *streams;
    size_t stream_count;
    struct frag_plan_disk *disks;
    size_t disk_count;
    struct frag_plan_reel *reels;
    size_t reel_count;
    /* Finds what `looked` says. 0; 1: the reel stays, whatever comes; a failure ends the plan and
     * is returned. Not for reels of streams that are being deleted. */
    int (*look)(struct frag_plan_reel *reel, void *user);
    void *user;

    uint64_t held_bytes; /* of what would have gone by age, and of what is copied */
};

/* Of fragments that end at `end`; retention for ever never ends. */
struct kn_wall frag_plan_expiry(struct kn_wall end, int64_t retention_ns);
/* What is written to a stream until `when`, less what of that expires again. */
uint64_t frag_plan_written(const struct frag_plan *plan, const struct frag_plan_stream *stream,
                           struct kn_wall when);
/* The same, less what of it is over the stream's limit. */
uint64_t frag_plan_growth(const struct frag_plan *plan, const struct frag_plan_stream *stream,
                          struct kn_wall when);

void frag_plan_start(struct frag_plan *plan);
/* 1: what goes next; 0: nothing more until `until`; what `look` answered. */
KN_MUST_CHECK int frag_plan_next(struct frag_plan *plan, struct frag_plan_item *ret_item);
/* It could not go after all: something else may have to. */
void frag_plan_undo(struct frag_plan *plan, const struct frag_plan_item *item);

#endif
