/* What is late, and what ends when the server does. Once a second every connection of a loop is
 * looked at: there is no timer a connection. */
#include "server/exchange/inner.h"

/* The least pace holds from here on. */
#define PACE_FROM_NS (5 * KN_NS_PER_S)
/* A goodbye that the peer does not take: the transport's own 2 s and some. */
#define GOODBYE_NS (5 * KN_NS_PER_S)

static bool is_slow(const struct srv_lane *lane, int64_t took_ns, uint64_t bytes) {
    if (took_ns <= PACE_FROM_NS) {
        return false;
    }
    double least = (double)lane->engine->times.least_bytes_per_s;
    return (double)bytes < least * ((double)(took_ns - PACE_FROM_NS) / (double)KN_NS_PER_S);
}

/* The peer takes nothing of what is queued. */
static bool is_stuck(struct srv_http_conn *conn, int64_t now_ns) {
    if (srv_output_empty(&conn->output)) {
        conn->stalled_ns = now_ns;
        return false;
    }
    int64_t since_ns = conn->sent_ns > conn->stalled_ns ? conn->sent_ns : conn->stalled_ns;
    return now_ns - since_ns > conn->lane->engine->times.write_ns;
}

static bool body_is_late(const struct srv_http_conn *conn, int64_t now_ns) {
    const struct srv_exchange *exchange = conn->exchange;
    return !exchange->body_read && !conn->deaf && conn->held_bytes == 0 &&
           (now_ns - conn->received_ns > conn->lane->engine->times.body_ns ||
            is_slow(conn->lane, now_ns - conn->since_ns, exchange->received_bytes));
}

/* Nothing came and nothing went for too long, where that is the peer's doing. */
static bool flow_is_idle(struct srv_http_conn *conn, int64_t now_ns) {
    const struct srv_exchange *exchange = conn->exchange;
    if (exchange->paused) {
        conn->received_ns = now_ns;
    }
    int64_t last_ns = conn->received_ns > conn->sent_ns ? conn->received_ns : conn->sent_ns;
    last_ns = last_ns > conn->since_ns ? last_ns : conn->since_ns;
    return now_ns - last_ns > exchange->idle_ns;
}

static void look_at_exchange(struct srv_http_conn *conn, int64_t now_ns) {
    struct srv_exchange *exchange = conn->exchange;
    if (is_stuck(conn, now_ns)) {
        atomic_fetch_add_explicit(&conn->lane->counts.timeouts, 1, memory_order_relaxed);
        srv_http_conn_abort(conn);
        return;
    }
    switch (exchange->phase) {
    case SRV_PHASE_BODY:
    case SRV_PHASE_ANSWERED:
        if (body_is_late(conn, now_ns)) {
            srv_http_conn_time_out(conn);
        }
        break;
    case SRV_PHASE_FLOW:
        if (flow_is_idle(conn, now_ns)) {
            atomic_fetch_add_explicit(&conn->lane->counts.timeouts, 1, memory_order_relaxed);
            srv_exchange_break(exchange);
        } else if (exchange->flow->tick != NULL) {
            exchange->flow->tick(exchange, exchange->user);
        }
        break;
    case SRV_PHASE_HEAD:
    case SRV_PHASE_DOOR:
    case SRV_PHASE_WORK:
        break;
    }
}

static void look_at(struct srv_http_conn *conn, int64_t now_ns) {
    const struct srv_http_times *times = &conn->lane->engine->times;
    int64_t took_ns = now_ns - conn->since_ns;
    switch (conn->state) {
    case SRV_CONN_IDLE:
        srv_http_parser_rest(conn->parser);
        if (took_ns > times->idle_ns) {
            srv_http_conn_finish(conn);
        }
        break;
    case SRV_CONN_HEAD:
        if (took_ns > times->head_ns || is_slow(conn->lane, took_ns, conn->section_bytes)) {
            srv_http_conn_time_out(conn);
        }
        break;
    case SRV_CONN_EXCHANGE:
        look_at_exchange(conn, now_ns);
        break;
    case SRV_CONN_CLOSING:
        if (took_ns > times->write_ns + GOODBYE_NS) {
            conn->conn->ops->abort(conn->conn);
        }
        break;
    }
}

void srv_lane_tick(struct srv_lane *lane) {
    int64_t now_ns = lane->engine->clock->mono(lane->engine->clock).ns;
    bool over = lane->draining && now_ns >= lane->drain_until_ns;
    for (struct srv_http_conn *conn = lane->first; conn != NULL; conn = conn->next) {
        srv_http_conn_enter(conn);
        if (over && conn->state != SRV_CONN_CLOSING) {
            srv_http_conn_abort(conn);
        } else {
            look_at(conn, now_ns);
        }
        srv_http_conn_leave(conn);
    }
}

/* ---- draining ---- */

static void drain_conn(struct srv_http_conn *conn) {
    struct srv_exchange *exchange = conn->exchange;
    if (conn->state == SRV_CONN_IDLE) {
        srv_http_conn_finish(conn);
    }
    if (conn->state != SRV_CONN_EXCHANGE) {
        return;
    }
    srv_http_response_close(&exchange->response);
    if (exchange->phase == SRV_PHASE_FLOW && !exchange->drain_told) {
        exchange->drain_told = true;
        if (exchange->flow->drain != NULL) {
            exchange->flow->drain(exchange, exchange->user);
        } else {
            srv_exchange_break(exchange);
        }
    }
}

void srv_lane_drain(struct srv_lane *lane, void (*drained)(struct srv_lane *lane, void *user),
                    void *user) {
    if (lane->draining) {
        return;
    }
    lane->drained = drained;
    lane->drained_user = user;
    lane->drain_until_ns =
        lane->engine->clock->mono(lane->engine->clock).ns + lane->engine->times.drain_ns;
    lane->open++; /* ours, so that the end is told once, and from here if there is nobody */
    lane->draining = true;
    for (struct srv_http_conn *conn = lane->first; conn != NULL; conn = conn->next) {
        srv_http_conn_enter(conn);
        drain_conn(conn);
        srv_http_conn_leave(conn);
    }
    if (--lane->open == 0) {
        lane->drained(lane, lane->drained_user);
    }
}
