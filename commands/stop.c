#include "commands/stop.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

atomic_bool cmd_stopping;

static void handle_signal(int number) {
    (void)number;
    atomic_store(&cmd_stopping, true);
}

/* The first one ends the work cleanly, a second one the program. */
void cmd_stop_on_signals(void) {
    struct sigaction action = {.sa_handler = handle_signal, .sa_flags = (int)SA_RESETHAND};
    (void)sigaction(SIGINT, &action, NULL); /* cannot fail for these */
    (void)sigaction(SIGTERM, &action, NULL);
    struct sigaction before;
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
        (void)sigaction(SIGHUP, &action, NULL); /* else it runs under nohup */
    }
}
