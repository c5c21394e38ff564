/* Streams are made, changed and deleted. What the configuration has of a stream is changed there
 * alone: else the next reload would put it back, and nobody would know why. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/api/api_inner.h"

#define NAME_RULE "a stream's name has 1 to 256 of A-Z a-z 0-9 . _ -, but is not . or .."

/* What a body asks for. */
struct wish {
    json_t *rows;     /* the body without the member that is no row */
    const char *text; /* that member; NULL: it is not there. Borrowed from the body */
    struct srv_config_stream stream;
    struct frag_stream_tag *tags;
    size_t tag_count;
};

static void finish_wish(struct wish *wish) {
    json_decref(wish->rows);
    srv_schema_finish(srv_stream_schema, &wish->stream);
    free(wish->tags);
}

/* Takes the member `name`, a text, out of the rows. */
static bool take_text(struct srv_exchange *exchange, const char *name, struct wish *wish) {
    json_t *body = srv_exchange_json(exchange);
    const json_t *value = json_object_get(body, name);
    wish->rows = json_copy(body);
    if (wish->rows == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "reading the body");
        return false;
    }
    if (value != NULL && !json_is_string(value)) {
        srv_answer_error(exchange, 400, SRV_API_INVALID, "%s: a text", name);
        return false;
    }
    if (value != NULL) {
        wish->text = json_string_value(value);
        (void)json_object_del(wish->rows, name); /* it is there */
    }
    return true;
}

static bool read_rows(struct srv_exchange *exchange, struct wish *wish) {
    char problem[SRV_SCHEMA_PROBLEM_BYTES];
    int rc = srv_schema_read_json(srv_stream_schema, wish->rows, &wish->stream, problem);
    if (rc == KN_E_MALFORMED) {
        srv_answer_error(exchange, 400, SRV_API_INVALID, "%s", problem);
    } else if (rc < 0) {
        srv_answer_failure(exchange, rc, "reading the body");
    }
    return rc == 0;
}

static bool names_row(const struct srv_config_stream *stream, enum srv_stream_row row) {
    return (stream->named.rows >> row & 1) != 0;
}

/* None of the rows is the file's. */
static bool check_owner(struct srv_exchange *exchange, const struct srv_config *config,
                        const char *name, const struct wish *wish) {
    for (unsigned i = 0; i < SRV_STREAM_ROWS; i++) {
        if (names_row(&wish->stream, (enum srv_stream_row)i) &&
            srv_config_owns(config, name, (enum srv_stream_row)i)) {
            srv_answer_error(exchange, 409, SRV_API_CONFLICT,
                             "streams.%s.%s: the configuration says it; change it there", name,
                             srv_stream_schema[i].name);
            return false;
        }
    }
    return true;
}

/* The rows over `settings`. */
static bool apply_rows(struct srv_exchange *exchange, const struct srv_config_stream *stream,
                       struct frag_stream_settings *settings) {
    int rc = srv_config_settings(srv_exchange_world(exchange)->store, stream, settings);
    if (rc == -ENOENT) {
        srv_answer_error(exchange, 400, SRV_API_INVALID,
                         "storage: it is no storage directory of this store");
    } else if (rc < 0) {
        srv_answer_failure(exchange, rc, "reading the body");
    }
    return rc == 0;
}

static bool put_tag(const struct srv_pair_text *pair, struct frag_stream_tag *tag) {
    int key = snprintf(tag->key, sizeof(tag->key), "%s", pair->name);
    int value = snprintf(tag->value, sizeof(tag->value), "%s", pair->value);
    return key > 0 && (size_t)key < sizeof(tag->key) && value >= 0 &&
           (size_t)value < sizeof(tag->value);
}

static bool make_tags(struct srv_exchange *exchange, const struct srv_pairs *pairs,
                      struct wish *wish) {
    bool fits = pairs->count <= FRAG_STREAM_TAGS_MAX;
    wish->tags = fits ? calloc(pairs->count + 1, sizeof(*wish->tags)) : NULL;
    if (fits && wish->tags == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "reading the body");
        return false;
    }
    for (size_t i = 0; i < pairs->count && fits; i++) {
        fits = put_tag(&pairs->items[i], &wish->tags[i]);
    }
    if (!fits) {
        srv_answer_error(exchange, 400, SRV_API_INVALID,
                         "tags: at most %u, with keys of 1 to 128 bytes and values of up to 256",
                         FRAG_STREAM_TAGS_MAX);
        return false;
    }
    wish->tag_count = pairs->count;
    return true;
}

/* ---- create ---- */

