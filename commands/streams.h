/* What commands that list something of a store share. */
#ifndef COMMANDS_STREAMS_H
#define COMMANDS_STREAMS_H

struct cmd_arguments;
struct frag_store;
struct frag_stream;

/* What was listed, or why it was not; the answer is the exit code. */
int cmd_listed(const struct cmd_arguments *arguments, int rc);
/* NULL: there is none, which it has said. */
struct frag_stream *cmd_find_stream(struct frag_store *store, const char *name);

#endif
