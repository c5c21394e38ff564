/* The gap ledger: intervals of a stream without video, in the journal. At most one is open. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/engine.h"

/* ---- notes: any thread ---- */

static void join_note(struct frag_gap_note *last, const struct frag_gap_entry *gap,
                      uint64_t after) {
    if (gap->gap.from.ns < last->gap.gap.from.ns) {
        last->gap.gap.from = gap->gap.from;
    }
    if (gap->gap.to.ns > last->gap.gap.to.ns) {
        last->gap.gap.to = gap->gap.to;
    }
    last->gap.open = last->gap.open || gap->open;
    last->after = after;
}

void frag_gaps_note(struct frag_stream *stream, const struct frag_gap_entry *gap) {
    (void)pthread_mutex_lock(&stream->lock);
    uint64_t after = stream->last_sealed_sequence;
    if (stream->note_count < KN_COUNT(stream->notes)) {
        stream->notes[stream->note_count++] = (struct frag_gap_note){.gap = *gap, .after = after};
    } else {
        join_note(&stream->notes[stream->note_count - 1], gap, after);
    }
    stream->counters.gaps++;
    (void)pthread_mutex_unlock(&stream->lock);
    atomic_store(&stream->store->noted, true);
}

/* The first one, if it is its turn. */
static bool take_note(struct frag_stream *stream, struct frag_gap_entry *ret_gap) {
    (void)pthread_mutex_lock(&stream->lock);
    bool due = stream->note_count > 0 && stream->notes[0].after <= stream->finished_sequence;
    if (due) {
        *ret_gap = stream->notes[0].gap;
        stream->note_count--;
        memmove(stream->notes, stream->notes + 1, stream->note_count * sizeof(stream->notes[0]));
    } else if (stream->note_count > 0) {
        atomic_store(&stream->store->noted, true); /* later */
    }
    (void)pthread_mutex_unlock(&stream->lock);
    return due;
}

void frag_gaps_take_notes_of(struct frag_stream *stream) {
    struct frag_gap_entry gap;
    while (take_note(stream, &gap)) {
        int rc = gap.open ? frag_gaps_open(stream, &gap) : frag_gaps_add(stream, &gap);
        if (rc < 0) {
            kn_log_error("gap not written down", kn_str("stream", stream->name),
                         kn_str("cause", frag_gap_cause_text(gap.gap.cause)), kn_err("error", rc));
        }
    }
}

void frag_gaps_take_notes(struct frag_store *store) {
    if (!atomic_exchange(&store->noted, false)) {
        return;
    }
    /* Streams are never freed while the store is open: the list alone needs the lock. */
    for (size_t i = 0;; i++) {
        (void)pthread_mutex_lock(&store->streams_lock);
        struct frag_stream *stream = i < store->stream_count ? store->streams[i] : NULL;
        (void)pthread_mutex_unlock(&store->streams_lock);
        if (stream == NULL) {
            return;
        }
        frag_gaps_take_notes_of(stream);
    }
}

/* ---- the journal: clerk ---- */

static int put(struct frag_stream *stream, const struct frag_gap_key *key,
               const struct frag_gap_entry *gap) {
    uint8_t bytes[FRAG_GAP_KEY_BYTES];
    uint8_t room[64];
    struct kn_writer writer;
    kn_writer_init(&writer, room, sizeof(room));
    frag_gap_key_write(key, bytes);
    frag_value_write_gap(&writer, gap);
    int rc = kn_writer_status(&writer);
    return rc < 0 ? rc
                  : frag_catalog_put(stream->store->clerk.catalog, FRAG_CATALOG_GAP, bytes,
                                     sizeof(bytes), writer.data, writer.size);
}

/* A key that is not used yet: two gaps may begin at once. */
static struct frag_gap_key free_key(struct frag_stream *stream, struct kn_wall from) {
    struct frag_gap_key key = {.from = from};
    memcpy(key.stream, stream->id, sizeof(key.stream));
    for (;; key.number++) {
        uint8_t bytes[FRAG_GAP_KEY_BYTES];
        struct frag_catalog_value value;
        frag_gap_key_write(&key, bytes);
        if (frag_catalog_get(stream->store->clerk.catalog, FRAG_CATALOG_GAP, bytes, sizeof(bytes),
                             &value) < 0) {
            return key;
        }
    }
}

