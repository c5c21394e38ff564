/* Holds: kept in the journal, changed and looked at by the clerk, so that they and deletion marks
 * are decided one after the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/retention.h"

/* ---- ranges ---- */

struct loading {
    const uint8_t *stream;
    struct frag_held held;
};

static int load_range(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct loading *loading = user;
    struct frag_held *held = &loading->held;
    struct frag_value_hold hold;
    (void)key;
    int rc = frag_value_read_hold(value, &hold);
    if (rc < 0) {
        return rc; /* what it holds is not known: nothing may be deleted */
    }
    if (loading->stream != NULL && memcmp(hold.stream, loading->stream, FRAG_ID_BYTES) != 0) {
        return 0;
    }
    if (held->count == held->room) {
        size_t room = held->room == 0 ? 16 : held->room * 2;
        struct frag_held_range *ranges = reallocarray(held->ranges, room, sizeof(*ranges));
        if (ranges == NULL) {
            return -ENOMEM;
        }
        held->ranges = ranges;
        held->room = room;
    }
    struct frag_held_range *range = &held->ranges[held->count++];
    *range = (struct frag_held_range){.clock = hold.clock, .from = hold.from, .to = hold.to};
    memcpy(range->stream, hold.stream, FRAG_ID_BYTES);
    return 0;
}

int frag_held_load(struct frag_store *store, const uint8_t *stream, struct frag_held *ret_held) {
    struct loading loading = {.stream = stream};
    int rc = frag_catalog_each(store->clerk.catalog, FRAG_CATALOG_HOLD, load_range, &loading);
    if (rc < 0) {
        frag_held_finish(&loading.held);
        return rc;
    }
    *ret_held = loading.held;
    return 0;
}

void frag_held_finish(struct frag_held *held) {
    free(held->ranges);
    *held = (struct frag_held){0};
}

