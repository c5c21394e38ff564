#include "tests/support/index_world.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TICK_NS (100 * KN_NS_PER_MS)
#define START_NS INT64_C(1790000000000000000)
#define NONE WORLD_REELS

uint64_t world_draw(struct world *world) {
    world->seed ^= world->seed << 13;
    world->seed ^= world->seed >> 7;
    world->seed ^= world->seed << 17;
    return world->seed;
}

int64_t world_between(struct world *world, int64_t low, int64_t high) {
    return low + (int64_t)(world_draw(world) % (uint64_t)(high - low + 1));
}

static bool one_in(struct world *world, uint64_t n) {
    return world_draw(world) % n == 0;
}

void world_init(struct world *world, uint64_t seed) {
    *world = (struct world){.seed = seed * UINT64_C(0x9E3779B97F4A7C15) + 1, .server_ns = START_NS};
    world->reels = calloc(WORLD_REELS, sizeof(*world->reels));
    assert_non_null(world->reels);
    for (size_t i = 0; i < WORLD_STREAMS; i++) {
        world->streams[i].sequence = UINT64_C(3) << 32;
        for (size_t j = 0; j < WORLD_SESSIONS; j++) {
            world->streams[i].open[j] = NONE;
        }
    }
}

void world_finish(struct world *world) {
    free(world->reels);
    free(world->fragments);
}

const uint8_t *world_stream_id(size_t stream) {
    static const uint8_t ids[WORLD_STREAMS + 1][FRAG_ID_BYTES] = {
        {0x11, 1}, {0x22, 2}, {0x33, 3}, {0x44, 4}};
    return ids[stream];
}

/* ---- growing ---- */

static void fill_id(struct world *world, uint8_t id[static FRAG_ID_BYTES]) {
    for (size_t i = 0; i < FRAG_ID_BYTES; i++) {
        id[i] = (uint8_t)world_draw(world);
    }
}

struct frag_index_reel world_make_reel(struct world *world, size_t stream, char path[static 96]) {
    struct frag_index_reel reel = {
        .folder = (uint16_t)(world_draw(world) % 3),
        .path = path,
        .bytes = FRAG_REEL_BODY_AT + world_draw(world) % 5000,
    };
    reel.identity = (struct frag_reel_identity){
        .flags = (uint16_t)(world_draw(world) % 2 * FRAG_REEL_RELATIVE),
        .epoch = 3,
        .opened = {world->server_ns},
        .producer_start = {world_between(world, -5, 5)},
        .timecode_scale_ns = 1000000,
        .number_low = (uint32_t)(world_draw(world) & 0x0fffffff),
        .producer_header_bytes = (uint32_t)(world_draw(world) % 1000),
    };
    memcpy(reel.identity.stream_id, world_stream_id(stream), FRAG_ID_BYTES);
    memset(reel.identity.store_id, 0x5a, FRAG_ID_BYTES);
    fill_id(world, reel.identity.reel_id);
    fill_id(world, reel.identity.session_id);
    (void)snprintf(path, 96, "reels/stream-%zu/2026-11-20/%016" PRIx64 ".mkv", stream,
                   world_draw(world));
    return reel;
}

struct frag_reel_row world_make_row(const struct frag_index_reel *reel,
                                    const struct frag_reel_row *last) {
    struct frag_reel_row row = {
        .cluster_at = reel->bytes,
        .cluster_bytes = 1000,
        .trailer_bytes = FRAG_REEL_TRAILER_LEAST,
        .number = {.sequence = 1, .server_ms = 1, .low = reel->identity.number_low},
        .producer = {START_NS},
        .server = {START_NS},
        .duration_ns = 2 * KN_NS_PER_S,
    };
    if (last != NULL) {
        row.cluster_at = last->cluster_at + last->cluster_bytes + last->trailer_bytes;
        row.number.sequence = last->number.sequence + 1;
        row.ordinal = last->ordinal + 1;
        row.discontinuities = last->discontinuities;
        row.producer.ns = last->producer.ns + 2 * KN_NS_PER_S;
        row.server.ns = last->server.ns + 2 * KN_NS_PER_S;
    }
    return row;
}

static struct world_reel *new_reel(struct world *world, size_t stream) {
    assert_true(world->reel_count < WORLD_REELS);
    struct world_reel *made = &world->reels[world->reel_count++];
    made->stream = stream;
    made->reel = world_make_reel(world, stream, made->path);
    return made;
}

