/* Loading what is not as it was written: damaged, cut, lost, swapped, forged. It is refused, and
 * nothing of it given out. */
#include "base/crc.h"
#include "tests/unit/fragments_archive_loads.h"

static void flip(int fd, uint64_t at, unsigned bit) {
    uint8_t byte = 0;
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= (uint8_t)(1u << bit);
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
}

static void damaged_bytes(void **state) {
    (void)state;
    static const struct archive_session_config given = {.around = true, .fragments = 3};
    struct archive_session_config config;
    struct archive_session session;
    char path[600];
    record_some(&given, &config, &session);
    struct frag_entry entry = entry_of(&session, 0);
    struct frag_entry next = entry_of(&session, 1);
    int fd = open_file(&session, path);
    uint64_t end = entry.cluster_at + entry.cluster_bytes + entry.trailer_bytes;
    uint64_t trailer_at = end - entry.trailer_bytes;
    assert_int_equal(try_load(&entry), 0);
    /* Every bit of the trailer; some of the cluster, of its head all. */
    for (uint64_t at = entry.cluster_at; at < end;) {
        for (unsigned bit = 0; bit < 8; bit += at < trailer_at ? 5 : 1) {
            flip(fd, at, bit);
            assert_int_equal(try_load(&entry), KN_E_MALFORMED);
            flip(fd, at, bit);
        }
        bool all = at < entry.cluster_at + 40 || at + 1000 > trailer_at;
        at += all ? 1 : 997;
    }
    assert_int_equal(try_load(&entry), 0);
    flip(fd, trailer_at - 1, 0);
    assert_int_equal(try_load(&next), 0); /* its neighbour is none the worse */
    assert_int_equal(close(fd), 0);
    archive_session_finish(&session);
}

static void cut_file(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 2};
    struct archive_session_config config;
    struct archive_session session;
    char path[600];
    record_some(&given, &config, &session);
    struct frag_entry first = entry_of(&session, 0);
    struct frag_entry last = entry_of(&session, 1);
    int fd = open_file(&session, path);
    assert_int_equal(try_load(&last), 0);
    uint64_t end = last.cluster_at + last.cluster_bytes + last.trailer_bytes;
    const uint64_t cuts[] = {end - 1, end - last.trailer_bytes, last.cluster_at + 12,
                             last.cluster_at, last.cluster_at - 5};
    for (size_t i = 0; i < KN_COUNT(cuts); i++) {
        assert_int_equal(ftruncate(fd, (off_t)cuts[i]), 0);
        assert_int_equal(try_load(&last), KN_E_MALFORMED);
        assert_int_equal(try_load(&first), i + 1 < KN_COUNT(cuts) ? 0 : KN_E_MALFORMED);
    }
    frag_archive_close(archive); /* and a reel that is not open yet */
    assert_int_equal(frag_archive_open(&world.store, &archive), 0);
    const uint64_t heads[] = {session.rows[0].cluster_at - 1,
                              FRAG_REEL_BODY_AT + 20,
                              FRAG_REEL_BODY_AT,
                              FRAG_REEL_SEEK_AT,
                              100,
                              0};
    for (size_t i = 0; i < KN_COUNT(heads); i++) {
        assert_int_equal(ftruncate(fd, (off_t)heads[i]), 0);
        assert_int_equal(try_load(&first), KN_E_MALFORMED);
    }
    assert_int_equal(close(fd), 0);
    archive_session_finish(&session);
}

static void damaged_heads(void **state) {
    (void)state;
    static const struct archive_session_config given = {.header = true, .fragments = 1};
    struct archive_session_config config;
    struct archive_session session;
    char path[600];
    record_some(&given, &config, &session);
    struct frag_entry entry = entry_of(&session, 0);
    int fd = open_file(&session, path);
    for (uint64_t at = 0; at < entry.cluster_at;
         at += at < 500 || at > FRAG_REEL_BODY_AT ? 7 : 97) {
        if (at >= FRAG_REEL_SEEK_AT && at < FRAG_REEL_BODY_AT) {
            continue; /* the page that helps to find is not needed */
        }
        flip(fd, at, 3);
        frag_archive_close(archive);
        assert_int_equal(frag_archive_open(&world.store, &archive), 0);
        uint8_t *header = NULL;
        size_t bytes = 0;
        assert_int_equal(try_load(&entry), KN_E_MALFORMED);
        assert_int_equal(frag_archive_load_header(archive, &entry, &header, &bytes),
                         KN_E_MALFORMED);
        flip(fd, at, 3);
    }
    /* The same once the reel is open: samples do not need it any more. */
    assert_int_equal(try_load(&entry), 0);
    uint8_t *header = NULL;
    size_t bytes = 0;
    flip(fd, entry.cluster_at - 1, 0);
    assert_int_equal(try_load(&entry), 0);
    assert_int_equal(frag_archive_load_header(archive, &entry, &header, &bytes), KN_E_MALFORMED);
    assert_null(header);
    assert_int_equal(close(fd), 0);
    archive_session_finish(&session);
}

