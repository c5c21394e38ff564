#include "server/auth/base64.h"

#include <string.h>

#include "base/error.h"

static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t srv_base64_write(const uint8_t *data, size_t size, char *text) {
    size_t wrote = 0;
    uint32_t bits = 0;
    unsigned count = 0; /* of bits that are not written yet */
    for (size_t i = 0; i < size; i++) {
        bits = (bits << 8) | data[i];
        for (count += 8; count >= 6; count -= 6) {
            text[wrote++] = url[(bits >> (count - 6)) & 63];
        }
    }
    if (count > 0) {
        text[wrote++] = url[(bits << (6 - count)) & 63];
    }
    return wrote;
}

static int value_of(enum srv_base64 how, char c) {
    const char *alphabet = how == SRV_BASE64_PLAIN ? plain : url;
    const char *at = c == '\0' ? NULL : strchr(alphabet, c);
    return at == NULL ? -1 : (int)(at - alphabet);
}

/* Takes the filling off; false: there is too little or too much. */
static bool unfill(struct srv_http_text *text) {
    size_t filled = 0;
    if (text->size % 4 != 0) {
        return false;
    }
    while (filled < 2 && text->size > 0 && text->data[text->size - 1] == '=') {
        text->size--;
        filled++;
    }
    return true;
}

int srv_base64_read(enum srv_base64 how, struct srv_http_text text, uint8_t *room,
                    size_t room_bytes, size_t *ret_size) {
    size_t size = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    if ((how == SRV_BASE64_PLAIN && !unfill(&text)) || text.size % 4 == 1) {
        return KN_E_MALFORMED;
    }
    if (text.size / 4 * 3 + (text.size % 4) * 3 / 4 > room_bytes) {
        return KN_E_LIMIT;
    }
    for (size_t i = 0; i < text.size; i++) {
        int value = value_of(how, text.data[i]);
        if (value < 0) {
            return KN_E_MALFORMED;
        }
        bits = ((bits << 6) | (uint32_t)value) & 0xffff;
        count += 6;
        if (count >= 8) {
            count -= 8;
            room[size++] = (uint8_t)(bits >> count);
        }
    }
    if ((bits & ((1u << count) - 1)) != 0) { /* bits that stand for nothing */
        return KN_E_MALFORMED;
    }
    *ret_size = size;
    return 0;
}
