/* Records: what is added comes back, by time and by key. */
#include "base/error.h"
#include "base/log.h"
#include "fragments/store/records.h"
#include "tests/support/fail_alloc.h"
#include "tests/unit/fragments_record_world.h"

/* ---- framing ---- */

static void records_are_framed(void **state) {
    (void)state;
    uint8_t room[128];
    struct made made;
    struct kn_writer writer;
    struct frag_record back;
    for (uint64_t n = 0; n < 64; n++) {
        make(&made, n);
        made.record.key_mask = n % 16;
        kn_writer_init(&writer, room, sizeof(room));
        frag_record_write(&writer, &made.record);
        assert_int_equal(kn_writer_status(&writer), 0);
        assert_int_equal(frag_record_read(room, writer.size, &back), 0);
        assert_same(&made.record, &back);
        size_t head = writer.size - made.record.bytes;
        for (size_t size = 0; size < head; size++) {
            assert_int_equal(frag_record_read(room, size, &back), KN_E_TRUNCATED);
        }
        room[0] |= 0x10; /* a fifth key */
        assert_int_equal(frag_record_read(room, writer.size, &back), KN_E_MALFORMED);
        room[0] &= 0xf;
        room[1] |= 0x80; /* before 1970 */
        assert_int_equal(frag_record_read(room, writer.size, &back), KN_E_MALFORMED);
    }
    made.record.key_mask = 16;
    frag_record_write(&writer, &made.record);
    assert_int_equal(kn_writer_status(&writer), KN_E_MALFORMED);
}

/* ---- whole stores ---- */

static void records_come_back(void **state) {
    struct world *world = *state;
    static struct collected all;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "seen");
    write_records(world, stream, 0, 500);
    check_all(world, "seen", 500);
    size_t batches = count_batches(world, "seen");
    assert_in_range(batches, 50, 51); /* ten a second */

    struct made first, last;
    make(&first, 123);
    make(&last, 200);
    assert_int_equal(list(world, "seen", first.record.time, last.record.time, NULL, &all), 0);
    assert_int_equal(all.count, 78);
    assert_int_equal(all.numbers[0], 123);
    struct frag_record_key key = {.slot = 2, .key = 0};
    assert_int_equal(list(world, "seen", first.record.time, last.record.time, &key, &all), 0);
    assert_int_equal(all.count, 26);
    assert_int_equal(list(world, "seen", last.record.time, first.record.time, NULL, &all), 0);
    assert_int_equal(all.count, 0);
    all.answer = -ECANCELED;
    assert_int_equal(list(world, "seen", BEGINNING, END, NULL, &all), -ECANCELED);
    assert_int_equal(all.count, 1);
    all.answer = 0;

    world_close(world);
    world_open(world);
    check_all(world, "seen", 500);
    world->config.mode = FRAG_STORE_READ;
    world_close(world);
    world_open(world);
    check_all(world, "seen", 500);
}

static void batches_end(void **state) {
    struct world *world = *state;
    struct acks acks = {0};
    struct made made;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "seen");
    struct frag_records *records = open_records(stream, &acks);
    assert_int_equal(frag_records_commit(records), 0); /* nothing waits */
    assert_int_equal(frag_records_tick(records), 0);
    add(world, records, 0, 3);
    assert_int_equal(frag_records_tick(records), 0); /* too young */
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 0);
    assert_int_equal(frag_records_commit(records), 0);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 3);
    add(world, records, 3, 4);
    fake_clock_advance(&world->clock, FRAG_BATCH_AGE_NS);
    assert_int_equal(frag_records_tick(records), 0);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 4);
    /* By time between records: back and far ahead. */
    for (int i = 0; i < 3; i++) {
        make(&made, 4);
        made.record.time.ns += i == 1 ? 21 * KN_NS_PER_S : 0;
        assert_int_equal(frag_records_add(records, &made.record), 0);
    }
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 6);
    frag_records_close(records, FRAG_GAP_OPERATOR);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 7);
    assert_int_equal(count_batches(world, "seen"), 5);
}

