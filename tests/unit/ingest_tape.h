/* A sink that keeps what a replay puts into it. */
#ifndef TESTS_UNIT_INGEST_TAPE_H
#define TESTS_UNIT_INGEST_TAPE_H

#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "ingest/replay/sink.h"

#define TAPE_SAMPLES 4000
#define TAPE_SESSIONS 64
#define TAPE_GAPS 256

struct tape_sample {
    struct kn_wall time; /* producer */
    struct kn_wall arrival;
    int64_t pts_ns, dts_ns, duration_ns;
    size_t size, session, tracks;
    uint32_t crc32c;
    uint16_t flags;
    uint8_t track;
};

struct tape {
    struct tape_sample samples[TAPE_SAMPLES];
    size_t count, sessions, tracks_count, breaks, cuts, gap_count;
    struct kn_tracks *tracks[TAPE_SESSIONS];
    enum frag_gap_cause ends[TAPE_SESSIONS];
    struct frag_gap gaps[TAPE_GAPS];
    const struct kn_clock *clock;
    bool open;
    atomic_bool stop;
    size_t stop_after; /* 0: never */
    int fail_open, fail_tracks, fail_sample;
};

static int tape_open(void *user) {
    struct tape *tape = user;
    KN_ASSERT(!tape->open && tape->sessions < TAPE_SESSIONS);
    if (tape->fail_open != 0) {
        return tape->fail_open;
    }
    tape->open = true;
    tape->sessions++;
    return 0;
}

static int tape_tracks(struct kn_tracks *tracks, void *user) {
    struct tape *tape = user;
    KN_ASSERT(tape->open && tape->tracks_count < TAPE_SESSIONS);
    tape->tracks[tape->tracks_count++] = kn_tracks_ref(tracks);
    return tape->fail_tracks;
}

static int tape_sample(struct kn_wall origin, const struct kn_sample *sample, void *user) {
    struct tape *tape = user;
    KN_ASSERT(tape->open && tape->tracks_count > 0 && tape->count < TAPE_SAMPLES);
    KN_ASSERT(sample->track < tape->tracks[tape->tracks_count - 1]->count);
    struct kn_wall arrival = {0};
    if (tape->clock != NULL) {
        arrival = tape->clock->wall(tape->clock);
    }
    tape->samples[tape->count++] = (struct tape_sample){
        .time = {origin.ns + sample->pts_ns},
        .arrival = arrival,
        .pts_ns = sample->pts_ns,
        .dts_ns = sample->dts_ns,
        .duration_ns = sample->duration_ns,
        .size = sample->size,
        .session = tape->sessions,
        .tracks = tape->tracks_count,
        .crc32c = kn_crc32c(0, sample->data, sample->size),
        .flags = sample->flags,
        .track = sample->track,
    };
    if (tape->count == tape->stop_after) {
        atomic_store(&tape->stop, true);
    }
    return tape->fail_sample;
}

static void tape_discontinuity(const struct frag_gap *gap, void *user) {
    struct tape *tape = user;
    KN_ASSERT(tape->open && tape->gap_count < TAPE_GAPS);
    tape->breaks++;
    if (gap != NULL) {
        tape->gaps[tape->gap_count++] = *gap;
    }
}

static void tape_cut(void *user) {
    struct tape *tape = user;
    KN_ASSERT(tape->open);
    tape->cuts++;
}

static void tape_close(enum frag_gap_cause cause, void *user) {
    struct tape *tape = user;
    KN_ASSERT(tape->open);
    tape->open = false;
    tape->ends[tape->sessions - 1] = cause;
}

static uint64_t tape_fragments(void *user) {
    const struct tape *tape = user;
    return tape->cuts;
}

static const struct ing_sink tape_sink = {
    .open = tape_open,
    .tracks = tape_tracks,
    .sample = tape_sample,
    .discontinuity = tape_discontinuity,
    .cut = tape_cut,
    .close = tape_close,
    .fragments = tape_fragments,
};

static inline struct tape *tape_create(void) {
    struct tape *tape = calloc(1, sizeof(*tape));
    KN_ASSERT(tape != NULL);
    return tape;
}

static inline void tape_destroy(struct tape *tape) {
    for (size_t i = 0; i < tape->tracks_count; i++) {
        kn_tracks_unref(tape->tracks[i]);
    }
    free(tape);
}

#endif
