#include "server/json/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/quantity.h"
#include "base/text.h"

/* Numbers up to this one are the same in every reader: JavaScript's are doubles. */
#define WHOLE_MAX (UINT64_C(1) << 53)
#define HEX_BYTES_MAX 64u

/* ---- reading ---- */

static void tell(char problem[static SRV_JSON_PROBLEM_BYTES], size_t line, size_t column,
                 const char *what) {
    (void)snprintf(problem, SRV_JSON_PROBLEM_BYTES, "line %zu, column %zu: %s", line, column, what);
}

static void tell_at(char problem[static SRV_JSON_PROBLEM_BYTES], const char *text, size_t at,
                    const char *what) {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n' ? 1 : 0;
    }
    tell(problem, line, column, what);
}

/* From behind a quote to the one that ends the text, or `size`. */
static size_t find_quote(const char *text, size_t size, size_t at) {
    while (at < size && text[at] != '"') {
        at += text[at] == '\\' ? 2 : 1;
    }
    return at < size ? at : size;
}

/* Where it goes deeper than it may; `size`: nowhere. What is no JSON is found later. */
static size_t find_too_deep(const char *text, size_t size) {
    size_t depth = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"') {
            i = find_quote(text, size, i + 1);
        } else if (text[i] == '{' || text[i] == '[') {
            if (++depth > SRV_JSON_DEPTH) {
                return i;
            }
        } else if ((text[i] == '}' || text[i] == ']') && depth > 0) {
            depth--;
        }
    }
    return size;
}

/* In our words: the library's tell of the text. */
static const char *fault_text(enum json_error_code code) {
    switch (code) {
    case json_error_premature_end_of_input:
        return "it ends inside a value";
    case json_error_end_of_input_expected:
        return "something stands behind the value";
    case json_error_invalid_utf8:
        return "a text is not UTF-8";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a text with \\u0000";
    case json_error_duplicate_key:
        return "a member is there twice";
    case json_error_numeric_overflow:
        return "a number is too large";
    default:
        return "this is no JSON";
    }
}

int srv_json_parse(const char *text, size_t size, json_t **ret_value,
                   char problem[static SRV_JSON_PROBLEM_BYTES]) {
    json_error_t error;
    size_t deep = find_too_deep(text, size);
    if (deep < size) {
        tell_at(problem, text, deep, "it is nested too deeply");
        return KN_E_LIMIT;
    }
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (value != NULL) {
        *ret_value = value;
        return 0;
    }
    if (json_error_code(&error) == json_error_out_of_memory) {
        return -ENOMEM;
    }
    size_t line = error.line > 0 ? (size_t)error.line : 1;
    size_t column = error.column > 0 ? (size_t)error.column : 1;
    tell(problem, line, column, fault_text(json_error_code(&error)));
    return KN_E_MALFORMED;
}

/* ---- writing ---- */

json_t *srv_json_time(struct kn_wall wall) {
    char text[KN_WALL_TEXT_BYTES], fraction[16] = "";
    if (wall.ns == 0) {
        return json_null();
    }
    int64_t part = wall.ns % KN_NS_PER_S;
    part += part < 0 ? KN_NS_PER_S : 0;
    if (part > 0) {
        int size = snprintf(fraction, sizeof(fraction), ".%09" PRIi64, part);
        while (fraction[size - 1] == '0') {
            fraction[--size] = '\0';
        }
    }
    (void)kn_wall_format(wall, text);
    text[strcspn(text, ".")] = '\0';
    return json_sprintf("%s%sZ", text, fraction);
}

json_t *srv_json_u64(uint64_t value) {
    return value <= WHOLE_MAX ? json_integer((json_int_t)value) : json_sprintf("%" PRIu64, value);
}

json_t *srv_json_duration(int64_t ns) {
    char text[KN_DURATION_TEXT_BYTES];
    return json_string(ns == INT64_MAX ? "forever" : kn_duration_format(ns, text));
}

json_t *srv_json_text(const char *text) {
    json_t *value = json_string(text);
    if (value != NULL) {
        return value;
    }
    size_t size = strlen(text);
    char *plain = malloc(size + 1);
    if (plain == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < size;) {
        size_t length = (text[i] & 0x80) == 0 ? 1 : kn_text_character(text + i, size - i);
        if (length == 0) {
            plain[i++] = '?';
            continue;
        }
        memcpy(plain + i, text + i, length);
        i += length;
    }
    value = json_stringn(plain, size);
    free(plain);
    return value;
}

json_t *srv_json_hex(const uint8_t *bytes, size_t size) {
    char text[2 * HEX_BYTES_MAX + 1];
    KN_ASSERT(size <= HEX_BYTES_MAX);
    for (size_t i = 0; i < size; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    return json_stringn(text, 2 * size);
}
