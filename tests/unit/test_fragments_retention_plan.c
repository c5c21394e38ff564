#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fragments/store/retention.h"

#define MINUTE_NS (60 * KN_NS_PER_S)
#define HOUR_NS (60 * MINUTE_NS)
#define DAY_NS (24 * HOUR_NS)
#define NOW_NS (1000 * DAY_NS)
#define REELS 400

/* Two streams, two disks, room for reels. */
struct bench {
    struct frag_plan plan;
    struct frag_plan_stream streams[3];
    struct frag_plan_disk disks[2];
    struct frag_plan_reel reels[REELS];
    int64_t longer_ns; /* what looking at a reel adds to its end */
    int looks, look_fails_at, look_answers;
};

static int look(struct frag_plan_reel *reel, void *user) {
    struct bench *bench = user;
    assert_false(bench->plan.streams[reel->stream].deleting);
    bench->looks++;
    reel->to.ns += bench->longer_ns;
    return bench->looks == bench->look_fails_at ? bench->look_answers : 0;
}

static void init(struct bench *bench) {
    *bench = (struct bench){0};
    bench->plan = (struct frag_plan){.now = {NOW_NS},
                                     .until = {NOW_NS},
                                     .streams = bench->streams,
                                     .stream_count = 3,
                                     .disks = bench->disks,
                                     .disk_count = 2,
                                     .reels = bench->reels,
                                     .look = look,
                                     .user = bench};
    for (size_t i = 0; i < 3; i++) {
        bench->streams[i] =
            (struct frag_plan_stream){.retention_ns = FRAG_RETAIN_FOREVER, .disk = FRAG_PLAN_NONE};
    }
}

/* Ten minutes of 100 bytes that begin so long before now; in rising order. */
static struct frag_plan_reel *add(struct bench *bench, size_t stream, int64_t before_ns) {
    assert_true(bench->plan.reel_count < REELS);
    struct frag_plan_reel *reel = &bench->reels[bench->plan.reel_count++];
    *reel = (struct frag_plan_reel){.row = (int64_t)bench->plan.reel_count,
                                    .stream = stream,
                                    .from = {NOW_NS - before_ns},
                                    .to = {NOW_NS - before_ns + 10 * MINUTE_NS},
                                    .bytes = 100,
                                    .fragments = 300};
    bench->streams[stream].bytes += 100;
    return reel;
}

static void expect(struct bench *bench, int64_t row, enum frag_retention_cause cause) {
    struct frag_plan_item item;
    assert_int_equal(frag_plan_next(&bench->plan, &item), 1);
    assert_int_equal(bench->reels[item.reel].row, row);
    assert_int_equal(item.cause, cause);
    assert_false(item.deleted);
    assert_true(item.when.ns >= bench->plan.now.ns && item.when.ns <= bench->plan.until.ns);
}

static void expect_end(struct bench *bench) {
    struct frag_plan_item item;
    assert_int_equal(frag_plan_next(&bench->plan, &item), 0);
    assert_int_equal(frag_plan_next(&bench->plan, &item), 0);
}

static void test_nothing_goes(void **state) {
    (void)state;
    struct bench bench;
    init(&bench);
    frag_plan_start(&bench.plan);
    expect_end(&bench);
    add(&bench, 0, 900 * DAY_NS);
    bench.disks[0] = (struct frag_plan_disk){.free_bytes = 5, .least_bytes = 5};
    frag_plan_start(&bench.plan);
    expect_end(&bench);
    assert_int_equal(bench.looks, 0);
}

/* ---- age ---- */

static void test_age_counts_from_the_last_end(void **state) {
    (void)state;
    struct bench bench;
    init(&bench);
    bench.streams[0].retention_ns = HOUR_NS;
    add(&bench, 0, HOUR_NS + 11 * MINUTE_NS);
    add(&bench, 0, HOUR_NS + 10 * MINUTE_NS);
    add(&bench, 0, HOUR_NS + 9 * MINUTE_NS);
    frag_plan_start(&bench.plan);
    expect(&bench, 1, FRAG_RETENTION_AGE);
    expect(&bench, 2, FRAG_RETENTION_AGE); /* just now */
    expect_end(&bench);

    /* The last fragment is longer than its reel's row tells. */
    bench.reels[0].looked = bench.reels[1].looked = false;
    bench.longer_ns = MINUTE_NS;
    frag_plan_start(&bench.plan);
    expect(&bench, 1, FRAG_RETENTION_AGE);
    expect_end(&bench);
}

