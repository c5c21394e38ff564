#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "server/auth/door_inner.h"
#include "server/auth/principals_inner.h"

struct srv_gate_config srv_gate_config_defaults(void) {
    return (struct srv_gate_config){
        .session_ns = 12 * 3600 * KN_NS_PER_S,
        .attempts_a_minute = 20,
    };
}

/* ---- opening and closing ---- */

static int make_anyone(const char *name, const struct srv_principal **ret_principal) {
    struct srv_principal anyone = {
        .kind = SRV_PRINCIPAL_ANYONE,
        .expires = SRV_NEVER,
        .grant_count = 1,
        .grants = {{.actions = SRV_GRANT_ADMIN, .pattern = "*"}},
    };
    (void)snprintf(anyone.name, sizeof(anyone.name), "%s", name); /* fits */
    return srv_principal_create(&anyone, ret_principal);
}

static int take_public_url(struct srv_gate *gate, const char *url) {
    if (url == NULL) {
        return 0;
    }
    gate->public_url = strdup(url);
    if (gate->public_url == NULL) {
        return -ENOMEM;
    }
    return srv_origin_read((struct srv_http_text){gate->public_url, strlen(gate->public_url)}, true,
                           &gate->public_origin);
}

int srv_gate_create(const struct srv_gate_config *config, struct srv_gate **ret_gate) {
    KN_ASSERT(config->principals != NULL && config->keyfile != NULL && config->session_ns > 0);
    struct srv_gate *gate = calloc(1, sizeof(*gate));
    if (gate == NULL) {
        return -ENOMEM;
    }
    gate->principals = config->principals;
    gate->keyfile = *config->keyfile;
    gate->session_ns = config->session_ns;
    gate->attempts_a_minute = config->attempts_a_minute;
    KN_ASSERT(pthread_mutex_init(&gate->lock, NULL) == 0); /* plain: glibc's cannot fail */
    int rc = srv_random(gate->code_key, sizeof(gate->code_key));
    rc = rc < 0 ? rc : take_public_url(gate, config->public_url);
    rc = rc < 0 ? rc : make_anyone("anyone", &gate->anyone);
    rc = rc < 0 ? rc : make_anyone("local", &gate->local);
    if (rc < 0) {
        srv_gate_destroy(gate);
        return rc;
    }
    *ret_gate = gate;
    return 0;
}

void srv_gate_destroy(struct srv_gate *gate) {
    if (gate == NULL) {
        return;
    }
    srv_principal_unref(gate->local);
    srv_principal_unref(gate->anyone);
    free(gate->public_url);
    (void)pthread_mutex_destroy(&gate->lock); /* nobody holds it */
    srv_wipe(gate, sizeof(*gate));
    free(gate);
}

bool srv_gate_is_open(struct srv_gate *gate) {
    return srv_principals_count(gate->principals) == 0;
}

bool srv_gate_is_public(const struct srv_gate *gate) {
    return gate->public_url != NULL && !srv_host_name_is_loopback(gate->public_origin.host);
}

struct srv_gate_stats srv_gate_stats(struct srv_gate *gate) {
    return (struct srv_gate_stats){
        .fine = atomic_load(&gate->fine),
        .refused = atomic_load(&gate->refused),
        .signatures = atomic_load(&gate->signatures),
        .passwords_hashed = atomic_load(&gate->passwords_hashed),
        .passwords_remembered = atomic_load(&gate->passwords_remembered),
        .too_many = atomic_load(&gate->too_many),
    };
}

void srv_gate_count(struct srv_gate *gate, const struct srv_door_answer *answer) {
    bool decided = answer->verdict == SRV_DOOR_FINE || answer->verdict == SRV_DOOR_REFUSED;
    if (decided) {
        atomic_fetch_add(answer->verdict == SRV_DOOR_FINE ? &gate->fine : &gate->refused, 1);
    }
    if (answer->verdict == SRV_DOOR_REFUSED && answer->status == 429) {
        atomic_fetch_add(&gate->too_many, 1);
    }
}

/* ---- answers ---- */

void srv_door_refuse(struct srv_door_answer *answer, int status, const char *code,
                     const char *format, ...) {
    va_list args;
    answer->verdict = SRV_DOOR_REFUSED;
    answer->status = status;
    answer->code = code;
    va_start(args, format);
    (void)vsnprintf(answer->message, sizeof(answer->message), format, args); /* cut is fine */
    va_end(args);
}

void srv_door_refuse_attempt(struct srv_door_answer *answer, unsigned wait_s) {
    srv_door_refuse(answer, 429, "TooManyRequestsException",
                    "Too many wrong passwords or tokens came from this address. Wait %u s.",
                    wait_s);
    answer->retry_s = wait_s;
}

void srv_door_refuse_failure(struct srv_door_answer *answer) {
    srv_door_refuse(answer, 503, "ServiceUnavailableException",
                    "The server could not tell who this is. Try again.");
    answer->retry_s = 1;
}

void srv_door_answer_finish(struct srv_door_answer *answer) {
    srv_principal_unref(answer->principal);
    answer->principal = NULL;
}

/* ---- passwords ---- */

