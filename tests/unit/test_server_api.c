#include "base/log.h"
#include "tests/unit/server_api_world.h"

/* ---- streams ---- */

static void test_streams_are_listed(void **state) {
    struct api *api = *state;
    (void)world_stream(api->store, "door");
    (void)world_stream(api->store, "door-2");
    (void)world_stream(api->store, "gate");
    EXPECT(api, 200, .name = "ListStreams", .as = &api->admin);
    assert_int_equal(api_rows("streams"), 3);
    assert_true(json_is_null(json_object_get(api_told.json, "next")));
    EXPECT(api, 200, .name = "ListStreams", .as = &api->viewer);
    assert_int_equal(api_rows("streams"), 2);
    assert_string_equal(api_row_text("streams", 1, "name"), "door-2");
    for (unsigned limit = 1; limit <= 4; limit++) {
        assert_int_equal(api_walk(api, (struct ask){.name = "ListStreams", .as = &api->admin},
                                  "streams", limit, ""),
                         3);
    }
    /* What follows the last row is not the viewer's: there is no next. */
    EXPECT(api, 200, .name = "ListStreams", .as = &api->viewer, .query = "limit=2&after=");
    assert_true(json_is_null(json_object_get(api_told.json, "next")));
}

static void test_queries_are_strict(void **state) {
    struct api *api = *state;
    static const char *const wrong[] = {
        "limit=0",         "limit=1001", "limit=-1",
        "limit=1x",        "limit= 1",   "limit=",
        "limit=1&limit=1", "lmit=1",     "limit=18446744073709551617"};
    for (size_t i = 0; i < KN_COUNT(wrong); i++) {
        EXPECT(api, 400, .name = "ListStreams", .as = &api->admin, .query = wrong[i]);
    }
    EXPECT(api, 400, .name = "ListStreams", .as = &api->admin, .query = "form=1");
    assert_non_null(strstr(api_told.text, "form"));
    EXPECT(api, 400, .name = "ListStreams", .as = &api->admin, .query = "after=a%20b");
    EXPECT(api, 200, .name = "ListStreams", .as = &api->admin,
           .query = "X-Amz-Signature=1&limit=1000");
    static const char *const places[] = {"after=x", "after=x:1", "after=x:1:0", "after=x:1:1y"};
    for (size_t i = 0; i < KN_COUNT(places); i++) {
        EXPECT(api, 400, .name = "ListGaps", .as = &api->admin, .query = places[i]);
        EXPECT(api, 400, .name = "ListHolds", .as = &api->admin, .query = places[i]);
        EXPECT(api, 400, .name = "ListLive", .as = &api->admin, .query = places[i]);
        EXPECT(api, 400, .name = "ListPrincipals", .as = &api->admin, .query = places[i]);
        EXPECT(api, 400, .name = "PlanRetention", .as = &api->admin, .query = places[i]);
    }
}

