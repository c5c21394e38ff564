/* What belongs to one loop, and how other threads come back to it: they put the exchange on a stack
 * without a lock, and ring. Nothing is allocated and nothing is bounded on that way, so an answer
 * cannot get lost; an exchange is on the stack once at most. */
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "server/auth/digest.h"
#include "server/exchange/inner.h"

const double srv_latency_seconds[SRV_LATENCY_BUCKETS] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, INFINITY};

int srv_lane_create(const struct srv_engine *engine, void *door, struct srv_lane **ret_lane) {
    uint64_t ids[2];
    int rc = srv_random(ids, sizeof(ids));
    if (rc != 0) {
        return rc;
    }
    struct srv_lane *lane = calloc(1, sizeof(*lane));
    struct srv_route_counts *routes = calloc(engine->rows + 1, sizeof(*routes));
    if (lane == NULL || routes == NULL) {
        free(lane);
        free(routes);
        return -ENOMEM;
    }
    atomic_init(&lane->refs, 1);
    atomic_init(&lane->posted, NULL);
    atomic_init(&lane->over, false);
    lane->engine = engine;
    lane->door = door;
    lane->routes = routes;
    lane->ids[0] = ids[0];
    lane->ids[1] = ids[1];
    lane->date_s = -1;
    *ret_lane = lane;
    return 0;
}

void srv_lane_unref(struct srv_lane *lane) {
    if (lane != NULL && atomic_fetch_sub_explicit(&lane->refs, 1, memory_order_acq_rel) == 1) {
        kn_inbox_unref(lane->bell);
        free(lane->routes);
        free(lane);
    }
}

const char *srv_lane_date(struct srv_lane *lane) {
    struct kn_wall now = lane->engine->clock->wall(lane->engine->clock);
    int64_t second = now.ns / KN_NS_PER_S;
    if (second != lane->date_s && now.ns >= 0) {
        lane->date_s = second;
        (void)srv_http_date_format(now, lane->date);
    }
    return lane->date;
}

/* ---- from other threads ---- */

static struct srv_exchange *take_all(struct srv_lane *lane) {
    struct srv_exchange *last = atomic_exchange(&lane->posted, NULL);
    struct srv_exchange *first = NULL;
    while (last != NULL) { /* the oldest one first */
        struct srv_exchange *next = last->next_posted;
        last->next_posted = first;
        first = last;
        last = next;
    }
    return first;
}

static void drop_all(struct srv_lane *lane) {
    struct srv_exchange *exchange = take_all(lane);
    while (exchange != NULL) {
        struct srv_exchange *next = exchange->next_posted;
        srv_exchange_unref(exchange);
        exchange = next;
    }
}

/* Takes a reference of the exchange. The bell holds one ring: who finds it full knows that the loop
 * has yet to look. */
void srv_lane_push(struct srv_lane *lane, struct srv_exchange *exchange) {
    atomic_fetch_add(&lane->refs, 1); /* the exchange's own may be gone once it is pushed */
    struct srv_exchange *before = atomic_load(&lane->posted);
    do {
        exchange->next_posted = before;
    } while (!atomic_compare_exchange_weak(&lane->posted, &before, exchange));
    if (atomic_load(&lane->over)) {
        drop_all(lane);
    } else if (before == NULL && lane->bell != NULL) {
        (void)kn_inbox_send(lane->bell, lane, 0); /* full is as good, closed is over */
    }
    srv_lane_unref(lane);
}

static void wake_flow(struct srv_exchange *exchange) {
    struct srv_http_conn *conn = exchange->conn;
    if (conn == NULL || exchange->phase != SRV_PHASE_FLOW || exchange->flow->wake == NULL) {
        return;
    }
    srv_http_conn_enter(conn);
    exchange->flow->wake(exchange, exchange->user);
    srv_http_conn_leave(conn);
}

static void finish_work(struct srv_exchange *exchange) {
    exchange->work = NULL;
    if (exchange->over_waits) {
        srv_exchange_over(exchange);
    }
}

static void heed(struct srv_exchange *exchange) {
    unsigned posts = atomic_fetch_and_explicit(
        &exchange->posts, ~(unsigned)(SRV_POST_WAKE | SRV_POST_BACK), memory_order_acq_rel);
    if ((posts & SRV_POST_BACK) != 0 && exchange->work != NULL) {
        finish_work(exchange);
        posts |= SRV_POST_WAKE;
        srv_exchange_unref(exchange); /* the worker's */
    } else if ((posts & SRV_POST_BACK) != 0) {
        srv_exchange_come_back(exchange);
        srv_exchange_unref(exchange); /* the worker's */
    }
    if ((posts & SRV_POST_WAKE) != 0) {
        wake_flow(exchange);
    }
    srv_exchange_unref(exchange); /* the stack's */
}

void srv_lane_turn(struct srv_lane *lane) {
    struct srv_exchange *exchange = take_all(lane);
    while (exchange != NULL) {
        struct srv_exchange *next = exchange->next_posted; /* it may be posted again while heeded */
        heed(exchange);
        exchange = next;
    }
}

void srv_lane_end(struct srv_lane *lane) {
    srv_lane_turn(lane);
    atomic_store(&lane->over, true);
    drop_all(lane);
}
