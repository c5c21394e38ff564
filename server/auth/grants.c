#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "server/auth/principals_inner.h"

/* Sets before actions, larger ones first: in this order text is made. */
static const struct {
    const char *name;
    uint32_t actions;
} words[] = {
    {"admin", SRV_GRANT_ADMIN},    {"operator", SRV_GRANT_OPERATOR},
    {"viewer", SRV_GRANT_VIEWER},  {"list", SRV_ACTION_LIST},
    {"watch", SRV_ACTION_WATCH},   {"read", SRV_ACTION_READ},
    {"record", SRV_ACTION_RECORD}, {"manage", SRV_ACTION_MANAGE},
    {"hold", SRV_ACTION_HOLD},     {"administer", SRV_ACTION_ADMIN},
};

static uint32_t actions_of(const char *word, size_t size) {
    for (size_t i = 0; i < KN_COUNT(words); i++) {
        if (strlen(words[i].name) == size && memcmp(words[i].name, word, size) == 0) {
            return words[i].actions;
        }
    }
    return 0;
}

/* As names of streams are, and one '*' at the end. */
static bool pattern_valid(const char *pattern) {
    size_t size = strnlen(pattern, SRV_PATTERN_BYTES);
    if (size == 0 || size == SRV_PATTERN_BYTES) {
        return false;
    }
    size_t letters = strspn(pattern, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789._-");
    bool star = pattern[letters] == '*';
    return letters + (star ? 1 : 0) == size && letters < SRV_PATTERN_BYTES - 1;
}

bool srv_grant_valid(const struct srv_grant *grant) {
    return grant->actions != 0 && (grant->actions & ~(uint32_t)SRV_ACTIONS_ALL) == 0 &&
           pattern_valid(grant->pattern);
}

int srv_grant_parse(const char *text, struct srv_grant *ret_grant) {
    struct srv_grant grant = {.pattern = "*"};
    const char *colon = strchr(text, ':');
    const char *end = colon == NULL ? text + strlen(text) : colon;
    for (;;) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        size_t size = (size_t)((comma == NULL ? end : comma) - text);
        uint32_t actions = actions_of(text, size);
        if (actions == 0) {
            return KN_E_MALFORMED;
        }
        grant.actions |= actions;
        if (comma == NULL) {
            break;
        }
        text = comma + 1;
    }
    if (colon != NULL) {
        size_t size = strnlen(colon + 1, SRV_PATTERN_BYTES);
        if (size == SRV_PATTERN_BYTES) {
            return KN_E_MALFORMED;
        }
        memcpy(grant.pattern, colon + 1, size + 1);
    }
    if (!pattern_valid(grant.pattern)) {
        return KN_E_MALFORMED;
    }
    *ret_grant = grant;
    return 0;
}

const char *srv_grant_text(const struct srv_grant *grant, char text[static SRV_GRANT_TEXT_BYTES]) {
    uint32_t left = grant->actions & SRV_ACTIONS_ALL;
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < KN_COUNT(words); i++) {
        if ((left & words[i].actions) != words[i].actions) {
            continue;
        }
        left &= ~words[i].actions;
        /* All names together are shorter than what the pattern leaves. */
        at += (size_t)snprintf(text + at, SRV_GRANT_TEXT_BYTES - at, "%s%s", at > 0 ? "," : "",
                               words[i].name);
    }
    (void)snprintf(text + at, SRV_GRANT_TEXT_BYTES - at, ":%s", grant->pattern);
    return text;
}

static bool matches(const char *pattern, const char *stream) {
    size_t size = strlen(pattern);
    if (stream == NULL) {
        return strcmp(pattern, "*") == 0;
    }
    return size > 0 && pattern[size - 1] == '*' ? strncmp(pattern, stream, size - 1) == 0
                                                : strcmp(pattern, stream) == 0;
}

bool srv_principal_may(const struct srv_principal *principal, enum srv_action action,
                       const char *stream) {
    for (size_t i = 0; i < principal->grant_count; i++) {
        const struct srv_grant *grant = &principal->grants[i];
        if ((grant->actions & (uint32_t)action) == (uint32_t)action &&
            matches(grant->pattern, stream)) {
            return true;
        }
    }
    return false;
}
