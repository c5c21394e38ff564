/* Which files a replay has. */
#ifndef INGEST_REPLAY_FILES_H
#define INGEST_REPLAY_FILES_H

#include <stddef.h>

#include "base/attributes.h"

#define ING_FILES_MAX 100000u

struct ing_files {
    size_t count;
    char **paths;
};

/* The file itself, or what plain files a directory holds, by the bytes of their names; hidden ones
 * and directories in it are left out. 0; -ENOENT and the like; -ENOMEM; KN_E_LIMIT. */
KN_MUST_CHECK int ing_files_list(const char *path, struct ing_files *ret_files);
void ing_files_finish(struct ing_files *files);

#endif
