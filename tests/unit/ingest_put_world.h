/* A store without threads, and one PutMedia body into a stream of it. */
#ifndef TESTS_UNIT_INGEST_PUT_WORLD_H
#define TESTS_UNIT_INGEST_PUT_WORLD_H

#include <errno.h>
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

#include "base/error.h"
#include "ingest/ingest.h"
#include "tests/support/ebml_build.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/fake_clock.h"

/* 2026-11-21 */
#define PUT_NOW_NS (INT64_C(1795219200) * KN_NS_PER_S)
#define PUT_ACKS_MAX 4096

struct put_world {
    char folder[64];
    struct fake_clock clock;
    struct frag_store_config config;
    struct frag_store *store;
    struct frag_stream *stream;
    struct frag_archive *archive;
    struct ing_put *put;
    bool put_open; /* `closed` has not come */
    unsigned wakes;
    struct ing_ack acks[PUT_ACKS_MAX]; /* taken so far */
    size_t ack_count;
};

static inline void put_open_store(struct put_world *world) {
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    assert_int_equal(frag_store_open(&world->config, &world->store, NULL), 0);
    world->stream = frag_stream_find(world->store, "yard");
    if (world->stream == NULL) {
        assert_int_equal(
            frag_stream_create(world->store, "yard", &settings, NULL, 0, &world->stream), 0);
    }
    assert_int_equal(frag_archive_open(world->store, &world->archive), 0);
}

static inline void put_close_store(struct put_world *world) {
    frag_archive_close(world->archive);
    frag_store_close(world->store);
}

static inline int put_world_open(void **state) {
    static struct put_world world;
    const char *where = getenv("TMPDIR");
    world = (struct put_world){0};
    (void)snprintf(world.folder, sizeof(world.folder), "%.40s/put-XXXXXX",
                   where == NULL ? "/tmp" : where);
    assert_non_null(mkdtemp(world.folder));
    fake_clock_init(&world.clock, PUT_NOW_NS, KN_NS_PER_S);
    world.config = frag_store_config_defaults();
    world.config.data = world.folder;
    world.config.mode = FRAG_STORE_WRITE;
    world.config.clock = &world.clock.clock;
    world.config.min_free_bytes = 0;
    put_open_store(&world);
    *state = &world;
    return 0;
}

static inline int put_drop_entry(const char *path, const struct stat *status, int kind,
                                 struct FTW *where) {
    (void)status, (void)kind, (void)where;
    return remove(path);
}

