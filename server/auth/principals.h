/* Who may do what: one table for every front door.
 *
 *     srv_principals_open -> srv_principals_find_key, _find_token, _check_password
 *         -> srv_principal_may(principal, SRV_ACTION_WATCH, "door") -> srv_principal_unref
 *     -> srv_principals_close
 *
 * New ones:
 *     struct srv_principal *made = zeroed, with kind, name, times and grants
 *     srv_principal_make_key, _make_token or _set_password -> srv_principals_add
 *
 * The table is in memory, and each of its entries in the store's journal: secrets of access keys
 * encrypted with the key file, passwords by scrypt, tokens as their SHA-256. Finding never blocks
 * and is for any thread; a principal that was found stays as it was until its last unref, so who
 * works long for one asks again from time to time. */
#ifndef SERVER_AUTH_PRINCIPALS_H
#define SERVER_AUTH_PRINCIPALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "base/time.h"
#include "server/auth/digest.h"
#include "server/auth/keyfile.h"
#include "server/auth/sigv4.h"

struct frag_store;

/* ---- grants ---- */

/* Append only: stored, as bits of a mask. */
enum srv_action {
    SRV_ACTION_LIST = 1,    /* see that it is there, its state and its gaps */
    SRV_ACTION_WATCH = 2,   /* its live end */
    SRV_ACTION_READ = 4,    /* what is stored of it */
    SRV_ACTION_RECORD = 8,  /* send video into it */
    SRV_ACTION_MANAGE = 16, /* create, change and delete it */
    SRV_ACTION_HOLD = 32,   /* add and release holds on it */
    SRV_ACTION_ADMIN = 64   /* principals, configuration, the server itself */
};
#define SRV_ACTIONS_ALL 127u
#define SRV_GRANT_VIEWER ((uint32_t)SRV_ACTION_LIST | SRV_ACTION_WATCH | SRV_ACTION_READ)
#define SRV_GRANT_OPERATOR                                                                         \
    (SRV_GRANT_VIEWER | SRV_ACTION_RECORD | SRV_ACTION_MANAGE | SRV_ACTION_HOLD)
#define SRV_GRANT_ADMIN SRV_ACTIONS_ALL

#define SRV_PATTERN_BYTES 258u
#define SRV_GRANTS_MAX 16u
struct srv_grant {
    uint32_t actions; /* 1 or more of enum srv_action */
    /* A stream's name, or the beginning of one and '*'; "*" is all of them. */
    char pattern[SRV_PATTERN_BYTES];
};

/* "viewer:door*", "list,record:gate": sets and actions, a colon, the pattern. Without colon: "*".
 * 0 or KN_E_MALFORMED. Pure. */
KN_MUST_CHECK int srv_grant_parse(const char *text, struct srv_grant *ret_grant);
/* The same as text, by its largest set, then single actions. Pure. */
#define SRV_GRANT_TEXT_BYTES 384u
const char *srv_grant_text(const struct srv_grant *grant, char text[static SRV_GRANT_TEXT_BYTES]);

/* ---- principals ---- */

/* Append only: stored. */
enum srv_principal_kind { SRV_PRINCIPAL_KEY = 1, SRV_PRINCIPAL_USER, SRV_PRINCIPAL_TOKEN };
/* In no table and never stored: whom the door lets in without credentials (door.h). */
#define SRV_PRINCIPAL_ANYONE ((enum srv_principal_kind)0)

#define SRV_PRINCIPALS_MAX 1024u
#define SRV_PRINCIPAL_NAME_BYTES 65u /* 1 to 64 of A-Z a-z 0-9 . _ @ -, not "." or ".." */
#define SRV_SECRET_LEAST 16u
#define SRV_NEVER ((struct kn_wall){INT64_MAX})

/* scrypt, with what it costs. */
struct srv_password {
    uint8_t log2_n, r, p;
    uint8_t salt[16];
    uint8_t hash[32];
};

