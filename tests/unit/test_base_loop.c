#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
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
#include "tests/support/fail_alloc.h"

#define SENDERS 4
#define EACH 100000

static struct kn_loop *create(size_t max_tasks) {
    struct kn_loop_config config = kn_loop_config_defaults();
    config.name = "test";
    if (max_tasks != 0) {
        config.max_tasks = max_tasks;
    }
    struct kn_loop *loop = NULL;
    assert_int_equal(kn_loop_create(&config, &loop), 0);
    return loop;
}

static struct kn_loop *start(void) {
    struct kn_loop *loop = create(0);
    assert_int_equal(kn_loop_start(loop), 0);
    return loop;
}

/* ---- tasks ---- */

struct counts {
    struct kn_loop *loop;
    atomic_uint run, closed, elsewhere;
    char name[16];
};

static void count_task(void *user, int status) {
    struct counts *counts = user;
    atomic_fetch_add(status == 0 ? &counts->run : &counts->closed, 1);
    if (!kn_loop_is_current(counts->loop)) {
        atomic_fetch_add(&counts->elsewhere, 1);
    }
}

static void read_name(void *user, int status) {
    struct counts *counts = user;
    count_task(user, status);
    (void)pthread_getname_np(pthread_self(), counts->name, sizeof(counts->name));
}

static void nothing(void *user, int status) {
    (void)user;
    (void)status;
}

static void tasks_run_on_the_loop(void **state) {
    (void)state;
    struct counts counts = {.loop = start()};
    assert_false(kn_loop_is_current(counts.loop));
    for (int i = 0; i < 100; i++) {
        assert_int_equal(kn_loop_post(counts.loop, count_task, &counts), 0);
    }
    assert_int_equal(kn_loop_call(counts.loop, read_name, &counts), 0);
    /* In order: what was posted before the call has run. */
    assert_int_equal(counts.run, 101);
    assert_int_equal(counts.closed + counts.elsewhere, 0);
    assert_string_equal(counts.name, "test");
    kn_loop_destroy(counts.loop);
    kn_loop_destroy(NULL);
}

static void a_loop_that_never_ran_cancels_its_tasks(void **state) {
    (void)state;
    struct counts counts = {.loop = create(3)};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kn_loop_post(counts.loop, count_task, &counts), 0);
    }
    assert_int_equal(kn_loop_post(counts.loop, count_task, &counts), -EAGAIN);
    kn_loop_destroy(counts.loop);
    assert_int_equal(counts.run, 0);
    assert_int_equal(counts.closed, 3);
    assert_int_equal(counts.elsewhere, 0);
}

static void a_stopped_loop_takes_no_tasks(void **state) {
    (void)state;
    struct counts counts = {.loop = start()};
    kn_loop_stop(counts.loop);
    kn_loop_stop(counts.loop);
    assert_int_equal(kn_loop_post(counts.loop, count_task, &counts), KN_E_CLOSED);
    assert_int_equal(kn_loop_call(counts.loop, count_task, &counts), KN_E_CLOSED);
    kn_loop_destroy(counts.loop);
    assert_int_equal(counts.run + counts.closed, 0);

    counts.loop = create(0);
    kn_loop_stop(counts.loop);
    assert_int_equal(kn_loop_start(counts.loop), KN_E_CLOSED);
    assert_int_equal(kn_loop_call(counts.loop, count_task, &counts), KN_E_CLOSED);
    kn_loop_destroy(counts.loop);
    assert_int_equal(counts.run + counts.closed, 0);
}

static void stop_here(void *user, int status) {
    struct counts *counts = user;
    count_task(user, status);
    kn_loop_stop(counts->loop);
    /* Too late, and said so. */
    if (kn_loop_post(counts->loop, count_task, counts) != KN_E_CLOSED) {
        atomic_fetch_add(&counts->elsewhere, 1);
    }
}

static void a_task_may_stop_its_loop(void **state) {
    (void)state;
    struct counts counts = {.loop = create(0)};
    assert_int_equal(kn_loop_post(counts.loop, stop_here, &counts), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(kn_loop_post(counts.loop, count_task, &counts), 0);
    }
    assert_int_equal(kn_loop_start(counts.loop), 0);
    kn_loop_destroy(counts.loop);
    assert_int_equal(counts.run + counts.closed, 51);
    assert_int_equal(counts.elsewhere, 0);
}

struct poster {
    pthread_t thread;
    struct counts *counts;
    unsigned posted;
};

