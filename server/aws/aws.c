/* What all AWS operations share: answers' fields, errors, times, and which stream is meant. */
#include "server/aws/aws.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/aws/inner.h"
#include "server/aws/shapes.h"

#define NO_STREAM "The requested stream is not found or not active."

void srv_aws_begin(struct srv_exchange *exchange) {
    srv_answer_field(exchange, "x-amzn-RequestId", srv_exchange_id(exchange));
}

json_t *srv_aws_shape_error(struct srv_exchange *exchange, int status, const char *code,
                            const char *message) {
    (void)status;
    srv_aws_begin(exchange); /* the door refuses before any handler runs */
    srv_answer_field(exchange, "x-amzn-ErrorType", code);
    return json_pack("{s:s}", "Message", message);
}

/* ---- times ---- */

/* A double has no more digits than microseconds of these years. */
#define US_PER_S 1000000.0
#define SECONDS_MAX 9.2e9

int srv_aws_time(const json_t *value, struct kn_wall *ret_wall) {
    double seconds = json_is_number(value) ? json_number_value(value) : NAN;
    if (!(seconds > -SECONDS_MAX && seconds < SECONDS_MAX)) {
        return KN_E_MALFORMED;
    }
    ret_wall->ns = (int64_t)llround(seconds * US_PER_S) * KN_NS_PER_US;
    return 0;
}

json_t *srv_aws_json_time(struct kn_wall wall) {
    int64_t ms = wall.ns / KN_NS_PER_MS; /* as ARNs have it */
    return json_real((double)ms / 1000.0);
}

/* ---- what was asked ---- */

bool srv_aws_valid(struct srv_exchange *exchange, const char *operation) {
    char problem[SRV_SHAPE_PROBLEM_BYTES];
    int rc = srv_shape_check(operation, srv_exchange_json(exchange), problem);
    if (rc == KN_E_MALFORMED) {
        srv_answer_error(exchange, 400, "SerializationException", "%s", problem);
    } else if (rc == KN_E_LIMIT) {
        srv_answer_error(exchange, 400, "ValidationException", "%s", problem);
    } else if (rc < 0) {
        srv_answer_failure(exchange, rc, "reading the body");
    }
    return rc == 0;
}

bool srv_aws_opens(struct srv_exchange *exchange, const char *operation) {
    srv_aws_begin(exchange);
    return srv_aws_valid(exchange, operation);
}

/* ---- what is answered ---- */

void srv_aws_done(struct srv_exchange *exchange) {
    srv_answer_json(exchange, 200, json_object());
}

void srv_aws_answer_change(struct srv_exchange *exchange, int rc, const char *what) {
    switch (rc) {
    case 0:
        srv_aws_done(exchange);
        break;
    case -ENOENT:
        srv_answer_error(exchange, 404, SRV_AWS_NOT_FOUND,
                         "The requested %s is not found or not active.", what);
        break;
    case -ESTALE:
        srv_answer_error(exchange, 400, SRV_AWS_STALE,
                         "The %s version that you specified is not the latest one.", what);
        break;
    case -EEXIST:
        srv_answer_error(exchange, 400, SRV_AWS_IN_USE, "There is a %s of this name.", what);
        break;
    case -EPERM:
        srv_answer_error(exchange, 400, SRV_AWS_IN_USE,
                         "Something of the %s is held; remove its holds first.", what);
        break;
    case -EINVAL:
        srv_answer_error(exchange, 400, SRV_AWS_INVALID, "A setting or tag of the %s cannot be.",
                         what);
        break;
    default:
        srv_answer_failure(exchange, rc, what);
        break;
    }
}

/* ---- streams ---- */

const char *srv_aws_text(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

json_t *srv_aws_member(const json_t *object, const char *name) {
    json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

struct kn_wall srv_aws_now(const struct srv_exchange *exchange) {
    const struct kn_clock *clock = srv_exchange_world(exchange)->clock;
    return clock->wall(clock);
}

bool srv_aws_may(const struct srv_exchange *exchange, enum srv_action action, const char *name) {
    const struct srv_principal *principal = srv_exchange_principal(exchange);
    return principal != NULL && srv_principal_may(principal, action, name);
}

bool srv_aws_allows(struct srv_exchange *exchange, enum srv_action action, const char *name) {
    bool may = srv_aws_may(exchange, action, name);
    if (!may) {
        srv_answer_error(exchange, 401, SRV_AWS_DENIED, "These credentials may not do this.");
    }
    return may;
}

bool srv_aws_is_ours(struct srv_exchange *exchange, const struct srv_aws_named *named) {
    const struct srv_config *config = srv_world_config(srv_exchange_world(exchange));
    bool ours = strcmp(named->account, config->aws.account) == 0;
    srv_config_unref(config);
    return ours;
}

/* What an ARN says of a stream; answers where it cannot be one, or not the one of `name`. */
static bool read_stream_arn(struct srv_exchange *exchange, const char *name, const char *arn,
                            struct srv_aws_named *named) {
    if (srv_aws_arn_read(arn, named) < 0 || strcmp(named->kind, "stream") != 0) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID, "StreamARN is no ARN of a stream.");
        return false;
    }
    if (name != NULL && strcmp(name, named->name) != 0) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID,
                         "StreamName and StreamARN mean different streams.");
        return false;
    }
    return true;
}

/* Whether it is the one that the ARN was made for, and not one of its name made later. */
static bool is_named(struct srv_exchange *exchange, struct frag_stream *stream,
                     const struct srv_aws_named *named) {
    struct frag_stream_info *info = malloc(sizeof(*info));
    int rc = info == NULL ? -ENOMEM : frag_stream_describe(stream, info);
    bool same = rc == 0 && srv_aws_created_ms(info->created) == named->created_ms &&
                srv_aws_is_ours(exchange, named);
    free(info);
    if (rc == -ENOMEM) {
        srv_answer_failure(exchange, rc, "finding the stream");
    } else if (!same) {
        srv_answer_error(exchange, 404, SRV_AWS_NOT_FOUND, NO_STREAM);
    }
    return same;
}

struct frag_stream *srv_aws_stream(struct srv_exchange *exchange, const char *name, const char *arn,
                                   enum srv_action action) {
    struct srv_aws_named named;
    if (name == NULL && arn == NULL) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID,
                         "Either StreamName or StreamARN is needed.");
        return NULL;
    }
    if (arn != NULL && !read_stream_arn(exchange, name, arn, &named)) {
        return NULL;
    }
    name = arn != NULL ? named.name : name;
    if (!srv_aws_allows(exchange, action, name)) {
        return NULL;
    }
    struct frag_stream *stream = frag_stream_find(srv_exchange_world(exchange)->store, name);
    if (stream == NULL) {
        srv_answer_error(exchange, 404, SRV_AWS_NOT_FOUND, NO_STREAM);
        return NULL;
    }
    return arn == NULL || is_named(exchange, stream, &named) ? stream : NULL;
}

struct frag_stream *srv_aws_body_stream(struct srv_exchange *exchange, enum srv_action action) {
    const json_t *body = srv_exchange_json(exchange);
    return srv_aws_stream(exchange, srv_aws_text(body, "StreamName"),
                          srv_aws_text(body, "StreamARN"), action);
}
