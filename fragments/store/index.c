/* The connection: opening, statements, transactions, SQLite's errors as ours. */
#include "fragments/store/index.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "fragments/store/index_inner.h"
#include "fragments/store/index_schema.h"

/* How long another program may hold the file: a checkpoint, a second writer by mistake. */
#define BUSY_MS 1000

/* Pages of the log after which it is copied into the file (8 MiB). No read is long, so the log
 * stays near that size. */
#define LOG_PAGES 512

/* Sizes in rows and names are untrusted. */
#define SET_UP                                                                                     \
    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA synchronous = NORMAL;"       \
    "PRAGMA journal_size_limit = 16777216; PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY"
/* Large pages, because a packed table is a row of 2 to 3 KB and rows are not cut: at 4 KiB a third
 * of the file would be the rest of pages. */
#define SET_UP_NEW "PRAGMA page_size = 16384"

/* ---- statements ---- */

#define REEL_COLUMNS                                                                               \
    "reel, stream, state, folder, path, bytes, fragments, flags, store_id,"                        \
    " (SELECT id FROM stream WHERE stream.stream = reel.stream), reel_id, session_id, epoch,"      \
    " opened_ns, producer_start_ns, timecode_scale_ns, number_low, producer_header_bytes,"         \
    " first_sequence, last_sequence, first_ordinal, last_ordinal, discontinuities,"                \
    " producer_min_ns, producer_max_ns, server_min_ns, server_max_ns, packed, table_crc32c, sum"
#define SELECT_REEL "SELECT " REEL_COLUMNS " FROM reel "
/* State 2 is deleting. */
#define FOUND " AND state <> 2 "

/* The newest beginnings first. ?1 stream, ?2 the instant. */
#define REELS_DOWN(clock)                                                                          \
    SELECT_REEL "INDEXED BY reel_by_" clock " WHERE stream = ?1 AND " clock "_min_ns <= ?2" FOUND  \
                "ORDER BY " clock "_min_ns DESC"

/* Reels that may have rows of a range: ?1 stream, ?2 lowest minimum, ?3 from, ?4 to, ?5 after, ?6
 * lowest first sequence. Few are sorted; many are met in order of their numbers. */
#define COUNT(clock)                                                                               \
    "SELECT count(*) FROM (SELECT 1 FROM reel INDEXED BY reel_by_" clock                           \
    " WHERE stream = ?1 AND " clock "_min_ns BETWEEN ?2 AND ?4 AND ?3 IS NOT NULL"                 \
    " AND ?5 IS NOT NULL AND ?6 IS NOT NULL LIMIT 1001)"
#define RANGE(index, clock)                                                                        \
    "SELECT reel, first_sequence FROM reel INDEXED BY reel_by_" index                              \
    " WHERE stream = ?1 AND " clock "_min_ns BETWEEN ?2 AND ?4 AND " clock "_max_ns >= ?3"         \
    " AND last_sequence > ?5 AND first_sequence >= ?6" FOUND "ORDER BY first_sequence, reel"

