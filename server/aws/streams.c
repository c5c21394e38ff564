/* Streams: made, described, listed, changed, deleted. They are ACTIVE from the moment they are made
 * on, as producers do not look again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/aws/documents.h"
#include "server/aws/inner.h"

#define HOUR_NS (3600 * KN_NS_PER_S)
#define HOURS_MAX INT64_C(87600) /* ten years */
#define LIST_DEFAULT 10000u

/* ---- describing ---- */

struct frag_stream_info *srv_aws_describe(struct srv_exchange *exchange,
                                          struct frag_stream *stream) {
    struct frag_stream_info *info = malloc(sizeof(*info));
    int rc = info == NULL ? -ENOMEM : frag_stream_describe(stream, info);
    if (rc < 0) {
        free(info);
        info = NULL;
        srv_aws_answer_change(exchange, rc, "stream");
    }
    return info;
}

struct frag_stream_info *srv_aws_body_info(struct srv_exchange *exchange, enum srv_action action,
                                           struct frag_stream **ret_stream) {
    struct frag_stream *stream = srv_aws_body_stream(exchange, action);
    struct frag_stream_info *info = stream == NULL ? NULL : srv_aws_describe(exchange, stream);
    if (info != NULL && ret_stream != NULL) {
        *ret_stream = stream;
    }
    return info;
}

json_t *srv_aws_stream_arn(struct srv_exchange *exchange, const struct frag_stream_info *info) {
    char arn[SRV_AWS_ARN_BYTES];
    srv_aws_arn(exchange, "stream", info->name, info->created, arn);
    return json_string(arn);
}

int64_t srv_aws_retention_hours(const struct frag_stream_settings *settings) {
    int64_t hours = settings->retention_ns / HOUR_NS + (settings->retention_ns % HOUR_NS > 0);
    return hours < HOURS_MAX ? hours : HOURS_MAX;
}

static json_t *text_or_null(const char *text) {
    return text[0] == '\0' ? json_null() : json_string(text);
}

/* The one of the account where none was said. */
static json_t *kms_key(struct srv_exchange *exchange, const json_t *document) {
    const char *key = srv_aws_text(document, "kms");
    const char *region = srv_exchange_region(exchange);
    if (key != NULL) {
        return json_string(key);
    }
    const struct srv_config *config = srv_world_config(srv_exchange_world(exchange));
    json_t *text = json_sprintf("arn:aws:kms:%s:%s:alias/aws/kinesisvideo",
                                region[0] == '\0' ? "us-east-1" : region, config->aws.account);
    srv_config_unref(config);
    return text;
}

static int show_stream(struct srv_exchange *exchange, const struct frag_stream_info *info,
                       json_t **ret_row) {
    json_t *document = NULL;
    int rc = srv_aws_stream_document(srv_exchange_world(exchange)->store, info, &document);
    if (rc < 0) {
        return rc;
    }
    json_t *row = json_pack(
        "{s:o, s:s, s:o, s:o, s:o, s:s, s:s, s:o, s:I}", "DeviceName",
        text_or_null(info->settings.device_name), "StreamName", info->name, "StreamARN",
        srv_aws_stream_arn(exchange, info), "MediaType", text_or_null(info->settings.media_type),
        "KmsKeyId", kms_key(exchange, document), "Version", info->version, "Status", "ACTIVE",
        "CreationTime", srv_aws_json_time(info->created), "DataRetentionInHours",
        (json_int_t)srv_aws_retention_hours(&info->settings));
    json_decref(document);
    *ret_row = row;
    return row == NULL ? -ENOMEM : 0;
}

void srv_aws_describe_stream(struct srv_exchange *exchange) {
    json_t *row = NULL;
    if (!srv_aws_opens(exchange, "DescribeStream")) {
        return;
    }
    struct frag_stream_info *info = srv_aws_body_info(exchange, SRV_ACTION_LIST, NULL);
    if (info == NULL) {
        return;
    }
    int rc = show_stream(exchange, info, &row);
    free(info);
    if (rc < 0) {
        srv_answer_failure(exchange, rc, "describing the stream");
    } else {
        srv_answer_json(exchange, 200, json_pack("{s:o}", "StreamInfo", row));
    }
}

