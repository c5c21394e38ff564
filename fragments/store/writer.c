/* Sessions, and how a whole fragment leaves for a disk. */
#include "fragments/store/writer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "fragments/store/ring.h"

/* Without threads: so much may wait before the writer works it off itself. */
#define WAITING_MOST 32
#define WAITING_MOST_BYTES ((size_t)64 << 20)

bool frag_stream_is_for_records(struct frag_stream *stream) {
    (void)pthread_mutex_lock(&stream->lock);
    bool records = stream->settings.records;
    (void)pthread_mutex_unlock(&stream->lock);
    return records;
}

int frag_writer_open_for(struct frag_stream *stream, const struct frag_writer_config *config,
                         bool records, struct frag_writer **ret_writer) {
    struct frag_store *store = stream->store;
    if (store->mode == FRAG_STORE_READ) {
        return -EROFS;
    }
    if (config->timecode_scale_ns > KN_NS_PER_S || frag_stream_is_for_records(stream) != records) {
        return -EINVAL;
    }
    struct frag_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return -ENOMEM;
    }
    int rc = frag_session_create(stream, config, records, &writer->session);
    if (rc < 0) {
        free(writer);
        return rc;
    }
    writer->stream = stream;
    (void)pthread_mutex_lock(&stream->lock);
    bool closed = stream->deleting || atomic_load(&store->closing);
    if (!closed) {
        stream->writers++;
        stream->discontinuity = stream->discontinuity || stream->last_sealed_sequence != 0;
    }
    (void)pthread_mutex_unlock(&stream->lock);
    if (closed) {
        /* It was never open: the caller still owns `user`. */
        writer->session->config.handle_closed = NULL;
        frag_session_unref(writer->session);
        free(writer);
        return KN_E_CLOSED;
    }
    *ret_writer = writer;
    return 0;
}

int frag_writer_open(struct frag_stream *stream, const struct frag_writer_config *config,
                     struct frag_writer **ret_writer) {
    return frag_writer_open_for(stream, config, false, ret_writer);
}

/* Caller holds the lock of the stream. */
static void note_gap(struct frag_stream *stream, struct kn_wall now, enum frag_gap_cause cause) {
    struct kn_wall from = stream->last_end.ns != 0 ? stream->last_end : now;
    const struct frag_gap_entry gap = {.gap = {.from = from, .to = from, .cause = cause},
                                       .open = true};
    stream->discontinuity = true;
    frag_gaps_note_locked(stream, &gap);
}

/* In one step: a writer that opens meanwhile publishes behind the gap, not before it. */
static void leave_stream(struct frag_writer *writer, enum frag_gap_cause cause) {
    struct frag_stream *stream = writer->stream;
    const struct kn_clock *clock = stream->store->clock;
    struct kn_wall now = clock->wall(clock);
    (void)pthread_mutex_lock(&stream->lock);
    if (--stream->writers == 0) {
        note_gap(stream, now, cause);
    }
    /* What it had begun does not come any more. */
    if (writer->begun || writer->missing || writer->fragment != NULL) {
        stream->discontinuity = true;
    }
    (void)pthread_mutex_unlock(&stream->lock);
}

void frag_writer_abort(struct frag_writer *writer, enum frag_gap_cause cause) {
    if (writer == NULL) {
        return;
    }
    leave_stream(writer, cause);
    atomic_store(&writer->session->ended, true);
    frag_session_unref(writer->session);
    frag_fragment_unref(writer->fragment);
    kn_tracks_unref(writer->tracks);
    free(writer);
}

void frag_writer_close(struct frag_writer *writer, enum frag_gap_cause cause) {
    if (writer != NULL) {
        frag_writer_cut(writer);
    }
    frag_writer_abort(writer, cause);
}

/* ---- gaps ---- */

void frag_writer_note_gap(struct frag_writer *writer, enum frag_gap_cause cause) {
    struct frag_stream *stream = writer->stream;
    const struct kn_clock *clock = stream->store->clock;
    struct kn_wall now = clock->wall(clock);
    (void)pthread_mutex_lock(&stream->lock);
    note_gap(stream, now, cause);
    (void)pthread_mutex_unlock(&stream->lock);
}

void frag_writer_note_step(struct frag_writer *writer, struct kn_wall server) {
    struct frag_stream *stream = writer->stream;
    (void)pthread_mutex_lock(&stream->lock);
    struct kn_wall end = stream->last_end;
    (void)pthread_mutex_unlock(&stream->lock);
    /* Forward, the time in between never was; back, it comes twice and nothing is missing. */
    struct kn_wall from = end.ns != 0 && end.ns < server.ns ? end : server;
    const struct frag_gap_entry gap = {
        .gap = {.from = from, .to = server, .cause = FRAG_GAP_CLOCK}};
    frag_gaps_note(stream, &gap);
}

void frag_writer_discontinuity(struct frag_writer *writer, const struct frag_gap *gap) {
    writer->missing = true;
    if (gap != NULL) {
        const struct frag_gap_entry entry = {.gap = *gap};
        frag_gaps_note(writer->stream, &entry);
    }
}

