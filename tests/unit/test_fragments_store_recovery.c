/* Starts at which single files or further directories are not what they were: nothing that can be
 * read is given up, what is gone is told, and no number is used twice. */
#include "base/error.h"
#include "fragments/store/engine.h"
#include "fragments/store/reel_format.h"
#include "tests/support/vfs_io.h"
#include "tests/unit/fragments_store_world.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

/* ---- a disk that refuses ---- */

/* What is done to paths with `part` in them fails. */
static struct {
    const char *part;
    int read, change, list; /* errors; 0: it works */
} refusal;
static struct frag_io refusing;

static bool is_meant(const char *path) {
    return refusal.part != NULL && strstr(path, refusal.part) != NULL;
}

static int refuse_open(struct frag_io *io, const char *path, enum frag_io_mode mode) {
    int error = mode == FRAG_IO_READ ? refusal.read : refusal.change;
    (void)io;
    return is_meant(path) && error != 0 ? error
                                        : frag_io_system()->open(frag_io_system(), path, mode);
}

static int refuse_unlink(struct frag_io *io, const char *path) {
    (void)io;
    return is_meant(path) && refusal.change != 0 ? refusal.change
                                                 : frag_io_system()->unlink(frag_io_system(), path);
}

static int refuse_list(struct frag_io *io, const char *path,
                       int (*each)(const struct frag_io_entry *entry, void *user), void *user) {
    (void)io;
    return is_meant(path) && refusal.list != 0
               ? refusal.list
               : frag_io_system()->list(frag_io_system(), path, each, user);
}

/* The sectors below the index are bad until it is another file. */
static bool bad_index;

static int64_t bad_read(struct frag_io *io, int fd, void *room, size_t size, uint64_t offset) {
    char link[64];
    char path[PATH_MAX] = {0};
    (void)io;
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    assert_true(readlink(link, path, sizeof(path) - 1) > 0);
    return bad_index && strstr(path, "index.db") != NULL
               ? -EIO
               : frag_io_system()->read(frag_io_system(), fd, room, size, offset);
}

static int unlink_bad(struct frag_io *io, const char *path) {
    (void)io;
    bad_index = bad_index && strstr(path, "index.db") == NULL;
    return frag_io_system()->unlink(frag_io_system(), path);
}

/* ---- worlds ---- */

struct place {
    char path[80];
    const char *list[1];
};

static int setup(void **state) {
    (void)world_setup(state);
    struct world *world = *state;
    memset(&refusal, 0, sizeof(refusal));
    refusing = *frag_io_system();
    refusing.open = refuse_open;
    refusing.unlink = refuse_unlink;
    refusing.list = refuse_list;
    world->config.io = &refusing;
    return 0;
}

static void remove_all(const char *path) {
    (void)nftw(path, world_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static void use_second(struct world *world, struct place *place) {
    (void)snprintf(place->path, sizeof(place->path), "%s-2", world->folder);
    place->list[0] = place->path;
    world->config.folders = place->list;
    world->config.folder_count = 1;
}

static struct frag_stream *stream_in(struct world *world, const char *name, uint16_t folder) {
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_stream *stream = NULL;
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.folder = folder;
    assert_int_equal(frag_stream_create(world->store, name, &settings, NULL, 0, &stream), 0);
    return stream;
}

/* A session that a kill ends. */
static void record_and_die(struct world *world, struct frag_stream *stream) {
    const struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    struct camera camera;
    world_camera(world, &camera, 1);
    assert_int_equal(frag_writer_open(stream, &config, &writer), 0);
    camera_send(&camera, writer, 500);
    assert_int_equal(frag_store_flush(world->store), 0);
    frag_writer_abort(writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&camera);
    world_kill(world);
}

static char reel[PATH_MAX];
static unsigned reels;

static int see_reel(const char *path, const struct stat *about, int type, struct FTW *place) {
    size_t length = strlen(path);
    (void)about;
    (void)place;
    if (type == FTW_F && length > 4 && strcmp(path + length - 4, ".mkv") == 0) {
        (void)snprintf(reel, sizeof(reel), "%s", path);
        reels++;
    }
    return 0;
}

static unsigned find_reels(const char *folder) {
    reels = 0;
    assert_int_equal(nftw(folder, see_reel, 16, FTW_PHYS), 0);
    return reels;
}

static void remove_index(const struct world *world) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < KN_COUNT(endings); i++) {
        char path[100];
        (void)snprintf(path, sizeof(path), "%s/index.db%s", world->folder, endings[i]);
        (void)unlink(path); /* some are not there */
    }
}

