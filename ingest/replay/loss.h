/* Which samples a bad network loses: a row of chances that follows from a seed alone. Pure. */
#ifndef INGEST_REPLAY_LOSS_H
#define INGEST_REPLAY_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sample.h"
#include "base/track.h"

struct ing_loss {
    double share;
    uint64_t state;
    bool broken[KN_TRACKS_MAX]; /* a picture that others need is gone: until the next key frame */
};

/* `seed` 0 is taken as 1, the default. */
void ing_loss_init(struct ing_loss *loss, double share, uint64_t seed);
/* True: the sample does not arrive. Each is asked about once, in order. A video picture that others
 * refer to takes all up to the next key frame of its track with it, as a receiver that cannot
 * decode them would. */
bool ing_loss_takes(struct ing_loss *loss, const struct kn_sample *sample, enum kn_media media);

#endif