/* ---- listing ---- */

/* 1: the list goes on; 0: it is full. */
static int list_stream(struct srv_exchange *exchange, struct srv_aws_page *page,
                       struct frag_stream *stream, struct frag_stream_info *room) {
    const char *name = frag_stream_name(stream);
    json_t *row = NULL;
    if (!srv_aws_may(exchange, SRV_ACTION_LIST, name)) {
        return 1;
    }
    if (srv_aws_page_full(page)) {
        return 0;
    }
    int rc = frag_stream_describe(stream, room);
    if (rc == -ENOENT) {
        return 1; /* deleted just now */
    }
    rc = rc < 0 ? rc : show_stream(exchange, room, &row);
    rc = rc < 0 ? rc : srv_aws_page_add(page, name, row);
    return rc < 0 ? rc : 1;
}

/* The first stream behind `after` that the prefix can have. */
static struct frag_stream *first_stream(struct frag_store *store, const struct srv_aws_page *page) {
    if (strcmp(page->after, page->prefix) >= 0) {
        return frag_stream_next(store, page->after[0] == '\0' ? NULL : page->after);
    }
    struct frag_stream *stream = frag_stream_find(store, page->prefix);
    return stream != NULL ? stream : frag_stream_next(store, page->prefix);
}

void srv_aws_list_streams(struct srv_exchange *exchange) {
    struct frag_store *store = srv_exchange_world(exchange)->store;
    struct srv_aws_page page;
    if (!srv_aws_opens(exchange, "ListStreams") ||
        !srv_aws_page_begin(exchange, LIST_DEFAULT, "StreamNameCondition", &page)) {
        return;
    }
    struct frag_stream_info *room = malloc(sizeof(*room));
    int rc = room == NULL ? -ENOMEM : 1;
    struct frag_stream *stream = first_stream(store, &page);
    while (rc == 1 && stream != NULL && srv_aws_page_has(&page, frag_stream_name(stream))) {
        rc = list_stream(exchange, &page, stream, room);
        stream = frag_stream_next(store, frag_stream_name(stream));
    }
    free(room);
    srv_aws_page_answer(exchange, &page, "StreamInfoList", rc);
}

/* ---- making ---- */

static void copy_text(const json_t *body, const char *name, char room[static 129]) {
    const char *text = srv_aws_text(body, name);
    if (text != NULL) {
        (void)snprintf(room, 129, "%s", text); /* shapes have at most 128 */
    }
}

/* What the file has for new streams, but for the retention, which AWS says is none. */
static int new_settings(struct srv_exchange *exchange, const json_t *body,
                        struct frag_stream_settings *settings) {
    struct srv_world *world = srv_exchange_world(exchange);
    const struct srv_config *config = srv_world_config(world);
    *settings = srv_config_new_settings(&config->defaults);
    int rc = srv_config_settings(world->store, &config->defaults, settings);
    srv_config_unref(config);
    settings->retention_ns =
        json_integer_value(json_object_get(body, "DataRetentionInHours")) * HOUR_NS;
    copy_text(body, "DeviceName", settings->device_name);
    copy_text(body, "MediaType", settings->media_type);
    return rc;
}

/* The key and the storage tier, which are the document's. */
static int put_new_document(struct frag_store *store, const struct frag_stream_info *info,
                            const json_t *body) {
    const char *key = srv_aws_text(body, "KmsKeyId");
    const char *tier =
        srv_aws_text(srv_aws_member(body, "StreamStorageConfiguration"), "DefaultStorageTier");
    json_t *document = NULL;
    if (key == NULL && tier == NULL) {
        return 0;
    }
    int rc = srv_aws_stream_document(store, info, &document);
    if (rc == 0 &&
        ((key != NULL && json_object_set_new(document, "kms", json_string(key)) < 0) ||
         (tier != NULL && json_object_set_new(document, "tier", json_string(tier)) < 0))) {
        rc = -ENOMEM;
    }
    rc = rc < 0 ? rc : srv_document_put(store, SRV_DOCUMENT_STREAM, info->name, document);
    json_decref(document);
    return rc;
}

