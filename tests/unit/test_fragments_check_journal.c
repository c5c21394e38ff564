/* `kinora check`: journal and identities, what stands in them, numbers across reels; and a check
 * that is stopped, or runs out of memory. */
#include "tests/support/fail_alloc.h"
#include "tests/unit/fragments_check_told.h"

/* ---- journal, identities ---- */

static void journal_bytes(void **state) {
    (void)state;
    struct made *made = made_store();
    char path[600];
    size_t size = 0;
    for (int copy = 0; copy < 2; copy++) {
        const char *folder = copy == 0 ? made->data : made->other;
        const char *holds = copy == 0 ? made->other : made->data;
        (void)snprintf(path, sizeof(path), "%s/journal", folder);
        uint8_t *data = made_load(path, &size);
        const uint64_t at[] = {10, 42, 60, size / 2};
        for (size_t i = 0; i < KN_COUNT(at); i++) {
            made_flip(path, at[i]);
            struct made_checked *checked = made_check(made);
            told_one(checked, FRAG_CHECK_DAMAGE, path, at[i], at[i] + 1,
                     at[i] < 44 ? "header" : "a record");
            assert_non_null(strstr(checked->findings[0].what, holds));
            assert_int_equal(checked->report.fragments, made->fragments);
            free(checked);
            made_flip(path, at[i]);
        }
        /* The last record, and the end cut off: the other copy goes further. */
        made_flip(path, size - 3);
        struct made_checked *checked = made_check(made);
        told_one(checked, FRAG_CHECK_REPAIR, path, size - 3, size - 3, "ends before another");
        free(checked);
        made_flip(path, size - 3);
        made_save(path, data, size - 20);
        checked = made_check(made);
        told_one(checked, FRAG_CHECK_REPAIR, path, size - 20, size - 20, "ends before another");
        free(checked);
        assert_int_equal(unlink(path), 0);
        checked = made_check(made);
        told_one(checked, FRAG_CHECK_REPAIR, path, 0, 0, "missing");
        free(checked);
        made_save(path, data, size);
        free(data);
    }
    made_end(made);
}

/* No copy is whole: the reels are checked all the same. */
static void journals_lost(void **state) {
    (void)state;
    struct made *made = made_store();
    char paths[2][600];
    (void)snprintf(paths[0], sizeof(paths[0]), "%s/journal", made->data);
    (void)snprintf(paths[1], sizeof(paths[1]), "%s/journal", made->other);
    made_flip(paths[0], 100);
    made_flip(paths[1], 50);
    made_flip(made->reels[0].whole, made->reels[0].rows[1].cluster_at + 50);
    struct made_checked *checked = made_check(made);
    assert_int_equal(checked->report.damages, 2);
    assert_string_equal(checked->findings[0].path, paths[0]);
    assert_non_null(strstr(checked->findings[0].what, "does not open"));
    assert_string_equal(checked->findings[1].path, made->reels[0].whole);
    made_finish(made, checked);
}

static void torn_journal(void **state) {
    (void)state;
    static const uint8_t torn[] = {0, 0, 0, 32, 't', 'o', 'r', 'n'};
    struct made *made = made_store();
    char path[600];
    for (int copy = 0; copy < 2; copy++) {
        size_t size = 0;
        (void)snprintf(path, sizeof(path), "%s/journal", copy == 0 ? made->data : made->other);
        uint8_t *data = made_load(path, &size);
        uint8_t *longer = calloc(1, size + 30);
        assert_non_null(longer);
        memcpy(longer, data, size);
        memcpy(longer + size, torn, sizeof(torn));
        made_save(path, longer, size + 30);
        struct made_checked *checked = made_check(made);
        told_one(checked, FRAG_CHECK_REPAIR, path, size, size + 30, "not whole");
        free(checked);
        made_save(path, data, size);
        free(longer);
        free(data);
    }
    made_end(made);
}

