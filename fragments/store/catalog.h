/* The catalog: everything of a store that is not video (streams, settings, keys, holds, gaps,
 * seals, epochs), as values by kind and key, kept in the journal (docs/store-format.md, Journal).
 *
 *     frag_catalog_open -> frag_catalog_get, _each, _put, _delete ... -> frag_catalog_close
 *
 * A change is in effect once it is synced in at least one storage directory; the copies in the
 * others follow in the same call. A copy that did not take a change which is in effect is written
 * anew at once, whole; when that fails too it is FAILED: left behind until the next opening, or
 * until no copy is left and a change needs one, and reported. One thread (the index thread) owns a
 * catalog. */
#ifndef FRAGMENTS_STORE_CATALOG_H
#define FRAGMENTS_STORE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "fragments/store/io.h"
#include "fragments/store/journal.h" /* limits, frag_catalog_value */

#define FRAG_CATALOG_FOLDERS_MAX 16

/* Append only: stored. */
enum frag_catalog_kind {
    FRAG_CATALOG_STORE = 1, /* the store's own: epoch, version */
    FRAG_CATALOG_STREAM,
    FRAG_CATALOG_HOLD,
    FRAG_CATALOG_GAP,
    FRAG_CATALOG_SEAL,
    FRAG_CATALOG_SERVER = 64, /* server keeps its own things from here on */
    FRAG_CATALOG_HOOKS = 128  /* and ml-hooks from here on */
};

struct frag_catalog_config {
    struct frag_io *io;
    const char *const
        *folders;        /* storage directories that are there, the first one is the main one */
    size_t folder_count; /* 1 to FRAG_CATALOG_FOLDERS_MAX */
    uint8_t store_id[FRAG_ID_BYTES];
    /* No file is changed, and another process may be writing: what it had synced before the call is
     * there, what it changes meanwhile perhaps. A torn end is left out. -ENOENT: no journal is
     * there. put and delete answer -EROFS. */
    bool read_only;
    size_t max_bytes;     /* of all live keys and values, and 21 for each; 0: 256 MiB */
    size_t compact_bytes; /* smaller files are not compacted; 0: 1 MiB */
};

/* At opening for reading: what a writer would find and do. */
enum frag_catalog_copy {
    FRAG_COPY_GOOD,
    FRAG_COPY_MADE,    /* there was none: written anew */
    FRAG_COPY_BEHIND,  /* it was older or cut: brought up to date */
    FRAG_COPY_DAMAGED, /* good records stood behind a bad one: kept under another name, written anew
                        */
    FRAG_COPY_FOREIGN, /* of another store: not touched, not used */
    FRAG_COPY_FAILED   /* an error of the file system: not used */
};

struct frag_catalog_report {
    enum frag_catalog_copy copies[FRAG_CATALOG_FOLDERS_MAX];
    uint64_t records;   /* read from the copy that holds */
    uint64_t cut_bytes; /* of a torn record at its end */
};

struct frag_catalog;

/* 0. Nothing was changed with: KN_E_MALFORMED: no undamaged copy reaches as far as the damaged ones
 * once did; KN_E_UNSUPPORTED: a copy was written by a newer version; -EXDEV: all copies there are
 * belong to another store; KN_E_LIMIT: more than max_bytes. Else an errno, also when no copy could
 * be brought up to date. `ret_report` may be NULL; it is filled on failure too. */
KN_MUST_CHECK int frag_catalog_open(const struct frag_catalog_config *config,
                                    struct frag_catalog **ret_catalog,
                                    struct frag_catalog_report *ret_report);
/* Nothing is pending: every change was synced. NULL is fine. */
void frag_catalog_close(struct frag_catalog *catalog);

/* 0: synced. KN_E_LIMIT (key, value or max_bytes), -ENOMEM, -ENOSPC and others: not in effect, and
 * it may be tried again; KN_E_CLOSED: no copy can be written now; each change tries to write
 * the copies anew that failed since the opening. Where a sync had failed, the next opening may find
 * the change in effect after all.
 */
KN_MUST_CHECK int frag_catalog_put(struct frag_catalog *catalog, uint16_t kind, const void *key,
                                   size_t key_bytes, const void *value, size_t value_bytes);
/* As put; -ENOENT when there is no such key. */
KN_MUST_CHECK int frag_catalog_delete(struct frag_catalog *catalog, uint16_t kind, const void *key,
                                      size_t key_bytes);
/* 0 or -ENOENT. Borrowed until the next change of the catalog. */
KN_MUST_CHECK int frag_catalog_get(const struct frag_catalog *catalog, uint16_t kind,
                                   const void *key, size_t key_bytes,
                                   struct frag_catalog_value *ret_value);
/* All of a kind in order of their keys (bytewise). A negative answer ends it and is returned. The
 * catalog must not be changed meanwhile. */
KN_MUST_CHECK int frag_catalog_each(const struct frag_catalog *catalog, uint16_t kind,
                                    int (*each)(struct frag_catalog_value key,
                                                struct frag_catalog_value value, void *user),
                                    void *user);
/* As at opening, and which copies failed since: for the operator and for metrics. */
struct frag_catalog_report frag_catalog_report(const struct frag_catalog *catalog);

#endif
