/* How the parts of server/exchange/ see each other.
 *
 *   routes.c         which row takes a request
 *   output.c         what waits to be sent
 *   connection.c     bytes in and out of one connection, in order
 *   clockwork.c      what is late, once a second; draining
 *   request.c        an exchange from its head to its handler: routing, door, body
 *   exchange.c       what handlers may ask of an exchange
 *   answer.c         answers as a whole
 *   answer_errors.c  errors
 *   flow.c           answers that go on
 *   lane.c           what belongs to one loop; coming back to it from other threads
 *   workers.c        threads for what blocks
 *   request_log.c    a line a request
 *   http_server.c    all of it together
 *
 * A connection and its exchange belong to one loop's lane. An exchange is lent to a worker for a
 * job (phase SRV_PHASE_DOOR or SRV_PHASE_WORK); until it comes back the loop only changes what the
 * worker does not look at: `conn`, `parser`, `posts`. The work of a flow (srv_exchange_work) looks
 * at `work`, `worker` and `user` alone. */
#ifndef SERVER_EXCHANGE_INNER_H
#define SERVER_EXCHANGE_INNER_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "server/auth/door.h"
#include "server/exchange/exchange.h"
#include "server/exchange/http_server.h"
#include "server/exchange/output.h"
#include "server/exchange/routes.h"
#include "server/http/response.h"

struct srv_request_log;
struct srv_workers;

/* ---- shared by all loops ---- */

/* The door, so that tests can stand in for it. */
struct srv_doorman {
    void (*ask)(void *door, const struct srv_visit *visit, struct srv_door_answer *ret_answer);
    void (*ask_blocking)(void *gate, const struct srv_visit *visit,
                         struct srv_door_answer *ret_answer);
    void (*finish)(struct srv_door_answer *answer);
};

/* Constant while there are lanes. */
struct srv_engine {
    struct srv_world *world;
    const struct kn_clock *clock;
    struct srv_http_times times;
    uint64_t body_bytes; /* of routes that say none */
    const struct srv_router *router;
    size_t rows;
    const struct srv_doorman *doorman;
    void *gate;
    struct srv_workers *workers; /* NULL: their jobs are done at once, on the loop */
    struct srv_request_log *log; /* NULL: none */
    struct kn_budget *bodies;    /* of all bodies that are gathered */
};

/* ---- jobs for workers ---- */

struct srv_worker;

/* `worker` NULL: it will not be done, and must only come back. */
struct srv_job {
    struct srv_job *next;
    /* A password is hashed: half of the threads do so at most, and a quarter of the queue waits for
     * it. Whoever guesses must not keep all others waiting. */
    bool hashes;
    void (*run)(struct srv_job *job, struct srv_worker *worker);
};

struct srv_workers_config {
    size_t threads; /* 0: none; who has the pool runs srv_workers_turn */
    size_t queue;
    struct srv_world *world;
};
KN_MUST_CHECK int srv_workers_create(const struct srv_workers_config *config,
                                     struct srv_workers **ret_workers);
/* Any thread. 0, -EAGAIN (the queue is full), KN_E_CLOSED. */
KN_MUST_CHECK int srv_workers_give(struct srv_workers *workers, struct srv_job *job);
/* In front of all others, and however many there are. */
KN_MUST_CHECK int srv_workers_hurry(struct srv_workers *workers, struct srv_job *job);
/* Without threads: does one job, if there is one. */
bool srv_workers_turn(struct srv_workers *workers);
/* Jobs at hand end, those that wait are cancelled; joins. */
void srv_workers_stop(struct srv_workers *workers);
void srv_workers_destroy(struct srv_workers *workers);
void srv_workers_load(struct srv_workers *workers, size_t *ret_busy, size_t *ret_waiting);
/* The worker's own archive, opened when it is first asked for. */
struct frag_archive *srv_worker_archive(struct srv_worker *worker);

/* ---- the request log ---- */

struct srv_request_line {
    const struct srv_exchange *exchange;
    struct kn_wall now;
    int64_t took_ns;
};
/* As srv_http_server_log. */
KN_MUST_CHECK int srv_request_log_create(enum srv_log_requests mode, const char *path,
                                         struct srv_request_log **ret_log);
KN_MUST_CHECK int srv_request_log_set(struct srv_request_log *log, enum srv_log_requests mode,
                                      const char *path);
/* Never blocks. */
void srv_request_log_add(struct srv_request_log *log, const struct srv_request_line *line);
uint64_t srv_request_log_lost(const struct srv_request_log *log);
/* Writes what waits, for 1 s where it is not taken. NULL is fine. */
void srv_request_log_destroy(struct srv_request_log *log);

/* ---- a loop's own ---- */

