/* What server time a fragment gets when the machine's clock is stepped. Pure. */
#ifndef FRAGMENTS_STORE_CLOCK_RULE_H
#define FRAGMENTS_STORE_CLOCK_RULE_H

#include <stdbool.h>

#include "base/time.h"

/* Steps back up to this are waited out by holding time; larger ones, either way, are taken. */
#define FRAG_CLOCK_STEP_NS (10 * KN_NS_PER_S)

struct frag_clock_rule {
    bool started;
    struct kn_wall server; /* the last one given */
    struct kn_wall wall;   /* both clocks then */
    struct kn_mono mono;
};

struct frag_clock_verdict {
    struct kn_wall server; /* in whole µs */
    bool stepped;          /* the clock was set by more than FRAG_CLOCK_STEP_NS: a new reel */
};

struct frag_clock_verdict frag_clock_rule_next(struct frag_clock_rule *rule, struct kn_wall wall,
                                               struct kn_mono mono);

#endif
