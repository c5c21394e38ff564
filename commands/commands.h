/* The face of commands/: the command line. A command is a row (struct cmd_command, command.h) with
 * the function that does it, in a file of its subject, and its place in the list of commands.c; the
 * work belongs into another folder. */
#ifndef COMMANDS_COMMANDS_H
#define COMMANDS_COMMANDS_H

/* All of main: the answer is the exit code, as every --help tells them. One thread. */
int cmd_main(int argc, char **argv);

#endif