static void lost_and_swapped_files(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 1};
    struct archive_session_config config;
    struct archive_session one;
    struct archive_session other;
    char path[600];
    char other_path[600];
    record_some(&given, &config, &one);
    record_some(&given, &config, &other);
    struct frag_entry entry = entry_of(&one, 0);
    assert_int_equal(close(open_file(&one, path)), 0);
    assert_int_equal(close(open_file(&other, other_path)), 0);
    assert_int_equal(rename(other_path, path), 0);
    assert_int_equal(try_load(&entry), KN_E_MALFORMED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(try_load(&entry), KN_E_MALFORMED);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_int_equal(try_load(&entry), -ELOOP);
    world.store.folders[0].online = false;
    assert_int_equal(try_load(&entry), -ENODEV);
    world.store.folder_count = 0;
    assert_int_equal(try_load(&entry), -ENODEV);
    archive_session_finish(&other);
    archive_session_finish(&one);
}

/* What is on the disk as it was written, but no cluster that a reader takes. */
static void odd_clusters(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 1};
    static const uint8_t bodies[][16] = {
        {0},                         /* without its time */
        {4, 0xE7, 0x82, 0, 5},       /* no frame: a fragment of none */
        {5, 0xA3, 0x84, 0x81, 0, 0}, /* cut, and before its time */
        {11, 0xE7, 0x81, 0, 0xA3, 0x85, 0x9F, 0, 0, 0x80, 'x', 'y'}, /* of no track there is */
        {8, 0xE7, 0x81, 0, 0xEC, 0x88, 0, 0, 0}, /* an element that is too long */
    };
    struct archive_session_config config;
    struct archive_session session;
    record_some(&given, &config, &session);
    for (size_t i = 0; i < KN_COUNT(bodies); i++) {
        uint8_t cluster[32] = {0x1F, 0x43, 0xB6, 0x75, 1, [11] = bodies[i][0]};
        memcpy(cluster + 12, bodies[i] + 1, bodies[i][0]);
        archive_session_add(&session, cluster, 12u + bodies[i][0], session.rows[0].producer.ns,
                            NULL);
        struct frag_entry entry = entry_of(&session, session.count - 1);
        assert_int_equal(try_load(&entry), i == 1 ? 0 : KN_E_MALFORMED);
    }
    archive_session_finish(&session);
}

/* What no writer here writes, in a reel of ours all the same: file and index agree. */
static void forge(struct archive_session *session, int fd, const uint8_t *cluster, size_t bytes) {
    struct kn_writer trailer;
    const struct frag_reel_row *last = &session->rows[session->count - 1];
    struct frag_reel_row *row = &session->rows[session->count];
    *row = *last;
    row->cluster_at = last->cluster_at + last->cluster_bytes + last->trailer_bytes;
    row->cluster_bytes = bytes;
    row->cluster_crc32c = kn_crc32c(0, cluster, bytes);
    row->number.sequence++;
    row->ordinal++;
    row->before_bytes = row->after_bytes = 0;
    kn_writer_init_growing(&trailer, FRAG_REEL_TRAILER_MOST);
    frag_reel_write_trailer(&trailer, row, session->identity.reel_id, NULL, NULL);
    assert_int_equal(kn_writer_status(&trailer), 0);
    assert_int_equal(pwrite(fd, cluster, bytes, (off_t)row->cluster_at), bytes);
    assert_int_equal(
        pwrite(fd, trailer.data, trailer.size, (off_t)(row->cluster_at + row->cluster_bytes)),
        trailer.size);
    kn_writer_finish(&trailer);
    assert_int_equal(frag_index_begin(world.index), 0);
    assert_int_equal(frag_index_add_fragment(world.index, session->row, row), 0);
    assert_int_equal(frag_index_commit(world.index, false), 0);
    session->count++;
}

