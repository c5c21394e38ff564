#include "server/config/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/config/schema_inner.h"

/* Names are short; longer ones resemble none. */
#define NEAR_MAX 32u

/* ---- rows ---- */

void srv_schema_name(const struct srv_schema *table, const struct srv_schema *row, void *target) {
    struct srv_named *named = target;
    named->rows |= UINT64_C(1) << (row - table);
}

bool srv_schema_named(const struct srv_schema *table, const struct srv_schema *row,
                      const void *target) {
    const struct srv_named *named = target;
    return (named->rows >> (row - table) & 1) != 0;
}

const struct srv_schema *srv_schema_find(const struct srv_schema *table, const char *name,
                                         size_t size) {
    for (const struct srv_schema *row = table; row->name != NULL; row++) {
        if (strlen(row->name) == size && memcmp(row->name, name, size) == 0) {
            return row;
        }
    }
    return NULL;
}

/* ---- what was probably meant ---- */

static size_t least_of(size_t a, size_t b) {
    return a < b ? a : b;
}

/* How many letters to change, leave out, put in or swap with the next one. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size) {
    size_t rows[3][NEAR_MAX + 1]; /* of the line before the last one, the last, this one */
    for (size_t j = 0; j <= b_size; j++) {
        rows[0][j] = rows[1][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        rows[2][0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t other = a[i - 1] == b[j - 1] ? 0 : 1;
            size_t best = least_of(rows[1][j] + 1, rows[2][j - 1] + 1);
            best = least_of(best, rows[1][j - 1] + other);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = least_of(best, rows[0][j - 2] + 1);
            }
            rows[2][j] = best;
        }
        memcpy(rows[0], rows[1], sizeof(rows[0]));
        memcpy(rows[1], rows[2], sizeof(rows[1]));
    }
    return rows[1][b_size];
}

const char *srv_schema_near(const struct srv_schema *table, const char *name, size_t size) {
    const char *near = NULL;
    size_t best = SIZE_MAX;
    if (size > NEAR_MAX) {
        return NULL;
    }
    for (const struct srv_schema *row = table; row->name != NULL; row++) {
        size_t length = strlen(row->name);
        size_t far = length > NEAR_MAX ? SIZE_MAX : distance(name, size, row->name, length);
        /* A third of it may be wrong: more is another word. */
        if (far <= (length + 2) / 3 && far < length && far < best) {
            best = far;
            near = row->name;
        }
    }
    return near;
}

void srv_schema_unknown(const struct srv_schema *table, const char *name, size_t size,
                        const char *what, char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    const char *near = srv_schema_near(table, name, size);
    (void)snprintf(problem, SRV_SCHEMA_PROBLEM_BYTES, "no such %s%s%s%s", what,
                   near == NULL ? "" : "; ", near == NULL ? "" : near, near == NULL ? "" : "?");
}

/* ---- freeing, copying, comparing ---- */

static void free_texts(struct srv_texts *texts) {
    for (size_t i = 0; i < texts->count; i++) {
        free(texts->items[i]);
    }
    free((void *)texts->items);
    *texts = (struct srv_texts){0};
}

