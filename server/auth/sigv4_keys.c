#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/auth/sigv4_inner.h"

struct entry {
    char access_key[SRV_ACCESS_KEY_BYTES];
    char date[SRV_SIGV4_DATE_CHARS + 1];
    char region[SRV_REGION_BYTES];
    /* A key given another secret must not go on with the old one. */
    uint8_t secret[SRV_SECRET_MAX];
    size_t secret_bytes;
    uint8_t key[SRV_SHA256_BYTES];
};

/* Few enough to look through all marks; they stand together for that. */
struct srv_sigv4_keys {
    size_t room, count;
    uint64_t clock;  /* +1 at each use */
    uint64_t *used;  /* by the clock */
    uint64_t *marks; /* of each entry's text */
    struct entry *entries;
};

int srv_sigv4_keys_create(size_t entries, struct srv_sigv4_keys **ret_keys) {
    struct srv_sigv4_keys *keys = calloc(1, sizeof(*keys));
    if (keys == NULL) {
        return -ENOMEM;
    }
    keys->room = entries;
    keys->used = calloc(entries + 1, sizeof(keys->used[0])); /* + 1: none is no failure */
    keys->marks = calloc(entries + 1, sizeof(keys->marks[0]));
    keys->entries = calloc(entries + 1, sizeof(keys->entries[0]));
    if (keys->used == NULL || keys->marks == NULL || keys->entries == NULL) {
        srv_sigv4_keys_destroy(keys);
        return -ENOMEM;
    }
    *ret_keys = keys;
    return 0;
}

void srv_sigv4_keys_destroy(struct srv_sigv4_keys *keys) {
    if (keys == NULL) {
        return;
    }
    if (keys->entries != NULL) {
        srv_wipe(keys->entries, keys->room * sizeof(keys->entries[0]));
    }
    free(keys->entries);
    free(keys->marks);
    free(keys->used);
    free(keys);
}

/* FNV-1a. Only a good signature brings an entry in, so nobody gains by collisions. */
static uint64_t mark_more(uint64_t mark, const char *text) {
    for (; *text != '\0'; text++) {
        mark = (mark ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    }
    return mark * UINT64_C(0x100000001b3); /* so that "a", "bc" is not "ab", "c" */
}

static uint64_t mark_of(const struct srv_sigv4_scope *scope) {
    uint64_t mark = mark_more(UINT64_C(0xcbf29ce484222325), scope->access_key);
    return mark_more(mark_more(mark, scope->date), scope->region);
}

static bool is_same(const struct entry *entry, const struct srv_sigv4_scope *scope) {
    return strcmp(entry->access_key, scope->access_key) == 0 &&
           strcmp(entry->date, scope->date) == 0 && strcmp(entry->region, scope->region) == 0 &&
           entry->secret_bytes == scope->secret_bytes &&
           srv_equal_secretly(entry->secret, scope->secret, scope->secret_bytes);
}

bool srv_sigv4_keys_find(struct srv_sigv4_keys *keys, const struct srv_sigv4_scope *scope,
                         uint8_t ret_key[SRV_SHA256_BYTES]) {
    uint64_t mark = mark_of(scope);
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->marks[i] == mark && is_same(&keys->entries[i], scope)) {
            keys->used[i] = ++keys->clock;
            memcpy(ret_key, keys->entries[i].key, SRV_SHA256_BYTES);
            return true;
        }
    }
    return false;
}

static size_t oldest(const struct srv_sigv4_keys *keys) {
    size_t found = 0;
    for (size_t i = 1; i < keys->count; i++) {
        found = keys->used[i] < keys->used[found] ? i : found;
    }
    return found;
}

void srv_sigv4_keys_add(struct srv_sigv4_keys *keys, const struct srv_sigv4_scope *scope,
                        const uint8_t key[static SRV_SHA256_BYTES]) {
    KN_ASSERT(scope->secret_bytes <= SRV_SECRET_MAX);
    KN_ASSERT(strlen(scope->access_key) < SRV_ACCESS_KEY_BYTES);
    KN_ASSERT(strlen(scope->date) == SRV_SIGV4_DATE_CHARS);
    KN_ASSERT(strlen(scope->region) < SRV_REGION_BYTES);
    if (keys->room == 0) {
        return;
    }
    size_t i = keys->count < keys->room ? keys->count++ : oldest(keys);
    struct entry *entry = &keys->entries[i];
    keys->used[i] = ++keys->clock;
    keys->marks[i] = mark_of(scope);
    memcpy(entry->access_key, scope->access_key, strlen(scope->access_key) + 1);
    memcpy(entry->date, scope->date, strlen(scope->date) + 1);
    memcpy(entry->region, scope->region, strlen(scope->region) + 1);
    memcpy(entry->secret, scope->secret, scope->secret_bytes);
    entry->secret_bytes = scope->secret_bytes;
    memcpy(entry->key, key, SRV_SHA256_BYTES);
}

size_t srv_sigv4_keys_count(const struct srv_sigv4_keys *keys) {
    return keys->count;
}
