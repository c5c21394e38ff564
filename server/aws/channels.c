/* Signalling channels: made, described, listed, changed, deleted. A channel is a document; grants
 * match it by its name, as they do a stream. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/error.h"
#include "server/aws/documents.h"
#include "server/aws/inner.h"

#define CHANNELS_MAX 10000u
#define LIST_DEFAULT 500u
#define TTL_DEFAULT 60
#define VERSION_CHARACTERS 20u

#define NO_CHANNEL "The requested channel is not found or not active."

static struct frag_store *store_of(const struct srv_exchange *exchange) {
    return srv_exchange_world(exchange)->store;
}

static struct kn_wall created_of(const json_t *document) {
    return (struct kn_wall){json_integer_value(json_object_get(document, "created_ns"))};
}

json_t *srv_aws_channel_arn(struct srv_exchange *exchange, const char *name,
                            const json_t *document) {
    char arn[SRV_AWS_ARN_BYTES];
    srv_aws_arn(exchange, "channel", name, created_of(document), arn);
    return json_string(arn);
}

/* ---- which channel is meant ---- */

static bool read_arn(struct srv_exchange *exchange, const char *name, const char *arn,
                     struct srv_aws_named *named) {
    if (srv_aws_arn_read(arn, named) < 0 || strcmp(named->kind, "channel") != 0) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID, "ChannelARN is no ARN of a channel.");
        return false;
    }
    if (name != NULL && strcmp(name, named->name) != 0) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID,
                         "ChannelName and ChannelARN mean different channels.");
        return false;
    }
    return true;
}

json_t *srv_aws_channel(struct srv_exchange *exchange, const char *name, const char *arn,
                        enum srv_action action, char ret_name[static FRAG_STREAM_NAME_BYTES]) {
    struct srv_aws_named named;
    json_t *document = NULL;
    if (name == NULL && arn == NULL) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID,
                         "Either ChannelName or ChannelARN is needed.");
        return NULL;
    }
    if (arn != NULL && !read_arn(exchange, name, arn, &named)) {
        return NULL;
    }
    (void)snprintf(ret_name, FRAG_STREAM_NAME_BYTES, "%s", arn != NULL ? named.name : name);
    if (!srv_aws_allows(exchange, action, ret_name)) {
        return NULL;
    }
    int rc = srv_document_get(store_of(exchange), SRV_DOCUMENT_CHANNEL, ret_name, &document);
    bool same =
        rc == 0 && (arn == NULL || (srv_aws_created_ms(created_of(document)) == named.created_ms &&
                                    srv_aws_is_ours(exchange, &named)));
    if (same) {
        return document;
    }
    json_decref(document);
    if (rc == 0 || rc == -ENOENT) {
        srv_answer_error(exchange, 404, SRV_AWS_NOT_FOUND, NO_CHANNEL);
    } else {
        srv_answer_failure(exchange, rc, "finding the channel");
    }
    return NULL;
}

static json_t *body_channel(struct srv_exchange *exchange, enum srv_action action,
                            char ret_name[static FRAG_STREAM_NAME_BYTES]) {
    const json_t *body = srv_exchange_json(exchange);
    return srv_aws_channel(exchange, srv_aws_text(body, "ChannelName"),
                           srv_aws_text(body, "ChannelARN"), action, ret_name);
}

/* ---- making ---- */

/* 20 characters by chance; NULL: no memory, or no random source. */
static json_t *make_version(void) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    unsigned char bytes[VERSION_CHARACTERS];
    char version[VERSION_CHARACTERS + 1];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return NULL;
    }
    for (size_t i = 0; i < VERSION_CHARACTERS; i++) {
        version[i] = letters[bytes[i] % (sizeof(letters) - 1)];
    }
    version[VERSION_CHARACTERS] = '\0';
    return json_string(version);
}

static json_int_t ttl_of(const json_t *body, json_int_t fallback) {
    const json_t *ttl =
        srv_aws_member(srv_aws_member(body, "SingleMasterConfiguration"), "MessageTtlSeconds");
    return ttl == NULL ? fallback : json_integer_value(ttl);
}

static json_t *make_channel(struct srv_exchange *exchange, const struct frag_stream_tag *tags,
                            size_t tag_count) {
    json_t *document = json_pack("{s:I, s:o, s:I, s:{}}", "created_ns",
                                 (json_int_t)srv_aws_now(exchange).ns, "version", make_version(),
                                 "ttl", ttl_of(srv_exchange_json(exchange), TTL_DEFAULT), "tags");
    json_t *map = json_object_get(document, "tags");
    for (size_t i = 0; i < tag_count; i++) {
        if (json_object_set_new(map, tags[i].key, json_string(tags[i].value)) < 0) {
            json_decref(document);
            return NULL;
        }
    }
    return document;
}

