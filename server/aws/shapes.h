/* What the bodies of AWS operations may hold: one table of shapes for all operations, and the check
 * of a body against them. Pure, any thread. */
#ifndef SERVER_AWS_SHAPES_H
#define SERVER_AWS_SHAPES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

enum srv_shape_kind {
    SRV_SHAPE_TEXT,  /* least..most characters, `pattern`, or one of `words` */
    SRV_SHAPE_WHOLE, /* an integer of least..most */
    SRV_SHAPE_BOOL,
    SRV_SHAPE_TIME,  /* seconds since 1970: integer, decimal or exponent */
    SRV_SHAPE_LIST,  /* least..most of `of` */
    SRV_SHAPE_MAP,   /* least..most of `key` to `of` */
    SRV_SHAPE_RECORD /* `members` */
};

struct srv_pattern {
    const char *text; /* as AWS writes it, for messages */
    bool (*fits)(const char *text);
};

struct srv_shape {
    enum srv_shape_kind kind;
    int64_t least, most;
    const struct srv_pattern *pattern; /* NULL: any characters */
    const char *const *words;          /* ends in NULL; NULL: any */
    const struct srv_shape *key, *of;
    const struct srv_member *members; /* ends in a name NULL */
};

struct srv_member {
    const char *name;
    const struct srv_shape *shape;
    bool required;
};

#define SRV_SHAPE_PROBLEM_BYTES 512u

/* The body of an operation; members it does not have are ignored, null ones are not there. 0.
 * KN_E_MALFORMED: a value is of another type than the member; KN_E_LIMIT: one is missing, or out of
 * its bounds; both with `problem` as AWS words it, which holds printable characters alone. -ENOENT:
 * no such operation. */
KN_MUST_CHECK int srv_shape_check(const char *operation, const json_t *body,
                                  char problem[static SRV_SHAPE_PROBLEM_BYTES]);

/* The table, by operation; NULL behind its end. */
struct srv_operation {
    const char *name; /* "CreateStream" */
    const struct srv_member *members;
};
const struct srv_operation *srv_operation_at(size_t at);
const struct srv_operation *srv_operation_find(const char *name);

/* ---- patterns.c ---- */

extern const struct srv_pattern srv_pattern_name, srv_pattern_arn, srv_pattern_arn_aws,
    srv_pattern_arn_any_aws, srv_pattern_thing_arn, srv_pattern_secret_arn, srv_pattern_token,
    srv_pattern_archive_token, srv_pattern_version, srv_pattern_tag, srv_pattern_media_type,
    srv_pattern_digits, srv_pattern_ctoken, srv_pattern_uri, srv_pattern_region,
    srv_pattern_one_line, srv_pattern_word, srv_pattern_base64;

#endif
