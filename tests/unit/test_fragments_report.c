/* What commands print about a store: the values, and what happens when it cannot be printed. How
 * it looks, tests/flow/061-commands judges. */
#include "tests/unit/fragments_store_world.h"

#include <jansson.h>

#include "base/error.h"
#include "fragments/report_inner.h"
#include "tests/support/fail_alloc.h"

#define ALWAYS                                                                                     \
    (struct kn_wall){INT64_MIN}, (struct kn_wall) {                                                \
        INT64_MAX                                                                                  \
    }

/* ---- values ---- */

static void times_have_all_their_nanoseconds(void **state) {
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {1, "1970-01-01T00:00:00.000000001Z"},
        {500 * KN_NS_PER_MS, "1970-01-01T00:00:00.5Z"},
        {-1, "1969-12-31T23:59:59.999999999Z"},
        {-KN_NS_PER_S, "1969-12-31T23:59:59Z"},
        {WORLD_START + 123000000, "2026-11-20T21:23:40.123Z"},
        {WORLD_START + 100, "2026-11-20T21:23:40.0000001Z"},
        {INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
        {INT64_MIN, "1677-09-21T00:12:43.145224192Z"},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        char text[FRAG_REPORT_TIME_BYTES];
        assert_string_equal(frag_report_time_text((struct kn_wall){cases[i].ns}, text),
                            cases[i].text);
    }
}

static void openings_are_told(void **state) {
    char text[FRAG_REPORT_OPENING_BYTES];
    struct frag_store_opening opening = {.reels = 3, .fragments = 7};
    (void)state;
    assert_string_equal(frag_report_opening(&opening, "/data", text), "");
    opening.created = true;
    assert_string_equal(frag_report_opening(&opening, "/da\033ta", text),
                        "made a new store in /da?ta");
    opening.created = false;
    opening.recovered_reels = 1;
    opening.recovered_fragments = 2;
    opening.offline_folders = 1;
    assert_string_equal(
        frag_report_opening(&opening, "/data", text),
        "the store had not been closed: looked through 1 open reel, found 2 fragments that the "
        "index did not have yet; 1 storage directory is not there: what it has cannot be read for "
        "now");
    opening = (struct frag_store_opening){.index_rebuilt = true,
                                          .reels = 1,
                                          .fragments = 9,
                                          .lost_files = 2,
                                          .damaged_files = 1,
                                          .foreign_files = 3,
                                          .finished_deletions = 1};
    assert_string_equal(frag_report_opening(&opening, "/data", text),
                        "made the index again: 1 reel, 9 fragments; 2 files are lost: kinora gaps "
                        "tells what was there; 1 file is damaged: kinora check tells where; left 3 "
                        "files alone that this store did not write; finished deleting 1 reel");
}

static void long_paths_are_cut(void **state) {
    char path[2 * FRAG_REPORT_OPENING_BYTES], text[FRAG_REPORT_OPENING_BYTES];
    const struct frag_store_opening opening = {.created = true, .lost_files = 1};
    (void)state;
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    for (size_t cut = 0; cut < 80; cut++) {
        /* Around the place where the room ends. */
        const char *name = path + sizeof(path) - FRAG_REPORT_OPENING_BYTES + 70 - cut;
        assert_true(strlen(frag_report_opening(&opening, name, text)) < sizeof(text));
    }
}

/* ---- lists ---- */

static int setup(void **state) {
    int rc = world_setup(state);
    struct world *world = *state;
    world_open(world);
    world_record(world, "door", 1, 200);
    world_record(world, "yard", 2, 100);
    assert_int_equal(frag_store_flush(world->store), 0);
    struct frag_stream *door = frag_stream_find(world->store, "door");
    struct frag_stream_tag tag = {.key = "plätze", .value = "\"zwei\""};
    struct frag_hold hold = {.from = {0}, .to = {WORLD_START}, .reason = "für später"};
    assert_int_equal(frag_stream_tag(door, &tag, 1, NULL, 0), 0);
    assert_int_equal(frag_hold_add(door, &hold), 0);
    return rc;
}

enum list { STREAMS, FRAGMENTS, GAPS, HOLDS, PLAN, LISTS };

static int print(struct world *world, enum list list, bool json, FILE *out) {
    struct frag_archive *archive = NULL;
    int rc;
    switch (list) {
    case STREAMS:
        return frag_report_streams(world->store, json, out);
    case FRAGMENTS:
        rc = frag_archive_open(world->store, &archive);
        if (rc == 0) {
            rc = frag_report_fragments(archive, frag_stream_find(world->store, "door"),
                                       FRAG_CLOCK_SERVER, ALWAYS, json, out);
        }
        frag_archive_close(archive);
        return rc;
    case GAPS:
        return frag_report_gaps(world->store, NULL, ALWAYS, json, out);
    case HOLDS:
        return frag_report_holds(world->store, json, out);
    case PLAN:
    case LISTS:
        break;
    }
    return frag_report_plan(world->store, (struct kn_wall){WORLD_START}, json, out);
}

