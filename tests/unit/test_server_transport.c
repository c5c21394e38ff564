/* Connections of every kind through a real transport on loopback. */
#include <errno.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/log.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/transport_world.h"

#define MIB (1024u * 1024u)

static const int kinds[] = {WORLD_PLAIN, WORLD_TLS, WORLD_UNIX};

static void nap_ms(long ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL); /* early is fine */
}

/* ---- echo ---- */

static void echoes(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        struct wire wire = wire_open(&world, kinds[i]);
        assert_true(wire_send(&wire, "hello", 5));
        assert_true(wire_expect(&wire, "hello", 5));
        assert_true(wire_send(&wire, "again", 5));
        assert_true(wire_expect(&wire, "again", 5));
        struct srv_peer peer = world_last_peer(&world);
        assert_int_equal(peer.tls, kinds[i] == WORLD_TLS);
        assert_int_equal(peer.local, kinds[i] == WORLD_UNIX);
        assert_int_equal(peer.loopback, kinds[i] != WORLD_UNIX);
        char wanted[SRV_ADDRESS_BYTES] = "127.0.0.1:";
        if (kinds[i] == WORLD_UNIX) {
            (void)snprintf(wanted, sizeof(wanted), "unix:%u", (unsigned)geteuid());
            assert_int_equal(peer.uid, geteuid());
            assert_int_equal(peer.port, 0);
        } else {
            const char *port =
                strchr(srv_transport_address(world.transport, (size_t)kinds[i]), ':');
            assert_int_equal(peer.port, strtoul(port + 1, NULL, 10));
        }
        assert_memory_equal(peer.address, wanted, strlen(wanted));
        wire_close(&wire);
    }
    world_wait_connections(&world, 0);
    struct srv_transport_stats stats = srv_transport_stats(world.transport);
    assert_int_equal(stats.accepted, 3);
    assert_int_equal(stats.received_bytes, 30);
    assert_int_equal(stats.sent_bytes, 30);
    assert_int_equal(stats.failed_handshakes, 0);
    assert_string_equal(srv_transport_address(world.transport, 3), "");
    world_finish(&world);
}

struct echo_sender {
    struct wire *wire;
    size_t size;
    bool sent;
};

static void *send_all(void *user) {
    struct echo_sender *sender = user;
    unsigned char piece[7919];
    sender->sent = true;
    for (size_t at = 0; at < sender->size && sender->sent;) {
        size_t size = sender->size - at < sizeof(piece) ? sender->size - at : sizeof(piece);
        for (size_t i = 0; i < size; i++) {
            piece[i] = world_pattern(at + i);
        }
        sender->sent = wire_send(sender->wire, piece, size);
        at += size;
    }
    /* The end of a TLS peer's half ends all of it: see the transport. */
    if (sender->wire->ssl == NULL) {
        wire_end(sender->wire);
    }
    return NULL;
}

static bool expect_slowly(struct wire *wire, size_t size) {
    static unsigned char room[50000];
    for (size_t at = 0; at < size;) {
        ssize_t got = wire_receive(wire, room, sizeof(room));
        if (got <= 0) {
            return false;
        }
        for (size_t i = 0; i < (size_t)got; i++) {
            if (room[i] != world_pattern(at + i)) {
                return false;
            }
        }
        at += (size_t)got;
        if (at % 16 == 0) {
            nap_ms(1);
        }
    }
    return true;
}

/* The sender is a thread, the reader is slow: everything is partial on the way. One socket by two
 * threads works for plain ones only; TLS has its turn below. */
static void echoes_to_a_slow_reader(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        if (kinds[i] == WORLD_TLS) {
            continue;
        }
        struct wire wire = wire_open(&world, kinds[i]);
        struct echo_sender sender = {.wire = &wire, .size = 16 * MIB + 3};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, send_all, &sender), 0);
        assert_true(expect_slowly(&wire, sender.size));
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(sender.sent);
        unsigned char byte;
        assert_int_equal(wire_receive(&wire, &byte, 1), 0);
        wire_close(&wire);
    }
    world_finish(&world);
}

/* ---- much ---- */

static void sends(enum world_task task, int kind, size_t size) {
    struct world world;
    world_init(&world, task);
    world.size = size;
    world_open(&world);
    struct wire wire = wire_open(&world, kind);
    assert_true(wire_expect_pattern(&wire, size));
    wire_close(&wire);
    world_wait_connections(&world, 0);
    assert_int_equal(srv_transport_stats(world.transport).sent_bytes, size);
    world_finish(&world);
}