static void test_age_of_overlapping_reels(void **state) {
    (void)state;
    struct bench bench;
    init(&bench);
    bench.streams[0].retention_ns = HOUR_NS;
    add(&bench, 0, HOUR_NS + 9 * MINUTE_NS);
    add(&bench, 0, HOUR_NS + 8 * MINUTE_NS)->to.ns = NOW_NS - HOUR_NS - MINUTE_NS;
    frag_plan_start(&bench.plan);
    expect(&bench, 2, FRAG_RETENTION_AGE);
    expect_end(&bench);
}

static void test_what_age_never_takes(void **state) {
    (void)state;
    struct bench bench;
    struct frag_plan_item item;
    init(&bench);
    bench.streams[0].retention_ns = 0;
    bench.streams[0].retention_bytes = 1;
    bench.disks[0] = (struct frag_plan_disk){.free_bytes = 0, .least_bytes = UINT64_MAX};
    add(&bench, 0, DAY_NS)->writing = true;
    add(&bench, 0, DAY_NS)->disk = FRAG_PLAN_NONE;
    struct frag_plan_reel *kept = add(&bench, 0, DAY_NS);
    kept->kept = true;
    kept->held_fragments = 1;
    kept->held_bytes = 1;
    frag_plan_start(&bench.plan);
    expect_end(&bench);
    assert_int_equal(bench.plan.held_bytes, 100);

    /* In doubt nothing is told by age, all else is. */
    init(&bench);
    bench.streams[0].retention_ns = 0;
    add(&bench, 0, DAY_NS);
    bench.plan.clock_in_doubt = true;
    frag_plan_start(&bench.plan);
    expect_end(&bench);
    bench.streams[0].retention_bytes = 99;
    frag_plan_start(&bench.plan);
    expect(&bench, 1, FRAG_RETENTION_BYTES);
    expect_end(&bench);

    /* A kept reel without holds is as any other. */
    init(&bench);
    bench.streams[0].retention_ns = DAY_NS;
    add(&bench, 0, 2 * DAY_NS)->kept = true;
    frag_plan_start(&bench.plan);
    assert_int_equal(frag_plan_next(&bench.plan, &item), 1);
}

static void test_times_at_the_edge(void **state) {
    (void)state;
    struct kn_wall late = {INT64_MAX - 5};
    assert_int_equal(frag_plan_expiry(late, 10).ns, INT64_MAX);
    assert_int_equal(frag_plan_expiry(late, FRAG_RETAIN_FOREVER).ns, INT64_MAX);
    assert_int_equal(frag_plan_expiry((struct kn_wall){-7}, 2).ns, -5);
    struct bench bench;
    init(&bench);
    bench.streams[0].retention_ns = INT64_MAX - 1;
    add(&bench, 0, 5);
    bench.plan.until.ns = INT64_MAX;
    frag_plan_start(&bench.plan);
    expect_end(&bench);
}

/* ---- bytes ---- */

static void test_oldest_until_the_sum_is_within(void **state) {
    (void)state;
    struct bench bench;
    init(&bench);
    for (int i = 0; i < 6; i++) {
        add(&bench, 0, (10 - i) * HOUR_NS);
    }
    bench.streams[0].retention_bytes = 350;
    frag_plan_start(&bench.plan);
    expect(&bench, 1, FRAG_RETENTION_BYTES);
    expect(&bench, 2, FRAG_RETENTION_BYTES);
    expect(&bench, 3, FRAG_RETENTION_BYTES);
    expect_end(&bench);
    assert_int_equal(bench.streams[0].bytes, 300);
}

