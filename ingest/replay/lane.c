#include "ingest/replay/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libavutil/intreadwrite.h>

#include "base/error.h"
#include "base/time.h"
#include "ingest/replay/codecs.h"
#include "ingest/replay/tracks.h"

/* What raw streams that do not say have, as a rule. */
#define FRAME_NS (40 * KN_NS_PER_MS)

static const AVRational nanosecond = {1, 1000000000};

static bool is_nal(const struct ing_lane *lane) {
    return lane->track.codec == KN_CODEC_H264 || lane->track.codec == KN_CODEC_H265;
}

/* ---- private data ---- */

static void show_private(struct ing_lane *lane) {
    bool nal = is_nal(lane);
    lane->track.codec_private = nal ? lane->video.record : lane->private_data;
    lane->track.codec_private_bytes = nal ? lane->video.record_bytes : lane->private_bytes;
}

/* Copies. */
static int set_private(struct ing_lane *lane, const uint8_t *data, size_t size, bool *ret_changed) {
    *ret_changed = false;
    if (size == 0 || size > KN_TRACK_PRIVATE_MAX ||
        (size == lane->private_bytes && memcmp(data, lane->private_data, size) == 0)) {
        return 0;
    }
    uint8_t *copy = malloc(size);
    if (copy == NULL) {
        return -ENOMEM;
    }
    memcpy(copy, data, size);
    free(lane->private_data);
    lane->private_data = copy;
    lane->private_bytes = size;
    *ret_changed = true;
    return 0;
}

/* The sequence header that stands in `data`, if one does, as av1C. */
static int adopt_av1(struct ing_lane *lane, const uint8_t *data, size_t size, bool *ret_changed) {
    struct ing_av1_sequence sequence;
    const uint8_t *obu = NULL, *known = NULL;
    size_t bytes = 0, known_bytes = 0;
    *ret_changed = false;
    if (ing_av1_find_sequence(data, size, &obu, &bytes) != 0 ||
        ing_av1_parse_sequence(obu, bytes, &sequence) != 0) {
        return 0;
    }
    /* The container's record may hold more, and is right as long as its sequence header is. */
    if (lane->private_bytes > 4 &&
        ing_av1_find_sequence(lane->private_data + 4, lane->private_bytes - 4, &known,
                              &known_bytes) == 0 &&
        known_bytes == bytes && memcmp(known, obu, bytes) == 0) {
        return 0;
    }
    struct kn_writer writer;
    kn_writer_init_growing(&writer, KN_TRACK_PRIVATE_MAX);
    ing_av1_write_record(&sequence, obu, bytes, &writer);
    int rc = kn_writer_status(&writer);
    if (rc == 0) {
        rc = set_private(lane, writer.data, writer.size, ret_changed);
    }
    kn_writer_finish(&writer);
    if (rc == 0 && *ret_changed) {
        lane->track.width = sequence.width;
        lane->track.height = sequence.height;
    }
    return rc == KN_E_LIMIT ? 0 : rc;
}

/* Extradata as libavformat has it, at the beginning or in between. */
static int adopt_extradata(struct ing_lane *lane, const uint8_t *data, size_t size,
                           bool *ret_changed) {
    *ret_changed = false;
    switch (lane->track.codec) {
    case KN_CODEC_H264:
    case KN_CODEC_H265:
        return ing_video_renew(&lane->video, data, size, ret_changed);
    case KN_CODEC_AV1:
        return size > 4 && data[0] == 0x81 ? set_private(lane, data, size, ret_changed)
                                           : adopt_av1(lane, data, size, ret_changed);
    case KN_CODEC_AAC:
    case KN_CODEC_OPUS:
        return set_private(lane, data, size, ret_changed);
    default:
        return 0; /* others need none, and what some containers have there is their own */
    }
}

bool ing_lane_is_ready(const struct ing_lane *lane) {
    switch (lane->track.codec) {
    case KN_CODEC_H264:
    case KN_CODEC_H265:
    case KN_CODEC_AV1:
    case KN_CODEC_AAC:
    case KN_CODEC_OPUS:
        return lane->track.codec_private_bytes > 0;
    default:
        return true;
    }
}

