/* Inner: how a report is printed, as a table or as JSON. */
#ifndef FRAGMENTS_REPORT_INNER_H
#define FRAGMENTS_REPORT_INNER_H

#include <jansson.h>

#include "fragments/report.h"

/* "2026-11-20T21:23:40.123456789Z" */
#define FRAG_REPORT_TIME_BYTES 40

/* An answer for whatever calls back: nobody reads what is printed, end it. */
#define FRAG_REPORT_UNREAD (-ECANCELED)

/* JSON is made row by row, so its size costs no memory. */
struct frag_report {
    FILE *out;
    bool json;
    uint64_t rows;
};

/* `list` is the array's name. */
void frag_report_begin(struct frag_report *report, const char *list);
/* JSON only; takes the object over (NULL: no memory). 0, -ENOMEM or FRAG_REPORT_UNREAD. */
KN_MUST_CHECK int frag_report_row(struct frag_report *report, json_t *row);
/* A table's row was printed. 0 or FRAG_REPORT_UNREAD. */
KN_MUST_CHECK int frag_report_printed(struct frag_report *report);
/* Ends it; with `summary` (JSON only, taken over) beside the array. What the face answers: `rc`,
 * -ENOMEM, and 0 where only the printing failed. */
KN_MUST_CHECK int frag_report_end(struct frag_report *report, json_t *summary, int rc);

/* All nanoseconds that are not 0. Returns `text`. */
const char *frag_report_time_text(struct kn_wall wall, char text[static FRAG_REPORT_TIME_BYTES]);
/* 32 hex digits. Returns `text`. */
#define FRAG_REPORT_ID_BYTES (2 * FRAG_ID_BYTES + 1)
const char *frag_report_id_text(const uint8_t id[static FRAG_ID_BYTES],
                                char text[static FRAG_REPORT_ID_BYTES]);
/* Without control characters. Returns `room`. */
const char *frag_report_plain(const char *text, char *room, size_t room_bytes);

json_t *frag_report_time(struct kn_wall wall);
json_t *frag_report_id(const uint8_t id[static FRAG_ID_BYTES]);
/* What may pass 2^53, as a string. */
json_t *frag_report_wide(uint64_t value);

#endif
