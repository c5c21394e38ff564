#include "tests/support/fault_io.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fault_io_inner.h"

/* ---- memory, names ---- */

void *fault_get_memory(size_t bytes) {
    size_t unit = alignof(max_align_t);
    void *memory = aligned_alloc(unit, (bytes + unit) / unit * unit);
    KN_ASSERT(memory != NULL);
    return memory;
}

void *fault_more_memory(void *old, size_t used, size_t bytes) {
    void *memory = fault_get_memory(bytes);
    if (used > 0) {
        memcpy(memory, old, used);
    }
    free(old);
    return memory;
}

void fault_copy_path(char room[static FAULT_IO_PATH_BYTES], const char *path) {
    KN_ASSERT(strlen(path) < FAULT_IO_PATH_BYTES);
    memcpy(room, path, strlen(path) + 1);
}

static void grow_names(struct fault_names *names, size_t count) {
    names->all = fault_more_memory(names->all, names->count * sizeof(*names->all),
                                   count * sizeof(*names->all));
    for (; names->count < count; names->count++) {
        names->all[names->count] = (struct fault_name){.path = ""};
    }
}

struct fault_name *fault_find_name(const struct fault_names *names, const char *path) {
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->all[i].path, path) == 0) {
            return &names->all[i];
        }
    }
    return NULL;
}

struct fault_name *fault_set_name(struct fault_names *names, const char *path, size_t inode) {
    struct fault_name *name = fault_find_name(names, path);
    name = name != NULL ? name : fault_find_name(names, "");
    if (name == NULL) {
        size_t at = names->count;
        grow_names(names, 2 * at + 32);
        name = &names->all[at];
    }
    fault_copy_path(name->path, path);
    name->inode = inode;
    return name;
}

/* ---- one operation at a time ---- */

static struct fault_io *lock_io(struct frag_io *io) {
    struct fault_io *fault = (struct fault_io *)io;
    (void)pthread_mutex_lock(&fault->lock); /* recursive: cannot fail */
    return fault;
}

/* For KN_CLEANUP. */
static void unlock_io(struct fault_io **fault) {
    (void)pthread_mutex_unlock(&(*fault)->lock);
}

#define LOCKED KN_CLEANUP(unlock_io) struct fault_io

/* ---- recording ---- */

/* NULL when nothing is recorded. */
static struct fault_step *add_step(struct fault_io *fault, enum step_kind kind, const char *path) {
    if (!fault->record) {
        return NULL;
    }
    if (fault->step_count == fault->step_room) {
        fault->step_room = fault->step_room == 0 ? 256 : 2 * fault->step_room;
        fault->steps = fault_more_memory(fault->steps, fault->step_count * sizeof(*fault->steps),
                                         fault->step_room * sizeof(*fault->steps));
    }
    struct fault_step *step = &fault->steps[fault->step_count++];
    *step = (struct fault_step){.kind = kind};
    fault_copy_path(step->path, path);
    return step;
}

static void record_file(struct fault_io *fault, enum step_kind kind, int fd, uint64_t offset,
                        bool failed) {
    struct fault_step *step = add_step(fault, kind, fault->handles.all[fd].path);
    if (step != NULL) {
        step->inode = fault->handles.all[fd].inode;
        step->offset = offset;
        step->failed = failed;
    }
}

static void record_write(struct fault_io *fault, int fd, const struct iovec *iov, int count,
                         uint64_t offset, size_t size) {
    record_file(fault, STEP_WRITE, fd, offset, false);
    if (!fault->record) {
        return;
    }
    struct fault_step *step = &fault->steps[fault->step_count - 1];
    step->data = fault_get_memory(size);
    for (int i = 0; i < count && step->size < size; i++) {
        size_t left = size - step->size;
        size_t here = iov[i].iov_len < left ? iov[i].iov_len : left;
        if (here > 0) {
            memcpy(step->data + step->size, iov[i].iov_base, here);
        }
        step->size += here;
    }
}

static void record_rename(struct fault_io *fault, const char *from, const char *to) {
    struct fault_step *step = add_step(fault, STEP_RENAME, from);
    if (step == NULL) {
        return;
    }
    struct fault_name *name = fault_find_name(&fault->names, from);
    struct fault_name *old = fault_find_name(&fault->names, to);
    KN_ASSERT(name != NULL); /* it was there before recording began, or is a folder */
    if (old != NULL) {
        *old = (struct fault_name){.path = ""};
    }
    fault_copy_path(name->path, to);
    fault_copy_path(step->to, to);
    step->inode = name->inode;
}

static void record_open(struct fault_io *fault, const char *path, enum frag_io_mode mode, int fd) {
    if ((size_t)fd >= fault->handles.count) {
        grow_names(&fault->handles, 2 * (size_t)fd + 32);
    }
    struct fault_name *handle = &fault->handles.all[fd];
    fault_copy_path(handle->path, path);
    if (!fault->record) {
        return;
    }
    const struct fault_name *name = fault_find_name(&fault->names, path);
    if (mode == FRAG_IO_CREATE) {
        struct fault_step *step = add_step(fault, STEP_CREATE, path);
        KN_ASSERT(name == NULL);
        step->inode = fault->inode_count++;
        name = fault_set_name(&fault->names, path, step->inode);
    }
    KN_ASSERT(name != NULL); /* it was there before recording began */
    handle->inode = name->inode;
}

