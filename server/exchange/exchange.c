#include "server/exchange/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/exchange/inner.h"
#include "server/http/query.h"

/* ---- what handlers ask ---- */

struct srv_world *srv_exchange_world(const struct srv_exchange *exchange) {
    return exchange->engine->world;
}

const struct srv_http_request *srv_exchange_request(const struct srv_exchange *exchange) {
    return exchange->request;
}

const struct srv_peer *srv_exchange_peer(const struct srv_exchange *exchange) {
    return &exchange->peer;
}

const struct srv_principal *srv_exchange_principal(const struct srv_exchange *exchange) {
    return exchange->door.principal;
}

const char *srv_exchange_region(const struct srv_exchange *exchange) {
    return exchange->door.region;
}

const char *srv_exchange_id(const struct srv_exchange *exchange) {
    return exchange->id;
}

struct kn_wall srv_exchange_since(const struct srv_exchange *exchange) {
    return exchange->since;
}

const char *srv_exchange_parameter(const struct srv_exchange *exchange, const char *name) {
    const struct srv_match *match = &exchange->match;
    size_t size = strlen(name);
    for (size_t i = 0; i < match->parameter_count; i++) {
        if (match->parameters[i].name.size == size &&
            memcmp(match->parameters[i].name.data, name, size) == 0) {
            return match->parameters[i].value.data;
        }
    }
    return NULL;
}

int srv_exchange_query(const struct srv_exchange *exchange, const char *name, char *room,
                       size_t room_bytes) {
    struct srv_http_text text;
    if (room_bytes == 0) {
        return KN_E_LIMIT;
    }
    int rc = srv_http_query_find(exchange->request->query, name, room, room_bytes - 1, &text);
    if (rc == 0) {
        room[text.size] = '\0';
    }
    return rc;
}

struct srv_http_text srv_exchange_body(const struct srv_exchange *exchange) {
    if (exchange->body.size == 0) {
        return (struct srv_http_text){"", 0};
    }
    return (struct srv_http_text){(const char *)exchange->body.data, exchange->body.size};
}

json_t *srv_exchange_json(const struct srv_exchange *exchange) {
    return exchange->json;
}

struct frag_archive *srv_exchange_archive(struct srv_exchange *exchange) {
    return exchange->worker == NULL ? NULL : srv_worker_archive(exchange->worker);
}

/* ---- its life ---- */

struct srv_exchange *srv_exchange_ref(struct srv_exchange *exchange) {
    atomic_fetch_add_explicit(&exchange->refs, 1, memory_order_relaxed);
    return exchange;
}

void srv_exchange_unref(struct srv_exchange *exchange) {
    if (atomic_fetch_sub_explicit(&exchange->refs, 1, memory_order_acq_rel) == 1) {
        srv_http_parser_destroy(exchange->parser);
        srv_lane_unref(exchange->lane);
        free(exchange);
    }
}

/* On the stack of its lane unless it is there already. The stack's reference is counted first: the
 * loop may be done with it before this returns. */
void srv_exchange_post(struct srv_exchange *exchange, unsigned what) {
    struct srv_lane *lane = exchange->lane;
    (void)srv_exchange_ref(exchange);
    unsigned before = atomic_fetch_or_explicit(&exchange->posts, what, memory_order_acq_rel);
    bool is_there = (before & (SRV_POST_WAKE | SRV_POST_BACK)) != 0;
    bool too_late = (before & SRV_POST_CLOSED) != 0 && what == SRV_POST_WAKE;
    if (is_there || too_late) {
        srv_exchange_unref(exchange);
        return;
    }
    srv_lane_push(lane, exchange);
}

void srv_exchange_wake(struct srv_exchange *exchange) {
    if ((atomic_load_explicit(&exchange->posts, memory_order_acquire) &
         (SRV_POST_CLOSED | SRV_POST_WAKE)) == 0) {
        srv_exchange_post(exchange, SRV_POST_WAKE);
    }
}

/* ---- its end ---- */

static void count_latency(struct srv_route_counts *route, int64_t took_ns) {
    double seconds = (double)took_ns / (double)KN_NS_PER_S;
    size_t at = 0;
    while (at + 1 < SRV_LATENCY_BUCKETS && seconds > srv_latency_seconds[at]) {
        at++;
    }
    atomic_fetch_add_explicit(&route->latency[at], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&route->latency_sum_ns, (uint64_t)took_ns, memory_order_relaxed);
}

static void count(const struct srv_exchange *exchange, int64_t took_ns) {
    struct srv_lane *lane = exchange->lane;
    atomic_fetch_sub_explicit(&lane->counts.requests_open, 1, memory_order_relaxed);
    if (exchange->flow != NULL) {
        atomic_fetch_sub_explicit(&lane->counts.flows_open, 1, memory_order_relaxed);
    }
    if (exchange->match.route == NULL) {
        return;
    }
    struct srv_route_counts *route = &lane->routes[exchange->match.row];
    int class = exchange->response.status / 100;
    if (class >= 1 && class <= 5) {
        atomic_fetch_add_explicit(&route->by_status[class], 1, memory_order_relaxed);
    }
    if (exchange->flow == NULL && class > 0) {
        count_latency(route, took_ns);
    }
    atomic_fetch_add_explicit(&route->received_bytes, exchange->received_bytes,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&route->sent_bytes, exchange->response.body_bytes,
                              memory_order_relaxed);
}

static void tell_flow(struct srv_exchange *exchange) {
    if (exchange->phase == SRV_PHASE_FLOW && !exchange->body_end_told) {
        exchange->body_end_told = true;
        if (exchange->flow->body_end != NULL) {
            exchange->flow->body_end(exchange, false, exchange->user);
        }
    }
    exchange->flow->closed(exchange, exchange->user);
}

static void forget_body(struct srv_exchange *exchange) {
    json_decref(exchange->json);
    exchange->json = NULL;
    kn_writer_finish(&exchange->body);
    kn_budget_release(exchange->engine->bodies, exchange->claimed);
    exchange->claimed = 0;
}

void srv_exchange_over(struct srv_exchange *exchange) {
    const struct srv_engine *engine = exchange->engine;
    if (exchange->over) {
        return;
    }
    if (exchange->work != NULL) {
        exchange->over_waits = true;
        return;
    }
    exchange->over = true;
    atomic_fetch_or_explicit(&exchange->posts, SRV_POST_CLOSED, memory_order_acq_rel);
    if (exchange->flow != NULL) {
        tell_flow(exchange);
    }
    int64_t took_ns = engine->clock->mono(engine->clock).ns - exchange->began_ns;
    count(exchange, took_ns);
    if (engine->log != NULL) {
        srv_request_log_add(
            engine->log,
            &(struct srv_request_line){exchange, engine->clock->wall(engine->clock), took_ns});
    }
    forget_body(exchange);
    srv_answer_finish(&exchange->answer);
    engine->doorman->finish(&exchange->door);
    exchange->door.principal = NULL;
    free(exchange->parameters);
    exchange->parameters = NULL;
    exchange->match.parameter_count = 0;
}
