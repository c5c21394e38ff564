/* The fragment: a Matroska Cluster's worth of samples that starts with a key frame; what is stored,
 * acknowledged, listed and played.
 *
 *     building ──seal──► queued ──settle──► durable
 *                                     └───► failed
 *
 * One thread builds it. Once sealed it is immutable but for its state, shared by reference, and
 * read on any thread. Only the tail settles it (tail.h), so that no subscriber hears it twice. */
#ifndef FRAGMENTS_FRAGMENT_H
#define FRAGMENTS_FRAGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/sample.h"
#include "base/time.h"
#include "base/track.h"

/* Stores, streams, sessions and reels are named by random bytes. */
#define FRAG_ID_BYTES 16

/* ---- numbers ---- */

/* The 47-digit fragment number: 2^156 + sequence·2^92 + server_ms·2^28 + low. Text order is number
 * order. `sequence` alone decides in Kinora: epoch·2^32 + counter. */
struct frag_number {
    uint64_t sequence;
    uint64_t server_ms;
    uint32_t low; /* 28 bits, constant per reel */
};

#define FRAG_NUMBER_TEXT_BYTES 48
/* The last sequence that fits 47 digits with any other members: 407 million epochs. Some numbers of
 * the next one fit too. Who reads a sequence from a database checks it. */
#define FRAG_NUMBER_SEQUENCE_MAX UINT64_C(1748095099948350601)

/* Returns `text`, 47 digits and NUL. The caller guarantees that they suffice; they do for whatever
 * frag_number_parse gave. */
const char *frag_number_format(struct frag_number number, char text[static FRAG_NUMBER_TEXT_BYTES]);
/* Exactly 47 digits of a number as above: 0 or KN_E_MALFORMED. */
KN_MUST_CHECK int frag_number_parse(const char *text, struct frag_number *ret_number);
/* Below, equal to or above 0. */
int frag_number_compare(struct frag_number a, struct frag_number b);

/* ---- gaps ---- */

/* Why an interval has no video. Append only: stored. */
enum frag_gap_cause {
    FRAG_GAP_SOURCE_REFUSED,
    FRAG_GAP_NETWORK,
    FRAG_GAP_PACKET_LOSS,
    FRAG_GAP_SLOW_DISK,
    FRAG_GAP_DISK_FULL,
    FRAG_GAP_SYNC_ERROR,
    FRAG_GAP_CLOCK,
    FRAG_GAP_CRASH,
    FRAG_GAP_INGEST_CRASHED,
    FRAG_GAP_FILE_LOST,
    FRAG_GAP_PRODUCER_AWAY,
    FRAG_GAP_SCHEDULE,
    FRAG_GAP_OPERATOR,
    FRAG_GAP_SHUTDOWN
};
#define FRAG_GAP_CAUSES 14u

/* "disk full", "packet loss", ... */
const char *frag_gap_cause_text(enum frag_gap_cause cause);

struct frag_gap {
    struct kn_wall from;
    struct kn_wall to; /* as `from` while it is open */
    enum frag_gap_cause cause;
};

/* ---- fragments ---- */

/* By which of its two times a fragment is looked for. */
enum frag_clock { FRAG_CLOCK_PRODUCER, FRAG_CLOCK_SERVER };

enum frag_state { FRAG_BUILDING, FRAG_QUEUED, FRAG_DURABLE, FRAG_FAILED };

enum frag_flags {
    FRAG_DISCONTINUITY = 1 << 0, /* something is missing between its predecessor and it */
    FRAG_NO_KEY_START = 1 << 1   /* cut by force: it does not start with a key frame */
};

/* Hard limits of any fragment. 20 s of 240 pictures/s and three audio tracks at 200 packets/s are
 * 16,800 samples. */
#define FRAG_MAX_BYTES (50u * 1000u * 1000u)
#define FRAG_MAX_SAMPLES 65536u

/* What is known when the first sample arrives. */
struct frag_fragment_start {
    struct frag_number number;
    uint64_t ordinal;         /* +1 per fragment of the stream; HLS sequence numbers */
    uint64_t discontinuities; /* of the stream up to and with this one */
    struct kn_wall producer;  /* origin of the samples' times */
    struct kn_wall server;    /* when its first byte came */
    unsigned flags;           /* enum frag_flags */
};

/* The bytes that a fragment came in, where it was not built here. */
struct frag_form {
    struct kn_buffer *header;  /* what came before the first cluster; NULL: nothing */
    struct kn_buffer *cluster; /* whole element, as received */
    struct kn_buffer *around;  /* level-1 elements before and behind it; NULL: none */
    size_t before_bytes, after_bytes;
};

/* Readable by every holder once sealed; before, by the builder alone. */
struct frag_fragment {
    struct frag_fragment_start start;
    struct kn_tracks *tracks;
    const struct kn_sample *samples; /* in decode order; they live as long as the fragment */
    size_t sample_count;
    size_t bytes; /* of all samples */
    int64_t duration_ns;
    struct frag_form form; /* `cluster` is NULL where it was built here */
};

/* Keeps a reference of `tracks`. The caller owns one reference of the result. 0 or -ENOMEM. */
KN_MUST_CHECK int frag_fragment_create(const struct frag_fragment_start *start,
                                       struct kn_tracks *tracks,
                                       struct frag_fragment **ret_fragment);
struct frag_fragment *frag_fragment_ref(struct frag_fragment *fragment);
/* Any thread. NULL is fine. */
void frag_fragment_unref(struct frag_fragment *fragment);

/* Builder's thread. Keeps a reference of the sample's buffer. 0; -EINVAL (no such track);
 * KN_E_LIMIT: the sample would take it over FRAG_MAX_BYTES or FRAG_MAX_SAMPLES, seal it and begin
 * another; -ENOMEM. On failure the fragment is as before. */
KN_MUST_CHECK int frag_fragment_add(struct frag_fragment *fragment, const struct kn_sample *sample);
/* Builder's thread, once. Keeps references. */
void frag_fragment_set_form(struct frag_fragment *fragment, const struct frag_form *form);
/* Builder's thread, once. building -> queued: from now on nobody writes to it. */
void frag_fragment_seal(struct frag_fragment *fragment, int64_t duration_ns);
/* Any thread. */
enum frag_state frag_fragment_state(const struct frag_fragment *fragment);
/* Why it failed; 0 in every other state. Any thread. */
int frag_fragment_error(const struct frag_fragment *fragment);

#endif