bool frag_held_any(const struct frag_held *held, const uint8_t stream[static FRAG_ID_BYTES]) {
    for (size_t i = 0; i < held->count; i++) {
        if (memcmp(held->ranges[i].stream, stream, FRAG_ID_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static bool touches(const struct frag_held_range *range, const struct frag_reel_row *row) {
    int64_t start_ns = range->clock == FRAG_CLOCK_PRODUCER ? row->producer.ns : row->server.ns;
    int64_t end_ns = 0; /* the first one after it */
    bool reaches = !kn_i64_add(start_ns, row->duration_ns, &end_ns) || end_ns > range->from.ns;
    return start_ns <= range->to.ns && (start_ns >= range->from.ns || reaches);
}

bool frag_held_touches(const struct frag_held *held, const uint8_t stream[static FRAG_ID_BYTES],
                       const struct frag_reel_row *row) {
    for (size_t i = 0; i < held->count; i++) {
        if (memcmp(held->ranges[i].stream, stream, FRAG_ID_BYTES) == 0 &&
            touches(&held->ranges[i], row)) {
            return true;
        }
    }
    return false;
}

bool frag_holds_any(struct frag_store *store, const uint8_t stream[static FRAG_ID_BYTES]) {
    struct frag_held held = {0};
    int rc = frag_held_load(store, stream, &held);
    bool any = rc < 0 || held.count > 0;
    frag_held_finish(&held);
    return any;
}

/* ---- what is seen of expired fragments ---- */

/* A fragment may begin before the range that it has a part in, by less than this. */
#define LONGEST_NS FRAG_REEL_SPAN_NS

static void set_held(struct frag_stream *stream, const struct frag_held *held) {
    bool any = false;
    struct kn_wall from = {INT64_MAX};
    for (size_t i = 0; i < held->count; i++) {
        const struct frag_held_range *range = &held->ranges[i];
        if (memcmp(range->stream, stream->id, FRAG_ID_BYTES) == 0) {
            /* A producer's clock says nothing about ours. */
            bool known =
                range->clock == FRAG_CLOCK_SERVER && range->from.ns > INT64_MIN + LONGEST_NS;
            int64_t from_ns = known ? range->from.ns - LONGEST_NS : INT64_MIN;
            from.ns = from_ns < from.ns ? from_ns : from.ns;
            any = true;
        }
    }
    (void)pthread_mutex_lock(&stream->lock);
    stream->held = any;
    stream->held_from = from;
    (void)pthread_mutex_unlock(&stream->lock);
}

/* After a change; where it cannot be had, too much is seen rather than too little. */
static void renew_held(struct frag_stream *stream) {
    struct frag_held held = {0};
    if (frag_held_load(stream->store, stream->id, &held) == 0) {
        set_held(stream, &held);
        frag_held_finish(&held);
        return;
    }
    (void)pthread_mutex_lock(&stream->lock);
    stream->held = true;
    stream->held_from.ns = INT64_MIN;
    (void)pthread_mutex_unlock(&stream->lock);
}

int frag_holds_open(struct frag_store *store) {
    struct frag_held held = {0};
    int rc = frag_held_load(store, NULL, &held);
    for (size_t i = 0; i < store->stream_count && rc == 0 && held.count > 0; i++) {
        set_held(store->streams[i], &held);
    }
    frag_held_finish(&held);
    return rc;
}

/* ---- adding ---- */

static int count_hold(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    (void)key;
    (void)value;
    (*(size_t *)user)++;
    return 0;
}

static bool is_deleting(struct frag_stream *stream) {
    (void)pthread_mutex_lock(&stream->lock);
    bool deleting = stream->deleting;
    (void)pthread_mutex_unlock(&stream->lock);
    return deleting;
}

struct addition {
    struct frag_stream *stream;
    const struct kn_writer *value;
    uint8_t id[FRAG_ID_BYTES];
};

static int add_on_clerk(struct frag_store *store, void *user) {
    struct addition *addition = user;
    struct frag_catalog *catalog = store->clerk.catalog;
    size_t count = 0;
    if (is_deleting(addition->stream)) {
        return -ENOENT;
    }
    int rc = frag_catalog_each(catalog, FRAG_CATALOG_HOLD, count_hold, &count);
    if (rc == 0 && count >= FRAG_HOLDS_MAX) {
        rc = KN_E_LIMIT;
    }
    if (rc < 0) {
        return rc;
    }
    frag_random_bytes(&store->random, addition->id, sizeof(addition->id));
    rc = frag_catalog_put(catalog, FRAG_CATALOG_HOLD, addition->id, sizeof(addition->id),
                          addition->value->data, addition->value->size);
    if (rc == 0) {
        renew_held(addition->stream);
    }
    return rc;
}

int frag_hold_add(struct frag_stream *stream, struct frag_hold *hold) {
    struct frag_store *store = stream->store;
    if (store->mode == FRAG_STORE_READ) {
        return -EROFS;
    }
    struct frag_value_hold value = {.clock = hold->clock,
                                    .from = hold->from,
                                    .to = hold->to,
                                    .created = store->clock->wall(store->clock)};
    memcpy(value.stream, stream->id, FRAG_ID_BYTES);
    memcpy(value.reason, hold->reason, sizeof(value.reason));
    uint8_t room[512];
    struct kn_writer writer;
    kn_writer_init(&writer, room, sizeof(room));
    frag_value_write_hold(&writer, &value);
    int rc = kn_writer_status(&writer);
    if (rc < 0) {
        return rc == KN_E_MALFORMED ? -EINVAL : rc;
    }
    struct addition addition = {.stream = stream, .value = &writer};
    rc = frag_clerk_call(store, add_on_clerk, &addition);
    if (rc == 0) {
        memcpy(hold->id, addition.id, FRAG_ID_BYTES);
        memcpy(hold->stream, stream->name, sizeof(hold->stream));
        hold->created = value.created;
        kn_log_info("hold added", kn_str("stream", stream->name), kn_str("reason", hold->reason));
    }
    return rc;
}

/* ---- removing ---- */

static int remove_on_clerk(struct frag_store *store, void *user) {
    struct frag_catalog *catalog = store->clerk.catalog;
    struct frag_catalog_value value;
    struct frag_value_hold hold;
    int rc = frag_catalog_get(catalog, FRAG_CATALOG_HOLD, user, FRAG_ID_BYTES, &value);
    rc = rc < 0 ? rc : frag_value_read_hold(value, &hold);
    rc = rc < 0 ? rc : frag_catalog_delete(catalog, FRAG_CATALOG_HOLD, user, FRAG_ID_BYTES);
    if (rc == 0) {
        struct frag_stream *stream = frag_stream_by_id(store, hold.stream);
        if (stream != NULL) {
            renew_held(stream);
        }
    }
    return rc;
}

int frag_hold_remove(struct frag_store *store, const uint8_t id[static FRAG_ID_BYTES]) {
    uint8_t key[FRAG_ID_BYTES];
    if (store->mode == FRAG_STORE_READ) {
        return -EROFS;
    }
    memcpy(key, id, sizeof(key));
    int rc = frag_clerk_call(store, remove_on_clerk, key);
    if (rc == 0) {
        kn_log_info("hold removed", kn_str("data", store->data));
    }
    return rc;
}

/* ---- listing ---- */

struct list {
    struct frag_store *store;
    struct frag_hold *holds;
    size_t count, room;
};

static int list_hold(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct list *list = user;
    struct frag_value_hold read;
    int rc = key.size == FRAG_ID_BYTES ? frag_value_read_hold(value, &read) : KN_E_MALFORMED;
    if (rc < 0) {
        return rc;
    }
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 16 : list->room * 2;
        struct frag_hold *holds = reallocarray(list->holds, room, sizeof(*holds));
        if (holds == NULL) {
            return -ENOMEM;
        }
        list->holds = holds;
        list->room = room;
    }
    struct frag_hold *hold = &list->holds[list->count++];
    *hold = (struct frag_hold){
        .clock = read.clock, .from = read.from, .to = read.to, .created = read.created};
    memcpy(hold->id, key.data, FRAG_ID_BYTES);
    memcpy(hold->reason, read.reason, sizeof(hold->reason));
    const struct frag_stream *stream = frag_stream_by_id(list->store, read.stream);
    if (stream != NULL) {
        memcpy(hold->stream, stream->name, sizeof(hold->stream));
    }
    return 0;
}

static int list_on_clerk(struct frag_store *store, void *user) {
    return frag_catalog_each(store->clerk.catalog, FRAG_CATALOG_HOLD, list_hold, user);
}

/* Ids are by chance; people think in the order in which they made them. */
static int compare_holds(const void *a, const void *b) {
    const struct frag_hold *left = a;
    const struct frag_hold *right = b;
    if (left->created.ns != right->created.ns) {
        return left->created.ns < right->created.ns ? -1 : 1;
    }
    return memcmp(left->id, right->id, FRAG_ID_BYTES);
}

int frag_hold_each(struct frag_store *store, int (*each)(const struct frag_hold *hold, void *user),
                   void *user) {
    struct list list = {.store = store};
    int rc = frag_clerk_call(store, list_on_clerk, &list);
    if (rc == 0 && list.count > 1) {
        qsort(list.holds, list.count, sizeof(*list.holds), compare_holds);
    }
    for (size_t i = 0; i < list.count && rc >= 0; i++) {
        rc = each(&list.holds[i], user);
    }
    free(list.holds);
    return rc < 0 ? rc : 0;
}
