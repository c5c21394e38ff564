/* After a stop of any kind: the files of every directory against the rows of the index. Files are
 * the truth; what the index lacks is read from them, and what no file has becomes a gap. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/file_list.h"
#include "fragments/store/open.h"
#include "fragments/store/records.h"
#include "fragments/store/recover.h"

#define COMMIT_EVERY 256

/* ---- rows to look after ---- */

enum todo_kind {
    TODO_LOST,   /* a row whose file is not there */
    TODO_DELETE, /* marked, not finished */
    TODO_CLOSE   /* open: a crash, or a failed sync */
};

struct todo {
    enum todo_kind kind;
    struct frag_folder *folder;
    struct frag_index_reel reel; /* `path` is the todo's own */
};

struct work {
    struct frag_store *store;
    struct frag_store_opening *opening;
    struct frag_index *index;
    struct frag_file_list lists[FRAG_CATALOG_FOLDERS_MAX];
    struct todo *todos;
    size_t count, room;
    unsigned changes;                    /* since the last commit */
    struct frag_check_progress progress; /* of files that had no row */
};

static int add_todo(struct work *work, enum todo_kind kind, struct frag_folder *folder,
                    const struct frag_index_reel *reel) {
    if (work->count == work->room) {
        size_t room = work->room == 0 ? 64 : work->room * 2;
        struct todo *todos = realloc(work->todos, room * sizeof(*todos));
        if (todos == NULL) {
            return -ENOMEM;
        }
        work->todos = todos;
        work->room = room;
    }
    struct todo *todo = &work->todos[work->count];
    *todo = (struct todo){.kind = kind, .folder = folder, .reel = *reel};
    todo->reel.path = strdup(reel->path);
    if (todo->reel.path == NULL) {
        return -ENOMEM;
    }
    work->count++;
    return 0;
}

static int compare_row(const struct frag_index_reel *reel, void *user) {
    struct work *work = user;
    struct frag_folder *folder = frag_store_folder(work->store, reel->folder);
    if (folder == NULL || !folder->online) {
        return 0; /* its rows stay until it is back */
    }
    struct frag_file *file =
        frag_file_list_find(&work->lists[folder - work->store->folders], reel->path);
    if (file != NULL) {
        file->seen = true;
    }
    if (reel->state == FRAG_REEL_DELETING) {
        return add_todo(work, TODO_DELETE, folder, reel);
    }
    if (file == NULL) {
        return add_todo(work, TODO_LOST, folder, reel);
    }
    if (reel->state == FRAG_REEL_OPEN) {
        return add_todo(work, TODO_CLOSE, folder, reel);
    }
    if (file->bytes != reel->bytes) {
        work->opening->damaged_files++;
        kn_log_error("a reel has another size than it had; kinora check tells more",
                     kn_str("folder", folder->path), kn_str("reel", reel->path),
                     kn_uint("bytes", file->bytes), kn_uint("expected", reel->bytes));
    }
    return 0;
}

/* ---- transactions ---- */

static int begin(struct work *work) {
    return work->changes == 0 ? frag_index_begin(work->index) : 0;
}

static int changed(struct work *work) {
    if (++work->changes < COMMIT_EVERY) {
        return 0;
    }
    work->changes = 0;
    return frag_index_commit(work->index, false);
}

static int settle(struct work *work) {
    if (work->changes == 0) {
        return 0;
    }
    work->changes = 0;
    return frag_index_commit(work->index, false);
}

static int drop_row(struct work *work, int64_t row) {
    int rc = begin(work);
    rc = rc < 0 ? rc : frag_index_drop_reel(work->index, row);
    return rc < 0 ? rc : changed(work);
}

/* ---- lost and deleted ---- */

static int note_lost(struct work *work, const struct todo *todo) {
    const struct frag_index_reel *reel = &todo->reel;
    struct frag_stream *stream = frag_stream_by_id(work->store, reel->identity.stream_id);
    if (reel->fragments == 0 || stream == NULL || stream->deleting) {
        return 0;
    }
    work->opening->lost_files++;
    kn_log_error("a reel is gone: its file was removed or its disk has lost it",
                 kn_str("stream", stream->name), kn_str("folder", todo->folder->path),
                 kn_str("reel", reel->path), kn_uint("fragments", reel->fragments));
    const struct frag_gap_entry gap = {
        .gap = {.from = reel->span.server_min,
                .to = reel->span.server_max,
                .cause = FRAG_GAP_FILE_LOST},
        .ordinal = reel->span.first_ordinal,
        .ordinals = (uint32_t)(reel->span.last_ordinal - reel->span.first_ordinal + 1),
    };
    return frag_gaps_add(stream, &gap);
}

