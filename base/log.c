#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

static const char cut_mark[] = " truncated=true\n";
#define CUT_MARK_BYTES (sizeof(cut_mark) - 1)

static const char masked[] = "***";

/* ---- a line that can be cut ---- */

/* Text arrives in atoms (a character, an escape, a key), of which none is ever split. `cut` is the
 * last place between atoms where the line could still end with the mark. */
struct line {
    char *text;
    size_t room;
    size_t size;
    size_t cut;
    bool quoted;     /* inside quotes: the mark needs their end before it */
    bool cut_quoted; /* the same at `cut` */
    bool full;       /* something did not fit: nothing more is taken */
};

static void put(struct line *line, const char *atom, size_t bytes) {
    if (line->full || line->size + bytes + 1 > line->room) { /* and a newline */
        line->full = true;
        return;
    }
    memcpy(line->text + line->size, atom, bytes);
    line->size += bytes;
    if (line->size + (line->quoted ? 1 : 0) + CUT_MARK_BYTES <= line->room) {
        line->cut = line->size;
        line->cut_quoted = line->quoted;
    }
}

static size_t finish_line(struct line *line) {
    if (!line->full) {
        line->text[line->size] = '\n';
        return line->size + 1;
    }
    size_t size = line->cut;
    if (line->cut_quoted) {
        line->text[size++] = '"';
    }
    if (size + CUT_MARK_BYTES > line->room) {
        return 0; /* not even the mark fits */
    }
    memcpy(line->text + size, cut_mark, CUT_MARK_BYTES);
    return size + CUT_MARK_BYTES;
}

/* ---- values ---- */

static bool is_bare(char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '=';
}

static bool needs_quotes(const char *value, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (!is_bare(value[i])) {
            return true;
        }
    }
    return size == 0;
}

static void put_escaped(struct line *line, unsigned char byte) {
    static const char hex[] = "0123456789abcdef";
    char named = byte == '\n'                  ? 'n'
                 : byte == '\r'                ? 'r'
                 : byte == '\t'                ? 't'
                 : byte == '"' || byte == '\\' ? (char)byte
                                               : '\0';
    if (named != '\0') {
        put(line, (const char[]){'\\', named}, 2);
        return;
    }
    put(line, (const char[]){'\\', 'x', hex[byte >> 4], hex[byte & 15]}, 4);
}

static void put_quoted(struct line *line, const char *value, size_t size) {
    const unsigned char *s = (const unsigned char *)value;
    line->quoted = true;
    put(line, "\"", 1);
    for (size_t i = 0; i < size && !line->full;) {
        size_t length = s[i] < 0x80 ? 1 : kn_text_character(value + i, size - i);
        if (length == 0 || s[i] < ' ' || s[i] == 0x7f || s[i] == '"' || s[i] == '\\') {
            put_escaped(line, s[i]);
            i++;
            continue;
        }
        put(line, value + i, length);
        i += length;
    }
    line->quoted = false;
    put(line, "\"", 1);
}

static void put_value(struct line *line, const char *value) {
    if (value == NULL) {
        value = "";
    }
    size_t size = strnlen(value, KN_LOG_LINE_BYTES); /* more would not fit anyway */
    if (needs_quotes(value, size)) {
        put_quoted(line, value, size);
        return;
    }
    for (size_t i = 0; i < size && !line->full; i++) {
        put(line, value + i, 1);
    }
}

/* ---- secrets ---- */

static bool ends_with(const char *text, const char *end) {
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcasecmp(text + size - end_size, end) == 0;
}

static bool names_secret(const char *key) {
    static const char *const inside[] = {"password",   "passwd", "passphrase",
                                         "secret",     "token",  "authorization",
                                         "credential", "cookie", "signature"};
    for (size_t i = 0; i < KN_COUNT(inside); i++) {
        if (strcasestr(key, inside[i]) != NULL) {
            return true;
        }
    }
    return strcasecmp(key, "key") == 0 || strcasecmp(key, "apikey") == 0 ||
           ends_with(key, "_key") || ends_with(key, "-key");
}

struct text {
    char *data;
    size_t room;
    size_t size;
};

static void append(struct text *text, const char *bytes, size_t size) {
    size_t left = text->room - text->size;
    size_t taken = size < left ? size : left;
    memcpy(text->data + text->size, bytes, taken);
    text->size += taken;
}

/* "rtsp://" and the like: its length, or 0. */
static size_t scheme_length(const char *url) {
    size_t length =
        strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    return length > 0 && strncmp(url + length, "://", 3) == 0 ? length + 3 : 0;
}

/* The names of a query stay, what they are set to goes. */
static void append_query(struct text *text, const char *query, size_t size) {
    size_t at = 0;
    while (at < size) {
        size_t piece = strcspn(query + at, "&;#");
        const char *equals = memchr(query + at, '=', piece);
        if (equals != NULL) {
            append(text, query + at, (size_t)(equals - (query + at)) + 1);
        }
        if (piece > 0) {
            append(text, masked, 3);
        }
        at += piece;
        if (at < size) {
            append(text, query + at, 1);
            at++;
        }
    }
}

