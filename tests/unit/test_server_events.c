/* Events: the ring, what readers get of it, and the hub that watches streams. */
#include "base/log.h"
#include "server/api/api.h"
#include "server/auth/principals_inner.h"
#include "server/events/inner.h"
#include "server/live.h"
#include "server/sources.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/fake_exchange.h"
#include "tests/unit/fragments_store_world.h"

/* ---- the ring ---- */

static size_t take(struct srv_ring *ring, uint64_t after, uint64_t ids[static 8], bool *ret_hole) {
    struct srv_event *events[8];
    size_t count = srv_ring_take(ring, after, events, 8, ret_hole);
    for (size_t i = 0; i < count; i++) {
        ids[i] = events[i]->id;
        srv_event_unref(events[i]);
    }
    return count;
}

static void the_ring_keeps_the_newest(void **state) {
    (void)state;
    struct srv_ring *ring = NULL;
    uint64_t ids[8];
    bool hole = true;
    assert_int_equal(srv_ring_create(100, 4, 1000, &ring), 0);
    assert_int_equal(take(ring, 100, ids, &hole), 0);
    assert_false(hole);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(srv_ring_put(ring, "stream", "door", "{}"), 0);
    }
    assert_int_equal(srv_ring_newest(ring), 106);
    assert_int_equal(take(ring, 102, ids, &hole), 4);
    assert_false(hole);
    assert_int_equal(ids[0], 103);
    assert_int_equal(ids[3], 106);
    assert_int_equal(take(ring, 105, ids, &hole), 1);
    assert_int_equal(take(ring, 101, ids, &hole), 0);
    assert_true(hole); /* 102 is gone */
    assert_int_equal(take(ring, 107, ids, &hole), 0);
    assert_true(hole); /* there never was one */
    assert_int_equal(take(ring, 0, ids, &hole), 0);
    assert_true(hole);

    srv_ring_cut(ring);
    assert_int_equal(take(ring, 106, ids, &hole), 0);
    assert_true(hole);
    assert_int_equal(take(ring, srv_ring_newest(ring), ids, &hole), 0);
    assert_false(hole);
    assert_int_equal(srv_ring_put(ring, "gone", NULL, "{}"), 0);
    assert_int_equal(take(ring, 107, ids, &hole), 1);
    assert_int_equal(ids[0], 108);
    srv_ring_destroy(ring);
}

static void the_ring_is_bounded_in_bytes(void **state) {
    (void)state;
    struct srv_ring *ring = NULL;
    uint64_t ids[8];
    bool hole = false;
    char data[301];
    memset(data, '1', 300);
    data[300] = '\0';
    assert_int_equal(srv_ring_create(0, 8, 1000, &ring), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(srv_ring_put(ring, "stream", "door", data), 0);
    }
    assert_int_equal(take(ring, 3, ids, &hole), 2); /* 3 are over 1,000 bytes with their heads */
    assert_false(hole);
    assert_int_equal(take(ring, 1, ids, &hole), 0);
    assert_true(hole);
    srv_ring_destroy(ring);
}

static void without_memory_the_ring_has_a_hole(void **state) {
    (void)state;
    struct srv_ring *ring = NULL;
    uint64_t ids[8];
    for (unsigned long n = 1; n <= 3; n++) {
        bool hole = false;
        assert_int_equal(srv_ring_create(0, 8, 1000, &ring), 0);
        assert_int_equal(srv_ring_put(ring, "stream", "door", "{}"), 0);
        fail_alloc_at(n);
        int rc = srv_ring_put(ring, "stream", "door", "{}");
        fail_alloc_stop();
        assert_int_equal(rc, n <= 2 ? -ENOMEM : 0);
        size_t count = take(ring, 1, ids, &hole);
        assert_int_equal(hole, rc < 0);
        assert_int_equal(count, rc < 0 ? 0 : 1);
        srv_ring_destroy(ring);
        ring = NULL;
        fail_alloc_at(1);
        assert_int_equal(srv_ring_create(0, 8, 1000, &ring), -ENOMEM);
        fail_alloc_stop();
    }
}

/* ---- a server of which only events are real ---- */

static bool gate_open, http_answers;
static atomic_uint source_ticks;

bool srv_gate_is_open(struct srv_gate *gate) {
    (void)gate;
    return gate_open;
}

bool srv_http_server_answers(struct srv_http_server *server, int64_t ns) {
    (void)server;
    (void)ns;
    return http_answers;
}

