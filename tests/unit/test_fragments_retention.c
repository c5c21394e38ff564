/* Retention in real stores: by age, by bytes, for free space; deleted streams; a clock in doubt;
 * what the operator is told beforehand. */
#include "tests/unit/fragments_retention_world.h"

/* ---- by age ---- */

static void test_whole_reels_go_by_age(void **state) {
    struct world *world = *state;
    world_open(world);
    (void)make_stream(world, "door", 2 * HOUR_NS, 0);
    record_reels(world, "door", 4);                   /* begin 4, 3, 2 and 1 hours ago */
    assert_int_equal(world_check(world, "door"), 10); /* two have expired */
    watched.unlinks = 0;
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(counters_of(world, "door").reels_on_disk, 1 + 1);
    assert_int_equal(reel_files(world), 2);
    advance(world, REEL_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 1);
    assert_int_equal(world_check(world, "door"), 5);
    check_totals(world, "door", 1, 5);
}

static void test_flush_does_it_too(void **state) {
    struct world *world = *state;
    world_open(world);
    (void)make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    record_reel(world, "door", 2);
    advance(world, HOUR_NS - 10 * KN_NS_PER_S);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(reel_files(world), 1);
    advance(world, 30 * KN_NS_PER_S);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(reel_files(world), 1); /* a pass a minute */
    advance(world, 30 * KN_NS_PER_S);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(reel_files(world), 0);
    struct frag_store_stats stats = frag_store_stats(world->store);
    assert_int_equal(stats.deleted_reels, 2);
    assert_true(stats.deleted_bytes > 2 * 8192);
}

static void test_expired_fragments_are_not_seen(void **state) {
    struct world *world = *state;
    struct frag_entry entries[8];
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    advance(world, HOUR_NS - 5 * KN_NS_PER_S);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 1);
    assert_int_equal(world_list(world, "door", entries, 8), 2); /* that began at 6 and 8 s */
    assert_int_equal(entries[0].ordinal, 3);
    /* Longer retention brings back what is there. */
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = 2 * HOUR_NS;
    assert_int_equal(frag_stream_update(stream, NULL, &settings), 0);
    assert_int_equal(world_list(world, "door", entries, 8), 5);
}

static void test_empty_folders_go(void **state) {
    struct world *world = *state;
    world_open(world);
    (void)make_stream(world, "door", HOUR_NS, 0);
    (void)make_stream(world, "gate", FRAG_RETAIN_FOREVER, 0);
    record_reel(world, "door", 1);
    record_reel(world, "gate", 2);
    assert_int_equal(reel_folders(world), 4);
    advance(world, 3 * HOUR_NS);
    record_reel(world, "gate", 3);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_folders(world), 2 + 1); /* of "gate", which has two days by now */
    record_reel(world, "door", 4);                /* they are made again */
    assert_int_equal(world_check(world, "door"), 5);
}

static void test_a_reel_that_is_written_stays(void **state) {
    struct world *world = *state;
    struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    struct camera camera;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", KN_NS_PER_S, 1);
    world_camera(world, &camera, 1);
    assert_int_equal(frag_writer_open(stream, &config, &writer), 0);
    camera_send(&camera, writer, 150);
    assert_int_equal(frag_store_flush(world->store), 0);
    watched.free_bytes = 0;
    advance(world, 10 * KN_NS_PER_S);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 1);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&camera);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 0);
}

