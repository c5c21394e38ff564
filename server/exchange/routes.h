/* The route table: what is not in it does not exist. Everything that may be asked of this server is
 * a row: method, path, who may, what body, who answers. */
#ifndef SERVER_EXCHANGE_ROUTES_H
#define SERVER_EXCHANGE_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "server/auth/principals.h"
#include "server/http/http.h"
#include "server/http/path.h"

struct srv_exchange;

enum srv_access {
    SRV_OPEN,      /* anyone, also without credentials: nothing private is in the answer */
    SRV_SIGNED_IN, /* any principal; the handler leaves out what it may not see, and checks
                      srv_principal_may for whatever the body names */
    SRV_ON_STREAM, /* `action` on the stream at {stream} of the path */
    SRV_ON_ALL     /* `action` on all streams: the server as a whole */
};

enum srv_body_kind {
    SRV_NO_BODY,   /* what comes is dropped, up to 64 KiB; more: 413 */
    SRV_BODY_JSON, /* an object, or nothing; of application/json (415), at most 32 levels deep */
    SRV_BODY_WHOLE,
    SRV_BODY_FLOW /* comes as it comes: routes on the loop with unsigned_body */
};

struct srv_route {
    const char *name; /* "ListStreams": in logs, metrics and the OpenAPI file */
    enum srv_http_method method;
    /* Literal segments and {names}; a {name...} at the end takes one or more segments, with '/'
     * between them. Literal segments go before names. HEAD is answered by GET's row, OPTIONS with
     * Allow where it has no row. A '/' at the end counts. */
    const char *path;
    enum srv_access access;
    enum srv_action action; /* with SRV_ON_STREAM and SRV_ON_ALL */
    enum srv_body_kind body;
    uint64_t body_max; /* 0: 1 MiB; UINT64_MAX: none */
    bool on_loop;      /* else on a worker */
    bool hashes;       /* a password, for whoever asks */
    /* The body of a signed request is not part of its signature (PutMedia). */
    bool unsigned_body;
    void (*handle)(struct srv_exchange *exchange);
};

/* Rows that belong together, and how their errors look. */
struct srv_routes {
    const struct srv_route *rows;
    size_t count;
    /* {"error":..,"message":..} where NULL. Pure: gives the body as JSON, which is the caller's,
     * and may add fields by srv_answer_field. */
    struct json_t *(*shape_error)(struct srv_exchange *exchange, int status, const char *code,
                                  const char *message);
};

#define SRV_PARAMETERS_MAX 4u
struct srv_match {
    const struct srv_route *route;  /* NULL: none */
    const struct srv_routes *table; /* the route's; else of a row that has the path, or NULL */
    size_t row;                     /* the route's place: srv_router_row */
    bool path_known;                /* another method would have been right: 405 */
    uint32_t methods;               /* bits of enum srv_http_method that the path has: for Allow */
    size_t parameter_count;
    struct {
        struct srv_http_text name;  /* into the route */
        struct srv_http_text value; /* into the path; of {name...} the segments' place is `first` */
        size_t first, segments;
    } parameters[SRV_PARAMETERS_MAX];
};

struct srv_router;

/* The tables outlive it. -EEXIST: two rows take the same requests, or a row is wrong in itself (no
 * handler, SRV_ON_STREAM without {stream}, SRV_BODY_FLOW on a worker, two of one name); it is
 * logged which. -ENOMEM. */
KN_MUST_CHECK int srv_router_create(const struct srv_routes *const *tables, size_t count,
                                    struct srv_router **ret_router);
void srv_router_destroy(struct srv_router *router);
/* Pure, any thread. `path` outlives the match. */
void srv_router_find(const struct srv_router *router, enum srv_http_method method,
                     const struct srv_http_path *path, struct srv_match *ret_match);
/* All rows in order of the tables; NULL behind the last one. For tests, metrics and OpenAPI. */
const struct srv_route *srv_router_row(const struct srv_router *router, size_t at);

#endif
