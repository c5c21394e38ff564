/* RFC 9112 4, 6, 7 and 9 from the server's side. */
#include "server/http/response.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "server/http/chars.h"

static void write_text(struct kn_writer *writer, const char *text) {
    kn_write_bytes(writer, text, strlen(text));
}

static void write_field(struct kn_writer *writer, const char *name, const char *value) {
    write_text(writer, name);
    write_text(writer, ": ");
    write_text(writer, value);
    write_text(writer, "\r\n");
}

void srv_http_response_init(struct srv_http_response *response,
                            const struct srv_http_request *request, const char *date) {
    *response =
        (struct srv_http_response){.state = SRV_HTTP_RESPONSE_BEGUN, .date = date, .close = true};
    if (request != NULL) {
        response->http_1_0 = request->minor == 0;
        response->head_only = request->method == SRV_HTTP_HEAD;
        response->upgrades = request->upgrade.size > 0;
        response->close = !request->keep_alive;
        response->expects_continue = request->expects_continue;
    }
}

int srv_http_response_continue(struct srv_http_response *response, struct kn_writer *writer) {
    if (response->state != SRV_HTTP_RESPONSE_BEGUN) {
        return -EALREADY;
    }
    if (response->expects_continue) {
        response->expects_continue = false;
        write_text(writer, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    return 0;
}

void srv_http_response_close(struct srv_http_response *response) {
    response->close = true;
}

/* ---- head ---- */

static bool is_ours(struct srv_http_text name) {
    static const char *const ours[] = {"content-length", "transfer-encoding", "connection", "date"};
    for (size_t i = 0; i < KN_COUNT(ours); i++) {
        if (srv_http_text_is(name, ours[i])) {
            return true;
        }
    }
    return false;
}

static bool fields_are_right(const struct srv_http_field *fields, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!srv_http_is_token(fields[i].name) || !srv_http_is_value(fields[i].value) ||
            is_ours(fields[i].name)) {
            return false;
        }
    }
    return true;
}

static bool status_is_right(const struct srv_http_response *response, int status,
                            const struct srv_http_field *fields, size_t count) {
    if (status == 101) {
        return response->upgrades && srv_http_field_find(fields, count, "upgrade", NULL) != NULL;
    }
    return status >= 200 && status <= 599;
}

static void write_status_line(struct kn_writer *writer, int status) {
    char line[16];
    (void)snprintf(line, sizeof(line), "HTTP/1.1 %03d ", status);
    write_text(writer, line);
    write_text(writer, srv_http_status_phrase(status));
    write_text(writer, "\r\n");
}

static void write_connection(const struct srv_http_response *response, struct kn_writer *writer) {
    if (response->status == 101) {
        write_field(writer, "Connection", "upgrade");
    } else if (response->close) {
        write_field(writer, "Connection", "close");
    } else if (response->http_1_0) {
        write_field(writer, "Connection", "keep-alive");
    }
}

/* A response without a body by its status says nothing about one; to HEAD it says what GET would
 * get. */
static void write_framing(const struct srv_http_response *response, struct kn_writer *writer) {
    char length[24];
    if (response->bodiless) {
        return;
    }
    if (response->chunked) {
        write_field(writer, "Transfer-Encoding", "chunked");
    } else if (response->left != SRV_HTTP_UNKNOWN_LENGTH) {
        (void)snprintf(length, sizeof(length), "%" PRIu64, response->left);
        write_field(writer, "Content-Length", length);
    }
}

static void write_fields(struct kn_writer *writer, const struct srv_http_field *fields,
                         size_t count) {
    for (size_t i = 0; i < count; i++) {
        kn_write_bytes(writer, fields[i].name.data, fields[i].name.size);
        write_text(writer, ": ");
        kn_write_bytes(writer, fields[i].value.data, fields[i].value.size);
        write_text(writer, "\r\n");
    }
}

/* What the head decides about the body and the connection. */
static void settle(struct srv_http_response *response, int status, uint64_t length) {
    bool unknown = length == SRV_HTTP_UNKNOWN_LENGTH;
    response->status = status;
    response->bodiless = status == 101 || status == 204 || status == 304;
    response->chunked = unknown && !response->http_1_0 && !response->bodiless;
    response->left = length;
    response->state = status == 101 ? SRV_HTTP_RESPONSE_ENDED : SRV_HTTP_RESPONSE_BODY;
    if (response->expects_continue ||
        (unknown && response->http_1_0 && !response->bodiless && !response->head_only)) {
        response->close = true;
    }
}

