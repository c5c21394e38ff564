#include "base/crc.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* Slicing by 8: [k][b] is the remainder of byte b followed by k zero bytes. */
typedef uint32_t sliced[8][256];

static sliced table_crc32, table_crc32c;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void fill_table(sliced table, uint32_t polynomial) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
        }
        table[0][byte] = crc;
    }
    for (size_t k = 1; k < 8; k++) {
        for (size_t byte = 0; byte < 256; byte++) {
            uint32_t before = table[k - 1][byte];
            table[k][byte] = (before >> 8) ^ table[0][before & 0xff];
        }
    }
}

static void fill_tables(void) {
    fill_table(table_crc32, 0xEDB88320u);
    fill_table(table_crc32c, 0x82F63B78u);
}

static uint32_t load_le32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t by_table(const sliced table, uint32_t crc, const void *data, size_t size) {
    const uint8_t *p = data;
    crc = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        uint32_t low = crc ^ load_le32(p);
        uint32_t high = load_le32(p + 4);
        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^
              table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^
              table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
    }
    for (size_t i = 0; i < size; i++) {
        crc = (crc >> 8) ^ table[0][(crc ^ p[i]) & 0xff];
    }
    return ~crc;
}

uint32_t kn_crc32(uint32_t crc, const void *data, size_t size) {
    (void)pthread_once(&tables_once, fill_tables); /* fails only for a bad control */
    return by_table(table_crc32, crc, data, size);
}

uint32_t kn_crc32c_plain(uint32_t crc, const void *data, size_t size) {
    (void)pthread_once(&tables_once, fill_tables);
    return by_table(table_crc32c, crc, data, size);
}

#if defined(__x86_64__)

/* The instruction takes one word a cycle but answers after three: three streams keep it busy. The
 * remainder of the first is carried over the bytes of the next by `over_stream`, which is linear in
 * its bits: [k][b] is byte b at bits 8k, STREAM_BYTES zero bytes later. */
#define STREAM_BYTES ((size_t)1024)

static uint32_t over_stream[4][256];
static bool has_instruction;
static pthread_once_t instruction_once = PTHREAD_ONCE_INIT;

static uint32_t after_zeros(uint32_t crc) {
    for (size_t i = 0; i < STREAM_BYTES; i++) {
        crc = (crc >> 8) ^ table_crc32c[0][crc & 0xff];
    }
    return crc;
}

static void prepare_instruction(void) {
    (void)pthread_once(&tables_once, fill_tables);
    for (unsigned k = 0; k < 4; k++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint32_t of_bit = after_zeros(UINT32_C(1) << (8 * k + bit));
            for (unsigned byte = 0; byte < 256; byte++) {
                over_stream[k][byte] ^= (byte >> bit & 1) != 0 ? of_bit : 0;
            }
        }
    }
    __builtin_cpu_init();
    has_instruction = __builtin_cpu_supports("sse4.2") != 0;
}

static uint32_t carry(uint32_t crc) {
    return over_stream[0][crc & 0xff] ^ over_stream[1][crc >> 8 & 0xff] ^
           over_stream[2][crc >> 16 & 0xff] ^ over_stream[3][crc >> 24];
}

static uint64_t load_word(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *p,
                                                                 size_t size) {
    uint64_t a = (uint32_t)~crc;
    for (; size >= 3 * STREAM_BYTES; size -= 3 * STREAM_BYTES, p += 3 * STREAM_BYTES) {
        uint64_t b = 0, c = 0;
        for (size_t i = 0; i < STREAM_BYTES; i += 8) {
            a = __builtin_ia32_crc32di(a, load_word(p + i));
            b = __builtin_ia32_crc32di(b, load_word(p + STREAM_BYTES + i));
            c = __builtin_ia32_crc32di(c, load_word(p + 2 * STREAM_BYTES + i));
        }
        a = carry((uint32_t)a) ^ b;
        a = carry((uint32_t)a) ^ c;
    }
    for (; size >= 8; size -= 8, p += 8) {
        a = __builtin_ia32_crc32di(a, load_word(p));
    }
    crc = (uint32_t)a;
    for (; size > 0; size--, p++) {
        crc = __builtin_ia32_crc32qi(crc, *p);
    }
    return ~crc;
}

uint32_t kn_crc32c(uint32_t crc, const void *data, size_t size) {
    (void)pthread_once(&instruction_once, prepare_instruction); /* as above */
    return has_instruction ? by_instruction(crc, data, size) : kn_crc32c_plain(crc, data, size);
}

#else

uint32_t kn_crc32c(uint32_t crc, const void *data, size_t size) {
    return kn_crc32c_plain(crc, data, size);
}

#endif
