/* Inner: the last events, rendered, by number. Any thread. */
#ifndef SERVER_EVENTS_RING_H
#define SERVER_EVENTS_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/buffer.h"

/* Immutable and counted. */
struct srv_event {
    atomic_size_t refs;
    uint64_t id;
    struct kn_buffer *text; /* "id: 7\nevent: gap\ndata: {}\n\n" */
    bool for_all;           /* for who may see all streams; else for who may see `stream` */
    char stream[];
};

void srv_event_unref(struct srv_event *event);

struct srv_ring;

/* Ids begin above `base`. 0 or -ENOMEM. */
KN_MUST_CHECK int srv_ring_create(uint64_t base, size_t max_events, size_t max_bytes,
                                  struct srv_ring **ret_ring);
void srv_ring_destroy(struct srv_ring *ring);

/* `data` is one line; `stream` NULL: for who may see all. 0, or -ENOMEM: then it is as if
 * srv_ring_cut had been called. */
KN_MUST_CHECK int srv_ring_put(struct srv_ring *ring, const char *kind, const char *stream,
                               const char *data);
/* Something happened that is not told: all that is kept goes, and who was up to date has a hole. */
void srv_ring_cut(struct srv_ring *ring);
/* The id of the newest event. */
uint64_t srv_ring_newest(struct srv_ring *ring);
/* Up to `max` events behind the one with this id, a reference of each; how many. *ret_hole: what
 * followed it is not there any more, or it never was; then none. */
size_t srv_ring_take(struct srv_ring *ring, uint64_t after, struct srv_event **events, size_t max,
                     bool *ret_hole);

#endif
