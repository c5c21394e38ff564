/* For tests of the API: a store, principals, a gate, a configuration; handlers called as a worker
 * would. */
#ifndef TESTS_UNIT_SERVER_API_WORLD_H
#define TESTS_UNIT_SERVER_API_WORLD_H

#include <jansson.h>

#include "server/api/api.h"
#include "server/config/config.h"
#include "server/events.h"
#include "server/live.h"
#include "server/sources.h"
#include "server/world.h"
#include "tests/support/fake_exchange.h"
#include "tests/unit/fragments_store_world.h"

static const char api_config[] = "data: store\n"
                                 "defaults: {retention: 3d}\n"
                                 "streams:\n"
                                 "  door: {retention: 7d, tags: {floor: \"2\"}}\n";

/* There is no HTTP server, which events would watch over. */
bool srv_http_server_answers(struct srv_http_server *server, int64_t ns) {
    (void)server;
    (void)ns;
    return true;
}

struct api {
    struct world *store; /* first of all */
    struct srv_world world;
    struct srv_principal admin, viewer, keeper; /* all; viewer:door*; list,hold:* */
};

static inline void api_grant(struct srv_principal *principal, const char *name, const char *grant) {
    *principal = (struct srv_principal){.kind = SRV_PRINCIPAL_USER, .expires = SRV_NEVER};
    (void)snprintf(principal->name, sizeof(principal->name), "%s", name);
    assert_int_equal(srv_grant_parse(grant, &principal->grants[0]), 0);
    principal->grant_count = 1;
}

static inline int api_setup(void **state) {
    struct api *api = calloc(1, sizeof(*api));
    assert_non_null(api);
    (void)world_setup((void **)&api->store);
    world_open(api->store);
    struct srv_world *world = &api->world;
    world->store = api->store->store;
    world->clock = &api->store->clock.clock;
    world->started = world->clock->wall(world->clock);
    memset(world->keyfile.key, 7, sizeof(world->keyfile.key));
    (void)pthread_mutex_init(&world->lock, NULL);
    const struct srv_live_config live = {.clock = world->clock};
    assert_int_equal(srv_live_create(&live, &world->live), 0);
    assert_int_equal(srv_principals_open(world->store, &world->keyfile, &world->principals), 0);
    struct srv_gate_config gate = srv_gate_config_defaults();
    gate.principals = world->principals;
    gate.keyfile = &world->keyfile;
    assert_int_equal(srv_gate_create(&gate, &world->gate), 0);
    assert_int_equal(srv_sources_create(world, &world->sources), 0);
    assert_int_equal(srv_events_create(world, &world->events), 0);
    const struct srv_config_said said = {0};
    assert_int_equal(srv_config_parse(api_config, sizeof(api_config) - 1, api->store->folder, NULL,
                                      &said, NULL, NULL, &world->config),
                     0);
    api_grant(&api->admin, "root", "admin");
    api_grant(&api->viewer, "guest", "viewer:door*");
    api_grant(&api->keeper, "keeper", "list,hold");
    *state = api;
    return 0;
}

static inline int api_teardown(void **state) {
    struct api *api = *state;
    srv_config_unref(api->world.config);
    srv_sources_destroy(api->world.sources);
    srv_events_destroy(api->world.events);
    srv_gate_destroy(api->world.gate);
    srv_principals_close(api->world.principals);
    srv_live_destroy(api->world.live);
    (void)pthread_mutex_destroy(&api->world.lock);
    (void)world_teardown((void **)&api->store);
    free(api);
    return 0;
}

/* Recorded, and in the index. */
static inline void api_record(struct api *api, const char *name, uint32_t seed) {
    world_record(api->store, name, seed, 100);
    assert_int_equal(frag_store_flush(api->world.store), 0);
}

/* What to ask; what is not said is not there. */
struct ask {
    const char *name;                 /* of the route */
    const struct srv_principal *as;   /* NULL: nobody */
    const char *stream, *hold, *kind; /* of the path */
    const char *principal;            /* {name} */
    const char *query, *body;         /* JSON, with ' for " */
    const char *base_url;
};

struct told {
    int status;
    json_t *json;  /* NULL: an error, or no JSON */
    char type[96]; /* of errors their code */
    char fields[1024];
    char text[1024]; /* of errors the message */
};

