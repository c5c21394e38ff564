/* What is particular to TLS: versions, certificates, time limits. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "tests/support/transport_world.h"

static void nap_ms(long ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL); /* early is fine */
}

static bool echoes(struct wire *wire, const char *text) {
    return wire_send(wire, text, strlen(text)) && wire_expect(wire, text, strlen(text));
}

/* A connection by a context that the test has made. */
static int shake_hands(struct world *world, SSL_CTX *context, struct wire *ret_wire) {
    *ret_wire = wire_open(world, WORLD_TCP_OF_TLS);
    ret_wire->ssl = SSL_new(context);
    assert_non_null(ret_wire->ssl);
    assert_int_equal(SSL_set_fd(ret_wire->ssl, ret_wire->fd), 1);
    return SSL_connect(ret_wire->ssl);
}

static SSL_CTX *versions(int lowest, int highest) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    assert_non_null(context);
    SSL_CTX_set_security_level(context, 0); /* so that it offers what is old */
    assert_int_equal(SSL_CTX_set_min_proto_version(context, lowest), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(context, highest), 1);
    return context;
}

/* ---- versions ---- */

static void tls_1_2_and_1_3_only(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    static const int good[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    static const int bad[] = {TLS1_VERSION, TLS1_1_VERSION};
    struct wire wire;
    for (size_t i = 0; i < KN_COUNT(good); i++) {
        SSL_CTX *context = versions(good[i], good[i]);
        assert_int_equal(shake_hands(&world, context, &wire), 1);
        assert_int_equal(SSL_version(wire.ssl), good[i]);
        assert_true(echoes(&wire, "hello"));
        wire_close(&wire);
        SSL_CTX_free(context);
    }
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        SSL_CTX *context = versions(bad[i], bad[i]);
        assert_true(shake_hands(&world, context, &wire) <= 0);
        assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
        ERR_clear_error();
        wire_close(&wire);
        SSL_CTX_free(context);
    }
    world_wait_connections(&world, 0);
    assert_int_equal(srv_transport_stats(world.transport).failed_handshakes, KN_COUNT(bad));
    assert_int_equal(atomic_load(&world.opened), KN_COUNT(good));
    world_finish(&world);
}

static void no_protocol_is_chosen(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    struct wire wire = wire_open(&world, WORLD_TLS); /* it offers h2 and http/1.1 */
    const unsigned char *name = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(wire.ssl, &name, &size);
    assert_int_equal(size, 0);
    /* What libwebsockets' own parser would take for HTTP comes back as it is. */
    assert_true(echoes(&wire, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    wire_close(&wire);
    world_finish(&world);
}

static void no_renegotiation(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    SSL_CTX *context = versions(TLS1_2_VERSION, TLS1_2_VERSION);
    struct wire wire;
    assert_int_equal(shake_hands(&world, context, &wire), 1);
    assert_true(echoes(&wire, "hello"));
    assert_int_equal(SSL_renegotiate(wire.ssl), 1);
    assert_true(SSL_do_handshake(wire.ssl) <= 0);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    ERR_clear_error();
    wire_close(&wire);
    SSL_CTX_free(context);
    world_finish(&world);
}

static void sessions_resume(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    SSL_CTX *context = versions(TLS1_2_VERSION, TLS1_2_VERSION);
    struct wire wire;
    assert_int_equal(shake_hands(&world, context, &wire), 1);
    SSL_SESSION *session = SSL_get1_session(wire.ssl);
    struct wire others[3];
    /* The next ones are on either loop. */
    for (size_t i = 0; i < KN_COUNT(others); i++) {
        others[i] = wire_open(&world, WORLD_TCP_OF_TLS);
        others[i].ssl = SSL_new(context);
        assert_int_equal(SSL_set_fd(others[i].ssl, others[i].fd), 1);
        assert_int_equal(SSL_set_session(others[i].ssl, session), 1);
        assert_int_equal(SSL_connect(others[i].ssl), 1);
        assert_int_equal(SSL_session_reused(others[i].ssl), 1);
        assert_true(echoes(&others[i], "again"));
    }
    for (size_t i = 0; i < KN_COUNT(others); i++) {
        wire_close(&others[i]);
    }
    wire_close(&wire);
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
    world_finish(&world);
}

/* ---- noise ---- */

static void what_is_no_tls_is_closed(void **state) {
    (void)state;
    static const char *const noise[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                        "\x16\x03\x01\x00\x05junk!", "\r\n"};
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    for (size_t i = 0; i < KN_COUNT(noise); i++) {
        struct wire wire = wire_open(&world, WORLD_TCP_OF_TLS);
        assert_true(wire_send(&wire, noise[i], strlen(noise[i])));
        (void)shutdown(wire.fd, SHUT_WR); /* fails where it was closed already */
        char room[256] = "";
        while (wire_receive(&wire, room, sizeof(room)) > 0) {
            assert_null(memmem(room, sizeof(room), "HTTP", 4));
        }
        wire_close(&wire);
    }
    world_wait_connections(&world, 0);
    assert_int_equal(srv_transport_stats(world.transport).failed_handshakes, KN_COUNT(noise));
    assert_int_equal(atomic_load(&world.opened), 0);
    world_finish(&world);
}

/* One that says nothing is closed after 10 s; one that has shaken hands stays, quiet or not. */
static void time_limits_a_handshake_only(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    struct wire silent = wire_open(&world, WORLD_TCP_OF_TLS);
    struct wire quiet = wire_open(&world, WORLD_TLS);
    struct wire busy = wire_open(&world, WORLD_TLS);
    for (int i = 0; i < 120; i++) {
        assert_true(echoes(&busy, "x"));
        nap_ms(100);
    }
    assert_int_equal(srv_transport_stats(world.transport).connections, 2);
    assert_int_equal(srv_transport_stats(world.transport).failed_handshakes, 1);
    assert_true(echoes(&quiet, "still there"));
    unsigned char byte;
    assert_int_equal(wire_receive(&silent, &byte, 1), 0);
    wire_close(&silent);
    wire_close(&quiet);
    wire_close(&busy);
    world_finish(&world);
}

/* ---- certificates ---- */

static void expect_name(struct wire *wire, const char *name) {
    X509 *certificate = SSL_get1_peer_certificate(wire->ssl);
    assert_non_null(certificate);
    char room[64] = "";
    assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, room,
                                          sizeof(room)) > 0);
    assert_string_equal(room, name);
    X509_free(certificate);
}