/* ---- failing ---- */

static bool is_filtered(const struct fault_io *fault, enum fault_kind kind, const char *path) {
    return (fault->fail_kinds != 0 && (fault->fail_kinds >> kind & 1) == 0) ||
           (fault->fail_path != NULL &&
            strncmp(path, fault->fail_path, strlen(fault->fail_path)) != 0);
}

static bool is_due(const struct fault_io *fault, uint64_t number, enum fault_kind kind,
                   const char *path) {
    if (fault->fail_at == 0 || number < fault->fail_at) {
        return false;
    }
    if (fault->fail_pattern != 0) {
        uint64_t bit = number - fault->fail_at;
        return bit < 64 && (fault->fail_pattern >> bit & 1) != 0;
    }
    uint64_t most = fault->fail_count > 0 ? fault->fail_count : 1;
    return fault->failed < most && !is_filtered(fault, kind, path);
}

/* 0 when the operation is to be done. */
static int begin(struct fault_io *fault, enum fault_kind kind, const char *path) {
    uint64_t number = ++fault->operations;
    if (fault->stop_at != 0 && number >= fault->stop_at) {
        return -ECANCELED;
    }
    if (!is_due(fault, number, kind, path)) {
        return 0;
    }
    fault->failed++;
    return fault->fail_error != 0 ? fault->fail_error : -EIO;
}

static const char *path_of(const struct fault_io *fault, int fd) {
    KN_ASSERT(fd >= 0 && (size_t)fd < fault->handles.count);
    return fault->handles.all[fd].path;
}

/* ---- the table ---- */

static int fault_open(struct frag_io *io, const char *path, enum frag_io_mode mode) {
    LOCKED *fault = lock_io(io);
    int fd = begin(fault, mode == FRAG_IO_CREATE ? FAULT_WRITING : FAULT_READING, path);
    if (fd == 0) {
        fd = fault->under->open(fault->under, path, mode);
        if (fd >= 0) {
            record_open(fault, path, mode, fd);
        }
    }
    return fd;
}

static int fault_close(struct frag_io *io, int fd) {
    LOCKED *fault = lock_io(io);
    return fault->under->close(fault->under, fd);
}

static int fault_lock(struct frag_io *io, int fd) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_READING, path_of(fault, fd));
    return rc < 0 ? rc : fault->under->lock(fault->under, fd);
}

static int64_t fault_read(struct frag_io *io, int fd, void *room, size_t size, uint64_t offset) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_READING, path_of(fault, fd));
    return rc < 0 ? rc : fault->under->read(fault->under, fd, room, size, offset);
}

/* At most `max` bytes. */
static int64_t write_some(struct fault_io *fault, int fd, const struct iovec *iov, int count,
                          uint64_t offset, size_t max) {
    struct iovec some[16];
    int used = 0;
    for (; used < count && used < (int)KN_COUNT(some) && max > 0; used++) {
        some[used] = iov[used];
        some[used].iov_len = some[used].iov_len < max ? some[used].iov_len : max;
        max -= some[used].iov_len;
    }
    int64_t done = fault->under->write(fault->under, fd, some, used, offset);
    if (done > 0) {
        record_write(fault, fd, some, used, offset, (size_t)done);
    }
    return done;
}

static int64_t fault_write(struct frag_io *io, int fd, const struct iovec *iov, int count,
                           uint64_t offset) {
    LOCKED *fault = lock_io(io);
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        size += iov[i].iov_len;
    }
    uint64_t stop_at = fault->stop_at;
    int rc = begin(fault, FAULT_WRITING, path_of(fault, fd));
    if (rc < 0) {
        /* Once killed, nothing more is written. */
        if (fault->torn && (rc != -ECANCELED || fault->operations == stop_at) && size > 1) {
            (void)write_some(fault, fd, iov, count, offset, size / 2); /* it has failed */
        }
        return rc;
    }
    size_t max = fault->write_max > 0 && fault->write_max < size ? fault->write_max : size;
    return write_some(fault, fd, iov, count, offset, max);
}

static int fault_sync(struct frag_io *io, int fd) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_SYNCING, path_of(fault, fd));
    if (rc == 0 && !fault->skip_sync) {
        rc = fault->under->sync(fault->under, fd);
    }
    record_file(fault, STEP_SYNC, fd, 0, rc < 0);
    return rc;
}

static int fault_sync_folder(struct frag_io *io, const char *path) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_SYNCING, path);
    if (rc == 0 && !fault->skip_sync) {
        rc = fault->under->sync_folder(fault->under, path);
    }
    struct fault_step *step = add_step(fault, STEP_SYNC_FOLDER, path);
    if (step != NULL) {
        step->failed = rc < 0;
    }
    return rc;
}

