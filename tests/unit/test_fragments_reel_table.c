#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/store/reel_format.h"
#include "tests/support/fail_alloc.h"
#include "tests/unit/fragments_reels.h"

#define TABLE_MAX ((size_t)64 << 20)
#define LOW 0x0ABCDEFu

static uint64_t seed = 1;

/* -range to range */
static int64_t jitter(int64_t range) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((seed >> 33) % (uint64_t)(2 * range + 1)) - range;
}

static struct frag_reel_row first_row(void) {
    struct frag_reel_row row = plain_row();
    row.trailer_bytes = FRAG_REEL_TRAILER_LEAST;
    return row;
}

/* What a regular camera's next fragment is. */
static struct frag_reel_row row_after(const struct frag_reel_row *last) {
    struct frag_reel_row row = *last;
    row.cluster_at += row.cluster_bytes + row.trailer_bytes;
    row.number.sequence++;
    row.ordinal++;
    row.producer.ns += row.duration_ns;
    row.server.ns += row.duration_ns;
    row.number.server_ms = (uint64_t)(row.server.ns / KN_NS_PER_MS);
    return row;
}

static int pack(struct kn_writer *table, const struct frag_reel_row *rows, size_t count) {
    kn_writer_init_growing(table, TABLE_MAX);
    frag_reel_pack_table(table, rows, count);
    return kn_writer_status(table);
}

static void check_unpacks(const uint8_t *packed, size_t size, const struct frag_reel_row *rows,
                          size_t count) {
    struct frag_reel_table table;
    struct frag_reel_row row;
    uint8_t *data = exact_copy(packed, size);
    assert_int_equal(frag_reel_table_open(&table, data, size, LOW), 0);
    for (size_t i = 0; i < count; i++) {
        memset(&row, 0xa5, sizeof(row));
        assert_int_equal(frag_reel_table_next(&table, &row), 1);
        assert_same_table_row(&rows[i], &row);
    }
    assert_int_equal(frag_reel_table_next(&table, &row), 0);
    assert_int_equal(frag_reel_table_next(&table, &row), 0);
    free(data);
}

static size_t check_round(const struct frag_reel_row *rows, size_t count) {
    struct kn_writer table;
    assert_int_equal(pack(&table, rows, count), 0);
    check_unpacks(table.data, table.size, rows, count);
    size_t size = table.size;
    kn_writer_finish(&table);
    return size;
}

/* 0 at the end, or the error it ends with, which stays. */
static int read_all(const uint8_t *packed, size_t size) {
    struct frag_reel_table table;
    struct frag_reel_row row;
    uint8_t *data = exact_copy(packed, size);
    int rc = frag_reel_table_open(&table, data, size, LOW);
    if (rc == 0) {
        do {
            rc = frag_reel_table_next(&table, &row);
        } while (rc == 1);
        assert_int_equal(frag_reel_table_next(&table, &row), rc);
    }
    free(data);
    return rc;
}

/* ---- size ---- */

/* 2 s fragments of 30 pictures a second and sound, 4 Mbit/s ±30 %, arriving ±20 ms, times in ms as
 * Matroska has them. `key_jitter_ms`: how far the camera's clock is off at a key frame. */
static double bytes_a_row(int64_t key_jitter_ms) {
    enum { ROWS = 300 };
    static struct frag_reel_row rows[ROWS];
    int64_t start_ms = 1795209818000;
    int64_t next_ms = start_ms;
    rows[0] = first_row();
    for (size_t i = 0; i < ROWS; i++) {
        int64_t ideal_ms = start_ms + (int64_t)i * 2000;
        int64_t now_ms = next_ms;
        next_ms = ideal_ms + 2000 + jitter(key_jitter_ms);
        int64_t server_us = (ideal_ms + 2150) * 1000 + jitter(20000);
        if (i > 0) {
            rows[i] = row_after(&rows[i - 1]);
        }
        rows[i].cluster_bytes = (uint64_t)(1000000 + jitter(300000)) + 94 * 170;
        rows[i].frames = 60 + 94;
        rows[i].producer.ns = now_ms * KN_NS_PER_MS;
        rows[i].duration_ns = (next_ms - now_ms) * KN_NS_PER_MS;
        rows[i].server.ns = server_us * KN_NS_PER_US;
        rows[i].number.server_ms = (uint64_t)(server_us / 1000);
    }
    return (double)check_round(rows, ROWS) / ROWS;
}

