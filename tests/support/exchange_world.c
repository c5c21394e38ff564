#include "tests/support/exchange_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START_NS (INT64_C(1795225616) * KN_NS_PER_S)

/* Handlers have no other way to it: the engine's world is not looked at by the engine. */
static struct exchange_world *world_of(const struct srv_exchange *exchange) {
    return (struct exchange_world *)srv_exchange_world(exchange);
}

/* ---- the door ---- */

static struct exchange_world *the_world;

static bool says(const struct srv_visit *visit, const char *word) {
    const struct srv_http_field *field =
        srv_http_field_find(visit->request->fields, visit->request->field_count, "x-door", NULL);
    return field != NULL && srv_http_text_is(field->value, word);
}

static void ask(void *door, const struct srv_visit *visit, struct srv_door_answer *answer) {
    struct exchange_world *world = door;
    *answer = (struct srv_door_answer){.verdict = SRV_DOOR_FINE};
    world->doors++;
    if (says(visit, "no") || says(visit, "unknown") || says(visit, "busy")) {
        answer->verdict = SRV_DOOR_REFUSED;
        answer->status = says(visit, "no") ? 403 : says(visit, "busy") ? 429 : 401;
        answer->code = "AccessDeniedException";
        answer->challenge = answer->status == 401 ? "Bearer" : NULL;
        answer->retry_s = answer->status == 429 ? 60 : 0;
        (void)snprintf(answer->message, sizeof(answer->message), "not you");
    } else if (says(visit, "once") && world->doors > 1) {
        answer->verdict = SRV_DOOR_REFUSED;
        answer->status = 401;
        answer->code = "UnrecognizedClientException";
    } else if (says(visit, "hash") && visit->body_sha256 == NULL && visit->has_body) {
        answer->verdict = SRV_DOOR_AFTER_BODY;
    } else if (says(visit, "slow")) {
        answer->verdict = SRV_DOOR_ASK_WORKER;
    }
}

static void ask_blocking(void *gate, const struct srv_visit *visit,
                         struct srv_door_answer *answer) {
    (void)gate;
    (void)visit;
    *answer = (struct srv_door_answer){.verdict = SRV_DOOR_FINE};
    the_world->doors++;
}

static void finish(struct srv_door_answer *answer) {
    (void)answer;
}

static const struct srv_doorman doorman = {ask, ask_blocking, finish};

/* ---- routes for workers ---- */

static void hello(struct srv_exchange *exchange) {
    world_of(exchange)->handled++;
    srv_answer(exchange, 200, "text/plain", "hello", 5);
}

static void show_item(struct srv_exchange *exchange) {
    world_of(exchange)->handled++;
    srv_answer_json(exchange, 200,
                    json_pack("{s:s}", "id", srv_exchange_parameter(exchange, "id")));
}

static void delete_item(struct srv_exchange *exchange) {
    world_of(exchange)->handled++;
    srv_answer_empty(exchange, 204);
}

static void echo(struct srv_exchange *exchange) {
    struct srv_http_text body = srv_exchange_body(exchange);
    world_of(exchange)->handled++;
    srv_answer_field(exchange, "X-Echo", "no"); /* another of its name takes its place */
    srv_answer_field(exchange, "X-Echo", "yes");
    srv_answer(exchange, 200, "application/octet-stream", body.data, body.size);
}

static void json(struct srv_exchange *exchange) {
    world_of(exchange)->handled++;
    srv_answer_json(exchange, 201, json_incref(srv_exchange_json(exchange)));
}

static void big(struct srv_exchange *exchange) {
    struct kn_buffer *buffer;
    uint8_t *room;
    world_of(exchange)->handled++;
    int rc = kn_buffer_alloc(NULL, BIG_BYTES, &room, &buffer);
    if (rc != 0) {
        srv_answer_failure(exchange, rc, "buffer");
        return;
    }
    memset(room, 'b', BIG_BYTES);
    srv_answer_buffer(exchange, 200, "video/mp4", buffer);
}

static void file(struct srv_exchange *exchange) {
    struct exchange_world *world = world_of(exchange);
    world->handled++;
    srv_answer_file(exchange, 200, "video/mp4", dup(world->file), 0, FILE_PROMISED);
}

static void silent(struct srv_exchange *exchange) {
    world_of(exchange)->handled++;
}

/* ---- flows ---- */

static size_t take_body(struct srv_exchange *exchange, const void *data, size_t size, void *user) {
    struct exchange_world *world = user;
    size_t taken = size < world->take_most ? size : world->take_most;
    if (srv_exchange_request(exchange)->path.size > 5 &&
        memcmp(srv_exchange_request(exchange)->path.data, "/copy", 5) == 0 &&
        srv_exchange_send(exchange, data, taken) != 0) {
        return 0;
    }
    world->counted += taken;
    return taken;
}

