/* Whole stores: recorded, listed, read back, killed, opened again. */
#include "base/crc.h"
#include "base/error.h"
#include "tests/unit/fragments_store_world.h"

static void records_and_reads_back(void **state) {
    struct world *world = *state;
    struct frag_entry entries[32];
    world_open(world);
    assert_true(world->opening.created);
    world_record(world, "door", 7, 500);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_check(world, "door"), 10);
    assert_int_equal(world_list(world, "door", entries, KN_COUNT(entries)), 10);
    for (size_t i = 0; i < 10; i++) {
        int64_t begins = WORLD_START + (int64_t)i * 2 * KN_NS_PER_S;
        assert_int_equal(entries[i].producer.ns, begins);
        assert_int_equal(entries[i].server.ns, begins);
        assert_int_equal(entries[i].duration_ns, 2 * KN_NS_PER_S);
        assert_int_equal(entries[i].ordinal, i);
        assert_int_equal(entries[i].flags, 0);
        assert_int_equal(entries[i].number.sequence, (UINT64_C(1) << 32) + i + 1);
        assert_int_equal(entries[i].number.server_ms, begins / KN_NS_PER_MS);
    }
    world_close(world);
    world_open(world);
    assert_false(world->opening.created);
    assert_int_equal(world->opening.recovered_reels, 0);
    assert_int_equal(world->opening.reels, 1);
    assert_int_equal(world->opening.fragments, 10);
    assert_int_equal(world_check(world, "door"), 10);
}

static void numbers_go_on_after_a_kill(void **state) {
    struct world *world = *state;
    struct frag_entry entries[32];
    world_open(world);
    struct frag_stream *stream = world_stream(world, "door");
    struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    struct camera camera;
    world_camera(world, &camera, 1);
    assert_int_equal(frag_writer_open(stream, &config, &writer), 0);
    camera_send(&camera, writer, 120);
    assert_int_equal(frag_store_flush(world->store), 0);
    frag_writer_abort(writer, FRAG_GAP_CRASH); /* the memory; its gap note is not taken */
    camera_finish(&camera);
    world_kill(world);

    world_open(world);
    assert_int_equal(world->opening.recovered_reels, 1);
    assert_int_equal(world->opening.recovered_fragments, 0);
    assert_int_equal(world_check(world, "door"), 2);
    world_record(world, "door", 2, 50);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_list(world, "door", entries, KN_COUNT(entries)), 3);
    assert_int_equal(entries[1].ordinal, 1);
    assert_int_equal(entries[2].ordinal, 3); /* one is burnt */
    assert_int_equal(entries[2].discontinuities, 1);
    assert_int_equal(entries[2].flags, FRAG_DISCONTINUITY);
    assert_int_equal(entries[2].number.sequence, (UINT64_C(2) << 32) + 1);
}

/* ---- streams ---- */

