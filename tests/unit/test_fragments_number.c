#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "fragments/fragment.h"
#include "tests/support/aborts.h"

#define ROUNDS 100000
#define LOW_MAX 0x0FFFFFFFu

/* splitmix64 */
static uint64_t next_random(uint64_t *seed) {
    uint64_t z = *seed += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Of every magnitude, so that all limbs get small and large values. */
static uint64_t random_up_to(uint64_t *seed, uint64_t max) {
    uint64_t value = next_random(seed) >> (next_random(seed) % 64);
    return value > max ? value % max : value;
}

static struct frag_number random_number(uint64_t *seed) {
    return (struct frag_number){
        .sequence = random_up_to(seed, FRAG_NUMBER_SEQUENCE_MAX),
        .server_ms = random_up_to(seed, UINT64_MAX),
        .low = (uint32_t)random_up_to(seed, LOW_MAX),
    };
}

static bool equal(struct frag_number a, struct frag_number b) {
    return a.sequence == b.sequence && a.server_ms == b.server_ms && a.low == b.low;
}

static int sign(int value) {
    return (value > 0) - (value < 0);
}

static void assert_text(struct frag_number number, const char *expected) {
    char text[FRAG_NUMBER_TEXT_BYTES];
    assert_ptr_equal(frag_number_format(number, text), text);
    assert_string_equal(text, expected);
    struct frag_number back;
    assert_int_equal(frag_number_parse(expected, &back), 0);
    assert_true(equal(back, number));
}

static void a_number_of_the_contract(void **state) {
    (void)state;
    assert_text((struct frag_number){107357082, 1537574915281, 0x66be16b},
                "91343852333713038908964877623801423530396737899");
}

/* Values from python's integers. */
static void the_corners(void **state) {
    (void)state;
    assert_text((struct frag_number){0, 0, 0}, "91343852333181432387730302044767688728495783936");
    assert_text((struct frag_number){0, 0, LOW_MAX},
                "91343852333181432387730302044767688728764219391");
    assert_text((struct frag_number){0, UINT64_MAX, 0},
                "91343852333181432392682062201909209827823845376");
    assert_text((struct frag_number){1, 0, 0}, "91343852333181432392682062201909209828092280832");
    assert_text((struct frag_number){FRAG_NUMBER_SEQUENCE_MAX, UINT64_MAX, LOW_MAX},
                "99999999999999999997324805280232041220908515327");
    /* Part of the next sequence has 47 digits too. */
    struct frag_number last;
    assert_int_equal(frag_number_parse("99999999999999999999999999999999999999999999999", &last),
                     0);
    assert_true(last.sequence == FRAG_NUMBER_SEQUENCE_MAX + 1);
    assert_text(last, "99999999999999999999999999999999999999999999999");
}

/* Only 28 bits of `low` count, others spoil nothing. */
static void low_is_cut(void **state) {
    (void)state;
    char text[FRAG_NUMBER_TEXT_BYTES];
    assert_string_equal(frag_number_format((struct frag_number){0, 0, UINT32_MAX}, text),
                        "91343852333181432387730302044767688728764219391");
}

static void numbers_survive_the_round_trip(void **state) {
    (void)state;
    uint64_t seed = 1;
    unsigned wrong = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct frag_number number = random_number(&seed), back = {0};
        char text[FRAG_NUMBER_TEXT_BYTES];
        int rc = frag_number_parse(frag_number_format(number, text), &back);
        wrong += rc != 0 || !equal(number, back);
    }
    assert_int_equal(wrong, 0);
}

static void text_order_is_number_order(void **state) {
    (void)state;
    uint64_t seed = 2;
    unsigned wrong = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct frag_number a = random_number(&seed), b = random_number(&seed);
        /* Often equal in what stands further up. */
        b.sequence = i % 2 == 0 ? a.sequence : b.sequence;
        b.server_ms = i % 4 == 0 ? a.server_ms : b.server_ms;
        b.low = i % 8 == 0 ? a.low : b.low;
        char text_a[FRAG_NUMBER_TEXT_BYTES], text_b[FRAG_NUMBER_TEXT_BYTES];
        int by_text = sign(strcmp(frag_number_format(a, text_a), frag_number_format(b, text_b)));
        wrong += by_text != sign(frag_number_compare(a, b));
        wrong += by_text != -sign(frag_number_compare(b, a));
    }
    assert_int_equal(wrong, 0);
}

static void malformed_texts_are_refused(void **state) {
    (void)state;
    static const char *const malformed[] = {
        "",
        "1",
        "9134385233371303890896487762380142353039673789",   /* 46 digits */
        "913438523337130389089648776238014235303967378990", /* 48 */
        "91343852333713038908964877623801423530396737899 ",
        " 9134385233371303890896487762380142353039673789",
        "+9134385233371303890896487762380142353039673789",
        "-9134385233371303890896487762380142353039673789",
        "9134385233371303890896487762380142353039673789x",
        "9134385233371303890896487762380142353039673789/",
        "9134385233371303890896487762380142353039673789:",
        "91343852333713038908964\n77623801423530396737899",
        "00000000000000000000000000000000000000000000000",
        "91343852333181432387730302044767688728495783935",  /* 2^156 - 1 */
        "182687704666362864775460604089535377456991567871", /* 2^157 - 1 */
    };
    for (size_t i = 0; i < KN_COUNT(malformed); i++) {
        struct frag_number number = {7, 8, 9};
        assert_int_equal(frag_number_parse(malformed[i], &number), KN_E_MALFORMED);
        assert_true(equal(number, (struct frag_number){7, 8, 9}));
    }
}

static void format(void *user) {
    char text[FRAG_NUMBER_TEXT_BYTES];
    (void)frag_number_format(*(const struct frag_number *)user, text);
}

/* A 48th digit would break the order of texts. */
static void too_large_a_sequence_stops_the_program(void **state) {
    (void)state;
    struct frag_number fits = {FRAG_NUMBER_SEQUENCE_MAX, UINT64_MAX, LOW_MAX};
    assert_false(aborts(format, &fits));
    struct frag_number large[] = {
        {FRAG_NUMBER_SEQUENCE_MAX + 1, UINT64_MAX, LOW_MAX},
        {FRAG_NUMBER_SEQUENCE_MAX + 2, 0, 0},
        {UINT64_MAX, UINT64_MAX, LOW_MAX},
    };
    for (size_t i = 0; i < KN_COUNT(large); i++) {
        assert_true(aborts(format, &large[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_of_the_contract),
        cmocka_unit_test(the_corners),
        cmocka_unit_test(low_is_cut),
        cmocka_unit_test(numbers_survive_the_round_trip),
        cmocka_unit_test(text_order_is_number_order),
        cmocka_unit_test(malformed_texts_are_refused),
        cmocka_unit_test(too_large_a_sequence_stops_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
