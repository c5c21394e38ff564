#include <arpa/inet.h>
#include <string.h>

#include "base/error.h"
#include "server/auth/door_inner.h"
#include "server/http/chars.h"
#include "server/http/head.h"

#define PORT_HTTP 80
#define PORT_HTTPS 443

static int own_port(bool tls) {
    return tls ? PORT_HTTPS : PORT_HTTP;
}

static bool begins(struct srv_http_text text, const char *with) {
    size_t size = strlen(with);
    return text.size >= size && srv_http_text_is((struct srv_http_text){text.data, size}, with);
}

int srv_origin_read(struct srv_http_text text, bool path, struct srv_origin *ret_origin) {
    struct srv_http_request parts = {.port = -1};
    bool tls = begins(text, "https://");
    if (!tls && !begins(text, "http://")) {
        return KN_E_MALFORMED;
    }
    size_t scheme = tls ? strlen("https://") : strlen("http://");
    struct srv_http_text authority = {text.data + scheme, text.size - scheme};
    const char *slash =
        path && authority.size > 0 ? memchr(authority.data, '/', authority.size) : NULL;
    authority.size = slash == NULL ? authority.size : (size_t)(slash - authority.data);
    if (!srv_http_head_authority(authority, &parts)) {
        return KN_E_MALFORMED;
    }
    *ret_origin = (struct srv_origin){
        .tls = tls,
        .host = parts.host,
        .port = parts.port < 0 ? own_port(tls) : parts.port,
    };
    return 0;
}

/* ---- loopback ---- */

bool srv_host_name_is_loopback(struct srv_http_text host) {
    char text[INET6_ADDRSTRLEN];
    struct in_addr four;
    struct in6_addr six;
    if (srv_http_text_is(host, "localhost")) {
        return true;
    }
    if (host.size >= sizeof(text)) {
        return false;
    }
    memcpy(text, host.data, host.size);
    text[host.size] = '\0';
    if (inet_pton(AF_INET, text, &four) == 1) {
        return ntohl(four.s_addr) >> 24 == 127;
    }
    return inet_pton(AF_INET6, text, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

bool srv_host_is_loopback(const struct srv_http_request *request, uint16_t port) {
    return request->host.size > 0 && srv_host_name_is_loopback(request->host) &&
           (request->port < 0 || request->port == port);
}

/* ---- whose page ---- */

static bool is_same_host(struct srv_http_text a, struct srv_http_text b) {
    bool same = a.size == b.size;
    for (size_t i = 0; i < a.size && same; i++) {
        same = srv_http_lower(a.data[i]) == srv_http_lower(b.data[i]);
    }
    return same;
}

static bool is_same(const struct srv_origin *a, const struct srv_origin *b) {
    return a->tls == b->tls && a->port == b->port && is_same_host(a->host, b->host);
}

bool srv_origin_is_ours(const struct srv_http_request *request, bool tls,
                        const struct srv_origin *also) {
    static const char name[] = "origin";
    const struct srv_http_field *field =
        srv_http_field_find(request->fields, request->field_count, name, NULL);
    const struct srv_origin own = {
        .tls = tls,
        .host = request->host,
        .port = request->port < 0 ? own_port(tls) : request->port,
    };
    struct srv_origin told;
    if (field == NULL) {
        return true;
    }
    if (srv_http_field_find(request->fields, request->field_count, name, field) != NULL ||
        srv_origin_read(field->value, false, &told) < 0) {
        return false;
    }
    return (own.host.size > 0 && is_same(&told, &own)) || (also != NULL && is_same(&told, also));
}

enum srv_fetch_site srv_fetch_site_of(const struct srv_http_request *request) {
    static const char name[] = "sec-fetch-site";
    const struct srv_http_field *field =
        srv_http_field_find(request->fields, request->field_count, name, NULL);
    if (field == NULL) {
        return SRV_FETCH_UNTOLD;
    }
    if (srv_http_field_find(request->fields, request->field_count, name, field) != NULL) {
        return SRV_FETCH_CROSS;
    }
    if (srv_http_text_is(field->value, "same-origin") || srv_http_text_is(field->value, "none")) {
        return SRV_FETCH_SAME;
    }
    return srv_http_text_is(field->value, "same-site") ? SRV_FETCH_NEAR : SRV_FETCH_CROSS;
}
