/* Words for people, on a terminal. */
#ifndef COMMANDS_TELL_H
#define COMMANDS_TELL_H

#include <stdbool.h>
#include <stdint.h>

/* A name from the command line or an error text, for a terminal. The text ends with the next call.
 */
const char *cmd_plain(const char *text);
/* "kinora: WHAT: why"; the answer is the exit code. */
int cmd_refused(const char *what, int error);
/* Whether lines that overwrite themselves may be shown. */
bool cmd_shows_progress(void);
void cmd_clear_progress(void);
/* "s" but for 1. */
const char *cmd_plural(uint64_t count);

#endif
