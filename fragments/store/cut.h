/* Where fragments are cut: samples in, decisions out. Pure. */
#ifndef FRAGMENTS_STORE_CUT_H
#define FRAGMENTS_STORE_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sample.h"
#include "base/time.h"
#include "base/track.h"

/* A fragment never lasts longer; RFC 8216 players and AWS clients count on it. */
#define FRAG_CUT_LONGEST_NS (20 * KN_NS_PER_S)
/* A step of the lead's time by more is another clock's. Other tracks may stand apart from it. */
#define FRAG_CUT_JUMP_NS (10 * KN_NS_PER_S)

enum frag_cut_step {
    FRAG_CUT_DROP,   /* nothing can begin with it */
    FRAG_CUT_ADD,    /* it goes on with the fragment at hand */
    FRAG_CUT_BEGIN,  /* the fragment at hand ends, a new one begins with it */
    FRAG_CUT_FORCED, /* the same, though it is no key frame */
    FRAG_CUT_BROKEN  /* the fragment at hand ends where it did; the sample is to be offered again */
};

struct frag_cut {
    int lead; /* the track that cuts: the first video track, else track 0 */
    bool video;
    bool running; /* there is a fragment at hand */
    struct kn_wall start;
    size_t bytes, samples;
    bool has_key; /* time of the last key frame, for the distance between them */
    struct kn_wall key;
    int64_t key_distance_ns;
    struct {
        bool seen;
        struct kn_wall last;    /* in decode order */
        int64_t duration_ns;    /* of it, as said or as between it and the one before */
        struct kn_wall at_lead; /* its time when the lead's last sample came, or its first since */
    } tracks[KN_TRACKS_MAX];
    struct kn_wall end; /* where what is at hand ends, as far as known */
};

void frag_cut_init(struct frag_cut *cut, const struct kn_tracks *tracks);
/* What to do with the sample at `time`; changes nothing. */
enum frag_cut_step frag_cut_next(const struct frag_cut *cut, struct kn_wall time,
                                 const struct kn_sample *sample, int64_t target_ns);
/* The sample was taken; `begins` a fragment. */
void frag_cut_take(struct frag_cut *cut, struct kn_wall time, const struct kn_sample *sample,
                   bool begins);
/* The fragment at hand is over. */
void frag_cut_end(struct frag_cut *cut);
/* How long the fragment at hand lasts when the next one begins at `next` (NULL: none follows). */
int64_t frag_cut_duration(const struct frag_cut *cut, const struct kn_wall *next);

#endif