static int fault_start_write_back(struct frag_io *io, int fd, uint64_t offset, uint64_t bytes) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_WRITING, path_of(fault, fd));
    return rc < 0 || fault->skip_sync
               ? rc
               : fault->under->start_write_back(fault->under, fd, offset, bytes);
}

static int fault_allocate(struct frag_io *io, int fd, uint64_t offset, uint64_t bytes) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_WRITING, path_of(fault, fd));
    return rc < 0 ? rc : fault->under->allocate(fault->under, fd, offset, bytes);
}

static int fault_truncate(struct frag_io *io, int fd, uint64_t bytes) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_WRITING, path_of(fault, fd));
    if (rc == 0) {
        rc = fault->under->truncate(fault->under, fd, bytes);
    }
    if (rc == 0) {
        record_file(fault, STEP_TRUNCATE, fd, bytes, false);
    }
    return rc;
}

static int fault_size(struct frag_io *io, int fd, uint64_t *ret_bytes) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_READING, path_of(fault, fd));
    return rc < 0 ? rc : fault->under->size(fault->under, fd, ret_bytes);
}

static int fault_rename(struct frag_io *io, const char *from, const char *to) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_WRITING, from);
    if (rc == 0) {
        rc = fault->under->rename(fault->under, from, to);
    }
    if (rc == 0) {
        record_rename(fault, from, to);
    }
    return rc;
}

static int fault_unlink(struct frag_io *io, const char *path) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_WRITING, path);
    if (rc == 0) {
        rc = fault->under->unlink(fault->under, path);
    }
    struct fault_step *step = rc == 0 ? add_step(fault, STEP_UNLINK, path) : NULL;
    if (step != NULL) {
        struct fault_name *name = fault_find_name(&fault->names, path);
        KN_ASSERT(name != NULL);
        step->inode = name->inode;
        *name = (struct fault_name){.path = ""};
    }
    return rc;
}

static int ignore_entry(const struct frag_io_entry *entry, void *user) {
    (void)entry;
    (void)user;
    return 0;
}

static int fault_make_folder(struct frag_io *io, const char *path) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_WRITING, path);
    bool there = fault->under->list(fault->under, path, ignore_entry, NULL) == 0;
    if (rc == 0) {
        rc = fault->under->make_folder(fault->under, path);
    }
    if (rc == 0 && !there) { /* else nothing was changed that a power cut could undo */
        (void)add_step(fault, STEP_MAKE_FOLDER, path);
    }
    return rc;
}

static int fault_remove_folder(struct frag_io *io, const char *path) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_WRITING, path);
    if (rc == 0) {
        rc = fault->under->remove_folder(fault->under, path);
    }
    if (rc == 0) {
        (void)add_step(fault, STEP_REMOVE_FOLDER, path);
    }
    return rc;
}

static int fault_list(struct frag_io *io, const char *path,
                      int (*each)(const struct frag_io_entry *entry, void *user), void *user) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_READING, path);
    return rc < 0 ? rc : fault->under->list(fault->under, path, each, user);
}

static int fault_space(struct frag_io *io, const char *path, uint64_t *ret_free,
                       uint64_t *ret_total) {
    LOCKED *fault = lock_io(io);
    int rc = begin(fault, FAULT_READING, path);
    return rc < 0 ? rc : fault->under->space(fault->under, path, ret_free, ret_total);
}

void fault_io_init(struct fault_io *fault, struct frag_io *under) {
    pthread_mutexattr_t recursive;
    *fault = (struct fault_io){
        .io =
            {
                .open = fault_open,
                .close = fault_close,
                .lock = fault_lock,
                .read = fault_read,
                .write = fault_write,
                .sync = fault_sync,
                .sync_folder = fault_sync_folder,
                .start_write_back = fault_start_write_back,
                .allocate = fault_allocate,
                .truncate = fault_truncate,
                .size = fault_size,
                .rename = fault_rename,
                .unlink = fault_unlink,
                .make_folder = fault_make_folder,
                .remove_folder = fault_remove_folder,
                .list = fault_list,
                .space = fault_space,
            },
        .under = under,
    };
    KN_ASSERT(pthread_mutexattr_init(&recursive) == 0);
    KN_ASSERT(pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE) == 0);
    KN_ASSERT(pthread_mutex_init(&fault->lock, &recursive) == 0);
    (void)pthread_mutexattr_destroy(&recursive);
}

void fault_io_finish(struct fault_io *fault) {
    for (size_t i = 0; i < fault->step_count; i++) {
        free(fault->steps[i].data);
    }
    free(fault->steps);
    free(fault->names.all);
    free(fault->handles.all);
    (void)pthread_mutex_destroy(&fault->lock);
    fault->steps = NULL;
    fault->step_count = fault->step_room = 0;
    fault->names = fault->handles = (struct fault_names){.all = NULL};
}
