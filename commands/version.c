#include "commands/command.h"

#include <stdio.h>

static int run_version(const struct cmd_arguments *arguments) {
    (void)arguments;
    printf("kinora %s\n", KINORA_VERSION);
    return EXIT_FINE;
}

const struct cmd_command cmd_version = {
    .name = "version",
    .usage = "",
    .summary = "Print the version.",
    .help = "",
    .run = run_version,
};
