/* Sources into a store: running, failing, tried again, ended. */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "ingest/ingest.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/sample_media.h"

#define WAIT_MOST_NS (20 * KN_NS_PER_S)

struct world {
    char folder[64];
    char url[128]; /* of a clip that is not there yet */
    struct frag_store *store;
    struct frag_stream *stream;
    struct ing_source *source;
    atomic_size_t changes;
};

static int open_world(void **state) {
    static struct world world;
    const char *where = getenv("TMPDIR");
    world = (struct world){0};
    (void)snprintf(world.folder, sizeof(world.folder), "%.40s/source-XXXXXX",
                   where == NULL ? "/tmp" : where);
    assert_non_null(mkdtemp(world.folder));
    (void)snprintf(world.url, sizeof(world.url), "file:%s/clip.mkv", world.folder);
    char data[80];
    (void)snprintf(data, sizeof(data), "%s/data", world.folder);
    struct frag_store_config config = frag_store_config_defaults();
    config.data = data;
    config.mode = FRAG_STORE_WRITE;
    config.threads = true;
    config.min_free_bytes = 0;
    assert_int_equal(frag_store_open(&config, &world.store, NULL), 0);
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.target_ns = KN_NS_PER_S;
    assert_int_equal(frag_stream_create(world.store, "yard", &settings, NULL, 0, &world.stream), 0);
    *state = &world;
    return 0;
}

static int drop_entry(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status, (void)kind, (void)where;
    return remove(path);
}

