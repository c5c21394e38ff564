#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attributes.h"
#include "fragments/store/random.h"

#define NUMBERS 4096

/* SplitMix64 from 1, by another implementation. */
static void a_seed_gives_its_row(void **state) {
    (void)state;
    static const uint64_t expected[] = {UINT64_C(0x910a2dec89025cc1), UINT64_C(0xbeeb8da1658eec67),
                                        UINT64_C(0xf893a2eefb32555e), UINT64_C(0x71c18690ee42c90b)};
    struct frag_random random;
    uint8_t bytes[20];
    frag_random_init(&random, 1);
    for (size_t i = 0; i < KN_COUNT(expected); i++) {
        assert_true(frag_random_u64(&random) == expected[i]);
    }
    frag_random_finish(&random);
    frag_random_init(&random, 1);
    frag_random_bytes(&random, bytes, sizeof(bytes));
    assert_memory_equal(bytes, expected, sizeof(bytes));
    assert_true(frag_random_u64(&random) == expected[3]);
    frag_random_finish(&random);
}

static int compare(const void *a, const void *b) {
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return (one > other) - (one < other);
}

static void assert_all_differ(uint64_t *numbers, size_t count) {
    qsort(numbers, count, sizeof(*numbers), compare);
    for (size_t i = 1; i < count; i++) {
        assert_true(numbers[i - 1] != numbers[i]);
    }
}

/* Neighbouring seeds and epochs have nothing in common, and all of it comes again. */
static void mixing_gives_other_rows(void **state) {
    (void)state;
    static uint64_t numbers[4][NUMBERS], all[4 * NUMBERS];
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 4; i++) {
            struct frag_random random;
            frag_random_init(&random, 7 + i / 2);
            frag_random_mix(&random, 1 + i % 2);
            for (size_t j = 0; j < NUMBERS; j++) {
                uint64_t number = frag_random_u64(&random);
                assert_true(round == 0 || number == numbers[i][j]);
                numbers[i][j] = number;
            }
            frag_random_finish(&random);
        }
    }
    memcpy(all, numbers, sizeof(all));
    assert_all_differ(all, KN_COUNT(all));
}

/* A mix by 0 is one too: an epoch may be any number. */
static void a_mix_by_nothing_mixes(void **state) {
    (void)state;
    struct frag_random random;
    uint64_t numbers[2];
    for (size_t i = 0; i < 2; i++) {
        frag_random_init(&random, 5);
        if (i == 1) {
            frag_random_mix(&random, 0);
        }
        numbers[i] = frag_random_u64(&random);
        frag_random_finish(&random);
    }
    assert_true(numbers[0] != numbers[1]);
}

/* Every byte of it is written, and two that begin alike do not go on alike. */
static void the_machines_never_comes_again(void **state) {
    (void)state;
    struct frag_random random[2];
    static uint64_t numbers[2 * NUMBERS];
    static uint8_t bytes[1000];
    bool seen[1000] = {false};
    frag_random_init(&random[0], 0);
    frag_random_init(&random[1], 0);
    frag_random_mix(&random[0], 3);
    for (size_t i = 0; i < KN_COUNT(numbers); i++) {
        numbers[i] = frag_random_u64(&random[i % 2]);
    }
    assert_all_differ(numbers, KN_COUNT(numbers));
    for (int round = 0; round < 16; round++) {
        memset(bytes, 0, sizeof(bytes));
        frag_random_bytes(&random[0], bytes, sizeof(bytes) - 1);
        for (size_t i = 0; i < sizeof(bytes); i++) {
            seen[i] = seen[i] || bytes[i] != 0;
        }
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        assert_true(seen[i] == (i + 1 < sizeof(bytes)));
    }
    frag_random_bytes(&random[0], NULL, 0);
    frag_random_finish(&random[0]);
    frag_random_finish(&random[1]);
}

struct drawer {
    pthread_t thread;
    struct frag_random *random;
    uint64_t numbers[NUMBERS];
};

static void *draw(void *user) {
    struct drawer *drawer = user;
    for (size_t i = 0; i < NUMBERS; i++) {
        drawer->numbers[i] = frag_random_u64(drawer->random);
    }
    return NULL;
}

static void threads_draw_from_one_row(void **state) {
    (void)state;
    static struct drawer drawers[4];
    static uint64_t all[4 * NUMBERS];
    struct frag_random random;
    frag_random_init(&random, 9);
    for (size_t i = 0; i < 4; i++) {
        drawers[i].random = &random;
        assert_int_equal(pthread_create(&drawers[i].thread, NULL, draw, &drawers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(drawers[i].thread, NULL), 0);
        memcpy(all + i * NUMBERS, drawers[i].numbers, sizeof(drawers[i].numbers));
    }
    frag_random_finish(&random);
    assert_all_differ(all, KN_COUNT(all));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_gives_its_row),
        cmocka_unit_test(mixing_gives_other_rows),
        cmocka_unit_test(a_mix_by_nothing_mixes),
        cmocka_unit_test(the_machines_never_comes_again),
        cmocka_unit_test(threads_draw_from_one_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
