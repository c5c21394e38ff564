/* `kinora check` of a small store: silent where it is sound; every kind of damage to reels and
 * index is told, with the right file and place, and the rest is checked all the same. */
#include "fragments/store/reel_file.h"
#include "tests/unit/fragments_check_told.h"

static struct frag_reel_places places_of(const struct made_reel *reel) {
    struct frag_reel_places places;
    size_t size = 0;
    uint8_t *data = made_load(reel->whole, &size);
    assert_int_equal(frag_reel_read_page(data + FRAG_REEL_SEEK_AT, FRAG_REEL_SEEK_AT, &places), 1);
    free(data);
    return places;
}

static void sound(void **state) {
    (void)state;
    struct made *made = made_store();
    struct made_checked *checked = made_check(made);
    made_print(checked);
    assert_int_equal(checked->count, 0);
    assert_int_equal(checked->report.fragments, made->fragments);
    assert_int_equal(checked->report.notes + checked->report.repairs + checked->report.damages, 0);
    /* Two identities and journals, the index, the reels. */
    assert_int_equal(checked->report.files, 5 + made->count);
    assert_int_equal(checked->progress.files, checked->progress.files_all);
    assert_int_equal(checked->progress.bytes, checked->report.bytes);
    made_finish(made, checked);
}

static void no_store(void **state) {
    (void)state;
    struct made *made = made_begin();
    made_close(made);
    made_remove(made->data);
    free(made_check_to(made, 0, -ENOENT));
    made_end(made);
}

/* ---- one byte of a reel ---- */

static void cluster_byte(void **state) {
    (void)state;
    struct made *made = made_store();
    for (size_t i = 0; i < made->count; i++) {
        const struct made_reel *reel = &made->reels[i];
        for (size_t j = 0; j < reel->count; j += reel->count - 1) {
            const struct frag_reel_row *row = &reel->rows[j];
            /* Its size field; a payload byte; its trailer. */
            const uint64_t places[] = {row->cluster_at + 9, row->cluster_at + 60,
                                       row->cluster_at + row->cluster_bytes + 100};
            for (size_t k = 0; k < KN_COUNT(places); k++) {
                made_flip(reel->whole, places[k]);
                struct made_checked *checked = made_check(made);
                told_one(checked, FRAG_CHECK_DAMAGE, reel->whole, places[k], places[k] + 1,
                         "1 fragment, from number");
                char number[FRAG_NUMBER_TEXT_BYTES];
                assert_non_null(
                    strstr(checked->findings[0].what, frag_number_format(row->number, number)));
                assert_string_equal(checked->findings[0].stream,
                                    reel->identity.stream_id[1] == 1 ? "gate" : "yard");
                assert_int_equal(checked->report.fragments, made->fragments - 1);
                free(checked);
                made_flip(reel->whole, places[k]);
            }
        }
    }
    made_end(made);
}

static void head_byte(void **state) {
    (void)state;
    static const struct {
        uint64_t at;
        const char *what;
        bool lost; /* nothing of the reel is believed */
    } places[] = {
        {20, "first page", true},
        {150, "first page", true},
        {4000, "first page", true},
        {4100, "the page that says where the end", false},
        {8000, "the page that says where the end", false},
        {8200, "describes the tracks", false},
        {8300, "describes the tracks", false},
    };
    struct made *made = made_store();
    for (size_t i = 0; i < made->count; i++) {
        const struct made_reel *reel = &made->reels[i];
        for (size_t j = 0; j < KN_COUNT(places); j++) {
            made_flip(reel->whole, places[j].at);
            struct made_checked *checked = made_check(made);
            told_one(checked, FRAG_CHECK_DAMAGE, reel->whole, places[j].at, places[j].at + 1,
                     places[j].what);
            assert_int_equal(checked->report.fragments,
                             made->fragments - (places[j].lost ? reel->count : 0));
            free(checked);
            made_flip(reel->whole, places[j].at);
        }
    }
    made_end(made);
}