void srv_sources_tick(struct srv_sources *sources) {
    (void)sources;
    (void)atomic_fetch_add(&source_ticks, 1);
}

json_t *srv_api_stream_json(struct srv_world *world, struct frag_stream *stream) {
    (void)world;
    struct frag_stream_info *info = malloc(sizeof(*info));
    json_t *json = NULL;
    if (info != NULL && frag_stream_describe(stream, info) == 0) {
        json = json_pack("{s:s, s:I, s:s}", "name", info->name, "fragments",
                         (json_int_t)info->counters.fragments, "health",
                         info->counters.fragments > 0 ? "recording" : "idle");
    }
    free(info);
    return json;
}

struct server {
    struct world *store; /* first of all */
    struct srv_world world;
    const struct srv_principal *viewer; /* of door* */
    const struct srv_principal *admin;
};

static void quiet(const char *line, size_t bytes, void *user) {
    (void)line;
    (void)bytes;
    (void)user;
}

static const struct srv_principal *add_token(struct srv_world *world, const char *name,
                                             const char *grant, struct kn_wall expires) {
    struct srv_principal principal = {.kind = SRV_PRINCIPAL_TOKEN, .grant_count = 1};
    char token[SRV_TOKEN_BYTES];
    const struct srv_principal *found = NULL;
    (void)strncpy(principal.name, name, sizeof(principal.name) - 1);
    principal.created = world->clock->wall(world->clock);
    principal.expires = expires;
    assert_int_equal(srv_grant_parse(grant, &principal.grants[0]), 0);
    assert_int_equal(srv_principal_make_token(&principal, token), 0);
    assert_int_equal(srv_principals_add(world->principals, &principal), 0);
    assert_int_equal(srv_principals_find(world->principals, SRV_PRINCIPAL_TOKEN, name, &found), 0);
    return found;
}

static int setup(void **state) {
    struct server *server = calloc(1, sizeof(*server));
    assert_non_null(server);
    kn_log_set_sink(quiet, NULL);
    gate_open = false;
    http_answers = true;
    atomic_store(&source_ticks, 0);
    (void)world_setup((void **)&server->store);
    world_open(server->store);
    struct srv_world *world = &server->world;
    world->store = server->store->store;
    world->clock = &server->store->clock.clock;
    world->started = world->clock->wall(world->clock);
    memset(world->keyfile.key, 7, sizeof(world->keyfile.key));
    const struct srv_live_config live = {.clock = world->clock};
    assert_int_equal(srv_live_create(&live, &world->live), 0);
    assert_int_equal(srv_principals_open(world->store, &world->keyfile, &world->principals), 0);
    assert_int_equal(srv_events_create(world, &world->events), 0);
    server->viewer = add_token(world, "viewer", "viewer:door*", SRV_NEVER);
    server->admin = add_token(world, "admin", "admin:*", SRV_NEVER);
    (void)world_stream(server->store, "door");
    (void)world_stream(server->store, "gate");
    *state = server;
    return 0;
}

static int teardown(void **state) {
    struct server *server = *state;
    srv_events_destroy(server->world.events);
    srv_live_destroy(server->world.live);
    srv_principal_unref(server->viewer);
    srv_principal_unref(server->admin);
    srv_principals_close(server->world.principals);
    (void)world_teardown((void **)&server->store);
    free(server);
    return 0;
}

static struct srv_exchange *open_reader(struct server *server,
                                        const struct srv_principal *principal,
                                        const char *last_event_id) {
    const struct fake_exchange_config config = {
        .world = &server->world, .principal = principal, .last_event_id = last_event_id};
    struct srv_exchange *exchange = fake_exchange_create(&config);
    fake_exchange_handle(exchange, &srv_events_routes, "Events");
    return exchange;
}

static void close_reader(struct srv_exchange *exchange) {
    fake_exchange_close(exchange);
    fake_exchange_destroy(exchange);
}

/* Reads what is there, and empties it. */
static void expect(struct srv_exchange *exchange, const char *text) {
    (void)fake_exchange_run(exchange);
    assert_string_equal(fake_exchange_text(exchange), text);
    fake_exchange_read(exchange);
}

static void tell(struct server *server, const char *kind, const char *stream, const char *data) {
    srv_events_tell(server->world.events, kind, stream, json_loads(data, JSON_DECODE_ANY, NULL));
}

