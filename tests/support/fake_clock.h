/* A clock that stands still until a test moves it.
 *
 *     struct fake_clock clock;
 *     fake_clock_init(&clock, wall_ns, 0);
 *     thing_create(&clock.clock, ...);
 *     fake_clock_advance(&clock, 5 * KN_NS_PER_S);
 *
 * Any thread may read and move it. */
#ifndef TESTS_SUPPORT_FAKE_CLOCK_H
#define TESTS_SUPPORT_FAKE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/time.h"

struct fake_clock {
    struct kn_clock clock; /* for the code under test */
    _Atomic int64_t wall_ns;
    _Atomic int64_t mono_ns;
};

void fake_clock_init(struct fake_clock *fake, int64_t wall_ns, int64_t mono_ns);
/* Time passes: both move on. */
void fake_clock_advance(struct fake_clock *fake, int64_t ns);
/* Somebody sets the machine's clock: wall time alone moves, backwards too. */
void fake_clock_step_wall(struct fake_clock *fake, int64_t ns);

#endif
