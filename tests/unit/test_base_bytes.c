#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/error.h"
#include "tests/support/fail_alloc.h"

static void arithmetic_refuses_what_does_not_fit(void **state) {
    (void)state;
    size_t size = 7;
    uint64_t u64 = 7;
    int64_t i64 = 7;
    assert_true(kn_size_add(SIZE_MAX - 1, 1, &size) && size == SIZE_MAX);
    assert_false(kn_size_add(SIZE_MAX, 1, &size));
    assert_true(size == SIZE_MAX);
    assert_true(kn_size_mul(SIZE_MAX / 2, 2, &size) && size == SIZE_MAX - 1);
    assert_false(kn_size_mul(SIZE_MAX / 2 + 1, 2, &size));
    assert_true(size == SIZE_MAX - 1);
    assert_true(kn_u64_add(UINT64_MAX, 0, &u64) && u64 == UINT64_MAX);
    assert_false(kn_u64_add(UINT64_MAX, 1, &u64));
    assert_true(kn_i64_add(INT64_MAX, INT64_MIN, &i64) && i64 == -1);
    assert_false(kn_i64_add(INT64_MAX, 1, &i64));
    assert_false(kn_i64_add(INT64_MIN, -1, &i64));
    assert_true(i64 == -1);
    assert_true(kn_i64_mul(-3, 4, &i64) && i64 == -12);
    assert_false(kn_i64_mul(INT64_MIN, -1, &i64));
    assert_true(i64 == -12);
}

static void reader_reads_in_both_orders(void **state) {
    (void)state;
    static const uint8_t data[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29};
    struct kn_reader r;
    kn_reader_init(&r, data, sizeof(data));
    assert_int_equal(kn_read_u8(&r), 0x01);
    assert_int_equal(kn_read_be16(&r), 0x0203);
    assert_int_equal(kn_read_be24(&r), 0x040506);
    assert_int_equal(kn_read_be32(&r), 0x0708090a);
    assert_true(kn_read_be64(&r) == UINT64_C(0x0b0c0d0e0f101112));
    assert_int_equal(kn_read_le16(&r), 0x1413);
    assert_int_equal(kn_read_le32(&r), 0x18171615);
    assert_true(kn_read_be(&r, 0) == 0);
    assert_true(kn_read_be(&r, 3) == 0x191a1b);
    assert_int_equal(kn_reader_left(&r), 2);
    kn_read_skip(&r, 1);
    assert_ptr_equal(kn_read_bytes(&r, 1), data + 28);
    assert_int_equal(kn_reader_left(&r), 0);
    assert_non_null(kn_read_bytes(&r, 0));
    assert_int_equal(kn_reader_status(&r), 0);
}

static void reader_stays_failed_behind_its_end(void **state) {
    (void)state;
    static const uint8_t data[] = {0xff, 0xff, 0xff};
    struct kn_reader r;
    kn_reader_init(&r, data, sizeof(data));
    assert_int_equal(kn_read_be32(&r), 0);
    assert_int_equal(kn_reader_status(&r), KN_E_TRUNCATED);
    /* What would have fitted is not given either, and loops over the rest end. */
    assert_int_equal(kn_read_u8(&r), 0);
    assert_int_equal(kn_reader_left(&r), 0);
    assert_null(kn_read_bytes(&r, 0));
    assert_true(kn_read_be(&r, 0) == 0);

    kn_reader_init(&r, data, sizeof(data));
    kn_read_skip(&r, 2);
    kn_read_skip(&r, SIZE_MAX);
    assert_int_equal(kn_reader_status(&r), KN_E_TRUNCATED);

    kn_reader_init(&r, NULL, 0);
    assert_non_null(kn_read_bytes(&r, 0));
    assert_int_equal(kn_reader_status(&r), 0);
    assert_int_equal(kn_read_u8(&r), 0);
    assert_int_equal(kn_reader_status(&r), KN_E_TRUNCATED);
}

/* One bit at a time: the slow truth. */
static uint32_t slow_bits(const uint8_t *data, size_t at, unsigned count) {
    uint32_t value = 0;
    for (size_t i = at; i < at + count; i++) {
        value = value << 1 | (uint32_t)(data[i / 8] >> (7 - i % 8) & 1);
    }
    return value;
}

