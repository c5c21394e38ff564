/* Numbers across reels: in order of sequence, ordinals of a stream rise and discontinuities do not
 * fall; no number is there twice, but for what was copied to a kept reel; no fragment has an
 * ordinal that a gap has burnt. Within one reel the index takes nothing else.
 *
 * Reels are met in order of their first sequence. One that ends before the next begins is finished:
 * all later ones are compared with the highest of those. Only reels that overlap (two sessions,
 * kept copies) are compared row by row. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/check_inner.h"
#include "fragments/store/values.h"

struct span {
    int64_t row;
    bool kept;
    bool active; /* may overlap with what comes */
    struct frag_index_span of;
};

struct order {
    struct frag_check *check;
    uint8_t stream[FRAG_ID_BYTES];
    char name[FRAG_STREAM_NAME_BYTES];
    struct span *spans; /* of the stream's reels that have fragments */
    size_t count, room;
    size_t active; /* the first one that may be */

    /* Of reels that end before all that come, the highest of each. */
    bool any_finished;
    uint64_t ordinal, discontinuities;

    const struct span *with; /* whose rows are here, for comparing another's with them */
    const struct span *now;
    struct frag_reel_row *rows;
    size_t row_count, row_room;

    struct frag_gap_entry *gaps; /* of the stream, those with ordinals */
    size_t gap_count, gap_room;
    const struct frag_gap_entry *gap;

    uint8_t (*streams)[FRAG_ID_BYTES];
    size_t stream_count, stream_room;
};

/* Room for one more; what index and journal have bounds it. */
static int grow(void **items, size_t size, size_t count, size_t *room) {
    if (count < *room) {
        return 0;
    }
    size_t more = *room * 2 + 64;
    void *grown = realloc(*items, more * size);
    if (grown == NULL) {
        return -ENOMEM;
    }
    *items = grown;
    *room = more;
    return 0;
}

/* ---- telling ---- */

static int tell(struct order *order, const struct frag_reel_row *row, const char *what) {
    struct frag_check *check = order->check;
    struct frag_index_reel reel;
    char path[FRAG_INDEX_PATH_BYTES];
    char whole[FRAG_CHECK_PATH_BYTES];
    char number[FRAG_NUMBER_TEXT_BYTES];
    int rc = frag_index_get_reel(check->index, order->now->row, path, sizeof(path), &reel);
    if (rc < 0) {
        return frag_check_goes_on(check, rc) ? 0 : rc; /* deleted meanwhile */
    }
    const struct frag_check_folder *folder = frag_check_folder_of(check, reel.folder);
    (void)frag_check_join(folder != NULL ? folder->path : "", path, whole);
    rc = frag_check_tell(check, FRAG_CHECK_DAMAGE, whole, row->cluster_at,
                         row->cluster_at + row->cluster_bytes + row->trailer_bytes, order->name,
                         "%s (fragment %s, ordinal %" PRIu64 "): players may show one fragment in "
                         "the place of another",
                         what, frag_number_format(row->number, number), row->ordinal);
    return rc < 0 ? rc : KN_E_CLOSED; /* one of a reel is enough */
}

/* An index that is damaged there is told with the reels. */
static int settle(const struct order *order, int rc) {
    return rc < 0 && frag_check_goes_on(order->check, rc) ? 0 : rc;
}

/* ---- reels one behind the other ---- */

static int compare_first(const struct frag_reel_row *row, void *user) {
    struct order *order = user;
    if (row->ordinal <= order->ordinal) {
        return tell(order, row, "the ordinal was used before, or is lower than an older one");
    }
    if (row->discontinuities < order->discontinuities) {
        return tell(order, row, "there were more discontinuities before it than it counts");
    }
    return KN_E_CLOSED;
}

static void finish_span(struct order *order, struct span *span) {
    const struct frag_index_span *of = &span->of;
    span->active = false;
    order->any_finished = true;
    order->ordinal = of->last_ordinal > order->ordinal ? of->last_ordinal : order->ordinal;
    order->discontinuities =
        of->discontinuities > order->discontinuities ? of->discontinuities : order->discontinuities;
}

/* ---- reels that overlap ---- */

