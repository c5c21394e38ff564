/* Files below reels/ and rows of the index, one against the other. Files first: of what a writer
 * adds meanwhile the row is younger than the file, and of what retention takes the row is younger
 * too. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/check_inner.h"
#include "fragments/store/reel.h"

#define REELS "reels"
/* reels/stream/date/file; a few more for what people put there. */
#define LEVELS_MAX 8
#define STRAYS_MAX 10000u

/* ---- which files were seen ---- */

/* Of 64 bits: two files in a million million have the same one. */
static uint64_t hash_of(uint16_t folder, const char *path) {
    uint64_t hash = UINT64_C(0xCBF29CE484222325) ^ folder;
    for (const char *at = path; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001B3);
    }
    return hash;
}

static int remember(struct frag_check *check, uint16_t folder, const char *path) {
    if (check->seen_count == check->seen_room) {
        size_t room = check->seen_room * 2 + 1024;
        void *grown = realloc(check->seen, room * sizeof(*check->seen));
        if (grown == NULL) {
            return -ENOMEM;
        }
        check->seen = grown;
        check->seen_room = room;
    }
    check->seen[check->seen_count++] = hash_of(folder, path);
    return 0;
}

static int compare_hashes(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static bool was_seen(const struct frag_check *check, uint16_t folder, const char *path) {
    uint64_t hash = hash_of(folder, path);
    return check->seen_count > 0 &&
           bsearch(&hash, check->seen, check->seen_count, sizeof(hash), compare_hashes) != NULL;
}

/* ---- listing ---- */

struct entry {
    char *name;
    bool folder;
    uint64_t bytes;
};

/* One folder at a time, in order of names, so that every run tells the same. */
struct entries {
    struct entry *items;
    size_t count, room;
};

static void entries_finish(struct entries *entries) {
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->items[i].name);
    }
    free(entries->items);
}

static int take_entry(const struct frag_io_entry *entry, void *user) {
    struct entries *entries = user;
    if (entries->count == entries->room) {
        size_t room = entries->room * 2 + 64;
        void *grown = realloc(entries->items, room * sizeof(*entries->items));
        if (grown == NULL) {
            return -ENOMEM;
        }
        entries->items = grown;
        entries->room = room;
    }
    char *name = strdup(entry->name);
    if (name == NULL) {
        return -ENOMEM;
    }
    entries->items[entries->count++] =
        (struct entry){.name = name, .folder = entry->folder, .bytes = entry->bytes};
    return 0;
}

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* What is done with each file; `path` is below the storage directory. */
struct walk {
    struct frag_check *check;
    const struct frag_check_folder *folder;
    int (*file)(struct walk *walk, const char *path, uint64_t bytes);
    bool quiet; /* what cannot be listed was told */
};

static int walk_folder(struct walk *walk, const char *path, int level);

/* NOLINTNEXTLINE(misc-no-recursion): as walk_folder */
static int walk_entry(struct walk *walk, const char *path, const struct entry *entry, int level) {
    char below[FRAG_INDEX_PATH_BYTES];
    int length = snprintf(below, sizeof(below), "%s/%s", path, entry->name);
    if (length < 0 || (size_t)length >= sizeof(below) || (entry->folder && level == LEVELS_MAX)) {
        return walk->quiet
                   ? 0
                   : frag_check_tell(walk->check, FRAG_CHECK_NOTE, walk->folder->path, 0, 0, "",
                                     "%s is too deep below %s to be the store's: it is "
                                     "not looked at",
                                     entry->name, path);
    }
    return entry->folder ? walk_folder(walk, below, level + 1)
                         : walk->file(walk, below, entry->bytes);
}

static int tell_unlisted(struct frag_check *check, const char *whole, int rc) {
    return frag_check_is_denied(rc)
               ? frag_check_tell_denied(check, whole, "", rc)
               : frag_check_tell(check, FRAG_CHECK_DAMAGE, whole, 0, 0, "",
                                 "the folder cannot be listed: %s", kn_error_text(rc));
}

