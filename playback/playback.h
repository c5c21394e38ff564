/* The face of playback/: the ways out of the store. */
#ifndef PLAYBACK_PLAYBACK_H
#define PLAYBACK_PLAYBACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/time.h"
#include "fragments/fragments.h"

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

#endif
