/* Replays into a store, and what it then has. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/crc.h"
#include "base/error.h"
#include "ingest/ingest.h"
#include "tests/support/sample_media.h"

#define MS KN_NS_PER_MS
#define S KN_NS_PER_S
#define START (1800000000 * S)
#define ENTRIES 256

/* ---- a store of the test's own ---- */

struct world {
    char folder[64];
    struct ing_clock *clock;
    struct frag_store *store;
    struct frag_stream *stream;
};

static struct world open_world(bool threads) {
    struct world world = {0};
    const char *where = getenv("TMPDIR");
    (void)snprintf(world.folder, sizeof(world.folder), "%.40s/record-XXXXXX",
                   where == NULL ? "/tmp" : where);
    assert_non_null(mkdtemp(world.folder));
    assert_int_equal(ing_clock_create((struct kn_wall){START}, &world.clock), 0);
    struct frag_store_config config = frag_store_config_defaults();
    config.data = world.folder;
    config.mode = FRAG_STORE_WRITE;
    config.threads = threads;
    config.clock = ing_clock_face(world.clock);
    config.seed = 1;
    config.min_free_bytes = 0;
    assert_int_equal(frag_store_open(&config, &world.store, NULL), 0);
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    assert_int_equal(frag_stream_create(world.store, "yard", &settings, NULL, 0, &world.stream), 0);
    return world;
}

static int drop_entry(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status, (void)kind, (void)where;
    return remove(path);
}