#define ID "1795209820000000"
#define HELLO(id, streams) "id: " id "\nevent: hello\ndata: {\"streams\":[\n" streams "data: ]}\n\n"
#define DOOR "{\"name\":\"door\",\"fragments\":0,\"health\":\"idle\"}\n"
#define GATE "{\"name\":\"gate\",\"fragments\":0,\"health\":\"idle\"}\n"

static void a_reader_gets_hello_then_events(void **state) {
    struct server *server = *state;
    struct srv_exchange *exchange = open_reader(server, server->admin, NULL);
    assert_int_equal(fake_exchange_status(exchange), 200);
    assert_string_equal(fake_exchange_type(exchange), "text/event-stream");
    assert_non_null(strstr(fake_exchange_fields(exchange), "Cache-Control: no-store\n"));
    expect(exchange, "retry: 2000\n\n" HELLO(ID, "data: " DOOR "data: ," GATE));
    tell(server, "gap", "door", "{\"open\":true}");
    tell(server, "server", NULL, "{\"health\":\"ok\"}");
    expect(exchange, "id: 1795209820000001\nevent: gap\ndata: {\"open\":true}\n\n"
                     "id: 1795209820000002\nevent: server\ndata: {\"health\":\"ok\"}\n\n");
    expect(exchange, "");
    close_reader(exchange);
}

static void a_reader_gets_what_it_may_list(void **state) {
    struct server *server = *state;
    struct srv_exchange *exchange = open_reader(server, server->viewer, NULL);
    expect(exchange, "retry: 2000\n\n" HELLO(ID, "data: " DOOR));
    tell(server, "gap", "gate", "{\"n\":1}");
    tell(server, "server", NULL, "{\"n\":2}");
    tell(server, "gap", "door2", "{\"n\":3}");
    expect(exchange, "id: 1795209820000003\nevent: gap\ndata: {\"n\":3}\n\n");
    close_reader(exchange);
}

static void who_comes_back_misses_nothing(void **state) {
    struct server *server = *state;
    struct srv_exchange *first = open_reader(server, server->admin, NULL);
    (void)fake_exchange_run(first);
    tell(server, "gap", "door", "{\"n\":1}");
    tell(server, "gap", "door", "{\"n\":2}");
    close_reader(first);
    tell(server, "gap", "door", "{\"n\":3}"); /* within the minute somebody may come back */
    struct srv_exchange *back = open_reader(server, server->admin, "1795209820000001");
    expect(back, "retry: 2000\n\nid: 1795209820000002\nevent: gap\ndata: {\"n\":2}\n\n"
                 "id: 1795209820000003\nevent: gap\ndata: {\"n\":3}\n\n");
    close_reader(back);

    /* Ids of another run, from the future, or none of ours: a hole. */
    const char *const holes[] = {"1795209819999999",    "1795209820000004", "0", "x", "",
                                 "99999999999999999999"};
    for (size_t i = 0; i < KN_COUNT(holes); i++) {
        back = open_reader(server, server->admin, holes[i]);
        expect(back, "retry: 2000\n\n" HELLO("1795209820000003", "data: " DOOR "data: ," GATE));
        close_reader(back);
    }

    /* Nobody there for more than a minute: what happened meanwhile was not kept. */
    fake_clock_advance(&server->store->clock, 61 * KN_NS_PER_S);
    tell(server, "gap", "door", "{\"n\":4}");
    back = open_reader(server, server->admin, "1795209820000003");
    expect(back, "retry: 2000\n\n" HELLO("1795209820000004", "data: " DOOR "data: ," GATE));
    close_reader(back);
}

static void a_slow_reader_waits_and_then_hears_of_its_hole(void **state) {
    struct server *server = *state;
    struct srv_exchange *exchange = open_reader(server, server->admin, NULL);
    expect(exchange, "retry: 2000\n\n" HELLO(ID, "data: " DOOR "data: ," GATE));
    fake_exchange_limit(exchange, 1); /* one call goes over it */
    tell(server, "gap", "door", "{\"n\":1}");
    tell(server, "gap", "door", "{\"n\":2}");
    expect(exchange, "id: 1795209820000001\nevent: gap\ndata: {\"n\":1}\n\n");
    expect(exchange, "id: 1795209820000002\nevent: gap\ndata: {\"n\":2}\n\n");
    tell(server, "gap", "door", "{\"n\":3}");
    (void)fake_exchange_run(exchange);
    for (unsigned i = 0; i < SRV_EVENTS_KEPT + 1; i++) {
        tell(server, "gap", "gate", "{\"n\":5}");
    }
    expect(exchange, "id: 1795209820000003\nevent: gap\ndata: {\"n\":3}\n\n");
    /* Hello comes in its pieces, each when there is room. */
    expect(exchange, "id: 1795209820004100\nevent: hello\ndata: {\"streams\":[\n");
    expect(exchange, "data: " DOOR);
    expect(exchange, "data: ," GATE);
    fake_exchange_limit(exchange, SIZE_MAX);
    expect(exchange, "data: ]}\n\n");
    tell(server, "gap", "door", "{\"n\":6}");
    expect(exchange, "id: 1795209820004101\nevent: gap\ndata: {\"n\":6}\n\n");
    close_reader(exchange);
}

