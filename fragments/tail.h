/* The tail: the live end of one stream. Subscribers get samples and fragments as they arrive, on
 * their own loop, through a queue of their own; they never hold up the recording.
 *
 * It keeps every fragment from the moment it is sealed until its row is in the index
 * (frag_tail_forget) or its writing failed, so a reader that joins finds each fragment in the index
 * or here:
 *
 *     frag_tail_subscribe               register first: ret_oldest is the oldest one kept here
 *     read the index before ret_oldest  everything older is there
 *     go on with the events             the kept ones come first, then live; no hole, no repeat */
#ifndef FRAGMENTS_TAIL_H
#define FRAGMENTS_TAIL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attributes.h"
#include "base/loop.h"
#include "fragments/fragment.h"

enum frag_tail_kind {
    FRAG_TAIL_SAMPLE,   /* one sample of the fragment being built; a crash may still lose it */
    FRAG_TAIL_FRAGMENT, /* a fragment is complete */
    FRAG_TAIL_DURABLE,  /* ... is synced: it may be named in playlists and acknowledged */
    FRAG_TAIL_FAILED,   /* ... is lost: `error` says why */
    FRAG_TAIL_GAP_OPEN,
    FRAG_TAIL_GAP_CLOSE,
    FRAG_TAIL_END,   /* the stream was deleted: nothing comes any more */
    FRAG_TAIL_MISSED /* just here `missed` events are lacking: this subscriber was too slow, or
                      * memory was short */
};

/* Borrowed for the call; take references to keep. Which members are set follows from the kind. */
struct frag_tail_event {
    enum frag_tail_kind kind;
    struct frag_number number;      /* SAMPLE, FRAGMENT, DURABLE, FAILED */
    struct kn_wall producer;        /* SAMPLE: of its fragment */
    struct kn_tracks *tracks;       /* SAMPLE */
    struct kn_sample sample;        /* SAMPLE: times from the fragment's producer time */
    struct frag_fragment *fragment; /* FRAGMENT, DURABLE, FAILED */
    int error;                      /* FAILED */
    struct frag_gap gap;            /* GAP_OPEN, GAP_CLOSE */
    uint64_t missed;                /* MISSED */
};

struct frag_tail;
struct frag_subscription;

struct frag_tail_config {
    size_t max_fragments;   /* kept at once; the disk is behind when it is full. Default 64 */
    size_t max_subscribers; /* default 256 */
};

struct frag_tail_config frag_tail_config_defaults(void);
/* 0 or -ENOMEM. */
KN_MUST_CHECK int frag_tail_create(const struct frag_tail_config *config,
                                   struct frag_tail **ret_tail);
/* Subscriptions keep the tail alive until they end; nothing is published after this. NULL is fine.
 */
void frag_tail_destroy(struct frag_tail *tail);

/* ---- publishing: any thread; one order for all subscribers, in which what returned before
 * something else was called stands before it. 0 or what is said ---- */

/* -ENOMEM: who wants samples hears that it missed one. Costs nothing while nobody wants them. */
KN_MUST_CHECK int frag_tail_publish_sample(struct frag_tail *tail, struct frag_number number,
                                           struct kn_wall producer, struct kn_tracks *tracks,
                                           const struct kn_sample *sample);
/* A sealed fragment, its number above all before it. KN_E_LIMIT: max_fragments are kept already,
 * this one is not taken; -ENOMEM likewise: nobody hears of it, now or when it is settled. */
KN_MUST_CHECK int frag_tail_publish_fragment(struct frag_tail *tail,
                                             struct frag_fragment *fragment);
/* queued -> durable, or with an error queued -> failed, and tells it; a failed one is not kept any
 * longer. After its frag_tail_publish_fragment returned. Cannot fail: that one took the memory. */
void frag_tail_settle(struct frag_tail *tail, struct frag_fragment *fragment, int error);
/* The index has the row of this fragment and of all before it. What is not settled by then is kept
 * until it is. */
void frag_tail_forget(struct frag_tail *tail, struct frag_number number);
/* -ENOMEM: the subscribers hear that they missed something. */
KN_MUST_CHECK int frag_tail_publish_gap(struct frag_tail *tail, const struct frag_gap *gap,
                                        bool open);
/* The stream is deleted. Likewise. */
KN_MUST_CHECK int frag_tail_publish_end(struct frag_tail *tail);

/* ---- subscribing: on the subscriber's loop thread ---- */

struct frag_subscription_config {
    bool samples;  /* also FRAG_TAIL_SAMPLE */
    bool only_new; /* what is kept when it joins is not told */
    /* Waiting, besides what was kept when it joined; beyond it the oldest go and FRAG_TAIL_MISSED
     * tells. 0: 512. */
    size_t max_events;
    void (*handle_event)(const struct frag_tail_event *event, void *user);
    /* Once, after the last event, because of frag_tail_unsubscribe or because the loop ended: the
     * subscription is gone and `user` may be freed. May be NULL. */
    void (*handle_closed)(void *user);
    void *user;
};

/* 0; KN_E_LIMIT (max_subscribers); -ENOMEM; KN_E_CLOSED (the loop is ending). `ret_kept` tells
 * whether any fragment is kept, `ret_oldest` its number. No event comes before this returns. */
KN_MUST_CHECK int frag_tail_subscribe(struct frag_tail *tail, struct kn_loop *loop,
                                      const struct frag_subscription_config *config, bool *ret_kept,
                                      struct frag_number *ret_oldest,
                                      struct frag_subscription **ret_subscription);
/* No event comes after this returns; handle_closed follows soon. Also from inside handle_event.
 * NULL is fine. */
void frag_tail_unsubscribe(struct frag_subscription *subscription);

#endif
