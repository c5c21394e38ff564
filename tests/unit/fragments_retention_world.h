/* For tests of retention: a store whose file operations can be watched and failed, and reels of ten
 * seconds each. */
#ifndef TESTS_UNIT_FRAGMENTS_RETENTION_WORLD_H
#define TESTS_UNIT_FRAGMENTS_RETENTION_WORLD_H

#include "base/error.h"
#include "fragments/store/retention.h"
#include "tests/unit/fragments_store_world.h"

#define HOUR_NS (3600 * KN_NS_PER_S)
#define DAY_NS (24 * HOUR_NS)
#define REEL_FRAGMENTS 5
#define REEL_NS (REEL_FRAGMENTS * 2 * KN_NS_PER_S)

/* The machine's files, with what a test wants of them. */
struct watched_io {
    struct frag_io io; /* first */
    uint64_t free_bytes;
    int fail_creates, fail_unlinks, fail_folder_syncs, fail_syncs; /* so many of the next */
    atomic_uint creates, unlinks;
    void (*on_create)(const char *path, void *user);
    void *user;
};

static struct watched_io watched;

static int watched_open(struct frag_io *io, const char *path, enum frag_io_mode mode) {
    struct frag_io *under = frag_io_system();
    (void)io;
    if (mode == FRAG_IO_CREATE && strstr(path, ".mkv") != NULL) {
        watched.creates++;
        if (watched.on_create != NULL) {
            watched.on_create(path, watched.user);
        }
        if (watched.fail_creates > 0) {
            watched.fail_creates--;
            return -ENOSPC;
        }
    }
    return under->open(under, path, mode);
}

static int watched_unlink(struct frag_io *io, const char *path) {
    struct frag_io *under = frag_io_system();
    (void)io;
    if (strstr(path, ".mkv") != NULL) {
        if (watched.fail_unlinks > 0) {
            watched.fail_unlinks--;
            return -EIO;
        }
        watched.unlinks++;
    }
    return under->unlink(under, path);
}

static int watched_sync(struct frag_io *io, int fd) {
    (void)io;
    (void)fd;
    if (watched.fail_syncs > 0) {
        watched.fail_syncs--;
        return -EIO;
    }
    return 0; /* nobody cuts the power here */
}

static int watched_sync_folder(struct frag_io *io, const char *path) {
    (void)io;
    if (watched.fail_folder_syncs > 0 && strstr(path, "/reels/") != NULL) {
        watched.fail_folder_syncs--;
        return -EIO;
    }
    return 0;
}

static int watched_space(struct frag_io *io, const char *path, uint64_t *ret_free,
                         uint64_t *ret_total) {
    (void)io;
    (void)path;
    *ret_free = watched.free_bytes;
    *ret_total = (uint64_t)1 << 40;
    return 0;
}

static inline int retention_setup(void **state) {
    int rc = world_setup(state);
    struct world *world = *state;
    watched = (struct watched_io){.io = *frag_io_system(), .free_bytes = (uint64_t)1 << 39};
    watched.io.open = watched_open;
    watched.io.unlink = watched_unlink;
    watched.io.sync = watched_sync;
    watched.io.sync_folder = watched_sync_folder;
    watched.io.space = watched_space;
    world->config.io = &watched.io;
    return rc;
}

static inline struct frag_stream *make_stream(struct world *world, const char *name,
                                              int64_t retention_ns, uint64_t retention_bytes) {
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_stream *stream = NULL;
    settings.retention_ns = retention_ns;
    settings.retention_bytes = retention_bytes;
    assert_int_equal(frag_stream_create(world->store, name, &settings, NULL, 0, &stream), 0);
    return stream;
}

/* One reel of ten seconds, which pass: five fragments of two. */
static inline void record_reel(struct world *world, const char *name, uint32_t seed) {
    struct kn_wall end = {atomic_load(&world->clock.wall_ns) + REEL_NS};
    world_record(world, name, seed, REEL_FRAGMENTS * 50);
    world_move_clock(end, world);
    assert_int_equal(frag_store_flush(world->store), 0);
}

/* `count` reels, each beginning an hour after the one before. */
static inline void record_reels(struct world *world, const char *name, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        record_reel(world, name, 100 + i);
        fake_clock_advance(&world->clock, HOUR_NS - REEL_NS);
    }
}

/* Time passes without anybody looking. */
static inline void advance(struct world *world, int64_t ns) {
    fake_clock_advance(&world->clock, ns);
}

static inline struct frag_stream_counters counters_of(struct world *world, const char *name) {
    struct frag_stream *stream = frag_stream_find(world->store, name);
    struct frag_stream_info *info = malloc(sizeof(*info));
    assert_non_null(stream);
    assert_non_null(info);
    assert_int_equal(frag_stream_describe(stream, info), 0);
    struct frag_stream_counters counters = info->counters;
    free(info);
    return counters;
}

static size_t files_found;

static inline int count_file(const char *path, const struct stat *about, int type,
                             struct FTW *place) {
    (void)about;
    (void)place;
    files_found += type == FTW_F && strstr(path, ".mkv") != NULL ? 1 : 0;
    return 0;
}

static inline size_t reel_files(const struct world *world) {
    files_found = 0;
    assert_int_equal(nftw(world->folder, count_file, 16, FTW_PHYS), 0);
    return files_found;
}

static size_t folders_found;

static inline int count_folder(const char *path, const struct stat *about, int type,
                               struct FTW *place) {
    (void)about;
    (void)place;
    folders_found += type == FTW_D && strstr(path, "/reels/") != NULL ? 1 : 0;
    return 0;
}

/* Below reels/. */
static inline size_t reel_folders(const struct world *world) {
    folders_found = 0;
    assert_int_equal(nftw(world->folder, count_folder, 16, FTW_PHYS), 0);
    return folders_found;
}

/* What the stream's counters say is what the index says, and each reel has its file. */
static inline void check_totals(struct world *world, const char *name, uint64_t reels,
                                uint64_t fragments) {
    struct frag_stream_counters counters = counters_of(world, name);
    assert_int_equal(counters.reels_on_disk, reels);
    assert_int_equal(counters.fragments_on_disk, fragments);
    struct frag_stream_counters before = counters;
    world_close(world);
    world_open(world);
    assert_int_equal(world->opening.recovered_reels, 0);
    assert_int_equal(world->opening.finished_deletions, 0);
    assert_int_equal(world->opening.lost_files, 0);
    counters = counters_of(world, name);
    assert_int_equal(counters.reels_on_disk, before.reels_on_disk);
    assert_int_equal(counters.bytes_on_disk, before.bytes_on_disk);
    assert_int_equal(counters.fragments_on_disk, before.fragments_on_disk);
}

#endif
