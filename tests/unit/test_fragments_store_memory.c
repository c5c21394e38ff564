/* What bounds a store's memory, and what happens at the bounds: rings of live streams, loaded
 * fragments, what waits for a disk, what the tail keeps. */
#include "base/error.h"
#include "fragments/store/disk.h"
#include "tests/unit/fragments_store_world.h"

#define MIB ((size_t)1 << 20)

static struct frag_writer *open_writer(struct frag_stream *stream) {
    const struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    assert_int_equal(frag_writer_open(stream, &config, &writer), 0);
    return writer;
}

/* ---- live streams ---- */

static struct frag_stream *live_stream(struct world *world, const char *name) {
    const struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_stream *stream = NULL;
    assert_int_equal(frag_stream_create(world->store, name, &settings, NULL, 0, &stream), 0);
    return stream;
}

/* Each sample a fragment of so many bytes; all but the last are sealed. */
static void send_large(struct world *world, struct frag_stream *stream, struct frag_writer *writer,
                       size_t bytes, unsigned count) {
    struct camera camera;
    world_camera(world, &camera, 3);
    assert_int_equal(frag_writer_tracks(writer, camera.tracks), 0);
    for (unsigned i = 0; i < count; i++) {
        uint8_t *room = NULL;
        struct kn_buffer *buffer = NULL;
        assert_int_equal(kn_buffer_alloc(frag_stream_budget(stream), bytes, &room, &buffer), 0);
        memset(room, (int)i, bytes);
        const struct kn_sample sample = {.buffer = buffer,
                                         .data = buffer->data,
                                         .size = buffer->size,
                                         .pts_ns = i * 2 * KN_NS_PER_S,
                                         .duration_ns = KN_NS_PER_S,
                                         .flags = KN_SAMPLE_KEY};
        assert_int_equal(frag_writer_sample(writer, camera.start, &sample), 0);
        kn_buffer_unref(buffer);
    }
    camera_finish(&camera);
}

static size_t memory_used(struct world *world) {
    return frag_store_stats(world->store).memory_used;
}

static void a_deleted_stream_keeps_no_ring(void **state) {
    struct world *world = *state;
    world_open(world);
    struct frag_stream *stream = live_stream(world, "live");
    struct frag_writer *writer = open_writer(stream);
    send_large(world, stream, writer, MIB, 8);
    assert_true(memory_used(world) >= 8 * MIB);
    assert_int_equal(frag_stream_delete(stream, NULL), 0);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    assert_int_equal(memory_used(world), 0);
    assert_int_equal(atomic_load(&world->store->ring_bytes), 0);
    assert_int_equal(atomic_load(&world->store->rings), 0);
}

static void a_stream_that_is_recorded_keeps_no_ring(void **state) {
    struct world *world = *state;
    world_open(world);
    struct frag_stream *stream = live_stream(world, "live");
    struct frag_writer *writer = open_writer(stream);
    send_large(world, stream, writer, MIB, 8);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    assert_true(memory_used(world) >= 8 * MIB);
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    assert_int_equal(frag_stream_update(stream, NULL, &settings), 0);
    assert_int_equal(memory_used(world), 0);
    assert_int_equal(atomic_load(&world->store->rings), 0);
}

/* An eighth of the memory for all of them; whoever was first makes room for those after. */
static void rings_share_one_bound(void **state) {
    struct world *world = *state;
    struct frag_stream *streams[4];
    struct frag_writer *writers[4];
    world->config.memory_bytes = 128 * MIB;
    world_open(world);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 4; i++) {
            const char name[] = {'l', (char)('0' + i), '\0'};
            streams[i] = round == 0 ? live_stream(world, name) : streams[i];
            writers[i] = open_writer(streams[i]);
            send_large(world, streams[i], writers[i], MIB, 40);
            frag_writer_close(writers[i], FRAG_GAP_PRODUCER_AWAY);
            assert_true(memory_used(world) <= 16 * MIB);
            assert_true(streams[i]->ring_count >= 3);
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_true(streams[i]->ring_count >= 3); /* a write weighs one byte more than 1 MiB */
    }
}

struct live {
    struct world *world;
    struct frag_stream *stream;
    pthread_t thread;
};

static void *send_live(void *user) {
    struct live *live = user;
    for (unsigned i = 0; i < 5; i++) {
        struct frag_writer *writer = open_writer(live->stream);
        send_large(live->world, live->stream, writer, MIB, 20);
        frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    }
    return NULL;
}

