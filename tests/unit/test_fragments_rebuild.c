/* Stores as their writer leaves them: check finds them sound, also beside the writer, and after a
 * kill; rebuild makes the same index again, and mends what check says it mends. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/error.h"
#include "fragments/store/index.h"
#include "fragments/store/io.h"
#include "fragments/store/reel.h"
#include "tests/unit/fragments_store_world.h"

/* ---- checking ---- */

struct told {
    struct frag_check_report report;
    char first[1400]; /* finding */
    uint64_t files, calls;
    int answer; /* of the progress handler */
};

static int take_finding(const struct frag_check_finding *finding, void *user) {
    struct told *told = user;
    if (told->first[0] == '\0') {
        (void)snprintf(told->first, sizeof(told->first), "%s [%llu, %llu) %s: %s", finding->path,
                       (unsigned long long)finding->from, (unsigned long long)finding->to,
                       finding->stream, finding->what);
    }
    return 0;
}

static int take_progress(const struct frag_check_progress *progress, void *user) {
    struct told *told = user;
    assert_true(progress->files <= progress->files_all && progress->bytes <= progress->bytes_all);
    assert_true(progress->files >= told->files);
    told->files = progress->files;
    told->calls++;
    return told->answer;
}

static const struct frag_check_handler handler = {.finding = take_finding,
                                                  .progress = take_progress};

static struct told check(struct world *world) {
    struct told told = {0};
    struct frag_store_config config = world->config;
    config.mode = FRAG_STORE_READ;
    assert_int_equal(frag_store_check(&config, &handler, &told, &told.report), 0);
    return told;
}

static void is_sound(struct world *world, uint64_t fragments) {
    struct told told = check(world);
    if (told.first[0] != '\0') {
        print_message("# %s\n", told.first);
    }
    assert_string_equal(told.first, "");
    assert_int_equal(told.report.fragments, fragments);
}

/* ---- what an index says ---- */

struct listing {
    struct frag_index *index;
    char *reels[64]; /* each with its fragments, as text */
    size_t count;
    FILE *out;
};

static int list_fragment(const struct frag_reel_row *row, void *user) {
    struct listing *listing = user;
    (void)fprintf(listing->out, " %llu+%llu+%u %llu.%llu.%u %llu %llu %lld %lld %lld %u\n",
                  (unsigned long long)row->cluster_at, (unsigned long long)row->cluster_bytes,
                  row->trailer_bytes, (unsigned long long)row->number.sequence,
                  (unsigned long long)row->number.server_ms, row->number.low,
                  (unsigned long long)row->ordinal, (unsigned long long)row->discontinuities,
                  (long long)row->producer.ns, (long long)row->server.ns,
                  (long long)row->duration_ns, row->flags);
    return 0;
}

