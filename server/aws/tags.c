/* Tags, in both styles: of streams by name or ARN, and of streams and channels as resources. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/aws/documents.h"
#include "server/aws/inner.h"

/* ---- reading ---- */

static bool copy_tag(const char *key, const char *value, struct frag_stream_tag *tag) {
    size_t key_bytes = strlen(key), value_bytes = strlen(value);
    if (key_bytes >= sizeof(tag->key) || value_bytes >= sizeof(tag->value)) {
        return false; /* within AWS's characters, which may be several bytes each */
    }
    memcpy(tag->key, key, key_bytes + 1);
    memcpy(tag->value, value, value_bytes + 1);
    return true;
}

/* The last of several of one key counts. */
static bool add_tag(const char *key, const char *value, struct frag_stream_tag *tags,
                    size_t *count) {
    size_t at = 0;
    while (at < *count && strcmp(tags[at].key, key) != 0) {
        at++;
    }
    *count += at == *count ? 1 : 0;
    return copy_tag(key, value, &tags[at]);
}

static bool copy_tags(const json_t *from, struct frag_stream_tag *tags, size_t *count) {
    const char *key;
    json_t *value;
    bool fits = true;
    if (json_is_array(from)) {
        for (size_t i = 0; fits && i < json_array_size(from); i++) {
            const json_t *row = json_array_get(from, i);
            fits = add_tag(srv_aws_text(row, "Key"), srv_aws_text(row, "Value"), tags, count);
        }
        return fits;
    }
    /* jansson's iteration takes what is not const, and changes nothing. */
    json_object_foreach((json_t *)(uintptr_t)from, key, value) {
        fits = fits && add_tag(key, json_string_value(value), tags, count);
    }
    return fits;
}

bool srv_aws_read_tags(struct srv_exchange *exchange, const json_t *tags,
                       struct frag_stream_tag **ret_tags, size_t *ret_count) {
    struct frag_stream_tag *room = calloc(FRAG_STREAM_TAGS_MAX, sizeof(*room));
    size_t count = 0;
    if (room == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "reading the tags");
        return false;
    }
    if (tags != NULL && !copy_tags(tags, room, &count)) {
        free(room);
        srv_answer_error(exchange, 400, SRV_AWS_INVALID,
                         "A tag's key has at most 128 bytes of UTF-8, its value 256.");
        return false;
    }
    *ret_tags = room;
    *ret_count = count;
    return true;
}

/* Keys of a list that the shape has looked at; how many. */
static size_t read_keys(const json_t *list, const char *keys[static FRAG_STREAM_TAGS_MAX]) {
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        keys[i] = json_string_value(json_array_get(list, i));
    }
    return count;
}

static void answer_tagged(struct srv_exchange *exchange, int rc, const char *what) {
    if (rc == KN_E_LIMIT) {
        srv_answer_error(exchange, 400, SRV_AWS_TAG_LIMIT, "A %s has at most %u tags.", what,
                         FRAG_STREAM_TAGS_MAX);
    } else {
        srv_aws_answer_change(exchange, rc, what);
    }
}

/* ---- streams ---- */

static void tag_stream(struct srv_exchange *exchange, struct frag_stream *stream) {
    const json_t *from = json_object_get(srv_exchange_json(exchange), "Tags");
    struct frag_stream_tag *tags = NULL;
    size_t count = 0;
    if (srv_aws_not_owned(exchange, frag_stream_name(stream), SRV_STREAM_TAGS) &&
        srv_aws_read_tags(exchange, from, &tags, &count)) {
        answer_tagged(exchange, frag_stream_tag(stream, tags, count, NULL, 0), "stream");
        free(tags);
    }
}

static void untag_stream(struct srv_exchange *exchange, struct frag_stream *stream) {
    const char *keys[FRAG_STREAM_TAGS_MAX];
    size_t count = read_keys(json_object_get(srv_exchange_json(exchange), "TagKeyList"), keys);
    if (srv_aws_not_owned(exchange, frag_stream_name(stream), SRV_STREAM_TAGS)) {
        answer_tagged(exchange, frag_stream_tag(stream, NULL, 0, keys, count), "stream");
    }
}

/* All at once: there are no more than a page holds, so no token was ever given. */
static bool is_first_page(struct srv_exchange *exchange) {
    const char *token = srv_aws_text(srv_exchange_json(exchange), "NextToken");
    bool first = token == NULL || token[0] == '\0';
    if (!first) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID, "NextToken is none of this list.");
    }
    return first;
}

static void list_stream_tags(struct srv_exchange *exchange, struct frag_stream *stream) {
    struct frag_stream_info *info =
        is_first_page(exchange) ? srv_aws_describe(exchange, stream) : NULL;
    if (info == NULL) {
        return;
    }
    json_t *tags = json_object();
    int rc = tags == NULL ? -ENOMEM : 0;
    for (size_t i = 0; rc == 0 && i < info->tag_count; i++) {
        rc = json_object_set_new(tags, info->tags[i].key, json_string(info->tags[i].value));
    }
    free(info);
    if (rc < 0) {
        json_decref(tags);
        tags = NULL;
    }
    srv_answer_json(exchange, 200, tags == NULL ? NULL : json_pack("{s:o}", "Tags", tags));
}

