#include "server/http/query.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "server/http/percent.h"

/* Of a name that is looked for. */
#define NAME_BYTES 128u

struct srv_http_query srv_http_query_begin(struct srv_http_text raw) {
    return (struct srv_http_query){raw};
}

static struct srv_http_pair cut_pair(struct srv_http_text text) {
    const char *equals = memchr(text.data, '=', text.size);
    struct srv_http_pair pair = {.name = text, .value = {text.data + text.size, 0}};
    if (equals != NULL) {
        pair.has_value = true;
        pair.name.size = (size_t)(equals - text.data);
        pair.value = (struct srv_http_text){equals + 1, text.size - pair.name.size - 1};
    }
    return pair;
}

bool srv_http_query_next(struct srv_http_query *query, struct srv_http_pair *ret_pair) {
    struct srv_http_text *left = &query->left;
    while (left->size > 0) {
        const char *data = left->data;
        const char *end = memchr(data, '&', left->size);
        size_t size = end == NULL ? left->size : (size_t)(end - data);
        size_t used = end == NULL ? size : size + 1;
        left->data += used;
        left->size -= used;
        if (size > 0) {
            *ret_pair = cut_pair((struct srv_http_text){data, size});
            return true;
        }
    }
    return false;
}

int srv_http_query_decode(struct srv_http_text raw, char *room, size_t room_bytes,
                          struct srv_http_text *ret_text) {
    return srv_http_percent_decode(raw, SRV_HTTP_PLUS_IS_SPACE, room, room_bytes, ret_text);
}

/* A name that cannot be decoded is no name anybody looks for. */
static bool has_name(const struct srv_http_pair *pair, const char *name) {
    char room[NAME_BYTES];
    struct srv_http_text text;
    return srv_http_query_decode(pair->name, room, sizeof(room), &text) == 0 &&
           text.size == strlen(name) && memcmp(text.data, name, text.size) == 0;
}

int srv_http_query_find(struct srv_http_text raw, const char *name, char *room, size_t room_bytes,
                        struct srv_http_text *ret_text) {
    struct srv_http_query query = srv_http_query_begin(raw);
    struct srv_http_pair pair, found = {.has_value = false};
    size_t count = 0;
    KN_ASSERT(strlen(name) < NAME_BYTES);
    while (srv_http_query_next(&query, &pair)) {
        if (has_name(&pair, name)) {
            found = pair;
            count++;
        }
    }
    if (count != 1) {
        return count == 0 ? -ENOENT : KN_E_MALFORMED;
    }
    return srv_http_query_decode(found.value, room, room_bytes, ret_text);
}
