/* Whose directory is it: identities, the directories of a store, and the catalog over them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/open.h"

/* ---- identity files ---- */

static int join(const char *folder, const char *name, char *room, size_t room_bytes) {
    int length = snprintf(room, room_bytes, "%s/%s", folder, name);
    return length > 0 && (size_t)length < room_bytes ? 0 : KN_E_LIMIT;
}

static int read_identity(struct frag_io *io, const char *folder,
                         struct frag_folder_identity *ret_identity) {
    char path[FRAG_FOLDER_PATH_BYTES];
    int rc = join(folder, FRAG_IDENTITY_FILE, path, sizeof(path));
    int fd = rc < 0 ? rc : io->open(io, path, FRAG_IO_READ);
    if (fd < 0) {
        return fd;
    }
    uint8_t bytes[FRAG_IDENTITY_BYTES];
    rc = frag_io_read_exactly(io, fd, bytes, sizeof(bytes), 0);
    rc = rc < 0 ? rc : frag_identity_read(bytes, sizeof(bytes), ret_identity);
    (void)io->close(io, fd);
    return rc;
}

/* It appears whole or not at all. */
static int write_identity(struct frag_io *io, const char *folder,
                          const struct frag_folder_identity *identity) {
    char path[FRAG_FOLDER_PATH_BYTES];
    char made[FRAG_FOLDER_PATH_BYTES];
    uint8_t bytes[FRAG_IDENTITY_BYTES];
    frag_identity_write(identity, bytes);
    int rc = join(folder, FRAG_IDENTITY_FILE, path, sizeof(path));
    rc = rc < 0 ? rc : join(folder, FRAG_IDENTITY_FILE ".new", made, sizeof(made));
    if (rc < 0) {
        return rc;
    }
    (void)io->unlink(io, made); /* left by an opening that was stopped */
    int fd = io->open(io, made, FRAG_IO_CREATE);
    if (fd < 0) {
        return fd;
    }
    rc = frag_io_write_bytes(io, fd, bytes, sizeof(bytes), 0);
    rc = rc < 0 ? rc : io->sync(io, fd);
    (void)io->close(io, fd);
    rc = rc < 0 ? rc : io->rename(io, made, path);
    return rc < 0 ? rc : io->sync_folder(io, folder);
}

/* ---- the list ---- */

#define say(opening, ...)                                                                          \
    (void)snprintf((opening)->problem, sizeof((opening)->problem), __VA_ARGS__)

static int add_folder(struct frag_store *store, uint16_t number, const uint8_t *id,
                      const char *path, bool online) {
    if (store->folder_count == FRAG_CATALOG_FOLDERS_MAX) {
        return KN_E_LIMIT;
    }
    struct frag_folder *folder = &store->folders[store->folder_count];
    folder->path = strdup(path);
    if (folder->path == NULL) {
        return -ENOMEM;
    }
    folder->store = store;
    folder->number = number;
    memcpy(folder->id, id, FRAG_ID_BYTES);
    folder->online = online;
    store->folder_count++;
    return 0;
}

static struct frag_folder *folder_by_id(struct frag_store *store, const uint8_t *id) {
    for (size_t i = 0; i < store->folder_count; i++) {
        if (memcmp(store->folders[i].id, id, FRAG_ID_BYTES) == 0) {
            return &store->folders[i];
        }
    }
    return NULL;
}

/* The same text but for slashes at the end: what is not there has no other name. */
static bool same_path(const char *a, const char *b) {
    size_t a_bytes = strlen(a);
    size_t b_bytes = strlen(b);
    while (a_bytes > 1 && a[a_bytes - 1] == '/') {
        a_bytes--;
    }
    while (b_bytes > 1 && b[b_bytes - 1] == '/') {
        b_bytes--;
    }
    return a_bytes == b_bytes && memcmp(a, b, a_bytes) == 0;
}

static bool is_away(const struct frag_store *store, const char *path) {
    for (size_t i = 0; i < store->folder_count; i++) {
        if (!store->folders[i].online && same_path(store->folders[i].path, path)) {
            return true;
        }
    }
    return false;
}

struct known {
    struct frag_store *store;
    struct frag_store_opening *opening;
};

