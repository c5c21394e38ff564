#include "tests/support/transport_world.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PIECE 65536u

unsigned char world_pattern(size_t at) {
    return (unsigned char)((at * 31 + (at >> 8) * 17 + (at >> 16)) & 0xff);
}

/* ---- the owner ---- */

struct owner {
    struct world *world;
    struct srv_conn *conn;
    unsigned char *queue; /* for echo */
    size_t queued, size, at;
    size_t received;
    int rooms;
    bool peer_ended, deaf;
};

static void flush_echo(struct owner *owner) {
    while (owner->at < owner->queued) {
        struct iovec parts[2] = {
            {owner->queue + owner->at, (owner->queued - owner->at + 1) / 2},
            {owner->queue + owner->at + (owner->queued - owner->at + 1) / 2,
             (owner->queued - owner->at) / 2},
        };
        ssize_t sent = owner->conn->ops->send(owner->conn, parts, 2);
        if (sent < 0) {
            return;
        }
        bool partial = (size_t)sent < owner->queued - owner->at;
        owner->at += (size_t)sent;
        if (partial) {
            return;
        }
    }
    owner->at = 0;
    owner->queued = 0;
    owner->conn->ops->receive(owner->conn, true);
    if (owner->peer_ended) {
        owner->conn->ops->finish(owner->conn);
    }
}

static void take_echo(struct owner *owner, const void *data, size_t size) {
    assert_true(owner->queued + size <= owner->size);
    memcpy(owner->queue + owner->queued, data, size);
    owner->queued += size;
    owner->conn->ops->receive(owner->conn, owner->size - owner->queued >= PIECE);
    flush_echo(owner);
}

static void send_pattern(struct owner *owner) {
    unsigned char piece[PIECE];
    while (owner->at < owner->world->size) {
        size_t left = owner->world->size - owner->at;
        size_t size = left < sizeof(piece) ? left : sizeof(piece);
        for (size_t i = 0; i < size; i++) {
            piece[i] = world_pattern(owner->at + i);
        }
        struct iovec part = {piece, size};
        ssize_t sent = owner->conn->ops->send(owner->conn, &part, 1);
        if (sent < 0) {
            return;
        }
        owner->at += (size_t)sent;
        if ((size_t)sent < size) {
            return;
        }
    }
    if (owner->world->task == WORLD_SEND || owner->peer_ended) {
        owner->conn->ops->finish(owner->conn);
    }
}

static void send_from_file(struct owner *owner) {
    while (owner->at < owner->world->size) {
        size_t left = owner->world->size - owner->at;
        ssize_t sent =
            owner->conn->ops->send_file(owner->conn, owner->world->file, owner->at, left);
        if (sent < 0) {
            return;
        }
        owner->at += (size_t)sent;
        if ((size_t)sent < left) {
            return;
        }
    }
    owner->conn->ops->finish(owner->conn);
}

static void go_on(struct owner *owner) {
    char text[] = "w";
    struct iovec byte = {text, 1};
    switch (owner->world->task) {
    case WORLD_ECHO:
        flush_echo(owner);
        break;
    case WORLD_SEND:
    case WORLD_BOTH:
        send_pattern(owner);
        break;
    case WORLD_FILE:
        send_from_file(owner);
        break;
    case WORLD_WAKE:
        if (owner->rooms++ < 3) {
            assert_int_equal(owner->conn->ops->send(owner->conn, &byte, 1), 1);
            owner->conn->ops->wake(owner->conn);
        } else {
            owner->conn->ops->finish(owner->conn);
        }
        break;
    case WORLD_REFUSE:
    case WORLD_DEAF:
    case WORLD_ABORT:
        break;
    }
}

static void *handle_opened(struct srv_conn *conn, struct kn_loop *loop, const struct srv_peer *peer,
                           void *user) {
    struct world *world = user;
    assert_true(kn_loop_is_current(loop));
    world->last_peer = *peer;
    if (world->task == WORLD_REFUSE) {
        return NULL;
    }
    struct owner *owner = calloc(1, sizeof(*owner));
    assert_non_null(owner);
    *owner = (struct owner){.world = world, .conn = conn, .size = 4 * PIECE};
    owner->queue = malloc(owner->size);
    assert_non_null(owner->queue);
    if (world->task == WORLD_DEAF) {
        conn->ops->receive(conn, false);
    }
    if (world->task != WORLD_ECHO) {
        conn->ops->wake(conn);
    }
    atomic_fetch_add(&world->opened, 1);
    return owner;
}

static void handle_received(void *user, const void *data, size_t size) {
    struct owner *owner = user;
    assert_true(size > 0 && size <= PIECE);
    switch (owner->world->task) {
    case WORLD_ECHO:
        take_echo(owner, data, size);
        break;
    case WORLD_BOTH:
        for (size_t i = 0; i < size; i++) {
            const unsigned char *bytes = data;
            if (bytes[i] != world_pattern(owner->received + i)) {
                atomic_fetch_add(&owner->world->wrong, 1);
            }
        }
        break;
    case WORLD_ABORT:
        owner->conn->ops->abort(owner->conn);
        break;
    case WORLD_DEAF:
        atomic_fetch_add(&owner->world->wrong, 1);
        break;
    case WORLD_SEND:
    case WORLD_FILE:
    case WORLD_WAKE:
    case WORLD_REFUSE:
        break;
    }
    owner->received += size;
    atomic_fetch_add(&owner->world->received, size);
}

