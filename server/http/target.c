/* Request lines: RFC 9112 3. */
#include "server/http/head.h"

#include <arpa/inet.h>
#include <string.h>

#include "server/http/chars.h"

#define HOST_BYTES 255u /* of a name in DNS */
#define PORT_DIGITS 5u
#define PORT_MAX 65535

static struct srv_http_head_fault fault(enum srv_http_fault_kind kind, const char *at) {
    return (struct srv_http_head_fault){kind, at};
}

static struct srv_http_text behind(struct srv_http_text text, size_t used) {
    return (struct srv_http_text){text.data + used, text.size - used};
}

static struct srv_http_text before(struct srv_http_text text, size_t size) {
    return (struct srv_http_text){text.data, size};
}

/* ---- host and port ---- */

/* In its brackets; *ret_size includes them. */
static bool read_address(struct srv_http_text text, struct srv_http_text *ret_host,
                         size_t *ret_size) {
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    size_t size = srv_http_span(behind(text, 1), SRV_HTTP_CHAR_ADDRESS);
    if (size >= sizeof(address) || size + 1 >= text.size || text.data[size + 1] != ']') {
        return false;
    }
    memcpy(address, text.data + 1, size);
    address[size] = '\0';
    if (inet_pton(AF_INET6, address, &parsed) != 1) {
        return false;
    }
    *ret_host = before(behind(text, 1), size);
    *ret_size = size + 2;
    return true;
}

static bool read_host(struct srv_http_text text, struct srv_http_text *ret_host, size_t *ret_size) {
    if (text.size > 0 && text.data[0] == '[') {
        return read_address(text, ret_host, ret_size);
    }
    size_t size = srv_http_span(text, SRV_HTTP_CHAR_HOST);
    if (size == 0 || size > HOST_BYTES) {
        return false;
    }
    *ret_host = before(text, size);
    *ret_size = size;
    return true;
}

/* ":" and digits, or nothing. */
static bool read_port(struct srv_http_text text, int *ret_port) {
    int port = 0;
    if (text.size == 0) {
        *ret_port = -1;
        return true;
    }
    if (text.data[0] != ':' || text.size < 2 || text.size > 1 + PORT_DIGITS) {
        return false;
    }
    for (size_t i = 1; i < text.size; i++) {
        if (!srv_http_char_is(text.data[i], SRV_HTTP_CHAR_DIGIT)) {
            return false;
        }
        port = port * 10 + (text.data[i] - '0');
    }
    if (port > PORT_MAX) {
        return false;
    }
    *ret_port = port;
    return true;
}

bool srv_http_head_authority(struct srv_http_text text, struct srv_http_request *request) {
    struct srv_http_text host;
    size_t size;
    int port;
    if (!read_host(text, &host, &size) || !read_port(behind(text, size), &port)) {
        return false;
    }
    request->authority = text;
    request->host = host;
    request->port = port;
    return true;
}

/* ---- target ---- */

static struct srv_http_head_fault read_path(struct srv_http_text text,
                                            struct srv_http_request *request) {
    size_t size = srv_http_span(text, SRV_HTTP_CHAR_PATH);
    struct srv_http_text rest = behind(text, size);
    if (rest.size > 0 && rest.data[0] != '?') {
        return fault(SRV_HTTP_BAD_TARGET, rest.data);
    }
    request->path = size == 0 ? SRV_HTTP_TEXT("/") : before(text, size);
    if (rest.size > 0) {
        request->has_query = true;
        request->query = behind(rest, 1);
        size_t good = srv_http_span(request->query, SRV_HTTP_CHAR_QUERY);
        if (good < request->query.size) {
            return fault(SRV_HTTP_BAD_TARGET, request->query.data + good);
        }
    }
    return fault(SRV_HTTP_FINE, NULL);
}

static size_t scheme_bytes(struct srv_http_text text) {
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < KN_COUNT(schemes); i++) {
        size_t size = strlen(schemes[i]);
        if (text.size >= size && srv_http_text_is(before(text, size), schemes[i])) {
            return size;
        }
    }
    return 0;
}

