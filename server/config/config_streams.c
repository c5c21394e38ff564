/* The configuration's streams: from the file, and with the defaults. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "server/config/config_inner.h"

#define NAME_SHOWN_BYTES 72u

static bool name_valid(const char *name) {
    size_t size = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    bool climbs = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    return size >= 1 && size < FRAG_STREAM_NAME_BYTES && name[size] == '\0' && !climbs;
}

static const struct srv_yaml *find(const struct srv_yaml *map, const char *name) {
    for (size_t i = 0; i < map->count; i += 2) {
        if (strcmp(map->items[i]->text, name) == 0) {
            return map->items[i + 1];
        }
    }
    return NULL;
}

/* A text alone is its source. */
static int read_value(struct srv_making *making, const struct srv_yaml *node,
                      struct srv_made_stream *made) {
    if (srv_yaml_is_nothing(node)) {
        return 0;
    }
    if (node->kind == SRV_YAML_TEXT) {
        return srv_making_row(making, srv_stream_schema, &srv_stream_schema[SRV_STREAM_SOURCE],
                              node, &made->stream);
    }
    if (node->kind != SRV_YAML_MAP) {
        return srv_making_tell(making, false, "a source, or a map of keys");
    }
    const struct srv_yaml *storage = find(node, srv_stream_schema[SRV_STREAM_STORAGE].name);
    if (storage != NULL) {
        made->storage.line = storage->line;
        made->storage.column = storage->column;
    }
    return srv_making_map(making, srv_stream_schema, node, NULL, &made->stream);
}

static int read_stream(struct srv_making *making, const struct srv_yaml *key,
                       const struct srv_yaml *node) {
    char shown[NAME_SHOWN_BYTES];
    making->place.line = key->line;
    making->place.column = key->column;
    if (!name_valid(key->text)) {
        (void)kn_text_plain(key->text, strlen(key->text), shown, sizeof(shown));
        size_t before = srv_making_enter(making, shown);
        int rc = srv_making_tell(making, false,
                                 "a stream's name is 1 to 256 of A-Z a-z 0-9 . _ -, but . and ..");
        srv_making_leave(making, before);
        return rc;
    }
    struct srv_made_stream *made = &making->streams[making->stream_count];
    *made = (struct srv_made_stream){.place = making->place, .storage = making->place};
    made->stream.name = srv_text_copy(key->text);
    if (made->stream.name == NULL) {
        return -ENOMEM;
    }
    making->stream_count++;
    size_t before = srv_making_enter(making, key->text);
    making->place.line = node->line;
    making->place.column = node->column;
    int rc = read_value(making, node, made);
    srv_making_leave(making, before);
    return rc;
}

static int compare(const void *a, const void *b) {
    const struct srv_made_stream *one = a, *other = b;
    int order = strcmp(one->stream.name, other->stream.name);
    if (order != 0) {
        return order;
    }
    if (one->place.line != other->place.line) {
        return one->place.line < other->place.line ? -1 : 1;
    }
    return one->place.column < other->place.column ? -1 : 1;
}

static int sort(struct srv_making *making) {
    int rc = 0;
    if (making->stream_count > 0) {
        qsort(making->streams, making->stream_count, sizeof(making->streams[0]), compare);
    }
    for (size_t i = 1; i < making->stream_count && rc == 0; i++) {
        struct srv_made_stream *made = &making->streams[i];
        if (strcmp(making->streams[i - 1].stream.name, made->stream.name) == 0) {
            making->place = made->place;
            size_t before = srv_making_enter(making, made->stream.name);
            rc = srv_making_tell(making, false, "the stream is there twice");
            srv_making_leave(making, before);
        }
    }
    return rc;
}

int srv_making_streams(struct srv_making *making, const struct srv_yaml *node) {
    int rc = 0;
    size_t before = srv_making_enter(making, "streams");
    making->place.line = node->line;
    making->place.column = node->column;
    if (srv_yaml_is_nothing(node)) {
        srv_making_leave(making, before);
        return 0;
    }
    if (node->kind != SRV_YAML_MAP || node->count / 2 > FRAG_STREAMS_MAX) {
        rc = srv_making_tell(making, false,
                             node->kind == SRV_YAML_MAP ? "more than 10000 of them"
                                                        : "a map of names to sources or maps");
        srv_making_leave(making, before);
        return rc;
    }
    making->streams = calloc(node->count / 2 + 1, sizeof(making->streams[0]));
    rc = making->streams == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < node->count && rc == 0 && !srv_making_is_full(making); i += 2) {
        rc = read_stream(making, node->items[i], node->items[i + 1]);
    }
    rc = rc < 0 ? rc : sort(making);
    srv_making_leave(making, before);
    return rc;
}
