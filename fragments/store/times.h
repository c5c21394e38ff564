/* Inner: how long things took (struct frag_times), counted under a lock or without one. */
#ifndef FRAGMENTS_STORE_TIMES_H
#define FRAGMENTS_STORE_TIMES_H

#include <math.h>
#include <stdatomic.h>

#include "fragments/store.h"

/* For several threads; zeroed at first. */
struct frag_shared_times {
    atomic_uint_least64_t counts[FRAG_TIMES_BUCKETS];
    atomic_uint_least64_t sum_ns;
};

/* Under the lock of whatever they are of. Below 0 (nobody's clock) counts as 0. */
void frag_times_add(struct frag_times *times, int64_t ns);
/* Any thread. */
void frag_times_count(struct frag_shared_times *times, int64_t ns);
/* Each number is whole; together they may be a moment apart. */
struct frag_times frag_times_read(const struct frag_shared_times *times);

#endif