static void *post_until_closed(void *user) {
    struct poster *poster = user;
    for (;;) {
        int rc = kn_loop_post(poster->counts->loop, count_task, poster->counts);
        if (rc == KN_E_CLOSED) {
            return NULL;
        }
        if (rc == -EAGAIN) {
            (void)sched_yield();
            continue;
        }
        poster->posted++;
        if (atomic_load(&poster->counts->run) > 50000) {
            kn_loop_stop(poster->counts->loop);
        }
    }
}

static void every_task_is_run_or_cancelled_once(void **state) {
    (void)state;
    struct counts counts = {.loop = create(256)};
    struct poster posters[SENDERS];
    assert_int_equal(kn_loop_start(counts.loop), 0);
    for (int i = 0; i < SENDERS; i++) {
        posters[i] = (struct poster){.counts = &counts};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_until_closed, &posters[i]),
                         0);
    }
    unsigned posted = 0;
    for (int i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
        posted += posters[i].posted;
    }
    kn_loop_destroy(counts.loop);
    assert_int_equal(counts.run + counts.closed, posted);
    assert_int_equal(counts.elsewhere, 0);
}

static void *call_until_closed(void *user) {
    struct poster *poster = user;
    while (kn_loop_call(poster->counts->loop, count_task, poster->counts) == 0) {
        poster->posted++;
        if (poster->posted == 500) {
            kn_loop_stop(poster->counts->loop);
        }
    }
    return NULL;
}

static void calls_return_when_the_loop_ends(void **state) {
    (void)state;
    struct counts counts = {.loop = start()};
    struct poster posters[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        posters[i] = (struct poster){.counts = &counts};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, call_until_closed, &posters[i]),
                         0);
    }
    unsigned called = 0;
    for (int i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
        called += posters[i].posted;
    }
    kn_loop_destroy(counts.loop);
    /* A call that failed did not call. */
    assert_int_equal(counts.run, called);
    assert_int_equal(counts.closed, 0);
}

/* ---- handles ---- */

struct ticker {
    struct kn_loop *loop;
    uv_timer_t timer;
    sem_t ticked;
    bool closed;
};

static void handle_tick(uv_timer_t *timer) {
    struct ticker *ticker = timer->data;
    (void)sem_post(&ticker->ticked);
}

static void open_ticker(void *user, int status) {
    struct ticker *ticker = user;
    assert_int_equal(status, 0);
    assert_int_equal(uv_timer_init(kn_loop_uv(ticker->loop), &ticker->timer), 0);
    ticker->timer.data = ticker;
    assert_int_equal(uv_timer_start(&ticker->timer, handle_tick, 0, 1), 0);
}

static void handle_timer_closed(uv_handle_t *handle) {
    struct ticker *ticker = handle->data;
    ticker->closed = true;
}

static void close_ticker(void *user, int status) {
    struct ticker *ticker = user;
    assert_int_equal(status, 0);
    uv_close((uv_handle_t *)&ticker->timer, handle_timer_closed);
}

static void handles_live_on_the_loop(void **state) {
    (void)state;
    struct ticker ticker = {.loop = start()};
    assert_int_equal(sem_init(&ticker.ticked, 0, 0), 0);
    assert_int_equal(kn_loop_call(ticker.loop, open_ticker, &ticker), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sem_wait(&ticker.ticked), 0);
    }
    assert_int_equal(kn_loop_call(ticker.loop, close_ticker, &ticker), 0);
    kn_loop_destroy(ticker.loop);
    assert_true(ticker.closed);
    assert_int_equal(sem_destroy(&ticker.ticked), 0);
}

/* ---- inboxes ---- */

/* Messages are numbers in the clothes of pointers: sender * EACH + n. */
static void *message(uintptr_t number) {
    return (void *)number;
}

struct box {
    struct kn_loop *loop;
    struct kn_inbox *inbox;
    struct kn_inbox_config config;
    int open_rc;
    atomic_uint handled, discarded, closed;
    atomic_uint wrong; /* on another thread, out of order, after the end */
    uintptr_t next[SENDERS];
    unsigned close_at; /* handled messages after which it closes itself */
    bool stops;        /* or stops the loop */
    struct ticker *ticker;
};