static void test_the_limit_of_another_stream(void **state) {
    (void)state;
    struct bench bench;
    init(&bench);
    add(&bench, 1, 10 * HOUR_NS);
    add(&bench, 0, 9 * HOUR_NS);
    add(&bench, 0, 8 * HOUR_NS);
    bench.streams[0].retention_bytes = 100;
    frag_plan_start(&bench.plan);
    expect(&bench, 2, FRAG_RETENTION_BYTES);
    expect_end(&bench);
}

static void test_age_comes_before_bytes(void **state) {
    (void)state;
    struct bench bench;
    init(&bench);
    for (int i = 0; i < 4; i++) {
        add(&bench, 0, (4 - i) * HOUR_NS);
    }
    bench.streams[0].retention_ns = 2 * HOUR_NS;
    bench.streams[0].retention_bytes = 250;
    frag_plan_start(&bench.plan);
    expect(&bench, 1, FRAG_RETENTION_AGE);
    expect(&bench, 2, FRAG_RETENTION_AGE); /* and that was enough */
    expect_end(&bench);
}

/* Held reels do not push out what is recorded now. */
static void test_held_bytes_do_not_count(void **state) {
    (void)state;
    struct bench bench;
    init(&bench);
    for (int i = 0; i < 3; i++) {
        struct frag_plan_reel *kept = add(&bench, 0, (20 - i) * HOUR_NS);
        kept->kept = true;
        kept->held_fragments = 300;
        kept->held_bytes = 90;
    }
    add(&bench, 0, 2 * HOUR_NS);
    add(&bench, 0, HOUR_NS);
    bench.streams[0].retention_bytes = 250;
    frag_plan_start(&bench.plan);
    expect_end(&bench);
    assert_int_equal(bench.streams[0].bytes, 200);
    bench.streams[0].retention_bytes = 150;
    bench.streams[0].bytes = 500;
    frag_plan_start(&bench.plan);
    expect(&bench, 4, FRAG_RETENTION_BYTES);
    expect_end(&bench);
}

/* What is copied stays, so it is not won. */
static void test_held_fragments_of_ordinary_reels(void **state) {
    (void)state;
    struct bench bench;
    init(&bench);
    struct frag_plan_reel *half = add(&bench, 0, 9 * HOUR_NS);
    half->held_fragments = 150;
    half->held_bytes = 50;
    struct frag_plan_reel *whole = add(&bench, 0, 8 * HOUR_NS);
    whole->held_fragments = 300;
    whole->held_bytes = 100;
    add(&bench, 0, 7 * HOUR_NS);
    add(&bench, 0, 6 * HOUR_NS);
    for (size_t i = 0; i < 4; i++) {
        bench.reels[i].bytes = 100000;
        bench.reels[i].held_bytes *= 1000;
    }
    bench.streams[0].bytes = 400000;
    bench.streams[0].retention_bytes = 280000;
    frag_plan_start(&bench.plan);
    expect(&bench, 1, FRAG_RETENTION_BYTES);
    expect(&bench, 3, FRAG_RETENTION_BYTES);
    expect_end(&bench);
    assert_int_equal(bench.streams[0].bytes, 250000 + FRAG_REEL_BODY_AT);
    assert_int_equal(bench.plan.held_bytes, 50000);

    /* By age it goes all the same: what is copied is seen then. */
    bench.streams[0].retention_bytes = 0;
    bench.streams[0].retention_ns = 7 * HOUR_NS + 20 * MINUTE_NS;
    frag_plan_start(&bench.plan);
    expect(&bench, 1, FRAG_RETENTION_AGE);
    expect(&bench, 2, FRAG_RETENTION_AGE);
    expect_end(&bench);
}

/* ---- free space ---- */

static void test_the_oldest_of_all_streams(void **state) {
    (void)state;
    struct bench bench;
    init(&bench);
    add(&bench, 0, 9 * HOUR_NS);
    add(&bench, 1, 8 * HOUR_NS);
    add(&bench, 1, 7 * HOUR_NS)->disk = 1; /* another disk */
    add(&bench, 0, 6 * HOUR_NS);
    add(&bench, 0, 5 * HOUR_NS);
    bench.disks[0] = (struct frag_plan_disk){.free_bytes = 1000, .least_bytes = 1250};
    frag_plan_start(&bench.plan);
    expect(&bench, 1, FRAG_RETENTION_FREE_SPACE);
    expect(&bench, 2, FRAG_RETENTION_FREE_SPACE);
    expect(&bench, 4, FRAG_RETENTION_FREE_SPACE);
    expect_end(&bench);
    assert_int_equal(bench.disks[0].free_bytes, 1300);
}

