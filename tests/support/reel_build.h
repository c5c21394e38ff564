/* A reel made in memory from a clip of sample-media, as the store would write it: packed clusters,
 * trailers that say what they say, bytes around the first two clusters.
 *
 *     struct reel_built reel;
 *     reel_build(&reel, clip, size, true);
 *     ... reel.file.data, reel.file.size; reel.rows[i] ...
 *     reel_built_free(&reel);
 *
 * What cannot be done ends the program. */
#ifndef TESTS_SUPPORT_REEL_BUILD_H
#define TESTS_SUPPORT_REEL_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "fragments/store/reel_format.h"

#define REEL_BUILD_ROWS 64

struct reel_built {
    struct kn_writer file;
    struct frag_reel_identity identity;
    struct frag_reel_row rows[REEL_BUILD_ROWS];
    size_t count;
    struct frag_reel_places places; /* of a closed one */
};

/* All whole clusters of the clip up to a change of tracks, which would be another reel. */
void reel_build(struct reel_built *ret_reel, const uint8_t *clip, size_t size, bool closed);
void reel_built_free(struct reel_built *reel);

#endif