static void remember(struct world *world, size_t reel, const struct frag_reel_row *row) {
    if (world->count == world->room) {
        world->room = world->room * 2 + 256;
        world->fragments = realloc(world->fragments, world->room * sizeof(*world->fragments));
        assert_non_null(world->fragments);
    }
    world->fragments[world->count++] = (struct world_fragment){.reel = reel, .row = *row};
    struct world_reel *in = &world->reels[reel];
    const int64_t times_ns[2] = {row->producer.ns, row->server.ns};
    for (size_t i = 0; i < 2; i++) {
        bool first = in->reel.fragments == 0;
        in->min_ns[i] = first || times_ns[i] < in->min_ns[i] ? times_ns[i] : in->min_ns[i];
        in->max_ns[i] = first || times_ns[i] > in->max_ns[i] ? times_ns[i] : in->max_ns[i];
    }
    in->reel.fragments++;
    in->reel.bytes = row->cluster_at + row->cluster_bytes + row->trailer_bytes;
}

static void close_session(struct world *world, struct frag_index *index, size_t stream,
                          size_t session) {
    size_t *open = &world->streams[stream].open[session];
    struct world_reel *reel = &world->reels[*open];
    reel->reel.bytes += world_draw(world) % 1000;
    assert_int_equal(frag_index_close_reel(index, reel->reel.row, reel->reel.bytes), 0);
    reel->reel.state = FRAG_REEL_CLOSED;
    *open = NONE;
}

static bool fits(const struct world_reel *reel, int64_t producer_ns, int64_t server_ns) {
    const int64_t times_ns[2] = {producer_ns, server_ns};
    for (size_t i = 0; i < 2 && reel->reel.fragments > 0; i++) {
        if (times_ns[i] > reel->min_ns[i] + FRAG_REEL_SPAN_NS ||
            times_ns[i] < reel->max_ns[i] - FRAG_REEL_SPAN_NS) {
            return false;
        }
    }
    return true;
}

static void step_clocks(struct world *world, struct world_stream *stream, size_t session) {
    world->server_ns += world_between(world, 0, 3) * TICK_NS;
    if (one_in(world, 150)) {
        world->server_ns += world_between(world, -40, 40) * 60 * KN_NS_PER_S;
    }
    int64_t *producer_ns = &stream->producer_ns[session];
    *producer_ns += world_between(world, -3, 20) * TICK_NS + (one_in(world, 9) ? 1 : 0);
    if (one_in(world, 25)) {
        *producer_ns += world_between(world, -6, 6) * 60 * KN_NS_PER_S;
    }
}

static void open_session(struct world *world, struct frag_index *index, size_t stream,
                         size_t session) {
    struct world_reel *reel = new_reel(world, stream);
    assert_int_equal(frag_index_add_reel(index, &reel->reel, &reel->reel.row), 0);
    world->streams[stream].open[session] = world->reel_count - 1;
    if (one_in(world, 2)) {
        world->streams[stream].producer_ns[session] =
            world->server_ns + world_between(world, -30, 30) * 60 * KN_NS_PER_S;
    }
}

static void add_fragment(struct world *world, struct frag_index *index) {
    size_t stream = world_draw(world) % WORLD_STREAMS;
    size_t session = world_draw(world) % WORLD_SESSIONS;
    struct world_stream *state = &world->streams[stream];
    step_clocks(world, state, session);
    size_t *open = &state->open[session];
    if (*open != NONE &&
        !fits(&world->reels[*open], state->producer_ns[session], world->server_ns)) {
        close_session(world, index, stream, session);
    }
    if (*open == NONE) {
        open_session(world, index, stream, session);
    }
    struct world_reel *reel = &world->reels[*open];
    bool torn = one_in(world, 10);
    state->sequence += 1 + (one_in(world, 20) ? world_draw(world) % 50 : 0);
    state->ordinal += torn ? 2 : 1;
    state->discontinuities += torn ? 1 : 0;
    struct frag_reel_row row = {
        .cluster_at = reel->reel.bytes + (one_in(world, 10) ? 17 : 0),
        .cluster_bytes = 500 + world_draw(world) % 1000000,
        .trailer_bytes = FRAG_REEL_TRAILER_LEAST + (one_in(world, 10) ? 40 : 0),
        .number = {.sequence = state->sequence,
                   .server_ms = (uint64_t)(world->server_ns / KN_NS_PER_MS),
                   .low = reel->reel.identity.number_low},
        .ordinal = state->ordinal,
        .discontinuities = state->discontinuities,
        .producer = {state->producer_ns[session]},
        .server = {world->server_ns},
        .duration_ns = world_between(world, 0, 20) * TICK_NS,
        .flags = torn ? FRAG_DISCONTINUITY : 0,
    };
    assert_int_equal(frag_index_add_fragment(index, reel->reel.row, &row), 0);
    remember(world, *open, &row);
}

