/* Writes parameter sets bit by bit, for tests. */
#ifndef TESTS_UNIT_FRAGMENTS_BITS_H
#define TESTS_UNIT_FRAGMENTS_BITS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "fragments/nal.h"

#define SET_BYTES_MAX 8192

struct put {
    size_t bits;
    uint8_t data[SET_BYTES_MAX];
};

static inline void put_u(struct put *put, unsigned count, uint64_t value) {
    assert_true(put->bits + count <= sizeof(put->data) * 8);
    while (count-- > 0) {
        if ((value >> count & 1) != 0) {
            put->data[put->bits / 8] |= (uint8_t)(0x80 >> put->bits % 8);
        }
        put->bits++;
    }
}

static inline void put_ue(struct put *put, uint32_t value) {
    const uint64_t code = (uint64_t)value + 1;
    unsigned length = 1;

    while (code >> length != 0) {
        length++;
    }
    put_u(put, length - 1, 0);
    put_u(put, length, code);
}

static inline void put_se(struct put *put, int32_t value) {
    put_ue(put, value > 0 ? (uint32_t)value * 2 - 1 : (uint32_t)-value * 2);
}

/* The stop bit, then emulation prevention, in a block of exactly the unit's size. */
static inline struct frag_nal finish_unit(struct put *put, const uint8_t *header,
                                          size_t header_bytes) {
    uint8_t escaped[2 * SET_BYTES_MAX];
    size_t size = header_bytes;
    unsigned zeros = 0;
    uint8_t *copy;

    put_u(put, 1, 1);
    memcpy(escaped, header, header_bytes);
    for (size_t i = 0; i < (put->bits + 7) / 8; i++) {
        if (zeros >= 2 && put->data[i] <= 3) {
            escaped[size++] = 3;
            zeros = 0;
        }
        zeros = put->data[i] == 0 ? zeros + 1 : 0;
        escaped[size++] = put->data[i];
    }
    copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, escaped, size);
    return (struct frag_nal){copy, size};
}

static inline void free_unit(struct frag_nal nal) {
    free((void *)(uintptr_t)nal.data);
}

/* `nal` without its last bytes is too short, but may do without `optional` ones of them. */
static inline void check_cuts(int (*parse)(struct frag_nal, struct frag_video_params *),
                              struct frag_nal nal, size_t optional) {
    for (size_t size = 0; size < nal.size; size++) {
        struct frag_video_params params;
        uint8_t *copy = malloc(size > 0 ? size : 1);
        int result;

        assert_non_null(copy);
        memcpy(copy, nal.data, size);
        result = parse((struct frag_nal){copy, size}, &params);
        if (size + optional < nal.size || result != 0) {
            assert_int_equal(result, KN_E_TRUNCATED);
        } else {
            assert_int_equal(params.height, 1080);
        }
        free(copy);
    }
}

#endif
