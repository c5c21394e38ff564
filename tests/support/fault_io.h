/* A frag_io over another one (the system's, or tests/support/mem_io.h) that fails on demand, and
 * can say what a power cut would have left.
 *
 *     struct fault_io fault;
 *     fault_io_init(&fault, frag_io_system());
 *     fault.stop_at = 17;                     // the 17th operation and all later ones: -ECANCELED
 *     thing_open(&fault.io, ...);
 *     fault_io_finish(&fault);
 *
 * Operations count from 1; close is none: it always works. Any thread, one operation at a time;
 * fields may be changed at any time while no other thread is inside. Its own memory does not come
 * from malloc, as with mem_io. */
#ifndef TESTS_SUPPORT_FAULT_IO_H
#define TESTS_SUPPORT_FAULT_IO_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fragments/store/io.h"

struct fault_step; /* one recorded change */
struct fault_name;

enum fault_kind {
    FAULT_READING, /* open, lock, read, size, list, space */
    FAULT_WRITING, /* write, truncate, create, rename, unlink, folders, allocate, start_write_back
                    */
    FAULT_SYNCING  /* sync, sync_folder */
};

/* Files by their paths, or by descriptors. */
struct fault_names {
    struct fault_name *all; /* grows */
    size_t count;
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
    /* A later sync of a folder makes up for one that failed, as where directories are kept in a
     * file system's own journal: it keeps what it could not commit, or stops for good. */
    bool folders_recover;
    bool record; /* from an empty file system on, for fault_io_power_cut */

    struct fault_step *steps; /* recorded */
    size_t step_count, step_room;
    struct fault_names names;   /* recorded files as they are called now */
    struct fault_names handles; /* by descriptor */
    size_t inode_count;
    pthread_mutex_t lock; /* recursive: a callback of list may use the table */
};

void fault_io_init(struct fault_io *fault, struct frag_io *under);
/* Frees the record and all else; `under` stays. */
void fault_io_finish(struct fault_io *fault);

/* The least n above `from` so that the n-th recorded change is a sync, worked or not: a power cut
 * after n steps is just behind it, one after n - 1 just before. 0: there is none. */
size_t fault_io_next_sync(const struct fault_io *fault, size_t from);

/* Makes in `to`, where the folders that stood before recording stand empty, what a power cut after
 * the first `steps` recorded changes may leave: what was synced as it was; of writes and cuts since
 * then each one done, undone, torn at either side, done with zeros for data, or torn by pages of
 * 4096 bytes of the file: each done, undone or zeros; of names made, moved or removed in a folder
 * since it was synced any of them, whatever their order was. A failed sync has synced nothing, and
 * no later one makes up for it. `seed` chooses. */
void fault_io_power_cut(const struct fault_io *fault, size_t steps, uint64_t seed,
                        struct frag_io *to);

#endif
