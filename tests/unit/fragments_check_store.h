/* A small store made by hand: two storage directories, journal, index, reels with every property
 * that `kinora check` looks at; and what a check of it tells. */
#ifndef TESTS_UNIT_FRAGMENTS_CHECK_STORE_H
#define TESTS_UNIT_FRAGMENTS_CHECK_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/store/catalog.h"
#include "fragments/store/index.h"
#include "fragments/store/reel.h"
#include "fragments/store/values.h"
#include "fragments/upkeep.h"
#include "tests/support/fake_clock.h"

#define MADE_REELS 16
#define MADE_ROWS 256
#define MADE_EPOCH 3
#define MADE_START_NS INT64_C(1790000000000000000)
#define MADE_FINDINGS 256

struct made_reel {
    struct frag_reel_identity identity;
    uint16_t folder;
    char path[FRAG_REEL_PATH_BYTES]; /* below it */
    char whole[512];
    struct frag_reel_row rows[MADE_ROWS];
    size_t count;
    uint64_t bytes;
    int64_t row; /* of the index */
};

struct made {
    char root[128];
    char data[160];
    char other[160];
    struct frag_io io; /* the machine's, without syncs */
    struct fake_clock clock;
    struct frag_catalog *catalog;
    struct frag_index *index;
    struct made_reel reels[MADE_REELS];
    size_t count, fragments;
};

/* What a reel is made of. */
struct made_plan {
    uint8_t stream;
    uint16_t folder, flags;
    uint64_t counter, ordinal, discontinuities; /* of the first one */
    uint64_t step;                              /* of counter and ordinal; 0: 1 */
    size_t count;
    bool open;
    bool no_row;
};

static inline int made_no_sync(struct frag_io *io, int fd) {
    (void)io;
    (void)fd;
    return 0;
}

static inline int made_no_sync_folder(struct frag_io *io, const char *path) {
    (void)io;
    (void)path;
    return 0;
}

static inline void made_id(uint8_t id[static FRAG_ID_BYTES], uint8_t kind, uint8_t number) {
    memset(id, 0, FRAG_ID_BYTES);
    id[0] = kind;
    id[1] = number;
    id[FRAG_ID_BYTES - 1] = 0x77;
}

/* ---- journal and identities ---- */

static inline void made_put(struct made *made, uint16_t kind, const void *key, size_t key_bytes,
                            struct kn_writer *value) {
    assert_int_equal(kn_writer_status(value), 0);
    assert_int_equal(
        frag_catalog_put(made->catalog, kind, key, key_bytes, value->data, value->size), 0);
    kn_writer_clear(value);
}

