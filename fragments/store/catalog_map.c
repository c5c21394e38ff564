#include "fragments/store/catalog_map.h"

#include <stdlib.h>
#include <string.h>

static int compare(uint16_t kind, struct frag_catalog_value key,
                   const struct frag_map_entry *entry) {
    if (kind != entry->kind) {
        return kind < entry->kind ? -1 : 1;
    }
    size_t common = key.size < entry->key.size ? key.size : entry->key.size;
    int order = common > 0 ? memcmp(key.data, entry->key.data, common) : 0;
    if (order != 0) {
        return order;
    }
    return (key.size > entry->key.size) - (key.size < entry->key.size);
}

struct frag_map_entry *frag_map_entry_create(uint16_t kind, struct frag_catalog_value key,
                                             struct frag_catalog_value value) {
    KN_ASSERT(key.size <= FRAG_CATALOG_KEY_MAX && value.size <= FRAG_CATALOG_VALUE_MAX);
    struct frag_map_entry *entry = malloc(sizeof(*entry) + key.size + value.size);
    if (entry == NULL) {
        return NULL;
    }
    *entry = (struct frag_map_entry){
        .kind = kind,
        .key = {entry->bytes, key.size},
        .value = {entry->bytes + key.size, value.size},
    };
    if (key.size > 0) {
        memcpy(entry->bytes, key.data, key.size);
    }
    if (value.size > 0) {
        memcpy(entry->bytes + key.size, value.data, value.size);
    }
    return entry;
}

uint64_t frag_map_entry_bytes(const struct frag_map_entry *entry) {
    return FRAG_JOURNAL_RECORD_HEAD_BYTES + entry->key.size + entry->value.size;
}

/* Where the entry hangs, or would hang in a tree without priorities. */
static struct frag_map_entry **find_link(struct frag_map *map, uint16_t kind,
                                         struct frag_catalog_value key) {
    struct frag_map_entry **link = &map->root;
    while (*link != NULL) {
        int order = compare(kind, key, *link);
        if (order == 0) {
            break;
        }
        link = order < 0 ? &(*link)->left : &(*link)->right;
    }
    return link;
}

struct frag_map_entry *frag_map_find(const struct frag_map *map, uint16_t kind,
                                     struct frag_catalog_value key) {
    struct frag_map_entry *entry = frag_map_seek(map, kind, key, false);
    return entry != NULL && compare(kind, key, entry) == 0 ? entry : NULL;
}

struct frag_map_entry *frag_map_seek(const struct frag_map *map, uint16_t kind,
                                     struct frag_catalog_value key, bool above) {
    struct frag_map_entry *entry = map->root, *best = NULL;
    while (entry != NULL) {
        int order = compare(kind, key, entry);
        if (order < 0 || (order == 0 && !above)) {
            best = entry;
            entry = entry->left;
        } else {
            entry = entry->right;
        }
    }
    return best;
}

struct frag_map_entry *frag_map_next(const struct frag_map *map,
                                     const struct frag_map_entry *entry) {
    if (entry == NULL) {
        return frag_map_seek(map, 0, (struct frag_catalog_value){NULL, 0}, false);
    }
    return frag_map_seek(map, entry->kind, entry->key, true);
}

static uint32_t next_priority(struct frag_map *map) {
    map->random += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = (map->random ^ map->random >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)(z >> 32);
}

static void replace(struct frag_map_entry **link, struct frag_map_entry *entry) {
    struct frag_map_entry *old = *link;
    entry->left = old->left;
    entry->right = old->right;
    entry->priority = old->priority;
    *link = entry;
}

static void hang_in(struct frag_map *map, struct frag_map_entry *entry) {
    struct frag_map_entry **link = &map->root;
    entry->priority = next_priority(map);
    while (*link != NULL && (*link)->priority >= entry->priority) {
        link = compare(entry->kind, entry->key, *link) < 0 ? &(*link)->left : &(*link)->right;
    }
    /* What hung here is split into what comes before and what comes behind the entry. */
    struct frag_map_entry *rest = *link, **before = &entry->left, **behind = &entry->right;
    *link = entry;
    while (rest != NULL) {
        if (compare(entry->kind, entry->key, rest) < 0) {
            *behind = rest;
            behind = &rest->left;
            rest = rest->left;
        } else {
            *before = rest;
            before = &rest->right;
            rest = rest->right;
        }
    }
    *before = NULL;
    *behind = NULL;
}

struct frag_map_entry *frag_map_insert(struct frag_map *map, struct frag_map_entry *entry) {
    struct frag_map_entry **link = find_link(map, entry->kind, entry->key);
    struct frag_map_entry *old = *link;
    map->bytes += frag_map_entry_bytes(entry);
    if (old == NULL) {
        hang_in(map, entry);
        map->count++;
    } else {
        replace(link, entry);
        map->bytes -= frag_map_entry_bytes(old);
    }
    return old;
}

void frag_map_remove(struct frag_map *map, struct frag_map_entry *entry) {
    struct frag_map_entry **link = find_link(map, entry->kind, entry->key);
    struct frag_map_entry *before = entry->left, *behind = entry->right;
    KN_ASSERT(*link == entry);
    while (before != NULL && behind != NULL) {
        if (before->priority >= behind->priority) {
            *link = before;
            link = &before->right;
            before = before->right;
        } else {
            *link = behind;
            link = &behind->left;
            behind = behind->left;
        }
    }
    *link = before != NULL ? before : behind;
    map->count--;
    map->bytes -= frag_map_entry_bytes(entry);
}

void frag_map_finish(struct frag_map *map) {
    struct frag_map_entry *entry = map->root;
    while (entry != NULL) {
        struct frag_map_entry *left = entry->left, *right = entry->right;
        if (left != NULL) {
            /* Turn right until nothing hangs on the left: needs no stack. */
            entry->left = left->right;
            left->right = entry;
            entry = left;
        } else {
            free(entry);
            entry = right;
        }
    }
    *map = (struct frag_map){0};
}
