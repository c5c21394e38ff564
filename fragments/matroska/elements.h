/* How elements are put into a kn_writer: for the writer and for reels, which lay themselves out.
 * All static; check kn_writer_status once at the end. */
#ifndef FRAGMENTS_MATROSKA_ELEMENTS_H
#define FRAGMENTS_MATROSKA_ELEMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc.h"
#include "fragments/matroska.h"

#define CRC_ELEMENT_BYTES 6

static inline void put_id(struct kn_writer *writer, uint32_t id) {
    size_t bytes = id > 0xFFFFFF ? 4 : id > 0xFFFF ? 3 : id > 0xFF ? 2 : 1;
    kn_write_be(writer, id, bytes);
}

static inline void put_size_in(struct kn_writer *writer, uint64_t size, unsigned bytes) {
    kn_write_be(writer, size | (uint64_t)1 << (7 * bytes), bytes);
}

/* The fewest bytes that hold a size; all ones is kept for 'unknown'. */
static inline unsigned size_bytes(uint64_t size) {
    unsigned bytes = 1;
    while (bytes < 8 && size >= ((uint64_t)1 << (7 * bytes)) - 1) {
        bytes++;
    }
    return bytes;
}

static inline void put_size(struct kn_writer *writer, uint64_t size) {
    put_size_in(writer, size, size_bytes(size));
}

static inline unsigned uint_bytes(uint64_t value) {
    unsigned bytes = 1;
    while (bytes < 8 && value >> (8 * bytes) != 0) {
        bytes++;
    }
    return bytes;
}

static inline void put_uint(struct kn_writer *writer, uint32_t id, uint64_t value) {
    unsigned bytes = uint_bytes(value);
    put_id(writer, id);
    put_size(writer, bytes);
    kn_write_be(writer, value, bytes);
}

static inline void put_bytes(struct kn_writer *writer, uint32_t id, const void *data, size_t size) {
    put_id(writer, id);
    put_size(writer, size);
    kn_write_bytes(writer, data, size);
}

static inline void put_text(struct kn_writer *writer, uint32_t id, const char *text) {
    if (text != NULL && text[0] != '\0') {
        put_bytes(writer, id, text, strlen(text));
    }
}

static inline void put_float(struct kn_writer *writer, uint32_t id, double value) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    put_id(writer, id);
    put_size(writer, 8);
    kn_write_be64(writer, bits);
}

/* `bytes` in all, at least 2. */
static inline void put_void(struct kn_writer *writer, size_t bytes) {
    put_id(writer, FRAG_MKV_VOID);
    unsigned width = bytes - 2 < 127 ? 1 : 8;
    put_size_in(writer, bytes - 1 - width, width);
    kn_write_zeros(writer, bytes - 1 - width);
}

/* A master whose size is put in when it closes. */
struct master {
    size_t body_at;
    unsigned width;
    bool crc;
};

static inline struct master open_master(struct kn_writer *writer, uint32_t id, unsigned width,
                                        bool crc) {
    put_id(writer, id);
    kn_write_zeros(writer, width);
    struct master master = {.body_at = writer->size, .width = width, .crc = crc};
    if (crc) {
        put_id(writer, FRAG_MKV_CRC32);
        put_size(writer, 4);
        kn_write_zeros(writer, 4);
    }
    return master;
}

static inline void close_master(struct kn_writer *writer, struct master master) {
    if (kn_writer_status(writer) != 0) {
        return;
    }
    size_t size = writer->size - master.body_at;
    struct kn_writer field;
    kn_writer_init(&field, writer->data + master.body_at - master.width, master.width);
    put_size_in(&field, size, master.width);
    if (master.crc) {
        size_t from = master.body_at + CRC_ELEMENT_BYTES;
        uint32_t crc = kn_crc32(0, writer->data + from, writer->size - from);
        kn_writer_init(&field, writer->data + from - 4, 4);
        kn_write_le32(&field, crc);
    }
}

#endif
