/* Export as MP4, by libavformat's muxer, which is told everything: nothing is probed.
 *
 * Video counts in 90,000ths, sound in its sampling rate. Times come from the file's 0, never from
 * summed durations, so nothing drifts; sound whose times were rounded to Matroska's milliseconds
 * goes back to the sample it was at. A hole is a long sample before it. The muxer's edit lists put
 * a track that begins late, or decodes before the file's 0, where it belongs.
 *
 * The muxer's index takes 64 bytes a sample, hence the limit. */
#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "playback/export_inner.h"
#include "playback/export_mp4_tracks.h"

/* 22 hours of 25 pictures a second, 7 with sound; 128 MB. */
#define SAMPLES_MAX 2000000u
/* A sample lasts at most 2^31 units: 6.6 hours of video, of sound at 96 kHz 6.2. */
#define HOLE_MAX_NS (6 * 3600 * KN_NS_PER_S)
#define IO_BYTES (256 * 1024)
/* Times rounded to Matroska's unit are off by less. */
#define SNAP_NS KN_NS_PER_MS

struct mp4_track {
    bool any;
    AVStream *stream; /* NULL: not carried */
    int64_t rate;     /* units a second */
    int64_t next;     /* sound: where the sample behind the last one would begin */
    int64_t last_dts;
};

struct mp4 {
    const struct play_job *job;
    AVFormatContext *context;
    AVIOContext *io;
    AVPacket *packet;
    struct mp4_track tracks[KN_TRACKS_MAX];
    uint8_t *padded; /* a copy of a sample whose reader looks beyond its end */
    size_t padded_room;
};

/* The muxer's errors beyond errno say that it was called wrongly or given nonsense. */
static int from_av(int rc) {
    return rc >= 0 ? 0 : rc > -4096 ? rc : -EINVAL;
}

/* ---- the file, as libavformat sees it ---- */

#if LIBAVFORMAT_VERSION_MAJOR >= 61
typedef const uint8_t io_bytes;
#else
typedef uint8_t io_bytes;
#endif

static int io_write(void *opaque, io_bytes *data, int size) {
    int rc = play_out_bytes(opaque, data, (size_t)size);
    return rc == 0 ? size : rc;
}

static int64_t io_seek(void *opaque, int64_t offset, int whence) {
    struct play_out *out = opaque;
    if (whence == AVSEEK_SIZE) {
        return (int64_t)out->end;
    }
    if (whence != SEEK_SET || offset < 0) {
        return AVERROR(EINVAL);
    }
    out->at = (uint64_t)offset;
    return offset;
}

/* To move the index to the front, the muxer reads what it wrote. */
struct reading {
    struct play_out *out;
    uint64_t at;
};

static int reading_read(void *opaque, uint8_t *data, int size) {
    struct reading *reading = opaque;
    if (play_out_stopped(reading->out)) { /* a second or more for a large file */
        return AVERROR_EXIT;
    }
    int got = play_out_read(reading->out, reading->at, data, (size_t)size);
    reading->at += got > 0 ? (uint64_t)got : 0;
    return got == 0 ? AVERROR_EOF : got;
}

static int64_t reading_seek(void *opaque, int64_t offset, int whence) {
    struct reading *reading = opaque;
    if (whence == AVSEEK_SIZE) {
        return (int64_t)reading->out->end;
    }
    if (whence != SEEK_SET || offset < 0) {
        return AVERROR(EINVAL);
    }
    reading->at = (uint64_t)offset;
    return offset;
}

static int handle_open(AVFormatContext *context, AVIOContext **ret_io, const char *url, int flags,
                       AVDictionary **options) {
    (void)url;
    (void)options;
    struct mp4 *mp4 = context->opaque;
    if (flags != AVIO_FLAG_READ) {
        return AVERROR(EPERM);
    }
    struct reading *reading = calloc(1, sizeof(*reading));
    uint8_t *room = av_malloc(IO_BYTES);
    AVIOContext *io =
        reading == NULL || room == NULL
            ? NULL
            : avio_alloc_context(room, IO_BYTES, 0, reading, reading_read, NULL, reading_seek);
    if (io == NULL) {
        free(reading);
        av_free(room);
        return AVERROR(ENOMEM);
    }
    reading->out = mp4->job->out;
    *ret_io = io;
    return 0;
}

static int handle_close(AVFormatContext *context, AVIOContext *io) {
    (void)context;
    int rc = io->error;
    free(io->opaque);
    av_freep(&io->buffer);
    avio_context_free(&io);
    return rc;
}

