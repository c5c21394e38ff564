/* Every file operation of the store goes through this table, so that tests can fail it, stop at it
 * and replay it torn. One thread at a time per file; the table itself may be shared by threads.
 *
 * All functions return 0 or more, or a negative errno. None of them logs. */
#ifndef FRAGMENTS_STORE_IO_H
#define FRAGMENTS_STORE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attributes.h"

enum frag_io_mode {
    FRAG_IO_READ,  /* must exist */
    FRAG_IO_WRITE, /* read and write, must exist */
    FRAG_IO_CREATE /* read and write, must not exist; mode 0640 */
};

struct frag_io_entry {
    const char *name; /* borrowed for the call; never "." or ".." */
    bool folder;
    uint64_t bytes;
};

struct frag_io {
    /* A descriptor. Symbolic links are not followed in the last part of the path (-ELOOP); anything
     * but a regular file is refused (-EISDIR, -EINVAL). */
    int (*open)(struct frag_io *io, const char *path, enum frag_io_mode mode);
    int (*close)(struct frag_io *io, int fd);
    /* Keeps the file for this process (and its descriptor) until it is closed. -EAGAIN: another one
     * has it. */
    int (*lock)(struct frag_io *io, int fd);
    /* How many bytes were read: fewer than asked only at the end of the file. */
    int64_t (*read)(struct frag_io *io, int fd, void *room, size_t size, uint64_t offset);
    /* How many bytes were written, 1 or more: may be fewer than asked. */
    int64_t (*write)(struct frag_io *io, int fd, const struct iovec *iov, int count,
                     uint64_t offset);
    int (*sync)(struct frag_io *io, int fd); /* fdatasync */
    int (*sync_folder)(struct frag_io *io, const char *path);
    /* A hint: 0 also where the file system knows none. */
    int (*start_write_back)(struct frag_io *io, int fd, uint64_t offset, uint64_t bytes);
    int (*allocate)(struct frag_io *io, int fd, uint64_t offset, uint64_t bytes); /* size kept */
    int (*truncate)(struct frag_io *io, int fd, uint64_t bytes);
    int (*size)(struct frag_io *io, int fd, uint64_t *ret_bytes);
    int (*rename)(struct frag_io *io, const char *from, const char *to);
    int (*unlink)(struct frag_io *io, const char *path);
    int (*make_folder)(struct frag_io *io, const char *path); /* mode 0750; 0 if it is there */
    int (*remove_folder)(struct frag_io *io, const char *path);
    /* In no order; what is neither file nor folder is left out. A negative answer of `each` ends it
     * and is returned. */
    int (*list)(struct frag_io *io, const char *path,
                int (*each)(const struct frag_io_entry *entry, void *user), void *user);
    int (*space)(struct frag_io *io, const char *path, uint64_t *ret_free, uint64_t *ret_total);
};

/* The machine's. Never NULL, never freed. */
struct frag_io *frag_io_system(void);

/* Writes all of it, however short the single writes are; -EIO when one makes no progress. `iov` is
 * changed. */
KN_MUST_CHECK int frag_io_write_all(struct frag_io *io, int fd, struct iovec *iov, size_t count,
                                    uint64_t offset);
KN_MUST_CHECK int frag_io_write_bytes(struct frag_io *io, int fd, const void *data, size_t size,
                                      uint64_t offset);
/* Exactly `size` bytes, or KN_E_TRUNCATED. */
KN_MUST_CHECK int frag_io_read_exactly(struct frag_io *io, int fd, void *room, size_t size,
                                       uint64_t offset);

#endif
