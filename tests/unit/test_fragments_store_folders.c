/* Storage directories that are not what they were at the next start. */
#include "tests/unit/fragments_store_world.h"

#include <sys/stat.h>

struct places {
    char second[80], away[96];
    const char *list[1];
};

static void two_folders(struct world *world, struct places *places) {
    (void)snprintf(places->second, sizeof(places->second), "%s-2", world->folder);
    (void)snprintf(places->away, sizeof(places->away), "%s-away", places->second);
    places->list[0] = places->second;
    world->config.folders = places->list;
    world->config.folder_count = 1;
}

static struct frag_stream *far_stream(struct world *world) {
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_stream *stream = NULL;
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.folder = 1;
    assert_int_equal(frag_stream_create(world->store, "far", &settings, NULL, 0, &stream), 0);
    return stream;
}

static void record_far(struct world *world, struct places *places) {
    two_folders(world, places);
    world_open(world);
    (void)far_stream(world);
    world_record(world, "far", 1, 200);
    world_close(world);
}

static void remove_all(const char *path) {
    (void)nftw(path, world_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static bool has_identity(const char *folder) {
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/kinora-store", folder);
    return access(path, F_OK) == 0;
}

/* A disk that is not mounted leaves its mount point, which is on another disk. */
static void an_empty_mount_point_is_no_new_directory(void **state) {
    struct world *world = *state;
    struct places places;
    record_far(world, &places);
    assert_int_equal(rename(places.second, places.away), 0);
    assert_int_equal(mkdir(places.second, 0700), 0);
    world_open(world);
    assert_int_equal(world->opening.offline_folders, 1);
    assert_false(has_identity(places.second));
    world_record(world, "far", 2, 100);
    world_close(world);
    assert_int_equal(rmdir(places.second), 0);

    assert_int_equal(rename(places.away, places.second), 0);
    world_open(world);
    assert_int_equal(world->opening.offline_folders, 0);
    assert_int_equal(world_check(world, "far"), 6);
    world_close(world);
    remove_all(places.second);
}

/* The same where the folder itself is not there: it is not made again either. */
static void a_missing_directory_is_not_made_again(void **state) {
    struct world *world = *state;
    struct places places;
    record_far(world, &places);
    assert_int_equal(rename(places.second, places.away), 0);
    world_open(world);
    assert_int_equal(world->opening.offline_folders, 1);
    world_close(world);
    assert_int_not_equal(access(places.second, F_OK), 0);
    remove_all(places.away);
}

static void a_directory_that_moved_is_found(void **state) {
    struct world *world = *state;
    struct places places;
    record_far(world, &places);
    assert_int_equal(rename(places.second, places.away), 0);
    places.list[0] = places.away;
    world_open(world);
    assert_int_equal(world->opening.offline_folders, 0);
    assert_int_equal(world_check(world, "far"), 4);
    world_close(world);
    world->config.folder_count = 0; /* the journal knows where it is now */
    world_open(world);
    assert_int_equal(world->opening.offline_folders, 0);
    world_close(world);
    remove_all(places.away);
}

static void remove_index(struct world *world) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < KN_COUNT(endings); i++) {
        char path[100];
        (void)snprintf(path, sizeof(path), "%s/index.db%s", world->folder, endings[i]);
        (void)unlink(path); /* some are not there */
    }
}

/* What was recorded while a directory and the index were both away follows what is in it. */
static void numbers_rise_over_what_is_away(void **state) {
    struct world *world = *state;
    struct places places;
    record_far(world, &places);
    assert_int_equal(rename(places.second, places.away), 0);
    remove_index(world);
    world_open(world);
    world_record(world, "far", 2, 100);
    world_close(world);
    assert_int_equal(rename(places.away, places.second), 0);
    world_open(world);
    assert_int_equal(world_check(world, "far"), 6); /* also that ordinals rise */
    world_close(world);
    remove_all(places.second);
}

static unsigned reel_files;

static int count_reel(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about;
    (void)place;
    size_t length = strlen(path);
    reel_files += type == FTW_F && length > 4 && strcmp(path + length - 4, ".mkv") == 0 ? 1 : 0;
    return 0;
}