static int keep_row(const struct frag_reel_row *row, void *user) {
    struct order *order = user;
    void *rows = order->rows;
    int rc = grow(&rows, sizeof(*order->rows), order->row_count, &order->row_room);
    order->rows = rows;
    if (rc == 0) {
        order->rows[order->row_count++] = *row;
    }
    return rc;
}

static int load_rows(struct order *order, const struct span *span) {
    if (order->with == span) {
        return 0;
    }
    order->with = NULL;
    order->row_count = 0;
    int rc = frag_index_each_fragment(order->check->index, span->row, keep_row, order);
    order->with = rc == 0 ? span : NULL;
    return rc;
}

/* How many rows have a lower sequence. */
static size_t count_below(const struct order *order, uint64_t sequence) {
    size_t low = 0;
    size_t high = order->row_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (order->rows[middle].number.sequence < sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* All but its place. */
static bool is_copy(const struct frag_reel_row *a, const struct frag_reel_row *b) {
    return a->number.server_ms == b->number.server_ms && a->number.low == b->number.low &&
           a->ordinal == b->ordinal && a->discontinuities == b->discontinuities &&
           a->cluster_bytes == b->cluster_bytes && a->producer.ns == b->producer.ns &&
           a->server.ns == b->server.ns && a->duration_ns == b->duration_ns && a->flags == b->flags;
}

static bool in_order(const struct frag_reel_row *lower, const struct frag_reel_row *higher) {
    return lower->ordinal < higher->ordinal && lower->discontinuities <= higher->discontinuities;
}

static int compare_row(const struct frag_reel_row *row, void *user) {
    struct order *order = user;
    size_t below = count_below(order, row->number.sequence);
    size_t above = below;
    if (below < order->row_count && order->rows[below].number.sequence == row->number.sequence) {
        above++;
        if (!order->with->kept && !order->now->kept) {
            return tell(order, row, "two reels have a fragment with this number");
        }
        if (!is_copy(&order->rows[below], row)) {
            return tell(order, row, "the kept copy of this fragment is another than the original");
        }
    }
    if ((below > 0 && !in_order(&order->rows[below - 1], row)) ||
        (above < order->row_count && !in_order(row, &order->rows[above]))) {
        return tell(order, row, "ordinals or discontinuities are not in the order of numbers");
    }
    return 0;
}

static int compare_reels(struct order *order, const struct span *with) {
    struct frag_index *index = order->check->index;
    int rc = load_rows(order, with);
    if (rc == 0) {
        rc = frag_index_each_fragment(index, order->now->row, compare_row, order);
    }
    return settle(order, rc);
}

/* ---- one stream ---- */

static int add_span(const struct frag_index_reel *reel, void *user) {
    struct order *order = user;
    void *spans = order->spans;
    if (reel->fragments == 0) {
        return 0;
    }
    int rc = grow(&spans, sizeof(*order->spans), order->count, &order->room);
    order->spans = spans;
    if (rc == 0) {
        order->spans[order->count++] =
            (struct span){.row = reel->row,
                          .kept = (reel->identity.flags & FRAG_REEL_KEPT) != 0,
                          .active = true,
                          .of = reel->span};
    }
    return rc;
}

static int compare_spans(const void *a, const void *b) {
    const struct span *left = a;
    const struct span *right = b;
    uint64_t left_first = left->of.first_sequence;
    uint64_t right_first = right->of.first_sequence;
    return left_first != right_first ? (left_first > right_first ? 1 : -1)
                                     : (left->row > right->row) - (left->row < right->row);
}

static int load_spans(struct order *order, const uint8_t stream[static FRAG_ID_BYTES]) {
    memcpy(order->stream, stream, FRAG_ID_BYTES);
    (void)frag_check_stream_name(order->check, stream, order->name);
    order->count = 0;
    order->with = NULL;
    int rc = frag_index_each_reel_of(order->check->index, stream, add_span, order);
    if (order->count > 0) {
        qsort(order->spans, order->count, sizeof(*order->spans), compare_spans);
    }
    return settle(order, rc);
}

static int check_span(struct order *order, size_t at) {
    order->now = &order->spans[at];
    int rc = 0;
    for (size_t i = order->active; i < at && rc == 0; i++) {
        struct span *span = &order->spans[i];
        if (span->active && span->of.last_sequence < order->now->of.first_sequence) {
            finish_span(order, span);
        } else if (span->active) {
            rc = compare_reels(order, span);
        }
    }
    while (order->active < at && !order->spans[order->active].active) {
        order->active++;
    }
    if (rc == 0 && order->any_finished) {
        rc = settle(order, frag_index_each_fragment(order->check->index, order->now->row,
                                                    compare_first, order));
    }
    return rc;
}

static int check_stream(struct order *order, const uint8_t stream[static FRAG_ID_BYTES]) {
    int rc = load_spans(order, stream);
    order->any_finished = false;
    order->ordinal = 0;
    order->discontinuities = 0;
    order->active = 0;
    for (size_t i = 0; i < order->count && rc == 0; i++) {
        rc = check_span(order, i);
    }
    return rc;
}

/* ---- gaps ---- */

static int compare_gap(const struct frag_reel_row *row, void *user) {
    struct order *order = user;
    uint64_t first = order->gap->ordinal;
    return row->ordinal < first || row->ordinal - first >= order->gap->ordinals
               ? 0
               : tell(order, row, "the journal has a gap in which no fragment has this ordinal");
}

static int check_gap(struct order *order, const struct frag_gap_entry *gap) {
    int rc = 0;
    order->gap = gap;
    for (size_t i = 0; i < order->count && rc == 0; i++) {
        const struct frag_index_span *of = &order->spans[i].of;
        order->now = &order->spans[i];
        if (of->first_ordinal < gap->ordinal + gap->ordinals && of->last_ordinal >= gap->ordinal) {
            rc = settle(order, frag_index_each_fragment(order->check->index, order->now->row,
                                                        compare_gap, order));
        }
    }
    return rc;
}

static int check_gaps(struct order *order) {
    int rc = order->gap_count > 0 ? load_spans(order, order->stream) : 0;
    for (size_t i = 0; i < order->gap_count && rc == 0; i++) {
        rc = check_gap(order, &order->gaps[i]);
    }
    order->gap_count = 0;
    return rc;
}

/* Keys come in order of streams. */
static int take_gap(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct order *order = user;
    struct frag_gap_key at;
    struct frag_gap_entry gap;
    if (frag_gap_key_read(key, &at) != 0 || frag_value_read_gap(value, &gap) != 0 ||
        gap.ordinals == 0) {
        return 0; /* what cannot be read is told with the values */
    }
    if (gap.gap.cause == FRAG_GAP_FILE_LOST) {
        return 0; /* its file may be back, and a session beside it had numbers in between */
    }
    int rc = 0;
    if (order->gap_count > 0 && memcmp(at.stream, order->stream, FRAG_ID_BYTES) != 0) {
        rc = check_gaps(order);
    }
    memcpy(order->stream, at.stream, FRAG_ID_BYTES);
    void *gaps = order->gaps;
    rc = rc == 0 ? grow(&gaps, sizeof(*order->gaps), order->gap_count, &order->gap_room) : rc;
    order->gaps = gaps;
    if (rc == 0) {
        order->gaps[order->gap_count++] = gap;
    }
    return rc;
}

/* ---- all ---- */

static int add_stream(const struct frag_index_totals *totals, void *user) {
    struct order *order = user;
    void *streams = order->streams;
    int rc = grow(&streams, sizeof(*order->streams), order->stream_count, &order->stream_room);
    order->streams = streams;
    if (rc == 0) {
        memcpy(order->streams[order->stream_count++], totals->stream, FRAG_ID_BYTES);
    }
    return rc;
}

static int check_all(struct order *order) {
    struct frag_check *check = order->check;
    int rc = settle(order, frag_index_each_total(check->index, add_stream, order));
    for (size_t i = 0; i < order->stream_count && rc == 0; i++) {
        rc = check_stream(order, order->streams[i]);
    }
    if (rc == 0 && check->catalog != NULL) {
        rc = frag_catalog_each(check->catalog, FRAG_CATALOG_GAP, take_gap, order);
        rc = rc == 0 ? check_gaps(order) : rc;
    }
    return rc;
}

int frag_check_order(struct frag_check *check) {
    struct order *order = calloc(1, sizeof(*order));
    if (check->index == NULL || order == NULL) {
        free(order);
        return check->index == NULL ? 0 : -ENOMEM;
    }
    order->check = check;
    int rc = check_all(order);
    free(order->spans);
    free(order->rows);
    free(order->gaps);
    free(order->streams);
    free(order);
    return rc;
}
