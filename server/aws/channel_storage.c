/* Which stream the media of a channel goes into. A channel has one, and a stream at most one
 * channel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/aws/documents.h"
#include "server/aws/inner.h"
#include "server/json/json.h"

static bool is_enabled(const json_t *storage) {
    const char *status = srv_aws_text(storage, "status");
    return status != NULL && strcmp(status, "ENABLED") == 0;
}

bool srv_aws_stores_media(const json_t *document) {
    return is_enabled(json_object_get(document, "storage"));
}

/* The stream it was made for; NULL: it is gone, and the storage with it. free() it. */
static struct frag_stream_info *stream_of(const struct srv_exchange *exchange,
                                          const json_t *storage) {
    const char *name = srv_aws_text(storage, "stream");
    struct frag_stream *stream =
        name == NULL ? NULL : frag_stream_find(srv_exchange_world(exchange)->store, name);
    struct frag_stream_info *info = stream == NULL ? NULL : malloc(sizeof(*info));
    if (info != NULL && (frag_stream_describe(stream, info) < 0 || !srv_aws_is_of(storage, info))) {
        free(info);
        info = NULL;
    }
    return info;
}

/* ---- describe ---- */

void srv_aws_describe_storage(struct srv_exchange *exchange) {
    const json_t *body = srv_exchange_json(exchange);
    char name[FRAG_STREAM_NAME_BYTES];
    if (!srv_aws_opens(exchange, "DescribeMediaStorageConfiguration")) {
        return;
    }
    json_t *document = srv_aws_channel(exchange, srv_aws_text(body, "ChannelName"),
                                       srv_aws_text(body, "ChannelARN"), SRV_ACTION_LIST, name);
    if (document == NULL) {
        return;
    }
    const json_t *storage = json_object_get(document, "storage");
    struct frag_stream_info *info = stream_of(exchange, storage);
    json_t *arn = info == NULL ? json_null() : srv_aws_stream_arn(exchange, info);
    const char *status = info != NULL && is_enabled(storage) ? "ENABLED" : "DISABLED";
    srv_answer_json(exchange, 200,
                    json_pack("{s:{s:o, s:s}}", "MediaStorageConfiguration", "StreamARN", arn,
                              "Status", status));
    free(info);
    json_decref(document);
}

/* ---- update ---- */

/* The name of the channel whose media goes into the stream, in `rows`; NULL: none's. */
static const char *channel_of(const json_t *rows, const struct frag_stream_info *info,
                              const json_t **ret_document) {
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const json_t *document = json_object_get(row, "document");
        const json_t *storage = json_object_get(document, "storage");
        if (is_enabled(storage) && srv_aws_is_of(storage, info)) {
            *ret_document = document;
            return srv_aws_text(row, "name");
        }
    }
    return NULL;
}

static bool answer_in_use(struct srv_exchange *exchange, const char *what) {
    srv_answer_error(exchange, 400, SRV_AWS_IN_USE, "%s; disable that media storage first.", what);
    return false;
}

/* Neither goes elsewhere already. */
static bool is_free(struct srv_exchange *exchange, const char *name, const json_t *document,
                    const struct frag_stream_info *info) {
    const json_t *storage = json_object_get(document, "storage");
    const json_t *other_document = NULL;
    json_t *rows = NULL;
    struct frag_stream_info *other = is_enabled(storage) ? stream_of(exchange, storage) : NULL;
    bool elsewhere = other != NULL && memcmp(other->id, info->id, sizeof(info->id)) != 0;
    free(other);
    if (elsewhere) {
        return answer_in_use(exchange, "The channel stores its media in another stream");
    }
    int rc =
        srv_document_list(srv_exchange_world(exchange)->store, SRV_DOCUMENT_CHANNEL, "", "", &rows);
    if (rc < 0) {
        srv_answer_failure(exchange, rc, "looking at channels");
        return false;
    }
    const char *mapped = channel_of(rows, info, &other_document);
    bool taken = mapped != NULL && strcmp(mapped, name) != 0;
    json_decref(rows);
    return !taken || answer_in_use(exchange, "The stream stores the media of another channel");
}

