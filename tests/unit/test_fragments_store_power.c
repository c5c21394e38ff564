/* What power cuts leave of a whole store: reels, journal and SQLite in one record of writes, cut
 * just behind, just before and between syncs. */
#include "base/log.h"
#include "tests/unit/fragments_store_script.h"

#define CUTS 400

static struct script script;

static void quiet(const char *line, size_t bytes, void *user) {
    (void)line;
    (void)bytes;
    (void)user;
}

/* KINORA_POWER_CUTS asks for more. */
static uint64_t wanted_cuts(void) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    const char *text = getenv("KINORA_POWER_CUTS");
    return text != NULL ? strtoull(text, NULL, 10) : CUTS;
}

static uint64_t next_random(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

/* A third just behind a sync, a third just before one, the rest anywhere. */
static size_t choose_cut(const struct fault_io *fault, uint64_t number, uint64_t *seed) {
    size_t any = (size_t)(next_random(seed) % (fault->step_count + 1));
    size_t sync = fault_io_next_sync(fault, any);
    if (number % 3 == 0 || sync == 0) {
        return any;
    }
    return number % 3 == 1 ? sync : sync - 1;
}

static void cut(const struct fault_io *fault, size_t steps, uint64_t seed) {
    struct mem_io *left = mem_io_create();
    assert_int_equal(mem_io(left)->make_folder(mem_io(left), "a"), 0);
    fault_io_power_cut(fault, steps, seed, mem_io(left));
    script_check(&script, left, steps);
    mem_io_destroy(left);
}

static void cut_power(void **state) {
    (void)state;
    uint64_t seed = 1;
    script_setup(&script);
    script.fault.record = true;
    script_run(&script, true);
    assert_true(script.fact_count > 50);
    uint64_t cuts = wanted_cuts();
    for (uint64_t i = 0; i < cuts; i++) {
        size_t steps = choose_cut(&script.fault, i, &seed);
        cut(&script.fault, steps, next_random(&seed));
    }
    print_message("# %llu images of %zu changes\n", (unsigned long long)cuts,
                  script.fault.step_count);
    script_finish(&script);
}

/* Some syncs fail before the power goes. */
static void cut_power_after_failures(void **state) {
    (void)state;
    uint64_t seed = 2;
    uint64_t rounds = 10 + wanted_cuts() / 40;
    for (uint64_t round = 0; round < rounds; round++) {
        script_setup(&script);
        script.fault.record = true;
        script.fault.torn = true;
        script.fault.folders_recover = true;
        script.fault.fail_at = 40 + next_random(&seed) % 500;
        script.fault.fail_count = 1 + next_random(&seed) % 3;
        script.fault.fail_kinds = round % 2 == 0 ? 1u << FAULT_SYNCING : 6;
        script.fault.fail_path = "a/reels";
        script.fault.fail_error = round % 3 == 0 ? -ENOSPC : -EIO;
        script_run(&script, true);
        for (int i = 0; i < 8; i++) {
            size_t steps = choose_cut(&script.fault, (uint64_t)i, &seed);
            cut(&script.fault, steps, next_random(&seed));
        }
        script_finish(&script);
    }
}

int main(void) {
    kn_log_set_sink(quiet, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_power),
        cmocka_unit_test(cut_power_after_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
