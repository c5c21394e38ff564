/* The copies of the journal, each for itself and against the others. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/store/check_inner.h"
#include "fragments/store/journal_file.h"

/* An end that is being written is whole a moment later. */
#define TRIES 4

struct copy {
    const char *folder;
    int error;
    struct frag_journal_look look;
    uint64_t bytes; /* good ones */
    bool has_digest;
    uint32_t digest; /* of all it says */
};

/* ---- one copy ---- */

static int look_once(struct frag_check *check, const char *folder, struct frag_journal_look *look,
                     uint64_t *ret_bytes) {
    struct frag_journal_file file;
    int rc = frag_journal_file_init(&file, check->io, folder, true);
    if (rc == 0) {
        rc = frag_journal_file_look(&file, check->store_id, look);
        *ret_bytes = file.bytes;
    }
    frag_journal_file_finish(&file);
    return rc;
}

/* Until it is sound, or twice the same. */
static int look_at_copy(struct frag_check *check, struct copy *copy) {
    for (int i = 0; i < TRIES; i++) {
        struct frag_journal_look before = copy->look;
        uint64_t bytes = copy->bytes;
        copy->look = (struct frag_journal_look){.found = FRAG_JOURNAL_MISSING};
        copy->error = look_once(check, copy->folder, &copy->look, &copy->bytes);
        bool sound = copy->look.found == FRAG_JOURNAL_SOUND && copy->look.torn_bytes == 0;
        bool same = copy->bytes == bytes && copy->look.found == before.found &&
                    copy->look.last == before.last && copy->look.torn_bytes == before.torn_bytes;
        if (copy->error == -ENOMEM) {
            return -ENOMEM;
        }
        if (copy->error == 0 && (sound || (i > 0 && same))) {
            break;
        }
    }
    return 0;
}

struct digesting {
    uint16_t kind;
    uint32_t crc;
};

static int add_to_digest(struct frag_catalog_value key, struct frag_catalog_value value,
                         void *user) {
    struct digesting *digesting = user;
    uint8_t head[18];
    struct kn_writer writer;
    kn_writer_init(&writer, head, sizeof(head));
    kn_write_be16(&writer, digesting->kind);
    kn_write_be64(&writer, key.size);
    kn_write_be64(&writer, value.size);
    digesting->crc = kn_crc32c(digesting->crc, head, sizeof(head));
    digesting->crc = kn_crc32c(digesting->crc, key.data, key.size);
    digesting->crc = kn_crc32c(digesting->crc, value.data, value.size);
    return 0;
}

/* Two sound copies with the same last sequence have the same contents. Of one that grows just then
 * there is no digest. */
static int digest_copy(struct frag_check *check, struct copy *copy) {
    struct frag_catalog *catalog = NULL;
    struct digesting digesting = {0};
    struct frag_catalog_config config = {
        .io = check->io, .folders = &copy->folder, .folder_count = 1, .read_only = true};
    memcpy(config.store_id, check->store_id, FRAG_ID_BYTES);
    int rc = frag_catalog_open(&config, &catalog, NULL);
    if (rc < 0) {
        return rc == -ENOMEM ? rc : 0; /* what is wrong with it shows otherwise */
    }
    for (uint32_t kind = 0; kind <= UINT16_MAX; kind++) {
        digesting.kind = (uint16_t)kind;
        (void)frag_catalog_each(catalog, (uint16_t)kind, add_to_digest, &digesting); /* answers 0 */
    }
    frag_catalog_close(catalog);
    struct frag_journal_look look = {.found = FRAG_JOURNAL_MISSING};
    uint64_t bytes = 0;
    rc = look_once(check, copy->folder, &look, &bytes);
    copy->digest = digesting.crc;
    copy->has_digest = rc == 0 && look.found == FRAG_JOURNAL_SOUND && look.last == copy->look.last;
    return rc == -ENOMEM ? rc : 0;
}

/* ---- all of them ---- */

struct copies {
    struct copy items[FRAG_CATALOG_FOLDERS_MAX];
    size_t count;
    const struct copy *best; /* the one that holds; NULL: none does */
    uint64_t reach;          /* of any, when all were looked at first */
};

static bool is_sound(const struct copy *copy) {
    return copy->error == 0 && copy->look.found == FRAG_JOURNAL_SOUND;
}

