/* Fragments as producers sent them: the cluster's bytes are kept. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/writer.h"

/* Once more than this waits, the producer is told to wait too. */
#define WAITING_MOST 1024

static struct kn_wall producer_time(const struct frag_writer *writer, int64_t time_ns) {
    const struct frag_writer_config *config = &writer->session->config;
    struct kn_wall result = {time_ns};
    if (config->relative && !kn_i64_add(config->producer_start.ns, time_ns, &result.ns)) {
        result.ns = INT64_MAX;
    }
    return result;
}

int frag_writer_begin(struct frag_writer *writer, uint64_t timecode, struct kn_wall server) {
    frag_writer_tell_missing(writer);
    int rc =
        frag_stream_number(writer->stream, writer->session->number_low, server, &writer->numbering);
    if (rc < 0) {
        return rc;
    }
    writer->begun = true;
    uint64_t time_ns = 0;
    if (__builtin_mul_overflow(timecode, writer->session->config.timecode_scale_ns, &time_ns) ||
        time_ns > INT64_MAX) {
        time_ns = 0;
    }
    if (writer->numbering.stepped) {
        frag_writer_note_step(writer, writer->numbering.server);
    }
    frag_writer_tell_begin(writer, writer->numbering.number,
                           producer_time(writer, (int64_t)time_ns), writer->numbering.server,
                           timecode);
    return 0;
}

/* ---- the fragment ---- */

/* Playing can begin with it: its first picture, or where there are none its first sample, is a key
 * frame. */
static bool starts_with_key(const struct frag_mkv_fragment *fragment) {
    const struct kn_sample *first = fragment->sample_count > 0 ? &fragment->samples[0] : NULL;
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        if (fragment->tracks->items[sample->track].media == KN_MEDIA_VIDEO) {
            first = sample;
            break;
        }
    }
    return first != NULL && (first->flags & KN_SAMPLE_KEY) != 0;
}

static int make_fragment(const struct frag_writer *writer, const struct frag_received *received,
                         struct frag_fragment **ret_fragment) {
    const struct frag_mkv_fragment *from = received->fragment;
    const struct frag_fragment_start start = {
        .number = writer->numbering.number,
        .producer = producer_time(writer, from->time_ns),
        .server = writer->numbering.server,
        .flags = starts_with_key(from) ? 0 : FRAG_NO_KEY_START,
    };
    struct frag_fragment *fragment = NULL;
    int rc = frag_fragment_create(&start, from->tracks, &fragment);
    for (size_t i = 0; i < from->sample_count && rc == 0; i++) {
        rc = frag_fragment_add(fragment, &from->samples[i]);
    }
    if (rc < 0) {
        frag_fragment_unref(fragment);
        return rc;
    }
    *ret_fragment = fragment;
    return 0;
}

static int copy_around(struct frag_write *write, const struct frag_received *received) {
    size_t size = received->before_bytes + received->after_bytes;
    if (size > FRAG_REEL_AROUND_MAX || size < received->before_bytes) {
        return KN_E_LIMIT;
    }
    if (size == 0) {
        return 0;
    }
    write->around = malloc(size);
    if (write->around == NULL) {
        return -ENOMEM;
    }
    if (received->before_bytes > 0) {
        memcpy(write->around, received->before, received->before_bytes);
    }
    if (received->after_bytes > 0) {
        memcpy(write->around + received->before_bytes, received->after, received->after_bytes);
    }
    write->before_bytes = (uint32_t)received->before_bytes;
    write->after_bytes = (uint32_t)received->after_bytes;
    return 0;
}

/* For readers of the live end. */
static int keep_form(const struct frag_writer *writer, const struct frag_write *write) {
    size_t size = (size_t)write->before_bytes + write->after_bytes;
    struct frag_form form = {.header = writer->session->header,
                             .cluster = write->received,
                             .before_bytes = write->before_bytes,
                             .after_bytes = write->after_bytes};
    if (size > 0) {
        uint8_t *room;
        int rc = kn_buffer_alloc(NULL, size, &room, &form.around);
        if (rc < 0) {
            return rc;
        }
        memcpy(room, write->around, size);
    }
    frag_fragment_set_form(write->fragment, &form);
    kn_buffer_unref(form.around);
    return 0;
}

static int make_write(struct frag_writer *writer, const struct frag_received *received,
                      struct frag_write **ret_write) {
    const struct frag_mkv_element *cluster = &received->fragment->cluster;
    struct frag_write *write = calloc(1, sizeof(*write));
    if (write == NULL) {
        return -ENOMEM;
    }
    write->session = frag_session_ref(writer->session);
    write->received = kn_buffer_ref(received->fragment->bytes);
    int rc = copy_around(write, received);
    rc = rc < 0 ? rc : make_fragment(writer, received, &write->fragment);
    rc = rc < 0 ? rc : keep_form(writer, write);
    if (rc < 0) {
        frag_write_discard(write);
        return rc;
    }
    write->received_head = cluster->header_bytes;
    /* Cluster's id has 4 bytes; the rest is its size field. */
    write->received_width = (uint8_t)(cluster->header_bytes - 4);
    write->received_unknown = cluster->size == FRAG_MKV_UNKNOWN_SIZE;
    write->timecode = received->fragment->timecode;
    write->fresh_reel = writer->numbering.stepped;
    *ret_write = write;
    return 0;
}

static bool can_be(const struct frag_writer *writer, const struct frag_received *received) {
    const struct frag_mkv_fragment *from = received->fragment;
    int64_t end = 0;
    return from->cluster.header_bytes >= 5 && from->cluster.header_bytes <= 12 &&
           from->bytes->size > from->cluster.header_bytes && received->duration_ns >= 0 &&
           kn_i64_add(producer_time(writer, from->time_ns).ns, received->duration_ns, &end) &&
           end < INT64_MAX;
}

/* As a reel has it; archives read no larger one. */
static bool is_too_large(const struct frag_mkv_fragment *from) {
    return from->bytes->size - from->cluster.header_bytes >
           FRAG_CLUSTER_MAX_BYTES - FRAG_REEL_CLUSTER_HEAD_BYTES;
}

int frag_writer_received(struct frag_writer *writer, const struct frag_received *received) {
    if (!can_be(writer, received)) {
        return -EINVAL;
    }
    if (is_too_large(received->fragment)) {
        return KN_E_LIMIT;
    }
    int rc = frag_writer_ready(writer, received->fragment->bytes->size);
    if (rc == 0 && writer->folder != NULL &&
        frag_disk_waiting(writer->folder->disk) > WAITING_MOST) {
        rc = -EAGAIN;
    }
    if (rc == 0 && !writer->begun) {
        rc = frag_writer_begin(writer, received->fragment->timecode, received->server);
    }
    struct frag_write *write = NULL;
    rc = rc < 0 ? rc : make_write(writer, received, &write);
    rc = rc < 0 ? rc : frag_writer_submit(writer, write, received->duration_ns);
    if (rc == 0) {
        writer->begun = false;
    }
    return rc;
}
