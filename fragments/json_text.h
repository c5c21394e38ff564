/* Inner: values that jansson would refuse. */
#ifndef FRAGMENTS_JSON_TEXT_H
#define FRAGMENTS_JSON_TEXT_H

#include <stdint.h>

#include <jansson.h>

/* A string of unknown origin. jansson escapes what needs it; bytes that are no UTF-8, which it
 * refuses, become '?'. NULL: no memory. */
json_t *frag_json_text(const char *text);
/* jansson has only signed integers: what is beyond them becomes their largest. */
json_t *frag_json_u64(uint64_t value);

#endif
