#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/store/reel_format.h"
#include "tests/support/fail_alloc.h"
#include "tests/unit/fragments_reels.h"

#define ROOM ((size_t)4 << 20)
/* Tags 8, CRC-32 6, Tag 6, Targets 6, SimpleTag 6, TagName 6 + 15, TagBinary 6 */
#define PAYLOAD_AT 59u

static uint64_t trailer_at(const struct frag_reel_row *row) {
    return row->cluster_at + row->cluster_bytes;
}

static uint8_t *around_bytes(size_t size) {
    uint8_t *data = malloc(size > 0 ? size : 1);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 11 + i / 255);
    }
    return data;
}

static int make_trailer(struct kn_writer *writer, struct frag_reel_row *row,
                        const uint8_t *around) {
    struct frag_reel_identity identity = plain_identity();
    kn_writer_init_growing(writer, ROOM);
    frag_reel_write_trailer(writer, row, identity.reel_id, around,
                            around == NULL ? NULL : around + row->before_bytes);
    return kn_writer_status(writer);
}

static void check_round(struct frag_reel_row row) {
    struct frag_reel_identity identity = plain_identity();
    struct frag_reel_row found;
    struct kn_writer writer;
    struct kn_writer joined;
    size_t around_size = (size_t)row.before_bytes + row.after_bytes;
    uint8_t *around = around_bytes(around_size);
    identity.number_low = row.number.low;
    assert_int_equal(make_trailer(&writer, &row, around), 0);
    assert_int_equal(row.trailer_bytes, writer.size);
    assert_in_range(writer.size, FRAG_REEL_TRAILER_LEAST, FRAG_REEL_TRAILER_MOST);
    uint8_t *data = exact_copy(writer.data, writer.size);
    memset(&found, 0xa5, sizeof(found));
    assert_int_equal(frag_reel_read_trailer(data, writer.size, trailer_at(&row), &identity, &found),
                     0);
    assert_same_row(&row, &found);
    kn_writer_init_growing(&joined, ROOM);
    assert_int_equal(frag_reel_read_around(data, writer.size, &found, &joined), 0);
    assert_int_equal(joined.size, around_size);
    assert_memory_equal(around_size == 0 ? around : joined.data, around, around_size);
    kn_writer_finish(&joined);
    free(data);
    free(around);
    kn_writer_finish(&writer);
}

static struct frag_reel_row least_row(void) {
    return (struct frag_reel_row){
        .cluster_at = FRAG_REEL_BODY_AT,
        .cluster_bytes = FRAG_REEL_CLUSTER_HEAD_BYTES,
        .producer = {INT64_MIN},
        .server = {INT64_MIN},
    };
}

static struct frag_reel_row most_row(void) {
    uint64_t end = (uint64_t)INT64_MAX - FRAG_REEL_TRAILER_MOST;
    return (struct frag_reel_row){
        .cluster_at = FRAG_REEL_BODY_AT,
        .cluster_bytes = end - FRAG_REEL_BODY_AT,
        .cluster_crc32c = UINT32_MAX,
        .number = {FRAG_NUMBER_SEQUENCE_MAX, FRAG_REEL_SERVER_MS_MAX, 0x0FFFFFFF},
        .ordinal = UINT64_MAX,
        .discontinuities = UINT64_MAX,
        .producer = {0},
        .server = {INT64_MAX},
        .duration_ns = INT64_MAX,
        .frames = UINT32_MAX,
        .flags = FRAG_DISCONTINUITY | FRAG_NO_KEY_START,
        .received_unknown = 1,
        .received_width = 1,
    };
}

static void test_rows_come_back(void **state) {
    (void)state;
    struct frag_reel_row row = plain_row();
    check_round(row);
    check_round(least_row());
    check_round(most_row());
    row.producer.ns = INT64_MAX;
    row.duration_ns = 0;
    row.received_width = 2; /* 16382 at most */
    row.cluster_bytes = 16382 + FRAG_REEL_CLUSTER_HEAD_BYTES;
    check_round(row);
    row.received_width = 8;
    row.cluster_bytes = (UINT64_C(1) << 56) - 2 + FRAG_REEL_CLUSTER_HEAD_BYTES;
    check_round(row);
}

