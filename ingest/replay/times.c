#include "ingest/replay/times.h"

#include "base/error.h"
#include "base/time.h"

#define FORWARD_NS (10 * KN_NS_PER_S)
#define BACK_NS KN_NS_PER_S

static bool is_sane(int64_t ns) {
    return ns >= -ING_TIME_MAX_NS && ns <= ING_TIME_MAX_NS;
}

static bool is_far(int64_t ahead_ns) {
    return ahead_ns < -BACK_NS || ahead_ns > FORWARD_NS;
}

static int64_t expected_dts(const struct ing_times_track *track) {
    return track->last_dts_ns + track->last_step_ns;
}

static int64_t believed_duration(const struct ing_stamp *stamp) {
    return stamp->duration_ns > 0 && stamp->duration_ns <= FORWARD_NS ? stamp->duration_ns : 0;
}

/* A counter of limited width went round since the sample before, in either direction (a packet of
 * before the wrap may come late). */
static void unwrap(struct ing_times *times, struct ing_times_track *track, int64_t dts_ns) {
    if (track->wrap_ns == 0) {
        return;
    }
    int64_t ahead = dts_ns + track->offset_ns - track->last_dts_ns;
    if (ahead < -track->wrap_ns / 2) {
        track->offset_ns += track->wrap_ns;
        times->offset_ns = track->offset_ns;
    } else if (ahead > track->wrap_ns / 2) {
        track->offset_ns -= track->wrap_ns;
    }
}

static bool is_jump(const struct ing_times *times, int64_t ahead_ns) {
    return ahead_ns < -BACK_NS || (times->may_jump && ahead_ns > FORWARD_NS);
}

/* Moves the track so that its sample follows the one before. Another track that already made this
 * jump is followed, so that sound and pictures stay together. */
static bool follow_jump(struct ing_times *times, struct ing_times_track *track, int64_t dts_ns) {
    int64_t expected = expected_dts(track);
    if (!is_jump(times, dts_ns + track->offset_ns - expected)) {
        return false;
    }
    if (!is_far(dts_ns + times->offset_ns - expected)) {
        track->offset_ns = times->offset_ns;
        return true;
    }
    track->offset_ns = expected - dts_ns;
    times->offset_ns = track->offset_ns;
    return true;
}

static void begin(struct ing_times *times, struct ing_times_track *track) {
    track->begun = true;
    track->offset_ns = times->offset_ns;
    track->last_step_ns = track->step_ns;
}

static int64_t find_dts(struct ing_times *times, struct ing_times_track *track,
                        const struct ing_stamp *stamp, bool *ret_jumped) {
    *ret_jumped = false;
    if (!track->begun) {
        begin(times, track);
        if (stamp->dts_ns != ING_TIME_NONE) {
            return stamp->dts_ns + track->offset_ns;
        }
        int64_t pts_ns = stamp->pts_ns == ING_TIME_NONE ? 0 : stamp->pts_ns;
        return pts_ns - track->reorder_ns + track->offset_ns;
    }
    /* Without a dts, a pts still tells of a wrap or a jump, reordered as it may be. */
    int64_t told = stamp->dts_ns != ING_TIME_NONE ? stamp->dts_ns : stamp->pts_ns;
    if (told == ING_TIME_NONE) {
        return expected_dts(track);
    }
    unwrap(times, track, told);
    *ret_jumped = follow_jump(times, track, told);
    int64_t dts_ns =
        stamp->dts_ns != ING_TIME_NONE ? stamp->dts_ns + track->offset_ns : expected_dts(track);
    return dts_ns < track->last_dts_ns ? track->last_dts_ns : dts_ns;
}

static int64_t find_pts(const struct ing_times_track *track, const struct ing_stamp *stamp,
                        int64_t dts_ns) {
    if (stamp->pts_ns == ING_TIME_NONE) {
        return dts_ns;
    }
    /* The same counter, but it may have wrapped between the two. */
    int64_t pts_ns = stamp->pts_ns + track->offset_ns;
    if (track->wrap_ns > 0 && pts_ns - dts_ns < -track->wrap_ns / 2) {
        pts_ns += track->wrap_ns;
    }
    return is_far(pts_ns - dts_ns) ? dts_ns : pts_ns;
}

int ing_times_put(struct ing_times *times, unsigned track, const struct ing_stamp *stamp,
                  struct ing_stamp *ret_stamp, int64_t *ret_step_ns, bool *ret_jumped) {
    struct ing_times_track *of = &times->tracks[track];
    if ((stamp->pts_ns != ING_TIME_NONE && !is_sane(stamp->pts_ns)) ||
        (stamp->dts_ns != ING_TIME_NONE && !is_sane(stamp->dts_ns))) {
        return KN_E_LIMIT;
    }
    bool jumped;
    int64_t dts_ns = find_dts(times, of, stamp, &jumped);
    int64_t pts_ns = find_pts(of, stamp, dts_ns);
    if (!is_sane(dts_ns) || !is_sane(pts_ns) || !is_sane(of->offset_ns)) {
        return KN_E_LIMIT;
    }
    int64_t duration_ns = believed_duration(stamp);
    int64_t step_ns = duration_ns > 0 ? duration_ns : of->step_ns;
    *ret_stamp = (struct ing_stamp){.pts_ns = pts_ns, .dts_ns = dts_ns, .duration_ns = duration_ns};
    *ret_step_ns = step_ns;
    *ret_jumped = jumped;
    of->last_dts_ns = dts_ns;
    of->last_step_ns = step_ns;
    return 0;
}
