/* /healthz and /metrics. */
#include "server/api/metrics.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "server/api/api.h"
#include "server/events.h"
#include "server/exchange/exchange.h"
#include "server/world.h"

/* 10,000 streams with names of usual length take about 30 MB. Room doubles while it grows, in pages
 * that are moved, not copied. */
#define METRICS_BYTES ((size_t)48 << 20)
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* For whoever asks: that something is wrong, and which kind of thing; no names and no numbers. */
static void handle_health(struct srv_exchange *exchange) {
    const char *problem = srv_events_health(srv_exchange_world(exchange)->events);
    srv_answer_field(exchange, "Cache-Control", "no-store");
    if (problem == NULL) {
        srv_answer_json(exchange, 200, json_pack("{s:s}", "status", "ok"));
    } else {
        srv_answer_json(exchange, 503,
                        json_pack("{s:s, s:s}", "status", "failing", "reason", problem));
    }
}

static int write_all(struct srv_metrics *metrics, struct srv_world *world) {
    srv_metrics_process(metrics, world);
    srv_metrics_gauge(metrics, "kinora_healthy", srv_events_health(world->events) == NULL,
                      "1: the server as a whole is well, as /healthz says.");
    srv_metrics_store(metrics, world);
    if (world->http != NULL) {
        srv_metrics_http(metrics, world);
    }
    return srv_metrics_streams(metrics, world);
}

static void handle_metrics(struct srv_exchange *exchange) {
    struct srv_metrics metrics;
    struct kn_buffer *text = NULL;
    srv_metrics_init(&metrics, METRICS_BYTES);
    int rc = write_all(&metrics, srv_exchange_world(exchange));
    rc = rc < 0 ? rc : srv_metrics_take(&metrics, &text);
    srv_metrics_finish(&metrics);
    if (rc < 0) {
        srv_answer_failure(exchange, rc, "metrics");
        return;
    }
    srv_answer_field(exchange, "Cache-Control", "no-store");
    srv_answer_buffer(exchange, 200, METRICS_TYPE, text);
}

static const struct srv_route rows[] = {
    {.name = "Health",
     .method = SRV_HTTP_GET,
     .path = "/healthz",
     .access = SRV_OPEN,
     .body = SRV_NO_BODY,
     .on_loop = true,
     .handle = handle_health},
    {.name = "Metrics",
     .method = SRV_HTTP_GET,
     .path = "/metrics",
     .access = SRV_ON_ALL,
     .action = SRV_ACTION_LIST,
     .body = SRV_NO_BODY,
     .handle = handle_metrics},
};

const struct srv_routes srv_metrics_routes = {.rows = rows, .count = KN_COUNT(rows)};
