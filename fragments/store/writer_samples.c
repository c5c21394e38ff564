/* Fragments built of samples, as cameras send them. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "fragments/store/writer.h"

/* A block's time is 16 bits of ticks from its cluster. */
#define OFFSET_MOST_NS (30 * KN_NS_PER_S)

int frag_writer_tracks(struct frag_writer *writer, struct kn_tracks *tracks) {
    if (writer->tracks != NULL && kn_tracks_equal(writer->tracks, tracks)) {
        return 0;
    }
    frag_writer_cut(writer);
    kn_tracks_unref(writer->tracks);
    writer->tracks = kn_tracks_ref(tracks);
    frag_cut_init(&writer->cut, tracks);
    return 0;
}

static void count_dropped(struct frag_writer *writer) {
    (void)pthread_mutex_lock(&writer->stream->lock);
    writer->stream->counters.dropped_samples++;
    (void)pthread_mutex_unlock(&writer->stream->lock);
}

static enum frag_gap_cause cause_of(int error) {
    return error == -ENOSPC ? FRAG_GAP_DISK_FULL : FRAG_GAP_SLOW_DISK;
}

/* The fragment at hand is lost, and what follows until one can begin: one gap for all of it. */
static void note_behind(struct frag_writer *writer, int error) {
    if (!writer->gap_noted) {
        writer->gap_noted = true;
        frag_writer_note_gap(writer, cause_of(error));
    }
}

/* ---- beginning ---- */

/* Cluster times are whole ticks, rounded down, so that no first sample lies before its cluster. */
static uint64_t timecode_of(struct kn_wall time, uint64_t scale_ns) {
    return time.ns > 0 ? (uint64_t)time.ns / scale_ns : 0;
}

static int begin(struct frag_writer *writer, struct kn_wall time, bool forced) {
    struct frag_session *session = writer->session;
    uint64_t scale_ns = session->config.timecode_scale_ns;
    int rc = frag_writer_ready(writer, 1); /* how heavy it gets shows at its end */
    if (rc < 0) {
        return rc;
    }
    frag_writer_tell_missing(writer);
    struct frag_numbering numbering;
    rc = frag_stream_number(writer->stream, session->number_low, (struct kn_wall){0}, &numbering);
    if (rc < 0) {
        return rc;
    }
    uint64_t timecode = timecode_of(time, scale_ns);
    const struct frag_fragment_start start = {
        .number = numbering.number,
        .producer = {(int64_t)(timecode * scale_ns)},
        .server = numbering.server,
        .flags = forced ? FRAG_NO_KEY_START : 0,
    };
    rc = frag_fragment_create(&start, writer->tracks, &writer->fragment);
    if (rc < 0) {
        return rc;
    }
    writer->origin = start.producer;
    writer->timecode = timecode;
    writer->fresh_reel = numbering.stepped;
    writer->gap_noted = false;
    if (numbering.stepped) {
        frag_writer_note_step(writer, numbering.server);
    }
    frag_writer_tell_begin(writer, start.number, start.producer, start.server, timecode);
    return 0;
}

/* ---- ending ---- */

static void end(struct frag_writer *writer, const struct kn_wall *next) {
    struct frag_fragment *fragment = writer->fragment;
    int64_t duration_ns = frag_cut_duration(&writer->cut, next);
    frag_cut_end(&writer->cut);
    writer->fragment = NULL;
    if (fragment == NULL) {
        return;
    }
    struct frag_write *write = calloc(1, sizeof(*write));
    if (write == NULL) {
        frag_fragment_unref(fragment);
        note_behind(writer, -ENOMEM);
        return;
    }
    write->session = frag_session_ref(writer->session);
    write->fragment = fragment;
    write->timecode = writer->timecode;
    write->fresh_reel = writer->fresh_reel;
    int rc = frag_writer_submit(writer, write, duration_ns);
    if (rc < 0 && rc != KN_E_CLOSED) {
        note_behind(writer, rc);
    }
}

