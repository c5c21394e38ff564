/* A file's timestamps as one time line that rises. Pure.
 *
 * What is repaired, and how:
 *   - no dts: the one before and the duration between them; for the first, pts less the reorder
 *     depth.
 *   - no pts: dts. (Reordered video without pts at all is ordered first, see order.h.)
 *   - a dts below the one before: that one. Over a second below, or, where a container's clock is
 *     allowed to jump (MPEG), over ten seconds above: the file goes on behind what came before;
 *     tracks that make the same jump keep step.
 *   - a counter that wraps (33 bits in MPEG-TS) goes on.
 *   - a pts over a second before or ten behind its dts is not believed. */
#ifndef INGEST_REPLAY_TIMES_H
#define INGEST_REPLAY_TIMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/track.h"

#define ING_TIME_NONE INT64_MIN
/* So far from 0 on either side; no sum of three of them overflows. */
#define ING_TIME_MAX_NS (INT64_C(90) * 366 * 86400 * 1000000000)

struct ing_stamp {
    int64_t pts_ns, dts_ns; /* ING_TIME_NONE */
    int64_t duration_ns;    /* 0: not said, or not believed: over ten seconds */
};

struct ing_times_track {
    int64_t step_ns;    /* between two samples where nothing else is known */
    int64_t reorder_ns; /* how far dts lies before pts */
    int64_t wrap_ns;    /* how far its counter reaches; 0: it does not wrap */
    /* inner */
    bool begun;
    int64_t offset_ns; /* from the file's time to ours */
    int64_t last_dts_ns, last_step_ns;
};

struct ing_times {
    bool may_jump;     /* forwards, too */
    int64_t offset_ns; /* of the track that jumped last */
    struct ing_times_track tracks[KN_TRACKS_MAX];
};

/* Set `may_jump` and the first members of the tracks of a zeroed one, then put each sample once, in
 * the file's order. `ret_stamp` has both times;
 * `ret_step_ns` is the duration or that guess; `ret_jumped`: the time line broke here. 0;
 * KN_E_LIMIT: beyond ING_TIME_MAX_NS. */
KN_MUST_CHECK int ing_times_put(struct ing_times *times, unsigned track,
                                const struct ing_stamp *stamp, struct ing_stamp *ret_stamp,
                                int64_t *ret_step_ns, bool *ret_jumped);

#endif
