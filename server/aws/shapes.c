#include "server/aws/shapes.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

#define PATH_BYTES 192u
#define VALUE_SHOWN 64u

/* One check, as it goes down into a body. */
struct check {
    char path[PATH_BYTES]; /* 'tags.1.member.key' */
    char *problem;
};

static int check_value(struct check *check, const struct srv_shape *shape, const json_t *value);

/* ---- where we are ---- */

static size_t enter(struct check *check, const char *format, ...) KN_PRINTF(2, 3);
static size_t enter(struct check *check, const char *format, ...) {
    size_t was = strlen(check->path);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(check->path + was, PATH_BYTES - was, format, arguments); /* cut is fine */
    va_end(arguments);
    return was;
}

/* As AWS writes members: the first letter is small. */
static size_t enter_member(struct check *check, const char *name) {
    bool first = check->path[0] == '\0';
    return enter(check, "%s%c%s", first ? "" : ".", tolower((unsigned char)name[0]), name + 1);
}

static void leave(struct check *check, size_t was) {
    check->path[was] = '\0';
}

/* ---- what is wrong ---- */

static int refuse_type(const struct check *check, const char *wanted) {
    (void)snprintf(check->problem, SRV_SHAPE_PROBLEM_BYTES, "Value at '%s' must be %s", check->path,
                   wanted);
    return KN_E_MALFORMED;
}