static void find_reach(struct copies *copies) {
    for (size_t i = 0; i < copies->count; i++) {
        const struct copy *copy = &copies->items[i];
        uint64_t reach =
            copy->error == 0 && copy->look.found != FRAG_JOURNAL_FOREIGN ? copy->look.reach : 0;
        copies->reach = reach > copies->reach ? reach : copies->reach;
    }
}

static void find_best(struct copies *copies) {
    for (size_t i = 0; i < copies->count && copies->best == NULL; i++) {
        const struct copy *copy = &copies->items[i];
        copies->best = is_sound(copy) && copy->look.last >= copies->reach ? copy : NULL;
    }
}

/* A writer takes one change after the other to all copies, so one of them may lack the last; the
 * next change or start makes it level. */
static bool is_behind(const struct copies *copies, const struct copy *copy) {
    return copy->look.torn_bytes > 0 ? copy->look.last < copies->reach
                                     : copy->look.last + 1 < copies->reach;
}

static int tell_copy(struct frag_check *check, const struct copies *copies, const struct copy *copy,
                     enum frag_check_severity severity, uint64_t from, uint64_t to,
                     const char *what) {
    char path[FRAG_CHECK_PATH_BYTES];
    (void)frag_check_join(copy->folder, "journal", path);
    if (copies->best == copy) {
        return frag_check_tell(check, severity, path, from, to, "", "%s", what);
    }
    if (copies->best != NULL) {
        return frag_check_tell(check, severity, path, from, to, "",
                               "%s: the next start writes it anew from the copy in %s", what,
                               copies->best->folder);
    }
    return frag_check_tell(
        check, severity, path, from, to, "",
        "%s, and no other copy that is whole is known: name all storage directories, "
        "or put a copy back from a backup, else the store does not open",
        what);
}

static int tell_damaged(struct frag_check *check, const struct copies *copies,
                        const struct copy *copy) {
    const struct frag_journal_look *look = &copy->look;
    if (copy->bytes < FRAG_JOURNAL_HEADER_BYTES) {
        return tell_copy(check, copies, copy, FRAG_CHECK_DAMAGE, 0, FRAG_JOURNAL_HEADER_BYTES,
                         "the header of the journal is damaged");
    }
    if (look->torn_bytes == 0) {
        return tell_copy(check, copies, copy, FRAG_CHECK_DAMAGE, copy->bytes, copy->bytes,
                         "the journal was cut off behind its last record");
    }
    return tell_copy(check, copies, copy, FRAG_CHECK_DAMAGE, copy->bytes,
                     copy->bytes + look->torn_bytes,
                     "a record of the journal is damaged: what stands behind it is not used");
}

static int tell_sound(struct frag_check *check, const struct copies *copies,
                      const struct copy *copy) {
    const struct frag_journal_look *look = &copy->look;
    const struct copy *best = copies->best;
    if (is_behind(copies, copy)) {
        return tell_copy(check, copies, copy, FRAG_CHECK_REPAIR, copy->bytes,
                         copy->bytes + look->torn_bytes,
                         "this copy of the journal ends before another one did");
    }
    int rc = 0;
    char path[FRAG_CHECK_PATH_BYTES];
    (void)frag_check_join(copy->folder, "journal", path);
    if (look->torn_bytes > 0) {
        rc = frag_check_tell(check, FRAG_CHECK_REPAIR, path, copy->bytes,
                             copy->bytes + look->torn_bytes, "",
                             "the last record is not whole, as a crash leaves one that was not in "
                             "effect yet: the next start cuts it off");
    }
    if (rc == 0 && best != NULL && best->has_digest && copy->has_digest &&
        best->look.last == copy->look.last && best->digest != copy->digest) {
        rc =
            frag_check_tell(check, FRAG_CHECK_DAMAGE, path, 0, 0, "",
                            "this copy of the journal says other things than the one in %s, though "
                            "both are whole: remove the wrong one, the next start makes it anew",
                            best->folder);
    }
    return rc;
}

