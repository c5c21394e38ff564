#include "tests/unit/server_api_world.h"

#include "server/aws/aws.h"
#include "server/aws/list_fragments.h"

/* ---- asking ---- */

static struct srv_exchange *make(struct api *api, const struct srv_principal *as, const char *body,
                                 struct kn_loop *loop) {
    const struct fake_exchange_config config = {.world = &api->world,
                                                .principal = as,
                                                .region = "eu-central-1",
                                                .body = api_body(body),
                                                .loop = loop};
    struct srv_exchange *exchange = fake_exchange_create(&config);
    json_decref(config.body);
    return exchange;
}

/* Whole answers. */
static void refused(struct api *api, const struct srv_principal *as, const char *name, int status,
                    const char *code, const char *body) {
    struct srv_exchange *exchange = make(api, as, body, NULL);
    fake_exchange_handle(exchange, &srv_aws_get_media_routes, name);
    if (fake_exchange_status(exchange) != status ||
        strcmp(fake_exchange_type(exchange), code) != 0) {
        print_message("# %s: %d %s %s\n", body, fake_exchange_status(exchange),
                      fake_exchange_type(exchange), fake_exchange_text(exchange));
    }
    assert_int_equal(fake_exchange_status(exchange), status);
    assert_string_equal(fake_exchange_type(exchange), code);
    fake_exchange_destroy(exchange);
}

static json_t *list(struct api *api, const char *body) {
    struct srv_exchange *exchange = make(api, &api->viewer, body, NULL);
    fake_exchange_handle(exchange, &srv_aws_get_media_routes, "AWS.ListFragments");
    if (fake_exchange_status(exchange) != 200) {
        print_message("# %s: %s\n", body, fake_exchange_text(exchange));
    }
    assert_int_equal(fake_exchange_status(exchange), 200);
    json_t *json = json_loads(fake_exchange_text(exchange), 0, NULL);
    assert_non_null(json);
    fake_exchange_destroy(exchange);
    return json;
}

#define WHOLE                                                                                      \
    "'FragmentSelector': {'FragmentSelectorType': 'PRODUCER_TIMESTAMP', 'TimestampRange': "        \
    "{'StartTimestamp': 0, 'EndTimestamp': 4e9}}"

/* ---- refusals ---- */

static void requests_are_checked(void **state) {
    struct api *api = *state;
    static const char invalid[] = "InvalidArgumentException";
    static const char denied[] = "AccessDeniedException";
    api_record(api, "door", 1);
    static const char *const selectors[] = {
        "'FRAGMENT_NUMBER'",
        "'CONTINUATION_TOKEN'",
        "'CONTINUATION_TOKEN', 'ContinuationToken': '77'",
        "'PRODUCER_TIMESTAMP'",
        "'SERVER_TIMESTAMP'",
    };
    for (size_t i = 0; i < KN_COUNT(selectors); i++) {
        char body[256];
        (void)snprintf(body, sizeof(body),
                       "{'StreamName': 'door', 'StartSelector': {'StartSelectorType': %s}}",
                       selectors[i]);
        refused(api, &api->viewer, "AWS.GetMedia", 400, invalid, body);
    }
    static const char now[] =
        "{'StreamName': 'door', 'StartSelector': {'StartSelectorType': 'NOW'}}";
    refused(api, &api->keeper, "AWS.GetMedia", 401, denied, now);
    refused(api, NULL, "AWS.GetMedia", 401, denied, now);
    refused(api, &api->keeper, "AWS.ListFragments", 401, denied,
            "{'StreamName': 'door', " WHOLE "}");
    refused(api, &api->viewer, "AWS.ListFragments", 400, invalid, "{'StreamName': 'door'}");
    refused(api, &api->viewer, "AWS.ListFragments", 400, invalid,
            "{'StreamName': 'door', 'FragmentSelector': {'FragmentSelectorType': "
            "'SERVER_TIMESTAMP', 'TimestampRange': {'StartTimestamp': 9, 'EndTimestamp': 8}}}");
    refused(api, &api->viewer, "AWS.GetMediaForFragmentList", 400, invalid,
            "{'StreamName': 'door', 'Fragments': ['12345']}");
    refused(api, &api->admin, "AWS.GetMedia", 404, "ResourceNotFoundException",
            "{'StreamName': 'nobody', 'StartSelector': {'StartSelectorType': 'EARLIEST'}}");
}

