/* Ids: from the machine's random source, or, where a run must be repeatable, from a seed. */
#ifndef FRAGMENTS_STORE_RANDOM_H
#define FRAGMENTS_STORE_RANDOM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Any thread. */
struct frag_random {
    pthread_mutex_t lock;
    bool seeded;
    uint64_t state;
};

/* Seed 0: the machine's. */
void frag_random_init(struct frag_random *random, uint64_t seed);
/* From now on another row of numbers of the same seed (a store's next epoch). */
void frag_random_mix(struct frag_random *random, uint64_t with);
void frag_random_finish(struct frag_random *random);
void frag_random_bytes(struct frag_random *random, void *room, size_t size);
uint64_t frag_random_u64(struct frag_random *random);

#endif
