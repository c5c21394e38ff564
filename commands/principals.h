/* What the commands about keys, users and tokens share: on the store itself, or through a server
 * that has it. All answers are exit codes. */
#ifndef COMMANDS_PRINCIPALS_H
#define COMMANDS_PRINCIPALS_H

#include "commands/command.h"

struct frag_store;
struct srv_client;

int cmd_principal_add(const struct cmd_arguments *arguments, struct frag_store *store,
                      enum srv_principal_kind kind);
int cmd_principal_add_by(const struct cmd_arguments *arguments, struct srv_client *client,
                         enum srv_principal_kind kind);
int cmd_principal_remove(const struct cmd_arguments *arguments, struct frag_store *store,
                         enum srv_principal_kind kind);
int cmd_principal_remove_by(const struct cmd_arguments *arguments, struct srv_client *client,
                            enum srv_principal_kind kind);
int cmd_principal_list(const struct cmd_arguments *arguments, struct frag_store *store,
                       enum srv_principal_kind kind);
/* A user's new password. */
int cmd_principal_password(const struct cmd_arguments *arguments, struct frag_store *store);
int cmd_principal_password_by(const struct cmd_arguments *arguments, struct srv_client *client);

#endif
