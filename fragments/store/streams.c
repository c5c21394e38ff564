/* The streams of a store: found by name or id, described, created and changed. Changes are decided
 * by the clerk: journal first, then memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/ring.h"
#include "fragments/store/streams.h"

#define TAIL_FRAGMENTS 128
#define STREAM_MEMORY_SHARE 2 /* one stream may use this part of the store's memory */

/* ---- the lists ---- */

/* Where `name` stands or would stand; caller holds the lock. */
static size_t place_of(const struct frag_store *store, const char *name, bool *ret_found) {
    size_t low = 0;
    size_t high = store->stream_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(store->streams[middle]->name, name);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_found = false;
    return low;
}

static int make_room(struct frag_stream ***list, size_t count, size_t *room) {
    if (count < *room) {
        return 0;
    }
    size_t wanted = *room == 0 ? 16 : *room * 2;
    struct frag_stream **grown = realloc(*list, wanted * sizeof(struct frag_stream *));
    if (grown == NULL) {
        return -ENOMEM;
    }
    *list = grown;
    *room = wanted;
    return 0;
}

/* Caller holds the lock; there is room. */
static void insert(struct frag_store *store, struct frag_stream *stream) {
    bool found = false;
    size_t place = place_of(store, stream->name, &found);
    memmove(store->streams + place + 1, store->streams + place,
            (store->stream_count - place) * sizeof(struct frag_stream *));
    store->streams[place] = stream;
    store->stream_count++;
}

int frag_streams_add(struct frag_store *store, struct frag_stream *stream) {
    (void)pthread_mutex_lock(&store->streams_lock);
    bool found = false;
    int rc = 0;
    if (stream->deleting) {
        rc = make_room(&store->gone, store->gone_count, &store->gone_room);
        if (rc == 0) {
            store->gone[store->gone_count++] = stream;
        }
    } else {
        (void)place_of(store, stream->name, &found);
        rc = found ? -EEXIST : make_room(&store->streams, store->stream_count, &store->stream_room);
        if (rc == 0) {
            insert(store, stream);
        }
    }
    (void)pthread_mutex_unlock(&store->streams_lock);
    return rc;
}

/* There is room in `gone`. */
static void move_to_gone(struct frag_store *store, struct frag_stream *stream) {
    (void)pthread_mutex_lock(&store->streams_lock);
    bool found = false;
    size_t place = place_of(store, stream->name, &found);
    if (found && store->streams[place] == stream) {
        store->stream_count--;
        memmove(store->streams + place, store->streams + place + 1,
                (store->stream_count - place) * sizeof(struct frag_stream *));
        store->gone[store->gone_count++] = stream;
    }
    (void)pthread_mutex_unlock(&store->streams_lock);
}

struct frag_stream *frag_stream_find(struct frag_store *store, const char *name) {
    (void)pthread_mutex_lock(&store->streams_lock);
    bool found = false;
    size_t place = place_of(store, name, &found);
    struct frag_stream *stream = found ? store->streams[place] : NULL;
    (void)pthread_mutex_unlock(&store->streams_lock);
    return stream;
}

struct frag_stream *frag_stream_next(struct frag_store *store, const char *name) {
    (void)pthread_mutex_lock(&store->streams_lock);
    bool found = false;
    size_t place = name == NULL ? 0 : place_of(store, name, &found);
    place += found ? 1 : 0;
    struct frag_stream *stream = place < store->stream_count ? store->streams[place] : NULL;
    (void)pthread_mutex_unlock(&store->streams_lock);
    return stream;
}

static struct frag_stream *by_id(struct frag_stream **list, size_t count, const uint8_t *id) {
    for (size_t i = 0; i < count; i++) {
        if (memcmp(list[i]->id, id, FRAG_ID_BYTES) == 0) {
            return list[i];
        }
    }
    return NULL;
}

struct frag_stream *frag_stream_by_id(struct frag_store *store,
                                      const uint8_t id[static FRAG_ID_BYTES]) {
    (void)pthread_mutex_lock(&store->streams_lock);
    struct frag_stream *stream = by_id(store->streams, store->stream_count, id);
    if (stream == NULL) {
        stream = by_id(store->gone, store->gone_count, id);
    }
    (void)pthread_mutex_unlock(&store->streams_lock);
    return stream;
}

/* ---- one of them ---- */