static void delete_some(struct world *world, struct frag_index *index) {
    size_t at = world_draw(world) % world->reel_count;
    struct world_reel *reel = &world->reels[at];
    if (reel->dropped) {
        return;
    }
    for (size_t i = 0; i < WORLD_SESSIONS; i++) {
        size_t *open = &world->streams[reel->stream].open[i];
        *open = *open == at ? NONE : *open;
    }
    assert_int_equal(frag_index_mark_deleting(index, reel->reel.row), 0);
    reel->reel.state = FRAG_REEL_DELETING;
    if (one_in(world, 2)) {
        assert_int_equal(frag_index_drop_reel(index, reel->reel.row), 0);
        reel->dropped = true;
    }
}

/* Some fragments of a closed reel stand in a kept one too. */
static void keep_some(struct world *world, struct frag_index *index) {
    static uint8_t table[65536];
    static struct frag_reel_row rows[1024];
    size_t from = world_draw(world) % world->reel_count;
    const struct world_reel *old = &world->reels[from];
    if (old->reel.state != FRAG_REEL_CLOSED || old->dropped) {
        return;
    }
    struct world_reel *kept = new_reel(world, old->stream);
    kept->reel.identity.flags = FRAG_REEL_KEPT;
    kept->reel.identity.number_low = old->reel.identity.number_low;
    uint64_t at = kept->reel.bytes;
    size_t count = 0;
    for (size_t i = 0; i < world->count && count < KN_COUNT(rows); i++) {
        if (world->fragments[i].reel == from && !one_in(world, 3)) {
            struct frag_reel_row *row = &rows[count++];
            *row = world->fragments[i].row;
            row->cluster_at = at;
            at += row->cluster_bytes + row->trailer_bytes;
        }
    }
    struct kn_writer writer;
    kn_writer_init(&writer, table, sizeof(table));
    frag_reel_pack_table(&writer, rows, count);
    assert_int_equal(kn_writer_status(&writer), 0);
    kept->reel.bytes = at + 100;
    assert_int_equal(
        frag_index_add_closed_reel(index, &kept->reel, writer.data, writer.size, &kept->reel.row),
        0);
    kept->reel.state = FRAG_REEL_CLOSED;
    for (size_t i = 0; i < count; i++) {
        remember(world, world->reel_count - 1, &rows[i]);
    }
    kept->reel.bytes = at + 100;
}

void world_grow(struct world *world, struct frag_index *index, size_t fragments) {
    size_t target = world->count + fragments;
    assert_int_equal(frag_index_begin(index), 0);
    while (world->count < target) {
        add_fragment(world, index);
        if (!world->only_add && one_in(world, 30)) {
            size_t stream = world_draw(world) % WORLD_STREAMS;
            size_t session = world_draw(world) % WORLD_SESSIONS;
            if (world->streams[stream].open[session] != NONE) {
                close_session(world, index, stream, session);
            }
        }
        if (!world->only_add && one_in(world, 70)) {
            delete_some(world, index);
        }
        if (!world->only_add && one_in(world, 100)) {
            keep_some(world, index);
        }
        if (one_in(world, 50)) {
            assert_int_equal(frag_index_commit(index, one_in(world, 5)), 0);
            assert_int_equal(frag_index_begin(index), 0);
        }
    }
    assert_int_equal(frag_index_commit(index, false), 0);
}

void world_close_all(struct world *world, struct frag_index *index) {
    assert_int_equal(frag_index_begin(index), 0);
    for (size_t i = 0; i < WORLD_STREAMS; i++) {
        for (size_t j = 0; j < WORLD_SESSIONS; j++) {
            if (world->streams[i].open[j] != NONE) {
                close_session(world, index, i, j);
            }
        }
    }
    assert_int_equal(frag_index_commit(index, true), 0);
}

/* ---- answers ---- */

static bool is_seen(const struct world *world, const struct world_fragment *fragment,
                    size_t stream) {
    const struct world_reel *reel = &world->reels[fragment->reel];
    return reel->stream == stream && reel->reel.state != FRAG_REEL_DELETING;
}

static int64_t time_of(const struct world_fragment *fragment, enum frag_clock clock) {
    return clock == FRAG_CLOCK_PRODUCER ? fragment->row.producer.ns : fragment->row.server.ns;
}

static int64_t row_of(const struct world *world, const struct world_fragment *fragment) {
    return world->reels[fragment->reel].reel.row;
}

const struct world_fragment *world_any(struct world *world, size_t stream) {
    for (int i = 0; i < 200 && world->count > 0; i++) {
        const struct world_fragment *any = &world->fragments[world_draw(world) % world->count];
        if (is_seen(world, any, stream)) {
            return any;
        }
    }
    return NULL;
}

