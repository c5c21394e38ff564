/* What keeps a running server together: the order in which its parts begin and end. */
#include "server/server.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/log.h"
#include "server/api/api.h"
#include "server/aws/aws.h"
#include "server/events.h"
#include "server/live.h"
#include "server/sources.h"
#include "server/world.h"

/* All that can be asked of a server. */
static const struct srv_routes *const tables[] = {
    &srv_page_routes,          &srv_metrics_routes,        &srv_api_streams_routes,
    &srv_api_upkeep_routes,    &srv_api_principals_routes, &srv_api_server_routes,
    &srv_events_routes,        &srv_aws_control_routes,    &srv_aws_put_media_routes,
    &srv_aws_get_media_routes,
};

#define URL_BYTES (SRV_ADDRESS_BYTES + sizeof("https://"))
#define ALIVE_NS (5 * KN_NS_PER_S)

struct srv_server {
    struct srv_world world;
    bool has_lock;                  /* and the other one */
    const struct srv_config *first; /* what needs a restart to change stands here */
    /* The configuration's addresses, those with TLS, and the unix socket. */
    struct srv_listen *listen;
    size_t listen_count;
    char socket[sizeof("unix:") + PATH_MAX];
    char (*urls)[URL_BYTES]; /* without the unix socket's */
};

/* Writes down why, and returns `rc`. */
static int refuse(char *problem, int rc, const char *format, ...) KN_PRINTF(3, 4);
static int refuse(char *problem, int rc, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(problem, SRV_SERVE_PROBLEM_BYTES, format, arguments); /* cut is fine */
    va_end(arguments);
    return rc;
}

/* ---- key file and principals ---- */

static int key_problem(char *problem, const char *path, int rc) {
    switch (rc) {
    case -EPERM:
        return refuse(problem, rc,
                      "%s must belong to this user or root, and nobody else may read or write it: "
                      "chmod 600 %s",
                      path, path);
    case -ELOOP:
        return refuse(problem, rc, "%s is a link; key_file has to name the file itself", path);
    case -ENOKEY:
        return refuse(problem, rc,
                      "%s is gone, and with it what the secrets of access keys were encrypted "
                      "with: bring it back (key_file in the configuration names it), or remove "
                      "those keys by kinora key remove and make new ones",
                      path);
    case KN_E_MALFORMED:
        return refuse(problem, rc, "%s is no key file of Kinora; bring back the one it was", path);
    default:
        return refuse(problem, rc, "%s: %s", path, kn_error_text(rc));
    }
}

static int open_keyfile(struct srv_world *world, char *problem) {
    const struct srv_config *config = world->config;
    char path[PATH_MAX];
    int size = config->key_file != NULL
                   ? snprintf(path, sizeof(path), "%s", config->key_file)
                   : snprintf(path, sizeof(path), "%s/" SRV_KEYFILE_NAME, config->data);
    if (size < 0 || (size_t)size >= sizeof(path)) {
        return refuse(problem, -ENAMETOOLONG, "the key file's path is too long");
    }
    int rc = srv_principals_keyfile(world->store, path, &world->keyfile);
    return rc == 0 ? 0 : key_problem(problem, path, rc);
}

static int open_principals(struct srv_world *world, char *problem) {
    int rc = srv_principals_open(world->store, &world->keyfile, &world->principals);
    if (rc == -EKEYREJECTED) {
        return refuse(problem, rc,
                      "the key file is not the one that the secrets of access keys were encrypted "
                      "with: bring that one back (key_file in the configuration names it), or "
                      "remove those keys by kinora key remove and make new ones");
    }
    if (rc != 0) {
        return refuse(problem, rc, "keys and users cannot be read: %s", kn_error_text(rc));
    }
    struct srv_gate_config config = srv_gate_config_defaults();
    config.principals = world->principals;
    config.keyfile = &world->keyfile;
    config.public_url = world->public_url;
    config.session_ns = world->config->http.session_ns;
    rc = srv_gate_create(&config, &world->gate);
    return rc == 0 ? 0 : refuse(problem, rc, "the door cannot be made: %s", kn_error_text(rc));
}

