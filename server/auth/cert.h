/* A self-signed certificate, for a first start with TLS. */
#ifndef SERVER_AUTH_CERT_H
#define SERVER_AUTH_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/time.h"

struct srv_cert_config {
    const char *certificate, *key; /* files to make; the key has mode 0600 */
    /* DNS names ("*.home.example" too) and addresses it is for. The first one is its CN, unless it
     * is longer than the 64 bytes that a CN has. */
    const char *const *names;
    size_t name_count;
    struct kn_wall now;
    int64_t valid_ns;
    bool replace;
};

#define SRV_CERT_NAMES_MAX 100u
#define SRV_CERT_FINGERPRINT_BYTES 96u /* SHA-256, "AB:CD:..." */

/* A DNS name, or an address. Pure. */
bool srv_cert_name_valid(const char *name);
/* ECDSA P-256. Blocks. 0; -EEXIST: a file is in the way, and not `replace`; -EINVAL: a name that is
 * none, no name, or more than SRV_CERT_NAMES_MAX; -ENOMEM; another errno. Both files appear, or
 * none, and what they replace stays then; a power cut between the two leaves a key without its
 * certificate, which is seen when they are read. */
KN_MUST_CHECK int srv_cert_make(const struct srv_cert_config *config,
                                char ret_fingerprint[static SRV_CERT_FINGERPRINT_BYTES]);

#endif