/* The parameter sets know better than containers. */
static void show_video_params(struct ing_lane *lane) {
    const struct frag_video_params *params = &lane->video.params;
    struct kn_track *track = &lane->track;
    if (!lane->video.described ||
        (track->width == params->width && track->height == params->height)) {
        return;
    }
    track->width = params->width;
    track->height = params->height;
    track->display_width = 0;
    track->display_height = 0;
    if (params->sar_width != params->sar_height) {
        track->display_width =
            (uint32_t)((uint64_t)params->width * params->sar_width / params->sar_height);
        track->display_height = params->height;
    }
}

/* ---- beginning ---- */

static int64_t find_step(const struct ing_lane *lane) {
    AVRational rate = ing_track_rate(lane->stream);
    if (lane->track.default_duration_ns > 0) {
        return lane->track.default_duration_ns;
    }
    if (lane->track.media == KN_MEDIA_VIDEO) {
        return rate.num > 0 ? av_rescale(KN_NS_PER_S, rate.den, rate.num) : FRAME_NS;
    }
    return 0;
}

int ing_lane_init(struct ing_lane *lane, const AVStream *stream, bool *ret_recorded) {
    const AVCodecParameters *codec = stream->codecpar;
    size_t size = codec->extradata_size > 0 ? (size_t)codec->extradata_size : 0;
    uint8_t wave[ING_WAVE_BYTES];
    bool changed;
    int rc = 0;
    lane->stream = stream;
    if (!ing_track_of(stream, &lane->track)) {
        *ret_recorded = false;
        return 0;
    }
    if (lane->track.codec == KN_CODEC_PCMA || lane->track.codec == KN_CODEC_PCMU) {
        ing_track_write_wave(&lane->track, wave);
        rc = set_private(lane, wave, sizeof(wave), &changed);
    } else if (is_nal(lane)) {
        rc = ing_video_init(&lane->video, lane->track.codec, codec->extradata, size);
    } else {
        lane->adts = lane->track.codec == KN_CODEC_AAC && size == 0;
        rc = adopt_extradata(lane, codec->extradata, size, &changed);
    }
    show_private(lane);
    show_video_params(lane);
    lane->step_ns = find_step(lane);
    *ret_recorded = true;
    return rc;
}

void ing_lane_finish(struct ing_lane *lane) {
    ing_video_finish(&lane->video);
    free(lane->private_data);
    if (lane->parser != NULL) {
        av_parser_close(lane->parser);
    }
    avcodec_free_context(&lane->context);
    *lane = (struct ing_lane){0};
}

static int reorder_frames(const struct ing_lane *lane) {
    int frames = lane->stream->codecpar->video_delay;
    if (lane->video.described && lane->video.params.reorder_frames >= 0) {
        frames = lane->video.params.reorder_frames;
    }
    return frames < 0 ? 0 : (frames > (int)ING_ORDER_DEPTH_MAX ? (int)ING_ORDER_DEPTH_MAX : frames);
}

int64_t ing_lane_reorder_ns(const struct ing_lane *lane) {
    return lane->track.media == KN_MEDIA_VIDEO ? reorder_frames(lane) * lane->step_ns : 0;
}

/* ---- times ---- */

/* What does not fit becomes INT64_MIN, which is ING_TIME_NONE. */
static int64_t to_ns(const struct ing_lane *lane, int64_t value) {
    return av_rescale_q(value, lane->stream->time_base, nanosecond);
}

/* libavformat has taken the codec's delay off, in whole ticks; in Matroska a block's time contains
 * it. */
static int64_t to_time(const struct ing_lane *lane, int64_t value) {
    int64_t delay = av_rescale_q(lane->track.codec_delay_ns, nanosecond, lane->stream->time_base);
    if (value == AV_NOPTS_VALUE || !kn_i64_add(value, delay, &value)) {
        return ING_TIME_NONE;
    }
    return to_ns(lane, value);
}

