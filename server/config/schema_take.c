/* Values from texts. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/quantity.h"
#include "base/text.h"
#include "server/config/schema_inner.h"

/* ---- words ---- */

const char *srv_size_text(uint64_t bytes, char text[static SRV_SIZE_TEXT_BYTES]) {
    static const char units[] = "TGMK";
    for (size_t i = 0; i < sizeof(units) - 1 && bytes > 0; i++) {
        unsigned shift = 40 - 10 * (unsigned)i;
        if (bytes % (UINT64_C(1) << shift) == 0) {
            (void)snprintf(text, SRV_SIZE_TEXT_BYTES, "%" PRIu64 "%c", bytes >> shift, units[i]);
            return text;
        }
    }
    (void)snprintf(text, SRV_SIZE_TEXT_BYTES, "%" PRIu64, bytes);
    return text;
}

struct words {
    char *at;
    size_t left;
};

KN_PRINTF(2, 3) static void say(struct words *words, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(words->at, words->left, format, arguments);
    va_end(arguments);
    size_t said = size < 0 ? 0 : (size_t)size;
    said = said < words->left ? said : words->left - 1;
    words->at += said;
    words->left -= said;
}

static uint64_t most_of(const struct srv_schema *row) {
    switch (row->kind) {
    case SRV_KIND_TEXT:
        return row->most > 0 ? row->most : SRV_SCHEMA_TEXT_MAX;
    case SRV_KIND_DURATION:
        return row->most > 0 ? row->most : INT64_MAX;
    default:
        return row->most > 0 ? row->most : UINT64_MAX;
    }
}

/* ", from 1s to 20s", with what is bounded. */
static void say_bounds(struct words *words, const struct srv_schema *row) {
    char least[SRV_SIZE_TEXT_BYTES + KN_DURATION_TEXT_BYTES];
    char most[SRV_SIZE_TEXT_BYTES + KN_DURATION_TEXT_BYTES];
    if (row->kind == SRV_KIND_DURATION) {
        (void)kn_duration_format((int64_t)row->least, least);
        (void)kn_duration_format((int64_t)row->most, most);
    } else if (row->kind == SRV_KIND_SIZE) {
        (void)srv_size_text(row->least, least);
        (void)srv_size_text(row->most, most);
    } else {
        (void)snprintf(least, sizeof(least), "%" PRIu64, row->least);
        (void)snprintf(most, sizeof(most), "%" PRIu64, row->most);
    }
    if (row->least > 0) {
        say(words, row->most > 0 ? ", from %s" : ", at least %s", least);
    }
    if (row->most > 0) {
        say(words, row->least > 0 ? " to %s" : ", at most %s", most);
    }
}

static void say_choices(struct words *words, const struct srv_schema *row) {
    for (size_t i = 0; row->choices[i] != NULL; i++) {
        const char *before = i == 0 ? "one of " : row->choices[i + 1] == NULL ? " or " : ", ";
        say(words, "%s%s", before, row->choices[i]);
    }
}

void srv_schema_takes(const struct srv_schema *row, char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    struct words words = {.at = problem, .left = SRV_SCHEMA_PROBLEM_BYTES};
    switch (row->kind) {
    case SRV_KIND_TEXT:
        say(&words, "a text of %" PRIu64 " to %" PRIu64 " bytes without control characters",
            row->least, most_of(row));
        return;
    case SRV_KIND_BOOL:
        say(&words, "true or false");
        return;
    case SRV_KIND_COUNT:
        say(&words, "a whole number");
        break;
    case SRV_KIND_SIZE:
        say(&words, "a size in bytes, or such as 500M or 5G");
        break;
    case SRV_KIND_DURATION:
        say(&words, "a duration such as 500ms, 10s or 7d");
        break;
    case SRV_KIND_CHOICE:
        say_choices(&words, row);
        return;
    case SRV_KIND_TEXTS:
        say(&words, "a list of texts");
        break;
    case SRV_KIND_PAIRS:
        say(&words, "a map of texts, names of at most %u bytes to values of at most %u",
            SRV_PAIR_NAME_MAX, SRV_PAIR_VALUE_MAX);
        break;
    case SRV_KIND_TABLE:
        say(&words, "a map of keys");
        return;
    }
    say_bounds(&words, row);
    if (row->forever || row->word != NULL) {
        say(&words, ", or %s", row->forever ? "forever" : row->word);
    }
}

/* ---- single values ---- */

static bool is_plain(const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        size_t length = kn_text_character(text + at, size - at);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}

/* Decimal, as nothing else would be read: 010 is 8 to some. */
static bool parse_count(const char *text, uint64_t *ret) {
    uint64_t value = 0;
    if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0')) {
        return false;
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || value > (UINT64_MAX - 9) / 10) {
            return false;
        }
        value = value * 10 + (uint64_t)(*at - '0');
    }
    *ret = value;
    return true;
}

static bool parse_duration(const struct srv_schema *row, const char *text, int64_t *ret_ns) {
    int64_t ns;
    if (row->forever && strcmp(text, "forever") == 0) {
        *ret_ns = INT64_MAX;
        return true;
    }
    if (kn_duration_parse(text, &ns) < 0 || (uint64_t)ns < row->least ||
        (uint64_t)ns > most_of(row)) {
        return false;
    }
    *ret_ns = ns;
    return true;
}

static bool parse_number(const struct srv_schema *row, const char *text, uint64_t *ret) {
    uint64_t value;
    if (row->word != NULL && strcmp(text, row->word) == 0) {
        *ret = UINT64_MAX;
        return true;
    }
    bool read =
        row->kind == SRV_KIND_SIZE ? kn_size_parse(text, &value) == 0 : parse_count(text, &value);
    if (!read || value < row->least || value > most_of(row)) {
        return false;
    }
    *ret = value;
    return true;
}

