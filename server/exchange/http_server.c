#include "server/exchange/http_server.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "server/exchange/inner.h"
#include "server/world.h"

#define LOOPS_MAX 64u
#define LOOPS_USUAL 4u
#define TICK_MS 1000u
/* Of all bodies that are gathered at a time. */
#define BODIES_BYTES ((size_t)64 * 1024 * 1024)
/* Past drain_ns everything was aborted at the next tick; a loop that still says nothing is stuck.
 */
#define DRAIN_MORE_NS (5 * KN_NS_PER_S)

/* A loop and its lane. */
struct track {
    struct srv_http_server *server;
    struct kn_loop *loop;
    struct srv_door *door;
    struct srv_lane *lane;
    uv_timer_t timer;
    bool ticking;
    bool drained; /* under the server's lock */
};

/* One owner, its starter. */
struct srv_http_server {
    struct srv_engine engine;
    struct srv_router *router;
    struct srv_transport *transport;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool draining;
    size_t count;
    struct track tracks[];
};

/* ---- the door, as the engine calls it ---- */

static void ask(void *door, const struct srv_visit *visit, struct srv_door_answer *ret_answer) {
    srv_door_ask(door, visit, ret_answer);
}

static void ask_blocking(void *gate, const struct srv_visit *visit,
                         struct srv_door_answer *ret_answer) {
    srv_door_ask_blocking(gate, visit, ret_answer);
}

static const struct srv_doorman doorman = {ask, ask_blocking, srv_door_answer_finish};

/* ---- what the transport tells ---- */

static void *opened(struct srv_conn *conn, struct kn_loop *loop, const struct srv_peer *peer,
                    void *user) {
    struct srv_http_server *server = user;
    for (size_t i = 0; i < server->count; i++) {
        if (server->tracks[i].loop == loop) {
            return srv_http_conn_open(server->tracks[i].lane, conn, peer);
        }
    }
    return NULL;
}

static const struct srv_conn_handler handler = {
    .opened = opened,
    .received = srv_http_conn_received,
    .ended = srv_http_conn_ended,
    .room = srv_http_conn_room,
    .closed = srv_http_conn_closed,
};

/* ---- tracks ---- */

static void handle_tick(uv_timer_t *timer) {
    struct track *track = timer->data;
    srv_lane_tick(track->lane);
}

static void handle_ring(void *message, void *user) {
    struct track *track = user;
    (void)message;
    srv_lane_turn(track->lane);
}

static void discard_ring(void *message, void *user) {
    (void)message;
    (void)user;
}

/* On the loop. */
static void begin_ticking(void *user, int status) {
    struct track *track = user;
    if (status == 0 && uv_timer_init(kn_loop_uv(track->loop), &track->timer) == 0) {
        track->timer.data = track;
        track->ticking = uv_timer_start(&track->timer, handle_tick, TICK_MS, TICK_MS) == 0;
    }
}

static void end_ticking(void *user, int status) {
    struct track *track = user;
    if (status == 0) {
        srv_lane_end(track->lane);
        kn_inbox_close(track->lane->bell);
        if (track->ticking) {
            uv_close((uv_handle_t *)&track->timer, NULL);
        }
    }
}

static int start_track(struct srv_http_server *server, struct track *track, struct srv_gate *gate) {
    char name[16];
    struct kn_loop_config config = kn_loop_config_defaults();
    const struct kn_inbox_config bell = {
        .max_messages = 1,
        .when_full = KN_QUEUE_REFUSE,
        .handle_message = handle_ring,
        .discard = discard_ring,
        .user = track,
    };
    (void)snprintf(name, sizeof(name), "http-%u", (unsigned)(track - server->tracks));
    config.name = name;
    track->server = server;
    int rc = srv_door_open(gate, &track->door);
    if (rc == 0) {
        rc = srv_lane_create(&server->engine, track->door, &track->lane);
    }
    if (rc == 0) {
        rc = kn_loop_create(&config, &track->loop);
    }
    if (rc == 0) {
        track->lane->loop = track->loop;
        rc = kn_inbox_open(track->loop, &bell, &track->lane->bell);
    }
    if (rc == 0) {
        rc = kn_loop_start(track->loop);
    }
    if (rc == 0) {
        rc = kn_loop_call(track->loop, begin_ticking, track);
    }
    return rc != 0 || track->ticking ? rc : -ENOMEM;
}

