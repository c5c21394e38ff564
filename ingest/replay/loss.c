#include "ingest/replay/loss.h"

void ing_loss_init(struct ing_loss *loss, double share, uint64_t seed) {
    *loss = (struct ing_loss){.share = share, .state = seed == 0 ? 1 : seed};
}

/* splitmix64: every seed gives a good row, 0 and 1 too. */
static uint64_t next_random(struct ing_loss *loss) {
    uint64_t z = loss->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* From 0 to below 1, exact in a double. */
static double next_chance(struct ing_loss *loss) {
    return (double)(next_random(loss) >> 11) * 0x1p-53;
}

bool ing_loss_takes(struct ing_loss *loss, const struct kn_sample *sample, enum kn_media media) {
    bool video = media == KN_MEDIA_VIDEO;
    bool key = (sample->flags & KN_SAMPLE_KEY) != 0;
    bool *broken = &loss->broken[sample->track];
    /* Drawn for samples that are gone anyway, too: a share means the same whatever went before. */
    if (next_chance(loss) < loss->share) {
        *broken |= video && (sample->flags & KN_SAMPLE_DISPOSABLE) == 0;
        return true;
    }
    if (video && key) {
        *broken = false;
    }
    return *broken;
}
