#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/sample.h"
#include "tests/support/fail_alloc.h"

#define THREADS 4

static void budgets_claim_and_release(void **state) {
    (void)state;
    struct kn_budget *budget;
    assert_int_equal(kn_budget_create(100, NULL, &budget), 0);
    assert_int_equal(kn_budget_max(budget), 100);
    assert_int_equal(kn_budget_claim(budget, 60), 0);
    assert_int_equal(kn_budget_claim(budget, 41), KN_E_MEMORY_LIMIT);
    assert_int_equal(kn_budget_claim(budget, SIZE_MAX), KN_E_MEMORY_LIMIT);
    assert_int_equal(kn_budget_claim(budget, 40), 0);
    assert_int_equal(kn_budget_claim(budget, 0), 0);
    assert_int_equal(kn_budget_used(budget), 100);
    assert_true(kn_budget_refused(budget) == 2);
    kn_budget_release(budget, 100);
    assert_int_equal(kn_budget_used(budget), 0);
    kn_budget_unref(budget);
    kn_budget_unref(NULL);
}

static void a_claim_counts_in_all_or_in_none(void **state) {
    (void)state;
    struct kn_budget *all, *store, *stream;
    assert_int_equal(kn_budget_create(1000, NULL, &all), 0);
    assert_int_equal(kn_budget_create(100, all, &store), 0);
    assert_int_equal(kn_budget_create(80, store, &stream), 0);
    /* The children keep their parents. */
    kn_budget_unref(all);

    assert_int_equal(kn_budget_claim(stream, 50), 0);
    assert_int_equal(kn_budget_used(stream), 50);
    assert_int_equal(kn_budget_used(store), 50);
    assert_int_equal(kn_budget_used(all), 50);
    assert_int_equal(kn_budget_claim(stream, 31), KN_E_MEMORY_LIMIT);
    assert_true(kn_budget_refused(stream) == 1);
    assert_true(kn_budget_refused(store) == 0);

    assert_int_equal(kn_budget_claim(store, 40), 0);
    assert_int_equal(kn_budget_claim(stream, 20), KN_E_MEMORY_LIMIT);
    assert_int_equal(kn_budget_used(stream), 50);
    assert_int_equal(kn_budget_used(store), 90);
    assert_int_equal(kn_budget_used(all), 90);
    assert_true(kn_budget_refused(stream) == 2);
    assert_true(kn_budget_refused(store) == 1);
    assert_true(kn_budget_refused(all) == 0);

    kn_budget_release(stream, 50);
    kn_budget_release(store, 40);
    assert_int_equal(kn_budget_used(all), 0);
    assert_ptr_equal(kn_budget_ref(stream), stream);
    kn_budget_unref(stream);
    kn_budget_unref(store);
    kn_budget_unref(stream);
}

static void allocated_buffers_are_aligned_and_counted(void **state) {
    (void)state;
    struct kn_budget *budget;
    assert_int_equal(kn_budget_create(3000, NULL, &budget), 0);
    static const size_t sizes[] = {0, 1, 63, 64, 65, 1000};
    for (size_t i = 0; i < KN_COUNT(sizes); i++) {
        struct kn_buffer *buffer;
        uint8_t *room;
        assert_int_equal(kn_buffer_alloc(budget, sizes[i], &room, &buffer), 0);
        assert_ptr_equal(room, buffer->data);
        assert_int_equal((uintptr_t)room % 64, 0);
        assert_int_equal(buffer->size, sizes[i]);
        assert_int_equal(kn_budget_used(budget), sizes[i]);
        memset(room, 0xa5, sizes[i]);
        assert_ptr_equal(kn_buffer_ref(buffer), buffer);
        kn_buffer_unref(buffer);
        assert_int_equal(kn_budget_used(budget), sizes[i]);
        kn_buffer_unref(buffer);
        assert_int_equal(kn_budget_used(budget), 0);
    }
    struct kn_buffer *buffer = NULL;
    uint8_t *room = NULL;
    assert_int_equal(kn_buffer_alloc(budget, 3001, &room, &buffer), KN_E_MEMORY_LIMIT);
    assert_int_equal(kn_buffer_alloc(budget, SIZE_MAX, &room, &buffer), -ENOMEM);
    assert_int_equal(kn_buffer_alloc(NULL, SIZE_MAX - 64, &room, &buffer), -ENOMEM);
    assert_null(buffer);
    assert_null(room);
    assert_int_equal(kn_buffer_alloc(NULL, 10, &room, &buffer), 0);
    kn_buffer_unref(buffer);
    kn_buffer_unref(NULL);
    kn_budget_unref(budget);
}