/* Written by the loop, read by any thread. */
struct srv_route_counts {
    _Atomic uint64_t by_status[6], latency[SRV_LATENCY_BUCKETS], latency_sum_ns;
    _Atomic uint64_t received_bytes, sent_bytes;
};
struct srv_lane_counts {
    _Atomic size_t requests_open, flows_open;
    _Atomic uint64_t requests, faults[32], denied[3], timeouts, busy;
};

struct srv_lane {
    atomic_size_t refs; /* who made it, and each exchange */
    const struct srv_engine *engine;
    void *door;
    struct kn_loop *loop;  /* NULL: a test */
    struct kn_inbox *bell; /* rung when something was posted; NULL: tests look themselves */
    /* The loop's: */
    struct srv_http_conn *first;
    size_t open; /* connections that are not closing */
    bool draining;
    int64_t drain_until_ns;
    void (*drained)(struct srv_lane *lane, void *user); /* draining, and `open` is 0 */
    void *drained_user;
    char date[SRV_HTTP_DATE_BYTES];
    int64_t date_s;
    uint64_t ids[2];
    /* Any thread's: */
    _Atomic(struct srv_exchange *) posted; /* a stack */
    atomic_bool over;                      /* nobody looks at `posted` any more */
    struct srv_lane_counts counts;
    struct srv_route_counts *routes; /* of engine->rows */
};

/* 0, -ENOMEM, or the random source's errno. */
KN_MUST_CHECK int srv_lane_create(const struct srv_engine *engine, void *door,
                                  struct srv_lane **ret_lane);
void srv_lane_unref(struct srv_lane *lane);
/* Any thread: the exchange, with a reference, comes to srv_lane_turn. */
void srv_lane_push(struct srv_lane *lane, struct srv_exchange *exchange);
/* Loop thread: what came back from other threads. */
void srv_lane_turn(struct srv_lane *lane);
/* Loop thread: what is late. About once a second. */
void srv_lane_tick(struct srv_lane *lane);
/* Loop thread. */
void srv_lane_drain(struct srv_lane *lane, void (*drained)(struct srv_lane *lane, void *user),
                    void *user);
/* The loop has ended, and all connections with it. */
void srv_lane_end(struct srv_lane *lane);
const char *srv_lane_date(struct srv_lane *lane);

/* ---- exchanges ---- */

enum srv_phase {
    SRV_PHASE_HEAD,    /* the loop decides */
    SRV_PHASE_DOOR,    /* a worker decides for the door */
    SRV_PHASE_BODY,    /* a body is gathered or dropped before the handler's turn */
    SRV_PHASE_WORK,    /* with a worker, or about to be */
    SRV_PHASE_FLOW,    /* a flow goes on */
    SRV_PHASE_ANSWERED /* all of the answer is queued; what still comes of the body is dropped */
};

enum { SRV_POST_WAKE = 1, SRV_POST_BACK = 2, SRV_POST_CLOSED = 4 };

/* Of an answer that is not yet written. */
#define SRV_FIELDS_MAX 16u
struct srv_answer {
    bool given, no_memory;
    int status;
    size_t field_count;
    struct {
        const char *name;
        char *value;
    } fields[SRV_FIELDS_MAX];
    char type[96];
    /* One of these: */
    void *data; /* malloc's, `size` bytes */
    size_t size;
    struct kn_buffer *buffer;
    int fd; /* -1: none */
    uint64_t offset, file_bytes;
};

struct srv_exchange {
    atomic_size_t refs;
    atomic_uint posts; /* SRV_POST_ bits */
    struct srv_exchange *next_posted;
    struct srv_job job;
    const struct srv_engine *engine;
    struct srv_lane *lane;          /* a reference */
    struct srv_http_conn *conn;     /* NULL: gone. Loop thread */
    struct srv_http_parser *parser; /* once its connection is gone */
    enum srv_phase phase;
    const struct srv_http_request *request; /* NULL: its head could not be read */
    struct srv_peer peer;
    char id[33];
    struct kn_wall since;
    int64_t began_ns;
    /* What routing and the door said. */
    struct srv_match match;
    char *parameters; /* their values, each with a NUL */
    const char *stream;
    struct srv_door_answer door;
    bool hash_body; /* the door asks for it */
    bool door_asked_worker;
    bool body_hashed;
    uint8_t body_sha256[32];
    enum srv_http_fault_kind fault;
    /* The body. */
    bool has_body, body_read; /* one is announced; its end came */
    bool gathers;
    struct kn_writer body;
    size_t claimed; /* of engine->bodies */
    uint64_t received_bytes, dropped_bytes;
    json_t *json;
    /* The answer. */
    struct srv_worker *worker;
    struct srv_answer answer;
    char reason[128]; /* of an error, for the log; cut is fine */
    struct srv_http_response response;
    bool head_written, busy;
    /* The flow. */
    const struct srv_flow *flow;
    void *user;
    bool paused, body_end_told, wants_room, was_flow, drain_told, over;
    void (*work)(struct srv_exchange *exchange, void *user); /* not NULL: a worker has it */
    bool over_waits;                                         /* ... and its connection is gone */
    int64_t idle_ns;
    char base_url[320];
};

