#include "server/live.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define ENTRIES_DEFAULT 8192u
#define TICKS 10u /* a rate is over so many seconds */

/* Entries are in two lists each: of all, and of those whose stream falls into one bucket, so that
 * asking for one stream does not walk over all of them. Both in order of ids. */
enum which { ALL, BUCKET };
#define BUCKETS 1024u

struct list {
    struct srv_live_entry *first, *last;
};

/* In the lists from srv_live_add to srv_live_remove. */
struct srv_live_entry {
    struct srv_live *live;
    struct srv_live_info about; /* never changes but for the counts, which it does not have */
    atomic_uint_least64_t bytes, fragments;
    /* Under the lock: bytes at the last ticks, the newest at `tick`; and how many there are. */
    uint64_t at_tick[TICKS + 1];
    int64_t at_ns[TICKS + 1];
    size_t tick, ticks;
    struct {
        struct srv_live_entry *next, *prev;
    } links[2];
};

struct srv_live {
    size_t max_entries;
    const struct kn_clock *clock;
    pthread_mutex_t lock; /* a leaf */
    struct list all;
    struct list buckets[BUCKETS];
    size_t count;
    uint64_t last_id;
};

int srv_live_create(const struct srv_live_config *config, struct srv_live **ret_live) {
    struct srv_live *live = calloc(1, sizeof(*live));
    if (live == NULL) {
        return -ENOMEM;
    }
    live->max_entries = config->max_entries > 0 ? config->max_entries : ENTRIES_DEFAULT;
    live->clock = config->clock != NULL ? config->clock : kn_clock_system();
    (void)pthread_mutex_init(&live->lock, NULL);
    *ret_live = live;
    return 0;
}

void srv_live_destroy(struct srv_live *live) {
    if (live == NULL) {
        return;
    }
    for (struct srv_live_entry *entry = live->all.first; entry != NULL;) {
        struct srv_live_entry *next = entry->links[ALL].next;
        free(entry);
        entry = next;
    }
    (void)pthread_mutex_destroy(&live->lock);
    free(live);
}

/* ---- entries ---- */

static void copy_text(const char *text, char *room, size_t room_bytes) {
    (void)kn_text_plain(text != NULL ? text : "", text != NULL ? strlen(text) : 0, room,
                        room_bytes);
}

/* FNV-1a. */
static struct list *bucket_of(struct srv_live *live, const char *stream) {
    uint32_t hash = 2166136261u;
    for (; *stream != '\0'; stream++) {
        hash = (hash ^ (uint8_t)*stream) * 16777619u;
    }
    return &live->buckets[hash % BUCKETS];
}

static void append(struct list *list, struct srv_live_entry *entry, enum which which) {
    entry->links[which].prev = list->last;
    if (list->last != NULL) {
        list->last->links[which].next = entry;
    } else {
        list->first = entry;
    }
    list->last = entry;
}

static void take_out(struct list *list, struct srv_live_entry *entry, enum which which) {
    struct srv_live_entry *next = entry->links[which].next;
    struct srv_live_entry *prev = entry->links[which].prev;
    if (prev != NULL) {
        prev->links[which].next = next;
    } else {
        list->first = next;
    }
    if (next != NULL) {
        next->links[which].prev = prev;
    } else {
        list->last = prev;
    }
}

static bool enter(struct srv_live *live, struct srv_live_entry *entry) {
    (void)pthread_mutex_lock(&live->lock);
    bool room = live->count < live->max_entries;
    if (room) {
        live->count++;
        entry->about.id = ++live->last_id;
        append(&live->all, entry, ALL);
        append(bucket_of(live, entry->about.stream), entry, BUCKET);
    }
    (void)pthread_mutex_unlock(&live->lock);
    return room;
}

struct srv_live_entry *srv_live_add(struct srv_live *live, const struct srv_live_about *about) {
    struct srv_live_entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return NULL;
    }
    entry->live = live;
    entry->about.side = about->side;
    entry->about.since = live->clock->wall(live->clock);
    copy_text(about->protocol, entry->about.protocol, sizeof(entry->about.protocol));
    copy_text(about->stream, entry->about.stream, sizeof(entry->about.stream));
    copy_text(about->peer, entry->about.peer, sizeof(entry->about.peer));
    copy_text(about->principal, entry->about.principal, sizeof(entry->about.principal));
    entry->at_ns[0] = live->clock->mono(live->clock).ns;
    if (!enter(live, entry)) {
        free(entry);
        return NULL;
    }
    return entry;
}