/* Cameras' passwords hold '@', '/', '?' and '#' as they are, so the standard's idea of where user
 * information ends is not enough: everything before the last '@' of authority and path goes, and
 * where one comes even later nothing but the scheme stays. */
static void append_url(struct text *text, const char *url) {
    size_t scheme = scheme_length(url);
    append(text, url, scheme);
    url += scheme;
    size_t front = strcspn(url, "?#");
    if (strchr(url + front, '@') != NULL) {
        append(text, masked, 3);
        return;
    }
    const char *at = memrchr(url, '@', front);
    if (at != NULL) {
        append(text, masked, 3);
        front -= (size_t)(at - url);
        url = at;
    }
    append(text, url, front);
    url += front;
    if (*url == '?') {
        size_t query = strcspn(url, "#");
        append(text, url, 1);
        append_query(text, url + 1, query - 1);
        url += query;
    }
    if (*url == '#') {
        append(text, "#***", 4);
    }
}

/* ---- lines ---- */

static const char *level_name(enum kn_log_level level) {
    switch (level) {
    case KN_LOG_DEBUG:
        return "debug";
    case KN_LOG_INFO:
        return "info";
    case KN_LOG_WARN:
        return "warn";
    case KN_LOG_ERROR:
        return "error";
    }
    return "error";
}

/* " key=" as one atom. Keys are the program's own; what is no plain name is made one. */
static void put_key(struct line *line, const char *key) {
    char atom[64] = " ";
    size_t size = 1;
    for (; *key != '\0' && size < sizeof(atom) - 1; key++) {
        bool plain = is_bare(*key);
        atom[size++] = plain ? *key : '_';
    }
    if (size == 1) {
        atom[size++] = '_';
    }
    atom[size++] = '=';
    put(line, atom, size);
}

static void put_field(struct line *line, const struct kn_field *field) {
    char text[KN_LOG_LINE_BYTES + 1];
    const char *key = field->key != NULL ? field->key : "";
    put_key(line, key);
    if (names_secret(key)) {
        put(line, masked, 3);
        return;
    }
    switch (field->kind) {
    case KN_FIELD_STR:
        put_value(line, field->value.str);
        return;
    case KN_FIELD_URL: {
        struct text url = {.data = text, .room = sizeof(text) - 1};
        append_url(&url, field->value.str != NULL ? field->value.str : "");
        text[url.size] = '\0';
        put_value(line, text);
        return;
    }
    case KN_FIELD_INT:
        (void)snprintf(text, sizeof(text), "%" PRId64, field->value.i); /* always fits */
        put_value(line, text);
        return;
    case KN_FIELD_UINT:
        (void)snprintf(text, sizeof(text), "%" PRIu64, field->value.u); /* always fits */
        put_value(line, text);
        return;
    case KN_FIELD_ERR:
        put_value(line, kn_error_text((int)field->value.i));
        return;
    }
}

size_t kn_log_format(char *text, size_t room, struct kn_wall when, enum kn_log_level level,
                     const char *message, const struct kn_field *fields, size_t count) {
    struct line line = {.text = text};
    line.room = room < KN_LOG_LINE_BYTES ? room : KN_LOG_LINE_BYTES;

    char head[64], ts[KN_WALL_TEXT_BYTES];
    int size = snprintf(head, sizeof(head), "ts=%s level=%s msg=", kn_wall_format(when, ts),
                        level_name(level));
    put(&line, head, (size_t)size);
    put_value(&line, message);
    for (size_t i = 0; i < count && !line.full; i++) {
        put_field(&line, &fields[i]);
    }
    return finish_line(&line);
}

/* ---- the rim ---- */

static atomic_int least_level = KN_LOG_INFO;
static kn_log_sink *line_sink;
static void *line_sink_user;

void kn_log_set_level(enum kn_log_level level) {
    atomic_store_explicit(&least_level, (int)level, memory_order_relaxed);
}

void kn_log_set_sink(kn_log_sink *sink, void *user) {
    line_sink = sink;
    line_sink_user = user;
}

/* A line is one write, so lines of different threads do not mix. Only a signal or a full pipe makes
 * it several. A line that cannot be written is lost: there is no place left to say so. */
static void write_line(const char *line, size_t bytes) {
    while (bytes > 0) {
        ssize_t written = write(STDERR_FILENO, line, bytes);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return;
        }
        line += written;
        bytes -= (size_t)written;
    }
}

void kn_log_write(enum kn_log_level level, const char *message, const struct kn_field *fields,
                  size_t count) {
    if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed)) {
        return;
    }
    int saved_errno = errno; /* logging a failure must not change it */
    const struct kn_clock *clock = kn_clock_system();
    char line[KN_LOG_LINE_BYTES];
    size_t bytes =
        kn_log_format(line, sizeof(line), clock->wall(clock), level, message, fields, count);
    if (line_sink != NULL) {
        line_sink(line, bytes, line_sink_user);
    } else {
        write_line(line, bytes);
    }
    errno = saved_errno;
}
