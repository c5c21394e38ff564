/* A pass of retention: finds what goes, then takes one reel after the other, so that recording goes
 * on between them. */
#include "fragments/store/retention.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"

/* ---- rows ---- */

static bool has_row(const struct frag_rows *rows, int64_t row) {
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->all[i] == row) {
            return true;
        }
    }
    return false;
}

/* Out of memory it is forgotten: what is marked is found at the next start. */
static void add_row(struct frag_rows *rows, int64_t row) {
    if (has_row(rows, row)) {
        return;
    }
    if (rows->count == rows->room) {
        size_t room = rows->room == 0 ? 16 : rows->room * 2;
        int64_t *all = reallocarray(rows->all, room, sizeof(*all));
        if (all == NULL) {
            return;
        }
        rows->all = all;
        rows->room = room;
    }
    rows->all[rows->count++] = row;
}

static void remove_row(struct frag_rows *rows, int64_t row) {
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->all[i] == row) {
            rows->all[i] = rows->all[--rows->count];
            return;
        }
    }
}

/* ---- a pass ---- */

/* Of one stream in one pass, for the log. */
struct tally {
    uint64_t reels[FRAG_RETENTION_FREE_SPACE + 1];
    uint64_t deleted, bytes, copied_bytes;
};

struct pass {
    struct frag_store *store;
    struct frag_pass_memory *memory;
    struct frag_gathering gathering;
    struct tally *tallies;               /* by stream of the plan */
    bool skip[FRAG_CATALOG_FOLDERS_MAX]; /* disks that failed */
    int error;                           /* the first one */
};

static void note_error(struct pass *pass, int rc) {
    pass->error = pass->error == 0 ? rc : pass->error;
}

static void count(struct pass *pass, const struct frag_plan_item *item,
                  const struct frag_take *take) {
    struct tally *tally = &pass->tallies[pass->gathering.plan.reels[item->reel].stream];
    if (item->deleted) {
        tally->deleted++;
    } else {
        tally->reels[item->cause]++;
    }
    pass->memory->deleted++;
    tally->bytes += take->bytes;
    tally->copied_bytes += take->copied_bytes;
}

static void tell_failure(struct pass *pass, const struct frag_take *take, int rc) {
    struct frag_pass_memory *memory = pass->memory;
    note_error(pass, rc);
    if (memory->told_error != rc) {
        kn_log_error("retention could not delete a reel; it is tried again",
                     kn_str("stream", take->stream != NULL ? take->stream->name : NULL),
                     kn_int("reel", take->row), kn_err("error", rc));
    }
    memory->told_error = rc;
}

static void tell_damage(struct frag_pass_memory *memory, const struct frag_take *take) {
    if (!has_row(&memory->damaged, take->row)) {
        kn_log_error("a reel with held fragments is damaged: it stays as a whole; kinora check "
                     "says where",
                     kn_str("stream", take->stream->name), kn_int("reel", take->row));
        add_row(&memory->damaged, take->row);
    }
}

/* The clerk's failures concern all reels, a disk's all of that disk. */
static bool is_for_all(int rc) {
    return rc == KN_E_CLOSED || rc == KN_E_MALFORMED;
}

/* 0, or what ends the pass. */
static int take_item(struct pass *pass, const struct frag_plan_item *item) {
    struct frag_pass_memory *memory = pass->memory;
    struct frag_plan *plan = &pass->gathering.plan;
    const struct frag_plan_reel *reel = &plan->reels[item->reel];
    struct frag_take take = {
        .stream = pass->gathering.which[reel->stream],
        .row = reel->row,
        .cause = item->cause,
        .retention_ns = plan->streams[reel->stream].retention_ns,
        .retention_bytes = plan->streams[reel->stream].retention_bytes,
        .copy = !has_row(&memory->damaged, reel->row),
    };
    if (pass->skip[reel->disk]) {
        frag_plan_undo(plan, item);
        return 0;
    }
    int rc = frag_take_reel(pass->store, &take);
    if (take.marked) {
        add_row(&memory->marked, take.row);
    }
    if (rc < 0) {
        tell_failure(pass, &take, rc);
        pass->skip[reel->disk] = true;
        frag_plan_undo(plan, item);
        return is_for_all(rc) ? rc : 0;
    }
    switch (take.fate) {
    case FRAG_FATE_GONE:
        count(pass, item, &take);
        break;
    case FRAG_FATE_DAMAGED:
        tell_damage(memory, &take);
        frag_plan_undo(plan, item);
        break;
    case FRAG_FATE_STAYS:
        if (take.copy_error < 0) {
            tell_failure(pass, &take, take.copy_error);
        }
        frag_plan_undo(plan, item);
        break;
    }
    return 0;
}

