/* Inner: what streams with retention 0 keep in memory. Any thread, no lock of a stream held. */
#ifndef FRAGMENTS_STORE_RING_H
#define FRAGMENTS_STORE_RING_H

#include "fragments/store/engine.h"

/* A fragment was published: the tail keeps it, and the oldest go. Where there is no room for it at
 * all, or the stream is deleted or recorded meanwhile, the tail forgets it once it is settled. */
void frag_ring_keep(struct frag_stream *stream, struct frag_number number, size_t bytes);
/* The stream is deleted, or recorded from now on: all of it goes. */
void frag_ring_clear(struct frag_stream *stream);

#endif