static void sends_and_finishes(void **state) {
    (void)state;
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        sends(WORLD_SEND, kinds[i], 8 * MIB + 1);
        sends(WORLD_SEND, kinds[i], 1);
        sends(WORLD_SEND, kinds[i], 0);
    }
}

static void sends_files(void **state) {
    (void)state;
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        sends(WORLD_FILE, kinds[i], 8 * MIB + 5);
    }
}

/* TLS in one thread: what is to be sent and what comes take turns on a socket without waiting. */
static size_t step_tls(struct wire *wire, bool out, unsigned char *room, size_t size) {
    int rc = out ? SSL_write(wire->ssl, room, (int)size) : SSL_read(wire->ssl, room, (int)size);
    if (rc > 0) {
        return (size_t)rc;
    }
    int error = SSL_get_error(wire->ssl, rc);
    assert_true(error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE);
    return 0;
}

static void both_ways_tls(struct wire *wire, size_t size) {
    static unsigned char in[65536];
    static unsigned char out[65536];
    struct timeval soon = {.tv_usec = 1000};
    assert_int_equal(setsockopt(wire->fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)), 0);
    assert_int_equal(setsockopt(wire->fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)), 0);
    (void)SSL_set_mode(wire->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
    size_t sent = 0;
    size_t got = 0;
    while (sent < size || got < size) {
        if (sent < size) {
            size_t turn = size - sent < sizeof(out) ? size - sent : sizeof(out);
            for (size_t i = 0; i < turn; i++) {
                out[i] = world_pattern(sent + i);
            }
            sent += step_tls(wire, true, out, turn);
        }
        /* Reads less than it sends, so that the other side comes to wait. */
        size_t more = got < size ? step_tls(wire, false, in, 40000) : 0;
        for (size_t i = 0; i < more; i++) {
            assert_int_equal(in[i], world_pattern(got + i));
        }
        got += more;
    }
}

/* Records of odd sizes until the owner, whose queue is full, takes no more; then it is read until
 * it goes on. */
static void echoes_tls_with_pauses(void **state) {
    (void)state;
    static unsigned char in[65536], out[4096];
    const size_t size = 24 * MIB;
    struct timeval soon = {.tv_usec = 1000};
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    struct wire wire = wire_open(&world, WORLD_TLS);
    assert_int_equal(setsockopt(wire.fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)), 0);
    assert_int_equal(setsockopt(wire.fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)), 0);
    (void)SSL_set_mode(wire.ssl,
                       SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    size_t sent = 0, got = 0, pauses = 0, quiet = 0, turn = 0;
    while (got < size) {
        bool refused = sent == size;
        for (; !refused; turn = 0) {
            turn = turn > 0 ? turn : 1 + sent * 7919 % 3001;
            turn = size - sent < turn ? size - sent : turn;
            for (size_t i = 0; i < turn; i++) {
                out[i] = world_pattern(sent + i);
            }
            size_t more = step_tls(&wire, true, out, turn);
            sent += more;
            refused = more == 0 || sent == size;
            if (more == 0) {
                pauses++;
                break; /* the same again */
            }
        }
        size_t more = 1;
        for (size_t before = got; more > 0 && got < size; got += more) {
            more = step_tls(&wire, false, in, sizeof(in));
            quiet = got > before ? 0 : quiet + 1;
            assert_true(quiet < 2000); /* it has not stopped for good */
            for (size_t i = 0; i < more; i++) {
                assert_int_equal(in[i], world_pattern(got + i));
            }
        }
    }
    assert_true(pauses > 0);
    wire_close(&wire);
    world_finish(&world);
}

static void sends_both_ways_at_once(void **state) {
    (void)state;
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        struct world world;
        world_init(&world, WORLD_BOTH);
        world.size = 64 * MIB;
        world_open(&world);
        struct wire wire = wire_open(&world, kinds[i]);
        if (kinds[i] == WORLD_TLS) {
            both_ways_tls(&wire, world.size);
        } else {
            struct echo_sender sender = {.wire = &wire, .size = world.size};
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, send_all, &sender), 0);
            assert_true(wire_expect_pattern(&wire, world.size));
            assert_int_equal(pthread_join(thread, NULL), 0);
            assert_true(sender.sent);
        }
        world_wait(&world.received, world.size);
        assert_int_equal(atomic_load(&world.wrong), 0);
        wire_close(&wire);
        world_finish(&world);
    }
}

