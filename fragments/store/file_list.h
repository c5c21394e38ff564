/* Inner: the reel files of a storage directory. */
#ifndef FRAGMENTS_STORE_FILE_LIST_H
#define FRAGMENTS_STORE_FILE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "fragments/store/io.h"

struct frag_file {
    char *path; /* below the directory */
    uint64_t bytes;
    bool seen; /* the owner's */
};

struct frag_file_list {
    struct frag_file *files; /* in order of their paths */
    size_t count, room;
};

/* All files reels/<stream>/<date>/<name>.mkv. 0 or an errno; finish the list in either case. A
 * directory without reels has none. */
KN_MUST_CHECK int frag_file_list_read(struct frag_io *io, const char *folder,
                                      struct frag_file_list *ret_list);
void frag_file_list_finish(struct frag_file_list *list);
/* NULL: it is not there. */
struct frag_file *frag_file_list_find(const struct frag_file_list *list, const char *path);

#endif
