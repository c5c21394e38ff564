/* Holds, and what retention does. */
#include "server/api/api.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/quantity.h"
#include "server/api/api_inner.h"
#include "server/json/json.h"

#define ID_TEXT_BYTES (2 * FRAG_ID_BYTES + 1)

/* ---- holds ---- */

static const char *id_text(const uint8_t id[static FRAG_ID_BYTES], char text[ID_TEXT_BYTES]) {
    for (size_t i = 0; i < FRAG_ID_BYTES; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", id[i]);
    }
    return text;
}

static int hex_digit(char digit) {
    static const char digits[] = "0123456789abcdef";
    const char *at = digit == '\0' ? NULL : strchr(digits, digit);
    return at == NULL ? -1 : (int)(at - digits);
}

static bool read_id(const char *text, uint8_t ret_id[static FRAG_ID_BYTES]) {
    if (strlen(text) != (size_t)2 * FRAG_ID_BYTES) {
        return false;
    }
    for (size_t i = 0; i < FRAG_ID_BYTES; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret_id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static json_t *hold_json(const struct frag_hold *hold) {
    return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "id",
                     srv_json_hex(hold->id, sizeof(hold->id)), "stream", hold->stream, "clock",
                     srv_api_clock_names[hold->clock], "from", srv_json_time(hold->from), "to",
                     srv_json_time(hold->to), "created", srv_json_time(hold->created), "reason",
                     srv_json_text(hold->reason));
}

/* Holds come by when they were made, then by id: "created:id" is a place among them, also once that
 * hold is gone. */
struct hold_list {
    struct srv_exchange *exchange;
    struct srv_api_list *list;
    const char *stream; /* NULL: of all that may be listed */
    bool has_after;
    int64_t after_ns;
    uint8_t after_id[FRAG_ID_BYTES];
};

static bool read_hold_place(struct hold_list *holds) {
    const char *at = holds->list->after;
    uint64_t created = 0;
    holds->has_after = *at != '\0';
    if (!holds->has_after) {
        return true;
    }
    if (!srv_api_number(&at, &created) || *at++ != ':' || !read_id(at, holds->after_id)) {
        return false;
    }
    holds->after_ns = (int64_t)created;
    return true;
}

static bool is_hold_passed(const struct hold_list *holds, const struct frag_hold *hold) {
    if (!holds->has_after || hold->created.ns != holds->after_ns) {
        return holds->has_after && hold->created.ns < holds->after_ns;
    }
    return memcmp(hold->id, holds->after_id, sizeof(hold->id)) <= 0;
}

static int put_hold(const struct frag_hold *hold, void *user) {
    struct hold_list *holds = user;
    char id[ID_TEXT_BYTES];
    bool wanted = holds->stream == NULL
                      ? srv_api_may(holds->exchange, SRV_ACTION_LIST, hold->stream)
                      : strcmp(holds->stream, hold->stream) == 0;
    if (!wanted || is_hold_passed(holds, hold)) {
        return 0;
    }
    if (srv_api_list_full(holds->list)) {
        return -ECANCELED;
    }
    return srv_api_list_add(holds->list, hold_json(hold), "%" PRIu64 ":%s",
                            (uint64_t)hold->created.ns, id_text(hold->id, id));
}

static void answer_holds(struct srv_exchange *exchange, const char *stream) {
    struct srv_api_list list;
    if (!SRV_API_ONLY(exchange, "limit", "after") || !srv_api_list_begin(exchange, &list)) {
        return;
    }
    struct hold_list holds = {.exchange = exchange, .list = &list, .stream = stream};
    if (!read_hold_place(&holds)) {
        srv_api_list_refuse(exchange, &list);
        return;
    }
    int rc = frag_hold_each(srv_exchange_world(exchange)->store, put_hold, &holds);
    srv_api_list_answer(exchange, &list, "holds", rc);
}

static void list_holds(struct srv_exchange *exchange) {
    answer_holds(exchange, NULL);
}

static void list_stream_holds(struct srv_exchange *exchange) {
    struct frag_stream *stream = srv_api_stream(exchange);
    if (stream != NULL) {
        answer_holds(exchange, frag_stream_name(stream));
    }
}

struct hold_body {
    struct srv_named named;
    int clock;
    char *from, *to, *reason;
};

static const struct srv_schema hold_schema[] = {
    {.name = "clock",
     .kind = SRV_KIND_CHOICE,
     .at = offsetof(struct hold_body, clock),
     .choices = srv_api_clock_names},
    {.name = "from",
     .kind = SRV_KIND_TEXT,
     .at = offsetof(struct hold_body, from),
     .least = 1,
     .most = 63},
    {.name = "to",
     .kind = SRV_KIND_TEXT,
     .at = offsetof(struct hold_body, to),
     .least = 1,
     .most = 63},
    {.name = "reason",
     .kind = SRV_KIND_TEXT,
     .at = offsetof(struct hold_body, reason),
     .most = FRAG_HOLD_REASON_BYTES - 1},
    {.name = NULL},
};

static bool read_when(struct srv_exchange *exchange, const char *name, const char *text,
                      struct kn_wall *ret_when) {
    if (text != NULL && kn_when_parse(text, srv_api_now(exchange), ret_when) == 0) {
        return true;
    }
    srv_answer_error(exchange, 400, SRV_API_INVALID,
                     "%s: a time such as 2026-11-20T21:23:40Z, -10m or now", name);
    return false;
}

static void answer_held(struct srv_exchange *exchange, int rc, const struct frag_hold *hold) {
    char location[sizeof("/api/v1/holds/") + ID_TEXT_BYTES], id[ID_TEXT_BYTES];
    switch (rc) {
    case 0:
        (void)snprintf(location, sizeof(location), "/api/v1/holds/%s", id_text(hold->id, id));
        srv_answer_field(exchange, "Location", location);
        srv_api_audit(exchange, "hold added", kn_str("stream", hold->stream), kn_str("hold", id));
        srv_answer_json(exchange, 201, hold_json(hold));
        break;
    case -EINVAL:
        srv_answer_error(exchange, 400, SRV_API_INVALID,
                         "from must not be after to, and the reason is one line of up to %u bytes",
                         FRAG_HOLD_REASON_BYTES - 1U);
        break;
    case KN_E_LIMIT:
        srv_answer_error(exchange, 409, SRV_API_CONFLICT, "there are %u holds, which is the most",
                         FRAG_HOLDS_MAX);
        break;
    default:
        srv_answer_failure(exchange, rc, "adding the hold");
        break;
    }
}

static void add_read_hold(struct srv_exchange *exchange, struct frag_stream *stream,
                          const struct hold_body *body) {
    struct frag_hold *hold = calloc(1, sizeof(*hold));
    if (hold == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "adding the hold");
        return;
    }
    hold->clock = (enum frag_clock)body->clock;
    (void)snprintf(hold->stream, sizeof(hold->stream), "%s", frag_stream_name(stream));
    (void)snprintf(hold->reason, sizeof(hold->reason), "%s",
                   body->reason == NULL ? "" : body->reason);
    if (read_when(exchange, "from", body->from, &hold->from) &&
        read_when(exchange, "to", body->to, &hold->to)) {
        answer_held(exchange, frag_hold_add(stream, hold), hold);
    }
    free(hold);
}

