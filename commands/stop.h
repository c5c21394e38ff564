/* Work that Ctrl-C ends. */
#ifndef COMMANDS_STOP_H
#define COMMANDS_STOP_H

#include <stdatomic.h>

/* The first signal (SIGINT, SIGTERM, SIGHUP but under nohup) sets cmd_stopping and so ends the work
 * cleanly, a second one the program. */
extern atomic_bool cmd_stopping;
void cmd_stop_on_signals(void);

#endif