static void answer_created(struct srv_exchange *exchange, const char *name, int rc,
                           struct frag_stream *stream) {
    char location[sizeof("/api/v1/streams/") + FRAG_STREAM_NAME_BYTES];
    switch (rc) {
    case 0:
        (void)snprintf(location, sizeof(location), "/api/v1/streams/%s", name);
        srv_answer_field(exchange, "Location", location);
        srv_api_answer_stream(exchange, 201, stream);
        break;
    case -EEXIST:
        srv_answer_error(exchange, 409, SRV_API_CONFLICT, "there is a stream of this name");
        break;
    case -EINVAL:
        srv_answer_error(exchange, 400, SRV_API_INVALID,
                         NAME_RULE "; or a setting or tag that cannot be");
        break;
    case KN_E_LIMIT:
        srv_answer_error(exchange, 409, SRV_API_CONFLICT, "there are %u streams, which is the most",
                         FRAG_STREAMS_MAX);
        break;
    default:
        srv_answer_failure(exchange, rc, "creating the stream");
        break;
    }
}

static void create_wished(struct srv_exchange *exchange, const struct srv_config *config,
                          struct wish *wish) {
    struct frag_stream_settings settings = srv_config_new_settings(&config->defaults);
    const struct srv_pairs *tags =
        names_row(&wish->stream, SRV_STREAM_TAGS) ? &wish->stream.tags : &config->defaults.tags;
    if (!check_owner(exchange, config, wish->text, wish) ||
        !apply_rows(exchange, &config->defaults, &settings) ||
        !apply_rows(exchange, &wish->stream, &settings) || !make_tags(exchange, tags, wish)) {
        return;
    }
    struct frag_stream *stream = NULL;
    int rc = frag_stream_create(srv_exchange_world(exchange)->store, wish->text, &settings,
                                wish->tags, wish->tag_count, &stream);
    answer_created(exchange, wish->text, rc, stream);
}

void srv_api_create_stream(struct srv_exchange *exchange) {
    struct srv_world *world = srv_exchange_world(exchange);
    srv_world_lock_ownership(world);
    const struct srv_config *config = srv_world_config(world);
    struct wish wish = {0};
    if (SRV_API_ONLY(exchange, NULL) && take_text(exchange, "name", &wish) &&
        read_rows(exchange, &wish)) {
        if (wish.text == NULL) {
            srv_answer_error(exchange, 400, SRV_API_INVALID, "name: it is missing; " NAME_RULE);
        } else if (!srv_api_may(exchange, SRV_ACTION_MANAGE, wish.text)) {
            srv_answer_error(exchange, 403, SRV_API_DENIED, "not with these grants");
        } else {
            create_wished(exchange, config, &wish);
        }
    }
    finish_wish(&wish);
    srv_config_unref(config);
    srv_world_unlock_ownership(world);
}

/* ---- change ---- */

/* The tags become these: others go. */
static int replace_tags(struct frag_stream *stream, const struct frag_stream_info *info,
                        const struct wish *wish) {
    const char *gone[FRAG_STREAM_TAGS_MAX];
    size_t gone_count = 0;
    for (size_t i = 0; i < info->tag_count; i++) {
        bool stays = false;
        for (size_t k = 0; k < wish->tag_count && !stays; k++) {
            stays = strcmp(info->tags[i].key, wish->tags[k].key) == 0;
        }
        if (!stays) {
            gone[gone_count++] = info->tags[i].key;
        }
    }
    return frag_stream_tag(stream, wish->tags, wish->tag_count, gone, gone_count);
}

static void answer_changed(struct srv_exchange *exchange, int rc, struct frag_stream *stream) {
    switch (rc) {
    case 0:
        srv_api_answer_stream(exchange, 200, stream);
        break;
    case -ESTALE:
        srv_answer_error(exchange, 409, SRV_API_CONFLICT,
                         "the stream has another version: somebody has changed it");
        break;
    case -EINVAL:
        srv_answer_error(exchange, 400, SRV_API_INVALID, "a setting or tag that cannot be");
        break;
    default:
        srv_answer_failure(exchange, rc, "changing the stream");
        break;
    }
}

/* Over a change that names no version, so that of many at once none finds another's in between for
 * ever. Only workers take it, which may block. */
static pthread_mutex_t unversioned = PTHREAD_MUTEX_INITIALIZER;
#define TRIES 8u

/* Nobody's change in between gets lost either: it is looked at again. */
static int update_newest(struct frag_stream *stream, struct frag_stream_info *info,
                         const struct srv_config_stream *named) {
    for (unsigned tries = 1;; tries++) {
        int rc = frag_stream_update(stream, info->version, &info->settings);
        if (rc != -ESTALE || tries == TRIES) {
            return rc;
        }
        rc = frag_stream_describe(stream, info);
        rc = rc < 0 ? rc : srv_config_settings(frag_stream_store(stream), named, &info->settings);
        if (rc < 0) {
            return rc;
        }
    }
}

