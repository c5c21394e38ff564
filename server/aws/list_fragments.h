/* Inner: ListFragments, and the token its pages are tied together with. */
#ifndef SERVER_AWS_LIST_FRAGMENTS_H
#define SERVER_AWS_LIST_FRAGMENTS_H

#include "base/attributes.h"
#include "base/time.h"
#include "fragments/fragments.h"

struct srv_exchange;

/* The handler; on a worker. */
void srv_aws_list_fragments(struct srv_exchange *exchange);

/* Where a list goes on: by number, so that retention takes nothing out of it but what is gone. */
struct srv_fragments_page {
    uint8_t stream[FRAG_ID_BYTES]; /* its id */
    enum frag_clock clock;
    struct kn_wall from, to;
    uint64_t after; /* sequence */
};

#define SRV_FRAGMENTS_TOKEN_BYTES 83u
/* Letters and digits. Pure. */
const char *srv_fragments_token_write(const struct srv_fragments_page *page,
                                      char text[static SRV_FRAGMENTS_TOKEN_BYTES]);
/* 0 or KN_E_MALFORMED. Pure. */
KN_MUST_CHECK int srv_fragments_token_read(const char *text, struct srv_fragments_page *ret_page);

#endif
