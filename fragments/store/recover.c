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
    bool found, done; /* a lost reel whose file is there, under another name; and was taken */
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
    bool numbers_unknown;                /* a file may have numbers that nothing else tells of */
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

/* The file cannot be taken: what the transaction has of it goes, the row that was there stays. */
static void undo(struct work *work) {
    work->changes = 0;
    frag_index_rollback(work->index);
}

static int drop_row(struct work *work, int64_t row) {
    int rc = begin(work);
    rc = rc < 0 ? rc : frag_index_drop_reel(work->index, row);
    return rc < 0 ? rc : changed(work);
}

/* ---- deleted ---- */

/* Of the disk, not of the store: the next start tries again. */
static int leave_deletion(const struct todo *todo, int error) {
    if (error == -ENOMEM) {
        return error;
    }
    kn_log_warn("a reel cannot be deleted yet", kn_str("folder", todo->folder->path),
                kn_str("reel", todo->reel.path), kn_err("error", error));
    return 0;
}

static int finish_deletion(struct work *work, const struct todo *todo) {
    char path[FRAG_FOLDER_PATH_BYTES + FRAG_REEL_PATH_BYTES];
    struct frag_io *io = work->store->io;
    int rc = frag_folder_join(todo->folder, todo->reel.path, path, sizeof(path));
    rc = rc < 0 ? rc : io->unlink(io, path);
    char *slash = strrchr(path, '/');
    if (rc == 0 && slash != NULL) {
        *slash = '\0';
        rc = io->sync_folder(io, path);
    }
    if (rc < 0 && rc != -ENOENT) {
        return leave_deletion(todo, rc);
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

/* Of this file: the index cannot take it, and the transaction is as it was. */
static bool is_refusal(int rc) {
    return rc == -EEXIST || rc == -EINVAL || rc == KN_E_MALFORMED || rc == KN_E_LIMIT;
}

static void leave(struct work *work, const struct frag_folder *folder, const char *path,
                  int error) {
    work->opening->damaged_files++;
    work->numbers_unknown = true;
    kn_log_error("a reel cannot be taken into the index", kn_str("folder", folder->path),
                 kn_str("reel", path), kn_err("error", error));
}

/* In place of the row there was, in one transaction with nothing else. */
static int replace_row(struct work *work, const struct todo *todo, struct frag_folder *folder,
                       const struct frag_mended *mended) {
    int rc = settle(work);
    rc = rc < 0 ? rc : begin(work);
    rc = rc < 0 ? rc : frag_index_drop_reel(work->index, todo->reel.row);
    if (rc < 0) {
        return rc;
    }
    rc = mended->outcome == FRAG_MEND_CLOSED ? add_closed(work, folder, mended) : 0;
    if (is_refusal(rc)) {
        undo(work);
        leave(work, folder, mended->reel.path, rc);
        return 0;
    }
    return rc < 0 ? rc : changed(work);
}

static int take_closing(struct work *work, const struct todo *todo,
                        const struct frag_mended *mended) {
    work->opening->recovered_fragments += mended->found;
    if (mended->outcome == FRAG_MEND_DAMAGED) {
        work->opening->damaged_files++;
        work->numbers_unknown = true;
        return 0; /* the rows it has stay */
    }
    if (mended->outcome == FRAG_MEND_FOREIGN) {
        work->opening->foreign_files++;
    } else {
        work->opening->recovered_reels++;
    }
    int rc = frag_lost_fragments(work->index, todo->folder, &todo->reel, mended, work->opening);
    return rc < 0 ? rc : replace_row(work, todo, todo->folder, mended);
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
    rc = take_closing(work, todo, &mended);
    kn_writer_finish(&mended.table);
    return rc;
}

static int do_todo(struct work *work, const struct todo *todo) {
    int rc = 0;
    switch (todo->kind) {
    case TODO_LOST:
        rc =
            todo->found ? 0 : frag_lost_reel(work->store, todo->folder, &todo->reel, work->opening);
        return rc < 0 ? rc : drop_row(work, todo->reel.row);
    case TODO_DELETE:
        return finish_deletion(work, todo);
    case TODO_CLOSE:
        return finish_closing(work, todo);
    }
    return rc;
}

static int do_todos(struct work *work, bool lost) {
    int rc = 0;
    for (size_t i = 0; i < work->count && rc >= 0; i++) {
        struct todo *todo = &work->todos[i];
        rc = todo->done || (todo->kind == TODO_LOST) != lost ? 0 : do_todo(work, todo);
    }
    return rc;
}

/* The lost row of this reel: a person has moved its file. *ret_todo is NULL where there is none. */
static int find_lost(struct work *work, const struct frag_reel_identity *identity,
                     struct todo **ret_todo) {
    char path[FRAG_INDEX_PATH_BYTES];
    struct frag_index_reel reel;
    *ret_todo = NULL;
    int rc = work->count == 0
                 ? -ENOENT
                 : frag_index_find_reel(work->index, identity->reel_id, path, sizeof(path), &reel);
    size_t low = 0;
    size_t high = rc == 0 ? work->count : 0;
    while (low < high) { /* they are in order of their rows, as the index told them */
        size_t middle = low + (high - low) / 2;
        if (work->todos[middle].reel.row < reel.row) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (rc == 0 && low < work->count && work->todos[low].reel.row == reel.row &&
        work->todos[low].kind == TODO_LOST) {
        *ret_todo = &work->todos[low];
    }
    return rc == -ENOENT ? 0 : rc;
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

/* Copying held fragments was not finished: the reel they are copied from is still there. */
static int remove_copy(struct work *work, struct frag_folder *folder,
                       const struct frag_mended *mended) {
    char path[FRAG_FOLDER_PATH_BYTES + FRAG_REEL_PATH_BYTES];
    int rc = frag_folder_join(folder, mended->reel.path, path, sizeof(path));
    rc = rc < 0 ? rc : work->store->io->unlink(work->store->io, path);
    if (rc < 0) {
        kn_log_warn("a copy that is not needed cannot be removed", kn_str("folder", folder->path),
                    kn_str("reel", mended->reel.path), kn_err("error", rc));
    }
    return rc == -ENOMEM ? rc : 0; /* the next start tries again */
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
    if ((mended->reel.identity.flags & FRAG_REEL_KEPT) != 0 && is_copy_of_another(work, mended)) {
        return remove_copy(work, folder, mended);
    }
    struct todo *lost = NULL;
    int rc = find_lost(work, &mended->reel.identity, &lost);
    if (rc == 0 && lost != NULL) {
        rc = frag_lost_fragments(work->index, lost->folder, &lost->reel, mended, work->opening);
        rc = rc < 0 ? rc : replace_row(work, lost, folder, mended);
        lost->done = true;
        return rc;
    }
    rc = rc < 0 ? rc : begin(work);
    rc = rc < 0 ? rc : add_closed(work, folder, mended);
    if (is_refusal(rc)) {
        leave(work, folder, mended->reel.path, rc);
        rc = 0;
    }
    return rc < 0 ? rc : changed(work);
}

/* A kept reel is taken later; until then its lost row is no loss. */
static int spare_lost(struct work *work, const struct frag_mended *mended) {
    struct todo *lost = NULL;
    int rc = find_lost(work, &mended->reel.identity, &lost);
    if (lost != NULL) {
        lost->found = true;
    }
    return rc;
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
        work->numbers_unknown = work->numbers_unknown || mended.damaged;
        rc = add_mended(work, folder, &mended);
        break;
    case FRAG_MEND_EMPTY:
        break;
    case FRAG_MEND_LATER:
        rc = spare_lost(work, &mended);
        break;
    case FRAG_MEND_FOREIGN:
        work->opening->foreign_files++;
        break;
    case FRAG_MEND_DAMAGED:
        work->opening->damaged_files++;
        work->numbers_unknown = true;
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

/* A further directory that cannot be listed is offline for this run, and its rows stay. */
static int list_folder(struct work *work, size_t i) {
    struct frag_folder *folder = &work->store->folders[i];
    int rc = frag_file_list_read(work->store->io, folder->path, &work->lists[i]);
    if (rc >= 0 || folder->number == 0 || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE) {
        return rc;
    }
    frag_file_list_finish(&work->lists[i]);
    folder->online = false;
    work->opening->offline_folders++;
    kn_log_error("storage directory cannot be listed: its video cannot be read for now",
                 kn_str("folder", folder->path), kn_err("error", rc));
    return 0;
}

/* Rows of lost reels go once the files without rows were looked at: one of them may be the reel,
 * moved by hand. Before the kept reels, though, which are no copies of what is lost. */
static int run(struct work *work) {
    struct frag_store *store = work->store;
    int rc = 0;
    for (size_t i = 0; i < store->folder_count && rc >= 0; i++) {
        rc = store->folders[i].online ? list_folder(work, i) : 0;
    }
    if (rc >= 0) {
        rc = frag_index_each_reel(work->index, compare_row, work);
        rc = rc == -EIO ? KN_E_MALFORMED : rc; /* the index cannot be read: it is made again */
    }
    rc = rc < 0 ? rc : do_todos(work, false);
    count_files(work);
    rc = rc < 0 ? rc : add_files(work, true);
    rc = rc < 0 ? rc : do_todos(work, true);
    rc = rc < 0 ? rc : add_files(work, false);
    return rc < 0 ? rc : settle(work);
}

int frag_recover(struct frag_store *store, struct frag_store_opening *opening,
                 bool *ret_numbers_unknown) {
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
    if (rc >= 0) {
        *ret_numbers_unknown = work.numbers_unknown;
    }
    return rc;
}
