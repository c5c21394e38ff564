#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/options.h"

struct told {
    const char *size, *file;
};

static bool take(void *user, size_t at, const char *value) {
    *(const char **)((char *)user + at) = value;
    return strcmp(value, "bad") != 0;
}

/* Row 2 is none. */
static const struct kn_option rows[] = {
    [0] = {"size", 0, "BYTES", "how much", take, offsetof(struct told, size), "a size"},
    [1] = {"json", 'j', NULL, "print JSON", NULL, 0, NULL},
    [3] = {"file", 'o', "FILE", "where to", take, offsetof(struct told, file), "a file"},
};

static int parse(uint64_t set, char **argv, struct told *told, uint64_t *ret_given,
                 int *ret_operands) {
    const struct kn_options options = {.rows = rows, .count = KN_COUNT(rows), .set = set};
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    return kn_options_parse(&options, argc, argv, told, ret_given, ret_operands);
}

static void options_and_operands_are_told_apart(void **state) {
    char name[] = "test", a[] = "a", size[] = "--size", minus[] = "-10m", json[] = "-j",
         file[] = "--file=x y", b[] = "b";
    char *argv[] = {name, a, size, minus, json, file, b, NULL};
    struct told told = {0};
    uint64_t given = 0;
    int operands = 0;
    (void)state;
    assert_int_equal(parse(0xb, argv, &told, &given, &operands), 0);
    assert_int_equal(given, 0xb);
    assert_string_equal(told.size, "-10m");
    assert_string_equal(told.file, "x y");
    assert_int_equal(operands, 5);
    assert_string_equal(argv[5], "a");
    assert_string_equal(argv[6], "b");
}

static void behind_two_dashes_all_are_operands(void **state) {
    char name[] = "test", letter[] = "-o", value[] = "-j", dashes[] = "--", json[] = "--json";
    char *argv[] = {name, letter, value, dashes, json, NULL};
    struct told told = {0};
    uint64_t given = 0;
    int operands = 0;
    (void)state;
    assert_int_equal(parse(0xb, argv, &told, &given, &operands), 0);
    assert_int_equal(given, 0x8);
    assert_string_equal(told.file, "-j");
    assert_int_equal(operands, 4);
}

static void others_are_refused(void **state) {
    static const struct {
        uint64_t set;
        const char *argument;
    } cases[] = {
        {0xb, "--nothing"}, {0xb, "-x"},       {0x9, "--json"},     {0x9, "-j"},
        {0xb, "--size"},    {0xb, "-o"},       {0xb, "--json=yes"}, {0xb, "--size=bad"},
        {0x2, "-ofile"},    {0x4, "--(null)"},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        char name[] = "test";
        char argument[32];
        (void)snprintf(argument, sizeof(argument), "%s", cases[i].argument);
        char *argv[] = {name, argument, NULL};
        struct told told = {0};
        uint64_t given = 42;
        int operands = 42;
        assert_int_equal(parse(cases[i].set, argv, &told, &given, &operands), KN_E_MALFORMED);
        assert_int_equal(given, 42);
        assert_int_equal(operands, 42);
    }
}

/* A set reaches as far as a table may. */
static void the_last_row_is_an_option_too(void **state) {
    static const struct kn_option many[KN_OPTIONS_MAX] = {
        [0] = {"first", 0, NULL, "the first one", NULL, 0, NULL},
        [KN_OPTIONS_MAX - 1] = {"last", 0, NULL, "the last one", NULL, 0, NULL},
    };
    const uint64_t last = UINT64_C(1) << (KN_OPTIONS_MAX - 1);
    const struct kn_options options = {.rows = many, .count = KN_COUNT(many), .set = last | 1};
    char name[] = "test", argument[] = "--last";
    char *argv[] = {name, argument, NULL};
    uint64_t given = 0;
    int operands = 0;
    (void)state;
    assert_int_equal(kn_options_parse(&options, 2, argv, NULL, &given, &operands), 0);
    assert_true(given == last);
}

static void those_of_the_set_are_printed(void **state) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    const struct kn_options options = {.rows = rows, .count = KN_COUNT(rows), .set = 0x7};
    (void)state;
    assert_non_null(out);
    kn_options_print(&options, out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "  --size BYTES           how much\n"
                              "  --json                 print JSON\n");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_operands_are_told_apart),
        cmocka_unit_test(behind_two_dashes_all_are_operands),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(the_last_row_is_an_option_too),
        cmocka_unit_test(those_of_the_set_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
