#include <stdlib.h>

#include "base/crc.h"
#include "tests/support/fail_alloc.h"
#include "tests/unit/fragments_catalog_load.h"

#define HEADER FRAG_JOURNAL_HEADER_BYTES
#define RECORD FRAG_JOURNAL_RECORD_HEAD_BYTES

static struct frag_catalog_value text(const char *string) {
    return (struct frag_catalog_value){(const uint8_t *)string, strlen(string)};
}

/* ---- the codec ---- */

static struct frag_journal_record sample_record(void) {
    return (struct frag_journal_record){.sequence = 0x0102030405060708,
                                        .operation = FRAG_JOURNAL_PUT,
                                        .kind = 0x1122,
                                        .key = text("key"),
                                        .value = text("value")};
}

static size_t encode(const struct frag_journal_record *record, uint8_t *room) {
    frag_journal_encode(record, room);
    if (record->key.size > 0) {
        memcpy(room + RECORD, record->key.data, record->key.size);
    }
    if (record->value.size > 0) {
        memcpy(room + RECORD + record->key.size, record->value.data, record->value.size);
    }
    return RECORD + record->key.size + record->value.size;
}

/* The bytes of docs/store-format.md; checksums from another implementation. */
static void bytes_are_as_written_down(void **state) {
    (void)state;
    static const uint8_t expected[] = {0,    0,    0,    13,                     /* body length */
                                       0x31, 0x3c, 0x61, 0x62,                   /* crc32c */
                                       1,    2,    3,    4,    5,   6,   7,   8, /* sequence */
                                       1,    0x11, 0x22, 0,    3, /* operation, kind, key length */
                                       'k',  'e',  'y',  'v',  'a', 'l', 'u', 'e'};
    const struct frag_journal_record record = sample_record();
    uint8_t bytes[64];
    assert_int_equal(encode(&record, bytes), sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));

    static const uint8_t expected_header[HEADER] = "KNJ1\0\0\0\1identity of 16 b"
                                                   "\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\6"
                                                   "\x36\x2c\xa2\x13";
    const struct frag_journal_header header = {
        .store_id = "identity of 16 b", .first = 5, .whole = 6};
    frag_journal_encode_header(&header, bytes);
    assert_memory_equal(bytes, expected_header, HEADER);
}

static void a_record_comes_back(void **state) {
    (void)state;
    const struct frag_journal_record record = sample_record();
    struct frag_journal_record back;
    uint8_t bytes[64];
    size_t size = encode(&record, bytes);
    assert_int_equal(frag_journal_decode(bytes, sizeof(bytes), record.sequence, &back), 0);
    assert_true(back.sequence == record.sequence && back.operation == record.operation &&
                back.kind == record.kind && back.bytes == size);
    assert_true(back.key.size == 3 && memcmp(back.key.data, "key", 3) == 0);
    assert_true(back.value.size == 5 && memcmp(back.value.data, "value", 5) == 0);

    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(frag_journal_decode(bytes, cut, record.sequence, &back), KN_E_TRUNCATED);
    }
    assert_int_equal(frag_journal_decode(bytes, size, record.sequence + 1, &back), KN_E_MALFORMED);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(frag_journal_decode(bytes, size, record.sequence, &back) < 0);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* Good checksums, wrong contents. */
static void a_record_must_make_sense(void **state) {
    (void)state;
    struct frag_journal_record record = sample_record(), back;
    uint8_t bytes[64];
    record.operation = 0;
    size_t size = encode(&record, bytes);
    assert_int_equal(frag_journal_decode(bytes, size, record.sequence, &back), KN_E_MALFORMED);
    record.operation = 3;
    size = encode(&record, bytes);
    assert_int_equal(frag_journal_decode(bytes, size, record.sequence, &back), KN_E_MALFORMED);
    record.operation = FRAG_JOURNAL_DELETE;
    record.value.size = 0;
    size = encode(&record, bytes);
    assert_int_equal(frag_journal_decode(bytes, size, record.sequence, &back), 0);
    record.key.size = 0;
    size = encode(&record, bytes);
    assert_int_equal(frag_journal_decode(bytes, size, record.sequence, &back), 0);
    assert_int_equal(back.bytes, RECORD);
    assert_int_equal(frag_journal_record_bytes((const uint8_t[16]){0, 0, 0, 4}), 0);
    assert_int_equal(frag_journal_record_bytes((const uint8_t[16]){0, 0, 0, 5}), RECORD);
    assert_int_equal(frag_journal_record_bytes((const uint8_t[16]){0, 0x10, 0, 0}),
                     FRAG_JOURNAL_RECORD_MAX);
    assert_int_equal(frag_journal_record_bytes((const uint8_t[16]){0, 0x10, 0, 1}), 0);
}

