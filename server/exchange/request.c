/* An exchange from its head to its handler.
 *
 *   from    event                              to
 *   HEAD    no route, refused                  ANSWERED
 *           the door must ask a worker         DOOR
 *           a body comes first                 BODY
 *           the handler runs on the loop       FLOW, ANSWERED
 *           the handler runs on a worker       WORK
 *   DOOR    the worker is done                 HEAD
 *   BODY    all of it came                     HEAD
 *           it is wrong, too slow, too large   ANSWERED
 *   WORK    the worker is done                 ANSWERED
 *   FLOW    its end, or broken off             ANSWERED */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "server/exchange/inner.h"
#include "server/json/json.h"

/* Of a body that a signature covers: it is read before anybody knows who sends it. */
#define SIGNED_BODY_MAX ((uint64_t)1024 * 1024)
#define DOOR_HOLDS_NS KN_NS_PER_S

static void set_phase(struct srv_exchange *exchange, enum srv_phase phase) {
    exchange->phase = phase;
}

static struct srv_exchange *from_job(struct srv_job *job) {
    return (struct srv_exchange *)((char *)job - offsetof(struct srv_exchange, job));
}

/* ---- making one ---- */

static void make_id(struct srv_lane *lane, char id[static 33]) {
    lane->ids[1]++;
    (void)snprintf(id, 33, "%016" PRIx64 "%016" PRIx64, lane->ids[0], lane->ids[1]);
}

struct srv_exchange *srv_exchange_create(struct srv_http_conn *conn,
                                         const struct srv_http_request *request) {
    struct srv_lane *lane = conn->lane;
    const struct kn_clock *clock = lane->engine->clock;
    struct srv_exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange == NULL) {
        return NULL;
    }
    atomic_init(&exchange->refs, 1);
    atomic_init(&exchange->posts, 0);
    atomic_fetch_add(&lane->refs, 1);
    exchange->lane = lane;
    exchange->engine = lane->engine;
    exchange->conn = conn;
    exchange->request = request;
    exchange->peer = conn->peer;
    exchange->since = clock->wall(clock);
    exchange->began_ns = clock->mono(clock).ns;
    exchange->idle_ns = lane->engine->times.body_ns;
    exchange->answer.fd = -1;
    exchange->body_read = request == NULL;
    exchange->has_body =
        request != NULL && (request->body == SRV_HTTP_BODY_CHUNKED || request->content_length > 0);
    make_id(lane, exchange->id);
    srv_http_response_init(&exchange->response, request, srv_lane_date(lane));
    if (lane->draining) {
        srv_http_response_close(&exchange->response);
    }
    atomic_fetch_add_explicit(&lane->counts.requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&lane->counts.requests_open, 1, memory_order_relaxed);
    return exchange;
}

/* ---- routing ---- */

static void answer_allow(struct srv_exchange *exchange, uint32_t methods) {
    static const enum srv_http_method order[] = {SRV_HTTP_GET,    SRV_HTTP_HEAD,   SRV_HTTP_POST,
                                                 SRV_HTTP_PUT,    SRV_HTTP_DELETE, SRV_HTTP_PATCH,
                                                 SRV_HTTP_OPTIONS};
    char allow[64] = "";
    methods |= UINT32_C(1) << SRV_HTTP_OPTIONS;
    for (size_t i = 0; i < KN_COUNT(order); i++) {
        if ((methods & UINT32_C(1) << order[i]) != 0) {
            size_t used = strlen(allow);
            (void)snprintf(allow + used, sizeof(allow) - used, "%s%s", used > 0 ? ", " : "",
                           srv_http_method_name(order[i]));
        }
    }
    srv_answer_field(exchange, "Allow", allow);
    if (exchange->request->method == SRV_HTTP_OPTIONS) {
        srv_answer_empty(exchange, 204);
    } else {
        srv_answer_error(exchange, 405, srv_answer_code(405), "not by this method");
    }
}

