#include "commands/command.h"

#include <inttypes.h>
#include <stdio.h>

#include "commands/streams.h"
#include "commands/tell.h"
#include "fragments/fragments.h"

static int work_plan(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_listed(arguments, frag_report_plan(store, arguments->until,
                                                  cmd_given(arguments, OPT_JSON), stdout));
}

static int work_retention(const struct cmd_arguments *arguments, struct frag_store *store) {
    struct frag_store_stats before = frag_store_stats(store);
    int rc = frag_retention_run(store);
    struct frag_store_stats after = frag_store_stats(store);
    uint64_t reels = after.deleted_reels - before.deleted_reels;
    printf("deleted %" PRIu64 " reel%s, %" PRIu64 " bytes\n", reels, cmd_plural(reels),
           after.deleted_bytes - before.deleted_bytes);
    if (after.clock_in_doubt) {
        fprintf(stderr, "kinora: the clock is in doubt: nothing went by age. kinora retention plan "
                        "says why; --confirm-clock says that it is right\n");
    }
    return rc == 0 ? EXIT_FINE : cmd_refused(arguments->data, rc);
}

const struct cmd_command cmd_retention_plan = {
    .name = "retention plan",
    .usage = "[--until WHEN] [--json] [--data DIR]",
    .summary = "Show what will be deleted, when and why, and when a disk would be full.",
    .help = "",
    .options = WITH_STORE | WITH(UNTIL) | WITH(MIN_FREE) | WITH(JSON),
    .work = work_plan,
    .mode = FRAG_STORE_READ,
};

const struct cmd_command cmd_retention_run = {
    .name = "retention run",
    .usage = "[--confirm-clock] [--data DIR]",
    .summary = "Delete now what may be deleted.",
    .help = "A program that records does it by itself.\n\n",
    .options = WITH_STORE | WITH(MIN_FREE) | WITH(CONFIRM_CLOCK),
    .work = work_retention,
    .mode = FRAG_STORE_WRITE,
};
