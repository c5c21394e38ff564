/* An archive's range as a source of fragments. */
#include <errno.h>

#include "base/error.h"
#include "playback/export_inner.h"

#define PAGE_ENTRIES 64
/* A fragment that was cut by force needs those before it, back to one with a key frame. */
#define BACK_MAX_NS (60 * KN_NS_PER_S)
#define BACK_MAX_FRAGMENTS 256

struct range {
    struct frag_archive *archive;
    struct frag_stream *stream;
    enum frag_clock clock;
    struct kn_wall from, to;
    uint64_t after; /* sequence of the last entry of the page */
    struct frag_entry page[PAGE_ENTRIES];
    size_t count, at;
};

struct kn_wall play_entry_time(const struct frag_entry *entry, enum frag_clock clock) {
    return clock == FRAG_CLOCK_PRODUCER ? entry->producer : entry->server;
}

static int64_t begin_ns(const struct range *range, const struct frag_entry *entry) {
    return play_entry_time(entry, range->clock).ns;
}

/* The fragment in which `from` lies, else the first one of the range. */
static int find_first(const struct range *range, struct frag_entry *ret_entry) {
    struct frag_entry entry;
    int rc =
        frag_archive_find_time(range->archive, range->stream, range->clock, range->from, &entry);
    int64_t end_ns = 0;
    if (rc == 0 && (begin_ns(range, &entry) == range->from.ns ||
                    !kn_i64_add(begin_ns(range, &entry), entry.duration_ns, &end_ns) ||
                    end_ns > range->from.ns)) {
        *ret_entry = entry;
        return 0;
    }
    if (rc != 0 && rc != -ENOENT) {
        return rc;
    }
    rc = frag_archive_range(range->archive, range->stream, range->clock, range->from, range->to, 0,
                            ret_entry, 1);
    return rc < 0 ? rc : rc == 0 ? -ENOENT : 0;
}

/* Where to begin so that the first fragment can be decoded; if that is too far, where it begins. */
static int go_back(const struct range *range, const struct frag_entry *first, int64_t *ret_ns) {
    struct frag_entry entry = *first;
    int64_t first_ns = begin_ns(range, first);
    for (int i = 0; (entry.flags & FRAG_NO_KEY_START) != 0; i++) {
        struct kn_wall before = {begin_ns(range, &entry)};
        int rc = -ENOENT;
        if (i < BACK_MAX_FRAGMENTS && kn_i64_add(before.ns, -1, &before.ns)) {
            rc =
                frag_archive_find_time(range->archive, range->stream, range->clock, before, &entry);
        }
        int64_t back_ns = 0;
        if (rc != 0 && rc != -ENOENT) {
            return rc;
        }
        if (rc != 0 || __builtin_sub_overflow(first_ns, begin_ns(range, &entry), &back_ns) ||
            back_ns > BACK_MAX_NS) {
            *ret_ns = first_ns;
            return 0;
        }
    }
    *ret_ns = begin_ns(range, &entry);
    return 0;
}

/* 1, 0 at the end, or a failure. */
static int next_entry(struct range *range, const struct frag_entry **ret_entry) {
    if (range->at == range->count) {
        int rc = frag_archive_range(range->archive, range->stream, range->clock, range->from,
                                    range->to, range->after, range->page, PAGE_ENTRIES);
        if (rc <= 0) {
            return rc;
        }
        range->count = (size_t)rc;
        range->at = 0;
        range->after = range->page[range->count - 1].number.sequence;
    }
    *ret_entry = &range->page[range->at++];
    return 1;
}

static void rewind_range(struct range *range) {
    range->after = 0;
    range->count = 0;
    range->at = 0;
}

/* Only as far as it matters; the range is then at its beginning again. */
static int measure(struct range *range, uint64_t *ret_bytes) {
    const struct frag_entry *entry = NULL;
    uint64_t bytes = 0;
    int rc = 1;
    while (rc == 1 && bytes <= PLAY_MP4_FASTSTART_MAX_BYTES) {
        rc = next_entry(range, &entry);
        uint64_t more = rc == 1 ? entry->cluster_bytes : 0;
        bytes = more > UINT64_MAX - bytes ? UINT64_MAX : bytes + more;
    }
    rewind_range(range);
    *ret_bytes = bytes;
    return rc < 0 ? rc : 0;
}

/* The others can be exported all the same. */
static bool is_damage(int rc) {
    return rc == -ENOENT || rc == -ENODEV || rc == -EIO || rc == KN_E_MALFORMED ||
           rc == KN_E_TRUNCATED || rc == KN_E_LIMIT || rc == KN_E_UNSUPPORTED;
}

static int next_fragment(void *user, struct frag_loaded **ret_loaded) {
    struct range *range = user;
    const struct frag_entry *entry = NULL;
    int rc = next_entry(range, &entry);
    if (rc <= 0) {
        return rc == 0 ? PLAY_NEXT_END : rc;
    }
    rc = frag_archive_load(range->archive, entry, ret_loaded);
    return rc == 0 ? PLAY_NEXT_FRAGMENT : is_damage(rc) ? PLAY_NEXT_LEFT_OUT : rc;
}

static void give_back(void *user, struct frag_loaded *loaded) {
    (void)user;
    frag_loaded_free(loaded);
}

int play_export_run(const struct play_export_config *config,
                    struct play_export_result *ret_result) {
    *ret_result = (struct play_export_result){0};
    struct range range = {
        .archive = config->archive,
        .stream = config->stream,
        .clock = config->clock,
        .from = config->from,
        .to = config->to,
    };
    struct frag_entry first;
    struct play_source source = {
        .next = next_fragment,
        .give_back = give_back,
        .user = &range,
        .stream_name = frag_stream_name(config->stream),
    };
    int rc = config->from.ns > config->to.ns ? -EINVAL : find_first(&range, &first);
    int64_t back_ns = config->from.ns;
    if (rc == 0) {
        rc = go_back(&range, &first, &back_ns);
    }
    if (rc == 0) {
        /* Never later: behind a clock that was set back, fragments with larger numbers than the
         * first one's begin before it. */
        range.from.ns = back_ns < range.from.ns ? back_ns : range.from.ns;
        rc = measure(&range, &source.expected_bytes);
    }
    return rc == 0 ? play_export_from(config, &source, ret_result) : rc;
}
