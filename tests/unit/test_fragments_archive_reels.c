/* The reels an archive keeps open, while retention and a writer go on beside it. */
#include "tests/unit/fragments_archive_loads.h"

/* ---- reels that stay open ---- */

static void many_reels(void **state) {
    (void)state;
    enum { REELS = 40, KEPT_OPEN = 32 };
    static const struct archive_session_config given = {.fragments = 1};
    struct archive_session_config config;
    static struct archive_session sessions[REELS];
    struct frag_entry entries[REELS];
    for (size_t i = 0; i < REELS; i++) {
        record_some(&given, &config, &sessions[i]);
        archive_session_close(&sessions[i]);
        entries[i] = entry_of(&sessions[i], 0);
    }
    world.io.openings = 0;
    for (size_t i = 0; i < REELS; i++) {
        assert_int_equal(try_load(&entries[i]), 0);
        assert_int_equal(world.io.open_files, i < KEPT_OPEN ? i + 1 : KEPT_OPEN);
        assert_int_equal(try_load(&entries[i < 5 ? 0 : 5]), 0); /* stay in use */
    }
    assert_int_equal(world.io.openings, REELS);
    assert_int_equal(try_load(&entries[5]), 0);
    assert_int_equal(try_load(&entries[REELS - 1]), 0);
    assert_int_equal(world.io.openings, REELS);
    assert_int_equal(try_load(&entries[1]), 0);
    assert_int_equal(world.io.openings, REELS + 1);
    for (size_t i = 0; i < REELS; i++) {
        archive_session_finish(&sessions[i]);
    }
}

static void deleted_reels(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 2};
    struct archive_session_config config;
    struct archive_session session;
    struct archive_session other;
    struct frag_entry latest;
    char path[600];
    record_some(&given, &config, &session);
    record_some(&given, &config, &other);
    archive_session_close(&session);
    archive_session_close(&other);
    struct frag_entry entry = entry_of(&session, 0);
    struct frag_entry second = entry_of(&session, 1);
    struct frag_entry never_loaded = entry_of(&other, 0);
    assert_int_equal(try_load(&entry), 0);
    assert_int_equal(close(open_file(&session, path)), 0);
    archive_world_mark(&world, session.row);
    archive_world_mark(&world, other.row);
    assert_int_equal(try_load(&never_loaded), -ENOENT);
    assert_int_equal(try_load(&second), 0); /* seen first here */
    assert_int_equal(unlink(path), 0);
    archive_world_drop(&world, session.row);
    fake_clock_advance(&world.clock, 30 * KN_NS_PER_S - 1);
    assert_int_equal(try_load(&entry), 0);
    assert_int_equal(world.io.open_files, 1);
    fake_clock_advance(&world.clock, 1);
    assert_int_equal(frag_archive_latest(archive, &world.stream, &latest), -ENOENT);
    assert_int_equal(world.io.open_files, 0);
    assert_int_equal(try_load(&entry), -ENOENT);
    archive_session_finish(&session);
    archive_session_finish(&other);
}

static int64_t row_at_open; /* the hook is told nothing */

static void delete_at_open(void) {
    archive_world_mark(&world, row_at_open);
}

/* Retention is quicker than we are. */
static void deleted_before_it_is_opened(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 1};
    struct archive_session_config config;
    struct archive_session session;
    char path[600];
    record_some(&given, &config, &session);
    struct frag_entry entry = entry_of(&session, 0);
    assert_int_equal(close(open_file(&session, path)), 0);
    assert_int_equal(unlink(path), 0);
    row_at_open = session.row;
    world.io.before_open = delete_at_open;
    assert_int_equal(try_load(&entry), -ENOENT);
    assert_null(world.io.before_open);
    archive_session_finish(&session);
}

/* Nobody loads of it any more, and its room on the disk is given back all the same. */
static void deleted_and_forgotten(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 1};
    struct archive_session_config config;
    struct archive_session session;
    struct frag_entry latest;
    record_some(&given, &config, &session);
    archive_session_close(&session);
    struct frag_entry entry = entry_of(&session, 0);
    assert_int_equal(try_load(&entry), 0);
    archive_world_mark(&world, session.row);
    for (int64_t s = 0; s < 35; s += 5) {
        assert_int_equal(world.io.open_files, 1);
        fake_clock_advance(&world.clock, 5 * KN_NS_PER_S);
        assert_int_equal(frag_archive_latest(archive, &world.stream, &latest), -ENOENT);
    }
    assert_int_equal(world.io.open_files, 0);
    archive_session_finish(&session);
}

