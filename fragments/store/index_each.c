/* Reels by row, and all there is. Callbacks run outside of read transactions: what they are given
 * was copied first, a limited number at a time. */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "fragments/store/index_inner.h"

#define REELS_AT_ONCE 64
#define ROWS_AT_ONCE 512

/* ---- one reel ---- */

static int give_reel(const struct frag_index_facts *facts, char *path_room, size_t path_room_bytes,
                     struct frag_index_reel *ret_reel) {
    size_t bytes = strlen(facts->path) + 1;
    if (bytes > path_room_bytes) {
        return KN_E_LIMIT;
    }
    memcpy(path_room, facts->path, bytes);
    *ret_reel = frag_index_reel_of(facts);
    ret_reel->path = path_room;
    return 0;
}

int frag_index_get_reel(struct frag_index *index, int64_t row, char *path_room,
                        size_t path_room_bytes, struct frag_index_reel *ret_reel) {
    struct frag_index_facts facts;
    int rc = frag_index_get_facts(index, row, &facts); /* one statement is one snapshot */
    return rc != 0 ? rc : give_reel(&facts, path_room, path_room_bytes, ret_reel);
}

static int find_facts(struct frag_index *index, const uint8_t reel_id[static FRAG_ID_BYTES],
                      struct frag_index_facts *ret_facts) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(index, FRAG_SQL_FIND_REEL, &statement);
    if (rc != 0) {
        return rc;
    }
    if (sqlite3_bind_blob(statement, 1, reel_id, FRAG_ID_BYTES, SQLITE_STATIC) != SQLITE_OK) {
        return -ENOMEM;
    }
    rc = frag_index_step(index, statement);
    if (rc <= 0) {
        return rc == 0 ? -ENOENT : rc;
    }
    rc = frag_index_load_facts(statement, ret_facts);
    /* Else its index and the table disagree. */
    bool same = rc == 0 && memcmp(ret_facts->identity.reel_id, reel_id, FRAG_ID_BYTES) == 0;
    return same || rc != 0 ? rc : KN_E_MALFORMED;
}

int frag_index_find_reel(struct frag_index *index, const uint8_t reel_id[static FRAG_ID_BYTES],
                         char *path_room, size_t path_room_bytes,
                         struct frag_index_reel *ret_reel) {
    struct frag_index_facts facts;
    int rc = find_facts(index, reel_id, &facts);
    return rc != 0 ? rc : give_reel(&facts, path_room, path_room_bytes, ret_reel);
}

/* ---- all reels ---- */

/* How many, at most REELS_AT_ONCE. */
static int load_reels(struct frag_index *index, int64_t after, struct frag_index_facts *facts) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int count = 0;
    int rc = frag_index_statement(index, FRAG_SQL_EACH_REEL, &statement);
    if (rc != 0) {
        return rc;
    }
    (void)sqlite3_bind_int64(statement, 1, after); /* allocate nothing */
    (void)sqlite3_bind_int64(statement, 2, REELS_AT_ONCE);
    while (count < REELS_AT_ONCE && (rc = frag_index_step(index, statement)) == 1) {
        rc = frag_index_load_facts(statement, &facts[count]);
        if (rc != 0) {
            return rc;
        }
        /* Else a damaged page could send us round for ever. */
        if (facts[count].row <= after) {
            return KN_E_MALFORMED;
        }
        after = facts[count].row;
        count++;
    }
    return rc < 0 ? rc : count;
}

int frag_index_each_reel(struct frag_index *index,
                         int (*each)(const struct frag_index_reel *reel, void *user), void *user) {
    struct frag_index_facts *facts = calloc(REELS_AT_ONCE, sizeof(*facts));
    int64_t after = 0;
    int rc = 0;
    if (facts == NULL) {
        return -ENOMEM;
    }
    for (;;) {
        int count = load_reels(index, after, facts);
        rc = count < 0 ? count : rc;
        for (int i = 0; i < count && rc >= 0; i++) {
            const struct frag_index_reel reel = frag_index_reel_of(&facts[i]);
            rc = each(&reel, user);
        }
        if (rc < 0 || count < REELS_AT_ONCE) {
            break;
        }
        after = facts[count - 1].row;
    }
    free(facts);
    return rc < 0 ? rc : 0;
}

