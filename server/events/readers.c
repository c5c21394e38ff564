/* The route: each reader goes along the ring at its own pace, on the loop of its connection. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/api/api.h"
#include "server/events/inner.h"
#include "server/exchange/exchange.h"
#include "server/live.h"

#define KEEP_ALIVE_NS (15 * KN_NS_PER_S)
#define CHECK_NS (10 * KN_NS_PER_S) /* a principal may have been deleted */
#define IDLE_LIMIT_NS (60 * KN_NS_PER_S)
#define RETURN_NS (60 * KN_NS_PER_S) /* who lost its connection comes back within this */
/* Done at once; then others on the loop have their turn. */
#define EVENTS_AT_ONCE 64u
#define STREAMS_AT_ONCE 16u

/* On its loop, but for what `events->lock` is for. */
struct srv_reader {
    struct srv_events *events;
    struct srv_exchange *exchange; /* a reference */
    struct srv_live_entry *entry;
    const struct srv_principal *principal; /* a reference */
    bool was_open; /* nobody had credentials when it came: it stays as long as that is so */
    bool ended;
    uint64_t after; /* the last event that was sent or passed over */
    /* A hello on its way: goes on behind this stream. */
    bool greeting, greeted_one;
    char greeted[FRAG_STREAM_NAME_BYTES];
    int64_t sent_ns, checked_ns;
    uint64_t bytes;
    /* Under the lock: */
    bool woken; /* its wake is on the way: another one is not needed */
    struct srv_reader *next, *prev;
};

/* ---- the list ---- */

static bool enter(struct srv_reader *reader) {
    struct srv_events *events = reader->events;
    (void)pthread_mutex_lock(&events->lock);
    bool room = events->reader_count < SRV_EVENTS_READERS;
    if (room) {
        events->reader_count++;
        reader->next = events->readers;
        if (reader->next != NULL) {
            reader->next->prev = reader;
        }
        events->readers = reader;
    }
    (void)pthread_mutex_unlock(&events->lock);
    return room;
}

static void leave(struct srv_reader *reader) {
    struct srv_events *events = reader->events;
    (void)pthread_mutex_lock(&events->lock);
    if (reader->prev != NULL) {
        reader->prev->next = reader->next;
    } else {
        events->readers = reader->next;
    }
    if (reader->next != NULL) {
        reader->next->prev = reader->prev;
    }
    events->reader_count--;
    events->last_reader_ns = srv_events_now_ns(events);
    (void)pthread_mutex_unlock(&events->lock);
}

bool srv_readers_any(struct srv_events *events) {
    int64_t now_ns = srv_events_now_ns(events);
    (void)pthread_mutex_lock(&events->lock);
    bool any = events->reader_count > 0 ||
               (events->last_reader_ns != 0 && now_ns - events->last_reader_ns < RETURN_NS);
    (void)pthread_mutex_unlock(&events->lock);
    return any;
}

void srv_readers_wake(struct srv_events *events) {
    struct srv_exchange *wanted[SRV_EVENTS_READERS];
    size_t count = 0;
    (void)pthread_mutex_lock(&events->lock);
    for (struct srv_reader *reader = events->readers; reader != NULL; reader = reader->next) {
        if (!reader->woken) {
            reader->woken = true;
            wanted[count++] = srv_exchange_ref(reader->exchange);
        }
    }
    (void)pthread_mutex_unlock(&events->lock);
    for (size_t i = 0; i < count; i++) {
        srv_exchange_wake(wanted[i]);
        srv_exchange_unref(wanted[i]);
    }
}

static void fall_asleep(struct srv_reader *reader) {
    (void)pthread_mutex_lock(&reader->events->lock);
    reader->woken = false;
    (void)pthread_mutex_unlock(&reader->events->lock);
}

/* ---- may it still? ---- */

/* A user with another password, a key or token that was made anew under the same name: somebody
 * else. */
static bool same_credentials(const struct srv_principal *a, const struct srv_principal *b) {
    return a->created.ns == b->created.ns &&
           srv_equal_secretly(a->token_sha256, b->token_sha256, sizeof(a->token_sha256)) &&
           srv_equal_secretly(a->password.hash, b->password.hash, sizeof(a->password.hash)) &&
           strcmp(a->access_key, b->access_key) == 0 && a->secret_bytes == b->secret_bytes &&
           srv_equal_secretly(a->secret, b->secret, a->secret_bytes);
}

/* Takes the grants it has now. */
static bool renew_principal(struct srv_reader *reader) {
    struct srv_world *world = reader->events->world;
    const struct srv_principal *now = NULL;
    if (srv_principals_find(world->principals, reader->principal->kind, reader->principal->name,
                            &now) < 0) {
        return false;
    }
    struct kn_wall wall = world->clock->wall(world->clock);
    if (!same_credentials(now, reader->principal) || wall.ns >= now->expires.ns) {
        srv_principal_unref(now);
        return false;
    }
    srv_principal_unref(reader->principal);
    reader->principal = now;
    return true;
}

