#include "fragments/store/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"

/* pwritev takes no more. */
#define SLICES_MAX 1024

static bool fits_offset(uint64_t offset, uint64_t bytes) {
    return offset <= INT64_MAX && bytes <= INT64_MAX - offset;
}

/* ---- the machine's ---- */

static int check_regular(int fd) {
    struct stat info;
    if (fstat(fd, &info) < 0) {
        return -errno;
    }
    return S_ISREG(info.st_mode) ? 0 : S_ISDIR(info.st_mode) ? -EISDIR : -EINVAL;
}

static int system_open(struct frag_io *io, const char *path, enum frag_io_mode mode) {
    (void)io;
    static const int flags[] = {[FRAG_IO_READ] = O_RDONLY,
                                [FRAG_IO_WRITE] = O_RDWR,
                                [FRAG_IO_CREATE] = O_RDWR | O_CREAT | O_EXCL};
    /* Without O_NONBLOCK a pipe under this name would hold the thread for ever. */
    int fd = open(path, flags[mode] | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
    if (fd < 0) {
        return -errno;
    }
    int rc = check_regular(fd);
    if (rc < 0) {
        (void)close(fd); /* nothing was written to it */
        return rc;
    }
    return fd;
}

static int system_close(struct frag_io *io, int fd) {
    (void)io;
    /* Linux has closed it by then. */
    return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static int system_lock(struct frag_io *io, int fd) {
    (void)io;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EINTR) {
            return errno == EWOULDBLOCK ? -EAGAIN : -errno;
        }
    }
    return 0;
}

static int64_t system_read(struct frag_io *io, int fd, void *room, size_t size, uint64_t offset) {
    (void)io;
    if (!fits_offset(offset, size)) {
        return -EFBIG;
    }
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, (char *)room + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -errno;
        }
        if (got == 0) {
            break;
        }
        done += (size_t)got;
    }
    return (int64_t)done;
}

