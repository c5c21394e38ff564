/* Sessions: clusters as received, two at once, reels that end and begin, the tail, other versions.
 */
#include "base/error.h"
#include "base/loop.h"
#include "fragments/store/values.h"
#include "tests/support/sample_media.h"
#include "tests/unit/fragments_store_world.h"

/* ---- as received ---- */

struct received {
    struct frag_writer *writer;
    struct frag_stream *stream;
    struct kn_buffer *clusters[128];
    size_t heads[128], count;
    uint64_t timecodes[128];
    unsigned durable;
};

static void count_durable(const struct frag_ack *ack, void *user) {
    struct received *received = user;
    if (ack->kind == FRAG_ACK_DURABLE) {
        assert_int_equal(ack->timecode, received->timecodes[received->durable]);
        received->durable++;
    }
    assert_int_not_equal(ack->kind, FRAG_ACK_FAILED);
}

static int take_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct received *received = user;
    static const uint8_t before[] = {0xEC, 0x81, 0x00};
    assert_true(received->count < KN_COUNT(received->clusters));
    received->clusters[received->count] = kn_buffer_ref(fragment->bytes);
    received->heads[received->count] = fragment->cluster.header_bytes;
    received->timecodes[received->count] = fragment->timecode;
    received->count++;
    const struct frag_received submit = {
        .fragment = fragment,
        .duration_ns = KN_NS_PER_S,
        .before = before,
        .before_bytes = received->count % 2 == 0 ? 3 : 0,
        .server = {WORLD_START + (int64_t)received->count * KN_NS_PER_S}};
    return frag_writer_received(received->writer, &submit);
}

static void receive(struct world *world, const char *clip, struct received *received) {
    static const struct frag_mkv_reader_handler handler = {.fragment = take_fragment};
    static const uint8_t header[] = "what came first";
    size_t size = 0;
    uint8_t *bytes = sample_load(clip, &size);
    const struct frag_mkv_reader_config config = {.handler = &handler, .user = received};
    const struct frag_writer_config writer = {.header = header,
                                              .header_bytes = sizeof(header),
                                              .relative = true,
                                              .producer_start = {WORLD_START},
                                              .handle_ack = count_durable,
                                              .user = received};
    struct frag_mkv_reader *reader = NULL;
    received->stream = world_stream(world, clip);
    assert_int_equal(frag_writer_open(received->stream, &writer, &received->writer), 0);
    assert_int_equal(frag_mkv_reader_create(&config, &reader), 0);
    assert_int_equal(frag_mkv_reader_push(reader, bytes, size), 0);
    frag_mkv_reader_destroy(reader);
    frag_writer_close(received->writer, FRAG_GAP_PRODUCER_AWAY);
    free(bytes);
}

static void check_received(struct world *world, const struct received *received) {
    static struct frag_entry entries[128];
    struct frag_archive *archive = NULL;
    size_t count = world_list(world, frag_stream_name(received->stream), entries, 128);
    assert_int_equal(count, received->count);
    assert_int_equal(received->durable, received->count);
    assert_int_equal(frag_archive_open(world->store, &archive), 0);
    for (size_t i = 0; i < count; i++) {
        struct frag_loaded *loaded = NULL;
        const struct kn_buffer *sent = received->clusters[i];
        size_t body = sent->size - received->heads[i];
        assert_int_equal(frag_archive_load(archive, &entries[i], &loaded), 0);
        assert_int_equal(loaded->cluster_bytes, body + 12);
        assert_memory_equal(loaded->cluster + 12, sent->data + received->heads[i], body);
        assert_int_equal(loaded->before_bytes, i % 2 == 1 ? 3 : 0);
        assert_int_equal(loaded->received_width, received->heads[i] - 4);
        frag_loaded_free(loaded);
    }
    uint8_t *header = NULL;
    size_t header_bytes = 0;
    assert_int_equal(frag_archive_load_header(archive, &entries[0], &header, &header_bytes), 0);
    assert_int_equal(header_bytes, sizeof("what came first"));
    assert_string_equal((const char *)header, "what came first");
    free(header);
    frag_archive_close(archive);
}

static void clusters_are_kept_as_they_came(void **state) {
    struct world *world = *state;
    static const char *const clips[] = {"box.mkv",        "aws-sdk.mkv", "annexb.mkv",
                                        "vp8-opus.webm",  "laced.mkv",   "h265-bframes.mkv",
                                        "annexb-bare.mkv"};
    world_open(world);
    for (size_t c = 0; c < KN_COUNT(clips); c++) {
        struct received received = {0};
        receive(world, clips[c], &received);
        assert_int_equal(frag_store_flush(world->store), 0);
        check_received(world, &received);
        for (size_t i = 0; i < received.count; i++) {
            kn_buffer_unref(received.clusters[i]);
        }
    }
}

