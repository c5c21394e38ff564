/* Directories and journals that fail, go away and come back under a running store, and what is left
 * on them. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/engine.h"
#include "tests/support/fault_io.h"
#include "tests/unit/fragments_store_world.h"

static struct fault_io fault;

/* Below `fault`: syncs of reels themselves, not of their folders. */
static struct frag_io shaky;
static bool fail_reel_syncs;
static bool is_reel[4096]; /* by descriptor */

static int shaky_open(struct frag_io *io, const char *path, enum frag_io_mode mode) {
    struct frag_io *under = frag_io_system();
    (void)io;
    int fd = under->open(under, path, mode);
    if (fd >= 0) {
        assert_true((size_t)fd < KN_COUNT(is_reel));
        is_reel[fd] = strstr(path, ".mkv") != NULL;
    }
    return fd;
}

static int shaky_sync(struct frag_io *io, int fd) {
    struct frag_io *under = frag_io_system();
    (void)io;
    return fail_reel_syncs && is_reel[fd] ? -EIO : under->sync(under, fd);
}

static unsigned told_damage, told_astray;

static void take_line(const char *line, size_t bytes, void *user) {
    (void)user;
    (void)bytes;
    told_damage += strstr(line, "index is damaged") != NULL ? 1 : 0;
    told_astray += strstr(line, "is not the one that was opened") != NULL ? 1 : 0;
}

static int setup(void **state) {
    (void)world_setup(state);
    struct world *world = *state;
    shaky = *frag_io_system();
    shaky.open = shaky_open;
    shaky.sync = shaky_sync;
    fail_reel_syncs = false;
    told_damage = told_astray = 0;
    fault_io_init(&fault, &shaky);
    world->config.io = &fault.io;
    return 0;
}

static int teardown(void **state) {
    int rc = world_teardown(state);
    fault_io_finish(&fault);
    return rc;
}

/* ---- a camera ---- */

struct recording {
    unsigned durable, failed;
    struct camera camera;
    struct frag_writer *writer;
};

static void take_ack(const struct frag_ack *ack, void *user) {
    struct recording *recording = user;
    recording->durable += ack->kind == FRAG_ACK_DURABLE ? 1 : 0;
    recording->failed += ack->kind == FRAG_ACK_FAILED ? 1 : 0;
}

static void begin(struct recording *recording, struct world *world, const char *name) {
    *recording = (struct recording){0};
    const struct frag_writer_config config = {.handle_ack = take_ack, .user = recording};
    world_camera(world, &recording->camera, 1);
    assert_int_equal(frag_writer_open(world_stream(world, name), &config, &recording->writer), 0);
}

/* Two seconds. */
static void record(struct recording *recording, struct world *world) {
    camera_send(&recording->camera, recording->writer, 50);
    (void)frag_store_flush(world->store);
}

static void end(struct recording *recording, struct world *world) {
    frag_writer_close(recording->writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&recording->camera);
    (void)frag_store_flush(world->store);
}

static void fail_all(const char *prefix, unsigned kinds, int error) {
    fault.fail_path = prefix;
    fault.fail_kinds = kinds;
    fault.fail_error = error;
    fault.fail_count = UINT64_MAX;
    fault.fail_at = fault.operations + 1;
}

/* ---- files ---- */

static unsigned file_count;
static uint64_t file_bytes; /* of all of them together */
static int count_file(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)place;
    if (type == FTW_F && strstr(path, ".mkv") != NULL) {
        file_count++;
        file_bytes += (uint64_t)about->st_size;
    }
    return 0;
}

static unsigned reel_files(const char *folder) {
    file_count = 0;
    file_bytes = 0;
    (void)nftw(folder, count_file, 16, FTW_PHYS);
    return file_count;
}

struct seals {
    unsigned count;
    uint64_t bytes;
};

static int count_seal(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct seals *seals = user;
    struct frag_value_seal seal;
    (void)key;
    assert_int_equal(frag_value_read_seal(value, &seal), 0);
    seals->count++;
    seals->bytes += seal.bytes;
    return 0;
}

static struct seals find_seals(struct world *world) {
    struct seals seals = {0};
    assert_int_equal(
        frag_catalog_each(world->store->clerk.catalog, FRAG_CATALOG_SEAL, count_seal, &seals), 0);
    return seals;
}

/* ---- the journal ---- */

static int make_stream(struct world *world, const char *name) {
    struct frag_stream *stream = NULL;
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    return frag_stream_create(world->store, name, &settings, NULL, 0, &stream);
}

/* No copy is left for a while: then everything goes on by itself, and what was refused meanwhile
 * does not come back. */
