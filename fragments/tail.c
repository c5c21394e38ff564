/* The tail of one stream: a ring of fragments that are not in the index yet, and the subscribers.
 *
 * The one lock guards the ring and the pointer to the list of subscribers; nothing is sent and
 * nobody is called under it. The list itself is immutable: subscribing makes a new one, and a
 * publisher that took the old one sends to it unhurriedly. What a subscription needs stays valid
 * through references: a list holds its subscriptions, a subscription its inbox and the tail. */
#include "fragments/tail.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/fragment_settle.h"

/* What goes through inboxes: one for all subscribers. */
struct event {
    struct frag_tail_event face;
    _Atomic unsigned refs;
};

struct frag_subscription {
    struct frag_tail *tail;
    struct frag_subscription_config config;
    struct kn_inbox *inbox;
    _Atomic unsigned refs;
    _Atomic uint64_t missed;
    atomic_bool ended;
    /* Loop thread only: what was kept when it joined, told before anything else. */
    struct event **joined;
    size_t joined_count;
};

struct list {
    _Atomic unsigned refs;
    size_t count;
    size_t want_samples;
    struct frag_subscription *items[];
};

struct frag_tail {
    struct frag_tail_config config;
    _Atomic unsigned refs;
    pthread_mutex_t lock;
    struct list *list;
    /* Oldest first. */
    struct frag_fragment **ring;
    size_t ring_from, ring_count;
};

/* ---- references ---- */

static void event_unref(struct event *event) {
    if (atomic_fetch_sub_explicit(&event->refs, 1, memory_order_acq_rel) == 1) {
        kn_tracks_unref(event->face.tracks);
        kn_sample_unref(&event->face.sample);
        frag_fragment_unref(event->face.fragment);
        free(event);
    }
}

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
    atomic_init(&event->refs, 1);
    *ret_event = event;
    return 0;
}

