/* kinora: the command line. The only file that sees every face. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "fragments/fragments.h"

/* Documented in every --help; scripts build on them. */
enum exit_code {
    EXIT_FINE = 0,
    EXIT_BAD_INPUT = 1, /* the input is damaged; what could be done was done */
    EXIT_USAGE = 2,
    EXIT_FAILED = 3 /* the machine said no: a file missing, a disk full, no memory */
};

#define EXIT_CODES_HELP                                                                            \
    "\nExit codes: 0 all went well; 1 the input is damaged (what stands before the damage was\n"   \
    "handled); 2 wrong usage; 3 refused (no such file, a file in the way, disk full, no "          \
    "memory).\n"

struct command {
    const char *name;
    const char *arguments;
    const char *summary;
    const char *help; /* behind usage and summary */
    int (*run)(const struct command *command, int argc, char **argv);
};

static int print_help(const struct command *command) {
    printf("Usage: kinora %s%s%s\n\n%s\n\n%s" EXIT_CODES_HELP, command->name,
           command->arguments[0] == '\0' ? "" : " ", command->arguments, command->summary,
           command->help);
    return fflush(stdout) == 0 ? EXIT_FINE : EXIT_FAILED;
}

static int wrong_usage(const struct command *command) {
    fprintf(stderr, "Usage: kinora %s%s%s\nTry: kinora %s --help\n", command->name,
            command->arguments[0] == '\0' ? "" : " ", command->arguments, command->name);
    return EXIT_USAGE;
}

/* A name from the command line or an error text, for a terminal. */
static const char *plain(const char *text) {
    static char room[PATH_MAX];
    return kn_text_plain(text, SIZE_MAX, room, sizeof(room));
}

/* Beside a table on the same terminal it would stand in the lines. */
static bool shows_progress(void) {
    return isatty(STDERR_FILENO) == 1 && isatty(STDOUT_FILENO) != 1;
}

static int refused(const char *what, int error) {
    fprintf(stderr, "kinora: %s: %s\n", plain(what), kn_error_text(error));
    return EXIT_FAILED;
}

/* One letter of getopt_long, -1 at the end. */
static int next_option(int argc, char **argv, const struct option *options) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
    return getopt_long(argc, argv, "h", options, NULL);
}

/* ---- inspect ---- */

static int run_inspect(const struct command *command, int argc, char **argv) {
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"frames", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct frag_inspect_options inspect = {.progress = shows_progress()};
    for (int letter = 0; (letter = next_option(argc, argv, options)) != -1;) {
        switch (letter) {
        case 'j':
            inspect.json = true;
            break;
        case 'f':
            inspect.frames = true;
            break;
        case 'h':
            return print_help(command);
        default:
            return wrong_usage(command);
        }
    }
    if (optind + 1 != argc) {
        return wrong_usage(command);
    }
    enum frag_inspect_end end = FRAG_INSPECT_WHOLE;
    int rc = frag_inspect_file(argv[optind], &inspect, stdout, &end);
    switch (end) {
    case FRAG_INSPECT_WHOLE:
        return EXIT_FINE;
    case FRAG_INSPECT_DAMAGED:
        return EXIT_BAD_INPUT;
    case FRAG_INSPECT_UNREAD:
        return refused(argv[optind], rc);
    case FRAG_INSPECT_UNPRINTED:
        return refused("standard output", rc);
    }
    return EXIT_FAILED;
}

/* ---- rewrite ---- */

static void tell_damage(const char *from, const struct frag_rewrite_result *result) {
    if (result->error.fault == FRAG_MKV_NOT_MATROSKA) {
        fprintf(stderr, "kinora: %s is no Matroska file: ", plain(from));
        fprintf(stderr, "%s\n", plain(result->error.text));
        return;
    }
    fprintf(stderr, "kinora: %s is damaged ", plain(from));
    fprintf(stderr, "at byte %llu: %s. ", (unsigned long long)result->error.offset,
            plain(result->error.text));
    if (result->fragments > 0) {
        fprintf(stderr, "What stands before it was kept (fragments: %zu), nothing behind it.\n",
                result->fragments);
    } else {
        fprintf(stderr, "There is no whole fragment before it: nothing was written.\n");
    }
}

static int tell_refusal(const char *to, enum frag_rewrite_refusal refusal) {
    switch (refusal) {
    case FRAG_REWRITE_EXISTS:
        fprintf(stderr, "kinora: %s exists already; --force replaces it\n", plain(to));
        break;
    case FRAG_REWRITE_SAME:
        fprintf(stderr, "kinora: %s is the file that would be read: name another one\n", plain(to));
        break;
    case FRAG_REWRITE_NO_FILE:
        fprintf(stderr, "kinora: %s is there and no regular file: it is never replaced\n",
                plain(to));
        break;
    case FRAG_REWRITE_FINE:
        break;
    }
    return EXIT_FAILED;
}

/* What the contents of the old file forbid; NULL for anything else. */
static const char *content_problem(int rc) {
    switch (rc) {
    case KN_E_UNSUPPORTED:
        return "a track's parameter sets come behind its first fragment, and standard input "
               "cannot be read twice: give a file";
    case KN_E_LIMIT:
        return "it holds more tags in one place than are kept (65,536, or 16 MiB)";
    case -ERANGE:
        return "laced frames lie too far from their cluster to be written one by one";
    default:
        return NULL;
    }
}

