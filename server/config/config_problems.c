/* Problems, kept until all are known, so that they come in order of lines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config/config_inner.h"

bool srv_making_is_full(const struct srv_making *making) {
    return making->kept_count == SRV_CONFIG_PROBLEMS_MAX;
}

int srv_making_tell(struct srv_making *making, bool warning, const char *text) {
    making->failed = making->failed || !warning;
    if (srv_making_is_full(making)) {
        return 0;
    }
    struct srv_kept *kept = &making->kept[making->kept_count];
    char *path = srv_text_copy(making->place.path);
    char *whole = NULL;
    if (path == NULL ||
        asprintf(&whole, "%s%s%s", making->name, making->name[0] == '\0' ? "" : ": ", text) < 0) {
        free(path);
        return -ENOMEM;
    }
    *kept = (struct srv_kept){.path = path, .text = whole, .at = making->kept_count};
    kept->problem = (struct srv_config_problem){.path = path,
                                                .line = making->place.line,
                                                .column = making->place.column,
                                                .warning = warning,
                                                .text = whole};
    making->kept_count++;
    return 0;
}

/* Those of the file first, which alone have lines. */
static int compare(const void *a, const void *b) {
    const struct srv_kept *one = a, *other = b;
    size_t line = one->problem.line - 1, other_line = other->problem.line - 1; /* 0 comes last */
    if (line != other_line) {
        return line < other_line ? -1 : 1;
    }
    if (one->problem.column != other->problem.column) {
        return one->problem.column < other->problem.column ? -1 : 1;
    }
    return one->at < other->at ? -1 : 1;
}

void srv_making_tell_all(struct srv_making *making,
                         void (*tell)(const struct srv_config_problem *problem, void *user),
                         void *user) {
    qsort(making->kept, making->kept_count, sizeof(making->kept[0]), compare);
    for (size_t i = 0; i < making->kept_count; i++) {
        if (tell != NULL) {
            tell(&making->kept[i].problem, user);
        }
        free(making->kept[i].path);
        free(making->kept[i].text);
    }
    making->kept_count = 0;
}
