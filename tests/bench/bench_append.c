/* Recording: fragments of 1 MB (60 pictures, 2 s) of 1, 100 and 400 streams, each durable and in
 * the index before it is acknowledged. First in real time, a fragment a stream every 2 s,
 * staggered: what it costs and how long acks take. Then as fast as it goes, at most 8 of a stream
 * on their way. Beside it, the same bytes into as many plain files, by write alone and by write and
 * fdatasync of each fragment. CPU time is this process's: the kernel's own writing-back is not in
 * it.
 *
 *     bench_append [--folder DIR] [--seconds N] [--streams N]
 *         files in DIR or $TMPDIR, removed at the end; 20 s for each of the four */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/fragments.h"
#include "tests/bench/bench.h"

#define FRAMES 60u
#define KEY_BYTES 130000u
#define OTHER_BYTES 14745u
#define FRAGMENT_BYTES (KEY_BYTES + (FRAMES - 1) * OTHER_BYTES)
#define STEP_NS (2 * KN_NS_PER_S)
#define STREAMS_MAX 400u
#define IN_FLIGHT_MOST 8u /* of a stream, flat out */
#define ALL_IN_FLIGHT_MOST 128u
#define WAITING_MOST 64u /* of a stream, in real time: the tail keeps no more */
#define LATENCIES_MAX (1u << 20)
#define BYTES_MOST (UINT64_C(8) << 30) /* of one measurement */

struct source {
    struct frag_writer *writer;
    struct kn_wall origin;
    uint64_t sent; /* fragments */
    /* Under the lock: when those on their way were given away, in their order. */
    double given_s[WAITING_MOST];
    uint64_t answered;
};

static struct options {
    const char *folder;
    double seconds;
    unsigned streams; /* 0: 1, 100 and 400 */
} options = {.seconds = 20};

static char folder[512];
static struct kn_buffer *payload;
static struct kn_tracks *tracks;
static struct source sources[STREAMS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static double *latency_ms;
static size_t latency_count;
static uint64_t all_sent, all_answered, failures;

struct result {
    uint64_t fragments, failed, skipped, syncs;
    double wall_s, cpu_s, p50_ms, p99_ms, worst_ms;
};

static void must(int rc, const char *what) {
    if (rc < 0) {
        fprintf(stderr, "bench: %s: %s\n", what, kn_error_text(rc));
        exit(1);
    }
}

/* ---- what is recorded ---- */

static void make_payload(void) {
    uint8_t *room = NULL;
    uint32_t seed = 1;
    must(kn_buffer_alloc(NULL, FRAGMENT_BYTES, &room, &payload), "memory");
    for (size_t i = 0; i < FRAGMENT_BYTES; i++) {
        seed = seed * 1664525u + 1013904223u;
        room[i] = (uint8_t)(seed >> 24);
    }
    const struct kn_track track = {.number = 1,
                                   .uid = 1,
                                   .media = KN_MEDIA_VIDEO,
                                   .codec = KN_CODEC_VP8,
                                   .codec_id = "V_VP8",
                                   .width = 1920,
                                   .height = 1080};
    must(kn_tracks_create(&track, 1, &tracks), "tracks");
}

/* The next fragment of one stream, whole, ended here. */
static void give(struct source *source) {
    size_t at = 0;
    for (unsigned i = 0; i < FRAMES; i++) {
        size_t size = i == 0 ? KEY_BYTES : OTHER_BYTES;
        const struct kn_sample sample = {
            .buffer = payload,
            .data = payload->data + at,
            .size = size,
            .pts_ns = (int64_t)source->sent * STEP_NS + (int64_t)i * STEP_NS / FRAMES,
            .duration_ns = STEP_NS / FRAMES,
            .flags = i == 0 ? KN_SAMPLE_KEY : 0,
        };
        must(frag_writer_sample(source->writer, source->origin, &sample), "sample");
        at += size;
    }
    (void)pthread_mutex_lock(&lock);
    source->given_s[source->sent % WAITING_MOST] = bench_wall_s();
    source->sent++;
    all_sent++;
    (void)pthread_mutex_unlock(&lock);
    frag_writer_cut(source->writer);
}

static void take_ack(const struct frag_ack *ack, void *user) {
    struct source *source = user;
    if (ack->kind == FRAG_ACK_BUFFERING) {
        return;
    }
    (void)pthread_mutex_lock(&lock);
    double waited_s = bench_wall_s() - source->given_s[source->answered % WAITING_MOST];
    if (latency_count < LATENCIES_MAX) {
        latency_ms[latency_count++] = waited_s * 1e3;
    }
    source->answered++;
    all_answered++;
    failures += ack->kind == FRAG_ACK_FAILED ? 1 : 0;
    (void)pthread_cond_signal(&changed);
    (void)pthread_mutex_unlock(&lock);
}

/* ---- the store ---- */

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about;
    (void)type;
    (void)place;
    (void)remove(path); /* what is left is seen by who looks */
    return 0;
}

