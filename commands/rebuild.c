#include "commands/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "commands/ask.h"
#include "commands/place.h"
#include "commands/tell.h"
#include "fragments/fragments.h"

static int show_rebuild(const struct frag_check_progress *progress, void *user) {
    (void)user;
    fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " files\033[K", progress->files,
            progress->files_all);
    return 0;
}

static int run_rebuild(const struct cmd_arguments *arguments) {
    struct cmd_place place;
    struct frag_store_opening opening = {0};
    const struct frag_check_handler handler = {
        .progress = isatty(STDERR_FILENO) == 1 ? show_rebuild : NULL,
    };
    int code = EXIT_FAILED;
    int rc = cmd_place_find(arguments, FRAG_STORE_WRITE, &place);
    if (rc == 0) {
        rc = frag_store_rebuild(&place.config, &handler, NULL, &opening);
        cmd_clear_progress();
        if (rc == -EBUSY && cmd_ask_in_the_way(&place, "stop it first")) {
            code = EXIT_FAILED;
        } else if (rc != 0) {
            cmd_place_refused(&place, &opening, rc);
        } else {
            opening.index_rebuilt = false; /* said below */
            cmd_place_tell(&place, &opening);
            printf("index made again: %" PRIu64 " reel%s, %" PRIu64 " fragment%s\n", opening.reels,
                   cmd_plural(opening.reels), opening.fragments, cmd_plural(opening.fragments));
            code = EXIT_FINE;
        }
    }
    cmd_place_finish(&place);
    return code;
}

const struct cmd_command cmd_rebuild = {
    .name = "rebuild",
    .usage = "[--data DIR]",
    .summary = "Make the index of a store again from its video files.",
    .help = "",
    .options = WITH_STORE,
    .run = run_rebuild,
};
