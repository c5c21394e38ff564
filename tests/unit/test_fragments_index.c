#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>
#include <cmocka.h>

#include "base/error.h"
#include "fragments/store/index.h"
#include "fragments/store/index_schema.h"
#include "tests/support/index_world.h"

/* ---- syncs: seen, and made to fail; not carried out, so that the tests are quick ---- */

static int syncs;
static bool sync_fails;

static int sync_file(int fd) {
    (void)fd;
    syncs++;
    if (sync_fails) {
        errno = EIO;
        return -1;
    }
    return 0;
}

/* SQLite's calls come here, since the program's symbols stand before the C library's. */
int fdatasync(int fd) {
    return sync_file(fd);
}

int fsync(int fd) {
    return sync_file(fd);
}

/* ---- a folder, and a file in it for each test ---- */

static char folder[256];
static char path[300];

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

static int begin_test(void **state) {
    (void)state;
    remove_index();
    syncs = 0;
    sync_fails = false;
    return 0;
}

static struct frag_index *open_index(enum frag_index_mode mode) {
    struct frag_index *index = NULL;
    assert_int_equal(frag_index_open(path, mode, &index), 0);
    return index;
}

static void write_file(const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void run_sql(const char *sql) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t get_number(const char *sql) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}

/* ---- one reel with some fragments ---- */

struct one {
    struct world world;
    struct frag_index *index;
    struct frag_index_reel reel;
    char path[96];
    struct frag_reel_row last;
};

/* Open, with 3 fragments, and in a transaction. */
static void set_up_one(struct one *one) {
    world_init(&one->world, 1);
    one->index = open_index(FRAG_INDEX_WRITE);
    one->reel = world_make_reel(&one->world, 0, one->path);
    assert_int_equal(frag_index_begin(one->index), 0);
    assert_int_equal(frag_index_add_reel(one->index, &one->reel, &one->reel.row), 0);
    for (int i = 0; i < 3; i++) {
        one->last = world_make_row(&one->reel, i == 0 ? NULL : &one->last);
        assert_int_equal(frag_index_add_fragment(one->index, one->reel.row, &one->last), 0);
    }
}

static void tear_down_one(struct one *one) {
    frag_index_close(one->index);
    world_finish(&one->world);
}

static uint64_t end_of(const struct frag_reel_row *row) {
    return row->cluster_at + row->cluster_bytes + row->trailer_bytes;
}

/* ---- opening ---- */

static void reading_needs_an_index(void **state) {
    (void)state;
    struct frag_index *index = NULL;
    assert_int_equal(frag_index_open(path, FRAG_INDEX_READ, &index), -ENOENT);
    write_file("");
    assert_int_equal(frag_index_open(path, FRAG_INDEX_READ, &index), -ENOENT);
    assert_null(index);
    frag_index_close(NULL);
}

static void writing_makes_one(void **state) {
    (void)state;
    struct stat status;
    frag_index_close(open_index(FRAG_INDEX_WRITE));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0027, 0);
    assert_int_equal(get_number("PRAGMA user_version"), frag_index_steps().count);
    assert_int_equal(get_number("PRAGMA application_id"), FRAG_INDEX_APPLICATION_ID);
    frag_index_close(open_index(FRAG_INDEX_READ));
    /* Empty, as after a crash at the beginning. */
    remove_index();
    write_file("");
    frag_index_close(open_index(FRAG_INDEX_WRITE));
    frag_index_close(open_index(FRAG_INDEX_WRITE));
}

static void a_folder_that_is_not_there(void **state) {
    (void)state;
    struct frag_index *index = NULL;
    char name[400];
    (void)snprintf(name, sizeof(name), "%s/none/index.db", folder);
    assert_int_equal(frag_index_open(name, FRAG_INDEX_WRITE, &index), -ENOENT);
    assert_int_equal(frag_index_open(name, FRAG_INDEX_READ, &index), -ENOENT);
}

static void what_is_no_index_is_refused(void **state) {
    (void)state;
    struct frag_index *index = NULL;
    write_file("this is a text and no database at all, however long it may be; and it goes on");
    assert_int_equal(frag_index_open(path, FRAG_INDEX_WRITE, &index), KN_E_MALFORMED);
    assert_int_equal(frag_index_open(path, FRAG_INDEX_READ, &index), KN_E_MALFORMED);
    remove_index();
    run_sql("CREATE TABLE somebody (elses INTEGER)");
    assert_int_equal(frag_index_open(path, FRAG_INDEX_WRITE, &index), KN_E_MALFORMED);
    assert_int_equal(frag_index_open(path, FRAG_INDEX_READ, &index), KN_E_MALFORMED);
    run_sql("PRAGMA user_version = 1");
    assert_int_equal(frag_index_open(path, FRAG_INDEX_WRITE, &index), KN_E_MALFORMED);
    assert_int_equal(get_number("SELECT count(*) FROM sqlite_schema"), 1);
}

static void a_newer_version_is_refused(void **state) {
    (void)state;
    struct frag_index *index = NULL;
    frag_index_close(open_index(FRAG_INDEX_WRITE));
    char pragma[64];
    int newer = frag_index_steps().count + 1;
    (void)snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d", newer);
    run_sql(pragma);
    assert_int_equal(frag_index_open(path, FRAG_INDEX_WRITE, &index), KN_E_UNSUPPORTED);
    assert_int_equal(frag_index_open(path, FRAG_INDEX_READ, &index), KN_E_UNSUPPORTED);
    assert_int_equal(get_number("PRAGMA user_version"), newer);
}