/* ---- several reels ---- */

static uint64_t count_reels(struct world *world) {
    return frag_store_stats(world->store).reels;
}

static void reels_end_and_begin(void **state) {
    struct world *world = *state;
    struct frag_writer *writer = NULL;
    const struct frag_writer_config config = {0};
    struct camera camera;
    world_open(world);
    world_camera(world, &camera, 1);
    assert_int_equal(frag_writer_open(world_stream(world, "door"), &config, &writer), 0);
    camera_send(&camera, writer, 25 * 60 * 25); /* 25 minutes */
    assert_int_equal(frag_store_flush(world->store), 0);
    uint64_t reels = count_reels(world);
    assert_true(reels == 3 || reels == 4); /* every ten minutes, at the stream's own moment */
    /* The producer's clock jumps: another reel, nothing lost but what cannot begin a fragment. */
    camera.start.ns += 3600 * KN_NS_PER_S;
    camera_send(&camera, writer, 100);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(count_reels(world), reels + 1);
    /* Other tracks: another one. */
    struct kn_track track = camera.tracks->items[0];
    track.width = 640;
    kn_tracks_unref(camera.tracks);
    assert_int_equal(kn_tracks_create(&track, 1, &camera.tracks), 0);
    camera_send(&camera, writer, 100);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(count_reels(world), reels + 2);
    frag_writer_close(writer, FRAG_GAP_SHUTDOWN);
    camera_finish(&camera);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_check(world, "door"), 25 * 30 + 4);
}

static void idle_reels_are_closed(void **state) {
    struct world *world = *state;
    struct frag_writer *writer = NULL;
    const struct frag_writer_config config = {0};
    struct camera camera;
    world_open(world);
    world_camera(world, &camera, 1);
    assert_int_equal(frag_writer_open(world_stream(world, "door"), &config, &writer), 0);
    camera_send(&camera, writer, 101);
    assert_int_equal(frag_store_flush(world->store), 0);
    fake_clock_advance(&world->clock, 700 * KN_NS_PER_S);
    assert_int_equal(frag_store_flush(world->store), 0);
    frag_writer_abort(writer, FRAG_GAP_NETWORK);
    camera_finish(&camera);
    world_kill(world);
    world_open(world);
    assert_int_equal(world->opening.recovered_reels, 0); /* nothing was open */
    assert_int_equal(world_check(world, "door"), 2);
}

static void two_sessions_at_once(void **state) {
    struct world *world = *state;
    static struct frag_entry entries[64];
    struct frag_writer *writers[2] = {NULL, NULL};
    const struct frag_writer_config config = {0};
    struct camera cameras[2];
    world_open(world);
    for (size_t i = 0; i < 2; i++) {
        world_camera(world, &cameras[i], (uint32_t)i + 1);
        cameras[i].gop = i == 0 ? 50 : 125; /* the second one's fragments end later */
        assert_int_equal(frag_writer_open(world_stream(world, "door"), &config, &writers[i]), 0);
    }
    for (int n = 0; n < 40; n++) {
        camera_send(&cameras[0], writers[0], 13);
        camera_send(&cameras[1], writers[1], 12);
    }
    for (size_t i = 0; i < 2; i++) {
        frag_writer_close(writers[i], FRAG_GAP_PRODUCER_AWAY);
        camera_finish(&cameras[i]);
    }
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(count_reels(world), 2);
    size_t count = world_list(world, "door", entries, KN_COUNT(entries));
    assert_int_equal(count, 11 + 4);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries[i].ordinal, i);
    }
    assert_int_equal(world_check(world, "door"), count);
}

static void long_groups_are_cut_by_force(void **state) {
    struct world *world = *state;
    static struct frag_entry entries[8];
    struct frag_writer *writer = NULL;
    const struct frag_writer_config config = {0};
    struct camera camera;
    world_open(world);
    world_camera(world, &camera, 1);
    camera.gop = 100000;
    assert_int_equal(frag_writer_open(world_stream(world, "door"), &config, &writer), 0);
    camera_send(&camera, writer, 25 * 45);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&camera);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_list(world, "door", entries, KN_COUNT(entries)), 3);
    assert_int_equal(entries[0].flags, 0);
    assert_int_equal(entries[1].flags, FRAG_NO_KEY_START);
    assert_int_equal(entries[1].duration_ns, 20 * KN_NS_PER_S);
    assert_int_equal(entries[2].duration_ns, 5 * KN_NS_PER_S);
    assert_int_equal(world_check(world, "door"), 3);
}

