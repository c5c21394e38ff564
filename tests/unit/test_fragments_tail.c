#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/loop.h"
#include "base/queue.h"
#include "fragments/tail.h"
#include "tests/support/aborts.h"
#include "tests/support/fail_alloc.h"

/* ---- material ---- */

static struct kn_tracks *tracks;
/* Buffers made and released: as many at the end of each test. */
static atomic_uint made, released;

static int make_tracks(void **state) {
    (void)state;
    const struct kn_track track = {.number = 1, .media = KN_MEDIA_VIDEO};
    return kn_tracks_create(&track, 1, &tracks);
}

static int drop_tracks(void **state) {
    (void)state;
    kn_tracks_unref(tracks);
    return 0;
}

static int all_is_released(void **state) {
    (void)state;
    unsigned out = atomic_exchange(&made, 0), back = atomic_exchange(&released, 0);
    return out == back ? 0 : -1;
}

static void count_release(void *user) {
    (void)user;
    atomic_fetch_add(&released, 1);
}

static struct kn_sample make_sample(void) {
    static const uint8_t bytes[4];
    struct kn_sample sample = {.data = bytes, .size = sizeof(bytes)};
    int rc = kn_buffer_wrap(NULL, bytes, sizeof(bytes), count_release, NULL, &sample.buffer);
    KN_ASSERT(rc == 0);
    atomic_fetch_add(&made, 1);
    return sample;
}

static struct frag_number numbered(uint64_t sequence) {
    return (struct frag_number){.sequence = sequence};
}

/* With one sample; sealed. */
static struct frag_fragment *make_fragment(uint64_t sequence) {
    const struct frag_fragment_start start = {.number = numbered(sequence)};
    struct frag_fragment *fragment = NULL;
    int rc = frag_fragment_create(&start, tracks, &fragment);
    KN_ASSERT(rc == 0);
    struct kn_sample sample = make_sample();
    rc = frag_fragment_add(fragment, &sample);
    KN_ASSERT(rc == 0);
    kn_sample_unref(&sample);
    frag_fragment_seal(fragment, 1);
    return fragment;
}

static struct frag_tail *make_tail(size_t max_fragments, size_t max_subscribers) {
    const struct frag_tail_config config = {.max_fragments = max_fragments,
                                            .max_subscribers = max_subscribers};
    struct frag_tail *tail = NULL;
    assert_int_equal(frag_tail_create(&config, &tail), 0);
    return tail;
}

static struct kn_loop *make_loop(void) {
    struct kn_loop_config config = kn_loop_config_defaults();
    struct kn_loop *loop = NULL;
    assert_int_equal(kn_loop_create(&config, &loop), 0);
    return loop;
}

static void start(struct kn_loop *loop) {
    assert_int_equal(kn_loop_start(loop), 0);
}

static void nothing(void *user, int status) {
    (void)user;
    (void)status;
}

/* Two tasks further every inbox that was ready has had its turn; more turns for more events. */
static void let_run(struct kn_loop *loop) {
    for (int i = 0; i < 16; i++) {
        assert_int_equal(kn_loop_call(loop, nothing, NULL), 0);
    }
}

static void publish_fragment(struct frag_tail *tail, struct frag_fragment *fragment) {
    assert_int_equal(frag_tail_publish_fragment(tail, fragment), 0);
}

static int publish_sample(struct frag_tail *tail, uint64_t sequence) {
    struct kn_sample sample = make_sample();
    int rc =
        frag_tail_publish_sample(tail, numbered(sequence), (struct kn_wall){7}, tracks, &sample);
    kn_sample_unref(&sample);
    return rc;
}

/* Gaps count events where only their number matters. */
static int publish_count(struct frag_tail *tail, int64_t count) {
    const struct frag_gap gap = {.from = {.ns = count}, .to = {.ns = count}};
    return frag_tail_publish_gap(tail, &gap, false);
}

/* ---- a subscriber that writes down what it hears ---- */

struct heard {
    enum frag_tail_kind kind;
    uint64_t sequence;
    int error;
    uint64_t missed;
    struct frag_gap gap;
};

struct listener {
    bool only_new;
    struct frag_subscription *subscription;
    struct kn_loop *loop;
    struct heard heard[128]; /* the first ones */
    size_t count;
    unsigned closed;
    bool off_thread;      /* a callback came on another thread */
    size_t leave_at;      /* unsubscribes from inside this event; 0: never */
    struct kn_loop *stop; /* stopped from inside the first event */
    bool kept;
    struct frag_number oldest;
};

static void write_down(const struct frag_tail_event *event, void *user) {
    struct listener *listener = user;
    listener->off_thread |= !kn_loop_is_current(listener->loop);
    if (listener->count < KN_COUNT(listener->heard)) {
        listener->heard[listener->count] = (struct heard){
            .kind = event->kind,
            .sequence = event->number.sequence,
            .error = event->error,
            .missed = event->missed,
            .gap = event->gap,
        };
    }
    listener->count++;
    if (listener->count == listener->leave_at) {
        frag_tail_unsubscribe(listener->subscription);
        frag_tail_unsubscribe(listener->subscription);
    }
    if (listener->stop != NULL) {
        kn_loop_stop(listener->stop);
    }
}

static void note_closed(void *user) {
    struct listener *listener = user;
    listener->off_thread |= !kn_loop_is_current(listener->loop);
    listener->closed++;
}

static int try_subscribe(struct frag_tail *tail, struct kn_loop *loop, struct listener *listener,
                         bool samples, size_t max_events) {
    listener->loop = loop;
    const struct frag_subscription_config config = {
        .samples = samples,
        .only_new = listener->only_new,
        .max_events = max_events,
        .handle_event = write_down,
        .handle_closed = note_closed,
        .user = listener,
    };
    return frag_tail_subscribe(tail, loop, &config, &listener->kept, &listener->oldest,
                               &listener->subscription);
}