static void handle_message(void *taken, void *user) {
    struct box *box = user;
    uintptr_t number = (uintptr_t)taken;
    if (!kn_loop_is_current(box->loop) || atomic_load(&box->closed) != 0 ||
        number < box->next[number / EACH]) {
        atomic_fetch_add(&box->wrong, 1);
    }
    box->next[number / EACH] = number + 1;
    if (atomic_fetch_add(&box->handled, 1) + 1 == box->close_at) {
        kn_inbox_close(box->inbox);
        kn_inbox_close(box->inbox);
        if (atomic_load(&box->closed) != 0) {
            atomic_fetch_add(&box->wrong, 1); /* not from inside kn_inbox_close */
        }
    }
}

static void discard(void *dropped, void *user) {
    (void)dropped;
    struct box *box = user;
    (void)kn_inbox_stats(box->inbox); /* under a lock this would not come back */
    atomic_fetch_add(&box->discarded, 1);
    if (atomic_load(&box->closed) != 0) {
        atomic_fetch_add(&box->wrong, 1);
    }
}

static void handle_closed(void *user) {
    struct box *box = user;
    if (!kn_loop_is_current(box->loop) || atomic_fetch_add(&box->closed, 1) != 0) {
        atomic_fetch_add(&box->wrong, 1);
    }
    if (box->ticker != NULL) {
        close_ticker(box->ticker, 0);
    }
    if (box->stops) {
        kn_loop_stop(box->loop);
    }
}

static struct box make_box(struct kn_loop *loop, size_t max_messages,
                           enum kn_queue_full when_full) {
    return (struct box){.loop = loop,
                        .config = {.max_messages = max_messages,
                                   .when_full = when_full,
                                   .handle_message = handle_message,
                                   .discard = discard,
                                   .handle_closed = handle_closed}};
}

static void open_box(void *user, int status) {
    struct box *box = user;
    assert_int_equal(status, 0);
    box->config.user = box;
    box->open_rc = kn_inbox_open(box->loop, &box->config, &box->inbox);
}

static void close_box(void *user, int status) {
    struct box *box = user;
    assert_int_equal(status, 0);
    kn_inbox_close(box->inbox);
}

static void open_on_loop(struct box *box) {
    assert_int_equal(kn_loop_call(box->loop, open_box, box), 0);
    assert_int_equal(box->open_rc, 0);
}

/* The loop has done what was asked of it before. */
static void close_on_loop(struct box *box) {
    assert_int_equal(kn_loop_call(box->loop, close_box, box), 0);
    while (atomic_load(&box->closed) == 0) {
        assert_int_equal(kn_loop_call(box->loop, nothing, NULL), 0);
    }
}

static void handles_may_be_closed_by_the_end_of_an_inbox(void **state) {
    (void)state;
    struct ticker ticker = {.loop = start()};
    struct box box = make_box(ticker.loop, 4, KN_QUEUE_REFUSE);
    box.ticker = &ticker;
    assert_int_equal(sem_init(&ticker.ticked, 0, 0), 0);
    assert_int_equal(kn_loop_call(ticker.loop, open_ticker, &ticker), 0);
    open_on_loop(&box);
    kn_loop_destroy(ticker.loop);
    assert_int_equal(box.closed, 1);
    assert_true(ticker.closed);
    kn_inbox_unref(box.inbox);
    assert_int_equal(sem_destroy(&ticker.ticked), 0);
}

static void messages_reach_the_loop(void **state) {
    (void)state;
    struct kn_loop *loop = create(0);
    struct box box = make_box(loop, 8, KN_QUEUE_REFUSE);
    box.config.max_weight = 100;
    open_box(&box, 0);
    assert_int_equal(box.open_rc, 0);
    for (uintptr_t i = 0; i < 8; i++) {
        assert_int_equal(kn_inbox_send(box.inbox, message(i), 10), 0);
    }
    assert_int_equal(kn_inbox_send(box.inbox, message(8), 10), -EAGAIN);
    assert_int_equal(kn_inbox_send(box.inbox, message(8), 101), -EMSGSIZE);
    assert_int_equal(kn_inbox_stats(box.inbox).weight, 80);
    assert_int_equal(box.handled, 0);
    assert_int_equal(kn_loop_start(loop), 0);
    while (atomic_load(&box.handled) < 8) {
        assert_int_equal(kn_loop_call(loop, nothing, NULL), 0);
    }
    assert_int_equal(kn_inbox_send(box.inbox, message(8), 10), 0);
    while (atomic_load(&box.handled) < 9) {
        assert_int_equal(kn_loop_call(loop, nothing, NULL), 0);
    }
    assert_int_equal(box.closed, 0);
    close_on_loop(&box);
    assert_int_equal(kn_inbox_send(box.inbox, message(9), 10), KN_E_CLOSED);
    assert_true(kn_inbox_stats(box.inbox).received == 9);
    kn_loop_destroy(loop);
    /* A reference outlives the loop. */
    assert_ptr_equal(kn_inbox_ref(box.inbox), box.inbox);
    kn_inbox_unref(box.inbox);
    assert_int_equal(kn_inbox_send(box.inbox, message(9), 10), KN_E_CLOSED);
    kn_inbox_close(box.inbox);
    kn_inbox_unref(box.inbox);
    kn_inbox_unref(NULL);
    assert_int_equal(box.closed, 1);
    assert_int_equal(box.discarded + box.wrong, 0);
}

