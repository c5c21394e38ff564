/* One reel beside a writer: its row, a look, and another one where what was found may be the
 * writer's doing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/check_look.h"

#define TRIES 3
#define TABLE_MOST ((size_t)FRAG_REEL_TABLE_MOST)

static int find_row(struct frag_check_look *look) {
    struct frag_check *check = look->check;
    look->has_row = false;
    if (check->index == NULL) {
        return 0;
    }
    int rc = frag_index_find_reel(check->index, look->identity.reel_id, look->row_path,
                                  sizeof(look->row_path), &look->row);
    look->has_row = rc == 0;
    if (look->row_told) {
        return frag_check_goes_on(check, rc) ? 0 : rc;
    }
    look->row_told = rc < 0 && rc != -ENOENT;
    return frag_check_after_index(look, rc);
}

/* ---- again, while a writer is at it ---- */

/* A kept reel gets its row when it is whole, and only then the one it is copied from goes. Until
 * then it is being made, or a crash left it, and the next start removes it. */
static int is_unfinished_copy(struct frag_check_look *look, bool *ret_is) {
    struct frag_reel_identity identity;
    struct frag_reel_table table;
    struct frag_reel_row first;
    struct frag_index_found found;
    struct kn_writer packed;
    *ret_is = false;
    if (look->has_row || look->check->index == NULL ||
        (look->identity.flags & FRAG_REEL_KEPT) == 0) {
        return 0;
    }
    kn_writer_init_growing(&packed, TABLE_MOST);
    int rc = frag_reel_read_footer(look->check->io, look->path, &identity, &packed);
    if (rc == 0 &&
        frag_reel_table_open(&table, packed.data, packed.size, identity.number_low) == 0 &&
        frag_reel_table_next(&table, &first) > 0) {
        *ret_is = frag_index_find_sequence(look->check->index, identity.stream_id,
                                           first.number.sequence, &found) == 0;
    }
    kn_writer_finish(&packed);
    *ret_is = *ret_is || rc == -ENODATA;
    return rc == -ENOMEM ? rc : 0;
}

/* Marked reels, and those that their writer has only just begun. */
static bool is_left_out(const struct frag_check_look *look) {
    const struct frag_check *check = look->check;
    if (look->has_row) {
        return look->row.state == FRAG_REEL_DELETING;
    }
    bool this_run = check->epoch == 0 || look->identity.epoch >= check->epoch;
    return check->index != NULL && this_run &&
           look->identity.opened.ns > check->now.ns - FRAG_CHECK_YOUNG_NS;
}

/* That an open reel grows changes nothing of what was looked at. */
static bool row_changed(const struct frag_check_look *look, bool had_row,
                        const struct frag_index_reel *before) {
    return look->has_row != had_row ||
           (had_row && (look->row.row != before->row || look->row.state != before->state));
}

static int look_until_steady(struct frag_check_look *look) {
    struct frag_check *check = look->check;
    bool unfinished = false;
    int rc = find_row(look);
    rc = rc == 0 ? is_unfinished_copy(look, &unfinished) : rc;
    for (int i = 0; i < TRIES && rc == 0 && !unfinished && !is_left_out(look); i++) {
        struct frag_index_reel before = look->row;
        bool had_row = look->has_row;
        frag_check_hold(check);
        rc = frag_check_look_once(look);
        if (rc < 0 || check->held_count == 0) {
            break;
        }
        check->holding = false;
        rc = find_row(look);
        if (rc == 0 && !row_changed(look, had_row, &before)) {
            return frag_check_release(check);
        }
    }
    frag_check_forget(check); /* it is sound, gone, or changes too fast */
    return rc;
}

int frag_check_reel(struct frag_check *check, const struct frag_check_folder *folder,
                    const char *path, const struct frag_reel_identity *identity,
                    struct frag_check_place *ret_place) {
    char whole[FRAG_CHECK_PATH_BYTES];
    struct frag_check_look *look = calloc(1, sizeof(*look));
    if (look == NULL) {
        return -ENOMEM;
    }
    look->check = check;
    look->path = frag_check_join(folder->path, path, whole);
    look->identity = *identity;
    (void)frag_check_stream_name(check, identity->stream_id, look->stream);
    int rc = look_until_steady(look);
    if (rc == 0) {
        check->report.fragments += look->fragments;
        ret_place->known = look->has_row;
        ret_place->folder = look->has_row ? look->row.folder : 0;
        memcpy(ret_place->path, look->row_path, sizeof(ret_place->path));
        rc = frag_check_pace(look, look->file_bytes);
    }
    free(look->rows);
    free(look);
    return rc;
}
