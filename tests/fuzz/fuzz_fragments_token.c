/* The token that ties pages of ListFragments together (server/aws/list_fragments.c). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/aws/list_fragments.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct srv_fragments_page page;
    char again[SRV_FRAGMENTS_TOKEN_BYTES];
    char *text = malloc(size + 1);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    int rc = srv_fragments_token_read(text, &page);
    KN_ASSERT(rc == 0 || rc == KN_E_MALFORMED);
    if (rc == 0) {
        /* One text for the same page. */
        KN_ASSERT(strcmp(srv_fragments_token_write(&page, again), text) == 0);
        KN_ASSERT(page.from.ns <= page.to.ns && page.after <= FRAG_NUMBER_SEQUENCE_MAX);
    }
    free(text);
    return 0;
}
