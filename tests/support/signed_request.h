/* A request as text, for the tests of signatures:
 *
 *     @port 5466                  \
 *     @body streamed               } or none of these: no port known, no body
 *     @body 64 hexadecimal digits /
 *     POST /describeStream?a=b
 *     host: 127.0.0.1:5466
 *     x-amz-date: 20261120T212340Z
 *
 * Lines end in '\n'; values stand as they are, behind the colon. */
#ifndef TESTS_SUPPORT_SIGNED_REQUEST_H
#define TESTS_SUPPORT_SIGNED_REQUEST_H

#include "base/attributes.h"
#include "server/auth/sigv4.h"

#define SIGNED_REQUEST_FIELDS 128u

struct signed_request {
    struct srv_sigv4_request request;
    struct srv_http_field fields[SIGNED_REQUEST_FIELDS];
    uint8_t body_sha256[SRV_SHA256_BYTES];
};

/* `text` is written into (names become lower case) and borrowed. 0 or KN_E_MALFORMED. */
KN_MUST_CHECK int signed_request_read(char *text, size_t size, struct signed_request *signed_);

#endif
