#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/options.h"
#include "commands/command.h"
#include "commands/help.h"
#include "commands/man.h"

/* Of the texts, as a page must have one; that of the build would make no two builds alike. */
#define PAGES_DATE "2026-11-21"
/* Of a source line, before what is added to it. */
#define COLUMNS_MAX 64u

/* Whether printing failed, ferror(out) tells who called. */
#define SAY(...) ((void)fprintf(out, __VA_ARGS__))

/* ---- text ---- */

static void put_raised(const char *name, FILE *out) {
    for (; *name != '\0'; name++) {
        (void)fputc(*name == ' ' ? '-' : toupper((unsigned char)*name), out);
    }
}

static void put_joined(const char *name, FILE *out) {
    for (; *name != '\0'; name++) {
        (void)fputc(*name == ' ' ? '-' : *name, out);
    }
}

static bool in_word(char c) {
    return c != '\0' && strchr(" \n[]|,;:()'\"", c) == NULL;
}

static void put_character(char c, bool is_first, FILE *out) {
    if (c == '\\') {
        SAY("\\e");
    } else if (c == '-') {
        SAY("\\-");
    } else {
        /* A line that begins so would be a command. */
        SAY("%s%c", is_first && (c == '.' || c == '\'') ? "\\&" : "", c);
    }
}

static void put_word(const char *word, size_t size, bool is_first, FILE *out) {
    bool is_option = word[0] == '-' && size > 1;
    bool dots = strncmp(word, "...", 3) == 0;
    SAY("%s", is_option ? "\\fB" : "");
    for (size_t i = 0; i < size; i++) {
        bool hyphen = word[i] == '-' && !is_option;
        if (hyphen) {
            SAY("-"); /* in a word, where it may be broken */
        } else {
            put_character(word[i], i == 0 && (is_first || dots), out);
        }
    }
    SAY("%s", is_option ? "\\fR" : "");
}

/* Whether the word behind the blank at `at` is one too many for this line. */
static bool is_over(const char *text, size_t size, size_t at, size_t column) {
    size_t end = at + 1;
    while (end < size && text[end] != ' ' && text[end] != '\n') {
        end++;
    }
    return column + (end - at) > COLUMNS_MAX;
}

void cmd_man_text(const char *text, size_t size, FILE *out) {
    bool is_first = true;
    size_t begin = 0; /* of the line */
    for (size_t at = 0; at < size;) {
        size_t end = at;
        while (end < size && in_word(text[end])) {
            end++;
        }
        if (end > at) {
            put_word(text + at, end - at, is_first, out);
            is_first = false;
            at = end;
        } else {
            bool breaks =
                text[at] == '\n' || (text[at] == ' ' && is_over(text, size, at, at - begin));
            put_character(breaks ? '\n' : text[at], is_first, out);
            begin = breaks ? at + 1 : begin;
            is_first = breaks;
            at++;
        }
    }
}

/* ---- paragraphs and lists ---- */

/* "  FILE                   what it is" */
static void put_item(const char *line, size_t size, FILE *out) {
    const char *term = line + 2;
    const char *gap = strstr(term, "  ");
    size_t term_size = gap != NULL && gap < line + size ? (size_t)(gap - term) : size - 2;
    const char *rest = term + term_size;
    rest += strspn(rest, " ");
    SAY(".TP\n\\fI");
    cmd_man_text(term, term_size, out);
    SAY("\\fR\n");
    cmd_man_text(rest, (size_t)(line + size - rest), out);
    SAY("\n");
}

/* A line further in goes on with the item before it. */
static void put_line(const char *line, size_t size, FILE *out) {
    size_t indent = strspn(line, " ");
    if (indent == 2) {
        put_item(line, size, out);
    } else {
        cmd_man_text(line + indent, size - indent, out);
        SAY("\n");
    }
}

void cmd_man_body(const char *text, FILE *out) {
    bool begun = false, parted = false, in_list = false;
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        size_t indent = strspn(text, " ");
        if (size == 0) {
            parted = true;
        } else {
            if (begun && indent == 0 && (parted || in_list)) {
                SAY(".PP\n");
            }
            put_line(text, size, out);
            begun = true;
            parted = false;
            in_list = indent > 0;
        }
        text += size + (text[size] == '\n');
    }
}

