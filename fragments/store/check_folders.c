/* Which storage directories a store has, and whether each says so itself. The main one is where the
 * caller says; its journal, or another copy, lists the others. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/check_inner.h"
#include "fragments/store/values.h"

/* 0; -ENOENT and the like; KN_E_TRUNCATED, KN_E_MALFORMED, KN_E_UNSUPPORTED. */
static int read_identity(struct frag_check *check, const char *folder,
                         struct frag_folder_identity *ret_identity) {
    char path[FRAG_CHECK_PATH_BYTES];
    uint8_t data[FRAG_IDENTITY_BYTES + 1];
    int fd =
        check->io->open(check->io, frag_check_join(folder, FRAG_IDENTITY_FILE, path), FRAG_IO_READ);
    if (fd < 0) {
        return fd;
    }
    int64_t got = check->io->read(check->io, fd, data, sizeof(data), 0);
    (void)check->io->close(check->io, fd); /* was only read */
    return got < 0 ? (int)got : frag_identity_read(data, (size_t)got, ret_identity);
}

static int add_folder(struct frag_check *check, uint16_t number, const char *path,
                      const uint8_t id[static FRAG_ID_BYTES], bool online) {
    if (check->folder_count == FRAG_CATALOG_FOLDERS_MAX) {
        return frag_check_tell(check, FRAG_CHECK_DAMAGE, path, 0, 0, "",
                               "the store has more storage directories than there may be; this one "
                               "is not checked");
    }
    struct frag_check_folder *folder = &check->folders[check->folder_count];
    folder->path = strdup(path);
    if (folder->path == NULL) {
        return -ENOMEM;
    }
    check->folder_count++;
    folder->number = number;
    folder->online = online;
    memcpy(folder->id, id, FRAG_ID_BYTES);
    return 0;
}

/* ---- the main directory ---- */

/* Where the identity tells no store, the journal's header may. */
static void take_store_id(struct frag_check *check) {
    char path[FRAG_CHECK_PATH_BYTES];
    uint8_t data[FRAG_JOURNAL_HEADER_BYTES];
    struct frag_journal_header header;
    int fd = check->io->open(check->io, frag_check_join(check->config->data, "journal", path),
                             FRAG_IO_READ);
    if (fd < 0) {
        return;
    }
    if (frag_io_read_exactly(check->io, fd, data, sizeof(data), 0) == 0 &&
        frag_journal_decode_header(data, sizeof(data), &header) == 0) {
        memcpy(check->store_id, header.store_id, FRAG_ID_BYTES);
        check->has_store_id = true;
    }
    (void)check->io->close(check->io, fd); /* was only read */
}

static int tell_main(struct frag_check *check, const char *path, int rc) {
    if (frag_check_is_denied(rc)) {
        return frag_check_tell_denied(check, path, "", rc);
    }
    if (rc == -ENOENT) {
        return frag_check_tell(check, FRAG_CHECK_DAMAGE, path, 0, 0, "",
                               "the identity of the main directory is missing, the store does not "
                               "open without it: put the file back from a backup");
    }
    return frag_check_tell(check, FRAG_CHECK_DAMAGE, path, 0, 0, "",
                           "the identity of the main directory cannot be read (%s), the store does "
                           "not open without it: put the file back from a backup",
                           kn_error_text(rc));
}

static int check_main(struct frag_check *check) {
    static const uint8_t no_id[FRAG_ID_BYTES];
    char path[FRAG_CHECK_PATH_BYTES];
    struct frag_folder_identity identity = {.main = true};
    const char *data = check->config->data;
    int rc = read_identity(check, data, &identity);
    if (rc == KN_E_UNSUPPORTED) {
        return rc;
    }
    (void)frag_check_join(data, FRAG_IDENTITY_FILE, path);
    if (rc < 0) {
        take_store_id(check);
        if (!check->has_store_id && rc == -ENOENT) {
            return -ENOENT; /* nothing here speaks of a store */
        }
        rc = tell_main(check, path, rc);
        return rc == 0 ? add_folder(check, 0, data, no_id, true) : rc;
    }
    memcpy(check->store_id, identity.store_id, FRAG_ID_BYTES);
    check->has_store_id = true;
    if (!identity.main) {
        rc = frag_check_tell(check, FRAG_CHECK_DAMAGE, path, 0, 0, "",
                             "this is a storage directory of a store, and not its main one: give "
                             "the main one");
        return rc == 0 ? -ENOENT : rc;
    }
    rc = add_folder(check, 0, data, identity.folder_id, true);
    return rc == 0 ? frag_check_file_done(check) : rc;
}

