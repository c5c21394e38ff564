/* Locks and shared memory of the connections of one process (tests/support/vfs_io.h). */
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "tests/support/vfs_io_inner.h"

static struct vfs_shared *list;

struct vfs_shared *vfs_shared_get(const char *path) {
    struct vfs_shared *shared = list;
    while (shared != NULL && strcmp(shared->path, path) != 0) {
        shared = shared->next;
    }
    if (shared == NULL) {
        shared = calloc(1, sizeof(*shared));
        if (shared == NULL) {
            return NULL;
        }
        KN_ASSERT(strlen(path) < sizeof(shared->path));
        memcpy(shared->path, path, strlen(path) + 1);
        shared->next = list;
        list = shared;
    }
    shared->refs++;
    return shared;
}

static void leave_list(struct vfs_shared *shared) {
    struct vfs_shared **at = &list;
    while (*at != shared) {
        at = &(*at)->next;
    }
    *at = shared->next;
}

void vfs_shared_drop(struct vfs_shared *shared) {
    if (--shared->refs > 0) {
        return;
    }
    if (!shared->cut_off) {
        leave_list(shared);
    }
    for (int i = 0; i < shared->region_count; i++) {
        free(shared->regions[i]);
    }
    free(shared->regions);
    free(shared);
}

bool vfs_shared_any(void) {
    return list != NULL;
}

void vfs_shared_cut_off_all(void) {
    while (list != NULL) {
        list->cut_off = true;
        list = list->next;
    }
}

/* ---- locks of the file ---- */

static bool is_others(const struct vfs_file *holder, const struct vfs_file *file) {
    return holder != NULL && holder != file;
}

/* SQLite goes from SHARED to RESERVED or EXCLUSIVE, and never asks for PENDING. */
int vfs_lock(struct vfs_file *file, int level) {
    struct vfs_shared *shared = file->shared;
    if (file->level >= level) {
        return SQLITE_OK;
    }
    if (is_others(shared->pending, file) || is_others(shared->exclusive, file) ||
        (level > SQLITE_LOCK_SHARED && is_others(shared->reserved, file))) {
        return SQLITE_BUSY;
    }
    if (level == SQLITE_LOCK_SHARED) {
        shared->holders++;
    } else if (level == SQLITE_LOCK_RESERVED) {
        shared->reserved = file;
    } else {
        shared->pending = file;
        if (shared->holders > 1) {
            file->level = SQLITE_LOCK_PENDING; /* no new readers; those that are there may end */
            return SQLITE_BUSY;
        }
        shared->exclusive = file;
    }
    file->level = level;
    return SQLITE_OK;
}

static void give_up(const struct vfs_file **holder, const struct vfs_file *file) {
    if (*holder == file) {
        *holder = NULL;
    }
}

void vfs_unlock(struct vfs_file *file, int level) {
    struct vfs_shared *shared = file->shared;
    if (file->level <= level) {
        return;
    }
    give_up(&shared->reserved, file);
    give_up(&shared->pending, file);
    give_up(&shared->exclusive, file);
    if (level == SQLITE_LOCK_NONE) {
        shared->holders--;
    }
    file->level = level;
}

/* ---- shared memory ---- */

static int grow_regions(struct vfs_shared *shared, int count, size_t bytes) {
    void **regions = realloc(shared->regions, (size_t)count * sizeof(*regions));
    if (regions == NULL) {
        return SQLITE_IOERR_NOMEM;
    }
    shared->regions = regions;
    while (shared->region_count < count) {
        void *region = calloc(1, bytes);
        if (region == NULL) {
            return SQLITE_IOERR_NOMEM;
        }
        shared->regions[shared->region_count++] = region;
    }
    return SQLITE_OK;
}

int vfs_shm_map(struct vfs_file *file, int region, int bytes, bool extend,
                void volatile **ret_data) {
    struct vfs_shared *shared = file->shared;
    *ret_data = NULL;
    if (region >= shared->region_count && extend) {
        int rc = grow_regions(shared, region + 1, (size_t)bytes);
        if (rc != SQLITE_OK) {
            return rc;
        }
    }
    if (region < shared->region_count) {
        *ret_data = shared->regions[region];
    }
    return SQLITE_OK;
}

static bool can_lock(const struct vfs_file *file, int at, bool exclusive) {
    const struct vfs_shared *shared = file->shared;
    unsigned own = file->shm_shared >> at & 1;
    return !is_others(shared->shm_exclusive[at], file) &&
           (!exclusive || shared->shm_shared[at] == own);
}

static void take_lock(struct vfs_file *file, int at, bool exclusive) {
    struct vfs_shared *shared = file->shared;
    unsigned bit = 1u << at;
    if (exclusive) {
        shared->shm_exclusive[at] = file;
        file->shm_exclusive |= bit;
    } else if ((file->shm_shared & bit) == 0) {
        shared->shm_shared[at]++;
        file->shm_shared |= bit;
    }
}

static void release_lock(struct vfs_file *file, int at) {
    struct vfs_shared *shared = file->shared;
    unsigned bit = 1u << at;
    give_up(&shared->shm_exclusive[at], file);
    shared->shm_shared[at] -= file->shm_shared >> at & 1;
    file->shm_shared &= ~bit;
    file->shm_exclusive &= ~bit;
}

int vfs_shm_lock(struct vfs_file *file, int first, int count, int flags) {
    bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    bool unlock = (flags & SQLITE_SHM_UNLOCK) != 0;
    KN_ASSERT(first >= 0 && first + count <= SQLITE_SHM_NLOCK);
    for (int at = first; at < first + count && !unlock; at++) {
        if (!can_lock(file, at, exclusive)) {
            return SQLITE_BUSY;
        }
    }
    for (int at = first; at < first + count; at++) {
        if (unlock) {
            release_lock(file, at);
        } else {
            take_lock(file, at, exclusive);
        }
    }
    return SQLITE_OK;
}

void vfs_shm_release(struct vfs_file *file) {
    for (int at = 0; at < SQLITE_SHM_NLOCK; at++) {
        release_lock(file, at);
    }
}
