/* The janitor: its thread, when a pass is due, and whether it trusts the clock. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/retention.h"

#define PASS_EVERY_NS (60 * KN_NS_PER_S)
/* A disk that stays full asks again and again: so soon after a pass that won something, or that won
 * nothing. */
#define PASS_AGAIN_NS KN_NS_PER_S
#define PASS_IN_VAIN_NS (10 * KN_NS_PER_S)

struct frag_janitor {
    struct frag_store *store;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ending, due;
    uint64_t wanted, done;     /* passes that somebody waits for */
    int result;                /* of the last one */
    struct kn_wall right_wall; /* when the clock was last known to be right ... */
    struct kn_mono right_mono; /* ... and on the other clock */
    bool confirmed;            /* since then by an operator */

    atomic_int doubt; /* enum frag_doubt */

    /* Of who makes the passes. */
    struct frag_pass_memory memory;
    bool passed;
    struct kn_mono passed_at;
};

/* ---- the clock ---- */

/* How far wall time went away from monotonic time since the clock was right. */
static int64_t moved_ns(const struct frag_janitor *janitor) {
    const struct kn_clock *clock = janitor->store->clock;
    int64_t wall_ns = 0;
    int64_t mono_ns = clock->mono(clock).ns - janitor->right_mono.ns;
    if (__builtin_sub_overflow(clock->wall(clock).ns, janitor->right_wall.ns, &wall_ns)) {
        return INT64_MAX;
    }
    return __builtin_sub_overflow(wall_ns, mono_ns, &wall_ns) ? INT64_MAX : wall_ns;
}

static void set_right(struct frag_janitor *janitor) {
    const struct kn_clock *clock = janitor->store->clock;
    janitor->right_wall = clock->wall(clock);
    janitor->right_mono = clock->mono(clock);
}

static void tell_doubt(const struct frag_store *store, enum frag_doubt before,
                       enum frag_doubt doubt) {
    if (doubt != FRAG_DOUBT_NONE && doubt != before) {
        kn_log_warn("the clock is in doubt: nothing expires by age until it is synchronised or "
                    "confirmed",
                    kn_str("because", frag_doubt_text(doubt)), kn_str("data", store->data));
    }
    if (doubt == FRAG_DOUBT_NONE && before != FRAG_DOUBT_NONE) {
        kn_log_info("the clock is right again: retention by age goes on",
                    kn_str("data", store->data));
    }
}

static enum frag_doubt settle_doubt(struct frag_janitor *janitor, struct frag_doubt_facts *facts) {
    bool synchronised = frag_clock_synchronised(janitor->store->clock);
    (void)pthread_mutex_lock(&janitor->lock);
    enum frag_doubt before = (enum frag_doubt)atomic_load(&janitor->doubt);
    enum frag_doubt doubt = FRAG_DOUBT_NONE;
    if (synchronised) {
        set_right(janitor);
        janitor->confirmed = false;
    } else {
        facts->moved_ns = moved_ns(janitor);
        facts->confirmed = janitor->confirmed;
        facts->before = before;
        doubt = frag_doubt_decide(facts);
    }
    atomic_store(&janitor->doubt, (int)doubt);
    (void)pthread_mutex_unlock(&janitor->lock);
    tell_doubt(janitor->store, before, doubt);
    return doubt;
}

int frag_janitor_doubt(struct frag_gathering *gathering, bool opening, enum frag_doubt *ret_doubt) {
    struct frag_store *store = gathering->store;
    struct frag_doubt_facts facts = {0};
    int rc = frag_gather_doubt(gathering, opening, &facts);
    if (rc < 0) {
        return rc;
    }
    if (store->janitor != NULL) {
        *ret_doubt = settle_doubt(store->janitor, &facts);
    } else {
        *ret_doubt =
            frag_clock_synchronised(store->clock) ? FRAG_DOUBT_NONE : frag_doubt_decide(&facts);
    }
    return 0;
}

bool frag_janitor_clock_in_doubt(struct frag_store *store) {
    return store->janitor != NULL && atomic_load(&store->janitor->doubt) != FRAG_DOUBT_NONE;
}

void frag_retention_confirm_clock(struct frag_store *store) {
    struct frag_janitor *janitor = store->janitor;
    if (janitor == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&janitor->lock);
    set_right(janitor);
    janitor->confirmed = true;
    enum frag_doubt before = (enum frag_doubt)atomic_exchange(&janitor->doubt, FRAG_DOUBT_NONE);
    (void)pthread_mutex_unlock(&janitor->lock);
    tell_doubt(store, before, FRAG_DOUBT_NONE);
    frag_janitor_wake(store);
}

struct kn_wall frag_stream_visible_from(struct frag_stream *stream, struct kn_wall now) {
    struct kn_wall from = {INT64_MIN};
    int64_t retention_ns = stream->settings.retention_ns;
    /* What a wrong clock makes old is not hidden either. */
    bool ages = retention_ns != FRAG_RETAIN_FOREVER && !frag_janitor_clock_in_doubt(stream->store);
    if (ages && __builtin_sub_overflow(now.ns, retention_ns, &from.ns)) {
        from.ns = INT64_MIN;
    }
    return stream->held && stream->held_from.ns < from.ns ? stream->held_from : from;
}

/* ---- passes ---- */

static int64_t soon_ns(const struct frag_janitor *janitor) {
    bool won = !janitor->passed || janitor->memory.deleted > 0;
    return won ? PASS_AGAIN_NS : PASS_IN_VAIN_NS;
}

static int run_pass(struct frag_janitor *janitor) {
    const struct kn_clock *clock = janitor->store->clock;
    int rc = frag_retention_pass(janitor->store, &janitor->memory);
    janitor->passed = true;
    janitor->passed_at = clock->mono(clock);
    return rc;
}