/* Given up after a failed sync: its row stays open, and nobody writes to it. */
static void test_a_sealed_reel_goes(void **state) {
    struct world *world = *state;
    struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    struct camera camera;
    struct frag_catalog_value value;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    world_camera(world, &camera, 1);
    assert_int_equal(frag_writer_open(stream, &config, &writer), 0);
    camera_send(&camera, writer, 150);
    assert_int_equal(frag_store_flush(world->store), 0);
    watched.fail_syncs = 1;
    camera_send(&camera, writer, 100);
    assert_int_equal(frag_store_flush(world->store), 0);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&camera);
    assert_int_equal(frag_store_flush(world->store), 0);
    record_reel(world, "door", 2);
    assert_int_equal(reel_files(world), 3);
    uint8_t reel_id[FRAG_ID_BYTES];
    struct frag_index_found found;
    struct frag_index_reel reel;
    char path[FRAG_INDEX_PATH_BYTES];
    assert_int_equal(frag_index_earliest(world->store->clerk.index, stream->id, &found), 0);
    assert_int_equal(
        frag_index_get_reel(world->store->clerk.index, found.reel, path, sizeof(path), &reel), 0);
    assert_int_equal(reel.state, FRAG_REEL_OPEN);
    memcpy(reel_id, reel.identity.reel_id, FRAG_ID_BYTES);
    assert_int_equal(frag_catalog_get(world->store->clerk.catalog, FRAG_CATALOG_SEAL, reel_id,
                                      FRAG_ID_BYTES, &value),
                     0);
    advance(world, 2 * HOUR_NS);
    frag_retention_confirm_clock(world->store); /* everything expires at once */
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 0);
    assert_int_equal(frag_catalog_get(world->store->clerk.catalog, FRAG_CATALOG_SEAL, reel_id,
                                      FRAG_ID_BYTES, &value),
                     -ENOENT);
}

static void test_numbers_go_on_when_nothing_is_left(void **state) {
    struct world *world = *state;
    struct frag_entry last, entries[8];
    world_open(world);
    (void)make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    assert_int_equal(world_list(world, "door", entries, 8), 5);
    last = entries[4];
    advance(world, 2 * HOUR_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 0);
    check_totals(world, "door", 0, 0);
    record_reel(world, "door", 2);
    assert_int_equal(world_list(world, "door", entries, 8), 5);
    assert_true(entries[0].number.sequence > last.number.sequence);
    assert_true(entries[0].ordinal > last.ordinal);
    assert_true(entries[0].discontinuities > last.discontinuities);
}

static int count_gap(const struct frag_gap_entry *gap, void *user) {
    (void)gap;
    (*(size_t *)user)++;
    return 0;
}

static void test_gaps_expire(void **state) {
    struct world *world = *state;
    struct kn_wall ever[2] = {{INT64_MIN}, {INT64_MAX}};
    size_t count = 0;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    struct frag_stream *forever = make_stream(world, "gate", FRAG_RETAIN_FOREVER, 0);
    for (int i = 1; i <= 3; i++) {
        const struct frag_gap gap = {.from = {WORLD_START - i * 50 * 60 * KN_NS_PER_S},
                                     .to = {WORLD_START - i * 50 * 60 * KN_NS_PER_S + 5},
                                     .cause = FRAG_GAP_OPERATOR};
        assert_int_equal(frag_gap_add(stream, &gap, false), 0);
        assert_int_equal(frag_gap_add(forever, &gap, false), 0);
    }
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(frag_gap_each(stream, ever[0], ever[1], count_gap, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(frag_gap_each(forever, ever[0], ever[1], count_gap, &count), 0);
    assert_int_equal(count, 1 + 3);
}

/* ---- by bytes, and for free space ---- */

static void test_oldest_go_by_bytes(void **state) {
    struct world *world = *state;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", FRAG_RETAIN_FOREVER, 0);
    record_reels(world, "door", 5);
    uint64_t bytes = counters_of(world, "door").bytes_on_disk;
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.retention_bytes = bytes * 3 / 5 + 4000; /* reels differ a little */
    assert_int_equal(frag_stream_update(stream, NULL, &settings), 0);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(world_check(world, "door"), 3 * REEL_FRAGMENTS);
    struct frag_entry entries[20];
    assert_int_equal(world_list(world, "door", entries, 20), 15);
    assert_int_equal(entries[0].server.ns, WORLD_START + 2 * HOUR_NS);
    check_totals(world, "door", 3, 15);
}

static void test_free_space_takes_the_oldest_of_all(void **state) {
    struct world *world = *state;
    world->config.min_free_bytes = 1000000;
    world_open(world);
    (void)make_stream(world, "door", FRAG_RETAIN_FOREVER, 0);
    (void)make_stream(world, "gate", FRAG_RETAIN_FOREVER, 0);
    for (uint32_t i = 0; i < 3; i++) {
        record_reel(world, "door", i);
        record_reel(world, "gate", 50 + i);
        advance(world, HOUR_NS);
    }
    uint64_t door = counters_of(world, "door").bytes_on_disk;
    assert_true(door > 300000);
    watched.free_bytes = 1000000 - door * 3 / 4; /* two reels are not enough */
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 3);
    assert_int_equal(counters_of(world, "door").reels_on_disk, 1);
    assert_int_equal(counters_of(world, "gate").reels_on_disk, 2);
    watched.free_bytes = 1000000;
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 3);
    check_totals(world, "gate", 2, 10);
}

