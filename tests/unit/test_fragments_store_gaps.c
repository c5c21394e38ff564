/* The gap ledger through whole stores: what is listed when producers come and go, the disk fills,
 * fragments finish out of order, and the journal cannot be written at that moment. */
#include "base/log.h"
#include "fragments/store/engine.h"
#include "fragments/store/session.h"
#include "tests/support/fault_io.h"
#include "tests/unit/fragments_store_world.h"

static struct fault_io fault;
static uint64_t claimed_free;
static struct frag_io claiming;

static void quiet(const char *line, size_t bytes, void *user) {
    (void)line;
    (void)bytes;
    (void)user;
}

static int claim_space(struct frag_io *io, const char *path, uint64_t *ret_free,
                       uint64_t *ret_total) {
    (void)io;
    (void)path;
    *ret_free = claimed_free;
    *ret_total = 1000u << 20;
    return 0;
}

static int setup(void **state) {
    (void)world_setup(state);
    struct world *world = *state;
    claiming = *frag_io_system();
    claiming.space = claim_space;
    claimed_free = 900u << 20;
    fault_io_init(&fault, &claiming);
    world->config.io = &fault.io;
    world->config.min_free_bytes = 100u << 20;
    world_open(world);
    return 0;
}

static int teardown(void **state) {
    int rc = world_teardown(state);
    fault_io_finish(&fault);
    return rc;
}

struct gaps {
    struct frag_gap_entry items[64];
    size_t count;
};

static int take_gap(const struct frag_gap_entry *gap, void *user) {
    struct gaps *gaps = user;
    assert_true(gaps->count < KN_COUNT(gaps->items));
    gaps->items[gaps->count++] = *gap;
    return 0;
}

static void list_gaps(struct world *world, struct gaps *gaps) {
    gaps->count = 0;
    assert_int_equal(frag_gap_each(frag_stream_find(world->store, "door"),
                                   (struct kn_wall){INT64_MIN}, (struct kn_wall){INT64_MAX},
                                   take_gap, gaps),
                     0);
}

/* Twenty short sessions, all of them in the queue before the disk works: each absence is listed. */
static void every_absence_is_listed(void **state) {
    struct world *world = *state;
    struct gaps gaps;
    for (uint32_t i = 0; i < 20; i++) {
        world_record(world, "door", i, 50);
        fake_clock_advance(&world->clock, (i % 3) * KN_NS_PER_S); /* some come back at once */
    }
    assert_int_equal(frag_store_flush(world->store), 0);
    list_gaps(world, &gaps);
    size_t n = 0;
    for (uint32_t i = 0; i < 19; i++) {
        if (i % 3 == 0) {
            continue; /* no time passed: nothing to list */
        }
        assert_true(n < gaps.count);
        assert_false(gaps.items[n].open);
        assert_int_equal(gaps.items[n].gap.cause, FRAG_GAP_PRODUCER_AWAY);
        assert_true(gaps.items[n].gap.to.ns > gaps.items[n].gap.from.ns);
        n++;
    }
    assert_int_equal(gaps.count, n + 1);
    assert_true(gaps.items[n].open);
}

/* The disk is full for 8 s, then the producer leaves: both are listed, each for its time. */
static void causes_follow_one_another(void **state) {
    struct world *world = *state;
    struct gaps gaps;
    struct frag_writer *writer = NULL;
    const struct frag_writer_config config = {0};
    struct camera camera;
    world_camera(world, &camera, 1);
    assert_int_equal(frag_writer_open(world_stream(world, "door"), &config, &writer), 0);
    camera_send(&camera, writer, 101);
    assert_int_equal(frag_store_flush(world->store), 0);
    claimed_free = 1u << 20;
    fake_clock_advance(&world->clock, 2 * KN_NS_PER_S);
    assert_int_equal(frag_store_flush(world->store), 0);
    camera_send(&camera, writer, 200);
    assert_int_equal(frag_store_flush(world->store), 0);
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&camera);
    assert_int_equal(frag_store_flush(world->store), 0);
    list_gaps(world, &gaps);
    assert_int_equal(gaps.count, 2);
    assert_int_equal(gaps.items[0].gap.cause, FRAG_GAP_DISK_FULL);
    assert_false(gaps.items[0].open);
    assert_true(gaps.items[0].gap.to.ns - gaps.items[0].gap.from.ns >= 6 * KN_NS_PER_S);
    assert_int_equal(gaps.items[1].gap.cause, FRAG_GAP_PRODUCER_AWAY);
    assert_true(gaps.items[1].open);
    assert_int_equal(gaps.items[1].gap.from.ns, gaps.items[0].gap.to.ns);
}

