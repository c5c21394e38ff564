#include "commands/help.h"

#include <stdio.h>

#include "base/options.h"
#include "commands/command.h"

struct kn_options cmd_options_of(const struct cmd_command *command) {
    return (struct kn_options){
        .rows = cmd_option_rows, .count = OPTION_COUNT, .set = command->options | WITH(HELP)};
}

static void print_usage(const struct cmd_command *command, FILE *out) {
    fprintf(out, "Usage: kinora %s%s%s\n", command->name, command->usage[0] == '\0' ? "" : " ",
            command->usage);
}

int cmd_print_help(const struct cmd_command *command) {
    const struct kn_options options = cmd_options_of(command);
    print_usage(command, stdout);
    printf("\n%s\n\n%s", command->summary, command->help);
    kn_options_print(&options, stdout);
    printf("%s", EXIT_CODES_HELP);
    return EXIT_FINE;
}

int cmd_wrong_usage(const struct cmd_command *command) {
    print_usage(command, stderr);
    fprintf(stderr, "Try: kinora %s --help\n", command->name);
    return EXIT_USAGE;
}