/* NOLINTNEXTLINE(misc-no-recursion): LEVELS_MAX bounds it */
static int walk_folder(struct walk *walk, const char *path, int level) {
    struct frag_check *check = walk->check;
    char whole[FRAG_CHECK_PATH_BYTES];
    struct entries entries = {0};
    (void)frag_check_join(walk->folder->path, path, whole);
    int rc = check->io->list(check->io, whole, take_entry, &entries);
    if (rc < 0 && rc != -ENOENT && frag_check_goes_on(check, rc)) {
        rc = walk->quiet ? 0 : tell_unlisted(check, whole, rc);
    }
    rc = rc == -ENOENT ? 0 : rc; /* nothing was recorded yet, or retention took it just now */
    if (entries.count > 0) {
        qsort(entries.items, entries.count, sizeof(*entries.items), compare_entries);
    }
    for (size_t i = 0; i < entries.count && rc == 0; i++) {
        rc = walk_entry(walk, path, &entries.items[i], level);
    }
    entries_finish(&entries);
    return rc;
}

static int walk_all(struct frag_check *check, bool quiet,
                    int (*file)(struct walk *walk, const char *path, uint64_t bytes)) {
    int rc = 0;
    for (size_t i = 0; i < check->folder_count && rc == 0; i++) {
        struct walk walk = {
            .check = check, .folder = &check->folders[i], .file = file, .quiet = quiet};
        rc = walk.folder->online ? walk_folder(&walk, REELS, 0) : 0;
    }
    return rc;
}

/* ---- files ---- */

static int count_file(struct walk *walk, const char *path, uint64_t bytes) {
    (void)path;
    walk->check->progress.files_all++;
    walk->check->progress.bytes_all += bytes;
    return 0;
}

static int tell_stray(struct frag_check *check, const struct frag_check_stray *stray);

static void free_stray(struct frag_check_stray *stray) {
    free(stray->path);
    free(stray->belongs);
}

/* What it is shows when the rows were met; of more than STRAYS_MAX, at once. */
static int add_stray(struct walk *walk, const char *path, int identity,
                     const struct frag_check_place *belongs) {
    struct frag_check *check = walk->check;
    if (check->stray_count == check->stray_room) {
        size_t room = check->stray_room * 2 + 16;
        void *grown = realloc(check->strays, room * sizeof(*check->strays));
        if (grown == NULL) {
            return -ENOMEM;
        }
        check->strays = grown;
        check->stray_room = room;
    }
    struct frag_check_stray stray = {.folder = walk->folder->number,
                                     .identity = identity,
                                     .path = strdup(path),
                                     .belongs = belongs != NULL ? strdup(belongs->path) : NULL,
                                     .belongs_in = belongs != NULL ? belongs->folder : 0};
    if (stray.path == NULL || (belongs != NULL && stray.belongs == NULL)) {
        free_stray(&stray);
        return -ENOMEM;
    }
    if (check->stray_count == STRAYS_MAX) {
        int rc = tell_stray(check, &stray);
        free_stray(&stray);
        return rc;
    }
    check->strays[check->stray_count++] = stray;
    return 0;
}

static int check_known(struct walk *walk, const char *path,
                       const struct frag_reel_identity *identity) {
    struct frag_check *check = walk->check;
    struct frag_check_place place = {0};
    int rc = frag_check_reel(check, walk->folder, path, identity, &place);
    if (rc == -ENOENT) {
        return 0; /* if a row still has it, that is told with the rows */
    }
    if (rc < 0) {
        return rc;
    }
    bool moved =
        place.known && (place.folder != walk->folder->number || strcmp(place.path, path) != 0);
    return moved ? add_stray(walk, path, 0, &place) : remember(check, walk->folder->number, path);
}

static bool is_foreign(const struct frag_check *check, const struct frag_reel_identity *identity) {
    return check->has_store_id && memcmp(identity->store_id, check->store_id, FRAG_ID_BYTES) != 0;
}