static void bits_agree_with_the_slow_way(void **state) {
    (void)state;
    uint8_t data[21];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 73 + 41);
    }
    for (size_t at = 0; at <= sizeof(data) * 8; at++) {
        for (unsigned count = 0; count <= 32; count++) {
            struct kn_bits bits;
            kn_bits_init(&bits, data, sizeof(data));
            kn_bits_skip(&bits, at);
            uint32_t value = kn_bits_read(&bits, count);
            if (at + count > sizeof(data) * 8) {
                assert_int_equal(kn_bits_status(&bits), KN_E_TRUNCATED);
                assert_int_equal(value, 0);
                assert_int_equal(kn_bits_read(&bits, 1), 0);
                assert_int_equal(kn_bits_left(&bits), 0);
                continue;
            }
            assert_int_equal(kn_bits_status(&bits), 0);
            assert_int_equal(value, slow_bits(data, at, count));
            assert_int_equal(kn_bits_left(&bits), sizeof(data) * 8 - at - count);
        }
    }
}

/* `zeros` zero bits, a one, and `zeros` bits of suffix; `lead` bits stand before. */
static void put_golomb(uint8_t *data, size_t lead, unsigned zeros, uint32_t suffix) {
    size_t at = lead + zeros;
    data[at / 8] = (uint8_t)(data[at / 8] | 0x80 >> at % 8);
    for (unsigned i = 0; i < zeros; i++) {
        at++;
        if ((suffix >> (zeros - 1 - i) & 1) != 0) {
            data[at / 8] = (uint8_t)(data[at / 8] | 0x80 >> at % 8);
        }
    }
}

static void golomb_codes_of_every_length(void **state) {
    (void)state;
    for (size_t lead = 0; lead < 8; lead++) {
        for (unsigned zeros = 0; zeros <= 31; zeros++) {
            uint32_t suffix = (uint32_t)((UINT64_C(1) << zeros) - 1);
            uint8_t data[10] = {0};
            put_golomb(data, lead, zeros, suffix);
            size_t bytes = (lead + 2 * zeros + 1 + 7) / 8;
            struct kn_bits bits;
            kn_bits_init(&bits, data, bytes);
            kn_bits_skip(&bits, lead);
            uint32_t expected = (uint32_t)((UINT64_C(1) << zeros) - 1 + suffix);
            assert_int_equal(kn_bits_read_ue(&bits), expected);
            assert_int_equal(kn_bits_status(&bits), 0);
            assert_int_equal(kn_bits_left(&bits), bytes * 8 - lead - 2 * zeros - 1);
            /* With its last byte gone it fails. */
            kn_bits_init(&bits, data, bytes - 1);
            kn_bits_skip(&bits, lead);
            assert_int_equal(kn_bits_read_ue(&bits), 0);
            assert_int_equal(kn_bits_status(&bits), KN_E_TRUNCATED);
        }
    }
}

static void golomb_codes_at_their_limits(void **state) {
    (void)state;
    struct kn_bits bits;
    /* 32 zeros: only 2^32 - 1 fits, and only unsigned. */
    uint8_t largest[9] = {0, 0, 0, 0, 0x80};
    kn_bits_init(&bits, largest, sizeof(largest));
    assert_int_equal(kn_bits_read_ue(&bits), UINT32_MAX);
    assert_int_equal(kn_bits_status(&bits), 0);
    kn_bits_init(&bits, largest, sizeof(largest));
    assert_int_equal(kn_bits_read_se(&bits), 0);
    assert_int_equal(kn_bits_status(&bits), KN_E_TRUNCATED);

    uint8_t over[9] = {0, 0, 0, 0, 0x80, 0, 0, 0, 0x80};
    kn_bits_init(&bits, over, sizeof(over));
    assert_int_equal(kn_bits_read_ue(&bits), 0);
    assert_int_equal(kn_bits_status(&bits), KN_E_TRUNCATED);

    static const uint8_t zeros[64];
    kn_bits_init(&bits, zeros, sizeof(zeros));
    assert_int_equal(kn_bits_read_ue(&bits), 0);
    assert_int_equal(kn_bits_status(&bits), KN_E_TRUNCATED);

    kn_bits_init(&bits, NULL, 0);
    assert_int_equal(kn_bits_read(&bits, 0), 0);
    assert_int_equal(kn_bits_status(&bits), 0);
    assert_int_equal(kn_bits_read_ue(&bits), 0);
    assert_int_equal(kn_bits_status(&bits), KN_E_TRUNCATED);
}

