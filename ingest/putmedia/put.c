/* One PutMedia body: its parts into the store, one after the other, and the acknowledgements out.
 *
 *   what comes                      what follows
 *   bytes                           parts (parts.h), the last of them open
 *   the first part's time           FIND: was it stored before? else it begins: BUFFERING
 *   the first part is sealed        SAME, where one of its time was stored; else it is submitted
 *   durable, or failed              RECEIVED and PERSISTED, or ERROR and the end
 *   end, error, drain, silence      no more bytes; what is whole is submitted, the writer closed
 *   the writer's last ack           the ERROR, if there is one: then it is over
 *
 * The writer belongs to the connection's thread, `acks` to all. The store holds a reference until
 * its last acknowledgement. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "ingest/putmedia/acks.h"
#include "ingest/putmedia/parts.h"
#include "ingest/putmedia/resend.h"

/* Taken apart at once: so many tiny fragments can wait at the most. */
#define SLICE_BYTES 16384u
#define SILENT_NS (10 * KN_NS_PER_S)
#define SILENT_MOST_NS (30 * KN_NS_PER_S)
/* All wait for memory that nobody gives back: then somebody has to. */
#define STARVED_MOST_NS (10 * KN_NS_PER_S)
#define SPARE_BYTES ((size_t)128 * 1024)

enum work { WORK_NONE, WORK_WANTED, WORK_DONE };
enum question { QUESTION_FIND, QUESTION_SAME };
/* Bytes come; they have ended and no part may be touched because of work; parts are done with. */
enum ending { GOING_ON, ENDING_WHOLE, ENDING_CUT, ENDING_SILENT, ENDED };

struct ing_put {
    atomic_size_t refs;
    struct ing_put_config config;
    struct ing_parts parts;
    struct ing_acks acks;
    struct frag_writer *writer; /* NULL: not open yet, or closed */
    enum ending ending;         /* of the body */
    bool stopped;               /* nothing more is taken or submitted */
    atomic_bool silent;         /* the writer has told its last, or never was */
    bool over;
    bool behind; /* the store takes nothing now */
    bool has_final;
    struct ing_ack final; /* the ERROR that ends it */
    struct frag_number begun;
    int64_t starved_ns; /* since when there is no memory; 0: there is */
    int64_t last_ns;    /* when bytes came */
    unsigned idles;     /* told since then */
    uint64_t bytes, fragments;
    /* What is behind `work` belongs to whoever does it while it is WANTED. */
    atomic_int work;
    enum question question;
    struct ing_part *part;
    struct ing_resend resend;
    bool same;
};

static int64_t now_ns(const struct ing_put *put) {
    return put->config.clock->mono(put->config.clock).ns;
}

static void unref(struct ing_put *put) {
    if (atomic_fetch_sub(&put->refs, 1) == 1) {
        ing_parts_finish(&put->parts);
        ing_acks_finish(&put->acks);
        if (put->config.closed != NULL) {
            put->config.closed(put->config.user);
        }
        free(put);
    }
}

static void wake(const struct ing_put *put) {
    if (put->config.wake != NULL) {
        put->config.wake(put->config.user);
    }
}

/* ---- acknowledgements, on any thread ---- */

static void tell(struct ing_put *put, enum ing_ack_kind kind, uint64_t timecode,
                 struct frag_number number) {
    const struct ing_ack ack = {
        .kind = kind,
        .has_timecode = true,
        .has_number = true,
        .timecode = timecode,
        .number = number,
    };
    ing_acks_add(&put->acks, &ack);
}

static void tell_stored(struct ing_put *put, uint64_t timecode, struct frag_number number) {
    tell(put, ING_ACK_RECEIVED, timecode, number);
    tell(put, ING_ACK_PERSISTED, timecode, number);
}

static void handle_ack(const struct frag_ack *ack, void *user) {
    struct ing_put *put = user;
    const struct ing_ack failure = {
        .kind = ING_ACK_ERROR,
        .has_timecode = true,
        .has_number = true,
        .timecode = ack->timecode,
        .number = ack->number,
        .error = ING_PUT_ARCHIVAL,
    };
    switch (ack->kind) {
    case FRAG_ACK_BUFFERING:
        put->begun = ack->number;
        tell(put, ING_ACK_BUFFERING, ack->timecode, ack->number);
        break;
    case FRAG_ACK_DURABLE:
        tell_stored(put, ack->timecode, ack->number);
        break;
    case FRAG_ACK_FAILED:
        ing_acks_fail(&put->acks, &failure);
        break;
    }
    wake(put);
}

