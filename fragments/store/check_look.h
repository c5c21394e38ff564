/* One look at one reel, for check_reel.c, which decides whether another is needed: what must stand
 * in the file (check_expect.c), and what does (check_look.c). */
#ifndef FRAGMENTS_STORE_CHECK_LOOK_H
#define FRAGMENTS_STORE_CHECK_LOOK_H

#include "fragments/store/check_inner.h"
#include "fragments/store/reel_file.h"

struct frag_check_look {
    struct frag_check *check;
    const char *path; /* whole */
    char stream[FRAG_STREAM_NAME_BYTES];
    struct frag_reel_identity identity;
    uint64_t file_bytes;
    uint64_t passed; /* bytes told to the progress */

    bool has_row, row_told;
    struct frag_index_reel row;
    char row_path[FRAG_INDEX_PATH_BYTES];

    uint64_t seal;  /* behind it nothing counts */
    uint64_t limit; /* nothing from here on is looked at */
    bool closed;    /* the page says so */
    struct frag_reel_places places;
    bool has_table;
    struct kn_writer table;

    /* What must stand in the file, as its table says, else the index; in order. `next` is behind
     * those that were met, or are known to be lost. */
    struct frag_reel_row *rows;
    size_t count, room, next;
    bool expects;

    bool end_told;   /* page or table are damaged: what they should have named is no news */
    uint64_t cut_to; /* the file is shorter than this, which it once had; 0: it is not */
    uint64_t lost_in_cut;
    struct frag_number first_in_cut;
    uint64_t fragments;
};

uint64_t frag_check_row_end(const struct frag_reel_row *row);
/* What a packed table holds of them. */
bool frag_check_same_row(const struct frag_reel_row *a, const struct frag_reel_row *b);

/* "... <the reel>: kinora rebuild ...", of the index's file. */
KN_MUST_CHECK int frag_check_tell_index(struct frag_check_look *look,
                                        enum frag_check_severity severity, const char *what);
extern const char frag_check_other_fragments[];
/* An index that cannot be read is told, and the file stands for itself: 0, or what ends the walk.
 */
KN_MUST_CHECK int frag_check_after_index(struct frag_check_look *look, int rc);

/* Sets `rows`, and compares the index with the table where there are both. */
KN_MUST_CHECK int frag_check_expect(struct frag_check_look *look);
/* Of a closed reel of records: the index's keys against its batches (check_keys.c). */
KN_MUST_CHECK int frag_check_keys(struct frag_check_look *look);
/* All of it: `row` as it is now. 0; -ENOENT: the file is gone; or what ends the walk. */
KN_MUST_CHECK int frag_check_look_once(struct frag_check_look *look);
/* The file was read up to `at`: told to the progress, once for all looks. */
KN_MUST_CHECK int frag_check_pace(struct frag_check_look *look, uint64_t at);

#endif
