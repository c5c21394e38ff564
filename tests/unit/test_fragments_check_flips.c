/* A bit anywhere in a store is flipped: `kinora check` names the file, and still checks the rest.
 *
 * Every byte of journals, identities and reels means something (even Void is checked). Of the index
 * many do not: free pages, the rest of pages, counters of SQLite's header that nobody reads in WAL
 * mode. Such a bit means nothing if every row still reads the same, by its table and by each of its
 * indexes; two columns may also be larger than they need be (docs/index-schema.md). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>

#include "tests/unit/fragments_check_store.h"

#define FLIPS 200
#define FILES 16

struct harm {
    struct made *made;
    char paths[FILES][600];
    uint64_t bytes[FILES], all;
    size_t count, index;
    uint64_t seed;
};

static uint64_t draw(struct harm *harm) {
    uint64_t z = harm->seed += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void add_file(struct harm *harm, const char *folder, const char *name) {
    struct stat status;
    assert_true(harm->count < FILES);
    char *path = harm->paths[harm->count];
    (void)snprintf(path, sizeof(harm->paths[0]), "%s%s%s", folder, name[0] != '\0' ? "/" : "",
                   name);
    assert_int_equal(stat(path, &status), 0);
    harm->bytes[harm->count] = (uint64_t)status.st_size;
    harm->all += (uint64_t)status.st_size;
    harm->count++;
}

static void list_files(struct harm *harm) {
    const struct made *made = harm->made;
    add_file(harm, made->data, "kinora-store");
    add_file(harm, made->other, "kinora-store");
    add_file(harm, made->data, "journal");
    add_file(harm, made->other, "journal");
    for (size_t i = 0; i < made->count; i++) {
        add_file(harm, made->reels[i].whole, "");
    }
    harm->index = harm->count;
    add_file(harm, made->data, "index.db");
}

static void flip(const char *path, uint64_t bit) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
    byte ^= (uint8_t)(1u << bit % 8);
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
    assert_int_equal(close(fd), 0);
}

/* ---- what the index says ---- */

#define REELS                                                                                      \
    "SELECT reel, stream, state, folder, path, bytes, fragments, flags, hex(store_id),"            \
    " hex(reel_id), hex(session_id), epoch, opened_ns, producer_start_ns, timecode_scale_ns,"      \
    " number_low, producer_header_bytes, first_sequence, last_sequence, first_ordinal,"            \
    " last_ordinal, discontinuities, producer_min_ns, producer_max_ns, server_min_ns,"             \
    " server_max_ns, packed, table_crc32c, sum FROM reel "

static const char *const dumps[] = {
    "PRAGMA application_id",
    "PRAGMA user_version",
    "SELECT type, name, tbl_name, sql FROM sqlite_schema",
    REELS "NOT INDEXED",
    REELS "INDEXED BY reel_by_sequence WHERE stream > 0 ORDER BY stream, first_sequence",
    REELS "INDEXED BY reel_by_producer WHERE stream > 0 ORDER BY stream, producer_min_ns",
    REELS "INDEXED BY reel_by_server WHERE stream > 0 ORDER BY stream, server_min_ns",
    REELS "INDEXED BY sqlite_autoindex_reel_1 WHERE reel_id > x'00' ORDER BY reel_id",
    "SELECT stream, hex(id), sequence_span >= (SELECT max(last_sequence - first_sequence) FROM reel"
    " WHERE reel.stream = stream.stream) FROM stream NOT INDEXED",
    "SELECT stream, hex(id) FROM stream INDEXED BY sqlite_autoindex_stream_1 WHERE id > x'00'"
    " ORDER BY id",
    "SELECT packed, hex(data) FROM packed",
    "SELECT * FROM fragment",
    "SELECT name, seq >= (SELECT max(reel) FROM reel) FROM sqlite_sequence",
};