static void end_byte(void **state) {
    (void)state;
    struct made *made = made_store();
    for (size_t i = 0; i < made->count; i++) {
        const struct made_reel *reel = &made->reels[i];
        if (i == 2) {
            continue; /* open: it has none */
        }
        struct frag_reel_places places = places_of(reel);
        const uint64_t at[] = {places.cues_at + 2, places.cues_at + 30, places.table_at + 2,
                               places.table_at + 70, reel->bytes - 1};
        for (size_t j = 0; j < KN_COUNT(at); j++) {
            made_flip(reel->whole, at[j]);
            struct made_checked *checked = made_check(made);
            told_one(checked, FRAG_CHECK_DAMAGE, reel->whole, at[j], at[j] + 1,
                     j < 2 ? "seek list" : "list of fragments at the end");
            assert_int_equal(checked->report.fragments, made->fragments);
            free(checked);
            made_flip(reel->whole, at[j]);
        }
    }
    made_end(made);
}

/* Of so many in one file the last ones are only counted. */
static void many_bytes(void **state) {
    (void)state;
    struct made *made = made_begin();
    struct made_plan plan = {.stream = 1, .counter = 1, .ordinal = 1, .count = 250};
    struct made_reel *reel = made_add(made, &plan);
    made_close(made);
    for (size_t i = 0; i < plan.count; i += 2) {
        made_flip(reel->whole, reel->rows[i].cluster_at + 100);
    }
    struct made_checked *checked = made_check(made);
    assert_int_equal(checked->count, 101);
    assert_non_null(strstr(checked->findings[100].what, "and 25 more"));
    assert_string_equal(checked->findings[100].path, reel->whole);
    assert_int_equal(checked->report.fragments, 125);
    made_finish(made, checked);
}

/* ---- whole files ---- */

static void cut_reel(void **state) {
    (void)state;
    struct made *made = made_store();
    for (size_t i = 0; i < made->count; i++) {
        const struct made_reel *reel = &made->reels[i];
        size_t size = 0;
        uint8_t *data = made_load(reel->whole, &size);
        const struct frag_reel_row *second = &reel->rows[1];
        const struct {
            uint64_t at, lost;
        } cuts[] = {{size - 1, i == 2 ? 1 : 0},
                    {second->cluster_at + 300, reel->count - 1},
                    {second->cluster_at, reel->count - 1},
                    {8300, reel->count},
                    {8192, reel->count}};
        for (size_t j = 0; j < KN_COUNT(cuts); j++) {
            made_save(reel->whole, data, cuts[j].at);
            struct made_checked *checked = made_check(made);
            bool headless = cuts[j].at < reel->rows[0].cluster_at;
            if (!headless) {
                told_one(checked, FRAG_CHECK_DAMAGE, reel->whole, cuts[j].at, cuts[j].at,
                         "cut off here");
            }
            assert_true(checked->count >= 1 && checked->count <= 2);
            for (size_t k = 0; k < checked->count; k++) {
                assert_string_equal(checked->findings[k].path, reel->whole);
            }
            assert_int_equal(checked->report.fragments, made->fragments - cuts[j].lost);
            free(checked);
        }
        made_save(reel->whole, data, 4000);
        struct made_checked *checked = made_check(made);
        told_one(checked, FRAG_CHECK_DAMAGE, reel->whole, 0, 0, "first page");
        free(checked);
        made_save(reel->whole, data, size);
        free(data);
    }
    made_end(made);
}

static void longer_reel(void **state) {
    (void)state;
    struct made *made = made_store();
    for (size_t i = 0; i < made->count; i++) {
        const struct made_reel *reel = &made->reels[i];
        size_t size = 0;
        uint8_t *data = made_load(reel->whole, &size);
        uint8_t *longer = calloc(1, size + 5000);
        assert_non_null(longer);
        memcpy(longer, data, size);
        made_save(reel->whole, longer, size + 5000);
        struct made_checked *checked = made_check(made);
        if (i == 2) {
            assert_int_equal(checked->count, 0); /* what is being written */
        } else {
            told_one(checked, FRAG_CHECK_DAMAGE, reel->whole, size, size + 5000,
                     "bytes behind the table");
        }
        assert_int_equal(checked->report.fragments, made->fragments);
        free(checked);
        made_save(reel->whole, data, size);
        free(longer);
        free(data);
    }
    made_end(made);
}

static void missing_reel(void **state) {
    (void)state;
    struct made *made = made_store();
    for (size_t i = 0; i < made->count; i++) {
        const struct made_reel *reel = &made->reels[i];
        size_t size = 0;
        uint8_t *data = made_load(reel->whole, &size);
        assert_int_equal(unlink(reel->whole), 0);
        struct made_checked *checked = made_check(made);
        told_one(checked, FRAG_CHECK_DAMAGE, reel->whole, 0, 0, "the file is missing");
        assert_int_equal(checked->report.fragments, made->fragments - reel->count);
        free(checked);
        made_save(reel->whole, data, size);
        free(data);
    }
    made_end(made);
}

