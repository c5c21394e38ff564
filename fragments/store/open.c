/* A store's life: opened step by step, flushed, closed. */
#include "fragments/store/open.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/disk.h"
#include "fragments/store/streams.h"

#define MEMORY_BYTES ((size_t)512 << 20)
/* Archives have this part as much besides: as a stream's own share, so that what could be recorded
 * can be read. */
#define READING_SHARE 2

struct frag_store_config frag_store_config_defaults(void) {
    return (struct frag_store_config){
        .mode = FRAG_STORE_WRITE, .threads = true, .min_free_bytes = FRAG_STORE_MIN_FREE_DEFAULT};
}

/* ---- freeing ---- */

/* Threads have ended. */
static void destroy(struct frag_store *store) {
    frag_janitor_destroy(store->janitor);
    for (size_t i = 0; i < store->folder_count; i++) {
        frag_disk_destroy(store->folders[i].disk);
    }
    frag_clerk_drop(store);
    frag_index_close(store->clerk.index);
    frag_catalog_close(store->clerk.catalog);
    for (size_t i = 0; i < store->stream_count; i++) {
        frag_stream_destroy(store->streams[i]);
    }
    for (size_t i = 0; i < store->gone_count; i++) {
        frag_stream_destroy(store->gone[i]);
    }
    free(store->streams);
    free(store->gone);
    for (size_t i = 0; i < store->folder_count; i++) {
        free(store->folders[i].path);
    }
    if (store->lock_fd >= 0) {
        (void)store->io->close(store->io, store->lock_fd);
    }
    kn_budget_unref(store->budget);
    kn_budget_unref(store->reading);
    frag_random_finish(&store->random);
    (void)pthread_mutex_destroy(&store->streams_lock);
    free(store->index_path);
    free(store->data);
    free(store);
}

/* ---- opening ---- */

static int allocate(const struct frag_store_config *config, struct frag_store **ret_store) {
    struct frag_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return -ENOMEM;
    }
    store->mode = config->mode;
    store->threads = config->threads && config->mode == FRAG_STORE_WRITE;
    store->io = config->io != NULL ? config->io : frag_io_system();
    store->clock = config->clock != NULL ? config->clock : kn_clock_system();
    store->min_free_bytes = config->min_free_bytes;
    store->lock_fd = -1;
    (void)pthread_mutex_init(&store->streams_lock, NULL);
    frag_random_init(&store->random, config->seed);
    store->data = strdup(config->data);
    int rc = store->data == NULL || asprintf(&store->index_path, "%s/index.db", config->data) < 0
                 ? -ENOMEM
                 : 0;
    size_t memory = config->memory_bytes != 0 ? config->memory_bytes : MEMORY_BYTES;
    rc = rc < 0 ? rc : kn_budget_create(memory, NULL, &store->budget);
    rc = rc < 0 ? rc : kn_budget_create(memory / READING_SHARE, NULL, &store->reading);
    if (rc < 0) {
        destroy(store);
        return rc;
    }
    *ret_store = store;
    return 0;
}

static int take_lock(struct frag_store *store, struct frag_store_opening *opening) {
    struct frag_io *io = store->io;
    int rc = frag_folder_make(io, store->data);
    if (rc < 0) {
        return rc;
    }
    char *path = NULL;
    if (asprintf(&path, "%s/lock", store->data) < 0) {
        return -ENOMEM;
    }
    int fd = io->open(io, path, FRAG_IO_WRITE);
    if (fd == -ENOENT) {
        fd = io->open(io, path, FRAG_IO_CREATE);
        fd = fd == -EEXIST ? io->open(io, path, FRAG_IO_WRITE) : fd;
    }
    free(path);
    if (fd < 0) {
        return fd;
    }
    store->lock_fd = fd;
    rc = io->lock(io, fd);
    if (rc == -EAGAIN) {
        (void)snprintf(opening->problem, sizeof(opening->problem),
                       "another program is writing the store in %s: stop it first", store->data);
        return -EBUSY;
    }
    return rc;
}

