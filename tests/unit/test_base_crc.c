#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc.h"

typedef uint32_t checksum(uint32_t crc, const void *data, size_t size);

static uint32_t slowly(uint32_t polynomial, const uint8_t *data, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
        }
    }
    return ~crc;
}

static void check_all_ways(checksum *of, uint32_t polynomial) {
    assert_int_equal(of(0, "", 0), 0);
    assert_int_equal(of(0, NULL, 0), 0);
    uint8_t data[100];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * i + 3);
    }
    for (size_t from = 0; from < 9; from++) {
        for (size_t size = 0; size + from <= sizeof(data); size++) {
            uint32_t whole = of(0, data + from, size);
            assert_int_equal(whole, slowly(polynomial, data + from, size));
            uint32_t first = of(0, data + from, size / 3);
            assert_int_equal(of(first, data + from + size / 3, size - size / 3), whole);
        }
    }
}

static void crc32_of_known_bytes_and_of_pieces(void **state) {
    (void)state;
    assert_int_equal(kn_crc32(0, "123456789", 9), 0xcbf43926u);
    check_all_ways(kn_crc32, 0xEDB88320u);
}

/* RFC 3720, B.4. */
static void check_known(checksum *of) {
    uint8_t bytes[48];
    assert_int_equal(of(0, "123456789", 9), 0xe3069283u);
    memset(bytes, 0, 32);
    assert_int_equal(of(0, bytes, 32), 0x8a9136aau);
    memset(bytes, 0xff, 32);
    assert_int_equal(of(0, bytes, 32), 0x62a8ab43u);
    for (size_t i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(of(0, bytes, 32), 0x46dd794eu);
    for (size_t i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)(31 - i);
    }
    assert_int_equal(of(0, bytes, 32), 0x113fdb5cu);
    static const uint8_t command[48] = {
        0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02};
    assert_int_equal(of(0, command, sizeof(command)), 0xd9963a56u);
}

static void crc32c_of_known_bytes_and_of_pieces(void **state) {
    (void)state;
    check_known(kn_crc32c);
    check_known(kn_crc32c_plain);
    check_all_ways(kn_crc32c, 0x82F63B78u);
    check_all_ways(kn_crc32c_plain, 0x82F63B78u);
}

/* Long enough for several rounds of interleaved streams, with every rest and alignment. */
static void both_ways_of_crc32c_agree(void **state) {
    (void)state;
    const size_t size = 40000;
    uint8_t *data = malloc(size);
    assert_non_null(data);
    uint64_t random = 1;
    for (size_t i = 0; i < size; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        data[i] = (uint8_t)random;
    }
    assert_int_equal(kn_crc32c(0, data, size), slowly(0x82F63B78u, data, size));
    for (size_t from = 0; from < 17; from++) {
        for (size_t length = 3060; length < 3100; length++) {
            assert_int_equal(kn_crc32c(7, data + from, length),
                             kn_crc32c_plain(7, data + from, length));
        }
    }
    for (size_t length = 0; length + 16 <= size; length += 997) {
        uint32_t whole = kn_crc32c_plain(0, data + length % 16, length);
        assert_int_equal(kn_crc32c(0, data + length % 16, length), whole);
        uint32_t first = kn_crc32c(0, data + length % 16, length / 2);
        assert_int_equal(kn_crc32c(first, data + length % 16 + length / 2, length - length / 2),
                         whole);
    }
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32_of_known_bytes_and_of_pieces),
        cmocka_unit_test(crc32c_of_known_bytes_and_of_pieces),
        cmocka_unit_test(both_ways_of_crc32c_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
