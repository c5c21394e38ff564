/* Streams and sources as configurations name them, one after the other. The configurations are made
 * by hand; what events are told is counted here. */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/events.h"
#include "server/live.h"
#include "server/sources.h"
#include "server/world.h"
#include "tests/support/sample_media.h"

#define WAIT_MOST_NS (20 * KN_NS_PER_S)
/* As a configuration has its texts: not const. It lives as long as the block it stands in. */
#define TEXT(literal) ((char[]){literal})
#define NOWHERE TEXT("file:/nonexistent/clips")

/* ---- what stands behind it ---- */

static atomic_size_t told, told_running;

void srv_events_tell(struct srv_events *events, const char *kind, const char *stream,
                     json_t *data) {
    KN_ASSERT(events == NULL && strcmp(kind, "source") == 0);
    KN_ASSERT(strcmp(json_string_value(json_object_get(data, "stream")), stream) == 0);
    const char *state = json_string_value(json_object_get(data, "state"));
    atomic_fetch_add(&told, 1);
    atomic_fetch_add(&told_running, strcmp(state, "running") == 0 ? 1 : 0);
    json_decref(data);
}

/* ---- a world of the test's own ---- */

struct fixture {
    char folder[64];
    char clip[512];
    struct srv_world world;
    struct srv_sources *sources;
    struct srv_pair_text tag;
    struct srv_config_stream streams[4];
    struct srv_config config;
};

static int open_world(void **state) {
    static struct fixture fixture;
    const char *where = getenv("TMPDIR");
    fixture = (struct fixture){0};
    (void)snprintf(fixture.folder, sizeof(fixture.folder), "%.40s/sources-XXXXXX",
                   where == NULL ? "/tmp" : where);
    assert_non_null(mkdtemp(fixture.folder));
    (void)snprintf(fixture.clip, sizeof(fixture.clip), "file:%s", sample_path("qr.mkv"));
    struct frag_store_config config = frag_store_config_defaults();
    config.data = fixture.folder;
    config.mode = FRAG_STORE_WRITE;
    config.threads = true;
    config.min_free_bytes = 0;
    assert_int_equal(frag_store_open(&config, &fixture.world.store, NULL), 0);
    const struct srv_live_config live = {.max_entries = 16, .clock = kn_clock_system()};
    assert_int_equal(srv_live_create(&live, &fixture.world.live), 0);
    assert_int_equal(srv_sources_create(&fixture.world, &fixture.sources), 0);
    fixture.config.streams = fixture.streams;
    *state = &fixture;
    return 0;
}

static int drop_entry(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status, (void)kind, (void)where;
    return remove(path);
}