int frag_stream_make(struct frag_store *store, const uint8_t id[static FRAG_ID_BYTES],
                     const struct frag_value_stream *value, struct frag_stream **ret_stream) {
    struct frag_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return -ENOMEM;
    }
    (void)pthread_mutex_init(&stream->lock, NULL);
    stream->store = store;
    memcpy(stream->id, id, FRAG_ID_BYTES);
    memcpy(stream->name, value->name, sizeof(stream->name));
    memcpy(stream->version, value->version, sizeof(stream->version));
    stream->created = value->created;
    stream->deleting = value->deleting;
    stream->settings = value->settings;
    int rc = 0;
    if (value->tag_count > 0) {
        stream->tags = malloc(value->tag_count * sizeof(value->tags[0]));
        rc = stream->tags == NULL ? -ENOMEM : 0;
    }
    if (rc == 0 && value->tag_count > 0) {
        memcpy(stream->tags, value->tags, value->tag_count * sizeof(value->tags[0]));
        stream->tag_count = value->tag_count;
    }
    if (rc == 0 && store->mode == FRAG_STORE_WRITE) {
        struct frag_tail_config config = frag_tail_config_defaults();
        config.max_fragments = TAIL_FRAGMENTS;
        rc = frag_tail_create(&config, &stream->tail);
        rc = rc < 0 ? rc
                    : kn_budget_create(kn_budget_max(store->budget) / STREAM_MEMORY_SHARE,
                                       store->budget, &stream->budget);
    }
    if (rc < 0) {
        frag_stream_destroy(stream);
        return rc;
    }
    *ret_stream = stream;
    return 0;
}

void frag_stream_destroy(struct frag_stream *stream) {
    if (stream == NULL) {
        return;
    }
    frag_tail_destroy(stream->tail);
    kn_budget_unref(stream->budget);
    free(stream->tags);
    (void)pthread_mutex_destroy(&stream->lock);
    free(stream);
}

const char *frag_stream_name(const struct frag_stream *stream) {
    return stream->name;
}

struct frag_store *frag_stream_store(const struct frag_stream *stream) {
    return stream->store;
}

struct frag_tail *frag_stream_tail(struct frag_stream *stream) {
    return stream->tail;
}

struct kn_budget *frag_stream_budget(struct frag_stream *stream) {
    return stream->budget;
}

bool frag_stream_is_settled(struct frag_stream *stream) {
    (void)pthread_mutex_lock(&stream->lock);
    bool settled = stream->unfinished == 0;
    (void)pthread_mutex_unlock(&stream->lock);
    return settled;
}

int frag_stream_describe(struct frag_stream *stream, struct frag_stream_info *ret_info) {
    (void)pthread_mutex_lock(&stream->lock);
    bool deleting = stream->deleting;
    if (!deleting) {
        memset(ret_info, 0, sizeof(*ret_info));
        memcpy(ret_info->id, stream->id, sizeof(ret_info->id));
        memcpy(ret_info->name, stream->name, sizeof(ret_info->name));
        memcpy(ret_info->version, stream->version, sizeof(ret_info->version));
        ret_info->created = stream->created;
        ret_info->settings = stream->settings;
        ret_info->tag_count = stream->tag_count;
        if (stream->tag_count > 0) {
            memcpy(ret_info->tags, stream->tags, stream->tag_count * sizeof(stream->tags[0]));
        }
        ret_info->counters = stream->counters;
    }
    (void)pthread_mutex_unlock(&stream->lock);
    return deleting ? -ENOENT : 0;
}

struct frag_stream_settings frag_stream_settings_defaults(void) {
    return (struct frag_stream_settings){.target_ns = 2 * KN_NS_PER_S, .folder = FRAG_FOLDER_ANY};
}

/* ---- totals: clerk ---- */

static void change(uint64_t *value, int sign, uint64_t by) {
    *value = sign > 0 ? *value + by : *value - (by < *value ? by : *value);
}

void frag_totals_reel(struct frag_stream *stream, int sign, uint64_t bytes, uint64_t fragments) {
    (void)pthread_mutex_lock(&stream->lock);
    change(&stream->counters.reels_on_disk, sign, 1);
    change(&stream->counters.bytes_on_disk, sign, bytes);
    change(&stream->counters.fragments_on_disk, sign, fragments);
    (void)pthread_mutex_unlock(&stream->lock);
}

void frag_totals_grow(struct frag_stream *stream, uint64_t bytes, uint64_t fragments) {
    (void)pthread_mutex_lock(&stream->lock);
    stream->counters.bytes_on_disk += bytes;
    stream->counters.fragments_on_disk += fragments;
    (void)pthread_mutex_unlock(&stream->lock);
}

/* ---- changes: clerk ---- */