static void upgrades_go_step_by_step(void **state) {
    (void)state;
    static const char *const sql[] = {
        "PRAGMA application_id = 0x4b4e4931; CREATE TABLE a (x); INSERT INTO a VALUES (1)",
        "CREATE TABLE b (y); INSERT INTO b SELECT x + 10 FROM a",
        "UPDATE b SET y = y * 2",
        "CREATE TABLE c (z); UPDATE nothing_there SET z = 1",
    };
    struct frag_index_steps steps = {.sql = sql, .count = 1};
    sqlite3 *db = NULL;
    int version = -1;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(frag_index_version(db, 1, &version), 0);
    assert_int_equal(version, 0);
    assert_int_equal(frag_index_upgrade(db, steps), 0);
    assert_int_equal(frag_index_version(db, 1, &version), 0);
    assert_int_equal(version, 1);
    steps.count = 3;
    assert_int_equal(frag_index_upgrade(db, steps), 0);
    assert_int_equal(frag_index_upgrade(db, steps), 0); /* nothing to do */
    assert_int_equal(frag_index_version(db, 3, &version), 0);
    assert_int_equal(version, 3);
    assert_int_equal(get_number("SELECT y FROM b"), 22);
    /* One that fails takes itself back. */
    steps.count = 4;
    assert_true(frag_index_upgrade(db, steps) < 0);
    assert_int_equal(frag_index_version(db, 4, &version), 0);
    assert_int_equal(version, 3);
    assert_int_equal(get_number("SELECT count(*) FROM sqlite_schema WHERE name = 'c'"), 0);
    assert_int_equal(frag_index_version(db, 2, &version), KN_E_UNSUPPORTED);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- reels ---- */

static void a_reel_comes_back_as_it_was(void **state) {
    (void)state;
    struct one one;
    struct frag_index_reel reel;
    char room[FRAG_INDEX_PATH_BYTES];
    set_up_one(&one);
    assert_int_equal(frag_index_commit(one.index, false), 0);
    assert_int_equal(frag_index_get_reel(one.index, one.reel.row, room, sizeof(room), &reel), 0);
    assert_string_equal(reel.path, one.path);
    assert_ptr_equal(reel.path, room);
    assert_int_equal(reel.row, one.reel.row);
    assert_int_equal(reel.state, FRAG_REEL_OPEN);
    assert_int_equal(reel.folder, one.reel.folder);
    assert_int_equal(reel.fragments, 3);
    assert_int_equal(reel.bytes, end_of(&one.last));
    const struct frag_reel_identity *a = &reel.identity;
    const struct frag_reel_identity *b = &one.reel.identity;
    assert_memory_equal(a->store_id, b->store_id, FRAG_ID_BYTES);
    assert_memory_equal(a->stream_id, b->stream_id, FRAG_ID_BYTES);
    assert_memory_equal(a->reel_id, b->reel_id, FRAG_ID_BYTES);
    assert_memory_equal(a->session_id, b->session_id, FRAG_ID_BYTES);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->opened.ns, b->opened.ns);
    assert_int_equal(a->producer_start.ns, b->producer_start.ns);
    assert_int_equal(a->timecode_scale_ns, b->timecode_scale_ns);
    assert_int_equal(a->number_low, b->number_low);
    assert_int_equal(a->producer_header_bytes, b->producer_header_bytes);
    assert_int_equal(frag_index_get_reel(one.index, one.reel.row, room, strlen(one.path), &reel),
                     KN_E_LIMIT);
    assert_int_equal(frag_index_get_reel(one.index, one.reel.row + 1, room, sizeof(room), &reel),
                     -ENOENT);
    tear_down_one(&one);
}

static void reels_that_cannot_be_are_refused(void **state) {
    (void)state;
    static const char *const paths[] = {"",   "/a", "a/",        "a//b", "a/../b",
                                        "..", ".",  "reels/./a", "../a", "a/.."};
    struct one one;
    char path_room[96];
    char longest[FRAG_INDEX_PATH_BYTES + 1];
    int64_t row = 0;
    set_up_one(&one);
    for (size_t i = 0; i < KN_COUNT(paths); i++) {
        struct frag_index_reel reel = world_make_reel(&one.world, 0, path_room);
        reel.path = paths[i];
        assert_int_equal(frag_index_add_reel(one.index, &reel, &row), -EINVAL);
    }
    struct frag_index_reel reel = world_make_reel(&one.world, 1, path_room);
    memset(longest, 'x', sizeof(longest));
    longest[FRAG_INDEX_PATH_BYTES] = '\0';
    reel.path = longest;
    assert_int_equal(frag_index_add_reel(one.index, &reel, &row), -EINVAL);
    reel.path = path_room;
    reel.identity.number_low = 1u << 28;
    assert_int_equal(frag_index_add_reel(one.index, &reel, &row), -EINVAL);
    reel.identity.number_low = 0;
    reel.identity.timecode_scale_ns = 0;
    assert_int_equal(frag_index_add_reel(one.index, &reel, &row), -EINVAL);
    reel.identity.timecode_scale_ns = 1;
    reel.identity.flags = 8;
    assert_int_equal(frag_index_add_reel(one.index, &reel, &row), -EINVAL);
    reel.identity.flags = 0;
    reel.identity.epoch = UINT64_MAX;
    assert_int_equal(frag_index_add_reel(one.index, &reel, &row), -EINVAL);
    reel.identity.epoch = 1;
    memcpy(reel.identity.reel_id, one.reel.identity.reel_id, FRAG_ID_BYTES);
    assert_int_equal(frag_index_add_reel(one.index, &reel, &row), -EEXIST);
    /* None of it stands in the way of a commit, or left a stream behind. */
    assert_int_equal(frag_index_commit(one.index, false), 0);
    tear_down_one(&one);
    assert_int_equal(get_number("SELECT count(*) FROM reel"), 1);
    assert_int_equal(get_number("SELECT count(*) FROM stream"), 1);
}

/* ---- fragments ---- */