static int open_io(struct mp4 *mp4) {
    uint8_t *room = av_malloc(IO_BYTES);
    mp4->io = room == NULL
                  ? NULL
                  : avio_alloc_context(room, IO_BYTES, 1, mp4->job->out, NULL, io_write, io_seek);
    if (mp4->io == NULL) {
        av_free(room);
        return -ENOMEM;
    }
    mp4->context->pb = mp4->io;
    mp4->context->opaque = mp4;
    mp4->context->io_open = handle_open;
    mp4->context->io_close2 = handle_close;
    mp4->context->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
    return 0;
}

static void mp4_destroy(void *writer) {
    struct mp4 *mp4 = writer;
    if (mp4 != NULL) {
        avformat_free_context(mp4->context);
        if (mp4->io != NULL) {
            av_freep(&mp4->io->buffer);
            avio_context_free(&mp4->io);
        }
        av_packet_free(&mp4->packet);
        free(mp4->padded);
        free(mp4);
    }
}

/* ---- the beginning ---- */

static const struct kn_sample *first_of(const struct play_job *job, size_t track) {
    for (size_t i = 0; i < job->sample_count; i++) {
        if (job->samples[i].track == track && job->samples[i].size > 0) {
            return &job->samples[i];
        }
    }
    return NULL;
}

static int add_streams(struct mp4 *mp4) {
    const struct play_job *job = mp4->job;
    for (size_t i = 0; i < job->tracks->count; i++) {
        if (!job->carried[i]) {
            continue;
        }
        AVStream *stream = avformat_new_stream(mp4->context, NULL);
        if (stream == NULL) {
            return -ENOMEM;
        }
        int rc = play_mp4_describe(&job->tracks->items[i], first_of(job, i), stream);
        if (rc != 0) {
            return rc;
        }
        mp4->tracks[i].stream = stream;
        mp4->tracks[i].rate = stream->time_base.den;
    }
    return 0;
}

static int set_texts(struct mp4 *mp4) {
    char date[KN_WALL_TEXT_BYTES];
    int rc = av_dict_set(&mp4->context->metadata, "title", mp4->job->stream_name, 0);
    return rc < 0 ? rc
                  : av_dict_set(&mp4->context->metadata, "creation_time",
                                kn_wall_format(mp4->job->zero, date), 0);
}

static int write_header(struct mp4 *mp4) {
    AVDictionary *options = NULL;
    bool in_front = mp4->job->expected_bytes <= PLAY_MP4_FASTSTART_MAX_BYTES;
    /* Edit lists count in the movie's units: as fine as the pictures'. */
    int rc = av_dict_set_int(&options, "movie_timescale", PLAY_MP4_VIDEO_RATE, 0);
    if (rc >= 0 && in_front) {
        rc = av_dict_set(&options, "movflags", "faststart", 0);
    }
    if (rc >= 0) {
        rc = set_texts(mp4);
    }
    if (rc >= 0) {
        rc = avformat_write_header(mp4->context, &options);
    }
    av_dict_free(&options);
    for (size_t i = 0; i < KN_TRACKS_MAX && rc >= 0; i++) {
        const AVStream *stream = mp4->tracks[i].stream;
        bool kept = stream == NULL ||
                    (stream->time_base.num == 1 && stream->time_base.den == mp4->tracks[i].rate);
        rc = kept ? rc : AVERROR(EINVAL);
    }
    return from_av(rc);
}

static int mp4_create(const struct play_job *job, void **ret_writer) {
    struct mp4 *mp4 = calloc(1, sizeof(*mp4));
    if (mp4 == NULL) {
        return -ENOMEM;
    }
    mp4->job = job;
    av_log_set_level(AV_LOG_ERROR); /* of the whole process: a second pass is no news */
    mp4->packet = av_packet_alloc();
    int rc = mp4->packet == NULL ? -ENOMEM : 0;
    if (rc == 0) {
        rc = from_av(avformat_alloc_output_context2(&mp4->context, NULL, "mp4", NULL));
    }
    rc = rc == 0 ? open_io(mp4) : rc;
    rc = rc == 0 ? add_streams(mp4) : rc;
    rc = rc == 0 ? write_header(mp4) : rc;
    if (rc != 0) {
        mp4_destroy(mp4);
        return rc;
    }
    *ret_writer = mp4;
    return 0;
}

/* ---- samples ---- */

static int64_t units_of(const struct mp4_track *track, int64_t ns) {
    return av_rescale(ns, track->rate, KN_NS_PER_S);
}

/* Sound: at the sample behind the last packet, if its time says nothing else. */
static int64_t place_sound(const struct mp4_track *track, int64_t pts_ns) {
    int64_t next_ns = av_rescale(track->next, KN_NS_PER_S, track->rate);
    int64_t off_ns = next_ns > pts_ns ? next_ns - pts_ns : pts_ns - next_ns;
    bool there = track->any && off_ns <= SNAP_NS + KN_NS_PER_S / track->rate;
    return there ? track->next : units_of(track, pts_ns);
}

