/* One tick of a disk: append what all streams have ready, sync every reel that got something, close
 * those that are full or over, and tell the clerk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/disk.h"

#define IDLE_NS (30 * KN_NS_PER_S)
/* How long a folder that failed is not preferred; twice as long with each failure in a row. */
#define AVOID_NS (10 * KN_NS_PER_S)
#define AVOID_MOST_NS (10 * 60 * KN_NS_PER_S)
#define PATH_BYTES ((size_t)4096 + FRAG_REEL_PATH_BYTES)

struct frag_open_reel *frag_open_reel_ref(struct frag_open_reel *reel) {
    (void)atomic_fetch_add(&reel->refs, 1);
    return reel;
}

void frag_open_reel_unref(struct frag_open_reel *reel) {
    if (reel == NULL || atomic_fetch_sub(&reel->refs, 1) > 1) {
        return;
    }
    kn_tracks_unref(reel->tracks);
    frag_session_unref(reel->session);
    free(reel);
}

/* ---- which reel ---- */

static int64_t period_of(const struct frag_stream *stream, struct kn_wall server) {
    int64_t stagger = (int64_t)(stream->id[0] << 8 | stream->id[1]) % 600 * KN_NS_PER_S;
    int64_t shifted = server.ns > INT64_MAX - stagger ? server.ns : server.ns + stagger;
    return shifted / FRAG_REEL_CLOSE_NS - (shifted < 0 ? 1 : 0);
}

static bool within(struct kn_wall min, struct kn_wall max, struct kn_wall time, int64_t span_ns) {
    int64_t low = time.ns < min.ns ? time.ns : min.ns;
    int64_t high = time.ns > max.ns ? time.ns : max.ns;
    int64_t distance = 0;
    return !__builtin_sub_overflow(high, low, &distance) && distance <= span_ns;
}

/* Retention takes whole reels that are closed: a small disk must hold many of them. */
static uint64_t close_bytes(const struct frag_folder *folder) {
    uint64_t share = atomic_load(&folder->total_bytes) / FRAG_REELS_A_DISK;
    return share > 0 && share < FRAG_REEL_CLOSE_BYTES ? share : FRAG_REEL_CLOSE_BYTES;
}

static bool fits(const struct frag_open_reel *reel, const struct frag_write *write) {
    const struct frag_fragment *fragment = write->fragment;
    const struct frag_fragment_start *start = &fragment->start;
    return !write->fresh_reel && kn_tracks_equal(reel->tracks, fragment->tracks) &&
           frag_reel_bytes(reel->reel) + frag_write_weight(write) <= close_bytes(reel->folder) &&
           frag_reel_fragments(reel->reel) < FRAG_REEL_ROWS_MAX &&
           period_of(reel->session->stream, start->server) == reel->period &&
           within(reel->server_min, reel->server_max, start->server, FRAG_REEL_SPAN_NS) &&
           within(reel->producer_min, reel->producer_max, start->producer, FRAG_REEL_SPAN_NS) &&
           within(reel->producer_end, reel->producer_end, start->producer, FRAG_REEL_JUMP_NS);
}

static struct frag_open_reel **place_of(const struct frag_tick *tick,
                                        struct frag_session *session) {
    return &session->reels[tick->folder - tick->folder->store->folders];
}

static struct frag_reel_identity identity_for(const struct frag_write *write) {
    struct frag_session *session = write->session;
    struct frag_store *store = session->stream->store;
    struct frag_reel_identity identity = {
        .flags = (uint16_t)((session->config.relative ? FRAG_REEL_RELATIVE : 0) |
                            (session->records ? FRAG_REEL_RECORDS : 0)),
        .epoch = store->epoch,
        .opened = write->fragment->start.server,
        .producer_start =
            session->config.relative ? session->config.producer_start : (struct kn_wall){0},
        .timecode_scale_ns = session->config.timecode_scale_ns,
        .number_low = session->number_low,
        .producer_header_bytes = (uint32_t)session->config.header_bytes,
    };
    memcpy(identity.store_id, store->id, FRAG_ID_BYTES);
    memcpy(identity.stream_id, session->stream->id, FRAG_ID_BYTES);
    memcpy(identity.session_id, session->id, FRAG_ID_BYTES);
    frag_random_bytes(&store->random, identity.reel_id, FRAG_ID_BYTES);
    return identity;
}