static void fragments_that_do_not_follow_are_refused(void **state) {
    (void)state;
    struct one one;
    set_up_one(&one);
    const struct frag_reel_row good = world_make_row(&one.reel, &one.last);
    struct frag_reel_row rows[14];
    for (size_t i = 0; i < KN_COUNT(rows); i++) {
        rows[i] = good;
    }
    rows[0].cluster_at--;
    rows[1].number.sequence = one.last.number.sequence;
    rows[2].ordinal = one.last.ordinal;
    rows[3].number.low ^= 1;
    rows[4].producer.ns += FRAG_REEL_SPAN_NS;
    rows[5].server.ns += FRAG_REEL_SPAN_NS;
    rows[6].producer.ns -= FRAG_REEL_SPAN_NS + 7 * KN_NS_PER_S;
    rows[7].number.sequence = FRAG_NUMBER_SEQUENCE_MAX + 1;
    rows[8].duration_ns = -1;
    rows[9].flags = 4;
    rows[10].trailer_bytes = FRAG_REEL_TRAILER_LEAST - 1;
    rows[11].ordinal = UINT64_MAX;
    rows[12].producer.ns = INT64_MIN;
    rows[13].cluster_bytes = 0;
    for (size_t i = 0; i < KN_COUNT(rows); i++) {
        assert_int_equal(frag_index_add_fragment(one.index, one.reel.row, &rows[i]), -EINVAL);
    }
    struct frag_reel_row row = good;
    row.discontinuities = 5;
    assert_int_equal(frag_index_add_fragment(one.index, one.reel.row, &row), 0);
    one.last = row;
    row = world_make_row(&one.reel, &one.last);
    row.discontinuities = 4;
    assert_int_equal(frag_index_add_fragment(one.index, one.reel.row, &row), -EINVAL);
    assert_int_equal(frag_index_add_fragment(one.index, one.reel.row + 1, &row), -ENOENT);
    assert_int_equal(frag_index_close_reel(one.index, one.reel.row + 1, row.cluster_at), -ENOENT);
    assert_int_equal(frag_index_close_reel(one.index, one.reel.row, row.cluster_at - 1), -EINVAL);
    assert_int_equal(frag_index_close_reel(one.index, one.reel.row, row.cluster_at), 0);
    row.discontinuities = 5;
    assert_int_equal(frag_index_add_fragment(one.index, one.reel.row, &row), -EINVAL);
    assert_int_equal(frag_index_close_reel(one.index, one.reel.row, row.cluster_at), -EINVAL);
    assert_int_equal(frag_index_commit(one.index, true), 0);
    tear_down_one(&one);
    assert_int_equal(get_number("SELECT fragments FROM reel"), 4);
    assert_int_equal(get_number("SELECT count(*) FROM fragment"), 0);
}

static void sequence_zero_is_nobodys(void **state) {
    (void)state;
    struct one one;
    struct frag_index_found found;
    char room[96];
    int64_t row = 0;
    set_up_one(&one);
    struct frag_index_reel reel = world_make_reel(&one.world, 1, room);
    assert_int_equal(frag_index_add_reel(one.index, &reel, &row), 0);
    struct frag_reel_row first = world_make_row(&reel, NULL);
    first.number.sequence = 0;
    assert_int_equal(frag_index_add_fragment(one.index, row, &first), -EINVAL);
    assert_int_equal(frag_index_find_sequence(one.index, world_stream_id(0), 0, &found), -ENOENT);
    assert_int_equal(frag_index_find_sequence(one.index, world_stream_id(0), UINT64_MAX, &found),
                     -ENOENT);
    tear_down_one(&one);
}

static void only_what_a_table_holds_is_kept(void **state) {
    (void)state;
    struct one one;
    struct frag_index_found before, after;
    set_up_one(&one);
    struct frag_reel_row row = world_make_row(&one.reel, &one.last);
    row.cluster_crc32c = 7;
    row.frames = 8;
    row.received_width = 4;
    row.before_bytes = 9;
    row.after_bytes = 10;
    assert_int_equal(frag_index_add_fragment(one.index, one.reel.row, &row), 0);
    assert_int_equal(frag_index_latest(one.index, world_stream_id(0), &before), 0);
    assert_int_equal(frag_index_close_reel(one.index, one.reel.row, end_of(&row)), 0);
    assert_int_equal(frag_index_latest(one.index, world_stream_id(0), &after), 0);
    assert_int_equal(before.row.cluster_crc32c, 0);
    assert_int_equal(before.row.frames, 0);
    assert_true(world_same_row(&before.row, &after.row));
    assert_int_equal(before.row.cluster_at, row.cluster_at);
    tear_down_one(&one);
}

static void empty_reels_and_unknown_streams(void **state) {
    (void)state;
    struct world world;
    struct frag_index_found found;
    char room[96];
    int64_t row = 0;
    world_init(&world, 1);
    struct frag_index *index = open_index(FRAG_INDEX_WRITE);
    struct frag_index_reel reel = world_make_reel(&world, 0, room);
    for (int i = 0; i < 3; i++) {
        const uint8_t *id = world_stream_id(0);
        const struct kn_wall now = {INT64_MAX}, long_ago = {INT64_MIN};
        assert_int_equal(frag_index_earliest(index, id, &found), -ENOENT);
        assert_int_equal(frag_index_latest(index, id, &found), -ENOENT);
        assert_int_equal(frag_index_find_sequence(index, id, 1, &found), -ENOENT);
        assert_int_equal(frag_index_find_time(index, id, FRAG_CLOCK_SERVER, now, &found), -ENOENT);
        assert_int_equal(
            frag_index_range(index, id, FRAG_CLOCK_SERVER, long_ago, now, 0, &found, 1), 0);
        assert_int_equal(frag_index_begin(index), 0);
        if (i == 0) {
            assert_int_equal(frag_index_add_reel(index, &reel, &row), 0);
        } else if (i == 1) {
            assert_int_equal(frag_index_close_reel(index, row, reel.bytes), 0);
        }
        assert_int_equal(frag_index_commit(index, false), 0);
    }
    frag_index_close(index);
    world_finish(&world);
}

/* ---- tables from footers ---- */

