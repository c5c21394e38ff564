/* A line a request, through a thread of its own: a disk that is slow or full costs lines, which are
 * counted, and never a loop's time. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/queue.h"
#include "server/exchange/inner.h"

#define LINES_MAX 8192u
#define LINES_AT_ONCE 64u
#define PATH_BYTES 512u
/* Where nobody reads what is written (a pipe, the journal): looked at again, and given up. */
#define LOOK_MS 100
#define END_NS KN_NS_PER_S

struct line {
    size_t size;
    char text[];
};

struct srv_request_log {
    atomic_int mode; /* enum srv_log_requests */
    _Atomic uint64_t lost;
    struct kn_queue *lines;
    pthread_t thread;
    int fd; /* the same for its life, whatever file is behind it; -1: none yet */
    atomic_int_least64_t until_ns; /* monotonic: what cannot be written then is lost; 0: not yet */
};

static void discard(void *message, void *user) {
    struct srv_request_log *log = user;
    atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
    free(message);
}

/* ---- writing: its own thread ---- */

static int64_t now_ns(void) {
    const struct kn_clock *clock = kn_clock_system();
    return clock->mono(clock).ns;
}

/* Else a pipe that nobody reads would hold up the end. A line always fits where there is room. */
static bool wait_for_room(struct srv_request_log *log) {
    for (;;) {
        int64_t until_ns = atomic_load(&log->until_ns);
        bool over = until_ns != 0 && now_ns() >= until_ns;
        struct pollfd look = {.fd = log->fd, .events = POLLOUT};
        if (poll(&look, 1, over ? 0 : LOOK_MS) > 0) {
            return true;
        }
        if (over) {
            return false;
        }
    }
}

static bool write_all(struct srv_request_log *log, const char *text, size_t size) {
    while (size > 0) {
        ssize_t wrote = wait_for_room(log) ? write(log->fd, text, size) : 0;
        if (wrote < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (wrote <= 0) {
            return false;
        }
        text += wrote;
        size -= (size_t)wrote;
    }
    return true;
}

static void *write_lines(void *user) {
    struct srv_request_log *log = user;
    void *lines[LINES_AT_ONCE];
    int count;
    while ((count = kn_queue_wait(log->lines, lines, LINES_AT_ONCE)) > 0) {
        for (int i = 0; i < count; i++) {
            struct line *line = lines[i];
            if (!write_all(log, line->text, line->size)) {
                atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
            }
            free(line);
        }
    }
    return NULL;
}

/* ---- where to ---- */

static int open_file(const char *path) {
    int fd = path == NULL ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)
                          : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    return fd < 0 ? -errno : fd;
}

/* The writer's descriptor gets the other file, also where it waits for the old one. */
static int put_in_place(struct srv_request_log *log, int fd) {
    if (log->fd < 0) {
        log->fd = fd;
        return 0;
    }
    int rc = dup3(fd, log->fd, O_CLOEXEC) < 0 ? -errno : 0;
    (void)close(fd); /* nothing was written to it */
    return rc;
}

int srv_request_log_set(struct srv_request_log *log, enum srv_log_requests mode, const char *path) {
    int fd = open_file(path);
    int rc = fd < 0 ? fd : put_in_place(log, fd);
    if (rc == 0) {
        atomic_store(&log->mode, (int)mode);
    }
    return rc;
}

/* ---- its life ---- */

int srv_request_log_create(enum srv_log_requests mode, const char *path,
                           struct srv_request_log **ret_log) {
    struct srv_request_log *log = calloc(1, sizeof(*log));
    if (log == NULL) {
        return -ENOMEM;
    }
    const struct kn_queue_config config = {
        .max_messages = LINES_MAX,
        .when_full = KN_QUEUE_REFUSE,
        .discard = discard,
        .user = log,
    };
    log->fd = -1;
    int rc = srv_request_log_set(log, mode, path);
    if (rc == 0) {
        rc = kn_queue_create(&config, &log->lines);
    }
    if (rc == 0) {
        rc = -pthread_create(&log->thread, NULL, write_lines, log);
    }
    if (rc != 0) {
        kn_queue_destroy(log->lines);
        log->lines = NULL;
        srv_request_log_destroy(log);
        return rc;
    }
    (void)pthread_setname_np(log->thread, "http-log"); /* only a name */
    *ret_log = log;
    return 0;
}

void srv_request_log_destroy(struct srv_request_log *log) {
    if (log == NULL) {
        return;
    }
    if (log->lines != NULL) {
        atomic_store(&log->until_ns, now_ns() + END_NS);
        kn_queue_close(log->lines);
        (void)pthread_join(log->thread, NULL); /* ours, once */
        kn_queue_destroy(log->lines);
    }
    if (log->fd >= 0) {
        (void)close(log->fd); /* lines are not synced: a log is no record */
    }
    free(log);
}

uint64_t srv_request_log_lost(const struct srv_request_log *log) {
    return atomic_load_explicit(&log->lost, memory_order_relaxed);
}

/* ---- a line ---- */

static size_t format(const struct srv_request_line *line, char *text, size_t room) {
    char path[PATH_BYTES];
    const struct srv_exchange *exchange = line->exchange;
    const struct srv_http_request *request = exchange->request;
    const struct srv_principal *principal = exchange->door.principal;
    /* Without the query, where tokens and signatures may stand. */
    (void)snprintf(path, sizeof(path), "%.*s", request == NULL ? 1 : (int)request->path.size,
                   request == NULL ? "-" : request->path.data);
    const struct kn_field fields[] = {
        kn_str("id", exchange->id),
        kn_str("peer", exchange->peer.address),
        kn_str("principal", principal == NULL ? "-" : principal->name),
        kn_str("method", request == NULL ? "-" : srv_http_method_name(request->method)),
        kn_str("path", path),
        kn_int("status", exchange->response.status),
        kn_uint("in", exchange->received_bytes),
        kn_uint("out", exchange->response.body_bytes),
        kn_int("ms", line->took_ns / KN_NS_PER_MS),
        kn_str("route", exchange->match.route == NULL ? "-" : exchange->match.route->name),
        kn_str("fault",
               exchange->fault == SRV_HTTP_FINE ? "-" : srv_http_fault_name(exchange->fault)),
    };
    return kn_log_format(text, room, line->now, KN_LOG_INFO, "request", fields, KN_COUNT(fields));
}

static bool is_wanted(enum srv_log_requests mode, int status) {
    return mode == SRV_LOG_ALL || (mode == SRV_LOG_FAILED && (status >= 400 || status == 0));
}

void srv_request_log_add(struct srv_request_log *log, const struct srv_request_line *line) {
    char text[KN_LOG_LINE_BYTES];
    if (!is_wanted((enum srv_log_requests)atomic_load(&log->mode),
                   line->exchange->response.status)) {
        return;
    }
    size_t size = format(line, text, sizeof(text));
    struct line *made = malloc(sizeof(*made) + size);
    if (made != NULL) {
        made->size = size;
        memcpy(made->text, text, size);
    }
    if (made == NULL || kn_queue_send(log->lines, made, 0) != 0) {
        atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
        free(made);
    }
}
