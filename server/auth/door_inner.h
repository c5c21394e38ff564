/* How the parts of door.h see each other: what a request brings, whose page sent it, what a gate
 * remembers. All but the gate itself is pure. */
#ifndef SERVER_AUTH_DOOR_INNER_H
#define SERVER_AUTH_DOOR_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/auth/door.h"

/* ---- what a request brings: credentials.c ---- */

#define SRV_SESSION_COOKIE "kinora_session"

enum srv_credential_kind {
    SRV_CREDENTIAL_NONE,
    SRV_CREDENTIAL_SIGNED, /* SigV4, in header or query, good or not */
    SRV_CREDENTIAL_BEARER,
    SRV_CREDENTIAL_BASIC,
    SRV_CREDENTIAL_COOKIE
};

struct srv_credentials {
    enum srv_credential_kind kind;
    struct srv_http_text text; /* the token, Basic's base64, the cookie's value; borrowed */
};

/* 0; -EEXIST: two at once; KN_E_UNSUPPORTED: an Authorization that is none of ours. */
KN_MUST_CHECK int srv_credentials_read(const struct srv_http_request *request,
                                       struct srv_credentials *ret_credentials);

struct srv_basic {
    char name[SRV_PRINCIPAL_NAME_BYTES];
    char password[SRV_PASSWORD_MAX + 1];
};
/* 0, or KN_E_MALFORMED: nothing that a user could have; `basic` is then wiped. The caller wipes it
 * otherwise. */
KN_MUST_CHECK int srv_basic_read(struct srv_http_text text, struct srv_basic *basic);

/* ---- whose page sent it: origin.c ---- */

struct srv_origin {
    bool tls;
    struct srv_http_text host; /* without the brackets of an IPv6 address */
    int port;                  /* the scheme's own where none was said */
};

/* "https://host:8443"; with `path` also what may follow in an address. 0 or KN_E_MALFORMED. */
KN_MUST_CHECK int srv_origin_read(struct srv_http_text text, bool path,
                                  struct srv_origin *ret_origin);
/* localhost, an address of 127.0.0.0/8, or ::1. */
bool srv_host_name_is_loopback(struct srv_http_text host);
/* Host is localhost, an address of 127.0.0.0/8 or [::1], with this port or none. */
bool srv_host_is_loopback(const struct srv_http_request *request, uint16_t port);
/* No page sent it, or one of ours did: Origin absent, the same as Host, or `also` (may be NULL). */
bool srv_origin_is_ours(const struct srv_http_request *request, bool tls,
                        const struct srv_origin *also);
enum srv_fetch_site { SRV_FETCH_UNTOLD, SRV_FETCH_SAME, SRV_FETCH_NEAR, SRV_FETCH_CROSS };
/* By Sec-Fetch-Site: absent; same-origin or none; same-site; anything else. */
enum srv_fetch_site srv_fetch_site_of(const struct srv_http_request *request);

/* ---- passwords that were right: remembered.c. Under the gate's lock. ---- */

#define SRV_REMEMBERED_MAX 256u
#define SRV_REMEMBERED_NS (5 * 60 * KN_NS_PER_S)

/* By a code under the gate's own key, of name, password and what is stored of it: a password that
 * was changed is another code. */
struct srv_remembered {
    size_t count;
    struct {
        uint8_t code[SRV_SHA256_BYTES];
        struct kn_wall since;
    } entries[SRV_REMEMBERED_MAX];
};

bool srv_remembered_has(const struct srv_remembered *remembered,
                        const uint8_t code[static SRV_SHA256_BYTES], struct kn_wall now);
/* In the place of the oldest where it is full. */
void srv_remembered_add(struct srv_remembered *remembered,
                        const uint8_t code[static SRV_SHA256_BYTES], struct kn_wall now);

/* ---- attempts of addresses: attempts.c. Under the gate's lock. ---- */

#define SRV_ATTEMPTS_MAX 1024u
#define SRV_ATTEMPTS_ADDRESS_BYTES 16u

struct srv_attempt {
    uint8_t address[SRV_ATTEMPTS_ADDRESS_BYTES];
    struct kn_wall since; /* its minute's beginning */
    unsigned count;
};

struct srv_attempts {
    size_t count;
    struct srv_attempt entries[SRV_ATTEMPTS_MAX];
};

/* Counts one of this address ("192.0.2.7:51234", "[2001:db8::1]:443"). 0: it may be made; else the
 * seconds until another may, and it was not counted. The oldest address is forgotten where there is
 * no room. */
unsigned srv_attempts_take(struct srv_attempts *attempts, const char *address, unsigned max,
                           struct kn_wall now);
/* The same without counting one. */
unsigned srv_attempts_wait(const struct srv_attempts *attempts, const char *address, unsigned max,
                           struct kn_wall now);
/* It was none after all. */
void srv_attempts_give_back(struct srv_attempts *attempts, const char *address);

/* ---- the gate ---- */

struct srv_gate {
    struct srv_principals *principals;
    struct srv_keyfile keyfile;
    int64_t session_ns;
    unsigned attempts_a_minute;
    char *public_url;
    struct srv_origin public_origin;    /* into it */
    const struct srv_principal *anyone; /* while nobody has credentials */
    const struct srv_principal *local;  /* by the unix socket */
    uint8_t code_key[SRV_SHA256_BYTES]; /* for remembered passwords; this process's own */
    pthread_mutex_t lock;               /* of the next two; a leaf */
    struct srv_remembered remembered;
    struct srv_attempts attempts;
    _Atomic uint64_t fine, refused, signatures, passwords_hashed, passwords_remembered, too_many;
};

/* A password that was right not long ago. 0: *ret_principal is the caller's; -EACCES: it must be
 * hashed; -ENOMEM. */
KN_MUST_CHECK int srv_gate_recall(struct srv_gate *gate, const char *name, const char *password,
                                  struct kn_wall now, const struct srv_principal **ret_principal);
/* An attempt of `peer`: 0, or the seconds it has to wait. */
unsigned srv_gate_attempt(struct srv_gate *gate, const struct srv_peer *peer, struct kn_wall now);
/* The same without counting one. */
unsigned srv_gate_wait(struct srv_gate *gate, const struct srv_peer *peer, struct kn_wall now);
/* srv_gate_password without counting its answer. */
void srv_gate_decide_password(struct srv_gate *gate, const struct srv_peer *peer, const char *name,
                              const char *password, struct kn_wall now,
                              struct srv_door_answer *answer);
void srv_gate_count(struct srv_gate *gate, const struct srv_door_answer *answer);

/* ---- answers ---- */

void srv_door_refuse(struct srv_door_answer *answer, int status, const char *code,
                     const char *format, ...) KN_PRINTF(4, 5);
/* 429. */
void srv_door_refuse_attempt(struct srv_door_answer *answer, unsigned wait_s);
/* 503: our own fault. */
void srv_door_refuse_failure(struct srv_door_answer *answer);
#define SRV_CHALLENGE_BASIC "Basic realm=\"kinora\", charset=\"UTF-8\""
#define SRV_CHALLENGE_BEARER "Bearer realm=\"kinora\""

/* ---- sessions: session.c ---- */

/* Whether a bearer's text begins as sessions do. */
bool srv_session_is(struct srv_http_text text);
/* 0: the user, the caller's to unref. -EACCES: none of ours, or the user is gone or has another
 * password; -EKEYEXPIRED; -ENOMEM. */
KN_MUST_CHECK int srv_session_read(struct srv_gate *gate, struct srv_http_text text,
                                   struct kn_wall now, const struct srv_principal **ret_principal);

#endif