static void closing_from_a_handler_discards_the_rest(void **state) {
    (void)state;
    struct kn_loop *loop = create(0);
    struct box box = make_box(loop, 200, KN_QUEUE_REFUSE);
    box.close_at = 5;
    open_box(&box, 0);
    for (uintptr_t i = 0; i < 200; i++) {
        assert_int_equal(kn_inbox_send(box.inbox, message(i), 0), 0);
    }
    assert_int_equal(kn_loop_start(loop), 0);
    while (atomic_load(&box.closed) == 0) {
        assert_int_equal(kn_loop_call(loop, nothing, NULL), 0);
    }
    assert_int_equal(box.handled, 5);
    assert_int_equal(box.discarded, 195);
    assert_int_equal(box.wrong, 0);
    kn_inbox_unref(box.inbox);
    kn_loop_destroy(loop);
}

/* More than an inbox is given at once, and nobody sends any more. */
static void a_long_backlog_is_handled_to_its_end(void **state) {
    (void)state;
    struct kn_loop *loop = create(0);
    struct box box = make_box(loop, 10000, KN_QUEUE_REFUSE);
    open_box(&box, 0);
    for (uintptr_t i = 0; i < 10000; i++) {
        assert_int_equal(kn_inbox_send(box.inbox, message(i), 0), 0);
    }
    assert_int_equal(kn_loop_start(loop), 0);
    while (atomic_load(&box.handled) < 10000) {
        (void)sched_yield();
    }
    close_on_loop(&box);
    assert_int_equal(box.wrong + box.discarded, 0);
    kn_inbox_unref(box.inbox);
    kn_loop_destroy(loop);
}

static void a_loop_that_ends_closes_its_inboxes(void **state) {
    (void)state;
    /* Run and not run; the caller's reference dropped early and late. */
    for (int i = 0; i < 4; i++) {
        bool runs = i % 2 != 0, early = i / 2 != 0;
        struct kn_loop *loop = create(0);
        struct box boxes[3];
        for (size_t k = 0; k < KN_COUNT(boxes); k++) {
            boxes[k] = make_box(loop, 10, KN_QUEUE_DROP_OLDEST);
            open_box(&boxes[k], 0);
            assert_int_equal(boxes[k].open_rc, 0);
        }
        assert_int_equal(kn_inbox_send(boxes[1].inbox, message(1), 0), 0);
        boxes[1].stops = true;
        if (runs) {
            assert_int_equal(kn_loop_start(loop), 0);
        }
        if (early) {
            kn_inbox_unref(boxes[0].inbox);
            kn_inbox_unref(boxes[2].inbox);
        }
        kn_loop_destroy(loop);
        for (size_t k = 0; k < KN_COUNT(boxes); k++) {
            assert_int_equal(boxes[k].closed, 1);
            assert_int_equal(boxes[k].wrong, 0);
            if (!early || k == 1) {
                assert_int_equal(kn_inbox_send(boxes[k].inbox, message(1), 0), KN_E_CLOSED);
                kn_inbox_unref(boxes[k].inbox);
            }
        }
        assert_int_equal(boxes[1].handled + boxes[1].discarded, 1);
    }
}

struct late_opener {
    struct box outer, inner;
};

static void open_inner(void *user) {
    struct late_opener *opener = user;
    open_box(&opener->inner, 0);
}