/* A peer that sends and never reads: no memory grows, and it is made to wait. */
static void a_deaf_owner_makes_the_peer_wait(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_DEAF);
    world_open(&world);
    static const unsigned char zeros[65536];
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        struct wire wire = wire_open(&world, kinds[i]);
        struct timeval soon = {.tv_usec = 200000};
        assert_int_equal(setsockopt(wire.fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)), 0);
        size_t sent = 0;
        while (sent < 64 * MIB && wire_send(&wire, zeros, sizeof(zeros))) {
            sent += sizeof(zeros);
        }
        assert_true(sent < 32 * MIB);
        wire_close(&wire);
    }
    /* TLS may bring what came with the end of the handshake. */
    assert_true(atomic_load(&world.received) <= 16384);
    world_finish(&world);
}

/* ---- ends ---- */

static void a_half_close_still_has_its_answer(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        if (kinds[i] == WORLD_TLS) {
            continue; /* close_notify ends both halves, as TLS 1.2 has it */
        }
        struct wire wire = wire_open(&world, kinds[i]);
        assert_true(wire_send(&wire, "whole", 5));
        wire_end(&wire);
        assert_true(wire_expect(&wire, "whole", 5));
        unsigned char byte;
        assert_int_equal(wire_receive(&wire, &byte, 1), 0);
        wire_close(&wire);
    }
    assert_int_equal(atomic_load(&world.ended), 2);
    world_wait_connections(&world, 0);
    world_finish(&world);
}

static void a_reset_closes(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    for (size_t i = 0; i < 2; i++) {
        struct wire wire = wire_open(&world, kinds[i]);
        assert_true(wire_send(&wire, "x", 1));
        assert_true(wire_expect(&wire, "x", 1));
        struct linger none = {.l_onoff = 1};
        assert_int_equal(setsockopt(wire.fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
        wire_close(&wire);
        world_wait(&world.closed, i + 1);
    }
    world_finish(&world);
}

static void an_abort_resets(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ABORT);
    world_open(&world);
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        struct wire wire = wire_open(&world, kinds[i]);
        assert_true(wire_send(&wire, "x", 1));
        unsigned char byte;
        assert_true(wire_receive(&wire, &byte, 1) <= 0);
        world_wait(&world.closed, i + 1);
        wire_close(&wire);
    }
    world_finish(&world);
}

static void a_refused_one_is_closed(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_REFUSE);
    world_open(&world);
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        struct wire wire = wire_open(&world, kinds[i]);
        unsigned char byte;
        assert_true(wire_receive(&wire, &byte, 1) <= 0);
        wire_close(&wire);
    }
    world_wait_connections(&world, 0);
    assert_int_equal(atomic_load(&world.closed), 0);
    world_finish(&world);
}

static void a_wake_brings_room(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_WAKE);
    world_open(&world);
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        struct wire wire = wire_open(&world, kinds[i]);
        assert_true(wire_expect(&wire, "www", 3));
        unsigned char byte;
        assert_int_equal(wire_receive(&wire, &byte, 1), 0);
        wire_close(&wire);
    }
    world_finish(&world);
}

/* After its finish the owner is not kept by a peer that goes on. */
static void a_peer_that_does_not_end_is_closed(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_SEND);
    world.size = 3;
    world_open(&world);
    struct wire wires[KN_COUNT(kinds)];
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        wires[i] = wire_open(&world, kinds[i]);
        assert_true(wire_expect_pattern(&wires[i], 3));
        assert_int_equal(send(wires[i].fd, "more", 4, MSG_NOSIGNAL), 4);
    }
    world_wait(&world.closed, KN_COUNT(kinds));
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        wire_close(&wires[i]);
    }
    world_finish(&world);
}

/* ---- limits ---- */

