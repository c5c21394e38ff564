/* Reels by row, and all there is. Callbacks run outside of read transactions: what they are given
 * was copied first, a limited number at a time. */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/index_inner.h"

#define REELS_AT_ONCE 64
#define ROWS_AT_ONCE 512

int frag_index_get_reel(struct frag_index *index, int64_t row, char *path_room,
                        size_t path_room_bytes, struct frag_index_reel *ret_reel) {
    struct frag_index_facts facts;
    int rc = frag_index_get_facts(index, row, &facts); /* one statement is one snapshot */
    if (rc != 0) {
        return rc;
    }
    size_t bytes = strlen(facts.path) + 1;
    if (bytes > path_room_bytes) {
        return KN_E_LIMIT;
    }
    memcpy(path_room, facts.path, bytes);
    *ret_reel = frag_index_reel_of(&facts);
    ret_reel->path = path_room;
    return 0;
}

/* How many, at most REELS_AT_ONCE. */
static int load_reels(struct frag_index *index, int64_t after, struct frag_index_facts *facts) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int count = 0;
    int rc = frag_index_statement(index, FRAG_SQL_EACH_REEL, &statement);
    if (rc != 0) {
        return rc;
    }
    (void)sqlite3_bind_int64(statement, 1, after); /* allocate nothing */
    (void)sqlite3_bind_int64(statement, 2, REELS_AT_ONCE);
    while (count < REELS_AT_ONCE && (rc = frag_index_step(index, statement)) == 1) {
        rc = frag_index_load_facts(statement, &facts[count]);
        if (rc != 0) {
            return rc;
        }
        /* Else a damaged page could send us round for ever. */
        if (facts[count].row <= after) {
            return KN_E_MALFORMED;
        }
        after = facts[count].row;
        count++;
    }
    return rc < 0 ? rc : count;
}

int frag_index_each_reel(struct frag_index *index,
                         int (*each)(const struct frag_index_reel *reel, void *user), void *user) {
    struct frag_index_facts *facts = calloc(REELS_AT_ONCE, sizeof(*facts));
    int64_t after = 0;
    int rc = 0;
    if (facts == NULL) {
        return -ENOMEM;
    }
    for (;;) {
        int count = load_reels(index, after, facts);
        rc = count < 0 ? count : rc;
        for (int i = 0; i < count && rc >= 0; i++) {
            const struct frag_index_reel reel = frag_index_reel_of(&facts[i]);
            rc = each(&reel, user);
        }
        if (rc < 0 || count < REELS_AT_ONCE) {
            break;
        }
        after = facts[count - 1].row;
    }
    free(facts);
    return rc < 0 ? rc : 0;
}

/* Rows with a sequence above `after`: how many, at most ROWS_AT_ONCE. Whether the reel is closed
 * meanwhile or not, they are the same. */
static int load_rows(struct frag_index *index, int64_t reel, uint64_t after,
                     struct frag_reel_row *rows) {
    struct frag_index_facts facts;
    struct frag_index_cursor cursor = {0};
    int count = 0;
    int rc = frag_index_begin_read(index);
    if (rc != 0) {
        return rc;
    }
    rc = frag_index_get_facts(index, reel, &facts);
    rc = rc == 0 ? frag_index_cursor_begin(&cursor, index, &facts, after) : rc;
    rc = rc == 0 ? 1 : rc;
    while (rc == 1 && count < ROWS_AT_ONCE) {
        rc = frag_index_cursor_next(&cursor, &rows[count]);
        count += rc == 1 ? 1 : 0;
    }
    frag_index_cursor_end(&cursor);
    frag_index_end_read(index);
    return rc < 0 ? rc : count;
}

int frag_index_each_fragment(struct frag_index *index, int64_t reel,
                             int (*each)(const struct frag_reel_row *row, void *user), void *user) {
    struct frag_reel_row *rows = calloc(ROWS_AT_ONCE, sizeof(*rows));
    uint64_t after = 0;
    int rc = 0;
    if (rows == NULL) {
        return -ENOMEM;
    }
    for (;;) {
        int count = load_rows(index, reel, after, rows);
        rc = count < 0 ? count : rc;
        for (int i = 0; i < count && rc >= 0; i++) {
            rc = each(&rows[i], user);
        }
        if (rc < 0 || count < ROWS_AT_ONCE) {
            break;
        }
        after = rows[count - 1].number.sequence;
    }
    free(rows);
    return rc < 0 ? rc : 0;
}