static void test_bytes_a_row(void **state) {
    (void)state;
    double steady = bytes_a_row(0);
    double restless = bytes_a_row(2);
    print_message("# %.2f bytes a row of a regular camera, %.2f with key frames off by 2 ms\n",
                  steady, restless);
    assert_true(steady <= 10);
    assert_true(restless <= 10);
}

/* The page's example: what a reader elsewhere must make of it. */
static void test_known_bytes(void **state) {
    static const uint8_t bytes[] = {
        0,    1,   0, 0, 0,    0, 0,    3, /* version, zero, rows */
        0x01, 24,  0, 0, 0xee, 2,          /* place; cluster 12, producer 0; gap 0, trailer 183 */
        0x00, 0,   0,                      /* all as expected */
        0x85, 126, 1, 1, 0,    2, 0xe7, 7,
        0,    0, /* place, server, nanoseconds; cluster +63, producer
                    -1 us; gap 1, trailer 0; server +1 us; 999, 0, 0 */
    };
    (void)state;
    struct frag_reel_row rows[3] = {
        {.cluster_at = 8192, .cluster_bytes = 12, .trailer_bytes = 183, .number.low = LOW}};
    struct kn_writer table;
    rows[1] = rows[0];
    rows[1].cluster_at += 195;
    rows[1].number.sequence = rows[1].ordinal = 1;
    rows[2] = rows[1];
    rows[2].cluster_at += 195 + 1;
    rows[2].cluster_bytes = 12 + 63;
    rows[2].number.sequence = rows[2].ordinal = 2;
    rows[2].producer.ns = -1;
    assert_int_equal(pack(&table, rows, 3), 0);
    assert_int_equal(table.size, sizeof(bytes) + 1 + 4);
    assert_memory_equal(table.data, bytes, 8 + 6 + 3);
    assert_memory_equal(table.data + 17, "\x85\1", 2); /* 0x85 is two bytes */
    assert_memory_equal(table.data + 19, bytes + 18, sizeof(bytes) - 18);
    kn_writer_finish(&table);
}

/* ---- rounds ---- */

static void test_no_rows(void **state) {
    (void)state;
    assert_int_equal(check_round(NULL, 0), 12);
}

static void test_extreme_rows(void **state) {
    (void)state;
    struct frag_reel_row rows[4];
    memset(rows, 0, sizeof(rows));
    rows[0] = (struct frag_reel_row){.cluster_at = FRAG_REEL_BODY_AT,
                                     .cluster_bytes = FRAG_REEL_CLUSTER_HEAD_BYTES,
                                     .trailer_bytes = FRAG_REEL_TRAILER_LEAST,
                                     .number = {.low = LOW},
                                     .producer = {INT64_MIN},
                                     .server = {INT64_MIN},
                                     .duration_ns = INT64_MAX};
    rows[1] = (struct frag_reel_row){
        .cluster_at = INT64_MAX / 2,
        .cluster_bytes = INT64_MAX / 4,
        .trailer_bytes = FRAG_REEL_TRAILER_MOST,
        .number = {FRAG_NUMBER_SEQUENCE_MAX - 1, FRAG_REEL_SERVER_MS_MAX, LOW},
        .ordinal = UINT64_MAX - 1,
        .discontinuities = UINT64_MAX,
        .producer = {INT64_MAX},
        .server = {INT64_MAX},
        .flags = FRAG_DISCONTINUITY | FRAG_NO_KEY_START};
    rows[2] = rows[1];
    rows[2].cluster_at = rows[1].cluster_at + rows[1].cluster_bytes + rows[1].trailer_bytes;
    rows[2].cluster_bytes = (uint64_t)INT64_MAX - FRAG_REEL_TRAILER_MOST - rows[2].cluster_at;
    rows[2].number.sequence++;
    rows[2].number.server_ms = 0;
    rows[2].ordinal++;
    rows[2].producer.ns = rows[2].server.ns = INT64_MIN;
    rows[2].duration_ns = INT64_MAX;
    (void)check_round(rows, 3);
    (void)check_round(rows, 1);
    (void)check_round(rows + 1, 1);
    (void)check_round(rows + 1, 2);
    (void)check_round(rows + 2, 1);
}

/* One in `one_in`. */
static bool happens(int64_t one_in) {
    return jitter(one_in) == 0;
}

