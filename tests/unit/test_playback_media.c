#include "tests/unit/playback_media_world.h"

#include "tests/support/fail_alloc.h"

static struct document documents[DOCUMENTS_MAX];

static const struct play_media_config now = {.start = PLAY_MEDIA_NOW};
static const struct play_media_config earliest = {.start = PLAY_MEDIA_EARLIEST};

/* A recording that goes on: pictures are sent one by one or many at a time. */
struct recording {
    struct frag_stream *stream;
    struct frag_writer *writer;
    struct camera camera;
};

static void record_into(struct world *world, struct recording *recording, int64_t retention_ns) {
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    const struct frag_writer_config config = {0};
    settings.retention_ns = retention_ns;
    assert_int_equal(
        frag_stream_create(world->store, "door", &settings, NULL, 0, &recording->stream), 0);
    world_camera(world, &recording->camera, 1);
    assert_int_equal(frag_writer_open(recording->stream, &config, &recording->writer), 0);
}

static void shoot(struct recording *recording, unsigned pictures) {
    camera_send(&recording->camera, recording->writer, pictures);
}

static void stop(struct recording *recording) {
    frag_writer_close(recording->writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&recording->camera);
}

/* Whole documents, one behind the other, without hole or repeat, and the same header; the last one
 * may go on. How many pictures. */
static size_t check_run(const struct pull *pull, size_t *ret_count) {
    size_t count = read_documents(pull->bytes, pull->size, documents);
    size_t frames = 0;
    int64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        const struct document *document = &documents[i];
        if (i > 0) {
            assert_true(strcmp(documents[i - 1].number, document->number) < 0);
            assert_int_equal(document->header_bytes, documents[0].header_bytes);
            assert_memory_equal(document->header, documents[0].header, document->header_bytes);
        }
        assert_true(document->ended || i + 1 == count);
        if (document->ended) {
            assert_string_equal(document->token, document->number);
        }
        assert_int_equal(strlen(document->number), 47);
        for (size_t f = 0; f < document->frames; f++) {
            assert_true(frames == 0 || document->times[f] == last + 40);
            last = document->times[f];
            frames++;
        }
    }
    if (ret_count != NULL) {
        *ret_count = count;
    }
    return frames;
}

/* ---- joins ---- */

/* A reader that comes at any picture of a recording gets all of it from then on. */
static void join_at(struct world *world, unsigned at, bool flushed, int64_t retention_ns) {
    struct recording recording;
    struct pull pull;
    size_t count = 0;
    world_open(world);
    record_into(world, &recording, retention_ns);
    shoot(&recording, at);
    if (flushed) {
        assert_int_equal(frag_store_flush(world->store), 0);
    }
    assert_int_equal(pull_open(&pull, world, recording.stream, &earliest), 0);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    for (unsigned i = 0; i < 10; i++) {
        shoot(&recording, 23);
        if (flushed && i % 2 == 0) {
            assert_int_equal(frag_store_flush(world->store), 0);
        }
        assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    }
    stop(&recording);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    assert_int_equal(check_run(&pull, &count), at + 230);
    assert_true(documents[count - 1].ended);
    assert_int_equal(play_media_fragments(pull.media), count);
    pull_close(&pull);
    assert_int_equal(frag_stream_delete(recording.stream, NULL), 0);
    assert_int_equal(frag_store_flush(world->store), 0);
    world_close(world);
}

static void readers_join_at_every_point(void **state) {
    for (unsigned at = 0; at <= 160; at += 7) {
        join_at(*state, at, false, FRAG_RETAIN_FOREVER);
        join_at(*state, at, true, FRAG_RETAIN_FOREVER);
        join_at(*state, at, false, 0);
    }
}

static void samples_go_out_as_they_come(void **state) {
    struct world *world = *state;
    struct recording recording;
    struct pull pull;
    world_open(world);
    record_into(world, &recording, FRAG_RETAIN_FOREVER);
    assert_int_equal(pull_open(&pull, world, recording.stream, &now), 0);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    shoot(&recording, 50);
    for (unsigned i = 1; i < 50; i++) { /* the first of these completes the first fragment */
        shoot(&recording, 1);
        assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
        assert_int_equal(check_run(&pull, NULL), 50 + i);
    }
    size_t count = 0;
    shoot(&recording, 2);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    assert_int_equal(check_run(&pull, &count), 101);
    assert_int_equal(count, 3); /* the third one's header is there with its first picture */
    assert_false(documents[0].unknown);
    assert_true(documents[1].unknown && documents[2].unknown && documents[1].ended);
    assert_string_equal(documents[1].behind, "0");
    pull_close(&pull);
    stop(&recording);
}

