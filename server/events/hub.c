/* The hub: a thread that watches all streams and tells once a second what changed; it also ticks
 * live entries and sources, and looks at the health of the server. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "server/api/api.h"
#include "server/events/inner.h"
#include "server/json/json.h"
#include "server/live.h"
#include "server/sources.h"

#define TICK_MS 1000u
#define QUIET_TICKS 5u   /* a stream that was quiet for so long is looked at: it may be late */
#define SERVER_TICKS 10u /* ticks between two events about the server */
/* Telling takes this share of a second at most; with very many streams the rest waits its turn. */
#define TELL_NS (250 * KN_NS_PER_MS)
#define ANSWER_NS (2 * KN_NS_PER_S)
#define HEALTH_BYTES 16u
#define TOUCHED_MOST 64u

/* A stream that is watched: the hub's, and its subscription's as long as that lives. */
struct watched {
    struct srv_hub *hub; /* NULL: it left; the end of the subscription frees it */
    struct frag_stream *stream;
    struct frag_subscription *subscription; /* NULL: could not be had; tried again */
    bool dirty, seen;
    unsigned quiet; /* ticks since it was told or looked at */
    char health[HEALTH_BYTES];
};

struct srv_hub {
    struct srv_events *events;
    struct kn_loop *loop;
    bool started;

    pthread_mutex_t lock; /* a leaf; of what was touched since the last tick */
    char touched[TOUCHED_MOST][FRAG_STREAM_NAME_BYTES];
    size_t touched_count; /* TOUCHED_MOST and above: all are */

    /* The rest is the loop's. */
    uv_timer_t timer;
    bool ticking;
    struct watched **streams; /* in order of names */
    size_t count, room;
    size_t turn; /* where telling goes on */
    unsigned until_server;
    unsigned unanswered; /* looks in a row to which loops or workers gave no sign */
    const struct srv_health *health;
    bool idle; /* nobody reads: changes are not rendered */
};

/* ---- streams ---- */

static json_t *gap_json(const struct watched *watched, const struct frag_tail_event *event) {
    bool open = event->kind == FRAG_TAIL_GAP_OPEN;
    return json_pack("{s:s, s:b, s:s, s:o, s:o}", "stream", frag_stream_name(watched->stream),
                     "open", open, "cause", frag_gap_cause_text(event->gap.cause), "from",
                     srv_json_time(event->gap.from), "to",
                     open ? json_null() : srv_json_time(event->gap.to));
}

static void handle_event(const struct frag_tail_event *event, void *user) {
    struct watched *watched = user;
    switch (event->kind) {
    case FRAG_TAIL_SAMPLE:
    case FRAG_TAIL_FRAGMENT: /* nothing changes before it is durable */
        return;
    case FRAG_TAIL_GAP_OPEN:
    case FRAG_TAIL_GAP_CLOSE:
        srv_events_tell(watched->hub->events, "gap", frag_stream_name(watched->stream),
                        gap_json(watched, event));
        break;
    case FRAG_TAIL_DURABLE:
    case FRAG_TAIL_FAILED:
    case FRAG_TAIL_END:
    case FRAG_TAIL_MISSED:
        break;
    }
    watched->dirty = true;
}

static void handle_closed(void *user) {
    struct watched *watched = user;
    watched->subscription = NULL;
    if (watched->hub == NULL) {
        free(watched);
    }
}

static void subscribe(struct srv_hub *hub, struct watched *watched) {
    const struct frag_subscription_config config = {
        /* Whoever is dirty already misses nothing by another event, but for gaps. */
        .max_events = 32,
        .handle_event = handle_event,
        .handle_closed = handle_closed,
        .user = watched,
    };
    bool kept = false;
    struct frag_number oldest;
    int rc = frag_tail_subscribe(frag_stream_tail(watched->stream), hub->loop, &config, &kept,
                                 &oldest, &watched->subscription);
    if (rc < 0) {
        watched->subscription = NULL; /* the next tick tries again, and tells what it sees */
    }
}

static void leave(struct watched *watched) {
    watched->hub = NULL;
    if (watched->subscription != NULL) {
        frag_tail_unsubscribe(watched->subscription); /* handle_closed frees */
    } else {
        free(watched);
    }
}

