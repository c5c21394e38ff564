/* Server times while somebody sets the machine's clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fragments/store/clock_rule.h"

#define T0 (INT64_C(1795209820) * KN_NS_PER_S)
#define DAY (INT64_C(86400) * KN_NS_PER_S)

static struct frag_clock_verdict at(struct frag_clock_rule *rule, int64_t wall, int64_t mono) {
    return frag_clock_rule_next(rule, (struct kn_wall){wall}, (struct kn_mono){mono});
}

static void follows_the_clock(void **state) {
    (void)state;
    struct frag_clock_rule rule = {0};
    for (int64_t i = 0; i < 100; i++) {
        struct frag_clock_verdict verdict =
            at(&rule, T0 + i * 2 * KN_NS_PER_S + 999, i * 2 * KN_NS_PER_S);
        assert_int_equal(verdict.server.ns, T0 + i * 2 * KN_NS_PER_S); /* whole µs */
        assert_false(verdict.stepped);
    }
    struct frag_clock_verdict same = at(&rule, T0 + 198 * KN_NS_PER_S, 198 * KN_NS_PER_S);
    assert_int_equal(same.server.ns, T0 + 198 * KN_NS_PER_S);
    assert_false(same.stepped);
}

static void holds_small_steps_back(void **state) {
    (void)state;
    struct frag_clock_rule rule = {0};
    (void)at(&rule, T0, 0);
    struct frag_clock_verdict verdict = at(&rule, T0 - 8 * KN_NS_PER_S, 2 * KN_NS_PER_S);
    assert_int_equal(verdict.server.ns, T0 + KN_NS_PER_MS);
    assert_false(verdict.stepped);
    verdict = at(&rule, T0 - 6 * KN_NS_PER_S, 4 * KN_NS_PER_S);
    assert_int_equal(verdict.server.ns, T0 + 2 * KN_NS_PER_MS);
    assert_false(verdict.stepped);
    verdict = at(&rule, T0 + KN_NS_PER_S, 11 * KN_NS_PER_S); /* it has caught up */
    assert_int_equal(verdict.server.ns, T0 + KN_NS_PER_S);
    assert_false(verdict.stepped);
}

static void takes_large_steps(void **state) {
    (void)state;
    static const int64_t steps[] = {11 * KN_NS_PER_S, -11 * KN_NS_PER_S, DAY,    -DAY,
                                    365 * DAY,        -365 * DAY,        2 * DAY};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct frag_clock_rule rule = {0};
        (void)at(&rule, T0, 5);
        struct frag_clock_verdict verdict =
            at(&rule, T0 + steps[i] + 2 * KN_NS_PER_S, 5 + 2 * KN_NS_PER_S);
        assert_true(verdict.stepped);
        assert_int_equal(verdict.server.ns, T0 + steps[i] + 2 * KN_NS_PER_S);
        verdict = at(&rule, T0 + steps[i] + 4 * KN_NS_PER_S, 5 + 4 * KN_NS_PER_S);
        assert_false(verdict.stepped);
        assert_int_equal(verdict.server.ns, T0 + steps[i] + 4 * KN_NS_PER_S);
    }
}

/* Ten steps back of 3 s each hold the time for longer than any one of them may. */
static void small_steps_add_up(void **state) {
    (void)state;
    struct frag_clock_rule rule = {0};
    int64_t wall = T0;
    int64_t last = INT64_MIN;
    int stepped = 0;
    for (int64_t i = 0; i < 10; i++) {
        struct frag_clock_verdict verdict = at(&rule, wall, i * KN_NS_PER_S);
        stepped += verdict.stepped ? 1 : 0;
        assert_true(verdict.server.ns > last || verdict.stepped);
        last = verdict.server.ns;
        wall -= 2 * KN_NS_PER_S;
    }
    assert_true(stepped >= 1);
}

static void stands_any_clock(void **state) {
    (void)state;
    static const int64_t walls[] = {INT64_MIN, INT64_MAX, 0, -1, INT64_MIN, INT64_MAX - 5, T0};
    struct frag_clock_rule rule = {0};
    for (size_t i = 0; i < sizeof(walls) / sizeof(walls[0]); i++) {
        struct frag_clock_verdict verdict = at(&rule, walls[i], (int64_t)i);
        assert_int_equal(verdict.server.ns % KN_NS_PER_US, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_clock), cmocka_unit_test(holds_small_steps_back),
        cmocka_unit_test(takes_large_steps), cmocka_unit_test(small_steps_add_up),
        cmocka_unit_test(stands_any_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
