#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/queue.h"
#include "base/time.h"
#include "tests/support/fail_alloc.h"

#define SENDERS 4
#define EACH 100000

/* Messages are numbers in the clothes of pointers. */
static void *message(uintptr_t number) {
    return (void *)number;
}

static uintptr_t number(void *taken) {
    return (uintptr_t)taken;
}

struct watch {
    struct kn_queue *queue;
    atomic_uint discarded, woken;
    uintptr_t last_discarded;
};

/* Asks the queue something: with its lock held this would not come back. */
static void discard(void *dropped, void *user) {
    struct watch *watch = user;
    if (watch->queue != NULL) {
        (void)kn_queue_stats(watch->queue);
    }
    watch->last_discarded = number(dropped);
    atomic_fetch_add(&watch->discarded, 1);
}

static void wake(void *user) {
    struct watch *watch = user;
    (void)kn_queue_stats(watch->queue);
    atomic_fetch_add(&watch->woken, 1);
}

static void count_discard(void *dropped, void *user) {
    (void)dropped;
    atomic_fetch_add(&((struct watch *)user)->discarded, 1);
}

static struct kn_queue *create(struct watch *watch, size_t max_messages, size_t max_weight,
                               enum kn_queue_full when_full) {
    *watch = (struct watch){.queue = NULL};
    struct kn_queue_config config = {
        .max_messages = max_messages,
        .max_weight = max_weight,
        .when_full = when_full,
        .discard = discard,
        .wake = wake,
        .user = watch,
    };
    assert_int_equal(kn_queue_create(&config, &watch->queue), 0);
    return watch->queue;
}

static void destroy(struct watch *watch) {
    struct kn_queue *queue = watch->queue;
    watch->queue = NULL;
    kn_queue_destroy(queue);
}

static void assert_next(struct kn_queue *queue, uintptr_t expected) {
    void *taken;
    assert_int_equal(kn_queue_take(queue, &taken, 1), 1);
    assert_int_equal(number(taken), expected);
}

static void messages_come_out_in_order(void **state) {
    (void)state;
    struct watch watch;
    struct kn_queue *queue = create(&watch, 3, 0, KN_QUEUE_REFUSE);
    void *taken[8];
    assert_int_equal(kn_queue_take(queue, taken, 8), 0);
    uintptr_t next_in = 1, next_out = 1;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 2; i++) {
            assert_int_equal(kn_queue_send(queue, message(next_in++), SIZE_MAX), 0);
        }
        assert_int_equal(kn_queue_take(queue, taken, 0), 0);
        assert_next(queue, next_out++);
        assert_int_equal(kn_queue_wait(queue, taken, 8), 1);
        assert_int_equal(number(taken[0]), next_out++);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kn_queue_send(queue, message(next_in++), 0), 0);
    }
    assert_int_equal(kn_queue_take(queue, taken, 8), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(number(taken[i]), next_out++);
    }
    /* Each time something came into an empty queue. */
    assert_int_equal(watch.woken, 11);
    assert_int_equal(watch.discarded, 0);
    struct kn_queue_stats stats = kn_queue_stats(queue);
    assert_int_equal(stats.messages, 0);
    assert_int_equal(stats.weight, 0);
    assert_int_equal(stats.most_messages, 3);
    assert_true(stats.sent == 23 && stats.received == 23);
    assert_true(stats.dropped == 0 && stats.refused == 0);
    destroy(&watch);
}

static void a_full_queue_refuses(void **state) {
    (void)state;
    struct watch watch;
    struct kn_queue *queue = create(&watch, 3, 100, KN_QUEUE_REFUSE);
    assert_int_equal(kn_queue_send(queue, message(1), 60), 0);
    assert_int_equal(kn_queue_send(queue, message(2), 41), -EAGAIN);
    assert_int_equal(kn_queue_send(queue, message(2), 40), 0);
    assert_int_equal(kn_queue_send(queue, message(3), 0), 0);
    assert_int_equal(kn_queue_send(queue, message(4), 0), -EAGAIN);
    assert_int_equal(kn_queue_send(queue, message(4), 101), -EMSGSIZE);
    struct kn_queue_stats stats = kn_queue_stats(queue);
    assert_int_equal(stats.messages, 3);
    assert_int_equal(stats.weight, 100);
    assert_true(stats.refused == 3);
    assert_next(queue, 1);
    assert_int_equal(kn_queue_stats(queue).weight, 40);
    assert_int_equal(kn_queue_send(queue, message(4), 60), 0);
    assert_int_equal(watch.discarded, 0);
    /* What is left at the end is discarded. */
    destroy(&watch);
    assert_int_equal(watch.discarded, 3);
    kn_queue_destroy(NULL);
}

