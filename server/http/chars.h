/* Which bytes may stand where. Pure. */
#ifndef SERVER_HTTP_CHARS_H
#define SERVER_HTTP_CHARS_H

#include "server/http/http.h"

enum srv_http_char_class {
    SRV_HTTP_CHAR_TOKEN = 1, /* RFC 9110 5.6.2 tchar */
    SRV_HTTP_CHAR_VALUE = 2, /* SP, TAB, visible ASCII, 0x80 and above */
    SRV_HTTP_CHAR_PATH = 4,  /* RFC 3986 pchar and '/', '%' among them */
    /* Those, '?', and what browsers send unescaped in a query: [ \ ] ^ ` { | } */
    SRV_HTTP_CHAR_QUERY = 8,
    /* A name or an IPv4 address: letters, digits, - . _ ~. RFC 3986 allows more, which no name in
     * use has. */
    SRV_HTTP_CHAR_HOST = 16,
    SRV_HTTP_CHAR_ADDRESS = 32, /* in the brackets of an IPv6 address */
    SRV_HTTP_CHAR_DIGIT = 64
};

bool srv_http_char_is(char c, enum srv_http_char_class class);
/* How many bytes from the beginning are of that class. */
size_t srv_http_span(struct srv_http_text text, enum srv_http_char_class class);
/* ASCII only. */
char srv_http_lower(char c);
/* 0 to 15, or -1. */
int srv_http_hex_value(char c);
/* Without spaces and tabs around it. */
struct srv_http_text srv_http_trim(struct srv_http_text text);

#endif
