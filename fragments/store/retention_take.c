/* Takes one reel: the clerk decides and marks, the disk unlinks, the clerk drops the row. What is
 * held is copied in between, and then decided again: a hold may have come meanwhile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/retention.h"

#define PATH_BYTES ((size_t)4096 + FRAG_INDEX_PATH_BYTES)
/* How often new holds may come while a reel is copied before the next pass has to try again. */
#define ROUNDS 4

enum verdict { VERDICT_GONE, VERDICT_STAYS, VERDICT_COPY, VERDICT_UNLINK };

struct decision {
    struct frag_take *take;
    const struct frag_keep *keep; /* NULL: nothing was copied */
    struct frag_held holds;       /* while it is decided */

    enum verdict verdict;
    bool keep_used; /* the index has the kept reel, or may have it */
    struct frag_index_reel reel;
    char path[FRAG_INDEX_PATH_BYTES];
    struct frag_reel_row *held; /* all that is to be copied ... */
    size_t held_count, held_room;
    size_t missing; /* ... and how many of them `keep` does not have */
};

/* ---- the index ---- */

int frag_take_index(struct frag_store *store, struct frag_index **ret_index) {
    int rc = 0;
    if (store->clerk.index == NULL) {
        rc = frag_index_open(store->index_path, FRAG_INDEX_WRITE, &store->clerk.index);
    }
    if (rc == 0) {
        *ret_index = store->clerk.index;
    }
    return rc;
}

/* A connection whose sync failed, or that met damage, is not used again. */
static int check_index(struct frag_store *store, int rc) {
    if (rc == -EIO || rc == KN_E_MALFORMED) {
        frag_index_close(store->clerk.index);
        store->clerk.index = NULL;
    }
    return rc;
}

static int begin_change(struct frag_store *store, struct frag_index **ret_index) {
    int rc = frag_take_index(store, ret_index);
    return rc < 0 ? rc : check_index(store, frag_index_begin(*ret_index));
}

static int end_change(struct frag_store *store, int rc, bool durable) {
    if (rc == 0) {
        rc = frag_index_commit(store->clerk.index, durable);
    } else {
        frag_index_rollback(store->clerk.index);
    }
    return check_index(store, rc);
}

/* ---- what is held ---- */

struct collecting {
    struct decision *decision;
    struct frag_index *index;
};

static int collect_held(const struct frag_reel_row *row, void *user) {
    const struct collecting *collecting = user;
    struct decision *decision = collecting->decision;
    const struct frag_index_reel *reel = &decision->reel;
    bool kept = (reel->identity.flags & FRAG_REEL_KEPT) != 0;
    uint64_t sequence = row->number.sequence;
    if (!frag_held_touches(&decision->holds, reel->identity.stream_id, row) ||
        (!kept &&
         frag_keep_exists(collecting->index, reel->identity.stream_id, reel->row, sequence))) {
        return 0;
    }
    bool copied = decision->keep != NULL && frag_keep_has(decision->keep, sequence);
    decision->missing += copied ? 0 : 1;
    if (decision->held_count == decision->held_room) {
        size_t room = decision->held_room == 0 ? 64 : decision->held_room * 2;
        struct frag_reel_row *held = reallocarray(decision->held, room, sizeof(*held));
        if (held == NULL) {
            return -ENOMEM;
        }
        decision->held = held;
        decision->held_room = room;
    }
    decision->held[decision->held_count++] = *row;
    return 0;
}

static int look_for_held(struct decision *decision, struct frag_index *index) {
    struct collecting collecting = {.decision = decision, .index = index};
    decision->held_count = 0;
    decision->missing = 0;
    int rc =
        frag_held_load(decision->take->stream->store, decision->take->stream->id, &decision->holds);
    if (rc == 0 && decision->holds.count > 0) {
        rc = frag_index_each_fragment(index, decision->reel.row, collect_held, &collecting);
    }
    frag_held_finish(&decision->holds);
    return rc;
}

