/* Reels that a disk has changed: what is damaged is told, and the rest is found. */
#include "base/crc.h"
#include "tests/unit/fragments_reel_load.h"

#define FRAGMENTS 30
#define FLIPS 700

static uint64_t row_end(const struct frag_reel_row *row) {
    return row->cluster_at + row->cluster_bytes + row->trailer_bytes;
}

/* All fragments but the one that `at` is in. */
static uint64_t without(const struct load_reel *load, uint64_t at) {
    uint64_t set = 0;
    for (size_t i = 0; i < load->count; i++) {
        bool inside = at >= load->rows[i].cluster_at && at < row_end(&load->rows[i]);
        set |= (uint64_t)!inside << i;
    }
    return set;
}

static bool is_told(const struct load_found *found, uint64_t at) {
    for (size_t i = 0; i < found->damages; i++) {
        if (at >= found->damaged_from[i] && at < found->damaged_to[i]) {
            return true;
        }
    }
    return false;
}

/* What stands at `at` is damaged: it is told, and all neighbours are there. */
static void check_flip(struct mem_io *mem, const struct load_reel *load, uint64_t at) {
    struct load_found found;
    int rc = load_scan(mem_io(mem), load->path, 0, true, &found);
    if (at < FRAG_REEL_SEEK_AT) {
        assert_int_equal(rc, KN_E_MALFORMED);
        return;
    }
    uint64_t expected = without(load, at);
    assert_int_equal(rc, 0);
    assert_int_equal(load_match_all(mem, load, &found), expected);
    /* A page without its table is told for the table. */
    assert_true(is_told(&found, at) || (load->closed && !found.state.closed && found.damages > 0));
    rc = load_scan(mem_io(mem), load->path, 0, false, &found);
    assert_int_equal(rc, 0);
    uint64_t set = 0;
    for (size_t i = 0; i < found.count; i++) {
        for (size_t j = 0; j < load->count; j++) {
            if (found.rows[i].number.sequence == load->rows[j].number.sequence) {
                assert_same_row(&found.rows[i], &load->rows[j]);
                set |= UINT64_C(1) << j;
            }
        }
    }
    assert_int_equal(set & expected, expected);
}

static void flips(void **state) {
    (void)state;
    uint64_t seed = 11;
    for (int closed = 0; closed < 2; closed++) {
        struct load_reel load;
        struct frag_reel *reel = NULL;
        size_t size = 0;
        struct mem_io *mem = load_disk();
        assert_int_equal(load_create(mem_io(mem), 0, &load, &reel), 0);
        for (size_t i = 0; i < FRAGMENTS; i++) {
            assert_int_equal(load_append(reel, &load), 0);
        }
        if (closed != 0) {
            assert_int_equal(load_close(reel, &load, NULL), 0);
        } else {
            frag_reel_abandon(reel);
        }
        for (int i = 0; i < FLIPS; i++) {
            uint8_t *file = mem_io_peek(mem, load.path, &size);
            /* Every third in a trailer, every ninth in head or end. */
            const struct frag_reel_row *row = &load.rows[load_random(&seed) % FRAGMENTS];
            uint64_t at = load_random(&seed) % size;
            if (i % 3 == 0) {
                at = row->cluster_at + row->cluster_bytes + at % row->trailer_bytes;
            } else if (i % 9 == 1) {
                at = FRAG_REEL_SEEK_AT + at % (load.rows[0].cluster_at - FRAG_REEL_SEEK_AT);
            } else if (i % 9 == 2 && closed != 0) {
                uint64_t end = row_end(&load.rows[FRAGMENTS - 1]);
                at = end + at % (size - end);
            } else if (i % 9 == 4) {
                at = row->cluster_at + at % 12;
            }
            uint8_t bit = (uint8_t)(1u << load_random(&seed) % 8);
            file[at] ^= bit;
            check_flip(mem, &load, at);
            file[at] ^= bit;
        }
        mem_io_destroy(mem);
    }
}

