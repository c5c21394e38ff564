/* Field lines, and what they say together: RFC 9112 5 and 6, RFC 9110 7.2, 7.6.1, 7.8, 10.1.1. */
#include "server/http/head.h"

#include <string.h>

#include "server/http/chars.h"

/* Fits in uint64 whatever the digits. */
#define LENGTH_DIGITS 19u

static struct srv_http_head_fault fault(enum srv_http_fault_kind kind, const char *at) {
    return (struct srv_http_head_fault){kind, at};
}

static struct srv_http_head_fault fine(void) {
    return fault(SRV_HTTP_FINE, NULL);
}

struct srv_http_head_fault srv_http_head_field(char *line, size_t size,
                                               struct srv_http_field *ret_field) {
    size_t name = srv_http_span((struct srv_http_text){line, size}, SRV_HTTP_CHAR_TOKEN);
    if (size > 0 && (line[0] == ' ' || line[0] == '\t')) {
        return fault(SRV_HTTP_FOLDED, line);
    }
    /* White space before the colon ends here as well. */
    if (name == 0 || name == size || line[name] != ':') {
        return fault(SRV_HTTP_BAD_FIELD_NAME, line + name);
    }
    struct srv_http_text value = {line + name + 1, size - name - 1};
    size_t good = srv_http_span(value, SRV_HTTP_CHAR_VALUE);
    if (good < value.size) {
        return fault(SRV_HTTP_BAD_FIELD_VALUE, value.data + good);
    }
    for (size_t i = 0; i < name; i++) {
        line[i] = srv_http_lower(line[i]);
    }
    *ret_field = (struct srv_http_field){{line, name}, srv_http_trim(value)};
    return fine();
}

/* ---- which fields count ---- */

enum known { OTHER, HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, EXPECT, UPGRADE };

static const struct {
    const char *name;
    size_t size;
} known_names[] = {
    [HOST] = {"host", 4},
    [CONTENT_LENGTH] = {"content-length", 14},
    [TRANSFER_ENCODING] = {"transfer-encoding", 17},
    [CONNECTION] = {"connection", 10},
    [EXPECT] = {"expect", 6},
    [UPGRADE] = {"upgrade", 7},
};

/* In lower case, with '_' for '-' too: what some programs take for the same name must not pass as
 * another. */
static bool is_like(struct srv_http_text name, const char *known) {
    for (size_t i = 0; i < name.size; i++) {
        char c = srv_http_lower(name.data[i]);
        if (c != known[i] && (c != '_' || known[i] != '-')) {
            return false;
        }
    }
    return true;
}

static enum known which(struct srv_http_text name) {
    for (size_t i = HOST; i < KN_COUNT(known_names); i++) {
        if (name.size == known_names[i].size && is_like(name, known_names[i].name)) {
            return (enum known)i;
        }
    }
    return OTHER;
}

bool srv_http_head_may_trail(struct srv_http_text name) {
    return which(name) == OTHER;
}

/* ---- what each says ---- */

struct settling {
    struct srv_http_request *request;
    const struct srv_http_field *seen[KN_COUNT(known_names)];
    bool close, keep_alive, upgrade;
};

static struct srv_http_head_fault settle_connection(struct settling *settling,
                                                    struct srv_http_text list) {
    struct srv_http_text option;
    while (srv_http_list_next(&list, &option)) {
        if (!srv_http_is_token(option)) {
            return fault(SRV_HTTP_BAD_CONNECTION, option.data);
        }
        settling->close |= srv_http_text_is(option, "close");
        settling->keep_alive |= srv_http_text_is(option, "keep-alive");
        settling->upgrade |= srv_http_text_is(option, "upgrade");
    }
    return fine();
}

/* Fields that stand once, and Connection, which may be repeated. */
static struct srv_http_head_fault settle_field(struct settling *settling,
                                               const struct srv_http_field *field) {
    static const enum srv_http_fault_kind repeated[] = {
        [HOST] = SRV_HTTP_BAD_HOST,
        [CONTENT_LENGTH] = SRV_HTTP_BAD_LENGTH,
        [TRANSFER_ENCODING] = SRV_HTTP_BAD_CODING,
        [CONNECTION] = SRV_HTTP_FINE,
        [EXPECT] = SRV_HTTP_BAD_EXPECT,
        [UPGRADE] = SRV_HTTP_BAD_CONNECTION,
    };
    enum known known = which(field->name);
    if (known == OTHER) {
        return fine();
    }
    if (memcmp(field->name.data, known_names[known].name, field->name.size) != 0) {
        return fault(SRV_HTTP_BAD_FIELD_NAME, field->name.data);
    }
    if (known == CONNECTION) {
        return settle_connection(settling, field->value);
    }
    if (settling->seen[known] != NULL) {
        return fault(repeated[known], field->name.data);
    }
    settling->seen[known] = field;
    return fine();
}