/* Both whole, with the same number of changes, and not the same. */
static void journals_differ(void **state) {
    (void)state;
    struct made *made = made_store();
    char path[600];
    size_t size = 0;
    (void)snprintf(path, sizeof(path), "%s/journal", made->other);
    uint8_t *before = made_load(path, &size);
    made_open_journal(made);
    made_hold(made, 7, 1);
    made_close(made);
    free(before);
    before = made_load(path, &size);
    /* The same change with another reason, in one copy. */
    struct frag_value_hold hold = {.clock = FRAG_CLOCK_SERVER,
                                   .from = {MADE_START_NS},
                                   .to = {MADE_START_NS + KN_NS_PER_S},
                                   .created = {MADE_START_NS},
                                   .reason = "case 13"};
    made_id(hold.stream, 0x52, 1);
    uint8_t id[FRAG_ID_BYTES];
    made_id(id, 0x58, 7);
    uint8_t room[400];
    struct kn_writer value;
    kn_writer_init(&value, room, sizeof(room));
    frag_value_write_hold(&value, &hold);
    size_t record_bytes = FRAG_JOURNAL_RECORD_HEAD_BYTES + sizeof(id) + value.size;
    struct kn_reader reader;
    kn_reader_init(&reader, before + size - record_bytes + 8, 8);
    const struct frag_journal_record record = {.sequence = kn_read_be64(&reader),
                                               .operation = FRAG_JOURNAL_PUT,
                                               .kind = FRAG_CATALOG_HOLD,
                                               .key = {id, sizeof(id)},
                                               .value = {value.data, value.size}};
    frag_journal_encode(&record, before + size - record_bytes);
    memcpy(before + size - value.size, value.data, value.size);
    made_save(path, before, size);
    struct made_checked *checked = made_check(made);
    told_one(checked, FRAG_CHECK_DAMAGE, path, 0, 0, "says other things");
    free(before);
    made_finish(made, checked);
}

static void identities(void **state) {
    (void)state;
    struct made *made = made_store();
    char path[600];
    (void)snprintf(path, sizeof(path), "%s/kinora-store", made->data);
    made_flip(path, 20);
    struct made_checked *checked = made_check(made);
    told_one(checked, FRAG_CHECK_DAMAGE, path, 0, 0, "identity of the main directory");
    assert_int_equal(checked->report.fragments, made->fragments);
    free(checked);
    assert_int_equal(unlink(path), 0);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_DAMAGE, path, 0, 0, "is missing");
    assert_int_equal(checked->report.fragments, made->fragments);
    free(checked);
    made_identity(made->data, 0);
    (void)snprintf(path, sizeof(path), "%s/kinora-store", made->other);
    made_flip(path, 20);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_DAMAGE, path, 0, 0, "identity of this storage directory");
    free(checked);
    made_identity(made->other, 2);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_DAMAGE, path, 0, 0, "another storage directory");
    free(checked);
    assert_int_equal(unlink(path), 0);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_REPAIR, made->other, 0, 0,
             "is not there: its 1 reel was not read");
    assert_int_equal(checked->report.fragments, made->fragments - made->reels[1].count);
    made_finish(made, checked);
}

static const char *denied_name;

static int denied_open(struct frag_io *io, const char *path, enum frag_io_mode mode) {
    const char *name = strrchr(path, '/');
    return name != NULL && strcmp(name + 1, denied_name) == 0
               ? -EACCES
               : frag_io_system()->open(io, path, mode);
}

/* That the wrong user runs the check is no damage. */
static void denied(void **state) {
    (void)state;
    struct made *made = made_store();
    made->io.open = denied_open;
    const char *const names[] = {"kinora-store", "journal", strrchr(made->reels[0].path, '/') + 1};
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        denied_name = names[i];
        struct made_checked *checked = made_check(made);
        bool found = false;
        for (size_t j = 0; j < checked->count; j++) {
            const struct made_finding *finding = &checked->findings[j];
            if (strcmp(strrchr(finding->path, '/') + 1, denied_name) == 0) {
                found = true;
                assert_int_equal(finding->is.severity, FRAG_CHECK_REPAIR);
                assert_string_equal(finding->what, "cannot be read: Permission denied; run as the "
                                                   "user who owns it");
            }
        }
        assert_true(found);
        assert_int_equal(checked->report.damages, 0);
        free(checked);
    }
    made_finish(made, NULL);
}

