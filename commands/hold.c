#include "commands/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "commands/ask.h"
#include "commands/place.h"
#include "commands/streams.h"
#include "commands/tell.h"
#include "fragments/fragments.h"

static void print_id(const uint8_t id[static FRAG_ID_BYTES]) {
    for (size_t i = 0; i < FRAG_ID_BYTES; i++) {
        printf("%02x", id[i]);
    }
}

/* A bare number of seconds is easily not what was meant. */
static void tell_held(const struct cmd_arguments *arguments) {
    char from[KN_WALL_TEXT_BYTES], to[KN_WALL_TEXT_BYTES];
    fprintf(stderr, "kinora: held from %s to %s\n", kn_wall_format(arguments->from, from),
            kn_wall_format(arguments->to, to));
}

static int work_hold_add(const struct cmd_arguments *arguments, struct frag_store *store) {
    struct frag_stream *stream = cmd_find_stream(store, arguments->operands[0]);
    if (stream == NULL) {
        return EXIT_FAILED;
    }
    struct frag_hold hold = {
        .clock = arguments->clock, .from = arguments->from, .to = arguments->to};
    (void)snprintf(hold.reason, sizeof(hold.reason), "%s", arguments->reason);
    int rc = frag_hold_add(stream, &hold);
    if (rc == KN_E_LIMIT) {
        fprintf(stderr, "kinora: a store has at most %u holds: kinora hold remove ends one\n",
                FRAG_HOLDS_MAX);
        return EXIT_FAILED;
    }
    if (rc != 0) {
        return cmd_refused(arguments->operands[0], rc);
    }
    print_id(hold.id);
    printf("\n");
    tell_held(arguments);
    return EXIT_FINE;
}

/* Who is not there is told with those that are near, as without a server. */
static int hold_refused(const struct cmd_arguments *arguments, int status, const json_t *answer) {
    struct cmd_place place;
    struct frag_store *store = NULL;
    bool there = true;
    if (status == 404 && cmd_place_find(arguments, FRAG_STORE_READ, &place) == 0) {
        place.config.threads = false;
        if (frag_store_open(&place.config, &store, NULL) == 0) {
            there = cmd_find_stream(store, arguments->operands[0]) != NULL;
            frag_store_close(store);
        }
        cmd_place_finish(&place);
    }
    return there ? cmd_ask_refused(status, answer) : EXIT_FAILED;
}

static int ask_hold_add(const struct cmd_arguments *arguments, struct srv_client *client) {
    json_t *answer = NULL;
    char *path = cmd_ask_path("/api/v1/streams/", arguments->operands[0], "/holds");
    json_t *body = json_pack("{s:s, s:o, s:o, s:s}", "clock",
                             arguments->clock == FRAG_CLOCK_SERVER ? "server" : "producer", "from",
                             cmd_ask_time(arguments->from), "to", cmd_ask_time(arguments->to),
                             "reason", arguments->reason);
    int status = -ENOMEM;
    if (path != NULL) {
        status = cmd_ask(client, "POST", path, body, &answer);
    } else {
        json_decref(body);
    }
    const char *id = json_string_value(json_object_get(answer, "id"));
    int code = EXIT_FINE;
    if (status == 201 && id != NULL) {
        printf("%s\n", cmd_plain(id));
        tell_held(arguments);
    } else {
        code = hold_refused(arguments, status, answer);
    }
    json_decref(answer);
    free(path);
    return code;
}

static int work_hold_list(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_listed(arguments, frag_report_holds(store, cmd_given(arguments, OPT_JSON), stdout));
}

static bool read_id(const char *text, uint8_t ret_id[static FRAG_ID_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != 2 * (size_t)FRAG_ID_BYTES || strspn(text, digits) != strlen(text)) {
        return false;
    }
    for (size_t i = 0; i < FRAG_ID_BYTES; i++) {
        size_t high = (size_t)(strchr(digits, text[2 * i]) - digits);
        size_t low = (size_t)(strchr(digits, text[2 * i + 1]) - digits);
        ret_id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static int no_hold(const char *id) {
    fprintf(stderr, "kinora: there is no hold %s; kinora hold list shows all\n", cmd_plain(id));
    return EXIT_FAILED;
}

static int ask_hold_remove(const struct cmd_arguments *arguments, struct srv_client *client) {
    uint8_t id[FRAG_ID_BYTES];
    json_t *answer = NULL;
    if (!read_id(arguments->operands[0], id)) {
        return no_hold(arguments->operands[0]);
    }
    char *path = cmd_ask_path("/api/v1/holds/", arguments->operands[0], "");
    int status = path == NULL ? -ENOMEM : cmd_ask_plain(client, "DELETE", path, &answer);
    int code = EXIT_FINE;
    if (status == 404) {
        code = no_hold(arguments->operands[0]);
    } else if (status != 204) {
        code = cmd_ask_refused(status, answer);
    }
    json_decref(answer);
    free(path);
    return code;
}

static int work_hold_remove(const struct cmd_arguments *arguments, struct frag_store *store) {
    uint8_t id[FRAG_ID_BYTES];
    int rc = read_id(arguments->operands[0], id) ? frag_hold_remove(store, id) : -ENOENT;
    if (rc == -ENOENT) {
        return no_hold(arguments->operands[0]);
    }
    return rc == 0 ? EXIT_FINE : cmd_refused(arguments->operands[0], rc);
}

const struct cmd_command cmd_hold_add = {
    .name = "hold add",
    .usage = "STREAM --from TIME --to TIME --reason TEXT [OPTION]...",
    .summary = "Keep a range of a stream, whatever retention says.",
    .help = "Prints the hold's id. Fragments that have any part in the range are kept until "
            "the hold\nis removed.\n\n",
    .options = WITH_STORE | WITH(FROM) | WITH(TO) | WITH(CLOCK) | WITH(REASON),
    .required = WITH(FROM) | WITH(TO) | WITH(REASON),
    .operands_min = 1,
    .operands_max = 1,
    .work = work_hold_add,
    .ask = ask_hold_add,
    .mode = FRAG_STORE_WRITE,
};

const struct cmd_command cmd_hold_list = {
    .name = "hold list",
    .usage = "[--json] [--data DIR]",
    .summary = "List what is held, and why.",
    .help = "",
    .options = WITH_STORE | WITH(JSON),
    .work = work_hold_list,
    .mode = FRAG_STORE_READ,
};

const struct cmd_command cmd_hold_remove = {
    .name = "hold remove",
    .usage = "ID [--data DIR]",
    .summary = "Let retention have a range again.",
    .help = "  ID                     as kinora hold add and hold list print it\n",
    .options = WITH_STORE,
    .operands_min = 1,
    .operands_max = 1,
    .work = work_hold_remove,
    .ask = ask_hold_remove,
    .mode = FRAG_STORE_WRITE,
};
