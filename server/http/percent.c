#include "server/http/percent.h"

#include "base/error.h"
#include "base/text.h"
#include "server/http/chars.h"

/* The byte at the front and how many bytes it takes; 0: it is malformed. */
static size_t decode_byte(struct srv_http_text raw, unsigned flags, char *ret_byte) {
    char c = raw.data[0];
    if (c == '+' && (flags & SRV_HTTP_PLUS_IS_SPACE) != 0) {
        c = ' ';
    }
    if (c != '%') {
        *ret_byte = c;
        return 1;
    }
    int high = raw.size < 3 ? -1 : srv_http_hex_value(raw.data[1]);
    int low = raw.size < 3 ? -1 : srv_http_hex_value(raw.data[2]);
    if (high < 0 || low < 0) {
        return 0;
    }
    *ret_byte = (char)(high * 16 + low);
    return 3;
}

static bool is_text(struct srv_http_text text) {
    while (text.size > 0) {
        size_t size = kn_text_character(text.data, text.size);
        if (size == 0) {
            return false;
        }
        text.data += size;
        text.size -= size;
    }
    return true;
}

int srv_http_percent_decode(struct srv_http_text raw, unsigned flags, char *room, size_t room_bytes,
                            struct srv_http_text *ret_text) {
    struct srv_http_text text = {room, 0};
    while (raw.size > 0) {
        char byte;
        size_t taken = decode_byte(raw, flags, &byte);
        if (taken == 0) {
            return KN_E_MALFORMED;
        }
        if (text.size == room_bytes) {
            return KN_E_LIMIT;
        }
        room[text.size++] = byte;
        raw.data += taken;
        raw.size -= taken;
    }
    if (!is_text(text)) {
        return KN_E_MALFORMED;
    }
    *ret_text = text;
    return 0;
}
