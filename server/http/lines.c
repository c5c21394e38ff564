#include "server/http/lines.h"

#include <string.h>

void srv_http_lines_begin(struct srv_http_lines *lines, uint64_t offset) {
    lines->section = lines->used;
    lines->line = lines->used;
    lines->offset = offset;
}

enum srv_http_line srv_http_lines_take(struct srv_http_lines *lines, struct srv_http_text input,
                                       size_t max, size_t *ret_taken) {
    size_t room = max - (lines->used - lines->section);
    size_t look = input.size < room ? input.size : room;
    const char *lf = memchr(input.data, '\n', look);
    size_t taken = lf == NULL ? look : (size_t)(lf - input.data) + 1;
    memcpy(lines->room + lines->used, input.data, taken);
    lines->used += taken;
    *ret_taken = taken;
    if (lf != NULL) {
        return SRV_HTTP_LINE_WHOLE;
    }
    return taken == room ? SRV_HTTP_LINE_TOO_LONG : SRV_HTTP_LINE_PARTIAL;
}

bool srv_http_lines_peek(const struct srv_http_lines *lines, struct srv_http_text *ret_line) {
    const char *data = lines->room + lines->line;
    size_t size = lines->used - lines->line;
    if (size < 2 || data[size - 2] != '\r') {
        return false;
    }
    *ret_line = (struct srv_http_text){data, size - 2};
    return true;
}

void srv_http_lines_next(struct srv_http_lines *lines) {
    lines->line = lines->used;
}

uint64_t srv_http_lines_offset(const struct srv_http_lines *lines, const char *at) {
    return lines->offset + (uint64_t)(at - (lines->room + lines->section));
}
