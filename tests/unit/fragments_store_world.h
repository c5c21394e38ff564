/* For tests of whole stores: one in a temporary directory, a clock that stands still, a camera. */
#ifndef TESTS_UNIT_FRAGMENTS_STORE_WORLD_H
#define TESTS_UNIT_FRAGMENTS_STORE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "fragments/fragments.h"
#include "tests/support/camera.h"
#include "tests/support/fake_clock.h"

#define WORLD_START (INT64_C(1795209820) * KN_NS_PER_S) /* 2026-11-20 21:23:40 */

struct world {
    char folder[64];
    struct fake_clock clock;
    struct frag_store_config config;
    struct frag_store *store;
    struct frag_store_opening opening;
};

static inline void world_move_clock(struct kn_wall time, void *user) {
    struct world *world = user;
    int64_t now = atomic_load(&world->clock.wall_ns);
    if (time.ns > now) {
        fake_clock_advance(&world->clock, time.ns - now);
    }
}

static inline int world_setup(void **state) {
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    (void)snprintf(world->folder, sizeof(world->folder), "/tmp/kinora-store-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    fake_clock_init(&world->clock, WORLD_START, KN_NS_PER_S);
    world->config = frag_store_config_defaults();
    world->config.data = world->folder;
    world->config.threads = false;
    world->config.clock = &world->clock.clock;
    world->config.min_free_bytes = 0;
    world->config.seed = 20261120; /* reels change at a time that hangs on the stream's id */
    *state = world;
    return 0;
}

static inline int world_remove(const char *path, const struct stat *about, int type,
                               struct FTW *place) {
    (void)about;
    (void)type;
    (void)place;
    return remove(path);
}

static inline int world_teardown(void **state) {
    struct world *world = *state;
    frag_store_close(world->store);
    (void)nftw(world->folder, world_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(world);
    return 0;
}

static inline void world_open(struct world *world) {
    int rc = frag_store_open(&world->config, &world->store, &world->opening);
    if (rc != 0) {
        print_message("# %s: %s\n", world->opening.problem, kn_error_text(rc));
    }
    assert_int_equal(rc, 0);
}

static inline void world_close(struct world *world) {
    frag_store_close(world->store);
    world->store = NULL;
}

static inline void world_kill(struct world *world) {
    frag_store_abandon(world->store);
    world->store = NULL;
}

static inline struct frag_stream *world_stream(struct world *world, const char *name) {
    struct frag_stream *stream = frag_stream_find(world->store, name);
    if (stream == NULL) {
        struct frag_stream_settings settings = frag_stream_settings_defaults();
        settings.retention_ns = FRAG_RETAIN_FOREVER;
        assert_int_equal(frag_stream_create(world->store, name, &settings, NULL, 0, &stream), 0);
    }
    return stream;
}

static inline void world_camera(struct world *world, struct camera *camera, uint32_t seed) {
    camera_init(camera, seed, (struct kn_wall){atomic_load(&world->clock.wall_ns)});
    camera->advance = world_move_clock;
    camera->user = world;
}

/* One session of `count` pictures. */
static inline void world_record(struct world *world, const char *name, uint32_t seed,
                                unsigned count) {
    struct frag_stream *stream = world_stream(world, name);
    struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    struct camera camera;
    world_camera(world, &camera, seed);
    assert_int_equal(frag_writer_open(stream, &config, &writer), 0);
    camera_send(&camera, writer, count);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&camera);
}

/* Everything of a stream, by number; how many. */
static inline size_t world_list(struct world *world, const char *name, struct frag_entry *entries,
                                size_t max) {
    struct frag_archive *archive = NULL;
    struct frag_stream *stream = frag_stream_find(world->store, name);
    size_t count = 0;
    assert_non_null(stream);
    assert_int_equal(frag_archive_open(world->store, &archive), 0);
    for (;;) {
        uint64_t after = count > 0 ? entries[count - 1].number.sequence : 0;
        size_t room = max - count < 100 ? max - count : 100;
        int rc = room == 0
                     ? 0
                     : frag_archive_range(archive, stream, FRAG_CLOCK_SERVER,
                                          (struct kn_wall){INT64_MIN}, (struct kn_wall){INT64_MAX},
                                          after, entries + count, room);
        assert_true(rc >= 0);
        if (rc == 0) {
            break;
        }
        count += (size_t)rc;
    }
    frag_archive_close(archive);
    return count;
}

/* Loads every fragment of a stream and compares it; how many. */
static inline size_t world_check(struct world *world, const char *name) {
    static struct frag_entry entries[20000];
    size_t count = world_list(world, name, entries, KN_COUNT(entries));
    struct frag_archive *archive = NULL;
    assert_int_equal(frag_archive_open(world->store, &archive), 0);
    for (size_t i = 0; i < count; i++) {
        struct frag_loaded *loaded = NULL;
        uint32_t seed = 0;
        uint32_t first = 0;
        assert_int_equal(frag_archive_load(archive, &entries[i], &loaded), 0);
        const char *wrong = camera_check(loaded, &seed, &first);
        if (wrong != NULL) {
            print_message("# fragment %zu: %s\n", i, wrong);
        }
        assert_null(wrong);
        frag_loaded_free(loaded);
        if (i > 0) {
            assert_true(entries[i].number.sequence > entries[i - 1].number.sequence);
            assert_true(entries[i].ordinal > entries[i - 1].ordinal);
            assert_true(entries[i].discontinuities >= entries[i - 1].discontinuities);
        }
    }
    frag_archive_close(archive);
    return count;
}

#endif
