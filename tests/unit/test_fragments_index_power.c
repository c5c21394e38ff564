/* The index over files that stop, fail and lose their power: what was committed durably is there
 * afterwards, nothing stands there that was not asked for, and no cut makes it look damaged. Also
 * that tests/support/vfs_io.h does what this needs. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>
#include <cmocka.h>

#include "base/error.h"
#include "fragments/store/index.h"
#include "tests/support/fault_io.h"
#include "tests/support/index_world.h"
#include "tests/support/mem_io.h"
#include "tests/support/vfs_io.h"

#define PATH "a/index.db"
#define SESSIONS 3
#define EACH 10
#define COMMITS (SESSIONS * EACH)
#define REEL_FRAGMENTS 5

/* ---- a load: commit i adds fragment i, of sequence i + 1 ---- */

struct load {
    struct world world; /* for reels */
    struct frag_index_reel reel;
    char path[96];
    struct frag_reel_row last;
    int begun;                /* commits that were tried */
    int held;                 /* of these, the first so many are certain by now */
    size_t begun_at[COMMITS]; /* steps recorded by then */
    size_t held_at[COMMITS];  /* ... and when it was certain; SIZE_MAX: it never was */
    int rc;                   /* the first failure */
};

static void init_load(struct load *load) {
    *load = (struct load){.begun = 0};
    world_init(&load->world, 1);
    memset(load->held_at, 0xff, sizeof(load->held_at));
}

static void finish_load(struct load *load) {
    world_finish(&load->world);
}

/* What transaction i does: a reel is opened with its first fragment and closed with its last. */
static int change(struct load *load, struct frag_index *index, int i) {
    bool first = i % REEL_FRAGMENTS == 0;
    int rc = 0;
    if (first) {
        load->reel = world_make_reel(&load->world, 0, load->path);
        rc = frag_index_add_reel(index, &load->reel, &load->reel.row);
    }
    struct frag_reel_row row = world_make_row(&load->reel, first ? NULL : &load->last);
    row.number.sequence = (uint64_t)i + 1;
    rc = rc == 0 ? frag_index_add_fragment(index, load->reel.row, &row) : rc;
    load->last = row;
    if (rc == 0 && i % REEL_FRAGMENTS == REEL_FRAGMENTS - 1) {
        rc = frag_index_close_reel(index, load->reel.row, INT64_MAX / 2);
    }
    return rc;
}

static int commit_one(struct load *load, struct frag_index *index, const struct fault_io *fault) {
    int i = load->begun;
    bool durable = i % 3 == 2;
    int rc = frag_index_begin(index);
    if (rc != 0) {
        return rc;
    }
    load->begun_at[load->begun++] = fault->step_count;
    rc = change(load, index, i);
    if (rc != 0) {
        frag_index_rollback(index);
        return rc;
    }
    rc = frag_index_commit(index, durable);
    for (; rc == 0 && durable && load->held <= i; load->held++) {
        load->held_at[load->held] = fault->step_count;
    }
    return rc;
}

/* Opens, commits and closes until all is done or something fails. */
static void run_load(struct load *load, const struct fault_io *fault) {
    while (load->begun < COMMITS && load->rc == 0) {
        struct frag_index *index = NULL;
        load->rc = frag_index_open(PATH, FRAG_INDEX_WRITE, &index);
        for (int i = 0; i < EACH && load->rc == 0; i++) {
            load->rc = commit_one(load, index, fault);
        }
        frag_index_close(index);
    }
}

/* ---- what is left of it ---- */

struct seen {
    struct frag_index *index;
    uint64_t fragments;
};

static int see_fragment(const struct frag_reel_row *row, void *user) {
    struct seen *seen = user;
    return row->number.sequence == ++seen->fragments ? 0 : -ECANCELED;
}

static int see_reel(const struct frag_index_reel *reel, void *user) {
    struct seen *seen = user;
    if (memcmp(reel->identity.stream_id, world_stream_id(1), FRAG_ID_BYTES) == 0) {
        return 0; /* of an earlier look */
    }
    assert_true(reel->fragments > 0 && reel->span.first_sequence == seen->fragments + 1);
    assert_true((reel->state == FRAG_REEL_CLOSED) == (reel->fragments == REEL_FRAGMENTS));
    assert_int_equal(frag_index_each_fragment(seen->index, reel->row, see_fragment, seen), 0);
    return 0;
}

