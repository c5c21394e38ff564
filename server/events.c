/* Events: their life, and telling. */
#include "server/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "server/events/inner.h"

/* The hub ticks every second; behind this it stands still. */
#define STALLED_NS (15 * KN_NS_PER_S)

static const struct srv_health starting = {"failing", "the server is starting"};
static const struct srv_health ending = {"failing", "the server is shutting down"};
static const struct srv_health stalled = {"failing",
                                          "the thread that watches the streams stands still"};

int64_t srv_events_now_ns(const struct srv_events *events) {
    const struct kn_clock *clock = events->world->clock;
    return clock->mono(clock).ns;
}

/* Ids rise over restarts, so that an old one is known to be one: they begin at the microsecond of
 * the start, and there is never more than one event a microsecond. */
static uint64_t first_id(const struct srv_world *world) {
    struct kn_wall now = world->clock->wall(world->clock);
    return now.ns > 0 ? (uint64_t)(now.ns / KN_NS_PER_US) : 0;
}

int srv_events_create(struct srv_world *world, struct srv_events **ret_events) {
    struct srv_events *events = calloc(1, sizeof(*events));
    if (events == NULL) {
        return -ENOMEM;
    }
    events->world = world;
    (void)pthread_mutex_init(&events->lock, NULL);
    atomic_init(&events->health, &starting);
    int rc = srv_ring_create(first_id(world), SRV_EVENTS_KEPT, SRV_EVENTS_BYTES, &events->ring);
    rc = rc < 0 ? rc : srv_hub_create(events, &events->hub);
    if (rc < 0) {
        srv_events_destroy(events);
        return rc;
    }
    *ret_events = events;
    return 0;
}

int srv_events_start(struct srv_events *events) {
    return srv_hub_start(events->hub);
}

void srv_events_stop(struct srv_events *events) {
    srv_hub_stop(events->hub);
    atomic_store(&events->beat_ns, 0);
    atomic_store(&events->health, &ending);
}

void srv_events_destroy(struct srv_events *events) {
    if (events == NULL) {
        return;
    }
    srv_hub_destroy(events->hub);
    srv_ring_destroy(events->ring);
    (void)pthread_mutex_destroy(&events->lock);
    free(events);
}

const struct srv_health *srv_events_health(struct srv_events *events) {
    int64_t beat_ns = atomic_load(&events->beat_ns);
    if (beat_ns != 0 && srv_events_now_ns(events) - beat_ns > STALLED_NS) {
        return &stalled;
    }
    return atomic_load(&events->health);
}

/* ---- telling ---- */

void srv_events_put(struct srv_events *events, const char *kind, const char *stream, json_t *data) {
    char *text = data != NULL ? json_dumps(data, JSON_COMPACT) : NULL;
    json_decref(data);
    if (text == NULL) {
        srv_ring_cut(events->ring); /* no memory: readers get the whole state instead */
        return;
    }
    (void)srv_ring_put(events->ring, kind, stream, text); /* no memory: it has cut itself */
    free(text);
}

void srv_events_tell(struct srv_events *events, const char *kind, const char *stream,
                     json_t *data) {
    if (!srv_readers_any(events)) {
        json_decref(data);
        srv_ring_cut(events->ring);
    } else {
        srv_events_put(events, kind, stream, data);
        srv_readers_wake(events);
    }
    if (stream != NULL && strcmp(kind, "source") == 0) {
        srv_hub_touch(events->hub, stream); /* its stream says so too */
    }
}