static int finish_deletion(struct work *work, const struct todo *todo) {
    char path[FRAG_FOLDER_PATH_BYTES + FRAG_REEL_PATH_BYTES];
    struct frag_io *io = work->store->io;
    int rc = frag_folder_join(todo->folder, todo->reel.path, path, sizeof(path));
    rc = rc < 0 ? rc : io->unlink(io, path);
    if (rc < 0 && rc != -ENOENT) {
        return rc;
    }
    char *slash = strrchr(path, '/');
    if (rc == 0 && slash != NULL) {
        *slash = '\0';
        rc = io->sync_folder(io, path);
    }
    if (rc < 0 && rc != -ENOENT) {
        return rc;
    }
    work->opening->finished_deletions++;
    return drop_row(work, todo->reel.row);
}

/* ---- reels ---- */

/* The row of a mended reel, and of records their keys. */
static int add_closed(struct work *work, struct frag_folder *folder,
                      const struct frag_mended *mended) {
    char path[FRAG_FOLDER_PATH_BYTES + FRAG_REEL_PATH_BYTES];
    const struct frag_index_reel *reel = &mended->reel;
    int64_t row = 0;
    uint64_t damaged = 0;
    int rc =
        frag_index_add_closed_reel(work->index, reel, mended->table.data, mended->table.size, &row);
    if (rc < 0 || (reel->identity.flags & FRAG_REEL_RECORDS) == 0) {
        return rc;
    }
    rc = frag_folder_join(folder, reel->path, path, sizeof(path));
    rc = rc < 0 ? rc
                : frag_records_index_reel(work->store->io, path, &reel->identity, &mended->table,
                                          work->index, row, &damaged);
    if (rc == 0 && damaged > 0) {
        work->opening->damaged_files++;
        kn_log_error("batches of records are damaged: they are not found by key",
                     kn_str("folder", folder->path), kn_str("reel", reel->path),
                     kn_uint("batches", damaged));
    }
    return rc;
}

static int finish_closing(struct work *work, const struct todo *todo) {
    const struct frag_mend_request request = {
        .store = work->store,
        .folder = todo->folder,
        .path = todo->reel.path,
        .index = work->index,
        .known = &todo->reel,
    };
    struct frag_mended mended;
    int rc = settle(work); /* the rows are read from the index */
    rc = rc < 0 ? rc : frag_mend_reel(&request, &mended);
    if (rc < 0) {
        return rc;
    }
    work->opening->recovered_fragments += mended.found;
    if (mended.outcome == FRAG_MEND_DAMAGED) {
        kn_writer_finish(&mended.table);
        work->opening->damaged_files++;
        return 0; /* the rows it has stay */
    }
    work->opening->recovered_reels++;
    rc = begin(work);
    rc = rc < 0 ? rc : frag_index_drop_reel(work->index, todo->reel.row);
    if (rc == 0 && mended.outcome == FRAG_MEND_CLOSED) {
        rc = add_closed(work, todo->folder, &mended);
    }
    kn_writer_finish(&mended.table);
    return rc < 0 ? rc : changed(work);
}

static int do_todo(struct work *work, const struct todo *todo) {
    int rc = 0;
    switch (todo->kind) {
    case TODO_LOST:
        rc = note_lost(work, todo);
        return rc < 0 ? rc : drop_row(work, todo->reel.row);
    case TODO_DELETE:
        return finish_deletion(work, todo);
    case TODO_CLOSE:
        return finish_closing(work, todo);
    }
    return rc;
}

static bool is_copy_of_another(struct work *work, const struct frag_mended *mended) {
    struct frag_reel_table table;
    struct frag_reel_row row;
    struct frag_index_found found;
    return frag_reel_table_open(&table, mended->table.data, mended->table.size,
                                mended->reel.identity.number_low) == 0 &&
           frag_reel_table_next(&table, &row) == 1 &&
           frag_index_find_sequence(work->index, mended->reel.identity.stream_id,
                                    row.number.sequence, &found) == 0;
}

