/* Where fragments are, as retention lets it be seen. The index leaves out what is hidden itself, in
 * the one snapshot that a lookup reads (frag_index_see_from). */
#include "fragments/archive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "fragments/store/archive_inner.h"

/* ---- the connection ---- */

/* Reads of the index's file are SQLite's, so looking at it is not the io table's either. A file
 * that cannot be looked at (there is none at the moment) counts as unchanged. */
static bool find_file(const struct frag_archive *archive, dev_t *ret_device, ino_t *ret_file) {
    struct stat info;
    if (stat(archive->store->index_path, &info) < 0) {
        return false;
    }
    *ret_device = info.st_dev;
    *ret_file = info.st_ino;
    return true;
}

int frag_archive_reopen(struct frag_archive *archive) {
    struct frag_index *index = NULL;
    dev_t device = 0;
    ino_t file = 0;
    /* Before opening: a file that is replaced in between then differs at the next call. */
    (void)find_file(archive, &device, &file);
    int rc = frag_index_open(archive->store->index_path, FRAG_INDEX_READ, &index);
    if (rc < 0) {
        return rc; /* it is being made, or damaged: the one at hand goes on */
    }
    frag_archive_close_reels(archive);
    frag_index_close(archive->index);
    archive->index = index;
    archive->index_device = device;
    archive->index_file = file;
    return 0;
}

void frag_archive_refresh(struct frag_archive *archive) {
    dev_t device = 0;
    ino_t file = 0;
    if (find_file(archive, &device, &file) &&
        (device != archive->index_device || file != archive->index_file)) {
        /* What is left of the old one is whole, so it serves until the new one can be opened. */
        (void)!frag_archive_reopen(archive);
    }
    frag_archive_sweep(archive);
}

int frag_archive_open(struct frag_store *store, struct frag_archive **ret_archive) {
    struct frag_archive *archive = calloc(1, sizeof(*archive));
    if (archive == NULL) {
        return -ENOMEM;
    }
    archive->store = store;
    archive->looked = store->clock->mono(store->clock);
    archive->room = malloc(FRAG_REEL_TRAILER_MOST);
    int rc = archive->room == NULL ? -ENOMEM : frag_archive_reopen(archive);
    if (rc < 0) {
        frag_archive_close(archive);
        return rc;
    }
    *ret_archive = archive;
    return 0;
}

void frag_archive_close(struct frag_archive *archive) {
    if (archive == NULL) {
        return;
    }
    frag_archive_close_reels(archive);
    frag_index_close(archive->index);
    free(archive->room);
    free(archive);
}

/* ---- lookups ---- */

struct frag_entry frag_archive_entry_of(int64_t reel, const struct frag_reel_row *row,
                                        const uint8_t stream[static FRAG_ID_BYTES]) {
    struct frag_entry entry = {
        .number = row->number,
        .ordinal = row->ordinal,
        .discontinuities = row->discontinuities,
        .producer = row->producer,
        .server = row->server,
        .duration_ns = row->duration_ns,
        .flags = row->flags,
        .cluster_bytes = row->cluster_bytes,
        .reel = reel,
        .cluster_at = row->cluster_at,
        .trailer_bytes = row->trailer_bytes,
    };
    memcpy(entry.stream, stream, FRAG_ID_BYTES);
    return entry;
}

/* What is asked of the index; which members count follows from `ask`. */
struct question {
    int (*ask)(struct frag_index *index, const struct question *question);
    const uint8_t *stream;
    enum frag_clock clock;
    struct kn_wall from, to;
    uint64_t sequence;
    const struct frag_record_key *key;
    struct frag_index_found *found; /* the answer */
    size_t max;
};

static int ask_number(struct frag_index *index, const struct question *question) {
    return frag_index_find_sequence(index, question->stream, question->sequence, question->found);
}

static int ask_time(struct frag_index *index, const struct question *question) {
    return frag_index_find_time(index, question->stream, question->clock, question->to,
                                question->found);
}

static int ask_earliest(struct frag_index *index, const struct question *question) {
    return frag_index_earliest(index, question->stream, question->found);
}

static int ask_latest(struct frag_index *index, const struct question *question) {
    return frag_index_latest(index, question->stream, question->found);
}

static int ask_range(struct frag_index *index, const struct question *question) {
    return frag_index_range_of_key(index, question->stream, question->clock, question->from,
                                   question->to, question->sequence, question->key, question->found,
                                   question->max);
}