static const char *const statements[FRAG_SQL_ALL] = {
    [FRAG_SQL_BEGIN] = "BEGIN",
    [FRAG_SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [FRAG_SQL_COMMIT] = "COMMIT",
    [FRAG_SQL_ROLLBACK] = "ROLLBACK",
    [FRAG_SQL_GET_STREAM] = "SELECT stream, sequence_span FROM stream WHERE id = ?1",
    [FRAG_SQL_ADD_STREAM] = "INSERT INTO stream (id, sequence_span) VALUES (?1, 0)",
    [FRAG_SQL_WIDEN_STREAM] =
        "UPDATE stream SET sequence_span = ?2 WHERE stream = ?1 AND sequence_span < ?2",
    [FRAG_SQL_DROP_STREAM] = "DELETE FROM stream WHERE stream = ?1"
                             " AND NOT EXISTS (SELECT 1 FROM reel WHERE stream = ?1)",
    [FRAG_SQL_GET_REEL] = SELECT_REEL "WHERE reel = ?1",
    [FRAG_SQL_FIND_REEL] = SELECT_REEL "WHERE reel_id = ?1",
    [FRAG_SQL_ADD_REEL] =
        "INSERT INTO reel (state, bytes, fragments, last_sequence, last_ordinal, discontinuities,"
        " producer_max_ns, server_max_ns, packed, table_crc32c, sum, first_sequence, first_ordinal,"
        " producer_min_ns, server_min_ns, stream, folder, path, flags, store_id, reel_id,"
        " session_id, epoch, opened_ns, producer_start_ns, timecode_scale_ns, number_low,"
        " producer_header_bytes) VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
        " ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)",
    /* Only where the indexed columns change: SQLite writes the indexes of all that is set. */
    [FRAG_SQL_UPDATE_REEL] =
        "UPDATE reel SET state = ?2, bytes = ?3, fragments = ?4, last_sequence = ?5,"
        " last_ordinal = ?6, discontinuities = ?7, producer_max_ns = ?8, server_max_ns = ?9,"
        " packed = ?10, table_crc32c = ?11, sum = ?12, first_sequence = ?13, first_ordinal = ?14,"
        " producer_min_ns = ?15, server_min_ns = ?16 WHERE reel = ?1",
    [FRAG_SQL_UPDATE_REEL_END] =
        "UPDATE reel SET state = ?2, bytes = ?3, fragments = ?4, last_sequence = ?5,"
        " last_ordinal = ?6, discontinuities = ?7, producer_max_ns = ?8, server_max_ns = ?9,"
        " packed = ?10, table_crc32c = ?11, sum = ?12 WHERE reel = ?1",
    [FRAG_SQL_DROP_REEL] = "DELETE FROM reel WHERE reel = ?1",
    [FRAG_SQL_EACH_REEL] = SELECT_REEL "WHERE reel > ?1 ORDER BY reel LIMIT ?2",
    /* Out of the index alone. NULL, of reels without fragments, comes first. */
    [FRAG_SQL_REELS_OF] = "SELECT reel, server_min_ns FROM reel INDEXED BY reel_by_server"
                          " WHERE stream = ?1 ORDER BY server_min_ns, reel",
    [FRAG_SQL_REELS_DOWN_BY_SEQUENCE] =
        SELECT_REEL "INDEXED BY reel_by_sequence WHERE stream = ?1 AND first_sequence <= ?2" FOUND
                    "ORDER BY first_sequence DESC",
    [FRAG_SQL_REELS_UP_BY_SEQUENCE] =
        SELECT_REEL "INDEXED BY reel_by_sequence WHERE stream = ?1 AND first_sequence >= ?2" FOUND
                    "ORDER BY first_sequence",
    [FRAG_SQL_REELS_DOWN_BY_PRODUCER] = REELS_DOWN("producer"),
    [FRAG_SQL_REELS_DOWN_BY_SERVER] = REELS_DOWN("server"),
    [FRAG_SQL_COUNT_BY_PRODUCER] = COUNT("producer"),
    [FRAG_SQL_COUNT_BY_SERVER] = COUNT("server"),
    [FRAG_SQL_RANGE_FEW_PRODUCER] = RANGE("producer", "producer"),
    [FRAG_SQL_RANGE_FEW_SERVER] = RANGE("server", "server"),
    [FRAG_SQL_RANGE_MANY_PRODUCER] = RANGE("sequence", "producer"),
    [FRAG_SQL_RANGE_MANY_SERVER] = RANGE("sequence", "server"),
    [FRAG_SQL_GET_PACKED] = "SELECT data FROM packed WHERE packed = ?1",
    [FRAG_SQL_ADD_PACKED] = "INSERT INTO packed (data) VALUES (?1)",
    [FRAG_SQL_DROP_PACKED] = "DELETE FROM packed WHERE packed = ?1",
    [FRAG_SQL_GET_FRAGMENTS] =
        "SELECT reel, sequence, server_ms, ordinal, discontinuities, cluster_at, cluster_bytes,"
        " trailer_bytes, producer_ns, server_ns, duration_ns, flags, sum FROM fragment"
        " WHERE reel = ?1 AND sequence > ?2 ORDER BY sequence",
    [FRAG_SQL_ADD_FRAGMENT] =
        "INSERT INTO fragment (reel, sequence, server_ms, ordinal, discontinuities, cluster_at,"
        " cluster_bytes, trailer_bytes, producer_ns, server_ns, duration_ns, flags, sum)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    [FRAG_SQL_DROP_FRAGMENTS] = "DELETE FROM fragment WHERE reel = ?1",
    [FRAG_SQL_ADD_KEY] = "INSERT INTO record_key (reel, slot, key, sequence, sum)"
                         " VALUES (?1, ?2, ?3, ?4, ?5)",
    [FRAG_SQL_FIND_KEY] = "SELECT slot, key, sequence, sum FROM record_key WHERE reel = ?1"
                          " AND slot = ?2 AND key = ?3 AND sequence > ?4 ORDER BY sequence",
    [FRAG_SQL_KEYS_OF] = "SELECT slot, key, sequence, sum FROM record_key WHERE reel = ?1",
    [FRAG_SQL_COUNT_KEYS] = "SELECT count(*) FROM record_key WHERE reel = ?1",
    [FRAG_SQL_DROP_KEYS] = "DELETE FROM record_key WHERE reel = ?1",
};

/* What the system said, where SQLite asked it. */
static int system_error(sqlite3 *db, int otherwise) {
    int error = db != NULL ? sqlite3_system_errno(db) : 0;
    return error > 0 ? -error : otherwise;
}

int frag_index_error(sqlite3 *db, int rc) {
    switch (rc) {
    case SQLITE_IOERR_NOMEM:
        return -ENOMEM;
    case SQLITE_IOERR_SHORT_READ: /* the file ends inside a page */
    case SQLITE_IOERR_CORRUPTFS:
        return KN_E_MALFORMED;
    case SQLITE_CONSTRAINT_UNIQUE:
        return -EEXIST;
    default:
        break;
    }
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return system_error(db, -EIO);
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    default:
        /* CORRUPT, NOTADB, TOOBIG; ERROR and SCHEMA: tables are not as they were made; CONSTRAINT:
         * a row that is there was not written here. */
        return KN_E_MALFORMED;
    }
}