static void remove_files(void) {
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct frag_store *open_store(unsigned streams) {
    struct frag_store_config config = frag_store_config_defaults();
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_store *store = NULL;
    struct frag_stream *stream = NULL;
    const struct kn_clock *clock = kn_clock_system();
    config.data = folder;
    config.min_free_bytes = 0;
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    must(frag_store_open(&config, &store, NULL), "open");
    memset(sources, 0, sizeof(sources));
    latency_count = 0;
    all_sent = all_answered = failures = 0;
    for (unsigned i = 0; i < streams; i++) {
        char name[16];
        const struct frag_writer_config writer = {.handle_ack = take_ack, .user = &sources[i]};
        (void)snprintf(name, sizeof(name), "camera-%03u", i);
        must(frag_stream_create(store, name, &settings, NULL, 0, &stream), "create");
        must(frag_writer_open(stream, &writer, &sources[i].writer), "writer");
        must(frag_writer_tracks(sources[i].writer, tracks), "tracks");
        sources[i].origin = clock->wall(clock);
    }
    return store;
}

static void wait_for_answers(uint64_t most) {
    (void)pthread_mutex_lock(&lock);
    while (all_sent - all_answered > most) {
        (void)pthread_cond_wait(&changed, &lock);
    }
    (void)pthread_mutex_unlock(&lock);
}

static void close_store(struct frag_store *store, unsigned streams) {
    for (unsigned i = 0; i < streams; i++) {
        frag_writer_close(sources[i].writer, FRAG_GAP_SHUTDOWN);
    }
    frag_store_close(store);
    remove_files();
}

/* ---- in real time and flat out ---- */

static uint64_t waiting_of(const struct source *source) {
    (void)pthread_mutex_lock(&lock);
    uint64_t waiting = source->sent - source->answered;
    (void)pthread_mutex_unlock(&lock);
    return waiting;
}

static void sleep_until(double when_s) {
    const struct timespec when = {.tv_sec = (time_t)when_s,
                                  .tv_nsec = (long)((when_s - (double)(time_t)when_s) * 1e9)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR) {
    }
}

/* A stream whose disk is so far behind misses this fragment, as a camera's would. */
static void feed_paced(unsigned streams, struct result *result) {
    double from_s = bench_wall_s();
    for (uint64_t nth = 0;; nth++) {
        double due_s = from_s + 2.0 * (double)nth / streams;
        if (due_s - from_s >= options.seconds) {
            return;
        }
        sleep_until(due_s);
        struct source *source = &sources[nth % streams];
        if (waiting_of(source) < WAITING_MOST - 1) {
            give(source);
        } else {
            result->skipped++;
        }
    }
}

static void feed_flat(unsigned streams, struct result *result) {
    double end_s = bench_wall_s() + options.seconds;
    (void)result;
    for (uint64_t nth = 0; bench_wall_s() < end_s && nth * FRAGMENT_BYTES < BYTES_MOST; nth++) {
        struct source *source = &sources[nth % streams];
        (void)pthread_mutex_lock(&lock);
        while (source->sent - source->answered >= IN_FLIGHT_MOST ||
               all_sent - all_answered >= ALL_IN_FLIGHT_MOST) {
            (void)pthread_cond_wait(&changed, &lock);
        }
        (void)pthread_mutex_unlock(&lock);
        give(source);
    }
}

static struct result record(unsigned streams, void (*feed)(unsigned, struct result *)) {
    struct result result = {0};
    struct frag_store *store = open_store(streams);
    uint64_t syncs = frag_store_stats(store).syncs;
    double cpu_s = bench_cpu_s();
    double from_s = bench_wall_s();
    feed(streams, &result);
    wait_for_answers(0);
    result.wall_s = bench_wall_s() - from_s;
    result.cpu_s = bench_cpu_s() - cpu_s;
    result.syncs = frag_store_stats(store).syncs - syncs;
    result.fragments = all_answered - failures;
    result.failed = failures;
    if (latency_count > 0) {
        result.p50_ms = bench_median(latency_ms, latency_count);
        result.p99_ms = latency_ms[latency_count * 99 / 100];
        result.worst_ms = latency_ms[latency_count - 1];
    }
    close_store(store, streams);
    return result;
}

/* ---- the floors ---- */

static void write_all(int fd, const uint8_t *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        must(written < 0 ? -errno : 0, "write");
        bytes += written;
        size -= (size_t)written;
    }
}

