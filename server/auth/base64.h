/* Base64 (RFC 4648), strictly: one text for the same bytes. Pure. */
#ifndef SERVER_AUTH_BASE64_H
#define SERVER_AUTH_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "server/http/http.h"

enum srv_base64 {
    SRV_BASE64_PLAIN, /* with + and /, filled up with = */
    SRV_BASE64_URL    /* with - and _, not filled up */
};

/* Characters for so many bytes, as SRV_BASE64_URL. */
#define SRV_BASE64_URL_CHARS(bytes) (((bytes)*4 + 2) / 3)

/* As SRV_BASE64_URL; how many characters it wrote. No NUL. */
size_t srv_base64_write(const uint8_t *data, size_t size, char *text);
/* 0; KN_E_MALFORMED; KN_E_LIMIT: it does not fit. */
KN_MUST_CHECK int srv_base64_read(enum srv_base64 how, struct srv_http_text text, uint8_t *room,
                                  size_t room_bytes, size_t *ret_size);

#endif
