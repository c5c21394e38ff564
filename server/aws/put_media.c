/* PutMedia: a body that goes on for as long as a camera does, answered all the while. The body
 * itself is ingest's (ing_put_*); here is its HTTP. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "ingest/ingest.h"
#include "server/aws/inner.h"
#include "server/live.h"

/* Silence ends a connection before; this is for a peer that takes nothing either. */
#define IDLE_NS (120 * KN_NS_PER_S)
/* Far below what clients take of one chunk (1,024). */
#define ACK_BYTES 320u

/* Belongs to `put`, whose last call frees it. The rest is the loop's. */
struct upload {
    struct srv_exchange *exchange; /* a reference */
    struct ing_put *put;
    struct srv_live_entry *live;
    const char *stream;
    bool wants_acks;
    bool paused; /* bytes were not taken */
    bool done;   /* the answer has ended */
    bool has_ack;
    struct ing_ack ack; /* has_ack: taken, and not sent yet */
};

/* ---- acknowledgements ---- */

static const char *kind_text(enum ing_ack_kind kind) {
    switch (kind) {
    case ING_ACK_BUFFERING:
        return "BUFFERING";
    case ING_ACK_RECEIVED:
        return "RECEIVED";
    case ING_ACK_PERSISTED:
        return "PERSISTED";
    case ING_ACK_ERROR:
        return "ERROR";
    case ING_ACK_IDLE:
        return "IDLE";
    }
    return "IDLE";
}

/* The longest one has 47 digits, 20 digits and a code of 38 letters: it fits. */
static size_t write_ack(const struct ing_ack *ack, char text[static ACK_BYTES]) {
    char number[FRAG_NUMBER_TEXT_BYTES];
    int size = snprintf(text, ACK_BYTES, "{\"EventType\":\"%s\"", kind_text(ack->kind));
    size_t at = (size_t)size;
    if (ack->has_timecode) {
        at += (size_t)snprintf(text + at, ACK_BYTES - at, ",\"FragmentTimecode\":%" PRIu64,
                               ack->timecode);
    }
    if (ack->has_number) {
        at += (size_t)snprintf(text + at, ACK_BYTES - at, ",\"FragmentNumber\":\"%s\"",
                               frag_number_format(ack->number, number));
    }
    if (ack->kind == ING_ACK_ERROR) {
        at += (size_t)snprintf(text + at, ACK_BYTES - at, ",\"ErrorCode\":\"%s\",\"ErrorId\":%d",
                               ing_put_error_code(ack->error), (int)ack->error);
    }
    at += (size_t)snprintf(text + at, ACK_BYTES - at, "}\r\n");
    return at;
}

static void log_error(const struct upload *upload, const struct ing_ack *ack) {
    if (ack->kind == ING_ACK_ERROR && ack->error != ING_PUT_CONNECTION) {
        kn_log_warn("a producer's connection ends", kn_str("stream", upload->stream),
                    kn_str("peer", srv_exchange_peer(upload->exchange)->address),
                    kn_str("reason", ing_put_error_code(ack->error)));
    }
}

/* Each in a chunk of its own, since clients take one in a piece. */
static void send_acks(struct upload *upload) {
    char text[ACK_BYTES];
    for (;;) {
        if (!upload->has_ack && !ing_put_next_ack(upload->put, &upload->ack)) {
            return;
        }
        upload->has_ack = true;
        bool told = upload->wants_acks || upload->ack.kind == ING_ACK_ERROR;
        int rc =
            told ? srv_exchange_send(upload->exchange, text, write_ack(&upload->ack, text)) : 0;
        if (rc == KN_E_LIMIT) {
            return; /* `room` follows */
        }
        upload->has_ack = false;
        log_error(upload, &upload->ack);
        if (rc != 0) {
            return; /* `closed` follows */
        }
    }
}

/* ---- the flow ---- */

