/* Disks that fail, fill up and come back, under a whole store. */
#include "base/error.h"
#include "base/log.h"
#include "tests/support/fault_io.h"
#include "tests/unit/fragments_store_world.h"

static struct fault_io fault;

static void quiet(const char *line, size_t bytes, void *user) {
    (void)line;
    (void)bytes;
    (void)user;
}

/* How full the disk claims to be. */
static uint64_t claimed_free;
static uint64_t claimed_total;
static uint64_t room_most; /* more at once is not there to allocate */
static struct frag_io claiming;
static int claim_space(struct frag_io *io, const char *path, uint64_t *ret_free,
                       uint64_t *ret_total) {
    (void)io;
    (void)path;
    *ret_free = claimed_free;
    *ret_total = claimed_total;
    return 0;
}
static int claim_room(struct frag_io *io, int fd, uint64_t offset, uint64_t bytes) {
    (void)io;
    (void)fd;
    (void)offset;
    return bytes > room_most ? -ENOSPC : 0;
}

static int setup(void **state) {
    (void)world_setup(state);
    struct world *world = *state;
    claiming = *frag_io_system();
    claiming.space = claim_space;
    claiming.allocate = claim_room;
    claimed_free = 900u << 20;
    claimed_total = 1000u << 20;
    room_most = UINT64_MAX;
    fault_io_init(&fault, &claiming);
    world->config.io = &fault.io;
    world_open(world);
    return 0;
}

static int teardown(void **state) {
    int rc = world_teardown(state);
    fault_io_finish(&fault);
    return rc;
}

struct acks {
    unsigned durable, failed;
    int error;
    uint64_t last_durable;
};

static void take_ack(const struct frag_ack *ack, void *user) {
    struct acks *acks = user;
    if (ack->kind == FRAG_ACK_DURABLE) {
        acks->durable++;
        acks->last_durable = ack->number.sequence;
    } else if (ack->kind == FRAG_ACK_FAILED) {
        acks->failed++;
        acks->error = ack->error;
    }
}

struct recording {
    struct world *world;
    struct acks acks;
    struct camera camera;
    struct frag_writer *writer;
};

static void begin(struct recording *recording, struct world *world, const char *name) {
    *recording = (struct recording){.world = world};
    const struct frag_writer_config config = {.handle_ack = take_ack, .user = &recording->acks};
    world_camera(world, &recording->camera, 1);
    assert_int_equal(frag_writer_open(world_stream(world, name), &config, &recording->writer), 0);
}

static void end(struct recording *recording) {
    frag_writer_close(recording->writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&recording->camera);
}

struct wanted {
    enum frag_gap_cause cause;
    unsigned count, open;
    uint32_t ordinals;
};

static int count_gap(const struct frag_gap_entry *gap, void *user) {
    struct wanted *wanted = user;
    wanted->count += gap->gap.cause == wanted->cause ? 1 : 0;
    wanted->open += gap->open ? 1 : 0;
    wanted->ordinals += gap->gap.cause == wanted->cause ? gap->ordinals : 0;
    return 0;
}

static struct wanted find_gaps(struct world *world, const char *name, enum frag_gap_cause cause) {
    struct wanted wanted = {.cause = cause};
    assert_int_equal(frag_gap_each(frag_stream_find(world->store, name),
                                   (struct kn_wall){INT64_MIN}, (struct kn_wall){INT64_MAX},
                                   count_gap, &wanted),
                     0);
    return wanted;
}

static unsigned count_gaps(struct world *world, const char *name, enum frag_gap_cause cause) {
    return find_gaps(world, name, cause).count;
}

/* The reel is sealed, its fragments fail, the next ones go into another reel; nothing that failed
 * comes back at the next start. */
static void a_failed_sync_is_final(void **state) {
    struct world *world = *state;
    struct recording recording;
    begin(&recording, world, "door");
    camera_send(&recording.camera, recording.writer, 101);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(recording.acks.durable, 2);
    camera_send(&recording.camera, recording.writer, 100);
    fault.fail_at = fault.operations + 1;
    fault.fail_kinds = 1u << FAULT_SYNCING;
    char reels[96];
    (void)snprintf(reels, sizeof(reels), "%s/reels", world->folder);
    fault.fail_path = reels;
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(fault.failed, 1);
    assert_int_equal(recording.acks.durable, 2);
    assert_int_equal(recording.acks.failed, 2);
    assert_int_equal(recording.acks.error, -EIO);
    fault.fail_at = 0;
    camera_send(&recording.camera, recording.writer, 100);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(recording.acks.durable, 4);
    assert_int_equal(frag_store_stats(world->store).sync_errors, 1);
    assert_int_equal(count_gaps(world, "door", FRAG_GAP_SYNC_ERROR), 1);
    assert_int_equal(find_gaps(world, "door", FRAG_GAP_SYNC_ERROR).ordinals, 2);
    assert_int_equal(world_check(world, "door"), 4);
    end(&recording);
    assert_int_equal(frag_store_flush(world->store), 0);
    size_t count = world_check(world, "door");
    world_kill(world);
    world_open(world);
    assert_int_equal(world_check(world, "door"), count);
    char path[96];
    world_close(world);
    (void)snprintf(path, sizeof(path), "%s/index.db", world->folder);
    assert_int_equal(unlink(path), 0);
    world_open(world);
    assert_int_equal(world_check(world, "door"), count);
}

