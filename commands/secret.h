/* Secrets from standard input and from the terminal: never from the command line, which every user
 * of the machine can read. */
#ifndef COMMANDS_SECRET_H
#define COMMANDS_SECRET_H

#include <stddef.h>

#include "base/attributes.h"

#define CMD_SECRET_BYTES 1040u

/* Standard input's first line. 0, or it has said what was wrong. */
KN_MUST_CHECK int cmd_secret_read(char ret_secret[static CMD_SECRET_BYTES]);
/* Asked for twice on the terminal, without echo. 0, or it has said what was wrong. */
KN_MUST_CHECK int cmd_secret_ask(char ret_secret[static CMD_SECRET_BYTES]);
/* Zeros that no optimisation leaves out. */
void cmd_secret_wipe(char secret[static CMD_SECRET_BYTES]);

#endif