static void a_header_must_make_sense(void **state) {
    (void)state;
    struct frag_journal_header header = {.store_id = "identity of 16 b", .first = 7, .whole = 6};
    struct frag_journal_header back;
    uint8_t bytes[HEADER];
    frag_journal_encode_header(&header, bytes);
    assert_int_equal(frag_journal_decode_header(bytes, HEADER, &back), 0);
    assert_true(back.first == 7 && back.whole == 6);
    assert_memory_equal(back.store_id, header.store_id, FRAG_ID_BYTES);
    assert_int_equal(frag_journal_decode_header(bytes, HEADER - 1, &back), KN_E_TRUNCATED);
    for (size_t bit = 0; bit < 8 * HEADER; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(frag_journal_decode_header(bytes, HEADER, &back), KN_E_MALFORMED);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    header.whole = FRAG_JOURNAL_SEQUENCE_MAX + 1;
    frag_journal_encode_header(&header, bytes);
    assert_int_equal(frag_journal_decode_header(bytes, HEADER, &back), KN_E_MALFORMED);
}

/* ---- values ---- */

static struct frag_catalog *open_good(struct frag_io *io, size_t copies) {
    struct frag_catalog_config config = load_config(io, copies);
    struct frag_catalog *catalog;
    assert_int_equal(frag_catalog_open(&config, &catalog, NULL), 0);
    return catalog;
}

struct listing {
    char text[512];
    size_t size;
    int stop_after; /* below 0: never */
};

static int list_one(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct listing *listing = user;
    listing->size += (size_t)snprintf(
        listing->text + listing->size, sizeof(listing->text) - listing->size, "%.*s=%.*s ",
        (int)key.size, (const char *)key.data, (int)value.size, (const char *)value.data);
    return listing->stop_after-- == 0 ? -ECANCELED : 0;
}

static void assert_listed(const struct frag_catalog *catalog, uint16_t kind, const char *expected) {
    struct listing listing = {.stop_after = -1};
    assert_int_equal(frag_catalog_each(catalog, kind, list_one, &listing), 0);
    assert_string_equal(listing.text, expected);
}

static void values_are_put_replaced_deleted_and_listed_in_order(void **state) {
    (void)state;
    struct mem_io *mem = load_folders_create();
    struct frag_catalog *catalog = open_good(mem_io(mem), 1);
    struct frag_catalog_value value;
    assert_listed(catalog, 1, "");
    assert_int_equal(frag_catalog_put(catalog, 1, "b", 1, "2", 1), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, "ba", 2, "3", 1), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, "a", 1, "1", 1), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, "\xff", 1, "4", 1), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, NULL, 0, "0", 1), 0);
    assert_int_equal(frag_catalog_put(catalog, 2, "a", 1, NULL, 0), 0);
    assert_int_equal(frag_catalog_put(catalog, 65535, "z", 1, "9", 1), 0);
    assert_int_equal(frag_catalog_put(catalog, 0, "z", 1, "8", 1), 0);
    for (int round = 0; round < 2; round++) {
        assert_listed(catalog, 1, "=0 a=1 b=2 ba=3 \xff=4 ");
        assert_listed(catalog, 2, "a= ");
        assert_listed(catalog, 3, "");
        assert_listed(catalog, 65535, "z=9 ");
        assert_listed(catalog, 0, "z=8 ");
        frag_catalog_close(catalog);
        catalog = open_good(mem_io(mem), 1);
    }
    struct listing listing = {.stop_after = 1};
    assert_int_equal(frag_catalog_each(catalog, 1, list_one, &listing), -ECANCELED);
    assert_string_equal(listing.text, "=0 a=1 ");
    /* From the catalog's own memory, too. */
    assert_int_equal(frag_catalog_get(catalog, 1, "ba", 2, &value), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, "b", 1, value.data, value.size), 0);
    assert_int_equal(frag_catalog_get(catalog, 1, "b", 1, &value), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, "b", 1, value.data, value.size), 0);
    assert_int_equal(frag_catalog_delete(catalog, 1, "a", 1), 0);
    assert_int_equal(frag_catalog_delete(catalog, 1, "a", 1), -ENOENT);
    assert_int_equal(frag_catalog_delete(catalog, 3, "b", 1), -ENOENT);
    assert_int_equal(frag_catalog_get(catalog, 1, "a", 1, &value), -ENOENT);
    frag_catalog_close(catalog);
    catalog = open_good(mem_io(mem), 1);
    assert_listed(catalog, 1, "=0 b=3 ba=3 \xff=4 ");
    frag_catalog_close(catalog);
    mem_io_destroy(mem);
}

