/* Inside of media: what its parts see of each other.
 *
 *   media.c           the reader: from phase to phase
 *   media_store.c     what a worker does: where to begin, and the next fragment of the store
 *   media_live.c      what the tail tells, and documents out of that
 *   media_document.c  headers, tags and clusters as bytes
 *
 *   from     event                       to
 *   SEEK     the place is known          STORE
 *   STORE    no more is stored           JOIN
 *   JOIN     subscribed                  CATCH_UP (NOW: LIVE)
 *   CATCH_UP no more is stored           LIVE
 *   LIVE     the tail went ahead of us   STORE (NOW, nothing given yet: JOIN)
 *   LIST     all numbers are given       OVER
 *   any      deleted, or an error        OVER */
#ifndef PLAYBACK_MEDIA_INNER_H
#define PLAYBACK_MEDIA_INNER_H

#include <stddef.h>

#include "base/bytes.h"
#include "playback/playback.h"

enum play_media_phase {
    PLAY_MEDIA_SEEK,
    PLAY_MEDIA_STORE,
    PLAY_MEDIA_JOIN,
    PLAY_MEDIA_CATCH_UP,
    PLAY_MEDIA_LIVE,
    PLAY_MEDIA_NUMBERS,
    PLAY_MEDIA_OVER
};

/* ---- bytes that are ready: references ---- */

#define PLAY_PIECES_MAX 8u
struct play_pieces {
    struct kn_buffer *items[PLAY_PIECES_MAX];
    size_t first, count;
};

void play_pieces_clear(struct play_pieces *pieces);
/* Takes the reference; there is room. */
void play_pieces_add(struct play_pieces *pieces, struct kn_buffer *buffer);
/* What the writer holds, which is emptied. 0 or -ENOMEM. */
KN_MUST_CHECK int play_pieces_add_text(struct play_pieces *pieces, struct kn_writer *text);

/* ---- documents ---- */

struct play_document_about {
    struct frag_number number;
    struct kn_wall producer, server;
};

/* A header of the producer with its Segment of unknown size; NULL: one made of tracks. */
void play_document_header(struct kn_writer *text, const uint8_t *header, size_t header_bytes,
                          struct kn_tracks *tracks, uint64_t timecode_scale_ns);
/* The tags before a cluster, and those behind it. */
void play_document_begin(struct kn_writer *text, const struct play_document_about *about);
void play_document_end(struct kn_writer *text, struct frag_number number, int64_t behind_ns);
/* The head of a cluster of `body_bytes` as it was received. */
void play_document_cluster(struct kn_writer *text, unsigned width, bool unknown,
                           uint64_t body_bytes);
/* A document that tells of an error: in GetMedia, and in the answer to a list. `number` may be
 * NULL. */
void play_document_error(struct kn_writer *text, const struct frag_number *number, int id,
                         const char *message, bool of_list);

struct play_blocks {
    struct kn_tracks *tracks;
    uint64_t timecode_scale_ns;
    struct kn_wall producer;
    const struct kn_sample *samples;
    size_t count, from; /* samples from `from` on */
};
/* From 0 on a whole cluster, of unknown size where `open`; else blocks to go on with. 0, -ENOMEM,
 * -ERANGE, -EINVAL. */
KN_MUST_CHECK int play_document_blocks(struct play_pieces *pieces, struct frag_mkv_packer *packer,
                                       const struct play_blocks *blocks, bool open);

/* ---- the reader ---- */

enum play_media_found {
    PLAY_MEDIA_NONE,      /* no more is stored */
    PLAY_MEDIA_GIVEN,     /* a fragment, or what is wrong with it */
    PLAY_MEDIA_CONTINUED, /* the end of one that was begun */
    PLAY_MEDIA_PASSED     /* only what cannot be read: ask again */
};

/* What a worker is asked for and answers; the loop's while none is at work. */
struct play_media_job {
    bool done;
    enum play_media_found found;
    int rc;         /* below 0: it ends; above: with this error told */
    uint64_t after; /* the last sequence that was given or passed over */
    uint64_t ordinal;
    bool filters;            /* nothing was given yet: what ended before `time` is passed over */
    struct kn_wall head;     /* where the newest fragment ends that is known, by the server */
    struct frag_number open; /* sequence not 0: a document that is given up to sample ... */
    size_t open_from;        /* ... this one */
    struct play_pieces pieces;
    size_t list_at;
    /* The worker's own from call to call: */
    struct frag_entry entries[16];
    size_t entry_count, entry_at;
    int64_t header_reel;
    bool has_header;
    uint8_t *header;
    size_t header_bytes;
};

struct play_media_live {
    struct frag_subscription *subscription;
    bool ended, behind;
    /* A sample was heard: the next one that has another number is the first of its fragment. */
    bool heard_sample;
    /* Complete, oldest first, each a reference. */
    struct frag_fragment *waiting[PLAY_MEDIA_WAITING_MOST];
    size_t waiting_count, waiting_bytes;
    /* The one being recorded: samples that were not given yet, from its first one on or from where
     * the document stands. */
    struct frag_number building;
    struct kn_wall producer;
    struct kn_tracks *tracks;
    bool follows; /* its samples are given as they come */
    struct kn_sample samples[64];
    size_t sample_first, sample_count;
    uint64_t given; /* of its samples */
};

/* Owners: whoever made it, and each subscription until it is closed. Loop thread. */
struct play_media {
    size_t refs;
    size_t closing; /* subscriptions that were left */
    struct play_media_config config;
    struct frag_number *numbers;
    enum play_media_phase phase;
    struct play_pieces pieces;
    struct play_media_job job;
    struct play_media_live live;
    struct frag_mkv_packer *packer;
    uint64_t after, ordinal;
    bool begun;     /* something was given */
    bool stored;    /* the stream has a store behind its tail */
    bool restarted; /* the tail was left, and nothing given since */
    struct kn_wall head;
    /* A document that is not at its end; sequence 0: none. */
    struct frag_number open;
    size_t open_from;
    uint64_t fragments;
};

void play_media_unref(struct play_media *media);

/* Worker: job -> job. */
void play_media_store_seek(struct play_media *media, struct frag_archive *archive);
void play_media_store_next(struct play_media *media, struct frag_archive *archive);
void play_media_store_listed(struct play_media *media, struct frag_archive *archive);
bool play_media_is_deleted(const struct play_media *media);

/* 0, or as play_media_next fails. */
KN_MUST_CHECK int play_media_live_join(struct play_media *media);
void play_media_live_leave(struct play_media *media);
/* 1: something changed; 0: nothing to do; below: a failure. */
KN_MUST_CHECK int play_media_live_step(struct play_media *media);

/* How far what ends at `end` is behind the head. */
int64_t play_media_behind(struct kn_wall head, struct kn_wall end);
/* Ended, by the clock of the selector, before the time asked for. */
bool play_media_is_before(const struct play_media_config *config, struct kn_wall producer,
                          struct kn_wall server, int64_t duration_ns);

#endif