/* Workers have stopped, connections are gone. */
static void stop_track(struct track *track) {
    if (track->ticking && kn_loop_call(track->loop, end_ticking, track) != 0) {
        kn_log_error("a loop has ended by itself", kn_str("loop", "http"));
    }
    if (track->loop != NULL) {
        kn_loop_destroy(track->loop);
    }
    if (track->lane != NULL) {
        srv_lane_end(track->lane);
    }
    srv_lane_unref(track->lane);
    srv_door_close(track->door);
}

/* ---- starting ---- */

struct srv_http_server_config srv_http_server_config_defaults(void) {
    return (struct srv_http_server_config){
        .transport = srv_transport_config_defaults(),
        .workers = 4,
        .queue = 1024,
        .times =
            {
                .head_ns = 10 * KN_NS_PER_S,
                .body_ns = 60 * KN_NS_PER_S,
                .write_ns = 30 * KN_NS_PER_S,
                .idle_ns = 60 * KN_NS_PER_S,
                .drain_ns = 10 * KN_NS_PER_S,
                .least_bytes_per_s = 240,
            },
        .body_bytes = (uint64_t)1024 * 1024,
        .log_requests = SRV_LOG_ALL,
    };
}

static size_t count_loops(size_t wanted) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (wanted > 0) {
        return wanted < LOOPS_MAX ? wanted : LOOPS_MAX;
    }
    return processors < 1 ? 1 : processors < (long)LOOPS_USUAL ? (size_t)processors : LOOPS_USUAL;
}

static void init_sync(struct srv_http_server *server) {
    pthread_condattr_t attributes;
    KN_ASSERT(pthread_mutex_init(&server->lock, NULL) == 0); /* glibc's cannot fail like this */
    KN_ASSERT(pthread_condattr_init(&attributes) == 0);
    KN_ASSERT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    KN_ASSERT(pthread_cond_init(&server->changed, &attributes) == 0);
    (void)pthread_condattr_destroy(&attributes); /* nor this */
}

static int make_engine(struct srv_http_server *server,
                       const struct srv_http_server_config *config) {
    struct srv_engine *engine = &server->engine;
    engine->world = config->world;
    engine->clock = config->world->clock;
    engine->times = config->times;
    engine->body_bytes = config->body_bytes;
    engine->doorman = &doorman;
    engine->gate = config->world->gate;
    int rc = srv_router_create(config->routes, config->route_tables, &server->router);
    if (rc != 0) {
        return rc;
    }
    engine->router = server->router;
    while (srv_router_row(server->router, engine->rows) != NULL) {
        engine->rows++;
    }
    rc = kn_budget_create(BODIES_BYTES, NULL, &engine->bodies);
    if (rc == 0) {
        rc = srv_request_log_create(config->log_requests, config->log_file, &engine->log);
    }
    const struct srv_workers_config workers = {config->workers > 0 ? config->workers : 1,
                                               config->queue, config->world};
    return rc == 0 ? srv_workers_create(&workers, &engine->workers) : rc;
}