/* On loops that have not started yet: nobody reads until they do. */
static void subscribe(struct frag_tail *tail, struct kn_loop *loop, struct listener *listener,
                      bool samples, size_t max_events) {
    assert_int_equal(try_subscribe(tail, loop, listener, samples, max_events), 0);
}

static void unsubscribe_task(void *user, int status) {
    (void)status;
    frag_tail_unsubscribe(((struct listener *)user)->subscription);
}

static void unsubscribe(struct listener *listener) {
    assert_int_equal(kn_loop_call(listener->loop, unsubscribe_task, listener), 0);
}

static void assert_heard(const struct listener *listener, const struct heard *expected,
                         size_t count) {
    assert_int_equal(listener->count, count);
    assert_false(listener->off_thread);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(listener->heard[i].kind, expected[i].kind);
        assert_int_equal(listener->heard[i].sequence, expected[i].sequence);
        assert_int_equal(listener->heard[i].error, expected[i].error);
        assert_int_equal(listener->heard[i].missed, expected[i].missed);
    }
}

#define ASSERT_HEARD(listener, ...)                                                                \
    assert_heard(&(listener), (const struct heard[]){__VA_ARGS__},                                 \
                 KN_COUNT(((const struct heard[]){__VA_ARGS__})))
#define SAMPLE(n)                                                                                  \
    { .kind = FRAG_TAIL_SAMPLE, .sequence = (n) }
#define FRAGMENT(n)                                                                                \
    { .kind = FRAG_TAIL_FRAGMENT, .sequence = (n) }
#define DURABLE(n)                                                                                 \
    { .kind = FRAG_TAIL_DURABLE, .sequence = (n) }
#define FAILED(n, e)                                                                               \
    { .kind = FRAG_TAIL_FAILED, .sequence = (n), .error = (e) }
#define MISSED(n)                                                                                  \
    { .kind = FRAG_TAIL_MISSED, .missed = (n) }

/* ---- what a subscriber hears ---- */

static void events_come_in_order(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(8, 8);
    struct kn_loop *loop = make_loop();
    struct listener all = {0}, most = {0};
    subscribe(tail, loop, &all, true, 0);
    subscribe(tail, loop, &most, false, 0);
    assert_false(all.kept);
    start(loop);
    assert_int_equal(publish_sample(tail, 1), 0);
    assert_int_equal(publish_sample(tail, 1), 0);
    struct frag_fragment *first = make_fragment(1), *second = make_fragment(2);
    publish_fragment(tail, first);
    assert_int_equal(publish_sample(tail, 2), 0);
    frag_tail_settle(tail, first, 0);
    publish_fragment(tail, second);
    frag_tail_settle(tail, second, -EIO);
    assert_int_equal(frag_fragment_state(first), FRAG_DURABLE);
    assert_int_equal(frag_fragment_state(second), FRAG_FAILED);
    frag_fragment_unref(first);
    frag_fragment_unref(second);
    let_run(loop);
    kn_loop_destroy(loop);
    ASSERT_HEARD(all, SAMPLE(1), SAMPLE(1), FRAGMENT(1), SAMPLE(2), DURABLE(1), FRAGMENT(2),
                 FAILED(2, -EIO));
    ASSERT_HEARD(most, FRAGMENT(1), DURABLE(1), FRAGMENT(2), FAILED(2, -EIO));
    frag_tail_destroy(tail);
}

static void gaps_are_told(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(1, 1);
    struct kn_loop *loop = make_loop();
    struct listener listener = {0};
    subscribe(tail, loop, &listener, false, 0);
    start(loop);
    const struct frag_gap open = {.from = {5}, .to = {5}, .cause = FRAG_GAP_DISK_FULL};
    const struct frag_gap ended = {.from = {5}, .to = {9}, .cause = FRAG_GAP_DISK_FULL};
    assert_int_equal(frag_tail_publish_gap(tail, &open, true), 0);
    assert_int_equal(frag_tail_publish_gap(tail, &ended, false), 0);
    let_run(loop);
    kn_loop_destroy(loop);
    assert_int_equal(listener.count, 2);
    assert_int_equal(listener.heard[0].kind, FRAG_TAIL_GAP_OPEN);
    assert_int_equal(listener.heard[1].kind, FRAG_TAIL_GAP_CLOSE);
    assert_true(listener.heard[1].gap.from.ns == 5 && listener.heard[1].gap.to.ns == 9);
    assert_int_equal(listener.heard[1].gap.cause, FRAG_GAP_DISK_FULL);
    frag_tail_destroy(tail);
}

static void samples_cost_nothing_unless_wanted(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(1, 3);
    struct kn_loop *loop = make_loop();
    struct listener most = {0}, all = {0};
    subscribe(tail, loop, &most, false, 0);
    struct kn_sample sample = make_sample();
    fail_alloc_always();
    int rc = frag_tail_publish_sample(tail, numbered(1), (struct kn_wall){7}, tracks, &sample);
    fail_alloc_stop();
    assert_int_equal(rc, 0);
    assert_int_equal(fail_alloc_count(), 0);
    subscribe(tail, loop, &all, true, 0);
    assert_int_equal(
        frag_tail_publish_sample(tail, numbered(2), (struct kn_wall){7}, tracks, &sample), 0);
    frag_tail_unsubscribe(all.subscription);
    fail_alloc_always();
    rc = frag_tail_publish_sample(tail, numbered(3), (struct kn_wall){7}, tracks, &sample);
    fail_alloc_stop();
    assert_int_equal(rc, 0);
    assert_int_equal(fail_alloc_count(), 0);
    kn_sample_unref(&sample);
    start(loop);
    let_run(loop);
    kn_loop_destroy(loop);
    assert_int_equal(most.count, 0);
    assert_int_equal(all.count, 0);
    frag_tail_destroy(tail);
}

