/* Metrics of each stream: first a row of numbers for each, then family by family. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/metrics.h"
#include "server/live.h"
#include "server/sources.h"
#include "server/world.h"

struct row {
    const char *name; /* as long as the store */
    struct frag_stream_counters counters;
    bool has_source, source_up;
    uint64_t source_failures, producers, consumers;
};

struct rows {
    struct row *rows;
    size_t count, room;
    struct kn_wall now;
};

/* ---- gathering ---- */

static int make_room(struct rows *rows) {
    if (rows->count < rows->room) {
        return 0;
    }
    size_t room = rows->room == 0 ? 64 : rows->room * 2;
    struct row *larger = realloc(rows->rows, room * sizeof(*larger));
    if (larger == NULL) {
        return -ENOMEM;
    }
    rows->rows = larger;
    rows->room = room;
    return 0;
}

static int gather_one(struct rows *rows, struct srv_world *world, struct frag_stream *stream,
                      struct frag_stream_info *info) {
    struct ing_source_status status;
    int rc = make_room(rows);
    if (rc < 0 || frag_stream_describe(stream, info) < 0) { /* deleted meanwhile: no row */
        return rc;
    }
    struct row *row = &rows->rows[rows->count++];
    *row = (struct row){.name = frag_stream_name(stream), .counters = info->counters};
    if (srv_sources_status(world->sources, row->name, &status) == 0) {
        row->has_source = true;
        row->source_up = status.state == ING_SOURCE_RUNNING;
        row->source_failures = status.failures;
    }
    return 0;
}

static int compare_row(const void *name, const void *row) {
    return strcmp(name, ((const struct row *)row)->name);
}

static int count_live(const struct srv_live_info *info, void *user) {
    struct rows *rows = user;
    struct row *row = rows->count == 0 ? NULL
                                       : bsearch(info->stream, rows->rows, rows->count,
                                                 sizeof(*rows->rows), compare_row);
    if (row != NULL) {
        row->producers += info->side == SRV_LIVE_PRODUCER ? 1 : 0;
        row->consumers += info->side == SRV_LIVE_CONSUMER ? 1 : 0;
    }
    return 0;
}

static int gather(struct rows *rows, struct srv_world *world) {
    struct frag_stream_info *info = malloc(sizeof(*info));
    int rc = info == NULL ? -ENOMEM : 0;
    rows->now = world->clock->wall(world->clock);
    for (struct frag_stream *stream = frag_stream_next(world->store, NULL);
         stream != NULL && rc >= 0;
         stream = frag_stream_next(world->store, frag_stream_name(stream))) {
        rc = gather_one(rows, world, stream, info);
    }
    free(info);
    return rc < 0 ? rc : srv_live_each(world->live, NULL, count_live, rows);
}

/* ---- writing ---- */

#define STREAM_LABEL(row) (&(const struct srv_label){"stream", (row)->name})

static void write_ages(struct srv_metrics *metrics, const struct rows *rows) {
    srv_metrics_family(metrics, "kinora_last_fragment_age_seconds", SRV_METRIC_GAUGE,
                       "Since the newest durable fragment; absent until there is one.");
    for (size_t i = 0; i < rows->count; i++) {
        int64_t last_ns = rows->rows[i].counters.last_fragment.ns;
        if (last_ns != 0) {
            int64_t age_ms = rows->now.ns > last_ns ? (rows->now.ns - last_ns) / KN_NS_PER_MS : 0;
            srv_metrics_real(metrics, STREAM_LABEL(&rows->rows[i]), 1, (double)age_ms / 1e3);
        }
    }
}

/* Only causes that occurred: most streams have one or two of them. */
static void write_gaps(struct srv_metrics *metrics, const struct rows *rows) {
    srv_metrics_family(metrics, "kinora_gaps_total", SRV_METRIC_COUNTER,
                       "Gaps that began since start, by cause; causes that did not occur are "
                       "absent.");
    for (size_t i = 0; i < rows->count; i++) {
        for (unsigned cause = 0; cause < FRAG_GAP_CAUSES; cause++) {
            const struct srv_label labels[] = {
                {"stream", rows->rows[i].name},
                {"cause", frag_gap_cause_text((enum frag_gap_cause)cause)},
            };
            uint64_t count = rows->rows[i].counters.gaps_by_cause[cause];
            if (count > 0) {
                srv_metrics_u64(metrics, labels, KN_COUNT(labels), count);
            }
        }
    }
}

