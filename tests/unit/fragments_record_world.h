/* Records of known contents, for tests of stores that have some: all of the n-th follows from n. */
#ifndef TESTS_UNIT_FRAGMENTS_RECORD_WORLD_H
#define TESTS_UNIT_FRAGMENTS_RECORD_WORLD_H

#include <sqlite3.h>

#include "tests/unit/fragments_store_world.h"

#define BEGINNING ((struct kn_wall){INT64_MIN})
#define END ((struct kn_wall){INT64_MAX})

struct made {
    struct frag_record record;
    uint8_t data[64];
};

static inline void make(struct made *made, uint64_t n) {
    size_t bytes = n % sizeof(made->data);
    for (size_t i = 0; i < bytes; i++) {
        made->data[i] = (uint8_t)(n + i);
    }
    made->record = (struct frag_record){
        .time = {WORLD_START + (int64_t)n * 100 * KN_NS_PER_MS + (int64_t)n},
        .key_mask = n % 4 == 0 ? 0xf : 0x5,
        .keys = {n, n * 2, n % 3, UINT64_MAX - n % 2},
        .data = made->data,
        .bytes = bytes,
    };
}

static inline void assert_same(const struct frag_record *a, const struct frag_record *b) {
    assert_int_equal(a->time.ns, b->time.ns);
    assert_int_equal(a->key_mask, b->key_mask);
    for (unsigned slot = 0; slot < FRAG_RECORD_KEYS; slot++) {
        if ((a->key_mask & 1u << slot) != 0) {
            assert_int_equal(a->keys[slot], b->keys[slot]);
        }
    }
    assert_int_equal(a->bytes, b->bytes);
    assert_memory_equal(a->data, b->data, a->bytes);
}

struct acks {
    uint64_t durable, failed; /* records */
    uint64_t next;            /* expected: acks come in order */
    int error;
    bool closed;
};

static inline void take_ack(const struct frag_ack *ack, void *user) {
    struct acks *acks = user;
    assert_int_equal(ack->first_record, acks->next);
    assert_true(ack->records > 0);
    acks->next += ack->records;
    *(ack->kind == FRAG_ACK_DURABLE ? &acks->durable : &acks->failed) += ack->records;
    acks->error = ack->error;
}

static inline void take_closed(void *user) {
    struct acks *acks = user;
    acks->closed = true;
}

static inline struct frag_stream *make_stream(struct world *world, const char *name) {
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_stream *stream = NULL;
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.records = true;
    assert_int_equal(frag_stream_create(world->store, name, &settings, NULL, 0, &stream), 0);
    return stream;
}

static inline struct frag_records *open_records(struct frag_stream *stream, struct acks *acks) {
    const struct frag_records_config config = {
        .handle_ack = take_ack, .handle_closed = take_closed, .user = acks};
    struct frag_records *records = NULL;
    assert_int_equal(frag_records_open(stream, &config, &records), 0);
    return records;
}

/* Numbers [from, to), each at its time of the store's clock too. */
static inline void add(struct world *world, struct frag_records *records, uint64_t from,
                       uint64_t to) {
    struct made made;
    for (uint64_t n = from; n < to; n++) {
        make(&made, n);
        world_move_clock(made.record.time, world);
        assert_int_equal(frag_records_add(records, &made.record), 0);
    }
}

/* One session of its own; `acks` is zero before. */
static inline void write_records(struct world *world, struct frag_stream *stream, uint64_t from,
                                 uint64_t to) {
    struct acks acks = {0};
    struct frag_records *records = open_records(stream, &acks);
    add(world, records, from, to);
    frag_records_close(records, FRAG_GAP_PRODUCER_AWAY);
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_int_equal(acks.durable, to - from);
    assert_true(acks.closed);
}

struct collected {
    uint64_t numbers[4096];
    size_t count;
    int answer;
};

static inline int collect(const struct frag_record *record, void *user) {
    struct collected *all = user;
    struct made made;
    uint64_t n = (uint64_t)(record->time.ns - WORLD_START) / (100 * KN_NS_PER_MS + 1);
    make(&made, n);
    assert_same(&made.record, record);
    assert_true(all->count < KN_COUNT(all->numbers));
    all->numbers[all->count++] = n;
    return all->answer;
}

static inline int list(struct world *world, const char *name, struct kn_wall from,
                       struct kn_wall to, const struct frag_record_key *key,
                       struct collected *all) {
    struct frag_archive *archive = NULL;
    all->count = 0;
    assert_int_equal(frag_archive_open(world->store, &archive), 0);
    int rc = frag_records_each(archive, frag_stream_find(world->store, name), from, to, key,
                               collect, all);
    frag_archive_close(archive);
    return rc;
}

/* All of [0, count) are there, in order, and by every kind of key. */
static inline void check_all(struct world *world, const char *name, uint64_t count) {
    static struct collected all;
    assert_int_equal(list(world, name, BEGINNING, END, NULL, &all), 0);
    assert_int_equal(all.count, count);
    for (uint64_t n = 0; n < count; n++) {
        assert_int_equal(all.numbers[n], n);
    }
    struct frag_record_key key = {.slot = 2, .key = 1};
    assert_int_equal(list(world, name, BEGINNING, END, &key, &all), 0);
    assert_int_equal(all.count, (count + 1) / 3);
    for (size_t i = 0; i < all.count; i++) {
        assert_int_equal(all.numbers[i], i * 3 + 1);
    }
    key = (struct frag_record_key){.slot = 3, .key = UINT64_MAX};
    assert_int_equal(list(world, name, BEGINNING, END, &key, &all), 0);
    assert_int_equal(all.count, (count + 3) / 4);
    key = (struct frag_record_key){.slot = 0, .key = count / 2};
    assert_int_equal(list(world, name, BEGINNING, END, &key, &all), 0);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.numbers[0], count / 2);
    key = (struct frag_record_key){.slot = 1, .key = 3}; /* of no record */
    assert_int_equal(list(world, name, BEGINNING, END, &key, &all), 0);
    assert_int_equal(all.count, 0);
}

static inline uint64_t count_keys(struct world *world) {
    char path[128];
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    (void)snprintf(path, sizeof(path), "%s/index.db", world->folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT count(*) FROM record_key", -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    uint64_t count = (uint64_t)sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return count;
}

static inline size_t count_batches(struct world *world, const char *name) {
    static struct frag_entry entries[4096];
    return world_list(world, name, entries, KN_COUNT(entries));
}

static inline uint64_t count_findings(struct world *world) {
    struct frag_check_report report;
    assert_int_equal(frag_store_check(&world->config, NULL, NULL, &report), 0);
    return report.repairs + report.damages;
}

static inline void quiet(const char *line, size_t bytes, void *user) {
    (void)line;
    (void)bytes;
    (void)user;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, world_setup, world_teardown)

#endif