static int count_record(const struct frag_record *record, void *user) {
    size_t *bytes = user;
    bytes[0]++;
    bytes[1] += record->bytes;
    return 0;
}

static void limits_hold(void **state) {
    struct world *world = *state;
    struct acks acks = {0};
    size_t counted[2] = {0};
    world_open(world);
    struct frag_stream *stream = make_stream(world, "seen");
    struct frag_records *records = open_records(stream, &acks);
    uint8_t *large = calloc(1, FRAG_RECORD_MAX_BYTES + 1);
    assert_non_null(large);
    struct frag_record record = {
        .time = {WORLD_START}, .data = large, .bytes = FRAG_RECORD_MAX_BYTES + 1};
    assert_int_equal(frag_records_add(records, &record), -EINVAL);
    record.bytes = 10;
    record.time.ns = -1;
    assert_int_equal(frag_records_add(records, &record), -EINVAL);
    record.time.ns = INT64_MAX / 2;
    assert_int_equal(frag_records_add(records, &record), -EINVAL);
    record.time.ns = WORLD_START;
    record.key_mask = 16;
    assert_int_equal(frag_records_add(records, &record), -EINVAL);
    record.key_mask = 0;

    /* The largest one is a batch of its own, sent at once. */
    assert_int_equal(frag_records_add(records, &record), 0);
    record.bytes = FRAG_RECORD_MAX_BYTES;
    assert_int_equal(frag_records_add(records, &record), 0);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 2);
    assert_int_equal(count_batches(world, "seen"), 2);
    /* 5 of 200 KiB fit. */
    record.bytes = (size_t)200 * 1024;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(frag_records_add(records, &record), 0);
    }
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 7);
    assert_int_equal(frag_records_commit(records), 0);
    /* 4,096 keys, however many records; one that is there costs nothing. */
    record.bytes = 0;
    record.key_mask = 3;
    for (uint64_t i = 0; i <= 4095; i++) {
        record.keys[0] = i < 4095 ? i : 1;
        record.keys[1] = UINT64_MAX;
        assert_int_equal(frag_records_add(records, &record), 0);
    }
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 8);
    record.keys[0] = 4095;
    assert_int_equal(frag_records_add(records, &record), 0);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 8 + 4096);
    assert_int_equal(count_keys(world), 4096);
    assert_int_equal(frag_records_commit(records), 0);
    /* Records without anything. */
    record.key_mask = 0;
    for (unsigned i = 0; i <= FRAG_BATCH_RECORDS; i++) {
        assert_int_equal(frag_records_add(records, &record), 0);
    }
    frag_records_close(records, FRAG_GAP_OPERATOR);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 8 + 4097 + FRAG_BATCH_RECORDS + 1);
    assert_int_equal(count_batches(world, "seen"), 8);
    struct frag_archive *archive = NULL;
    assert_int_equal(frag_archive_open(world->store, &archive), 0);
    assert_int_equal(
        frag_records_each(archive, stream, BEGINNING, END, NULL, count_record, counted), 0);
    assert_int_equal(counted[0], acks.durable);
    assert_int_equal(counted[1], 10 + FRAG_RECORD_MAX_BYTES + (size_t)6 * 200 * 1024);
    frag_archive_close(archive);
    free(large);
    world_close(world);
    assert_int_equal(frag_store_rebuild(&world->config, NULL, NULL, NULL), 0);
    assert_int_equal(count_keys(world), 4096 + 2);
}

