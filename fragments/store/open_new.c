/* Whether a directory may become one of a store's: a mistyped path must not fill /etc. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/open.h"

#define say(opening, ...)                                                                          \
    (void)snprintf((opening)->problem, sizeof((opening)->problem), __VA_ARGS__)

static const char identity_made[] = FRAG_IDENTITY_FILE ".new";

/* What may be there already: a file system's own, what a server puts beside its store, and what an
 * opening that was stopped, or a store that lost its identity, has left. */
static const char *const own_names[] = {
    "lost+found",      "kinora.key",     "kinora.yml",   "kinora.log",  "kinora.sock",
    "kinora-cert.pem", "kinora-key.pem", "lock",         "reels",       "journal",
    "index.db",        "index.db-wal",   "index.db-shm", identity_made,
};

static bool is_own(const char *name) {
    for (size_t i = 0; i < KN_COUNT(own_names); i++) {
        if (strcmp(name, own_names[i]) == 0) {
            return true;
        }
    }
    /* journal.new and what else it is replaced by. */
    return strncmp(name, "journal.", strlen("journal.")) == 0;
}

struct stranger {
    char name[64];
};

static int find_stranger(const struct frag_io_entry *entry, void *user) {
    struct stranger *found = user;
    if (found->name[0] == '\0' && !is_own(entry->name)) {
        (void)snprintf(found->name, sizeof(found->name), "%s", entry->name); /* cut is fine */
    }
    return 0;
}

/* 1: an identity is there; 0: none; an errno. */
static int has_identity(struct frag_io *io, const char *folder, size_t size) {
    char path[FRAG_FOLDER_PATH_BYTES];
    int length = snprintf(path, sizeof(path), "%.*s/" FRAG_IDENTITY_FILE, (int)size, folder);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return KN_E_LIMIT;
    }
    int fd = io->open(io, path, FRAG_IO_READ);
    if (fd >= 0) {
        (void)io->close(io, fd); /* it was only looked for */
        return 1;
    }
    return fd == -ENOENT ? 0 : fd;
}

/* How much of `path` is its directory. */
static size_t above(const char *path, size_t size) {
    while (size > 0 && path[size - 1] == '/') {
        size--;
    }
    while (size > 0 && path[size - 1] != '/') {
        size--;
    }
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    return size;
}

static bool is_same(const char *path, size_t size, const char *other) {
    return other != NULL && strncmp(path, other, size) == 0 && other[size] == '\0';
}

/* What cannot be looked into above it is nobody's store that could be told of. */
static int check_above(struct frag_io *io, const char *path, const char *except,
                       struct frag_store_opening *opening) {
    for (size_t size = above(path, strlen(path)); size > 1; size = above(path, size)) {
        if (has_identity(io, path, size) > 0 && !is_same(path, size, except)) {
            say(opening, "%s lies within the store in %.*s: name that one, or another directory",
                path, (int)size, path);
            return -ENOTEMPTY;
        }
    }
    return 0;
}

int frag_open_check_new(struct frag_io *io, const char *path, const char *except,
                        struct frag_store_opening *opening) {
    struct stranger stranger = {""};
    int rc = io->list(io, path, find_stranger, &stranger);
    if (rc < 0 && rc != -ENOENT) {
        return rc;
    }
    if (stranger.name[0] != '\0') {
        say(opening,
            "%s is no store and not empty, there is %s in it: name an empty directory, or a new "
            "one",
            path, stranger.name);
        return -ENOTEMPTY;
    }
    return check_above(io, path, except, opening);
}

int frag_open_check_main(struct frag_store *store, const struct frag_store_config *config,
                         struct frag_store_opening *opening) {
    if (has_identity(store->io, store->data, strlen(store->data)) != 0) {
        return 0; /* or it cannot be read, which the next step tells */
    }
    if (config->existing) {
        say(opening, "there is no store in %s", store->data);
        return -ENOENT;
    }
    return frag_open_check_new(store->io, store->data, NULL, opening);
}
