/* What routes work with: everything of a running server. Made by serve.c, read by all. */
#ifndef SERVER_WORLD_H
#define SERVER_WORLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/time.h"
#include "fragments/fragments.h"
#include "server/auth/door.h"
#include "server/auth/principals.h"
#include "server/config/config.h"
#include "server/exchange/http_server.h"

struct srv_events;
struct srv_live;
struct srv_sources;

struct srv_world {
    struct frag_store *store;
    struct srv_principals *principals;
    struct srv_gate *gate;
    struct srv_keyfile keyfile;
    struct srv_live *live;       /* who sends and who reads now: live.h */
    struct srv_events *events;   /* what happens, for pages: events.h */
    struct srv_sources *sources; /* what is pulled: sources.h */
    /* NULL until it listens: its own first requests may come before. */
    _Atomic(struct srv_http_server *) http;
    const struct kn_clock *clock;
    struct kn_wall started;
    struct frag_store_opening opening;
    const char *public_url;          /* the start's, as the door has it; NULL: none */
    bool beyond_loopback;            /* others reach it: it listens for them, or has a public_url */
    pthread_mutex_t lock;            /* of `config` */
    const struct srv_config *config; /* by srv_world_config */
    /* Shared by who changes streams by what the configuration leaves to others, from looking at the
     * configuration on; alone by who brings another one or applies it. Zeros are fine. Before all
     * other locks but that of srv_sources_apply. */
    pthread_rwlock_t ownership;
};

/* The configuration in effect; unref it. Any thread. */
const struct srv_config *srv_world_config(struct srv_world *world);

/* Around a change of a stream that is refused where the configuration has it: while it lasts no
 * other configuration takes effect, which then could not win. Blocks, as what is between does. */
void srv_world_lock_ownership(struct srv_world *world);
/* Around taking another configuration, and applying it to a stream. Blocks likewise. */
void srv_world_take_ownership(struct srv_world *world);
void srv_world_unlock_ownership(struct srv_world *world);

#endif