static struct frag_reel_row irregular_row(const struct frag_reel_row *last) {
    struct frag_reel_row row = row_after(last);
    row.cluster_bytes = 12 + (uint64_t)(2000000 + jitter(2000000));
    row.server.ns += jitter(20000) * KN_NS_PER_US;
    row.flags = 0;
    if (happens(20)) {
        row.producer.ns -= 3600 * KN_NS_PER_S + jitter(100);
    }
    if (happens(20)) {
        row.server.ns += jitter(7200) * KN_NS_PER_S;
    }
    if (happens(20)) {
        row.server.ns += jitter(999), row.producer.ns += jitter(999), row.duration_ns += 77;
    }
    if (happens(10)) {
        row.duration_ns = (2000 + jitter(1900)) * KN_NS_PER_MS;
    }
    if (happens(15)) {
        row.flags = FRAG_DISCONTINUITY;
        row.discontinuities += (uint64_t)(1 + (jitter(3) & 3));
    }
    if (happens(50)) {
        row.flags |= FRAG_NO_KEY_START;
    }
    if (happens(30)) {
        row.number.sequence = ((row.number.sequence >> 32) + 1) << 32;
    }
    if (happens(30)) {
        row.ordinal += (uint64_t)(100000 + jitter(100000));
    }
    if (happens(10)) {
        row.trailer_bytes = FRAG_REEL_TRAILER_LEAST + (uint32_t)(500 + jitter(500));
    }
    if (happens(40)) {
        row.cluster_at += (uint64_t)(5000 + jitter(5000));
    }
    row.number.server_ms = (uint64_t)(row.server.ns / KN_NS_PER_MS);
    if (happens(10)) {
        row.number.server_ms += (uint64_t)(50 + jitter(50));
    }
    return row;
}

static void test_many_irregular_rows(void **state) {
    enum { ROWS = 100000 };
    (void)state;
    struct frag_reel_row *rows = malloc(ROWS * sizeof(*rows));
    assert_non_null(rows);
    rows[0] = first_row();
    for (size_t i = 1; i < ROWS; i++) {
        rows[i] = irregular_row(&rows[i - 1]);
    }
    size_t size = check_round(rows, ROWS);
    print_message("# %.2f bytes an irregular row\n", (double)size / ROWS);

    struct kn_writer packed;
    struct kn_writer element;
    struct kn_writer joined;
    assert_int_equal(pack(&packed, rows, ROWS), 0);
    kn_writer_init_growing(&element, TABLE_MAX);
    kn_writer_init_growing(&joined, TABLE_MAX);
    frag_reel_write_table_element(&element, packed.data, packed.size);
    assert_int_equal(kn_writer_status(&element), 0);
    assert_int_equal(frag_reel_read_table_element(element.data, element.size, &joined), 0);
    assert_int_equal(joined.size, packed.size);
    assert_memory_equal(joined.data, packed.data, packed.size);
    kn_writer_finish(&joined);
    kn_writer_finish(&element);
    kn_writer_finish(&packed);
    free(rows);
}

/* ---- rows that cannot be ---- */

static void test_rows_that_do_not_follow(void **state) {
    (void)state;
    for (size_t i = 0; i < 11; i++) {
        struct frag_reel_row rows[2] = {first_row()};
        struct frag_reel_row *bad = &rows[1];
        struct kn_writer table;
        *bad = row_after(&rows[0]);
        switch (i) {
        case 0:
            bad->cluster_at--;
            break;
        case 1:
            bad->number.sequence--;
            break;
        case 2:
            bad->ordinal--;
            break;
        case 3:
            bad->discontinuities--;
            break;
        case 4:
            bad->flags = 4;
            break;
        case 5:
            bad->duration_ns = -1;
            break;
        case 6:
            bad->trailer_bytes = FRAG_REEL_TRAILER_LEAST - 1;
            break;
        case 7:
            bad->trailer_bytes = FRAG_REEL_TRAILER_MOST + 1;
            break;
        case 8:
            bad->cluster_bytes = UINT64_MAX;
            break;
        case 9:
            bad->number.sequence = FRAG_NUMBER_SEQUENCE_MAX + 1;
            break;
        default:
            bad->producer.ns = INT64_MAX - bad->duration_ns + 1;
            break;
        }
        assert_int_equal(pack(&table, rows, 2), KN_E_MALFORMED);
        kn_writer_finish(&table);
    }
}

static void put_varint(struct kn_writer *writer, uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
        kn_write_u8(writer, (uint8_t)(value | 0x80));
    }
    kn_write_u8(writer, (uint8_t)value);
}

