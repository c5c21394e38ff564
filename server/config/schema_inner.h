/* Within server/config: values of a table's rows from texts, whoever wrote them, and back. */
#ifndef SERVER_CONFIG_SCHEMA_INNER_H
#define SERVER_CONFIG_SCHEMA_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attributes.h"
#include "server/config/schema.h"

/* What is said of the items of lists and maps, beside srv_schema's bounds: as the store has tags.
 */
#define SRV_PAIR_NAME_MAX 128u
#define SRV_PAIR_VALUE_MAX 256u
#define SRV_SIZE_TEXT_BYTES 32u

/* Where a row's value lies. */
static inline void *srv_schema_at(const struct srv_schema *row, void *target) {
    return (char *)target + row->at;
}
static inline const void *srv_schema_at_const(const struct srv_schema *row, const void *target) {
    return (const char *)target + row->at;
}
/* Says in the struct that the row was named, and whether it was. */
void srv_schema_name(const struct srv_schema *table, const struct srv_schema *row, void *target);
bool srv_schema_named(const struct srv_schema *table, const struct srv_schema *row,
                      const void *target);
/* NULL: there is none. `size` bytes of `name`. */
const struct srv_schema *srv_schema_find(const struct srv_schema *table, const char *name,
                                         size_t size);

/* ---- taking: the value before is freed, the row is named ----
 * 0; KN_E_MALFORMED with `problem` (what it takes, nothing of the value), the value before stays;
 * -ENOMEM. */

/* Kinds of one text; for TEXTS a list of one. */
KN_MUST_CHECK int srv_schema_take(const struct srv_schema *table, const struct srv_schema *row,
                                  const char *text, void *target,
                                  char problem[static SRV_SCHEMA_PROBLEM_BYTES]);
/* TEXTS. */
KN_MUST_CHECK int srv_schema_take_list(const struct srv_schema *table, const struct srv_schema *row,
                                       const char *const *texts, size_t count, void *target,
                                       char problem[static SRV_SCHEMA_PROBLEM_BYTES]);
/* PAIRS. */
KN_MUST_CHECK int srv_schema_take_pairs(const struct srv_schema *table,
                                        const struct srv_schema *row,
                                        const struct srv_pair_text *pairs, size_t count,
                                        void *target,
                                        char problem[static SRV_SCHEMA_PROBLEM_BYTES]);
/* What a row takes, in words. */
void srv_schema_takes(const struct srv_schema *row, char problem[static SRV_SCHEMA_PROBLEM_BYTES]);
/* "no such key; retention?" */
void srv_schema_unknown(const struct srv_schema *table, const char *name, size_t size,
                        const char *what, char problem[static SRV_SCHEMA_PROBLEM_BYTES]);

/* As strdup, but by malloc where a test can see it; free() it. NULL without memory. */
char *srv_text_copy(const char *text);

/* ---- back ---- */

/* "512M": in the largest unit of which it is a whole number. Returns `text`. */
const char *srv_size_text(uint64_t bytes, char text[static SRV_SIZE_TEXT_BYTES]);
/* Frees the value of a row and leaves none. */
void srv_schema_clear(const struct srv_schema *row, void *target);
/* A deep copy of one row's value over that of `to`, which stays as it is on failure. 0, -ENOMEM. */
KN_MUST_CHECK int srv_schema_copy_row(const struct srv_schema *row, const void *from, void *to);
/* What two structs have in a row is the same; names do not count. */
bool srv_schema_same(const struct srv_schema *row, const void *a, const void *b);

#endif