static int update_settings(struct frag_stream *stream, struct frag_stream_info *info,
                           const struct wish *wish) {
    if (wish->text != NULL) {
        return frag_stream_update(stream, wish->text, &info->settings);
    }
    (void)pthread_mutex_lock(&unversioned); /* plain, never held twice: cannot fail */
    int rc = update_newest(stream, info, &wish->stream);
    (void)pthread_mutex_unlock(&unversioned);
    return rc;
}

/* Settings first, as only they ask for the version; a failure between the two leaves the tags as
 * they were, and says so by failing. */
static void change_wished(struct srv_exchange *exchange, struct frag_stream *stream,
                          struct frag_stream_info *info, const struct srv_config *config,
                          struct wish *wish) {
    bool has_tags = names_row(&wish->stream, SRV_STREAM_TAGS);
    int rc = frag_stream_describe(stream, info);
    if (rc < 0) {
        answer_changed(exchange, rc, stream);
        return;
    }
    if (!check_owner(exchange, config, info->name, wish) ||
        !apply_rows(exchange, &wish->stream, &info->settings) ||
        (has_tags && !make_tags(exchange, &wish->stream.tags, wish))) {
        return;
    }
    bool has_settings = (wish->stream.named.rows & ~(UINT64_C(1) << SRV_STREAM_TAGS)) != 0;
    if (has_settings || wish->text != NULL) {
        rc = update_settings(stream, info, wish);
    }
    if (rc == 0 && has_tags) {
        rc = replace_tags(stream, info, wish);
    }
    answer_changed(exchange, rc, stream);
}

void srv_api_change_stream(struct srv_exchange *exchange) {
    struct frag_stream *stream = NULL;
    if (!SRV_API_ONLY(exchange, NULL) || (stream = srv_api_stream(exchange)) == NULL) {
        return;
    }
    struct srv_world *world = srv_exchange_world(exchange);
    srv_world_lock_ownership(world);
    const struct srv_config *config = srv_world_config(world);
    struct frag_stream_info *info = malloc(sizeof(*info));
    struct wish wish = {0};
    if (info == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "changing the stream");
    } else if (take_text(exchange, "version", &wish) && read_rows(exchange, &wish)) {
        change_wished(exchange, stream, info, config, &wish);
    }
    finish_wish(&wish);
    free(info);
    srv_config_unref(config);
    srv_world_unlock_ownership(world);
}

/* ---- delete ---- */

static bool is_configured(struct srv_exchange *exchange, const char *name) {
    const struct srv_config *config = srv_world_config(srv_exchange_world(exchange));
    bool found = srv_config_stream_find(config, name) != NULL;
    srv_config_unref(config);
    if (found) {
        srv_answer_error(exchange, 409, SRV_API_CONFLICT,
                         "streams.%s: the configuration has this stream; take it out of the file "
                         "and reload first",
                         name);
    }
    return found;
}

static bool ask_version(struct srv_exchange *exchange, char *version, size_t bytes) {
    int rc = srv_exchange_query(exchange, "version", version, bytes);
    if (rc < 0 && rc != -ENOENT) {
        srv_answer_error(exchange, 400, SRV_API_INVALID, "version: once, the stream's version");
        return false;
    }
    if (rc == -ENOENT) {
        version[0] = '\0';
    }
    return true;
}

static void delete_stream(struct srv_exchange *exchange, struct frag_stream *stream,
                          const char *version) {
    int rc = frag_stream_delete(stream, version);
    if (rc == 0) {
        srv_answer_empty(exchange, 204);
    } else if (rc == -EPERM) {
        srv_answer_error(exchange, 409, SRV_API_CONFLICT,
                         "something of the stream is held; remove its holds first");
    } else if (rc == -ESTALE) {
        answer_changed(exchange, rc, stream);
    } else {
        srv_answer_failure(exchange, rc, "deleting the stream");
    }
}

void srv_api_delete_stream(struct srv_exchange *exchange) {
    char version[sizeof(((struct frag_stream_info *)NULL)->version)];
    struct frag_stream *stream = NULL;
    if (!SRV_API_ONLY(exchange, "version") || (stream = srv_api_stream(exchange)) == NULL ||
        !ask_version(exchange, version, sizeof(version))) {
        return;
    }
    struct srv_world *world = srv_exchange_world(exchange);
    srv_world_lock_ownership(world);
    if (!is_configured(exchange, frag_stream_name(stream))) {
        delete_stream(exchange, stream, version[0] == '\0' ? NULL : version);
    }
    srv_world_unlock_ownership(world);
}
