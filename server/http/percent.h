/* %41 -> A. Pure. */
#ifndef SERVER_HTTP_PERCENT_H
#define SERVER_HTTP_PERCENT_H

#include "server/http/http.h"

enum { SRV_HTTP_PLUS_IS_SPACE = 1 };

/* Into `room`, no NUL behind. 0; KN_E_MALFORMED: a '%' without two hexadecimal digits, or decoded
 * it is not text; KN_E_LIMIT: over `room_bytes`. */
KN_MUST_CHECK int srv_http_percent_decode(struct srv_http_text raw, unsigned flags, char *room,
                                          size_t room_bytes, struct srv_http_text *ret_text);

#endif
