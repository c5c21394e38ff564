/* Is the clock right? A wrong one would delete everything, so age retention pauses while there is a
 * doubt. */
#include <errno.h>
#include <string.h>
#include <sys/timex.h>

#include "base/bytes.h"
#include "fragments/store/retention.h"

#define TOLERANCE_NS (5 * 60 * KN_NS_PER_S)

static bool is_after(struct kn_wall a, struct kn_wall b, int64_t by_ns) {
    int64_t limit_ns = 0;
    return kn_i64_add(b.ns, by_ns, &limit_ns) && a.ns > limit_ns;
}

enum frag_doubt frag_doubt_decide(const struct frag_doubt_facts *facts) {
    if (facts->moved_ns > TOLERANCE_NS || facts->moved_ns < -TOLERANCE_NS) {
        return FRAG_DOUBT_STEPPED;
    }
    if (facts->confirmed || facts->before != FRAG_DOUBT_NONE) {
        return facts->confirmed ? FRAG_DOUBT_NONE : facts->before;
    }
    if (is_after(facts->newest, facts->now, TOLERANCE_NS)) {
        return FRAG_DOUBT_FUTURE;
    }
    return facts->all_expire || facts->one_expires ? FRAG_DOUBT_ALL : FRAG_DOUBT_NONE;
}

const char *frag_doubt_text(enum frag_doubt doubt) {
    switch (doubt) {
    case FRAG_DOUBT_NONE:
        return NULL;
    case FRAG_DOUBT_STEPPED:
        return "the clock was set by more than 5 minutes while the store was open";
    case FRAG_DOUBT_FUTURE:
        return "fragments are stored with times more than 5 minutes in the future";
    case FRAG_DOUBT_ALL:
        return "everything that is stored, or all of a stream, would expire at once";
    }
    return NULL;
}

bool frag_clock_synchronised(const struct kn_clock *clock) {
    struct timex timex = {0}; /* no modes: only asked */
    return clock == kn_clock_system() && adjtimex(&timex) >= 0 && (timex.status & STA_UNSYNC) == 0;
}

/* ---- what the index says ---- */

struct counting {
    uint64_t ordinary;
};

static int count_ordinary(const struct frag_index_reel *reel, void *user) {
    struct counting *counting = user;
    counting->ordinary += (reel->identity.flags & FRAG_REEL_KEPT) == 0 ? 1 : 0;
    return counting->ordinary > 1 ? -ECANCELED : 0; /* enough is known */
}

/* Would a stream lose more than one ordinary reel at once, down to its last? Asked only where its
 * newest fragment is expired: as a rule nothing is counted. */
static int count_one(struct frag_gathering *gathering, size_t i, struct frag_doubt_facts *facts) {
    struct counting counting = {0};
    int rc = frag_index_each_reel_of(gathering->index, gathering->which[i]->id, count_ordinary,
                                     &counting);
    facts->one_expires = facts->one_expires || counting.ordinary > 1;
    return rc == -ECANCELED ? 0 : rc;
}

/* Only where every stream's newest fragment is expired. Kept reels are expired as long as they are
 * there. */
static int count_all(struct frag_gathering *gathering, struct frag_doubt_facts *facts) {
    struct counting counting = {0};
    int rc = 0;
    for (size_t i = 0; i < gathering->plan.stream_count && rc == 0; i++) {
        if (!gathering->plan.streams[i].deleting) {
            rc = frag_index_each_reel_of(gathering->index, gathering->which[i]->id, count_ordinary,
                                         &counting);
        }
    }
    facts->all_expire = counting.ordinary > 1;
    return rc == -ECANCELED ? 0 : rc;
}

int frag_gather_doubt(struct frag_gathering *gathering, bool opening,
                      struct frag_doubt_facts *ret_facts) {
    const struct frag_plan *plan = &gathering->plan;
    struct frag_doubt_facts facts = {.now = plan->now, .newest = {INT64_MIN}, .all_expire = true};
    bool any = false;
    for (size_t i = 0; i < plan->stream_count; i++) {
        struct frag_index_found found;
        if (plan->streams[i].deleting) {
            continue;
        }
        int rc = frag_index_find_time(gathering->index, gathering->which[i]->id, FRAG_CLOCK_SERVER,
                                      (struct kn_wall){INT64_MAX}, &found);
        if (rc == -ENOENT) {
            continue;
        }
        if (rc < 0) {
            return rc;
        }
        any = true;
        struct kn_wall end = found.row.server;
        facts.newest = end.ns > facts.newest.ns ? end : facts.newest;
        end = frag_plan_expiry(end, found.row.duration_ns);
        end = frag_plan_expiry(end, plan->streams[i].retention_ns);
        bool expired = end.ns <= plan->now.ns;
        facts.all_expire = facts.all_expire && expired;
        /* While the store is open this is how a stream ends whose camera is gone, or whose
         * retention was made shorter. */
        rc = opening && expired && plan->streams[i].retention_ns > 0
                 ? count_one(gathering, i, &facts)
                 : 0;
        if (rc < 0) {
            return rc;
        }
    }
    facts.all_expire = facts.all_expire && any;
    int rc = facts.all_expire ? count_all(gathering, &facts) : 0;
    if (rc == 0) {
        *ret_facts = facts;
    }
    return rc;
}