static void expect_problem(struct world *world, const char *certificate, const char *key,
                           int error) {
    world->problem[0] = '\0';
    assert_int_equal(srv_transport_reload(world->transport, certificate, key, world->problem),
                     error);
    assert_memory_equal(world->problem, "/", 1); /* it names the file */
}

static void reload_serves_the_new_one(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    struct wire old = wire_open(&world, WORLD_TLS);
    expect_name(&old, "first");
    world_make_cert(world.certificate, world.key, "second", 2048);
    assert_int_equal(
        srv_transport_reload(world.transport, world.certificate, world.key, world.problem), 0);
    for (int i = 0; i < 3; i++) {
        struct wire new = wire_open(&world, WORLD_TLS);
        expect_name(&new, "second");
        assert_true(echoes(&new, "new"));
        wire_close(&new);
    }
    assert_true(echoes(&old, "old"));
    wire_close(&old);
    world_finish(&world);
}

static void a_failed_reload_changes_nothing(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world_open(&world);
    char other[WORLD_PATH_BYTES];
    char other_key[WORLD_PATH_BYTES];
    (void)snprintf(other, sizeof(other), "%.100s/other.pem", world.directory);
    (void)snprintf(other_key, sizeof(other_key), "%.100s/other-key.pem", world.directory);
    world_make_cert(other, other_key, "other", 0);
    expect_problem(&world, other, world.key, KN_E_MALFORMED);
    expect_problem(&world, world.certificate, other_key, KN_E_MALFORMED);
    expect_problem(&world, world.key, world.key, KN_E_MALFORMED);
    expect_problem(&world, world.certificate, world.certificate, KN_E_MALFORMED);
    expect_problem(&world, "/nowhere", world.key, -ENOENT);
    expect_problem(&world, world.certificate, "/nowhere", -ENOENT);
    world_make_cert(other, other_key, "weak", 512);
    expect_problem(&world, other, other_key, KN_E_MALFORMED);
    struct wire wire = wire_open(&world, WORLD_TLS);
    expect_name(&wire, "first");
    wire_close(&wire);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(unlink(other_key), 0);
    world_finish(&world);
}

static void opening_needs_a_pair(void **state) {
    (void)state;
    struct world world;
    world_init(&world, WORLD_ECHO);
    world.config.key = NULL;
    assert_int_equal(srv_transport_open(&world.config, &world.transport, world.problem),
                     KN_E_MALFORMED);
    world.config.key = world.certificate;
    assert_int_equal(srv_transport_open(&world.config, &world.transport, world.problem),
                     KN_E_MALFORMED);
    world_finish(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_1_2_and_1_3_only),
        cmocka_unit_test(no_protocol_is_chosen),
        cmocka_unit_test(no_renegotiation),
        cmocka_unit_test(sessions_resume),
        cmocka_unit_test(what_is_no_tls_is_closed),
        cmocka_unit_test(time_limits_a_handshake_only),
        cmocka_unit_test(reload_serves_the_new_one),
        cmocka_unit_test(a_failed_reload_changes_nothing),
        cmocka_unit_test(opening_needs_a_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
