/* Catalogs opened for reading, also beside a writer that changes the files at any moment. */
#include <stdlib.h>

#include "tests/support/fail_alloc.h"
#include "tests/unit/fragments_catalog_load.h"

static struct load_model model_of(int changes) {
    struct load_model model = load_model_empty();
    for (int i = 0; i < changes; i++) {
        load_model_apply(&model, i);
    }
    return model;
}

static struct mem_io *filled(size_t copies, int changes) {
    struct mem_io *mem = load_folders_create();
    struct fault_io fault;
    struct load_history history;
    fault_io_init(&fault, mem_io(mem));
    assert_int_equal(load_run(&fault, copies, changes, &history), 0);
    fault_io_finish(&fault);
    return mem;
}

static uint8_t *take_file(struct mem_io *mem, const char *path, size_t *ret_size) {
    const uint8_t *data = mem_io_peek(mem, path, ret_size);
    assert_non_null(data);
    uint8_t *copy = malloc(*ret_size + 1);
    assert_non_null(copy);
    memcpy(copy, data, *ret_size);
    return copy;
}

/* ---- an io that can only read, and lets somebody else act before one of its operations ---- */

struct reading_io {
    struct frag_io io;
    struct frag_io *under;
    uint64_t operations;
    uint64_t act_at;
    void (*act)(void *user);
    void *user;
};

static struct frag_io *begin_operation(struct frag_io *io) {
    struct reading_io *reading = (struct reading_io *)io;
    if (++reading->operations == reading->act_at) {
        reading->act(reading->user);
    }
    return reading->under;
}

static int reading_open(struct frag_io *io, const char *path, enum frag_io_mode mode) {
    struct frag_io *under = begin_operation(io);
    assert_int_equal(mode, FRAG_IO_READ);
    return under->open(under, path, mode);
}

static int reading_close(struct frag_io *io, int fd) {
    struct frag_io *under = begin_operation(io);
    return under->close(under, fd);
}

static int64_t reading_read(struct frag_io *io, int fd, void *room, size_t size, uint64_t offset) {
    struct frag_io *under = begin_operation(io);
    return under->read(under, fd, room, size, offset);
}

static int reading_size(struct frag_io *io, int fd, uint64_t *ret_bytes) {
    struct frag_io *under = begin_operation(io);
    return under->size(under, fd, ret_bytes);
}

/* Whatever else is called stops the test. */
static struct reading_io reading_of(struct frag_io *under) {
    return (struct reading_io){.io = {.open = reading_open,
                                      .close = reading_close,
                                      .read = reading_read,
                                      .size = reading_size},
                               .under = under};
}

static int open_to_read(struct reading_io *reading, size_t copies,
                        struct frag_catalog **ret_catalog, struct frag_catalog_report *ret_report) {
    struct frag_catalog_config config = load_config(&reading->io, copies);
    config.read_only = true;
    return frag_catalog_open(&config, ret_catalog, ret_report);
}

static void assert_reads(struct mem_io *mem, size_t copies, int changes,
                         struct frag_catalog_report *ret_report) {
    struct reading_io reading = reading_of(mem_io(mem));
    struct frag_catalog *catalog;
    assert_int_equal(open_to_read(&reading, copies, &catalog, ret_report), 0);
    struct load_model model = model_of(changes);
    assert_true(load_matches(catalog, &model));
    frag_catalog_close(catalog);
}

static void assert_refused(struct mem_io *mem, size_t copies, int expected) {
    struct reading_io reading = reading_of(mem_io(mem));
    struct frag_catalog *catalog;
    assert_int_equal(open_to_read(&reading, copies, &catalog, NULL), expected);
}

/* ---- alone ---- */

static void what_was_written_is_read_and_not_changed(void **state) {
    (void)state;
    struct mem_io *mem = filled(2, 40);
    struct reading_io reading = reading_of(mem_io(mem));
    struct frag_catalog_report report;
    struct frag_catalog *catalog;
    struct load_model model = model_of(40);
    assert_int_equal(open_to_read(&reading, 3, &catalog, &report), 0);
    assert_int_equal(report.copies[0], FRAG_COPY_GOOD);
    assert_int_equal(report.copies[1], FRAG_COPY_GOOD);
    assert_int_equal(report.copies[2], FRAG_COPY_MADE);
    assert_true(report.records > 0 && report.cut_bytes == 0);
    /* No descriptor is held: the files may go. */
    uint64_t operations = reading.operations;
    assert_int_equal(frag_catalog_put(catalog, 1, "key-0", 5, "x", 1), -EROFS);
    assert_int_equal(frag_catalog_put(catalog, 9, "new", 3, "x", 1), -EROFS);
    assert_int_equal(frag_catalog_delete(catalog, 1, "key-0", 5), -EROFS);
    assert_int_equal(frag_catalog_delete(catalog, 9, "new", 3), -EROFS);
    assert_true(load_matches(catalog, &model));
    frag_catalog_close(catalog);
    assert_true(reading.operations == operations);
    mem_io_destroy(mem);
}