static int remove_index(struct frag_store *store) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    int rc = 0;
    for (size_t i = 0; i < KN_COUNT(endings) && rc >= 0; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s%s", store->index_path, endings[i]) < 0) {
            return -ENOMEM;
        }
        rc = store->io->unlink(store->io, path);
        rc = rc == -ENOENT ? 0 : rc;
        free(path);
    }
    return rc;
}

static int find_index(const struct frag_io_entry *entry, void *user) {
    bool *found = user;
    *found = *found || strcmp(entry->name, "index.db") == 0;
    return 0;
}

/* Listed, not opened: closing any descriptor of it would drop SQLite's locks in this process. */
static bool has_index(struct frag_store *store) {
    bool found = false;
    return store->io->list(store->io, store->data, find_index, &found) == 0 && found;
}

/* KN_E_MALFORMED: the index is damaged, or its bytes cannot be read. */
static int open_rows(struct frag_store *store, struct frag_store_opening *opening) {
    int rc = frag_index_open(store->index_path, FRAG_INDEX_WRITE, &store->clerk.index);
    if (rc == KN_E_UNSUPPORTED) {
        (void)snprintf(opening->problem, sizeof(opening->problem),
                       "%s was written by a newer version of Kinora", store->index_path);
    }
    bool unknown = false;
    rc = rc == -EIO ? KN_E_MALFORMED : rc;
    rc = rc < 0 ? rc : frag_recover(store, opening, &unknown);
    return rc < 0 ? rc : frag_open_numbers(store, store->clerk.index, unknown, opening);
}

/* A cache: what is damaged, wherever that shows, is made again. */
static int open_index(struct frag_store *store, struct frag_store_opening *opening) {
    int rc = store->hooks != NULL && store->hooks->new_index ? remove_index(store) : 0;
    if (rc < 0) {
        return rc;
    }
    opening->index_rebuilt = !has_index(store) && !opening->created;
    rc = open_rows(store, opening);
    if (rc != KN_E_MALFORMED || opening->index_rebuilt) {
        return rc;
    }
    kn_log_warn("the index is damaged: it is made again", kn_str("path", store->index_path));
    frag_index_close(store->clerk.index);
    store->clerk.index = NULL;
    rc = remove_index(store);
    opening->index_rebuilt = true;
    opening->reels = 0;
    opening->fragments = 0;
    opening->damaged_files = 0; /* they are counted again */
    opening->foreign_files = 0;
    rc = rc < 0 ? rc : open_rows(store, opening);
    return rc == KN_E_MALFORMED ? -EIO : rc; /* not the journal: it is the disk */
}

static int open_disks(struct frag_store *store) {
    int rc = 0;
    for (size_t i = 0; i < store->folder_count && rc >= 0; i++) {
        struct frag_folder *folder = &store->folders[i];
        if (folder->online) {
            rc = frag_disk_create(folder, &folder->disk);
        }
    }
    return rc;
}

static int start_threads(struct frag_store *store) {
    int rc = frag_clerk_start(store);
    for (size_t i = 0; i < store->folder_count && rc >= 0; i++) {
        if (store->folders[i].disk != NULL) {
            rc = frag_disk_start(store->folders[i].disk);
        }
    }
    return rc;
}

static void look_at_folders(struct frag_store *store) {
    for (size_t i = 0; i < store->folder_count; i++) {
        if (store->folders[i].online) {
            frag_folder_look(&store->folders[i]);
        }
    }
}

