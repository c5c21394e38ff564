#include "base/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FD_NAME_BYTES 32
#define PART_TRIES 1000
#define MODE_USUAL 0666
#define MODE_PRIVATE 0600

/* The folder of a path, as a path. */
static int folder_of(const char *path, char folder[static PATH_MAX]) {
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    if (length >= PATH_MAX) {
        return -ENAMETOOLONG;
    }
    memcpy(folder, path, length);
    memcpy(folder + length, ".", 2);
    return length + 2 > PATH_MAX ? -ENAMETOOLONG : 0;
}

static int part_name(const char *path, int i, char part[static PATH_MAX]) {
    int length = snprintf(part, PATH_MAX, "%s.part%d", path, i);
    return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* With a name, one that nobody else has. */
static int open_named(const char *path, mode_t mode, struct kn_new_file *file) {
    for (int i = 1; i <= PART_TRIES; i++) {
        int rc = part_name(path, i, file->part);
        if (rc != 0) {
            return rc;
        }
        file->fd = open(file->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (file->fd >= 0 || errno != EEXIST) {
            return file->fd >= 0 ? 0 : -errno;
        }
    }
    return -EBUSY;
}

static int open_as(const char *path, mode_t mode, struct kn_new_file *ret_file) {
    char folder[PATH_MAX];
    int rc = folder_of(path, folder);
    if (rc != 0) {
        return rc;
    }
    ret_file->part[0] = '\0';
    if (access("/proc/self/fd", X_OK) == 0) { /* where it gets its name from */
        ret_file->fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, mode);
        if (ret_file->fd >= 0) {
            return 0;
        }
        if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
            return -errno;
        }
    }
    return open_named(path, mode, ret_file);
}

int kn_new_file_open(const char *path, struct kn_new_file *ret_file) {
    return open_as(path, MODE_USUAL, ret_file);
}

int kn_new_file_open_private(const char *path, struct kn_new_file *ret_file) {
    return open_as(path, MODE_PRIVATE, ret_file);
}

static int link_to(const struct kn_new_file *file, const char *path) {
    char fd_name[FD_NAME_BYTES];
    (void)snprintf(fd_name, sizeof(fd_name), "/proc/self/fd/%d", file->fd); /* always fits */
    return linkat(AT_FDCWD, fd_name, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 ? 0 : -errno;
}

/* A file without name can only get one that is free; to replace, it needs another one first. */
static int link_part(struct kn_new_file *file, const char *path) {
    char part[PATH_MAX];
    for (int i = 1; i <= PART_TRIES; i++) {
        int rc = part_name(path, i, part);
        if (rc == 0) {
            rc = link_to(file, part);
        }
        if (rc == 0) {
            memcpy(file->part, part, sizeof(part));
        }
        if (rc != -EEXIST) {
            return rc;
        }
    }
    return -EBUSY;
}

static int rename_part(const struct kn_new_file *file, const char *path, bool replace) {
    if (renameat2(AT_FDCWD, file->part, AT_FDCWD, path, replace ? 0 : RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return -errno;
    }
    /* A file system that cannot refuse to replace: look first. */
    if (!replace && access(path, F_OK) == 0) {
        return -EEXIST;
    }
    return rename(file->part, path) == 0 ? 0 : -errno;
}

static int name_it(struct kn_new_file *file, const char *path, bool replace) {
    if (file->part[0] == '\0') {
        if (!replace) {
            return link_to(file, path);
        }
        int rc = link_part(file, path);
        if (rc != 0) {
            return rc;
        }
    }
    return rename_part(file, path, replace);
}

static int sync_folder(const char *path) {
    char folder[PATH_MAX];
    int rc = folder_of(path, folder);
    if (rc != 0) {
        return rc;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno == EACCES ? 0 : -errno; /* a folder one may write but not read */
    }
    rc = fsync(fd) == 0 || errno == EINVAL ? 0 : -errno;
    (void)close(fd);
    return rc;
}

int kn_new_file_keep(struct kn_new_file *file, const char *path, bool replace) {
    int rc = fsync(file->fd) == 0 ? 0 : -errno;
    if (rc == 0) {
        rc = name_it(file, path, replace);
    }
    if (rc != 0) {
        kn_new_file_drop(file);
        return rc;
    }
    (void)close(file->fd); /* it was synced: nothing is left to fail */
    return sync_folder(path);
}

void kn_new_file_drop(struct kn_new_file *file) {
    (void)close(file->fd);
    if (file->part[0] != '\0') {
        (void)unlink(file->part); /* nothing more can be done about it */
    }
}
