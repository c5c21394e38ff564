#include "fragments/store/retention_plan.h"

#include "base/bytes.h"
#include "fragments/store/reel_format.h"

#define DAY_NS (24 * 3600 * KN_NS_PER_S)

/* ---- sums ---- */

static int64_t add_clamped(int64_t a, int64_t b) {
    int64_t sum = 0;
    if (kn_i64_add(a, b, &sum)) {
        return sum;
    }
    return b > 0 ? INT64_MAX : INT64_MIN;
}

static uint64_t less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

struct kn_wall frag_plan_expiry(struct kn_wall end, int64_t retention_ns) {
    return (struct kn_wall){
        retention_ns == FRAG_RETAIN_FOREVER ? INT64_MAX : add_clamped(end.ns, retention_ns)};
}

/* Whether that moment comes at all: INT64_MAX is never. */
static bool comes(const struct frag_plan *plan, struct kn_wall when) {
    return when.ns != INT64_MAX && when.ns <= plan->until.ns;
}

/* What deleting the reel gives back: what is held is copied to another one, with a head. */
static uint64_t gain_of(const struct frag_plan_reel *reel) {
    if (reel->held_fragments == 0) {
        return reel->bytes;
    }
    return reel->held_fragments < reel->fragments
               ? less(reel->bytes, reel->held_bytes + FRAG_REEL_BODY_AT)
               : 0;
}

/* ---- growth ---- */

/* For so long does a stream grow; after that its new fragments expire as fast as others come. */
static int64_t growing_ns(const struct frag_plan *plan, const struct frag_plan_stream *stream) {
    return plan->clock_in_doubt ? INT64_MAX : stream->retention_ns;
}

/* Foretold from a rate: its precision does not matter. */
uint64_t frag_plan_written(const struct frag_plan *plan, const struct frag_plan_stream *stream,
                           struct kn_wall when) {
    if (when.ns <= plan->now.ns || stream->bytes_per_day == 0 || stream->deleting) {
        return 0;
    }
    int64_t elapsed_ns = when.ns - plan->now.ns;
    int64_t most_ns = growing_ns(plan, stream);
    elapsed_ns = elapsed_ns < most_ns ? elapsed_ns : most_ns;
    double bytes = (double)stream->bytes_per_day * ((double)elapsed_ns / (double)DAY_NS);
    return bytes < (double)INT64_MAX ? (uint64_t)bytes : (uint64_t)INT64_MAX;
}

uint64_t frag_plan_growth(const struct frag_plan *plan, const struct frag_plan_stream *stream,
                          struct kn_wall when) {
    uint64_t grown = frag_plan_written(plan, stream, when);
    if (stream->retention_bytes == 0) {
        return grown;
    }
    uint64_t room = less(stream->retention_bytes, stream->bytes);
    return grown < room ? grown : room;
}

/* When the stream is over its limit; INT64_MAX: not as long as it grows. */
static struct kn_wall over_limit(const struct frag_plan *plan,
                                 const struct frag_plan_stream *stream) {
    struct kn_wall never = {INT64_MAX};
    if (stream->retention_bytes == 0) {
        return never;
    }
    if (stream->bytes > stream->retention_bytes) {
        return plan->now;
    }
    if (stream->bytes_per_day == 0) {
        return never;
    }
    double days = (double)(stream->retention_bytes - stream->bytes) / (double)stream->bytes_per_day;
    double ns = days * (double)DAY_NS;
    if (ns >= (double)growing_ns(plan, stream) || ns >= (double)INT64_MAX) {
        return never;
    }
    return (struct kn_wall){add_clamped(plan->now.ns, (int64_t)ns)};
}

static uint64_t free_at(const struct frag_plan *plan, size_t disk, struct kn_wall when) {
    uint64_t grown = 0;
    if (when.ns > plan->now.ns) {
        for (size_t i = 0; i < plan->stream_count; i++) {
            grown +=
                plan->streams[i].disk == disk ? frag_plan_growth(plan, &plan->streams[i], when) : 0;
        }
    }
    return less(plan->disks[disk].free_bytes, grown);
}

/* When the disk has less than it should; INT64_MAX: not until the end. */
static struct kn_wall runs_short(const struct frag_plan *plan, size_t disk) {
    uint64_t least = plan->disks[disk].least_bytes;
    if (free_at(plan, disk, plan->until) >= least) {
        return (struct kn_wall){INT64_MAX};
    }
    int64_t low = plan->now.ns;
    int64_t high = plan->until.ns;
    while (high - low > KN_NS_PER_S) {
        int64_t middle = low + (high - low) / 2;
        if (free_at(plan, disk, (struct kn_wall){middle}) < least) {
            high = middle;
        } else {
            low = middle;
        }
    }
    bool at_once = free_at(plan, disk, (struct kn_wall){low}) < least;
    return (struct kn_wall){at_once ? low : high};
}