static void streams_are_kept(void **state) {
    struct world *world = *state;
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    const struct frag_stream_tag tags[] = {{"place", "gate"}, {"angle", "north"}};
    struct frag_stream_info *info = malloc(sizeof(*info));
    struct frag_stream *stream = NULL;
    assert_non_null(info);
    world_open(world);
    settings.retention_ns = 7 * 86400 * KN_NS_PER_S;
    settings.retention_bytes = 5000;
    (void)snprintf(settings.media_type, sizeof(settings.media_type), "video/h264");
    assert_int_equal(frag_stream_create(world->store, "b", &settings, tags, 2, &stream), 0);
    assert_int_equal(frag_stream_create(world->store, "b", &settings, tags, 2, &stream), -EEXIST);
    assert_int_equal(frag_stream_create(world->store, "a", &settings, NULL, 0, &stream), 0);
    assert_int_equal(frag_stream_create(world->store, "", &settings, NULL, 0, &stream), -EINVAL);
    assert_int_equal(frag_stream_create(world->store, "a/b", &settings, NULL, 0, &stream), -EINVAL);
    stream = frag_stream_find(world->store, "b");
    assert_int_equal(frag_stream_describe(stream, info), 0);
    assert_int_equal(info->tag_count, 2);
    assert_string_equal(info->tags[0].key, "angle");
    char version[21];
    memcpy(version, info->version, sizeof(version));
    settings.target_ns = 4 * KN_NS_PER_S;
    assert_int_equal(frag_stream_update(stream, "nonsense", &settings), -ESTALE);
    assert_int_equal(frag_stream_update(stream, version, &settings), 0);
    assert_int_equal(frag_stream_update(stream, version, &settings), -ESTALE);
    const struct frag_stream_tag more[] = {{"place", "yard"}, {"owner", ""}};
    const char *const remove[] = {"angle", "nothing"};
    assert_int_equal(frag_stream_tag(stream, more, 2, remove, 2), 0);
    world_kill(world);
    world_open(world);
    stream = frag_stream_find(world->store, "b");
    assert_non_null(stream);
    assert_int_equal(frag_stream_describe(stream, info), 0);
    assert_int_equal(info->settings.retention_ns, 7 * 86400 * KN_NS_PER_S);
    assert_int_equal(info->settings.retention_bytes, 5000);
    assert_int_equal(info->settings.target_ns, 4 * KN_NS_PER_S);
    assert_string_equal(info->settings.media_type, "video/h264");
    assert_string_not_equal(info->version, version);
    assert_int_equal(info->created.ns, WORLD_START);
    assert_int_equal(info->tag_count, 2);
    assert_string_equal(info->tags[0].key, "owner");
    assert_string_equal(info->tags[1].value, "yard");
    assert_string_equal(frag_stream_name(frag_stream_next(world->store, NULL)), "a");
    assert_string_equal(frag_stream_name(frag_stream_next(world->store, "a")), "b");
    assert_null(frag_stream_next(world->store, "b"));
    free(info);
}

static void deleted_streams_are_gone_at_once(void **state) {
    struct world *world = *state;
    struct frag_archive *archive = NULL;
    struct frag_entry entry;
    struct frag_writer *writer = NULL;
    const struct frag_writer_config config = {0};
    world_open(world);
    world_record(world, "door", 7, 100);
    assert_int_equal(frag_store_flush(world->store), 0);
    struct frag_stream *stream = frag_stream_find(world->store, "door");
    assert_int_equal(frag_archive_open(world->store, &archive), 0);
    assert_int_equal(frag_archive_latest(archive, stream, &entry), 0);
    assert_int_equal(frag_stream_delete(stream, "wrong"), -ESTALE);
    assert_int_equal(frag_stream_delete(stream, NULL), 0);
    assert_int_equal(frag_archive_latest(archive, stream, &entry), -ENOENT);
    assert_null(frag_stream_find(world->store, "door"));
    assert_int_equal(frag_writer_open(stream, &config, &writer), KN_E_CLOSED);
    frag_archive_close(archive);
    world_record(world, "door", 8, 50); /* the name is free */
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_check(world, "door"), 1);
    world_kill(world);
    world_open(world);
    assert_int_equal(world_check(world, "door"), 1);
}

/* ---- one after another ---- */

static int collect(const char *path, const struct stat *about, int type, struct FTW *place);
static struct {
    char names[64][256];
    uint32_t sums[64];
    size_t count, base;
} files;

static int collect(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)place;
    if (type != FTW_F || strstr(path, "index.db") != NULL || files.count == 64) {
        return 0;
    }
    uint8_t *bytes = malloc((size_t)about->st_size + 1);
    FILE *file = fopen(path, "rb");
    assert_non_null(bytes);
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, (size_t)about->st_size, file), about->st_size);
    (void)fclose(file);
    (void)snprintf(files.names[files.count], sizeof(files.names[0]), "%s", path + files.base);
    files.sums[files.count++] = kn_crc32c(0, bytes, (size_t)about->st_size);
    free(bytes);
    return 0;
}

