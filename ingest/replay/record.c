/* The store as the sink of a replay. */
#include <errno.h>
#include <stdlib.h>

#include "ingest/replay/sink.h"

/* Without a pace the disk sets one: what is submitted and not yet settled stays far below what the
 * store would begin to drop at. */
#define AHEAD_FRAGMENTS 16u
#define AHEAD_BYTES (32u * 1024u * 1024u)

/* One owner: its references, one of the replay and one of each writer until its last ack. */
struct record {
    struct frag_stream *stream;
    struct frag_writer *writer;
    bool waits;                             /* for the disk; a camera would not */
    uint64_t bytes_ahead, fragments_before; /* since the last wait */
    atomic_size_t refs;
    atomic_uint_fast64_t begun, durable, failed;
};

static void record_unref(void *user) {
    struct record *record = user;
    if (atomic_fetch_sub(&record->refs, 1) == 1) {
        free(record);
    }
}

/* On a thread of the store, but for BUFFERING. */
static void handle_ack(const struct frag_ack *ack, void *user) {
    struct record *record = user;
    switch (ack->kind) {
    case FRAG_ACK_BUFFERING:
        atomic_fetch_add(&record->begun, 1);
        break;
    case FRAG_ACK_DURABLE:
        atomic_fetch_add(&record->durable, 1);
        break;
    case FRAG_ACK_FAILED:
        atomic_fetch_add(&record->failed, 1);
        break;
    }
}

/* ---- the sink ---- */

static int record_open(void *user) {
    struct record *record = user;
    const struct frag_writer_config config = {
        .handle_ack = handle_ack,
        .handle_closed = record_unref,
        .user = record,
    };
    atomic_fetch_add(&record->refs, 1);
    int rc = frag_writer_open(record->stream, &config, &record->writer);
    if (rc != 0) {
        record_unref(record);
    }
    return rc;
}

static int record_tracks(struct kn_tracks *tracks, void *user) {
    struct record *record = user;
    return frag_writer_tracks(record->writer, tracks);
}

/* Fragments that began and were dropped are never settled; counting anew after each wait leaves
 * them out. */
static int wait_for_disk(struct record *record) {
    uint64_t begun = atomic_load(&record->begun);
    if (!record->waits ||
        (begun - record->fragments_before < AHEAD_FRAGMENTS && record->bytes_ahead < AHEAD_BYTES)) {
        return 0;
    }
    record->fragments_before = begun;
    record->bytes_ahead = 0;
    return frag_store_flush(frag_stream_store(record->stream));
}

static int record_sample(struct kn_wall origin, const struct kn_sample *sample, void *user) {
    struct record *record = user;
    int rc = frag_writer_sample(record->writer, origin, sample);
    record->bytes_ahead += sample->size;
    return rc < 0 ? rc : wait_for_disk(record);
}

static void record_discontinuity(const struct frag_gap *gap, void *user) {
    struct record *record = user;
    /* What is at hand is whole: it is the next fragment that something is missing before. */
    frag_writer_cut(record->writer);
    frag_writer_discontinuity(record->writer, gap);
}

static void record_cut(void *user) {
    struct record *record = user;
    frag_writer_cut(record->writer);
}

static void record_close(enum frag_gap_cause cause, void *user) {
    struct record *record = user;
    frag_writer_close(record->writer, cause);
    record->writer = NULL;
}

static uint64_t record_fragments(void *user) {
    struct record *record = user;
    return atomic_load(&record->durable);
}

static const struct ing_sink record_sink = {
    .open = record_open,
    .tracks = record_tracks,
    .sample = record_sample,
    .discontinuity = record_discontinuity,
    .cut = record_cut,
    .close = record_close,
    .fragments = record_fragments,
};

/* ---- face ---- */

/* Frames of the stream in durable fragments, since the store was opened; of a deleted one none is
 * stored. */
static int count_frames(struct frag_stream *stream, uint64_t *ret_frames) {
    struct frag_stream_info *info = malloc(sizeof(*info)); /* too large for the stack */
    int rc = info == NULL ? -ENOMEM : frag_stream_describe(stream, info);
    if (rc == 0) {
        *ret_frames = info->counters.frames;
    }
    free(info);
    if (rc == -ENOENT) {
        *ret_frames = 0;
        rc = 0;
    }
    return rc;
}

/* Nobody else records into the stream meanwhile. */
static int count_stored(const struct record *record, uint64_t before,
                        struct ing_replay_result *result) {
    uint64_t after = 0;
    int rc = count_frames(record->stream, &after);
    uint64_t stored = after > before ? after - before : 0;
    if (rc == 0 && stored <= result->samples) {
        result->unstored_samples = result->samples - stored;
        result->samples = stored;
    }
    result->fragments = atomic_load(&record->begun);
    result->durable = atomic_load(&record->durable);
    result->failed = atomic_load(&record->failed);
    return rc;
}

int ing_replay_run(const struct ing_replay_config *config, struct ing_replay_result *ret_result) {
    struct record *record = calloc(1, sizeof(*record));
    *ret_result = (struct ing_replay_result){0};
    if (record == NULL) {
        return -ENOMEM;
    }
    record->stream = config->stream;
    record->waits = !config->paced;
    atomic_init(&record->refs, 1);
    uint64_t before = 0;
    int rc = count_frames(config->stream, &before);
    rc = rc < 0 ? rc : ing_replay_to(config, &record_sink, record, ret_result);
    int flushed = frag_store_flush(frag_stream_store(config->stream));
    int counted = count_stored(record, before, ret_result);
    record_unref(record);
    rc = rc < 0 ? rc : flushed;
    return rc < 0 ? rc : counted;
}
