/* The face of ingest/: where video comes from. */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/time.h"
#include "fragments/fragments.h"

/* ---- replay: files as if they were cameras ----
 *
 *     ing_faults_parse ...; ing_replay_run(&config, &result)
 *
 * Opens any container that libavformat does, and records its H.264, H.265, AV1, VP8, VP9, MJPEG,
 * AAC, Opus and PCM tracks into a stream as one session a file (or one for all, `one_session`),
 * timed as in the file. */

struct ing_faults {
    double loss;   /* share of video pictures and sound packets that are lost, 0 to 1 */
    bool has_jump; /* the producer's clock steps by jump_ns ... */
    int64_t jump_ns, jump_at_ns; /* ... so long after the beginning */
    int64_t flap_ns;   /* 0: none; the connection is lost and made again at this distance */
    uint64_t truncate; /* 0: none; the input ends behind so many bytes of it (of each file) */
    uint64_t seed;     /* default 1 */
};

/* "loss=2%", "jump=-9800s@30s", "flap=10s", "truncate@N", "seed=7"; several with commas or several
 * calls. Times: 500ms, 10s, 5m, 2h, 1d. 0 or KN_E_MALFORMED. */
KN_MUST_CHECK int ing_faults_parse(const char *text, struct ing_faults *faults);

/* The clock of a repeatable replay: it stands at `start` and goes on with the video. */
struct ing_clock;
KN_MUST_CHECK int ing_clock_create(struct kn_wall start, struct ing_clock **ret_clock);
void ing_clock_destroy(struct ing_clock *clock);
const struct kn_clock *ing_clock_face(const struct ing_clock *clock);

struct ing_replay_progress {
    uint64_t loop, file, files;
    const char *path;
    int64_t done_ns, all_ns; /* of this file; all_ns 0: not known */
    uint64_t samples, bytes; /* of all, given to the store */
    uint64_t fragments;      /* of all, durable */
};

/* A track that is not recorded, whatever else of its file is. */
struct ing_left_out {
    const char *path;
    unsigned track; /* from 1 on, as in the file */
    const char *media, *codec;
};

struct ing_replay_config {
    struct frag_stream *stream;
    const char *path;        /* a file, or a directory: its files in order of their names */
    struct ing_clock *clock; /* the store's clock too; NULL: the machine's, from now on */
    bool paced;              /* as fast as the video is; else as fast as can be */
    uint64_t loops;          /* 0: for ever */
    /* Files and loops follow one another as pictures of one camera do, with no gap between. One for
     * ever that ends without being stopped is a source refused, not a producer that went away. */
    bool one_session;
    struct ing_faults faults;
    const atomic_bool *stop; /* set by a signal handler: ends after the sample at hand; may be NULL
                              */
    /* Now and then; may be NULL. */
    void (*handle_progress)(const struct ing_replay_progress *progress, void *user);
    /* Once for each such track of a file, of whose others something is recorded; may be NULL. */
    void (*handle_left_out)(const struct ing_left_out *left_out, void *user);
    void *user;
};

struct ing_replay_result {
    uint64_t files, skipped_files; /* skipped: nothing in it that could be replayed */
    uint64_t samples;              /* in durable fragments */
    uint64_t bytes;                /* of all that was given to the store */
    uint64_t lost_samples;         /* by faults */
    /* Given to the store, and in no durable fragment: nothing could begin with them, such as sound
     * before the first key frame, or it has failed. */
    uint64_t unstored_samples;
    uint64_t fragments, durable, failed;
    int64_t duration_ns; /* of the video */
    bool stopped;
    char problem[512]; /* in words, where a file failed: which and why; the first one */
};

/* Blocks. All that was recorded is durable or failed when it returns. 0; KN_E_MALFORMED: nothing in
 * any file could be replayed; -ENOENT and the like; a failure of the store. */
KN_MUST_CHECK int ing_replay_run(const struct ing_replay_config *config,
                                 struct ing_replay_result *ret_result);

/* ---- sources: what is pulled, watched and tried again ----
 *
 *     ing_source_start -> ing_source_status ... -> ing_source_stop
 *
 * "file:PATH" replays a file or a directory for ever, at the pace of its video. (Other schemes come
 * with their protocols.) What fails is tried again after 1 s, later after at most 30 s, and between
 * stands a gap 'source refused'. */

struct ing_source;

/* 0; KN_E_UNSUPPORTED: no such scheme; KN_E_MALFORMED. Pure. */
KN_MUST_CHECK int ing_source_url_check(const char *url);

struct ing_source_config {
    struct frag_stream *stream;
    const char *url;
    /* On a thread of its own, at each change of state; may be NULL. */
    void (*handle_state)(struct frag_stream *stream, void *user);
    void *user;
};

enum ing_source_state {
    ING_SOURCE_STARTING, /* connecting, opening, probing */
    ING_SOURCE_RUNNING,
    ING_SOURCE_WAITING, /* it failed, and is tried again */
    ING_SOURCE_STOPPED
};

struct ing_source_status {
    enum ing_source_state state;
    struct kn_wall since; /* in this state */
    uint64_t starts, failures;
    uint64_t bytes, samples; /* given to the store */
    uint64_t fragments;      /* of these, durable */
    char problem[512];       /* the failure, without secrets; "": it runs, or never failed */
};

/* 0; KN_E_UNSUPPORTED, KN_E_MALFORMED as above; -ENOMEM, -EAGAIN. */
KN_MUST_CHECK int ing_source_start(const struct ing_source_config *config,
                                   struct ing_source **ret_source);
