/* SHA-256 and HMAC-SHA-256 by libcrypto, and what goes with them. */
#ifndef SERVER_AUTH_DIGEST_H
#define SERVER_AUTH_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

#define SRV_SHA256_BYTES 32u
#define SRV_SHA256_HEX_BYTES 65u /* with its NUL */

/* Once, on any thread. 0, or -ENOMEM where libcrypto fails: with its own algorithms nothing else
 * can be the reason. */
KN_MUST_CHECK int srv_sha256(const void *data, size_t size, uint8_t ret_hash[SRV_SHA256_BYTES]);

/* Likewise. */
KN_MUST_CHECK int srv_hmac(const uint8_t key[static SRV_SHA256_BYTES], const void *data,
                           size_t size, uint8_t ret_code[SRV_SHA256_BYTES]);

/* In lower case. Pure, any thread. */
const char *srv_sha256_hex(const uint8_t hash[static SRV_SHA256_BYTES],
                           char hex[static SRV_SHA256_HEX_BYTES]);

/* Takes as long whatever differs. Pure, any thread. */
bool srv_equal_secretly(const void *a, const void *b, size_t size);
/* Zeros that no optimisation leaves out. */
void srv_wipe(void *data, size_t size);

/* 0, or a negative errno: the machine's random source did not answer. Any thread. */
KN_MUST_CHECK int srv_random(void *room, size_t size);

/* For many: what libcrypto looks up by name is looked up once. One thread at a time. */
struct srv_digest;

/* Borrowed bytes; several of them stand for their concatenation. */
struct srv_bytes {
    const void *data;
    size_t size;
};

KN_MUST_CHECK int srv_digest_create(struct srv_digest **ret_digest);
void srv_digest_destroy(struct srv_digest *digest);
/* Both: 0 or -ENOMEM. */
KN_MUST_CHECK int srv_digest_sha256(struct srv_digest *digest, const struct srv_bytes *parts,
                                    size_t count, uint8_t ret_hash[SRV_SHA256_BYTES]);
KN_MUST_CHECK int srv_digest_hmac(struct srv_digest *digest, struct srv_bytes key,
                                  struct srv_bytes data, uint8_t ret_code[SRV_SHA256_BYTES]);

#endif
