/* Within server/config: a configuration while it is made. */
#ifndef SERVER_CONFIG_CONFIG_INNER_H
#define SERVER_CONFIG_CONFIG_INNER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attributes.h"
#include "server/config/config.h"
#include "server/config/schema_inner.h"
#include "server/config/yaml.h"

#define SRV_CONFIG_PROBLEMS_MAX 100u
#define SRV_CONFIG_NAME_BYTES 384u /* "streams.<256>.retention_bytes" */

struct srv_place {
    const char *path;
    size_t line, column;
};

/* A problem that is kept until all are known. */
struct srv_kept {
    struct srv_config_problem problem;
    char *path, *text; /* owned */
    size_t at;         /* of equal places the earlier one first */
};

struct srv_made_stream {
    struct srv_config_stream stream;
    struct srv_place place, storage;
};

struct srv_making {
    struct srv_config *config;
    char *const *environment; /* may be NULL */
    const char *folder;       /* of relative paths of the file; "" or NULL: as they stand */
    const char *cwd;          /* of those of variables and the command line; likewise */
    const char *base;         /* the one of these that counts now */
    struct srv_place place;   /* of what is read now */
    struct srv_place tls;
    char name[SRV_CONFIG_NAME_BYTES]; /* of what is read now: "http.workers"; "" */
    bool expands;                     /* ${NAME} */
    struct srv_made_stream *streams;
    size_t stream_count;
    struct srv_kept kept[SRV_CONFIG_PROBLEMS_MAX];
    size_t kept_count;
    bool failed; /* a problem that is no warning */
};

/* ---- problems ---- */

/* Keeps one at making->place, with making->name before it. 0, or -ENOMEM. */
KN_MUST_CHECK int srv_making_tell(struct srv_making *making, bool warning, const char *text);
/* No more of them can be kept. */
bool srv_making_is_full(const struct srv_making *making);
/* Tells all in order of lines, and frees them. */
void srv_making_tell_all(struct srv_making *making,
                         void (*tell)(const struct srv_config_problem *problem, void *user),
                         void *user);

/* ---- values: 0, also where a problem was kept; -ENOMEM ---- */

/* `text` with its variables, and as a path from making->base where the row is one; free() it. NULL
 * where a problem was kept. */
KN_MUST_CHECK int srv_making_text(struct srv_making *making, const struct srv_schema *row,
                                  const char *text, char **ret_text);
KN_MUST_CHECK int srv_making_row(struct srv_making *making, const struct srv_schema *table,
                                 const struct srv_schema *row, const struct srv_yaml *node,
                                 void *target);
/* A map into a struct; what `skip` names is not in it, but the caller's. */
KN_MUST_CHECK int srv_making_map(struct srv_making *making, const struct srv_schema *table,
                                 const struct srv_yaml *map, const char *skip, void *target);
/* The same of texts: of lists and maps of a variable, with commas. */
KN_MUST_CHECK int srv_making_variable(struct srv_making *making, const struct srv_schema *table,
                                      const struct srv_schema *row, const char *text, void *target);
/* Defaults of a table, of which nothing is named. */
KN_MUST_CHECK int srv_making_defaults(struct srv_making *making, const struct srv_schema *table,
                                      void *target);
/* Appends ".name" to making->name, and gives its size before, for srv_making_leave. */
size_t srv_making_enter(struct srv_making *making, const char *name);
void srv_making_leave(struct srv_making *making, size_t before);

/* ---- parts ---- */

KN_MUST_CHECK int srv_making_streams(struct srv_making *making, const struct srv_yaml *node);
/* KINORA_ variables. */
KN_MUST_CHECK int srv_making_environment(struct srv_making *making);
KN_MUST_CHECK int srv_making_said(struct srv_making *making, const struct srv_config_said *said);

#endif
