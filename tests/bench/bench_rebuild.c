/* A million fragments in closed reels of 300, of tiny clusters, and one open reel: how fast the
 * index is made again from footers, and how soon the store is open after a kill; beside them what
 * only reading the footers' bytes takes, and the parts in between.
 *
 *     bench_rebuild [FRAGMENTS]     files in $TMPDIR, removed at the end
 *
 * With a warm page cache, but for what is called cold: there the reels' pages were given up before.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "fragments/fragments.h"
#include "fragments/store/file_list.h"
#include "fragments/store/index.h"
#include "fragments/store/reel_file.h"
#include "fragments/store/values.h"
#include "tests/bench/bench.h"

#define STREAMS 8u
#define ROWS 300u
#define STEP_NS (2 * KN_NS_PER_S)
#define START_NS INT64_C(1790000000000000000)
#define ROUNDS 5
#define REELS_A_COMMIT 256u
#define PATH_BYTES 900

static char root[512];
static char data[600];

static void must(int rc, const char *what) {
    if (rc < 0) {
        fprintf(stderr, "bench: %s: %d\n", what, rc);
        exit(1);
    }
}

static int no_sync(struct frag_io *io, int fd) {
    (void)io;
    (void)fd;
    return 0;
}

static int no_sync_folder(struct frag_io *io, const char *path) {
    (void)io;
    (void)path;
    return 0;
}

/* ---- the store ---- */

/* Identity, journal, streams, index: as the store makes them. */
static void make_store(struct frag_io *io, uint8_t store_id[static FRAG_ID_BYTES],
                       uint8_t stream_ids[STREAMS][FRAG_ID_BYTES]) {
    struct frag_store_config config = frag_store_config_defaults();
    struct frag_store *store = NULL;
    struct frag_stream_info *info = malloc(sizeof(*info));
    config.data = data;
    config.threads = false;
    config.io = io;
    if (info == NULL) {
        bench_die("no memory");
    }
    must(frag_store_open(&config, &store, NULL), "open");
    for (unsigned i = 0; i < STREAMS; i++) {
        struct frag_stream_settings settings = frag_stream_settings_defaults();
        struct frag_stream *stream = NULL;
        char name[32];
        settings.retention_ns = FRAG_RETAIN_FOREVER;
        (void)snprintf(name, sizeof(name), "camera-%02u", i);
        must(frag_stream_create(store, name, &settings, NULL, 0, &stream), "stream");
        must(frag_stream_describe(stream, info), "describe");
        memcpy(stream_ids[i], info->id, FRAG_ID_BYTES);
    }
    frag_store_close(store);
    free(info);
    uint8_t bytes[FRAG_IDENTITY_BYTES];
    struct frag_folder_identity identity;
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/" FRAG_IDENTITY_FILE, data);
    int fd = io->open(io, path, FRAG_IO_READ);
    must(fd, "identity");
    must(frag_io_read_exactly(io, fd, bytes, sizeof(bytes), 0), "identity");
    must(frag_identity_read(bytes, sizeof(bytes), &identity), "identity");
    (void)io->close(io, fd);
    memcpy(store_id, identity.store_id, FRAG_ID_BYTES);
}

static struct kn_tracks *make_tracks(void) {
    const struct kn_track item = {.number = 1,
                                  .uid = 1,
                                  .media = KN_MEDIA_VIDEO,
                                  .codec_id = "V_MJPEG",
                                  .width = 64,
                                  .height = 48};
    struct kn_tracks *tracks = NULL;
    must(kn_tracks_create(&item, 1, &tracks), "tracks");
    return tracks;
}

/* One picture of 16 bytes. */
static size_t make_cluster(uint8_t *room, size_t size) {
    struct kn_writer writer;
    kn_writer_init(&writer, room, size);
    kn_write_be32(&writer, FRAG_MKV_CLUSTER);
    kn_write_be64(&writer, UINT64_C(0x0100000000000000) | 25);
    kn_write_be24(&writer, 0xE78100);
    kn_write_be16(&writer, 0xA394);
    kn_write_be32(&writer, 0x81000080);
    kn_write_zeros(&writer, 16);
    must(kn_writer_status(&writer), "cluster");
    return writer.size;
}

struct reel_plan {
    struct frag_io *io;
    struct kn_tracks *tracks;
    uint8_t store_id[FRAG_ID_BYTES];
    const uint8_t *stream_id;
    unsigned stream;
    uint64_t reel; /* of the stream */
    bool closed;
};