static void a_journal_works_again(void **state) {
    struct world *world = *state;
    static const unsigned kinds[] = {1u << FAULT_SYNCING, 1u << FAULT_WRITING,
                                     1u << FAULT_SYNCING | 1u << FAULT_WRITING};
    char journal[96];
    (void)snprintf(journal, sizeof(journal), "%s/journal", world->folder);
    world_open(world);
    struct recording recording;
    begin(&recording, world, "door");
    record(&recording, world);
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        char name[16];
        fail_all(journal, kinds[i], -EIO);
        assert_true(make_stream(world, "lost") < 0);
        assert_int_equal(make_stream(world, "lost"), KN_E_CLOSED);
        assert_null(frag_stream_find(world->store, "lost"));
        /* A reel that fails just then is not answered before its seal is written. */
        fail_reel_syncs = true;
        record(&recording, world);
        unsigned failed = recording.failed;
        fail_reel_syncs = false;
        fault.fail_at = 0;
        (void)snprintf(name, sizeof(name), "s%zu", i);
        assert_int_equal(make_stream(world, name), 0);
        unsigned durable = recording.durable;
        record(&recording, world);
        record(&recording, world);
        assert_true(recording.failed >= failed);
        assert_true(recording.durable > durable);
        assert_int_equal(frag_store_flush(world->store), 0);
        assert_int_equal(frag_store_stats(world->store).health, FRAG_STORE_FINE);
    }
    assert_true(recording.failed > 0);
    end(&recording, world);
    size_t count = world_check(world, "door");
    assert_int_equal(count, recording.durable);
    world_kill(world);
    world_open(world);
    assert_null(frag_stream_find(world->store, "lost"));
    assert_non_null(frag_stream_find(world->store, "s2"));
    assert_int_equal(world_check(world, "door"), count);
}

/* ---- what a failing disk leaves ---- */

static void a_failing_disk_leaves_no_orphans(void **state) {
    struct world *world = *state;
    world_open(world);
    struct recording recording;
    begin(&recording, world, "door");
    record(&recording, world);
    record(&recording, world);
    assert_int_equal(recording.durable, 1);
    fail_reel_syncs = true;
    for (int i = 0; i < 20; i++) {
        record(&recording, world);
    }
    assert_int_equal(recording.failed, 20);
    /* The first one had a fragment that counts: it was cut behind that. */
    struct seals seals = find_seals(world);
    assert_int_equal(seals.count, 1);
    assert_int_equal(reel_files(world->folder), 1);
    assert_int_equal(file_bytes, seals.bytes);
    assert_int_equal(world_check(world, "door"), 1);
    fail_reel_syncs = false;
    record(&recording, world);
    end(&recording, world);
    size_t count = world_check(world, "door");
    assert_int_equal(count, recording.durable);
    assert_int_equal(reel_files(world->folder), 2);
    world_kill(world);
    world_open(world);
    assert_int_equal(world_check(world, "door"), count);
}

/* Where the name may come back, the seal stays. */
static void an_orphan_that_may_come_back_is_sealed(void **state) {
    struct world *world = *state;
    char reels[96];
    (void)snprintf(reels, sizeof(reels), "%s/reels", world->folder);
    world_open(world);
    struct recording recording;
    begin(&recording, world, "door");
    fail_all(reels, 1u << FAULT_SYNCING, -EIO);
    record(&recording, world);
    record(&recording, world);
    assert_int_equal(recording.failed, 1);
    assert_int_equal(reel_files(world->folder), 0);
    assert_int_equal(find_seals(world).count, 1);
    fault.fail_at = 0;
    end(&recording, world);
}

/* ---- a second directory ---- */

struct second {
    char path[80], away[96];
    const char *folders[1];
};

/* "door" is recorded to it. */
static void open_second(struct second *second, struct world *world) {
    (void)snprintf(second->path, sizeof(second->path), "%s/second", world->folder);
    (void)snprintf(second->away, sizeof(second->away), "%s/away", world->folder);
    second->folders[0] = second->path;
    world->config.folders = second->folders;
    world->config.folder_count = 1;
    world_open(world);
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_stream *stream = NULL;
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.folder = 1;
    assert_int_equal(frag_stream_create(world->store, "door", &settings, NULL, 0, &stream), 0);
}

static void unmount(const struct second *second) {
    assert_int_equal(rename(second->path, second->away), 0);
    assert_int_equal(mkdir(second->path, 0750), 0);
}

static void mount(const struct second *second) {
    assert_int_equal(rmdir(second->path), 0); /* nothing was written there */
    assert_int_equal(rename(second->away, second->path), 0);
}

