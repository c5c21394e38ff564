#include "tests/support/fault_io.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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
    uint8_t *data;
    size_t size;
    char path[FAULT_IO_PATH_BYTES], to[FAULT_IO_PATH_BYTES];
};

static struct fault_io *from_io(struct frag_io *io) {
    return (struct fault_io *)io;
}

static void copy_path(char room[static FAULT_IO_PATH_BYTES], const char *path) {
    KN_ASSERT(strlen(path) < FAULT_IO_PATH_BYTES);
    memcpy(room, path, strlen(path) + 1);
}

/* ---- recording ---- */

static struct fault_name *find_name(struct fault_io *fault, const char *path) {
    for (size_t i = 0; i < FAULT_IO_NAMES; i++) {
        if (strcmp(fault->names[i].path, path) == 0) {
            return &fault->names[i];
        }
    }
    return NULL;
}

/* NULL when nothing is recorded. */
static struct fault_step *add_step(struct fault_io *fault, enum step_kind kind, const char *path) {
    if (!fault->record) {
        return NULL;
    }
    if (fault->step_count == fault->step_room) {
        fault->step_room = fault->step_room == 0 ? 256 : 2 * fault->step_room;
        fault->steps = realloc(fault->steps, fault->step_room * sizeof(*fault->steps));
        KN_ASSERT(fault->steps != NULL);
    }
    struct fault_step *step = &fault->steps[fault->step_count++];
    *step = (struct fault_step){.kind = kind};
    copy_path(step->path, path);
    return step;
}