static void a_full_queue_drops_the_oldest(void **state) {
    (void)state;
    struct watch watch;
    struct kn_queue *queue = create(&watch, 3, 100, KN_QUEUE_DROP_OLDEST);
    for (uintptr_t i = 1; i <= 3; i++) {
        assert_int_equal(kn_queue_send(queue, message(i), 30), 0);
    }
    assert_int_equal(kn_queue_send(queue, message(4), 10), 0);
    assert_int_equal(watch.discarded, 1);
    assert_int_equal(watch.last_discarded, 1);
    /* For weight as many as needed: 30 + 30 + 10, and 90 more. */
    assert_int_equal(kn_queue_send(queue, message(5), 90), 0);
    assert_int_equal(watch.discarded, 3);
    assert_int_equal(watch.last_discarded, 3);
    assert_int_equal(kn_queue_stats(queue).weight, 100);
    assert_int_equal(kn_queue_send(queue, message(6), 101), -EMSGSIZE);
    assert_int_equal(watch.discarded, 3);
    assert_int_equal(kn_queue_send(queue, message(7), 100), 0);
    assert_int_equal(watch.discarded, 5);
    assert_next(queue, 7);
    struct kn_queue_stats stats = kn_queue_stats(queue);
    assert_true(stats.sent == 6 && stats.received == 1 && stats.dropped == 5);
    destroy(&watch);
}

static void one_heavy_message_drops_very_many(void **state) {
    (void)state;
    struct watch watch;
    struct kn_queue *queue = create(&watch, 1000, 1000, KN_QUEUE_DROP_OLDEST);
    for (uintptr_t i = 1; i <= 1000; i++) {
        assert_int_equal(kn_queue_send(queue, message(i), 1), 0);
    }
    assert_int_equal(kn_queue_send(queue, message(1001), 990), 0);
    assert_int_equal(watch.discarded, 990);
    assert_int_equal(watch.last_discarded, 990);
    assert_next(queue, 991);
    destroy(&watch);
    assert_int_equal(watch.discarded, 1000);
}

static void a_closed_queue_gives_its_rest(void **state) {
    (void)state;
    static const enum kn_queue_full all[] = {KN_QUEUE_REFUSE, KN_QUEUE_DROP_OLDEST, KN_QUEUE_WAIT};
    for (size_t i = 0; i < KN_COUNT(all); i++) {
        struct watch watch;
        void *taken[4];
        struct kn_queue *queue = create(&watch, 2, 0, all[i]);
        assert_int_equal(kn_queue_send(queue, message(1), 0), 0);
        assert_int_equal(kn_queue_send(queue, message(2), 0), 0);
        kn_queue_close(queue);
        kn_queue_close(queue);
        /* Full and closed: neither dropped nor waited for. */
        assert_int_equal(kn_queue_send(queue, message(3), 0), KN_E_CLOSED);
        assert_int_equal(kn_queue_wait(queue, taken, 1), 1);
        assert_int_equal(number(taken[0]), 1);
        assert_int_equal(kn_queue_wait(queue, taken, 4), 1);
        assert_int_equal(kn_queue_wait(queue, taken, 4), KN_E_CLOSED);
        assert_int_equal(kn_queue_take(queue, taken, 4), 0);
        destroy(&watch);
        assert_int_equal(watch.discarded, 0);
    }
}

static int64_t now_ns(void) {
    return kn_clock_system()->mono(kn_clock_system()).ns;
}

static void a_wait_can_have_an_end(void **state) {
    (void)state;
    struct watch watch;
    void *taken[4];
    struct kn_queue *queue = create(&watch, 4, 0, KN_QUEUE_REFUSE);
    const int64_t waits_ns[] = {INT64_MIN, -1, 0, 1, 20 * KN_NS_PER_MS};
    for (size_t i = 0; i < KN_COUNT(waits_ns); i++) {
        int64_t began_ns = now_ns();
        assert_int_equal(kn_queue_wait_for(queue, taken, 4, waits_ns[i]), 0);
        assert_true(now_ns() - began_ns >= waits_ns[i]);
    }
    for (uintptr_t i = 1; i <= 3; i++) {
        assert_int_equal(kn_queue_send(queue, message(i), 0), 0);
    }
    assert_int_equal(kn_queue_wait_for(queue, taken, 2, 0), 2);
    assert_true(number(taken[0]) == 1 && number(taken[1]) == 2);
    kn_queue_close(queue);
    assert_int_equal(kn_queue_wait_for(queue, taken, 2, INT64_MAX), 1);
    assert_int_equal(number(taken[0]), 3);
    assert_int_equal(kn_queue_wait_for(queue, taken, 2, INT64_MAX), KN_E_CLOSED);
    assert_int_equal(kn_queue_wait_for(queue, taken, 2, 0), KN_E_CLOSED);
    destroy(&watch);
    assert_int_equal(watch.discarded, 0);
}