/* ---- the thread ---- */

static struct timespec deadline_after(int64_t wait_ns) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with this clock */
    int64_t ns = now.tv_nsec + wait_ns;
    return (struct timespec){.tv_sec = now.tv_sec + ns / KN_NS_PER_S, .tv_nsec = ns % KN_NS_PER_S};
}

/* The lock is held. Real time passes between passes, whatever the store's clock says. */
static void wait_for_work(struct frag_janitor *janitor) {
    struct timespec soon = deadline_after(soon_ns(janitor));
    struct timespec late = deadline_after(PASS_EVERY_NS);
    bool waited = false; /* as long as passes must be apart */
    int rc = 0;
    while (!janitor->ending && janitor->wanted == janitor->done && !(janitor->due && waited) &&
           rc == 0) {
        rc = pthread_cond_timedwait(&janitor->changed, &janitor->lock, waited ? &late : &soon);
        if (rc == ETIMEDOUT && !waited) {
            waited = true;
            rc = 0;
        }
    }
}

static void *janitor_main(void *user) {
    struct frag_janitor *janitor = user;
    (void)pthread_mutex_lock(&janitor->lock);
    for (;;) {
        wait_for_work(janitor);
        if (janitor->ending) {
            break;
        }
        uint64_t wanted = janitor->wanted;
        janitor->due = false;
        (void)pthread_mutex_unlock(&janitor->lock);
        int rc = run_pass(janitor);
        (void)pthread_mutex_lock(&janitor->lock);
        janitor->result = rc;
        janitor->done = wanted;
        (void)pthread_cond_broadcast(&janitor->changed);
    }
    (void)pthread_mutex_unlock(&janitor->lock);
    return NULL;
}

/* ---- life ---- */

/* Before anything is recorded with a wrong clock, which would then look right. */
static int look_at_clock(struct frag_store *store) {
    struct kn_wall now = store->clock->wall(store->clock);
    struct frag_gathering gathering;
    enum frag_doubt doubt = FRAG_DOUBT_NONE;
    int rc = frag_gather_begin(store, now, now, false, &gathering);
    if (rc < 0) {
        return rc;
    }
    rc = frag_janitor_doubt(&gathering, true, &doubt);
    frag_gather_finish(&gathering);
    return rc;
}

int frag_janitor_create(struct frag_store *store, bool clock_confirmed) {
    struct frag_janitor *janitor = calloc(1, sizeof(*janitor));
    pthread_condattr_t attributes;
    if (janitor == NULL) {
        return -ENOMEM;
    }
    (void)pthread_mutex_init(&janitor->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&janitor->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    janitor->store = store;
    janitor->due = true;
    janitor->confirmed = clock_confirmed;
    set_right(janitor);
    store->janitor = janitor;
    return look_at_clock(store);
}

int frag_janitor_start(struct frag_store *store) {
    struct frag_janitor *janitor = store->janitor;
    if (!store->threads) {
        return 0;
    }
    int rc = -pthread_create(&janitor->thread, NULL, janitor_main, janitor);
    if (rc == 0) {
        janitor->started = true;
        (void)pthread_setname_np(janitor->thread, "kn-janitor");
    }
    return rc;
}

void frag_janitor_stop(struct frag_store *store) {
    struct frag_janitor *janitor = store->janitor;
    if (janitor == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&janitor->lock);
    janitor->ending = true;
    atomic_store(&janitor->memory.stop, true);
    (void)pthread_cond_broadcast(&janitor->changed);
    (void)pthread_mutex_unlock(&janitor->lock);
    if (janitor->started) {
        (void)pthread_join(janitor->thread, NULL);
        janitor->started = false;
    }
}

void frag_janitor_destroy(struct frag_janitor *janitor) {
    if (janitor == NULL) {
        return;
    }
    frag_pass_memory_finish(&janitor->memory);
    (void)pthread_cond_destroy(&janitor->changed);
    (void)pthread_mutex_destroy(&janitor->lock);
    free(janitor);
}

/* ---- when ---- */

void frag_janitor_wake(struct frag_store *store) {
    struct frag_janitor *janitor = store->janitor;
    if (janitor == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&janitor->lock);
    janitor->due = true;
    (void)pthread_cond_broadcast(&janitor->changed);
    (void)pthread_mutex_unlock(&janitor->lock);
}

void frag_janitor_pass_if_due(struct frag_store *store) {
    struct frag_janitor *janitor = store->janitor;
    if (janitor == NULL || store->threads) {
        return;
    }
    int64_t since_ns = store->clock->mono(store->clock).ns - janitor->passed_at.ns;
    (void)pthread_mutex_lock(&janitor->lock);
    bool now = (janitor->due && (!janitor->passed || since_ns >= soon_ns(janitor))) ||
               (janitor->passed && since_ns >= PASS_EVERY_NS);
    janitor->due = janitor->due && !now;
    (void)pthread_mutex_unlock(&janitor->lock);
    if (now) {
        (void)run_pass(janitor); /* what fails is logged and tried again */
    }
}

int frag_retention_run(struct frag_store *store) {
    struct frag_janitor *janitor = store->janitor;
    if (store->mode == FRAG_STORE_READ) {
        return -EROFS;
    }
    if (!store->threads) {
        return run_pass(janitor);
    }
    (void)pthread_mutex_lock(&janitor->lock);
    uint64_t wanted = ++janitor->wanted;
    (void)pthread_cond_broadcast(&janitor->changed);
    while (janitor->done < wanted && !janitor->ending) {
        (void)pthread_cond_wait(&janitor->changed, &janitor->lock);
    }
    int rc = janitor->done < wanted ? KN_E_CLOSED : janitor->result;
    (void)pthread_mutex_unlock(&janitor->lock);
    return rc;
}