static void swapped_reels(void **state) {
    (void)state;
    struct made *made = made_store();
    char aside[200];
    (void)snprintf(aside, sizeof(aside), "%s/aside", made->root);
    assert_int_equal(rename(made->reels[0].whole, aside), 0);
    assert_int_equal(rename(made->reels[4].whole, made->reels[0].whole), 0);
    assert_int_equal(rename(aside, made->reels[4].whole), 0);
    struct made_checked *checked = made_check(made);
    assert_int_equal(checked->count, 2);
    assert_int_equal(checked->report.damages, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(checked->findings[i].path, made->reels[4 * i].whole);
        assert_non_null(strstr(checked->findings[i].what, "another reel"));
    }
    assert_int_equal(checked->report.fragments, made->fragments);
    made_finish(made, checked);
}

static void moved_and_copied(void **state) {
    (void)state;
    struct made *made = made_store();
    const struct made_reel *reel = &made->reels[4];
    char elsewhere[600];
    (void)snprintf(elsewhere, sizeof(elsewhere), "%.400s.old.mkv", reel->whole);
    size_t size = 0;
    uint8_t *data = made_load(reel->whole, &size);
    made_save(elsewhere, data, size);
    struct made_checked *checked = made_check(made);
    told_one(checked, FRAG_CHECK_NOTE, elsewhere, 0, 0, "second copy");
    free(checked);
    assert_int_equal(unlink(reel->whole), 0);
    checked = made_check(made);
    assert_int_equal(checked->count, 2);
    assert_int_equal(checked->findings[0].is.severity, FRAG_CHECK_DAMAGE);
    assert_string_equal(checked->findings[0].path, reel->whole);
    assert_int_equal(checked->findings[1].is.severity, FRAG_CHECK_REPAIR);
    assert_string_equal(checked->findings[1].path, elsewhere);
    assert_non_null(strstr(checked->findings[1].what, reel->path));
    free(data);
    made_finish(made, checked);
}

static void foreign_files(void **state) {
    (void)state;
    struct made *made = made_store();
    const struct made_reel *reel = &made->reels[0];
    char path[600];
    (void)snprintf(path, sizeof(path), "%s/reels/notes.txt", made->data);
    made_save(path, "by hand", 7);
    struct made_checked *checked = made_check(made);
    told_one(checked, FRAG_CHECK_NOTE, path, 0, 0, "none of the store's");
    free(checked);
    assert_int_equal(unlink(path), 0);

    /* Of another store: the same bytes, but for the ids of store and reel. */
    struct made *another = made_begin();
    another->count = 9;
    struct made_reel *theirs = made_add(
        another, &(struct made_plan){.stream = 1, .counter = 99, .ordinal = 99, .count = 3});
    size_t size = 0;
    uint8_t *data = made_load(theirs->whole, &size);
    struct kn_writer head;
    kn_writer_init_growing(&head, 1 << 20);
    theirs->identity.store_id[5] ^= 1;
    struct kn_tracks *tracks = made_tracks();
    frag_reel_write_head(&head, &theirs->identity, "any", tracks, NULL);
    kn_tracks_unref(tracks);
    memcpy(data, head.data, FRAG_REEL_SEEK_AT);
    kn_writer_finish(&head);
    (void)snprintf(path, sizeof(path), "%.400s.foreign.mkv", reel->whole);
    made_save(path, data, size);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_NOTE, path, 0, 0, "another store");
    free(checked);
    assert_int_equal(unlink(path), 0);

    /* With a reel's name, and nothing in it; and another that was damaged. */
    static const uint8_t zeros[FRAG_REEL_SEEK_AT];
    (void)snprintf(path, sizeof(path), "%.*s/00-00-00-00000000.mkv",
                   (int)(strrchr(reel->whole, '/') - reel->whole), reel->whole);
    made_save(path, zeros, 100);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_REPAIR, path, 0, 0, "ends in its first page");
    free(checked);
    /* As long as its writer may be at it, it is left out: the date is 2026-09-21. */
    fake_clock_init(&made->clock, INT64_C(1789948859) * KN_NS_PER_S, 0);
    checked = made_check(made);
    made_print(checked);
    assert_int_equal(checked->count, 0);
    free(checked);
    fake_clock_init(&made->clock, INT64_C(1789948860) * KN_NS_PER_S, 0);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_REPAIR, path, 0, 0, "ends in its first page");
    free(checked);
    made_save(path, zeros, sizeof(zeros));
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_DAMAGE, path, 0, FRAG_REEL_SEEK_AT, "first page");
    free(checked);
    free(data);
    made_end(another);
    made_end(made);
}

