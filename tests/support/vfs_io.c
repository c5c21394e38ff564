#include "tests/support/vfs_io.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/attributes.h"
#include "base/error.h"
#include "tests/support/vfs_io_inner.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct frag_io *registered; /* guarded by it, as all else */
static unsigned life;              /* vfs_io_crash begins another one */
/* Never begun anew: what a log is salted with must not come again. */
static uint64_t randomness;
/* A positive errno, for sqlite3_system_errno. */
static _Thread_local int last_error;

static void take_lock(void) {
    (void)pthread_mutex_lock(&lock); /* plain, never held twice: cannot fail */
}

static void release_lock(void) {
    (void)pthread_mutex_unlock(&lock);
}

static struct vfs_file *from_base(sqlite3_file *base) {
    return (struct vfs_file *)base;
}

/* Was opened before the crash. Locked. */
static bool is_dead(const struct vfs_file *file) {
    return file->life != life;
}

/* SQLite's result of what the io has answered. */
static int answer(int64_t rc, int failure) {
    if (rc >= 0) {
        return SQLITE_OK;
    }
    last_error = rc > KN_E_TRUNCATED ? (int)-rc : EIO;
    return rc == -ENOSPC && failure == SQLITE_IOERR_WRITE ? SQLITE_FULL : failure;
}

/* The folder a path lies in: 0, or -ENOENT. */
static int folder_of(const char *path, char folder[static VFS_PATH_BYTES]) {
    const char *end = strrchr(path, '/');
    if (end == NULL) {
        return -ENOENT;
    }
    memcpy(folder, path, (size_t)(end - path));
    folder[end - path] = '\0';
    return 0;
}

static int sync_folder_of(struct frag_io *io, const char *path) {
    char folder[VFS_PATH_BYTES];
    int rc = folder_of(path, folder);
    return rc < 0 ? rc : io->sync_folder(io, folder);
}

/* ---- files ---- */

static int file_close(sqlite3_file *base) {
    struct vfs_file *file = from_base(base);
    struct frag_io *io = file->io;
    take_lock();
    if (file->shared != NULL) {
        vfs_shm_release(file);
        vfs_unlock(file, SQLITE_LOCK_NONE);
        vfs_shared_drop(file->shared);
    }
    (void)io->close(io, file->fd); /* what counts was synced */
    if (file->delete_on_close && !is_dead(file)) {
        (void)io->unlink(io, file->path); /* nobody misses it */
    }
    release_lock();
    return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *room, int size, sqlite3_int64 offset) {
    struct vfs_file *file = from_base(base);
    take_lock();
    int64_t got = is_dead(file)
                      ? -EIO
                      : file->io->read(file->io, file->fd, room, (size_t)size, (uint64_t)offset);
    release_lock();
    if (got < 0) {
        return answer(got, SQLITE_IOERR_READ);
    }
    if (got < size) {
        memset((char *)room + got, 0, (size_t)(size - got));
        return SQLITE_IOERR_SHORT_READ;
    }
    return SQLITE_OK;
}

static int file_write(sqlite3_file *base, const void *data, int size, sqlite3_int64 offset) {
    struct vfs_file *file = from_base(base);
    take_lock();
    int rc = is_dead(file)
                 ? -EIO
                 : frag_io_write_bytes(file->io, file->fd, data, (size_t)size, (uint64_t)offset);
    release_lock();
    return answer(rc, SQLITE_IOERR_WRITE);
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size) {
    struct vfs_file *file = from_base(base);
    take_lock();
    int rc = is_dead(file) ? -EIO : file->io->truncate(file->io, file->fd, (uint64_t)size);
    release_lock();
    return answer(rc, SQLITE_IOERR_TRUNCATE);
}