static int open_writing(struct frag_store *store, const struct frag_store_config *config,
                        struct frag_store_opening *opening) {
    int rc = frag_open_check_main(store, config, opening);
    rc = rc < 0 ? rc : take_lock(store, opening);
    rc = rc < 0 ? rc : frag_open_folders(store, config, opening);
    rc = rc < 0 ? rc : frag_open_streams(store);
    rc = rc < 0 ? rc : frag_holds_open(store);
    rc = rc < 0 ? rc : open_index(store, opening);
    rc = rc < 0 ? rc : open_disks(store);
    rc = rc < 0 ? rc : frag_janitor_create(store, config->clock_confirmed);
    rc = rc < 0 ? rc : start_threads(store);
    rc = rc < 0 ? rc : frag_janitor_start(store);
    if (rc >= 0) {
        look_at_folders(store);
    }
    return rc;
}

static int open_index_to_read(struct frag_store *store, struct frag_store_opening *opening,
                              struct frag_index **ret_index) {
    int rc = frag_index_open(store->index_path, FRAG_INDEX_READ, ret_index);
    if (rc == -ENOENT || rc == KN_E_MALFORMED) {
        (void)snprintf(opening->problem, sizeof(opening->problem),
                       "the index of %s is %s: kinora rebuild makes it again", store->data,
                       rc == -ENOENT ? "missing" : "damaged");
    }
    return rc;
}

static int open_reading(struct frag_store *store, const struct frag_store_config *config,
                        struct frag_store_opening *opening) {
    struct frag_index *index = NULL;
    int rc = frag_open_folders(store, config, opening);
    rc = rc < 0 ? rc : frag_open_streams(store);
    rc = rc < 0 ? rc : frag_holds_open(store);
    rc = rc < 0 ? rc : open_index_to_read(store, opening, &index);
    rc = rc < 0 ? rc : frag_open_numbers(store, index, false, opening);
    frag_index_close(index);
    if (rc >= 0) {
        look_at_folders(store);
    }
    return rc;
}

static void stop(struct frag_store *store, bool close_reels) {
    atomic_store(&store->closing, true);
    frag_janitor_stop(store);
    for (size_t i = 0; i < store->folder_count; i++) {
        if (store->folders[i].disk != NULL) {
            frag_disk_stop(store->folders[i].disk, close_reels);
        }
    }
    frag_clerk_stop(store);
}

int frag_open_with(const struct frag_store_config *config, const struct frag_open_hooks *hooks,
                   struct frag_store **ret_store, struct frag_store_opening *ret_opening) {
    struct frag_store_opening opening = {0};
    struct frag_store *store = NULL;
    if (config->data == NULL || config->folder_count > FRAG_CATALOG_FOLDERS_MAX - 1) {
        return -EINVAL;
    }
    int rc = allocate(config, &store);
    if (rc == 0) {
        store->hooks = hooks;
        rc = config->mode == FRAG_STORE_WRITE ? open_writing(store, config, &opening)
                                              : open_reading(store, config, &opening);
        if (rc < 0) {
            stop(store, false);
            destroy(store);
        }
    }
    if (ret_opening != NULL) {
        *ret_opening = opening;
    }
    if (rc < 0) {
        return rc;
    }
    store->hooks = NULL;
    *ret_store = store;
    return 0;
}

int frag_store_open(const struct frag_store_config *config, struct frag_store **ret_store,
                    struct frag_store_opening *ret_opening) {
    return frag_open_with(config, NULL, ret_store, ret_opening);
}

/* ---- closing ---- */

/* The rows, on disk: the next start has nothing to look for. */
static void sync_index(struct frag_store *store) {
    struct frag_index *index = store->clerk.index;
    if (index == NULL || frag_clerk_retry(store) < 0) {
        return;
    }
    int rc = frag_index_begin(index);
    rc = rc < 0 ? rc : frag_index_commit(index, true);
    if (rc < 0) {
        kn_log_warn("index not synced: the next start reads the newest reels again",
                    kn_err("error", rc));
    }
}

void frag_store_close(struct frag_store *store) {
    if (store == NULL) {
        return;
    }
    stop(store, true);
    if (store->mode == FRAG_STORE_WRITE) {
        sync_index(store);
    }
    destroy(store);
}

void frag_store_abandon(struct frag_store *store) {
    if (store != NULL) {
        stop(store, false);
        destroy(store);
    }
}