void srv_aws_tag_stream(struct srv_exchange *exchange) {
    struct frag_stream *stream;
    if (srv_aws_opens(exchange, "TagStream") &&
        (stream = srv_aws_body_stream(exchange, SRV_ACTION_MANAGE)) != NULL) {
        tag_stream(exchange, stream);
    }
}

void srv_aws_untag_stream(struct srv_exchange *exchange) {
    struct frag_stream *stream;
    if (srv_aws_opens(exchange, "UntagStream") &&
        (stream = srv_aws_body_stream(exchange, SRV_ACTION_MANAGE)) != NULL) {
        untag_stream(exchange, stream);
    }
}

void srv_aws_list_stream_tags(struct srv_exchange *exchange) {
    struct frag_stream *stream;
    if (srv_aws_opens(exchange, "ListTagsForStream") &&
        (stream = srv_aws_body_stream(exchange, SRV_ACTION_LIST)) != NULL) {
        list_stream_tags(exchange, stream);
    }
}

/* ---- channels ---- */

static int merge_tags(json_t *tags, const struct frag_stream_tag *more, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (json_object_set_new(tags, more[i].key, json_string(more[i].value)) < 0) {
            return -ENOMEM;
        }
    }
    return json_object_size(tags) > FRAG_STREAM_TAGS_MAX ? KN_E_LIMIT : 0;
}

/* Under the documents' lock. */
static void change_channel_tags(struct srv_exchange *exchange, const char *arn,
                                const struct frag_stream_tag *more, size_t count,
                                const json_t *gone) {
    char name[FRAG_STREAM_NAME_BYTES];
    json_t *document = srv_aws_channel(exchange, NULL, arn, SRV_ACTION_MANAGE, name);
    if (document == NULL) {
        return;
    }
    json_t *tags = json_object_get(document, "tags");
    int rc = merge_tags(tags, more, count);
    for (size_t i = 0; i < json_array_size(gone); i++) {
        /* One that is not there is fine. */
        (void)json_object_del(tags, json_string_value(json_array_get(gone, i)));
    }
    rc = rc < 0 ? rc
                : srv_document_put(srv_exchange_world(exchange)->store, SRV_DOCUMENT_CHANNEL, name,
                                   document);
    json_decref(document);
    answer_tagged(exchange, rc, "channel");
}

static void tag_channel(struct srv_exchange *exchange, const char *arn) {
    const json_t *body = srv_exchange_json(exchange);
    struct frag_stream_tag *tags = NULL;
    size_t count = 0;
    if (srv_aws_read_tags(exchange, srv_aws_member(body, "Tags"), &tags, &count)) {
        srv_documents_lock();
        change_channel_tags(exchange, arn, tags, count, json_object_get(body, "TagKeyList"));
        srv_documents_unlock();
        free(tags);
    }
}

static void list_channel_tags(struct srv_exchange *exchange, const char *arn) {
    char name[FRAG_STREAM_NAME_BYTES];
    json_t *document = is_first_page(exchange)
                           ? srv_aws_channel(exchange, NULL, arn, SRV_ACTION_LIST, name)
                           : NULL;
    if (document != NULL) {
        srv_answer_json(exchange, 200,
                        json_pack("{s:O}", "Tags", json_object_get(document, "tags")));
        json_decref(document);
    }
}

/* ---- resources ---- */

/* What an ARN is of: one of the two, or the request is answered. */
static void on_resource(struct srv_exchange *exchange, enum srv_action action,
                        void (*stream_work)(struct srv_exchange *exchange,
                                            struct frag_stream *stream),
                        void (*channel_work)(struct srv_exchange *exchange, const char *arn)) {
    const char *arn = srv_aws_text(srv_exchange_json(exchange), "ResourceARN");
    struct srv_aws_named named;
    struct frag_stream *stream;
    if (srv_aws_arn_read(arn, &named) == 0 && strcmp(named.kind, "channel") == 0) {
        channel_work(exchange, arn);
    } else if ((stream = srv_aws_stream(exchange, NULL, arn, action)) != NULL) {
        stream_work(exchange, stream);
    }
}

void srv_aws_tag_resource(struct srv_exchange *exchange) {
    if (srv_aws_opens(exchange, "TagResource")) {
        on_resource(exchange, SRV_ACTION_MANAGE, tag_stream, tag_channel);
    }
}

void srv_aws_untag_resource(struct srv_exchange *exchange) {
    if (srv_aws_opens(exchange, "UntagResource")) {
        on_resource(exchange, SRV_ACTION_MANAGE, untag_stream, tag_channel);
    }
}

void srv_aws_list_resource_tags(struct srv_exchange *exchange) {
    if (srv_aws_opens(exchange, "ListTagsForResource")) {
        on_resource(exchange, SRV_ACTION_LIST, list_stream_tags, list_channel_tags);
    }
}