static bool may_stay(struct srv_reader *reader, int64_t now_ns) {
    if (now_ns - reader->checked_ns < CHECK_NS) {
        return true;
    }
    reader->checked_ns = now_ns;
    bool credentials = reader->principal->kind != SRV_PRINCIPAL_ANYONE;
    if (!credentials && srv_exchange_peer(reader->exchange)->local) {
        return true; /* the unix socket's own user: who that is does not change */
    }
    if (reader->was_open) {
        return srv_gate_is_open(reader->events->world->gate);
    }
    return renew_principal(reader);
}

static bool may_see(const struct srv_reader *reader, const struct srv_event *event) {
    return srv_principal_may(reader->principal, SRV_ACTION_LIST,
                             event->for_all ? NULL : event->stream);
}

/* ---- sending; 0 or below: enough for now ---- */

static int sent(struct srv_reader *reader, size_t size, int rc) {
    if (rc == 0) {
        reader->sent_ns = srv_events_now_ns(reader->events);
        reader->bytes += size;
        srv_live_set(reader->entry, reader->bytes, 0);
    }
    return rc;
}

static int send_text(struct srv_reader *reader, const char *text) {
    return sent(reader, strlen(text), srv_exchange_send(reader->exchange, text, strlen(text)));
}

static int send_event(struct srv_reader *reader, const struct srv_event *event) {
    if (!may_see(reader, event)) {
        return 0;
    }
    return sent(reader, event->text->size, srv_exchange_send_buffer(reader->exchange, event->text));
}

static void end(struct srv_reader *reader, const char *comment) {
    if (!reader->ended) {
        reader->ended = true;
        (void)send_text(reader, comment); /* where there is no room it ends without */
        srv_exchange_end(reader->exchange);
    }
}

/* ---- hello: in steps, as its JSON may be long. Lines of one event are joined by the peer. ---- */

static int begin_hello(struct srv_reader *reader) {
    uint64_t newest = srv_ring_newest(reader->events->ring);
    char head[96];
    (void)snprintf(head, sizeof(head), "id: %" PRIu64 "\nevent: hello\ndata: {\"streams\":[\n",
                   newest);
    int rc = send_text(reader, head);
    if (rc == 0) {
        reader->after = newest;
        reader->greeting = true;
        reader->greeted_one = false;
        reader->greeted[0] = '\0';
    }
    return rc;
}

/* 0 also where there is nothing to say of it: it was deleted meanwhile. */
static int greet_with(struct srv_reader *reader, struct frag_stream *stream) {
    struct srv_world *world = reader->events->world;
    const char *name = frag_stream_name(stream);
    if (!srv_principal_may(reader->principal, SRV_ACTION_LIST, name)) {
        return 0;
    }
    json_t *json = srv_api_stream_json(world, stream);
    if (json == NULL) {
        return frag_stream_find(world->store, name) == stream ? -ENOMEM : 0;
    }
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    size_t room_bytes = text != NULL ? strlen(text) + sizeof("data: ,\n") : 0;
    char *line = text != NULL ? malloc(room_bytes) : NULL;
    int rc = -ENOMEM;
    if (line != NULL) {
        (void)snprintf(line, room_bytes, "data: %s%s\n", reader->greeted_one ? "," : "", text);
        rc = send_text(reader, line);
        reader->greeted_one = reader->greeted_one || rc == 0;
    }
    free(line);
    free(text);
    return rc;
}

/* 1: there is more. */
static int go_on_with_hello(struct srv_reader *reader) {
    for (unsigned i = 0; i < STREAMS_AT_ONCE; i++) {
        const char *behind = reader->greeted[0] != '\0' ? reader->greeted : NULL;
        struct frag_stream *stream = frag_stream_next(reader->events->world->store, behind);
        if (stream == NULL) {
            int rc = send_text(reader, "data: ]}\n\n");
            reader->greeting = rc < 0;
            return rc < 0 ? rc : 1;
        }
        int rc = greet_with(reader, stream);
        if (rc < 0) {
            return rc;
        }
        (void)strncpy(reader->greeted, frag_stream_name(stream), sizeof(reader->greeted) - 1);
    }
    return 1;
}

/* ---- events ---- */

/* 1: there may be more; 0: no. */
static int send_events(struct srv_reader *reader) {
    struct srv_event *events[EVENTS_AT_ONCE];
    bool hole = false;
    size_t count =
        srv_ring_take(reader->events->ring, reader->after, events, EVENTS_AT_ONCE, &hole);
    if (hole) {
        int rc = begin_hello(reader);
        return rc < 0 ? rc : 1;
    }
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        rc = rc < 0 ? rc : send_event(reader, events[i]);
        if (rc == 0) {
            reader->after = events[i]->id;
        }
        srv_event_unref(events[i]);
    }
    return rc < 0 ? rc : count == EVENTS_AT_ONCE ? 1 : 0;
}

static void keep_alive(struct srv_reader *reader, int64_t now_ns) {
    if (!reader->greeting && now_ns - reader->sent_ns >= KEEP_ALIVE_NS) {
        (void)send_text(reader, ":\n\n"); /* no room: then enough is on its way */
    }
}