static void one_too_many_waits(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world.config.max_connections = 2;
    world_open(&world);
    struct wire wires[3];
    for (size_t i = 0; i < 3; i++) {
        wires[i] = wire_open(&world, WORLD_PLAIN);
        assert_true(wire_send(&wires[i], "x", 1));
    }
    assert_true(wire_expect(&wires[0], "x", 1));
    assert_true(wire_expect(&wires[1], "x", 1));
    unsigned char byte;
    nap_ms(50);
    assert_int_equal(recv(wires[2].fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(srv_transport_stats(world.transport).connections, 2);
    struct wire local = wire_open(&world, WORLD_UNIX);
    assert_true(wire_send(&local, "x", 1));
    assert_true(wire_expect(&local, "x", 1));
    wire_close(&local);
    world_wait_connections(&world, 2);
    nap_ms(50);
    assert_int_equal(recv(wires[2].fd, &byte, 1, MSG_DONTWAIT), -1);
    wire_close(&wires[0]);
    assert_true(wire_expect(&wires[2], "x", 1));
    assert_int_equal(srv_transport_stats(world.transport).most_connections, 3);
    wire_close(&wires[1]);
    wire_close(&wires[2]);
    world_finish(&world);
}

static void loopback_is_not_limited_by_address(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world.config.max_per_address = 1;
    world_open(&world);
    struct wire wires[4];
    for (size_t i = 0; i < 4; i++) {
        wires[i] = wire_open(&world, i % 2 == 0 ? WORLD_PLAIN : WORLD_UNIX);
        assert_true(wire_send(&wires[i], "x", 1));
        assert_true(wire_expect(&wires[i], "x", 1));
    }
    for (size_t i = 0; i < 4; i++) {
        wire_close(&wires[i]);
    }
    assert_int_equal(srv_transport_stats(world.transport).refused_per_address, 0);
    world_finish(&world);
}

/* In a process of its own, with hardly a descriptor left. */
static int run_out_of_descriptors(void) {
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    struct wire first = wire_open(&world, WORLD_PLAIN);
    struct rlimit none;
    if (getrlimit(RLIMIT_NOFILE, &none) != 0) {
        return 1;
    }
    struct wire second = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_storage to;
    socklen_t size = sizeof(to);
    if (getpeername(first.fd, (struct sockaddr *)&to, &size) != 0) {
        return 2;
    }
    world_wait_connections(&world, 1);
    struct rlimit tight = {.rlim_cur = (rlim_t)second.fd + 1, .rlim_max = none.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &tight) != 0 ||
        connect(second.fd, (const struct sockaddr *)&to, size) != 0) {
        return 3;
    }
    for (int i = 0; i < 5000 && srv_transport_stats(world.transport).failed_accepts < 2; i++) {
        nap_ms(1);
    }
    if (srv_transport_stats(world.transport).failed_accepts < 2 ||
        srv_transport_stats(world.transport).failed_accepts > 50) {
        return 4;
    }
    if (!wire_send(&first, "still", 5) || !wire_expect(&first, "still", 5)) {
        return 5;
    }
    if (setrlimit(RLIMIT_NOFILE, &none) != 0 || !wire_send(&second, "now", 3) ||
        !wire_expect(&second, "now", 3)) {
        return 6;
    }
    wire_close(&first);
    wire_close(&second);
    world_finish(&world);
    return 0;
}

static void no_descriptor_left_is_waited_out(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(run_out_of_descriptors());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* What libwebsockets made room for was counted when the transport was opened. */
static int come_too_high(void) {
    struct rlimit usual;
    if (getrlimit(RLIMIT_NOFILE, &usual) != 0 || usual.rlim_max < 256) {
        return 1;
    }
    struct rlimit low = {.rlim_cur = 128, .rlim_max = usual.rlim_max};
    struct rlimit high = {.rlim_cur = 256, .rlim_max = usual.rlim_max};
    struct world world;
    if (setrlimit(RLIMIT_NOFILE, &low) != 0) {
        return 2;
    }
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    if (setrlimit(RLIMIT_NOFILE, &high) != 0 || fcntl(0, F_DUPFD_CLOEXEC, 0) < 0) {
        return 3;
    }
    int last = 0;
    while (last >= 0 && last < 130) {
        last = dup(0);
    }
    struct wire wire = wire_open(&world, WORLD_PLAIN);
    unsigned char byte;
    if (wire_receive(&wire, &byte, 1) > 0) {
        return 4;
    }
    for (int i = 0; i < 5000 && srv_transport_stats(world.transport).failed_accepts == 0; i++) {
        nap_ms(1); /* counted once it is closed */
    }
    if (srv_transport_stats(world.transport).failed_accepts == 0) {
        return 5;
    }
    wire_close(&wire);
    world_finish(&world);
    return 0;
}

static void a_descriptor_too_high_is_refused(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(come_too_high());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- no memory ---- */

static void opening_fails_without_memory(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    int rc = -ENOMEM;
    for (unsigned long n = 1; rc != 0; n++) {
        assert_true(n < 1000);
        fail_alloc_at(n);
        rc = srv_transport_open(&world.config, &world.transport, world.problem);
        fail_alloc_stop();
        assert_true(rc == 0 || rc == -ENOMEM);
    }
    struct wire wire = wire_open(&world, WORLD_TLS);
    assert_true(wire_send(&wire, "x", 1));
    assert_true(wire_expect(&wire, "x", 1));
    wire_close(&wire);
    world_finish(&world);
}

static void accepting_goes_on_after_no_memory(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    fail_alloc_always();
    struct wire lost = wire_open(&world, WORLD_PLAIN);
    unsigned char byte;
    assert_int_equal(wire_receive(&lost, &byte, 1), 0);
    fail_alloc_stop();
    wire_close(&lost);
    struct wire wire = wire_open(&world, WORLD_PLAIN);
    assert_true(wire_send(&wire, "x", 1));
    assert_true(wire_expect(&wire, "x", 1));
    assert_true(srv_transport_stats(world.transport).failed_accepts > 0);
    wire_close(&wire);
    world_finish(&world);
}

/* What libwebsockets allocates: the n-th from now fails, n from 1. */
static atomic_long allocations_left;
/* Those before it: what it loses then is not ours, and stays reachable here. */
static void *_Atomic before_failure[100];

static void *failing(void *room, size_t size, const char *reason) {
    (void)reason;
    if (size == 0) {
        free(room);
        return NULL;
    }
    long left = atomic_fetch_sub(&allocations_left, 1);
    void *more = left == 1 ? NULL : realloc(room, size);
    if (left > 1) {
        static atomic_size_t count;
        before_failure[atomic_fetch_add(&count, 1) % KN_COUNT(before_failure)] = more;
    }
    return more;
}

static size_t count_descriptors(void) {
    size_t count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

/* It may have kept what it could not take over. */
static void libwebsockets_without_memory_harms_nobody(void **state) {
    (void)state;
    static const int with_lws[] = {WORLD_PLAIN, WORLD_TCP_OF_TLS};
    size_t before = count_descriptors();
    struct world world;
    lws_set_allocator(failing);
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    for (size_t i = 0; i < KN_COUNT(with_lws); i++) {
        bool failed = true;
        for (long n = 1; failed; n++) {
            assert_true(n < 100);
            size_t accepted = srv_transport_stats(world.transport).accepted;
            atomic_store(&allocations_left, n);
            struct wire wire = wire_open(&world, with_lws[i]);
            unsigned char byte = 'x';
            while (srv_transport_stats(world.transport).accepted == accepted) {
                nap_ms(1);
            }
            nap_ms(20); /* it is adopted, or not */
            failed = atomic_exchange(&allocations_left, 0) <= 0;
            if (failed && with_lws[i] == WORLD_PLAIN) {
                (void)wire_send(&wire, &byte, 1);
                assert_true(wire_receive(&wire, &byte, 1) <= 0);
            }
            wire_close(&wire);
        }
    }
    world_wait_connections(&world, 0);
    struct wire wire = wire_open(&world, WORLD_TLS);
    assert_true(wire_send(&wire, "x", 1));
    assert_true(wire_expect(&wire, "x", 1));
    wire_close(&wire);
    /* Numbers that were free: whoever closes them twice closes these. */
    int others[8];
    for (size_t i = 0; i < KN_COUNT(others); i++) {
        others[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(others[i] >= 0);
    }
    world_finish(&world);
    for (size_t i = 0; i < KN_COUNT(others); i++) {
        assert_int_equal(close(others[i]), 0);
    }
    /* A TLS connection that the loop library had no memory for: libwebsockets forgets it open. */
    assert_true(count_descriptors() <= before + 1);
}

/* ---- addresses ---- */

static void expect_refusal(struct world *world, const char *address, int error) {
    struct srv_listen listen = {.address = address};
    struct srv_transport_config config = world->config;
    config.listen = &listen;
    config.listen_count = 1;
    struct srv_transport *transport = NULL;
    world->problem[0] = '\0';
    assert_int_equal(srv_transport_open(&config, &transport, world->problem), error);
    assert_null(transport);
    assert_memory_equal(world->problem, address, strlen(address));
}

static void refuses_bad_addresses(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    static const char *const none[] = {
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "localhost:1",
        "127.0.0.1:80x",
        "::1:80",
        "[::1]80",
        "[::1]:",
        "[]:80",
        "[127.0.0.1]:80",
        "127.0.0.1:000080",
        "unix:",
        ":80",
    };
    for (size_t i = 0; i < KN_COUNT(none); i++) {
        expect_refusal(&world, none[i], KN_E_MALFORMED);
    }
    expect_refusal(&world, srv_transport_address(world.transport, WORLD_PLAIN), -EADDRINUSE);
    expect_refusal(&world, srv_transport_address(world.transport, WORLD_UNIX), -EADDRINUSE);
    expect_refusal(&world, "192.0.2.1:0", -EADDRNOTAVAIL);
    expect_refusal(&world, "unix:/nowhere/at/all", -ENOENT);
    char path[WORLD_PATH_BYTES + 8];
    (void)snprintf(path, sizeof(path), "unix:%.100s", world.certificate);
    expect_refusal(&world, path, -EEXIST);
    world_finish(&world);
}

static void replaces_a_stale_unix_socket(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct wire left = {.fd = socket(AF_UNIX, SOCK_STREAM, 0)};
        struct sockaddr_storage at = {.ss_family = AF_UNIX};
        memcpy((char *)&at + offsetof(struct sockaddr, sa_data), world.socket,
               strlen(world.socket) + 1);
        _exit(bind(left.fd, (const struct sockaddr *)&at, 110) == 0 && listen(left.fd, 1) == 0 ? 0
                                                                                               : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    world_open(&world);
    struct stat file;
    assert_int_equal(stat(world.socket, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    struct wire wire = wire_open(&world, WORLD_UNIX);
    assert_true(wire_send(&wire, "x", 1));
    assert_true(wire_expect(&wire, "x", 1));
    wire_close(&wire);
    world_finish(&world);
}

/* ---- stopping ---- */

static void stop_keeps_what_is_there(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    struct wire wire = wire_open(&world, WORLD_PLAIN);
    assert_true(wire_send(&wire, "x", 1));
    assert_true(wire_expect(&wire, "x", 1));
    srv_transport_stop(world.transport);
    srv_transport_stop(world.transport);
    assert_int_equal(access(world.socket, F_OK), -1);
    assert_true(wire_send(&wire, "y", 1));
    assert_true(wire_expect(&wire, "y", 1));
    wire_close(&wire);
    world_finish(&world);
}

static void close_ends_all_and_loops_go_on(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    for (int round = 0; round < 3; round++) {
        world_open(&world);
        struct wire wires[KN_COUNT(kinds)];
        for (size_t i = 0; i < KN_COUNT(kinds); i++) {
            wires[i] = wire_open(&world, kinds[i]);
            assert_true(wire_send(&wires[i], "x", 1));
            assert_true(wire_expect(&wires[i], "x", 1));
        }
        srv_transport_close(world.transport);
        world.transport = NULL;
        assert_int_equal(atomic_load(&world.opened), atomic_load(&world.closed));
        for (size_t i = 0; i < KN_COUNT(kinds); i++) {
            wire_close(&wires[i]);
        }
    }
    srv_transport_close(NULL);
    world_finish(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes),
        cmocka_unit_test(echoes_to_a_slow_reader),
        cmocka_unit_test(sends_and_finishes),
        cmocka_unit_test(sends_files),
        cmocka_unit_test(echoes_tls_with_pauses),
        cmocka_unit_test(sends_both_ways_at_once),
        cmocka_unit_test(a_deaf_owner_makes_the_peer_wait),
        cmocka_unit_test(a_half_close_still_has_its_answer),
        cmocka_unit_test(a_reset_closes),
        cmocka_unit_test(an_abort_resets),
        cmocka_unit_test(a_refused_one_is_closed),
        cmocka_unit_test(a_wake_brings_room),
        cmocka_unit_test(a_peer_that_does_not_end_is_closed),
        cmocka_unit_test(one_too_many_waits),
        cmocka_unit_test(loopback_is_not_limited_by_address),
        cmocka_unit_test(no_descriptor_left_is_waited_out),
        cmocka_unit_test(a_descriptor_too_high_is_refused),
        cmocka_unit_test(opening_fails_without_memory),
        cmocka_unit_test(accepting_goes_on_after_no_memory),
        cmocka_unit_test(libwebsockets_without_memory_harms_nobody),
        cmocka_unit_test(refuses_bad_addresses),
        cmocka_unit_test(replaces_a_stale_unix_socket),
        cmocka_unit_test(stop_keeps_what_is_there),
        cmocka_unit_test(close_ends_all_and_loops_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
