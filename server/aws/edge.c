/* What an edge agent should do, kept for it: the agent itself is AWS's own and closed, so a
 * configuration stays SYNCING here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/aws/documents.h"
#include "server/aws/inner.h"

#define LIST_DEFAULT 10u

static json_t *time_of(const json_t *edge, const char *member) {
    const struct kn_wall wall = {json_integer_value(json_object_get(edge, member))};
    return srv_aws_json_time(wall);
}

/* NULL: no memory. */
static json_t *edge_json(struct srv_exchange *exchange, const struct frag_stream_info *info,
                         const json_t *edge) {
    return json_pack("{s:s, s:o, s:o, s:o, s:s, s:n, s:O}", "StreamName", info->name, "StreamARN",
                     srv_aws_stream_arn(exchange, info), "CreationTime",
                     time_of(edge, "created_ns"), "LastUpdatedTime", time_of(edge, "updated_ns"),
                     "SyncStatus", "SYNCING", "FailedStatusDetails", "EdgeConfig",
                     json_object_get(edge, "config"));
}

/* ---- start ---- */

/* Into the document; a configuration that was there before keeps the time it was made. */
static int set_edge(struct srv_exchange *exchange, json_t *document, json_t *config) {
    json_int_t now = srv_aws_now(exchange).ns;
    const json_t *created = json_object_get(json_object_get(document, "edge"), "created_ns");
    json_t *edge = json_pack("{s:I, s:I, s:O}", "created_ns",
                             created == NULL ? now : json_integer_value(created), "updated_ns", now,
                             "config", config);
    return json_object_set_new(document, "edge", edge) < 0 ? -ENOMEM : 0;
}

/* Under the documents' lock. */
static void start_edge(struct srv_exchange *exchange, const struct frag_stream_info *info) {
    struct frag_store *store = srv_exchange_world(exchange)->store;
    json_t *document = NULL;
    int rc = srv_aws_stream_document(store, info, &document);
    rc = rc < 0 ? rc
                : set_edge(exchange, document,
                           json_object_get(srv_exchange_json(exchange), "EdgeConfig"));
    rc = rc < 0 ? rc : srv_document_put(store, SRV_DOCUMENT_STREAM, info->name, document);
    if (rc == 0) {
        srv_answer_json(exchange, 200,
                        edge_json(exchange, info, json_object_get(document, "edge")));
    } else if (rc == KN_E_LIMIT) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID,
                         "What is configured for a stream has at most %zu bytes in all.",
                         SRV_DOCUMENT_MAX);
    } else {
        srv_answer_failure(exchange, rc, "keeping the configuration");
    }
    json_decref(document);
}

void srv_aws_start_edge(struct srv_exchange *exchange) {
    if (!srv_aws_opens(exchange, "StartEdgeConfigurationUpdate")) {
        return;
    }
    struct frag_stream_info *info = srv_aws_body_info(exchange, SRV_ACTION_MANAGE, NULL);
    if (info == NULL) {
        return;
    }
    if (info->settings.retention_ns == 0) {
        srv_answer_error(exchange, 400, SRV_AWS_NO_RETENTION,
                         "The stream keeps nothing: its data retention is 0 hours.");
    } else {
        srv_documents_lock();
        start_edge(exchange, info);
        srv_documents_unlock();
    }
    free(info);
}

/* ---- describe and delete ---- */

static void answer_none(struct srv_exchange *exchange) {
    srv_answer_error(exchange, 404, "StreamEdgeConfigurationNotFoundException",
                     "The stream has no edge configuration.");
}