static void write_reel(const struct reel_plan *plan) {
    uint8_t cluster[64];
    size_t cluster_bytes = make_cluster(cluster, sizeof(cluster));
    uint64_t first = plan->reel * ROWS;
    struct frag_reel_config config = {
        .io = plan->io,
        .folder = data,
        .identity = {.epoch = 1,
                     .opened = {START_NS + (int64_t)first * STEP_NS},
                     .timecode_scale_ns = 1000000,
                     .number_low = 4711},
        .stream_name = "camera",
        .tracks = plan->tracks,
    };
    memcpy(config.identity.store_id, plan->store_id, FRAG_ID_BYTES);
    memcpy(config.identity.stream_id, plan->stream_id, FRAG_ID_BYTES);
    memcpy(config.identity.session_id, plan->stream_id, FRAG_ID_BYTES);
    for (size_t i = 0; i < FRAG_ID_BYTES; i++) {
        uint64_t mixed =
            (plan->reel * STREAMS + plan->stream + 1 + i) * UINT64_C(6364136223846793005);
        config.identity.reel_id[i] = (uint8_t)(mixed >> 40);
    }
    config.identity.reel_id[8] = (uint8_t)plan->stream;
    config.identity.reel_id[9] = (uint8_t)plan->reel;
    config.identity.reel_id[10] = (uint8_t)(plan->reel >> 8);
    config.identity.reel_id[11] = (uint8_t)(plan->reel >> 16);
    struct frag_reel *reel = NULL;
    must(frag_reel_create(&config, &reel), "create");
    for (uint64_t i = first; i < first + ROWS; i++) {
        int64_t jitter_ns = (int64_t)(i * UINT64_C(2654435761) % 4000) * KN_NS_PER_US;
        struct frag_reel_row row = {
            .number = {.sequence = (UINT64_C(1) << 32) + i + 1, .low = 4711},
            .ordinal = i,
            .producer = {START_NS + (int64_t)i * STEP_NS},
            .server = {START_NS + (int64_t)i * STEP_NS + jitter_ns},
            .duration_ns = STEP_NS,
            .frames = 1,
        };
        row.number.server_ms = (uint64_t)(row.server.ns / KN_NS_PER_MS);
        const struct iovec slice = {.iov_base = cluster, .iov_len = cluster_bytes};
        must(frag_reel_append(reel, &row, &slice, 1, cluster_bytes, NULL, NULL), "append");
    }
    uint64_t bytes = 0;
    if (plan->closed) {
        must(frag_reel_close(reel, &bytes), "close");
    } else {
        must(frag_reel_sync(reel), "sync");
        frag_reel_abandon(reel);
    }
}

/* Reels without rows: the next start, or rebuild, takes them up. Nothing is synced one by one. */
static void write_store(uint64_t reels) {
    struct frag_io io = *frag_io_system();
    static uint8_t ids[STREAMS][FRAG_ID_BYTES];
    io.sync = no_sync;
    io.sync_folder = no_sync_folder;
    struct reel_plan plan = {.io = &io, .tracks = make_tracks(), .closed = true};
    make_store(&io, plan.store_id, ids);
    for (uint64_t i = 0; i < reels; i++) {
        plan.stream = (unsigned)(i % STREAMS);
        plan.stream_id = ids[plan.stream];
        plan.reel = i / STREAMS;
        write_reel(&plan);
    }
    kn_tracks_unref(plan.tracks);
    sync();
}

/* What a kill leaves: a reel of the first stream that was not closed, and has no row yet. */
static void write_open_reel(uint64_t reels) {
    struct frag_io *io = frag_io_system();
    struct frag_file_list list = {0};
    struct frag_reel_identity identity;
    char path[PATH_BYTES];
    must(frag_file_list_read(io, data, &list), "list");
    (void)snprintf(path, sizeof(path), "%s/%s", data, list.files[0].path);
    must(frag_reel_identify(io, path, &identity), "identify");
    struct reel_plan plan = {.io = io, .tracks = make_tracks(), .stream_id = identity.stream_id};
    memcpy(plan.store_id, identity.store_id, FRAG_ID_BYTES);
    static uint64_t more;
    plan.reel = reels + 10 + more++;
    write_reel(&plan);
    kn_tracks_unref(plan.tracks);
    frag_file_list_finish(&list);
}

