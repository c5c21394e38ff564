#include "server/auth/door.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "server/auth/door_inner.h"
#include "server/auth/principals_inner.h"

struct srv_door {
    struct srv_gate *gate;
    struct srv_sigv4 *sigv4;
    /* Whose key the verifier was given last: it is this one that the signature is of, whatever
     * becomes of the table meanwhile. */
    const struct srv_principal *found;
};

/* One question on its way. */
struct ask {
    struct srv_door *door;
    struct srv_gate *gate;
    const struct srv_visit *visit;
    bool may_block;
    struct srv_door_answer *answer;
};

/* ---- opening and closing ---- */

static void forget_found(struct srv_door *door) {
    srv_principal_unref(door->found);
    door->found = NULL;
}

/* A srv_sigv4_lookup. Also of a key whose time is over: the verifier says so, to who has signed. */
static int look_up(const char *access_key, struct srv_sigv4_key *ret_key, void *user) {
    struct srv_door *door = user;
    forget_found(door);
    int rc = srv_principals_find_key(door->gate->principals, access_key,
                                     (struct kn_wall){INT64_MIN}, &door->found);
    if (rc == 0) {
        srv_principal_signing_key(door->found, ret_key);
    }
    return rc;
}

int srv_door_open(struct srv_gate *gate, struct srv_door **ret_door) {
    struct srv_sigv4_config config = srv_sigv4_config_defaults();
    struct srv_door *door = calloc(1, sizeof(*door));
    if (door == NULL) {
        return -ENOMEM;
    }
    door->gate = gate;
    config.lookup = look_up;
    config.user = door;
    int rc = srv_sigv4_create(&config, &door->sigv4);
    if (rc < 0) {
        free(door);
        return rc;
    }
    *ret_door = door;
    return 0;
}

void srv_door_close(struct srv_door *door) {
    if (door == NULL) {
        return;
    }
    srv_sigv4_destroy(door->sigv4);
    forget_found(door);
    free(door);
}

/* ---- what may be asked ---- */

static void refuse_grant(struct ask *ask) {
    const struct srv_route *route = ask->visit->route;
    const struct srv_grant grant = {.actions = (uint32_t)route->action, .pattern = "*"};
    char text[SRV_GRANT_TEXT_BYTES];
    int size = (int)strcspn(srv_grant_text(&grant, text), ":");
    srv_door_refuse(ask->answer, 403, "AccessDeniedException", "This takes the grant '%.*s' %s.",
                    size, text,
                    route->access == SRV_ON_STREAM ? "on this stream" : "on all streams");
}

static bool may(const struct srv_visit *visit, const struct srv_principal *principal) {
    switch (visit->route->access) {
    case SRV_OPEN:
    case SRV_SIGNED_IN:
        return true;
    case SRV_ON_STREAM:
        return srv_principal_may(principal, visit->route->action, visit->stream);
    case SRV_ON_ALL:
        break;
    }
    return srv_principal_may(principal, visit->route->action, NULL);
}

/* Takes the reference. Who it is, is known. */
static void admit(struct ask *ask, const struct srv_principal *principal) {
    if (!may(ask->visit, principal)) {
        srv_principal_unref(principal);
        refuse_grant(ask);
        return;
    }
    ask->answer->verdict = SRV_DOOR_FINE;
    ask->answer->principal = principal;
}

/* ---- signatures ---- */

static struct srv_sigv4_request signed_request(const struct srv_visit *visit) {
    const struct srv_http_request *request = visit->request;
    return (struct srv_sigv4_request){
        .method = srv_http_method_name(request->method),
        .path = request->path,
        .query = request->query,
        .fields = request->fields,
        .field_count = request->field_count,
        .port = visit->peer->port,
        .body = visit->route->unsigned_body ? SRV_BODY_STREAMED : SRV_BODY_READ,
        .body_sha256 = visit->route->unsigned_body ? NULL : visit->body_sha256,
    };
}

static void refuse_signature(struct ask *ask, int rc, const struct srv_sigv4_outcome *outcome) {
    if (rc == -EACCES) {
        srv_door_refuse(ask->answer, 403, srv_auth_error_name(outcome->error), "%s",
                        outcome->message);
    } else {
        srv_door_refuse_failure(ask->answer);
    }
}

