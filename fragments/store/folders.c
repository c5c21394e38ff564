/* Storage directories: paths, free space. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/engine.h"

#define LEAST_FREE ((uint64_t)5 << 30)
/* Reels that are opened allocate 8 MiB each: with less than so much they do not. */
#define SCARCE_BYTES ((uint64_t)512 << 20)
/* Room for what was found missing, beside what is free then; and no more than that in all. */
#define RESERVE_STEP ((uint64_t)8 << 20)
#define RESERVE_MOST ((uint64_t)64 << 20)
#define PATH_BYTES ((size_t)4096 + sizeof(FRAG_IDENTITY_FILE) + 1)

static uint64_t configured_free(const struct frag_folder *folder) {
    if (folder->store->min_free_bytes != FRAG_STORE_MIN_FREE_DEFAULT) {
        return folder->store->min_free_bytes;
    }
    uint64_t share = atomic_load(&folder->total_bytes) / 20;
    return share > LEAST_FREE ? share : LEAST_FREE;
}

uint64_t frag_folder_min_free(const struct frag_folder *folder) {
    uint64_t configured = configured_free(folder);
    uint64_t reserve = atomic_load(&folder->reserve_bytes);
    return configured > reserve ? configured : reserve;
}

bool frag_folder_is_scarce(const struct frag_folder *folder) {
    return atomic_load(&folder->free_bytes) < SCARCE_BYTES;
}

static int64_t now_ns(const struct frag_folder *folder) {
    const struct kn_clock *clock = folder->store->clock;
    return clock->mono(clock).ns;
}

/* Once, with what is to be done about it. */
static void tell_full(const struct frag_folder *folder, uint64_t free_bytes, uint64_t least) {
    char sentence[256];
    (void)snprintf(sentence, sizeof(sentence),
                   "disk full: nothing more is written to it. min_free keeps %" PRIu64
                   " MiB of it free (%s); set min_free to less, or make room",
                   least >> 20,
                   folder->store->min_free_bytes != FRAG_STORE_MIN_FREE_DEFAULT
                       ? "as configured"
                       : "by default 5 % of the disk, at least 5 GiB");
    kn_log_error(sentence, kn_str("folder", folder->path), kn_uint("free_bytes", free_bytes),
                 kn_uint("writes_again_at_bytes", least / 2));
}

static void set_full(struct frag_folder *folder, bool full, uint64_t free_bytes, uint64_t least) {
    if (atomic_exchange(&folder->full, full) == full) {
        return;
    }
    if (full) {
        tell_full(folder, free_bytes, least);
    } else {
        kn_log_info("disk has room again", kn_str("folder", folder->path),
                    kn_uint("free_bytes", free_bytes));
    }
}

/* It stops at a quarter and goes on at half, so that it does not go to and fro; and where a write
 * has failed, not before there is the room that was missing, or some time has passed. */
static bool is_full(const struct frag_folder *folder, uint64_t free_bytes, uint64_t least) {
    bool full = atomic_load(&folder->full);
    uint64_t reserve = atomic_load(&folder->reserve_bytes);
    bool waits =
        full && free_bytes < reserve && now_ns(folder) < atomic_load(&folder->avoid_until_ns);
    return waits || free_bytes < (full ? least / 2 : least / 4);
}

void frag_folder_look(struct frag_folder *folder) {
    struct frag_io *io = folder->store->io;
    uint64_t free_bytes = 0;
    uint64_t total_bytes = 0;
    int rc = io->space(io, folder->path, &free_bytes, &total_bytes);
    if (rc < 0) {
        kn_log_warn("free space not known", kn_str("folder", folder->path), kn_err("error", rc));
        return;
    }
    atomic_store(&folder->free_bytes, free_bytes);
    atomic_store(&folder->total_bytes, total_bytes);
    if (folder->store->mode == FRAG_STORE_READ) {
        return; /* whether the disk is full is its writer's to judge */
    }
    uint64_t least = frag_folder_min_free(folder);
    set_full(folder, is_full(folder, free_bytes, least), free_bytes, least);
    if (free_bytes < least) {
        frag_janitor_wake(folder->store);
    }
}

