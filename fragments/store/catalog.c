#include "fragments/store/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/catalog_map.h"
#include "fragments/store/journal_file.h"

#define MAX_BYTES ((size_t)256 << 20)
#define COMPACT_BYTES ((size_t)1 << 20)

/* A file that is read becomes shorter only where its writer takes back a change that failed, or
 * cuts a torn end at its start. */
#define READ_TRIES 4

struct frag_catalog {
    struct frag_journal_file files[FRAG_CATALOG_FOLDERS_MAX];
    size_t file_count;
    bool level[FRAG_CATALOG_FOLDERS_MAX]; /* was usable once: nothing in it reaches further than we
                                           * know, so that it may be written anew */
    struct frag_catalog_report report;
    uint8_t store_id[FRAG_ID_BYTES];
    bool read_only; /* no file is open any more */
    size_t max_bytes, compact_bytes;
    struct frag_map map;
    uint64_t sequence; /* the last one used; a copy that is not there yet is written anew first */
    uint8_t *room;     /* FRAG_JOURNAL_ROOM_BYTES */
};

static bool is_usable(const struct frag_catalog *catalog, size_t i) {
    enum frag_catalog_copy copy = catalog->report.copies[i];
    return copy != FRAG_COPY_FAILED && copy != FRAG_COPY_FOREIGN;
}

static bool any_usable(const struct frag_catalog *catalog) {
    for (size_t i = 0; i < catalog->file_count; i++) {
        if (is_usable(catalog, i)) {
            return true;
        }
    }
    return false;
}

static void give_up(struct frag_catalog *catalog, size_t i) {
    catalog->report.copies[i] = FRAG_COPY_FAILED;
    frag_journal_file_lose(&catalog->files[i]);
}

static int rewrite(struct frag_catalog *catalog, size_t i, bool keep_old) {
    const struct frag_journal_content content = {
        .store_id = catalog->store_id, .map = &catalog->map, .last = catalog->sequence};
    return frag_journal_file_rewrite(&catalog->files[i], &content, keep_old, catalog->room);
}

static bool rewrite_or_give_up(struct frag_catalog *catalog, size_t i) {
    if (rewrite(catalog, i, false) == 0) {
        return true;
    }
    give_up(catalog, i);
    return false;
}

/* ---- opening ---- */

/* What opening learned before it changes anything. */
struct survey {
    struct frag_journal_look looks[FRAG_CATALOG_FOLDERS_MAX];
    size_t own, foreign; /* copies that are there */
    bool newer;
    uint64_t reach; /* how far any copy of ours goes or went */
    int error;      /* the first one of the file system */
    bool moved;     /* a file was not any more what it had been a moment before, or is unreadable */
};

static int load_record(const struct frag_journal_record *record, void *user) {
    struct frag_catalog *catalog = user;
    struct frag_map_entry *old = frag_map_find(&catalog->map, record->kind, record->key);
    if (record->operation == FRAG_JOURNAL_DELETE) {
        if (old != NULL) {
            frag_map_remove(&catalog->map, old);
        }
    } else {
        struct frag_map_entry *entry =
            frag_map_entry_create(record->kind, record->key, record->value);
        if (entry == NULL) {
            return -ENOMEM;
        }
        old = frag_map_insert(&catalog->map, entry);
    }
    free(old);
    return catalog->map.bytes <= catalog->max_bytes ? 0 : KN_E_LIMIT;
}

