/* An archive of a whole store: what a writer was given comes back at the times it was given, to the
 * archives of the store and of another process that only reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ftw.h>
#include <unistd.h>
#include <cmocka.h>

#include "fragments/fragments.h"
#include "tests/support/fake_clock.h"
#include "tests/support/sample_media.h"

#define SAMPLES_MOST 4096
/* Not a whole millisecond: timecodes cannot say it. */
#define ORIGIN_NS (INT64_C(1795209820) * KN_NS_PER_S + 123456)

struct recorded {
    struct frag_writer *writer;
    struct frag_stream *stream;
    struct kn_sample samples[SAMPLES_MOST]; /* with references; pts from ORIGIN_NS */
    size_t count;
    int64_t first_ns;
};

static char folder[256];
static struct fake_clock now;
static struct frag_store_config config;

static int set_up(void **state) {
    (void)state;
    const char *place = getenv("TMPDIR");
    (void)snprintf(folder, sizeof(folder), "%s/test_archive.XXXXXX",
                   place != NULL && place[0] != '\0' ? place : "/tmp");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    fake_clock_init(&now, ORIGIN_NS, 0);
    config = frag_store_config_defaults();
    config.data = folder;
    config.mode = FRAG_STORE_WRITE;
    config.clock = &now.clock;
    config.min_free_bytes = 0;
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static int tear_down(void **state) {
    (void)state;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread is left */
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- recording ---- */

static int give_tracks(struct kn_tracks *tracks, void *user) {
    struct recorded *recorded = user;
    return frag_writer_tracks(recorded->writer, tracks);
}

static int give_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct recorded *recorded = user;
    if (recorded->count == 0) {
        recorded->first_ns = fragment->time_ns;
    }
    for (size_t i = 0; i < fragment->sample_count; i++) {
        assert_true(recorded->count < SAMPLES_MOST);
        struct kn_sample *sample = &recorded->samples[recorded->count++];
        *sample = kn_sample_ref(&fragment->samples[i]);
        sample->pts_ns += fragment->time_ns - recorded->first_ns;
        sample->dts_ns += fragment->time_ns - recorded->first_ns;
        assert_int_equal(frag_writer_sample(recorded->writer, (struct kn_wall){ORIGIN_NS}, sample),
                         0);
    }
    return 0;
}

static void record(struct frag_store *store, const char *clip, struct recorded *recorded) {
    static const struct frag_mkv_reader_handler handler = {.tracks = give_tracks,
                                                           .fragment = give_fragment};
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    const struct frag_writer_config writer_config = {0};
    const struct frag_mkv_reader_config reader_config = {.handler = &handler, .user = recorded};
    struct frag_mkv_reader *reader = NULL;
    size_t size = 0;
    uint8_t *data = sample_load(clip, &size);
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    assert_int_equal(frag_stream_create(store, clip, &settings, NULL, 0, &recorded->stream), 0);
    assert_int_equal(frag_writer_open(recorded->stream, &writer_config, &recorded->writer), 0);
    assert_int_equal(frag_mkv_reader_create(&reader_config, &reader), 0);
    assert_int_equal(frag_mkv_reader_push(reader, data, size), 0);
    assert_int_equal(frag_mkv_reader_finish(reader), 0);
    frag_mkv_reader_destroy(reader);
    free(data);
    frag_writer_close(recorded->writer, FRAG_GAP_PRODUCER_AWAY);
    assert_int_equal(frag_store_flush(store), 0);
}

/* ---- reading ---- */

/* A Matroska time is a whole millisecond; nothing else is lost. */
static bool is_near(int64_t a_ns, int64_t b_ns) {
    return a_ns - b_ns < KN_NS_PER_MS && b_ns - a_ns < KN_NS_PER_MS;
}

static void compare(const struct recorded *recorded, const struct frag_loaded *loaded, size_t at) {
    for (size_t i = 0; i < loaded->sample_count; i++) {
        const struct kn_sample *sample = &loaded->samples[i];
        const struct kn_sample *given = &recorded->samples[at + i];
        assert_true(at + i < recorded->count);
        assert_true(is_near(loaded->entry.producer.ns + sample->pts_ns, ORIGIN_NS + given->pts_ns));
        assert_int_equal(sample->track, given->track);
        assert_int_equal(sample->size, given->size);
        assert_memory_equal(sample->data, given->data, sample->size);
    }
}

/* All of the stream, by number: how many fragments. */
static size_t read_back(struct frag_store *store, const char *clip,
                        const struct recorded *recorded) {
    struct frag_archive *archive = NULL;
    struct frag_stream *stream = frag_stream_find(store, clip);
    struct frag_entry entries[8];
    uint64_t after = 0;
    size_t samples = 0;
    size_t fragments = 0;
    int count = 0;
    assert_non_null(stream);
    assert_int_equal(frag_archive_open(store, &archive), 0);
    while ((count = frag_archive_range(archive, stream, FRAG_CLOCK_PRODUCER,
                                       (struct kn_wall){INT64_MIN}, (struct kn_wall){INT64_MAX},
                                       after, entries, KN_COUNT(entries))) > 0) {
        for (int i = 0; i < count; i++) {
            struct frag_loaded *loaded = NULL;
            assert_int_equal(frag_archive_load(archive, &entries[i], &loaded), 0);
            compare(recorded, loaded, samples);
            samples += loaded->sample_count;
            fragments++;
            assert_int_equal(loaded->received_width, 0); /* made here */
            frag_loaded_free(loaded);
        }
        after = entries[count - 1].number.sequence;
    }
    assert_int_equal(count, 0);
    assert_int_equal(samples, recorded->count);
    frag_archive_close(archive);
    return fragments;
}

static void what_was_recorded(void **state) {
    (void)state;
    static const char *const clips[] = {"bframes.mkv", "h265.mkv", "annexb.mkv", "g711.mkv"};
    static struct recorded recorded[KN_COUNT(clips)];
    struct frag_store_config reading = config;
    struct frag_store *store = NULL;
    struct frag_store *reader = NULL;
    assert_int_equal(frag_store_open(&config, &store, NULL), 0);
    for (size_t i = 0; i < KN_COUNT(clips); i++) {
        record(store, clips[i], &recorded[i]);
    }
    reading.mode = FRAG_STORE_READ;
    assert_int_equal(frag_store_open(&reading, &reader, NULL), 0);
    for (size_t i = 0; i < KN_COUNT(clips); i++) {
        size_t fragments = read_back(store, clips[i], &recorded[i]);
        assert_true(fragments >= 1);
        assert_int_equal(read_back(reader, clips[i], &recorded[i]), fragments);
    }
    frag_store_close(store); /* which closes its reels */
    for (size_t i = 0; i < KN_COUNT(clips); i++) {
        assert_true(read_back(reader, clips[i], &recorded[i]) >= 1);
    }
    frag_store_close(reader);
    for (size_t i = 0; i < KN_COUNT(clips); i++) {
        for (size_t j = 0; j < recorded[i].count; j++) {
            kn_sample_unref(&recorded[i].samples[j]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_recorded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
