/* Which tracks MP4 carries, and as what. */
#include "playback/export_mp4_tracks.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/time.h"
#include "fragments/fragments.h"

#define OPUS_RATE 48000
#define OPUS_PACKET 960
#define AAC_PACKET 1024

/* What the private data of a track must be for its sample entry. */
struct carried {
    enum kn_codec codec;
    enum AVCodecID id;
    uint32_t tag; /* 0: the muxer's choice */
    size_t private_min;
    int private_begins; /* with this byte; -1: any */
};

static const struct carried carried[] = {
    {KN_CODEC_H264, AV_CODEC_ID_H264, 0, 7, 1},
    /* Apple's players want the parameter sets in front: hvc1, not hev1. */
    {KN_CODEC_H265, AV_CODEC_ID_HEVC, MKTAG('h', 'v', 'c', '1'), 23, 1},
    {KN_CODEC_AV1, AV_CODEC_ID_AV1, 0, 4, 0x81},
    {KN_CODEC_VP9, AV_CODEC_ID_VP9, 0, 0, -1},
    {KN_CODEC_MJPEG, AV_CODEC_ID_MJPEG, 0, 0, -1},
    {KN_CODEC_AAC, AV_CODEC_ID_AAC, 0, 2, -1},
    {KN_CODEC_OPUS, AV_CODEC_ID_OPUS, 0, 19, 'O'},
};

static const struct carried *find_carried(const struct kn_track *track) {
    for (size_t i = 0; i < KN_COUNT(carried); i++) {
        bool kind = track->media == KN_MEDIA_VIDEO || track->media == KN_MEDIA_AUDIO;
        if (carried[i].codec == track->codec && kind) {
            return &carried[i];
        }
    }
    return NULL;
}

/* The parameter sets say it where the track does not. */
static void find_size(const struct kn_track *track, uint32_t *ret_width, uint32_t *ret_height) {
    struct frag_param_sets sets;
    struct frag_video_params params;
    *ret_width = track->width;
    *ret_height = track->height;
    if (track->width != 0 && track->height != 0) {
        return;
    }
    int rc = track->codec == KN_CODEC_H264
                 ? frag_avcc_parse(track->codec_private, track->codec_private_bytes, &sets)
                 : frag_hvcc_parse(track->codec_private, track->codec_private_bytes, &sets);
    if (rc == 0 && frag_param_sets_describe(track->codec, &sets, &params) == 0) {
        *ret_width = params.width;
        *ret_height = params.height;
    }
}

static bool has_size(const struct kn_track *track) {
    uint32_t width = 0;
    uint32_t height = 0;
    find_size(track, &width, &height);
    return width > 0 && height > 0 && width <= UINT16_MAX && height <= UINT16_MAX;
}

const char *play_mp4_refusal(const struct kn_track *track) {
    const struct carried *how = find_carried(track);
    if (how == NULL) {
        return "MP4 cannot carry it here";
    }
    if (track->codec_private_bytes < how->private_min ||
        (how->private_begins >= 0 && track->codec_private[0] != how->private_begins)) {
        return "the codec's setup data is missing";
    }
    if (track->media == KN_MEDIA_VIDEO && !has_size(track)) {
        return "the size of its pictures is not known";
    }
    if (track->codec == KN_CODEC_AAC &&
        (track->sample_rate_hz == 0 || track->sample_rate_hz > 96000)) {
        return "its sampling rate is not known";
    }
    return NULL;
}

/* ---- VP9 ---- */

/* Bits a sample and subsampling stand at the beginning of a key frame (VP9 bitstream, 6.2). */
static enum AVPixelFormat vp9_format(const struct kn_sample *sample) {
    struct kn_bits bits;
    kn_bits_init(&bits, sample == NULL ? NULL : sample->data, sample == NULL ? 0 : sample->size);
    kn_bits_skip(&bits, 2); /* frame_marker */
    unsigned profile = kn_bits_read(&bits, 1);
    profile |= kn_bits_read(&bits, 1) << 1;
    kn_bits_skip(&bits, profile == 3 ? 1 : 0);
    kn_bits_skip(&bits, 1 + 1 + 1 + 1 + 24); /* show_existing, type, show, error_res, sync code */
    bool twelve = profile >= 2 && kn_bits_read(&bits, 1) == 1;
    unsigned color_space = kn_bits_read(&bits, 3);
    kn_bits_skip(&bits, color_space == 7 ? 0 : 1); /* color_range */
    bool both = profile == 1 || profile == 3;
    unsigned subsampling = both && color_space != 7 ? kn_bits_read(&bits, 2) : both ? 0 : 3;
    if (kn_bits_status(&bits) != 0) {
        return AV_PIX_FMT_YUV420P;
    }
    static const enum AVPixelFormat formats[3][4] = {
        {AV_PIX_FMT_YUV444P, AV_PIX_FMT_YUV440P, AV_PIX_FMT_YUV422P, AV_PIX_FMT_YUV420P},
        {AV_PIX_FMT_YUV444P10, AV_PIX_FMT_YUV440P10, AV_PIX_FMT_YUV422P10, AV_PIX_FMT_YUV420P10},
        {AV_PIX_FMT_YUV444P12, AV_PIX_FMT_YUV440P12, AV_PIX_FMT_YUV422P12, AV_PIX_FMT_YUV420P12},
    };
    return formats[profile < 2 ? 0 : twelve ? 2 : 1][subsampling];
}