/* KN_E_LIMIT: `room` comes; KN_E_CLOSED: `closed` does. */
static void step(struct srv_reader *reader) {
    int64_t now_ns = srv_events_now_ns(reader->events);
    if (reader->ended) {
        return;
    }
    if (!may_stay(reader, now_ns)) {
        /* Within a hello the line before ends it, unfinished: the peer drops it. */
        end(reader, "\n: not allowed any more\n\n");
        return;
    }
    int rc = reader->greeting ? go_on_with_hello(reader) : send_events(reader);
    if (rc == -ENOMEM) {
        reader->ended = true;
        srv_exchange_break(reader->exchange); /* it comes back, and finds a hole or the rest */
    } else if (rc > 0) {
        srv_exchange_wake(reader->exchange); /* others first */
    } else if (rc == 0) {
        keep_alive(reader, now_ns);
    }
}

/* ---- the flow ---- */

static void handle_wake(struct srv_exchange *exchange, void *user) {
    (void)exchange;
    fall_asleep(user); /* before it looks: what comes behind wakes again */
    step(user);
}

static void handle_room(struct srv_exchange *exchange, void *user) {
    (void)exchange;
    step(user);
}

static void handle_drain(struct srv_exchange *exchange, void *user) {
    (void)exchange;
    end(user, "\n: the server shuts down\n\n");
}

static void destroy(struct srv_reader *reader) {
    srv_live_remove(reader->entry);
    srv_principal_unref(reader->principal);
    srv_exchange_unref(reader->exchange);
    free(reader);
}

static void handle_closed(struct srv_exchange *exchange, void *user) {
    (void)exchange;
    leave(user);
    destroy(user);
}

static const struct srv_flow flow = {
    .room = handle_room, .wake = handle_wake, .drain = handle_drain, .closed = handle_closed};

/* What it had before; not a number of ours: a hole. */
static bool last_event_id(const struct srv_http_request *request, uint64_t *ret_id) {
    const struct srv_http_field *field =
        srv_http_field_find(request->fields, request->field_count, "last-event-id", NULL);
    if (field == NULL || field->value.size == 0 || field->value.size > 19) {
        return false;
    }
    uint64_t id = 0;
    for (size_t i = 0; i < field->value.size; i++) {
        char digit = field->value.data[i];
        if (digit < '0' || digit > '9') {
            return false;
        }
        id = id * 10 + (uint64_t)(digit - '0');
    }
    *ret_id = id;
    return true;
}

static struct srv_reader *create(struct srv_exchange *exchange) {
    struct srv_world *world = srv_exchange_world(exchange);
    struct srv_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return NULL;
    }
    const struct srv_principal *principal = srv_exchange_principal(exchange);
    const struct srv_live_about about = {.side = SRV_LIVE_CONSUMER,
                                         .protocol = "events",
                                         .stream = "",
                                         .peer = srv_exchange_peer(exchange)->address,
                                         .principal = principal->name};
    reader->events = world->events;
    reader->exchange = srv_exchange_ref(exchange);
    reader->principal = srv_principal_ref(principal);
    reader->was_open = srv_gate_is_open(world->gate);
    reader->sent_ns = reader->checked_ns = srv_events_now_ns(world->events);
    reader->entry = srv_live_add(world->live, &about);
    /* 0 was never an id: a hole, which is told by a hello. */
    (void)last_event_id(srv_exchange_request(exchange), &reader->after);
    return reader;
}

static void begin(struct srv_reader *reader) {
    struct srv_exchange *exchange = reader->exchange;
    srv_exchange_go_on(exchange, &flow, reader);
    srv_exchange_idle_limit(exchange, IDLE_LIMIT_NS);
    srv_answer_field(exchange, "Cache-Control", "no-store");
    srv_answer_field(exchange, "X-Accel-Buffering", "no"); /* proxies would hold events back */
    if (srv_exchange_begin(exchange, 200, "text/event-stream", SRV_HTTP_UNKNOWN_LENGTH) < 0) {
        return; /* the peer is gone: `closed` comes */
    }
    if (srv_exchange_request(exchange)->method == SRV_HTTP_HEAD) {
        reader->ended = true;
        srv_exchange_end(exchange);
        return;
    }
    if (send_text(reader, "retry: 2000\n\n") == 0) {
        step(reader);
    }
}

static void handle_events(struct srv_exchange *exchange) {
    struct srv_reader *reader = create(exchange);
    if (reader == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "events");
        return;
    }
    if (!enter(reader)) {
        destroy(reader);
        srv_answer_field(exchange, "Retry-After", "10");
        srv_answer_error(exchange, 503, "ServiceUnavailableException",
                         "%u readers of events are the most there can be", SRV_EVENTS_READERS);
        return;
    }
    begin(reader);
}

static const struct srv_route rows[] = {
    {.name = "Events",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/events",
     .access = SRV_SIGNED_IN,
     .body = SRV_NO_BODY,
     .on_loop = true,
     .handle = handle_events},
};

const struct srv_routes srv_events_routes = {.rows = rows, .count = KN_COUNT(rows)};
