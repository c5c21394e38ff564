/* What happens, as Server-Sent Events: GET /api/v1/events. The last SRV_EVENTS_KEPT of them, and at
 * most SRV_EVENTS_BYTES, stay in memory, so that who comes back with Last-Event-ID misses nothing
 * that is still there, and is told where something is missing. Each reader gets what its principal
 * may list.
 *
 *   event      data (JSON)
 *   hello      what the state is: all streams as in GET /api/v1/streams; first, and after a hole
 *   stream     one stream's state, at most once a second each, when something of it changed
 *   gone       a stream was deleted: its name
 *   gap        one opened or closed
 *   source     a source's state changed
 *   server     health, once in 10 s and at a change
 */
#ifndef SERVER_EVENTS_H
#define SERVER_EVENTS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "server/exchange/routes.h"

struct srv_events;
struct srv_world;

#define SRV_EVENTS_KEPT 4096u
#define SRV_EVENTS_BYTES ((size_t)16 << 20)
#define SRV_EVENTS_READERS 256u /* one more gets 503 */

/* 0 or -ENOMEM. It works on a thread of its own, from srv_events_start to srv_events_stop; that
 * thread also ticks live entries and sources, which outlive the stop. */
KN_MUST_CHECK int srv_events_create(struct srv_world *world, struct srv_events **ret_events);
KN_MUST_CHECK int srv_events_start(struct srv_events *events);
void srv_events_stop(struct srv_events *events);
void srv_events_destroy(struct srv_events *events);

/* Any thread, never blocks: `stream` NULL: for who may see all. Takes the reference of `data`. */
void srv_events_tell(struct srv_events *events, const char *kind, const char *stream, json_t *data);

/* How the server as a whole is, as of the last second; constants. The words are the same wherever
 * health is told. Any thread, never blocks. */
struct srv_health {
    const char *word;   /* "ok", "disk full" or "failing" */
    const char *reason; /* a sentence; NULL: it is ok */
};
const struct srv_health *srv_events_health(struct srv_events *events);

extern const struct srv_routes srv_events_routes;

#endif