/* As the index answers, which sees what begins at `visible` or later. */
static int ask(struct frag_archive *archive, struct kn_wall visible,
               const struct question *question) {
    frag_index_see_from(archive->index, visible);
    int rc = question->ask(archive->index, question);
    if (rc == KN_E_MALFORMED && frag_archive_reopen(archive) == 0) {
        frag_index_see_from(archive->index, visible);
        rc = question->ask(archive->index, question);
    }
    return rc;
}

static int look_up(struct frag_archive *archive, struct frag_stream *stream,
                   struct question *question) {
    struct frag_store *store = archive->store;
    struct kn_wall now = store->clock->wall(store->clock);
    pthread_mutex_lock(&stream->lock);
    bool deleting = stream->deleting;
    struct kn_wall visible = frag_stream_visible_from(stream, now);
    pthread_mutex_unlock(&stream->lock);
    frag_archive_refresh(archive);
    question->stream = stream->id;
    return deleting ? -ENOENT : ask(archive, visible, question);
}

static int look_up_one(struct frag_archive *archive, struct frag_stream *stream,
                       struct question question, struct frag_entry *ret_entry) {
    struct frag_index_found found;
    question.found = &found;
    int rc = look_up(archive, stream, &question);
    if (rc == 0) {
        *ret_entry = frag_archive_entry_of(found.reel, &found.row, stream->id);
    }
    return rc;
}

int frag_archive_find_number(struct frag_archive *archive, struct frag_stream *stream,
                             uint64_t sequence, struct frag_entry *ret_entry) {
    return look_up_one(archive, stream, (struct question){.ask = ask_number, .sequence = sequence},
                       ret_entry);
}

int frag_archive_find_time(struct frag_archive *archive, struct frag_stream *stream,
                           enum frag_clock clock, struct kn_wall time,
                           struct frag_entry *ret_entry) {
    return look_up_one(archive, stream,
                       (struct question){.ask = ask_time, .clock = clock, .to = time}, ret_entry);
}

int frag_archive_earliest(struct frag_archive *archive, struct frag_stream *stream,
                          struct frag_entry *ret_entry) {
    return look_up_one(archive, stream, (struct question){.ask = ask_earliest}, ret_entry);
}

int frag_archive_latest(struct frag_archive *archive, struct frag_stream *stream,
                        struct frag_entry *ret_entry) {
    return look_up_one(archive, stream, (struct question){.ask = ask_latest}, ret_entry);
}

int frag_archive_range(struct frag_archive *archive, struct frag_stream *stream,
                       enum frag_clock clock, struct kn_wall from, struct kn_wall to,
                       uint64_t after, struct frag_entry *entries, size_t max) {
    return frag_archive_range_of_key(archive, stream, clock, from, to, after, NULL, entries, max);
}

int frag_archive_range_of_key(struct frag_archive *archive, struct frag_stream *stream,
                              enum frag_clock clock, struct kn_wall from, struct kn_wall to,
                              uint64_t after, const struct frag_record_key *key,
                              struct frag_entry *entries, size_t max) {
    KN_ASSERT(max >= 1 && max <= FRAG_ARCHIVE_RANGE_MAX);
    struct question question = {.ask = ask_range,
                                .clock = clock,
                                .from = from,
                                .to = to,
                                .sequence = after,
                                .key = key,
                                .max = max};
    question.found = calloc(max, sizeof(*question.found));
    if (question.found == NULL) {
        return -ENOMEM;
    }
    int rc = look_up(archive, stream, &question);
    for (int i = 0; i < rc; i++) {
        const struct frag_index_found *found = &question.found[i];
        entries[i] = frag_archive_entry_of(found->reel, &found->row, stream->id);
    }
    free(question.found);
    return rc;
}

int frag_archive_locate(struct frag_archive *archive, const struct frag_entry *entry,
                        struct frag_entry *ret_entry) {
    struct frag_index_found found;
    const struct question question = {.ask = ask_number,
                                      .stream = entry->stream,
                                      .sequence = entry->number.sequence,
                                      .found = &found};
    int rc = ask(archive, (struct kn_wall){INT64_MIN}, &question);
    if (rc == 0) {
        *ret_entry = frag_archive_entry_of(found.reel, &found.row, entry->stream);
    }
    return rc;
}
_Static_assert(FRAG_ARCHIVE_RANGE_MAX <= FRAG_INDEX_RANGE_MAX, "ranges are the index's");
