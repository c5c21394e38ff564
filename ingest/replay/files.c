#include "ingest/replay/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"

/* Takes the path over. */
static int add_path(struct ing_files *files, size_t *room, char *path) {
    if (path == NULL || files->count == ING_FILES_MAX) {
        int rc = path == NULL ? -ENOMEM : KN_E_LIMIT;
        free(path);
        return rc;
    }
    if (files->count == *room) {
        size_t larger = *room == 0 ? 16 : *room * 2;
        char **paths = realloc(files->paths, larger * sizeof(*paths));
        if (paths == NULL) {
            free(path);
            return -ENOMEM;
        }
        files->paths = paths;
        *room = larger;
    }
    files->paths[files->count++] = path;
    return 0;
}

static char *join(const char *folder, const char *name) {
    size_t size = strlen(folder);
    const char *slash = size > 0 && folder[size - 1] == '/' ? "" : "/";
    char *path = NULL;
    return asprintf(&path, "%s%s%s", folder, slash, name) < 0 ? NULL : path;
}

static bool is_plain_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static int add_entries(struct ing_files *files, const char *folder, DIR *dir) {
    const struct dirent *entry;
    size_t room = 0;
    /* Only this function reads the directory. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char *path = join(folder, entry->d_name);
        if (path != NULL && !is_plain_file(path)) {
            free(path);
            continue;
        }
        int rc = add_path(files, &room, path);
        if (rc != 0) {
            return rc;
        }
    }
    return -errno;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_folder(const char *path, struct ing_files *files) {
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return -errno;
    }
    int rc = add_entries(files, path, dir);
    (void)closedir(dir); /* it was only read */
    if (rc == 0 && files->count > 0) {
        qsort(files->paths, files->count, sizeof(*files->paths), compare_paths);
    }
    return rc;
}

int ing_files_list(const char *path, struct ing_files *ret_files) {
    struct ing_files files = {0};
    struct stat status;
    size_t room = 0;
    int rc = stat(path, &status) < 0 ? -errno : 0;
    if (rc == 0) {
        rc = S_ISDIR(status.st_mode) ? list_folder(path, &files)
                                     : add_path(&files, &room, strdup(path));
    }
    if (rc != 0) {
        ing_files_finish(&files);
        return rc;
    }
    *ret_files = files;
    return 0;
}

void ing_files_finish(struct ing_files *files) {
    for (size_t i = 0; i < files->count; i++) {
        free(files->paths[i]);
    }
    free(files->paths);
    *files = (struct ing_files){0};
}