/* ---- joining ---- */

static void who_joins_hears_what_is_kept_first(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(4, 4);
    struct kn_loop *loop = make_loop();
    struct frag_fragment *fragments[6];
    for (uint64_t i = 0; i < 6; i++) {
        fragments[i] = make_fragment(10 + i);
    }
    for (size_t i = 0; i < 4; i++) {
        publish_fragment(tail, fragments[i]);
    }
    frag_tail_settle(tail, fragments[0], 0);
    frag_tail_settle(tail, fragments[1], 0);
    frag_tail_settle(tail, fragments[2], -EIO); /* leaves */
    frag_tail_forget(tail, numbered(10));
    struct listener listener = {0};
    /* Less room than what is kept, which is besides. */
    subscribe(tail, loop, &listener, false, 4);
    assert_true(listener.kept);
    assert_int_equal(listener.oldest.sequence, 11);
    publish_fragment(tail, fragments[4]);
    frag_tail_settle(tail, fragments[3], 0);
    frag_tail_forget(tail, numbered(13));
    publish_fragment(tail, fragments[5]);
    struct listener late = {0};
    subscribe(tail, loop, &late, false, 1);
    assert_int_equal(late.oldest.sequence, 14);
    start(loop);
    let_run(loop);
    frag_tail_settle(tail, fragments[4], 0);
    let_run(loop);
    kn_loop_destroy(loop);
    ASSERT_HEARD(listener, FRAGMENT(11), DURABLE(11), FRAGMENT(13), FRAGMENT(14), DURABLE(13),
                 FRAGMENT(15), DURABLE(14));
    ASSERT_HEARD(late, FRAGMENT(14), FRAGMENT(15), DURABLE(14));
    for (size_t i = 0; i < 6; i++) {
        frag_fragment_unref(fragments[i]);
    }
    frag_tail_destroy(tail);
}

static void what_is_kept_is_told_without_news(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(4, 4);
    struct kn_loop *loop = make_loop();
    struct frag_fragment *fragment = make_fragment(1);
    publish_fragment(tail, fragment);
    frag_fragment_unref(fragment);
    struct listener listener = {0};
    subscribe(tail, loop, &listener, false, 0);
    start(loop);
    let_run(loop);
    kn_loop_destroy(loop);
    ASSERT_HEARD(listener, FRAGMENT(1));
    frag_tail_destroy(tail);
}

/* Row and settling may be reported by two threads, in either order. */
static void forgetting_waits_for_settling(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(2, 4);
    struct kn_loop *loop = make_loop();
    struct listener early = {0}, between = {0}, late = {0};
    struct frag_fragment *fragment = make_fragment(1), *second = make_fragment(2);
    subscribe(tail, loop, &early, false, 0);
    publish_fragment(tail, fragment);
    publish_fragment(tail, second);
    frag_tail_settle(tail, second, 0);
    frag_tail_forget(tail, numbered(2));
    subscribe(tail, loop, &between, false, 0);
    assert_true(between.kept);
    assert_int_equal(between.oldest.sequence, 1);
    frag_tail_settle(tail, fragment, 0);
    subscribe(tail, loop, &late, false, 0);
    assert_false(late.kept);
    frag_tail_forget(tail, numbered(2));
    start(loop);
    let_run(loop);
    kn_loop_destroy(loop);
    ASSERT_HEARD(early, FRAGMENT(1), FRAGMENT(2), DURABLE(2), DURABLE(1));
    ASSERT_HEARD(between, FRAGMENT(1), DURABLE(1));
    assert_int_equal(late.count, 0);
    frag_fragment_unref(fragment);
    frag_fragment_unref(second);
    frag_tail_destroy(tail);
}

/* ---- limits ---- */

static void kept_fragments_are_limited(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(2, 1);
    struct kn_loop *loop = make_loop();
    struct listener listener = {0};
    subscribe(tail, loop, &listener, false, 0);
    struct frag_fragment *fragments[5];
    for (uint64_t i = 0; i < 5; i++) {
        fragments[i] = make_fragment(i + 1);
    }
    publish_fragment(tail, fragments[0]);
    publish_fragment(tail, fragments[1]);
    assert_int_equal(frag_tail_publish_fragment(tail, fragments[2]), KN_E_LIMIT);
    /* Nobody heard of it, so nobody hears how it ends. */
    frag_tail_settle(tail, fragments[2], -EBUSY);
    assert_int_equal(frag_fragment_error(fragments[2]), -EBUSY);
    frag_tail_settle(tail, fragments[1], -EIO);
    publish_fragment(tail, fragments[3]);
    frag_tail_settle(tail, fragments[0], 0);
    assert_int_equal(frag_tail_publish_fragment(tail, fragments[4]), KN_E_LIMIT);
    frag_tail_forget(tail, numbered(1));
    publish_fragment(tail, fragments[4]);
    start(loop);
    let_run(loop);
    kn_loop_destroy(loop);
    ASSERT_HEARD(listener, FRAGMENT(1), FRAGMENT(2), FAILED(2, -EIO), FRAGMENT(4), DURABLE(1),
                 FRAGMENT(5));
    for (size_t i = 0; i < 5; i++) {
        frag_fragment_unref(fragments[i]);
    }
    frag_tail_destroy(tail);
}

