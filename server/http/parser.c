/* The push machine of request.h.
 *
 *   from               input                    to                  effect
 *   BETWEEN            a byte                   REQUEST_LINE        memory, once
 *   REQUEST_LINE       an empty line, once      BETWEEN
 *                      a line                   FIELDS
 *   FIELDS             a field line             FIELDS
 *                      the empty line           BODY_BEGINS         REQUEST
 *   BODY_BEGINS        -                        ENDING              without a body
 *                                               LENGTH_BODY, CHUNK_SIZE
 *   LENGTH_BODY        bytes                    itself, ENDING      BODY
 *   CHUNK_SIZE         a hexadecimal digit      CHUNK_SIZE
 *                      ;                        CHUNK_EXTENSION
 *                      CR                       CHUNK_LINE_LF
 *   CHUNK_EXTENSION    CR                       CHUNK_LINE_LF
 *   CHUNK_LINE_LF      LF                       CHUNK_DATA; TRAILERS behind size 0
 *   CHUNK_DATA         bytes                    itself, CHUNK_DATA_CR   BODY
 *   CHUNK_DATA_CR      CR                       CHUNK_DATA_LF
 *   CHUNK_DATA_LF      LF                       CHUNK_SIZE
 *   TRAILERS           a field line             TRAILERS
 *                      the empty line           ENDING
 *   ENDING             -                        BETWEEN, STOPPED    END
 *   STOPPED            anything                 STOPPED             STOPPED, nothing taken
 *   any                anything else            FAILED              the fault, for ever
 *
 * Lines are judged when they are whole, or when they reach their limit; everything else byte by
 * byte. So what is told cannot depend on where the input was cut. */
#include "server/http/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "server/http/chars.h"
#include "server/http/head.h"
#include "server/http/lines.h"

#define CHUNK_SIZE_DIGITS 16u
/* No single limit is larger, so that their sum is small. */
#define LIMIT_MAX ((size_t)1 << 20)

enum state {
    BETWEEN,
    REQUEST_LINE,
    FIELDS,
    BODY_BEGINS,
    LENGTH_BODY,
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_LINE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILERS,
    ENDING,
    STOPPED,
    FAILED
};

/* All memory of a request. */
struct room {
    struct srv_http_field *fields;   /* head_fields of them */
    struct srv_http_field *trailers; /* trailer_fields of them */
    char *text;                      /* all lines as they came: their limits' sum */
};

struct srv_http_parser {
    struct srv_http_limits limits;
    enum state state;
    struct srv_http_fault fault;
    struct srv_http_request request;
    struct room *room;           /* owned; NULL until a request begins */
    uint64_t offset;             /* of the next byte of the connection */
    struct srv_http_lines lines; /* into the room's text */
    size_t trailer_count;
    uint64_t body_max;
    uint64_t body_bytes; /* announced so far: whole chunks, or the length */
    uint64_t left;       /* of the chunk or the length */
    size_t chunk_digits, chunk_line_bytes, extension_bytes;
    bool empty_line_seen, upgraded;
};

struct input {
    const char *data;
    size_t size, at;
};

static void set_state(struct srv_http_parser *parser, enum state state) {
    parser->state = state;
}

/* ---- faults ---- */

static uint64_t here(const struct srv_http_parser *parser, const struct input *input) {
    return parser->offset + input->at;
}

static int fail(struct srv_http_parser *parser, enum srv_http_fault_kind kind, uint64_t offset) {
    parser->fault = srv_http_fault_make(kind, offset);
    set_state(parser, FAILED);
    return parser->fault.result;
}

static int fail_in_text(struct srv_http_parser *parser, struct srv_http_head_fault wrong) {
    return fail(parser, wrong.kind, srv_http_lines_offset(&parser->lines, wrong.at));
}

/* The LF at hand ends what only CR LF may end; anything else there is `kind`. */
static int fail_at_byte(struct srv_http_parser *parser, const struct input *input,
                        enum srv_http_fault_kind kind) {
    bool lf = input->data[input->at] == '\n';
    return fail(parser, lf ? SRV_HTTP_BARE_LF : kind, here(parser, input));
}

