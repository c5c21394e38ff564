#include "base/queue.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/time.h"

struct entry {
    void *message;
    size_t weight;
};

/* One owner, its creator. `lock` is a leaf and guards everything below it; discard and wake are
 * called without it. */
struct kn_queue {
    struct kn_queue_config config; /* constant */
    pthread_mutex_t lock;
    pthread_cond_t not_empty; /* for the reader that waits */
    pthread_cond_t not_full;  /* for senders of KN_QUEUE_WAIT */
    bool reader_sleeps;
    size_t senders_asleep;
    bool closed;
    size_t first; /* index of the oldest entry */
    struct kn_queue_stats stats;
    struct entry ring[]; /* config.max_messages of them */
};

/* Messages that left the queue unread and wait to be discarded outside the lock. */
struct dropped {
    void *messages[32];
    size_t count;
};

static void discard_all(struct kn_queue *queue, struct dropped *dropped) {
    for (size_t i = 0; i < dropped->count; i++) {
        queue->config.discard(dropped->messages[i], queue->config.user);
    }
    dropped->count = 0;
}

/* glibc's cannot fail with these attributes. */
static void init_sync(struct kn_queue *queue) {
    pthread_condattr_t attributes;
    KN_ASSERT(pthread_mutex_init(&queue->lock, NULL) == 0);
    KN_ASSERT(pthread_condattr_init(&attributes) == 0);
    /* A step of the wall clock must neither end a wait nor hold it up. */
    KN_ASSERT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    KN_ASSERT(pthread_cond_init(&queue->not_empty, &attributes) == 0);
    KN_ASSERT(pthread_cond_init(&queue->not_full, &attributes) == 0);
    (void)pthread_condattr_destroy(&attributes); /* nor this */
}

int kn_queue_create(const struct kn_queue_config *config, struct kn_queue **ret_queue) {
    KN_ASSERT(config->max_messages > 0);
    KN_ASSERT(config->discard != NULL);
    size_t bytes;
    if (!kn_size_mul(config->max_messages, sizeof(struct entry), &bytes) ||
        !kn_size_add(bytes, sizeof(struct kn_queue), &bytes)) {
        return -ENOMEM;
    }
    struct kn_queue *queue = calloc(1, bytes);
    if (queue == NULL) {
        return -ENOMEM;
    }
    queue->config = *config;
    init_sync(queue);
    *ret_queue = queue;
    return 0;
}

static void lock(struct kn_queue *queue) {
    (void)pthread_mutex_lock(&queue->lock); /* a plain mutex, never held twice: cannot fail */
}

static void unlock(struct kn_queue *queue) {
    (void)pthread_mutex_unlock(&queue->lock);
}

/* ---- the ring: under the lock ---- */

static bool fits(const struct kn_queue *queue, size_t weight) {
    const struct kn_queue_config *config = &queue->config;
    return queue->stats.messages < config->max_messages &&
           (config->max_weight == 0 || weight <= config->max_weight - queue->stats.weight);
}

static void push(struct kn_queue *queue, void *message, size_t weight) {
    size_t at = queue->first + queue->stats.messages;
    if (at >= queue->config.max_messages) {
        at -= queue->config.max_messages;
    }
    queue->ring[at] = (struct entry){message, weight};
    queue->stats.weight += weight;
    queue->stats.sent++;
    queue->stats.messages++;
    if (queue->stats.messages > queue->stats.most_messages) {
        queue->stats.most_messages = queue->stats.messages;
    }
}

static void *pop(struct kn_queue *queue) {
    struct entry *entry = &queue->ring[queue->first];
    queue->first = queue->first + 1 == queue->config.max_messages ? 0 : queue->first + 1;
    queue->stats.messages--;
    queue->stats.weight -= entry->weight;
    return entry->message;
}

/* ---- sending ---- */

/* Drops as many of the oldest as make room; between batches of discards the lock is open, and
 * others may take the room: then more is dropped. */
static void drop_for_room(struct kn_queue *queue, size_t weight, struct dropped *dropped) {
    while (!fits(queue, weight) && dropped->count < KN_COUNT(dropped->messages)) {
        dropped->messages[dropped->count++] = pop(queue);
        queue->stats.dropped++;
    }
    if (!fits(queue, weight)) {
        unlock(queue);
        discard_all(queue, dropped);
        lock(queue);
    }
}

