/* Values of rows from YAML and from single texts: variables put in, paths made whole. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "server/config/config_inner.h"

#define FILE_SCHEME "file:"
#define KEY_SHOWN_BYTES 72u
/* A value with all its variables: more than any row takes. */
#define VALUE_MAX 8192u

/* ---- names and places ---- */

size_t srv_making_enter(struct srv_making *making, const char *name) {
    size_t before = strlen(making->name);
    (void)snprintf(making->name + before, sizeof(making->name) - before, "%s%s",
                   before == 0 ? "" : ".", name);
    return before;
}

void srv_making_leave(struct srv_making *making, size_t before) {
    making->name[before] = '\0';
}

static void stand_at(struct srv_making *making, const struct srv_yaml *node) {
    making->place.line = node->line;
    making->place.column = node->column;
}

/* ---- variables in values ---- */

struct expansion {
    struct srv_making *making;
    char *text;
    size_t size;
    char problem[128]; /* "" while all is well */
};

static void fault(struct expansion *expansion, const char *before, const char *name, size_t size,
                  const char *after) {
    char shown[KEY_SHOWN_BYTES];
    (void)snprintf(expansion->problem, sizeof(expansion->problem), "%s%s%s", before,
                   kn_text_plain(name, size, shown, sizeof(shown)), after);
}

static void put(struct expansion *expansion, const char *text, size_t size) {
    if (size > VALUE_MAX - expansion->size) {
        fault(expansion, "the value is too long", "", 0, "");
        return;
    }
    memcpy(expansion->text + expansion->size, text, size);
    expansion->size += size;
}

static const char *variable(const struct srv_making *making, const char *name, size_t size) {
    for (char *const *at = making->environment; at != NULL && *at != NULL; at++) {
        if (strncmp(*at, name, size) == 0 && (*at)[size] == '=') {
            return *at + size + 1;
        }
    }
    return NULL;
}

static size_t name_size(const char *text) {
    size_t size = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    return text[0] >= '0' && text[0] <= '9' ? 0 : size;
}

/* Behind "${": how many bytes were used with the bracket that ends it. */
static size_t put_variable(struct expansion *expansion, const char *text) {
    size_t size = name_size(text);
    size_t end = strcspn(text, "}");
    /* Of one in another's default the first bracket would end both. */
    if (size == 0 || text[end] == '\0' || (text[size] != ':' && size != end) ||
        memmem(text, end, "${", 2) != NULL) {
        fault(expansion, "a variable is written ${NAME} or ${NAME:default}", "", 0, "");
        return 0;
    }
    const char *value = variable(expansion->making, text, size);
    if (value != NULL) {
        put(expansion, value, strlen(value));
    } else if (text[size] == ':') {
        put(expansion, text + size + 1, end - size - 1);
    } else {
        fault(expansion, "the variable ", text, size, " is not set");
    }
    return end + 1;
}

static void expand(struct expansion *expansion, const char *text) {
    while (*text != '\0' && expansion->problem[0] == '\0') {
        size_t plain = strcspn(text, "$");
        put(expansion, text, plain);
        text += plain;
        if (text[0] == '$' && text[1] == '{') {
            text += 2;
            text += put_variable(expansion, text);
        } else if (text[0] == '$' && text[1] == '$') {
            put(expansion, "$", 1);
            text += 2;
        } else if (text[0] == '$') {
            fault(expansion, "$ begins a variable, ${NAME}; a dollar sign is written $$", "", 0,
                  "");
        }
    }
}

static int expanded(struct srv_making *making, const char *text, char **ret_text) {
    struct expansion expansion = {.making = making, .text = malloc(VALUE_MAX + 1)};
    if (expansion.text == NULL) {
        return -ENOMEM;
    }
    expand(&expansion, text);
    expansion.text[expansion.size] = '\0';
    if (expansion.problem[0] != '\0') {
        free(expansion.text);
        *ret_text = NULL;
        return srv_making_tell(making, false, expansion.problem);
    }
    *ret_text = expansion.text;
    return 0;
}

/* ---- paths ---- */

/* "/a/" and "/a" are one directory. */
static void strip_slashes(char *path) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        path[--size] = '\0';
    }
}