static void bad_tables_are_refused(void **state) {
    (void)state;
    struct one one;
    uint8_t table[256];
    struct kn_writer writer;
    char room[96];
    int64_t row = 0;
    set_up_one(&one);
    struct frag_index_reel reel = world_make_reel(&one.world, 0, room);
    struct frag_reel_row rows[2];
    rows[0] = world_make_row(&reel, NULL);
    rows[1] = world_make_row(&reel, &rows[0]);
    reel.bytes = end_of(&rows[1]);
    kn_writer_init(&writer, table, sizeof(table));
    frag_reel_pack_table(&writer, rows, 2);
    assert_int_equal(kn_writer_status(&writer), 0);
    for (size_t i = 0; i < writer.size; i++) {
        table[i] ^= 0x10;
        assert_int_equal(frag_index_add_closed_reel(one.index, &reel, table, writer.size, &row),
                         KN_E_MALFORMED);
        table[i] ^= 0x10;
        assert_int_equal(frag_index_add_closed_reel(one.index, &reel, table, i, &row),
                         KN_E_MALFORMED);
    }
    reel.bytes--;
    assert_int_equal(frag_index_add_closed_reel(one.index, &reel, table, writer.size, &row),
                     KN_E_MALFORMED);
    reel.bytes++;
    reel.path = "../etc";
    assert_int_equal(frag_index_add_closed_reel(one.index, &reel, table, writer.size, &row),
                     -EINVAL);
    reel.path = room;
    assert_int_equal(frag_index_add_closed_reel(one.index, &reel, table, writer.size, &row), 0);
    assert_int_equal(frag_index_add_closed_reel(one.index, &reel, table, writer.size, &row),
                     -EEXIST);
    /* Times too far apart for a reel, a number below 1. */
    reel.identity.reel_id[0] ^= 1;
    rows[1].server.ns += FRAG_REEL_SPAN_NS;
    kn_writer_clear(&writer);
    frag_reel_pack_table(&writer, rows, 2);
    assert_int_equal(frag_index_add_closed_reel(one.index, &reel, table, writer.size, &row),
                     KN_E_MALFORMED);
    rows[0].number.sequence = 0;
    kn_writer_clear(&writer);
    frag_reel_pack_table(&writer, rows, 1);
    assert_int_equal(frag_index_add_closed_reel(one.index, &reel, table, writer.size, &row),
                     KN_E_MALFORMED);
    assert_int_equal(frag_index_commit(one.index, false), 0);
    tear_down_one(&one);
    assert_int_equal(get_number("SELECT count(*) FROM reel"), 2);
    assert_int_equal(get_number("SELECT count(*) FROM packed"), 1);
}

/* ---- deleting ---- */

static void marked_reels_are_not_found(void **state) {
    (void)state;
    struct one one;
    struct frag_index_found found;
    struct frag_index_reel reel;
    char room[FRAG_INDEX_PATH_BYTES];
    const uint8_t *id = world_stream_id(0);
    set_up_one(&one);
    assert_int_equal(frag_index_mark_deleting(one.index, one.reel.row + 1), -ENOENT);
    assert_int_equal(frag_index_drop_reel(one.index, one.reel.row + 1), -ENOENT);
    assert_int_equal(frag_index_mark_deleting(one.index, one.reel.row), 0);
    assert_int_equal(frag_index_mark_deleting(one.index, one.reel.row), 0);
    assert_int_equal(frag_index_commit(one.index, true), 0);
    assert_int_equal(frag_index_latest(one.index, id, &found), -ENOENT);
    assert_int_equal(frag_index_find_sequence(one.index, id, 1, &found), -ENOENT);
    assert_int_equal(
        frag_index_find_time(one.index, id, FRAG_CLOCK_PRODUCER, one.last.producer, &found),
        -ENOENT);
    assert_int_equal(frag_index_get_reel(one.index, one.reel.row, room, sizeof(room), &reel), 0);
    assert_int_equal(reel.state, FRAG_REEL_DELETING);
    assert_int_equal(reel.fragments, 3);
    assert_int_equal(frag_index_begin(one.index), 0);
    assert_int_equal(frag_index_drop_reel(one.index, one.reel.row), 0);
    assert_int_equal(frag_index_commit(one.index, false), 0);
    assert_int_equal(frag_index_get_reel(one.index, one.reel.row, room, sizeof(room), &reel),
                     -ENOENT);
    /* Its key is not used again. */
    int64_t row = 0;
    assert_int_equal(frag_index_begin(one.index), 0);
    assert_int_equal(frag_index_add_reel(one.index, &one.reel, &row), 0);
    assert_true(row > one.reel.row);
    frag_index_rollback(one.index);
    tear_down_one(&one);
    assert_int_equal(get_number("SELECT (SELECT count(*) FROM reel) + (SELECT count(*) FROM stream)"
                                " + (SELECT count(*) FROM fragment)"),
                     0);
}

/* ---- going through all of it ---- */

struct walk {
    const struct world *world;
    struct frag_index *index;
    size_t seen;
    size_t stop_at;
    int64_t last;
    size_t reel;
    bool drops;
};

static int check_reel(const struct frag_index_reel *reel, void *user) {
    struct walk *walk = user;
    assert_true(reel->row > walk->last);
    walk->last = reel->row;
    const struct world_reel *model = walk->world->reels;
    while (model->reel.row != reel->row || model->dropped) {
        model++;
        assert_true(model < walk->world->reels + walk->world->reel_count);
    }
    assert_int_equal(model->reel.state, reel->state);
    assert_int_equal(model->reel.fragments, reel->fragments);
    assert_int_equal(model->reel.bytes, reel->bytes);
    assert_string_equal(model->path, reel->path);
    if (walk->drops) {
        assert_int_equal(frag_index_drop_reel(walk->index, reel->row), 0);
    }
    return ++walk->seen == walk->stop_at ? -ECANCELED : 0;
}

static int check_fragment(const struct frag_reel_row *row, void *user) {
    struct walk *walk = user;
    while (walk->world->fragments[walk->last].reel != walk->reel) {
        walk->last++;
    }
    assert_true(world_same_row(&walk->world->fragments[walk->last].row, row));
    walk->last++;
    return ++walk->seen == walk->stop_at ? -ECANCELED : 0;
}