static int count_one(const void *key, size_t key_bytes, const void *value, size_t value_bytes,
                     void *user) {
    (void)key;
    (void)key_bytes;
    (void)value;
    (void)value_bytes;
    (*(size_t *)user)++;
    return 0;
}

/* Under the documents' lock. */
static int add_channel(struct frag_store *store, const char *name, const json_t *document) {
    json_t *there = NULL;
    size_t count = 0;
    int rc = srv_document_get(store, SRV_DOCUMENT_CHANNEL, name, &there);
    json_decref(there);
    if (rc != -ENOENT) {
        return rc == 0 ? -EEXIST : rc;
    }
    rc = frag_store_each(store, SRV_DOCUMENT_CHANNEL, count_one, &count);
    if (rc == 0 && count >= CHANNELS_MAX) {
        return KN_E_LIMIT;
    }
    return rc < 0 ? rc : srv_document_put(store, SRV_DOCUMENT_CHANNEL, name, document);
}

static void create_channel(struct srv_exchange *exchange, const char *name,
                           const struct frag_stream_tag *tags, size_t tag_count) {
    json_t *document = make_channel(exchange, tags, tag_count);
    srv_documents_lock();
    int rc = document == NULL ? -ENOMEM : add_channel(store_of(exchange), name, document);
    srv_documents_unlock();
    if (rc == 0) {
        srv_answer_json(
            exchange, 200,
            json_pack("{s:o}", "ChannelARN", srv_aws_channel_arn(exchange, name, document)));
    } else if (rc == KN_E_LIMIT) {
        srv_answer_error(exchange, 400, "AccountChannelLimitExceededException",
                         "There are %u channels, which is the most.", CHANNELS_MAX);
    } else {
        srv_aws_answer_change(exchange, rc, "channel");
    }
    json_decref(document);
}

void srv_aws_create_channel(struct srv_exchange *exchange) {
    const json_t *body = srv_exchange_json(exchange);
    const char *name = srv_aws_text(body, "ChannelName");
    const char *type = srv_aws_text(body, "ChannelType");
    struct frag_stream_tag *tags = NULL;
    size_t tag_count = 0;
    if (!srv_aws_opens(exchange, "CreateSignalingChannel") ||
        !srv_aws_allows(exchange, SRV_ACTION_MANAGE, name)) {
        return;
    }
    if (type != NULL && strcmp(type, "SINGLE_MASTER") != 0) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID, "Channels are of type SINGLE_MASTER.");
        return;
    }
    if (srv_aws_read_tags(exchange, srv_aws_member(body, "Tags"), &tags, &tag_count)) {
        create_channel(exchange, name, tags, tag_count);
        free(tags);
    }
}

/* ---- describing ---- */

static json_t *channel_json(struct srv_exchange *exchange, const char *name,
                            const json_t *document) {
    return json_pack("{s:s, s:o, s:s, s:s, s:o, s:{s:O}, s:O}", "ChannelName", name, "ChannelARN",
                     srv_aws_channel_arn(exchange, name, document), "ChannelType", "SINGLE_MASTER",
                     "ChannelStatus", "ACTIVE", "CreationTime",
                     srv_aws_json_time(created_of(document)), "SingleMasterConfiguration",
                     "MessageTtlSeconds", json_object_get(document, "ttl"), "Version",
                     json_object_get(document, "version"));
}

void srv_aws_describe_channel(struct srv_exchange *exchange) {
    char name[FRAG_STREAM_NAME_BYTES];
    if (!srv_aws_opens(exchange, "DescribeSignalingChannel")) {
        return;
    }
    json_t *document = body_channel(exchange, SRV_ACTION_LIST, name);
    if (document != NULL) {
        srv_answer_json(exchange, 200,
                        json_pack("{s:o}", "ChannelInfo", channel_json(exchange, name, document)));
        json_decref(document);
    }
}

static int list_all(struct srv_exchange *exchange, struct srv_aws_page *page, const json_t *rows) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *name = srv_aws_text(row, "name");
        if (!srv_aws_may(exchange, SRV_ACTION_LIST, name)) {
            continue;
        }
        if (srv_aws_page_full(page)) {
            break;
        }
        rc = srv_aws_page_add(page, name,
                              channel_json(exchange, name, json_object_get(row, "document")));
    }
    return rc;
}

void srv_aws_list_channels(struct srv_exchange *exchange) {
    struct srv_aws_page page;
    json_t *rows = NULL;
    if (!srv_aws_opens(exchange, "ListSignalingChannels") ||
        !srv_aws_page_begin(exchange, LIST_DEFAULT, "ChannelNameCondition", &page)) {
        return;
    }
    int rc =
        srv_document_list(store_of(exchange), SRV_DOCUMENT_CHANNEL, page.after, page.prefix, &rows);
    rc = rc < 0 ? rc : list_all(exchange, &page, rows);
    json_decref(rows);
    srv_aws_page_answer(exchange, &page, "ChannelInfoList", rc);
}

/* ---- changing and deleting: under the documents' lock ---- */