static int open_reel(const struct frag_tick *tick, const struct frag_write *write,
                     struct frag_open_reel **ret_reel) {
    struct frag_session *session = write->session;
    const struct frag_fragment_start *start = &write->fragment->start;
    struct frag_open_reel *reel = calloc(1, sizeof(*reel));
    if (reel == NULL) {
        return -ENOMEM;
    }
    reel->identity = identity_for(write);
    const struct frag_reel_config config = {
        .io = tick->folder->store->io,
        .folder = tick->folder->path,
        .identity = reel->identity,
        .stream_name = session->stream->name,
        .tracks = write->fragment->tracks,
        .producer_header = session->config.header,
        .sparing = frag_folder_is_scarce(tick->folder),
    };
    int rc = frag_folder_check(tick->folder);
    rc = rc < 0 ? rc : frag_reel_create(&config, &reel->reel);
    if (rc < 0) {
        free(reel);
        return rc;
    }
    atomic_init(&reel->refs, 1);
    reel->session = frag_session_ref(session);
    reel->folder = tick->folder;
    (void)strncpy(reel->path, frag_reel_path(reel->reel), sizeof(reel->path) - 1);
    reel->tracks = kn_tracks_ref(write->fragment->tracks);
    reel->head_bytes = frag_reel_bytes(reel->reel);
    reel->told_bytes = reel->head_bytes;
    reel->period = period_of(session->stream, start->server);
    reel->server_min = reel->server_max = start->server;
    reel->producer_min = reel->producer_max = reel->producer_end = start->producer;
    reel->next = *tick->reels;
    *tick->reels = reel;
    *place_of(tick, session) = reel;
    *ret_reel = reel;
    return 0;
}

/* ---- giving up and closing ---- */

/* What fails while it is avoided already is the same failure: all its reels meet it. */
static void avoid(struct frag_folder *folder) {
    const struct kn_clock *clock = folder->store->clock;
    int64_t now_ns = clock->mono(clock).ns;
    if (folder->avoid_ns == 0) {
        folder->avoid_ns = AVOID_NS;
    } else if (now_ns >= atomic_load(&folder->avoid_until_ns)) {
        folder->avoid_ns =
            folder->avoid_ns < AVOID_MOST_NS / 2 ? folder->avoid_ns * 2 : AVOID_MOST_NS;
    }
    atomic_store(&folder->avoid_until_ns, now_ns + folder->avoid_ns);
}

/* The folder is full or failing: the next fragments go elsewhere, if there is an elsewhere. */
static void blame_folder(struct frag_folder *folder, int error, const char *path) {
    if (!atomic_load(&folder->astray)) { /* that was said once */
        kn_log_error("reel given up: it could not be written", kn_str("folder", folder->path),
                     kn_str("reel", path), kn_err("error", error));
    }
    avoid(folder);
    if (error == -ENOSPC || error == -EDQUOT) {
        frag_folder_found_full(folder);
    }
}

static void leave(const struct frag_tick *tick, struct frag_open_reel *reel) {
    struct frag_open_reel **place = place_of(tick, reel->session);
    if (*place == reel) {
        *place = NULL;
    }
}

/* Of a reel in which nothing counts: no seal is needed once its name is gone for good. */
static bool remove_file(struct frag_io *io, char *path) {
    if (io->unlink(io, path) < 0) {
        return false;
    }
    *strrchr(path, '/') = '\0';
    return io->sync_folder(io, path) == 0;
}

/* What was allocated ahead, too. Not synced: the seal says what counts. */
static void cut_file(struct frag_io *io, const char *path, uint64_t bytes) {
    int fd = io->open(io, path, FRAG_IO_WRITE);
    if (fd >= 0) {
        (void)io->truncate(io, fd, bytes);
        (void)io->close(io, fd);
    }
}

/* A file that nobody knows of, or its rest, would take room that retention cannot win back. As far
 * as the disk lets us. */
