/* What a catalog holds in memory: values by kind and key, in order. A treap: changes of the order
 * need no memory, so a change that was prepared cannot fail, and neither can taking it back. One
 * thread. */
#ifndef FRAGMENTS_STORE_CATALOG_MAP_H
#define FRAGMENTS_STORE_CATALOG_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fragments/store/journal.h"

struct frag_map_entry {
    struct frag_map_entry *left, *right;
    uint32_t priority;
    uint16_t kind;
    struct frag_catalog_value key, value; /* in `bytes` */
    uint8_t bytes[];
};

struct frag_map {
    struct frag_map_entry *root;
    uint64_t count;
    uint64_t bytes; /* as records of a journal */
    uint64_t random;
};

/* Owns its entries; zeroed is empty. */
void frag_map_finish(struct frag_map *map);

/* To be freed with free(), or given to a map. NULL: out of memory. */
struct frag_map_entry *frag_map_entry_create(uint16_t kind, struct frag_catalog_value key,
                                             struct frag_catalog_value value);
/* Bytes of the record that says it. */
uint64_t frag_map_entry_bytes(const struct frag_map_entry *entry);

/* NULL when it is not there. */
struct frag_map_entry *frag_map_find(const struct frag_map *map, uint16_t kind,
                                     struct frag_catalog_value key);
/* The first one at (or, `above`, only behind) this place; NULL at the end. */
struct frag_map_entry *frag_map_seek(const struct frag_map *map, uint16_t kind,
                                     struct frag_catalog_value key, bool above);
/* The first, then the one behind `entry`, of all kinds. */
struct frag_map_entry *frag_map_next(const struct frag_map *map,
                                     const struct frag_map_entry *entry);
/* Takes `entry`; gives back the one that had its place, or NULL. */
struct frag_map_entry *frag_map_insert(struct frag_map *map, struct frag_map_entry *entry);
/* Gives `entry`, which is in the map, back. */
void frag_map_remove(struct frag_map *map, struct frag_map_entry *entry);

#endif