static void a_buffer_keeps_its_budget(void **state) {
    (void)state;
    struct kn_budget *parent, *budget;
    struct kn_buffer *buffer;
    uint8_t *room;
    assert_int_equal(kn_budget_create(100, NULL, &parent), 0);
    assert_int_equal(kn_budget_create(100, parent, &budget), 0);
    assert_int_equal(kn_buffer_alloc(budget, 80, &room, &buffer), 0);
    kn_budget_unref(budget);
    assert_int_equal(kn_budget_used(parent), 80);
    kn_buffer_shrink(buffer, 30);
    assert_int_equal(buffer->size, 30);
    assert_int_equal(kn_budget_used(parent), 80); /* the bytes are still allocated */
    kn_buffer_shrink(buffer, 30);
    assert_int_equal(buffer->size, 30);
    kn_buffer_unref(buffer);
    assert_int_equal(kn_budget_used(parent), 0);
    kn_budget_unref(parent);
}

static void count_release(void *user) {
    atomic_fetch_add((atomic_uint *)user, 1);
}

static void wrapped_bytes_are_released_once(void **state) {
    (void)state;
    atomic_uint released = 0;
    static const uint8_t bytes[100];
    struct kn_budget *budget;
    struct kn_buffer *buffer = NULL, *other = NULL;
    assert_int_equal(kn_budget_create(150, NULL, &budget), 0);
    assert_int_equal(kn_buffer_wrap(budget, bytes, 100, count_release, &released, &buffer), 0);
    assert_ptr_equal(buffer->data, bytes);
    assert_int_equal(kn_buffer_wrap(budget, bytes, 100, count_release, &released, &other),
                     KN_E_MEMORY_LIMIT);
    assert_null(other);
    kn_buffer_ref(buffer);
    kn_buffer_unref(buffer);
    assert_int_equal(released, 0);
    kn_buffer_unref(buffer);
    assert_int_equal(released, 1);
    assert_int_equal(kn_budget_used(budget), 0);
    /* Bytes that need no release. */
    assert_int_equal(kn_buffer_wrap(NULL, bytes, 100, NULL, NULL, &buffer), 0);
    kn_buffer_unref(buffer);
    kn_budget_unref(budget);
}

static void out_of_memory_claims_nothing(void **state) {
    (void)state;
    atomic_uint released = 0;
    static const uint8_t bytes[10];
    struct kn_budget *budget, *no_budget = NULL;
    struct kn_buffer *buffer = NULL;
    uint8_t *room = NULL;
    assert_int_equal(kn_budget_create(100, NULL, &budget), 0);
    fail_alloc_always();
    int created = kn_budget_create(100, budget, &no_budget);
    int allocated = kn_buffer_alloc(budget, 10, &room, &buffer);
    int wrapped = kn_buffer_wrap(budget, bytes, 10, count_release, &released, &buffer);
    unsigned long count = fail_alloc_count();
    fail_alloc_stop();
    assert_int_equal(created, -ENOMEM);
    assert_int_equal(allocated, -ENOMEM);
    assert_int_equal(wrapped, -ENOMEM);
    assert_int_equal(count, 3); /* one allocation each */
    assert_null(no_budget);
    assert_null(buffer);
    assert_null(room);
    assert_int_equal(released, 0);
    assert_int_equal(kn_budget_used(budget), 0);
    kn_budget_unref(budget);
}

static void samples_hold_their_buffer(void **state) {
    (void)state;
    atomic_uint released = 0;
    static const uint8_t bytes[10];
    struct kn_sample sample = {.data = bytes + 2, .size = 3, .pts_ns = -5};
    assert_int_equal(kn_buffer_wrap(NULL, bytes, 10, count_release, &released, &sample.buffer), 0);
    struct kn_sample copy = kn_sample_ref(&sample);
    kn_sample_unref(&sample);
    assert_null(sample.buffer);
    assert_int_equal(released, 0);
    assert_ptr_equal(copy.data, bytes + 2);
    assert_true(copy.pts_ns == -5);
    kn_sample_unref(&copy);
    assert_int_equal(released, 1);
    kn_sample_unref(&copy);
}

