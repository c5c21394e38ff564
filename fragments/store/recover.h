/* Inner: one reel file, brought into the state in which the index takes it. */
#ifndef FRAGMENTS_STORE_RECOVER_H
#define FRAGMENTS_STORE_RECOVER_H

#include "fragments/store/engine.h"
#include "fragments/store/reel.h"

struct frag_mend_request {
    struct frag_store *store;
    struct frag_folder *folder;
    const char *path; /* below it */
    bool kept_later;  /* a kept reel is left for another call */
    /* Its open row in the index, whose fragments need not be read again; NULL: there is none. */
    struct frag_index *index;
    const struct frag_index_reel *known;
};

enum frag_mend_outcome {
    FRAG_MEND_CLOSED,  /* closed: `reel` and `table` are what the index takes */
    FRAG_MEND_EMPTY,   /* nothing of it counts: the file is gone, unless rows told of fragments */
    FRAG_MEND_LATER,   /* kept_later */
    FRAG_MEND_FOREIGN, /* of another store, or no reel of a version known here: left alone */
    FRAG_MEND_DAMAGED  /* left alone, and logged */
};

struct frag_mended {
    enum frag_mend_outcome outcome;
    bool scanned;   /* it had no good footer */
    bool damaged;   /* and has lost something that was in it, or may have */
    uint64_t found; /* fragments that no row told of */
    struct frag_index_reel reel;
    struct kn_writer table; /* finish it whatever the outcome */
};

/* 0, or what stops an opening: the machine's errors, but for those of this file alone. */
KN_MUST_CHECK int frag_mend_reel(const struct frag_mend_request *request,
                                 struct frag_mended *ret_mended);

/* What follows is before the row goes. 0, or as the journal answers. */

/* The whole reel: its file is not there. `reel` is as the index has it. */
KN_MUST_CHECK int frag_lost_reel(struct frag_store *store, const struct frag_folder *folder,
                                 const struct frag_index_reel *reel,
                                 struct frag_store_opening *opening);
/* Those fragments of its row that its file does not have, if any; or as the index answers. */
KN_MUST_CHECK int frag_lost_fragments(struct frag_index *index, const struct frag_folder *folder,
                                      const struct frag_index_reel *reel,
                                      const struct frag_mended *mended,
                                      struct frag_store_opening *opening);
#endif