static void add_hold(struct srv_exchange *exchange) {
    struct hold_body body = {.clock = FRAG_CLOCK_PRODUCER};
    struct frag_stream *stream = NULL;
    if (SRV_API_ONLY(exchange, NULL) && (stream = srv_api_stream(exchange)) != NULL &&
        srv_api_body(exchange, hold_schema, &body)) {
        add_read_hold(exchange, stream, &body);
    }
    srv_schema_finish(hold_schema, &body);
}

struct hold_search {
    const uint8_t *id;
    struct frag_hold *hold;
};

static int match_hold(const struct frag_hold *hold, void *user) {
    struct hold_search *search = user;
    if (memcmp(hold->id, search->id, FRAG_ID_BYTES) != 0) {
        return 0;
    }
    *search->hold = *hold;
    return -EEXIST; /* found: no more are wanted */
}

/* The one at {hold}, where its stream may be listed; false: it has answered. */
static bool find_hold(struct srv_exchange *exchange, struct frag_hold *ret_hold) {
    uint8_t id[FRAG_ID_BYTES];
    struct hold_search search = {.id = id, .hold = ret_hold};
    int rc = read_id(srv_exchange_parameter(exchange, "hold"), id)
                 ? frag_hold_each(srv_exchange_world(exchange)->store, match_hold, &search)
                 : 0;
    if (rc == 0 || (rc == -EEXIST && !srv_api_may(exchange, SRV_ACTION_LIST, ret_hold->stream))) {
        srv_answer_error(exchange, 404, SRV_API_NOT_FOUND, "there is no such hold");
        return false;
    }
    if (rc != -EEXIST) {
        srv_answer_failure(exchange, rc, "finding the hold");
        return false;
    }
    return true;
}