static void overwrite(const char *path, uint64_t at, uint8_t byte, size_t size) {
    uint8_t *bytes = malloc(size);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_non_null(bytes);
    assert_true(fd >= 0);
    memset(bytes, byte, size);
    assert_int_equal(pwrite(fd, bytes, size, (off_t)at), size);
    (void)close(fd);
    free(bytes);
}

struct lost {
    unsigned count;
    uint64_t ordinal, ordinals;
};

static int see_gap(const struct frag_gap_entry *gap, void *user) {
    struct lost *lost = user;
    if (gap->gap.cause == FRAG_GAP_FILE_LOST) {
        lost->count++;
        lost->ordinal = gap->ordinal;
        lost->ordinals += gap->ordinals;
    }
    return 0;
}

static struct lost find_lost(struct world *world, const char *name) {
    struct lost lost = {0};
    assert_int_equal(frag_gap_each(frag_stream_find(world->store, name),
                                   (struct kn_wall){INT64_MIN}, (struct kn_wall){INT64_MAX},
                                   see_gap, &lost),
                     0);
    return lost;
}

static struct frag_entry entries[1000];

static size_t list_cam(struct world *world) {
    return world_list(world, "cam", entries, KN_COUNT(entries));
}

static uint64_t newest_ordinal(struct world *world) {
    size_t count = list_cam(world);
    assert_true(count > 0);
    return entries[count - 1].ordinal;
}

/* ---- files that cannot be read for once ---- */

static void stays_when_refused(struct world *world, int error, bool index_lost) {
    world_open(world);
    record_and_die(world, world_stream(world, "cam"));
    if (index_lost) {
        remove_index(world);
    }
    refusal.part = ".mkv";
    refusal.read = error;
    world_open(world);
    assert_int_equal(world->opening.damaged_files, 1);
    assert_int_equal(find_reels(world->folder), 1);
    world_close(world);
    refusal.part = NULL;
    world_open(world);
    assert_int_equal(world_check(world, "cam"), 9);
    world_close(world);
    remove_all(world->folder);
    assert_int_equal(mkdir(world->folder, 0700), 0);
}

static void a_reel_that_cannot_be_opened_stays(void **state) {
    static const int errors[] = {-EACCES, -EPERM, -EIO, -EROFS};
    for (size_t i = 0; i < KN_COUNT(errors); i++) {
        stays_when_refused(*state, errors[i], false);
        stays_when_refused(*state, errors[i], true);
    }
}

/* Its head is gone, its video is not. */
static void a_reel_whose_head_is_zero_stays(void **state) {
    struct world *world = *state;
    world_open(world);
    record_and_die(world, world_stream(world, "cam"));
    assert_int_equal(find_reels(world->folder), 1);
    overwrite(reel, 0, 0, FRAG_REEL_SEEK_AT);
    world_open(world);
    assert_int_equal(world->opening.damaged_files, 1);
    assert_int_equal(list_cam(world), 9);
    world_close(world);
    remove_index(world);
    world_open(world);
    assert_int_equal(world->opening.damaged_files, 1);
    assert_int_equal(find_reels(world->folder), 1);
    world_close(world);
}

static void a_reel_of_zeros_goes(void **state) {
    struct world *world = *state;
    world_open(world);
    record_and_die(world, world_stream(world, "cam"));
    assert_int_equal(find_reels(world->folder), 1);
    assert_int_equal(truncate(reel, 0), 0);
    assert_int_equal(truncate(reel, 100000), 0);
    remove_index(world);
    world_open(world);
    assert_int_equal(world->opening.damaged_files, 0);
    assert_int_equal(find_reels(world->folder), 0);
    world_close(world);
}

/* ---- fragments that are gone ---- */

/* Viewers may have their ordinals: they are not given to others. */
static void what_a_cut_reel_has_lost_is_told(void **state) {
    struct world *world = *state;
    world_open(world);
    record_and_die(world, world_stream(world, "cam"));
    assert_int_equal(find_reels(world->folder), 1);
    struct stat about;
    assert_int_equal(stat(reel, &about), 0);
    assert_int_equal(truncate(reel, about.st_size / 2), 0);
    world_open(world);
    assert_int_equal(world->opening.lost_files, 1);
    size_t left = list_cam(world);
    struct lost lost = find_lost(world, "cam");
    assert_in_range(left, 1, 8);
    assert_int_equal(lost.count, 1);
    assert_int_equal(lost.ordinal, left);
    assert_int_equal(lost.ordinals, 9 - left);
    world_record(world, "cam", 2, 100);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(list_cam(world), left + 2);
    assert_true(entries[left].ordinal > 8);
    assert_true(entries[left].discontinuities > entries[left - 1].discontinuities);
    world_close(world);
}

