/* Bytes of one connection, in order: requests one after another, each answered before the next one
 * is looked at.
 *
 *   from       event                            to
 *   IDLE       a byte                           HEAD
 *   HEAD       the head is complete             EXCHANGE
 *   IDLE, HEAD the input is wrong               EXCHANGE, which answers that
 *   EXCHANGE   answered, sent and read          IDLE; CLOSING where the connection does not stay
 *   any        finished, aborted, broken        CLOSING
 *
 * Nothing is freed but in `closed`, which the transport calls from outside; so whoever is called
 * from here may do with the connection what they like. What follows from it is settled when the
 * outermost call ends. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "server/exchange/inner.h"

/* One push, and what one more may bring that was under way. */
#define HELD_MAX ((size_t)128 * 1024)

/* What was received: `body` bytes of a body that are decoded, then bytes for the parser. */
struct input {
    const char *data;
    size_t size, body;
};

static int64_t now_ns(const struct srv_http_conn *conn) {
    const struct kn_clock *clock = conn->lane->engine->clock;
    return clock->mono(clock).ns;
}

static void set_state(struct srv_http_conn *conn, enum srv_conn_state state) {
    struct srv_lane *lane = conn->lane;
    if (conn->state == SRV_CONN_CLOSING) {
        return; /* nothing leads out of it */
    }
    conn->state = state;
    conn->since_ns = now_ns(conn);
    conn->section_bytes = 0;
    if (state == SRV_CONN_CLOSING && --lane->open == 0 && lane->draining) {
        lane->drained(lane, lane->drained_user);
    }
}

/* ---- its end ---- */

void srv_http_conn_finish(struct srv_http_conn *conn) {
    if (conn->state != SRV_CONN_CLOSING) {
        set_state(conn, SRV_CONN_CLOSING);
        conn->conn->ops->finish(conn->conn);
    }
}

void srv_http_conn_abort(struct srv_http_conn *conn) {
    if (conn->state != SRV_CONN_CLOSING) {
        set_state(conn, SRV_CONN_CLOSING);
        conn->conn->ops->abort(conn->conn);
    }
}

