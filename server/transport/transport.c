#include "server/transport/transport.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "server/transport/inner.h"

struct srv_transport_config srv_transport_config_defaults(void) {
    return (struct srv_transport_config){.max_connections = 4096, .max_per_address = 256};
}

static int tell(char problem[static SRV_PROBLEM_BYTES], const char *where, int rc) {
    (void)snprintf(problem, SRV_PROBLEM_BYTES, "%.300s: %s", where, kn_error_text(rc));
    return rc;
}

/* ---- once in a process ---- */

static void log_line(int level, const char *line) {
    char text[256];
    (void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(line, "\r\n"), line);
    if (level == LLL_ERR) {
        kn_log_error("libwebsockets", kn_str("text", text));
    } else {
        kn_log_warn("libwebsockets", kn_str("text", text));
    }
}

static void set_up_process(void) {
    lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
    /* sendfile and OpenSSL's writes know no MSG_NOSIGNAL. */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* fails only for what is no signal */
}

/* ---- open ---- */

static int open_listener(struct srv_listener *listener, const struct srv_listen *wish,
                         char problem[static SRV_PROBLEM_BYTES]) {
    struct srv_address address;
    int rc = srv_address_parse(wish->address, &address);
    if (rc < 0) {
        (void)snprintf(problem, SRV_PROBLEM_BYTES,
                       "%.300s: no address: as 127.0.0.1:5466, [::1]:5466 or unix:/path",
                       wish->address);
        return rc;
    }
    rc = srv_address_listen(&address, &listener->fd, &listener->bound);
    if (rc < 0) {
        return tell(problem, wish->address, rc);
    }
    listener->tls = wish->tls;
    srv_address_print(&listener->bound, listener->text);
    struct stat file;
    if (listener->bound.sock.any.sa_family == AF_UNIX &&
        lstat(listener->bound.sock.local.sun_path, &file) == 0) {
        listener->device = file.st_dev;
        listener->inode = file.st_ino;
    }
    return 0;
}

