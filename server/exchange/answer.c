/* Answers as a whole: kept in the exchange by whoever makes them, on a worker or the loop, and
 * written by the loop. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "server/exchange/inner.h"

/* A head beyond it needs memory of its own. */
#define HEAD_BYTES 2048u
/* What we write around the caller's fields. */
#define HEAD_OWN_BYTES 512u

/* ---- making one ---- */

static void drop_body(struct srv_answer *answer) {
    free(answer->data);
    kn_buffer_unref(answer->buffer);
    if (answer->fd >= 0) {
        (void)close(answer->fd); /* read only */
    }
    answer->data = NULL;
    answer->buffer = NULL;
    answer->fd = -1;
    answer->size = 0;
    answer->file_bytes = 0;
}

void srv_answer_finish(struct srv_answer *answer) {
    drop_body(answer);
    for (size_t i = 0; i < answer->field_count; i++) {
        free(answer->fields[i].value);
    }
    answer->field_count = 0;
}

static bool is_ours(const char *name) {
    static const char *const ours[] = {"content-type",      "content-length", "date",
                                       "transfer-encoding", "connection",     "x-request-id"};
    const struct srv_http_text text = {name, strlen(name)};
    for (size_t i = 0; i < KN_COUNT(ours); i++) {
        if (srv_http_text_is(text, ours[i])) {
            return true;
        }
    }
    return !srv_http_is_token(text);
}

/* Where a field of this name is, or would come. */
static size_t place_of(const struct srv_answer *answer, const char *name) {
    size_t at = 0;
    while (at < answer->field_count && strcmp(answer->fields[at].name, name) != 0) {
        at++;
    }
    return at;
}

void srv_answer_field(struct srv_exchange *exchange, const char *name, const char *value) {
    struct srv_answer *answer = &exchange->answer;
    const struct srv_http_text text = {value, strlen(value)};
    size_t at = place_of(answer, name);
    if (is_ours(name) || !srv_http_is_value(text) || at == SRV_FIELDS_MAX) {
        kn_log_error("a field cannot be in an answer", kn_str("field", name),
                     kn_str("id", exchange->id));
        return;
    }
    char *copy = strdup(value);
    if (copy == NULL) {
        answer->no_memory = true;
        return;
    }
    if (at < answer->field_count) {
        free(answer->fields[at].value);
    } else {
        answer->field_count++;
    }
    answer->fields[at].name = name;
    answer->fields[at].value = copy;
}

/* False: there is one already. */
static bool begin(struct srv_exchange *exchange, int status, const char *type) {
    struct srv_answer *answer = &exchange->answer;
    if (answer->given || exchange->head_written) {
        kn_log_error("a second answer to one request", kn_str("id", exchange->id),
                     kn_int("status", status));
        return false;
    }
    size_t size = type == NULL ? 0 : strlen(type);
    KN_ASSERT(size < sizeof(answer->type));
    if (size > 0) {
        memcpy(answer->type, type, size + 1);
    }
    answer->given = true;
    answer->status = status;
    return true;
}

/* On a worker it waits until the loop has the exchange again. */
static void end(struct srv_exchange *exchange) {
    if (exchange->phase != SRV_PHASE_WORK) {
        srv_exchange_write_answer(exchange);
    }
}

void srv_answer(struct srv_exchange *exchange, int status, const char *type, const void *data,
                size_t size) {
    struct srv_answer *answer = &exchange->answer;
    if (!begin(exchange, status, type)) {
        return;
    }
    answer->data = size > 0 ? malloc(size) : NULL;
    if (answer->data != NULL) {
        memcpy(answer->data, data, size);
        answer->size = size;
    }
    answer->no_memory |= size > 0 && answer->data == NULL;
    end(exchange);
}

void srv_answer_empty(struct srv_exchange *exchange, int status) {
    srv_answer(exchange, status, NULL, NULL, 0);
}

void srv_answer_json(struct srv_exchange *exchange, int status, json_t *value) {
    struct srv_answer *answer = &exchange->answer;
    char *text = value == NULL ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    if (!begin(exchange, status, "application/json")) {
        free(text);
        return;
    }
    answer->data = text;
    answer->size = text == NULL ? 0 : strlen(text);
    answer->no_memory |= text == NULL;
    end(exchange);
}

void srv_answer_file(struct srv_exchange *exchange, int status, const char *type, int fd,
                     uint64_t offset, uint64_t size) {
    struct srv_answer *answer = &exchange->answer;
    if (!begin(exchange, status, type)) {
        (void)close(fd); /* read only */
        return;
    }
    answer->fd = fd;
    answer->offset = offset;
    answer->file_bytes = size;
    end(exchange);
}

void srv_answer_buffer(struct srv_exchange *exchange, int status, const char *type,
                       struct kn_buffer *buffer) {
    if (!begin(exchange, status, type)) {
        kn_buffer_unref(buffer);
        return;
    }
    exchange->answer.buffer = buffer;
    end(exchange);
}

/* ---- writing its head ---- */

struct fields {
    struct srv_http_field rows[SRV_FIELDS_MAX + 4];
    size_t count, bytes;
    bool has_cache_control;
};

