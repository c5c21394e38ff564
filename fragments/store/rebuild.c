/* kinora rebuild: an opening for writing that finds no index, and so makes it from the reels'
 * footers; then the store is closed again. */
#include <errno.h>
#include <stdio.h>

#include "fragments/store/open.h"

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

/* Opening would make a store where there is none. */
static int must_exist(const struct frag_store_config *config, struct frag_store_opening *opening) {
    struct frag_io *io = config->io != NULL ? config->io : frag_io_system();
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

int frag_store_rebuild(const struct frag_store_config *config,
                       const struct frag_check_handler *handler, void *user,
                       struct frag_store_opening *ret_opening) {
    struct frag_store_opening opening = {0};
    struct frag_store_config writing = *config;
    struct rebuild rebuild = {.handler = handler, .user = user};
    const struct frag_open_hooks hooks = {
        .new_index = true, .progress = tell_progress, .user = &rebuild};
    struct frag_store *store = NULL;
    writing.mode = FRAG_STORE_WRITE;
    writing.threads = false;
    int rc = config->data == NULL ? -EINVAL : must_exist(config, &opening);
    rc = rc < 0 ? rc : frag_open_with(&writing, &hooks, &store, &opening);
    if (rc == 0) {
        frag_store_close(store);
    }
    if (ret_opening != NULL) {
        *ret_opening = opening;
    }
    return rc;
}