static int located(const char *base, char **text) {
    bool is_source = strncmp(*text, FILE_SCHEME, strlen(FILE_SCHEME)) == 0;
    char *path = is_source ? *text + strlen(FILE_SCHEME) : *text;
    char *whole = NULL;
    strip_slashes(path);
    if (path[0] == '/' || path[0] == '\0' || base == NULL || base[0] == '\0') {
        return 0;
    }
    const char *between = base[strlen(base) - 1] == '/' ? "" : "/";
    if (asprintf(&whole, "%s%s%s%s", is_source ? FILE_SCHEME : "", base, between, path) < 0) {
        return -ENOMEM;
    }
    free(*text);
    *text = whole;
    return 0;
}

static bool has_path(const struct srv_schema *row, const char *text) {
    return row->path || (row == &srv_stream_schema[SRV_STREAM_SOURCE] &&
                         strncmp(text, FILE_SCHEME, strlen(FILE_SCHEME)) == 0);
}

/* A shell would have put something else there. */
static bool is_home(const char *text) {
    bool is_source = strncmp(text, FILE_SCHEME, strlen(FILE_SCHEME)) == 0;
    text += is_source ? strlen(FILE_SCHEME) : 0;
    return strcmp(text, "~") == 0 || strncmp(text, "~/", 2) == 0;
}

int srv_making_text(struct srv_making *making, const struct srv_schema *row, const char *text,
                    char **ret_text) {
    char *made = NULL;
    int rc = 0;
    if (making->expands) {
        rc = expanded(making, text, &made);
    } else {
        made = srv_text_copy(text);
        rc = made == NULL ? -ENOMEM : 0;
    }
    if (rc == 0 && made != NULL && has_path(row, made) && is_home(made)) {
        free(made);
        made = NULL;
        rc = srv_making_tell(making, false, "~ stands for no directory here: write the whole path");
    }
    if (rc == 0 && made != NULL && has_path(row, made)) {
        rc = located(making->base, &made);
    }
    if (rc < 0) {
        free(made);
        return rc;
    }
    *ret_text = made;
    return 0;
}

/* ---- what was taken, or not ---- */

static int told(struct srv_making *making, int rc, const char *problem) {
    return rc == KN_E_MALFORMED ? srv_making_tell(making, false, problem) : rc;
}

static int refuse(struct srv_making *making, const struct srv_schema *row) {
    char problem[SRV_SCHEMA_PROBLEM_BYTES];
    srv_schema_takes(row, problem);
    return srv_making_tell(making, false, problem);
}

static int take_one(struct srv_making *making, const struct srv_schema *table,
                    const struct srv_schema *row, const char *text, void *target) {
    char problem[SRV_SCHEMA_PROBLEM_BYTES];
    char *made;
    int rc = srv_making_text(making, row, text, &made);
    if (rc == 0 && made != NULL) {
        rc = told(making, srv_schema_take(table, row, made, target, problem), problem);
        free(made);
    }
    return rc;
}

/* ---- lists and maps, gathered first ---- */

struct texts {
    char **items; /* owned */
    size_t count, room;
    bool whole; /* none had a problem */
};

static void free_texts(struct texts *texts) {
    for (size_t i = 0; i < texts->count; i++) {
        free(texts->items[i]);
    }
    free((void *)texts->items);
}

static int make_texts(size_t room, struct texts *ret) {
    *ret = (struct texts){
        .items = (char **)calloc(room + 1, sizeof(char *)), .room = room, .whole = true};
    return ret->items == NULL ? -ENOMEM : 0;
}

static int add_text(struct srv_making *making, const struct srv_schema *row, const char *text,
                    struct texts *texts) {
    char *made;
    int rc = srv_making_text(making, row, text, &made);
    if (rc == 0 && made != NULL) {
        KN_ASSERT(texts->count < texts->room);
        texts->items[texts->count++] = made;
    } else {
        texts->whole = false;
    }
    return rc;
}

static int take_texts(struct srv_making *making, const struct srv_schema *table,
                      const struct srv_schema *row, const struct texts *texts, void *target) {
    char problem[SRV_SCHEMA_PROBLEM_BYTES];
    if (!texts->whole) {
        return 0; /* told already */
    }
    int rc = srv_schema_take_list(table, row, (const char *const *)texts->items, texts->count,
                                  target, problem);
    return told(making, rc, problem);
}