static void add(struct fields *fields, const char *name, const char *value) {
    const struct srv_http_text text = {name, strlen(name)};
    fields->has_cache_control |= srv_http_text_is(text, "cache-control");
    fields->rows[fields->count++] = (struct srv_http_field){text, {value, strlen(value)}};
    fields->bytes += text.size + strlen(value) + 4;
}

static struct fields gather_fields(const struct srv_exchange *exchange) {
    struct fields fields = {.count = 0};
    const struct srv_answer *answer = &exchange->answer;
    for (size_t i = 0; i < answer->field_count; i++) {
        add(&fields, answer->fields[i].name, answer->fields[i].value);
    }
    if (answer->type[0] != '\0') {
        add(&fields, "Content-Type", answer->type);
    }
    add(&fields, "X-Request-Id", exchange->id);
    add(&fields, "X-Content-Type-Options", "nosniff");
    if (!fields.has_cache_control) {
        add(&fields, "Cache-Control", "no-store");
    }
    return fields;
}

/* A body that was refused is read to its end where that is near, so that the connection can stay.
 */
static bool body_is_too_far(const struct srv_exchange *exchange) {
    const struct srv_http_request *request = exchange->request;
    return request != NULL && !exchange->body_read && exchange->phase != SRV_PHASE_FLOW &&
           request->body == SRV_HTTP_BODY_LENGTH &&
           request->content_length - exchange->received_bytes > SRV_DROP_MAX;
}

int srv_exchange_write_head(struct srv_exchange *exchange, uint64_t length) {
    char room[HEAD_BYTES];
    struct kn_writer writer;
    struct fields fields = gather_fields(exchange);
    void *more =
        fields.bytes + HEAD_OWN_BYTES > sizeof(room) ? malloc(fields.bytes + HEAD_OWN_BYTES) : NULL;
    if (more == NULL && fields.bytes + HEAD_OWN_BYTES > sizeof(room)) {
        return -ENOMEM;
    }
    if (body_is_too_far(exchange)) {
        srv_http_response_close(&exchange->response);
    }
    kn_writer_init(&writer, more == NULL ? room : more,
                   more == NULL ? sizeof(room) : fields.bytes + HEAD_OWN_BYTES);
    int rc = srv_http_response_head(&exchange->response, &writer, exchange->answer.status,
                                    fields.rows, fields.count, length);
    if (rc == 0) {
        rc = kn_writer_status(&writer);
    }
    if (rc == 0) {
        rc = srv_output_copy(&exchange->conn->output, writer.data, writer.size);
    }
    free(more);
    exchange->head_written = rc == 0;
    return rc;
}

/* ---- writing all of it ---- */

static uint64_t length_of(const struct srv_answer *answer) {
    return answer->fd >= 0          ? answer->file_bytes
           : answer->buffer != NULL ? answer->buffer->size
                                    : answer->size;
}

/* Moves the body into the output. */
static int write_body(struct srv_exchange *exchange) {
    struct srv_answer *answer = &exchange->answer;
    struct srv_output *output = &exchange->conn->output;
    struct srv_http_frame frame;
    int rc = srv_http_response_frame(&exchange->response, length_of(answer), &frame);
    if (rc != 0 || !frame.send) {
        return rc;
    }
    if (answer->fd >= 0) {
        rc = srv_output_file(output, answer->fd, answer->offset, answer->file_bytes);
        answer->fd = -1;
    } else if (answer->buffer != NULL) {
        rc = srv_output_buffer(output, NULL, 0, answer->buffer, NULL, 0);
        answer->buffer = NULL;
    } else {
        rc = srv_output_own(output, answer->data, answer->size);
        answer->data = NULL;
    }
    return rc;
}

static int write_all(struct srv_exchange *exchange) {
    struct kn_writer writer;
    kn_writer_init(&writer, NULL, 0); /* nothing follows a body whose length was said */
    int rc = srv_exchange_write_head(exchange, length_of(&exchange->answer));
    if (rc == 0) {
        rc = write_body(exchange);
    }
    return rc == 0 ? srv_http_response_end(&exchange->response, &writer) : rc;
}

/* What could not be kept becomes a plain refusal. */
static void mend(struct srv_answer *answer) {
    if (answer->given && !answer->no_memory) {
        return;
    }
    drop_body(answer);
    answer->given = true;
    answer->status = 503;
    answer->type[0] = '\0';
}

void srv_exchange_write_answer(struct srv_exchange *exchange) {
    struct srv_http_conn *conn = exchange->conn;
    int rc = 0;
    mend(&exchange->answer);
    if (conn != NULL) {
        rc = write_all(exchange);
    }
    if (rc != 0) {
        kn_log_error("an answer is broken off", kn_str("id", exchange->id), kn_err("error", rc));
        srv_http_response_break(&exchange->response);
    }
    exchange->phase = SRV_PHASE_ANSWERED;
    srv_answer_finish(&exchange->answer);
    if (conn != NULL) {
        srv_http_conn_touch(conn);
    }
}
