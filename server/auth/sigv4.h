/* AWS Signature Version 4: whether a request was signed by who it says.
 *
 *     srv_sigv4_create -> srv_sigv4_verify ... -> srv_sigv4_destroy
 *
 * Both forms: an Authorization header, and a presigned query (X-Amz-Signature and its companions).
 * The rules are those of service `kinesisvideo`, any region. Nothing but HMAC is done here: no
 * clock, no descriptor, no log.
 *
 * What is taken, because clients in the field do it:
 *  - Host signed as it came, without its port, or with the port it came in by;
 *  - signed headers that others leave out (Connection, Transfer-Encoding), and a security token
 *    that was added behind the signature;
 *  - for a streamed body the hash of nothing, or UNSIGNED-PAYLOAD, with or without the header
 *    X-Amz-Content-Sha256; a body that was read must be signed by its own hash;
 *  - the query in canonical form (where '+' is a space), or as its bytes stand, sorted.
 *
 * What must be signed where it is there: Host, X-Amz-* (but the security token) and X-Amzn-* (but
 * the trace id, which proxies add). A request can be sent again for as long as its date is good.
 *
 * A verifier is one thread's at a time: each loop has its own. */
#ifndef SERVER_AUTH_SIGV4_H
#define SERVER_AUTH_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/time.h"
#include "server/auth/digest.h"
#include "server/http/http.h"

#define SRV_SIGV4_SERVICE "kinesisvideo"
/* A date may be off by so much, either way: what AWS takes. */
#define SRV_SIGV4_SKEW_NS (15 * 60 * KN_NS_PER_S)
#define SRV_SIGV4_EXPIRES_MAX_S 604800
#define SRV_ACCESS_KEY_BYTES 129u /* 1 to 128 of A-Z a-z 0-9 . _ - and a NUL */
#define SRV_SECRET_MAX 128u
#define SRV_REGION_BYTES 65u
/* Beyond these a request is refused. */
#define SRV_SIGV4_SIGNED_MAX 64u  /* signed headers */
#define SRV_SIGV4_QUERY_MAX 128u  /* members of a query */
#define SRV_SIGV4_TOKEN_MAX 4096u /* bytes of a session token */
#define SRV_SIGV4_CANONICAL_MAX ((size_t)256 * 1024)

enum srv_sigv4_body {
    SRV_BODY_READ,    /* all of it is here, and was hashed */
    SRV_BODY_STREAMED /* it has no end yet (PutMedia) */
};

struct srv_sigv4_request {
    const char *method;
    struct srv_http_text path, query; /* as they came; the query without its '?' */
    const struct srv_http_field *fields;
    size_t field_count;
    uint16_t port; /* which it came in by, for clients that sign more than they send; 0: none */
    enum srv_sigv4_body body;
    const uint8_t *body_sha256; /* of SRV_BODY_READ; NULL: there is no body */
};

/* ---- who may sign ---- */

/* What belongs to an access key. */
struct srv_sigv4_key {
    char secret[SRV_SECRET_MAX];
    size_t secret_bytes;
    bool has_session; /* a request must bring the session token with this SHA-256 */
    uint8_t session_sha256[SRV_SHA256_BYTES];
    struct kn_wall expires; /* INT64_MAX ns: never */
};

/* 0, -ENOENT: no such key; another negative errno ends the verification. */
typedef int srv_sigv4_lookup(const char *access_key, struct srv_sigv4_key *ret_key, void *user);

struct srv_sigv4_config {
    srv_sigv4_lookup *lookup;
    void *user;
    /* How many derived keys are kept (by access key, secret, date and region), the least recently
     * used one goes. Only a good signature brings one in. 0: none. */
    size_t cache_entries;
};

/* 128 derived keys. */
struct srv_sigv4_config srv_sigv4_config_defaults(void);

struct srv_sigv4;

/* 0 or -ENOMEM. */
KN_MUST_CHECK int srv_sigv4_create(const struct srv_sigv4_config *config,
                                   struct srv_sigv4 **ret_sigv4);
/* NULL is fine. */
void srv_sigv4_destroy(struct srv_sigv4 *sigv4);

/* ---- verifying ---- */

enum srv_sigv4_form { SRV_SIGV4_NONE, SRV_SIGV4_HEADER, SRV_SIGV4_QUERY };

/* As AWS names them; all are answered with status 403. */
enum srv_auth_error {
    SRV_AUTH_FINE,
    SRV_AUTH_MISSING_TOKEN,       /* nothing says who it is */
    SRV_AUTH_INCOMPLETE,          /* a part of the signature is missing or cannot be read */
    SRV_AUTH_INVALID_SIGNATURE,   /* it does not match, or its time is over or not yet come */
    SRV_AUTH_UNRECOGNIZED_CLIENT, /* no such key, or not its session token */
    SRV_AUTH_EXPIRED_TOKEN        /* the key was good once */
};
/* "IncompleteSignatureException" and so on; never NULL. */
const char *srv_auth_error_name(enum srv_auth_error error);

#define SRV_AUTH_MESSAGE_BYTES 320u

struct srv_sigv4_outcome {
    enum srv_sigv4_form form;
    enum srv_auth_error error;
    char message[SRV_AUTH_MESSAGE_BYTES]; /* plain text for the client; empty when fine */
    /* Only when fine: */
    char access_key[SRV_ACCESS_KEY_BYTES];
    char region[SRV_REGION_BYTES];
    struct kn_wall good_until; /* date and skew, or what a presigned query says */
};

/* 0: signed by `access_key`. -EACCES: refused, `error` and `message` say why, without any secret;
 * the rest of the outcome is then empty but for the form. -ENOMEM, or the lookup's error: not
 * decided, and nothing is filled in. */
KN_MUST_CHECK int srv_sigv4_verify(struct srv_sigv4 *sigv4, const struct srv_sigv4_request *request,
                                   struct kn_wall now, struct srv_sigv4_outcome *ret_outcome);

/* Who says to have signed it, and for which region; nothing is verified. 0: form, access_key and
 * region are filled in; -EACCES as above. */
KN_MUST_CHECK int srv_sigv4_peek(struct srv_sigv4 *sigv4, const struct srv_sigv4_request *request,
                                 struct srv_sigv4_outcome *ret_outcome);
/* What can be refused before the body has come: all but the signature, and whether the key's time
 * is over, which only who has the secret is told. Results as srv_sigv4_peek; or the lookup's error.
 */
KN_MUST_CHECK int srv_sigv4_check_head(struct srv_sigv4 *sigv4,
                                       const struct srv_sigv4_request *request, struct kn_wall now,
                                       struct srv_sigv4_outcome *ret_outcome);

struct srv_sigv4_stats {
    uint64_t cache_hits, cache_misses;
    size_t cache_entries;
};
struct srv_sigv4_stats srv_sigv4_stats(const struct srv_sigv4 *sigv4);

#endif