static bool is_online(const struct frag_store *store, const char *path, const uint8_t *id) {
    struct frag_folder_identity identity;
    return read_identity(store->io, path, &identity) == 0 &&
           memcmp(identity.store_id, store->id, FRAG_ID_BYTES) == 0 &&
           memcmp(identity.folder_id, id, FRAG_ID_BYTES) == 0;
}

static int add_journalled(struct known *known, const uint8_t *id,
                          const struct frag_value_folder *folder) {
    bool online = is_online(known->store, folder->path, id);
    int rc = add_folder(known->store, folder->number, id, folder->path, online);
    if (rc == 0 && !online) {
        known->opening->offline_folders++;
        kn_log_warn("storage directory is not there: its video cannot be read for now",
                    kn_str("folder", folder->path));
    }
    return rc;
}

/* A directory the journal names: its number counts, and it is online when the identity file there
 * says the same. */
static int add_known(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct known *known = user;
    struct frag_store *store = known->store;
    size_t word = strlen(FRAG_KEY_FOLDER);
    if (key.size != word + FRAG_ID_BYTES || memcmp(key.data, FRAG_KEY_FOLDER, word) != 0) {
        return 0;
    }
    const uint8_t *id = key.data + word;
    struct frag_value_folder *folder = malloc(sizeof(*folder));
    if (folder == NULL) {
        return -ENOMEM;
    }
    int rc = frag_value_read_folder(value, folder);
    struct frag_folder *there = folder_by_id(store, id);
    if (rc == 0 && folder->number != 0 && there == NULL) {
        rc = add_journalled(known, id, folder);
    } else if (rc == 0 && folder->number != 0 && there->number != 0) {
        there->number = folder->number;
    }
    free(folder);
    return rc;
}

/* The directories that the main copy of the journal names. What is wrong with that copy, opening
 * the catalog says. */
static int add_all_known(struct frag_store *store, struct frag_store_opening *opening) {
    const char *folders[] = {store->data};
    struct frag_catalog_config config = {
        .io = store->io, .folders = folders, .folder_count = 1, .read_only = true};
    memcpy(config.store_id, store->id, FRAG_ID_BYTES);
    struct frag_catalog *catalog = NULL;
    if (frag_catalog_open(&config, &catalog, NULL) < 0) {
        return 0;
    }
    struct known known = {.store = store, .opening = opening};
    store->journal_read = true;
    int rc = frag_catalog_each(catalog, FRAG_CATALOG_STORE, add_known, &known);
    frag_catalog_close(catalog);
    return rc;
}

static uint16_t free_number(const struct frag_store *store) {
    uint16_t number = 0;
    for (size_t i = 0; i < store->folder_count; i++) {
        if (store->folders[i].number >= number) {
            number = (uint16_t)(store->folders[i].number + 1);
        }
    }
    return number;
}

static bool exists(struct frag_io *io, const char *folder, const char *name) {
    char path[FRAG_FOLDER_PATH_BYTES];
    if (join(folder, name, path, sizeof(path)) < 0) {
        return false;
    }
    int fd = io->open(io, path, FRAG_IO_READ);
    if (fd >= 0) {
        (void)io->close(io, fd);
    }
    return fd >= 0;
}

/* Its identity says this store, and the store's own journal does not know it: ids that follow from
 * a seed are the same in many stores. Without a journal in it, it was made by an opening that was
 * stopped. */
static bool is_stranger(struct frag_store *store, const char *path,
                        const struct frag_folder_identity *identity) {
    bool known = !store->journal_read || folder_by_id(store, identity->folder_id) != NULL;
    return identity->main || (!known && exists(store->io, path, "journal"));
}

