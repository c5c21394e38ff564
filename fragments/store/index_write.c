/* What the index thread does inside its transaction. Each function first reads and checks, then
 * changes: what fails before the first change leaves the transaction as it was. */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "fragments/store/index_inner.h"

int frag_index_spoil(struct frag_index *index, int rc) {
    if (rc < 0 && index->spoiled == 0) {
        index->spoiled = rc;
    }
    return rc;
}

/* One statement with up to two numbers, no rows. */
static int run_with(struct frag_index *index, enum frag_index_sql sql, int64_t one,
                    const int64_t *two) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(index, sql, &statement);
    if (rc != 0) {
        return rc;
    }
    (void)sqlite3_bind_int64(statement, 1, one); /* allocates nothing */
    if (two != NULL) {
        (void)sqlite3_bind_int64(statement, 2, *two);
    }
    return frag_index_step(index, statement);
}

/* An INSERT or UPDATE of a reel's row. */
static int store_facts(struct frag_index *index, enum frag_index_sql sql,
                       const struct frag_index_facts *facts) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(index, sql, &statement);
    rc = rc == 0 ? frag_index_bind_facts(statement, sql, facts) : rc;
    return rc == 0 ? frag_index_step(index, statement) : rc;
}

static int add_stream(struct frag_index *index, const uint8_t id[static FRAG_ID_BYTES],
                      int64_t *ret_stream) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(index, FRAG_SQL_ADD_STREAM, &statement);
    if (rc != 0) {
        return rc;
    }
    if (sqlite3_bind_blob(statement, 1, id, FRAG_ID_BYTES, SQLITE_STATIC) != SQLITE_OK) {
        return -ENOMEM;
    }
    rc = frag_index_step(index, statement);
    if (rc == 0) {
        *ret_stream = sqlite3_last_insert_rowid(index->db);
    }
    return rc;
}

static int widen_stream(struct frag_index *index, const struct frag_index_facts *facts) {
    int64_t span = (int64_t)(facts->last_sequence - facts->first_sequence);
    return run_with(index, FRAG_SQL_WIDEN_STREAM, facts->stream, &span);
}

/* ---- adding reels ---- */

static int facts_of(const struct frag_index_reel *reel, enum frag_reel_state state,
                    struct frag_index_facts *ret_facts) {
    size_t bytes = strnlen(reel->path, FRAG_INDEX_PATH_BYTES);
    if (bytes == FRAG_INDEX_PATH_BYTES) {
        return -EINVAL;
    }
    *ret_facts = (struct frag_index_facts){
        .state = FRAG_REEL_OPEN,
        .folder = reel->folder,
        .bytes = reel->bytes,
        .identity = reel->identity,
    };
    memcpy(ret_facts->path, reel->path, bytes + 1);
    if (!frag_index_facts_can_be(ret_facts)) {
        return -EINVAL;
    }
    ret_facts->state = state;
    return 0;
}

/* Adds the stream too if it is new. */
static int add_facts(struct frag_index *index, struct frag_index_facts *facts, int64_t *ret_row) {
    struct frag_index_stream stream = {0};
    int rc = frag_index_get_stream(index, facts->identity.stream_id, &stream);
    if (rc != 0 && rc != -ENOENT) {
        return rc;
    }
    facts->stream = stream.row;
    if (rc == -ENOENT) {
        rc = add_stream(index, facts->identity.stream_id, &facts->stream);
    }
    if (rc != 0) {
        return frag_index_spoil(index, rc);
    }
    rc = store_facts(index, FRAG_SQL_ADD_REEL, facts);
    if (rc == -EEXIST) {
        int undone = run_with(index, FRAG_SQL_DROP_STREAM, facts->stream, NULL);
        return undone == 0 ? rc : frag_index_spoil(index, undone);
    }
    if (rc == 0) {
        *ret_row = sqlite3_last_insert_rowid(index->db);
    }
    return frag_index_spoil(index, rc);
}

int frag_index_add_reel(struct frag_index *index, const struct frag_index_reel *reel,
                        int64_t *ret_row) {
    KN_ASSERT(index->writing);
    struct frag_index_facts facts;
    int rc = facts_of(reel, FRAG_REEL_OPEN, &facts);
    return rc != 0 ? rc : add_facts(index, &facts, ret_row);
}

/* ---- packed tables ---- */