/* All of it as text; NULL: it cannot be read. */
static char *dump(const char *path) {
    sqlite3 *db = NULL;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
    for (size_t i = 0; i < KN_COUNT(dumps) && rc == SQLITE_OK; i++) {
        sqlite3_stmt *statement = NULL;
        rc = sqlite3_prepare_v2(db, dumps[i], -1, &statement, NULL);
        while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
            for (int j = 0; j < sqlite3_column_count(statement); j++) {
                const unsigned char *value = sqlite3_column_text(statement, j);
                (void)fprintf(out, "%d %s|", sqlite3_column_type(statement, j),
                              value != NULL ? (const char *)value : "");
            }
            (void)fprintf(out, "\n");
            rc = SQLITE_OK;
        }
        rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
        (void)sqlite3_finalize(statement);
    }
    (void)sqlite3_close(db);
    assert_int_equal(fclose(out), 0);
    if (rc != SQLITE_OK) {
        free(text);
        return NULL;
    }
    return text;
}

static bool means_nothing(const struct harm *harm, size_t file, const char *before) {
    if (file != harm->index) {
        return false;
    }
    char *after = dump(harm->paths[file]);
    bool same = after != NULL && strcmp(before, after) == 0;
    free(after);
    return same;
}

/* ---- one flip ---- */

/* Fragments that cannot be counted where this file is damaged. */
static size_t most_lost(const struct harm *harm, size_t file) {
    if (file == 1) {
        return harm->made->reels[1].count; /* without its identity the directory is not used */
    }
    return file >= 4 && file < harm->index ? harm->made->reels[file - 4].count : 0;
}

static bool check_flip(struct harm *harm, size_t file, uint64_t bit, const char *before) {
    struct made *made = harm->made;
    flip(harm->paths[file], bit);
    struct made_checked *checked = made_check(made);
    bool found = checked->count > 0;
    if (!found && !means_nothing(harm, file, before)) {
        fail_msg("not found: bit %" PRIu64 " of %s", bit, harm->paths[file]);
    }
    for (size_t i = 0; i < checked->count; i++) {
        const struct made_finding *finding = &checked->findings[i];
        bool about =
            finding->is.to == 0 || (bit / 8 >= finding->is.from && bit / 8 < finding->is.to);
        if (strcmp(finding->path, harm->paths[file]) != 0 || !about) {
            made_print(checked);
            fail_msg("not there: bit %" PRIu64 " of %s", bit, harm->paths[file]);
        }
    }
    assert_true(checked->report.fragments + most_lost(harm, file) >= made->fragments);
    free(checked);
    flip(harm->paths[file], bit);
    return found;
}

static void any_bit(void **state) {
    (void)state;
    struct harm harm = {.made = made_store(), .seed = 1};
    unsigned found = 0;
    const char *more = getenv("KINORA_FLIPS");
    unsigned flips = more != NULL ? (unsigned)strtoul(more, NULL, 10) : FLIPS;
    list_files(&harm);
    char *before = dump(harm.paths[harm.index]);
    assert_non_null(before);
    for (unsigned i = 0; i < flips; i++) {
        /* Half of them where most bytes are, half in any file. */
        uint64_t at = draw(&harm) % harm.all;
        size_t file = 0;
        for (; at >= harm.bytes[file]; file++) {
            at -= harm.bytes[file];
        }
        if (i % 2 == 1) {
            file = draw(&harm) % harm.count;
            at = draw(&harm) % harm.bytes[file];
        }
        found += check_flip(&harm, file, at * 8 + draw(&harm) % 8, before) ? 1 : 0;
    }
    print_message("# %u of %u flips found, the others mean nothing\n", found, flips);
    assert_true(found > flips / 2);
    struct made_checked *checked = made_check(harm.made);
    assert_int_equal(checked->count, 0);
    free(checked);
    free(before);
    made_end(harm.made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_bit),
    };
    return cmocka_run_group_tests_name("fragments check flips", tests, NULL, NULL);
}
