/* Inner: what the operations of the control plane share beside aws.h. Those that answer false, or
 * NULL, have answered the request. */
#ifndef SERVER_AWS_INNER_H
#define SERVER_AWS_INNER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "server/aws/aws.h"
#include "server/world.h"

#define SRV_AWS_INVALID "InvalidArgumentException"
#define SRV_AWS_NOT_FOUND "ResourceNotFoundException"
#define SRV_AWS_IN_USE "ResourceInUseException"
#define SRV_AWS_DENIED "AccessDeniedException"
#define SRV_AWS_STALE "VersionMismatchException"
#define SRV_AWS_NO_RETENTION "NoDataRetentionException"
#define SRV_AWS_TAG_LIMIT "TagsPerResourceExceededLimitException"

/* ---- ARNs: arn.c ---- */

/* One of a stream or a channel, taken apart. */
struct srv_aws_named {
    char kind[16]; /* "stream", "channel" */
    char account[13];
    char name[FRAG_STREAM_NAME_BYTES];
    uint64_t created_ms;
};
/* 0 or KN_E_MALFORMED. Pure. */
KN_MUST_CHECK int srv_aws_arn_read(const char *arn, struct srv_aws_named *ret_named);
uint64_t srv_aws_created_ms(struct kn_wall created);
/* Whether the account of an ARN is the configured one. */
bool srv_aws_is_ours(struct srv_exchange *exchange, const struct srv_aws_named *named);

/* ---- requests: aws.c ---- */

/* srv_aws_begin and srv_aws_valid: the first lines of every handler. */
bool srv_aws_opens(struct srv_exchange *exchange, const char *operation);
bool srv_aws_may(const struct srv_exchange *exchange, enum srv_action action, const char *name);
/* The same, answering. */
bool srv_aws_allows(struct srv_exchange *exchange, enum srv_action action, const char *name);
/* A text member; NULL: it is not there, or null. */
const char *srv_aws_text(const json_t *object, const char *name);
/* A member; NULL also where it is null. */
json_t *srv_aws_member(const json_t *object, const char *name);
struct kn_wall srv_aws_now(const struct srv_exchange *exchange);
/* {}, 200. */
void srv_aws_done(struct srv_exchange *exchange);
/* The usual answers to what store and journal say to a change; 0: done. `what`: "stream". */
void srv_aws_answer_change(struct srv_exchange *exchange, int rc, const char *what);

/* ---- streams: streams.c ---- */

/* On the heap; free() it. */
struct frag_stream_info *srv_aws_describe(struct srv_exchange *exchange,
                                          struct frag_stream *stream);
/* Both at once of the body's stream. `ret_stream` may be NULL. */
struct frag_stream_info *srv_aws_body_info(struct srv_exchange *exchange, enum srv_action action,
                                           struct frag_stream **ret_stream);
json_t *srv_aws_stream_arn(struct srv_exchange *exchange, const struct frag_stream_info *info);
/* What the file says of it is changed there alone. */
bool srv_aws_not_owned(struct srv_exchange *exchange, const char *name, enum srv_stream_row row);
/* Hours, upwards: what is kept at all is never 0. */
int64_t srv_aws_retention_hours(const struct frag_stream_settings *settings);

void srv_aws_create_stream(struct srv_exchange *exchange);
void srv_aws_describe_stream(struct srv_exchange *exchange);
void srv_aws_list_streams(struct srv_exchange *exchange);
void srv_aws_update_stream(struct srv_exchange *exchange);
void srv_aws_update_retention(struct srv_exchange *exchange);
void srv_aws_delete_stream(struct srv_exchange *exchange);
void srv_aws_data_endpoint(struct srv_exchange *exchange);

/* ---- what is configured for streams: stream_document.c, attached.c, edge.c ---- */

/* {"id":.., "kms":.., "tier":.., "images":.., "notification":.., "edge":..}, of this very stream; a
 * new one where there is none. 0 with a new reference, or as srv_document_get. */
KN_MUST_CHECK int srv_aws_stream_document(struct frag_store *store,
                                          const struct frag_stream_info *info,
                                          json_t **ret_document);
