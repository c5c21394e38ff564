/* What the tests of reels share: an identity, a row, exact copies. */
#ifndef TESTS_UNIT_FRAGMENTS_REELS_H
#define TESTS_UNIT_FRAGMENTS_REELS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fragments/store/reel_format.h"

/* Bytes in a block of exactly their size, so that a read past them is seen. */
static inline uint8_t *exact_copy(const void *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

static inline struct frag_reel_identity plain_identity(void) {
    struct frag_reel_identity identity = {
        .epoch = 5,
        .opened = {INT64_C(1795209820123456789)},
        .timecode_scale_ns = 1000000,
        .number_low = 0x0ABCDEF,
    };
    memset(identity.store_id, 0x51, FRAG_ID_BYTES);
    memset(identity.stream_id, 0x52, FRAG_ID_BYTES);
    memset(identity.reel_id, 0x53, FRAG_ID_BYTES);
    memset(identity.session_id, 0x54, FRAG_ID_BYTES);
    return identity;
}

static inline struct frag_reel_row plain_row(void) {
    return (struct frag_reel_row){
        .cluster_at = 10000,
        .cluster_bytes = 2000,
        .cluster_crc32c = 0x12345678,
        .number = {.sequence = UINT64_C(5) << 32 | 77,
                   .server_ms = 1795209820123,
                   .low = 0x0ABCDEF},
        .ordinal = 76,
        .discontinuities = 2,
        .producer = {INT64_C(1795209818000000000)},
        .server = {INT64_C(1795209820123000000)},
        .duration_ns = INT64_C(2000000000),
        .frames = 60,
        .received_width = 8,
    };
}

static inline void assert_same_id(const uint8_t *a, const uint8_t *b) {
    assert_memory_equal(a, b, FRAG_ID_BYTES);
}

static inline void assert_same_identity(const struct frag_reel_identity *a,
                                        const struct frag_reel_identity *b) {
    assert_int_equal(a->flags, b->flags);
    assert_same_id(a->store_id, b->store_id);
    assert_same_id(a->stream_id, b->stream_id);
    assert_same_id(a->reel_id, b->reel_id);
    assert_same_id(a->session_id, b->session_id);
    assert_true(a->epoch == b->epoch && a->opened.ns == b->opened.ns);
    assert_true(a->producer_start.ns == b->producer_start.ns);
    assert_true(a->timecode_scale_ns == b->timecode_scale_ns);
    assert_int_equal(a->number_low, b->number_low);
    assert_int_equal(a->producer_header_bytes, b->producer_header_bytes);
}

/* What a table holds of a row. */
static inline void assert_same_table_row(const struct frag_reel_row *a,
                                         const struct frag_reel_row *b) {
    assert_true(a->cluster_at == b->cluster_at && a->cluster_bytes == b->cluster_bytes);
    assert_int_equal(a->trailer_bytes, b->trailer_bytes);
    assert_true(a->number.sequence == b->number.sequence);
    assert_true(a->number.server_ms == b->number.server_ms && a->number.low == b->number.low);
    assert_true(a->ordinal == b->ordinal && a->discontinuities == b->discontinuities);
    assert_true(a->producer.ns == b->producer.ns && a->server.ns == b->server.ns);
    assert_true(a->duration_ns == b->duration_ns);
    assert_int_equal(a->flags, b->flags);
}

static inline void assert_same_row(const struct frag_reel_row *a, const struct frag_reel_row *b) {
    assert_same_table_row(a, b);
    assert_int_equal(a->cluster_crc32c, b->cluster_crc32c);
    assert_int_equal(a->frames, b->frames);
    assert_int_equal(a->received_unknown, b->received_unknown);
    assert_int_equal(a->received_width, b->received_width);
    assert_int_equal(a->before_bytes, b->before_bytes);
    assert_int_equal(a->after_bytes, b->after_bytes);
}

#endif