/* Any thread. */
void ing_source_status(const struct ing_source *source, struct ing_source_status *ret_status);
/* Asks it to end, so that several can end at once. Any thread. */
void ing_source_end(struct ing_source *source);
/* Blocks until what it recorded is durable or failed, and frees it. NULL is fine. */
void ing_source_stop(struct ing_source *source);

/* ---- PutMedia: the body of one connection, without its HTTP ----
 *
 *     ing_put_create -> ing_put_push ... -> ing_put_end -> ing_put_destroy
 *     wake (any thread) -> ing_put_turn -> ing_put_next_ack ...
 *
 * Matroska as it comes, a fragment a Cluster, stored as it was received. Fragments that were stored
 * before and come again, because their acknowledgements got lost, are recognised (same producer
 * time, same bytes) and answered with their old numbers. But for what says otherwise, one thread at
 * a time, which is never held up. */

struct ing_put;

enum ing_ack_kind {
    ING_ACK_BUFFERING, /* a fragment has begun */
    ING_ACK_RECEIVED,  /* it is whole: told together with the next one */
    ING_ACK_PERSISTED, /* it is durable; in streams that keep nothing: it is whole */
    ING_ACK_ERROR,     /* the last one: what was not acknowledged before is not stored */
    ING_ACK_IDLE       /* nothing has come for a while */
};

enum ing_put_error {
    ING_PUT_SIZE = 4001,       /* over FRAG_MAX_BYTES or FRAG_MAX_SAMPLES */
    ING_PUT_DURATION = 4002,   /* over 20 s */
    ING_PUT_CONNECTION = 4003, /* the server ends it: come again */
    ING_PUT_ORDER = 4004,      /* it begins before the fragment before it */
    ING_PUT_INVALID = 4006,    /* not the Matroska that is taken here */
    ING_PUT_TIME = 4007,       /* more than a day ahead of our clock */
    ING_PUT_METADATA = 4009,   /* over 10 tags, or one too long */
    ING_PUT_NO_TRACK = 4010,   /* a frame of a track that is not in Tracks */
    ING_PUT_NO_FRAMES = 4011,  /* a track without a frame, for a second or more */
    ING_PUT_TRACKS = 4012,     /* over 3 */
    ING_PUT_DELETED = 4507,
    ING_PUT_INTERNAL = 5000, /* no memory: come again */
    ING_PUT_ARCHIVAL = 5001  /* it could not be stored: come again */
};

/* "MAX_FRAGMENT_SIZE_REACHED", as clients know them. */
const char *ing_put_error_code(enum ing_put_error error);

struct ing_ack {
    enum ing_ack_kind kind;
    bool has_timecode, has_number; /* not of IDLE, and of ERROR where it is about a fragment */
    uint64_t timecode;             /* of its cluster, raw */
    struct frag_number number;
    enum ing_put_error error; /* ERROR */
};

/* x-amzn-producer-start-timestamp: seconds, perhaps with a fraction. Up to two digits behind the
 * point are milliseconds, as the C SDK prints them; more are a fraction. 0 or KN_E_MALFORMED. Pure.
 */
KN_MUST_CHECK int ing_put_start_parse(const char *text, size_t size, struct kn_wall *ret_start);

struct ing_put_config {
    struct frag_stream *stream;
    bool relative; /* timecodes count from producer_start */
    struct kn_wall producer_start;
    const struct kn_clock *clock; /* NULL: the machine's */
    /* Any thread, also from within the functions below: ing_put_turn is due, soon. */
    void (*wake)(void *user);
    /* Any thread, the last call: `user` may be freed. */
    void (*closed)(void *user);
    void *user;
};

/* 0 or -ENOMEM: then `closed` is not called. */
KN_MUST_CHECK int ing_put_create(const struct ing_put_config *config, struct ing_put **ret_put);
/* Nothing more is taken, what was submitted becomes durable. NULL is fine. */
void ing_put_destroy(struct ing_put *put);

/* How many of the bytes were taken: fewer where disk, memory or the reader of the acknowledgements
 * are behind, or work is due. Go on when ing_put_turn says so. */
KN_MUST_CHECK size_t ing_put_push(struct ing_put *put, const void *data, size_t size);
/* The body is over; `whole` false: broken off, and what is not complete is not stored. */
void ing_put_end(struct ing_put *put, bool whole);
/* Goes on after `wake`, and once a second: silence is measured here. Whether bytes are taken. */
bool ing_put_turn(struct ing_put *put);
/* The next acknowledgement, if there is one. */
bool ing_put_next_ack(struct ing_put *put, struct ing_ack *ret_ack);
/* All is acknowledged, and nothing more comes. */
bool ing_put_is_over(struct ing_put *put);
/* The server ends: what is whole is stored and acknowledged, then comes ING_PUT_CONNECTION. */
void ing_put_drain(struct ing_put *put);
/* So many fragments and bytes have come. Not those that came again. */
void ing_put_counts(const struct ing_put *put, uint64_t *ret_bytes, uint64_t *ret_fragments);

/* Whether something is to be looked up; asked after each push, end and turn. Then call ing_put_work
 * once, on a thread that may block; `wake` follows. The put is not destroyed meanwhile. */
KN_MUST_CHECK bool ing_put_wants_work(const struct ing_put *put);
/* `archive` NULL: it cannot be looked up, and counts as not stored. */
void ing_put_work(struct ing_put *put, struct frag_archive *archive);

#endif