static void work(struct srv_exchange *exchange, void *user) {
    struct upload *upload = user;
    ing_put_work(upload->put, srv_exchange_archive(exchange));
}

static void start_work(struct upload *upload) {
    if (ing_put_wants_work(upload->put) && !srv_exchange_works(upload->exchange)) {
        /* Where too much waits already, `tick` tries again. */
        (void)!srv_exchange_work(upload->exchange, work);
    }
}

static void go_on(struct upload *upload) {
    struct srv_exchange *exchange = upload->exchange;
    if (upload->done) {
        return;
    }
    send_acks(upload);
    bool takes = ing_put_turn(upload->put);
    send_acks(upload);
    start_work(upload);
    if (ing_put_is_over(upload->put) && !upload->has_ack && !srv_exchange_works(exchange)) {
        upload->done = true;
        srv_exchange_close_behind(exchange);
        srv_exchange_end(exchange);
    } else if (takes && upload->paused) {
        upload->paused = false;
        srv_exchange_read_on(exchange);
    }
}

static size_t take_body(struct srv_exchange *exchange, const void *data, size_t size, void *user) {
    struct upload *upload = user;
    uint64_t bytes = 0, fragments = 0;
    size_t taken = ing_put_push(upload->put, data, size);
    ing_put_counts(upload->put, &bytes, &fragments);
    srv_live_set(upload->live, bytes, fragments);
    send_acks(upload);
    start_work(upload);
    if (taken < size) { /* it may be that nothing else wakes it: the acknowledgements are gone */
        upload->paused = true;
        srv_exchange_wake(exchange);
    }
    return taken;
}

static void end_body(struct srv_exchange *exchange, bool whole, void *user) {
    struct upload *upload = user;
    (void)exchange;
    ing_put_end(upload->put, whole);
    go_on(upload);
}

static void handle_turn(struct srv_exchange *exchange, void *user) {
    (void)exchange;
    go_on(user);
}

static void drain(struct srv_exchange *exchange, void *user) {
    struct upload *upload = user;
    (void)exchange;
    ing_put_drain(upload->put);
    go_on(upload);
}

static void close_upload(struct srv_exchange *exchange, void *user) {
    struct upload *upload = user;
    (void)exchange;
    srv_live_remove(upload->live);
    ing_put_destroy(upload->put); /* what it submitted is stored all the same */
}

static const struct srv_flow flow = {
    .body = take_body,
    .body_end = end_body,
    .room = handle_turn,
    .wake = handle_turn,
    .tick = handle_turn,
    .drain = drain,
    .closed = close_upload,
};

/* ---- put's calls, on any thread ---- */

static void handle_wake(void *user) {
    srv_exchange_wake(((struct upload *)user)->exchange);
}

static void handle_closed(void *user) {
    struct upload *upload = user;
    srv_exchange_unref(upload->exchange);
    free(upload);
}

/* ---- the request ---- */

/* What its fields say. */
struct said {
    char *name, *arn; /* NULL: not said; ours */
    bool relative, wants_acks;
    struct kn_wall start;
};

/* NULL: it is not there, or not once. */
static const struct srv_http_text *find_field(const struct srv_http_request *request,
                                              const char *name) {
    const struct srv_http_text *found = NULL;
    for (size_t i = 0; i < request->field_count; i++) {
        if (srv_http_text_is(request->fields[i].name, name)) {
            if (found != NULL) {
                return NULL;
            }
            found = &request->fields[i].value;
        }
    }
    return found;
}

static char *copy_field(const struct srv_http_request *request, const char *name) {
    const struct srv_http_text *value = find_field(request, name);
    return value == NULL ? NULL : strndup(value->data, value->size);
}

static bool is_field(const struct srv_http_request *request, const char *name,
                     const char *expected) {
    const struct srv_http_text *value = find_field(request, name);
    return value != NULL && value->size == strlen(expected) &&
           memcmp(value->data, expected, value->size) == 0;
}

