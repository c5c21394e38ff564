/* What a store counts for the operator: how long things took, what waits, gaps by cause, disks. */
#include "fragments/store/times.h"
#include "tests/unit/fragments_store_world.h"

static uint64_t all_of(const struct frag_times *times) {
    uint64_t all = 0;
    for (size_t i = 0; i < FRAG_TIMES_BUCKETS; i++) {
        all += times->counts[i];
    }
    return all;
}

static struct frag_stream_counters counters_of(struct frag_stream *stream) {
    struct frag_stream_info *info = malloc(sizeof(*info));
    assert_non_null(info);
    assert_int_equal(frag_stream_describe(stream, info), 0);
    struct frag_stream_counters counters = info->counters;
    free(info);
    return counters;
}

static void times_go_to_the_first_end_that_holds_them(void **state) {
    (void)state;
    struct frag_times times = {0};
    frag_times_add(&times, 0);
    frag_times_add(&times, -5);
    frag_times_add(&times, KN_NS_PER_MS / 2);
    frag_times_add(&times, KN_NS_PER_MS / 2 + 1);
    frag_times_add(&times, 10 * KN_NS_PER_S);
    frag_times_add(&times, INT64_MAX);
    assert_int_equal(times.counts[0], 3);
    assert_int_equal(times.counts[1], 1);
    assert_int_equal(times.counts[FRAG_TIMES_BUCKETS - 2], 1);
    assert_int_equal(times.counts[FRAG_TIMES_BUCKETS - 1], 1);
    assert_int_equal(times.sum_ns,
                     (uint64_t)INT64_MAX + (uint64_t)(10 * KN_NS_PER_S + KN_NS_PER_MS + 1));
    for (size_t i = 1; i < FRAG_TIMES_BUCKETS; i++) {
        assert_true(frag_times_seconds[i] > frag_times_seconds[i - 1]);
    }

    struct frag_shared_times shared = {0};
    frag_times_count(&shared, 3 * KN_NS_PER_MS);
    frag_times_count(&shared, -1);
    struct frag_times read = frag_times_read(&shared);
    assert_int_equal(read.counts[0], 1);
    assert_int_equal(read.counts[3], 1);
    assert_int_equal(read.sum_ns, 3 * KN_NS_PER_MS);
}

static void acknowledgements_and_syncs_are_timed(void **state) {
    struct world *world = *state;
    world_open(world);
    struct frag_stream *stream = world_stream(world, "door");
    const struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    struct camera camera;
    world_camera(world, &camera, 1);
    assert_int_equal(frag_writer_open(stream, &config, &writer), 0);
    camera_send(&camera, writer, 101); /* two fragments are complete */
    struct frag_store_stats before = frag_store_stats(world->store);
    assert_int_equal(before.queued_fragments, 2);
    assert_true(before.queued_bytes > 2 * 50 * camera.picture_bytes / 2);
    assert_int_equal(before.queued_rows, 0);
    fake_clock_advance(&world->clock, 300 * KN_NS_PER_MS);
    assert_int_equal(frag_store_flush(world->store), 0);

    struct frag_store_stats stats = frag_store_stats(world->store);
    assert_int_equal(stats.queued_fragments, 0);
    assert_int_equal(stats.queued_bytes, 0);
    assert_int_equal(stats.queued_rows, 0);
    assert_int_equal(all_of(&stats.sync_times), stats.syncs);
    assert_true(stats.syncs >= 1);
    struct frag_stream_counters counters = counters_of(stream);
    assert_int_equal(all_of(&counters.ack_times), 2);
    /* The first one waited for the second one's two seconds besides. */
    assert_int_equal(counters.ack_times.sum_ns, 2 * 300 * KN_NS_PER_MS + 2 * KN_NS_PER_S);
    assert_int_equal(counters.ack_times.counts[9], 1);
    frag_writer_abort(writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&camera);
}

static void gaps_count_by_their_cause(void **state) {
    struct world *world = *state;
    world_open(world);
    world_record(world, "door", 1, 60);
    fake_clock_advance(&world->clock, 10 * KN_NS_PER_S);
    world_record(world, "door", 2, 60);
    assert_int_equal(frag_store_flush(world->store), 0);
    struct frag_stream *stream = frag_stream_find(world->store, "door");
    const struct frag_gap gap = {
        .from = {WORLD_START}, .to = {WORLD_START + 5}, .cause = FRAG_GAP_OPERATOR};
    assert_int_equal(frag_gap_add(stream, &gap, false), 0);
    struct frag_stream_counters counters = counters_of(stream);
    assert_int_equal(counters.gaps_by_cause[FRAG_GAP_PRODUCER_AWAY], 2);
    assert_int_equal(counters.gaps_by_cause[FRAG_GAP_OPERATOR], 1);
    uint64_t sum = 0;
    for (size_t i = 0; i < FRAG_GAP_CAUSES; i++) {
        sum += counters.gaps_by_cause[i];
    }
    assert_int_equal(sum, counters.gaps);
    assert_int_equal(counters.gaps, 3);
}

struct found {
    size_t count;
    struct frag_folder_info last;
};

static int take_folder(const struct frag_folder_info *info, void *user) {
    struct found *found = user;
    found->count++;
    found->last = *info;
    return 0;
}

static int refuse_folder(const struct frag_folder_info *info, void *user) {
    (void)take_folder(info, user);
    return -ECANCELED;
}

static void storage_directories_are_told(void **state) {
    struct world *world = *state;
    world_open(world);
    struct found found = {0};
    assert_int_equal(frag_store_folders(world->store, take_folder, &found), 0);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.last.path, world->folder);
    assert_true(found.last.online);
    assert_false(found.last.full);
    assert_true(found.last.total_bytes > found.last.free_bytes);
    assert_int_equal(frag_store_folders(world->store, refuse_folder, &found), -ECANCELED);
    assert_int_equal(found.count, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_go_to_the_first_end_that_holds_them),
        cmocka_unit_test_setup_teardown(acknowledgements_and_syncs_are_timed, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(gaps_count_by_their_cause, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(storage_directories_are_told, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
