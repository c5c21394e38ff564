/* Finding single fragments and whole reels. Reels of a stream are met in an order in which those
 * that can have the answer come first, and their fragments are read one reel at a time. */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/index_inner.h"

int frag_index_get_stream(struct frag_index *index, const uint8_t id[static FRAG_ID_BYTES],
                          struct frag_index_stream *ret_stream) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(index, FRAG_SQL_GET_STREAM, &statement);
    if (rc != 0) {
        return rc;
    }
    if (sqlite3_bind_blob(statement, 1, id, FRAG_ID_BYTES, SQLITE_STATIC) != SQLITE_OK) {
        return -ENOMEM;
    }
    rc = frag_index_step(index, statement);
    if (rc <= 0) {
        return rc == 0 ? -ENOENT : rc;
    }
    struct frag_index_columns columns = {.statement = statement};
    struct frag_index_stream stream;
    stream.row = frag_index_take_i64(&columns, 1, INT64_MAX);
    stream.sequence_span = frag_index_take_u64(&columns, INT64_MAX);
    if (columns.failed) {
        return KN_E_MALFORMED;
    }
    *ret_stream = stream;
    return 0;
}

/* ---- what is seen ---- */

void frag_index_see_from(struct frag_index *index, struct kn_wall server) {
    index->seen_from_ns = server.ns;
}

static bool is_kept(const struct frag_index_facts *facts) {
    return (facts->identity.flags & FRAG_REEL_KEPT) != 0;
}

bool frag_index_sees_any(const struct frag_index *index, const struct frag_index_facts *facts) {
    return is_kept(facts) || facts->max_ns[FRAG_CLOCK_SERVER] >= index->seen_from_ns;
}

bool frag_index_sees_all(const struct frag_index *index, const struct frag_index_facts *facts) {
    return is_kept(facts) || facts->min_ns[FRAG_CLOCK_SERVER] >= index->seen_from_ns;
}

bool frag_index_sees(const struct frag_index *index, const struct frag_index_facts *facts,
                     const struct frag_reel_row *row) {
    return is_kept(facts) || row->server.ns >= index->seen_from_ns;
}

/* ---- searches ---- */

/* One search: what is asked for, and the best answer so far. */
struct search {
    struct frag_index *index;
    struct frag_index_stream stream;
    enum frag_clock clock;
    int64_t time_ns;
    uint64_t sequence;
    bool has_found;
    struct frag_index_found found;
};

static int64_t time_of(const struct frag_reel_row *row, enum frag_clock clock) {
    return clock == FRAG_CLOCK_PRODUCER ? row->producer.ns : row->server.ns;
}

/* Looks at one reel, in the order of the statement. 1: go on, 0: no later reel can be better, or an
 * error. */
typedef int look_at(struct search *search, const struct frag_index_facts *facts);

static int search_reels(struct search *search, enum frag_index_sql sql, int64_t bound,
                        look_at *look) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    struct frag_index_facts facts;
    int rc = frag_index_statement(search->index, sql, &statement);
    if (rc != 0) {
        return rc;
    }
    (void)sqlite3_bind_int64(statement, 1, search->stream.row); /* allocate nothing */
    (void)sqlite3_bind_int64(statement, 2, bound);
    while ((rc = frag_index_step(search->index, statement)) == 1) {
        rc = frag_index_load_facts(statement, &facts);
        /* Rows it cannot have: the index and the table disagree. */
        rc = rc == 0 && (facts.stream != search->stream.row || facts.fragments == 0)
                 ? KN_E_MALFORMED
                 : rc;
        rc = rc == 0 ? look(search, &facts) : rc;
        if (rc <= 0) {
            return rc;
        }
    }
    return rc;
}

static void take_answer(struct search *search, const struct frag_index_facts *facts,
                        const struct frag_reel_row *row) {
    search->has_found = true;
    search->found = (struct frag_index_found){.reel = facts->row, .row = *row};
}

/* Takes the row with this sequence for the answer. 1: it is there and seen, 0: it is not, or an
 * error. */