/* ---- pages ---- */

static void pages_survive_retention(void **state) {
    struct api *api = *state;
    char body[512];
    api_record(api, "door", 1);
    api_record(api, "door", 2);
    json_t *all = list(api, "{'StreamName': 'door', " WHOLE "}");
    const json_t *fragments = json_object_get(all, "Fragments");
    assert_int_equal(json_array_size(fragments), 4);
    assert_null(json_object_get(all, "NextToken"));
    const json_t *one = json_array_get(fragments, 0);
    assert_int_equal(json_integer_value(json_object_get(one, "FragmentLengthInMilliseconds")),
                     2000);
    assert_true(json_integer_value(json_object_get(one, "FragmentSizeInBytes")) > 0);

    json_t *first = list(api, "{'StreamName': 'door', 'MaxResults': 1, " WHOLE "}");
    const char *token = json_string_value(json_object_get(first, "NextToken"));
    assert_non_null(token);
    /* The second one ages out, and the first with it. */
    struct frag_stream *stream = frag_stream_find(api->world.store, "door");
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = KN_NS_PER_S * 3600;
    assert_int_equal(frag_stream_update(stream, NULL, &settings), 0);
    int64_t third_ns = (int64_t)(json_number_value(json_object_get(json_array_get(fragments, 2),
                                                                   "ServerTimestamp")) *
                                 1000) *
                       KN_NS_PER_MS;
    int64_t now_ns = atomic_load(&api->store->clock.wall_ns);
    fake_clock_advance(&api->store->clock,
                       third_ns + settings.retention_ns - now_ns - KN_NS_PER_S / 2);
    (void)snprintf(body, sizeof(body), "{'StreamName': 'door', 'MaxResults': 1, 'NextToken': '%s'}",
                   token);
    json_t *second = list(api, body);
    const json_t *next = json_array_get(json_object_get(second, "Fragments"), 0);
    assert_string_equal(
        json_string_value(json_object_get(next, "FragmentNumber")),
        json_string_value(json_object_get(json_array_get(fragments, 2), "FragmentNumber")));
    /* Of another stream it is none. */
    api_record(api, "door2", 3);
    (void)snprintf(body, sizeof(body), "{'StreamName': 'door2', 'NextToken': '%s'}", token);
    refused(api, &api->viewer, "AWS.ListFragments", 400, "InvalidArgumentException", body);
    json_decref(second);
    json_decref(first);
    json_decref(all);
}

static void tokens_are_read_strictly(void **state) {
    struct srv_fragments_page page = {.clock = FRAG_CLOCK_SERVER,
                                      .from = {-5},
                                      .to = {INT64_C(1795209820123456789)},
                                      .after = FRAG_NUMBER_SEQUENCE_MAX};
    struct srv_fragments_page read = {.after = 7};
    char text[SRV_FRAGMENTS_TOKEN_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof(page.stream); i++) {
        page.stream[i] = (uint8_t)(i * 17);
    }
    assert_int_equal(srv_fragments_token_read(srv_fragments_token_write(&page, text), &read), 0);
    assert_int_equal(strlen(text), sizeof(text) - 1);
    assert_int_equal(read.from.ns, -5);
    assert_int_equal(read.to.ns, page.to.ns);
    assert_true(read.clock == page.clock && read.after == page.after);
    assert_memory_equal(read.stream, page.stream, sizeof(page.stream));
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        char wrong[SRV_FRAGMENTS_TOKEN_BYTES];
        memcpy(wrong, text, sizeof(wrong));
        wrong[i] = 'X';
        assert_int_equal(srv_fragments_token_read(wrong, &read), KN_E_MALFORMED);
        wrong[i] = '\0';
        assert_int_equal(srv_fragments_token_read(wrong, &read), KN_E_MALFORMED);
    }
    page.from.ns = page.to.ns + 1;
    assert_int_equal(srv_fragments_token_read(srv_fragments_token_write(&page, text), &read),
                     KN_E_MALFORMED);
}