static void subscribers_are_limited(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(1, 2);
    struct kn_loop *loop = make_loop();
    struct listener listeners[3] = {{.count = 0}};
    subscribe(tail, loop, &listeners[0], false, 0);
    subscribe(tail, loop, &listeners[1], false, 0);
    assert_int_equal(try_subscribe(tail, loop, &listeners[2], false, 0), KN_E_LIMIT);
    /* Also where memory is short: its place is free at once. */
    fail_alloc_always();
    frag_tail_unsubscribe(listeners[0].subscription);
    fail_alloc_stop();
    subscribe(tail, loop, &listeners[2], false, 0);
    assert_int_equal(publish_count(tail, 1), 0);
    start(loop);
    let_run(loop);
    assert_int_equal(listeners[0].closed, 1);
    kn_loop_destroy(loop);
    assert_int_equal(listeners[0].count, 0);
    assert_int_equal(listeners[1].count, 1);
    assert_int_equal(listeners[2].count, 1);
    frag_tail_destroy(tail);
}

static void defaults_are_as_said(void **state) {
    (void)state;
    struct frag_tail_config config = frag_tail_config_defaults();
    assert_int_equal(config.max_fragments, 64);
    assert_int_equal(config.max_subscribers, 256);
    struct frag_tail *tail = make_tail(config.max_fragments, config.max_subscribers);
    struct kn_loop *loop = make_loop();
    struct listener listener = {0};
    subscribe(tail, loop, &listener, false, 0);
    for (int i = 0; i < 600; i++) {
        assert_int_equal(publish_count(tail, i), 0);
    }
    start(loop);
    let_run(loop);
    kn_loop_destroy(loop);
    assert_int_equal(listener.count, 513);
    assert_int_equal(listener.heard[0].kind, FRAG_TAIL_MISSED);
    assert_int_equal(listener.heard[0].missed, 600 - 512);
    frag_tail_destroy(tail);
}

/* ---- slow subscribers ---- */

/* Counts gaps, and publishes more of them from inside its own events. */
struct counter {
    struct frag_tail *tail;
    struct frag_subscription *subscription;
    int64_t next;      /* the count that has to come */
    int64_t published; /* so far, by anybody */
    int64_t until;     /* publishes as long as fewer are */
    int64_t burst;     /* how many at once */
    unsigned wrong, misses;
};

static void count_on(const struct frag_tail_event *event, void *user) {
    struct counter *counter = user;
    if (event->kind == FRAG_TAIL_MISSED) {
        counter->wrong += event->missed == 0;
        counter->next += (int64_t)event->missed;
        counter->misses++;
    } else {
        counter->wrong += event->gap.from.ns != counter->next;
        counter->next = event->gap.from.ns + 1;
    }
    for (int64_t i = 0; i < counter->burst && counter->published < counter->until; i++) {
        counter->wrong += publish_count(counter->tail, counter->published++) != 0;
    }
}

/* MISSED stands where the hole is, wherever the reader is at the moment of the loss. */
static void what_is_missed_is_counted_in_its_place(void **state) {
    (void)state;
    for (int64_t burst = 1; burst <= 130; burst += 3) {
        struct counter counter = {.until = 2000, .burst = burst};
        counter.tail = make_tail(1, 1);
        struct kn_loop *loop = make_loop();
        const struct frag_subscription_config config = {
            .max_events = 100, .handle_event = count_on, .user = &counter};
        bool kept;
        struct frag_number oldest;
        assert_int_equal(
            frag_tail_subscribe(counter.tail, loop, &config, &kept, &oldest, &counter.subscription),
            0);
        while (counter.published < 150) {
            assert_int_equal(publish_count(counter.tail, counter.published++), 0);
        }
        start(loop);
        let_run(loop);
        kn_loop_destroy(loop);
        assert_int_equal(counter.wrong, 0);
        assert_true(counter.misses >= 1);
        assert_true(counter.next == counter.published);
        frag_tail_destroy(counter.tail);
    }
}

static void a_slow_subscriber_holds_up_nobody(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(64, 2);
    struct kn_loop *slow_loop = make_loop(), *loop = make_loop();
    struct listener slow = {0}, quick = {0};
    subscribe(tail, slow_loop, &slow, false, 3);
    subscribe(tail, loop, &quick, false, 0);
    start(loop);
    for (uint64_t i = 1; i <= 20; i++) {
        struct frag_fragment *fragment = make_fragment(i);
        publish_fragment(tail, fragment);
        frag_tail_settle(tail, fragment, 0);
        frag_fragment_unref(fragment);
    }
    let_run(loop);
    assert_int_equal(quick.count, 40);
    start(slow_loop);
    let_run(slow_loop);
    kn_loop_destroy(slow_loop);
    kn_loop_destroy(loop);
    ASSERT_HEARD(slow, MISSED(37), DURABLE(19), FRAGMENT(20), DURABLE(20));
    frag_tail_destroy(tail);
}

/* ---- ends ---- */

static void nothing_comes_after_unsubscribing(void **state) {
    (void)state;
    for (size_t at = 1; at <= 4; at++) {
        struct frag_tail *tail = make_tail(4, 1);
        struct kn_loop *loop = make_loop();
        struct frag_fragment *fragment = make_fragment(1);
        publish_fragment(tail, fragment);
        frag_tail_settle(tail, fragment, 0);
        frag_fragment_unref(fragment);
        /* From inside what was kept, and what is new. */
        struct listener listener = {.leave_at = at};
        subscribe(tail, loop, &listener, true, 0);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(publish_sample(tail, 2), 0);
        }
        start(loop);
        let_run(loop);
        assert_int_equal(publish_sample(tail, 2), 0);
        let_run(loop);
        assert_int_equal(listener.count, at);
        assert_int_equal(listener.closed, 1);
        assert_false(listener.off_thread);
        kn_loop_destroy(loop);
        assert_int_equal(listener.closed, 1);
        frag_tail_destroy(tail);
    }
}

