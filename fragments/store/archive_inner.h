/* What the files of the archive share: the index connection and the reels that are open. Same
 * thread rule as the face. */
#ifndef FRAGMENTS_STORE_ARCHIVE_INNER_H
#define FRAGMENTS_STORE_ARCHIVE_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attributes.h"
#include "fragments/archive.h"
#include "fragments/store/engine.h"
#include "fragments/store/index.h"

#define FRAG_ARCHIVE_REELS 32
/* Clusters are read in pieces of so many bytes, which stay in the processor's cache from the disk's
 * copy over the checksum to the reader's copy. */
#define FRAG_ARCHIVE_PIECE_BYTES ((size_t)128 * 1024)

/* A reel that stays open. */
struct frag_archive_reel {
    int64_t row; /* of the index; 0: none */
    uint64_t used;
    bool gone; /* from the index, first seen at gone_at */
    struct kn_mono gone_at;
    int fd;
    struct frag_reel_identity identity;
    uint64_t first_cluster_at;
    struct kn_tracks *tracks;
};

struct frag_archive {
    struct frag_store *store;
    struct frag_index *index;
    dev_t index_device; /* of the index's file when it was opened; 0 and 0: not known */
    ino_t index_file;
    struct frag_archive_reel reels[FRAG_ARCHIVE_REELS];
    uint64_t uses;
    struct kn_mono looked; /* when the index was last asked whether open reels are still there */
    uint8_t *room; /* FRAG_ARCHIVE_PIECE_BYTES, or a trailer; the part that is used takes memory */
};

/* ---- the index (archive.c) ---- */

/* Before anything else of a call: another index where its file was replaced, reels that have to be
 * closed. */
void frag_archive_refresh(struct frag_archive *archive);
/* The index is damaged: 0 where another connection could be had, which may answer better. Closes
 * all reels, for another index has other rows. */
KN_MUST_CHECK int frag_archive_reopen(struct frag_archive *archive);
/* frag_archive_range of those batches of records that have the key; NULL: of all. */
KN_MUST_CHECK int frag_archive_range_of_key(struct frag_archive *archive,
                                            struct frag_stream *stream, enum frag_clock clock,
                                            struct kn_wall from, struct kn_wall to, uint64_t after,
                                            const struct frag_record_key *key,
                                            struct frag_entry *entries, size_t max);
/* The place of the fragment as the index has it now, also behind retention. As the index. */
KN_MUST_CHECK int frag_archive_locate(struct frag_archive *archive, const struct frag_entry *entry,
                                      struct frag_entry *ret_entry);
struct frag_entry frag_archive_entry_of(int64_t reel, const struct frag_reel_row *row,
                                        const uint8_t stream[static FRAG_ID_BYTES]);

/* ---- reels (archive_reels.c) ---- */

/* The reel of the entry, opened; valid until the next call. -ENOENT: it is gone; KN_E_MALFORMED: it
 * is damaged or lost; -ENODEV; an errno. */
KN_MUST_CHECK int frag_archive_get_reel(struct frag_archive *archive,
                                        const struct frag_entry *entry,
                                        struct frag_archive_reel **ret_reel);
/* Closes those that have been gone for long, and from time to time asks which are. */
void frag_archive_sweep(struct frag_archive *archive);
void frag_archive_close_reels(struct frag_archive *archive);

#endif
