/* An index in a folder that its reader may not write to. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fragments/store/index.h"
#include "fragments/store/index_inner.h"
#include "tests/support/index_world.h"

#define NOBODY 65534

/* What a URI would take for something else stands in the folder's name. */
static char folder[300];
static char path[320];
static char outer[256];

static void write_log(const char *text) {
    char name[340];
    (void)snprintf(name, sizeof(name), "%s-wal", path);
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(name, 0444), 0);
}

static void write_index(void) {
    struct world world;
    struct frag_index *index = NULL;
    char reel_path[96];
    world_init(&world, 1);
    assert_int_equal(frag_index_open(path, FRAG_INDEX_WRITE, &index), 0);
    struct frag_index_reel reel = world_make_reel(&world, 0, reel_path);
    assert_int_equal(frag_index_begin(index), 0);
    assert_int_equal(frag_index_add_reel(index, &reel, &reel.row), 0);
    assert_int_equal(frag_index_commit(index, false), 0);
    frag_index_close(index);
    world_finish(&world);
    assert_int_equal(chmod(path, 0444), 0);
}

static int set_up(void **state) {
    (void)state;
    const char *place = getenv("TMPDIR");
    (void)snprintf(outer, sizeof(outer), "%s/test_index.XXXXXX",
                   place != NULL && place[0] != '\0' ? place : "/tmp");
    if (mkdtemp(outer) == NULL || chmod(outer, 0755) != 0) {
        return -1;
    }
    (void)snprintf(folder, sizeof(folder), "%s/50%%20 a?b=c#d\xc3\xa4", outer);
    (void)snprintf(path, sizeof(path), "%s/index.db", folder);
    if (mkdir(folder, 0755) != 0) {
        return -1;
    }
    write_index();
    return 0;
}

static int tear_down(void **state) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    (void)state;
    (void)chmod(folder, 0755);
    for (size_t i = 0; i < KN_COUNT(endings); i++) {
        char name[340];
        (void)snprintf(name, sizeof(name), "%s%s", path, endings[i]);
        (void)unlink(name); /* some are not there */
    }
    return rmdir(folder) == 0 ? rmdir(outer) : -1;
}

static int count_reel(const struct frag_index_reel *reel, void *user) {
    int *count = user;
    (void)reel;
    ++*count;
    return 0;
}

/* How many reels it finds, or the failure. */
static int read_index(const char *name) {
    struct frag_index *index = NULL;
    int count = 0;
    int rc = frag_index_open(name, FRAG_INDEX_READ, &index);
    rc = rc == 0 ? frag_index_each_reel(index, count_reel, &count) : rc;
    frag_index_close(index);
    return rc == 0 ? count : rc;
}

/* The same by somebody who is not allowed everything, with the folder closed to writing. The answer
 * comes as the exit code: a negative errno below 256. */
static int read_as_nobody(const char *name) {
    int status = 0;
    assert_int_equal(chmod(folder, 0555), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && setuid(NOBODY) != 0) {
            _exit(255);
        }
        int rc = chdir(folder) == 0 ? read_index(name) : -errno;
        _exit(rc >= 0 ? rc : 100 - rc);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) < 100 ? WEXITSTATUS(status) : 100 - WEXITSTATUS(status);
}

static void closed_is_read(void **state) {
    char twice[340];
    (void)state;
    (void)snprintf(twice, sizeof(twice), "/%s", path);
    assert_int_equal(read_as_nobody(path), 1);
    assert_int_equal(read_as_nobody("index.db"), 1);
    assert_int_equal(read_as_nobody(twice), 1);
    assert_int_equal(read_as_nobody("none.db"), -ENOENT);
    write_log("");
    assert_int_equal(read_as_nobody(path), 1);
}

/* What is in the log would be missing. */
static void log_is_not_passed_over(void **state) {
    (void)state;
    write_log("something");
    assert_int_equal(read_as_nobody(path), -EACCES);
}

/* No room for shared memory: nobody writes, and with an empty log the file is all there is. */
static void a_full_disk_is_read(void **state) {
    static const int failures[] = {-ENOSPC, -EDQUOT};
    (void)state;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        char *uri = NULL;
        write_log("");
        assert_int_equal(frag_index_unwritable(path, failures[i], &uri), 0);
        assert_non_null(uri);
        free(uri);
        uri = NULL;
        write_log("content");
        assert_int_equal(frag_index_unwritable(path, failures[i], &uri), failures[i]);
        assert_null(uri);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(closed_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(log_is_not_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_is_read, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("fragments index unwritable", tests, NULL, NULL);
}