static void only_what_is_new_and_the_end(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(4, 1);
    struct kn_loop *loop = make_loop();
    struct frag_fragment *kept = make_fragment(1);
    struct frag_fragment *new = make_fragment(2);
    publish_fragment(tail, kept);
    struct listener listener = {.only_new = true};
    subscribe(tail, loop, &listener, true, 0);
    assert_true(listener.kept);
    assert_int_equal(listener.oldest.sequence, 1);
    start(loop);
    let_run(loop);
    assert_int_equal(listener.count, 0);
    frag_tail_settle(tail, kept, 0); /* what comes of it is new */
    assert_int_equal(publish_sample(tail, 2), 0);
    publish_fragment(tail, new);
    assert_int_equal(frag_tail_publish_end(tail), 0);
    let_run(loop);
    const struct heard expected[] = {{.kind = FRAG_TAIL_DURABLE, .sequence = 1},
                                     {.kind = FRAG_TAIL_SAMPLE, .sequence = 2},
                                     {.kind = FRAG_TAIL_FRAGMENT, .sequence = 2},
                                     {.kind = FRAG_TAIL_END}};
    assert_heard(&listener, expected, KN_COUNT(expected));
    unsubscribe(&listener);
    kn_loop_destroy(loop);
    frag_tail_settle(tail, new, 0);
    frag_fragment_unref(kept);
    frag_fragment_unref(new);
    frag_tail_destroy(tail);
}

static void unsubscribing_from_outside_an_event(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(4, 1);
    struct kn_loop *loop = make_loop();
    struct listener listener = {0};
    subscribe(tail, loop, &listener, true, 0);
    start(loop);
    assert_int_equal(publish_sample(tail, 1), 0);
    let_run(loop);
    unsubscribe(&listener);
    assert_int_equal(publish_sample(tail, 1), 0);
    let_run(loop);
    assert_int_equal(listener.count, 1);
    assert_int_equal(listener.closed, 1);
    kn_loop_destroy(loop);
    frag_tail_unsubscribe(NULL);
    frag_tail_destroy(tail);
    frag_tail_destroy(NULL);
}

static void a_loop_that_ends_closes_its_subscriptions(void **state) {
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct frag_tail *tail = make_tail(4, 4);
        struct kn_loop *loop = make_loop();
        struct frag_fragment *fragment = make_fragment(1);
        publish_fragment(tail, fragment);
        struct listener listeners[3] = {{.count = 0}};
        for (size_t i = 0; i < 3; i++) {
            subscribe(tail, loop, &listeners[i], true, 0);
        }
        assert_int_equal(publish_sample(tail, 2), 0);
        if (round > 0) {
            listeners[0].stop = round == 2 ? loop : NULL;
            start(loop);
        }
        kn_loop_destroy(loop);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(listeners[i].closed, 1);
            assert_false(listeners[i].off_thread);
        }
        /* The tail goes on, its places are free. */
        loop = make_loop();
        struct listener more[4] = {{.count = 0}};
        for (size_t i = 0; i < 4; i++) {
            subscribe(tail, loop, &more[i], true, 0);
        }
        frag_tail_settle(tail, fragment, 0);
        frag_fragment_unref(fragment);
        start(loop);
        let_run(loop);
        ASSERT_HEARD(more[3], FRAGMENT(1), DURABLE(1));
        kn_loop_destroy(loop);
        frag_tail_destroy(tail);
    }
}

struct late_subscriber {
    struct frag_tail *tail;
    struct listener listener;
    int rc;
};

static void subscribe_late(void *user, int status) {
    struct late_subscriber *late = user;
    assert_int_equal(status, KN_E_CLOSED);
    late->rc = try_subscribe(late->tail, late->listener.loop, &late->listener, true, 0);
}

/* Subscribing from a cancelled task, or from handle_closed: the subscription is closed at once, or
 * refused. */
static void an_ending_loop_takes_nobody(void **state) {
    (void)state;
    struct late_subscriber late = {.tail = make_tail(1, 1), .rc = 1};
    late.listener.loop = make_loop();
    assert_int_equal(kn_loop_post(late.listener.loop, subscribe_late, &late), 0);
    kn_loop_destroy(late.listener.loop);
    assert_true(late.rc == 0 || late.rc == KN_E_CLOSED);
    assert_int_equal(late.listener.closed, late.rc == 0 ? 1 : 0);
    struct kn_loop *loop = make_loop();
    struct listener listener = {0};
    subscribe(late.tail, loop, &listener, false, 0);
    kn_loop_destroy(loop);
    frag_tail_destroy(late.tail);
}

static void subscriptions_outlive_their_tail(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(4, 4);
    struct kn_loop *loop = make_loop();
    struct frag_fragment *fragment = make_fragment(1);
    publish_fragment(tail, fragment);
    frag_fragment_unref(fragment);
    struct listener listeners[2] = {{.count = 0}};
    subscribe(tail, loop, &listeners[0], true, 0);
    subscribe(tail, loop, &listeners[1], true, 0);
    assert_int_equal(publish_sample(tail, 2), 0);
    frag_tail_destroy(tail);
    start(loop);
    let_run(loop);
    ASSERT_HEARD(listeners[0], FRAGMENT(1), SAMPLE(2));
    unsubscribe(&listeners[0]);
    let_run(loop);
    assert_int_equal(listeners[0].closed, 1);
    kn_loop_destroy(loop);
    assert_int_equal(listeners[1].closed, 1);
}

/* ---- out of memory ---- */

