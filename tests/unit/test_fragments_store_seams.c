/* Between two starts, and between a deletion and what was still on its way. */
#include "tests/unit/fragments_store_world.h"

/* ---- ordinals that starts burn ---- */

static int add_burnt(const struct frag_gap_entry *gap, void *user) {
    uint64_t *sum = user;
    *sum += gap->ordinals;
    return 0;
}

static uint64_t burnt_ordinals(struct world *world) {
    uint64_t sum = 0;
    assert_int_equal(frag_gap_each(world_stream(world, "door"), (struct kn_wall){INT64_MIN},
                                   (struct kn_wall){INT64_MAX}, add_burnt, &sum),
                     0);
    return sum;
}

/* A fragment was being built, and live viewers may know its ordinal, each time. */
static void start_and_die(struct world *world) {
    const struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    struct camera camera;
    world_open(world);
    world_camera(world, &camera, 9);
    assert_int_equal(frag_writer_open(world_stream(world, "door"), &config, &writer), 0);
    camera_send(&camera, writer, 10);
    frag_writer_abort(writer, FRAG_GAP_NETWORK);
    camera_finish(&camera);
    assert_int_equal(frag_store_flush(world->store), 0);
    world_kill(world);
}

static void every_start_burns_an_ordinal(void **state) {
    struct world *world = *state;
    struct frag_entry entries[8];
    world_open(world);
    world_record(world, "door", 1, 100); /* ordinals 0 and 1 */
    world_close(world);
    start_and_die(world);
    start_and_die(world);
    start_and_die(world);
    world_open(world);
    world_record(world, "door", 2, 50);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(world_list(world, "door", entries, KN_COUNT(entries)), 3);
    assert_int_equal(entries[2].ordinal, 1 + 4 + 1);
    assert_int_equal(burnt_ordinals(world), 4);
}

/* ---- deletion ---- */

static unsigned reel_files;

static int count_reel(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about;
    (void)place;
    size_t length = strlen(path);
    reel_files += type == FTW_F && length > 4 && strcmp(path + length - 4, ".mkv") == 0 ? 1 : 0;
    return 0;
}

/* Its fragments are with the disk when the stream is deleted and passes find nothing of it. */
static void what_was_on_its_way_goes_with_its_stream(void **state) {
    struct world *world = *state;
    world_open(world);
    world_record(world, "door", 1, 200);
    assert_int_equal(frag_stream_delete(frag_stream_find(world->store, "door"), NULL), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(frag_retention_run(world->store), 0);
    }
    assert_int_equal(frag_store_flush(world->store), 0);
    world_kill(world);
    world_open(world);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(frag_retention_run(world->store), 0);
    }
    world_close(world);
    assert_int_equal(nftw(world->folder, count_reel, 16, FTW_PHYS), 0);
    assert_int_equal(reel_files, 0);
}

/* ---- a reel's first moment ---- */

static char reel_path[200];

static int find_reel(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about;
    (void)place;
    size_t length = strlen(path);
    if (type == FTW_F && length > 4 && strcmp(path + length - 4, ".mkv") == 0) {
        (void)snprintf(reel_path, sizeof(reel_path), "%s", path);
    }
    return 0;
}

static void remove_index(struct world *world) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < KN_COUNT(endings); i++) {
        char path[100];
        (void)snprintf(path, sizeof(path), "%s/index.db%s", world->folder, endings[i]);
        (void)unlink(path); /* some are not there */
    }
}

/* One open reel of two fragments, and no index. */
static void leave_open_reel(struct world *world) {
    const struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    struct camera camera;
    world_open(world);
    world_camera(world, &camera, 1);
    assert_int_equal(frag_writer_open(world_stream(world, "door"), &config, &writer), 0);
    camera_send(&camera, writer, 101);
    assert_int_equal(frag_store_flush(world->store), 0);
    frag_writer_abort(writer, FRAG_GAP_NETWORK);
    camera_finish(&camera);
    world_kill(world);
    remove_index(world);
    assert_int_equal(nftw(world->folder, find_reel, 16, FTW_PHYS), 0);
}

/* The kernel ends a write of several pages between two of them when it kills its process. */
static void a_head_that_was_cut_short_is_no_damage(void **state) {
    static const off_t cuts[] = {0, 100, 4096, 6000, 8192, 8251};
    struct world *world = *state;
    for (size_t i = 0; i < KN_COUNT(cuts); i++) {
        leave_open_reel(world);
        assert_int_equal(truncate(reel_path, cuts[i]), 0);
        world_open(world);
        assert_int_equal(world->opening.damaged_files, 0);
        assert_int_equal(world->opening.reels, 0);
        assert_int_not_equal(access(reel_path, F_OK), 0);
        world_kill(world);
    }
}

/* What lost its head later has fragments: it stays. */
static void a_head_that_was_damaged_is(void **state) {
    struct world *world = *state;
    leave_open_reel(world);
    FILE *file = fopen(reel_path, "r+be");
    assert_non_null(file);
    assert_int_equal(fseek(file, 8192 + 10, SEEK_SET), 0);
    assert_int_equal(fwrite("damage", 1, 6, file), 6);
    assert_int_equal(fclose(file), 0);
    world_open(world);
    assert_int_equal(world->opening.damaged_files, 1);
    assert_int_equal(access(reel_path, F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_start_burns_an_ordinal, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_head_that_was_cut_short_is_no_damage, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_head_that_was_damaged_is, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(what_was_on_its_way_goes_with_its_stream, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
