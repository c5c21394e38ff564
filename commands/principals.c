/* Keys, users and tokens in the store itself. */
#include "commands/principals.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "commands/principals_inner.h"
#include "commands/streams.h"
#include "commands/tell.h"
#include "fragments/fragments.h"

/* ---- the table ---- */

static int key_file_refused(const char *path, int rc) {
    switch (rc) {
    case -EPERM:
        fprintf(stderr,
                "kinora: %s must belong to this user or root, and nobody else may read or write "
                "it: chmod 600 it\n",
                cmd_plain(path));
        break;
    case -ELOOP:
        fprintf(stderr, "kinora: %s is a link; key_file has to name the file itself\n",
                cmd_plain(path));
        break;
    case -ENOKEY:
        fprintf(stderr,
                "kinora: %s is gone, and with it what the secrets of access keys were encrypted "
                "with: bring it back, or remove those keys by kinora key remove and make new "
                "ones\n",
                cmd_plain(path));
        break;
    case KN_E_MALFORMED:
        fprintf(stderr, "kinora: %s is no key file of Kinora; bring back the one it was\n",
                cmd_plain(path));
        break;
    default:
        (void)cmd_refused(path, rc);
    }
    return rc;
}

static int open_key_file(const struct cmd_arguments *arguments, struct frag_store *store,
                         struct srv_keyfile *ret_keyfile) {
    char path[PATH_MAX];
    int size = arguments->key_file != NULL
                   ? snprintf(path, sizeof(path), "%s", arguments->key_file)
                   : snprintf(path, sizeof(path), "%s/" SRV_KEYFILE_NAME, arguments->data);
    if (size < 0 || (size_t)size >= sizeof(path)) {
        return key_file_refused(arguments->data, -ENAMETOOLONG);
    }
    int rc = srv_principals_keyfile(store, path, ret_keyfile);
    return rc == 0 ? 0 : key_file_refused(path, rc);
}

/* 0, or it has said what was wrong. */
static int open_table(const struct cmd_arguments *arguments, struct frag_store *store,
                      struct srv_principals **ret_table) {
    struct srv_keyfile keyfile;
    int rc = open_key_file(arguments, store, &keyfile);
    if (rc != 0) {
        return rc;
    }
    rc = srv_principals_open(store, &keyfile, ret_table);
    srv_keyfile_wipe(&keyfile);
    if (rc == -EKEYREJECTED) {
        fprintf(stderr, "kinora: the key file is not the one that the secrets of access keys were "
                        "encrypted with: bring that one back, or remove those keys by kinora key "
                        "remove and make new ones\n");
    } else if (rc != 0) {
        (void)cmd_refused(arguments->data, rc);
    }
    return rc;
}

/* To list and to remove takes no secrets: also where the key file is lost. */
static int open_bare_table(const struct cmd_arguments *arguments, struct frag_store *store,
                           struct srv_principals **ret_table) {
    int rc = srv_principals_open(store, NULL, ret_table);
    if (rc != 0) {
        (void)cmd_refused(arguments->data, rc);
    }
    return rc;
}

/* ---- add ---- */

static int make(struct cmd_principal *principal) {
    switch (principal->value.kind) {
    case SRV_PRINCIPAL_KEY:
        return principal->secret[0] != '\0' ? 0 : srv_principal_make_key(&principal->value);
    case SRV_PRINCIPAL_USER:
        return srv_principal_set_password(&principal->value, principal->secret);
    case SRV_PRINCIPAL_TOKEN:
        return srv_principal_make_token(&principal->value, principal->token);
    }
    return -EINVAL;
}

static int show_made(const struct cmd_arguments *arguments, const struct cmd_principal *principal) {
    const struct srv_principal *value = &principal->value;
    struct cmd_principal_shown shown = {0};
    char secret[sizeof(value->secret) + 1] = "";
    if (value->kind == SRV_PRINCIPAL_KEY) {
        shown.access_key = value->access_key;
        (void)memcpy(secret, value->secret, value->secret_bytes);
        /* Whoever brought it knows it. */
        shown.secret = principal->secret[0] == '\0' ? secret : NULL;
    }
    shown.token = value->kind == SRV_PRINCIPAL_TOKEN ? principal->token : NULL;
    int code = cmd_principal_show(arguments, value, &shown);
    explicit_bzero(secret, sizeof(secret));
    return code;
}

static int add(const struct cmd_arguments *arguments, struct srv_principals *table,
               struct cmd_principal *principal) {
    enum srv_principal_kind kind = principal->value.kind;
    if (srv_principals_count(table) == 0 &&
        (!srv_principal_may(&principal->value, SRV_ACTION_ADMIN, NULL) ||
         principal->value.expires.ns != SRV_NEVER.ns)) {
        return cmd_principal_not_first(kind);
    }
    int rc = make(principal);
    if (rc == 0) {
        rc = srv_principals_add(table, &principal->value);
    }
    return rc == 0 ? show_made(arguments, principal) : cmd_principal_refused(arguments, kind, rc);
}

int cmd_principal_add(const struct cmd_arguments *arguments, struct frag_store *store,
                      enum srv_principal_kind kind) {
    struct srv_principals *table = NULL;
    struct cmd_principal principal;
    int code = EXIT_FAILED;
    if (cmd_principal_read(arguments, kind, &principal) == 0 &&
        open_table(arguments, store, &table) == 0) {
        code = add(arguments, table, &principal);
    }
    cmd_principal_wipe(&principal);
    srv_principals_close(table);
    return code;
}

