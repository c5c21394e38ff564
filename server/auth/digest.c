#include "server/auth/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>

struct srv_digest {
    EVP_MD *sha256;
    EVP_MD_CTX *hash;
    EVP_MAC *hmac;
    EVP_MAC_CTX *code; /* of SHA-256; given a key each time */
};

int srv_sha256(const void *data, size_t size, uint8_t ret_hash[SRV_SHA256_BYTES]) {
    return EVP_Digest(data, size, ret_hash, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int srv_hmac(const uint8_t key[static SRV_SHA256_BYTES], const void *data, size_t size,
             uint8_t ret_code[SRV_SHA256_BYTES]) {
    return HMAC(EVP_sha256(), key, SRV_SHA256_BYTES, data, size, ret_code, NULL) != NULL ? 0
                                                                                         : -ENOMEM;
}

const char *srv_sha256_hex(const uint8_t hash[static SRV_SHA256_BYTES],
                           char hex[static SRV_SHA256_HEX_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SRV_SHA256_BYTES; i++) {
        hex[2 * i] = digits[hash[i] >> 4];
        hex[2 * i + 1] = digits[hash[i] & 15];
    }
    hex[2 * (size_t)SRV_SHA256_BYTES] = '\0';
    return hex;
}

bool srv_equal_secretly(const void *a, const void *b, size_t size) {
    return CRYPTO_memcmp(a, b, size) == 0;
}

void srv_wipe(void *data, size_t size) {
    OPENSSL_cleanse(data, size);
}

int srv_random(void *room, size_t size) {
    uint8_t *to = room;
    while (size > 0) {
        ssize_t got = getrandom(to, size, 0);
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        size_t step = got < 0 ? 0 : (size_t)got;
        to += step;
        size -= step;
    }
    return 0;
}

static int set_up(struct srv_digest *digest) {
    char name[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end(),
    };
    digest->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    digest->hash = EVP_MD_CTX_new();
    digest->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (digest->sha256 == NULL || digest->hash == NULL || digest->hmac == NULL) {
        return -ENOMEM;
    }
    digest->code = EVP_MAC_CTX_new(digest->hmac);
    return digest->code != NULL && EVP_MAC_CTX_set_params(digest->code, params) == 1 ? 0 : -ENOMEM;
}

int srv_digest_create(struct srv_digest **ret_digest) {
    struct srv_digest *digest = calloc(1, sizeof(*digest));
    if (digest == NULL) {
        return -ENOMEM;
    }
    int rc = set_up(digest);
    if (rc < 0) {
        srv_digest_destroy(digest);
        return rc;
    }
    *ret_digest = digest;
    return 0;
}

void srv_digest_destroy(struct srv_digest *digest) {
    if (digest == NULL) {
        return;
    }
    EVP_MAC_CTX_free(digest->code);
    EVP_MAC_free(digest->hmac);
    EVP_MD_CTX_free(digest->hash);
    EVP_MD_free(digest->sha256);
    free(digest);
}

int srv_digest_sha256(struct srv_digest *digest, const struct srv_bytes *parts, size_t count,
                      uint8_t ret_hash[SRV_SHA256_BYTES]) {
    int good = EVP_DigestInit_ex2(digest->hash, digest->sha256, NULL);
    for (size_t i = 0; i < count && good == 1; i++) {
        good = EVP_DigestUpdate(digest->hash, parts[i].data, parts[i].size);
    }
    good = good == 1 ? EVP_DigestFinal_ex(digest->hash, ret_hash, NULL) : good;
    return good == 1 ? 0 : -ENOMEM;
}

int srv_digest_hmac(struct srv_digest *digest, struct srv_bytes key, struct srv_bytes data,
                    uint8_t ret_code[SRV_SHA256_BYTES]) {
    size_t size = 0;
    int good = EVP_MAC_init(digest->code, key.data, key.size, NULL);
    good = good == 1 ? EVP_MAC_update(digest->code, data.data, data.size) : good;
    good = good == 1 ? EVP_MAC_final(digest->code, ret_code, &size, SRV_SHA256_BYTES) : good;
    return good == 1 && size == SRV_SHA256_BYTES ? 0 : -ENOMEM;
}