static void handle_ended(void *user) {
    struct owner *owner = user;
    owner->peer_ended = true;
    atomic_fetch_add(&owner->world->ended, 1);
    if (owner->world->task == WORLD_ECHO || owner->world->task == WORLD_BOTH) {
        go_on(owner);
    }
}

static void handle_room(void *user) {
    go_on(user);
}

static void handle_closed(void *user) {
    struct owner *owner = user;
    struct world *world = owner->world;
    free(owner->queue);
    free(owner);
    atomic_fetch_add(&world->closed, 1);
}

static const struct srv_conn_handler handler = {
    .opened = handle_opened,
    .received = handle_received,
    .ended = handle_ended,
    .room = handle_room,
    .closed = handle_closed,
};

/* ---- certificates ---- */

static void write_pem(const char *path, X509 *certificate, EVP_PKEY *key) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(certificate != NULL
                         ? PEM_write_X509(file, certificate)
                         : PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL),
                     1);
    assert_int_equal(fclose(file), 0);
}

void world_make_cert(const char *certificate, const char *key, const char *name, int bits) {
    EVP_PKEY *pair = bits == 0 ? EVP_EC_gen("P-256") : EVP_RSA_gen((unsigned)bits);
    X509 *made = X509_new();
    assert_true(pair != NULL && made != NULL);
    assert_int_equal(X509_set_version(made, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(made), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(made), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(made), 86400));
    X509_NAME *subject = X509_get_subject_name(made);
    assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(made, subject), 1);
    assert_int_equal(X509_set_pubkey(made, pair), 1);
    assert_true(X509_sign(made, pair, EVP_sha256()) > 0);
    write_pem(certificate, made, NULL);
    write_pem(key, NULL, pair);
    X509_free(made);
    EVP_PKEY_free(pair);
}

/* ---- the world ---- */

static void make_path(const struct world *world, char path[static WORLD_PATH_BYTES],
                      const char *name) {
    (void)snprintf(path, WORLD_PATH_BYTES, "%s/%s", world->directory, name);
}

static void make_file(struct world *world) {
    char path[WORLD_PATH_BYTES];
    make_path(world, path, "file");
    world->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(world->file >= 0);
    assert_int_equal(unlink(path), 0);
    unsigned char piece[PIECE];
    for (size_t at = 0; at < world->size; at += sizeof(piece)) {
        for (size_t i = 0; i < sizeof(piece); i++) {
            piece[i] = world_pattern(at + i);
        }
        assert_int_equal(write(world->file, piece, sizeof(piece)), sizeof(piece));
    }
}

void world_init(struct world *world, enum world_task task) {
    memset(world, 0, sizeof(*world));
    world->task = task;
    world->file = -1;
    (void)snprintf(world->directory, sizeof(world->directory), "/tmp/kinora-transport-XXXXXX");
    assert_non_null(mkdtemp(world->directory));
    make_path(world, world->certificate, "certificate.pem");
    make_path(world, world->key, "key.pem");
    make_path(world, world->socket, "socket");
    (void)snprintf(world->unix_address, sizeof(world->unix_address), "unix:%.100s", world->socket);
    world_make_cert(world->certificate, world->key, "first", 0);
    world->listen[WORLD_PLAIN] = (struct srv_listen){.address = "127.0.0.1:0"};
    world->listen[WORLD_TLS] = (struct srv_listen){.address = "127.0.0.1:0", .tls = true};
    world->listen[WORLD_UNIX] = (struct srv_listen){.address = world->unix_address};
    world->config = srv_transport_config_defaults();
    world->config.loops = world->loops;
    world->config.loop_count = WORLD_LOOPS;
    world->config.listen = world->listen;
    world->config.listen_count = 3;
    world->config.certificate = world->certificate;
    world->config.key = world->key;
    world->config.handler = &handler;
    world->config.user = world;
    struct kn_loop_config config = kn_loop_config_defaults();
    for (size_t i = 0; i < WORLD_LOOPS; i++) {
        assert_int_equal(kn_loop_create(&config, &world->loops[i]), 0);
        assert_int_equal(kn_loop_start(world->loops[i]), 0);
    }
}

void world_open(struct world *world) {
    if (world->task == WORLD_FILE) {
        make_file(world);
    }
    int rc = srv_transport_open(&world->config, &world->transport, world->problem);
    if (rc < 0) {
        fail_msg("%s", world->problem);
    }
}