/* ---- measuring ---- */

/* Everything was synced. */
static void forget_pages(const struct frag_file_list *list) {
    char path[PATH_BYTES];
    for (size_t i = 0; i < list->count; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", data, list->files[i].path);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        must(fd, "open");
        must(-posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), "fadvise");
        (void)close(fd);
    }
}

/* The bytes alone: page and table of each reel, nothing looked at. */
static double read_bytes(const struct frag_file_list *list, uint64_t *ret_bytes) {
    struct frag_io *io = frag_io_system();
    char path[PATH_BYTES];
    static uint8_t room[1 << 16];
    uint64_t bytes = 0;
    double from_s = bench_wall_s();
    for (size_t i = 0; i < list->count; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", data, list->files[i].path);
        int fd = io->open(io, path, FRAG_IO_READ);
        must(fd, "open");
        int64_t got = io->read(io, fd, room, 2 * (size_t)FRAG_REEL_SEEK_AT, 0);
        must((int)got, "read");
        bytes += (uint64_t)got;
        uint64_t table_bytes = 3000; /* about, and at the end */
        got = io->read(io, fd, room, table_bytes, list->files[i].bytes - table_bytes);
        must((int)got, "read");
        bytes += (uint64_t)got;
        (void)io->close(io, fd);
    }
    *ret_bytes = bytes;
    return bench_wall_s() - from_s;
}

static double read_footers(const struct frag_file_list *list) {
    struct kn_writer table;
    struct frag_reel_identity identity;
    char path[PATH_BYTES];
    kn_writer_init_growing(&table, (size_t)16 << 20);
    double from_s = bench_wall_s();
    for (size_t i = 0; i < list->count; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", data, list->files[i].path);
        kn_writer_clear(&table);
        must(frag_reel_read_footer(frag_io_system(), path, &identity, &table), "footer");
    }
    double spent_s = bench_wall_s() - from_s;
    kn_writer_finish(&table);
    return spent_s;
}

static void remove_index(const char *path) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    char name[PATH_BYTES];
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", path, endings[i]);
        (void)unlink(name); /* some are not there */
    }
}

/* Rows alone: the footers were read before. */
static double add_rows(const struct frag_file_list *list) {
    char path[PATH_BYTES];
    char other[PATH_BYTES];
    struct frag_index *index = NULL;
    double spent_s = 0;
    (void)snprintf(other, sizeof(other), "%s/rows.db", root);
    must(frag_index_open(other, FRAG_INDEX_WRITE, &index), "index");
    must(frag_index_begin(index), "begin");
    for (size_t i = 0; i < list->count; i++) {
        struct frag_index_reel reel = {.path = list->files[i].path, .bytes = list->files[i].bytes};
        struct kn_writer table;
        int64_t row = 0;
        kn_writer_init_growing(&table, (size_t)16 << 20);
        (void)snprintf(path, sizeof(path), "%s/%s", data, list->files[i].path);
        must(frag_reel_read_footer(frag_io_system(), path, &reel.identity, &table), "footer");
        double from_s = bench_wall_s();
        must(frag_index_add_closed_reel(index, &reel, table.data, table.size, &row), "add");
        if (i % REELS_A_COMMIT == REELS_A_COMMIT - 1) {
            must(frag_index_commit(index, false), "commit");
            must(frag_index_begin(index), "begin");
        }
        spent_s += bench_wall_s() - from_s;
        kn_writer_finish(&table);
    }
    double from_s = bench_wall_s();
    must(frag_index_commit(index, true), "commit");
    frag_index_close(index);
    spent_s += bench_wall_s() - from_s;
    remove_index(other);
    return spent_s;
}

static struct frag_store_config store_config(void) {
    struct frag_store_config config = frag_store_config_defaults();
    config.data = data;
    config.threads = false;
    config.min_free_bytes = 0;
    return config;
}

static double rebuild(uint64_t fragments) {
    struct frag_store_config config = store_config();
    struct frag_store_opening opening;
    double from_s = bench_wall_s();
    must(frag_store_rebuild(&config, NULL, NULL, &opening), "rebuild");
    double spent_s = bench_wall_s() - from_s;
    if (!opening.index_rebuilt || opening.fragments != fragments) {
        bench_die("fragments are missing");
    }
    return spent_s;
}