struct ing_stamp ing_lane_stamp(const struct ing_lane *lane, const AVPacket *packet) {
    struct ing_stamp stamp = {
        .pts_ns = to_time(lane, packet->pts),
        .dts_ns = to_time(lane, packet->dts),
        .duration_ns = packet->duration > 0 ? to_ns(lane, packet->duration) : 0,
    };
    int64_t usual = lane->track.default_duration_ns;
    /* Containers that count milliseconds mean the track's own duration. */
    if (usual > 0 && stamp.duration_ns > usual - KN_NS_PER_MS &&
        stamp.duration_ns < usual + KN_NS_PER_MS) {
        stamp.duration_ns = usual;
    }
    return stamp;
}

/* ---- packets ---- */

static int look_at_side_data(struct ing_lane *lane, const AVPacket *packet, bool *ret_changed) {
    size_t size = 0;
    const uint8_t *data = av_packet_get_side_data(packet, AV_PKT_DATA_NEW_EXTRADATA, &size);
    *ret_changed = false;
    return data == NULL || size == 0 ? 0 : adopt_extradata(lane, data, size, ret_changed);
}

static int look_at_nals(struct ing_lane *lane, const AVPacket *packet,
                        struct ing_lane_frame *frame) {
    bool flagged = (packet->flags & AV_PKT_FLAG_KEY) != 0;
    int rc =
        ing_video_look(&lane->video, packet->data, (size_t)packet->size, flagged, &frame->video);
    if (rc != 0) {
        return rc;
    }
    const struct ing_video_frame *video = &frame->video;
    frame->changed |= video->changed;
    frame->resets_order = video->resets_order;
    frame->nothing = video->annexb && video->new_bytes == 0; /* start codes alone */
    frame->flags = (uint16_t)((video->key ? KN_SAMPLE_KEY : 0) |
                              (video->disposable ? KN_SAMPLE_DISPOSABLE : 0) |
                              (video->malformed ? KN_SAMPLE_MALFORMED : 0));
    return 0;
}

static int look_at_adts(struct ing_lane *lane, const AVPacket *packet,
                        struct ing_lane_frame *frame) {
    struct ing_adts adts;
    bool changed;
    if (ing_adts_parse(packet->data, (size_t)packet->size, &adts) != 0) {
        frame->nothing = true;
        return 0;
    }
    int rc = set_private(lane, adts.config, sizeof(adts.config), &changed);
    frame->changed |= rc == 0 && changed;
    frame->skip = adts.header_bytes;
    return rc;
}

/* A picture of another size than the one before. */
static void look_at_size(struct ing_lane *lane, const AVPacket *packet,
                         struct ing_lane_frame *frame) {
    uint32_t width, height;
    if (!ing_picture_size(lane->track.codec, packet->data, (size_t)packet->size, &width, &height)) {
        return;
    }
    if (lane->width != 0 && (lane->width != width || lane->height != height)) {
        lane->track.width = width;
        lane->track.height = height;
        lane->track.display_width = 0;
        lane->track.display_height = 0;
        frame->changed = true;
    }
    lane->width = width;
    lane->height = height;
}

static int look_at_av1(struct ing_lane *lane, const AVPacket *packet,
                       struct ing_lane_frame *frame) {
    bool changed;
    int rc = adopt_av1(lane, packet->data, (size_t)packet->size, &changed);
    frame->changed |= rc == 0 && changed;
    frame->skip = ing_av1_delimiters(packet->data, (size_t)packet->size);
    return rc;
}

static void look_at_flags(const struct ing_lane *lane, const AVPacket *packet,
                          struct ing_lane_frame *frame) {
    bool video = lane->track.media == KN_MEDIA_VIDEO;
    if (!is_nal(lane) && (!video || (packet->flags & AV_PKT_FLAG_KEY) != 0)) {
        frame->flags |= KN_SAMPLE_KEY; /* every sound packet can be decoded alone */
    }
    if (video && (packet->flags & AV_PKT_FLAG_DISCARD) != 0) {
        frame->flags |= KN_SAMPLE_INVISIBLE;
    }
    if (video && (packet->flags & AV_PKT_FLAG_DISPOSABLE) != 0) {
        frame->flags |= KN_SAMPLE_DISPOSABLE;
    }
}

