#include "server/auth/sigv4.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/auth/sigv4_inner.h"

#define NOBODY_BYTES 40u /* as long as others' secrets */

struct srv_sigv4 {
    struct srv_sigv4_config config;
    struct srv_digest *digest;
    struct srv_sigv4_keys *keys;
    uint64_t hits, misses;
    /* Stands in for the secret of keys that do not exist: nobody knows it. */
    char nobody[NOBODY_BYTES];
    /* Of the request at hand; they keep their memory. */
    struct srv_sigv4_claim claim;
    struct srv_sigv4_room room;
};

static const char *const error_names[] = {
    [SRV_AUTH_FINE] = "none",
    [SRV_AUTH_MISSING_TOKEN] = "MissingAuthenticationTokenException",
    [SRV_AUTH_INCOMPLETE] = "IncompleteSignatureException",
    [SRV_AUTH_INVALID_SIGNATURE] = "InvalidSignatureException",
    [SRV_AUTH_UNRECOGNIZED_CLIENT] = "UnrecognizedClientException",
    [SRV_AUTH_EXPIRED_TOKEN] = "ExpiredTokenException",
};

const char *srv_auth_error_name(enum srv_auth_error error) {
    KN_ASSERT((size_t)error < KN_COUNT(error_names));
    return error_names[error];
}

struct srv_sigv4_config srv_sigv4_config_defaults(void) {
    return (struct srv_sigv4_config){.cache_entries = 128};
}

int srv_sigv4_create(const struct srv_sigv4_config *config, struct srv_sigv4 **ret_sigv4) {
    KN_ASSERT(config->lookup != NULL);
    struct srv_sigv4 *sigv4 = calloc(1, sizeof(*sigv4));
    if (sigv4 == NULL) {
        return -ENOMEM;
    }
    sigv4->config = *config;
    srv_sigv4_room_init(&sigv4->room);
    int rc = srv_random(sigv4->nobody, sizeof(sigv4->nobody));
    rc = rc < 0 ? rc : srv_digest_create(&sigv4->digest);
    rc = rc < 0 ? rc : srv_sigv4_keys_create(config->cache_entries, &sigv4->keys);
    if (rc < 0) {
        srv_sigv4_destroy(sigv4);
        return rc;
    }
    *ret_sigv4 = sigv4;
    return 0;
}

void srv_sigv4_destroy(struct srv_sigv4 *sigv4) {
    if (sigv4 == NULL) {
        return;
    }
    srv_sigv4_room_finish(&sigv4->room);
    srv_sigv4_keys_destroy(sigv4->keys);
    srv_digest_destroy(sigv4->digest);
    free(sigv4);
}

struct srv_sigv4_stats srv_sigv4_stats(const struct srv_sigv4 *sigv4) {
    return (struct srv_sigv4_stats){.cache_hits = sigv4->hits,
                                    .cache_misses = sigv4->misses,
                                    .cache_entries = srv_sigv4_keys_count(sigv4->keys)};
}

/* ---- time ---- */

static int check_time(const struct srv_sigv4_claim *claim, struct kn_wall now,
                      struct srv_sigv4_outcome *outcome) {
    char now_text[SRV_SIGV4_TIME_BYTES];
    char edge_text[SRV_SIGV4_TIME_BYTES];
    bool query = claim->form == SRV_SIGV4_QUERY;
    int64_t life_ns = query ? claim->expires_s * KN_NS_PER_S : SRV_SIGV4_SKEW_NS;
    int64_t until_ns;
    int64_t from_ns;
    if (!kn_i64_add(claim->when.ns, life_ns, &until_ns) ||
        !kn_i64_add(claim->when.ns, -SRV_SIGV4_SKEW_NS, &from_ns)) {
        return srv_sigv4_refuse(outcome, SRV_AUTH_INCOMPLETE, "X-Amz-Date is out of range");
    }
    srv_sigv4_time_text(now, now_text);
    if (now.ns > until_ns) {
        srv_sigv4_time_text((struct kn_wall){until_ns}, edge_text);
        return srv_sigv4_refuse(outcome, SRV_AUTH_INVALID_SIGNATURE,
                                "Signature expired: %s was good until %s, it is now %s.",
                                claim->time, edge_text, now_text);
    }
    if (now.ns < from_ns) {
        return srv_sigv4_refuse(outcome, SRV_AUTH_INVALID_SIGNATURE,
                                "Signature not yet current: %s is still later than %s + 15 min.",
                                claim->time, now_text);
    }
    outcome->good_until = (struct kn_wall){until_ns};
    return 0;
}

