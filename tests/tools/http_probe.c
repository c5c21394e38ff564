/* A server for benches, with what the product has no route for yet: a file, and an upload that is
 * acknowledged while it goes on.
 *
 *     http_probe DATA FILE LOOPS ADDRESS [TLS-ADDRESS CERTIFICATE KEY]
 *
 * GET /file sends FILE, GET /small a few bytes; POST /upload takes a body of any length and answers
 * a line of 100 bytes to each 64 KiB of it. It prints where it listens, and ends with its input. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/time.h"
#include "server/auth/door.h"
#include "server/exchange/exchange.h"
#include "server/exchange/http_server.h"
#include "server/world.h"

#define ACK_EVERY ((size_t)64 * 1024)
#define ACK_BYTES 100

static const char *file_path;

static void answer_file(struct srv_exchange *exchange) {
    struct stat about;
    int fd = open(file_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0) {
        srv_answer_failure(exchange, -errno, "the file");
        return;
    }
    srv_answer_file(exchange, 200, "application/octet-stream", fd, 0, (uint64_t)about.st_size);
}

static void answer_small(struct srv_exchange *exchange) {
    srv_answer(exchange, 200, "text/plain", "small\n", 6);
}

struct upload {
    size_t left; /* until the next acknowledgement */
};

static size_t take_body(struct srv_exchange *exchange, const void *data, size_t size, void *user) {
    struct upload *upload = user;
    char line[ACK_BYTES];
    (void)data;
    if (size < upload->left) {
        upload->left -= size;
        return size;
    }
    memset(line, ' ', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    if (srv_exchange_send(exchange, line, sizeof(line)) != 0) {
        srv_exchange_break(exchange);
    }
    upload->left = ACK_EVERY;
    return size;
}

static void end_body(struct srv_exchange *exchange, bool whole, void *user) {
    (void)user;
    if (whole) {
        srv_exchange_end(exchange);
    } else {
        srv_exchange_break(exchange);
    }
}

static void close_upload(struct srv_exchange *exchange, void *user) {
    (void)exchange;
    free(user);
}

static const struct srv_flow upload_flow = {
    .body = take_body,
    .body_end = end_body,
    .closed = close_upload,
};

static void take_upload(struct srv_exchange *exchange) {
    struct upload *upload = calloc(1, sizeof(*upload));
    if (upload == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "an upload");
        return;
    }
    upload->left = ACK_EVERY;
    srv_exchange_go_on(exchange, &upload_flow, upload);
    if (srv_exchange_begin(exchange, 200, "text/plain", SRV_HTTP_UNKNOWN_LENGTH) != 0) {
        srv_exchange_break(exchange);
    }
}

static const struct srv_route rows[] = {
    {.name = "File",
     .method = SRV_HTTP_GET,
     .path = "/file",
     .on_loop = true,
     .handle = answer_file},
    {.name = "Small",
     .method = SRV_HTTP_GET,
     .path = "/small",
     .on_loop = true,
     .handle = answer_small},
    {.name = "Upload",
     .method = SRV_HTTP_POST,
     .path = "/upload",
     .body = SRV_BODY_FLOW,
     .body_max = UINT64_MAX,
     .on_loop = true,
     .unsigned_body = true,
     .handle = take_upload},
};
static const struct srv_routes routes = {.rows = rows, .count = KN_COUNT(rows)};

static int fail(const char *what, int rc) {
    fprintf(stderr, "http_probe: %s: %s\n", what, kn_error_text(rc));
    return 1;
}

static int open_world(const char *data, struct srv_world *world) {
    struct frag_store_config store = frag_store_config_defaults();
    store.data = data;
    store.mode = FRAG_STORE_WRITE;
    store.threads = true;
    store.min_free_bytes = 0;
    world->clock = kn_clock_system();
    int rc = frag_store_open(&store, &world->store, NULL);
    if (rc == 0) {
        rc = srv_principals_open(world->store, &world->keyfile, &world->principals);
    }
    if (rc == 0) {
        struct srv_gate_config gate = srv_gate_config_defaults();
        gate.principals = world->principals;
        gate.keyfile = &world->keyfile;
        rc = srv_gate_create(&gate, &world->gate);
    }
    return rc;
}

static int serve(struct srv_world *world, int argc, char **argv) {
    const struct srv_listen listen[2] = {{.address = argv[4]},
                                         {.address = argc > 5 ? argv[5] : NULL, .tls = true}};
    const struct srv_routes *const tables[] = {&routes};
    char problem[SRV_PROBLEM_BYTES] = "";
    struct srv_http_server_config config = srv_http_server_config_defaults();
    config.world = world;
    config.loops = (size_t)strtoul(argv[3], NULL, 10);
    config.transport.listen = listen;
    config.transport.listen_count = argc > 7 ? 2 : 1;
    config.transport.certificate = argc > 7 ? argv[6] : NULL;
    config.transport.key = argc > 7 ? argv[7] : NULL;
    config.transport.max_connections = 8192;
    config.transport.max_per_address = 8192;
    config.log_requests = SRV_LOG_NONE;
    config.times.idle_ns = 600 * KN_NS_PER_S;
    config.routes = tables;
    config.route_tables = 1;
    struct srv_http_server *http = NULL;
    int rc = srv_http_server_start(&config, &http, problem);
    if (rc != 0) {
        return fail(problem, rc);
    }
    const struct srv_transport *transport = srv_http_server_transport(http);
    printf("%s %s\n", srv_transport_address(transport, 0), srv_transport_address(transport, 1));
    fflush(stdout);
    char end;
    (void)!read(STDIN_FILENO, &end, 1); /* its end is what counts */
    srv_http_server_stop(http);
    return 0;
}

int main(int argc, char **argv) {
    struct srv_world world = {0};
    if (argc != 5 && argc != 8) {
        fputs("usage: http_probe DATA FILE LOOPS ADDRESS [TLS-ADDRESS CERTIFICATE KEY]\n", stderr);
        return 2;
    }
    file_path = argv[2];
    int rc = open_world(argv[1], &world);
    int code = rc == 0 ? serve(&world, argc, argv) : fail(argv[1], rc);
    srv_gate_destroy(world.gate);
    srv_principals_close(world.principals);
    frag_store_close(world.store);
    return code;
}