/* One life of a tail; the k-th allocation fails. False when there were fewer. */
static bool run_short_of_memory(unsigned long k) {
    struct kn_loop *loop = make_loop();
    struct frag_fragment *fragments[2] = {make_fragment(1), make_fragment(2)};
    struct kn_sample sample = make_sample();
    const struct frag_tail_config config = frag_tail_config_defaults();
    const struct frag_gap gap = {.from = {1}, .to = {1}};
    struct listener listeners[2] = {{.count = 0}};
    struct frag_tail *tail = NULL;
    int subscribed[2] = {1, 1}, taken[2] = {1, 1}, told[2] = {1, 1};

    fail_alloc_at(k);
    int rc = frag_tail_create(&config, &tail);
    if (rc == 0) {
        subscribed[0] = try_subscribe(tail, loop, &listeners[0], true, 0);
        taken[0] = frag_tail_publish_fragment(tail, fragments[0]);
        told[0] = frag_tail_publish_sample(tail, numbered(2), (struct kn_wall){7}, tracks, &sample);
        frag_tail_settle(tail, fragments[0], 0);
        subscribed[1] = try_subscribe(tail, loop, &listeners[1], false, 8);
        told[1] = frag_tail_publish_gap(tail, &gap, true);
        taken[1] = frag_tail_publish_fragment(tail, fragments[1]);
        frag_tail_settle(tail, fragments[1], -EIO);
        frag_tail_forget(tail, numbered(1));
        if (subscribed[1] == 0) {
            frag_tail_unsubscribe(listeners[1].subscription);
        }
    }
    bool reached = fail_alloc_count() >= k;
    fail_alloc_stop();

    start(loop);
    let_run(loop);
    kn_loop_destroy(loop);
    frag_tail_destroy(tail);
    kn_sample_unref(&sample);
    frag_fragment_unref(fragments[0]);
    frag_fragment_unref(fragments[1]);

    int failed = rc != 0;
    for (size_t i = 0; i < 2 && rc == 0; i++) {
        failed += (subscribed[i] != 0) + (taken[i] != 0) + (told[i] != 0);
        assert_true(subscribed[i] == 0 || subscribed[i] == -ENOMEM);
        assert_true(taken[i] == 0 || taken[i] == -ENOMEM);
        assert_true(told[i] == 0 || told[i] == -ENOMEM);
        assert_int_equal(listeners[i].closed, subscribed[i] == 0 ? 1 : 0);
    }
    assert_int_equal(failed, reached ? 1 : 0);
    assert_int_equal(listeners[1].count, 0);
    if (rc == 0 && subscribed[0] == 0) {
        /* FRAGMENT, SAMPLE, DURABLE, GAP_OPEN, FRAGMENT, FAILED; none lost silently. */
        assert_int_equal(listeners[0].count, 6 - (taken[0] ? 2 : 0) - (taken[1] ? 2 : 0));
        size_t misses = 0;
        for (size_t i = 0; i < listeners[0].count; i++) {
            misses += listeners[0].heard[i].missed;
        }
        assert_int_equal(misses, (told[0] ? 1 : 0) + (told[1] ? 1 : 0));
        size_t place = told[0] ? 1 : 3;
        assert_true(misses == 0 || listeners[0].heard[place].kind == FRAG_TAIL_MISSED);
    }
    return reached;
}

static void out_of_memory_is_an_ordinary_error(void **state) {
    (void)state;
    unsigned long k = 1;
    while (run_short_of_memory(k)) {
        k++;
    }
    assert_in_range(k, 10, 100);
}

static void without_memory_all_is_missed(void **state) {
    (void)state;
    struct frag_tail *tail = make_tail(1, 1);
    struct kn_loop *loop = make_loop();
    struct listener listener = {0};
    subscribe(tail, loop, &listener, true, 3);
    assert_int_equal(publish_count(tail, 0), 0);
    fail_alloc_always();
    int wrong = 0;
    for (int i = 0; i < 10; i++) {
        wrong += publish_count(tail, i) != -ENOMEM;
    }
    fail_alloc_stop();
    assert_int_equal(wrong, 0);
    start(loop);
    let_run(loop);
    /* It hears of it though nothing else comes. */
    ASSERT_HEARD(listener, MISSED(11));
    assert_int_equal(publish_count(tail, 1), 0);
    let_run(loop);
    kn_loop_destroy(loop);
    assert_int_equal(listener.count, 2);
    frag_tail_destroy(tail);
}

/* ---- wrong use ---- */

struct misuse {
    struct frag_tail *tail;
    struct frag_fragment *fragment;
};

static void publish_misused(void *user) {
    struct misuse *misuse = user;
    (void)frag_tail_publish_fragment(misuse->tail, misuse->fragment);
}

static void settle_misused(void *user) {
    struct misuse *misuse = user;
    frag_tail_settle(misuse->tail, misuse->fragment, 0);
}

static void wrong_use_stops_the_program(void **state) {
    (void)state;
    struct misuse misuse = {.tail = make_tail(4, 1)};
    const struct frag_fragment_start begun = {.number = numbered(1)};
    assert_int_equal(frag_fragment_create(&begun, tracks, &misuse.fragment), 0);
    assert_true(aborts(publish_misused, &misuse));
    assert_true(aborts(settle_misused, &misuse));
    frag_fragment_unref(misuse.fragment);

    struct frag_fragment *first = make_fragment(5);
    publish_fragment(misuse.tail, first);
    misuse.fragment = first;
    assert_true(aborts(publish_misused, &misuse)); /* twice */
    assert_false(aborts(settle_misused, &misuse));
    frag_tail_settle(misuse.tail, first, 0);
    assert_true(aborts(settle_misused, &misuse));
    frag_fragment_unref(first);

    misuse.fragment = make_fragment(4); /* below its predecessor */
    assert_true(aborts(publish_misused, &misuse));
    frag_fragment_unref(misuse.fragment);
    frag_tail_destroy(misuse.tail);
}

/* ---- a crowd: subscribers that come and go on three loops, while one thread publishes ---- */