static void values(void **state) {
    (void)state;
    struct made *made = made_store();
    char path[600];
    (void)snprintf(path, sizeof(path), "%s/journal", made->data);
    made_open_journal(made);
    made_hold(made, 9, 8); /* of no stream */
    made_close(made);
    struct made_checked *checked = made_check(made);
    told_one(checked, FRAG_CHECK_NOTE, path, 0, 0, "stream of hold 5809");
    free(checked);
    made_open_journal(made);
    made_stream(made, 8, "gate"); /* now it has one, but the name is taken */
    made_close(made);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_DAMAGE, path, 0, 0, "two streams of the journal");
    assert_string_equal(checked->findings[0].stream, "gate");
    free(checked);
    made_open_journal(made);
    made_stream(made, 8, "roof");
    made_gap(made, 2, 1, true, 0, 0);
    made_close(made);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_DAMAGE, path, 0, 0, "two gaps");
    free(checked);
    static const uint16_t kinds[] = {FRAG_CATALOG_STORE, FRAG_CATALOG_STREAM, FRAG_CATALOG_HOLD,
                                     FRAG_CATALOG_GAP, FRAG_CATALOG_SEAL};
    made_open_journal(made);
    made_gap(made, 2, 1, false, 0, 0);
    for (size_t i = 0; i < KN_COUNT(kinds); i++) {
        assert_int_equal(frag_catalog_put(made->catalog, kinds[i], "?", 1, "?", 1), 0);
    }
    assert_int_equal(frag_catalog_delete(made->catalog, FRAG_CATALOG_STORE, "epoch", 5), 0);
    made_close(made);
    checked = made_check(made);
    assert_int_equal(checked->count, KN_COUNT(kinds) + 1);
    assert_int_equal(checked->report.damages, KN_COUNT(kinds) + 1);
    made_finish(made, checked);
}

/* ---- numbers ---- */

/* A reel beside those of the store, and what is told of it; NULL: nothing. */
static void told_of(const struct made_plan *plan, const char *what) {
    struct made *made = made_store();
    made_open_index(made);
    struct made_reel *reel = made_add(made, plan);
    made_close(made);
    struct made_checked *checked = made_check(made);
    if (what == NULL) {
        made_print(checked);
        assert_int_equal(checked->count, 0);
    } else {
        assert_true(checked->count >= 1);
        const struct made_finding *finding = &checked->findings[0];
        if (strstr(finding->what, what) == NULL) {
            made_print(checked);
            fail_msg("not told: %s", what);
        }
        assert_true(strcmp(finding->path, reel->whole) == 0 || checked->count > 1);
        assert_int_equal(finding->is.severity, FRAG_CHECK_DAMAGE);
    }
    assert_int_equal(checked->report.fragments, made->fragments);
    made_finish(made, checked);
}

static void numbers(void **state) {
    (void)state;
    told_of(&(struct made_plan){.stream = 2, .counter = 40, .ordinal = 9, .count = 3}, NULL);
    told_of(&(struct made_plan){.stream = 2, .counter = 20, .ordinal = 0, .count = 1}, NULL);
    told_of(&(struct made_plan){.stream = 2, .counter = 40, .ordinal = 8, .count = 3},
            "ordinal was used before");
    told_of(
        &(struct made_plan){
            .stream = 1, .counter = 40, .ordinal = 40, .discontinuities = 0, .count = 3},
        "more discontinuities");
    told_of(&(struct made_plan){.stream = 2, .counter = 33, .ordinal = 4, .count = 2},
            "two reels have a fragment with this number");
    told_of(
        &(struct made_plan){
            .stream = 1, .flags = FRAG_REEL_KEPT, .counter = 4, .ordinal = 4, .count = 2},
        NULL);
    told_of(
        &(struct made_plan){
            .stream = 1, .flags = FRAG_REEL_KEPT, .counter = 4, .ordinal = 3, .count = 2},
        "is another than the original");
    /* Between the rows of two sessions that overlap. */
    told_of(&(struct made_plan){.stream = 1,
                                .flags = FRAG_REEL_KEPT,
                                .counter = 15,
                                .ordinal = 16,
                                .discontinuities = 1,
                                .count = 1},
            "are not in the order of numbers");
    told_of(
        &(struct made_plan){
            .stream = 1, .counter = 12, .ordinal = 16, .discontinuities = 1, .count = 1},
        "two reels have");
    /* Ordinals 7 to 9 are the gap's. */
    told_of(&(struct made_plan){.stream = 1, .counter = 7, .ordinal = 7, .count = 1},
            "has a gap in which");
    told_of(
        &(struct made_plan){
            .stream = 2, .counter = (UINT64_C(2) << 32) + 1, .ordinal = 50, .count = 1},
        "later start of the store");
}

