/* Keys, users and tokens: what is read of them and shown. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "commands/principals_inner.h"
#include "commands/tell.h"

const char *const cmd_principal_kinds[] = {
    [SRV_PRINCIPAL_KEY] = "key",
    [SRV_PRINCIPAL_USER] = "user",
    [SRV_PRINCIPAL_TOKEN] = "token",
};

/* ---- read ---- */

void cmd_principal_wipe(struct cmd_principal *principal) {
    explicit_bzero(principal, sizeof(*principal));
}

int cmd_password_read(const struct cmd_arguments *arguments,
                      char ret_password[static CMD_SECRET_BYTES]) {
    int rc = cmd_given(arguments, OPT_PASSWORD_STDIN) ? cmd_secret_read(ret_password)
                                                      : cmd_secret_ask(ret_password);
    size_t size = rc == 0 ? strlen(ret_password) : SRV_PASSWORD_LEAST;
    if (size < SRV_PASSWORD_LEAST || size > SRV_PASSWORD_MAX) {
        fprintf(stderr, "kinora: a password has %u to %u bytes\n", SRV_PASSWORD_LEAST,
                SRV_PASSWORD_MAX);
        return -EINVAL;
    }
    return rc;
}

/* An access key that somebody has already. */
static int read_key(const struct cmd_arguments *arguments, struct cmd_principal *principal) {
    struct srv_principal *value = &principal->value;
    bool has_id = cmd_given(arguments, OPT_ACCESS_KEY);
    if (has_id != cmd_given(arguments, OPT_SECRET_STDIN)) {
        fprintf(stderr, "kinora: --access-key and --secret-stdin go together\n");
        return -EINVAL;
    }
    if (!has_id) {
        return 0;
    }
    int rc = cmd_secret_read(principal->secret);
    if (rc != 0) {
        return rc;
    }
    value->secret_bytes = strlen(principal->secret);
    if (strlen(arguments->access_key) >= sizeof(value->access_key) ||
        value->secret_bytes > sizeof(value->secret) || value->secret_bytes < SRV_SECRET_LEAST) {
        fprintf(stderr,
                "kinora: an access key has at most %zu bytes, its secret %u to %zu of "
                "printable ASCII\n",
                sizeof(value->access_key) - 1, SRV_SECRET_LEAST, sizeof(value->secret));
        return -EINVAL;
    }
    (void)memcpy(value->access_key, arguments->access_key, strlen(arguments->access_key) + 1);
    (void)memcpy(value->secret, principal->secret, value->secret_bytes);
    return 0;
}

static void read_grants(const struct cmd_arguments *arguments, struct srv_principal *value) {
    value->grant_count = arguments->grant_count;
    (void)memcpy(value->grants, arguments->grants, sizeof(value->grants));
    if (value->grant_count == 0) {
        value->grants[0] = (struct srv_grant){.actions = SRV_GRANT_VIEWER, .pattern = "*"};
        value->grant_count = 1;
    }
}

int cmd_principal_read(const struct cmd_arguments *arguments, enum srv_principal_kind kind,
                       struct cmd_principal *ret_principal) {
    struct srv_principal *value = &ret_principal->value;
    const char *name = arguments->operands[0];
    *ret_principal = (struct cmd_principal){.value.kind = kind};
    if (strlen(name) >= sizeof(value->name)) {
        (void)cmd_principal_refused(arguments, kind, -EINVAL);
        return -EINVAL;
    }
    (void)memcpy(value->name, name, strlen(name) + 1);
    value->created = arguments->now;
    value->expires = arguments->expires;
    if (value->expires.ns <= value->created.ns) {
        fprintf(stderr, "kinora: --expires is over already\n");
        return -EINVAL;
    }
    read_grants(arguments, value);
    switch (kind) {
    case SRV_PRINCIPAL_KEY:
        return read_key(arguments, ret_principal);
    case SRV_PRINCIPAL_USER:
        return cmd_password_read(arguments, ret_principal->secret);
    case SRV_PRINCIPAL_TOKEN:
        break;
    }
    return 0;
}

/* ---- shown ---- */