/* With one reel that was open, as a kill leaves it. */
static double start(uint64_t *fragments) {
    struct frag_store_config config = store_config();
    struct frag_store_opening opening;
    struct frag_store *store = NULL;
    static uint64_t count;
    write_open_reel(1000000 + count++);
    *fragments += ROWS;
    double from_s = bench_wall_s();
    must(frag_store_open(&config, &store, &opening), "open");
    double spent_s = bench_wall_s() - from_s;
    if (opening.fragments != *fragments || opening.recovered_reels != 1) {
        bench_die("the open reel was not recovered");
    }
    frag_store_close(store);
    return spent_s;
}

static double check(uint64_t fragments, uint64_t *ret_bytes) {
    struct frag_store_config config = store_config();
    struct frag_check_report report;
    double from_s = bench_wall_s();
    must(frag_store_check(&config, NULL, NULL, &report), "check");
    double spent_s = bench_wall_s() - from_s;
    if (report.fragments != fragments || report.damages + report.repairs + report.notes != 0) {
        bench_die("the store is not sound");
    }
    *ret_bytes = report.bytes;
    return spent_s;
}

static void run(uint64_t reels) {
    struct frag_file_list list = {0};
    uint64_t fragments = reels * ROWS;
    uint64_t footer_bytes = 0;
    uint64_t checked_bytes = 0;
    double floor_s[ROUNDS];
    double footers_s[ROUNDS];
    double rows_s[ROUNDS];
    double rebuild_s[ROUNDS];
    double start_s[ROUNDS];
    write_store(reels);
    must(frag_file_list_read(frag_io_system(), data, &list), "list");
    for (size_t i = 0; i < ROUNDS; i++) {
        floor_s[i] = read_bytes(&list, &footer_bytes);
        footers_s[i] = read_footers(&list);
        rows_s[i] = add_rows(&list);
        rebuild_s[i] = rebuild(fragments);
    }
    forget_pages(&list);
    double cold_floor_s = read_bytes(&list, &footer_bytes);
    forget_pages(&list);
    double cold_s = rebuild(fragments);
    double check_s = check(fragments, &checked_bytes);
    for (size_t i = 0; i < ROUNDS; i++) {
        start_s[i] = start(&fragments);
    }
    double all = (double)(reels * ROWS);
    double rebuild_median_s = bench_median(rebuild_s, ROUNDS);
    double floor_median_s = bench_median(floor_s, ROUNDS);
    printf("{\"bench\": \"rebuild\", \"fragments\": %" PRIu64 ", \"reels\": %" PRIu64
           ", \"footer_bytes\": %" PRIu64 ",\n",
           reels * ROWS, reels, footer_bytes);
    printf(" \"rebuild_s\": %.3f, \"rebuild_fragments_per_s\": %.0f,\n", rebuild_median_s,
           all / rebuild_median_s);
    printf(" \"floor_read_bytes_s\": %.3f, \"rebuild_over_floor\": %.1f,\n", floor_median_s,
           rebuild_median_s / floor_median_s);
    printf(" \"rebuild_cold_s\": %.3f, \"floor_cold_s\": %.3f,\n", cold_s, cold_floor_s);
    printf(" \"footers_s\": %.3f, \"rows_s\": %.3f,\n", bench_median(footers_s, ROUNDS),
           bench_median(rows_s, ROUNDS));
    printf(" \"start_after_kill_s\": %.3f,\n", bench_median(start_s, ROUNDS));
    printf(" \"check_s\": %.3f, \"check_mb_per_s\": %.0f}\n", check_s,
           (double)checked_bytes / 1e6 / check_s);
    frag_file_list_finish(&list);
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *at) {
    (void)about;
    (void)type;
    (void)at;
    return remove(path);
}

static void remove_files(void) {
    /* Whatever is left is seen by who looks. */
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv) {
    const char *place = getenv("TMPDIR");
    uint64_t fragments = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    (void)snprintf(root, sizeof(root), "%s/bench_rebuild.XXXXXX",
                   place != NULL && place[0] != '\0' ? place : "/tmp");
    if (mkdtemp(root) == NULL) {
        bench_die("no folder for the files");
    }
    if (atexit(remove_files) != 0) {
        bench_die("atexit");
    }
    kn_log_set_level(KN_LOG_ERROR);
    (void)snprintf(data, sizeof(data), "%s/data", root);
    uint64_t reels = (fragments + ROWS - 1) / ROWS;
    run(reels > 0 ? reels : 1);
    return 0;
}
