/* kinora rebuild: an opening as always, so that files that the old index knew and no directory has
 * become gaps; then one that finds no index, and so makes it from the reels' footers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "fragments/store/open.h"

/* Beside the old index's size: for its log and the journal. */
#define ROOM_BYTES (UINT64_C(16) << 20)

struct rebuild {
    const struct frag_check_handler *handler;
    void *user;
};

static int tell_progress(const struct frag_check_progress *progress, void *user) {
    const struct rebuild *rebuild = user;
    return rebuild->handler != NULL && rebuild->handler->progress != NULL
               ? rebuild->handler->progress(progress, rebuild->user)
               : 0;
}

static struct frag_io *io_of(const struct frag_store_config *config) {
    return config->io != NULL ? config->io : frag_io_system();
}

/* Opening would make a store where there is none. */
static int must_exist(const struct frag_store_config *config, struct frag_store_opening *opening) {
    struct frag_io *io = io_of(config);
    char path[FRAG_FOLDER_PATH_BYTES];
    int length = snprintf(path, sizeof(path), "%s/" FRAG_IDENTITY_FILE, config->data);
    int fd = length > 0 && (size_t)length < sizeof(path) ? io->open(io, path, FRAG_IO_READ)
                                                         : -ENAMETOOLONG;
    if (fd < 0) {
        (void)snprintf(opening->problem, sizeof(opening->problem), "there is no store in %s",
                       config->data);
        return fd == -ENOTDIR ? -ENOENT : fd;
    }
    (void)io->close(io, fd); /* was not even read */
    return 0;
}

/* ---- the old index ---- */

struct old_index {
    bool found;
    uint64_t bytes;
};

static int add_bytes(const struct frag_io_entry *entry, void *user) {
    struct old_index *old = user;
    bool main_file = strcmp(entry->name, "index.db") == 0;
    if (!main_file && strcmp(entry->name, "index.db-wal") != 0) {
        return 0;
    }
    old->found = old->found || main_file;
    return kn_u64_add(old->bytes, entry->bytes, &old->bytes) ? 0 : -EOVERFLOW;
}

/* A full disk must not cost an index that is good. */
static int must_have_room(const struct frag_store_config *config, const struct old_index *old,
                          struct frag_store_opening *opening) {
    struct frag_io *io = io_of(config);
    uint64_t free_bytes = 0;
    uint64_t total = 0;
    uint64_t needed = 0;
    int rc = io->space(io, config->data, &free_bytes, &total);
    if (rc < 0) {
        return rc;
    }
    if (kn_u64_add(old->bytes, ROOM_BYTES, &needed) && needed <= free_bytes) {
        return 0;
    }
    (void)snprintf(opening->problem, sizeof(opening->problem),
                   "a new index needs %llu MiB free beside %.150s: the old one stays",
                   (unsigned long long)(needed >> 20) + 1, config->data);
    return -ENOSPC;
}

static int skip_reel(const struct frag_index_reel *reel, void *user) {
    (void)reel;
    (void)user;
    return 0;
}

static bool index_is_bad(const struct frag_store_config *config) {
    char path[FRAG_FOLDER_PATH_BYTES];
    struct frag_index *index = NULL;
    int length = snprintf(path, sizeof(path), "%s/index.db", config->data);
    if (length <= 0 || (size_t)length >= sizeof(path)) {
        return false;
    }
    int rc = frag_index_open(path, FRAG_INDEX_READ, &index);
    rc = rc < 0 ? rc : frag_index_each_reel(index, skip_reel, NULL);
    frag_index_close(index);
    return rc < 0 && rc != -ENOMEM;
}

/* Once the old index is gone, nobody knows any more which files there were. */
static int compare_first(const struct frag_store_config *config,
                         struct frag_store_opening *opening) {
    struct frag_store *store = NULL;
    int rc = frag_open_with(config, NULL, &store, opening);
    if (rc == 0) {
        frag_store_close(store);
    } else if (index_is_bad(config)) {
        *opening = (struct frag_store_opening){0};
        rc = 0;
    }
    return rc;
}

/* What the first opening has done, and the second one cannot find any more. */
static void add_found(struct frag_store_opening *opening, const struct frag_store_opening *first) {
    opening->lost_files += first->lost_files;
    opening->recovered_reels += first->recovered_reels;
    opening->recovered_fragments += first->recovered_fragments;
    opening->finished_deletions += first->finished_deletions;
}

/* ---- rebuilding ---- */

static int make_again(const struct frag_store_config *config, struct rebuild *rebuild,
                      struct frag_store_opening *opening) {
    const struct frag_open_hooks hooks = {
        .new_index = true, .progress = tell_progress, .user = rebuild};
    struct frag_store_opening first = {0};
    struct old_index old = {0};
    struct frag_store *store = NULL;
    int rc = io_of(config)->list(io_of(config), config->data, add_bytes, &old);
    if (rc == 0 && old.found) {
        rc = must_have_room(config, &old, opening);
        if (rc == 0) {
            rc = compare_first(config, &first);
            *opening = first;
        }
    }
    rc = rc < 0 ? rc : frag_open_with(config, &hooks, &store, opening);
    if (rc == 0) {
        frag_store_close(store);
        add_found(opening, &first);
    }
    return rc;
}

int frag_store_rebuild(const struct frag_store_config *config,
                       const struct frag_check_handler *handler, void *user,
                       struct frag_store_opening *ret_opening) {
    struct frag_store_opening opening = {0};
    struct frag_store_config writing = *config;
    struct rebuild rebuild = {.handler = handler, .user = user};
    writing.mode = FRAG_STORE_WRITE;
    writing.threads = false;
    int rc = config->data == NULL ? -EINVAL : must_exist(config, &opening);
    rc = rc < 0 ? rc : make_again(&writing, &rebuild, &opening);
    if (ret_opening != NULL) {
        *ret_opening = opening;
    }
    return rc;
}