/* The bytes of another store under the reel's name. */
static void a_reel_that_another_store_took_is_told(void **state) {
    struct world *world = *state;
    struct world other = *world;
    (void)snprintf(other.folder, sizeof(other.folder), "/tmp/kinora-store-XXXXXX");
    assert_non_null(mkdtemp(other.folder));
    other.config.data = other.folder;
    other.config.seed++;
    world_open(&other);
    record_and_die(&other, world_stream(&other, "cam"));
    assert_int_equal(find_reels(other.folder), 1);
    char from[PATH_MAX];
    memcpy(from, reel, sizeof(from));
    world_open(world);
    record_and_die(world, world_stream(world, "cam"));
    assert_int_equal(find_reels(world->folder), 1);
    assert_int_equal(rename(from, reel), 0);
    world_open(world);
    assert_int_equal(world->opening.foreign_files, 1);
    assert_int_equal(world->opening.lost_files, 1);
    assert_int_equal(find_lost(world, "cam").ordinals, 9);
    world_record(world, "cam", 2, 100);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_true(newest_ordinal(world) > 8 + 1);
    world_close(world);
    remove_all(other.folder);
}

static void a_lost_reel_keeps_its_ordinals(void **state) {
    struct world *world = *state;
    world_open(world);
    world_record(world, "cam", 1, 500);
    world_close(world);
    assert_int_equal(find_reels(world->folder), 1);
    assert_int_equal(unlink(reel), 0);
    world_open(world);
    assert_int_equal(find_lost(world, "cam").ordinals, 10);
    world_record(world, "cam", 2, 50);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_true(newest_ordinal(world) > 9);
    world_close(world);
}

/* An index made again knows nothing of a file that is left alone. */
static void ordinals_rise_over_a_file_left_alone(void **state) {
    struct world *world = *state;
    world_open(world);
    world_record(world, "cam", 1, 500);
    world_close(world);
    remove_index(world);
    refusal.part = ".mkv";
    refusal.read = -EIO;
    world_open(world);
    refusal.part = NULL;
    world_record(world, "cam", 2, 100);
    world_close(world);
    world_open(world);
    assert_int_equal(world_check(world, "cam"), 12);
    world_close(world);
}

/* The same where its end was cut off, and nothing else told of that. */
static void ordinals_rise_over_a_reel_cut_short(void **state) {
    struct world *world = *state;
    world_open(world);
    world_record(world, "cam", 1, 500);
    world_close(world);
    remove_index(world);
    assert_int_equal(find_reels(world->folder), 1);
    struct stat about;
    assert_int_equal(stat(reel, &about), 0);
    assert_int_equal(truncate(reel, about.st_size / 2), 0);
    world_open(world);
    world_record(world, "cam", 2, 50);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_true(newest_ordinal(world) > 9);
    world_close(world);
}

static void a_reel_moved_by_hand_is_found(void **state) {
    struct world *world = *state;
    world_open(world);
    world_record(world, "cam", 1, 500);
    world_close(world);
    assert_int_equal(find_reels(world->folder), 1);
    char to[PATH_MAX];
    (void)snprintf(to, sizeof(to), "%s/reels/elsewhere", world->folder);
    assert_int_equal(mkdir(to, 0700), 0);
    (void)snprintf(to, sizeof(to), "%s/reels/elsewhere/2026-11-20", world->folder);
    assert_int_equal(mkdir(to, 0700), 0);
    (void)snprintf(to, sizeof(to), "%s/reels/elsewhere/2026-11-20/x.mkv", world->folder);
    assert_int_equal(rename(reel, to), 0);
    world_open(world);
    assert_int_equal(world->opening.lost_files, 0);
    assert_int_equal(find_lost(world, "cam").count, 0);
    assert_int_equal(world_check(world, "cam"), 10);
    world_close(world);
}

/* It is a cache: what cannot be read of it is made again like what is damaged. */
static void an_index_that_cannot_be_read_is_made_again(void **state) {
    struct world *world = *state;
    world_open(world);
    world_record(world, "cam", 1, 500);
    world_close(world);
    refusing.read = bad_read;
    refusing.unlink = unlink_bad;
    bad_index = true;
    vfs_io_register(&refusing);
    world_open(world);
    assert_false(bad_index);
    assert_true(world->opening.index_rebuilt);
    assert_int_equal(world_check(world, "cam"), 10);
    world_close(world);
    vfs_io_unregister();
}

