/* Inside of export: which tracks MP4 carries, and as what. */
#ifndef PLAYBACK_EXPORT_MP4_TRACKS_H
#define PLAYBACK_EXPORT_MP4_TRACKS_H

#include <stdint.h>

#include "base/attributes.h"
#include "base/sample.h"
#include "base/track.h"

struct AVStream;

#define PLAY_MP4_VIDEO_RATE 90000

/* Why this track cannot be carried, in words, or NULL. */
const char *play_mp4_refusal(const struct kn_track *track);
/* Fills in a new stream and its time base. `sample`: one of the track's, or NULL. 0 or -ENOMEM. */
KN_MUST_CHECK int play_mp4_describe(const struct kn_track *track, const struct kn_sample *sample,
                                    struct AVStream *stream);
/* How long a packet of sound is, in samples of the track's rate. */
int64_t play_mp4_sound_length(const struct kn_track *track, const struct kn_sample *sample);

#endif