static void close_world(struct world *world) {
    frag_store_close(world->store);
    ing_clock_destroy(world->clock);
    assert_int_equal(nftw(world->folder, drop_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static struct ing_replay_result replay(struct world *world, const char *path, const char *faults,
                                       uint64_t loops) {
    struct ing_replay_config config = {
        .stream = world->stream, .path = path, .clock = world->clock, .loops = loops};
    struct ing_replay_result result;
    if (faults != NULL) {
        assert_int_equal(ing_faults_parse(faults, &config.faults), 0);
    }
    assert_int_equal(ing_replay_run(&config, &result), 0);
    return result;
}

/* ---- what it has ---- */

struct found {
    struct frag_entry entries[ENTRIES];
    size_t count, samples, video, keys, tracks_changed;
    int64_t first_ns, last_ns; /* producer times of samples */
    uint32_t crc32c;           /* of all clusters */
};

static void add_loaded(struct found *found, const struct frag_loaded *loaded) {
    for (size_t i = 0; i < loaded->sample_count; i++) {
        const struct kn_sample *sample = &loaded->samples[i];
        int64_t at = loaded->entry.producer.ns + sample->pts_ns;
        bool video = loaded->tracks->items[sample->track].media == KN_MEDIA_VIDEO;
        found->samples++;
        found->video += video ? 1 : 0;
        found->keys += video && (sample->flags & KN_SAMPLE_KEY) != 0 ? 1 : 0;
        found->first_ns = found->first_ns == 0 || at < found->first_ns ? at : found->first_ns;
        found->last_ns = at > found->last_ns ? at : found->last_ns;
    }
    found->crc32c = kn_crc32c(found->crc32c, loaded->cluster, loaded->cluster_bytes);
}

static struct found look(struct world *world) {
    struct found found = {0};
    struct frag_archive *archive = NULL;
    assert_int_equal(frag_archive_open(world->store, &archive), 0);
    int count = frag_archive_range(archive, world->stream, FRAG_CLOCK_SERVER, (struct kn_wall){0},
                                   (struct kn_wall){INT64_MAX}, 0, found.entries, ENTRIES);
    assert_in_range(count, 0, ENTRIES - 1);
    found.count = (size_t)count;
    for (size_t i = 0; i < found.count; i++) {
        struct frag_loaded *loaded = NULL;
        assert_int_equal(frag_archive_load(archive, &found.entries[i], &loaded), 0);
        add_loaded(&found, loaded);
        frag_loaded_free(loaded);
    }
    frag_archive_close(archive);
    return found;
}

struct gaps {
    size_t count, of[FRAG_GAP_SHUTDOWN + 1];
};

static int count_gap(const struct frag_gap_entry *entry, void *user) {
    struct gaps *gaps = user;
    gaps->count++;
    gaps->of[entry->gap.cause]++;
    return 0;
}

static struct gaps look_at_gaps(struct world *world) {
    struct gaps gaps = {0};
    assert_int_equal(frag_gap_each(world->stream, (struct kn_wall){0}, (struct kn_wall){INT64_MAX},
                                   count_gap, &gaps),
                     0);
    return gaps;
}

/* ---- tests ---- */

static void check_clip(const char *name, bool threads, size_t fragments, size_t samples) {
    struct world world = open_world(threads);
    struct ing_replay_result result = replay(&world, sample_path(name), NULL, 1);
    print_message("# %s\n", name);
    assert_int_equal(result.files, 1);
    assert_int_equal(result.samples, samples);
    assert_int_equal(result.fragments, fragments);
    assert_int_equal(result.durable, fragments);
    assert_int_equal(result.failed, 0);
    struct found found = look(&world);
    assert_int_equal(found.count, fragments);
    assert_int_equal(found.samples, samples);
    assert_true(found.first_ns >= START && found.first_ns <= START + 100 * MS);
    for (size_t i = 0; i < found.count; i++) {
        const struct frag_entry *entry = &found.entries[i];
        assert_int_equal(entry->flags & FRAG_NO_KEY_START, 0);
        /* Two clocks that agree, but for the reordering. */
        assert_in_range(entry->producer.ns - entry->server.ns, 0, 300 * MS);
    }
    close_world(&world);
}

/* Fragments are cut at key frames, 2 s aimed at. */
static void test_clips(void **state) {
    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        check_clip("box.mkv", threads == 1, 5, 358);
        check_clip("qr.mkv", threads == 1, 5, 308);
        check_clip("bframes.mkv", threads == 1, 4, 200);
        check_clip("h265.mkv", threads == 1, 5, 358);
        check_clip("h265-bframes.mkv", threads == 1, 4, 200);
        check_clip("annexb-bare.mkv", threads == 1, 4, 160);
        check_clip("vp8-opus.webm", threads == 1, 5, 701);
        check_clip("g711.mkv", threads == 1, 4, 560);
        check_clip("long-gop.mkv", threads == 1, 2, 200);
        check_clip("resolution-change.mkv", threads == 1, 4, 160);
    }
}

/* As many as the store would drop if nobody waited for it. */
static void test_long_replay(void **state) {
    struct world world = open_world(true);
    (void)state;
    struct ing_replay_result result = replay(&world, sample_path("box.mkv"), NULL, 40);
    assert_int_equal(result.samples, 40 * 358);
    assert_int_equal(result.durable, 40 * 5);
    assert_int_equal(result.duration_ns, 40 * 10112 * MS);
    struct found found = look(&world);
    assert_int_equal(found.count, 40 * 5);
    assert_int_equal(found.samples, 40 * 358);
    assert_int_equal(found.first_ns, START);
    for (size_t i = 1; i < found.count; i++) {
        assert_true(found.entries[i].producer.ns > found.entries[i - 1].producer.ns);
    }
    close_world(&world);
}

static void test_faults(void **state) {
    struct world world = open_world(false);
    (void)state;
    struct ing_replay_result result = replay(&world, sample_path("qr.mkv"), "loss=3%,seed=5", 1);
    struct found found = look(&world);
    assert_true(result.lost_samples > 0);
    assert_int_equal(found.samples, 308 - result.lost_samples);
    struct gaps gaps = look_at_gaps(&world);
    assert_true(gaps.of[FRAG_GAP_PACKET_LOSS] > 0);
    size_t broken = 0;
    for (size_t i = 0; i < found.count; i++) {
        broken += (found.entries[i].flags & FRAG_DISCONTINUITY) != 0 ? 1 : 0;
    }
    assert_int_equal(broken, gaps.of[FRAG_GAP_PACKET_LOSS]);
    close_world(&world);

    world = open_world(false);
    (void)replay(&world, sample_path("box.mkv"), "flap=3s", 1);
    /* At 6 s the producer is back with a key frame at once: nothing is missing. */
    assert_int_equal(look_at_gaps(&world).of[FRAG_GAP_NETWORK], 2);
    close_world(&world);

    world = open_world(false);
    (void)replay(&world, sample_path("box.mkv"), "jump=-9800s@4s", 1);
    found = look(&world);
    assert_int_equal(found.entries[0].producer.ns, START);
    assert_int_equal(found.entries[found.count - 1].producer.ns, START - 9800 * S + 8 * S);
    assert_int_equal(found.entries[found.count - 1].server.ns, START + 8 * S);
    close_world(&world);
}

/* Loops as of one camera: one reel, nothing missing between them. */
static void test_one_session(void **state) {
    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        struct world world = open_world(threads == 1);
        const struct ing_replay_config config = {.stream = world.stream,
                                                 .path = sample_path("box.mkv"),
                                                 .clock = world.clock,
                                                 .loops = 3,
                                                 .one_session = true};
        struct ing_replay_result result;
        assert_int_equal(ing_replay_run(&config, &result), 0);
        assert_int_equal(result.durable, 3 * 5);
        assert_int_equal(result.samples, 3 * 358);
        struct found found = look(&world);
        assert_int_equal(found.count, 3 * 5);
        for (size_t i = 0; i < found.count; i++) {
            assert_int_equal(found.entries[i].flags & (FRAG_DISCONTINUITY | FRAG_NO_KEY_START), 0);
        }
        assert_int_equal(look_at_gaps(&world).count, 1);
        assert_int_equal(look_at_gaps(&world).of[FRAG_GAP_PRODUCER_AWAY], 1);
        assert_int_equal(frag_store_stats(world.store).reels, 1);
        close_world(&world);
    }
}

/* The same file, clock and seed make the same store. */
static void test_repeatable(void **state) {
    uint32_t crc32c[2];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world world = open_world(false);
        (void)replay(&world, sample_path("box.mkv"), "loss=1%,flap=3s", 3);
        crc32c[i] = look(&world).crc32c;
        close_world(&world);
    }
    assert_int_equal(crc32c[0], crc32c[1]);
}

static void test_deleted_stream(void **state) {
    struct world world = open_world(false);
    const struct ing_replay_config config = {
        .stream = world.stream, .path = sample_path("box.mkv"), .clock = world.clock, .loops = 1};
    struct ing_replay_result result;
    (void)state;
    assert_int_equal(frag_stream_delete(world.stream, NULL), 0);
    assert_int_equal(ing_replay_run(&config, &result), KN_E_CLOSED);
    assert_int_equal(result.samples, 0);
    close_world(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clips),          cmocka_unit_test(test_long_replay),
        cmocka_unit_test(test_faults),         cmocka_unit_test(test_repeatable),
        cmocka_unit_test(test_deleted_stream), cmocka_unit_test(test_one_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
