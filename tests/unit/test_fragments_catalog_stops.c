/* A catalog stopped at every operation of a load of changes. */
#include "tests/unit/fragments_catalog_load.h"

static void stop_everywhere(size_t copies) {
    uint64_t opening;
    uint64_t operations = load_count_operations(copies, &opening);
    for (uint64_t k = 1; k <= operations; k++) {
        struct mem_io *mem = load_folders_create();
        struct fault_io fault;
        struct load_history history;
        fault_io_init(&fault, mem_io(mem));
        fault.stop_at = k;
        fault.torn = k % 2 == 0;
        int rc = load_run(&fault, copies, LOAD_CHANGES, &history);
        assert_int_equal(rc, k <= opening && history.count == 0 ? rc : 0);
        load_check_left(mem, copies, &history, SIZE_MAX);
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
}

static void stopped_at_every_operation_with_one_copy(void **state) {
    (void)state;
    stop_everywhere(1);
}

static void stopped_at_every_operation_with_three_copies(void **state) {
    (void)state;
    stop_everywhere(3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_at_every_operation_with_one_copy),
        cmocka_unit_test(stopped_at_every_operation_with_three_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
