/* The gap ledger: intervals of a stream without video, in the journal. At most one is open. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/engine.h"

/* ---- notes: any thread ---- */

static void join_note(struct frag_gap_note *last, const struct frag_gap_entry *gap) {
    if (gap->gap.from.ns < last->gap.gap.from.ns) {
        last->gap.gap.from = gap->gap.from;
    }
    if (gap->gap.to.ns > last->gap.gap.to.ns) {
        last->gap.gap.to = gap->gap.to;
    }
    last->gap.open = last->gap.open || gap->open;
}

void frag_gaps_note_locked(struct frag_stream *stream, const struct frag_gap_entry *gap) {
    struct frag_gap_note *note = &stream->notes[stream->note_count];
    if (stream->note_count < KN_COUNT(stream->notes)) {
        stream->note_count++;
        note->gap = *gap;
    } else {
        note = &stream->notes[KN_COUNT(stream->notes) - 1];
        join_note(note, gap);
    }
    note->after = stream->last_sealed_sequence;
    note->older = stream->unfinished;
    atomic_store(&stream->store->noted, true);
}

void frag_gaps_note(struct frag_stream *stream, const struct frag_gap_entry *gap) {
    (void)pthread_mutex_lock(&stream->lock);
    frag_gaps_note_locked(stream, gap);
    (void)pthread_mutex_unlock(&stream->lock);
}

void frag_gaps_finished(struct frag_stream *stream, uint64_t sequence) {
    for (size_t i = 0; i < stream->note_count; i++) {
        struct frag_gap_note *note = &stream->notes[i];
        note->older -= sequence <= note->after && note->older > 0 ? 1 : 0;
    }
}

/* The first one, if it is its turn. */
static bool peek_note(struct frag_stream *stream, struct frag_gap_entry *ret_gap) {
    (void)pthread_mutex_lock(&stream->lock);
    bool due = stream->note_count > 0 && stream->notes[0].older == 0;
    if (due) {
        *ret_gap = stream->notes[0].gap;
    } else if (stream->note_count > 0) {
        atomic_store(&stream->store->noted, true); /* later */
    }
    (void)pthread_mutex_unlock(&stream->lock);
    return due;
}

static void drop_note(struct frag_stream *stream) {
    (void)pthread_mutex_lock(&stream->lock);
    stream->note_count--;
    memmove(stream->notes, stream->notes + 1, stream->note_count * sizeof(stream->notes[0]));
    (void)pthread_mutex_unlock(&stream->lock);
}

/* One that cannot be written down now stays, and is tried again. */
void frag_gaps_take_notes_of(struct frag_stream *stream) {
    struct frag_gap_entry gap;
    while (peek_note(stream, &gap)) {
        int rc = gap.open ? frag_gaps_open(stream, &gap) : frag_gaps_add(stream, &gap);
        if (rc < 0) {
            kn_log_warn("gap not written down yet", kn_str("stream", stream->name),
                        kn_str("cause", frag_gap_cause_text(gap.gap.cause)), kn_err("error", rc));
            atomic_store(&stream->store->noted, true);
            return;
        }
        drop_note(stream);
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

static int drop(struct frag_stream *stream, const struct frag_gap_key *key) {
    uint8_t bytes[FRAG_GAP_KEY_BYTES];
    frag_gap_key_write(key, bytes);
    int rc =
        frag_catalog_delete(stream->store->clerk.catalog, FRAG_CATALOG_GAP, bytes, sizeof(bytes));
    return rc == -ENOENT ? 0 : rc;
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

static void count_gap(struct frag_stream *stream, enum frag_gap_cause cause) {
    (void)pthread_mutex_lock(&stream->lock);
    stream->counters.gaps++;
    stream->counters.gaps_by_cause[cause]++;
    (void)pthread_mutex_unlock(&stream->lock);
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
        count_gap(stream, closed.gap.cause);
        tell(stream, &closed.gap, true);
        tell(stream, &closed.gap, false);
    }
    return rc;
}

/* Whether the open gap can say what the new one does: the same cause, and ordinals that follow. */
static bool joins(const struct frag_stream *stream, const struct frag_gap_entry *gap) {
    const struct frag_gap_entry *open = &stream->gap;
    return stream->gap_open && open->gap.cause == gap->gap.cause &&
           (gap->ordinals == 0 || open->ordinals == 0 ||
            (gap->ordinal == open->ordinal + open->ordinals &&
             gap->ordinals <= UINT32_MAX - open->ordinals));
}

static int join(struct frag_stream *stream, const struct frag_gap_entry *gap) {
    struct frag_gap_entry longer = stream->gap;
    if (gap->ordinals == 0) {
        return 0;
    }
    longer.ordinal = longer.ordinals == 0 ? gap->ordinal : longer.ordinal;
    longer.ordinals += gap->ordinals;
    return frag_gaps_renew(stream, &longer);
}

/* Who notes a gap counts it from the last fragment. Where another one has been open since then (the
 * disk is full, then the producer leaves) the cause changes only now. */
static struct kn_wall begin_of(const struct frag_stream *stream, const struct frag_gap_entry *gap) {
    const struct kn_clock *clock = stream->store->clock;
    if (!stream->gap_open || gap->gap.from.ns > stream->gap.gap.from.ns) {
        return gap->gap.from;
    }
    struct kn_wall now = clock->wall(clock);
    return now.ns > gap->gap.from.ns ? now : gap->gap.from;
}

int frag_gaps_open(struct frag_stream *stream, const struct frag_gap_entry *gap) {
    if (joins(stream, gap)) {
        return join(stream, gap);
    }
    struct frag_gap_entry open = *gap;
    open.open = true;
    open.gap.from = begin_of(stream, gap);
    int rc = frag_gaps_close(stream, open.gap.from);
    rc = rc < 0 ? rc : make_room(stream);
    if (rc < 0) {
        return rc;
    }
    struct frag_gap_key key = free_key(stream, open.gap.from);
    open.gap.to = open.gap.from;
    rc = put(stream, &key, &open);
    if (rc == 0) {
        stream->gap_count++;
        stream->gap_open = true;
        stream->gap_at = key;
        stream->gap = open;
        count_gap(stream, open.gap.cause);
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
    /* Made and closed at one moment (a reconnect at once) it says nothing. */
    bool nothing = closed.gap.to.ns == closed.gap.from.ns && closed.ordinals == 0;
    int rc = nothing ? drop(stream, &stream->gap_at) : put(stream, &stream->gap_at, &closed);
    if (rc == 0) {
        stream->gap_count -= nothing && stream->gap_count > 0 ? 1 : 0;
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
