#include "commands/help.h"

#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "commands/command.h"

#define HELP_COLUMNS 90u

struct kn_options cmd_options_of(const struct cmd_command *command) {
    return (struct kn_options){
        .rows = cmd_option_rows, .count = OPTION_COUNT, .set = command->options | WITH(HELP)};
}

static void print_usage(const struct cmd_command *command, FILE *out) {
    fprintf(out, "Usage: kinora %s%s%s\n", command->name, command->usage[0] == '\0' ? "" : " ",
            command->usage);
}

void cmd_exit_codes(const struct cmd_command *command, char text[static CMD_EXIT_CODES_BYTES]) {
    const char *findings = command == NULL ? "something is wrong with what was looked at, as the "
                                             "command tells"
                                           : command->findings;
    (void)snprintf(text, CMD_EXIT_CODES_BYTES,
                   "0 all went well; %s%s%s2 wrong usage; 3 refused or failed: standard error "
                   "tells why.",
                   findings == NULL ? "" : "1 ", findings == NULL ? "" : findings,
                   findings == NULL ? "" : "; "); /* fits */
}

void cmd_print_exit_codes(const struct cmd_command *command, FILE *out) {
    char text[CMD_EXIT_CODES_BYTES];
    cmd_exit_codes(command, text);
    size_t column = (size_t)fprintf(out, "\nExit codes:") - 1;
    for (const char *word = text; *word != '\0';) {
        size_t size = strcspn(word, " ");
        bool breaks = column + 1 + size > HELP_COLUMNS;
        fprintf(out, "%s%.*s", breaks ? "\n" : " ", (int)size, word);
        column = (breaks ? 0 : column + 1) + size;
        word += size + (word[size] == ' ');
    }
    fprintf(out, "\n");
}

int cmd_print_help(const struct cmd_command *command) {
    const struct kn_options options = cmd_options_of(command);
    print_usage(command, stdout);
    printf("\n%s\n\n%s", command->summary, command->help);
    kn_options_print(&options, stdout);
    cmd_print_exit_codes(command, stdout);
    return EXIT_FINE;
}

int cmd_wrong_usage(const struct cmd_command *command) {
    print_usage(command, stderr);
    fprintf(stderr, "Try: kinora %s --help\n", command->name);
    return EXIT_USAGE;
}