static void limits_hold(void **state) {
    (void)state;
    struct mem_io *mem = load_folders_create();
    struct frag_catalog_config config = load_config(mem_io(mem), 2);
    struct frag_catalog *catalog;
    struct frag_catalog_value value;
    char *big = calloc(1, FRAG_CATALOG_VALUE_MAX + 1);
    assert_non_null(big);
    assert_int_equal(frag_catalog_open(&config, &catalog, NULL), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, big, FRAG_CATALOG_KEY_MAX + 1, "", 0),
                     KN_E_LIMIT);
    assert_int_equal(frag_catalog_put(catalog, 1, "a", 1, big, FRAG_CATALOG_VALUE_MAX + 1),
                     KN_E_LIMIT);
    for (uint16_t kind = 0; kind < 5; kind++) {
        big[1000] = (char)kind;
        assert_int_equal(
            frag_catalog_put(catalog, kind, big, FRAG_CATALOG_KEY_MAX, big, FRAG_CATALOG_VALUE_MAX),
            0);
    }
    frag_catalog_close(catalog);
    assert_int_equal(frag_catalog_open(&config, &catalog, NULL), 0);
    memset(big, 0, FRAG_CATALOG_KEY_MAX);
    big[1000] = 3;
    assert_int_equal(frag_catalog_get(catalog, 3, big, FRAG_CATALOG_KEY_MAX, &value), 0);
    assert_int_equal(value.size, FRAG_CATALOG_VALUE_MAX);
    assert_int_equal(value.data[1000], 3);
    frag_catalog_close(catalog);
    config.max_bytes = 4 * 1024 * 1024;
    assert_int_equal(frag_catalog_open(&config, &catalog, NULL), KN_E_LIMIT);
    mem_io_destroy(mem);
    free(big);

    mem = load_folders_create();
    config = load_config(mem_io(mem), 1);
    config.max_bytes = 2 * (RECORD + 10);
    assert_int_equal(frag_catalog_open(&config, &catalog, NULL), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, "a", 1, "123456789", 9), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, "b", 1, "1234567890", 10), KN_E_LIMIT);
    assert_int_equal(frag_catalog_put(catalog, 1, "b", 1, "123456789", 9), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, "a", 1, "abcdefghi", 9), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, "c", 1, "", 0), KN_E_LIMIT);
    assert_int_equal(frag_catalog_delete(catalog, 1, "b", 1), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, "c", 1, "", 0), 0);
    frag_catalog_close(catalog);
    mem_io_destroy(mem);
}

/* Many keys in hard orders, against an array. */
static void many_keys_in_any_order(void **state) {
    (void)state;
    enum { KEYS = 600 };
    static int expected[KEYS];
    struct mem_io *mem = load_folders_create();
    struct frag_catalog *catalog = open_good(mem_io(mem), 1);
    uint64_t seed = 1;
    memset(expected, 0, sizeof(expected));
    for (int i = 0; i < 4000; i++) {
        /* First up, then down, then anyhow. */
        int k = i < KEYS ? i : i < 2 * KEYS ? 2 * KEYS - 1 - i : (int)(load_random(&seed) % KEYS);
        char key[8];
        (void)snprintf(key, sizeof(key), "%04d", k);
        if (i >= KEYS && load_random(&seed) % 2 == 0) {
            assert_int_equal(frag_catalog_delete(catalog, 7, key, 4),
                             expected[k] == 0 ? -ENOENT : 0);
            expected[k] = 0;
        } else {
            expected[k] = i + 1;
            assert_int_equal(frag_catalog_put(catalog, 7, key, 4, &expected[k], sizeof(int)), 0);
        }
    }
    for (int round = 0; round < 2; round++) {
        for (int k = 0; k < KEYS; k++) {
            char key[8];
            struct frag_catalog_value value;
            (void)snprintf(key, sizeof(key), "%04d", k);
            int rc = frag_catalog_get(catalog, 7, key, 4, &value);
            assert_int_equal(rc, expected[k] == 0 ? -ENOENT : 0);
            assert_true(rc < 0 || memcmp(value.data, &expected[k], sizeof(int)) == 0);
        }
        frag_catalog_close(catalog);
        catalog = open_good(mem_io(mem), 1);
    }
    frag_catalog_close(catalog);
    mem_io_destroy(mem);
}