/* ---- reels of a stream ---- */

/* Their rows as they were ordered at one moment: 8 bytes each, so that no reel is met twice, or not
 * at all, because its beginning changed meanwhile. */
struct rows {
    int64_t *all; /* owned */
    size_t count, room;
};

static int add_row(struct rows *rows, int64_t row) {
    if (rows->count == rows->room) {
        size_t room = rows->room > 0 ? 2 * rows->room : 256;
        int64_t *all = realloc(rows->all, room * sizeof(*all));
        if (all == NULL) {
            return -ENOMEM;
        }
        rows->all = all;
        rows->room = room;
    }
    rows->all[rows->count++] = row;
    return 0;
}

struct place {
    bool begun; /* the reel has a beginning */
    int64_t min_ns;
    int64_t row;
};

static bool rises(const struct place *from, const struct place *to) {
    if (from->begun != to->begun) {
        return to->begun;
    }
    return to->min_ns != from->min_ns ? to->min_ns > from->min_ns : to->row > from->row;
}

static int list_rows(struct frag_index *index, const struct frag_index_stream *stream,
                     struct rows *rows) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    struct place last = {0};
    int rc = frag_index_statement(index, FRAG_SQL_REELS_OF, &statement);
    if (rc != 0) {
        return rc;
    }
    (void)sqlite3_bind_int64(statement, 1, stream->row); /* allocates nothing */
    while ((rc = frag_index_step(index, statement)) == 1) {
        struct frag_index_columns columns = {.statement = statement};
        struct place place = {.begun = sqlite3_column_type(statement, 1) != SQLITE_NULL};
        place.row = frag_index_take_i64(&columns, 1, INT64_MAX);
        place.min_ns = frag_index_take_or_null(&columns, INT64_MIN, INT64_MAX);
        /* Else a damaged page could send us round for ever. */
        if (columns.failed || !rises(&last, &place)) {
            return KN_E_MALFORMED;
        }
        rc = add_row(rows, place.row);
        if (rc != 0) {
            return rc;
        }
        last = place;
    }
    return rc;
}

static int tell_row(struct frag_index *index, const struct frag_index_stream *stream, int64_t row,
                    int (*each)(const struct frag_index_reel *reel, void *user), void *user) {
    struct frag_index_facts facts;
    int rc = frag_index_get_facts(index, row, &facts);
    if (rc != 0) {
        return rc == -ENOENT ? 0 : rc; /* dropped meanwhile */
    }
    if (facts.stream != stream->row) {
        return KN_E_MALFORMED;
    }
    if (facts.state == FRAG_REEL_DELETING) {
        return 0;
    }
    const struct frag_index_reel reel = frag_index_reel_of(&facts);
    return each(&reel, user);
}

int frag_index_each_reel_of(struct frag_index *index, const uint8_t stream[static FRAG_ID_BYTES],
                            int (*each)(const struct frag_index_reel *reel, void *user),
                            void *user) {
    struct frag_index_stream known;
    struct rows rows = {0};
    int rc = frag_index_begin_read(index);
    if (rc != 0) {
        return rc;
    }
    rc = frag_index_get_stream(index, stream, &known);
    rc = rc == 0 ? list_rows(index, &known, &rows) : rc == -ENOENT ? 0 : rc;
    frag_index_end_read(index);
    for (size_t i = 0; i < rows.count && rc >= 0; i++) {
        rc = tell_row(index, &known, rows.all[i], each, user);
    }
    free(rows.all);
    return rc < 0 ? rc : 0;
}

/* ---- totals ---- */

struct total {
    int64_t stream;
    struct frag_index_totals totals;
};

/* By stream. */
struct totals {
    struct total *all; /* owned */
    size_t count, room;
};

