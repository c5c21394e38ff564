/* The tail of one stream: the fragments that are not in the index yet, and the subscribers.
 *
 * One lock, a leaf, guards all of it, so every subscriber sees one and the same order, and joining
 * is one moment for both what is kept and what will come. Nobody is called under it: what has to
 * happen outside (waking readers, freeing events) is collected in a `struct after`.
 *
 * An event lies once in memory and in the ring of each subscription. The inbox of a subscription
 * only carries its wake-ups, one at a time: `woken` is set by who puts something into the ring and
 * cleared by the reader when it finds nothing, so a wake-up always finds room. */
#include "fragments/tail.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/fragment_settle.h"

#define DEFAULT_EVENTS 512
/* How many events a subscriber gets before others on its loop have their turn. */
#define TURN_EVENTS 256

/* One owner: its references. Immutable once in a ring. */
struct event {
    struct frag_tail_event face;
    size_t refs; /* under the tail's lock */
    struct event *next_dead;
};

struct frag_subscription {
    struct frag_tail *tail;
    struct frag_subscription_config config;
    struct kn_inbox *inbox;
    bool ended; /* loop thread: it has left */
    /* Under the tail's lock: */
    size_t refs; /* one until handle_closed, one while it is in a `struct after` */
    bool woken;
    struct frag_subscription *next, *prev, *next_wake;
    /* What was kept when it joined, told before the ring. */
    struct event **joined;
    size_t joined_next, joined_count;
    struct event **ring; /* config.max_events; NULL: here memory was short for an event */
    size_t first, count;
    uint64_t missed; /* just before ring[first] */
};

/* A fragment that is kept, with both events of its life: settling needs no memory. */
struct kept {
    struct event *sealed;
    struct event *outcome;
    bool settled;   /* durable: the outcome was told */
    bool forgotten; /* but not settled yet */
};

struct frag_tail {
    struct frag_tail_config config;
    atomic_size_t sample_subscribers; /* changed under the lock */
    pthread_mutex_t lock;
    /* Under the lock: */
    size_t refs; /* the creator's, every subscription's */
    struct frag_subscription *subscriptions;
    size_t subscription_count; /* also those that are just being opened */
    struct kept *kept;         /* config.max_fragments, oldest first */
    size_t kept_count;
};

/* What is left to do when the lock is open again. */
struct after {
    struct frag_subscription *wake; /* a reference each */
    struct event *dead;
};

static void lock(struct frag_tail *tail) {
    (void)pthread_mutex_lock(&tail->lock); /* a plain mutex, never held twice: cannot fail */
}

static void unlock(struct frag_tail *tail) {
    (void)pthread_mutex_unlock(&tail->lock);
}

/* ---- events ---- */

static int event_create(const struct frag_tail_event *face, struct event **ret_event) {
    struct event *event = calloc(1, sizeof(*event));
    if (event == NULL) {
        return -ENOMEM;
    }
    event->face = *face;
    event->face.sample = kn_sample_ref(&face->sample);
    if (face->tracks != NULL) {
        event->face.tracks = kn_tracks_ref(face->tracks);
    }
    if (face->fragment != NULL) {
        event->face.fragment = frag_fragment_ref(face->fragment);
    }
    event->refs = 1;
    *ret_event = event;
    return 0;
}

/* May free megabytes: not under the lock. */
static void event_destroy(struct event *event) {
    if (event != NULL) {
        kn_tracks_unref(event->face.tracks);
        kn_sample_unref(&event->face.sample);
        frag_fragment_unref(event->face.fragment);
        free(event);
    }
}

/* Under the lock. NULL is fine. */
static void event_drop(struct event *event, struct after *after) {
    if (event != NULL && --event->refs == 0) {
        event->next_dead = after->dead;
        after->dead = event;
    }
}

static struct event *event_ref(struct event *event) {
    event->refs++;
    return event;
}

/* ---- references ---- */

