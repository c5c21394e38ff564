/* JSON from strangers and for them: strict, of bounded depth; reading and writing by a table of
 * members, which the configuration uses too (config/schema.h). */
#ifndef SERVER_JSON_JSON_H
#define SERVER_JSON_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/time.h"

#define SRV_JSON_DEPTH 32u
#define SRV_JSON_PROBLEM_BYTES 256u

/* One value and nothing behind it: no member twice, no NUL in texts, at most SRV_JSON_DEPTH levels,
 * UTF-8. 0 with a new reference; KN_E_MALFORMED or KN_E_LIMIT with `problem` ("line 3, column 9:
 * ..."; nothing of the text but member names is in it); -ENOMEM. Pure. */
KN_MUST_CHECK int srv_json_parse(const char *text, size_t size, json_t **ret_value,
                                 char problem[static SRV_JSON_PROBLEM_BYTES]);

/* ---- for answers ----
 * Each gives a new reference, or NULL without memory; jansson's *_new setters and "o" take NULL as
 * a failure, so a whole answer is checked once. */

/* RFC 3339 in UTC with all digits that are not 0; null for `ns` 0 (never). */
json_t *srv_json_time(struct kn_wall wall);
/* Whole numbers up to 2^53 as such, else as a string. */
json_t *srv_json_u64(uint64_t value);
/* "7d"; "forever" for FRAG_RETAIN_FOREVER (INT64_MAX). */
json_t *srv_json_duration(int64_t ns);
/* Text that came from outside: what is no UTF-8 becomes '?'. */
json_t *srv_json_text(const char *text);
/* At most 64 bytes. */
json_t *srv_json_hex(const uint8_t *bytes, size_t size);

#endif
