/* A transport on two loops whose owner does one simple thing, and peers to talk to it: blocking
 * sockets with a time limit, plain or TLS. */
#ifndef TESTS_SUPPORT_TRANSPORT_WORLD_H
#define TESTS_SUPPORT_TRANSPORT_WORLD_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "server/transport/transport.h"

#define WORLD_LOOPS 2u
#define WORLD_PATH_BYTES 160u

enum world_task {
    WORLD_ECHO,   /* sends back what comes, and finishes after the peer's end */
    WORLD_REFUSE, /* opened returns NULL */
    WORLD_SEND,   /* sends `size` bytes of the pattern, then finishes */
    WORLD_FILE,   /* the same from a file */
    WORLD_BOTH,   /* sends `size` bytes and counts what comes; finishes after the peer's end */
    WORLD_DEAF,   /* turns receive off */
    WORLD_ABORT,  /* aborts at the first byte */
    WORLD_WAKE,   /* one byte for each room, three times, each by a wake */
};

struct world {
    struct kn_loop *loops[WORLD_LOOPS];
    struct srv_transport *transport;
    struct srv_transport_config config;
    struct srv_listen listen[3];
    char directory[64];
    char certificate[WORLD_PATH_BYTES], key[WORLD_PATH_BYTES], socket[WORLD_PATH_BYTES];
    char unix_address[WORLD_PATH_BYTES];
    char problem[SRV_PROBLEM_BYTES];
    enum world_task task;
    size_t size; /* for WORLD_SEND, WORLD_FILE and WORLD_BOTH */
    int file;
    atomic_size_t opened, closed, ended, received, wrong; /* of all connections */
    struct srv_peer last_peer; /* read it only after something of that connection was seen */
};

/* Where each kind listens: the number for srv_transport_address. */
enum { WORLD_PLAIN, WORLD_TLS, WORLD_UNIX };

/* Not yet open; `world->config` may be changed. */
void world_init(struct world *world, enum world_task task);
void world_open(struct world *world);
void world_finish(struct world *world);
/* A certificate for `name`, by its own key. */
void world_make_cert(const char *certificate, const char *key, const char *name, int bits);
/* Until it has that value, at most 15 s. */
void world_wait(atomic_size_t *value, size_t wanted);
void world_wait_connections(struct world *world, size_t wanted);

/* Byte `at` of what the owners send, and of what peers should. */
unsigned char world_pattern(size_t at);

struct wire {
    int fd;
    SSL *ssl;
    SSL_CTX *context;
};

/* Fails the test if it cannot connect. */
struct wire wire_open(struct world *world, int kind);
void wire_close(struct wire *wire);
/* All of it; false: the connection broke. */
bool wire_send(struct wire *wire, const void *data, size_t size);
/* Above 0: so much came; 0: the end; below: broken, or nothing for 20 s. */
ssize_t wire_receive(struct wire *wire, void *room, size_t size);
/* The peer's end of its half. */
void wire_end(struct wire *wire);
/* Whole or not at all. */
bool wire_expect(struct wire *wire, const void *data, size_t size);
/* The pattern's first `size` bytes, then the end. */
bool wire_expect_pattern(struct wire *wire, size_t size);

#endif
