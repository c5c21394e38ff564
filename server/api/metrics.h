/* Inner: the parts of /metrics. Each writes families of its own; they block for short locks at most
 * (and _process for reading /proc). */
#ifndef SERVER_API_METRICS_H
#define SERVER_API_METRICS_H

#include "server/api/metrics_text.h"

struct frag_store_stats;
struct srv_world;

/* 0 or -ENOMEM. */
KN_MUST_CHECK int srv_metrics_streams(struct srv_metrics *metrics, struct srv_world *world);
void srv_metrics_store(struct srv_metrics *metrics, struct srv_world *world);
void srv_metrics_http(struct srv_metrics *metrics, struct srv_world *world);
void srv_metrics_process(struct srv_metrics *metrics, const struct srv_world *world);

/* For the parts: one sample without labels as a family of its own. */
static inline void srv_metrics_counter(struct srv_metrics *metrics, const char *name,
                                       uint64_t value, const char *help) {
    srv_metrics_family(metrics, name, SRV_METRIC_COUNTER, help);
    srv_metrics_u64(metrics, NULL, 0, value);
}

static inline void srv_metrics_gauge(struct srv_metrics *metrics, const char *name, uint64_t value,
                                     const char *help) {
    srv_metrics_family(metrics, name, SRV_METRIC_GAUGE, help);
    srv_metrics_u64(metrics, NULL, 0, value);
}

#endif