/* The same from threads of their own; one of the streams is deleted in between. */
static void rings_of_many_threads(void **state) {
    struct world *world = *state;
    struct live live[4];
    size_t total = 0;
    size_t rings = 0;
    world->config.memory_bytes = 128 * MIB;
    world->config.threads = true;
    world_open(world);
    struct frag_stream *gone = live_stream(world, "gone");
    struct frag_writer *writer = open_writer(gone);
    send_large(world, gone, writer, MIB, 14);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    for (unsigned i = 0; i < KN_COUNT(live); i++) {
        const char name[] = {'l', (char)('0' + i), '\0'};
        live[i] = (struct live){.world = world, .stream = live_stream(world, name)};
    }
    for (unsigned i = 0; i < KN_COUNT(live); i++) {
        assert_int_equal(pthread_create(&live[i].thread, NULL, send_live, &live[i]), 0);
    }
    assert_int_equal(frag_stream_delete(gone, NULL), 0);
    for (unsigned i = 0; i < KN_COUNT(live); i++) {
        assert_int_equal(pthread_join(live[i].thread, NULL), 0);
    }
    for (unsigned i = 0; i < KN_COUNT(live); i++) {
        total += live[i].stream->ring_total;
        rings += live[i].stream->ring_count > 0 ? 1 : 0;
    }
    assert_int_equal(gone->ring_count, 0);
    assert_int_equal(atomic_load(&world->store->ring_bytes), total);
    assert_int_equal(atomic_load(&world->store->rings), rings);
    assert_true(rings > 0);
    assert_true(memory_used(world) <= 16 * MIB);
    assert_true(memory_used(world) + KN_COUNT(live) * FRAG_RING_FRAGMENTS >= total);
}

/* A fragment for which rings have no room at all goes by, and nothing of it stays. */
static void a_fragment_too_large_for_any_ring(void **state) {
    struct world *world = *state;
    world->config.memory_bytes = 32 * MIB;
    world_open(world);
    struct frag_stream *stream = live_stream(world, "live");
    struct frag_writer *writer = open_writer(stream);
    send_large(world, stream, writer, 5 * MIB, 3);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    assert_int_equal(frag_store_stats(world->store).appended, 3);
    assert_int_equal(memory_used(world), 0);
}

/* ---- loaded fragments ---- */

static void viewers_leave_recording_its_memory(void **state) {
    struct world *world = *state;
    static struct frag_loaded *loaded[200];
    struct frag_entry entries[4];
    struct frag_archive *archive = NULL;
    size_t count = 0;
    int rc = 0;
    world->config.memory_bytes = 64 * MIB;
    world_open(world);
    struct frag_writer *writer = open_writer(world_stream(world, "door"));
    send_large(world, world_stream(world, "door"), writer, MIB, 4);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_list(world, "door", entries, KN_COUNT(entries)), 4);
    assert_int_equal(frag_archive_open(world->store, &archive), 0);
    while (rc == 0 && count < KN_COUNT(loaded)) {
        rc = frag_archive_load(archive, &entries[count % 4], &loaded[count]);
        count += rc == 0 ? 1 : 0;
    }
    assert_int_equal(rc, KN_E_MEMORY_LIMIT);
    assert_in_range(count, 24, 32);
    assert_int_equal(memory_used(world), 0);
    while (count > 0) {
        frag_loaded_free(loaded[--count]);
    }
    assert_int_equal(frag_archive_load(archive, &entries[0], &loaded[0]), 0);
    frag_loaded_free(loaded[0]);
    frag_archive_close(archive);
}

/* ---- a disk that is behind ---- */

/* From here on fragments wait as for a thread that does not come to them. */
static void let_wait(struct world *world) {
    world->store->threads = true;
}

static void work_off(struct world *world) {
    world->store->threads = false;
    assert_int_equal(frag_store_flush(world->store), 0);
}

/* One cluster, again and again: what waits shares its bytes. */
struct large {
    struct kn_tracks *tracks;
    struct kn_buffer *buffer;
    struct kn_sample sample;
    struct frag_mkv_fragment fragment;
    struct frag_received received;
};

static void make_large(struct large *large, struct camera *camera, size_t bytes) {
    uint8_t *room = NULL;
    memset(large, 0, sizeof(*large));
    assert_int_equal(kn_buffer_alloc(NULL, bytes, &room, &large->buffer), 0);
    memset(room, 7, bytes);
    large->tracks = camera->tracks;
    large->sample = (struct kn_sample){.buffer = large->buffer,
                                       .data = large->buffer->data + 12,
                                       .size = bytes - 12,
                                       .duration_ns = KN_NS_PER_S,
                                       .flags = KN_SAMPLE_KEY};
    large->fragment =
        (struct frag_mkv_fragment){.cluster = {.header_bytes = 12, .size = bytes - 12},
                                   .timecode = (uint64_t)(WORLD_START / KN_NS_PER_MS),
                                   .time_ns = WORLD_START,
                                   .tracks = large->tracks,
                                   .bytes = large->buffer,
                                   .samples = &large->sample,
                                   .sample_count = 1};
    large->received =
        (struct frag_received){.fragment = &large->fragment, .duration_ns = KN_NS_PER_S};
}

