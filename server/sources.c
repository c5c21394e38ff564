/* Sources that the configuration names, each with its stream.
 *
 * `apply_lock` lets one configuration after the other in. `lock` guards the list and what is in it;
 * the locks of a source's status and of live entries are taken inside it, and nothing under them
 * takes it. No source is stopped under it: its thread may wait for it, to tell its state. */
#include "server/sources.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "server/events.h"
#include "server/live.h"
#include "server/world.h"

/* So often it is tried again where somebody else changes a stream's settings meanwhile. */
#define UPDATE_TRIES 4

/* One owner: the list, or who took it out to stop it. */
struct source {
    struct srv_sources *owner;
    struct frag_stream *stream;
    char *url;
    struct ing_source *running;  /* set before its thread can ask for it */
    struct srv_live_entry *live; /* NULL: it does not run, or there is no room */
    uint64_t bytes, fragments;   /* when that entry began */
    struct source *next;         /* of those to stop */
};

struct srv_sources {
    struct srv_world *world;
    pthread_mutex_t apply_lock;
    pthread_mutex_t lock;
    struct source **items; /* in order of their streams' names */
    size_t count, room;
};

/* ---- the list: under the lock ---- */

/* Where the source of that stream is, or would be. */
static size_t find_place(const struct srv_sources *sources, const char *stream, bool *ret_there) {
    size_t low = 0, high = sources->count;
    *ret_there = false;
    while (low < high && !*ret_there) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(frag_stream_name(sources->items[middle]->stream), stream);
        *ret_there = order == 0;
        low = order < 0 ? middle + 1 : order == 0 ? middle : low;
        high = order > 0 ? middle : high;
    }
    return low;
}

/* There is room. */
static void insert(struct srv_sources *sources, struct source *source) {
    bool there;
    size_t at = find_place(sources, frag_stream_name(source->stream), &there);
    memmove(sources->items + at + 1, sources->items + at,
            (sources->count - at) * sizeof(struct source *));
    sources->items[at] = source;
    sources->count++;
}

static int make_room(struct srv_sources *sources, size_t room) {
    int rc = 0;
    (void)pthread_mutex_lock(&sources->lock);
    if (room > sources->room) {
        struct source **items = realloc(sources->items, room * sizeof(struct source *));
        rc = items == NULL ? -ENOMEM : 0;
        sources->items = items == NULL ? sources->items : items;
        sources->room = items == NULL ? sources->room : room;
    }
    (void)pthread_mutex_unlock(&sources->lock);
    return rc;
}

/* ---- what a source tells: on its thread ---- */

/* An entry while it runs. Under the lock. */
static void show_live(struct source *source, const struct ing_source_status *status) {
    bool runs = status->state == ING_SOURCE_RUNNING;
    if (!runs && source->live != NULL) {
        srv_live_set(source->live, status->bytes - source->bytes,
                     status->fragments - source->fragments);
        srv_live_remove(source->live);
        source->live = NULL;
    } else if (runs && source->live == NULL) {
        const struct srv_live_about about = {
            .side = SRV_LIVE_PRODUCER,
            .protocol = "replay",
            .stream = frag_stream_name(source->stream),
            .peer = source->url,
            .principal = "",
        };
        source->live = srv_live_add(source->owner->world->live, &about);
        source->bytes = status->bytes;
        source->fragments = status->fragments;
    }
}

static void tell_state(struct srv_world *world, const char *stream,
                       const struct ing_source_status *status) {
    static const char *const names[] = {"starting", "running", "waiting", "stopped"};
    char since[KN_WALL_TEXT_BYTES];
    json_t *data =
        json_pack("{s:s, s:s, s:s, s:s}", "stream", stream, "state", names[status->state], "since",
                  kn_wall_format(status->since, since), "problem", status->problem);
    if (data != NULL) { /* else no memory: pages see it with the stream's next state */
        srv_events_tell(world->events, "source", stream, data);
    }
}

static void handle_state(struct frag_stream *stream, void *user) {
    struct source *source = user;
    struct srv_sources *sources = source->owner;
    struct ing_source_status status;
    (void)pthread_mutex_lock(&sources->lock);
    ing_source_status(source->running, &status);
    show_live(source, &status);
    (void)pthread_mutex_unlock(&sources->lock);
    tell_state(sources->world, frag_stream_name(stream), &status);
}

/* ---- stopping ---- */

static bool goes_on(const struct srv_sources *sources, const struct source *source,
                    const struct srv_config *config) {
    const char *name = frag_stream_name(source->stream);
    const struct srv_config_stream *named = srv_config_stream_find(config, name);
    struct ing_source_status status;
    ing_source_status(source->running, &status);
    /* A stream deleted and made again is another one. */
    return named != NULL && named->source != NULL && strcmp(named->source, source->url) == 0 &&
           frag_stream_find(sources->world->store, name) == source->stream &&
           status.state != ING_SOURCE_STOPPED;
}

