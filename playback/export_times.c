/* Where a fragment stands in the file. Pure. */
#include "base/error.h"
#include "playback/export_inner.h"

/* The smallest step that Matroska's times show. */
#define STEP_MIN_NS KN_NS_PER_MS
/* Of a track's only sample, if nothing says how long it lasts: a picture at 25 a second. */
#define STEP_GUESS_NS (40 * KN_NS_PER_MS)

/* What one track has in the fragment at hand, from its producer time. */
struct span {
    size_t count;
    int64_t first_ns, last_ns;
    int64_t said_ns; /* duration of the last one; 0: not said */
};

struct spans {
    struct span tracks[KN_TRACKS_MAX];
    int64_t first_ns;
};

static struct spans measure(const struct kn_sample *samples, size_t count) {
    struct spans spans = {.first_ns = INT64_MAX};
    for (size_t i = 0; i < count; i++) {
        const struct kn_sample *sample = &samples[i];
        struct span *span = &spans.tracks[sample->track];
        if (span->count == 0 || sample->pts_ns >= span->last_ns) {
            span->last_ns = sample->pts_ns;
            span->said_ns = sample->duration_ns;
        }
        span->first_ns =
            span->count == 0 || sample->pts_ns < span->first_ns ? sample->pts_ns : span->first_ns;
        spans.first_ns = sample->pts_ns < spans.first_ns ? sample->pts_ns : spans.first_ns;
        span->count++;
    }
    return spans;
}

/* So that no sum or difference here overflows: a file lasts, and a sample lies from its fragment,
 * at most 36 years; producer times reach to 2116. */
#define SPAN_MAX_NS (INT64_MAX / 8)
#define WALL_MAX_NS (INT64_MAX / 2)

static bool can_be(int64_t ns) {
    return ns > -SPAN_MAX_NS && ns < SPAN_MAX_NS;
}

/* dts may be anything of hostile times, but is never above pts. */
static bool times_can_be(const struct kn_sample *samples, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!can_be(samples[i].pts_ns) || !can_be(samples[i].duration_ns) ||
            samples[i].dts_ns > samples[i].pts_ns) {
            return false;
        }
    }
    return true;
}

static int64_t length_of_last(const struct span *span) {
    if (span->said_ns > 0) {
        return span->said_ns;
    }
    int64_t step = span->count < 2 ? STEP_GUESS_NS
                                   : (span->last_ns - span->first_ns) / (int64_t)(span->count - 1);
    return step < STEP_MIN_NS ? STEP_MIN_NS : step;
}

/* How much later the fragment at `at_ns` must begin. */
static int64_t push_needed(const struct play_times *times, const struct spans *spans,
                           int64_t at_ns) {
    int64_t push_ns = at_ns + spans->first_ns < 0 ? -(at_ns + spans->first_ns) : 0;
    for (size_t i = 0; i < KN_TRACKS_MAX; i++) {
        const struct play_times_track *track = &times->tracks[i];
        int64_t begin_ns = at_ns + spans->tracks[i].first_ns;
        if (spans->tracks[i].count == 0 || !track->any ||
            begin_ns >= track->last_ns + STEP_MIN_NS) {
            continue;
        }
        int64_t needed_ns = track->end_ns - begin_ns;
        push_ns = needed_ns > push_ns ? needed_ns : push_ns;
    }
    return push_ns;
}

static bool leaves_hole(const struct play_times *times, const struct spans *spans, int64_t at_ns,
                        int64_t hole_max_ns) {
    for (size_t i = 0; i < KN_TRACKS_MAX; i++) {
        const struct play_times_track *track = &times->tracks[i];
        if (spans->tracks[i].count > 0 && track->any &&
            at_ns + spans->tracks[i].first_ns - track->end_ns > hole_max_ns) {
            return true;
        }
    }
    return false;
}

static void note_spans(struct play_times *times, const struct spans *spans, int64_t at_ns) {
    times->begin_ns = spans->first_ns;
    times->end_ns = spans->first_ns;
    for (size_t i = 0; i < KN_TRACKS_MAX; i++) {
        const struct span *span = &spans->tracks[i];
        if (span->count > 0) {
            int64_t end_ns = span->last_ns + length_of_last(span);
            times->end_ns = end_ns > times->end_ns ? end_ns : times->end_ns;
            times->tracks[i].any = true;
            times->tracks[i].last_ns = at_ns + span->last_ns;
            times->tracks[i].end_ns = at_ns + end_ns;
        }
    }
}

int play_times_place(struct play_times *times, struct kn_wall producer, int64_t hole_max_ns,
                     struct kn_sample *samples, size_t count) {
    if (producer.ns < -SPAN_MAX_NS || producer.ns > WALL_MAX_NS || !times_can_be(samples, count)) {
        return KN_E_MALFORMED;
    }
    if (count == 0) {
        return PLAY_FITS;
    }
    struct spans spans = measure(samples, count);
    struct kn_wall zero =
        times->begun ? times->zero : (struct kn_wall){producer.ns + spans.first_ns};
    int64_t at_ns = producer.ns - zero.ns;
    int64_t push_ns = push_needed(times, &spans, at_ns);
    at_ns += push_ns;
    if (!can_be(at_ns) || leaves_hole(times, &spans, at_ns, hole_max_ns)) {
        return PLAY_TOO_FAR;
    }
    for (size_t i = 0; i < count; i++) {
        struct kn_sample *sample = &samples[i];
        sample->pts_ns += at_ns;
        sample->dts_ns = sample->dts_ns < -SPAN_MAX_NS ? sample->pts_ns : sample->dts_ns + at_ns;
    }
    note_spans(times, &spans, at_ns);
    times->begun = true;
    times->zero = zero;
    times->shifted += push_ns > 0;
    return PLAY_FITS;
}
