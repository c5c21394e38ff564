/* Records on their way into a batch, and batches on theirs to a disk. What waits is kept as samples
 * with absolute times, and becomes a fragment only when it leaves: then its first time is known,
 * and what no disk would take still waits. */
#include "fragments/records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/records.h"
#include "fragments/store/writer.h"

struct frag_records {
    struct frag_writer *writer;
    struct kn_tracks *tracks;
    uint64_t first; /* of those that wait, as they were added */

    /* What waits. */
    struct kn_sample *samples; /* owned; pts_ns since 1970 */
    size_t count, room;
    size_t bytes;
    struct frag_record_keys keys;
    int64_t min_ns, max_ns;
    struct kn_mono began;
};

/* ---- life ---- */

static void forget(struct frag_records *records) {
    for (size_t i = 0; i < records->count; i++) {
        kn_sample_unref(&records->samples[i]);
    }
    records->first += records->count;
    records->count = 0;
    records->bytes = 0;
    records->keys.count = 0;
}

static void destroy(struct frag_records *records) {
    forget(records);
    frag_record_keys_finish(&records->keys);
    free(records->samples);
    kn_tracks_unref(records->tracks);
    free(records);
}

int frag_records_open(struct frag_stream *stream, const struct frag_records_config *config,
                      struct frag_records **ret_records) {
    const struct frag_writer_config writing = {
        .handle_ack = config->handle_ack,
        .handle_closed = config->handle_closed,
        .user = config->user,
    };
    struct frag_records *records = calloc(1, sizeof(*records));
    if (records == NULL) {
        return -ENOMEM;
    }
    int rc = frag_record_tracks(&records->tracks);
    rc = rc < 0 ? rc : frag_writer_open_for(stream, &writing, true, &records->writer);
    if (rc < 0) {
        destroy(records);
        return rc;
    }
    *ret_records = records;
    return 0;
}

/* ---- a batch leaves ---- */

static int64_t whole_ticks(const struct frag_records *records, int64_t time_ns) {
    return time_ns - time_ns % (int64_t)records->writer->session->config.timecode_scale_ns;
}

static int make_fragment(struct frag_records *records, struct frag_fragment **ret_fragment) {
    struct frag_writer *writer = records->writer;
    struct frag_numbering numbering;
    int rc = frag_stream_number(writer->stream, writer->session->number_low, (struct kn_wall){0},
                                &numbering);
    if (rc < 0) {
        return rc;
    }
    if (numbering.stepped) {
        writer->fresh_reel = true;
        frag_writer_note_step(writer, numbering.server);
    }
    const struct frag_fragment_start start = {
        .number = numbering.number,
        .producer = {whole_ticks(records, records->min_ns)},
        .server = numbering.server,
    };
    struct frag_fragment *fragment = NULL;
    rc = frag_fragment_create(&start, records->tracks, &fragment);
    for (size_t i = 0; i < records->count && rc == 0; i++) {
        struct kn_sample sample = records->samples[i];
        sample.pts_ns -= start.producer.ns;
        sample.dts_ns = sample.pts_ns;
        rc = frag_fragment_add(fragment, &sample);
    }
    if (rc < 0) {
        frag_fragment_unref(fragment);
        return rc;
    }
    *ret_fragment = fragment;
    return 0;
}

static int copy_keys(const struct frag_record_keys *keys, struct frag_write *write) {
    if (keys->count == 0) {
        return 0;
    }
    write->keys = calloc(keys->count, sizeof(*write->keys));
    if (write->keys == NULL) {
        return -ENOMEM;
    }
    memcpy(write->keys, keys->all, keys->count * sizeof(*write->keys));
    write->key_count = keys->count;
    return 0;
}

static int make_write(struct frag_records *records, struct frag_write **ret_write) {
    struct frag_writer *writer = records->writer;
    struct frag_write *write = calloc(1, sizeof(*write));
    if (write == NULL) {
        return -ENOMEM;
    }
    int rc = copy_keys(&records->keys, write);
    rc = rc < 0 ? rc : make_fragment(records, &write->fragment);
    if (rc < 0) {
        free(write->keys);
        free(write);
        return rc;
    }
    write->session = frag_session_ref(writer->session);
    write->timecode =
        (uint64_t)write->fragment->start.producer.ns / writer->session->config.timecode_scale_ns;
    write->fresh_reel = writer->fresh_reel;
    write->first_record = records->first;
    write->records = records->count;
    *ret_write = write;
    return 0;
}

int frag_records_commit(struct frag_records *records) {
    if (records->count == 0) {
        return 0;
    }
    struct frag_write *write = NULL;
    int rc = frag_writer_ready(records->writer, records->bytes);
    rc = rc < 0 ? rc : make_write(records, &write);
    rc = rc < 0 ? rc
                : frag_writer_submit(records->writer, write,
                                     records->max_ns - whole_ticks(records, records->min_ns));
    if (rc == 0) {
        records->writer->fresh_reel = false;
        forget(records);
    }
    return rc;
}

