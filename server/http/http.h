/* What requests and responses of HTTP/1.1 share: pieces of text, fields, limits, faults.
 *
 *   http.h       this
 *   request.h    bytes -> events: request, body, end
 *   response.h   status, fields, body -> bytes
 *   path.h       a path as decoded segments
 *   query.h      a query as names and values, raw and decoded
 *
 * No I/O anywhere: no descriptor, clock, lock or log. One thread at a time per object; functions
 * without an object, any thread. RFC 9110 and 9112, and stricter where they allow it: what two
 * programs could read in two ways is refused, and nothing behind it is believed. */
#ifndef SERVER_HTTP_HTTP_H
#define SERVER_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

/* Borrowed bytes, no NUL behind them. */
struct srv_http_text {
    const char *data;
    size_t size;
};

/* Of a string literal. */
#define SRV_HTTP_TEXT(literal) ((struct srv_http_text){(literal), sizeof(literal) - 1})

/* `literal` is in lower case; `text` in any. */
bool srv_http_text_is(struct srv_http_text text, const char *literal);

struct srv_http_field {
    struct srv_http_text name;  /* in a request in lower case */
    struct srv_http_text value; /* without white space around it; may be empty */
};

/* The first field of this name (in lower case) behind `after`, which is one of `fields` or NULL to
 * begin; NULL when there is none. Credentials and the like must stand once: ask again. */
const struct srv_http_field *srv_http_field_find(const struct srv_http_field *fields, size_t count,
                                                 const char *name,
                                                 const struct srv_http_field *after);

/* The next element of a comma-separated list; empty ones are passed over. `list` moves on. False at
 * its end. */
bool srv_http_list_next(struct srv_http_text *list, struct srv_http_text *ret_element);

/* One or more of RFC 9110's tchar, and what may stand in a field's value: no control character but
 * TAB. */
bool srv_http_is_token(struct srv_http_text text);
bool srv_http_is_value(struct srv_http_text text);

/* The methods that exist here. Another is refused with 501, CONNECT and TRACE among them. */
enum srv_http_method {
    SRV_HTTP_GET,
    SRV_HTTP_HEAD,
    SRV_HTTP_POST,
    SRV_HTTP_PUT,
    SRV_HTTP_DELETE,
    SRV_HTTP_PATCH,
    SRV_HTTP_OPTIONS
};

const char *srv_http_method_name(enum srv_http_method method);

struct srv_http_limits {
    size_t request_line_bytes; /* with its end. 16 KiB: signed URLs reach 10,000 bytes. 414 */
    size_t head_bytes;         /* all fields with their ends. 32 KiB. 431 */
    size_t head_fields;        /* 64. 431 */
    size_t chunk_line_bytes;   /* size, extensions, end. 1 KiB. 400 */
    size_t extension_bytes;    /* of all chunks of a body. 16 KiB. 400 */
    size_t trailer_bytes;      /* 4 KiB. 431 */
    size_t trailer_fields;     /* 16. 431 */
    uint64_t body_bytes;       /* decoded. 1 MiB; srv_http_parser_allow_body for one request. 413 */
};

struct srv_http_limits srv_http_limits_default(void);

/* Why a request was refused. Append only: counted and logged by name. */
enum srv_http_fault_kind {
    SRV_HTTP_FINE,
    SRV_HTTP_BAD_REQUEST_LINE,
    SRV_HTTP_BAD_TARGET,
    SRV_HTTP_BAD_VERSION,
    SRV_HTTP_BAD_METHOD,
    SRV_HTTP_URI_TOO_LONG,
    SRV_HTTP_BARE_LF,
    SRV_HTTP_FOLDED,
    SRV_HTTP_BAD_FIELD_NAME,
    SRV_HTTP_BAD_FIELD_VALUE,
    SRV_HTTP_HEAD_TOO_LARGE,
    SRV_HTTP_TOO_MANY_FIELDS,
    SRV_HTTP_BAD_HOST,
    SRV_HTTP_BAD_LENGTH,
    SRV_HTTP_BAD_CODING,
    SRV_HTTP_UNKNOWN_CODING,
    SRV_HTTP_LENGTH_AND_CODING,
    SRV_HTTP_BAD_CONNECTION,
    SRV_HTTP_BAD_EXPECT,
    SRV_HTTP_BODY_TOO_LARGE,
    SRV_HTTP_BAD_CHUNK,
    SRV_HTTP_CHUNK_TOO_LONG,
    SRV_HTTP_BAD_TRAILER,
    SRV_HTTP_TRAILERS_TOO_LARGE,
    SRV_HTTP_TRUNCATED,
    SRV_HTTP_NO_MEMORY
};

struct srv_http_fault {
    enum srv_http_fault_kind kind;
    int status;         /* to answer with */
    const char *phrase; /* fixed; nothing of the request is in it */
    int result;         /* what the parser returns from now on */
    uint64_t offset;    /* of the offending byte, from the first of the connection */
};

/* "folded", "bad-host", ...: for metrics and logs. */
const char *srv_http_fault_name(enum srv_http_fault_kind kind);
/* Fills in the rest from the table. */
struct srv_http_fault srv_http_fault_make(enum srv_http_fault_kind kind, uint64_t offset);

#endif
