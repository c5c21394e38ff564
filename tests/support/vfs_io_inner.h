/* What the two files of tests/support/vfs_io.h share. All of it under the one lock of vfs_io.c. */
#ifndef TESTS_SUPPORT_VFS_IO_INNER_H
#define TESTS_SUPPORT_VFS_IO_INNER_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

#include "tests/support/vfs_io.h"

#define VFS_PATH_BYTES 512

struct vfs_file;

/* What the connections of one file share. Its references own it. */
struct vfs_shared {
    struct vfs_shared *next; /* in the list of those that can be met */
    bool cut_off;            /* by vfs_io_crash: in no list */
    unsigned refs;
    char path[VFS_PATH_BYTES];
    unsigned holders; /* that have SHARED or more */
    const struct vfs_file *reserved, *pending, *exclusive;

    void **regions; /* of the shared memory: owned */
    int region_count;
    unsigned shm_shared[SQLITE_SHM_NLOCK];
    const struct vfs_file *shm_exclusive[SQLITE_SHM_NLOCK];
};

struct vfs_file {
    sqlite3_file base; /* first */
    struct frag_io *io;
    int fd;
    unsigned life; /* in which it was opened */
    bool delete_on_close;
    bool sync_folder; /* at the next sync: its name is new */
    char path[VFS_PATH_BYTES];
    struct vfs_shared *shared;          /* of a database, else NULL */
    int level;                          /* SQLITE_LOCK_... */
    unsigned shm_shared, shm_exclusive; /* bits 1 << lock */
};

/* The one for this path; NULL: out of memory. */
struct vfs_shared *vfs_shared_get(const char *path);
void vfs_shared_drop(struct vfs_shared *shared);
bool vfs_shared_any(void);
void vfs_shared_cut_off_all(void);

int vfs_lock(struct vfs_file *file, int level);
void vfs_unlock(struct vfs_file *file, int level);
int vfs_shm_map(struct vfs_file *file, int region, int bytes, bool extend,
                void volatile **ret_data);
int vfs_shm_lock(struct vfs_file *file, int first, int count, int flags);
void vfs_shm_release(struct vfs_file *file);

#endif
