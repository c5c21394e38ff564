/* Holds in real stores: what they keep, what is copied, and what meets them half way. */
#include "tests/support/fail_alloc.h"
#include "tests/unit/fragments_retention_world.h"

static struct frag_hold hold_of(enum frag_clock clock, int64_t from_ns, int64_t to_ns) {
    return (struct frag_hold){.clock = clock,
                              .from = {WORLD_START + from_ns},
                              .to = {WORLD_START + to_ns},
                              .reason = "crash at the gate"};
}

static struct frag_hold add_hold(struct frag_stream *stream, int64_t from_ns, int64_t to_ns) {
    struct frag_hold hold = hold_of(FRAG_CLOCK_SERVER, from_ns, to_ns);
    assert_int_equal(frag_hold_add(stream, &hold), 0);
    return hold;
}

/* ---- the face ---- */

struct listed {
    struct frag_hold holds[8];
    size_t count;
};

static int note_hold(const struct frag_hold *hold, void *user) {
    struct listed *listed = user;
    assert_true(listed->count < 8);
    listed->holds[listed->count++] = *hold;
    return 0;
}

static int stop_listing(const struct frag_hold *hold, void *user) {
    (void)hold;
    (void)user;
    return -EINTR;
}

static void test_holds_are_kept(void **state) {
    struct world *world = *state;
    struct listed listed = {0};
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    struct frag_hold first = add_hold(stream, 5, 6);
    assert_string_equal(first.stream, "door");
    assert_int_equal(first.created.ns, WORLD_START);
    advance(world, 1);
    struct frag_hold second = hold_of(FRAG_CLOCK_PRODUCER, 7, 7);
    assert_int_equal(frag_hold_add(stream, &second), 0);
    world_kill(world);
    world_open(world);
    assert_int_equal(frag_hold_each(world->store, note_hold, &listed), 0);
    assert_int_equal(listed.count, 2);
    assert_memory_equal(listed.holds[0].id, first.id, FRAG_ID_BYTES);
    assert_memory_equal(listed.holds[1].id, second.id, FRAG_ID_BYTES);
    assert_int_equal(listed.holds[1].clock, FRAG_CLOCK_PRODUCER);
    assert_int_equal(listed.holds[1].from.ns, WORLD_START + 7);
    assert_string_equal(listed.holds[0].reason, "crash at the gate");
    assert_string_equal(listed.holds[0].stream, "door");
    assert_int_equal(frag_hold_each(world->store, stop_listing, NULL), -EINTR);
    assert_int_equal(frag_hold_remove(world->store, first.id), 0);
    assert_int_equal(frag_hold_remove(world->store, first.id), -ENOENT);
    listed.count = 0;
    assert_int_equal(frag_hold_each(world->store, note_hold, &listed), 0);
    assert_int_equal(listed.count, 1);
}

static void test_holds_that_cannot_be(void **state) {
    struct world *world = *state;
    struct listed listed = {0};
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    struct frag_hold hold = hold_of(FRAG_CLOCK_SERVER, 6, 5);
    assert_int_equal(frag_hold_add(stream, &hold), -EINVAL);
    hold.to = hold.from;
    memset(hold.reason, 'x', sizeof(hold.reason));
    assert_int_equal(frag_hold_add(stream, &hold), -EINVAL);
    memcpy(hold.reason, "a\nb", 4);
    assert_int_equal(frag_hold_add(stream, &hold), -EINVAL);
    hold.reason[0] = '\0';
    assert_int_equal(frag_hold_add(stream, &hold), 0);
    assert_int_equal(frag_stream_delete(stream, NULL), -EPERM);
    assert_int_equal(frag_hold_remove(world->store, hold.id), 0);
    assert_int_equal(frag_stream_delete(stream, NULL), 0);
    assert_int_equal(frag_hold_add(stream, &hold), -ENOENT);
    /* For a reader. */
    struct frag_stream *other = make_stream(world, "gate", HOUR_NS, 0);
    hold = add_hold(other, 0, 1);
    struct frag_store_config config = world->config;
    struct frag_store *reader = NULL;
    config.mode = FRAG_STORE_READ;
    assert_int_equal(frag_store_open(&config, &reader, NULL), 0);
    assert_int_equal(frag_hold_each(reader, note_hold, &listed), 0);
    assert_int_equal(listed.count, 1);
    assert_int_equal(frag_hold_add(frag_stream_find(reader, "gate"), &hold), -EROFS);
    assert_int_equal(frag_hold_remove(reader, hold.id), -EROFS);
    frag_store_close(reader);
}

