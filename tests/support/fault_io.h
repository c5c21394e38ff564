/* A frag_io over another one (the system's, or tests/support/mem_io.h) that fails on demand, and
 * can say what a power cut would have left.
 *
 *     struct fault_io fault;
 *     fault_io_init(&fault, frag_io_system());
 *     fault.stop_at = 17;                     // the 17th operation and all later ones: -ECANCELED
 *     thing_open(&fault.io, ...);
 *     fault_io_finish(&fault);
 *
 * Operations count from 1; close is none: it always works. Fields may be changed at any time. One
 * thread. */
#ifndef TESTS_SUPPORT_FAULT_IO_H
#define TESTS_SUPPORT_FAULT_IO_H

#include <stddef.h>
#include <stdint.h>

#include "fragments/store/io.h"

#define FAULT_IO_FILES 128
#define FAULT_IO_NAMES 64
#define FAULT_IO_PATH_BYTES 256

struct fault_step; /* one recorded change */

enum fault_kind {
    FAULT_READING, /* open, read, size, list, space */
    FAULT_WRITING, /* write, truncate, create, rename, unlink, folders, allocate, start_write_back
                    */
    FAULT_SYNCING  /* sync, sync_folder */
};

struct fault_name {
    char path[FAULT_IO_PATH_BYTES]; /* empty: not used */
    size_t inode;
};

struct fault_io {
    struct frag_io io; /* for the code under test; first */
    struct frag_io *under;

    uint64_t operations; /* so far */

    uint64_t fail_at;    /* this operation fails (0: none), or the first from it on that the two */
    unsigned fail_kinds; /* filters let through: bits 1 << enum fault_kind, 0 for all; */
    const char *fail_path; /* how its path (as opened) begins, NULL for all ... */
    uint64_t fail_count;   /* ... and so many in all; 0: one */
    int fail_error;        /* a negative errno; 0: -EIO */
    uint64_t fail_pattern; /* not 0: instead of all that, fail_at + j fails where bit j is set */
    uint64_t failed;       /* so far */

    uint64_t stop_at; /* from this one on everything fails with -ECANCELED, as if killed */
    bool torn;        /* a write that fails or is stopped does the first half of its work */
    size_t write_max; /* writes do no more bytes at once; 0: all */
    bool skip_sync;   /* syncs are counted and recorded, not done */
    bool record;      /* from an empty file system on, for fault_io_power_cut */

    struct fault_step *steps; /* recorded */
    size_t step_count, step_room;
    struct fault_name names[FAULT_IO_NAMES];   /* recorded files as they are called now */
    struct fault_name handles[FAULT_IO_FILES]; /* by descriptor */
    size_t inode_count;
};

void fault_io_init(struct fault_io *fault, struct frag_io *under);
/* Frees the record; `under` stays. */
void fault_io_finish(struct fault_io *fault);

/* Makes in `to`, where the folders that stood before recording stand empty, what a power cut after
 * the first `steps` recorded changes may leave: what was synced as it was; of writes and cuts since
 * then each one done, undone, torn at either side, or done with zeros for data; of names made,
 * moved or removed in a folder since it was synced any of them, whatever their order was. A failed
 * sync has synced nothing, and no later one makes up for it. `seed` chooses. */
void fault_io_power_cut(const struct fault_io *fault, size_t steps, uint64_t seed,
                        struct frag_io *to);

#endif
