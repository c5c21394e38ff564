#include "tests/support/signed_request.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/http/chars.h"

struct line {
    char *at;
    size_t size;
};

/* False at the end. A line without its '\n' is one too. */
static bool next_line(char **text, size_t *size, struct line *ret_line) {
    if (*size == 0) {
        return false;
    }
    char *end = memchr(*text, '\n', *size);
    size_t length = end == NULL ? *size : (size_t)(end - *text);
    size_t used = end == NULL ? length : length + 1;
    *ret_line = (struct line){*text, length};
    *text += used;
    *size -= used;
    return true;
}

static bool begins(struct line line, const char *with) {
    return line.size >= strlen(with) && memcmp(line.at, with, strlen(with)) == 0;
}

static int read_hash(struct line line, struct signed_request *signed_) {
    if (line.size != 2 * (size_t)SRV_SHA256_BYTES) {
        return KN_E_MALFORMED;
    }
    for (size_t i = 0; i < SRV_SHA256_BYTES; i++) {
        int high = srv_http_hex_value(line.at[2 * i]);
        int low = srv_http_hex_value(line.at[2 * i + 1]);
        if (high < 0 || low < 0) {
            return KN_E_MALFORMED;
        }
        signed_->body_sha256[i] = (uint8_t)(high * 16 + low);
    }
    signed_->request.body_sha256 = signed_->body_sha256;
    return 0;
}

static int read_setting(struct line line, struct signed_request *signed_) {
    static const char body[] = "@body ";
    static const char port[] = "@port ";
    if (begins(line, port)) {
        unsigned number = 0;
        for (size_t i = sizeof(port) - 1; i < line.size && number < 10000; i++) {
            number = number * 10 + ((unsigned)line.at[i] - '0') % 10;
        }
        signed_->request.port = (uint16_t)number;
        return 0;
    }
    if (begins(line, "@body streamed")) {
        signed_->request.body = SRV_BODY_STREAMED;
        return 0;
    }
    size_t at = sizeof(body) - 1;
    return begins(line, body) ? read_hash((struct line){line.at + at, line.size - at}, signed_)
                              : KN_E_MALFORMED;
}

/* "METHOD path?query": the method gets its NUL in the place of the space. */
static int read_first(struct line line, struct signed_request *signed_) {
    char *space = memchr(line.at, ' ', line.size);
    if (space == NULL) {
        return KN_E_MALFORMED;
    }
    *space = '\0';
    char *target = space + 1;
    size_t size = line.size - (size_t)(target - line.at);
    char *mark = memchr(target, '?', size);
    size_t path = mark == NULL ? size : (size_t)(mark - target);
    size_t query_at = mark == NULL ? size : path + 1;
    signed_->request.method = line.at;
    signed_->request.path = (struct srv_http_text){target, path};
    signed_->request.query = (struct srv_http_text){target + query_at, size - query_at};
    return 0;
}

static int read_field(struct line line, struct signed_request *signed_) {
    char *colon = memchr(line.at, ':', line.size);
    size_t count = signed_->request.field_count;
    if (colon == NULL || count == SIGNED_REQUEST_FIELDS) {
        return KN_E_MALFORMED;
    }
    size_t name = (size_t)(colon - line.at);
    for (size_t i = 0; i < name; i++) {
        line.at[i] = srv_http_lower(line.at[i]);
    }
    signed_->fields[count] = (struct srv_http_field){
        .name = {line.at, name},
        .value = srv_http_trim((struct srv_http_text){colon + 1, line.size - name - 1}),
    };
    if (!srv_http_is_token(signed_->fields[count].name)) {
        return KN_E_MALFORMED;
    }
    signed_->request.field_count++;
    return 0;
}

int signed_request_read(char *text, size_t size, struct signed_request *signed_) {
    struct line line;
    bool first = false;
    int rc = 0;
    memset(signed_, 0, sizeof(*signed_));
    signed_->request.fields = signed_->fields;
    while (rc == 0 && next_line(&text, &size, &line)) {
        if (!first && begins(line, "@")) {
            rc = read_setting(line, signed_);
        } else {
            rc = first ? read_field(line, signed_) : read_first(line, signed_);
            first = true;
        }
    }
    return rc == 0 && !first ? KN_E_MALFORMED : rc;
}
