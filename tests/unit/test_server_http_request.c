#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/fail_alloc.h"
#include "tests/unit/server_http_cuts.h"

static const struct cuts_config plain = {.limits = NULL};

/* ---- what is taken ---- */

struct accepted {
    struct bytes input;
    const char *transcript;
};

static const struct accepted accepted[] = {
    {BYTES("GET / HTTP/1.1\r\nHost: localhost:5466\r\nUser-Agent: curl/7.88.1\r\n"
           "Accept: */*\r\n\r\n"),
     "GET 1.1 path=/ host=localhost port=5466\n"
     "  host: localhost:5466\n  user-agent: curl/7.88.1\n  accept: */*\nend 0\n"},
    {BYTES("HEAD /a%20b?x=1&y HTTP/1.1\r\nHost:a\r\n\r\n"),
     "HEAD 1.1 path=/a%20b query=x=1&y host=a\n  host: a\nend 0\n"},
    {BYTES("GET /? HTTP/1.1\r\nHost: a\r\n\r\n"),
     "GET 1.1 path=/ query= host=a\n  host: a\nend 0\n"},
    /* What browsers leave as it is in a query. */
    {BYTES("GET /a?[{|}^`\\] HTTP/1.1\r\nHost: a\r\n\r\n"),
     "GET 1.1 path=/a query=[{|}^`\\] host=a\n  host: a\nend 0\n"},
    {BYTES("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
     "POST 1.1 path=/x host=a length=5\n  host: a\n  content-length: 5\nbody hello\nend 5\n"},
    {BYTES("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000005\r\n\r\nhello"),
     "POST 1.1 path=/x host=a length=5\n  host: a\n  content-length: 0000000000000000005\n"
     "body hello\nend 5\n"},
    {BYTES("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n"),
     "PUT 1.1 path=/x host=a length=0\n  host: a\n  content-length: 0\n  expect: 100-continue\n"
     "end 0\n"},
    {BYTES("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
           "5\r\nhello\r\n00000000000000A;x=\"y;\"\r\n, 12345678\r\n0\r\n\r\n"),
     "POST 1.1 path=/x host=a chunked\n  host: a\n  transfer-encoding: chunked\n"
     "body hello, 12345678\nend 15\n"},
    {BYTES("POST /x HTTP/1.1\r\nHost: a\r\ntransfer-encoding:\tCHUNKED \r\n\r\n"
           "1;a\r\nx\r\n000\r\nX-Sum:  1 2 \r\nX-Empty:\r\n\r\n"),
     "POST 1.1 path=/x host=a chunked\n  host: a\n  transfer-encoding: CHUNKED\n"
     "body x\nend 1\n  x-sum: 1 2\n  x-empty: \n"},
    {BYTES("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     "POST 1.1 path=/x host=a chunked\n  host: a\n  transfer-encoding: chunked\nend 0\n"},
    {BYTES("POST /putMedia HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"
           "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     "POST 1.1 path=/putMedia host=a chunked expects\n  host: a\n  expect: 100-Continue\n"
     "  transfer-encoding: chunked\nend 0\n"},
    /* Pipelined, with one empty line in front of each, as some old clients send. */
    {BYTES("\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nPOST /2 HTTP/1.1\r\nHost: b\r\n"
           "Content-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: c\r\n\r\n"),
     "GET 1.1 path=/1 host=a\n  host: a\nend 0\n"
     "POST 1.1 path=/2 host=b length=3\n  host: b\n  content-length: 3\nbody abc\nend 3\n"
     "GET 1.1 path=/3 host=c\n  host: c\nend 0\n"},
    /* Nothing behind a close is a request. */
    {BYTES("GET /1 HTTP/1.1\r\nHost: a\r\nConnection: x, ,Close\r\n\r\nGET /2 HTTP/1.1\r\n"),
     "GET 1.1 path=/1 host=a close\n  host: a\n  connection: x, ,Close\nend 0\nstopped\n"},
    {BYTES("GET /1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n"),
     "GET 1.1 path=/1 host=a close\n  host: a\n  connection: keep-alive\n  connection: close\n"
     "end 0\nstopped\n"},
    {BYTES("GET / HTTP/1.0\r\n\r\n"), "GET 1.0 path=/ host= close\nend 0\nstopped\n"},
    {BYTES("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\nExpect: 100-continue\r\n"
           "Content-Length: 1\r\n\r\nxGET / HTTP/1.0\r\n\r\n"),
     "GET 1.0 path=/ host=a length=1\n  host: a\n  connection: Keep-Alive\n"
     "  expect: 100-continue\n  content-length: 1\nbody x\nend 1\n"
     "GET 1.0 path=/ host= close\nend 0\nstopped\n"},
    {BYTES("GET / HTTP/1.9\r\nHost: a\r\n\r\n"), "GET 1.1 path=/ host=a\n  host: a\nend 0\n"},
    /* Other forms of the target: the host of an absolute one counts. */
    {BYTES("GET http://b.example:81/p?q HTTP/1.1\r\nHost: a\r\n\r\n"),
     "GET 1.1 path=/p query=q host=b.example port=81\n  host: a\nend 0\n"},
    {BYTES("GET HTTPS://[::1] HTTP/1.1\r\nHost: a\r\n\r\n"),
     "GET 1.1 path=/ host=::1\n  host: a\nend 0\n"},
    {BYTES("GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n"),
     "GET 1.1 path=/ query=q host=b\n  host: a\nend 0\n"},
    {BYTES("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
     "OPTIONS 1.1 path=* host=a\n  host: a\nend 0\n"},
    {BYTES("OPTIONS http://b:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
     "OPTIONS 1.1 path=* host=b port=80\n  host: a\nend 0\n"},
    {BYTES("GET / HTTP/1.1\r\nHost: [fe80::1:2]:65535\r\n\r\n"),
     "GET 1.1 path=/ host=fe80::1:2 port=65535\n  host: [fe80::1:2]:65535\nend 0\n"},
    /* An upgrade that nobody here takes is an ordinary request; in HTTP/1.0 it is nothing. */
    {BYTES("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
           "\r\nGET / HTTP/1.0\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
     "GET 1.1 path=/ host=a upgrade=h2c\n  host: a\n  connection: Upgrade, HTTP2-Settings\n"
     "  upgrade: h2c\nend 0\n"
     "GET 1.0 path=/ host= close\n  upgrade: x\n  connection: upgrade\nend 0\nstopped\n"},
    {BYTES("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"),
     "GET 1.1 path=/ host=a\n  host: a\n  upgrade: websocket\nend 0\n"},
    /* Values of other bytes than ASCII, and tokens of odd ones. */
    {BYTES("GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+.^_`|~9: \t\xc3\xa9\t\xff\"\t\r\n\r\n"),
     "GET 1.1 path=/ host=a\n  host: a\n  !#$%&'*+.^_`|~9: \xc3\xa9\t\xff\"\nend 0\n"},
    {BYTES(""), ""},
    {BYTES("\r\n"), ""},
};

static void test_accepted(void **state) {
    (void)state;
    static char transcript[TRANSCRIPT_BYTES];
    const struct cuts_config resting = {.rest = true};
    for (size_t i = 0; i < KN_COUNT(accepted); i++) {
        (void)push_in_all_cuts(accepted[i].input, &plain, transcript);
        assert_string_equal(transcript, accepted[i].transcript);
        /* With the memory given back behind every request. */
        (void)push_in_all_cuts(accepted[i].input, &resting, transcript);
        assert_string_equal(transcript, accepted[i].transcript);
    }
}

/* ---- what is refused ---- */

struct refused {
    struct bytes input;
    enum srv_http_fault_kind kind;
    uint64_t offset;
};

static void assert_refused(const struct refused *table, size_t count, const char *prefix) {
    static char transcript[TRANSCRIPT_BYTES];
    static char input[4096];
    size_t before = strlen(prefix);
    for (size_t i = 0; i < count; i++) {
        memcpy(input, prefix, before);
        memcpy(input + before, table[i].input.data, table[i].input.size);
        struct bytes all = {input, before + table[i].input.size};
        struct srv_http_fault fault = push_in_all_cuts(all, &plain, transcript);
        if (fault.kind != table[i].kind || fault.offset != before + table[i].offset) {
            print_error("%s\n%s", table[i].input.data, transcript);
        }
        assert_int_equal(fault.kind, table[i].kind);
        assert_int_equal(fault.offset, before + table[i].offset);
        /* Only a body's faults come behind its request, and no request is whole. */
        assert_null(strstr(transcript, "end "));
    }
}

static void test_refused_request_lines(void **state) {
    (void)state;
    static const struct refused table[] = {
        {BYTES("\x16\x03\x01"), SRV_HTTP_BAD_REQUEST_LINE, 0}, /* TLS */
        {BYTES("\0"), SRV_HTTP_BAD_REQUEST_LINE, 0},
        {BYTES(" GET / HTTP/1.1\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 0},
        {BYTES("\r\n\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 2},
        {BYTES("\n"), SRV_HTTP_BARE_LF, 0},
        {BYTES("GET / HTTP/1.1\n"), SRV_HTTP_BARE_LF, 14},
        {BYTES("GET /\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 5},
        {BYTES("GET\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 3},
        {BYTES("GET  / HTTP/1.1\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 5},
        {BYTES("GET /  HTTP/1.1\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 6},
        {BYTES("GET /a b HTTP/1.1\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 7},
        {BYTES("GET\t/ HTTP/1.1\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 3},
        {BYTES("GET / HTTP/1.1 \r\n"), SRV_HTTP_BAD_REQUEST_LINE, 6},
        {BYTES("GET / HTTP/1.1\r\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 6},
        {BYTES("GET / http/1.1\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 6},
        {BYTES("GET / HTTP/1.10\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 6},
        {BYTES("GET / HTTP/+1.1\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 6},
        {BYTES("GET / HTTP/1,1\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 6},
        {BYTES("GET / HTTP/x.1\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 6},
        {BYTES("GET / HTTP/2.0\r\n"), SRV_HTTP_BAD_VERSION, 6},
        {BYTES("GET / HTTP/0.9\r\n"), SRV_HTTP_BAD_VERSION, 6},
        {BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), SRV_HTTP_BAD_VERSION, 6},
        {BYTES("get / HTTP/1.1\r\n"), SRV_HTTP_BAD_METHOD, 0},
        {BYTES("TRACE / HTTP/1.1\r\n"), SRV_HTTP_BAD_METHOD, 0},
        {BYTES("CONNECT a:80 HTTP/1.1\r\n"), SRV_HTTP_BAD_METHOD, 0},
        {BYTES("G(T / HTTP/1.1\r\n"), SRV_HTTP_BAD_REQUEST_LINE, 1},
        {BYTES("GET * HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 4},
        {BYTES("OPTIONS ** HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 8},
        {BYTES("GET a:80 HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 4}, /* authority-form */
        {BYTES("GET a/b HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 4},
        {BYTES("GET ?a HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 4},
        {BYTES("GET ftp://a/ HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 4},
        {BYTES("GET http:/a HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 4},
        {BYTES("GET http:// HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 11},
        {BYTES("GET http:///a HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 11},
        {BYTES("GET http://u@a/ HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 11},
        {BYTES("GET http://a:x/ HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 11},
        {BYTES("GET http://a#f HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 11},
        {BYTES("GET /a#f HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 6},
        {BYTES("GET /a?b#f HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 8},
        {BYTES("GET /a\\b HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 6},
        {BYTES("GET /a\"b HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 6},
        {BYTES("GET /a|b HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 6},
        {BYTES("GET /a?<b HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 7},
        {BYTES("GET /\xc3\xa9 HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 5},
        {BYTES("GET /\0 HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 5},
        {BYTES("GET /\r HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 5},
        {BYTES("GET /\x7f HTTP/1.1\r\n"), SRV_HTTP_BAD_TARGET, 5},
    };
    assert_refused(table, KN_COUNT(table), "");
}

static void test_refused_fields(void **state) {
    (void)state;
    static const struct refused table[] = {
        {BYTES("Host: a\n\r\n"), SRV_HTTP_BARE_LF, 7},
        {BYTES("Host: a\r\n\n"), SRV_HTTP_BARE_LF, 9},
        {BYTES(" Host: a\r\n\r\n"), SRV_HTTP_FOLDED, 0}, /* a space before the first field */
        {BYTES("Host: a\r\n b\r\n\r\n"), SRV_HTTP_FOLDED, 9},
        {BYTES("Host: a\r\n\tb\r\n\r\n"), SRV_HTTP_FOLDED, 9},
        {BYTES("Host: a\r\n \r\n\r\n"), SRV_HTTP_FOLDED, 9},
        {BYTES("Host : a\r\n\r\n"), SRV_HTTP_BAD_FIELD_NAME, 4},
        {BYTES("Host\t: a\r\n\r\n"), SRV_HTTP_BAD_FIELD_NAME, 4},
        {BYTES("Host\r: a\r\n\r\n"), SRV_HTTP_BAD_FIELD_NAME, 4},
        {BYTES("Host\r\n\r\n"), SRV_HTTP_BAD_FIELD_NAME, 4},
        {BYTES(": a\r\n\r\n"), SRV_HTTP_BAD_FIELD_NAME, 0},
        {BYTES("H\0st: a\r\n\r\n"), SRV_HTTP_BAD_FIELD_NAME, 1},
        {BYTES("H\xc3\xb6st: a\r\n\r\n"), SRV_HTTP_BAD_FIELD_NAME, 1},
        {BYTES("X(y): a\r\n\r\n"), SRV_HTTP_BAD_FIELD_NAME, 1},
        {BYTES("X: a\0b\r\n\r\n"), SRV_HTTP_BAD_FIELD_VALUE, 4},
        {BYTES("X: a\rb\r\n\r\n"), SRV_HTTP_BAD_FIELD_VALUE, 4},
        {BYTES("X: a\r\r\n\r\n"), SRV_HTTP_BAD_FIELD_VALUE, 4},
        {BYTES("X: a\x1b[2J\r\n\r\n"), SRV_HTTP_BAD_FIELD_VALUE, 4},
        {BYTES("X: a\x7f\r\n\r\n"), SRV_HTTP_BAD_FIELD_VALUE, 4},
        {BYTES("X: a\x0b\r\n\r\n"), SRV_HTTP_BAD_FIELD_VALUE, 4},
        /* Host */
        {BYTES("X: a\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("\r\n"), SRV_HTTP_BAD_HOST, 0},
        {BYTES("Host:\r\n\r\n"), SRV_HTTP_BAD_HOST, 5},
        {BYTES("Host: a\r\nHOST: a\r\n\r\n"), SRV_HTTP_BAD_HOST, 9},
        {BYTES("Host: a b\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: a, b\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: a/b\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: u@a\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: http://a\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: a:\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: a:b\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: a:65536\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: a:000080\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: a:80:80\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: :80\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: [::1\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: [\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: []\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: [::1]x\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: [::g]\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: [::1%25eth0]\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        {BYTES("Host: [1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18]\r\n\r\n"), SRV_HTTP_BAD_HOST,
         6},
        {BYTES("Host: a%41\r\n\r\n"), SRV_HTTP_BAD_HOST, 6},
        /* Connection, Expect, Upgrade */
        {BYTES("Host: a\r\nConnection: close;x\r\n\r\n"), SRV_HTTP_BAD_CONNECTION, 21},
        {BYTES("Host: a\r\nExpect: 200-ok\r\n\r\n"), SRV_HTTP_BAD_EXPECT, 17},
        {BYTES("Host: a\r\nExpect:\r\n\r\n"), SRV_HTTP_BAD_EXPECT, 16},
        {BYTES("Host: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n"),
         SRV_HTTP_BAD_EXPECT, 31},
        {BYTES("Host: a\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n"), SRV_HTTP_BAD_CONNECTION, 21},
    };
    assert_refused(table, KN_COUNT(table), "GET / HTTP/1.1\r\n");
}

/* Ways to make two programs disagree on where a request ends. Behind each stands what would be
 * taken as the next request. */
static void test_refused_smuggling(void **state) {
    (void)state;
#define NEXT "0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n"
#define TE "Transfer-Encoding"
    static const struct refused table[] = {
        /* CL.TE, TE.CL */
        {BYTES("Content-Length: 5\r\n" TE ": chunked\r\n\r\n" NEXT), SRV_HTTP_LENGTH_AND_CODING,
         19},
        {BYTES(TE ": chunked\r\nContent-Length: 5\r\n\r\n" NEXT), SRV_HTTP_LENGTH_AND_CODING, 28},
        {BYTES("Content-Length: 0\r\n" TE ": identity\r\n\r\n" NEXT), SRV_HTTP_LENGTH_AND_CODING,
         19},
        /* TE.TE */
        {BYTES(TE ": chunked\r\n" TE ": chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 28},
        {BYTES(TE ": chunked\r\n" TE ": identity\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 28},
        {BYTES(TE ": chunked\r\nTransfer-encoding: x\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 28},
        {BYTES(TE ": xchunked\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": chunkedx\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": x\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ":\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 18},
        {BYTES(TE ": ,\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": identity\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": gzip\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": chunked, identity\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": chunked, gzip\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": chunked, chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": chunked,\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": ,chunked\r\n\r\n" NEXT), SRV_HTTP_UNKNOWN_CODING, 19},
        {BYTES(TE ": gzip, chunked\r\n\r\n" NEXT), SRV_HTTP_UNKNOWN_CODING, 19},
        {BYTES(TE ": identity, chunked\r\n\r\n" NEXT), SRV_HTTP_UNKNOWN_CODING, 19},
        {BYTES(TE ": chunked;q=1\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": \"chunked\"\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": 'chunked'\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": chu nked\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": chunked\xa0\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": \xef\xbd\x83hunked\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ":\x0b"
                  "chunked\r\n\r\n" NEXT),
         SRV_HTTP_BAD_FIELD_VALUE, 18},
        {BYTES(TE ":\x0c"
                  "chunked\r\n\r\n" NEXT),
         SRV_HTTP_BAD_FIELD_VALUE, 18},
        {BYTES(TE ": chunked\0\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_VALUE, 26},
        {BYTES(TE ": chunked\x1f\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_VALUE, 26},
        {BYTES(TE ": chunked\r\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_VALUE, 26},
        {BYTES(TE ":\r chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_VALUE, 18},
        {BYTES(TE ":\n chunked\r\n\r\n" NEXT), SRV_HTTP_BARE_LF, 18},
        {BYTES(TE ":\r\n chunked\r\n\r\n" NEXT), SRV_HTTP_FOLDED, 20},
        {BYTES(TE ": x\r\n\tchunked\r\n\r\n" NEXT), SRV_HTTP_FOLDED, 22},
        {BYTES(TE " : chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 17},
        {BYTES(TE "\t: chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 17},
        {BYTES(TE "\x0b: chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 17},
        {BYTES(TE "\r\n: chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 17},
        {BYTES(TE "\0: chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 17},
        {BYTES(" " TE ": chunked\r\n\r\n" NEXT), SRV_HTTP_FOLDED, 0},
        {BYTES("\x0b" TE ": chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 0},
        {BYTES("\r" TE ": chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 0},
        {BYTES("\n" TE ": chunked\r\n\r\n" NEXT), SRV_HTTP_BARE_LF, 0},
        {BYTES("X: y\n" TE ": chunked\r\n\r\n" NEXT), SRV_HTTP_BARE_LF, 4},
        {BYTES("X: y\r" TE ": chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_VALUE, 4},
        {BYTES("\"" TE "\": chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 0},
        {BYTES("Transfer_Encoding: chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 0},
        {BYTES("Transfer Encoding: chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 8},
        {BYTES("Transfer\xadngcoding: chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 8},
        /* Content-Length */
        {BYTES("Content-Length: 5\r\nContent-Length: 6\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 19},
        {BYTES("Content-Length: 5\r\ncontent-length: 5\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 19},
        {BYTES("Content-Length: 5, 5\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: 5 5\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: 5,\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: +5\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: -5\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: -0\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: 0x5\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: 5a\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: 5.0\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: 1e1\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: 1_0\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: \"5\"\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: \xef\xbc\x95\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length:\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 15},
        {BYTES("Content-Length: 18446744073709551621\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length: 00000000000000000005\r\n\r\n" NEXT), SRV_HTTP_BAD_LENGTH, 16},
        {BYTES("Content-Length : 5\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 14},
        {BYTES("Content_Length: 5\r\n\r\n" NEXT), SRV_HTTP_BAD_FIELD_NAME, 0},
        {BYTES("Content-Length: 5\n\r\n\r\n" NEXT), SRV_HTTP_BARE_LF, 17},
        {BYTES("Content-Length:\x0b"
               "5\r\n\r\n" NEXT),
         SRV_HTTP_BAD_FIELD_VALUE, 15},
    };
    assert_refused(table, KN_COUNT(table), "POST / HTTP/1.1\r\nHost: a\r\n");
    static const struct refused old[] = {
        {BYTES(TE ": chunked\r\n\r\n" NEXT), SRV_HTTP_BAD_CODING, 19},
        {BYTES(TE ": chunked\r\nContent-Length: 5\r\n\r\n" NEXT), SRV_HTTP_LENGTH_AND_CODING, 28},
    };
    assert_refused(old, KN_COUNT(old), "POST / HTTP/1.0\r\n");
}

static void test_refused_chunks(void **state) {
    (void)state;
#define LAST "\r\n0\r\n\r\n"
    static const struct refused table[] = {
        {BYTES("\r\n" LAST), SRV_HTTP_BAD_CHUNK, 0},
        {BYTES("\n" LAST), SRV_HTTP_BARE_LF, 0},
        {BYTES("0x3\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 1},
        {BYTES("x3\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 0},
        {BYTES("+3\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 0},
        {BYTES("-3\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 0},
        {BYTES("-1\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 0},
        {BYTES(" 3\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 0},
        {BYTES("3 \r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 1},
        {BYTES("3\t\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 1},
        {BYTES("3 ;x\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 1},
        {BYTES("3,\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 1},
        {BYTES("3.0\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 1},
        {BYTES("3_0\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 1},
        {BYTES("g\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 0},
        {BYTES("3\0\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 1},
        {BYTES("\xef\xbc\x93\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 0},
        {BYTES(";x\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 0},
        {BYTES("3\nabc" LAST), SRV_HTTP_BARE_LF, 1},
        {BYTES("3\rabc" LAST), SRV_HTTP_BAD_CHUNK, 2},
        {BYTES("3\r\rabc" LAST), SRV_HTTP_BAD_CHUNK, 2},
        {BYTES("3;x\nabc" LAST), SRV_HTTP_BARE_LF, 3},
        {BYTES("3;x\rabc" LAST), SRV_HTTP_BAD_CHUNK, 4},
        {BYTES("3;\0\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 2},
        {BYTES("3;\"\n\"\r\nabc" LAST), SRV_HTTP_BARE_LF, 3},
        /* 17 digits, and what 64 bits would make of them: 3 */
        {BYTES("00000000000000003\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 16},
        {BYTES("10000000000000003\r\nabc" LAST), SRV_HTTP_BAD_CHUNK, 16},
        {BYTES("FFFFFFFFFFFFFFFF\r\nabc" LAST), SRV_HTTP_BODY_TOO_LARGE, 17},
        {BYTES("8000000000000003\r\nabc" LAST), SRV_HTTP_BODY_TOO_LARGE, 17},
    };
    assert_refused(table, KN_COUNT(table),
                   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    static const struct refused behind_data[] = {
        {BYTES("abcd\r\n0\r\n\r\n"), SRV_HTTP_BAD_CHUNK, 3},
        {BYTES("abc0\r\n\r\n"), SRV_HTTP_BAD_CHUNK, 3},
        {BYTES("abc\n0\r\n\r\n"), SRV_HTTP_BARE_LF, 3},
        {BYTES("abc\r0\r\n\r\n"), SRV_HTTP_BAD_CHUNK, 4},
        {BYTES("ab\r\n0\r\n\r\n"), SRV_HTTP_BARE_LF, 3},
        {BYTES("abc\r\n0\n\r\n"), SRV_HTTP_BARE_LF, 6},
        {BYTES("abc\r\n0\r\r\n"), SRV_HTTP_BAD_CHUNK, 7},
        {BYTES("abc\r\n0\r\n\n"), SRV_HTTP_BARE_LF, 8},
        /* Trailers */
        {BYTES("abc\r\n0\r\nX: y\n\r\n"), SRV_HTTP_BARE_LF, 12},
        {BYTES("abc\r\n0\r\n X: y\r\n\r\n"), SRV_HTTP_FOLDED, 8},
        {BYTES("abc\r\n0\r\nX: y\r\n z\r\n\r\n"), SRV_HTTP_FOLDED, 14},
        {BYTES("abc\r\n0\r\nX : y\r\n\r\n"), SRV_HTTP_BAD_FIELD_NAME, 9},
        {BYTES("abc\r\n0\r\nX: \x01\r\n\r\n"), SRV_HTTP_BAD_FIELD_VALUE, 11},
        {BYTES("abc\r\n0\r\nContent-Length: 1\r\n\r\n"), SRV_HTTP_BAD_TRAILER, 8},
        {BYTES("abc\r\n0\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"), SRV_HTTP_BAD_TRAILER, 14},
        {BYTES("abc\r\n0\r\nTransfer_Encoding: chunked\r\n\r\n"), SRV_HTTP_BAD_TRAILER, 8},
        {BYTES("abc\r\n0\r\nHost: b\r\n\r\n"), SRV_HTTP_BAD_TRAILER, 8},
        {BYTES("abc\r\n0\r\nGET / HTTP/1.1\r\n\r\n"), SRV_HTTP_BAD_FIELD_NAME, 11},
    };
    assert_refused(behind_data, KN_COUNT(behind_data),
                   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n");
}

/* A good request in front stands; the fault's offset counts from the connection's first byte. */
static void test_fault_behind_a_good_request(void **state) {
    (void)state;
    static char transcript[TRANSCRIPT_BYTES];
    const struct bytes input =
        BYTES("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
              "1\r\nx\r\n0\r\nT: 1\r\n\r\n"
              "GET /2 HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n");
    struct srv_http_fault fault = push_in_all_cuts(input, &plain, transcript);
    assert_int_equal(fault.kind, SRV_HTTP_BAD_FIELD_NAME);
    assert_int_equal(fault.offset, (size_t)(strstr(input.data, " : b") - input.data));
    assert_string_equal(fault.phrase, "the name of a header field is malformed");
    assert_non_null(strstr(transcript, "body x\nend 1\n  t: 1\nfault 400"));
}

/* ---- the end of the connection ---- */

static void test_truncated_everywhere(void **state) {
    (void)state;
    static char transcript[TRANSCRIPT_BYTES];
    static const char whole[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "3;x\r\nabc\r\n0\r\nT: 1\r\n\r\n";
    static const char length[] = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for (size_t size = 1; size < sizeof(whole) - 1; size++) {
        (void)push_in_pieces((struct bytes){whole, size}, 0, size, &plain, transcript);
        assert_non_null(strstr(transcript, "fault 400 truncated"));
    }
    for (size_t size = 1; size < sizeof(length) - 1; size++) {
        (void)push_in_pieces((struct bytes){length, size}, 0, size, &plain, transcript);
        assert_non_null(strstr(transcript, "fault 400 truncated"));
    }
}

/* ---- limits: at the edge, and one beyond ---- */

static const struct srv_http_limits small = {
    .request_line_bytes = 32,
    .head_bytes = 40,
    .head_fields = 3,
    .chunk_line_bytes = 12,
    .extension_bytes = 12,
    .trailer_bytes = 20,
    .trailer_fields = 2,
    .body_bytes = 8,
};

struct edge {
    struct bytes input;
    const char *end; /* of the transcript */
};

static void test_limits(void **state) {
    (void)state;
    static char transcript[TRANSCRIPT_BYTES];
    const struct cuts_config config = {.limits = &small};
#define HEAD_CHUNKED "POST / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n"
    static const struct edge edges[] = {
        {BYTES("GET /5678901234567890 HTTP/1.1\r\nHost:a\r\n\r\n"), "end 0\n"},
        {BYTES("GET /56789012345678901 HTTP/1.1\r\n"), "fault 414 uri-too-long at 32\n"},
        {BYTES("GET /567890123456789012345678901"), "fault 414 uri-too-long at 32\n"},
        {BYTES("GET / HTTP/1.1\r\nHost:a\r\nX:23456789012345678901234567\r\n\r\n"), "end 0\n"},
        {BYTES("GET / HTTP/1.1\r\nHost:a\r\nX:234567890123456789012345678\r\n\r\n"),
         "fault 431 head-too-large at 56\n"},
        {BYTES("GET / HTTP/1.1\r\nHost:a\r\nX:23456789012345678901234567890123"),
         "fault 431 head-too-large at 56\n"},
        {BYTES("GET / HTTP/1.1\r\nHost:a\r\nX:\r\nY:\r\n\r\n"), "end 0\n"},
        {BYTES("GET / HTTP/1.1\r\nHost:a\r\nX:\r\nY:\r\nZ:\r\n\r\n"),
         "fault 431 too-many-fields at 32\n"},
        {BYTES("PUT / HTTP/1.1\r\nHost:a\r\nContent-Length:8\r\n\r\n12345678"), "end 8\n"},
        {BYTES("PUT / HTTP/1.1\r\nHost:a\r\nContent-Length:9\r\n\r\n123456789"),
         "fault 413 body-too-large at 44\n"},
        {BYTES(HEAD_CHUNKED "4\r\nabcd\r\n4\r\nabcd\r\n0\r\n\r\n"), "end 8\n"},
        {BYTES(HEAD_CHUNKED "4\r\nabcd\r\n5\r\nabcde\r\n0\r\n\r\n"),
         "fault 413 body-too-large at 65\n"},
        {BYTES(HEAD_CHUNKED "4;34567890\r\nabcd\r\n0\r\n\r\n"), "end 4\n"},
        {BYTES(HEAD_CHUNKED "4;3456789012\r\nabcd\r\n0\r\n\r\n"),
         "fault 400 chunk-line-too-long at 66\n"},
        {BYTES(HEAD_CHUNKED "4;345678901\r\nabcd\r\n0\r\n\r\n"),
         "fault 400 chunk-line-too-long at 66\n"},
        {BYTES(HEAD_CHUNKED "0000000004\r\nabcd\r\n0\r\n\r\n"), "end 4\n"},
        {BYTES(HEAD_CHUNKED "0000000000004\r\nabcd\r\n0\r\n\r\n"),
         "fault 400 chunk-line-too-long at 66\n"},
        /* The extensions of all chunks together. */
        {BYTES(HEAD_CHUNKED "1;abc\r\na\r\n1;abc\r\na\r\n0\r\n\r\n"), "end 2\n"},
        {BYTES(HEAD_CHUNKED "1;abc\r\na\r\n1;abc\r\na\r\n1;abc\r\na\r\n0\r\n\r\n"),
         "fault 400 chunk-line-too-long at 77\n"},
        /* A request has all of it anew. */
        {BYTES(HEAD_CHUNKED "1;abc\r\na\r\n1;abc\r\na\r\n0\r\nT:1\r\n\r\n" HEAD_CHUNKED
                            "1;abc\r\na\r\n1;abc\r\na\r\n0\r\nT:2\r\n\r\n"),
         "end 2\n  t: 2\n"},
        {BYTES(HEAD_CHUNKED "0\r\nA:1\r\nB:234567890\r\n\r\n"), "  a: 1\n  b: 234567890\n"},
        {BYTES(HEAD_CHUNKED "0\r\nA:1\r\nB:2345678901\r\n\r\n"),
         "fault 431 trailers-too-large at 77\n"},
        {BYTES(HEAD_CHUNKED "0\r\nA:\r\nB:\r\nC:\r\n\r\n"), "fault 431 trailers-too-large at 65\n"},
    };
    for (size_t i = 0; i < KN_COUNT(edges); i++) {
        (void)push_in_all_cuts(edges[i].input, &config, transcript);
        size_t size = strlen(edges[i].end);
        size_t got = strlen(transcript);
        const char *end = transcript + (got > size ? got - size : 0);
        assert_string_equal(end, edges[i].end);
    }
}

/* The real ones, so that a change of a default is seen. */
static void test_default_limits(void **state) {
    (void)state;
    static char transcript[TRANSCRIPT_BYTES];
    static char input[65536];
    const struct srv_http_limits limits = srv_http_limits_default();
    /* A signed URL of 10,000 bytes. */
    size_t size =
        (size_t)snprintf(input, sizeof(input), "GET /?%010000d HTTP/1.1\r\nHost: a\r\n", 0);
    for (int i = 0; i < 63; i++) {
        size += (size_t)snprintf(input + size, sizeof(input) - size, "X%d: %0400d\r\n", i, 0);
    }
    memcpy(input + size, "\r\n", 2);
    assert_int_equal(limits.head_fields, 64);
    struct srv_http_fault fault =
        push_in_pieces((struct bytes){input, size + 2}, 0, 1000, &plain, transcript);
    assert_int_equal(fault.kind, SRV_HTTP_FINE);
    memcpy(input + size, "Y: \r\n\r\n", 7);
    fault = push_in_pieces((struct bytes){input, size + 7}, 0, 1000, &plain, transcript);
    assert_int_equal(fault.kind, SRV_HTTP_TOO_MANY_FIELDS);
    assert_int_equal(fault.status, 431);
}

/* ---- what the owner decides ---- */

static void test_allowed_body(void **state) {
    (void)state;
    static char transcript[TRANSCRIPT_BYTES];
    struct cuts_config config = {.body_max = 4};
    const struct bytes length =
        BYTES("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde");
    const struct bytes twice = BYTES("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd"
                                     "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd");
    const struct bytes endless =
        BYTES("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
              "1\r\na\r\nFFFFFFFFFFFFFFFE\r\nabc");
    assert_int_equal(push_in_all_cuts(length, &config, transcript).kind, SRV_HTTP_BODY_TOO_LARGE);
    assert_int_equal(push_in_all_cuts(twice, &config, transcript).kind, SRV_HTTP_FINE);
    config.body_max = UINT64_MAX;
    assert_int_equal(push_in_all_cuts(endless, &config, transcript).kind, SRV_HTTP_FINE);
    assert_non_null(strstr(transcript, "body aabc\nfault 400 truncated"));
    const struct bytes overflow =
        BYTES("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
              "1\r\na\r\nFFFFFFFFFFFFFFFF\r\nabc");
    assert_int_equal(push_in_all_cuts(overflow, &config, transcript).kind, SRV_HTTP_BODY_TOO_LARGE);
}

static void test_upgrade_taken(void **state) {
    (void)state;
    static char transcript[TRANSCRIPT_BYTES];
    const struct cuts_config config = {.upgrade = true};
    const struct bytes input = BYTES("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                                     "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                                     "Upgrade: websocket\r\n\r\n\x81\x05hello\n");
    (void)push_in_all_cuts(input, &config, transcript);
    assert_string_equal(transcript, "GET 1.1 path=/1 host=a\n  host: a\nend 0\n"
                                    "GET 1.1 path=/2 host=a upgrade=websocket\n  host: a\n"
                                    "  connection: upgrade\n  upgrade: websocket\nend 0\n"
                                    "stopped\n");
}

/* The owner may decide behind END too; not at all where nothing was asked for. */
static void test_upgrade_late(void **state) {
    (void)state;
    static const char input[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                                "Upgrade: x\r\n\r\nrest";
    struct srv_http_parser *parser;
    struct srv_http_event event;
    size_t taken;
    assert_int_equal(srv_http_parser_create(NULL, &parser), 0);
    assert_int_equal(srv_http_parser_upgrade(parser), -EINVAL);
    assert_int_equal(srv_http_parser_feed(parser, input, sizeof(input) - 1, &taken, &event), 0);
    assert_int_equal(event.kind, SRV_HTTP_REQUEST);
    assert_int_equal(taken, sizeof(input) - 1 - 4);
    assert_int_equal(srv_http_parser_feed(parser, input + taken, 4, &taken, &event), 0);
    assert_int_equal(event.kind, SRV_HTTP_END);
    assert_int_equal(taken, 0);
    assert_int_equal(srv_http_parser_upgrade(parser), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(srv_http_parser_feed(parser, "rest", 4, &taken, &event), 0);
        assert_int_equal(event.kind, SRV_HTTP_STOPPED);
        assert_int_equal(taken, 0);
    }
    assert_int_equal(srv_http_parser_finish(parser), 0);
    srv_http_parser_destroy(parser);
}

/* A request's texts stay while its body arrives, and behind its END until the next feed. */
static void test_texts_stay(void **state) {
    (void)state;
    static const char head[] = "PUT /a HTTP/1.1\r\nHost: a\r\nX-Name:  value \r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    static const char body[] = "3\r\nabc\r\n0\r\nT: 1\r\n\r\n";
    struct srv_http_parser *parser;
    struct srv_http_event event;
    size_t taken;
    assert_int_equal(srv_http_parser_create(NULL, &parser), 0);
    assert_int_equal(srv_http_parser_feed(parser, head, sizeof(head) - 1, &taken, &event), 0);
    const struct srv_http_request *request = event.request;
    const char *at = body;
    do {
        size_t left = sizeof(body) - 1 - (size_t)(at - body);
        assert_int_equal(srv_http_parser_feed(parser, at, left, &taken, &event), 0);
        at += taken;
    } while (event.kind != SRV_HTTP_END);
    assert_ptr_equal(event.request, request);
    assert_true(srv_http_text_is(request->path, "/a"));
    assert_int_equal(event.trailer_count, 1);
    const struct srv_http_field *field =
        srv_http_field_find(request->fields, request->field_count, "x-name", NULL);
    assert_non_null(field);
    assert_true(srv_http_text_is(field->value, "value"));
    assert_null(srv_http_field_find(request->fields, request->field_count, "x-name", field));
    assert_null(srv_http_field_find(request->fields, request->field_count, "x-nam", NULL));
    srv_http_parser_destroy(parser);
}

static void test_one_block_of_memory(void **state) {
    (void)state;
    static const char one[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    struct srv_http_parser *parser = NULL;
    struct srv_http_event event;
    size_t taken;
    fail_alloc_at(1);
    assert_int_equal(srv_http_parser_create(NULL, &parser), -ENOMEM);
    fail_alloc_stop();
    assert_null(parser);
    assert_int_equal(srv_http_parser_create(NULL, &parser), 0);
    unsigned long before = fail_alloc_count();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(srv_http_parser_feed(parser, one, sizeof(one) - 1, &taken, &event), 0);
        assert_int_equal(event.kind, SRV_HTTP_REQUEST);
        srv_http_parser_rest(parser); /* in a request: nothing */
        assert_int_equal(srv_http_parser_feed(parser, NULL, 0, &taken, &event), 0);
        assert_int_equal(event.kind, SRV_HTTP_END);
        assert_true(srv_http_text_is(event.request->path, "/"));
    }
    assert_int_equal(fail_alloc_count() - before, 1);
    srv_http_parser_rest(parser);
    fail_alloc_at(1);
    assert_int_equal(srv_http_parser_feed(parser, one, sizeof(one) - 1, &taken, &event), -ENOMEM);
    fail_alloc_stop();
    assert_int_equal(srv_http_parser_fault(parser)->status, 503);
    srv_http_parser_destroy(parser);
    srv_http_parser_destroy(NULL);
}

static void test_lists(void **state) {
    (void)state;
    struct srv_http_text list = SRV_HTTP_TEXT(" , a ,\tb c,,d\t,");
    struct srv_http_text element;
    static const char *const elements[] = {"a", "b c", "d"};
    for (size_t i = 0; i < KN_COUNT(elements); i++) {
        assert_true(srv_http_list_next(&list, &element));
        assert_true(srv_http_text_is(element, elements[i]));
    }
    assert_false(srv_http_list_next(&list, &element));
}

/* Every fault has a name, a status of its class, and a result. */
static void test_fault_table(void **state) {
    (void)state;
    for (int kind = SRV_HTTP_BAD_REQUEST_LINE; kind <= SRV_HTTP_NO_MEMORY; kind++) {
        struct srv_http_fault fault = srv_http_fault_make((enum srv_http_fault_kind)kind, 7);
        assert_true(fault.status >= 400 && fault.status <= 505);
        assert_true(fault.result < 0 && fault.offset == 7);
        assert_true(strlen(fault.phrase) > 5);
        for (int other = SRV_HTTP_FINE; other < kind; other++) {
            assert_string_not_equal(srv_http_fault_name((enum srv_http_fault_kind)other),
                                    srv_http_fault_name((enum srv_http_fault_kind)kind));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused_request_lines),
        cmocka_unit_test(test_refused_fields),
        cmocka_unit_test(test_refused_smuggling),
        cmocka_unit_test(test_refused_chunks),
        cmocka_unit_test(test_fault_behind_a_good_request),
        cmocka_unit_test(test_truncated_everywhere),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_default_limits),
        cmocka_unit_test(test_allowed_body),
        cmocka_unit_test(test_upgrade_taken),
        cmocka_unit_test(test_upgrade_late),
        cmocka_unit_test(test_texts_stay),
        cmocka_unit_test(test_one_block_of_memory),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_fault_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
