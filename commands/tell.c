#include "commands/tell.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "commands/command.h"

/* A name from the command line or an error text, for a terminal. */
const char *cmd_plain(const char *text) {
    static char room[PATH_MAX];
    return kn_text_plain(text, SIZE_MAX, room, sizeof(room));
}

/* Beside a table on the same terminal it would stand in the lines. */
bool cmd_shows_progress(void) {
    return isatty(STDERR_FILENO) == 1 && isatty(STDOUT_FILENO) != 1;
}

int cmd_refused(const char *what, int error) {
    fprintf(stderr, "kinora: %s: %s\n", cmd_plain(what), kn_error_text(error));
    return EXIT_FAILED;
}

void cmd_clear_progress(void) {
    if (isatty(STDERR_FILENO) == 1) {
        (void)fputs("\r\033[K", stderr);
    }
}

const char *cmd_plural(uint64_t count) {
    return count == 1 ? "" : "s";
}
