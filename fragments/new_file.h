/* Inside of fragments/: a file that appears under its name only when it is complete, and leaves
 * nothing behind when it is not, even if the program is killed (where the file system can do that).
 */
#ifndef FRAGMENTS_NEW_FILE_H
#define FRAGMENTS_NEW_FILE_H

#include <limits.h>
#include <stdbool.h>

#include "base/attributes.h"

struct frag_new_file {
    int fd;              /* to write to */
    char part[PATH_MAX]; /* its name so far; empty: it has none */
};

/* In the folder of `path`. 0 or a negative errno. */
KN_MUST_CHECK int frag_new_file_open(const char *path, struct frag_new_file *ret_file);
/* Syncs it, gives it its name and closes it. -EEXIST: something has that name, and not `replace`.
 * On failure it is dropped. */
KN_MUST_CHECK int frag_new_file_keep(struct frag_new_file *file, const char *path, bool replace);
void frag_new_file_drop(struct frag_new_file *file);

#endif
