/* What the files of the transport share.
 *
 *     transport.c  open, stop, close: the calling thread
 *     address.c    "127.0.0.1:80" to and from sockets' addresses, and listening sockets
 *     acceptor.c   accepts, counts and hands over: the first loop
 *     peers.c      how many connections an address has
 *     carrier.c    one loop's libwebsockets context, and what waits for its turn there
 *     conn.c       one connection
 *     cert.c       certificate and key */
#ifndef SERVER_TRANSPORT_INNER_H
#define SERVER_TRANSPORT_INNER_H

#include <libwebsockets.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include "server/transport/transport.h"

/* ---- address.c ---- */

struct srv_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
        struct sockaddr_storage room;
    } sock;
    socklen_t size;
};

#define SRV_LISTEN_BYTES 128u /* "unix:" and a path of sun_path, or an address and its port */

/* KN_E_MALFORMED: no numeric address with a port, and no path. Pure. */
KN_MUST_CHECK int srv_address_parse(const char *text, struct srv_address *ret_address);
void srv_address_print(const struct srv_address *address, char text[static SRV_LISTEN_BYTES]);
bool srv_address_is_loopback(const struct srv_address *address);
uint16_t srv_address_port(const struct srv_address *address);
/* A socket that listens there, and where it then is. A negative errno. */
KN_MUST_CHECK int srv_address_listen(const struct srv_address *address, int *ret_fd,
                                     struct srv_address *ret_bound);

/* ---- peers.c: any thread, each under a lock of its own ---- */

/* IPv4 whole; of IPv6 the first 64 bits, which one subscriber has. */
struct srv_peer_key {
    uint8_t bytes[16];
};

struct srv_peers;

KN_MUST_CHECK int srv_peers_create(size_t max_peers, size_t max_each, struct srv_peers **ret_peers);
void srv_peers_destroy(struct srv_peers *peers);
struct srv_peer_key srv_peers_key(const struct srv_address *address);
/* False: it has as many as it may. */
KN_MUST_CHECK bool srv_peers_enter(struct srv_peers *peers, const struct srv_peer_key *key);
void srv_peers_leave(struct srv_peers *peers, const struct srv_peer_key *key);

/* ---- cert.c ---- */

struct srv_cert {
    X509 *leaf;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
};

KN_MUST_CHECK int srv_cert_read(const char *certificate, const char *key,
                                struct srv_cert **ret_cert, char problem[static SRV_PROBLEM_BYTES]);
void srv_cert_destroy(struct srv_cert *cert);

/* ---- connections ---- */

enum srv_conn_phase {
    SRV_CONN_HANDSHAKE, /* TLS, and the owner does not know of it */
    SRV_CONN_OPEN,
    SRV_CONN_FLUSHING, /* finish was called; bytes of ours are not yet with the kernel */
    SRV_CONN_DRAINING, /* the peer was told the end; what it sends is dropped until `deadline` */
    SRV_CONN_ENDING    /* closed in its turn */
};

/* One owner: its carrier, from the arrival until libwebsockets has let go of it. */
struct srv_link {
    struct srv_conn base;
    struct srv_carrier *carrier;
    struct lws *wsi;
    SSL *ssl; /* the wsi's; NULL: plain */
    void *owner;
    int fd;
    enum srv_conn_phase phase;
    bool wants_input; /* as the owner said */
    bool has_input;   /* as libwebsockets was told */
    bool peer_ended;
    bool broken; /* nothing can be sent any more */
    bool waits;  /* for its turn: on the carrier's list */
    bool tls, counted;
    bool is_dated;
    struct srv_peer_key key;
    struct srv_peer *peer; /* until the owner knows of it */
    uint8_t *held;         /* a TLS record that OpenSSL has begun: it wants the same bytes again */
    size_t held_size;
    uint64_t deadline_ms; /* of uv_now; for flushing and draining */
    struct srv_link *next, *prev;
    struct srv_link *next_turn, *prev_turn;
    struct srv_link *next_dated, *prev_dated;
};

/* All of these on the carrier's loop. */
void srv_link_start(struct srv_link *link);
void srv_link_take_turn(struct srv_link *link);
void srv_link_end(struct srv_link *link);
/* For SSL_CTX_set_info_callback. */
void srv_link_handle_tls(const SSL *ssl, int where, int value);
int srv_link_handle_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *data,
                        size_t size);

