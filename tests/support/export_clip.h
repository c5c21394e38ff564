/* A Matroska file as a source of fragments for an export, as if a store held them: each cluster is
 * a fragment whose producer time is EXPORT_CLIP_BEGIN plus the cluster's. */
#ifndef TESTS_SUPPORT_EXPORT_CLIP_H
#define TESTS_SUPPORT_EXPORT_CLIP_H

#include "playback/export_inner.h"

/* 2026-11-20T21:23:40.000Z */
#define EXPORT_CLIP_BEGIN_NS INT64_C(1795209820000000000)
#define EXPORT_CLIP_MAX 256u

struct export_clip {
    /* Tests may change them: times, flags, tracks; or take a fragment away (NULL: damaged). */
    struct frag_loaded *fragments[EXPORT_CLIP_MAX];
    size_t count;
    /* What a source does. */
    size_t next;
    size_t given; /* not given back yet */
    int error;    /* not 0: what comes after the last fragment */
};

/* Anything that goes wrong ends the program. A damaged end is left out. */
void export_clip_load(struct export_clip *clip, const char *path);
/* More fragments behind those there, `after_ns` later than in their file. */
void export_clip_append(struct export_clip *clip, const char *path, int64_t after_ns);
void export_clip_finish(struct export_clip *clip);
struct play_source export_clip_source(struct export_clip *clip);
/* Other values of the same, owned by the clip. */
void export_clip_set_tracks(struct frag_loaded *fragment, const struct kn_track *items,
                            size_t count);

#endif