/* Every operation of the reels fails once: what was acknowledged is there, recording goes on. */
static void every_failure_costs_little(void **state) {
    struct world *world = *state;
    static const int errors[] = {-EIO, -ENOSPC};
    unsigned failures = 0;
    for (uint64_t k = 1; k < 60; k++) {
        struct recording recording;
        char name[16];
        char reels[96];
        (void)snprintf(name, sizeof(name), "s%u", (unsigned)k);
        (void)snprintf(reels, sizeof(reels), "%s/reels/%s-", world->folder, name);
        begin(&recording, world, name);
        fault.fail_path = reels;
        fault.fail_kinds = 1u << FAULT_SYNCING | 1u << FAULT_WRITING;
        fault.fail_at = fault.operations + k;
        fault.fail_error = errors[k % 2];
        fault.failed = 0; /* one failure each time */
        for (int i = 0; i < 6; i++) {
            camera_send(&recording.camera, recording.writer, 50);
            (void)frag_store_flush(world->store);
        }
        fault.fail_at = 0;
        fake_clock_advance(&world->clock,
                           20 * KN_NS_PER_S); /* the folder is not avoided any more */
        (void)frag_store_flush(world->store);
        camera_send(&recording.camera, recording.writer, 150);
        end(&recording);
        assert_int_equal(frag_store_flush(world->store), 0);
        failures += (unsigned)fault.failed;
        assert_true(recording.acks.durable >= 1);
        assert_int_equal(world_check(world, name), recording.acks.durable);
    }
    assert_true(failures > 10);
    world_kill(world);
    world_open(world);
    for (unsigned k = 1; k < 60; k++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "s%u", k);
        assert_true(world_check(world, name) >= 1);
    }
}

/* Writing stops at a quarter of the least free space with a reason, reads go on, and it goes on by
 * itself at half. */
static void a_full_disk_stops_and_goes_on(void **state) {
    struct world *world = *state;
    world_close(world);
    world->config.min_free_bytes = 400u << 20;
    world_open(world);
    struct recording recording;
    begin(&recording, world, "door");
    camera_send(&recording.camera, recording.writer, 101);
    assert_int_equal(frag_store_flush(world->store), 0);
    claimed_free = 99u << 20;
    fake_clock_advance(&world->clock, 2 * KN_NS_PER_S);
    assert_int_equal(frag_store_flush(world->store), 0); /* it looks once a second */
    assert_int_equal(frag_store_stats(world->store).health, FRAG_STORE_DISK_FULL);
    unsigned durable = recording.acks.durable;
    camera_send(&recording.camera, recording.writer, 500);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_true(recording.acks.durable <= durable + 1);
    assert_int_equal(count_gaps(world, "door", FRAG_GAP_DISK_FULL), 1);
    assert_int_equal(world_check(world, "door"), recording.acks.durable);
    claimed_free = 150u << 20; /* more than a quarter, less than half */
    fake_clock_advance(&world->clock, 2 * KN_NS_PER_S);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(frag_store_stats(world->store).health, FRAG_STORE_DISK_FULL);
    claimed_free = 250u << 20;
    fake_clock_advance(&world->clock, 2 * KN_NS_PER_S);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(frag_store_stats(world->store).health, FRAG_STORE_FINE);
    claimed_free = 900u << 20; /* retention need not make room */
    durable = recording.acks.durable;
    camera_send(&recording.camera, recording.writer, 200);
    end(&recording);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_true(recording.acks.durable >= durable + 3);
    assert_int_equal(count_gaps(world, "door", FRAG_GAP_DISK_FULL), 1);
    assert_int_equal(world_check(world, "door"), recording.acks.durable);
}

/* What reels allocate ahead is not there any more; what they write is. */
static void a_nearly_full_disk_takes_what_fits(void **state) {
    struct world *world = *state;
    struct recording recording;
    room_most = 1u << 20;
    begin(&recording, world, "door");
    camera_send(&recording.camera, recording.writer, 500);
    end(&recording);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(recording.acks.failed, 0);
    assert_true(recording.acks.durable >= 10);
    assert_int_equal(frag_store_stats(world->store).health, FRAG_STORE_FINE);
    assert_int_equal(count_gaps(world, "door", FRAG_GAP_DISK_FULL), 0);
}

