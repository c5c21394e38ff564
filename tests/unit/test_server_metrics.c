/* /metrics as a strict reader of Prometheus' text format takes it, and /healthz. */
#include <ctype.h>
#include <math.h>

#include "server/api/api.h"
#include "server/api/metrics.h"
#include "server/events.h"
#include "server/live.h"
#include "server/sources.h"
#include "server/world.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/fake_exchange.h"
#include "tests/unit/fragments_store_world.h"

/* ---- a strict reader: everything that is not right fails the test ---- */

struct reader {
    const char *at;
    char family[96], kind[16];
    char seen[200][96]; /* families, none twice */
    size_t families, samples;
    /* Of the histogram being read: */
    char series[512];
    double last_end, last_count;
    size_t buckets;
};

static size_t read_name(const char *at, const char *more) {
    size_t size = 0;
    assert_true(isalpha((unsigned char)*at) || *at == '_');
    while (isalnum((unsigned char)at[size]) || strchr(more, at[size]) != NULL) {
        if (at[size] == '\0') {
            break;
        }
        size++;
    }
    return size;
}

static void expect_text(struct reader *reader, const char *text) {
    if (strncmp(reader->at, text, strlen(text)) != 0) {
        fail_msg("'%s' is missing at: %.80s", text, reader->at);
    }
    reader->at += strlen(text);
}

/* "# HELP name text\n# TYPE name kind\n" */
static void read_family(struct reader *reader) {
    expect_text(reader, "# HELP ");
    size_t size = read_name(reader->at, "_:");
    assert_true(size < sizeof(reader->family));
    (void)snprintf(reader->family, sizeof(reader->family), "%.*s", (int)size, reader->at);
    for (size_t i = 0; i < reader->families; i++) {
        assert_string_not_equal(reader->seen[i], reader->family);
    }
    assert_true(reader->families < KN_COUNT(reader->seen));
    (void)snprintf(reader->seen[reader->families++], sizeof(reader->seen[0]), "%s", reader->family);
    reader->at += size;
    expect_text(reader, " ");
    assert_true(*reader->at != '\n');
    reader->at = strchr(reader->at, '\n');
    assert_non_null(reader->at);
    expect_text(reader, "\n# TYPE ");
    expect_text(reader, reader->family);
    expect_text(reader, " ");
    size = strcspn(reader->at, "\n");
    (void)snprintf(reader->kind, sizeof(reader->kind), "%.*s", (int)size, reader->at);
    assert_true(strcmp(reader->kind, "counter") == 0 || strcmp(reader->kind, "gauge") == 0 ||
                strcmp(reader->kind, "histogram") == 0);
    bool total = strlen(reader->family) > 6 &&
                 strcmp(reader->family + strlen(reader->family) - 6, "_total") == 0;
    assert_int_equal(total, strcmp(reader->kind, "counter") == 0);
    assert_int_equal(strncmp(reader->family, "kinora_", 7), 0);
    reader->at += size;
    expect_text(reader, "\n");
    reader->buckets = 0;
}

/* `labels` gets them without le, whose value goes to `le`. */
static void read_labels(struct reader *reader, char labels[static 512], char le[static 40]) {
    size_t used = 0;
    labels[0] = le[0] = '\0';
    if (*reader->at != '{') {
        return;
    }
    do {
        reader->at++;
        const char *begin = reader->at;
        size_t size = read_name(reader->at, "_");
        reader->at += size;
        expect_text(reader, "=\"");
        const char *value = reader->at;
        while (*reader->at != '"') {
            assert_true(*reader->at != '\n' && *reader->at != '\0');
            if (*reader->at == '\\') {
                reader->at++;
                assert_non_null(strchr("\\\"n", *reader->at));
                assert_true(*reader->at != '\0');
            }
            reader->at++;
        }
        if (size == 2 && strncmp(begin, "le", 2) == 0) {
            (void)snprintf(le, 40, "%.*s", (int)(reader->at - value), value);
        } else {
            used += (size_t)snprintf(labels + used, 512 - used, "%.*s,", (int)(reader->at - begin),
                                     begin);
        }
        assert_true(used < 512);
        expect_text(reader, "\"");
    } while (*reader->at == ',');
    expect_text(reader, "}");
}