static void now_is_the_fragment_in_progress(void **state) {
    struct world *world = *state;
    struct recording recording;
    struct pull pull;
    world_open(world);
    record_into(world, &recording, FRAG_RETAIN_FOREVER);
    shoot(&recording, 120); /* two are complete, the third is being recorded */
    assert_int_equal(pull_open(&pull, world, recording.stream, &now), 0);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    assert_int_equal(pull.size, 0);
    shoot(&recording, 40);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    assert_int_equal(check_run(&pull, NULL), 60);
    assert_int_equal(documents[0].times[0], documents[0].timecode);
    assert_int_equal(documents[0].timecode, WORLD_START / KN_NS_PER_MS + 4000);
    pull_close(&pull);
    stop(&recording);
}

/* ---- slow readers ---- */

static void a_slow_reader_goes_on_from_the_store(void **state) {
    struct world *world = *state;
    struct recording recording;
    struct pull pull;
    world_open(world);
    record_into(world, &recording, FRAG_RETAIN_FOREVER);
    assert_int_equal(pull_open(&pull, world, recording.stream, &now), 0);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    for (unsigned round = 0; round < 4; round++) {
        shoot(&recording, 73);
        assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT); /* it stands within a document */
        for (unsigned i = 0; i < 20; i++) {
            shoot(&recording, 50);
            pull_hear(&pull);
            assert_int_equal(frag_store_flush(world->store), 0);
        }
        assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    }
    stop(&recording);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    assert_int_equal(check_run(&pull, NULL), 4 * (73 + 1000));
    pull_close(&pull);
}

static void what_nobody_keeps_ends_a_slow_reader(void **state) {
    struct world *world = *state;
    struct recording recording;
    struct pull pull;
    world_open(world);
    record_into(world, &recording, 0);
    assert_int_equal(pull_open(&pull, world, recording.stream, &now), 0);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    shoot(&recording, 75);
    for (unsigned i = 0; i < 20; i++) {
        shoot(&recording, 50); /* the tail still has it */
        pull_hear(&pull);
    }
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    for (unsigned i = 0; i < 60; i++) {
        shoot(&recording, 50); /* it has 32 */
        pull_hear(&pull);
    }
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_END);
    size_t frames = check_run(&pull, NULL);
    assert_true(frames >= 75 + 20 * 50 - 25 && frames < 75 + 80 * 50);
    pull_close(&pull);
    stop(&recording);
}

/* ---- selectors ---- */

static size_t frames_from(struct world *world, const struct recording *recording,
                          const struct play_media_config *config, size_t *ret_count) {
    struct pull pull;
    assert_int_equal(pull_open(&pull, world, recording->stream, config), 0);
    int rc = pull_all(&pull);
    assert_true(rc == PLAY_MEDIA_WAIT || rc == PLAY_MEDIA_END);
    size_t frames = check_run(&pull, ret_count);
    pull_close(&pull);
    return frames;
}

static void it_begins_where_it_is_told(void **state) {
    static struct frag_entry entries[64];
    struct world *world = *state;
    struct recording recording;
    size_t count = 0;
    world_open(world);
    record_into(world, &recording, FRAG_RETAIN_FOREVER);
    shoot(&recording, 500);
    stop(&recording);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_list(world, "door", entries, 64), 10);
    for (size_t i = 0; i < 10; i++) {
        struct play_media_config config = {.start = PLAY_MEDIA_AFTER, .after = entries[i].number};
        assert_int_equal(frames_from(world, &recording, &config, &count), (9 - i) * 50);
        for (enum frag_clock clock = FRAG_CLOCK_PRODUCER; clock <= FRAG_CLOCK_SERVER; clock++) {
            struct kn_wall begin =
                clock == FRAG_CLOCK_PRODUCER ? entries[i].producer : entries[i].server;
            config = (struct play_media_config){
                .start = PLAY_MEDIA_AT, .clock = clock, .time = {begin.ns + KN_NS_PER_S}};
            assert_int_equal(frames_from(world, &recording, &config, &count), (10 - i) * 50);
        }
    }
    struct play_media_config before = {.start = PLAY_MEDIA_AT, .time = {WORLD_START - 1}};
    assert_int_equal(frames_from(world, &recording, &before, &count), 500);
    before.time.ns = WORLD_START + 100 * KN_NS_PER_S;
    assert_int_equal(frames_from(world, &recording, &before, &count), 0);
}