/* The values one behind the other, each with a NUL; those of {name...} with '/' between. */
static bool copy_parameters(struct srv_exchange *exchange, const struct srv_http_path *path) {
    struct srv_match *match = &exchange->match;
    size_t bytes = 1;
    for (size_t i = 0; i < match->parameter_count; i++) {
        for (size_t j = 0; j < match->parameters[i].segments; j++) {
            bytes += path->segments[match->parameters[i].first + j].size + 1;
        }
    }
    char *at = exchange->parameters = malloc(bytes);
    if (at == NULL) {
        return false;
    }
    for (size_t i = 0; i < match->parameter_count; i++) {
        char *begin = at;
        for (size_t j = 0; j < match->parameters[i].segments; j++) {
            struct srv_http_text segment = path->segments[match->parameters[i].first + j];
            memcpy(at, segment.data, segment.size);
            at += segment.size;
            *at++ = '/';
        }
        at[-1] = '\0';
        match->parameters[i].value = (struct srv_http_text){begin, (size_t)(at - begin) - 1};
    }
    exchange->stream = srv_exchange_parameter(exchange, "stream");
    return true;
}

/* Answers where there is no route. */
static bool find_route(struct srv_exchange *exchange) {
    const struct srv_http_request *request = exchange->request;
    struct srv_http_path path;
    if (request->form == SRV_HTTP_ASTERISK) {
        answer_allow(exchange, UINT32_MAX);
        return false;
    }
    int rc = srv_http_path_split(request->path, &path);
    if (rc != 0) {
        int status = rc == KN_E_LIMIT ? 414 : 400;
        srv_answer_error(exchange, status, srv_answer_code(status), "the path %s",
                         kn_error_text(rc));
        return false;
    }
    srv_router_find(exchange->engine->router, request->method, &path, &exchange->match);
    if (exchange->match.route == NULL) {
        if (exchange->match.path_known) {
            answer_allow(exchange, exchange->match.methods);
        } else {
            srv_answer_error(exchange, 404, srv_answer_code(404), "there is nothing at this path");
        }
        return false;
    }
    if (!copy_parameters(exchange, &path)) {
        srv_answer_failure(exchange, -ENOMEM, "request");
        return false;
    }
    return true;
}

/* ---- workers ---- */

static void give(struct srv_exchange *exchange, enum srv_phase phase,
                 void (*run)(struct srv_job *job, struct srv_worker *worker)) {
    exchange->job.run = run;
    /* The door asks a worker for a password alone. */
    exchange->job.hashes = phase == SRV_PHASE_DOOR || exchange->match.route->hashes;
    set_phase(exchange, phase);
    (void)srv_exchange_ref(exchange); /* the worker's, until it comes back */
    if (srv_workers_give(exchange->engine->workers, &exchange->job) == 0) {
        return;
    }
    set_phase(exchange, SRV_PHASE_HEAD);
    srv_exchange_unref(exchange);
    atomic_fetch_add_explicit(&exchange->lane->counts.busy, 1, memory_order_relaxed);
    srv_answer_field(exchange, "Retry-After", "1");
    srv_answer_error(exchange, 503, srv_answer_code(503), "too many requests wait");
}

static bool is_json(const struct srv_http_request *request) {
    const struct srv_http_field *type =
        srv_http_field_find(request->fields, request->field_count, "content-type", NULL);
    if (type == NULL) {
        return false;
    }
    struct srv_http_text text = type->value;
    const char *end = text.size > 0 ? memchr(text.data, ';', text.size) : NULL;
    text.size = end == NULL ? text.size : (size_t)(end - text.data);
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
        text.size--;
    }
    return srv_http_text_is(text, "application/json");
}