static void everything_is_met_once(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 5);
    struct frag_index *index = open_index(FRAG_INDEX_WRITE);
    world_grow(&world, index, 3000);
    size_t there = 0;
    for (size_t i = 0; i < world.reel_count; i++) {
        const struct world_reel *reel = &world.reels[i];
        struct walk walk = {.world = &world, .reel = i};
        int expected = reel->dropped ? -ENOENT : 0;
        assert_int_equal(frag_index_each_fragment(index, reel->reel.row, check_fragment, &walk),
                         expected);
        assert_int_equal(walk.seen, reel->dropped ? 0 : reel->reel.fragments);
        there += reel->dropped ? 0 : 1;
    }
    struct walk walk = {.world = &world, .index = index};
    assert_int_equal(frag_index_each_reel(index, check_reel, &walk), 0);
    assert_int_equal(walk.seen, there);
    walk = (struct walk){.world = &world, .stop_at = 3};
    assert_int_equal(frag_index_each_reel(index, check_reel, &walk), -ECANCELED);
    assert_int_equal(walk.seen, 3);
    /* Each may drop what it is given. */
    walk = (struct walk){.world = &world, .index = index, .drops = true};
    assert_int_equal(frag_index_begin(index), 0);
    assert_int_equal(frag_index_each_reel(index, check_reel, &walk), 0);
    assert_int_equal(walk.seen, there);
    assert_int_equal(frag_index_commit(index, false), 0);
    walk.seen = 0;
    assert_int_equal(frag_index_each_reel(index, check_reel, &walk), 0);
    assert_int_equal(walk.seen, 0);
    frag_index_close(index);
    world_finish(&world);
    assert_int_equal(get_number("SELECT (SELECT count(*) FROM reel) + (SELECT count(*) FROM stream)"
                                " + (SELECT count(*) FROM fragment)"
                                " + (SELECT count(*) FROM packed)"),
                     0);
}

static int count_rows(const struct frag_reel_row *row, void *user) {
    struct walk *walk = user;
    assert_int_equal(row->number.sequence, walk->last + 1);
    walk->last++;
    return ++walk->seen == walk->stop_at ? -ECANCELED : 0;
}

static void long_reels_are_met_in_parts(void **state) {
    (void)state;
    struct one one;
    set_up_one(&one);
    for (int i = 3; i < 1700; i++) {
        one.last = world_make_row(&one.reel, &one.last);
        one.last.producer.ns -= 1900 * KN_NS_PER_MS;
        one.last.server.ns -= 1900 * KN_NS_PER_MS;
        assert_int_equal(frag_index_add_fragment(one.index, one.reel.row, &one.last), 0);
    }
    for (int closed = 0; closed < 2; closed++) {
        struct walk walk = {0};
        assert_int_equal(frag_index_each_fragment(one.index, one.reel.row, count_rows, &walk), 0);
        assert_int_equal(walk.seen, 1700);
        walk = (struct walk){.stop_at = 600};
        assert_int_equal(frag_index_each_fragment(one.index, one.reel.row, count_rows, &walk),
                         -ECANCELED);
        assert_int_equal(walk.seen, 600);
        if (closed == 0) {
            assert_int_equal(frag_index_close_reel(one.index, one.reel.row, end_of(&one.last)), 0);
        }
    }
    tear_down_one(&one);
}

/* ---- lookups against looking through everything ---- */

static void same(const struct world *world, int rc, const struct frag_index_found *found,
                 const struct world_fragment *expected) {
    assert_int_equal(rc, expected == NULL ? -ENOENT : 0);
    if (expected != NULL) {
        assert_int_equal(found->row.number.sequence, expected->row.number.sequence);
        assert_int_equal(found->reel, world->reels[expected->reel].reel.row);
        assert_true(world_same_row(&found->row, &expected->row));
    }
}

/* Around a fragment, on it, or anywhere. */
static int64_t any_time(struct world *world, size_t stream, enum frag_clock clock) {
    const struct world_fragment *any = world_any(world, stream);
    if (any == NULL || world_draw(world) % 50 == 0) {
        return (int64_t)world_draw(world);
    }
    int64_t time_ns = clock == FRAG_CLOCK_PRODUCER ? any->row.producer.ns : any->row.server.ns;
    return time_ns +
           world_between(world, -1, 1) * (int64_t)(world_draw(world) % 40) *
               world_between(world, 0, 1) * KN_NS_PER_S +
           world_between(world, -1, 1);
}

static void check_page(const struct world *world, const struct frag_index_found *found, int count,
                       const struct world_fragment **expected, size_t left, size_t max) {
    assert_int_equal(count, left < max ? left : max);
    for (int i = 0; i < count; i++) {
        same(world, 0, &found[i], expected[i]);
    }
}

static void check_range(struct world *world, struct frag_index *index, size_t stream,
                        enum frag_clock clock) {
    static struct frag_index_found found[FRAG_INDEX_RANGE_MAX];
    int64_t from_ns = any_time(world, stream, clock);
    int64_t to_ns = world_draw(world) % 4 == 0 ? from_ns : any_time(world, stream, clock);
    size_t max = (size_t)world_between(world, 1, world_draw(world) % 3 == 0 ? 1000 : 20);
    const struct world_fragment **expected = NULL;
    if (world_draw(world) % 10 == 0) {
        from_ns = INT64_MIN;
        to_ns = INT64_MAX;
    }
    size_t total = world_range(world, stream, clock, from_ns, to_ns, &expected);
    uint64_t after = 0;
    size_t at = 0;
    for (;;) {
        int count =
            frag_index_range(index, world_stream_id(stream), clock, (struct kn_wall){from_ns},
                             (struct kn_wall){to_ns}, after, found, max);
        check_page(world, found, count, expected + at, total - at, max);
        if (count == 0) {
            break;
        }
        after = found[count - 1].row.number.sequence;
        at += (size_t)count;
        /* Far behind is as good as one by one, and quicker. */
        if (world_draw(world) % 8 == 0 && at + 3 < total) {
            at += 3;
            after = expected[at - 1]->row.number.sequence;
        }
    }
    assert_int_equal(at, total);
    free(expected);
}