static void creation_can_run_out_of_memory(void **state) {
    (void)state;
    struct watch watch = {.queue = NULL};
    struct kn_queue_config config = {.max_messages = 8, .discard = discard, .user = &watch};
    fail_alloc_at(1);
    int rc = kn_queue_create(&config, &watch.queue);
    fail_alloc_stop();
    assert_int_equal(rc, -ENOMEM);
    config.max_messages = SIZE_MAX;
    assert_int_equal(kn_queue_create(&config, &watch.queue), -ENOMEM);
    config.max_messages = SIZE_MAX / 16;
    assert_int_equal(kn_queue_create(&config, &watch.queue), -ENOMEM);
    assert_null(watch.queue);
}

static void sending_allocates_nothing(void **state) {
    (void)state;
    struct watch watch;
    struct kn_queue *queue = create(&watch, 100, 0, KN_QUEUE_DROP_OLDEST);
    fail_alloc_always();
    int failed = 0;
    for (uintptr_t i = 0; i < 200; i++) {
        failed += kn_queue_send(queue, message(i), 0) != 0;
    }
    fail_alloc_stop();
    assert_int_equal(failed, 0);
    assert_int_equal(fail_alloc_count(), 0);
    destroy(&watch);
}

/* ---- with threads ---- */

struct sender {
    pthread_t thread;
    struct kn_queue *queue;
    uintptr_t first;
    size_t weight;
    unsigned given_away, refused;
    int last_rc;
};

static void *send_each(void *user) {
    struct sender *sender = user;
    for (uintptr_t i = 0; i < EACH; i++) {
        sender->last_rc = kn_queue_send(sender->queue, message(sender->first + i), sender->weight);
        if (sender->last_rc == KN_E_CLOSED) {
            return NULL;
        }
        sender->given_away += sender->last_rc == 0;
        sender->refused += sender->last_rc != 0;
    }
    return NULL;
}

static void start_senders(struct sender *senders, struct kn_queue *queue) {
    for (uintptr_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.queue = queue, .first = i * EACH, .weight = i + 1};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_each, &senders[i]), 0);
    }
}

static void join_senders(struct sender *senders) {
    for (int i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
    }
}

struct reader {
    pthread_t thread;
    struct kn_queue *queue;
    int64_t wait_ns;         /* INT64_MIN: kn_queue_wait */
    uintptr_t next[SENDERS]; /* the least number that may come from each */
    unsigned received, disorder, late;
    int last_rc;
};

static int read_some(struct reader *reader, void **taken, size_t max) {
    return reader->wait_ns == INT64_MIN
               ? kn_queue_wait(reader->queue, taken, max)
               : kn_queue_wait_for(reader->queue, taken, max, reader->wait_ns);
}

static void *read_all(void *user) {
    struct reader *reader = user;
    void *taken[64];
    int count;
    while ((count = read_some(reader, taken, KN_COUNT(taken))) >= 0) {
        for (int i = 0; i < count; i++) {
            uintptr_t *next = &reader->next[number(taken[i]) / EACH];
            reader->disorder += number(taken[i]) < *next;
            *next = number(taken[i]) + 1;
        }
        reader->received += (unsigned)count;
        reader->late += count == 0;
    }
    reader->last_rc = count;
    return NULL;
}

/* All senders against one reader, until the senders are through. */
static void run_crowd(struct watch *watch, size_t max_messages, size_t max_weight,
                      enum kn_queue_full when_full, struct sender *senders, struct reader *reader) {
    *watch = (struct watch){.queue = NULL};
    struct kn_queue_config config = {
        .max_messages = max_messages,
        .max_weight = max_weight,
        .when_full = when_full,
        .discard = count_discard,
        .user = watch,
    };
    assert_int_equal(kn_queue_create(&config, &watch->queue), 0);
    *reader = (struct reader){.queue = watch->queue, .wait_ns = reader->wait_ns};
    assert_int_equal(pthread_create(&reader->thread, NULL, read_all, reader), 0);
    start_senders(senders, watch->queue);
    join_senders(senders);
    kn_queue_close(watch->queue);
    assert_int_equal(pthread_join(reader->thread, NULL), 0);
    assert_int_equal(reader->last_rc, KN_E_CLOSED);
    assert_int_equal(reader->disorder, 0);
    assert_int_equal(kn_queue_stats(watch->queue).messages, 0);
    assert_true(kn_queue_stats(watch->queue).most_messages <= max_messages);
}