struct srv_principal {
    enum srv_principal_kind kind;
    char name[SRV_PRINCIPAL_NAME_BYTES]; /* one of its kind has it */
    struct kn_wall created;
    struct kn_wall expires; /* from then on it is nobody */
    size_t grant_count;
    struct srv_grant grants[SRV_GRANTS_MAX];
    /* SRV_PRINCIPAL_KEY */
    char access_key[SRV_ACCESS_KEY_BYTES];
    char secret[SRV_SECRET_MAX]; /* SRV_SECRET_LEAST or more of printable ASCII, no NUL behind */
    size_t secret_bytes;
    bool has_session; /* whoever signs must bring the session token of this SHA-256 */
    uint8_t session_sha256[SRV_SHA256_BYTES];
    /* SRV_PRINCIPAL_USER */
    struct srv_password password;
    /* SRV_PRINCIPAL_TOKEN */
    uint8_t token_sha256[SRV_SHA256_BYTES];
};

/* The one check. `stream` NULL: not about one stream but all; only grants of "*" give that. A list
 * of streams holds those with SRV_ACTION_LIST. Pure, any thread. */
bool srv_principal_may(const struct srv_principal *principal, enum srv_action action,
                       const char *stream);
/* What may be added. Pure. */
bool srv_principal_valid(const struct srv_principal *principal);

/* These give what is shown to the owner once, and put what is kept into the principal. 0, -ENOMEM,
 * or the random source's errno. */
/* An access key as AWS makes them, 20 characters, and a secret of 40. */
KN_MUST_CHECK int srv_principal_make_key(struct srv_principal *principal);
/* A session token for an access key, which then begins with ASIA. */
#define SRV_TOKEN_BYTES 51u
KN_MUST_CHECK int srv_principal_make_session(struct srv_principal *principal,
                                             char ret_token[SRV_TOKEN_BYTES]);
/* "kinora_" and 43 characters of base64url. */
KN_MUST_CHECK int srv_principal_make_token(struct srv_principal *principal,
                                           char ret_token[SRV_TOKEN_BYTES]);
/* Blocks for about 0.2 s, with 32 MiB. -EINVAL: shorter than 8 bytes or longer than 1,024. */
#define SRV_PASSWORD_LEAST 8u
#define SRV_PASSWORD_MAX 1024u
KN_MUST_CHECK int srv_principal_set_password(struct srv_principal *principal, const char *password);
/* Blocks likewise. 0, -EACCES, -ENOMEM. */
KN_MUST_CHECK int srv_password_check(const struct srv_password *password, const char *text);

/* ---- the table ---- */

struct srv_principals;

/* The key file at `path`, made where there is none. Blocks. -ENOKEY: there is none, and the store
 * has secrets that were encrypted with the one that was. Else as srv_keyfile_open, _create and
 * srv_principals_open. */
KN_MUST_CHECK int srv_principals_keyfile(struct frag_store *store, const char *path,
                                         struct srv_keyfile *ret_keyfile);
/* Blocks. The store outlives the table and may be one opened for reading; `keyfile` is copied.
 * NULL: to list and to remove alone, where it may be lost; access keys have no secret then, nobody
 * is found by one, and adding and replacing is -ENOKEY. 0. -EKEYREJECTED: a secret does not open
 * with this key file; KN_E_MALFORMED, KN_E_TRUNCATED, KN_E_UNSUPPORTED: an entry is damaged or a
 * newer version's. Else as frag_store_get. */
KN_MUST_CHECK int srv_principals_open(struct frag_store *store, const struct srv_keyfile *keyfile,
                                      struct srv_principals **ret_principals);
/* NULL is fine. Principals that were found live on. */
void srv_principals_close(struct srv_principals *principals);

/* These block; durable and in effect when they return 0. Several threads take turns. */
/* Copies it. -EEXIST: its name, access key or token is there; KN_E_LIMIT: SRV_PRINCIPALS_MAX;
 * -EINVAL: not valid. Else as frag_store_put. */