int srv_http_response_head(struct srv_http_response *response, struct kn_writer *writer, int status,
                           const struct srv_http_field *fields, size_t count, uint64_t length) {
    if (response->state != SRV_HTTP_RESPONSE_BEGUN) {
        return -EALREADY;
    }
    if (!status_is_right(response, status, fields, count) || !fields_are_right(fields, count)) {
        return -EINVAL;
    }
    settle(response, status, length);
    write_status_line(writer, status);
    if (response->date != NULL) {
        write_field(writer, "Date", response->date);
    }
    write_connection(response, writer);
    write_framing(response, writer);
    write_fields(writer, fields, count);
    write_text(writer, "\r\n");
    return 0;
}

/* ---- body ---- */

static int count_body(struct srv_http_response *response, uint64_t size) {
    if (response->state != SRV_HTTP_RESPONSE_BODY) {
        return -EINVAL;
    }
    if (response->left != SRV_HTTP_UNKNOWN_LENGTH) {
        if (size > response->left) {
            return KN_E_LIMIT;
        }
        response->left -= size;
    }
    return 0;
}

int srv_http_response_frame(struct srv_http_response *response, uint64_t size,
                            struct srv_http_frame *ret_frame) {
    struct srv_http_frame frame = {.after = ""};
    int rc = count_body(response, size);
    if (rc != 0) {
        return rc;
    }
    /* A chunk of no bytes would end the body. */
    frame.send = size > 0 && !response->head_only && !response->bodiless;
    if (frame.send) {
        response->body_bytes += size;
    }
    if (frame.send && response->chunked) {
        int length = snprintf(frame.before, sizeof(frame.before), "%" PRIx64 "\r\n", size);
        frame.before_bytes = (size_t)length;
        frame.after = "\r\n";
        frame.after_bytes = 2;
    }
    *ret_frame = frame;
    return 0;
}

int srv_http_response_body(struct srv_http_response *response, struct kn_writer *writer,
                           const void *data, size_t size) {
    struct srv_http_frame frame;
    int rc = srv_http_response_frame(response, size, &frame);
    if (rc == 0 && frame.send) {
        kn_write_bytes(writer, frame.before, frame.before_bytes);
        kn_write_bytes(writer, data, size);
        kn_write_bytes(writer, frame.after, frame.after_bytes);
    }
    return rc;
}

int srv_http_response_end(struct srv_http_response *response, struct kn_writer *writer) {
    if (response->state != SRV_HTTP_RESPONSE_BODY) {
        return -EINVAL;
    }
    bool whole = response->left == 0 || response->left == SRV_HTTP_UNKNOWN_LENGTH ||
                 response->head_only || response->bodiless;
    if (!whole) {
        srv_http_response_break(response);
        return KN_E_TRUNCATED;
    }
    if (response->chunked && !response->head_only) {
        write_text(writer, "0\r\n\r\n");
    }
    response->state = SRV_HTTP_RESPONSE_ENDED;
    return 0;
}

void srv_http_response_break(struct srv_http_response *response) {
    response->state = SRV_HTTP_RESPONSE_BROKEN;
    response->close = true;
}

bool srv_http_response_keeps(const struct srv_http_response *response) {
    return response->state == SRV_HTTP_RESPONSE_ENDED && !response->close &&
           response->status != 101;
}

int srv_http_response_fault(struct srv_http_response *response, struct kn_writer *writer,
                            const struct srv_http_fault *fault) {
    static const struct srv_http_field fields[] = {
        {{"Content-Type", 12}, {"text/plain; charset=utf-8", 25}},
        {{"Cache-Control", 13}, {"no-store", 8}},
    };
    size_t size = strlen(fault->phrase);
    srv_http_response_close(response);
    int rc =
        srv_http_response_head(response, writer, fault->status, fields, KN_COUNT(fields), size + 1);
    if (rc == 0) {
        rc = srv_http_response_body(response, writer, fault->phrase, size);
    }
    if (rc == 0) {
        rc = srv_http_response_body(response, writer, "\n", 1);
    }
    return rc == 0 ? srv_http_response_end(response, writer) : rc;
}