static bool is_version(const json_t *body, const json_t *document) {
    const char *said = srv_aws_text(body, "CurrentVersion");
    const char *has = srv_aws_text(document, "version");
    return said == NULL || (has != NULL && strcmp(said, has) == 0);
}

static void update_channel(struct srv_exchange *exchange) {
    const json_t *body = srv_exchange_json(exchange);
    char name[FRAG_STREAM_NAME_BYTES];
    json_t *document = body_channel(exchange, SRV_ACTION_MANAGE, name);
    if (document == NULL) {
        return;
    }
    json_int_t ttl = ttl_of(body, json_integer_value(json_object_get(document, "ttl")));
    int rc = is_version(body, document) ? 0 : -ESTALE;
    if (rc == 0 && (json_object_set_new(document, "ttl", json_integer(ttl)) < 0 ||
                    json_object_set_new(document, "version", make_version()) < 0)) {
        rc = -ENOMEM;
    }
    rc = rc < 0 ? rc : srv_document_put(store_of(exchange), SRV_DOCUMENT_CHANNEL, name, document);
    json_decref(document);
    srv_aws_answer_change(exchange, rc, "channel");
}

static void delete_channel(struct srv_exchange *exchange) {
    char name[FRAG_STREAM_NAME_BYTES];
    json_t *document = body_channel(exchange, SRV_ACTION_MANAGE, name);
    if (document == NULL) {
        return;
    }
    int rc = is_version(srv_exchange_json(exchange), document)
                 ? srv_document_forget(store_of(exchange), SRV_DOCUMENT_CHANNEL, name)
                 : -ESTALE;
    json_decref(document);
    srv_aws_answer_change(exchange, rc, "channel");
}

void srv_aws_update_channel(struct srv_exchange *exchange) {
    if (srv_aws_opens(exchange, "UpdateSignalingChannel")) {
        srv_documents_lock();
        update_channel(exchange);
        srv_documents_unlock();
    }
}

void srv_aws_delete_channel(struct srv_exchange *exchange) {
    if (srv_aws_opens(exchange, "DeleteSignalingChannel")) {
        srv_documents_lock();
        delete_channel(exchange);
        srv_documents_unlock();
    }
}

/* ---- endpoints ---- */

/* Of a protocol this server's own address; "http" becomes "ws", so "https" "wss". */
static json_t *endpoint_json(struct srv_exchange *exchange, const char *protocol) {
    const char *url = srv_exchange_base_url(exchange);
    json_t *address = strcmp(protocol, "WSS") == 0 ? json_sprintf("ws%s", url + strlen("http"))
                                                   : json_string(url);
    return json_pack("{s:s, s:o}", "Protocol", protocol, "ResourceEndpoint", address);
}

/* The protocols that were asked for, each once; without any those that every channel has. */
static int add_endpoints(struct srv_exchange *exchange, const json_t *asked, json_t *list) {
    static const char *const protocols[] = {"WSS", "HTTPS", "WEBRTC"};
    for (size_t i = 0; i < KN_COUNT(protocols); i++) {
        bool wanted = asked == NULL && i < 2;
        for (size_t k = 0; k < json_array_size(asked); k++) {
            wanted =
                wanted || strcmp(json_string_value(json_array_get(asked, k)), protocols[i]) == 0;
        }
        if (wanted && json_array_append_new(list, endpoint_json(exchange, protocols[i])) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

static bool asks_webrtc(const json_t *asked) {
    for (size_t k = 0; k < json_array_size(asked); k++) {
        if (strcmp(json_string_value(json_array_get(asked, k)), "WEBRTC") == 0) {
            return true;
        }
    }
    return false;
}

void srv_aws_channel_endpoint(struct srv_exchange *exchange) {
    char name[FRAG_STREAM_NAME_BYTES];
    if (!srv_aws_opens(exchange, "GetSignalingChannelEndpoint")) {
        return;
    }
    const json_t *said =
        srv_aws_member(srv_exchange_json(exchange), "SingleMasterChannelEndpointConfiguration");
    const json_t *asked = srv_aws_member(said, "Protocols");
    const char *role = srv_aws_text(said, "Role");
    bool master = role != NULL && strcmp(role, "MASTER") == 0;
    json_t *document = body_channel(exchange, master ? SRV_ACTION_RECORD : SRV_ACTION_WATCH, name);
    if (document == NULL) {
        return;
    }
    bool stores = srv_aws_stores_media(document);
    json_decref(document);
    if (asks_webrtc(asked) && !stores) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID,
                         "The channel has no media storage: WEBRTC has no endpoint.");
        return;
    }
    json_t *list = json_array();
    if (list == NULL || add_endpoints(exchange, asked, list) < 0) {
        json_decref(list);
        list = NULL;
    }
    srv_answer_json(exchange, 200,
                    list == NULL ? NULL : json_pack("{s:o}", "ResourceEndpointList", list));
}
