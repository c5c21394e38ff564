/* Which version the index's tables have, and how they get to the newest. One thread at a time. */
#ifndef FRAGMENTS_STORE_INDEX_SCHEMA_H
#define FRAGMENTS_STORE_INDEX_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attributes.h"

struct sqlite3;

#define FRAG_INDEX_APPLICATION_ID 0x4b4e4931 /* "KNI1" */

/* schema.sql, put in by the build. */
extern const char frag_index_schema_1[];

/* Step n makes version n + 1 out of version n; step 0 begins with an empty database. */
struct frag_index_steps {
    const char *const *sql;
    int count;
};

struct frag_index_steps frag_index_steps(void);

/* 0 and the version, 0 for an empty database. KN_E_MALFORMED: not an index, or none any more;
 * KN_E_UNSUPPORTED: above `newest`. */
KN_MUST_CHECK int frag_index_version(struct sqlite3 *db, int newest, int *ret_version);
/* Takes the steps that are missing, each in a transaction of its own; of two that try at once the
 * second finds them taken. Errors as frag_index_version's, or SQLite's. */
KN_MUST_CHECK int frag_index_upgrade(struct sqlite3 *db, struct frag_index_steps steps);

#endif