static uint32_t sum_of_all(struct world *world) {
    uint32_t sum = 0;
    files.count = 0;
    files.base = strlen(world->folder);
    assert_int_equal(nftw(world->folder, collect, 16, FTW_PHYS), 0);
    assert_true(files.count > 2);
    for (size_t i = 0; i < files.count; i++) { /* in no order */
        sum ^= kn_crc32c(files.sums[i], files.names[i], strlen(files.names[i]));
    }
    return sum;
}

static uint32_t repeatable_run(uint64_t seed) {
    void *state = NULL;
    (void)world_setup(&state);
    struct world *world = state;
    world->config.seed = seed;
    world_open(world);
    world_record(world, "a", 1, 260);
    fake_clock_advance(&world->clock, 700 * KN_NS_PER_S);
    world_record(world, "b", 2, 130);
    world_record(world, "a", 3, 130);
    world_close(world);
    uint32_t sum = sum_of_all(world);
    (void)world_teardown(&state);
    return sum;
}

static void same_input_same_bytes(void **state) {
    (void)state;
    uint32_t first = repeatable_run(5);
    assert_int_equal(repeatable_run(5), first);
    assert_int_not_equal(repeatable_run(6), first);
}

static void the_index_can_be_made_again(void **state) {
    struct world *world = *state;
    static struct frag_entry before[64];
    static struct frag_entry after[64];
    char path[128];
    world_open(world);
    world_record(world, "door", 7, 500);
    fake_clock_advance(&world->clock, 3000 * KN_NS_PER_S);
    world_record(world, "door", 8, 500);
    assert_int_equal(frag_store_flush(world->store), 0);
    size_t count = world_list(world, "door", before, KN_COUNT(before));
    assert_int_equal(count, 20);
    for (int killed = 0; killed < 2; killed++) {
        if (killed != 0) {
            world_kill(world);
        } else {
            world_close(world);
        }
        (void)snprintf(path, sizeof(path), "%s/index.db", world->folder);
        assert_int_equal(unlink(path), 0);
        world_open(world);
        assert_true(world->opening.index_rebuilt);
        assert_int_equal(world_list(world, "door", after, KN_COUNT(after)), count);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(after[i].number.sequence, before[i].number.sequence);
            assert_int_equal(after[i].number.low, before[i].number.low);
            assert_int_equal(after[i].ordinal, before[i].ordinal);
            assert_int_equal(after[i].producer.ns, before[i].producer.ns);
            assert_int_equal(after[i].duration_ns, before[i].duration_ns);
        }
        assert_int_equal(world_check(world, "door"), count);
    }
}

/* ---- retention 0 ---- */

struct acks {
    unsigned begun, durable, failed, closed;
    int error;
};

static void take_ack(const struct frag_ack *ack, void *user) {
    struct acks *acks = user;
    acks->begun += ack->kind == FRAG_ACK_BUFFERING ? 1 : 0;
    acks->durable += ack->kind == FRAG_ACK_DURABLE ? 1 : 0;
    if (ack->kind == FRAG_ACK_FAILED) {
        acks->failed++;
        acks->error = ack->error;
    }
}

static void take_closed(void *user) {
    struct acks *acks = user;
    acks->closed++;
}

static void nothing_kept_is_acknowledged_all_the_same(void **state) {
    struct world *world = *state;
    struct frag_entry entries[4];
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_stream *stream = NULL;
    struct acks acks = {0};
    const struct frag_writer_config config = {
        .handle_ack = take_ack, .handle_closed = take_closed, .user = &acks};
    struct frag_writer *writer = NULL;
    struct camera camera;
    world_open(world);
    assert_int_equal(frag_stream_create(world->store, "sub", &settings, NULL, 0, &stream), 0);
    world_camera(world, &camera, 3);
    assert_int_equal(frag_writer_open(stream, &config, &writer), 0);
    camera_send(&camera, writer, 50 * 200 + 1);
    assert_int_equal(acks.begun, 201);
    assert_int_equal(acks.durable, 200);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&camera);
    assert_int_equal(acks.durable, 201);
    assert_int_equal(acks.failed, 0);
    assert_int_equal(acks.closed, 1);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_list(world, "sub", entries, KN_COUNT(entries)), 0);
    assert_int_equal(frag_store_stats(world->store).reels, 0);
}

