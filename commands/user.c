#include "commands/principals.h"

static int work_add(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_principal_add(arguments, store, SRV_PRINCIPAL_USER);
}

static int ask_add(const struct cmd_arguments *arguments, struct srv_client *client) {
    return cmd_principal_add_by(arguments, client, SRV_PRINCIPAL_USER);
}

static int work_list(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_principal_list(arguments, store, SRV_PRINCIPAL_USER);
}

static int work_remove(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_principal_remove(arguments, store, SRV_PRINCIPAL_USER);
}

static int ask_remove(const struct cmd_arguments *arguments, struct srv_client *client) {
    return cmd_principal_remove_by(arguments, client, SRV_PRINCIPAL_USER);
}

const struct cmd_command cmd_user_add = {
    .name = "user add",
    .usage = "NAME [--grant GRANT]... [--password-stdin] [OPTION]...",
    .summary = "Add a user, who signs in with a password.",
    .help =
        "Asks twice for the password (8 to 1,024 bytes), which is not shown; what is kept of it is "
        "a\n"
        "hash. It takes effect at once, whether a server runs on the store or not.\n\n"
        "GRANT is viewer, operator or admin, or actions with commas between (list, watch, read,\n"
        "record, manage, hold, admin), for all streams; behind a colon for one stream, or for\n"
        "those that begin so: viewer:door*. Without any it is viewer; the first one that\n"
        "there is must be admin, since with it whoever has no credentials may do nothing.\n\n"
        "  NAME                   1 to 64 of A-Z a-z 0-9 . _ @ -, but . and ..\n",
    .options = WITH_STORE | WITH(GRANT) | WITH(EXPIRES) | WITH(JSON) | WITH(PASSWORD_STDIN),
    .operands_min = 1,
    .operands_max = 1,
    .work = work_add,
    .ask = ask_add,
    .mode = FRAG_STORE_WRITE,
    .makes_store = true,
};

const struct cmd_command cmd_user_list = {
    .name = "user list",
    .usage = "[--json] [--data DIR]",
    .summary = "List the users, and what they may do.",
    .help = "",
    .options = WITH_STORE | WITH(JSON),
    .work = work_list,
    .mode = FRAG_STORE_READ,
};

const struct cmd_command cmd_user_remove = {
    .name = "user remove",
    .usage = "NAME [--data DIR]",
    .summary = "Remove a user: no new request is taken, sessions end.",
    .help = "  NAME                   as kinora user list prints it\n",
    .options = WITH_STORE,
    .operands_min = 1,
    .operands_max = 1,
    .work = work_remove,
    .ask = ask_remove,
    .mode = FRAG_STORE_WRITE,
};

const struct cmd_command cmd_user_password = {
    .name = "user password",
    .usage = "NAME [--password-stdin] [--data DIR]",
    .summary = "Give a user another password; sessions under the old one end.",
    .help = "  NAME                   as kinora user list prints it\n",
    .options = WITH_STORE | WITH(PASSWORD_STDIN),
    .operands_min = 1,
    .operands_max = 1,
    .work = cmd_principal_password,
    .ask = cmd_principal_password_by,
    .mode = FRAG_STORE_WRITE,
};
