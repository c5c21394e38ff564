/* What the files of the index share: the connection and its prepared statements, reel rows and
 * fragment rows as structs, a cursor over one reel. Same thread rule as the face. */
#ifndef FRAGMENTS_STORE_INDEX_INNER_H
#define FRAGMENTS_STORE_INDEX_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "fragments/records.h"
#include "fragments/store/index.h"

struct sqlite3;
struct sqlite3_stmt;

/* Of a packed table, and so of what a damaged row can make us allocate. */
#define FRAG_INDEX_TABLE_MAX (16u * 1024u * 1024u)

/* ---- the connection ---- */

/* Each is prepared once, at its first use. */
enum frag_index_sql {
    FRAG_SQL_BEGIN,
    FRAG_SQL_BEGIN_WRITE,
    FRAG_SQL_COMMIT,
    FRAG_SQL_ROLLBACK,
    FRAG_SQL_GET_STREAM,
    FRAG_SQL_ADD_STREAM,
    FRAG_SQL_WIDEN_STREAM,
    FRAG_SQL_DROP_STREAM,
    FRAG_SQL_GET_REEL,
    FRAG_SQL_FIND_REEL,
    FRAG_SQL_ADD_REEL,
    FRAG_SQL_UPDATE_REEL,
    FRAG_SQL_UPDATE_REEL_END,
    FRAG_SQL_DROP_REEL,
    FRAG_SQL_EACH_REEL,
    FRAG_SQL_REELS_OF,
    FRAG_SQL_REELS_DOWN_BY_SEQUENCE,
    FRAG_SQL_REELS_UP_BY_SEQUENCE,
    FRAG_SQL_REELS_DOWN_BY_PRODUCER,
    FRAG_SQL_REELS_DOWN_BY_SERVER,
    FRAG_SQL_COUNT_BY_PRODUCER,
    FRAG_SQL_COUNT_BY_SERVER,
    FRAG_SQL_RANGE_FEW_PRODUCER,
    FRAG_SQL_RANGE_FEW_SERVER,
    FRAG_SQL_RANGE_MANY_PRODUCER,
    FRAG_SQL_RANGE_MANY_SERVER,
    FRAG_SQL_GET_PACKED,
    FRAG_SQL_ADD_PACKED,
    FRAG_SQL_DROP_PACKED,
    FRAG_SQL_GET_FRAGMENTS,
    FRAG_SQL_ADD_FRAGMENT,
    FRAG_SQL_DROP_FRAGMENTS,
    FRAG_SQL_ADD_KEY,
    FRAG_SQL_FIND_KEY,
    FRAG_SQL_KEYS_OF,
    FRAG_SQL_COUNT_KEYS,
    FRAG_SQL_DROP_KEYS,
    FRAG_SQL_ALL
};

struct frag_index {
    struct sqlite3 *db;
    enum frag_index_mode mode;
    bool writing;
    int spoiled; /* the failure that left this transaction half done: it can only be rolled back */
    int sync_failed;      /* never retried: nothing more is written through this connection */
    int log_pages;        /* in the log after the last commit */
    int64_t seen_from_ns; /* lookups leave out what is older (frag_index_see_from) */
    struct sqlite3_stmt *statements[FRAG_SQL_ALL];
};

/* An index could not be opened to be read (`failure`). 0, and a URI under which it can be, to be
 * freed: the folder is not to be written to, and the log has nothing. Else why it stays closed. */
KN_MUST_CHECK int frag_index_unwritable(const char *path, int failure, char **ret_uri);
/* SQLite's result as ours. */
int frag_index_error(struct sqlite3 *db, int rc);
/* 0 and the statement, which ends with frag_index_end_statement on every path. */
KN_MUST_CHECK int frag_index_statement(struct frag_index *index, enum frag_index_sql sql,
                                       struct sqlite3_stmt **ret_statement);
/* For KN_CLEANUP. */
void frag_index_end_statement(struct sqlite3_stmt **statement);
/* 1: a row, 0: the end, or an error. */
KN_MUST_CHECK int frag_index_step(struct frag_index *index, struct sqlite3_stmt *statement);
/* A statement without parameters and rows. */
KN_MUST_CHECK int frag_index_run(struct frag_index *index, enum frag_index_sql sql);

/* One snapshot for all that a call reads. Inside a write transaction that is the snapshot. */
KN_MUST_CHECK int frag_index_begin_read(struct frag_index *index);
void frag_index_end_read(struct frag_index *index);

/* For a failure after the first change of a call; gives `rc`. */
int frag_index_spoil(struct frag_index *index, int rc);

/* ---- columns: read like bytes, from left to right, one check at the end ---- */

struct frag_index_columns {
    struct sqlite3_stmt *statement;
    int at;
    bool failed; /* a column was of another type or outside its range */
};