/* 0 or -ENOMEM: the stream is found at the next tick. */
static int insert(struct srv_hub *hub, size_t at, struct frag_stream *stream) {
    if (hub->count == hub->room) {
        size_t room = hub->room == 0 ? 64 : hub->room * 2;
        struct watched **streams = realloc(hub->streams, room * sizeof(struct watched *));
        if (streams == NULL) {
            return -ENOMEM;
        }
        hub->streams = streams;
        hub->room = room;
    }
    struct watched *watched = calloc(1, sizeof(*watched));
    if (watched == NULL) {
        return -ENOMEM;
    }
    watched->hub = hub;
    watched->stream = stream;
    watched->dirty = true;
    memmove(&hub->streams[at + 1], &hub->streams[at], (hub->count - at) * sizeof(struct watched *));
    hub->streams[at] = watched;
    hub->count++;
    subscribe(hub, watched);
    return 0;
}

static void drop(struct srv_hub *hub, size_t at) {
    struct watched *watched = hub->streams[at];
    const char *name = frag_stream_name(watched->stream);
    srv_events_put(hub->events, "gone", name, json_pack("{s:s}", "name", name));
    hub->count--;
    memmove(&hub->streams[at], &hub->streams[at + 1], (hub->count - at) * sizeof(struct watched *));
    leave(watched);
}

/* Both lists are in order of names: one walk finds who came and who left. */
static void compare_lists(struct srv_hub *hub) {
    struct frag_store *store = hub->events->world->store;
    struct frag_stream *stream = frag_stream_next(store, NULL);
    size_t at = 0;
    while (stream != NULL || at < hub->count) {
        struct watched *watched = at < hub->count ? hub->streams[at] : NULL;
        int order = watched == NULL ? 1
                    : stream == NULL
                        ? -1
                        : strcmp(frag_stream_name(watched->stream), frag_stream_name(stream));
        if (order < 0 || (order == 0 && watched->stream != stream)) {
            drop(hub, at);
            continue;
        }
        if (order == 0) {
            if (watched->subscription == NULL) {
                watched->dirty = true;
                subscribe(hub, watched);
            }
            at++;
        } else if (insert(hub, at, stream) == 0) {
            at++;
        }
        stream = frag_stream_next(store, frag_stream_name(stream));
    }
}

/* ---- what others say of a stream ---- */

void srv_hub_touch(struct srv_hub *hub, const char *stream) {
    (void)pthread_mutex_lock(&hub->lock);
    if (hub->touched_count < TOUCHED_MOST) {
        char *room = hub->touched[hub->touched_count++];
        (void)strncpy(room, stream, FRAG_STREAM_NAME_BYTES - 1);
    }
    (void)pthread_mutex_unlock(&hub->lock);
}

static int compare_name(const void *name, const void *place) {
    const struct watched *const *watched = place;
    return strcmp(name, frag_stream_name((*watched)->stream));
}

static void touch(struct srv_hub *hub, const char *name) {
    struct watched **found = hub->count == 0 ? NULL
                                             : bsearch(name, hub->streams, hub->count,
                                                       sizeof(struct watched *), compare_name);
    if (found != NULL) {
        (*found)->dirty = true;
    }
}

static void take_touched(struct srv_hub *hub) {
    (void)pthread_mutex_lock(&hub->lock);
    bool all = hub->touched_count >= TOUCHED_MOST;
    for (size_t i = 0; i < hub->touched_count && !all; i++) {
        touch(hub, hub->touched[i]);
    }
    hub->touched_count = 0;
    (void)pthread_mutex_unlock(&hub->lock);
    for (size_t i = 0; i < hub->count && all; i++) {
        hub->streams[i]->dirty = true;
    }
}

/* ---- telling ---- */

