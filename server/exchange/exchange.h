/* One request and its answer, as routes see them.
 *
 * A route is a row of a table (routes.h). Its `handle` is called once the request is authorised:
 *
 *  on a worker   with the whole body; it may block; it answers before it returns:
 *
 *      static void show_stream(struct srv_exchange *exchange) {
 *          ... srv_exchange_world(exchange), srv_exchange_parameter(exchange, "stream") ...
 *          srv_answer_json(exchange, 200, object);
 *      }
 *
 *  on the loop   for bodies and answers that go on for long (PutMedia, live playback, events); it
 *                must not block, and goes on with a flow:
 *
 *      srv_exchange_go_on(exchange, &flow, own)
 *          -> flow->body, body_end, room, wake, drain ... -> flow->closed
 *      srv_exchange_begin -> srv_exchange_send ... -> srv_exchange_end
 *
 * All functions here are for the thread that the exchange is with (the worker within `handle`, else
 * its loop), but for those marked "any thread". */
#ifndef SERVER_EXCHANGE_EXCHANGE_H
#define SERVER_EXCHANGE_EXCHANGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/time.h"
#include "server/auth/principals.h"
#include "server/http/http.h"
#include "server/http/request.h"
#include "server/http/response.h"
#include "server/transport/transport.h"

struct frag_archive;
struct kn_loop;
struct srv_exchange;
struct srv_world;

/* ---- the request ---- */

struct srv_world *srv_exchange_world(const struct srv_exchange *exchange);
const struct srv_http_request *srv_exchange_request(const struct srv_exchange *exchange);
const struct srv_peer *srv_exchange_peer(const struct srv_exchange *exchange);
/* Who asks; never NULL behind a route that is not open to all. Where the server has no credentials
 * at all, and on the unix socket, it is one that may do everything. */
const struct srv_principal *srv_exchange_principal(const struct srv_exchange *exchange);
/* Of SigV4 requests the region they were signed for; else "". */
const char *srv_exchange_region(const struct srv_exchange *exchange);
/* 16 bytes as hex; in the log and in the answer's field X-Request-Id. */
const char *srv_exchange_id(const struct srv_exchange *exchange);
/* When its head was complete. */
struct kn_wall srv_exchange_since(const struct srv_exchange *exchange);

/* What stands at {name} in the route's path, decoded; NULL: the route has none of that name. */
const char *srv_exchange_parameter(const struct srv_exchange *exchange, const char *name);
/* A member of the query, decoded, NUL-terminated; 0. -ENOENT: it is not there; KN_E_MALFORMED: it
 * is there twice, or is no text; KN_E_LIMIT: it does not fit. */
KN_MUST_CHECK int srv_exchange_query(const struct srv_exchange *exchange, const char *name,
                                     char *room, size_t room_bytes);
/* The whole body; empty where there is none. */
struct srv_http_text srv_exchange_body(const struct srv_exchange *exchange);
/* Of routes with SRV_BODY_JSON: the object that came; an empty one where no body did. Borrowed. */
json_t *srv_exchange_json(const struct srv_exchange *exchange);
/* On a worker only: that one's own. NULL: it could not be opened; answer 503. */
struct frag_archive *srv_exchange_archive(struct srv_exchange *exchange);
/* "http://host:5466", for addresses that are handed out: the configured public_url, else from the
 * request's Host, else from ours. No '/' at its end. */
const char *srv_exchange_base_url(struct srv_exchange *exchange);

/* ---- an answer as a whole: once; a second one is an error of the program ---- */

/* A field for the answer to come, in the place of one that it has by this name; `name` is borrowed
 * (a literal), the value copied; at most 16, and only what the caller may give (response.h), else
 * nothing is added and it is logged. */
void srv_answer_field(struct srv_exchange *exchange, const char *name, const char *value);
/* The bytes are copied. */
void srv_answer(struct srv_exchange *exchange, int status, const char *type, const void *data,
                size_t size);
void srv_answer_empty(struct srv_exchange *exchange, int status);
/* Takes the reference; NULL (no memory): 503. */
void srv_answer_json(struct srv_exchange *exchange, int status, json_t *value);
/* {"error": code, "message": text}, or as the route's table shapes errors. `code` is a literal in
 * CamelCase as AWS has them: "ResourceNotFoundException". */
void srv_answer_error(struct srv_exchange *exchange, int status, const char *code,
                      const char *format, ...) KN_PRINTF(4, 5);
/* The usual answer to a negative result (errno or KN_E_*), e.g. -ENOENT: 404. `what` is a few words
 * for the message. Our own faults are logged and say little. KN_E_MALFORMED and
 * KN_E_LIMIT count as the peer's: 400. */
void srv_answer_failure(struct srv_exchange *exchange, int error, const char *what);
/* A part of an open file, which is taken and closed when it is sent or cannot be. */
void srv_answer_file(struct srv_exchange *exchange, int status, const char *type, int fd,
                     uint64_t offset, uint64_t size);
