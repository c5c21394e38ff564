/* While others record without a pause: what must not wait for one. */
#include "tests/unit/fragments_store_world.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <time.h>

#include "base/log.h"

#define PICTURES 25u

static void rest_ms(long ms) {
    struct timespec left = {.tv_nsec = ms * (long)KN_NS_PER_MS};
    while (nanosleep(&left, &left) != 0) {
    }
}

struct steady {
    struct frag_writer *writer;
    struct camera camera;
    atomic_uint acks;
};

static void count_ack(const struct frag_ack *ack, void *user) {
    struct steady *steady = user;
    (void)atomic_fetch_add(&steady->acks, ack->kind == FRAG_ACK_DURABLE ? 1 : 0);
}

static void begin_steady(struct world *world, const char *name, struct steady *steady) {
    const struct frag_writer_config config = {.handle_ack = count_ack, .user = steady};
    atomic_init(&steady->acks, 0);
    camera_init(&steady->camera, 1, (struct kn_wall){WORLD_START});
    steady->camera.gop = PICTURES;
    steady->camera.picture_bytes = 40;
    assert_int_equal(frag_writer_open(world_stream(world, name), &config, &steady->writer), 0);
}

static void end_steady(struct steady *steady) {
    frag_writer_close(steady->writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&steady->camera);
}

/* A fragment every 50 ms, so that the index thread has no rest, until `is_done` or 40 of them. */
static bool send_until(struct steady *steady, bool (*is_done)(void *user), void *user) {
    for (unsigned i = 0; i < 40; i++) {
        camera_send(&steady->camera, steady->writer, PICTURES);
        frag_writer_cut(steady->writer);
        rest_ms(50);
        if (is_done(user)) {
            return true;
        }
    }
    return false;
}

static bool has_acks(void *user) {
    const struct steady *steady = user;
    return atomic_load(&steady->acks) > 0;
}

static void open_with_threads(struct world *world) {
    kn_log_set_level(KN_LOG_WARN);
    world->config.threads = true;
    world->config.clock = NULL;
    world_open(world);
}

static int count_away(const struct frag_gap_entry *gap, void *user) {
    *(unsigned *)user += gap->open && gap->gap.cause == FRAG_GAP_NETWORK ? 1 : 0;
    return 0;
}

/* As another program reads it: out of the journal. */
static bool is_gap_written(void *user) {
    struct world *world = user;
    struct frag_store_config config = world->config;
    struct frag_store *reader = NULL;
    unsigned count = 0;
    config.mode = FRAG_STORE_READ;
    assert_int_equal(frag_store_open(&config, &reader, NULL), 0);
    assert_int_equal(frag_gap_each(frag_stream_find(reader, "gone"), (struct kn_wall){0},
                                   (struct kn_wall){INT64_MAX}, count_away, &count),
                     0);
    frag_store_close(reader);
    return count == 1;
}

static void a_gap_is_written_while_others_record(void **state) {
    struct world *world = *state;
    const struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    static struct steady steady; /* acks may come until the store is closed */
    open_with_threads(world);
    begin_steady(world, "steady", &steady);
    assert_int_equal(frag_writer_open(world_stream(world, "gone"), &config, &writer), 0);
    assert_true(send_until(&steady, has_acks, &steady));
    frag_writer_close(writer, FRAG_GAP_NETWORK);
    assert_true(send_until(&steady, is_gap_written, world));
    end_steady(&steady);
}

/* Another program keeps the database for longer than the index waits for it. */
static void a_busy_index_is_tried_again_while_others_record(void **state) {
    struct world *world = *state;
    char path[100];
    sqlite3 *other = NULL;
    static struct steady steady; /* acks may come until the store is closed */
    open_with_threads(world);
    begin_steady(world, "steady", &steady);
    (void)snprintf(path, sizeof(path), "%s/index.db", world->folder);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    for (unsigned i = 0; i < 100 && frag_store_stats(world->store).health != FRAG_STORE_FAILING;
         i++) {
        camera_send(&steady.camera, steady.writer, 1);
        rest_ms(50);
    }
    assert_int_equal(frag_store_stats(world->store).health, FRAG_STORE_FAILING);
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_true(send_until(&steady, has_acks, &steady));
    assert_int_equal(frag_store_stats(world->store).health, FRAG_STORE_FINE);
    end_steady(&steady);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_gap_is_written_while_others_record, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_busy_index_is_tried_again_while_others_record,
                                        world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
