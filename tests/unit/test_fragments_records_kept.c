/* Records and their keys after a kill, a rebuild, damage and retention. */
#include <fcntl.h>

#include "base/error.h"
#include "base/log.h"
#include "tests/unit/fragments_record_world.h"

/* ---- crashes and rebuilding ---- */

static void keys_survive_a_kill(void **state) {
    struct world *world = *state;
    struct acks acks = {0};
    world_open(world);
    struct frag_stream *stream = make_stream(world, "seen");
    write_records(world, stream, 0, 100);
    struct frag_records *records = open_records(stream, &acks);
    add(world, records, 100, 290);
    assert_int_equal(frag_records_commit(records), 0);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 190);
    add(world, records, 290, 295); /* wait, and are lost */
    check_all(world, "seen", 290);
    uint64_t keys = count_keys(world);
    frag_records_close(records, FRAG_GAP_CRASH); /* the memory; nothing is written any more */
    world_kill(world);

    world_open(world);
    assert_int_equal(world->opening.recovered_reels, 1);
    check_all(world, "seen", 290);
    assert_int_equal(count_keys(world), keys);
    world_kill(world);
    world_open(world);
    assert_int_equal(count_keys(world), keys);
    world_close(world);

    struct frag_store_opening opening;
    assert_int_equal(frag_store_rebuild(&world->config, NULL, NULL, &opening), 0);
    assert_int_equal(opening.damaged_files, 0);
    assert_int_equal(count_findings(world), 0);
    world_open(world);
    check_all(world, "seen", 290);
    assert_int_equal(count_keys(world), keys);
}

/* ---- damage ---- */

