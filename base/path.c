#include "base/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The directory of a path, and the name in it; both in `copy`. */
static int split(const char *path, char copy[static PATH_MAX], const char **ret_folder,
                 const char **ret_name) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    if (size + 3 > PATH_MAX) {
        return -ENAMETOOLONG;
    }
    memcpy(copy, path, size);
    copy[size] = '\0';
    char *slash = strrchr(copy, '/');
    if (slash == NULL) {
        *ret_name = copy;
        *ret_folder = ".";
        return 0;
    }
    if (slash == copy) {
        *ret_folder = "/";
    } else {
        *slash = '\0';
        *ret_folder = copy;
    }
    *ret_name = slash + 1;
    return 0;
}

static int join(const char *folder, const char *between, const char *name,
                char ret_path[static PATH_MAX]) {
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s%s%s", folder, between, name);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return -ENAMETOOLONG;
    }
    memcpy(ret_path, path, (size_t)length + 1);
    return 0;
}

int kn_path_absolute(const char *path, char ret_absolute[static PATH_MAX]) {
    char found[PATH_MAX], copy[PATH_MAX];
    const char *folder, *name;
    if (realpath(path, found) != NULL) {
        return join(found, "", "", ret_absolute);
    }
    if (errno != ENOENT || path[0] == '\0') {
        return -errno;
    }
    int rc = split(path, copy, &folder, &name);
    if (rc == 0 && realpath(folder, found) == NULL) {
        rc = -errno;
    }
    return rc < 0 ? rc : join(found, strcmp(found, "/") == 0 ? "" : "/", name, ret_absolute);
}