/* Shared bytes; takes the reference. */
void srv_answer_buffer(struct srv_exchange *exchange, int status, const char *type,
                       struct kn_buffer *buffer);

/* ---- an answer that goes on: routes that run on the loop ---- */

/* Loop thread. Any but `closed` may be NULL. */
struct srv_flow {
    /* The next bytes of the body: how many of them were taken. With fewer than `size` no more come
     * before srv_exchange_read_on; the rest is told again then. NULL: they are dropped. */
    size_t (*body)(struct srv_exchange *exchange, const void *data, size_t size, void *user);
    /* The body is complete; `whole` false: the peer went, or what it sent was wrong. */
    void (*body_end)(struct srv_exchange *exchange, bool whole, void *user);
    /* Less than half of SRV_EXCHANGE_QUEUE is queued now, which was not so before. */
    void (*room)(struct srv_exchange *exchange, void *user);
    /* After srv_exchange_wake; several may have become one. */
    void (*wake)(struct srv_exchange *exchange, void *user);
    /* About once a second. */
    void (*tick)(struct srv_exchange *exchange, void *user);
    /* The server shuts down: come to an end, within seconds. NULL: it is broken off at once. */
    void (*drain)(struct srv_exchange *exchange, void *user);
    /* The last call: answered, or the peer went, and no work of it is left on a worker. */
    void (*closed)(struct srv_exchange *exchange, void *user);
};

/* Within `handle`. The peer is told to go on with its body where it waits for that, and the body
 * comes from then on. */
void srv_exchange_go_on(struct srv_exchange *exchange, const struct srv_flow *flow, void *user);
void *srv_exchange_user(const struct srv_exchange *exchange);
/* The loop it is on, for subscriptions. */
struct kn_loop *srv_exchange_loop(const struct srv_exchange *exchange);
void srv_exchange_read_on(struct srv_exchange *exchange);
/* What of a flow blocks: `work` on a worker, then `wake` on the loop. Of the functions here `work`
 * may call srv_exchange_world and srv_exchange_archive; what it looks at is not the loop's until
 * srv_exchange_works is false again. Once at a time; the flow does not end its answer meanwhile (it
 * may break it off), and where the peer goes `closed` comes behind it. Where the server ends it may
 * not be called. 0; -EAGAIN: too much waits already; KN_E_CLOSED: the peer is gone, or the server
 * ends. */
KN_MUST_CHECK int srv_exchange_work(struct srv_exchange *exchange,
                                    void (*work)(struct srv_exchange *exchange, void *user));
bool srv_exchange_works(const struct srv_exchange *exchange);

/* Status and fields (of srv_answer_field too). `length` or SRV_HTTP_UNKNOWN_LENGTH. 0, or the peer
 * is gone: KN_E_CLOSED. */
KN_MUST_CHECK int srv_exchange_begin(struct srv_exchange *exchange, int status, const char *type,
                                     uint64_t length);
/* So many bytes may wait to be sent. */
#define SRV_EXCHANGE_QUEUE ((size_t)1024 * 1024)
/* Each call is one chunk of its own where the answer is chunked. 0; KN_E_CLOSED: the peer is gone;
 * KN_E_LIMIT: SRV_EXCHANGE_QUEUE is full, nothing was taken (one call may go over it while less
 * than that is queued); -ENOMEM: the answer is broken off. The bytes are copied, or the buffer
 * referenced. */
KN_MUST_CHECK int srv_exchange_send(struct srv_exchange *exchange, const void *data, size_t size);
KN_MUST_CHECK int srv_exchange_send_buffer(struct srv_exchange *exchange, struct kn_buffer *buffer);
size_t srv_exchange_queued(const struct srv_exchange *exchange);
/* Everything has been sent. The rest of a body that still comes is dropped, at most 64 KiB; after
 * that the connection closes. */
void srv_exchange_end(struct srv_exchange *exchange);
/* Before srv_exchange_end: the connection ends with this answer, and no more is waited for. */
void srv_exchange_close_behind(struct srv_exchange *exchange);
/* The answer breaks off, so that the peer sees it. */
void srv_exchange_break(struct srv_exchange *exchange);
/* No limit by time for a body that comes slowly, or for an answer that pauses, but this one:
 * nothing received and nothing sent for so long. Default: SRV_BODY_IDLE of limits. */
void srv_exchange_idle_limit(struct srv_exchange *exchange, int64_t ns);

/* Any thread that holds a reference. Nothing after `closed` was called. */
void srv_exchange_wake(struct srv_exchange *exchange);
/* Any thread. The exchange stays, its connection and request need not: behind `closed` only its id,
 * ref, unref and wake are left. */
struct srv_exchange *srv_exchange_ref(struct srv_exchange *exchange);
void srv_exchange_unref(struct srv_exchange *exchange);

#endif