/* 0 or -ENOMEM; an error of the file system is the copy's. */
static int survey_copy(struct frag_catalog *catalog, size_t i, struct survey *survey) {
    struct frag_journal_look *look = &survey->looks[i];
    int rc = frag_journal_file_look(&catalog->files[i], catalog->store_id, look);
    enum frag_catalog_copy *copy = &catalog->report.copies[i];
    if (rc < 0) {
        survey->error = survey->error < 0 ? survey->error : rc;
        survey->moved = survey->moved || rc == -EIO;
        *copy = FRAG_COPY_FAILED;
        return rc == -ENOMEM ? rc : 0;
    }
    switch (look->found) {
    case FRAG_JOURNAL_MISSING:
        *copy = FRAG_COPY_MADE;
        return 0;
    case FRAG_JOURNAL_FOREIGN:
        *copy = FRAG_COPY_FOREIGN;
        survey->foreign++;
        return 0;
    case FRAG_JOURNAL_NEWER:
        *copy = FRAG_COPY_GOOD;
        survey->newer = true;
        break;
    case FRAG_JOURNAL_SOUND:
        *copy = FRAG_COPY_BEHIND; /* until it is known how far the others go */
        break;
    case FRAG_JOURNAL_DAMAGED:
        *copy = FRAG_COPY_DAMAGED;
        break;
    }
    survey->own++;
    survey->reach = look->reach > survey->reach ? look->reach : survey->reach;
    return 0;
}

/* Reads the copy that holds into the map. A sound copy that ends before another one did does not
 * hold: changes that were in effect would be gone without a word. */
static int load_best(struct frag_catalog *catalog, struct survey *survey) {
    for (size_t i = 0; i < catalog->file_count; i++) {
        const struct frag_journal_look *look = &survey->looks[i];
        if (look->found != FRAG_JOURNAL_SOUND || !is_usable(catalog, i) ||
            look->last != survey->reach) {
            continue;
        }
        int rc = frag_journal_file_load(&catalog->files[i], load_record, catalog);
        if (rc == 0) {
            catalog->sequence = look->last;
            catalog->report.records = look->records;
            catalog->report.cut_bytes = look->torn_bytes;
            catalog->report.copies[i] = FRAG_COPY_GOOD;
            return 0;
        }
        frag_map_finish(&catalog->map);
        if (rc == -ENOMEM || rc == KN_E_LIMIT) {
            return rc;
        }
        survey->error = survey->error < 0 ? survey->error : rc;
        survey->moved = survey->moved || rc == -EIO;
        give_up(catalog, i);
    }
    return survey->error < 0 ? survey->error : KN_E_MALFORMED;
}

static int choose(struct frag_catalog *catalog, struct survey *survey) {
    for (size_t i = 0; i < catalog->file_count; i++) {
        int rc = survey_copy(catalog, i, survey);
        if (rc < 0) {
            return rc;
        }
    }
    if (survey->newer) {
        return KN_E_UNSUPPORTED;
    }
    if (survey->own > 0) {
        return load_best(catalog, survey);
    }
    if (survey->foreign > 0) {
        return -EXDEV;
    }
    /* A new store: but not where a copy may be that could not be read. */
    return survey->error == 0 && catalog->read_only ? -ENOENT : survey->error;
}

static int settle_copy(struct frag_catalog *catalog, size_t i, const struct survey *survey) {
    const struct frag_journal_look *look = &survey->looks[i];
    enum frag_catalog_copy *copy = &catalog->report.copies[i];
    if (look->found == FRAG_JOURNAL_SOUND && look->last == catalog->sequence) {
        frag_journal_file_tidy(&catalog->files[i]);
        if (look->torn_bytes == 0) {
            *copy = FRAG_COPY_GOOD;
            return 0;
        }
        if (frag_journal_file_cut(&catalog->files[i]) == 0) {
            return 0;
        }
    }
    return rewrite(catalog, i, look->found == FRAG_JOURNAL_DAMAGED);
}

static int settle(struct frag_catalog *catalog, const struct survey *survey) {
    int error = survey->error;
    for (size_t i = 0; i < catalog->file_count; i++) {
        int rc = is_usable(catalog, i) ? settle_copy(catalog, i, survey) : 0;
        if (rc < 0) {
            error = error < 0 ? error : rc;
            give_up(catalog, i);
        }
        catalog->level[i] = is_usable(catalog, i);
    }
    return any_usable(catalog) ? 0 : error;
}

