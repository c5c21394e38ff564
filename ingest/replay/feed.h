/* A file as samples of ours, one after the other, whatever libavformat had to say. */
#ifndef INGEST_REPLAY_FEED_H
#define INGEST_REPLAY_FEED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/sample.h"
#include "base/track.h"

struct ing_feed;

struct ing_feed_sample {
    struct kn_sample sample;  /* times from the first decode time of the file */
    struct kn_tracks *tracks; /* not NULL: these hold from this sample on */
    int64_t step_ns;          /* how long it lasts, if only by guess */
    bool jumped;              /* the file's time line broke before it */
};

/* As ing_input_open; KN_E_UNSUPPORTED where no track of it is recorded. */
KN_MUST_CHECK int ing_feed_open(const char *path, uint64_t limit, const atomic_bool *stop,
                                struct ing_feed **ret_feed);
void ing_feed_close(struct ing_feed *feed);
/* Tracks that are not recorded because of what they are, in order of the file; cover pictures and
 * attachments are no tracks. */
void ing_feed_each_left_out(const struct ing_feed *feed,
                            void (*each)(unsigned track, const char *media, const char *codec,
                                         void *user),
                            void *user);
/* 0: not known. */
int64_t ing_feed_duration_ns(const struct ing_feed *feed);
/* 1; 0: the end; -ENOMEM; as ing_input_read; KN_E_LIMIT: its times are beyond all bounds. Samples
 * before a failure are given first. The caller owns references of sample and tracks. */
KN_MUST_CHECK int ing_feed_next(struct ing_feed *feed, struct ing_feed_sample *ret_sample);
void ing_feed_sample_unref(struct ing_feed_sample *sample);

#endif