static void put_storage(struct srv_exchange *exchange, const char *name, json_t *document,
                        const struct frag_stream_info *info, const char *status) {
    json_t *storage = info == NULL
                          ? json_pack("{s:s}", "status", status)
                          : json_pack("{s:s, s:s, s:o}", "status", status, "stream", info->name,
                                      "id", srv_json_hex(info->id, sizeof(info->id)));
    int rc = json_object_set_new(document, "storage", storage) < 0 ? -ENOMEM : 0;
    rc = rc < 0 ? rc
                : srv_document_put(srv_exchange_world(exchange)->store, SRV_DOCUMENT_CHANNEL, name,
                                   document);
    srv_aws_answer_change(exchange, rc, "channel");
}

/* The stream of the body's ARN; NULL: answered. */
static struct frag_stream_info *asked_stream(struct srv_exchange *exchange, const char *arn) {
    struct frag_stream *stream = srv_aws_stream(exchange, NULL, arn, SRV_ACTION_MANAGE);
    return stream == NULL ? NULL : srv_aws_describe(exchange, stream);
}

static void enable(struct srv_exchange *exchange, const char *name, json_t *document,
                   const char *arn) {
    if (arn == NULL) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID, "StreamARN is needed to enable it.");
        return;
    }
    struct frag_stream_info *info = asked_stream(exchange, arn);
    if (info == NULL) {
        return;
    }
    if (info->settings.retention_ns == 0) {
        srv_answer_error(exchange, 400, SRV_AWS_NO_RETENTION,
                         "The stream keeps nothing: its data retention is 0 hours.");
    } else if (is_free(exchange, name, document, info)) {
        put_storage(exchange, name, document, info, "ENABLED");
    }
    free(info);
}

/* The stream stays known, as AWS shows it. */
static void disable(struct srv_exchange *exchange, const char *name, json_t *document,
                    const char *arn) {
    struct frag_stream_info *info = arn == NULL
                                        ? stream_of(exchange, json_object_get(document, "storage"))
                                        : asked_stream(exchange, arn);
    if (info != NULL || arn == NULL) {
        put_storage(exchange, name, document, info, "DISABLED");
    }
    free(info);
}

/* Under the documents' lock. */
static void update_storage(struct srv_exchange *exchange) {
    const json_t *body = srv_exchange_json(exchange);
    const json_t *said = json_object_get(body, "MediaStorageConfiguration");
    const char *arn = srv_aws_text(said, "StreamARN");
    char name[FRAG_STREAM_NAME_BYTES];
    json_t *document =
        srv_aws_channel(exchange, NULL, srv_aws_text(body, "ChannelARN"), SRV_ACTION_MANAGE, name);
    if (document == NULL) {
        return;
    }
    if (strcmp(srv_aws_text(said, "Status"), "ENABLED") == 0) {
        enable(exchange, name, document, arn);
    } else {
        disable(exchange, name, document, arn);
    }
    json_decref(document);
}

void srv_aws_update_storage(struct srv_exchange *exchange) {
    if (srv_aws_opens(exchange, "UpdateMediaStorageConfiguration")) {
        srv_documents_lock();
        update_storage(exchange);
        srv_documents_unlock();
    }
}

/* ---- the other way round ---- */

void srv_aws_describe_mapped(struct srv_exchange *exchange) {
    struct srv_aws_page page;
    json_t *rows = NULL;
    const json_t *document = NULL;
    struct frag_stream_info *info;
    if (!srv_aws_opens(exchange, "DescribeMappedResourceConfiguration") ||
        (info = srv_aws_body_info(exchange, SRV_ACTION_LIST, NULL)) == NULL) {
        return;
    }
    if (!srv_aws_page_begin(exchange, 1, NULL, &page)) {
        free(info);
        return;
    }
    int rc = srv_document_list(srv_exchange_world(exchange)->store, SRV_DOCUMENT_CHANNEL,
                               page.after, "", &rows);
    const char *name = rc < 0 ? NULL : channel_of(rows, info, &document);
    if (name != NULL && srv_aws_may(exchange, SRV_ACTION_LIST, name)) {
        rc = srv_aws_page_add(&page, name,
                              json_pack("{s:s, s:o}", "Type", "Channel", "ARN",
                                        srv_aws_channel_arn(exchange, name, document)));
    }
    json_decref(rows);
    free(info);
    srv_aws_page_answer(exchange, &page, "MappedResourceConfigurationList", rc);
}
