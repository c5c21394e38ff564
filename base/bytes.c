#include "base/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* ---- checked arithmetic ---- */

bool kn_size_add(size_t a, size_t b, size_t *ret) {
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *ret = sum;
    return true;
}

bool kn_size_mul(size_t a, size_t b, size_t *ret) {
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *ret = product;
    return true;
}

bool kn_u64_add(uint64_t a, uint64_t b, uint64_t *ret) {
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *ret = sum;
    return true;
}

bool kn_i64_add(int64_t a, int64_t b, int64_t *ret) {
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *ret = sum;
    return true;
}

bool kn_i64_mul(int64_t a, int64_t b, int64_t *ret) {
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *ret = product;
    return true;
}

/* ---- reading ---- */

/* Stands in for NULL, so that no bytes have a place too and NULL always means failure. */
static const uint8_t nothing[1];

void kn_reader_init(struct kn_reader *reader, const void *data, size_t size) {
    KN_ASSERT(data != NULL || size == 0);
    *reader = (struct kn_reader){.data = data != NULL ? data : nothing, .size = size};
}

/* None at a failed reader, so that "while something is left" ends. */
size_t kn_reader_left(const struct kn_reader *reader) {
    return reader->failed ? 0 : reader->size - reader->at;
}

int kn_reader_status(const struct kn_reader *reader) {
    return reader->failed ? KN_E_TRUNCATED : 0;
}

const uint8_t *kn_read_bytes(struct kn_reader *reader, size_t size) {
    if (reader->failed || size > reader->size - reader->at) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *place = reader->data + reader->at;
    reader->at += size;
    return place;
}

void kn_read_skip(struct kn_reader *reader, size_t size) {
    (void)kn_read_bytes(reader, size); /* the reader remembers the failure */
}

static inline uint64_t load_be(const uint8_t *p, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | p[i];
    }
    return value;
}

static inline uint64_t read_be(struct kn_reader *reader, size_t bytes) {
    const uint8_t *p = kn_read_bytes(reader, bytes);
    return p != NULL ? load_be(p, bytes) : 0;
}

uint8_t kn_read_u8(struct kn_reader *reader) {
    return (uint8_t)read_be(reader, 1);
}

uint16_t kn_read_be16(struct kn_reader *reader) {
    return (uint16_t)read_be(reader, 2);
}

uint32_t kn_read_be24(struct kn_reader *reader) {
    return (uint32_t)read_be(reader, 3);
}

uint32_t kn_read_be32(struct kn_reader *reader) {
    return (uint32_t)read_be(reader, 4);
}

uint64_t kn_read_be64(struct kn_reader *reader) {
    return read_be(reader, 8);
}

uint16_t kn_read_le16(struct kn_reader *reader) {
    return __builtin_bswap16(kn_read_be16(reader));
}

uint32_t kn_read_le32(struct kn_reader *reader) {
    return __builtin_bswap32(kn_read_be32(reader));
}

uint64_t kn_read_be(struct kn_reader *reader, size_t bytes) {
    KN_ASSERT(bytes <= 8);
    return read_be(reader, bytes);
}

/* ---- bits ---- */

void kn_bits_init(struct kn_bits *bits, const void *data, size_t size) {
    KN_ASSERT(data != NULL || size == 0);
    KN_ASSERT(size <= SIZE_MAX / 8);
    *bits = (struct kn_bits){.data = data != NULL ? data : nothing, .size = size};
}

size_t kn_bits_left(const struct kn_bits *bits) {
    return bits->failed ? 0 : bits->size * 8 - bits->at_bit;
}

int kn_bits_status(const struct kn_bits *bits) {
    return bits->failed ? KN_E_TRUNCATED : 0;
}

/* The next bits from the top of 64: at least 57 where so many are left, zeros behind the end. */
static uint64_t peek_window(const struct kn_bits *bits) {
    const uint8_t *p = bits->data + bits->at_bit / 8;
    size_t bytes = bits->size - bits->at_bit / 8;
    uint64_t window = 0;
    if (bytes >= 8) {
        window = load_be(p, 8);
    } else if (bytes > 0) {
        window = load_be(p, bytes) << (64 - 8 * bytes);
    }
    return window << bits->at_bit % 8;
}

void kn_bits_skip(struct kn_bits *bits, size_t count) {
    if (bits->failed || count > kn_bits_left(bits)) {
        bits->failed = true;
        return;
    }
    bits->at_bit += count;
}

uint32_t kn_bits_read(struct kn_bits *bits, unsigned count) {
    KN_ASSERT(count <= 32);
    if (count == 0) {
        return 0;
    }
    uint64_t window = peek_window(bits);
    kn_bits_skip(bits, count);
    return bits->failed ? 0 : (uint32_t)(window >> (64 - count));
}

uint32_t kn_bits_read_ue(struct kn_bits *bits) {
    uint64_t window = bits->failed ? 0 : peek_window(bits);
    unsigned zeros = window != 0 ? (unsigned)__builtin_clzll(window) : 64;
    if (zeros > 32) {
        bits->failed = true;
        return 0;
    }
    kn_bits_skip(bits, zeros + 1);
    uint64_t value = ((UINT64_C(1) << zeros) - 1) + kn_bits_read(bits, zeros);
    if (value > UINT32_MAX) {
        bits->failed = true;
    }
    return bits->failed ? 0 : (uint32_t)value;
}

