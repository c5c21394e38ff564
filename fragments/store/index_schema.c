#include "fragments/store/index_schema.h"

#include <sqlite3.h>
#include <stdint.h>

#include "base/error.h"
#include "fragments/store/index_inner.h"

/* A version more is a step more: CREATE, ALTER, INSERT ... SELECT; what has gone out never changes.
 */
static const char *const all_steps[] = {frag_index_schema_1};

struct frag_index_steps frag_index_steps(void) {
    return (struct frag_index_steps){.sql = all_steps, .count = (int)KN_COUNT(all_steps)};
}

/* The one number that `sql` gives. */
static int get_number(sqlite3 *db, const char *sql, int64_t *ret_number) {
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    if (rc == SQLITE_ROW) {
        *ret_number = sqlite3_column_int64(statement, 0);
        (void)sqlite3_finalize(statement); /* repeats what step said */
        return 0;
    }
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? KN_E_MALFORMED : frag_index_error(db, rc);
}

int frag_index_version(sqlite3 *db, int newest, int *ret_version) {
    int64_t version = 0;
    int64_t application = 0;
    int64_t objects = 0;
    int rc = get_number(db, "PRAGMA user_version", &version);
    rc = rc == 0 ? get_number(db, "PRAGMA application_id", &application) : rc;
    rc = rc == 0 ? get_number(db, "SELECT count(*) FROM sqlite_schema", &objects) : rc;
    if (rc != 0) {
        return rc;
    }
    bool empty = version == 0 && application == 0 && objects == 0;
    if (!empty && (application != FRAG_INDEX_APPLICATION_ID || version < 1)) {
        return KN_E_MALFORMED;
    }
    if (version > newest) {
        return KN_E_UNSUPPORTED;
    }
    *ret_version = (int)version;
    return 0;
}

static int run(sqlite3 *db, const char *sql) {
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : frag_index_error(db, rc);
}

/* Inside a transaction: the next step, if one is missing. 1: taken, 0: none is. */
static int take_step(sqlite3 *db, struct frag_index_steps steps) {
    char pragma[64];
    int version = 0;
    int rc = frag_index_version(db, steps.count, &version);
    if (rc != 0 || version == steps.count) {
        return rc;
    }
    rc = run(db, steps.sql[version]);
    /* user_version belongs to the transaction. PRAGMA takes no parameters. */
    (void)sqlite3_snprintf(sizeof(pragma), pragma, "PRAGMA user_version = %d", version + 1);
    rc = rc == 0 ? run(db, pragma) : rc;
    return rc == 0 ? 1 : rc;
}

int frag_index_upgrade(sqlite3 *db, struct frag_index_steps steps) {
    int rc = 1;
    while (rc > 0) {
        rc = run(db, "BEGIN IMMEDIATE");
        if (rc != 0) {
            return rc;
        }
        rc = take_step(db, steps);
        int ended = rc < 0 ? rc : run(db, "COMMIT");
        if (ended != 0) {
            (void)run(db, "ROLLBACK"); /* fails where SQLite has rolled back itself */
            return ended;
        }
    }
    return 0;
}