/* ---- gaps ---- */

struct gaps {
    struct frag_gap_entry items[16];
    size_t count;
};

static int take_gap(const struct frag_gap_entry *gap, void *user) {
    struct gaps *gaps = user;
    assert_true(gaps->count < KN_COUNT(gaps->items));
    gaps->items[gaps->count++] = *gap;
    return 0;
}

static void list_gaps(struct world *world, const char *name, struct gaps *gaps) {
    gaps->count = 0;
    assert_int_equal(frag_gap_each(frag_stream_find(world->store, name),
                                   (struct kn_wall){INT64_MIN}, (struct kn_wall){INT64_MAX},
                                   take_gap, gaps),
                     0);
}

static void gaps_say_why(void **state) {
    struct world *world = *state;
    struct gaps gaps;
    world_open(world);
    world_record(world, "door", 1, 100); /* 4 s */
    assert_int_equal(frag_store_flush(world->store), 0);
    list_gaps(world, "door", &gaps);
    assert_int_equal(gaps.count, 1);
    assert_true(gaps.items[0].open);
    assert_int_equal(gaps.items[0].gap.cause, FRAG_GAP_PRODUCER_AWAY);
    assert_int_equal(gaps.items[0].gap.from.ns, WORLD_START + 4 * KN_NS_PER_S);
    fake_clock_advance(&world->clock, 60 * KN_NS_PER_S);
    int64_t again = atomic_load(&world->clock.wall_ns);
    world_record(world, "door", 2, 50);
    assert_int_equal(frag_store_flush(world->store), 0);
    list_gaps(world, "door", &gaps);
    assert_int_equal(gaps.count, 2);
    assert_false(gaps.items[0].open);
    assert_int_equal(gaps.items[0].gap.to.ns, again);
    assert_true(gaps.items[1].open);
    const struct frag_gap added = {
        .from = {WORLD_START - 50}, .to = {WORLD_START - 20}, .cause = FRAG_GAP_SCHEDULE};
    assert_int_equal(frag_gap_add(frag_stream_find(world->store, "door"), &added, false), 0);
    world_kill(world);
    world_open(world);
    list_gaps(world, "door", &gaps);
    assert_int_equal(gaps.count, 3);
    assert_int_equal(gaps.items[0].gap.cause, FRAG_GAP_SCHEDULE);
    assert_int_equal(gaps.items[0].gap.from.ns, WORLD_START - 50);
    assert_int_equal(gaps.items[0].gap.to.ns, WORLD_START - 20);
    assert_int_equal(gaps.items[2].ordinals, 1); /* burnt at the start */
    assert_int_equal(gaps.items[2].ordinal, 3);
}

static void a_crash_is_a_gap(void **state) {
    struct world *world = *state;
    struct gaps gaps;
    struct frag_writer *writer = NULL;
    const struct frag_writer_config config = {0};
    struct camera camera;
    world_open(world);
    world_camera(world, &camera, 4);
    assert_int_equal(frag_writer_open(world_stream(world, "door"), &config, &writer), 0);
    camera_send(&camera, writer, 101);
    assert_int_equal(frag_store_flush(world->store), 0);
    frag_writer_abort(writer, FRAG_GAP_NETWORK); /* frees it; nobody hears of it any more */
    world_kill(world);
    world_open(world);
    list_gaps(world, "door", &gaps);
    assert_int_equal(gaps.count, 1);
    assert_true(gaps.items[0].open);
    assert_int_equal(gaps.items[0].gap.cause, FRAG_GAP_CRASH);
    assert_int_equal(gaps.items[0].gap.from.ns, WORLD_START + 4 * KN_NS_PER_S);
    assert_int_equal(gaps.items[0].ordinal, 2);
    camera_finish(&camera);
}

/* ---- clocks ---- */