static void kinds_do_not_mix(void **state) {
    struct world *world = *state;
    struct frag_stream_info *info = malloc(sizeof(*info));
    const struct frag_writer_config video = {0};
    const struct frag_records_config config = {0};
    struct frag_writer *writer = NULL;
    struct frag_records *records = NULL;
    static struct collected all;
    struct frag_record_key key = {.slot = FRAG_RECORD_KEYS};
    assert_non_null(info);
    world_open(world);
    struct frag_stream *seen = make_stream(world, "seen");
    struct frag_stream *door = world_stream(world, "door");
    assert_int_equal(frag_writer_open(seen, &video, &writer), -EINVAL);
    assert_int_equal(frag_records_open(door, &config, &records), -EINVAL);
    assert_int_equal(list(world, "door", BEGINNING, END, NULL, &all), -EINVAL);
    assert_int_equal(list(world, "seen", BEGINNING, END, &key, &all), -EINVAL);
    assert_int_equal(frag_stream_describe(seen, info), 0);
    assert_true(info->settings.records);
    info->settings.records = false;
    assert_int_equal(frag_stream_update(seen, NULL, &info->settings), -EINVAL);
    info->settings.records = true;
    assert_int_equal(frag_stream_update(seen, NULL, &info->settings), 0);
    assert_int_equal(frag_stream_update(door, NULL, &info->settings), -EINVAL);
    world_close(world);
    world_open(world);
    seen = frag_stream_find(world->store, "seen");
    assert_int_equal(frag_stream_describe(seen, info), 0);
    assert_true(info->settings.records);
    assert_int_equal(frag_records_open(seen, &config, &records), 0);
    assert_int_equal(frag_stream_delete(seen, NULL), 0);
    struct made made;
    make(&made, 1);
    assert_int_equal(frag_records_add(records, &made.record), 0);
    assert_int_equal(frag_records_commit(records), KN_E_CLOSED);
    frag_records_close(records, FRAG_GAP_OPERATOR);
    free(info);
}

static void a_full_disk_keeps_them_waiting(void **state) {
    struct world *world = *state;
    struct acks acks = {0};
    struct made made;
    world->config.min_free_bytes = INT64_MAX;
    world_open(world);
    struct frag_records *records = open_records(make_stream(world, "seen"), &acks);
    make(&made, 0);
    assert_int_equal(frag_records_add(records, &made.record), 0);
    assert_int_equal(frag_records_commit(records), -ENOSPC);
    make(&made, 1);
    assert_int_equal(frag_records_add(records, &made.record), 0);
    fake_clock_advance(&world->clock, FRAG_BATCH_AGE_NS);
    make(&made, 2);
    assert_int_equal(frag_records_add(records, &made.record), -ENOSPC);
    assert_int_equal(acks.next, 0);
    frag_records_close(records, FRAG_GAP_DISK_FULL);
    assert_int_equal(acks.failed, 2);
    assert_int_equal(acks.error, -ENOSPC);
}

static void a_clock_step_opens_a_reel(void **state) {
    struct world *world = *state;
    static struct frag_entry entries[16];
    static struct collected all;
    struct acks acks = {0};
    world_open(world);
    struct frag_records *records = open_records(make_stream(world, "seen"), &acks);
    add(world, records, 0, 3);
    assert_int_equal(frag_records_commit(records), 0);
    fake_clock_step_wall(&world->clock, -60 * KN_NS_PER_S);
    add(world, records, 3, 6);
    frag_records_close(records, FRAG_GAP_OPERATOR);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 6);
    size_t count = world_list(world, "seen", entries, KN_COUNT(entries));
    assert_in_range(count, 2, 3);
    assert_int_not_equal(entries[0].reel, entries[1].reel);
    assert_int_equal(entries[1].flags, FRAG_DISCONTINUITY);
    assert_int_equal(list(world, "seen", BEGINNING, END, NULL, &all), 0);
    assert_int_equal(all.count, 6);
}

static void assert_reported(struct world *world, bool json, const char *words) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(frag_report_streams(world->store, json, out), 0);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, words));
    free(text);
}

static void reports_tell_them_apart(void **state) {
    struct world *world = *state;
    world_open(world);
    (void)make_stream(world, "seen");
    assert_reported(world, false, "  records\n");
    assert_reported(world, true, "\"records\":true");
}