void srv_aws_describe_edge(struct srv_exchange *exchange) {
    json_t *document = NULL;
    if (!srv_aws_opens(exchange, "DescribeEdgeConfiguration")) {
        return;
    }
    struct frag_stream_info *info = srv_aws_body_info(exchange, SRV_ACTION_LIST, NULL);
    if (info == NULL) {
        return;
    }
    int rc = srv_aws_stream_document(srv_exchange_world(exchange)->store, info, &document);
    const json_t *edge = json_object_get(document, "edge");
    if (rc < 0) {
        srv_answer_failure(exchange, rc, "describing the stream");
    } else if (edge == NULL) {
        answer_none(exchange);
    } else {
        srv_answer_json(exchange, 200, edge_json(exchange, info, edge));
    }
    json_decref(document);
    free(info);
}

/* Under the documents' lock. */
static void delete_edge(struct srv_exchange *exchange, const struct frag_stream_info *info) {
    struct frag_store *store = srv_exchange_world(exchange)->store;
    json_t *document = NULL;
    int rc = srv_aws_stream_document(store, info, &document);
    if (rc == 0 && json_object_del(document, "edge") < 0) {
        json_decref(document);
        answer_none(exchange);
        return;
    }
    rc = rc < 0 ? rc : srv_document_put(store, SRV_DOCUMENT_STREAM, info->name, document);
    json_decref(document);
    srv_aws_answer_change(exchange, rc, "stream");
}

void srv_aws_delete_edge(struct srv_exchange *exchange) {
    if (!srv_aws_opens(exchange, "DeleteEdgeConfiguration")) {
        return;
    }
    struct frag_stream_info *info = srv_aws_body_info(exchange, SRV_ACTION_MANAGE, NULL);
    if (info == NULL) {
        return;
    }
    srv_documents_lock();
    delete_edge(exchange, info);
    srv_documents_unlock();
    free(info);
}

/* ---- list ---- */

static bool is_hub(const json_t *edge, const char *hub) {
    const char *has = srv_aws_text(json_object_get(edge, "config"), "HubDeviceArn");
    return has != NULL && strcmp(has, hub) == 0;
}

/* 1: the list goes on; 0: it is full. */
static int list_one(struct srv_exchange *exchange, struct srv_aws_page *page, const char *name,
                    const json_t *document, struct frag_stream_info *room) {
    struct frag_stream *stream = frag_stream_find(srv_exchange_world(exchange)->store, name);
    if (stream == NULL || !srv_aws_may(exchange, SRV_ACTION_LIST, name) ||
        frag_stream_describe(stream, room) < 0 || !srv_aws_is_of(document, room)) {
        return 1; /* of a stream that is gone, or hidden */
    }
    if (srv_aws_page_full(page)) {
        return 0;
    }
    int rc =
        srv_aws_page_add(page, name, edge_json(exchange, room, json_object_get(document, "edge")));
    return rc < 0 ? rc : 1;
}

static int list_all(struct srv_exchange *exchange, struct srv_aws_page *page, const json_t *rows,
                    struct frag_stream_info *room) {
    const char *hub = srv_aws_text(srv_exchange_json(exchange), "HubDeviceArn");
    int rc = 1;
    for (size_t i = 0; rc == 1 && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const json_t *document = json_object_get(row, "document");
        if (is_hub(json_object_get(document, "edge"), hub)) {
            rc = list_one(exchange, page, srv_aws_text(row, "name"), document, room);
        }
    }
    return rc;
}

void srv_aws_list_edge(struct srv_exchange *exchange) {
    struct srv_aws_page page;
    json_t *rows = NULL;
    if (!srv_aws_opens(exchange, "ListEdgeAgentConfigurations") ||
        !srv_aws_page_begin(exchange, LIST_DEFAULT, NULL, &page)) {
        return;
    }
    struct frag_stream_info *room = malloc(sizeof(*room));
    int rc = room == NULL ? -ENOMEM
                          : srv_document_list(srv_exchange_world(exchange)->store,
                                              SRV_DOCUMENT_STREAM, page.after, "", &rows);
    rc = rc < 0 ? rc : list_all(exchange, &page, rows, room);
    json_decref(rows);
    free(room);
    srv_aws_page_answer(exchange, &page, "EdgeConfigs", rc);
}