/* Parsed; only ASCII was printed. */
static json_t *read_list(struct world *world, enum list list) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(print(world, list, true, out), 0);
    assert_int_equal(fclose(out), 0);
    for (size_t i = 0; i < size; i++) {
        assert_true(text[i] == '\n' || (text[i] >= ' ' && text[i] < 0x7f));
    }
    json_t *read = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(read);
    free(text);
    return read;
}

static void json_tells_what_is_stored(void **state) {
    struct world *world = *state;
    static struct frag_entry entries[100];
    size_t count = world_list(world, "door", entries, KN_COUNT(entries));
    json_t *read = read_list(world, FRAGMENTS);
    json_t *rows = json_object_get(read, "fragments");
    assert_true(count > 1);
    assert_int_equal(json_array_size(rows), count);
    for (size_t i = 0; i < count; i++) {
        char number[FRAG_NUMBER_TEXT_BYTES], server[FRAG_REPORT_TIME_BYTES];
        json_t *row = json_array_get(rows, i);
        assert_string_equal(json_string_value(json_object_get(row, "number")),
                            frag_number_format(entries[i].number, number));
        assert_string_equal(json_string_value(json_object_get(row, "server")),
                            frag_report_time_text(entries[i].server, server));
        assert_int_equal(json_integer_value(json_object_get(row, "bytes")),
                         entries[i].cluster_bytes);
        assert_true(json_is_true(json_object_get(row, "key_start")));
    }
    json_decref(read);

    read = read_list(world, STREAMS);
    rows = json_object_get(read, "streams");
    assert_int_equal(json_array_size(rows), 2);
    json_t *tags = json_object_get(json_array_get(rows, 0), "tags");
    assert_string_equal(json_string_value(json_object_get(tags, "plätze")), "\"zwei\"");
    assert_true(json_is_null(json_object_get(json_array_get(rows, 0), "retention_ns")));
    json_decref(read);

    read = read_list(world, HOLDS);
    rows = json_object_get(read, "holds");
    assert_int_equal(json_array_size(rows), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "reason")),
                        "für später");
    json_decref(read);
}

/* ---- what cannot be printed ---- */

struct sink {
    size_t room, writes_after;
};

/* Unbuffered: each write is one of the report's. */
static ssize_t sink_write(void *cookie, const char *data, size_t size) {
    struct sink *sink = cookie;
    (void)data;
    if (size > sink->room) {
        sink->room = 0;
        sink->writes_after++;
        errno = ENOSPC;
        return 0;
    }
    sink->room -= size;
    return (ssize_t)size;
}

static void a_full_disk_ends_a_list(void **state) {
    struct world *world = *state;
    for (int list = 0; list < LISTS; list++) {
        for (int json = 0; json < 2; json++) {
            for (size_t room = 0; room < 2000; room += 97) {
                struct sink sink = {.room = room};
                const cookie_io_functions_t functions = {.write = sink_write};
                FILE *out = fopencookie(&sink, "w", functions);
                assert_non_null(out);
                assert_int_equal(setvbuf(out, NULL, _IONBF, 0), 0);
                assert_int_equal(print(world, (enum list)list, json != 0, out), 0);
                assert_int_equal(ferror(out) != 0, sink.writes_after > 0);
                (void)fclose(out);
            }
        }
    }
}

/* jansson's memory comes from here too. */
static void *allocate(size_t size) {
    return malloc(size);
}

static void out_of_memory_is_said(void **state) {
    struct world *world = *state;
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    json_set_alloc_funcs(allocate, free);
    for (int list = 0; list < LISTS; list++) {
        bool failed = true;
        for (unsigned long n = 1; failed; n++) {
            fail_alloc_at(n);
            int rc = print(world, (enum list)list, true, out);
            failed = fail_alloc_count() >= n;
            fail_alloc_stop();
            /* 0 where a second try did it. */
            assert_true(rc == 0 || (failed && rc == -ENOMEM));
        }
        fail_alloc_always();
        int rc = print(world, (enum list)list, true, out);
        fail_alloc_stop();
        assert_int_equal(rc, -ENOMEM);
    }
    json_set_alloc_funcs(malloc, free);
    (void)fclose(out);
}

/* ---- check ---- */

static void a_check_is_told(void **state) {
    struct world *world = *state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct frag_check_report report = {0};
    assert_non_null(out);
    world_close(world);
    assert_int_equal(frag_report_check(&world->config, true, false, out, &report), 0);
    assert_int_equal(fclose(out), 0);
    json_t *read = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    json_t *summary = json_object_get(read, "summary");
    assert_int_equal(report.damages, 0);
    assert_true(report.fragments > 0);
    assert_int_equal(json_integer_value(json_object_get(summary, "fragments")), report.fragments);
    assert_int_equal(json_array_size(json_object_get(read, "findings")),
                     report.notes + report.repairs);
    json_decref(read);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_have_all_their_nanoseconds),
        cmocka_unit_test(openings_are_told),
        cmocka_unit_test(long_paths_are_cut),
        cmocka_unit_test_setup_teardown(json_tells_what_is_stored, setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_ends_a_list, setup, world_teardown),
        cmocka_unit_test_setup_teardown(out_of_memory_is_said, setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_check_is_told, setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
