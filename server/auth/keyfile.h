/* The key file, and what is encrypted with it: secrets that must be known again in the clear (those
 * of access keys, passwords of cameras). Without the file they are lost; beside the store's data it
 * protects copies and backups of the store, not a machine that was broken into.
 *
 *     srv_keyfile_create, once -> srv_keyfile_open -> srv_seal, srv_unseal -> srv_keyfile_wipe
 */
#ifndef SERVER_AUTH_KEYFILE_H
#define SERVER_AUTH_KEYFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

#define SRV_KEYFILE_KEY_BYTES 32u
#define SRV_SEAL_BYTES 28u /* a sealed text is longer by so much: nonce and tag */

struct srv_keyfile {
    uint8_t key[SRV_KEYFILE_KEY_BYTES];
};

/* These block. */
/* A new key, durable and readable by its owner alone when this returns 0. -EEXIST: there is a file
 * of that name, which is left alone. Another errno: nothing is left behind. */
KN_MUST_CHECK int srv_keyfile_create(const char *path);
/* 0. -ENOENT; -EPERM: others than its owner may read or write it, or its owner is neither this user
 * nor root; -ELOOP: a link; KN_E_MALFORMED: not a key file. Another errno. */
KN_MUST_CHECK int srv_keyfile_open(const char *path, struct srv_keyfile *ret_keyfile);

void srv_keyfile_wipe(struct srv_keyfile *keyfile);

/* AES-256-GCM. `what` says what the text is and whose: a text moved elsewhere does not open there.
 * `sealed` has room for `size` + SRV_SEAL_BYTES. 0; -ENOMEM; or the random source's errno. Any
 * thread. */
KN_MUST_CHECK int srv_seal(const struct srv_keyfile *keyfile, const char *what, const void *plain,
                           size_t size, uint8_t *sealed);
/* `plain` has room for `size` - SRV_SEAL_BYTES, and is zeros on failure. 0. -EKEYREJECTED: another
 * key file or another `what`, or the bytes were changed. -ENOMEM. Any thread. */
KN_MUST_CHECK int srv_unseal(const struct srv_keyfile *keyfile, const char *what,
                             const uint8_t *sealed, size_t size, void *plain);

#endif
