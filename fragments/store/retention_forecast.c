/* What a pass would do until some time, for the operator: nothing is changed. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/retention.h"

#define DAY_NS (24 * 3600 * KN_NS_PER_S)
#define PATH_BYTES ((size_t)4096 + FRAG_INDEX_PATH_BYTES)

struct telling {
    struct frag_gathering *gathering;
    int (*each)(const struct frag_retention_item *item, void *user);
    void *user;
    struct frag_retention_summary *summary;
};

/* -ENOENT: it went meanwhile. */
static int path_of(struct frag_gathering *gathering, int64_t row, char path[static PATH_BYTES]) {
    struct frag_index_reel reel;
    char below[FRAG_INDEX_PATH_BYTES];
    int rc = frag_index_get_reel(gathering->index, row, below, sizeof(below), &reel);
    if (rc < 0) {
        return rc;
    }
    const struct frag_folder *folder = frag_store_folder(gathering->store, reel.folder);
    return folder == NULL ? -ENOENT : frag_folder_join(folder, below, path, PATH_BYTES);
}

static int tell(const struct telling *telling, const struct frag_plan_item *chosen) {
    struct frag_gathering *gathering = telling->gathering;
    const struct frag_plan_reel *reel = &gathering->plan.reels[chosen->reel];
    char path[PATH_BYTES];
    int rc = path_of(gathering, reel->row, path);
    if (rc < 0) {
        return rc == -ENOENT ? 0 : rc;
    }
    const struct frag_retention_item item = {
        .stream = gathering->which[reel->stream]->name,
        .path = path,
        .cause = chosen->cause,
        .from = reel->from,
        .to = reel->to,
        .when = chosen->when,
        .bytes = reel->bytes,
        .fragments = reel->fragments,
        .held_fragments = reel->held_fragments,
    };
    telling->summary->reels++;
    telling->summary->bytes += reel->bytes > reel->held_bytes ? reel->bytes - reel->held_bytes : 0;
    rc = telling->each != NULL ? telling->each(&item, telling->user) : 0;
    return rc < 0 ? rc : 0;
}

/* Reels of deleted streams make room too, but nothing is to be known of them: they go at once. */
static int tell_all(const struct telling *telling) {
    struct frag_plan_item item;
    int rc = 0;
    while (rc == 0) {
        rc = frag_plan_next(&telling->gathering->plan, &item);
        if (rc <= 0) {
            break;
        }
        rc = item.deleted ? 0 : tell(telling, &item);
    }
    return rc;
}

/* When nothing that may be deleted would be left: only what is recorded under holds stays.
 * INT64_MAX for never. */
static struct kn_wall full_at(const struct frag_gathering *gathering, size_t i) {
    const struct frag_plan_disk *disk = &gathering->plan.disks[i];
    struct kn_wall now = gathering->plan.now;
    uint64_t room = disk->free_bytes + gathering->deletable[i];
    uint64_t least = disk->least_bytes / 4; /* below it nothing is written */
    if (room < least) {
        return now;
    }
    if (gathering->held_per_day[i] == 0) {
        return (struct kn_wall){INT64_MAX};
    }
    double ns = (double)(room - least) / (double)gathering->held_per_day[i] * (double)DAY_NS;
    bool comes =
        ns < (double)(INT64_MAX - now.ns) && now.ns + (int64_t)ns <= gathering->held_until[i].ns;
    return (struct kn_wall){comes ? now.ns + (int64_t)ns : INT64_MAX};
}

static void foretell(const struct frag_gathering *gathering,
                     struct frag_retention_summary *summary) {
    struct kn_wall first = {INT64_MAX};
    for (size_t i = 0; i < gathering->plan.disk_count; i++) {
        struct kn_wall full = full_at(gathering, i);
        first = full.ns < first.ns ? full : first;
    }
    summary->fills = first.ns != INT64_MAX;
    summary->full_at = summary->fills ? first : (struct kn_wall){0};
    for (size_t i = 0; i < gathering->plan.stream_count; i++) {
        summary->bytes_per_day += gathering->plan.streams[i].bytes_per_day;
    }
}

int frag_retention_plan(struct frag_store *store, struct kn_wall until,
                        int (*each)(const struct frag_retention_item *item, void *user), void *user,
                        struct frag_retention_summary *ret_summary) {
    struct frag_gathering gathering;
    struct frag_retention_summary summary = {0};
    struct kn_wall now = store->clock->wall(store->clock);
    enum frag_doubt doubt = FRAG_DOUBT_NONE;
    int rc = frag_gather_begin(store, now, until.ns < now.ns ? now : until, true, &gathering);
    if (rc < 0) {
        return rc;
    }
    rc = frag_janitor_doubt(&gathering, false, &doubt);
    rc = rc < 0 ? rc : frag_gather_reels(&gathering, doubt != FRAG_DOUBT_NONE);
    if (rc == 0) {
        summary.clock_in_doubt = doubt != FRAG_DOUBT_NONE;
        summary.doubt = frag_doubt_text(doubt);
        foretell(&gathering, &summary);
        const struct telling telling = {
            .gathering = &gathering, .each = each, .user = user, .summary = &summary};
        rc = tell_all(&telling);
        summary.held_bytes = gathering.plan.held_bytes;
    }
    frag_gather_finish(&gathering);
    if (rc == 0) {
        *ret_summary = summary;
    }
    return rc;
}
