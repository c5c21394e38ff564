/* A whole store stopped at every operation, as if killed: what was promised is there. */
#include "base/log.h"
#include "tests/unit/fragments_store_script.h"

static struct script script;

static void quiet(const char *line, size_t bytes, void *user) {
    (void)line;
    (void)bytes;
    (void)user;
}

static uint64_t stride(void) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    const char *text = getenv("KINORA_STOPS_STRIDE");
    return text != NULL ? strtoull(text, NULL, 10) : 1;
}

static uint64_t whole_life(void) {
    script_setup(&script);
    script_run(&script, true);
    uint64_t operations = script.fault.operations;
    assert_true(script.fact_count > 50);
    script_check(&script, script.mem, script.fault.step_count);
    script_finish(&script);
    return operations;
}

static void stop_at_every_operation(void **state) {
    (void)state;
    uint64_t operations = whole_life();
    uint64_t stops = 0;
    for (uint64_t k = 1; k <= operations; k += stride()) {
        for (int torn = 0; torn < 2; torn++) {
            script_setup(&script);
            script.fault.stop_at = k;
            script.fault.torn = torn != 0;
            script_run(&script, true);
            script_check(&script, script.mem, SIZE_MAX);
            script_finish(&script);
            stops++;
        }
    }
    print_message("# %llu operations, %llu stops\n", (unsigned long long)operations,
                  (unsigned long long)stops);
}

int main(void) {
    kn_log_set_sink(quiet, NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(stop_at_every_operation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