/* A directory the configuration names: known, moved, or new; a new one only where `make`. */
static int add_configured(struct frag_store *store, const char *path, bool make,
                          struct frag_store_opening *opening) {
    struct frag_folder_identity identity;
    int rc = read_identity(store->io, path, &identity);
    if (rc == 0) {
        if (memcmp(identity.store_id, store->id, FRAG_ID_BYTES) != 0 ||
            is_stranger(store, path, &identity)) {
            say(opening, "%s belongs to another store, or is one; name another directory", path);
            return -EXDEV;
        }
        struct frag_folder *folder = folder_by_id(store, identity.folder_id);
        if (folder == NULL) {
            return add_folder(store, free_number(store), identity.folder_id, path, true);
        }
        if (!folder->online) {
            char *moved = strdup(path);
            if (moved == NULL) {
                return -ENOMEM;
            }
            free(folder->path);
            folder->path = moved;
            folder->online = true;
            opening->offline_folders--;
        }
        return 0;
    }
    if (rc == -ENOENT && (!make || is_away(store, path))) {
        return 0; /* its disk is not mounted: nothing is made on the one below */
    }
    if (rc != -ENOENT || store->mode == FRAG_STORE_READ) {
        say(opening, "the identity of %s (file " FRAG_IDENTITY_FILE ") cannot be read: %s", path,
            kn_error_text(rc));
        return rc;
    }
    rc = frag_open_check_new(store->io, path, store->data, opening);
    rc = rc < 0 ? rc : frag_folder_make(store->io, path);
    memcpy(identity.store_id, store->id, FRAG_ID_BYTES);
    /* By chance also where ids follow from a seed: two directories must never be taken for one. */
    struct frag_random chance;
    frag_random_init(&chance, 0);
    frag_random_bytes(&chance, identity.folder_id, FRAG_ID_BYTES);
    frag_random_finish(&chance);
    identity.main = false;
    rc = rc < 0 ? rc : write_identity(store->io, path, &identity);
    return rc < 0 ? rc : add_folder(store, free_number(store), identity.folder_id, path, true);
}

/* ---- the main directory ---- */

/* Where nothing is: a new store, unless one of the other directories belongs to an old one. */
static int make_main(struct frag_store *store, const struct frag_store_config *config,
                     struct frag_store_opening *opening) {
    if (exists(store->io, store->data, "journal")) {
        say(opening, "%s has a journal and no file " FRAG_IDENTITY_FILE ": put that file back",
            store->data);
        return KN_E_MALFORMED;
    }
    for (size_t i = 0; i < config->folder_count; i++) {
        struct frag_folder_identity other;
        if (read_identity(store->io, config->folders[i], &other) == 0) {
            say(opening, "%s is empty, but %s belongs to a store: name that store's main directory",
                store->data, config->folders[i]);
            return -ENOENT;
        }
    }
    struct frag_folder_identity identity = {.main = true};
    frag_random_bytes(&store->random, identity.store_id, FRAG_ID_BYTES);
    frag_random_bytes(&store->random, identity.folder_id, FRAG_ID_BYTES);
    int rc = write_identity(store->io, store->data, &identity);
    if (rc < 0) {
        return rc;
    }
    opening->created = true;
    memcpy(store->id, identity.store_id, FRAG_ID_BYTES);
    return add_folder(store, 0, identity.folder_id, store->data, true);
}

static int open_main(struct frag_store *store, const struct frag_store_config *config,
                     struct frag_store_opening *opening) {
    struct frag_folder_identity identity;
    int rc = read_identity(store->io, store->data, &identity);
    if (rc == -ENOENT && store->mode == FRAG_STORE_WRITE) {
        return make_main(store, config, opening);
    }
    if (rc == -ENOENT || rc == -ENOTDIR) {
        say(opening, "there is no store in %s", store->data);
        return -ENOENT;
    }
    if (rc < 0) {
        say(opening, "the identity of %s (file " FRAG_IDENTITY_FILE ") cannot be read: %s",
            store->data, kn_error_text(rc));
        return rc;
    }
    if (!identity.main) {
        say(opening, "%s is a further storage directory of a store: name its main directory",
            store->data);
        return -ENOENT;
    }
    memcpy(store->id, identity.store_id, FRAG_ID_BYTES);
    return add_folder(store, 0, identity.folder_id, store->data, true);
}

/* ---- the catalog ---- */

