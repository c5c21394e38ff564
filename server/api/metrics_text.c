#include "server/api/metrics_text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define FIRST_BYTES ((size_t)64 << 10)
#define END_BYTES 256u /* kept free for the last family */
#define NUMBER_BYTES 40u

void srv_metrics_init(struct srv_metrics *metrics, size_t max_bytes) {
    *metrics = (struct srv_metrics){.max = max_bytes};
}

void srv_metrics_finish(struct srv_metrics *metrics) {
    free(metrics->data);
    *metrics = (struct srv_metrics){.max = metrics->max};
}

/* ---- room ---- */

static bool grow(struct srv_metrics *metrics, size_t wanted) {
    size_t room = metrics->room == 0 ? FIRST_BYTES : metrics->room;
    while (room < wanted) {
        room *= 2;
    }
    room = room < metrics->max ? room : metrics->max;
    char *data = realloc(metrics->data, room);
    if (data == NULL) {
        return false;
    }
    metrics->data = data;
    metrics->room = room;
    return true;
}

static void add(struct srv_metrics *metrics, const char *text, size_t size) {
    size_t most = metrics->max > END_BYTES ? metrics->max - END_BYTES : 0;
    if (metrics->full || size > most || metrics->size > most - size ||
        (metrics->size + size > metrics->room && !grow(metrics, metrics->size + size))) {
        metrics->full = true;
        return;
    }
    memcpy(metrics->data + metrics->size, text, size);
    metrics->size += size;
}

static void add_text(struct srv_metrics *metrics, const char *text) {
    add(metrics, text, strlen(text));
}

static void end_family(struct srv_metrics *metrics) {
    if (metrics->name != NULL && metrics->full) {
        metrics->size = metrics->family_at;
        metrics->left_out++;
    }
    metrics->name = NULL;
    metrics->full = false;
}

/* ---- families and samples ---- */

static const char *const kinds[] = {
    [SRV_METRIC_COUNTER] = "counter",
    [SRV_METRIC_GAUGE] = "gauge",
    [SRV_METRIC_HISTOGRAM] = "histogram",
};

void srv_metrics_family(struct srv_metrics *metrics, const char *name, enum srv_metric_kind kind,
                        const char *help) {
    end_family(metrics);
    metrics->name = name;
    metrics->family_at = metrics->size;
    const char *const parts[] = {"# HELP ", name, " ",         help, "\n# TYPE ",
                                 name,      " ",  kinds[kind], "\n"};
    for (size_t i = 0; i < KN_COUNT(parts); i++) {
        add_text(metrics, parts[i]);
    }
}

/* Whole characters as they are; backslash, quote and line end escaped. */
static void add_value(struct srv_metrics *metrics, const char *value) {
    size_t left = strlen(value);
    while (left > 0) {
        size_t size = kn_text_character(value, left);
        if (*value == '\\' || *value == '"') {
            add_text(metrics, *value == '"' ? "\\\"" : "\\\\");
        } else if (*value == '\n') {
            add_text(metrics, "\\n");
        } else if (size == 0) {
            add_text(metrics, "?");
        } else {
            add(metrics, value, size);
        }
        size = size > 0 ? size : 1;
        value += size;
        left -= size;
    }
}

static void add_label(struct srv_metrics *metrics, const char *before, const char *name,
                      const char *value) {
    add_text(metrics, before);
    add_text(metrics, name);
    add_text(metrics, "=\"");
    add_value(metrics, value);
    add_text(metrics, "\"");
}

/* `le` NULL: none. */
static void add_sample(struct srv_metrics *metrics, const char *suffix,
                       const struct srv_label *labels, size_t count, const char *le,
                       const char *value) {
    add_text(metrics, metrics->name);
    add_text(metrics, suffix);
    for (size_t i = 0; i < count; i++) {
        add_label(metrics, i == 0 ? "{" : ",", labels[i].name, labels[i].value);
    }
    if (le != NULL) {
        add_label(metrics, count == 0 ? "{" : ",", "le", le);
    }
    add_text(metrics, count > 0 || le != NULL ? "} " : " ");
    add_text(metrics, value);
    add_text(metrics, "\n");
}

static const char *u64_text(uint64_t value, char text[static NUMBER_BYTES]) {
    (void)snprintf(text, NUMBER_BYTES, "%" PRIu64, value);
    return text;
}

static const char *real_text(double value, char text[static NUMBER_BYTES]) {
    if (isfinite(value)) {
        (void)snprintf(text, NUMBER_BYTES, "%.15g", value);
    } else {
        (void)snprintf(text, NUMBER_BYTES, "%s",
                       isnan(value) ? "NaN"
                       : value > 0  ? "+Inf"
                                    : "-Inf");
    }
    return text;
}

void srv_metrics_u64(struct srv_metrics *metrics, const struct srv_label *labels, size_t count,
                     uint64_t value) {
    char text[NUMBER_BYTES];
    add_sample(metrics, "", labels, count, NULL, u64_text(value, text));
}

void srv_metrics_real(struct srv_metrics *metrics, const struct srv_label *labels, size_t count,
                      double value) {
    char text[NUMBER_BYTES];
    add_sample(metrics, "", labels, count, NULL, real_text(value, text));
}

void srv_metrics_buckets(struct srv_metrics *metrics, const struct srv_label *labels, size_t count,
                         const double *ends, const uint64_t *counts, size_t buckets,
                         uint64_t sum_ns) {
    char text[NUMBER_BYTES], end[NUMBER_BYTES];
    uint64_t all = 0;
    for (size_t i = 0; i < buckets; i++) {
        all += counts[i];
        add_sample(metrics, "_bucket", labels, count, real_text(ends[i], end), u64_text(all, text));
    }
    add_sample(metrics, "_sum", labels, count, NULL, real_text((double)sum_ns / 1e9, text));
    add_sample(metrics, "_count", labels, count, NULL, u64_text(all, text));
}

/* ---- the whole ---- */

static void add_end(struct srv_metrics *metrics) {
    end_family(metrics);
    size_t max = metrics->max;
    metrics->max += END_BYTES; /* what was kept free */
    srv_metrics_family(metrics, "kinora_metrics_left_out", SRV_METRIC_GAUGE,
                       "Families that are not here because the text would be too large.");
    srv_metrics_u64(metrics, NULL, 0, metrics->left_out);
    end_family(metrics);
    metrics->max = max;
}

int srv_metrics_take(struct srv_metrics *metrics, struct kn_buffer **ret_buffer) {
    add_end(metrics);
    if (metrics->data == NULL) {
        return -ENOMEM;
    }
    int rc = kn_buffer_wrap(NULL, metrics->data, metrics->size, free, metrics->data, ret_buffer);
    if (rc == 0) {
        metrics->data = NULL;
    }
    srv_metrics_finish(metrics);
    return rc;
}
