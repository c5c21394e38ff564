/* Signing in with a password, for browsers and whoever wants no password in every request. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "server/api/api_inner.h"
#include "server/auth/door.h"
#include "server/json/json.h"

#define COOKIE_BYTES (SRV_SESSION_BYTES + 128u)

struct sign_in_body {
    struct srv_named named;
    char *name, *password;
};

static const struct srv_schema sign_in_schema[] = {
    {.name = "name",
     .kind = SRV_KIND_TEXT,
     .at = offsetof(struct sign_in_body, name),
     .least = 1,
     .most = SRV_PRINCIPAL_NAME_BYTES - 1},
    {.name = "password",
     .kind = SRV_KIND_TEXT,
     .at = offsetof(struct sign_in_body, password),
     .least = 1,
     .most = SRV_PASSWORD_MAX,
     .secret = true},
    {.name = NULL},
};

/* Of a page of another site the browser sends it never, to scripts of ours it does not show it. */
static void set_cookie(struct srv_exchange *exchange, const char *session, int64_t age_s) {
    char cookie[COOKIE_BYTES];
    bool secure = strncmp(srv_exchange_base_url(exchange), "https:", 6) == 0;
    (void)snprintf(cookie, sizeof(cookie),
                   "kinora_session=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Strict%s", session,
                   (long long)age_s, secure ? "; Secure" : "");
    srv_answer_field(exchange, "Set-Cookie", cookie);
    srv_wipe(cookie, sizeof(cookie));
}

static void answer_refused(struct srv_exchange *exchange, const struct srv_door_answer *answer) {
    char seconds[16];
    if (answer->retry_s > 0) {
        (void)snprintf(seconds, sizeof(seconds), "%u", answer->retry_s);
        srv_answer_field(exchange, "Retry-After", seconds);
    }
    if (answer->challenge != NULL) {
        /* Not Basic: the browser would put its own question before the page's. */
        srv_answer_field(exchange, "WWW-Authenticate", "Bearer realm=\"kinora\"");
    }
    srv_answer_error(exchange, answer->status, answer->code, "%s", answer->message);
}

static void answer_session(struct srv_exchange *exchange, const struct srv_principal *user,
                           struct kn_wall now) {
    char session[SRV_SESSION_BYTES];
    struct kn_wall expires = now;
    int rc = srv_session_make(srv_exchange_world(exchange)->gate, user, now, session, &expires);
    if (rc < 0) {
        srv_answer_failure(exchange, rc, "making a session");
        return;
    }
    set_cookie(exchange, session, (expires.ns - now.ns) / KN_NS_PER_S);
    srv_answer_json(exchange, 200,
                    json_pack("{s:s, s:o}", "token", session, "expires", srv_json_time(expires)));
    srv_wipe(session, sizeof(session));
}

static void sign_in_as(struct srv_exchange *exchange, const struct sign_in_body *body) {
    struct kn_wall now = srv_api_now(exchange);
    struct srv_door_answer answer = {0};
    srv_gate_password(srv_exchange_world(exchange)->gate, srv_exchange_peer(exchange), body->name,
                      body->password, now, &answer);
    if (answer.verdict == SRV_DOOR_FINE) {
        answer_session(exchange, answer.principal, now);
    } else {
        answer_refused(exchange, &answer);
    }
    srv_door_answer_finish(&answer);
}

void srv_api_sign_in(struct srv_exchange *exchange) {
    struct sign_in_body body = {0};
    if (SRV_API_ONLY(exchange, NULL) && srv_api_body(exchange, sign_in_schema, &body)) {
        if (body.name == NULL || body.password == NULL) {
            srv_answer_error(exchange, 400, SRV_API_INVALID, "name, password: both are needed");
        } else {
            sign_in_as(exchange, &body);
        }
    }
    if (body.password != NULL) {
        srv_wipe(body.password, strlen(body.password));
    }
    srv_schema_finish(sign_in_schema, &body);
}

/* Sessions are sealed texts that nobody keeps a list of: this ends the browser's alone. */
void srv_api_sign_out(struct srv_exchange *exchange) {
    if (SRV_API_ONLY(exchange, NULL)) {
        set_cookie(exchange, "", 0);
        srv_answer_empty(exchange, 204);
    }
}

void srv_api_who(struct srv_exchange *exchange) {
    if (!SRV_API_ONLY(exchange, NULL)) {
        return;
    }
    json_t *who = srv_api_principal_json(srv_exchange_principal(exchange));
    bool open = srv_gate_is_open(srv_exchange_world(exchange)->gate);
    if (who != NULL && json_object_set_new(who, "open_mode", json_boolean(open)) < 0) {
        json_decref(who);
        who = NULL;
    }
    srv_answer_json(exchange, 200, who);
}
