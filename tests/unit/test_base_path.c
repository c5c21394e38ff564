#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/path.h"

/* A temporary directory with "there" in it, and a link to that; it is where we are. */
static int setup(void **state) {
    char made[] = "/tmp/kinora-path-XXXXXX";
    if (mkdtemp(made) == NULL || chdir(made) != 0 || mkdir("there", 0700) != 0 ||
        symlink("there", "link") != 0) {
        return -1;
    }
    *state = realpath(made, NULL);
    return *state == NULL ? -1 : 0;
}

static int teardown(void **state) {
    (void)unlink("link");
    (void)rmdir("there");
    (void)rmdir(*state);
    free(*state);
    return chdir("/");
}

static void paths_become_absolute(void **state) {
    static const struct {
        const char *path, *below;
    } cases[] = {
        {"there", "/there"},
        {"./there/", "/there"},
        {"link", "/there"},
        {"new", "/new"},
        {"new///", "/new"},
        {"there/new", "/there/new"},
        {"link/new", "/there/new"},
        {"link/../new/", "/new"},
        {".", ""},
    };
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        char expected[PATH_MAX], room[PATH_MAX], long_way[PATH_MAX];
        (void)snprintf(expected, sizeof(expected), "%s%s", (const char *)*state, cases[i].below);
        assert_int_equal(kn_path_absolute(cases[i].path, room), 0);
        assert_string_equal(room, expected);
        (void)snprintf(long_way, sizeof(long_way), "%s/%s", (const char *)*state, cases[i].path);
        assert_int_equal(kn_path_absolute(long_way, room), 0);
        assert_string_equal(room, expected);
    }
    char room[PATH_MAX];
    assert_int_equal(kn_path_absolute("/kinora-no-such-name", room), 0);
    assert_string_equal(room, "/kinora-no-such-name");
    assert_int_equal(kn_path_absolute("/", room), 0);
    assert_string_equal(room, "/");
}

static void others_are_refused(void **state) {
    char room[PATH_MAX] = "as it was";
    char name[PATH_MAX + 8];
    (void)state;
    assert_int_equal(kn_path_absolute("", room), -ENOENT);
    assert_int_equal(kn_path_absolute("missing/new", room), -ENOENT);
    assert_int_equal(kn_path_absolute("missing/..", room), -ENOENT);
    memset(name, 'a', sizeof(name));
    name[300] = '\0';
    assert_int_equal(kn_path_absolute(name, room), -ENAMETOOLONG);
    name[300] = 'a';
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(kn_path_absolute(name, room), -ENAMETOOLONG);
    assert_string_equal(room, "as it was");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(paths_become_absolute, setup, teardown),
        cmocka_unit_test_setup_teardown(others_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