static double read_value(struct reader *reader) {
    char *end = NULL;
    expect_text(reader, " ");
    assert_true(isdigit((unsigned char)*reader->at) || strchr("+-N", *reader->at) != NULL);
    double value = strtod(reader->at, &end);
    assert_true(end > reader->at);
    reader->at = end;
    expect_text(reader, "\n");
    reader->samples++;
    return value;
}

/* Buckets rise, end in +Inf, then _sum, then _count, which is the last bucket's. */
static void check_histogram(struct reader *reader, const char *suffix, const char *labels,
                            const char *le, double value) {
    if (strcmp(suffix, "_bucket") == 0) {
        double bound = strtod(le, NULL);
        assert_true(le[0] != '\0');
        if (reader->buckets++ == 0) {
            (void)snprintf(reader->series, sizeof(reader->series), "%s", labels);
        } else {
            assert_true(bound > reader->last_end && value >= reader->last_count);
        }
        reader->last_end = bound;
        reader->last_count = value;
    } else if (strcmp(suffix, "_sum") == 0) {
        assert_true(reader->buckets > 1 && isinf(reader->last_end));
    } else {
        assert_string_equal(suffix, "_count");
        assert_true(value == reader->last_count);
        reader->buckets = 0;
    }
    assert_string_equal(labels, reader->series);
}

static void read_sample(struct reader *reader) {
    char labels[512], le[40];
    expect_text(reader, reader->family);
    size_t size = strcspn(reader->at, "{ ");
    char suffix[16];
    (void)snprintf(suffix, sizeof(suffix), "%.*s", (int)size, reader->at);
    reader->at += size;
    read_labels(reader, labels, le);
    double value = read_value(reader);
    if (strcmp(reader->kind, "histogram") == 0) {
        check_histogram(reader, suffix, labels, le, value);
    } else {
        assert_string_equal(suffix, "");
        assert_string_equal(le, "");
        assert_true(strcmp(reader->kind, "gauge") == 0 || value >= 0);
    }
}

static struct reader read_all(const char *text) {
    static struct reader reader;
    memset(&reader, 0, sizeof(reader));
    reader.at = text;
    while (*reader.at != '\0') {
        if (*reader.at == '#') {
            assert_int_equal(reader.buckets, 0);
            read_family(&reader);
        } else {
            read_sample(&reader);
        }
    }
    assert_int_equal(reader.buckets, 0);
    return reader;
}

/* ---- the writer ---- */

static char *take_text(struct srv_metrics *metrics) {
    struct kn_buffer *buffer = NULL;
    assert_int_equal(srv_metrics_take(metrics, &buffer), 0);
    char *text = calloc(1, buffer->size + 1);
    assert_non_null(text);
    memcpy(text, buffer->data, buffer->size);
    kn_buffer_unref(buffer);
    return text;
}

#define LEFT_OUT                                                                                   \
    "# HELP kinora_metrics_left_out Families that are not here because the text would be too "     \
    "large.\n# TYPE kinora_metrics_left_out gauge\nkinora_metrics_left_out "