static void test_a_stream_is_made_shown_changed_deleted(void **state) {
    struct api *api = *state;
    EXPECT(api, 201, .name = "CreateStream", .as = &api->admin,
           .body = "{'name':'gate','retention_bytes':'5G','tags':{'a':'b','c':'d'}}");
    assert_non_null(strstr(api_told.fields, "Location: /api/v1/streams/gate\n"));
    assert_string_equal(api_text("name"), "gate");
    assert_string_equal(api_text("retention"), "3d"); /* the configuration's default */
    assert_int_equal(json_integer_value(json_object_get(api_told.json, "retention_bytes")),
                     INT64_C(5) << 30);
    assert_true(json_is_null(json_object_get(api_told.json, "configured")));
    assert_true(json_is_null(json_object_get(api_told.json, "storage")));
    assert_string_equal(api_text("health"), "idle");
    char version[32];
    (void)snprintf(version, sizeof(version), "%s", api_text("version"));

    EXPECT(api, 409, .name = "CreateStream", .as = &api->admin, .body = "{'name':'gate'}");
    char body[128];
    (void)snprintf(body, sizeof(body), "{'version':'%s','target':'5s','tags':{'c':'e'}}", version);
    EXPECT(api, 200, .name = "UpdateStream", .as = &api->admin, .stream = "gate", .body = body);
    assert_string_equal(api_text("target"), "5s");
    assert_string_equal(api_text("retention"), "3d");
    json_t *tags = json_object_get(api_told.json, "tags");
    assert_int_equal(json_object_size(tags), 1);
    assert_string_equal(json_string_value(json_object_get(tags, "c")), "e");
    EXPECT(api, 409, .name = "UpdateStream", .as = &api->admin, .stream = "gate", .body = body);
    EXPECT(api, 200, .name = "UpdateStream", .as = &api->admin, .stream = "gate",
           .body = "{'retention':'forever'}");
    assert_string_equal(api_text("retention"), "forever");

    EXPECT(api, 409, .name = "DeleteStream", .as = &api->admin, .stream = "gate",
           .query = "version=AAAAAAAAAAAAAAAAAAAA");
    EXPECT(api, 204, .name = "DeleteStream", .as = &api->admin, .stream = "gate");
    EXPECT(api, 404, .name = "DescribeStream", .as = &api->admin, .stream = "gate");
    EXPECT(api, 404, .name = "DeleteStream", .as = &api->admin, .stream = "gate");
}

static void test_what_bodies_name_is_checked(void **state) {
    struct api *api = *state;
    static const struct {
        const char *body, *names;
    } wrong[] = {
        {"{}", "name"},
        {"{'name':5}", "name"},
        {"{'name':'a b'}", "name"},
        {"{'name':'a','retension':'1d'}", "retension"},
        {"{'name':'a','retention':7}", "retention"},
        {"{'name':'a','target':'1h'}", "target"},
        {"{'name':'a','source':'file:/etc/passwd'}", "source"},
        {"{'name':'a','storage':'/nowhere'}", "storage"},
        {"{'name':'a','tags':{'a':1}}", "tags"},
        {"{'name':'a','tags':{'':'1'}}", "tags"},
    };
    for (size_t i = 0; i < KN_COUNT(wrong); i++) {
        EXPECT(api, 400, .name = "CreateStream", .as = &api->admin, .body = wrong[i].body);
        if (strstr(api_told.text, wrong[i].names) == NULL) {
            print_message("# %s: %s\n", wrong[i].body, api_told.text);
        }
        assert_non_null(strstr(api_told.text, wrong[i].names));
    }
    EXPECT(api, 403, .name = "CreateStream", .as = &api->viewer, .body = "{'name':'door-9'}");
    assert_null(frag_stream_next(api->world.store, NULL));
}

static void test_the_file_owns_what_it_says(void **state) {
    struct api *api = *state;
    (void)world_stream(api->store, "door");
    EXPECT(api, 200, .name = "DescribeStream", .as = &api->viewer, .stream = "door");
    assert_null(json_object_get(api_told.json, "storage"));
    json_t *configured = json_object_get(api_told.json, "configured");
    assert_int_equal(json_array_size(configured), 2);
    assert_string_equal(json_string_value(json_array_get(configured, 0)), "retention");
    EXPECT(api, 409, .name = "UpdateStream", .as = &api->admin, .stream = "door",
           .body = "{'device_name':'x','retention':'9d'}");
    assert_non_null(strstr(api_told.text, "streams.door.retention"));
    EXPECT(api, 409, .name = "UpdateStream", .as = &api->admin, .stream = "door",
           .body = "{'tags':{}}");
    EXPECT(api, 409, .name = "DeleteStream", .as = &api->admin, .stream = "door");
    assert_non_null(strstr(api_told.text, "streams.door"));
    EXPECT(api, 200, .name = "UpdateStream", .as = &api->admin, .stream = "door",
           .body = "{'device_name':'ours'}");
    assert_string_equal(api_text("device_name"), "ours");
}

/* ---- what is stored, and what is not ---- */

