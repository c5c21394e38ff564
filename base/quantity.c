#include "base/quantity.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

#define BILLION 1000000000u

struct unit {
    const char *name;
    uint64_t size;
};

/* "ms" before "m". */
static const struct unit spans[] = {
    {"ms", KN_NS_PER_MS},      {"s", KN_NS_PER_S},         {"m", 60 * KN_NS_PER_S},
    {"h", 3600 * KN_NS_PER_S}, {"d", 86400 * KN_NS_PER_S},
};

static const struct unit sizes[] = {
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {"T", UINT64_C(1) << 40},
};

/* ---- reading ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t read_whole(const char *text, size_t size, uint64_t *ret) {
    uint64_t value = 0;
    size_t at = 0;
    for (; at < size && is_digit(text[at]); at++) {
        uint64_t digit = (uint64_t)(text[at] - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return 0;
        }
        value = value * 10 + digit;
    }
    *ret = value;
    return at;
}

size_t kn_decimal_read(const char *text, size_t size, uint64_t *ret_whole,
                       uint32_t *ret_billionths) {
    uint64_t whole;
    uint32_t part = 0;
    size_t at = read_whole(text, size, &whole);
    if (at == 0) {
        return 0;
    }
    if (at < size && text[at] == '.') {
        size_t first = ++at;
        for (uint32_t unit = BILLION / 10; at < size && is_digit(text[at]); at++, unit /= 10) {
            part += (uint32_t)(text[at] - '0') * unit;
        }
        if (at == first) {
            return 0;
        }
    }
    *ret_whole = whole;
    *ret_billionths = part;
    return at;
}

static size_t read_unit(const char *text, size_t size, const struct unit *units, size_t count,
                        uint64_t *ret_size) {
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(units[i].name);
        if (length <= size && memcmp(text, units[i].name, length) == 0) {
            *ret_size = units[i].size;
            return length;
        }
    }
    return 0;
}

static bool scale(uint64_t whole, uint32_t billionths, uint64_t unit, uint64_t max, uint64_t *ret) {
    unsigned __int128 value = (unsigned __int128)whole * unit;
    value += (unsigned __int128)billionths * unit / BILLION;
    if (value > max) {
        return false;
    }
    *ret = (uint64_t)value;
    return true;
}

size_t kn_duration_read(const char *text, size_t size, int64_t *ret_ns) {
    uint64_t whole, unit, ns;
    uint32_t part;
    size_t number = kn_decimal_read(text, size, &whole, &part);
    size_t name =
        number == 0 ? 0 : read_unit(text + number, size - number, spans, KN_COUNT(spans), &unit);
    if (name == 0 || !scale(whole, part, unit, INT64_MAX, &ns)) {
        return 0;
    }
    *ret_ns = (int64_t)ns;
    return number + name;
}

int kn_duration_parse(const char *text, int64_t *ret_ns) {
    size_t size = strlen(text);
    if (strcmp(text, "0") == 0) {
        *ret_ns = 0;
        return 0;
    }
    int64_t ns;
    if (size == 0 || kn_duration_read(text, size, &ns) != size) {
        return KN_E_MALFORMED;
    }
    *ret_ns = ns;
    return 0;
}

int kn_size_parse(const char *text, uint64_t *ret_bytes) {
    size_t size = strlen(text);
    uint64_t whole, bytes, unit = 1;
    uint32_t part;
    size_t at = kn_decimal_read(text, size, &whole, &part);
    if (at > 0 && at < size) {
        at += read_unit(text + at, size - at, sizes, KN_COUNT(sizes), &unit);
    }
    /* Half a byte is a mistake; of half a gigabyte nobody counts the last byte. */
    if (at == 0 || at != size || (unit == 1 && strchr(text, '.') != NULL) ||
        !scale(whole, part, unit, UINT64_MAX, &bytes)) {
        return KN_E_MALFORMED;
    }
    *ret_bytes = bytes;
    return 0;
}

int kn_when_parse(const char *text, struct kn_wall now, struct kn_wall *ret_wall) {
    if (strcmp(text, "now") == 0) {
        *ret_wall = now;
        return 0;
    }
    if (text[0] != '-' && text[0] != '+') {
        return kn_wall_parse(text, ret_wall);
    }
    int64_t ns;
    if (kn_duration_parse(text + 1, &ns) < 0 ||
        !kn_i64_add(now.ns, text[0] == '-' ? -ns : ns, &ns)) {
        return KN_E_MALFORMED;
    }
    ret_wall->ns = ns;
    return 0;
}

int kn_when_ahead_parse(const char *text, struct kn_wall now, struct kn_wall *ret_wall) {
    struct kn_wall when;
    int64_t ns;
    if (kn_duration_parse(text, &ns) == 0) {
        if (!kn_i64_add(now.ns, ns, &ns)) {
            return KN_E_MALFORMED;
        }
        ret_wall->ns = ns;
        return 0;
    }
    int rc = kn_when_parse(text, now, &when);
    bool bare = text[strspn(text, "0123456789.")] == '\0';
    if (rc < 0 || (bare && when.ns <= now.ns)) {
        return KN_E_MALFORMED;
    }
    *ret_wall = when;
    return 0;
}

/* ---- writing ---- */

const char *kn_duration_format(int64_t ns, char text[static KN_DURATION_TEXT_BYTES]) {
    uint64_t size = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    const char *sign = ns < 0 ? "-" : "";
    for (size_t i = KN_COUNT(spans); i-- > 0;) {
        if (size != 0 && size % spans[i].size == 0) {
            (void)snprintf(text, KN_DURATION_TEXT_BYTES, "%s%" PRIu64 "%s", sign,
                           size / spans[i].size, spans[i].name);
            return text;
        }
    }
    if (size == 0) {
        (void)snprintf(text, KN_DURATION_TEXT_BYTES, "0s");
    } else {
        (void)snprintf(text, KN_DURATION_TEXT_BYTES, "%s%" PRIu64 ".%09us", sign,
                       size / (uint64_t)KN_NS_PER_S, (unsigned)(size % (uint64_t)KN_NS_PER_S));
    }
    return text;
}
