#include "fragments/store/clock_rule.h"

#include <stdint.h>

/* Subtracts without overflow: clocks may stand anywhere in int64. */
static int64_t distance(int64_t from, int64_t to) {
    int64_t result = 0;
    if (__builtin_sub_overflow(to, from, &result)) {
        return to > from ? INT64_MAX : INT64_MIN;
    }
    return result;
}

/* Rounded down, and so far from the ends of int64 that what is added later fits. */
static struct kn_wall whole_us(struct kn_wall wall) {
    const int64_t margin = 3600 * KN_NS_PER_S;
    int64_t ns = wall.ns < INT64_MIN + margin   ? INT64_MIN + margin
                 : wall.ns > INT64_MAX - margin ? INT64_MAX - margin
                                                : wall.ns;
    int64_t rest = ns % KN_NS_PER_US;
    return (struct kn_wall){ns - (rest < 0 ? rest + KN_NS_PER_US : rest)};
}

static bool was_stepped(const struct frag_clock_rule *rule, struct kn_wall wall,
                        struct kn_mono mono) {
    int64_t by_wall = distance(rule->wall.ns, wall.ns);
    int64_t by_mono = distance(rule->mono.ns, mono.ns);
    int64_t step = distance(by_mono, by_wall);
    return step > FRAG_CLOCK_STEP_NS || step < -FRAG_CLOCK_STEP_NS;
}

struct frag_clock_verdict frag_clock_rule_next(struct frag_clock_rule *rule, struct kn_wall wall,
                                               struct kn_mono mono) {
    wall = whole_us(wall);
    struct frag_clock_verdict verdict = {.server = wall};
    if (rule->started) {
        verdict.stepped = was_stepped(rule, wall, mono);
        /* Small steps back, one after the other, may add up: time held for too long is a step. */
        if (wall.ns < rule->server.ns && distance(wall.ns, rule->server.ns) > FRAG_CLOCK_STEP_NS) {
            verdict.stepped = true;
        }
        if (wall.ns < rule->server.ns && !verdict.stepped) {
            verdict.server.ns = rule->server.ns + KN_NS_PER_MS;
        }
    }
    *rule = (struct frag_clock_rule){
        .started = true, .server = verdict.server, .wall = wall, .mono = mono};
    return verdict;
}
