/* Inner: what the operations share beside aws.h. */
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

/* arn.c: an ARN of a stream or a channel, taken apart. */
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
bool srv_aws_may(const struct srv_exchange *exchange, enum srv_action action, const char *name);
/* A text member of the body; NULL: it is not there, or null. */
const char *srv_aws_text(const json_t *object, const char *name);

#endif
