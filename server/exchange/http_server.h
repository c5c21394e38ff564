/* HTTP/1.1 over a transport: connections, their time limits, workers, the request log, draining.
 *
 *     srv_http_server_start -> ... -> srv_http_server_drain -> srv_http_server_stop */
#ifndef SERVER_EXCHANGE_HTTP_SERVER_H
#define SERVER_EXCHANGE_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/loop.h"
#include "server/config/config.h"
#include "server/exchange/routes.h"
#include "server/transport/transport.h"

struct srv_world;

struct srv_http_times {
    int64_t head_ns;  /* a request's head is complete so long after its first byte. 10 s */
    int64_t body_ns;  /* pause within a body. 60 s */
    int64_t write_ns; /* the peer takes nothing of an answer. 30 s */
    int64_t idle_ns;  /* no request on a kept connection. 60 s */
    int64_t drain_ns; /* from srv_http_server_drain to breaking off. 10 s */
    /* Least pace of a head and of a body that a worker waits for: 240 bytes/s on average behind the
     * first 5 s; below it 408. */
    uint64_t least_bytes_per_s;
};

struct srv_http_server_config {
    struct srv_world *world;
    struct srv_transport_config transport; /* without loops, handler and user */
    size_t loops;                          /* 0: one a processor, at most 4 */
    size_t workers;                        /* threads for what blocks. 4 */
    size_t queue;                          /* requests that wait for one; more: 503. 1,024 */
    struct srv_http_times times;
    uint64_t body_bytes;                /* of routes that say none. 1 MiB */
    enum srv_log_requests log_requests; /* SRV_LOG_FAILED: from status 400 on. SRV_LOG_ALL */
    const char *log_file;               /* NULL: standard error */
    const struct srv_routes *const *routes;
    size_t route_tables;
};

struct srv_http_server_config srv_http_server_config_defaults(void);

struct srv_http_server;

/* Blocks. As srv_transport_open. */
KN_MUST_CHECK int srv_http_server_start(const struct srv_http_server_config *config,
                                        struct srv_http_server **ret_server,
                                        char problem[static SRV_PROBLEM_BYTES]);
/* Blocks until all requests are answered, or drain_ns is over: no new connections; idle ones close;
 * flows are told. */
void srv_http_server_drain(struct srv_http_server *server);
/* Drains if that was not done, breaks off what is left, joins all threads, frees. NULL is fine. */
void srv_http_server_stop(struct srv_http_server *server);

struct srv_transport *srv_http_server_transport(struct srv_http_server *server);
/* Its first loop, for timers and subscriptions of the server's own. */
struct kn_loop *srv_http_server_loop(struct srv_http_server *server);
const struct srv_router *srv_http_server_router(const struct srv_http_server *server);
/* Every loop ran a task within `ns`, and a worker took one. Blocks at most so long; for the
 * watchdog. Not for loop threads. */
bool srv_http_server_answers(struct srv_http_server *server, int64_t ns);

/* Changes the log of requests, or (both as they were) opens its file again, which somebody has
 * moved away. Blocks. On failure all stays as it was. Any thread but a loop's. */
KN_MUST_CHECK int srv_http_server_log(struct srv_http_server *server, enum srv_log_requests mode,
                                      const char *path);

#define SRV_LATENCY_BUCKETS 12u
/* Upper ends in seconds; the last one is infinite. */
extern const double srv_latency_seconds[SRV_LATENCY_BUCKETS];

struct srv_route_stats {
    uint64_t by_status[6]; /* 1xx to 5xx at 1 to 5 */
    /* Of answers that are no flows, from head complete to sent; not cumulative. */
    uint64_t latency[SRV_LATENCY_BUCKETS];
    uint64_t latency_sum_ns;             /* of all of them */
    uint64_t received_bytes, sent_bytes; /* of bodies */
};

struct srv_http_stats {
    struct srv_transport_stats transport;
    size_t requests_open, flows_open, workers_busy, worker_queue;
    uint64_t requests, faults[32]; /* by enum srv_http_fault_kind */
    uint64_t denied[3];            /* 401, 403, 429 */
    uint64_t timeouts, busy;       /* 408; 503 because the workers' queue was full */
    uint64_t log_lines_lost;
};
/* Any thread. */
struct srv_http_stats srv_http_server_stats(struct srv_http_server *server);
struct srv_route_stats srv_http_server_route_stats(struct srv_http_server *server, size_t at);

#endif