static void tail_unref(struct frag_tail *tail) {
    if (atomic_fetch_sub_explicit(&tail->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < tail->ring_count; i++) {
        frag_fragment_unref(tail->ring[(tail->ring_from + i) % tail->config.max_fragments]);
    }
    free(tail->ring);
    free(tail->list); /* without subscriptions: each of them holds the tail */
    (void)pthread_mutex_destroy(&tail->lock);
    free(tail);
}

static void subscription_unref(struct frag_subscription *subscription) {
    if (atomic_fetch_sub_explicit(&subscription->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < subscription->joined_count; i++) {
        event_unref(subscription->joined[i]);
    }
    free(subscription->joined);
    kn_inbox_unref(subscription->inbox);
    tail_unref(subscription->tail);
    free(subscription);
}

static void list_unref(struct list *list) {
    if (atomic_fetch_sub_explicit(&list->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        subscription_unref(list->items[i]);
    }
    free(list);
}

/* A list like `old` with `added` (may be NULL) and without those that have ended. */
static struct list *list_change(const struct list *old, struct frag_subscription *added) {
    struct list *list = calloc(1, sizeof(*list) + (old->count + 1) * sizeof(list->items[0]));
    if (list == NULL) {
        return NULL;
    }
    atomic_init(&list->refs, 1);
    for (size_t i = 0; i <= old->count; i++) {
        struct frag_subscription *item = i < old->count ? old->items[i] : added;
        if (item == NULL || atomic_load_explicit(&item->ended, memory_order_relaxed)) {
            continue;
        }
        atomic_fetch_add_explicit(&item->refs, 1, memory_order_relaxed);
        list->items[list->count++] = item;
        list->want_samples += item->config.samples ? 1 : 0;
    }
    return list;
}

/* ---- tail ---- */

struct frag_tail_config frag_tail_config_defaults(void) {
    return (struct frag_tail_config){.max_fragments = 64, .max_subscribers = 256};
}

int frag_tail_create(const struct frag_tail_config *config, struct frag_tail **ret_tail) {
    struct frag_tail *tail = calloc(1, sizeof(*tail));
    if (tail == NULL) {
        return -ENOMEM;
    }
    tail->config = *config;
    atomic_init(&tail->refs, 1);
    tail->ring = calloc(config->max_fragments, sizeof(struct frag_fragment *));
    tail->list = calloc(1, sizeof(*tail->list));
    if (tail->ring == NULL || tail->list == NULL || pthread_mutex_init(&tail->lock, NULL) != 0) {
        free(tail->ring);
        free(tail->list);
        free(tail);
        return -ENOMEM;
    }
    atomic_init(&tail->list->refs, 1);
    *ret_tail = tail;
    return 0;
}

void frag_tail_destroy(struct frag_tail *tail) {
    if (tail != NULL) {
        tail_unref(tail);
    }
}

static struct frag_fragment **ring_slot(struct frag_tail *tail, size_t i) {
    return &tail->ring[(tail->ring_from + i) % tail->config.max_fragments];
}

/* Takes the list to send to. Under the lock. */
static struct list *list_here(struct frag_tail *tail) {
    atomic_fetch_add_explicit(&tail->list->refs, 1, memory_order_relaxed);
    return tail->list;
}

static struct list *list_now(struct frag_tail *tail) {
    (void)pthread_mutex_lock(&tail->lock); /* a plain mutex of our own: cannot fail */
    struct list *list = list_here(tail);
    (void)pthread_mutex_unlock(&tail->lock);
    return list;
}

/* False when the list is not `old` any more. The tail's reference goes from `old` to `list`. */
static bool swap_list(struct frag_tail *tail, struct list *old, struct list *list) {
    (void)pthread_mutex_lock(&tail->lock);
    bool same = tail->list == old;
    if (same) {
        tail->list = list;
    }
    (void)pthread_mutex_unlock(&tail->lock);
    if (same) {
        list_unref(old);
    }
    return same;
}

/* Sends to all that want it, and gives the list back. */
static int send_to(struct list *list, const struct frag_tail_event *face) {
    bool sample = face->kind == FRAG_TAIL_SAMPLE;
    size_t wanted = sample ? list->want_samples : list->count;
    struct event *event = NULL;
    int rc = wanted == 0 ? 0 : event_create(face, &event);
    for (size_t i = 0; wanted > 0 && i < list->count; i++) {
        struct frag_subscription *subscription = list->items[i];
        if (sample && !subscription->config.samples) {
            continue;
        }
        if (event == NULL) {
            atomic_fetch_add_explicit(&subscription->missed, 1, memory_order_relaxed);
            continue;
        }
        atomic_fetch_add_explicit(&event->refs, 1, memory_order_relaxed);
        if (kn_inbox_send(subscription->inbox, event, 1) != 0) {
            event_unref(event); /* it has unsubscribed meanwhile */
        }
    }
    if (event != NULL) {
        event_unref(event);
    }
    list_unref(list);
    return rc;
}

int frag_tail_publish_sample(struct frag_tail *tail, struct frag_number number,
                             struct kn_tracks *tracks, const struct kn_sample *sample) {
    const struct frag_tail_event event = {
        .kind = FRAG_TAIL_SAMPLE, .number = number, .tracks = tracks, .sample = *sample};
    return send_to(list_now(tail), &event);
}

int frag_tail_publish_fragment(struct frag_tail *tail, struct frag_fragment *fragment) {
    (void)pthread_mutex_lock(&tail->lock);
    struct list *list = NULL;
    if (tail->ring_count < tail->config.max_fragments) {
        *ring_slot(tail, tail->ring_count++) = frag_fragment_ref(fragment);
        list = list_here(tail);
    }
    (void)pthread_mutex_unlock(&tail->lock);
    if (list == NULL) {
        return KN_E_LIMIT;
    }
    const struct frag_tail_event event = {
        .kind = FRAG_TAIL_FRAGMENT, .number = fragment->start.number, .fragment = fragment};
    /* Out of memory: the fragment is kept all the same, and the subscribers hear of a miss. */
    (void)send_to(list, &event);
    return 0;
}

/* Takes a fragment out of the ring, wherever it stands. Under the lock; the reference is the
 * caller's. */
static struct frag_fragment *ring_remove(struct frag_tail *tail,
                                         const struct frag_fragment *fragment) {
    for (size_t i = 0; i < tail->ring_count; i++) {
        struct frag_fragment *found = *ring_slot(tail, i);
        if (found == fragment) {
            for (size_t j = i; j + 1 < tail->ring_count; j++) {
                *ring_slot(tail, j) = *ring_slot(tail, j + 1);
            }
            tail->ring_count--;
            return found;
        }
    }
    return NULL;
}

int frag_tail_settle(struct frag_tail *tail, struct frag_fragment *fragment, int error) {
    const struct frag_tail_event event = {
        .kind = error == 0 ? FRAG_TAIL_DURABLE : FRAG_TAIL_FAILED,
        .number = fragment->start.number,
        .fragment = fragment,
        .error = error,
    };
    struct frag_fragment *dropped = NULL;
    (void)pthread_mutex_lock(&tail->lock);
    frag_fragment_settle(fragment, error); /* here: whoever joins now sees it exactly once */
    if (error != 0) {
        dropped = ring_remove(tail, fragment);
    }
    struct list *list = list_here(tail);
    (void)pthread_mutex_unlock(&tail->lock);
    int rc = send_to(list, &event);
    frag_fragment_unref(dropped);
    return rc;
}

void frag_tail_forget(struct frag_tail *tail, struct frag_number number) {
    for (;;) {
        struct frag_fragment *dropped = NULL;
        (void)pthread_mutex_lock(&tail->lock);
        if (tail->ring_count > 0 &&
            frag_number_compare((*ring_slot(tail, 0))->start.number, number) <= 0) {
            dropped = *ring_slot(tail, 0);
            tail->ring_from = (tail->ring_from + 1) % tail->config.max_fragments;
            tail->ring_count--;
        }
        (void)pthread_mutex_unlock(&tail->lock);
        if (dropped == NULL) {
            return;
        }
        frag_fragment_unref(dropped); /* may free megabytes: not under the lock */
    }
}

int frag_tail_publish_gap(struct frag_tail *tail, const struct frag_gap *gap, bool open) {
    const struct frag_tail_event event = {.kind = open ? FRAG_TAIL_GAP_OPEN : FRAG_TAIL_GAP_CLOSE,
                                          .gap = *gap};
    return send_to(list_now(tail), &event);
}

/* ---- subscriptions ---- */

static bool has_ended(const struct frag_subscription *subscription) {
    return atomic_load_explicit(&subscription->ended, memory_order_relaxed);
}

static void tell(struct frag_subscription *subscription, const struct frag_tail_event *event) {
    if (!has_ended(subscription)) {
        subscription->config.handle_event(event, subscription->config.user);
    }
}

static void tell_joined(struct frag_subscription *subscription) {
    size_t count = subscription->joined_count;
    subscription->joined_count = 0;
    for (size_t i = 0; i < count; i++) {
        tell(subscription, &subscription->joined[i]->face);
        event_unref(subscription->joined[i]);
    }
}

/* Tells what was kept even if nothing new comes. */
static void join_task(void *user, int status) {
    struct frag_subscription *subscription = user;
    if (status == 0) {
        tell_joined(subscription);
    }
    subscription_unref(subscription);
}

static void handle_message(void *message, void *user) {
    struct frag_subscription *subscription = user;
    struct event *event = message;
    tell_joined(subscription);
    uint64_t missed = atomic_exchange_explicit(&subscription->missed, 0, memory_order_relaxed);
    if (missed > 0) {
        const struct frag_tail_event miss = {.kind = FRAG_TAIL_MISSED, .missed = missed};
        tell(subscription, &miss);
    }
    tell(subscription, &event->face);
    event_unref(event);
}

static void discard(void *message, void *user) {
    struct frag_subscription *subscription = user;
    atomic_fetch_add_explicit(&subscription->missed, 1, memory_order_relaxed);
    event_unref(message);
}

/* Takes the subscription out of the list. Without memory for a new list it stays in, deaf, until
 * the next change drops it. */
static void leave_list(struct frag_subscription *subscription) {
    struct frag_tail *tail = subscription->tail;
    struct list *old = list_now(tail);
    struct list *list = list_change(old, NULL);
    while (list != NULL && !swap_list(tail, old, list)) {
        list_unref(list);
        list_unref(old);
        old = list_now(tail);
        list = list_change(old, NULL);
    }
    list_unref(old);
}

static void handle_closed(void *user) {
    struct frag_subscription *subscription = user;
    atomic_store_explicit(&subscription->ended, true, memory_order_relaxed);
    leave_list(subscription);
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
    atomic_init(&subscription->refs, 1);
    subscription->config = *config;
    subscription->joined = calloc(tail->config.max_fragments * 2, sizeof(struct event *));
    const struct kn_inbox_config inbox_config = {
        .max_messages = config->max_events == 0 ? 512 : config->max_events,
        .when_full = KN_QUEUE_DROP_OLDEST,
        .handle_message = handle_message,
        .discard = discard,
        .handle_closed = handle_closed,
        .user = subscription,
    };
    int rc = subscription->joined == NULL
                 ? -ENOMEM
                 : kn_inbox_open(loop, &inbox_config, &subscription->inbox);
    if (rc != 0) {
        free(subscription->joined);
        free(subscription);
        return rc;
    }
    atomic_fetch_add_explicit(&tail->refs, 1, memory_order_relaxed);
    subscription->tail = tail;
    *ret_subscription = subscription;
    return 0;
}

/* One moment for both: what is kept, and being in the list. False when the list is not `old` any
 * more. `kept` gets references. */
static bool enter(struct frag_tail *tail, struct list *old, struct list *list,
                  struct frag_fragment **kept, bool *durable, size_t *ret_count) {
    (void)pthread_mutex_lock(&tail->lock);
    bool same = tail->list == old;
    if (same) {
        tail->list = list;
        *ret_count = tail->ring_count;
        for (size_t i = 0; i < tail->ring_count; i++) {
            kept[i] = frag_fragment_ref(*ring_slot(tail, i));
            durable[i] = frag_fragment_state(kept[i]) == FRAG_DURABLE;
        }
    }
    (void)pthread_mutex_unlock(&tail->lock);
    if (same) {
        list_unref(old); /* the tail's */
    }
    return same;
}

static int add_joined(struct frag_subscription *subscription, enum frag_tail_kind kind,
                      struct frag_fragment *fragment) {
    const struct frag_tail_event face = {
        .kind = kind, .number = fragment->start.number, .fragment = fragment};
    struct event *event = NULL;
    int rc = event_create(&face, &event);
    if (rc == 0) {
        subscription->joined[subscription->joined_count++] = event;
    }
    return rc;
}

static int join(struct frag_subscription *subscription, struct frag_fragment **kept, bool *durable,
                size_t *ret_count) {
    struct frag_tail *tail = subscription->tail;
    size_t count = 0;
    for (bool entered = false; !entered;) {
        struct list *old = list_now(tail);
        struct list *list = NULL;
        int rc = old->count >= tail->config.max_subscribers ? KN_E_LIMIT : 0;
        if (rc == 0) {
            list = list_change(old, subscription);
            rc = list == NULL ? -ENOMEM : 0;
        }
        if (rc == 0) {
            entered = enter(tail, old, list, kept, durable, &count);
            if (!entered) {
                list_unref(list);
            }
        }
        list_unref(old);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        if (rc == 0) {
            rc = add_joined(subscription, FRAG_TAIL_FRAGMENT, kept[i]);
        }
        if (rc == 0 && durable[i]) {
            rc = add_joined(subscription, FRAG_TAIL_DURABLE, kept[i]);
        }
    }
    *ret_count = count;
    return rc;
}

static int kick(struct frag_subscription *subscription, struct kn_loop *loop) {
    if (subscription->joined_count == 0) {
        return 0;
    }
    atomic_fetch_add_explicit(&subscription->refs, 1, memory_order_relaxed);
    int rc = kn_loop_post(loop, join_task, subscription);
    if (rc != 0) {
        subscription_unref(subscription);
    }
    return rc;
}

int frag_tail_subscribe(struct frag_tail *tail, struct kn_loop *loop,
                        const struct frag_subscription_config *config, bool *ret_kept,
                        struct frag_number *ret_oldest,
                        struct frag_subscription **ret_subscription) {
    size_t max = tail->config.max_fragments;
    struct frag_fragment **kept = calloc(max, sizeof(*kept) + sizeof(bool));
    if (kept == NULL) {
        return -ENOMEM;
    }
    bool *durable = (bool *)(kept + max);
    struct frag_subscription *subscription = NULL;
    size_t count = 0;
    int rc = open_subscription(tail, loop, config, &subscription);
    if (rc == 0) {
        rc = join(subscription, kept, durable, &count);
        if (rc == 0) {
            rc = kick(subscription, loop);
        }
        if (rc != 0) {
            subscription->config.handle_closed = NULL; /* the caller hears of it by rc */
            frag_tail_unsubscribe(subscription);
        }
    }
    if (rc == 0) {
        *ret_kept = count > 0;
        if (count > 0) {
            *ret_oldest = kept[0]->start.number;
        }
        *ret_subscription = subscription;
    }
    for (size_t i = 0; i < count; i++) {
        frag_fragment_unref(kept[i]);
    }
    free(kept);
    return rc;
}

void frag_tail_unsubscribe(struct frag_subscription *subscription) {
    if (subscription != NULL) {
        atomic_store_explicit(&subscription->ended, true, memory_order_relaxed);
        kn_inbox_close(subscription->inbox); /* handle_closed does the rest */
    }
}