static int explain_rewrite(const char *from, const char *to, int rc,
                           const struct frag_rewrite_result *result) {
    if (result->refusal != FRAG_REWRITE_FINE) {
        return tell_refusal(to, result->refusal);
    }
    if (rc == KN_E_TRUNCATED && result->error.fault == FRAG_MKV_FINE) {
        fprintf(stderr, "kinora: %s holds no fragment: nothing was written\n", plain(from));
        return EXIT_BAD_INPUT;
    }
    if (rc == KN_E_TRUNCATED) {
        tell_damage(from, result);
        return EXIT_BAD_INPUT;
    }
    const char *problem = result->about_new ? NULL : content_problem(rc);
    if (problem != NULL) {
        fprintf(stderr, "kinora: %s cannot be rewritten: %s\n", plain(from), problem);
        return EXIT_BAD_INPUT;
    }
    return refused(result->about_new ? to : from, rc);
}

static int run_rewrite(const struct command *command, int argc, char **argv) {
    static const struct option options[] = {
        {"force", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    bool replace = false;
    for (int letter = 0; (letter = next_option(argc, argv, options)) != -1;) {
        switch (letter) {
        case 'f':
            replace = true;
            break;
        case 'h':
            return print_help(command);
        default:
            return wrong_usage(command);
        }
    }
    if (optind + 2 != argc) {
        return wrong_usage(command);
    }
    const char *from = argv[optind];
    const char *to = argv[optind + 1];
    if (strcmp(to, "-") == 0) {
        fprintf(stderr,
                "kinora: a rewritten file is written in two passes: it cannot go to standard "
                "output\n");
        return EXIT_USAGE;
    }
    struct frag_rewrite_result result;
    int rc = frag_rewrite_file(from, to, replace, isatty(STDERR_FILENO) == 1, &result);
    if (rc != 0) {
        return explain_rewrite(from, to, rc, &result);
    }
    printf("%s: %zu fragment%s, %zu frames, %llu bytes\n", plain(to), result.fragments,
           result.fragments == 1 ? "" : "s", result.samples, (unsigned long long)result.bytes);
    if (result.error.fault != FRAG_MKV_FINE) {
        tell_damage(from, &result);
        return EXIT_BAD_INPUT;
    }
    return EXIT_FINE;
}

/* ---- version ---- */

static int run_version(const struct command *command, int argc, char **argv) {
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        return print_help(command);
    }
    if (argc != 1) {
        return wrong_usage(command);
    }
    printf("kinora %s\n", KINORA_VERSION);
    return EXIT_FINE;
}

/* ---- all ---- */

static const struct command commands[] = {
    {
        .name = "inspect",
        .arguments = "[--json] [--frames] FILE",
        .summary = "Show what a Matroska file holds and what is odd about it.",
        .help = "Prints tracks, codecs, fragments, times and tags.\n\n"
                "  FILE      a .mkv or .webm file; - reads standard input\n"
                "  --json    print JSON\n"
                "  --frames  list every frame too\n"
                "  --help    this text\n",
        .run = run_inspect,
    },
    {
        .name = "rewrite",
        .arguments = "[--force] FROM TO",
        .summary = "Write every good fragment of a Matroska file to a new, seekable one.",
        .help =
            "The new file has known sizes, a time index, and H.264 and H.265 with length "
            "prefixes.\n"
            "Frames, times and tags stay as they are, so a cut or streamed file becomes one that\n"
            "any player opens and seeks in.\n\n"
            "  FROM     a .mkv or .webm file; - reads standard input\n"
            "  TO       the new file; it appears when it is complete\n"
            "  --force  replace TO\n"
            "  --help   this text\n",
        .run = run_rewrite,
    },
    {
        .name = "version",
        .arguments = "",
        .summary = "Print the version.",
        .help = "",
        .run = run_version,
    },
};

static int print_overview(FILE *out) {
    fprintf(out, "Kinora keeps video as timestamped fragments. Usage: kinora COMMAND ...\n\n");
    for (size_t i = 0; i < KN_COUNT(commands); i++) {
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(out, "\nkinora COMMAND --help tells more.\n" EXIT_CODES_HELP);
    return fflush(out) == 0 ? EXIT_FINE : EXIT_FAILED;
}

static const struct command *find_command(const char *name) {
    for (size_t i = 0; i < KN_COUNT(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    fprintf(stderr, "kinora: there is no command '%s'; kinora --help lists them\n", plain(name));
    return NULL;
}

static int run_help(int argc, char **argv) {
    if (argc == 2) {
        return print_overview(stdout);
    }
    const struct command *command = find_command(argv[2]);
    return command == NULL ? EXIT_USAGE : print_help(command);
}

static int run_command(const char *name, int argc, char **argv) {
    const struct command *command = find_command(name);
    if (command == NULL) {
        return EXIT_USAGE;
    }
    char title[64]; /* what getopt_long names in its complaints */
    (void)snprintf(title, sizeof(title), "kinora %s", command->name);
    argv[1] = title;
    int code = command->run(command, argc - 1, argv + 1);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return refused("standard output", -errno);
    }
    return code;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        (void)print_overview(stderr); /* wrong usage either way */
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        return run_help(argc, argv);
    }
    return run_command(strcmp(name, "--version") == 0 ? "version" : name, argc, argv);
}