static void test_fragments_and_gaps_come_in_parts(void **state) {
    struct api *api = *state;
    for (unsigned i = 0; i < 4; i++) {
        world_record(api->store, "door", i + 1, 200);
        fake_clock_advance(&api->store->clock, 60 * KN_NS_PER_S);
        world_record(api->store, "door-2", i + 10, 200);
    }
    static struct frag_entry entries[1000];
    size_t stored = world_list(api->store, "door", entries, KN_COUNT(entries));
    assert_true(stored >= 4);
    const struct ask ask = {.name = "ListFragments", .as = &api->viewer, .stream = "door"};
    static const unsigned limits[] = {1, 2, 3, 1000};
    for (size_t i = 0; i < KN_COUNT(limits); i++) {
        assert_int_equal(api_walk(api, ask, "fragments", limits[i], ""), stored);
        assert_int_equal(api_walk(api, ask, "fragments", limits[i], "clock=server&"), stored);
    }
    assert_int_equal(api_walk(api, ask, "fragments", (unsigned)stored, ""), stored);
    char number[FRAG_NUMBER_TEXT_BYTES];
    EXPECT(api, 200, .name = "ListFragments", .as = &api->viewer, .stream = "door");
    assert_string_equal(api_row_text("fragments", 0, "number"),
                        frag_number_format(entries[0].number, number));
    assert_int_equal(api_walk(api, ask, "fragments", 5, "from=1970-01-01T00:00:00Z&to=10&"), 0);
    EXPECT(api, 400, .name = "ListFragments", .as = &api->viewer, .stream = "door",
           .query = "from=20&to=10");
    EXPECT(api, 400, .name = "ListFragments", .as = &api->viewer, .stream = "door",
           .query = "clock=sun");
    /* A '+' that nobody escaped. */
    EXPECT(api, 200, .name = "ListFragments", .as = &api->viewer, .stream = "door",
           .query = "from=2026-11-20T21:23:40+01:00");

    EXPECT(api, 200, .name = "ListStreamGaps", .as = &api->viewer, .stream = "door");
    size_t gaps = api_rows("gaps");
    assert_true(gaps >= 3);
    assert_string_equal(api_row_text("gaps", 0, "cause"), "producer away");
    const struct ask of_door = {.name = "ListStreamGaps", .as = &api->viewer, .stream = "door"};
    const struct ask of_all = {.name = "ListGaps", .as = &api->viewer};
    for (unsigned limit = 1; limit <= 4; limit++) {
        assert_int_equal(api_walk(api, of_door, "gaps", limit, ""), gaps);
        assert_int_equal(api_walk(api, of_all, "gaps", limit, ""), 2 * gaps);
    }
    EXPECT(api, 400, .name = "ListStreamGaps", .as = &api->viewer, .stream = "door",
           .query = "after=gate:1:1");
}

static void test_gaps_that_begin_at_once_are_all_told(void **state) {
    struct api *api = *state;
    struct frag_stream *stream = world_stream(api->store, "door");
    for (unsigned i = 0; i < 5; i++) {
        const struct frag_gap gap = {{WORLD_START - 9 * KN_NS_PER_S},
                                     {WORLD_START - (int64_t)i * KN_NS_PER_S},
                                     FRAG_GAP_OPERATOR};
        assert_int_equal(frag_gap_add(stream, &gap, false), 0);
    }
    for (unsigned limit = 1; limit <= 6; limit++) {
        assert_int_equal(
            api_walk(api, (struct ask){.name = "ListGaps", .as = &api->admin}, "gaps", limit, ""),
            5);
    }
}

/* ---- holds and retention ---- */