#define SHARED_ROUNDS 20000

static void *share(void *user) {
    struct kn_buffer *buffer = user;
    unsigned sum = 0;
    for (int i = 0; i < SHARED_ROUNDS; i++) {
        struct kn_buffer *mine = kn_buffer_ref(buffer);
        sum += mine->data[i % 64];
        kn_buffer_unref(mine);
    }
    kn_buffer_unref(buffer);
    return sum == 0 ? NULL : buffer;
}

static void start_all(pthread_t *threads, void *(*run)(void *), void *user) {
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, user), 0);
    }
}

static void join_all(pthread_t *threads) {
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void threads_share_a_buffer(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    struct kn_budget *budget;
    struct kn_buffer *buffer;
    uint8_t *room;
    assert_int_equal(kn_budget_create(64, NULL, &budget), 0);
    assert_int_equal(kn_buffer_alloc(budget, 64, &room, &buffer), 0);
    memset(room, 1, 64);
    for (int i = 0; i < THREADS; i++) {
        kn_buffer_ref(buffer);
    }
    start_all(threads, share, buffer);
    kn_buffer_unref(buffer);
    join_all(threads);
    assert_int_equal(kn_budget_used(budget), 0);
    kn_budget_unref(budget);
}

struct crowd {
    struct kn_budget *budgets[2];
    atomic_uint next;
    atomic_uint got, refused;
    atomic_bool over;
};

static void *allocate(void *user) {
    struct crowd *crowd = user;
    struct kn_budget *mine = crowd->budgets[atomic_fetch_add(&crowd->next, 1) % 2];
    struct kn_buffer *held[8] = {NULL};
    for (unsigned i = 0; i < 8000; i++) {
        struct kn_buffer *buffer;
        uint8_t *room;
        size_t size = i * 7 % 100;
        if (kn_buffer_alloc(mine, size, &room, &buffer) == 0) {
            memset(room, (int)i, size);
            kn_buffer_shrink(buffer, size / 2);
            kn_buffer_unref(held[i % 8]);
            held[i % 8] = buffer;
            atomic_fetch_add(&crowd->got, 1);
        } else {
            atomic_fetch_add(&crowd->refused, 1);
        }
        if (kn_budget_used(mine) > kn_budget_max(mine)) {
            atomic_store(&crowd->over, true);
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        kn_buffer_unref(held[i]);
    }
    return NULL;
}

static void threads_share_budgets(void **state) {
    (void)state;
    struct crowd crowd = {.got = 0};
    struct kn_budget *parent;
    pthread_t threads[THREADS];
    assert_int_equal(kn_budget_create(250, NULL, &parent), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kn_budget_create(150, parent, &crowd.budgets[i]), 0);
    }
    start_all(threads, allocate, &crowd);
    join_all(threads);
    assert_false(crowd.over);
    assert_int_equal(crowd.got + crowd.refused, THREADS * 8000);
    assert_true(crowd.refused > 0 && crowd.got > 0);
    assert_true(kn_budget_refused(crowd.budgets[0]) + kn_budget_refused(crowd.budgets[1]) ==
                crowd.refused);
    assert_int_equal(kn_budget_used(parent), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kn_budget_used(crowd.budgets[i]), 0);
        kn_budget_unref(crowd.budgets[i]);
    }
    kn_budget_unref(parent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budgets_claim_and_release),
        cmocka_unit_test(a_claim_counts_in_all_or_in_none),
        cmocka_unit_test(allocated_buffers_are_aligned_and_counted),
        cmocka_unit_test(a_buffer_keeps_its_budget),
        cmocka_unit_test(wrapped_bytes_are_released_once),
        cmocka_unit_test(out_of_memory_claims_nothing),
        cmocka_unit_test(samples_hold_their_buffer),
        cmocka_unit_test(threads_share_a_buffer),
        cmocka_unit_test(threads_share_budgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