/* ---- what stays ---- */

/* What is there of the stream are the fragments that began at these seconds, whole. */
static void expect_fragments(struct world *world, const char *name, const int64_t *seconds,
                             size_t count) {
    struct frag_entry entries[64];
    assert_int_equal(world_list(world, name, entries, 64), count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries[i].server.ns, WORLD_START + seconds[i] * KN_NS_PER_S);
    }
    assert_int_equal(world_check(world, name), count);
}

static void test_held_fragments_are_copied(void **state) {
    struct world *world = *state;
    struct frag_entry before[16], after[16];
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", 2 * HOUR_NS, 0);
    record_reels(world, "door", 2);
    assert_int_equal(world_list(world, "door", before, 16), 10);
    /* From the last moment of the second fragment to the first one of the fourth. */
    struct frag_hold hold = add_hold(stream, 4 * KN_NS_PER_S - 1, 6 * KN_NS_PER_S);
    advance(world, HOUR_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 2);
    const int64_t stays[] = {2, 4, 6, 3600, 3602, 3604, 3606, 3608};
    expect_fragments(world, "door", stays, KN_COUNT(stays));
    assert_int_equal(world_list(world, "door", after, 16), 8);
    /* Numbers and all are as they were, in another reel, with the same session's name. */
    assert_memory_equal(&after[0].number, &before[1].number, sizeof(after[0].number));
    assert_int_equal(after[2].ordinal, before[3].ordinal);
    assert_int_equal(after[2].duration_ns, before[3].duration_ns);
    assert_true(after[0].reel != before[1].reel);
    struct frag_index_reel reel;
    char path[FRAG_INDEX_PATH_BYTES];
    assert_int_equal(
        frag_index_get_reel(world->store->clerk.index, after[0].reel, path, sizeof(path), &reel),
        0);
    assert_int_equal(reel.identity.flags, FRAG_REEL_KEPT);
    assert_int_equal(reel.identity.opened.ns, WORLD_START);
    assert_int_equal(reel.state, FRAG_REEL_CLOSED);
    check_totals(world, "door", 2, 8);

    /* Nothing changes as long as it is held, though all ordinary reels go. */
    advance(world, DAY_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(frag_retention_run(world->store), 0);
    expect_fragments(world, "door", stays, 3);
    assert_int_equal(frag_hold_remove(world->store, hold.id), 0);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 0);
    assert_int_equal(reel_folders(world), 0);
    check_totals(world, "door", 0, 0);
}

