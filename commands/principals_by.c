/* Keys, users and tokens through a server that has the store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "commands/ask.h"
#include "commands/principals_inner.h"
#include "server/server.h"

static json_t *body_of(const struct cmd_principal *principal) {
    const struct srv_principal *value = &principal->value;
    bool is_key = value->kind == SRV_PRINCIPAL_KEY;
    const char *secret = principal->secret[0] == '\0' ? NULL : principal->secret;
    json_t *body = json_pack("{s:s, s:s, s:o, s:s*, s:s*, s:s*}", "kind",
                             cmd_principal_kinds[value->kind], "name", value->name, "grants",
                             cmd_principal_grants(value), "password", is_key ? NULL : secret,
                             "access_key", is_key && secret != NULL ? value->access_key : NULL,
                             "secret", is_key ? secret : NULL);
    if (body != NULL && value->expires.ns != SRV_NEVER.ns &&
        json_object_set_new(body, "expires", cmd_ask_time(value->expires)) != 0) {
        json_decref(body);
        body = NULL;
    }
    return body;
}

/* Kind and name are in no need of words: a conflict has the server's. */
static int refused(const struct cmd_arguments *arguments, enum srv_principal_kind kind, int status,
                   const json_t *answer) {
    return status == 404 ? cmd_principal_refused(arguments, kind, -ENOENT)
                         : cmd_ask_refused(status, answer);
}

static int show_answer(const struct cmd_arguments *arguments, const struct cmd_principal *principal,
                       const json_t *answer) {
    const struct cmd_principal_shown shown = {
        .access_key = json_string_value(json_object_get(answer, "access_key")),
        .secret = json_string_value(json_object_get(answer, "secret")),
        .token = json_string_value(json_object_get(answer, "token")),
    };
    enum srv_principal_kind kind = principal->value.kind;
    if ((kind == SRV_PRINCIPAL_KEY && shown.access_key == NULL) ||
        (kind == SRV_PRINCIPAL_TOKEN && shown.token == NULL)) {
        return cmd_ask_refused(KN_E_MALFORMED, answer);
    }
    return cmd_principal_show(arguments, &principal->value, &shown);
}

/* Before anybody is asked for a password: as the server would judge. */
static int check_first(struct srv_client *client, const struct cmd_principal *principal) {
    json_t *answer = NULL;
    int status = cmd_ask_plain(client, "GET", "/api/v1/session", &answer);
    int code = status == 200 ? EXIT_FINE : cmd_ask_refused(status, answer);
    if (json_is_true(json_object_get(answer, "open_mode")) &&
        !cmd_principal_may_be_first(principal)) {
        code = cmd_principal_not_first(principal->value.kind);
    }
    json_decref(answer);
    return code;
}

int cmd_principal_add_by(const struct cmd_arguments *arguments, struct srv_client *client,
                         enum srv_principal_kind kind) {
    struct cmd_principal principal;
    json_t *answer = NULL;
    int code = cmd_principal_take(arguments, kind, &principal);
    if (code == EXIT_FINE) {
        code = check_first(client, &principal);
    }
    if (code == EXIT_FINE && cmd_principal_read(arguments, &principal) != 0) {
        code = EXIT_FAILED;
    }
    if (code == EXIT_FINE) {
        int status = cmd_ask(client, "POST", "/api/v1/principals", body_of(&principal), &answer);
        code = status == 201 ? show_answer(arguments, &principal, answer)
                             : refused(arguments, kind, status, answer);
    }
    cmd_principal_wipe(&principal);
    json_decref(answer);
    return code;
}

static char *path_of(const struct cmd_arguments *arguments, enum srv_principal_kind kind) {
    char before[64];
    (void)snprintf(before, sizeof(before), "/api/v1/principals/%s/", cmd_principal_kinds[kind]);
    return cmd_ask_path(before, arguments->operands[0], "");
}

int cmd_principal_remove_by(const struct cmd_arguments *arguments, struct srv_client *client,
                            enum srv_principal_kind kind) {
    json_t *answer = NULL;
    char *path = path_of(arguments, kind);
    int status = path == NULL ? -ENOMEM : cmd_ask_plain(client, "DELETE", path, &answer);
    int code = EXIT_FINE;
    if (status == 200 || status == 204) {
        cmd_principal_tell(arguments, kind, "is removed");
        if (json_is_true(json_object_get(answer, "open_mode"))) {
            cmd_principal_tell_open();
        }
    } else {
        code = refused(arguments, kind, status, answer);
    }
    json_decref(answer);
    free(path);
    return code;
}

int cmd_principal_password_by(const struct cmd_arguments *arguments, struct srv_client *client) {
    char password[CMD_SECRET_BYTES] = "";
    json_t *answer = NULL;
    char *path = path_of(arguments, SRV_PRINCIPAL_USER);
    int status = path == NULL ? -ENOMEM : 0;
    bool read = cmd_password_read(arguments, password) == 0;
    if (read && status == 0) {
        status = cmd_ask(client, "PATCH", path, json_pack("{s:s}", "password", password), &answer);
    }
    int code = EXIT_FAILED;
    if (read) {
        code = EXIT_FINE;
        if (status == 200 || status == 204) {
            cmd_principal_tell(arguments, SRV_PRINCIPAL_USER, "has the new password");
        } else {
            code = refused(arguments, SRV_PRINCIPAL_USER, status, answer);
        }
    }
    cmd_secret_wipe(password);
    json_decref(answer);
    free(path);
    return code;
}
