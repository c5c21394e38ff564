/* How the replay moves the clock of the face. */
#ifndef INGEST_REPLAY_CLOCK_H
#define INGEST_REPLAY_CLOCK_H

#include "ingest/ingest.h"

struct kn_wall ing_clock_start(const struct ing_clock *clock);
/* So long after its start; never backwards. One thread moves it, any may read it. */
void ing_clock_set(struct ing_clock *clock, int64_t since_start_ns);

#endif