/* Also where there is no such user, with zeros for what is stored of one: it takes as long. */
static int code_of(const struct srv_gate *gate, const char *name, const char *password,
                   const struct srv_password *stored, uint8_t ret_code[SRV_SHA256_BYTES]) {
    uint8_t text[SRV_PRINCIPAL_NAME_BYTES + sizeof(*stored) + SRV_PASSWORD_MAX + 1];
    struct kn_writer writer;
    kn_writer_init(&writer, text, sizeof(text));
    kn_write_bytes(&writer, stored->salt, sizeof(stored->salt));
    kn_write_bytes(&writer, stored->hash, sizeof(stored->hash));
    kn_write_bytes(&writer, name, strlen(name) + 1);
    kn_write_bytes(&writer, password, strlen(password));
    int rc = kn_writer_status(&writer) < 0 ? -EACCES : 0; /* longer than any that is right */
    rc = rc < 0 ? rc : srv_hmac(gate->code_key, text, writer.size, ret_code);
    srv_wipe(text, sizeof(text));
    return rc;
}

int srv_gate_recall(struct srv_gate *gate, const char *name, const char *password,
                    struct kn_wall now, const struct srv_principal **ret_principal) {
    static const struct srv_password nobody;
    const struct srv_principal *user = NULL;
    uint8_t code[SRV_SHA256_BYTES];
    int found = srv_principals_find_user(gate->principals, name, now, &user);
    int rc = code_of(gate, name, password, found == 0 ? &user->password : &nobody, code);
    if (rc == 0) {
        (void)pthread_mutex_lock(&gate->lock); /* plain, never held twice: cannot fail */
        rc = srv_remembered_has(&gate->remembered, code, now) && found == 0 ? 0 : -EACCES;
        (void)pthread_mutex_unlock(&gate->lock);
    }
    if (rc < 0) {
        srv_principal_unref(user);
        return rc;
    }
    atomic_fetch_add(&gate->passwords_remembered, 1);
    *ret_principal = user;
    return 0;
}

/* What cannot be remembered is hashed again: no failure of the request. */
static void remember(struct srv_gate *gate, const struct srv_principal *user, const char *password,
                     struct kn_wall now) {
    uint8_t code[SRV_SHA256_BYTES];
    if (code_of(gate, user->name, password, &user->password, code) == 0) {
        (void)pthread_mutex_lock(&gate->lock);
        srv_remembered_add(&gate->remembered, code, now);
        (void)pthread_mutex_unlock(&gate->lock);
    }
}

static bool is_counted(const struct srv_gate *gate, const struct srv_peer *peer) {
    return gate->attempts_a_minute > 0 && !peer->loopback && !peer->local;
}

unsigned srv_gate_attempt(struct srv_gate *gate, const struct srv_peer *peer, struct kn_wall now) {
    if (!is_counted(gate, peer)) {
        return 0;
    }
    (void)pthread_mutex_lock(&gate->lock);
    unsigned wait_s =
        srv_attempts_take(&gate->attempts, peer->address, gate->attempts_a_minute, now);
    (void)pthread_mutex_unlock(&gate->lock);
    return wait_s;
}

unsigned srv_gate_wait(struct srv_gate *gate, const struct srv_peer *peer, struct kn_wall now) {
    if (!is_counted(gate, peer)) {
        return 0;
    }
    (void)pthread_mutex_lock(&gate->lock);
    unsigned wait_s =
        srv_attempts_wait(&gate->attempts, peer->address, gate->attempts_a_minute, now);
    (void)pthread_mutex_unlock(&gate->lock);
    return wait_s;
}

static void give_back(struct srv_gate *gate, const struct srv_peer *peer) {
    if (is_counted(gate, peer)) {
        (void)pthread_mutex_lock(&gate->lock);
        srv_attempts_give_back(&gate->attempts, peer->address);
        (void)pthread_mutex_unlock(&gate->lock);
    }
}

static void refuse_password(struct srv_door_answer *answer, int rc) {
    if (rc == -EACCES) {
        srv_door_refuse(answer, 401, "UnrecognizedClientException", "Name or password is wrong.");
        answer->challenge = SRV_CHALLENGE_BASIC;
    } else if (rc == -EKEYEXPIRED) { /* only told with the right password */
        srv_door_refuse(answer, 401, "ExpiredTokenException", "This user's time is over.");
        answer->challenge = SRV_CHALLENGE_BASIC;
    } else {
        srv_door_refuse_failure(answer);
    }
}

/* Counted before it is hashed, as many may be under way at once. */
void srv_gate_decide_password(struct srv_gate *gate, const struct srv_peer *peer, const char *name,
                              const char *password, struct kn_wall now,
                              struct srv_door_answer *answer) {
    const struct srv_principal *user = NULL;
    unsigned wait_s = srv_gate_attempt(gate, peer, now);
    if (wait_s > 0) {
        srv_door_refuse_attempt(answer, wait_s);
        return;
    }
    int rc = srv_gate_recall(gate, name, password, now, &user);
    if (rc < 0) {
        atomic_fetch_add(&gate->passwords_hashed, 1);
        rc = srv_principals_check_password(gate->principals, name, password, now, &user);
    }
    if (rc != -EACCES) {
        give_back(gate, peer);
    }
    if (rc < 0) {
        refuse_password(answer, rc);
        return;
    }
    remember(gate, user, password, now);
    answer->verdict = SRV_DOOR_FINE;
    answer->principal = user;
}

void srv_gate_password(struct srv_gate *gate, const struct srv_peer *peer, const char *name,
                       const char *password, struct kn_wall now,
                       struct srv_door_answer *ret_answer) {
    struct srv_door_answer answer = {.verdict = SRV_DOOR_REFUSED};
    srv_gate_decide_password(gate, peer, name, password, now, &answer);
    srv_gate_count(gate, &answer);
    *ret_answer = answer;
}