/* ---- the mark ---- */

/* The stream's numbers, for when no reel is left that tells the highest. */
static int put_mark(struct frag_stream *stream, const struct frag_index_reel *reel) {
    struct frag_value_mark mark;
    uint8_t key[FRAG_KEY_BYTES_MAX];
    uint8_t room[64];
    struct kn_writer writer;
    (void)pthread_mutex_lock(&stream->lock);
    mark = (struct frag_value_mark){
        .sequence = stream->last_sealed_sequence,
        .ordinal = stream->next_ordinal > 0 ? stream->next_ordinal - 1 : 0,
        .discontinuities = stream->discontinuities,
    };
    (void)pthread_mutex_unlock(&stream->lock);
    mark.sequence =
        reel->span.last_sequence > mark.sequence ? reel->span.last_sequence : mark.sequence;
    mark.ordinal = reel->span.last_ordinal > mark.ordinal ? reel->span.last_ordinal : mark.ordinal;
    kn_writer_init(&writer, room, sizeof(room));
    frag_value_write_mark(&writer, &mark);
    size_t key_bytes = frag_key_of(FRAG_KEY_MARK, stream->id, key);
    int rc = kn_writer_status(&writer);
    rc = rc < 0 ? rc
                : frag_catalog_put(stream->store->clerk.catalog, FRAG_CATALOG_STORE, key, key_bytes,
                                   writer.data, writer.size);
    if (rc == 0) {
        stream->marked = true;
        stream->mark = mark;
    }
    return rc;
}

static int put_mark_if_last(struct frag_stream *stream, struct frag_index *index,
                            const struct frag_index_reel *reel) {
    struct frag_index_found latest;
    int rc = frag_index_latest(index, stream->id, &latest);
    if (rc == -ENOENT || (rc == 0 && latest.reel != reel->row)) {
        return 0;
    }
    return rc < 0 ? rc : put_mark(stream, reel);
}

static bool has_copy(uint64_t sequence, const void *user) {
    return frag_keep_has(user, sequence);
}

static int add_kept(struct frag_index *index, const struct decision *decision) {
    const struct frag_keep *keep = decision->keep;
    const struct frag_index_reel reel = {
        .identity = keep->identity,
        .folder = decision->reel.folder,
        .path = keep->path,
        .bytes = keep->bytes,
    };
    int64_t row = 0;
    int rc = frag_index_add_closed_reel(index, &reel, keep->table.data, keep->table.size, &row);
    if (rc == 0 && (keep->identity.flags & FRAG_REEL_RECORDS) != 0) {
        rc = frag_index_copy_keys(index, decision->reel.row, row, has_copy, keep);
    }
    return rc;
}

/* Durable when it is 0; after -EIO it may be in effect, and nothing is unlinked. */
static int mark_reel(struct decision *decision, struct frag_store *store) {
    struct frag_index *index = NULL;
    int rc = begin_change(store, &index);
    if (rc < 0) {
        return rc;
    }
    rc = decision->keep != NULL ? add_kept(index, decision) : 0;
    rc = rc == 0 ? frag_index_mark_deleting(index, decision->reel.row) : rc;
    bool whole = rc == 0;
    rc = end_change(store, rc, true);
    decision->keep_used = decision->keep != NULL && whole && (rc == 0 || rc == -EIO);
    if (rc == 0) {
        decision->take->marked = true;
        decision->verdict = VERDICT_UNLINK;
        if (decision->keep != NULL) {
            frag_totals_reel(decision->take->stream, 1, decision->keep->bytes,
                             decision->keep->count);
        }
    }
    return rc;
}

/* ---- the decision: clerk ---- */

static bool is_given_up(struct frag_store *store, const struct frag_index_reel *reel) {
    struct frag_catalog_value seal;
    return frag_catalog_get(store->clerk.catalog, FRAG_CATALOG_SEAL, reel->identity.reel_id,
                            FRAG_ID_BYTES, &seal) == 0;
}