static void test_holds_by_the_producers_clock(void **state) {
    struct world *world = *state;
    struct frag_writer_config config = {0};
    struct frag_writer *writer = NULL;
    struct camera camera;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    /* A camera that is ten days late, so that the clocks cannot be taken for one another. */
    camera_init(&camera, 3, (struct kn_wall){WORLD_START - 10 * DAY_NS});
    assert_int_equal(frag_writer_open(stream, &config, &writer), 0);
    for (int i = 0; i < 5; i++) {
        camera_send(&camera, writer, 50);
        frag_writer_cut(writer);
        advance(world, 2 * KN_NS_PER_S);
    }
    frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
    camera_finish(&camera);
    assert_int_equal(frag_store_flush(world->store), 0);
    struct frag_hold hold = hold_of(FRAG_CLOCK_PRODUCER, 2 * KN_NS_PER_S - 10 * DAY_NS,
                                    4 * KN_NS_PER_S - 10 * DAY_NS - 1);
    assert_int_equal(frag_hold_add(stream, &hold), 0);
    advance(world, 2 * HOUR_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    const int64_t stays[] = {2};
    expect_fragments(world, "door", stays, 1);
}

static void test_free_space_and_bytes_take_no_held_ones(void **state) {
    struct world *world = *state;
    struct frag_retention_summary summary;
    world->config.min_free_bytes = 1 << 20;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", FRAG_RETAIN_FOREVER, 1);
    (void)make_stream(world, "gate", FRAG_RETAIN_FOREVER, 0);
    /* All of the first reel, one fragment of the second. */
    (void)add_hold(stream, 0, REEL_NS - 1);
    (void)add_hold(stream, 3604 * KN_NS_PER_S, 3604 * KN_NS_PER_S);
    record_reels(world, "door", 2);
    record_reel(world, "gate", 1);
    watched.free_bytes = 0;
    assert_int_equal(frag_retention_run(world->store), 0);
    const int64_t stays[] = {0, 2, 4, 6, 8, 3604};
    expect_fragments(world, "door", stays, KN_COUNT(stays));
    assert_int_equal(counters_of(world, "gate").reels_on_disk, 0);
    /* The first reel was not copied: nothing would be won. */
    assert_int_equal(counters_of(world, "door").reels_on_disk, 2);
    assert_int_equal(watched.creates, 3 + 1);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(watched.creates, 3 + 1);
    assert_int_equal(frag_retention_plan(world->store, (struct kn_wall){0}, NULL, NULL, &summary),
                     0);
    assert_int_equal(summary.reels, 0);
    assert_true(summary.fills); /* and is full already */
    assert_int_equal(summary.full_at.ns, atomic_load(&world->clock.wall_ns));
    check_totals(world, "door", 2, 6);
}

static void test_held_bytes_leave_the_quota_alone(void **state) {
    struct world *world = *state;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", DAY_NS, 0);
    (void)add_hold(stream, 0, 4 * HOUR_NS);
    record_reels(world, "door", 3);
    advance(world, 2 * DAY_NS);
    record_reels(world, "door", 2);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(counters_of(world, "door").reels_on_disk, 3 + 2);
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = DAY_NS;
    settings.retention_bytes = counters_of(world, "door").bytes_on_disk / 2;
    assert_int_equal(frag_stream_update(stream, NULL, &settings), 0);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(counters_of(world, "door").reels_on_disk, 3 + 2);
}

static int note_held(const struct frag_retention_item *item, void *user) {
    *(struct frag_retention_item *)user = *item;
    return 0;
}

static void test_held_fragments_are_told_beforehand(void **state) {
    struct world *world = *state;
    struct frag_retention_item item = {0};
    struct frag_retention_summary summary;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    (void)add_hold(stream, 3 * KN_NS_PER_S, 5 * KN_NS_PER_S);
    struct kn_wall until = {WORLD_START + DAY_NS};
    assert_int_equal(frag_retention_plan(world->store, until, note_held, &item, &summary), 0);
    assert_int_equal(item.fragments, 5);
    assert_int_equal(item.held_fragments, 2);
    assert_true(summary.held_bytes > item.bytes / 4 && summary.held_bytes < item.bytes / 2);
    assert_int_equal(summary.bytes, item.bytes - summary.held_bytes);
    advance(world, 2 * HOUR_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(frag_retention_plan(world->store, until, note_held, &item, &summary), 0);
    assert_int_equal(summary.reels, 0);
    assert_int_equal(summary.held_bytes, counters_of(world, "door").bytes_on_disk);
}

/* ---- half way ---- */

struct meanwhile {
    struct frag_stream *stream;
    int64_t from_ns;
    unsigned times; /* so often */
};

/* The copy is being made: another hold comes. */
static void hold_meanwhile(const char *path, void *user) {
    struct meanwhile *meanwhile = user;
    (void)path;
    if (meanwhile->times > 0) {
        meanwhile->times--;
        (void)add_hold(meanwhile->stream, meanwhile->from_ns, meanwhile->from_ns);
        meanwhile->from_ns += 2 * KN_NS_PER_S;
    }
}

static void test_a_hold_that_comes_meanwhile(void **state) {
    struct world *world = *state;
    const int64_t stays[] = {0, 2, 4, 6, 8};
    for (unsigned times = 1; times <= 4; times++) {
        char name[] = {(char)('a' + times), '\0'};
        fake_clock_init(&world->clock, WORLD_START, 0);
        watched.on_create = NULL;
        world_open(world);
        struct frag_stream *stream = make_stream(world, name, HOUR_NS, 0);
        record_reel(world, name, times);
        (void)add_hold(stream, 0, 0);
        advance(world, 2 * HOUR_NS);
        struct meanwhile meanwhile = {stream, 2 * KN_NS_PER_S, times};
        watched.on_create = hold_meanwhile;
        watched.user = &meanwhile;
        watched.creates = 0;
        assert_int_equal(frag_retention_run(world->store), 0);
        assert_int_equal(meanwhile.times, 0);
        assert_int_equal(watched.creates, times < 4 ? 1 + times : 4);
        watched.on_create = NULL;
        assert_int_equal(frag_retention_run(world->store), 0); /* four are too many for one pass */
        expect_fragments(world, name, stays, 1 + times);
        assert_int_equal(counters_of(world, name).reels_on_disk, 1);
        check_totals(world, name, 1, 1 + times);
        world_close(world);
    }
    assert_int_equal(reel_files(world), 4);
}

/* A hold that goes meanwhile: what was copied goes at the next pass. */
struct forgetting {
    struct frag_store *store;
    struct frag_hold hold;
};

static void forget_meanwhile(const char *path, void *user) {
    const struct forgetting *forgetting = user;
    (void)path;
    watched.on_create = NULL;
    assert_int_equal(frag_hold_remove(forgetting->store, forgetting->hold.id), 0);
}

static void test_a_hold_that_goes_meanwhile(void **state) {
    struct world *world = *state;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    struct forgetting forgetting = {world->store, add_hold(stream, 0, 3)};
    advance(world, 2 * HOUR_NS);
    watched.on_create = forget_meanwhile;
    watched.user = &forgetting;
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(frag_retention_run(world->store), 0);
    assert_int_equal(reel_files(world), 0);
    check_totals(world, "door", 0, 0);
}

static void copy_first(struct world *world, const struct frag_stream *stream,
                       struct frag_keep *ret_keep) {
    struct frag_index_found found;
    struct frag_index_reel reel;
    char path[FRAG_INDEX_PATH_BYTES];
    struct frag_index *index = world->store->clerk.index;
    assert_int_equal(frag_index_earliest(index, stream->id, &found), 0);
    assert_int_equal(frag_index_get_reel(index, found.reel, path, sizeof(path), &reel), 0);
    assert_int_equal(
        frag_keep_copy(&world->store->folders[0], stream->name, &reel, &found.row, 1, ret_keep), 0);
    assert_true(frag_keep_has(ret_keep, found.row.number.sequence));
    assert_false(frag_keep_has(ret_keep, found.row.number.sequence + 1));
    assert_int_equal(reel_files(world), 2);
}

/* Killed between the copy and the index: it is made again when it is time. */
static void test_killed_behind_a_copy(void **state) {
    struct world *world = *state;
    struct frag_keep keep;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    (void)add_hold(stream, 0, 3 * KN_NS_PER_S);
    copy_first(world, stream, &keep);
    frag_keep_finish(&keep);
    world_kill(world);
    world_open(world);
    assert_int_equal(world_check(world, "door"), 5); /* each number once */
    advance(world, 2 * HOUR_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    const int64_t stays[] = {0, 2};
    expect_fragments(world, "door", stays, 2);
    assert_int_equal(reel_files(world), 1);
    check_totals(world, "door", 1, 2);
}

/* The commit failed, and yet the index has the copy: what it has is not copied again. */
static void test_a_copy_that_is_there_already(void **state) {
    struct world *world = *state;
    struct frag_keep keep;
    int64_t row = 0;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    (void)add_hold(stream, 0, 3 * KN_NS_PER_S);
    copy_first(world, stream, &keep);
    const struct frag_index_reel kept = {
        .identity = keep.identity, .path = keep.path, .bytes = keep.bytes};
    struct frag_index *index = world->store->clerk.index;
    assert_int_equal(frag_index_begin(index), 0);
    assert_int_equal(
        frag_index_add_closed_reel(index, &kept, keep.table.data, keep.table.size, &row), 0);
    assert_int_equal(frag_index_commit(index, true), 0);
    frag_totals_reel(stream, 1, keep.bytes, 1);
    frag_keep_finish(&keep);
    advance(world, 2 * HOUR_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    const int64_t stays[] = {0, 2};
    expect_fragments(world, "door", stays, 2);
    assert_int_equal(reel_files(world), 2);
    check_totals(world, "door", 2, 2);
}

/* From the moment it would expire until its reel goes, what is held is there. */
static void test_what_is_held_is_always_seen(void **state) {
    struct world *world = *state;
    struct frag_entry entries[8];
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    struct frag_hold held[] = {
        hold_of(FRAG_CLOCK_SERVER, 3 * KN_NS_PER_S, 3 * KN_NS_PER_S),
        hold_of(FRAG_CLOCK_PRODUCER, 3 * KN_NS_PER_S, 3 * KN_NS_PER_S),
    };
    advance(world, HOUR_NS - 4 * KN_NS_PER_S); /* three of five have expired */
    for (size_t i = 0; i < KN_COUNT(held); i++) {
        assert_int_equal(world_list(world, "door", entries, 8), 2);
        assert_int_equal(frag_hold_add(stream, &held[i]), 0);
        assert_int_equal(world_list(world, "door", entries, 8), 5);
        world_close(world);
        world_open(world);
        stream = frag_stream_find(world->store, "door");
        assert_int_equal(world_list(world, "door", entries, 8), 5);
        assert_int_equal(frag_hold_remove(world->store, held[i].id), 0);
    }
    assert_int_equal(world_list(world, "door", entries, 8), 2);
}

/* ---- damage and failures ---- */

static void flip_byte(struct world *world, const struct frag_entry *entry, uint64_t offset) {
    char path[PATH_MAX], below[FRAG_INDEX_PATH_BYTES];
    struct frag_index_reel reel;
    assert_int_equal(
        frag_index_get_reel(world->store->clerk.index, entry->reel, below, sizeof(below), &reel),
        0);
    assert_int_equal(frag_folder_join(&world->store->folders[0], below, path, sizeof(path)), 0);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)(entry->cluster_at + offset), SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, (long)(entry->cluster_at + offset), SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 0x40, file), byte ^ 0x40);
    assert_int_equal(fclose(file), 0);
}

static void test_a_damaged_reel_stays_whole(void **state) {
    struct world *world = *state;
    struct frag_entry entries[8];
    const uint64_t flips[] = {600, 1u << 20}; /* in the cluster, in its trailer */
    for (size_t i = 0; i < KN_COUNT(flips); i++) {
        char name[] = {(char)('a' + i), '\0'};
        fake_clock_init(&world->clock, WORLD_START, 0);
        world_open(world);
        struct frag_stream *stream = make_stream(world, name, HOUR_NS, 0);
        record_reel(world, name, 1);
        assert_int_equal(world_list(world, name, entries, 8), 5);
        uint64_t at =
            flips[i] < entries[1].cluster_bytes ? flips[i] : entries[1].cluster_bytes + 90;
        flip_byte(world, &entries[1], at);
        struct frag_hold hold = add_hold(stream, 0, 3 * KN_NS_PER_S);
        advance(world, 2 * HOUR_NS);
        watched.creates = 0;
        assert_int_equal(frag_retention_run(world->store), 0);
        assert_int_equal(reel_files(world), 1);
        assert_int_equal(counters_of(world, name).fragments_on_disk, 5);
        assert_int_equal(watched.creates, 1);
        assert_int_equal(frag_retention_run(world->store), 0); /* not tried again */
        assert_int_equal(watched.creates, 1);
        assert_int_equal(reel_files(world), 1);
        assert_int_equal(frag_hold_remove(world->store, hold.id), 0);
        assert_int_equal(frag_retention_run(world->store), 0);
        assert_int_equal(reel_files(world), 0);
        world_close(world);
    }
}

static void test_a_damaged_fragment_that_is_not_held(void **state) {
    struct world *world = *state;
    struct frag_entry entries[8];
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    assert_int_equal(world_list(world, "door", entries, 8), 5);
    flip_byte(world, &entries[0], 600);
    (void)add_hold(stream, 4 * KN_NS_PER_S, 5 * KN_NS_PER_S);
    advance(world, 2 * HOUR_NS);
    assert_int_equal(frag_retention_run(world->store), 0);
    const int64_t stays[] = {4};
    expect_fragments(world, "door", stays, 1);
}

static void test_a_copy_that_fails_is_made_again(void **state) {
    struct world *world = *state;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    record_reel(world, "door", 1);
    (void)add_hold(stream, 0, 3 * KN_NS_PER_S);
    advance(world, 2 * HOUR_NS);
    for (int i = 0; i < 2; i++) {
        watched.fail_syncs = i == 0 ? 1 : 0;
        watched.fail_folder_syncs = i == 1 ? 1 : 0;
        assert_int_equal(frag_retention_run(world->store), -EIO);
        assert_int_equal(reel_files(world), 1);
        assert_int_equal(counters_of(world, "door").fragments_on_disk, 5);
    }
    assert_int_equal(frag_retention_run(world->store), 0);
    const int64_t stays[] = {0, 2};
    expect_fragments(world, "door", stays, 2);
    check_totals(world, "door", 1, 2);
}

/* A disk without room for a copy has room again once others go. */
static void test_no_room_for_a_copy(void **state) {
    struct world *world = *state;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", DAY_NS, 0);
    record_reels(world, "door", 3);
    (void)add_hold(stream, 0, 3 * KN_NS_PER_S);
    (void)make_stream(world, "gate", FRAG_RETAIN_FOREVER, 0);
    record_reel(world, "gate", 1);
    advance(world, 2 * DAY_NS);
    watched.fail_creates = 1;
    assert_int_equal(frag_retention_run(world->store), -ENOSPC);
    const int64_t all[] = {0, 2, 4, 6, 8};
    expect_fragments(world, "door", all, 5); /* two reels went all the same */
    assert_int_equal(frag_retention_run(world->store), 0);
    expect_fragments(world, "door", all, 2);
    check_totals(world, "door", 1, 2);
}

/* Wherever memory ends, nothing that is held is lost, and in the end all else is gone. */
static void test_out_of_memory(void **state) {
    struct world *world = *state;
    struct frag_retention_summary summary;
    unsigned long n = 0;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "door", HOUR_NS, 0);
    (void)add_hold(stream, 2 * KN_NS_PER_S, 3 * KN_NS_PER_S);
    record_reels(world, "door", 1);
    advance(world, DAY_NS);
    int rc = -ENOMEM;
    for (; rc == -ENOMEM; n++) {
        fail_alloc_at(n + 1);
        rc = frag_retention_plan(world->store, (struct kn_wall){0}, NULL, NULL, &summary);
        fail_alloc_stop();
    }
    assert_int_equal(rc, 0);
    assert_int_equal(summary.reels, 1);
    assert_true(n > 4);
    for (n = 0, rc = -ENOMEM; rc != 0 || fail_alloc_count() >= n; n++) {
        fail_alloc_at(n + 1);
        rc = frag_retention_run(world->store);
        fail_alloc_stop();
        assert_true(rc == 0 || rc == -ENOMEM);
        struct frag_entry entries[8];
        size_t count = world_list(world, "door", entries, 8);
        assert_int_equal(entries[count == 5 ? 1 : 0].server.ns, WORLD_START + 2 * KN_NS_PER_S);
    }
    assert_true(n > 20);
    const int64_t stays[] = {2};
    expect_fragments(world, "door", stays, 1);
    assert_int_equal(reel_files(world), 1);
    check_totals(world, "door", 1, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, retention_setup, world_teardown)
        TEST(test_holds_are_kept),
        TEST(test_holds_that_cannot_be),
        TEST(test_held_fragments_are_copied),
        TEST(test_holds_by_the_producers_clock),
        TEST(test_free_space_and_bytes_take_no_held_ones),
        TEST(test_held_bytes_leave_the_quota_alone),
        TEST(test_held_fragments_are_told_beforehand),
        TEST(test_a_hold_that_comes_meanwhile),
        TEST(test_a_hold_that_goes_meanwhile),
        TEST(test_killed_behind_a_copy),
        TEST(test_a_copy_that_is_there_already),
        TEST(test_what_is_held_is_always_seen),
        TEST(test_a_damaged_reel_stays_whole),
        TEST(test_a_damaged_fragment_that_is_not_held),
        TEST(test_a_copy_that_fails_is_made_again),
        TEST(test_no_room_for_a_copy),
        TEST(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
