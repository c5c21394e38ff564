#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands/ask.h"
#include "commands/command.h"
#include "commands/man.h"

static size_t words_of(const char *name) {
    return strchr(name, ' ') == NULL ? 1 : 2;
}

/* What dispatch relies on. */
static void every_row_can_be_run(void **state) {
    (void)state;
    for (size_t i = 0; cmd_at(i) != NULL; i++) {
        const struct cmd_command *command = cmd_at(i);
        assert_true((command->run != NULL) != (command->work != NULL));
        assert_true(command->ask == NULL ||
                    (command->work != NULL && command->mode == FRAG_STORE_WRITE));
        assert_true(command->work == NULL || (command->options & WITH(DATA)) != 0);
        assert_int_equal(command->required & ~command->options, 0);
        assert_true(command->operands_min <= command->operands_max);
        assert_true(command->operands_max <= OPERANDS_MAX);
        assert_non_null(command->help);
        for (size_t other = 0; other < i; other++) {
            assert_string_not_equal(command->name, cmd_at(other)->name);
        }
    }
}

static void required_options_have_values(void **state) {
    (void)state;
    for (size_t i = 0; cmd_at(i) != NULL; i++) {
        for (int option = 0; option < OPTION_COUNT; option++) {
            if ((cmd_at(i)->required & UINT64_C(1) << option) != 0) {
                assert_non_null(cmd_option_rows[option].value);
                assert_non_null(strstr(cmd_at(i)->usage, cmd_option_rows[option].letter == 0
                                                             ? cmd_option_rows[option].name
                                                             : "-"));
            }
        }
    }
}

static void a_command_is_found_by_its_words(void **state) {
    (void)state;
    for (size_t i = 0; cmd_at(i) != NULL; i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "%s", cmd_at(i)->name);
        char *space = strchr(name, ' ');
        char none[] = "x";
        char *argv[] = {name, space == NULL ? none : space + 1};
        if (space != NULL) {
            *space = '\0';
        }
        int words = 0;
        assert_ptr_equal(cmd_find(2, argv, &words), cmd_at(i));
        assert_int_equal(words, words_of(cmd_at(i)->name));
    }
    char hold[] = "hold", add[] = "ad", check[] = "checks";
    char *half[] = {hold, add};
    char *longer[] = {check};
    int words = 42;
    assert_null(cmd_find(1, half, &words));
    assert_null(cmd_find(2, half, &words));
    assert_null(cmd_find(1, longer, &words));
    assert_int_equal(words, 42);
}

/* ---- requests ---- */

static void names_from_outside_stay_in_their_place(void **state) {
    static const struct {
        const char *name, *path;
    } cases[] = {
        {"door", "/s/door/holds"},
        {"a/../b?c#d%41 \xc3\xa9", "/s/a%2F..%2Fb%3Fc%23d%2541%20%C3%A9/holds"},
        {"..", "/s/%2E%2E/holds"},
        {".", "/s/%2E/holds"},
        {"...", "/s/.../holds"},
        {"", "/s//holds"},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        char *path = cmd_ask_path("/s/", cases[i].name, "/holds");
        assert_non_null(path);
        assert_string_equal(path, cases[i].path);
        free(path);
    }
}

static void times_keep_their_nanoseconds(void **state) {
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000000000Z"},
        {INT64_C(1795209820123456789), "2026-11-20T21:23:40.123456789Z"},
        {-1, "1969-12-31T23:59:59.999999999Z"},
        {-KN_NS_PER_S, "1969-12-31T23:59:59.000000000Z"},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        json_t *text = cmd_ask_time((struct kn_wall){cases[i].ns});
        struct kn_wall back = {42};
        assert_string_equal(json_string_value(text), cases[i].text);
        assert_int_equal(kn_wall_parse(json_string_value(text), &back), 0);
        assert_true(back.ns == cases[i].ns);
        json_decref(text);
    }
}

/* ---- man pages ---- */

static void assert_page(void (*put)(const char *text, FILE *out), const char *text,
                        const char *page) {
    char *got = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&got, &size);
    assert_non_null(out);
    put(text, out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(got, page);
    free(got);
}

static void put_text(const char *text, FILE *out) {
    cmd_man_text(text, strlen(text), out);
}

static void text_never_becomes_a_command(void **state) {
    (void)state;
    assert_page(put_text, ".TH x", "\\&.TH x");
    assert_page(put_text, "a\n.sp\n'br", "a\n\\&.sp\n\\&'br");
    assert_page(put_text, "C:\\fB \\", "C:\\efB \\e");
    assert_page(put_text, "with --data DIR, self-signed",
                "with \\fB\\-\\-data\\fR DIR, self-signed");
    assert_page(put_text, "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 ab",
                "0123456789 0123456789 0123456789 0123456789 0123456789\n0123456789 ab");
    /* Broken where the next line would begin so. */
    assert_page(put_text, "0123456789 0123456789 0123456789 0123456789 0123456789 012345678 .abc",
                "0123456789 0123456789 0123456789 0123456789 0123456789 012345678\n\\&.abc");
}

static void paragraphs_and_lists(void **state) {
    (void)state;
    assert_page(cmd_man_body, "One\ntwo.\n\nThree.\n\n  FILE     what\n           more\n\nEnd.\n\n",
                "One\ntwo.\n.PP\nThree.\n.TP\n\\fIFILE\\fR\nwhat\nmore\n.PP\nEnd.\n");
    assert_page(cmd_man_body, "", "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_can_be_run),
        cmocka_unit_test(required_options_have_values),
        cmocka_unit_test(a_command_is_found_by_its_words),
        cmocka_unit_test(names_from_outside_stay_in_their_place),
        cmocka_unit_test(times_keep_their_nanoseconds),
        cmocka_unit_test(text_never_becomes_a_command),
        cmocka_unit_test(paragraphs_and_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