static struct result write_plain(unsigned streams, bool sync) {
    int files[STREAMS_MAX];
    struct result result = {0};
    for (unsigned i = 0; i < streams; i++) {
        char path[600];
        (void)snprintf(path, sizeof(path), "%s/plain-%03u", folder, i);
        files[i] = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        must(files[i] < 0 ? -errno : 0, path);
    }
    latency_count = 0;
    double cpu_s = bench_cpu_s();
    double from_s = bench_wall_s();
    while (bench_wall_s() - from_s < options.seconds &&
           result.fragments * FRAGMENT_BYTES < BYTES_MOST) {
        int fd = files[result.fragments++ % streams];
        double begin_s = bench_wall_s();
        write_all(fd, payload->data, FRAGMENT_BYTES);
        must(sync && fdatasync(fd) != 0 ? -errno : 0, "fdatasync");
        if (latency_count < LATENCIES_MAX) {
            latency_ms[latency_count++] = (bench_wall_s() - begin_s) * 1e3;
        }
    }
    result.cpu_s = bench_cpu_s() - cpu_s;
    result.wall_s = bench_wall_s() - from_s;
    result.syncs = sync ? result.fragments : 0;
    result.p50_ms = bench_median(latency_ms, latency_count);
    result.p99_ms = latency_ms[latency_count * 99 / 100];
    result.worst_ms = latency_ms[latency_count - 1];
    for (unsigned i = 0; i < streams; i++) {
        (void)close(files[i]); /* nobody reads them */
    }
    remove_files();
    must(mkdir(folder, 0700) < 0 && errno != EEXIST ? -errno : 0, "folder");
    return result;
}

/* ---- the report ---- */

static void print_result(const char *name, const struct result *result) {
    double fragments = result->fragments > 0 ? (double)result->fragments : 1;
    printf(",\n  \"%s\": {\"cpu_s_per_stream_minute\": %.4f, \"mb_per_s\": %.1f, "
           "\"syncs_per_s\": %.1f,\n    \"p50_ms\": %.1f, \"p99_ms\": %.1f, \"worst_ms\": %.1f, "
           "\"fragments\": %" PRIu64,
           name, result->cpu_s / fragments * 30, fragments * FRAGMENT_BYTES / 1e6 / result->wall_s,
           (double)result->syncs / result->wall_s, result->p50_ms, result->p99_ms, result->worst_ms,
           result->fragments);
    if (result->failed + result->skipped > 0) {
        printf(", \"failed\": %" PRIu64 ", \"skipped\": %" PRIu64, result->failed, result->skipped);
    }
    printf("}");
}

static void run(unsigned streams, bool first) {
    struct result paced = record(streams, feed_paced);
    struct result flat = record(streams, feed_flat);
    must(mkdir(folder, 0700) < 0 && errno != EEXIST ? -errno : 0, "folder");
    struct result plain = write_plain(streams, false);
    struct result synced = write_plain(streams, true);
    printf("%s{\"streams\": %u", first ? "\n " : ",\n ", streams);
    print_result("real_time", &paced);
    print_result("flat_out", &flat);
    print_result("write", &plain);
    print_result("write_fdatasync", &synced);
    printf("}");
    (void)fflush(stdout);
}

static void parse(int argc, char **argv) {
    static const struct option known[] = {{"folder", required_argument, NULL, 'f'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"streams", required_argument, NULL, 'n'},
                                          {NULL, 0, NULL, 0}};
    int option = 0;
    options.folder = getenv("TMPDIR");
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'f') {
            options.folder = optarg;
        } else if (option == 's') {
            options.seconds = strtod(optarg, NULL);
        } else if (option == 'n') {
            options.streams = (unsigned)strtoul(optarg, NULL, 10);
        } else {
            bench_die("usage: bench_append [--folder DIR] [--seconds N] [--streams N]");
        }
    }
    if (options.seconds <= 0 || options.streams > STREAMS_MAX || optind != argc) {
        bench_die("a duration above 0, and at most 400 streams");
    }
}

int main(int argc, char **argv) {
    static const unsigned usual[] = {1, 100, 400};
    parse(argc, argv);
    const char *place = options.folder;
    (void)snprintf(folder, sizeof(folder), "%s/bench_append.XXXXXX",
                   place != NULL && place[0] != '\0' ? place : "/tmp");
    latency_ms = malloc(LATENCIES_MAX * sizeof(*latency_ms));
    if (latency_ms == NULL || mkdtemp(folder) == NULL || atexit(remove_files) != 0) {
        bench_die("no folder for the files");
    }
    kn_log_set_level(KN_LOG_WARN);
    make_payload();
    printf("{\"bench\": \"append\", \"fragment_bytes\": %u, \"seconds\": %.0f, \"runs\": [",
           FRAGMENT_BYTES, options.seconds);
    if (options.streams > 0) {
        run(options.streams, true);
    }
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]) && options.streams == 0; i++) {
        run(usual[i], i == 0);
    }
    printf("]}\n");
    kn_buffer_unref(payload);
    kn_tracks_unref(tracks);
    free(latency_ms);
    return 0;
}