static void clock_steps_are_taken_and_told(void **state) {
    static const int64_t steps_s[] = {10, -10, 86400, -86400, 31536000, -31536000};
    struct world *world = *state;
    struct gaps gaps;
    for (size_t i = 0; i < KN_COUNT(steps_s); i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "s%zu", i);
        struct frag_writer *writer = NULL;
        const struct frag_writer_config config = {0};
        struct camera camera;
        struct frag_entry entries[16];
        fake_clock_init(&world->clock, WORLD_START, KN_NS_PER_S);
        world_open(world);
        world_camera(world, &camera, 4);
        assert_int_equal(frag_writer_open(world_stream(world, name), &config, &writer), 0);
        camera_send(&camera, writer, 100);
        camera.advance = NULL; /* from here on the test moves it */
        fake_clock_step_wall(&world->clock, steps_s[i] * KN_NS_PER_S);
        for (int n = 0; n < 3; n++) {
            camera_send(&camera, writer, 50);
            fake_clock_advance(&world->clock, 2 * KN_NS_PER_S);
        }
        frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
        camera_finish(&camera);
        assert_int_equal(frag_store_flush(world->store), 0);
        size_t count = world_list(world, name, entries, KN_COUNT(entries));
        assert_int_equal(count, 5); /* whatever the clock does, nothing is lost */
        list_gaps(world, name, &gaps);
        bool large = steps_s[i] > 10 || steps_s[i] < -10;
        unsigned clock_gaps = 0;
        for (size_t g = 0; g < gaps.count; g++) {
            clock_gaps += gaps.items[g].gap.cause == FRAG_GAP_CLOCK ? 1 : 0;
        }
        assert_int_equal(clock_gaps, large ? 1 : 0);
        for (size_t n = 1; n < count; n++) {
            assert_true(entries[n].number.sequence > entries[n - 1].number.sequence);
            assert_true(large || entries[n].server.ns > entries[n - 1].server.ns);
            assert_int_equal(entries[n].producer.ns - entries[n - 1].producer.ns, 2 * KN_NS_PER_S);
        }
        assert_int_equal(world_check(world, name), 5);
        world_close(world);
    }
}

/* ---- refusals ---- */

static void two_writers_are_refused(void **state) {
    struct world *world = *state;
    struct frag_store *second = NULL;
    struct frag_store_opening opening;
    world_open(world);
    assert_int_equal(frag_store_open(&world->config, &second, &opening), -EBUSY);
    assert_non_null(strstr(opening.problem, "stop it first"));
    world->config.mode = FRAG_STORE_READ; /* readers are welcome */
    assert_int_equal(frag_store_open(&world->config, &second, &opening), 0);
    struct frag_stream *stream = NULL;
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    assert_int_equal(frag_stream_create(second, "x", &settings, NULL, 0, &stream), -EROFS);
    frag_store_close(second);
}

static void nothing_there_is_said(void **state) {
    struct world *world = *state;
    world->config.mode = FRAG_STORE_READ;
    assert_int_equal(frag_store_open(&world->config, &world->store, &world->opening), -ENOENT);
    assert_non_null(strstr(world->opening.problem, "there is no store"));
    assert_null(world->store);
}

/* ---- further directories ---- */