/* NULL, or what is wrong. */
static const char *read_fields(struct srv_exchange *exchange, struct said *said) {
    const struct srv_http_request *request = srv_exchange_request(exchange);
    const struct srv_http_text *start = find_field(request, "x-amzn-producer-start-timestamp");
    said->relative = is_field(request, "x-amzn-fragment-timecode-type", "RELATIVE");
    said->wants_acks = !is_field(request, "x-amzn-fragment-acknowledgment-required", "0");
    said->start = srv_exchange_since(exchange);
    if ((said->name == NULL) == (said->arn == NULL)) {
        return "One of x-amzn-stream-name and x-amzn-stream-arn is needed.";
    }
    if (!said->relative && !is_field(request, "x-amzn-fragment-timecode-type", "ABSOLUTE")) {
        return "x-amzn-fragment-timecode-type is ABSOLUTE or RELATIVE.";
    }
    if (start != NULL && ing_put_start_parse(start->data, start->size, &said->start) < 0) {
        return "x-amzn-producer-start-timestamp is no time in seconds.";
    }
    return NULL;
}

static struct srv_live_entry *enter_live(struct srv_exchange *exchange, const char *stream) {
    const struct srv_live_about about = {
        .side = SRV_LIVE_PRODUCER,
        .protocol = "putmedia",
        .stream = stream,
        .peer = srv_exchange_peer(exchange)->address,
        .principal = srv_exchange_principal(exchange)->name,
    };
    return srv_live_add(srv_exchange_world(exchange)->live, &about);
}

static void begin(struct srv_exchange *exchange, struct frag_stream *stream,
                  const struct said *said) {
    struct upload *upload = calloc(1, sizeof(*upload));
    if (upload == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "an upload");
        return;
    }
    const struct ing_put_config config = {
        .stream = stream,
        .relative = said->relative,
        .producer_start = said->start,
        .clock = srv_exchange_world(exchange)->clock,
        .wake = handle_wake,
        .closed = handle_closed,
        .user = upload,
    };
    int rc = ing_put_create(&config, &upload->put);
    if (rc != 0) {
        free(upload);
        srv_answer_failure(exchange, rc, "an upload");
        return;
    }
    upload->exchange = srv_exchange_ref(exchange);
    upload->stream = frag_stream_name(stream);
    upload->wants_acks = said->wants_acks;
    upload->live = enter_live(exchange, upload->stream);
    srv_exchange_go_on(exchange, &flow, upload);
    srv_exchange_idle_limit(exchange, IDLE_NS);
    if (srv_exchange_begin(exchange, 200, "application/json", SRV_HTTP_UNKNOWN_LENGTH) != 0) {
        srv_exchange_break(exchange);
    }
}

static void put_media(struct srv_exchange *exchange) {
    const struct srv_http_request *request = srv_exchange_request(exchange);
    struct said said = {
        .name = copy_field(request, "x-amzn-stream-name"),
        .arn = copy_field(request, "x-amzn-stream-arn"),
    };
    srv_aws_begin(exchange);
    const char *wrong = read_fields(exchange, &said);
    if (wrong != NULL) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID, "%s", wrong);
    } else {
        struct frag_stream *stream =
            srv_aws_stream(exchange, said.name, said.arn, SRV_ACTION_RECORD);
        if (stream != NULL) {
            begin(exchange, stream, &said);
        }
    }
    free(said.name);
    free(said.arn);
}

static const struct srv_route rows[] = {
    {.name = "PutMedia",
     .method = SRV_HTTP_POST,
     .path = "/putMedia",
     .access = SRV_SIGNED_IN,
     .body = SRV_BODY_FLOW,
     .body_max = UINT64_MAX,
     .on_loop = true,
     .unsigned_body = true,
     .handle = put_media},
};

const struct srv_routes srv_aws_put_media_routes = {
    .rows = rows,
    .count = KN_COUNT(rows),
    .shape_error = srv_aws_shape_error,
};