static void test_bytes_around_come_back(void **state) {
    static const struct {
        uint32_t before, after;
    } sizes[] = {
        {1, 0},
        {0, 1},
        {300, 200},
        {FRAG_REEL_PIECE_BYTES - 1, 1},
        {FRAG_REEL_PIECE_BYTES, 0},
        {0, FRAG_REEL_PIECE_BYTES + 1},
        {FRAG_REEL_PIECE_BYTES - 1, FRAG_REEL_PIECE_BYTES},
        {FRAG_REEL_PIECE_BYTES + 1, 3 * FRAG_REEL_PIECE_BYTES},
        {FRAG_REEL_AROUND_MAX, 0},
        {1, FRAG_REEL_AROUND_MAX - 1},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(sizes); i++) {
        struct frag_reel_row row = plain_row();
        row.before_bytes = sizes[i].before;
        row.after_bytes = sizes[i].after;
        check_round(row);
    }
}

static void test_impossible_rows_are_not_written(void **state) {
    (void)state;
    struct frag_reel_row bad[16];
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        bad[i] = plain_row();
    }
    bad[0].cluster_at = FRAG_REEL_BODY_AT - 1;
    bad[1].cluster_bytes = FRAG_REEL_CLUSTER_HEAD_BYTES - 1;
    bad[2].cluster_bytes = UINT64_MAX;
    bad[3].cluster_at = (uint64_t)INT64_MAX - FRAG_REEL_TRAILER_MOST - 1999;
    bad[4].number.sequence = FRAG_NUMBER_SEQUENCE_MAX + 1;
    bad[5].number.server_ms = FRAG_REEL_SERVER_MS_MAX + 1;
    bad[6].duration_ns = -1;
    bad[7].producer.ns = INT64_MAX;
    bad[8].flags = 4;
    bad[9].received_width = 9;
    bad[10].received_unknown = 2;
    bad[11].received_unknown = 1, bad[11].received_width = 0;
    bad[12].received_width = 1; /* 1988 bytes do not fit */
    bad[13].received_width = 2, bad[13].cluster_bytes = 16383 + FRAG_REEL_CLUSTER_HEAD_BYTES;
    bad[14].before_bytes = FRAG_REEL_AROUND_MAX + 1;
    bad[15].before_bytes = UINT32_MAX, bad[15].after_bytes = UINT32_MAX;
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        static const uint8_t never_read[1];
        struct frag_reel_identity identity = plain_identity();
        struct kn_writer writer;
        kn_writer_init_growing(&writer, ROOM);
        frag_reel_write_trailer(&writer, &bad[i], identity.reel_id, never_read, never_read);
        assert_int_equal(kn_writer_status(&writer), i >= 14 ? KN_E_LIMIT : KN_E_MALFORMED);
        kn_writer_finish(&writer);
    }
}

/* ---- damage ---- */

