/* The index of 10 million fragments: 50 streams of closed reels of 300 fragments of 2 s, 1 MB each.
 * What a lookup takes, what a fragment costs in bytes, how fast rows come in.
 *
 *     bench_index [FRAGMENTS]     files in $TMPDIR, removed at the end */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "fragments/store/index.h"
#include "tests/bench/bench.h"

#define STREAMS 50u
#define ROWS 300u
#define REELS_A_SESSION 100u
#define REELS_A_COMMIT 100u
#define LOOKUPS 20000u
#define BATCH 200u
#define OPEN_ROUNDS 10u /* reels per stream that are written a fragment at a time */
#define START_NS INT64_C(1790000000000000000)
#define STEP_US 2000000

static char folder[512];
static char path[600];

static struct { uint64_t state; } seed = {1};

static uint64_t draw(void) {
    seed.state ^= seed.state << 13;
    seed.state ^= seed.state >> 7;
    seed.state ^= seed.state << 17;
    return seed.state;
}

static int64_t between(int64_t low, int64_t high) {
    return low + (int64_t)(draw() % (uint64_t)(high - low + 1));
}

/* The sum of four is near enough to a bell. */
static int64_t around_zero(int64_t width) {
    return (between(-width, width) + between(-width, width) + between(-width, width) +
            between(-width, width)) /
           2;
}

static void must(int rc, const char *what) {
    if (rc < 0) {
        fprintf(stderr, "bench: %s: %d\n", what, rc);
        exit(1);
    }
}

static void set_id(uint8_t id[static FRAG_ID_BYTES], uint8_t kind, uint64_t number) {
    /* Spread as random ones would be. */
    for (size_t i = 0; i < FRAG_ID_BYTES; i++) {
        number =
            (number + kind + 1) * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        id[i] = (uint8_t)(number >> 56);
    }
}

/* A camera: 30 frames a second, a key frame every 60; its clock is read to 0.5 ms, the network
 * adds some ms to each arrival. */
static void make_rows(unsigned stream, uint64_t reel, struct frag_reel_row *rows) {
    uint64_t at = FRAG_REEL_BODY_AT + 600;
    for (uint64_t i = 0; i < ROWS; i++) {
        uint64_t nth = reel * ROWS + i;
        int64_t regular_ns =
            START_NS + (int64_t)stream * 11 * KN_NS_PER_MS + (int64_t)nth * STEP_US * KN_NS_PER_US;
        int64_t producer_ns = regular_ns + between(-250, 250) * KN_NS_PER_US;
        int64_t server_ns = regular_ns + 20 * KN_NS_PER_MS + around_zero(4000) * KN_NS_PER_US;
        struct frag_reel_row *row = &rows[i];
        *row = (struct frag_reel_row){
            .cluster_at = at,
            .cluster_bytes = (uint64_t)(1000000 + around_zero(60000)),
            .trailer_bytes = FRAG_REEL_TRAILER_LEAST,
            .number = {.sequence = (UINT64_C(7) << 32) + nth + 1,
                       .server_ms = (uint64_t)(server_ns / KN_NS_PER_MS),
                       .low = 4711},
            .ordinal = nth + 1,
            .discontinuities = reel / REELS_A_SESSION,
            .producer = {producer_ns},
            .server = {server_ns},
            .duration_ns = STEP_US * KN_NS_PER_US,
        };
        at += row->cluster_bytes + row->trailer_bytes;
    }
}

static struct frag_index_reel make_reel(unsigned stream, uint64_t reel, char *name, size_t room) {
    struct frag_index_reel made = {
        .identity = {.epoch = 7,
                     .opened = {START_NS + (int64_t)(reel * ROWS) * STEP_US * KN_NS_PER_US},
                     .timecode_scale_ns = 1000000,
                     .number_low = 4711},
        .path = name,
    };
    set_id(made.identity.store_id, 1, 1);
    set_id(made.identity.stream_id, 2, stream);
    set_id(made.identity.reel_id, 3, stream * UINT64_C(1000000) + reel);
    set_id(made.identity.session_id, 4, stream * UINT64_C(1000000) + reel / REELS_A_SESSION);
    (void)snprintf(name, room, "reels/camera-%02u-%08x/2026-11-20/%08" PRIx64 "-%08x.mkv", stream,
                   stream * 77777u, reel, (unsigned)draw());
    return made;
}

static struct frag_index *open_index(enum frag_index_mode mode) {
    struct frag_index *index = NULL;
    must(frag_index_open(path, mode, &index), "open");
    return index;
}

static uint64_t file_bytes(void) {
    struct stat status;
    must(stat(path, &status), "stat");
    return (uint64_t)status.st_size;
}

