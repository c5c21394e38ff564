#include "fragments/json_text.h"

#include <limits.h>
#include <string.h>

#include "base/text.h"

json_t *frag_json_text(const char *text) {
    json_t *value = json_string(text);
    if (value != NULL) {
        return value;
    }
    char copy[PATH_MAX];
    size_t size = strnlen(text, sizeof(copy) - 1);
    for (size_t i = 0; i < size;) {
        size_t length = (text[i] & 0x80) == 0 ? 1 : kn_text_character(text + i, size - i);
        if (length == 0) {
            copy[i++] = '?';
            continue;
        }
        memcpy(copy + i, text + i, length);
        i += length;
    }
    return json_stringn(copy, size);
}

json_t *frag_json_u64(uint64_t value) {
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}