static void check_damage(struct frag_reel_row row) {
    struct frag_reel_identity identity = plain_identity();
    struct frag_reel_row found;
    struct kn_writer writer;
    uint8_t *around = around_bytes(1000);
    assert_int_equal(make_trailer(&writer, &row, around), 0);
    for (size_t size = 0; size < writer.size; size++) {
        uint8_t *data = exact_copy(writer.data, size);
        assert_int_equal(frag_reel_read_trailer(data, size, trailer_at(&row), &identity, &found),
                         KN_E_TRUNCATED);
        free(data);
    }
    uint8_t *data = exact_copy(writer.data, writer.size);
    for (size_t bit = 0; bit < writer.size * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int rc = frag_reel_read_trailer(data, writer.size, trailer_at(&row), &identity, &found);
        /* A size that says more than there is. */
        assert_true(rc == KN_E_MALFORMED || (rc == KN_E_TRUNCATED && bit / 8 >= 4 && bit / 8 < 8));
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(frag_reel_read_trailer(data, writer.size, trailer_at(&row), &identity, &found),
                     0);
    free(data);
    free(around);
    kn_writer_finish(&writer);
}

static void test_cut_short_or_flipped(void **state) {
    (void)state;
    struct frag_reel_row row = plain_row();
    check_damage(row);
    row.before_bytes = 200;
    row.after_bytes = 100;
    check_damage(row);
}

static void test_another_reel_or_place(void **state) {
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    struct frag_reel_row row = plain_row();
    struct frag_reel_row found;
    struct kn_writer writer;
    assert_int_equal(make_trailer(&writer, &row, NULL), 0);
    uint64_t at = trailer_at(&row);
    assert_int_equal(frag_reel_read_trailer(writer.data, writer.size, at, &identity, &found), 0);
    for (unsigned bit = 0; bit < 64; bit++) {
        assert_int_equal(frag_reel_read_trailer(writer.data, writer.size, at ^ UINT64_C(1) << bit,
                                                &identity, &found),
                         KN_E_MALFORMED);
    }
    for (size_t bit = 0; bit < (size_t)FRAG_ID_BYTES * 8; bit++) {
        identity.reel_id[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(frag_reel_read_trailer(writer.data, writer.size, at, &identity, &found),
                         KN_E_MALFORMED);
        identity.reel_id[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* The other ids are not in a trailer. */
    memset(identity.stream_id, 0, FRAG_ID_BYTES);
    assert_int_equal(frag_reel_read_trailer(writer.data, writer.size, at, &identity, &found), 0);
    kn_writer_finish(&writer);
}

/* Both checksums of a trailer that was changed. */
static void seal(uint8_t *data, size_t size) {
    struct kn_writer field;
    kn_writer_init(&field, data + PAYLOAD_AT + 120, 4);
    kn_write_be32(&field, kn_crc32c(0, data + PAYLOAD_AT, 120));
    kn_writer_init(&field, data + 10, 4);
    kn_write_le32(&field, kn_crc32(0, data + 14, size - 14));
}

static void test_well_checked_trailers_that_cannot_be(void **state) {
    static const struct {
        size_t at;
        uint8_t value;
        bool good;
    } changes[] = {
        {0, 0, true},      /* nothing changed */
        {36, 0x77, true},  /* checksum of the cluster: the caller's to compare */
        {56, 0xff, true},  /* ordinal */
        {1, 0, false},     /* version */
        {1, 2, false},     /* version */
        {3, 4, false},     /* flags */
        {27, 1, false},    /* own offset */
        {28, 0x80, false}, /* cluster length */
        {32, 1, false},    /* cluster length */
        {40, 0x7f, false}, /* sequence */
        {48, 0x40, false}, /* server time of the number */
        {72, 0x7f, false}, /* producer time, with the duration */
        {88, 0x80, false}, /* duration */
        {100, 2, false},   /* size field as received: unknown */
        {101, 9, false},   /* its bytes */
        {101, 1, false},   /* the cluster does not fit */
        {102, 1, false},   /* zero */
        {103, 1, false},   /* zero */
        {107, 1, false},   /* bytes before */
        {111, 1, false},   /* bytes after */
        {115, 0, false},   /* bytes of the element */
        {119, 1, false},   /* zero */
    };
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    struct frag_reel_row row = plain_row();
    struct kn_writer writer;
    row.duration_ns = INT64_C(0x0100000000000000); /* so that the highest byte of a sum matters */
    assert_int_equal(make_trailer(&writer, &row, NULL), 0);
    assert_memory_equal(writer.data + PAYLOAD_AT + 4, identity.reel_id, FRAG_ID_BYTES);
    for (size_t i = 0; i < KN_COUNT(changes); i++) {
        struct frag_reel_row found;
        uint8_t *data = exact_copy(writer.data, writer.size);
        data[PAYLOAD_AT + changes[i].at] = changes[i].value;
        seal(data, writer.size);
        int rc = frag_reel_read_trailer(data, writer.size, trailer_at(&row), &identity, &found);
        assert_int_equal(rc, changes[i].good ? 0 : KN_E_MALFORMED);
        free(data);
    }
    kn_writer_finish(&writer);
}

/* Pieces must be cut where the writer cuts them. */
static void test_bytes_around_in_other_pieces(void **state) {
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    struct frag_reel_row row = plain_row();
    struct frag_reel_row found;
    struct kn_writer writer;
    struct kn_writer other;
    row.before_bytes = 10;
    uint8_t *around = around_bytes(10);
    assert_int_equal(make_trailer(&writer, &row, around), 0);
    /* A trailer that says 72 bytes are its own: 31 of them a second piece's head. */
    row.trailer_bytes += 31;
    const uint8_t *payload = writer.data + PAYLOAD_AT;
    uint8_t changed[FRAG_REEL_TRAILER_BYTES];
    memcpy(changed, payload, sizeof(changed));
    changed[115] = (uint8_t)(changed[115] + 31);
    struct kn_writer field;
    kn_writer_init(&field, changed + 120, 4);
    kn_write_be32(&field, kn_crc32c(0, changed, 120));
    const struct frag_mkv_tag tags[] = {
        {.name = "KINORA_FRAGMENT",
         .value = changed,
         .value_bytes = 124,
         .binary = true,
         .has_value = true},
        {.name = "KINORA_AROUND",
         .value = around,
         .value_bytes = 4,
         .binary = true,
         .has_value = true},
        {.name = "KINORA_AROUND",
         .value = around + 4,
         .value_bytes = 6,
         .binary = true,
         .has_value = true},
    };
    kn_writer_init_growing(&other, ROOM);
    frag_mkv_write_tags(&other, tags, 3, (struct frag_mkv_tags_form){.crc = true, .targets = true});
    assert_int_equal(kn_writer_status(&other), 0);
    assert_int_equal(other.size, row.trailer_bytes);
    assert_int_equal(
        frag_reel_read_trailer(other.data, other.size, trailer_at(&row), &identity, &found),
        KN_E_MALFORMED);
    kn_writer_finish(&other);
    kn_writer_finish(&writer);
    free(around);
}

/* What a producer may put into a frame: a cluster and a trailer of its own. Where it stands, it is
 * not what it says; and it does not know the reel's id. */
static void test_forged_inside_a_payload(void **state) {
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    struct frag_reel_identity other = identity;
    struct frag_reel_row forged = plain_row();
    struct frag_reel_row found;
    struct kn_writer writer;
    forged.cluster_bytes = FRAG_REEL_CLUSTER_HEAD_BYTES;
    other.reel_id[15] ^= 1;
    for (int own_place = 0; own_place < 2; own_place++) {
        uint64_t stands_at = 50000;
        kn_writer_init_growing(&writer, ROOM);
        kn_write_be32(&writer, FRAG_MKV_CLUSTER);
        kn_write_be64(&writer, UINT64_C(1) << 56);
        forged.cluster_at = own_place ? stands_at : 10000;
        forged.cluster_crc32c = kn_crc32c(0, writer.data, writer.size);
        frag_reel_write_trailer(&writer, &forged, own_place ? other.reel_id : identity.reel_id,
                                NULL, NULL);
        assert_int_equal(kn_writer_status(&writer), 0);
        assert_int_equal(frag_reel_read_trailer(writer.data + FRAG_REEL_CLUSTER_HEAD_BYTES,
                                                writer.size - FRAG_REEL_CLUSTER_HEAD_BYTES,
                                                stands_at + FRAG_REEL_CLUSTER_HEAD_BYTES, &identity,
                                                &found),
                         KN_E_MALFORMED);
        kn_writer_finish(&writer);
    }
}

/* Good elements of ours, each where another one is looked for. */
static void test_elements_are_not_taken_for_others(void **state) {
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    struct frag_reel_row row = plain_row();
    struct frag_reel_row found;
    struct kn_writer trailer;
    struct kn_writer table;
    struct kn_writer joined;
    static const uint8_t packed[FRAG_REEL_TRAILER_BYTES];
    assert_int_equal(make_trailer(&trailer, &row, NULL), 0);
    kn_writer_init_growing(&table, ROOM);
    kn_writer_init_growing(&joined, ROOM);
    frag_reel_write_table_element(&table, packed, sizeof(packed));
    assert_int_equal(kn_writer_status(&table), 0);
    assert_int_equal(
        frag_reel_read_trailer(table.data, table.size, trailer_at(&row), &identity, &found),
        KN_E_MALFORMED);
    assert_int_equal(frag_reel_read_around(table.data, table.size, &row, &joined), KN_E_MALFORMED);
    assert_int_equal(frag_reel_read_table_element(trailer.data, trailer.size, &joined),
                     KN_E_MALFORMED);
    assert_int_equal(frag_reel_read_around(trailer.data, trailer.size - 1, &row, &joined),
                     KN_E_TRUNCATED);
    /* Larger than any trailer: not waited for. */
    static const uint8_t large[] = {0x12, 0x54, 0xC3, 0x67, 0x1f, 0, 0, 0};
    assert_int_equal(
        frag_reel_read_trailer(large, sizeof(large), trailer_at(&row), &identity, &found),
        KN_E_MALFORMED);
    assert_int_equal(frag_reel_read_table_element(large, sizeof(large), &joined), KN_E_TRUNCATED);
    assert_int_equal(joined.size, 0);
    kn_writer_finish(&joined);
    kn_writer_finish(&table);
    kn_writer_finish(&trailer);
}

/* ---- element heads ---- */

static int head_of(const char *bytes, size_t size, uint32_t *ret_id, uint64_t *ret_bytes) {
    uint8_t *data = exact_copy(bytes, size);
    int rc = frag_reel_read_element(data, size, ret_id, ret_bytes);
    free(data);
    return rc;
}

static void test_element_heads(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
        int result;
        uint32_t id;
        uint64_t length;
    } heads[] = {
        {"\x1f\x43\xb6\x75\x01\0\0\0\0\0\0\0", 12, 0, FRAG_MKV_CLUSTER, 12},
        {"\x1f\x43\xb6\x75\x01\0\0\0\0\0\1\2", 12, 0, FRAG_MKV_CLUSTER, 0x102 + 12},
        {"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xfe", 12, 0, FRAG_MKV_CLUSTER,
         (UINT64_C(1) << 56) - 2 + 12},
        {"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff", 12, KN_E_MALFORMED, 0, 0},
        {"\x1f\x43\xb6\x75\x02\0\0\0\0\0\0\0", 12, KN_E_MALFORMED, 0, 0},
        {"\x1c\x53\xbb\x6b\x01\0\0\0\0\0\0\5", 12, 0, FRAG_MKV_CUES, 17},
        {"\x12\x54\xc3\x67\x10\0\0\5", 8, 0, FRAG_MKV_TAGS, 13},
        {"\x12\x54\xc3\x67\x1f\xff\xff\xfe", 8, 0, FRAG_MKV_TAGS, 0x0ffffffe + 8},
        {"\x12\x54\xc3\x67\x1f\xff\xff\xff", 8, KN_E_MALFORMED, 0, 0},
        {"\x12\x54\xc3\x67\x20\0\0\5", 8, KN_E_MALFORMED, 0, 0},
        {"\xec\x01\0\0\0\0\0\x0f\xf7\0\0\0", 12, KN_E_MALFORMED, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(heads); i++) {
        uint32_t id = 0;
        uint64_t length = 0;
        assert_int_equal(head_of(heads[i].bytes, heads[i].size, &id, &length), heads[i].result);
        assert_int_equal(id, heads[i].id);
        assert_true(length == heads[i].length);
        for (size_t size = 0; size < heads[i].size && heads[i].result == 0; size++) {
            assert_int_equal(head_of(heads[i].bytes, size, &id, &length), KN_E_TRUNCATED);
        }
    }
}

/* ---- memory ---- */

static void test_out_of_memory(void **state) {
    (void)state;
    struct frag_reel_row row = plain_row();
    struct kn_writer writer;
    struct kn_writer joined;
    uint8_t *around = around_bytes(200000);
    row.before_bytes = 60500;
    row.after_bytes = 139500;
    int rc = -ENOMEM;
    unsigned long n = 0;
    while (rc == -ENOMEM) {
        fail_alloc_at(++n);
        rc = make_trailer(&writer, &row, around);
        fail_alloc_stop();
        assert_true(rc == 0 || rc == -ENOMEM);
        if (rc != 0) {
            kn_writer_finish(&writer);
        }
    }
    assert_true(n > 3);
    for (rc = -ENOMEM, n = 0; rc == -ENOMEM;) {
        kn_writer_init_growing(&joined, ROOM);
        fail_alloc_at(++n);
        rc = frag_reel_read_around(writer.data, writer.size, &row, &joined);
        fail_alloc_stop();
        assert_true(rc == 0 || rc == -ENOMEM);
        kn_writer_finish(&joined);
    }
    assert_true(n > 2);
    /* Another row than the trailer's. */
    row.after_bytes--;
    kn_writer_init_growing(&joined, ROOM);
    assert_int_equal(frag_reel_read_around(writer.data, writer.size, &row, &joined),
                     KN_E_MALFORMED);
    assert_int_equal(joined.size, 0);
    kn_writer_finish(&joined);
    kn_writer_finish(&writer);
    free(around);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_come_back),
        cmocka_unit_test(test_bytes_around_come_back),
        cmocka_unit_test(test_impossible_rows_are_not_written),
        cmocka_unit_test(test_cut_short_or_flipped),
        cmocka_unit_test(test_another_reel_or_place),
        cmocka_unit_test(test_well_checked_trailers_that_cannot_be),
        cmocka_unit_test(test_bytes_around_in_other_pieces),
        cmocka_unit_test(test_forged_inside_a_payload),
        cmocka_unit_test(test_elements_are_not_taken_for_others),
        cmocka_unit_test(test_element_heads),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