/* ---- copies ---- */

static uint8_t *take_file(struct mem_io *mem, const char *path, size_t *ret_size) {
    const uint8_t *data = mem_io_peek(mem, path, ret_size);
    assert_non_null(data);
    uint8_t *copy = malloc(*ret_size + 1);
    assert_non_null(copy);
    memcpy(copy, data, *ret_size);
    return copy;
}

static void fill(struct mem_io *mem, size_t copies, int changes) {
    struct fault_io fault;
    struct load_history history;
    fault_io_init(&fault, mem_io(mem));
    assert_int_equal(load_run(&fault, copies, changes, &history), 0);
    fault_io_finish(&fault);
}

static struct load_model model_of(int changes) {
    struct load_model model = load_model_empty();
    for (int i = 0; i < changes; i++) {
        load_model_apply(&model, i);
    }
    return model;
}

static void assert_opens(struct mem_io *mem, size_t copies, int changes,
                         struct frag_catalog_report *ret_report) {
    struct frag_catalog_config config = load_config(mem_io(mem), copies);
    struct frag_catalog *catalog;
    assert_int_equal(frag_catalog_open(&config, &catalog, ret_report), 0);
    struct load_model model = model_of(changes);
    assert_true(load_matches(catalog, &model));
    struct frag_catalog_report report = frag_catalog_report(catalog);
    assert_memory_equal(report.copies, ret_report->copies, sizeof(report.copies));
    frag_catalog_close(catalog);
}

static void new_and_older_copies_follow(void **state) {
    (void)state;
    struct mem_io *mem = load_folders_create();
    struct frag_catalog_report report;
    size_t size;
    assert_opens(mem, 1, 0, &report);
    assert_int_equal(report.copies[0], FRAG_COPY_MADE);
    assert_int_equal(mem_io_peek(mem, "a/journal", &size) != NULL ? size : 0, HEADER);
    fill(mem, 1, 10);
    uint8_t *old = take_file(mem, "a/journal", &size);
    mem_io_set(mem, "b/journal.new", "left over", 9);
    assert_opens(mem, 2, 10, &report);
    assert_int_equal(report.copies[0], FRAG_COPY_GOOD);
    assert_int_equal(report.copies[1], FRAG_COPY_MADE);
    assert_int_equal(report.records, 9); /* one change had nothing to delete */
    assert_int_equal(report.cut_bytes, 0);
    assert_null(mem_io_peek(mem, "b/journal.new", &size));
    mem_io_destroy(mem);

    /* An older one in front of a newer one. */
    mem = load_folders_create();
    fill(mem, 2, 40);
    mem_io_set(mem, "a/journal", old, size);
    mem_io_set(mem, "b/journal.new", "left over", 9);
    assert_opens(mem, 3, 40, &report);
    assert_int_equal(report.copies[0], FRAG_COPY_BEHIND);
    assert_int_equal(report.copies[1], FRAG_COPY_GOOD);
    assert_int_equal(report.copies[2], FRAG_COPY_MADE);
    assert_null(mem_io_peek(mem, "b/journal.new", &size));
    assert_opens(mem, 1, 40, &report);
    assert_int_equal(report.copies[0], FRAG_COPY_GOOD);
    mem_io_destroy(mem);
    free(old);
}

static void a_torn_end_is_cut(void **state) {
    (void)state;
    struct mem_io *mem = load_folders_create();
    struct frag_catalog_report report;
    size_t whole, shorter;
    fill(mem, 1, 9);
    (void)mem_io_peek(mem, "a/journal", &shorter);
    mem_io_destroy(mem);
    mem = load_folders_create();
    fill(mem, 1, 10);
    uint8_t *bytes = take_file(mem, "a/journal", &whole);
    for (size_t size = shorter; size <= whole; size++) {
        mem_io_set(mem, "a/journal", bytes, size);
        size_t torn = size < whole ? size - shorter : 0;
        assert_opens(mem, 1, size < whole ? 9 : 10, &report);
        assert_int_equal(report.cut_bytes, torn);
        assert_int_equal(report.copies[0], FRAG_COPY_GOOD);
        size_t left;
        (void)mem_io_peek(mem, "a/journal", &left);
        assert_int_equal(left, size < whole ? shorter : whole);
    }
    free(bytes);
    mem_io_destroy(mem);
}