static int open_listeners(struct srv_transport *transport,
                          const struct srv_transport_config *config,
                          char problem[static SRV_PROBLEM_BYTES]) {
    for (size_t i = 0; i < config->listen_count; i++) {
        int rc = open_listener(&transport->listeners[i], &config->listen[i], problem);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static bool needs_tls(const struct srv_transport_config *config) {
    bool tls = false;
    for (size_t i = 0; i < config->listen_count; i++) {
        tls = tls || config->listen[i].tls;
    }
    return tls;
}

static int start_carriers(struct srv_transport *transport,
                          const struct srv_transport_config *config,
                          char problem[static SRV_PROBLEM_BYTES]) {
    for (size_t i = 0; i < transport->carrier_count; i++) {
        struct srv_carrier_start start = {.carrier = &transport->carriers[i],
                                          .tls = needs_tls(config)};
        /* One after the other: libwebsockets has state of the whole process. */
        int rc = kn_loop_call(config->loops[i], srv_carrier_start, &start);
        if (rc == 0) {
            rc = start.rc;
        }
        if (rc < 0) {
            return tell(problem, "libwebsockets", rc);
        }
    }
    return 0;
}

static int start_acceptor(struct srv_transport *transport,
                          const struct srv_transport_config *config,
                          char problem[static SRV_PROBLEM_BYTES]) {
    struct srv_acceptor_start start = {.acceptor = &transport->acceptor};
    int rc = kn_loop_call(config->loops[0], srv_acceptor_start, &start);
    if (rc == 0) {
        rc = start.rc;
    }
    return rc < 0 ? tell(problem, "listening", rc) : 0;
}

static int create(const struct srv_transport_config *config, struct srv_transport **ret_transport) {
    struct srv_transport *transport = calloc(1, sizeof(*transport));
    if (transport == NULL) {
        return -ENOMEM;
    }
    KN_ASSERT(pthread_mutex_init(&transport->lock, NULL) == 0); /* cannot fail with defaults */
    KN_ASSERT(pthread_cond_init(&transport->ended, NULL) == 0);
    transport->handler = config->handler;
    transport->user = config->user;
    transport->max_connections = config->max_connections;
    transport->max_descriptors = srv_carrier_max_descriptors();
    transport->acceptor.transport = transport;
    transport->acceptor.has_ended = true; /* until it starts */
    int rc = srv_peers_create(config->max_connections, config->max_per_address, &transport->peers);
    transport->carriers = calloc(config->loop_count, sizeof(*transport->carriers));
    transport->listeners = calloc(config->listen_count, sizeof(*transport->listeners));
    if (rc < 0 || transport->carriers == NULL || transport->listeners == NULL) {
        srv_transport_close(transport);
        return rc < 0 ? rc : -ENOMEM;
    }
    transport->carrier_count = config->loop_count;
    transport->listener_count = config->listen_count;
    for (size_t i = 0; i < config->loop_count; i++) {
        transport->carriers[i].transport = transport;
        transport->carriers[i].loop = config->loops[i];
        transport->carriers[i].has_ended = true; /* until it starts */
    }
    for (size_t i = 0; i < config->listen_count; i++) {
        transport->listeners[i].acceptor = &transport->acceptor;
        transport->listeners[i].fd = -1;
    }
    *ret_transport = transport;
    return 0;
}

static int prepare_tls(struct srv_transport *transport, const struct srv_transport_config *config,
                       char problem[static SRV_PROBLEM_BYTES]) {
    if (!needs_tls(config)) {
        return 0;
    }
    if (config->certificate == NULL || config->key == NULL) {
        (void)snprintf(problem, SRV_PROBLEM_BYTES, "TLS needs a certificate and its key");
        return KN_E_MALFORMED;
    }
    if (RAND_bytes(transport->ticket_keys, sizeof(transport->ticket_keys)) != 1) {
        return tell(problem, "random bytes", -EIO);
    }
    return srv_cert_read(config->certificate, config->key, &transport->cert, problem);
}

int srv_transport_open(const struct srv_transport_config *config,
                       struct srv_transport **ret_transport,
                       char problem[static SRV_PROBLEM_BYTES]) {
    KN_ASSERT(config->loop_count > 0 && config->listen_count > 0 && config->handler != NULL);
    KN_ASSERT(config->max_connections > 0 && config->max_per_address > 0);
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, set_up_process); /* fails only for what is no pthread_once_t */
    struct srv_transport *transport;
    int rc = create(config, &transport);
    if (rc < 0) {
        return tell(problem, "transport", rc);
    }
    rc = prepare_tls(transport, config, problem);
    if (rc == 0) {
        rc = open_listeners(transport, config, problem);
    }
    if (rc == 0) {
        rc = start_carriers(transport, config, problem);
    }
    if (rc == 0) {
        rc = start_acceptor(transport, config, problem);
    }
    if (rc < 0) {
        srv_transport_close(transport);
        return rc;
    }
    *ret_transport = transport;
    return 0;
}

/* ---- while it runs ---- */

int srv_transport_reload(struct srv_transport *transport, const char *certificate, const char *key,
                         char problem[static SRV_PROBLEM_BYTES]) {
    struct srv_cert *cert;
    int rc = srv_cert_read(certificate, key, &cert, problem);
    if (rc < 0) {
        return rc;
    }
    (void)pthread_mutex_lock(&transport->lock); /* a plain mutex, never held twice: cannot fail */
    struct srv_cert *old = transport->cert;
    transport->cert = cert;
    (void)pthread_mutex_unlock(&transport->lock);
    srv_cert_destroy(old); /* connections have references of their own to what they use */
    return 0;
}

const char *srv_transport_address(const struct srv_transport *transport, size_t at) {
    return at < transport->listener_count ? transport->listeners[at].text : "";
}

struct srv_transport_stats srv_transport_stats(const struct srv_transport *transport) {
    struct srv_transport_stats stats = {
        .connections = atomic_load(&transport->connections),
        .most_connections = atomic_load(&transport->most_connections),
        .accepted = atomic_load(&transport->accepted),
        .refused_per_address = atomic_load(&transport->refused_per_address),
        .failed_handshakes = atomic_load(&transport->failed_handshakes),
        .failed_accepts = atomic_load(&transport->failed_accepts),
    };
    for (size_t i = 0; i < transport->carrier_count; i++) {
        stats.received_bytes += atomic_load(&transport->carriers[i].received_bytes);
        stats.sent_bytes += atomic_load(&transport->carriers[i].sent_bytes);
    }
    return stats;
}

/* ---- close ---- */

void srv_transport_stop(struct srv_transport *transport) {
    srv_acceptor_stop(&transport->acceptor);
}

void srv_transport_close(struct srv_transport *transport) {
    if (transport == NULL) {
        return;
    }
    srv_transport_stop(transport);
    for (size_t i = 0; i < transport->carrier_count; i++) {
        srv_carrier_stop(&transport->carriers[i]);
    }
    for (size_t i = 0; i < transport->listener_count; i++) {
        if (transport->listeners[i].fd >= 0) {
            srv_acceptor_drop(&transport->listeners[i]); /* the acceptor never had it */
        }
    }
    srv_cert_destroy(transport->cert);
    srv_peers_destroy(transport->peers);
    OPENSSL_cleanse(transport->ticket_keys, sizeof(transport->ticket_keys));
    (void)pthread_cond_destroy(&transport->ended);
    (void)pthread_mutex_destroy(&transport->lock);
    free(transport->carriers);
    free(transport->listeners);
    free(transport);
}