/* ---- lines ---- */

static int room_create(const struct srv_http_limits *limits, struct room **ret_room) {
    size_t fields = limits->head_fields * sizeof(struct srv_http_field);
    size_t trailers = limits->trailer_fields * sizeof(struct srv_http_field);
    size_t text = limits->request_line_bytes + limits->head_bytes + limits->trailer_bytes;
    struct room *room = malloc(sizeof(*room) + fields + trailers + text);
    if (room == NULL) {
        return -ENOMEM;
    }
    room->fields = (struct srv_http_field *)(room + 1);
    room->trailers = room->fields + limits->head_fields;
    room->text = (char *)(room->trailers + limits->trailer_fields);
    *ret_room = room;
    return 0;
}

/* The next line of a section of at most `max` bytes. 1 and the line, 0 when more is needed. */
static int take_line(struct srv_http_parser *parser, struct input *input, size_t max,
                     enum srv_http_fault_kind too_long, struct srv_http_text *ret_line) {
    const struct srv_http_text left = {input->data + input->at, input->size - input->at};
    size_t taken;
    enum srv_http_line line = srv_http_lines_take(&parser->lines, left, max, &taken);
    input->at += taken;
    switch (line) {
    case SRV_HTTP_LINE_PARTIAL:
        return 0;
    case SRV_HTTP_LINE_TOO_LONG:
        return fail(parser, too_long, here(parser, input));
    case SRV_HTTP_LINE_WHOLE:
        break;
    }
    if (!srv_http_lines_peek(&parser->lines, ret_line)) {
        return fail(parser, SRV_HTTP_BARE_LF, here(parser, input) - 1);
    }
    return 1;
}

/* ---- the head ---- */

static int step_between(struct srv_http_parser *parser, const struct input *input) {
    if (parser->room == NULL && room_create(&parser->limits, &parser->room) != 0) {
        return fail(parser, SRV_HTTP_NO_MEMORY, here(parser, input));
    }
    parser->request = (struct srv_http_request){.fields = parser->room->fields};
    parser->lines = (struct srv_http_lines){.room = parser->room->text};
    srv_http_lines_begin(&parser->lines, here(parser, input));
    parser->trailer_count = 0;
    parser->body_max = parser->limits.body_bytes;
    parser->body_bytes = 0;
    parser->extension_bytes = 0;
    set_state(parser, REQUEST_LINE);
    return 0;
}

static int step_request_line(struct srv_http_parser *parser, struct input *input) {
    char c = input->data[input->at];
    struct srv_http_text line = {NULL, 0};
    /* At once: who speaks another protocol may wait for an answer without ever ending a line. */
    if (parser->lines.used == 0 && c != '\r' && c != '\n' &&
        !srv_http_char_is(c, SRV_HTTP_CHAR_TOKEN)) {
        return fail(parser, SRV_HTTP_BAD_REQUEST_LINE, here(parser, input));
    }
    int rc =
        take_line(parser, input, parser->limits.request_line_bytes, SRV_HTTP_URI_TOO_LONG, &line);
    if (rc <= 0) {
        return rc;
    }
    if (line.size == 0 && !parser->empty_line_seen) {
        parser->empty_line_seen = true; /* RFC 9112 2.2 */
        set_state(parser, BETWEEN);
        return 0;
    }
    struct srv_http_head_fault wrong = srv_http_head_request_line(line, &parser->request);
    if (wrong.kind != SRV_HTTP_FINE) {
        return fail_in_text(parser, wrong);
    }
    srv_http_lines_begin(&parser->lines, here(parser, input));
    set_state(parser, FIELDS);
    return 0;
}

static int finish_head(struct srv_http_parser *parser, struct srv_http_event *event) {
    struct srv_http_head_fault wrong =
        srv_http_head_settle(&parser->request, parser->room->text + parser->lines.line);
    if (wrong.kind != SRV_HTTP_FINE) {
        return fail_in_text(parser, wrong);
    }
    event->kind = SRV_HTTP_REQUEST;
    event->request = &parser->request;
    set_state(parser, BODY_BEGINS);
    return 0;
}