static void a_torn_end_is_left_out_and_left_there(void **state) {
    (void)state;
    size_t shorter, whole, left;
    struct frag_catalog_report report;
    struct mem_io *mem = filled(1, 9);
    (void)mem_io_peek(mem, "a/journal", &shorter);
    mem_io_destroy(mem);
    mem = filled(1, 10);
    uint8_t *bytes = take_file(mem, "a/journal", &whole);
    mem_io_set(mem, "a/journal.new", "left over", 9);
    for (size_t size = shorter; size <= whole; size++) {
        mem_io_set(mem, "a/journal", bytes, size);
        assert_reads(mem, 1, size < whole ? 9 : 10, &report);
        assert_int_equal(report.cut_bytes, size < whole ? size - shorter : 0);
        assert_int_equal(report.copies[0], FRAG_COPY_GOOD);
        (void)mem_io_peek(mem, "a/journal", &left);
        assert_int_equal(left, size);
    }
    assert_non_null(mem_io_peek(mem, "a/journal.new", &left));
    free(bytes);
    mem_io_destroy(mem);
}

static void the_best_sound_copy_is_read(void **state) {
    (void)state;
    size_t size;
    struct frag_catalog_report report;
    struct mem_io *mem = filled(1, 20);
    uint8_t *old = take_file(mem, "a/journal", &size);
    mem_io_destroy(mem);
    mem = filled(2, 40);
    mem_io_set(mem, "c/journal", old, size);
    mem_io_peek(mem, "a/journal", &size)[FRAG_JOURNAL_HEADER_BYTES + 30] ^= 1;
    assert_reads(mem, 3, 40, &report);
    assert_int_equal(report.copies[0], FRAG_COPY_DAMAGED);
    assert_int_equal(report.copies[1], FRAG_COPY_GOOD);
    assert_int_equal(report.copies[2], FRAG_COPY_BEHIND);
    /* Changes that were in effect would be missing from what is left. */
    assert_int_equal(mem_io(mem)->unlink(mem_io(mem), "b/journal"), 0);
    assert_refused(mem, 3, KN_E_MALFORMED);
    assert_null(mem_io_peek(mem, "a/journal.damaged-1", &size));
    free(old);
    mem_io_destroy(mem);
}

static void what_is_not_there_is_not_made(void **state) {
    (void)state;
    struct mem_io *mem = load_folders_create();
    size_t size;
    assert_refused(mem, 1, -ENOENT);
    assert_refused(mem, 3, -ENOENT);
    assert_null(mem_io_peek(mem, "a/journal", &size));
    mem_io_destroy(mem);

    mem = load_folders_create();
    struct frag_catalog_config config = load_config(mem_io(mem), 1);
    struct frag_catalog *catalog;
    config.store_id[0] = '?';
    assert_int_equal(frag_catalog_open(&config, &catalog, NULL), 0);
    frag_catalog_close(catalog);
    assert_refused(mem, 2, -EXDEV);
    mem_io_destroy(mem);
}

/* Reading again has an end, and another copy will do. */
static void a_copy_that_cannot_be_read(void **state) {
    (void)state;
    struct mem_io *mem = filled(2, 20);
    struct fault_io fault;
    struct frag_catalog_report report;
    struct frag_catalog *catalog;
    struct load_model model = model_of(20);
    fault_io_init(&fault, mem_io(mem));
    fault.fail_at = 1;
    fault.fail_count = UINT64_MAX;
    fault.fail_path = "a/";
    struct reading_io reading = reading_of(&fault.io);
    assert_int_equal(open_to_read(&reading, 2, &catalog, &report), 0);
    assert_int_equal(report.copies[0], FRAG_COPY_FAILED);
    assert_int_equal(report.copies[1], FRAG_COPY_GOOD);
    assert_true(load_matches(catalog, &model));
    frag_catalog_close(catalog);
    assert_int_equal(open_to_read(&reading, 1, &catalog, NULL), -EIO);
    fault.fail_path = NULL;
    assert_int_equal(open_to_read(&reading, 2, &catalog, NULL), -EIO);
    fault.fail_error = -EACCES;
    assert_int_equal(open_to_read(&reading, 2, &catalog, NULL), -EACCES);
    fault_io_finish(&fault);
    mem_io_destroy(mem);
}

