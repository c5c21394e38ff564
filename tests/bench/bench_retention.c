/* Retention: 1 million fragments, 3,400 closed reels of 300 fragments of 2 s on 50 streams, go
 * because their streams are over their limit of bytes; each reel's mark is synced, its file
 * unlinked, its folder synced, its row dropped. The files are holes: beside it stands what
 * unlinking a file of 256 MB with its blocks takes, which comes on top for each reel. CPU time is
 * this process's.
 *
 *     bench_retention [FRAGMENTS]     files in $TMPDIR, removed at the end */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/log.h"
#include "fragments/fragments.h"
#include "fragments/store/index.h"
#include "fragments/store/reel.h"
#include "tests/bench/bench.h"

#define STREAMS 50u
#define ROWS 300u
#define REELS_A_COMMIT 100u
#define CLUSTER_BYTES 850000u
#define STEP_NS (2 * KN_NS_PER_S)
#define BIG_FILES 5u
#define BIG_BYTES ((off_t)256 << 20)

static char folder[512];
static uint8_t stream_ids[STREAMS][FRAG_ID_BYTES];

static void must(int rc, const char *what) {
    if (rc < 0) {
        fprintf(stderr, "bench: %s: %s\n", what, kn_error_text(rc));
        exit(1);
    }
}

static int64_t start_ns(uint64_t reels) {
    const struct kn_clock *clock = kn_clock_system();
    return clock->wall(clock).ns - (int64_t)(reels / STREAMS + 2) * ROWS * STEP_NS;
}

static struct frag_store *open_store(void) {
    struct frag_store_config config = frag_store_config_defaults();
    struct frag_store *store = NULL;
    config.data = folder;
    config.min_free_bytes = 0;
    config.threads = false;
    must(frag_store_open(&config, &store, NULL), "open");
    return store;
}

static const char *name_of(unsigned stream, char name[static 16]) {
    (void)snprintf(name, 16, "camera-%02u", stream);
    return name;
}

static void make_streams(void) {
    static struct frag_stream_info info;
    struct frag_store *store = open_store();
    for (unsigned i = 0; i < STREAMS; i++) {
        struct frag_stream_settings settings = frag_stream_settings_defaults();
        struct frag_stream *stream = NULL;
        char name[16];
        settings.retention_ns = FRAG_RETAIN_FOREVER;
        must(frag_stream_create(store, name_of(i, name), &settings, NULL, 0, &stream), "create");
        must(frag_stream_describe(stream, &info), "describe");
        memcpy(stream_ids[i], info.id, FRAG_ID_BYTES);
    }
    frag_store_close(store);
}

/* ---- reels: their rows, and holes as files ---- */

static void make_rows(uint64_t nth, int64_t from_ns, struct frag_reel_row *rows) {
    uint64_t at = FRAG_REEL_BODY_AT + 600;
    for (uint64_t i = 0; i < ROWS; i++) {
        int64_t time_ns = from_ns + (int64_t)(nth * ROWS + i) * STEP_NS;
        rows[i] = (struct frag_reel_row){
            .cluster_at = at,
            .cluster_bytes = CLUSTER_BYTES + i % 7 * 1000,
            .trailer_bytes = FRAG_REEL_TRAILER_LEAST,
            .number = {.sequence = nth * ROWS + i + 1,
                       .server_ms = (uint64_t)(time_ns / KN_NS_PER_MS),
                       .low = 4711},
            .ordinal = nth * ROWS + i + 1,
            .producer = {time_ns},
            .server = {time_ns},
            .duration_ns = STEP_NS,
        };
        at += rows[i].cluster_bytes + rows[i].trailer_bytes;
    }
}

