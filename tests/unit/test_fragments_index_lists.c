/* Lists of the index: whole reels, reels of one stream, totals. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>
#include <cmocka.h>

#include "base/error.h"
#include "fragments/store/index.h"
#include "fragments/store/index_inner.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/index_world.h"

/* SQLite's calls come here, since the program's symbols stand before the C library's: quick. */
int fdatasync(int fd) {
    (void)fd;
    return 0;
}

int fsync(int fd) {
    (void)fd;
    return 0;
}

static char folder[256];
static char path[300];

static void remove_index(void) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < KN_COUNT(endings); i++) {
        char name[320];
        (void)snprintf(name, sizeof(name), "%s%s", path, endings[i]);
        (void)unlink(name); /* most are not there */
    }
}

static int make_folder(void **state) {
    (void)state;
    const char *place = getenv("TMPDIR");
    (void)snprintf(folder, sizeof(folder), "%s/test_index_lists.XXXXXX",
                   place != NULL && place[0] != '\0' ? place : "/tmp");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/index.db", folder);
    return 0;
}

static int drop_folder(void **state) {
    (void)state;
    remove_index();
    return rmdir(folder);
}

static struct frag_index *open_new(void) {
    struct frag_index *index = NULL;
    remove_index();
    assert_int_equal(frag_index_open(path, FRAG_INDEX_WRITE, &index), 0);
    return index;
}

/* ---- what there must be ---- */

static void take_into(struct frag_index_span *span, bool first, const struct frag_reel_row *row) {
    if (first) {
        *span = (struct frag_index_span){.first_sequence = row->number.sequence,
                                         .first_ordinal = row->ordinal,
                                         .producer_min = row->producer,
                                         .producer_max = row->producer,
                                         .server_min = row->server,
                                         .server_max = row->server};
    }
    span->last_sequence = row->number.sequence;
    span->last_ordinal = row->ordinal;
    span->discontinuities = row->discontinuities;
    if (row->producer.ns < span->producer_min.ns) {
        span->producer_min = row->producer;
    }
    if (row->producer.ns > span->producer_max.ns) {
        span->producer_max = row->producer;
    }
    if (row->server.ns < span->server_min.ns) {
        span->server_min = row->server;
    }
    if (row->server.ns > span->server_max.ns) {
        span->server_max = row->server;
    }
}

/* Of all fragments of the reel, zeros where there are none. */
static struct frag_index_span span_of(const struct world *world, size_t reel) {
    struct frag_index_span span = {0};
    bool first = true;
    for (size_t i = 0; i < world->count; i++) {
        if (world->fragments[i].reel == reel) {
            take_into(&span, first, &world->fragments[i].row);
            first = false;
        }
    }
    return span;
}

static size_t reel_at(const struct world *world, int64_t row) {
    for (size_t i = 0; i < world->reel_count; i++) {
        if (world->reels[i].reel.row == row) {
            return i;
        }
    }
    return SIZE_MAX;
}

static void assert_same_reel(const struct world *world, const struct frag_index_reel *reel) {
    size_t at = reel_at(world, reel->row);
    assert_true(at != SIZE_MAX);
    const struct world_reel *expected = &world->reels[at];
    const struct frag_index_span span = span_of(world, at);
    assert_true(!expected->dropped && reel->state == expected->reel.state);
    assert_true(reel->folder == expected->reel.folder && reel->bytes == expected->reel.bytes &&
                reel->fragments == expected->reel.fragments);
    assert_string_equal(reel->path, expected->path);
    assert_memory_equal(reel->identity.reel_id, expected->reel.identity.reel_id, FRAG_ID_BYTES);
    assert_memory_equal(&reel->span, &span, sizeof(span)); /* has no padding */
}

/* ---- what is met ---- */

struct meeting {
    const struct world *world;
    size_t stream; /* SIZE_MAX: any */
    int64_t rows[WORLD_REELS];
    size_t count;
    bool begun;
    int64_t last_ns;
};