static void a_quiet_connection_is_kept_alive(void **state) {
    struct server *server = *state;
    struct srv_exchange *exchange = open_reader(server, server->admin, NULL);
    (void)fake_exchange_run(exchange);
    fake_exchange_read(exchange);
    fake_clock_advance(&server->store->clock, 14 * KN_NS_PER_S);
    srv_readers_wake(server->world.events);
    expect(exchange, "");
    fake_clock_advance(&server->store->clock, KN_NS_PER_S);
    srv_readers_wake(server->world.events);
    srv_readers_wake(server->world.events);
    assert_int_equal(fake_exchange_run(exchange), 1); /* one wake on its way is enough */
    expect(exchange, ":\n\n");
    close_reader(exchange);
}

static void who_may_not_any_more_is_sent_away(void **state) {
    struct server *server = *state;
    struct srv_world *world = &server->world;
    struct kn_wall soon = {world->clock->wall(world->clock).ns + 30 * KN_NS_PER_S};
    const struct srv_principal *guest = add_token(world, "guest", "viewer:*", soon);
    struct srv_exchange *gone = open_reader(server, server->admin, NULL);
    struct srv_exchange *late = open_reader(server, guest, NULL);
    struct srv_exchange *less = open_reader(server, server->viewer, NULL);
    srv_principal_unref(guest);
    (void)fake_exchange_run(gone);
    (void)fake_exchange_run(late);
    (void)fake_exchange_run(less);
    fake_exchange_read(less);

    assert_int_equal(srv_principals_remove(world->principals, SRV_PRINCIPAL_TOKEN, "admin"), 0);
    struct srv_principal narrow = *server->viewer;
    assert_int_equal(srv_grant_parse("viewer:gate", &narrow.grants[0]), 0);
    assert_int_equal(srv_principals_replace(world->principals, &narrow), 0);
    fake_clock_advance(&server->store->clock, 11 * KN_NS_PER_S);
    tell(server, "gap", "gate", "{\"n\":1}");
    tell(server, "gap", "door", "{\"n\":2}");
    (void)fake_exchange_run(gone);
    (void)fake_exchange_run(late);
    assert_true(fake_exchange_ended(gone));
    assert_non_null(strstr(fake_exchange_text(gone), ": not allowed any more\n\n"));
    assert_null(strstr(fake_exchange_text(gone), "gap"));
    assert_false(fake_exchange_ended(late));
    /* Other grants, the same token: it stays, with what it may see now. */
    expect(less, "id: 1795209820000001\nevent: gap\ndata: {\"n\":1}\n\n");

    fake_clock_advance(&server->store->clock, 20 * KN_NS_PER_S);
    srv_readers_wake(world->events);
    (void)fake_exchange_run(late);
    assert_true(fake_exchange_ended(late));
    close_reader(gone);
    close_reader(late);

    /* Made anew under the same name: somebody else. */
    assert_int_equal(srv_principals_remove(world->principals, SRV_PRINCIPAL_TOKEN, "viewer"), 0);
    srv_principal_unref(add_token(world, "viewer", "viewer:*", SRV_NEVER));
    fake_clock_advance(&server->store->clock, 11 * KN_NS_PER_S);
    srv_readers_wake(world->events);
    (void)fake_exchange_run(less);
    assert_true(fake_exchange_ended(less));
    close_reader(less);
}

