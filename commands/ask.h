/* A server that runs on the store, asked instead of the store. */
#ifndef COMMANDS_ASK_H
#define COMMANDS_ASK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/attributes.h"
#include "base/time.h"

struct cmd_place;
struct srv_client;

/* NULL: there is none, or it is not for this user, which is said then (*ret_told). */
struct srv_client *cmd_ask_open(const struct cmd_place *place, bool *ret_told);

/* Whether one runs, which is said then, with what to do instead. */
bool cmd_ask_in_the_way(const struct cmd_place *place, const char *instead);

/* One request, whose body it takes; it is not optional, and NULL is no memory for it. The answer's
 * status, or a negative errno; *ret_answer is NULL or a new reference. */
KN_MUST_CHECK int cmd_ask(struct srv_client *client, const char *method, const char *path,
                          json_t *body, json_t **ret_answer);
/* The same without a body. */
KN_MUST_CHECK int cmd_ask_plain(struct srv_client *client, const char *method, const char *path,
                                json_t **ret_answer);

/* Why `status` is not what was wanted, in the server's words; the answer is the exit code. */
int cmd_ask_refused(int status, const json_t *answer);

/* "/api/v1/streams/", a name from outside escaped, "/holds". NULL: no memory. Free it. */
char *cmd_ask_path(const char *before, const char *name, const char *behind);
/* All of a time's nanoseconds. NULL: no memory. */
json_t *cmd_ask_time(struct kn_wall when);

#endif