/* `table` ends with its checksum. */
static int add_packed(struct frag_index *index, const uint8_t *table, size_t bytes,
                      struct frag_index_facts *facts) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    struct kn_reader reader;
    kn_reader_init(&reader, table + bytes - 4, 4);
    facts->table_crc32c = kn_read_be32(&reader);
    int rc = frag_index_statement(index, FRAG_SQL_ADD_PACKED, &statement);
    if (rc != 0) {
        return rc;
    }
    /* Borrowed until the statement ends. */
    if (sqlite3_bind_blob64(statement, 1, table, bytes, SQLITE_STATIC) != SQLITE_OK) {
        return -ENOMEM;
    }
    rc = frag_index_step(index, statement);
    facts->packed = sqlite3_last_insert_rowid(index->db);
    return rc;
}

/* Every row, as if it were added to the open reel. */
static int append_table(struct frag_index_facts *facts, const uint8_t *data, size_t bytes) {
    struct frag_reel_table table;
    struct frag_reel_row row;
    if (bytes > FRAG_INDEX_TABLE_MAX) {
        return KN_E_LIMIT;
    }
    int rc = frag_reel_table_open(&table, data, bytes, facts->identity.number_low);
    if (rc != 0) {
        return rc == KN_E_TRUNCATED ? KN_E_MALFORMED : rc;
    }
    while ((rc = frag_reel_table_next(&table, &row)) == 1) {
        rc = frag_index_facts_append(facts, &row);
        if (rc != 0) {
            return rc == -EINVAL ? KN_E_MALFORMED : rc;
        }
    }
    return rc;
}

int frag_index_add_closed_reel(struct frag_index *index, const struct frag_index_reel *reel,
                               const void *table, size_t table_bytes, int64_t *ret_row) {
    KN_ASSERT(index->writing);
    struct frag_index_facts facts;
    int rc = facts_of(reel, FRAG_REEL_CLOSED, &facts);
    if (rc != 0) {
        return rc;
    }
    facts.bytes = 0; /* where clusters begin in it, its table says */
    rc = append_table(&facts, table, table_bytes);
    if (rc != 0) {
        return rc;
    }
    if (facts.bytes > reel->bytes) {
        return KN_E_MALFORMED;
    }
    facts.bytes = reel->bytes;
    rc = add_packed(index, table, table_bytes, &facts);
    if (rc != 0) {
        return frag_index_spoil(index, rc);
    }
    int64_t row = 0;
    rc = add_facts(index, &facts, &row);
    if (rc == -EEXIST) {
        int undone = run_with(index, FRAG_SQL_DROP_PACKED, facts.packed, NULL);
        return undone == 0 ? rc : frag_index_spoil(index, undone);
    }
    rc = rc == 0 ? frag_index_spoil(index, widen_stream(index, &facts)) : rc;
    if (rc == 0) {
        *ret_row = row;
    }
    return rc;
}

/* ---- open reels ---- */

static int get_open(struct frag_index *index, int64_t reel, struct frag_index_facts *ret_facts) {
    int rc = frag_index_get_facts(index, reel, ret_facts);
    return rc == 0 && ret_facts->state != FRAG_REEL_OPEN ? -EINVAL : rc;
}

static int insert_fragment(struct frag_index *index, int64_t reel,
                           const struct frag_reel_row *row) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(index, FRAG_SQL_ADD_FRAGMENT, &statement);
    rc = rc == 0 ? frag_index_bind_fragment(statement, reel, row) : rc;
    return rc == 0 ? frag_index_step(index, statement) : rc;
}

int frag_index_add_fragment(struct frag_index *index, int64_t reel,
                            const struct frag_reel_row *row) {
    KN_ASSERT(index->writing);
    struct frag_index_facts before;
    int rc = get_open(index, reel, &before);
    if (rc != 0) {
        return rc;
    }
    struct frag_index_facts facts = before;
    rc = frag_index_facts_append(&facts, row);
    if (rc != 0) {
        return rc;
    }
    bool same_beginning =
        before.fragments > 0 && memcmp(before.min_ns, facts.min_ns, sizeof(facts.min_ns)) == 0;
    rc = insert_fragment(index, reel, row);
    if (rc == -EEXIST || rc == -EINVAL) {
        rc = KN_E_MALFORMED; /* a row stands where the reel says there is none */
    }
    rc = rc == 0
             ? store_facts(index, same_beginning ? FRAG_SQL_UPDATE_REEL_END : FRAG_SQL_UPDATE_REEL,
                           &facts)
             : rc;
    rc = rc == 0 ? widen_stream(index, &facts) : rc;
    return frag_index_spoil(index, rc);
}