static void tail_free(struct frag_tail *tail) {
    for (size_t i = 0; i < tail->kept_count; i++) {
        event_destroy(tail->kept[i].sealed);
        event_destroy(tail->kept[i].outcome);
    }
    free(tail->kept);
    (void)pthread_mutex_destroy(&tail->lock);
    free(tail);
}

static void tail_unref(struct frag_tail *tail) {
    lock(tail);
    bool last = --tail->refs == 0;
    unlock(tail);
    if (last) {
        tail_free(tail);
    }
}

static void subscription_free(struct frag_subscription *subscription) {
    kn_inbox_unref(subscription->inbox);
    free(subscription->joined);
    free(subscription->ring);
    free(subscription);
}

static void subscription_unref(struct frag_subscription *subscription) {
    struct frag_tail *tail = subscription->tail;
    lock(tail);
    bool last = --subscription->refs == 0;
    unlock(tail);
    if (last) {
        subscription_free(subscription);
        tail_unref(tail);
    }
}

/* Outside the lock. A woken reader may let others chain the subscription anew: look first. */
static void finish(struct after *after) {
    for (struct frag_subscription *at = after->wake, *next; at != NULL; at = next) {
        next = at->next_wake;
        (void)kn_inbox_send(at->inbox, at, 1); /* fails only when it is ending: nobody listens */
        subscription_unref(at);
    }
    for (struct event *at = after->dead, *next; at != NULL; at = next) {
        next = at->next_dead;
        event_destroy(at);
    }
}

/* ---- rings: under the lock ---- */

static struct event *pop(struct frag_subscription *subscription) {
    struct event *event = subscription->ring[subscription->first];
    subscription->first = (subscription->first + 1) % subscription->config.max_events;
    subscription->count--;
    return event;
}

static void wake(struct frag_subscription *subscription, struct after *after) {
    if (!subscription->woken) {
        subscription->woken = true;
        subscription->refs++;
        subscription->next_wake = after->wake;
        after->wake = subscription;
    }
}

static void push(struct frag_subscription *subscription, struct event *event, struct after *after) {
    size_t max = subscription->config.max_events;
    if (subscription->count == max) {
        event_drop(pop(subscription), after);
        subscription->missed++;
    }
    subscription->ring[(subscription->first + subscription->count++) % max] =
        event != NULL ? event_ref(event) : NULL;
    wake(subscription, after);
}

/* To all that want it. `event` is NULL when there was no memory for it. */
static void push_all(struct frag_tail *tail, struct event *event, bool is_sample,
                     struct after *after) {
    for (struct frag_subscription *at = tail->subscriptions; at != NULL; at = at->next) {
        if (!is_sample || at->config.samples) {
            push(at, event, after);
        }
    }
}

/* ---- tail ---- */

struct frag_tail_config frag_tail_config_defaults(void) {
    return (struct frag_tail_config){.max_fragments = 64, .max_subscribers = 256};
}

int frag_tail_create(const struct frag_tail_config *config, struct frag_tail **ret_tail) {
    KN_ASSERT(config->max_fragments > 0);
    struct frag_tail *tail = calloc(1, sizeof(*tail));
    if (tail == NULL) {
        return -ENOMEM;
    }
    tail->config = *config;
    tail->kept = calloc(config->max_fragments, sizeof(*tail->kept));
    if (tail->kept == NULL) {
        free(tail);
        return -ENOMEM;
    }
    tail->refs = 1;
    atomic_init(&tail->sample_subscribers, 0);
    KN_ASSERT(pthread_mutex_init(&tail->lock, NULL) == 0); /* cannot fail with default attributes */
    *ret_tail = tail;
    return 0;
}

void frag_tail_destroy(struct frag_tail *tail) {
    if (tail != NULL) {
        tail_unref(tail);
    }
}

/* ---- publishing ---- */

static int publish(struct frag_tail *tail, const struct frag_tail_event *face) {
    struct event *event = NULL;
    int rc = event_create(face, &event);
    struct after after = {NULL, NULL};
    lock(tail);
    push_all(tail, event, face->kind == FRAG_TAIL_SAMPLE, &after);
    event_drop(event, &after);
    unlock(tail);
    finish(&after);
    return rc;
}