static void handle_closed(void *user) {
    struct ing_put *put = user;
    atomic_store(&put->silent, true);
    wake(put);
    unref(put);
}

/* ---- the end ---- */

static void close_writer(struct ing_put *put, enum frag_gap_cause cause) {
    struct frag_writer *writer = put->writer;
    put->writer = NULL;
    if (writer != NULL) {
        frag_writer_abort(writer, cause); /* handle_closed follows, perhaps at once */
    }
}

static enum frag_gap_cause cause_of(const struct ing_put *put) {
    if (!put->has_final) {
        return FRAG_GAP_PRODUCER_AWAY;
    }
    return put->final.error == ING_PUT_CONNECTION ? FRAG_GAP_SHUTDOWN : FRAG_GAP_SOURCE_REFUSED;
}

static void stop(struct ing_put *put) {
    if (!put->stopped) {
        put->stopped = true;
        atomic_store(&put->silent, put->writer == NULL);
        close_writer(put, cause_of(put));
        wake(put);
    }
}

static bool is_deleted(const struct ing_put *put) {
    struct frag_stream *stream = put->config.stream;
    return frag_stream_find(frag_stream_store(stream), frag_stream_name(stream)) != stream;
}

static void fail(struct ing_put *put, enum ing_put_error error, const struct ing_part *part) {
    if (!put->has_final) {
        bool told = part != NULL && part->has_timecode;
        put->has_final = true;
        put->final = (struct ing_ack){
            .kind = ING_ACK_ERROR,
            .has_timecode = told,
            .timecode = told ? part->timecode : 0,
            .has_number = told && part->begun,
            .number = put->begun,
            .error = error,
        };
    }
    stop(put);
}

static enum ing_put_error error_of(const struct ing_put *put, int rc) {
    switch (rc) {
    case KN_E_CLOSED:
        return is_deleted(put) ? ING_PUT_DELETED : ING_PUT_CONNECTION;
    case KN_E_LIMIT:
        return ING_PUT_SIZE;
    case -EINVAL:
        return ING_PUT_INVALID;
    case -ENOMEM:
    case KN_E_MEMORY_LIMIT:
        return ING_PUT_INTERNAL;
    default:
        return ING_PUT_ARCHIVAL;
    }
}

/* ---- parts into the store ---- */

static int open_writer(struct ing_put *put) {
    struct ing_parts *parts = &put->parts;
    const struct frag_writer_config config = {
        .header = parts->header.data,
        .header_bytes = parts->header.size,
        .timecode_scale_ns = parts->timecode_scale_ns,
        .relative = put->config.relative,
        .producer_start = put->config.producer_start,
        .handle_ack = handle_ack,
        .handle_closed = handle_closed,
        .user = put,
    };
    (void)atomic_fetch_add(&put->refs, 1);
    int rc = frag_writer_open(put->config.stream, &config, &put->writer);
    if (rc < 0) {
        put->writer = NULL;
        (void)atomic_fetch_sub(&put->refs, 1); /* the caller's stays */
        return rc;
    }
    kn_writer_finish(&parts->header);
    return 0;
}

static bool begin(struct ing_put *put, struct ing_part *part) {
    int rc = put->writer == NULL ? open_writer(put) : 0;
    rc = rc < 0 ? rc : frag_writer_begin(put->writer, part->timecode, part->server);
    if (rc < 0) {
        fail(put, error_of(put, rc), part);
        return false;
    }
    part->begun = true;
    return true;
}

static bool submit(struct ing_put *put, struct ing_part *part) {
    const struct frag_received received = {
        .fragment = &part->fragment,
        .duration_ns = ing_put_duration(&part->fragment),
        .before = part->before.data,
        .before_bytes = part->before.size,
        .after = part->after.data,
        .after_bytes = part->after.size,
        .server = part->server,
    };
    int rc = frag_writer_received(put->writer, &received);
    put->behind = rc == -EAGAIN || rc == -ENOSPC || rc == KN_E_MEMORY_LIMIT;
    if (rc < 0 && !put->behind) {
        fail(put, error_of(put, rc), part);
    }
    if (rc < 0) {
        return false;
    }
    put->fragments++;
    ing_parts_drop_first(&put->parts);
    return true;
}