static int meet_reel(const struct frag_index_reel *reel, void *user) {
    struct meeting *meeting = user;
    assert_same_reel(meeting->world, reel);
    if (meeting->stream != SIZE_MAX) {
        assert_memory_equal(reel->identity.stream_id, world_stream_id(meeting->stream),
                            FRAG_ID_BYTES);
        assert_true(reel->state != FRAG_REEL_DELETING);
        /* Those without fragments first, then by their earliest server time. */
        assert_true(!meeting->begun || reel->fragments > 0);
        assert_true(!meeting->begun || reel->span.server_min.ns >= meeting->last_ns);
        meeting->begun = reel->fragments > 0;
        meeting->last_ns = reel->span.server_min.ns;
    }
    for (size_t i = 0; i < meeting->count; i++) {
        assert_true(meeting->rows[i] != reel->row);
    }
    meeting->rows[meeting->count++] = reel->row;
    return 0;
}

static size_t count_reels(const struct world *world, size_t stream) {
    size_t count = 0;
    for (size_t i = 0; i < world->reel_count; i++) {
        const struct world_reel *reel = &world->reels[i];
        count += !reel->dropped && (stream == SIZE_MAX || (reel->stream == stream &&
                                                           reel->reel.state != FRAG_REEL_DELETING));
    }
    return count;
}

static void assert_lists(const struct world *world, struct frag_index *index) {
    static struct meeting meeting;
    meeting = (struct meeting){.world = world, .stream = SIZE_MAX};
    assert_int_equal(frag_index_each_reel(index, meet_reel, &meeting), 0);
    assert_int_equal(meeting.count, count_reels(world, SIZE_MAX));
    for (size_t stream = 0; stream <= WORLD_STREAMS; stream++) { /* the last one has none */
        meeting = (struct meeting){.world = world, .stream = stream};
        assert_int_equal(
            frag_index_each_reel_of(index, world_stream_id(stream), meet_reel, &meeting), 0);
        assert_int_equal(meeting.count, count_reels(world, stream));
    }
}

static void assert_found_by_id(const struct world *world, struct frag_index *index) {
    for (size_t i = 0; i < world->reel_count; i++) {
        const struct world_reel *expected = &world->reels[i];
        struct frag_index_reel by_id, by_row;
        char room[2][FRAG_INDEX_PATH_BYTES];
        int rc = frag_index_find_reel(index, expected->reel.identity.reel_id, room[0],
                                      sizeof(room[0]), &by_id);
        int also =
            frag_index_get_reel(index, expected->reel.row, room[1], sizeof(room[1]), &by_row);
        assert_int_equal(rc, expected->dropped ? -ENOENT : 0);
        assert_int_equal(also, rc);
        if (rc == 0) {
            assert_true(by_id.path == room[0] && by_row.path == room[1]);
            assert_same_reel(world, &by_id);
            assert_same_reel(world, &by_row);
        }
    }
}

struct sums {
    struct frag_index_totals totals[WORLD_STREAMS];
};

static int sum_up(const struct frag_index_totals *totals, void *user) {
    struct sums *sums = user;
    for (size_t i = 0; i < WORLD_STREAMS; i++) {
        if (memcmp(totals->stream, world_stream_id(i), FRAG_ID_BYTES) == 0) {
            assert_int_equal(sums->totals[i].reels, 0); /* told once */
            assert_true(totals->reels > 0);
            sums->totals[i] = *totals;
            return 0;
        }
    }
    fail();
    return 0;
}

static void assert_totals(const struct world *world, struct frag_index *index) {
    struct sums sums = {0};
    struct frag_index_totals expected[WORLD_STREAMS] = {0};
    for (size_t i = 0; i < world->reel_count; i++) {
        const struct world_reel *reel = &world->reels[i];
        if (!reel->dropped && reel->reel.state != FRAG_REEL_DELETING) {
            expected[reel->stream].reels++;
            expected[reel->stream].bytes += reel->reel.bytes;
            expected[reel->stream].fragments += reel->reel.fragments;
        }
    }
    assert_int_equal(frag_index_each_total(index, sum_up, &sums), 0);
    for (size_t i = 0; i < WORLD_STREAMS; i++) {
        assert_true(sums.totals[i].reels == expected[i].reels &&
                    sums.totals[i].bytes == expected[i].bytes &&
                    sums.totals[i].fragments == expected[i].fragments);
    }
}