/* ---- where it listens ---- */

static bool is_loopback(const char *address) {
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0 ||
           strncmp(address, "localhost:", 10) == 0 || strncmp(address, "unix:", 5) == 0;
}

static void add_listen(struct srv_server *server, const char *address, bool tls) {
    server->listen[server->listen_count++] = (struct srv_listen){.address = address, .tls = tls};
    server->world.beyond_loopback = server->world.beyond_loopback || !is_loopback(address);
}

static int find_socket(struct srv_server *server, char *problem) {
    const char *data = server->world.config->data;
    struct sockaddr_un room;
    int size = snprintf(server->socket, sizeof(server->socket), "unix:%s/" SRV_SOCKET_NAME, data);
    if (size < 0 || (size_t)size - strlen("unix:") >= sizeof(room.sun_path)) {
        return refuse(problem, -ENAMETOOLONG,
                      "the path of the data directory is too long for the socket in it (%zu bytes "
                      "at most): %s",
                      sizeof(room.sun_path) - sizeof("/" SRV_SOCKET_NAME), data);
    }
    return 0;
}

static int find_addresses(struct srv_server *server, char *problem) {
    const struct srv_config *config = server->world.config;
    size_t count = config->listen.count + config->tls.listen.count;
    server->listen = calloc(count + 1, sizeof(*server->listen));
    server->urls = calloc(count + 1, sizeof(*server->urls));
    if (server->listen == NULL || server->urls == NULL) {
        return refuse(problem, -ENOMEM, "no memory");
    }
    for (size_t i = 0; i < config->listen.count; i++) {
        add_listen(server, config->listen.items[i], false);
    }
    for (size_t i = 0; i < config->tls.listen.count; i++) {
        add_listen(server, config->tls.listen.items[i], true);
    }
    if (srv_gate_is_public(server->world.gate)) { /* by a proxy */
        server->world.beyond_loopback = true;
    }
    int rc = find_socket(server, problem);
    if (rc == 0) {
        add_listen(server, server->socket, false);
    }
    return rc;
}

/* The first address that others than this machine reach: directly, or by what stands before it. */
static const char *first_beyond(const struct srv_server *server) {
    for (size_t i = 0; i < server->listen_count; i++) {
        if (!is_loopback(server->listen[i].address)) {
            return server->listen[i].address;
        }
    }
    return srv_gate_is_public(server->world.gate) ? server->world.config->public_url : NULL;
}

static int check_addresses(const struct srv_server *server, char *problem) {
    const struct srv_world *world = &server->world;
    const char *beyond = first_beyond(server);
    if (beyond == NULL) {
        return 0;
    }
    if (srv_gate_is_open(world->gate)) {
        return refuse(problem, -EPERM,
                      "%s can be reached from other machines, and nobody has credentials yet. Make "
                      "some: kinora user add NAME --grant admin --data %s; or listen on "
                      "127.0.0.1:5466 alone, without public_url",
                      beyond, world->config->data);
    }
    for (size_t i = 0; i < server->listen_count; i++) {
        const struct srv_listen *listen = &server->listen[i];
        if (!listen->tls && !is_loopback(listen->address)) {
            kn_log_warn("passwords and video cross the network readable: there is no TLS here",
                        kn_str("address", listen->address));
        }
    }
    return 0;
}

static void write_urls(struct srv_server *server) {
    const struct srv_transport *transport = srv_http_server_transport(server->world.http);
    for (size_t i = 0; i + 1 < server->listen_count; i++) {
        const char *address = srv_transport_address(transport, i);
        bool local = strncmp(address, "unix:", strlen("unix:")) == 0; /* which no URL names */
        const char *scheme = server->listen[i].tls ? "https://" : "http://";
        (void)snprintf(server->urls[i], URL_BYTES, "%s%s", local ? "" : scheme,
                       address); /* fits by their sizes */
    }
}

/* ---- starting ---- */

