/* Loading fragments that the page cache has, beside what it cannot do without: copying the bytes
 * out of the kernel, their checksum, and the sample reader's copy. A reel of 100 fragments of 2 s:
 * 60 H.264 pictures, about 1 MB. CPU time of one thread; each round does all in turn.
 *
 *     bench_archive      files in $TMPDIR, removed at the end */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/crc.h"
#include "fragments/fragments.h"
#include "fragments/store/engine.h"
#include "fragments/store/reel.h"
#include "tests/bench/bench.h"

#define FRAGMENTS 100u
#define FRAMES 60u
#define KEY_BYTES 130000u
#define OTHER_BYTES 14600u
#define STEP_NS (2 * KN_NS_PER_S)
#define START_NS INT64_C(1790000000000000000)

/* Main profile 1920x1080, as an encoder wrote them. */
static const uint8_t avcc[] = {0x01, 0x4d, 0x40, 0x28, 0xff, 0xe1, 0x00, 0x16, 0x67, 0x4d,
                               0x40, 0x28, 0x96, 0x56, 0x03, 0xc0, 0x11, 0x3f, 0x2e, 0x02,
                               0xdc, 0x04, 0x04, 0x05, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00,
                               0x00, 0x01, 0x00, 0x04, 0x68, 0xef, 0x3c, 0x80};

static char folder[512];
static char index_path[600];
static char reel_path[900];
static struct frag_store store;
static struct frag_stream stream;
static uint8_t *room; /* of one fragment */
static struct frag_entry entries[FRAGMENTS];
static struct kn_tracks *tracks;

static void must(int rc, const char *what) {
    if (rc < 0) {
        fprintf(stderr, "bench: %s: %d\n", what, rc);
        exit(1);
    }
}

/* ---- the store ---- */

static void fill_payload(uint8_t *payload, struct kn_sample *samples) {
    uint32_t seed = 1;
    size_t at = 0;
    for (unsigned i = 0; i < FRAMES; i++) {
        uint32_t size = i == 0 ? KEY_BYTES : OTHER_BYTES;
        struct kn_writer head;
        samples[i] = (struct kn_sample){.data = payload + at,
                                        .size = size,
                                        .pts_ns = i * STEP_NS / FRAMES,
                                        .flags = i == 0 ? KN_SAMPLE_KEY : 0};
        for (uint32_t byte = 0; byte < size; byte++) {
            seed = seed * 1664525u + 1013904223u;
            payload[at + byte] = (uint8_t)(seed >> 24 | 1);
        }
        kn_writer_init(&head, payload + at, 5);
        kn_write_be32(&head, size - 4);
        kn_write_u8(&head, i == 0 ? 0x65 : 0x41);
        at += size;
    }
}

static void write_fragments(struct frag_index *index, struct frag_reel *reel, int64_t row) {
    static uint8_t payload[KEY_BYTES + (FRAMES - 1) * OTHER_BYTES];
    struct kn_sample samples[FRAMES];
    struct frag_mkv_packer *packer = NULL;
    struct frag_mkv_cluster cluster;
    fill_payload(payload, samples);
    must(frag_mkv_packer_create(&packer), "packer");
    must(frag_index_begin(index), "begin");
    for (unsigned i = 0; i < FRAGMENTS; i++) {
        int64_t at_ns = START_NS + i * STEP_NS;
        must(frag_mkv_pack_cluster(packer, tracks, 1000000, (uint64_t)(at_ns / KN_NS_PER_MS),
                                   samples, FRAMES, &cluster),
             "pack");
        struct frag_reel_row fragment = {
            .number = {.sequence = (UINT64_C(7) << 32) + 1 + i,
                       .server_ms = (uint64_t)(at_ns / KN_NS_PER_MS)},
            .ordinal = i,
            .producer = {at_ns},
            .server = {at_ns},
            .duration_ns = STEP_NS,
            .frames = FRAMES,
        };
        must(frag_reel_append(reel, &fragment, cluster.iov, cluster.iov_count, cluster.bytes, NULL,
                              NULL),
             "append");
        must(frag_index_add_fragment(index, row, &fragment), "add_fragment");
    }
    must(frag_index_commit(index, false), "commit");
    frag_mkv_packer_destroy(packer);
}

