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
    "handled); 2 wrong usage; 3 the machine refused (no such file, disk full, no memory).\n"

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
    struct frag_inspect_options inspect = {.progress = isatty(STDERR_FILENO) == 1};
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
    fprintf(stderr, "kinora: %s is damaged ", plain(from));
    fprintf(stderr, "at byte %llu: %s. ", (unsigned long long)result->error.offset,
            plain(result->error.text));
    if (result->fragments > 0) {
        fprintf(stderr, "The %zu fragments before it were kept, nothing behind it.\n",
                result->fragments);
    } else {
        fprintf(stderr, "There is no whole fragment before it: nothing was written.\n");
    }
}

static int explain_rewrite(const char *from, const char *to, int rc,
                           const struct frag_rewrite_result *result) {
    if (rc == -EEXIST) {
        fprintf(stderr, "kinora: %s exists already; --force replaces it\n", plain(to));
        return EXIT_FAILED;
    }
    if (rc == KN_E_UNSUPPORTED && result->error.fault == FRAG_MKV_STOPPED) {
        fprintf(stderr,
                "kinora: %s: a track's parameter sets come only after its first fragment, at byte "
                "%llu; one header cannot tell both\n",
                plain(from), (unsigned long long)result->error.offset);
        return EXIT_BAD_INPUT;
    }
    if (rc == KN_E_TRUNCATED && result->error.fault == FRAG_MKV_FINE) {
        fprintf(stderr, "kinora: %s holds no fragment: nothing was written\n", plain(from));
        return EXIT_BAD_INPUT;
    }
    if (rc == KN_E_TRUNCATED) {
        tell_damage(from, result);
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
    struct frag_rewrite_result result;
    int rc = frag_rewrite_file(from, to, replace, isatty(STDERR_FILENO) == 1, &result);
    if (rc != 0) {
        return explain_rewrite(from, to, rc, &result);
    }
    printf("%s: %zu fragments, %zu frames, %llu bytes\n", plain(to), result.fragments,
           result.samples, (unsigned long long)result.bytes);
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

int main(int argc, char **argv) {
    if (argc < 2) {
        (void)print_overview(stderr); /* wrong usage either way */
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        return print_overview(stdout);
    }
    const char *name = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    for (size_t i = 0; i < KN_COUNT(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            int code = commands[i].run(&commands[i], argc - 1, argv + 1);
            if (fflush(stdout) != 0 || ferror(stdout)) {
                return refused("standard output", -errno);
            }
            return code;
        }
    }
    fprintf(stderr, "kinora: there is no command '%s'; kinora --help lists them\n", plain(argv[1]));
    return EXIT_USAGE;
}
