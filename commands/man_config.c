/* kinora.yml(5), from the tables by which the file is read. */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "commands/man.h"
#include "server/server.h"

#define SAY(...) ((void)fprintf(out, __VA_ARGS__))

static void put_choices(const struct srv_schema *row, FILE *out) {
    for (size_t i = 0; row->choices[i] != NULL; i++) {
        SAY("%s%s", i == 0 ? "" : row->choices[i + 1] == NULL ? " or " : ", ", row->choices[i]);
    }
}

static void put_kind(const struct srv_schema *row, FILE *out) {
    switch (row->kind) {
    case SRV_KIND_TEXT:
        SAY("A text");
        break;
    case SRV_KIND_BOOL:
        SAY("true or false");
        break;
    case SRV_KIND_COUNT:
        SAY("A number from %" PRIu64 " to %" PRIu64, row->least, row->most);
        break;
    case SRV_KIND_SIZE:
        SAY("A size such as 500M%s%s", row->word == NULL ? "" : ", or ",
            row->word == NULL ? "" : row->word);
        break;
    case SRV_KIND_DURATION:
        SAY("A duration such as 10s or 7d%s", row->forever ? ", or forever" : "");
        break;
    case SRV_KIND_CHOICE:
        put_choices(row, out);
        break;
    case SRV_KIND_TEXTS:
        SAY("A list of texts");
        break;
    case SRV_KIND_PAIRS:
        SAY("A map of texts");
        break;
    case SRV_KIND_TABLE:
        break; /* its rows stand by themselves */
    }
}

static void put_row(const char *before, const struct srv_schema *row, FILE *out) {
    SAY(".TP\n\\fB%s%s\\fR\n", before, row->name);
    if (row->help != NULL) {
        cmd_man_text(row->help, strlen(row->help), out);
        SAY("\n");
    }
    put_kind(row, out);
    if (row->fallback != NULL && row->fallback[0] != '\0') {
        SAY(";\ndefault: ");
        cmd_man_text(row->fallback, strlen(row->fallback), out);
    }
    SAY(".\n");
    if (row->restart) {
        SAY("A change takes effect at the next start.\n");
    }
}

static void put_rows(const char *before, const struct srv_schema *table, FILE *out) {
    for (const struct srv_schema *row = table; row->name != NULL; row++) {
        if (row->kind != SRV_KIND_TABLE) {
            put_row(before, row, out);
        }
    }
}

/* Tables of a table have a section each; the one of streams is told by itself. */
static void put_tables(FILE *out) {
    for (const struct srv_schema *row = srv_config_schema; row->name != NULL; row++) {
        char before[64];
        if (row->kind != SRV_KIND_TABLE || row->table == srv_stream_schema) {
            continue;
        }
        (void)snprintf(before, sizeof(before), "%s.", row->name); /* names are short */
        SAY(".SS %s\n", row->name);
        if (row->help != NULL) {
            cmd_man_text(row->help, strlen(row->help), out);
            SAY("\n");
        }
        put_rows(before, row->table, out);
    }
}

void cmd_man_config(FILE *out) {
    cmd_man_begin("kinora.yml", "5", "the configuration of Kinora", out);
    SAY(".SH DESCRIPTION\n"
        "YAML, at most 4 MiB, without anchors, aliases, tags and second documents.\n"
        "Keys that are none are refused.\n"
        "kinora\\-config\\-check(1) tells what is wrong, and where.\n"
        "Paths are from the folder that the file is in.\n"
        ".PP\n"
        "In any value ${NAME} and ${NAME:default} are variables of the\n"
        "environment, and $$ is a dollar sign.\n"
        "KINORA_HTTP_WORKERS=8 sets http.workers over the file,\n"
        "KINORA_STREAMS_GATE_RETENTION that of the stream gate.\n"
        "The command line goes before both.\n"
        ".PP\n"
        "SIGHUP makes a server read the file again; one with mistakes changes nothing.\n"
        ".SH KEYS\n");
    put_rows("", srv_config_schema, out);
    put_tables(out);
    SAY(".SH STREAMS\n"
        "\\fBstreams\\fR is a map by the names of streams.\n"
        "A text alone is the source.\n"
        "\\fBdefaults\\fR has the same keys, for streams of the file that do not name them.\n"
        "What the file names of a stream, only the file changes.\n"
        "A stream that leaves it is not recorded any more; its video stays.\n");
    put_rows("streams.NAME.", srv_stream_schema, out);
    SAY(".SH SEE ALSO\n.BR kinora (1),\n.BR kinora\\-serve (1),\n.BR kinora\\-config\\-check "
        "(1)\n");
}