/* A reel of the stream, without fragments. */
static size_t add_empty(struct world *world, struct frag_index *index, size_t stream) {
    struct world_reel *made = &world->reels[world->reel_count];
    made->stream = stream;
    made->reel = world_make_reel(world, stream, made->path);
    assert_int_equal(frag_index_add_reel(index, &made->reel, &made->reel.row), 0);
    return world->reel_count++;
}

static void lists_are_those_of_looking_through_all(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct world world;
        struct frag_index *index = open_new();
        world_init(&world, seed);
        assert_lists(&world, index);
        assert_totals(&world, index);
        for (int round = 0; round < 4; round++) {
            world_grow(&world, index, 300);
            assert_int_equal(frag_index_begin(index), 0);
            (void)add_empty(&world, index, world_draw(&world) % WORLD_STREAMS);
            assert_lists(&world, index); /* inside a transaction, too */
            assert_totals(&world, index);
            assert_int_equal(frag_index_commit(index, false), 0);
            assert_lists(&world, index);
            assert_found_by_id(&world, index);
            assert_totals(&world, index);
        }
        world_close_all(&world, index);
        assert_lists(&world, index);
        assert_totals(&world, index);
        world_finish(&world);
        frag_index_close(index);
    }
}

static void what_is_not_there(void **state) {
    (void)state;
    struct world world;
    struct frag_index *index = open_new();
    struct frag_index_reel reel = {.row = 77};
    char room[FRAG_INDEX_PATH_BYTES];
    uint8_t id[FRAG_ID_BYTES];
    world_init(&world, 3);
    assert_int_equal(frag_index_begin(index), 0);
    size_t at = add_empty(&world, index, 0);
    assert_int_equal(frag_index_commit(index, false), 0);
    memcpy(id, world.reels[at].reel.identity.reel_id, FRAG_ID_BYTES);
    size_t bytes = strlen(world.reels[at].path) + 1;
    assert_int_equal(frag_index_find_reel(index, id, room, bytes - 1, &reel), KN_E_LIMIT);
    assert_int_equal(reel.row, 77);
    assert_int_equal(frag_index_find_reel(index, id, room, bytes, &reel), 0);
    assert_true(reel.row == world.reels[at].reel.row && reel.span.last_sequence == 0);
    id[15] ^= 1;
    assert_int_equal(frag_index_find_reel(index, id, room, sizeof(room), &reel), -ENOENT);
    world_finish(&world);
    frag_index_close(index);
}

/* ---- what callbacks may do ---- */

struct changing {
    struct frag_index *index;
    struct world *world;
    size_t met, end_after;
};

static int drop_it(const struct frag_index_reel *reel, void *user) {
    struct changing *changing = user;
    changing->met++;
    assert_int_equal(frag_index_begin(changing->index), 0);
    assert_int_equal(frag_index_drop_reel(changing->index, reel->row), 0);
    assert_int_equal(frag_index_commit(changing->index, false), 0);
    changing->world->reels[reel_at(changing->world, reel->row)].dropped = true;
    return 0;
}

static int end_it(const struct frag_index_reel *reel, void *user) {
    struct changing *changing = user;
    (void)reel;
    return ++changing->met == changing->end_after ? -ECANCELED : 1;
}

static int end_totals(const struct frag_index_totals *totals, void *user) {
    struct changing *changing = user;
    (void)totals;
    return ++changing->met == changing->end_after ? -ECANCELED : 1;
}