static int check_file(struct walk *walk, const char *path, uint64_t bytes) {
    struct frag_check *check = walk->check;
    char whole[FRAG_CHECK_PATH_BYTES];
    struct frag_reel_identity identity;
    (void)bytes; /* of a moment ago */
    (void)frag_check_join(walk->folder->path, path, whole);
    int rc = frag_reel_identify(check->io, whole, &identity);
    if (rc == -ENOENT) {
        return 0;
    }
    if (rc == 0 && is_foreign(check, &identity)) {
        rc = -EXDEV;
    }
    if (rc < 0) {
        rc = frag_check_goes_on(check, rc) ? add_stray(walk, path, rc, NULL) : rc;
    } else {
        rc = check_known(walk, path, &identity);
    }
    return rc == 0 ? frag_check_file_done(check) : rc;
}

/* ---- rows ---- */

/* The stray at the place of a row: taken out, since it is told with the row. */
static bool take_stray(struct frag_check *check, uint16_t folder, const char *path) {
    for (size_t i = 0; i < check->stray_count; i++) {
        struct frag_check_stray *stray = &check->strays[i];
        if (stray->folder == folder && strcmp(stray->path, path) == 0) {
            free_stray(stray);
            *stray = check->strays[--check->stray_count];
            return true;
        }
    }
    return false;
}

/* 1: the index has it in this state now, 0: it went or goes. */
static int is_still(struct frag_check *check, const struct frag_index_reel *reel, bool marked) {
    struct frag_index_reel now;
    char path[FRAG_INDEX_PATH_BYTES];
    int rc = frag_index_get_reel(check->index, reel->row, path, sizeof(path), &now);
    if (rc < 0) {
        return frag_check_goes_on(check, rc) ? 0 : rc;
    }
    return (now.state == FRAG_REEL_DELETING) == marked ? 1 : 0;
}

static int tell_lost_file(struct frag_check *check, const struct frag_index_reel *reel,
                          const char *whole, uint64_t to, const char *what) {
    char name[FRAG_STREAM_NAME_BYTES];
    int rc = is_still(check, reel, false);
    return rc <= 0
               ? rc
               : frag_check_tell(check, FRAG_CHECK_DAMAGE, whole, 0, to,
                                 frag_check_stream_name(check, reel->identity.stream_id, name),
                                 "%s: %" PRIu64 " fragments of this reel cannot be played, only "
                                 "a copy of the file brings them back",
                                 what, reel->fragments);
}

/* A row whose file was not among those listed. */
static int check_row_file(struct frag_check *check, const struct frag_check_folder *folder,
                          const struct frag_index_reel *reel) {
    char whole[FRAG_CHECK_PATH_BYTES];
    struct frag_reel_identity identity;
    struct frag_check_place place;
    bool stray = take_stray(check, reel->folder, reel->path);
    (void)frag_check_join(folder->path, reel->path, whole);
    int rc = frag_reel_identify(check->io, whole, &identity);
    if (frag_check_is_denied(rc)) {
        char name[FRAG_STREAM_NAME_BYTES];
        (void)frag_check_stream_name(check, reel->identity.stream_id, name);
        return frag_check_tell_denied(check, whole, name, rc);
    }
    if (rc == -ENOENT) {
        return tell_lost_file(check, reel, whole, 0, "the file is missing");
    }
    if (rc == 0 && memcmp(identity.reel_id, reel->identity.reel_id, FRAG_ID_BYTES) != 0) {
        return tell_lost_file(check, reel, whole, 0, "the file of another reel stands here");
    }
    if (rc < 0) {
        return frag_check_goes_on(check, rc)
                   ? tell_lost_file(check, reel, whole, FRAG_REEL_SEEK_AT,
                                    "the first page of the file is damaged, without which nothing "
                                    "in it is believed")
                   : rc;
    }
    if (stray) {
        return 0; /* it was checked, and came to its place since */
    }
    rc = frag_check_reel(check, folder, reel->path, &identity, &place); /* of just now */
    return rc == -ENOENT ? 0 : rc;
}

