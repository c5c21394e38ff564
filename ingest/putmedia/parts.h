/* Inner: a PutMedia body taken apart: its header, and fragments with what stands around them.
 *
 * A chunk is cut at the start of a Cluster, as the service that clients were made for does: Tags
 * behind a cluster belong to it, though its frames end where they begin. A cluster of known size is
 * complete with its last byte and waits for nothing; Tags behind it go to the next one. Tags before
 * the first cluster go to that one alone, everything else there is the header. */
#ifndef INGEST_PUTMEDIA_PARTS_H
#define INGEST_PUTMEDIA_PARTS_H

#include "base/bytes.h"
#include "ingest/putmedia/rules.h"

/* A fragment on its way. */
struct ing_part {
    struct ing_part *next;
    bool has_timecode;
    uint64_t timecode;
    int64_t time_ns;
    struct kn_wall server; /* when its first byte came */
    /* Its cluster is complete: samples, tracks and bytes are ours. */
    bool complete;
    struct frag_mkv_fragment fragment;
    struct kn_sample *samples;
    bool sealed; /* nothing is added any more */
    struct kn_writer before, after;
    /* Whoever submits it: */
    bool looked_up, candidate, compared, begun;
    struct frag_entry stored; /* candidate: what it may be a repetition of */
};

struct ing_parts {
    struct kn_wall now; /* of the bytes that are pushed; the caller's to set */
    bool relative;
    struct kn_wall producer_start;
    struct frag_mkv_reader *reader;
    int error; /* enum ing_put_error; 0: none */
    uint64_t timecode_scale_ns;
    struct kn_writer header;       /* of the document, once a part has begun */
    struct ing_part *first, *last; /* in order; the last one may be incomplete */
    size_t cluster_bytes;          /* pushed since a cluster began */
    /* Between clusters. */
    struct kn_writer pending;
    bool in_element, in_tags, kept, end_of_fragment;
    size_t element_at; /* in `pending` */
    size_t tags;
    bool header_over;
    struct ing_put_before before;
};

/* `budget`: for the clusters' bytes. 0 or -ENOMEM; finish it in either case. */
KN_MUST_CHECK int ing_parts_init(struct ing_parts *parts, struct kn_budget *budget);
void ing_parts_finish(struct ing_parts *parts);
/* Takes all of it. What is whole before a mistake stands; `error` says which one it was. */
void ing_parts_push(struct ing_parts *parts, const void *data, size_t size);
/* The body is over: the last part is sealed, or an error. */
void ing_parts_end(struct ing_parts *parts);
/* Frees the first part. */
void ing_parts_drop_first(struct ing_parts *parts);
/* Frees the part that is not sealed, if there is one. */
void ing_parts_cut(struct ing_parts *parts);
/* Of which a cluster has come in part; NULL: none. */
struct ing_part *ing_parts_open(const struct ing_parts *parts);
/* Producer time of a time of its clusters. */
struct kn_wall ing_parts_time(const struct ing_parts *parts, int64_t time_ns);

#endif
