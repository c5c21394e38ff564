/* Inner: what a PutMedia body may be. Pure. */
#ifndef INGEST_PUTMEDIA_RULES_H
#define INGEST_PUTMEDIA_RULES_H

#include "ingest/ingest.h"

#define ING_PUT_TRACKS_MAX 3u
#define ING_PUT_TAGS_MAX 10u
#define ING_PUT_TAG_NAME_MAX 128u
#define ING_PUT_TAG_VALUE_MAX 256u
#define ING_PUT_LONGEST_NS (20 * KN_NS_PER_S)
#define ING_PUT_AHEAD_NS (24 * 3600 * KN_NS_PER_S)

/* Muxers of files cut clusters by size and time too: in the middle of a group of pictures, where a
 * picture may be shown before the one that came first, and without waiting for all tracks. So a
 * cluster that goes on with pictures may begin a little before the last one, and one that is
 * shorter than any fragment of the service's clients need not have a frame of each track. */
#define ING_PUT_SHORTEST_NS KN_NS_PER_S
#define ING_PUT_REORDER_NS KN_NS_PER_S

/* Of the fragment before. */
struct ing_put_before {
    bool any;
    int64_t time_ns; /* its cluster's */
};

/* From its cluster's time to the end of its last frame, as far as that is known. */
int64_t ing_put_duration(const struct frag_mkv_fragment *fragment);
/* 0, or what is wrong with it (enum ing_put_error); `before` goes on where nothing is. */
int ing_put_check(const struct frag_mkv_fragment *fragment, struct ing_put_before *before);
/* What to say of a parser that stopped. */
enum ing_put_error ing_put_fault(const struct frag_mkv_error *error, bool in_cluster);

#endif