static void test_others_first_and_then_free_space(void **state) {
    (void)state;
    struct bench bench;
    struct frag_plan_item item;
    init(&bench);
    add(&bench, 0, 9 * HOUR_NS);
    add(&bench, 1, 8 * HOUR_NS);
    add(&bench, 2, 7 * HOUR_NS);
    add(&bench, 0, 6 * HOUR_NS);
    bench.streams[1].retention_ns = HOUR_NS;
    bench.streams[2].deleting = true;
    bench.disks[0] = (struct frag_plan_disk){.free_bytes = 1000, .least_bytes = 1201};
    frag_plan_start(&bench.plan);
    assert_int_equal(frag_plan_next(&bench.plan, &item), 1);
    assert_true(item.deleted);
    assert_int_equal(item.reel, 2);
    expect(&bench, 2, FRAG_RETENTION_AGE);
    expect(&bench, 1, FRAG_RETENTION_FREE_SPACE);
    expect_end(&bench);
}

static void test_everything_and_still_short(void **state) {
    (void)state;
    struct bench bench;
    init(&bench);
    for (int i = 0; i < 5; i++) {
        add(&bench, 0, (9 - i) * HOUR_NS);
    }
    bench.disks[0] = (struct frag_plan_disk){.free_bytes = 0, .least_bytes = 1u << 30};
    frag_plan_start(&bench.plan);
    for (int i = 0; i < 5; i++) {
        expect(&bench, i + 1, FRAG_RETENTION_FREE_SPACE);
    }
    expect_end(&bench);
}

/* ---- deleted streams ---- */

static void test_deleted_streams(void **state) {
    (void)state;
    struct bench bench;
    struct frag_plan_item item;
    init(&bench);
    bench.streams[1].deleting = true;
    add(&bench, 1, 9 * HOUR_NS);
    add(&bench, 1, 8 * HOUR_NS)->writing = true;
    add(&bench, 1, 7 * HOUR_NS)->disk = FRAG_PLAN_NONE;
    add(&bench, 1, 6 * HOUR_NS);
    frag_plan_start(&bench.plan);
    assert_int_equal(frag_plan_next(&bench.plan, &item), 1);
    assert_true(item.deleted && item.reel == 0);
    assert_int_equal(frag_plan_next(&bench.plan, &item), 1);
    assert_true(item.deleted && item.reel == 3);
    expect_end(&bench);
    assert_int_equal(bench.looks, 0);
}

/* ---- undone ---- */

static void test_undone(void **state) {
    (void)state;
    struct bench bench;
    struct frag_plan_item item;
    init(&bench);
    for (int i = 0; i < 4; i++) {
        add(&bench, 0, (9 - i) * HOUR_NS);
    }
    bench.streams[0].retention_bytes = 300;
    bench.disks[0] = (struct frag_plan_disk){.free_bytes = 0, .least_bytes = 100};
    frag_plan_start(&bench.plan);
    assert_int_equal(frag_plan_next(&bench.plan, &item), 1);
    assert_int_equal(item.reel, 0);
    frag_plan_undo(&bench.plan, &item);
    assert_int_equal(bench.streams[0].bytes, 400);
    assert_int_equal(bench.disks[0].free_bytes, 0);
    expect(&bench, 2, FRAG_RETENTION_BYTES); /* the next oldest instead */
    expect_end(&bench);
}

static void test_looking_fails(void **state) {
    (void)state;
    struct bench bench;
    struct frag_plan_item item;
    for (int i = 0; i < 2; i++) {
        init(&bench);
        bench.streams[0].retention_ns = HOUR_NS;
        add(&bench, 0, 9 * HOUR_NS);
        add(&bench, 0, 8 * HOUR_NS);
        bench.look_fails_at = 1;
        bench.look_answers = i == 0 ? -EIO : 1;
        frag_plan_start(&bench.plan);
        if (i == 0) {
            assert_int_equal(frag_plan_next(&bench.plan, &item), -EIO);
            continue;
        }
        expect(&bench, 2, FRAG_RETENTION_AGE); /* the other one stays */
        expect_end(&bench);
    }
}

