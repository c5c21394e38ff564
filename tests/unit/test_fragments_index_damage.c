/* The index on damaged files and without memory: it fails cleanly, and what it serves is right. */
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
#include "tests/support/fail_alloc.h"
#include "tests/support/index_world.h"

#define DAMAGES 200

static char folder[256];
static char path[300];

/* Nothing here is about power cuts: quicker without. */
int fdatasync(int fd) {
    (void)fd;
    return 0;
}

int fsync(int fd) {
    (void)fd;
    return 0;
}

static void remove_index(void) {
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < KN_COUNT(endings); i++) {
        char name[320];
        (void)snprintf(name, sizeof(name), "%s%s", path, endings[i]);
        (void)unlink(name); /* most are not there */
    }
}

static int make_folder(void **state) {
    (void)state;
    const char *place = getenv("TMPDIR");
    (void)snprintf(folder, sizeof(folder), "%s/test_index.XXXXXX",
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

/* ---- damage ---- */

static uint8_t *read_index(size_t *ret_size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    assert_true(size > 0);
    uint8_t *data = malloc((size_t)size);
    assert_non_null(data);
    assert_int_equal(fseek(file, 0, SEEK_SET), 0);
    assert_int_equal(fread(data, 1, (size_t)size, file), size);
    assert_int_equal(fclose(file), 0);
    *ret_size = (size_t)size;
    return data;
}

static void write_index(const uint8_t *data, size_t size) {
    remove_index();
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

struct tally {
    struct world *world;
    size_t stream;
    size_t served, refused;
};

/* What is served is a row that the store has; all else is an error that says so. */
static void judge(struct tally *tally, int rc, const struct frag_index_found *found) {
    if (rc == 0) {
        assert_true(world_has(tally->world, tally->stream, found));
        tally->served++;
        return;
    }
    assert_true(rc == -ENOENT || rc == KN_E_MALFORMED || rc == -EIO || rc == -ENOMEM);
    tally->refused += rc == -ENOENT ? 0 : 1;
}

static void judge_range(struct tally *tally, struct frag_index *index, int64_t from_ns,
                        int64_t to_ns, enum frag_clock clock) {
    struct frag_index_found found[40];
    uint64_t after = 0;
    for (int page = 0; page < 4; page++) {
        int rc = frag_index_range(index, world_stream_id(tally->stream), clock,
                                  (struct kn_wall){from_ns}, (struct kn_wall){to_ns}, after, found,
                                  KN_COUNT(found));
        if (rc <= 0) {
            judge(tally, rc == 0 ? -ENOENT : rc, NULL);
            return;
        }
        for (int i = 0; i < rc; i++) {
            assert_true(found[i].row.number.sequence > after);
            after = found[i].row.number.sequence;
            judge(tally, 0, &found[i]);
        }
    }
}

static int count_reel(const struct frag_index_reel *reel, void *user) {
    struct tally *tally = user;
    for (size_t i = 0; i < tally->world->reel_count; i++) {
        const struct world_reel *one = &tally->world->reels[i];
        if (memcmp(one->reel.identity.reel_id, reel->identity.reel_id, FRAG_ID_BYTES) == 0) {
            assert_string_equal(one->path, reel->path);
            assert_int_equal(one->reel.folder, reel->folder);
            assert_int_equal(one->reel.bytes, reel->bytes);
            assert_int_equal(one->reel.state, reel->state);
            tally->served++;
            return 0;
        }
    }
    fail_msg("a reel that never was");
    return -EINVAL;
}

static int count_row(const struct frag_reel_row *row, void *user) {
    (void)row;
    return *(int *)user;
}

static void ask(struct tally *tally, struct frag_index *index) {
    struct frag_index_found found;
    struct world *world = tally->world;
    int nothing = 0;
    for (tally->stream = 0; tally->stream < WORLD_STREAMS; tally->stream++) {
        const uint8_t *id = world_stream_id(tally->stream);
        judge(tally, frag_index_earliest(index, id, &found), &found);
        judge(tally, frag_index_latest(index, id, &found), &found);
        for (int i = 0; i < 4; i++) {
            const struct frag_reel_row *row =
                &world->fragments[world_draw(world) % world->count].row;
            judge(tally, frag_index_find_sequence(index, id, row->number.sequence, &found), &found);
            judge(tally, frag_index_find_time(index, id, FRAG_CLOCK_SERVER, row->server, &found),
                  &found);
            judge(tally,
                  frag_index_find_time(index, id, FRAG_CLOCK_PRODUCER, row->producer, &found),
                  &found);
            judge_range(tally, index, row->server.ns, row->server.ns + 60 * KN_NS_PER_S,
                        FRAG_CLOCK_SERVER);
        }
        judge_range(tally, index, INT64_MIN, INT64_MAX, FRAG_CLOCK_PRODUCER);
    }
    judge(tally, frag_index_each_reel(index, count_reel, tally) < 0 ? KN_E_MALFORMED : -ENOENT,
          NULL);
    for (int64_t reel = 1; reel < 8; reel++) {
        int rc = frag_index_each_fragment(index, reel, count_row, &nothing);
        judge(tally, rc == 0 ? -ENOENT : rc, NULL);
    }
}

/* A writer on a damaged file: whatever it says, it does not stop the program. */
static void meddle(struct world *world, struct frag_index *index) {
    if (frag_index_begin(index) != 0) {
        return;
    }
    for (int i = 0; i < 6; i++) {
        const struct world_reel *reel = &world->reels[world_draw(world) % world->reel_count];
        struct frag_reel_row row = {0};
        for (size_t j = 0; j < world->count; j++) {
            row = &world->reels[world->fragments[j].reel] == reel ? world->fragments[j].row : row;
        }
        row = world_make_row(&reel->reel, row.cluster_at > 0 ? &row : NULL);
        int rc = frag_index_add_fragment(index, reel->reel.row, &row);
        rc = rc == 0 ? frag_index_close_reel(index, reel->reel.row, UINT64_C(1) << 40) : rc;
        rc = i % 2 == 0 ? frag_index_mark_deleting(index, reel->reel.row) : rc;
        rc = i % 3 == 0 ? frag_index_drop_reel(index, reel->reel.row) : rc;
        (void)rc;
    }
    (void)!frag_index_commit(index, true);
}

static void damage(struct world *world, uint8_t *data, size_t size) {
    int64_t flips = world_between(world, 1, 24);
    for (int64_t i = 0; i < flips; i++) {
        /* Half of them at the beginnings of pages, where the b-trees have their own. */
        size_t at = world_draw(world) % size;
        at = world_draw(world) % 2 == 0 ? at : at / 16384 * 16384 + at % 200;
        data[at] ^= (uint8_t)(1 + world_draw(world) % 255);
    }
}

static void damaged_files(void **state) {
    (void)state;
    struct world world;
    struct tally tally = {.world = &world};
    size_t opened = 0;
    size_t size = 0;
    remove_index();
    world_init(&world, 11);
    struct frag_index *index = NULL;
    assert_int_equal(frag_index_open(path, FRAG_INDEX_WRITE, &index), 0);
    world_grow(&world, index, 1500);
    frag_index_close(index);
    uint8_t *good = read_index(&size);
    uint8_t *bad = malloc(size);
    assert_non_null(bad);
    for (int i = 0; i < DAMAGES; i++) {
        memcpy(bad, good, size);
        size_t kept = size;
        if (i % 10 == 9) {
            kept = world_draw(&world) % size;
        } else {
            damage(&world, bad, size);
        }
        write_index(bad, kept);
        enum frag_index_mode mode = i % 4 == 0 ? FRAG_INDEX_WRITE : FRAG_INDEX_READ;
        int rc = frag_index_open(path, mode, &index);
        if (rc != 0) {
            assert_true(rc == KN_E_MALFORMED || rc == KN_E_UNSUPPORTED || rc == -ENOENT ||
                        rc == -EIO);
            continue;
        }
        opened++;
        ask(&tally, index);
        if (mode == FRAG_INDEX_WRITE) {
            meddle(&world, index);
        }
        frag_index_close(index);
    }
    print_message("# %zu of %d opened, %zu served, %zu refused\n", opened, DAMAGES, tally.served,
                  tally.refused);
    assert_true(opened > DAMAGES / 4 && tally.served > 1000 && tally.refused > 100);
    free(bad);
    free(good);
    world_finish(&world);
}

/* Values that a row's checksum would find, put in with SQL, one by one. */
static void rows_of_somebody_else(void **state) {
    (void)state;
    static const char *const sql[] = {
        "UPDATE reel SET path = 'elsewhere'",
        "UPDATE reel SET folder = folder + 1",
        "UPDATE reel SET bytes = bytes + 1",
        "UPDATE reel SET last_sequence = last_sequence + 1",
        "UPDATE reel SET stream = stream % 3 + 1",
        "UPDATE stream SET id = randomblob(16)",
        "UPDATE packed SET data = (SELECT min(data) FROM packed)",
        "UPDATE packed SET data = substr(data, 1, length(data) - 1)",
        "UPDATE fragment SET cluster_at = cluster_at + 1",
        "UPDATE fragment SET producer_ns = producer_ns + 1",
        "UPDATE fragment SET flags = 1 - flags % 2",
        "DELETE FROM packed; DELETE FROM fragment",
        "DROP TABLE fragment; DROP TABLE packed",
        "DROP INDEX reel_by_server",
    };
    struct world world;
    size_t size = 0;
    remove_index();
    world_init(&world, 12);
    struct frag_index *index = NULL;
    assert_int_equal(frag_index_open(path, FRAG_INDEX_WRITE, &index), 0);
    world_grow(&world, index, 300);
    frag_index_close(index);
    uint8_t *good = read_index(&size);
    for (size_t i = 0; i < KN_COUNT(sql); i++) {
        struct tally tally = {.world = &world};
        sqlite3 *db = NULL;
        write_index(good, size);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql[i], NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        assert_int_equal(frag_index_open(path, FRAG_INDEX_READ, &index), 0);
        ask(&tally, index);
        assert_true(tally.refused > 0);
        frag_index_close(index);
    }
    free(good);
    world_finish(&world);
}

/* Each good in itself, but not this reel's. */
static void a_table_of_another_reel(void **state) {
    (void)state;
    struct world world;
    struct frag_index *index = NULL;
    struct frag_index_found found;
    sqlite3 *db = NULL;
    remove_index();
    world_init(&world, 1);
    assert_int_equal(frag_index_open(path, FRAG_INDEX_WRITE, &index), 0);
    assert_int_equal(frag_index_begin(index), 0);
    for (size_t i = 0; i < 2; i++) {
        char room[96];
        int64_t reel_row = 0;
        struct frag_index_reel reel = world_make_reel(&world, i, room);
        struct frag_reel_row row = world_make_row(&reel, NULL);
        row.cluster_bytes += i;
        assert_int_equal(frag_index_add_reel(index, &reel, &reel_row), 0);
        assert_int_equal(frag_index_add_fragment(index, reel_row, &row), 0);
        assert_int_equal(frag_index_close_reel(index, reel_row, row.cluster_at + 5000), 0);
        assert_int_equal(frag_index_latest(index, world_stream_id(i), &found), 0);
    }
    assert_int_equal(frag_index_commit(index, false), 0);
    frag_index_close(index);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "UPDATE packed SET packed = packed + 10;"
                                  "UPDATE packed SET packed = 13 - packed",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(frag_index_open(path, FRAG_INDEX_READ, &index), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(frag_index_latest(index, world_stream_id(i), &found), KN_E_MALFORMED);
    }
    frag_index_close(index);
    world_finish(&world);
}

/* ---- no memory: ours, and SQLite's, which is told to take it from here ---- */

#define HEAD 16 /* keeps what malloc aligns */

static void *sql_malloc(int size) {
    uint8_t *room = malloc((size_t)size + HEAD);
    if (room == NULL) {
        return NULL;
    }
    memcpy(room, &size, sizeof(size));
    return room + HEAD;
}

static void sql_free(void *room) {
    free((uint8_t *)room - HEAD);
}

static int sql_size(void *room) {
    int size = 0;
    if (room != NULL) {
        memcpy(&size, (uint8_t *)room - HEAD, sizeof(size));
    }
    return size;
}

static void *sql_realloc(void *old, int size) {
    uint8_t *room = realloc((uint8_t *)old - HEAD, (size_t)size + HEAD);
    if (room == NULL) {
        return NULL;
    }
    memcpy(room, &size, sizeof(size));
    return room + HEAD;
}

static int sql_round(int size) {
    return (size + 7) & ~7;
}

static int sql_start(void *user) {
    (void)user;
    return SQLITE_OK;
}

static void sql_stop(void *user) {
    (void)user;
}

/* A short life of an index; the first failure ends it. `ret_committed`: what must be there. */
static int live(struct world *world, uint64_t *ret_committed) {
    struct frag_index *index = NULL;
    struct frag_index_found found[4];
    char room[96];
    int64_t row = 0;
    int nothing = 0;
    const uint8_t *id = world_stream_id(0);
    struct frag_index_reel reel = world_make_reel(world, 0, room);
    struct frag_reel_row last = world_make_row(&reel, NULL);
    int rc = frag_index_open(path, FRAG_INDEX_WRITE, &index);
    rc = rc == 0 ? frag_index_begin(index) : rc;
    rc = rc == 0 ? frag_index_add_reel(index, &reel, &row) : rc;
    for (int i = 0; i < 5 && rc == 0; i++) {
        rc = frag_index_add_fragment(index, row, &last);
        last = world_make_row(&reel, &last);
    }
    rc = rc == 0 ? frag_index_commit(index, false) : rc;
    if (rc == 0) {
        *ret_committed = 5;
        rc = frag_index_begin(index);
        rc = rc == 0 ? frag_index_add_fragment(index, row, &last) : rc;
        rc = rc == 0 ? frag_index_close_reel(index, row, last.cluster_at + 5000) : rc;
        rc = rc == 0 ? frag_index_commit(index, true) : rc;
        *ret_committed = rc == 0 ? 6 : 5;
    }
    rc = rc == 0 ? frag_index_find_sequence(index, id, 2, found) : rc;
    rc = rc == 0 ? frag_index_find_time(index, id, FRAG_CLOCK_SERVER, last.server, found) : rc;
    rc = rc == 0 ? frag_index_range(index, id, FRAG_CLOCK_PRODUCER, (struct kn_wall){0},
                                    last.producer, 0, found, KN_COUNT(found))
                 : rc;
    rc = rc == 4 ? frag_index_each_fragment(index, row, count_row, &nothing) : rc;
    frag_index_close(index);
    return rc;
}

static void out_of_memory_is_an_ordinary_error(void **state) {
    (void)state;
    unsigned long failed = 0;
    for (unsigned long n = 1;; n += n < 120 ? 1 : 7) {
        struct world world;
        struct frag_index *index = NULL;
        struct frag_index_found found;
        uint64_t committed = 0;
        remove_index();
        world_init(&world, 21);
        fail_alloc_at(n);
        int rc = live(&world, &committed);
        bool reached = fail_alloc_count() >= n;
        fail_alloc_stop();
        world_finish(&world);
        assert_true(rc == 0 || rc == -ENOMEM);
        failed += rc != 0 ? 1 : 0;
        if (committed > 0) {
            assert_int_equal(frag_index_open(path, FRAG_INDEX_READ, &index), 0);
            assert_int_equal(frag_index_latest(index, world_stream_id(0), &found), 0);
            assert_int_equal(found.row.number.sequence, committed);
            frag_index_close(index);
        }
        if (!reached) {
            assert_int_equal(rc, 0);
            break;
        }
    }
    print_message("# %lu runs without memory\n", failed);
    assert_true(failed > 200);
}

int main(void) {
    static const sqlite3_mem_methods methods = {
        .xMalloc = sql_malloc,
        .xFree = sql_free,
        .xRealloc = sql_realloc,
        .xSize = sql_size,
        .xRoundup = sql_round,
        .xInit = sql_start,
        .xShutdown = sql_stop,
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(rows_of_somebody_else),
        cmocka_unit_test(a_table_of_another_reel),
        cmocka_unit_test(out_of_memory_is_an_ordinary_error),
    };
    /* Before its first use. No lookaside, so that every allocation is one of these. */
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) != SQLITE_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
