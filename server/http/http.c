#include "server/http/http.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "server/http/chars.h"

bool srv_http_text_is(struct srv_http_text text, const char *literal) {
    size_t size = strlen(literal);
    if (text.size != size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (srv_http_lower(text.data[i]) != literal[i]) {
            return false;
        }
    }
    return true;
}

const struct srv_http_field *srv_http_field_find(const struct srv_http_field *fields, size_t count,
                                                 const char *name,
                                                 const struct srv_http_field *after) {
    for (size_t i = after == NULL ? 0 : (size_t)(after - fields) + 1; i < count; i++) {
        if (srv_http_text_is(fields[i].name, name)) {
            return &fields[i];
        }
    }
    return NULL;
}

bool srv_http_list_next(struct srv_http_text *list, struct srv_http_text *ret_element) {
    while (list->size > 0) {
        const char *comma = memchr(list->data, ',', list->size);
        size_t size = comma == NULL ? list->size : (size_t)(comma - list->data);
        struct srv_http_text element = srv_http_trim((struct srv_http_text){list->data, size});
        size_t used = comma == NULL ? size : size + 1;
        list->data += used;
        list->size -= used;
        if (element.size > 0) {
            *ret_element = element;
            return true;
        }
    }
    return false;
}

bool srv_http_is_token(struct srv_http_text text) {
    return text.size > 0 && srv_http_span(text, SRV_HTTP_CHAR_TOKEN) == text.size;
}

bool srv_http_is_value(struct srv_http_text text) {
    return srv_http_span(text, SRV_HTTP_CHAR_VALUE) == text.size;
}

const char *srv_http_method_name(enum srv_http_method method) {
    static const char *const names[] = {
        [SRV_HTTP_GET] = "GET",         [SRV_HTTP_HEAD] = "HEAD",     [SRV_HTTP_POST] = "POST",
        [SRV_HTTP_PUT] = "PUT",         [SRV_HTTP_DELETE] = "DELETE", [SRV_HTTP_PATCH] = "PATCH",
        [SRV_HTTP_OPTIONS] = "OPTIONS",
    };
    KN_ASSERT((size_t)method < KN_COUNT(names));
    return names[method];
}

struct srv_http_limits srv_http_limits_default(void) {
    return (struct srv_http_limits){
        .request_line_bytes = 16384,
        .head_bytes = 32768,
        .head_fields = 64,
        .chunk_line_bytes = 1024,
        .extension_bytes = 16384,
        .trailer_bytes = 4096,
        .trailer_fields = 16,
        .body_bytes = 1 << 20,
    };
}

static const struct {
    const char *name;
    int status;
    int result;
    const char *phrase;
} faults[] = {
    [SRV_HTTP_FINE] = {"fine", 200, 0, "fine"},
    [SRV_HTTP_BAD_REQUEST_LINE] = {"bad-request-line", 400, KN_E_MALFORMED,
                                   "the request line is malformed"},
    [SRV_HTTP_BAD_TARGET] = {"bad-target", 400, KN_E_MALFORMED, "the request target is malformed"},
    [SRV_HTTP_BAD_VERSION] = {"bad-version", 505, KN_E_UNSUPPORTED,
                              "this version of HTTP is not served"},
    [SRV_HTTP_BAD_METHOD] = {"bad-method", 501, KN_E_UNSUPPORTED, "this method is not served"},
    [SRV_HTTP_URI_TOO_LONG] = {"uri-too-long", 414, KN_E_LIMIT, "the request line is too long"},
    [SRV_HTTP_BARE_LF] = {"bare-lf", 400, KN_E_MALFORMED, "a line does not end in CR LF"},
    [SRV_HTTP_FOLDED] = {"folded", 400, KN_E_MALFORMED, "a header field is folded"},
    [SRV_HTTP_BAD_FIELD_NAME] = {"bad-field-name", 400, KN_E_MALFORMED,
                                 "the name of a header field is malformed"},
    [SRV_HTTP_BAD_FIELD_VALUE] = {"bad-field-value", 400, KN_E_MALFORMED,
                                  "a control character in a header field"},
    [SRV_HTTP_HEAD_TOO_LARGE] = {"head-too-large", 431, KN_E_LIMIT,
                                 "the header fields are too large"},
    [SRV_HTTP_TOO_MANY_FIELDS] = {"too-many-fields", 431, KN_E_LIMIT, "too many header fields"},
    [SRV_HTTP_BAD_HOST] = {"bad-host", 400, KN_E_MALFORMED, "Host is missing or malformed"},
    [SRV_HTTP_BAD_LENGTH] = {"bad-length", 400, KN_E_MALFORMED,
                             "Content-Length is malformed or repeated"},
    [SRV_HTTP_BAD_CODING] = {"bad-coding", 400, KN_E_MALFORMED,
                             "Transfer-Encoding is not just chunked"},
    [SRV_HTTP_UNKNOWN_CODING] = {"unknown-coding", 501, KN_E_UNSUPPORTED,
                                 "this transfer coding is not served"},
    [SRV_HTTP_LENGTH_AND_CODING] = {"length-and-coding", 400, KN_E_MALFORMED,
                                    "both Content-Length and Transfer-Encoding"},
    [SRV_HTTP_BAD_CONNECTION] = {"bad-connection", 400, KN_E_MALFORMED, "Connection is malformed"},
    [SRV_HTTP_BAD_EXPECT] = {"bad-expect", 417, KN_E_UNSUPPORTED,
                             "only 100-continue can be expected"},
    [SRV_HTTP_BODY_TOO_LARGE] = {"body-too-large", 413, KN_E_LIMIT, "the body is too large"},
    [SRV_HTTP_BAD_CHUNK] = {"bad-chunk", 400, KN_E_MALFORMED, "a chunk is malformed"},
    [SRV_HTTP_CHUNK_TOO_LONG] = {"chunk-line-too-long", 400, KN_E_LIMIT,
                                 "the extensions of chunks are too long"},
    [SRV_HTTP_BAD_TRAILER] = {"bad-trailer", 400, KN_E_MALFORMED,
                              "a field that must not be a trailer"},
    [SRV_HTTP_TRAILERS_TOO_LARGE] = {"trailers-too-large", 431, KN_E_LIMIT,
                                     "the trailers are too large"},
    [SRV_HTTP_TRUNCATED] = {"truncated", 400, KN_E_TRUNCATED, "the request ends early"},
    [SRV_HTTP_NO_MEMORY] = {"no-memory", 503, -ENOMEM, "out of memory"},
};

const char *srv_http_fault_name(enum srv_http_fault_kind kind) {
    KN_ASSERT((size_t)kind < KN_COUNT(faults));
    return faults[kind].name;
}

struct srv_http_fault srv_http_fault_make(enum srv_http_fault_kind kind, uint64_t offset) {
    KN_ASSERT((size_t)kind < KN_COUNT(faults));
    return (struct srv_http_fault){
        .kind = kind,
        .status = faults[kind].status,
        .phrase = faults[kind].phrase,
        .result = faults[kind].result,
        .offset = offset,
    };
}
