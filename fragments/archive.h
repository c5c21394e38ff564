/* Reading back what is stored: where fragments are, and their samples.
 *
 *     frag_archive_open -> frag_archive_find_time -> frag_archive_load -> frag_loaded_free
 *
 * One thread at a time an archive; as many of them as there are readers. They never wait for the
 * writer. Everything here blocks. What is read is checked against its checksums: damage is
 * KN_E_MALFORMED, never wrong pictures. */
#ifndef FRAGMENTS_ARCHIVE_H
#define FRAGMENTS_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/sample.h"
#include "base/track.h"
#include "fragments/store.h"

#define FRAG_ARCHIVE_RANGE_MAX 1000u

/* A stored fragment. */
struct frag_entry {
    struct frag_number number;
    uint64_t ordinal;
    uint64_t discontinuities;
    struct kn_wall producer, server;
    int64_t duration_ns;
    unsigned flags;         /* enum frag_flags */
    uint64_t cluster_bytes; /* as stored */
    int64_t reel;           /* fragments of one reel have one codec setup */
    /* The rest is for frag_archive_load. */
    uint64_t cluster_at;
    uint32_t trailer_bytes;
    uint8_t stream[FRAG_ID_BYTES]; /* its id */
};

struct frag_archive;

/* 0, -ENOMEM, or as the index answers. The store outlives it. */
KN_MUST_CHECK int frag_archive_open(struct frag_store *store, struct frag_archive **ret_archive);
void frag_archive_close(struct frag_archive *archive);

/* Only what retention lets be seen. 0; -ENOENT: nothing found, or the stream is deleted;
 * KN_E_MALFORMED: the index is damaged (kinora rebuild); an errno. */

KN_MUST_CHECK int frag_archive_find_number(struct frag_archive *archive, struct frag_stream *stream,
                                           uint64_t sequence, struct frag_entry *ret_entry);
/* The fragment in which an instant lies: of those that begin at or before it, the one that begins
 * last; of equal beginnings the one with the largest number. It may have ended before `time`. */
KN_MUST_CHECK int frag_archive_find_time(struct frag_archive *archive, struct frag_stream *stream,
                                         enum frag_clock clock, struct kn_wall time,
                                         struct frag_entry *ret_entry);
KN_MUST_CHECK int frag_archive_earliest(struct frag_archive *archive, struct frag_stream *stream,
                                        struct frag_entry *ret_entry);
KN_MUST_CHECK int frag_archive_latest(struct frag_archive *archive, struct frag_stream *stream,
                                      struct frag_entry *ret_entry);
/* Fragments that begin in [from, to], both ends in, by number, with a sequence above `after` (0 to
 * begin): how many, at most `max` (1 to FRAG_ARCHIVE_RANGE_MAX); 0: no more. Go on with the last
 * one's sequence. */
KN_MUST_CHECK int frag_archive_range(struct frag_archive *archive, struct frag_stream *stream,
                                     enum frag_clock clock, struct kn_wall from, struct kn_wall to,
                                     uint64_t after, struct frag_entry *entries, size_t max);

/* A fragment's samples, ready for playback as frag_mkv_reader gives them, and its bytes as
 * received. */
struct frag_loaded {
    struct frag_entry entry;
    struct kn_tracks *tracks;        /* as recorded, with private data wherever it could be had */
    const struct kn_sample *samples; /* times from entry.producer; decode order */
    size_t sample_count;
    /* As GetMedia and export to Matroska need it; all of it borrowed from this object. */
    const uint8_t *cluster; /* whole element, 8-byte size */
    size_t cluster_bytes;
    const uint8_t *before, *after; /* level-1 elements around it */
    size_t before_bytes, after_bytes;
    uint8_t received_width; /* of its size field as received; 0: the cluster was made here */
    bool received_unknown;
    uint64_t timecode_scale_ns;
};

/* 0; -ENOENT: retention took it; KN_E_MALFORMED: it is damaged on disk, or its file is lost;
 * -ENODEV: its storage directory is offline; KN_E_MEMORY_LIMIT; an errno. `entry` must be this
 * store's; where retention has copied it to a kept reel meanwhile, or the index was made again, it
 * is found where it is now, and ret_loaded's entry says so. Reels stay open for a short while, so
 * that a run of fragments costs one opening; at most 32 at once and 30 s behind their deletion. */
KN_MUST_CHECK int frag_archive_load(struct frag_archive *archive, const struct frag_entry *entry,
                                    struct frag_loaded **ret_loaded);
void frag_loaded_free(struct frag_loaded *loaded);
/* The producer's bytes before its first cluster, of the reel of an entry: free() them; NULL and 0
 * bytes for reels whose clusters were made here. Answers as frag_archive_load. */
KN_MUST_CHECK int frag_archive_load_header(struct frag_archive *archive,
                                           const struct frag_entry *entry, uint8_t **ret_header,
                                           size_t *ret_bytes);

#endif