/* ---- reading ---- */

struct reading {
    struct api *api;
    struct srv_exchange *exchange;
    struct kn_loop *loop;
    const char *name, *body;
};

static void begin(void *user, int status) {
    struct reading *reading = user;
    (void)status;
    reading->exchange = make(reading->api, &reading->api->viewer, reading->body, reading->loop);
    fake_exchange_handle(reading->exchange, &srv_aws_get_media_routes, reading->name);
    (void)fake_exchange_run(reading->exchange);
}

static void drain(void *user, int status) {
    struct reading *reading = user;
    (void)status;
    fake_exchange_drain(reading->exchange);
}

static void close_it(void *user, int status) {
    struct reading *reading = user;
    (void)status;
    fake_exchange_close(reading->exchange);
}

static int count_each(const struct srv_live_info *info, void *user) {
    unsigned *count = user;
    *count += strcmp(info->protocol, "getmedia") == 0 && info->side == SRV_LIVE_CONSUMER ? 1 : 0;
    return 0;
}

static unsigned count_live(struct api *api) {
    unsigned count = 0;
    assert_int_equal(srv_live_each(api->world.live, "door", count_each, &count), 0);
    return count;
}

static void read_once(struct api *api, const char *name, const char *body, bool ends) {
    struct kn_loop_config config = kn_loop_config_defaults();
    struct reading reading = {.api = api, .name = name, .body = body};
    assert_int_equal(kn_loop_create(&config, &reading.loop), 0);
    assert_int_equal(kn_loop_start(reading.loop), 0);
    assert_int_equal(kn_loop_call(reading.loop, begin, &reading), 0);
    assert_int_equal(fake_exchange_status(reading.exchange), 200);
    assert_string_equal(fake_exchange_type(reading.exchange), "video/webm");
    assert_memory_equal(fake_exchange_text(reading.exchange), "\x1A\x45\xDF\xA3", 4);
    assert_true(fake_exchange_ended(reading.exchange) == ends);
    assert_int_equal(count_live(api), 1);
    if (!ends) {
        assert_int_equal(kn_loop_call(reading.loop, drain, &reading), 0);
        assert_true(fake_exchange_ended(reading.exchange));
    }
    assert_int_equal(kn_loop_call(reading.loop, close_it, &reading), 0);
    assert_int_equal(count_live(api), 0);
    kn_loop_destroy(reading.loop);
    fake_exchange_destroy(reading.exchange);
}

static void readers_are_counted_and_end(void **state) {
    struct api *api = *state;
    char body[256];
    api_record(api, "door", 1);
    read_once(api, "AWS.GetMedia",
              "{'StreamName': 'door', 'StartSelector': {'StartSelectorType': 'EARLIEST'}}", false);
    json_t *all = list(api, "{'StreamName': 'door', " WHOLE "}");
    const json_t *one = json_array_get(json_object_get(all, "Fragments"), 0);
    (void)snprintf(body, sizeof(body), "{'StreamName': 'door', 'Fragments': ['%s']}",
                   json_string_value(json_object_get(one, "FragmentNumber")));
    read_once(api, "AWS.GetMediaForFragmentList", body, true);
    json_decref(all);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_setup, api_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(requests_are_checked),
        TEST(pages_survive_retention),
        cmocka_unit_test(tokens_are_read_strictly),
        TEST(readers_are_counted_and_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
