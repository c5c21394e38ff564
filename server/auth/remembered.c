#include <string.h>

#include "server/auth/door_inner.h"

/* Also where the clock was set back: nothing stays for longer than it may. */
static bool is_good(struct kn_wall since, struct kn_wall now) {
    return now.ns >= since.ns && now.ns - since.ns < SRV_REMEMBERED_NS;
}

/* Codes are under a key that nobody knows: how long comparing takes tells nothing. */
bool srv_remembered_has(const struct srv_remembered *remembered,
                        const uint8_t code[static SRV_SHA256_BYTES], struct kn_wall now) {
    for (size_t i = 0; i < remembered->count; i++) {
        if (memcmp(remembered->entries[i].code, code, SRV_SHA256_BYTES) == 0) {
            return is_good(remembered->entries[i].since, now);
        }
    }
    return false;
}

static size_t place_for(const struct srv_remembered *remembered,
                        const uint8_t code[static SRV_SHA256_BYTES]) {
    size_t oldest = 0;
    for (size_t i = 0; i < remembered->count; i++) {
        if (memcmp(remembered->entries[i].code, code, SRV_SHA256_BYTES) == 0) {
            return i;
        }
        if (remembered->entries[i].since.ns < remembered->entries[oldest].since.ns) {
            oldest = i;
        }
    }
    return remembered->count < SRV_REMEMBERED_MAX ? remembered->count : oldest;
}

void srv_remembered_add(struct srv_remembered *remembered,
                        const uint8_t code[static SRV_SHA256_BYTES], struct kn_wall now) {
    size_t at = place_for(remembered, code);
    remembered->count += at == remembered->count ? 1 : 0;
    memcpy(remembered->entries[at].code, code, SRV_SHA256_BYTES);
    remembered->entries[at].since = now;
}