/* ---- a record comes ---- */

static bool is_old(const struct frag_records *records) {
    const struct kn_clock *clock = records->writer->stream->store->clock;
    return clock->mono(clock).ns - records->began.ns >= FRAG_BATCH_AGE_NS;
}

int frag_records_tick(struct frag_records *records) {
    return records->count > 0 && is_old(records) ? frag_records_commit(records) : 0;
}

static bool fits(const struct frag_records *records, const struct frag_record *record) {
    int64_t time_ns = record->time.ns;
    int64_t min_ns = time_ns < records->min_ns ? time_ns : records->min_ns;
    int64_t max_ns = time_ns > records->max_ns ? time_ns : records->max_ns;
    return records->count < FRAG_BATCH_RECORDS && records->bytes <= FRAG_BATCH_BYTES &&
           FRAG_RECORD_HEAD_MOST + record->bytes <= FRAG_BATCH_BYTES - records->bytes &&
           max_ns - whole_ticks(records, min_ns) <= FRAG_BATCH_SPAN_NS &&
           frag_record_keys_fit(&records->keys, record) && !is_old(records);
}

static int make_room(struct frag_records *records) {
    if (records->count < records->room) {
        return 0;
    }
    size_t room = records->room == 0 ? 16 : records->room * 2;
    struct kn_sample *samples = realloc(records->samples, room * sizeof(*samples));
    if (samples == NULL) {
        return -ENOMEM;
    }
    records->samples = samples;
    records->room = room;
    return 0;
}

/* As its block has it. */
static int make_buffer(struct frag_records *records, const struct frag_record *record,
                       struct kn_buffer **ret_buffer) {
    uint8_t *room = NULL;
    struct kn_writer writer;
    struct kn_buffer *buffer = NULL;
    int rc = kn_buffer_alloc(records->writer->stream->budget, FRAG_RECORD_HEAD_MOST + record->bytes,
                             &room, &buffer);
    if (rc < 0) {
        return rc;
    }
    kn_writer_init(&writer, room, FRAG_RECORD_HEAD_MOST + record->bytes);
    frag_record_write(&writer, record);
    KN_ASSERT(kn_writer_status(&writer) == 0); /* it can be, and there was room */
    kn_buffer_shrink(buffer, writer.size);
    *ret_buffer = buffer;
    return 0;
}

static int take(struct frag_records *records, const struct frag_record *record) {
    struct kn_buffer *buffer = NULL;
    int rc = make_room(records);
    rc = rc < 0 ? rc : make_buffer(records, record, &buffer);
    rc = rc < 0 ? rc : frag_record_keys_add(&records->keys, record);
    if (rc < 0) {
        kn_buffer_unref(buffer);
        return rc;
    }
    bool first = records->count == 0;
    int64_t time_ns = record->time.ns;
    if (first) {
        const struct kn_clock *clock = records->writer->stream->store->clock;
        records->began = clock->mono(clock);
    }
    records->min_ns = first || time_ns < records->min_ns ? time_ns : records->min_ns;
    records->max_ns = first || time_ns > records->max_ns ? time_ns : records->max_ns;
    records->bytes += buffer->size;
    records->samples[records->count++] = (struct kn_sample){
        .buffer = buffer,
        .data = buffer->data,
        .size = buffer->size,
        .pts_ns = time_ns,
        .flags = KN_SAMPLE_KEY,
    };
    return 0;
}

int frag_records_add(struct frag_records *records, const struct frag_record *record) {
    if (!frag_record_can_be(record)) {
        return -EINVAL;
    }
    int rc = records->count > 0 && !fits(records, record) ? frag_records_commit(records) : 0;
    rc = rc < 0 ? rc : take(records, record);
    if (rc == 0 && records->bytes >= FRAG_BATCH_BYTES) {
        /* Where it fails, the next call says so, and takes nothing until it succeeds. */
        (void)!frag_records_commit(records);
    }
    return rc;
}

/* ---- the end ---- */

static void tell_lost(const struct frag_records *records, int error) {
    const struct frag_writer_config *config = &records->writer->session->config;
    if (config->handle_ack != NULL) {
        const struct frag_ack ack = {
            .kind = FRAG_ACK_FAILED,
            .producer = {records->min_ns},
            .first_record = records->first,
            .records = records->count,
            .error = error,
        };
        config->handle_ack(&ack, config->user);
    }
}

void frag_records_close(struct frag_records *records, enum frag_gap_cause cause) {
    if (records == NULL) {
        return;
    }
    int rc = frag_records_commit(records);
    if (rc < 0) {
        tell_lost(records, rc);
        frag_writer_discontinuity(records->writer, NULL);
    }
    frag_writer_close(records->writer, cause);
    destroy(records);
}
