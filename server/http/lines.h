/* Lines gathered from input in any cut, in sections with a limit: a request line, the fields of a
 * head, trailers. Pure; the room is the caller's. */
#ifndef SERVER_HTTP_LINES_H
#define SERVER_HTTP_LINES_H

#include "server/http/http.h"

struct srv_http_lines {
    char *room;
    size_t used;
    size_t section;  /* where the section at hand begins in the room */
    size_t line;     /* where its line at hand does */
    uint64_t offset; /* of the section's first byte in the connection */
};

enum srv_http_line {
    SRV_HTTP_LINE_PARTIAL, /* all input is taken, and no limit reached */
    SRV_HTTP_LINE_WHOLE,
    SRV_HTTP_LINE_TOO_LONG /* the section reached `max` within it */
};

/* The next line begins a section, `offset` bytes behind the connection's first byte. */
void srv_http_lines_begin(struct srv_http_lines *lines, uint64_t offset);
/* Moves what belongs to the line at hand into the room, where `max` bytes of this section must fit.
 */
enum srv_http_line srv_http_lines_take(struct srv_http_lines *lines, struct srv_http_text input,
                                       size_t max, size_t *ret_taken);
/* A whole line without its CR LF. False: its LF has no CR. */
bool srv_http_lines_peek(const struct srv_http_lines *lines, struct srv_http_text *ret_line);
/* Done with a whole line; its bytes stay in the room. */
void srv_http_lines_next(struct srv_http_lines *lines);
/* Of a byte of the section at hand. */
uint64_t srv_http_lines_offset(const struct srv_http_lines *lines, const char *at);

#endif
