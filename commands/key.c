#include "commands/principals.h"

static int work_add(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_principal_add(arguments, store, SRV_PRINCIPAL_KEY);
}

static int ask_add(const struct cmd_arguments *arguments, struct srv_client *client) {
    return cmd_principal_add_by(arguments, client, SRV_PRINCIPAL_KEY);
}

static int work_list(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_principal_list(arguments, store, SRV_PRINCIPAL_KEY);
}

static int work_remove(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_principal_remove(arguments, store, SRV_PRINCIPAL_KEY);
}

static int ask_remove(const struct cmd_arguments *arguments, struct srv_client *client) {
    return cmd_principal_remove_by(arguments, client, SRV_PRINCIPAL_KEY);
}

const struct cmd_command cmd_key_add = {
    .name = "key add",
    .usage = "NAME [--grant GRANT]... [--expires WHEN] [OPTION]...",
    .summary = "Make an access key for AWS clients and signed requests.",
    .help =
        "Prints the key and its secret as a credentials file of AWS has them; the secret is shown\n"
        "this once and kept encrypted with the key file beside the store. It takes effect at\n"
        "once, whether a server runs on the store or not. --access-key with --secret-stdin\n"
        "takes a key that is in use elsewhere already.\n\n"
        "GRANT is viewer, operator or admin, or actions with commas between (list, watch, read,\n"
        "record, manage, hold, admin), for all streams; behind a colon for one stream, or for\n"
        "those that begin so: viewer:door*. Without any it is viewer; the first one that\n"
        "there is must be admin, since with it whoever has no credentials may do nothing.\n\n"
        "  NAME                   1 to 64 of A-Z a-z 0-9 . _ @ -, but . and ..\n",
    .options = WITH_STORE | WITH(GRANT) | WITH(EXPIRES) | WITH(JSON) | WITH(ACCESS_KEY) |
               WITH(SECRET_STDIN),
    .operands_min = 1,
    .operands_max = 1,
    .work = work_add,
    .ask = ask_add,
    .mode = FRAG_STORE_WRITE,
    .makes_store = true,
};

const struct cmd_command cmd_key_list = {
    .name = "key list",
    .usage = "[--json] [--data DIR]",
    .summary = "List the access keys, and what they may do.",
    .help = "",
    .options = WITH_STORE | WITH(JSON),
    .work = work_list,
    .mode = FRAG_STORE_READ,
};

const struct cmd_command cmd_key_remove = {
    .name = "key remove",
    .usage = "NAME [--data DIR]",
    .summary = "Remove an access key: no new request is taken with it.",
    .help = "  NAME                   as kinora key list prints it\n",
    .options = WITH_STORE,
    .operands_min = 1,
    .operands_max = 1,
    .work = work_remove,
    .ask = ask_remove,
    .mode = FRAG_STORE_WRITE,
};