/* What no undamaged copy can make good is not opened, and nothing is touched. */
static void assert_refused(struct mem_io *mem, size_t copies, int expected) {
    struct mem_io *before = mem_io_create();
    struct frag_catalog_config config = load_config(mem_io(mem), copies);
    struct frag_catalog *catalog;
    struct frag_catalog_report report;
    mem_io_copy(before, mem);
    assert_int_equal(frag_catalog_open(&config, &catalog, &report), expected);
    for (size_t i = 0; i < LOAD_COPIES; i++) {
        static const char *const names[] = {"journal", "journal.new", "journal.damaged-1"};
        for (size_t n = 0; n < KN_COUNT(names); n++) {
            char path[64];
            size_t size = 0, size_before = 0;
            (void)snprintf(path, sizeof(path), "%s/%s", load_folders[i], names[n]);
            const uint8_t *now = mem_io_peek(mem, path, &size);
            const uint8_t *then = mem_io_peek(before, path, &size_before);
            assert_true((now == NULL) == (then == NULL) && size == size_before);
            assert_true(size == 0 || memcmp(now, then, size) == 0);
        }
    }
    mem_io_destroy(before);
}

/* A compacted journal of a few records and a few more behind. */
static struct mem_io *small_store(size_t copies, size_t *ret_last_record) {
    struct mem_io *mem = load_folders_create();
    fill(mem, copies, 30);
    size_t size;
    (void)mem_io_peek(mem, "a/journal", &size);
    assert_true(size < 1800);
    char value[96];
    *ret_last_record = size - RECORD - 5 - load_value(29, value);
    return mem;
}

static void every_wrong_bit_is_seen(void **state) {
    (void)state;
    size_t last_record, size;
    struct mem_io *mem = small_store(1, &last_record);
    uint8_t *bytes = take_file(mem, "a/journal", &size);
    for (size_t at = 0; at < size; at++) {
        bytes[at] ^= (uint8_t)(1u << at % 8);
        mem_io_set(mem, "a/journal", bytes, size);
        if (at < last_record) {
            assert_refused(mem, 1, KN_E_MALFORMED);
        } else {
            /* Not to be told from a torn one. */
            struct frag_catalog_report report;
            assert_opens(mem, 1, 29, &report);
            assert_int_equal(report.cut_bytes, size - last_record);
        }
        bytes[at] ^= (uint8_t)(1u << at % 8);
    }
    free(bytes);
    mem_io_destroy(mem);
}

static void a_second_copy_repairs_every_wrong_bit(void **state) {
    (void)state;
    size_t last_record, size, kept_size;
    struct mem_io *good = small_store(2, &last_record);
    uint8_t *bytes = take_file(good, "a/journal", &size);
    for (size_t at = 0; at < size; at++) {
        struct mem_io *mem = mem_io_create();
        struct frag_catalog_report report;
        mem_io_copy(mem, good);
        bytes[at] ^= (uint8_t)(1u << at % 8);
        mem_io_set(mem, "a/journal", bytes, size);
        assert_opens(mem, 2, 30, &report);
        assert_int_equal(report.copies[0], at < last_record ? FRAG_COPY_DAMAGED : FRAG_COPY_BEHIND);
        assert_int_equal(report.copies[1], FRAG_COPY_GOOD);
        const uint8_t *kept = mem_io_peek(mem, "a/journal.damaged-1", &kept_size);
        assert_true((kept != NULL) == (at < last_record));
        assert_true(kept == NULL || (kept_size == size && memcmp(kept, bytes, size) == 0));
        assert_opens(mem, 1, 30, &report);
        assert_int_equal(report.copies[0], FRAG_COPY_GOOD);
        bytes[at] ^= (uint8_t)(1u << at % 8);
        mem_io_destroy(mem);
    }
    free(bytes);
    mem_io_destroy(good);
}

