#include "server/world.h"

const struct srv_config *srv_world_config(struct srv_world *world) {
    (void)pthread_mutex_lock(&world->lock); /* of the default kind: cannot fail */
    const struct srv_config *config = srv_config_ref(world->config);
    (void)pthread_mutex_unlock(&world->lock);
    return config;
}