int frag_tail_publish_sample(struct frag_tail *tail, struct frag_number number,
                             struct kn_wall producer, struct kn_tracks *tracks,
                             const struct kn_sample *sample) {
    if (atomic_load_explicit(&tail->sample_subscribers, memory_order_relaxed) == 0) {
        return 0;
    }
    const struct frag_tail_event face = {.kind = FRAG_TAIL_SAMPLE,
                                         .number = number,
                                         .producer = producer,
                                         .tracks = tracks,
                                         .sample = *sample};
    return publish(tail, &face);
}

int frag_tail_publish_gap(struct frag_tail *tail, const struct frag_gap *gap, bool open) {
    const struct frag_tail_event face = {.kind = open ? FRAG_TAIL_GAP_OPEN : FRAG_TAIL_GAP_CLOSE,
                                         .gap = *gap};
    return publish(tail, &face);
}

int frag_tail_publish_end(struct frag_tail *tail) {
    const struct frag_tail_event face = {.kind = FRAG_TAIL_END};
    return publish(tail, &face);
}

static int kept_create(struct frag_fragment *fragment, struct kept *ret_kept) {
    const struct frag_tail_event face = {
        .kind = FRAG_TAIL_FRAGMENT, .number = fragment->start.number, .fragment = fragment};
    struct kept kept = {.sealed = NULL};
    int rc = event_create(&face, &kept.sealed);
    if (rc == 0) {
        rc = event_create(&face, &kept.outcome); /* its kind shows when it is settled */
    }
    if (rc != 0) {
        event_destroy(kept.sealed);
        return rc;
    }
    *ret_kept = kept;
    return 0;
}

/* Under the lock. */
static bool is_newest(const struct frag_tail *tail, const struct frag_fragment *fragment) {
    return tail->kept_count == 0 ||
           frag_number_compare(fragment->start.number,
                               tail->kept[tail->kept_count - 1].sealed->face.number) > 0;
}

int frag_tail_publish_fragment(struct frag_tail *tail, struct frag_fragment *fragment) {
    KN_ASSERT(frag_fragment_state(fragment) == FRAG_QUEUED);
    struct kept kept;
    int rc = kept_create(fragment, &kept);
    if (rc != 0) {
        return rc;
    }
    struct after after = {NULL, NULL};
    lock(tail);
    if (tail->kept_count == tail->config.max_fragments) {
        rc = KN_E_LIMIT;
        event_drop(kept.sealed, &after);
        event_drop(kept.outcome, &after);
    } else {
        KN_ASSERT(is_newest(tail, fragment));
        tail->kept[tail->kept_count++] = kept;
        push_all(tail, kept.sealed, false, &after);
    }
    unlock(tail);
    finish(&after);
    return rc;
}

/* Under the lock. */
static void remove_kept(struct frag_tail *tail, struct kept *kept, struct after *after) {
    event_drop(kept->sealed, after);
    event_drop(kept->outcome, after);
    size_t behind = (size_t)(&tail->kept[--tail->kept_count] - kept);
    memmove(kept, kept + 1, behind * sizeof(*kept));
}

/* Under the lock. NULL when it is not kept. */
static struct kept *find_kept(struct frag_tail *tail, const struct frag_fragment *fragment) {
    for (size_t i = 0; i < tail->kept_count; i++) {
        if (tail->kept[i].sealed->face.fragment == fragment) {
            return &tail->kept[i];
        }
    }
    return NULL;
}

void frag_tail_settle(struct frag_tail *tail, struct frag_fragment *fragment, int error) {
    struct after after = {NULL, NULL};
    lock(tail);
    frag_fragment_settle(fragment, error); /* here: who joins now hears of it exactly once */
    struct kept *kept = find_kept(tail, fragment);
    if (kept != NULL) {
        kept->settled = true;
        kept->outcome->face.kind = error == 0 ? FRAG_TAIL_DURABLE : FRAG_TAIL_FAILED;
        kept->outcome->face.error = error;
        push_all(tail, kept->outcome, false, &after);
        if (error != 0 || kept->forgotten) {
            remove_kept(tail, kept, &after);
        }
    }
    unlock(tail);
    finish(&after);
}

