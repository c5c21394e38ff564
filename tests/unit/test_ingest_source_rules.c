/* What a source's URL means, and when a failure is tried again. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "base/time.h"
#include "ingest/ingest.h"
#include "ingest/source_rules.h"

static void test_urls(void **state) {
    static const struct {
        const char *url;
        int rc;
        const char *path;
    } cases[] = {
        {"file:/srv/clips", 0, "/srv/clips"},
        {"file:clips/box.mkv", 0, "clips/box.mkv"},
        {"file:///srv/clips", 0, "///srv/clips"},
        {"file:a b:c?d#e%20", 0, "a b:c?d#e%20"},
        {"file:", KN_E_MALFORMED, NULL},
        {"file://host/clips", KN_E_MALFORMED, NULL},
        {"file:a\nb", KN_E_MALFORMED, NULL},
        {"file:a\x7f", KN_E_MALFORMED, NULL},
        {"FILE:/srv", KN_E_UNSUPPORTED, NULL},
        {"files:/srv", KN_E_UNSUPPORTED, NULL},
        {"rtsp://camera/1", KN_E_UNSUPPORTED, NULL},
        {"exec:reboot", KN_E_UNSUPPORTED, NULL},
        {"h2+x-y.z:", KN_E_UNSUPPORTED, NULL},
        {"", KN_E_MALFORMED, NULL},
        {":", KN_E_MALFORMED, NULL},
        {"/srv/clips", KN_E_MALFORMED, NULL},
        {"file", KN_E_MALFORMED, NULL},
        {"2file:/srv", KN_E_MALFORMED, NULL},
        {" file:/srv", KN_E_MALFORMED, NULL},
        {"fi le:/srv", KN_E_MALFORMED, NULL},
        {"\xc3\xa9:/srv", KN_E_MALFORMED, NULL},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        const char *path = NULL;
        print_message("# %s\n", i == 6 ? "a line break" : cases[i].url);
        assert_int_equal(ing_source_url_check(cases[i].url), cases[i].rc);
        assert_int_equal(ing_source_url_path(cases[i].url, &path), cases[i].rc);
        if (cases[i].rc == 0) {
            assert_string_equal(path, cases[i].path);
        } else {
            assert_null(path);
        }
    }
}

static void test_long_url(void **state) {
    char url[PATH_MAX + 8];
    (void)state;
    memset(url, 'x', sizeof(url));
    memcpy(url, "file:", 5);
    url[5 + PATH_MAX - 1] = '\0';
    assert_int_equal(ing_source_url_check(url), 0);
    url[5 + PATH_MAX - 1] = 'x';
    url[5 + PATH_MAX] = '\0';
    assert_int_equal(ing_source_url_check(url), KN_E_MALFORMED);
}

static void test_waits(void **state) {
    static const int64_t waits_s[] = {1, 2, 4, 8, 16, 30, 30};
    (void)state;
    for (size_t i = 0; i < KN_COUNT(waits_s); i++) {
        assert_int_equal(ing_source_wait_ns(i + 1), waits_s[i] * KN_NS_PER_S);
    }
    assert_int_equal(ing_source_wait_ns(0), KN_NS_PER_S);
    assert_int_equal(ing_source_wait_ns(UINT64_MAX), 30 * KN_NS_PER_S);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_long_url),
        cmocka_unit_test(test_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