static bool parse_bool(const char *text, bool *ret) {
    bool on = strcmp(text, "true") == 0;
    if (!on && strcmp(text, "false") != 0) {
        return false;
    }
    *ret = on;
    return true;
}

static bool parse_choice(const struct srv_schema *row, const char *text, int *ret) {
    for (int i = 0; row->choices[i] != NULL; i++) {
        if (strcmp(row->choices[i], text) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static int refuse(const struct srv_schema *row, char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    srv_schema_takes(row, problem);
    return KN_E_MALFORMED;
}

static int check_text(const struct srv_schema *row, const char *text,
                      char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    size_t size = strlen(text);
    size_t most = row->kind == SRV_KIND_TEXT ? (size_t)most_of(row) : SRV_SCHEMA_TEXT_MAX;
    size_t least = row->kind == SRV_KIND_TEXT ? (size_t)row->least : 1;
    if (size < least || size > most || !is_plain(text, size)) {
        if (row->kind == SRV_KIND_TEXTS) {
            (void)snprintf(problem, SRV_SCHEMA_PROBLEM_BYTES,
                           "a text of 1 to %u bytes without control characters",
                           SRV_SCHEMA_TEXT_MAX);
        } else {
            srv_schema_takes(row, problem);
        }
        return KN_E_MALFORMED;
    }
    const char *fault = row->fault == NULL || size == 0 ? NULL : row->fault(text);
    if (fault != NULL) {
        (void)snprintf(problem, SRV_SCHEMA_PROBLEM_BYTES, "%s", fault);
        return KN_E_MALFORMED;
    }
    return 0;
}

static int take_text(const struct srv_schema *row, const char *text, void *target,
                     char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    int rc = check_text(row, text, problem);
    if (rc < 0) {
        return rc;
    }
    char *copy = text[0] == '\0' ? NULL : srv_text_copy(text);
    if (copy == NULL && text[0] != '\0') {
        return -ENOMEM;
    }
    char **at = srv_schema_at(row, target);
    free(*at);
    *at = copy;
    return 0;
}

int srv_schema_take(const struct srv_schema *table, const struct srv_schema *row, const char *text,
                    void *target, char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    void *at = srv_schema_at(row, target);
    int rc = 0;
    bool good = true;
    switch (row->kind) {
    case SRV_KIND_TEXT:
        rc = take_text(row, text, target, problem);
        break;
    case SRV_KIND_TEXTS:
        return srv_schema_take_list(table, row, &text, 1, target, problem);
    case SRV_KIND_BOOL:
        good = parse_bool(text, at);
        break;
    case SRV_KIND_COUNT:
    case SRV_KIND_SIZE:
        good = parse_number(row, text, at);
        break;
    case SRV_KIND_DURATION:
        good = parse_duration(row, text, at);
        break;
    case SRV_KIND_CHOICE:
        good = parse_choice(row, text, at);
        break;
    case SRV_KIND_PAIRS:
    case SRV_KIND_TABLE:
        good = false;
        break;
    }
    rc = good ? rc : refuse(row, problem);
    if (rc == 0) {
        srv_schema_name(table, row, target);
    }
    return rc;
}

/* ---- lists and maps ---- */

int srv_schema_take_list(const struct srv_schema *table, const struct srv_schema *row,
                         const char *const *texts, size_t count, void *target,
                         char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    struct srv_texts list = {0};
    if (count < row->least || count > most_of(row)) {
        return refuse(row, problem);
    }
    for (size_t i = 0; i < count; i++) {
        int rc = check_text(row, texts[i], problem);
        if (rc < 0) {
            return rc;
        }
    }
    struct srv_schema alone = *row;
    alone.at = 0;
    const struct srv_texts borrowed = {.items = (char **)texts, .count = count};
    int rc = srv_schema_copy_row(&alone, &borrowed, &list);
    if (rc < 0) {
        return rc;
    }
    srv_schema_clear(row, target);
    *(struct srv_texts *)srv_schema_at(row, target) = list;
    srv_schema_name(table, row, target);
    return 0;
}

static bool pair_valid(const struct srv_pair_text *pairs, size_t at) {
    size_t name = strlen(pairs[at].name), value = strlen(pairs[at].value);
    for (size_t i = 0; i < at; i++) {
        if (strcmp(pairs[i].name, pairs[at].name) == 0) {
            return false;
        }
    }
    return name >= 1 && name <= SRV_PAIR_NAME_MAX && value <= SRV_PAIR_VALUE_MAX &&
           is_plain(pairs[at].name, name) && is_plain(pairs[at].value, value);
}

int srv_schema_take_pairs(const struct srv_schema *table, const struct srv_schema *row,
                          const struct srv_pair_text *pairs, size_t count, void *target,
                          char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    if (count < row->least || count > most_of(row)) {
        return refuse(row, problem);
    }
    for (size_t i = 0; i < count; i++) {
        if (!pair_valid(pairs, i)) {
            return refuse(row, problem);
        }
    }
    struct srv_pairs map = {0};
    struct srv_schema alone = *row;
    alone.at = 0;
    const struct srv_pairs borrowed = {.items = (struct srv_pair_text *)pairs, .count = count};
    int rc = srv_schema_copy_row(&alone, &borrowed, &map);
    if (rc < 0) {
        return rc;
    }
    srv_schema_clear(row, target);
    *(struct srv_pairs *)srv_schema_at(row, target) = map;
    srv_schema_name(table, row, target);
    return 0;
}