static struct srv_http_server_config http_config(struct srv_server *server) {
    const struct srv_config *config = server->world.config;
    struct srv_http_server_config http = srv_http_server_config_defaults();
    http.world = &server->world;
    http.loops = config->http.loops;
    http.workers = config->http.workers;
    http.queue = config->http.queue;
    http.body_bytes = config->http.body_bytes;
    http.transport.listen = server->listen;
    http.transport.listen_count = server->listen_count;
    http.transport.certificate = config->tls.certificate;
    http.transport.key = config->tls.key;
    http.transport.max_connections = config->http.connections;
    http.transport.max_per_address = config->http.connections_per_address;
    http.times.head_ns = config->http.head_ns;
    http.times.body_ns = config->http.body_ns;
    http.times.write_ns = config->http.write_ns;
    http.times.idle_ns = config->http.idle_ns;
    http.times.drain_ns = config->http.drain_ns;
    http.log_requests = (enum srv_log_requests)config->log.requests;
    http.log_file = config->log.file;
    http.routes = tables;
    http.route_tables = KN_COUNT(tables);
    return http;
}

static int create_parts(struct srv_world *world) {
    const struct srv_live_config live = {.max_entries = 8192, .clock = world->clock};
    int rc = srv_live_create(&live, &world->live);
    if (rc == 0) {
        rc = srv_events_create(world, &world->events);
    }
    return rc == 0 ? srv_sources_create(world, &world->sources) : rc;
}

static int start_parts(struct srv_server *server, char *problem) {
    struct srv_world *world = &server->world;
    char why[SRV_PROBLEM_BYTES] = "";
    int rc = create_parts(world);
    if (rc != 0) {
        return refuse(problem, rc, "%s", kn_error_text(rc));
    }
    const struct srv_http_server_config http = http_config(server);
    struct srv_http_server *started;
    rc = srv_http_server_start(&http, &started, why);
    if (rc != 0) {
        return refuse(problem, rc, "%s", why);
    }
    world->http = started;
    write_urls(server);
    rc = srv_events_start(world->events);
    if (rc != 0) {
        return refuse(problem, rc, "the thread of events does not start: %s", kn_error_text(rc));
    }
    size_t failed;
    srv_sources_apply(world->sources, world->config, &failed); /* logged one by one */
    return 0;
}

/* With who takes it alone before those who share it: streams of requests must not keep a reload
 * waiting for ever. */
static int init_locks(struct srv_server *server) {
    pthread_rwlockattr_t attributes;
    int rc = -pthread_mutex_init(&server->world.lock, NULL);
    if (rc != 0) {
        return rc;
    }
    server->has_lock = true;
    (void)pthread_rwlockattr_init(&attributes); /* cannot fail on Linux, nor can what follows */
    (void)pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&server->world.ownership, &attributes);
    (void)pthread_rwlockattr_destroy(&attributes);
    return 0;
}

static int begin(struct srv_server *server, const struct srv_serve_config *config, char *problem) {
    struct srv_world *world = &server->world;
    int rc = init_locks(server);
    if (rc != 0) {
        return refuse(problem, rc, "%s", kn_error_text(rc));
    }
    world->store = config->store;
    world->opening = *config->opening;
    world->clock = kn_clock_system();
    world->started = world->clock->wall(world->clock);
    world->config = srv_config_ref(config->config);
    server->first = srv_config_ref(config->config);
    world->public_url = server->first->public_url;
    rc = open_keyfile(world, problem);
    if (rc == 0) {
        rc = open_principals(world, problem);
    }
    if (rc == 0) {
        rc = find_addresses(server, problem);
    }
    if (rc == 0) {
        rc = check_addresses(server, problem);
    }
    return rc == 0 ? start_parts(server, problem) : rc;
}

int srv_serve(const struct srv_serve_config *config, struct srv_server **ret_server,
              char problem[static SRV_SERVE_PROBLEM_BYTES]) {
    struct srv_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return refuse(problem, -ENOMEM, "no memory");
    }
    int rc = begin(server, config, problem);
    if (rc != 0) {
        srv_stop(server);
        return rc;
    }
    *ret_server = server;
    return 0;
}