void frag_tail_forget(struct frag_tail *tail, struct frag_number number) {
    struct after after = {NULL, NULL};
    lock(tail);
    for (size_t i = tail->kept_count; i-- > 0;) {
        struct kept *kept = &tail->kept[i];
        if (frag_number_compare(kept->sealed->face.number, number) > 0) {
            continue;
        }
        kept->forgotten = true;
        if (kept->settled) {
            remove_kept(tail, kept, &after);
        }
    }
    unlock(tail);
    finish(&after);
}

/* ---- reading: on the loop thread ---- */

/* The next event, or how many were missed here. False: nothing waits, whoever comes wakes. */
static bool take(struct frag_subscription *subscription, struct event **ret_event,
                 uint64_t *ret_missed) {
    struct event *event = NULL;
    uint64_t missed = 0;
    lock(subscription->tail);
    if (subscription->joined_next < subscription->joined_count) {
        event = subscription->joined[subscription->joined_next++];
    } else {
        missed = subscription->missed;
        subscription->missed = 0;
        while (subscription->count > 0 && subscription->ring[subscription->first] == NULL) {
            (void)pop(subscription); /* the NULL we have just seen */
            missed++;
        }
        if (missed == 0 && subscription->count > 0) {
            event = pop(subscription);
        }
    }
    bool found = event != NULL || missed > 0;
    subscription->woken = found;
    unlock(subscription->tail);
    *ret_event = event;
    *ret_missed = missed;
    return found;
}

static void tell(struct frag_subscription *subscription, struct event *event, uint64_t missed) {
    const struct frag_subscription_config *config = &subscription->config;
    if (event == NULL) {
        const struct frag_tail_event miss = {.kind = FRAG_TAIL_MISSED, .missed = missed};
        config->handle_event(&miss, config->user);
        return;
    }
    config->handle_event(&event->face, config->user);
    struct after after = {NULL, NULL};
    lock(subscription->tail);
    event_drop(event, &after);
    unlock(subscription->tail);
    finish(&after);
}

/* A wake-up. The subscription outlives it, whatever handle_event does: handle_closed comes later,
 * from the loop. Once it has left there is nothing to take. */
static void handle_message(void *message, void *user) {
    struct frag_subscription *subscription = user;
    struct event *event;
    uint64_t missed;
    for (size_t i = 0; i < TURN_EVENTS; i++) {
        if (!take(subscription, &event, &missed)) {
            return;
        }
        tell(subscription, event, missed);
    }
    /* Still `woken`: this wake-up goes round once more. Fails when it has ended. */
    (void)kn_inbox_send(subscription->inbox, message, 1);
}

/* A wake-up owns nothing. */
static void discard(void *message, void *user) {
    (void)message;
    (void)user;
}

/* ---- subscribing: on the loop thread ---- */

static void leave(struct frag_subscription *subscription) {
    if (subscription->ended) {
        return;
    }
    subscription->ended = true;
    struct frag_tail *tail = subscription->tail;
    struct after after = {NULL, NULL};
    lock(tail);
    if (subscription->prev != NULL) {
        subscription->prev->next = subscription->next;
    } else {
        tail->subscriptions = subscription->next;
    }
    if (subscription->next != NULL) {
        subscription->next->prev = subscription->prev;
    }
    while (subscription->joined_next < subscription->joined_count) {
        event_drop(subscription->joined[subscription->joined_next++], &after);
    }
    while (subscription->count > 0) {
        event_drop(pop(subscription), &after);
    }
    if (subscription->config.samples) {
        atomic_fetch_sub_explicit(&tail->sample_subscribers, 1, memory_order_relaxed);
    }
    tail->subscription_count--;
    unlock(tail);
    finish(&after);
}