static void forged_clusters(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 1};
#define CLUSTER 0x1F, 0x43, 0xB6, 0x75, 1, 0, 0, 0, 0, 0, 0
#define TIME 0xE7, 0x81, 1
    static const struct {
        int rc;
        size_t bytes;
        uint8_t cluster[40];
    } forged[] = {
        {0, 15, {CLUSTER, 3, TIME}},
        {KN_E_MALFORMED, 17, {CLUSTER, 3, TIME, 0xEC, 0x80}},       /* a Void behind it */
        {KN_E_MALFORMED, 30, {CLUSTER, 3, TIME, CLUSTER, 3, TIME}}, /* two */
        {KN_E_MALFORMED, 15, {CLUSTER, 4, TIME}},                   /* cut */
        {KN_E_MALFORMED, 12, {0xEC, 0x8A}},                         /* none */
    };
    struct archive_session_config config;
    struct archive_session session;
    char path[600];
    record_some(&given, &config, &session);
    int fd = open_file(&session, path);
    for (size_t i = 0; i < KN_COUNT(forged); i++) {
        forge(&session, fd, forged[i].cluster, forged[i].bytes);
        struct frag_entry entry = entry_of(&session, session.count - 1);
        assert_int_equal(try_load(&entry), forged[i].rc);
    }
    assert_int_equal(close(fd), 0);
    archive_session_finish(&session);
}

/* Over the limits of a fragment, though file, index and checksum agree. */
static void too_large(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 1};
    struct archive_session_config config;
    struct archive_session session;
    struct kn_writer cluster;
    const size_t all = FRAG_CLUSTER_MAX_BYTES;
    record_some(&given, &config, &session);
    for (size_t more = 0; more < 2; more++) {
        kn_writer_init_growing(&cluster, all + more);
        kn_write_be32(&cluster, FRAG_MKV_CLUSTER);
        kn_write_be64(&cluster, (all + more - 12) | UINT64_C(1) << 56);
        kn_write_be24(&cluster, 0xE78101);
        kn_write_u8(&cluster, FRAG_MKV_VOID);
        kn_write_be64(&cluster, (all + more - 24) | UINT64_C(1) << 56);
        kn_write_zeros(&cluster, all + more - 24);
        assert_int_equal(kn_writer_status(&cluster), 0);
        archive_session_add(&session, cluster.data, cluster.size, session.rows[0].producer.ns,
                            NULL);
        kn_writer_finish(&cluster);
        struct frag_entry entry = entry_of(&session, session.count - 1);
        assert_int_equal(try_load(&entry), more == 0 ? 0 : KN_E_MALFORMED);
    }
    archive_session_finish(&session);
}

/* The index is not believed either; a place that only the caller has wrong is found again. */
static void places_that_are_not(void **state) {
    (void)state;
    static const struct archive_session_config given = {.fragments = 3};
    struct archive_session_config config;
    struct archive_session session;
    record_some(&given, &config, &session);
    struct frag_entry entry = entry_of(&session, 1);
    struct frag_entry odd = entry;
    odd.cluster_at = UINT64_MAX - 5;
    assert_int_equal(try_load(&odd), 0);
    odd.reel = 77;
    assert_int_equal(try_load(&odd), 0);
    odd.reel = 0;
    assert_int_equal(try_load(&odd), 0);
    odd = entry;
    odd.number.sequence += 50;
    assert_int_equal(try_load(&odd), KN_E_MALFORMED);
    const uint64_t lengths[] = {
        0,         11, 12, entry.cluster_bytes - 1, entry.cluster_bytes + 1, FRAG_CLUSTER_MAX_BYTES,
        UINT64_MAX};
    for (size_t i = 0; i < KN_COUNT(lengths); i++) {
        odd = entry;
        odd.cluster_bytes = lengths[i];
        assert_int_equal(try_load(&odd), KN_E_MALFORMED);
    }
    char path[600];
    int fd = open_file(&session, path);
    assert_int_equal(ftruncate(fd, (off_t)1 << 32), 0); /* so that there are bytes to read */
    assert_int_equal(close(fd), 0);
    const uint32_t trailers[] = {0, FRAG_REEL_TRAILER_LEAST + 1, FRAG_REEL_TRAILER_MOST + 1,
                                 1u << 28};
    for (size_t i = 0; i < KN_COUNT(trailers); i++) {
        odd = entry;
        odd.trailer_bytes = trailers[i];
        assert_int_equal(try_load(&odd), KN_E_MALFORMED);
    }
    odd = entry;
    odd.producer.ns++;
    assert_int_equal(try_load(&odd), KN_E_MALFORMED);
    memset(odd.stream, 0x77, sizeof(odd.stream));
    assert_int_equal(try_load(&odd), -ENOENT);
    odd.reel = 0;
    assert_int_equal(try_load(&odd), -ENOENT);
    archive_session_finish(&session);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(damaged_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cut_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_heads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lost_and_swapped_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(odd_clusters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forged_clusters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(places_that_are_not, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
