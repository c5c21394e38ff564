/* The wire of Kinesis Video Streams: tables of its operations, and what they share. Each is a POST
 * of a JSON body to /operationName; who may is decided by the stream the body names, so that routes
 * are SRV_SIGNED_IN and handlers call srv_aws_stream. */
#ifndef SERVER_AWS_AWS_H
#define SERVER_AWS_AWS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/time.h"
#include "fragments/fragments.h"
#include "server/auth/principals.h"
#include "server/exchange/exchange.h"
#include "server/exchange/routes.h"

extern const struct srv_routes srv_aws_control_routes; /* streams, channels, their configuration */
extern const struct srv_routes srv_aws_put_media_routes;
extern const struct srv_routes srv_aws_get_media_routes; /* GetMedia and the archive's reads */

/* Of the answers to come: x-amzn-RequestId. Every handler calls it first. */
void srv_aws_begin(struct srv_exchange *exchange);
/* For the tables' shape_error: {"Message": ..}, x-amzn-ErrorType. */
json_t *srv_aws_shape_error(struct srv_exchange *exchange, int status, const char *code,
                            const char *message);

/* The body against the operation's shape (shapes.h): bounds, patterns, required members. Members
 * that are there have the shape's type then, or are null. False: answered. */
bool srv_aws_valid(struct srv_exchange *exchange, const char *operation);

/* The stream that a request means by its name or ARN (NULL: not said); one of both is needed, and
 * they must not contradict each other. NULL: answered: no such stream (404), or the principal may
 * not (AccessDeniedException, 401), which is answered first. */
struct frag_stream *srv_aws_stream(struct srv_exchange *exchange, const char *name, const char *arn,
                                   enum srv_action action);
/* The same by StreamName and StreamARN of the JSON body. */
struct frag_stream *srv_aws_body_stream(struct srv_exchange *exchange, enum srv_action action);

/* "arn:aws:kinesisvideo:eu-central-1:000000000000:stream/door/1795000000000": region of the
 * signature, else us-east-1; the account configured. */
#define SRV_AWS_ARN_BYTES 1025u
void srv_aws_arn(struct srv_exchange *exchange, const char *kind, const char *name,
                 struct kn_wall created, char arn[static SRV_AWS_ARN_BYTES]);

/* A timestamp of a request (integer, decimal or exponent, seconds). 0 or KN_E_MALFORMED. Pure. */
KN_MUST_CHECK int srv_aws_time(const json_t *value, struct kn_wall *ret_wall);
/* Seconds with milliseconds, rounded down. NULL: no memory. */
json_t *srv_aws_json_time(struct kn_wall wall);

#endif