void frag_writer_cut(struct frag_writer *writer) {
    end(writer, NULL);
}

/* ---- samples ---- */

static bool is_near(struct kn_wall origin, struct kn_wall time) {
    int64_t offset = 0;
    return !__builtin_sub_overflow(time.ns, origin.ns, &offset) && offset < OFFSET_MOST_NS &&
           offset > -OFFSET_MOST_NS;
}

/* Adds it to the fragment at hand. */
static int add(struct frag_writer *writer, struct kn_wall time, const struct kn_sample *sample,
               bool begins) {
    if (!is_near(writer->origin, time)) {
        count_dropped(writer);
        return 0;
    }
    struct kn_sample moved = *sample;
    moved.dts_ns += time.ns - sample->pts_ns - writer->origin.ns;
    moved.pts_ns = time.ns - writer->origin.ns;
    int rc = frag_fragment_add(writer->fragment, &moved);
    if (rc < 0) {
        return rc;
    }
    frag_cut_take(&writer->cut, time, sample, begins);
    /* Subscribers hear themselves that they missed one. */
    (void)frag_tail_publish_sample(writer->stream->tail, writer->fragment->start.number,
                                   writer->origin, writer->tracks, &moved);
    return 0;
}

static int begin_with(struct frag_writer *writer, struct kn_wall time,
                      const struct kn_sample *sample, bool forced) {
    if (writer->fragment != NULL) {
        end(writer, &time);
    }
    int rc = begin(writer, time, forced);
    rc = rc < 0 ? rc : add(writer, time, sample, true);
    if (rc < 0 && rc != KN_E_CLOSED) {
        frag_fragment_unref(writer->fragment);
        writer->fragment = NULL;
        frag_cut_end(&writer->cut);
        count_dropped(writer);
        note_behind(writer, rc);
        return 0;
    }
    return rc;
}

static int64_t target_of(struct frag_stream *stream) {
    (void)pthread_mutex_lock(&stream->lock);
    int64_t target_ns = stream->settings.target_ns;
    (void)pthread_mutex_unlock(&stream->lock);
    return target_ns;
}

/* It did not fit after all (memory): the fragment ends before it. */
static int add_or_lose(struct frag_writer *writer, struct kn_wall time,
                       const struct kn_sample *sample) {
    int rc = add(writer, time, sample, false);
    if (rc < 0) {
        end(writer, NULL);
        count_dropped(writer);
        note_behind(writer, rc);
    }
    return 0;
}

int frag_writer_sample(struct frag_writer *writer, struct kn_wall origin,
                       const struct kn_sample *sample) {
    struct kn_wall time;
    if (writer->tracks == NULL || sample->track >= writer->tracks->count ||
        !kn_i64_add(origin.ns, sample->pts_ns, &time.ns)) {
        return -EINVAL;
    }
    if (time.ns < 0 || sample->size > FRAG_MAX_BYTES) {
        count_dropped(writer); /* before 1970 a cluster has no time */
        return 0;
    }
    int64_t target_ns = target_of(writer->stream);
    enum frag_cut_step step = frag_cut_next(&writer->cut, time, sample, target_ns);
    if (step == FRAG_CUT_BROKEN) {
        end(writer, NULL);
        frag_cut_init(&writer->cut, writer->tracks);
        frag_writer_discontinuity(writer, NULL);
        step = frag_cut_next(&writer->cut, time, sample, target_ns);
        if (step == FRAG_CUT_DROP) {
            frag_writer_note_gap(writer, FRAG_GAP_CLOCK); /* until the next key frame */
        }
    }
    switch (step) {
    case FRAG_CUT_BEGIN:
        return begin_with(writer, time, sample, false);
    case FRAG_CUT_FORCED:
        return begin_with(writer, time, sample, true);
    case FRAG_CUT_ADD:
        return add_or_lose(writer, time, sample);
    case FRAG_CUT_DROP:
    case FRAG_CUT_BROKEN:
        break;
    }
    count_dropped(writer);
    return 0;
}
