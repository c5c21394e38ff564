/* A catalog whose file system fails at every operation of a load of changes. */
#include "tests/unit/fragments_catalog_load.h"

struct failing {
    int error;
    uint64_t count;
    unsigned kinds;
    const char *path;
    bool torn;
};

/* Returns how many changes failed. */
static unsigned fail_at(size_t copies, uint64_t k, const struct failing *failing) {
    struct mem_io *mem = load_folders_create();
    struct fault_io fault;
    struct load_history history;
    unsigned failed = 0;
    fault_io_init(&fault, mem_io(mem));
    fault.fail_at = k;
    fault.fail_error = failing->error;
    fault.fail_count = failing->count;
    fault.fail_kinds = failing->kinds;
    fault.fail_path = failing->path;
    fault.torn = failing->torn;
    int rc = load_run(&fault, copies, LOAD_CHANGES, &history);
    assert_true(rc == 0 || rc == failing->error);
    for (int i = 0; i < history.count; i++) {
        failed += history.result[i] < 0 && history.result[i] != -ENOENT;
    }
    load_check_left(mem, copies, &history, SIZE_MAX);
    fault_io_finish(&fault);
    mem_io_destroy(mem);
    return failed;
}

static void each_operation_of_one_copy_fails(void **state) {
    (void)state;
    uint64_t opening;
    uint64_t operations = load_count_operations(1, &opening);
    for (uint64_t k = 1; k <= operations; k++) {
        const struct failing errors = {.error = -EIO, .torn = k % 2 == 0};
        const struct failing full = {.error = -ENOSPC, .torn = k % 2 == 1};
        /* One failure costs at most the change that met it. */
        assert_true(fail_at(1, k, &errors) <= 1);
        assert_true(fail_at(1, k, &full) <= 1);
    }
}

static void each_operation_of_three_copies_fails(void **state) {
    (void)state;
    uint64_t opening;
    uint64_t operations = load_count_operations(3, &opening);
    for (uint64_t k = 1; k <= operations; k += 5) {
        const struct failing failing = {.error = k % 2 == 1 ? -EIO : -ENOSPC, .torn = k % 8 < 4};
        /* The others have it. */
        assert_int_equal(fail_at(3, k, &failing), 0);
    }
}

static void one_of_three_disks_breaks(void **state) {
    (void)state;
    uint64_t opening;
    uint64_t operations = load_count_operations(3, &opening);
    for (uint64_t k = opening + 1; k <= operations; k += 23) {
        for (size_t i = 0; i < LOAD_COPIES; i++) {
            const struct failing failing = {
                .error = -EIO, .count = UINT64_MAX, .path = load_folders[i], .torn = true};
            assert_int_equal(fail_at(3, k, &failing), 0);
        }
    }
}

/* Two kinds of trouble for two disks in a row: what was burnt must not come back. */
static void several_failures_in_a_row(void **state) {
    (void)state;
    uint64_t opening;
    uint64_t operations = load_count_operations(3, &opening);
    for (uint64_t k = 1; k <= operations; k += 11) {
        struct failing failing = {.error = -EIO, .count = 2 + k % 9, .torn = k % 2 == 0};
        (void)fail_at(1 + (size_t)(k % 3), k, &failing);
        failing.kinds = 1u << FAULT_SYNCING;
        (void)fail_at(1 + (size_t)(k % 3), k, &failing);
        failing.kinds = 1u << FAULT_WRITING;
        failing.error = -ENOSPC;
        (void)fail_at(1 + (size_t)(k % 3), k, &failing);
    }
}

static void nothing_can_be_synced_any_more(void **state) {
    (void)state;
    for (size_t copies = 1; copies <= 3; copies++) {
        const struct failing failing = {
            .error = -EIO, .count = UINT64_MAX, .kinds = 1u << FAULT_SYNCING};
        assert_true(fail_at(copies, 150, &failing) > 100); /* all from then on */
    }
}

static void a_full_disk_is_no_end(void **state) {
    (void)state;
    const struct failing failing = {
        .error = -ENOSPC, .count = 20, .kinds = 1u << FAULT_WRITING, .torn = true};
    struct mem_io *mem = load_folders_create();
    struct fault_io fault;
    struct load_history history;
    fault_io_init(&fault, mem_io(mem));
    fault.fail_at = 100;
    fault.fail_error = failing.error;
    fault.fail_kinds = failing.kinds;
    fault.fail_count = failing.count;
    assert_int_equal(load_run(&fault, 1, LOAD_CHANGES, &history), 0);
    /* Each failed write was followed by a cut that failed too and a new journal that failed: until
     * there was room again. */
    assert_int_equal(history.result[history.count - 1], 0);
    unsigned refused = 0;
    for (int i = 0; i < history.count; i++) {
        refused += history.result[i] == KN_E_CLOSED ? 1 : 0;
    }
    assert_true(refused > 0);
    load_check_left(mem, 1, &history, SIZE_MAX);
    fault_io_finish(&fault);
    mem_io_destroy(mem);
}

static void short_writes_are_gone_on_with(void **state) {
    (void)state;
    for (size_t max = 1; max < 40; max += 6) {
        struct mem_io *mem = load_folders_create();
        struct fault_io fault;
        struct load_history history;
        fault_io_init(&fault, mem_io(mem));
        fault.write_max = max;
        assert_int_equal(load_run(&fault, 2, LOAD_CHANGES, &history), 0);
        load_check_left(mem, 2, &history, SIZE_MAX);
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
}

/* Any of 64 operations in a row, so that copies fail in different ways during one change. */
static void patterns_of_failures(void **state) {
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 700; round++) {
        struct mem_io *mem = load_folders_create();
        struct fault_io fault;
        struct load_history history;
        size_t copies = 2 + (size_t)(round % 2);
        fault_io_init(&fault, mem_io(mem));
        fault.fail_at = 20 + load_random(&seed) % 60;
        fault.fail_pattern = load_random(&seed) & load_random(&seed);
        fault.fail_error = round % 3 == 0 ? -ENOSPC : -EIO;
        fault.torn = round % 5 < 3;
        assert_int_equal(load_run(&fault, copies, 60, &history), 0);
        load_check_left(mem, copies, &history, SIZE_MAX);
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operation_of_one_copy_fails),
        cmocka_unit_test(each_operation_of_three_copies_fails),
        cmocka_unit_test(one_of_three_disks_breaks),
        cmocka_unit_test(several_failures_in_a_row),
        cmocka_unit_test(nothing_can_be_synced_any_more),
        cmocka_unit_test(a_full_disk_is_no_end),
        cmocka_unit_test(short_writes_are_gone_on_with),
        cmocka_unit_test(patterns_of_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
