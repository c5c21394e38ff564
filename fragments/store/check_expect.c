/* What must stand in a reel: the rows of its table, else those of the index; and whether both say
 * the same. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/check_look.h"

#define TABLE_MOST ((size_t)FRAG_REEL_TABLE_MOST)

const char frag_check_other_fragments[] = "the index has other fragments than the reel";

uint64_t frag_check_row_end(const struct frag_reel_row *row) {
    return row->cluster_at + row->cluster_bytes + row->trailer_bytes;
}

bool frag_check_same_row(const struct frag_reel_row *a, const struct frag_reel_row *b) {
    return a->cluster_at == b->cluster_at && a->cluster_bytes == b->cluster_bytes &&
           a->trailer_bytes == b->trailer_bytes && a->number.sequence == b->number.sequence &&
           a->number.server_ms == b->number.server_ms && a->number.low == b->number.low &&
           a->ordinal == b->ordinal && a->discontinuities == b->discontinuities &&
           a->producer.ns == b->producer.ns && a->server.ns == b->server.ns &&
           a->duration_ns == b->duration_ns && a->flags == b->flags;
}
/* ---- what must be there ---- */

static int add_row(struct frag_check_look *look, const struct frag_reel_row *row) {
    if (frag_check_row_end(row) > look->limit) {
        return 0;
    }
    if (look->count == FRAG_REEL_ROWS_MAX) {
        return KN_E_LIMIT;
    }
    if (look->count == look->room) {
        size_t room = look->room * 2 + 256; /* FRAG_REEL_ROWS_MAX bounds it */
        void *grown = realloc(look->rows, room * sizeof(*look->rows));
        if (grown == NULL) {
            return -ENOMEM;
        }
        look->rows = grown;
        look->room = room;
    }
    look->rows[look->count++] = *row;
    return 0;
}

static int take_index_row(const struct frag_reel_row *row, void *user) {
    return add_row(user, row);
}

int frag_check_tell_index(struct frag_check_look *look, enum frag_check_severity severity,
                          const char *what) {
    return frag_check_tell(look->check, severity, look->check->index_path, 0, 0, look->stream,
                           "%s %s: kinora rebuild makes the index again", what, look->path);
}

int frag_check_after_index(struct frag_check_look *look, int rc) {
    if (rc == 0 || rc == -ENOENT || !frag_check_goes_on(look->check, rc)) {
        return rc == -ENOENT ? 0 : rc; /* gone meanwhile: the second look sees it */
    }
    return frag_check_tell_index(look, FRAG_CHECK_DAMAGE,
                                 "the index is damaged where it speaks of");
}

static int expect_index(struct frag_check_look *look) {
    if (!look->has_row) {
        return 0;
    }
    int rc = frag_index_each_fragment(look->check->index, look->row.row, take_index_row, look);
    look->expects = rc == 0;
    look->count = rc == 0 ? look->count : 0;
    return frag_check_after_index(look, rc);
}

/* Of a reel that its writer has closed; an open one may be closed at this moment. */
static int load_table(struct frag_check_look *look) {
    struct frag_reel_identity identity;
    kn_writer_init_growing(&look->table, TABLE_MOST);
    if (look->has_row && look->row.state == FRAG_REEL_OPEN) {
        return 0;
    }
    int rc = frag_reel_read_footer(look->check->io, look->path, &identity, &look->table);
    look->has_table = rc == 0;
    return rc == -ENOMEM ? rc : 0; /* what is wrong with it shows when all is read */
}

static int expect_table(struct frag_check_look *look) {
    struct frag_reel_table table;
    struct frag_reel_row row;
    int rc =
        frag_reel_table_open(&table, look->table.data, look->table.size, look->identity.number_low);
    while (rc >= 0 && (rc = frag_reel_table_next(&table, &row)) > 0) {
        rc = add_row(look, &row);
        if (rc < 0) {
            return rc;
        }
    }
    look->expects = rc == 0;
    look->count = rc == 0 ? look->count : 0;
    look->has_table = rc == 0;
    return 0; /* a table that is not good is told when all is read */
}

/* ---- the index against the table ---- */

static int compare_row(const struct frag_reel_row *row, void *user) {
    struct frag_check_look *look = user;
    if (look->next == look->count || !frag_check_same_row(&look->rows[look->next], row)) {
        return KN_E_CLOSED;
    }
    look->next++;
    return 0;
}

static int compare_index(struct frag_check_look *look) {
    struct frag_check *check = look->check;
    look->next = 0;
    int rc = frag_index_each_fragment(check->index, look->row.row, compare_row, look);
    bool differs = rc == KN_E_CLOSED || (rc == 0 && look->next != look->count);
    look->next = 0;
    if (differs) {
        return frag_check_tell_index(look, FRAG_CHECK_DAMAGE, frag_check_other_fragments);
    }
    return frag_check_after_index(look, rc);
}

int frag_check_expect(struct frag_check_look *look) {
    int rc = load_table(look);
    if (rc == 0 && look->has_table) {
        rc = expect_table(look);
    }
    if (rc < 0) {
        return rc;
    }
    if (!look->expects) {
        return expect_index(look);
    }
    return look->has_row ? compare_index(look) : 0;
}
