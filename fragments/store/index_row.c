/* Rows as structs. Every row carries a checksum, so that a flipped bit is found and not served. */
#include <errno.h>
#include <sqlite3.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc.h"
#include "base/error.h"
#include "fragments/store/index_inner.h"
#include "fragments/store/reel_inner.h"

#define NUMBER_LOW_MAX 0x0fffffffu
#define FLAGS_ALL (FRAG_REEL_KEPT | FRAG_REEL_RECORDS | FRAG_REEL_RELATIVE)

/* ---- columns ---- */

static int64_t take(struct frag_index_columns *columns, int64_t least, int64_t most, bool or_null) {
    int at = columns->at++;
    int type = sqlite3_column_type(columns->statement, at);
    if (or_null && type == SQLITE_NULL) {
        return 0;
    }
    int64_t value = sqlite3_column_int64(columns->statement, at);
    if (type != SQLITE_INTEGER || value < least || value > most) {
        columns->failed = true;
        return 0;
    }
    return value;
}

int64_t frag_index_take_i64(struct frag_index_columns *columns, int64_t least, int64_t most) {
    return take(columns, least, most, false);
}

int64_t frag_index_take_or_null(struct frag_index_columns *columns, int64_t least, int64_t most) {
    return take(columns, least, most, true);
}

uint64_t frag_index_take_u64(struct frag_index_columns *columns, uint64_t most) {
    return (uint64_t)take(columns, 0, (int64_t)most, false);
}

static uint64_t take_u64_or_null(struct frag_index_columns *columns, uint64_t most) {
    return (uint64_t)take(columns, 0, (int64_t)most, true);
}

static int64_t take_ns(struct frag_index_columns *columns) {
    return take(columns, INT64_MIN, INT64_MAX, false);
}

static int64_t take_ns_or_null(struct frag_index_columns *columns) {
    return take(columns, INT64_MIN, INT64_MAX, true);
}

void frag_index_take_id(struct frag_index_columns *columns, uint8_t id[static FRAG_ID_BYTES]) {
    int at = columns->at++;
    const void *data = sqlite3_column_blob(columns->statement, at);
    if (sqlite3_column_type(columns->statement, at) != SQLITE_BLOB || data == NULL ||
        sqlite3_column_bytes(columns->statement, at) != FRAG_ID_BYTES) {
        columns->failed = true;
        return;
    }
    memcpy(id, data, FRAG_ID_BYTES);
}

static void take_path(struct frag_index_columns *columns, char path[static FRAG_INDEX_PATH_BYTES]) {
    int at = columns->at++;
    const unsigned char *text = sqlite3_column_text(columns->statement, at);
    int bytes = sqlite3_column_bytes(columns->statement, at);
    if (text == NULL || bytes >= (int)FRAG_INDEX_PATH_BYTES ||
        memchr(text, '\0', (size_t)bytes) != NULL) {
        columns->failed = true;
        return;
    }
    memcpy(path, text, (size_t)bytes + 1);
}

/* ---- reel rows ---- */

static uint32_t sum_of_facts(const struct frag_index_facts *facts) {
    uint8_t room[FRAG_INDEX_PATH_BYTES + 256];
    struct kn_writer writer;
    kn_writer_init(&writer, room, sizeof(room));
    kn_write_u8(&writer, (uint8_t)facts->state);
    kn_write_be16(&writer, facts->folder);
    kn_write_be64(&writer, facts->bytes);
    kn_write_be32(&writer, (uint32_t)facts->fragments);
    frag_reel_write_identity(&writer, &facts->identity);
    kn_write_be64(&writer, facts->first_sequence);
    kn_write_be64(&writer, facts->last_sequence);
    kn_write_be64(&writer, facts->first_ordinal);
    kn_write_be64(&writer, facts->last_ordinal);
    kn_write_be64(&writer, facts->discontinuities);
    kn_write_be64(&writer, (uint64_t)facts->min_ns[FRAG_CLOCK_PRODUCER]);
    kn_write_be64(&writer, (uint64_t)facts->max_ns[FRAG_CLOCK_PRODUCER]);
    kn_write_be64(&writer, (uint64_t)facts->min_ns[FRAG_CLOCK_SERVER]);
    kn_write_be64(&writer, (uint64_t)facts->max_ns[FRAG_CLOCK_SERVER]);
    kn_write_be64(&writer, (uint64_t)facts->packed);
    kn_write_be32(&writer, facts->table_crc32c);
    kn_write_bytes(&writer, facts->path, strlen(facts->path));
    KN_ASSERT(kn_writer_status(&writer) == 0);
    return kn_crc32c(0, writer.data, writer.size);
}