/* All rows of the reel, for packing. `ret_rows` is the caller's to free. */
static int load_rows(struct frag_index *index, const struct frag_index_facts *facts,
                     struct frag_reel_row **ret_rows) {
    size_t count = facts->fragments;
    size_t loaded = 0;
    struct frag_index_cursor cursor;
    struct frag_reel_row *rows = calloc(count + 1, sizeof(*rows));
    if (rows == NULL) {
        return -ENOMEM;
    }
    int rc = frag_index_cursor_begin(&cursor, index, facts, 0);
    rc = rc == 0 ? 1 : rc;
    while (rc == 1 && loaded <= count) {
        rc = frag_index_cursor_next(&cursor, &rows[loaded]);
        loaded += rc == 1 ? 1 : 0;
    }
    frag_index_cursor_end(&cursor);
    if (rc < 0 || loaded != count) {
        free(rows);
        return rc < 0 ? rc : KN_E_MALFORMED;
    }
    *ret_rows = rows;
    return 0;
}

/* `table` is growing and the caller's to finish. */
static int pack_rows(struct frag_index *index, const struct frag_index_facts *facts,
                     struct kn_writer *table) {
    struct frag_reel_row *rows = NULL;
    int rc = load_rows(index, facts, &rows);
    if (rc != 0) {
        return rc;
    }
    frag_reel_pack_table(table, rows, facts->fragments);
    free(rows);
    return kn_writer_status(table);
}

int frag_index_close_reel(struct frag_index *index, int64_t reel, uint64_t bytes) {
    KN_ASSERT(index->writing);
    KN_CLEANUP(kn_writer_finish) struct kn_writer table = {0};
    struct frag_index_facts facts;
    int rc = get_open(index, reel, &facts);
    if (rc != 0) {
        return rc;
    }
    if (bytes < facts.bytes || bytes > INT64_MAX) {
        return -EINVAL;
    }
    kn_writer_init_growing(&table, FRAG_INDEX_TABLE_MAX);
    rc = pack_rows(index, &facts, &table);
    if (rc != 0) {
        return rc;
    }
    facts.bytes = bytes;
    facts.state = FRAG_REEL_CLOSED;
    rc = add_packed(index, table.data, table.size, &facts);
    rc = rc == 0 ? store_facts(index, FRAG_SQL_UPDATE_REEL_END, &facts) : rc;
    rc = rc == 0 ? run_with(index, FRAG_SQL_DROP_FRAGMENTS, reel, NULL) : rc;
    return frag_index_spoil(index, rc);
}

/* ---- deleting ---- */

int frag_index_mark_deleting(struct frag_index *index, int64_t reel) {
    KN_ASSERT(index->writing);
    struct frag_index_facts facts;
    int rc = frag_index_get_facts(index, reel, &facts);
    if (rc != 0 || facts.state == FRAG_REEL_DELETING) {
        return rc;
    }
    facts.state = FRAG_REEL_DELETING;
    return frag_index_spoil(index, store_facts(index, FRAG_SQL_UPDATE_REEL_END, &facts));
}

int frag_index_drop_reel(struct frag_index *index, int64_t reel) {
    KN_ASSERT(index->writing);
    struct frag_index_facts facts;
    int rc = frag_index_get_facts(index, reel, &facts);
    if (rc != 0) {
        return rc;
    }
    rc = run_with(index, facts.packed != 0 ? FRAG_SQL_DROP_PACKED : FRAG_SQL_DROP_FRAGMENTS,
                  facts.packed != 0 ? facts.packed : reel, NULL);
    rc = rc == 0 && (facts.identity.flags & FRAG_REEL_RECORDS) != 0
             ? run_with(index, FRAG_SQL_DROP_KEYS, reel, NULL)
             : rc;
    rc = rc == 0 ? run_with(index, FRAG_SQL_DROP_REEL, reel, NULL) : rc;
    rc = rc == 0 ? run_with(index, FRAG_SQL_DROP_STREAM, facts.stream, NULL) : rc;
    return frag_index_spoil(index, rc);
}