static int64_t system_write(struct frag_io *io, int fd, const struct iovec *iov, int count,
                            uint64_t offset) {
    (void)io;
    if (!fits_offset(offset, 0)) {
        return -EFBIG;
    }
    for (;;) {
        ssize_t done = pwritev(fd, iov, count < SLICES_MAX ? count : SLICES_MAX, (off_t)offset);
        if (done >= 0) {
            return done;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
}

static int system_sync(struct frag_io *io, int fd) {
    (void)io;
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int system_sync_folder(struct frag_io *io, const char *path) {
    (void)io;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int rc = fsync(fd) < 0 ? -errno : 0;
    (void)close(fd); /* was only read */
    return rc;
}

static int system_start_write_back(struct frag_io *io, int fd, uint64_t offset, uint64_t bytes) {
    (void)io;
    if (!fits_offset(offset, bytes)) {
        return -EFBIG;
    }
    int rc = sync_file_range(fd, (off_t)offset, (off_t)bytes, SYNC_FILE_RANGE_WRITE);
    return rc == 0 || errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
}

static int system_allocate(struct frag_io *io, int fd, uint64_t offset, uint64_t bytes) {
    (void)io;
    if (!fits_offset(offset, bytes)) {
        return -EFBIG;
    }
    while (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

static int system_truncate(struct frag_io *io, int fd, uint64_t bytes) {
    (void)io;
    if (!fits_offset(bytes, 0)) {
        return -EFBIG;
    }
    while (ftruncate(fd, (off_t)bytes) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

static int system_size(struct frag_io *io, int fd, uint64_t *ret_bytes) {
    (void)io;
    struct stat info;
    if (fstat(fd, &info) < 0) {
        return -errno;
    }
    *ret_bytes = (uint64_t)info.st_size;
    return 0;
}

static int system_rename(struct frag_io *io, const char *from, const char *to) {
    (void)io;
    return rename(from, to) < 0 ? -errno : 0;
}

static int system_unlink(struct frag_io *io, const char *path) {
    (void)io;
    return unlink(path) < 0 ? -errno : 0;
}

static int system_make_folder(struct frag_io *io, const char *path) {
    (void)io;
    struct stat info;
    if (mkdir(path, 0750) == 0) {
        return 0;
    }
    int error = errno;
    return error == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode) ? 0 : -error;
}

static int system_remove_folder(struct frag_io *io, const char *path) {
    (void)io;
    return rmdir(path) < 0 ? -errno : 0;
}

static int tell_entry(DIR *folder, const char *name,
                      int (*each)(const struct frag_io_entry *entry, void *user), void *user) {
    struct stat info;
    if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'))) {
        return 0;
    }
    if (fstatat(dirfd(folder), name, &info, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT ? 0 : -errno; /* gone meanwhile */
    }
    if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
        return 0;
    }
    const struct frag_io_entry entry = {
        .name = name, .folder = S_ISDIR(info.st_mode), .bytes = (uint64_t)info.st_size};
    return each(&entry, user);
}

static int system_list(struct frag_io *io, const char *path,
                       int (*each)(const struct frag_io_entry *entry, void *user), void *user) {
    (void)io;
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return -errno;
    }
    int rc = 0;
    while (rc >= 0) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (entry == NULL) {
            rc = -errno;
            break;
        }
        rc = tell_entry(folder, entry->d_name, each, user);
    }
    (void)closedir(folder); /* was only read */
    return rc < 0 ? rc : 0;
}

static int system_space(struct frag_io *io, const char *path, uint64_t *ret_free,
                        uint64_t *ret_total) {
    (void)io;
    struct statvfs info;
    while (statvfs(path, &info) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    *ret_free = (uint64_t)info.f_bavail * info.f_frsize;
    *ret_total = (uint64_t)info.f_blocks * info.f_frsize;
    return 0;
}

struct frag_io *frag_io_system(void) {
    static struct frag_io io = {
        .open = system_open,
        .close = system_close,
        .lock = system_lock,
        .read = system_read,
        .write = system_write,
        .sync = system_sync,
        .sync_folder = system_sync_folder,
        .start_write_back = system_start_write_back,
        .allocate = system_allocate,
        .truncate = system_truncate,
        .size = system_size,
        .rename = system_rename,
        .unlink = system_unlink,
        .make_folder = system_make_folder,
        .remove_folder = system_remove_folder,
        .list = system_list,
        .space = system_space,
    };
    return &io;
}

/* ---- over any ---- */

int frag_io_write_all(struct frag_io *io, int fd, struct iovec *iov, size_t count,
                      uint64_t offset) {
    for (;;) {
        for (; count > 0 && iov->iov_len == 0; iov++) {
            count--;
        }
        if (count == 0) {
            return 0;
        }
        int64_t done = io->write(io, fd, iov, count < SLICES_MAX ? (int)count : SLICES_MAX, offset);
        if (done <= 0) {
            return done < 0 ? (int)done : -EIO;
        }
        offset += (uint64_t)done;
        for (size_t left = (size_t)done; left > 0;) {
            KN_ASSERT(count > 0);
            size_t here = left < iov->iov_len ? left : iov->iov_len;
            iov->iov_base = (char *)iov->iov_base + here;
            iov->iov_len -= here;
            left -= here;
            if (iov->iov_len == 0) {
                iov++;
                count--;
            }
        }
    }
}

int frag_io_write_bytes(struct frag_io *io, int fd, const void *data, size_t size,
                        uint64_t offset) {
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    return frag_io_write_all(io, fd, &iov, 1, offset);
}

int frag_io_read_exactly(struct frag_io *io, int fd, void *room, size_t size, uint64_t offset) {
    int64_t got = io->read(io, fd, room, size, offset);
    if (got < 0) {
        return (int)got;
    }
    return (size_t)got == size ? 0 : KN_E_TRUNCATED;
}
