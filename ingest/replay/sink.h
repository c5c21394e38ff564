/* Where a replay puts what it reads: the store (record.c), or a test. */
#ifndef INGEST_REPLAY_SINK_H
#define INGEST_REPLAY_SINK_H

#include "fragments/fragments.h"
#include "ingest/ingest.h"

/* One session at a time: open, then the others, then close. Negative answers end the replay. */
struct ing_sink {
    int (*open)(void *user);
    int (*tracks)(struct kn_tracks *tracks, void *user);
    /* As frag_writer_sample. */
    int (*sample)(struct kn_wall origin, const struct kn_sample *sample, void *user);
    /* Something is missing before the next sample; `gap` may be NULL. */
    void (*discontinuity)(const struct frag_gap *gap, void *user);
    /* The next sample is of another file: what it needs for decoding is not in this one. */
    void (*cut)(void *user);
    void (*close)(enum frag_gap_cause cause, void *user);
    /* How many fragments are durable. */
    uint64_t (*fragments)(void *user);
};

/* What ing_replay_run does, into any sink. Fills all of the result but `fragments`, `durable` and
 * `failed`; `config->stream` is not looked at. */
KN_MUST_CHECK int ing_replay_to(const struct ing_replay_config *config, const struct ing_sink *sink,
                                void *user, struct ing_replay_result *ret_result);

#endif
