/* The store that a command works on. */
#ifndef COMMANDS_PLACE_H
#define COMMANDS_PLACE_H

#include <limits.h>

#include "base/attributes.h"
#include "commands/command.h"

/* Where it is and how it is opened. */
struct cmd_place {
    struct frag_store_config config;
    char data[PATH_MAX];
    char *storage[STORAGE_MAX]; /* its own */
};

/* 0, or it has said what was wrong. cmd_place_finish it either way. */
KN_MUST_CHECK int cmd_place_find(const struct cmd_arguments *arguments, enum frag_store_mode mode,
                                 struct cmd_place *ret_place);
void cmd_place_finish(struct cmd_place *place);
/* For what is replayed. 0, or it has said what was wrong. */
KN_MUST_CHECK int cmd_place_open(const struct cmd_place *place, struct frag_store **ret_store);
/* The store's owner from now on, where root works on somebody else's: what is written there must
 * stay theirs, or their server does not start any more. 0, or it has said what was wrong. */
KN_MUST_CHECK int cmd_place_become_owner(const struct cmd_place *place);

/* Says why it was not opened. */
void cmd_place_refused(const struct cmd_place *place, const struct frag_store_opening *opening,
                       int rc);
/* One sentence, where there is anything to say. */
void cmd_place_tell(const struct cmd_place *place, const struct frag_store_opening *opening);

#endif