static void set_times(struct mp4_track *track, const struct kn_track *known,
                      const struct kn_sample *sample, AVPacket *packet) {
    if (known->media == KN_MEDIA_AUDIO) {
        /* Matroska's times count what the decoder swallows at the beginning. */
        packet->pts = place_sound(track, sample->pts_ns - known->codec_delay_ns);
        packet->dts = packet->pts;
        packet->duration = play_mp4_sound_length(known, sample);
        track->next = packet->pts + packet->duration;
        int64_t discard = units_of(track, sample->discard_ns);
        packet->duration -= discard > 0 && discard < packet->duration ? discard : 0;
    } else {
        int64_t length_ns =
            sample->duration_ns > 0 ? sample->duration_ns : known->default_duration_ns;
        packet->pts = units_of(track, sample->pts_ns);
        packet->dts = units_of(track, sample->dts_ns);
        packet->duration = length_ns > 0 ? units_of(track, length_ns) : PLAY_MP4_VIDEO_RATE / 25;
    }
    /* The muxer wants every dts above the one before it, and none above its pts. */
    if (track->any && packet->dts <= track->last_dts) {
        packet->dts = track->last_dts + 1;
    }
    packet->pts = packet->pts < packet->dts ? packet->dts : packet->pts;
    track->any = true;
    track->last_dts = packet->dts;
}

static int set_bytes(struct mp4 *mp4, const struct kn_track *known, const struct kn_sample *sample,
                     AVPacket *packet) {
    packet->size = (int)sample->size; /* a fragment has at most FRAG_MAX_BYTES */
    packet->data = (uint8_t *)(uintptr_t)sample->data;
    if (known->codec != KN_CODEC_AV1) {
        return 0;
    }
    size_t needed = sample->size + AV_INPUT_BUFFER_PADDING_SIZE;
    if (needed > mp4->padded_room) {
        uint8_t *larger = realloc(mp4->padded, needed);
        if (larger == NULL) {
            return -ENOMEM;
        }
        mp4->padded = larger;
        mp4->padded_room = needed;
    }
    memcpy(mp4->padded, sample->data, sample->size);
    memset(mp4->padded + sample->size, 0, AV_INPUT_BUFFER_PADDING_SIZE);
    packet->data = mp4->padded;
    return 0;
}

static int write_sample(struct mp4 *mp4, const struct kn_sample *sample) {
    const struct kn_track *known = &mp4->job->tracks->items[sample->track];
    struct mp4_track *track = &mp4->tracks[sample->track];
    AVPacket *packet = mp4->packet;
    int rc = set_bytes(mp4, known, sample, packet);
    if (rc != 0) {
        return rc;
    }
    set_times(track, known, sample, packet);
    packet->stream_index = track->stream->index;
    packet->flags = ((sample->flags & KN_SAMPLE_KEY) != 0 ? AV_PKT_FLAG_KEY : 0) |
                    ((sample->flags & KN_SAMPLE_DISPOSABLE) != 0 ? AV_PKT_FLAG_DISPOSABLE : 0);
    /* In the order of the fragment, which is the producer's interleaving. */
    rc = av_write_frame(mp4->context, packet);
    packet->data = NULL; /* they were the sample's */
    packet->size = 0;
    return from_av(rc < 0 ? rc : mp4->io->error);
}

static int mp4_add(void *writer, struct kn_sample *samples, size_t count) {
    struct mp4 *mp4 = writer;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        /* Annex-B frames of start codes alone have no bytes left. */
        rc = samples[i].size == 0 ? 0 : write_sample(mp4, &samples[i]);
    }
    return rc;
}

static int mp4_finish(void *writer, const struct play_ending *ending) {
    struct mp4 *mp4 = writer;
    char text[2 * FRAG_NUMBER_TEXT_BYTES + sizeof("Fragments  to ")];
    (void)snprintf(text, sizeof(text), "Fragments %s to %s", ending->first, ending->last);
    int rc = av_dict_set(&mp4->context->metadata, "comment", text, 0);
    if (rc >= 0) {
        rc = av_write_trailer(mp4->context);
    }
    return from_av(rc < 0 ? rc : mp4->io->error);
}

const struct play_format_writer play_mp4_writer = {
    .refusal = play_mp4_refusal,
    .create = mp4_create,
    .add = mp4_add,
    .finish = mp4_finish,
    .destroy = mp4_destroy,
    .samples_max = SAMPLES_MAX,
    .hole_max_ns = HOLE_MAX_NS,
};