static inline json_t *api_body(const char *text) {
    char copy[4096];
    (void)snprintf(copy, sizeof(copy), "%s", text);
    for (char *at = copy; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    json_t *body = json_loads(copy, 0, NULL);
    assert_non_null(body);
    return body;
}

static const struct srv_routes *const api_tables[] = {
    &srv_api_streams_routes,
    &srv_api_upkeep_routes,
    &srv_api_principals_routes,
    &srv_api_server_routes,
};

static inline void api_handle(struct srv_exchange *exchange, const char *name) {
    for (size_t i = 0; i < KN_COUNT(api_tables); i++) {
        for (size_t k = 0; k < api_tables[i]->count; k++) {
            if (strcmp(api_tables[i]->rows[k].name, name) == 0) {
                api_tables[i]->rows[k].handle(exchange);
                return;
            }
        }
    }
    fail_msg("no route %s", name);
}

/* The answer's JSON lives until the next one, or api_forget. */
static struct told api_told;

static inline void api_forget(void) {
    json_decref(api_told.json);
    api_told = (struct told){0};
}

static inline const struct told *api_ask(struct api *api, const struct ask *ask) {
    struct fake_exchange_config config = {
        .world = &api->world,
        .principal = ask->as,
        .query = ask->query,
        .base_url = ask->base_url,
        .parameters = {{"stream", ask->stream},
                       {"hold", ask->hold},
                       {"kind", ask->kind},
                       {"name", ask->principal}},
        .body = ask->body == NULL ? NULL : api_body(ask->body),
    };
    api_forget();
    struct srv_exchange *exchange = fake_exchange_create(&config);
    json_decref(config.body);
    api_handle(exchange, ask->name);
    api_told.status = fake_exchange_status(exchange);
    const char *text = fake_exchange_text(exchange);
    (void)snprintf(api_told.text, sizeof(api_told.text), "%s", text == NULL ? "" : text);
    (void)snprintf(api_told.type, sizeof(api_told.type), "%s", fake_exchange_type(exchange));
    (void)snprintf(api_told.fields, sizeof(api_told.fields), "%s", fake_exchange_fields(exchange));
    if (strcmp(api_told.type, "application/json") == 0) {
        api_told.json = json_loads(text, 0, NULL);
        assert_non_null(api_told.json);
    }
    fake_exchange_destroy(exchange);
    return &api_told;
}

static inline const struct told *api_expect(struct api *api, int status, const struct ask *ask) {
    const struct told *told = api_ask(api, ask);
    if (told->status != status) {
        print_message("# %s: %d %s\n", ask->name, told->status, told->text);
    }
    assert_int_equal(told->status, status);
    return told;
}

#define EXPECT(api, status, ...) api_expect((api), (status), &(struct ask){__VA_ARGS__})

static inline const char *api_text(const char *name) {
    const char *text = json_string_value(json_object_get(api_told.json, name));
    return text == NULL ? "(no text)" : text;
}

/* Rows of the last answer's list. */
static inline size_t api_rows(const char *name) {
    const json_t *rows = json_object_get(api_told.json, name);
    assert_true(json_is_array(rows));
    return json_array_size(rows);
}

static inline const char *api_row_text(const char *list, size_t at, const char *name) {
    const json_t *row = json_array_get(json_object_get(api_told.json, list), at);
    const char *text = json_string_value(json_object_get(row, name));
    return text == NULL ? "(no text)" : text;
}

/* All rows of a list by parts of `limit`: how many. */
static inline size_t api_walk(struct api *api, struct ask ask, const char *list, unsigned limit,
                              const char *more) {
    char query[1024];
    char after[512] = "";
    size_t count = 0;
    for (unsigned parts = 0; parts < 1000; parts++) {
        (void)snprintf(query, sizeof(query), "%slimit=%u%s%s", more, limit,
                       after[0] == '\0' ? "" : "&after=", after);
        ask.query = query;
        (void)api_expect(api, 200, &ask);
        size_t rows = api_rows(list);
        assert_true(rows <= limit);
        count += rows;
        const json_t *next = json_object_get(api_told.json, "next");
        if (json_is_null(next)) {
            return count;
        }
        assert_int_equal(rows, limit);
        (void)snprintf(after, sizeof(after), "%s", json_string_value(next));
    }
    fail_msg("the list has no end");
    return 0;
}

#endif
