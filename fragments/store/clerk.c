/* The clerk: the only writer of index and journal. Disks tell it what became durable; it writes the
 * rows, then settles and acknowledges. What cannot be written now (disk full, an error) waits and
 * is tried again; nothing is acknowledged before. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/disk.h"

#define CLERK_QUEUE 1024
#define CLERK_WAIT_NS (500 * KN_NS_PER_MS)

/* ---- rows ---- */

static int open_reel(struct frag_index *index, struct frag_open_reel *reel) {
    const struct frag_index_reel row = {
        .identity = reel->identity,
        .folder = reel->folder->number,
        .path = reel->path,
        .bytes = reel->head_bytes,
    };
    return frag_index_add_reel(index, &row, &reel->index_row);
}

/* Rows were checked when they were appended: what the index still refuses is a fault of ours. The
 * fragment is on disk; recovery at the next start finds it. */
static int unless_refused(int rc, struct frag_open_reel *reel) {
    if (rc != -EINVAL && rc != -ENOENT && rc != -EEXIST && rc != KN_E_LIMIT) {
        return rc;
    }
    reel->index_failed = true;
    kn_log_error("index refuses a row of a reel; the next start reads the reel again",
                 kn_str("reel", reel->path), kn_err("error", rc));
    return 0;
}

static int add_written(struct frag_index *index, const struct frag_open_reel *reel,
                       const struct frag_write *write) {
    int rc = frag_index_add_fragment(index, reel->index_row, &write->row);
    return rc < 0 ? rc
                  : frag_index_add_keys(index, reel->index_row, write->row.number.sequence,
                                        write->keys, write->key_count);
}

static int write_event(struct frag_index *index, const struct frag_event *event) {
    struct frag_open_reel *reel = event->reel;
    if (reel == NULL || (reel->index_failed && event->kind != FRAG_EVENT_OPENED)) {
        return 0;
    }
    switch (event->kind) {
    case FRAG_EVENT_OPENED:
        return unless_refused(open_reel(index, reel), reel);
    case FRAG_EVENT_WRITTEN:
        return event->write->error < 0
                   ? 0
                   : unless_refused(add_written(index, reel, event->write), reel);
    case FRAG_EVENT_CLOSED:
        return unless_refused(frag_index_close_reel(index, reel->index_row, event->bytes), reel);
    case FRAG_EVENT_SEALED:
        return 0; /* its row stays open until the next start closes it */
    }
    return 0;
}

static int write_rows(struct frag_index *index, const struct frag_batch *batch) {
    int rc = frag_index_begin(index);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < batch->count && rc >= 0; i++) {
        rc = write_event(index, &batch->events[i]);
    }
    if (rc < 0) {
        frag_index_rollback(index);
        return rc;
    }
    return frag_index_commit(index, false);
}

/* Before its failed fragments are answered: else a recovery might bring them back. */
static int write_seals(struct frag_store *store, const struct frag_batch *batch) {
    int rc = 0;
    for (size_t i = 0; i < batch->count && rc >= 0; i++) {
        const struct frag_event *event = &batch->events[i];
        if (event->kind != FRAG_EVENT_SEALED) {
            continue;
        }
        struct frag_value_seal seal = {.bytes = event->bytes};
        uint8_t room[64];
        struct kn_writer writer;
        kn_writer_init(&writer, room, sizeof(room));
        memcpy(seal.stream, event->reel->identity.stream_id, FRAG_ID_BYTES);
        frag_value_write_seal(&writer, &seal);
        rc = kn_writer_status(&writer);
        rc = rc < 0 ? rc
                    : frag_catalog_put(store->clerk.catalog, FRAG_CATALOG_SEAL,
                                       event->reel->identity.reel_id, FRAG_ID_BYTES, writer.data,
                                       writer.size);
    }
    return rc;
}

/* ---- what follows from it ---- */

static enum frag_gap_cause cause_of(int error) {
    switch (error) {
    case -ENOSPC:
    case -EDQUOT:
        return FRAG_GAP_DISK_FULL;
    case -EAGAIN:
    case KN_E_MEMORY_LIMIT:
        return FRAG_GAP_SLOW_DISK;
    default:
        return FRAG_GAP_SYNC_ERROR;
    }
}

static void note_failure(struct frag_stream *stream, const struct frag_write *write) {
    const struct frag_gap_entry gap = {
        .gap = {.from = write->fragment->start.server,
                .to = write->fragment->start.server,
                .cause = cause_of(write->error)},
        .open = true,
        .ordinal = write->fragment->start.ordinal,
        .ordinals = 1,
    };
    int rc = frag_gaps_open(stream, &gap);
    if (rc < 0) {
        kn_log_error("gap not written down", kn_str("stream", stream->name), kn_err("error", rc));
    }
}

