/* Who sends and reads: entries, limits, rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "server/live.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/fake_clock.h"

struct test {
    struct fake_clock clock;
    struct srv_live *live;
};

static struct test test;

static int setup(void **state) {
    fake_clock_init(&test.clock, 1000 * KN_NS_PER_S, KN_NS_PER_S);
    const struct srv_live_config config = {.max_entries = 3, .clock = &test.clock.clock};
    *state = &test;
    return srv_live_create(&config, &test.live);
}

static int teardown(void **state) {
    (void)state;
    srv_live_destroy(test.live);
    return 0;
}

static struct srv_live_entry *add(const char *stream, enum srv_live_side side) {
    const struct srv_live_about about = {.side = side,
                                         .protocol = "replay",
                                         .stream = stream,
                                         .peer = "box.mkv",
                                         .principal = "eve"};
    return srv_live_add(test.live, &about);
}

struct seen {
    size_t count;
    struct srv_live_info infos[8];
};

static int see(const struct srv_live_info *info, void *user) {
    struct seen *seen = user;
    assert_true(seen->count < KN_COUNT(seen->infos));
    seen->infos[seen->count++] = *info;
    return 0;
}

static int refuse(const struct srv_live_info *info, void *user) {
    (void)see(info, user);
    return -ECANCELED;
}

static struct seen list(const char *stream) {
    struct seen seen = {0};
    assert_int_equal(srv_live_each(test.live, stream, see, &seen), 0);
    return seen;
}

static void entries_are_listed_in_order_and_by_stream(void **state) {
    (void)state;
    assert_int_equal(list(NULL).count, 0);
    struct srv_live_entry *door = add("door", SRV_LIVE_PRODUCER);
    struct srv_live_entry *gate = add("gate", SRV_LIVE_CONSUMER);
    struct srv_live_entry *other = add("door", SRV_LIVE_CONSUMER);
    struct seen all = list(NULL);
    assert_int_equal(all.count, 3);
    assert_string_equal(all.infos[0].stream, "door");
    assert_string_equal(all.infos[0].protocol, "replay");
    assert_string_equal(all.infos[0].peer, "box.mkv");
    assert_string_equal(all.infos[0].principal, "eve");
    assert_int_equal(all.infos[0].since.ns, 1000 * KN_NS_PER_S);
    assert_true(all.infos[0].id < all.infos[1].id && all.infos[1].id < all.infos[2].id);
    assert_int_equal(list("door").count, 2);
    assert_int_equal(list("gate").infos[0].side, SRV_LIVE_CONSUMER);
    assert_int_equal(list("nobody").count, 0);

    srv_live_remove(gate);
    assert_int_equal(list("gate").count, 0);
    srv_live_remove(door);
    struct seen rest = list(NULL);
    assert_int_equal(rest.count, 1);
    assert_int_equal(rest.infos[0].id, all.infos[2].id);
    srv_live_remove(other);
    assert_int_equal(list(NULL).count, 0);
}

static void over_the_limit_nothing_is_counted(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_non_null(add("door", SRV_LIVE_PRODUCER));
    }
    struct srv_live_entry *none = add("door", SRV_LIVE_PRODUCER);
    assert_null(none);
    srv_live_count(none, 1, 1);
    srv_live_set(none, 1, 1);
    srv_live_remove(none);
    assert_int_equal(list("door").count, 3);
    struct seen seen = {0};
    assert_int_equal(srv_live_each(test.live, NULL, refuse, &seen), -ECANCELED);
    assert_int_equal(seen.count, 1);
}

static void rates_are_over_the_last_ten_seconds(void **state) {
    (void)state;
    struct srv_live_entry *door = add("door", SRV_LIVE_PRODUCER);
    srv_live_count(door, 500, 1);
    assert_int_equal(list("door").infos[0].bytes_per_s, 0); /* nobody ticked */
    fake_clock_advance(&test.clock, KN_NS_PER_S);
    srv_live_tick(test.live);
    assert_int_equal(list("door").infos[0].bytes_per_s, 500);
    for (int i = 0; i < 9; i++) {
        fake_clock_advance(&test.clock, KN_NS_PER_S);
        srv_live_tick(test.live);
    }
    assert_int_equal(list("door").infos[0].bytes_per_s, 50);
    fake_clock_advance(&test.clock, KN_NS_PER_S);
    srv_live_tick(test.live); /* the 500 are eleven seconds old */
    assert_int_equal(list("door").infos[0].bytes_per_s, 0);
    assert_int_equal(list("door").infos[0].bytes, 500);
    assert_int_equal(list("door").infos[0].fragments, 1);

    srv_live_set(door, 5500, 7);
    fake_clock_advance(&test.clock, 10 * KN_NS_PER_S); /* a late tick */
    srv_live_tick(test.live);
    assert_int_equal(list("door").infos[0].bytes_per_s, 5000 / 19);
    srv_live_set(door, 10, 0); /* begun again */
    fake_clock_advance(&test.clock, KN_NS_PER_S);
    srv_live_tick(test.live);
    assert_int_equal(list("door").infos[0].bytes_per_s, 0);
    assert_int_equal(list("door").infos[0].bytes, 10);
}

static void texts_from_outside_are_cut_and_plain(void **state) {
    (void)state;
    char peer[400];
    memset(peer, 'p', sizeof(peer) - 1);
    peer[sizeof(peer) - 1] = '\0';
    const struct srv_live_about about = {
        .protocol = "a protocol with a long name", .peer = peer, .principal = "e\nv\xff"};
    assert_non_null(srv_live_add(test.live, &about));
    struct seen seen = list("");
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.infos[0].protocol, "a protocol with");
    assert_int_equal(strlen(seen.infos[0].peer), sizeof(seen.infos[0].peer) - 1);
    assert_string_equal(seen.infos[0].principal, "e?v?");
}

static void memory_may_end(void **state) {
    (void)state;
    assert_non_null(add("door", SRV_LIVE_PRODUCER));
    struct seen seen = {0};
    fail_alloc_at(1);
    assert_null(add("door", SRV_LIVE_PRODUCER));
    fail_alloc_at(1);
    assert_int_equal(srv_live_each(test.live, NULL, see, &seen), -ENOMEM);
    fail_alloc_at(1);
    const struct srv_live_config config = {0};
    struct srv_live *live = NULL;
    assert_int_equal(srv_live_create(&config, &live), -ENOMEM);
    fail_alloc_stop();
    assert_null(live);
    assert_int_equal(list(NULL).count, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_are_listed_in_order_and_by_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(over_the_limit_nothing_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(rates_are_over_the_last_ten_seconds, setup, teardown),
        cmocka_unit_test_setup_teardown(texts_from_outside_are_cut_and_plain, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_may_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
