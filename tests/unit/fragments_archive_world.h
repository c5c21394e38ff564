/* A store made by hand in a temporary directory: one storage directory, one stream, an index with
 * its writer, reels of sample clips. What an archive reads of a store, and nothing else of it.
 *
 *     struct archive_world world;
 *     archive_world_init(&world);
 *     archive_world_record(&world, &config, &session);
 *     ... frag_archive_open(&world.store, ...) ...
 *     archive_session_finish(&session); archive_world_finish(&world);
 *
 * What cannot be done fails the test. */
#ifndef TESTS_UNIT_FRAGMENTS_ARCHIVE_WORLD_H
#define TESTS_UNIT_FRAGMENTS_ARCHIVE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ftw.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/store/engine.h"
#include "fragments/store/reel.h"
#include "tests/support/fake_clock.h"

#define WORLD_START_NS INT64_C(1795209820123456000)
#define WORLD_STEP_NS (2 * KN_NS_PER_S)
#define WORLD_BUDGET ((size_t)256 << 20)
#define SESSION_ROWS 64

/* Nothing here is about power cuts: quicker without. */
int fdatasync(int fd) {
    (void)fd;
    return 0;
}

int fsync(int fd) {
    (void)fd;
    return 0;
}

/* The machine's table, which counts files. */
struct counting_io {
    struct frag_io io;
    void (*before_open)(void); /* once; NULL: nothing happens in between */
    atomic_int open_files, openings;
};

struct archive_world {
    char folder[256];
    char index_path[300];
    struct counting_io io;
    struct fake_clock clock;
    struct frag_store store;
    struct frag_stream stream;
    struct frag_index *index; /* the writer's */
    uint64_t sequence;        /* of the newest fragment */
    int64_t server_ns;
    uint32_t reels;
};

static int counting_open(struct frag_io *io, const char *path, enum frag_io_mode mode) {
    struct counting_io *counting = (struct counting_io *)io;
    void (*before_open)(void) = counting->before_open;
    if (before_open != NULL) {
        counting->before_open = NULL;
        before_open();
    }
    int fd = frag_io_system()->open(io, path, mode);
    counting->open_files += fd >= 0;
    counting->openings += fd >= 0;
    return fd;
}

static int counting_close(struct frag_io *io, int fd) {
    ((struct counting_io *)io)->open_files--;
    return frag_io_system()->close(io, fd);
}

static inline void archive_world_init(struct archive_world *world) {
    const char *place = getenv("TMPDIR");
    memset(world, 0, sizeof(*world));
    (void)snprintf(world->folder, sizeof(world->folder), "%s/test_archive.XXXXXX",
                   place != NULL && place[0] != '\0' ? place : "/tmp");
    assert_non_null(mkdtemp(world->folder));
    (void)snprintf(world->index_path, sizeof(world->index_path), "%s/index.db", world->folder);
    world->io.io = *frag_io_system();
    world->io.io.open = counting_open;
    world->io.io.close = counting_close;
    world->server_ns = WORLD_START_NS;
    world->sequence = UINT64_C(7) << 32;
    fake_clock_init(&world->clock, WORLD_START_NS + 3600 * KN_NS_PER_S, 0);
    struct frag_store *store = &world->store;
    store->data = world->folder;
    store->mode = FRAG_STORE_READ;
    store->io = &world->io.io;
    store->clock = &world->clock.clock;
    store->index_path = world->index_path;
    store->folder_count = 1;
    store->folders[0] =
        (struct frag_folder){.store = store, .number = 3, .path = world->folder, .online = true};
    assert_int_equal(kn_budget_create(WORLD_BUDGET, NULL, &store->reading), 0);
    struct frag_stream *stream = &world->stream;
    stream->store = store;
    memset(stream->id, 0x2a, FRAG_ID_BYTES);
    (void)snprintf(stream->name, sizeof(stream->name), "gate");
    stream->settings.retention_ns = FRAG_RETAIN_FOREVER;
    assert_int_equal(pthread_mutex_init(&stream->lock, NULL), 0);
    assert_int_equal(frag_index_open(world->index_path, FRAG_INDEX_WRITE, &world->index), 0);
}