static void check_all(struct world *world, struct frag_index *index, int rounds) {
    struct frag_index_found found;
    for (int i = 0; i < rounds; i++) {
        size_t stream = world_draw(world) % (i % 20 == 0 ? WORLD_STREAMS + 1 : WORLD_STREAMS);
        enum frag_clock clock =
            world_draw(world) % 2 == 0 ? FRAG_CLOCK_PRODUCER : FRAG_CLOCK_SERVER;
        const uint8_t *id = world_stream_id(stream);
        int64_t time_ns = any_time(world, stream, clock);
        int rc = frag_index_find_time(index, id, clock, (struct kn_wall){time_ns}, &found);
        same(world, rc, &found, world_find_time(world, stream, clock, time_ns));
        const struct world_fragment *any = world_any(world, stream);
        uint64_t sequence = any == NULL ? 7 : any->row.number.sequence;
        sequence += world_draw(world) % 3 == 0 ? 1 : 0;
        rc = frag_index_find_sequence(index, id, sequence, &found);
        same(world, rc, &found, world_find_sequence(world, stream, sequence));
        if (i % 4 == 0) {
            check_range(world, index, stream, clock);
        }
    }
    for (size_t stream = 0; stream < WORLD_STREAMS; stream++) {
        const uint8_t *id = world_stream_id(stream);
        int rc = frag_index_earliest(index, id, &found);
        same(world, rc, &found, world_earliest(world, stream));
        rc = frag_index_latest(index, id, &found);
        same(world, rc, &found, world_latest(world, stream));
    }
}

static void answers_are_those_of_looking_through_all(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct world world;
        remove_index();
        world_init(&world, seed);
        struct frag_index *index = open_index(FRAG_INDEX_WRITE);
        struct frag_index *reader = open_index(FRAG_INDEX_READ);
        for (int part = 0; part < 3; part++) {
            world_grow(&world, index, part == 0 ? 50 : 1000);
            check_all(&world, part == 1 ? index : reader, 60);
        }
        world_close_all(&world, index);
        check_all(&world, reader, 60);
        frag_index_close(reader);
        frag_index_close(index);
        world_finish(&world);
    }
}

static void closing_changes_no_answer(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 77);
    world.only_add = true;
    struct frag_index *index = open_index(FRAG_INDEX_WRITE);
    world_grow(&world, index, 2000);
    uint64_t seed = world.seed;
    check_all(&world, index, 150);
    world_close_all(&world, index);
    world.seed = seed; /* the same questions */
    check_all(&world, index, 150);
    frag_index_close(index);
    world_finish(&world);
    assert_int_equal(get_number("SELECT count(*) FROM fragment"), 0);
}

/* The second time from tables alone, as out of footers. */
static void an_index_made_again_answers_the_same(void **state) {
    (void)state;
    static struct frag_reel_row rows[2048];
    static uint8_t table[65536];
    struct world world;
    world_init(&world, 78);
    world.only_add = true;
    struct frag_index *index = open_index(FRAG_INDEX_WRITE);
    world_grow(&world, index, 2000);
    world_close_all(&world, index);
    frag_index_close(index);
    remove_index();
    index = open_index(FRAG_INDEX_WRITE);
    assert_int_equal(frag_index_begin(index), 0);
    for (size_t i = 0; i < world.reel_count; i++) {
        struct kn_writer writer;
        size_t count = 0;
        for (size_t j = 0; j < world.count; j++) {
            if (world.fragments[j].reel == i) {
                rows[count++] = world.fragments[j].row;
            }
        }
        kn_writer_init(&writer, table, sizeof(table));
        frag_reel_pack_table(&writer, rows, count);
        assert_int_equal(kn_writer_status(&writer), 0);
        struct frag_index_reel *reel = &world.reels[i].reel;
        assert_int_equal(
            frag_index_add_closed_reel(index, reel, writer.data, writer.size, &reel->row), 0);
    }
    assert_int_equal(frag_index_commit(index, false), 0);
    check_all(&world, index, 150);
    struct walk walk = {.world = &world};
    assert_int_equal(frag_index_each_reel(index, check_reel, &walk), 0);
    assert_int_equal(walk.seen, world.reel_count);
    frag_index_close(index);
    world_finish(&world);
}

/* More reels than are sorted at once: the other way through a range. */
static void ranges_over_many_reels(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 3);
    struct frag_index *index = open_index(FRAG_INDEX_WRITE);
    assert_int_equal(frag_index_begin(index), 0);
    for (size_t i = 0; i < 1200; i++) {
        struct world_reel *reel = &world.reels[world.reel_count++];
        reel->reel = world_make_reel(&world, 0, reel->path);
        assert_int_equal(frag_index_add_reel(index, &reel->reel, &reel->reel.row), 0);
        world.fragments = realloc(world.fragments, (world.count + 3) * sizeof(*world.fragments));
        assert_non_null(world.fragments);
        const struct frag_reel_row base = world_make_row(&reel->reel, NULL);
        const struct frag_reel_row *last = NULL;
        for (size_t j = 0; j < 3; j++) {
            struct frag_reel_row row = world_make_row(&reel->reel, last);
            /* Two sessions side by side, each reel over the next three. */
            row.number.sequence = 10 + i * 3 + j * 5;
            row.ordinal = row.number.sequence;
            row.producer.ns = base.producer.ns + world_between(&world, 0, 600) * KN_NS_PER_S;
            row.server.ns = base.server.ns + (int64_t)i * KN_NS_PER_S;
            assert_int_equal(frag_index_add_fragment(index, reel->reel.row, &row), 0);
            world.fragments[world.count] =
                (struct world_fragment){.reel = world.reel_count - 1, .row = row};
            last = &world.fragments[world.count++].row;
        }
    }
    assert_int_equal(frag_index_commit(index, false), 0);
    for (int i = 0; i < 12; i++) {
        check_range(&world, index, 0, i % 2 == 0 ? FRAG_CLOCK_PRODUCER : FRAG_CLOCK_SERVER);
    }
    check_all(&world, index, 20);
    frag_index_close(index);
    world_finish(&world);
}