/* Its own writer opens it, finds from `least` to `most` commits, and can go on. */
static void assert_left(int least, int most) {
    static uint64_t looks; /* each adds a reel of its own */
    struct frag_index *index = NULL;
    struct world world;
    char room[96];
    int64_t row;
    assert_int_equal(frag_index_open(PATH, FRAG_INDEX_WRITE, &index), 0);
    struct seen seen = {.index = index};
    assert_int_equal(frag_index_each_reel(index, see_reel, &seen), 0);
    assert_in_range(seen.fragments, least, most);
    world_init(&world, 77 + looks++);
    struct frag_index_reel reel = world_make_reel(&world, 1, room);
    assert_int_equal(frag_index_begin(index), 0);
    assert_int_equal(frag_index_add_reel(index, &reel, &row), 0);
    assert_int_equal(frag_index_commit(index, true), 0);
    world_finish(&world);
    frag_index_close(index);
}

/* ---- stops and failures ---- */

struct bench {
    struct mem_io *mem;
    struct fault_io fault;
    struct load load;
};

static void set_up(struct bench *bench) {
    bench->mem = mem_io_create();
    assert_int_equal(mem_io(bench->mem)->make_folder(mem_io(bench->mem), "a"), 0);
    fault_io_init(&bench->fault, mem_io(bench->mem));
    init_load(&bench->load);
    vfs_io_register(&bench->fault.io);
}

static void tear_down(struct bench *bench) {
    vfs_io_unregister();
    finish_load(&bench->load);
    fault_io_finish(&bench->fault);
    mem_io_destroy(bench->mem);
}

static uint64_t count_operations(void) {
    struct bench bench;
    set_up(&bench);
    run_load(&bench.load, &bench.fault);
    assert_int_equal(bench.load.rc, 0);
    uint64_t operations = bench.fault.operations;
    assert_left(COMMITS, COMMITS);
    tear_down(&bench);
    return operations;
}

static void stopped_at_every_operation(void **state) {
    (void)state;
    uint64_t operations = count_operations();
    assert_true(operations > 200);
    for (uint64_t k = 1; k <= operations; k++) {
        struct bench bench;
        set_up(&bench);
        bench.fault.stop_at = k;
        bench.fault.torn = k % 2 == 0;
        run_load(&bench.load, &bench.fault);
        /* Where only the last connection's closing met it, nobody is told. */
        assert_true(bench.load.rc == -ECANCELED || (bench.load.rc == -EIO && k > 1) ||
                    (bench.load.rc == 0 && bench.load.held == COMMITS));
        bench.fault.stop_at = 0;
        assert_left(bench.load.held, bench.load.begun);
        tear_down(&bench);
    }
}

static void every_operation_fails_once(void **state) {
    (void)state;
    uint64_t operations = count_operations();
    for (uint64_t k = 1; k <= operations; k++) {
        struct bench bench;
        set_up(&bench);
        bench.fault.fail_at = k;
        bench.fault.fail_error = k % 3 == 0 ? -ENOSPC : -EIO;
        run_load(&bench.load, &bench.fault);
        assert_true(bench.load.rc == 0 || bench.load.rc == -EIO || bench.load.rc == -ENOSPC);
        assert_left(bench.load.held, bench.load.begun);
        tear_down(&bench);
    }
}

/* ---- power cuts ---- */

static int held_by(const struct load *load, size_t steps) {
    int held = 0;
    while (held < load->begun && load->held_at[held] <= steps) {
        held++;
    }
    return held;
}

static int begun_by(const struct load *load, size_t steps) {
    int begun = 0;
    while (begun < load->begun && load->begun_at[begun] <= steps) {
        begun++;
    }
    return begun;
}

static void cut(const struct bench *bench, size_t steps, uint64_t seed) {
    struct mem_io *left = mem_io_create();
    assert_int_equal(mem_io(left)->make_folder(mem_io(left), "a"), 0);
    fault_io_power_cut(&bench->fault, steps, seed, mem_io(left));
    vfs_io_register(mem_io(left));
    assert_left(held_by(&bench->load, steps), begun_by(&bench->load, steps));
    vfs_io_unregister();
    mem_io_destroy(left);
}