static bool ask(struct ing_put *put, struct ing_part *part, enum question question) {
    put->question = question;
    put->part = part;
    atomic_store(&put->work, WORK_WANTED);
    return false;
}

/* Whether there may be more to do. */
static bool step(struct ing_put *put) {
    struct ing_part *part = put->parts.first;
    if (part == NULL || !part->has_timecode) {
        return false;
    }
    if (!put->resend.over && !part->looked_up) {
        return ask(put, part, QUESTION_FIND);
    }
    if (!part->begun && !part->candidate && !begin(put, part)) {
        return false;
    }
    if (!part->sealed) {
        return false;
    }
    return part->candidate ? ask(put, part, QUESTION_SAME) : submit(put, part);
}

static void pump(struct ing_put *put) {
    while (!put->stopped && atomic_load(&put->work) == WORK_NONE && step(put)) {
        /* The next one. */
    }
    struct ing_parts *parts = &put->parts;
    if (put->stopped || (parts->first != NULL && parts->first->sealed)) {
        return;
    }
    if (parts->error != 0) {
        fail(put, (enum ing_put_error)parts->error, parts->first);
    } else if (put->ending == ENDED && parts->first == NULL) {
        stop(put);
    }
}

/* ---- work ---- */

bool ing_put_wants_work(const struct ing_put *put) {
    return !put->stopped && atomic_load(&put->work) == WORK_WANTED;
}

void ing_put_work(struct ing_put *put, struct frag_archive *archive) {
    struct frag_stream *stream = put->config.stream;
    put->same = false;
    if (archive == NULL) {
        put->resend.over = true;
        put->resend.found = false;
    } else if (put->question == QUESTION_FIND) {
        ing_resend_find(&put->resend, archive, stream,
                        ing_parts_time(&put->parts, put->part->time_ns));
    } else {
        put->same = ing_resend_same(archive, &put->part->stored, &put->part->fragment);
    }
    atomic_store(&put->work, WORK_DONE);
    wake(put);
}

static void take_answer(struct ing_put *put) {
    struct ing_part *part = put->part;
    atomic_store(&put->work, WORK_NONE);
    if (put->stopped) {
        return;
    }
    if (put->question == QUESTION_FIND) {
        part->looked_up = true;
        part->candidate = put->resend.found;
        part->stored = put->resend.entry;
        return;
    }
    part->candidate = false;
    if (put->same) {
        tell(put, ING_ACK_BUFFERING, part->timecode, part->stored.number);
        tell_stored(put, part->timecode, part->stored.number);
        ing_parts_drop_first(&put->parts);
    }
}

/* ---- bytes ---- */

/* The reader has no way back where it gets no memory: so it is asked for before. */
static bool has_memory(struct ing_put *put) {
    struct kn_budget *budget = frag_stream_budget(put->config.stream);
    size_t bytes = 2 * put->parts.cluster_bytes + SPARE_BYTES;
    if (kn_budget_claim(budget, bytes) == 0) {
        kn_budget_release(budget, bytes);
        put->starved_ns = 0;
        return true;
    }
    put->starved_ns = put->starved_ns == 0 ? now_ns(put) : put->starved_ns;
    return false;
}

static bool takes(struct ing_put *put) {
    return put->ending == GOING_ON && put->parts.error == 0 && !put->behind &&
           atomic_load(&put->work) == WORK_NONE && ing_acks_waiting(&put->acks) <= ING_ACKS_MANY;
}

size_t ing_put_push(struct ing_put *put, const void *data, size_t size) {
    size_t taken = 0;
    while (taken < size && !put->stopped && takes(put) && has_memory(put)) {
        size_t slice = size - taken < SLICE_BYTES ? size - taken : SLICE_BYTES;
        put->parts.now = put->config.clock->wall(put->config.clock);
        ing_parts_push(&put->parts, (const uint8_t *)data + taken, slice);
        put->bytes += slice;
        taken += slice;
        pump(put);
    }
    if (taken > 0) {
        put->last_ns = now_ns(put);
        put->idles = 0;
    }
    return put->stopped ? size : taken; /* the peer is to come to read why */
}