/* Seconds spent in the index, its commits and its last checkpoint; the packed tables' bytes. */
static double build(uint64_t reels, uint64_t *ret_table_bytes) {
    static uint8_t room[64u * ROWS];
    struct frag_reel_row rows[ROWS];
    char name[200];
    double spent_s = 0;
    uint64_t table_bytes = 0;
    uint64_t done = 0;
    struct frag_index *index = open_index(FRAG_INDEX_WRITE);
    must(frag_index_begin(index), "begin");
    for (uint64_t reel = 0; reel < reels; reel++) {
        for (unsigned stream = 0; stream < STREAMS; stream++) {
            struct kn_writer writer;
            kn_writer_init(&writer, room, sizeof(room));
            make_rows(stream, reel, rows);
            struct frag_index_reel made = make_reel(stream, reel, name, sizeof(name));
            const struct frag_reel_row *last = &rows[ROWS - 1];
            made.bytes = last->cluster_at + last->cluster_bytes + last->trailer_bytes + 9000;
            frag_reel_pack_table(&writer, rows, ROWS);
            must(kn_writer_status(&writer), "pack");
            table_bytes += writer.size;
            int64_t row = 0;
            double from_s = bench_wall_s();
            must(frag_index_add_closed_reel(index, &made, writer.data, writer.size, &row), "add");
            if (++done % REELS_A_COMMIT == 0) {
                must(frag_index_commit(index, false), "commit");
                must(frag_index_begin(index), "begin");
            }
            spent_s += bench_wall_s() - from_s;
        }
    }
    double from_s = bench_wall_s();
    must(frag_index_commit(index, true), "commit");
    frag_index_close(index);
    *ret_table_bytes = table_bytes;
    return spent_s + bench_wall_s() - from_s;
}

struct latency {
    double p50_us, p99_us, worst_us;
};

static struct latency look_up(struct frag_index *index, enum frag_clock clock, int64_t from_ns,
                              int64_t to_ns) {
    static double taken_us[LOOKUPS];
    for (size_t i = 0; i < LOOKUPS; i++) {
        uint8_t stream[FRAG_ID_BYTES];
        struct frag_index_found found;
        struct kn_wall time = {between(from_ns, to_ns)};
        set_id(stream, 2, draw() % STREAMS);
        double from_s = bench_wall_s();
        must(frag_index_find_time(index, stream, clock, time, &found), "find");
        taken_us[i] = (bench_wall_s() - from_s) * 1e6;
        int64_t found_ns =
            clock == FRAG_CLOCK_PRODUCER ? found.row.producer.ns : found.row.server.ns;
        if (found_ns > time.ns || time.ns - found_ns > 3 * KN_NS_PER_S) {
            bench_die("the wrong fragment was found");
        }
    }
    qsort(taken_us, LOOKUPS, sizeof(*taken_us), bench_compare);
    return (struct latency){taken_us[LOOKUPS / 2], taken_us[LOOKUPS - LOOKUPS / 100],
                            taken_us[LOOKUPS - 1]};
}

/* A day in pages of 1,000: ns per fragment. */
static double list_day(struct frag_index *index, int64_t from_ns, int64_t to_ns) {
    static struct frag_index_found found[FRAG_INDEX_RANGE_MAX];
    uint8_t stream[FRAG_ID_BYTES];
    uint64_t after = 0;
    uint64_t listed = 0;
    set_id(stream, 2, 3);
    int64_t day_ns = INT64_C(86400) * KN_NS_PER_S;
    int64_t begin_ns = to_ns - from_ns > day_ns ? to_ns - day_ns : from_ns;
    double from_s = bench_wall_s();
    for (;;) {
        int count = frag_index_range(index, stream, FRAG_CLOCK_SERVER, (struct kn_wall){begin_ns},
                                     (struct kn_wall){to_ns}, after, found, KN_COUNT(found));
        must(count, "range");
        if (count == 0) {
            break;
        }
        after = found[count - 1].row.number.sequence;
        listed += (uint64_t)count;
    }
    return (bench_wall_s() - from_s) * 1e9 / (double)listed;
}

struct live {
    double insert_s, close_s, durable_us;
    struct latency open;
};