/* A stream without acknowledgements has no histogram: there may be thousands of them. */
static void write_acks(struct srv_metrics *metrics, const struct rows *rows) {
    srv_metrics_family(metrics, "kinora_ack_seconds", SRV_METRIC_HISTOGRAM,
                       "From a complete fragment to its acknowledgement as durable.");
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->rows[i];
        if (row->counters.fragments > 0) {
            srv_metrics_buckets(metrics, STREAM_LABEL(row), 1, frag_times_seconds,
                                row->counters.ack_times.counts, FRAG_TIMES_BUCKETS,
                                row->counters.ack_times.sum_ns);
        }
    }
}

static void write_sources(struct srv_metrics *metrics, const struct rows *rows) {
    srv_metrics_family(metrics, "kinora_source_up", SRV_METRIC_GAUGE,
                       "Whether the configured source delivers.");
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->rows[i].has_source) {
            srv_metrics_u64(metrics, STREAM_LABEL(&rows->rows[i]), 1, rows->rows[i].source_up);
        }
    }
    srv_metrics_family(metrics, "kinora_source_failures_total", SRV_METRIC_COUNTER,
                       "How often the configured source failed and was tried again.");
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->rows[i].has_source) {
            srv_metrics_u64(metrics, STREAM_LABEL(&rows->rows[i]), 1,
                            rows->rows[i].source_failures);
        }
    }
}

static const struct {
    const char *name, *help;
    enum srv_metric_kind kind;
    size_t at; /* of a uint64_t in a row */
} numbers[] = {
    {"kinora_fragments_total", "Fragments made durable since start.", SRV_METRIC_COUNTER,
     offsetof(struct row, counters.fragments)},
    {"kinora_bytes_total", "Bytes of fragments made durable since start.", SRV_METRIC_COUNTER,
     offsetof(struct row, counters.bytes)},
    {"kinora_frames_total", "Samples in fragments made durable since start.", SRV_METRIC_COUNTER,
     offsetof(struct row, counters.frames)},
    {"kinora_dropped_samples_total", "Samples that came and could not be kept.", SRV_METRIC_COUNTER,
     offsetof(struct row, counters.dropped_samples)},
    {"kinora_fragments_lost_total", "Complete fragments that could not be made durable.",
     SRV_METRIC_COUNTER, offsetof(struct row, counters.failed)},
    {"kinora_retention_bytes", "Bytes on disk.", SRV_METRIC_GAUGE,
     offsetof(struct row, counters.bytes_on_disk)},
    {"kinora_retention_fragments", "Fragments on disk.", SRV_METRIC_GAUGE,
     offsetof(struct row, counters.fragments_on_disk)},
    {"kinora_producers", "Who sends now.", SRV_METRIC_GAUGE, offsetof(struct row, producers)},
    {"kinora_consumers", "Who reads now.", SRV_METRIC_GAUGE, offsetof(struct row, consumers)},
};

static void write_numbers(struct srv_metrics *metrics, const struct rows *rows) {
    for (size_t n = 0; n < KN_COUNT(numbers); n++) {
        srv_metrics_family(metrics, numbers[n].name, numbers[n].kind, numbers[n].help);
        for (size_t i = 0; i < rows->count; i++) {
            uint64_t value = 0;
            memcpy(&value, (const char *)&rows->rows[i] + numbers[n].at, sizeof(value));
            srv_metrics_u64(metrics, STREAM_LABEL(&rows->rows[i]), 1, value);
        }
    }
}

int srv_metrics_streams(struct srv_metrics *metrics, struct srv_world *world) {
    struct rows rows = {0};
    int rc = gather(&rows, world);
    if (rc >= 0) {
        /* What matters most first: it is not what is left out where there is too much. */
        write_ages(metrics, &rows);
        write_sources(metrics, &rows);
        write_numbers(metrics, &rows);
        write_gaps(metrics, &rows);
        write_acks(metrics, &rows);
    }
    free(rows.rows);
    return rc < 0 ? rc : 0;
}