static void signed_golomb_alternates(void **state) {
    (void)state;
    /* 1 010 011 00100 00101 00110: 0 1 -1 2 -2 3 */
    static const uint8_t data[] = {0xa6, 0x42, 0x98, 0xe0};
    static const int32_t expected[] = {0, 1, -1, 2, -2, 3, -3};
    struct kn_bits bits;
    kn_bits_init(&bits, data, sizeof(data));
    for (size_t i = 0; i < KN_COUNT(expected); i++) {
        assert_int_equal(kn_bits_read_se(&bits), expected[i]);
    }
    assert_int_equal(kn_bits_status(&bits), 0);

    uint8_t most[8] = {0};
    put_golomb(most, 0, 31, UINT32_C(0x7fffffff)); /* ue 2^32 - 2 */
    kn_bits_init(&bits, most, sizeof(most));
    assert_int_equal(kn_bits_read_se(&bits), -INT32_MAX);
    assert_int_equal(kn_bits_status(&bits), 0);
}

static void write_some_of_all(struct kn_writer *w) {
    kn_write_u8(w, 0x01);
    kn_write_be16(w, 0x0203);
    kn_write_be24(w, 0xff040506);
    kn_write_be32(w, 0x0708090a);
    kn_write_be64(w, UINT64_C(0x0b0c0d0e0f101112));
    kn_write_le16(w, 0x1413);
    kn_write_le32(w, 0x18171615);
    kn_write_be(w, UINT64_C(0xff191a), 2);
    kn_write_be(w, UINT64_MAX, 0);
    kn_write_bytes(w, (const uint8_t[]){0x1b, 0x1c}, 2);
    kn_write_bytes(w, NULL, 0);
}

static void writers_write_in_both_orders(void **state) {
    (void)state;
    uint8_t room[28];
    struct kn_writer fixed, growing;
    kn_writer_init(&fixed, room, sizeof(room));
    kn_writer_init_growing(&growing, 28);
    write_some_of_all(&fixed);
    write_some_of_all(&growing);
    assert_int_equal(kn_writer_status(&fixed), 0);
    assert_int_equal(kn_writer_status(&growing), 0);
    assert_int_equal(fixed.size, 28);
    assert_int_equal(growing.size, 28);
    for (size_t i = 0; i < 28; i++) {
        assert_int_equal(room[i], i + 1);
    }
    assert_memory_equal(growing.data, room, 28);
    kn_writer_finish(&fixed);
    kn_writer_finish(&growing);
    kn_writer_finish(&growing);
}

static void a_full_writer_stays_failed(void **state) {
    (void)state;
    uint8_t room[4] = {9, 9, 9, 9};
    struct kn_writer w;
    kn_writer_init(&w, room, 3);
    kn_write_be16(&w, 0x0102);
    kn_write_be16(&w, 0x0304);
    assert_int_equal(kn_writer_status(&w), KN_E_LIMIT);
    kn_write_u8(&w, 5);
    assert_null(kn_write_reserve(&w, 0));
    assert_int_equal(w.size, 2);
    assert_int_equal(room[2], 9);
    kn_writer_clear(&w);
    assert_int_equal(kn_writer_status(&w), 0);
    kn_write_zeros(&w, 3);
    assert_int_equal(kn_writer_status(&w), 0);
    assert_int_equal(room[0] + room[1] + room[2], 0);
    assert_int_equal(room[3], 9);
    assert_null(kn_write_reserve(&w, SIZE_MAX));
    assert_int_equal(kn_writer_status(&w), KN_E_LIMIT);

    kn_writer_init(&w, NULL, 0);
    assert_non_null(kn_write_reserve(&w, 0));
    assert_int_equal(kn_writer_status(&w), 0);
    kn_write_u8(&w, 1);
    assert_int_equal(kn_writer_status(&w), KN_E_LIMIT);
}

