#include "base/error.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

static const char *own_text(enum kn_error error) {
    switch (error) {
    case KN_E_TRUNCATED:
        return "Input is truncated";
    case KN_E_MALFORMED:
        return "Input is malformed";
    case KN_E_LIMIT:
        return "Input is over a limit";
    case KN_E_UNSUPPORTED:
        return "Not supported";
    case KN_E_CLOSED:
        return "Closed";
    case KN_E_MEMORY_LIMIT:
        return "Memory budget is used up";
    }
    return NULL;
}

/* libuv's codes that are no errno (end of file, name lookup). uv_strerror would allocate, and leak,
 * for codes that it does not know. */
static const char *uv_text(int error) {
#define TEXT_OF(name, text)                                                                        \
    case UV_##name:                                                                                \
        return text;
    switch (error) {
        UV_ERRNO_MAP(TEXT_OF)
    default:
        return NULL;
    }
#undef TEXT_OF
}

const char *kn_error_text(int error) {
    if (error >= 0) {
        return "Success";
    }
    const char *text = own_text((enum kn_error)error);
    if (text == NULL && error != INT_MIN) {
        text = strerrordesc_np(-error);
    }
    if (text == NULL) {
        text = uv_text(error);
    }
    return text != NULL ? text : "Unknown error";
}

_Noreturn void kn_assert_failed(const char *condition, const char *file, int line,
                                const char *function) {
    char text[512];
    int size = snprintf(text, sizeof(text), "%s:%d: %s: assertion failed: %s", file, line, function,
                        condition);
    size_t bytes = size < 0 ? 0 : (size_t)size;
    if (bytes > sizeof(text) - 1) {
        bytes = sizeof(text) - 1;
    }
    text[bytes] = '\n';
    /* Nothing is left to do for a line that cannot be written. */
    ssize_t written = write(STDERR_FILENO, text, bytes + 1);
    (void)written;
    abort();
}