/* Over the unix socket too: a proxy may bring it there. */
static void credentials_count_on_the_unix_socket(void **state) {
    struct server *server = *state;
    struct srv_world *world = &server->world;
    struct fake_exchange_config config = {
        .world = world, .principal = server->viewer, .local = true};
    struct srv_exchange *gone = fake_exchange_create(&config);
    fake_exchange_handle(gone, &srv_events_routes, "Events");
    (void)fake_exchange_run(gone);
    assert_int_equal(srv_principals_remove(world->principals, SRV_PRINCIPAL_TOKEN, "viewer"), 0);
    fake_clock_advance(&server->store->clock, 11 * KN_NS_PER_S);
    srv_readers_wake(world->events);
    (void)fake_exchange_run(gone);
    assert_true(fake_exchange_ended(gone));
    close_reader(gone);

    /* The server's own user brings none, and stays, whether the server is open or not. */
    gate_open = true;
    struct srv_principal own = {.name = "local", .expires = SRV_NEVER};
    assert_int_equal(srv_grant_parse("admin", &own.grants[own.grant_count++]), 0);
    assert_int_equal(srv_principal_create(&own, &config.principal), 0);
    struct srv_exchange *stays = fake_exchange_create(&config);
    fake_exchange_handle(stays, &srv_events_routes, "Events");
    (void)fake_exchange_run(stays);
    gate_open = false;
    fake_clock_advance(&server->store->clock, 11 * KN_NS_PER_S);
    srv_readers_wake(world->events);
    (void)fake_exchange_run(stays);
    assert_false(fake_exchange_ended(stays));
    close_reader(stays);
    srv_principal_unref(config.principal);
}

static void an_open_server_that_closes_ends_its_readers(void **state) {
    struct server *server = *state;
    gate_open = true;
    struct srv_exchange *exchange = open_reader(server, server->admin, NULL);
    assert_int_equal(srv_principals_remove(server->world.principals, SRV_PRINCIPAL_TOKEN, "admin"),
                     0);
    fake_clock_advance(&server->store->clock, 11 * KN_NS_PER_S);
    (void)fake_exchange_run(exchange);
    assert_false(fake_exchange_ended(exchange));
    gate_open = false;
    fake_clock_advance(&server->store->clock, 11 * KN_NS_PER_S);
    srv_readers_wake(server->world.events);
    (void)fake_exchange_run(exchange);
    assert_true(fake_exchange_ended(exchange));
    close_reader(exchange);
}

static void a_shutdown_is_told(void **state) {
    struct server *server = *state;
    struct srv_exchange *exchange = open_reader(server, server->admin, NULL);
    (void)fake_exchange_run(exchange);
    fake_exchange_read(exchange);
    fake_exchange_drain(exchange);
    assert_string_equal(fake_exchange_text(exchange), "\n: the server shuts down\n\n");
    assert_true(fake_exchange_ended(exchange));
    tell(server, "gap", "door", "{\"n\":1}");
    (void)fake_exchange_run(exchange);
    fake_exchange_drain(exchange);
    close_reader(exchange);
}

static int count_live(const struct srv_live_info *info, void *user) {
    assert_string_equal(info->protocol, "events");
    ++*(unsigned *)user;
    return 0;
}

static void so_many_may_read(void **state) {
    struct server *server = *state;
    struct srv_exchange *exchanges[SRV_EVENTS_READERS];
    unsigned live = 0;
    for (size_t i = 0; i < KN_COUNT(exchanges); i++) {
        exchanges[i] = open_reader(server, server->admin, NULL);
        assert_int_equal(fake_exchange_status(exchanges[i]), 200);
    }
    assert_int_equal(srv_live_each(server->world.live, NULL, count_live, &live), 0);
    assert_int_equal(live, SRV_EVENTS_READERS);
    struct srv_exchange *more = open_reader(server, server->admin, NULL);
    assert_int_equal(fake_exchange_status(more), 503);
    assert_non_null(strstr(fake_exchange_fields(more), "Retry-After: "));
    fake_exchange_destroy(more);
    srv_readers_wake(server->world.events);
    for (size_t i = 0; i < KN_COUNT(exchanges); i++) {
        assert_true(fake_exchange_run(exchanges[i]) > 0);
        close_reader(exchanges[i]);
    }
    live = 0;
    assert_int_equal(srv_live_each(server->world.live, NULL, count_live, &live), 0);
    assert_int_equal(live, 0);
}

