/* How the parts of principals.h see each other. */
#ifndef SERVER_AUTH_PRINCIPALS_INNER_H
#define SERVER_AUTH_PRINCIPALS_INNER_H

#include "server/auth/principals.h"

bool srv_grant_valid(const struct srv_grant *grant);
/* Costs that may be paid: a hostile journal must not take all memory or days. */
bool srv_password_valid(const struct srv_password *password);
/* Everything but the secret. */
bool srv_principal_valid_beside_secret(const struct srv_principal *principal);
/* The text of a token that begins as ours do. */
bool srv_token_valid(const char *token);

/* A copy that is in no table; the caller's to unref. 0 or -ENOMEM. */
KN_MUST_CHECK int srv_principal_create(const struct srv_principal *principal,
                                       const struct srv_principal **ret_principal);
/* What of an access key a verifier needs. */
void srv_principal_signing_key(const struct srv_principal *principal,
                               struct srv_sigv4_key *ret_key);

/* ---- one of the store's journal: under "principal" and its slot, 2 bytes ---- */

/* These block, and answer as frag_store_put, _get and _delete; loading also as srv_principal_read
 * and srv_unseal. Loading with `keyfile` NULL leaves the secret empty. */
KN_MUST_CHECK int srv_principal_store(struct frag_store *store, const struct srv_keyfile *keyfile,
                                      uint16_t slot, const struct srv_principal *principal);
KN_MUST_CHECK int srv_principal_load(struct frag_store *store, const struct srv_keyfile *keyfile,
                                     uint16_t slot, struct srv_principal *ret_principal);
KN_MUST_CHECK int srv_principal_forget(struct frag_store *store, uint16_t slot);

#endif
