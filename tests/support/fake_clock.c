#include "tests/support/fake_clock.h"

/* The clock is the first member, so a pointer to one is a pointer to the other. */
static const struct fake_clock *from_clock(const struct kn_clock *clock) {
    return (const struct fake_clock *)clock;
}

static struct kn_wall fake_wall(const struct kn_clock *clock) {
    return (struct kn_wall){atomic_load(&from_clock(clock)->wall_ns)};
}

static struct kn_mono fake_mono(const struct kn_clock *clock) {
    return (struct kn_mono){atomic_load(&from_clock(clock)->mono_ns)};
}

void fake_clock_init(struct fake_clock *fake, int64_t wall_ns, int64_t mono_ns) {
    fake->clock = (struct kn_clock){.wall = fake_wall, .mono = fake_mono};
    atomic_init(&fake->wall_ns, wall_ns);
    atomic_init(&fake->mono_ns, mono_ns);
}

void fake_clock_advance(struct fake_clock *fake, int64_t ns) {
    KN_ASSERT(ns >= 0);
    atomic_fetch_add(&fake->wall_ns, ns);
    atomic_fetch_add(&fake->mono_ns, ns);
}

void fake_clock_step_wall(struct fake_clock *fake, int64_t ns) {
    atomic_fetch_add(&fake->wall_ns, ns);
}
