/* Requests of one connection: bytes in any cut -> events.
 *
 *     srv_http_parser_create
 *     as long as the peer sends:
 *         do {
 *             srv_http_parser_feed(parser, data, size, &taken, &event)   < 0: answer the fault,
 * close data += taken, size -= taken act on event } while (event.kind != SRV_HTTP_MORE &&
 * event.kind != SRV_HTTP_STOPPED) srv_http_parser_finish     when the peer has closed
 *     srv_http_parser_destroy
 *
 * Each request is told as REQUEST, any number of BODY, END; the same for the same bytes, however
 * they were cut (but for where BODY is cut). The owner stops feeding whenever it likes: what was
 * not taken stays with it. That is how it holds back a body, and how pipelined requests wait:
 * behind END it feeds again once the response is written. The response may begin at REQUEST.
 *
 * Memory: one block of a fixed size (the limits' sum, about 55 KiB by default, of which the kernel
 * gives only pages that were written) from the first byte of a request on; it serves all requests
 * of the connection. srv_http_parser_rest gives it back while the connection idles. Nothing is
 * allocated otherwise. */
#ifndef SERVER_HTTP_REQUEST_H
#define SERVER_HTTP_REQUEST_H

#include "server/http/http.h"

enum srv_http_target {
    SRV_HTTP_ORIGIN,   /* /path?query */
    SRV_HTTP_ABSOLUTE, /* http://host/path?query; its host is what counts, Host is not */
    SRV_HTTP_ASTERISK  /* OPTIONS *: path is "*" */
};

enum srv_http_body { SRV_HTTP_BODY_NONE, SRV_HTTP_BODY_LENGTH, SRV_HTTP_BODY_CHUNKED };

/* All borrowed from the parser, until it is fed again behind the request's END, rested or
 * destroyed. */
struct srv_http_request {
    enum srv_http_method method;
    int minor; /* of HTTP/1.x: 0 or 1 */
    enum srv_http_target form;
    struct srv_http_text target; /* as it came */
    struct srv_http_text path;   /* raw; "/" where an absolute target has none. See path.h */
    struct srv_http_text query;  /* raw, without '?'; see query.h */
    bool has_query;
    /* From the target, else from Host; checked. Empty only where HTTP/1.0 has no Host. */
    struct srv_http_text authority;
    struct srv_http_text host; /* without port; an IPv6 address without its brackets */
    int port;                  /* -1: not said */
    const struct srv_http_field *fields;
    size_t field_count;
    enum srv_http_body body;
    uint64_t content_length; /* with SRV_HTTP_BODY_LENGTH */
    /* The connection can stay when this request is answered. */
    bool keep_alive;
    /* The peer may wait with the body until it is told to go on: srv_http_response_continue. */
    bool expects_continue;
    /* What the peer would speak instead, a list; empty: nothing. Ignored unless the owner calls
     * srv_http_parser_upgrade. */
    struct srv_http_text upgrade;
};

enum srv_http_event_kind {
    SRV_HTTP_MORE,    /* all bytes are taken, more are wanted */
    SRV_HTTP_REQUEST, /* the head is complete and right */
    SRV_HTTP_BODY,    /* the next bytes of the body */
    SRV_HTTP_END,     /* the request is complete */
    SRV_HTTP_STOPPED  /* the connection carries no further request: closing, or upgraded */
};

struct srv_http_event {
    enum srv_http_event_kind kind;
    const struct srv_http_request *request; /* but for MORE and STOPPED */
    struct srv_http_text body;              /* BODY: not empty, a part of what was fed */
    const struct srv_http_field *trailers;  /* END: fields behind a chunked body */
    size_t trailer_count;
};

struct srv_http_parser;

/* NULL for the default limits. 0 or -ENOMEM. */
KN_MUST_CHECK int srv_http_parser_create(const struct srv_http_limits *limits,
                                         struct srv_http_parser **ret_parser);
void srv_http_parser_destroy(struct srv_http_parser *parser);

/* At most one event; *ret_taken bytes of `data` are used and need not be kept. Size 0 asks for an
 * event that needs no more bytes. Below 0 for ever after the first fault. */
KN_MUST_CHECK int srv_http_parser_feed(struct srv_http_parser *parser, const void *data,
                                       size_t size, size_t *ret_taken,
                                       struct srv_http_event *ret_event);
/* The peer sends nothing more. 0, or KN_E_TRUNCATED inside a request, or the fault before. */
KN_MUST_CHECK int srv_http_parser_finish(struct srv_http_parser *parser);
/* Kind SRV_HTTP_FINE as long as there is none. */
const struct srv_http_fault *srv_http_parser_fault(const struct srv_http_parser *parser);

/* Between REQUEST and the next feed: the most this request's body may have, instead of the limits'
 * body_bytes. UINT64_MAX: no limit. */
void srv_http_parser_allow_body(struct srv_http_parser *parser, uint64_t bytes);
/* Between REQUEST and the feed behind END: what follows the request is another protocol's. Feeding
 * then tells END, later STOPPED, and takes nothing behind. -EINVAL when the request does not ask
 * for it. */
KN_MUST_CHECK int srv_http_parser_upgrade(struct srv_http_parser *parser);
/* Gives the memory back if no request is begun; the last request's texts end here. */
void srv_http_parser_rest(struct srv_http_parser *parser);

#endif