int32_t kn_bits_read_se(struct kn_bits *bits) {
    uint32_t code = kn_bits_read_ue(bits);
    if (code == UINT32_MAX) {
        bits->failed = true; /* would be 2^31 */
        return 0;
    }
    int64_t half = (int64_t)((code + UINT64_C(1)) / 2);
    return (int32_t)(code % 2 != 0 ? half : -half);
}

/* ---- writing ---- */

#define FIRST_ROOM 256

void kn_writer_init(struct kn_writer *writer, void *room, size_t size) {
    KN_ASSERT(room != NULL || size == 0);
    *writer = (struct kn_writer){.data = room, .room = size, .max = size};
}

void kn_writer_init_growing(struct kn_writer *writer, size_t max) {
    *writer = (struct kn_writer){.max = max, .growing = true};
}

void kn_writer_finish(struct kn_writer *writer) {
    if (writer->growing) {
        free(writer->data);
    }
    *writer = (struct kn_writer){0};
}

uint8_t *kn_writer_take(struct kn_writer *writer, size_t *ret_size) {
    KN_ASSERT(writer->growing);
    uint8_t *data = writer->data;
    size_t size = writer->size;
    /* Half of something is not handed over; the failure stays to be seen. */
    if (writer->error != 0 || size == 0) {
        free(data);
        data = NULL;
        size = 0;
    }
    *writer = (struct kn_writer){.max = writer->max, .error = writer->error, .growing = true};
    *ret_size = size;
    return data;
}

void kn_writer_clear(struct kn_writer *writer) {
    writer->size = 0;
    writer->error = 0;
}

int kn_writer_status(const struct kn_writer *writer) {
    return writer->error;
}

static int grow(struct kn_writer *writer, size_t needed) {
    if (!writer->growing || needed > writer->max) {
        return KN_E_LIMIT;
    }
    size_t room = writer->room;
    if (!kn_size_mul(room, 2, &room) || room > writer->max) {
        room = writer->max;
    }
    if (room < FIRST_ROOM) {
        room = FIRST_ROOM < writer->max ? FIRST_ROOM : writer->max;
    }
    if (room < needed) {
        room = needed;
    }
    uint8_t *data = realloc(writer->data, room);
    if (data == NULL) {
        return -ENOMEM;
    }
    writer->data = data;
    writer->room = room;
    return 0;
}

uint8_t *kn_write_reserve(struct kn_writer *writer, size_t size) {
    if (writer->error != 0) {
        return NULL;
    }
    if (size > writer->room - writer->size) {
        size_t needed;
        writer->error =
            kn_size_add(writer->size, size, &needed) ? grow(writer, needed) : KN_E_LIMIT;
        if (writer->error != 0) {
            return NULL;
        }
    }
    if (writer->data == NULL) {
        static uint8_t nowhere[1]; /* a place for no bytes; NULL means failure */
        return nowhere;
    }
    uint8_t *place = writer->data + writer->size;
    writer->size += size;
    return place;
}

static inline void write_be(struct kn_writer *writer, uint64_t value, size_t bytes) {
    uint8_t *p = kn_write_reserve(writer, bytes);
    if (p == NULL) {
        return;
    }
    for (size_t i = bytes; i > 0; i--) {
        p[i - 1] = (uint8_t)value;
        value >>= 8;
    }
}

void kn_write_u8(struct kn_writer *writer, uint8_t value) {
    write_be(writer, value, 1);
}

void kn_write_be16(struct kn_writer *writer, uint16_t value) {
    write_be(writer, value, 2);
}

void kn_write_be24(struct kn_writer *writer, uint32_t value) {
    write_be(writer, value, 3);
}

void kn_write_be32(struct kn_writer *writer, uint32_t value) {
    write_be(writer, value, 4);
}

void kn_write_be64(struct kn_writer *writer, uint64_t value) {
    write_be(writer, value, 8);
}

void kn_write_le16(struct kn_writer *writer, uint16_t value) {
    write_be(writer, __builtin_bswap16(value), 2);
}

void kn_write_le32(struct kn_writer *writer, uint32_t value) {
    write_be(writer, __builtin_bswap32(value), 4);
}

void kn_write_be(struct kn_writer *writer, uint64_t value, size_t bytes) {
    KN_ASSERT(bytes <= 8);
    write_be(writer, value, bytes);
}

void kn_write_bytes(struct kn_writer *writer, const void *data, size_t size) {
    KN_ASSERT(data != NULL || size == 0);
    uint8_t *p = kn_write_reserve(writer, size);
    if (p != NULL && size > 0) {
        memcpy(p, data, size);
    }
}

void kn_write_zeros(struct kn_writer *writer, size_t size) {
    uint8_t *p = kn_write_reserve(writer, size);
    if (p != NULL) {
        memset(p, 0, size);
    }
}
