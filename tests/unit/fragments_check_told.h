/* Harm done to files of a store, and what a check tells of it. */
#ifndef TESTS_UNIT_FRAGMENTS_CHECK_TOLD_H
#define TESTS_UNIT_FRAGMENTS_CHECK_TOLD_H

#include <errno.h>
#include <fcntl.h>

#include "tests/unit/fragments_check_store.h"

/* ---- doing harm ---- */

static inline uint8_t *made_load(const char *path, size_t *ret_size) {
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    uint8_t *data = malloc((size_t)status.st_size + 1);
    assert_non_null(data);
    FILE *file = fopen(path, "rbe");
    assert_non_null(file);
    assert_int_equal(fread(data, 1, (size_t)status.st_size, file), status.st_size);
    assert_int_equal(fclose(file), 0);
    *ret_size = (size_t)status.st_size;
    return data;
}

static inline void made_save(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void made_flip(const char *path, uint64_t at) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    assert_int_equal(close(fd), 0);
}

/* ---- what is told ---- */

/* Exactly one finding: of this file, about this place (both 0: of all of it). */
static inline void told_one(struct made_checked *checked, enum frag_check_severity severity,
                            const char *path, uint64_t from, uint64_t to, const char *what) {
    if (checked->count != 1) {
        made_print(checked);
    }
    assert_int_equal(checked->count, 1);
    const struct made_finding *finding = &checked->findings[0];
    assert_string_equal(finding->path, path);
    assert_int_equal(finding->is.severity, severity);
    if (strstr(finding->what, what) == NULL || from < finding->is.from || to > finding->is.to) {
        made_print(checked);
        fail_msg("not what was looked for: %s [%llu, %llu)", what, (unsigned long long)from,
                 (unsigned long long)to);
    }
    assert_int_equal(checked->report.notes, severity == FRAG_CHECK_NOTE);
    assert_int_equal(checked->report.repairs, severity == FRAG_CHECK_REPAIR);
    assert_int_equal(checked->report.damages, severity == FRAG_CHECK_DAMAGE);
}

static inline void made_finish(struct made *made, struct made_checked *checked) {
    free(checked);
    made_end(made);
}

#endif
