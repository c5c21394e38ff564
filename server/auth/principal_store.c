#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/fragments.h"
#include "server/auth/principals_inner.h"

#define KEY_WORD "principal"
#define KEY_BYTES (sizeof(KEY_WORD) - 1 + 2)
#define VALUE_MAX 8192u /* more than the longest */
#define SEAL_WORD "secret of "

static void key_of(uint16_t slot, uint8_t key[static KEY_BYTES]) {
    memcpy(key, KEY_WORD, sizeof(KEY_WORD) - 1);
    key[KEY_BYTES - 2] = (uint8_t)(slot >> 8);
    key[KEY_BYTES - 1] = (uint8_t)slot;
}

/* What a sealed secret is bound to. */
#define SEALED_AS_BYTES (sizeof(SEAL_WORD) + SRV_ACCESS_KEY_BYTES)
static void sealed_as(const struct srv_principal *principal, char what[static SEALED_AS_BYTES]) {
    size_t word = sizeof(SEAL_WORD) - 1;
    memcpy(what, SEAL_WORD, word);
    memcpy(what + word, principal->access_key, sizeof(principal->access_key));
}

static int seal_secret(const struct srv_keyfile *keyfile, const struct srv_principal *principal,
                       struct srv_sealed_secret *sealed) {
    char what[SEALED_AS_BYTES];
    sealed->size = 0;
    if (principal->kind != SRV_PRINCIPAL_KEY) {
        return 0;
    }
    sealed_as(principal, what);
    sealed->size = principal->secret_bytes + SRV_SEAL_BYTES;
    return srv_seal(keyfile, what, principal->secret, principal->secret_bytes, sealed->bytes);
}

static int unseal_secret(const struct srv_keyfile *keyfile, struct srv_principal *principal,
                         const struct srv_sealed_secret *sealed) {
    char what[SEALED_AS_BYTES];
    if (principal->kind != SRV_PRINCIPAL_KEY || keyfile == NULL) {
        return 0;
    }
    sealed_as(principal, what);
    int rc = srv_unseal(keyfile, what, sealed->bytes, sealed->size, principal->secret);
    if (rc == 0) {
        principal->secret_bytes = sealed->size - SRV_SEAL_BYTES;
        rc = srv_principal_valid(principal) ? 0 : KN_E_MALFORMED;
    }
    return rc;
}

int srv_principal_store(struct frag_store *store, const struct srv_keyfile *keyfile, uint16_t slot,
                        const struct srv_principal *principal) {
    uint8_t key[KEY_BYTES];
    uint8_t value[VALUE_MAX];
    struct srv_sealed_secret sealed;
    struct kn_writer writer;
    int rc = seal_secret(keyfile, principal, &sealed);
    if (rc < 0) {
        return rc;
    }
    key_of(slot, key);
    kn_writer_init(&writer, value, sizeof(value));
    srv_principal_write(&writer, principal, &sealed);
    rc = kn_writer_status(&writer);
    return rc < 0 ? rc
                  : frag_store_put(store, FRAG_STORE_KIND_SERVER, key, sizeof(key), value,
                                   writer.size);
}

int srv_principal_load(struct frag_store *store, const struct srv_keyfile *keyfile, uint16_t slot,
                       struct srv_principal *ret_principal) {
    uint8_t key[KEY_BYTES];
    uint8_t *value = NULL;
    size_t size = 0;
    struct srv_principal principal;
    struct srv_sealed_secret sealed;
    key_of(slot, key);
    int rc = frag_store_get(store, FRAG_STORE_KIND_SERVER, key, sizeof(key), &value, &size);
    if (rc < 0) {
        return rc;
    }
    rc = srv_principal_read(value, size, &principal, &sealed);
    free(value);
    rc = rc < 0 ? rc : unseal_secret(keyfile, &principal, &sealed);
    if (rc == 0) {
        *ret_principal = principal;
    }
    srv_wipe(&principal, sizeof(principal));
    return rc;
}

int srv_principal_forget(struct frag_store *store, uint16_t slot) {
    uint8_t key[KEY_BYTES];
    key_of(slot, key);
    return frag_store_delete(store, FRAG_STORE_KIND_SERVER, key, sizeof(key));
}
