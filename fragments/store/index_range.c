/* Fragments of a range of time, in order of their numbers. Overlapping sessions have overlapping
 * reels, and clocks step, so neither order follows from the other: reels are taken in order of
 * their first numbers and merged into the answer, one at a time, until none can have a lower number
 * than the last one of a full answer. Memory: the answer and one reel's table. */
#include <errno.h>
#include <sqlite3.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/index_inner.h"

/* Up to so many reels are found by time and sorted; of more, those that follow `after` are met soon
 * in order of numbers. */
#define FEW_REELS 1000

struct range {
    struct frag_index *index;
    struct frag_index_stream stream;
    enum frag_clock clock;
    int64_t from_ns, to_ns;
    uint64_t after;
    const struct frag_record_key *key; /* NULL: all batches */
    struct frag_index_found *found;
    size_t max;
    size_t count;
};

/* Where the sequence stands, or belongs. */
static size_t place_of(const struct range *range, uint64_t sequence) {
    size_t low = 0;
    size_t high = range->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (range->found[middle].row.number.sequence < sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* False: the answer is full, and no later row of the reel belongs to it. */
static bool merge_row(struct range *range, int64_t reel, const struct frag_reel_row *row) {
    const struct frag_index_found found = {.reel = reel, .row = *row};
    size_t at = place_of(range, row->number.sequence);
    if (at == range->max) {
        return false;
    }
    struct frag_index_found *place = &range->found[at];
    if (at < range->count && place->row.number.sequence == row->number.sequence) {
        if (place->reel < reel) {
            *place = found;
        }
        return true;
    }
    size_t kept = range->count < range->max ? range->count : range->max - 1;
    memmove(place + 1, place, (kept - at) * sizeof(*place));
    *place = found;
    range->count = kept + 1;
    return true;
}

/* Takes the row into the answer if it belongs there; false as merge_row. */
static bool take_row(struct range *range, const struct frag_index_facts *facts,
                     const struct frag_reel_row *row) {
    int64_t time_ns = range->clock == FRAG_CLOCK_PRODUCER ? row->producer.ns : row->server.ns;
    bool inside = time_ns >= range->from_ns && time_ns <= range->to_ns;
    return !inside || !frag_index_sees(range->index, facts, row) ||
           merge_row(range, facts->row, row);
}

static int merge_all(struct range *range, const struct frag_index_facts *facts) {
    struct frag_index_cursor cursor;
    struct frag_reel_row row;
    int rc = frag_index_cursor_begin(&cursor, range->index, facts, range->after);
    rc = rc == 0 ? 1 : rc;
    while (rc == 1 && (rc = frag_index_cursor_next(&cursor, &row)) == 1) {
        rc = take_row(range, facts, &row) ? 1 : 0;
    }
    frag_index_cursor_end(&cursor);
    return rc;
}

/* 1, or KN_E_MALFORMED: a key stands for a fragment that the reel does not have. */
static int find_row(struct frag_index_cursor *cursor, uint64_t sequence,
                    struct frag_reel_row *ret_row) {
    int rc = 1;
    do {
        rc = frag_index_cursor_next(cursor, ret_row);
    } while (rc == 1 && ret_row->number.sequence < sequence);
    return rc == 0 || (rc == 1 && ret_row->number.sequence != sequence) ? KN_E_MALFORMED : rc;
}

/* Only of a reel that has the key the rows are read. */
static int merge_keyed(struct range *range, const struct frag_index_facts *facts) {
    struct frag_index_cursor cursor = {0};
    struct frag_index_keyed keyed;
    struct frag_reel_row row;
    int rc = frag_index_keyed_begin(&keyed, range->index, facts->row, range->key, range->after);
    if (rc == 1) {
        rc = frag_index_cursor_begin(&cursor, range->index, facts, keyed.next - 1);
        rc = rc == 0 ? 1 : rc;
    }
    while (rc == 1 && (rc = find_row(&cursor, keyed.next, &row)) == 1) {
        rc = take_row(range, facts, &row) ? frag_index_keyed_next(&keyed) : 0;
    }
    frag_index_cursor_end(&cursor);
    frag_index_keyed_end(&keyed);
    return rc;
}

static int merge_reel(struct range *range, int64_t reel) {
    struct frag_index_facts facts;
    int rc = frag_index_get_facts(range->index, reel, &facts);
    if (rc != 0) {
        return rc == -ENOENT ? KN_E_MALFORMED : rc;
    }
    if (facts.stream != range->stream.row) {
        return KN_E_MALFORMED;
    }
    if (!frag_index_sees_any(range->index, &facts)) {
        return 0;
    }
    return range->key == NULL ? merge_all(range, &facts) : merge_keyed(range, &facts);
}

static int bind_range(const struct range *range, sqlite3_stmt *statement) {
    int64_t lowest_ns = range->from_ns < INT64_MIN + FRAG_REEL_SPAN_NS
                            ? INT64_MIN
                            : range->from_ns - FRAG_REEL_SPAN_NS;
    int64_t lowest = range->after > range->stream.sequence_span
                         ? (int64_t)(range->after - range->stream.sequence_span)
                         : 0;
    (void)sqlite3_bind_int64(statement, 1, range->stream.row); /* allocate nothing */
    (void)sqlite3_bind_int64(statement, 2, lowest_ns);
    (void)sqlite3_bind_int64(statement, 3, range->from_ns);
    (void)sqlite3_bind_int64(statement, 4, range->to_ns);
    (void)sqlite3_bind_int64(statement, 5, (int64_t)range->after);
    (void)sqlite3_bind_int64(statement, 6, lowest);
    return 0;
}

/* 1: there are few, 0: many. */
static int are_few(struct range *range) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(range->index,
                                  range->clock == FRAG_CLOCK_PRODUCER ? FRAG_SQL_COUNT_BY_PRODUCER
                                                                      : FRAG_SQL_COUNT_BY_SERVER,
                                  &statement);
    rc = rc == 0 ? bind_range(range, statement) : rc;
    rc = rc == 0 ? frag_index_step(range->index, statement) : rc;
    if (rc <= 0) {
        return rc == 0 ? KN_E_MALFORMED : rc;
    }
    return sqlite3_column_int64(statement, 0) <= FEW_REELS ? 1 : 0;
}

static int merge_reels(struct range *range, enum frag_index_sql sql) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(range->index, sql, &statement);
    rc = rc == 0 ? bind_range(range, statement) : rc;
    if (rc != 0) {
        return rc;
    }
    while ((rc = frag_index_step(range->index, statement)) == 1) {
        struct frag_index_columns columns = {.statement = statement};
        int64_t reel = frag_index_take_i64(&columns, 1, INT64_MAX);
        uint64_t first = frag_index_take_u64(&columns, FRAG_NUMBER_SEQUENCE_MAX);
        if (columns.failed) {
            return KN_E_MALFORMED;
        }
        if (range->count == range->max &&
            first > range->found[range->count - 1].row.number.sequence) {
            return 0;
        }
        rc = merge_reel(range, reel);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

static int search(struct range *range) {
    bool producer = range->clock == FRAG_CLOCK_PRODUCER;
    int rc = are_few(range);
    if (rc < 0) {
        return rc;
    }
    if (rc == 1) {
        return merge_reels(range,
                           producer ? FRAG_SQL_RANGE_FEW_PRODUCER : FRAG_SQL_RANGE_FEW_SERVER);
    }
    return merge_reels(range, producer ? FRAG_SQL_RANGE_MANY_PRODUCER : FRAG_SQL_RANGE_MANY_SERVER);
}

int frag_index_range_of_key(struct frag_index *index, const uint8_t stream[static FRAG_ID_BYTES],
                            enum frag_clock clock, struct kn_wall from, struct kn_wall to,
                            uint64_t after, const struct frag_record_key *key,
                            struct frag_index_found *found, size_t max) {
    KN_ASSERT(max >= 1 && max <= FRAG_INDEX_RANGE_MAX);
    struct range range = {
        .index = index,
        .clock = clock,
        .from_ns = from.ns,
        .to_ns = to.ns,
        .after = after,
        .key = key,
        .found = found,
        .max = max,
    };
    if (after >= FRAG_NUMBER_SEQUENCE_MAX || from.ns > to.ns) {
        return 0;
    }
    int rc = frag_index_begin_read(index);
    if (rc != 0) {
        return rc;
    }
    rc = frag_index_get_stream(index, stream, &range.stream);
    rc = rc == 0 ? search(&range) : rc == -ENOENT ? 0 : rc;
    frag_index_end_read(index);
    return rc < 0 ? rc : (int)range.count;
}

int frag_index_range(struct frag_index *index, const uint8_t stream[static FRAG_ID_BYTES],
                     enum frag_clock clock, struct kn_wall from, struct kn_wall to, uint64_t after,
                     struct frag_index_found *found, size_t max) {
    return frag_index_range_of_key(index, stream, clock, from, to, after, NULL, found, max);
}
