/* What is configured for a stream and kept beside it: images, notifications, the storage tier. They
 * are stored as they came and given back so. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/aws/documents.h"
#include "server/aws/inner.h"
#include "server/json/json.h"

/* ---- the document ---- */

bool srv_aws_is_of(const json_t *document, const struct frag_stream_info *info) {
    json_t *id = srv_json_hex(info->id, sizeof(info->id));
    bool same = id != NULL && json_equal(id, json_object_get(document, "id"));
    json_decref(id);
    return same;
}

int srv_aws_stream_document(struct frag_store *store, const struct frag_stream_info *info,
                            json_t **ret_document) {
    json_t *document = NULL;
    int rc = srv_document_get(store, SRV_DOCUMENT_STREAM, info->name, &document);
    if (rc < 0 && rc != -ENOENT) {
        return rc;
    }
    if (document != NULL && !srv_aws_is_of(document, info)) {
        json_decref(document);
        document = NULL;
    }
    if (document == NULL) {
        document = json_pack("{s:o}", "id", srv_json_hex(info->id, sizeof(info->id)));
    }
    if (document == NULL) {
        return -ENOMEM;
    }
    *ret_document = document;
    return 0;
}

static int put_member(struct frag_store *store, const struct frag_stream_info *info,
                      const char *member, json_t *value) {
    json_t *document = NULL;
    int rc = srv_aws_stream_document(store, info, &document);
    if (rc < 0) {
        return rc;
    }
    if (value == NULL) {
        (void)json_object_del(document, member); /* not there is fine */
    } else if (json_object_set(document, member, value) < 0) {
        rc = -ENOMEM;
    }
    rc = rc < 0 ? rc : srv_document_put(store, SRV_DOCUMENT_STREAM, info->name, document);
    json_decref(document);
    return rc;
}

static void answer_put(struct srv_exchange *exchange, int rc) {
    if (rc == KN_E_LIMIT) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID,
                         "What is configured for a stream has at most %zu bytes in all.",
                         SRV_DOCUMENT_MAX);
    } else {
        srv_aws_answer_change(exchange, rc, "stream");
    }
}

/* ---- images and notifications ---- */

static void describe_member(struct srv_exchange *exchange, const char *stored, const char *shown) {
    json_t *document = NULL;
    struct frag_stream_info *info = srv_aws_body_info(exchange, SRV_ACTION_LIST, NULL);
    if (info == NULL) {
        return;
    }
    int rc = srv_aws_stream_document(srv_exchange_world(exchange)->store, info, &document);
    free(info);
    if (rc < 0) {
        srv_answer_failure(exchange, rc, "describing the stream");
        return;
    }
    json_t *value = json_object_get(document, stored);
    srv_answer_json(exchange, 200,
                    json_pack("{s:o}", shown, value == NULL ? json_null() : json_incref(value)));
    json_decref(document);
}

/* No value: what was configured goes. */
static void update_member(struct srv_exchange *exchange, const char *stored, const char *said) {
    json_t *value = srv_aws_member(srv_exchange_json(exchange), said);
    struct frag_stream_info *info = srv_aws_body_info(exchange, SRV_ACTION_MANAGE, NULL);
    if (info == NULL) {
        return;
    }
    if (value != NULL && info->settings.retention_ns == 0) {
        srv_answer_error(exchange, 400, SRV_AWS_NO_RETENTION,
                         "The stream keeps nothing: its data retention is 0 hours.");
    } else {
        srv_documents_lock();
        int rc = put_member(srv_exchange_world(exchange)->store, info, stored, value);
        srv_documents_unlock();
        answer_put(exchange, rc);
    }
    free(info);
}

void srv_aws_describe_images(struct srv_exchange *exchange) {
    if (srv_aws_opens(exchange, "DescribeImageGenerationConfiguration")) {
        describe_member(exchange, "images", "ImageGenerationConfiguration");
    }
}

void srv_aws_update_images(struct srv_exchange *exchange) {
    if (srv_aws_opens(exchange, "UpdateImageGenerationConfiguration")) {
        update_member(exchange, "images", "ImageGenerationConfiguration");
    }
}

void srv_aws_describe_notification(struct srv_exchange *exchange) {
    if (srv_aws_opens(exchange, "DescribeNotificationConfiguration")) {
        describe_member(exchange, "notification", "NotificationConfiguration");
    }
}

void srv_aws_update_notification(struct srv_exchange *exchange) {
    if (srv_aws_opens(exchange, "UpdateNotificationConfiguration")) {
        update_member(exchange, "notification", "NotificationConfiguration");
    }
}

/* ---- the storage tier ---- */

void srv_aws_describe_tier(struct srv_exchange *exchange) {
    json_t *document = NULL;
    if (!srv_aws_opens(exchange, "DescribeStreamStorageConfiguration")) {
        return;
    }
    struct frag_stream_info *info = srv_aws_body_info(exchange, SRV_ACTION_LIST, NULL);
    if (info == NULL) {
        return;
    }
    int rc = srv_aws_stream_document(srv_exchange_world(exchange)->store, info, &document);
    if (rc < 0) {
        srv_answer_failure(exchange, rc, "describing the stream");
    } else {
        const char *tier = srv_aws_text(document, "tier");
        srv_answer_json(exchange, 200,
                        json_pack("{s:s, s:o, s:{s:s}}", "StreamName", info->name, "StreamARN",
                                  srv_aws_stream_arn(exchange, info), "StreamStorageConfiguration",
                                  "DefaultStorageTier", tier == NULL ? "HOT" : tier));
    }
    json_decref(document);
    free(info);
}

/* The version changes first, by which only one of two that mean the same one comes through. */
void srv_aws_update_tier(struct srv_exchange *exchange) {
    const json_t *body = srv_exchange_json(exchange);
    struct frag_stream *stream;
    if (!srv_aws_opens(exchange, "UpdateStreamStorageConfiguration")) {
        return;
    }
    struct frag_stream_info *info = srv_aws_body_info(exchange, SRV_ACTION_MANAGE, &stream);
    if (info == NULL) {
        return;
    }
    json_t *tier =
        json_object_get(srv_aws_member(body, "StreamStorageConfiguration"), "DefaultStorageTier");
    srv_documents_lock();
    int rc = frag_stream_update(stream, srv_aws_text(body, "CurrentVersion"), &info->settings);
    rc = rc < 0 ? rc : put_member(srv_exchange_world(exchange)->store, info, "tier", tier);
    srv_documents_unlock();
    answer_put(exchange, rc);
    free(info);
}