/* ---- the tail ---- */

struct listener {
    unsigned samples, fragments, durable, gaps;
    struct frag_subscription *subscription;
    struct frag_tail *tail;
    struct kn_loop *loop;
};

static void hear(const struct frag_tail_event *event, void *user) {
    struct listener *listener = user;
    listener->samples += event->kind == FRAG_TAIL_SAMPLE ? 1 : 0;
    listener->fragments += event->kind == FRAG_TAIL_FRAGMENT ? 1 : 0;
    listener->durable += event->kind == FRAG_TAIL_DURABLE ? 1 : 0;
    listener->gaps += event->kind == FRAG_TAIL_GAP_OPEN ? 1 : 0;
}

static void subscribe(void *user, int status) {
    struct listener *listener = user;
    bool kept = false;
    struct frag_number oldest;
    const struct frag_subscription_config config = {
        .samples = true, .max_events = 4096, .handle_event = hear, .user = listener};
    assert_int_equal(status, 0);
    assert_int_equal(frag_tail_subscribe(listener->tail, listener->loop, &config, &kept, &oldest,
                                         &listener->subscription),
                     0);
    assert_false(kept);
}

static void pass(void *user, int status) {
    (void)user;
    (void)status;
}

static void unsubscribe(void *user, int status) {
    struct listener *listener = user;
    (void)status;
    frag_tail_unsubscribe(listener->subscription);
}

static void the_tail_hears_it(void **state) {
    struct world *world = *state;
    struct listener listener = {0};
    struct kn_loop_config config = kn_loop_config_defaults();
    world->config.threads = true;
    world_open(world);
    listener.tail = frag_stream_tail(world_stream(world, "door"));
    assert_int_equal(kn_loop_create(&config, &listener.loop), 0);
    assert_int_equal(kn_loop_start(listener.loop), 0);
    assert_int_equal(kn_loop_call(listener.loop, subscribe, &listener), 0);
    world_record(world, "door", 1, 250);
    assert_int_equal(frag_store_flush(world->store), 0);
    /* Two rounds of the loop: behind the events that were sent before. */
    assert_int_equal(kn_loop_call(listener.loop, pass, NULL), 0);
    assert_int_equal(kn_loop_call(listener.loop, pass, NULL), 0);
    assert_int_equal(kn_loop_call(listener.loop, unsubscribe, &listener), 0);
    kn_loop_destroy(listener.loop);
    assert_int_equal(listener.samples, 250);
    assert_int_equal(listener.fragments, 5);
    assert_int_equal(listener.durable, 5);
    assert_int_equal(listener.gaps, 1);
    assert_int_equal(world_check(world, "door"), 5);
}

/* ---- other versions ---- */

static void patch(const struct world *world, const char *name, long at, const void *bytes,
                  size_t size) {
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", world->folder, name);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void damaged_identities_are_refused(void **state) {
    struct world *world = *state;
    world_open(world);
    world_record(world, "door", 1, 100);
    world_close(world);
    patch(world, FRAG_IDENTITY_FILE, 20, "x", 1);
    assert_true(frag_store_open(&world->config, &world->store, &world->opening) < 0);
    assert_non_null(strstr(world->opening.problem, FRAG_IDENTITY_FILE));
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/" FRAG_IDENTITY_FILE, world->folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(frag_store_open(&world->config, &world->store, &world->opening),
                     KN_E_MALFORMED); /* never taken for an empty directory */
    assert_non_null(strstr(world->opening.problem, "put that file back"));
}

static void a_newer_index_is_refused(void **state) {
    struct world *world = *state;
    static const uint8_t version[4] = {0, 0, 0, 99};
    world_open(world);
    world_record(world, "door", 1, 100);
    world_close(world);
    patch(world, "index.db", 60, version, sizeof(version)); /* user_version */
    assert_int_equal(frag_store_open(&world->config, &world->store, &world->opening),
                     KN_E_UNSUPPORTED);
    assert_non_null(strstr(world->opening.problem, "newer version"));
}

