/* What commands print about a store: tables for people, JSON for programs. Each function prints
 * what it lists to `out` and answers 0, or the failure of what it lists; whether printing itself
 * failed, ferror(out) tells. Names and reasons go out without control characters. JSON is one
 * object with one array in it, a line each, in the order of the table; times are RFC 3339 in UTC
 * with all nanoseconds that are not 0, numbers that may pass 2^53 are strings. */
#ifndef FRAGMENTS_REPORT_H
#define FRAGMENTS_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attributes.h"
#include "fragments/upkeep.h"

KN_MUST_CHECK int frag_report_streams(struct frag_store *store, bool json, FILE *out);
/* Of [from, to] by `clock`. */
KN_MUST_CHECK int frag_report_fragments(struct frag_archive *archive, struct frag_stream *stream,
                                        enum frag_clock clock, struct kn_wall from,
                                        struct kn_wall to, bool json, FILE *out);
/* Of one stream, or (NULL) of all. */
KN_MUST_CHECK int frag_report_gaps(struct frag_store *store, struct frag_stream *stream,
                                   struct kn_wall from, struct kn_wall to, bool json, FILE *out);
KN_MUST_CHECK int frag_report_holds(struct frag_store *store, bool json, FILE *out);
KN_MUST_CHECK int frag_report_plan(struct frag_store *store, struct kn_wall until, bool json,
                                   FILE *out);
/* Checks the store of `config` and prints findings as they come; `progress` on a terminal. */
KN_MUST_CHECK int frag_report_check(const struct frag_store_config *config, bool json,
                                    bool progress, FILE *out, struct frag_check_report *ret_report);

#define FRAG_REPORT_OPENING_BYTES 2048

/* What opening the store in `data` found and did, in one sentence without its stop; empty where
 * there is nothing to tell. Returns `text`. */
const char *frag_report_opening(const struct frag_store_opening *opening, const char *data,
                                char text[static FRAG_REPORT_OPENING_BYTES]);

#endif
