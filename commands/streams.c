#include "commands/streams.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "commands/command.h"
#include "commands/tell.h"
#include "fragments/fragments.h"

/* What was listed, or why it was not. Whether it could be printed, the end of the program says. */
int cmd_listed(const struct cmd_arguments *arguments, int rc) {
    if (rc == KN_E_MALFORMED) {
        fprintf(stderr, "kinora: the index of %s is damaged: kinora rebuild makes it again\n",
                cmd_plain(arguments->data));
        return EXIT_FAILED;
    }
    return rc == 0 ? EXIT_FINE : cmd_refused(arguments->data, rc);
}

static bool is_near(const char *a, const char *b) {
    return strcasestr(a, b) != NULL || strcasestr(b, a) != NULL || strncasecmp(a, b, 3) == 0;
}

/* NULL: there is none, which it has said. */
struct frag_stream *cmd_find_stream(struct frag_store *store, const char *name) {
    struct frag_stream *stream = frag_stream_find(store, name);
    if (stream != NULL) {
        return stream;
    }
    fprintf(stderr, "kinora: there is no stream '%s'", cmd_plain(name));
    size_t near = 0;
    for (stream = frag_stream_next(store, NULL); stream != NULL && near < NAMES_NEAR_MAX;
         stream = frag_stream_next(store, frag_stream_name(stream))) {
        if (is_near(frag_stream_name(stream), name)) {
            fprintf(stderr, "%s%s", near++ == 0 ? "; there is " : ", ", frag_stream_name(stream));
        }
    }
    fprintf(stderr, "; kinora streams lists all\n");
    return NULL;
}