void world_finish(struct world *world) {
    srv_transport_close(world->transport);
    for (size_t i = 0; i < WORLD_LOOPS; i++) {
        kn_loop_destroy(world->loops[i]);
    }
    if (world->file >= 0) {
        assert_int_equal(close(world->file), 0);
    }
    assert_int_equal(access(world->socket, F_OK), -1);
    assert_int_equal(unlink(world->certificate), 0);
    assert_int_equal(unlink(world->key), 0);
    assert_int_equal(rmdir(world->directory), 0);
    assert_int_equal(atomic_load(&world->opened), atomic_load(&world->closed));
}

static void nap(void) {
    struct timespec time = {.tv_nsec = 1000000};
    (void)nanosleep(&time, NULL); /* early is fine */
}

void world_wait(atomic_size_t *value, size_t wanted) {
    for (int i = 0; i < 15000 && atomic_load(value) != wanted; i++) {
        nap();
    }
    assert_int_equal(atomic_load(value), wanted);
}

void world_wait_connections(struct world *world, size_t wanted) {
    for (int i = 0; i < 15000 && srv_transport_stats(world->transport).connections != wanted; i++) {
        nap();
    }
    assert_int_equal(srv_transport_stats(world->transport).connections, wanted);
}

/* ---- peers ---- */

static void connect_inet(struct wire *wire, const char *address) {
    const char *port = strrchr(address, ':');
    assert_non_null(port);
    struct sockaddr_in to = {.sin_family = AF_INET};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10));
    wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(wire->fd >= 0);
    assert_int_equal(connect(wire->fd, (const struct sockaddr *)&to, sizeof(to)), 0);
}

static void connect_local(struct wire *wire, const char *path) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)snprintf(to.sun_path, sizeof(to.sun_path), "%.100s", path);
    wire->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(wire->fd >= 0);
    assert_int_equal(connect(wire->fd, (const struct sockaddr *)&to, sizeof(to)), 0);
}

static void shake_hands(struct wire *wire) {
    wire->context = SSL_CTX_new(TLS_client_method());
    assert_non_null(wire->context);
    static const unsigned char protocols[] = "\x02h2\x08http/1.1";
    assert_int_equal(SSL_CTX_set_alpn_protos(wire->context, protocols, sizeof(protocols) - 1), 0);
    wire->ssl = SSL_new(wire->context);
    assert_non_null(wire->ssl);
    assert_int_equal(SSL_set_fd(wire->ssl, wire->fd), 1);
    assert_int_equal(SSL_connect(wire->ssl), 1);
}

struct wire wire_open(struct world *world, int kind) {
    struct wire wire = {.fd = -1};
    if (kind == WORLD_UNIX) {
        connect_local(&wire, world->socket);
    } else {
        connect_inet(&wire, srv_transport_address(world->transport, (size_t)kind));
    }
    struct timeval limit = {.tv_sec = 20};
    assert_int_equal(setsockopt(wire.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(setsockopt(wire.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
    if (kind == WORLD_TLS) {
        shake_hands(&wire);
    }
    return wire;
}

void wire_close(struct wire *wire) {
    SSL_free(wire->ssl);
    SSL_CTX_free(wire->context);
    (void)close(wire->fd); /* the peer's end of it is looked at elsewhere */
    *wire = (struct wire){.fd = -1};
}

bool wire_send(struct wire *wire, const void *data, size_t size) {
    const unsigned char *bytes = data;
    for (size_t at = 0; at < size;) {
        ssize_t sent = wire->ssl != NULL ? SSL_write(wire->ssl, bytes + at, (int)(size - at))
                                         : send(wire->fd, bytes + at, size - at, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        at += (size_t)sent;
    }
    return true;
}

ssize_t wire_receive(struct wire *wire, void *room, size_t size) {
    if (wire->ssl == NULL) {
        return recv(wire->fd, room, size, 0);
    }
    int got = SSL_read(wire->ssl, room, (int)size);
    if (got > 0) {
        return got;
    }
    return SSL_get_error(wire->ssl, got) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

void wire_end(struct wire *wire) {
    if (wire->ssl != NULL) {
        (void)SSL_shutdown(wire->ssl); /* 0: the other's is not there yet */
    }
    assert_int_equal(shutdown(wire->fd, SHUT_WR), 0);
}

bool wire_expect(struct wire *wire, const void *data, size_t size) {
    const unsigned char *bytes = data;
    unsigned char room[4096];
    for (size_t at = 0; at < size;) {
        size_t want = size - at < sizeof(room) ? size - at : sizeof(room);
        ssize_t got = wire_receive(wire, room, want);
        if (got <= 0 || memcmp(room, bytes + at, (size_t)got) != 0) {
            return false;
        }
        at += (size_t)got;
    }
    return true;
}

bool wire_expect_pattern(struct wire *wire, size_t size) {
    static _Thread_local unsigned char room[PIECE];
    size_t at = 0;
    for (;;) {
        ssize_t got = wire_receive(wire, room, sizeof(room));
        if (got <= 0) {
            return got == 0 && at == size;
        }
        for (size_t i = 0; i < (size_t)got; i++) {
            if (room[i] != world_pattern(at + i)) {
                return false;
            }
        }
        at += (size_t)got;
    }
}
