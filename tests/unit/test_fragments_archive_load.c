/* Loading fragments: what was recorded comes back, within the memory there is. */
#include "tests/support/fail_alloc.h"
#include "tests/unit/fragments_archive_loads.h"

/* ---- clips ---- */

/* The clip read from beginning to end. */
struct original {
    const struct archive_session *session;
    size_t at;
    int64_t shift_ns; /* of the samples' times */
};

static void expect_sample(const struct kn_sample *sample, const struct kn_sample *expected,
                          int64_t shift_ns) {
    assert_int_equal(sample->pts_ns, expected->pts_ns + shift_ns);
    assert_int_equal(sample->dts_ns, expected->dts_ns + shift_ns);
    assert_int_equal(sample->duration_ns, expected->duration_ns);
    assert_int_equal(sample->discard_ns, expected->discard_ns);
    assert_int_equal(sample->flags, expected->flags);
    assert_int_equal(sample->track, expected->track);
    assert_int_equal(sample->size, expected->size);
    if (sample->size > 0) {
        assert_memory_equal(sample->data, expected->data, sample->size);
    }
}

static void expect_around(const struct archive_session *session, size_t n,
                          const struct frag_loaded *loaded) {
    bool around = session->config->around && n == 0;
    assert_int_equal(loaded->before_bytes, around ? 4 : 0);
    assert_int_equal(loaded->after_bytes, around ? 2 : 0);
    if (around) {
        assert_memory_equal(loaded->before, "\xEC\x82hi", 4);
        assert_memory_equal(loaded->after, "\xEC\x80", 2);
    }
    assert_int_equal(loaded->received_width, 8);
    assert_true(loaded->received_unknown);
    assert_int_equal(loaded->timecode_scale_ns, session->scale_ns);
}

static int compare_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct original *original = user;
    const struct archive_session *session = original->session;
    if (original->at == session->count) {
        return 0;
    }
    struct frag_entry entry = entry_of(session, original->at);
    struct frag_loaded *loaded = NULL;
    assert_int_equal(frag_archive_load(archive, &entry, &loaded), 0);
    assert_int_equal(loaded->entry.cluster_at, session->rows[original->at].cluster_at);
    assert_int_equal(loaded->entry.reel, session->row);
    assert_true(kn_tracks_equal(loaded->tracks, fragment->tracks));
    assert_int_equal(loaded->sample_count, fragment->sample_count);
    for (size_t i = 0; i < loaded->sample_count; i++) {
        expect_sample(&loaded->samples[i], &fragment->samples[i], original->shift_ns);
    }
    size_t bytes = 0;
    uint8_t *cluster = session_cluster(fragment, &bytes);
    assert_int_equal(loaded->cluster_bytes, bytes);
    assert_memory_equal(loaded->cluster, cluster, bytes);
    free(cluster);
    expect_around(session, original->at, loaded);
    assert_true(kn_budget_used(world.store.reading) >= bytes);
    frag_loaded_free(loaded);
    assert_int_equal(kn_budget_used(world.store.reading), 0);
    original->at++;
    return 0;
}

static void compare_with_original(const struct archive_session *session, int64_t shift_ns) {
    static const struct frag_mkv_reader_handler handler = {.fragment = compare_fragment};
    struct original original = {.session = session, .shift_ns = shift_ns};
    const struct frag_mkv_reader_config config = {.handler = &handler, .user = &original};
    struct frag_mkv_reader *reader = NULL;
    assert_int_equal(frag_mkv_reader_create(&config, &reader), 0);
    /* A clip that is cut short gives what it has. */
    (void)!frag_mkv_reader_push(reader, session->config->clip, session->config->size);
    (void)!frag_mkv_reader_finish(reader);
    frag_mkv_reader_destroy(reader);
    assert_int_equal(original.at, session->count);
}

static void every_clip(void **state) {
    (void)state;
    for (size_t i = 0; i < SAMPLE_CLIPS; i++) {
        struct archive_session session;
        size_t size = 0;
        uint8_t *data = sample_load(sample_clips[i], &size);
        const struct archive_session_config config = {
            .clip = data, .size = size, .header = i % 3 != 0, .around = true, .close = i % 2 == 0};
        archive_world_record(&world, &config, &session);
        compare_with_original(&session, 0);
        if (!config.close) {
            archive_session_close(&session);
            compare_with_original(&session, 0);
        }
        archive_session_finish(&session);
        free(data);
    }
}

/* Sample times count from the producer time that the store gave. */
static void times_of_the_producer(void **state) {
    (void)state;
    static const struct archive_session_config configs[] = {
        {.later_ns = -123000},
        {.later_ns = 999000, .flags = FRAG_REEL_RELATIVE, .producer_ns = WORLD_START_NS},
        {.flags = FRAG_REEL_RELATIVE, .producer_ns = WORLD_START_NS},
    };
    for (size_t i = 0; i < KN_COUNT(configs); i++) {
        struct archive_session_config config;
        struct archive_session session;
        record_some(&configs[i], &config, &session);
        compare_with_original(&session, -config.later_ns);
        archive_session_finish(&session);
    }
}

/* A producer's start with which no time is left. */
static void impossible_times(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 1};
    struct archive_session_config config;
    struct archive_session session;
    struct archive_session other = {.world = &world, .config = &config};
    record_some(&given, &config, &session);
    other.tracks = kn_tracks_ref(session.tracks);
    other.scale_ns = session.scale_ns;
    config.flags = FRAG_REEL_RELATIVE;
    config.producer_ns = INT64_MAX;
    archive_session_begin(&other);
    struct frag_entry entry = entry_of(&session, 0);
    struct frag_loaded *loaded = NULL;
    assert_int_equal(frag_archive_load(archive, &entry, &loaded), 0);
    archive_session_add(&other, loaded->cluster, loaded->cluster_bytes, INT64_MIN, NULL);
    frag_loaded_free(loaded);
    entry = entry_of(&other, 0);
    assert_int_equal(try_load(&entry), KN_E_MALFORMED);
    archive_session_finish(&other);
    archive_session_finish(&session);
}