static inline int put_world_close(void **state) {
    struct put_world *world = *state;
    fail_alloc_stop();
    ing_put_destroy(world->put);
    put_close_store(world);
    KN_ASSERT(!world->put_open);
    return nftw(world->folder, put_drop_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void put_handle_wake(void *user) {
    ((struct put_world *)user)->wakes++;
}

static inline void put_handle_closed(void *user) {
    struct put_world *world = user;
    assert_true(world->put_open);
    world->put_open = false;
}

static inline struct ing_put_config put_config(struct put_world *world) {
    return (struct ing_put_config){.stream = world->stream,
                                   .clock = &world->clock.clock,
                                   .wake = put_handle_wake,
                                   .closed = put_handle_closed,
                                   .user = world};
}

static inline void put_begin(struct put_world *world) {
    const struct ing_put_config config = put_config(world);
    assert_null(world->put);
    assert_int_equal(ing_put_create(&config, &world->put), 0);
    world->put_open = true;
    world->ack_count = 0;
}

static inline void put_take_acks(struct put_world *world) {
    while (world->ack_count < PUT_ACKS_MAX &&
           ing_put_next_ack(world->put, &world->acks[world->ack_count])) {
        world->ack_count++;
    }
}

/* As its thread does after a wake; whether bytes are taken. */
static inline bool put_turn(struct put_world *world) {
    bool takes = ing_put_turn(world->put);
    while (ing_put_wants_work(world->put)) {
        ing_put_work(world->put, world->archive);
        takes = ing_put_turn(world->put);
    }
    return takes;
}

/* All of it, in pieces of `cut`. */
static inline void put_push(struct put_world *world, const void *data, size_t size, size_t cut) {
    const uint8_t *at = data;
    while (size > 0) {
        size_t piece = size < cut ? size : cut;
        size_t taken = ing_put_push(world->put, at, piece);
        at += taken;
        size -= taken;
        if (taken < piece) {
            assert_int_equal(frag_store_flush(world->store), 0);
            put_take_acks(world);
            assert_true(put_turn(world));
        }
    }
}

/* Byte by byte, so that what happens at one is not seen later; large ones faster. */
static inline void put_text(struct put_world *world, const char *text) {
    struct ebml_document document;
    ebml_build(&document, text);
    put_push(world, document.data, document.size, document.size < 65536 ? 1 : 65536);
    ebml_free(&document);
}

/* Until it is over, which takes no time. */
static inline void put_settle(struct put_world *world) {
    for (int i = 0; i < 8 && !ing_put_is_over(world->put); i++) {
        (void)put_turn(world);
        (void)!frag_store_flush(world->store); /* the acks tell */
        put_take_acks(world);
    }
}

static inline void put_finish(struct put_world *world) {
    assert_true(ing_put_is_over(world->put));
    ing_put_destroy(world->put);
    world->put = NULL;
    assert_false(world->put_open);
}

static inline void put_whole(struct put_world *world, const char *text) {
    put_begin(world);
    put_text(world, text);
    ing_put_end(world->put, true);
    put_settle(world);
}

static inline size_t put_count(const struct put_world *world, enum ing_ack_kind kind) {
    size_t count = 0;
    for (size_t i = 0; i < world->ack_count; i++) {
        count += world->acks[i].kind == kind ? 1 : 0;
    }
    return count;
}

/* "B5 R5 P5 E4006": kinds with timecodes, or errors. */
static inline const char *put_acks_text(const struct put_world *world) {
    static char text[65536];
    static const char letters[] = "BRPEI";
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < world->ack_count && at + 64 < sizeof(text); i++) {
        const struct ing_ack *ack = &world->acks[i];
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%c", i > 0 ? " " : "",
                               letters[ack->kind]);
        if (ack->has_timecode) {
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%llu",
                                   (unsigned long long)ack->timecode);
        }
        if (ack->kind == ING_ACK_ERROR) {
            at += (size_t)snprintf(text + at, sizeof(text) - at, ":%d", (int)ack->error);
        }
    }
    return text;
}

/* The stream as it was at first: empty. */
static inline void put_renew_stream(struct put_world *world) {
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    assert_int_equal(frag_stream_delete(world->stream, NULL), 0);
    assert_int_equal(frag_stream_create(world->store, "yard", &settings, NULL, 0, &world->stream),
                     0);
}

static inline size_t put_stored(struct put_world *world, struct frag_entry *entries, size_t max) {
    int count =
        frag_archive_range(world->archive, world->stream, FRAG_CLOCK_SERVER, (struct kn_wall){0},
                           (struct kn_wall){INT64_MAX}, 0, entries, max);
    assert_true(count >= 0 || count == -ENOENT);
    return count < 0 ? 0 : (size_t)count;
}

/* ---- documents ---- */

#define PUT_HEAD                                                                                   \
    "EBML{DocType='matroska'} Segment:?{Info{Scale=1000000} "                                      \
    "Tracks{Entry{Number=1 Type=1 Codec='V_VP8'}} "
#define PUT_HEAD_2                                                                                 \
    "EBML{DocType='matroska'} Segment:?{Info{Scale=1000000} "                                      \
    "Tracks{Entry{Number=1 Type=1 Codec='V_VP8'} Entry{Number=2 Type=2 Codec='A_OPUS'}} "
/* Two pictures, a second apart; they are their time. */
#define PUT_PICTURES(text) "Simple<81 0000 80 '" text "'> Simple<81 03E8 00 '" text "'> "
#define PUT_CLUSTER(time) "Cluster:?{Time=" #time " " PUT_PICTURES(#time) "} "
#define PUT_CLUSTER_KNOWN(time) "Cluster{Time=" #time " " PUT_PICTURES(#time) "} "
#define PUT_TAG(name, value) "Tag{SimpleTag{TagName='" name "' TagString='" value "'}} "
#define PUT_EOFR "Tags{Tag{SimpleTag{TagName='AWS_KINESISVIDEO_END_OF_FRAGMENT' TagString=''}}} "

#endif