static bool path_can_be(const char *path) {
    size_t part = 0;
    for (const char *at = path;; at++) {
        if (*at != '/' && *at != '\0') {
            part++;
            continue;
        }
        const char *name = at - part;
        if (part == 0 || (part == 1 && name[0] == '.') ||
            (part == 2 && name[0] == '.' && name[1] == '.')) {
            return false;
        }
        if (*at == '\0') {
            return true;
        }
        part = 0;
    }
}

/* Differences without overflow: the larger first. */
static bool within_span(int64_t max_ns, int64_t min_ns) {
    return max_ns >= min_ns && (uint64_t)max_ns - (uint64_t)min_ns <= (uint64_t)FRAG_REEL_SPAN_NS;
}

static bool ends_can_be(const struct frag_index_facts *facts) {
    return facts->first_sequence >= 1 && facts->last_sequence >= facts->first_sequence &&
           facts->last_sequence <= FRAG_NUMBER_SEQUENCE_MAX &&
           facts->last_sequence - facts->first_sequence >= facts->fragments - 1 &&
           facts->last_ordinal >= facts->first_ordinal && facts->last_ordinal <= INT64_MAX &&
           facts->discontinuities <= INT64_MAX && within_span(facts->max_ns[0], facts->min_ns[0]) &&
           within_span(facts->max_ns[1], facts->min_ns[1]);
}

bool frag_index_facts_can_be(const struct frag_index_facts *facts) {
    const struct frag_reel_identity *identity = &facts->identity;
    return path_can_be(facts->path) && (identity->flags & ~(unsigned)FLAGS_ALL) == 0 &&
           identity->epoch <= INT64_MAX && identity->timecode_scale_ns >= 1 &&
           identity->timecode_scale_ns <= INT64_MAX && identity->number_low <= NUMBER_LOW_MAX &&
           facts->bytes <= INT64_MAX && facts->fragments <= FRAG_INDEX_REEL_FRAGMENTS &&
           (facts->fragments == 0 || ends_can_be(facts)) &&
           (facts->state == FRAG_REEL_OPEN ? facts->packed == 0
                                           : facts->state != FRAG_REEL_CLOSED || facts->packed > 0);
}

static void take_identity(struct frag_index_columns *columns, struct frag_reel_identity *identity) {
    identity->flags = (uint16_t)frag_index_take_u64(columns, UINT16_MAX);
    frag_index_take_id(columns, identity->store_id);
    frag_index_take_id(columns, identity->stream_id);
    frag_index_take_id(columns, identity->reel_id);
    frag_index_take_id(columns, identity->session_id);
    identity->epoch = frag_index_take_u64(columns, INT64_MAX);
    identity->opened.ns = take_ns(columns);
    identity->producer_start.ns = take_ns(columns);
    identity->timecode_scale_ns = frag_index_take_u64(columns, INT64_MAX);
    identity->number_low = (uint32_t)frag_index_take_u64(columns, NUMBER_LOW_MAX);
    identity->producer_header_bytes = (uint32_t)frag_index_take_u64(columns, UINT32_MAX);
}