static void end_count(struct srv_exchange *exchange, bool whole, void *user) {
    struct exchange_world *world = user;
    char text[32];
    world->body_ends++;
    world->was_whole = whole;
    int size = snprintf(text, sizeof(text), "%zu %s", world->counted, whole ? "whole" : "cut");
    srv_answer(exchange, whole ? 200 : 400, "text/plain", text, (size_t)size);
}

static void end_copy(struct srv_exchange *exchange, bool whole, void *user) {
    struct exchange_world *world = user;
    world->body_ends++;
    world->was_whole = whole;
    if (whole) {
        srv_exchange_end(exchange);
    } else {
        srv_exchange_break(exchange);
    }
}

static void tell_room(struct srv_exchange *exchange, void *user) {
    struct exchange_world *world = user;
    (void)exchange;
    world->rooms++;
}

static void tell_wake(struct srv_exchange *exchange, void *user) {
    struct exchange_world *world = user;
    (void)exchange;
    world->wakes++;
}

static void tell_tick(struct srv_exchange *exchange, void *user) {
    (void)exchange;
    ((struct exchange_world *)user)->ticks++;
}

static void tell_drain(struct srv_exchange *exchange, void *user) {
    struct exchange_world *world = user;
    world->drains++;
    if (!world->drains_by_itself) {
        srv_exchange_end(exchange);
    }
}

static void tell_closed(struct srv_exchange *exchange, void *user) {
    struct exchange_world *world = user;
    (void)exchange;
    world->closed++;
    world->flow = NULL;
}

static const struct srv_flow count_flow = {
    .body = take_body, .body_end = end_count, .closed = tell_closed};
static const struct srv_flow copy_flow = {
    .body = take_body, .body_end = end_copy, .room = tell_room, .closed = tell_closed};
static const struct srv_flow live_flow = {
    .room = tell_room,
    .wake = tell_wake,
    .tick = tell_tick,
    .drain = tell_drain,
    .closed = tell_closed,
};

static void begin_flow(struct srv_exchange *exchange, const struct srv_flow *flow) {
    struct exchange_world *world = world_of(exchange);
    world->handled++;
    world->flow = exchange;
    world->counted = 0;
    srv_exchange_go_on(exchange, flow, world);
}

static void count(struct srv_exchange *exchange) {
    begin_flow(exchange, &count_flow);
}

static void copy(struct srv_exchange *exchange) {
    begin_flow(exchange, &copy_flow);
    (void)srv_exchange_begin(exchange, 200, "video/x-matroska", SRV_HTTP_UNKNOWN_LENGTH);
}

static void live(struct srv_exchange *exchange) {
    begin_flow(exchange, &live_flow);
    (void)srv_exchange_begin(exchange, 200, "text/event-stream", SRV_HTTP_UNKNOWN_LENGTH);
}

static const struct srv_route rows[] = {
    {.name = "Hello", .method = SRV_HTTP_GET, .path = "/hello", .handle = hello},
    {.name = "ShowItem", .method = SRV_HTTP_GET, .path = "/items/{id}", .handle = show_item},
    {.name = "DeleteItem", .method = SRV_HTTP_DELETE, .path = "/items/{id}", .handle = delete_item},
    {.name = "Echo",
     .method = SRV_HTTP_POST,
     .path = "/echo",
     .body = SRV_BODY_WHOLE,
     .body_max = 100000,
     .handle = echo},
    {.name = "Json",
     .method = SRV_HTTP_POST,
     .path = "/json",
     .body = SRV_BODY_JSON,
     .handle = json},
    {.name = "Count",
     .method = SRV_HTTP_POST,
     .path = "/count/{stream}",
     .access = SRV_ON_STREAM,
     .action = SRV_ACTION_RECORD,
     .body = SRV_BODY_FLOW,
     .body_max = UINT64_MAX,
     .on_loop = true,
     .unsigned_body = true,
     .handle = count},
    {.name = "Copy",
     .method = SRV_HTTP_POST,
     .path = "/copy/{stream}",
     .access = SRV_ON_STREAM,
     .action = SRV_ACTION_RECORD,
     .body = SRV_BODY_FLOW,
     .body_max = UINT64_MAX,
     .on_loop = true,
     .unsigned_body = true,
     .handle = copy},
    {.name = "Live", .method = SRV_HTTP_GET, .path = "/live", .on_loop = true, .handle = live},
    {.name = "Big", .method = SRV_HTTP_GET, .path = "/big", .handle = big},
    {.name = "File", .method = SRV_HTTP_GET, .path = "/file", .handle = file},
    {.name = "Silent", .method = SRV_HTTP_GET, .path = "/silent", .handle = silent},
};
static const struct srv_routes table = {rows, KN_COUNT(rows), NULL};
static const struct srv_routes *const tables[] = {&table};

