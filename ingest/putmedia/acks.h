/* Inner: acknowledgements on their way from the store's threads to the connection's. */
#ifndef INGEST_PUTMEDIA_ACKS_H
#define INGEST_PUTMEDIA_ACKS_H

#include <pthread.h>

#include "ingest/ingest.h"

/* With more than this waiting, whoever sends fragments is to wait too. */
#define ING_ACKS_MANY 512u
/* So many more may come of fragments that are under way: what a stream's tail keeps, and more. */
#define ING_ACKS_MAX 4096u

struct ing_acks {
    pthread_mutex_t lock; /* a leaf; of all below */
    struct ing_ack *ring;
    size_t room, first, count;
    /* A fragment was lost: nothing that comes later may be acknowledged, or its producer would take
     * it for stored. */
    bool failed;
    struct ing_ack failure;
};

void ing_acks_init(struct ing_acks *acks);
void ing_acks_finish(struct ing_acks *acks);
/* Any thread. */
void ing_acks_add(struct ing_acks *acks, const struct ing_ack *ack);
/* A fragment failed, or there was no memory: the first one stays. */
void ing_acks_fail(struct ing_acks *acks, const struct ing_ack *failure);
bool ing_acks_take(struct ing_acks *acks, struct ing_ack *ret_ack);
size_t ing_acks_waiting(struct ing_acks *acks);
bool ing_acks_failed(struct ing_acks *acks, struct ing_ack *ret_failure);

#endif