#define END UINT64_MAX

/* A table put together by hand: a good first row, then the numbers up to END. */
static int read_numbers(const uint64_t *numbers, uint32_t rows) {
    struct kn_writer table;
    kn_writer_init_growing(&table, TABLE_MAX);
    kn_write_be16(&table, 1);
    kn_write_be16(&table, 0);
    kn_write_be32(&table, rows);
    static const uint64_t first[] = {1, 24, 0, 0, 366};
    for (size_t i = 0; i < KN_COUNT(first); i++) {
        put_varint(&table, first[i]);
    }
    for (size_t i = 0; numbers[i] != END; i++) {
        put_varint(&table, numbers[i]);
    }
    kn_write_be32(&table, kn_crc32c(0, table.data, table.size));
    assert_int_equal(kn_writer_status(&table), 0);
    int rc = read_all(table.data, table.size);
    kn_writer_finish(&table);
    return rc;
}

static void test_sums_that_overflow(void **state) {
    static const uint64_t huge = UINT64_MAX - 1; /* signed: INT64_MAX */
    (void)state;
    static const uint64_t good[][12] = {
        {0, 0, 0, END},
        {1, 0, 0, 100, 0, END},
        {8, 0, 0, 5, END},
        {64, 0, 0, 1, 1, END},
        {64, 0, 0, 0, UINT64_MAX - 1, END},
        {128, 0, 0, 999, 999, 999, END},
        {2, 0, 0, 2, END},
        {4, 0, 0, 2, END},
        {36, 0, 0, 1, 2, END}, /* before 1970, but not the number */
    };
    for (size_t i = 0; i < KN_COUNT(good); i++) {
        assert_int_equal(read_numbers(good[i], 2), 0);
    }
    const uint64_t bad[][12] = {
        {0, huge, 0, END},       /* cluster */
        {0, 1, 0, END},          /* cluster of 11 bytes */
        {0, 25, 0, END},         /* below 0 */
        {0, 0, huge, END},       /* producer */
        {0, 0, huge - 1, END},   /* below 0 */
        {1, 0, 0, huge, 0, END}, /* gap */
        {1, 0, 0, INT64_MAX, 0, END},
        {1, 0, 0, 0, huge, END},        /* trailer */
        {1, 0, 0, 0, 1, END},           /* too short a trailer */
        {2, 0, 0, huge, END},           /* duration */
        {2, 0, 0, 1, END},              /* below 0 */
        {4, 0, 0, huge, END},           /* server */
        {4, 0, 0, 1, END},              /* so that the number is below 0 */
        {8, 0, 0, UINT64_MAX - 1, END}, /* sequence */
        {8, 0, 0, FRAG_NUMBER_SEQUENCE_MAX, END},
        {32, 0, 0, huge, END}, /* number */
        {32, 0, 0, 1, END},    /* below 0 */
        {64, 0, 0, 4, 0, END}, /* flags */
        {64, 0, 0, 65536, 0, END},
        {128, 0, 0, 1000, 0, 0, END}, /* nanoseconds */
        {128, 0, 0, 0, UINT64_MAX - 1, 0, END},
        {256, 0, 0, END}, /* shape */
        {UINT64_MAX - 1, 0, 0, END},
        /* Columns that say nothing: there is one way to write a row. */
        {1, 0, 0, 0, 0, END},
        {2, 0, 0, 0, END},
        {4, 0, 0, 0, END},
        {8, 0, 0, 0, END},
        {16, 0, 0, 0, END},
        {32, 0, 0, 0, END},
        {64, 0, 0, 0, 0, END},
        {128, 0, 0, 0, 0, 0, END},
        /* Too much, too little. */
        {0, 0, 0, 0, END},
        {0, 0, END},
        {END},
    };
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        assert_int_equal(read_numbers(bad[i], 2), KN_E_MALFORMED);
    }
    assert_int_equal(read_numbers(good[0], 1), KN_E_MALFORMED);
    assert_int_equal(read_numbers(good[0], 3), KN_E_MALFORMED);
    assert_int_equal(read_numbers(good[0], UINT32_MAX), KN_E_MALFORMED);
}