static void power_is_cut_before_and_behind_every_sync(void **state) {
    (void)state;
    struct bench bench;
    unsigned cuts = 0;
    set_up(&bench);
    bench.fault.record = true;
    run_load(&bench.load, &bench.fault);
    assert_int_equal(bench.load.rc, 0);
    vfs_io_unregister();
    for (size_t n = fault_io_next_sync(&bench.fault, 0); n != 0;
         n = fault_io_next_sync(&bench.fault, n)) {
        for (uint64_t seed = 0; seed < 4; seed++) {
            cut(&bench, n - 1, n + seed);
            cut(&bench, n, n + seed);
        }
        cuts++;
    }
    assert_true(cuts > 10);
    for (size_t n = 0; n <= bench.fault.step_count; n += 3) {
        cut(&bench, n, n);
    }
    vfs_io_register(&bench.fault.io);
    tear_down(&bench);
}

/* A sync that fails has synced nothing: what it should have made durable was not answered so. */
static void syncs_fail_and_power_is_cut(void **state) {
    (void)state;
    for (uint64_t k = 1; k <= 60; k++) {
        struct bench bench;
        set_up(&bench);
        bench.fault.record = true;
        bench.fault.fail_at = 5 * k;
        bench.fault.fail_kinds = 1u << FAULT_SYNCING;
        run_load(&bench.load, &bench.fault);
        assert_true(bench.load.rc == 0 || bench.load.rc == -EIO);
        vfs_io_unregister();
        for (uint64_t seed = 0; seed < 4; seed++) {
            cut(&bench, bench.fault.step_count, k + seed);
        }
        vfs_io_register(&bench.fault.io);
        tear_down(&bench);
    }
}

/* ---- connections beside one another ---- */

static uint64_t count_fragments(struct frag_index *index) {
    struct seen seen = {.index = index};
    assert_int_equal(frag_index_each_reel(index, see_reel, &seen), 0);
    return seen.fragments;
}

static void a_reader_beside_the_writer(void **state) {
    (void)state;
    struct bench bench;
    struct frag_index *writer = NULL, *reader = NULL;
    set_up(&bench);
    assert_int_equal(frag_index_open(PATH, FRAG_INDEX_READ, &reader), -ENOENT);
    assert_int_equal(frag_index_open(PATH, FRAG_INDEX_WRITE, &writer), 0);
    assert_int_equal(frag_index_open(PATH, FRAG_INDEX_READ, &reader), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(count_fragments(reader), i);
        assert_int_equal(commit_one(&bench.load, writer, &bench.fault), 0);
    }
    assert_int_equal(frag_index_begin(writer), 0);
    assert_int_equal(change(&bench.load, writer, 4), 0);
    assert_int_equal(count_fragments(reader), 4);
    frag_index_close(writer);
    assert_int_equal(count_fragments(reader), 4);
    frag_index_close(reader);
    assert_left(4, 4);
    tear_down(&bench);
}

/* The process is gone, with a write lock and the log's memory; the next one reads the log. */
static void a_crash_leaves_files_only(void **state) {
    (void)state;
    struct bench bench;
    struct frag_index *writer = NULL;
    set_up(&bench);
    assert_int_equal(frag_index_open(PATH, FRAG_INDEX_WRITE, &writer), 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(commit_one(&bench.load, writer, &bench.fault), 0);
    }
    assert_int_equal(frag_index_begin(writer), 0);
    assert_int_equal(change(&bench.load, writer, 6), 0);
    vfs_io_crash();
    size_t size;
    assert_true(frag_index_commit(writer, false) != 0);
    assert_true(mem_io_peek(bench.mem, PATH "-wal", &size) != NULL && size > 0);
    uint64_t operations = bench.fault.operations;
    frag_index_close(writer);
    assert_true(bench.fault.operations == operations);
    assert_left(6, 6);
    tear_down(&bench);
}

