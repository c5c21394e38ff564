#include "server/auth/principals.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/auth/principals_inner.h"

/* Owned by its references; but for them immutable once it is in a table. */
struct entry {
    struct srv_principal face;
    atomic_size_t refs;
    uint16_t slot; /* the number in its key in the journal */
};

/* What one proves who one is with: an access key, a name, a token's hash. */
struct credential {
    enum srv_principal_kind kind;
    const void *data;
    size_t size;
};

struct srv_principals {
    struct frag_store *store;
    bool has_keyfile;
    struct srv_keyfile keyfile;
    pthread_mutex_t change; /* over a whole change with its waiting for the disk; taken first */
    pthread_mutex_t lock;   /* of what follows; never while something blocks */
    struct entry *entries[SRV_PRINCIPALS_MAX]; /* by kind, then credential */
    size_t count;
    /* For any thread to read without the lock. Told when a change is done: a replacement must never
     * look as if there were nobody. */
    atomic_size_t told;
};

/* Plain mutexes, never held twice: these cannot fail. */
static void lock(pthread_mutex_t *mutex) {
    (void)pthread_mutex_lock(mutex);
}

static void unlock(pthread_mutex_t *mutex) {
    (void)pthread_mutex_unlock(mutex);
}

/* ---- one principal ---- */

const struct srv_principal *srv_principal_ref(const struct srv_principal *principal) {
    struct entry *entry = (struct entry *)principal; /* its first member */
    (void)atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    return principal;
}

void srv_principal_unref(const struct srv_principal *principal) {
    struct entry *entry = (struct entry *)principal;
    if (entry != NULL && atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) == 1) {
        srv_wipe(entry, sizeof(*entry));
        free(entry);
    }
}

static int entry_create(const struct srv_principal *principal, struct entry **ret_entry) {
    struct entry *entry = malloc(sizeof(*entry));
    if (entry == NULL) {
        return -ENOMEM;
    }
    entry->face = *principal;
    entry->slot = 0;
    atomic_init(&entry->refs, 1);
    *ret_entry = entry;
    return 0;
}

int srv_principal_create(const struct srv_principal *principal,
                         const struct srv_principal **ret_principal) {
    struct entry *entry = NULL;
    int rc = entry_create(principal, &entry);
    if (rc == 0) {
        *ret_principal = &entry->face;
    }
    return rc;
}

static struct credential credential_of(const struct srv_principal *principal) {
    switch (principal->kind) {
    case SRV_PRINCIPAL_KEY:
        return (struct credential){principal->kind, principal->access_key,
                                   strlen(principal->access_key)};
    case SRV_PRINCIPAL_USER:
        return (struct credential){principal->kind, principal->name, strlen(principal->name)};
    case SRV_PRINCIPAL_TOKEN:
        break;
    }
    return (struct credential){principal->kind, principal->token_sha256, SRV_SHA256_BYTES};
}

