/* Metrics of the process, from /proc. What cannot be read is left out. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/text.h"
#include "server/api/metrics.h"
#include "server/world.h"

#define THREAD_NAMES 64u /* with another name: "other" */
#define NAME_BYTES 32u
#define STAT_BYTES 1024u

/* The beginning of a small file, with a NUL; false: it cannot be read. */
static bool read_small(const char *path, char *room, size_t room_bytes) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t size = read(fd, room, room_bytes - 1);
    (void)close(fd); /* was only read */
    room[size > 0 ? size : 0] = '\0';
    return size > 0;
}

/* ---- threads ---- */

struct thread_time {
    char name[NAME_BYTES];
    uint64_t ticks;
};

struct threads {
    struct thread_time times[THREAD_NAMES + 1];
    size_t count;
    uint64_t threads;
};

/* "12 (http-0) S 1 ..." : the name stands in parentheses and may have some itself; user and system
 * time are the 12th and 13th behind it. */
static bool read_stat(const char *stat, char name[static NAME_BYTES], uint64_t *ret_ticks) {
    const char *open = strchr(stat, '(');
    const char *close = strrchr(stat, ')');
    uint64_t user = 0, system = 0;
    if (open == NULL || close == NULL || close < open) {
        return false;
    }
    (void)kn_text_plain(open + 1, (size_t)(close - open) - 1, name, NAME_BYTES);
    const char *at = close + 1;
    for (unsigned i = 0; i < 12 && at != NULL; i++) {
        at = strchr(at + 1, ' ');
    }
    char *end = NULL;
    if (at == NULL) {
        return false;
    }
    user = strtoull(at, &end, 10);
    system = strtoull(end, NULL, 10);
    *ret_ticks = user + system;
    return true;
}

static void count_thread(struct threads *threads, const char *name, uint64_t ticks) {
    size_t at = 0;
    threads->threads++;
    while (at < threads->count && strcmp(threads->times[at].name, name) != 0) {
        at++;
    }
    if (at == threads->count && at < THREAD_NAMES) {
        threads->count++;
        (void)snprintf(threads->times[at].name, NAME_BYTES, "%s", name);
    } else if (at == THREAD_NAMES && threads->count == THREAD_NAMES) {
        threads->count++;
        (void)snprintf(threads->times[at].name, NAME_BYTES, "other");
    } else if (at > THREAD_NAMES) {
        at = THREAD_NAMES;
    }
    threads->times[at].ticks += ticks;
}

static bool read_threads(struct threads *threads) {
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) {
        return false;
    }
    const struct dirent *entry = NULL;
    /* A directory stream of its own: no other thread reads it. */
    while ((entry = readdir(tasks)) != NULL) { // NOLINT(concurrency-mt-unsafe)
        char path[sizeof("/proc/self/task//stat") + sizeof(entry->d_name)];
        char stat[STAT_BYTES], name[NAME_BYTES];
        uint64_t ticks = 0;
        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/stat", entry->d_name);
        if (entry->d_name[0] != '.' && read_small(path, stat, sizeof(stat)) &&
            read_stat(stat, name, &ticks)) { /* else it ended just now */
            count_thread(threads, name, ticks);
        }
    }
    (void)closedir(tasks);
    return true;
}

static void write_threads(struct srv_metrics *metrics) {
    struct threads threads = {.count = 0};
    long ticks_per_s = sysconf(_SC_CLK_TCK);
    if (ticks_per_s <= 0 || !read_threads(&threads)) {
        return;
    }
    srv_metrics_gauge(metrics, "kinora_process_threads", threads.threads, "Threads.");
    srv_metrics_family(metrics, "kinora_thread_cpu_seconds_total", SRV_METRIC_COUNTER,
                       "CPU time of the threads there are, by their name; it falls where one "
                       "ended.");
    for (size_t i = 0; i < threads.count; i++) {
        const struct srv_label label = {"thread", threads.times[i].name};
        srv_metrics_real(metrics, &label, 1, (double)threads.times[i].ticks / (double)ticks_per_s);
    }
}

/* ---- the process ---- */

static uint64_t count_descriptors(void) {
    DIR *descriptors = opendir("/proc/self/fd");
    uint64_t count = 0;
    if (descriptors == NULL) {
        return 0;
    }
    const struct dirent *entry = NULL;
    while ((entry = readdir(descriptors)) != NULL) { // NOLINT(concurrency-mt-unsafe): as above
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(descriptors);
    return count > 0 ? count - 1 : 0; /* without that of the directory itself */
}

static double seconds_of(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void write_usage(struct srv_metrics *metrics) {
    struct rusage usage;
    struct rlimit limit;
    char statm[128];
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        srv_metrics_family(metrics, "kinora_process_cpu_seconds_total", SRV_METRIC_COUNTER,
                           "CPU time, user and system, of all threads ever.");
        srv_metrics_real(metrics, NULL, 0, seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        srv_metrics_gauge(metrics, "kinora_process_max_fds", limit.rlim_cur,
                          "File descriptors there may be.");
    }
    srv_metrics_gauge(metrics, "kinora_process_open_fds", count_descriptors(),
                      "Open file descriptors.");
    if (read_small("/proc/self/statm", statm, sizeof(statm))) {
        const char *resident = strchr(statm, ' ');
        long page_bytes = sysconf(_SC_PAGESIZE);
        uint64_t pages = resident != NULL ? strtoull(resident, NULL, 10) : 0;
        srv_metrics_gauge(metrics, "kinora_process_resident_memory_bytes",
                          pages * (uint64_t)(page_bytes > 0 ? page_bytes : 0), "Resident memory.");
    }
}

void srv_metrics_process(struct srv_metrics *metrics, const struct srv_world *world) {
    const struct srv_label version = {"version", KINORA_VERSION};
    srv_metrics_family(metrics, "kinora_build_info", SRV_METRIC_GAUGE, "1, with what this is.");
    srv_metrics_u64(metrics, &version, 1, 1);
    srv_metrics_family(metrics, "kinora_process_start_time_seconds", SRV_METRIC_GAUGE,
                       "When the server started, since 1970.");
    int64_t started_ms = world->started.ns / KN_NS_PER_MS;
    srv_metrics_real(metrics, NULL, 0, (double)started_ms / 1e3);
    write_usage(metrics);
    write_threads(metrics);
}