static void text_is_exact(void **state) {
    (void)state;
    struct srv_metrics metrics;
    srv_metrics_init(&metrics, 1 << 20);
    const struct srv_label odd[] = {{"a", "q\"b\\s\n"}, {"b", "x\x01\xff\xc3\xa4"}};
    srv_metrics_family(&metrics, "kinora_x_total", SRV_METRIC_COUNTER, "Xs.");
    srv_metrics_u64(&metrics, NULL, 0, UINT64_MAX);
    srv_metrics_u64(&metrics, odd, 2, 0);
    srv_metrics_family(&metrics, "kinora_y", SRV_METRIC_GAUGE, "Ys.");
    srv_metrics_real(&metrics, NULL, 0, 1795209820.125);
    srv_metrics_real(&metrics, NULL, 0, -INFINITY);
    const double ends[] = {0.5, 1, HUGE_VAL};
    const uint64_t counts[] = {3, 0, 2};
    srv_metrics_family(&metrics, "kinora_z_seconds", SRV_METRIC_HISTOGRAM, "Zs.");
    srv_metrics_buckets(&metrics, odd, 0, ends, counts, 3, 1500 * KN_NS_PER_MS);
    char *text = take_text(&metrics);
    assert_string_equal(text,
                        "# HELP kinora_x_total Xs.\n# TYPE kinora_x_total counter\n"
                        "kinora_x_total 18446744073709551615\n"
                        "kinora_x_total{a=\"q\\\"b\\\\s\\n\",b=\"x??\xc3\xa4\"} 0\n"
                        "# HELP kinora_y Ys.\n# TYPE kinora_y gauge\n"
                        "kinora_y 1795209820.125\nkinora_y -Inf\n"
                        "# HELP kinora_z_seconds Zs.\n# TYPE kinora_z_seconds histogram\n"
                        "kinora_z_seconds_bucket{le=\"0.5\"} 3\n"
                        "kinora_z_seconds_bucket{le=\"1\"} 3\n"
                        "kinora_z_seconds_bucket{le=\"+Inf\"} 5\n"
                        "kinora_z_seconds_sum 1.5\nkinora_z_seconds_count 5\n" LEFT_OUT "0\n");
    free(text);
}

static void a_family_without_room_is_left_out_whole(void **state) {
    (void)state;
    struct srv_metrics metrics;
    srv_metrics_init(&metrics, 1000);
    srv_metrics_family(&metrics, "kinora_first", SRV_METRIC_GAUGE, "One.");
    srv_metrics_u64(&metrics, NULL, 0, 1);
    srv_metrics_family(&metrics, "kinora_long", SRV_METRIC_GAUGE, "Many.");
    for (int i = 0; i < 100; i++) {
        srv_metrics_u64(&metrics, NULL, 0, 1);
    }
    srv_metrics_family(&metrics, "kinora_last", SRV_METRIC_GAUGE, "One.");
    srv_metrics_u64(&metrics, NULL, 0, 2);
    char *text = take_text(&metrics);
    struct reader reader = read_all(text);
    assert_int_equal(reader.families, 3);
    assert_string_equal(reader.seen[1], "kinora_last");
    assert_non_null(strstr(text, LEFT_OUT "1\n"));
    assert_true(strlen(text) <= 1000);
    free(text);
}

static void without_memory_families_are_left_out(void **state) {
    (void)state;
    struct srv_metrics metrics;
    struct kn_buffer *buffer = NULL;
    srv_metrics_init(&metrics, 1 << 20);
    fail_alloc_always();
    srv_metrics_gauge(&metrics, "kinora_first", 1, "One.");
    int rc = srv_metrics_take(&metrics, &buffer);
    fail_alloc_stop();
    assert_int_equal(rc, -ENOMEM);
    srv_metrics_gauge(&metrics, "kinora_second", 1, "Two.");
    fail_alloc_at(1); /* the buffer's own */
    rc = srv_metrics_take(&metrics, &buffer);
    fail_alloc_stop();
    assert_int_equal(rc, -ENOMEM);
    assert_null(metrics.data);
}

/* ---- a server whose HTTP, sources and events are the test's ---- */

static struct srv_health health = {"ok", NULL};
const struct srv_health *srv_events_health(struct srv_events *events) {
    (void)events;
    return &health;
}

bool srv_gate_is_open(struct srv_gate *gate) {
    (void)gate;
    return true;
}

struct srv_gate_stats srv_gate_stats(struct srv_gate *gate) {
    (void)gate;
    return (struct srv_gate_stats){.fine = 7, .too_many = 3};
}