/* A file that ends early has what was whole, and recovery makes it whole. */
static void cut_anywhere(void **state) {
    (void)state;
    struct load_reel load;
    struct load_found found;
    size_t size = 0;
    struct mem_io *mem = load_disk();
    load_whole(mem_io(mem), 12, &load);
    const uint8_t *left = mem_io_peek(mem, load.path, &size);
    uint8_t *file = exact_copy(left, size);
    for (size_t cut = 0; cut < size; cut += cut < FRAG_REEL_BODY_AT ? 511 : 37) {
        uint64_t expected = 0;
        for (size_t i = 0; i < load.count; i++) {
            expected |= (uint64_t)(row_end(&load.rows[i]) <= cut) << i;
        }
        mem_io_set(mem, load.path, file, cut);
        int rc = load_scan(mem_io(mem), load.path, 0, true, &found);
        if (cut < FRAG_REEL_SEEK_AT) {
            assert_int_equal(rc, KN_E_TRUNCATED);
            continue;
        }
        assert_int_equal(rc, 0);
        assert_true(!found.state.closed && found.damages > 0);
        assert_int_equal(load_match_all(mem, &load, &found), expected);
        if (cut >= load.rows[0].cluster_at) {
            load_check_recovery(mem, &load, expected);
        } else {
            assert_int_equal(load_recover(mem_io(mem), load.path, &found), KN_E_TRUNCATED);
        }
    }
    mem_io_set(mem, load.path, file, size);
    free(file);
    mem_io_destroy(mem);
}

static void bytes_behind_the_table(void **state) {
    (void)state;
    struct load_reel load;
    struct load_found found;
    size_t size = 0;
    struct mem_io *mem = load_disk();
    load_whole(mem_io(mem), 3, &load);
    const uint8_t *file = mem_io_peek(mem, load.path, &size);
    uint8_t *more = calloc(1, size + 5);
    assert_non_null(more);
    memcpy(more, file, size);
    mem_io_set(mem, load.path, more, size + 5);
    free(more);
    assert_int_equal(load_scan(mem_io(mem), load.path, 0, true, &found), 0);
    assert_true(found.state.closed && found.count == 3);
    assert_int_equal(found.damages, 1);
    assert_int_equal(found.damaged_from[0], size);
    assert_int_equal(found.damaged_to[0], size + 5);
    mem_io_destroy(mem);
}

/* ---- forgeries ---- */

/* A cluster of 16 bytes and its trailer as they would stand at `at` of such a reel. */
static void forge(struct kn_writer *writer, uint64_t at, const uint8_t *reel_id, size_t i) {
    static const uint8_t cluster[16] = {0x1F, 0x43, 0xB6, 0x75, 1,    0,    0, 0,
                                        0,    0,    0,    4,    0xE7, 0x82, 0, 1};
    struct frag_reel_row row = load_row(i);
    row.cluster_at = at;
    row.cluster_bytes = sizeof(cluster);
    row.cluster_crc32c = kn_crc32c(0, cluster, sizeof(cluster));
    row.before_bytes = row.after_bytes = 0;
    kn_write_bytes(writer, cluster, sizeof(cluster));
    frag_reel_write_trailer(writer, &row, reel_id, NULL, NULL);
    assert_int_equal(kn_writer_status(writer), 0);
}

/* Frame bytes of a cluster that will stand at `at`: an exact forgery but for the reel's id, which a
 * producer does not know; and all of this reel so far, in another place. */
static void write_forgeries(struct kn_writer *payload, uint64_t at, const struct load_reel *load,
                            const uint8_t *file) {
    struct frag_reel_identity other = load->identity;
    other.reel_id[15] ^= 1;
    uint64_t payload_at = at + 12 + 4 + 8 + 9;
    forge(payload, payload_at + payload->size, other.reel_id, load->count);
    kn_write_bytes(payload, file + load->rows[0].cluster_at, at - load->rows[0].cluster_at);
    forge(payload, payload_at + payload->size + 1, load->identity.reel_id, load->count);
    forge(payload, payload_at + payload->size, other.reel_id, load->count + 1);
    assert_int_equal(kn_writer_status(payload), 0);
}