static void finish_files(struct frag_catalog *catalog) {
    for (size_t i = 0; i < catalog->file_count; i++) {
        frag_journal_file_finish(&catalog->files[i]);
    }
    catalog->file_count = 0;
}

static int init_files(struct frag_catalog *catalog, const struct frag_catalog_config *config) {
    for (size_t i = 0; i < config->folder_count; i++) {
        catalog->file_count = i + 1;
        int rc = frag_journal_file_init(&catalog->files[i], config->io, config->folders[i],
                                        config->read_only);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int open_copies(struct frag_catalog *catalog, const struct frag_catalog_config *config) {
    struct survey survey = {0};
    catalog->room = malloc(FRAG_JOURNAL_ROOM_BYTES);
    if (catalog->room == NULL) {
        return -ENOMEM;
    }
    int rc = init_files(catalog, config);
    rc = rc < 0 ? rc : choose(catalog, &survey);
    return rc < 0 ? rc : settle(catalog, &survey);
}

/* Once, as open_copies, but nothing is settled and no file stays open. A journal that is replaced
 * meanwhile is read to its end under its open descriptor. */
static int read_copies(struct frag_catalog *catalog, const struct frag_catalog_config *config,
                       struct survey *survey) {
    int rc = init_files(catalog, config);
    rc = rc < 0 ? rc : choose(catalog, survey);
    for (size_t i = 0; i < catalog->file_count && rc == 0; i++) {
        const struct frag_journal_look *look = &survey->looks[i];
        if (is_usable(catalog, i) && look->found == FRAG_JOURNAL_SOUND &&
            look->last == catalog->sequence) {
            catalog->report.copies[i] = FRAG_COPY_GOOD;
        }
    }
    finish_files(catalog);
    return rc;
}

static int read_steady_copies(struct frag_catalog *catalog,
                              const struct frag_catalog_config *config) {
    for (int i = 1;; i++) {
        struct survey survey = {0};
        int rc = read_copies(catalog, config, &survey);
        if (!survey.moved || i == READ_TRIES) {
            return rc;
        }
        frag_map_finish(&catalog->map);
        catalog->report = (struct frag_catalog_report){0};
    }
}

int frag_catalog_open(const struct frag_catalog_config *config, struct frag_catalog **ret_catalog,
                      struct frag_catalog_report *ret_report) {
    KN_ASSERT(config->folder_count >= 1 && config->folder_count <= FRAG_CATALOG_FOLDERS_MAX);
    struct frag_catalog *catalog = calloc(1, sizeof(*catalog));
    if (catalog == NULL) {
        return -ENOMEM;
    }
    memcpy(catalog->store_id, config->store_id, FRAG_ID_BYTES);
    catalog->max_bytes = config->max_bytes > 0 ? config->max_bytes : MAX_BYTES;
    catalog->compact_bytes = config->compact_bytes > 0 ? config->compact_bytes : COMPACT_BYTES;
    catalog->read_only = config->read_only;
    int rc = config->read_only ? read_steady_copies(catalog, config) : open_copies(catalog, config);
    if (ret_report != NULL) {
        *ret_report = catalog->report;
    }
    if (rc < 0) {
        frag_catalog_close(catalog);
        return rc;
    }
    *ret_catalog = catalog;
    return 0;
}

void frag_catalog_close(struct frag_catalog *catalog) {
    if (catalog == NULL) {
        return;
    }
    finish_files(catalog);
    frag_map_finish(&catalog->map);
    free(catalog->room);
    free(catalog);
}

/* ---- changing ---- */

/* While no copy is usable: a disk that was full or failing may work again. What was in doubt in a
 * copy has a lower sequence than what is written now. */
static void revive(struct frag_catalog *catalog) {
    for (size_t i = 0; i < catalog->file_count; i++) {
        if (catalog->level[i] && rewrite(catalog, i, false) == 0) {
            catalog->report.copies[i] = FRAG_COPY_BEHIND;
        }
    }
}

/* Copies that are good but not at the catalog's sequence are written anew before the next change. 0
 * when at least one copy is there. */
static int bring_level(struct frag_catalog *catalog) {
    int error = 0;
    bool level = false;
    if (!any_usable(catalog)) {
        revive(catalog);
    }
    for (size_t i = 0; i < catalog->file_count; i++) {
        if (!is_usable(catalog, i)) {
            continue;
        }
        int rc = catalog->files[i].last == catalog->sequence ? 0 : rewrite(catalog, i, false);
        level = level || rc == 0;
        error = error < 0 ? error : rc;
        if (rc < 0 && catalog->files[i].fd < 0) {
            give_up(catalog, i);
        }
    }
    if (level) {
        return 0;
    }
    return any_usable(catalog) ? error : KN_E_CLOSED;
}

/* After a change that is in effect. Whether it works is no matter of that change's. */
static void compact_where_due(struct frag_catalog *catalog) {
    const uint64_t live = FRAG_JOURNAL_HEADER_BYTES + catalog->map.bytes;
    for (size_t i = 0; i < catalog->file_count; i++) {
        struct frag_journal_file *file = &catalog->files[i];
        if (!is_usable(catalog, i) || file->bytes <= catalog->compact_bytes ||
            file->bytes <= file->quiet_below_bytes || file->bytes <= 2 * live) {
            continue;
        }
        if (rewrite(catalog, i, false) == 0) {
            continue;
        }
        if (file->fd < 0) {
            give_up(catalog, i);
        } else {
            file->quiet_below_bytes = file->bytes + file->bytes / 2;
        }
    }
}

/* What became of a change in the copies. */
struct outcome {
    bool taken;    /* synced in one at least: in effect */
    bool in_doubt; /* may stand in a copy that is not used any more */
    int error;     /* the first */
};

static struct outcome append_to_all(struct frag_catalog *catalog,
                                    const struct frag_journal_record *record) {
    struct outcome outcome = {0};
    for (size_t i = 0; i < catalog->file_count; i++) {
        struct frag_journal_file *file = &catalog->files[i];
        if (!is_usable(catalog, i) || file->last + 1 != record->sequence) {
            continue;
        }
        int rc = frag_journal_file_append(file, record);
        outcome.taken = outcome.taken || rc == 0;
        outcome.in_doubt = outcome.in_doubt || file->fd < 0;
        outcome.error = outcome.error < 0 ? outcome.error : rc;
    }
    /* Whole new journals, with the change: first for the files that are lost, ... */
    for (size_t i = 0; i < catalog->file_count; i++) {
        if (is_usable(catalog, i) && catalog->files[i].fd < 0) {
            outcome.taken = rewrite_or_give_up(catalog, i) || outcome.taken;
        }
    }
    /* ... and where it is in effect, for those that refused it. */
    for (size_t i = 0; i < catalog->file_count && outcome.taken; i++) {
        if (is_usable(catalog, i) && catalog->files[i].last != record->sequence) {
            (void)rewrite_or_give_up(catalog, i); /* left behind: reported */
        }
    }
    return outcome;
}

/* The map holds the change already. Below 0: the caller takes it out again. */
static int write_change(struct frag_catalog *catalog, struct frag_journal_record *record) {
    record->sequence = ++catalog->sequence;
    struct outcome outcome = append_to_all(catalog, record);
    if (outcome.taken) {
        compact_where_due(catalog);
        return 0;
    }
    if (outcome.in_doubt) {
        /* A copy that is given up may hold the record and so reach to this sequence: what holds
         * must reach further. */
        catalog->sequence++;
    } else {
        catalog->sequence--;
    }
    return any_usable(catalog) ? outcome.error : KN_E_CLOSED;
}

static int check_change(struct frag_catalog *catalog) {
    if (catalog->read_only) {
        return -EROFS;
    }
    return catalog->sequence + 2 > FRAG_JOURNAL_SEQUENCE_MAX ? KN_E_LIMIT : 0;
}

int frag_catalog_put(struct frag_catalog *catalog, uint16_t kind, const void *key, size_t key_bytes,
                     const void *value, size_t value_bytes) {
    const struct frag_catalog_value new_key = {key, key_bytes}, new_value = {value, value_bytes};
    if (key_bytes > FRAG_CATALOG_KEY_MAX || value_bytes > FRAG_CATALOG_VALUE_MAX) {
        return KN_E_LIMIT;
    }
    int rc = check_change(catalog);
    if (rc < 0) {
        return rc;
    }
    const struct frag_map_entry *old = frag_map_find(&catalog->map, kind, new_key);
    uint64_t others = catalog->map.bytes - (old != NULL ? frag_map_entry_bytes(old) : 0);
    if (others + FRAG_JOURNAL_RECORD_HEAD_BYTES + key_bytes + value_bytes > catalog->max_bytes) {
        return KN_E_LIMIT;
    }
    struct frag_map_entry *entry = frag_map_entry_create(kind, new_key, new_value);
    if (entry == NULL) {
        return -ENOMEM;
    }
    rc = bring_level(catalog);
    if (rc < 0) {
        free(entry);
        return rc;
    }
    struct frag_map_entry *replaced = frag_map_insert(&catalog->map, entry);
    struct frag_journal_record record = {
        .operation = FRAG_JOURNAL_PUT, .kind = kind, .key = entry->key, .value = entry->value};
    rc = write_change(catalog, &record);
    if (rc == 0) {
        free(replaced);
        return 0;
    }
    if (replaced != NULL) {
        (void)frag_map_insert(&catalog->map, replaced); /* gives `entry` back */
    } else {
        frag_map_remove(&catalog->map, entry);
    }
    free(entry);
    return rc;
}

int frag_catalog_delete(struct frag_catalog *catalog, uint16_t kind, const void *key,
                        size_t key_bytes) {
    int rc = check_change(catalog);
    if (rc < 0) {
        return rc;
    }
    struct frag_map_entry *entry =
        frag_map_find(&catalog->map, kind, (struct frag_catalog_value){key, key_bytes});
    if (entry == NULL) {
        return -ENOENT;
    }
    rc = bring_level(catalog);
    if (rc < 0) {
        return rc;
    }
    frag_map_remove(&catalog->map, entry);
    struct frag_journal_record record = {
        .operation = FRAG_JOURNAL_DELETE, .kind = kind, .key = entry->key};
    rc = write_change(catalog, &record);
    if (rc == 0) {
        free(entry);
        return 0;
    }
    (void)frag_map_insert(&catalog->map, entry); /* nothing has its place */
    return rc;
}

/* ---- reading ---- */

int frag_catalog_get(const struct frag_catalog *catalog, uint16_t kind, const void *key,
                     size_t key_bytes, struct frag_catalog_value *ret_value) {
    const struct frag_map_entry *entry =
        frag_map_find(&catalog->map, kind, (struct frag_catalog_value){key, key_bytes});
    if (entry == NULL) {
        return -ENOENT;
    }
    *ret_value = entry->value;
    return 0;
}

int frag_catalog_each(const struct frag_catalog *catalog, uint16_t kind,
                      int (*each)(struct frag_catalog_value key, struct frag_catalog_value value,
                                  void *user),
                      void *user) {
    const struct frag_map_entry *entry =
        frag_map_seek(&catalog->map, kind, (struct frag_catalog_value){NULL, 0}, false);
    for (; entry != NULL && entry->kind == kind; entry = frag_map_next(&catalog->map, entry)) {
        int rc = each(entry->key, entry->value, user);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

struct frag_catalog_report frag_catalog_report(const struct frag_catalog *catalog) {
    return catalog->report;
}