/* ---- foretold ---- */

static void test_age_is_foretold(void **state) {
    (void)state;
    struct bench bench;
    struct frag_plan_item item;
    init(&bench);
    bench.streams[0].retention_ns = DAY_NS;
    bench.plan.until.ns = NOW_NS + HOUR_NS;
    add(&bench, 0, DAY_NS);                  /* ends expiring in 10 minutes */
    add(&bench, 0, DAY_NS - 49 * MINUTE_NS); /* in 59 */
    add(&bench, 0, DAY_NS - 51 * MINUTE_NS); /* in 61 */
    frag_plan_start(&bench.plan);
    assert_int_equal(frag_plan_next(&bench.plan, &item), 1);
    assert_int_equal(item.when.ns, NOW_NS + 10 * MINUTE_NS);
    assert_int_equal(frag_plan_next(&bench.plan, &item), 1);
    assert_int_equal(item.when.ns, NOW_NS + 59 * MINUTE_NS);
    expect_end(&bench);
}

static bool near(int64_t a_ns, int64_t b_ns) {
    return a_ns - b_ns < 2 * KN_NS_PER_S && b_ns - a_ns < 2 * KN_NS_PER_S;
}

static void test_limits_are_foretold(void **state) {
    (void)state;
    struct bench bench;
    struct frag_plan_item item;
    init(&bench);
    for (int i = 0; i < 5; i++) {
        add(&bench, 0, (9 - i) * HOUR_NS);
    }
    bench.streams[0].retention_bytes = 600;
    bench.streams[0].bytes_per_day = 1200; /* 50 an hour */
    bench.streams[0].disk = 0;
    bench.plan.until.ns = NOW_NS + 5 * HOUR_NS;
    frag_plan_start(&bench.plan);
    assert_int_equal(frag_plan_next(&bench.plan, &item), 1);
    assert_int_equal(item.cause, FRAG_RETENTION_BYTES);
    assert_true(near(item.when.ns, NOW_NS + 2 * HOUR_NS));
    assert_int_equal(frag_plan_next(&bench.plan, &item), 1);
    assert_true(near(item.when.ns, NOW_NS + 4 * HOUR_NS));
    expect_end(&bench);
}

static void test_free_space_is_foretold(void **state) {
    (void)state;
    const uint64_t million = 1000000;
    struct bench bench;
    struct frag_plan_item item;
    init(&bench);
    for (int i = 0; i < 5; i++) {
        add(&bench, (size_t)i % 2, (9 - i) * HOUR_NS)->bytes = 100 * million;
    }
    bench.streams[0].bytes_per_day = 24 * 20 * million;
    bench.streams[1].bytes_per_day = 24 * 30 * million;
    bench.streams[0].disk = bench.streams[1].disk = 0;
    bench.disks[0] =
        (struct frag_plan_disk){.free_bytes = 1100 * million, .least_bytes = 1000 * million};
    bench.plan.until.ns = NOW_NS + 5 * HOUR_NS;
    frag_plan_start(&bench.plan);
    assert_int_equal(frag_plan_next(&bench.plan, &item), 1);
    assert_int_equal(item.cause, FRAG_RETENTION_FREE_SPACE);
    assert_int_equal(item.reel, 0);
    assert_true(near(item.when.ns, NOW_NS + 2 * HOUR_NS));
    assert_int_equal(frag_plan_next(&bench.plan, &item), 1);
    assert_int_equal(item.reel, 1);
    assert_true(near(item.when.ns, NOW_NS + 4 * HOUR_NS));
    expect_end(&bench);
}