/* What cannot be written down now is written down later. */
static void notes_wait_for_the_journal(void **state) {
    struct world *world = *state;
    struct gaps gaps;
    char journal[128];
    world_record(world, "door", 1, 100);
    (void)snprintf(journal, sizeof(journal), "%s/journal", world->folder);
    fault.fail_path = journal;
    fault.fail_kinds = 1u << FAULT_WRITING | 1u << FAULT_SYNCING;
    fault.fail_error = -ENOSPC;
    fault.fail_at = fault.operations + 1;
    fault.fail_count = 1;
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(fault.failed, 1);
    fault.fail_at = 0;
    assert_int_equal(frag_store_flush(world->store), 0);
    list_gaps(world, &gaps);
    assert_int_equal(gaps.count, 1);
    assert_true(gaps.items[0].open);
    assert_int_equal(gaps.items[0].gap.from.ns, WORLD_START + 4 * KN_NS_PER_S);
}

/* Of three published fragments the last is finished first: the gap behind them waits for all. */
static void notes_wait_for_what_is_older(void **state) {
    struct world *world = *state;
    struct frag_stream *stream = world_stream(world, "door");
    const struct frag_gap_entry gap = {
        .gap = {.from = {WORLD_START}, .to = {WORLD_START}, .cause = FRAG_GAP_NETWORK},
        .open = true};
    (void)pthread_mutex_lock(&stream->lock);
    stream->last_sealed_sequence = 30;
    stream->unfinished = 3;
    (void)pthread_mutex_unlock(&stream->lock);
    frag_gaps_note(stream, &gap);
    static const uint64_t order[] = {30, 40, 10, 20};
    for (size_t i = 0; i < KN_COUNT(order); i++) {
        frag_gaps_take_notes_of(stream);
        assert_false(stream->gap_open);
        (void)pthread_mutex_lock(&stream->lock);
        frag_gaps_finished(stream, order[i]); /* 40 was published behind the note */
        (void)pthread_mutex_unlock(&stream->lock);
    }
    frag_gaps_take_notes_of(stream);
    assert_true(stream->gap_open);
    stream->unfinished = 0;
}

/* Ordinals that do not follow one another are not burnt between them. */
static void ordinals_of_good_fragments_are_not_burnt(void **state) {
    struct world *world = *state;
    struct gaps gaps;
    struct frag_stream *stream = world_stream(world, "door");
    struct frag_gap_entry gap = {
        .gap = {.from = {WORLD_START}, .cause = FRAG_GAP_SYNC_ERROR}, .open = true, .ordinals = 1};
    static const uint64_t failed[] = {4, 5, 7};
    for (size_t i = 0; i < KN_COUNT(failed); i++) {
        gap.ordinal = failed[i];
        gap.gap.from.ns += KN_NS_PER_S;
        assert_int_equal(frag_gaps_open(stream, &gap), 0);
    }
    list_gaps(world, &gaps);
    assert_int_equal(gaps.count, 2);
    assert_int_equal(gaps.items[0].ordinal, 4);
    assert_int_equal(gaps.items[0].ordinals, 2);
    assert_int_equal(gaps.items[1].ordinal, 7);
    assert_int_equal(gaps.items[1].ordinals, 1);
}

int main(void) {
    kn_log_set_sink(quiet, NULL);
    const struct CMUnitTest tests[] = {
#define GAP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        GAP_TEST(every_absence_is_listed),
        GAP_TEST(causes_follow_one_another),
        GAP_TEST(notes_wait_for_the_journal),
        GAP_TEST(notes_wait_for_what_is_older),
        GAP_TEST(ordinals_of_good_fragments_are_not_burnt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
