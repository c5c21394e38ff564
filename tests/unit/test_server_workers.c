/* Workers: whoever hashes leaves threads to the others. */
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "server/exchange/inner.h"

#define JOBS 8u

struct one {
    struct srv_job job; /* first of all */
    bool done, cancelled;
};

static sem_t begun, may_end, other_done;
static atomic_uint at_once, most_at_once;

static void hash(struct srv_job *job, struct srv_worker *worker) {
    struct one *one = (struct one *)job;
    if (worker == NULL) {
        one->cancelled = true;
        return;
    }
    unsigned now = atomic_fetch_add(&at_once, 1) + 1;
    unsigned most = atomic_load(&most_at_once);
    while (now > most && !atomic_compare_exchange_weak(&most_at_once, &most, now)) {
    }
    (void)sem_post(&begun);
    (void)sem_wait(&may_end);
    (void)atomic_fetch_sub(&at_once, 1);
    one->done = true;
}

static void other(struct srv_job *job, struct srv_worker *worker) {
    struct one *one = (struct one *)job;
    one->done = worker != NULL;
    (void)sem_post(&other_done);
}

static void init_jobs(struct one *jobs, bool hashes,
                      void (*run)(struct srv_job *job, struct srv_worker *worker)) {
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = (struct one){.job = {.hashes = hashes, .run = run}};
    }
}

static void hashing_leaves_threads_to_others(void **state) {
    (void)state;
    const struct srv_workers_config config = {.threads = 4, .queue = 4 * JOBS};
    struct srv_workers *workers = NULL;
    struct one hashes[JOBS], others[JOBS];
    assert_int_equal(
        sem_init(&begun, 0, 0) + sem_init(&may_end, 0, 0) + sem_init(&other_done, 0, 0), 0);
    atomic_store(&most_at_once, 0);
    init_jobs(hashes, true, hash);
    init_jobs(others, false, other);
    assert_int_equal(srv_workers_create(&config, &workers), 0);
    for (size_t i = 0; i < JOBS; i++) {
        assert_int_equal(srv_workers_give(workers, &hashes[i].job), 0);
    }
    (void)sem_wait(&begun);
    (void)sem_wait(&begun);
    /* All of them end while nobody lets a password be through. */
    for (size_t i = 0; i < JOBS; i++) {
        assert_int_equal(srv_workers_give(workers, &others[i].job), 0);
    }
    for (size_t i = 0; i < JOBS; i++) {
        (void)sem_wait(&other_done);
    }
    /* And then the passwords, each. */
    for (size_t i = 0; i < JOBS; i++) {
        (void)sem_post(&may_end);
    }
    for (size_t i = 2; i < JOBS; i++) {
        (void)sem_wait(&begun);
    }
    srv_workers_stop(workers);
    for (size_t i = 0; i < JOBS; i++) {
        assert_true(hashes[i].done && others[i].done);
    }
    assert_int_equal(atomic_load(&most_at_once), 2);
    srv_workers_destroy(workers);
    (void)sem_destroy(&begun);
    (void)sem_destroy(&may_end);
    (void)sem_destroy(&other_done);
}

static char order[2 * JOBS + 1];
static size_t order_size;

static void note_hash(struct srv_job *job, struct srv_worker *worker) {
    (void)job;
    order[order_size++] = worker == NULL ? 'c' : 'h';
}

static void note_other(struct srv_job *job, struct srv_worker *worker) {
    (void)job;
    order[order_size++] = worker == NULL ? 'c' : 'o';
}

/* A quarter of the queue is theirs; where both wait they take turns, and who hurries is first of
 * the others. */
static void they_wait_in_two_lines(void **state) {
    (void)state;
    const struct srv_workers_config config = {.queue = JOBS};
    struct srv_workers *workers = NULL;
    struct one hashes[JOBS], others[JOBS];
    size_t busy = 0, waiting = 0;
    init_jobs(hashes, true, note_hash);
    init_jobs(others, false, note_other);
    assert_int_equal(srv_workers_create(&config, &workers), 0);
    assert_int_equal(srv_workers_give(workers, &hashes[0].job), 0);
    assert_int_equal(srv_workers_give(workers, &hashes[1].job), 0);
    assert_int_equal(srv_workers_give(workers, &hashes[2].job), -EAGAIN);
    for (size_t i = 0; i + 1 < JOBS; i++) {
        assert_int_equal(srv_workers_give(workers, &others[i].job), 0);
    }
    assert_int_equal(srv_workers_hurry(workers, &others[JOBS - 1].job), 0);
    srv_workers_load(workers, &busy, &waiting);
    assert_int_equal(busy, 0);
    assert_int_equal(waiting, JOBS + 2);
    for (size_t i = 0; i < 4; i++) {
        assert_true(srv_workers_turn(workers));
    }
    assert_string_equal(order, "hoho");
    assert_int_equal(srv_workers_give(workers, &hashes[2].job), 0);
    srv_workers_stop(workers); /* the rest is cancelled */
    assert_string_equal(order, "hohoccccccc");
    assert_int_equal(srv_workers_give(workers, &hashes[3].job), KN_E_CLOSED);
    srv_workers_destroy(workers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashing_leaves_threads_to_others),
        cmocka_unit_test(they_wait_in_two_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
