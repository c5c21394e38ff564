#include "commands/principals.h"

static int work_add(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_principal_add(arguments, store, SRV_PRINCIPAL_TOKEN);
}

static int ask_add(const struct cmd_arguments *arguments, struct srv_client *client) {
    return cmd_principal_add_by(arguments, client, SRV_PRINCIPAL_TOKEN);
}

static int work_list(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_principal_list(arguments, store, SRV_PRINCIPAL_TOKEN);
}

static int work_remove(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_principal_remove(arguments, store, SRV_PRINCIPAL_TOKEN);
}

static int ask_remove(const struct cmd_arguments *arguments, struct srv_client *client) {
    return cmd_principal_remove_by(arguments, client, SRV_PRINCIPAL_TOKEN);
}

const struct cmd_command cmd_token_add = {
    .name = "token add",
    .usage = "NAME [--grant GRANT]... [--expires WHEN] [OPTION]...",
    .summary = "Make a token for scripts: Authorization: Bearer TOKEN.",
    .help =
        "Prints the token, this once: what is kept of it is a hash. It takes effect at once, "
        "whether\n"
        "a server runs on the store or not.\n\n"
        "GRANT is viewer, operator or admin, or actions with commas between (list, watch, read,\n"
        "record, manage, hold, admin), for all streams; behind a colon for one stream, or for\n"
        "those that begin so: viewer:door*. Without any it is viewer; the first one that\n"
        "there is must be admin, since with it whoever has no credentials may do nothing.\n\n"
        "  NAME                   1 to 64 of A-Z a-z 0-9 . _ @ -, but . and ..\n",
    .options = WITH_STORE | WITH(GRANT) | WITH(EXPIRES) | WITH(JSON),
    .operands_min = 1,
    .operands_max = 1,
    .work = work_add,
    .ask = ask_add,
    .mode = FRAG_STORE_WRITE,
    .makes_store = true,
};

const struct cmd_command cmd_token_list = {
    .name = "token list",
    .usage = "[--json] [--data DIR]",
    .summary = "List the tokens, and what they may do.",
    .help = "",
    .options = WITH_STORE | WITH(JSON),
    .work = work_list,
    .mode = FRAG_STORE_READ,
};

const struct cmd_command cmd_token_remove = {
    .name = "token remove",
    .usage = "NAME [--data DIR]",
    .summary = "Remove a token: no new request is taken with it.",
    .help = "  NAME                   as kinora token list prints it\n",
    .options = WITH_STORE,
    .operands_min = 1,
    .operands_max = 1,
    .work = work_remove,
    .ask = ask_remove,
    .mode = FRAG_STORE_WRITE,
};
