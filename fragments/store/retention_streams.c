/* What the catalog keeps of streams, when it is not needed any more: expired gaps, and all of a
 * stream that was deleted. Clerk. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/retention.h"

#define AT_ONCE 64u

/* ---- all that names a stream ---- */

struct sweep {
    const uint8_t *stream;
    uint8_t keys[AT_ONCE][FRAG_GAP_KEY_BYTES]; /* no shorter than any key here */
    size_t key_bytes[AT_ONCE];
    size_t count;
};

_Static_assert(FRAG_GAP_KEY_BYTES >= FRAG_ID_BYTES, "ids are keys too");

static void take_key(struct sweep *sweep, struct frag_catalog_value key) {
    if (key.size <= sizeof(sweep->keys[0])) {
        memcpy(sweep->keys[sweep->count], key.data, key.size);
        sweep->key_bytes[sweep->count++] = key.size;
    }
}

static int sweep_gap(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct sweep *sweep = user;
    (void)value;
    if (key.size == FRAG_GAP_KEY_BYTES && memcmp(key.data, sweep->stream, FRAG_ID_BYTES) == 0) {
        take_key(sweep, key);
    }
    return sweep->count == AT_ONCE ? -ECANCELED : 0;
}

static int sweep_seal(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct sweep *sweep = user;
    struct frag_value_seal seal;
    if (frag_value_read_seal(value, &seal) == 0 &&
        memcmp(seal.stream, sweep->stream, FRAG_ID_BYTES) == 0) {
        take_key(sweep, key);
    }
    return sweep->count == AT_ONCE ? -ECANCELED : 0;
}

/* The catalog must not be changed while it is listed: some at a time. */
static int sweep_kind(struct frag_stream *stream, uint16_t kind,
                      int (*each)(struct frag_catalog_value key, struct frag_catalog_value value,
                                  void *user)) {
    struct frag_catalog *catalog = stream->store->clerk.catalog;
    struct sweep sweep = {.stream = stream->id};
    int rc = 0;
    do {
        sweep.count = 0;
        rc = frag_catalog_each(catalog, kind, each, &sweep);
        rc = rc == -ECANCELED ? 0 : rc;
        for (size_t i = 0; i < sweep.count && rc == 0; i++) {
            rc = frag_catalog_delete(catalog, kind, sweep.keys[i], sweep.key_bytes[i]);
        }
    } while (rc == 0 && sweep.count > 0);
    return rc;
}

static int erase_on_clerk(struct frag_store *store, void *user) {
    struct frag_stream *stream = user;
    struct frag_catalog *catalog = store->clerk.catalog;
    uint8_t key[FRAG_KEY_BYTES_MAX];
    size_t key_bytes = frag_key_of(FRAG_KEY_MARK, stream->id, key);
    int rc = sweep_kind(stream, FRAG_CATALOG_GAP, sweep_gap);
    rc = rc == 0 ? sweep_kind(stream, FRAG_CATALOG_SEAL, sweep_seal) : rc;
    if (rc == 0) {
        rc = frag_catalog_delete(catalog, FRAG_CATALOG_STORE, key, key_bytes);
        rc = rc == -ENOENT ? 0 : rc;
    }
    /* Last: what a crash leaves of the others is swept at the next start. */
    rc =
        rc == 0 ? frag_catalog_delete(catalog, FRAG_CATALOG_STREAM, stream->id, FRAG_ID_BYTES) : rc;
    if (rc == 0 || rc == -ENOENT) {
        stream->gap_open = false;
        stream->gap_count = 0;
        stream->marked = false;
    }
    return rc == -ENOENT ? 0 : rc;
}

int frag_erase_stream(struct frag_stream *stream) {
    int rc = frag_clerk_call(stream->store, erase_on_clerk, stream);
    if (rc == 0) {
        (void)pthread_mutex_lock(&stream->store->streams_lock);
        stream->erased = true;
        (void)pthread_mutex_unlock(&stream->store->streams_lock);
        kn_log_info("nothing is left of a deleted stream", kn_str("stream", stream->name));
    }
    return rc;
}

/* ---- expired gaps ---- */

struct expiry {
    struct frag_store *store;
    struct kn_wall now;
    struct frag_stream *stream; /* of the last key */
    struct kn_wall visible;     /* from here on its gaps stay */
    struct frag_stream *found[AT_ONCE];
    struct kn_wall before[AT_ONCE];
    size_t count;
};

static void look_up_stream(struct expiry *expiry, const struct frag_gap_key *key) {
    if (expiry->stream != NULL && memcmp(expiry->stream->id, key->stream, FRAG_ID_BYTES) == 0) {
        return;
    }
    expiry->stream = frag_stream_by_id(expiry->store, key->stream);
    if (expiry->stream != NULL) {
        (void)pthread_mutex_lock(&expiry->stream->lock);
        expiry->visible = frag_stream_visible_from(expiry->stream, expiry->now);
        (void)pthread_mutex_unlock(&expiry->stream->lock);
    }
}

/* Streams of which at least one gap has expired, each once: keys come stream by stream. */
static int look_for_expired(struct frag_catalog_value key, struct frag_catalog_value value,
                            void *user) {
    struct expiry *expiry = user;
    struct frag_gap_key at;
    struct frag_gap_entry gap;
    if (frag_gap_key_read(key, &at) < 0 || frag_value_read_gap(value, &gap) < 0) {
        return 0; /* kinora check tells */
    }
    look_up_stream(expiry, &at);
    bool known = expiry->count > 0 && expiry->found[expiry->count - 1] == expiry->stream;
    if (expiry->stream == NULL || known || gap.open || gap.gap.to.ns >= expiry->visible.ns) {
        return 0;
    }
    expiry->found[expiry->count] = expiry->stream;
    expiry->before[expiry->count++] = expiry->visible;
    return expiry->count == AT_ONCE ? -ECANCELED : 0; /* the others at the next pass */
}

static int expire_on_clerk(struct frag_store *store, void *user) {
    struct expiry *expiry = user;
    int rc = frag_catalog_each(store->clerk.catalog, FRAG_CATALOG_GAP, look_for_expired, expiry);
    rc = rc == -ECANCELED ? 0 : rc;
    for (size_t i = 0; i < expiry->count && rc >= 0; i++) {
        rc = frag_gaps_forget(expiry->found[i], expiry->before[i]);
    }
    return rc < 0 ? rc : 0;
}

int frag_expire_gaps(struct frag_store *store) {
    struct expiry expiry = {.store = store, .now = store->clock->wall(store->clock)};
    return frag_clerk_call(store, expire_on_clerk, &expiry);
}
