/* Answers that go on: on the loop. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "server/exchange/inner.h"

static bool is_gone(const struct srv_exchange *exchange) {
    return exchange->conn == NULL || exchange->conn->state == SRV_CONN_CLOSING ||
           exchange->phase == SRV_PHASE_ANSWERED;
}

/* Within a call of ours what was sent goes together when that ends, unless it is much; what the
 * transport does not take goes when there is room. */
static void push(struct srv_exchange *exchange) {
    if (exchange->conn->depth == 0 || exchange->conn->output.queued >= SRV_EXCHANGE_QUEUE / 2) {
        srv_http_conn_flush(exchange->conn);
    }
    if (!is_gone(exchange) && exchange->conn->output.queued >= SRV_EXCHANGE_QUEUE / 2) {
        exchange->wants_room = true;
    }
}

void srv_exchange_go_on(struct srv_exchange *exchange, const struct srv_flow *flow, void *user) {
    char room[64];
    struct kn_writer writer;
    KN_ASSERT(exchange->phase == SRV_PHASE_HEAD && flow->closed != NULL);
    exchange->flow = flow;
    exchange->user = user;
    exchange->phase = SRV_PHASE_FLOW;
    atomic_fetch_add_explicit(&exchange->lane->counts.flows_open, 1, memory_order_relaxed);
    if (exchange->match.route->body == SRV_BODY_FLOW && !exchange->head_written) {
        kn_writer_init(&writer, room, sizeof(room));
        if (srv_http_response_continue(&exchange->response, &writer) != 0 ||
            srv_output_copy(&exchange->conn->output, room, writer.size) != 0) {
            srv_exchange_break(exchange);
        }
    }
    if (exchange->conn != NULL && !exchange->body_read) {
        srv_http_conn_expect_body(exchange->conn);
    }
}

void *srv_exchange_user(const struct srv_exchange *exchange) {
    return exchange->user;
}

struct kn_loop *srv_exchange_loop(const struct srv_exchange *exchange) {
    return exchange->lane->loop;
}

void srv_exchange_read_on(struct srv_exchange *exchange) {
    if (exchange->paused && exchange->conn != NULL) {
        exchange->paused = false;
        srv_http_conn_touch(exchange->conn);
    }
}

int srv_exchange_begin(struct srv_exchange *exchange, int status, const char *type,
                       uint64_t length) {
    struct srv_answer *answer = &exchange->answer;
    KN_ASSERT(exchange->phase != SRV_PHASE_WORK && !exchange->head_written);
    if (is_gone(exchange)) {
        return KN_E_CLOSED;
    }
    size_t size = type == NULL ? 0 : strlen(type);
    KN_ASSERT(size < sizeof(answer->type));
    memcpy(answer->type, type == NULL ? "" : type, size + 1);
    answer->status = status;
    int rc = answer->no_memory ? -ENOMEM : srv_exchange_write_head(exchange, length);
    srv_answer_finish(answer);
    if (rc != 0) {
        srv_exchange_break(exchange);
        return rc;
    }
    push(exchange);
    return 0;
}

/* ---- what blocks ---- */

static void run_work(struct srv_job *job, struct srv_worker *worker) {
    struct srv_exchange *exchange =
        (struct srv_exchange *)((char *)job - offsetof(struct srv_exchange, job));
    if (worker != NULL) {
        exchange->worker = worker;
        exchange->work(exchange, exchange->user);
        exchange->worker = NULL;
    }
    srv_exchange_post(exchange, SRV_POST_BACK);
}

int srv_exchange_work(struct srv_exchange *exchange,
                      void (*work)(struct srv_exchange *exchange, void *user)) {
    KN_ASSERT(exchange->work == NULL);
    if (is_gone(exchange)) {
        return KN_E_CLOSED;
    }
    exchange->work = work;
    exchange->job.run = run_work;
    (void)srv_exchange_ref(exchange); /* the worker's, until it comes back */
    int rc = srv_workers_give(exchange->engine->workers, &exchange->job);
    if (rc != 0) {
        exchange->work = NULL;
        srv_exchange_unref(exchange);
        atomic_fetch_add_explicit(&exchange->lane->counts.busy, 1, memory_order_relaxed);
    }
    return rc;
}