static struct srv_http_head_fault settle_host(const struct settling *settling, const char *end) {
    struct srv_http_request *request = settling->request;
    const struct srv_http_field *host = settling->seen[HOST];
    struct srv_http_request ignored;
    if (host == NULL) {
        return request->minor == 0 ? fine() : fault(SRV_HTTP_BAD_HOST, end);
    }
    /* Beside an absolute target it does not count, but must be right. */
    struct srv_http_request *into = request->form == SRV_HTTP_ABSOLUTE ? &ignored : request;
    if (!srv_http_head_authority(host->value, into)) {
        return fault(SRV_HTTP_BAD_HOST, host->value.data);
    }
    return fine();
}

static struct srv_http_head_fault settle_length(struct srv_http_request *request,
                                                struct srv_http_text value) {
    uint64_t length = 0;
    if (value.size == 0 || value.size > LENGTH_DIGITS ||
        srv_http_span(value, SRV_HTTP_CHAR_DIGIT) != value.size) {
        return fault(SRV_HTTP_BAD_LENGTH, value.data);
    }
    for (size_t i = 0; i < value.size; i++) {
        length = length * 10 + (uint64_t)(value.data[i] - '0');
    }
    request->body = SRV_HTTP_BODY_LENGTH;
    request->content_length = length;
    return fine();
}

/* Anything but a lone "chunked" is refused; the status says whether its framing was plain. */
static struct srv_http_head_fault settle_coding(struct srv_http_request *request,
                                                struct srv_http_text value) {
    struct srv_http_text list = value, coding = {value.data, 0};
    size_t chunked = 0;
    if (request->minor == 0) {
        return fault(SRV_HTTP_BAD_CODING, value.data);
    }
    if (srv_http_text_is(value, "chunked")) {
        request->body = SRV_HTTP_BODY_CHUNKED;
        return fine();
    }
    while (srv_http_list_next(&list, &coding)) {
        chunked += srv_http_text_is(coding, "chunked");
    }
    bool last = chunked == 1 && srv_http_text_is(coding, "chunked") && coding.data != value.data;
    return fault(last ? SRV_HTTP_UNKNOWN_CODING : SRV_HTTP_BAD_CODING, value.data);
}

static struct srv_http_head_fault settle_body(const struct settling *settling) {
    const struct srv_http_field *length = settling->seen[CONTENT_LENGTH];
    const struct srv_http_field *coding = settling->seen[TRANSFER_ENCODING];
    if (length != NULL && coding != NULL) {
        const struct srv_http_field *second = length > coding ? length : coding;
        return fault(SRV_HTTP_LENGTH_AND_CODING, second->name.data);
    }
    if (coding != NULL) {
        return settle_coding(settling->request, coding->value);
    }
    return length == NULL ? fine() : settle_length(settling->request, length->value);
}

static bool has_body(const struct srv_http_request *request) {
    return request->body == SRV_HTTP_BODY_CHUNKED ||
           (request->body == SRV_HTTP_BODY_LENGTH && request->content_length > 0);
}

/* HTTP/1.0 has neither Expect nor Upgrade: both must be ignored there. */
static struct srv_http_head_fault settle_wishes(const struct settling *settling) {
    struct srv_http_request *request = settling->request;
    const struct srv_http_field *expect = settling->seen[EXPECT];
    const struct srv_http_field *upgrade = settling->seen[UPGRADE];
    request->keep_alive = !settling->close && (request->minor == 1 || settling->keep_alive);
    if (request->minor == 0) {
        return fine();
    }
    if (expect != NULL) {
        if (!srv_http_text_is(expect->value, "100-continue")) {
            return fault(SRV_HTTP_BAD_EXPECT, expect->value.data);
        }
        request->expects_continue = has_body(request);
    }
    if (upgrade != NULL && settling->upgrade) {
        request->upgrade = upgrade->value;
    }
    return fine();
}

struct srv_http_head_fault srv_http_head_settle(struct srv_http_request *request, const char *end) {
    struct settling settling = {.request = request};
    struct srv_http_head_fault wrong = fine();
    for (size_t i = 0; i < request->field_count && wrong.kind == SRV_HTTP_FINE; i++) {
        wrong = settle_field(&settling, &request->fields[i]);
    }
    if (wrong.kind == SRV_HTTP_FINE) {
        wrong = settle_host(&settling, end);
    }
    if (wrong.kind == SRV_HTTP_FINE) {
        wrong = settle_body(&settling);
    }
    return wrong.kind == SRV_HTTP_FINE ? settle_wishes(&settling) : wrong;
}
