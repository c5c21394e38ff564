/* Reels as files: written, closed, read back, recovered; refusals, other versions, no memory. */
#include "base/crc.h"
#include "fragments/store/reel_file.h"
#include "tests/support/fail_alloc.h"
#include "tests/unit/fragments_reel_load.h"

#define KNOWN 7

static void paths(void **state) {
    (void)state;
    char path[FRAG_REEL_PATH_BYTES];
    struct frag_reel_identity identity = plain_identity();
    assert_string_equal(frag_reel_path_of(&identity, "gate", path),
                        "reels/gate-52525252/2026-11-20/21-23-40-53535353.mkv");
    assert_string_equal(frag_reel_path_of(&identity, "../a b\xC3\xA4/", path),
                        "reels/.._a_b___-52525252/2026-11-20/21-23-40-53535353.mkv");
    char name[101] = "";
    memset(name, 'x', 100);
    assert_int_equal(strlen(frag_reel_path_of(&identity, name, path)), 6 + 64 + 9 + 12 + 8 + 13);
    identity.opened.ns = INT64_MIN;
    assert_memory_equal(frag_reel_path_of(&identity, "", path) + 6, "-52525252/1677-09-21/00-12-43",
                        29);
}

/* Scanned with and without checksums, by the table, by the identity: the same. */
static void check_clean(struct mem_io *mem, const struct load_reel *load) {
    struct load_found found;
    struct frag_reel_identity identity;
    struct frag_io *io = mem_io(mem);
    assert_int_equal(frag_reel_identify(io, load->path, &identity), 0);
    assert_same_identity(&identity, &load->identity);
    for (int verify = 0; verify < 2; verify++) {
        assert_int_equal(load_scan(io, load->path, 0, verify != 0, &found), 0);
        assert_int_equal(found.damages, 0);
        assert_int_equal(found.count, load->count);
        assert_int_equal(found.state.fragments, load->count);
        assert_int_equal(load_match_all(mem, load, &found), (UINT64_C(1) << load->count) - 1);
        assert_same_identity(&found.state.identity, &load->identity);
        assert_int_equal(found.state.closed, load->closed);
        if (load->closed) {
            assert_int_equal(found.state.file_bytes, load->bytes);
            load_check_footer(io, load->path, &found);
        }
    }
}

/* One for each fragment with a key frame: of the picture, though sound stands before it. */
static void check_cues(struct mem_io *mem, const struct load_reel *load) {
    struct frag_mkv_cue cues[LOAD_MOST];
    struct frag_reel_places places;
    struct kn_writer expected;
    size_t count = 0;
    size_t size = 0;
    const uint8_t *file = mem_io_peek(mem, load->path, &size);
    for (size_t i = 0; i < load->count; i++) {
        if (i % 5 != 4) {
            cues[count++] = (struct frag_mkv_cue){
                .timecode = (2000 * i & 0xffff) + 40,
                .track = 1,
                .cluster_position = load->rows[i].cluster_at - FRAG_REEL_SEGMENT_AT,
                .relative_position = 12,
            };
        }
    }
    kn_writer_init_growing(&expected, 1 << 20);
    frag_mkv_write_cues(&expected, cues, count);
    assert_int_equal(frag_reel_read_page(file + FRAG_REEL_SEEK_AT, FRAG_REEL_SEEK_AT, &places), 1);
    assert_int_equal(places.cues_at + expected.size, places.table_at);
    assert_memory_equal(file + places.cues_at, expected.data, expected.size);
    kn_writer_finish(&expected);
}

static void write_close_read(void **state) {
    (void)state;
    for (size_t count = 0; count <= 30; count += 5) {
        struct load_reel load;
        struct mem_io *mem = load_disk();
        load_whole(mem_io(mem), count, &load);
        check_clean(mem, &load);
        if (count > 0) {
            check_cues(mem, &load);
        }
        mem_io_destroy(mem);
    }
}