/* A stream's values in the journal as they will be; borrows the stream's tags. */
static struct frag_value_stream value_of(struct frag_stream *stream) {
    struct frag_value_stream value = {0};
    (void)pthread_mutex_lock(&stream->lock);
    memcpy(value.name, stream->name, sizeof(value.name));
    memcpy(value.version, stream->version, sizeof(value.version));
    value.created = stream->created;
    value.deleting = stream->deleting;
    value.settings = stream->settings;
    value.tag_count = stream->tag_count;
    value.tags = stream->tags;
    (void)pthread_mutex_unlock(&stream->lock);
    return value;
}

static void make_version(struct frag_store *store, char version[static 21]) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < 20; i++) {
        version[i] = letters[frag_random_u64(&store->random) % (sizeof(letters) - 1)];
    }
    version[20] = '\0';
}

static int put(struct frag_store *store, const uint8_t *id, const struct frag_value_stream *value) {
    struct kn_writer writer;
    kn_writer_init_growing(&writer, FRAG_CATALOG_VALUE_MAX);
    frag_value_write_stream(&writer, value);
    int rc = kn_writer_status(&writer);
    rc = rc < 0 ? rc
                : frag_catalog_put(store->clerk.catalog, FRAG_CATALOG_STREAM, id, FRAG_ID_BYTES,
                                   writer.data, writer.size);
    kn_writer_finish(&writer);
    return rc;
}

static int compare_tags(const void *a, const void *b) {
    const struct frag_stream_tag *left = a;
    const struct frag_stream_tag *right = b;
    return strcmp(left->key, right->key);
}

/* Sorted copy of `tags` with `more` in it; the caller frees it. */
static int merge_tags(const struct frag_stream_tag *tags, size_t count,
                      const struct frag_stream_tag *more, size_t more_count,
                      struct frag_stream_tag **ret_tags, size_t *ret_count) {
    if (more_count > FRAG_STREAM_TAGS_MAX) {
        return KN_E_LIMIT;
    }
    struct frag_stream_tag *merged = calloc(count + more_count + 1, sizeof(*merged));
    if (merged == NULL) {
        return -ENOMEM;
    }
    if (count > 0) {
        memcpy(merged, tags, count * sizeof(*merged));
    }
    for (size_t i = 0; i < more_count; i++) {
        if (!frag_stream_tag_valid(&more[i])) {
            free(merged);
            return -EINVAL;
        }
        size_t at = 0;
        while (at < count && strcmp(merged[at].key, more[i].key) != 0) {
            at++;
        }
        count += at == count ? 1 : 0;
        merged[at] = more[i];
    }
    qsort(merged, count, sizeof(*merged), compare_tags);
    *ret_tags = merged;
    *ret_count = count;
    return 0;
}

struct creation {
    const char *name;
    const struct frag_stream_settings *settings;
    const struct frag_stream_tag *tags;
    size_t tag_count;
    struct frag_stream *stream;
};

/* Ordinals of a stream that keeps nothing follow the epochs: none is used twice, and nothing needs
 * to be written down. */
void frag_stream_lift_ordinals(struct frag_stream *stream) {
    uint64_t least = stream->store->epoch << 32;
    if (stream->settings.retention_ns == 0 && stream->next_ordinal < least) {
        stream->next_ordinal = least;
    }
}

static int create_on_clerk(struct frag_store *store, void *user) {
    struct creation *creation = user;
    if (frag_stream_find(store, creation->name) != NULL) {
        return -EEXIST;
    }
    if (store->stream_count >= FRAG_STREAMS_MAX) {
        return KN_E_LIMIT;
    }
    struct frag_value_stream value = {.settings = *creation->settings,
                                      .created = store->clock->wall(store->clock)};
    (void)strncpy(value.name, creation->name, sizeof(value.name) - 1);
    make_version(store, value.version);
    int rc =
        merge_tags(NULL, 0, creation->tags, creation->tag_count, &value.tags, &value.tag_count);
    if (rc == 0 && value.tag_count > FRAG_STREAM_TAGS_MAX) {
        rc = KN_E_LIMIT;
    }
    uint8_t id[FRAG_ID_BYTES];
    frag_random_bytes(&store->random, id, sizeof(id));
    struct frag_stream *stream = NULL;
    rc = rc < 0 ? rc : frag_stream_make(store, id, &value, &stream);
    rc = rc < 0 ? rc : put(store, id, &value);
    free(value.tags);
    if (rc == 0) {
        frag_stream_lift_ordinals(stream);
        rc = frag_streams_add(store, stream);
    }
    if (rc < 0) {
        frag_stream_destroy(stream);
        return rc;
    }
    creation->stream = stream;
    return 0;
}