/* ---- which may go ---- */

void frag_plan_start(struct frag_plan *plan) {
    plan->held_bytes = 0;
    for (size_t i = 0; i < plan->stream_count; i++) {
        plan->streams[i].first = FRAG_PLAN_NONE;
        plan->streams[i].known = false;
    }
    for (size_t i = 0; i < plan->disk_count; i++) {
        plan->disks[i].first = 0;
    }
    for (size_t i = plan->reel_count; i > 0; i--) {
        struct frag_plan_reel *reel = &plan->reels[i - 1];
        KN_ASSERT(reel->stream < plan->stream_count);
        KN_ASSERT(i < 2 || plan->reels[i - 2].from.ns <= reel->from.ns);
        reel->next = plan->streams[reel->stream].first;
        reel->gone = false;
        plan->streams[reel->stream].first = i - 1;
    }
}

/* What is held in a kept reel stays, and does not count against the stream's limit: evidence must
 * not cost the recording that goes on. */
static void set_aside(struct frag_plan *plan, struct frag_plan_reel *reel) {
    struct frag_plan_stream *stream = &plan->streams[reel->stream];
    reel->gone = true;
    stream->known = false;
    stream->bytes = less(stream->bytes, reel->bytes);
}

/* 1: it may go, as far as the reel itself goes; 0: it may not, perhaps never. */
static int may_go(struct frag_plan *plan, struct frag_plan_reel *reel) {
    if (reel->gone || reel->writing || reel->disk == FRAG_PLAN_NONE) {
        return 0;
    }
    if (!reel->looked) {
        int rc = plan->look(reel, plan->user);
        if (rc < 0) {
            return rc;
        }
        reel->looked = true;
        reel->gone = rc > 0;
    }
    return reel->gone || (reel->kept && reel->held_fragments > 0) ? 0 : 1;
}

static bool is_held(const struct frag_plan_reel *reel) {
    return !reel->gone && reel->looked && reel->kept && reel->held_fragments > 0;
}

/* For its bytes: it is not worth copying a reel to win nothing. */
static int may_go_for_room(struct frag_plan *plan, struct frag_plan_reel *reel) {
    int rc = may_go(plan, reel);
    if (rc == 0 && is_held(reel)) {
        set_aside(plan, reel);
    }
    return rc > 0 && gain_of(reel) == 0 ? 0 : rc;
}

/* ---- what goes next of a stream ---- */

static void find_deleted(const struct frag_plan *plan, struct frag_plan_stream *stream) {
    for (size_t i = stream->first; i != FRAG_PLAN_NONE; i = plan->reels[i].next) {
        const struct frag_plan_reel *reel = &plan->reels[i];
        if (!reel->gone && !reel->writing && reel->disk != FRAG_PLAN_NONE) {
            stream->any = true;
            stream->next = (struct frag_plan_item){.reel = i, .deleted = true, .when = plan->now};
            return;
        }
    }
}

/* Overlapping sessions: the one that begins first need not end first. */
static int find_expired(struct frag_plan *plan, struct frag_plan_stream *stream) {
    for (size_t i = stream->first; i != FRAG_PLAN_NONE; i = plan->reels[i].next) {
        struct frag_plan_reel *reel = &plan->reels[i];
        if (!comes(plan, frag_plan_expiry(reel->from, stream->retention_ns))) {
            return 0;
        }
        int rc = may_go(plan, reel);
        if (rc < 0) {
            return rc;
        }
        struct kn_wall when = frag_plan_expiry(reel->to, stream->retention_ns);
        if (!comes(plan, when)) {
            continue;
        }
        if (is_held(reel)) {
            plan->held_bytes += reel->bytes;
            set_aside(plan, reel);
        }
        if (rc > 0 && (!stream->any || when.ns < stream->next.when.ns)) {
            stream->any = true;
            stream->next =
                (struct frag_plan_item){.reel = i, .cause = FRAG_RETENTION_AGE, .when = when};
        }
    }
    return 0;
}

static int find_over_limit(struct frag_plan *plan, struct frag_plan_stream *stream) {
    for (size_t i = stream->first; i != FRAG_PLAN_NONE; i = plan->reels[i].next) {
        struct kn_wall when = over_limit(plan, stream);
        if (!comes(plan, when) || (stream->any && stream->next.when.ns <= when.ns)) {
            return 0;
        }
        int rc = may_go_for_room(plan, &plan->reels[i]);
        if (rc < 0) {
            return rc;
        }
        if (rc > 0) {
            stream->any = true;
            stream->next =
                (struct frag_plan_item){.reel = i, .cause = FRAG_RETENTION_BYTES, .when = when};
            return 0;
        }
    }
    return 0;
}