static void change_byte(const char *path, off_t at) {
    uint8_t byte = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

/* The world's one reel. */
static char reel_path[256];

static int find_reel(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about;
    (void)place;
    size_t size = strlen(path);
    if (type == FTW_F && size > 4 && strcmp(path + size - 4, ".mkv") == 0) {
        (void)snprintf(reel_path, sizeof(reel_path), "%s", path);
    }
    return 0;
}

static void damage_costs_one_batch(void **state) {
    struct world *world = *state;
    static struct collected all;
    static struct frag_entry entries[64];
    world_open(world);
    write_records(world, make_stream(world, "seen"), 0, 100);
    size_t count = world_list(world, "seen", entries, KN_COUNT(entries));
    assert_int_equal(count, 10);
    world_close(world);
    assert_int_equal(nftw(world->folder, find_reel, 16, FTW_PHYS), 0);
    change_byte(reel_path, (off_t)(entries[4].cluster_at + entries[4].cluster_bytes - 1));
    world_open(world);
    /* All others are told. */
    assert_int_equal(list(world, "seen", BEGINNING, END, NULL, &all), KN_E_MALFORMED);
    assert_int_equal(all.count, 90);
    assert_int_equal(all.numbers[39], 39);
    assert_int_equal(all.numbers[40], 50);
    /* Batches without the key are not read, so nobody meets the damage. */
    struct frag_record_key key = {.slot = 0, .key = 39};
    assert_int_equal(list(world, "seen", BEGINNING, END, &key, &all), 0);
    assert_int_equal(all.count, 1);
    key.key = 44;
    assert_int_equal(list(world, "seen", BEGINNING, END, &key, &all), KN_E_MALFORMED);
    assert_int_equal(all.count, 0);
    world_close(world);

    struct frag_store_opening opening;
    assert_int_equal(frag_store_rebuild(&world->config, NULL, NULL, &opening), 0);
    assert_int_equal(opening.damaged_files, 1);
    world_open(world);
    assert_int_equal(list(world, "seen", BEGINNING, END, NULL, &all), KN_E_MALFORMED);
    assert_int_equal(all.count, 90);
    key.key = 50;
    assert_int_equal(list(world, "seen", BEGINNING, END, &key, &all), 0);
    assert_int_equal(all.count, 1);
}

/* A bit of any row makes something missing or refused, never something else. */
static void change_keys(struct world *world, const char *sql) {
    char path[128];
    sqlite3 *db = NULL;
    (void)snprintf(path, sizeof(path), "%s/index.db", world->folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void key_rows_are_checked(void **state) {
    static const char *const changes[] = {
        "UPDATE record_key SET key = 77 WHERE slot = 0 AND key = 6",
        "UPDATE record_key SET sum = sum + 1 WHERE slot = 0 AND key = 77",
        "UPDATE record_key SET sequence = sequence + 1 WHERE slot = 0 AND key = 78",
    };
    static const uint64_t asked[] = {77, 77, 78};
    struct world *world = *state;
    static struct collected all;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "seen");
    write_records(world, stream, 0, 60);
    write_records(world, stream, 70, 80);
    for (size_t i = 0; i < KN_COUNT(changes); i++) {
        const struct frag_record_key key = {.slot = 0, .key = asked[i]};
        change_keys(world, changes[i]);
        assert_int_equal(list(world, "seen", BEGINNING, END, &key, &all), KN_E_MALFORMED);
        assert_int_equal(all.count, 0);
    }
}

static void check_finds_other_keys(void **state) {
    static const char *const changes[] = {
        "DELETE FROM record_key WHERE slot = 0 AND key = 6",
        "UPDATE record_key SET sum = sum + 1 WHERE slot = 0 AND key = 6",
        "UPDATE record_key SET key = 1000 WHERE slot = 0 AND key = 6",
        ("INSERT INTO record_key SELECT reel, slot, 1007, sequence, sum FROM record_key"
         " WHERE slot = 0 AND key = 6"),
        "UPDATE record_key SET reel = 9 WHERE slot = 0 AND key = 6",
    };
    struct world *world = *state;
    world_open(world);
    write_records(world, make_stream(world, "seen"), 0, 60);
    world_close(world);
    uint64_t keys = count_keys(world);
    for (size_t i = 0; i < KN_COUNT(changes); i++) {
        assert_int_equal(count_findings(world), 0);
        change_keys(world, changes[i]);
        assert_true(count_findings(world) > 0);
        assert_int_equal(frag_store_rebuild(&world->config, NULL, NULL, NULL), 0);
        assert_int_equal(count_keys(world), keys);
    }
}

/* ---- retention ---- */

static void retention_takes_keys(void **state) {
    struct world *world = *state;
    static struct collected all;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "seen");
    write_records(world, stream, 0, 100);
    uint64_t one = count_keys(world);
    struct made made;
    make(&made, 32);
    struct frag_hold hold = {.clock = FRAG_CLOCK_PRODUCER,
                             .from = made.record.time,
                             .to = made.record.time,
                             .reason = "test"};
    assert_int_equal(frag_hold_add(stream, &hold), 0);
    fake_clock_advance(&world->clock, 3600 * KN_NS_PER_S);
    write_records(world, stream, 40000, 40100);
    assert_true(count_keys(world) > one);
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = 1800 * KN_NS_PER_S;
    settings.records = true;
    assert_int_equal(frag_stream_update(stream, NULL, &settings), 0);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(frag_store_stats(world->store).deleted_reels, 1);

    /* The held batch stays, with its keys, and nothing else of the first hundred. */
    assert_int_equal(list(world, "seen", BEGINNING, END, NULL, &all), 0);
    assert_in_range(all.count, 101, 110);
    size_t kept = all.count - 100;
    struct frag_record_key key = {.slot = 0, .key = 32};
    assert_int_equal(list(world, "seen", BEGINNING, END, &key, &all), 0);
    assert_int_equal(all.count, 1);
    key.key = 60;
    assert_int_equal(list(world, "seen", BEGINNING, END, &key, &all), 0);
    assert_int_equal(all.count, 0);
    uint64_t after = count_keys(world);
    assert_true(after > 100 && after < one * 2);
    world_close(world);
    assert_int_equal(count_findings(world), 0);
    assert_int_equal(frag_store_rebuild(&world->config, NULL, NULL, NULL), 0);
    assert_int_equal(count_keys(world), after);

    world_open(world);
    assert_int_equal(list(world, "seen", BEGINNING, END, NULL, &all), 0);
    assert_int_equal(all.count, kept + 100);
    assert_int_equal(frag_hold_remove(world->store, hold.id), 0);
    fake_clock_advance(&world->clock, 7200 * KN_NS_PER_S);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(count_keys(world), 0);
    assert_int_equal(list(world, "seen", BEGINNING, END, NULL, &all), 0);
    assert_int_equal(all.count, 0);
}

int main(void) {
    kn_log_set_sink(quiet, NULL);
    const struct CMUnitTest tests[] = {
        TEST(keys_survive_a_kill),    TEST(damage_costs_one_batch), TEST(key_rows_are_checked),
        TEST(check_finds_other_keys), TEST(retention_takes_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