static void ask_signature(struct ask *ask) {
    const struct srv_visit *visit = ask->visit;
    const struct srv_sigv4_request request = signed_request(visit);
    bool early = visit->has_body && visit->body_sha256 == NULL && !visit->route->unsigned_body;
    struct srv_sigv4_outcome outcome = {0};
    int rc = early ? srv_sigv4_check_head(ask->door->sigv4, &request, visit->now, &outcome)
                   : srv_sigv4_verify(ask->door->sigv4, &request, visit->now, &outcome);
    if (!early) {
        atomic_fetch_add(&ask->gate->signatures, 1);
    }
    if (rc < 0) {
        refuse_signature(ask, rc, &outcome);
    } else if (early) {
        ask->answer->verdict = SRV_DOOR_AFTER_BODY;
    } else {
        memcpy(ask->answer->region, outcome.region, sizeof(ask->answer->region));
        admit(ask, srv_principal_ref(ask->door->found));
    }
    forget_found(ask->door);
}

/* Of a signature that need not be one. */
static void claim_region(struct ask *ask) {
    const struct srv_sigv4_request request = signed_request(ask->visit);
    struct srv_sigv4_outcome outcome = {0};
    if (srv_sigv4_peek(ask->door->sigv4, &request, &outcome) == 0) {
        memcpy(ask->answer->region, outcome.region, sizeof(ask->answer->region));
    }
}

/* ---- tokens, sessions ---- */

static int find_bearer(struct ask *ask, struct srv_http_text text,
                       const struct srv_principal **ret_principal) {
    char token[SRV_TOKEN_BYTES];
    if (srv_session_is(text)) {
        return srv_session_read(ask->gate, text, ask->visit->now, ret_principal);
    }
    if (text.size >= sizeof(token)) {
        return -EACCES;
    }
    memcpy(token, text.data, text.size);
    token[text.size] = '\0';
    int rc =
        srv_principals_find_token(ask->gate->principals, token, ask->visit->now, ret_principal);
    srv_wipe(token, sizeof(token));
    return rc == -ENOENT ? -EACCES : rc;
}

static void refuse_token(struct ask *ask, int rc, const char *what) {
    if (rc != -EACCES && rc != -EKEYEXPIRED) {
        srv_door_refuse_failure(ask->answer);
        return;
    }
    bool expired = rc == -EKEYEXPIRED;
    srv_door_refuse(ask->answer, 401,
                    expired ? "ExpiredTokenException" : "UnrecognizedClientException",
                    "The %s is %s.", what, expired ? "over: its time has come" : "not valid");
    ask->answer->challenge = SRV_CHALLENGE_BEARER ", error=\"invalid_token\"";
}

/* A good one is let in however many others of its address were wrong: nobody guesses 256 bits. */
static void ask_bearer(struct ask *ask, struct srv_http_text text) {
    const struct srv_principal *principal = NULL;
    int rc = find_bearer(ask, text, &principal);
    unsigned wait_s =
        rc == -EACCES ? srv_gate_attempt(ask->gate, ask->visit->peer, ask->visit->now) : 0;
    if (rc == 0) {
        admit(ask, principal);
    } else if (wait_s > 0) {
        srv_door_refuse_attempt(ask->answer, wait_s);
    } else {
        refuse_token(ask, rc, "token");
    }
}

/* ---- what browsers add by themselves ---- */

static bool changes_something(const struct srv_http_request *request) {
    bool reads = request->method == SRV_HTTP_GET || request->method == SRV_HTTP_HEAD ||
                 request->method == SRV_HTTP_OPTIONS;
    return !reads || request->upgrade.size > 0;
}

/* Whether the page that made the browser send it is one of ours. */
static bool is_from_our_page(struct ask *ask) {
    const struct srv_http_request *request = ask->visit->request;
    const struct srv_origin *also =
        ask->gate->public_url == NULL ? NULL : &ask->gate->public_origin;
    if (!changes_something(request) || (srv_origin_is_ours(request, ask->visit->peer->tls, also) &&
                                        srv_fetch_site_of(request) < SRV_FETCH_NEAR)) {
        return true;
    }
    srv_door_refuse(ask->answer, 403, "AccessDeniedException",
                    "Another site's page sent this: Origin is not this server's.");
    return false;
}