static void an_ending_loop_opens_no_inbox(void **state) {
    (void)state;
    struct kn_loop *loop = create(0);
    struct late_opener opener = {.outer = make_box(loop, 1, KN_QUEUE_REFUSE),
                                 .inner = make_box(loop, 1, KN_QUEUE_REFUSE)};
    opener.outer.config.handle_closed = open_inner;
    opener.outer.config.user = &opener;
    assert_int_equal(kn_inbox_open(loop, &opener.outer.config, &opener.outer.inbox), 0);
    kn_loop_destroy(loop);
    assert_int_equal(opener.inner.open_rc, KN_E_CLOSED);
    assert_null(opener.inner.inbox);
    kn_inbox_unref(opener.outer.inbox);
}

struct sender {
    pthread_t thread;
    struct kn_inbox *inbox; /* one reference */
    uintptr_t first, count;
    bool insists;
    unsigned given_away;
    int last_rc;
};

static void *send_each(void *user) {
    struct sender *sender = user;
    for (uintptr_t i = 0; i < sender->count;) {
        sender->last_rc = kn_inbox_send(sender->inbox, message(sender->first + i), 1);
        if (sender->last_rc == KN_E_CLOSED) {
            break;
        }
        if (sender->last_rc == -EAGAIN && sender->insists) {
            (void)sched_yield();
            continue;
        }
        sender->given_away += sender->last_rc == 0;
        i++;
    }
    kn_inbox_unref(sender->inbox);
    return NULL;
}

static void start_senders(struct sender *senders, struct kn_inbox *inbox, uintptr_t count,
                          bool insist) {
    for (uintptr_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){
            .inbox = kn_inbox_ref(inbox), .first = i * EACH, .count = count, .insists = insist};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_each, &senders[i]), 0);
    }
}

static unsigned join_senders(struct sender *senders) {
    unsigned given_away = 0;
    for (int i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
        given_away += senders[i].given_away;
    }
    return given_away;
}

static void a_crowd_of_senders_is_heard(void **state) {
    (void)state;
    struct sender senders[SENDERS];
    struct box box = make_box(start(), 1024, KN_QUEUE_REFUSE);
    open_on_loop(&box);
    start_senders(senders, box.inbox, EACH, true);
    assert_int_equal(join_senders(senders), SENDERS * EACH);
    /* Nothing wakes the loop any more but the senders' own wake-ups. */
    while (kn_inbox_stats(box.inbox).received < SENDERS * EACH) {
        (void)sched_yield();
    }
    close_on_loop(&box);
    assert_int_equal(box.handled, SENDERS * EACH);
    assert_int_equal(box.wrong + box.discarded, 0);
    for (uintptr_t i = 0; i < SENDERS; i++) {
        assert_int_equal(box.next[i], (i + 1) * EACH);
    }
    kn_inbox_unref(box.inbox);
    kn_loop_destroy(box.loop);
}

static void an_inbox_drops_what_it_counts(void **state) {
    (void)state;
    struct sender senders[SENDERS];
    struct box box = make_box(start(), 16, KN_QUEUE_DROP_OLDEST);
    open_on_loop(&box);
    start_senders(senders, box.inbox, EACH, false);
    assert_int_equal(join_senders(senders), SENDERS * EACH);
    close_on_loop(&box);
    assert_int_equal(box.handled + box.discarded, SENDERS * EACH);
    assert_int_equal(box.wrong, 0);
    kn_inbox_unref(box.inbox);
    kn_loop_destroy(box.loop);
}

/* `user` of an inbox that is freed as soon as that is allowed: a sanitizer sees every later touch.
 */
struct owner {
    atomic_uint seen;
    struct tally {
        atomic_uint seen;
        atomic_uint freed;
    } * tally;
};

static void owner_sees(void *taken, void *user) {
    (void)taken;
    struct owner *owner = user;
    atomic_fetch_add(&owner->seen, 1);
}

static void owner_ends(void *user) {
    struct owner *owner = user;
    atomic_fetch_add(&owner->tally->seen, owner->seen);
    atomic_fetch_add(&owner->tally->freed, 1);
    free(owner);
}

static struct kn_inbox *open_owner(struct kn_loop *loop, struct tally *tally) {
    struct owner *owner = calloc(1, sizeof(*owner));
    assert_non_null(owner);
    owner->tally = tally;
    struct kn_inbox_config config = {
        .max_messages = 4,
        .when_full = KN_QUEUE_DROP_OLDEST,
        .handle_message = owner_sees,
        .discard = owner_sees,
        .handle_closed = owner_ends,
        .user = owner,
    };
    struct kn_inbox *inbox;
    assert_int_equal(kn_inbox_open(loop, &config, &inbox), 0);
    return inbox;
}