/* An older copy does not hold while a damaged one speaks of more. */
static void an_old_copy_does_not_stand_in_for_a_damaged_one(void **state) {
    (void)state;
    struct mem_io *mem = load_folders_create();
    size_t size;
    fill(mem, 1, 20);
    uint8_t *old = take_file(mem, "a/journal", &size);
    mem_io_destroy(mem);
    mem = load_folders_create();
    fill(mem, 1, 24);
    mem_io_set(mem, "b/journal", old, size);
    mem_io_peek(mem, "a/journal", &size)[HEADER + 30] ^= 1;
    assert_refused(mem, 2, KN_E_MALFORMED);
    assert_refused(mem, 3, KN_E_MALFORMED);
    free(old);
    mem_io_destroy(mem);
}

/* What was synced before it got its name is never torn. */
static void a_compacted_journal_is_not_cut(void **state) {
    (void)state;
    struct mem_io *mem = load_folders_create();
    struct frag_catalog_report report;
    size_t size;
    fill(mem, 1, 20);
    assert_opens(mem, 2, 20, &report); /* b is written whole */
    uint8_t *bytes = take_file(mem, "b/journal", &size);
    mem_io_set(mem, "a/journal", bytes, size);
    assert_opens(mem, 1, 20, &report);
    for (size_t cut = 0; cut < size; cut++) {
        mem_io_set(mem, "a/journal", bytes, cut);
        assert_refused(mem, 1, KN_E_MALFORMED);
    }
    free(bytes);
    mem_io_destroy(mem);
}

static void damaged_copies_are_kept_up_to_a_number(void **state) {
    (void)state;
    struct mem_io *mem = load_folders_create();
    struct frag_catalog_report report;
    size_t size;
    fill(mem, 2, 5);
    for (int n = 1; n <= 3; n++) {
        mem_io_peek(mem, "b/journal", &size)[9] ^= 1;
        assert_opens(mem, 2, 5, &report);
        assert_int_equal(report.copies[1], FRAG_COPY_DAMAGED);
        char path[32];
        (void)snprintf(path, sizeof(path), "b/journal.damaged-%d", n);
        assert_non_null(mem_io_peek(mem, path, &size));
    }
    mem_io_destroy(mem);
}

static void other_stores_and_newer_versions_are_not_touched(void **state) {
    (void)state;
    struct mem_io *mem = load_folders_create();
    struct frag_catalog_config config = load_config(mem_io(mem), 1);
    struct frag_catalog_report report;
    struct frag_catalog *catalog;
    size_t size;
    config.store_id[0] = '?';
    assert_int_equal(frag_catalog_open(&config, &catalog, NULL), 0);
    frag_catalog_close(catalog);
    uint8_t *foreign = take_file(mem, "a/journal", &size);
    assert_refused(mem, 1, -EXDEV);
    assert_refused(mem, 3, -EXDEV); /* nor is a new store begun beside it */
    mem_io_destroy(mem);

    mem = load_folders_create();
    fill(mem, 3, 20);
    mem_io_set(mem, "b/journal", foreign, size);
    assert_opens(mem, 3, 20, &report);
    assert_int_equal(report.copies[0], FRAG_COPY_GOOD);
    assert_int_equal(report.copies[1], FRAG_COPY_FOREIGN);
    assert_int_equal(report.copies[2], FRAG_COPY_GOOD);
    size_t now;
    assert_memory_equal(mem_io_peek(mem, "b/journal", &now), foreign, size);
    assert_int_equal(now, size);
    free(foreign);

    /* Version 2 with its checksum, in one copy of three. */
    uint8_t newer[HEADER];
    const struct frag_journal_header header = {
        .store_id = "the load's store", .first = 1, .whole = 0};
    frag_journal_encode_header(&header, newer);
    newer[7] = 2;
    uint32_t crc = kn_crc32c(0, newer, HEADER - 4);
    for (size_t i = 0; i < 4; i++) {
        newer[HEADER - 4 + i] = (uint8_t)(crc >> (24 - 8 * i));
    }
    mem_io_set(mem, "c/journal", newer, HEADER);
    assert_refused(mem, 3, KN_E_UNSUPPORTED);
    assert_opens(mem, 2, 20, &report);
    mem_io_destroy(mem);
}

