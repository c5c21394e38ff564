/* Inside of fragments/: the last step of a fragment's life, which only the tail takes. */
#ifndef FRAGMENTS_FRAGMENT_SETTLE_H
#define FRAGMENTS_FRAGMENT_SETTLE_H

#include "fragments/fragment.h"

/* queued -> durable (error 0) or failed. Once. */
void frag_fragment_settle(struct frag_fragment *fragment, int error);

#endif
