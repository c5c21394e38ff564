#include "commands/command.h"

#include <errno.h>
#include <stdio.h>

#include "commands/place.h"
#include "commands/tell.h"
#include "fragments/fragments.h"

static int run_check(const struct cmd_arguments *arguments) {
    struct cmd_place place;
    struct frag_check_report report = {0};
    int rc = cmd_place_find(arguments, FRAG_STORE_READ, &place);
    int code = EXIT_FAILED;
    if (rc == 0) {
        rc = frag_report_check(&place.config, cmd_given(arguments, OPT_JSON), cmd_shows_progress(),
                               stdout, &report);
        struct frag_store_opening opening = {0};
        if (rc == -ENOENT && report.damages == 0) {
            (void)snprintf(opening.problem, sizeof(opening.problem), "there is no store in %s",
                           cmd_plain(arguments->data));
        }
        if (rc != 0 && (rc != -ENOENT || report.damages == 0)) {
            cmd_place_refused(&place, &opening, rc);
        } else if (rc == 0) {
            code = report.damages > 0 || report.repairs > 0 ? EXIT_FINDINGS : EXIT_FINE;
        }
    }
    cmd_place_finish(&place);
    return code;
}

const struct cmd_command cmd_check = {
    .name = "check",
    .usage = "[--json] [--data DIR]",
    .summary = "Read everything in a store and compare it with its checksums.",
    .help = "Changes nothing, and may run beside a program that records. Exit code 1: it found\n"
            "damage, or something that the next start or kinora rebuild puts right.\n\n",
    .options = WITH_STORE | WITH(JSON),
    .run = run_check,
    .findings = "damage was found, or what the next start or kinora rebuild puts right",
};
