/* Inner: streams in memory, for opening and closing a store. */
#ifndef FRAGMENTS_STORE_STREAMS_H
#define FRAGMENTS_STORE_STREAMS_H

#include "fragments/store/engine.h"

/* Copies the tags. Not in any list yet. */
KN_MUST_CHECK int frag_stream_make(struct frag_store *store, const uint8_t id[static FRAG_ID_BYTES],
                                   const struct frag_value_stream *value,
                                   struct frag_stream **ret_stream);
/* NULL is fine. */
void frag_stream_destroy(struct frag_stream *stream);
/* Into the list it belongs to, which owns it then. -EEXIST: the name is there; -ENOMEM. */
KN_MUST_CHECK int frag_streams_add(struct frag_store *store, struct frag_stream *stream);
/* Caller holds the stream's lock, or nobody else knows it yet. */
void frag_stream_lift_ordinals(struct frag_stream *stream);

#endif
