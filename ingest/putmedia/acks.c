#include "ingest/putmedia/acks.h"

#include <stdlib.h>

#define FIRST_ROOM 16u

void ing_acks_init(struct ing_acks *acks) {
    *acks = (struct ing_acks){0};
    (void)pthread_mutex_init(&acks->lock, NULL);
}

void ing_acks_finish(struct ing_acks *acks) {
    (void)pthread_mutex_destroy(&acks->lock);
    free(acks->ring);
}

/* Under the lock. */
static bool grow(struct ing_acks *acks) {
    size_t room = acks->room == 0 ? FIRST_ROOM : acks->room * 2;
    struct ing_ack *ring = room <= ING_ACKS_MAX ? malloc(room * sizeof(*ring)) : NULL;
    if (ring == NULL) {
        return false;
    }
    for (size_t i = 0; i < acks->count; i++) {
        ring[i] = acks->ring[(acks->first + i) % acks->room];
    }
    free(acks->ring);
    acks->ring = ring;
    acks->room = room;
    acks->first = 0;
    return true;
}

/* Under the lock. */
static void fail(struct ing_acks *acks, const struct ing_ack *failure) {
    if (!acks->failed) {
        acks->failed = true;
        acks->failure = *failure;
    }
}

void ing_acks_add(struct ing_acks *acks, const struct ing_ack *ack) {
    static const struct ing_ack no_memory = {.kind = ING_ACK_ERROR, .error = ING_PUT_INTERNAL};
    (void)pthread_mutex_lock(&acks->lock);
    bool stands = !acks->failed || ack->kind == ING_ACK_ERROR;
    if (stands && acks->count == acks->room && !grow(acks)) {
        fail(acks, &no_memory);
        stands = false;
    }
    if (stands) {
        acks->ring[(acks->first + acks->count++) % acks->room] = *ack;
    }
    (void)pthread_mutex_unlock(&acks->lock);
}

void ing_acks_fail(struct ing_acks *acks, const struct ing_ack *failure) {
    (void)pthread_mutex_lock(&acks->lock);
    fail(acks, failure);
    (void)pthread_mutex_unlock(&acks->lock);
}

bool ing_acks_take(struct ing_acks *acks, struct ing_ack *ret_ack) {
    (void)pthread_mutex_lock(&acks->lock);
    bool any = acks->count > 0;
    if (any) {
        *ret_ack = acks->ring[acks->first];
        acks->first = (acks->first + 1) % acks->room;
        acks->count--;
    }
    (void)pthread_mutex_unlock(&acks->lock);
    return any;
}

size_t ing_acks_waiting(struct ing_acks *acks) {
    (void)pthread_mutex_lock(&acks->lock);
    size_t count = acks->count;
    (void)pthread_mutex_unlock(&acks->lock);
    return count;
}

bool ing_acks_failed(struct ing_acks *acks, struct ing_ack *ret_failure) {
    (void)pthread_mutex_lock(&acks->lock);
    bool failed = acks->failed;
    *ret_failure = acks->failure;
    (void)pthread_mutex_unlock(&acks->lock);
    return failed;
}
