/* Random stores that obey the rules of a writer, and what an index of them must answer, by looking
 * through all fragments.
 *
 *     world_init, world_grow(&world, index, 1000), world_find_time(...) ..., world_finish
 *
 * Several streams, up to three overlapping sessions each; clocks that stand, jump and step back;
 * equal times; reels that are closed, marked, dropped, copied to kept ones. Fails the test itself.
 */
#ifndef TESTS_SUPPORT_INDEX_WORLD_H
#define TESTS_SUPPORT_INDEX_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fragments/store/index.h"

#define WORLD_STREAMS 3
#define WORLD_SESSIONS 3
#define WORLD_REELS 4096

struct world_fragment {
    size_t reel; /* of world.reels */
    struct frag_reel_row row;
};

struct world_reel {
    struct frag_index_reel reel;
    char path[96];
    size_t stream;
    bool dropped;
    int64_t min_ns[2], max_ns[2];
};

struct world_stream {
    uint64_t sequence, ordinal, discontinuities;
    size_t open[WORLD_SESSIONS]; /* of world.reels, or WORLD_REELS */
    int64_t producer_ns[WORLD_SESSIONS];
};

struct world {
    uint64_t seed;
    bool only_add; /* reels are neither closed nor deleted */
    int64_t server_ns;
    struct world_stream streams[WORLD_STREAMS];
    struct world_reel *reels;
    size_t reel_count;
    struct world_fragment *fragments;
    size_t count, room;
};

void world_init(struct world *world, uint64_t seed);
void world_finish(struct world *world);
uint64_t world_draw(struct world *world);
/* Both ends in. */
int64_t world_between(struct world *world, int64_t low, int64_t high);
/* `fragments` more, in transactions of some. */
void world_grow(struct world *world, struct frag_index *index, size_t fragments);
/* All that are open, in one transaction. */
void world_close_all(struct world *world, struct frag_index *index);

const uint8_t *world_stream_id(size_t stream);
/* A fragment of the stream that can be found; NULL: none (or, rarely, none met). */
const struct world_fragment *world_any(struct world *world, size_t stream);
/* A reel to add, and a row that follows `last` (NULL: the first one). */
struct frag_index_reel world_make_reel(struct world *world, size_t stream, char path[static 96]);
struct frag_reel_row world_make_row(const struct frag_index_reel *reel,
                                    const struct frag_reel_row *last);

/* NULL: nothing is found. */
const struct world_fragment *world_find_sequence(const struct world *world, size_t stream,
                                                 uint64_t sequence);
const struct world_fragment *world_find_time(const struct world *world, size_t stream,
                                             enum frag_clock clock, int64_t time_ns);
const struct world_fragment *world_earliest(const struct world *world, size_t stream);
const struct world_fragment *world_latest(const struct world *world, size_t stream);
/* All of the range in order: how many; free() what it gives. */
size_t world_range(const struct world *world, size_t stream, enum frag_clock clock, int64_t from_ns,
                   int64_t to_ns, const struct world_fragment ***ret_fragments);
/* Does the store have exactly this, in a reel that was never dropped? */
bool world_has(const struct world *world, size_t stream, const struct frag_index_found *found);
bool world_same_row(const struct frag_reel_row *a, const struct frag_reel_row *b);

#endif
