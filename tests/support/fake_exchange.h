/* An exchange without a connection: a test calls a route's handler with it, plays the loop, and
 * reads what was answered. Stands in for all of exchange.h that handlers and flows use, so a test
 * that links it has no HTTP server.
 *
 *     struct srv_exchange *exchange = fake_exchange_create(&config);
 *     fake_exchange_handle(exchange, &srv_events_routes, "Events");
 *     fake_exchange_run(exchange);                 // wakes, as the loop would
 *     assert_string_equal(fake_exchange_text(exchange), ...);
 *     fake_exchange_close(exchange);               // the peer goes
 *     fake_exchange_destroy(exchange); */
#ifndef TESTS_SUPPORT_FAKE_EXCHANGE_H
#define TESTS_SUPPORT_FAKE_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "server/exchange/exchange.h"
#include "server/exchange/routes.h"

struct fake_exchange_config {
    struct srv_world *world;
    const struct srv_principal *principal; /* of srv_principals_find; NULL: none */
    bool local;                            /* over the unix socket */
    enum srv_http_method method;
    const char *last_event_id; /* NULL: no such field */
    const char *query;         /* raw, without '?'; NULL: none */
    struct {
        const char *name, *value;
    } parameters[SRV_PARAMETERS_MAX]; /* of the path; NULL behind the last one */
    json_t *body;                     /* of SRV_BODY_JSON, borrowed; NULL: an empty object */
    struct kn_loop *loop;             /* for flows that subscribe */
    const char *base_url;             /* NULL: "http://127.0.0.1:5466" */
    const char *region;               /* NULL: "" */
};

struct srv_exchange *fake_exchange_create(const struct fake_exchange_config *config);
/* Stops the program where somebody still holds a reference, or `closed` was not called. */
void fake_exchange_destroy(struct srv_exchange *exchange);

/* Calls the row's handler; stops the program where there is none of that name. */
void fake_exchange_handle(struct srv_exchange *exchange, const struct srv_routes *routes,
                          const char *name);
/* Work and `wake` as long as there is any; how many wakes. */
unsigned fake_exchange_run(struct srv_exchange *exchange);
/* Waits at most so long (real time) for a wake; false: none came. */
bool fake_exchange_wait(struct srv_exchange *exchange, unsigned ms);
/* No more than `size` bytes are taken until the peer reads (default: no limit). */
void fake_exchange_limit(struct srv_exchange *exchange, size_t size);
/* The peer has read all: empties the text, tells `room`. */
void fake_exchange_read(struct srv_exchange *exchange);
void fake_exchange_drain(struct srv_exchange *exchange);
/* The peer goes, or the answer is through. */
void fake_exchange_close(struct srv_exchange *exchange);

/* All that was sent and not yet read, with a NUL behind it. */
const char *fake_exchange_text(const struct srv_exchange *exchange);
int fake_exchange_status(const struct srv_exchange *exchange); /* 0: none yet */
const char *fake_exchange_type(const struct srv_exchange *exchange);
/* "Name: value\n" of all fields. */
const char *fake_exchange_fields(const struct srv_exchange *exchange);
bool fake_exchange_ended(const struct srv_exchange *exchange);
bool fake_exchange_broken(const struct srv_exchange *exchange);

#endif