static void an_unmounted_directory_is_not_written_underneath(void **state) {
    struct world *world = *state;
    struct second second;
    struct recording recording;
    open_second(&second, world);
    begin(&recording, world, "door");
    for (int i = 0; i < 3; i++) {
        record(&recording, world);
    }
    end(&recording, world);
    assert_int_equal(reel_files(second.path), 1);
    unmount(&second);
    begin(&recording, world, "door");
    for (int i = 0; i < 60; i++) {
        record(&recording, world);
    }
    end(&recording, world);
    assert_true(recording.failed > 0 && recording.durable > 50);
    assert_int_equal(told_astray, 1);
    /* What is there is not found, but not forgotten either. */
    assert_int_equal(frag_stream_delete(frag_stream_find(world->store, "door"), NULL), 0);
    assert_int_equal(frag_retention_run(world->store), -ENODEV);
    assert_int_equal(reel_files(second.away), 1);
    mount(&second);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world->folder), 0);
    begin(&recording, world, "gate");
    record(&recording, world);
    record(&recording, world);
    assert_int_equal(recording.failed, 0);
    end(&recording, world);
}

static int64_t avoided_ns(struct world *world) {
    struct frag_folder *folder = &world->store->folders[1];
    return atomic_load(&folder->avoid_until_ns) - atomic_load(&world->clock.mono_ns);
}

static void a_broken_directory_is_tried_less_and_less(void **state) {
    struct world *world = *state;
    struct second second;
    struct recording recording;
    char reels[96];
    open_second(&second, world);
    (void)snprintf(reels, sizeof(reels), "%s/reels", second.path);
    fail_all(reels, 0, -EIO);
    begin(&recording, world, "door");
    for (int i = 0; i < 300; i++) { /* ten minutes */
        record(&recording, world);
    }
    assert_in_range(recording.failed, 3, 7);
    assert_true(recording.durable > 280);
    fake_clock_advance(&world->clock, 20 * 60 * KN_NS_PER_S);
    record(&recording, world);
    record(&recording, world);
    assert_in_range(avoided_ns(world), 9 * 60 * KN_NS_PER_S, 10 * 60 * KN_NS_PER_S);
    /* Once it has worked again the next failure is the first one. */
    fault.fail_at = 0;
    fake_clock_advance(&world->clock, 20 * 60 * KN_NS_PER_S);
    record(&recording, world);
    record(&recording, world);
    assert_true(reel_files(second.path) > 0);
    fail_all(reels, 0, -EIO);
    record(&recording, world);
    assert_in_range(avoided_ns(world), 5 * KN_NS_PER_S, 10 * KN_NS_PER_S);
    fault.fail_at = 0;
    end(&recording, world);
    assert_int_equal(world_check(world, "door"), recording.durable);
}

/* ---- the index ---- */

static void spoil(const char *path) {
    struct stat about = {0};
    static const uint8_t junk[4096] = {0xAB};
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0 && fstat(fd, &about) == 0);
    for (off_t at = 0; at < about.st_size; at += (off_t)sizeof(junk)) {
        assert_int_equal(pwrite(fd, junk, sizeof(junk), at), sizeof(junk));
    }
    assert_int_equal(close(fd), 0);
}

static void a_damaged_index_is_told_of_and_made_anew(void **state) {
    struct world *world = *state;
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/index.db", world->folder);
    world_open(world);
    world_record(world, "gate", 2, 500);
    assert_int_equal(frag_store_flush(world->store), 0);
    struct recording recording;
    begin(&recording, world, "door");
    record(&recording, world);
    record(&recording, world);
    unsigned durable = recording.durable;
    frag_index_close(world->store->clerk.index); /* nothing of it is in memory any more */
    world->store->clerk.index = NULL;
    spoil(path);
    for (int i = 0; i < 10; i++) {
        record(&recording, world);
    }
    assert_int_equal(recording.durable, durable);
    assert_int_equal(told_damage, 1);
    assert_int_equal(frag_store_stats(world->store).health, FRAG_STORE_FAILING);
    end(&recording, world);
    world_kill(world);
    world_open(world);
    assert_int_equal(world_check(world, "gate"), 10);
    assert_true(world_check(world, "door") >= durable);
}

int main(void) {
    kn_log_set_sink(take_line, NULL);
    const struct CMUnitTest tests[] = {
#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        DISK_TEST(a_journal_works_again),
        DISK_TEST(a_failing_disk_leaves_no_orphans),
        DISK_TEST(an_orphan_that_may_come_back_is_sealed),
        DISK_TEST(an_unmounted_directory_is_not_written_underneath),
        DISK_TEST(a_broken_directory_is_tried_less_and_less),
        DISK_TEST(a_damaged_index_is_told_of_and_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