/* Name and value in turn. */
static int take_pairs(struct srv_making *making, const struct srv_schema *table,
                      const struct srv_schema *row, const struct texts *texts, void *target) {
    char problem[SRV_SCHEMA_PROBLEM_BYTES];
    size_t count = texts->count / 2;
    if (!texts->whole) {
        return 0; /* told already */
    }
    struct srv_pair_text *pairs = calloc(count + 1, sizeof(pairs[0]));
    if (pairs == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        pairs[i].name = texts->items[2 * i];
        pairs[i].value = texts->items[2 * i + 1];
    }
    int rc = srv_schema_take_pairs(table, row, pairs, count, target, problem);
    free(pairs);
    return told(making, rc, problem);
}

static int take_gathered(struct srv_making *making, const struct srv_schema *table,
                         const struct srv_schema *row, struct texts *texts, void *target) {
    int rc = row->kind == SRV_KIND_PAIRS ? take_pairs(making, table, row, texts, target)
                                         : take_texts(making, table, row, texts, target);
    free_texts(texts);
    return rc;
}

/* ---- from YAML ---- */

/* A list's items, or a map's names and values. */
static int read_items(struct srv_making *making, const struct srv_schema *table,
                      const struct srv_schema *row, const struct srv_yaml *node, void *target) {
    struct texts texts;
    size_t each = node->kind == SRV_YAML_MAP ? 2 : 1;
    if (row->most > 0 && node->count / each > row->most) {
        return refuse(making, row);
    }
    int rc = make_texts(node->count, &texts);
    for (size_t i = 0; i < node->count && rc == 0; i++) {
        const struct srv_yaml *item = node->items[i];
        stand_at(making, item);
        if (item->kind != SRV_YAML_TEXT) {
            texts.whole = false;
            rc = refuse(making, row);
        } else {
            /* In a list nothing is no text: "- " was forgotten. A tag may be empty. */
            rc = add_text(making, row, item->text, &texts);
        }
    }
    stand_at(making, node);
    if (rc < 0) {
        free_texts(&texts);
        return rc;
    }
    return take_gathered(making, table, row, &texts, target);
}