int frag_index_statement(struct frag_index *index, enum frag_index_sql sql,
                         sqlite3_stmt **ret_statement) {
    if (index->statements[sql] == NULL) {
        int rc = sqlite3_prepare_v3(index->db, statements[sql], -1, SQLITE_PREPARE_PERSISTENT,
                                    &index->statements[sql], NULL);
        if (rc != SQLITE_OK) {
            return frag_index_error(index->db, rc);
        }
    }
    *ret_statement = index->statements[sql];
    return 0;
}

void frag_index_end_statement(sqlite3_stmt **statement) {
    (void)sqlite3_reset(*statement); /* repeats what step said; NULL is fine */
}

int frag_index_step(struct frag_index *index, sqlite3_stmt *statement) {
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        return 1;
    }
    return rc == SQLITE_DONE ? 0 : frag_index_error(index->db, rc);
}

int frag_index_run(struct frag_index *index, enum frag_index_sql sql) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(index, sql, &statement);
    return rc != 0 ? rc : frag_index_step(index, statement);
}

/* ---- opening ---- */

/* As the reels: not for everybody. SQLite gives log and shared memory the same mode. */
static int make_file(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0) {
        /* Anything else wrong with it shows in a moment. An existing file is not opened here:
         * closing it would drop this process's locks on it. */
        return errno == EEXIST ? 0 : -errno;
    }
    (void)close(fd); /* nothing was written */
    return 0;
}