/* A field line of a head or of trailers. */
static int take_field(struct srv_http_parser *parser, struct srv_http_text line,
                      struct srv_http_field *ret_field) {
    char *text = parser->room->text + parser->lines.line;
    struct srv_http_head_fault wrong = srv_http_head_field(text, line.size, ret_field);
    if (wrong.kind != SRV_HTTP_FINE) {
        return fail_in_text(parser, wrong);
    }
    srv_http_lines_next(&parser->lines);
    return 0;
}

static int step_fields(struct srv_http_parser *parser, struct input *input,
                       struct srv_http_event *event) {
    struct srv_http_text line = {NULL, 0};
    struct srv_http_request *request = &parser->request;
    int rc = take_line(parser, input, parser->limits.head_bytes, SRV_HTTP_HEAD_TOO_LARGE, &line);
    if (rc <= 0) {
        return rc;
    }
    if (line.size == 0) {
        return finish_head(parser, event);
    }
    if (request->field_count == parser->limits.head_fields) {
        return fail_in_text(parser,
                            (struct srv_http_head_fault){SRV_HTTP_TOO_MANY_FIELDS, line.data});
    }
    rc = take_field(parser, line, &parser->room->fields[request->field_count]);
    request->field_count += rc == 0;
    return rc;
}

/* ---- the body ---- */

static int announce_body(struct srv_http_parser *parser, uint64_t bytes, uint64_t offset) {
    uint64_t sum;
    if (!kn_u64_add(parser->body_bytes, bytes, &sum) || sum > parser->body_max) {
        return fail(parser, SRV_HTTP_BODY_TOO_LARGE, offset);
    }
    parser->body_bytes = sum;
    parser->left = bytes;
    return 0;
}

static void begin_chunk(struct srv_http_parser *parser) {
    parser->left = 0;
    parser->chunk_digits = 0;
    parser->chunk_line_bytes = 0;
    set_state(parser, CHUNK_SIZE);
}

static int step_body_begins(struct srv_http_parser *parser, const struct input *input) {
    const struct srv_http_request *request = &parser->request;
    if (request->body == SRV_HTTP_BODY_CHUNKED) {
        begin_chunk(parser);
        return 0;
    }
    int rc = announce_body(parser, request->content_length, here(parser, input));
    if (rc == 0) {
        set_state(parser, parser->left == 0 ? ENDING : LENGTH_BODY);
    }
    return rc;
}

static int step_body(struct srv_http_parser *parser, struct input *input, enum state then,
                     struct srv_http_event *event) {
    size_t there = input->size - input->at;
    size_t taken = parser->left < there ? (size_t)parser->left : there;
    event->kind = SRV_HTTP_BODY;
    event->request = &parser->request;
    event->body = (struct srv_http_text){input->data + input->at, taken};
    input->at += taken;
    parser->left -= taken;
    if (parser->left == 0) {
        set_state(parser, then);
    }
    return 0;
}

/* Counts a byte of a chunk's line. */
static int count_chunk_line(struct srv_http_parser *parser, const struct input *input) {
    bool extension = parser->state == CHUNK_EXTENSION || input->data[input->at] == ';';
    parser->chunk_line_bytes++;
    parser->extension_bytes += extension;
    if (parser->chunk_line_bytes > parser->limits.chunk_line_bytes ||
        parser->extension_bytes > parser->limits.extension_bytes) {
        return fail(parser, SRV_HTTP_CHUNK_TOO_LONG, here(parser, input));
    }
    return 0;
}

