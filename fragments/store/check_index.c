/* The index for itself: whether SQLite finds its file whole, and its tables speak of each other
 * rightly. Rows against reels are check_reel.c's. */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/store/check_inner.h"
#include "fragments/store/index_inner.h"
#include "fragments/store/index_schema.h"

#define INDEX_FILE "index.db"
#define PROBLEMS_MAX "20"

/* ---- its size, for the progress ---- */

/* From the folder's list: opening and closing the file here would take away the locks that another
 * connection of this process has on it. */
static int take_size(const struct frag_io_entry *entry, void *user) {
    if (strcmp(entry->name, INDEX_FILE) == 0) {
        *(uint64_t *)user = entry->bytes;
    }
    return 0;
}

static uint64_t file_bytes(struct frag_check *check) {
    uint64_t bytes = 0;
    /* Where the folder cannot be listed, that is told with the reels. */
    (void)!check->io->list(check->io, check->config->data, take_size, &bytes);
    return bytes;
}

/* ---- telling ---- */

static int tell(struct frag_check *check, const char *what, const char *detail) {
    return frag_check_tell(check, FRAG_CHECK_DAMAGE, check->index_path, 0, 0, "",
                           "%s%s: kinora rebuild makes the index again", what, detail);
}

static int tell_closed(struct frag_check *check, int rc) {
    switch (rc) {
    case -ENOENT:
        return frag_check_tell(check, FRAG_CHECK_REPAIR, check->index_path, 0, 0, "",
                               "there is no index: the next start makes it from reels and journal");
    case KN_E_UNSUPPORTED:
        return frag_check_tell(check, FRAG_CHECK_DAMAGE, check->index_path, 0, 0, "",
                               "the index is of another version: start the store with the newest "
                               "one, or let kinora rebuild make it again");
    case KN_E_MALFORMED:
        return tell(check, "the index is damaged", "");
    default:
        return frag_check_is_denied(rc)
                   ? frag_check_tell_denied(check, check->index_path, "", rc)
                   : frag_check_tell(check, FRAG_CHECK_DAMAGE, check->index_path, 0, 0, "",
                                     "the index cannot be read: %s", kn_error_text(rc));
    }
}

/* ---- what SQLite says ---- */

/* One statement, and so one read transaction for as long as the file takes to be read: the writer's
 * log grows meanwhile, which is the price of a whole look. */
static int check_pages(struct frag_check *check) {
    sqlite3 *db = check->index->db;
    sqlite3_stmt *statement = NULL;
    int result =
        sqlite3_prepare_v2(db, "PRAGMA integrity_check(" PROBLEMS_MAX ")", -1, &statement, NULL);
    int rc = 0;
    check->index_whole = true;
    while (result == SQLITE_OK || result == SQLITE_ROW) {
        result = sqlite3_step(statement);
        const char *said =
            result == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (rc == 0 && said != NULL && strcmp(said, "ok") != 0) {
            check->index_whole = false;
            rc = tell(check, "the index is damaged: ", said);
        }
    }
    (void)sqlite3_finalize(statement); /* repeats what step said */
    if (rc == 0 && result != SQLITE_DONE) {
        check->index_whole = false;
        rc = frag_index_error(db, result);
        rc = rc == -ENOMEM ? rc : tell_closed(check, rc);
    }
    return rc;
}

/* Each counts what must not be. */
static const struct {
    const char *sql, *what;
} rules[] = {
    {"SELECT count(*) FROM reel WHERE stream NOT IN (SELECT stream FROM stream)",
     "the index has reels without a stream"},
    {"SELECT count(*) FROM stream WHERE stream NOT IN (SELECT stream FROM reel)",
     "the index has streams without a reel"},
    {"SELECT count(*) FROM reel JOIN stream USING (stream)"
     " WHERE last_sequence - first_sequence > sequence_span",
     "a stream of the index has a reel with more numbers than its rows say, so that lookups miss "
     "some"},
    {"SELECT count(*) FROM reel WHERE packed IS NOT NULL AND packed NOT IN"
     " (SELECT packed FROM packed)",
     "the index has closed reels without their fragments"},
    {"SELECT count(*) FROM packed WHERE packed NOT IN"
     " (SELECT packed FROM reel WHERE packed IS NOT NULL)",
     "the index has fragments of closed reels that are not there"},
    {"SELECT count(*) FROM (SELECT 1 FROM reel WHERE packed IS NOT NULL GROUP BY packed"
     " HAVING count(*) > 1)",
     "the index has two reels with the same fragments"},
    {"SELECT count(*) FROM fragment WHERE reel NOT IN"
     " (SELECT reel FROM reel WHERE packed IS NULL)",
     "the index has fragments without a reel"},
    {"SELECT count(*) FROM reel WHERE packed IS NULL AND fragments <>"
     " (SELECT count(*) FROM fragment WHERE fragment.reel = reel.reel)",
     "the index has another number of fragments than its open reels say"},
    {"SELECT count(*) FROM record_key WHERE reel NOT IN (SELECT reel FROM reel WHERE flags & 2)",
     "the index has keys of records without a reel"},
    {"SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'reel'), 0) <"
     " coalesce((SELECT max(reel) FROM reel), 0)",
     "the index could give a new reel the number of an old one"},
};