/* ---- pages ---- */

void cmd_man_begin(const char *name, const char *section, const char *summary, FILE *out) {
    size_t size = strlen(summary);
    SAY(".TH ");
    put_raised(name, out);
    SAY(" %s " PAGES_DATE " \"Kinora " KINORA_VERSION "\" \"Kinora\"\n.SH NAME\n", section);
    put_joined(name, out);
    SAY(" \\-\n"); /* of any length, the summary has a line of its own */
    cmd_man_text(summary, size - (size > 0 && summary[size - 1] == '.'), out);
    SAY("\n");
}

/* "[--json] FILE": what is raised is to be replaced. */
static void put_usage(const char *usage, FILE *out) {
    while (*usage != '\0') {
        size_t size = 0;
        while (in_word(usage[size]) && usage[size] != '.') {
            size++;
        }
        bool is_value = size > 0 && strspn(usage, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == size;
        if (size == 0) {
            put_character(*usage++, false, out);
            continue;
        }
        SAY("%s", is_value ? "\\fI" : "");
        put_word(usage, size, false, out);
        SAY("%s", is_value ? "\\fR" : "");
        usage += size;
    }
    SAY("\n");
}

static void put_options(const struct cmd_command *command, FILE *out) {
    const struct kn_options options = cmd_options_of(command);
    SAY(".SH OPTIONS\n");
    for (size_t i = 0; i < options.count; i++) {
        const struct kn_option *row = &options.rows[i];
        if ((options.set & UINT64_C(1) << i) == 0) {
            continue;
        }
        SAY(".TP\n\\fB\\-\\-");
        put_joined(row->name, out);
        SAY("\\fR");
        if (row->value != NULL) {
            SAY(" \\fI%s\\fR", row->value);
        }
        if (row->letter != '\0') {
            SAY(", \\fB\\-%c\\fR", row->letter);
        }
        SAY("\n");
        cmd_man_text(row->help, strlen(row->help), out);
        SAY("\n");
    }
}

static void put_exit_codes(const struct cmd_command *command, FILE *out) {
    char text[CMD_EXIT_CODES_BYTES];
    cmd_exit_codes(command, text);
    SAY(".SH EXIT STATUS\n");
    cmd_man_text(text, strlen(text), out);
    SAY("\n");
}

void cmd_man_command(const struct cmd_command *command, FILE *out) {
    char name[64];
    (void)snprintf(name, sizeof(name), "kinora %s", command->name); /* names are short */
    cmd_man_begin(name, "1", command->summary, out);
    SAY(".SH SYNOPSIS\n\\fB%s\\fR%s", name, command->usage[0] == '\0' ? "" : " ");
    put_usage(command->usage, out);
    SAY(".SH DESCRIPTION\n");
    cmd_man_body(command->help[0] == '\0' ? command->summary : command->help, out);
    put_options(command, out);
    put_exit_codes(command, out);
    SAY(".SH SEE ALSO\n.BR kinora (1),\n.BR kinora.yml (5)\n");
}

void cmd_man_overview(FILE *out) {
    cmd_man_begin("kinora", "1", "keep video as timestamped fragments", out);
    SAY(".SH SYNOPSIS\n\\fBkinora\\fR \\fICOMMAND\\fR ...\n.SH DESCRIPTION\n"
        "One program for all: a server, and commands on its store.\n"
        "Commands that read work beside a running server;\n"
        "those that write go through it by a socket in its data directory.\n"
        ".PP\nEach command has a page of its own, kinora\\-COMMAND(1), and tells the same with\n"
        "\\fB\\-\\-help\\fR.\n.SH COMMANDS\n");
    for (size_t i = 0; cmd_at(i) != NULL; i++) {
        const struct cmd_command *command = cmd_at(i);
        SAY(".TP\n\\fB%s\\fR\n", command->name);
        cmd_man_text(command->summary, strlen(command->summary), out);
        SAY("\n");
    }
    put_exit_codes(NULL, out);
}