static void test_holds(void **state) {
    struct api *api = *state;
    api_record(api, "gate", 1);
    char id[40];
    EXPECT(api, 201, .name = "AddHold", .as = &api->keeper, .stream = "gate",
           .body = "{'from':'-1h','to':'now','reason':'theft'}");
    assert_string_equal(api_text("clock"), "producer");
    assert_string_equal(api_text("reason"), "theft");
    assert_string_equal(api_text("stream"), "gate");
    (void)snprintf(id, sizeof(id), "%s", api_text("id"));
    assert_int_equal(strlen(id), 32);
    char location[80];
    (void)snprintf(location, sizeof(location), "Location: /api/v1/holds/%s\n", id);
    assert_non_null(strstr(api_told.fields, location));
    EXPECT(api, 200, .name = "DescribeHold", .as = &api->keeper, .hold = id);
    assert_string_equal(api_text("id"), id);
    assert_string_equal(api_text("reason"), "theft");
    EXPECT(api, 404, .name = "DescribeHold", .as = &api->viewer, .hold = id);
    EXPECT(api, 404, .name = "DescribeHold", .as = &api->keeper, .hold = "0123");
    for (unsigned i = 0; i < 3; i++) {
        EXPECT(api, 201, .name = "AddHold", .as = &api->keeper, .stream = "gate",
               .body = "{'clock':'server','from':'-1h','to':'now'}");
    }
    static const char *const wrong[] = {"{}",
                                        "{'from':'now'}",
                                        "{'from':'now','to':'-1h'}",
                                        "{'from':'x','to':'now'}",
                                        "{'from':'-1h','to':'now','clock':'sun'}",
                                        "{'from':'-1h','to':'now','reason':'a\\nb'}"};
    for (size_t i = 0; i < KN_COUNT(wrong); i++) {
        EXPECT(api, 400, .name = "AddHold", .as = &api->keeper, .stream = "gate", .body = wrong[i]);
    }
    for (unsigned limit = 1; limit <= 5; limit++) {
        assert_int_equal(api_walk(api, (struct ask){.name = "ListHolds", .as = &api->keeper},
                                  "holds", limit, ""),
                         4);
    }
    EXPECT(api, 200, .name = "ListHolds", .as = &api->viewer);
    assert_int_equal(api_rows("holds"), 0);
    EXPECT(api, 200, .name = "ListStreamHolds", .as = &api->admin, .stream = "gate");
    assert_int_equal(api_rows("holds"), 4);
    EXPECT(api, 409, .name = "DeleteStream", .as = &api->admin, .stream = "gate");

    struct srv_principal lister;
    api_grant(&lister, "lister", "list");
    EXPECT(api, 403, .name = "RemoveHold", .as = &lister, .hold = id);
    EXPECT(api, 404, .name = "RemoveHold", .as = &api->viewer, .hold = id);
    EXPECT(api, 404, .name = "RemoveHold", .as = &api->keeper, .hold = "0123");
    EXPECT(api, 204, .name = "RemoveHold", .as = &api->keeper, .hold = id);
    EXPECT(api, 404, .name = "RemoveHold", .as = &api->keeper, .hold = id);
}

static char audited[8192];
static void take_line(const char *line, size_t bytes, void *user) {
    (void)user;
    size_t used = strlen(audited);
    (void)snprintf(audited + used, sizeof(audited) - used, "%.*s", (int)bytes, line);
}

static void test_changes_leave_a_line_with_who(void **state) {
    struct api *api = *state;
    audited[0] = '\0';
    kn_log_set_sink(take_line, NULL);
    EXPECT(api, 201, .name = "CreateStream", .as = &api->admin, .body = "{'name':'gate'}");
    EXPECT(api, 200, .name = "UpdateStream", .as = &api->admin, .stream = "gate",
           .body = "{'target':'5s'}");
    EXPECT(api, 201, .name = "AddHold", .as = &api->keeper, .stream = "gate",
           .body = "{'from':'-1h','to':'now'}");
    char id[40];
    (void)snprintf(id, sizeof(id), "%s", api_text("id"));
    EXPECT(api, 204, .name = "RemoveHold", .as = &api->keeper, .hold = id);
    EXPECT(api, 204, .name = "DeleteStream", .as = &api->admin, .stream = "gate");
    EXPECT(api, 404, .name = "DeleteStream", .as = &api->admin, .stream = "gate");
    EXPECT(api, 200, .name = "RunRetention", .as = &api->admin, .body = "{}");
    kn_log_set_sink(NULL, NULL);
    static const char *const wanted[] = {"did=\"stream created\" principal=root kind=user peer=",
                                         "did=\"stream changed\"",
                                         "did=\"hold added\" principal=keeper",
                                         "did=\"hold removed\" principal=keeper",
                                         "did=\"stream deleted\" principal=root",
                                         "did=\"retention run\" principal=root"};
    const char *at = audited;
    for (size_t i = 0; i < KN_COUNT(wanted); i++) {
        at = strstr(at, wanted[i]);
        assert_non_null(at);
    }
    assert_non_null(strstr(audited, id));
    assert_null(strstr(at, "did=\"stream deleted\"")); /* what was refused is no change */
}

