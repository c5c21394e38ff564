/* What the two files of tests/support/fault_io.h share: the record, and names in it. */
#ifndef TESTS_SUPPORT_FAULT_IO_INNER_H
#define TESTS_SUPPORT_FAULT_IO_INNER_H

#include "tests/support/fault_io.h"

#define FAULT_IO_PATH_BYTES 256

enum step_kind {
    STEP_CREATE,
    STEP_WRITE,
    STEP_TRUNCATE,
    STEP_SYNC,
    STEP_RENAME,
    STEP_UNLINK,
    STEP_SYNC_FOLDER,
    STEP_MAKE_FOLDER,
    STEP_REMOVE_FOLDER
};

struct fault_step {
    enum step_kind kind;
    bool failed; /* syncs: nothing is sure */
    size_t inode;
    uint64_t offset; /* STEP_TRUNCATE: the new size */
    uint8_t *data;   /* owned */
    size_t size;
    char path[FAULT_IO_PATH_BYTES], to[FAULT_IO_PATH_BYTES];
};

struct fault_name {
    char path[FAULT_IO_PATH_BYTES]; /* empty: not used */
    size_t inode;
};

/* For free(). Not malloc: tests of failing allocations count only what they test. */
void *fault_get_memory(size_t bytes);
/* `old` has `used` bytes of them; freed. */
void *fault_more_memory(void *old, size_t used, size_t bytes);
void fault_copy_path(char room[static FAULT_IO_PATH_BYTES], const char *path);
/* NULL where there is none. */
struct fault_name *fault_find_name(const struct fault_names *names, const char *path);
/* The one with this path, or a new one. */
struct fault_name *fault_set_name(struct fault_names *names, const char *path, size_t inode);

#endif