/* Of a dirty one its state; of a quiet one, only if its health is another one now. */
static void tell_stream(struct srv_hub *hub, struct watched *watched) {
    struct srv_events *events = hub->events;
    json_t *json = srv_api_stream_json(events->world, watched->stream);
    if (json == NULL) {
        return; /* no memory, or it was deleted just now: the next tick sees */
    }
    const char *health = json_string_value(json_object_get(json, "health"));
    health = health != NULL ? health : "";
    bool other = strncmp(health, watched->health, sizeof(watched->health) - 1) != 0;
    if (watched->dirty || other) {
        (void)strncpy(watched->health, health, sizeof(watched->health) - 1);
        srv_events_put(events, "stream", frag_stream_name(watched->stream), json);
    } else {
        json_decref(json);
    }
    watched->dirty = false;
    watched->quiet = 0;
}

static bool is_due(struct watched *watched) {
    if (watched->dirty) {
        return true;
    }
    /* What is idle becomes something else by an event alone. */
    return strcmp(watched->health, "idle") != 0 && ++watched->quiet >= QUIET_TICKS;
}

static void tell_streams(struct srv_hub *hub) {
    int64_t end_ns = srv_events_now_ns(hub->events) + TELL_NS;
    for (size_t i = 0; i < hub->count; i++) {
        hub->turn = hub->turn + 1 < hub->count ? hub->turn + 1 : 0;
        struct watched *watched = hub->streams[hub->turn];
        if (is_due(watched)) {
            tell_stream(hub, watched);
            if (srv_events_now_ns(hub->events) > end_ns) {
                return;
            }
        }
    }
}

/* Who comes gets the whole state. */
static void forget_changes(struct srv_hub *hub) {
    for (size_t i = 0; i < hub->count; i++) {
        hub->streams[i]->dirty = false;
    }
}

/* ---- the server ---- */

static const struct srv_health well = {"ok", NULL};
static const struct srv_health unwritable = {
    "failing", "index or journal of the store cannot be written: nothing is acknowledged"};
static const struct srv_health full = {
    "disk full", "no storage directory has the room that min_free keeps: nothing is recorded"};
static const struct srv_health stuck = {"failing",
                                        "loops or workers of the HTTP server stand still"};

static const struct srv_health *find_health(const struct srv_hub *hub,
                                            const struct frag_store_stats *stats) {
    switch (stats->health) {
    case FRAG_STORE_FAILING:
        return &unwritable;
    case FRAG_STORE_DISK_FULL:
        return &full;
    case FRAG_STORE_FINE:
        break;
    }
    return hub->unanswered >= 2 ? &stuck : &well;
}

static int add_folder(const struct frag_folder_info *info, void *user) {
    json_t *folder =
        json_pack("{s:i, s:b, s:b, s:o, s:o}", "number", (int)info->number, "online", info->online,
                  "full", info->full, "free_bytes", srv_json_u64(info->free_bytes), "total_bytes",
                  srv_json_u64(info->total_bytes));
    return json_array_append_new(user, folder) < 0 ? -ENOMEM : 0;
}

static json_t *server_json(const struct srv_hub *hub, const struct frag_store_stats *stats) {
    json_t *folders = json_array();
    if (folders == NULL || frag_store_folders(hub->events->world->store, add_folder, folders) < 0) {
        json_decref(folders);
        return NULL;
    }
    return json_pack("{s:s, s:s?, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o}", "health",
                     hub->health->word, "reason", hub->health->reason, "started",
                     srv_json_time(hub->events->world->started), "streams",
                     srv_json_u64(stats->streams), "fragments", srv_json_u64(stats->fragments),
                     "bytes", srv_json_u64(stats->bytes), "clock_in_doubt", stats->clock_in_doubt,
                     "memory_used_bytes", srv_json_u64(stats->memory_used), "memory_max_bytes",
                     srv_json_u64(stats->memory_max), "disks", folders);
}

/* Waits, for at most ANSWER_NS: this thread has nothing more urgent, and no loop stands behind it.
 */
static void look_at_http(struct srv_hub *hub) {
    struct srv_http_server *http = hub->events->world->http;
    bool answers = http == NULL || srv_http_server_answers(http, ANSWER_NS);
    hub->unanswered = answers ? 0 : hub->unanswered + 1;
}

