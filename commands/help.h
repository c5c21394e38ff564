/* What a command says about itself. */
#ifndef COMMANDS_HELP_H
#define COMMANDS_HELP_H

#include "base/options.h"

struct cmd_command;

/* Those that it takes. */
struct kn_options cmd_options_of(const struct cmd_command *command);
/* Both answer with the exit code. */
int cmd_print_help(const struct cmd_command *command);
int cmd_wrong_usage(const struct cmd_command *command);

#endif
