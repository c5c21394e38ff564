/* Reels written to a file system in memory, fragment by fragment, and what may be found of them. */
#ifndef TESTS_UNIT_FRAGMENTS_REEL_LOAD_H
#define TESTS_UNIT_FRAGMENTS_REEL_LOAD_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/store/reel.h"
#include "tests/support/fault_io.h"
#include "tests/support/mem_io.h"
#include "tests/unit/fragments_reels.h"

#define LOAD_FOLDER "disk"
#define LOAD_MOST 32
#define LOAD_REELS 2
#define LOAD_FRAGMENTS 20
#define LOAD_DAMAGES 64

static inline uint64_t load_random(uint64_t *seed) {
    uint64_t z = *seed += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* What was done to a reel, and since when it lasts. */
struct load_reel {
    struct frag_reel_identity identity;
    char path[FRAG_REEL_PATH_BYTES + 16]; /* with the storage directory */
    struct frag_reel_row rows[LOAD_MOST];
    size_t count;
    size_t durable_at[LOAD_MOST]; /* recorded steps by which it was synced; SIZE_MAX: never */
    bool closed;
    uint64_t bytes; /* of a closed one */
};

static inline struct kn_tracks *load_tracks(void) {
    const struct kn_track items[] = {
        {.number = 1,
         .uid = 11,
         .media = KN_MEDIA_VIDEO,
         .codec_id = "V_MJPEG",
         .width = 64,
         .height = 48},
        {.number = 2,
         .uid = 12,
         .media = KN_MEDIA_AUDIO,
         .codec_id = "A_PCM/INT/LIT",
         .sample_rate_hz = 8000,
         .channels = 1},
    };
    struct kn_tracks *tracks = NULL;
    assert_int_equal(kn_tracks_create(items, KN_COUNT(items), &tracks), 0);
    return tracks;
}

static inline struct frag_reel_identity load_identity(size_t number) {
    struct frag_reel_identity identity = plain_identity();
    identity.reel_id[0] = (uint8_t)(0xa0 + number);
    identity.producer_header_bytes = 300;
    return identity;
}

static inline struct mem_io *load_disk(void) {
    struct mem_io *mem = mem_io_create();
    assert_int_equal(mem_io(mem)->make_folder(mem_io(mem), LOAD_FOLDER), 0);
    return mem;
}

static inline int load_create(struct frag_io *io, size_t number, struct load_reel *load,
                              struct frag_reel **ret_reel) {
    static const uint8_t header[300] = {1, 2, 3};
    char path[FRAG_REEL_PATH_BYTES];
    memset(load, 0, sizeof(*load));
    load->identity = load_identity(number);
    (void)snprintf(load->path, sizeof(load->path), LOAD_FOLDER "/%s",
                   frag_reel_path_of(&load->identity, "gate", path));
    struct kn_tracks *tracks = load_tracks();
    const struct frag_reel_config config = {
        .io = io,
        .folder = LOAD_FOLDER,
        .identity = load->identity,
        .stream_name = "gate",
        .tracks = tracks,
        .producer_header = header,
    };
    int rc = frag_reel_create(&config, ret_reel);
    kn_tracks_unref(tracks);
    return rc;
}

/* ---- clusters ---- */

static inline void load_block(struct kn_writer *writer, uint8_t track, uint8_t flags,
                              const uint8_t *payload, size_t size) {
    kn_write_u8(writer, (uint8_t)(0x80 | track));
    kn_write_be16(writer, 40);
    kn_write_u8(writer, flags);
    kn_write_bytes(writer, payload, size);
}

/* A cluster of sound, then a picture with this payload: a key frame, but in every fifth. */
static inline void load_write_cluster(struct kn_writer *writer, size_t i, const uint8_t *payload,
                                      size_t size) {
    size_t from = writer->size;
    bool key = i % 5 != 4;
    kn_write_be32(writer, FRAG_MKV_CLUSTER);
    kn_write_be64(writer, 0);
    kn_write_bytes(writer, "\xE7\x82", 2);
    kn_write_be16(writer, (uint16_t)(2000 * i));
    kn_write_bytes(writer, "\xA3\x86", 2);
    load_block(writer, 2, 0x80, (const uint8_t *)"oo", 2);
    if (i % 7 == 3) {
        kn_write_u8(writer, 0xA0);
        kn_write_be32(writer, (uint32_t)(size + 9 + (key ? 0 : 3)) | 0x10000000u);
        kn_write_u8(writer, 0xA1);
        kn_write_be32(writer, (uint32_t)(size + 4) | 0x10000000u);
        load_block(writer, 1, 0, payload, size);
        kn_write_bytes(writer, "\xFB\x81\xFF", key ? 0 : 3);
    } else {
        kn_write_u8(writer, 0xA3);
        kn_write_be32(writer, (uint32_t)(size + 4) | 0x10000000u);
        load_block(writer, 1, key ? 0x80 : 0, payload, size);
    }
    assert_int_equal(kn_writer_status(writer), 0);
    struct kn_writer head;
    kn_writer_init(&head, writer->data + from + 4, 8);
    kn_write_be64(&head, (UINT64_C(1) << 56) + (writer->size - from - 12));
}

static inline void load_cluster(struct kn_writer *writer, const struct frag_reel_identity *identity,
                                size_t i) {
    uint8_t payload[2000];
    uint64_t seed = identity->reel_id[0] * UINT64_C(1000) + i;
    size_t size = 100 + (size_t)(load_random(&seed) % (sizeof(payload) - 100));
    for (size_t at = 0; at < size; at++) {
        payload[at] = (uint8_t)load_random(&seed);
    }
    load_write_cluster(writer, i, payload, size);
}

static inline struct frag_reel_row load_row(size_t i) {
    struct frag_reel_row row = plain_row();
    row.cluster_at = row.cluster_bytes = row.cluster_crc32c = 0;
    row.number.sequence += 10 + i;
    row.number.server_ms += 2000 * i;
    row.ordinal += i;
    row.discontinuities += i / 8;
    row.producer.ns += (int64_t)i * 2 * KN_NS_PER_S;
    row.server.ns += (int64_t)i * 2 * KN_NS_PER_S;
    row.flags = i % 5 == 4 ? FRAG_NO_KEY_START : 0;
    row.before_bytes = i % 6 == 1 ? 4 : 0;
    row.after_bytes = i % 4 == 2 ? 2 : 0;
    return row;
}

/* In slices, as they come from packing. */
static inline int load_append_bytes(struct frag_reel *reel, struct load_reel *load,
                                    struct kn_writer *cluster) {
    static const uint8_t around[] = {0xEC, 0x82, 'h', 'i', 0xEC, 0x80};
    size_t cut = cluster->size / 3;
    const struct iovec slices[] = {
        {.iov_base = cluster->data, .iov_len = 5},
        {.iov_base = cluster->data + 5, .iov_len = 0},
        {.iov_base = cluster->data + 5, .iov_len = cut},
        {.iov_base = cluster->data + 5 + cut, .iov_len = cluster->size - 5 - cut},
    };
    struct frag_reel_row row = load_row(load->count);
    int rc =
        frag_reel_append(reel, &row, slices, KN_COUNT(slices), cluster->size, around, around + 4);
    /* A write that failed may stand all the same. */
    if (rc == 0) {
        load->rows[load->count] = row;
        load->durable_at[load->count] = SIZE_MAX;
        load->count++;
    }
    return rc;
}

static inline int load_append(struct frag_reel *reel, struct load_reel *load) {
    struct kn_writer cluster;
    kn_writer_init_growing(&cluster, 1 << 20);
    load_cluster(&cluster, &load->identity, load->count);
    int rc = load_append_bytes(reel, load, &cluster);
    kn_writer_finish(&cluster);
    return rc;
}

static inline int load_sync(struct frag_reel *reel, struct load_reel *load,
                            const struct fault_io *fault) {
    int rc = frag_reel_sync(reel);
    for (size_t i = 0; i < load->count && rc == 0; i++) {
        if (load->durable_at[i] == SIZE_MAX) {
            load->durable_at[i] = fault != NULL ? fault->step_count : 0;
        }
    }
    return rc;
}

static inline int load_close(struct frag_reel *reel, struct load_reel *load,
                             const struct fault_io *fault) {
    int rc = frag_reel_close(reel, &load->bytes);
    for (size_t i = 0; i < load->count && rc == 0; i++) {
        if (load->durable_at[i] == SIZE_MAX) {
            load->durable_at[i] = fault != NULL ? fault->step_count : 0;
        }
    }
    load->closed = rc == 0;
    return rc;
}

/* A closed reel of so many fragments. */
static inline void load_whole(struct frag_io *io, size_t count, struct load_reel *load) {
    struct frag_reel *reel = NULL;
    assert_int_equal(load_create(io, 0, load, &reel), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(load_append(reel, load), 0);
    }
    assert_int_equal(load_close(reel, load, NULL), 0);
}

/* ---- what is found ---- */

struct load_found {
    struct frag_reel_row rows[LOAD_MOST];
    size_t count;
    uint64_t damaged_from[LOAD_DAMAGES], damaged_to[LOAD_DAMAGES];
    size_t damages;
    struct frag_reel_scanned state;
};

static inline int load_handle_fragment(const struct frag_reel_row *row, void *user) {
    struct load_found *found = user;
    assert_true(found->count < LOAD_MOST);
    found->rows[found->count++] = *row;
    return 0;
}

static inline int load_handle_damage(uint64_t from, uint64_t to, const char *what, void *user) {
    struct load_found *found = user;
    assert_true(from < to && what[0] != '\0' && found->damages < LOAD_DAMAGES);
    found->damaged_from[found->damages] = from;
    found->damaged_to[found->damages++] = to;
    return 0;
}

static const struct frag_reel_handler load_handler = {.fragment = load_handle_fragment,
                                                      .damage = load_handle_damage};

static inline int load_scan(struct frag_io *io, const char *path, uint64_t from, bool verify,
                            struct load_found *found) {
    memset(found, 0, sizeof(*found));
    return frag_reel_scan(io, path, from, verify, &load_handler, found, &found->state);
}

static inline int load_recover(struct frag_io *io, const char *path, struct load_found *found) {
    memset(found, 0, sizeof(*found));
    return frag_reel_recover(io, path, 0, NULL, 0, &load_handler, found, &found->state);
}

/* The fragment of the load that a found one is, with the bytes it was written with. */
static inline size_t load_match(struct mem_io *mem, const struct load_reel *load,
                                const struct frag_reel_row *row) {
    size_t size = 0;
    const uint8_t *file = mem_io_peek(mem, load->path, &size);
    struct kn_writer cluster;
    for (size_t i = 0; i < load->count; i++) {
        if (load->rows[i].number.sequence == row->number.sequence) {
            assert_same_row(row, &load->rows[i]);
            kn_writer_init_growing(&cluster, 1 << 20);
            load_cluster(&cluster, &load->identity, i);
            assert_true(row->cluster_at + row->cluster_bytes + row->trailer_bytes <= size);
            assert_int_equal(row->cluster_bytes, cluster.size);
            assert_memory_equal(file + row->cluster_at, cluster.data, cluster.size);
            kn_writer_finish(&cluster);
            return i;
        }
    }
    fail_msg("found what was never appended: %llu", (unsigned long long)row->number.sequence);
    return 0;
}

/* Those whose index is set in the answer were found, each once and in order. */
static inline uint64_t load_match_all(struct mem_io *mem, const struct load_reel *load,
                                      const struct load_found *found) {
    uint64_t set = 0;
    for (size_t i = 0; i < found->count; i++) {
        uint64_t bit = UINT64_C(1) << load_match(mem, load, &found->rows[i]);
        assert_true(bit > set);
        set |= bit;
    }
    return set;
}

static inline uint64_t load_durable(const struct load_reel *load, size_t steps) {
    uint64_t set = 0;
    for (size_t i = 0; i < load->count; i++) {
        set |= (uint64_t)(load->durable_at[i] <= steps) << i;
    }
    return set;
}

static inline void load_check_footer(struct frag_io *io, const char *path,
                                     const struct load_found *found) {
    struct frag_reel_identity identity;
    struct frag_reel_table table;
    struct frag_reel_row row;
    struct kn_writer packed;
    kn_writer_init_growing(&packed, 1 << 20);
    assert_int_equal(frag_reel_read_footer(io, path, &identity, &packed), 0);
    assert_same_identity(&identity, &found->state.identity);
    assert_int_equal(frag_reel_table_open(&table, packed.data, packed.size, identity.number_low),
                     0);
    for (size_t i = 0; i < found->count; i++) {
        assert_int_equal(frag_reel_table_next(&table, &row), 1);
        assert_same_table_row(&row, &found->rows[i]);
    }
    assert_int_equal(frag_reel_table_next(&table, &row), 0);
    kn_writer_finish(&packed);
}

/* Recovery of what stands there, and that it is whole afterwards: what was damaged between good
 * fragments stays so, and is all there is. */
static inline void load_check_recovery(struct mem_io *mem, const struct load_reel *load,
                                       uint64_t expected) {
    struct load_found recovered;
    struct load_found again;
    struct frag_io *io = mem_io(mem);
    size_t inside = 0;
    assert_int_equal(load_recover(io, load->path, &recovered), 0);
    assert_true(recovered.state.closed);
    assert_int_equal(load_match_all(mem, load, &recovered), expected);
    assert_int_equal(load_scan(io, load->path, 0, true, &again), 0);
    assert_true(again.state.closed);
    assert_int_equal(load_match_all(mem, load, &again), expected);
    for (size_t i = 0; i < recovered.damages; i++) {
        inside += recovered.damaged_from[i] >= FRAG_REEL_BODY_AT &&
                  recovered.damaged_to[i] <= recovered.state.good_bytes;
    }
    assert_int_equal(again.damages, inside);
    load_check_footer(io, load->path, &again);
}

/* After the end at `steps`: all that was durable is there, and nothing that was never appended. */
static inline void load_check_left(struct mem_io *mem, const struct load_reel *load, size_t steps) {
    struct load_found found;
    size_t size = 0;
    uint64_t durable = load_durable(load, steps);
    if (mem_io_peek(mem, load->path, &size) == NULL) {
        assert_int_equal(durable, 0);
        return;
    }
    int rc = load_scan(mem_io(mem), load->path, 0, true, &found);
    if (durable == 0 && rc != 0) {
        assert_true(rc == KN_E_MALFORMED || rc == KN_E_TRUNCATED);
        return;
    }
    assert_int_equal(rc, 0);
    uint64_t set = load_match_all(mem, load, &found);
    assert_int_equal(set & durable, durable);
    if (durable == 0 && load_recover(mem_io(mem), load->path, &found) != 0) {
        return; /* its head was never durable */
    }
    load_check_recovery(mem, load, set);
}

/* ---- the scripted load ---- */

/* Two reels in turns; the first failure ends it, as a writer's would. */
static inline int load_run(struct fault_io *fault, struct load_reel loads[static LOAD_REELS]) {
    struct frag_reel *reels[LOAD_REELS] = {NULL};
    int rc = 0;
    for (size_t i = 0; i < LOAD_REELS; i++) {
        loads[i].count = 0;
        loads[i].identity = load_identity(i);
    }
    for (size_t i = 0; i < LOAD_REELS && rc == 0; i++) {
        rc = load_create(&fault->io, i, &loads[i], &reels[i]);
    }
    for (size_t i = 0; i < LOAD_FRAGMENTS * LOAD_REELS && rc == 0; i++) {
        size_t which = i % LOAD_REELS;
        rc = load_append(reels[which], &loads[which]);
        if (rc == 0 && i % 5 == 2) {
            rc = frag_reel_start_write_back(reels[which]);
        }
        if (rc == 0 && i % 7 > 4) {
            rc = load_sync(reels[which], &loads[which], fault);
        }
    }
    for (size_t i = 0; i < LOAD_REELS; i++) {
        if (rc == 0) {
            rc = load_close(reels[i], &loads[i], fault);
        } else {
            frag_reel_abandon(reels[i]);
        }
    }
    return rc;
}

#endif
