/* What the index told of and no file has any more: a gap for viewers, and its numbers are used. */
#include "base/log.h"
#include "fragments/store/open.h"
#include "fragments/store/recover.h"

/* The gap first, then the mark; the rows that tell of the loss go last. */
static int tell_lost(const struct frag_folder *folder, const struct frag_index_reel *reel,
                     struct frag_stream *stream, const struct frag_gap_entry *gap,
                     uint64_t fragments) {
    const struct frag_index_span *span = &reel->span;
    kn_log_error("fragments are gone: their file was removed or its disk has lost them",
                 kn_str("stream", stream->name), kn_str("folder", folder->path),
                 kn_str("reel", reel->path), kn_uint("fragments", fragments),
                 kn_uint("ordinal", gap->ordinal));
    const struct frag_value_mark mark = {.sequence = span->last_sequence,
                                         .ordinal = span->last_ordinal,
                                         .discontinuities = span->discontinuities};
    int rc = frag_gaps_add(stream, gap);
    return rc < 0 ? rc : frag_open_raise_mark(stream, &mark);
}

/* The stream whose viewers want to know; NULL. */
static struct frag_stream *stream_of(struct frag_store *store, const struct frag_index_reel *reel) {
    struct frag_stream *stream = frag_stream_by_id(store, reel->identity.stream_id);
    return stream == NULL || stream->deleting || reel->fragments == 0 ? NULL : stream;
}

int frag_lost_reel(struct frag_store *store, const struct frag_folder *folder,
                   const struct frag_index_reel *reel, struct frag_store_opening *opening) {
    const struct frag_index_span *span = &reel->span;
    struct frag_stream *stream = stream_of(store, reel);
    if (stream == NULL) {
        return 0;
    }
    opening->lost_files++;
    const struct frag_gap_entry gap = {
        .gap = {.from = span->server_min, .to = span->server_max, .cause = FRAG_GAP_FILE_LOST},
        .ordinal = span->first_ordinal,
        .ordinals = (uint32_t)(span->last_ordinal - span->first_ordinal + 1),
    };
    return tell_lost(folder, reel, stream, &gap, reel->fragments);
}

/* Rows of the index beside the table of what the file has. */
struct comparing {
    const struct frag_folder *folder;
    const struct frag_index_reel *reel;
    struct frag_stream *stream;
    struct frag_reel_table table;
    struct frag_reel_row row; /* the file's next one */
    bool more;
    struct frag_gap_entry gap; /* of rows one after the other that the file lacks */
    uint64_t fragments;        /* in it */
    bool any;
};

static int end_gap(struct comparing *comparing) {
    if (comparing->fragments == 0) {
        return 0;
    }
    uint64_t fragments = comparing->fragments;
    comparing->fragments = 0;
    comparing->any = true;
    return tell_lost(comparing->folder, comparing->reel, comparing->stream, &comparing->gap,
                     fragments);
}

static int compare_fragment(const struct frag_reel_row *known, void *user) {
    struct comparing *comparing = user;
    while (comparing->more && comparing->row.number.sequence < known->number.sequence) {
        comparing->more = frag_reel_table_next(&comparing->table, &comparing->row) == 1;
    }
    if (comparing->more && comparing->row.number.sequence == known->number.sequence) {
        return end_gap(comparing);
    }
    struct frag_gap_entry *gap = &comparing->gap;
    if (comparing->fragments++ == 0) {
        *gap = (struct frag_gap_entry){.gap = {.from = known->server, .cause = FRAG_GAP_FILE_LOST},
                                       .ordinal = known->ordinal};
    }
    gap->gap.to.ns = known->server.ns + known->duration_ns;
    gap->ordinals = (uint32_t)(known->ordinal - gap->ordinal + 1);
    return 0;
}

int frag_lost_fragments(struct frag_index *index, const struct frag_folder *folder,
                        const struct frag_index_reel *reel, const struct frag_mended *mended,
                        struct frag_store_opening *opening) {
    struct comparing comparing = {
        .folder = folder, .reel = reel, .stream = stream_of(folder->store, reel)};
    if (comparing.stream == NULL) {
        return 0;
    }
    comparing.more = mended->outcome == FRAG_MEND_CLOSED &&
                     frag_reel_table_open(&comparing.table, mended->table.data, mended->table.size,
                                          mended->reel.identity.number_low) == 0 &&
                     frag_reel_table_next(&comparing.table, &comparing.row) == 1;
    int rc = frag_index_each_fragment(index, reel->row, compare_fragment, &comparing);
    rc = rc < 0 ? rc : end_gap(&comparing);
    opening->lost_files += comparing.any ? 1 : 0;
    return rc;
}
