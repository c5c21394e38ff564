/* Paths as the outside world gives them. */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include <limits.h>

#include "base/attributes.h"

/* Absolute and without links. `path` need not exist yet, the directory it is in must. Blocks. 0 or
 * a negative errno. */
KN_MUST_CHECK int kn_path_absolute(const char *path, char ret_absolute[static PATH_MAX]);

#endif