static int tell_marked(struct frag_check *check, const struct frag_index_reel *reel,
                       const char *name) {
    int rc = is_still(check, reel, true);
    return rc <= 0 ? rc
                   : frag_check_tell(check, FRAG_CHECK_NOTE, check->index_path, 0, 0, name,
                                     "%s is being deleted: if no store is running, the next start "
                                     "ends that",
                                     reel->path);
}

static int check_row(const struct frag_index_reel *reel, void *user) {
    struct frag_check *check = user;
    const struct frag_check_folder *folder = frag_check_folder_of(check, reel->folder);
    char name[FRAG_STREAM_NAME_BYTES];
    (void)frag_check_stream_name(check, reel->identity.stream_id, name);
    if (reel->state == FRAG_REEL_DELETING) {
        return tell_marked(check, reel, name);
    }
    if (folder == NULL) {
        /* Without a journal there is no list of directories. */
        return check->catalog == NULL
                   ? 0
                   : frag_check_tell(check, FRAG_CHECK_DAMAGE, check->index_path, 0, 0, name,
                                     "the index has a reel in storage directory %u, which the "
                                     "journal does not know: %s",
                                     reel->folder, reel->path);
    }
    check->folders[folder - check->folders].reels += folder->missing ? 1 : 0;
    return !folder->online || was_seen(check, reel->folder, reel->path)
               ? 0
               : check_row_file(check, folder, reel);
}

static int check_rows(struct frag_check *check) {
    if (check->index == NULL) {
        return 0;
    }
    if (check->seen_count > 0) {
        qsort(check->seen, check->seen_count, sizeof(*check->seen), compare_hashes);
    }
    int rc = frag_index_each_reel(check->index, check_row, check);
    return rc < 0 && frag_check_goes_on(check, rc)
               ? frag_check_tell(check, FRAG_CHECK_DAMAGE, check->index_path, 0, 0, "",
                                 "a row of a reel in the index cannot be read (%s): kinora rebuild "
                                 "makes the index again",
                                 kn_error_text(rc))
               : rc;
}

/* ---- files that no row names ---- */

/* "reels/<stream>-<8 hex>/<date>/<time>-<8 hex>.mkv" */
static bool is_reel_path(const char *path) {
    size_t size = strlen(path);
    unsigned parts = 0;
    for (const char *at = path; *at != '\0'; at++) {
        parts += *at == '/' ? 1 : 0;
    }
    const char *end = size > 13 ? path + size - 13 : path;
    return parts == 3 && size > 13 && end[0] == '-' && strcmp(end + 9, ".mkv") == 0 &&
           strspn(end + 1, "0123456789abcdef") == 8;
}

static int tell_moved(struct frag_check *check, const struct frag_check_stray *stray,
                      const char *whole) {
    bool copy = was_seen(check, stray->belongs_in, stray->belongs);
    return copy ? frag_check_tell(check, FRAG_CHECK_NOTE, whole, 0, 0, "",
                                  "this is a second copy of %s, which the store does not use: "
                                  "remove it",
                                  stray->belongs)
                : frag_check_tell(check, FRAG_CHECK_REPAIR, whole, 0, 0, "",
                                  "this file belongs at %s: move it back there, or let kinora "
                                  "rebuild take it where it is",
                                  stray->belongs);
}