/* ---- things that fail ---- */

static void test_an_unlink_that_fails_is_tried_again(void **state) {
    struct world *world = *state;
    for (int i = 0; i < 2; i++) {
        world_open(world);
        char name[] = {(char)('a' + i), '\0'};
        (void)make_stream(world, name, HOUR_NS, 0);
        record_reel(world, name, 1);
        advance(world, 2 * HOUR_NS);
        watched.fail_unlinks = i == 0 ? 1 : 0;
        watched.fail_folder_syncs = i == 1 ? 1 : 0;
        assert_int_equal(frag_retention_run(world->store), -EIO);
        assert_int_equal(world_check(world, name), 0);
        assert_int_equal(counters_of(world, name).reels_on_disk, 1);
        assert_int_equal(frag_retention_run(world->store), 0);
        assert_int_equal(reel_files(world), 0);
        check_totals(world, name, 0, 0);
        world_close(world);
    }
}

static void test_what_was_marked_goes_at_the_next_start(void **state) {
    struct world *world = *state;
    world_open(world);
    (void)make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    advance(world, 2 * HOUR_NS);
    watched.fail_unlinks = 1;
    assert_int_equal(frag_retention_run(world->store), -EIO);
    world_kill(world);
    world_open(world);
    assert_int_equal(world->opening.finished_deletions, 1);
    assert_int_equal(reel_files(world), 0);
    check_totals(world, "door", 0, 0);
}

/* ---- deleted streams ---- */

static size_t gone_streams(const struct world *world) {
    KN_ASSERT(world->store != NULL);
    return world->store->gone_count;
}

static void test_a_deleted_stream_goes(void **state) {
    struct world *world = *state;
    struct frag_catalog_value value;
    uint8_t key[FRAG_KEY_BYTES_MAX];
    uint8_t id[FRAG_ID_BYTES];
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", FRAG_RETAIN_FOREVER, 0);
    memcpy(id, stream->id, FRAG_ID_BYTES);
    record_reels(world, "door", 3);
    const struct frag_gap gap = {.from = {1}, .to = {2}, .cause = FRAG_GAP_OPERATOR};
    assert_int_equal(frag_gap_add(stream, &gap, false), 0);
    assert_int_equal(frag_gap_add(stream, &gap, true), 0);
    assert_int_equal(frag_stream_delete(stream, NULL), 0);
    assert_null(frag_stream_find(world->store, "door"));
    (void)make_stream(world, "door", HOUR_NS, 0); /* the name is free at once */
    record_reel(world, "door", 9);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 1);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(frag_retention_run(world->store), 0);
    struct frag_catalog *catalog = world->store->clerk.catalog;
    assert_int_equal(frag_catalog_get(catalog, FRAG_CATALOG_STREAM, id, FRAG_ID_BYTES, &value),
                     -ENOENT);
    size_t key_bytes = frag_key_of(FRAG_KEY_MARK, id, key);
    assert_int_equal(frag_catalog_get(catalog, FRAG_CATALOG_STORE, key, key_bytes, &value),
                     -ENOENT);
    size_t gaps = 0;
    assert_int_equal(frag_gap_each(stream, (struct kn_wall){INT64_MIN}, (struct kn_wall){INT64_MAX},
                                   count_gap, &gaps),
                     0);
    assert_int_equal(gaps, 0);
    assert_int_equal(world_check(world, "door"), 5);
    world_close(world);
    world_open(world);
    assert_int_equal(gone_streams(world), 0);
}