struct sweep {
    const uint8_t *stream;
    struct kn_wall before; /* those that ended before; of those at most as many as keys */
    uint8_t keys[FRAG_GAPS_MAX / 10][FRAG_GAP_KEY_BYTES];
    size_t count;
};

static int sweep_gap(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct sweep *sweep = user;
    struct frag_gap_key at;
    struct frag_gap_entry gap;
    if (sweep->count < KN_COUNT(sweep->keys) && frag_gap_key_read(key, &at) == 0 &&
        memcmp(at.stream, sweep->stream, FRAG_ID_BYTES) == 0 &&
        frag_value_read_gap(value, &gap) == 0 && !gap.open && gap.gap.to.ns < sweep->before.ns) {
        memcpy(sweep->keys[sweep->count++], key.data, FRAG_GAP_KEY_BYTES);
    }
    return 0;
}

/* Forgets the oldest of the closed gaps that ended before; how many. */
static int forget_some(struct frag_stream *stream, struct kn_wall before) {
    struct frag_catalog *catalog = stream->store->clerk.catalog;
    struct sweep *sweep = malloc(sizeof(*sweep));
    if (sweep == NULL) {
        return -ENOMEM;
    }
    sweep->stream = stream->id;
    sweep->before = before;
    sweep->count = 0;
    int rc = frag_catalog_each(catalog, FRAG_CATALOG_GAP, sweep_gap, sweep);
    for (size_t i = 0; i < sweep->count && rc >= 0; i++) {
        rc = frag_catalog_delete(catalog, FRAG_CATALOG_GAP, sweep->keys[i], FRAG_GAP_KEY_BYTES);
        stream->gap_count -= rc >= 0 && stream->gap_count > 0 ? 1 : 0;
    }
    int count = (int)sweep->count;
    free(sweep);
    return rc < 0 ? rc : count;
}

static int make_room(struct frag_stream *stream) {
    if (stream->gap_count < FRAG_GAPS_MAX) {
        return 0;
    }
    int rc = forget_some(stream, (struct kn_wall){INT64_MAX});
    return rc < 0 ? rc : 0;
}

int frag_gaps_forget(struct frag_stream *stream, struct kn_wall before) {
    int rc = stream->gap_count > 0 ? 1 : 0;
    while (rc > 0) {
        rc = forget_some(stream, before);
    }
    return rc;
}

static void tell(struct frag_stream *stream, const struct frag_gap *gap, bool open) {
    if (stream->tail != NULL) {
        /* Out of memory: the subscribers hear that they missed something. */
        (void)frag_tail_publish_gap(stream->tail, gap, open);
    }
}

int frag_gaps_add(struct frag_stream *stream, const struct frag_gap_entry *gap) {
    int rc = make_room(stream);
    if (rc < 0) {
        return rc;
    }
    struct frag_gap_key key = free_key(stream, gap->gap.from);
    struct frag_gap_entry closed = *gap;
    closed.open = false;
    if (closed.gap.to.ns < closed.gap.from.ns) {
        closed.gap.to = closed.gap.from;
    }
    rc = put(stream, &key, &closed);
    if (rc == 0) {
        stream->gap_count++;
        tell(stream, &closed.gap, true);
        tell(stream, &closed.gap, false);
    }
    return rc;
}

/* The open gap has the same cause; the ordinals of the new one are its too. */
static int go_on(struct frag_stream *stream, const struct frag_gap_entry *gap) {
    struct frag_gap_entry longer = stream->gap;
    if (gap->ordinals == 0) {
        return 0;
    }
    if (longer.ordinals == 0) {
        longer.ordinal = gap->ordinal;
        longer.ordinals = gap->ordinals;
    } else if (gap->ordinal >= longer.ordinal + longer.ordinals &&
               gap->ordinal - longer.ordinal < UINT32_MAX - gap->ordinals) {
        longer.ordinals = (uint32_t)(gap->ordinal - longer.ordinal) + gap->ordinals;
    }
    return frag_gaps_renew(stream, &longer);
}

