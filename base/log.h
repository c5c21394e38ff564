/* The log: one logfmt line per event, one write each, to standard error.
 *
 *     kn_log_warn("camera refused", kn_str("stream", name), kn_int("status", 401),
 *                 kn_err("error", rc));
 *     ts=2026-11-20T21:23:40.123Z level=warn msg="camera refused" stream=door status=401 ...
 *
 * Any thread. Values are quoted and escaped, so nothing from outside can forge a line; a line is
 * cut at KN_LOG_LINE_BYTES and says so. Secrets never: user information, query values and fragments
 * of URLs are replaced by ***, and so is any value whose key names a secret (password, token, key,
 * ...). Core code returns errors; only rims log. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/time.h"

#define KN_LOG_LINE_BYTES 2048

enum kn_log_level { KN_LOG_DEBUG, KN_LOG_INFO, KN_LOG_WARN, KN_LOG_ERROR };

enum kn_field_kind { KN_FIELD_STR, KN_FIELD_URL, KN_FIELD_INT, KN_FIELD_UINT, KN_FIELD_ERR };

/* Borrowed for the call. */
struct kn_field {
    const char *key;
    enum kn_field_kind kind;
    union {
        const char *str; /* NULL prints as "" */
        int64_t i;
        uint64_t u;
    } value;
};

static inline struct kn_field kn_str(const char *key, const char *value) {
    return (struct kn_field){.key = key, .kind = KN_FIELD_STR, .value.str = value};
}
static inline struct kn_field kn_url(const char *key, const char *value) {
    return (struct kn_field){.key = key, .kind = KN_FIELD_URL, .value.str = value};
}
static inline struct kn_field kn_int(const char *key, int64_t value) {
    return (struct kn_field){.key = key, .kind = KN_FIELD_INT, .value.i = value};
}
static inline struct kn_field kn_uint(const char *key, uint64_t value) {
    return (struct kn_field){.key = key, .kind = KN_FIELD_UINT, .value.u = value};
}
/* A negative result, printed as its phrase. */
static inline struct kn_field kn_err(const char *key, int error) {
    return (struct kn_field){.key = key, .kind = KN_FIELD_ERR, .value.i = error};
}

/* Lines below this level are not made. Default KN_LOG_INFO. */
void kn_log_set_level(enum kn_log_level level);

/* Where lines go; NULL restores standard error. `line` ends in a newline, is not NUL-terminated and
 * is valid for the call. Set before threads start. The sink may be called on any thread. */
typedef void kn_log_sink(const char *line, size_t bytes, void *user);
void kn_log_set_sink(kn_log_sink *sink, void *user);

void kn_log_write(enum kn_log_level level, const char *message, const struct kn_field *fields,
                  size_t count);

/* The pure half: makes the line in `line` and returns its length (at most `room`). */
size_t kn_log_format(char *line, size_t room, struct kn_wall when, enum kn_log_level level,
                     const char *message, const struct kn_field *fields, size_t count);

/* At least one field, as in kn_log_info("started", kn_str("version", v)). */
#define KN_LOG_FIELDS(...)                                                                         \
    (const struct kn_field[]){__VA_ARGS__},                                                        \
        sizeof((const struct kn_field[]){__VA_ARGS__}) / sizeof(struct kn_field)
#define kn_log_debug(message, ...) kn_log_write(KN_LOG_DEBUG, message, KN_LOG_FIELDS(__VA_ARGS__))
#define kn_log_info(message, ...) kn_log_write(KN_LOG_INFO, message, KN_LOG_FIELDS(__VA_ARGS__))
#define kn_log_warn(message, ...) kn_log_write(KN_LOG_WARN, message, KN_LOG_FIELDS(__VA_ARGS__))
#define kn_log_error(message, ...) kn_log_write(KN_LOG_ERROR, message, KN_LOG_FIELDS(__VA_ARGS__))

#endif
