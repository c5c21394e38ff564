#include "tests/support/remux.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <libavformat/avformat.h>

#define STREAMS_MAX 8

struct job {
    AVFormatContext *in, *out;
    int map[STREAMS_MAX]; /* -1: left out */
    int64_t last_dts[STREAMS_MAX];
    int64_t from_ns;
};

static int must(int result, const char *what) {
    if (result < 0) {
        (void)fprintf(stderr, "remux: %s: %s\n", what, av_err2str(result));
        abort();
    }
    return result;
}

static bool is_wanted(const AVStream *stream, char media) {
    enum AVMediaType type = stream->codecpar->codec_type;
    return (media != 'a' && type == AVMEDIA_TYPE_VIDEO) ||
           (media != 'v' && type == AVMEDIA_TYPE_AUDIO);
}

static void add_stream(struct job *job, unsigned at, char media) {
    const AVStream *in = job->in->streams[at];
    job->map[at] = -1;
    job->last_dts[at] = AV_NOPTS_VALUE;
    if (!is_wanted(in, media)) {
        return;
    }
    AVStream *out = avformat_new_stream(job->out, NULL);
    must(out == NULL ? AVERROR(ENOMEM) : 0, "new stream");
    must(avcodec_parameters_copy(out->codecpar, in->codecpar), "parameters");
    out->codecpar->codec_tag = 0;
    out->time_base = in->time_base;
    out->avg_frame_rate = in->avg_frame_rate;
    job->map[at] = out->index;
}

/* Matroska has no dts of the first reordered pictures, and muxers want one. */
static void complete_dts(struct job *job, AVPacket *packet) {
    int64_t *last = &job->last_dts[packet->stream_index];
    if (packet->dts == AV_NOPTS_VALUE) {
        packet->dts =
            *last == AV_NOPTS_VALUE ? packet->pts - 2 * packet->duration : *last + packet->duration;
    }
    *last = packet->dts;
}

static void copy_packet(struct job *job, AVPacket *packet) {
    const AVStream *in = job->in->streams[packet->stream_index];
    int to = job->map[packet->stream_index];
    if (to < 0) {
        return;
    }
    complete_dts(job, packet);
    int64_t later = av_rescale_q(job->from_ns, (AVRational){1, 1000000000}, in->time_base);
    packet->pts += later;
    packet->dts += later;
    av_packet_rescale_ts(packet, in->time_base, job->out->streams[to]->time_base);
    packet->stream_index = to;
    must(av_interleaved_write_frame(job->out, packet), "write");
}

void remux(const char *source, const char *target, const char *container, char media,
           int64_t from_ns) {
    struct job job = {.from_ns = from_ns};
    AVPacket *packet = av_packet_alloc();
    must(packet == NULL ? AVERROR(ENOMEM) : 0, "packet");
    must(avformat_open_input(&job.in, source, NULL, NULL), source);
    must(avformat_find_stream_info(job.in, NULL), source);
    must(job.in->nb_streams > STREAMS_MAX ? AVERROR(E2BIG) : 0, source);
    must(avformat_alloc_output_context2(&job.out, NULL, container, target), container);
    for (unsigned i = 0; i < job.in->nb_streams; i++) {
        add_stream(&job, i, media);
    }
    must(avio_open(&job.out->pb, target, AVIO_FLAG_WRITE), target);
    job.out->flags |= AVFMT_FLAG_BITEXACT;
    must(avformat_write_header(job.out, NULL), "header");
    while (av_read_frame(job.in, packet) >= 0) {
        copy_packet(&job, packet);
        av_packet_unref(packet);
    }
    must(av_write_trailer(job.out), "trailer");
    must(avio_closep(&job.out->pb), target);
    avformat_free_context(job.out);
    avformat_close_input(&job.in);
    av_packet_free(&packet);
}
