#include <stdio.h>

#include "commands/command.h"
#include "commands/configuration.h"
#include "commands/tell.h"
#include "server/server.h"

static const char *path_of(const struct cmd_arguments *arguments) {
    return arguments->operand_count > 0 ? arguments->operands[0] : NULL;
}

static int run_check(const struct cmd_arguments *arguments) {
    const struct srv_config *config = NULL;
    int code = cmd_config_load(arguments, path_of(arguments), stdout, &config);
    if (code == EXIT_FINE && srv_config_look(config, cmd_config_tell, stdout) != 0) {
        srv_config_unref(config);
        return EXIT_FINDINGS;
    }
    if (code == EXIT_FINE) {
        printf("%s: fine; %zu stream%s\n",
               path_of(arguments) == NULL ? "defaults" : cmd_plain(path_of(arguments)),
               config->stream_count, cmd_plural(config->stream_count));
        srv_config_unref(config);
    }
    return code;
}

static int run_print(const struct cmd_arguments *arguments) {
    const struct srv_config *config = NULL;
    int code = cmd_config_load(arguments, path_of(arguments), stderr, &config);
    if (code == EXIT_FINE) {
        srv_config_print(config, stdout);
        srv_config_unref(config);
    }
    return code;
}

static int run_default(const struct cmd_arguments *arguments) {
    (void)arguments;
    srv_config_print_default(stdout);
    return EXIT_FINE;
}

#define FILE_HELP                                                                                  \
    "  FILE                   kinora.yml; without it: the defaults, and KINORA_ variables\n"

const struct cmd_command cmd_config_check = {
    .name = "config check",
    .usage = "[FILE]",
    .summary = "Tell what is wrong with a configuration.",
    .help =
        "A line for each problem: file:line:column: what. It also looks at the files that it "
        "names,\n"
        "as the user who runs it: the certificate with its key, the log's folder, sources (which\n"
        "are warnings). Variables that the file has, such as ${NAME}, are the caller's; those of\n"
        "the service: set -a; . /etc/kinora/environment; set +a.\n\n" FILE_HELP,
    .operands_max = 1,
    .run = run_check,
    .findings = "the configuration has mistakes",
};

const struct cmd_command cmd_config_print = {
    .name = "config print",
    .usage = "[FILE]",
    .summary = "Print the configuration in effect, as a file.",
    .help = "With defaults and variables in their places; secrets are ***.\n\n" FILE_HELP,
    .operands_max = 1,
    .run = run_print,
    .findings = "the configuration has mistakes",
};

const struct cmd_command cmd_config_default = {
    .name = "config default",
    .usage = "",
    .summary = "Print a commented file with every key and its default.",
    .help = "",
    .run = run_default,
};
