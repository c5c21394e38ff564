/* Bounded queues of messages: the only place where threads meet. Many senders, one reader.
 *
 * Sending gives the message away when it succeeds. Every queue says at its creation what happens
 * when it is full. No callback is ever made under the queue's lock. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

enum kn_queue_full {
    KN_QUEUE_REFUSE,      /* send answers -EAGAIN, the message stays the sender's */
    KN_QUEUE_DROP_OLDEST, /* the oldest message is discarded and counted */
    KN_QUEUE_WAIT         /* the sender sleeps until there is room; never on a loop thread */
};

struct kn_queue_config {
    size_t max_messages; /* 1 and up */
    size_t max_weight;   /* sum of weights (bytes, as a rule); 0: only messages count */
    enum kn_queue_full when_full;
    /* Frees a message that nobody will read. Any thread. Needed. */
    void (*discard)(void *message, void *user);
    /* The queue was empty and is not any more. On the sender's thread; may be NULL. */
    void (*wake)(void *user);
    void *user;
};

struct kn_queue_stats {
    size_t messages, weight; /* in the queue now */
    size_t most_messages;    /* ever */
    uint64_t sent, received, dropped, refused;
};

struct kn_queue;

/* 0 or -ENOMEM. The ring is allocated here: sending allocates nothing. */
KN_MUST_CHECK int kn_queue_create(const struct kn_queue_config *config,
                                  struct kn_queue **ret_queue);
/* Discards what is left. NULL is fine. No sender or reader may be inside. */
void kn_queue_destroy(struct kn_queue *queue);

/* Any thread. 0: given away. -EAGAIN (KN_QUEUE_REFUSE), KN_E_CLOSED, -EMSGSIZE (one message heavier
 * than max_weight): still the caller's. */
KN_MUST_CHECK int kn_queue_send(struct kn_queue *queue, void *message, size_t weight);

/* Reader's thread. Takes up to `max` messages in order without waiting; how many. */
size_t kn_queue_take(struct kn_queue *queue, void **messages, size_t max);
/* Reader's thread, not a loop. Waits for at least one message: how many, or KN_E_CLOSED when the
 * queue is closed and empty. */
KN_MUST_CHECK int kn_queue_wait(struct kn_queue *queue, void **messages, size_t max);

/* The same for at most `wait_ns` (0 or below: not at all): 0 when nothing came by then. */
KN_MUST_CHECK int kn_queue_wait_for(struct kn_queue *queue, void **messages, size_t max,
                                    int64_t wait_ns);

/* Any thread: senders get KN_E_CLOSED, waiting ones too; the reader may still take the rest. */
void kn_queue_close(struct kn_queue *queue);
struct kn_queue_stats kn_queue_stats(struct kn_queue *queue);

#endif