static void finish_write(struct frag_event *event) {
    struct frag_write *write = event->write;
    struct frag_stream *stream = write->session->stream;
    struct frag_number number = write->fragment->start.number;
    frag_gaps_take_notes_of(stream);
    if (write->error < 0) {
        note_failure(stream, write);
        frag_write_finish(write, write->error);
        return;
    }
    frag_totals_grow(stream, write->row.cluster_bytes + write->row.trailer_bytes, 1);
    struct kn_wall server = write->fragment->start.server;
    if (stream->gap_open) {
        int rc = frag_gaps_close(stream, server);
        if (rc < 0) {
            kn_log_error("end of a gap not written down", kn_str("stream", stream->name),
                         kn_err("error", rc));
        }
    }
    frag_write_finish(write, 0);
    frag_tail_forget(stream->tail, number);
}

static void finish_batch(struct frag_batch *batch) {
    (void)atomic_fetch_sub(&batch->job.store->queued_rows, batch->count);
    for (size_t i = 0; i < batch->count; i++) {
        struct frag_event *event = &batch->events[i];
        struct frag_open_reel *reel = event->reel;
        if (event->kind == FRAG_EVENT_OPENED) {
            frag_totals_reel(reel->session->stream, 1, reel->head_bytes, 0);
        } else if (event->kind == FRAG_EVENT_CLOSED && event->bytes > reel->told_bytes) {
            frag_totals_grow(reel->session->stream, event->bytes - reel->told_bytes, 0);
        }
        if (event->write != NULL) {
            finish_write(event);
        }
        frag_open_reel_unref(reel);
    }
    free(batch);
}

static int open_index(struct frag_store *store) {
    if (store->clerk.index != NULL) {
        return 0;
    }
    return frag_index_open(store->index_path, FRAG_INDEX_WRITE, &store->clerk.index);
}

static void tell_error(const struct frag_store *store, int rc) {
    if (rc == KN_E_MALFORMED) {
        kn_log_error("index is damaged: nothing is acknowledged until the store is opened again, "
                     "which makes it anew",
                     kn_str("data", store->data), kn_err("error", rc));
    } else {
        kn_log_error("index or journal cannot be written: nothing is acknowledged until they can; "
                     "trying again",
                     kn_str("data", store->data), kn_err("error", rc));
    }
}

static int apply(struct frag_store *store, struct frag_batch *batch) {
    struct frag_clerk *clerk = &store->clerk;
    int rc = write_seals(store, batch);
    rc = rc < 0 ? rc : open_index(store);
    rc = rc < 0 ? rc : write_rows(clerk->index, batch);
    if (rc == -EIO || rc == KN_E_MALFORMED) {
        /* A connection whose sync failed never works again; another one may. */
        frag_index_close(clerk->index);
        clerk->index = NULL;
    }
    if (rc < 0) {
        if (clerk->error != rc) {
            tell_error(store, rc);
        }
        clerk->error = rc;
        atomic_store(&clerk->failing, true);
        return rc;
    }
    if (clerk->error != 0) {
        kn_log_info("index and journal are written again", kn_str("data", store->data));
        clerk->error = 0;
        atomic_store(&clerk->failing, false);
    }
    (void)atomic_fetch_add(&store->commits, 1);
    finish_batch(batch);
    return 0;
}

/* ---- jobs ---- */

int frag_clerk_retry(struct frag_store *store) {
    struct frag_clerk *clerk = &store->clerk;
    while (clerk->waiting != NULL) {
        struct frag_batch *batch = clerk->waiting;
        struct frag_batch *next = batch->next;
        int rc = apply(store, batch);
        if (rc < 0) {
            return rc;
        }
        clerk->waiting = next;
    }
    clerk->last_waiting = NULL;
    frag_gaps_take_notes(store);
    return 0;
}

void frag_batch_run(struct frag_job *job) {
    struct frag_batch *batch = (struct frag_batch *)job;
    struct frag_clerk *clerk = &job->store->clerk;
    batch->next = NULL;
    if (clerk->last_waiting != NULL) {
        clerk->last_waiting->next = batch;
    } else {
        clerk->waiting = batch;
    }
    clerk->last_waiting = batch;
    /* After a failure the clock decides when it is tried again, not the next batch. */
    if (clerk->waiting == batch) {
        (void)frag_clerk_retry(job->store);
    }
}