static void clear_away(struct frag_open_reel *reel, bool cut) {
    struct frag_io *io = reel->folder->store->io;
    char path[PATH_BYTES];
    if (frag_folder_join(reel->folder, reel->path, path, sizeof(path)) < 0) {
        return;
    }
    if (reel->durable_bytes == 0 && !reel->told) {
        reel->removed = remove_file(io, path);
    } else if (reel->durable_bytes > 0 && cut) {
        cut_file(io, path, reel->durable_bytes);
    }
}

/* A failed sync is final: what it held since the last one is lost. */
static void give_up(const struct frag_tick *tick, struct frag_open_reel *reel, int error) {
    reel->durable_bytes = frag_reel_durable_bytes(reel->reel);
    frag_reel_abandon(reel->reel);
    reel->reel = NULL;
    reel->error = error;
    leave(tick, reel);
    blame_folder(tick->folder, error, reel->path);
    clear_away(reel, true);
}

static void close_reel(const struct frag_tick *tick, struct frag_open_reel *reel) {
    struct frag_store *store = tick->folder->store;
    uint64_t durable = frag_reel_durable_bytes(reel->reel);
    uint64_t bytes = 0;
    int rc = frag_reel_close(reel->reel, &bytes);
    (void)atomic_fetch_add(&store->syncs, 2);
    reel->reel = NULL;
    reel->dirty = false;
    leave(tick, reel);
    if (rc == 0) {
        reel->closed_bytes = bytes;
        return;
    }
    (void)atomic_fetch_add(&store->sync_errors, 1);
    reel->durable_bytes = durable;
    reel->error = rc;
    blame_folder(tick->folder, rc, reel->path);
    clear_away(reel, false); /* its page may say already that it is closed */
}

/* ---- appending ---- */

/* Nothing was written and the reel goes on: the fragment alone is at fault. */
static bool is_refusal(int rc) {
    return rc == -EINVAL || rc == -ENOMEM || rc == -ERANGE || rc == KN_E_MALFORMED ||
           rc == KN_E_LIMIT || rc == KN_E_UNSUPPORTED;
}

static void fill_row(struct frag_write *write) {
    const struct frag_fragment *fragment = write->fragment;
    write->row = (struct frag_reel_row){
        .number = fragment->start.number,
        .ordinal = fragment->start.ordinal,
        .discontinuities = fragment->start.discontinuities,
        .producer = fragment->start.producer,
        .server = fragment->start.server,
        .duration_ns = fragment->duration_ns,
        .frames = (uint32_t)fragment->sample_count,
        .flags = (uint16_t)fragment->start.flags,
        .received_unknown = write->received_unknown ? 1 : 0,
        .received_width = write->received_width,
        .before_bytes = write->before_bytes,
        .after_bytes = write->after_bytes,
    };
}

static int append_slices(struct frag_open_reel *reel, struct frag_write *write,
                         const struct iovec *slices, size_t count, uint64_t bytes) {
    const uint8_t *before = write->before_bytes > 0 ? write->around : NULL;
    const uint8_t *after = write->after_bytes > 0 ? write->around + write->before_bytes : NULL;
    return frag_reel_append(reel->reel, &write->row, slices, count, bytes, before, after);
}

static int append_received(struct frag_open_reel *reel, struct frag_write *write) {
    const struct kn_buffer *received = write->received;
    size_t body = received->size - write->received_head;
    uint8_t head[FRAG_REEL_CLUSTER_HEAD_BYTES];
    struct kn_writer writer;
    kn_writer_init(&writer, head, sizeof(head));
    kn_write_be32(&writer, FRAG_MKV_CLUSTER);
    kn_write_be64(&writer, UINT64_C(1) << 56 | body);
    const struct iovec slices[] = {
        {.iov_base = head, .iov_len = sizeof(head)},
        {.iov_base = (void *)(uintptr_t)(received->data + write->received_head), .iov_len = body},
    };
    return append_slices(reel, write, slices, KN_COUNT(slices), sizeof(head) + body);
}

static int append_samples(const struct frag_tick *tick, struct frag_open_reel *reel,
                          struct frag_write *write) {
    const struct frag_fragment *fragment = write->fragment;
    struct frag_mkv_cluster cluster;
    int rc = frag_mkv_pack_cluster(tick->packer, fragment->tracks,
                                   write->session->config.timecode_scale_ns, write->timecode,
                                   fragment->samples, fragment->sample_count, &cluster);
    return rc < 0 ? rc : append_slices(reel, write, cluster.iov, cluster.iov_count, cluster.bytes);
}