static void head_gets_the_head_alone(void **state) {
    struct server *server = *state;
    const struct fake_exchange_config config = {
        .world = &server->world, .principal = server->admin, .method = SRV_HTTP_HEAD};
    struct srv_exchange *exchange = fake_exchange_create(&config);
    fake_exchange_handle(exchange, &srv_events_routes, "Events");
    assert_int_equal(fake_exchange_status(exchange), 200);
    assert_true(fake_exchange_ended(exchange));
    assert_string_equal(fake_exchange_text(exchange), "");
    close_reader(exchange);
}

static void without_memory_a_reader_is_refused(void **state) {
    struct server *server = *state;
    const struct fake_exchange_config config = {.world = &server->world,
                                                .principal = server->admin};
    struct srv_exchange *exchange = fake_exchange_create(&config);
    fail_alloc_at(1);
    fake_exchange_handle(exchange, &srv_events_routes, "Events");
    fail_alloc_stop();
    assert_int_equal(fake_exchange_status(exchange), 503);
    fake_exchange_destroy(exchange);
}

static void without_memory_a_hello_breaks_off(void **state) {
    struct server *server = *state;
    struct srv_exchange *exchange = open_reader(server, server->admin, NULL);
    fail_alloc_at(1); /* of the first stream's JSON */
    (void)fake_exchange_run(exchange);
    fail_alloc_stop();
    assert_true(fake_exchange_broken(exchange));
    close_reader(exchange);
}

/* ---- the hub ---- */

/* Until this text comes; at most 20 s. */
static void await(struct srv_exchange *exchange, const char *text) {
    for (unsigned i = 0; i < 200; i++) {
        (void)fake_exchange_run(exchange);
        if (strstr(fake_exchange_text(exchange), text) != NULL) {
            return;
        }
        (void)fake_exchange_wait(exchange, 100);
    }
    print_message("# %s\n", fake_exchange_text(exchange));
    fail_msg("'%s' did not come", text);
}

static void the_hub_tells_what_streams_do(void **state) {
    struct server *server = *state;
    assert_string_equal(srv_events_health(server->world.events), "the server is starting");
    struct srv_exchange *exchange = open_reader(server, server->admin, NULL);
    await(exchange, "hello");
    assert_int_equal(srv_events_start(server->world.events), 0);
    await(exchange, "event: server\ndata: {\"health\":\"ok\",\"reason\":null");
    assert_null(srv_events_health(server->world.events));
    assert_true(atomic_load(&source_ticks) > 0);

    world_record(server->store, "door", 1, 101);
    assert_int_equal(frag_store_flush(server->store->store), 0);
    await(exchange,
          "event: gap\ndata: {\"stream\":\"door\",\"open\":true,\"cause\":\"producer away\"");
    await(exchange, "event: stream\ndata: {\"name\":\"door\",\"fragments\":3");

    (void)world_stream(server->store, "yard");
    await(exchange, "event: stream\ndata: {\"name\":\"yard\"");
    assert_int_equal(frag_stream_delete(frag_stream_find(server->world.store, "yard"), NULL), 0);
    await(exchange, "event: gone\ndata: {\"name\":\"yard\"}");

    fake_exchange_read(exchange);
    tell(server, "source", "gate", "{\"state\":\"waiting\"}");
    await(exchange, "event: stream\ndata: {\"name\":\"gate\"");

    /* The hub's clock goes on, its beat does not: as it ticks again at once, that may not be seen;
     * once it is stopped it is. */
    srv_events_stop(server->world.events);
    assert_string_equal(srv_events_health(server->world.events), "the server is shutting down");
    srv_events_stop(server->world.events);
    close_reader(exchange);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ring_keeps_the_newest),
        cmocka_unit_test(the_ring_is_bounded_in_bytes),
        cmocka_unit_test(without_memory_the_ring_has_a_hole),
        cmocka_unit_test_setup_teardown(a_reader_gets_hello_then_events, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_gets_what_it_may_list, setup, teardown),
        cmocka_unit_test_setup_teardown(who_comes_back_misses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_reader_waits_and_then_hears_of_its_hole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_quiet_connection_is_kept_alive, setup, teardown),
        cmocka_unit_test_setup_teardown(who_may_not_any_more_is_sent_away, setup, teardown),
        cmocka_unit_test_setup_teardown(credentials_count_on_the_unix_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(an_open_server_that_closes_ends_its_readers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_shutdown_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(so_many_may_read, setup, teardown),
        cmocka_unit_test_setup_teardown(head_gets_the_head_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_a_reader_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_a_hello_breaks_off, setup, teardown),
        cmocka_unit_test_setup_teardown(the_hub_tells_what_streams_do, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