int frag_index_load_facts(sqlite3_stmt *statement, struct frag_index_facts *ret_facts) {
    struct frag_index_columns columns = {.statement = statement};
    struct frag_index_facts *facts = ret_facts;
    facts->row = frag_index_take_i64(&columns, 1, INT64_MAX);
    facts->stream = frag_index_take_i64(&columns, 1, INT64_MAX);
    facts->state =
        (enum frag_reel_state)frag_index_take_i64(&columns, FRAG_REEL_OPEN, FRAG_REEL_DELETING);
    facts->folder = (uint16_t)frag_index_take_u64(&columns, UINT16_MAX);
    facts->path[0] = '\0';
    take_path(&columns, facts->path);
    facts->bytes = frag_index_take_u64(&columns, INT64_MAX);
    facts->fragments = frag_index_take_u64(&columns, FRAG_INDEX_REEL_FRAGMENTS);
    take_identity(&columns, &facts->identity);
    facts->first_sequence = take_u64_or_null(&columns, FRAG_NUMBER_SEQUENCE_MAX);
    facts->last_sequence = take_u64_or_null(&columns, FRAG_NUMBER_SEQUENCE_MAX);
    facts->first_ordinal = take_u64_or_null(&columns, INT64_MAX);
    facts->last_ordinal = take_u64_or_null(&columns, INT64_MAX);
    facts->discontinuities = take_u64_or_null(&columns, INT64_MAX);
    facts->min_ns[FRAG_CLOCK_PRODUCER] = take_ns_or_null(&columns);
    facts->max_ns[FRAG_CLOCK_PRODUCER] = take_ns_or_null(&columns);
    facts->min_ns[FRAG_CLOCK_SERVER] = take_ns_or_null(&columns);
    facts->max_ns[FRAG_CLOCK_SERVER] = take_ns_or_null(&columns);
    facts->packed = frag_index_take_or_null(&columns, 1, INT64_MAX);
    facts->table_crc32c = (uint32_t)take_u64_or_null(&columns, UINT32_MAX);
    uint64_t sum = frag_index_take_u64(&columns, UINT32_MAX);
    if (columns.failed && sqlite3_errcode(sqlite3_db_handle(statement)) == SQLITE_NOMEM) {
        return -ENOMEM; /* what could not be copied out looks like a NULL */
    }
    bool good = !columns.failed && frag_index_facts_can_be(facts) && sum == sum_of_facts(facts);
    return good ? 0 : KN_E_MALFORMED;
}

int frag_index_get_facts(struct frag_index *index, int64_t reel,
                         struct frag_index_facts *ret_facts) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(index, FRAG_SQL_GET_REEL, &statement);
    if (rc != 0) {
        return rc;
    }
    (void)sqlite3_bind_int64(statement, 1, reel); /* allocates nothing */
    rc = frag_index_step(index, statement);
    if (rc <= 0) {
        return rc == 0 ? -ENOENT : rc;
    }
    return frag_index_load_facts(statement, ret_facts);
}

/* Numbers rise, discontinuities do not fall, and it stands behind the one before. */
static bool row_follows(const struct frag_index_facts *facts, const struct frag_reel_row *row) {
    bool first = facts->fragments == 0;
    return frag_reel_row_can_be(row) && row->trailer_bytes >= FRAG_REEL_TRAILER_LEAST &&
           row->trailer_bytes <= FRAG_REEL_TRAILER_MOST && row->number.sequence >= 1 &&
           row->ordinal <= INT64_MAX && row->discontinuities <= INT64_MAX &&
           row->number.low == facts->identity.number_low && row->cluster_at >= facts->bytes &&
           (first ||
            (row->number.sequence > facts->last_sequence && row->ordinal > facts->last_ordinal &&
             row->discontinuities >= facts->discontinuities));
}

int frag_index_facts_append(struct frag_index_facts *facts, const struct frag_reel_row *row) {
    const int64_t times_ns[2] = {
        [FRAG_CLOCK_PRODUCER] = row->producer.ns, [FRAG_CLOCK_SERVER] = row->server.ns};
    bool first = facts->fragments == 0;
    int64_t min_ns[2];
    int64_t max_ns[2];
    for (size_t clock = 0; clock < 2; clock++) {
        int64_t min = first ? times_ns[clock] : facts->min_ns[clock];
        int64_t max = first ? times_ns[clock] : facts->max_ns[clock];
        min_ns[clock] = times_ns[clock] < min ? times_ns[clock] : min;
        max_ns[clock] = times_ns[clock] > max ? times_ns[clock] : max;
        if (!within_span(max_ns[clock], min_ns[clock])) {
            return -EINVAL;
        }
    }
    if (!row_follows(facts, row)) {
        return -EINVAL;
    }
    if (facts->fragments >= FRAG_INDEX_REEL_FRAGMENTS) {
        return KN_E_LIMIT;
    }
    memcpy(facts->min_ns, min_ns, sizeof(min_ns));
    memcpy(facts->max_ns, max_ns, sizeof(max_ns));
    facts->first_sequence = first ? row->number.sequence : facts->first_sequence;
    facts->first_ordinal = first ? row->ordinal : facts->first_ordinal;
    facts->last_sequence = row->number.sequence;
    facts->last_ordinal = row->ordinal;
    facts->discontinuities = row->discontinuities;
    facts->bytes = row->cluster_at + row->cluster_bytes + row->trailer_bytes;
    facts->fragments++;
    return 0;
}

