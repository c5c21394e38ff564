/* Bounded bytes: the only way parsers read and packers write. All pure, any thread.
 *
 * Reading:  kn_reader_init, kn_read_*, then once kn_reader_status. A reader that ran over its end
 *           stays failed and gives zeros, so a run of reads needs one check.
 * Writing:  kn_writer_init (fixed room) or kn_writer_init_growing (heap, up to a maximum),
 *           kn_write_*, then once kn_writer_status; failed likewise. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

/* a + b and a * b: false, and *ret untouched, where the result does not fit. */
KN_MUST_CHECK bool kn_size_add(size_t a, size_t b, size_t *ret);
KN_MUST_CHECK bool kn_size_mul(size_t a, size_t b, size_t *ret);
KN_MUST_CHECK bool kn_u64_add(uint64_t a, uint64_t b, uint64_t *ret);
KN_MUST_CHECK bool kn_i64_add(int64_t a, int64_t b, int64_t *ret);
KN_MUST_CHECK bool kn_i64_mul(int64_t a, int64_t b, int64_t *ret);

/* Borrows the bytes. */
struct kn_reader {
    const uint8_t *data;
    size_t size;
    size_t at;
    bool failed;
};

void kn_reader_init(struct kn_reader *reader, const void *data, size_t size);
size_t kn_reader_left(const struct kn_reader *reader);
/* 0, or KN_E_TRUNCATED once any read went over the end. */
KN_MUST_CHECK int kn_reader_status(const struct kn_reader *reader);

uint8_t kn_read_u8(struct kn_reader *reader);
uint16_t kn_read_be16(struct kn_reader *reader);
uint32_t kn_read_be24(struct kn_reader *reader);
uint32_t kn_read_be32(struct kn_reader *reader);
uint64_t kn_read_be64(struct kn_reader *reader);
uint16_t kn_read_le16(struct kn_reader *reader);
uint32_t kn_read_le32(struct kn_reader *reader);
/* Big-endian unsigned of 0 to 8 bytes. */
uint64_t kn_read_be(struct kn_reader *reader, size_t bytes);
/* `size` bytes in place, NULL when they are not there (and for size 0 at a failed reader). */
const uint8_t *kn_read_bytes(struct kn_reader *reader, size_t size);
void kn_read_skip(struct kn_reader *reader, size_t size);

/* Bits, most significant first, for parameter sets. Same rule for its end. */
struct kn_bits {
    const uint8_t *data;
    size_t size;
    size_t at_bit;
    bool failed;
};

void kn_bits_init(struct kn_bits *bits, const void *data, size_t size);
size_t kn_bits_left(const struct kn_bits *bits);
KN_MUST_CHECK int kn_bits_status(const struct kn_bits *bits);
/* 0 to 32 bits. */
uint32_t kn_bits_read(struct kn_bits *bits, unsigned count);
void kn_bits_skip(struct kn_bits *bits, size_t count);
/* Exp-Golomb as in H.264 9.1: ue(v) and se(v). A code of more than 32 leading zeros fails. */
uint32_t kn_bits_read_ue(struct kn_bits *bits);
int32_t kn_bits_read_se(struct kn_bits *bits);

/* A growing writer owns its memory until kn_writer_finish or kn_writer_take. */
struct kn_writer {
    uint8_t *data;
    size_t size;
    size_t room;
    size_t max;
    int error;
    bool growing;
};

void kn_writer_init(struct kn_writer *writer, void *room, size_t size);
void kn_writer_init_growing(struct kn_writer *writer, size_t max);
/* Frees what a growing writer holds; fine on a zeroed or finished one. */
void kn_writer_finish(struct kn_writer *writer);
/* Hands over a growing writer's memory (free() it) and leaves the writer empty; NULL for no bytes.
 */
uint8_t *kn_writer_take(struct kn_writer *writer, size_t *ret_size);
/* Forgets the bytes and the failure, keeps the memory. */
void kn_writer_clear(struct kn_writer *writer);
/* 0, KN_E_LIMIT when the room or maximum was reached, -ENOMEM. */
KN_MUST_CHECK int kn_writer_status(const struct kn_writer *writer);

void kn_write_u8(struct kn_writer *writer, uint8_t value);
void kn_write_be16(struct kn_writer *writer, uint16_t value);
void kn_write_be24(struct kn_writer *writer, uint32_t value);
void kn_write_be32(struct kn_writer *writer, uint32_t value);
void kn_write_be64(struct kn_writer *writer, uint64_t value);
void kn_write_le16(struct kn_writer *writer, uint16_t value);
void kn_write_le32(struct kn_writer *writer, uint32_t value);
/* The low `bytes` (0 to 8) of value, big-endian. */
void kn_write_be(struct kn_writer *writer, uint64_t value, size_t bytes);
void kn_write_bytes(struct kn_writer *writer, const void *data, size_t size);
void kn_write_zeros(struct kn_writer *writer, size_t size);
/* Makes room for `size` bytes, counts them as written and gives their place; NULL on failure. */
uint8_t *kn_write_reserve(struct kn_writer *writer, size_t size);

#endif