/* Whether the body is what the route takes; answers where it is not. Worker, or loop. */
static bool read_json(struct srv_exchange *exchange) {
    char problem[SRV_JSON_PROBLEM_BYTES] = "";
    struct srv_http_text body = srv_exchange_body(exchange);
    if (exchange->match.route->body != SRV_BODY_JSON) {
        return true;
    }
    if (body.size == 0) {
        exchange->json = json_object();
        if (exchange->json == NULL) {
            srv_answer_failure(exchange, -ENOMEM, "body");
        }
        return exchange->json != NULL;
    }
    int rc = srv_json_parse(body.data, body.size, &exchange->json, problem);
    if (rc == -ENOMEM) {
        srv_answer_failure(exchange, rc, "body");
        return false;
    }
    if (rc != 0 || !json_is_object(exchange->json)) {
        srv_answer_error(exchange, 400, "SerializationException", "the body is no JSON object%s%s",
                         rc != 0 ? ": " : "", rc != 0 ? problem : "");
        return false;
    }
    return true;
}

static void complain_of_silence(struct srv_exchange *exchange) {
    kn_log_error("a route gave no answer", kn_str("route", exchange->match.route->name),
                 kn_str("id", exchange->id));
    srv_answer_error(exchange, 500, srv_answer_code(500), "internal error");
}

static void run_on_worker(struct srv_job *job, struct srv_worker *worker) {
    struct srv_exchange *exchange = from_job(job);
    if (worker != NULL) {
        exchange->worker = worker;
        if (read_json(exchange)) {
            exchange->match.route->handle(exchange);
        }
        if (!exchange->answer.given) {
            complain_of_silence(exchange);
        }
        exchange->worker = NULL;
    }
    srv_exchange_post(exchange, SRV_POST_BACK);
}

static void run_on_loop(struct srv_exchange *exchange) {
    set_phase(exchange, SRV_PHASE_HEAD);
    if (!read_json(exchange)) {
        return;
    }
    exchange->match.route->handle(exchange);
    if (exchange->phase == SRV_PHASE_HEAD && exchange->head_written) {
        srv_exchange_break(exchange); /* begun, and left alone */
    } else if (exchange->phase == SRV_PHASE_HEAD) {
        complain_of_silence(exchange);
    }
}

static void run(struct srv_exchange *exchange) {
    if (exchange->match.route->on_loop) {
        run_on_loop(exchange);
    } else {
        give(exchange, SRV_PHASE_WORK, run_on_worker);
    }
}

/* ---- the body ---- */

static uint64_t body_limit(const struct srv_exchange *exchange) {
    const struct srv_route *route = exchange->match.route;
    uint64_t limit = route->body_max == 0 ? exchange->engine->body_bytes : route->body_max;
    if (route->body == SRV_NO_BODY) {
        limit = SRV_DROP_MAX;
    }
    return exchange->hash_body && limit > SIGNED_BODY_MAX ? SIGNED_BODY_MAX : limit;
}

/* What can be refused before any of it is read. */
static bool body_is_fine(struct srv_exchange *exchange) {
    const struct srv_http_request *request = exchange->request;
    if (exchange->has_body && exchange->match.route->body == SRV_BODY_JSON && !is_json(request)) {
        srv_answer_error(exchange, 415, srv_answer_code(415),
                         "the body must be of type application/json");
        return false;
    }
    if (request->body == SRV_HTTP_BODY_LENGTH && request->content_length > body_limit(exchange)) {
        srv_answer_error(exchange, 413, srv_answer_code(413), "the body is too large");
        return false;
    }
    return true;
}

static void begin_body(struct srv_exchange *exchange, bool gathers) {
    char room[64];
    struct kn_writer writer;
    exchange->gathers = gathers;
    kn_writer_init(&writer, room, sizeof(room));
    if (gathers && (srv_http_response_continue(&exchange->response, &writer) != 0 ||
                    srv_output_copy(&exchange->conn->output, room, writer.size) != 0)) {
        srv_answer_failure(exchange, -ENOMEM, "request");
        return;
    }
    uint64_t limit = body_limit(exchange);
    kn_writer_init_growing(&exchange->body, limit < SIZE_MAX ? (size_t)limit : SIZE_MAX);
    set_phase(exchange, SRV_PHASE_BODY);
    srv_http_conn_expect_body(exchange->conn);
}

