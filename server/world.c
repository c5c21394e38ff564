#include "server/world.h"

const struct srv_config *srv_world_config(struct srv_world *world) {
    (void)pthread_mutex_lock(&world->lock); /* of the default kind: cannot fail */
    const struct srv_config *config = srv_config_ref(world->config);
    (void)pthread_mutex_unlock(&world->lock);
    return config;
}

/* These cannot fail either: never held twice by one thread, and by fewer than there are threads. */
void srv_world_lock_ownership(struct srv_world *world) {
    (void)pthread_rwlock_rdlock(&world->ownership);
}

void srv_world_take_ownership(struct srv_world *world) {
    (void)pthread_rwlock_wrlock(&world->ownership);
}

void srv_world_unlock_ownership(struct srv_world *world) {
    (void)pthread_rwlock_unlock(&world->ownership);
}