/* ---- rows ---- */

static void without_row(void **state) {
    (void)state;
    struct made *made = made_store();
    made_open_index(made);
    struct made_plan plan = {.stream = 2, .counter = 50, .ordinal = 50, .count = 4, .no_row = true};
    struct made_reel *reel = made_add(made, &plan);
    made_close(made);
    struct made_checked *checked = made_check(made);
    told_one(checked, FRAG_CHECK_REPAIR, reel->whole, 0, 0, "index does not know");
    assert_int_equal(checked->report.fragments, made->fragments);
    free(checked);
    /* What a writer has just begun is left out, but only as long as it may be that. */
    made_open_journal(made);
    made_epoch(made, 2);
    made_close(made);
    int64_t after_ns = MADE_START_NS + 130 * KN_NS_PER_S;
    fake_clock_init(&made->clock, after_ns, 0);
    checked = made_check(made);
    assert_int_equal(checked->count, 0);
    free(checked);
    fake_clock_init(&made->clock, after_ns + 60 * KN_NS_PER_S, 0);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_REPAIR, reel->whole, 0, 0, "index does not know");
    made_finish(made, checked);
}

/* Copies for a hold that are not whole yet, or never became so: silently left out, but not where
 * they have what nothing else has. */
static void unfinished_copies(void **state) {
    (void)state;
    struct made *made = made_store();
    made_open_index(made);
    struct made_plan plan = {.stream = 1,
                             .flags = FRAG_REEL_KEPT,
                             .counter = 5,
                             .ordinal = 5,
                             .count = 2,
                             .no_row = true,
                             .open = true};
    (void)made_add(made, &plan);
    plan.open = false;
    struct made_reel *reel = made_add(made, &plan);
    made_close(made);
    struct made_checked *checked = made_check(made);
    assert_int_equal(checked->count, 0);
    assert_int_equal(checked->report.fragments, made->fragments - 4);
    free(checked);
    made_open_index(made);
    assert_int_equal(frag_index_begin(made->index), 0);
    assert_int_equal(frag_index_drop_reel(made->index, made->reels[0].row), 0);
    assert_int_equal(frag_index_commit(made->index, false), 0);
    made_close(made);
    assert_int_equal(unlink(made->reels[0].whole), 0);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_REPAIR, reel->whole, 0, 0, "index does not know");
    made_finish(made, checked);
}

/* A crash left it open, torn, and without a row. */
static void torn_without_row(void **state) {
    (void)state;
    struct made *made = made_store();
    made_open_index(made);
    struct made_plan plan = {
        .stream = 2, .counter = 50, .ordinal = 50, .count = 4, .no_row = true, .open = true};
    struct made_reel *reel = made_add(made, &plan);
    made_close(made);
    assert_int_equal(truncate(reel->whole, (off_t)reel->bytes - 10), 0);
    struct made_checked *checked = made_check(made);
    assert_int_equal(checked->count, 2);
    assert_int_equal(checked->report.repairs, 2);
    assert_non_null(strstr(checked->findings[1].what, "torn"));
    assert_int_equal(checked->findings[1].is.from, reel->rows[3].cluster_at);
    assert_int_equal(checked->report.fragments, made->fragments - 1);
    made_finish(made, checked);
}