int frag_stream_create(struct frag_store *store, const char *name,
                       const struct frag_stream_settings *settings,
                       const struct frag_stream_tag *tags, size_t tag_count,
                       struct frag_stream **ret_stream) {
    if (store->mode == FRAG_STORE_READ) {
        return -EROFS;
    }
    if (!frag_stream_name_valid(name) || !frag_stream_settings_valid(settings)) {
        return -EINVAL;
    }
    struct creation creation = {
        .name = name, .settings = settings, .tags = tags, .tag_count = tag_count};
    int rc = frag_clerk_call(store, create_on_clerk, &creation);
    if (rc == 0) {
        *ret_stream = creation.stream;
    }
    return rc;
}

struct alteration {
    struct frag_stream *stream;
    const char *version;
    const struct frag_stream_settings *settings; /* NULL: as they are */
    const struct frag_stream_tag *tags;
    size_t tag_count;
    const char *const *remove;
    size_t remove_count;
    bool delete;
};

static size_t remove_tags(struct frag_stream_tag *tags, size_t count, const char *const *remove,
                          size_t remove_count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool goes = false;
        for (size_t j = 0; j < remove_count; j++) {
            goes = goes || strcmp(tags[i].key, remove[j]) == 0;
        }
        if (!goes) {
            tags[kept++] = tags[i];
        }
    }
    return kept;
}

/* In memory what the journal has. Takes the tags over. */
static void take_over(struct frag_stream *stream, const struct frag_value_stream *value) {
    (void)pthread_mutex_lock(&stream->lock);
    struct frag_stream_tag *old = stream->tags;
    memcpy(stream->version, value->version, sizeof(stream->version));
    stream->settings = value->settings;
    stream->deleting = value->deleting;
    stream->tags = value->tags;
    stream->tag_count = value->tag_count;
    frag_stream_lift_ordinals(stream);
    (void)pthread_mutex_unlock(&stream->lock);
    free(old);
    if (value->deleting || value->settings.retention_ns != 0) {
        frag_ring_clear(stream);
    }
}

static int check_alteration(struct frag_store *store, const struct alteration *alteration,
                            const struct frag_value_stream *value) {
    if (value->deleting) {
        return -ENOENT;
    }
    if (alteration->version != NULL && strcmp(alteration->version, value->version) != 0) {
        return -ESTALE;
    }
    if (alteration->settings != NULL && alteration->settings->records != value->settings.records) {
        return -EINVAL;
    }
    if (alteration->delete &&frag_holds_any(store, alteration->stream->id)) {
        return -EPERM;
    }
    return 0;
}

static int alter_on_clerk(struct frag_store *store, void *user) {
    const struct alteration *alteration = user;
    struct frag_stream *stream = alteration->stream;
    struct frag_value_stream value = value_of(stream);
    int rc = check_alteration(store, alteration, &value);
    if (rc < 0) {
        return rc;
    }
    struct frag_stream_tag *tags = NULL;
    rc = merge_tags(value.tags, value.tag_count, alteration->tags, alteration->tag_count, &tags,
                    &value.tag_count);
    if (rc < 0) {
        return rc;
    }
    value.tags = tags;
    value.tag_count =
        remove_tags(tags, value.tag_count, alteration->remove, alteration->remove_count);
    if (value.tag_count > FRAG_STREAM_TAGS_MAX) {
        free(tags);
        return KN_E_LIMIT;
    }
    if (alteration->settings != NULL) {
        value.settings = *alteration->settings;
    }
    value.deleting = alteration->delete;
    make_version(store, value.version);
    if (alteration->delete) {
        (void)pthread_mutex_lock(&store->streams_lock);
        rc = make_room(&store->gone, store->gone_count, &store->gone_room);
        (void)pthread_mutex_unlock(&store->streams_lock);
    }
    rc = rc < 0 ? rc : put(store, stream->id, &value);
    if (rc < 0) {
        free(tags);
        return rc;
    }
    take_over(stream, &value);
    if (alteration->delete) {
        move_to_gone(store, stream);
    }
    return 0;
}

static int alter(const struct alteration *alteration) {
    struct frag_store *store = alteration->stream->store;
    return store->mode == FRAG_STORE_READ
               ? -EROFS
               : frag_clerk_call(store, alter_on_clerk, (void *)(uintptr_t)alteration);
}

int frag_stream_update(struct frag_stream *stream, const char *version,
                       const struct frag_stream_settings *settings) {
    if (!frag_stream_settings_valid(settings)) {
        return -EINVAL;
    }
    const struct alteration alteration = {
        .stream = stream, .version = version, .settings = settings};
    int rc = alter(&alteration);
    if (rc == 0) {
        frag_janitor_wake(stream->store); /* less retention takes effect at once */
    }
    return rc;
}

