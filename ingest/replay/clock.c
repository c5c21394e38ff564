#include "ingest/replay/clock.h"

#include <errno.h>
#include <stdlib.h>

/* Wall and monotonic time are one number here: the clock never steps. */
struct ing_clock {
    struct kn_clock face; /* first: a pointer to it is one to the clock */
    struct kn_wall start;
    _Atomic int64_t now_ns;
};

static int64_t read_ns(const struct kn_clock *face) {
    return atomic_load_explicit(&((const struct ing_clock *)face)->now_ns, memory_order_acquire);
}

static struct kn_wall read_wall(const struct kn_clock *face) {
    return (struct kn_wall){read_ns(face)};
}

static struct kn_mono read_mono(const struct kn_clock *face) {
    return (struct kn_mono){read_ns(face)};
}

int ing_clock_create(struct kn_wall start, struct ing_clock **ret_clock) {
    struct ing_clock *clock = calloc(1, sizeof(*clock));
    if (clock == NULL) {
        return -ENOMEM;
    }
    clock->face = (struct kn_clock){.wall = read_wall, .mono = read_mono};
    clock->start = start;
    atomic_init(&clock->now_ns, start.ns);
    *ret_clock = clock;
    return 0;
}

void ing_clock_destroy(struct ing_clock *clock) {
    free(clock);
}

const struct kn_clock *ing_clock_face(const struct ing_clock *clock) {
    return &clock->face;
}

struct kn_wall ing_clock_start(const struct ing_clock *clock) {
    return clock->start;
}

void ing_clock_set(struct ing_clock *clock, int64_t since_start_ns) {
    int64_t now_ns = clock->start.ns + since_start_ns; /* the replay checked that it fits */
    if (now_ns > read_ns(&clock->face)) {
        atomic_store_explicit(&clock->now_ns, now_ns, memory_order_release);
    }
}