static int tell_stray(struct frag_check *check, const struct frag_check_stray *stray) {
    char whole[FRAG_CHECK_PATH_BYTES];
    const struct frag_check_folder *folder = frag_check_folder_of(check, stray->folder);
    KN_ASSERT(folder != NULL);
    (void)frag_check_join(folder->path, stray->path, whole);
    if (stray->belongs != NULL) {
        return tell_moved(check, stray, whole);
    }
    if (stray->identity == -EXDEV) {
        return frag_check_tell(check, FRAG_CHECK_NOTE, whole, 0, 0, "",
                               "this is a reel of another store, and is not used");
    }
    if (frag_check_is_denied(stray->identity)) {
        return frag_check_tell_denied(check, whole, "", stray->identity);
    }
    if (stray->identity == KN_E_UNSUPPORTED) {
        return frag_check_tell(check, FRAG_CHECK_NOTE, whole, 0, 0, "",
                               "a newer version wrote this reel: it is not looked at");
    }
    if (!is_reel_path(stray->path)) {
        return frag_check_tell(check, FRAG_CHECK_NOTE, whole, 0, 0, "",
                               "this file is none of the store's, which does not touch it");
    }
    return stray->identity == KN_E_TRUNCATED
               ? frag_check_tell(check, FRAG_CHECK_REPAIR, whole, 0, 0, "",
                                 "this reel ends in its first page: it holds nothing, as a crash "
                                 "leaves one that was just begun")
               : frag_check_tell(
                     check, FRAG_CHECK_DAMAGE, whole, 0, FRAG_REEL_SEEK_AT, "",
                     "the first page of the file is damaged (%s), without which nothing "
                     "in it is believed: only a copy of the file brings it back",
                     kn_error_text(stray->identity));
}

/* By the name's time: its writer may be at its first page just now. */
static bool is_young(const struct frag_check *check, const char *path) {
    char text[] = "0000-00-00T00:00:00Z";
    struct kn_wall opened;
    const char *name = strrchr(path, '/');
    if (!is_reel_path(path) || name - path < 10 || strlen(name) < 9) {
        return false;
    }
    memcpy(text, name - 10, 10);
    memcpy(text + 11, name + 1, 8);
    text[13] = ':';
    text[16] = ':';
    return kn_wall_parse(text, &opened) == 0 && opened.ns > check->now.ns - FRAG_CHECK_YOUNG_NS;
}

/* It went, or has its identity by now, or its writer is about to write that. */
static bool is_settled(struct frag_check *check, const struct frag_check_stray *stray) {
    char whole[FRAG_CHECK_PATH_BYTES];
    struct frag_reel_identity identity;
    const struct frag_check_folder *folder = frag_check_folder_of(check, stray->folder);
    KN_ASSERT(folder != NULL);
    int rc =
        frag_reel_identify(check->io, frag_check_join(folder->path, stray->path, whole), &identity);
    bool nameless = stray->identity == KN_E_TRUNCATED || stray->identity == KN_E_MALFORMED;
    return rc == -ENOENT || (nameless && (rc == 0 || is_young(check, stray->path)));
}

static int tell_strays(struct frag_check *check) {
    int rc = 0;
    for (size_t i = 0; i < check->stray_count && rc == 0; i++) {
        rc = is_settled(check, &check->strays[i]) ? 0 : tell_stray(check, &check->strays[i]);
    }
    return rc;
}

static int tell_missing(struct frag_check *check) {
    int rc = 0;
    for (size_t i = 0; i < check->folder_count && rc == 0; i++) {
        const struct frag_check_folder *folder = &check->folders[i];
        if (folder->missing && check->index != NULL) {
            rc = frag_check_tell(check, FRAG_CHECK_REPAIR, folder->path, 0, 0, "",
                                 "the storage directory is not there: its %" PRIu64
                                 " reel%s not read",
                                 folder->reels, folder->reels == 1 ? " was" : "s were");
        } else if (folder->missing) {
            rc = frag_check_tell(check, FRAG_CHECK_REPAIR, folder->path, 0, 0, "",
                                 "the storage directory is not there: its reels were not read");
        }
    }
    return rc;
}

int frag_check_files(struct frag_check *check) {
    int rc = walk_all(check, true, count_file);
    rc = rc == 0 ? walk_all(check, false, check_file) : rc;
    rc = rc == 0 ? check_rows(check) : rc;
    rc = rc == 0 ? tell_missing(check) : rc;
    return rc == 0 ? tell_strays(check) : rc;
}
