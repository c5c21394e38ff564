#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "server/transport/inner.h"

#define ACCEPTS_A_TURN 64
#define PAUSE_MS 100
/* A peer that is gone without a word is found after 60 + 4 * 15 s. */
#define KEEPALIVE_IDLE_S 60
#define KEEPALIVE_EVERY_S 15
#define KEEPALIVE_PROBES 4

static void poll_listeners(struct srv_acceptor *acceptor);

/* ---- pausing ---- */

/* Unix sockets have some in reserve: who looks after the server gets in when others fill it. */
static bool is_full(const struct srv_listener *listener) {
    struct srv_transport *transport = listener->acceptor->transport;
    bool local = listener->bound.sock.any.sa_family == AF_UNIX;
    return atomic_load(&transport->connections) >=
           transport->max_connections + (local ? SRV_LOCAL_RESERVE : 0);
}

static void stop_polling(struct srv_listener *listener) {
    if (listener->polled) {
        (void)uv_poll_stop(&listener->poll); /* always 0 */
        listener->polled = false;
    }
}

static void handle_pause(uv_timer_t *timer) {
    poll_listeners(timer->data);
}

static void pause_accepting(struct srv_acceptor *acceptor, int error) {
    atomic_fetch_add_explicit(&acceptor->transport->failed_accepts, 1, memory_order_relaxed);
    if (!acceptor->told) {
        acceptor->told = true;
        kn_log_warn("connections cannot be accepted, trying again every 100 ms",
                    kn_err("error", error));
    }
    for (size_t i = 0; i < acceptor->transport->listener_count; i++) {
        stop_polling(&acceptor->transport->listeners[i]);
    }
    (void)uv_timer_start(&acceptor->pause, handle_pause, PAUSE_MS, 0);
}

/* ---- one new connection ---- */

static struct srv_carrier *fewest(struct srv_transport *transport) {
    struct srv_carrier *best = &transport->carriers[0];
    for (size_t i = 1; i < transport->carrier_count; i++) {
        struct srv_carrier *carrier = &transport->carriers[i];
        if (atomic_load(&carrier->connections) < atomic_load(&best->connections)) {
            best = carrier;
        }
    }
    return best;
}

/* Conveniences: a connection without them works too. */
static void set_options(int fd) {
    int on = 1;
    int idle = KEEPALIVE_IDLE_S;
    int every = KEEPALIVE_EVERY_S;
    int probes = KEEPALIVE_PROBES;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static int describe_local(int fd, struct srv_peer *peer) {
    struct ucred who;
    socklen_t size = sizeof(who);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0) {
        return -errno;
    }
    peer->local = true;
    peer->uid = who.uid;
    (void)snprintf(peer->address, sizeof(peer->address), "unix:%u", (unsigned)who.uid);
    return 0;
}

static int describe(int fd, const struct srv_address *from, bool tls, struct srv_peer *peer) {
    struct srv_address ours = {.size = sizeof(ours.sock)};
    if (getsockname(fd, &ours.sock.any, &ours.size) < 0) {
        return -errno;
    }
    peer->tls = tls;
    if (ours.sock.any.sa_family == AF_UNIX) {
        return describe_local(fd, peer);
    }
    char text[SRV_LISTEN_BYTES];
    srv_address_print(from, text);
    (void)snprintf(peer->address, sizeof(peer->address), "%.*s", (int)sizeof(peer->address) - 1,
                   text);
    peer->port = srv_address_port(&ours);
    peer->loopback = srv_address_is_loopback(&ours);
    return 0;
}

static void count_in(struct srv_transport *transport, struct srv_link *link) {
    size_t now = atomic_fetch_add(&transport->connections, 1) + 1;
    atomic_fetch_add(&link->carrier->connections, 1);
    atomic_fetch_add_explicit(&transport->accepted, 1, memory_order_relaxed);
    /* Only this thread raises it. */
    if (now > atomic_load_explicit(&transport->most_connections, memory_order_relaxed)) {
        atomic_store_explicit(&transport->most_connections, now, memory_order_relaxed);
    }
}

/* 0: taken over. Below: the descriptor is still the caller's. */
static int make_link(const struct srv_listener *listener, int fd, const struct srv_address *from) {
    struct srv_transport *transport = listener->acceptor->transport;
    struct srv_link *link = calloc(1, sizeof(*link));
    struct srv_peer *peer = calloc(1, sizeof(*peer));
    int rc = link == NULL || peer == NULL ? -ENOMEM : describe(fd, from, listener->tls, peer);
    if (rc < 0) {
        free(link);
        free(peer);
        return rc;
    }
    *link = (struct srv_link){.carrier = fewest(transport), .fd = fd, .peer = peer};
    link->tls = listener->tls;
    link->counted = !peer->local && !peer->loopback;
    if (link->counted) {
        link->key = srv_peers_key(from);
        if (!srv_peers_enter(transport->peers, &link->key)) {
            atomic_fetch_add_explicit(&transport->refused_per_address, 1, memory_order_relaxed);
            free(link);
            free(peer);
            return -EUSERS;
        }
    }
    if (!peer->local) {
        set_options(fd);
    }
    count_in(transport, link);
    srv_carrier_give(link->carrier, link);
    return 0;
}

/* ---- accepting ---- */

