/* Metrics of the store. */
#include <inttypes.h>
#include <stdio.h>

#include "server/api/metrics.h"
#include "server/world.h"

static const struct {
    const char *name, *help;
    enum srv_metric_kind kind;
    size_t at; /* of a uint64_t in struct frag_store_stats */
} numbers[] = {
    {"kinora_streams", "Streams.", SRV_METRIC_GAUGE, offsetof(struct frag_store_stats, streams)},
    {"kinora_reels", "Reel files on disk.", SRV_METRIC_GAUGE,
     offsetof(struct frag_store_stats, reels)},
    {"kinora_store_fragments_total", "Fragments made durable since start, of all streams.",
     SRV_METRIC_COUNTER, offsetof(struct frag_store_stats, appended)},
    {"kinora_store_fragments_lost_total", "Fragments that could not be made durable.",
     SRV_METRIC_COUNTER, offsetof(struct frag_store_stats, failed)},
    {"kinora_syncs_total", "Syncs of reel files.", SRV_METRIC_COUNTER,
     offsetof(struct frag_store_stats, syncs)},
    {"kinora_sync_errors_total", "Syncs that failed: what they were for is lost.",
     SRV_METRIC_COUNTER, offsetof(struct frag_store_stats, sync_errors)},
    {"kinora_commits_total", "Commits of the index.", SRV_METRIC_COUNTER,
     offsetof(struct frag_store_stats, commits)},
    {"kinora_deleted_reels_total", "Reel files that retention deleted.", SRV_METRIC_COUNTER,
     offsetof(struct frag_store_stats, deleted_reels)},
    {"kinora_deleted_bytes_total", "Bytes that retention deleted.", SRV_METRIC_COUNTER,
     offsetof(struct frag_store_stats, deleted_bytes)},
};

static void write_numbers(struct srv_metrics *metrics, const struct frag_store_stats *stats) {
    for (size_t i = 0; i < KN_COUNT(numbers); i++) {
        const uint64_t *value =
            (const uint64_t *)(const void *)((const char *)stats + numbers[i].at);
        srv_metrics_family(metrics, numbers[i].name, numbers[i].kind, numbers[i].help);
        srv_metrics_u64(metrics, NULL, 0, *value);
    }
}

static void write_queues(struct srv_metrics *metrics, const struct frag_store_stats *stats) {
    srv_metrics_gauge(metrics, "kinora_queued_fragments", stats->queued_fragments,
                      "Fragments that wait for a disk.");
    srv_metrics_gauge(metrics, "kinora_queued_bytes", stats->queued_bytes,
                      "Bytes that wait for a disk.");
    srv_metrics_gauge(metrics, "kinora_queued_rows", stats->queued_rows,
                      "Rows that wait for the index.");
    srv_metrics_gauge(metrics, "kinora_memory_used_bytes", stats->memory_used,
                      "Samples and fragments in memory, for recording.");
    srv_metrics_gauge(metrics, "kinora_memory_max_bytes", stats->memory_max, "What they may use.");
    srv_metrics_gauge(metrics, "kinora_clock_in_doubt", stats->clock_in_doubt,
                      "1: the machine's clock may be wrong, retention by age pauses.");
}

static void write_health(struct srv_metrics *metrics, enum frag_store_health health) {
    static const char *const names[] = {
        [FRAG_STORE_FINE] = "ok",
        [FRAG_STORE_DISK_FULL] = "disk full",
        [FRAG_STORE_FAILING] = "failing",
    };
    srv_metrics_family(metrics, "kinora_store_health", SRV_METRIC_GAUGE,
                       "1 at the state the store is in.");
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        const struct srv_label label = {"state", names[i]};
        srv_metrics_u64(metrics, &label, 1, health == (enum frag_store_health)i ? 1 : 0);
    }
}

enum disk_metric { DISK_ONLINE, DISK_FULL, DISK_FREE, DISK_TOTAL };

struct disks {
    struct srv_metrics *metrics;
    enum disk_metric which;
};

/* By number: where directories lie is for administrators. */
static int write_disk(const struct frag_folder_info *info, void *user) {
    struct disks *disks = user;
    char number[16];
    (void)snprintf(number, sizeof(number), "%" PRIu16, info->number);
    const struct srv_label label = {"storage", number};
    const uint64_t values[] = {
        [DISK_ONLINE] = info->online,
        [DISK_FULL] = info->full,
        [DISK_FREE] = info->free_bytes,
        [DISK_TOTAL] = info->total_bytes,
    };
    if (info->total_bytes > 0 || disks->which == DISK_ONLINE || disks->which == DISK_FULL) {
        srv_metrics_u64(disks->metrics, &label, 1, values[disks->which]);
    }
    return 0;
}

static void write_disks(struct srv_metrics *metrics, struct frag_store *store) {
    static const struct {
        const char *name, *help;
    } families[] = {
        [DISK_ONLINE] = {"kinora_disk_online", "Whether the storage directory is there."},
        [DISK_FULL] = {"kinora_disk_full", "1: it takes no fragments for want of room."},
        [DISK_FREE] = {"kinora_disk_free_bytes", "Free room of its file system."},
        [DISK_TOTAL] = {"kinora_disk_total_bytes", "Size of its file system."},
    };
    for (size_t i = 0; i < KN_COUNT(families); i++) {
        struct disks disks = {.metrics = metrics, .which = (enum disk_metric)i};
        srv_metrics_family(metrics, families[i].name, SRV_METRIC_GAUGE, families[i].help);
        (void)frag_store_folders(store, write_disk, &disks); /* none of ours fails */
    }
}

void srv_metrics_store(struct srv_metrics *metrics, struct srv_world *world) {
    struct frag_store_stats stats = frag_store_stats(world->store);
    write_health(metrics, stats.health);
    write_disks(metrics, world->store);
    write_queues(metrics, &stats);
    write_numbers(metrics, &stats);
    srv_metrics_family(metrics, "kinora_sync_seconds", SRV_METRIC_HISTOGRAM,
                       "Each sync of a reel that goes on.");
    srv_metrics_buckets(metrics, NULL, 0, frag_times_seconds, stats.sync_times.counts,
                        FRAG_TIMES_BUCKETS, stats.sync_times.sum_ns);
}