static void waiting_senders_lose_nothing(void **state) {
    (void)state;
    struct watch watch;
    struct sender senders[SENDERS];
    struct reader reader = {.wait_ns = INT64_MIN};
    run_crowd(&watch, 1024, 2000, KN_QUEUE_WAIT, senders, &reader);
    assert_int_equal(reader.received, SENDERS * EACH);
    for (uintptr_t i = 0; i < SENDERS; i++) {
        assert_int_equal(reader.next[i], (i + 1) * EACH);
    }
    assert_int_equal(watch.discarded, 0);
    kn_queue_destroy(watch.queue);
}

/* Waits end just when messages come. */
static void short_waits_lose_nothing(void **state) {
    (void)state;
    struct watch watch;
    struct sender senders[SENDERS];
    struct reader reader = {.wait_ns = 1};
    run_crowd(&watch, 8, 0, KN_QUEUE_WAIT, senders, &reader);
    assert_int_equal(reader.received, SENDERS * EACH);
    assert_int_equal(watch.discarded, 0);
    kn_queue_destroy(watch.queue);
}

static void dropping_loses_what_it_counts(void **state) {
    (void)state;
    struct watch watch;
    struct sender senders[SENDERS];
    struct reader reader = {.wait_ns = INT64_MIN};
    run_crowd(&watch, 64, 100, KN_QUEUE_DROP_OLDEST, senders, &reader);
    struct kn_queue_stats stats = kn_queue_stats(watch.queue);
    assert_true(stats.sent == SENDERS * EACH);
    assert_true(stats.dropped == watch.discarded);
    assert_true(stats.received == reader.received);
    assert_true(stats.sent == stats.received + stats.dropped);
    kn_queue_destroy(watch.queue);
}

static void refusing_loses_what_it_counts(void **state) {
    (void)state;
    struct watch watch;
    struct sender senders[SENDERS];
    struct reader reader = {.wait_ns = INT64_MIN};
    run_crowd(&watch, 64, 0, KN_QUEUE_REFUSE, senders, &reader);
    unsigned given_away = 0, refused = 0;
    for (int i = 0; i < SENDERS; i++) {
        given_away += senders[i].given_away;
        refused += senders[i].refused;
    }
    assert_int_equal(reader.received, given_away);
    assert_int_equal(given_away + refused, SENDERS * EACH);
    assert_true(kn_queue_stats(watch.queue).refused == refused);
    assert_int_equal(watch.discarded, 0);
    kn_queue_destroy(watch.queue);
}

static void closing_releases_waiting_senders(void **state) {
    (void)state;
    struct watch watch;
    struct kn_queue *queue = create(&watch, 10, 0, KN_QUEUE_WAIT);
    struct sender senders[SENDERS];
    start_senders(senders, queue);
    /* Somebody is through, somebody is waiting or about to. */
    void *taken[64];
    assert_in_range(kn_queue_wait(queue, taken, 1), 1, 1);
    kn_queue_close(queue);
    join_senders(senders);
    uint64_t given_away = 0;
    for (int i = 0; i < SENDERS; i++) {
        assert_int_equal(senders[i].last_rc, KN_E_CLOSED);
        given_away += senders[i].given_away;
    }
    assert_true(kn_queue_stats(queue).sent == given_away);
    assert_int_equal(kn_queue_take(queue, taken, 64), given_away - 1);
    destroy(&watch);
}

static void closing_releases_the_reader(void **state) {
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct watch watch;
        struct kn_queue *queue = create(&watch, 10, 0, KN_QUEUE_WAIT);
        struct reader reader = {.queue = queue, .wait_ns = round % 2 == 0 ? INT64_MIN : INT64_MAX};
        assert_int_equal(pthread_create(&reader.thread, NULL, read_all, &reader), 0);
        kn_queue_close(queue);
        assert_int_equal(pthread_join(reader.thread, NULL), 0);
        assert_int_equal(reader.received, 0);
        assert_int_equal(reader.late, 0);
        assert_int_equal(reader.last_rc, KN_E_CLOSED);
        destroy(&watch);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_in_order),
        cmocka_unit_test(a_full_queue_refuses),
        cmocka_unit_test(a_full_queue_drops_the_oldest),
        cmocka_unit_test(one_heavy_message_drops_very_many),
        cmocka_unit_test(a_closed_queue_gives_its_rest),
        cmocka_unit_test(a_wait_can_have_an_end),
        cmocka_unit_test(creation_can_run_out_of_memory),
        cmocka_unit_test(sending_allocates_nothing),
        cmocka_unit_test(waiting_senders_lose_nothing),
        cmocka_unit_test(short_waits_lose_nothing),
        cmocka_unit_test(dropping_loses_what_it_counts),
        cmocka_unit_test(refusing_loses_what_it_counts),
        cmocka_unit_test(closing_releases_waiting_senders),
        cmocka_unit_test(closing_releases_the_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