static bool is_shortage(int error) {
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

/* False: enough for now. */
static bool accept_one(const struct srv_listener *listener) {
    struct srv_acceptor *acceptor = listener->acceptor;
    struct srv_address from = {.size = sizeof(from.sock)};
    int fd = accept4(listener->fd, &from.sock.any, &from.size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int rc = fd < 0 ? -errno : 0;
    if (fd >= acceptor->transport->max_descriptors) {
        rc = -EMFILE;
    } else if (fd >= 0) {
        rc = make_link(listener, fd, &from);
    }
    if (rc == 0) {
        acceptor->told = false;
        return true;
    }
    if (fd >= 0) {
        (void)close(fd); /* nothing was sent by it */
    }
    if (is_shortage(-rc)) {
        pause_accepting(acceptor, rc);
        return false;
    }
    return rc != -EAGAIN; /* else that one was refused, or is gone already */
}

static void handle_listener(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events; /* whatever it was, accept4 tells */
    struct srv_listener *listener = poll->data;
    bool more = true;
    for (int i = 0; i < ACCEPTS_A_TURN && more && !is_full(listener); i++) {
        more = accept_one(listener);
    }
    if (is_full(listener)) {
        stop_polling(listener); /* srv_acceptor_recheck comes when one is gone */
    }
}

static void poll_listeners(struct srv_acceptor *acceptor) {
    struct srv_transport *transport = acceptor->transport;
    if (uv_is_active((uv_handle_t *)&acceptor->pause)) {
        return;
    }
    for (size_t i = 0; i < transport->listener_count; i++) {
        struct srv_listener *listener = &transport->listeners[i];
        if (!listener->polled && !is_full(listener)) {
            listener->polled = uv_poll_start(&listener->poll, UV_READABLE, handle_listener) == 0;
        }
    }
}

/* ---- starting and stopping ---- */

static void unlink_local(const struct srv_listener *listener) {
    const char *path = listener->bound.sock.local.sun_path;
    struct stat file;
    if (lstat(path, &file) == 0 && file.st_dev == listener->device &&
        file.st_ino == listener->inode && unlink(path) < 0) {
        kn_log_warn("a unix socket stays behind", kn_str("path", path), kn_err("error", -errno));
    }
}

void srv_acceptor_drop(struct srv_listener *listener) {
    if (listener->bound.sock.any.sa_family == AF_UNIX) {
        unlink_local(listener);
    }
    (void)close(listener->fd); /* who waits there is reset */
    listener->fd = -1;
}

static void handle_closed(uv_handle_t *handle) {
    struct srv_acceptor *acceptor = handle->data;
    if (--acceptor->handles == 0) {
        struct srv_transport *transport = acceptor->transport;
        (void)pthread_mutex_lock(&transport->lock);
        acceptor->has_ended = true;
        (void)pthread_cond_broadcast(&transport->ended);
        (void)pthread_mutex_unlock(&transport->lock);
    }
}

static void handle_listener_closed(uv_handle_t *handle) {
    struct srv_listener *listener = handle->data;
    handle->data = listener->acceptor;
    handle_closed(handle);
}

static void close_all(struct srv_acceptor *acceptor) {
    struct srv_transport *transport = acceptor->transport;
    for (size_t i = 0; i < transport->listener_count; i++) {
        struct srv_listener *listener = &transport->listeners[i];
        if (listener->poll.data == NULL) {
            continue; /* the start did not come so far */
        }
        uv_close((uv_handle_t *)&listener->poll, handle_listener_closed);
        srv_acceptor_drop(listener);
    }
    uv_close((uv_handle_t *)&acceptor->pause, handle_closed);
    uv_close((uv_handle_t *)&acceptor->news, handle_closed);
}

static void handle_news(uv_async_t *news) {
    struct srv_acceptor *acceptor = news->data;
    struct srv_transport *transport = acceptor->transport;
    (void)pthread_mutex_lock(&transport->lock);
    bool must_end = acceptor->must_end && acceptor->is_open;
    acceptor->is_open = acceptor->is_open && !must_end;
    (void)pthread_mutex_unlock(&transport->lock);
    if (must_end) {
        close_all(acceptor);
    } else if (!uv_is_closing((uv_handle_t *)news)) {
        poll_listeners(acceptor);
    }
}

void srv_acceptor_recheck(struct srv_acceptor *acceptor) {
    struct srv_transport *transport = acceptor->transport;
    (void)pthread_mutex_lock(&transport->lock);
    if (acceptor->is_open) {
        (void)uv_async_send(&acceptor->news); /* fails only for what is no uv_async */
    }
    (void)pthread_mutex_unlock(&transport->lock);
}

void srv_acceptor_stop(struct srv_acceptor *acceptor) {
    struct srv_transport *transport = acceptor->transport;
    (void)pthread_mutex_lock(&transport->lock);
    if (acceptor->is_open) {
        acceptor->must_end = true;
        (void)uv_async_send(&acceptor->news); /* fails only for what is no uv_async */
    }
    while (!acceptor->has_ended) {
        (void)pthread_cond_wait(&transport->ended, &transport->lock);
    }
    (void)pthread_mutex_unlock(&transport->lock);
}

void srv_acceptor_start(void *user, int status) {
    (void)status; /* kn_loop_call only runs it */
    struct srv_acceptor_start *start = user;
    struct srv_acceptor *acceptor = start->acceptor;
    struct srv_transport *transport = acceptor->transport;
    uv_loop_t *uv = transport->carriers[0].uv;
    start->rc = uv_async_init(uv, &acceptor->news, handle_news);
    if (start->rc < 0) {
        return;
    }
    (void)uv_timer_init(uv, &acceptor->pause); /* always 0 */
    acceptor->news.data = acceptor;
    acceptor->pause.data = acceptor;
    acceptor->handles = 2;
    acceptor->is_open = true;
    acceptor->has_ended = false;
    for (size_t i = 0; i < transport->listener_count && start->rc == 0; i++) {
        struct srv_listener *listener = &transport->listeners[i];
        start->rc = uv_poll_init(uv, &listener->poll, listener->fd);
        if (start->rc == 0) {
            listener->poll.data = listener;
            acceptor->handles++;
        }
    }
    if (start->rc == 0) {
        poll_listeners(acceptor);
    }
}