static int put_folder(struct frag_store *store, const struct frag_folder *folder) {
    struct frag_value_folder *value = calloc(1, sizeof(*value));
    if (value == NULL) {
        return -ENOMEM;
    }
    value->number = folder->number;
    if (folder->number != 0) {
        (void)strncpy(value->path, folder->path, sizeof(value->path) - 1);
    }
    struct kn_writer writer;
    kn_writer_init_growing(&writer, FRAG_CATALOG_VALUE_MAX);
    frag_value_write_folder(&writer, value);
    uint8_t key[FRAG_KEY_BYTES_MAX];
    size_t key_bytes = frag_key_of(FRAG_KEY_FOLDER, folder->id, key);
    struct frag_catalog_value old;
    int rc = kn_writer_status(&writer);
    bool same =
        rc == 0 &&
        frag_catalog_get(store->clerk.catalog, FRAG_CATALOG_STORE, key, key_bytes, &old) == 0 &&
        old.size == writer.size && memcmp(old.data, writer.data, writer.size) == 0;
    if (rc == 0 && !same) {
        rc = frag_catalog_put(store->clerk.catalog, FRAG_CATALOG_STORE, key, key_bytes, writer.data,
                              writer.size);
    }
    kn_writer_finish(&writer);
    free(value);
    return rc;
}

static int find_folder(const struct frag_io_entry *entry, void *user) {
    bool *any = user;
    *any = *any || entry->folder;
    return 0;
}

/* There is video and no copy of the journal, which alone says whose it is: never made anew without
 * a word. */
static bool has_lost_journal(const struct frag_store *store) {
    bool reels = false;
    for (size_t i = 0; i < store->folder_count; i++) {
        const struct frag_folder *folder = &store->folders[i];
        char path[FRAG_FOLDER_PATH_BYTES];
        if (!folder->online || join(folder->path, "reels", path, sizeof(path)) < 0) {
            continue;
        }
        if (exists(store->io, folder->path, "journal")) {
            return false;
        }
        (void)store->io->list(store->io, path, find_folder, &reels);
    }
    return reels;
}

static int open_catalog(struct frag_store *store, struct frag_store_opening *opening) {
    if (has_lost_journal(store)) {
        say(opening,
            "the journal of %s is gone: streams, holds and gaps stand in it alone; bring it back "
            "from a backup or another storage directory",
            store->data);
        return KN_E_MALFORMED;
    }
    const char *folders[FRAG_CATALOG_FOLDERS_MAX];
    struct frag_catalog_config config = {
        .io = store->io, .folders = folders, .read_only = store->mode == FRAG_STORE_READ};
    for (size_t i = 0; i < store->folder_count; i++) {
        if (store->folders[i].online) {
            folders[config.folder_count++] = store->folders[i].path;
        }
    }
    memcpy(config.store_id, store->id, FRAG_ID_BYTES);
    int rc = frag_catalog_open(&config, &store->clerk.catalog, NULL);
    if (rc == KN_E_MALFORMED) {
        say(opening, "no copy of the journal in %s is whole: bring back the one of a backup",
            store->data);
    } else if (rc == KN_E_UNSUPPORTED) {
        say(opening, "a newer version of Kinora wrote %s", store->data);
    }
    return rc;
}

static int raise_epoch(struct frag_store *store) {
    struct frag_catalog *catalog = store->clerk.catalog;
    struct frag_catalog_value value;
    store->epoch = 0;
    if (frag_catalog_get(catalog, FRAG_CATALOG_STORE, FRAG_KEY_EPOCH, strlen(FRAG_KEY_EPOCH),
                         &value) == 0) {
        int rc = frag_value_read_u64(value, &store->epoch);
        if (rc < 0) {
            return rc;
        }
    }
    if (store->mode == FRAG_STORE_READ) {
        return 0;
    }
    if (store->epoch >= (FRAG_NUMBER_SEQUENCE_MAX >> 32) - 1) {
        return -EOVERFLOW;
    }
    store->epoch++;
    uint8_t room[32];
    struct kn_writer writer;
    kn_writer_init(&writer, room, sizeof(room));
    frag_value_write_u64(&writer, store->epoch);
    int rc = kn_writer_status(&writer);
    rc = rc < 0 ? rc
                : frag_catalog_put(catalog, FRAG_CATALOG_STORE, FRAG_KEY_EPOCH,
                                   strlen(FRAG_KEY_EPOCH), writer.data, writer.size);
    frag_random_mix(&store->random, store->epoch);
    return rc;
}