static int close_world(void **state) {
    struct world *world = *state;
    fail_alloc_stop();
    ing_source_stop(world->source);
    frag_store_close(world->store);
    return nftw(world->folder, drop_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void handle_state(struct frag_stream *stream, void *user) {
    struct world *world = user;
    KN_ASSERT(stream == world->stream);
    atomic_fetch_add(&world->changes, 1);
}

static void start(struct world *world, const char *url) {
    const struct ing_source_config config = {
        .stream = world->stream, .url = url, .handle_state = handle_state, .user = world};
    assert_int_equal(ing_source_start(&config, &world->source), 0);
}

static int64_t now_ns(void) {
    const struct kn_clock *clock = kn_clock_system();
    return clock->mono(clock).ns;
}

/* A source has a thread of its own and the pace of its video: it is looked at every few ms. */
static struct ing_source_status wait_until(struct world *world,
                                           bool (*is_so)(const struct ing_source_status *status)) {
    struct ing_source_status status;
    int64_t began_ns = now_ns();
    for (;;) {
        ing_source_status(world->source, &status);
        if (is_so(&status)) {
            return status;
        }
        assert_true(now_ns() - began_ns < WAIT_MOST_NS);
        const struct timespec slice = {.tv_nsec = 5 * KN_NS_PER_MS};
        (void)nanosleep(&slice, NULL);
    }
}

static bool is_running(const struct ing_source_status *status) {
    return status->state == ING_SOURCE_RUNNING;
}

static bool is_waiting(const struct ing_source_status *status) {
    return status->state == ING_SOURCE_WAITING;
}

static bool has_fragments(const struct ing_source_status *status) {
    return status->fragments >= 2;
}

static bool is_stopped(const struct ing_source_status *status) {
    return status->state == ING_SOURCE_STOPPED;
}

static void copy_clip(const struct world *world, const char *clip) {
    size_t size;
    uint8_t *data = sample_load(clip, &size);
    FILE *file = fopen(strchr(world->url, ':') + 1, "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    free(data);
}

struct gaps {
    size_t count, refused, open;
};

static int count_gap(const struct frag_gap_entry *entry, void *user) {
    struct gaps *gaps = user;
    gaps->count++;
    gaps->refused += entry->gap.cause == FRAG_GAP_SOURCE_REFUSED ? 1 : 0;
    gaps->open += entry->open ? 1 : 0;
    return 0;
}

static struct gaps look_at_gaps(const struct world *world) {
    struct gaps gaps = {0};
    assert_int_equal(frag_gap_each(world->stream, (struct kn_wall){0}, (struct kn_wall){INT64_MAX},
                                   count_gap, &gaps),
                     0);
    return gaps;
}

/* Ended at once, and nothing of what it counted is lost. */
static void test_runs_and_stops(void **state) {
    struct world *world = *state;
    char url[512];
    (void)snprintf(url, sizeof(url), "file:%s", sample_path("qr.mkv"));
    start(world, url);
    struct ing_source_status status = wait_until(world, has_fragments);
    assert_int_equal(status.state, ING_SOURCE_RUNNING);
    assert_int_equal(status.starts, 1);
    assert_int_equal(status.failures, 0);
    assert_true(status.samples > 0 && status.bytes > 0 && status.since.ns > 0);
    assert_string_equal(status.problem, "");
    assert_int_equal(look_at_gaps(world).count, 0);
    int64_t began_ns = now_ns();
    ing_source_end(world->source);
    (void)wait_until(world, is_stopped);
    ing_source_stop(world->source);
    world->source = NULL;
    assert_true(now_ns() - began_ns < KN_NS_PER_S);
    /* Starting is its first state: only running and stopped are changes. */
    assert_int_equal(atomic_load(&world->changes), 2);
    struct gaps gaps = look_at_gaps(world);
    assert_int_equal(gaps.count, 1); /* the shutdown */
    assert_int_equal(gaps.refused, 0);
}

static void test_comes_back(void **state) {
    struct world *world = *state;
    start(world, world->url);
    struct ing_source_status status = wait_until(world, is_waiting);
    assert_int_equal(status.failures, 1);
    assert_non_null(strstr(status.problem, "clip.mkv"));
    struct gaps gaps = look_at_gaps(world);
    assert_int_equal(gaps.count, 1);
    assert_int_equal(gaps.refused, 1);
    assert_int_equal(gaps.open, 1);
    copy_clip(world, "qr.mkv");
    status = wait_until(world, has_fragments);
    assert_int_equal(status.state, ING_SOURCE_RUNNING);
    assert_int_equal(status.starts, 2);
    assert_string_equal(status.problem, "");
    gaps = look_at_gaps(world);
    assert_int_equal(gaps.count, 1);
    assert_int_equal(gaps.open, 0);
    /* It is read at every loop; the one at hand ends first. */
    assert_int_equal(atomic_load(&world->changes), 3);
}

/* Waiting for its next try, it ends at once too. */
static void test_ends_while_it_waits(void **state) {
    struct world *world = *state;
    copy_clip(world, "manifest.json");
    start(world, world->url);
    struct ing_source_status status = wait_until(world, is_waiting);
    assert_non_null(strstr(status.problem, "no container that is read here"));
    int64_t began_ns = now_ns();
    ing_source_stop(world->source);
    world->source = NULL;
    assert_true(now_ns() - began_ns < KN_NS_PER_S / 2);
}

static void test_deleted_stream(void **state) {
    struct world *world = *state;
    copy_clip(world, "qr.mkv");
    start(world, world->url);
    (void)wait_until(world, is_running);
    assert_int_equal(frag_stream_delete(world->stream, NULL), 0);
    struct ing_source_status status = wait_until(world, is_stopped);
    assert_string_equal(status.problem, "the stream was deleted");
}

static void test_refusals(void **state) {
    struct world *world = *state;
    struct ing_source_config config = {.stream = world->stream, .url = "rtsp://camera/1"};
    struct ing_source *source = NULL;
    assert_int_equal(ing_source_start(&config, &source), KN_E_UNSUPPORTED);
    config.url = "file:";
    assert_int_equal(ing_source_start(&config, &source), KN_E_MALFORMED);
    ing_source_stop(NULL);
    config.url = world->url;
    fail_alloc_at(1);
    assert_int_equal(ing_source_start(&config, &source), -ENOMEM);
    fail_alloc_stop();
    assert_null(source);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_runs_and_stops), TEST(test_comes_back), TEST(test_ends_while_it_waits),
        TEST(test_deleted_stream), TEST(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
