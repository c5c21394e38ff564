#include "tests/support/mem_io.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define FILES 1024
#define PATH_BYTES 256
#define TOTAL_BYTES ((uint64_t)1 << 30)

struct content {
    unsigned holders; /* names and descriptors */
    int locked_by;    /* a descriptor; -1: none */
    uint8_t *data;
    size_t size, room;
};

struct name {
    char path[PATH_BYTES];   /* empty: not used */
    struct content *content; /* NULL: a folder */
};

struct handle {
    struct content *content; /* NULL: closed */
    bool writable;
};

struct mem_io {
    struct frag_io io;  /* first: a pointer to one is a pointer to the other */
    struct name *names; /* grows */
    size_t name_count;
    struct handle handles[FILES];
};

static struct mem_io *from_io(struct frag_io *io) {
    return (struct mem_io *)io;
}

/* Not malloc: see the header. */
static void *get_memory(size_t bytes) {
    size_t unit = alignof(max_align_t);
    void *memory = aligned_alloc(unit, (bytes + unit) / unit * unit);
    KN_ASSERT(memory != NULL);
    return memory;
}

static void drop(struct content *content) {
    if (--content->holders == 0) {
        free(content->data);
        free(content);
    }
}

static struct name *find(const struct mem_io *mem, const char *path) {
    for (size_t i = 0; i < mem->name_count; i++) {
        if (strcmp(mem->names[i].path, path) == 0) {
            return (struct name *)&mem->names[i];
        }
    }
    return NULL;
}

static struct name *grow(struct mem_io *mem) {
    size_t old = mem->name_count;
    size_t count = old > 0 ? 2 * old : 64;
    struct name *names = get_memory(count * sizeof(*names));
    if (old > 0) {
        memcpy(names, mem->names, old * sizeof(*names));
    }
    for (size_t i = old; i < count; i++) {
        names[i] = (struct name){.path = ""};
    }
    free(mem->names);
    mem->names = names;
    mem->name_count = count;
    return &names[old];
}

static struct name *add(struct mem_io *mem, const char *path, struct content *content) {
    struct name *name = find(mem, "");
    name = name != NULL ? name : grow(mem);
    KN_ASSERT(*path != '\0' && strlen(path) < PATH_BYTES);
    memcpy(name->path, path, strlen(path) + 1);
    name->content = content;
    return name;
}

static void forget(struct name *name) {
    if (name->content != NULL) {
        drop(name->content);
    }
    *name = (struct name){.path = ""};
}

static bool has_folder_of(struct mem_io *mem, const char *path) {
    char folder[PATH_BYTES];
    const char *end = strrchr(path, '/');
    if (end == NULL || (size_t)(end - path) >= PATH_BYTES) {
        return end == NULL;
    }
    memcpy(folder, path, (size_t)(end - path));
    folder[end - path] = '\0';
    const struct name *name = find(mem, folder);
    return name != NULL && name->content == NULL;
}

static struct content *new_content(void) {
    struct content *content = get_memory(sizeof(*content));
    *content = (struct content){.holders = 1, .locked_by = -1};
    return content;
}

static void resize(struct content *content, size_t size) {
    if (size > content->room) {
        size_t room = size > 2 * content->room ? size : 2 * content->room;
        uint8_t *data = get_memory(room);
        if (content->size > 0) {
            memcpy(data, content->data, content->size);
        }
        free(content->data);
        content->data = data;
        content->room = room;
    }
    if (size > content->size) {
        memset(content->data + content->size, 0, size - content->size);
    }
    content->size = size;
}

/* ---- the table ---- */

static int mem_open(struct frag_io *io, const char *path, enum frag_io_mode mode) {
    struct mem_io *mem = from_io(io);
    struct name *name = find(mem, path);
    if (mode == FRAG_IO_CREATE) {
        if (name != NULL || !has_folder_of(mem, path)) {
            return name != NULL ? -EEXIST : -ENOENT;
        }
        name = add(mem, path, new_content());
    }
    if (name == NULL || name->content == NULL) {
        return name == NULL ? -ENOENT : -EISDIR;
    }
    for (int fd = 0; fd < FILES; fd++) {
        if (mem->handles[fd].content == NULL) {
            name->content->holders++;
            mem->handles[fd] = (struct handle){name->content, mode != FRAG_IO_READ};
            return fd;
        }
    }
    return -EMFILE;
}

