/* The face of playback/: the ways out of the store. */
#ifndef PLAYBACK_PLAYBACK_H
#define PLAYBACK_PLAYBACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/time.h"
#include "fragments/fragments.h"

struct kn_loop;

/* ---- export: a range of a stream as one file ---- */

enum play_format { PLAY_MKV, PLAY_MP4 };

struct play_export_progress {
    uint64_t fragments, bytes;
    struct kn_wall at; /* producer time reached */
};

struct play_export_config {
    struct frag_archive *archive;
    struct frag_stream *stream;
    enum frag_clock clock;
    struct kn_wall from, to; /* whole fragments: the one in which `from` lies (or up to 60 s more,
                              * back to one with a key frame), to the last that begins at or before
                              * `to` */
    enum play_format format;
    const char *path;        /* appears when it is complete */
    bool replace;            /* a file that is there already */
    const atomic_bool *stop; /* may be NULL */
    void (*handle_progress)(const struct play_export_progress *progress, void *user); /* or NULL */
    void *user;
};

struct play_export_result {
    uint64_t fragments, samples, bytes;
    uint64_t left_out; /* fragments that are damaged or went meanwhile: a hole in the file */
    uint64_t left_out_samples; /* of tracks the format cannot carry, named in `note` */
    struct kn_wall from, to;   /* what it really covers, by the clock of the range */
    /* Where it ended early, by the clock of the range: export from there on for the rest. The codec
     * setup changes there, a hole is longer than the format can say (MP4: 6 hours, Matroska: 7
     * days), or an MP4 has 2 million samples. 0: it did not. */
    struct kn_wall ended_at;
    bool about_new; /* the failure is the new file's */
    bool exists;    /* ... -EEXIST: it was there already, or is no regular file */
    char note[512]; /* in words: what a user should know; empty */
};

/* Blocks. Samples stand where their producer time says, a hole stays a hole; a fragment that
 * overlaps an earlier one or, since a clock was set back, lies before it, follows it (`note`). An
 * MP4 of up to 512 MiB has its index in front (it is written twice), a larger one behind.
 *
 * 0, also with something left out; -ENOENT: no fragment in the range; -ECANCELED: stopped;
 * KN_E_UNSUPPORTED: no track of it goes into this format (`note` says why); an errno. Nothing
 * stands at `path` unless it returns 0. */
KN_MUST_CHECK int play_export_run(const struct play_export_config *config,
                                  struct play_export_result *ret_result);

/* ---- media: a stream as GetMedia gives it ----
 *
 * Matroska, each fragment a whole document: the producer's header (the same bytes for all fragments
 * of a session), tags with number and times, the cluster as it was received, tags with the token to
 * go on with. From the store to the live end without hole or repeat, then as samples arrive.
 *
 *     play_media_create -> play_media_next ... -> play_media_destroy
 *
 * On one loop, which is never blocked: what reads the store is left to play_media_work, which its
 * owner calls on a thread that may wait; no other function is called meanwhile. It holds one
 * fragment of the store or at most PLAY_MEDIA_WAITING_MOST of the live end at a time, those by
 * reference. */

#define PLAY_MEDIA_WAITING_MOST 8u

enum play_media_start {
    PLAY_MEDIA_NOW,      /* the fragment that is just being recorded, or the next one */
    PLAY_MEDIA_EARLIEST, /* the oldest one there is */
    PLAY_MEDIA_AFTER,    /* the one behind number `after` */
    PLAY_MEDIA_AT,       /* the one in which `time` lies, else the next one */
    PLAY_MEDIA_LIST      /* `numbers`, in their order, and no others */
};

struct play_media_config {
    struct frag_stream *stream;
    struct kn_loop *loop;
    enum play_media_start start;
    struct frag_number after;
    enum frag_clock clock; /* of `time` */
    struct kn_wall time;
    const struct frag_number *numbers; /* copied */
    size_t number_count;
    /* Loop thread: play_media_next may have more than when it said PLAY_MEDIA_WAIT. It comes at any
     * time up to play_media_destroy, also while a worker is at it. */
    void (*handle_wake)(void *user);
    void *user;
};

struct play_media;

/* 0 or -ENOMEM. */
KN_MUST_CHECK int play_media_create(const struct play_media_config *config,
                                    struct play_media **ret_media);
/* NULL is fine. */
void play_media_destroy(struct play_media *media);

enum play_media_step {
    PLAY_MEDIA_BYTES = 1, /* `ret_bytes` has the next ones: the caller's reference */
    PLAY_MEDIA_WORK,      /* play_media_work, then again */
    PLAY_MEDIA_WAIT,      /* handle_wake comes */
    PLAY_MEDIA_END /* the list is through, the stream deleted, or an error was told in tags */
};

/* An enum play_media_step. KN_E_LIMIT: the stream has too many subscribers; KN_E_CLOSED: the loop
 * ends; -ENOMEM: the bytes so far are cut off. After a failure only destroy it. */
KN_MUST_CHECK int play_media_next(struct play_media *media, struct kn_buffer **ret_bytes);
/* Blocks. `archive` NULL: the store cannot be read. */
void play_media_work(struct play_media *media, struct frag_archive *archive);
/* How many it has begun to give. */
uint64_t play_media_fragments(const struct play_media *media);

#endif
