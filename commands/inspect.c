#include "commands/command.h"

#include <stdio.h>

#include "commands/tell.h"
#include "fragments/fragments.h"

static int run_inspect(const struct cmd_arguments *arguments) {
    const char *path = arguments->operands[0];
    const struct frag_inspect_options options = {
        .json = cmd_given(arguments, OPT_JSON),
        .frames = cmd_given(arguments, OPT_FRAMES),
        .progress = cmd_shows_progress(),
    };
    enum frag_inspect_end end = FRAG_INSPECT_WHOLE;
    int rc = frag_inspect_file(path, &options, stdout, &end);
    switch (end) {
    case FRAG_INSPECT_WHOLE:
        return EXIT_FINE;
    case FRAG_INSPECT_DAMAGED:
        return EXIT_FINDINGS;
    case FRAG_INSPECT_UNREAD:
        return cmd_refused(path, rc);
    case FRAG_INSPECT_UNPRINTED:
        return cmd_refused("standard output", rc);
    }
    return EXIT_FAILED;
}

const struct cmd_command cmd_inspect = {
    .name = "inspect",
    .usage = "[--json] [--frames] FILE",
    .summary = "Show what a Matroska file holds and what is odd about it.",
    .help = "Prints tracks, codecs, fragments, times and tags.\n\n"
            "  FILE                   a .mkv or .webm file; - reads standard input\n",
    .options = WITH(JSON) | WITH(FRAMES),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_inspect,
    .findings = "the file is damaged; what could be read was shown",
};