/* ---- memory ---- */

static void out_of_memory_loses_nothing(void **state) {
    struct world *world = *state;
    struct acks acks = {0};
    const struct frag_records_config config = {.handle_ack = take_ack, .user = &acks};
    struct frag_records *records = NULL;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "seen");
    int rc = -ENOMEM;
    for (unsigned long k = 1; rc == -ENOMEM; k++) {
        fail_alloc_at(k);
        rc = frag_records_open(stream, &config, &records);
        fail_alloc_stop();
    }
    assert_int_equal(rc, 0);
    for (uint64_t n = 0; n < 30; n++) {
        struct made made;
        make(&made, n);
        world_move_clock(made.record.time, world);
        rc = -ENOMEM;
        for (unsigned long k = 1; rc == -ENOMEM; k++) {
            fail_alloc_at(k);
            rc = frag_records_add(records, &made.record);
            fail_alloc_stop();
        }
        assert_int_equal(rc, 0);
    }
    frag_records_close(records, FRAG_GAP_OPERATOR);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, 30);
    check_all(world, "seen", 30);

    static struct collected all;
    struct frag_archive *archive = NULL;
    const struct frag_record_key key = {.slot = 2, .key = 0};
    assert_int_equal(frag_archive_open(world->store, &archive), 0);
    rc = -ENOMEM;
    for (unsigned long k = 1; rc == -ENOMEM; k++) {
        all.count = 0;
        fail_alloc_at(k);
        rc = frag_records_each(archive, stream, BEGINNING, END, &key, collect, &all);
        fail_alloc_stop();
    }
    assert_int_equal(rc, 0);
    assert_int_equal(all.count, 10);
    frag_archive_close(archive);
}

/* ---- threads ---- */

struct sender {
    struct world *world;
    struct frag_stream *stream;
    uint64_t from;
    atomic_uint_least64_t durable;
};

static void count_ack(const struct frag_ack *ack, void *user) {
    struct sender *sender = user;
    (void)atomic_fetch_add(&sender->durable, ack->kind == FRAG_ACK_DURABLE ? ack->records : 0);
}

static void *send_records(void *user) {
    struct sender *sender = user;
    const struct frag_records_config config = {.handle_ack = count_ack, .user = sender};
    struct frag_records *records = NULL;
    struct made made;
    if (frag_records_open(sender->stream, &config, &records) < 0) {
        return NULL;
    }
    for (uint64_t n = sender->from; n < sender->from + 200; n++) {
        make(&made, n);
        int rc = frag_records_add(records, &made.record);
        rc = rc == 0 && n % 10 == 9 ? frag_records_commit(records) : rc;
        if (rc < 0 && rc != -EAGAIN) {
            break;
        }
    }
    frag_records_close(records, FRAG_GAP_OPERATOR);
    return NULL;
}

static void two_write_at_once(void **state) {
    struct world *world = *state;
    static struct collected all;
    pthread_t threads[2];
    world->config.threads = true;
    world_open(world);
    struct frag_stream *stream = make_stream(world, "seen");
    struct sender senders[2] = {{world, stream, 0, 0}, {world, stream, 200, 0}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, send_records, &senders[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(atomic_load(&senders[0].durable), 200);
    assert_int_equal(atomic_load(&senders[1].durable), 200);
    assert_int_equal(list(world, "seen", BEGINNING, END, NULL, &all), 0);
    assert_int_equal(all.count, 400);
}

int main(void) {
    kn_log_set_sink(quiet, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_framed),
        TEST(records_come_back),
        TEST(batches_end),
        TEST(limits_hold),
        TEST(kinds_do_not_mix),
        TEST(a_full_disk_keeps_them_waiting),
        TEST(a_clock_step_opens_a_reel),
        TEST(reports_tell_them_apart),
        TEST(out_of_memory_loses_nothing),
        TEST(two_write_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