static int set_up(sqlite3 *db) {
    (void)sqlite3_busy_timeout(db, BUSY_MS); /* cannot fail on an open connection */
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL); /* nor can this */
    (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, (int)FRAG_INDEX_TABLE_MAX + 4096);
    int rc = sqlite3_exec(db, SET_UP, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : frag_index_error(db, rc);
}

/* Stays in the file once it is set. */
static int use_wal(sqlite3 *db, bool is_new) {
    sqlite3_stmt *statement = NULL;
    int rc = is_new ? sqlite3_exec(db, SET_UP_NEW, NULL, NULL, NULL) : SQLITE_OK;
    if (rc == SQLITE_OK) {
        rc = sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    bool wal = rc == SQLITE_ROW && sqlite3_column_type(statement, 0) == SQLITE_TEXT &&
               strcmp((const char *)sqlite3_column_text(statement, 0), "wal") == 0;
    (void)sqlite3_finalize(statement); /* repeats what step said */
    if (rc == SQLITE_ROW) {
        return wal ? 0 : KN_E_UNSUPPORTED;
    }
    return frag_index_error(db, rc);
}

/* Nothing is written to a newer version, or to what is no index. */
static int check_version(sqlite3 *db, enum frag_index_mode mode) {
    struct frag_index_steps steps = frag_index_steps();
    int version = 0;
    int rc = frag_index_version(db, steps.count, &version);
    if (rc != 0) {
        return rc;
    }
    if (mode == FRAG_INDEX_READ) {
        return version == 0 ? -ENOENT : version < steps.count ? KN_E_UNSUPPORTED : 0;
    }
    rc = use_wal(db, version == 0);
    return rc != 0 || version == steps.count ? rc : frag_index_upgrade(db, steps);
}

/* SQLite calls it after each commit, in place of its own checkpoint, which keeps failures to
 * itself. */
static int note_log_pages(void *user, sqlite3 *db, const char *name, int pages) {
    struct frag_index *index = user;
    (void)db;
    (void)name;
    index->log_pages = pages;
    return SQLITE_OK;
}

/* On a connection without db; a failed one has it closed again. */
static int connect_to(struct frag_index *index, const char *name, int flags) {
    int rc = sqlite3_open_v2(name, &index->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                             NULL);
    rc = rc == SQLITE_OK ? 0 : frag_index_error(index->db, rc);
    rc = rc == 0 ? set_up(index->db) : rc;
    rc = rc == 0 ? check_version(index->db, index->mode) : rc;
    if (rc != 0) {
        (void)sqlite3_close(index->db); /* has no statements yet */
        index->db = NULL;
    }
    return rc;
}

/* Where SQLite cannot make its shared memory beside the file. `failure`: what it said. */
static int connect_unwritable(struct frag_index *index, const char *path, int failure) {
    char *uri = NULL;
    int rc = frag_index_unwritable(path, failure, &uri);
    if (rc == 0) {
        rc = connect_to(index, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
        free(uri);
    }
    return rc;
}

int frag_index_open(const char *path, enum frag_index_mode mode, struct frag_index **ret_index) {
    int flags = mode == FRAG_INDEX_WRITE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                         : SQLITE_OPEN_READONLY;
    int rc = mode == FRAG_INDEX_WRITE ? make_file(path) : 0;
    /* That there is no such folder, SQLite's VFS will say too, if it keeps files in folders. */
    if (rc != 0 && rc != -ENOENT) {
        return rc;
    }
    struct frag_index *index = calloc(1, sizeof(*index));
    if (index == NULL) {
        return -ENOMEM;
    }
    index->mode = mode;
    index->seen_from_ns = INT64_MIN;
    rc = connect_to(index, path, flags);
    if (mode == FRAG_INDEX_READ && rc != 0) {
        rc = connect_unwritable(index, path, rc);
    }
    if (rc != 0) {
        goto fail;
    }
    (void)sqlite3_wal_hook(index->db, note_log_pages,
                           index); /* gives the one before: SQLite's own */
    *ret_index = index;
    return 0;
fail:
    frag_index_close(index);
    return rc;
}

void frag_index_close(struct frag_index *index) {
    if (index == NULL) {
        return;
    }
    if (index->writing) {
        frag_index_rollback(index);
    }
    for (size_t i = 0; i < KN_COUNT(index->statements); i++) {
        (void)sqlite3_finalize(index->statements[i]); /* nothing of them is wanted any more */
    }
    if (index->mode == FRAG_INDEX_WRITE && index->db != NULL && index->sync_failed == 0) {
        /* A reader or a full disk may prevent it: then the log stays for the next one. */
        (void)sqlite3_wal_checkpoint_v2(index->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    int rc = sqlite3_close(index->db);
    KN_ASSERT(rc == SQLITE_OK); /* all statements are gone */
    free(index);
}

/* ---- transactions ---- */

int frag_index_begin(struct frag_index *index) {
    KN_ASSERT(!index->writing);
    if (index->mode != FRAG_INDEX_WRITE) {
        return -EROFS;
    }
    if (index->sync_failed != 0) {
        return index->sync_failed;
    }
    int rc = frag_index_run(index, FRAG_SQL_BEGIN_WRITE);
    index->writing = rc == 0;
    index->spoiled = 0;
    return rc;
}

void frag_index_rollback(struct frag_index *index) {
    KN_ASSERT(index->writing);
    index->writing = false;
    /* After some failures SQLite has rolled back itself. Where a rollback fails, nothing was
     * committed either, and whatever is left of it ends with the next try or the connection. */
    if (sqlite3_get_autocommit(index->db) == 0) {
        (void)frag_index_run(index, FRAG_SQL_ROLLBACK);
    }
}

/* After a failed sync the kernel may take for written what it has lost, and the next sync succeeds.
 */
static void note_sync(struct frag_index *index, int rc) {
    if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC) {
        index->sync_failed = -EIO;
    }
}

/* PRAGMA synchronous cannot change inside a transaction, and at its beginning nobody knows yet that
 * the commit will have to be durable. So commits are written as with NORMAL, which syncs the head
 * of a new log, its folder and each checkpoint, and a durable one then syncs the log by the call
 * that FULL makes. All earlier commits become durable with it. */
static void sync_log(struct frag_index *index) {
    sqlite3_file *log = NULL;
    int rc = sqlite3_file_control(index->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (rc != SQLITE_OK || log == NULL || log->pMethods == NULL) {
        index->sync_failed = -EIO; /* a log is open, or nothing could have been committed */
        return;
    }
    if (log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) != SQLITE_OK) {
        index->sync_failed = -EIO;
    }
}

/* The commit itself holds whatever this says: a reader in the way, a full disk: later then. */
static void check_point(struct frag_index *index) {
    if (index->log_pages >= LOG_PAGES) {
        note_sync(index, sqlite3_wal_checkpoint_v2(index->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
                                                   NULL));
    }
}

int frag_index_commit(struct frag_index *index, bool durable) {
    KN_ASSERT(index->writing);
    int rc = index->spoiled;
    if (rc == 0 && sqlite3_get_autocommit(index->db) != 0) {
        rc = -EIO; /* rolled back under our feet, and no call has said so */
    }
    if (rc == 0) {
        rc = frag_index_run(index, FRAG_SQL_COMMIT);
        note_sync(index, rc == 0 ? SQLITE_OK : sqlite3_extended_errcode(index->db));
    }
    if (rc != 0) {
        frag_index_rollback(index);
        return rc;
    }
    index->writing = false;
    if (durable) {
        sync_log(index);
        rc = index->sync_failed;
    }
    check_point(index);
    return rc;
}

int frag_index_begin_read(struct frag_index *index) {
    return index->writing ? 0 : frag_index_run(index, FRAG_SQL_BEGIN);
}

void frag_index_end_read(struct frag_index *index) {
    /* Nothing was written that could be lost. */
    if (!index->writing && sqlite3_get_autocommit(index->db) == 0) {
        (void)frag_index_run(index, FRAG_SQL_COMMIT);
    }
}
