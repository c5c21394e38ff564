#include "commands/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "commands/ask.h"
#include "commands/streams.h"
#include "commands/tell.h"
#include "fragments/fragments.h"

static int work_plan(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_listed(arguments, frag_report_plan(store, arguments->until,
                                                  cmd_given(arguments, OPT_JSON), stdout));
}

static void tell_deleted(uint64_t reels, uint64_t bytes, bool clock_in_doubt) {
    printf("deleted %" PRIu64 " reel%s, %" PRIu64 " bytes\n", reels, cmd_plural(reels), bytes);
    if (clock_in_doubt) {
        fprintf(stderr, "kinora: the clock is in doubt: nothing went by age. kinora retention plan "
                        "says why; --confirm-clock says that it is right\n");
    }
}

/* What may pass 2^53 comes as text. */
static uint64_t number_of(const json_t *answer, const char *name) {
    const json_t *value = json_object_get(answer, name);
    const char *text = json_string_value(value);
    return text == NULL ? (uint64_t)json_integer_value(value) : strtoull(text, NULL, 10);
}

static int ask_retention(const struct cmd_arguments *arguments, struct srv_client *client) {
    json_t *answer = NULL;
    if (cmd_given(arguments, OPT_MIN_FREE)) {
        fprintf(stderr, "kinora: a server runs on this store: min_free in its configuration says "
                        "how much it keeps free\n");
        return EXIT_FAILED;
    }
    json_t *body = json_pack("{s:b}", "confirm_clock", cmd_given(arguments, OPT_CONFIRM_CLOCK));
    int status = cmd_ask(client, "POST", "/api/v1/retention/run", body, &answer);
    int code = EXIT_FINE;
    if (status == 200) {
        tell_deleted(number_of(answer, "deleted_reels"), number_of(answer, "deleted_bytes"),
                     json_is_true(json_object_get(answer, "clock_in_doubt")));
    } else {
        code = cmd_ask_refused(status, answer);
    }
    json_decref(answer);
    return code;
}

static int work_retention(const struct cmd_arguments *arguments, struct frag_store *store) {
    struct frag_store_stats before = frag_store_stats(store);
    int rc = frag_retention_run(store);
    struct frag_store_stats after = frag_store_stats(store);
    tell_deleted(after.deleted_reels - before.deleted_reels,
                 after.deleted_bytes - before.deleted_bytes, after.clock_in_doubt);
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
    .ask = ask_retention,
    .mode = FRAG_STORE_WRITE,
};
