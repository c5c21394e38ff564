/* Inner: Prometheus' text format 0.0.4, into memory that grows up to a bound. Pure.
 *
 *     srv_metrics_init
 *     srv_metrics_family -> srv_metrics_u64, _real, _buckets ...      once for each name
 *     srv_metrics_take
 *
 * A family for which there is no room is left out whole, so the text is right however much there is
 * to tell; how many were left out stands at its end. */
#ifndef SERVER_API_METRICS_TEXT_H
#define SERVER_API_METRICS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/buffer.h"

enum srv_metric_kind { SRV_METRIC_COUNTER, SRV_METRIC_GAUGE, SRV_METRIC_HISTOGRAM };

struct srv_metrics {
    char *data;
    size_t size, room, max;
    const char *name;  /* of the family being written; NULL: none */
    size_t family_at;  /* where it begins */
    bool full;         /* it has no room */
    unsigned left_out; /* families */
};

struct srv_label {
    const char *name;
    const char *value; /* any text; what is no UTF-8 becomes '?' */
};

/* All of it takes at most `max_bytes`. */
void srv_metrics_init(struct srv_metrics *metrics, size_t max_bytes);
void srv_metrics_finish(struct srv_metrics *metrics);
/* The text as a buffer without a copy, and an empty writer. 0 or -ENOMEM. */
KN_MUST_CHECK int srv_metrics_take(struct srv_metrics *metrics, struct kn_buffer **ret_buffer);

/* `name` and `help` are literals: a name of [a-z_], a line. Its samples follow. */
void srv_metrics_family(struct srv_metrics *metrics, const char *name, enum srv_metric_kind kind,
                        const char *help);
/* Names of labels are literals too. */
void srv_metrics_u64(struct srv_metrics *metrics, const struct srv_label *labels, size_t count,
                     uint64_t value);
void srv_metrics_real(struct srv_metrics *metrics, const struct srv_label *labels, size_t count,
                      double value);
/* `counts` of each bucket alone, by its upper end; the last end is infinite. */
void srv_metrics_buckets(struct srv_metrics *metrics, const struct srv_label *labels, size_t count,
                         const double *ends, const uint64_t *counts, size_t buckets,
                         uint64_t sum_ns);

#endif