/* ---- the world ---- */

static const struct srv_conn_handler handler = {
    .received = srv_http_conn_received,
    .ended = srv_http_conn_ended,
    .room = srv_http_conn_room,
    .closed = srv_http_conn_closed,
};

bool exchange_world_connect(struct exchange_world *world) {
    static const struct srv_peer peer = {.address = "192.0.2.7:51234", .port = 5466};
    fake_conn_cut(&world->fake);
    fake_conn_clear(&world->fake);
    char *sent = world->fake.sent;
    size_t room = world->fake.sent_room;
    world->fake = (struct fake_conn){.conn = world->fake.conn,
                                     .handler = &handler,
                                     .window = SIZE_MAX,
                                     .sent = sent,
                                     .sent_room = room,
                                     .receiving = true};
    world->lane->ids[0] = 0;
    world->lane->ids[1] = 0;
    world->fake.owner = srv_http_conn_open(world->lane, &world->fake.conn, &peer);
    return world->fake.owner != NULL;
}

int exchange_world_init(struct exchange_world *world, size_t queue) {
    const struct srv_workers_config workers = {.queue = queue};
    *world = (struct exchange_world){.file = -1, .take_most = SIZE_MAX};
    the_world = world;
    fake_clock_init(&world->clock, START_NS, 0);
    world->engine = (struct srv_engine){
        .world = (struct srv_world *)world,
        .clock = &world->clock.clock,
        .times = {.head_ns = 10 * KN_NS_PER_S,
                  .body_ns = 60 * KN_NS_PER_S,
                  .write_ns = 30 * KN_NS_PER_S,
                  .idle_ns = 60 * KN_NS_PER_S,
                  .drain_ns = 10 * KN_NS_PER_S,
                  .least_bytes_per_s = 240},
        .body_bytes = 1 << 20,
        .doorman = &doorman,
        .rows = KN_COUNT(rows),
    };
    fake_conn_init(&world->fake, &handler);
    int rc = srv_router_create(tables, KN_COUNT(tables), &world->router);
    world->engine.router = world->router;
    if (rc == 0) {
        rc = kn_budget_create((size_t)1 << 20, NULL, &world->engine.bodies);
    }
    if (rc == 0) {
        rc = srv_workers_create(&workers, &world->engine.workers);
    }
    if (rc == 0) {
        rc = srv_lane_create(&world->engine, world, &world->lane);
    }
    if (rc == 0 && !exchange_world_connect(world)) {
        rc = -ENOMEM;
    }
    if (rc != 0) {
        exchange_world_finish(world);
    }
    return rc;
}

void exchange_world_finish(struct exchange_world *world) {
    fake_conn_free(&world->fake);
    if (world->lane != NULL) {
        srv_workers_stop(world->engine.workers);
        srv_lane_end(world->lane);
        KN_ASSERT(atomic_load(&world->lane->counts.requests_open) == 0);
        KN_ASSERT(kn_budget_used(world->engine.bodies) == 0);
    }
    srv_lane_unref(world->lane);
    srv_workers_destroy(world->engine.workers);
    kn_budget_unref(world->engine.bodies);
    srv_router_destroy(world->router);
    if (world->file >= 0) {
        (void)close(world->file);
    }
}

void exchange_world_turn(struct exchange_world *world) {
    bool moves = true;
    while (moves) {
        moves = srv_workers_turn(world->engine.workers);
        moves = fake_conn_turn(&world->fake) || moves;
        moves = atomic_load(&world->lane->posted) != NULL || moves;
        srv_lane_turn(world->lane);
    }
}

void exchange_world_say(struct exchange_world *world, const char *data, size_t size, size_t step) {
    for (size_t at = 0; at < size;) {
        size_t piece = step == 0 || step > size - at ? size - at : step;
        if (!fake_conn_push(&world->fake, data + at, piece)) {
            return;
        }
        at += piece;
        exchange_world_turn(world);
    }
}

void exchange_world_wait(struct exchange_world *world, unsigned seconds) {
    for (unsigned i = 0; i < seconds; i++) {
        fake_clock_advance(&world->clock, KN_NS_PER_S);
        srv_lane_tick(world->lane);
        exchange_world_turn(world);
    }
}