/* Work may have a part in its hands, so the end waits for it. */
static void settle_end(struct ing_put *put) {
    if (put->stopped || put->ending == GOING_ON || put->ending == ENDED ||
        atomic_load(&put->work) != WORK_NONE) {
        return;
    }
    struct ing_parts *parts = &put->parts;
    int error = parts->error;
    if (put->ending != ENDING_CUT && put->bytes > 0) {
        ing_parts_end(parts);
    }
    if (put->ending == ENDING_SILENT) {
        parts->error = error; /* a piece that is no whole fragment is nobody's mistake */
    }
    if (parts->error == error) {
        ing_parts_cut(parts);
    }
    put->ending = ENDED;
}

static void end(struct ing_put *put, enum ending ending) {
    if (put->ending == GOING_ON) {
        put->ending = ending;
    }
    settle_end(put);
    pump(put);
}

void ing_put_end(struct ing_put *put, bool whole) {
    end(put, whole ? ENDING_WHOLE : ENDING_CUT);
}

void ing_put_drain(struct ing_put *put) {
    if (!put->stopped && put->ending == GOING_ON && put->parts.error == 0) {
        put->parts.error = ING_PUT_CONNECTION;
        end(put, ENDING_CUT);
    }
}

/* ---- time ---- */

static void look_at_clock(struct ing_put *put) {
    static const struct ing_ack idle = {.kind = ING_ACK_IDLE};
    int64_t now = now_ns(put);
    if (put->starved_ns != 0 && now - put->starved_ns > STARVED_MOST_NS) {
        fail(put, ING_PUT_INTERNAL, put->parts.first);
    }
    if (put->stopped || put->ending != GOING_ON || put->behind || put->starved_ns != 0 ||
        atomic_load(&put->work) != WORK_NONE) {
        put->last_ns = now;
        return;
    }
    if (now - put->last_ns >= SILENT_MOST_NS) {
        end(put, ENDING_SILENT);
    } else if (now - put->last_ns >= (int64_t)(put->idles + 1) * SILENT_NS) {
        put->idles++;
        ing_acks_add(&put->acks, &idle);
    }
}

bool ing_put_turn(struct ing_put *put) {
    struct ing_ack failure;
    if (atomic_load(&put->work) == WORK_DONE) {
        take_answer(put);
    }
    if (!put->has_final && ing_acks_failed(&put->acks, &failure)) {
        put->has_final = true;
        put->final = failure;
        put->final.error = is_deleted(put) ? ING_PUT_DELETED : failure.error;
        stop(put);
    }
    settle_end(put);
    pump(put);
    look_at_clock(put);
    if (put->stopped && !put->over && atomic_load(&put->silent)) {
        put->over = true;
        if (put->has_final) {
            ing_acks_add(&put->acks, &put->final);
        }
    }
    return put->stopped || (takes(put) && (put->starved_ns == 0 || has_memory(put)));
}

/* ---- face ---- */

int ing_put_create(const struct ing_put_config *config, struct ing_put **ret_put) {
    struct ing_put *put = calloc(1, sizeof(*put));
    if (put == NULL) {
        return -ENOMEM;
    }
    atomic_init(&put->refs, 1);
    int rc = ing_parts_init(&put->parts, frag_stream_budget(config->stream));
    if (rc < 0) {
        ing_parts_finish(&put->parts);
        free(put);
        return rc;
    }
    ing_acks_init(&put->acks);
    put->config = *config;
    if (put->config.clock == NULL) {
        put->config.clock = kn_clock_system();
    }
    put->parts.relative = config->relative;
    put->parts.producer_start = config->producer_start;
    put->last_ns = now_ns(put);
    *ret_put = put;
    return 0;
}

void ing_put_destroy(struct ing_put *put) {
    if (put != NULL) {
        put->stopped = true;
        close_writer(put, FRAG_GAP_NETWORK);
        unref(put);
    }
}

bool ing_put_next_ack(struct ing_put *put, struct ing_ack *ret_ack) {
    return ing_acks_take(&put->acks, ret_ack);
}

bool ing_put_is_over(struct ing_put *put) {
    return put->over && ing_acks_waiting(&put->acks) == 0;
}

void ing_put_counts(const struct ing_put *put, uint64_t *ret_bytes, uint64_t *ret_fragments) {
    *ret_bytes = put->bytes;
    *ret_fragments = put->fragments;
}