static void callbacks_end_and_drop(void **state) {
    (void)state;
    struct world world;
    struct frag_index *index = open_new();
    world_init(&world, 11);
    world_grow(&world, index, 600);
    world_close_all(&world, index);
    struct changing changing = {.index = index, .world = &world, .end_after = 2};
    assert_int_equal(frag_index_each_reel_of(index, world_stream_id(1), end_it, &changing),
                     -ECANCELED);
    assert_int_equal(changing.met, 2);
    changing.met = 0;
    assert_int_equal(frag_index_each_total(index, end_totals, &changing), -ECANCELED);
    assert_int_equal(changing.met, 2);
    changing.met = 0;
    size_t reels = count_reels(&world, 1);
    assert_true(reels > 3);
    assert_int_equal(frag_index_each_reel_of(index, world_stream_id(1), drop_it, &changing), 0);
    assert_int_equal(changing.met, reels);
    assert_int_equal(count_reels(&world, 1), 0);
    assert_lists(&world, index);
    assert_totals(&world, index);
    world_finish(&world);
    frag_index_close(index);
}

/* Gives reels that were met, and others, beginnings before and behind where the list stands, and
 * marks one that is still to come. */
static int change_others(const struct frag_index_reel *reel, void *user) {
    struct changing *changing = user;
    struct world *world = changing->world;
    assert_true(reel_at(world, reel->row) != SIZE_MAX);
    assert_int_equal(reel->state, FRAG_REEL_OPEN);
    if (changing->met++ != 2) {
        return 0;
    }
    assert_int_equal(frag_index_begin(changing->index), 0);
    for (size_t i = 0; i < 6; i++) {
        struct world_reel *other = &world->reels[i];
        struct frag_reel_row row = world_make_row(&other->reel, NULL);
        row.number.sequence = i + 1;
        row.server.ns += (int64_t)(i % 2 == 0 ? i : 100 - i) * KN_NS_PER_S;
        assert_int_equal(frag_index_add_fragment(changing->index, other->reel.row, &row), 0);
    }
    assert_int_equal(frag_index_mark_deleting(changing->index, world->reels[5].reel.row), 0);
    assert_int_equal(frag_index_commit(changing->index, false), 0);
    return 0;
}

static void reels_that_move_meanwhile_are_met_once(void **state) {
    (void)state;
    struct world world;
    struct frag_index *index = open_new();
    world_init(&world, 12);
    assert_int_equal(frag_index_begin(index), 0);
    for (size_t i = 0; i < 6; i++) {
        (void)add_empty(&world, index, 0);
    }
    assert_int_equal(frag_index_commit(index, false), 0);
    struct changing changing = {.index = index, .world = &world};
    assert_int_equal(frag_index_each_reel_of(index, world_stream_id(0), change_others, &changing),
                     0);
    assert_int_equal(changing.met, 5); /* all but the one that was marked before its turn */
    world_finish(&world);
    frag_index_close(index);
}

/* ---- cost ---- */

static int count_step(void *user) {
    (*(uint64_t *)user)++;
    return 0;
}

static int take_reel(const struct frag_index_reel *reel, void *user) {
    (void)reel;
    (void)user;
    return 0;
}

/* Of SQLite's machine, for the reels of stream 0 and one reel by its id. */
static uint64_t count_steps(struct frag_index *index, const struct world *world) {
    uint64_t steps = 0;
    struct frag_index_reel reel;
    char room[FRAG_INDEX_PATH_BYTES];
    sqlite3_progress_handler(index->db, 1, count_step, &steps);
    assert_int_equal(frag_index_each_reel_of(index, world_stream_id(0), take_reel, NULL), 0);
    assert_int_equal(frag_index_find_reel(index, world->reels[3].reel.identity.reel_id, room,
                                          sizeof(room), &reel),
                     0);
    sqlite3_progress_handler(index->db, 0, NULL, NULL);
    return steps;
}