static bool is_network(const struct frag_store *store, const char *path) {
    static const unsigned long types[] = {
        0x6969 /* NFS */,    0x517B /* SMB */,     0xFF534D42 /* CIFS */, 0xFE534D42 /* SMB2 */,
        0x01021997 /* 9P */, 0x5346414F /* AFS */, 0x00C36400 /* Ceph */,
    };
    struct statfs about;
    if (store->io != frag_io_system() || statfs(path, &about) != 0) {
        return false;
    }
    for (size_t i = 0; i < KN_COUNT(types); i++) {
        if (((unsigned long)about.f_type & 0xFFFFFFFFu) == types[i]) {
            return true;
        }
    }
    return false;
}

static void warn_of_networks(const struct frag_store *store) {
    for (size_t i = 1; i < store->folder_count; i++) {
        if (store->folders[i].online && is_network(store, store->folders[i].path)) {
            kn_log_warn("storage directory is on a network file system: a sync there may promise "
                        "more than it keeps",
                        kn_str("folder", store->folders[i].path));
        }
    }
}

/* SQLite and the journal count on locks and syncs that network file systems do not keep. */
static int check_main(const struct frag_store *store, struct frag_store_opening *opening) {
    if (is_network(store, store->data)) {
        say(opening,
            "%s is on a network file system, which keeps neither locks nor syncs: use a local disk",
            store->data);
        return -EOPNOTSUPP;
    }
    return 0;
}

/* Numbers that no journal knows were given before the journal was read: they make way. */
static void renumber(struct frag_store *store) {
    bool known[FRAG_CATALOG_FOLDERS_MAX] = {false};
    for (size_t i = 0; i < store->folder_count; i++) {
        struct frag_catalog_value value;
        uint8_t key[FRAG_KEY_BYTES_MAX];
        size_t bytes = frag_key_of(FRAG_KEY_FOLDER, store->folders[i].id, key);
        known[i] =
            store->folders[i].number == 0 ||
            frag_catalog_get(store->clerk.catalog, FRAG_CATALOG_STORE, key, bytes, &value) == 0;
        store->folders[i].number = known[i] ? store->folders[i].number : 0;
    }
    for (size_t i = 0; i < store->folder_count; i++) {
        if (!known[i]) {
            store->folders[i].number = free_number(store);
        }
    }
}

/* The main copy may have been damaged, and said nothing of a directory that another copy names.
 * That one's own copy belongs to the catalog too, so it is opened once more. */
static int open_whole_catalog(struct frag_store *store, struct frag_store_opening *opening) {
    struct known known = {.store = store, .opening = opening};
    size_t count = 0;
    int rc = 0;
    do {
        frag_catalog_close(store->clerk.catalog);
        store->clerk.catalog = NULL;
        count = store->folder_count;
        rc = open_catalog(store, opening);
        rc = rc < 0
                 ? rc
                 : frag_catalog_each(store->clerk.catalog, FRAG_CATALOG_STORE, add_known, &known);
    } while (rc >= 0 && store->folder_count > count);
    if (rc >= 0) {
        renumber(store);
    }
    return rc;
}

static int add_all_configured(struct frag_store *store, const struct frag_store_config *config,
                              bool make, struct frag_store_opening *opening) {
    int rc = 0;
    for (size_t i = 0; i < config->folder_count && rc >= 0; i++) {
        rc = add_configured(store, config->folders[i], make, opening);
    }
    return rc;
}

/* New directories come last: only the whole catalog tells which ones are away. */
int frag_open_folders(struct frag_store *store, const struct frag_store_config *config,
                      struct frag_store_opening *opening) {
    int rc = open_main(store, config, opening);
    rc = rc < 0 || opening->created ? rc : add_all_known(store, opening);
    rc = rc < 0 ? rc : add_all_configured(store, config, false, opening);
    rc = rc < 0 ? rc : check_main(store, opening);
    rc = rc < 0 ? rc : open_whole_catalog(store, opening);
    size_t count = store->folder_count;
    rc = rc < 0 ? rc : add_all_configured(store, config, true, opening);
    if (rc >= 0 && store->folder_count > count) {
        rc = open_whole_catalog(store, opening);
    }
    warn_of_networks(store);
    for (size_t i = 0; i < store->folder_count && rc >= 0; i++) {
        if (store->mode == FRAG_STORE_WRITE) {
            rc = put_folder(store, &store->folders[i]);
        }
    }
    return rc < 0 ? rc : raise_epoch(store);
}
