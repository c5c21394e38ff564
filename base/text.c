#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static bool is_continuation(unsigned char byte) {
    return (byte & 0xc0) == 0x80;
}

/* Characters that change how a terminal shows the rest: C1 controls, line and paragraph separators,
 * and the overrides of writing direction. */
static bool is_treacherous(uint32_t c) {
    return c < 0xa0 || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

size_t kn_text_character(const char *text, size_t left) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)text;
    if (left == 0) {
        return 0;
    }
    if (s[0] < 0x80) {
        return s[0] >= 0x20 && s[0] != 0x7f ? 1 : 0;
    }
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || length > left) {
        return 0;
    }
    uint32_t c = s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (!is_continuation(s[i])) {
            return 0;
        }
        c = c << 6 | (s[i] & 0x3fu);
    }
    bool surrogate = c >= 0xd800 && c <= 0xdfff;
    return c < least[length] || c > 0x10ffff || surrogate || is_treacherous(c) ? 0 : length;
}

const char *kn_text_plain(const char *text, size_t size, char *plain, size_t room) {
    size_t left = strnlen(text, size);
    size_t at = 0;
    while (left > 0) {
        size_t length = kn_text_character(text, left);
        size_t taken = length == 0 ? 1 : length;
        if (taken + 1 > room - at) {
            break;
        }
        if (length == 0) {
            plain[at] = '?';
        } else {
            memcpy(plain + at, text, length);
        }
        at += taken;
        text += taken;
        left -= taken;
    }
    plain[at] = '\0';
    return plain;
}

size_t kn_text_cut(const char *text, size_t size, size_t max) {
    if (size <= max) {
        return size;
    }
    size_t cut = max;
    while (cut > 0 && max - cut < 4 && is_continuation((unsigned char)text[cut])) {
        cut--;
    }
    return cut;
}