/* A copy that cannot be read costs nothing as long as another one can. */
static void a_copy_that_fails_is_reported(void **state) {
    (void)state;
    struct mem_io *mem = load_folders_create();
    struct fault_io fault;
    struct frag_catalog *catalog;
    struct frag_catalog_report report;
    fill(mem, 2, 20);
    fault_io_init(&fault, mem_io(mem));
    fault.fail_at = 1;
    fault.fail_count = UINT64_MAX;
    fault.fail_path = "a/";
    struct frag_catalog_config config = load_config(&fault.io, 2);
    struct load_model model = model_of(20);
    assert_int_equal(frag_catalog_open(&config, &catalog, &report), 0);
    assert_int_equal(report.copies[0], FRAG_COPY_FAILED);
    assert_int_equal(report.copies[1], FRAG_COPY_GOOD);
    assert_true(load_matches(catalog, &model));
    /* Then the other one, too: what is there can still be read. */
    fault.fail_path = NULL;
    assert_int_equal(load_do(catalog, 20), KN_E_CLOSED);
    assert_int_equal(load_do(catalog, 21), KN_E_CLOSED);
    assert_int_equal(frag_catalog_delete(catalog, 1, "key-0", 5), KN_E_CLOSED);
    assert_true(load_matches(catalog, &model));
    assert_int_equal(frag_catalog_report(catalog).copies[1], FRAG_COPY_FAILED);
    frag_catalog_close(catalog);
    assert_int_equal(frag_catalog_open(&config, &catalog, &report), -EIO);
    assert_int_equal(report.copies[0], FRAG_COPY_FAILED);

    /* A new store is not begun beside what cannot be read. */
    fault.fail_path = "a/journal";
    config.folder_count = 1;
    assert_int_equal(frag_catalog_open(&config, &catalog, NULL), -EIO);
    config.folders = (const char *const[]){"a", "c"};
    config.folder_count = 2;
    assert_int_equal(frag_catalog_open(&config, &catalog, NULL), -EIO);
    size_t size;
    assert_null(mem_io_peek(mem, "c/journal", &size));
    fault_io_finish(&fault);
    mem_io_destroy(mem);
}

/* The first disk keeps a change that was answered with an error, the second goes on with another
 * one: the first must not win afterwards. */
static void what_was_refused_does_not_outrank_what_came_later(void **state) {
    (void)state;
    struct mem_io *mem = load_folders_create();
    struct fault_io fault;
    struct frag_catalog *catalog;
    struct frag_catalog_report report;
    struct frag_catalog_value value;
    fill(mem, 2, 0);
    fault_io_init(&fault, mem_io(mem));
    struct frag_catalog_config config = load_config(&fault.io, 2);
    assert_int_equal(frag_catalog_open(&config, &catalog, &report), 0);
    assert_int_equal(frag_catalog_put(catalog, 1, "k", 1, "old", 3), 0);
    /* a: written, the sync fails. b: the write fails, cutting back works. a: no new journal. */
    fault.fail_at = fault.operations + 1;
    fault.fail_pattern = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 5;
    assert_int_equal(frag_catalog_put(catalog, 1, "k", 1, "refused", 7), -EIO);
    fault.fail_at = 0;
    assert_int_equal(frag_catalog_report(catalog).copies[0], FRAG_COPY_FAILED);
    assert_int_equal(frag_catalog_report(catalog).copies[1], FRAG_COPY_GOOD);
    assert_int_equal(frag_catalog_get(catalog, 1, "k", 1, &value), 0);
    assert_true(value.size == 3 && memcmp(value.data, "old", 3) == 0);
    /* b is written anew, past what a holds; the change itself is refused. */
    fault.fail_at = fault.operations + 7;
    fault.fail_pattern = 1;
    assert_int_equal(frag_catalog_put(catalog, 1, "k", 1, "refused", 7), -EIO);
    fault.fail_at = 0;
    struct mem_io *now = mem_io_create();
    struct frag_catalog_config config_now = load_config(mem_io(now), 2);
    struct frag_catalog *catalog_now;
    mem_io_copy(now, mem);
    assert_int_equal(frag_catalog_open(&config_now, &catalog_now, &report), 0);
    assert_int_equal(report.copies[0], FRAG_COPY_BEHIND);
    assert_int_equal(frag_catalog_get(catalog_now, 1, "k", 1, &value), 0);
    assert_true(value.size == 3 && memcmp(value.data, "old", 3) == 0);
    frag_catalog_close(catalog_now);
    mem_io_destroy(now);

    assert_int_equal(frag_catalog_put(catalog, 1, "k", 1, "later", 5), 0);
    frag_catalog_close(catalog);
    assert_int_equal(frag_catalog_open(&config, &catalog, &report), 0);
    assert_int_equal(report.copies[0], FRAG_COPY_BEHIND);
    assert_int_equal(frag_catalog_get(catalog, 1, "k", 1, &value), 0);
    assert_true(value.size == 5 && memcmp(value.data, "later", 5) == 0);
    frag_catalog_close(catalog);
    fault_io_finish(&fault);
    mem_io_destroy(mem);
}