static void show_hold(struct srv_exchange *exchange) {
    struct frag_hold hold;
    if (SRV_API_ONLY(exchange, NULL) && find_hold(exchange, &hold)) {
        srv_answer_json(exchange, 200, hold_json(&hold));
    }
}

static void remove_hold(struct srv_exchange *exchange) {
    struct frag_hold hold;
    char id[ID_TEXT_BYTES];
    if (!SRV_API_ONLY(exchange, NULL) || !find_hold(exchange, &hold)) {
        return;
    }
    if (!srv_api_may(exchange, SRV_ACTION_HOLD, hold.stream)) {
        srv_answer_error(exchange, 403, SRV_API_DENIED, "not with these grants");
        return;
    }
    int rc = frag_hold_remove(srv_exchange_world(exchange)->store, hold.id);
    if (rc == 0) {
        srv_api_audit(exchange, "hold removed", kn_str("stream", hold.stream),
                      kn_str("hold", id_text(hold.id, id)));
        srv_answer_empty(exchange, 204);
    } else {
        srv_answer_failure(exchange, rc, "removing the hold");
    }
}

/* ---- retention ---- */

#define PLAN_DEFAULT_NS (24 * 3600 * KN_NS_PER_S)

static const char *const cause_names[] = {
    [FRAG_RETENTION_AGE] = "age",
    [FRAG_RETENTION_BYTES] = "bytes",
    [FRAG_RETENTION_FREE_SPACE] = "free space",
};

/* A plan is made anew each time: a place in it is how many go before. */
struct plan {
    struct srv_api_list *list;
    uint64_t after, at;
    bool shows_paths;
};

static json_t *item_json(const struct frag_retention_item *item, bool shows_path) {
    return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "when",
                     srv_json_time(item->when), "cause", cause_names[item->cause], "stream",
                     item->stream, "path", shows_path ? srv_json_text(item->path) : json_null(),
                     "from", srv_json_time(item->from), "to", srv_json_time(item->to), "bytes",
                     srv_json_u64(item->bytes), "fragments", srv_json_u64(item->fragments),
                     "held_fragments", srv_json_u64(item->held_fragments));
}

/* Never ends it: the summary counts what is behind the last row. */
static int put_item(const struct frag_retention_item *item, void *user) {
    struct plan *plan = user;
    if (plan->at++ < plan->after || srv_api_list_full(plan->list)) {
        return 0;
    }
    return srv_api_list_add(plan->list, item_json(item, plan->shows_paths), "%" PRIu64, plan->at);
}

static json_t *summary_json(const struct frag_retention_summary *summary, struct kn_wall until) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "until", srv_json_time(until),
                     "total_reels", srv_json_u64(summary->reels), "total_bytes",
                     srv_json_u64(summary->bytes), "held_bytes", srv_json_u64(summary->held_bytes),
                     "bytes_per_day", srv_json_u64(summary->bytes_per_day), "clock_in_doubt",
                     summary->clock_in_doubt, "doubt",
                     summary->doubt == NULL ? json_null() : srv_json_text(summary->doubt),
                     "full_at", summary->fills ? srv_json_time(summary->full_at) : json_null());
}

