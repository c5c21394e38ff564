/* Metrics of the HTTP server and of who was let in. */
#include "server/api/metrics.h"
#include "server/world.h"

/* ---- routes ---- */

static void write_requests(struct srv_metrics *metrics, struct srv_http_server *http) {
    static const char *const classes[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    const struct srv_router *router = srv_http_server_router(http);
    const struct srv_route *route = NULL;
    srv_metrics_family(metrics, "kinora_http_requests_total", SRV_METRIC_COUNTER,
                       "Answers, by route and class of their status.");
    for (size_t at = 0; (route = srv_router_row(router, at)) != NULL; at++) {
        struct srv_route_stats stats = srv_http_server_route_stats(http, at);
        for (size_t i = 2; i < KN_COUNT(classes); i++) {
            const struct srv_label labels[] = {{"route", route->name}, {"code", classes[i]}};
            srv_metrics_u64(metrics, labels, KN_COUNT(labels), stats.by_status[i]);
        }
    }
}

static void write_latencies(struct srv_metrics *metrics, struct srv_http_server *http) {
    const struct srv_router *router = srv_http_server_router(http);
    const struct srv_route *route = NULL;
    srv_metrics_family(metrics, "kinora_http_request_seconds", SRV_METRIC_HISTOGRAM,
                       "From a request's head to its answer sent, but of answers that go on.");
    for (size_t at = 0; (route = srv_router_row(router, at)) != NULL; at++) {
        const struct srv_label label = {"route", route->name};
        struct srv_route_stats stats = srv_http_server_route_stats(http, at);
        srv_metrics_buckets(metrics, &label, 1, srv_latency_seconds, stats.latency,
                            SRV_LATENCY_BUCKETS, stats.latency_sum_ns);
    }
}

static void write_bodies(struct srv_metrics *metrics, struct srv_http_server *http, bool sent) {
    const struct srv_router *router = srv_http_server_router(http);
    const struct srv_route *route = NULL;
    srv_metrics_family(
        metrics,
        sent ? "kinora_http_body_sent_bytes_total" : "kinora_http_body_received_bytes_total",
        SRV_METRIC_COUNTER, sent ? "Bytes of answers' bodies." : "Bytes of requests' bodies.");
    for (size_t at = 0; (route = srv_router_row(router, at)) != NULL; at++) {
        const struct srv_label label = {"route", route->name};
        struct srv_route_stats stats = srv_http_server_route_stats(http, at);
        srv_metrics_u64(metrics, &label, 1, sent ? stats.sent_bytes : stats.received_bytes);
    }
}

/* ---- the server as a whole ---- */

static void write_refused(struct srv_metrics *metrics, const struct srv_http_stats *stats) {
    static const char *const statuses[] = {"401", "403", "429"};
    srv_metrics_family(metrics, "kinora_http_faults_total", SRV_METRIC_COUNTER,
                       "Requests that were no right HTTP, by reason.");
    for (unsigned kind = SRV_HTTP_FINE + 1;
         kind <= SRV_HTTP_NO_MEMORY && kind < KN_COUNT(stats->faults); kind++) {
        const struct srv_label label = {"reason",
                                        srv_http_fault_name((enum srv_http_fault_kind)kind)};
        srv_metrics_u64(metrics, &label, 1, stats->faults[kind]);
    }
    srv_metrics_family(metrics, "kinora_http_denied_total", SRV_METRIC_COUNTER,
                       "Requests that were not allowed, by status.");
    for (size_t i = 0; i < KN_COUNT(statuses); i++) {
        const struct srv_label label = {"code", statuses[i]};
        srv_metrics_u64(metrics, &label, 1, stats->denied[i]);
    }
}

static void write_now(struct srv_metrics *metrics, const struct srv_http_stats *stats) {
    srv_metrics_gauge(metrics, "kinora_http_connections", stats->transport.connections,
                      "Connections now.");
    srv_metrics_gauge(metrics, "kinora_http_connections_most", stats->transport.most_connections,
                      "The most there were at once.");
    srv_metrics_gauge(metrics, "kinora_http_requests_open", stats->requests_open,
                      "Requests that are being answered.");
    srv_metrics_gauge(metrics, "kinora_http_flows_open", stats->flows_open,
                      "Answers that go on, such as events.");
    srv_metrics_gauge(metrics, "kinora_http_workers_busy", stats->workers_busy,
                      "Workers that work.");
    srv_metrics_gauge(metrics, "kinora_http_worker_queue", stats->worker_queue,
                      "Requests that wait for a worker.");
}

static void write_counts(struct srv_metrics *metrics, const struct srv_http_stats *stats) {
    srv_metrics_counter(metrics, "kinora_http_timeouts_total", stats->timeouts,
                        "Requests that came too slowly.");
    srv_metrics_counter(metrics, "kinora_http_busy_total", stats->busy,
                        "Requests refused because too many waited for a worker.");
    srv_metrics_counter(metrics, "kinora_http_log_lines_lost_total", stats->log_lines_lost,
                        "Lines of the request log that could not be written.");
    srv_metrics_counter(metrics, "kinora_transport_accepted_total", stats->transport.accepted,
                        "Connections accepted.");
    srv_metrics_counter(metrics, "kinora_transport_refused_total",
                        stats->transport.refused_per_address,
                        "Connections closed because their address had too many.");
    srv_metrics_counter(metrics, "kinora_transport_failed_handshakes_total",
                        stats->transport.failed_handshakes, "TLS handshakes that failed.");
    srv_metrics_counter(metrics, "kinora_transport_failed_accepts_total",
                        stats->transport.failed_accepts,
                        "Connections that could not be accepted for want of memory or "
                        "descriptors.");
    srv_metrics_counter(metrics, "kinora_transport_received_bytes_total",
                        stats->transport.received_bytes, "Bytes received.");
    srv_metrics_counter(metrics, "kinora_transport_sent_bytes_total", stats->transport.sent_bytes,
                        "Bytes sent.");
}

static void write_gate(struct srv_metrics *metrics, struct srv_gate *gate) {
    struct srv_gate_stats stats = srv_gate_stats(gate);
    srv_metrics_gauge(metrics, "kinora_auth_open", srv_gate_is_open(gate),
                      "1: nobody has credentials, this machine may do everything.");
    srv_metrics_counter(metrics, "kinora_auth_allowed_total", stats.fine, "Requests let in.");
    srv_metrics_counter(metrics, "kinora_auth_refused_total", stats.refused, "Requests refused.");
    srv_metrics_counter(metrics, "kinora_auth_signatures_total", stats.signatures,
                        "Signatures checked.");
    srv_metrics_counter(metrics, "kinora_auth_passwords_hashed_total", stats.passwords_hashed,
                        "Passwords hashed, at 0.2 s each.");
    srv_metrics_counter(metrics, "kinora_auth_passwords_remembered_total",
                        stats.passwords_remembered, "Passwords that needed no hashing again.");
    srv_metrics_counter(metrics, "kinora_auth_too_many_total", stats.too_many,
                        "Attempts refused because their address had too many.");
}

void srv_metrics_http(struct srv_metrics *metrics, struct srv_world *world) {
    struct srv_http_stats stats = srv_http_server_stats(world->http);
    write_now(metrics, &stats);
    write_counts(metrics, &stats);
    write_refused(metrics, &stats);
    write_gate(metrics, world->gate);
    write_requests(metrics, world->http);
    write_bodies(metrics, world->http, false);
    write_bodies(metrics, world->http, true);
    write_latencies(metrics, world->http);
}
