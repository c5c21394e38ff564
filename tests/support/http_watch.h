/* A parser of server/http/request.h under watch: what it tells is checked against its contract as
 * it comes and becomes a transcript that does not depend on cuts.
 *
 *     struct http_watch watch;
 *     http_watch_start(&watch, limits, room, sizeof(room))
 *     http_watch_push(&watch, data, size)...
 *     http_watch_end(&watch)      watch.result, watch.room: the transcript, NUL-terminated
 *
 * Pushed bytes go through blocks of exactly their size, so that the address sanitizer sees a read
 * past them. Broken contracts end the program. All static: fuzz targets are one file. */
#ifndef TESTS_SUPPORT_HTTP_WATCH_H
#define TESTS_SUPPORT_HTTP_WATCH_H

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "base/error.h"
#include "server/http/request.h"

struct http_watch {
    struct srv_http_parser *parser;
    char *room; /* the transcript; what does not fit is only in the digest */
    size_t room_bytes, used;
    uint64_t digest;
    uint64_t body_max; /* not 0: asked for with each request */
    bool upgrade;      /* take every upgrade that is offered */
    bool rest;         /* give the memory back behind each request */
    uint64_t fed, body_bytes;
    size_t requests, ended;
    bool in_body, stopped;
    int result; /* 0, or the parser's */
};

static inline void http_watch_put(struct http_watch *watch, const char *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        watch->digest = (watch->digest ^ (uint8_t)data[i]) * UINT64_C(0x100000001b3);
    }
    size_t left = watch->room_bytes - watch->used - 1;
    size_t kept = size < left ? size : left;
    if (kept > 0) {
        memcpy(watch->room + watch->used, data, kept);
    }
    watch->used += kept;
    watch->room[watch->used] = '\0';
}

KN_PRINTF(2, 3)
static inline void http_watch_print(struct http_watch *watch, const char *format, ...) {
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    KN_ASSERT(length >= 0 && (size_t)length < sizeof(line));
    http_watch_put(watch, line, (size_t)length);
}

static inline void http_watch_text(struct http_watch *watch, const char *name,
                                   struct srv_http_text text) {
    http_watch_print(watch, " %s=", name);
    http_watch_put(watch, text.data, text.size);
}

static inline void http_watch_fields(struct http_watch *watch, const struct srv_http_field *fields,
                                     size_t count) {
    for (size_t i = 0; i < count; i++) {
        KN_ASSERT(srv_http_is_token(fields[i].name) && srv_http_is_value(fields[i].value));
        http_watch_put(watch, "\n  ", 3);
        http_watch_put(watch, fields[i].name.data, fields[i].name.size);
        http_watch_put(watch, ": ", 2);
        http_watch_put(watch, fields[i].value.data, fields[i].value.size);
    }
    http_watch_put(watch, "\n", 1);
}

static inline void http_watch_request(struct http_watch *watch,
                                      const struct srv_http_request *request) {
    KN_ASSERT(watch->requests == watch->ended);
    watch->requests++;
    watch->body_bytes = 0;
    http_watch_print(watch, "%s 1.%d", srv_http_method_name(request->method), request->minor);
    http_watch_text(watch, "path", request->path);
    if (request->has_query) {
        http_watch_text(watch, "query", request->query);
    }
    http_watch_text(watch, "host", request->host);
    if (request->port >= 0) {
        http_watch_print(watch, " port=%d", request->port);
    }
    if (request->body == SRV_HTTP_BODY_LENGTH) {
        http_watch_print(watch, " length=%" PRIu64, request->content_length);
    }
    http_watch_print(watch, "%s%s%s", request->body == SRV_HTTP_BODY_CHUNKED ? " chunked" : "",
                     request->keep_alive ? "" : " close",
                     request->expects_continue ? " expects" : "");
    if (request->upgrade.size > 0) {
        http_watch_text(watch, "upgrade", request->upgrade);
    }
    http_watch_fields(watch, request->fields, request->field_count);
    if (watch->body_max > 0) {
        srv_http_parser_allow_body(watch->parser, watch->body_max);
    }
    if (watch->upgrade) {
        int rc = srv_http_parser_upgrade(watch->parser);
        KN_ASSERT(rc == (request->upgrade.size > 0 ? 0 : -EINVAL));
    }
}

static inline void http_watch_body(struct http_watch *watch, const struct srv_http_event *event) {
    KN_ASSERT(watch->requests == watch->ended + 1 && event->body.size > 0);
    KN_ASSERT(event->request->body != SRV_HTTP_BODY_NONE);
    watch->body_bytes += event->body.size;
    if (!watch->in_body) {
        watch->in_body = true;
        http_watch_put(watch, "body ", 5);
    }
    http_watch_put(watch, event->body.data, event->body.size);
}