/* New fragments expire too: a stream of an hour does not fill a disk in a day. */
static void test_growth_ends_with_retention(void **state) {
    (void)state;
    struct bench bench;
    init(&bench);
    struct kn_wall end = {NOW_NS + DAY_NS};
    bench.plan.until = end;
    bench.streams[0].bytes_per_day = 24000;
    bench.streams[0].retention_ns = HOUR_NS;
    assert_in_range(frag_plan_written(&bench.plan, &bench.streams[0], end), 999, 1000);
    bench.plan.clock_in_doubt = true;
    assert_in_range(frag_plan_written(&bench.plan, &bench.streams[0], end), 23999, 24000);
    bench.streams[0].retention_bytes = 700;
    bench.streams[0].bytes = 600;
    assert_int_equal(frag_plan_growth(&bench.plan, &bench.streams[0], end), 100);
    bench.streams[0].bytes = 800;
    assert_int_equal(frag_plan_growth(&bench.plan, &bench.streams[0], end), 0);
    bench.streams[0].deleting = true;
    assert_int_equal(frag_plan_written(&bench.plan, &bench.streams[0], end), 0);
    bench.streams[0].deleting = false;
    bench.streams[0].bytes_per_day = UINT64_MAX;
    bench.plan.now.ns = 0;
    assert_int_equal(frag_plan_written(&bench.plan, &bench.streams[0], (struct kn_wall){INT64_MAX}),
                     INT64_MAX);
}

/* Many streams under all causes at once: what goes is what must, oldest first in each. */
static void test_a_large_plan(void **state) {
    (void)state;
    struct bench bench;
    struct frag_plan_item item;
    init(&bench);
    for (int i = 0; i < REELS; i++) {
        add(&bench, (size_t)(i * 7 % 3), (REELS - i) * 10 * MINUTE_NS);
    }
    uint64_t all = 100 * REELS;
    bench.streams[0].retention_ns = DAY_NS;
    bench.streams[1].retention_bytes = 5000;
    bench.disks[0] = (struct frag_plan_disk){.free_bytes = 0, .least_bytes = all - 9950};
    frag_plan_start(&bench.plan);
    int64_t last[3] = {INT64_MIN, INT64_MIN, INT64_MIN};
    uint64_t gone = 0;
    while (frag_plan_next(&bench.plan, &item) == 1) {
        const struct frag_plan_reel *reel = &bench.reels[item.reel];
        assert_true(reel->from.ns > last[reel->stream]);
        last[reel->stream] = reel->from.ns;
        assert_true(item.cause != FRAG_RETENTION_AGE || reel->stream == 0);
        assert_true(item.cause != FRAG_RETENTION_BYTES || reel->stream == 1);
        gone += reel->bytes;
    }
    assert_int_equal(gone, all - 9900);
    assert_true(bench.streams[0].bytes + bench.streams[1].bytes + bench.streams[2].bytes == 9900);
    assert_true(bench.streams[1].bytes <= 5000);
}

/* ---- the clock ---- */

static enum frag_doubt doubt(int64_t moved_ns, int64_t newest_ns, bool all, bool confirmed,
                             enum frag_doubt before) {
    const struct frag_doubt_facts facts = {.moved_ns = moved_ns,
                                           .now = {NOW_NS},
                                           .newest = {newest_ns},
                                           .all_expire = all,
                                           .confirmed = confirmed,
                                           .before = before};
    return frag_doubt_decide(&facts);
}