/* 256 MiB may wait: six of 40. Of the seventh nobody has heard. */
static void a_producer_waits_where_the_disk_has_no_room(void **state) {
    struct world *world = *state;
    struct camera camera;
    struct large large;
    world_open(world);
    world_camera(world, &camera, 1);
    make_large(&large, &camera, 40 * MIB);
    struct frag_stream *stream = world_stream(world, "door");
    struct frag_writer *writer = open_writer(stream);
    let_wait(world);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(frag_writer_received(writer, &large.received), 0);
    }
    uint64_t sealed = stream->last_sealed_sequence;
    assert_int_equal(frag_writer_received(writer, &large.received), -EAGAIN);
    assert_int_equal(frag_writer_received(writer, &large.received), -EAGAIN);
    assert_int_equal(stream->last_sealed_sequence, sealed);
    assert_int_equal(stream->unfinished, 6);
    assert_int_equal(stream->counters.failed, 0);
    assert_int_equal(stream->note_count, 0);
    frag_writer_abort(writer, FRAG_GAP_CRASH);
    world_kill(world);
    kn_buffer_unref(large.buffer);
    camera_finish(&camera);
}

/* It would not be read back, and waiting for room would not help it. */
static void a_cluster_too_large_is_refused(void **state) {
    struct world *world = *state;
    struct camera camera;
    struct large large;
    world_open(world);
    world_camera(world, &camera, 1);
    make_large(&large, &camera, FRAG_CLUSTER_MAX_BYTES + 1);
    large.sample.size = 1000; /* the rest of it is something else */
    struct frag_writer *writer = open_writer(world_stream(world, "door"));
    assert_int_equal(frag_writer_received(writer, &large.received), KN_E_LIMIT);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    kn_buffer_unref(large.buffer);
    camera_finish(&camera);
}

static void send_shared(struct frag_writer *writer, const struct camera *camera,
                        const struct large *large, unsigned first, unsigned count) {
    assert_int_equal(frag_writer_tracks(writer, camera->tracks), 0);
    for (unsigned i = first; i < first + count; i++) {
        struct kn_sample sample = large->sample;
        sample.pts_ns = i * 2 * KN_NS_PER_S;
        assert_int_equal(frag_writer_sample(writer, camera->start, &sample), 0);
    }
}

/* Of samples the fragment goes, before anybody heard that it is complete, and a gap says so. */
static void samples_are_dropped_where_the_disk_has_no_room(void **state) {
    struct world *world = *state;
    struct camera camera;
    struct large large;
    world_open(world);
    world_camera(world, &camera, 1);
    make_large(&large, &camera, 40 * MIB);
    struct frag_stream *stream = world_stream(world, "door");
    struct frag_writer *writer = open_writer(stream);
    let_wait(world);
    send_shared(writer, &camera, &large, 0, 7);
    frag_writer_cut(writer);
    assert_int_equal(stream->unfinished, 6);
    assert_int_equal(stream->counters.failed, 0);
    assert_int_equal(stream->note_count, 1);
    assert_int_equal(stream->notes[0].gap.gap.cause, FRAG_GAP_SLOW_DISK);
    assert_int_equal(stream->notes[0].gap.gap.from.ns, stream->last_end.ns);
    assert_int_equal(stream->notes[0].gap.ordinals, 0);
    assert_true(stream->discontinuity);
    frag_writer_abort(writer, FRAG_GAP_CRASH);
    world_kill(world);
    kn_buffer_unref(large.buffer);
    camera_finish(&camera);
}

/* Without threads it never comes to that: 64 MiB, and the writer works them off. */
static void without_threads_weight_is_worked_off(void **state) {
    struct world *world = *state;
    struct camera camera;
    struct large large;
    world_open(world);
    world_camera(world, &camera, 1);
    make_large(&large, &camera, 33 * MIB);
    struct frag_writer *writer = open_writer(world_stream(world, "door"));
    send_shared(writer, &camera, &large, 0, 2); /* one is sealed */
    assert_int_equal(frag_disk_waiting(world->store->folders[0].disk), 1);
    frag_writer_cut(writer);
    assert_int_equal(frag_disk_waiting(world->store->folders[0].disk), 0);
    assert_int_equal(frag_store_stats(world->store).appended, 2);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    kn_buffer_unref(large.buffer);
    camera_finish(&camera);
}

struct seen_gap {
    struct frag_gap_entry gap;
    unsigned count;
};

static int see_gap(const struct frag_gap_entry *gap, void *user) {
    struct seen_gap *seen = user;
    seen->gap = *gap;
    seen->count++;
    return 0;
}