static void ask_cookie(struct ask *ask, struct srv_http_text text) {
    const struct srv_principal *user = NULL;
    if (!is_from_our_page(ask)) {
        return;
    }
    int rc = srv_session_read(ask->gate, text, ask->visit->now, &user);
    if (rc == 0) {
        admit(ask, user);
    } else {
        refuse_token(ask, rc, "session");
    }
}

static void ask_password(struct ask *ask, const struct srv_basic *basic) {
    struct srv_door_answer answer = {.verdict = SRV_DOOR_REFUSED};
    const struct srv_visit *visit = ask->visit;
    srv_gate_decide_password(ask->gate, visit->peer, basic->name, basic->password, visit->now,
                             &answer);
    if (answer.verdict == SRV_DOOR_FINE) {
        admit(ask, answer.principal);
    } else {
        *ask->answer = answer;
    }
}

/* On a loop: all go to a worker, which counts the wrong ones, but those that are remembered. An
 * address that was wrong too often learns nothing here either. */
static void ask_remembered(struct ask *ask, const struct srv_basic *basic) {
    const struct srv_principal *user = NULL;
    const struct srv_visit *visit = ask->visit;
    unsigned wait_s = srv_gate_wait(ask->gate, visit->peer, visit->now);
    if (wait_s > 0) {
        srv_door_refuse_attempt(ask->answer, wait_s);
        return;
    }
    if (srv_gate_recall(ask->gate, basic->name, basic->password, visit->now, &user) == 0) {
        admit(ask, user);
    } else {
        ask->answer->verdict = SRV_DOOR_ASK_WORKER;
    }
}

static void ask_basic(struct ask *ask, struct srv_http_text text) {
    struct srv_basic basic;
    if (!is_from_our_page(ask)) {
        return;
    }
    if (srv_basic_read(text, &basic) < 0) {
        srv_door_refuse(ask->answer, 401, "UnrecognizedClientException",
                        "Name or password is wrong.");
        ask->answer->challenge = SRV_CHALLENGE_BASIC;
        return;
    }
    if (ask->may_block) {
        ask_password(ask, &basic);
    } else {
        ask_remembered(ask, &basic);
    }
    srv_wipe(&basic, sizeof(basic));
}

/* ---- nobody has credentials ---- */

static bool is_own_user(const struct srv_peer *peer) {
    return peer->local && (peer->uid == geteuid() || peer->uid == 0);
}

/* What proxies write down of whom they speak for. */
static bool is_forwarded(const struct srv_http_request *request) {
    static const char *const names[] = {
        "forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via",
    };
    bool found = false;
    for (size_t i = 0; i < KN_COUNT(names) && !found; i++) {
        found = srv_http_field_find(request->fields, request->field_count, names[i], NULL) != NULL;
    }
    return found;
}

/* A page of another site must not drive a server that asks nobody who he is; nor may a name that
 * somebody else resolves to this machine, nor whoever reaches a proxy on it. */
static bool is_open_to(struct ask *ask) {
    const struct srv_http_request *request = ask->visit->request;
    const struct srv_peer *peer = ask->visit->peer;
    enum srv_fetch_site site = srv_fetch_site_of(request);
    if (!peer->loopback || peer->local) {
        srv_door_refuse(ask->answer, 403, "AccessDeniedException",
                        "This server has no credentials yet and takes requests from its own "
                        "machine only. Make a key or a user first.");
        return false;
    }
    if (is_forwarded(request)) {
        srv_door_refuse(ask->answer, 403, "AccessDeniedException",
                        "This server has no credentials yet, and this came through a proxy. Make "
                        "a key or a user first.");
        return false;
    }
    if (!srv_host_is_loopback(request, peer->port)) {
        srv_door_refuse(ask->answer, 421, "MisdirectedRequestException",
                        "This server has no credentials yet: Host must be localhost or a loopback "
                        "address with its port.");
        return false;
    }
    if (!srv_origin_is_ours(request, peer->tls, NULL) ||
        (site != SRV_FETCH_UNTOLD && site != SRV_FETCH_SAME)) {
        srv_door_refuse(ask->answer, 403, "AccessDeniedException",
                        "Another site's page sent this, and this server has no credentials yet.");
        return false;
    }
    return true;
}