static void check_found(struct mem_io *mem, const struct load_reel *load, bool verify,
                        size_t missing) {
    struct load_found found;
    assert_int_equal(load_scan(mem_io(mem), load->path, 0, verify, &found), 0);
    size_t at = 0;
    for (size_t i = 0; i < load->count; i++) {
        if (i != missing) {
            assert_true(at < found.count);
            assert_same_row(&found.rows[at++], &load->rows[i]);
        }
    }
    assert_int_equal(found.count, at);
    assert_int_equal(found.damages > 0, missing < load->count);
}

static void forged_in_a_frame(void **state) {
    (void)state;
    struct load_reel load;
    struct frag_reel *reel = NULL;
    struct kn_writer payload;
    struct kn_writer cluster;
    struct mem_io *mem = load_disk();
    size_t size = 0;
    assert_int_equal(load_create(mem_io(mem), 0, &load, &reel), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(load_append(reel, &load), 0);
    }
    kn_writer_init_growing(&payload, 1 << 20);
    kn_writer_init_growing(&cluster, 1 << 20);
    write_forgeries(&payload, frag_reel_bytes(reel), &load, mem_io_peek(mem, load.path, &size));
    load_write_cluster(&cluster, 2, payload.data, payload.size);
    assert_int_equal(load_append_bytes(reel, &load, &cluster), 0);
    assert_int_equal(load_append(reel, &load), 0);
    uint64_t bytes = 0;
    assert_int_equal(frag_reel_close(reel, &bytes), 0);
    for (int verify = 0; verify < 2; verify++) {
        uint8_t *file = mem_io_peek(mem, load.path, &size);
        check_found(mem, &load, verify != 0, SIZE_MAX);
        /* The trailer before it destroyed, and its own, and its cluster's head. */
        const uint64_t places[] = {load.rows[1].cluster_at + load.rows[1].cluster_bytes + 70,
                                   load.rows[2].cluster_at + load.rows[2].cluster_bytes + 70,
                                   load.rows[2].cluster_at + 11};
        for (size_t i = 0; i < KN_COUNT(places); i++) {
            file[places[i]] ^= 0x55;
            check_found(mem, &load, verify != 0, i == 0 ? 1 : 2);
            file[places[i]] ^= 0x55;
        }
    }
    kn_writer_finish(&payload);
    kn_writer_finish(&cluster);
    mem_io_destroy(mem);
}

/* With good checksums, but not behind the one before: such rows make no table. */
static void out_of_order(void **state) {
    (void)state;
    struct load_reel load;
    struct load_found found;
    struct frag_reel *reel = NULL;
    struct kn_writer more;
    size_t size = 0;
    struct mem_io *mem = load_disk();
    assert_int_equal(load_create(mem_io(mem), 0, &load, &reel), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(load_append(reel, &load), 0);
    }
    frag_reel_abandon(reel);
    kn_writer_init_growing(&more, 1 << 20);
    const uint8_t *file = mem_io_peek(mem, load.path, &size);
    kn_write_bytes(&more, file, size);
    forge(&more, more.size, load.identity.reel_id, 2);
    forge(&more, more.size, load.identity.reel_id, 3);
    mem_io_set(mem, load.path, more.data, more.size);
    kn_writer_finish(&more);
    assert_int_equal(load_scan(mem_io(mem), load.path, 0, true, &found), 0);
    assert_int_equal(found.count, 4);
    assert_int_equal(found.damages, 1);
    assert_int_equal(found.damaged_from[0], size);
    assert_int_equal(load_recover(mem_io(mem), load.path, &found), 0);
    assert_true(found.state.closed);
    mem_io_destroy(mem);
}

