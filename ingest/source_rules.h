/* What is decided about sources: what a URL means, and when a failure is tried again. Pure. */
#ifndef INGEST_SOURCE_RULES_H
#define INGEST_SOURCE_RULES_H

#include <stdint.h>

#include "base/attributes.h"

/* The path in it, where ing_source_url_check finds nothing wrong. */
KN_MUST_CHECK int ing_source_url_path(const char *url, const char **ret_path);

/* How long to wait after so many failures in a row, from 1 on: 1, 2, 4, 8, 16, then 30 s. */
int64_t ing_source_wait_ns(uint64_t failures);

#endif
