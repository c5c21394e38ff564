/* The door: who a request is from, and whether it may. The one check of every front door; nothing
 * is allowed that it did not allow.
 *
 *     srv_door_open once a loop
 *     srv_door_ask(door, &visit, &answer)
 *         FINE: answer.principal asked, and may    -> srv_door_answer_finish when it is answered
 *         ASK_WORKER: srv_door_ask_blocking on a worker decides (a password must be hashed)
 *         AFTER_BODY: ask again with visit.body_sha256 (a signature covers the body)
 *         else: refused; status, code, message, challenge say how to answer
 *
 * Credentials, of which a request may bring one kind: SigV4 in its header or query; "Authorization:
 * Bearer" with a token of ours or a session's; "Authorization: Basic" with a user's name and
 * password. The cookie kinora_session counts where there is nothing else, as browsers send it
 * unasked. Cookie and Basic, which a browser adds by itself, are only taken from pages of ours
 * where the request changes something or opens a socket.
 *
 * Without any principal in the table the server is open, to loopback alone: what it takes then has
 * a loopback Host, an absent or same Origin, no Sec-Fetch-Site that tells of another site, and no
 * field that a proxy adds; AWS clients may sign with whatever key they have. The unix socket takes
 * the server's own user and root, as one who may do everything, unless the request brings
 * credentials: those count. */
#ifndef SERVER_AUTH_DOOR_H
#define SERVER_AUTH_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/time.h"
#include "server/auth/principals.h"
#include "server/exchange/routes.h"
#include "server/http/request.h"
#include "server/transport/transport.h"

/* What all doors of a server share: principals, sessions, remembered passwords, attempts. */
struct srv_gate;

struct srv_gate_config {
    struct srv_principals *principals; /* outlives it */
    const struct srv_keyfile *keyfile; /* copied; sessions are sealed with it */
    /* "https://cams.example:8443": an Origin of ours too, where there are credentials. NULL */
    const char *public_url;
    int64_t session_ns; /* how long a session from a password lasts. 12 h */
    /* Failed passwords and tokens of one address (of IPv6: 64 bits of it): more than so many in a
     * minute: 429. 20; 0: any number. Loopback and unix sockets are not counted. */
    unsigned attempts_a_minute;
};
struct srv_gate_config srv_gate_config_defaults(void);
/* 0; -ENOMEM; KN_E_MALFORMED: public_url is none; or the random source's errno. */
KN_MUST_CHECK int srv_gate_create(const struct srv_gate_config *config, struct srv_gate **ret_gate);
void srv_gate_destroy(struct srv_gate *gate);

struct srv_door;
/* One thread at a time. 0, -ENOMEM, or the random source's errno. */
KN_MUST_CHECK int srv_door_open(struct srv_gate *gate, struct srv_door **ret_door);
void srv_door_close(struct srv_door *door);

struct srv_visit {
    const struct srv_http_request *request;
    const struct srv_peer *peer;
    const struct srv_route *route;
    const char *stream;         /* what stands at {stream}; NULL: the route has none */
    const uint8_t *body_sha256; /* NULL: the body has not come yet */
    bool has_body;
    struct kn_wall now;
};

enum srv_verdict { SRV_DOOR_FINE, SRV_DOOR_REFUSED, SRV_DOOR_AFTER_BODY, SRV_DOOR_ASK_WORKER };

struct srv_door_answer {
    enum srv_verdict verdict;
    /* A reference. NULL with SRV_OPEN: credentials are not looked at then, so that a stale cookie
     * keeps nobody from the page that makes a new one. */
    const struct srv_principal *principal;
    char region[SRV_REGION_BYTES]; /* of a signed request */
    /* Refused: */
    int status;            /* 400, 401, 403, 421, 429 or 503 */
    const char *code;      /* "AccessDeniedException", ...; a literal */
    const char *challenge; /* for WWW-Authenticate; NULL */
    unsigned retry_s;      /* for Retry-After; 0 */
    char message[SRV_AUTH_MESSAGE_BYTES];
};

/* Never blocks. */
void srv_door_ask(struct srv_door *door, const struct srv_visit *visit,
                  struct srv_door_answer *ret_answer);
/* Blocks for a password's 0.2 s. Any thread. Never ASK_WORKER. */
void srv_door_ask_blocking(struct srv_gate *gate, const struct srv_visit *visit,
                           struct srv_door_answer *ret_answer);
void srv_door_answer_finish(struct srv_door_answer *answer);
/* For a page that signs in: a user's name and password, counted and remembered as others. FINE with
 * the user, or refused. Blocks likewise. Any thread. */
void srv_gate_password(struct srv_gate *gate, const struct srv_peer *peer, const char *name,
                       const char *password, struct kn_wall now,
                       struct srv_door_answer *ret_answer);

/* ---- sessions: what a browser gets for a password ---- */

#define SRV_SESSION_BYTES 256u
/* A text for the cookie or as a bearer token: sealed name, expiry; nothing is stored. It ends when
 * the user is deleted or has another password. `principal` is a user. 0 or -ENOMEM. */
KN_MUST_CHECK int srv_session_make(struct srv_gate *gate, const struct srv_principal *principal,
                                   struct kn_wall now, char ret_session[static SRV_SESSION_BYTES],
                                   struct kn_wall *ret_expires);

/* Whether nobody has credentials, and everybody on this machine may do everything. Any thread. */
bool srv_gate_is_open(struct srv_gate *gate);

/* Whether public_url says that others than this machine reach it. Any thread. */
bool srv_gate_is_public(const struct srv_gate *gate);

struct srv_gate_stats {
    uint64_t fine, refused, signatures, passwords_hashed, passwords_remembered, too_many;
};
struct srv_gate_stats srv_gate_stats(struct srv_gate *gate);

#endif
