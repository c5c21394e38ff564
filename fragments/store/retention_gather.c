/* What a plan is made of: streams, disks, holds, and the oldest reels of each stream, no more of
 * them than may go. Reads through a connection of its own, so that the clerk is not held up. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/retention.h"

#define DAY_NS (24 * 3600 * KN_NS_PER_S)

/* ---- streams ---- */

static struct frag_plan_stream plan_stream_of(struct frag_stream *stream) {
    (void)pthread_mutex_lock(&stream->lock);
    struct frag_plan_stream made = {
        .retention_ns = stream->settings.retention_ns,
        .retention_bytes = stream->settings.retention_bytes,
        .deleting = stream->deleting,
        .bytes = stream->counters.bytes_on_disk,
        .disk = FRAG_PLAN_NONE,
    };
    (void)pthread_mutex_unlock(&stream->lock);
    return made;
}

/* Streams live as long as the store: the lists alone need the lock. */
static int list_streams(struct frag_gathering *gathering) {
    struct frag_store *store = gathering->store;
    (void)pthread_mutex_lock(&store->streams_lock);
    size_t most = store->stream_count + store->gone_count;
    gathering->which = calloc(most + 1, sizeof(struct frag_stream *));
    size_t count = 0;
    for (size_t i = 0; i < store->gone_count && gathering->which != NULL; i++) {
        if (!store->gone[i]->erased) {
            gathering->which[count++] = store->gone[i];
        }
    }
    for (size_t i = 0; i < store->stream_count && gathering->which != NULL; i++) {
        gathering->which[count++] = store->streams[i];
    }
    (void)pthread_mutex_unlock(&store->streams_lock);
    gathering->plan.streams = calloc(most + 1, sizeof(*gathering->plan.streams));
    if (gathering->which == NULL || gathering->plan.streams == NULL) {
        return -ENOMEM;
    }
    gathering->plan.stream_count = count;
    for (size_t i = 0; i < count; i++) {
        gathering->plan.streams[i] = plan_stream_of(gathering->which[i]);
    }
    return 0;
}

/* ---- disks ---- */

/* Which directories share a file system. Asked of the machine, not of the io table: it is a
 * question about names, and where a test's files are not really there each stands for itself. */
static bool same_disk(const struct frag_folder *a, const struct frag_folder *b) {
    struct stat first;
    struct stat second;
    return stat(a->path, &first) == 0 && stat(b->path, &second) == 0 &&
           first.st_dev == second.st_dev;
}

static size_t add_disk(struct frag_gathering *gathering, const struct frag_folder *folder) {
    struct frag_io *io = gathering->store->io;
    struct frag_plan *plan = &gathering->plan;
    uint64_t free_bytes = 0;
    uint64_t total_bytes = 0;
    int rc = io->space(io, folder->path, &free_bytes, &total_bytes);
    if (rc < 0) {
        kn_log_warn("free space not known: retention leaves the directory alone",
                    kn_str("folder", folder->path), kn_err("error", rc));
        return FRAG_PLAN_NONE;
    }
    plan->disks[plan->disk_count] = (struct frag_plan_disk){
        .free_bytes = free_bytes, .least_bytes = frag_folder_min_free(folder)};
    return plan->disk_count++;
}

static int list_disks(struct frag_gathering *gathering) {
    const struct frag_store *store = gathering->store;
    gathering->plan.disks = calloc(FRAG_CATALOG_FOLDERS_MAX, sizeof(*gathering->plan.disks));
    if (gathering->plan.disks == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < store->folder_count; i++) {
        size_t *disk = &gathering->disk_of[i];
        *disk = FRAG_PLAN_NONE;
        for (size_t j = 0; j < i && *disk == FRAG_PLAN_NONE && store->folders[i].online; j++) {
            if (store->folders[j].online && same_disk(&store->folders[i], &store->folders[j])) {
                *disk = gathering->disk_of[j];
            }
        }
        if (*disk == FRAG_PLAN_NONE && store->folders[i].online) {
            *disk = add_disk(gathering, &store->folders[i]);
        }
    }
    return 0;
}

static size_t disk_of(const struct frag_gathering *gathering, uint16_t number) {
    const struct frag_folder *folder = frag_store_folder(gathering->store, number);
    return folder != NULL ? gathering->disk_of[folder - gathering->store->folders] : FRAG_PLAN_NONE;
}

/* ---- holds and seals: clerk ---- */

