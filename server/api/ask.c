/* What was asked of the API: queries, bodies, and what stands in paths. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/quantity.h"
#include "base/text.h"
#include "server/api/api_inner.h"
#include "server/http/query.h"

#define NAME_BYTES 64u
#define WHEN_BYTES 64u

const char *const srv_api_clock_names[] = {
    [FRAG_CLOCK_PRODUCER] = "producer",
    [FRAG_CLOCK_SERVER] = "server",
    NULL,
};

static bool is_among(struct srv_http_text name, const char *const *names) {
    for (; *names != NULL; names++) {
        if (strlen(*names) == name.size && memcmp(*names, name.data, name.size) == 0) {
            return true;
        }
    }
    return false;
}

/* Signed addresses carry their signature there. */
static bool is_signature(struct srv_http_text name) {
    static const char prefix[] = "X-Amz-";
    return name.size >= sizeof(prefix) - 1 && memcmp(name.data, prefix, sizeof(prefix) - 1) == 0;
}

bool srv_api_query_only(struct srv_exchange *exchange, const char *const *names) {
    struct srv_http_query query = srv_http_query_begin(srv_exchange_request(exchange)->query);
    struct srv_http_pair pair;
    while (srv_http_query_next(&query, &pair)) {
        char room[NAME_BYTES];
        char plain[NAME_BYTES];
        struct srv_http_text name;
        if (srv_http_query_decode(pair.name, room, sizeof(room), &name) == 0 &&
            (is_signature(name) || is_among(name, names))) {
            continue;
        }
        srv_answer_error(exchange, 400, SRV_API_INVALID, "%s: no such member of the query",
                         kn_text_plain(pair.name.data, pair.name.size, plain, sizeof(plain)));
        return false;
    }
    return true;
}

struct kn_wall srv_api_now(const struct srv_exchange *exchange) {
    const struct kn_clock *clock = srv_exchange_world(exchange)->clock;
    return clock->wall(clock);
}

/* A '+' that was not written as %2B came as a space, and times have no spaces. */
static void restore_plus(char *text) {
    for (; *text != '\0'; text++) {
        *text = *text == ' ' ? '+' : *text;
    }
}

bool srv_api_until(struct srv_exchange *exchange, struct kn_wall fallback,
                   struct kn_wall *ret_until) {
    char text[WHEN_BYTES];
    int rc = srv_exchange_query(exchange, "until", text, sizeof(text));
    if (rc == -ENOENT) {
        *ret_until = fallback;
        return true;
    }
    if (rc == 0) {
        restore_plus(text);
        rc = kn_when_ahead_parse(text, srv_api_now(exchange), ret_until);
    }
    if (rc < 0) {
        srv_answer_error(exchange, 400, SRV_API_INVALID,
                         "until: once, 7d, or a time such as 2026-11-20T21:23:40Z");
    }
    return rc == 0;
}

bool srv_api_when(struct srv_exchange *exchange, const char *name, struct kn_wall fallback,
                  struct kn_wall *ret_when) {
    char text[WHEN_BYTES];
    int rc = srv_exchange_query(exchange, name, text, sizeof(text));
    if (rc == -ENOENT) {
        *ret_when = fallback;
        return true;
    }
    if (rc == 0) {
        restore_plus(text);
        rc = kn_when_parse(text, srv_api_now(exchange), ret_when);
    }
    if (rc < 0) {
        srv_answer_error(exchange, 400, SRV_API_INVALID,
                         "%s: once, a time such as 2026-11-20T21:23:40Z, -10m or now", name);
    }
    return rc == 0;
}

bool srv_api_range(struct srv_exchange *exchange, struct kn_wall *ret_from,
                   struct kn_wall *ret_to) {
    if (!srv_api_when(exchange, "from", (struct kn_wall){INT64_MIN}, ret_from) ||
        !srv_api_when(exchange, "to", (struct kn_wall){INT64_MAX}, ret_to)) {
        return false;
    }
    if (ret_from->ns > ret_to->ns) {
        srv_answer_error(exchange, 400, SRV_API_INVALID, "from: it is after to");
        return false;
    }
    return true;
}

bool srv_api_clock(struct srv_exchange *exchange, enum frag_clock *ret_clock) {
    char text[NAME_BYTES];
    int rc = srv_exchange_query(exchange, "clock", text, sizeof(text));
    if (rc == -ENOENT) {
        *ret_clock = FRAG_CLOCK_PRODUCER;
        return true;
    }
    for (int i = 0; rc == 0 && srv_api_clock_names[i] != NULL; i++) {
        if (strcmp(text, srv_api_clock_names[i]) == 0) {
            *ret_clock = (enum frag_clock)i;
            return true;
        }
    }
    srv_answer_error(exchange, 400, SRV_API_INVALID, "clock: once, producer or server");
    return false;
}

bool srv_api_body(struct srv_exchange *exchange, const struct srv_schema *table, void *target) {
    char problem[SRV_SCHEMA_PROBLEM_BYTES];
    int rc = srv_schema_read_json(table, srv_exchange_json(exchange), target, problem);
    if (rc == KN_E_MALFORMED) {
        srv_answer_error(exchange, 400, SRV_API_INVALID, "%s", problem);
    } else if (rc < 0) {
        srv_answer_failure(exchange, rc, "reading the body");
    }
    return rc == 0;
}

struct frag_stream *srv_api_stream(struct srv_exchange *exchange) {
    const char *name = srv_exchange_parameter(exchange, "stream");
    struct frag_stream *stream = frag_stream_find(srv_exchange_world(exchange)->store, name);
    if (stream == NULL) {
        srv_answer_error(exchange, 404, SRV_API_NOT_FOUND, "there is no such stream");
    }
    return stream;
}

bool srv_api_may(const struct srv_exchange *exchange, enum srv_action action, const char *stream) {
    const struct srv_principal *principal = srv_exchange_principal(exchange);
    return principal != NULL && srv_principal_may(principal, action, stream);
}
