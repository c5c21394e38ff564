#include "fragments/store/file_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define PATH_BYTES 4608
#define LEVELS 3 /* reels, <stream>, <date> */

struct walk {
    struct frag_io *io;
    const char *folder;
    struct frag_file_list *list;
};

struct names {
    char **items;
    size_t count, room;
    struct walk *walk;
    const char *below; /* of the storage directory */
    bool leaf;
};

static int add_file(struct frag_file_list *list, const char *below, const char *name,
                    uint64_t bytes) {
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 256 : list->room * 2;
        struct frag_file *files = realloc(list->files, room * sizeof(*files));
        if (files == NULL) {
            return -ENOMEM;
        }
        list->files = files;
        list->room = room;
    }
    char *path = NULL;
    if (asprintf(&path, "%s/%s", below, name) < 0) {
        return -ENOMEM;
    }
    list->files[list->count++] = (struct frag_file){.path = path, .bytes = bytes};
    return 0;
}

static int add_name(struct names *names, const char *name) {
    if (names->count == names->room) {
        size_t room = names->room == 0 ? 32 : names->room * 2;
        char **items = realloc(names->items, room * sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
        names->items = items;
        names->room = room;
    }
    names->items[names->count] = strdup(name);
    return names->items[names->count++] == NULL ? -ENOMEM : 0;
}

static bool is_reel_name(const char *name) {
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".mkv") == 0;
}

static int take_entry(const struct frag_io_entry *entry, void *user) {
    struct names *names = user;
    if (names->leaf) {
        return entry->folder || !is_reel_name(entry->name)
                   ? 0
                   : add_file(names->walk->list, names->below, entry->name, entry->bytes);
    }
    return entry->folder ? add_name(names, entry->name) : 0;
}

/* Names are collected first: the table's listing need not be able to nest. */
// NOLINTNEXTLINE(misc-no-recursion): LEVELS deep
static int walk_folder(struct walk *walk, const char *below, unsigned level) {
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof(path), "%s/%s", walk->folder, below);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return KN_E_LIMIT;
    }
    struct names names = {.walk = walk, .below = below, .leaf = level == LEVELS};
    int rc = walk->io->list(walk->io, path, take_entry, &names);
    for (size_t i = 0; i < names.count; i++) {
        if (rc >= 0) {
            length = snprintf(path, sizeof(path), "%s/%s", below,
                              names.items[i] != NULL ? names.items[i] : "");
            rc = length < 0 || (size_t)length >= sizeof(path) ? KN_E_LIMIT
                                                              : walk_folder(walk, path, level + 1);
        }
        free(names.items[i]);
    }
    free(names.items);
    return rc == -ENOENT ? 0 : rc;
}

static int compare(const void *a, const void *b) {
    const struct frag_file *left = a;
    const struct frag_file *right = b;
    return strcmp(left->path, right->path);
}

int frag_file_list_read(struct frag_io *io, const char *folder, struct frag_file_list *ret_list) {
    *ret_list = (struct frag_file_list){0};
    struct walk walk = {.io = io, .folder = folder, .list = ret_list};
    int rc = walk_folder(&walk, "reels", 1);
    if (ret_list->count > 0) {
        qsort(ret_list->files, ret_list->count, sizeof(ret_list->files[0]), compare);
    }
    return rc;
}

void frag_file_list_finish(struct frag_file_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->files[i].path);
    }
    free(list->files);
    *list = (struct frag_file_list){0};
}

struct frag_file *frag_file_list_find(const struct frag_file_list *list, const char *path) {
    size_t low = 0;
    size_t high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(list->files[middle].path, path);
        if (order == 0) {
            return &list->files[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}
