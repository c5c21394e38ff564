#include "commands/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "commands/tell.h"
#include "fragments/fragments.h"

static void tell_damage(const char *from, const struct frag_rewrite_result *result) {
    if (result->error.fault == FRAG_MKV_NOT_MATROSKA) {
        fprintf(stderr, "kinora: %s is no Matroska file: ", cmd_plain(from));
        fprintf(stderr, "%s\n", cmd_plain(result->error.text));
        return;
    }
    fprintf(stderr, "kinora: %s is damaged ", cmd_plain(from));
    fprintf(stderr, "at byte %llu: %s. ", (unsigned long long)result->error.offset,
            cmd_plain(result->error.text));
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
        fprintf(stderr, "kinora: %s exists already; --force replaces it\n", cmd_plain(to));
        break;
    case FRAG_REWRITE_SAME:
        fprintf(stderr, "kinora: %s is the file that would be read: name another one\n",
                cmd_plain(to));
        break;
    case FRAG_REWRITE_NO_FILE:
        fprintf(stderr, "kinora: %s is there and no regular file: it is never replaced\n",
                cmd_plain(to));
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
        fprintf(stderr, "kinora: %s holds no fragment: nothing was written\n", cmd_plain(from));
        return EXIT_FINDINGS;
    }
    if (rc == KN_E_TRUNCATED) {
        tell_damage(from, result);
        return EXIT_FINDINGS;
    }
    const char *problem = result->about_new ? NULL : content_problem(rc);
    if (problem != NULL) {
        fprintf(stderr, "kinora: %s cannot be rewritten: %s\n", cmd_plain(from), problem);
        return EXIT_FINDINGS;
    }
    return cmd_refused(result->about_new ? to : from, rc);
}

static int run_rewrite(const struct cmd_arguments *arguments) {
    const char *from = arguments->operands[0];
    const char *to = arguments->operands[1];
    if (strcmp(to, "-") == 0) {
        fprintf(stderr,
                "kinora: a rewritten file is written in two passes: it cannot go to standard "
                "output\n");
        return EXIT_USAGE;
    }
    struct frag_rewrite_result result;
    int rc = frag_rewrite_file(from, to, cmd_given(arguments, OPT_FORCE),
                               isatty(STDERR_FILENO) == 1, &result);
    if (rc != 0) {
        return explain_rewrite(from, to, rc, &result);
    }
    printf("%s: %zu fragment%s, %zu frames, %llu bytes\n", cmd_plain(to), result.fragments,
           result.fragments == 1 ? "" : "s", result.samples, (unsigned long long)result.bytes);
    if (result.error.fault != FRAG_MKV_FINE) {
        tell_damage(from, &result);
        return EXIT_FINDINGS;
    }
    return EXIT_FINE;
}

const struct cmd_command cmd_rewrite = {
    .name = "rewrite",
    .usage = "[--force] FROM TO",
    .summary = "Write every good fragment of a Matroska file to a new, seekable one.",
    .help = "The new file has known sizes, a time index, and H.264 and H.265 with length "
            "prefixes.\n"
            "Frames, times and tags stay as they are, so a cut or streamed file becomes one that\n"
            "any player opens and seeks in.\n\n"
            "  FROM                   a .mkv or .webm file; - reads standard input\n"
            "  TO                     the new file; it appears when it is complete\n",
    .options = WITH(FORCE),
    .operands_min = 2,
    .operands_max = 2,
    .run = run_rewrite,
    .findings = "the input is damaged or cannot be rewritten; what was whole was written",
};
