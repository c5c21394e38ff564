#include "fragments/store/times.h"

/* A sync of a fast disk takes 0.1 ms, of a slow one 30 ms, of one that fails seconds. */
const double frag_times_seconds[FRAG_TIMES_BUCKETS] = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, HUGE_VAL};

static size_t bucket_of(int64_t ns) {
    double seconds = (double)ns / 1e9;
    size_t at = 0;
    while (at + 1 < FRAG_TIMES_BUCKETS && seconds > frag_times_seconds[at]) {
        at++;
    }
    return at;
}

void frag_times_add(struct frag_times *times, int64_t ns) {
    ns = ns < 0 ? 0 : ns;
    times->counts[bucket_of(ns)]++;
    times->sum_ns += (uint64_t)ns;
}

void frag_times_count(struct frag_shared_times *times, int64_t ns) {
    ns = ns < 0 ? 0 : ns;
    (void)atomic_fetch_add_explicit(&times->counts[bucket_of(ns)], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&times->sum_ns, (uint64_t)ns, memory_order_relaxed);
}

struct frag_times frag_times_read(const struct frag_shared_times *times) {
    struct frag_times read = {
        .sum_ns = atomic_load_explicit(&times->sum_ns, memory_order_relaxed),
    };
    for (size_t i = 0; i < FRAG_TIMES_BUCKETS; i++) {
        read.counts[i] = atomic_load_explicit(&times->counts[i], memory_order_relaxed);
    }
    return read;
}