#define LOOPS 3
#define SEATS 4 /* on each loop */
#define CROWD_FRAGMENTS 2000
#define CROWD_SAMPLES 2 /* of each fragment */
/* More than all events there are: whatever is missing is a fault. */
#define CROWD_EVENTS (CROWD_FRAGMENTS * (CROWD_SAMPLES + 2) + 1)
#define ON_DISK 16 /* waiting for the disk; with those at work always fewer than the tail keeps */

struct crowd {
    struct frag_tail *tail;
    struct kn_queue *disk;
    pthread_t publisher, writer;
    atomic_uint wrong;
    atomic_ulong indexed; /* rows up to this sequence */
    atomic_ulong lives;
};

/* One subscriber after the other; all on its loop's thread. */
struct seat {
    struct crowd *crowd;
    struct kn_loop *loop;
    struct seat *neighbour; /* on the same loop */
    struct frag_subscription *subscription;
    uint64_t seed;
    unsigned opened, closed;
    /* Of this life: */
    bool kept;
    struct frag_number oldest;
    uint64_t index_end;    /* the row after the last when it had joined */
    uint64_t next;         /* the fragment that has to come; 0: any */
    uint64_t next_durable; /* 0: none has come */
    int64_t next_sample;   /* -1: any */
    uint64_t told, leave_after;
};

static void check(struct seat *seat, bool right) {
    atomic_fetch_add(&seat->crowd->wrong, right ? 0 : 1);
}

static uint64_t next_random(struct seat *seat) {
    seat->seed = seat->seed * 6364136223846793005u + 1442695040888963407u;
    return seat->seed >> 33;
}

static void check_fragment(struct seat *seat, const struct frag_tail_event *event) {
    uint64_t sequence = event->number.sequence;
    check(seat, event->fragment->start.number.sequence == sequence);
    check(seat, event->fragment->sample_count == 1);
    if (seat->next == 0 && seat->kept) {
        check(seat, sequence == seat->oldest.sequence);
    } else if (seat->next == 0) {
        check(seat, sequence <= seat->index_end);
    } else {
        check(seat, sequence == seat->next);
    }
    seat->next = sequence + 1;
    if (seat->next_durable == 0) {
        seat->next_durable = sequence;
    }
}

static void check_sample(struct seat *seat, const struct frag_tail_event *event) {
    check(seat, seat->next_sample == -1 || event->sample.pts_ns == seat->next_sample);
    check(seat, seat->next == 0 || event->number.sequence == seat->next);
    check(seat, event->tracks == tracks);
    seat->next_sample = event->sample.pts_ns + 1;
}

static void check_event(const struct frag_tail_event *event, void *user) {
    struct seat *seat = user;
    check(seat, kn_loop_is_current(seat->loop));
    switch (event->kind) {
    case FRAG_TAIL_SAMPLE:
        check_sample(seat, event);
        break;
    case FRAG_TAIL_FRAGMENT:
        check_fragment(seat, event);
        break;
    case FRAG_TAIL_DURABLE:
        check(seat, event->number.sequence == seat->next_durable);
        check(seat, event->number.sequence < seat->next);
        check(seat, frag_fragment_state(event->fragment) == FRAG_DURABLE);
        seat->next_durable++;
        break;
    default:
        check(seat, false);
    }
    if (++seat->told == seat->leave_after) {
        struct seat *leaves = next_random(seat) % 4 == 0 ? seat->neighbour : seat;
        frag_tail_unsubscribe(leaves->subscription);
        leaves->subscription = NULL;
    }
}

static void sit_down(struct seat *seat);

static void stand_up(void *user) {
    struct seat *seat = user;
    check(seat, kn_loop_is_current(seat->loop));
    seat->closed++;
    atomic_fetch_add(&seat->crowd->lives, 1);
    sit_down(seat);
}

static void sit_down(struct seat *seat) {
    seat->next = seat->next_durable = seat->told = 0;
    seat->next_sample = -1;
    seat->leave_after = 1 + next_random(seat) % 60;
    seat->subscription = NULL;
    const struct frag_subscription_config config = {
        .samples = next_random(seat) % 2 == 0,
        .max_events = CROWD_EVENTS,
        .handle_event = check_event,
        .handle_closed = stand_up,
        .user = seat,
    };
    int rc = frag_tail_subscribe(seat->crowd->tail, seat->loop, &config, &seat->kept, &seat->oldest,
                                 &seat->subscription);
    seat->index_end = atomic_load(&seat->crowd->indexed) + 1;
    check(seat, rc == 0 || rc == KN_E_CLOSED);
    check(seat, rc != 0 || !seat->kept || seat->oldest.sequence <= seat->index_end);
    seat->opened += rc == 0;
}

static void sit_down_task(void *user, int status) {
    (void)status;
    sit_down(user);
}

static void discard_fragment(void *message, void *user) {
    (void)user;
    frag_fragment_unref(message);
}

static void *publish_crowd(void *user) {
    struct crowd *crowd = user;
    int64_t count = 0;
    for (uint64_t i = 1; i <= CROWD_FRAGMENTS; i++) {
        int rc = 0;
        for (int j = 0; j < CROWD_SAMPLES; j++) {
            struct kn_sample sample = make_sample();
            sample.pts_ns = count++;
            rc |= frag_tail_publish_sample(crowd->tail, numbered(i), (struct kn_wall){7}, tracks,
                                           &sample);
            kn_sample_unref(&sample);
        }
        struct frag_fragment *fragment = make_fragment(i);
        rc |= frag_tail_publish_fragment(crowd->tail, fragment);
        rc |= kn_queue_send(crowd->disk, fragment, 1);
        atomic_fetch_add(&crowd->wrong, rc != 0);
        (void)sched_yield(); /* gives the others their chance; the result does not matter */
    }
    kn_queue_close(crowd->disk);
    return NULL;
}