static void write_reel(void) {
    const struct kn_track track = {.number = 1,
                                   .media = KN_MEDIA_VIDEO,
                                   .codec = KN_CODEC_H264,
                                   .codec_id = "V_MPEG4/ISO/AVC",
                                   .codec_private = avcc,
                                   .codec_private_bytes = sizeof(avcc),
                                   .width = 1920,
                                   .height = 1080};
    must(kn_tracks_create(&track, 1, &tracks), "tracks");
    struct frag_reel_config config = {
        .io = store.io,
        .folder = folder,
        .identity = {.opened = {START_NS}, .timecode_scale_ns = 1000000},
        .stream_name = "gate",
        .tracks = tracks};
    struct frag_reel *reel = NULL;
    struct frag_index *index = NULL;
    int64_t row = 0;
    uint64_t bytes = 0;
    must(frag_reel_create(&config, &reel), "create");
    const struct frag_index_reel made = {
        .identity = config.identity, .path = frag_reel_path(reel), .bytes = frag_reel_bytes(reel)};
    (void)snprintf(reel_path, sizeof(reel_path), "%s/%s", folder, made.path);
    must(frag_index_open(index_path, FRAG_INDEX_WRITE, &index), "index");
    must(frag_index_begin(index), "begin");
    must(frag_index_add_reel(index, &made, &row), "add_reel");
    must(frag_index_commit(index, false), "commit");
    write_fragments(index, reel, row);
    must(frag_reel_close(reel, &bytes), "close");
    must(frag_index_begin(index), "begin");
    must(frag_index_close_reel(index, row, bytes), "close_reel");
    must(frag_index_commit(index, false), "commit");
    frag_index_close(index);
}

/* As much of a store as an archive looks at. */
static void make_store(void) {
    store.io = frag_io_system();
    store.clock = kn_clock_system();
    store.index_path = index_path;
    store.folder_count = 1;
    store.folders[0] = (struct frag_folder){.store = &store, .path = folder, .online = true};
    must(kn_budget_create((size_t)1 << 30, NULL, &store.budget), "budget");
    stream.store = &store;
    stream.settings.retention_ns = FRAG_RETAIN_FOREVER;
    must(-pthread_mutex_init(&stream.lock, NULL), "mutex");
    write_reel();
}

/* ---- what is measured: all fragments once ---- */

typedef void measured(struct frag_archive *archive, int fd);

static void load_all(struct frag_archive *archive, int fd) {
    (void)fd;
    for (size_t i = 0; i < FRAGMENTS; i++) {
        struct frag_loaded *loaded = NULL;
        must(frag_archive_load(archive, &entries[i], &loaded), "load");
        if (loaded->sample_count != FRAMES) {
            bench_die("samples are missing");
        }
        frag_loaded_free(loaded);
    }
}

static void load_first_of_each_archive(struct frag_archive *archive, int fd) {
    (void)archive;
    (void)fd;
    for (size_t i = 0; i < FRAGMENTS; i++) {
        struct frag_archive *other = NULL;
        struct frag_loaded *loaded = NULL;
        must(frag_archive_open(&store, &other), "open");
        must(frag_archive_load(other, &entries[i], &loaded), "load");
        frag_loaded_free(loaded);
        frag_archive_close(other);
    }
}

static void read_all(struct frag_archive *archive, int fd) {
    (void)archive;
    for (size_t i = 0; i < FRAGMENTS; i++) {
        must(frag_io_read_exactly(store.io, fd, room, (size_t)entries[i].cluster_bytes,
                                  entries[i].cluster_at),
             "read");
    }
}

static volatile uint32_t sink;

static void checksum_all(struct frag_archive *archive, int fd) {
    (void)archive;
    (void)fd;
    for (size_t i = 0; i < FRAGMENTS; i++) {
        sink = kn_crc32c(0, room, (size_t)entries[i].cluster_bytes);
    }
}

static int count_samples(const struct frag_mkv_fragment *fragment, void *user) {
    *(size_t *)user += fragment->sample_count;
    return 0;
}

