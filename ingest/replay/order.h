/* When pictures are shown whose file tells only in which order they are decoded (raw H.264 and
 * H.265, AVI): by their picture order count. Pure.
 *
 * The decoder's own rule: as many pictures as the reorder depth wait, then the lowest goes. The
 * n-th to go is shown at the n-th decode time and the reorder delay later. */
#ifndef INGEST_REPLAY_ORDER_H
#define INGEST_REPLAY_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

#define ING_ORDER_DEPTH_MAX 16u

struct ing_order_picture {
    uint64_t id; /* the caller's */
    int64_t poc;
};

struct ing_order_shown {
    uint64_t id;
    int64_t pts_ns;
};

/* A zeroed one is empty; its creator sets depth and step, and may do so again before a reset. */
struct ing_order {
    unsigned depth; /* at most ING_ORDER_DEPTH_MAX */
    int64_t step_ns;
    size_t count;
    struct ing_order_picture waiting[ING_ORDER_DEPTH_MAX + 1];
    int64_t dts_ns[ING_ORDER_DEPTH_MAX + 1]; /* of the next `count` to be shown */
};

/* Returns how many pictures' times were found. Shown times rise with the dts given. */
size_t ing_order_put(struct ing_order *order, uint64_t id, int64_t poc, int64_t dts_ns,
                     struct ing_order_shown shown[static ING_ORDER_DEPTH_MAX + 1]);
/* All that wait: the counts begin anew (IDR), or the file ends. */
size_t ing_order_reset(struct ing_order *order,
                       struct ing_order_shown shown[static ING_ORDER_DEPTH_MAX + 1]);

#endif