/* ---- the signature ---- */

static int hmac_text(struct srv_sigv4 *sigv4, const uint8_t key[static SRV_SHA256_BYTES],
                     const char *text, uint8_t ret_code[SRV_SHA256_BYTES]) {
    return srv_digest_hmac(sigv4->digest, (struct srv_bytes){key, SRV_SHA256_BYTES},
                           (struct srv_bytes){text, strlen(text)}, ret_code);
}

static int derive(struct srv_sigv4 *sigv4, const struct srv_sigv4_scope *scope,
                  uint8_t ret_key[SRV_SHA256_BYTES]) {
    char first[4 + SRV_SECRET_MAX] = "AWS4";
    uint8_t key[SRV_SHA256_BYTES];
    memcpy(first + 4, scope->secret, scope->secret_bytes);
    int rc = srv_digest_hmac(sigv4->digest, (struct srv_bytes){first, 4 + scope->secret_bytes},
                             (struct srv_bytes){scope->date, strlen(scope->date)}, key);
    rc = rc < 0 ? rc : hmac_text(sigv4, key, scope->region, key);
    rc = rc < 0 ? rc : hmac_text(sigv4, key, SRV_SIGV4_SERVICE, key);
    rc = rc < 0 ? rc : hmac_text(sigv4, key, "aws4_request", ret_key);
    srv_wipe(first, sizeof(first));
    srv_wipe(key, sizeof(key));
    return rc;
}

/* What a request in this form is signed with, as text. */
static int sign(struct srv_sigv4 *sigv4, const uint8_t key[static SRV_SHA256_BYTES],
                const char canonical_hex[static SRV_SHA256_HEX_BYTES],
                char ret_hex[SRV_SHA256_HEX_BYTES]) {
    char text[512];
    uint8_t code[SRV_SHA256_BYTES];
    const struct srv_sigv4_claim *claim = &sigv4->claim;
    int size = snprintf(text, sizeof(text),
                        "AWS4-HMAC-SHA256\n%s\n%s/%s/" SRV_SIGV4_SERVICE "/aws4_request\n%s",
                        claim->time, claim->date, claim->region, canonical_hex);
    KN_ASSERT(size > 0 && (size_t)size < sizeof(text)); /* each part of it is bounded */
    int rc = srv_digest_hmac(sigv4->digest, (struct srv_bytes){key, SRV_SHA256_BYTES},
                             (struct srv_bytes){text, (size_t)size}, code);
    if (rc == 0) {
        (void)srv_sha256_hex(code, ret_hex);
    }
    return rc;
}

/* Tries what the request may have been for the client. The first form is what most would sign, and
 * the one whose hash is told. */
struct trial {
    bool match;
    char canonical_hex[SRV_SHA256_HEX_BYTES];
};

static int try_one(struct srv_sigv4 *sigv4, const uint8_t key[static SRV_SHA256_BYTES],
                   const struct srv_sigv4_canonical *canonical, size_t nth, struct trial *trial) {
    struct srv_http_text host = canonical->hosts[nth % canonical->host_count];
    size_t rest = nth / canonical->host_count;
    struct srv_http_text payload = canonical->payloads[rest % canonical->payload_count];
    struct srv_http_text query = canonical->queries[rest / canonical->payload_count];
    const struct srv_bytes parts[] = {
        canonical->begin,       {query.data, query.size}, canonical->before_host,
        {host.data, host.size}, canonical->after_host,    {payload.data, payload.size},
    };
    uint8_t hash[SRV_SHA256_BYTES];
    char hex[SRV_SHA256_HEX_BYTES];
    char signature[SRV_SHA256_HEX_BYTES];
    int rc = srv_digest_sha256(sigv4->digest, parts, KN_COUNT(parts), hash);
    rc = rc < 0 ? rc : sign(sigv4, key, srv_sha256_hex(hash, hex), signature);
    if (rc < 0) {
        return rc;
    }
    trial->match = srv_equal_secretly(signature, sigv4->claim.signature, sizeof(signature));
    if (nth == 0) {
        memcpy(trial->canonical_hex, hex, sizeof(hex));
    }
    return 0;
}

