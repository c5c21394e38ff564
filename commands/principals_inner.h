/* Inner: a principal that was made, and how it is shown. */
#ifndef COMMANDS_PRINCIPALS_INNER_H
#define COMMANDS_PRINCIPALS_INNER_H

#include <jansson.h>

#include "commands/principals.h"
#include "commands/secret.h"

/* From the command line, with what was read beside it. */
struct cmd_principal {
    struct srv_principal value;
    char secret[CMD_SECRET_BYTES]; /* that was read: a password, or a key's; "" */
    char token[SRV_TOKEN_BYTES];   /* made for a token; "" */
};

extern const char *const cmd_principal_kinds[]; /* "key", by their number */

/* Zeroes it, and takes what the command line says. EXIT_FINE, or it has said what was wrong. */
KN_MUST_CHECK int cmd_principal_take(const struct cmd_arguments *arguments,
                                     enum srv_principal_kind kind,
                                     struct cmd_principal *ret_principal);
/* Reads what is secret. 0, or it has said what was wrong; wipe it either way. */
KN_MUST_CHECK int cmd_principal_read(const struct cmd_arguments *arguments,
                                     struct cmd_principal *principal);
/* An administrator for ever: another one would lock all out. */
bool cmd_principal_may_be_first(const struct cmd_principal *principal);
/* "user joe is removed" */
void cmd_principal_tell(const struct cmd_arguments *arguments, enum srv_principal_kind kind,
                        const char *what);
KN_MUST_CHECK int cmd_password_read(const struct cmd_arguments *arguments,
                                    char ret_password[static CMD_SECRET_BYTES]);
void cmd_principal_wipe(struct cmd_principal *principal);

/* All of it, once: what was made for it is not shown again. `access_key`, `secret`, `token`: NULL
 * or empty for what it does not have. */
struct cmd_principal_shown {
    const char *access_key, *secret, *token;
};
int cmd_principal_show(const struct cmd_arguments *arguments, const struct srv_principal *principal,
                       const struct cmd_principal_shown *shown);
/* As texts. NULL: no memory. */
json_t *cmd_principal_grants(const struct srv_principal *principal);
/* A failure of the table in words. */
int cmd_principal_refused(const struct cmd_arguments *arguments, enum srv_principal_kind kind,
                          int rc);
/* There is nobody left. */
void cmd_principal_tell_open(void);
/* It would be the first one, and is no administrator for ever. */
int cmd_principal_not_first(enum srv_principal_kind kind);

#endif