const struct world_fragment *world_find_sequence(const struct world *world, size_t stream,
                                                 uint64_t sequence) {
    const struct world_fragment *best = NULL;
    for (size_t i = 0; i < world->count; i++) {
        const struct world_fragment *one = &world->fragments[i];
        if (is_seen(world, one, stream) && one->row.number.sequence == sequence &&
            (best == NULL || row_of(world, one) > row_of(world, best))) {
            best = one;
        }
    }
    return best;
}

const struct world_fragment *world_find_time(const struct world *world, size_t stream,
                                             enum frag_clock clock, int64_t time_ns) {
    const struct world_fragment *best = NULL;
    for (size_t i = 0; i < world->count; i++) {
        const struct world_fragment *one = &world->fragments[i];
        if (!is_seen(world, one, stream) || time_of(one, clock) > time_ns) {
            continue;
        }
        if (best == NULL || time_of(one, clock) > time_of(best, clock) ||
            (time_of(one, clock) == time_of(best, clock) &&
             (one->row.number.sequence > best->row.number.sequence ||
              (one->row.number.sequence == best->row.number.sequence &&
               row_of(world, one) > row_of(world, best))))) {
            best = one;
        }
    }
    return best;
}

static const struct world_fragment *find_end(const struct world *world, size_t stream, bool last) {
    const struct world_fragment *best = NULL;
    for (size_t i = 0; i < world->count; i++) {
        const struct world_fragment *one = &world->fragments[i];
        if (!is_seen(world, one, stream)) {
            continue;
        }
        uint64_t sequence = one->row.number.sequence;
        uint64_t of_best = best == NULL ? 0 : best->row.number.sequence;
        if (best == NULL || (last ? sequence > of_best : sequence < of_best) ||
            (sequence == of_best && row_of(world, one) > row_of(world, best))) {
            best = one;
        }
    }
    return best;
}

const struct world_fragment *world_earliest(const struct world *world, size_t stream) {
    return find_end(world, stream, false);
}

const struct world_fragment *world_latest(const struct world *world, size_t stream) {
    return find_end(world, stream, true);
}

/* By sequence, then by place in world.fragments: of equal ones the reel added last is last. */
static int compare(const void *a, const void *b) {
    const struct world_fragment *left = *(const struct world_fragment *const *)a;
    const struct world_fragment *right = *(const struct world_fragment *const *)b;
    uint64_t one = left->row.number.sequence;
    uint64_t other = right->row.number.sequence;
    return one != other ? (one > other) - (one < other) : (left > right) - (left < right);
}

size_t world_range(const struct world *world, size_t stream, enum frag_clock clock, int64_t from_ns,
                   int64_t to_ns, const struct world_fragment ***ret_fragments) {
    const struct world_fragment **all = calloc(world->count + 1, sizeof(*all));
    size_t count = 0;
    size_t kept = 0;
    assert_non_null(all);
    for (size_t i = 0; i < world->count; i++) {
        int64_t time_ns = time_of(&world->fragments[i], clock);
        if (is_seen(world, &world->fragments[i], stream) && time_ns >= from_ns &&
            time_ns <= to_ns) {
            all[count++] = &world->fragments[i];
        }
    }
    qsort(all, count, sizeof(*all), compare);
    for (size_t i = 0; i < count; i++) {
        if (i + 1 == count || all[i]->row.number.sequence != all[i + 1]->row.number.sequence) {
            all[kept++] = all[i];
        }
    }
    *ret_fragments = all;
    return kept;
}

bool world_same_row(const struct frag_reel_row *a, const struct frag_reel_row *b) {
    return a->cluster_at == b->cluster_at && a->cluster_bytes == b->cluster_bytes &&
           a->trailer_bytes == b->trailer_bytes && frag_number_compare(a->number, b->number) == 0 &&
           a->ordinal == b->ordinal && a->discontinuities == b->discontinuities &&
           a->producer.ns == b->producer.ns && a->server.ns == b->server.ns &&
           a->duration_ns == b->duration_ns && a->flags == b->flags &&
           a->cluster_crc32c == b->cluster_crc32c && a->frames == b->frames &&
           a->received_unknown == b->received_unknown && a->received_width == b->received_width &&
           a->before_bytes == b->before_bytes && a->after_bytes == b->after_bytes;
}

bool world_has(const struct world *world, size_t stream, const struct frag_index_found *found) {
    for (size_t i = 0; i < world->count; i++) {
        const struct world_fragment *one = &world->fragments[i];
        if (is_seen(world, one, stream) && row_of(world, one) == found->reel &&
            world_same_row(&one->row, &found->row)) {
            return true;
        }
    }
    return false;
}
