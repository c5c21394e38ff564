/* Inner: one producer's session as writer, disk and clerk share it, and a fragment on its way. */
#ifndef FRAGMENTS_STORE_SESSION_H
#define FRAGMENTS_STORE_SESSION_H

#include "fragments/store/engine.h"
#include "fragments/writer.h"

struct frag_open_reel;
struct frag_record_key;

/* Refcounted; but for the atomics and `reels` it does not change. */
struct frag_session {
    atomic_size_t refs;
    struct frag_stream *stream;
    uint8_t id[FRAG_ID_BYTES];
    uint32_t number_low;
    bool records;                     /* its reels hold records */
    struct frag_writer_config config; /* `header` is that of `header` here */
    struct kn_buffer *header;         /* NULL: none */
    atomic_size_t pending;            /* submitted, and no disk has looked at it yet */
    atomic_bool ended;
    /* What a disk has open for it: each place is that disk's thread's alone. */
    struct frag_open_reel *reels[FRAG_CATALOG_FOLDERS_MAX];
};

KN_MUST_CHECK int frag_session_create(struct frag_stream *stream,
                                      const struct frag_writer_config *config, bool records,
                                      struct frag_session **ret_session);
struct frag_session *frag_session_ref(struct frag_session *session);
/* The last one tells handle_closed. Any thread. */
void frag_session_unref(struct frag_session *session);

struct frag_write {
    struct frag_session *session;   /* a reference */
    struct frag_fragment *fragment; /* a reference; sealed, published */
    /* The cluster as received; NULL: it is packed from the samples. */
    struct kn_buffer *received;
    size_t received_head; /* of its own header, which is not stored */
    uint8_t received_width;
    bool received_unknown;
    uint8_t *around; /* before_bytes, then after_bytes */
    uint32_t before_bytes, after_bytes;
    uint64_t timecode;
    bool fresh_reel; /* the clock was stepped */
    /* Of a batch of records: its keys (owned) and which records it has. */
    struct frag_record_key *keys;
    size_t key_count;
    uint64_t first_record, records;
    struct kn_mono complete; /* when it left its writer */
    struct frag_reel_row row;
    int error;
};

/* Durable (error 0) or failed: settles it, acknowledges it, counts it and frees it. Any thread, no
 * lock held. */
void frag_write_finish(struct frag_write *write, int error);
/* Frees one of which nobody has heard. */
void frag_write_discard(struct frag_write *write);
size_t frag_write_weight(const struct frag_write *write);

/* ---- numbers (stream_number.c); any thread ---- */

struct frag_numbering {
    struct frag_number number;
    struct kn_wall server;
    bool stepped;
};

/* For a fragment that begins now (`server` 0: now). -EOVERFLOW: no numbers are left in this epoch.
 */
KN_MUST_CHECK int frag_stream_number(struct frag_stream *stream, uint32_t low,
                                     struct kn_wall server, struct frag_numbering *ret_numbering);
/* Gives ordinal and discontinuity count (and another number where a later one was published
 * already), seals, and publishes. On failure nobody hears of it: who drops the fragment then gives
 * the stream a discontinuity. */
KN_MUST_CHECK int frag_stream_publish(struct frag_stream *stream, struct frag_fragment *fragment,
                                      int64_t duration_ns);

#endif