struct closer {
    struct kn_inbox *inbox;
    unsigned after; /* messages */
};

static void close_when_busy(void *user, int status) {
    struct closer *closer = user;
    assert_int_equal(status, 0);
    while (kn_inbox_stats(closer->inbox).sent < closer->after) {
        (void)sched_yield();
    }
    kn_inbox_close(closer->inbox);
}

/* The senders fight the close, and in odd rounds the end of the loop. */
static void closing_while_others_send(void **state) {
    (void)state;
    for (unsigned round = 0; round < 40; round++) {
        struct tally tally = {.seen = 0};
        struct sender senders[SENDERS];
        struct kn_loop *loop = create(0);
        struct closer closer = {open_owner(loop, &tally), round * 25};
        assert_int_equal(kn_loop_start(loop), 0);
        start_senders(senders, closer.inbox, UINTPTR_MAX, true);
        if (round % 2 == 0) {
            assert_int_equal(kn_loop_call(loop, close_when_busy, &closer), 0);
        } else {
            while (kn_inbox_stats(closer.inbox).sent < closer.after) {
                (void)sched_yield();
            }
            kn_loop_destroy(loop);
        }
        kn_inbox_unref(closer.inbox);
        unsigned given_away = join_senders(senders);
        for (int i = 0; i < SENDERS; i++) {
            assert_int_equal(senders[i].last_rc, KN_E_CLOSED);
        }
        if (round % 2 == 0) {
            kn_loop_destroy(loop);
        }
        assert_int_equal(tally.freed, 1);
        /* Each message had one end, and it came before the owner's. */
        assert_int_equal(tally.seen, given_away);
    }
}

/* ---- memory ---- */

static void out_of_memory_is_an_error(void **state) {
    (void)state;
    struct kn_loop_config config = kn_loop_config_defaults();
    struct kn_loop *loop = NULL;
    unsigned long n = 1;
    int rc;
    for (;; n++) {
        fail_alloc_at(n);
        rc = kn_loop_create(&config, &loop);
        fail_alloc_stop();
        if (rc == 0) {
            break;
        }
        assert_int_equal(rc, -ENOMEM);
        assert_null(loop);
    }
    assert_int_equal(n, 3);

    struct box box = make_box(loop, 4, KN_QUEUE_REFUSE);
    for (n = 1;; n++) {
        fail_alloc_at(n);
        open_box(&box, 0);
        fail_alloc_stop();
        if (box.open_rc == 0) {
            break;
        }
        assert_int_equal(box.open_rc, -ENOMEM);
        assert_null(box.inbox);
    }
    assert_int_equal(n, 3);

    /* What runs allocates nothing. */
    fail_alloc_always();
    int sent = kn_inbox_send(box.inbox, message(1), 0);
    int posted = kn_loop_post(loop, nothing, NULL);
    unsigned long count = fail_alloc_count();
    fail_alloc_stop();
    assert_int_equal(sent, 0);
    assert_int_equal(posted, 0);
    assert_int_equal(count, 0);

    config.max_tasks = SIZE_MAX;
    struct kn_loop *other = NULL;
    assert_int_equal(kn_loop_create(&config, &other), -ENOMEM);
    assert_null(other);
    kn_loop_destroy(loop);
    assert_int_equal(box.discarded, 1);
    kn_inbox_unref(box.inbox);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_run_on_the_loop),
        cmocka_unit_test(a_loop_that_never_ran_cancels_its_tasks),
        cmocka_unit_test(a_stopped_loop_takes_no_tasks),
        cmocka_unit_test(a_task_may_stop_its_loop),
        cmocka_unit_test(every_task_is_run_or_cancelled_once),
        cmocka_unit_test(calls_return_when_the_loop_ends),
        cmocka_unit_test(handles_live_on_the_loop),
        cmocka_unit_test(handles_may_be_closed_by_the_end_of_an_inbox),
        cmocka_unit_test(messages_reach_the_loop),
        cmocka_unit_test(closing_from_a_handler_discards_the_rest),
        cmocka_unit_test(a_long_backlog_is_handled_to_its_end),
        cmocka_unit_test(a_loop_that_ends_closes_its_inboxes),
        cmocka_unit_test(an_ending_loop_opens_no_inbox),
        cmocka_unit_test(a_crowd_of_senders_is_heard),
        cmocka_unit_test(an_inbox_drops_what_it_counts),
        cmocka_unit_test(closing_while_others_send),
        cmocka_unit_test(out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