static int check_rule(struct frag_check *check, size_t rule) {
    sqlite3 *db = check->index->db;
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, rules[rule].sql, -1, &statement, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    bool broken = result == SQLITE_ROW && sqlite3_column_int64(statement, 0) != 0;
    (void)sqlite3_finalize(statement); /* repeats what step said */
    if (result == SQLITE_ROW) {
        return broken ? tell(check, rules[rule].what, "") : 0;
    }
    int rc = frag_index_error(db, result);
    return rc == -ENOMEM ? rc : tell_closed(check, rc);
}

/* ---- the tables' own text: SQLite takes any that can be read ---- */

static int sum_schema(sqlite3 *db, uint32_t *ret_sum) {
    sqlite3_stmt *statement = NULL;
    uint32_t sum = 0;
    int result = sqlite3_prepare_v2(
        db, "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name",
        -1, &statement, NULL);
    while (result == SQLITE_OK || result == SQLITE_ROW) {
        result = sqlite3_step(statement);
        for (int i = 0; i < 4 && result == SQLITE_ROW; i++) {
            const void *text = sqlite3_column_text(statement, i);
            int bytes = sqlite3_column_bytes(statement, i);
            sum = text != NULL ? kn_crc32c(sum, text, (size_t)bytes + 1) : sum;
        }
    }
    (void)sqlite3_finalize(statement); /* repeats what step said */
    if (result != SQLITE_DONE) {
        return frag_index_error(db, result);
    }
    *ret_sum = sum;
    return 0;
}

/* Of a new one. */
static int sum_new_schema(uint32_t *ret_sum) {
    sqlite3 *db = NULL;
    int result =
        sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    int rc = result == SQLITE_OK ? frag_index_upgrade(db, frag_index_steps())
                                 : frag_index_error(db, result);
    rc = rc == 0 ? sum_schema(db, ret_sum) : rc;
    (void)sqlite3_close(db); /* all statements are gone */
    return rc;
}

static int check_schema(struct frag_check *check) {
    uint32_t expected = 0;
    uint32_t found = 0;
    int rc = sum_new_schema(&expected);
    if (rc < 0) {
        return rc; /* has nothing to do with the store */
    }
    rc = sum_schema(check->index->db, &found);
    if (rc < 0) {
        return rc == -ENOMEM ? rc : tell_closed(check, rc);
    }
    return found == expected ? 0 : tell(check, "the tables of the index are others than ours", "");
}

/* ---- all ---- */

static int check_open(struct frag_check *check) {
    int rc = check_pages(check);
    rc = rc == 0 && check->index_whole ? check_schema(check) : rc;
    for (size_t i = 0; i < KN_COUNT(rules) && rc == 0 && check->index_whole; i++) {
        rc = check_rule(check, i);
    }
    return rc;
}

int frag_check_index(struct frag_check *check) {
    char path[FRAG_CHECK_PATH_BYTES];
    uint64_t bytes = file_bytes(check);
    check->index_path = strdup(frag_check_join(check->config->data, INDEX_FILE, path));
    if (check->index_path == NULL) {
        return -ENOMEM;
    }
    int rc = frag_index_open(check->index_path, FRAG_INDEX_READ, &check->index);
    if (rc == 0) {
        rc = check_open(check);
    } else if (frag_check_goes_on(check, rc)) {
        rc = tell_closed(check, rc);
    }
    rc = rc == 0 ? frag_check_advance(check, bytes) : rc;
    return rc == 0 ? frag_check_file_done(check) : rc;
}
