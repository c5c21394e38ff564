/* Inner: how the parts of events see each other.
 *
 *   ring.c      the last events
 *   hub.c       the thread: what streams do, once a second; ticks; health
 *   readers.c   the route: one reader each, on the loops
 *   ../events.c their life, and telling */
#ifndef SERVER_EVENTS_INNER_H
#define SERVER_EVENTS_INNER_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/loop.h"
#include "server/events.h"
#include "server/events/ring.h"
#include "server/world.h"

struct srv_hub;
struct srv_reader;

struct srv_events {
    struct srv_world *world;
    struct srv_ring *ring;
    struct srv_hub *hub;

    pthread_mutex_t lock; /* a leaf; of the list of readers and their `woken` */
    struct srv_reader *readers;
    size_t reader_count;
    int64_t last_reader_ns; /* when there was one, monotonic; 0: never */

    _Atomic(const struct srv_health *) health;
    atomic_int_least64_t beat_ns; /* when the hub ticked last, monotonic; 0: not yet */
};

int64_t srv_events_now_ns(const struct srv_events *events);
/* Renders and keeps it; wakes nobody. Takes the reference of `data`. Any thread. */
void srv_events_put(struct srv_events *events, const char *kind, const char *stream, json_t *data);

/* ---- readers.c; any thread ---- */

/* Those that are not awake look at the ring soon. */
void srv_readers_wake(struct srv_events *events);
/* Whether somebody reads, or did a moment ago and may come back. */
bool srv_readers_any(struct srv_events *events);

/* ---- hub.c ---- */

/* 0 or -ENOMEM and the like. */
KN_MUST_CHECK int srv_hub_create(struct srv_events *events, struct srv_hub **ret_hub);
KN_MUST_CHECK int srv_hub_start(struct srv_hub *hub);
/* Blocks. It touches nothing but itself afterwards. */
void srv_hub_stop(struct srv_hub *hub);
/* NULL is fine. */
void srv_hub_destroy(struct srv_hub *hub);
/* Something of this stream changed: the next tick tells its state. Any thread. */
void srv_hub_touch(struct srv_hub *hub, const char *stream);

#endif