static int find_next(struct frag_plan *plan, struct frag_plan_stream *stream) {
    if (stream->known) {
        return 0;
    }
    while (stream->first != FRAG_PLAN_NONE && plan->reels[stream->first].gone) {
        stream->first = plan->reels[stream->first].next;
    }
    stream->any = false;
    int rc = 0;
    if (stream->deleting) {
        find_deleted(plan, stream);
    } else {
        rc = plan->clock_in_doubt ? 0 : find_expired(plan, stream);
        rc = rc < 0 ? rc : find_over_limit(plan, stream);
    }
    stream->known = rc == 0;
    return rc;
}

/* ---- what goes next of all ---- */

/* Of what is due at once: what serves one cause may spare another one's. */
static int rank_of(const struct frag_plan_item *item) {
    return item->deleted ? -1 : (int)item->cause;
}

static bool is_before(const struct frag_plan *plan, const struct frag_plan_item *a,
                      const struct frag_plan_item *b) {
    int64_t a_ns = a->when.ns < plan->now.ns ? plan->now.ns : a->when.ns;
    int64_t b_ns = b->when.ns < plan->now.ns ? plan->now.ns : b->when.ns;
    if (a_ns != b_ns) {
        return a_ns < b_ns;
    }
    if (rank_of(a) != rank_of(b)) {
        return rank_of(a) < rank_of(b);
    }
    return plan->reels[a->reel].from.ns < plan->reels[b->reel].from.ns;
}

/* 1: a reel that goes to keep the disk's least free space. */
static int find_for_disk(struct frag_plan *plan, size_t disk, struct frag_plan_item *ret_item) {
    struct kn_wall when = runs_short(plan, disk);
    if (when.ns == INT64_MAX) {
        return 0;
    }
    /* What is not for this disk now never will be, and is not looked at again. */
    for (size_t *i = &plan->disks[disk].first; *i < plan->reel_count; ++*i) {
        struct frag_plan_reel *reel = &plan->reels[*i];
        int rc = reel->disk == disk ? may_go_for_room(plan, reel) : 0;
        if (rc < 0) {
            return rc;
        }
        if (rc > 0) {
            *ret_item = (struct frag_plan_item){
                .reel = *i, .cause = FRAG_RETENTION_FREE_SPACE, .when = when};
            return 1;
        }
    }
    return 0;
}

static void choose(struct frag_plan *plan, struct frag_plan_item *item) {
    struct frag_plan_reel *reel = &plan->reels[item->reel];
    struct frag_plan_stream *stream = &plan->streams[reel->stream];
    item->when = item->when.ns < plan->now.ns ? plan->now : item->when;
    reel->gone = true;
    stream->known = false;
    stream->bytes = less(stream->bytes, gain_of(reel));
    plan->disks[reel->disk].free_bytes += gain_of(reel);
    plan->held_bytes += reel->held_bytes;
}

int frag_plan_next(struct frag_plan *plan, struct frag_plan_item *ret_item) {
    struct frag_plan_item best = {.reel = FRAG_PLAN_NONE};
    for (size_t i = 0; i < plan->stream_count; i++) {
        struct frag_plan_stream *stream = &plan->streams[i];
        int rc = find_next(plan, stream);
        if (rc < 0) {
            return rc;
        }
        if (stream->any && (best.reel == FRAG_PLAN_NONE || is_before(plan, &stream->next, &best))) {
            best = stream->next;
        }
    }
    /* Only once nothing else is due: what goes first may be enough. */
    bool due = best.reel != FRAG_PLAN_NONE && best.when.ns <= plan->now.ns;
    for (size_t i = 0; i < plan->disk_count && !due; i++) {
        struct frag_plan_item item;
        int rc = find_for_disk(plan, i, &item);
        if (rc < 0) {
            return rc;
        }
        if (rc > 0 && (best.reel == FRAG_PLAN_NONE || is_before(plan, &item, &best))) {
            best = item;
        }
    }
    if (best.reel == FRAG_PLAN_NONE) {
        return 0;
    }
    choose(plan, &best);
    *ret_item = best;
    return 1;
}

void frag_plan_undo(struct frag_plan *plan, const struct frag_plan_item *item) {
    struct frag_plan_reel *reel = &plan->reels[item->reel];
    struct frag_plan_stream *stream = &plan->streams[reel->stream];
    uint64_t gain = gain_of(reel);
    stream->known = false;
    stream->bytes += gain;
    plan->disks[reel->disk].free_bytes = less(plan->disks[reel->disk].free_bytes, gain);
    plan->held_bytes = less(plan->held_bytes, reel->held_bytes);
}