/* All of it or nothing: a stream whose document cannot be kept goes again. */
static int create(struct srv_exchange *exchange, const json_t *body,
                  const struct frag_stream_tag *tags, size_t tag_count,
                  struct frag_stream_info *info) {
    struct frag_store *store = srv_exchange_world(exchange)->store;
    struct frag_stream_settings settings;
    struct frag_stream *stream = NULL;
    int rc = new_settings(exchange, body, &settings);
    rc = rc < 0 ? rc
                : frag_stream_create(store, srv_aws_text(body, "StreamName"), &settings, tags,
                                     tag_count, &stream);
    if (rc < 0) {
        return rc;
    }
    rc = frag_stream_describe(stream, info);
    rc = rc < 0 ? rc : put_new_document(store, info, body);
    if (rc < 0) {
        (void)frag_stream_delete(stream, NULL); /* the first failure is told */
    }
    return rc;
}

static void answer_created(struct srv_exchange *exchange, int rc,
                           const struct frag_stream_info *info) {
    if (rc == 0) {
        srv_answer_json(exchange, 200,
                        json_pack("{s:o}", "StreamARN", srv_aws_stream_arn(exchange, info)));
    } else if (rc == KN_E_LIMIT) {
        srv_answer_error(exchange, 400, "AccountStreamLimitExceededException",
                         "There are %u streams, which is the most.", FRAG_STREAMS_MAX);
    } else {
        srv_aws_answer_change(exchange, rc, "stream");
    }
}

void srv_aws_create_stream(struct srv_exchange *exchange) {
    const json_t *body = srv_exchange_json(exchange);
    struct frag_stream_tag *tags = NULL;
    size_t tag_count = 0;
    if (!srv_aws_opens(exchange, "CreateStream") ||
        !srv_aws_allows(exchange, SRV_ACTION_MANAGE, srv_aws_text(body, "StreamName"))) {
        return;
    }
    if (json_integer_value(json_object_get(body, "DataRetentionInHours")) > HOURS_MAX) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID,
                         "DataRetentionInHours is at most 87600, which are ten years.");
        return;
    }
    if (!srv_aws_read_tags(exchange, srv_aws_member(body, "Tags"), &tags, &tag_count)) {
        return;
    }
    struct frag_stream_info *info = malloc(sizeof(*info));
    srv_documents_lock();
    int rc = info == NULL ? -ENOMEM : create(exchange, body, tags, tag_count, info);
    srv_documents_unlock();
    answer_created(exchange, rc, info);
    free(info);
    free(tags);
}

/* ---- changing ---- */

bool srv_aws_not_owned(struct srv_exchange *exchange, const char *name, enum srv_stream_row row) {
    const struct srv_config *config = srv_world_config(srv_exchange_world(exchange));
    bool owned = srv_config_owns(config, name, row);
    srv_config_unref(config);
    if (owned) {
        srv_answer_error(exchange, 400, SRV_AWS_IN_USE,
                         "streams.%s.%s: the server's configuration says it; change it there.",
                         name, srv_stream_schema[row].name);
    }
    return !owned;
}

void srv_aws_update_stream(struct srv_exchange *exchange) {
    const json_t *body = srv_exchange_json(exchange);
    struct frag_stream *stream;
    if (!srv_aws_opens(exchange, "UpdateStream")) {
        return;
    }
    struct frag_stream_info *info = srv_aws_body_info(exchange, SRV_ACTION_MANAGE, &stream);
    if (info == NULL) {
        return;
    }
    bool device = srv_aws_text(body, "DeviceName") != NULL;
    bool media = srv_aws_text(body, "MediaType") != NULL;
    if ((!device || srv_aws_not_owned(exchange, info->name, SRV_STREAM_DEVICE_NAME)) &&
        (!media || srv_aws_not_owned(exchange, info->name, SRV_STREAM_MEDIA_TYPE))) {
        copy_text(body, "DeviceName", info->settings.device_name);
        copy_text(body, "MediaType", info->settings.media_type);
        int rc = frag_stream_update(stream, srv_aws_text(body, "CurrentVersion"), &info->settings);
        srv_aws_answer_change(exchange, rc, "stream");
    }
    free(info);
}