/* Retention copies a held fragment to a kept reel while somebody has its entry. */
static void moved_to_a_kept_reel(void **state) {
    (void)state;
    static const struct archive_session_config given = {.header = true, .fragments = 2};
    struct archive_session_config config;
    struct archive_session session;
    struct frag_loaded *first = NULL;
    struct frag_loaded *again = NULL;
    record_some(&given, &config, &session);
    archive_session_close(&session);
    struct frag_entry entries[] = {entry_of(&session, 0), entry_of(&session, 1)};
    assert_int_equal(frag_archive_load(archive, &entries[1], &first), 0);
    /* The copy has its number. */
    config.flags = FRAG_REEL_KEPT;
    struct archive_session kept = {.world = &world,
                                   .config = &config,
                                   .tracks = kn_tracks_ref(session.tracks),
                                   .scale_ns = session.scale_ns,
                                   .header_bytes = session.header_bytes};
    archive_session_begin(&kept);
    uint64_t sequence = world.sequence;
    int64_t server_ns = world.server_ns;
    world.sequence = entries[1].number.sequence - 1;
    world.server_ns = entries[1].server.ns;
    archive_session_add(&kept, first->cluster, first->cluster_bytes, entries[1].producer.ns, NULL);
    world.sequence = sequence;
    world.server_ns = server_ns;
    archive_session_close(&kept);
    size_t samples = first->sample_count;
    frag_loaded_free(first);
    archive_world_mark(&world, session.row);
    archive_world_drop(&world, session.row);
    assert_int_equal(try_load(&entries[1]), 0); /* through the descriptor */
    fake_clock_advance(&world.clock, 30 * KN_NS_PER_S);
    assert_int_equal(frag_archive_load(archive, &entries[1], &again), 0);
    assert_int_equal(again->entry.reel, kept.row);
    assert_int_equal(again->entry.cluster_at, kept.rows[0].cluster_at);
    assert_int_equal(again->sample_count, samples);
    uint8_t *header = NULL;
    size_t bytes = 0;
    assert_int_equal(frag_archive_load_header(archive, &entries[1], &header, &bytes), 0);
    assert_int_equal(bytes, session.header_bytes);
    free(header);
    frag_loaded_free(again);
    assert_int_equal(try_load(&entries[0]), -ENOENT); /* nobody held it */
    archive_session_finish(&kept);
    archive_session_finish(&session);
}

/* Another index: the same reels in other rows. */
static void entries_of_an_older_index(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 2};
    struct archive_session_config config;
    struct archive_session sessions[2];
    static const char *const endings[] = {"", "-wal", "-shm"};
    record_some(&given, &config, &sessions[0]);
    record_some(&given, &config, &sessions[1]);
    struct frag_entry entry = entry_of(&sessions[0], 1);
    assert_int_equal(try_load(&entry), 0);
    frag_index_close(world.index);
    for (size_t i = 0; i < KN_COUNT(endings); i++) {
        char name[320];
        (void)snprintf(name, sizeof(name), "%s%s", world.index_path, endings[i]);
        (void)unlink(name); /* it need not be there */
    }
    assert_int_equal(frag_index_open(world.index_path, FRAG_INDEX_WRITE, &world.index), 0);
    for (size_t i = 2; i-- > 0;) {
        struct archive_session *session = &sessions[i];
        const struct frag_index_reel reel = {.identity = session->identity,
                                             .folder = 3,
                                             .path = session->path,
                                             .bytes = session->rows[0].cluster_at};
        assert_int_equal(frag_index_begin(world.index), 0);
        assert_int_equal(frag_index_add_reel(world.index, &reel, &session->row), 0);
        assert_int_equal(frag_index_add_fragment(world.index, session->row, &session->rows[0]), 0);
        assert_int_equal(frag_index_add_fragment(world.index, session->row, &session->rows[1]), 0);
        assert_int_equal(frag_index_commit(world.index, false), 0);
    }
    assert_int_not_equal(sessions[0].row, entry.reel);
    struct frag_loaded *loaded = NULL;
    assert_int_equal(frag_archive_load(archive, &entry, &loaded), 0);
    assert_int_equal(loaded->entry.reel, sessions[0].row);
    assert_int_equal(loaded->entry.number.sequence, sessions[0].rows[1].number.sequence);
    frag_loaded_free(loaded);
    archive_session_finish(&sessions[0]);
    archive_session_finish(&sessions[1]);
}

/* ---- beside a writer ---- */

enum { LAST = 50, READERS = 2 };

struct follower {
    struct frag_archive *archive;
    uint64_t last; /* sequence */
    size_t loads;
    int failure;
};

/* Loads the newest fragment again and again, until the last one comes. */
static void *follow(void *user) {
    struct follower *follower = user;
    struct frag_entry entry = {.number = {.sequence = 0}};
    while (follower->failure == 0 && entry.number.sequence != follower->last) {
        struct frag_loaded *loaded = NULL;
        int rc = frag_archive_latest(follower->archive, &world.stream, &entry);
        rc = rc == 0 ? frag_archive_load(follower->archive, &entry, &loaded) : rc;
        follower->loads += rc == 0;
        follower->failure = rc;
        frag_loaded_free(loaded);
    }
    return NULL;
}

static void beside_a_writer(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 1};
    struct archive_session_config config;
    struct archive_session session;
    struct follower followers[READERS];
    pthread_t threads[READERS];
    struct frag_loaded *first = NULL;
    record_some(&given, &config, &session);
    struct frag_entry entry = entry_of(&session, 0);
    assert_int_equal(frag_archive_load(archive, &entry, &first), 0);
    for (size_t i = 0; i < READERS; i++) {
        followers[i] = (struct follower){.last = entry.number.sequence + LAST};
        assert_int_equal(frag_archive_open(&world.store, &followers[i].archive), 0);
        assert_int_equal(pthread_create(&threads[i], NULL, follow, &followers[i]), 0);
    }
    for (int i = 0; i < LAST; i++) {
        archive_session_add(&session, first->cluster, first->cluster_bytes,
                            session.rows[0].producer.ns, NULL);
    }
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(followers[i].failure, 0);
        assert_true(followers[i].loads > 0);
        frag_archive_close(followers[i].archive);
    }
    archive_session_close(&session);
    entry = entry_of(&session, LAST);
    frag_loaded_free(first);
    assert_int_equal(try_load(&entry), 0);
    archive_session_finish(&session);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_reels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deleted_reels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deleted_before_it_is_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deleted_and_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(moved_to_a_kept_reel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(entries_of_an_older_index, set_up, tear_down),
        cmocka_unit_test_setup_teardown(beside_a_writer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