static void widen(struct kn_wall *min, struct kn_wall *max, struct kn_wall time) {
    min->ns = time.ns < min->ns ? time.ns : min->ns;
    max->ns = time.ns > max->ns ? time.ns : max->ns;
}

static int append(const struct frag_tick *tick, struct frag_open_reel *reel,
                  struct frag_write *write) {
    fill_row(write);
    int rc =
        write->received != NULL ? append_received(reel, write) : append_samples(tick, reel, write);
    if (rc < 0) {
        return rc;
    }
    const struct frag_reel_row *row = &write->row;
    reel->dirty = true;
    reel->told_bytes += row->cluster_bytes + row->trailer_bytes;
    widen(&reel->server_min, &reel->server_max, row->server);
    widen(&reel->producer_min, &reel->producer_max, row->producer);
    reel->producer_end.ns = row->producer.ns + row->duration_ns;
    return 0;
}

/* Gives the reel a reference for the event that will speak of it. */
static struct frag_open_reel *write_one(const struct frag_tick *tick, struct frag_write *write) {
    struct frag_open_reel *reel = *place_of(tick, write->session);
    int rc = atomic_load(&tick->folder->full) ? -ENOSPC : 0;
    if (rc == 0 && reel != NULL && !fits(reel, write)) {
        close_reel(tick, reel);
        reel = NULL;
    }
    if (rc == 0 && reel == NULL) {
        rc = open_reel(tick, write, &reel);
        if (rc < 0 && !is_refusal(rc)) {
            blame_folder(tick->folder, rc, write->session->stream->name);
        }
    }
    if (rc == 0) {
        rc = append(tick, reel, write);
        if (rc < 0 && !is_refusal(rc)) {
            give_up(tick, reel, rc);
        }
    }
    write->error = rc;
    (void)atomic_fetch_sub(&write->session->pending, 1);
    return rc == 0 ? frag_open_reel_ref(reel) : NULL;
}

/* ---- the tick ---- */

/* By the machine's own clock: a replay's stands still. */
static int sync_reel(struct frag_store *store, struct frag_open_reel *reel) {
    const struct kn_clock *clock = kn_clock_system();
    struct kn_mono begin = clock->mono(clock);
    int rc = frag_reel_sync(reel->reel);
    frag_times_count(&store->sync_times, clock->mono(clock).ns - begin.ns);
    (void)atomic_fetch_add(&store->syncs, 1);
    return rc;
}

static void sync_reels(const struct frag_tick *tick) {
    struct frag_store *store = tick->folder->store;
    for (struct frag_open_reel *reel = *tick->reels; reel != NULL; reel = reel->next) {
        if (reel->dirty && reel->reel != NULL) {
            /* Only a start: what fails here fails in the sync too. */
            (void)frag_reel_start_write_back(reel->reel);
        }
    }
    for (struct frag_open_reel *reel = *tick->reels; reel != NULL; reel = reel->next) {
        if (!reel->dirty || reel->reel == NULL) {
            continue;
        }
        reel->dirty = false;
        int rc = sync_reel(store, reel);
        if (rc < 0) {
            (void)atomic_fetch_add(&store->sync_errors, 1);
            give_up(tick, reel, rc);
        } else {
            tick->folder->avoid_ns = 0;
        }
    }
}

static void close_old(const struct frag_tick *tick, bool close_all) {
    const struct kn_clock *clock = tick->folder->store->clock;
    struct kn_wall now = clock->wall(clock);
    for (struct frag_open_reel *reel = *tick->reels; reel != NULL; reel = reel->next) {
        struct frag_session *session = reel->session;
        bool over = atomic_load(&session->ended) && atomic_load(&session->pending) == 0;
        bool idle = period_of(session->stream, now) != reel->period &&
                    !within(reel->server_max, reel->server_max, now, IDLE_NS);
        if (reel->reel != NULL && (over || idle || close_all)) {
            close_reel(tick, reel);
        }
    }
}

static void add_event(struct frag_batch *batch, struct frag_event event) {
    KN_ASSERT(batch->count < batch->room);
    batch->events[batch->count++] = event;
}