static int close_world(void **state) {
    struct fixture *fixture = *state;
    srv_sources_destroy(fixture->sources);
    srv_live_destroy(fixture->world.live);
    frag_store_close(fixture->world.store);
    return nftw(fixture->folder, drop_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Streams are added in order of their names. */
static struct srv_config_stream *name_stream(struct fixture *fixture, char *name, char *source) {
    struct srv_config_stream *stream = &fixture->streams[fixture->config.stream_count++];
    *stream =
        (struct srv_config_stream){.name = name, .source = source, .target_ns = 2 * KN_NS_PER_S};
    return stream;
}

static void name_retention(struct srv_config_stream *stream, int64_t retention_ns) {
    stream->named.rows |= 1u << SRV_STREAM_RETENTION;
    stream->retention_ns = retention_ns;
}

static void apply(struct fixture *fixture, size_t failures) {
    size_t failed;
    srv_sources_apply(fixture->sources, &fixture->config, &failed);
    assert_int_equal(failed, failures);
}

static struct frag_stream_info describe(struct fixture *fixture, const char *name) {
    static struct frag_stream_info info;
    struct frag_stream *stream = frag_stream_find(fixture->world.store, name);
    assert_non_null(stream);
    assert_int_equal(frag_stream_describe(stream, &info), 0);
    return info;
}

/* Sources have threads of their own: they are looked at every few ms. */
static struct ing_source_status wait_for(struct fixture *fixture, const char *stream,
                                         enum ing_source_state state) {
    const struct kn_clock *clock = kn_clock_system();
    int64_t began_ns = clock->mono(clock).ns;
    struct ing_source_status status;
    for (;;) {
        assert_int_equal(srv_sources_status(fixture->sources, stream, &status), 0);
        if (status.state == state) {
            return status;
        }
        assert_true(clock->mono(clock).ns - began_ns < WAIT_MOST_NS);
        const struct timespec slice = {.tv_nsec = 5 * KN_NS_PER_MS};
        (void)nanosleep(&slice, NULL);
    }
}

struct entries {
    size_t count;
    uint64_t bytes;
    struct srv_live_info last;
};

static int count_entry(const struct srv_live_info *info, void *user) {
    struct entries *entries = user;
    entries->count++;
    entries->bytes += info->bytes;
    entries->last = *info;
    return 0;
}

static struct entries look_at_live(struct fixture *fixture) {
    struct entries entries = {0};
    assert_int_equal(srv_live_each(fixture->world.live, NULL, count_entry, &entries), 0);
    return entries;
}

/* ---- tests ---- */

static void test_streams(void **state) {
    struct fixture *fixture = *state;
    struct srv_config_stream *gate = name_stream(fixture, TEXT("gate"), NULL);
    name_retention(gate, 7 * KN_NS_PER_S);
    fixture->tag = (struct srv_pair_text){TEXT("place"), TEXT("north")};
    gate->tags = (struct srv_pairs){&fixture->tag, 1};
    apply(fixture, 0);
    struct frag_stream_info info = describe(fixture, "gate");
    assert_int_equal(info.settings.retention_ns, 7 * KN_NS_PER_S);
    assert_int_equal(info.tag_count, 1);
    assert_string_equal(info.tags[0].value, "north");
    struct ing_source_status status;
    assert_int_equal(srv_sources_status(fixture->sources, "gate", &status), -ENOENT);

    /* The same again changes nothing. */
    char version[sizeof(info.version)];
    memcpy(version, info.version, sizeof(version));
    apply(fixture, 0);
    assert_string_equal(describe(fixture, "gate").version, version);

    /* What the file does not name is not the file's. */
    struct frag_stream *stream = frag_stream_find(fixture->world.store, "gate");
    struct frag_stream_settings settings = info.settings;
    settings.target_ns = 4 * KN_NS_PER_S;
    assert_int_equal(frag_stream_update(stream, NULL, &settings), 0);
    const struct frag_stream_tag other = {"colour", "red"};
    assert_int_equal(frag_stream_tag(stream, &other, 1, NULL, 0), 0);
    gate->retention_ns = 8 * KN_NS_PER_S;
    fixture->tag.value = TEXT("south");
    apply(fixture, 0);
    info = describe(fixture, "gate");
    assert_int_equal(info.settings.retention_ns, 8 * KN_NS_PER_S);
    assert_int_equal(info.settings.target_ns, 4 * KN_NS_PER_S);
    assert_int_equal(info.tag_count, 2);
    assert_string_equal(info.tags[0].value, "red");
    assert_string_equal(info.tags[1].value, "south");

    /* Of a row that it names, all is. */
    gate->named.rows |= 1u << SRV_STREAM_TAGS;
    apply(fixture, 0);
    info = describe(fixture, "gate");
    assert_int_equal(info.tag_count, 1);
    assert_string_equal(info.tags[0].value, "south");
    gate->tags.count = 0;
    apply(fixture, 0);
    assert_int_equal(describe(fixture, "gate").tag_count, 0);

    /* A stream that leaves the file stays. */
    fixture->config.stream_count = 0;
    apply(fixture, 0);
    assert_int_equal(describe(fixture, "gate").settings.retention_ns, 8 * KN_NS_PER_S);
}

/* One that fails does not stop the others; and is recorded into all the same where it is there. */
static void test_failures(void **state) {
    struct fixture *fixture = *state;
    struct srv_config_stream *gate = name_stream(fixture, TEXT("gate"), NULL);
    (void)name_stream(fixture, TEXT("yard"), NOWHERE);
    gate->named.rows = 1u << SRV_STREAM_STORAGE;
    gate->storage = TEXT("/nonexistent");
    apply(fixture, 1);
    assert_null(frag_stream_find(fixture->world.store, "gate"));
    struct ing_source_status status = wait_for(fixture, "yard", ING_SOURCE_WAITING);
    assert_int_equal(status.failures, 1);

    gate->named.rows = 0;
    apply(fixture, 0);
    gate->named.rows = 1u << SRV_STREAM_STORAGE;
    gate->source = NOWHERE;
    apply(fixture, 1);
    (void)wait_for(fixture, "gate", ING_SOURCE_WAITING);

    fixture->streams[1].source = TEXT("exec:reboot");
    apply(fixture, 2);
    assert_int_equal(srv_sources_status(fixture->sources, "yard", &status), -ENOENT);
    char long_text[300];
    memset(long_text, 'x', sizeof(long_text));
    long_text[sizeof(long_text) - 1] = '\0';
    fixture->tag = (struct srv_pair_text){TEXT("place"), long_text};
    fixture->streams[1] =
        (struct srv_config_stream){.name = TEXT("yard"), .tags = {&fixture->tag, 1}};
    apply(fixture, 2);
}

/* Sources that are as before go on; the others stop, and new ones start. */
static void test_sources(void **state) {
    struct fixture *fixture = *state;
    atomic_store(&told_running, 0);
    name_retention(name_stream(fixture, TEXT("a"), fixture->clip), FRAG_RETAIN_FOREVER);
    (void)name_stream(fixture, TEXT("b"), fixture->clip);
    apply(fixture, 0);
    struct ing_source_status before = wait_for(fixture, "a", ING_SOURCE_RUNNING);
    (void)wait_for(fixture, "b", ING_SOURCE_RUNNING);
    while (atomic_load(&told_running) < 2) {
        const struct timespec slice = {.tv_nsec = KN_NS_PER_MS};
        (void)nanosleep(&slice, NULL);
    }
    struct entries entries = look_at_live(fixture);
    assert_int_equal(entries.count, 2);
    assert_string_equal(entries.last.protocol, "replay");
    assert_int_equal(entries.last.side, SRV_LIVE_PRODUCER);
    assert_non_null(strstr(entries.last.peer, "file:"));

    fixture->streams[1].source = NOWHERE;
    (void)name_stream(fixture, TEXT("c"), fixture->clip);
    apply(fixture, 0);
    (void)wait_for(fixture, "b", ING_SOURCE_WAITING);
    (void)wait_for(fixture, "c", ING_SOURCE_RUNNING);
    struct ing_source_status after = wait_for(fixture, "a", ING_SOURCE_RUNNING);
    assert_int_equal(after.since.ns, before.since.ns);
    assert_int_equal(after.starts, 1);
    do { /* what it counts since its entry began */
        srv_sources_tick(fixture->sources);
        entries = look_at_live(fixture);
    } while (entries.bytes == 0);

    fixture->config.stream_count = 1;
    apply(fixture, 0);
    struct ing_source_status status;
    assert_int_equal(srv_sources_status(fixture->sources, "c", &status), -ENOENT);
    assert_int_equal(look_at_live(fixture).count, 1);
    assert_non_null(frag_stream_find(fixture->world.store, "c"));
}

/* Deleted behind its back, it is made again by the next configuration. */
static void test_deleted_stream(void **state) {
    struct fixture *fixture = *state;
    (void)name_stream(fixture, TEXT("a"), fixture->clip);
    apply(fixture, 0);
    (void)wait_for(fixture, "a", ING_SOURCE_RUNNING);
    struct frag_stream *old = frag_stream_find(fixture->world.store, "a");
    assert_int_equal(frag_stream_delete(old, NULL), 0);
    (void)wait_for(fixture, "a", ING_SOURCE_STOPPED);
    apply(fixture, 0);
    (void)wait_for(fixture, "a", ING_SOURCE_RUNNING);
    assert_ptr_not_equal(frag_stream_find(fixture->world.store, "a"), old);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_streams),
        TEST(test_failures),
        TEST(test_sources),
        TEST(test_deleted_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