int frag_stream_tag(struct frag_stream *stream, const struct frag_stream_tag *tags,
                    size_t tag_count, const char *const *remove, size_t remove_count) {
    const struct alteration alteration = {.stream = stream,
                                          .tags = tags,
                                          .tag_count = tag_count,
                                          .remove = remove,
                                          .remove_count = remove_count};
    return alter(&alteration);
}

int frag_stream_delete(struct frag_stream *stream, const char *version) {
    const struct alteration alteration = {.stream = stream, .version = version, .delete = true};
    int rc = alter(&alteration);
    if (rc == 0) {
        kn_log_info("stream deleted", kn_str("stream", stream->name));
        (void)frag_tail_publish_end(stream->tail); /* subscribers hear that they missed something */
        frag_janitor_wake(stream->store);
    }
    return rc;
}

/* ---- what other folders keep ---- */

struct keeping {
    uint16_t kind;
    const void *key;
    size_t key_bytes;
    const void *value;
    size_t value_bytes;
    uint8_t *copy;
    size_t copy_bytes;
    int (*each)(const void *key, size_t key_bytes, const void *value, size_t value_bytes,
                void *user);
    void *user;
};

static int put_on_clerk(struct frag_store *store, void *user) {
    const struct keeping *keeping = user;
    return frag_catalog_put(store->clerk.catalog, keeping->kind, keeping->key, keeping->key_bytes,
                            keeping->value, keeping->value_bytes);
}

static int delete_on_clerk(struct frag_store *store, void *user) {
    const struct keeping *keeping = user;
    return frag_catalog_delete(store->clerk.catalog, keeping->kind, keeping->key,
                               keeping->key_bytes);
}

static int get_on_clerk(struct frag_store *store, void *user) {
    struct keeping *keeping = user;
    struct frag_catalog_value value;
    int rc = frag_catalog_get(store->clerk.catalog, keeping->kind, keeping->key, keeping->key_bytes,
                              &value);
    if (rc < 0) {
        return rc;
    }
    keeping->copy = malloc(value.size + 1);
    if (keeping->copy == NULL) {
        return -ENOMEM;
    }
    memcpy(keeping->copy, value.data, value.size);
    keeping->copy_bytes = value.size;
    return 0;
}

static int tell_one(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    const struct keeping *keeping = user;
    return keeping->each(key.data, key.size, value.data, value.size, keeping->user);
}

static int each_on_clerk(struct frag_store *store, void *user) {
    const struct keeping *keeping = user;
    return frag_catalog_each(store->clerk.catalog, keeping->kind, tell_one, user);
}

static int call_for(struct frag_store *store, struct keeping *keeping,
                    int (*work)(struct frag_store *store, void *user), bool change) {
    if (keeping->kind < FRAG_STORE_KIND_SERVER) {
        return -EINVAL;
    }
    return change && store->mode == FRAG_STORE_READ ? -EROFS
                                                    : frag_clerk_call(store, work, keeping);
}

int frag_store_put(struct frag_store *store, uint16_t kind, const void *key, size_t key_bytes,
                   const void *value, size_t value_bytes) {
    struct keeping keeping = {.kind = kind,
                              .key = key,
                              .key_bytes = key_bytes,
                              .value = value,
                              .value_bytes = value_bytes};
    return call_for(store, &keeping, put_on_clerk, true);
}

int frag_store_delete(struct frag_store *store, uint16_t kind, const void *key, size_t key_bytes) {
    struct keeping keeping = {.kind = kind, .key = key, .key_bytes = key_bytes};
    return call_for(store, &keeping, delete_on_clerk, true);
}

int frag_store_get(struct frag_store *store, uint16_t kind, const void *key, size_t key_bytes,
                   uint8_t **ret_value, size_t *ret_bytes) {
    struct keeping keeping = {.kind = kind, .key = key, .key_bytes = key_bytes};
    int rc = call_for(store, &keeping, get_on_clerk, false);
    if (rc == 0) {
        *ret_value = keeping.copy;
        *ret_bytes = keeping.copy_bytes;
    }
    return rc;
}

int frag_store_each(struct frag_store *store, uint16_t kind,
                    int (*each)(const void *key, size_t key_bytes, const void *value,
                                size_t value_bytes, void *user),
                    void *user) {
    struct keeping keeping = {.kind = kind, .each = each, .user = user};
    return call_for(store, &keeping, each_on_clerk, false);
}