int frag_gaps_open(struct frag_stream *stream, const struct frag_gap_entry *gap) {
    if (stream->gap_open && stream->gap.gap.cause == gap->gap.cause) {
        return go_on(stream, gap);
    }
    int rc = frag_gaps_close(stream, gap->gap.from);
    rc = rc < 0 ? rc : make_room(stream);
    if (rc < 0) {
        return rc;
    }
    struct frag_gap_key key = free_key(stream, gap->gap.from);
    struct frag_gap_entry open = *gap;
    open.open = true;
    open.gap.to = open.gap.from;
    rc = put(stream, &key, &open);
    if (rc == 0) {
        stream->gap_count++;
        stream->gap_open = true;
        stream->gap_at = key;
        stream->gap = open;
        tell(stream, &open.gap, true);
    }
    return rc;
}

int frag_gaps_renew(struct frag_stream *stream, const struct frag_gap_entry *gap) {
    if (stream->gap.ordinal == gap->ordinal && stream->gap.ordinals == gap->ordinals &&
        stream->gap.gap.cause == gap->gap.cause) {
        return 0;
    }
    int rc = put(stream, &stream->gap_at, gap);
    if (rc == 0) {
        stream->gap = *gap;
    }
    return rc;
}

int frag_gaps_close(struct frag_stream *stream, struct kn_wall to) {
    if (!stream->gap_open) {
        return 0;
    }
    struct frag_gap_entry closed = stream->gap;
    closed.open = false;
    closed.gap.to = to.ns > closed.gap.from.ns ? to : closed.gap.from;
    int rc = put(stream, &stream->gap_at, &closed);
    if (rc == 0) {
        stream->gap_open = false;
        tell(stream, &closed.gap, false);
    }
    return rc;
}

/* ---- the face ---- */

struct list {
    struct frag_stream *stream;
    struct kn_wall from, to;
    struct frag_gap_entry *gaps;
    size_t count, room;
};

static int list_gap(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct list *list = user;
    struct frag_gap_key at;
    struct frag_gap_entry gap;
    if (frag_gap_key_read(key, &at) < 0 ||
        memcmp(at.stream, list->stream->id, FRAG_ID_BYTES) != 0 ||
        frag_value_read_gap(value, &gap) < 0) {
        return 0;
    }
    gap.gap.from = at.from;
    if (gap.gap.from.ns > list->to.ns || (!gap.open && gap.gap.to.ns < list->from.ns)) {
        return 0;
    }
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 64 : list->room * 2;
        struct frag_gap_entry *gaps = realloc(list->gaps, room * sizeof(*gaps));
        if (gaps == NULL) {
            return -ENOMEM;
        }
        list->gaps = gaps;
        list->room = room;
    }
    list->gaps[list->count++] = gap;
    return 0;
}

static int list_on_clerk(struct frag_store *store, void *user) {
    frag_gaps_take_notes(store);
    return frag_catalog_each(store->clerk.catalog, FRAG_CATALOG_GAP, list_gap, user);
}

int frag_gap_each(struct frag_stream *stream, struct kn_wall from, struct kn_wall to,
                  int (*each)(const struct frag_gap_entry *gap, void *user), void *user) {
    struct list list = {.stream = stream, .from = from, .to = to};
    int rc = frag_clerk_call(stream->store, list_on_clerk, &list);
    for (size_t i = 0; i < list.count && rc >= 0; i++) {
        rc = each(&list.gaps[i], user);
    }
    free(list.gaps);
    return rc < 0 ? rc : 0;
}

struct addition {
    struct frag_stream *stream;
    struct frag_gap_entry gap;
};

static int add_on_clerk(struct frag_store *store, void *user) {
    struct addition *addition = user;
    frag_gaps_take_notes(store);
    return addition->gap.open ? frag_gaps_open(addition->stream, &addition->gap)
                              : frag_gaps_add(addition->stream, &addition->gap);
}

int frag_gap_add(struct frag_stream *stream, const struct frag_gap *gap, bool open) {
    if (stream->store->mode == FRAG_STORE_READ) {
        return -EROFS;
    }
    if ((unsigned)gap->cause > FRAG_GAP_SHUTDOWN || (!open && gap->to.ns < gap->from.ns)) {
        return -EINVAL;
    }
    struct addition addition = {.stream = stream, .gap = {.gap = *gap, .open = open}};
    return frag_clerk_call(stream->store, add_on_clerk, &addition);
}