static void a_time_in_a_gap_is_the_next_fragment(void **state) {
    struct world *world = *state;
    struct recording recording;
    struct pull pull;
    const struct frag_writer_config writer = {0};
    const struct play_media_config config = {.start = PLAY_MEDIA_AT,
                                             .clock = FRAG_CLOCK_SERVER,
                                             .time = {WORLD_START + 10 * KN_NS_PER_S}};
    world_open(world);
    record_into(world, &recording, FRAG_RETAIN_FOREVER);
    shoot(&recording, 100);
    stop(&recording);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(pull_open(&pull, world, recording.stream, &config), 0);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    fake_clock_advance(&world->clock, 30 * KN_NS_PER_S);
    world_camera(world, &recording.camera, 2);
    assert_int_equal(frag_writer_open(recording.stream, &writer, &recording.writer), 0);
    shoot(&recording, 75);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    assert_int_equal(check_run(&pull, NULL), 75);
    pull_close(&pull);
    stop(&recording);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(frames_from(world, &recording, &config, NULL), 75);
}

static void numbers_that_are_not_there_are_errors(void **state) {
    static struct frag_entry entries[64];
    struct world *world = *state;
    struct recording recording;
    struct pull pull;
    world_open(world);
    record_into(world, &recording, FRAG_RETAIN_FOREVER);
    shoot(&recording, 100);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_list(world, "door", entries, 64), 1);
    struct frag_number wrong[3] = {entries[0].number, entries[0].number, entries[0].number};
    wrong[0].sequence -= 1;    /* before all that is there */
    wrong[1].low ^= 1;         /* of another store */
    wrong[2].sequence += 1000; /* not to be for long */
    for (size_t i = 0; i < 3; i++) {
        const struct play_media_config config = {.start = PLAY_MEDIA_AFTER, .after = wrong[i]};
        char text[FRAG_NUMBER_TEXT_BYTES];
        assert_int_equal(pull_open(&pull, world, recording.stream, &config), 0);
        assert_int_equal(pull_all(&pull), PLAY_MEDIA_END);
        assert_int_equal(read_documents(pull.bytes, pull.size, documents), 1);
        assert_string_equal(documents[0].error_id, "4000");
        assert_string_equal(documents[0].code, "FRAGMENT_NOT_FOUND");
        assert_string_equal(documents[0].number, frag_number_format(wrong[i], text));
        assert_string_equal(documents[0].server, "");
        assert_int_equal(documents[0].frames, 0);
        pull_close(&pull);
    }
    stop(&recording);
}

static void a_list_is_given_in_its_order(void **state) {
    static struct frag_entry entries[64];
    struct world *world = *state;
    struct recording recording;
    struct pull pull;
    world_open(world);
    record_into(world, &recording, FRAG_RETAIN_FOREVER);
    shoot(&recording, 250);
    stop(&recording);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_list(world, "door", entries, 64), 5);
    struct frag_number gone = entries[4].number;
    gone.sequence += 7;
    const struct frag_number numbers[] = {entries[3].number, gone, entries[0].number,
                                          entries[3].number};
    const struct play_media_config config = {
        .start = PLAY_MEDIA_LIST, .numbers = numbers, .number_count = KN_COUNT(numbers)};
    assert_int_equal(pull_open(&pull, world, recording.stream, &config), 0);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_END);
    assert_int_equal(read_documents(pull.bytes, pull.size, documents), 4);
    for (size_t i = 0; i < 4; i++) {
        char text[FRAG_NUMBER_TEXT_BYTES];
        assert_string_equal(documents[i].number, frag_number_format(numbers[i], text));
        assert_int_equal(documents[i].frames, i == 1 ? 0 : 50);
        assert_string_equal(documents[i].error_id, i == 1 ? "4000" : "");
        assert_true(documents[i].ended == (i != 1));
    }
    assert_string_equal(documents[0].behind, "2000");
    pull_close(&pull);
}

/* ---- ends ---- */

static void a_deleted_stream_ends_its_readers(void **state) {
    struct world *world = *state;
    struct recording recording;
    struct pull live;
    struct pull stored;
    world_open(world);
    record_into(world, &recording, FRAG_RETAIN_FOREVER);
    shoot(&recording, 1000);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(pull_open(&live, world, recording.stream, &now), 0);
    assert_int_equal(pull_all(&live), PLAY_MEDIA_WAIT);
    assert_int_equal(pull_open(&stored, world, recording.stream, &earliest), 0);
    assert_int_equal(kn_loop_call(stored.loop, pull_on_loop, &stored), 0);
    assert_int_equal(stored.rc, PLAY_MEDIA_WORK);
    stop(&recording);
    assert_int_equal(frag_stream_delete(recording.stream, NULL), 0);
    assert_int_equal(pull_all(&live), PLAY_MEDIA_END);
    play_media_work(stored.media, stored.archive);
    assert_int_equal(pull_all(&stored), PLAY_MEDIA_END);
    pull_close(&live);
    pull_close(&stored);
}

