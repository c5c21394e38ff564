#include "server/http/chars.h"

enum {
    T = SRV_HTTP_CHAR_TOKEN,
    V = SRV_HTTP_CHAR_VALUE,
    P = SRV_HTTP_CHAR_PATH,
    Q = SRV_HTTP_CHAR_QUERY,
    H = SRV_HTTP_CHAR_HOST,
    A = SRV_HTTP_CHAR_ADDRESS,
    D = SRV_HTTP_CHAR_DIGIT,
    /* Letters that are hexadecimal digits, other letters, digits, marks. */
    X = T | V | P | Q | H | A,
    L = T | V | P | Q | H,
    N = T | V | P | Q | H | A | D,
    S = T | V | P | Q
};

static const unsigned char classes[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = S,
    ['"'] = V,
    ['#'] = T | V,
    ['$' ... '\''] = S,
    ['(' ... ')'] = V | P | Q,
    ['*' ... '+'] = S,
    [','] = V | P | Q,
    ['-'] = S | H,
    ['.'] = S | H | A,
    ['/'] = V | P | Q,
    ['0' ... '9'] = N,
    [':'] = V | P | Q | A,
    [';'] = V | P | Q,
    ['<'] = V,
    ['='] = V | P | Q,
    ['>'] = V,
    ['?'] = V | Q,
    ['@'] = V | P | Q,
    ['A' ... 'F'] = X,
    ['G' ... 'Z'] = L,
    ['[' ... ']'] = V | Q,
    ['^'] = T | V | Q,
    ['_'] = S | H,
    ['`'] = T | V | Q,
    ['a' ... 'f'] = X,
    ['g' ... 'z'] = L,
    ['{'] = V | Q,
    ['|'] = T | V | Q,
    ['}'] = V | Q,
    ['~'] = S | H,
    [0x80 ... 0xff] = V,
};

bool srv_http_char_is(char c, enum srv_http_char_class class) {
    return (classes[(unsigned char)c] & (unsigned)class) != 0;
}

size_t srv_http_span(struct srv_http_text text, enum srv_http_char_class class) {
    size_t at = 0;
    while (at < text.size && srv_http_char_is(text.data[at], class)) {
        at++;
    }
    return at;
}

char srv_http_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

int srv_http_hex_value(char c) {
    char lower = srv_http_lower(c);
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

struct srv_http_text srv_http_trim(struct srv_http_text text) {
    while (text.size > 0 && is_blank(text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}
