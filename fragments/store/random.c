#include "fragments/store/random.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/attributes.h"

/* The step of SplitMix64 (Steele, Lea, Flood, 2014): odd, so that the row has 2^64 numbers. */
#define STEP UINT64_C(0x9E3779B97F4A7C15)

static uint64_t scramble(uint64_t z) {
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

void frag_random_init(struct frag_random *random, uint64_t seed) {
    *random = (struct frag_random){.seeded = seed != 0, .state = seed};
    KN_ASSERT(pthread_mutex_init(&random->lock, NULL) == 0); /* a plain one: glibc's cannot fail */
}

void frag_random_finish(struct frag_random *random) {
    (void)pthread_mutex_destroy(&random->lock); /* nobody holds it */
}

/* Scrambled: rows whose states are near one another would soon be the same one, moved. */
void frag_random_mix(struct frag_random *random, uint64_t with) {
    (void)pthread_mutex_lock(&random->lock); /* plain, never held twice: cannot fail */
    random->state = scramble(random->state ^ scramble(with + STEP));
    (void)pthread_mutex_unlock(&random->lock);
}

static uint64_t next_seeded(struct frag_random *random) {
    (void)pthread_mutex_lock(&random->lock); /* as above */
    uint64_t number = scramble(random->state += STEP);
    (void)pthread_mutex_unlock(&random->lock);
    return number;
}

/* At most 256 bytes, which the kernel gives whole. Without its source no id is safe to make. */
static void fill_from_machine(uint8_t *room, size_t size) {
    ssize_t got;
    do {
        got = getrandom(room, size, 0);
    } while (got < 0 && errno == EINTR);
    KN_ASSERT(got == (ssize_t)size);
}

void frag_random_bytes(struct frag_random *random, void *room, size_t size) {
    uint8_t *to = room;
    while (size > 0) {
        uint64_t number;
        size_t most = random->seeded ? sizeof(number) : 256;
        size_t here = size < most ? size : most;
        if (random->seeded) {
            number = next_seeded(random);
            memcpy(to, &number, here);
        } else {
            fill_from_machine(to, here);
        }
        to += here;
        size -= here;
    }
}

uint64_t frag_random_u64(struct frag_random *random) {
    uint64_t number;
    frag_random_bytes(random, &number, sizeof(number));
    return number;
}
