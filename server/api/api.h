/* The admin API, /api/v1: tables of routes, and objects as JSON that several of them show. The
 * OpenAPI file is openapi.json beside this; a test compares it with the tables. */
#ifndef SERVER_API_API_H
#define SERVER_API_API_H

#include <jansson.h>

#include "fragments/fragments.h"
#include "server/auth/principals.h"
#include "server/exchange/routes.h"

struct srv_world;

extern const struct srv_routes srv_api_streams_routes;    /* streams, fragments, gaps */
extern const struct srv_routes srv_api_upkeep_routes;     /* holds, retention */
extern const struct srv_routes srv_api_principals_routes; /* keys, users, tokens, sessions */
extern const struct srv_routes srv_api_server_routes;     /* live, health, openapi.json */
extern const struct srv_routes srv_metrics_routes;        /* /healthz, /metrics */
extern const struct srv_routes srv_page_routes;           /* / */

/* A stream's state as every list and event shows it: name, created, settings, tags, counters,
 * last_fragment, last_fragment_age_s, source, health ("recording", "late", "idle"), producers and
 * consumers by number, and which fields the configuration owns. NULL: no memory. Blocks for none
 * but short locks. */
json_t *srv_api_stream_json(struct srv_world *world, struct frag_stream *stream);

#endif