void frag_folder_found_full(struct frag_folder *folder) {
    struct frag_io *io = folder->store->io;
    uint64_t free_bytes = 0;
    uint64_t total_bytes = 0;
    if (io->space(io, folder->path, &free_bytes, &total_bytes) == 0 &&
        free_bytes < RESERVE_MOST - RESERVE_STEP &&
        free_bytes + RESERVE_STEP > atomic_load(&folder->reserve_bytes)) {
        atomic_store(&folder->reserve_bytes, free_bytes + RESERVE_STEP);
    }
    atomic_store(&folder->full, true); /* that a reel was given up was said */
    frag_janitor_wake(folder->store);
}

/* 1: it is this one; 0: it is not; an errno. */
static int compare_identity(const struct frag_folder *folder) {
    struct frag_io *io = folder->store->io;
    struct frag_folder_identity identity;
    uint8_t bytes[FRAG_IDENTITY_BYTES];
    char path[PATH_BYTES];
    int rc = frag_folder_join(folder, FRAG_IDENTITY_FILE, path, sizeof(path));
    int fd = rc < 0 ? rc : io->open(io, path, FRAG_IO_READ);
    if (fd < 0) {
        return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
    }
    rc = frag_io_read_exactly(io, fd, bytes, sizeof(bytes), 0);
    (void)io->close(io, fd); /* was only read */
    if (rc < 0) {
        return rc == KN_E_TRUNCATED ? 0 : rc;
    }
    return frag_identity_read(bytes, sizeof(bytes), &identity) == 0 &&
                   memcmp(identity.store_id, folder->store->id, FRAG_ID_BYTES) == 0 &&
                   memcmp(identity.folder_id, folder->id, FRAG_ID_BYTES) == 0
               ? 1
               : 0;
}

int frag_folder_check(struct frag_folder *folder) {
    int rc = compare_identity(folder);
    if (rc < 0) {
        return rc;
    }
    bool astray = rc == 0;
    bool before = atomic_exchange(&folder->astray, astray);
    if (astray && !before) {
        kn_log_error("storage directory is not the one that was opened (unmounted?): nothing is "
                     "written to it",
                     kn_str("folder", folder->path));
    } else if (!astray && before) {
        kn_log_info("storage directory is back", kn_str("folder", folder->path));
    }
    return astray ? -ENODEV : 0;
}

static int ignore_entry(const struct frag_io_entry *entry, void *user) {
    (void)entry;
    (void)user;
    return 0;
}

int frag_folder_make(struct frag_io *io, const char *path) {
    int rc = io->list(io, path, ignore_entry, NULL);
    if (rc != -ENOENT) {
        return rc;
    }
    rc = io->make_folder(io, path);
    char *parent = strdup(path);
    if (rc < 0 || parent == NULL) {
        free(parent);
        return rc < 0 ? rc : -ENOMEM;
    }
    char *slash = strrchr(parent, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    rc = io->sync_folder(io, slash == NULL ? "." : slash == parent ? "/" : parent);
    free(parent);
    return rc;
}

struct frag_folder *frag_store_folder(struct frag_store *store, uint16_t number) {
    for (size_t i = 0; i < store->folder_count; i++) {
        if (store->folders[i].number == number) {
            return &store->folders[i];
        }
    }
    return NULL;
}

int frag_folder_join(const struct frag_folder *folder, const char *path, char *room,
                     size_t room_bytes) {
    int length = snprintf(room, room_bytes, "%s/%s", folder->path, path);
    return length > 0 && (size_t)length < room_bytes ? 0 : KN_E_LIMIT;
}

static bool is_below(const char *path, const char *folder) {
    size_t size = strlen(folder);
    while (size > 0 && folder[size - 1] == '/') {
        size--;
    }
    return strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

bool frag_store_holds(struct frag_store *store, const char *absolute_path) {
    bool holds = is_below(absolute_path, store->data);
    for (size_t i = 0; i < store->folder_count; i++) {
        holds = holds || is_below(absolute_path, store->folders[i].path);
    }
    return holds;
}

int frag_store_folder_number(struct frag_store *store, const char *absolute_path,
                             uint16_t *ret_number) {
    for (size_t i = 0; i < store->folder_count; i++) {
        if (strcmp(store->folders[i].path, absolute_path) == 0) {
            *ret_number = store->folders[i].number;
            return 0;
        }
    }
    return -ENOENT;
}