static void a_growing_writer_keeps_its_maximum(void **state) {
    (void)state;
    struct kn_writer w;
    kn_writer_init_growing(&w, 1000);
    assert_non_null(kn_write_reserve(&w, 0));
    fail_alloc_at(1000);
    for (unsigned i = 0; i < 1000; i++) {
        kn_write_u8(&w, (uint8_t)i);
    }
    assert_in_range(fail_alloc_count(), 1, 4); /* it doubles */
    fail_alloc_stop();
    assert_int_equal(kn_writer_status(&w), 0);
    kn_write_u8(&w, 0);
    assert_int_equal(kn_writer_status(&w), KN_E_LIMIT);
    /* Clearing keeps the memory. */
    kn_writer_clear(&w);
    fail_alloc_always();
    kn_write_zeros(&w, 1000);
    fail_alloc_stop();
    assert_int_equal(kn_writer_status(&w), 0);
    kn_writer_finish(&w);

    kn_writer_init_growing(&w, 0);
    kn_write_zeros(&w, 0);
    assert_int_equal(kn_writer_status(&w), 0);
    kn_write_u8(&w, 0);
    assert_int_equal(kn_writer_status(&w), KN_E_LIMIT);
    kn_writer_finish(&w);

    kn_writer_init_growing(&w, SIZE_MAX);
    kn_write_u8(&w, 0);
    assert_null(kn_write_reserve(&w, SIZE_MAX));
    assert_int_equal(kn_writer_status(&w), KN_E_LIMIT);
    kn_writer_finish(&w);
}

static void taking_hands_the_memory_over(void **state) {
    (void)state;
    struct kn_writer w;
    size_t size = 99;
    kn_writer_init_growing(&w, 1000);
    assert_null(kn_writer_take(&w, &size));
    assert_int_equal(size, 0);
    kn_write_be32(&w, 0x01020304);
    uint8_t *data = kn_writer_take(&w, &size);
    assert_non_null(data);
    assert_int_equal(size, 4);
    assert_memory_equal(data, "\1\2\3\4", 4);
    free(data);
    assert_int_equal(w.size, 0);
    /* It goes on as an empty one. */
    kn_write_u8(&w, 7);
    kn_writer_clear(&w);
    assert_null(kn_writer_take(&w, &size));
    assert_int_equal(size, 0);
    /* Half of something is not handed over. */
    kn_write_zeros(&w, 600);
    kn_write_zeros(&w, 600);
    assert_null(kn_writer_take(&w, &size));
    assert_int_equal(kn_writer_status(&w), KN_E_LIMIT);
    kn_writer_finish(&w);
}

static void a_writer_survives_out_of_memory(void **state) {
    (void)state;
    struct kn_writer w;
    kn_writer_init_growing(&w, SIZE_MAX);
    fail_alloc_at(1);
    kn_write_u8(&w, 1);
    assert_int_equal(kn_writer_status(&w), -ENOMEM);
    kn_writer_clear(&w);
    kn_write_zeros(&w, 200);
    kn_write_u8(&w, 1);
    assert_int_equal(kn_writer_status(&w), 0);
    fail_alloc_at(1);
    kn_write_zeros(&w, 200);
    fail_alloc_stop();
    assert_int_equal(kn_writer_status(&w), -ENOMEM);
    /* What was written before stands. */
    assert_int_equal(w.size, 201);
    assert_int_equal(w.data[200], 1);
    kn_writer_finish(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_refuses_what_does_not_fit),
        cmocka_unit_test(reader_reads_in_both_orders),
        cmocka_unit_test(reader_stays_failed_behind_its_end),
        cmocka_unit_test(bits_agree_with_the_slow_way),
        cmocka_unit_test(golomb_codes_of_every_length),
        cmocka_unit_test(golomb_codes_at_their_limits),
        cmocka_unit_test(signed_golomb_alternates),
        cmocka_unit_test(writers_write_in_both_orders),
        cmocka_unit_test(a_full_writer_stays_failed),
        cmocka_unit_test(a_growing_writer_keeps_its_maximum),
        cmocka_unit_test(taking_hands_the_memory_over),
        cmocka_unit_test(a_writer_survives_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