/* The version is asked for first: a change that was sent twice must not be made twice, nor be
 * told out of bounds because it was made. */
static void change_retention(struct srv_exchange *exchange, struct frag_stream *stream,
                             struct frag_stream_info *info) {
    const json_t *body = srv_exchange_json(exchange);
    const char *version = srv_aws_text(body, "CurrentVersion");
    int64_t delta = json_integer_value(json_object_get(body, "DataRetentionChangeInHours"));
    bool less = strcmp(srv_aws_text(body, "Operation"), "DECREASE_DATA_RETENTION") == 0;
    int64_t hours = srv_aws_retention_hours(&info->settings) + (less ? -delta : delta);
    if (strcmp(version, info->version) != 0) {
        srv_aws_answer_change(exchange, -ESTALE, "stream");
        return;
    }
    if (hours < 0 || hours > HOURS_MAX) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID,
                         "The data retention would be %lld hours; it can be 0 to %lld.",
                         (long long)hours, (long long)HOURS_MAX);
        return;
    }
    info->settings.retention_ns = hours * HOUR_NS;
    srv_aws_answer_change(exchange, frag_stream_update(stream, version, &info->settings), "stream");
}

void srv_aws_update_retention(struct srv_exchange *exchange) {
    struct frag_stream *stream;
    if (!srv_aws_opens(exchange, "UpdateDataRetention")) {
        return;
    }
    struct frag_stream_info *info = srv_aws_body_info(exchange, SRV_ACTION_MANAGE, &stream);
    if (info != NULL && srv_aws_not_owned(exchange, info->name, SRV_STREAM_RETENTION)) {
        change_retention(exchange, stream, info);
    }
    free(info);
}

/* ---- deleting ---- */

static bool is_configured(struct srv_exchange *exchange, const char *name) {
    const struct srv_config *config = srv_world_config(srv_exchange_world(exchange));
    bool found = srv_config_stream_find(config, name) != NULL;
    srv_config_unref(config);
    if (found) {
        srv_answer_error(exchange, 400, SRV_AWS_IN_USE,
                         "streams.%s: the server's configuration has this stream; take it out "
                         "there first.",
                         name);
    }
    return found;
}

void srv_aws_delete_stream(struct srv_exchange *exchange) {
    if (!srv_aws_opens(exchange, "DeleteStream")) {
        return;
    }
    struct frag_stream *stream = srv_aws_body_stream(exchange, SRV_ACTION_MANAGE);
    if (stream == NULL || is_configured(exchange, frag_stream_name(stream))) {
        return;
    }
    srv_documents_lock();
    int rc =
        frag_stream_delete(stream, srv_aws_text(srv_exchange_json(exchange), "CurrentVersion"));
    /* A document that stays is of a stream that is gone, and counts for none: is_of. */
    rc = rc < 0 ? rc
                : srv_document_forget(srv_exchange_world(exchange)->store, SRV_DOCUMENT_STREAM,
                                      frag_stream_name(stream));
    srv_documents_unlock();
    srv_aws_answer_change(exchange, rc, "stream");
}

/* ---- endpoints ---- */

/* Who may do nothing but send, or watch, finds where. */
static enum srv_action action_of(const char *api) {
    if (strcmp(api, "PUT_MEDIA") == 0) {
        return SRV_ACTION_RECORD;
    }
    return strcmp(api, "GET_MEDIA") == 0 ? SRV_ACTION_WATCH : SRV_ACTION_READ;
}

void srv_aws_data_endpoint(struct srv_exchange *exchange) {
    if (!srv_aws_opens(exchange, "GetDataEndpoint")) {
        return;
    }
    const char *api = srv_aws_text(srv_exchange_json(exchange), "APIName");
    if (srv_aws_body_stream(exchange, action_of(api)) != NULL) {
        srv_answer_json(exchange, 200,
                        json_pack("{s:s}", "DataEndpoint", srv_exchange_base_url(exchange)));
    }
}