static struct content *content_of(struct frag_io *io, int fd) {
    KN_ASSERT(fd >= 0 && fd < FILES && from_io(io)->handles[fd].content != NULL);
    return from_io(io)->handles[fd].content;
}

static int mem_close(struct frag_io *io, int fd) {
    struct content *content = content_of(io, fd);
    if (content->locked_by == fd) {
        content->locked_by = -1;
    }
    drop(content);
    from_io(io)->handles[fd].content = NULL;
    return 0;
}

static int mem_lock(struct frag_io *io, int fd) {
    struct content *content = content_of(io, fd);
    if (content->locked_by >= 0 && content->locked_by != fd) {
        return -EAGAIN;
    }
    content->locked_by = fd;
    return 0;
}

static int64_t mem_read(struct frag_io *io, int fd, void *room, size_t size, uint64_t offset) {
    const struct content *content = content_of(io, fd);
    if (offset >= content->size || size == 0) {
        return 0;
    }
    size_t left = content->size - (size_t)offset;
    size = size < left ? size : left;
    memcpy(room, content->data + offset, size);
    return (int64_t)size;
}

static int64_t mem_write(struct frag_io *io, int fd, const struct iovec *iov, int count,
                         uint64_t offset) {
    struct content *content = content_of(io, fd);
    if (!from_io(io)->handles[fd].writable) {
        return -EBADF;
    }
    size_t done = 0;
    for (int i = 0; i < count; i++) {
        size_t size = iov[i].iov_len;
        if (offset + done + size > TOTAL_BYTES) {
            return -EFBIG;
        }
        if (size > 0) {
            if (offset + done + size > content->size) {
                resize(content, (size_t)offset + done + size);
            }
            memcpy(content->data + offset + done, iov[i].iov_base, size);
        }
        done += size;
    }
    return (int64_t)done;
}

static int mem_sync(struct frag_io *io, int fd) {
    (void)content_of(io, fd);
    return 0;
}

static int mem_sync_folder(struct frag_io *io, const char *path) {
    const struct name *name = find(from_io(io), path);
    return name == NULL ? -ENOENT : name->content != NULL ? -ENOTDIR : 0;
}

static int mem_range(struct frag_io *io, int fd, uint64_t offset, uint64_t bytes) {
    (void)content_of(io, fd);
    (void)offset;
    (void)bytes;
    return 0;
}

static int mem_truncate(struct frag_io *io, int fd, uint64_t bytes) {
    if (bytes > TOTAL_BYTES) {
        return -EFBIG;
    }
    resize(content_of(io, fd), (size_t)bytes);
    return 0;
}

static int mem_size(struct frag_io *io, int fd, uint64_t *ret_bytes) {
    *ret_bytes = content_of(io, fd)->size;
    return 0;
}

static int mem_rename(struct frag_io *io, const char *from, const char *to) {
    struct mem_io *mem = from_io(io);
    struct name *name = find(mem, from), *old = find(mem, to);
    if (name == NULL || !has_folder_of(mem, to)) {
        return -ENOENT;
    }
    if (name->content == NULL || (old != NULL && old->content == NULL)) {
        return -EISDIR; /* folders are not renamed here */
    }
    if (old == name) {
        return 0;
    }
    if (old != NULL) {
        forget(old);
    }
    KN_ASSERT(strlen(to) < PATH_BYTES);
    memcpy(name->path, to, strlen(to) + 1);
    return 0;
}

static int mem_unlink(struct frag_io *io, const char *path) {
    struct name *name = find(from_io(io), path);
    if (name == NULL || name->content == NULL) {
        return name == NULL ? -ENOENT : -EISDIR;
    }
    forget(name);
    return 0;
}

static int mem_make_folder(struct frag_io *io, const char *path) {
    const struct name *name = find(from_io(io), path);
    if (name != NULL) {
        return name->content == NULL ? 0 : -EEXIST;
    }
    (void)add(from_io(io), path, NULL);
    return 0;
}