static void show_plan(struct srv_exchange *exchange) {
    struct kn_wall until = srv_api_now(exchange);
    struct frag_retention_summary summary = {0};
    struct srv_api_list list;
    until.ns += PLAN_DEFAULT_NS;
    if (!SRV_API_ONLY(exchange, "until", "limit", "after") ||
        !srv_api_until(exchange, until, &until) || !srv_api_list_begin(exchange, &list)) {
        return;
    }
    struct plan plan = {.list = &list,
                        .shows_paths = srv_api_may(exchange, SRV_ACTION_ADMIN, NULL)};
    const char *at = list.after;
    if (*at != '\0' && (!srv_api_number(&at, &plan.after) || *at != '\0')) {
        srv_api_list_refuse(exchange, &list);
        return;
    }
    int rc =
        frag_retention_plan(srv_exchange_world(exchange)->store, until, put_item, &plan, &summary);
    if (rc < 0) {
        list.more = false; /* what is missing is not what is behind the last row */
    }
    srv_api_list_answer_with(exchange, &list, "reels",
                             rc < 0 ? NULL : summary_json(&summary, until), rc);
}

struct run_body {
    struct srv_named named;
    bool confirm_clock;
};

static const struct srv_schema run_schema[] = {
    {.name = "confirm_clock",
     .kind = SRV_KIND_BOOL,
     .at = offsetof(struct run_body, confirm_clock)},
    {.name = NULL},
};

/* What the store deletes by itself in the meantime is counted as well. */
static void answer_run(struct srv_exchange *exchange, const struct frag_store_stats *before) {
    struct frag_store_stats after = frag_store_stats(srv_exchange_world(exchange)->store);
    srv_answer_json(exchange, 200,
                    json_pack("{s:o, s:o, s:b}", "deleted_reels",
                              srv_json_u64(after.deleted_reels - before->deleted_reels),
                              "deleted_bytes",
                              srv_json_u64(after.deleted_bytes - before->deleted_bytes),
                              "clock_in_doubt", after.clock_in_doubt));
}

static void run_retention(struct srv_exchange *exchange) {
    struct frag_store *store = srv_exchange_world(exchange)->store;
    struct run_body body = {0};
    if (SRV_API_ONLY(exchange, NULL) && srv_api_body(exchange, run_schema, &body)) {
        if (body.confirm_clock) {
            frag_retention_confirm_clock(store);
        }
        struct frag_store_stats before = frag_store_stats(store);
        int rc = frag_retention_run(store);
        srv_api_audit(exchange, "retention run",
                      kn_str("confirm_clock", body.confirm_clock ? "true" : "false"));
        if (rc == 0) {
            answer_run(exchange, &before);
        } else {
            srv_answer_failure(exchange, rc, "deleting what is due");
        }
    }
    srv_schema_finish(run_schema, &body);
}

/* ---- the table ---- */

static const struct srv_route rows[] = {
    {.name = "ListHolds",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/holds",
     .access = SRV_SIGNED_IN,
     .handle = list_holds},
    {.name = "DescribeHold",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/holds/{hold}",
     .access = SRV_SIGNED_IN,
     .handle = show_hold},
    {.name = "RemoveHold",
     .method = SRV_HTTP_DELETE,
     .path = "/api/v1/holds/{hold}",
     .access = SRV_SIGNED_IN,
     .handle = remove_hold},
    {.name = "ListStreamHolds",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/streams/{stream}/holds",
     .access = SRV_ON_STREAM,
     .action = SRV_ACTION_LIST,
     .handle = list_stream_holds},
    {.name = "AddHold",
     .method = SRV_HTTP_POST,
     .path = "/api/v1/streams/{stream}/holds",
     .access = SRV_ON_STREAM,
     .action = SRV_ACTION_HOLD,
     .body = SRV_BODY_JSON,
     .handle = add_hold},
    {.name = "PlanRetention",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/retention/plan",
     .access = SRV_ON_ALL,
     .action = SRV_ACTION_LIST,
     .handle = show_plan},
    {.name = "RunRetention",
     .method = SRV_HTTP_POST,
     .path = "/api/v1/retention/run",
     .access = SRV_ON_ALL,
     .action = SRV_ACTION_ADMIN,
     .body = SRV_BODY_JSON,
     .handle = run_retention},
};

const struct srv_routes srv_api_upkeep_routes = {.rows = rows, .count = KN_COUNT(rows)};