static void open_reel(void **state) {
    (void)state;
    struct load_reel load;
    struct load_found found;
    struct frag_reel *reel = NULL;
    struct frag_reel_identity identity;
    struct kn_writer table;
    struct mem_io *mem = load_disk();
    assert_int_equal(load_create(mem_io(mem), 0, &load, &reel), 0);
    assert_string_equal(frag_reel_path(reel), load.path + strlen(LOAD_FOLDER) + 1);
    uint64_t first = frag_reel_bytes(reel);
    assert_int_equal(frag_reel_durable_bytes(reel), 0);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(load_append(reel, &load), 0);
        assert_int_equal(frag_reel_fragments(reel), i + 1);
        assert_int_equal(frag_reel_start_write_back(reel), 0);
        if (i == 0) {
            assert_int_equal(load.rows[0].cluster_at, first);
        }
        assert_int_equal(load_sync(reel, &load, NULL), 0);
        assert_int_equal(frag_reel_durable_bytes(reel), frag_reel_bytes(reel));
    }
    check_clean(mem, &load);
    kn_writer_init_growing(&table, 1 << 20);
    assert_int_equal(frag_reel_read_footer(mem_io(mem), load.path, &identity, &table), -ENODATA);
    kn_writer_finish(&table);
    /* From a later one on, and from places that cannot be. */
    assert_int_equal(load_scan(mem_io(mem), load.path, load.rows[5].cluster_at, true, &found), 0);
    assert_int_equal(load_match_all(mem, &load, &found), 0xe0);
    assert_int_equal(load_scan(mem_io(mem), load.path, frag_reel_bytes(reel), true, &found), 0);
    assert_int_equal(found.count + found.damages, 0);
    assert_int_equal(found.state.good_bytes, frag_reel_bytes(reel));
    assert_int_equal(load_scan(mem_io(mem), load.path, frag_reel_bytes(reel) + 1, true, &found),
                     KN_E_TRUNCATED);
    assert_int_equal(load_scan(mem_io(mem), load.path, 8191, true, &found), -EINVAL);
    assert_int_equal(load_scan(mem_io(mem), LOAD_FOLDER "/none", 0, true, &found), -ENOENT);
    frag_reel_abandon(reel);
    frag_reel_abandon(NULL);
    mem_io_destroy(mem);
}

