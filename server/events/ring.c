#include "server/events/ring.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct srv_ring {
    size_t max_events, max_bytes;
    pthread_mutex_t lock; /* a leaf */
    uint64_t newest;      /* of the last event, or of the cut behind it */
    size_t count, bytes;
    /* The event with an id is at id modulo max_events; those kept are the newest ones. */
    struct srv_event *events[];
};

void srv_event_unref(struct srv_event *event) {
    if (event == NULL || atomic_fetch_sub(&event->refs, 1) > 1) {
        return;
    }
    kn_buffer_unref(event->text);
    free(event);
}

int srv_ring_create(uint64_t base, size_t max_events, size_t max_bytes,
                    struct srv_ring **ret_ring) {
    struct srv_ring *ring = calloc(1, sizeof(*ring) + max_events * sizeof(ring->events[0]));
    if (ring == NULL) {
        return -ENOMEM;
    }
    ring->max_events = max_events;
    ring->max_bytes = max_bytes;
    ring->newest = base;
    (void)pthread_mutex_init(&ring->lock, NULL);
    *ret_ring = ring;
    return 0;
}

static struct srv_event **place_of(struct srv_ring *ring, uint64_t id) {
    return &ring->events[id % ring->max_events];
}

/* Caller holds the lock. */
static void drop_oldest(struct srv_ring *ring) {
    struct srv_event **place = place_of(ring, ring->newest - ring->count + 1);
    ring->bytes -= (*place)->text->size;
    ring->count--;
    srv_event_unref(*place); /* frees at most: no lock is taken */
    *place = NULL;
}

void srv_ring_cut(struct srv_ring *ring) {
    (void)pthread_mutex_lock(&ring->lock);
    while (ring->count > 0) {
        drop_oldest(ring);
    }
    ring->newest++;
    (void)pthread_mutex_unlock(&ring->lock);
}

void srv_ring_destroy(struct srv_ring *ring) {
    if (ring == NULL) {
        return;
    }
    srv_ring_cut(ring);
    (void)pthread_mutex_destroy(&ring->lock);
    free(ring);
}

/* ---- putting ---- */

#define HEAD_BYTES 96u /* of id and kind, which is a short literal */

static struct srv_event *create_event(const char *stream, size_t text_bytes, uint8_t **ret_room) {
    size_t stream_bytes = stream != NULL ? strlen(stream) : 0;
    struct srv_event *event = calloc(1, sizeof(*event) + stream_bytes + 1);
    if (event == NULL || kn_buffer_alloc(NULL, text_bytes, ret_room, &event->text) < 0) {
        free(event);
        return NULL;
    }
    atomic_init(&event->refs, 1);
    event->for_all = stream == NULL;
    if (stream != NULL) {
        memcpy(event->stream, stream, stream_bytes);
    }
    return event;
}

/* Caller holds the lock. */
static void enter(struct srv_ring *ring, struct srv_event *event) {
    while (ring->count > 0 &&
           (ring->count == ring->max_events || ring->bytes + event->text->size > ring->max_bytes)) {
        drop_oldest(ring);
    }
    ring->newest = event->id;
    ring->count++;
    ring->bytes += event->text->size;
    *place_of(ring, event->id) = event;
}

int srv_ring_put(struct srv_ring *ring, const char *kind, const char *stream, const char *data) {
    size_t room_bytes = HEAD_BYTES + strlen(data);
    uint8_t *room = NULL;
    struct srv_event *event = create_event(stream, room_bytes, &room);
    if (event == NULL) {
        srv_ring_cut(ring);
        return -ENOMEM;
    }
    (void)pthread_mutex_lock(&ring->lock);
    event->id = ring->newest + 1;
    int size = snprintf((char *)room, room_bytes, "id: %" PRIu64 "\nevent: %.32s\ndata: %s\n\n",
                        event->id, kind, data);
    KN_ASSERT(size > 0 && (size_t)size < room_bytes);
    kn_buffer_shrink(event->text, (size_t)size);
    enter(ring, event);
    (void)pthread_mutex_unlock(&ring->lock);
    return 0;
}

/* ---- reading ---- */

uint64_t srv_ring_newest(struct srv_ring *ring) {
    (void)pthread_mutex_lock(&ring->lock);
    uint64_t newest = ring->newest;
    (void)pthread_mutex_unlock(&ring->lock);
    return newest;
}

size_t srv_ring_take(struct srv_ring *ring, uint64_t after, struct srv_event **events, size_t max,
                     bool *ret_hole) {
    (void)pthread_mutex_lock(&ring->lock);
    bool hole = after > ring->newest || ring->newest - after > ring->count;
    size_t count = hole ? 0 : (size_t)(ring->newest - after);
    count = count < max ? count : max;
    for (size_t i = 0; i < count; i++) {
        events[i] = *place_of(ring, after + 1 + i);
        (void)atomic_fetch_add(&events[i]->refs, 1);
    }
    (void)pthread_mutex_unlock(&ring->lock);
    *ret_hole = hole;
    return count;
}