struct frag_index_reel frag_index_reel_of(const struct frag_index_facts *facts) {
    return (struct frag_index_reel){
        .row = facts->row,
        .identity = facts->identity,
        .state = facts->state,
        .folder = facts->folder,
        .path = facts->path,
        .bytes = facts->bytes,
        .fragments = facts->fragments,
        .span =
            {
                .first_sequence = facts->first_sequence,
                .last_sequence = facts->last_sequence,
                .first_ordinal = facts->first_ordinal,
                .last_ordinal = facts->last_ordinal,
                .discontinuities = facts->discontinuities,
                .producer_min = {facts->min_ns[FRAG_CLOCK_PRODUCER]},
                .producer_max = {facts->max_ns[FRAG_CLOCK_PRODUCER]},
                .server_min = {facts->min_ns[FRAG_CLOCK_SERVER]},
                .server_max = {facts->max_ns[FRAG_CLOCK_SERVER]},
            },
    };
}

/* ---- binding ---- */

/* Keeps the first failure, of which there is only out of memory: that numbers and types fit is this
 * file's and the statements' agreement. */
struct binder {
    sqlite3_stmt *statement;
    int rc;
};

static void bind_rc(struct binder *binder, int rc) {
    KN_ASSERT(rc == SQLITE_OK || rc == SQLITE_NOMEM);
    binder->rc = binder->rc == 0 && rc != SQLITE_OK ? -ENOMEM : binder->rc;
}

static void bind_i64(struct binder *binder, int at, int64_t value) {
    bind_rc(binder, sqlite3_bind_int64(binder->statement, at, value));
}

static void bind_u64(struct binder *binder, int at, uint64_t value) {
    bind_i64(binder, at, (int64_t)value);
}

static void bind_unless(struct binder *binder, int at, bool null, int64_t value) {
    bind_rc(binder, null ? sqlite3_bind_null(binder->statement, at)
                         : sqlite3_bind_int64(binder->statement, at, value));
}

/* Borrowed: the statement is stepped and reset before its caller's struct goes. */
static void bind_id(struct binder *binder, int at, const uint8_t id[static FRAG_ID_BYTES]) {
    bind_rc(binder, sqlite3_bind_blob(binder->statement, at, id, FRAG_ID_BYTES, SQLITE_STATIC));
}

static void bind_end(struct binder *binder, const struct frag_index_facts *facts) {
    bool none = facts->fragments == 0;
    bool unpacked = facts->packed == 0;
    bind_i64(binder, 2, facts->state);
    bind_u64(binder, 3, facts->bytes);
    bind_u64(binder, 4, facts->fragments);
    bind_unless(binder, 5, none, (int64_t)facts->last_sequence);
    bind_unless(binder, 6, none, (int64_t)facts->last_ordinal);
    bind_unless(binder, 7, none, (int64_t)facts->discontinuities);
    bind_unless(binder, 8, none, facts->max_ns[FRAG_CLOCK_PRODUCER]);
    bind_unless(binder, 9, none, facts->max_ns[FRAG_CLOCK_SERVER]);
    bind_unless(binder, 10, unpacked, facts->packed);
    bind_unless(binder, 11, unpacked, facts->table_crc32c);
    bind_i64(binder, 12, sum_of_facts(facts));
}