/* New reels first, then fragments in their order, then the ends of reels. */
static void tell_opened(const struct frag_tick *tick, struct frag_batch *batch) {
    for (struct frag_open_reel *reel = *tick->reels; reel != NULL; reel = reel->next) {
        if (!reel->told && !(reel->error < 0 && reel->durable_bytes == 0)) {
            reel->told = true;
            add_event(batch, (struct frag_event){.kind = FRAG_EVENT_OPENED,
                                                 .reel = frag_open_reel_ref(reel)});
        }
    }
}

static void tell_written(struct frag_batch *batch, struct frag_write *write,
                         struct frag_open_reel *reel) {
    if (reel != NULL && reel->error < 0 &&
        write->row.cluster_at + write->row.cluster_bytes + write->row.trailer_bytes >
            reel->durable_bytes) {
        write->error = reel->error;
    }
    add_event(batch, (struct frag_event){.kind = FRAG_EVENT_WRITTEN, .reel = reel, .write = write});
}

static void tell_ended(const struct frag_tick *tick, struct frag_batch *batch) {
    struct frag_open_reel **link = tick->reels;
    while (*link != NULL) {
        struct frag_open_reel *reel = *link;
        if (reel->reel != NULL) {
            link = &reel->next;
            continue;
        }
        *link = reel->next;
        if (reel->removed) {
            frag_open_reel_unref(reel);
            continue;
        }
        bool sealed = reel->error < 0;
        add_event(batch,
                  (struct frag_event){.kind = sealed ? FRAG_EVENT_SEALED : FRAG_EVENT_CLOSED,
                                      .reel = reel, /* with the disk's reference */
                                      .bytes = sealed ? reel->durable_bytes : reel->closed_bytes});
    }
}

static size_t count_reels(const struct frag_tick *tick) {
    size_t count = 0;
    for (struct frag_open_reel *reel = *tick->reels; reel != NULL; reel = reel->next) {
        count++;
    }
    return count;
}

static struct frag_batch *create_batch(const struct frag_tick *tick, size_t writes) {
    /* Each write may open a reel and end another. */
    size_t room = 3 * writes + 2 * count_reels(tick);
    struct frag_batch *batch = malloc(sizeof(*batch) + room * sizeof(batch->events[0]));
    if (batch != NULL) {
        *batch = (struct frag_batch){.job = {.run = frag_batch_run, .store = tick->folder->store},
                                     .room = room};
    }
    return batch;
}

static void fail_all(struct frag_write **writes, size_t count, int error) {
    for (size_t i = 0; i < count; i++) {
        const struct frag_fragment_start *start = &writes[i]->fragment->start;
        const struct frag_gap_entry gap = {
            .gap = {.from = start->server, .to = start->server, .cause = FRAG_GAP_SLOW_DISK},
            .open = true,
            .ordinal = start->ordinal,
            .ordinals = 1,
        };
        frag_gaps_note(writes[i]->session->stream, &gap);
        (void)atomic_fetch_sub(&writes[i]->session->pending, 1);
        frag_write_finish(writes[i], error);
    }
}

void frag_tick_run(const struct frag_tick *tick, struct frag_write **writes, size_t count,
                   bool close_all) {
    struct frag_batch *batch = create_batch(tick, count);
    struct frag_open_reel **reels = malloc((count + 1) * sizeof(struct frag_open_reel *));
    if (batch == NULL || reels == NULL) {
        free(batch);
        free(reels);
        fail_all(writes, count, -ENOMEM);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        reels[i] = write_one(tick, writes[i]);
    }
    sync_reels(tick);
    close_old(tick, close_all);
    tell_opened(tick, batch);
    for (size_t i = 0; i < count; i++) {
        tell_written(batch, writes[i], reels[i]);
    }
    tell_ended(tick, batch);
    free(reels);
    if (batch->count == 0) {
        free(batch);
        return;
    }
    (void)atomic_fetch_add(&tick->folder->store->queued_rows, batch->count);
    if (frag_clerk_send(tick->folder->store, &batch->job) < 0) {
        batch->job.run(&batch->job); /* never: the clerk ends after the disks */
    }
}