/* A trailer that is all right but for a cluster that begins in a fragment before. */
static void overlapping(void **state) {
    (void)state;
    struct load_reel load;
    struct load_found found;
    struct frag_reel *reel = NULL;
    struct kn_writer more;
    size_t size = 0;
    struct mem_io *mem = load_disk();
    assert_int_equal(load_create(mem_io(mem), 0, &load, &reel), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(load_append(reel, &load), 0);
    }
    frag_reel_abandon(reel);
    kn_writer_init_growing(&more, 1 << 20);
    const uint8_t *file = mem_io_peek(mem, load.path, &size);
    kn_write_bytes(&more, file, size);
    struct frag_reel_row row = load_row(3);
    row.cluster_at = load.rows[1].cluster_at;
    row.cluster_bytes = size - row.cluster_at;
    row.cluster_crc32c = kn_crc32c(0, file + row.cluster_at, row.cluster_bytes);
    row.before_bytes = row.after_bytes = 0;
    frag_reel_write_trailer(&more, &row, load.identity.reel_id, NULL, NULL);
    assert_int_equal(kn_writer_status(&more), 0);
    mem_io_set(mem, load.path, more.data, more.size);
    kn_writer_finish(&more);
    assert_int_equal(load_scan(mem_io(mem), load.path, 0, true, &found), 0);
    assert_int_equal(found.count, 3);
    assert_int_equal(found.damages, 1);
    assert_int_equal(found.damaged_from[0], size);
    mem_io_destroy(mem);
}

/* A payload that is nothing but beginnings of trailers costs one look each. */
static void many_beginnings(void **state) {
    (void)state;
    static const uint8_t beginning[] = {0x12, 0x54, 0xC3, 0x67, 0x10, 0x0F, 0xFF, 0xFF};
    struct load_reel load;
    struct load_found found;
    struct frag_reel *reel = NULL;
    struct kn_writer payload;
    struct kn_writer cluster;
    size_t size = 0;
    struct mem_io *mem = load_disk();
    kn_writer_init_growing(&payload, (size_t)8 << 20);
    kn_writer_init_growing(&cluster, (size_t)8 << 20);
    for (size_t i = 0; i < (size_t)3 << 17; i++) {
        kn_write_bytes(&payload, beginning, sizeof(beginning));
    }
    assert_int_equal(load_create(mem_io(mem), 0, &load, &reel), 0);
    load_write_cluster(&cluster, 0, payload.data, payload.size);
    assert_int_equal(load_append_bytes(reel, &load, &cluster), 0);
    assert_int_equal(load_append(reel, &load), 0);
    frag_reel_abandon(reel);
    mem_io_peek(mem, load.path, &size)[load.rows[0].cluster_at] ^= 1;
    struct fault_io fault;
    fault_io_init(&fault, mem_io(mem));
    assert_int_equal(load_scan(&fault.io, load.path, 0, true, &found), 0);
    assert_int_equal(found.count, 1);
    assert_true(fault.operations < 40);
    fault_io_finish(&fault);
    kn_writer_finish(&payload);
    kn_writer_finish(&cluster);
    mem_io_destroy(mem);
}

/* Anything at all behind a good head. */
static void noise(void **state) {
    (void)state;
    struct load_reel load;
    struct load_found found;
    size_t size = 0;
    uint64_t seed = 3;
    struct mem_io *mem = load_disk();
    load_whole(mem_io(mem), 6, &load);
    const uint8_t *left = mem_io_peek(mem, load.path, &size);
    uint8_t *whole = exact_copy(left, size);
    for (int round = 0; round < 200; round++) {
        uint8_t *file = exact_copy(whole, size);
        for (size_t at = FRAG_REEL_SEEK_AT; at < size; at += load_random(&seed) % 600) {
            size_t run = load_random(&seed) % 12;
            for (size_t i = at; i < size && i < at + run; i++) {
                file[i] = (uint8_t)(load_random(&seed) % 3 == 0 ? 0xFF : load_random(&seed));
            }
        }
        mem_io_set(mem, load.path, file, size);
        assert_int_equal(load_scan(mem_io(mem), load.path, 0, round % 2 == 0, &found), 0);
        int rc = load_recover(mem_io(mem), load.path, &found);
        assert_true(rc == 0 || rc == KN_E_MALFORMED || rc == KN_E_TRUNCATED);
        (void)load_match_all(mem, &load, &found);
        free(file);
    }
    free(whole);
    mem_io_destroy(mem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(noise),
        cmocka_unit_test(bytes_behind_the_table),
        cmocka_unit_test(forged_in_a_frame),
        cmocka_unit_test(out_of_order),
        cmocka_unit_test(overlapping),
        cmocka_unit_test(many_beginnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