static void look_at_server(struct srv_hub *hub) {
    struct srv_events *events = hub->events;
    bool due = hub->until_server == 0;
    hub->until_server = due ? SERVER_TICKS - 1 : hub->until_server - 1;
    if (due) {
        look_at_http(hub);
    }
    struct frag_store_stats stats = frag_store_stats(events->world->store);
    const struct srv_health *health = find_health(hub, &stats);
    bool other = health != hub->health;
    hub->health = health;
    atomic_store(&events->health, health);
    atomic_store(&events->beat_ns, srv_events_now_ns(events));
    if (other && health != &well) {
        kn_log_error("the server is not well", kn_str("health", health->word),
                     kn_str("reason", health->reason));
    } else if (other) {
        kn_log_info("the server is well again", kn_str("health", "ok"));
    }
    if ((due || other) && !hub->idle) {
        srv_events_put(events, "server", NULL, server_json(hub, &stats));
    }
}

static void tick(uv_timer_t *timer) {
    struct srv_hub *hub = timer->data;
    struct srv_world *world = hub->events->world;
    srv_live_tick(world->live);
    srv_sources_tick(world->sources);
    compare_lists(hub);
    bool idle = !srv_readers_any(hub->events);
    if (idle && !hub->idle) {
        srv_ring_cut(hub->events->ring); /* what is not told from now on is a hole */
    } else if (!idle && hub->idle) {
        hub->until_server = 0; /* who came waits for it */
    }
    hub->idle = idle;
    take_touched(hub);
    if (idle) {
        forget_changes(hub);
    } else {
        tell_streams(hub);
    }
    look_at_server(hub);
    srv_readers_wake(hub->events);
}

/* ---- life ---- */

int srv_hub_create(struct srv_events *events, struct srv_hub **ret_hub) {
    struct srv_hub *hub = calloc(1, sizeof(*hub));
    if (hub == NULL) {
        return -ENOMEM;
    }
    hub->events = events;
    hub->health = &well;
    (void)pthread_mutex_init(&hub->lock, NULL);
    struct kn_loop_config config = kn_loop_config_defaults();
    config.name = "events";
    int rc = kn_loop_create(&config, &hub->loop);
    if (rc < 0) {
        (void)pthread_mutex_destroy(&hub->lock);
        free(hub);
        return rc;
    }
    *ret_hub = hub;
    return 0;
}

struct start {
    struct srv_hub *hub;
    int rc;
};

static void start_ticking(void *user, int status) {
    struct start *start = user;
    struct srv_hub *hub = start->hub;
    start->rc = status < 0 ? status : uv_timer_init(kn_loop_uv(hub->loop), &hub->timer);
    if (start->rc < 0) {
        return;
    }
    hub->timer.data = hub;
    hub->ticking = true;
    start->rc = uv_timer_start(&hub->timer, tick, 0, TICK_MS);
}

int srv_hub_start(struct srv_hub *hub) {
    struct start start = {.hub = hub, .rc = -EIO};
    int rc = kn_loop_start(hub->loop);
    if (rc < 0) {
        return rc;
    }
    hub->started = true;
    rc = kn_loop_call(hub->loop, start_ticking, &start);
    return rc < 0 ? rc : start.rc;
}

/* kn_loop_call runs it on the loop, or not at all. */
static void stop_ticking(void *user, int status) {
    struct srv_hub *hub = user;
    (void)status;
    if (hub->ticking) {
        hub->ticking = false;
        uv_close((uv_handle_t *)&hub->timer, NULL);
    }
    for (size_t i = 0; i < hub->count; i++) {
        leave(hub->streams[i]);
    }
    hub->count = 0;
}

void srv_hub_stop(struct srv_hub *hub) {
    if (!hub->started) {
        return;
    }
    hub->started = false;
    int rc = kn_loop_call(hub->loop, stop_ticking, hub);
    if (rc < 0) {
        kn_log_error("the thread of events did not end as it should", kn_err("error", rc));
    }
    kn_loop_stop(hub->loop);
}

void srv_hub_destroy(struct srv_hub *hub) {
    if (hub == NULL) {
        return;
    }
    srv_hub_stop(hub);
    kn_loop_destroy(hub->loop);
    (void)pthread_mutex_destroy(&hub->lock);
    free(hub->streams);
    free(hub);
}