static int judge_copy(struct frag_check *check, const struct copies *copies,
                      const struct copy *copy) {
    if (frag_check_is_denied(copy->error)) {
        char path[FRAG_CHECK_PATH_BYTES];
        return frag_check_tell_denied(check, frag_check_join(copy->folder, "journal", path), "",
                                      copy->error);
    }
    if (copy->error < 0) {
        return tell_copy(check, copies, copy, FRAG_CHECK_DAMAGE, 0, 0, kn_error_text(copy->error));
    }
    switch (copy->look.found) {
    case FRAG_JOURNAL_MISSING:
        return tell_copy(check, copies, copy, FRAG_CHECK_REPAIR, 0, 0, "the journal is missing");
    case FRAG_JOURNAL_FOREIGN:
        return tell_copy(check, copies, copy, FRAG_CHECK_DAMAGE, 0, 0,
                         "this is the journal of another store, and is not used");
    case FRAG_JOURNAL_NEWER:
        return KN_E_UNSUPPORTED;
    case FRAG_JOURNAL_DAMAGED:
        return tell_damaged(check, copies, copy);
    case FRAG_JOURNAL_SOUND:
        break;
    }
    return tell_sound(check, copies, copy);
}

struct beside {
    struct frag_check *check;
    const char *folder;
};

static int tell_old(const struct frag_io_entry *entry, void *user) {
    static const char begins[] = "journal.damaged-";
    const struct beside *beside = user;
    char path[FRAG_CHECK_PATH_BYTES];
    if (entry->folder || strncmp(entry->name, begins, sizeof(begins) - 1) != 0) {
        return 0;
    }
    (void)frag_check_join(beside->folder, entry->name, path);
    return frag_check_tell(beside->check, FRAG_CHECK_NOTE, path, 0, 0, "",
                           "an earlier start put this damaged copy of the journal aside: remove it "
                           "when it is of no use any more");
}

static int look_at_all(struct frag_check *check, struct copies *copies) {
    int rc = 0;
    for (size_t i = 0; i < check->folder_count && rc == 0; i++) {
        if (check->folders[i].online) {
            struct copy *copy = &copies->items[copies->count++];
            copy->folder = check->folders[i].path;
            rc = look_at_copy(check, copy);
        }
    }
    find_reach(copies);
    /* Again, for those looked at before the others grew. */
    for (size_t i = 0; i < copies->count && rc == 0; i++) {
        struct copy *copy = &copies->items[i];
        rc = is_sound(copy) && copy->look.last < copies->reach ? look_at_copy(check, copy) : 0;
    }
    find_best(copies);
    for (size_t i = 0; i < copies->count && copies->count > 1 && rc == 0; i++) {
        struct copy *copy = &copies->items[i];
        rc = is_sound(copy) && !is_behind(copies, copy) ? digest_copy(check, copy) : 0;
    }
    return rc;
}

static int open_catalog(struct frag_check *check, const struct copies *copies) {
    const char *folders[FRAG_CATALOG_FOLDERS_MAX];
    struct frag_catalog_config config = {
        .io = check->io, .folders = folders, .folder_count = copies->count, .read_only = true};
    for (size_t i = 0; i < copies->count; i++) {
        folders[i] = copies->items[i].folder;
    }
    memcpy(config.store_id, check->store_id, FRAG_ID_BYTES);
    int rc = frag_catalog_open(&config, &check->catalog, NULL);
    return rc == -ENOMEM || rc == KN_E_UNSUPPORTED ? rc : 0; /* else just told */
}

static int judge_all(struct frag_check *check, const struct copies *copies) {
    int rc = 0;
    for (size_t i = 0; i < copies->count && rc == 0; i++) {
        const struct copy *copy = &copies->items[i];
        rc = judge_copy(check, copies, copy);
        if (rc == 0) {
            struct beside beside = {.check = check, .folder = copy->folder};
            rc = check->io->list(check->io, copy->folder, tell_old, &beside);
            rc = frag_check_goes_on(check, rc) ? 0 : rc;
        }
        rc = rc == 0 ? frag_check_advance(check, copy->bytes) : rc;
        rc = rc == 0 ? frag_check_file_done(check) : rc;
    }
    return rc;
}

int frag_check_journals(struct frag_check *check) {
    struct copies copies = {0};
    int rc = look_at_all(check, &copies);
    if (rc == 0) {
        rc = judge_all(check, &copies);
    }
    return rc == 0 ? open_catalog(check, &copies) : rc;
}