static int file_sync(sqlite3_file *base, int flags) {
    struct vfs_file *file = from_base(base);
    (void)flags;
    take_lock();
    int rc = answer(is_dead(file) ? -EIO : file->io->sync(file->io, file->fd), SQLITE_IOERR_FSYNC);
    if (rc == SQLITE_OK && file->sync_folder) {
        rc = answer(sync_folder_of(file->io, file->path), SQLITE_IOERR_DIR_FSYNC);
        file->sync_folder = rc != SQLITE_OK;
    }
    release_lock();
    return rc;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret_size) {
    struct vfs_file *file = from_base(base);
    uint64_t bytes = 0;
    take_lock();
    int rc = is_dead(file) ? -EIO : file->io->size(file->io, file->fd, &bytes);
    release_lock();
    *ret_size = (sqlite3_int64)bytes;
    return answer(rc, SQLITE_IOERR_FSTAT);
}

static int file_lock(sqlite3_file *base, int level) {
    struct vfs_file *file = from_base(base);
    take_lock();
    int rc = is_dead(file) ? SQLITE_IOERR_LOCK : vfs_lock(file, level);
    release_lock();
    return rc;
}

static int file_unlock(sqlite3_file *base, int level) {
    take_lock();
    vfs_unlock(from_base(base), level);
    release_lock();
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *base, int *ret_reserved) {
    const struct vfs_shared *shared = from_base(base)->shared;
    take_lock();
    *ret_reserved =
        shared->reserved != NULL || shared->pending != NULL || shared->exclusive != NULL;
    release_lock();
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int operation, void *argument) {
    (void)base;
    (void)operation;
    (void)argument;
    return SQLITE_NOTFOUND; /* none is needed */
}

static int file_sector_size(sqlite3_file *base) {
    (void)base;
    return 4096;
}

static int file_characteristics(sqlite3_file *base) {
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as SQLite takes it of every file system */
}

static int file_shm_map(sqlite3_file *base, int region, int bytes, int extend,
                        void volatile **ret_data) {
    struct vfs_file *file = from_base(base);
    take_lock();
    int rc = is_dead(file) ? SQLITE_IOERR_SHMMAP
                           : vfs_shm_map(file, region, bytes, extend != 0, ret_data);
    release_lock();
    return rc;
}

static int file_shm_lock(sqlite3_file *base, int first, int count, int flags) {
    struct vfs_file *file = from_base(base);
    take_lock();
    bool refused = is_dead(file) && (flags & SQLITE_SHM_LOCK) != 0;
    int rc = refused ? SQLITE_IOERR_SHMLOCK : vfs_shm_lock(file, first, count, flags);
    release_lock();
    return rc;
}

static void file_shm_barrier(sqlite3_file *base) {
    (void)base;
    take_lock();
    release_lock();
}

static int file_shm_unmap(sqlite3_file *base, int delete_it) {
    (void)delete_it; /* it goes with the last connection */
    take_lock();
    vfs_shm_release(from_base(base));
    release_lock();
    return SQLITE_OK;
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- the file system ---- */

static int open_file(struct vfs_file *file, int flags, int *ret_flags) {
    struct frag_io *io = file->io;
    bool can_write = (flags & SQLITE_OPEN_READWRITE) != 0;
    int fd = io->open(io, file->path, can_write ? FRAG_IO_WRITE : FRAG_IO_READ);
    if (fd == -ENOENT && (flags & SQLITE_OPEN_CREATE) != 0) {
        fd = io->open(io, file->path, FRAG_IO_CREATE);
        file->sync_folder = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
    } else if ((fd == -EACCES || fd == -EROFS) && can_write) {
        can_write = false;
        fd = io->open(io, file->path, FRAG_IO_READ);
    }
    file->fd = fd;
    if (fd >= 0 && ret_flags != NULL) {
        int kind = flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_READONLY);
        *ret_flags = kind | (can_write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    }
    return answer(fd, SQLITE_CANTOPEN);
}

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename path, sqlite3_file *base, int flags,
                    int *ret_flags) {
    struct vfs_file *file = from_base(base);
    (void)vfs;
    memset(file, 0, sizeof(*file));
    if (path == NULL || strlen(path) >= sizeof(file->path)) {
        return SQLITE_CANTOPEN;
    }
    memcpy(file->path, path, strlen(path) + 1);
    file->delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
    take_lock();
    file->io = registered;
    file->life = life;
    int rc = open_file(file, flags, ret_flags);
    if (rc == SQLITE_OK && (flags & SQLITE_OPEN_MAIN_DB) != 0) {
        file->shared = vfs_shared_get(path);
        if (file->shared == NULL) {
            (void)file->io->close(file->io, file->fd); /* nothing was written */
            rc = SQLITE_NOMEM;
        }
    }
    release_lock();
    if (rc == SQLITE_OK) {
        file->base.pMethods = &file_methods;
    }
    return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_folder) {
    (void)vfs;
    take_lock();
    int rc = registered->unlink(registered, path);
    int result = rc == -ENOENT ? SQLITE_IOERR_DELETE_NOENT : answer(rc, SQLITE_IOERR_DELETE);
    if (result == SQLITE_OK && sync_folder != 0) {
        result = answer(sync_folder_of(registered, path), SQLITE_IOERR_DIR_FSYNC);
    }
    release_lock();
    return result;
}