static inline void http_watch_end_of_request(struct http_watch *watch,
                                             const struct srv_http_event *event) {
    const struct srv_http_request *request = event->request;
    KN_ASSERT(watch->requests == watch->ended + 1);
    KN_ASSERT(request->body != SRV_HTTP_BODY_LENGTH ||
              request->content_length == watch->body_bytes);
    KN_ASSERT(request->body == SRV_HTTP_BODY_CHUNKED || event->trailer_count == 0);
    watch->ended++;
    http_watch_print(watch, "%send %" PRIu64, watch->in_body ? "\n" : "", watch->body_bytes);
    watch->in_body = false;
    http_watch_fields(watch, event->trailers, event->trailer_count);
    if (watch->rest) {
        srv_http_parser_rest(watch->parser);
    }
}

static inline bool http_watch_event(struct http_watch *watch, const struct srv_http_event *event,
                                    const char *data, size_t taken) {
    switch (event->kind) {
    case SRV_HTTP_MORE:
        return false;
    case SRV_HTTP_REQUEST:
        http_watch_request(watch, event->request);
        return true;
    case SRV_HTTP_BODY:
        /* A part of what was fed, up to where it was taken. */
        KN_ASSERT(event->body.size <= taken && event->body.data + event->body.size == data + taken);
        http_watch_body(watch, event);
        return true;
    case SRV_HTTP_END:
        http_watch_end_of_request(watch, event);
        return true;
    case SRV_HTTP_STOPPED:
        KN_ASSERT(taken == 0);
        watch->stopped = true;
        return false;
    }
    abort();
}

static inline void http_watch_fail(struct http_watch *watch, int rc) {
    const struct srv_http_fault *fault = srv_http_parser_fault(watch->parser);
    struct srv_http_event event = {.kind = SRV_HTTP_BODY};
    size_t taken = 99;
    KN_ASSERT(rc < 0 && fault->result == rc && fault->status >= 400);
    KN_ASSERT(fault->kind != SRV_HTTP_FINE && fault->offset <= watch->fed);
    /* Nothing is told behind it, and nothing is changed. */
    KN_ASSERT(srv_http_parser_feed(watch->parser, "GET", 3, &taken, &event) == rc);
    KN_ASSERT(srv_http_parser_feed(watch->parser, NULL, 0, &taken, &event) == rc);
    KN_ASSERT(taken == 99 && event.kind == SRV_HTTP_BODY);
    KN_ASSERT(srv_http_parser_finish(watch->parser) == rc && fault->result == rc);
    watch->result = rc;
    http_watch_print(watch, "%sfault %d %s at %" PRIu64 "\n", watch->in_body ? "\n" : "",
                     fault->status, srv_http_fault_name(fault->kind), fault->offset);
}

/* 0 or -ENOMEM. */
KN_MUST_CHECK static inline int http_watch_start(struct http_watch *watch,
                                                 const struct srv_http_limits *limits, char *room,
                                                 size_t room_bytes) {
    *watch = (struct http_watch){.room = room, .room_bytes = room_bytes};
    watch->digest = UINT64_C(0xcbf29ce484222325);
    room[0] = '\0';
    return srv_http_parser_create(limits, &watch->parser);
}

static inline void http_watch_push(struct http_watch *watch, const void *data, size_t size) {
    char *copy = watch->result != 0 || watch->stopped ? NULL : malloc(size > 0 ? size : 1);
    size_t at = 0;
    bool more = copy != NULL;
    if (copy == NULL) {
        watch->result = watch->result != 0 || watch->stopped ? watch->result : -ENOMEM;
        return;
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    watch->fed += size;
    while (more) {
        struct srv_http_event event;
        size_t taken;
        int rc = srv_http_parser_feed(watch->parser, copy + at, size - at, &taken, &event);
        if (rc != 0) {
            http_watch_fail(watch, rc);
            break;
        }
        KN_ASSERT(taken <= size - at);
        more = http_watch_event(watch, &event, copy + at, taken);
        at += taken;
        KN_ASSERT(more || watch->stopped || at == size);
    }
    free(copy);
}

/* Of the peer; the parser is destroyed. */
static inline void http_watch_end(struct http_watch *watch) {
    if (watch->result == 0) {
        int rc = srv_http_parser_finish(watch->parser);
        if (rc != 0) {
            http_watch_fail(watch, rc);
        } else {
            KN_ASSERT(watch->requests == watch->ended);
        }
    }
    if (watch->stopped) {
        http_watch_print(watch, "stopped\n");
    }
    srv_http_parser_destroy(watch->parser);
    watch->parser = NULL;
}

#endif