void srv_exchange_gather(struct srv_exchange *exchange, const void *data, size_t size) {
    int rc = kn_budget_claim(exchange->engine->bodies, size);
    if (rc == 0) {
        exchange->claimed += size;
        kn_write_bytes(&exchange->body, data, size);
        rc = kn_writer_status(&exchange->body);
    }
    if (rc != 0) {
        srv_answer_field(exchange, "Retry-After", "1");
        srv_answer_failure(exchange, -ENOMEM, "body");
    }
}

bool srv_exchange_wants_body(const struct srv_exchange *exchange) {
    if (exchange->body_read) {
        return false;
    }
    switch (exchange->phase) {
    case SRV_PHASE_BODY:
        return true;
    case SRV_PHASE_FLOW:
        return !exchange->paused;
    case SRV_PHASE_ANSWERED:
        return srv_http_response_keeps(&exchange->response) &&
               exchange->dropped_bytes <= SRV_DROP_MAX;
    case SRV_PHASE_HEAD:
    case SRV_PHASE_DOOR:
    case SRV_PHASE_WORK:
        break;
    }
    return false;
}

/* ---- the door ---- */

/* It may. A body that nobody wants is not asked for, and so not waited for. */
static void admitted(struct srv_exchange *exchange) {
    const struct srv_route *route = exchange->match.route;
    if (exchange->body_read) {
        run(exchange);
        return;
    }
    if (!body_is_fine(exchange)) {
        return;
    }
    srv_http_parser_allow_body(exchange->conn->parser, body_limit(exchange));
    bool waits = route->body == SRV_NO_BODY && exchange->request->expects_continue;
    if (route->body == SRV_BODY_FLOW || (route->body == SRV_NO_BODY && route->on_loop) || waits) {
        run(exchange);
    } else {
        begin_body(exchange, route->body != SRV_NO_BODY);
    }
}

static void refused(struct srv_exchange *exchange) {
    const struct srv_door_answer *door = &exchange->door;
    char retry[16];
    int at = door->status == 401 ? 0 : door->status == 403 ? 1 : door->status == 429 ? 2 : -1;
    if (at >= 0) {
        atomic_fetch_add_explicit(&exchange->lane->counts.denied[at], 1, memory_order_relaxed);
    }
    if (door->challenge != NULL) {
        srv_answer_field(exchange, "WWW-Authenticate", door->challenge);
    }
    if (door->retry_s > 0) {
        (void)snprintf(retry, sizeof(retry), "%u", door->retry_s);
        srv_answer_field(exchange, "Retry-After", retry);
    }
    srv_answer_error(exchange, door->status, door->code, "%s", door->message);
}

static struct srv_visit visit(const struct srv_exchange *exchange) {
    const struct kn_clock *clock = exchange->engine->clock;
    return (struct srv_visit){
        .request = exchange->request,
        .peer = &exchange->peer,
        .route = exchange->match.route,
        .stream = exchange->stream,
        .body_sha256 = exchange->body_hashed ? exchange->body_sha256 : NULL,
        .has_body = exchange->has_body,
        .now = clock->wall(clock),
    };
}

static void ask_on_worker(struct srv_job *job, struct srv_worker *worker) {
    struct srv_exchange *exchange = from_job(job);
    if (worker != NULL) {
        struct srv_visit question = visit(exchange);
        exchange->engine->doorman->ask_blocking(exchange->engine->gate, &question, &exchange->door);
    } else {
        exchange->door = (struct srv_door_answer){.verdict = SRV_DOOR_REFUSED,
                                                  .status = 503,
                                                  .code = srv_answer_code(503),
                                                  .message = "the server shuts down"};
    }
    srv_exchange_post(exchange, SRV_POST_BACK);
}