static int look_for_sequence(struct search *search, const struct frag_index_facts *facts,
                             uint64_t sequence) {
    struct frag_index_cursor cursor;
    struct frag_reel_row row = {0};
    int rc = frag_index_cursor_begin(&cursor, search->index, facts, sequence - 1);
    rc = rc == 0 ? frag_index_cursor_next(&cursor, &row) : rc;
    frag_index_cursor_end(&cursor);
    if (rc != 1 || row.number.sequence != sequence ||
        !frag_index_sees(search->index, facts, &row)) {
        return rc < 0 ? rc : 0;
    }
    take_answer(search, facts, &row);
    return 1;
}

/* A row that the reel itself says it has, of a reel of which all is seen. */
static int look_for_end(struct search *search, const struct frag_index_facts *facts,
                        uint64_t sequence) {
    int rc = look_for_sequence(search, facts, sequence);
    return rc == 0 ? KN_E_MALFORMED : rc;
}

static int find(struct frag_index *index, const uint8_t stream[static FRAG_ID_BYTES],
                struct search *search, enum frag_index_sql sql, int64_t bound, look_at *look,
                struct frag_index_found *ret_found) {
    search->index = index;
    int rc = frag_index_begin_read(index);
    if (rc != 0) {
        return rc;
    }
    rc = frag_index_get_stream(index, stream, &search->stream);
    rc = rc == 0 ? search_reels(search, sql, bound, look) : rc;
    frag_index_end_read(index);
    if (rc < 0) {
        return rc;
    }
    if (!search->has_found) {
        return -ENOENT;
    }
    *ret_found = search->found;
    return 0;
}

/* ---- by number ---- */

static int look_sequence(struct search *search, const struct frag_index_facts *facts) {
    if (search->sequence - facts->first_sequence > search->stream.sequence_span) {
        return 0; /* it and all below end before */
    }
    bool newer = !search->has_found || facts->row > search->found.reel;
    if (!newer || facts->last_sequence < search->sequence) {
        return 1;
    }
    int rc = look_for_sequence(search, facts, search->sequence);
    return rc < 0 ? rc : 1;
}

int frag_index_find_sequence(struct frag_index *index, const uint8_t stream[static FRAG_ID_BYTES],
                             uint64_t sequence, struct frag_index_found *ret_found) {
    if (sequence < 1 || sequence > FRAG_NUMBER_SEQUENCE_MAX) {
        return -ENOENT;
    }
    struct search search = {.sequence = sequence};
    return find(index, stream, &search, FRAG_SQL_REELS_DOWN_BY_SEQUENCE, (int64_t)sequence,
                look_sequence, ret_found);
}

/* Would a row of the reel be a better first, or last, one than the best so far? */
static bool is_nearer(const struct search *search, const struct frag_index_facts *facts,
                      uint64_t sequence, bool last) {
    uint64_t best = search->found.row.number.sequence;
    if (!search->has_found || sequence == best) {
        return !search->has_found || facts->row > search->found.reel;
    }
    return last ? sequence > best : sequence < best;
}

/* The first, or last, row that is seen, where not all of the reel are. */
static int look_for_seen(struct search *search, const struct frag_index_facts *facts, bool last) {
    struct frag_index_cursor cursor;
    struct frag_reel_row row;
    struct frag_reel_row seen = {0};
    bool any = false;
    int rc = frag_index_cursor_begin(&cursor, search->index, facts, 0);
    rc = rc == 0 ? 1 : rc;
    while (rc == 1 && (last || !any) && (rc = frag_index_cursor_next(&cursor, &row)) == 1) {
        if (frag_index_sees(search->index, facts, &row)) {
            seen = row;
            any = true;
        }
    }
    frag_index_cursor_end(&cursor);
    if (rc >= 0 && any && is_nearer(search, facts, seen.number.sequence, last)) {
        take_answer(search, facts, &seen);
    }
    return rc < 0 ? rc : 1;
}

static int look_earliest(struct search *search, const struct frag_index_facts *facts) {
    uint64_t first = facts->first_sequence;
    if (search->has_found && first > search->found.row.number.sequence) {
        return 0;
    }
    if (!frag_index_sees_any(search->index, facts) || !is_nearer(search, facts, first, false)) {
        return 1;
    }
    return frag_index_sees_all(search->index, facts) ? look_for_end(search, facts, first)
                                                     : look_for_seen(search, facts, false);
}