/* The look a second later still sees more than min_free, but not the room that was missing. */
static void no_room_lasts_until_there_is_some(void **state) {
    struct world *world = *state;
    world_close(world);
    world->config.min_free_bytes = 1u << 20;
    world_open(world);
    struct recording recording;
    begin(&recording, world, "door");
    claimed_free = 6u << 20;
    room_most = 0;
    kn_log_set_sink(quiet, NULL);
    for (unsigned i = 0; i < 60; i++) { /* a minute, and far more fragments than failures */
        camera_send(&recording.camera, recording.writer, 50);
        fake_clock_advance(&world->clock, KN_NS_PER_S);
        assert_int_equal(frag_store_flush(world->store), 0);
        assert_true(i < 3 || frag_store_stats(world->store).health == FRAG_STORE_DISK_FULL);
    }
    kn_log_set_sink(NULL, NULL);
    assert_true(recording.acks.failed < 5);
    assert_int_equal(count_gaps(world, "door", FRAG_GAP_DISK_FULL), 1);
    claimed_free = 16u << 20;
    room_most = UINT64_MAX;
    fake_clock_advance(&world->clock, 2 * KN_NS_PER_S);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(frag_store_stats(world->store).health, FRAG_STORE_FINE);
    end(&recording);
}

/* So that retention, which takes whole reels, has some to take. */
static void a_small_disk_has_small_reels(void **state) {
    struct world *world = *state;
    claimed_total = 2u << 20;
    fake_clock_advance(&world->clock, 2 * KN_NS_PER_S);
    assert_int_equal(frag_store_flush(world->store), 0);
    struct recording recording;
    begin(&recording, world, "door");
    camera_send(&recording.camera, recording.writer, 2000);
    end(&recording);
    assert_int_equal(frag_store_flush(world->store), 0);
    struct frag_store_stats stats = frag_store_stats(world->store);
    assert_true(stats.reels > 1);
    assert_true(stats.bytes / stats.reels <= (2u << 20) / 32 + (64u << 10));
    assert_int_equal(world_check(world, "door"), recording.acks.durable);
}

/* A disk whose every operation fails costs each of its streams a gap; they go on in another one. */
static void another_directory_takes_over(void **state) {
    struct world *world = *state;
    char second[96];
    char prefix[128];
    world_close(world);
    (void)snprintf(second, sizeof(second), "%s/second", world->folder);
    const char *const folders[] = {second};
    world->config.folders = folders;
    world->config.folder_count = 1;
    world_open(world);
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_stream *stream = NULL;
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.folder = 1;
    assert_int_equal(frag_stream_create(world->store, "door", &settings, NULL, 0, &stream), 0);
    struct recording recording;
    begin(&recording, world, "door");
    camera_send(&recording.camera, recording.writer, 101);
    assert_int_equal(frag_store_flush(world->store), 0);
    (void)snprintf(prefix, sizeof(prefix), "%s/reels", second);
    fault.fail_path = prefix;
    fault.fail_at = fault.operations + 1;
    fault.fail_count = 1u << 30;
    camera_send(&recording.camera, recording.writer, 50);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(recording.acks.failed, 1);
    camera_send(&recording.camera, recording.writer, 200);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(recording.acks.failed, 1);
    assert_int_equal(recording.acks.durable, 6);
    fault.fail_at = 0;
    end(&recording);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(count_gaps(world, "door", FRAG_GAP_SYNC_ERROR), 1);
    assert_int_equal(world_check(world, "door"), recording.acks.durable);
}

/* The journal cannot be written: changes are refused and not in effect. */
static void a_read_only_journal_refuses(void **state) {
    struct world *world = *state;
    char journal[96];
    struct frag_stream *stream = NULL;
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    (void)snprintf(journal, sizeof(journal), "%s/journal", world->folder);
    fault.fail_path = journal;
    fault.fail_kinds = 1u << FAULT_WRITING | 1u << FAULT_SYNCING;
    fault.fail_error = -EROFS;
    fault.fail_count = 1u << 30;
    fault.fail_at = fault.operations + 1;
    assert_true(frag_stream_create(world->store, "x", &settings, NULL, 0, &stream) < 0);
    assert_null(frag_stream_find(world->store, "x"));
    fault.fail_at = 0;
    world_kill(world);
    world_open(world);
    assert_null(frag_stream_find(world->store, "x"));
    assert_int_equal(frag_stream_create(world->store, "x", &settings, NULL, 0, &stream), 0);
}

int main(void) {
    kn_log_set_sink(quiet, NULL);
    const struct CMUnitTest tests[] = {
#define FAULT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        FAULT_TEST(a_failed_sync_is_final),
        FAULT_TEST(every_failure_costs_little),
        FAULT_TEST(a_full_disk_stops_and_goes_on),
        FAULT_TEST(a_nearly_full_disk_takes_what_fits),
        FAULT_TEST(no_room_lasts_until_there_is_some),
        FAULT_TEST(a_small_disk_has_small_reels),
        FAULT_TEST(another_directory_takes_over),
        FAULT_TEST(a_read_only_journal_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
