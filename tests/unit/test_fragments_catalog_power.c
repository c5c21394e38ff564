/* What power cuts leave of a catalog. */
#include "tests/unit/fragments_catalog_load.h"

static void cut_power(const struct fault_io *fault, size_t copies,
                      const struct load_history *history, uint64_t cuts, uint64_t seed) {
    for (uint64_t i = 0; i < cuts; i++) {
        struct mem_io *left = load_folders_create();
        size_t steps = (size_t)(load_random(&seed) % (fault->step_count + 1));
        fault_io_power_cut(fault, steps, seed, mem_io(left));
        load_check_left(left, copies, history, steps);
        mem_io_destroy(left);
    }
}

static void power_cuts(void **state) {
    (void)state;
    for (size_t copies = 1; copies <= 3; copies += 2) {
        struct mem_io *mem = load_folders_create();
        struct fault_io fault;
        struct load_history history;
        fault_io_init(&fault, mem_io(mem));
        fault.record = true;
        assert_int_equal(load_run(&fault, copies, LOAD_CHANGES, &history), 0);
        cut_power(&fault, copies, &history, 300, copies);
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
}

static void power_cuts_after_failures(void **state) {
    (void)state;
    uint64_t seed = 7;
    for (uint64_t round = 0; round < 60; round++) {
        struct mem_io *mem = load_folders_create();
        struct fault_io fault;
        struct load_history history;
        size_t copies = 1 + (size_t)(round % 3);
        fault_io_init(&fault, mem_io(mem));
        fault.record = true;
        fault.torn = true;
        fault.fail_at = 30 + load_random(&seed) % 400;
        fault.fail_error = round % 2 == 0 ? -EIO : -ENOSPC;
        fault.fail_count = 1 + load_random(&seed) % 6;
        fault.fail_kinds = round % 4 == 0 ? 1u << FAULT_SYNCING : 6;
        assert_int_equal(load_run(&fault, copies, LOAD_CHANGES, &history), 0);
        cut_power(&fault, copies, &history, 8, load_random(&seed));
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
}

static void power_cuts_after_patterns_of_failures(void **state) {
    (void)state;
    uint64_t seed = 5;
    for (uint64_t round = 0; round < 100; round++) {
        struct mem_io *mem = load_folders_create();
        struct fault_io fault;
        struct load_history history;
        size_t copies = 1 + (size_t)(round % 3);
        fault_io_init(&fault, mem_io(mem));
        fault.record = true;
        fault.torn = true;
        fault.fail_at = 20 + load_random(&seed) % 60;
        fault.fail_pattern = load_random(&seed) & load_random(&seed);
        assert_int_equal(load_run(&fault, copies, 40, &history), 0);
        cut_power(&fault, copies, &history, 8, load_random(&seed));
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_cuts),
        cmocka_unit_test(power_cuts_after_failures),
        cmocka_unit_test(power_cuts_after_patterns_of_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