int ing_lane_look(struct ing_lane *lane, const AVPacket *packet, struct ing_lane_frame *ret_frame) {
    struct ing_lane_frame frame = {0};
    int rc = look_at_side_data(lane, packet, &frame.changed);
    if (rc == 0 && is_nal(lane)) {
        rc = look_at_nals(lane, packet, &frame);
    } else if (rc == 0 && lane->adts) {
        rc = look_at_adts(lane, packet, &frame);
    } else if (rc == 0 && lane->track.codec == KN_CODEC_AV1) {
        rc = look_at_av1(lane, packet, &frame);
    } else if (rc == 0) {
        look_at_size(lane, packet, &frame);
    }
    show_private(lane); /* it may have moved */
    if (rc != 0) {
        return rc;
    }
    if (frame.changed) {
        show_video_params(lane);
    }
    look_at_flags(lane, packet, &frame);
    frame.nothing |= (size_t)packet->size <= frame.skip;
    *ret_frame = frame;
    return 0;
}

/* ---- samples ---- */

static void release_packet(void *user) {
    AVPacket *packet = user;
    av_packet_free(&packet);
}

static int convert(const struct ing_lane *lane, const AVPacket *packet,
                   const struct ing_lane_frame *frame, struct kn_buffer **ret_buffer) {
    uint8_t *room = NULL;
    struct kn_buffer *buffer = NULL;
    int rc = kn_buffer_alloc(NULL, frame->video.new_bytes, &room, &buffer);
    if (rc == 0) {
        ing_video_write(&lane->video, &frame->video, packet->data, (size_t)packet->size, room);
        *ret_buffer = buffer;
    }
    return rc;
}

/* Sound that the container wants thrown away behind the packet. What is to be thrown away at the
 * beginning follows from the codec's delay. */
static int64_t find_discard(const struct ing_lane *lane, const AVPacket *packet) {
    size_t size = 0;
    const uint8_t *data = av_packet_get_side_data(packet, AV_PKT_DATA_SKIP_SAMPLES, &size);
    if (data == NULL || size < 10 || lane->track.sample_rate_hz == 0) {
        return 0;
    }
    return av_rescale(AV_RL32(data + 4), KN_NS_PER_S, lane->track.sample_rate_hz);
}

int ing_lane_sample(struct ing_lane *lane, AVPacket *packet, const struct ing_lane_frame *frame,
                    struct kn_sample *ret_sample) {
    struct kn_buffer *buffer = NULL;
    size_t skip = frame->skip;
    int64_t discard_ns = find_discard(lane, packet);
    int rc;
    if (frame->video.new_bytes > 0) {
        rc = convert(lane, packet, frame, &buffer);
        av_packet_free(&packet);
    } else {
        rc = kn_buffer_wrap(NULL, packet->data, (size_t)packet->size, release_packet, packet,
                            &buffer);
        if (rc != 0) {
            av_packet_free(&packet);
        }
    }
    if (rc != 0) {
        return rc;
    }
    *ret_sample = (struct kn_sample){
        .buffer = buffer,
        .data = buffer->data + skip,
        .size = buffer->size - skip,
        .discard_ns = discard_ns,
        .flags = frame->flags,
    };
    return 0;
}

/* ---- order ---- */

void ing_lane_renew_order(struct ing_lane *lane) {
    lane->order =
        (struct ing_order){.depth = (unsigned)reorder_frames(lane), .step_ns = lane->step_ns};
}

int ing_lane_begin_order(struct ing_lane *lane) {
    const AVCodecParameters *codec = lane->stream->codecpar;
    ing_lane_renew_order(lane);
    lane->parser = av_parser_init((int)codec->codec_id);
    if (lane->parser == NULL) {
        return KN_E_UNSUPPORTED;
    }
    lane->parser->flags |= PARSER_FLAG_COMPLETE_FRAMES;
    lane->context = avcodec_alloc_context3(NULL);
    if (lane->context == NULL || avcodec_parameters_to_context(lane->context, codec) < 0) {
        return -ENOMEM;
    }
    return 0;
}

int64_t ing_lane_order_count(struct ing_lane *lane, const AVPacket *packet) {
    uint8_t *frame = NULL;
    int size = 0;
    (void)av_parser_parse2(lane->parser, lane->context, &frame, &size, packet->data, packet->size,
                           AV_NOPTS_VALUE, AV_NOPTS_VALUE, -1); /* it takes all, being whole */
    return lane->parser->output_picture_number;
}