static void test_a_deletion_goes_on_after_a_kill(void **state) {
    struct world *world = *state;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", FRAG_RETAIN_FOREVER, 0);
    record_reels(world, "door", 3);
    assert_int_equal(frag_stream_delete(stream, NULL), 0);
    world_kill(world);
    world_open(world);
    assert_int_equal(reel_files(world), 3);
    assert_null(frag_stream_find(world->store, "door"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(frag_retention_run(world->store), 0);
    }
    assert_int_equal(reel_files(world), 0);
    assert_int_equal(reel_folders(world), 0);
    world_close(world);
    world_open(world);
    assert_int_equal(gone_streams(world), 0);
}

/* ---- the clock ---- */

static void test_a_step_of_the_clock_pauses_age(void **state) {
    struct world *world = *state;
    world_open(world);
    (void)make_stream(world, "door", DAY_NS, 0);
    struct frag_stream *small = make_stream(world, "gate", FRAG_RETAIN_FOREVER, 0);
    record_reels(world, "door", 3);
    record_reel(world, "gate", 1);
    fake_clock_step_wall(&world->clock, 400 * DAY_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 4);
    assert_true(frag_store_stats(world->store).clock_in_doubt);
    assert_int_equal(world_check(world, "door"), 15); /* nor is anything hidden */
    /* What is not by age goes on. */
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.retention_bytes = 1;
    assert_int_equal(frag_stream_update(small, NULL, &settings), 0);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 3);
    /* Back again is right again only by being confirmed. */
    fake_clock_step_wall(&world->clock, -400 * DAY_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_true(frag_store_stats(world->store).clock_in_doubt);
    frag_retention_confirm_clock(world->store);
    assert_false(frag_store_stats(world->store).clock_in_doubt);
    advance(world, DAY_NS - 5 * HOUR_NS / 2);
    record_reel(world, "door", 5);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(counters_of(world, "door").reels_on_disk, 2 + 1);
    /* And in doubt when it is set once more. */
    fake_clock_step_wall(&world->clock, -HOUR_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_true(frag_store_stats(world->store).clock_in_doubt);
}

static void test_a_small_step_is_no_doubt(void **state) {
    struct world *world = *state;
    world_open(world);
    (void)make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    fake_clock_step_wall(&world->clock, 299 * KN_NS_PER_S);
    advance(world, 2 * HOUR_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 0);
    assert_false(frag_store_stats(world->store).clock_in_doubt);
}

static void test_a_store_of_the_future(void **state) {
    struct world *world = *state;
    world_open(world);
    (void)make_stream(world, "door", DAY_NS, 0);
    record_reels(world, "door", 3);
    world_close(world);
    fake_clock_init(&world->clock, WORLD_START - 30 * DAY_NS, 0);
    world_open(world);
    assert_true(frag_store_stats(world->store).clock_in_doubt);
    /* Recording with the wrong clock does not make it right. */
    record_reel(world, "door", 9);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_true(frag_store_stats(world->store).clock_in_doubt);
    world_close(world);
    world->config.clock_confirmed = true;
    world_open(world);
    assert_false(frag_store_stats(world->store).clock_in_doubt);
}

static void test_everything_would_expire(void **state) {
    struct world *world = *state;
    world_open(world);
    (void)make_stream(world, "door", DAY_NS, 0);
    (void)make_stream(world, "gate", DAY_NS, 0);
    record_reels(world, "door", 2);
    world_close(world);
    advance(world, 3000 * DAY_NS);
    world_open(world);
    assert_true(frag_store_stats(world->store).clock_in_doubt);
    record_reel(world, "gate", 9); /* a wrong clock's */
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 3);
    struct frag_retention_summary summary;
    assert_int_equal(
        frag_retention_plan(world->store, (struct kn_wall){INT64_MAX}, NULL, NULL, &summary), 0);
    assert_true(summary.clock_in_doubt);
    assert_non_null(summary.doubt);
    assert_int_equal(summary.reels, 0);
    frag_retention_confirm_clock(world->store);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 1);
}