void srv_live_remove(struct srv_live_entry *entry) {
    if (entry == NULL) {
        return;
    }
    struct srv_live *live = entry->live;
    (void)pthread_mutex_lock(&live->lock);
    take_out(&live->all, entry, ALL);
    take_out(bucket_of(live, entry->about.stream), entry, BUCKET);
    live->count--;
    (void)pthread_mutex_unlock(&live->lock);
    free(entry);
}

void srv_live_count(struct srv_live_entry *entry, uint64_t bytes, uint64_t fragments) {
    if (entry != NULL) {
        (void)atomic_fetch_add_explicit(&entry->bytes, bytes, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&entry->fragments, fragments, memory_order_relaxed);
    }
}

void srv_live_set(struct srv_live_entry *entry, uint64_t bytes, uint64_t fragments) {
    if (entry != NULL) {
        atomic_store_explicit(&entry->bytes, bytes, memory_order_relaxed);
        atomic_store_explicit(&entry->fragments, fragments, memory_order_relaxed);
    }
}

/* ---- rates ---- */

void srv_live_tick(struct srv_live *live) {
    int64_t now_ns = live->clock->mono(live->clock).ns;
    (void)pthread_mutex_lock(&live->lock);
    for (struct srv_live_entry *entry = live->all.first; entry != NULL;
         entry = entry->links[ALL].next) {
        entry->tick = (entry->tick + 1) % (TICKS + 1);
        entry->ticks += entry->ticks < TICKS ? 1 : 0;
        entry->at_tick[entry->tick] = atomic_load_explicit(&entry->bytes, memory_order_relaxed);
        entry->at_ns[entry->tick] = now_ns;
    }
    (void)pthread_mutex_unlock(&live->lock);
}

/* Over the time that really went by: who ticks may be late. */
static uint64_t rate_of(const struct srv_live_entry *entry) {
    size_t oldest = (entry->tick + TICKS + 1 - entry->ticks) % (TICKS + 1);
    int64_t ns = entry->at_ns[entry->tick] - entry->at_ns[oldest];
    uint64_t from = entry->at_tick[oldest];
    uint64_t to = entry->at_tick[entry->tick];
    if (ns <= 0 || to <= from) { /* counts that somebody sets may begin again */
        return 0;
    }
    return (uint64_t)((double)(to - from) * 1e9 / (double)ns);
}

/* ---- reading ---- */

static struct srv_live_info info_of(struct srv_live_entry *entry) {
    struct srv_live_info info = entry->about;
    info.bytes = atomic_load_explicit(&entry->bytes, memory_order_relaxed);
    info.fragments = atomic_load_explicit(&entry->fragments, memory_order_relaxed);
    info.bytes_per_s = rate_of(entry);
    return info;
}

static bool is_wanted(const struct srv_live_entry *entry, const char *stream) {
    return stream == NULL || strcmp(entry->about.stream, stream) == 0;
}

/* Copies under the lock, so that `each` may do what it likes. *ret_list NULL: none. */
static int copy_list(struct srv_live *live, const char *stream, struct srv_live_info **ret_list,
                     size_t *ret_count) {
    enum which which = stream == NULL ? ALL : BUCKET;
    size_t count = 0, wanted = 0;
    (void)pthread_mutex_lock(&live->lock);
    struct srv_live_entry *first =
        stream == NULL ? live->all.first : bucket_of(live, stream)->first;
    for (struct srv_live_entry *at = first; at != NULL; at = at->links[which].next) {
        wanted += is_wanted(at, stream) ? 1 : 0;
    }
    struct srv_live_info *list = wanted > 0 ? malloc(wanted * sizeof(*list)) : NULL;
    for (struct srv_live_entry *at = list != NULL ? first : NULL; at != NULL;
         at = at->links[which].next) {
        if (is_wanted(at, stream)) {
            list[count++] = info_of(at);
        }
    }
    (void)pthread_mutex_unlock(&live->lock);
    *ret_list = list;
    *ret_count = count;
    return wanted > 0 && list == NULL ? -ENOMEM : 0;
}

int srv_live_each(struct srv_live *live, const char *stream,
                  int (*each)(const struct srv_live_info *info, void *user), void *user) {
    struct srv_live_info *list = NULL;
    size_t count = 0;
    int rc = copy_list(live, stream, &list, &count);
    for (size_t i = 0; i < count && rc >= 0; i++) {
        rc = each(&list[i], user);
    }
    free(list);
    return rc < 0 ? rc : 0;
}