static void other_rows(void **state) {
    (void)state;
    struct made *made = made_store();
    char index[600];
    (void)snprintf(index, sizeof(index), "%s/index.db", made->data);
    /* The row of one reel with the table of another. */
    struct made_reel *reel = &made->reels[0];
    struct frag_reel_row rows[MADE_ROWS];
    struct kn_writer table;
    memcpy(rows, reel->rows, sizeof(rows));
    rows[3].producer.ns += KN_NS_PER_MS;
    kn_writer_init_growing(&table, 65536);
    frag_reel_pack_table(&table, rows, reel->count);
    made_open_index(made);
    assert_int_equal(frag_index_begin(made->index), 0);
    assert_int_equal(frag_index_drop_reel(made->index, reel->row), 0);
    struct frag_index_reel row = {
        .identity = reel->identity, .path = reel->path, .bytes = reel->bytes};
    assert_int_equal(
        frag_index_add_closed_reel(made->index, &row, table.data, table.size, &reel->row), 0);
    assert_int_equal(frag_index_commit(made->index, false), 0);
    made_close(made);
    struct made_checked *checked = made_check(made);
    told_one(checked, FRAG_CHECK_DAMAGE, index, 0, 0, "other fragments than the reel");
    assert_non_null(strstr(checked->findings[0].what, reel->whole));
    free(checked);
    /* And with another identity. */
    made_open_index(made);
    assert_int_equal(frag_index_begin(made->index), 0);
    assert_int_equal(frag_index_drop_reel(made->index, reel->row), 0);
    row.identity.session_id[3] ^= 1;
    kn_writer_clear(&table);
    frag_reel_pack_table(&table, reel->rows, reel->count);
    assert_int_equal(
        frag_index_add_closed_reel(made->index, &row, table.data, table.size, &reel->row), 0);
    assert_int_equal(frag_index_commit(made->index, false), 0);
    made_close(made);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_DAMAGE, index, 0, 0, "another identity");
    kn_writer_finish(&table);
    made_finish(made, checked);
}

static void marked_rows(void **state) {
    (void)state;
    struct made *made = made_store();
    char index[600];
    (void)snprintf(index, sizeof(index), "%s/index.db", made->data);
    made_open_index(made);
    assert_int_equal(frag_index_begin(made->index), 0);
    assert_int_equal(frag_index_mark_deleting(made->index, made->reels[4].row), 0);
    assert_int_equal(frag_index_commit(made->index, false), 0);
    made_close(made);
    made_flip(made->reels[4].whole, 9000); /* it goes: nobody looks at it */
    for (int i = 0; i < 2; i++) {
        struct made_checked *checked = made_check(made);
        told_one(checked, FRAG_CHECK_NOTE, index, 0, 0, "being deleted");
        assert_int_equal(checked->report.fragments, made->fragments - made->reels[4].count);
        free(checked);
        (void)unlink(made->reels[4].whole);
    }
    made_end(made);
}

static void no_index(void **state) {
    (void)state;
    struct made *made = made_store();
    char index[600];
    (void)snprintf(index, sizeof(index), "%s/index.db", made->data);
    assert_int_equal(unlink(index), 0);
    struct made_checked *checked = made_check(made);
    told_one(checked, FRAG_CHECK_REPAIR, index, 0, 0, "there is no index");
    assert_int_equal(checked->report.fragments, made->fragments);
    free(checked);
    made_save(index, "not a database, though it is long enough to be one: ...............", 66);
    /* Damage in a reel is told all the same. */
    made_flip(made->reels[1].whole, made->reels[1].rows[2].cluster_at + 50);
    checked = made_check(made);
    assert_int_equal(checked->count, 2);
    assert_string_equal(checked->findings[0].path, index);
    assert_string_equal(checked->findings[1].path, made->reels[1].whole);
    assert_int_equal(checked->report.damages, 2);
    made_finish(made, checked);
}

static void not_the_main_one(void **state) {
    (void)state;
    struct made *made = made_store();
    char data[sizeof(made->data)];
    memcpy(data, made->data, sizeof(data));
    memcpy(made->data, made->other, sizeof(data));
    struct made_checked *checked = made_check_to(made, 0, -ENOENT);
    assert_int_equal(checked->count, 1);
    assert_non_null(strstr(checked->findings[0].what, "not its main one"));
    memcpy(made->data, data, sizeof(data));
    made_finish(made, checked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound),
        cmocka_unit_test(no_store),
        cmocka_unit_test(cluster_byte),
        cmocka_unit_test(head_byte),
        cmocka_unit_test(end_byte),
        cmocka_unit_test(many_bytes),
        cmocka_unit_test(cut_reel),
        cmocka_unit_test(longer_reel),
        cmocka_unit_test(missing_reel),
        cmocka_unit_test(swapped_reels),
        cmocka_unit_test(moved_and_copied),
        cmocka_unit_test(foreign_files),
        cmocka_unit_test(without_row),
        cmocka_unit_test(unfinished_copies),
        cmocka_unit_test(torn_without_row),
        cmocka_unit_test(other_rows),
        cmocka_unit_test(marked_rows),
        cmocka_unit_test(no_index),
        cmocka_unit_test(not_the_main_one),
    };
    return cmocka_run_group_tests_name("fragments check", tests, NULL, NULL);
}