static int list_reel(const struct frag_index_reel *reel, void *user) {
    struct listing *listing = user;
    size_t size = 0;
    assert_true(listing->count < KN_COUNT(listing->reels));
    listing->out = open_memstream(&listing->reels[listing->count++], &size);
    assert_non_null(listing->out);
    const struct frag_reel_identity *identity = &reel->identity;
    const uint8_t *ids[] = {identity->store_id, identity->stream_id, identity->reel_id,
                            identity->session_id};
    (void)fprintf(
        listing->out, "%s %u %d %llu %llu %u %llu %lld %lld %llu %u %u ", reel->path, reel->folder,
        (int)reel->state, (unsigned long long)reel->bytes, (unsigned long long)reel->fragments,
        identity->flags, (unsigned long long)identity->epoch, (long long)identity->opened.ns,
        (long long)identity->producer_start.ns, (unsigned long long)identity->timecode_scale_ns,
        identity->number_low, identity->producer_header_bytes);
    for (size_t i = 0; i < KN_COUNT(ids); i++) {
        for (size_t j = 0; j < FRAG_ID_BYTES; j++) {
            (void)fprintf(listing->out, "%02x", ids[i][j]);
        }
    }
    (void)fprintf(listing->out, "\n");
    assert_int_equal(frag_index_each_fragment(listing->index, reel->row, list_fragment, listing),
                     0);
    assert_int_equal(fclose(listing->out), 0);
    return 0;
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In order of paths, which the numbers of rows are not. */
static struct listing list_index(struct world *world) {
    struct listing listing = {0};
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/index.db", world->folder);
    assert_int_equal(frag_index_open(path, FRAG_INDEX_READ, &listing.index), 0);
    assert_int_equal(frag_index_each_reel(listing.index, list_reel, &listing), 0);
    frag_index_close(listing.index);
    qsort(listing.reels, listing.count, sizeof(*listing.reels), compare_texts);
    return listing;
}

static void same_listing(struct listing *before, struct listing *after) {
    assert_int_equal(before->count, after->count);
    for (size_t i = 0; i < before->count; i++) {
        assert_string_equal(before->reels[i], after->reels[i]);
        free(before->reels[i]);
        free(after->reels[i]);
    }
}

static struct frag_store_opening rebuild(struct world *world, uint64_t reels) {
    struct told told = {0};
    struct frag_store_opening opening;
    assert_int_equal(frag_store_rebuild(&world->config, &handler, &told, &opening), 0);
    assert_true(opening.index_rebuilt);
    assert_false(opening.created);
    assert_int_equal(told.files, reels);
    return opening;
}

/* ---- stores ---- */

static void later(struct world *world, int64_t seconds) {
    fake_clock_advance(&world->clock, seconds * KN_NS_PER_S);
}

/* Two storage directories, two streams, several reels of each; a kept one. 27 fragments. */
static void record_some(struct world *world) {
    static char other[96];
    static const char *folders[] = {other};
    (void)snprintf(other, sizeof(other), "%s/disk2", world->folder);
    world->config.folders = folders;
    world->config.folder_count = 1;
    world_open(world);
    for (uint32_t i = 0; i < 3; i++) {
        world_record(world, "door", 1 + i, 250); /* 5 fragments */
        later(world, 700);
        world_record(world, "yard", 11 + i, 200); /* 4 */
        later(world, 700);
    }
    assert_int_equal(frag_store_flush(world->store), 0);
}

static void sound_closed(void **state) {
    struct world *world = *state;
    record_some(world);
    is_sound(world, 27);
    world_close(world);
    is_sound(world, 27);
    world_open(world);
    is_sound(world, 27);
    world_record(world, "door", 5, 100);
    assert_int_equal(frag_store_flush(world->store), 0);
    is_sound(world, 29);
    world_kill(world);
    is_sound(world, 29);
    world_open(world);
    is_sound(world, 29);
}

static void sound_kept(void **state) {
    struct world *world = *state;
    record_some(world);
    struct frag_stream *stream = world_stream(world, "door");
    struct frag_hold hold = {.clock = FRAG_CLOCK_SERVER,
                             .from = {WORLD_START + 3 * KN_NS_PER_S},
                             .to = {WORLD_START + 5 * KN_NS_PER_S},
                             .reason = "case 12"};
    assert_int_equal(frag_hold_add(stream, &hold), 0);
    is_sound(world, 27);
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = 1300 * KN_NS_PER_S;
    assert_int_equal(frag_stream_update(stream, NULL, &settings), 0);
    frag_retention_confirm_clock(world->store);
    later(world, 10);
    assert_int_equal(frag_retention_run(world->store), 0);
    struct told told = check(world);
    assert_string_equal(told.first, "");
    assert_true(told.report.fragments < 27 && told.report.fragments > 0);
    world_close(world);
    is_sound(world, told.report.fragments);
    struct listing before = list_index(world);
    (void)rebuild(world, before.count);
    struct listing after = list_index(world);
    same_listing(&before, &after);
    is_sound(world, told.report.fragments);
}

/* Two sessions at once in one stream: their reels overlap. */
static void sound_sessions(void **state) {
    struct world *world = *state;
    struct frag_writer_config config = {0};
    struct frag_writer *writers[2];
    struct camera cameras[2];
    world_open(world);
    for (uint32_t i = 0; i < 2; i++) {
        world_camera(world, &cameras[i], i + 1);
        assert_int_equal(frag_writer_open(world_stream(world, "door"), &config, &writers[i]), 0);
    }
    for (unsigned i = 0; i < 40; i++) {
        camera_send(&cameras[i % 3 == 0 ? 1 : 0], writers[i % 3 == 0 ? 1 : 0], 37);
    }
    assert_int_equal(frag_store_flush(world->store), 0);
    struct told told = check(world);
    assert_string_equal(told.first, "");
    for (size_t i = 0; i < 2; i++) {
        frag_writer_close(writers[i], FRAG_GAP_PRODUCER_AWAY);
        camera_finish(&cameras[i]);
    }
    world_close(world);
    told = check(world);
    assert_string_equal(told.first, "");
    assert_true(told.report.fragments >= 28);
    struct listing before = list_index(world);
    (void)rebuild(world, before.count);
    struct listing after = list_index(world);
    same_listing(&before, &after);
    is_sound(world, told.report.fragments);
}

/* ---- a disk that fails ---- */

/* The machine's operations, but the next sync of a reel fails. */
static struct {
    struct frag_io io;
    bool reels[1024]; /* by descriptor */
    bool fail;
} failing;

static int failing_open(struct frag_io *io, const char *path, enum frag_io_mode mode) {
    struct frag_io *machine = frag_io_system();
    (void)io;
    int fd = machine->open(machine, path, mode);
    if (fd >= 0 && fd < (int)KN_COUNT(failing.reels)) {
        failing.reels[fd] = strstr(path, ".mkv") != NULL;
    }
    return fd;
}

static int failing_sync(struct frag_io *io, int fd) {
    struct frag_io *machine = frag_io_system();
    (void)io;
    if (failing.fail && fd < (int)KN_COUNT(failing.reels) && failing.reels[fd]) {
        failing.fail = false;
        return -EIO;
    }
    return machine->sync(machine, fd);
}

/* The reel is sealed, its last fragments do not count, their ordinals are a gap's. */
static void sound_sealed(void **state) {
    struct world *world = *state;
    struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    struct camera camera;
    failing.io = *frag_io_system();
    failing.io.open = failing_open;
    failing.io.sync = failing_sync;
    world->config.io = &failing.io;
    world_open(world);
    world_camera(world, &camera, 1);
    assert_int_equal(frag_writer_open(world_stream(world, "door"), &config, &writer), 0);
    camera_send(&camera, writer, 220);
    assert_int_equal(frag_store_flush(world->store), 0);
    is_sound(world, 4);
    failing.fail = true;
    camera_send(&camera, writer, 100);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_false(failing.fail);
    camera_send(&camera, writer, 200);
    assert_int_equal(frag_store_flush(world->store), 0);
    struct frag_store_stats stats = frag_store_stats(world->store);
    assert_true(stats.failed > 0);
    struct told told = check(world);
    assert_string_equal(told.first, "");
    uint64_t fragments = told.report.fragments;
    frag_writer_abort(writer, FRAG_GAP_CRASH);
    camera_finish(&camera);
    world_kill(world);
    is_sound(world, fragments);
    world_open(world);
    is_sound(world, fragments);
    world_close(world);
    is_sound(world, fragments);
    struct listing before = list_index(world);
    (void)rebuild(world, before.count);
    struct listing after = list_index(world);
    same_listing(&before, &after);
    is_sound(world, fragments);
}

static void rebuilt_the_same(void **state) {
    struct world *world = *state;
    record_some(world);
    world_close(world);
    struct listing before = list_index(world);
    assert_true(before.count >= 6);
    struct frag_store_opening opening = rebuild(world, before.count);
    assert_int_equal(opening.reels, before.count);
    assert_int_equal(opening.fragments, 27);
    assert_int_equal(opening.recovered_reels, 0);
    struct listing after = list_index(world);
    same_listing(&before, &after);
    is_sound(world, 27);
    world_open(world);
    assert_int_equal(world_check(world, "door"), 15);
    assert_int_equal(world_check(world, "yard"), 12);
}

/* What was open is closed by it. */
static void rebuilt_after_a_kill(void **state) {
    struct world *world = *state;
    record_some(world);
    struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    struct camera camera;
    world_camera(world, &camera, 5);
    assert_int_equal(frag_writer_open(world_stream(world, "door"), &config, &writer), 0);
    camera_send(&camera, writer, 120);
    assert_int_equal(frag_store_flush(world->store), 0);
    frag_writer_abort(writer, FRAG_GAP_CRASH);
    camera_finish(&camera);
    world_kill(world);
    is_sound(world, 29); /* the open reel is, as far as its rows go */
    struct frag_store_opening opening = rebuild(world, 7);
    assert_int_equal(opening.recovered_reels, 1);
    assert_int_equal(opening.fragments, 29);
    is_sound(world, 29);
    struct listing before = list_index(world);
    (void)rebuild(world, before.count);
    struct listing after = list_index(world);
    same_listing(&before, &after);
}

static void refuses(void **state) {
    struct world *world = *state;
    struct frag_store_opening opening;
    struct told told = {0};
    assert_int_equal(frag_store_rebuild(&world->config, NULL, NULL, &opening), -ENOENT);
    assert_true(opening.problem[0] != '\0');
    assert_int_equal(access(world->folder, F_OK), 0);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/journal", world->folder);
    assert_int_equal(access(path, F_OK), -1);
    record_some(world);
    struct listing before = list_index(world);
    assert_int_equal(frag_store_rebuild(&world->config, NULL, NULL, &opening), -EBUSY);
    struct listing after = list_index(world);
    same_listing(&before, &after);
    world_close(world);
    /* Stopped half-way, the next start goes on with it. */
    told.answer = -ECANCELED;
    assert_int_equal(frag_store_rebuild(&world->config, &handler, &told, &opening), -ECANCELED);
    assert_int_equal(told.calls, 1);
    world_open(world);
    assert_int_equal(world->opening.fragments, 27);
    is_sound(world, 27);
}

/* ---- what a rebuild mends ---- */

static void flip(const char *path, uint64_t at) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    assert_int_equal(close(fd), 0);
}

