#include "server/http/path.h"

#include <string.h>

#include "base/error.h"
#include "server/http/percent.h"

struct cut {
    struct srv_http_path *path;
    size_t used; /* of path->text */
};

static bool is(struct srv_http_text segment, const char *text) {
    return segment.size == strlen(text) && memcmp(segment.data, text, segment.size) == 0;
}

/* One segment of the raw path, the last or not. */
static int add_segment(struct cut *cut, struct srv_http_text raw, bool last) {
    struct srv_http_path *path = cut->path;
    struct srv_http_text segment;
    int rc = srv_http_percent_decode(raw, 0, path->text + cut->used, sizeof(path->text) - cut->used,
                                     &segment);
    if (rc != 0) {
        return rc;
    }
    if (memchr(segment.data, '/', segment.size) != NULL) {
        return KN_E_MALFORMED;
    }
    bool up = is(segment, "..");
    path->slash = last && (segment.size == 0 || up || is(segment, "."));
    if (is(segment, ".") || (last && segment.size == 0)) {
        return 0;
    }
    if (up) {
        path->count--;
        return path->count == SIZE_MAX ? KN_E_MALFORMED : 0;
    }
    if (path->count == SRV_HTTP_PATH_SEGMENTS) {
        return KN_E_LIMIT;
    }
    path->segments[path->count++] = segment;
    cut->used += segment.size;
    return 0;
}

static int split(struct srv_http_text raw, struct srv_http_path *path) {
    struct cut cut = {.path = path};
    if (raw.size == 0 || raw.data[0] != '/') {
        return KN_E_MALFORMED;
    }
    const char *at = raw.data + 1;
    const char *end = raw.data + raw.size;
    for (;;) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        size_t size = (size_t)((slash == NULL ? end : slash) - at);
        int rc = add_segment(&cut, (struct srv_http_text){at, size}, slash == NULL);
        if (rc != 0 || slash == NULL) {
            return rc;
        }
        at = slash + 1;
    }
}

int srv_http_path_split(struct srv_http_text raw, struct srv_http_path *path) {
    path->count = 0;
    path->slash = false;
    int rc = split(raw, path);
    if (rc != 0) {
        path->count = 0;
    }
    return rc;
}

bool srv_http_path_segment_is(const struct srv_http_path *path, size_t index, const char *text) {
    return index < path->count && is(path->segments[index], text);
}
