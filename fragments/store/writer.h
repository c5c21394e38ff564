/* Inner: what both ways into a writer share. */
#ifndef FRAGMENTS_STORE_WRITER_H
#define FRAGMENTS_STORE_WRITER_H

#include "fragments/store/cut.h"
#include "fragments/store/disk.h"

struct frag_writer {
    struct frag_session *session;
    struct frag_stream *stream;
    struct frag_folder *folder; /* where the last fragment went */

    bool missing; /* the next fragment begins behind a hole */

    /* Samples: what is being built. */
    struct kn_tracks *tracks;
    struct frag_cut cut;
    struct frag_fragment *fragment; /* NULL: none */
    struct kn_wall origin;          /* of the fragment at hand: its producer time */
    uint64_t timecode;
    bool fresh_reel;
    bool gap_noted; /* it drops because something is behind, and has said so */

    /* Clusters: what frag_writer_begin gave. */
    bool begun;
    struct frag_numbering numbering;
};

/* frag_writer_open for a stream of video, or of records. */
KN_MUST_CHECK int frag_writer_open_for(struct frag_stream *stream,
                                       const struct frag_writer_config *config, bool records,
                                       struct frag_writer **ret_writer);
/* Publishes a fragment and gives it to a disk, or, with retention 0, to the tail alone. The write
 * is used up. On failure nobody has heard of it. */
KN_MUST_CHECK int frag_writer_submit(struct frag_writer *writer, struct frag_write *write,
                                     int64_t duration_ns);
/* Whether a disk would take a fragment of this weight now: 0; -ENOSPC; -EAGAIN: too much waits for
 * it. */
KN_MUST_CHECK int frag_writer_ready(struct frag_writer *writer, size_t weight);
/* A gap of this cause is open from the end of the last fragment on (or from now). */
void frag_writer_note_gap(struct frag_writer *writer, enum frag_gap_cause cause);
/* A fragment begins: what is missing before it, the stream's next one says. */
void frag_writer_tell_missing(struct frag_writer *writer);
/* Tells BUFFERING. */
void frag_writer_tell_begin(const struct frag_writer *writer, struct frag_number number,
                            struct kn_wall producer, struct kn_wall server, uint64_t timecode);
/* The clock was stepped: listed as a gap. */
void frag_writer_note_step(struct frag_writer *writer, struct kn_wall server);

#endif