struct first_reel {
    char path[700];
    uint64_t bytes;
    const char *folder;
};

static int take_first(const struct frag_index_reel *reel, void *user) {
    struct first_reel *first = user;
    if (reel->folder == 0 && first->path[0] == '\0') {
        (void)snprintf(first->path, sizeof(first->path), "%s/%s", first->folder, reel->path);
        first->bytes = reel->bytes;
    }
    return 0;
}

static struct first_reel find_reel(struct world *world) {
    struct first_reel first = {.folder = world->folder};
    struct frag_index *index = NULL;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/index.db", world->folder);
    assert_int_equal(frag_index_open(path, FRAG_INDEX_READ, &index), 0);
    assert_int_equal(frag_index_each_reel(index, take_first, &first), 0);
    frag_index_close(index);
    assert_true(first.path[0] != '\0');
    return first;
}

enum harm { HARM_TABLE, HARM_PAGE, HARM_CUT, HARM_INDEX, HARM_MOVED };

static void harm_store(struct world *world, enum harm harm, const struct first_reel *reel) {
    char path[720];
    switch (harm) {
    case HARM_TABLE:
        flip(reel->path, reel->bytes - 9);
        return;
    case HARM_PAGE:
        flip(reel->path, FRAG_REEL_SEEK_AT + 20);
        return;
    case HARM_CUT:
        assert_int_equal(truncate(reel->path, (off_t)(reel->bytes - 20)), 0);
        return;
    case HARM_INDEX:
        (void)snprintf(path, sizeof(path), "%s/index.db", world->folder);
        assert_int_equal(truncate(path, 20000), 0);
        return;
    case HARM_MOVED:
        (void)snprintf(path, sizeof(path), "%.600s.moved.mkv", reel->path);
        assert_int_equal(rename(reel->path, path), 0);
        return;
    }
}