static int add_mended(struct work *work, struct frag_folder *folder,
                      const struct frag_mended *mended) {
    struct frag_stream *stream = frag_stream_by_id(work->store, mended->reel.identity.stream_id);
    if (stream == NULL) {
        work->opening->foreign_files++;
        kn_log_warn("a reel of a stream that this store does not have is left alone",
                    kn_str("folder", folder->path), kn_str("reel", mended->reel.path));
        return 0;
    }
    /* Copying held fragments was not finished: the reel they are copied from is still there. */
    if ((mended->reel.identity.flags & FRAG_REEL_KEPT) != 0) {
        int rc = settle(work);
        if (rc < 0) {
            return rc;
        }
        if (is_copy_of_another(work, mended)) {
            char path[FRAG_FOLDER_PATH_BYTES + FRAG_REEL_PATH_BYTES];
            rc = frag_folder_join(folder, mended->reel.path, path, sizeof(path));
            return rc < 0 ? rc : work->store->io->unlink(work->store->io, path);
        }
    }
    int rc = begin(work);
    rc = rc < 0 ? rc : add_closed(work, folder, mended);
    if (rc == -EEXIST || rc == -EINVAL || rc == KN_E_MALFORMED || rc == KN_E_LIMIT) {
        work->opening->damaged_files++;
        kn_log_error("a reel cannot be taken into the index", kn_str("folder", folder->path),
                     kn_str("reel", mended->reel.path), kn_err("error", rc));
        rc = 0;
    }
    return rc < 0 ? rc : changed(work);
}

static int add_file(struct work *work, struct frag_folder *folder, struct frag_file *file,
                    bool kept_later) {
    const struct frag_mend_request request = {
        .store = work->store, .folder = folder, .path = file->path, .kept_later = kept_later};
    struct frag_mended mended;
    int rc = frag_mend_reel(&request, &mended);
    if (rc < 0) {
        return rc;
    }
    file->seen = mended.outcome != FRAG_MEND_LATER;
    switch (mended.outcome) {
    case FRAG_MEND_CLOSED:
        work->opening->recovered_reels += mended.scanned ? 1 : 0;
        work->opening->recovered_fragments += mended.found;
        rc = add_mended(work, folder, &mended);
        break;
    case FRAG_MEND_EMPTY:
    case FRAG_MEND_LATER:
        break;
    case FRAG_MEND_FOREIGN:
        work->opening->foreign_files++;
        break;
    case FRAG_MEND_DAMAGED:
        work->opening->damaged_files++;
        break;
    }
    kn_writer_finish(&mended.table);
    return rc;
}

static void count_files(struct work *work) {
    for (size_t i = 0; i < work->store->folder_count; i++) {
        for (size_t j = 0; j < work->lists[i].count; j++) {
            const struct frag_file *file = &work->lists[i].files[j];
            work->progress.files_all += file->seen ? 0 : 1;
            work->progress.bytes_all += file->seen ? 0 : file->bytes;
        }
    }
}

static int tell_progress(struct work *work, const struct frag_file *file) {
    const struct frag_open_hooks *hooks = work->store->hooks;
    if (hooks == NULL || hooks->progress == NULL || !file->seen) {
        return 0;
    }
    work->progress.files++;
    work->progress.bytes += file->bytes;
    return hooks->progress(&work->progress, hooks->user);
}

/* Ordinary reels first: whether a kept one is a copy shows only then. */
static int add_files(struct work *work, bool kept_later) {
    struct frag_store *store = work->store;
    int rc = 0;
    for (size_t i = 0; i < store->folder_count && rc >= 0; i++) {
        for (size_t j = 0; j < work->lists[i].count && rc >= 0; j++) {
            struct frag_file *file = &work->lists[i].files[j];
            if (!file->seen) {
                rc = add_file(work, &store->folders[i], file, kept_later);
                rc = rc < 0 ? rc : tell_progress(work, file);
            }
        }
    }
    return rc;
}

static int run(struct work *work) {
    struct frag_store *store = work->store;
    int rc = 0;
    for (size_t i = 0; i < store->folder_count && rc >= 0; i++) {
        if (store->folders[i].online) {
            rc = frag_file_list_read(store->io, store->folders[i].path, &work->lists[i]);
        }
    }
    rc = rc < 0 ? rc : frag_index_each_reel(work->index, compare_row, work);
    for (size_t i = 0; i < work->count && rc >= 0; i++) {
        rc = do_todo(work, &work->todos[i]);
    }
    count_files(work);
    rc = rc < 0 ? rc : add_files(work, true);
    rc = rc < 0 ? rc : add_files(work, false);
    return rc < 0 ? rc : settle(work);
}

int frag_recover(struct frag_store *store, struct frag_store_opening *opening) {
    struct work work = {.store = store, .opening = opening, .index = store->clerk.index};
    int rc = run(&work);
    if (rc < 0 && work.changes > 0) {
        frag_index_rollback(work.index);
    }
    for (size_t i = 0; i < work.count; i++) {
        free((void *)(uintptr_t)work.todos[i].reel.path);
    }
    free(work.todos);
    for (size_t i = 0; i < store->folder_count; i++) {
        frag_file_list_finish(&work.lists[i]);
    }
    return rc;
}