static int read_nothing(struct srv_making *making, const struct srv_schema *table,
                        const struct srv_schema *row, void *target) {
    struct texts none;
    int rc;
    switch (row->kind) {
    case SRV_KIND_TABLE: /* all its keys are comments */
        srv_schema_name(table, row, target);
        return 0;
    case SRV_KIND_TEXTS:
    case SRV_KIND_PAIRS:
        rc = make_texts(0, &none);
        return rc < 0 ? rc : take_gathered(making, table, row, &none, target);
    default:
        return refuse(making, row);
    }
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
int srv_making_row(struct srv_making *making, const struct srv_schema *table,
                   const struct srv_schema *row, const struct srv_yaml *node, void *target) {
    enum srv_yaml_kind wants = row->kind == SRV_KIND_TEXTS ? SRV_YAML_LIST : SRV_YAML_MAP;
    stand_at(making, node);
    if (srv_yaml_is_nothing(node)) {
        return read_nothing(making, table, row, target);
    }
    switch (row->kind) {
    case SRV_KIND_TEXTS:
        if (node->kind == SRV_YAML_TEXT) {
            return take_one(making, table, row, node->text, target);
        }
        return node->kind == wants ? read_items(making, table, row, node, target)
                                   : refuse(making, row);
    case SRV_KIND_PAIRS:
        return node->kind == wants ? read_items(making, table, row, node, target)
                                   : refuse(making, row);
    case SRV_KIND_TABLE:
        if (node->kind != wants) {
            return refuse(making, row);
        }
        srv_schema_name(table, row, target);
        return srv_making_map(making, row->table, node, NULL, srv_schema_at(row, target));
    default:
        return node->kind == SRV_YAML_TEXT ? take_one(making, table, row, node->text, target)
                                           : refuse(making, row);
    }
}

/* "no such key; retention?", at the key. */
static int tell_unknown(struct srv_making *making, const struct srv_schema *table,
                        const struct srv_yaml *key, const char *skip) {
    const struct srv_schema other[] = {{.name = skip}, {.name = NULL}};
    char problem[SRV_SCHEMA_PROBLEM_BYTES], shown[KEY_SHOWN_BYTES];
    size_t size = strlen(key->text);
    bool is_other = skip != NULL && srv_schema_near(table, key->text, size) == NULL &&
                    srv_schema_near(other, key->text, size) != NULL;
    srv_schema_unknown(is_other ? other : table, key->text, size, "key", problem);
    size_t before = srv_making_enter(making, kn_text_plain(key->text, size, shown, sizeof(shown)));
    stand_at(making, key);
    int rc = srv_making_tell(making, false, problem);
    srv_making_leave(making, before);
    return rc;
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
static int read_member(struct srv_making *making, const struct srv_schema *table,
                       const struct srv_schema *row, const struct srv_yaml *map, size_t at,
                       void *target) {
    size_t before = srv_making_enter(making, row->name);
    int rc = 0;
    bool twice = false;
    for (size_t i = 0; i < at && !twice; i += 2) {
        twice = strcmp(map->items[i]->text, row->name) == 0;
    }
    if (twice) {
        stand_at(making, map->items[at]);
        rc = srv_making_tell(making, false, "the key is there twice");
    } else {
        rc = srv_making_row(making, table, row, map->items[at + 1], target);
    }
    srv_making_leave(making, before);
    return rc;
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
int srv_making_map(struct srv_making *making, const struct srv_schema *table,
                   const struct srv_yaml *map, const char *skip, void *target) {
    int rc = 0;
    for (size_t i = 0; i < map->count && rc == 0 && !srv_making_is_full(making); i += 2) {
        const struct srv_yaml *key = map->items[i];
        const struct srv_schema *row = srv_schema_find(table, key->text, strlen(key->text));
        if (row != NULL) {
            rc = read_member(making, table, row, map, i, target);
        } else if (skip == NULL || strcmp(key->text, skip) != 0) {
            rc = tell_unknown(making, table, key, skip);
        }
    }
    return rc;
}

/* ---- from one text ---- */

/* "a,b" and "name=value,name=value". */
static int split(struct srv_making *making, const struct srv_schema *row, char *text,
                 struct texts *texts) {
    int rc = 0;
    char *rest = text[0] == '\0' ? NULL : text;
    while (rest != NULL && rc == 0) {
        char *item = strsep(&rest, ",");
        char *value = row->kind == SRV_KIND_PAIRS ? strchr(item, '=') : NULL;
        if (row->kind == SRV_KIND_PAIRS && value == NULL) {
            texts->whole = false;
            return srv_making_tell(making, false, "name=value, several with commas");
        }
        if (value != NULL) {
            *value++ = '\0';
        }
        rc = add_text(making, row, item, texts);
        rc = rc < 0 || value == NULL ? rc : add_text(making, row, value, texts);
    }
    return rc;
}

int srv_making_variable(struct srv_making *making, const struct srv_schema *table,
                        const struct srv_schema *row, const char *text, void *target) {
    if (row->kind != SRV_KIND_TEXTS && row->kind != SRV_KIND_PAIRS) {
        return take_one(making, table, row, text, target);
    }
    struct texts texts;
    size_t room = 2;
    for (const char *at = text; *at != '\0'; at++) {
        room += *at == ',' ? 2 : 0;
    }
    char *copy = srv_text_copy(text);
    if (copy == NULL || make_texts(room, &texts) < 0) {
        free(copy);
        return -ENOMEM;
    }
    int rc = split(making, row, copy, &texts);
    free(copy);
    if (rc < 0) {
        free_texts(&texts);
        return rc;
    }
    return take_gathered(making, table, row, &texts, target);
}

/* ---- defaults ---- */

static int read_default(struct srv_making *making, const struct srv_schema *table,
                        const struct srv_schema *row, void *target) {
    struct srv_yaml *node = NULL;
    struct srv_yaml_fault unused;
    int rc = srv_yaml_parse(row->fallback, strlen(row->fallback), &node, &unused);
    KN_ASSERT(rc == 0 || rc == -ENOMEM);
    rc = rc < 0 ? rc : srv_making_row(making, table, row, node, target);
    srv_yaml_free(node);
    return rc;
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
int srv_making_defaults(struct srv_making *making, const struct srv_schema *table, void *target) {
    int rc = 0;
    for (const struct srv_schema *row = table; row->name != NULL && rc == 0; row++) {
        if (row->kind == SRV_KIND_TABLE) {
            rc = srv_making_defaults(making, row->table, srv_schema_at(row, target));
        } else if (row->fallback != NULL) {
            rc = read_default(making, table, row, target);
        }
    }
    KN_ASSERT(rc < 0 || !making->failed); /* all of them are what their rows take */
    ((struct srv_named *)target)->rows = 0;
    return rc;
}