void frag_clerk_drop(struct frag_store *store) {
    struct frag_batch *batch = store->clerk.waiting;
    store->clerk.waiting = NULL;
    store->clerk.last_waiting = NULL;
    while (batch != NULL) {
        struct frag_batch *next = batch->next;
        (void)atomic_fetch_sub(&store->queued_rows, batch->count);
        for (size_t i = 0; i < batch->count; i++) {
            if (batch->events[i].write != NULL) {
                frag_write_finish(batch->events[i].write, -ECANCELED);
            }
            frag_open_reel_unref(batch->events[i].reel);
        }
        free(batch);
        batch = next;
    }
}

/* ---- calls ---- */

struct call {
    struct frag_job job; /* first; on the caller's stack */
    int (*work)(struct frag_store *store, void *user);
    void *user;
    int answer;
    bool done;
    pthread_mutex_t lock;
    pthread_cond_t finished;
};

static void run_call(struct frag_job *job) {
    struct call *call = (struct call *)job;
    int answer = call->work(job->store, call->user);
    (void)pthread_mutex_lock(&call->lock);
    call->answer = answer;
    call->done = true;
    (void)pthread_cond_signal(&call->finished);
    (void)pthread_mutex_unlock(&call->lock);
}

static int wait_for(struct call *call) {
    (void)pthread_mutex_lock(&call->lock);
    while (!call->done) {
        (void)pthread_cond_wait(&call->finished, &call->lock);
    }
    (void)pthread_mutex_unlock(&call->lock);
    return call->answer;
}

int frag_clerk_call(struct frag_store *store, int (*work)(struct frag_store *store, void *user),
                    void *user) {
    if (!store->clerk.started) {
        return work(store, user);
    }
    struct call call = {
        .job = {.run = run_call, .store = store}, .work = work, .user = user, .answer = -EIO};
    (void)pthread_mutex_init(&call.lock, NULL);
    (void)pthread_cond_init(&call.finished, NULL);
    int rc = kn_queue_send(store->clerk.queue, &call.job, 1);
    rc = rc < 0 ? rc : wait_for(&call);
    (void)pthread_cond_destroy(&call.finished);
    (void)pthread_mutex_destroy(&call.lock);
    return rc;
}

int frag_clerk_send(struct frag_store *store, struct frag_job *job) {
    if (!store->clerk.started) {
        job->run(job);
        return 0;
    }
    return kn_queue_send(store->clerk.queue, job, 1);
}

/* ---- the thread ---- */

/* Jobs are never left in the queue: the thread takes all of them before it ends. */
static void discard(void *message, void *user) {
    (void)user;
    struct frag_job *job = message;
    job->run(job);
}

/* Real time, whatever the store's clock says. */
static int64_t mono_ns(void) {
    const struct kn_clock *clock = kn_clock_system();
    return clock->mono(clock).ns;
}

static void *clerk_main(void *user) {
    struct frag_store *store = user;
    void *messages[64];
    int64_t tried_ns = mono_ns();
    for (;;) {
        int count =
            kn_queue_wait_for(store->clerk.queue, messages, KN_COUNT(messages), CLERK_WAIT_NS);
        if (count == KN_E_CLOSED) {
            return NULL;
        }
        for (int i = 0; i < count; i++) {
            struct frag_job *job = messages[i];
            job->run(job);
        }
        /* With many streams there is always another batch: what waits is not to wait for a pause.
         */
        if (count <= 0 || mono_ns() - tried_ns >= CLERK_WAIT_NS) {
            (void)frag_clerk_retry(store); /* what fails is logged and tried again */
            tried_ns = mono_ns();
        }
    }
}

int frag_clerk_start(struct frag_store *store) {
    if (!store->threads) {
        return 0;
    }
    const struct kn_queue_config config = {
        .max_messages = CLERK_QUEUE, .when_full = KN_QUEUE_WAIT, .discard = discard};
    int rc = kn_queue_create(&config, &store->clerk.queue);
    if (rc < 0) {
        return rc;
    }
    rc = -pthread_create(&store->clerk.thread, NULL, clerk_main, store);
    if (rc == 0) {
        store->clerk.started = true;
        (void)pthread_setname_np(store->clerk.thread, "kn-index");
    }
    return rc;
}

void frag_clerk_stop(struct frag_store *store) {
    struct frag_clerk *clerk = &store->clerk;
    if (clerk->started) {
        kn_queue_close(clerk->queue);
        (void)pthread_join(clerk->thread, NULL);
        clerk->started = false;
    }
    kn_queue_destroy(clerk->queue);
    clerk->queue = NULL;
}
