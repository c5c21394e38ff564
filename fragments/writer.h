/* Recording: one session of one producer, into fragments of one stream.
 *
 *     frag_writer_open -> frag_writer_tracks -> frag_writer_sample ... -> frag_writer_close
 *     frag_writer_open -> frag_writer_received ...                     -> frag_writer_close
 *
 * The first way builds fragments of samples (cameras), the second stores clusters as they came
 * (PutMedia). One thread at a time; nothing here blocks, with threads in the store. */
#ifndef FRAGMENTS_WRITER_H
#define FRAGMENTS_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "fragments/matroska.h"
#include "fragments/store.h"

enum frag_ack_kind {
    FRAG_ACK_BUFFERING, /* a fragment has begun */
    FRAG_ACK_DURABLE,   /* it is synced (retention 0: complete), and will be found */
    FRAG_ACK_FAILED     /* it is lost: `error` says why */
};

struct frag_ack {
    enum frag_ack_kind kind;
    struct frag_number number; /* of two sessions at once, another one than at BUFFERING, perhaps */
    struct kn_wall producer, server;
    uint64_t timecode; /* of its cluster, raw */
    /* Of a batch of records (records.h): its first one and how many. */
    uint64_t first_record, records;
    int error; /* FAILED */
};

struct frag_writer_config {
    /* Of clusters as received; see frag_writer_received. */
    const uint8_t *header; /* what came before the first cluster */
    size_t header_bytes;
    uint64_t timecode_scale_ns; /* 0: 1 ms */
    bool relative;              /* timecodes count from producer_start */
    struct kn_wall producer_start;
    /* BUFFERING on the caller's thread, the others on one of the store's: it must not block, and
     * not call the store or the writer. Acks come in order of submission as long as no disk fails.
     * NULL: none. After frag_writer_close acks may still come, until `handle_closed`. */
    void (*handle_ack)(const struct frag_ack *ack, void *user);
    /* Once, after the last ack: `user` may be freed. May be NULL. */
    void (*handle_closed)(void *user);
    void *user;
};

struct frag_writer;

/* 0; -EROFS; KN_E_CLOSED (the stream is deleted or the store closing); KN_E_LIMIT (header over 16
 * MiB); -EINVAL (also: the stream is for records); -ENOMEM. `config` is copied. */
KN_MUST_CHECK int frag_writer_open(struct frag_stream *stream,
                                   const struct frag_writer_config *config,
                                   struct frag_writer **ret_writer);
/* Seals what is being built (frag_writer_cut), and opens a gap from its end on, with this cause;
 * the next fragment of the stream closes it. NULL is fine. */
void frag_writer_close(struct frag_writer *writer, enum frag_gap_cause cause);
/* The same where part of a fragment is of no use: what is being built is dropped. */
void frag_writer_abort(struct frag_writer *writer, enum frag_gap_cause cause);

/* ---- samples ---- */

/* Before the first sample, and whenever anything of them changes: the fragment at hand is sealed.
 * 0, -ENOMEM. Keeps a reference. */
KN_MUST_CHECK int frag_writer_tracks(struct frag_writer *writer, struct kn_tracks *tracks);
/* `sample->pts_ns` counts from `origin` (its time is their sum); in decode order. Keeps a
 * reference of the buffer. Fragments are cut at key frames of the first video track once they last
 * as long as the stream aims at; at 20 s or FRAG_MAX_BYTES by force; by time where there is no
 * video. What comes before the first key frame is dropped and counted. 0, also where the sample was
 * dropped because disk or memory are behind (a gap says so, recording goes on at the next key
 * frame); -EINVAL (no such track); KN_E_CLOSED (the stream was deleted). */
KN_MUST_CHECK int frag_writer_sample(struct frag_writer *writer, struct kn_wall origin,
                                     const struct kn_sample *sample);
/* The fragment at hand ends here; the next sample that can begin one does. */
void frag_writer_cut(struct frag_writer *writer);
/* Something is missing here (lost packets, a reconnect): the next fragment says so, and where
 * `gap` is not NULL the stream's gaps list it. */
void frag_writer_discontinuity(struct frag_writer *writer, const struct frag_gap *gap);

/* ---- clusters as received ---- */

struct frag_received {
    const struct frag_mkv_fragment *fragment; /* of the sample reader */
    int64_t duration_ns;
    const uint8_t *before, *after; /* level-1 elements that stood around the cluster */
    size_t before_bytes, after_bytes;
    struct kn_wall server; /* when its first byte came; 0: now */
};

/* The number that the next fragment will have; BUFFERING tells it. Once per fragment, before its
 * frag_writer_received. */
KN_MUST_CHECK int frag_writer_begin(struct frag_writer *writer, uint64_t timecode,
                                    struct kn_wall server);
/* Copies what is not a reference. 0: it will be acknowledged. -EAGAIN: the disk is behind (1,024
 * fragments or 256 MiB wait for it, or 128 of this stream), stop reading and try again: nobody has
 * heard of it, and taken later it follows the one before without a discontinuity; -ENOSPC: the disk
 * is full, likewise; KN_E_MEMORY_LIMIT likewise;
 * KN_E_CLOSED; KN_E_LIMIT (over FRAG_REEL_AROUND_MAX or the limits of a fragment); -EINVAL. */
KN_MUST_CHECK int frag_writer_received(struct frag_writer *writer,
                                       const struct frag_received *received);

#endif