static void test_retention(void **state) {
    struct api *api = *state;
    for (unsigned i = 0; i < 3; i++) {
        api_record(api, "door", i + 1);
        fake_clock_advance(&api->store->clock, 3600 * KN_NS_PER_S);
    }
    EXPECT(api, 201, .name = "CreateStream", .as = &api->admin, .body = "{'name':'x'}");
    struct frag_stream *stream = frag_stream_find(api->world.store, "door");
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = 4 * 3600 * KN_NS_PER_S;
    assert_int_equal(frag_stream_update(stream, NULL, &settings), 0);
    EXPECT(api, 200, .name = "PlanRetention", .as = &api->admin, .query = "until=%2b5h");
    size_t reels = api_rows("reels");
    assert_true(reels >= 1);
    assert_int_equal(json_integer_value(json_object_get(api_told.json, "total_reels")), reels);
    assert_string_equal(api_row_text("reels", 0, "cause"), "age");
    assert_string_not_equal(api_row_text("reels", 0, "path"), "(no text)");
    EXPECT(api, 200, .name = "PlanRetention", .as = &api->admin, .query = "until=5h");
    assert_int_equal(api_rows("reels"), reels);
    EXPECT(api, 200, .name = "PlanRetention", .as = &api->keeper, .query = "until=%2b5h");
    assert_string_equal(api_row_text("reels", 0, "path"), "(no text)");
    assert_int_equal(api_walk(api, (struct ask){.name = "PlanRetention", .as = &api->keeper},
                              "reels", 1, "until=%2b5h&"),
                     reels);
    fake_clock_advance(&api->store->clock, 2 * 3600 * KN_NS_PER_S);
    EXPECT(api, 400, .name = "RunRetention", .as = &api->admin, .body = "{'confirm':true}");
    EXPECT(api, 200, .name = "RunRetention", .as = &api->admin, .body = "{'confirm_clock':true}");
    assert_true(json_is_false(json_object_get(api_told.json, "clock_in_doubt")));
    assert_true(json_integer_value(json_object_get(api_told.json, "deleted_reels")) >= 1);
}

/* ---- live and the server ---- */

static void test_live(void **state) {
    struct api *api = *state;
    (void)world_stream(api->store, "door");
    const struct srv_live_about abouts[] = {
        {SRV_LIVE_PRODUCER, "putmedia", "door", "192.0.2.1:1", "cam"},
        {SRV_LIVE_CONSUMER, "events", "", "192.0.2.2:1", "guest"},
        {SRV_LIVE_CONSUMER, "live", "gate", "192.0.2.3:1", "root"},
        {SRV_LIVE_CONSUMER, "live", "door", "192.0.2.4:1", "root"},
    };
    struct srv_live_entry *entries[KN_COUNT(abouts)];
    for (size_t i = 0; i < KN_COUNT(abouts); i++) {
        entries[i] = srv_live_add(api->world.live, &abouts[i]);
        assert_non_null(entries[i]);
    }
    srv_live_count(entries[0], 1000, 1);
    EXPECT(api, 200, .name = "ListLive", .as = &api->admin);
    assert_int_equal(api_rows("producers"), 1);
    assert_int_equal(api_rows("consumers"), 3);
    assert_string_equal(api_row_text("producers", 0, "peer"), "192.0.2.1:1");
    EXPECT(api, 200, .name = "ListLive", .as = &api->viewer);
    assert_int_equal(api_rows("producers"), 1);
    assert_int_equal(api_rows("consumers"), 1);
    assert_string_equal(api_row_text("producers", 0, "peer"), "(no text)");
    EXPECT(api, 200, .name = "ListStreamLive", .as = &api->viewer, .stream = "door",
           .query = "limit=1");
    assert_int_equal(api_rows("producers"), 1);
    assert_int_equal(api_rows("consumers"), 0);
    char query[64];
    (void)snprintf(query, sizeof(query), "after=%s", api_text("next"));
    EXPECT(api, 200, .name = "ListStreamLive", .as = &api->viewer, .stream = "door",
           .query = query);
    assert_int_equal(api_rows("producers"), 0);
    assert_int_equal(api_rows("consumers"), 1);
    EXPECT(api, 200, .name = "DescribeStream", .as = &api->admin, .stream = "door");
    assert_int_equal(json_integer_value(json_object_get(api_told.json, "producers")), 1);
    assert_string_equal(api_text("health"), "late");
    for (size_t i = 0; i < KN_COUNT(abouts); i++) {
        srv_live_remove(entries[i]);
    }
}