static void free_pairs(struct srv_pairs *pairs) {
    for (size_t i = 0; i < pairs->count; i++) {
        free(pairs->items[i].name);
        free(pairs->items[i].value);
    }
    free(pairs->items);
    *pairs = (struct srv_pairs){0};
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
void srv_schema_clear(const struct srv_schema *row, void *target) {
    void *at = srv_schema_at(row, target);
    switch (row->kind) {
    case SRV_KIND_TEXT:
        free(*(char **)at);
        *(char **)at = NULL;
        break;
    case SRV_KIND_TEXTS:
        free_texts(at);
        break;
    case SRV_KIND_PAIRS:
        free_pairs(at);
        break;
    case SRV_KIND_TABLE:
        srv_schema_finish(row->table, at);
        break;
    case SRV_KIND_BOOL:
    case SRV_KIND_COUNT:
    case SRV_KIND_SIZE:
    case SRV_KIND_DURATION:
    case SRV_KIND_CHOICE:
        break;
    }
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
void srv_schema_finish(const struct srv_schema *table, void *target) {
    for (const struct srv_schema *row = table; row->name != NULL; row++) {
        srv_schema_clear(row, target);
    }
}

char *srv_text_copy(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}

static int copy_text(char *const *from, char **to) {
    char *copy = *from == NULL ? NULL : srv_text_copy(*from);
    if (*from != NULL && copy == NULL) {
        return -ENOMEM;
    }
    free(*to);
    *to = copy;
    return 0;
}

static int copy_texts(const struct srv_texts *from, struct srv_texts *to) {
    struct srv_texts copy = {.items = (char **)calloc(from->count + 1, sizeof(char *))};
    if (copy.items == NULL) {
        return -ENOMEM;
    }
    for (; copy.count < from->count; copy.count++) {
        copy.items[copy.count] = srv_text_copy(from->items[copy.count]);
        if (copy.items[copy.count] == NULL) {
            free_texts(&copy);
            return -ENOMEM;
        }
    }
    free_texts(to);
    *to = copy;
    return 0;
}

static int copy_pairs(const struct srv_pairs *from, struct srv_pairs *to) {
    struct srv_pairs copy = {.items = calloc(from->count + 1, sizeof(copy.items[0]))};
    if (copy.items == NULL) {
        return -ENOMEM;
    }
    while (copy.count < from->count) {
        struct srv_pair_text *pair = &copy.items[copy.count];
        pair->name = srv_text_copy(from->items[copy.count].name);
        pair->value = srv_text_copy(from->items[copy.count].value);
        copy.count++;
        if (pair->name == NULL || pair->value == NULL) {
            free_pairs(&copy);
            return -ENOMEM;
        }
    }
    free_pairs(to);
    *to = copy;
    return 0;
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
int srv_schema_copy_row(const struct srv_schema *row, const void *from, void *to) {
    const void *source = srv_schema_at_const(row, from);
    void *at = srv_schema_at(row, to);
    switch (row->kind) {
    case SRV_KIND_TEXT:
        return copy_text(source, at);
    case SRV_KIND_TEXTS:
        return copy_texts(source, at);
    case SRV_KIND_PAIRS:
        return copy_pairs(source, at);
    case SRV_KIND_TABLE:
        return srv_schema_copy(row->table, source, at);
    case SRV_KIND_BOOL:
        memcpy(at, source, sizeof(bool));
        return 0;
    case SRV_KIND_CHOICE:
        memcpy(at, source, sizeof(int));
        return 0;
    case SRV_KIND_COUNT:
    case SRV_KIND_SIZE:
    case SRV_KIND_DURATION:
        memcpy(at, source, sizeof(uint64_t));
        return 0;
    }
    return 0;
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
int srv_schema_copy(const struct srv_schema *table, const void *from, void *to) {
    for (const struct srv_schema *row = table; row->name != NULL; row++) {
        int rc = srv_schema_copy_row(row, from, to);
        if (rc < 0) {
            srv_schema_finish(table, to);
            return rc;
        }
    }
    ((struct srv_named *)to)->rows = ((const struct srv_named *)from)->rows;
    return 0;
}

static bool same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_texts(const struct srv_texts *a, const struct srv_texts *b) {
    bool same = a->count == b->count;
    for (size_t i = 0; i < a->count && same; i++) {
        same = strcmp(a->items[i], b->items[i]) == 0;
    }
    return same;
}

static bool same_pairs(const struct srv_pairs *a, const struct srv_pairs *b) {
    bool same = a->count == b->count;
    for (size_t i = 0; i < a->count && same; i++) {
        same = strcmp(a->items[i].name, b->items[i].name) == 0 &&
               strcmp(a->items[i].value, b->items[i].value) == 0;
    }
    return same;
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
bool srv_schema_same(const struct srv_schema *row, const void *a, const void *b) {
    const void *one = srv_schema_at_const(row, a);
    const void *other = srv_schema_at_const(row, b);
    switch (row->kind) {
    case SRV_KIND_TEXT:
        return same_text(*(char *const *)one, *(char *const *)other);
    case SRV_KIND_TEXTS:
        return same_texts(one, other);
    case SRV_KIND_PAIRS:
        return same_pairs(one, other);
    case SRV_KIND_TABLE:
        for (const struct srv_schema *inner = row->table; inner->name != NULL; inner++) {
            if (!srv_schema_same(inner, one, other)) {
                return false;
            }
        }
        return true;
    case SRV_KIND_BOOL:
        return memcmp(one, other, sizeof(bool)) == 0;
    case SRV_KIND_CHOICE:
        return memcmp(one, other, sizeof(int)) == 0;
    case SRV_KIND_COUNT:
    case SRV_KIND_SIZE:
    case SRV_KIND_DURATION:
        return memcmp(one, other, sizeof(uint64_t)) == 0;
    }
    return false;
}