static void bind_begin(struct binder *binder, const struct frag_index_facts *facts) {
    bool none = facts->fragments == 0;
    bind_unless(binder, 13, none, (int64_t)facts->first_sequence);
    bind_unless(binder, 14, none, (int64_t)facts->first_ordinal);
    bind_unless(binder, 15, none, facts->min_ns[FRAG_CLOCK_PRODUCER]);
    bind_unless(binder, 16, none, facts->min_ns[FRAG_CLOCK_SERVER]);
}

static void bind_identity(struct binder *binder, const struct frag_index_facts *facts) {
    const struct frag_reel_identity *identity = &facts->identity;
    bind_i64(binder, 17, facts->stream);
    bind_i64(binder, 18, facts->folder);
    bind_rc(binder, sqlite3_bind_text(binder->statement, 19, facts->path, -1, SQLITE_STATIC));
    bind_i64(binder, 20, identity->flags);
    bind_id(binder, 21, identity->store_id);
    bind_id(binder, 22, identity->reel_id);
    bind_id(binder, 23, identity->session_id);
    bind_u64(binder, 24, identity->epoch);
    bind_i64(binder, 25, identity->opened.ns);
    bind_i64(binder, 26, identity->producer_start.ns);
    bind_u64(binder, 27, identity->timecode_scale_ns);
    bind_i64(binder, 28, identity->number_low);
    bind_i64(binder, 29, identity->producer_header_bytes);
}

int frag_index_bind_facts(sqlite3_stmt *statement, enum frag_index_sql sql,
                          const struct frag_index_facts *facts) {
    struct binder binder = {.statement = statement};
    bind_end(&binder, facts);
    if (sql != FRAG_SQL_UPDATE_REEL_END) {
        bind_begin(&binder, facts);
    }
    if (sql == FRAG_SQL_ADD_REEL) {
        bind_identity(&binder, facts);
    } else {
        bind_i64(&binder, 1, facts->row);
    }
    return binder.rc;
}

/* ---- fragment rows ---- */

static uint32_t sum_of_fragment(int64_t reel, const struct frag_reel_row *row) {
    uint8_t room[128];
    struct kn_writer writer;
    kn_writer_init(&writer, room, sizeof(room));
    kn_write_be64(&writer, (uint64_t)reel);
    kn_write_be64(&writer, row->number.sequence);
    kn_write_be64(&writer, row->number.server_ms);
    kn_write_be64(&writer, row->ordinal);
    kn_write_be64(&writer, row->discontinuities);
    kn_write_be64(&writer, row->cluster_at);
    kn_write_be64(&writer, row->cluster_bytes);
    kn_write_be32(&writer, row->trailer_bytes);
    kn_write_be64(&writer, (uint64_t)row->producer.ns);
    kn_write_be64(&writer, (uint64_t)row->server.ns);
    kn_write_be64(&writer, (uint64_t)row->duration_ns);
    kn_write_be16(&writer, row->flags);
    KN_ASSERT(kn_writer_status(&writer) == 0);
    return kn_crc32c(0, writer.data, writer.size);
}

int frag_index_bind_fragment(sqlite3_stmt *statement, int64_t reel,
                             const struct frag_reel_row *row) {
    struct binder binder = {.statement = statement};
    bind_i64(&binder, 1, reel);
    bind_u64(&binder, 2, row->number.sequence);
    bind_u64(&binder, 3, row->number.server_ms);
    bind_u64(&binder, 4, row->ordinal);
    bind_u64(&binder, 5, row->discontinuities);
    bind_u64(&binder, 6, row->cluster_at);
    bind_u64(&binder, 7, row->cluster_bytes);
    bind_i64(&binder, 8, row->trailer_bytes);
    bind_i64(&binder, 9, row->producer.ns);
    bind_i64(&binder, 10, row->server.ns);
    bind_i64(&binder, 11, row->duration_ns);
    bind_i64(&binder, 12, row->flags);
    bind_i64(&binder, 13, sum_of_fragment(reel, row));
    return binder.rc;
}