static void directories_come_and_go(void **state) {
    struct world *world = *state;
    char second[80];
    char away[96];
    (void)snprintf(second, sizeof(second), "%s-2", world->folder);
    (void)snprintf(away, sizeof(away), "%s-away", second);
    const char *const folders[] = {second};
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_stream *stream = NULL;
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.folder = 1;
    world->config.folders = folders;
    world->config.folder_count = 1;
    world_open(world);
    assert_int_equal(frag_stream_create(world->store, "far", &settings, NULL, 0, &stream), 0);
    world_record(world, "far", 1, 100);
    world_record(world, "near", 2, 100);
    world_close(world);

    world->config.folder_count = 0; /* the journal knows it */
    world_open(world);
    assert_int_equal(world->opening.offline_folders, 0);
    assert_int_equal(world_check(world, "far"), 2);
    world_close(world);

    assert_int_equal(rename(second, away), 0);
    world_open(world);
    assert_int_equal(world->opening.offline_folders, 1);
    assert_int_equal(world->opening.lost_files, 0);
    assert_int_equal(world_check(world, "near"), 2);
    world_record(world, "far", 3, 100); /* its directory is away: another one takes it */
    world_close(world);

    assert_int_equal(rename(away, second), 0);
    world_open(world);
    assert_int_equal(world->opening.offline_folders, 0);
    assert_int_equal(world_check(world, "far"), 4);
    world_close(world);
    (void)nftw(second, world_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static void lost_files_are_gaps(void **state) {
    struct world *world = *state;
    struct gaps gaps;
    char command[160];
    world_open(world);
    world_record(world, "door", 1, 100);
    fake_clock_advance(&world->clock, 3600 * KN_NS_PER_S);
    world_record(world, "door", 2, 100);
    world_close(world);
    (void)snprintf(command, sizeof(command), "rm \"$(find %s -name '*.mkv' | sort | head -n 1)\"",
                   world->folder);
    assert_int_equal(system(command), 0); // NOLINT: a test
    world_open(world);
    assert_int_equal(world->opening.lost_files, 1);
    assert_int_equal(world_check(world, "door"), 2);
    list_gaps(world, "door", &gaps);
    assert_int_equal(gaps.items[0].gap.cause, FRAG_GAP_FILE_LOST);
    assert_int_equal(gaps.items[0].gap.from.ns, WORLD_START);
    assert_int_equal(gaps.items[0].ordinals, 2);
}

struct kept {
    unsigned count, stop_at;
    char keys[64];
};

static int tell_kept(const void *key, size_t key_bytes, const void *value, size_t value_bytes,
                     void *user) {
    struct kept *kept = user;
    assert_int_equal(key_bytes, 1);
    assert_int_equal(value_bytes, 1);
    assert_int_equal(((const char *)value)[0], ((const char *)key)[0] + 1);
    kept->keys[kept->count++] = ((const char *)key)[0];
    return kept->count == kept->stop_at ? -ECANCELED : 0;
}

static void what_others_keep_is_listed(void **state) {
    struct world *world = *state;
    struct kept kept = {0};
    world_open(world);
    assert_int_equal(frag_store_each(world->store, 70, tell_kept, &kept), 0);
    assert_int_equal(kept.count, 0);
    assert_int_equal(frag_store_put(world->store, 70, "c", 1, "d", 1), 0);
    assert_int_equal(frag_store_put(world->store, 70, "a", 1, "b", 1), 0);
    assert_int_equal(frag_store_put(world->store, 71, "x", 1, "y", 1), 0);
    assert_int_equal(frag_store_put(world->store, 69, "x", 1, "y", 1), 0);
    assert_int_equal(frag_store_put(world->store, 70, "b", 1, "c", 1), 0);
    assert_int_equal(frag_store_each(world->store, 70, tell_kept, &kept), 0);
    assert_string_equal(kept.keys, "abc");
    kept = (struct kept){.stop_at = 2};
    assert_int_equal(frag_store_each(world->store, 70, tell_kept, &kept), -ECANCELED);
    assert_int_equal(kept.count, 2);
    assert_int_equal(frag_store_each(world->store, 2, tell_kept, &kept), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
        WORLD_TEST(records_and_reads_back),
        WORLD_TEST(numbers_go_on_after_a_kill),
        WORLD_TEST(streams_are_kept),
        WORLD_TEST(deleted_streams_are_gone_at_once),
        cmocka_unit_test(same_input_same_bytes),
        WORLD_TEST(the_index_can_be_made_again),
        WORLD_TEST(nothing_kept_is_acknowledged_all_the_same),
        WORLD_TEST(gaps_say_why),
        WORLD_TEST(what_others_keep_is_listed),
        WORLD_TEST(a_crash_is_a_gap),
        WORLD_TEST(clock_steps_are_taken_and_told),
        WORLD_TEST(two_writers_are_refused),
        WORLD_TEST(nothing_there_is_said),
        WORLD_TEST(directories_come_and_go),
        WORLD_TEST(lost_files_are_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
