/* A request's query as names and values. Pure.
 *
 *     struct srv_http_query query = srv_http_query_begin(request->query);
 *     struct srv_http_pair pair;
 *     while (srv_http_query_next(&query, &pair)) ...
 *
 * Raw is as it came, for signatures; decoded is what was meant. */
#ifndef SERVER_HTTP_QUERY_H
#define SERVER_HTTP_QUERY_H

#include "server/http/http.h"

struct srv_http_query {
    struct srv_http_text left;
};

/* Raw: parts of the query, borrowed. */
struct srv_http_pair {
    struct srv_http_text name;
    struct srv_http_text value;
    bool has_value; /* false: there was no '='; a signature counts it as an empty value */
};

struct srv_http_query srv_http_query_begin(struct srv_http_text raw);
/* Pairs stand between '&'; empty ones are passed over. False at the end. */
bool srv_http_query_next(struct srv_http_query *query, struct srv_http_pair *ret_pair);

/* A name or a value decoded into `room`, '+' as a space, no NUL behind. 0; KN_E_MALFORMED as in
 * path.h; KN_E_LIMIT: over `room_bytes`. */
KN_MUST_CHECK int srv_http_query_decode(struct srv_http_text raw, char *room, size_t room_bytes,
                                        struct srv_http_text *ret_text);
/* The one value of the name `name`, decoded likewise. -ENOENT: it is not there; KN_E_MALFORMED also
 * when it is there twice: which one counts must not be a guess. */
KN_MUST_CHECK int srv_http_query_find(struct srv_http_text raw, const char *name, char *room,
                                      size_t room_bytes, struct srv_http_text *ret_text);

#endif
