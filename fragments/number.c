/* 47-digit fragment numbers (kvs-contract 2.6): 157 bits in decimal, as far as 47 digits go. */
#include <string.h>

#include "base/error.h"
#include "fragments/fragment.h"

#define DIGITS (FRAG_NUMBER_TEXT_BYTES - 1)
#define LOW_BITS 28
#define LIMBS 5 /* of 32 bits, least significant first */

/* bits 0..27 low, 28..91 server_ms, 92..155 sequence, 156 one */
static void to_limbs(struct frag_number number, uint32_t limbs[static LIMBS]) {
    uint64_t ms = number.server_ms;
    uint64_t sequence = number.sequence;
    limbs[0] = (uint32_t)(ms << LOW_BITS) | (number.low & 0x0FFFFFFFu);
    limbs[1] = (uint32_t)(ms >> 4);
    limbs[2] = (uint32_t)(ms >> 36) | (uint32_t)(sequence << 28);
    limbs[3] = (uint32_t)(sequence >> 4);
    limbs[4] = (uint32_t)(sequence >> 36) | 1u << 28;
}

const char *frag_number_format(struct frag_number number,
                               char text[static FRAG_NUMBER_TEXT_BYTES]) {
    uint32_t limbs[LIMBS];
    to_limbs(number, limbs);
    for (size_t i = DIGITS; i-- > 0;) {
        uint64_t rest = 0;
        for (size_t limb = LIMBS; limb-- > 0;) {
            uint64_t value = rest << 32 | limbs[limb];
            limbs[limb] = (uint32_t)(value / 10);
            rest = value % 10;
        }
        text[i] = (char)('0' + rest);
    }
    text[DIGITS] = '\0';
    for (size_t limb = 0; limb < LIMBS; limb++) {
        KN_ASSERT(limbs[limb] == 0); /* else a 48th digit, and text order would break */
    }
    return text;
}

int frag_number_parse(const char *text, struct frag_number *ret_number) {
    if (strnlen(text, DIGITS + 1) != DIGITS) {
        return KN_E_MALFORMED;
    }
    uint32_t limbs[LIMBS] = {0};
    for (size_t i = 0; i < DIGITS; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return KN_E_MALFORMED;
        }
        uint64_t carry = (uint64_t)(text[i] - '0');
        for (size_t limb = 0; limb < LIMBS; limb++) {
            uint64_t value = (uint64_t)limbs[limb] * 10 + carry;
            limbs[limb] = (uint32_t)value;
            carry = value >> 32;
        }
    }
    if (limbs[4] >> 28 != 1) {
        return KN_E_MALFORMED; /* below 2^156, or with bits above it */
    }
    *ret_number = (struct frag_number){
        .low = limbs[0] & 0x0FFFFFFFu,
        .server_ms = limbs[0] >> LOW_BITS | (uint64_t)limbs[1] << 4 |
                     (uint64_t)(limbs[2] & 0x0FFFFFFFu) << 36,
        .sequence =
            limbs[2] >> 28 | (uint64_t)limbs[3] << 4 | (uint64_t)(limbs[4] & 0x0FFFFFFFu) << 36,
    };
    return 0;
}

int frag_number_compare(struct frag_number a, struct frag_number b) {
    if (a.sequence != b.sequence) {
        return a.sequence < b.sequence ? -1 : 1;
    }
    if (a.server_ms != b.server_ms) {
        return a.server_ms < b.server_ms ? -1 : 1;
    }
    return (a.low > b.low) - (a.low < b.low);
}