/* Loop thread. NULL: no memory. `request` may be NULL. */
struct srv_exchange *srv_exchange_create(struct srv_http_conn *conn,
                                         const struct srv_http_request *request);
/* Routing and the door, behind REQUEST. */
void srv_exchange_admit(struct srv_exchange *exchange);
/* The end of its body came. */
void srv_exchange_body_complete(struct srv_exchange *exchange);
/* Its connection's input is wrong: answers, or tells the flow. */
void srv_exchange_fault(struct srv_exchange *exchange, const struct srv_http_fault *fault);
/* Bytes for SRV_PHASE_BODY that is gathered. Answers itself where they cannot be. */
void srv_exchange_gather(struct srv_exchange *exchange, const void *data, size_t size);
/* Whether a body waits to be read. */
bool srv_exchange_wants_body(const struct srv_exchange *exchange);
/* A worker is done with it. */
void srv_exchange_come_back(struct srv_exchange *exchange);
/* Any thread. */
void srv_exchange_post(struct srv_exchange *exchange, unsigned what);
/* Counts, logs, tells the flow; once, on the loop. `conn` is gone from it before. */
void srv_exchange_over(struct srv_exchange *exchange);

/* Writes what was answered, if the connection is there. On the loop. */
void srv_exchange_write_answer(struct srv_exchange *exchange);
void srv_answer_finish(struct srv_answer *answer);
/* The code that goes with a status: "ResourceNotFoundException". */
const char *srv_answer_code(int status);
/* Status and fields into the output. 0, or below: broken off. */
KN_MUST_CHECK int srv_exchange_write_head(struct srv_exchange *exchange, uint64_t length);
/* "https://camera.example", into `room`. Pure. */
void srv_base_url_make(const char *public_url, struct srv_http_text authority,
                       const struct srv_peer *peer, char *room, size_t room_bytes);

/* ---- connections ---- */

#define SRV_DROP_MAX ((uint64_t)64 * 1024)

enum srv_conn_state {
    SRV_CONN_IDLE,     /* between requests */
    SRV_CONN_HEAD,     /* part of a head is there */
    SRV_CONN_EXCHANGE, /* a request is being answered */
    SRV_CONN_CLOSING   /* nothing more is read or written */
};

/* One owner, the transport, until `closed`. */
struct srv_http_conn {
    struct srv_conn *conn;
    struct srv_lane *lane;
    struct srv_http_conn *next, *prev;
    struct srv_peer peer;
    struct srv_http_parser *parser;
    enum srv_conn_state state;
    struct srv_exchange *exchange; /* a reference */
    struct srv_output output;
    /* What was received and not yet taken: `held_body` bytes of a body, then bytes for the parser.
     */
    char *held;
    size_t held_bytes, held_body;
    unsigned depth; /* inside of how many of our own calls; outside of them nothing is settled */
    bool receiving, ended;
    bool hungry;      /* the parser has told all it can without more bytes */
    bool deaf;        /* the input was wrong, and is not looked at any more */
    int64_t since_ns; /* of the state; of a body its beginning */
    int64_t received_ns, sent_ns, stalled_ns; /* stalled: the last tick with nothing to send */
    uint64_t section_bytes;                   /* received since `since_ns` */
};

/* As struct srv_conn_handler has them. */
struct srv_http_conn *srv_http_conn_open(struct srv_lane *lane, struct srv_conn *conn,
                                         const struct srv_peer *peer);
void srv_http_conn_received(void *owner, const void *data, size_t size);
void srv_http_conn_ended(void *owner);
void srv_http_conn_room(void *owner);
void srv_http_conn_closed(void *owner);

/* Around what may change a connection from outside of the calls above. */
void srv_http_conn_enter(struct srv_http_conn *conn);
void srv_http_conn_leave(struct srv_http_conn *conn);
/* Something was queued: send it; whoever is inside settles, else `room` will. */
void srv_http_conn_touch(struct srv_http_conn *conn);
/* A body begins, and is expected from now on. */
void srv_http_conn_expect_body(struct srv_http_conn *conn);
/* As much as the transport takes. */
void srv_http_conn_flush(struct srv_http_conn *conn);
/* At once; what is not sent is lost. */
void srv_http_conn_abort(struct srv_http_conn *conn);
/* Says goodbye and drops what still comes. */
void srv_http_conn_finish(struct srv_http_conn *conn);
/* The peer was too slow: 408 where that can be said. */
void srv_http_conn_time_out(struct srv_http_conn *conn);

#endif