static void other_streams_cost_nothing(void **state) {
    (void)state;
    struct world world;
    struct frag_index *index = open_new();
    world_init(&world, 13);
    assert_int_equal(frag_index_begin(index), 0);
    for (size_t i = 0; i < 20; i++) {
        (void)add_empty(&world, index, i % 2);
    }
    assert_int_equal(frag_index_commit(index, false), 0);
    uint64_t alone = count_steps(index, &world);
    assert_int_equal(frag_index_begin(index), 0);
    for (size_t i = 0; i < 2000; i++) {
        (void)add_empty(&world, index, 1 + i % 2);
    }
    assert_int_equal(frag_index_commit(index, false), 0);
    assert_true(alone > 100);
    assert_true(count_steps(index, &world) == alone);
    world_finish(&world);
    frag_index_close(index);
}

/* ---- damage, memory ---- */

static int take_totals(const struct frag_index_totals *totals, void *user) {
    (void)totals;
    (void)user;
    return 0;
}

/* What each list says of a store with this done to one of its reels. */
static void assert_damaged(const char *sql, int of_stream, int by_id, int totals) {
    struct world world;
    struct frag_index *index = open_new();
    struct frag_index_reel reel;
    char room[FRAG_INDEX_PATH_BYTES];
    world_init(&world, 14);
    world_grow(&world, index, 100);
    frag_index_close(index);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(frag_index_open(path, FRAG_INDEX_READ, &index), 0);
    const struct world_reel *first = &world.reels[0];
    assert_int_equal(first->reel.row, 1);
    assert_int_equal(
        frag_index_each_reel_of(index, world_stream_id(first->stream), take_reel, NULL), of_stream);
    assert_int_equal(
        frag_index_find_reel(index, first->reel.identity.reel_id, room, sizeof(room), &reel),
        by_id);
    assert_int_equal(frag_index_each_total(index, take_totals, NULL), totals);
    world_finish(&world);
    frag_index_close(index);
}

static void damaged_rows_are_refused(void **state) {
    (void)state;
    assert_damaged("UPDATE reel SET bytes = bytes + 0", 0, 0, 0);
    assert_damaged("UPDATE reel SET bytes = bytes + 1 WHERE reel = 1", KN_E_MALFORMED,
                   KN_E_MALFORMED, KN_E_MALFORMED);
    assert_damaged("UPDATE reel SET reel_id = x'00112233445566778899aabbccddeeff' WHERE reel = 1",
                   KN_E_MALFORMED, -ENOENT, KN_E_MALFORMED);
    assert_damaged("UPDATE reel SET server_min_ns = server_min_ns - 1 WHERE reel = 1",
                   KN_E_MALFORMED, KN_E_MALFORMED, KN_E_MALFORMED);
}

static void out_of_memory_everywhere(void **state) {
    (void)state;
    struct world world;
    struct frag_index *index = open_new();
    world_init(&world, 15);
    assert_int_equal(frag_index_begin(index), 0);
    for (size_t i = 0; i < 600; i++) {
        (void)add_empty(&world, index, i % 2);
    }
    assert_int_equal(frag_index_commit(index, false), 0);
    bool reached = true;
    unsigned long k = 1;
    for (; reached; k++) {
        fail_alloc_at(k);
        int rc = frag_index_each_reel_of(index, world_stream_id(0), take_reel, NULL);
        int totals = rc == 0 ? frag_index_each_total(index, take_totals, NULL) : rc;
        reached = fail_alloc_count() >= k;
        fail_alloc_stop();
        assert_int_equal(totals, reached ? -ENOMEM : 0);
    }
    assert_true(k >= 5);
    world_finish(&world);
    frag_index_close(index);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_those_of_looking_through_all),
        cmocka_unit_test(what_is_not_there),
        cmocka_unit_test(callbacks_end_and_drop),
        cmocka_unit_test(reels_that_move_meanwhile_are_met_once),
        cmocka_unit_test(other_streams_cost_nothing),
        cmocka_unit_test(damaged_rows_are_refused),
        cmocka_unit_test(out_of_memory_everywhere),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