int64_t frag_index_take_i64(struct frag_index_columns *columns, int64_t least, int64_t most);
uint64_t frag_index_take_u64(struct frag_index_columns *columns, uint64_t most);
/* NULL columns are 0 too. */
int64_t frag_index_take_or_null(struct frag_index_columns *columns, int64_t least, int64_t most);
void frag_index_take_id(struct frag_index_columns *columns, uint8_t id[static FRAG_ID_BYTES]);

/* ---- streams ---- */

struct frag_index_stream {
    int64_t row;
    uint64_t sequence_span;
};

KN_MUST_CHECK int frag_index_get_stream(struct frag_index *index,
                                        const uint8_t id[static FRAG_ID_BYTES],
                                        struct frag_index_stream *ret_stream);

/* ---- reel rows ---- */

/* All of a row. With no fragments first_sequence and what follows are 0. */
struct frag_index_facts {
    int64_t row;
    int64_t stream;
    enum frag_reel_state state;
    uint16_t folder;
    char path[FRAG_INDEX_PATH_BYTES];
    uint64_t bytes;
    uint64_t fragments;
    struct frag_reel_identity identity;
    uint64_t first_sequence, last_sequence;
    uint64_t first_ordinal, last_ordinal;
    uint64_t discontinuities;
    int64_t min_ns[2], max_ns[2]; /* by enum frag_clock */
    int64_t packed;               /* 0: its fragments have rows of their own */
    uint32_t table_crc32c;
};

/* From a statement that gives FRAG_INDEX_REEL_COLUMNS. 0, or KN_E_MALFORMED for what no writer here
 * has written. */
KN_MUST_CHECK int frag_index_load_facts(struct sqlite3_stmt *statement,
                                        struct frag_index_facts *ret_facts);
/* 0, -ENOENT, or an error. */
KN_MUST_CHECK int frag_index_get_facts(struct frag_index *index, int64_t reel,
                                       struct frag_index_facts *ret_facts);
/* May this be looked up, with this path and identity? */
bool frag_index_facts_can_be(const struct frag_index_facts *facts);
/* Do lookups see any, or all, of the reel's fragments, or this one? */
bool frag_index_sees_any(const struct frag_index *index, const struct frag_index_facts *facts);
bool frag_index_sees_all(const struct frag_index *index, const struct frag_index_facts *facts);
bool frag_index_sees(const struct frag_index *index, const struct frag_index_facts *facts,
                     const struct frag_reel_row *row);
/* Takes a fragment at the end into the facts. 0; -EINVAL, and facts as before: it does not follow;
 * KN_E_LIMIT: the reel is full. */
KN_MUST_CHECK int frag_index_facts_append(struct frag_index_facts *facts,
                                          const struct frag_reel_row *row);
/* As a face's struct, which borrows the path. */
struct frag_index_reel frag_index_reel_of(const struct frag_index_facts *facts);
/* Binds all but row, stream and identity for the two UPDATEs, or all for the INSERT. */
KN_MUST_CHECK int frag_index_bind_facts(struct sqlite3_stmt *statement, enum frag_index_sql sql,
                                        const struct frag_index_facts *facts);

/* ---- fragments of one reel ---- */

/* Rows of a reel in its order, from its packed table or from rows of their own. Inside one read; a
 * connection has one at a time. */
struct frag_index_cursor {
    struct frag_index *index;
    const struct frag_index_facts *facts; /* borrowed */
    struct sqlite3_stmt *statement;       /* holds the packed table's bytes, or gives rows */
    struct frag_reel_table table;
    uint64_t after;
};

/* Rows with a sequence above `after`. End it also after a failure; a zeroed one is fine too. */
KN_MUST_CHECK int frag_index_cursor_begin(struct frag_index_cursor *cursor,
                                          struct frag_index *index,
                                          const struct frag_index_facts *facts, uint64_t after);
void frag_index_cursor_end(struct frag_index_cursor *cursor);
/* 1: a row; 0: the end; KN_E_MALFORMED, or an error. */
KN_MUST_CHECK int frag_index_cursor_next(struct frag_index_cursor *cursor,
                                         struct frag_reel_row *ret_row);
KN_MUST_CHECK int frag_index_bind_fragment(struct sqlite3_stmt *statement, int64_t reel,
                                           const struct frag_reel_row *row);

/* ---- batches of one reel that have a key (index_keys.c) ---- */

/* Their sequences in rising order. Inside one read; a connection has one at a time. */
struct frag_index_keyed {
    struct frag_index *index;
    struct sqlite3_stmt *statement;
    int64_t reel;
    struct frag_record_key key;
    uint64_t next;
};

/* 1 and the first one above `after` in `next`; 0: none; KN_E_MALFORMED, or an error. End it also
 * after a failure. */
KN_MUST_CHECK int frag_index_keyed_begin(struct frag_index_keyed *keyed, struct frag_index *index,
                                         int64_t reel, const struct frag_record_key *key,
                                         uint64_t after);
void frag_index_keyed_end(struct frag_index_keyed *keyed);
/* The same for the following one. */
KN_MUST_CHECK int frag_index_keyed_next(struct frag_index_keyed *keyed);

#endif