/* A clock that is ahead at the start would take a whole stream, though others lose nothing. */
static void test_one_stream_would_expire(void **state) {
    struct world *world = *state;
    world_open(world);
    (void)make_stream(world, "door", DAY_NS, 0);
    (void)make_stream(world, "gate", FRAG_RETAIN_FOREVER, 0);
    record_reels(world, "door", 3);
    record_reel(world, "gate", 1);
    world_close(world);
    advance(world, 400 * DAY_NS);
    world_open(world);
    assert_true(frag_store_stats(world->store).clock_in_doubt);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 4);
    assert_int_equal(world_check(world, "door"), 15);
    frag_retention_confirm_clock(world->store);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 1);
    /* Of one reel only, it is what always happens at last. */
    record_reel(world, "door", 9);
    world_close(world);
    advance(world, 2 * DAY_NS);
    world_open(world);
    assert_false(frag_store_stats(world->store).clock_in_doubt);
}

/* One reel, or one that stays, and it is no doubt. */
static void test_the_last_one_may_expire(void **state) {
    struct world *world = *state;
    world_open(world);
    (void)make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    advance(world, 2 * HOUR_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 0);
    record_reels(world, "door", 2);
    (void)make_stream(world, "gate", FRAG_RETAIN_FOREVER, 0);
    record_reel(world, "gate", 1);
    advance(world, 2 * HOUR_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 1);
}

/* ---- told beforehand ---- */

struct told {
    struct frag_retention_item items[16];
    char streams[16][32];
    char paths[16][256];
    size_t count;
};

static int note_item(const struct frag_retention_item *item, void *user) {
    struct told *told = user;
    assert_true(told->count < 16);
    assert_int_equal(access(item->path, F_OK), 0);
    told->items[told->count] = *item;
    (void)snprintf(told->streams[told->count], sizeof(told->streams[0]), "%s", item->stream);
    (void)snprintf(told->paths[told->count], sizeof(told->paths[0]), "%s", item->path);
    told->count++;
    return 0;
}

static void test_the_plan_is_what_goes(void **state) {
    struct world *world = *state;
    struct told told = {0}, again = {0};
    struct frag_retention_summary summary, other;
    world_open(world);
    (void)make_stream(world, "door", 4 * HOUR_NS, 0);
    (void)make_stream(world, "gate", FRAG_RETAIN_FOREVER, 0);
    record_reels(world, "door", 3);
    record_reel(world, "gate", 1);
    struct kn_wall until = {WORLD_START + 5 * HOUR_NS + 10 * KN_NS_PER_S};
    assert_int_equal(frag_retention_plan(world->store, until, note_item, &told, &summary), 0);
    assert_int_equal(told.count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct frag_retention_item *item = &told.items[i];
        int64_t from = WORLD_START + (int64_t)i * HOUR_NS;
        assert_string_equal(told.streams[i], "door");
        assert_int_equal(item->cause, FRAG_RETENTION_AGE);
        assert_int_equal(item->from.ns, from);
        assert_int_equal(item->to.ns, from + 10 * KN_NS_PER_S);
        assert_int_equal(item->when.ns, item->to.ns + 4 * HOUR_NS);
        assert_int_equal(item->fragments, REEL_FRAGMENTS);
        assert_int_equal(item->held_fragments, 0);
    }
    assert_int_equal(summary.reels, 2);
    assert_int_equal(summary.bytes, told.items[0].bytes + told.items[1].bytes);
    assert_false(summary.clock_in_doubt);
    assert_null(summary.doubt);
    assert_false(summary.fills);
    assert_int_equal(summary.bytes_per_day, counters_of(world, "door").bytes_on_disk +
                                                counters_of(world, "gate").bytes_on_disk);

    /* Beside the writer, and for a reader. */
    struct frag_store_config config = world->config;
    struct frag_store *reader = NULL;
    config.mode = FRAG_STORE_READ;
    assert_int_equal(frag_store_open(&config, &reader, NULL), 0);
    assert_int_equal(frag_retention_plan(reader, until, note_item, &again, &other), 0);
    assert_int_equal(again.count, 2);
    assert_string_equal(again.paths[1], told.paths[1]);
    assert_int_equal(other.bytes_per_day, summary.bytes_per_day);
    assert_int_equal(frag_retention_run(reader), -EROFS);
    frag_store_close(reader);

    advance(world, until.ns - atomic_load(&world->clock.wall_ns));
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(access(told.paths[0], F_OK), -1);
    assert_int_equal(access(told.paths[1], F_OK), -1);
    assert_int_equal(reel_files(world), 2);
}