static int step_chunk_size(struct srv_http_parser *parser, struct input *input) {
    char c = input->data[input->at];
    int digit = srv_http_hex_value(c);
    int rc = count_chunk_line(parser, input);
    if (rc != 0) {
        return rc;
    }
    if (digit >= 0 && parser->chunk_digits < CHUNK_SIZE_DIGITS) {
        parser->left = parser->left << 4 | (uint64_t)digit;
        parser->chunk_digits++;
    } else if (c == ';' && parser->chunk_digits > 0) {
        set_state(parser, CHUNK_EXTENSION);
    } else if (c == '\r' && parser->chunk_digits > 0) {
        set_state(parser, CHUNK_LINE_LF);
    } else {
        return fail_at_byte(parser, input, SRV_HTTP_BAD_CHUNK);
    }
    input->at++;
    return 0;
}

/* Extensions have no meaning here; what they contain is only kept from being anything else. */
static int step_chunk_extension(struct srv_http_parser *parser, struct input *input) {
    char c = input->data[input->at];
    int rc = count_chunk_line(parser, input);
    if (rc != 0) {
        return rc;
    }
    if (c == '\r') {
        set_state(parser, CHUNK_LINE_LF);
    } else if (!srv_http_char_is(c, SRV_HTTP_CHAR_VALUE)) {
        return fail_at_byte(parser, input, SRV_HTTP_BAD_CHUNK);
    }
    input->at++;
    return 0;
}

static int step_chunk_line_lf(struct srv_http_parser *parser, struct input *input) {
    int rc = count_chunk_line(parser, input);
    if (rc != 0) {
        return rc;
    }
    if (input->data[input->at] != '\n') {
        return fail(parser, SRV_HTTP_BAD_CHUNK, here(parser, input));
    }
    rc = announce_body(parser, parser->left, here(parser, input));
    if (rc != 0) {
        return rc;
    }
    input->at++;
    if (parser->left > 0) {
        set_state(parser, CHUNK_DATA);
        return 0;
    }
    srv_http_lines_begin(&parser->lines, here(parser, input));
    set_state(parser, TRAILERS);
    return 0;
}

static int step_chunk_data_end(struct srv_http_parser *parser, struct input *input) {
    bool cr = parser->state == CHUNK_DATA_CR;
    if (input->data[input->at] != (cr ? '\r' : '\n')) {
        return fail_at_byte(parser, input, SRV_HTTP_BAD_CHUNK);
    }
    input->at++;
    if (cr) {
        set_state(parser, CHUNK_DATA_LF);
    } else {
        begin_chunk(parser);
    }
    return 0;
}

static int step_trailers(struct srv_http_parser *parser, struct input *input) {
    struct srv_http_text line = {NULL, 0};
    int rc =
        take_line(parser, input, parser->limits.trailer_bytes, SRV_HTTP_TRAILERS_TOO_LARGE, &line);
    if (rc <= 0) {
        return rc;
    }
    if (line.size == 0) {
        set_state(parser, ENDING);
        return 0;
    }
    if (parser->trailer_count == parser->limits.trailer_fields) {
        return fail_in_text(parser,
                            (struct srv_http_head_fault){SRV_HTTP_TRAILERS_TOO_LARGE, line.data});
    }
    struct srv_http_field *field = &parser->room->trailers[parser->trailer_count];
    rc = take_field(parser, line, field);
    if (rc == 0 && !srv_http_head_may_trail(field->name)) {
        return fail_in_text(parser,
                            (struct srv_http_head_fault){SRV_HTTP_BAD_TRAILER, field->name.data});
    }
    parser->trailer_count += rc == 0;
    return rc;
}

static int step_ending(struct srv_http_parser *parser, struct srv_http_event *event) {
    event->kind = SRV_HTTP_END;
    event->request = &parser->request;
    event->trailers = parser->room->trailers;
    event->trailer_count = parser->trailer_count;
    parser->empty_line_seen = false;
    set_state(parser, parser->request.keep_alive && !parser->upgraded ? BETWEEN : STOPPED);
    return 0;
}

/* ---- the machine ---- */

static bool needs_bytes(enum state state) {
    return state != BODY_BEGINS && state != ENDING && state != STOPPED && state != FAILED;
}