/* ---- carriers ---- */

struct srv_carrier {
    struct srv_transport *transport;
    struct kn_loop *loop;
    atomic_size_t connections;
    atomic_uint_fast64_t received_bytes, sent_bytes;
    /* Under the transport's lock: */
    struct srv_link *first_arrival, *last_arrival; /* by next_turn */
    bool must_end, has_ended;
    /* Its loop's: */
    uv_loop_t *uv;
    struct lws_context *context; /* libwebsockets sets it to NULL when it is gone */
    struct lws_vhost *vhost;
    SSL_CTX *ssl_context; /* the vhost's */
    SSL_CTX *unused;      /* for connections of libwebsockets' own */
    uv_async_t news;
    uv_idle_t turns; /* runs while somebody waits for his turn */
    uv_timer_t dates;
    size_t handles;
    struct srv_link *links, *waiting, *last_waiting, *dated;
    bool ending;
    struct srv_link *adopting; /* NULL again: libwebsockets closed it meanwhile */
    uint8_t *input, *output;   /* SRV_BUFFER_BYTES each */
};

#define SRV_BUFFER_BYTES 65536u

/* For kn_loop_call: makes what lives on the loop. `user` is a struct srv_carrier_start. */
struct srv_carrier_start {
    struct srv_carrier *carrier;
    bool tls;
    int rc;
};
void srv_carrier_start(void *user, int status);
/* Descriptors from here on libwebsockets cannot have: it has room by their number. As of now. */
int srv_carrier_max_descriptors(void);
/* Any thread: the link goes to its loop. */
void srv_carrier_give(struct srv_carrier *carrier, struct srv_link *link);
/* Any thread but its loop's; returns when all of it on the loop is gone. */
void srv_carrier_stop(struct srv_carrier *carrier);
/* Loop thread. */
void srv_carrier_wait_turn(struct srv_link *link);
void srv_carrier_set_deadline(struct srv_link *link, uint64_t in_ms);
void srv_carrier_forget(struct srv_link *link);

/* ---- the acceptor ---- */

struct srv_listener {
    struct srv_acceptor *acceptor;
    uv_poll_t poll;
    int fd;
    bool tls, polled;
    struct srv_address bound;
    dev_t device; /* of the unix socket's file, so that only ours is unlinked */
    ino_t inode;
    char text[SRV_LISTEN_BYTES];
};

struct srv_acceptor {
    struct srv_transport *transport;
    uv_async_t news;
    uv_timer_t pause;
    size_t handles;
    bool told; /* of the failure that lasts */
    /* Under the transport's lock: */
    bool is_open, must_end, has_ended;
};

/* For kn_loop_call, on the first loop. `user` is a struct srv_acceptor_start. */
struct srv_acceptor_start {
    struct srv_acceptor *acceptor;
    int rc;
};
void srv_acceptor_start(void *user, int status);
/* Any thread but the loop's. Idempotent. */
void srv_acceptor_stop(struct srv_acceptor *acceptor);
/* Closes a listening socket that is not polled, and removes a unix socket's file. */
void srv_acceptor_drop(struct srv_listener *listener);
/* Any thread: a connection is gone, so there may be room for another one. */
void srv_acceptor_recheck(struct srv_acceptor *acceptor);

/* ---- the whole ---- */

/* One owner, its opener. */
struct srv_transport {
    const struct srv_conn_handler *handler;
    void *user;
    size_t max_connections;
    int max_descriptors; /* of libwebsockets */
    struct srv_peers *peers;
    struct srv_carrier *carriers;
    size_t carrier_count;
    struct srv_listener *listeners;
    size_t listener_count;
    struct srv_acceptor acceptor;
    uint8_t ticket_keys[80]; /* one set for all loops, so that a session resumes on any of them */
    pthread_mutex_t lock;    /* a leaf */
    pthread_cond_t ended;    /* of something that was to end, under the lock */
    struct srv_cert *cert;   /* under the lock */
    atomic_size_t connections, most_connections;
    atomic_uint_fast64_t accepted, refused_per_address, failed_handshakes, failed_accepts;
};

#endif