/* Those that `config` (NULL: none) does not name as they are. */
static struct source *take_out(struct srv_sources *sources, const struct srv_config *config) {
    struct source *leaving = NULL;
    size_t kept = 0;
    (void)pthread_mutex_lock(&sources->lock);
    for (size_t i = 0; i < sources->count; i++) {
        struct source *source = sources->items[i];
        if (config != NULL && goes_on(sources, source, config)) {
            sources->items[kept++] = source;
        } else {
            source->next = leaving;
            leaving = source;
        }
    }
    sources->count = kept;
    (void)pthread_mutex_unlock(&sources->lock);
    return leaving;
}

/* All are asked before any is waited for. */
static void stop_all(struct source *leaving) {
    for (struct source *source = leaving; source != NULL; source = source->next) {
        ing_source_end(source->running);
    }
    while (leaving != NULL) {
        struct source *source = leaving;
        leaving = source->next;
        ing_source_stop(source->running); /* it told that it stopped: no entry is left */
        free(source->url);
        free(source);
    }
}

/* ---- starting ---- */

static int start(struct srv_sources *sources, struct frag_stream *stream, const char *url) {
    struct source *source = calloc(1, sizeof(*source));
    char *copy = strdup(url);
    int rc = source == NULL || copy == NULL ? -ENOMEM : 0;
    if (rc == 0) {
        *source = (struct source){.owner = sources, .stream = stream, .url = copy};
        const struct ing_source_config config = {
            .stream = stream, .url = url, .handle_state = handle_state, .user = source};
        (void)pthread_mutex_lock(&sources->lock);
        rc = ing_source_start(&config, &source->running);
        if (rc == 0) {
            insert(sources, source);
        }
        (void)pthread_mutex_unlock(&sources->lock);
    }
    if (rc < 0) {
        free(copy);
        free(source);
    }
    return rc;
}

static int start_missing(struct srv_sources *sources, struct frag_stream *stream,
                         const struct srv_config_stream *named) {
    bool there;
    (void)pthread_mutex_lock(&sources->lock);
    (void)find_place(sources, named->name, &there);
    (void)pthread_mutex_unlock(&sources->lock);
    return there || named->source == NULL ? 0 : start(sources, stream, named->source);
}

/* ---- streams ---- */

static int make_tag(const struct srv_pair_text *pair, struct frag_stream_tag *tag) {
    if (strlen(pair->name) >= sizeof(tag->key) || strlen(pair->value) >= sizeof(tag->value)) {
        return -EINVAL;
    }
    (void)snprintf(tag->key, sizeof(tag->key), "%s", pair->name);
    (void)snprintf(tag->value, sizeof(tag->value), "%s", pair->value);
    return 0;
}

/* free() them. */
static int make_tags(const struct srv_pairs *pairs, struct frag_stream_tag **ret_tags) {
    struct frag_stream_tag *tags = calloc(pairs->count + 1, sizeof(*tags));
    int rc = tags == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < pairs->count && rc == 0; i++) {
        rc = make_tag(&pairs->items[i], &tags[i]);
    }
    if (rc < 0) {
        free(tags);
        return rc;
    }
    *ret_tags = tags;
    return 0;
}

static int create(struct srv_sources *sources, const struct srv_config_stream *named,
                  struct frag_stream **ret_stream) {
    struct frag_stream_settings settings = srv_config_new_settings(named);
    struct frag_stream_tag *tags = NULL;
    int rc = srv_config_settings(sources->world->store, named, &settings);
    rc = rc < 0 ? rc : make_tags(&named->tags, &tags);
    rc = rc < 0 ? rc
                : frag_stream_create(sources->world->store, named->name, &settings, tags,
                                     named->tags.count, ret_stream);
    free(tags);
    return rc;
}

static bool are_equal(const struct frag_stream_settings *a, const struct frag_stream_settings *b) {
    return a->retention_ns == b->retention_ns && a->retention_bytes == b->retention_bytes &&
           a->target_ns == b->target_ns && a->folder == b->folder && a->records == b->records &&
           strcmp(a->media_type, b->media_type) == 0 && strcmp(a->device_name, b->device_name) == 0;
}

/* What the file names, over what the stream has. `info` is room for it. */
static int update_settings(const struct srv_config_stream *named, struct frag_stream *stream,
                           struct frag_stream_info *info) {
    int rc = -ESTALE;
    for (int i = 0; i < UPDATE_TRIES && rc == -ESTALE; i++) {
        rc = frag_stream_describe(stream, info);
        struct frag_stream_settings settings = info->settings;
        rc = rc < 0 ? rc : srv_config_settings(frag_stream_store(stream), named, &settings);
        if (rc == 0 && !are_equal(&settings, &info->settings)) {
            rc = frag_stream_update(stream, info->version, &settings);
        }
    }
    return rc;
}

static bool has_tag(const struct frag_stream_info *info, const struct srv_pair_text *pair) {
    for (size_t i = 0; i < info->tag_count; i++) {
        if (strcmp(info->tags[i].key, pair->name) == 0) {
            return strcmp(info->tags[i].value, pair->value) == 0;
        }
    }
    return false;
}

/* Where the file has the row, all tags are the file's: who took one out of it means that it goes,
 * and the API could not remove it. */
