/* A store with its threads: recorders, a janitor that is woken all the time, and holds that come
 * and go. From the moment a hold is there nothing under it is deleted. */
#include <pthread.h>

#include "tests/unit/fragments_retention_world.h"

#define RECORDERS 3
#define SESSIONS 40
#define HELD_MOST 64

struct recorder {
    struct world *world;
    char name[2];
    pthread_t thread;
    atomic_bool ended;
};

static void *record(void *user) {
    struct recorder *recorder = user;
    for (uint32_t i = 0; i < SESSIONS; i++) {
        world_record(recorder->world, recorder->name, i, 100);
        KN_ASSERT(frag_store_flush(recorder->world->store) == 0);
        fake_clock_advance(&recorder->world->clock, 11 * KN_NS_PER_S);
    }
    atomic_store(&recorder->ended, true);
    return NULL;
}

/* What was there of a stream when it was held. */
struct held {
    const char *stream;
    struct frag_hold hold;
    uint64_t sequences[2];
    size_t count;
};

static void hold_newest(struct world *world, const char *name, struct held *held) {
    static struct frag_entry entries[512];
    size_t count = world_list(world, name, entries, KN_COUNT(entries));
    *held = (struct held){.stream = name};
    if (count == 0) {
        return;
    }
    const struct frag_entry *last = &entries[count - 1];
    held->hold = (struct frag_hold){
        .clock = FRAG_CLOCK_SERVER, .from = last->server, .to = last->server, .reason = "test"};
    struct frag_stream *stream = frag_stream_find(world->store, name);
    assert_int_equal(frag_hold_add(stream, &held->hold), 0);
    count = world_list(world, name, entries, KN_COUNT(entries));
    for (size_t i = 0; i < count && held->count < KN_COUNT(held->sequences); i++) {
        if (entries[i].server.ns == held->hold.from.ns) {
            held->sequences[held->count++] = entries[i].number.sequence;
        }
    }
}

static void expect_held(struct world *world, const struct held *held) {
    struct frag_archive *archive = NULL;
    struct frag_stream *stream = frag_stream_find(world->store, held->stream);
    struct frag_entry entry;
    struct frag_loaded *loaded = NULL;
    uint32_t seed = 0;
    uint32_t first = 0;
    assert_int_equal(frag_archive_open(world->store, &archive), 0);
    for (size_t i = 0; i < held->count; i++) {
        assert_int_equal(frag_archive_find_number(archive, stream, held->sequences[i], &entry), 0);
        assert_int_equal(frag_archive_load(archive, &entry, &loaded), 0);
        assert_null(camera_check(loaded, &seed, &first));
        frag_loaded_free(loaded);
    }
    frag_archive_close(archive);
}

static bool all_ended(struct recorder *recorders) {
    bool ended = true;
    for (size_t i = 0; i < RECORDERS; i++) {
        ended = ended && atomic_load(&recorders[i].ended);
    }
    return ended;
}

static void test_holds_against_retention(void **state) {
    struct world *world = *state;
    struct recorder recorders[RECORDERS];
    static struct held held[HELD_MOST];
    size_t count = 0;
    size_t removed = 0;
    world->config.threads = true;
    world_open(world);
    for (size_t i = 0; i < RECORDERS; i++) {
        recorders[i] = (struct recorder){.world = world, .name = {(char)('a' + i), '\0'}};
        (void)make_stream(world, recorders[i].name, FRAG_RETAIN_FOREVER, 300000);
    }
    for (size_t i = 0; i < RECORDERS; i++) {
        assert_int_equal(pthread_create(&recorders[i].thread, NULL, record, &recorders[i]), 0);
    }
    for (size_t i = 0; !all_ended(recorders); i++) {
        if (count < HELD_MOST) {
            hold_newest(world, recorders[i % RECORDERS].name, &held[count]);
            count += held[count].count > 0 ? 1 : 0;
        }
        frag_janitor_wake(world->store);
        assert_int_equal(frag_retention_run(world->store), 0);
        if (i % 3 == 2 && removed + 8 < count) {
            assert_int_equal(frag_hold_remove(world->store, held[removed++].hold.id), 0);
        }
        assert_false(frag_store_stats(world->store).clock_in_doubt);
    }
    for (size_t i = 0; i < RECORDERS; i++) {
        assert_int_equal(pthread_join(recorders[i].thread, NULL), 0);
    }
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_true(count > removed);
    for (size_t i = removed; i < count; i++) {
        expect_held(world, &held[i]);
    }
    assert_true(frag_store_stats(world->store).deleted_reels > 0);
    world->config.threads = false;
    for (size_t i = 0; i < RECORDERS; i++) {
        struct frag_stream_counters before = counters_of(world, recorders[i].name);
        check_totals(world, recorders[i].name, before.reels_on_disk, before.fragments_on_disk);
    }
    for (size_t i = removed; i < count; i++) {
        expect_held(world, &held[i]);
    }
}

/* While a pass is under way, or is waited for. */
static void test_closing_meanwhile(void **state) {
    struct world *world = *state;
    for (int i = 0; i < 5; i++) {
        world->config.threads = true;
        world_open(world);
        char name[] = {(char)('a' + i), '\0'};
        (void)make_stream(world, name, HOUR_NS, 0);
        record_reels(world, name, 4);
        advance(world, DAY_NS);
        frag_retention_confirm_clock(world->store);
        frag_janitor_wake(world->store);
        world_close(world);
    }
    world_open(world);
    frag_retention_confirm_clock(world->store);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 0);
}

static void test_a_deleted_stream_with_threads(void **state) {
    struct world *world = *state;
    world->config.threads = true;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", FRAG_RETAIN_FOREVER, 0);
    record_reels(world, "door", 3);
    assert_int_equal(frag_stream_delete(stream, NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(frag_retention_run(world->store), 0);
    }
    assert_int_equal(reel_files(world), 0);
    world_close(world);
    world_open(world);
    assert_int_equal(frag_store_stats(world->store).streams, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, retention_setup, world_teardown)
        TEST(test_holds_against_retention),
        TEST(test_closing_meanwhile),
        TEST(test_a_deleted_stream_with_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