/* Retention may have become longer since the plan was made. */
static bool is_wanted_again(struct frag_take *take, bool *ret_deleting) {
    struct frag_stream *stream = take->stream;
    (void)pthread_mutex_lock(&stream->lock);
    struct frag_stream_settings *settings = &stream->settings;
    bool longer = take->cause == FRAG_RETENTION_AGE && settings->retention_ns > take->retention_ns;
    bool larger =
        take->cause == FRAG_RETENTION_BYTES &&
        (settings->retention_bytes == 0 || settings->retention_bytes > take->retention_bytes);
    *ret_deleting = stream->deleting;
    bool wanted = !stream->deleting && (longer || larger);
    (void)pthread_mutex_unlock(&stream->lock);
    return wanted;
}

static int decide_present(struct decision *decision, struct frag_store *store,
                          struct frag_index *index) {
    const struct frag_index_reel *reel = &decision->reel;
    struct frag_take *take = decision->take;
    bool deleting = false;
    if (reel->state == FRAG_REEL_OPEN && !is_given_up(store, reel)) {
        return 0;
    }
    if (reel->state == FRAG_REEL_DELETING) {
        decision->keep = NULL;
        return mark_reel(decision, store); /* the first time it may not have been durable */
    }
    if (is_wanted_again(take, &deleting)) {
        return 0;
    }
    int rc = deleting ? 0 : look_for_held(decision, index);
    if (rc < 0) {
        return rc;
    }
    if (!deleting && decision->missing > 0) {
        bool kept = (reel->identity.flags & FRAG_REEL_KEPT) != 0;
        decision->verdict = kept ? VERDICT_STAYS : VERDICT_COPY;
        return 0;
    }
    rc = deleting ? 0 : put_mark_if_last(take->stream, index, reel);
    return rc < 0 ? rc : mark_reel(decision, store);
}

static int decide(struct frag_store *store, void *user) {
    struct decision *decision = user;
    struct frag_index *index = NULL;
    int rc = frag_take_index(store, &index);
    rc = rc < 0 ? rc
                : frag_index_get_reel(index, decision->take->row, decision->path,
                                      sizeof(decision->path), &decision->reel);
    if (rc == -ENOENT) {
        decision->verdict = VERDICT_GONE;
        return 0;
    }
    if (rc < 0) {
        return rc;
    }
    if (decision->take->stream == NULL) {
        decision->take->stream = frag_stream_by_id(store, decision->reel.identity.stream_id);
    }
    decision->verdict = VERDICT_STAYS;
    return decision->take->stream == NULL ? 0 : decide_present(decision, store, index);
}

/* ---- unlinking: disk ---- */

/* Cuts the last part off; false: there is no more. */
static bool to_folder_of(char *path) {
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    return true;
}

/* The folders of date and stream, once they are empty. Nothing hangs on it. */
static void remove_folders(struct frag_folder *folder, char *path) {
    struct frag_io *io = folder->store->io;
    for (int i = 0; i < 2; i++) {
        if (io->remove_folder(io, path) < 0 || !to_folder_of(path)) {
            return;
        }
        (void)io->sync_folder(io, path); /* an empty folder that comes back does no harm */
    }
}

static int unlink_reel(struct frag_folder *folder, void *user) {
    const char *below = user;
    struct frag_io *io = folder->store->io;
    char path[PATH_BYTES];
    /* What is not there may only be unmounted: then its row is all that speaks of it. */
    int rc = frag_folder_check(folder);
    rc = rc < 0 ? rc : frag_folder_join(folder, below, path, sizeof(path));
    if (rc < 0) {
        return rc;
    }
    rc = io->unlink(io, path);
    if ((rc < 0 && rc != -ENOENT) || !to_folder_of(path)) {
        return rc;
    }
    rc = io->sync_folder(io, path);
    if (rc < 0) {
        return rc == -ENOENT ? 0 : rc;
    }
    remove_folders(folder, path);
    return 0;
}