static void mends(void **state) {
    struct world *world = *state;
    record_some(world);
    world_close(world);
    for (enum harm harm = HARM_TABLE; harm <= HARM_MOVED; harm++) {
        struct first_reel reel = find_reel(world);
        harm_store(world, harm, &reel);
        struct told told = check(world);
        assert_true(told.report.damages >= 1);
        struct frag_store_opening opening;
        assert_int_equal(frag_store_rebuild(&world->config, NULL, NULL, &opening), 0);
        assert_int_equal(opening.damaged_files + opening.lost_files, 0);
        is_sound(world, 27);
    }
}

static int count_lost(const struct frag_gap_entry *gap, void *user) {
    uint32_t *ordinals = user;
    *ordinals += gap->gap.cause == FRAG_GAP_FILE_LOST ? gap->ordinals : 0;
    return 0;
}

/* Only the old index knows what there was. */
static void remembers_lost_files(void **state) {
    struct world *world = *state;
    struct frag_store_opening opening;
    uint32_t ordinals = 0;
    record_some(world);
    world_close(world);
    struct first_reel reel = find_reel(world);
    assert_int_equal(unlink(reel.path), 0);
    assert_int_equal(frag_store_rebuild(&world->config, NULL, NULL, &opening), 0);
    assert_int_equal(opening.lost_files, 1);
    uint64_t lost = 27 - opening.fragments;
    assert_true(lost > 0);
    world_open(world);
    static const char *const names[] = {"door", "yard"};
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        struct kn_wall from = {INT64_MIN};
        struct kn_wall to = {INT64_MAX};
        assert_int_equal(
            frag_gap_each(world_stream(world, names[i]), from, to, count_lost, &ordinals), 0);
    }
    assert_int_equal(ordinals, lost);
    is_sound(world, 27 - lost);
}

