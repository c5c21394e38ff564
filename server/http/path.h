/* A request's path as decoded segments: what routes are matched against. Pure. */
#ifndef SERVER_HTTP_PATH_H
#define SERVER_HTTP_PATH_H

#include "server/http/http.h"

#define SRV_HTTP_PATH_BYTES 2048
#define SRV_HTTP_PATH_SEGMENTS 32

/* "/" has no segment; "/a/" and "/a" one, and `slash` tells them apart; "//a" has an empty one in
 * front. */
struct srv_http_path {
    struct srv_http_text segments[SRV_HTTP_PATH_SEGMENTS]; /* into `text` */
    size_t count;
    bool slash; /* ends in '/' */
    char text[SRV_HTTP_PATH_BYTES];
};

/* Decodes `raw` (srv_http_request.path of another form than ASTERISK), then takes out "." and ".."
 * however they were written, into the caller's `path`, which is empty on failure. 0;
 * KN_E_MALFORMED: no '/' in front, a '%' without two hexadecimal digits, %2F, a ".." above the
 * root, or a segment that is not text (kn_text_character: broken UTF-8, NUL, control characters);
 * KN_E_LIMIT: over the sizes above. */
KN_MUST_CHECK int srv_http_path_split(struct srv_http_text raw, struct srv_http_path *path);

bool srv_http_path_segment_is(const struct srv_http_path *path, size_t index, const char *text);

#endif
