#include "ingest/source_rules.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/time.h"
#include "ingest/ingest.h"

#define FILE_SCHEME "file:"
/* What may follow a scheme's first letter. */
#define SCHEME_REST "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-."
#define WAIT_MOST_NS (30 * KN_NS_PER_S)
#define WAIT_DOUBLINGS 5

/* RFC 3986, 3.1: how long the scheme is with its colon; 0: there is none. */
static size_t scheme_size(const char *url) {
    size_t size = 0;
    while ((url[size] | 0x20) >= 'a' && (url[size] | 0x20) <= 'z') {
        size++;
    }
    size += size == 0 ? 0 : strspn(url + size, SCHEME_REST);
    return size > 0 && url[size] == ':' ? size + 1 : 0;
}

/* A path of this machine; "//HOST/PATH" is one of another. */
static bool is_path(const char *text) {
    size_t size = strnlen(text, PATH_MAX);
    bool elsewhere = strncmp(text, "//", 2) == 0 && text[2] != '/';
    if (size == 0 || size >= PATH_MAX || elsewhere) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

int ing_source_url_path(const char *url, const char **ret_path) {
    size_t scheme = scheme_size(url);
    if (scheme == 0) {
        return KN_E_MALFORMED;
    }
    if (scheme != strlen(FILE_SCHEME) || strncmp(url, FILE_SCHEME, scheme) != 0) {
        return KN_E_UNSUPPORTED;
    }
    if (!is_path(url + scheme)) {
        return KN_E_MALFORMED;
    }
    *ret_path = url + scheme;
    return 0;
}

int ing_source_url_check(const char *url) {
    const char *path;
    return ing_source_url_path(url, &path);
}

int64_t ing_source_wait_ns(uint64_t failures) {
    uint64_t doublings = failures > 0 ? failures - 1 : 0;
    return doublings >= WAIT_DOUBLINGS ? WAIT_MOST_NS : KN_NS_PER_S << doublings;
}
