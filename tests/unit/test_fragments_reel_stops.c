/* What a stop at any operation, a failing one and a power cut leave of reels. */
#include "tests/unit/fragments_reel_load.h"

static uint64_t count_operations(void) {
    struct load_reel loads[LOAD_REELS];
    struct mem_io *mem = load_disk();
    struct fault_io fault;
    fault_io_init(&fault, mem_io(mem));
    assert_int_equal(load_run(&fault, loads), 0);
    uint64_t operations = fault.operations;
    fault_io_finish(&fault);
    mem_io_destroy(mem);
    return operations;
}

static void stops_at_every_operation(void **state) {
    (void)state;
    uint64_t operations = count_operations();
    assert_true(operations > 80);
    for (uint64_t k = 1; k <= operations + 1; k++) {
        struct load_reel loads[LOAD_REELS];
        struct mem_io *mem = load_disk();
        struct fault_io fault;
        fault_io_init(&fault, mem_io(mem));
        fault.stop_at = k;
        fault.torn = k % 2 == 0;
        int rc = load_run(&fault, loads);
        /* What fails to be allocated ahead is made up for; the next operation fails. */
        assert_int_equal(rc, k <= operations ? -ECANCELED : 0);
        for (size_t i = 0; i < LOAD_REELS; i++) {
            if (loads[i].path[0] != '\0') {
                load_check_left(mem, &loads[i], fault.step_count);
            }
        }
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
}

/* The failing call says so, no other one does anything any more, and what was synced stands. */
static void fails_at_every_operation(void **state) {
    (void)state;
    static const int errors[] = {-EIO, -ENOSPC};
    uint64_t operations = count_operations();
    unsigned went_on = 0; /* where it was the allocating ahead, once a reel */
    for (uint64_t k = 1; k <= operations; k++) {
        struct load_reel loads[LOAD_REELS];
        struct mem_io *mem = load_disk();
        struct fault_io fault;
        fault_io_init(&fault, mem_io(mem));
        fault.fail_at = k;
        fault.fail_error = errors[k % 2];
        fault.torn = k % 3 == 0;
        int rc = load_run(&fault, loads);
        assert_true(rc == fault.fail_error || rc == 0);
        went_on += rc == 0 ? 1 : 0;
        for (size_t i = 0; i < LOAD_REELS; i++) {
            if (loads[i].path[0] != '\0') {
                load_check_left(mem, &loads[i], fault.step_count);
            }
        }
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
    assert_int_equal(went_on, LOAD_REELS);
}

static void cut_power(const struct fault_io *fault, const struct load_reel *loads, uint64_t cuts,
                      uint64_t seed) {
    for (uint64_t i = 0; i < cuts; i++) {
        struct mem_io *left = load_disk();
        size_t steps = (size_t)(load_random(&seed) % (fault->step_count + 1));
        fault_io_power_cut(fault, steps, seed, mem_io(left));
        for (size_t j = 0; j < LOAD_REELS; j++) {
            load_check_left(left, &loads[j], steps);
        }
        mem_io_destroy(left);
    }
}

/* With short writes each piece has its own fate: holes in the midst of a cluster. */
static void power_cuts(void **state) {
    (void)state;
    static const size_t write_max[] = {0, 0, 512, 100};
    for (size_t i = 0; i < KN_COUNT(write_max); i++) {
        struct load_reel loads[LOAD_REELS];
        struct mem_io *mem = load_disk();
        struct fault_io fault;
        fault_io_init(&fault, mem_io(mem));
        fault.record = true;
        fault.write_max = write_max[i];
        assert_int_equal(load_run(&fault, loads), 0);
        cut_power(&fault, loads, 150, i);
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
}

static void power_cuts_after_failures(void **state) {
    (void)state;
    uint64_t operations = count_operations();
    for (uint64_t round = 0; round < 20; round++) {
        struct load_reel loads[LOAD_REELS];
        struct mem_io *mem = load_disk();
        struct fault_io fault;
        fault_io_init(&fault, mem_io(mem));
        fault.record = true;
        fault.torn = true;
        fault.fail_at = operations / 4 + round * operations / 28;
        fault.fail_kinds = round % 2 == 0 ? 1u << FAULT_SYNCING : 0;
        (void)load_run(&fault, loads); /* fails somewhere, or not */
        cut_power(&fault, loads, 8, round);
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
}

/* A reel that was left open, with a torn end. */
static struct mem_io *leave_open(struct load_reel *load) {
    struct mem_io *mem = load_disk();
    struct frag_reel *reel = NULL;
    size_t size = 0;
    assert_int_equal(load_create(mem_io(mem), 0, load, &reel), 0);
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(load_append(reel, load), 0);
    }
    assert_int_equal(load_sync(reel, load, NULL), 0);
    assert_int_equal(load_append(reel, load), 0);
    frag_reel_abandon(reel);
    uint8_t *file = mem_io_peek(mem, load->path, &size);
    file[size - 9] ^= 1;
    return mem;
}

static uint64_t recover_under(struct mem_io *mem, struct load_reel *load, uint64_t stop_at,
                              uint64_t fail_at, int expected) {
    struct fault_io fault;
    struct load_found found;
    fault_io_init(&fault, mem_io(mem));
    fault.stop_at = stop_at;
    fault.torn = stop_at % 2 == 0;
    fault.fail_at = fail_at;
    assert_int_equal(load_recover(&fault.io, load->path, &found), expected);
    fault_io_finish(&fault);
    return fault.operations;
}

static void recovery_stops_and_fails_anywhere(void **state) {
    (void)state;
    struct load_reel load;
    struct mem_io *mem = leave_open(&load);
    uint64_t operations = recover_under(mem, &load, 0, 0, 0);
    mem_io_destroy(mem);
    assert_true(operations > 10);
    for (uint64_t k = 1; k <= operations; k++) {
        mem = leave_open(&load);
        (void)recover_under(mem, &load, k, 0, -ECANCELED);
        load_check_left(mem, &load, 0);
        mem_io_destroy(mem);
        mem = leave_open(&load);
        (void)recover_under(mem, &load, 0, k, -EIO);
        load_check_left(mem, &load, 0);
        mem_io_destroy(mem);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_at_every_operation),
        cmocka_unit_test(fails_at_every_operation),
        cmocka_unit_test(power_cuts),
        cmocka_unit_test(power_cuts_after_failures),
        cmocka_unit_test(recovery_stops_and_fails_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
