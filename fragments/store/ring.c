/* Retention 0: the newest fragments of a stream stay in its tail, as many as its ring has room for.
 * The rings of a store have one bound together, so that live streams cannot take the memory that
 * recording needs. At the bound a ring that would go over its share drops its own oldest; where one
 * below its share finds nothing free, those over theirs give way. */
#include "fragments/store/ring.h"

#define STORE_MEMORY_SHARE 8 /* all rings may hold this part of the store's memory */

static size_t bound_of(const struct frag_store *store) {
    return kn_budget_max(store->budget) / STORE_MEMORY_SHARE;
}

/* Caller holds the lock. The same for each stream that has a ring, or is about to. */
static size_t share_of(const struct frag_stream *stream) {
    size_t rings = atomic_load(&stream->store->rings) + (stream->ring_count == 0 ? 1 : 0);
    return bound_of(stream->store) / rings;
}

static bool claim(struct frag_store *store, size_t bytes) {
    size_t bound = bound_of(store);
    size_t used = atomic_load(&store->ring_bytes);
    do {
        if (bytes > bound || used > bound - bytes) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&store->ring_bytes, &used, used + bytes));
    return true;
}

/* Caller holds the lock; the ring is not empty. */
static struct frag_number drop_oldest(struct frag_stream *stream) {
    size_t oldest = stream->ring_first;
    stream->ring_first = (oldest + 1) % KN_COUNT(stream->ring);
    stream->ring_count--;
    stream->ring_total -= stream->ring_bytes[oldest];
    (void)atomic_fetch_sub(&stream->store->ring_bytes, stream->ring_bytes[oldest]);
    if (stream->ring_count == 0) {
        (void)atomic_fetch_sub(&stream->store->rings, 1);
    }
    return stream->ring[oldest];
}

/* Caller holds the lock; there is room, and it is claimed. */
static void put(struct frag_stream *stream, struct frag_number number, size_t bytes) {
    if (stream->ring_count == 0) {
        (void)atomic_fetch_add(&stream->store->rings, 1);
    }
    size_t place = (stream->ring_first + stream->ring_count++) % KN_COUNT(stream->ring);
    stream->ring[place] = number;
    stream->ring_bytes[place] = bytes;
    stream->ring_total += bytes;
}

/* Caller holds the lock. False: there is no room, though the ring is empty or, where others are to
 * give way first, below its share. */
static bool take_in(struct frag_stream *stream, struct frag_number number, size_t bytes,
                    bool others_first, struct frag_number *ret_gone) {
    while (stream->ring_count > 0 && (stream->ring_count == FRAG_RING_FRAGMENTS ||
                                      stream->ring_total + bytes > FRAG_RING_BYTES)) {
        *ret_gone = drop_oldest(stream);
    }
    while (!claim(stream->store, bytes)) {
        bool below = stream->ring_total + bytes <= share_of(stream);
        if (stream->ring_count == 0 || (others_first && below)) {
            return false;
        }
        *ret_gone = drop_oldest(stream);
    }
    put(stream, number, bytes);
    return true;
}

/* The ring holds no more than this afterwards. */
static void trim(struct frag_stream *stream, size_t most) {
    struct frag_number gone = {0};
    (void)pthread_mutex_lock(&stream->lock);
    while (stream->ring_total > most) {
        struct frag_number oldest = drop_oldest(stream);
        gone = frag_number_compare(oldest, gone) > 0 ? oldest : gone; /* two writers may cross */
    }
    (void)pthread_mutex_unlock(&stream->lock);
    if (gone.sequence != 0) {
        frag_tail_forget(stream->tail, gone);
    }
}

static void trim_all(struct frag_store *store, size_t most) {
    /* Streams are never freed while the store is open: the list alone needs the lock. */
    for (size_t i = 0;; i++) {
        (void)pthread_mutex_lock(&store->streams_lock);
        struct frag_stream *stream = i < store->stream_count ? store->streams[i] : NULL;
        (void)pthread_mutex_unlock(&store->streams_lock);
        if (stream == NULL) {
            return;
        }
        trim(stream, most);
    }
}

/* What a fragment asks of the ring, and what became of it. */
struct asking {
    struct frag_number number;
    size_t bytes;
    struct frag_number gone; /* up to here the tail forgets; sequence 0: nothing */
    size_t share;
    bool kept, below; /* `below`: it was not, though it is within the ring's share */
};

static void ask(struct frag_stream *stream, struct asking *asking, bool others_first) {
    (void)pthread_mutex_lock(&stream->lock);
    /* Deleted, or recorded meanwhile: its ring is empty and stays so. */
    if (!stream->deleting && stream->settings.retention_ns == 0) {
        asking->kept = take_in(stream, asking->number, asking->bytes, others_first, &asking->gone);
        asking->share = share_of(stream);
        asking->below = !asking->kept && stream->ring_total + asking->bytes <= asking->share;
    }
    (void)pthread_mutex_unlock(&stream->lock);
}

void frag_ring_keep(struct frag_stream *stream, struct frag_number number, size_t bytes) {
    struct asking asking = {.number = number, .bytes = bytes};
    ask(stream, &asking, true);
    if (asking.below) {
        trim_all(stream->store, asking.share);
        ask(stream, &asking, false);
    }
    /* What is not kept has an empty ring before it: the tail has no holes. */
    struct frag_number gone = asking.kept ? asking.gone : number;
    if (gone.sequence != 0) {
        frag_tail_forget(stream->tail, gone);
    }
}

void frag_ring_clear(struct frag_stream *stream) {
    trim(stream, 0);
}