/* Whether a document is of this very stream, and not of one of its name before. */
bool srv_aws_is_of(const json_t *document, const struct frag_stream_info *info);

void srv_aws_describe_images(struct srv_exchange *exchange);
void srv_aws_update_images(struct srv_exchange *exchange);
void srv_aws_describe_notification(struct srv_exchange *exchange);
void srv_aws_update_notification(struct srv_exchange *exchange);
void srv_aws_describe_tier(struct srv_exchange *exchange);
void srv_aws_update_tier(struct srv_exchange *exchange);
void srv_aws_start_edge(struct srv_exchange *exchange);
void srv_aws_describe_edge(struct srv_exchange *exchange);
void srv_aws_delete_edge(struct srv_exchange *exchange);
void srv_aws_list_edge(struct srv_exchange *exchange);

/* ---- channels: channels.c, channel_storage.c ---- */

/* {"created_ns":.., "version":.., "ttl":.., "tags":{}, "storage":{..}}; a new reference. */
json_t *srv_aws_channel(struct srv_exchange *exchange, const char *name, const char *arn,
                        enum srv_action action, char ret_name[static FRAG_STREAM_NAME_BYTES]);
json_t *srv_aws_channel_arn(struct srv_exchange *exchange, const char *name,
                            const json_t *document);

void srv_aws_create_channel(struct srv_exchange *exchange);
void srv_aws_describe_channel(struct srv_exchange *exchange);
void srv_aws_list_channels(struct srv_exchange *exchange);
void srv_aws_update_channel(struct srv_exchange *exchange);
void srv_aws_delete_channel(struct srv_exchange *exchange);
void srv_aws_channel_endpoint(struct srv_exchange *exchange);
void srv_aws_describe_storage(struct srv_exchange *exchange);
void srv_aws_update_storage(struct srv_exchange *exchange);
void srv_aws_describe_mapped(struct srv_exchange *exchange);
/* Whether WebRTC media of the channel goes into a stream. */
bool srv_aws_stores_media(const json_t *document);

/* ---- tags: tags.c ---- */

/* Of a map, or of a list of {"Key","Value"}; calloc'd; `tags` NULL: none. */
bool srv_aws_read_tags(struct srv_exchange *exchange, const json_t *tags,
                       struct frag_stream_tag **ret_tags, size_t *ret_count);

void srv_aws_tag_stream(struct srv_exchange *exchange);
void srv_aws_untag_stream(struct srv_exchange *exchange);
void srv_aws_list_stream_tags(struct srv_exchange *exchange);
void srv_aws_tag_resource(struct srv_exchange *exchange);
void srv_aws_untag_resource(struct srv_exchange *exchange);
void srv_aws_list_resource_tags(struct srv_exchange *exchange);

/* ---- pages of lists: page.c ---- */

/* At most `limit` rows from behind `after` on.
 *
 *     srv_aws_page_begin -> srv_aws_page_add ... -> srv_aws_page_answer */
struct srv_aws_page {
    json_t *rows;
    size_t limit;
    const char *prefix; /* "" : all. Borrowed from the body */
    char after[FRAG_STREAM_NAME_BYTES];
    char last[FRAG_STREAM_NAME_BYTES]; /* the name of the last row */
    bool more;
};
/* Reads MaxResults, NextToken, and where `condition` is not NULL that member. */
bool srv_aws_page_begin(struct srv_exchange *exchange, size_t limit, const char *condition,
                        struct srv_aws_page *page);
bool srv_aws_page_has(const struct srv_aws_page *page, const char *name);
/* Full; the answer will have a token. */
bool srv_aws_page_full(struct srv_aws_page *page);
/* Takes the reference; NULL: no memory. 0 or -ENOMEM. */
KN_MUST_CHECK int srv_aws_page_add(struct srv_aws_page *page, const char *name, json_t *row);
/* {member: rows, "NextToken": ..}, or what `rc` says. Frees it. */
void srv_aws_page_answer(struct srv_exchange *exchange, struct srv_aws_page *page,
                         const char *member, int rc);

#endif