/* The archive has the reel open when more comes. */
static void reel_that_grows(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 2};
    struct archive_session_config config;
    struct archive_session session;
    struct frag_loaded *first = NULL;
    record_some(&given, &config, &session);
    struct frag_entry entry = entry_of(&session, 0);
    assert_int_equal(frag_archive_load(archive, &entry, &first), 0);
    int openings = world.io.openings;
    for (size_t i = 2; i < 10; i++) {
        archive_session_add(&session, first->cluster, first->cluster_bytes,
                            session.rows[0].producer.ns, NULL);
        entry = entry_of(&session, i);
        struct frag_loaded *loaded = NULL;
        assert_int_equal(frag_archive_load(archive, &entry, &loaded), 0);
        assert_int_equal(loaded->cluster_bytes, first->cluster_bytes);
        assert_memory_equal(loaded->cluster, first->cluster, first->cluster_bytes);
        frag_loaded_free(loaded);
    }
    assert_int_equal(world.io.openings, openings);
    frag_loaded_free(first);
    archive_session_finish(&session);
}

static void headers(void **state) {
    (void)state;
    static const struct archive_session_config with = {.header = true, .fragments = 1};
    static const struct archive_session_config without = {.fragments = 1};
    struct archive_session_config config;
    struct archive_session session;
    struct archive_session none;
    uint8_t *header = NULL;
    size_t bytes = 1;
    record_some(&without, &config, &none);
    struct frag_entry entry = entry_of(&none, 0);
    assert_int_equal(frag_archive_load_header(archive, &entry, &header, &bytes), 0);
    assert_null(header);
    assert_int_equal(bytes, 0);
    record_some(&with, &config, &session);
    entry = entry_of(&session, 0);
    assert_int_equal(frag_archive_load_header(archive, &entry, &header, &bytes), 0);
    assert_int_equal(bytes, session.header_bytes);
    assert_memory_equal(header, clip, bytes);
    free(header);
    assert_int_equal(kn_budget_used(world.store.reading), 0);
    assert_int_equal(kn_budget_claim(world.store.reading, WORLD_BUDGET), 0);
    assert_int_equal(frag_archive_load_header(archive, &entry, &header, &bytes), KN_E_MEMORY_LIMIT);
    kn_budget_release(world.store.reading, WORLD_BUDGET);
    archive_session_finish(&session);
    archive_session_finish(&none);
}

/* ---- memory ---- */

static void memory_limit(void **state) {
    (void)state;
    static const struct archive_session_config given = {.around = true, .fragments = 1};
    struct archive_session_config config;
    struct archive_session session;
    struct frag_loaded *loaded = NULL;
    record_some(&given, &config, &session);
    struct frag_entry entry = entry_of(&session, 0);
    assert_int_equal(frag_archive_load(archive, &entry, &loaded), 0);
    size_t used = kn_budget_used(world.store.reading);
    assert_int_equal(used,
                     loaded->cluster_bytes + 6 + loaded->sample_count * sizeof(*loaded->samples));
    const size_t lefts[] = {0, loaded->cluster_bytes / 2, loaded->cluster_bytes + 100, used - 1};
    frag_loaded_free(loaded);
    for (size_t i = 0; i < KN_COUNT(lefts); i++) {
        size_t claimed = WORLD_BUDGET - lefts[i];
        loaded = NULL;
        assert_int_equal(kn_budget_claim(world.store.reading, claimed), 0);
        assert_int_equal(frag_archive_load(archive, &entry, &loaded), KN_E_MEMORY_LIMIT);
        assert_null(loaded);
        assert_int_equal(kn_budget_used(world.store.reading), claimed);
        kn_budget_release(world.store.reading, claimed);
    }
    assert_int_equal(try_load(&entry), 0);
    frag_loaded_free(NULL);
    archive_session_finish(&session);
}

static void no_memory(void **state) {
    (void)state;
    struct archive_session session;
    size_t size = 0;
    uint8_t *data = sample_load("annexb-bare.mkv", &size);
    const struct archive_session_config config = {
        .clip = data, .size = size, .header = true, .around = true, .fragments = 1};
    archive_world_record(&world, &config, &session);
    struct frag_entry entry = entry_of(&session, 0);
    int failures = 0;
    for (unsigned long n = 1, done = 0; done == 0; n++) {
        struct frag_archive *other = NULL;
        struct frag_loaded *loaded = NULL;
        uint8_t *header = NULL;
        size_t bytes = 0;
        fail_alloc_at(n);
        int rc = frag_archive_open(&world.store, &other);
        rc = rc == 0 ? frag_archive_load(other, &entry, &loaded) : rc;
        rc = rc == 0 ? frag_archive_load_header(other, &entry, &header, &bytes) : rc;
        rc = rc == 0 ? frag_archive_range(other, &world.stream, FRAG_CLOCK_SERVER,
                                          (struct kn_wall){0}, entry.server, 0, &entry, 1)
                     : rc;
        done = fail_alloc_count() < n;
        fail_alloc_stop();
        /* Giving spare room back may fail without harm. */
        assert_true(rc == 1 || (rc == -ENOMEM && !done));
        failures += rc == -ENOMEM;
        frag_loaded_free(loaded);
        free(header);
        frag_archive_close(other);
        assert_int_equal(kn_budget_used(world.store.reading), 0);
    }
    assert_true(failures > 10);
    archive_session_finish(&session);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_clip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(times_of_the_producer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(impossible_times, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reel_that_grows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