static int try_all(struct srv_sigv4 *sigv4, const uint8_t key[static SRV_SHA256_BYTES],
                   const struct srv_sigv4_canonical *canonical, struct trial *trial) {
    size_t count = canonical->host_count * canonical->query_count * canonical->payload_count;
    int rc = 0;
    trial->match = false;
    for (size_t i = 0; i < count && rc == 0 && !trial->match; i++) {
        rc = try_one(sigv4, key, canonical, i, trial);
    }
    return rc;
}

/* A key of the cache saves deriving it where the signature is good. Where it is not, it is derived
 * all the same: a refusal takes as long for a key that is in use as for one that is not, or is
 * nobody's. */
static int check_signature(struct srv_sigv4 *sigv4, const struct srv_sigv4_scope *scope,
                           const struct srv_sigv4_canonical *canonical, struct trial *trial) {
    uint8_t key[SRV_SHA256_BYTES];
    bool kept = srv_sigv4_keys_find(sigv4->keys, scope, key);
    int rc = kept ? 0 : derive(sigv4, scope, key);
    rc = rc < 0 ? rc : try_all(sigv4, key, canonical, trial);
    sigv4->hits += kept ? 1 : 0;
    sigv4->misses += kept ? 0 : 1;
    if (rc == 0 && trial->match && !kept) {
        srv_sigv4_keys_add(sigv4->keys, scope, key);
    }
    if (rc == 0 && !trial->match && kept) {
        rc = derive(sigv4, scope, key);
    }
    srv_wipe(key, sizeof(key));
    return rc;
}

/* ---- the key ---- */

static int refuse_mismatch(struct srv_sigv4_outcome *outcome, const struct trial *trial) {
    return srv_sigv4_refuse(outcome, SRV_AUTH_INVALID_SIGNATURE,
                            "The request signature we calculated does not match the signature you "
                            "provided. Check your AWS Secret Access Key and signing method. The "
                            "SHA-256 of the canonical request is %s.",
                            trial->canonical_hex);
}

static int refuse_client(struct srv_sigv4_outcome *outcome) {
    return srv_sigv4_refuse(outcome, SRV_AUTH_UNRECOGNIZED_CLIENT,
                            "The security token included in the request is invalid.");
}

/* Whether the session token is the key's; a key without one takes none. */
static int check_session(const struct srv_sigv4_key *key, const struct srv_sigv4_claim *claim,
                         struct srv_sigv4_outcome *outcome) {
    uint8_t hash[SRV_SHA256_BYTES];
    if (!key->has_session && claim->session_bytes == 0) {
        return 0;
    }
    int rc = srv_sha256(claim->session, claim->session_bytes, hash);
    if (rc < 0) {
        return rc;
    }
    return key->has_session && srv_equal_secretly(hash, key->session_sha256, sizeof(hash))
               ? 0
               : refuse_client(outcome);
}

static int judge(const struct srv_sigv4_key *key, const struct srv_sigv4_claim *claim,
                 struct kn_wall now, const struct trial *trial, struct srv_sigv4_outcome *outcome) {
    int rc = check_session(key, claim, outcome);
    if (rc < 0) {
        return rc;
    }
    if (!trial->match) {
        return refuse_mismatch(outcome, trial);
    }
    if (key->expires.ns <= now.ns) {
        return srv_sigv4_refuse(outcome, SRV_AUTH_EXPIRED_TOKEN,
                                "The security token included in the request is expired");
    }
    return 0;
}