void frag_writer_tell_missing(struct frag_writer *writer) {
    if (writer->missing) {
        writer->missing = false;
        (void)pthread_mutex_lock(&writer->stream->lock);
        writer->stream->discontinuity = true;
        (void)pthread_mutex_unlock(&writer->stream->lock);
    }
}

/* ---- which disk ---- */

static bool is_avoided(const struct frag_folder *folder, struct kn_mono now) {
    return atomic_load(&folder->avoid_until_ns) > now.ns;
}

/* The better of two that take fragments: one that did not just fail, then the one with more room.
 */
static struct frag_folder *better(struct frag_folder *a, struct frag_folder *b,
                                  struct kn_mono now) {
    if (a == NULL || is_avoided(a, now) != is_avoided(b, now)) {
        return a == NULL || is_avoided(a, now) ? b : a;
    }
    return atomic_load(&b->free_bytes) > atomic_load(&a->free_bytes) ? b : a;
}

/* A session stays where it is as long as that folder takes fragments; then the stream's configured
 * one, then the best. NULL: all are full. */
static struct frag_folder *choose_folder(struct frag_writer *writer, uint16_t wanted) {
    struct frag_store *store = writer->stream->store;
    struct kn_mono now = store->clock->mono(store->clock);
    struct frag_folder *best = NULL;
    for (size_t i = 0; i < store->folder_count; i++) {
        struct frag_folder *folder = &store->folders[i];
        if (folder->disk == NULL || atomic_load(&folder->full)) {
            continue;
        }
        if (!is_avoided(folder, now) &&
            (wanted == FRAG_FOLDER_ANY ? folder == writer->folder : folder->number == wanted)) {
            best = folder;
            break;
        }
        best = better(best, folder, now);
    }
    writer->folder = best;
    return best;
}

static bool keeps_nothing(struct frag_stream *stream, uint16_t *ret_folder) {
    (void)pthread_mutex_lock(&stream->lock);
    bool nothing = stream->settings.retention_ns == 0;
    *ret_folder = stream->settings.folder;
    (void)pthread_mutex_unlock(&stream->lock);
    return nothing;
}

/* Where a fragment of this weight can go; a NULL folder: to the tail alone. As frag_writer_ready.
 */
static int find_room(struct frag_writer *writer, size_t weight, struct frag_folder **ret_folder) {
    uint16_t wanted = FRAG_FOLDER_ANY;
    struct frag_folder *folder = NULL;
    if (!keeps_nothing(writer->stream, &wanted)) {
        folder = choose_folder(writer, wanted);
        if (folder == NULL) {
            return -ENOSPC;
        }
        if (!frag_disk_has_room(folder->disk, weight)) {
            return -EAGAIN;
        }
    }
    *ret_folder = folder;
    return 0;
}

int frag_writer_ready(struct frag_writer *writer, size_t weight) {
    struct frag_folder *folder = NULL;
    return find_room(writer, weight, &folder);
}

/* ---- leaving ---- */

/* It was published, and another writer's took the room for it: it is lost, and so is what follows
 * until the disk takes one again. */
static void lose_published(struct frag_writer *writer, struct frag_write *write, int error) {
    const struct frag_fragment_start *start = &write->fragment->start;
    const struct frag_gap_entry gap = {
        .gap = {.from = start->server, .to = start->server, .cause = FRAG_GAP_SLOW_DISK},
        .open = true,
        .ordinal = start->ordinal,
        .ordinals = 1,
    };
    frag_gaps_note(writer->stream, &gap);
    frag_write_finish(write, error); /* the ack tells */
}

static void work_off(struct frag_disk *disk) {
    if (frag_disk_waiting(disk) >= WAITING_MOST ||
        frag_disk_waiting_bytes(disk) >= WAITING_MOST_BYTES) {
        frag_disk_work(disk);
    }
}

int frag_writer_submit(struct frag_writer *writer, struct frag_write *write, int64_t duration_ns) {
    struct frag_stream *stream = writer->stream;
    const struct kn_clock *clock = stream->store->clock;
    struct frag_folder *folder = NULL;
    write->complete = clock->mono(clock);
    int rc = find_room(writer, frag_write_weight(write), &folder);
    rc = rc < 0 ? rc : frag_stream_publish(stream, write->fragment, duration_ns);
    if (rc < 0) {
        frag_write_discard(write);
        return rc == KN_E_LIMIT ? -EAGAIN : rc; /* the tail is full of what no disk has taken */
    }
    if (folder == NULL) {
        frag_ring_keep(stream, write->fragment->start.number, frag_write_weight(write));
        frag_write_finish(write, 0);
        return 0;
    }
    rc = frag_disk_submit(folder->disk, write);
    if (rc < 0) {
        lose_published(writer, write, rc);
        return 0;
    }
    if (!stream->store->threads) {
        work_off(folder->disk);
    }
    return 0;
}

void frag_writer_tell_begin(const struct frag_writer *writer, struct frag_number number,
                            struct kn_wall producer, struct kn_wall server, uint64_t timecode) {
    const struct frag_writer_config *config = &writer->session->config;
    if (config->handle_ack != NULL) {
        const struct frag_ack ack = {.kind = FRAG_ACK_BUFFERING,
                                     .number = number,
                                     .producer = producer,
                                     .server = server,
                                     .timecode = timecode};
        config->handle_ack(&ack, config->user);
    }
}