static void seals(void **state) {
    (void)state;
    struct made *made = made_store();
    made_open_journal(made);
    /* An open reel: what is behind does not count. A closed one should have been cut. */
    made_seal(made, &made->reels[2], made->reels[2].rows[2].cluster_at);
    made_close(made);
    struct made_checked *checked = made_check(made);
    assert_int_equal(checked->count, 0);
    assert_int_equal(checked->report.fragments, made->fragments - 2);
    free(checked);
    made_open_journal(made);
    made_seal(made, &made->reels[0], made->reels[0].rows[5].cluster_at);
    made_close(made);
    checked = made_check(made);
    told_one(checked, FRAG_CHECK_DAMAGE, made->reels[0].whole, made->reels[0].rows[5].cluster_at,
             made->reels[0].bytes < 1, "sealed");
    made_finish(made, checked);
}

/* ---- the handler ---- */

static void handler_stops(void **state) {
    (void)state;
    struct made *made = made_store();
    for (size_t i = 0; i < made->count; i++) {
        made_flip(made->reels[i].whole, made->reels[i].rows[0].cluster_at + 50);
        made_flip(made->reels[i].whole,
                  made->reels[i].rows[2 % made->reels[i].count].cluster_at + 50);
    }
    struct made_checked *checked = made_check(made);
    int all = (int)checked->count;
    assert_true(all >= 8);
    free(checked);
    for (int i = 1; i <= all; i++) {
        checked = made_check_to(made, i, -ECANCELED);
        assert_int_equal(checked->count, i);
        free(checked);
    }
    struct frag_check_report report;
    struct frag_store_config config = {.data = made->data, .io = &made->io};
    assert_int_equal(frag_store_check(&config, NULL, NULL, &report), 0);
    assert_int_equal(report.damages, all);
    made_end(made);
}

/* Nothing is told that is not there only because memory was short. */
static void no_memory(void **state) {
    (void)state;
    struct made *made = made_store();
    struct frag_check_report report;
    const char *folders[] = {made->other};
    struct made_checked *checked = calloc(1, sizeof(*checked));
    assert_non_null(checked);
    static const struct frag_check_handler handler = {.finding = made_take};
    struct frag_store_config config = {.data = made->data,
                                       .folders = folders,
                                       .folder_count = 1,
                                       .io = &made->io,
                                       .clock = &made->clock.clock};
    for (unsigned long n = 1;; n++) {
        fail_alloc_at(n);
        int rc = frag_store_check(&config, &handler, checked, &report);
        bool reached = fail_alloc_count() >= n;
        fail_alloc_stop();
        made_print(checked);
        assert_int_equal(checked->count, 0);
        assert_int_equal(rc, reached ? -ENOMEM : 0);
        if (!reached) {
            assert_true(n > 50);
            break;
        }
    }
    made_finish(made, checked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(journal_bytes), cmocka_unit_test(journals_lost),
        cmocka_unit_test(torn_journal),  cmocka_unit_test(journals_differ),
        cmocka_unit_test(identities),    cmocka_unit_test(values),
        cmocka_unit_test(numbers),       cmocka_unit_test(seals),
        cmocka_unit_test(handler_stops), cmocka_unit_test(no_memory),
        cmocka_unit_test(denied),
    };
    return cmocka_run_group_tests_name("fragments check journal", tests, NULL, NULL);
}