bool srv_exchange_works(const struct srv_exchange *exchange) {
    return exchange->work != NULL;
}

/* ---- sending ---- */

/* Whether there is room; 0 or a failure. */
static int look_for_room(struct srv_exchange *exchange) {
    KN_ASSERT(exchange->head_written || is_gone(exchange));
    if (is_gone(exchange)) {
        return KN_E_CLOSED;
    }
    if (exchange->conn->output.queued >= SRV_EXCHANGE_QUEUE) {
        srv_http_conn_flush(exchange->conn);
    }
    if (exchange->conn->output.queued >= SRV_EXCHANGE_QUEUE) {
        exchange->wants_room = true;
        return KN_E_LIMIT;
    }
    return is_gone(exchange) ? KN_E_CLOSED : 0;
}

/* A piece that is half in the queue cannot be taken out of it. */
static int sent(struct srv_exchange *exchange, int rc) {
    if (rc != 0) {
        srv_exchange_break(exchange);
        return rc;
    }
    push(exchange);
    return 0;
}

static int copy_framed(struct srv_output *output, const struct srv_http_frame *frame,
                       const void *data, size_t size) {
    int rc = srv_output_copy(output, frame->before, frame->before_bytes);
    if (rc == 0) {
        rc = srv_output_copy(output, data, size);
    }
    return rc == 0 ? srv_output_copy(output, frame->after, frame->after_bytes) : rc;
}

int srv_exchange_send(struct srv_exchange *exchange, const void *data, size_t size) {
    struct srv_http_frame frame;
    int rc = look_for_room(exchange);
    if (rc != 0) {
        return rc;
    }
    rc = srv_http_response_frame(&exchange->response, size, &frame);
    if (rc == 0 && frame.send) {
        rc = copy_framed(&exchange->conn->output, &frame, data, size);
    }
    return sent(exchange, rc);
}

int srv_exchange_send_buffer(struct srv_exchange *exchange, struct kn_buffer *buffer) {
    struct srv_http_frame frame;
    int rc = look_for_room(exchange);
    if (rc != 0) {
        return rc;
    }
    rc = srv_http_response_frame(&exchange->response, buffer->size, &frame);
    if (rc == 0 && frame.send) {
        rc = srv_output_buffer(&exchange->conn->output, frame.before, frame.before_bytes,
                               kn_buffer_ref(buffer), frame.after, frame.after_bytes);
    }
    return sent(exchange, rc);
}

size_t srv_exchange_queued(const struct srv_exchange *exchange) {
    return exchange->conn == NULL ? 0 : exchange->conn->output.queued;
}

/* ---- its end ---- */

void srv_exchange_end(struct srv_exchange *exchange) {
    char room[16];
    struct kn_writer writer;
    if (is_gone(exchange)) {
        return;
    }
    KN_ASSERT(exchange->work == NULL);
    kn_writer_init(&writer, room, sizeof(room));
    if (srv_http_response_end(&exchange->response, &writer) != 0 ||
        srv_output_copy(&exchange->conn->output, room, writer.size) != 0) {
        srv_http_response_break(&exchange->response);
    }
    exchange->phase = SRV_PHASE_ANSWERED;
    exchange->dropped_bytes = 0;
    srv_http_conn_expect_body(exchange->conn);
    srv_http_conn_touch(exchange->conn);
}

void srv_exchange_close_behind(struct srv_exchange *exchange) {
    srv_http_response_close(&exchange->response);
}

void srv_exchange_break(struct srv_exchange *exchange) {
    if (!is_gone(exchange)) {
        srv_http_response_break(&exchange->response);
        exchange->phase = SRV_PHASE_ANSWERED;
        srv_http_conn_touch(exchange->conn);
    }
}

void srv_exchange_idle_limit(struct srv_exchange *exchange, int64_t ns) {
    exchange->idle_ns = ns;
}
