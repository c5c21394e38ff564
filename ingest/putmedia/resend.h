/* Inner: is a fragment one that the stream has already? These block. */
#ifndef INGEST_PUTMEDIA_RESEND_H
#define INGEST_PUTMEDIA_RESEND_H

#include "ingest/ingest.h"

/* Only among so many of the stream's newest fragments: what a client keeps to send again is less
 * than two minutes. */
#define ING_RESEND_NEWEST 128u

/* Zeroed at the beginning of a session, then only for these. */
struct ing_resend {
    bool looked;
    struct frag_entry latest; /* of the stream when the session began */
    bool over;                /* what comes from here on is newer than that: no need to ask */
    bool found;               /* `entry` has the time that was asked for */
    struct frag_entry entry;
};

/* The newest fragment of before the session that begins at `producer` exactly. What cannot be read
 * counts as not there. */
void ing_resend_find(struct ing_resend *resend, struct frag_archive *archive,
                     struct frag_stream *stream, struct kn_wall producer);
/* Whether the cluster is the stored one, byte by byte, whatever the form of its size. */
bool ing_resend_same(struct frag_archive *archive, const struct frag_entry *entry,
                     const struct frag_mkv_fragment *fragment);

#endif