/* ---- flushing ---- */

static int flush_clerk(struct frag_store *store, void *user) {
    (void)user;
    return frag_clerk_retry(store);
}

int frag_store_flush(struct frag_store *store) {
    if (store->mode == FRAG_STORE_READ) {
        return 0;
    }
    for (size_t i = 0; i < store->folder_count; i++) {
        if (store->folders[i].disk != NULL) {
            frag_disk_flush(store->folders[i].disk);
        }
    }
    int rc = frag_clerk_call(store, flush_clerk, NULL);
    if (!store->threads) {
        frag_janitor_pass_if_due(store);
    }
    return rc;
}

/* ---- numbers for the operator ---- */

static enum frag_store_health health_of(struct frag_store *store) {
    if (atomic_load(&store->clerk.failing)) {
        return FRAG_STORE_FAILING;
    }
    for (size_t i = 0; i < store->folder_count; i++) {
        if (store->folders[i].disk != NULL && !atomic_load(&store->folders[i].full)) {
            return FRAG_STORE_FINE;
        }
    }
    return store->mode == FRAG_STORE_READ ? FRAG_STORE_FINE : FRAG_STORE_DISK_FULL;
}

static void add_streams(struct frag_store *store, struct frag_store_stats *stats) {
    (void)pthread_mutex_lock(&store->streams_lock);
    stats->streams = store->stream_count;
    for (size_t i = 0; i < store->stream_count; i++) {
        struct frag_stream *stream = store->streams[i];
        (void)pthread_mutex_lock(&stream->lock);
        stats->reels += stream->counters.reels_on_disk;
        stats->fragments += stream->counters.fragments_on_disk;
        stats->bytes += stream->counters.bytes_on_disk;
        (void)pthread_mutex_unlock(&stream->lock);
    }
    (void)pthread_mutex_unlock(&store->streams_lock);
}

static void add_queues(struct frag_store *store, struct frag_store_stats *stats) {
    for (size_t i = 0; i < store->folder_count; i++) {
        if (store->folders[i].disk != NULL) {
            stats->queued_fragments += frag_disk_waiting(store->folders[i].disk);
            stats->queued_bytes += frag_disk_waiting_bytes(store->folders[i].disk);
        }
    }
}

struct frag_store_stats frag_store_stats(struct frag_store *store) {
    struct frag_store_stats stats = {
        .health = health_of(store),
        .clock_in_doubt = store->janitor != NULL && frag_janitor_clock_in_doubt(store),
        .appended = atomic_load(&store->appended),
        .failed = atomic_load(&store->failed),
        .syncs = atomic_load(&store->syncs),
        .sync_errors = atomic_load(&store->sync_errors),
        .commits = atomic_load(&store->commits),
        .deleted_reels = atomic_load(&store->deleted_reels),
        .deleted_bytes = atomic_load(&store->deleted_bytes),
        .memory_used = kn_budget_used(store->budget),
        .memory_max = kn_budget_max(store->budget),
        .sync_times = frag_times_read(&store->sync_times),
        .queued_rows = atomic_load(&store->queued_rows),
    };
    add_streams(store, &stats);
    add_queues(store, &stats);
    return stats;
}

int frag_store_folders(struct frag_store *store,
                       int (*each)(const struct frag_folder_info *info, void *user), void *user) {
    int rc = 0;
    for (size_t i = 0; i < store->folder_count && rc >= 0; i++) {
        struct frag_folder *folder = &store->folders[i];
        const struct frag_folder_info info = {
            .number = folder->number,
            .path = folder->path,
            .online = folder->online && !atomic_load(&folder->astray),
            .full = atomic_load(&folder->full),
            .free_bytes = atomic_load(&folder->free_bytes),
            .total_bytes = atomic_load(&folder->total_bytes),
        };
        rc = each(&info, user);
    }
    return rc < 0 ? rc : 0;
}
