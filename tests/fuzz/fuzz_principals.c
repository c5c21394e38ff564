/* Principals of the journal, and grants as text, on any bytes; the first byte says which. What is
 * taken is written back as the same bytes, and no part of it is taken; a grant's text means the
 * grant. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/auth/principals.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM 8192u
#define PREFIXES 64u

static void check_value(const uint8_t *data, size_t size) {
    uint8_t room[ROOM];
    struct srv_principal principal;
    struct srv_principal unused;
    struct srv_sealed_secret sealed;
    struct srv_sealed_secret unused_sealed;
    struct kn_writer writer;
    int rc = srv_principal_read(data, size, &principal, &sealed);
    KN_ASSERT(rc == 0 || rc == KN_E_TRUNCATED || rc == KN_E_MALFORMED || rc == KN_E_UNSUPPORTED);
    if (rc < 0) {
        return;
    }
    kn_writer_init(&writer, room, sizeof(room));
    srv_principal_write(&writer, &principal, &sealed);
    KN_ASSERT(kn_writer_status(&writer) == 0 && writer.size == size);
    KN_ASSERT(memcmp(room, data, size) == 0);
    for (size_t cut = size; cut > 0 && size - cut < PREFIXES; cut--) {
        rc = srv_principal_read(data, cut - 1, &unused, &unused_sealed);
        KN_ASSERT(rc == KN_E_TRUNCATED);
    }
    /* Whoever it is, these must stand it. */
    (void)srv_principal_may(&principal, SRV_ACTION_LIST, "door");
    (void)srv_principal_may(&principal, SRV_ACTION_ADMIN, NULL);
}

static void check_grant(const char *text) {
    char again_text[SRV_GRANT_TEXT_BYTES];
    struct srv_grant grant;
    struct srv_grant again;
    int rc = srv_grant_parse(text, &grant);
    KN_ASSERT(rc == 0 || rc == KN_E_MALFORMED);
    if (rc == 0) {
        rc = srv_grant_parse(srv_grant_text(&grant, again_text), &again);
        KN_ASSERT(rc == 0 && again.actions == grant.actions);
        KN_ASSERT(strcmp(again.pattern, grant.pattern) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        check_value(data + 1, size - 1);
        return 0;
    }
    char *text = malloc(size);
    if (text != NULL) {
        memcpy(text, data + 1, size - 1);
        text[size - 1] = '\0';
        check_grant(text);
        free(text);
    }
    return 0;
}