static int run_sql(sqlite3 *db, const char *sql) {
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* With a rollback journal all of SQLite's locks are used. */
static void locks_of_two_connections(void **state) {
    (void)state;
    struct bench bench;
    sqlite3 *one = NULL, *other = NULL;
    set_up(&bench);
    assert_int_equal(sqlite3_open(PATH, &one), SQLITE_OK);
    assert_int_equal(sqlite3_open(PATH, &other), SQLITE_OK);
    assert_int_equal(run_sql(one, "CREATE TABLE t (x); INSERT INTO t VALUES (1)"), SQLITE_OK);
    assert_int_equal(run_sql(one, "BEGIN IMMEDIATE; INSERT INTO t VALUES (2)"), SQLITE_OK);
    assert_int_equal(run_sql(other, "BEGIN IMMEDIATE"), SQLITE_BUSY);
    assert_int_equal(run_sql(other, "BEGIN; SELECT x FROM t"), SQLITE_OK);
    assert_int_equal(run_sql(one, "COMMIT"), SQLITE_BUSY); /* a reader is there */
    assert_int_equal(run_sql(other, "COMMIT; BEGIN; SELECT x FROM t"),
                     SQLITE_BUSY); /* no new one */
    assert_int_equal(run_sql(one, "COMMIT"), SQLITE_OK);
    assert_int_equal(run_sql(other, "SELECT x FROM t; ROLLBACK; BEGIN EXCLUSIVE"), SQLITE_OK);
    assert_int_equal(run_sql(one, "SELECT x FROM t"), SQLITE_BUSY);
    assert_int_equal(run_sql(other, "DELETE FROM t; COMMIT"), SQLITE_OK);
    assert_int_equal(run_sql(one, "SELECT x FROM t"), SQLITE_OK);
    /* With a log those of the shared memory are. */
    assert_int_equal(run_sql(one, "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE"), SQLITE_OK);
    assert_int_equal(run_sql(one, "INSERT INTO t VALUES (3)"), SQLITE_OK);
    assert_int_equal(run_sql(other, "BEGIN IMMEDIATE"), SQLITE_BUSY);
    assert_int_equal(run_sql(other, "BEGIN; SELECT x FROM t"), SQLITE_OK);
    assert_int_equal(run_sql(one, "COMMIT"), SQLITE_OK); /* a reader does no harm */
    assert_int_equal(run_sql(one, "PRAGMA wal_checkpoint = TRUNCATE"), SQLITE_OK);
    assert_int_equal(run_sql(other, "COMMIT; BEGIN IMMEDIATE; COMMIT"), SQLITE_OK);
    assert_int_equal(sqlite3_close(one), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    tear_down(&bench);
}

struct watcher {
    pthread_t thread;
    uint64_t last;
    int rc;
};

static int count_up(const struct frag_index_reel *reel, void *user) {
    *(uint64_t *)user += reel->fragments;
    return 0;
}

static void *watch(void *user) {
    struct watcher *watcher = user;
    struct frag_index *index = NULL;
    watcher->rc = frag_index_open(PATH, FRAG_INDEX_READ, &index);
    while (watcher->rc == 0 && watcher->last < COMMITS) {
        uint64_t now = 0;
        watcher->rc = frag_index_each_reel(index, count_up, &now);
        watcher->rc = watcher->rc == 0 && now < watcher->last ? -ECANCELED : watcher->rc;
        watcher->last = now;
    }
    frag_index_close(index);
    return NULL;
}

static void connections_of_several_threads(void **state) {
    (void)state;
    struct bench bench;
    struct watcher watchers[3];
    struct frag_index *writer = NULL;
    set_up(&bench);
    assert_int_equal(frag_index_open(PATH, FRAG_INDEX_WRITE, &writer), 0);
    for (size_t i = 0; i < KN_COUNT(watchers); i++) {
        watchers[i] = (struct watcher){.last = 0};
        assert_int_equal(pthread_create(&watchers[i].thread, NULL, watch, &watchers[i]), 0);
    }
    for (int i = 0; i < COMMITS; i++) {
        assert_int_equal(commit_one(&bench.load, writer, &bench.fault), 0);
    }
    for (size_t i = 0; i < KN_COUNT(watchers); i++) {
        assert_int_equal(pthread_join(watchers[i].thread, NULL), 0);
        assert_int_equal(watchers[i].rc, 0);
        assert_int_equal(watchers[i].last, COMMITS);
    }
    frag_index_close(writer);
    tear_down(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_beside_the_writer),
        cmocka_unit_test(a_crash_leaves_files_only),
        cmocka_unit_test(locks_of_two_connections),
        cmocka_unit_test(connections_of_several_threads),
        cmocka_unit_test(stopped_at_every_operation),
        cmocka_unit_test(every_operation_fails_once),
        cmocka_unit_test(power_is_cut_before_and_behind_every_sync),
        cmocka_unit_test(syncs_fail_and_power_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