static void make_folders(char *path) {
    for (char *slash = strchr(path + strlen(folder) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        must(mkdir(path, 0700) != 0 && errno != EEXIST ? -errno : 0, path);
        *slash = '/';
    }
}

static void make_hole(const char *below, uint64_t bytes) {
    char path[900];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, below);
    make_folders(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    must(fd < 0 || ftruncate(fd, (off_t)bytes) != 0 ? -errno : 0, path);
    (void)close(fd);
}

static void make_reel(struct frag_index *index, uint64_t reel, int64_t from_ns) {
    static uint8_t room[64u * ROWS];
    static struct frag_reel_row rows[ROWS];
    unsigned stream = (unsigned)(reel % STREAMS);
    char name[16];
    char path[FRAG_REEL_PATH_BYTES];
    struct kn_writer table;
    int64_t row = 0;
    make_rows(reel / STREAMS, from_ns, rows);
    struct frag_index_reel made = {
        .identity = {.epoch = 1,
                     .opened = rows[0].server,
                     .timecode_scale_ns = KN_NS_PER_MS,
                     .number_low = 4711},
        .path = path,
        .bytes = rows[ROWS - 1].cluster_at + rows[ROWS - 1].cluster_bytes + 9000,
    };
    memcpy(made.identity.stream_id, stream_ids[stream], FRAG_ID_BYTES);
    memcpy(made.identity.reel_id, &reel, sizeof(reel));
    (void)frag_reel_path_of(&made.identity, name_of(stream, name), path);
    kn_writer_init(&table, room, sizeof(room));
    frag_reel_pack_table(&table, rows, ROWS);
    must(kn_writer_status(&table), "pack");
    must(frag_index_add_closed_reel(index, &made, table.data, table.size, &row), "add");
    make_hole(path, made.bytes);
}

static void make_reels(uint64_t reels) {
    char path[600];
    struct frag_index *index = NULL;
    int64_t from_ns = start_ns(reels);
    (void)snprintf(path, sizeof(path), "%s/index.db", folder);
    must(frag_index_open(path, FRAG_INDEX_WRITE, &index), "index");
    for (uint64_t reel = 0; reel < reels; reel++) {
        if (reel % REELS_A_COMMIT == 0) {
            must(frag_index_begin(index), "begin");
        }
        make_reel(index, reel, from_ns);
        if (reel % REELS_A_COMMIT == REELS_A_COMMIT - 1 || reel == reels - 1) {
            must(frag_index_commit(index, false), "commit");
        }
    }
    frag_index_close(index);
}

/* ---- measuring ---- */

static double unlink_big_ms(void) {
    double ms[BIG_FILES];
    char path[600];
    uint8_t *block = calloc(1, 1u << 20);
    (void)snprintf(path, sizeof(path), "%s/big", folder);
    for (unsigned i = 0; i < BIG_FILES; i++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        must(fd < 0 || block == NULL ? -errno : 0, "big file");
        for (off_t at = 0; at < BIG_BYTES; at += 1 << 20) {
            must(write(fd, block, 1u << 20) != 1 << 20 ? -EIO : 0, "write");
        }
        must(fsync(fd) != 0 ? -errno : 0, "fsync");
        (void)close(fd);
        double from_s = bench_wall_s();
        must(unlink(path) != 0 ? -errno : 0, "unlink");
        ms[i] = (bench_wall_s() - from_s) * 1e3;
    }
    free(block);
    return bench_median(ms, BIG_FILES);
}

static void set_limits(struct frag_store *store, uint64_t bytes) {
    for (unsigned i = 0; i < STREAMS; i++) {
        char name[16];
        struct frag_stream_settings settings = frag_stream_settings_defaults();
        settings.retention_ns = FRAG_RETAIN_FOREVER;
        settings.retention_bytes = bytes;
        must(frag_stream_update(frag_stream_find(store, name_of(i, name)), NULL, &settings),
             "update");
    }
}

struct spent {
    double cpu_s, wall_s;
};

static struct spent run_retention(struct frag_store *store) {
    double cpu_s = bench_cpu_s();
    double from_s = bench_wall_s();
    must(frag_retention_run(store), "retention");
    return (struct spent){.cpu_s = bench_cpu_s() - cpu_s, .wall_s = bench_wall_s() - from_s};
}

static void run(uint64_t reels) {
    make_streams();
    make_reels(reels);
    double from_s = bench_wall_s();
    struct frag_store *store = open_store();
    double open_s = bench_wall_s() - from_s;
    uint64_t fragments = frag_store_stats(store).fragments;
    struct spent idle = run_retention(store); /* a pass that finds nothing */
    set_limits(store, 1);
    struct spent all = run_retention(store);
    struct frag_store_stats stats = frag_store_stats(store);
    if (stats.deleted_reels != reels || stats.fragments != 0) {
        bench_die("not all reels went");
    }
    frag_store_close(store);
    printf("{\"bench\": \"retention\", \"fragments\": %" PRIu64 ", \"reels\": %" PRIu64
           ", \"streams\": %u,\n"
           " \"open_s\": %.2f, \"idle_pass_cpu_ms\": %.1f, \"idle_pass_wall_ms\": %.1f,\n"
           " \"expire_cpu_s\": %.2f, \"expire_wall_s\": %.2f, \"cpu_us_per_reel\": %.0f, "
           "\"wall_ms_per_reel\": %.2f,\n \"unlink_256_mb_file_ms\": %.2f}\n",
           fragments, reels, STREAMS, open_s, idle.cpu_s * 1e3, idle.wall_s * 1e3, all.cpu_s,
           all.wall_s, all.cpu_s * 1e6 / (double)reels, all.wall_s * 1e3 / (double)reels,
           unlink_big_ms());
}

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

int main(int argc, char **argv) {
    const char *place = getenv("TMPDIR");
    uint64_t fragments = argc > 1 ? strtoull(argv[1], NULL, 10) : 1020000;
    (void)snprintf(folder, sizeof(folder), "%s/bench_retention.XXXXXX",
                   place != NULL && place[0] != '\0' ? place : "/tmp");
    if (mkdtemp(folder) == NULL || atexit(remove_files) != 0) {
        bench_die("no folder for the files");
    }
    kn_log_set_level(KN_LOG_WARN);
    uint64_t reels = fragments / ROWS;
    run(reels > 0 ? reels : 1);
    return 0;
}