static void test_health_follows_the_last_fragment(void **state) {
    struct api *api = *state;
    api_record(api, "door", 1);
    EXPECT(api, 200, .name = "DescribeStream", .as = &api->admin, .stream = "door");
    assert_string_equal(api_text("health"), "recording");
    assert_true(json_is_real(json_object_get(api_told.json, "last_fragment_age_s")));
    fake_clock_advance(&api->store->clock, 60 * KN_NS_PER_S);
    EXPECT(api, 200, .name = "DescribeStream", .as = &api->admin, .stream = "door");
    assert_string_equal(api_text("health"), "idle");
}

static void test_the_server_tells_each_what_is_theirs(void **state) {
    struct api *api = *state;
    EXPECT(api, 200, .name = "DescribeServer", .as = &api->admin);
    /* Nothing watches it here. */
    assert_string_equal(api_text("health"), "failing");
    assert_true(json_is_true(json_object_get(api_told.json, "open_mode")));
    json_t *place = json_object_get(api_told.json, "place");
    assert_non_null(strstr(json_string_value(json_object_get(place, "data")), "store"));
    const json_t *disks = json_object_get(json_object_get(api_told.json, "store"), "disks");
    assert_int_equal(json_array_size(disks), 1);
    assert_true(json_is_string(json_object_get(json_array_get(disks, 0), "path")));
    EXPECT(api, 200, .name = "DescribeServer", .as = &api->keeper);
    assert_true(json_is_null(json_object_get(api_told.json, "place")));
    disks = json_object_get(json_object_get(api_told.json, "store"), "disks");
    assert_true(json_is_null(json_object_get(json_array_get(disks, 0), "path")));
    EXPECT(api, 200, .name = "DescribeServer", .as = &api->viewer);
    assert_true(json_is_null(json_object_get(api_told.json, "store")));
    assert_null(strstr(api_told.text, api->store->folder));
    EXPECT(api, 200, .name = "ShowConfiguration", .as = &api->admin);
    assert_string_equal(api_told.type, "application/yaml");
    assert_non_null(strstr(api_told.text, "retention"));
}

int main(void) {
#define API_TEST(test) cmocka_unit_test_setup_teardown(test, api_setup, api_teardown)
    const struct CMUnitTest tests[] = {
        API_TEST(test_streams_are_listed),
        API_TEST(test_queries_are_strict),
        API_TEST(test_a_stream_is_made_shown_changed_deleted),
        API_TEST(test_what_bodies_name_is_checked),
        API_TEST(test_the_file_owns_what_it_says),
        API_TEST(test_fragments_and_gaps_come_in_parts),
        API_TEST(test_gaps_that_begin_at_once_are_all_told),
        API_TEST(test_holds),
        API_TEST(test_changes_leave_a_line_with_who),
        API_TEST(test_retention),
        API_TEST(test_live),
        API_TEST(test_health_follows_the_last_fragment),
        API_TEST(test_the_server_tells_each_what_is_theirs),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    api_forget();
    return failed;
}
