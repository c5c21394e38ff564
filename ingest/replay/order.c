#include "ingest/replay/order.h"

#include <string.h>

static size_t find_lowest(const struct ing_order *order) {
    size_t lowest = 0;
    for (size_t i = 1; i < order->count; i++) {
        if (order->waiting[i].poc < order->waiting[lowest].poc) {
            lowest = i;
        }
    }
    return lowest;
}

static struct ing_order_shown show_lowest(struct ing_order *order) {
    size_t at = find_lowest(order);
    struct ing_order_shown shown = {
        .id = order->waiting[at].id,
        .pts_ns = order->dts_ns[0] + (int64_t)order->depth * order->step_ns,
    };
    order->count--;
    memmove(&order->waiting[at], &order->waiting[at + 1],
            (order->count - at) * sizeof(order->waiting[0]));
    memmove(&order->dts_ns[0], &order->dts_ns[1], order->count * sizeof(order->dts_ns[0]));
    return shown;
}

static size_t show_down_to(struct ing_order *order, size_t left, struct ing_order_shown *shown) {
    size_t count = 0;
    while (order->count > left) {
        shown[count++] = show_lowest(order);
    }
    return count;
}

size_t ing_order_put(struct ing_order *order, uint64_t id, int64_t poc, int64_t dts_ns,
                     struct ing_order_shown shown[static ING_ORDER_DEPTH_MAX + 1]) {
    KN_ASSERT(order->depth <= ING_ORDER_DEPTH_MAX && order->count <= order->depth);
    order->waiting[order->count] = (struct ing_order_picture){.id = id, .poc = poc};
    order->dts_ns[order->count] = dts_ns;
    order->count++;
    return show_down_to(order, order->depth, shown);
}

size_t ing_order_reset(struct ing_order *order,
                       struct ing_order_shown shown[static ING_ORDER_DEPTH_MAX + 1]) {
    return show_down_to(order, 0, shown);
}
