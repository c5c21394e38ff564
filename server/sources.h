/* Sources that the configuration names: started, watched and stopped with it (ingest.h does the
 * work). Functions that block say so. */
#ifndef SERVER_SOURCES_H
#define SERVER_SOURCES_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "ingest/ingest.h"
#include "server/config/config.h"

struct srv_world;
struct srv_sources;

KN_MUST_CHECK int srv_sources_create(struct srv_world *world, struct srv_sources **ret_sources);
/* Makes the store and what runs as `config` says: creates streams, changes settings and tags it
 * names, stops sources that left or changed, starts new ones; those that are as before go on
 * undisturbed. Blocks. What fails for one stream is logged, counted in *ret_failed, and the rest
 * goes on. */
void srv_sources_apply(struct srv_sources *sources, const struct srv_config *config,
                       size_t *ret_failed);
/* Stops all. Blocks until what was recorded is durable. NULL is fine. */
void srv_sources_destroy(struct srv_sources *sources);

/* Of the source of a stream. -ENOENT: it has none. Any thread. */
KN_MUST_CHECK int srv_sources_status(struct srv_sources *sources, const char *stream,
                                     struct ing_source_status *ret_status);
/* Counts into live entries; once a second. */
void srv_sources_tick(struct srv_sources *sources);

#endif