/* The value as it is shown: cut, and of plain characters. */
static void show(const json_t *value, char *room, size_t bytes) {
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        size_t size = strlen(text);
        (void)kn_text_plain(text, size < VALUE_SHOWN ? size : VALUE_SHOWN, room, bytes);
    } else if (json_is_integer(value)) {
        (void)snprintf(room, bytes, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else {
        (void)snprintf(room, bytes, "%s", json_is_array(value) ? "[...]" : "{...}");
    }
}

static int refuse(const struct check *check, const json_t *value, const char *format, ...)
    KN_PRINTF(3, 4);
static int refuse(const struct check *check, const json_t *value, const char *format, ...) {
    char shown[VALUE_SHOWN * 2];
    show(value, shown, sizeof(shown));
    int used = snprintf(check->problem, SRV_SHAPE_PROBLEM_BYTES,
                        "1 validation error detected: Value '%s' at '%s' failed to satisfy "
                        "constraint: Member must ",
                        shown, check->path);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(check->problem + used, SRV_SHAPE_PROBLEM_BYTES - (size_t)used, format,
                    arguments); /* cut is fine, and what is before it always fits */
    va_end(arguments);
    return KN_E_LIMIT;
}

static int refuse_missing(const struct check *check) {
    (void)snprintf(check->problem, SRV_SHAPE_PROBLEM_BYTES,
                   "1 validation error detected: Value null at '%s' failed to satisfy constraint: "
                   "Member must not be null",
                   check->path);
    return KN_E_LIMIT;
}

static int refuse_words(const struct check *check, const json_t *value, const char *const *words) {
    char set[320] = "";
    for (; *words != NULL; words++) {
        size_t used = strlen(set);
        (void)snprintf(set + used, sizeof(set) - used, "%s%s", used > 0 ? ", " : "", *words);
    }
    return refuse(check, value, "satisfy enum value set: [%s]", set);
}

/* ---- values ---- */

static int check_bounds(struct check *check, const struct srv_shape *shape, const json_t *value,
                        int64_t number, const char *what) {
    if (number < shape->least) {
        return refuse(check, value, "have %s greater than or equal to %" PRIi64, what,
                      shape->least);
    }
    if (number > shape->most) {
        return refuse(check, value, "have %s less than or equal to %" PRIi64, what, shape->most);
    }
    return 0;
}

static int64_t characters(const char *text) {
    int64_t count = 0;
    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return count;
}

static bool is_among(const char *text, const char *const *words) {
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

static int check_text(struct check *check, const struct srv_shape *shape, const json_t *value) {
    if (!json_is_string(value)) {
        return refuse_type(check, "a string");
    }
    const char *text = json_string_value(value);
    if (shape->words != NULL) {
        return is_among(text, shape->words) ? 0 : refuse_words(check, value, shape->words);
    }
    int rc = check_bounds(check, shape, value, characters(text), "length");
    if (rc == 0 && shape->pattern != NULL && !shape->pattern->fits(text)) {
        return refuse(check, value, "satisfy regular expression pattern: %s", shape->pattern->text);
    }
    return rc;
}

// NOLINTNEXTLINE(misc-no-recursion): shapes are five deep
static int check_list(struct check *check, const struct srv_shape *shape, const json_t *value) {
    if (!json_is_array(value)) {
        return refuse_type(check, "a list");
    }
    int rc = check_bounds(check, shape, value, (int64_t)json_array_size(value), "length");
    for (size_t i = 0; rc == 0 && i < json_array_size(value); i++) {
        size_t was = enter(check, ".%zu.member", i + 1);
        rc = check_value(check, shape->of, json_array_get(value, i));
        leave(check, was);
    }
    return rc;
}

/* jansson's iteration takes what is not const, and changes nothing. */
static json_t *iterable(const json_t *object) {
    return (json_t *)(uintptr_t)object;
}

// NOLINTNEXTLINE(misc-no-recursion): shapes are five deep
static int check_key(struct check *check, const struct srv_shape *shape, const char *key) {
    json_t *text = json_string_nocheck(key);
    if (text == NULL) {
        return -ENOMEM;
    }
    size_t was = enter(check, ".key");
    int rc = check_value(check, shape, text);
    leave(check, was);
    json_decref(text);
    return rc;
}

// NOLINTNEXTLINE(misc-no-recursion): shapes are five deep
static int check_map(struct check *check, const struct srv_shape *shape, const json_t *value) {
    const char *key;
    json_t *item;
    if (!json_is_object(value)) {
        return refuse_type(check, "a map");
    }
    int rc = check_bounds(check, shape, value, (int64_t)json_object_size(value), "length");
    if (rc < 0) {
        return rc;
    }
    json_object_foreach(iterable(value), key, item) {
        rc = check_key(check, shape->key, key);
        if (rc == 0) {
            size_t was = enter(check, ".value");
            rc = check_value(check, shape->of, item);
            leave(check, was);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

// NOLINTNEXTLINE(misc-no-recursion): shapes are five deep
static int check_members(struct check *check, const struct srv_member *members,
                         const json_t *object) {
    for (; members->name != NULL; members++) {
        const json_t *value = json_object_get(object, members->name);
        bool absent = value == NULL || json_is_null(value);
        if (absent && !members->required) {
            continue;
        }
        size_t was = enter_member(check, members->name);
        int rc = absent ? refuse_missing(check) : check_value(check, members->shape, value);
        leave(check, was);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* As deep as the shapes are, which have no circles. */
// NOLINTNEXTLINE(misc-no-recursion): shapes are five deep
static int check_value(struct check *check, const struct srv_shape *shape, const json_t *value) {
    if (json_is_null(value)) {
        return refuse_missing(check); /* within a list or a map */
    }
    switch (shape->kind) {
    case SRV_SHAPE_TEXT:
        return check_text(check, shape, value);
    case SRV_SHAPE_WHOLE:
        return json_is_integer(value)
                   ? check_bounds(check, shape, value, json_integer_value(value), "value")
                   : refuse_type(check, "an integer");
    case SRV_SHAPE_BOOL:
        return json_is_boolean(value) ? 0 : refuse_type(check, "true or false");
    case SRV_SHAPE_TIME:
        return json_is_number(value) ? 0 : refuse_type(check, "a number of seconds since 1970");
    case SRV_SHAPE_LIST:
        return check_list(check, shape, value);
    case SRV_SHAPE_MAP:
        return check_map(check, shape, value);
    case SRV_SHAPE_RECORD:
        break;
    }
    return json_is_object(value) ? check_members(check, shape->members, value)
                                 : refuse_type(check, "a structure");
}

int srv_shape_check(const char *operation, const json_t *body,
                    char problem[static SRV_SHAPE_PROBLEM_BYTES]) {
    const struct srv_operation *found = srv_operation_find(operation);
    struct check check = {.path = "", .problem = problem};
    return found == NULL ? -ENOENT : check_members(&check, found->members, body);
}

const struct srv_operation *srv_operation_find(const char *name) {
    const struct srv_operation *operation = NULL;
    for (size_t i = 0; (operation = srv_operation_at(i)) != NULL; i++) {
        if (strcmp(operation->name, name) == 0) {
            return operation;
        }
    }
    return NULL;
}