/* A change that the other copy has is in effect: who refused it is written anew, or left behind. */
static void who_refuses_is_written_anew_or_left_behind(void **state) {
    (void)state;
    for (int failing = 0; failing < 2; failing++) {
        struct mem_io *mem = load_folders_create();
        struct fault_io fault;
        struct frag_catalog *catalog;
        struct frag_catalog_report report;
        fill(mem, 2, 3);
        fault_io_init(&fault, mem_io(mem));
        struct frag_catalog_config config = load_config(&fault.io, 2);
        assert_int_equal(frag_catalog_open(&config, &catalog, &report), 0);
        /* a: write, sync. b: the write fails, is cut back; then unlink and create journal.new. */
        fault.fail_at = fault.operations + 1;
        fault.fail_pattern = failing == 0 ? 1u << 2 : 1u << 2 | 1u << 5;
        fault.fail_error = -ENOSPC;
        assert_int_equal(load_do(catalog, 3), 0);
        fault.fail_at = 0;
        assert_int_equal(frag_catalog_report(catalog).copies[1],
                         failing == 0 ? FRAG_COPY_GOOD : FRAG_COPY_FAILED);
        frag_catalog_close(catalog);
        assert_opens(mem, 2, 4, &report);
        assert_int_equal(report.copies[1], failing == 0 ? FRAG_COPY_GOOD : FRAG_COPY_BEHIND);
        fault_io_finish(&fault);
        mem_io_destroy(mem);
    }
}

/* ---- memory ---- */

static void out_of_memory_everywhere(void **state) {
    (void)state;
    struct mem_io *start = load_folders_create();
    size_t size;
    fill(start, 3, 30);
    mem_io_peek(start, "b/journal", &size)[HEADER + 3] ^= 1; /* damaged */
    assert_int_equal(mem_io(start)->unlink(mem_io(start), "c/journal"), 0);
    bool reached = true;
    for (unsigned long k = 1; reached; k++) {
        struct mem_io *mem = mem_io_create();
        struct frag_catalog_config config = load_config(mem_io(mem), 3);
        struct frag_catalog *catalog = NULL;
        struct load_model model = model_of(30);
        mem_io_copy(mem, start);
        fail_alloc_at(k);
        int rc = frag_catalog_open(&config, &catalog, NULL);
        if (rc == 0) {
            for (int i = 30; i < 60; i++) {
                int result = load_do(catalog, i);
                assert_true(result == 0 || result == -ENOMEM || result == -ENOENT);
                if (result == 0) {
                    load_model_apply(&model, i);
                }
            }
        } else {
            assert_int_equal(rc, -ENOMEM);
        }
        reached = fail_alloc_count() >= k;
        fail_alloc_stop();
        frag_catalog_close(catalog);
        catalog = open_good(mem_io(mem), 3);
        assert_true(load_matches(catalog, &model));
        frag_catalog_close(catalog);
        mem_io_destroy(mem);
    }
    mem_io_destroy(start);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_as_written_down),
        cmocka_unit_test(a_record_comes_back),
        cmocka_unit_test(a_record_must_make_sense),
        cmocka_unit_test(a_header_must_make_sense),
        cmocka_unit_test(values_are_put_replaced_deleted_and_listed_in_order),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(many_keys_in_any_order),
        cmocka_unit_test(new_and_older_copies_follow),
        cmocka_unit_test(a_torn_end_is_cut),
        cmocka_unit_test(every_wrong_bit_is_seen),
        cmocka_unit_test(a_second_copy_repairs_every_wrong_bit),
        cmocka_unit_test(an_old_copy_does_not_stand_in_for_a_damaged_one),
        cmocka_unit_test(a_compacted_journal_is_not_cut),
        cmocka_unit_test(damaged_copies_are_kept_up_to_a_number),
        cmocka_unit_test(other_stores_and_newer_versions_are_not_touched),
        cmocka_unit_test(a_copy_that_fails_is_reported),
        cmocka_unit_test(what_was_refused_does_not_outrank_what_came_later),
        cmocka_unit_test(who_refuses_is_written_anew_or_left_behind),
        cmocka_unit_test(out_of_memory_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