static void record_file(struct fault_io *fault, enum step_kind kind, int fd, uint64_t offset,
                        bool failed) {
    struct fault_step *step = add_step(fault, kind, fault->handles[fd].path);
    if (step != NULL) {
        step->inode = fault->handles[fd].inode;
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
    step->data = malloc(size + 1);
    KN_ASSERT(step->data != NULL);
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
    struct fault_name *name = find_name(fault, from), *old = find_name(fault, to);
    KN_ASSERT(name != NULL); /* it was there before recording began, or is a folder */
    if (old != NULL) {
        *old = (struct fault_name){.path = ""};
    }
    copy_path(name->path, to);
    copy_path(step->to, to);
    step->inode = name->inode;
}

static void record_open(struct fault_io *fault, const char *path, enum frag_io_mode mode, int fd) {
    KN_ASSERT(fd < FAULT_IO_FILES);
    struct fault_name *handle = &fault->handles[fd];
    copy_path(handle->path, path);
    if (!fault->record) {
        return;
    }
    struct fault_name *name = find_name(fault, path);
    if (mode == FRAG_IO_CREATE) {
        struct fault_step *step = add_step(fault, STEP_CREATE, path);
        KN_ASSERT(name == NULL);
        name = find_name(fault, "");
        KN_ASSERT(name != NULL);
        copy_path(name->path, path);
        name->inode = fault->inode_count++;
        step->inode = name->inode;
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
    KN_ASSERT(fd >= 0 && fd < FAULT_IO_FILES);
    return fault->handles[fd].path;
}

/* ---- the table ---- */

static int fault_open(struct frag_io *io, const char *path, enum frag_io_mode mode) {
    struct fault_io *fault = from_io(io);
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
    struct fault_io *fault = from_io(io);
    return fault->under->close(fault->under, fd);
}

static int64_t fault_read(struct frag_io *io, int fd, void *room, size_t size, uint64_t offset) {
    struct fault_io *fault = from_io(io);
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
    struct fault_io *fault = from_io(io);
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
    struct fault_io *fault = from_io(io);
    int rc = begin(fault, FAULT_SYNCING, path_of(fault, fd));
    if (rc == 0 && !fault->skip_sync) {
        rc = fault->under->sync(fault->under, fd);
    }
    record_file(fault, STEP_SYNC, fd, 0, rc < 0);
    return rc;
}

static int fault_sync_folder(struct frag_io *io, const char *path) {
    struct fault_io *fault = from_io(io);
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
    struct fault_io *fault = from_io(io);
    int rc = begin(fault, FAULT_WRITING, path_of(fault, fd));
    return rc < 0 || fault->skip_sync
               ? rc
               : fault->under->start_write_back(fault->under, fd, offset, bytes);
}

static int fault_allocate(struct frag_io *io, int fd, uint64_t offset, uint64_t bytes) {
    struct fault_io *fault = from_io(io);
    int rc = begin(fault, FAULT_WRITING, path_of(fault, fd));
    return rc < 0 ? rc : fault->under->allocate(fault->under, fd, offset, bytes);
}

static int fault_truncate(struct frag_io *io, int fd, uint64_t bytes) {
    struct fault_io *fault = from_io(io);
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
    struct fault_io *fault = from_io(io);
    int rc = begin(fault, FAULT_READING, path_of(fault, fd));
    return rc < 0 ? rc : fault->under->size(fault->under, fd, ret_bytes);
}

static int fault_rename(struct frag_io *io, const char *from, const char *to) {
    struct fault_io *fault = from_io(io);
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
    struct fault_io *fault = from_io(io);
    int rc = begin(fault, FAULT_WRITING, path);
    if (rc == 0) {
        rc = fault->under->unlink(fault->under, path);
    }
    struct fault_step *step = rc == 0 ? add_step(fault, STEP_UNLINK, path) : NULL;
    if (step != NULL) {
        struct fault_name *name = find_name(fault, path);
        KN_ASSERT(name != NULL);
        step->inode = name->inode;
        *name = (struct fault_name){.path = ""};
    }
    return rc;
}

static int fault_make_folder(struct frag_io *io, const char *path) {
    struct fault_io *fault = from_io(io);
    int rc = begin(fault, FAULT_WRITING, path);
    if (rc == 0) {
        rc = fault->under->make_folder(fault->under, path);
    }
    if (rc == 0) {
        (void)add_step(fault, STEP_MAKE_FOLDER, path);
    }
    return rc;
}

static int fault_remove_folder(struct frag_io *io, const char *path) {
    struct fault_io *fault = from_io(io);
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
    struct fault_io *fault = from_io(io);
    int rc = begin(fault, FAULT_READING, path);
    return rc < 0 ? rc : fault->under->list(fault->under, path, each, user);
}

static int fault_space(struct frag_io *io, const char *path, uint64_t *ret_free,
                       uint64_t *ret_total) {
    struct fault_io *fault = from_io(io);
    int rc = begin(fault, FAULT_READING, path);
    return rc < 0 ? rc : fault->under->space(fault->under, path, ret_free, ret_total);
}

void fault_io_init(struct fault_io *fault, struct frag_io *under) {
    *fault = (struct fault_io){
        .io =
            {
                .open = fault_open,
                .close = fault_close,
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
}

void fault_io_finish(struct fault_io *fault) {
    for (size_t i = 0; i < fault->step_count; i++) {
        free(fault->steps[i].data);
    }
    free(fault->steps);
    fault->steps = NULL;
    fault->step_count = fault->step_room = 0;
}

/* ---- power cuts ---- */

enum fate { FATE_DONE, FATE_UNDONE, FATE_HEAD, FATE_TAIL, FATE_ZEROS, FATES };

struct image_file {
    uint8_t *data;
    size_t size;
};

struct image {
    const struct fault_io *fault;
    size_t steps;
    uint64_t random;
    struct image_file *files; /* by inode */
    struct fault_name names[FAULT_IO_NAMES];
    struct fault_name lost_folders[FAULT_IO_NAMES];
};

static uint64_t next_random(struct image *image) {
    uint64_t z = image->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static bool is_in_folder(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/' &&
           strchr(path + length + 1, '/') == NULL;
}

/* Whether `later` is a sync that speaks of `step`. */
static bool is_sync_of(const struct fault_step *later, const struct fault_step *step) {
    switch (step->kind) {
    case STEP_WRITE:
    case STEP_TRUNCATE:
        return later->kind == STEP_SYNC && later->inode == step->inode;
    case STEP_CREATE:
    case STEP_UNLINK:
    case STEP_MAKE_FOLDER:
    case STEP_REMOVE_FOLDER:
        return later->kind == STEP_SYNC_FOLDER && is_in_folder(step->path, later->path);
    case STEP_RENAME:
        return later->kind == STEP_SYNC_FOLDER && is_in_folder(step->to, later->path);
    case STEP_SYNC:
    case STEP_SYNC_FOLDER:
        return false;
    }
    return false;
}

static bool is_sure(const struct image *image, size_t at) {
    for (size_t i = at + 1; i < image->steps; i++) {
        if (is_sync_of(&image->fault->steps[i], &image->fault->steps[at])) {
            return !image->fault->steps[i].failed;
        }
    }
    return false;
}

static void set_size(struct image_file *file, size_t size) {
    if (size > file->size) {
        file->data = realloc(file->data, size);
        KN_ASSERT(file->data != NULL);
        memset(file->data + file->size, 0, size - file->size);
    }
    file->size = size;
}

static void do_write(struct image *image, const struct fault_step *step, enum fate fate) {
    struct image_file *file = &image->files[step->inode];
    size_t cut = (size_t)(next_random(image) % (step->size + 1)), from = 0, to = step->size;
    if (fate == FATE_HEAD) {
        to = cut;
    } else if (fate == FATE_TAIL) {
        from = cut;
    }
    if (step->offset + to > file->size) {
        set_size(file, (size_t)step->offset + to);
    }
    if (fate == FATE_ZEROS) {
        memset(file->data + step->offset, 0, to);
    } else if (to > from) {
        memcpy(file->data + step->offset + from, step->data + from, to - from);
    }
}

static struct fault_name *image_name(struct fault_name *names, const char *path) {
    for (size_t i = 0; i < FAULT_IO_NAMES; i++) {
        if (strcmp(names[i].path, path) == 0) {
            return &names[i];
        }
    }
    return NULL;
}

static void set_name(struct fault_name *names, const char *path, size_t inode) {
    struct fault_name *name = image_name(names, path);
    name = name != NULL ? name : image_name(names, "");
    KN_ASSERT(name != NULL);
    copy_path(name->path, path);
    name->inode = inode;
}

static void clear_name(struct fault_name *names, const char *path, size_t inode) {
    struct fault_name *name = image_name(names, path);
    if (name != NULL && name->inode == inode) {
        *name = (struct fault_name){.path = ""};
    }
}

static void do_step(struct image *image, const struct fault_step *step, enum fate fate) {
    switch (step->kind) {
    case STEP_WRITE:
        do_write(image, step, fate);
        break;
    case STEP_TRUNCATE:
        set_size(&image->files[step->inode], (size_t)step->offset);
        break;
    case STEP_CREATE:
        set_name(image->names, step->path, step->inode);
        break;
    case STEP_RENAME:
        clear_name(image->names, step->path, step->inode);
        set_name(image->names, step->to, step->inode);
        break;
    case STEP_UNLINK:
        clear_name(image->names, step->path, step->inode);
        break;
    case STEP_MAKE_FOLDER:
        clear_name(image->lost_folders, step->path, 0);
        break;
    case STEP_REMOVE_FOLDER:
        set_name(image->lost_folders, step->path, 0);
        break;
    case STEP_SYNC:
    case STEP_SYNC_FOLDER:
        break;
    }
}

static bool is_lost(const struct image *image, const char *path) {
    for (size_t i = 0; i < FAULT_IO_NAMES; i++) {
        const char *folder = image->lost_folders[i].path;
        size_t length = strlen(folder);
        if (length > 0 && strncmp(path, folder, length) == 0 &&
            (path[length] == '/' || path[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static void pour(const struct image *image, struct frag_io *to) {
    for (size_t i = 0; i < image->steps; i++) {
        const struct fault_step *step = &image->fault->steps[i];
        if (step->kind == STEP_MAKE_FOLDER && !is_lost(image, step->path)) {
            KN_ASSERT(to->make_folder(to, step->path) == 0);
        }
    }
    for (size_t i = 0; i < FAULT_IO_NAMES; i++) {
        const struct fault_name *name = &image->names[i];
        if (*name->path != '\0' && !is_lost(image, name->path)) {
            const struct image_file *file = &image->files[name->inode];
            int fd = to->open(to, name->path, FRAG_IO_CREATE);
            KN_ASSERT(fd >= 0);
            KN_ASSERT(frag_io_write_bytes(to, fd, file->data, file->size, 0) == 0);
            KN_ASSERT(to->close(to, fd) == 0);
        }
    }
}

void fault_io_power_cut(const struct fault_io *fault, size_t steps, uint64_t seed,
                        struct frag_io *to) {
    struct image *image = calloc(1, sizeof(*image));
    KN_ASSERT(image != NULL && steps <= fault->step_count);
    image->fault = fault;
    image->steps = steps;
    image->random = seed;
    image->files = calloc(fault->inode_count + 1, sizeof(*image->files));
    KN_ASSERT(image->files != NULL);
    for (size_t i = 0; i < steps; i++) {
        const struct fault_step *step = &fault->steps[i];
        /* Only writes are torn. */
        enum fate fate = (enum fate)(next_random(image) % (step->kind == STEP_WRITE ? FATES : 2));
        fate = is_sure(image, i) ? FATE_DONE : fate;
        if (step->kind == STEP_MAKE_FOLDER && fate == FATE_UNDONE) {
            set_name(image->lost_folders, step->path, 0);
        }
        if (fate != FATE_UNDONE) {
            do_step(image, step, fate);
        }
    }
    pour(image, to);
    for (size_t i = 0; i < fault->inode_count; i++) {
        free(image->files[i].data);
    }
    free(image->files);
    free(image);
}