static int add_seal(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct frag_gathering *gathering = user;
    (void)value;
    if (key.size != FRAG_ID_BYTES) {
        return 0;
    }
    if (gathering->seal_count == gathering->seal_room) {
        size_t room = gathering->seal_room == 0 ? 16 : gathering->seal_room * 2;
        void *seals = reallocarray(gathering->seals, room, FRAG_ID_BYTES);
        if (seals == NULL) {
            return -ENOMEM;
        }
        gathering->seals = seals;
        gathering->seal_room = room;
    }
    memcpy(gathering->seals[gathering->seal_count++], key.data, FRAG_ID_BYTES);
    return 0;
}

static int read_catalog(struct frag_store *store, void *user) {
    struct frag_gathering *gathering = user;
    int rc = frag_held_load(store, NULL, &gathering->held);
    return rc < 0 ? rc
                  : frag_catalog_each(store->clerk.catalog, FRAG_CATALOG_SEAL, add_seal, gathering);
}

static bool is_given_up(const struct frag_gathering *gathering,
                        const uint8_t reel_id[static FRAG_ID_BYTES]) {
    for (size_t i = 0; i < gathering->seal_count; i++) {
        if (memcmp(gathering->seals[i], reel_id, FRAG_ID_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- one reel ---- */

static struct frag_plan_reel plan_reel_of(const struct frag_gathering *gathering, size_t stream,
                                          const struct frag_index_reel *reel) {
    bool empty = reel->fragments == 0;
    return (struct frag_plan_reel){
        .row = reel->row,
        .stream = stream,
        .disk = disk_of(gathering, reel->folder),
        .from = empty ? reel->identity.opened : reel->span.server_min,
        .to = empty ? reel->identity.opened : reel->span.server_max,
        .bytes = reel->bytes,
        .fragments = reel->fragments,
        .kept = (reel->identity.flags & FRAG_REEL_KEPT) != 0,
        .writing = reel->state == FRAG_REEL_OPEN && !is_given_up(gathering, reel->identity.reel_id),
    };
}

struct looking {
    struct frag_gathering *gathering;
    struct frag_plan_reel *reel;
    const uint8_t *stream;
    bool held; /* anything of the stream is */
};

static int look_at_row(const struct frag_reel_row *row, void *user) {
    struct looking *looking = user;
    struct frag_plan_reel *reel = looking->reel;
    struct kn_wall end = frag_plan_expiry(row->server, row->duration_ns);
    reel->to = end.ns > reel->to.ns ? end : reel->to;
    if (looking->held && frag_held_touches(&looking->gathering->held, looking->stream, row) &&
        (reel->kept || !frag_keep_exists(looking->gathering->index, looking->stream, reel->row,
                                         row->number.sequence))) {
        reel->held_fragments++;
        reel->held_bytes += row->cluster_bytes + row->trailer_bytes;
    }
    return 0;
}

static int look(struct frag_plan_reel *reel, void *user) {
    struct frag_gathering *gathering = user;
    struct looking looking = {
        .gathering = gathering, .reel = reel, .stream = gathering->which[reel->stream]->id};
    looking.held = frag_held_any(&gathering->held, looking.stream);
    int rc = frag_index_each_fragment(gathering->index, reel->row, look_at_row, &looking);
    if (rc == KN_E_MALFORMED) {
        kn_log_warn("retention leaves a reel alone that the index cannot read",
                    kn_str("stream", gathering->which[reel->stream]->name),
                    kn_int("reel", reel->row));
    }
    return rc == KN_E_MALFORMED || rc == -ENOENT ? 1 : rc;
}

/* ---- which of them ---- */

struct picking {
    struct frag_gathering *gathering;
    size_t stream;
    bool held;
    /* Bytes that may have to go, of the stream's and of each disk's; and those that surely can, of
     * what was picked. */
    uint64_t wanted, picked;
    const uint64_t *wanted_of; /* by disk */
    uint64_t picked_of[FRAG_CATALOG_FOLDERS_MAX];
};

static bool is_enough(const struct picking *picking, struct kn_wall from) {
    const struct frag_plan *plan = &picking->gathering->plan;
    const struct frag_plan_stream *stream = &plan->streams[picking->stream];
    struct kn_wall expiry = frag_plan_expiry(from, stream->retention_ns);
    bool expires = !plan->clock_in_doubt && expiry.ns != INT64_MAX && expiry.ns <= plan->until.ns;
    if (stream->deleting || expires || picking->picked < picking->wanted) {
        return false;
    }
    for (size_t i = 0; i < plan->disk_count; i++) {
        if (picking->picked_of[i] < picking->wanted_of[i]) {
            return false;
        }
    }
    return true;
}

static int pick(const struct frag_index_reel *found, void *user) {
    struct picking *picking = user;
    struct frag_gathering *gathering = picking->gathering;
    struct frag_plan *plan = &gathering->plan;
    struct frag_plan_reel reel = plan_reel_of(gathering, picking->stream, found);
    if (is_enough(picking, reel.from)) {
        return -ECANCELED; /* all others begin later */
    }
    if (plan->reel_count == gathering->reel_room) {
        size_t room = gathering->reel_room == 0 ? 64 : gathering->reel_room * 2;
        struct frag_plan_reel *reels = reallocarray(plan->reels, room, sizeof(*reels));
        if (reels == NULL) {
            return -ENOMEM;
        }
        plan->reels = reels;
        gathering->reel_room = room;
    }
    plan->reels[plan->reel_count++] = reel;
    /* Of what may be held it is not known yet how much goes. */
    if (!picking->held && !reel.kept && !reel.writing && reel.disk != FRAG_PLAN_NONE) {
        picking->picked += reel.bytes;
        picking->picked_of[reel.disk] += reel.bytes;
    }
    return 0;
}

static uint64_t less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

/* A quick look, as nearly always there is nothing. 1: some fragments may have expired. */
static int has_expired(struct frag_gathering *gathering, size_t i) {
    const struct frag_plan *plan = &gathering->plan;
    int64_t retention_ns = plan->streams[i].retention_ns;
    struct frag_index_found found;
    struct kn_wall until = {0};
    if (plan->clock_in_doubt || retention_ns == FRAG_RETAIN_FOREVER ||
        __builtin_sub_overflow(plan->until.ns, retention_ns, &until.ns)) {
        return 0;
    }
    return frag_index_range(gathering->index, gathering->which[i]->id, FRAG_CLOCK_SERVER,
                            (struct kn_wall){INT64_MIN}, until, 0, &found, 1);
}

static bool is_wanted(const struct picking *picking) {
    uint64_t wanted = picking->wanted;
    for (size_t i = 0; i < picking->gathering->plan.disk_count; i++) {
        wanted |= picking->wanted_of[i];
    }
    return wanted > 0;
}

static int pick_of_stream(struct frag_gathering *gathering, size_t i, const uint64_t *wanted_of) {
    const struct frag_plan *plan = &gathering->plan;
    const struct frag_plan_stream *stream = &plan->streams[i];
    struct picking picking = {.gathering = gathering, .stream = i, .wanted_of = wanted_of};
    picking.held = frag_held_any(&gathering->held, gathering->which[i]->id);
    if (stream->retention_bytes != 0) {
        picking.wanted = less(stream->bytes + frag_plan_written(plan, stream, plan->until),
                              stream->retention_bytes);
    }
    int rc = stream->deleting || is_wanted(&picking) ? 1 : has_expired(gathering, i);
    if (rc <= 0) {
        return rc;
    }
    rc = frag_index_each_reel_of(gathering->index, gathering->which[i]->id, pick, &picking);
    return rc == -ECANCELED ? 0 : rc;
}

static int compare_reels(const void *a, const void *b) {
    const struct frag_plan_reel *left = a;
    const struct frag_plan_reel *right = b;
    if (left->from.ns != right->from.ns) {
        return left->from.ns < right->from.ns ? -1 : 1;
    }
    return left->row < right->row ? -1 : 1;
}

int frag_gather_reels(struct frag_gathering *gathering, bool clock_in_doubt) {
    struct frag_plan *plan = &gathering->plan;
    uint64_t wanted_of[FRAG_CATALOG_FOLDERS_MAX] = {0};
    int rc = 0;
    plan->clock_in_doubt = clock_in_doubt;
    for (size_t i = 0; i < plan->disk_count; i++) {
        uint64_t written = 0;
        for (size_t j = 0; j < plan->stream_count; j++) {
            const struct frag_plan_stream *stream = &plan->streams[j];
            written += stream->disk == i ? frag_plan_written(plan, stream, plan->until) : 0;
        }
        wanted_of[i] = less(plan->disks[i].least_bytes + written, plan->disks[i].free_bytes);
    }
    for (size_t i = 0; i < plan->stream_count && rc == 0; i++) {
        rc = pick_of_stream(gathering, i, wanted_of);
    }
    if (rc < 0) {
        return rc;
    }
    if (plan->reel_count > 1) {
        qsort(plan->reels, plan->reel_count, sizeof(*plan->reels), compare_reels);
    }
    plan->look = look;
    plan->user = gathering;
    frag_plan_start(plan);
    return 0;
}

/* ---- the last 24 hours ---- */

struct measuring {
    struct frag_gathering *gathering;
    size_t stream;
    struct kn_wall since;
};

/* By the reel's span, so rather too much: for an estimate. */
static bool may_be_held(const struct frag_held *held, const struct frag_index_reel *reel) {
    for (size_t i = 0; i < held->count; i++) {
        const struct frag_held_range *range = &held->ranges[i];
        bool producer = range->clock == FRAG_CLOCK_PRODUCER;
        struct kn_wall min = producer ? reel->span.producer_min : reel->span.server_min;
        struct kn_wall max = producer ? reel->span.producer_max : reel->span.server_max;
        if (memcmp(range->stream, reel->identity.stream_id, FRAG_ID_BYTES) == 0 &&
            min.ns <= range->to.ns && max.ns >= range->from.ns) {
            return true;
        }
    }
    return false;
}

static int measure_reel(const struct frag_index_reel *reel, void *user) {
    const struct measuring *measuring = user;
    struct frag_gathering *gathering = measuring->gathering;
    struct frag_plan_stream *stream = &gathering->plan.streams[measuring->stream];
    size_t disk = disk_of(gathering, reel->folder);
    bool kept = (reel->identity.flags & FRAG_REEL_KEPT) != 0;
    stream->bytes += reel->bytes;
    if (disk == FRAG_PLAN_NONE) {
        return 0;
    }
    if (!kept && reel->fragments > 0 && reel->span.server_max.ns > measuring->since.ns) {
        stream->bytes_per_day += reel->bytes;
        stream->disk = disk; /* in the end where the newest one is */
    }
    if (!may_be_held(&gathering->held, reel)) {
        gathering->deletable[disk] += reel->bytes;
    }
    return 0;
}

/* What is recorded under a hold that reaches into the future cannot be deleted. */
static void note_held_growth(struct frag_gathering *gathering, size_t i) {
    const struct frag_plan_stream *stream = &gathering->plan.streams[i];
    bool held = false;
    for (size_t j = 0; j < gathering->held.count && stream->disk != FRAG_PLAN_NONE; j++) {
        const struct frag_held_range *range = &gathering->held.ranges[j];
        if (memcmp(range->stream, gathering->which[i]->id, FRAG_ID_BYTES) == 0 &&
            range->to.ns > gathering->plan.now.ns) {
            struct kn_wall *until = &gathering->held_until[stream->disk];
            *until = range->to.ns > until->ns ? range->to : *until;
            held = true;
        }
    }
    if (held) {
        gathering->held_per_day[stream->disk] += stream->bytes_per_day;
    }
}

static int measure(struct frag_gathering *gathering) {
    struct measuring measuring = {.gathering = gathering};
    int64_t now_ns = gathering->plan.now.ns;
    int rc = 0;
    measuring.since.ns = now_ns < INT64_MIN + DAY_NS ? INT64_MIN : now_ns - DAY_NS;
    for (size_t i = 0; i < gathering->plan.stream_count && rc == 0; i++) {
        if (!gathering->plan.streams[i].deleting) {
            measuring.stream = i;
            gathering->plan.streams[i].bytes = 0; /* counted anew: a reader's numbers are old */
            rc = frag_index_each_reel_of(gathering->index, gathering->which[i]->id, measure_reel,
                                         &measuring);
            note_held_growth(gathering, i);
        }
    }
    return rc;
}

/* ---- beginning and end ---- */

int frag_gather_begin(struct frag_store *store, struct kn_wall now, struct kn_wall until,
                      bool foretell, struct frag_gathering *ret_gathering) {
    struct frag_gathering gathering = {.store = store, .plan = {.now = now, .until = until}};
    int rc = frag_index_open(store->index_path, FRAG_INDEX_READ, &gathering.index);
    rc = rc == 0 ? list_streams(&gathering) : rc;
    rc = rc == 0 ? list_disks(&gathering) : rc;
    rc = rc == 0 ? frag_clerk_call(store, read_catalog, &gathering) : rc;
    rc = rc == 0 && foretell ? measure(&gathering) : rc;
    if (rc < 0) {
        frag_gather_finish(&gathering);
        return rc;
    }
    *ret_gathering = gathering;
    return 0;
}

void frag_gather_finish(struct frag_gathering *gathering) {
    frag_index_close(gathering->index);
    frag_held_finish(&gathering->held);
    free(gathering->seals);
    free(gathering->which);
    free(gathering->plan.streams);
    free(gathering->plan.disks);
    free(gathering->plan.reels);
    *gathering = (struct frag_gathering){0};
}