static char reel_path[512];

static int find_reel(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about;
    (void)place;
    size_t size = strlen(path);
    if (type == FTW_F && size > 4 && strcmp(path + size - 4, ".mkv") == 0) {
        (void)snprintf(reel_path, sizeof(reel_path), "%s", path);
    }
    return 0;
}

static void damage_leaves_one_out(void **state) {
    static struct frag_entry entries[64];
    struct world *world = *state;
    struct recording recording;
    world_open(world);
    record_into(world, &recording, FRAG_RETAIN_FOREVER);
    shoot(&recording, 250);
    stop(&recording);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_list(world, "door", entries, 64), 5);
    assert_int_equal(nftw(world->folder, find_reel, 16, FTW_PHYS), 0);
    FILE *file = fopen(reel_path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)entries[2].cluster_at + 500, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, (long)entries[2].cluster_at + 500, SEEK_SET), 0);
    assert_int_not_equal(fputc(byte ^ 0xFF, file), EOF);
    assert_int_equal(fclose(file), 0);
    struct pull pull;
    assert_int_equal(pull_open(&pull, world, recording.stream, &earliest), 0);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
    assert_int_equal(read_documents(pull.bytes, pull.size, documents), 4);
    for (size_t i = 0; i < 4; i++) {
        char text[FRAG_NUMBER_TEXT_BYTES];
        assert_string_equal(documents[i].number,
                            frag_number_format(entries[i < 2 ? i : i + 1].number, text));
        assert_int_equal(documents[i].frames, 50);
    }
    pull_close(&pull);
}

static void a_store_that_cannot_be_read_is_told(void **state) {
    struct world *world = *state;
    struct recording recording;
    struct pull pull;
    world_open(world);
    record_into(world, &recording, FRAG_RETAIN_FOREVER);
    assert_int_equal(pull_open(&pull, world, recording.stream, &earliest), 0);
    assert_int_equal(kn_loop_call(pull.loop, pull_on_loop, &pull), 0);
    assert_int_equal(pull.rc, PLAY_MEDIA_WORK);
    play_media_work(pull.media, NULL);
    assert_int_equal(pull_all(&pull), PLAY_MEDIA_END);
    assert_int_equal(read_documents(pull.bytes, pull.size, documents), 1);
    assert_string_equal(documents[0].error_id, "5000");
    pull_close(&pull);
    stop(&recording);
}

/* ---- memory ---- */

static void take_and_drop(void *user, int status) {
    struct pull *pull = user;
    struct kn_buffer *bytes = NULL;
    (void)status;
    while ((pull->rc = play_media_next(pull->media, &bytes)) == PLAY_MEDIA_BYTES) {
        kn_buffer_unref(bytes);
    }
}

static void memory_may_fail_at_each_allocation(void **state) {
    struct world *world = *state;
    struct recording recording;
    unsigned long n = 0;
    int rc = 0;
    world_open(world);
    record_into(world, &recording, FRAG_RETAIN_FOREVER);
    shoot(&recording, 120);
    assert_int_equal(frag_store_flush(world->store), 0);
    do {
        struct pull pull;
        assert_int_equal(pull_open(&pull, world, recording.stream, &earliest), 0);
        fail_alloc_at(++n);
        do {
            assert_int_equal(kn_loop_call(pull.loop, take_and_drop, &pull), 0);
            if (pull.rc == PLAY_MEDIA_WORK) {
                play_media_work(pull.media, pull.archive);
            }
        } while (pull.rc == PLAY_MEDIA_WORK);
        bool failed = fail_alloc_count() >= n;
        fail_alloc_stop();
        rc = failed ? -ENOMEM : pull.rc;
        assert_true(pull.rc == -ENOMEM || pull.rc == PLAY_MEDIA_END || pull.rc == PLAY_MEDIA_WAIT);
        pull_close(&pull);
    } while (rc != PLAY_MEDIA_WAIT);
    assert_true(n > 20);
    stop(&recording);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(readers_join_at_every_point),
        TEST(samples_go_out_as_they_come),
        TEST(now_is_the_fragment_in_progress),
        TEST(a_slow_reader_goes_on_from_the_store),
        TEST(what_nobody_keeps_ends_a_slow_reader),
        TEST(it_begins_where_it_is_told),
        TEST(a_time_in_a_gap_is_the_next_fragment),
        TEST(numbers_that_are_not_there_are_errors),
        TEST(a_list_is_given_in_its_order),
        TEST(a_deleted_stream_ends_its_readers),
        TEST(damage_leaves_one_out),
        TEST(a_store_that_cannot_be_read_is_told),
        TEST(memory_may_fail_at_each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