/* ---- while it runs ---- */

const char *srv_server_url(const struct srv_server *server, size_t at) {
    return at + 1 < server->listen_count ? server->urls[at] : "";
}

bool srv_server_is_open(const struct srv_server *server) {
    return srv_gate_is_open(server->world.gate);
}

static void tell_restart(const char *key, void *user) {
    (void)user;
    kn_log_warn("a changed key takes effect at the next start", kn_str("name", key));
}

/* Gives back the one before, by which nobody changes a stream any more. */
static const struct srv_config *swap_config(struct srv_world *world,
                                            const struct srv_config *config) {
    srv_world_take_ownership(world);
    (void)pthread_mutex_lock(&world->lock);
    const struct srv_config *old = world->config;
    world->config = srv_config_ref(config);
    (void)pthread_mutex_unlock(&world->lock);
    srv_world_unlock_ownership(world);
    return old;
}

static int reload_certificate(struct srv_world *world, const struct srv_config *config) {
    char problem[SRV_PROBLEM_BYTES] = "";
    if (config->tls.certificate == NULL || config->tls.key == NULL) {
        return 0;
    }
    int rc = srv_transport_reload(srv_http_server_transport(world->http), config->tls.certificate,
                                  config->tls.key, problem);
    if (rc != 0) {
        kn_log_error("the certificate stays as it was", kn_str("reason", problem));
    }
    return rc;
}

/* Opened again also where its name stays: somebody may have moved it away. */
static int reload_log(struct srv_world *world, const struct srv_config *config) {
    int rc = srv_http_server_log(world->http, (enum srv_log_requests)config->log.requests,
                                 config->log.file);
    if (rc != 0) {
        kn_log_error("the log of requests stays where it was", kn_str("path", config->log.file),
                     kn_err("error", rc));
    }
    return rc;
}

void srv_reload(struct srv_server *server, const struct srv_config *config) {
    struct srv_world *world = &server->world;
    const struct srv_config *old = swap_config(world, config);
    size_t failed = 0;
    srv_config_compare(server->first, config, tell_restart, NULL);
    bool kept = reload_certificate(world, config) != 0;
    kept = reload_log(world, config) != 0 || kept;
    srv_sources_apply(world->sources, config, &failed);
    kn_log_info("configuration read again",
                kn_str("path", config->path == NULL ? "-" : config->path),
                kn_uint("streams", config->stream_count), kn_uint("failed_streams", failed),
                kn_str("taken", kept ? "but for what was told above" : "all"));
    srv_config_unref(old);
}

bool srv_server_alive(struct srv_server *server) {
    (void)frag_store_stats(server->world.store); /* takes the store's locks */
    return srv_http_server_answers(server->world.http, ALIVE_NS);
}

/* ---- the end: what takes part first, then what it stood on ---- */

static void stop_parts(struct srv_world *world) {
    if (world->http != NULL) {
        srv_http_server_drain(world->http); /* sources go on recording meanwhile */
    }
    /* The thread of events ticks the sources, and requests that are left ask for them. */
    if (world->events != NULL) {
        srv_events_stop(world->events);
    }
    srv_http_server_stop(world->http);
    srv_sources_destroy(world->sources);
    srv_events_destroy(world->events);
    srv_live_destroy(world->live);
    srv_gate_destroy(world->gate);
    srv_principals_close(world->principals);
    srv_keyfile_wipe(&world->keyfile);
    srv_config_unref(world->config);
}

void srv_stop(struct srv_server *server) {
    if (server == NULL) {
        return;
    }
    stop_parts(&server->world);
    srv_config_unref(server->first);
    if (server->has_lock) {
        (void)pthread_rwlock_destroy(&server->world.ownership);
        (void)pthread_mutex_destroy(&server->world.lock);
    }
    free(server->listen);
    free(server->urls);
    free(server);
}
