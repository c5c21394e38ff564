/* The configuration as YAML: with its defaults as comments, and as it is in effect. */
#include <inttypes.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"
#include "server/config/config_inner.h"

/* ---- values ---- */

/* In quotes; what is well-formed but no character to YAML is escaped. */
static void print_text(const char *text, FILE *out) {
    static const char *const odd[] = {"\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf"};
    static const char *const escapes[] = {"\\uFEFF", "\\uFFFE", "\\uFFFF"};
    (void)fputc('"', out);
    for (const char *at = text; *at != '\0'; at++) {
        size_t is_odd = 0;
        while (is_odd < KN_COUNT(odd) && strncmp(at, odd[is_odd], strlen(odd[is_odd])) != 0) {
            is_odd++;
        }
        if (is_odd < KN_COUNT(odd)) {
            (void)fputs(escapes[is_odd], out);
            at += strlen(odd[is_odd]) - 1;
            continue;
        }
        if (*at == '"' || *at == '\\') {
            (void)fputc('\\', out);
        } else if (*at == '$') {
            (void)fputc('$', out);
        }
        (void)fputc(*at, out);
    }
    (void)fputc('"', out);
}

static void print_texts(const struct srv_texts *texts, FILE *out) {
    (void)fputc('[', out);
    for (size_t i = 0; i < texts->count; i++) {
        (void)fputs(i == 0 ? "" : ", ", out);
        print_text(texts->items[i], out);
    }
    (void)fputc(']', out);
}

static void print_pairs(const struct srv_pairs *pairs, FILE *out) {
    (void)fputc('{', out);
    for (size_t i = 0; i < pairs->count; i++) {
        (void)fputs(i == 0 ? "" : ", ", out);
        print_text(pairs->items[i].name, out);
        (void)fputs(": ", out);
        print_text(pairs->items[i].value, out);
    }
    (void)fputc('}', out);
}

static void print_size(const struct srv_schema *row, uint64_t bytes, FILE *out) {
    char text[SRV_SIZE_TEXT_BYTES];
    (void)fputs(row->word != NULL && bytes == UINT64_MAX ? row->word : srv_size_text(bytes, text),
                out);
}

static void print_duration(const struct srv_schema *row, int64_t ns, FILE *out) {
    char text[KN_DURATION_TEXT_BYTES];
    (void)fputs(row->forever && ns == INT64_MAX ? "forever" : kn_duration_format(ns, text), out);
}

static void print_value(const struct srv_schema *row, const void *target, FILE *out) {
    const void *at = srv_schema_at_const(row, target);
    const char *text;
    switch (row->kind) {
    case SRV_KIND_TEXT:
        text = *(char *const *)at;
        print_text(text == NULL ? "" : row->secret ? "***" : text, out);
        break;
    case SRV_KIND_BOOL:
        (void)fputs(*(const bool *)at ? "true" : "false", out);
        break;
    case SRV_KIND_COUNT:
        (void)fprintf(out, "%" PRIu64, *(const uint64_t *)at);
        break;
    case SRV_KIND_SIZE:
        print_size(row, *(const uint64_t *)at, out);
        break;
    case SRV_KIND_DURATION:
        print_duration(row, *(const int64_t *)at, out);
        break;
    case SRV_KIND_CHOICE:
        (void)fputs(row->choices[*(const int *)at], out);
        break;
    case SRV_KIND_TEXTS:
        print_texts(at, out);
        break;
    case SRV_KIND_PAIRS:
        print_pairs(at, out);
        break;
    case SRV_KIND_TABLE:
        break;
    }
}

/* ---- in effect ---- */

/* Of a stream only what the file says: the rest is whoever's has it. */
static void print_stream(const struct srv_config_stream *stream, const char *indent, FILE *out) {
    (void)fputs(stream->named.rows == 0 ? " {}\n" : "\n", out);
    for (const struct srv_schema *row = srv_stream_schema; row->name != NULL; row++) {
        if (srv_schema_named(srv_stream_schema, row, stream)) {
            (void)fprintf(out, "%s%s: ", indent, row->name);
            print_value(row, stream, out);
            (void)fputc('\n', out);
        }
    }
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
static void print_table(const struct srv_schema *table, const void *target, const char *indent,
                        FILE *out) {
    for (const struct srv_schema *row = table; row->name != NULL; row++) {
        (void)fprintf(out, "%s%s:", indent, row->name);
        if (row->table == srv_stream_schema) {
            print_stream(srv_schema_at_const(row, target), "  ", out);
        } else if (row->kind == SRV_KIND_TABLE) {
            (void)fputc('\n', out);
            print_table(row->table, srv_schema_at_const(row, target), "  ", out);
        } else {
            (void)fputc(' ', out);
            print_value(row, target, out);
            (void)fputc('\n', out);
        }
    }
}

void srv_config_print(const struct srv_config *config, FILE *out) {
    print_table(srv_config_schema, config, "", out);
    (void)fputs(config->stream_count == 0 ? "streams: {}\n" : "streams:\n", out);
    for (size_t i = 0; i < config->stream_count; i++) {
        /* In quotes: 7 and true are names too. */
        (void)fprintf(out, "  \"%s\":", config->streams[i].name);
        print_stream(&config->streams[i], "    ", out);
    }
}

/* ---- defaults, as comments ---- */

static void print_help(const char *help, const char *before, FILE *out) {
    while (*help != '\0') {
        size_t size = strcspn(help, "\n");
        (void)fprintf(out, "%s# %.*s\n", before, (int)size, help);
        help += size + (help[size] == '\n' ? 1 : 0);
    }
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
static void print_commented(const struct srv_schema *table, const char *indent, FILE *out) {
    for (const struct srv_schema *row = table; row->name != NULL; row++) {
        if (row->kind == SRV_KIND_TABLE) {
            (void)fputc('\n', out);
            print_help(row->help, indent, out);
            (void)fprintf(out, "#%s%s:\n", indent, row->name);
            print_commented(row->table, "  ", out);
        } else if (!(table == srv_stream_schema && row == &table[SRV_STREAM_SOURCE])) {
            (void)fputs(indent[0] == '\0' ? "\n" : "", out);
            print_help(row->help, indent, out);
            (void)fprintf(out, "#%s%s: %s\n", indent, row->name,
                          row->fallback == NULL ? "\"\"" : row->fallback);
        }
    }
}

void srv_config_print_default(FILE *out) {
    (void)fputs("# Kinora's configuration. Each key stands here with its default behind a #: take "
                "the # away\n"
                "# to change one. ${NAME} and ${NAME:default} are variables of the environment, in "
                "quotes\n"
                "# where they stand within {} or []; $$ is a dollar sign. KINORA_HTTP_WORKERS=8 "
                "sets\n"
                "# http.workers over this file. kinora config check tells what is wrong with it; "
                "SIGHUP makes a\n"
                "# server read it again.\n",
                out);
    print_commented(srv_config_schema, "", out);
    (void)fputs("\n# Streams by name: a source, or a map of the keys above and of source. What is "
                "named here or\n"
                "# in defaults is this file's: nobody else can change it. Whatever else there is "
                "of a stream,\n"
                "# its video too, stays when it leaves the file.\n"
                "#\n"
                "# streams:\n"
                "#   gate: file:/srv/clips/gate.mp4\n"
                "#   door:\n"
                "#     retention: 7d\n"
                "#     tags: {floor: \"0\"}\n"
                "#streams: {}\n",
                out);
}
