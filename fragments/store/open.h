/* Inner: the steps of opening a store. Each says in opening->problem what a person can do. */
#ifndef FRAGMENTS_STORE_OPEN_H
#define FRAGMENTS_STORE_OPEN_H

#include "fragments/store/engine.h"

/* What kinora rebuild wants of an opening for writing beside the rest. */
struct frag_open_hooks {
    bool new_index; /* the old one goes once journal and streams are read */
    /* After each reel file that recovery took up; a negative answer ends the opening and is
     * returned. */
    int (*progress)(const struct frag_check_progress *progress, void *user);
    void *user;
};

/* frag_store_open; `hooks` may be NULL, else it lives for the call. */
KN_MUST_CHECK int frag_open_with(const struct frag_store_config *config,
                                 const struct frag_open_hooks *hooks, struct frag_store **ret_store,
                                 struct frag_store_opening *ret_opening);

/* open_new.c, before anything is written. Whether `data` is a store, or may become one; also where
 * it must be one. 0; -ENOENT; -ENOTEMPTY; another errno. */
KN_MUST_CHECK int frag_open_check_main(struct frag_store *store,
                                       const struct frag_store_config *config,
                                       struct frag_store_opening *opening);
/* ... and of any directory that is to become one of a store's: it is empty, or not there, and in no
 * store but `except`, a main directory or NULL. */
KN_MUST_CHECK int frag_open_check_new(struct frag_io *io, const char *path, const char *except,
                                      struct frag_store_opening *opening);
/* open_folders.c: reads or writes the identity of the main directory, finds the others, and opens
 * the catalog over all that are online. */
KN_MUST_CHECK int frag_open_folders(struct frag_store *store,
                                    const struct frag_store_config *config,
                                    struct frag_store_opening *opening);
/* open_load.c: streams and their open gaps, out of the catalog. */
KN_MUST_CHECK int frag_open_streams(struct frag_store *store);
/* ... and once the index is there: where numbers go on, totals; writing: the gap since the last
 * fragment. `unknown`: the index may not tell of all numbers that were used. */
KN_MUST_CHECK int frag_open_numbers(struct frag_store *store, struct frag_index *index,
                                    bool unknown, struct frag_store_opening *opening);
/* Before that: these numbers were used, whatever the index tells. In the journal when it returns.
 * 0, or as frag_catalog_put. */
KN_MUST_CHECK int frag_open_raise_mark(struct frag_stream *stream,
                                       const struct frag_value_mark *mark);
/* recover.c: directories against rows, torn reels, deletions half done. What is wrong with single
 * files or further directories is counted in `opening`; *ret_numbers_unknown: some file may have
 * fragments that the index does not tell of. */
KN_MUST_CHECK int frag_recover(struct frag_store *store, struct frag_store_opening *opening,
                               bool *ret_numbers_unknown);

#endif
