/* Waiting for the moment a sample is due. The one place of a replay that sleeps: it plays the part
 * of a camera, which sends when it is time. */
#ifndef INGEST_REPLAY_PACE_H
#define INGEST_REPLAY_PACE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/time.h"

/* By the machine's monotonic clock. `stop` (may be NULL) ends it within 100 ms. */
void ing_pace_until(struct kn_mono due, const atomic_bool *stop);

#endif