static int compare(struct credential a, struct credential b) {
    if (a.kind != b.kind) {
        return a.kind < b.kind ? -1 : 1;
    }
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* ---- the table, under its lock ---- */

/* Where it is, or belongs. */
static size_t place_of(const struct srv_principals *principals, struct credential credential,
                       bool *ret_there) {
    size_t low = 0;
    size_t high = principals->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(credential_of(&principals->entries[middle]->face), credential);
        if (order == 0) {
            *ret_there = true;
            return middle;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    *ret_there = false;
    return low;
}

static struct entry *named(const struct srv_principals *principals, enum srv_principal_kind kind,
                           const char *name) {
    for (size_t i = 0; i < principals->count; i++) {
        struct entry *entry = principals->entries[i];
        if (entry->face.kind == kind && strcmp(entry->face.name, name) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* Takes the reference. There is room, and no other of that credential. */
static void insert(struct srv_principals *principals, struct entry *entry) {
    bool there = false;
    size_t at = place_of(principals, credential_of(&entry->face), &there);
    KN_ASSERT(!there && principals->count < SRV_PRINCIPALS_MAX);
    memmove(&principals->entries[at + 1], &principals->entries[at],
            (principals->count - at) * sizeof(principals->entries[0]));
    principals->entries[at] = entry;
    principals->count++;
}

/* Gives the reference back to the caller. */
static void take_out(struct srv_principals *principals, const struct entry *entry) {
    bool there = false;
    size_t at = place_of(principals, credential_of(&entry->face), &there);
    KN_ASSERT(there && principals->entries[at] == entry);
    principals->count--;
    memmove(&principals->entries[at], &principals->entries[at + 1],
            (principals->count - at) * sizeof(principals->entries[0]));
}

static void tell_count(struct srv_principals *principals) {
    atomic_store(&principals->told, principals->count);
}

static uint16_t free_slot(const struct srv_principals *principals) {
    bool used[SRV_PRINCIPALS_MAX] = {false};
    uint16_t slot = 0;
    for (size_t i = 0; i < principals->count; i++) {
        used[principals->entries[i]->slot] = true;
    }
    while (used[slot]) { /* there are fewer entries than slots */
        slot++;
    }
    return slot;
}

/* ---- opening and closing ---- */

/* -EEXIST would be a journal that somebody edited. */
static int take_loaded(struct srv_principals *principals, const struct srv_principal *principal,
                       uint16_t slot) {
    struct entry *entry = NULL;
    bool there = false;
    (void)place_of(principals, credential_of(principal), &there);
    if (there || named(principals, principal->kind, principal->name) != NULL) {
        return KN_E_MALFORMED;
    }
    int rc = entry_create(principal, &entry);
    if (rc == 0) {
        entry->slot = slot;
        insert(principals, entry);
        tell_count(principals);
    }
    return rc;
}

static int load_slot(struct srv_principals *principals, uint16_t slot) {
    struct srv_principal principal;
    const struct srv_keyfile *keyfile = principals->has_keyfile ? &principals->keyfile : NULL;
    int rc = srv_principal_load(principals->store, keyfile, slot, &principal);
    if (rc < 0) {
        return rc == -ENOENT ? 0 : rc;
    }
    rc = take_loaded(principals, &principal, slot);
    srv_wipe(&principal, sizeof(principal));
    return rc;
}

int srv_principals_open(struct frag_store *store, const struct srv_keyfile *keyfile,
                        struct srv_principals **ret_principals) {
    struct srv_principals *principals = calloc(1, sizeof(*principals));
    if (principals == NULL) {
        return -ENOMEM;
    }
    principals->store = store;
    principals->has_keyfile = keyfile != NULL;
    if (keyfile != NULL) {
        principals->keyfile = *keyfile;
    }
    KN_ASSERT(pthread_mutex_init(&principals->change, NULL) == 0); /* plain: glibc's cannot fail */
    KN_ASSERT(pthread_mutex_init(&principals->lock, NULL) == 0);
    int rc = 0;
    for (size_t slot = 0; slot < SRV_PRINCIPALS_MAX && rc == 0; slot++) {
        rc = load_slot(principals, (uint16_t)slot);
    }
    if (rc < 0) {
        srv_principals_close(principals);
        return rc;
    }
    *ret_principals = principals;
    return 0;
}

/* 1: the store has a sealed secret. */
static int has_secrets(struct frag_store *store) {
    struct srv_principals *principals = NULL;
    int rc = srv_principals_open(store, NULL, &principals);
    for (size_t i = 0; rc == 0 && i < principals->count; i++) {
        rc = principals->entries[i]->face.kind == SRV_PRINCIPAL_KEY ? 1 : 0;
    }
    srv_principals_close(principals);
    return rc;
}

int srv_principals_keyfile(struct frag_store *store, const char *path,
                           struct srv_keyfile *ret_keyfile) {
    int rc = srv_keyfile_open(path, ret_keyfile);
    if (rc != -ENOENT) {
        return rc;
    }
    /* A new one would stand where the old one has to come back. */
    rc = has_secrets(store);
    if (rc != 0) {
        return rc > 0 ? -ENOKEY : rc;
    }
    rc = srv_keyfile_create(path);
    return rc == 0 || rc == -EEXIST ? srv_keyfile_open(path, ret_keyfile) : rc;
}

void srv_principals_close(struct srv_principals *principals) {
    if (principals == NULL) {
        return;
    }
    for (size_t i = 0; i < principals->count; i++) {
        srv_principal_unref(&principals->entries[i]->face);
    }
    srv_keyfile_wipe(&principals->keyfile);
    (void)pthread_mutex_destroy(&principals->lock); /* nobody holds them */
    (void)pthread_mutex_destroy(&principals->change);
    free(principals);
}

/* ---- changes: only under `change`, so that what was looked up stays so while it is stored ---- */

static int add_entry(struct srv_principals *principals, struct entry *entry) {
    bool there = false;
    (void)place_of(principals, credential_of(&entry->face), &there);
    if (there || named(principals, entry->face.kind, entry->face.name) != NULL) {
        return -EEXIST;
    }
    if (principals->count == SRV_PRINCIPALS_MAX) {
        return KN_E_LIMIT;
    }
    entry->slot = free_slot(principals);
    int rc =
        srv_principal_store(principals->store, &principals->keyfile, entry->slot, &entry->face);
    if (rc == 0) {
        lock(&principals->lock);
        insert(principals, entry);
        tell_count(principals);
        unlock(&principals->lock);
    }
    return rc;
}

static int replace_entry(struct srv_principals *principals, struct entry *entry) {
    struct entry *old = named(principals, entry->face.kind, entry->face.name);
    bool there = false;
    if (old == NULL) {
        return -ENOENT;
    }
    size_t at = place_of(principals, credential_of(&entry->face), &there);
    if (there && principals->entries[at] != old) {
        return -EEXIST;
    }
    entry->slot = old->slot;
    int rc =
        srv_principal_store(principals->store, &principals->keyfile, entry->slot, &entry->face);
    if (rc == 0) {
        lock(&principals->lock);
        take_out(principals, old);
        insert(principals, entry);
        unlock(&principals->lock);
        srv_principal_unref(&old->face);
    }
    return rc;
}

static int change(struct srv_principals *principals, const struct srv_principal *principal,
                  int (*with)(struct srv_principals *principals, struct entry *entry)) {
    struct entry *entry = NULL;
    if (!principals->has_keyfile) {
        return -ENOKEY;
    }
    if (!srv_principal_valid(principal)) {
        return -EINVAL;
    }
    int rc = entry_create(principal, &entry);
    if (rc < 0) {
        return rc;
    }
    lock(&principals->change);
    rc = with(principals, entry);
    unlock(&principals->change);
    if (rc < 0) {
        srv_principal_unref(&entry->face);
    }
    return rc;
}

int srv_principals_add(struct srv_principals *principals, const struct srv_principal *principal) {
    return change(principals, principal, add_entry);
}

int srv_principals_replace(struct srv_principals *principals,
                           const struct srv_principal *principal) {
    return change(principals, principal, replace_entry);
}

int srv_principals_remove(struct srv_principals *principals, enum srv_principal_kind kind,
                          const char *name) {
    int rc = -ENOENT;
    lock(&principals->change);
    struct entry *old = named(principals, kind, name);
    if (old != NULL) {
        rc = srv_principal_forget(principals->store, old->slot);
    }
    if (rc == 0) {
        lock(&principals->lock);
        take_out(principals, old);
        tell_count(principals);
        unlock(&principals->lock);
        srv_principal_unref(&old->face);
    }
    unlock(&principals->change);
    return rc;
}

/* ---- finding ---- */

static const struct srv_principal *find(struct srv_principals *principals,
                                        struct credential credential) {
    bool there = false;
    const struct srv_principal *found = NULL;
    lock(&principals->lock);
    size_t at = place_of(principals, credential, &there);
    if (there) {
        found = srv_principal_ref(&principals->entries[at]->face);
    }
    unlock(&principals->lock);
    return found;
}

static int give_unless_expired(const struct srv_principal *found, struct kn_wall now,
                               const struct srv_principal **ret_principal) {
    if (found == NULL) {
        return -ENOENT;
    }
    if (found->expires.ns <= now.ns) {
        srv_principal_unref(found);
        return -EKEYEXPIRED;
    }
    *ret_principal = found;
    return 0;
}

int srv_principals_find_key(struct srv_principals *principals, const char *access_key,
                            struct kn_wall now, const struct srv_principal **ret_principal) {
    const struct credential credential = {SRV_PRINCIPAL_KEY, access_key, strlen(access_key)};
    if (!principals->has_keyfile) {
        return -ENOENT; /* what has no secret, anybody could sign with */
    }
    return give_unless_expired(find(principals, credential), now, ret_principal);
}

int srv_principals_find_token(struct srv_principals *principals, const char *token,
                              struct kn_wall now, const struct srv_principal **ret_principal) {
    uint8_t hash[SRV_SHA256_BYTES];
    if (!srv_token_valid(token)) {
        return -ENOENT;
    }
    int rc = srv_sha256(token, strlen(token), hash);
    const struct credential credential = {SRV_PRINCIPAL_TOKEN, hash, sizeof(hash)};
    return rc < 0 ? rc : give_unless_expired(find(principals, credential), now, ret_principal);
}

int srv_principals_find_user(struct srv_principals *principals, const char *name,
                             struct kn_wall now, const struct srv_principal **ret_principal) {
    const struct credential credential = {SRV_PRINCIPAL_USER, name, strlen(name)};
    return give_unless_expired(find(principals, credential), now, ret_principal);
}

int srv_principals_find(struct srv_principals *principals, enum srv_principal_kind kind,
                        const char *name, const struct srv_principal **ret_principal) {
    lock(&principals->lock);
    struct entry *entry = named(principals, kind, name);
    if (entry != NULL) {
        *ret_principal = srv_principal_ref(&entry->face);
    }
    unlock(&principals->lock);
    return entry == NULL ? -ENOENT : 0;
}

int srv_principals_check_password(struct srv_principals *principals, const char *name,
                                  const char *password, struct kn_wall now,
                                  const struct srv_principal **ret_principal) {
    const struct credential credential = {SRV_PRINCIPAL_USER, name, strlen(name)};
    if (strnlen(password, SRV_PASSWORD_MAX + 1) > SRV_PASSWORD_MAX) {
        return -EACCES; /* whoever it is */
    }
    const struct srv_principal *found = find(principals, credential);
    if (found == NULL) {
        /* As long as for somebody. */
        struct srv_principal nobody;
        int rc = srv_principal_set_password(&nobody, "nobody's password");
        return rc < 0 ? rc : -EACCES;
    }
    int rc = srv_password_check(&found->password, password);
    if (rc < 0) {
        srv_principal_unref(found);
        return rc;
    }
    return give_unless_expired(found, now, ret_principal);
}

size_t srv_principals_count(struct srv_principals *principals) {
    return atomic_load(&principals->told);
}

static bool is_behind(const struct srv_principal *principal, enum srv_principal_kind kind,
                      const char *name) {
    return principal->kind > kind || (principal->kind == kind && strcmp(principal->name, name) > 0);
}

int srv_principals_next(struct srv_principals *principals, enum srv_principal_kind kind,
                        const char *name, const struct srv_principal **ret_principal) {
    const struct srv_principal *next = NULL;
    lock(&principals->lock);
    for (size_t i = 0; i < principals->count; i++) {
        const struct srv_principal *one = &principals->entries[i]->face;
        if (is_behind(one, kind, name) && (next == NULL || is_behind(next, one->kind, one->name))) {
            next = one;
        }
    }
    if (next != NULL) {
        *ret_principal = srv_principal_ref(next);
    }
    unlock(&principals->lock);
    return next == NULL ? -ENOENT : 0;
}

void srv_principal_signing_key(const struct srv_principal *principal,
                               struct srv_sigv4_key *ret_key) {
    memcpy(ret_key->secret, principal->secret, sizeof(ret_key->secret));
    ret_key->secret_bytes = principal->secret_bytes;
    ret_key->has_session = principal->has_session;
    memcpy(ret_key->session_sha256, principal->session_sha256, sizeof(ret_key->session_sha256));
    ret_key->expires = principal->expires;
}

int srv_principals_lookup(const char *access_key, struct srv_sigv4_key *ret_key, void *principals) {
    const struct credential credential = {SRV_PRINCIPAL_KEY, access_key, strlen(access_key)};
    const struct srv_principal *found =
        ((struct srv_principals *)principals)->has_keyfile ? find(principals, credential) : NULL;
    if (found == NULL) {
        return -ENOENT;
    }
    srv_principal_signing_key(found, ret_key);
    srv_principal_unref(found);
    return 0;
}
