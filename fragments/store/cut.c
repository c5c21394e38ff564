#include "fragments/store/cut.h"

#include "fragments/fragment.h"

void frag_cut_init(struct frag_cut *cut, const struct kn_tracks *tracks) {
    *cut = (struct frag_cut){0};
    for (size_t i = tracks->count; i-- > 0;) {
        if (tracks->items[i].media == KN_MEDIA_VIDEO) {
            cut->lead = (int)i;
            cut->video = true;
        }
    }
}

static int64_t distance(struct kn_wall from, struct kn_wall to) {
    int64_t result = 0;
    if (__builtin_sub_overflow(to.ns, from.ns, &result)) {
        return to.ns > from.ns ? INT64_MAX : INT64_MIN;
    }
    return result;
}

static bool can_begin(const struct frag_cut *cut, const struct kn_sample *sample) {
    return sample->track == cut->lead && (!cut->video || (sample->flags & KN_SAMPLE_KEY) != 0);
}

/* Key frames come a little early or late: the next one would be a whole distance further. */
static int64_t slack(const struct frag_cut *cut, int64_t target_ns) {
    int64_t most = target_ns / 8;
    return cut->key_distance_ns / 2 < most ? cut->key_distance_ns / 2 : most;
}

static bool jumps(const struct frag_cut *cut, struct kn_wall time) {
    bool seen = cut->tracks[cut->lead].seen;
    int64_t step = distance(seen ? cut->tracks[cut->lead].last : cut->start, time);
    return step > FRAG_CUT_JUMP_NS || step < -FRAG_CUT_JUMP_NS;
}

/* The lead has stopped: another track went on for a whole fragment without it. */
static bool is_left_behind(const struct frag_cut *cut, struct kn_wall time, uint8_t track) {
    return cut->tracks[track].seen &&
           distance(cut->tracks[track].at_lead, time) >= FRAG_CUT_LONGEST_NS;
}

enum frag_cut_step frag_cut_next(const struct frag_cut *cut, struct kn_wall time,
                                 const struct kn_sample *sample, int64_t target_ns) {
    bool lead = sample->track == cut->lead;
    bool begins = can_begin(cut, sample);
    if (!cut->running) {
        return begins ? FRAG_CUT_BEGIN : FRAG_CUT_DROP;
    }
    if (lead ? jumps(cut, time) : is_left_behind(cut, time, sample->track)) {
        return FRAG_CUT_BROKEN;
    }
    int64_t elapsed = distance(cut->start, time);
    if (begins && elapsed >= target_ns - slack(cut, target_ns)) {
        return FRAG_CUT_BEGIN;
    }
    /* Only the lead cuts by time: sound that stands apart from its pictures belongs to them. */
    bool full = cut->samples >= FRAG_MAX_SAMPLES || sample->size > FRAG_MAX_BYTES - cut->bytes;
    if (full || (lead && elapsed >= FRAG_CUT_LONGEST_NS)) {
        return begins ? FRAG_CUT_BEGIN : FRAG_CUT_FORCED;
    }
    return FRAG_CUT_ADD;
}

static int64_t duration_of(const struct frag_cut *cut, struct kn_wall time,
                           const struct kn_sample *sample) {
    if (sample->duration_ns > 0) {
        return sample->duration_ns < FRAG_CUT_LONGEST_NS ? sample->duration_ns
                                                         : FRAG_CUT_LONGEST_NS;
    }
    int64_t step =
        cut->tracks[sample->track].seen ? distance(cut->tracks[sample->track].last, time) : 0;
    /* With B-frames times go back and forth; the smallest step forward is about one picture. */
    int64_t known = cut->tracks[sample->track].duration_ns;
    return step > 0 && (known == 0 || step < known) ? step : known;
}

void frag_cut_take(struct frag_cut *cut, struct kn_wall time, const struct kn_sample *sample,
                   bool begins) {
    int64_t duration_ns = duration_of(cut, time, sample);
    if (begins) {
        cut->running = true;
        cut->start = time;
        cut->end = time;
        cut->bytes = 0;
        cut->samples = 0;
        for (size_t i = 0; i < KN_TRACKS_MAX; i++) {
            cut->tracks[i].seen = (int)i == cut->lead && cut->tracks[i].seen;
        }
    }
    if (can_begin(cut, sample)) {
        cut->key_distance_ns = cut->has_key ? distance(cut->key, time) : 0;
        cut->key_distance_ns = cut->key_distance_ns < 0 ? 0 : cut->key_distance_ns;
        cut->has_key = true;
        cut->key = time;
    }
    cut->bytes += sample->size;
    cut->samples++;
    if (!cut->tracks[sample->track].seen) {
        cut->tracks[sample->track].at_lead = time;
    }
    cut->tracks[sample->track].seen = true;
    cut->tracks[sample->track].last = time;
    for (size_t i = 0; i < KN_TRACKS_MAX && sample->track == cut->lead; i++) {
        cut->tracks[i].at_lead = cut->tracks[i].last;
    }
    cut->tracks[sample->track].duration_ns = duration_ns;
    int64_t end = 0;
    if (sample->track == cut->lead && !__builtin_add_overflow(time.ns, duration_ns, &end) &&
        end > cut->end.ns) {
        cut->end.ns = end;
    }
}

void frag_cut_end(struct frag_cut *cut) {
    cut->running = false;
    cut->bytes = 0;
    cut->samples = 0;
}

int64_t frag_cut_duration(const struct frag_cut *cut, const struct kn_wall *next) {
    int64_t duration_ns = distance(cut->start, cut->end);
    if (next != NULL) {
        int64_t until_next = distance(cut->start, *next);
        if (until_next > 0 && until_next <= duration_ns + FRAG_CUT_JUMP_NS) {
            duration_ns = until_next;
        }
    }
    return duration_ns > 0 ? duration_ns : 0;
}