/* Under the lock, which it may open meanwhile. 0: there is room now. */
static int make_room(struct kn_queue *queue, size_t weight, struct dropped *dropped) {
    while (!queue->closed && !fits(queue, weight)) {
        switch (queue->config.when_full) {
        case KN_QUEUE_REFUSE:
            queue->stats.refused++;
            return -EAGAIN;
        case KN_QUEUE_DROP_OLDEST:
            drop_for_room(queue, weight, dropped);
            break;
        case KN_QUEUE_WAIT:
            queue->senders_asleep++;
            (void)pthread_cond_wait(&queue->not_full, &queue->lock);
            queue->senders_asleep--;
            break;
        }
    }
    return queue->closed ? KN_E_CLOSED : 0;
}

int kn_queue_send(struct kn_queue *queue, void *message, size_t weight) {
    struct dropped dropped = {.count = 0};
    bool wake = false, signal = false;
    int rc;

    lock(queue);
    if (queue->config.max_weight != 0 && weight > queue->config.max_weight) {
        queue->stats.refused++;
        rc = -EMSGSIZE;
    } else {
        rc = make_room(queue, weight, &dropped);
    }
    if (rc == 0) {
        /* Where dropping emptied the queue this wakes a reader that is awake: harmless. */
        wake = queue->stats.messages == 0;
        push(queue, message, weight);
        signal = queue->reader_sleeps;
        queue->reader_sleeps = false; /* one signal is enough */
    }
    unlock(queue);

    if (signal) {
        (void)pthread_cond_signal(&queue->not_empty);
    }
    discard_all(queue, &dropped);
    if (wake && queue->config.wake != NULL) {
        queue->config.wake(queue->config.user);
    }
    return rc;
}

/* ---- reading ---- */

/* Under the lock, which it opens at the end. */
static size_t take_and_unlock(struct kn_queue *queue, void **messages, size_t max) {
    size_t count = queue->stats.messages < max ? queue->stats.messages : max;
    for (size_t i = 0; i < count; i++) {
        messages[i] = pop(queue);
    }
    queue->stats.received += count;
    /* All of them, as their weights differ: the one that a single signal hits might not fit. */
    bool room_made = count > 0 && queue->senders_asleep > 0;
    unlock(queue);
    if (room_made) {
        (void)pthread_cond_broadcast(&queue->not_full);
    }
    return count;
}

size_t kn_queue_take(struct kn_queue *queue, void **messages, size_t max) {
    lock(queue);
    return take_and_unlock(queue, messages, max);
}

/* Until `deadline` of the monotonic clock; NULL: for ever. */
static int wait_until(struct kn_queue *queue, void **messages, size_t max,
                      const struct timespec *deadline) {
    KN_ASSERT(max > 0);
    bool late = false;
    lock(queue);
    while (queue->stats.messages == 0 && !queue->closed && !late) {
        queue->reader_sleeps = true;
        late = deadline == NULL
                   ? pthread_cond_wait(&queue->not_empty, &queue->lock) != 0
                   : pthread_cond_timedwait(&queue->not_empty, &queue->lock, deadline) != 0;
        queue->reader_sleeps = false;
    }
    bool closed = queue->closed;
    size_t count = take_and_unlock(queue, messages, max < INT_MAX ? max : INT_MAX);
    return count > 0 ? (int)count : closed ? KN_E_CLOSED : 0;
}

int kn_queue_wait(struct kn_queue *queue, void **messages, size_t max) {
    return wait_until(queue, messages, max, NULL);
}

int kn_queue_wait_for(struct kn_queue *queue, void **messages, size_t max, int64_t wait_ns) {
    int64_t now_ns = kn_clock_system()->mono(kn_clock_system()).ns;
    int64_t until_ns = wait_ns <= 0                   ? now_ns
                       : wait_ns > INT64_MAX - now_ns ? INT64_MAX
                                                      : now_ns + wait_ns;
    const struct timespec deadline = {.tv_sec = (time_t)(until_ns / KN_NS_PER_S),
                                      .tv_nsec = (long)(until_ns % KN_NS_PER_S)};
    return wait_until(queue, messages, max, &deadline);
}

void kn_queue_close(struct kn_queue *queue) {
    lock(queue);
    queue->closed = true;
    unlock(queue);
    (void)pthread_cond_broadcast(&queue->not_empty);
    (void)pthread_cond_broadcast(&queue->not_full);
}

struct kn_queue_stats kn_queue_stats(struct kn_queue *queue) {
    lock(queue);
    struct kn_queue_stats stats = queue->stats;
    unlock(queue);
    return stats;
}

void kn_queue_destroy(struct kn_queue *queue) {
    if (queue == NULL) {
        return;
    }
    while (queue->stats.messages > 0) {
        queue->config.discard(pop(queue), queue->config.user);
    }
    (void)pthread_cond_destroy(&queue->not_full);
    (void)pthread_cond_destroy(&queue->not_empty);
    (void)pthread_mutex_destroy(&queue->lock);
    free(queue);
}