/* What `path` is called in `folder`; NULL where it is not in it. */
static const char *name_in(const char *path, const char *folder) {
    size_t length = strlen(folder);
    if (strncmp(path, folder, length) != 0 || path[length] != '/' ||
        strchr(path + length + 1, '/') != NULL) {
        return NULL;
    }
    return path + length + 1;
}

static int mem_list(struct frag_io *io, const char *path,
                    int (*each)(const struct frag_io_entry *entry, void *user), void *user) {
    const struct mem_io *mem = from_io(io);
    const struct name *folder = find(mem, path);
    if (folder == NULL || folder->content != NULL) {
        return folder == NULL ? -ENOENT : -ENOTDIR;
    }
    for (size_t i = 0; i < mem->name_count; i++) {
        const struct content *content = mem->names[i].content;
        const struct frag_io_entry entry = {.name = name_in(mem->names[i].path, path),
                                            .folder = content == NULL,
                                            .bytes = content == NULL ? 0 : content->size};
        int rc = entry.name == NULL ? 0 : each(&entry, user);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int mem_remove_folder(struct frag_io *io, const char *path) {
    struct mem_io *mem = from_io(io);
    struct name *folder = find(mem, path);
    if (folder == NULL || folder->content != NULL) {
        return folder == NULL ? -ENOENT : -ENOTDIR;
    }
    for (size_t i = 0; i < mem->name_count; i++) {
        if (name_in(mem->names[i].path, path) != NULL) {
            return -ENOTEMPTY;
        }
    }
    forget(folder);
    return 0;
}

static int mem_space(struct frag_io *io, const char *path, uint64_t *ret_free,
                     uint64_t *ret_total) {
    if (find(from_io(io), path) == NULL) {
        return -ENOENT;
    }
    *ret_free = TOTAL_BYTES;
    *ret_total = TOTAL_BYTES;
    return 0;
}

/* ---- making, looking ---- */

struct mem_io *mem_io_create(void) {
    struct mem_io *mem = get_memory(sizeof(*mem));
    *mem = (struct mem_io){
        .io =
            {
                .open = mem_open,
                .close = mem_close,
                .lock = mem_lock,
                .read = mem_read,
                .write = mem_write,
                .sync = mem_sync,
                .sync_folder = mem_sync_folder,
                .start_write_back = mem_range,
                .allocate = mem_range,
                .truncate = mem_truncate,
                .size = mem_size,
                .rename = mem_rename,
                .unlink = mem_unlink,
                .make_folder = mem_make_folder,
                .remove_folder = mem_remove_folder,
                .list = mem_list,
                .space = mem_space,
            },
    };
    return mem;
}

static void forget_all(struct mem_io *mem) {
    for (size_t i = 0; i < mem->name_count; i++) {
        forget(&mem->names[i]);
    }
}

void mem_io_destroy(struct mem_io *mem) {
    for (size_t i = 0; i < FILES; i++) {
        KN_ASSERT(mem->handles[i].content == NULL);
    }
    forget_all(mem);
    free(mem->names);
    free(mem);
}

struct frag_io *mem_io(struct mem_io *mem) {
    return &mem->io;
}

uint8_t *mem_io_peek(struct mem_io *mem, const char *path, size_t *ret_size) {
    struct name *name = find(mem, path);
    if (name == NULL || name->content == NULL) {
        return NULL;
    }
    *ret_size = name->content->size;
    /* Never NULL for a file that is there. */
    return name->content->data != NULL ? name->content->data : (uint8_t *)name->path;
}

void mem_io_set(struct mem_io *mem, const char *path, const void *data, size_t size) {
    struct name *name = find(mem, path);
    if (name == NULL) {
        name = add(mem, path, new_content());
    }
    KN_ASSERT(name->content != NULL);
    resize(name->content, size);
    if (size > 0) {
        memcpy(name->content->data, data, size);
    }
}

void mem_io_copy(struct mem_io *mem, const struct mem_io *from) {
    forget_all(mem);
    for (size_t i = 0; i < from->name_count; i++) {
        const struct name *name = &from->names[i];
        if (*name->path != '\0' && name->content == NULL) {
            (void)add(mem, name->path, NULL);
        } else if (*name->path != '\0') {
            mem_io_set(mem, name->path, name->content->data, name->content->size);
        }
    }
}