static void pass_often(struct world *world) {
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(frag_retention_run(world->store), 0);
    }
}

/* Nothing of the stream is to be seen meanwhile, and yet something is left. */
static void a_stream_deleted_meanwhile_goes_once_it_is_back(void **state) {
    struct world *world = *state;
    struct places places;
    record_far(world, &places);
    assert_int_equal(rename(places.second, places.away), 0);
    remove_index(world);
    world_open(world);
    assert_int_equal(frag_stream_delete(frag_stream_find(world->store, "far"), NULL), 0);
    pass_often(world);
    world_close(world);
    assert_int_equal(rename(places.away, places.second), 0);
    world_open(world);
    assert_int_equal(world->opening.foreign_files, 0);
    pass_often(world);
    world_close(world);
    assert_int_equal(nftw(places.second, count_reel, 16, FTW_PHYS), 0);
    assert_int_equal(reel_files, 0);
    remove_all(places.second);
}

static void make_file(const char *folder, const char *name) {
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static void assert_refused(struct world *world, const char *data, int rc, const char *word) {
    struct frag_store_config config = world->config;
    struct frag_store_opening opening;
    struct frag_store *store = NULL;
    config.data = data;
    assert_int_equal(frag_store_open(&config, &store, &opening), rc);
    assert_non_null(strstr(opening.problem, word));
    assert_false(has_identity(data));
}

/* A mistyped path: nothing is put beside what is there. */
static void a_directory_of_somebody_elses_does_not_become_a_store(void **state) {
    struct world *world = *state;
    char place[96], lock[128];
    (void)snprintf(place, sizeof(place), "%s-place", world->folder);
    (void)snprintf(lock, sizeof(lock), "%s/lock", place);
    assert_int_equal(mkdir(place, 0700), 0);
    make_file(place, "letters.txt");
    assert_refused(world, place, -ENOTEMPTY, "letters.txt");
    assert_int_not_equal(access(lock, F_OK), 0);

    const char *further[] = {place};
    world->config.folders = further;
    world->config.folder_count = 1;
    struct frag_store_opening opening;
    struct frag_store *store = NULL;
    assert_int_equal(frag_store_open(&world->config, &store, &opening), -ENOTEMPTY);
    assert_non_null(strstr(opening.problem, "letters.txt"));
    assert_false(has_identity(place));
    remove_all(place);
}

static void a_file_system_and_the_server_may_have_put_something_there(void **state) {
    struct world *world = *state;
    static const char *const names[] = {"kinora.key", "kinora.yml", "kinora.log"};
    char path[160];
    (void)mkdir(world->folder, 0700);
    (void)snprintf(path, sizeof(path), "%s/lost+found", world->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        make_file(world->folder, names[i]);
    }
    world_open(world);
    assert_true(world->opening.created);
    world_close(world);
}

static void no_store_within_another(void **state) {
    struct world *world = *state;
    char inner[96];
    world_open(world);
    world_close(world);
    (void)snprintf(inner, sizeof(inner), "%s/reels", world->folder);
    assert_refused(world, inner, -ENOTEMPTY, world->folder);
    (void)snprintf(inner, sizeof(inner), "%s/new", world->folder);
    assert_refused(world, inner, -ENOTEMPTY, world->folder);
    assert_int_not_equal(access(inner, F_OK), 0);
}

static void an_existing_one_is_not_made(void **state) {
    struct world *world = *state;
    char place[96];
    (void)snprintf(place, sizeof(place), "%s-none", world->folder);
    world->config.existing = true;
    assert_refused(world, place, -ENOENT, "there is no store in");
    assert_int_not_equal(access(place, F_OK), 0);
    world->config.existing = false;
    world_open(world);
    world_close(world);
    world->config.existing = true;
    world_open(world);
    assert_false(world->opening.created);
    world_close(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_mount_point_is_no_new_directory, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_missing_directory_is_not_made_again, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_directory_that_moved_is_found, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_stream_deleted_meanwhile_goes_once_it_is_back,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_directory_of_somebody_elses_does_not_become_a_store,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_file_system_and_the_server_may_have_put_something_there,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(no_store_within_another, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(an_existing_one_is_not_made, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(numbers_rise_over_what_is_away, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
