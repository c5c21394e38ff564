/* Errors as answers. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "server/exchange/inner.h"

#define MESSAGE_BYTES 512u

const char *srv_answer_code(int status) {
    static const struct {
        int status;
        const char *code;
    } codes[] = {
        {400, "InvalidArgumentException"},         {403, "AccessDeniedException"},
        {404, "ResourceNotFoundException"},        {405, "MethodNotAllowedException"},
        {408, "RequestTimeoutException"},          {409, "ResourceInUseException"},
        {413, "RequestEntityTooLargeException"},   {414, "RequestUriTooLongException"},
        {415, "UnsupportedMediaTypeException"},    {417, "ExpectationFailedException"},
        {431, "RequestHeaderTooLargeException"},   {501, "NotImplementedException"},
        {503, "ServiceUnavailableException"},      {504, "TimeoutException"},
        {505, "HttpVersionNotSupportedException"}, {507, "InsufficientStorageException"},
    };
    for (size_t i = 0; i < KN_COUNT(codes); i++) {
        if (codes[i].status == status) {
            return codes[i].code;
        }
    }
    return status < 500 ? "BadRequestException" : "InternalFailureException";
}

static json_t *shape(struct srv_exchange *exchange, int status, const char *code,
                     const char *message) {
    const struct srv_routes *table = exchange->match.table;
    if (table != NULL && table->shape_error != NULL) {
        return table->shape_error(exchange, status, code, message);
    }
    return json_pack("{s:s, s:s}", "error", code, "message", message);
}

void srv_answer_error(struct srv_exchange *exchange, int status, const char *code,
                      const char *format, ...) {
    char message[MESSAGE_BYTES], plain[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (size < 0) {
        message[0] = '\0';
    }
    /* What of it came from outside may be no text, and it may have been cut within a character. */
    (void)kn_text_plain(message, sizeof(message), plain, sizeof(plain));
    (void)kn_text_plain(plain, sizeof(plain), exchange->reason, sizeof(exchange->reason));
    srv_answer_json(exchange, status, shape(exchange, status, code, plain));
}

static int status_of(int error) {
    switch (error) {
    case -ENOENT:
        return 404;
    case -EEXIST:
    case -EBUSY:
        return 409;
    case -EINVAL:
    case KN_E_MALFORMED:
    case KN_E_TRUNCATED:
    case KN_E_LIMIT:
        return 400;
    case KN_E_UNSUPPORTED:
        return 501;
    case -EACCES:
    case -EPERM:
        return 403;
    case -EAGAIN:
    case -ENOMEM:
    case KN_E_MEMORY_LIMIT:
    case KN_E_CLOSED:
        return 503;
    case -ENOSPC:
        return 507;
    case -ETIMEDOUT:
        return 504;
    default:
        return 500;
    }
}

void srv_answer_failure(struct srv_exchange *exchange, int error, const char *what) {
    int status = status_of(error);
    if (status == 500) {
        kn_log_error("a request failed", kn_str("what", what), kn_err("error", error),
                     kn_str("id", exchange->id));
        srv_answer_error(exchange, status, srv_answer_code(status), "%s: internal error", what);
        return;
    }
    srv_answer_error(exchange, status, srv_answer_code(status), "%s: %s", what,
                     kn_error_text(error));
}
