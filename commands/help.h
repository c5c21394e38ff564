/* What a command says about itself. */
#ifndef COMMANDS_HELP_H
#define COMMANDS_HELP_H

#include <stdio.h>

#include "base/options.h"

struct cmd_command;

/* Those that it takes. */
struct kn_options cmd_options_of(const struct cmd_command *command);
/* "0 all went well; 2 wrong usage; ...", of all commands where it is NULL. */
#define CMD_EXIT_CODES_BYTES 512
void cmd_exit_codes(const struct cmd_command *command, char text[static CMD_EXIT_CODES_BYTES]);
void cmd_print_exit_codes(const struct cmd_command *command, FILE *out);
/* Both answer with the exit code. */
int cmd_print_help(const struct cmd_command *command);
int cmd_wrong_usage(const struct cmd_command *command);

#endif