int srv_sources_status(struct srv_sources *sources, const char *stream,
                       struct ing_source_status *ret_status) {
    (void)sources;
    if (strcmp(stream, "door") != 0) {
        return -ENOENT;
    }
    *ret_status = (struct ing_source_status){.state = ING_SOURCE_RUNNING, .failures = 2};
    return 0;
}

const double srv_latency_seconds[SRV_LATENCY_BUCKETS] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, HUGE_VAL};

const struct srv_router *srv_http_server_router(const struct srv_http_server *server) {
    (void)server;
    return NULL;
}

const struct srv_route *srv_router_row(const struct srv_router *router, size_t at) {
    (void)router;
    return at < srv_metrics_routes.count ? &srv_metrics_routes.rows[at] : NULL;
}

struct srv_http_stats srv_http_server_stats(struct srv_http_server *server) {
    (void)server;
    struct srv_http_stats stats = {.timeouts = 5, .denied = {1, 2, 3}};
    stats.faults[SRV_HTTP_BARE_LF] = 4;
    stats.transport.connections = 6;
    return stats;
}

struct srv_route_stats srv_http_server_route_stats(struct srv_http_server *server, size_t at) {
    (void)server;
    return (struct srv_route_stats){.by_status = {0, 0, 10 + at, 0, 1, 0},
                                    .latency = {1, 2, 3},
                                    .latency_sum_ns = 20 * KN_NS_PER_MS};
}

struct server {
    struct world *store; /* first */
    struct srv_world world;
};

static int setup(void **state) {
    struct server *server = calloc(1, sizeof(*server));
    assert_non_null(server);
    health = (struct srv_health){"ok", NULL};
    (void)world_setup((void **)&server->store);
    world_open(server->store);
    struct srv_world *world = &server->world;
    world->store = server->store->store;
    world->clock = &server->store->clock.clock;
    world->started = world->clock->wall(world->clock);
    world->http = (struct srv_http_server *)(void *)server; /* only asked whether there is one */
    const struct srv_live_config live = {.clock = world->clock};
    assert_int_equal(srv_live_create(&live, &world->live), 0);
    *state = server;
    return 0;
}

static int teardown(void **state) {
    struct server *server = *state;
    srv_live_destroy(server->world.live);
    (void)world_teardown((void **)&server->store);
    free(server);
    return 0;
}

static struct srv_exchange *ask(struct server *server, const char *route) {
    const struct fake_exchange_config config = {.world = &server->world};
    struct srv_exchange *exchange = fake_exchange_create(&config);
    fake_exchange_handle(exchange, &srv_metrics_routes, route);
    return exchange;
}

static void expect_line(const char *text, const char *line) {
    const char *found = strstr(text, line);
    while (found != NULL && ((found > text && found[-1] != '\n') || found[strlen(line)] != '\n')) {
        found = strstr(found + 1, line);
    }
    if (found == NULL) {
        fail_msg("no line '%s'", line);
    }
}

