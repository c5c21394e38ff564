/* Lines of a head -> a request. Pure; what is wrong is told with the byte where. */
#ifndef SERVER_HTTP_HEAD_H
#define SERVER_HTTP_HEAD_H

#include "server/http/request.h"

/* Where in the text the fault is; NULL data for the place behind it. */
struct srv_http_head_fault {
    enum srv_http_fault_kind kind; /* SRV_HTTP_FINE: none */
    const char *at;
};

/* A request line without its end: method, version, form, target, path, query, and the authority of
 * an absolute target. Zero *request before. */
struct srv_http_head_fault srv_http_head_request_line(struct srv_http_text line,
                                                      struct srv_http_request *request);
/* A field line without its end. Its name becomes lower case in place. */
struct srv_http_head_fault srv_http_head_field(char *line, size_t size,
                                               struct srv_http_field *ret_field);
/* What the fields, now complete, say about host, body and connection. `end` is where the head ends.
 */
struct srv_http_head_fault srv_http_head_settle(struct srv_http_request *request, const char *end);
/* Whether a field may stand behind a body. */
bool srv_http_head_may_trail(struct srv_http_text name);
/* host[:port] -> both. False, and nothing changed, when it is none. */
KN_MUST_CHECK bool srv_http_head_authority(struct srv_http_text text,
                                           struct srv_http_request *request);

#endif