/* ---- dropping: clerk ---- */

static int drop(struct frag_store *store, void *user) {
    struct decision *decision = user;
    const struct frag_index_reel *reel = &decision->reel;
    struct frag_index *index = NULL;
    int rc = begin_change(store, &index);
    if (rc < 0) {
        return rc;
    }
    rc = frag_index_drop_reel(index, reel->row);
    rc = end_change(store, rc == -ENOENT ? 0 : rc, false);
    if (rc < 0) {
        return rc;
    }
    frag_totals_reel(decision->take->stream, -1, reel->bytes, reel->fragments);
    (void)atomic_fetch_add(&store->deleted_reels, 1);
    (void)atomic_fetch_add(&store->deleted_bytes, reel->bytes);
    rc = frag_catalog_delete(store->clerk.catalog, FRAG_CATALOG_SEAL, reel->identity.reel_id,
                             FRAG_ID_BYTES);
    return rc == -ENOENT ? 0 : rc;
}

/* ---- all of it ---- */

/* After a deletion without its row the next try is for the rest. */
static int remove_reel(struct frag_store *store, struct frag_folder *folder,
                       struct decision *decision) {
    int rc = frag_disk_call(folder, unlink_reel, decision->path);
    rc = rc < 0 ? rc : frag_clerk_call(store, drop, decision);
    if (rc == 0) {
        decision->take->marked = false;
        decision->take->fate = FRAG_FATE_GONE;
        decision->take->bytes = decision->reel.bytes;
    }
    return rc;
}

static void drop_keep(struct frag_folder *folder, struct frag_keep *keep, bool used) {
    if (!used) {
        frag_keep_remove(folder, keep);
    }
    frag_keep_finish(keep);
}

/* Decides, copies and decides again, until nothing that is held is missing in the copy. */
static int settle(struct frag_store *store, struct decision *decision,
                  struct frag_folder **ret_folder) {
    struct frag_take *take = decision->take;
    struct frag_keep keep = {0};
    bool copied = false;
    int rc = 0;
    for (int round = 0;; round++) {
        decision->keep = copied ? &keep : NULL;
        rc = frag_clerk_call(store, decide, decision);
        *ret_folder = frag_store_folder(store, decision->reel.folder);
        if (rc < 0 || decision->verdict != VERDICT_COPY) {
            break;
        }
        if (copied) {
            drop_keep(*ret_folder, &keep, false);
            copied = false;
        }
        if (!take->copy || round == ROUNDS || *ret_folder == NULL || !(*ret_folder)->online) {
            decision->verdict = VERDICT_STAYS;
            break;
        }
        rc = frag_keep_copy(*ret_folder, take->stream->name, &decision->reel, decision->held,
                            decision->held_count, &keep);
        if (rc < 0) {
            take->fate = rc == KN_E_MALFORMED ? FRAG_FATE_DAMAGED : FRAG_FATE_STAYS;
            take->copy_error = rc;
            decision->verdict = VERDICT_STAYS;
            rc = 0;
            break;
        }
        copied = true;
    }
    if (copied) {
        take->copied_bytes = decision->keep_used ? keep.bytes : 0;
        drop_keep(*ret_folder, &keep, decision->keep_used);
    }
    decision->keep = NULL;
    return rc;
}

int frag_take_reel(struct frag_store *store, struct frag_take *take) {
    struct decision decision = {.take = take};
    struct frag_folder *folder = NULL;
    take->fate = FRAG_FATE_STAYS;
    int rc = settle(store, &decision, &folder);
    if (rc == 0 && decision.verdict == VERDICT_GONE) {
        take->marked = false;
        take->fate = FRAG_FATE_GONE;
    }
    if (rc == 0 && decision.verdict == VERDICT_UNLINK) {
        rc = folder != NULL ? remove_reel(store, folder, &decision) : -ENODEV;
    }
    free(decision.held);
    return rc;
}