static void parse_all(struct frag_archive *archive, int fd) {
    static const struct frag_mkv_reader_handler handler = {.fragment = count_samples};
    size_t samples = 0;
    (void)archive;
    (void)fd;
    for (size_t i = 0; i < FRAGMENTS; i++) {
        const struct frag_mkv_reader_config config = {
            .handler = &handler, .user = &samples, .tracks = tracks};
        struct frag_mkv_reader *reader = NULL;
        must(frag_mkv_reader_create(&config, &reader), "reader");
        must(frag_mkv_reader_push(reader, room, (size_t)entries[i].cluster_bytes), "push");
        frag_mkv_reader_destroy(reader);
    }
    if (samples != (size_t)FRAGMENTS * FRAMES) {
        bench_die("samples are missing");
    }
}

static void look_up_all(struct frag_archive *archive, int fd) {
    (void)fd;
    for (size_t i = 0; i < FRAGMENTS; i++) {
        struct frag_entry entry;
        must(frag_archive_find_time(archive, &stream, FRAG_CLOCK_PRODUCER, entries[i].producer,
                                    &entry),
             "find_time");
    }
}

static const struct {
    const char *name;
    measured *run;
} all[] = {
    {"load", load_all},    {"load_first", load_first_of_each_archive},
    {"read", read_all},    {"checksum", checksum_all},
    {"reader", parse_all}, {"find_time", look_up_all},
};

static void run(void) {
    struct frag_archive *archive = NULL;
    double us[KN_COUNT(all)][BENCH_ROUNDS];
    int fd = open(reel_path, O_RDONLY | O_CLOEXEC);
    must(fd, "reel");
    must(frag_archive_open(&store, &archive), "archive");
    int found = frag_archive_range(archive, &stream, FRAG_CLOCK_SERVER, (struct kn_wall){0},
                                   (struct kn_wall){INT64_MAX}, 0, entries, FRAGMENTS);
    room = malloc((size_t)entries[0].cluster_bytes);
    if (found != (int)FRAGMENTS || room == NULL) {
        bench_die("fragments are missing");
    }
    load_all(archive, fd); /* the page cache has them */
    read_all(archive, fd);
    for (size_t round = 0; round < BENCH_ROUNDS; round++) {
        for (size_t i = 0; i < KN_COUNT(all); i++) {
            double from_s = bench_cpu_s();
            all[i].run(archive, fd);
            us[i][round] = (bench_cpu_s() - from_s) * 1e6 / FRAGMENTS;
        }
    }
    printf("{\"bench\": \"archive\", \"fragment_bytes\": %zu", (size_t)entries[0].cluster_bytes);
    for (size_t i = 0; i < KN_COUNT(all); i++) {
        printf(",\n \"%s_us\": %.1f", all[i].name, bench_median(us[i], BENCH_ROUNDS));
    }
    printf("}\n");
    frag_archive_close(archive);
    (void)close(fd); /* was only read */
}

static void remove_files(void) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < KN_COUNT(endings); i++) {
        char name[700];
        (void)snprintf(name, sizeof(name), "%s%s", index_path, endings[i]);
        (void)unlink(name); /* some are not there */
    }
    (void)unlink(reel_path);
    /* The folders, from below; whatever is left is seen by who looks. */
    for (char *slash = strrchr(reel_path, '/');
         slash != NULL && slash >= reel_path + strlen(folder); slash = strrchr(reel_path, '/')) {
        *slash = '\0';
        (void)rmdir(reel_path);
    }
}

int main(void) {
    const char *place = getenv("TMPDIR");
    (void)snprintf(folder, sizeof(folder), "%s/bench_archive.XXXXXX",
                   place != NULL && place[0] != '\0' ? place : "/tmp");
    if (mkdtemp(folder) == NULL) {
        bench_die("no folder for the files");
    }
    (void)snprintf(index_path, sizeof(index_path), "%s/index.db", folder);
    if (atexit(remove_files) != 0) {
        bench_die("atexit");
    }
    make_store();
    run();
    free(room);
    kn_tracks_unref(tracks);
    return 0;
}
