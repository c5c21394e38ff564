#include "fragments/store/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static int copy_header(const struct frag_writer_config *config, struct kn_buffer **ret_header) {
    uint8_t *room;
    int rc = kn_buffer_alloc(NULL, config->header_bytes, &room, ret_header);
    if (rc == 0) {
        memcpy(room, config->header, config->header_bytes);
    }
    return rc;
}

int frag_session_create(struct frag_stream *stream, const struct frag_writer_config *config,
                        bool records, struct frag_session **ret_session) {
    if (config->header_bytes > FRAG_REEL_PRODUCER_HEADER_MAX) {
        return KN_E_LIMIT;
    }
    struct frag_session *session = calloc(1, sizeof(*session));
    int rc = session == NULL ? -ENOMEM : 0;
    if (rc == 0 && config->header_bytes > 0) {
        rc = copy_header(config, &session->header);
    }
    if (rc != 0) {
        free(session);
        return rc;
    }
    atomic_init(&session->refs, 1);
    atomic_init(&session->pending, 0);
    atomic_init(&session->ended, false);
    session->stream = stream;
    session->records = records;
    session->config = *config;
    if (config->timecode_scale_ns == 0) {
        session->config.timecode_scale_ns = FRAG_MKV_DEFAULT_SCALE_NS;
    }
    session->config.header = session->header == NULL ? NULL : session->header->data;
    frag_random_bytes(&stream->store->random, session->id, sizeof(session->id));
    session->number_low = (uint32_t)(frag_random_u64(&stream->store->random) & 0xFFFFFFFu);
    *ret_session = session;
    return 0;
}

struct frag_session *frag_session_ref(struct frag_session *session) {
    (void)atomic_fetch_add(&session->refs, 1);
    return session;
}

void frag_session_unref(struct frag_session *session) {
    if (session == NULL || atomic_fetch_sub(&session->refs, 1) > 1) {
        return;
    }
    if (session->config.handle_closed != NULL) {
        session->config.handle_closed(session->config.user);
    }
    kn_buffer_unref(session->header);
    free(session);
}

size_t frag_write_weight(const struct frag_write *write) {
    size_t weight = write->received != NULL ? write->received->size : write->fragment->bytes;
    return weight + write->before_bytes + write->after_bytes + 1;
}

static void count(struct frag_write *write, int error) {
    struct frag_stream *stream = write->session->stream;
    const struct frag_fragment *fragment = write->fragment;
    const struct kn_clock *clock = stream->store->clock;
    int64_t took_ns = clock->mono(clock).ns - write->complete.ns;
    (void)pthread_mutex_lock(&stream->lock);
    stream->unfinished--;
    frag_gaps_finished(stream, fragment->start.number.sequence);
    if (error == 0) {
        stream->counters.fragments++;
        stream->counters.frames += fragment->sample_count;
        stream->counters.bytes += write->row.cluster_bytes;
        frag_times_add(&stream->counters.ack_times, took_ns);
        if (fragment->start.server.ns > stream->counters.last_fragment.ns) {
            stream->counters.last_fragment = fragment->start.server;
        }
    } else {
        stream->counters.failed++;
        stream->discontinuity = true;
    }
    (void)pthread_mutex_unlock(&stream->lock);
    (void)atomic_fetch_add(error == 0 ? &stream->store->appended : &stream->store->failed, 1);
}

static void acknowledge(const struct frag_write *write, int error) {
    const struct frag_writer_config *config = &write->session->config;
    if (config->handle_ack == NULL) {
        return;
    }
    const struct frag_ack ack = {
        .kind = error == 0 ? FRAG_ACK_DURABLE : FRAG_ACK_FAILED,
        .number = write->fragment->start.number,
        .producer = write->fragment->start.producer,
        .server = write->fragment->start.server,
        .timecode = write->timecode,
        .first_record = write->first_record,
        .records = write->records,
        .error = error,
    };
    config->handle_ack(&ack, config->user);
}

void frag_write_discard(struct frag_write *write) {
    kn_buffer_unref(write->received);
    frag_fragment_unref(write->fragment);
    frag_session_unref(write->session);
    free(write->around);
    free(write->keys);
    free(write);
}

void frag_write_finish(struct frag_write *write, int error) {
    struct frag_tail *tail = write->session->stream->tail;
    count(write, error);
    frag_tail_settle(tail, write->fragment, error);
    acknowledge(write, error);
    frag_write_discard(write);
}