static int load_fragment(struct frag_index_cursor *cursor, struct frag_reel_row *ret_row) {
    struct frag_index_columns columns = {.statement = cursor->statement};
    struct frag_reel_row row = {.number.low = cursor->facts->identity.number_low};
    int64_t reel = frag_index_take_i64(&columns, 1, INT64_MAX);
    row.number.sequence = frag_index_take_u64(&columns, FRAG_NUMBER_SEQUENCE_MAX);
    row.number.server_ms = frag_index_take_u64(&columns, FRAG_REEL_SERVER_MS_MAX);
    row.ordinal = frag_index_take_u64(&columns, INT64_MAX);
    row.discontinuities = frag_index_take_u64(&columns, INT64_MAX);
    row.cluster_at = frag_index_take_u64(&columns, INT64_MAX);
    row.cluster_bytes = frag_index_take_u64(&columns, INT64_MAX);
    row.trailer_bytes = (uint32_t)frag_index_take_u64(&columns, FRAG_REEL_TRAILER_MOST);
    row.producer.ns = take_ns(&columns);
    row.server.ns = take_ns(&columns);
    row.duration_ns = take_ns(&columns);
    row.flags = (uint16_t)frag_index_take_u64(&columns, UINT16_MAX);
    uint64_t sum = frag_index_take_u64(&columns, UINT32_MAX);
    if (columns.failed || reel != cursor->facts->row || !frag_reel_row_can_be(&row) ||
        row.number.sequence <= cursor->after || sum != sum_of_fragment(reel, &row)) {
        return KN_E_MALFORMED;
    }
    cursor->after = row.number.sequence;
    *ret_row = row;
    return 1;
}

/* ---- the cursor ---- */

/* The table's own checksum says that it is whole, the reel's row that it is this one. */
static int open_packed(struct frag_index_cursor *cursor) {
    const struct frag_index_facts *facts = cursor->facts;
    int rc = frag_index_step(cursor->index, cursor->statement);
    if (rc <= 0) {
        return rc == 0 ? KN_E_MALFORMED : rc;
    }
    const uint8_t *data = sqlite3_column_blob(cursor->statement, 0);
    int bytes = sqlite3_column_bytes(cursor->statement, 0);
    if (data == NULL || bytes < 4) {
        /* NULL is also how SQLite says that it has no memory for a large one. */
        return sqlite3_errcode(cursor->index->db) == SQLITE_NOMEM ? -ENOMEM : KN_E_MALFORMED;
    }
    struct kn_reader reader;
    kn_reader_init(&reader, data + bytes - 4, 4);
    if (kn_read_be32(&reader) != facts->table_crc32c ||
        frag_reel_table_open(&cursor->table, data, (size_t)bytes, facts->identity.number_low) !=
            0 ||
        cursor->table.rows_left != facts->fragments) {
        return KN_E_MALFORMED;
    }
    return 0;
}

int frag_index_cursor_begin(struct frag_index_cursor *cursor, struct frag_index *index,
                            const struct frag_index_facts *facts, uint64_t after) {
    *cursor = (struct frag_index_cursor){.index = index, .facts = facts, .after = after};
    bool packed = facts->packed != 0;
    int rc = frag_index_statement(index, packed ? FRAG_SQL_GET_PACKED : FRAG_SQL_GET_FRAGMENTS,
                                  &cursor->statement);
    if (rc != 0) {
        return rc;
    }
    struct binder binder = {.statement = cursor->statement};
    bind_i64(&binder, 1, packed ? facts->packed : facts->row);
    if (!packed) {
        bind_u64(&binder, 2, after < INT64_MAX ? after : INT64_MAX);
    }
    if (binder.rc == 0 && packed) {
        return open_packed(cursor);
    }
    return binder.rc;
}

void frag_index_cursor_end(struct frag_index_cursor *cursor) {
    frag_index_end_statement(&cursor->statement);
    cursor->statement = NULL;
}

int frag_index_cursor_next(struct frag_index_cursor *cursor, struct frag_reel_row *ret_row) {
    if (cursor->facts->packed == 0) {
        int rc = frag_index_step(cursor->index, cursor->statement);
        return rc == 1 ? load_fragment(cursor, ret_row) : rc;
    }
    struct frag_reel_row row;
    for (;;) {
        int rc = frag_reel_table_next(&cursor->table, &row);
        if (rc != 1) {
            return rc;
        }
        if (row.number.sequence > cursor->after) {
            *ret_row = row;
            return 1;
        }
    }
}