static size_t find_gone(const struct srv_config_stream *named, const struct frag_stream_info *info,
                        const char *gone[static FRAG_STREAM_TAGS_MAX]) {
    size_t count = 0;
    bool owns = (named->named.rows >> SRV_STREAM_TAGS & 1) != 0;
    for (size_t i = 0; i < info->tag_count && owns; i++) {
        bool stays = false;
        for (size_t k = 0; k < named->tags.count && !stays; k++) {
            stays = strcmp(info->tags[i].key, named->tags.items[k].name) == 0;
        }
        if (!stays) {
            gone[count++] = info->tags[i].key;
        }
    }
    return count;
}

static int put_tags(const struct srv_config_stream *named, struct frag_stream *stream,
                    const struct frag_stream_info *info) {
    const struct srv_pairs *pairs = &named->tags;
    const char *gone[FRAG_STREAM_TAGS_MAX];
    size_t gone_count = find_gone(named, info, gone);
    bool new = gone_count > 0;
    for (size_t i = 0; i < pairs->count; i++) {
        new = new || !has_tag(info, &pairs->items[i]);
    }
    struct frag_stream_tag *tags = NULL;
    int rc = new ? make_tags(pairs, &tags) : 0;
    rc = rc < 0 || !new ? rc : frag_stream_tag(stream, tags, pairs->count, gone, gone_count);
    free(tags);
    return rc;
}

static int update(const struct srv_config_stream *named, struct frag_stream *stream) {
    struct frag_stream_info *info = calloc(1, sizeof(*info)); /* too large for the stack */
    if (info == NULL) {
        return -ENOMEM;
    }
    int rc = update_settings(named, stream, info);
    int put = put_tags(named, stream, info);
    free(info);
    return rc < 0 ? rc : put;
}

/* A stream that is there is recorded into, whatever was wrong with its settings. */
static int apply_stream(struct srv_sources *sources, const struct srv_config_stream *named) {
    struct frag_stream *stream = frag_stream_find(sources->world->store, named->name);
    int rc = stream != NULL ? 0 : create(sources, named, &stream);
    if (rc == -EEXIST) { /* somebody made it meanwhile */
        stream = frag_stream_find(sources->world->store, named->name);
    }
    if (stream == NULL) {
        return rc < 0 ? rc : -ENOENT;
    }
    srv_world_take_ownership(sources->world);
    rc = update(named, stream);
    srv_world_unlock_ownership(sources->world);
    int started = start_missing(sources, stream, named);
    return rc < 0 ? rc : started;
}

/* ---- face ---- */

int srv_sources_create(struct srv_world *world, struct srv_sources **ret_sources) {
    struct srv_sources *sources = calloc(1, sizeof(*sources));
    if (sources == NULL) {
        return -ENOMEM;
    }
    sources->world = world;
    /* On Linux neither can fail for private ones. */
    KN_ASSERT(pthread_mutex_init(&sources->apply_lock, NULL) == 0);
    KN_ASSERT(pthread_mutex_init(&sources->lock, NULL) == 0);
    *ret_sources = sources;
    return 0;
}

void srv_sources_apply(struct srv_sources *sources, const struct srv_config *config,
                       size_t *ret_failed) {
    size_t failed = 0;
    (void)pthread_mutex_lock(&sources->apply_lock);
    int room = make_room(sources, config->stream_count);
    if (room < 0) {
        kn_log_error("streams of the configuration not applied", kn_err("error", room));
        failed = config->stream_count;
    } else {
        stop_all(take_out(sources, config));
    }
    for (size_t i = 0; i < config->stream_count && room == 0; i++) {
        int rc = apply_stream(sources, &config->streams[i]);
        if (rc < 0) {
            kn_log_error("stream not as the configuration says",
                         kn_str("stream", config->streams[i].name), kn_err("error", rc));
            failed++;
        }
    }
    (void)pthread_mutex_unlock(&sources->apply_lock);
    *ret_failed = failed;
}

void srv_sources_destroy(struct srv_sources *sources) {
    if (sources == NULL) {
        return;
    }
    stop_all(take_out(sources, NULL));
    (void)pthread_mutex_destroy(&sources->lock);       /* nobody waits any more */
    (void)pthread_mutex_destroy(&sources->apply_lock); /* likewise */
    free(sources->items);
    free(sources);
}

int srv_sources_status(struct srv_sources *sources, const char *stream,
                       struct ing_source_status *ret_status) {
    bool there;
    (void)pthread_mutex_lock(&sources->lock);
    size_t at = find_place(sources, stream, &there);
    if (there) {
        ing_source_status(sources->items[at]->running, ret_status);
    }
    (void)pthread_mutex_unlock(&sources->lock);
    return there ? 0 : -ENOENT;
}

void srv_sources_tick(struct srv_sources *sources) {
    (void)pthread_mutex_lock(&sources->lock);
    for (size_t i = 0; i < sources->count; i++) {
        struct source *source = sources->items[i];
        struct ing_source_status status;
        ing_source_status(source->running, &status);
        if (source->live != NULL) {
            srv_live_set(source->live, status.bytes - source->bytes,
                         status.fragments - source->fragments);
        }
    }
    (void)pthread_mutex_unlock(&sources->lock);
}