/* ---- streams ---- */

static int set_private(const struct kn_track *track, AVCodecParameters *params) {
    size_t size = track->codec_private_bytes;
    if (size == 0) {
        return 0;
    }
    params->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (params->extradata == NULL) {
        return -ENOMEM;
    }
    memcpy(params->extradata, track->codec_private, size);
    params->extradata_size = (int)size;
    return 0;
}

static void describe_video(const struct kn_track *track, const struct kn_sample *sample,
                           AVStream *stream) {
    AVCodecParameters *params = stream->codecpar;
    uint32_t width = 0;
    uint32_t height = 0;
    find_size(track, &width, &height);
    params->codec_type = AVMEDIA_TYPE_VIDEO;
    params->width = (int)width;
    params->height = (int)height;
    params->format = track->codec == KN_CODEC_VP9 ? vp9_format(sample) : AV_PIX_FMT_YUV420P;
    if (track->display_width != 0 && track->display_height != 0) {
        (void)av_reduce(&stream->sample_aspect_ratio.num, &stream->sample_aspect_ratio.den,
                        (int64_t)track->display_width * height,
                        (int64_t)track->display_height * width, INT16_MAX); /* rounded is fine */
        params->sample_aspect_ratio = stream->sample_aspect_ratio;
    }
    stream->time_base = (AVRational){1, PLAY_MP4_VIDEO_RATE};
}

static void describe_audio(const struct kn_track *track, AVStream *stream) {
    AVCodecParameters *params = stream->codecpar;
    bool opus = track->codec == KN_CODEC_OPUS;
    params->codec_type = AVMEDIA_TYPE_AUDIO;
    params->sample_rate = opus ? OPUS_RATE : (int)track->sample_rate_hz;
    params->frame_size = opus ? OPUS_PACKET : AAC_PACKET;
    av_channel_layout_default(&params->ch_layout, track->channels == 0 || track->channels > 64
                                                      ? 1
                                                      : (int)track->channels);
    stream->time_base = (AVRational){1, params->sample_rate};
}

int play_mp4_describe(const struct kn_track *track, const struct kn_sample *sample,
                      AVStream *stream) {
    const struct carried *how = find_carried(track);
    KN_ASSERT(how != NULL);
    stream->codecpar->codec_id = how->id;
    stream->codecpar->codec_tag = how->tag;
    if (track->media == KN_MEDIA_VIDEO) {
        describe_video(track, sample, stream);
    } else {
        describe_audio(track, stream);
    }
    if (strlen(track->language) == 3 &&
        av_dict_set(&stream->metadata, "language", track->language, 0) < 0) {
        return -ENOMEM;
    }
    return set_private(track, stream->codecpar);
}

/* ---- packets of sound ---- */

/* RFC 6716, 3.1: what a packet's first byte says about each of its frames. */
static int64_t opus_frame(uint8_t toc) {
    static const int silk[] = {480, 960, 1920, 2880};
    unsigned config = toc >> 3;
    if (config < 12) {
        return silk[config % 4];
    }
    return config < 16 ? 480 << (config % 2) : 120 << (config % 4);
}

static int64_t opus_length(const struct kn_sample *sample) {
    struct kn_reader reader;
    kn_reader_init(&reader, sample->data, sample->size);
    uint8_t toc = kn_read_u8(&reader);
    unsigned code = toc & 3;
    unsigned frames = code == 0 ? 1 : code < 3 ? 2 : kn_read_u8(&reader) & 63;
    int64_t length = opus_frame(toc) * frames;
    return kn_reader_status(&reader) == 0 && length > 0 ? length : OPUS_PACKET;
}

int64_t play_mp4_sound_length(const struct kn_track *track, const struct kn_sample *sample) {
    if (track->codec == KN_CODEC_OPUS) {
        return opus_length(sample);
    }
    /* The nearest of what there is: the time that a track says is rounded, too. */
    static const int64_t lengths[] = {480, 512, 960, AAC_PACKET, 2048};
    int64_t said =
        av_rescale(track->default_duration_ns, (int64_t)track->sample_rate_hz, KN_NS_PER_S);
    int64_t nearest = AAC_PACKET;
    for (size_t i = 0; said > 0 && i < KN_COUNT(lengths); i++) {
        if (llabs(lengths[i] - said) < llabs(nearest - said)) {
            nearest = lengths[i];
        }
    }
    return nearest;
}