int frag_index_earliest(struct frag_index *index, const uint8_t stream[static FRAG_ID_BYTES],
                        struct frag_index_found *ret_found) {
    struct search search = {0};
    return find(index, stream, &search, FRAG_SQL_REELS_UP_BY_SEQUENCE, 1, look_earliest, ret_found);
}

static int look_latest(struct search *search, const struct frag_index_facts *facts) {
    uint64_t best = search->has_found ? search->found.row.number.sequence : 0;
    if (best > facts->first_sequence &&
        best - facts->first_sequence > search->stream.sequence_span) {
        return 0;
    }
    uint64_t last = facts->last_sequence;
    if (!frag_index_sees_any(search->index, facts) || !is_nearer(search, facts, last, true)) {
        return 1;
    }
    return frag_index_sees_all(search->index, facts) ? look_for_end(search, facts, last)
                                                     : look_for_seen(search, facts, true);
}

int frag_index_latest(struct frag_index *index, const uint8_t stream[static FRAG_ID_BYTES],
                      struct frag_index_found *ret_found) {
    struct search search = {0};
    return find(index, stream, &search, FRAG_SQL_REELS_DOWN_BY_SEQUENCE, INT64_MAX, look_latest,
                ret_found);
}

/* ---- by time ---- */

/* Is the row a better answer than the best so far? */
static bool is_better(const struct search *search, const struct frag_index_facts *facts,
                      const struct frag_reel_row *row) {
    if (!search->has_found) {
        return true;
    }
    const struct frag_index_found *best = &search->found;
    int64_t time_ns = time_of(row, search->clock);
    int64_t best_ns = time_of(&best->row, search->clock);
    if (time_ns != best_ns) {
        return time_ns > best_ns;
    }
    if (row->number.sequence != best->row.number.sequence) {
        return row->number.sequence > best->row.number.sequence;
    }
    return facts->row > best->reel;
}

static int look_into(struct search *search, const struct frag_index_facts *facts) {
    struct frag_index_cursor cursor;
    struct frag_reel_row row;
    int rc = frag_index_cursor_begin(&cursor, search->index, facts, 0);
    rc = rc == 0 ? 1 : rc;
    while (rc == 1 && (rc = frag_index_cursor_next(&cursor, &row)) == 1) {
        if (time_of(&row, search->clock) <= search->time_ns &&
            frag_index_sees(search->index, facts, &row) && is_better(search, facts, &row)) {
            take_answer(search, facts, &row);
        }
    }
    frag_index_cursor_end(&cursor);
    return rc;
}

/* Reels come with the latest minimum first. A reel that begins FRAG_REEL_SPAN_NS before the best
 * answer, or earlier, has nothing later than it; so only two or three are met, and fewer read. */
static int look_time(struct search *search, const struct frag_index_facts *facts) {
    int64_t min_ns = facts->min_ns[search->clock];
    int64_t max_ns = facts->max_ns[search->clock];
    if (search->has_found) {
        int64_t best_ns = time_of(&search->found.row, search->clock);
        if (best_ns > min_ns &&
            (uint64_t)best_ns - (uint64_t)min_ns > (uint64_t)FRAG_REEL_SPAN_NS) {
            return 0;
        }
        if (max_ns < best_ns) {
            return 1;
        }
    }
    int rc = frag_index_sees_any(search->index, facts) ? look_into(search, facts) : 0;
    return rc < 0 ? rc : 1;
}

int frag_index_find_time(struct frag_index *index, const uint8_t stream[static FRAG_ID_BYTES],
                         enum frag_clock clock, struct kn_wall time,
                         struct frag_index_found *ret_found) {
    struct search search = {.clock = clock, .time_ns = time.ns};
    return find(index, stream, &search,
                clock == FRAG_CLOCK_PRODUCER ? FRAG_SQL_REELS_DOWN_BY_PRODUCER
                                             : FRAG_SQL_REELS_DOWN_BY_SERVER,
                time.ns, look_time, ret_found);
}