static void all_metrics_are_right(void **state) {
    struct server *server = *state;
    (void)world_stream(server->store, "idle");
    world_record(server->store, "door", 1, 101);
    assert_int_equal(frag_store_flush(server->store->store), 0);
    fake_clock_advance(&server->store->clock, 5 * KN_NS_PER_S);
    const struct srv_live_about about = {
        .side = SRV_LIVE_PRODUCER, .protocol = "replay", .stream = "door"};
    assert_non_null(srv_live_add(server->world.live, &about));

    struct srv_exchange *exchange = ask(server, "Metrics");
    assert_int_equal(fake_exchange_status(exchange), 200);
    assert_string_equal(fake_exchange_type(exchange), "text/plain; version=0.0.4; charset=utf-8");
    const char *text = fake_exchange_text(exchange);
    struct reader reader = read_all(text);
    assert_true(reader.families > 60 && reader.samples > 150);
    expect_line(text, "kinora_fragments_total{stream=\"door\"} 3");
    expect_line(text, "kinora_fragments_total{stream=\"idle\"} 0");
    expect_line(text, "kinora_frames_total{stream=\"door\"} 101");
    expect_line(text, "kinora_gaps_total{stream=\"door\",cause=\"producer away\"} 1");
    expect_line(text, "kinora_ack_seconds_count{stream=\"door\"} 3");
    expect_line(text, "kinora_source_up{stream=\"door\"} 1");
    expect_line(text, "kinora_source_failures_total{stream=\"door\"} 2");
    expect_line(text, "kinora_producers{stream=\"door\"} 1");
    expect_line(text, "kinora_consumers{stream=\"door\"} 0");
    expect_line(text, "kinora_retention_fragments{stream=\"door\"} 3");
    expect_line(text, "kinora_store_health{state=\"ok\"} 1");
    expect_line(text, "kinora_store_fragments_total 3");
    expect_line(text, "kinora_queued_rows 0");
    expect_line(text, "kinora_disk_online{storage=\"0\"} 1");
    expect_line(text, "kinora_http_connections 6");
    expect_line(text, "kinora_http_faults_total{reason=\"bare-lf\"} 4");
    expect_line(text, "kinora_http_denied_total{code=\"429\"} 3");
    expect_line(text, "kinora_http_requests_total{route=\"Metrics\",code=\"2xx\"} 11");
    expect_line(text, "kinora_http_request_seconds_count{route=\"Health\"} 6");
    expect_line(text, "kinora_http_request_seconds_sum{route=\"Health\"} 0.02");
    expect_line(text, "kinora_auth_allowed_total 7");
    expect_line(text, "kinora_process_start_time_seconds 1795209820");
    expect_line(text, "kinora_healthy 1");
    assert_non_null(strstr(text, "kinora_last_fragment_age_seconds{stream=\"door\"} "));
    assert_null(strstr(text, "kinora_last_fragment_age_seconds{stream=\"idle\"}"));
    assert_null(strstr(text, "kinora_source_up{stream=\"idle\"}"));
    assert_non_null(strstr(text, "kinora_process_resident_memory_bytes "));
    assert_non_null(strstr(text, "kinora_thread_cpu_seconds_total{thread=\""));
    assert_non_null(strstr(text, "kinora_process_open_fds "));
    fake_exchange_destroy(exchange);
}

static void metrics_survive_want_of_memory(void **state) {
    struct server *server = *state;
    world_record(server->store, "door", 1, 60);
    assert_int_equal(frag_store_flush(server->store->store), 0);
    struct srv_metrics metrics;
    for (unsigned long n = 1; n <= 4; n++) {
        srv_metrics_init(&metrics, 1 << 20);
        fail_alloc_at(n);
        int rc = srv_metrics_streams(&metrics, &server->world);
        fail_alloc_stop();
        assert_int_equal(rc, n <= 2 ? -ENOMEM : 0);
        srv_metrics_finish(&metrics);
    }
}

static void health_is_open_and_says_little(void **state) {
    struct server *server = *state;
    assert_int_equal(srv_metrics_routes.rows[0].access, SRV_OPEN);
    struct srv_exchange *exchange = ask(server, "Health");
    assert_int_equal(fake_exchange_status(exchange), 200);
    assert_string_equal(fake_exchange_text(exchange), "{\"status\":\"ok\"}");
    fake_exchange_destroy(exchange);
    health = (struct srv_health){"disk full", "no storage directory has room"};
    exchange = ask(server, "Health");
    assert_int_equal(fake_exchange_status(exchange), 503);
    assert_string_equal(fake_exchange_text(exchange),
                        "{\"status\":\"disk full\",\"reason\":\"no storage directory has room\"}");
    fake_exchange_destroy(exchange);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_exact),
        cmocka_unit_test(a_family_without_room_is_left_out_whole),
        cmocka_unit_test(without_memory_families_are_left_out),
        cmocka_unit_test_setup_teardown(all_metrics_are_right, setup, teardown),
        cmocka_unit_test_setup_teardown(metrics_survive_want_of_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(health_is_open_and_says_little, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
