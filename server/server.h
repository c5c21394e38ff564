/* The face of server/: HTTP, authorisation, configuration, the API, and what keeps a running Kinora
 * together.
 *
 *     srv_config_load -> frag_store_open -> srv_serve -> wait for signals, srv_reload -> srv_stop
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdbool.h>

#include "base/attributes.h"
#include "fragments/fragments.h"
#include "server/auth/cert.h"
#include "server/auth/keyfile.h"
#include "server/auth/principals.h"
#include "server/config/config.h"

struct srv_server;

#define SRV_SOCKET_NAME "kinora.sock" /* in the data directory: for commands of this machine */
#define SRV_KEYFILE_NAME "kinora.key"

struct srv_serve_config {
    const struct srv_config *config;
    struct frag_store *store; /* opened for writing with threads; outlives it */
    const struct frag_store_opening *opening;
};

#define SRV_SERVE_PROBLEM_BYTES 1024u

/* Opens key file and principals, listens, applies streams, starts their sources. Blocks. 0; -EPERM:
 * an address beyond loopback and no credentials; else a negative errno, always with `problem`,
 * which says what to do. */
KN_MUST_CHECK int srv_serve(const struct srv_serve_config *config, struct srv_server **ret_server,
                            char problem[static SRV_SERVE_PROBLEM_BYTES]);
/* Where it listens, in the order of the configuration, "" behind the last one; for people: with
 * scheme, "http://127.0.0.1:5466". */
const char *srv_server_url(const struct srv_server *server, size_t at);
/* Nobody has credentials: whoever is on this machine may do everything. */
bool srv_server_is_open(const struct srv_server *server);
/* Takes another configuration. Blocks. Keys that need a restart stay as they are; these, and what
 * could not be taken, are logged. */
void srv_reload(struct srv_server *server, const struct srv_config *config);
/* Everything moves: loops, workers, the store. Blocks for at most 5 s; for the watchdog. */
bool srv_server_alive(struct srv_server *server);
/* Requests end, producers are told, sources stop, threads end. Blocks. NULL is fine. */
void srv_stop(struct srv_server *server);

/* ---- a client of a running server, for commands of this machine: over the unix socket ---- */

struct srv_client;

/* -ENOENT or -ECONNREFUSED: no server runs on the store in `data`. -EACCES: another user's. */
KN_MUST_CHECK int srv_client_open(const char *data, struct srv_client **ret_client);
void srv_client_close(struct srv_client *client);
/* One request; `body` NULL: none. 0 whatever the status; *ret_answer NULL where the answer has no
 * JSON, else a new reference. -ETIMEDOUT and the like: no answer. Blocks. */
struct json_t;
KN_MUST_CHECK int srv_client_ask(struct srv_client *client, const char *method, const char *path,
                                 const struct json_t *body, int *ret_status,
                                 struct json_t **ret_answer);

/* Reads the routes' names and descriptions; for tests and documentation. */
const char *srv_openapi(void);

#endif