/* No exchange could be made, so this must do without memory. */
static void refuse_without_memory(struct srv_http_conn *conn) {
    static char text[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                         "Retry-After: 1\r\nContent-Length: 0\r\n\r\n";
    const struct iovec part = {text, sizeof(text) - 1};
    if (!srv_output_empty(&conn->output) || conn->conn->ops->send(conn->conn, &part, 1) < 0) {
        srv_http_conn_abort(conn);
        return;
    }
    srv_http_conn_finish(conn);
}

/* ---- input ---- */

static bool wants_bytes(const struct srv_http_conn *conn) {
    switch (conn->state) {
    case SRV_CONN_IDLE:
    case SRV_CONN_HEAD:
        return !conn->deaf;
    case SRV_CONN_EXCHANGE:
        return !conn->deaf && srv_exchange_wants_body(conn->exchange);
    case SRV_CONN_CLOSING:
        break;
    }
    return false;
}

static struct srv_exchange *begin_exchange(struct srv_http_conn *conn,
                                           const struct srv_http_request *request) {
    conn->exchange = srv_exchange_create(conn, request);
    if (conn->exchange == NULL) {
        refuse_without_memory(conn);
        return NULL;
    }
    set_state(conn, SRV_CONN_EXCHANGE);
    return conn->exchange;
}

static void tell_fault(struct srv_http_conn *conn) {
    const struct srv_http_fault *fault = srv_http_parser_fault(conn->parser);
    conn->deaf = true;
    atomic_fetch_add_explicit(&conn->lane->counts.faults[fault->kind], 1, memory_order_relaxed);
    if (conn->exchange != NULL || begin_exchange(conn, NULL) != NULL) {
        srv_exchange_fault(conn->exchange, fault);
    }
}

static void end_body(struct srv_exchange *exchange) {
    exchange->body_read = true;
    switch (exchange->phase) {
    case SRV_PHASE_BODY:
        srv_exchange_body_complete(exchange);
        break;
    case SRV_PHASE_FLOW:
        exchange->body_end_told = true;
        if (exchange->flow->body_end != NULL) {
            exchange->flow->body_end(exchange, true, exchange->user);
        }
        break;
    case SRV_PHASE_HEAD:
    case SRV_PHASE_DOOR:
    case SRV_PHASE_WORK:
    case SRV_PHASE_ANSWERED:
        break;
    }
}

static void take_body(struct srv_http_conn *conn, struct input *input) {
    struct srv_exchange *exchange = conn->exchange;
    size_t taken = input->body;
    if (exchange->phase == SRV_PHASE_FLOW && exchange->flow->body != NULL) {
        taken = exchange->flow->body(exchange, input->data, input->body, exchange->user);
        KN_ASSERT(taken <= input->body);
        exchange->paused = taken < input->body;
    } else if (exchange->phase == SRV_PHASE_BODY && exchange->gathers) {
        srv_exchange_gather(exchange, input->data, input->body);
    } else {
        exchange->dropped_bytes += taken;
    }
    exchange->received_bytes += taken;
    input->data += taken;
    input->size -= taken;
    input->body -= taken;
}

/* Feeds the parser once. Whether it may have more to tell. */
static bool step(struct srv_http_conn *conn, struct input *input) {
    struct srv_http_event event;
    size_t taken;
    if (conn->state == SRV_CONN_IDLE && input->size > 0) {
        set_state(conn, SRV_CONN_HEAD);
    }
    if (srv_http_parser_feed(conn->parser, input->data, input->size, &taken, &event) < 0) {
        input->size = 0;
        tell_fault(conn);
        return false;
    }
    input->data += taken;
    input->size -= taken;
    switch (event.kind) {
    case SRV_HTTP_REQUEST:
        if (begin_exchange(conn, event.request) != NULL) {
            srv_exchange_admit(conn->exchange);
        }
        return true;
    case SRV_HTTP_BODY: /* the last of the bytes that were taken: looked at again as a body */
        input->data = event.body.data;
        input->size += event.body.size;
        input->body = event.body.size;
        return true;
    case SRV_HTTP_END:
        end_body(conn->exchange);
        return true;
    case SRV_HTTP_STOPPED:
        input->size = 0;
        break;
    case SRV_HTTP_MORE:
        break;
    }
    return false;
}

/* Takes what is wanted. */
static void pump(struct srv_http_conn *conn, struct input *input) {
    bool more = true;
    conn->hungry = false;
    while (more && wants_bytes(conn)) {
        if (input->body > 0) {
            take_body(conn, input);
        } else {
            more = step(conn, input);
            conn->hungry = !more;
        }
    }
}

static void forget_held(struct srv_http_conn *conn) {
    free(conn->held);
    conn->held = NULL;
    conn->held_bytes = 0;
    conn->held_body = 0;
}

/* Keeps what was not taken. `input` may be a part of what is kept already. */
static void hold(struct srv_http_conn *conn, const struct input *input) {
    if (input->size == 0 || conn->deaf || conn->state == SRV_CONN_CLOSING) {
        forget_held(conn);
        return;
    }
    char *held = conn->held;
    if (held == NULL) {
        held = malloc(input->size);
        if (held == NULL) {
            srv_http_conn_abort(conn);
            return;
        }
    }
    memmove(held, input->data, input->size);
    conn->held = held;
    conn->held_bytes = input->size;
    conn->held_body = input->body;
}

/* The transport may have had a push under way. */
static void hold_more(struct srv_http_conn *conn, const void *data, size_t size) {
    size_t sum = conn->held_bytes + size;
    char *held = sum <= HELD_MAX ? realloc(conn->held, sum) : NULL;
    if (held == NULL) {
        srv_http_conn_abort(conn);
        return;
    }
    memcpy(held + conn->held_bytes, data, size);
    conn->held = held;
    conn->held_bytes = sum;
}

/* ---- output ---- */

static void tell_room(struct srv_http_conn *conn) {
    struct srv_exchange *exchange = conn->exchange;
    if (exchange != NULL && exchange->wants_room && exchange->phase == SRV_PHASE_FLOW &&
        conn->output.queued < SRV_EXCHANGE_QUEUE / 2) {
        exchange->wants_room = false;
        if (exchange->flow->room != NULL) {
            exchange->flow->room(exchange, exchange->user);
        }
    }
}

void srv_http_conn_flush(struct srv_http_conn *conn) {
    if (conn->state == SRV_CONN_CLOSING || srv_output_empty(&conn->output)) {
        return;
    }
    int64_t sent = srv_output_flush(&conn->output, conn->conn);
    if (sent == KN_E_TRUNCATED) {
        kn_log_error("a file is shorter than it was", kn_str("id", conn->exchange->id),
                     kn_str("peer", conn->peer.address));
        srv_http_conn_abort(conn);
    } else if (sent < 0) {
        set_state(conn, SRV_CONN_CLOSING); /* `closed` comes */
    } else if (sent > 0) {
        conn->sent_ns = now_ns(conn);
    }
}

/* ---- what follows ---- */

/* The exchange has left the connection before anybody is told. */
static void release_exchange(struct srv_http_conn *conn) {
    struct srv_exchange *exchange = conn->exchange;
    conn->exchange = NULL;
    exchange->conn = NULL;
    srv_exchange_over(exchange);
    exchange->request = NULL;
    srv_exchange_unref(exchange);
}

/* Whether an answered exchange has come to its end, and what then. */
static bool end_exchange(struct srv_http_conn *conn) {
    struct srv_exchange *exchange = conn->exchange;
    if (exchange == NULL || exchange->phase != SRV_PHASE_ANSWERED) {
        return false;
    }
    if (exchange->response.state == SRV_HTTP_RESPONSE_BROKEN) {
        srv_http_conn_abort(conn);
        return false;
    }
    bool keeps = srv_http_response_keeps(&exchange->response) && !conn->deaf;
    bool reads_on = keeps && !exchange->body_read && exchange->dropped_bytes <= SRV_DROP_MAX;
    if (!srv_output_empty(&conn->output) || reads_on) {
        return false;
    }
    keeps = keeps && exchange->body_read && !conn->lane->draining;
    release_exchange(conn);
    if (keeps) {
        set_state(conn, SRV_CONN_IDLE);
    } else {
        srv_http_conn_finish(conn);
    }
    return keeps;
}

static bool pump_held(struct srv_http_conn *conn) {
    if ((conn->held_bytes == 0 && conn->hungry) || !wants_bytes(conn)) {
        return false;
    }
    struct input input = {conn->held == NULL ? "" : conn->held, conn->held_bytes, conn->held_body};
    pump(conn, &input);
    hold(conn, &input);
    return true;
}

/* The peer sends nothing more, and all it sent was taken. */
static bool hear_end(struct srv_http_conn *conn) {
    if (!conn->ended || conn->held_bytes > 0 || !wants_bytes(conn)) {
        return false;
    }
    if (srv_http_parser_finish(conn->parser) < 0) {
        tell_fault(conn);
        return true;
    }
    srv_http_conn_finish(conn);
    return false;
}

static void settle(struct srv_http_conn *conn) {
    bool more = true;
    while (more && conn->state != SRV_CONN_CLOSING) {
        srv_http_conn_flush(conn);
        tell_room(conn);
        more = conn->state != SRV_CONN_CLOSING &&
               (end_exchange(conn) || pump_held(conn) || hear_end(conn));
    }
    bool receives = conn->state != SRV_CONN_CLOSING && conn->held_bytes == 0 && !conn->deaf;
    if (conn->state != SRV_CONN_CLOSING && receives != conn->receiving) {
        conn->receiving = receives;
        conn->conn->ops->receive(conn->conn, receives);
    }
}

void srv_http_conn_enter(struct srv_http_conn *conn) {
    conn->depth++;
}

void srv_http_conn_leave(struct srv_http_conn *conn) {
    if (conn->depth == 1) {
        settle(conn);
    }
    conn->depth--;
}

void srv_http_conn_touch(struct srv_http_conn *conn) {
    if (conn->depth == 0 && conn->state != SRV_CONN_CLOSING) {
        conn->conn->ops->wake(conn->conn);
    }
}

void srv_http_conn_expect_body(struct srv_http_conn *conn) {
    conn->since_ns = now_ns(conn);
    conn->received_ns = conn->since_ns;
}

void srv_http_conn_time_out(struct srv_http_conn *conn) {
    static const struct srv_http_fault late = {.status = 408, .phrase = "the request is too slow"};
    atomic_fetch_add_explicit(&conn->lane->counts.timeouts, 1, memory_order_relaxed);
    conn->deaf = true;
    if (conn->exchange != NULL && conn->exchange->phase == SRV_PHASE_ANSWERED) {
        srv_http_response_close(&conn->exchange->response); /* the rest is not waited for */
    } else if (conn->exchange != NULL || begin_exchange(conn, NULL) != NULL) {
        srv_exchange_fault(conn->exchange, &late);
    }
}

/* ---- what the transport tells ---- */

struct srv_http_conn *srv_http_conn_open(struct srv_lane *lane, struct srv_conn *transport,
                                         const struct srv_peer *peer) {
    struct srv_http_conn *conn = lane->draining ? NULL : calloc(1, sizeof(*conn));
    if (conn == NULL || srv_http_parser_create(NULL, &conn->parser) != 0) {
        free(conn);
        return NULL;
    }
    conn->conn = transport;
    conn->lane = lane;
    conn->peer = *peer;
    conn->receiving = true;
    conn->hungry = true;
    conn->next = lane->first;
    if (conn->next != NULL) {
        conn->next->prev = conn;
    }
    lane->first = conn;
    lane->open++;
    set_state(conn, SRV_CONN_IDLE);
    conn->received_ns = conn->since_ns;
    conn->sent_ns = conn->since_ns;
    conn->stalled_ns = conn->since_ns;
    return conn;
}

void srv_http_conn_received(void *owner, const void *data, size_t size) {
    struct srv_http_conn *conn = owner;
    if (conn->state == SRV_CONN_CLOSING || conn->deaf) {
        return;
    }
    srv_http_conn_enter(conn);
    conn->received_ns = now_ns(conn);
    conn->section_bytes += size;
    if (conn->held_bytes > 0) {
        hold_more(conn, data, size);
    } else {
        struct input input = {.data = data, .size = size};
        pump(conn, &input);
        hold(conn, &input);
    }
    srv_http_conn_leave(conn);
}

void srv_http_conn_ended(void *owner) {
    struct srv_http_conn *conn = owner;
    srv_http_conn_enter(conn);
    conn->ended = true;
    srv_http_conn_leave(conn);
}

void srv_http_conn_room(void *owner) {
    struct srv_http_conn *conn = owner;
    srv_http_conn_enter(conn);
    srv_http_conn_leave(conn);
}

static void unlink_conn(struct srv_http_conn *conn) {
    if (conn->prev != NULL) {
        conn->prev->next = conn->next;
    } else {
        conn->lane->first = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->prev = conn->prev;
    }
}

void srv_http_conn_closed(void *owner) {
    struct srv_http_conn *conn = owner;
    struct srv_exchange *exchange = conn->exchange;
    unlink_conn(conn);
    set_state(conn, SRV_CONN_CLOSING);
    if (exchange != NULL) {
        exchange->parser = conn->parser; /* its request stands there */
        exchange->conn = NULL;
        if (exchange->phase != SRV_PHASE_DOOR && exchange->phase != SRV_PHASE_WORK) {
            srv_exchange_over(exchange);
        }
        srv_exchange_unref(exchange);
    } else {
        srv_http_parser_destroy(conn->parser);
    }
    srv_output_finish(&conn->output);
    forget_held(conn);
    free(conn);
}