/* ---- further directories ---- */

static void a_read_only_directory_does_not_stop_the_store(void **state) {
    static const int errors[] = {-EROFS, -ENOSPC, -EDQUOT, -EIO};
    struct world *world = *state;
    struct place place;
    use_second(world, &place);
    world_open(world);
    record_and_die(world, stream_in(world, "cam", 1));
    refusal.part = "-2/reels";
    for (size_t i = 0; i < KN_COUNT(errors); i++) {
        refusal.change = errors[i];
        world_open(world);
        assert_int_equal(world->opening.damaged_files, 1);
        assert_int_equal(list_cam(world), 9);
        world_kill(world);
    }
    refusal.part = NULL;
    world_open(world);
    assert_int_equal(world_check(world, "cam"), 9);
    world_close(world);
    remove_all(place.path);
}

/* The reel is marked, then its disk takes no deletions. */
static void a_deletion_waits_for_its_disk(void **state) {
    struct world *world = *state;
    struct place place;
    use_second(world, &place);
    world_open(world);
    struct frag_stream *stream = stream_in(world, "cam", 1);
    world_record(world, "cam", 1, 200);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(frag_stream_delete(stream, NULL), 0);
    refusal.part = "-2/reels";
    refusal.change = -EROFS;
    assert_int_equal(frag_retention_run(world->store), -EROFS);
    world_kill(world);
    world_open(world);
    assert_int_equal(world->opening.finished_deletions, 0);
    world_kill(world);
    refusal.part = NULL;
    world_open(world);
    assert_int_equal(world->opening.finished_deletions, 1);
    assert_int_equal(find_reels(place.path), 0);
    world_close(world);
    remove_all(place.path);
}

static void a_directory_that_cannot_be_listed_is_offline(void **state) {
    struct world *world = *state;
    struct place place;
    use_second(world, &place);
    world_open(world);
    (void)stream_in(world, "cam", 1);
    world_record(world, "cam", 1, 200);
    world_close(world);
    refusal.part = "-2/reels";
    refusal.list = -EIO;
    world_open(world);
    assert_int_equal(world->opening.offline_folders, 1);
    assert_int_equal(list_cam(world), 4);
    world_close(world);
    refusal.part = NULL;
    world_open(world);
    assert_int_equal(world_check(world, "cam"), 4);
    world_close(world);
    remove_all(place.path);
}

/* The main journal is damaged, and the configuration names one of two directories. */
static void numbers_of_directories_are_given_once(void **state) {
    struct world *world = *state;
    char first[80];
    char second[80];
    const char *folders[] = {first, second};
    (void)snprintf(first, sizeof(first), "%s-a", world->folder);
    (void)snprintf(second, sizeof(second), "%s-b", world->folder);
    world->config.folders = folders;
    world->config.folder_count = 2;
    world_open(world);
    (void)stream_in(world, "one", 1);
    (void)stream_in(world, "two", 2);
    world_record(world, "one", 1, 200);
    world_record(world, "two", 1, 200);
    world_close(world);
    char journal[100];
    (void)snprintf(journal, sizeof(journal), "%s/journal", world->folder);
    overwrite(journal, 0, 0xFF, 40);
    world->config.folders = &folders[1];
    world->config.folder_count = 1;
    for (unsigned i = 0; i < 2; i++) {
        world_open(world);
        assert_int_equal(world->opening.lost_files, 0);
        assert_string_equal(frag_store_folder(world->store, 1)->path, first);
        assert_string_equal(frag_store_folder(world->store, 2)->path, second);
        assert_int_equal(world_check(world, "one"), 4);
        assert_int_equal(world_check(world, "two"), 4);
        world_close(world);
    }
    remove_all(first);
    remove_all(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_reel_that_cannot_be_opened_stays),
        TEST(a_reel_whose_head_is_zero_stays),
        TEST(a_reel_of_zeros_goes),
        TEST(what_a_cut_reel_has_lost_is_told),
        TEST(a_reel_that_another_store_took_is_told),
        TEST(a_lost_reel_keeps_its_ordinals),
        TEST(ordinals_rise_over_a_file_left_alone),
        TEST(ordinals_rise_over_a_reel_cut_short),
        TEST(a_reel_moved_by_hand_is_found),
        TEST(an_index_that_cannot_be_read_is_made_again),
        TEST(a_read_only_directory_does_not_stop_the_store),
        TEST(a_deletion_waits_for_its_disk),
        TEST(a_directory_that_cannot_be_listed_is_offline),
        TEST(numbers_of_directories_are_given_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