static uint64_t free_bytes;

static int little_space(struct frag_io *io, const char *path, uint64_t *ret_free,
                        uint64_t *ret_total) {
    (void)io;
    (void)path;
    *ret_free = free_bytes;
    *ret_total = UINT64_C(1) << 40;
    return 0;
}

static void needs_room(void **state) {
    struct world *world = *state;
    struct frag_store_opening opening;
    struct frag_io io = *frag_io_system();
    char path[128];
    struct stat info;
    record_some(world);
    world_close(world);
    struct listing before = list_index(world);
    (void)snprintf(path, sizeof(path), "%s/index.db", world->folder);
    assert_int_equal(stat(path, &info), 0);
    ino_t file = info.st_ino;
    io.space = little_space;
    world->config.io = &io;
    free_bytes = (uint64_t)info.st_size + (UINT64_C(16) << 20) - 1;
    assert_int_equal(frag_store_rebuild(&world->config, NULL, NULL, &opening), -ENOSPC);
    assert_non_null(strstr(opening.problem, world->folder));
    struct listing after = list_index(world);
    same_listing(&before, &after);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_ino, file);
    free_bytes++;
    assert_int_equal(frag_store_rebuild(&world->config, NULL, NULL, &opening), 0);
    assert_int_equal(opening.fragments, 27);
    world->config.io = NULL;
}

/* ---- beside a writer ---- */

struct recorder {
    struct world *world;
    uint64_t seed;
    atomic_bool done;
};

/* Sessions one after the other, on a clock that runs ahead, so that reels close and expire. */
static void *record_on(void *user) {
    struct recorder *recorder = user;
    struct world *world = recorder->world;
    for (uint32_t i = 0; i < 40; i++) {
        world_record(world, i % 2 == 0 ? "door" : "yard", 100 + i, 250);
        /* Rows come long before the clock has gone on for a minute. */
        if (frag_store_flush(world->store) != 0) {
            break;
        }
        later(world, 200);
        if (i % 4 == 3 && frag_retention_run(world->store) != 0) {
            break;
        }
    }
    atomic_store(&recorder->done, true);
    return NULL;
}

static void beside_a_writer(void **state) {
    struct world *world = *state;
    struct recorder recorder = {.world = world};
    pthread_t thread;
    unsigned checks = 0;
    world->config.threads = true;
    record_some(world);
    static const char *const names[] = {"door", "yard"};
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        struct frag_stream_settings settings = frag_stream_settings_defaults();
        settings.retention_ns = 1500 * KN_NS_PER_S;
        assert_int_equal(frag_stream_update(world_stream(world, names[i]), NULL, &settings), 0);
        struct frag_hold hold = {.clock = FRAG_CLOCK_SERVER,
                                 .from = {WORLD_START},
                                 .to = {WORLD_START + 40000 * KN_NS_PER_S},
                                 .reason = "all of it"};
        hold.to.ns -= i == 0 ? 36000 * KN_NS_PER_S : 40000 * KN_NS_PER_S;
        assert_int_equal(frag_hold_add(world_stream(world, names[i]), &hold), 0);
    }
    frag_retention_confirm_clock(world->store);
    assert_int_equal(pthread_create(&thread, NULL, record_on, &recorder), 0);
    while (!atomic_load(&recorder.done)) {
        struct told told = check(world);
        if (told.report.damages + told.report.repairs > 0) {
            print_message("# %s\n", told.first);
        }
        assert_int_equal(told.report.damages + told.report.repairs, 0);
        checks++;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(checks > 0);
    assert_int_equal(frag_store_flush(world->store), 0);
    struct frag_store_stats stats = frag_store_stats(world->store);
    print_message("# %u checks beside %llu fragments, %llu reels deleted\n", checks,
                  (unsigned long long)stats.appended, (unsigned long long)stats.deleted_reels);
    assert_true(stats.deleted_reels > 0);
    world_close(world);
    struct told told = check(world);
    assert_string_equal(told.first, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sound_closed, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(sound_kept, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(sound_sessions, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(sound_sealed, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(rebuilt_the_same, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(rebuilt_after_a_kill, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(refuses, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(mends, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(remembers_lost_files, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(needs_room, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(beside_a_writer, world_setup, world_teardown),
    };
    return cmocka_run_group_tests_name("fragments rebuild", tests, NULL, NULL);
}