/* Byte for byte what its writer would have made of it, whatever of the rows was known. */
static void recovered_as_closed(void **state) {
    (void)state;
    struct load_reel load;
    struct load_found found;
    struct frag_reel *reel = NULL;
    size_t size = 0;
    size_t closed_size = 0;
    struct mem_io *closed = load_disk();
    load_whole(mem_io(closed), 20, &load);
    const uint8_t *expected = mem_io_peek(closed, load.path, &closed_size);
    for (size_t known = 0; known <= 20; known += 5) {
        struct mem_io *mem = load_disk();
        assert_int_equal(load_create(mem_io(mem), 0, &load, &reel), 0);
        for (size_t i = 0; i < 20; i++) {
            assert_int_equal(load_append(reel, &load), 0);
        }
        uint64_t from = known == 0   ? 0
                        : known < 20 ? load.rows[known].cluster_at
                                     : frag_reel_bytes(reel);
        frag_reel_abandon(reel);
        memset(&found, 0, sizeof(found));
        assert_int_equal(frag_reel_recover(mem_io(mem), load.path, from, load.rows, known,
                                           &load_handler, &found, &found.state),
                         0);
        assert_int_equal(found.count, 20 - known);
        assert_int_equal(found.damages, 0);
        assert_true(found.state.closed && found.state.file_bytes == closed_size);
        const uint8_t *file = mem_io_peek(mem, load.path, &size);
        assert_int_equal(size, closed_size);
        assert_memory_equal(file, expected, size);
        /* Once more: it is left alone. */
        struct fault_io fault;
        fault_io_init(&fault, mem_io(mem));
        fault.fail_at = 1;
        fault.fail_kinds = 1u << FAULT_WRITING | 1u << FAULT_SYNCING;
        assert_int_equal(load_recover(&fault.io, load.path, &found), 0);
        assert_int_equal(found.count, 20);
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
    mem_io_destroy(closed);
}

static void known_rows_that_cannot_be(void **state) {
    (void)state;
    struct load_reel load;
    struct load_found found = {.count = 0};
    struct frag_reel *reel = NULL;
    struct mem_io *mem = load_disk();
    size_t before = 0;
    size_t after = 0;
    assert_int_equal(load_create(mem_io(mem), 0, &load, &reel), 0);
    for (size_t i = 0; i < KNOWN; i++) {
        assert_int_equal(load_append(reel, &load), 0);
    }
    frag_reel_abandon(reel);
    (void)mem_io_peek(mem, load.path, &before);
    assert_int_equal(frag_reel_recover(mem_io(mem), load.path, load.rows[3].cluster_at, load.rows,
                                       4, &load_handler, &found, &found.state),
                     -EINVAL);
    assert_int_equal(frag_reel_recover(mem_io(mem), load.path, load.rows[3].cluster_at, load.rows,
                                       2, &load_handler, &found, &found.state),
                     -EINVAL);
    assert_int_equal(frag_reel_recover(mem_io(mem), load.path, load.rows[3].cluster_at, NULL, 0,
                                       &load_handler, &found, &found.state),
                     -EINVAL);
    struct frag_reel_row twice[] = {load.rows[1], load.rows[1]};
    assert_int_equal(frag_reel_recover(mem_io(mem), load.path, load.rows[2].cluster_at, twice, 2,
                                       &load_handler, &found, &found.state),
                     KN_E_MALFORMED);
    (void)mem_io_peek(mem, load.path, &after);
    assert_int_equal(before, after);
    mem_io_destroy(mem);
}

/* ---- writing ---- */

static void one_write_a_fragment(void **state) {
    (void)state;
    struct load_reel load;
    struct frag_reel *reel = NULL;
    struct mem_io *mem = load_disk();
    struct fault_io fault;
    fault_io_init(&fault, mem_io(mem));
    assert_int_equal(load_create(&fault.io, 0, &load, &reel), 0);
    uint64_t before = fault.operations;
    assert_int_equal(load_append(reel, &load), 0);
    assert_int_equal(fault.operations, before + 1);
    assert_int_equal(load_sync(reel, &load, NULL), 0);
    assert_int_equal(fault.operations, before + 1 + 5); /* and four folders */
    assert_int_equal(load_sync(reel, &load, NULL), 0);
    assert_int_equal(fault.operations, before + 1 + 5);
    assert_int_equal(load_append(reel, &load), 0);
    assert_int_equal(load_sync(reel, &load, NULL), 0);
    assert_int_equal(fault.operations, before + 1 + 5 + 2);
    /* However short the writes are. */
    fault.write_max = 7;
    assert_int_equal(load_append(reel, &load), 0);
    assert_int_equal(load_close(reel, &load, NULL), 0);
    check_clean(mem, &load);
    fault_io_finish(&fault);
    mem_io_destroy(mem);
}

static void refused_and_goes_on(void **state) {
    (void)state;
    struct load_reel load;
    struct frag_reel *reel = NULL;
    struct frag_reel *second = NULL;
    struct load_reel other;
    struct kn_writer cluster;
    struct mem_io *mem = load_disk();
    assert_int_equal(load_create(mem_io(mem), 0, &load, &reel), 0);
    assert_int_equal(load_create(mem_io(mem), 0, &other, &second), -EEXIST);
    assert_int_equal(load_append(reel, &load), 0);
    kn_writer_init_growing(&cluster, 1 << 20);
    load_cluster(&cluster, &load.identity, 1);
    for (int what = 0; what < 8; what++) {
        struct frag_reel_row row = load_row(1);
        size_t size = cluster.size;
        int expected = -EINVAL;
        row.before_bytes = row.after_bytes = 0;
        switch (what) {
        case 0:
            row.number.sequence = load.rows[0].number.sequence;
            break;
        case 1:
            row.ordinal = load.rows[0].ordinal;
            break;
        case 2:
            row.discontinuities = load.rows[0].discontinuities - 1;
            break;
        case 3:
            row.number.low++;
            break;
        case 4:
            size--;
            break;
        case 5:
            size = 11;
            break;
        case 6:
            row.duration_ns = -1;
            expected = KN_E_MALFORMED;
            break;
        default:
            row.before_bytes = FRAG_REEL_AROUND_MAX + 1;
            expected = KN_E_LIMIT;
            break;
        }
        const struct iovec slice = {.iov_base = cluster.data, .iov_len = size};
        assert_int_equal(frag_reel_append(reel, &row, &slice, 1, size, cluster.data, cluster.data),
                         expected);
        assert_int_equal(row.cluster_at, 0);
    }
    kn_writer_finish(&cluster);
    assert_int_equal(load_append(reel, &load), 0);
    assert_int_equal(load_close(reel, &load, NULL), 0);
    check_clean(mem, &load);
    mem_io_destroy(mem);
}

static void rows_are_bounded(void **state) {
    (void)state;
    struct frag_reel_ends ends = {.row_count = FRAG_REEL_ROWS_MAX - 1};
    ends.row_room = ends.cue_room = FRAG_REEL_ROWS_MAX;
    assert_int_equal(frag_reel_ends_reserve(&ends), 0);
    ends.row_count++;
    assert_int_equal(frag_reel_ends_reserve(&ends), KN_E_LIMIT);
    frag_reel_ends_finish(&ends);
}

/* Whatever fails first is what every later call says, and nothing is written any more. */
static void failure_is_final(void **state) {
    (void)state;
    for (uint64_t which = 1; which <= 3; which++) {
        struct load_reel load;
        struct frag_reel *reel = NULL;
        struct mem_io *mem = load_disk();
        struct fault_io fault;
        uint64_t bytes = 7;
        fault_io_init(&fault, mem_io(mem));
        assert_int_equal(load_create(&fault.io, 0, &load, &reel), 0);
        assert_int_equal(load_append(reel, &load), 0);
        assert_int_equal(load_sync(reel, &load, &fault), 0);
        assert_int_equal(load_append(reel, &load), 0);
        fault.fail_at = fault.operations + 1;
        int rc = which == 1   ? load_append(reel, &load)
                 : which == 2 ? load_sync(reel, &load, &fault)
                              : frag_reel_start_write_back(reel);
        assert_int_equal(rc, -EIO);
        uint64_t operations = fault.operations;
        assert_int_equal(load_append(reel, &load), -EIO);
        assert_int_equal(load_sync(reel, &load, &fault), -EIO);
        assert_int_equal(frag_reel_start_write_back(reel), -EIO);
        assert_int_equal(frag_reel_durable_bytes(reel), load.rows[0].cluster_at +
                                                            load.rows[0].cluster_bytes +
                                                            load.rows[0].trailer_bytes);
        assert_int_equal(frag_reel_close(reel, &bytes), -EIO);
        assert_int_equal(bytes, 7);
        assert_int_equal(fault.operations, operations);
        load_check_left(mem, &load, fault.step_count);
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
}

static void create_fails(void **state) {
    (void)state;
    for (uint64_t k = 1; k <= 6; k++) {
        struct load_reel load;
        struct frag_reel *reel = NULL;
        struct mem_io *mem = load_disk();
        struct fault_io fault;
        size_t size = 0;
        fault_io_init(&fault, mem_io(mem));
        fault.fail_at = k;
        fault.fail_error = -ENOSPC;
        fault.torn = true;
        fault.fail_count = k == 5 ? 2 : 1; /* ahead, then just what is written */
        assert_int_equal(load_create(&fault.io, 0, &load, &reel), -ENOSPC);
        assert_null(mem_io_peek(mem, load.path, &size));
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
}

/* ---- reading ---- */

static void large_pieces(void **state) {
    (void)state;
    struct load_reel load;
    struct load_found found;
    struct frag_reel *reel = NULL;
    struct mem_io *mem = load_disk();
    struct kn_writer cluster;
    size_t size = (size_t)5 << 19;
    size_t file_size = 0;
    uint8_t *payload = calloc(1, size);
    assert_non_null(payload);
    assert_int_equal(load_create(mem_io(mem), 0, &load, &reel), 0);
    kn_writer_init_growing(&cluster, (size_t)8 << 20);
    for (size_t i = 0; i < 4; i++) {
        struct frag_reel_row row = load_row(i);
        kn_writer_clear(&cluster);
        load_write_cluster(&cluster, i, payload, i == 1 ? size : 50 + i);
        row.before_bytes = i > 0 ? 600000 : 0;
        row.after_bytes = i > 0 ? FRAG_REEL_AROUND_MAX - 600000 : 0;
        const struct iovec slice = {.iov_base = cluster.data, .iov_len = cluster.size};
        assert_int_equal(frag_reel_append(reel, &row, &slice, 1, cluster.size, payload, payload),
                         0);
        load.rows[i] = row;
    }
    kn_writer_finish(&cluster);
    free(payload);
    assert_int_equal(frag_reel_close(reel, &load.bytes), 0);
    for (int verify = 0; verify < 2; verify++) {
        assert_int_equal(load_scan(mem_io(mem), load.path, 0, verify != 0, &found), 0);
        assert_int_equal(found.damages, 0);
        assert_int_equal(found.count, 4);
        for (size_t i = 0; i < 4; i++) {
            assert_same_row(&found.rows[i], &load.rows[i]);
        }
    }
    /* Without its beginning the large one is gone, and nothing else. */
    uint8_t *file = mem_io_peek(mem, load.path, &file_size);
    file[load.rows[1].cluster_at] ^= 1;
    assert_int_equal(load_scan(mem_io(mem), load.path, 0, false, &found), 0);
    assert_int_equal(found.damages, 1);
    assert_int_equal(found.damaged_from[0], load.rows[1].cluster_at);
    assert_int_equal(found.damaged_to[0], load.rows[2].cluster_at);
    assert_int_equal(found.count, 3);
    mem_io_destroy(mem);
}

static int stop_at_once(const struct frag_reel_row *row, void *user) {
    (void)row;
    ++*(int *)user;
    return -EINTR;
}

static void handlers(void **state) {
    (void)state;
    static const struct frag_reel_handler none = {.fragment = NULL};
    static const struct frag_reel_handler stop = {.fragment = stop_at_once};
    struct load_reel load;
    struct frag_reel_scanned found = {.fragments = 99};
    struct mem_io *mem = load_disk();
    int calls = 0;
    load_whole(mem_io(mem), 5, &load);
    assert_int_equal(frag_reel_scan(mem_io(mem), load.path, 0, true, &stop, &calls, &found),
                     -EINTR);
    assert_int_equal(calls, 1);
    assert_int_equal(found.fragments, 99);
    assert_int_equal(frag_reel_scan(mem_io(mem), load.path, 0, true, &none, NULL, &found), 0);
    assert_int_equal(found.fragments, 5);
    mem_io_destroy(mem);
}

/* The first page as a later version would write it: the Tags' checksum holds. */
static void make_version(uint8_t *file, uint8_t version) {
    static const char name[] = "KINORA_REEL";
    uint8_t *tag = memmem(file, 4096, name, sizeof(name) - 1);
    assert_non_null(tag);
    tag[sizeof(name) - 1 + 6 + 1] = version;
    uint8_t *tags = file + FRAG_REEL_SEGMENT_AT;
    size_t body = ((size_t)(tags[6] << 8) | tags[7]) - 6;
    uint32_t crc = kn_crc32(0, tags + 14, body);
    for (int i = 0; i < 4; i++) {
        tags[10 + i] = (uint8_t)(crc >> 8 * i);
    }
}

static void other_versions(void **state) {
    (void)state;
    struct load_reel load;
    struct load_found found;
    struct frag_reel_identity identity;
    struct kn_writer table;
    size_t size = 0;
    struct mem_io *mem = load_disk();
    load_whole(mem_io(mem), 3, &load);
    uint8_t *file = mem_io_peek(mem, load.path, &size);
    make_version(file, 2);
    uint8_t *copy = exact_copy(file, size);
    kn_writer_init_growing(&table, 1 << 20);
    struct frag_io *io = mem_io(mem);
    assert_int_equal(frag_reel_identify(io, load.path, &identity), KN_E_UNSUPPORTED);
    assert_int_equal(frag_reel_read_footer(io, load.path, &identity, &table), KN_E_UNSUPPORTED);
    assert_int_equal(load_scan(io, load.path, 0, true, &found), KN_E_UNSUPPORTED);
    assert_int_equal(load_recover(io, load.path, &found), KN_E_UNSUPPORTED);
    file = mem_io_peek(mem, load.path, &size);
    assert_memory_equal(file, copy, size);
    make_version(file, 0);
    assert_int_equal(load_scan(io, load.path, 0, true, &found), KN_E_MALFORMED);
    make_version(file, 1);
    check_clean(mem, &load);
    kn_writer_finish(&table);
    free(copy);
    mem_io_destroy(mem);
}

/* ---- no memory ---- */

/* A reel goes on after an append that had none. */
static int write_short_of_memory(struct mem_io *mem, struct load_reel *load, unsigned long n) {
    struct frag_reel *reel = NULL;
    struct kn_writer cluster;
    uint8_t room[8192];
    struct kn_tracks *tracks = load_tracks();
    static const uint8_t header[300] = {1, 2, 3};
    memset(load, 0, sizeof(*load));
    load->identity = load_identity(0);
    const struct frag_reel_config config = {.io = mem_io(mem),
                                            .folder = LOAD_FOLDER,
                                            .identity = load->identity,
                                            .stream_name = "gate",
                                            .tracks = tracks,
                                            .producer_header = header};
    fail_alloc_at(n);
    int rc = frag_reel_create(&config, &reel);
    if (rc == 0) {
        (void)snprintf(load->path, sizeof(load->path), LOAD_FOLDER "/%s", frag_reel_path(reel));
    }
    for (size_t i = 0; i < 4 && rc == 0; i++) {
        kn_writer_init(&cluster, room, sizeof(room));
        load_cluster(&cluster, &load->identity, i);
        int appended = load_append_bytes(reel, load, &cluster);
        if (appended == -ENOMEM) {
            appended = load_append_bytes(reel, load, &cluster);
        }
        assert_int_equal(appended, 0);
    }
    if (rc == 0) {
        rc = load_close(reel, load, NULL);
    }
    fail_alloc_stop();
    kn_tracks_unref(tracks);
    return rc;
}

static void writing_without_memory(void **state) {
    (void)state;
    unsigned long n = 1;
    for (unsigned long reached = 1; reached + 1 >= n; n++) {
        struct load_reel load;
        struct mem_io *mem = load_disk();
        int rc = write_short_of_memory(mem, &load, n);
        reached = fail_alloc_count();
        assert_true(rc == 0 || rc == -ENOMEM);
        if (load.path[0] != '\0') {
            assert_int_equal(load.count, 4);
            load_check_left(mem, &load, 0);
        }
        mem_io_destroy(mem);
    }
    assert_true(n > 10);
}

static void reading_without_memory(void **state) {
    (void)state;
    struct load_reel load;
    struct load_found found;
    struct frag_reel_identity identity;
    struct mem_io *mem = load_disk();
    load_whole(mem_io(mem), 5, &load);
    unsigned failed = 0;
    for (unsigned long n = 1; n <= 20; n++) {
        struct kn_writer table;
        struct kn_writer page;
        size_t size = 0;
        kn_writer_init_growing(&table, 1 << 20);
        fail_alloc_at(n);
        int scanned = load_scan(mem_io(mem), load.path, 0, true, &found);
        fail_alloc_at(n);
        int read = frag_reel_read_footer(mem_io(mem), load.path, &identity, &table);
        fail_alloc_stop();
        kn_writer_finish(&table);
        assert_true((scanned == 0 || scanned == -ENOMEM) && (read == 0 || read == -ENOMEM));
        failed += scanned != 0 ? 1 : 0;
        failed += read != 0 ? 1 : 0;
        /* Open again: a Void for the page. */
        uint8_t *file = mem_io_peek(mem, load.path, &size);
        kn_writer_init(&page, file + FRAG_REEL_SEEK_AT, 4096);
        kn_write_be16(&page, 0xEC01);
        kn_write_be(&page, 4096 - 9, 7);
        kn_write_zeros(&page, 4096 - 9);
        fail_alloc_at(n);
        int recovered = load_recover(mem_io(mem), load.path, &found);
        fail_alloc_stop();
        assert_true(recovered == 0 || recovered == -ENOMEM);
        failed += recovered != 0 ? 1 : 0;
        assert_int_equal(load_recover(mem_io(mem), load.path, &found), 0);
        check_clean(mem, &load);
    }
    assert_true(failed >= 8 && failed < 50);
    mem_io_destroy(mem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(write_close_read),
        cmocka_unit_test(open_reel),
        cmocka_unit_test(recovered_as_closed),
        cmocka_unit_test(known_rows_that_cannot_be),
        cmocka_unit_test(one_write_a_fragment),
        cmocka_unit_test(refused_and_goes_on),
        cmocka_unit_test(rows_are_bounded),
        cmocka_unit_test(failure_is_final),
        cmocka_unit_test(create_fails),
        cmocka_unit_test(large_pieces),
        cmocka_unit_test(handlers),
        cmocka_unit_test(other_versions),
        cmocka_unit_test(writing_without_memory),
        cmocka_unit_test(reading_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