KN_MUST_CHECK int srv_principals_add(struct srv_principals *principals,
                                     const struct srv_principal *principal);
/* Puts it in the place of the one of its kind and name; -ENOENT: there is none. */
KN_MUST_CHECK int srv_principals_replace(struct srv_principals *principals,
                                         const struct srv_principal *principal);
KN_MUST_CHECK int srv_principals_remove(struct srv_principals *principals,
                                        enum srv_principal_kind kind, const char *name);

/* 0: *ret_principal is the caller's to unref. -ENOENT, or -EKEYEXPIRED. */
KN_MUST_CHECK int srv_principals_find_key(struct srv_principals *principals, const char *access_key,
                                          struct kn_wall now,
                                          const struct srv_principal **ret_principal);
/* Also -ENOMEM. */
KN_MUST_CHECK int srv_principals_find_token(struct srv_principals *principals, const char *token,
                                            struct kn_wall now,
                                            const struct srv_principal **ret_principal);
/* A user by name. Also -EKEYEXPIRED. */
KN_MUST_CHECK int srv_principals_find_user(struct srv_principals *principals, const char *name,
                                           struct kn_wall now,
                                           const struct srv_principal **ret_principal);
/* By kind and name, expired or not. */
KN_MUST_CHECK int srv_principals_find(struct srv_principals *principals,
                                      enum srv_principal_kind kind, const char *name,
                                      const struct srv_principal **ret_principal);
/* Blocks as srv_password_check does, also where there is no such user. -EACCES: no such user, or
 * not this password; -EKEYEXPIRED only with the right one. -ENOMEM. */
KN_MUST_CHECK int srv_principals_check_password(struct srv_principals *principals, const char *name,
                                                const char *password, struct kn_wall now,
                                                const struct srv_principal **ret_principal);
/* How many there are (takes no lock), and the next one behind `kind` and `name` by kind, then name
 * (0 and "": the first). -ENOENT: the end. */
size_t srv_principals_count(struct srv_principals *principals);
KN_MUST_CHECK int srv_principals_next(struct srv_principals *principals,
                                      enum srv_principal_kind kind, const char *name,
                                      const struct srv_principal **ret_principal);
/* A srv_sigv4_lookup; `principals` is the table. */
int srv_principals_lookup(const char *access_key, struct srv_sigv4_key *ret_key, void *principals);

/* Only of principals that were found. Any thread. */
const struct srv_principal *srv_principal_ref(const struct srv_principal *principal);
/* NULL is fine. The last one wipes it. */
void srv_principal_unref(const struct srv_principal *principal);

/* ---- as bytes, for the journal ---- */

/* Everything but the secret, which is beside it, sealed:
 *     version (2 bytes, 1), kind (1), name, created (8), expires (8), grants: count (1), each
 *     actions (4), pattern; then of a key: access key, flags (1; 1: has a session), session's hash
 *     (32 with a session), sealed secret; of a user: log2 of N, r, p (1 each), salt (16), hash
 *     (32); of a token: hash (32). Texts and the sealed secret with their length before them (2);
 *     numbers big-endian. */
struct srv_sealed_secret {
    uint8_t bytes[SRV_SECRET_MAX + SRV_SEAL_BYTES];
    size_t size; /* 0 for all but keys */
};
/* KN_E_MALFORMED in the writer's status: not valid. Pure. */
void srv_principal_write(struct kn_writer *writer, const struct srv_principal *principal,
                         const struct srv_sealed_secret *sealed);
/* Of any bytes. The secret stays empty. 0, KN_E_TRUNCATED, KN_E_MALFORMED, KN_E_UNSUPPORTED. Pure.
 */
KN_MUST_CHECK int srv_principal_read(const uint8_t *data, size_t size,
                                     struct srv_principal *ret_principal,
                                     struct srv_sealed_secret *ret_sealed);

#endif