static void handle_closed(void *user) {
    struct frag_subscription *subscription = user;
    leave(subscription);
    if (subscription->config.handle_closed != NULL) {
        subscription->config.handle_closed(subscription->config.user);
    }
    subscription_unref(subscription);
}

static int open_subscription(struct frag_tail *tail, struct kn_loop *loop,
                             const struct frag_subscription_config *config,
                             struct frag_subscription **ret_subscription) {
    struct frag_subscription *subscription = calloc(1, sizeof(*subscription));
    if (subscription == NULL) {
        return -ENOMEM;
    }
    subscription->tail = tail;
    subscription->config = *config;
    if (config->max_events == 0) {
        subscription->config.max_events = DEFAULT_EVENTS;
    }
    subscription->refs = 1;
    subscription->joined = calloc(tail->config.max_fragments, 2 * sizeof(struct event *));
    subscription->ring = calloc(subscription->config.max_events, sizeof(struct event *));
    const struct kn_inbox_config inbox_config = {
        .max_messages = 1,
        .when_full = KN_QUEUE_REFUSE,
        .handle_message = handle_message,
        .discard = discard,
        .handle_closed = handle_closed,
        .user = subscription,
    };
    int rc = -ENOMEM;
    if (subscription->joined != NULL && subscription->ring != NULL) {
        rc = kn_inbox_open(loop, &inbox_config, &subscription->inbox);
    }
    if (rc != 0) {
        subscription_free(subscription);
        return rc;
    }
    *ret_subscription = subscription;
    return 0;
}

/* One moment for both: what is kept, and being in the list. */
static bool enter(struct frag_tail *tail, struct frag_subscription *subscription,
                  struct frag_number *ret_oldest) {
    struct after after = {NULL, NULL};
    lock(tail);
    tail->refs++;
    bool any = tail->kept_count > 0;
    if (any) {
        *ret_oldest = tail->kept[0].sealed->face.number;
    }
    for (size_t i = 0; i < tail->kept_count && !subscription->config.only_new; i++) {
        const struct kept *kept = &tail->kept[i];
        subscription->joined[subscription->joined_count++] = event_ref(kept->sealed);
        if (kept->settled) {
            subscription->joined[subscription->joined_count++] = event_ref(kept->outcome);
        }
    }
    if (subscription->joined_count > 0) {
        wake(subscription, &after); /* tells what is kept even if nothing new comes */
    }
    subscription->next = tail->subscriptions;
    if (subscription->next != NULL) {
        subscription->next->prev = subscription;
    }
    tail->subscriptions = subscription;
    if (subscription->config.samples) {
        atomic_fetch_add_explicit(&tail->sample_subscribers, 1, memory_order_relaxed);
    }
    unlock(tail);
    finish(&after);
    return any;
}

int frag_tail_subscribe(struct frag_tail *tail, struct kn_loop *loop,
                        const struct frag_subscription_config *config, bool *ret_kept,
                        struct frag_number *ret_oldest,
                        struct frag_subscription **ret_subscription) {
    KN_ASSERT(config->handle_event != NULL);
    lock(tail);
    bool room = tail->subscription_count < tail->config.max_subscribers;
    tail->subscription_count += room ? 1 : 0;
    unlock(tail);
    if (!room) {
        return KN_E_LIMIT;
    }
    struct frag_subscription *subscription = NULL;
    int rc = open_subscription(tail, loop, config, &subscription);
    if (rc != 0) {
        lock(tail);
        tail->subscription_count--;
        unlock(tail);
        return rc;
    }
    *ret_kept = enter(tail, subscription, ret_oldest);
    *ret_subscription = subscription;
    return 0;
}

void frag_tail_unsubscribe(struct frag_subscription *subscription) {
    if (subscription != NULL) {
        leave(subscription);
        kn_inbox_close(subscription->inbox); /* handle_closed does the rest */
    }
}
