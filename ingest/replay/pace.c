#include "ingest/replay/pace.h"

#include <time.h>

#define SLICE_NS (100 * KN_NS_PER_MS)

static bool is_set(const atomic_bool *stop) {
    return stop != NULL && atomic_load(stop);
}

void ing_pace_until(struct kn_mono due, const atomic_bool *stop) {
    const struct kn_clock *clock = kn_clock_system();
    int64_t left_ns;
    while (!is_set(stop) && (left_ns = due.ns - clock->mono(clock).ns) > 0) {
        int64_t slice_ns = left_ns < SLICE_NS ? left_ns : SLICE_NS;
        struct timespec slice = {.tv_nsec = slice_ns};
        /* A signal that ends it early only means another look at `stop`. */
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &slice, NULL);
    }
}