static void a_damaged_index_is_made_again(void **state) {
    struct world *world = *state;
    static const uint8_t noise[4096] = {1, 2, 3};
    world_open(world);
    world_record(world, "door", 1, 500);
    world_close(world);
    for (long page = 0; page < 5; page++) {
        patch(world, "index.db", page * 16384, noise, sizeof(noise));
        world_open(world);
        assert_int_equal(world_check(world, "door"), 10);
        world_close(world);
    }
}

static void another_store_is_refused(void **state) {
    struct world *world = *state;
    void *other_state = NULL;
    assert_int_equal(world_setup(&other_state), 0);
    struct world *other = other_state;
    other->config.seed = 99;
    world_open(world);
    world_close(world);
    world_open(other);
    world_close(other);
    const char *const folders[] = {other->folder};
    world->config.folders = folders;
    world->config.folder_count = 1;
    assert_int_equal(frag_store_open(&world->config, &world->store, &world->opening), -EXDEV);
    assert_non_null(strstr(world->opening.problem, "another store"));
    assert_int_equal(world_teardown(&other_state), 0);
}

/* Two stores of one seed have one id: their directories are told apart all the same. */
static void a_directory_of_a_twin_is_refused(void **state) {
    struct world *world = *state;
    void *twin_state = NULL;
    char further[96];
    assert_int_equal(world_setup(&twin_state), 0);
    struct world *twin = twin_state;
    (void)snprintf(further, sizeof(further), "%s/further", twin->folder);
    const char *const theirs[] = {further};
    twin->config.folders = theirs;
    twin->config.folder_count = 1;
    world_open(twin);
    world_close(twin);
    world_open(world);
    world_record(world, "door", 1, 100);
    world_close(world);
    const char *const wrong[] = {further, twin->folder};
    for (size_t i = 0; i < KN_COUNT(wrong); i++) {
        world->config.folders = &wrong[i];
        world->config.folder_count = 1;
        assert_int_equal(frag_store_open(&world->config, &world->store, &world->opening), -EXDEV);
    }
    world->config.folder_count = 0;
    world_open(world);
    assert_int_equal(world_check(world, "door"), 2);
    assert_int_equal(world_teardown(&twin_state), 0);
}

static void two_further_directories_are_two(void **state) {
    struct world *world = *state;
    char first[96];
    char second[96];
    (void)snprintf(first, sizeof(first), "%s/first", world->folder);
    (void)snprintf(second, sizeof(second), "%s/second", world->folder);
    const char *const folders[] = {first, second};
    world->config.folders = folders;
    for (size_t i = 1; i <= 2; i++) {
        world->config.folder_count = i;
        world_open(world);
        world_record(world, "door", (uint32_t)i, 100);
        world_close(world);
    }
    uint8_t identities[2][FRAG_IDENTITY_BYTES];
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/" FRAG_IDENTITY_FILE, folders[i]);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        assert_int_equal(fread(identities[i], 1, FRAG_IDENTITY_BYTES, file), FRAG_IDENTITY_BYTES);
        assert_int_equal(fclose(file), 0);
    }
    assert_memory_not_equal(identities[0], identities[1], FRAG_IDENTITY_BYTES);
    world_open(world);
    assert_int_equal(world_check(world, "door"), 4);
}

static void a_lost_journal_is_not_made_anew(void **state) {
    struct world *world = *state;
    char path[128];
    world_open(world);
    world_record(world, "door", 1, 100);
    world_close(world);
    (void)snprintf(path, sizeof(path), "%s/journal", world->folder);
    assert_int_equal(unlink(path), 0);
    for (int mode = 0; mode < 2; mode++) {
        world->config.mode = mode == 0 ? FRAG_STORE_WRITE : FRAG_STORE_READ;
        assert_int_equal(frag_store_open(&world->config, &world->store, &world->opening),
                         KN_E_MALFORMED);
        assert_non_null(strstr(world->opening.problem, "is gone"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
        WORLD_TEST(clusters_are_kept_as_they_came),
        WORLD_TEST(reels_end_and_begin),
        WORLD_TEST(idle_reels_are_closed),
        WORLD_TEST(two_sessions_at_once),
        WORLD_TEST(long_groups_are_cut_by_force),
        WORLD_TEST(the_tail_hears_it),
        WORLD_TEST(damaged_identities_are_refused),
        WORLD_TEST(a_newer_index_is_refused),
        WORLD_TEST(a_damaged_index_is_made_again),
        WORLD_TEST(another_store_is_refused),
        WORLD_TEST(a_directory_of_a_twin_is_refused),
        WORLD_TEST(two_further_directories_are_two),
        WORLD_TEST(a_lost_journal_is_not_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