static void *write_crowd(void *user) {
    struct crowd *crowd = user;
    void *messages[ON_DISK];
    int count;
    while ((count = kn_queue_wait(crowd->disk, messages, KN_COUNT(messages))) > 0) {
        for (int i = 0; i < count; i++) {
            struct frag_fragment *fragment = messages[i];
            struct frag_number number = fragment->start.number;
            bool early = number.sequence % 3 == 0;
            if (early) {
                frag_tail_settle(crowd->tail, fragment, 0);
            }
            atomic_store(&crowd->indexed, number.sequence);
            frag_tail_forget(crowd->tail, number);
            if (!early) {
                frag_tail_settle(crowd->tail, fragment, 0);
            }
            frag_fragment_unref(fragment);
        }
    }
    return NULL;
}

static void open_crowd(struct crowd *crowd, struct kn_loop **loops, struct seat seats[][SEATS]) {
    *crowd = (struct crowd){.tail = make_tail(64, LOOPS * SEATS)};
    const struct kn_queue_config disk = {
        .max_messages = ON_DISK, .when_full = KN_QUEUE_WAIT, .discard = discard_fragment};
    assert_int_equal(kn_queue_create(&disk, &crowd->disk), 0);
    for (size_t i = 0; i < LOOPS; i++) {
        loops[i] = make_loop();
        start(loops[i]);
        for (size_t j = 0; j < SEATS; j++) {
            seats[i][j] = (struct seat){.crowd = crowd,
                                        .loop = loops[i],
                                        .neighbour = &seats[i][(j + 1) % SEATS],
                                        .seed = i * SEATS + j};
            assert_int_equal(kn_loop_call(loops[i], sit_down_task, &seats[i][j]), 0);
        }
    }
    assert_int_equal(pthread_create(&crowd->publisher, NULL, publish_crowd, crowd), 0);
    assert_int_equal(pthread_create(&crowd->writer, NULL, write_crowd, crowd), 0);
}

static void wait_for_publisher(struct crowd *crowd) {
    assert_int_equal(pthread_join(crowd->publisher, NULL), 0);
    assert_int_equal(pthread_join(crowd->writer, NULL), 0);
}

static void close_crowd(struct crowd *crowd, struct seat seats[][SEATS]) {
    for (size_t i = 0; i < LOOPS * SEATS; i++) {
        struct seat *seat = &seats[i / SEATS][i % SEATS];
        assert_int_equal(seat->opened, seat->closed);
    }
    assert_int_equal(crowd->wrong, 0);
    kn_queue_destroy(crowd->disk);
    frag_tail_destroy(crowd->tail);
}

static void a_crowd_hears_each_fragment_once(void **state) {
    (void)state;
    struct crowd crowd;
    struct kn_loop *loops[LOOPS];
    struct seat seats[LOOPS][SEATS];
    open_crowd(&crowd, loops, seats);
    wait_for_publisher(&crowd);
    for (size_t i = 0; i < LOOPS; i++) {
        for (int turns = 0; turns < CROWD_EVENTS * SEATS / 256; turns += 16) {
            let_run(loops[i]);
        }
        for (size_t j = 0; j < SEATS; j++) {
            /* Who came before the end has heard all of it. */
            struct seat *seat = &seats[i][j];
            assert_true(seat->next == 0 || seat->next == CROWD_FRAGMENTS + 1);
            assert_true(seat->next_durable == seat->next);
        }
    }
    assert_true(crowd.lives > LOOPS * SEATS);
    for (size_t i = 0; i < LOOPS; i++) {
        kn_loop_destroy(loops[i]);
    }
    close_crowd(&crowd, seats);
}

static void loops_end_while_others_publish(void **state) {
    (void)state;
    for (unsigned long round = 0; round < 2; round++) {
        struct crowd crowd;
        struct kn_loop *loops[LOOPS];
        struct seat seats[LOOPS][SEATS];
        open_crowd(&crowd, loops, seats);
        for (size_t i = 0; i < LOOPS; i++) {
            while (atomic_load(&crowd.indexed) < (i + 1) * CROWD_FRAGMENTS / (LOOPS + 1)) {
                (void)sched_yield(); /* until it has come that far, which is soon */
            }
            kn_loop_destroy(loops[i]);
        }
        wait_for_publisher(&crowd);
        close_crowd(&crowd, seats);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, all_is_released)
    const struct CMUnitTest tests[] = {
        TEST(events_come_in_order),
        TEST(gaps_are_told),
        TEST(samples_cost_nothing_unless_wanted),
        TEST(who_joins_hears_what_is_kept_first),
        TEST(what_is_kept_is_told_without_news),
        TEST(forgetting_waits_for_settling),
        TEST(kept_fragments_are_limited),
        TEST(subscribers_are_limited),
        TEST(defaults_are_as_said),
        TEST(what_is_missed_is_counted_in_its_place),
        TEST(a_slow_subscriber_holds_up_nobody),
        TEST(nothing_comes_after_unsubscribing),
        TEST(only_what_is_new_and_the_end),
        TEST(unsubscribing_from_outside_an_event),
        TEST(a_loop_that_ends_closes_its_subscriptions),
        TEST(an_ending_loop_takes_nobody),
        TEST(subscriptions_outlive_their_tail),
        TEST(out_of_memory_is_an_ordinary_error),
        TEST(without_memory_all_is_missed),
        TEST(wrong_use_stops_the_program),
        TEST(a_crowd_hears_each_fragment_once),
        TEST(loops_end_while_others_publish),
    };
    return cmocka_run_group_tests(tests, make_tracks, drop_tracks);
}
