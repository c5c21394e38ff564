/* Connections: bytes over TCP, TLS 1.2 and later, and unix sockets, on the HTTP loops.
 *
 *     srv_transport_open -> handler->opened, received, room, ended, closed ... ->
 * srv_transport_stop
 *         -> srv_transport_close
 *
 * A connection belongs to one loop for its life; everything of it happens there. What carries it is
 * a table of six functions, so that tests put another one in its place. */
#ifndef SERVER_TRANSPORT_TRANSPORT_H
#define SERVER_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/attributes.h"
#include "base/loop.h"

/* ---- one connection: loop thread only ---- */

struct srv_conn_ops;

/* The first member of whatever a backend has. */
struct srv_conn {
    const struct srv_conn_ops *ops;
};

/* None of these calls the handler before it returns. */
struct srv_conn_ops {
    /* As many of these bytes as there is room for now; they need not be kept. Fewer than all:
     * handler->room comes when there is more. Below 0: the connection is broken, `closed` comes. */
    ssize_t (*send)(struct srv_conn *conn, const struct iovec *parts, size_t count);
    /* The same from a regular file; 0 with room left: the file is shorter than that. */
    ssize_t (*send_file)(struct srv_conn *conn, int fd, uint64_t offset, size_t size);
    /* Whether `received` and `ended` may come. On from the start. */
    void (*receive)(struct srv_conn *conn, bool on);
    /* `room` comes soon, whether or not anything was refused. */
    void (*wake)(struct srv_conn *conn);
    /* Nothing is sent any more: when all is with the kernel the peer sees the end; what it still
     * sends is dropped for at most 2 s (so that it can read the answer), then `closed`. */
    void (*finish)(struct srv_conn *conn);
    /* At once; `closed` comes. */
    void (*abort)(struct srv_conn *conn);
};

#define SRV_ADDRESS_BYTES 64u

/* Who is at the other end. */
struct srv_peer {
    char address[SRV_ADDRESS_BYTES]; /* "192.0.2.7:51234", "[2001:db8::1]:443", "unix:1000" */
    uint16_t port;                   /* of ours, which it came in by; 0: a unix socket */
    bool tls;
    bool loopback; /* it came in by a loopback address of ours */
    bool local;    /* a unix socket; `uid` is then the peer's by SO_PEERCRED */
    uid_t uid;
};

struct srv_conn_handler {
    /* A new one. NULL: refused, it is closed without another call. The answer is the `owner` of all
     * other calls. `peer` is borrowed for the call. */
    void *(*opened)(struct srv_conn *conn, struct kn_loop *loop, const struct srv_peer *peer,
                    void *user);
    /* All of it is the owner's now, which turns `receive` off where it cannot take more. At most
     * 64 KiB. */
    void (*received)(void *owner, const void *data, size_t size);
    /* The peer sends nothing more; it may still read. */
    void (*ended)(void *owner);
    void (*room)(void *owner);
    /* The last call; `conn` is gone. */
    void (*closed)(void *owner);
};

/* ---- all of them ---- */

struct srv_listen {
    const char *address; /* "127.0.0.1:5466", "[::1]:0", "0.0.0.0:443", "unix:/run/kinora.sock" */
    bool tls;
};

/* So many more than max_connections there may be where they come by a unix socket. */
#define SRV_LOCAL_RESERVE 16u

struct srv_transport_config {
    struct kn_loop *const *loops; /* started; connections go to the one with the fewest */
    size_t loop_count;
    const struct srv_listen *listen;
    size_t listen_count;
    const char *certificate, *key; /* PEM files; needed where one of `listen` has TLS */
    size_t max_connections;        /* of all loops; one more waits in the kernel. Default 4,096 */
    size_t max_per_address;        /* but loopback and unix: one more is closed. Default 256 */
    const struct srv_conn_handler *handler;
    void *user;
};

struct srv_transport_config srv_transport_config_defaults(void);

struct srv_transport;

/* These three block, and are not for loop threads. 0; a negative errno with `problem` in words
 * ("127.0.0.1:5466: address in use"); KN_E_MALFORMED: an address that is none, or files that are no
 * certificate and its key. A stale unix socket that nobody answers at is replaced; it has mode
 * 0600. */
#define SRV_PROBLEM_BYTES 512u
KN_MUST_CHECK int srv_transport_open(const struct srv_transport_config *config,
                                     struct srv_transport **ret_transport,
                                     char problem[static SRV_PROBLEM_BYTES]);
/* No new connections; those that are there stay. */
void srv_transport_stop(struct srv_transport *transport);
/* Stops, aborts what is left, and frees. The loops still run. NULL is fine. */
void srv_transport_close(struct srv_transport *transport);

/* Reads certificate and key again; connections that are there keep the old ones. On failure all
 * stays as it was. Any thread but a loop's. */
KN_MUST_CHECK int srv_transport_reload(struct srv_transport *transport, const char *certificate,
                                       const char *key, char problem[static SRV_PROBLEM_BYTES]);
/* Where it really listens (getsockname), by the order of `listen`; "" for one too many. */
const char *srv_transport_address(const struct srv_transport *transport, size_t at);

struct srv_transport_stats {
    size_t connections, most_connections;
    uint64_t accepted, refused_per_address, failed_handshakes;
    uint64_t failed_accepts; /* no descriptor or memory left: accepting pauses for 100 ms */
    uint64_t received_bytes, sent_bytes;
};
/* Any thread. */
struct srv_transport_stats srv_transport_stats(const struct srv_transport *transport);

#endif
