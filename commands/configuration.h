/* The configuration that a command works with. */
#ifndef COMMANDS_CONFIGURATION_H
#define COMMANDS_CONFIGURATION_H

#include <stdio.h>

#include "commands/command.h"

/* A line for a problem, on the FILE that `user` is. */
void cmd_config_tell(const struct srv_config_problem *problem, void *user);
/* Reads `path` (NULL: no file) under what the command line says, and tells on `out` what is wrong
 * with it. EXIT_FINE with a new reference, or the exit code. */
int cmd_config_load(const struct cmd_arguments *arguments, const char *path, FILE *out,
                    const struct srv_config **ret_config);
/* For a command's own store: --config, KINORA_ variables and the command line, as for a server's.
 * Warnings are not told. */
int cmd_config_load_place(const struct cmd_arguments *arguments,
                          const struct srv_config **ret_config);
/* The same of one stream that replays a sample for ever, in a store of its own. */
int cmd_config_demo(const struct cmd_arguments *arguments, const struct srv_config **ret_config);
/* Puts its store in the place of that which `arguments` name. It must live as long. EXIT_FINE, or
 * it has said what was wrong. */
int cmd_config_take(struct cmd_arguments *arguments, const struct srv_config *config);

#endif
