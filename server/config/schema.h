/* What a configuration file and the API's objects may hold, as tables: name, kind, bounds, help.
 * One table reads YAML, environment variables and JSON, writes the default file, and documents
 * itself. */
#ifndef SERVER_CONFIG_SCHEMA_H
#define SERVER_CONFIG_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

enum srv_kind {
    SRV_KIND_TEXT,     /* char *: allocated */
    SRV_KIND_BOOL,     /* bool */
    SRV_KIND_COUNT,    /* uint64_t */
    SRV_KIND_SIZE,     /* uint64_t: 500M */
    SRV_KIND_DURATION, /* int64_t ns: 7d */
    SRV_KIND_CHOICE,   /* int: index into `choices` */
    SRV_KIND_TEXTS,    /* struct srv_texts; one text alone stands for a list of one */
    SRV_KIND_PAIRS,    /* struct srv_pairs: a map of texts */
    SRV_KIND_TABLE     /* a struct of its own, by `table` */
};

struct srv_texts {
    char **items;
    size_t count;
};

struct srv_pairs {
    struct srv_pair_text {
        char *name, *value;
    } * items;
    size_t count;
};

struct srv_schema {
    const char *name; /* "retention"; NULL ends a table */
    enum srv_kind kind;
    size_t at; /* offset of its value in the table's struct */
    /* Bit of the struct's `uint64_t named` (at offset 0) that says it was named; tables have at
     * most 64 rows. The row's place. */
    /* COUNT, SIZE, DURATION (ns); TEXT: bytes; TEXTS, PAIRS: items. `most` 0: as many as the kind
     * has, for TEXT SRV_SCHEMA_TEXT_MAX. */
    uint64_t least, most;
    const char *const *choices;     /* CHOICE: ends in NULL */
    const struct srv_schema *table; /* TABLE */
    bool forever;                   /* DURATION: "forever" is INT64_MAX */
    const char *word;               /* SIZE: this word is UINT64_MAX; NULL: none is */
    bool path;                      /* TEXT, TEXTS: names of files, from the file's folder */
    bool secret;                    /* TEXT: never shown */
    bool restart;                   /* a reload cannot change it */
    bool file_only;                 /* the API does not take it */
    /* TEXT and the items of TEXTS: what is wrong with one, in words without it ("an address such as
     * 127.0.0.1:5466"), or NULL: nothing. NULL: any plain text will do. */
    const char *(*fault)(const char *text);
    const char *fallback; /* its default as YAML, for the commented file and docs; NULL: none */
    const char *help;     /* one line, or several with \n */
};

/* Of a text in any place, its NUL not counted. */
#define SRV_SCHEMA_TEXT_MAX 4095u

/* Every struct of a table begins with this. */
struct srv_named {
    uint64_t rows; /* bits of the rows that were named */
};

#define SRV_SCHEMA_PROBLEM_BYTES 512u

/* JSON's members into `target`, which has its defaults already. A TEXT whose `least` is 0 may be
 * "": it is named then, and NULL. 0; KN_E_MALFORMED with `problem` ("retention: a duration such as
 * 10s or 7d, or forever"; an unknown member with the likely one). What was read before the fault
 * stays in `target`. -ENOMEM. */
KN_MUST_CHECK int srv_schema_read_json(const struct srv_schema *table, json_t *object, void *target,
                                       char problem[static SRV_SCHEMA_PROBLEM_BYTES]);
/* Frees texts, lists and maps within; the struct itself is the caller's. */
void srv_schema_finish(const struct srv_schema *table, void *target);
/* A deep copy into a zeroed struct. 0 or -ENOMEM. */
KN_MUST_CHECK int srv_schema_copy(const struct srv_schema *table, const void *from, void *to);
/* The name in `table` that `name` was probably meant to be; NULL. Pure. */
const char *srv_schema_near(const struct srv_schema *table, const char *name, size_t size);

#endif