/* Whether it is there and has bytes; with rights SQLite asks for them only of a folder for
 * temporary files. */
static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret_result) {
    uint64_t bytes = 0;
    (void)vfs;
    (void)flags;
    take_lock();
    int fd = registered->open(registered, path, FRAG_IO_READ);
    int rc = fd;
    if (fd >= 0) {
        rc = registered->size(registered, fd, &bytes);
        (void)registered->close(registered, fd); /* was only read */
    }
    release_lock();
    *ret_result = rc >= 0 && bytes > 0;
    return rc == -ENOENT ? SQLITE_OK : answer(rc, SQLITE_IOERR_ACCESS);
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int room_bytes, char *room) {
    (void)vfs;
    if (strlen(path) >= (size_t)room_bytes) {
        return SQLITE_CANTOPEN;
    }
    memcpy(room, path, strlen(path) + 1);
    return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int size, char *room) {
    (void)vfs;
    take_lock();
    for (int i = 0; i < size; i++) {
        uint64_t z = randomness += UINT64_C(0x9E3779B97F4A7C15);
        z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
        room[i] = (char)(z >> 56);
    }
    release_lock();
    return size;
}

static int vfs_last_error(sqlite3_vfs *vfs, int room_bytes, char *room) {
    (void)vfs;
    (void)room_bytes;
    (void)room;
    return last_error;
}

/* Time and waiting are the machine's. */
static sqlite3_vfs *machine(const sqlite3_vfs *vfs) {
    return vfs->pAppData;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us) {
    return machine(vfs)->xSleep(machine(vfs), us);
}

static int vfs_time(sqlite3_vfs *vfs, double *ret_days) {
    return machine(vfs)->xCurrentTime(machine(vfs), ret_days);
}

static int vfs_time_ms(sqlite3_vfs *vfs, sqlite3_int64 *ret_ms) {
    return machine(vfs)->xCurrentTimeInt64(machine(vfs), ret_ms);
}

static sqlite3_vfs vfs = {
    .iVersion = 2,
    .szOsFile = sizeof(struct vfs_file),
    .mxPathname = VFS_PATH_BYTES - 16, /* "-journal" may be added */
    .zName = "kinora-tests",
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_full_path,
    .xRandomness = vfs_random,
    .xSleep = vfs_sleep,
    .xCurrentTime = vfs_time,
    .xGetLastError = vfs_last_error,
    .xCurrentTimeInt64 = vfs_time_ms,
};

void vfs_io_register(struct frag_io *io) {
    take_lock();
    KN_ASSERT(registered == NULL);
    registered = io;
    release_lock();
    vfs.pAppData = sqlite3_vfs_find("unix");
    KN_ASSERT(vfs.pAppData != NULL);
    KN_ASSERT(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
}

void vfs_io_unregister(void) {
    KN_ASSERT(sqlite3_vfs_unregister(&vfs) == SQLITE_OK);
    take_lock();
    KN_ASSERT(!vfs_shared_any());
    registered = NULL;
    release_lock();
}

void vfs_io_crash(void) {
    take_lock();
    vfs_shared_cut_off_all();
    life++;
    release_lock();
}