static void ask_open(struct ask *ask) {
    bool own = is_own_user(ask->visit->peer);
    if (own || is_open_to(ask)) {
        claim_region(ask);
        admit(ask, srv_principal_ref(own ? ask->gate->local : ask->gate->anyone));
    }
}

/* ---- somebody has ---- */

/* A browser that opens a page asks for a password; a page's own requests must not make it. */
static bool wants_page(const struct srv_http_request *request) {
    const struct srv_http_field *accept =
        srv_http_field_find(request->fields, request->field_count, "accept", NULL);
    return accept != NULL && accept->value.size > 0 &&
           memmem(accept->value.data, accept->value.size, "text/html", strlen("text/html")) != NULL;
}

static void refuse_nobody(struct ask *ask) {
    srv_door_refuse(ask->answer, 401, "MissingAuthenticationTokenException",
                    "Missing Authentication Token");
    ask->answer->challenge =
        wants_page(ask->visit->request) ? SRV_CHALLENGE_BASIC : SRV_CHALLENGE_BEARER;
}

static void refuse_credentials(struct ask *ask, int rc) {
    if (rc == -EEXIST) {
        srv_door_refuse(ask->answer, 400, "InvalidArgumentException",
                        "The request brings two kinds of credentials, or one of them twice.");
        return;
    }
    srv_door_refuse(ask->answer, 401, "UnrecognizedClientException",
                    "Authorization is none of AWS4-HMAC-SHA256, Bearer and Basic.");
    ask->answer->challenge = SRV_CHALLENGE_BEARER;
}

static void ask_who(struct ask *ask) {
    struct srv_credentials credentials;
    int rc = srv_credentials_read(ask->visit->request, &credentials);
    if (rc < 0) {
        refuse_credentials(ask, rc);
        return;
    }
    switch (credentials.kind) {
    case SRV_CREDENTIAL_NONE:
        if (is_own_user(ask->visit->peer)) {
            admit(ask, srv_principal_ref(ask->gate->local));
        } else {
            refuse_nobody(ask);
        }
        break;
    case SRV_CREDENTIAL_SIGNED:
        ask_signature(ask);
        break;
    case SRV_CREDENTIAL_BEARER:
        ask_bearer(ask, credentials.text);
        break;
    case SRV_CREDENTIAL_BASIC:
        ask_basic(ask, credentials.text);
        break;
    case SRV_CREDENTIAL_COOKIE:
        ask_cookie(ask, credentials.text);
        break;
    }
}

static void ask_all(struct srv_door *door, const struct srv_visit *visit, bool may_block,
                    struct srv_door_answer *ret_answer) {
    struct srv_door_answer answer = {.verdict = SRV_DOOR_REFUSED};
    struct ask ask = {door, door->gate, visit, may_block, &answer};
    if (srv_gate_is_open(door->gate)) {
        ask_open(&ask);
    } else if (visit->route->access == SRV_OPEN) {
        answer.verdict = SRV_DOOR_FINE;
    } else {
        ask_who(&ask);
    }
    srv_gate_count(door->gate, &answer);
    *ret_answer = answer;
}

void srv_door_ask(struct srv_door *door, const struct srv_visit *visit,
                  struct srv_door_answer *ret_answer) {
    ask_all(door, visit, false, ret_answer);
}

/* Beside a password's time a door of its own costs nothing. */
void srv_door_ask_blocking(struct srv_gate *gate, const struct srv_visit *visit,
                           struct srv_door_answer *ret_answer) {
    struct srv_door *door = NULL;
    struct srv_door_answer answer = {.verdict = SRV_DOOR_REFUSED};
    if (srv_door_open(gate, &door) < 0) {
        srv_door_refuse_failure(&answer);
        srv_gate_count(gate, &answer);
        *ret_answer = answer;
        return;
    }
    ask_all(door, visit, true, ret_answer);
    srv_door_close(door);
}