static void a_long_reel_behind_a_short_one(void **state) {
    (void)state;
    struct one one;
    struct frag_index_found found;
    char room[96];
    int64_t row = 0;
    set_up_one(&one);
    /* The first reel's last fragment begins FRAG_REEL_SPAN_NS after its first: later than the one
     * of a second reel that began half-way. */
    struct frag_reel_row first = world_make_row(&one.reel, NULL);
    struct frag_reel_row late = world_make_row(&one.reel, &one.last);
    late.server.ns = first.server.ns + FRAG_REEL_SPAN_NS;
    late.number.sequence += 10;
    late.ordinal += 10;
    assert_int_equal(frag_index_add_fragment(one.index, one.reel.row, &late), 0);
    struct frag_index_reel reel = world_make_reel(&one.world, 0, room);
    assert_int_equal(frag_index_add_reel(one.index, &reel, &row), 0);
    struct frag_reel_row half = world_make_row(&reel, NULL);
    half.number.sequence = late.number.sequence - 1;
    half.server.ns = first.server.ns + FRAG_REEL_SPAN_NS / 2;
    assert_int_equal(frag_index_add_fragment(one.index, row, &half), 0);
    struct kn_wall time = {late.server.ns + 5};
    assert_int_equal(
        frag_index_find_time(one.index, world_stream_id(0), FRAG_CLOCK_SERVER, time, &found), 0);
    assert_int_equal(found.row.number.sequence, late.number.sequence);
    time.ns = late.server.ns - 1;
    assert_int_equal(
        frag_index_find_time(one.index, world_stream_id(0), FRAG_CLOCK_SERVER, time, &found), 0);
    assert_int_equal(found.row.number.sequence, half.number.sequence);
    assert_int_equal(frag_index_latest(one.index, world_stream_id(0), &found), 0);
    assert_int_equal(found.row.number.sequence, late.number.sequence);
    tear_down_one(&one);
}

/* Sequences 1 to 9 in the first reel, copies of 5 to 7 in the second, of 3 to 7 in the third. */
static void copies_are_found_in_the_reel_added_last(void **state) {
    (void)state;
    static const uint64_t from[] = {1, 5, 3}, to[] = {9, 7, 7};
    struct world world;
    struct frag_index_found found[10];
    const uint8_t *id = world_stream_id(0);
    int64_t reels[3];
    char room[96];
    world_init(&world, 1);
    struct frag_index *index = open_index(FRAG_INDEX_WRITE);
    assert_int_equal(frag_index_begin(index), 0);
    for (size_t i = 0; i < 3; i++) {
        struct frag_index_reel reel = world_make_reel(&world, 0, room);
        struct frag_reel_row row = world_make_row(&reel, NULL);
        assert_int_equal(frag_index_add_reel(index, &reel, &reels[i]), 0);
        for (uint64_t sequence = 1; sequence <= to[i]; sequence++) {
            row.number.sequence = sequence;
            if (sequence >= from[i]) {
                assert_int_equal(frag_index_add_fragment(index, reels[i], &row), 0);
            }
            row = world_make_row(&reel, &row);
        }
    }
    for (uint64_t sequence = 1; sequence <= 9; sequence++) {
        int64_t reel = reels[sequence >= 3 && sequence <= 7 ? 2 : 0];
        assert_int_equal(frag_index_find_sequence(index, id, sequence, found), 0);
        assert_int_equal(found->reel, reel);
        assert_int_equal(found->row.number.sequence, sequence);
        struct kn_wall time = found->row.server;
        assert_int_equal(frag_index_find_time(index, id, FRAG_CLOCK_SERVER, time, found), 0);
        assert_int_equal(found->reel, reel);
        assert_int_equal(frag_index_range(index, id, FRAG_CLOCK_SERVER, time, time, 0, found, 10),
                         1);
        assert_int_equal(found->reel, reel);
    }
    frag_index_close(index);
    world_finish(&world);
}

/* ---- transactions ---- */

static void readers_see_what_is_committed(void **state) {
    (void)state;
    struct one one;
    struct frag_index_found found;
    const uint8_t *id = world_stream_id(0);
    set_up_one(&one);
    struct frag_index *reader = open_index(FRAG_INDEX_READ);
    assert_int_equal(frag_index_latest(reader, id, &found), -ENOENT);
    assert_int_equal(frag_index_latest(one.index, id, &found), 0); /* its own */
    assert_int_equal(frag_index_commit(one.index, false), 0);
    assert_int_equal(frag_index_latest(reader, id, &found), 0);
    assert_int_equal(found.row.number.sequence, 3);
    assert_int_equal(frag_index_begin(one.index), 0);
    struct frag_reel_row row = world_make_row(&one.reel, &one.last);
    assert_int_equal(frag_index_add_fragment(one.index, one.reel.row, &row), 0);
    assert_int_equal(frag_index_latest(reader, id, &found), 0);
    assert_int_equal(found.row.number.sequence, 3);
    frag_index_rollback(one.index);
    assert_int_equal(frag_index_latest(one.index, id, &found), 0);
    assert_int_equal(found.row.number.sequence, 3);
    assert_int_equal(frag_index_begin(reader), -EROFS);
    /* A transaction that is open when the index is closed never was. */
    assert_int_equal(frag_index_begin(one.index), 0);
    assert_int_equal(frag_index_add_fragment(one.index, one.reel.row, &row), 0);
    frag_index_close(one.index);
    assert_int_equal(frag_index_latest(reader, id, &found), 0);
    assert_int_equal(found.row.number.sequence, 3);
    frag_index_close(reader);
    world_finish(&one.world);
}