/* It was published, and then the disk would not have it: the gap is the fragment's. */
static void a_fragment_refused_behind_its_publication(void **state) {
    struct world *world = *state;
    struct camera camera;
    struct seen_gap seen = {0};
    world_open(world);
    struct frag_stream *stream = world_stream(world, "door");
    struct frag_writer *writer = open_writer(stream);
    world_camera(world, &camera, 1);
    camera_send(&camera, writer, 60); /* the first fragment is sealed; the other lasts 0.4 s */
    assert_int_equal(frag_store_flush(world->store), 0);
    int64_t begun_ns = WORLD_START + 50 * CAMERA_FRAME_NS;
    frag_disk_stop(world->store->folders[0].disk, false);
    frag_writer_cut(writer);
    assert_int_equal(frag_gap_each(stream, (struct kn_wall){INT64_MIN}, (struct kn_wall){INT64_MAX},
                                   see_gap, &seen),
                     0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.gap.gap.cause, FRAG_GAP_SLOW_DISK);
    assert_int_equal(seen.gap.gap.from.ns, begun_ns);
    assert_int_equal(seen.gap.ordinal, 1);
    assert_int_equal(seen.gap.ordinals, 1);
    frag_writer_abort(writer, FRAG_GAP_CRASH);
    world_kill(world);
    camera_finish(&camera);
}

/* ---- a tail that is full ---- */

#define TAIL_FRAGMENTS 128

/* One that had to wait follows the one before it: nothing is missing. */
static void a_fragment_that_waited_has_no_discontinuity(void **state) {
    struct world *world = *state;
    static struct frag_entry entries[TAIL_FRAGMENTS + 1];
    struct camera camera;
    struct large small;
    world_open(world);
    world_camera(world, &camera, 1);
    make_large(&small, &camera, 1000);
    struct frag_writer *writer = open_writer(world_stream(world, "door"));
    let_wait(world);
    for (unsigned i = 0; i < TAIL_FRAGMENTS; i++) {
        assert_int_equal(frag_writer_received(writer, &small.received), 0);
    }
    assert_int_equal(frag_writer_received(writer, &small.received), -EAGAIN);
    work_off(world);
    assert_int_equal(frag_writer_received(writer, &small.received), 0);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_list(world, "door", entries, KN_COUNT(entries)), KN_COUNT(entries));
    assert_int_equal(entries[TAIL_FRAGMENTS].flags & FRAG_DISCONTINUITY, 0);
    assert_int_equal(entries[TAIL_FRAGMENTS].discontinuities, 0);
    kn_buffer_unref(small.buffer);
    camera_finish(&camera);
}

/* Its producer gives up instead; whoever records on says that something is missing. */
static void a_fragment_given_up_is_a_discontinuity(void **state) {
    struct world *world = *state;
    static struct frag_entry entries[TAIL_FRAGMENTS + 1];
    struct camera camera;
    struct large small;
    world_open(world);
    world_camera(world, &camera, 1);
    make_large(&small, &camera, 1000);
    struct frag_stream *stream = world_stream(world, "door");
    struct frag_writer *writer = open_writer(stream);
    struct frag_writer *other = open_writer(stream);
    let_wait(world);
    for (unsigned i = 0; i < TAIL_FRAGMENTS; i++) {
        assert_int_equal(frag_writer_received(writer, &small.received), 0);
    }
    assert_int_equal(frag_writer_received(writer, &small.received), -EAGAIN);
    frag_writer_abort(writer, FRAG_GAP_PRODUCER_AWAY);
    work_off(world);
    assert_int_equal(frag_writer_received(other, &small.received), 0);
    frag_writer_close(other, FRAG_GAP_PRODUCER_AWAY);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_list(world, "door", entries, KN_COUNT(entries)), KN_COUNT(entries));
    assert_int_not_equal(entries[TAIL_FRAGMENTS].flags & FRAG_DISCONTINUITY, 0);
    kn_buffer_unref(small.buffer);
    camera_finish(&camera);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_deleted_stream_keeps_no_ring),
        TEST(a_stream_that_is_recorded_keeps_no_ring),
        TEST(rings_share_one_bound),
        TEST(rings_of_many_threads),
        TEST(a_fragment_too_large_for_any_ring),
        TEST(viewers_leave_recording_its_memory),
        TEST(a_producer_waits_where_the_disk_has_no_room),
        TEST(a_cluster_too_large_is_refused),
        TEST(samples_are_dropped_where_the_disk_has_no_room),
        TEST(without_threads_weight_is_worked_off),
        TEST(a_fragment_refused_behind_its_publication),
        TEST(a_fragment_that_waited_has_no_discontinuity),
        TEST(a_fragment_given_up_is_a_discontinuity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