/* Open reels of all streams, a fragment of each in turn. */
static struct live write_live(uint64_t reels) {
    static struct frag_reel_row rows[STREAMS][ROWS];
    int64_t keys[STREAMS];
    char name[200];
    struct live live = {0};
    double durable_us[BENCH_ROUNDS];
    struct frag_index *index = open_index(FRAG_INDEX_WRITE);
    for (uint64_t reel = reels; reel < reels + OPEN_ROUNDS; reel++) {
        must(frag_index_begin(index), "begin");
        for (unsigned stream = 0; stream < STREAMS; stream++) {
            struct frag_index_reel made = make_reel(stream, reel, name, sizeof(name));
            make_rows(stream, reel, rows[stream]);
            made.bytes = FRAG_REEL_BODY_AT;
            must(frag_index_add_reel(index, &made, &keys[stream]), "add_reel");
        }
        must(frag_index_commit(index, false), "commit");
        double from_s = bench_wall_s();
        for (unsigned i = 0; i < STREAMS * ROWS; i++) {
            if (i % BATCH == 0) {
                must(frag_index_begin(index), "begin");
            }
            must(frag_index_add_fragment(index, keys[i % STREAMS], &rows[i % STREAMS][i / STREAMS]),
                 "add_fragment");
            if (i % BATCH == BATCH - 1) {
                must(frag_index_commit(index, false), "commit");
            }
        }
        live.insert_s += bench_wall_s() - from_s;
        if (reel == reels + OPEN_ROUNDS - 1) {
            int64_t begin_ns = START_NS + (int64_t)(reel * ROWS + 10) * STEP_US * KN_NS_PER_US;
            live.open = look_up(index, FRAG_CLOCK_SERVER, begin_ns,
                                begin_ns + (ROWS - 10) * KN_NS_PER_S * 2);
        }
        from_s = bench_wall_s();
        must(frag_index_begin(index), "begin");
        for (unsigned stream = 0; stream < STREAMS; stream++) {
            must(frag_index_close_reel(index, keys[stream], UINT64_C(1) << 30), "close");
        }
        must(frag_index_commit(index, false), "commit");
        live.close_s += bench_wall_s() - from_s;
    }
    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        must(frag_index_begin(index), "begin");
        must(frag_index_mark_deleting(index, keys[i]), "mark");
        double from_s = bench_wall_s();
        must(frag_index_commit(index, true), "commit");
        durable_us[i] = (bench_wall_s() - from_s) * 1e6;
    }
    live.durable_us = bench_median(durable_us, BENCH_ROUNDS);
    frag_index_close(index);
    return live;
}

static void print_latency(const char *name, struct latency latency) {
    printf(" \"%s_p50_us\": %.0f, \"%s_p99_us\": %.0f, \"%s_worst_us\": %.0f,\n", name,
           latency.p50_us, name, latency.p99_us, name, latency.worst_us);
}

static void run(uint64_t reels) {
    uint64_t fragments = reels * STREAMS * ROWS;
    uint64_t table_bytes = 0;
    double build_s = build(reels, &table_bytes);
    uint64_t bytes = file_bytes();
    int64_t from_ns = START_NS + 10 * KN_NS_PER_S;
    int64_t to_ns = START_NS + (int64_t)(reels * ROWS - 10) * STEP_US * KN_NS_PER_US;
    /* A new connection has nothing of its own cached; the machine's page cache is as it is. */
    struct frag_index *index = open_index(FRAG_INDEX_READ);
    struct latency first = look_up(index, FRAG_CLOCK_PRODUCER, from_ns, to_ns);
    struct latency producer = look_up(index, FRAG_CLOCK_PRODUCER, from_ns, to_ns);
    struct latency server = look_up(index, FRAG_CLOCK_SERVER, from_ns, to_ns);
    double list_ns = list_day(index, from_ns, to_ns);
    frag_index_close(index);
    struct live live = write_live(reels);
    double written = (double)OPEN_ROUNDS * STREAMS * ROWS;
    printf("{\"bench\": \"index\", \"fragments\": %" PRIu64 ", \"streams\": %u, \"reels\": %" PRIu64
           ",\n \"bytes_per_fragment\": %.2f, \"table_bytes_per_fragment\": %.2f,\n",
           fragments, STREAMS, reels * STREAMS, (double)bytes / (double)fragments,
           (double)table_bytes / (double)fragments);
    print_latency("producer_new_connection", first);
    print_latency("producer", producer);
    print_latency("server", server);
    print_latency("server_open_reels", live.open);
    printf(" \"list_ns_per_fragment\": %.0f,\n", list_ns);
    printf(" \"rebuild_fragments_per_s\": %.0f, \"insert_fragments_per_s\": %.0f,\n"
           " \"close_fragments_per_s\": %.0f, \"durable_commit_us\": %.0f}\n",
           (double)fragments / build_s, written / live.insert_s, written / live.close_s,
           live.durable_us);
}

static void remove_files(void) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < KN_COUNT(endings); i++) {
        char name[700];
        (void)snprintf(name, sizeof(name), "%s%s", path, endings[i]);
        (void)unlink(name); /* some are not there */
    }
    (void)rmdir(folder); /* whatever is left is seen by who looks */
}

int main(int argc, char **argv) {
    const char *place = getenv("TMPDIR");
    uint64_t fragments = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    (void)snprintf(folder, sizeof(folder), "%s/bench_index.XXXXXX",
                   place != NULL && place[0] != '\0' ? place : "/tmp");
    if (mkdtemp(folder) == NULL) {
        bench_die("no folder for the files");
    }
    (void)snprintf(path, sizeof(path), "%s/index.db", folder);
    if (atexit(remove_files) != 0) {
        bench_die("atexit");
    }
    uint64_t reels = fragments / (STREAMS * ROWS);
    run(reels > 0 ? reels : 1);
    return 0;
}
