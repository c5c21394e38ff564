/* Reading an index where nothing can be written: SQLite then cannot make its shared memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "fragments/store/index_inner.h"

/* A URI of the file that says that nobody changes it. NULL: no memory. */
static char *immutable_uri(const char *path) {
    static const char digits[] = "0123456789ABCDEF";
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-";
    /* An empty authority before an absolute path, which may itself begin with "//". */
    const char *scheme = path[0] == '/' ? "file://" : "file:";
    size_t room = 0;
    char *escaped =
        kn_size_mul(strlen(path), 3, &room) && kn_size_add(room, 1, &room) ? malloc(room) : NULL;
    if (escaped == NULL) {
        return NULL;
    }
    size_t used = 0;
    for (const char *at = path; *at != '\0'; at++) {
        uint8_t byte = (uint8_t)*at;
        if (strchr(plain, *at) != NULL) {
            escaped[used++] = *at;
        } else {
            escaped[used++] = '%';
            escaped[used++] = digits[byte >> 4];
            escaped[used++] = digits[byte & 15];
        }
    }
    escaped[used] = '\0';
    char *uri = NULL;
    int length = asprintf(&uri, "%s%s?immutable=1", scheme, escaped);
    free(escaped);
    return length < 0 ? NULL : uri;
}

/* 0: the file's folder may be written to. Else why not: -EROFS, -EACCES. */
static int folder_refusal(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL   ? strdup(".")
                   : slash == path ? strdup("/")
                                   : strndup(path, (size_t)(slash - path));
    if (folder == NULL) {
        return -ENOMEM;
    }
    int rc = faccessat(AT_FDCWD, folder, W_OK, AT_EACCESS) == 0 ? 0 : -errno;
    free(folder);
    return rc;
}

/* Is there anything in the log that the file itself does not have? */
static int log_has_content(const char *path, bool *ret_has) {
    char *name = NULL;
    struct stat info;
    if (asprintf(&name, "%s-wal", path) < 0) {
        return -ENOMEM;
    }
    int rc = stat(name, &info) == 0 ? 0 : -errno;
    free(name);
    if (rc != 0 && rc != -ENOENT) {
        return rc;
    }
    *ret_has = rc == 0 && info.st_size > 0;
    return 0;
}

/* What can come of a folder that is not to be written to. */
static bool may_be_unwritable(int rc) {
    return rc == -EROFS || rc == -EACCES || rc == -EPERM || rc == -ENOENT || rc == -EIO;
}

/* A full disk has no room for shared memory. A writer would have made it, so there is none. */
static bool is_full(int rc) {
    return rc == -ENOSPC || rc == -EDQUOT;
}

int frag_index_unwritable(const char *path, int failure, char **ret_uri) {
    bool has = false;
    int refusal = is_full(failure)             ? failure
                  : may_be_unwritable(failure) ? folder_refusal(path)
                                               : 0;
    if (refusal != -EROFS && refusal != -EACCES && !is_full(refusal)) {
        return refusal == -ENOMEM ? refusal : failure;
    }
    int rc = log_has_content(path, &has);
    if (rc != 0 || has) {
        return rc != 0 ? rc : refusal;
    }
    char *uri = immutable_uri(path);
    if (uri == NULL) {
        return -ENOMEM;
    }
    *ret_uri = uri;
    return 0;
}