static inline void made_identity(const char *folder, uint8_t number) {
    char path[200];
    uint8_t room[FRAG_IDENTITY_BYTES];
    struct frag_folder_identity identity = {.main = number == 0};
    made_id(identity.store_id, 0x51, 0);
    made_id(identity.folder_id, 0x50, number);
    frag_identity_write(&identity, room);
    (void)snprintf(path, sizeof(path), "%s/" FRAG_IDENTITY_FILE, folder);
    FILE *file = fopen(path, "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(room, 1, sizeof(room), file), sizeof(room));
    assert_int_equal(fclose(file), 0);
}

static inline void made_folder(struct made *made, uint16_t number, const char *path) {
    struct frag_value_folder *folder = calloc(1, sizeof(*folder));
    struct kn_writer value;
    uint8_t id[FRAG_ID_BYTES];
    uint8_t key[FRAG_KEY_BYTES_MAX];
    assert_non_null(folder);
    folder->number = number;
    (void)snprintf(folder->path, sizeof(folder->path), "%s", path);
    kn_writer_init_growing(&value, 65536);
    frag_value_write_folder(&value, folder);
    made_id(id, 0x50, (uint8_t)number);
    made_put(made, FRAG_CATALOG_STORE, key, frag_key_of(FRAG_KEY_FOLDER, id, key), &value);
    kn_writer_finish(&value);
    free(folder);
}

static inline void made_stream(struct made *made, uint8_t number, const char *name) {
    struct frag_value_stream stream = {.version = "AAAAAAAAAAAAAAAAAAAA",
                                       .created = {MADE_START_NS},
                                       .settings = {.retention_ns = FRAG_RETAIN_FOREVER,
                                                    .target_ns = 2 * KN_NS_PER_S,
                                                    .folder = FRAG_FOLDER_ANY}};
    struct kn_writer value;
    uint8_t id[FRAG_ID_BYTES];
    (void)snprintf(stream.name, sizeof(stream.name), "%s", name);
    kn_writer_init_growing(&value, 65536);
    frag_value_write_stream(&value, &stream);
    made_id(id, 0x52, number);
    made_put(made, FRAG_CATALOG_STREAM, id, sizeof(id), &value);
    kn_writer_finish(&value);
}

static inline void made_hold(struct made *made, uint8_t number, uint8_t stream) {
    struct frag_value_hold hold = {.clock = FRAG_CLOCK_SERVER,
                                   .from = {MADE_START_NS},
                                   .to = {MADE_START_NS + KN_NS_PER_S},
                                   .created = {MADE_START_NS},
                                   .reason = "case 12"};
    struct kn_writer value;
    uint8_t id[FRAG_ID_BYTES];
    made_id(hold.stream, 0x52, stream);
    made_id(id, 0x58, number);
    kn_writer_init_growing(&value, 65536);
    frag_value_write_hold(&value, &hold);
    made_put(made, FRAG_CATALOG_HOLD, id, sizeof(id), &value);
    kn_writer_finish(&value);
}

static inline void made_gap(struct made *made, uint8_t stream, uint32_t number, bool open,
                            uint64_t ordinal, uint32_t ordinals) {
    const struct frag_gap_entry gap = {.gap = {.from = {MADE_START_NS},
                                               .to = {MADE_START_NS + (open ? 0 : KN_NS_PER_S)},
                                               .cause = FRAG_GAP_CRASH},
                                       .open = open,
                                       .ordinal = ordinal,
                                       .ordinals = ordinals};
    struct frag_gap_key at = {.from = {MADE_START_NS}, .number = number};
    struct kn_writer value;
    uint8_t key[FRAG_GAP_KEY_BYTES];
    made_id(at.stream, 0x52, stream);
    frag_gap_key_write(&at, key);
    kn_writer_init_growing(&value, 65536);
    frag_value_write_gap(&value, &gap);
    made_put(made, FRAG_CATALOG_GAP, key, sizeof(key), &value);
    kn_writer_finish(&value);
}

static inline void made_epoch(struct made *made, uint64_t epoch) {
    struct kn_writer value;
    kn_writer_init_growing(&value, 65536);
    frag_value_write_u64(&value, epoch);
    made_put(made, FRAG_CATALOG_STORE, FRAG_KEY_EPOCH, strlen(FRAG_KEY_EPOCH), &value);
    kn_writer_finish(&value);
}

static inline void made_seal(struct made *made, const struct made_reel *reel, uint64_t bytes) {
    struct frag_value_seal seal = {.bytes = bytes};
    struct kn_writer value;
    memcpy(seal.stream, reel->identity.stream_id, FRAG_ID_BYTES);
    kn_writer_init_growing(&value, 65536);
    frag_value_write_seal(&value, &seal);
    made_put(made, FRAG_CATALOG_SEAL, reel->identity.reel_id, FRAG_ID_BYTES, &value);
    kn_writer_finish(&value);
}

/* ---- reels ---- */

static inline struct kn_tracks *made_tracks(void) {
    const struct kn_track items[] = {{.number = 1,
                                      .uid = 11,
                                      .media = KN_MEDIA_VIDEO,
                                      .codec_id = "V_MJPEG",
                                      .width = 64,
                                      .height = 48}};
    struct kn_tracks *tracks = NULL;
    assert_int_equal(kn_tracks_create(items, KN_COUNT(items), &tracks), 0);
    return tracks;
}

/* A key frame of this many bytes that say where they are from. */
static inline void made_cluster(struct kn_writer *writer, uint64_t seed, size_t payload) {
    kn_write_be32(writer, FRAG_MKV_CLUSTER);
    kn_write_be64(writer, UINT64_C(0x0100000000000000) | (3 + 1 + 8 + 4 + payload));
    kn_write_be24(writer, 0xE78100); /* Timecode 0 */
    kn_write_u8(writer, 0xA3);       /* SimpleBlock */
    kn_write_be64(writer, UINT64_C(0x0100000000000000) | (4 + payload));
    kn_write_be32(writer, 0x81000080); /* track 1, at 0, key */
    for (size_t i = 0; i < payload; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        kn_write_u8(writer, (uint8_t)(seed >> 56));
    }
    assert_int_equal(kn_writer_status(writer), 0);
}

static inline struct frag_reel_row made_row(const struct made_plan *plan,
                                            const struct frag_reel_identity *identity, size_t i) {
    uint64_t step = (plan->step != 0 ? plan->step : 1) * i;
    uint64_t counter = plan->counter + step;
    int64_t time_ns = MADE_START_NS + (int64_t)(counter & UINT32_MAX) * 2 * KN_NS_PER_S;
    return (struct frag_reel_row){
        .number = {.sequence = (UINT64_C(2) << 32) + counter,
                   .server_ms = (uint64_t)(time_ns / KN_NS_PER_MS),
                   .low = identity->number_low},
        .ordinal = plan->ordinal + step,
        .discontinuities = plan->discontinuities,
        .producer = {time_ns},
        .server = {time_ns},
        .duration_ns = 2 * KN_NS_PER_S,
        .frames = 1,
        .received_width = 0,
    };
}

static inline void made_append(struct frag_reel *reel, struct frag_reel_row *row) {
    uint8_t room[2048];
    struct kn_writer cluster;
    kn_writer_init(&cluster, room, sizeof(room));
    made_cluster(&cluster, row->number.sequence, 200 + (size_t)(row->number.sequence % 5) * 100);
    const struct iovec slice = {.iov_base = room, .iov_len = cluster.size};
    assert_int_equal(frag_reel_append(reel, row, &slice, 1, cluster.size, NULL, NULL), 0);
}

static inline void made_add_row(struct made *made, struct made_reel *reel, bool open) {
    struct frag_index_reel row = {.identity = reel->identity,
                                  .folder = reel->folder,
                                  .path = reel->path,
                                  .bytes = open ? reel->rows[0].cluster_at : reel->bytes};
    assert_int_equal(frag_index_begin(made->index), 0);
    if (open) {
        assert_int_equal(frag_index_add_reel(made->index, &row, &reel->row), 0);
        for (size_t i = 0; i < reel->count; i++) {
            assert_int_equal(frag_index_add_fragment(made->index, reel->row, &reel->rows[i]), 0);
        }
    } else {
        struct frag_reel_identity identity;
        struct kn_writer table;
        kn_writer_init_growing(&table, 65536);
        assert_int_equal(frag_reel_read_footer(&made->io, reel->whole, &identity, &table), 0);
        assert_int_equal(
            frag_index_add_closed_reel(made->index, &row, table.data, table.size, &reel->row), 0);
        kn_writer_finish(&table);
    }
    assert_int_equal(frag_index_commit(made->index, false), 0);
}

static inline struct made_reel *made_add(struct made *made, const struct made_plan *plan) {
    assert_true(made->count < MADE_REELS && plan->count <= MADE_ROWS);
    struct made_reel *reel = &made->reels[made->count++];
    const char *folder = plan->folder == 0 ? made->data : made->other;
    *reel = (struct made_reel){.folder = plan->folder, .count = plan->count};
    reel->identity = (struct frag_reel_identity){
        .flags = plan->flags,
        .epoch = 2,
        .opened = {MADE_START_NS + (int64_t)(plan->counter & UINT32_MAX) * 2 * KN_NS_PER_S},
        .timecode_scale_ns = 1000000,
        .number_low = 4711,
    };
    made_id(reel->identity.store_id, 0x51, 0);
    made_id(reel->identity.stream_id, 0x52, plan->stream);
    made_id(reel->identity.reel_id, (uint8_t)made->count, 0x53);
    made_id(reel->identity.session_id, 0x54, (uint8_t)made->count);
    struct kn_tracks *tracks = made_tracks();
    const struct frag_reel_config config = {.io = &made->io,
                                            .folder = folder,
                                            .identity = reel->identity,
                                            .stream_name = "any",
                                            .tracks = tracks};
    struct frag_reel *file = NULL;
    assert_int_equal(frag_reel_create(&config, &file), 0);
    kn_tracks_unref(tracks);
    (void)snprintf(reel->path, sizeof(reel->path), "%s", frag_reel_path(file));
    char whole[sizeof(reel->whole)];
    (void)snprintf(whole, sizeof(whole), "%s/%s", folder, reel->path);
    memcpy(reel->whole, whole, sizeof(whole));
    for (size_t i = 0; i < plan->count; i++) {
        reel->rows[i] = made_row(plan, &reel->identity, i);
        made_append(file, &reel->rows[i]);
    }
    reel->bytes = frag_reel_bytes(file);
    if (plan->open) {
        frag_reel_abandon(file);
    } else {
        assert_int_equal(frag_reel_close(file, &reel->bytes), 0);
    }
    if (!plan->no_row) {
        made_add_row(made, reel, plan->open);
    }
    made->fragments += plan->count;
    return reel;
}

/* ---- the store ---- */

static inline void made_open_index(struct made *made) {
    char path[200];
    (void)snprintf(path, sizeof(path), "%s/index.db", made->data);
    assert_int_equal(frag_index_open(path, FRAG_INDEX_WRITE, &made->index), 0);
}

static inline void made_open_journal(struct made *made) {
    const char *folders[] = {made->data, made->other};
    struct frag_catalog_config config = {.io = &made->io, .folders = folders, .folder_count = 2};
    made_id(config.store_id, 0x51, 0);
    assert_int_equal(frag_catalog_open(&config, &made->catalog, NULL), 0);
}

/* Nobody has it open any more, as it stands when no store runs. */
static inline void made_close(struct made *made) {
    frag_catalog_close(made->catalog);
    frag_index_close(made->index);
    made->catalog = NULL;
    made->index = NULL;
}

/* Two directories, epoch, two streams; nothing else yet, and all open for adding. */
static inline struct made *made_begin(void) {
    struct made *made = calloc(1, sizeof(*made));
    assert_non_null(made);
    const char *place = getenv("TMPDIR");
    char root[100];
    (void)snprintf(root, sizeof(root), "%.70s/kinora-check.XXXXXX",
                   place != NULL && place[0] != '\0' ? place : "/tmp");
    assert_non_null(mkdtemp(root));
    (void)snprintf(made->root, sizeof(made->root), "%s", root);
    (void)snprintf(made->data, sizeof(made->data), "%s/data", root);
    (void)snprintf(made->other, sizeof(made->other), "%s/other", root);
    assert_int_equal(mkdir(made->data, 0700), 0);
    assert_int_equal(mkdir(made->other, 0700), 0);
    made->io = *frag_io_system();
    made->io.sync = made_no_sync;
    made->io.sync_folder = made_no_sync_folder;
    fake_clock_init(&made->clock, MADE_START_NS + 3600 * KN_NS_PER_S, 0);
    made_identity(made->data, 0);
    made_identity(made->other, 1);
    made_open_journal(made);
    made_open_index(made);
    made_epoch(made, MADE_EPOCH);
    made_folder(made, 0, "");
    made_folder(made, 1, made->other);
    made_stream(made, 1, "gate");
    made_stream(made, 2, "yard");
    return made;
}

/* Two sessions of `gate` that overlap, in both directories, one of them open; a kept copy; a gap
 * between reels; `yard` with one reel. */
static inline struct made *made_store(void) {
    struct made *made = made_begin();
    (void)made_add(made, &(struct made_plan){.stream = 1, .counter = 1, .ordinal = 1, .count = 6});
    (void)made_add(made, &(struct made_plan){.stream = 1,
                                             .folder = 1,
                                             .counter = 10,
                                             .ordinal = 10,
                                             .discontinuities = 1,
                                             .step = 2,
                                             .count = 5});
    (void)made_add(made, &(struct made_plan){.stream = 1,
                                             .counter = 11,
                                             .ordinal = 11,
                                             .discontinuities = 1,
                                             .step = 2,
                                             .count = 4,
                                             .open = true});
    (void)made_add(
        made, &(struct made_plan){
                  .stream = 1, .flags = FRAG_REEL_KEPT, .counter = 2, .ordinal = 2, .count = 2});
    (void)made_add(made, &(struct made_plan){.stream = 2, .counter = 30, .ordinal = 1, .count = 8});
    made_gap(made, 1, 0, false, 7, 3);
    made_gap(made, 2, 0, true, 9, 0);
    made_hold(made, 1, 1);
    made_close(made);
    return made;
}

static inline void made_remove(const char *path) {
    char command[300];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", path);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a name made here */
}

static inline void made_end(struct made *made) {
    made_close(made);
    made_remove(made->root);
    free(made);
}

/* ---- checking ---- */

struct made_finding {
    struct frag_check_finding is;
    char path[600], stream[FRAG_STREAM_NAME_BYTES], what[700];
};

struct made_checked {
    struct made_finding findings[MADE_FINDINGS];
    size_t count;
    struct frag_check_report report;
    struct frag_check_progress progress;
    int stop_at; /* findings after which the handler has enough; 0: never */
};

static inline int made_take(const struct frag_check_finding *finding, void *user) {
    struct made_checked *checked = user;
    assert_true(checked->count < MADE_FINDINGS);
    struct made_finding *to = &checked->findings[checked->count++];
    to->is = *finding;
    (void)snprintf(to->path, sizeof(to->path), "%s", finding->path);
    (void)snprintf(to->stream, sizeof(to->stream), "%s", finding->stream);
    (void)snprintf(to->what, sizeof(to->what), "%s", finding->what);
    assert_true(finding->from <= finding->to);
    return checked->stop_at > 0 && (int)checked->count == checked->stop_at ? -ECANCELED : 0;
}

static inline int made_progress(const struct frag_check_progress *progress, void *user) {
    struct made_checked *checked = user;
    assert_true(progress->files >= checked->progress.files &&
                progress->bytes >= checked->progress.bytes);
    assert_true(progress->files <= progress->files_all && progress->bytes <= progress->bytes_all);
    checked->progress = *progress;
    return 0;
}

/* Free it. */
static inline struct made_checked *made_check_to(struct made *made, int stop_at, int expected) {
    static const struct frag_check_handler handler = {.finding = made_take,
                                                      .progress = made_progress};
    struct made_checked *checked = calloc(1, sizeof(*checked));
    assert_non_null(checked);
    const char *folders[] = {made->other};
    struct frag_store_config config = {.data = made->data,
                                       .folders = folders,
                                       .folder_count = 1,
                                       .mode = FRAG_STORE_READ,
                                       .io = &made->io,
                                       .clock = &made->clock.clock};
    checked->stop_at = stop_at;
    int rc = frag_store_check(&config, &handler, checked, &checked->report);
    assert_int_equal(rc, expected);
    return checked;
}

static inline struct made_checked *made_check(struct made *made) {
    return made_check_to(made, 0, 0);
}

static inline void made_print(const struct made_checked *checked) {
    for (size_t i = 0; i < checked->count; i++) {
        const struct made_finding *finding = &checked->findings[i];
        print_message("# %d %s [%llu, %llu) %s: %s\n", (int)finding->is.severity, finding->path,
                      (unsigned long long)finding->is.from, (unsigned long long)finding->is.to,
                      finding->stream, finding->what);
    }
}

#endif