/* Reels whose deletion was marked and could not be finished. */
static void finish_marked(struct pass *pass) {
    struct frag_pass_memory *memory = pass->memory;
    for (size_t i = memory->marked.count; i > 0; i--) {
        struct frag_take take = {.row = memory->marked.all[i - 1]};
        int rc = frag_take_reel(pass->store, &take);
        if (rc < 0) {
            tell_failure(pass, &take, rc);
        } else if (!take.marked) {
            remove_row(&memory->marked, memory->marked.all[i - 1]);
        }
    }
}

static void tell(const struct pass *pass) {
    for (size_t i = 0; i < pass->gathering.plan.stream_count; i++) {
        const struct tally *tally = &pass->tallies[i];
        if (tally->bytes == 0) {
            continue;
        }
        kn_log_info("retention", kn_str("stream", pass->gathering.which[i]->name),
                    kn_uint("expired_reels", tally->reels[FRAG_RETENTION_AGE]),
                    kn_uint("over_limit_reels", tally->reels[FRAG_RETENTION_BYTES]),
                    kn_uint("for_free_space_reels", tally->reels[FRAG_RETENTION_FREE_SPACE]),
                    kn_uint("of_deleted_stream_reels", tally->deleted),
                    kn_uint("bytes", tally->bytes), kn_uint("copied_bytes", tally->copied_bytes));
    }
}

static int take_all(struct pass *pass) {
    struct frag_plan_item item;
    int rc = 0;
    while (rc == 0 && !atomic_load(&pass->memory->stop)) {
        rc = frag_plan_next(&pass->gathering.plan, &item);
        if (rc <= 0) {
            break;
        }
        rc = take_item(pass, &item);
    }
    tell(pass);
    return rc;
}

/* ---- streams that were deleted ---- */

static int say_found(const struct frag_index_reel *reel, void *user) {
    (void)reel;
    *(bool *)user = true;
    return -ECANCELED;
}

/* Somebody records to it, or what was recorded is with a disk or the clerk. */
static bool is_written(struct frag_stream *stream) {
    (void)pthread_mutex_lock(&stream->lock);
    bool any = stream->writers > 0 || stream->unfinished > 0;
    (void)pthread_mutex_unlock(&stream->lock);
    return any;
}

/* A directory that is away may hold reels of it that an index made meanwhile does not know. */
static bool any_away(const struct frag_store *store) {
    for (size_t i = 0; i < store->folder_count; i++) {
        if (!store->folders[i].online) {
            return true;
        }
    }
    return false;
}

/* The last fragment on its way may have arrived after the rows were looked at: two passes must find
 * it empty. */
static int erase_if_empty(struct pass *pass, struct frag_stream *stream) {
    bool found = false;
    int rc = frag_index_each_reel_of(pass->gathering.index, stream->id, say_found, &found);
    if (rc < 0 && rc != -ECANCELED) {
        return rc;
    }
    bool before = stream->emptied;
    stream->emptied = !found && pass->memory->marked.count == 0 && !is_written(stream);
    return before && stream->emptied ? frag_erase_stream(stream) : 0;
}

static int erase_streams(struct pass *pass) {
    int rc = 0;
    if (any_away(pass->store)) {
        return 0;
    }
    for (size_t i = 0; i < pass->gathering.plan.stream_count && rc == 0; i++) {
        if (pass->gathering.plan.streams[i].deleting) {
            rc = erase_if_empty(pass, pass->gathering.which[i]);
        }
    }
    return rc;
}

/* ---- the face ---- */

static int do_pass(struct pass *pass) {
    enum frag_doubt doubt = FRAG_DOUBT_NONE;
    pass->tallies = calloc(pass->gathering.plan.stream_count + 1, sizeof(*pass->tallies));
    if (pass->tallies == NULL) {
        return -ENOMEM;
    }
    finish_marked(pass);
    int rc = frag_janitor_doubt(&pass->gathering, false, &doubt);
    rc = rc < 0 ? rc : frag_gather_reels(&pass->gathering, doubt != FRAG_DOUBT_NONE);
    rc = rc < 0 ? rc : take_all(pass);
    rc = rc < 0 ? rc : erase_streams(pass);
    return rc < 0 ? rc : frag_expire_gaps(pass->store);
}

int frag_retention_pass(struct frag_store *store, struct frag_pass_memory *memory) {
    struct kn_wall now = store->clock->wall(store->clock);
    struct pass pass = {.store = store, .memory = memory};
    memory->deleted = 0;
    int rc = frag_gather_begin(store, now, now, false, &pass.gathering);
    if (rc == 0) {
        rc = do_pass(&pass);
        frag_gather_finish(&pass.gathering);
        free(pass.tallies);
    }
    int error = pass.error != 0 ? pass.error : rc;
    if (error != 0 && error != KN_E_CLOSED && pass.error == 0 && memory->told_error != error) {
        kn_log_warn("retention: a pass ended early", kn_str("data", store->data),
                    kn_err("error", error));
    }
    memory->told_error = error;
    return error;
}

void frag_pass_memory_finish(struct frag_pass_memory *memory) {
    free(memory->marked.all);
    free(memory->damaged.all);
}