static struct srv_http_head_fault read_absolute(struct srv_http_text text, size_t scheme,
                                                struct srv_http_request *request) {
    struct srv_http_text rest = behind(text, scheme);
    size_t size = 0;
    while (size < rest.size && rest.data[size] != '/' && rest.data[size] != '?') {
        size++;
    }
    request->form = SRV_HTTP_ABSOLUTE;
    if (!srv_http_head_authority(before(rest, size), request)) {
        return fault(SRV_HTTP_BAD_TARGET, rest.data);
    }
    /* RFC 9112 3.2.4: how a proxy's "OPTIONS *" looks before the last hop. */
    if (size == rest.size && request->method == SRV_HTTP_OPTIONS) {
        request->path = SRV_HTTP_TEXT("*");
        return fault(SRV_HTTP_FINE, NULL);
    }
    return read_path(behind(rest, size), request);
}

static struct srv_http_head_fault read_target(struct srv_http_text text,
                                              struct srv_http_request *request) {
    size_t scheme = scheme_bytes(text);
    request->target = text;
    if (scheme > 0) {
        return read_absolute(text, scheme, request);
    }
    if (text.size == 1 && text.data[0] == '*' && request->method == SRV_HTTP_OPTIONS) {
        request->form = SRV_HTTP_ASTERISK;
        request->path = text;
        return fault(SRV_HTTP_FINE, NULL);
    }
    if (text.size == 0 || text.data[0] != '/') {
        return fault(SRV_HTTP_BAD_TARGET, text.data);
    }
    request->form = SRV_HTTP_ORIGIN;
    return read_path(text, request);
}

/* ---- the line ---- */

static bool read_method(struct srv_http_text text, enum srv_http_method *ret_method) {
    for (int i = SRV_HTTP_GET; i <= SRV_HTTP_OPTIONS; i++) {
        const char *name = srv_http_method_name((enum srv_http_method)i);
        if (text.size == strlen(name) && memcmp(text.data, name, text.size) == 0) {
            *ret_method = (enum srv_http_method)i;
            return true;
        }
    }
    return false;
}

/* A higher 1.x is served as 1.1: RFC 9110 2.5. */
static enum srv_http_fault_kind read_version(struct srv_http_text text, int *ret_minor) {
    if (text.size != 8 || memcmp(text.data, "HTTP/", 5) != 0 || text.data[6] != '.' ||
        !srv_http_char_is(text.data[5], SRV_HTTP_CHAR_DIGIT) ||
        !srv_http_char_is(text.data[7], SRV_HTTP_CHAR_DIGIT)) {
        return SRV_HTTP_BAD_REQUEST_LINE;
    }
    if (text.data[5] != '1') {
        return SRV_HTTP_BAD_VERSION;
    }
    *ret_minor = text.data[7] == '0' ? 0 : 1;
    return SRV_HTTP_FINE;
}

struct srv_http_head_fault srv_http_head_request_line(struct srv_http_text line,
                                                      struct srv_http_request *request) {
    struct srv_http_text method = before(line, srv_http_span(line, SRV_HTTP_CHAR_TOKEN));
    if (method.size == 0 || method.size == line.size || line.data[method.size] != ' ') {
        return fault(SRV_HTTP_BAD_REQUEST_LINE, line.data + method.size);
    }
    struct srv_http_text rest = behind(line, method.size + 1);
    const char *space = rest.size == 0 ? NULL : memchr(rest.data, ' ', rest.size);
    if (space == NULL) {
        return fault(SRV_HTTP_BAD_REQUEST_LINE, rest.data + rest.size);
    }
    struct srv_http_text target = before(rest, (size_t)(space - rest.data));
    struct srv_http_text version = behind(rest, target.size + 1);
    enum srv_http_fault_kind wrong = read_version(version, &request->minor);
    if (wrong != SRV_HTTP_FINE) {
        return fault(wrong, version.data);
    }
    if (!read_method(method, &request->method)) {
        return fault(SRV_HTTP_BAD_METHOD, line.data);
    }
    request->port = -1;
    return read_target(target, request);
}
