#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

#include "server/auth/principals_inner.h"

/* What OWASP names for 32 MiB; about 0.2 s. */
#define LOG2_N 15
#define BLOCKS 8 /* r */
#define LANES 3  /* p */
#define LOG2_N_MAX 17
#define BLOCKS_MAX 16
#define LANES_MAX 8
#define BLOCK_BYTES 128u
/* A little more than the table of N blocks: the lanes and one scratch block. */
#define SCRYPT_MEMORY_MAX ((uint64_t)272 * 1024 * 1024)

#define KEY_PREFIX "AKIA"
#define SESSION_PREFIX "ASIA"
#define KEY_RANDOM_CHARS 16u
#define SECRET_CHARS 40u
#define TOKEN_PREFIX "kinora_"
#define TOKEN_CHARS 43u /* 256 bits and two */

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

_Static_assert(sizeof(TOKEN_PREFIX) + TOKEN_CHARS == SRV_TOKEN_BYTES, "a token and its NUL");

/* Random characters of an alphabet whose size is a power of two: each byte gives one of equal
 * chance. */
static int random_characters(const char *alphabet, char *room, size_t count) {
    size_t letters = strlen(alphabet);
    KN_ASSERT((letters & (letters - 1)) == 0);
    int rc = srv_random(room, count);
    for (size_t i = 0; i < count && rc == 0; i++) {
        room[i] = alphabet[(uint8_t)room[i] & (letters - 1)];
    }
    return rc;
}

/* ---- access keys ---- */

int srv_principal_make_key(struct srv_principal *principal) {
    char access_key[sizeof(principal->access_key)] = KEY_PREFIX;
    char secret[SECRET_CHARS];
    int rc = random_characters(base32, access_key + strlen(KEY_PREFIX), KEY_RANDOM_CHARS);
    rc = rc < 0 ? rc : random_characters(base64, secret, sizeof(secret));
    if (rc == 0) {
        memcpy(principal->access_key, access_key, sizeof(access_key));
        memcpy(principal->secret, secret, sizeof(secret));
        principal->secret_bytes = sizeof(secret);
    }
    srv_wipe(secret, sizeof(secret));
    return rc;
}

static int make_token(char room[static SRV_TOKEN_BYTES], uint8_t ret_sha256[SRV_SHA256_BYTES]) {
    size_t prefix = strlen(TOKEN_PREFIX);
    memcpy(room, TOKEN_PREFIX, prefix);
    int rc = random_characters(base64url, room + prefix, TOKEN_CHARS);
    room[prefix + TOKEN_CHARS] = '\0';
    return rc < 0 ? rc : srv_sha256(room, prefix + TOKEN_CHARS, ret_sha256);
}

int srv_principal_make_session(struct srv_principal *principal, char ret_token[SRV_TOKEN_BYTES]) {
    char token[SRV_TOKEN_BYTES];
    int rc = make_token(token, principal->session_sha256);
    if (rc == 0) {
        memcpy(principal->access_key, SESSION_PREFIX, strlen(SESSION_PREFIX));
        principal->has_session = true;
        memcpy(ret_token, token, sizeof(token));
    }
    srv_wipe(token, sizeof(token));
    return rc;
}

/* ---- tokens ---- */

int srv_principal_make_token(struct srv_principal *principal, char ret_token[SRV_TOKEN_BYTES]) {
    char token[SRV_TOKEN_BYTES];
    int rc = make_token(token, principal->token_sha256);
    if (rc == 0) {
        memcpy(ret_token, token, sizeof(token));
    }
    srv_wipe(token, sizeof(token));
    return rc;
}

bool srv_token_valid(const char *token) {
    return strnlen(token, SRV_TOKEN_BYTES) == SRV_TOKEN_BYTES - 1 &&
           strncmp(token, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) == 0;
}

/* ---- passwords ---- */

bool srv_password_valid(const struct srv_password *password) {
    return password->log2_n >= 10 && password->log2_n <= LOG2_N_MAX && password->r >= 1 &&
           password->r <= BLOCKS_MAX && password->p >= 1 && password->p <= LANES_MAX;
}

static int scrypt(const struct srv_password *password, const char *text,
                  uint8_t ret_hash[static sizeof(password->hash)]) {
    int good = EVP_PBE_scrypt(text, strlen(text), password->salt, sizeof(password->salt),
                              UINT64_C(1) << password->log2_n, password->r, password->p,
                              SCRYPT_MEMORY_MAX, ret_hash, sizeof(password->hash));
    return good == 1 ? 0 : -ENOMEM;
}

int srv_principal_set_password(struct srv_principal *principal, const char *password) {
    struct srv_password made = {.log2_n = LOG2_N, .r = BLOCKS, .p = LANES};
    size_t size = strnlen(password, SRV_PASSWORD_MAX + 1);
    if (size < SRV_PASSWORD_LEAST || size > SRV_PASSWORD_MAX) {
        return -EINVAL;
    }
    int rc = srv_random(made.salt, sizeof(made.salt));
    rc = rc < 0 ? rc : scrypt(&made, password, made.hash);
    if (rc == 0) {
        principal->password = made;
    }
    return rc;
}

int srv_password_check(const struct srv_password *password, const char *text) {
    uint8_t hash[sizeof(password->hash)];
    KN_ASSERT(srv_password_valid(password));
    if (strnlen(text, SRV_PASSWORD_MAX + 1) > SRV_PASSWORD_MAX) {
        return -EACCES;
    }
    int rc = scrypt(password, text, hash);
    if (rc == 0 && !srv_equal_secretly(hash, password->hash, sizeof(hash))) {
        rc = -EACCES;
    }
    srv_wipe(hash, sizeof(hash));
    return rc;
}
