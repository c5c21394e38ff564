/* What libavformat says about a stream, as a track of ours. */
#ifndef INGEST_REPLAY_TRACKS_H
#define INGEST_REPLAY_TRACKS_H

#include <stdbool.h>

#include <libavformat/avformat.h>

#include "base/track.h"

/* False: a codec that is not recorded, a still picture, or nothing is known of its sound. Number,
 * uid and private data are left 0. */
bool ing_track_of(const AVStream *stream, struct kn_track *ret_track);
/* Its frame rate, 0/0 where not known. */
AVRational ing_track_rate(const AVStream *stream);

/* WAVEFORMATEX, which A_MS/ACM tracks have for private data. */
#define ING_WAVE_BYTES 18
void ing_track_write_wave(const struct kn_track *track, uint8_t room[static ING_WAVE_BYTES]);

#endif