/* An ordinal that is the last there is. */
static void test_ordinals_end(void **state) {
    static const uint64_t numbers[] = {16, 0, 0, UINT64_MAX - 1, 0, 0, 0, END};
    (void)state;
    assert_int_equal(read_numbers(numbers, 3), KN_E_MALFORMED); /* none after the last */
    struct frag_reel_row rows[2] = {first_row()};
    rows[1] = row_after(&rows[0]);
    rows[1].ordinal = UINT64_MAX;
    (void)check_round(rows, 2);
    rows[0].ordinal = UINT64_MAX;
    rows[1].ordinal = 0;
    struct kn_writer table;
    assert_int_equal(pack(&table, rows, 2), KN_E_MALFORMED);
    kn_writer_finish(&table);
}

static int read_bytes(const void *body, size_t size, uint32_t rows) {
    struct kn_writer table;
    kn_writer_init_growing(&table, TABLE_MAX);
    kn_write_be16(&table, 1);
    kn_write_be16(&table, 0);
    kn_write_be32(&table, rows);
    kn_write_bytes(&table, body, size);
    kn_write_be32(&table, kn_crc32c(0, table.data, table.size));
    int rc = read_all(table.data, table.size);
    kn_writer_finish(&table);
    return rc;
}

static void test_varints_have_one_form(void **state) {
    (void)state;
    assert_int_equal(read_bytes("\1\x18\0\0\xee\2", 6, 1), 0);
    assert_int_equal(read_bytes("\x81\0\x18\0\0\xee\2", 7, 1), KN_E_MALFORMED);
    assert_int_equal(read_bytes("\1\x98\0\0\0\xee\2", 7, 1), KN_E_MALFORMED);
    assert_int_equal(read_bytes("\1\x18\0\0\xee\x82\0", 7, 1), KN_E_MALFORMED);
    assert_int_equal(read_bytes("\1\x18\0\0\xee\x82", 6, 1), KN_E_MALFORMED);
    /* 64 bits, and one more */
    assert_int_equal(read_bytes("\x09\x18\0\0\xee\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 16, 1),
                     KN_E_MALFORMED); /* beyond all sequences */
    assert_int_equal(read_bytes("\x11\x18\0\0\xee\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 16, 1),
                     0);
    assert_int_equal(read_bytes("\x11\x18\0\0\xee\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\2", 16, 1),
                     KN_E_MALFORMED);
    assert_int_equal(
        read_bytes("\x11\x18\0\0\xee\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\0", 17, 1),
        KN_E_MALFORMED);
}

/* ---- damage ---- */

static void test_cut_short_or_flipped(void **state) {
    enum { ROWS = 60 };
    (void)state;
    struct frag_reel_row rows[ROWS];
    struct kn_writer table;
    rows[0] = first_row();
    for (size_t i = 1; i < ROWS; i++) {
        rows[i] = irregular_row(&rows[i - 1]);
    }
    assert_int_equal(pack(&table, rows, ROWS), 0);
    for (size_t size = 0; size < table.size; size++) {
        assert_int_equal(read_all(table.data, size), size < 12 ? KN_E_TRUNCATED : KN_E_MALFORMED);
    }
    for (size_t bit = 0; bit < table.size * 8; bit++) {
        table.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(read_all(table.data, table.size), KN_E_MALFORMED);
        table.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(read_all(table.data, table.size), 0);

    struct kn_writer element;
    struct kn_writer joined;
    kn_writer_init_growing(&element, TABLE_MAX);
    kn_writer_init_growing(&joined, TABLE_MAX);
    frag_reel_write_table_element(&element, table.data, table.size);
    assert_int_equal(kn_writer_status(&element), 0);
    for (size_t size = 0; size < element.size; size++) {
        uint8_t *data = exact_copy(element.data, size);
        assert_int_equal(frag_reel_read_table_element(data, size, &joined), KN_E_TRUNCATED);
        free(data);
    }
    uint8_t *data = exact_copy(element.data, element.size);
    for (size_t bit = 0; bit < element.size * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(frag_reel_read_table_element(data, element.size, &joined) < 0);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(joined.size, 0);
    assert_int_equal(frag_reel_read_table_element(data, element.size, &joined), 0);
    assert_int_equal(joined.size, table.size);
    free(data);
    kn_writer_finish(&joined);
    kn_writer_finish(&element);
    kn_writer_finish(&table);
}

/* More than their counts and sizes hold; nothing of it is read. */
static void test_too_much(void **state) {
    static const uint8_t byte[1];
    (void)state;
    const struct frag_reel_row row = first_row();
    struct kn_writer writer;
    kn_writer_init_growing(&writer, TABLE_MAX);
    frag_reel_pack_table(&writer, &row, (size_t)UINT32_MAX + 1);
    assert_int_equal(kn_writer_status(&writer), KN_E_LIMIT);
    kn_writer_clear(&writer);
    frag_reel_write_table_element(&writer, byte, (size_t)1 << 28);
    assert_int_equal(kn_writer_status(&writer), KN_E_LIMIT);
    kn_writer_clear(&writer);
    frag_reel_write_table_element(&writer, byte, SIZE_MAX);
    assert_int_equal(kn_writer_status(&writer), KN_E_LIMIT);
    assert_int_equal(writer.size, 0);
    kn_writer_finish(&writer);
}

static void test_versions(void **state) {
    static const struct {
        uint8_t head[4];
        int result;
    } heads[] = {
        {{0, 1, 0, 0}, 0},
        {{0, 2, 0, 0}, KN_E_UNSUPPORTED},
        {{1, 1, 0, 0}, KN_E_UNSUPPORTED},
        {{0, 0, 0, 0}, KN_E_MALFORMED},
        {{0, 1, 0, 1}, KN_E_MALFORMED},
        {{0, 1, 1, 0}, KN_E_MALFORMED},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(heads); i++) {
        struct kn_writer table;
        kn_writer_init_growing(&table, TABLE_MAX);
        kn_write_bytes(&table, heads[i].head, 4);
        kn_write_be32(&table, 0);
        kn_write_be32(&table, kn_crc32c(0, table.data, table.size));
        assert_int_equal(read_all(table.data, table.size), heads[i].result);
        kn_writer_finish(&table);
    }
    struct frag_reel_table table;
    assert_int_equal(frag_reel_table_open(&table, NULL, 0, LOW), KN_E_TRUNCATED);
    struct kn_writer empty;
    assert_int_equal(pack(&empty, NULL, 0), 0);
    assert_int_equal(frag_reel_table_open(&table, empty.data, empty.size, 0x10000000),
                     KN_E_MALFORMED);
    kn_writer_finish(&empty);
}

/* ---- memory ---- */

static void test_out_of_memory(void **state) {
    enum { ROWS = 20000 };
    (void)state;
    struct frag_reel_row *rows = malloc(ROWS * sizeof(*rows));
    struct kn_writer table;
    struct kn_writer element;
    struct kn_writer joined;
    assert_non_null(rows);
    rows[0] = first_row();
    for (size_t i = 1; i < ROWS; i++) {
        rows[i] = irregular_row(&rows[i - 1]);
    }
    int rc = -ENOMEM;
    unsigned long n = 0;
    while (rc == -ENOMEM) {
        fail_alloc_at(++n);
        rc = pack(&table, rows, ROWS);
        fail_alloc_stop();
        assert_true(rc == 0 || rc == -ENOMEM);
        if (rc != 0) {
            kn_writer_finish(&table);
        }
    }
    assert_true(n > 5);
    for (rc = -ENOMEM, n = 0; rc == -ENOMEM;) {
        kn_writer_init_growing(&element, TABLE_MAX);
        fail_alloc_at(++n);
        frag_reel_write_table_element(&element, table.data, table.size);
        fail_alloc_stop();
        rc = kn_writer_status(&element);
        assert_true(rc == 0 || rc == -ENOMEM);
        if (rc != 0) {
            kn_writer_finish(&element);
        }
    }
    assert_true(n > 2);
    for (rc = -ENOMEM, n = 0; rc == -ENOMEM;) {
        kn_writer_init_growing(&joined, TABLE_MAX);
        fail_alloc_at(++n);
        rc = frag_reel_read_table_element(element.data, element.size, &joined);
        fail_alloc_stop();
        assert_true(rc == 0 || rc == -ENOMEM);
        kn_writer_finish(&joined);
    }
    assert_true(n > 2);
    kn_writer_init_growing(&joined, 100);
    assert_int_equal(frag_reel_read_table_element(element.data, element.size, &joined), KN_E_LIMIT);
    kn_writer_finish(&joined);
    kn_writer_finish(&element);
    kn_writer_finish(&table);
    free(rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_a_row),
        cmocka_unit_test(test_known_bytes),
        cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_extreme_rows),
        cmocka_unit_test(test_many_irregular_rows),
        cmocka_unit_test(test_rows_that_do_not_follow),
        cmocka_unit_test(test_sums_that_overflow),
        cmocka_unit_test(test_ordinals_end),
        cmocka_unit_test(test_varints_have_one_form),
        cmocka_unit_test(test_cut_short_or_flipped),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
