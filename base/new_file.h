/* A file that appears under its name only when it is complete, and leaves nothing behind when it is
 * not, even if the program is killed (where the file system can do that).
 *
 *     kn_new_file_open -> write to `fd` -> kn_new_file_keep or kn_new_file_drop
 *
 * All of them block. */
#ifndef BASE_NEW_FILE_H
#define BASE_NEW_FILE_H

#include <limits.h>
#include <stdbool.h>

#include "base/attributes.h"

struct kn_new_file {
    int fd;              /* to write to, and to read from */
    char part[PATH_MAX]; /* its name so far; empty: it has none */
};

/* In the folder of `path`. 0 or a negative errno. */
KN_MUST_CHECK int kn_new_file_open(const char *path, struct kn_new_file *ret_file);
/* The same for a secret: its owner alone can open it, from the first moment on. */
KN_MUST_CHECK int kn_new_file_open_private(const char *path, struct kn_new_file *ret_file);
/* Syncs it, gives it its name and closes it. -EEXIST: something has that name, and not `replace`.
 * On failure it is dropped. */
KN_MUST_CHECK int kn_new_file_keep(struct kn_new_file *file, const char *path, bool replace);
void kn_new_file_drop(struct kn_new_file *file);

#endif