static int step(struct srv_http_parser *parser, struct input *input, struct srv_http_event *event) {
    switch (parser->state) {
    case BETWEEN:
        return step_between(parser, input);
    case REQUEST_LINE:
        return step_request_line(parser, input);
    case FIELDS:
        return step_fields(parser, input, event);
    case BODY_BEGINS:
        return step_body_begins(parser, input);
    case LENGTH_BODY:
        return step_body(parser, input, ENDING, event);
    case CHUNK_SIZE:
        return step_chunk_size(parser, input);
    case CHUNK_EXTENSION:
        return step_chunk_extension(parser, input);
    case CHUNK_LINE_LF:
        return step_chunk_line_lf(parser, input);
    case CHUNK_DATA:
        return step_body(parser, input, CHUNK_DATA_CR, event);
    case CHUNK_DATA_CR:
    case CHUNK_DATA_LF:
        return step_chunk_data_end(parser, input);
    case TRAILERS:
        return step_trailers(parser, input);
    case ENDING:
        return step_ending(parser, event);
    case STOPPED:
        event->kind = SRV_HTTP_STOPPED;
        return 0;
    case FAILED:
        break;
    }
    return parser->fault.result;
}

int srv_http_parser_feed(struct srv_http_parser *parser, const void *data, size_t size,
                         size_t *ret_taken, struct srv_http_event *ret_event) {
    struct input input = {.data = data, .size = size};
    struct srv_http_event event = {.kind = SRV_HTTP_MORE};
    int rc = parser->fault.result;
    while (rc == 0 && event.kind == SRV_HTTP_MORE &&
           (input.at < size || !needs_bytes(parser->state))) {
        rc = step(parser, &input, &event);
    }
    if (rc != 0) {
        return rc;
    }
    parser->offset += input.at;
    *ret_taken = input.at;
    *ret_event = event;
    return 0;
}

int srv_http_parser_finish(struct srv_http_parser *parser) {
    if (parser->state == BETWEEN || parser->state == STOPPED || parser->state == FAILED) {
        return parser->fault.result;
    }
    return fail(parser, SRV_HTTP_TRUNCATED, parser->offset);
}

const struct srv_http_fault *srv_http_parser_fault(const struct srv_http_parser *parser) {
    return &parser->fault;
}

void srv_http_parser_allow_body(struct srv_http_parser *parser, uint64_t bytes) {
    KN_ASSERT(parser->state == BODY_BEGINS);
    parser->body_max = bytes;
}

int srv_http_parser_upgrade(struct srv_http_parser *parser) {
    if (parser->request.upgrade.size == 0 || parser->state == FAILED) {
        return -EINVAL;
    }
    parser->upgraded = true;
    if (parser->state == BETWEEN) {
        set_state(parser, STOPPED);
    }
    return 0;
}

void srv_http_parser_rest(struct srv_http_parser *parser) {
    if (parser->state == BETWEEN || parser->state == STOPPED) {
        free(parser->room);
        parser->room = NULL;
        parser->request = (struct srv_http_request){.port = -1};
    }
}

int srv_http_parser_create(const struct srv_http_limits *limits,
                           struct srv_http_parser **ret_parser) {
    struct srv_http_limits used = limits == NULL ? srv_http_limits_default() : *limits;
    KN_ASSERT(used.request_line_bytes <= LIMIT_MAX && used.head_bytes <= LIMIT_MAX &&
              used.trailer_bytes <= LIMIT_MAX && used.head_fields <= LIMIT_MAX / 64 &&
              used.trailer_fields <= LIMIT_MAX / 64 && used.request_line_bytes > 0 &&
              used.head_bytes >= 2 && used.trailer_bytes >= 2);
    struct srv_http_parser *parser = calloc(1, sizeof(*parser));
    if (parser == NULL) {
        return -ENOMEM;
    }
    parser->limits = used;
    parser->fault = srv_http_fault_make(SRV_HTTP_FINE, 0);
    *ret_parser = parser;
    return 0;
}

void srv_http_parser_destroy(struct srv_http_parser *parser) {
    if (parser != NULL) {
        free(parser->room);
        free(parser);
    }
}