static int start_tracks(struct srv_http_server *server, size_t loops, struct srv_gate *gate) {
    for (size_t i = 0; i < loops; i++) {
        int rc = start_track(server, &server->tracks[server->count++], gate);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int open_transport(struct srv_http_server *server, const struct srv_transport_config *config,
                          char problem[static SRV_PROBLEM_BYTES]) {
    struct kn_loop *loops[LOOPS_MAX];
    struct srv_transport_config used = *config;
    for (size_t i = 0; i < server->count; i++) {
        loops[i] = server->tracks[i].loop;
    }
    used.loops = loops;
    used.loop_count = server->count;
    used.handler = &handler;
    used.user = server;
    return srv_transport_open(&used, &server->transport, problem);
}

int srv_http_server_start(const struct srv_http_server_config *config,
                          struct srv_http_server **ret_server,
                          char problem[static SRV_PROBLEM_BYTES]) {
    size_t loops = count_loops(config->loops);
    struct srv_http_server *server = calloc(1, sizeof(*server) + loops * sizeof(server->tracks[0]));
    if (server == NULL) {
        (void)snprintf(problem, SRV_PROBLEM_BYTES, "%s", kn_error_text(-ENOMEM));
        return -ENOMEM;
    }
    init_sync(server);
    int rc = make_engine(server, config);
    if (rc == 0) {
        rc = start_tracks(server, loops, config->world->gate);
    }
    if (rc != 0) {
        (void)snprintf(problem, SRV_PROBLEM_BYTES, "HTTP cannot start: %s", kn_error_text(rc));
    } else {
        rc = open_transport(server, &config->transport, problem);
    }
    if (rc != 0) {
        srv_http_server_stop(server);
        return rc;
    }
    *ret_server = server;
    return 0;
}

/* ---- stopping ---- */

/* On the loop. */
static void handle_drained(struct srv_lane *lane, void *user) {
    struct track *track = user;
    (void)lane;
    (void)pthread_mutex_lock(&track->server->lock);
    track->drained = true;
    (void)pthread_cond_broadcast(&track->server->changed);
    (void)pthread_mutex_unlock(&track->server->lock);
}

static void drain_lane(void *user, int status) {
    struct track *track = user;
    if (status == 0) {
        srv_lane_drain(track->lane, handle_drained, track);
    }
}

static bool all_drained(const struct srv_http_server *server) {
    for (size_t i = 0; i < server->count; i++) {
        if (!server->tracks[i].drained) {
            return false;
        }
    }
    return true;
}

static struct timespec after(int64_t ns) {
    int64_t until_ns = kn_clock_system()->mono(kn_clock_system()).ns + ns;
    return (struct timespec){.tv_sec = (time_t)(until_ns / KN_NS_PER_S),
                             .tv_nsec = (long)(until_ns % KN_NS_PER_S)};
}

void srv_http_server_drain(struct srv_http_server *server) {
    if (server->draining || server->transport == NULL) {
        return;
    }
    server->draining = true;
    srv_transport_stop(server->transport);
    for (size_t i = 0; i < server->count; i++) {
        if (kn_loop_call(server->tracks[i].loop, drain_lane, &server->tracks[i]) != 0) {
            kn_log_error("a loop does not drain", kn_uint("loop", i));
        }
    }
    struct timespec deadline = after(server->engine.times.drain_ns + DRAIN_MORE_NS);
    int rc = 0;
    (void)pthread_mutex_lock(&server->lock);
    while (!all_drained(server) && rc == 0) {
        rc = pthread_cond_timedwait(&server->changed, &server->lock, &deadline);
    }
    (void)pthread_mutex_unlock(&server->lock);
}

void srv_http_server_stop(struct srv_http_server *server) {
    if (server == NULL) {
        return;
    }
    srv_http_server_drain(server);
    /* Requests whose peers went are still with workers, and may look at any part of it. */
    if (server->engine.workers != NULL) {
        srv_workers_stop(server->engine.workers);
    }
    srv_transport_close(server->transport);
    for (size_t i = 0; i < server->count; i++) {
        stop_track(&server->tracks[i]);
    }
    srv_workers_destroy(server->engine.workers);
    srv_request_log_destroy(server->engine.log);
    kn_budget_unref(server->engine.bodies);
    srv_router_destroy(server->router);
    (void)pthread_cond_destroy(&server->changed);
    (void)pthread_mutex_destroy(&server->lock);
    free(server);
}

/* ---- looking ---- */

struct srv_transport *srv_http_server_transport(struct srv_http_server *server) {
    return server->transport;
}

struct kn_loop *srv_http_server_loop(struct srv_http_server *server) {
    return server->tracks[0].loop;
}

const struct srv_router *srv_http_server_router(const struct srv_http_server *server) {
    return server->router;
}

int srv_http_server_log(struct srv_http_server *server, enum srv_log_requests mode,
                        const char *path) {
    return srv_request_log_set(server->engine.log, mode, path);
}

/* A task on every loop and one on a worker; whoever comes last frees it, as the asker may be gone.
 */
struct probe {
    struct srv_job job;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock: */
    size_t missing, refs;
    bool failed;
};

static void probe_unref(struct probe *probe) {
    (void)pthread_mutex_lock(&probe->lock);
    bool last = --probe->refs == 0;
    (void)pthread_mutex_unlock(&probe->lock);
    if (last) {
        (void)pthread_cond_destroy(&probe->changed);
        (void)pthread_mutex_destroy(&probe->lock);
        free(probe);
    }
}

static void probe_heard(struct probe *probe, bool fine) {
    (void)pthread_mutex_lock(&probe->lock);
    probe->missing--;
    probe->failed = probe->failed || !fine;
    (void)pthread_cond_signal(&probe->changed);
    (void)pthread_mutex_unlock(&probe->lock);
    probe_unref(probe);
}

static void probe_loop(void *user, int status) {
    probe_heard(user, status == 0);
}

static void probe_worker(struct srv_job *job, struct srv_worker *worker) {
    probe_heard((struct probe *)job, worker != NULL);
}

static struct probe *probe_create(void) {
    pthread_condattr_t attributes;
    struct probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        return NULL;
    }
    KN_ASSERT(pthread_mutex_init(&probe->lock, NULL) == 0); /* as in init_sync */
    KN_ASSERT(pthread_condattr_init(&attributes) == 0);
    KN_ASSERT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    KN_ASSERT(pthread_cond_init(&probe->changed, &attributes) == 0);
    (void)pthread_condattr_destroy(&attributes); /* nor this */
    probe->job.run = probe_worker;
    probe->refs = 1;
    return probe;
}

/* One more is to be heard of; `sent` false: it will not be. */
static void probe_expect(struct probe *probe, bool sent) {
    (void)pthread_mutex_lock(&probe->lock);
    if (sent) {
        probe->missing++;
        probe->refs++;
    } else {
        probe->missing--;
        probe->refs--; /* the asker's is left */
        probe->failed = true;
    }
    (void)pthread_mutex_unlock(&probe->lock);
}

bool srv_http_server_answers(struct srv_http_server *server, int64_t ns) {
    struct timespec deadline = after(ns);
    struct probe *probe = probe_create();
    if (probe == NULL) {
        return false;
    }
    for (size_t i = 0; i < server->count; i++) {
        probe_expect(probe, true);
        if (kn_loop_post(server->tracks[i].loop, probe_loop, probe) != 0) {
            probe_expect(probe, false);
        }
    }
    probe_expect(probe, true);
    if (srv_workers_hurry(server->engine.workers, &probe->job) != 0) {
        probe_expect(probe, false);
    }
    int rc = 0;
    (void)pthread_mutex_lock(&probe->lock);
    while (probe->missing > 0 && !probe->failed && rc == 0) {
        rc = pthread_cond_timedwait(&probe->changed, &probe->lock, &deadline);
    }
    bool answers = probe->missing == 0 && !probe->failed;
    (void)pthread_mutex_unlock(&probe->lock);
    probe_unref(probe);
    return answers;
}

static void add_lane(struct srv_http_stats *stats, const struct srv_lane_counts *counts) {
    stats->requests_open += atomic_load_explicit(&counts->requests_open, memory_order_relaxed);
    stats->flows_open += atomic_load_explicit(&counts->flows_open, memory_order_relaxed);
    stats->requests += atomic_load_explicit(&counts->requests, memory_order_relaxed);
    stats->timeouts += atomic_load_explicit(&counts->timeouts, memory_order_relaxed);
    stats->busy += atomic_load_explicit(&counts->busy, memory_order_relaxed);
    for (size_t i = 0; i < KN_COUNT(stats->faults); i++) {
        stats->faults[i] += atomic_load_explicit(&counts->faults[i], memory_order_relaxed);
    }
    for (size_t i = 0; i < KN_COUNT(stats->denied); i++) {
        stats->denied[i] += atomic_load_explicit(&counts->denied[i], memory_order_relaxed);
    }
}

struct srv_http_stats srv_http_server_stats(struct srv_http_server *server) {
    struct srv_http_stats stats = {
        .transport = srv_transport_stats(server->transport),
        .log_lines_lost = srv_request_log_lost(server->engine.log),
    };
    for (size_t i = 0; i < server->count; i++) {
        add_lane(&stats, &server->tracks[i].lane->counts);
    }
    srv_workers_load(server->engine.workers, &stats.workers_busy, &stats.worker_queue);
    return stats;
}

static void add_route(struct srv_route_stats *stats, const struct srv_route_counts *counts) {
    for (size_t i = 0; i < KN_COUNT(stats->by_status); i++) {
        stats->by_status[i] += atomic_load_explicit(&counts->by_status[i], memory_order_relaxed);
    }
    for (size_t i = 0; i < SRV_LATENCY_BUCKETS; i++) {
        stats->latency[i] += atomic_load_explicit(&counts->latency[i], memory_order_relaxed);
    }
    stats->latency_sum_ns += atomic_load_explicit(&counts->latency_sum_ns, memory_order_relaxed);
    stats->received_bytes += atomic_load_explicit(&counts->received_bytes, memory_order_relaxed);
    stats->sent_bytes += atomic_load_explicit(&counts->sent_bytes, memory_order_relaxed);
}

struct srv_route_stats srv_http_server_route_stats(struct srv_http_server *server, size_t at) {
    struct srv_route_stats stats = {.received_bytes = 0};
    if (at < server->engine.rows) {
        for (size_t i = 0; i < server->count; i++) {
            add_route(&stats, &server->tracks[i].lane->routes[at]);
        }
    }
    return stats;
}