static int check_key(struct srv_sigv4 *sigv4, const struct srv_sigv4_canonical *canonical,
                     struct kn_wall now, struct srv_sigv4_outcome *outcome) {
    struct srv_sigv4_key key = {.secret_bytes = NOBODY_BYTES};
    memcpy(key.secret, sigv4->nobody, NOBODY_BYTES);
    const struct srv_sigv4_claim *claim = &sigv4->claim;
    struct trial trial = {0};
    int found = sigv4->config.lookup(claim->access_key, &key, sigv4->config.user);
    if (found < 0 && found != -ENOENT) {
        return found;
    }
    KN_ASSERT(key.secret_bytes <= SRV_SECRET_MAX);
    const struct srv_sigv4_scope scope = {
        .access_key = found == 0 ? claim->access_key : "",
        .date = claim->date,
        .region = claim->region,
        .secret = key.secret,
        .secret_bytes = key.secret_bytes,
    };
    int rc = check_signature(sigv4, &scope, canonical, &trial);
    if (rc == 0) {
        rc = found == 0 ? judge(&key, claim, now, &trial, outcome) : refuse_client(outcome);
    }
    srv_wipe(&key, sizeof(key));
    return rc;
}

/* ---- all of it ---- */

static int verify(struct srv_sigv4 *sigv4, const struct srv_sigv4_request *request,
                  struct kn_wall now, struct srv_sigv4_outcome *outcome) {
    struct srv_sigv4_canonical canonical = {0};
    int rc = srv_sigv4_read_claim(request, &sigv4->claim, outcome);
    rc = rc < 0 ? rc : check_time(&sigv4->claim, now, outcome);
    rc = rc < 0 ? rc
                : srv_sigv4_canonical(request, &sigv4->claim, &sigv4->room, &canonical, outcome);
    return rc < 0 ? rc : check_key(sigv4, &canonical, now, outcome);
}

static int finish(const struct srv_sigv4 *sigv4, int rc, struct srv_sigv4_outcome *outcome,
                  struct srv_sigv4_outcome *ret_outcome) {
    if (rc < 0 && rc != -EACCES) {
        return rc;
    }
    if (rc == 0) {
        memcpy(outcome->access_key, sigv4->claim.access_key, sizeof(outcome->access_key));
        memcpy(outcome->region, sigv4->claim.region, sizeof(outcome->region));
    } else {
        outcome->good_until = (struct kn_wall){0};
    }
    *ret_outcome = *outcome;
    return rc;
}

int srv_sigv4_verify(struct srv_sigv4 *sigv4, const struct srv_sigv4_request *request,
                     struct kn_wall now, struct srv_sigv4_outcome *ret_outcome) {
    struct srv_sigv4_outcome outcome = {0};
    return finish(sigv4, verify(sigv4, request, now, &outcome), &outcome, ret_outcome);
}

int srv_sigv4_peek(struct srv_sigv4 *sigv4, const struct srv_sigv4_request *request,
                   struct srv_sigv4_outcome *ret_outcome) {
    struct srv_sigv4_outcome outcome = {0};
    int rc = srv_sigv4_read_claim(request, &sigv4->claim, &outcome);
    return finish(sigv4, rc, &outcome, ret_outcome);
}

int srv_sigv4_check_head(struct srv_sigv4 *sigv4, const struct srv_sigv4_request *request,
                         struct kn_wall now, struct srv_sigv4_outcome *ret_outcome) {
    struct srv_sigv4_outcome outcome = {0};
    struct srv_sigv4_key key;
    const struct srv_sigv4_claim *claim = &sigv4->claim;
    int rc = srv_sigv4_read_claim(request, &sigv4->claim, &outcome);
    rc = rc < 0 ? rc : check_time(claim, now, &outcome);
    rc = rc < 0 ? rc : sigv4->config.lookup(claim->access_key, &key, sigv4->config.user);
    if (rc == 0) {
        rc = check_session(&key, claim, &outcome);
        srv_wipe(&key, sizeof(key));
    } else if (rc == -ENOENT) {
        rc = refuse_client(&outcome);
    }
    outcome.good_until = (struct kn_wall){0}; /* not before the signature is known to be good */
    return finish(sigv4, rc, &outcome, ret_outcome);
}