static void heed_door(struct srv_exchange *exchange) {
    switch (exchange->door.verdict) {
    case SRV_DOOR_FINE:
        admitted(exchange);
        return;
    case SRV_DOOR_REFUSED:
        refused(exchange);
        return;
    case SRV_DOOR_AFTER_BODY:
        if (exchange->body_hashed || exchange->match.route->body == SRV_BODY_FLOW) {
            break;
        }
        exchange->hash_body = true;
        if (body_is_fine(exchange)) {
            srv_http_parser_allow_body(exchange->conn->parser, body_limit(exchange));
            begin_body(exchange, true);
        }
        return;
    case SRV_DOOR_ASK_WORKER:
        if (exchange->door_asked_worker) {
            break;
        }
        exchange->door_asked_worker = true;
        give(exchange, SRV_PHASE_DOOR, ask_on_worker);
        return;
    }
    /* Nothing is allowed that the door did not allow. */
    kn_log_error("the door does not decide", kn_str("route", exchange->match.route->name),
                 kn_int("verdict", exchange->door.verdict));
    srv_answer_error(exchange, 500, srv_answer_code(500), "internal error");
}

static void ask_door(struct srv_exchange *exchange) {
    struct srv_visit question = visit(exchange);
    exchange->door_asked_worker = false;
    exchange->engine->doorman->finish(&exchange->door);
    exchange->door = (struct srv_door_answer){.verdict = SRV_DOOR_REFUSED};
    exchange->engine->doorman->ask(exchange->lane->door, &question, &exchange->door);
    heed_door(exchange);
}

void srv_exchange_admit(struct srv_exchange *exchange) {
    if (find_route(exchange)) {
        ask_door(exchange);
    }
}

/* A body may come for a minute, and longer: who was let in before it has perhaps been deleted
 * since, or an open server closed. */
static bool is_old(const struct srv_exchange *exchange) {
    const struct kn_clock *clock = exchange->engine->clock;
    return clock->mono(clock).ns - exchange->began_ns > DOOR_HOLDS_NS;
}

void srv_exchange_body_complete(struct srv_exchange *exchange) {
    set_phase(exchange, SRV_PHASE_HEAD);
    if (!exchange->hash_body || exchange->body_hashed) {
        if (is_old(exchange)) {
            ask_door(exchange);
        } else {
            run(exchange);
        }
        return;
    }
    if (srv_sha256(exchange->body.data, exchange->body.size, exchange->body_sha256) != 0) {
        srv_answer_failure(exchange, -ENOMEM, "body");
        return;
    }
    exchange->body_hashed = true;
    ask_door(exchange);
}

void srv_exchange_come_back(struct srv_exchange *exchange) {
    enum srv_phase phase = exchange->phase;
    struct srv_http_conn *conn = exchange->conn;
    set_phase(exchange, SRV_PHASE_HEAD);
    if (conn == NULL) {
        srv_exchange_over(exchange);
        return;
    }
    srv_http_conn_enter(conn);
    if (phase == SRV_PHASE_DOOR) {
        heed_door(exchange);
    } else {
        srv_exchange_write_answer(exchange);
    }
    srv_http_conn_leave(conn);
}

void srv_exchange_fault(struct srv_exchange *exchange, const struct srv_http_fault *fault) {
    exchange->fault = fault->kind;
    srv_http_response_close(&exchange->response);
    if (exchange->phase == SRV_PHASE_HEAD || exchange->phase == SRV_PHASE_BODY) {
        srv_answer_error(exchange, fault->status, srv_answer_code(fault->status), "%s",
                         fault->phrase);
    } else if (exchange->phase == SRV_PHASE_FLOW && !exchange->body_end_told) {
        exchange->body_end_told = true;
        if (exchange->flow->body_end != NULL) {
            exchange->flow->body_end(exchange, false, exchange->user);
        }
    }
}