json_t *cmd_principal_grants(const struct srv_principal *principal) {
    json_t *grants = json_array();
    for (size_t i = 0; i < principal->grant_count && grants != NULL; i++) {
        char text[SRV_GRANT_TEXT_BYTES];
        const char *grant = srv_grant_text(&principal->grants[i], text);
        if (json_array_append_new(grants, json_string(grant)) != 0) {
            json_decref(grants);
            return NULL;
        }
    }
    return grants;
}

static int show_json(const struct srv_principal *principal,
                     const struct cmd_principal_shown *shown) {
    char expires[KN_WALL_TEXT_BYTES];
    json_t *told = json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:o, s:o}", "kind",
                             cmd_principal_kinds[principal->kind], "name", principal->name,
                             "access_key", shown->access_key, "secret", shown->secret, "token",
                             shown->token, "grants", cmd_principal_grants(principal), "expires",
                             principal->expires.ns == SRV_NEVER.ns
                                 ? json_null()
                                 : json_string(kn_wall_format(principal->expires, expires)));
    if (told == NULL) {
        return cmd_refused("standard output", -ENOMEM);
    }
    (void)json_dumpf(told, stdout, JSON_COMPACT | JSON_ENSURE_ASCII); /* ferror tells */
    json_decref(told);
    printf("\n");
    return EXIT_FINE;
}

/* A key as AWS's credentials files have it, a token alone, so that scripts can take them. */
static void show_text(const struct srv_principal *principal,
                      const struct cmd_principal_shown *shown) {
    switch (principal->kind) {
    case SRV_PRINCIPAL_KEY:
        printf("aws_access_key_id = %s\n", cmd_plain(shown->access_key));
        if (shown->secret != NULL) {
            printf("aws_secret_access_key = %s\n", cmd_plain(shown->secret));
        }
        break;
    case SRV_PRINCIPAL_TOKEN:
        printf("%s\n", cmd_plain(shown->token));
        break;
    case SRV_PRINCIPAL_USER:
        break;
    }
}

int cmd_principal_show(const struct cmd_arguments *arguments, const struct srv_principal *principal,
                       const struct cmd_principal_shown *shown) {
    char text[SRV_GRANT_TEXT_BYTES];
    int code = EXIT_FINE;
    if (cmd_given(arguments, OPT_JSON)) {
        code = show_json(principal, shown);
    } else {
        show_text(principal, shown);
    }
    fprintf(stderr, "kinora: %s %s may:", cmd_principal_kinds[principal->kind], principal->name);
    for (size_t i = 0; i < principal->grant_count; i++) {
        fprintf(stderr, " %s", srv_grant_text(&principal->grants[i], text));
    }
    fprintf(stderr, "%s\n",
            shown->secret != NULL  ? ". The secret is shown this once"
            : shown->token != NULL ? ". The token is shown this once"
                                   : "");
    return code;
}

/* ---- what was wrong ---- */

int cmd_principal_not_first(enum srv_principal_kind kind) {
    fprintf(stderr,
            "kinora: with the first %s nobody else may do anything any more, so it must be one "
            "who may do all, and for ever: --grant admin, without --expires\n",
            cmd_principal_kinds[kind]);
    return EXIT_FAILED;
}

int cmd_principal_refused(const struct cmd_arguments *arguments, enum srv_principal_kind kind,
                          int rc) {
    const char *name = cmd_plain(arguments->operands[0]);
    const char *what = cmd_principal_kinds[kind];
    switch (rc) {
    case -EEXIST:
        fprintf(stderr, "kinora: there is a %s %s already, or another one has its access key\n",
                what, name);
        return EXIT_FAILED;
    case -ENOENT:
        fprintf(stderr, "kinora: there is no %s %s; kinora %s list shows all\n", what, name, what);
        return EXIT_FAILED;
    case -EINVAL:
        fprintf(stderr,
                "kinora: this cannot be a %s: its name has 1 to 64 of A-Z a-z 0-9 . _ @ -, but . "
                "and .., and an access key letters of these but @\n",
                what);
        return EXIT_FAILED;
    case KN_E_LIMIT:
        fprintf(stderr, "kinora: there are %u keys, users and tokens, which is the most\n",
                SRV_PRINCIPALS_MAX);
        return EXIT_FAILED;
    default:
        return cmd_refused(arguments->data, rc);
    }
}