/* ---- the others ---- */

/* A directory of the caller's list that has this id, else where it was last. */
static const char *place_of(struct frag_check *check, const uint8_t id[static FRAG_ID_BYTES],
                            const char *last) {
    const struct frag_store_config *config = check->config;
    for (size_t i = 0; i < config->folder_count; i++) {
        struct frag_folder_identity identity;
        if (read_identity(check, config->folders[i], &identity) == 0 &&
            memcmp(identity.folder_id, id, FRAG_ID_BYTES) == 0) {
            return config->folders[i];
        }
    }
    return last;
}

/* 1: it is there and the store's. 0: told, or it is missing, which is told with its reels. */
static int check_other(struct frag_check *check, const char *place,
                       const uint8_t id[static FRAG_ID_BYTES], bool *ret_missing) {
    char path[FRAG_CHECK_PATH_BYTES];
    struct frag_folder_identity identity;
    int rc = read_identity(check, place, &identity);
    (void)frag_check_join(place, FRAG_IDENTITY_FILE, path);
    *ret_missing = rc == -ENOENT || rc == -ENOTDIR;
    if (*ret_missing) {
        return 0;
    }
    if (frag_check_is_denied(rc)) {
        return frag_check_tell_denied(check, path, "", rc);
    }
    if (rc < 0) {
        return frag_check_tell(check, FRAG_CHECK_DAMAGE, path, 0, 0, "",
                               "the identity of this storage directory cannot be read (%s), it is "
                               "not used without: put the file back from a backup",
                               kn_error_text(rc));
    }
    if (memcmp(identity.store_id, check->store_id, FRAG_ID_BYTES) != 0 ||
        memcmp(identity.folder_id, id, FRAG_ID_BYTES) != 0) {
        return frag_check_tell(check, FRAG_CHECK_DAMAGE, path, 0, 0, "",
                               "another storage directory stands here than the store's own: mount "
                               "the right one");
    }
    rc = frag_check_file_done(check);
    return rc < 0 ? rc : 1;
}

/* Key: "folder" and the directory's id. */
static int list_folder(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct frag_check *check = user;
    struct frag_value_folder folder;
    const size_t word = sizeof(FRAG_KEY_FOLDER) - 1;
    if (key.size != word + FRAG_ID_BYTES || memcmp(key.data, FRAG_KEY_FOLDER, word) != 0 ||
        frag_value_read_folder(value, &folder) != 0 || folder.number == 0) {
        return 0; /* what cannot be read is told with the other values */
    }
    const uint8_t *id = key.data + word;
    const char *place = place_of(check, id, folder.path);
    bool missing = false;
    int online = check_other(check, place, id, &missing);
    size_t before = check->folder_count;
    int rc = online < 0 ? online : add_folder(check, folder.number, place, id, online > 0);
    if (check->folder_count > before) {
        check->folders[before].missing = missing;
    }
    return rc;
}

/* Any copy that can be read tells which directories there are. */
static int open_some_journal(struct frag_check *check, struct frag_catalog **ret_catalog) {
    const struct frag_store_config *config = check->config;
    int rc = KN_E_MALFORMED;
    for (size_t i = 0; i <= config->folder_count && rc != 0 && rc != -ENOMEM; i++) {
        const char *folder = i == 0 ? config->data : config->folders[i - 1];
        struct frag_catalog_config copy = {
            .io = check->io, .folders = &folder, .folder_count = 1, .read_only = true};
        memcpy(copy.store_id, check->store_id, FRAG_ID_BYTES);
        rc = frag_catalog_open(&copy, ret_catalog, NULL);
    }
    return rc;
}

int frag_check_directories(struct frag_check *check) {
    struct frag_catalog *catalog = NULL;
    int rc = check_main(check);
    if (rc < 0) {
        return rc;
    }
    rc = open_some_journal(check, &catalog);
    if (rc == 0) {
        rc = frag_catalog_each(catalog, FRAG_CATALOG_STORE, list_folder, check);
        frag_catalog_close(catalog);
        return rc;
    }
    return frag_check_goes_on(check, rc) ? 0 : rc; /* the copies are told next */
}