static void test_doubts(void **state) {
    (void)state;
    const int64_t limit = 5 * MINUTE_NS;
    assert_int_equal(doubt(0, INT64_MIN, false, false, FRAG_DOUBT_NONE), FRAG_DOUBT_NONE);
    assert_int_equal(doubt(limit, NOW_NS + limit, false, false, FRAG_DOUBT_NONE), FRAG_DOUBT_NONE);
    assert_int_equal(doubt(limit + 1, 0, false, false, FRAG_DOUBT_NONE), FRAG_DOUBT_STEPPED);
    assert_int_equal(doubt(-limit - 1, 0, false, false, FRAG_DOUBT_NONE), FRAG_DOUBT_STEPPED);
    assert_int_equal(doubt(0, NOW_NS + limit + 1, false, false, FRAG_DOUBT_NONE),
                     FRAG_DOUBT_FUTURE);
    assert_int_equal(doubt(0, 0, true, false, FRAG_DOUBT_NONE), FRAG_DOUBT_ALL);
    /* It stays until it is resolved. */
    assert_int_equal(doubt(0, 0, false, false, FRAG_DOUBT_ALL), FRAG_DOUBT_ALL);
    assert_int_equal(doubt(0, 0, false, false, FRAG_DOUBT_STEPPED), FRAG_DOUBT_STEPPED);
    /* Confirmed, until it is set again. */
    assert_int_equal(doubt(0, NOW_NS + DAY_NS, true, true, FRAG_DOUBT_ALL), FRAG_DOUBT_NONE);
    assert_int_equal(doubt(limit + 1, 0, false, true, FRAG_DOUBT_NONE), FRAG_DOUBT_STEPPED);
    for (int i = FRAG_DOUBT_STEPPED; i <= FRAG_DOUBT_ALL; i++) {
        assert_non_null(frag_doubt_text((enum frag_doubt)i));
    }
    assert_null(frag_doubt_text(FRAG_DOUBT_NONE));
}

/* ---- holds ---- */

static bool touches(enum frag_clock clock, int64_t from, int64_t to, int64_t begin,
                    int64_t duration) {
    struct frag_held_range range = {.clock = clock, .from = {from}, .to = {to}};
    const struct frag_held held = {.ranges = &range, .count = 1};
    const struct frag_reel_row row = {.producer = {clock == FRAG_CLOCK_PRODUCER ? begin : 7777},
                                      .server = {clock == FRAG_CLOCK_SERVER ? begin : 7777},
                                      .duration_ns = duration};
    const uint8_t other[FRAG_ID_BYTES] = {1};
    assert_false(frag_held_touches(&held, other, &row));
    return frag_held_touches(&held, range.stream, &row);
}

static void test_what_a_hold_touches(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        enum frag_clock clock = i == 0 ? FRAG_CLOCK_PRODUCER : FRAG_CLOCK_SERVER;
        assert_true(touches(clock, 100, 200, 100, 10));
        assert_true(touches(clock, 100, 200, 200, 10)); /* begins with its last moment */
        assert_false(touches(clock, 100, 200, 201, 10));
        assert_true(touches(clock, 100, 200, 91, 10)); /* has 100 as its last moment */
        assert_false(touches(clock, 100, 200, 90, 10));
        assert_true(touches(clock, 100, 200, 50, 1000));
        assert_true(touches(clock, 150, 150, 100, 100));
        assert_true(touches(clock, 100, 200, 100, 0));
        assert_false(touches(clock, 100, 200, 99, 0));
        assert_true(touches(clock, INT64_MIN, INT64_MAX, 99, 5));
        assert_true(touches(clock, INT64_MAX, INT64_MAX, INT64_MAX - 1, 5));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_goes),
        cmocka_unit_test(test_age_counts_from_the_last_end),
        cmocka_unit_test(test_age_of_overlapping_reels),
        cmocka_unit_test(test_what_age_never_takes),
        cmocka_unit_test(test_times_at_the_edge),
        cmocka_unit_test(test_oldest_until_the_sum_is_within),
        cmocka_unit_test(test_the_limit_of_another_stream),
        cmocka_unit_test(test_age_comes_before_bytes),
        cmocka_unit_test(test_held_bytes_do_not_count),
        cmocka_unit_test(test_held_fragments_of_ordinary_reels),
        cmocka_unit_test(test_the_oldest_of_all_streams),
        cmocka_unit_test(test_others_first_and_then_free_space),
        cmocka_unit_test(test_everything_and_still_short),
        cmocka_unit_test(test_deleted_streams),
        cmocka_unit_test(test_undone),
        cmocka_unit_test(test_looking_fails),
        cmocka_unit_test(test_age_is_foretold),
        cmocka_unit_test(test_limits_are_foretold),
        cmocka_unit_test(test_free_space_is_foretold),
        cmocka_unit_test(test_growth_ends_with_retention),
        cmocka_unit_test(test_a_large_plan),
        cmocka_unit_test(test_doubts),
        cmocka_unit_test(test_what_a_hold_touches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