static void out_of_memory_everywhere(void **state) {
    (void)state;
    struct mem_io *mem = filled(2, 30);
    bool reached = true;
    for (unsigned long k = 1; reached; k++) {
        struct reading_io reading = reading_of(mem_io(mem));
        struct frag_catalog *catalog = NULL;
        fail_alloc_at(k);
        int rc = open_to_read(&reading, 2, &catalog, NULL);
        reached = fail_alloc_count() >= k;
        fail_alloc_stop();
        assert_int_equal(rc, reached ? -ENOMEM : 0);
        frag_catalog_close(catalog);
    }
    mem_io_destroy(mem);
}

/* ---- beside a writer ---- */

#define BEFORE 30

struct writer {
    struct mem_io *mem;
    size_t copies;
    struct fault_io fault;
    struct frag_catalog *catalog;
    int changes; /* that were done */
};

static void open_writer(struct writer *writer) {
    struct frag_catalog_config config = load_config(&writer->fault.io, writer->copies);
    assert_int_equal(frag_catalog_open(&config, &writer->catalog, NULL), 0);
}

static void change_some(struct writer *writer, int count) {
    for (int i = 0; i < count; i++) {
        int rc = load_do(writer->catalog, writer->changes++);
        assert_true(rc == 0 || rc == -ENOENT);
    }
}

static void append(void *user) {
    change_some(user, 3);
}

static void append_until_compacted(void *user) {
    change_some(user, 80);
}

/* Half of a record is written and cut off again. */
static void fail_to_append(void *user) {
    struct writer *writer = user;
    writer->fault.fail_at = writer->fault.operations + 1;
    writer->fault.fail_count = 2 * writer->copies;
    writer->fault.fail_kinds = 1u << FAULT_WRITING;
    writer->fault.fail_error = -ENOSPC;
    writer->fault.torn = true;
    writer->fault.failed = 0;
    if (load_do(writer->catalog, writer->changes) == 0) {
        writer->changes++; /* a later copy took it */
    }
    writer->fault.fail_at = 0;
}

/* It had been killed, and begins anew: a torn end is cut off. */
static void start_again(void *user) {
    struct writer *writer = user;
    frag_catalog_close(writer->catalog);
    open_writer(writer);
}

static void start_again_and_append(void *user) {
    start_again(user);
    append(user);
}

static void tear_ends(struct writer *writer) {
    for (size_t i = 0; i < writer->copies && i < LOAD_COPIES; i++) {
        char path[16];
        size_t size;
        (void)snprintf(path, sizeof(path), "%s/journal", load_folders[i]);
        uint8_t *bytes = take_file(writer->mem, path, &size);
        bytes[size] = 0;
        mem_io_set(writer->mem, path, bytes, size + 1);
        free(bytes);
    }
}

static bool matches_one_of(const struct frag_catalog *catalog, int from, int to) {
    for (int i = from; i <= to; i++) {
        struct load_model model = model_of(i);
        if (load_matches(catalog, &model)) {
            return true;
        }
    }
    return false;
}

/* Each operation of the reader once with `act` before it: how many there are. */
static uint64_t read_beside(size_t copies, uint64_t act_at, void (*act)(void *user)) {
    struct writer writer = {.mem = load_folders_create(), .copies = copies};
    fault_io_init(&writer.fault, mem_io(writer.mem));
    open_writer(&writer);
    change_some(&writer, BEFORE);
    if (act == start_again || act == start_again_and_append) {
        tear_ends(&writer);
    }
    struct reading_io reading = reading_of(mem_io(writer.mem));
    struct frag_catalog *catalog;
    reading.act_at = act_at;
    reading.act = act;
    reading.user = &writer;
    assert_int_equal(open_to_read(&reading, copies, &catalog, NULL), 0);
    assert_true(matches_one_of(catalog, BEFORE, writer.changes));
    frag_catalog_close(catalog);
    frag_catalog_close(writer.catalog);
    fault_io_finish(&writer.fault);
    mem_io_destroy(writer.mem);
    return reading.operations;
}

static void a_writer_acts_before_any_operation(void **state) {
    (void)state;
    void (*const acts[])(void *user) = {append, append_until_compacted, fail_to_append, start_again,
                                        start_again_and_append};
    for (size_t copies = 1; copies <= LOAD_COPIES; copies++) {
        for (size_t i = 0; i < KN_COUNT(acts); i++) {
            uint64_t operations = read_beside(copies, 0, acts[i]);
            assert_true(operations >= 4 * copies);
            for (uint64_t k = 1; k <= operations; k++) {
                (void)read_beside(copies, k, acts[i]);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_and_not_changed),
        cmocka_unit_test(a_torn_end_is_left_out_and_left_there),
        cmocka_unit_test(the_best_sound_copy_is_read),
        cmocka_unit_test(what_is_not_there_is_not_made),
        cmocka_unit_test(a_copy_that_cannot_be_read),
        cmocka_unit_test(out_of_memory_everywhere),
        cmocka_unit_test(a_writer_acts_before_any_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