static inline int remove_one(const char *path, const struct stat *info, int kind,
                             struct FTW *place) {
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static inline void archive_world_finish(struct archive_world *world) {
    frag_index_close(world->index);
    assert_int_equal(world->io.open_files, 0);
    assert_int_equal(kn_budget_used(world->store.reading), 0);
    kn_budget_unref(world->store.reading);
    (void)pthread_mutex_destroy(&world->stream.lock);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread is left */
    assert_int_equal(nftw(world->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* What began at `server_ns` or later is seen. */
static inline void archive_world_see_from(struct archive_world *world, int64_t server_ns) {
    int64_t now_ns = world->clock.clock.wall(&world->clock.clock).ns;
    world->stream.settings.retention_ns = now_ns - server_ns;
    assert_true(world->stream.settings.retention_ns > 0);
}

/* ---- recording ---- */

struct archive_session_config {
    const uint8_t *clip;
    size_t size;
    size_t fragments;    /* 0: all */
    uint16_t flags;      /* enum frag_reel_flags */
    int64_t producer_ns; /* with FRAG_REEL_RELATIVE: the producer's start */
    int64_t later_ns;    /* added to the producer time of its fragments */
    bool header, around, close;
};

/* A reel as it was recorded. */
struct archive_session {
    struct archive_world *world;
    const struct archive_session_config *config;
    struct frag_reel_identity identity;
    struct frag_reel *reel; /* NULL: closed */
    int64_t row;            /* of the index */
    char path[FRAG_REEL_PATH_BYTES];
    struct frag_reel_row rows[SESSION_ROWS];
    size_t count;
    struct kn_tracks *tracks; /* as received */
    uint64_t scale_ns;
    uint64_t header_bytes;
};

static inline void session_fill_identity(struct archive_session *session) {
    struct archive_world *world = session->world;
    const struct archive_session_config *config = session->config;
    session->identity = (struct frag_reel_identity){
        .flags = config->flags,
        .epoch = 7,
        .opened = {world->server_ns},
        .producer_start = {(config->flags & FRAG_REEL_RELATIVE) != 0 ? config->producer_ns : 0},
        .timecode_scale_ns = session->scale_ns,
        .number_low = 0x0ABCDEF,
        .producer_header_bytes = config->header ? (uint32_t)session->header_bytes : 0,
    };
    world->reels++;
    for (uint8_t i = 0; i < FRAG_ID_BYTES; i++) {
        session->identity.reel_id[i] = (uint8_t)(world->reels >> (i % 4 * 8));
    }
    memcpy(session->identity.stream_id, world->stream.id, FRAG_ID_BYTES);
}

/* File and row of a new reel without fragments. */
static inline void archive_session_begin(struct archive_session *session) {
    struct archive_world *world = session->world;
    session_fill_identity(session);
    const struct frag_reel_config config = {
        .io = &world->io.io,
        .folder = world->folder,
        .identity = session->identity,
        .stream_name = world->stream.name,
        .tracks = session->tracks,
        .producer_header = session->config->clip,
    };
    assert_int_equal(frag_reel_create(&config, &session->reel), 0);
    (void)snprintf(session->path, sizeof(session->path), "%s", frag_reel_path(session->reel));
    const struct frag_index_reel reel = {.identity = session->identity,
                                         .folder = 3,
                                         .path = session->path,
                                         .bytes = frag_reel_bytes(session->reel)};
    assert_int_equal(frag_index_begin(world->index), 0);
    assert_int_equal(frag_index_add_reel(world->index, &reel, &session->row), 0);
    assert_int_equal(frag_index_commit(world->index, false), 0);
}

/* Appends `cluster`, and the row to file and index. */
static inline void archive_session_add(struct archive_session *session, const uint8_t *cluster,
                                       size_t cluster_bytes, int64_t producer_ns,
                                       const uint8_t *around) {
    struct archive_world *world = session->world;
    struct frag_reel_row *row = &session->rows[session->count];
    const struct iovec slice = {.iov_base = (void *)(uintptr_t)cluster, .iov_len = cluster_bytes};
    assert_true(session->count < SESSION_ROWS);
    world->sequence++;
    *row = (struct frag_reel_row){
        .number = {.sequence = world->sequence,
                   .server_ms = (uint64_t)(world->server_ns / KN_NS_PER_MS),
                   .low = session->identity.number_low},
        .ordinal = world->sequence & 0xffffffffu,
        .producer = {producer_ns},
        .server = {world->server_ns},
        .duration_ns = WORLD_STEP_NS,
        .frames = 1,
        .received_width = 8,
        .received_unknown = 1,
        .before_bytes = around != NULL ? 4 : 0,
        .after_bytes = around != NULL ? 2 : 0,
    };
    world->server_ns += WORLD_STEP_NS;
    assert_int_equal(frag_reel_append(session->reel, row, &slice, 1, cluster_bytes, around,
                                      around != NULL ? around + 4 : NULL),
                     0);
    assert_int_equal(frag_reel_sync(session->reel), 0);
    assert_int_equal(frag_index_begin(world->index), 0);
    assert_int_equal(frag_index_add_fragment(world->index, session->row, row), 0);
    assert_int_equal(frag_index_commit(world->index, false), 0);
    session->count++;
}

/* The cluster with our size field; free() it. */
static inline uint8_t *session_cluster(const struct frag_mkv_fragment *fragment,
                                       size_t *ret_bytes) {
    struct kn_writer writer;
    size_t head = fragment->cluster.header_bytes;
    kn_writer_init_growing(&writer, FRAG_CLUSTER_MAX_BYTES);
    kn_write_be32(&writer, FRAG_MKV_CLUSTER);
    kn_write_be64(&writer, (uint64_t)(fragment->bytes->size - head) | UINT64_C(1) << 56);
    kn_write_bytes(&writer, fragment->bytes->data + head, fragment->bytes->size - head);
    assert_int_equal(kn_writer_status(&writer), 0);
    return kn_writer_take(&writer, ret_bytes);
}

static int session_info(const struct frag_mkv_info *info, void *user) {
    ((struct archive_session *)user)->scale_ns = info->timecode_scale_ns;
    return 0;
}

static int session_tracks(struct kn_tracks *tracks, void *user) {
    ((struct archive_session *)user)->tracks = kn_tracks_ref(tracks);
    return 0;
}

static int session_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    static const uint8_t around[] = {0xEC, 0x82, 'h', 'i', 0xEC, 0x80};
    struct archive_session *session = user;
    const struct archive_session_config *config = session->config;
    if (config->fragments != 0 && session->count == config->fragments) {
        return 0;
    }
    if (session->count == 0) {
        session->header_bytes = fragment->cluster.offset;
        archive_session_begin(session);
    }
    size_t bytes = 0;
    uint8_t *cluster = session_cluster(fragment, &bytes);
    archive_session_add(session, cluster, bytes,
                        fragment->time_ns + session->identity.producer_start.ns + config->later_ns,
                        config->around && session->count == 0 ? around : NULL);
    free(cluster);
    return 0;
}

static inline void archive_session_close(struct archive_session *session) {
    struct frag_index *index = session->world->index;
    uint64_t bytes = 0;
    assert_int_equal(frag_reel_close(session->reel, &bytes), 0);
    session->reel = NULL;
    assert_int_equal(frag_index_begin(index), 0);
    assert_int_equal(frag_index_close_reel(index, session->row, bytes), 0);
    assert_int_equal(frag_index_commit(index, false), 0);
}

/* Stores the clip's clusters as they came, as PutMedia would. */
static inline void archive_world_record(struct archive_world *world,
                                        const struct archive_session_config *config,
                                        struct archive_session *ret_session) {
    static const struct frag_mkv_reader_handler handler = {
        .info = session_info, .tracks = session_tracks, .fragment = session_fragment};
    *ret_session = (struct archive_session){
        .world = world, .config = config, .scale_ns = FRAG_MKV_DEFAULT_SCALE_NS};
    const struct frag_mkv_reader_config reader_config = {.handler = &handler, .user = ret_session};
    struct frag_mkv_reader *reader = NULL;
    assert_int_equal(frag_mkv_reader_create(&reader_config, &reader), 0);
    /* A clip that is cut short gives what it has. */
    (void)!frag_mkv_reader_push(reader, config->clip, config->size);
    (void)!frag_mkv_reader_finish(reader);
    frag_mkv_reader_destroy(reader);
    assert_true(ret_session->count > 0);
    if (config->close) {
        archive_session_close(ret_session);
    }
}

static inline void archive_session_finish(struct archive_session *session) {
    frag_reel_abandon(session->reel);
    kn_tracks_unref(session->tracks);
}

static inline void archive_world_mark(struct archive_world *world, int64_t row) {
    assert_int_equal(frag_index_begin(world->index), 0);
    assert_int_equal(frag_index_mark_deleting(world->index, row), 0);
    assert_int_equal(frag_index_commit(world->index, true), 0);
}

static inline void archive_world_drop(struct archive_world *world, int64_t row) {
    assert_int_equal(frag_index_begin(world->index), 0);
    assert_int_equal(frag_index_drop_reel(world->index, row), 0);
    assert_int_equal(frag_index_commit(world->index, false), 0);
}

#endif
