#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void assert_character(const char *text, size_t expected) {
    assert_int_equal(kn_text_character(text, strlen(text)), expected);
}

static void test_characters_that_show(void **state) {
    (void)state;
    assert_character("a", 1);
    assert_character("~", 1);
    assert_character("\xc3\xa9", 2);
    assert_character("\xe2\x82\xac", 3);
    assert_character("\xf0\x9f\x98\x80", 4);
    assert_character("\xf4\x8f\xbf\xbf", 4);
    assert_character("\xc2\xa0", 2);
}

static void test_characters_that_do_not(void **state) {
    (void)state;
    assert_int_equal(kn_text_character("", 0), 0);
    assert_int_equal(kn_text_character("\0", 1), 0);
    assert_character("\n", 0);
    assert_character("\x1b[2J", 0);
    assert_character("\x7f", 0);
    assert_character("\xc2\x9b", 0);         /* C1: a control sequence for some terminals */
    assert_character("\x9b", 0);             /* bare continuation */
    assert_character("\xc0\xaf", 0);         /* two bytes for one that needs one */
    assert_character("\xe0\x80\xaf", 0);     /* three for it */
    assert_character("\xed\xa0\x80", 0);     /* surrogate */
    assert_character("\xf4\x90\x80\x80", 0); /* beyond Unicode */
    assert_character("\xe2\x80\xae", 0);     /* right-to-left override */
    assert_character("\xe2\x80\xa8", 0);     /* line separator */
    assert_character("\xe2\x82", 0);         /* cut */
    assert_int_equal(kn_text_character("\xe2\x82\xac", 2), 0);
    assert_character("\xc3(", 0);
}

static void test_plain(void **state) {
    (void)state;
    char room[16];
    assert_string_equal(kn_text_plain("caf\xc3\xa9\x1b[m", SIZE_MAX, room, sizeof(room)),
                        "caf\xc3\xa9?[m");
    assert_string_equal(kn_text_plain("\x9b\xff", SIZE_MAX, room, sizeof(room)), "??");
    assert_string_equal(kn_text_plain("abc", 2, room, sizeof(room)), "ab");
    assert_string_equal(kn_text_plain("", SIZE_MAX, room, sizeof(room)), "");
    /* The last character does not fit whole: it is left out. */
    assert_string_equal(kn_text_plain("abc\xe2\x82\xac", SIZE_MAX, room, 6), "abc");
    assert_string_equal(kn_text_plain("abc\xe2\x82\xac", SIZE_MAX, room, 7), "abc\xe2\x82\xac");
    assert_string_equal(kn_text_plain("abc", SIZE_MAX, room, 1), "");
}

static void test_cut(void **state) {
    (void)state;
    assert_int_equal(kn_text_cut("abc", 3, 5), 3);
    assert_int_equal(kn_text_cut("abc", 3, 2), 2);
    assert_int_equal(kn_text_cut("ab\xe2\x82\xac", 5, 5), 5);
    assert_int_equal(kn_text_cut("ab\xe2\x82\xac", 5, 4), 2);
    assert_int_equal(kn_text_cut("ab\xe2\x82\xac", 5, 3), 2);
    assert_int_equal(kn_text_cut("ab\xe2\x82\xac", 5, 2), 2);
    assert_int_equal(kn_text_cut("\xac\xac", 2, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters_that_show),
        cmocka_unit_test(test_characters_that_do_not),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
