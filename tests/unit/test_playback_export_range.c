/* Export out of a store: which fragments a range is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "base/error.h"
#include "tests/support/fake_clock.h"
#include "tests/support/sample_media.h"
#include "tests/unit/playback_exports.h"

#define SERVER_LATE_NS (250 * KN_NS_PER_MS)

struct world {
    char folder[64];
    struct fake_clock clock;
    struct frag_store *store;
    struct frag_stream *stream;
    struct frag_archive *archive;
    char reel[256]; /* the last one that a walk saw */
};

static struct world *at_hand; /* of the walks, which take no argument */

static int setup(void **state) {
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    (void)snprintf(world->folder, sizeof(world->folder), "%s", "/tmp/kinora-range-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    fake_clock_init(&world->clock, EXPORT_CLIP_BEGIN_NS, KN_NS_PER_S);
    struct frag_store_config config = frag_store_config_defaults();
    config.data = world->folder;
    config.mode = FRAG_STORE_WRITE;
    config.threads = false;
    config.clock = &world->clock.clock;
    config.min_free_bytes = 0;
    config.seed = 1;
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.target_ns = KN_NS_PER_S;
    assert_int_equal(frag_store_open(&config, &world->store, NULL), 0);
    assert_int_equal(
        frag_stream_create(world->store, "front-door", &settings, NULL, 0, &world->stream), 0);
    assert_int_equal(frag_archive_open(world->store, &world->archive), 0);
    at_hand = world;
    *state = world;
    return make_export_folder(NULL);
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about;
    (void)type;
    (void)place;
    return remove(path);
}

static int teardown(void **state) {
    struct world *world = *state;
    frag_archive_close(world->archive);
    frag_store_close(world->store);
    (void)nftw(world->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(world);
    return remove_export_folder(state);
}

static void feed(struct world *world, struct frag_writer *writer, const struct frag_loaded *loaded,
                 int64_t after_ns, bool keys) {
    struct kn_wall origin = {loaded->entry.producer.ns + after_ns};
    for (size_t i = 0; i < loaded->sample_count; i++) {
        struct kn_sample sample = loaded->samples[i];
        sample.flags &= (uint16_t)(keys ? UINT16_MAX : ~KN_SAMPLE_KEY);
        int64_t server_ns = origin.ns + sample.dts_ns + SERVER_LATE_NS;
        int64_t behind_ns = server_ns - atomic_load(&world->clock.wall_ns);
        fake_clock_advance(&world->clock, behind_ns > 0 ? behind_ns : 0);
        assert_int_equal(frag_writer_sample(writer, origin, &sample), 0);
    }
}

/* Records a clip `times` times, as a camera would in one session, `after_ms` after the beginning;
 * the server's clock is late. `keys`: of how many fragments of the clip key frames stay such. */
static void record(struct world *world, const char *name, int64_t after_ms, size_t times,
                   size_t keys) {
    struct export_clip clip;
    struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    export_clip_load(&clip, sample_path(name));
    int64_t length_ns = clip.fragments[clip.count - 1]->entry.producer.ns + 10 * KN_NS_PER_S -
                        clip.fragments[0]->entry.producer.ns;
    assert_int_equal(frag_writer_open(world->stream, &config, &writer), 0);
    assert_int_equal(frag_writer_tracks(writer, clip.fragments[0]->tracks), 0);
    for (size_t i = 0; i < clip.count * times; i++) {
        int64_t after_ns = after_ms * KN_NS_PER_MS + (int64_t)(i / clip.count) * length_ns;
        feed(world, writer, clip.fragments[i % clip.count], after_ns, i < keys);
    }
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    assert_int_equal(frag_store_flush(world->store), 0);
    export_clip_finish(&clip);
}

static struct kn_wall at(int64_t ms) {
    return (struct kn_wall){EXPORT_CLIP_BEGIN_NS + ms * KN_NS_PER_MS};
}

static int run(struct world *world, enum frag_clock clock, int64_t from_ms, int64_t to_ms,
               struct play_export_result *ret_result) {
    const struct play_export_config config = {
        .archive = world->archive,
        .stream = world->stream,
        .clock = clock,
        .from = at(from_ms),
        .to = at(to_ms),
        .format = PLAY_MP4,
        .path = export_path,
        .replace = true,
    };
    return play_export_run(&config, ret_result);
}

static void assert_range(struct world *world, int64_t from_ms, int64_t to_ms, int64_t begin_ms,
                         uint64_t fragments) {
    struct play_export_result result;
    assert_int_equal(run(world, FRAG_CLOCK_PRODUCER, from_ms, to_ms, &result), 0);
    assert_int_equal(result.from.ns, at(begin_ms).ns);
    assert_int_equal(result.fragments, fragments);
    assert_int_equal(result.left_out, 0);
}

static void assert_nothing(struct world *world, int64_t from_ms, int64_t to_ms) {
    struct play_export_result result;
    (void)unlink(export_path);
    assert_int_equal(run(world, FRAG_CLOCK_PRODUCER, from_ms, to_ms, &result), -ENOENT);
    assert_int_equal(files_in_folder(), 0);
}

/* qr.mkv: ten fragments of a second, from 0 and from 20 s. */
static void test_edges(void **state) {
    struct world *world = *state;
    struct play_export_result result;

    record(world, "qr.mkv", 0, 1, SIZE_MAX);
    record(world, "qr.mkv", 20000, 1, SIZE_MAX);
    assert_range(world, 0, 60000, 0, 20);
    assert_range(world, -100000, 60000, 0, 20);
    assert_range(world, 3500, 3600, 3000, 1);
    assert_range(world, 3500, 3999, 3000, 1);
    assert_range(world, 3500, 4000, 3000, 2); /* to the one that begins at `to` */
    assert_range(world, 3000, 3000, 3000, 1);
    assert_range(world, 2999, 3000, 2000, 2);
    assert_range(world, 9900, 20500, 9000, 2);
    assert_range(world, 15000, 21000, 20000, 2); /* in the hole: what lies before has ended */
    assert_nothing(world, 12000, 19000);
    assert_nothing(world, -5000, -1);
    assert_nothing(world, 31000, 90000);
    assert_int_equal(run(world, FRAG_CLOCK_PRODUCER, 2, 1, &result), -EINVAL);
}

static void test_by_server_time(void **state) {
    struct world *world = *state;
    struct play_export_result result;
    struct frag_entry entry;

    record(world, "qr.mkv", 0, 1, SIZE_MAX);
    assert_int_equal(
        frag_archive_find_time(world->archive, world->stream, FRAG_CLOCK_SERVER, at(3100), &entry),
        0);
    assert_int_equal(entry.producer.ns, at(2000).ns);
    assert_int_equal(run(world, FRAG_CLOCK_SERVER, 3100, 3300, &result), 0);
    assert_int_equal(result.from.ns, at(2000).ns + SERVER_LATE_NS);
    assert_int_equal(result.to.ns, at(4032).ns + SERVER_LATE_NS); /* its sound's end */
    assert_int_equal(result.fragments, 2);
}

/* Recorded from 20 s on, then from 0: what lies before the first one recorded is of the range too,
 * and what the file covers goes by the clock that was asked. */
static void test_clock_set_back(void **state) {
    struct world *world = *state;
    struct play_export_result result;
    struct frag_entry latest;

    record(world, "qr.mkv", 20000, 1, SIZE_MAX);
    record(world, "qr.mkv", 0, 1, SIZE_MAX);
    assert_range(world, -100000, 60000, 0, 20);
    assert_range(world, -100000, 21000, 0, 12);
    assert_int_equal(run(world, FRAG_CLOCK_PRODUCER, -100000, 60000, &result), 0);
    assert_int_equal(result.to.ns, at(30112).ns);
    assert_non_null(strstr(result.note, "10 fragments overlap earlier ones in time or lie before"));
    assert_int_equal(frag_archive_latest(world->archive, world->stream, &latest), 0);
    assert_int_equal(latest.producer.ns, at(9000).ns);
    assert_int_equal(run(world, FRAG_CLOCK_SERVER, -100000, 60000, &result), 0);
    assert_int_equal(result.fragments, 20);
    assert_int_equal(result.from.ns, at(20000).ns + SERVER_LATE_NS);
    /* The clock stood still during the second one. */
    int64_t end_ns = latest.server.ns + latest.duration_ns;
    assert_true(result.to.ns >= end_ns && result.to.ns < end_ns + KN_NS_PER_S / 4);
}

static void assert_no_key(struct world *world, int64_t at_ms, int64_t begin_ms) {
    struct frag_entry entry;
    assert_int_equal(frag_archive_find_time(world->archive, world->stream, FRAG_CLOCK_PRODUCER,
                                            at(at_ms), &entry),
                     0);
    assert_int_equal(entry.producer.ns, at(begin_ms).ns);
    assert_int_equal(entry.flags & FRAG_NO_KEY_START, FRAG_NO_KEY_START);
}

/* Where no key frame comes for 100 s the store cuts every 20 s. */
static void test_goes_back_to_a_key(void **state) {
    struct world *world = *state;
    struct play_export_result result;

    record(world, "long-gop.mkv", 0, 5, 1);
    record(world, "long-gop.mkv", 100000, 1, SIZE_MAX);
    assert_no_key(world, 45000, 40000);
    assert_range(world, 45000, 45000, 0, 3);
    assert_range(world, 60000, 60000, 0, 4); /* 60 s back */
    /* Further back is too far: it begins with the next key frame. */
    assert_nothing(world, 85000, 85000);
    assert_int_equal(run(world, FRAG_CLOCK_PRODUCER, 85000, 105000, &result), 0);
    assert_int_equal(result.from.ns, at(100000).ns);
    assert_int_equal(result.fragments, 1);
    assert_non_null(strstr(result.note, "200 samples without a key frame"));
}

static int see_reel(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about;
    (void)place;
    const char *end = strrchr(path, '.');
    if (type == FTW_F && end != NULL && strcmp(end, ".mkv") == 0) {
        (void)snprintf(at_hand->reel, sizeof(at_hand->reel), "%s", path);
    }
    return 0;
}

static void damage(struct world *world, int64_t at_ms) {
    struct frag_entry entry;
    assert_int_equal(frag_archive_find_time(world->archive, world->stream, FRAG_CLOCK_PRODUCER,
                                            at(at_ms), &entry),
                     0);
    assert_int_equal(nftw(world->folder, see_reel, 16, FTW_PHYS), 0);
    int fd = open(world->reel, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    uint8_t byte = 0;
    off_t place = (off_t)(entry.cluster_at + entry.cluster_bytes / 2);
    assert_int_equal(pread(fd, &byte, 1, place), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, place), 1);
    assert_int_equal(close(fd), 0);
}

static void test_damaged_on_disk(void **state) {
    struct world *world = *state;
    struct play_export_result result;

    record(world, "qr.mkv", 0, 1, SIZE_MAX);
    damage(world, 4500);
    assert_int_equal(run(world, FRAG_CLOCK_PRODUCER, 2500, 7500, &result), 0);
    assert_int_equal(result.left_out, 1);
    assert_int_equal(result.fragments, 5);
    assert_int_equal(result.from.ns, at(2000).ns);
    (void)unlink(export_path);
    assert_int_equal(run(world, FRAG_CLOCK_PRODUCER, 4500, 4600, &result), -ENOENT);
    assert_int_equal(result.left_out, 1);
}

static void test_deleted_stream(void **state) {
    struct world *world = *state;

    record(world, "qr.mkv", 0, 1, SIZE_MAX);
    assert_range(world, 0, 60000, 0, 10);
    assert_int_equal(frag_stream_delete(world->stream, NULL), 0);
    assert_nothing(world, 0, 60000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_edges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_by_server_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock_set_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_goes_back_to_a_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deleted_stream, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
