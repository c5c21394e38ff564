/* Tables from JSON. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "server/config/schema_inner.h"

#define NAME_SHOWN_BYTES 64u
#define WHAT_SHOWN_BYTES 440
#define NUMBER_BYTES 24u

/* "retention: a duration ..."; a table within: "http: workers: ...". */
static void put_name(const char *name, char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    char shown[NAME_SHOWN_BYTES], what[SRV_SCHEMA_PROBLEM_BYTES];
    (void)snprintf(what, sizeof(what), "%s", problem);
    (void)kn_text_plain(name, strlen(name), shown, sizeof(shown));
    (void)snprintf(problem, SRV_SCHEMA_PROBLEM_BYTES, "%s: %.*s", shown, WHAT_SHOWN_BYTES, what);
}

static int refuse(const struct srv_schema *row, char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    srv_schema_takes(row, problem);
    return KN_E_MALFORMED;
}

/* JSON has numbers and truth of its own: "8" is no count and "true" no truth, but what is over
 * 2^53 comes as a text. */
static int take_scalar(const struct srv_schema *table, const struct srv_schema *row, json_t *value,
                       void *target, char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    char number[NUMBER_BYTES];
    bool counts =
        row->kind == SRV_KIND_COUNT || row->kind == SRV_KIND_SIZE || row->kind == SRV_KIND_DURATION;
    if (row->kind == SRV_KIND_BOOL) {
        return json_is_boolean(value)
                   ? srv_schema_take(table, row, json_is_true(value) ? "true" : "false", target,
                                     problem)
                   : refuse(row, problem);
    }
    if (counts && json_is_integer(value)) {
        (void)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return srv_schema_take(table, row, number, target, problem);
    }
    return json_is_string(value)
               ? srv_schema_take(table, row, json_string_value(value), target, problem)
               : refuse(row, problem);
}

static int take_list(const struct srv_schema *table, const struct srv_schema *row, json_t *value,
                     void *target, char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    size_t count = json_array_size(value);
    if (json_is_string(value)) {
        return srv_schema_take(table, row, json_string_value(value), target, problem);
    }
    if (!json_is_array(value)) {
        return refuse(row, problem);
    }
    const char **texts = (const char **)calloc(count + 1, sizeof(texts[0]));
    if (texts == NULL) {
        return -ENOMEM;
    }
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        texts[i] = json_string_value(json_array_get(value, i));
        rc = texts[i] == NULL ? refuse(row, problem) : 0;
    }
    rc = rc < 0 ? rc : srv_schema_take_list(table, row, texts, count, target, problem);
    free((void *)texts);
    return rc;
}

static int take_pairs(const struct srv_schema *table, const struct srv_schema *row, json_t *value,
                      void *target, char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    const char *name;
    json_t *member;
    size_t count = 0;
    if (!json_is_object(value)) {
        return refuse(row, problem);
    }
    struct srv_pair_text *pairs = calloc(json_object_size(value) + 1, sizeof(pairs[0]));
    if (pairs == NULL) {
        return -ENOMEM;
    }
    int rc = 0;
    json_object_foreach(value, name, member) {
        /* Borrowed, and not written to. */
        pairs[count].name = (char *)name;
        pairs[count].value = (char *)json_string_value(member);
        rc = pairs[count].value == NULL ? refuse(row, problem) : rc;
        count++;
    }
    rc = rc < 0 ? rc : srv_schema_take_pairs(table, row, pairs, count, target, problem);
    free(pairs);
    return rc;
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
static int take_member(const struct srv_schema *table, const struct srv_schema *row, json_t *value,
                       void *target, char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    switch (row->kind) {
    case SRV_KIND_TEXTS:
        return take_list(table, row, value, target, problem);
    case SRV_KIND_PAIRS:
        return take_pairs(table, row, value, target, problem);
    case SRV_KIND_TABLE:
        srv_schema_name(table, row, target);
        return srv_schema_read_json(row->table, value, srv_schema_at(row, target), problem);
    default:
        return take_scalar(table, row, value, target, problem);
    }
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
int srv_schema_read_json(const struct srv_schema *table, json_t *object, void *target,
                         char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    const char *name;
    json_t *value;
    if (!json_is_object(object)) {
        (void)snprintf(problem, SRV_SCHEMA_PROBLEM_BYTES, "an object is wanted");
        return KN_E_MALFORMED;
    }
    json_object_foreach(object, name, value) {
        const struct srv_schema *row = srv_schema_find(table, name, strlen(name));
        int rc = KN_E_MALFORMED;
        if (row == NULL) {
            srv_schema_unknown(table, name, strlen(name), "member", problem);
        } else if (row->file_only) {
            (void)snprintf(problem, SRV_SCHEMA_PROBLEM_BYTES,
                           "only the configuration file says this");
        } else {
            rc = take_member(table, row, value, target, problem);
        }
        if (rc == KN_E_MALFORMED) {
            put_name(name, problem);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}