/* ---- remove, change ---- */

int cmd_principal_remove(const struct cmd_arguments *arguments, struct frag_store *store,
                         enum srv_principal_kind kind) {
    struct srv_principals *table = NULL;
    if (open_bare_table(arguments, store, &table) != 0) {
        return EXIT_FAILED;
    }
    int rc = srv_principals_remove(table, kind, arguments->operands[0]);
    if (rc == 0 && srv_principals_count(table) == 0) {
        fprintf(stderr, "kinora: nobody has credentials any more: a server on this store listens "
                        "on this machine alone, and whoever is on it may do everything\n");
    }
    srv_principals_close(table);
    return rc == 0 ? EXIT_FINE : cmd_principal_refused(arguments, kind, rc);
}

static int change_password(const struct cmd_arguments *arguments, struct srv_principals *table,
                           const char *password) {
    const struct srv_principal *found = NULL;
    int rc = srv_principals_find(table, SRV_PRINCIPAL_USER, arguments->operands[0], &found);
    if (rc == 0) {
        struct srv_principal changed = *found;
        srv_principal_unref(found);
        rc = srv_principal_set_password(&changed, password);
        if (rc == 0) {
            rc = srv_principals_replace(table, &changed);
        }
        explicit_bzero(&changed, sizeof(changed));
    }
    return rc == 0 ? EXIT_FINE : cmd_principal_refused(arguments, SRV_PRINCIPAL_USER, rc);
}

int cmd_principal_password(const struct cmd_arguments *arguments, struct frag_store *store) {
    struct srv_principals *table = NULL;
    char password[CMD_SECRET_BYTES] = "";
    int code = EXIT_FAILED;
    if (cmd_password_read(arguments, password) == 0 && open_table(arguments, store, &table) == 0) {
        code = change_password(arguments, table, password);
    }
    cmd_secret_wipe(password);
    srv_principals_close(table);
    return code;
}

/* ---- list ---- */

static void print_times(const struct srv_principal *principal) {
    char created[KN_WALL_TEXT_BYTES], expires[KN_WALL_TEXT_BYTES];
    printf("  %s  %-24s ", kn_wall_format(principal->created, created),
           principal->expires.ns == SRV_NEVER.ns ? "never"
                                                 : kn_wall_format(principal->expires, expires));
}

static void print_row(const struct srv_principal *principal, bool first) {
    char grant[SRV_GRANT_TEXT_BYTES];
    bool is_key = principal->kind == SRV_PRINCIPAL_KEY;
    if (first) {
        printf("%-20s%s  %-24s  %-24s  may\n", cmd_principal_kinds[principal->kind],
               is_key ? "  access key          " : "", "made", "ends");
    }
    printf("%-20s", principal->name);
    if (is_key) {
        printf("  %-20s", principal->access_key);
    }
    print_times(principal);
    for (size_t i = 0; i < principal->grant_count; i++) {
        printf(" %s", srv_grant_text(&principal->grants[i], grant));
    }
    printf("\n");
}

static json_t *row_json(const struct srv_principal *principal) {
    char created[KN_WALL_TEXT_BYTES], expires[KN_WALL_TEXT_BYTES];
    return json_pack(
        "{s:s, s:s*, s:s, s:s?, s:o}", "name", principal->name, "access_key",
        principal->kind == SRV_PRINCIPAL_KEY ? principal->access_key : NULL, "created",
        kn_wall_format(principal->created, created), "expires",
        principal->expires.ns == SRV_NEVER.ns ? NULL : kn_wall_format(principal->expires, expires),
        "grants", cmd_principal_grants(principal));
}

static int print_json_row(const struct srv_principal *principal, bool first) {
    json_t *row = row_json(principal);
    if (row == NULL) {
        return -ENOMEM;
    }
    printf("%s\n", first ? "" : ",");
    (void)json_dumpf(row, stdout, JSON_COMPACT | JSON_ENSURE_ASCII); /* ferror tells */
    json_decref(row);
    return 0;
}

/* Those of one kind, by their names. */
static int print_rows(struct srv_principals *table, enum srv_principal_kind kind, bool json) {
    char name[SRV_PRINCIPAL_NAME_BYTES] = "";
    bool first = true;
    for (;;) {
        const struct srv_principal *found = NULL;
        int rc = srv_principals_next(table, kind, name, &found);
        if (rc == -ENOENT || (rc == 0 && found->kind != kind)) {
            srv_principal_unref(found);
            return 0;
        }
        if (rc == 0) {
            (void)memcpy(name, found->name, sizeof(name));
            if (json) {
                rc = print_json_row(found, first);
            } else {
                print_row(found, first);
            }
            srv_principal_unref(found);
        }
        if (rc != 0) {
            return rc;
        }
        first = false;
    }
}

int cmd_principal_list(const struct cmd_arguments *arguments, struct frag_store *store,
                       enum srv_principal_kind kind) {
    struct srv_principals *table = NULL;
    bool json = cmd_given(arguments, OPT_JSON);
    if (open_bare_table(arguments, store, &table) != 0) {
        return EXIT_FAILED;
    }
    if (json) {
        printf("{\"%ss\":[", cmd_principal_kinds[kind]);
    }
    int rc = print_rows(table, kind, json);
    if (json) {
        printf("]}\n");
    }
    srv_principals_close(table);
    return cmd_listed(arguments, rc);
}