static void a_second_writer_waits_and_gives_up(void **state) {
    (void)state;
    struct one one;
    set_up_one(&one);
    struct frag_index *other = open_index(FRAG_INDEX_WRITE);
    assert_int_equal(frag_index_begin(other), -EBUSY);
    assert_int_equal(frag_index_commit(one.index, false), 0);
    assert_int_equal(frag_index_begin(other), 0);
    frag_index_close(other);
    tear_down_one(&one);
}

static void durable_commits_are_synced(void **state) {
    (void)state;
    struct one one;
    struct frag_index_found found;
    set_up_one(&one);
    assert_int_equal(frag_index_commit(one.index, false), 0);
    for (int i = 0; i < 2; i++) {
        for (int durable = 0; durable < 2; durable++) {
            assert_int_equal(frag_index_begin(one.index), 0);
            one.last = world_make_row(&one.reel, &one.last);
            assert_int_equal(frag_index_add_fragment(one.index, one.reel.row, &one.last), 0);
            syncs = 0;
            assert_int_equal(frag_index_commit(one.index, durable != 0), 0);
            assert_int_equal(syncs, durable);
        }
    }
    /* A failed sync: in effect, not durable, and the end of writing. */
    assert_int_equal(frag_index_begin(one.index), 0);
    assert_int_equal(frag_index_mark_deleting(one.index, one.reel.row), 0);
    sync_fails = true;
    assert_int_equal(frag_index_commit(one.index, true), -EIO);
    sync_fails = false;
    assert_int_equal(frag_index_latest(one.index, world_stream_id(0), &found), -ENOENT);
    assert_int_equal(frag_index_begin(one.index), -EIO);
    syncs = 0;
    tear_down_one(&one);
    assert_int_equal(get_number("SELECT state FROM reel"), FRAG_REEL_DELETING);
}

static int commit_one(struct one *one) {
    int rc = frag_index_begin(one->index);
    if (rc != 0) {
        return rc;
    }
    one->last = world_make_row(&one->reel, &one->last);
    one->last.producer.ns -= 1900 * KN_NS_PER_MS;
    one->last.server.ns -= 1900 * KN_NS_PER_MS;
    rc = frag_index_add_fragment(one->index, one->reel.row, &one->last);
    return rc == 0 ? frag_index_commit(one->index, false) : rc;
}

static void a_sync_that_fails_later_is_seen(void **state) {
    (void)state;
    struct one one;
    struct frag_index_found found;
    int rc = 0;
    set_up_one(&one);
    assert_int_equal(frag_index_commit(one.index, false), 0);
    sync_fails = true;
    for (int i = 0; i < 1500 && rc == 0; i++) {
        rc = commit_one(&one);
    }
    assert_int_equal(rc, -EIO);
    assert_int_equal(frag_index_latest(one.index, world_stream_id(0), &found), 0);
    tear_down_one(&one);
}

static uint64_t bytes_of(const char *ending) {
    char name[320];
    struct stat status;
    (void)snprintf(name, sizeof(name), "%s%s", path, ending);
    return stat(name, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static void the_log_stays_small(void **state) {
    (void)state;
    struct one one;
    struct frag_index_found found;
    set_up_one(&one);
    assert_int_equal(frag_index_commit(one.index, false), 0);
    struct frag_index *reader = open_index(FRAG_INDEX_READ);
    for (int i = 0; i < 1500; i++) {
        assert_int_equal(commit_one(&one), 0);
        assert_int_equal(frag_index_latest(reader, world_stream_id(0), &found), 0);
    }
    assert_in_range(bytes_of("-wal"), 1, 12u << 20);
    frag_index_close(reader);
    tear_down_one(&one);
    assert_int_equal(bytes_of("-wal"), 0);
}

static void killed_in_a_transaction(void **state) {
    (void)state;
    struct frag_index_found found;
    int pipes[2];
    char byte = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct one one;
        set_up_one(&one);
        int rc = frag_index_commit(one.index, false);
        rc = rc == 0 ? frag_index_begin(one.index) : rc;
        for (int i = 0; i < 500 && rc == 0; i++) {
            one.last = world_make_row(&one.reel, &one.last);
            rc = frag_index_add_fragment(one.index, one.reel.row, &one.last);
        }
        (void)!write(pipes[1], rc == 0 ? "1" : "0", 1);
        for (;;) {
            (void)pause();
        }
    }
    (void)close(pipes[1]); /* so that a child that failed is not waited for */
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(byte, '1');
    (void)close(pipes[0]);
    for (int i = 0; i < 2; i++) {
        struct frag_index *index = open_index(i == 0 ? FRAG_INDEX_READ : FRAG_INDEX_WRITE);
        assert_int_equal(frag_index_latest(index, world_stream_id(0), &found), 0);
        assert_int_equal(found.row.number.sequence, 3);
        frag_index_close(index);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, begin_test)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(reading_needs_an_index),
        TEST(writing_makes_one),
        TEST(a_folder_that_is_not_there),
        TEST(what_is_no_index_is_refused),
        TEST(a_newer_version_is_refused),
        TEST(upgrades_go_step_by_step),
        TEST(a_reel_comes_back_as_it_was),
        TEST(reels_that_cannot_be_are_refused),
        TEST(fragments_that_do_not_follow_are_refused),
        TEST(sequence_zero_is_nobodys),
        TEST(only_what_a_table_holds_is_kept),
        TEST(empty_reels_and_unknown_streams),
        TEST(bad_tables_are_refused),
        TEST(marked_reels_are_not_found),
        TEST(everything_is_met_once),
        TEST(long_reels_are_met_in_parts),
        TEST(answers_are_those_of_looking_through_all),
        TEST(closing_changes_no_answer),
        TEST(an_index_made_again_answers_the_same),
        TEST(ranges_over_many_reels),
        TEST(a_long_reel_behind_a_short_one),
        TEST(copies_are_found_in_the_reel_added_last),
        TEST(readers_see_what_is_committed),
        TEST(a_second_writer_waits_and_gives_up),
        TEST(durable_commits_are_synced),
        TEST(a_sync_that_fails_later_is_seen),
        TEST(the_log_stays_small),
        TEST(killed_in_a_transaction),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