static size_t place_of(const struct totals *totals, int64_t stream) {
    size_t low = 0;
    size_t high = totals->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (totals->all[middle].stream < stream) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int insert_total(struct totals *totals, size_t at, const struct frag_index_facts *facts) {
    if (totals->count == totals->room) {
        size_t room = totals->room > 0 ? 2 * totals->room : 64;
        struct total *all = realloc(totals->all, room * sizeof(*all));
        if (all == NULL) {
            return -ENOMEM;
        }
        totals->all = all;
        totals->room = room;
    }
    struct total *place = &totals->all[at];
    memmove(place + 1, place, (totals->count - at) * sizeof(*place));
    *place = (struct total){.stream = facts->stream};
    memcpy(place->totals.stream, facts->identity.stream_id, FRAG_ID_BYTES);
    totals->count++;
    return 0;
}

static int count_reel(struct totals *totals, const struct frag_index_facts *facts) {
    size_t at = place_of(totals, facts->stream);
    if (at == totals->count || totals->all[at].stream != facts->stream) {
        int rc = insert_total(totals, at, facts);
        if (rc != 0) {
            return rc;
        }
    }
    struct frag_index_totals *total = &totals->all[at].totals;
    total->reels++;
    total->fragments += facts->fragments; /* a reel has few */
    return kn_u64_add(total->bytes, facts->bytes, &total->bytes) ? 0 : KN_E_MALFORMED;
}

static int count_reels(struct frag_index *index, struct totals *totals) {
    int count;
    int64_t after = 0;
    struct frag_index_facts *facts = calloc(REELS_AT_ONCE, sizeof(*facts));
    if (facts == NULL) {
        return -ENOMEM;
    }
    int rc = 0;
    do {
        count = load_reels(index, after, facts);
        rc = count < 0 ? count : 0;
        for (int i = 0; i < count && rc == 0; i++) {
            after = facts[i].row;
            rc = facts[i].state != FRAG_REEL_DELETING ? count_reel(totals, &facts[i]) : 0;
        }
    } while (rc == 0 && count == REELS_AT_ONCE);
    free(facts);
    return rc;
}

int frag_index_each_total(struct frag_index *index,
                          int (*each)(const struct frag_index_totals *totals, void *user),
                          void *user) {
    struct totals totals = {0};
    int rc = frag_index_begin_read(index);
    if (rc != 0) {
        return rc;
    }
    rc = count_reels(index, &totals);
    frag_index_end_read(index);
    for (size_t i = 0; i < totals.count && rc >= 0; i++) {
        rc = each(&totals.all[i].totals, user);
    }
    free(totals.all);
    return rc < 0 ? rc : 0;
}

/* ---- fragments ---- */

/* Rows with a sequence above `after`: how many, at most ROWS_AT_ONCE. Whether the reel is closed
 * meanwhile or not, they are the same. */
static int load_rows(struct frag_index *index, int64_t reel, uint64_t after,
                     struct frag_reel_row *rows) {
    struct frag_index_facts facts;
    struct frag_index_cursor cursor = {0};
    int count = 0;
    int rc = frag_index_begin_read(index);
    if (rc != 0) {
        return rc;
    }
    rc = frag_index_get_facts(index, reel, &facts);
    rc = rc == 0 ? frag_index_cursor_begin(&cursor, index, &facts, after) : rc;
    rc = rc == 0 ? 1 : rc;
    while (rc == 1 && count < ROWS_AT_ONCE) {
        rc = frag_index_cursor_next(&cursor, &rows[count]);
        count += rc == 1 ? 1 : 0;
    }
    frag_index_cursor_end(&cursor);
    frag_index_end_read(index);
    return rc < 0 ? rc : count;
}

int frag_index_each_fragment(struct frag_index *index, int64_t reel,
                             int (*each)(const struct frag_reel_row *row, void *user), void *user) {
    struct frag_reel_row *rows = calloc(ROWS_AT_ONCE, sizeof(*rows));
    uint64_t after = 0;
    int rc = 0;
    if (rows == NULL) {
        return -ENOMEM;
    }
    for (;;) {
        int count = load_rows(index, reel, after, rows);
        rc = count < 0 ? count : rc;
        for (int i = 0; i < count && rc >= 0; i++) {
            rc = each(&rows[i], user);
        }
        if (rc < 0 || count < ROWS_AT_ONCE) {
            break;
        }
        after = rows[count - 1].number.sequence;
    }
    free(rows);
    return rc < 0 ? rc : 0;
}