static int refuse_item(const struct frag_retention_item *item, void *user) {
    (void)item;
    (void)user;
    return -EINTR;
}

static void test_the_plan_of_limits_and_disks(void **state) {
    struct world *world = *state;
    struct told told = {0};
    struct frag_retention_summary summary;
    world->config.min_free_bytes = 1 << 20;
    world_open(world);
    struct frag_stream *door = make_stream(world, "door", FRAG_RETAIN_FOREVER, 0);
    record_reels(world, "door", 6);
    uint64_t bytes = counters_of(world, "door").bytes_on_disk; /* in 24 h */
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.retention_bytes = bytes * 3 / 2;
    assert_int_equal(frag_stream_update(door, NULL, &settings), 0);
    struct kn_wall until = {atomic_load(&world->clock.wall_ns) + DAY_NS};
    assert_int_equal(frag_retention_plan(world->store, until, note_item, &told, &summary), 0);
    assert_int_equal(summary.bytes_per_day, bytes);
    assert_in_range(told.count, 3, 4); /* half of a day's */
    assert_int_equal(told.items[0].cause, FRAG_RETENTION_BYTES);
    assert_true(told.items[0].when.ns > until.ns - DAY_NS / 2 - 60 * KN_NS_PER_S);
    assert_int_equal(frag_retention_plan(world->store, until, refuse_item, NULL, &summary), -EINTR);
    /* A disk with room for a quarter of a day. */
    settings.retention_bytes = 0;
    assert_int_equal(frag_stream_update(door, NULL, &settings), 0);
    watched.free_bytes = (1 << 20) + bytes / 4;
    told.count = 0;
    assert_int_equal(frag_retention_plan(world->store, until, note_item, &told, &summary), 0);
    assert_in_range(told.count, 4, 5);
    assert_int_equal(told.items[0].cause, FRAG_RETENTION_FREE_SPACE);
    assert_false(summary.fills);
    assert_int_equal(reel_files(world), 6);
    /* Everything from now on is held: then it fills, in a day and the rest of the disk. */
    struct frag_hold hold = {.clock = FRAG_CLOCK_SERVER, .to = {INT64_MAX}};
    assert_int_equal(frag_hold_add(door, &hold), 0);
    assert_int_equal(frag_retention_plan(world->store, until, NULL, NULL, &summary), 0);
    assert_true(summary.fills);
    uint64_t room = (1 << 20) * 3 / 4 + bytes / 4;
    double days = (double)room / (double)bytes;
    double found = (double)(summary.full_at.ns - (until.ns - DAY_NS)) / (double)DAY_NS;
    assert_true(found > days * 0.99 && found < days * 1.01);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, retention_setup, world_teardown)
        TEST(test_whole_reels_go_by_age),
        TEST(test_flush_does_it_too),
        TEST(test_expired_fragments_are_not_seen),
        TEST(test_empty_folders_go),
        TEST(test_a_reel_that_is_written_stays),
        TEST(test_a_sealed_reel_goes),
        TEST(test_numbers_go_on_when_nothing_is_left),
        TEST(test_gaps_expire),
        TEST(test_oldest_go_by_bytes),
        TEST(test_free_space_takes_the_oldest_of_all),
        TEST(test_an_unlink_that_fails_is_tried_again),
        TEST(test_what_was_marked_goes_at_the_next_start),
        TEST(test_a_deleted_stream_goes),
        TEST(test_a_deletion_goes_on_after_a_kill),
        TEST(test_a_step_of_the_clock_pauses_age),
        TEST(test_a_small_step_is_no_doubt),
        TEST(test_a_store_of_the_future),
        TEST(test_everything_would_expire),
        TEST(test_one_stream_would_expire),
        TEST(test_the_last_one_may_expire),
        TEST(test_the_plan_is_what_goes),
        TEST(test_the_plan_of_limits_and_disks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
