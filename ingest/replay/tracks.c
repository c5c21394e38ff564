#include "ingest/replay/tracks.h"

#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/text.h"
#include "base/time.h"

/* RFC 7845, 4.6: a decoder of Opus converges within 80 ms. */
#define OPUS_PREROLL_NS (80 * KN_NS_PER_MS)

struct known_codec {
    enum AVCodecID av;
    enum kn_media media;
    enum kn_codec codec;
    const char *id; /* in Matroska */
};

static const struct known_codec known_codecs[] = {
    {AV_CODEC_ID_H264, KN_MEDIA_VIDEO, KN_CODEC_H264, "V_MPEG4/ISO/AVC"},
    {AV_CODEC_ID_HEVC, KN_MEDIA_VIDEO, KN_CODEC_H265, "V_MPEGH/ISO/HEVC"},
    {AV_CODEC_ID_AV1, KN_MEDIA_VIDEO, KN_CODEC_AV1, "V_AV1"},
    {AV_CODEC_ID_VP8, KN_MEDIA_VIDEO, KN_CODEC_VP8, "V_VP8"},
    {AV_CODEC_ID_VP9, KN_MEDIA_VIDEO, KN_CODEC_VP9, "V_VP9"},
    {AV_CODEC_ID_MJPEG, KN_MEDIA_VIDEO, KN_CODEC_MJPEG, "V_MJPEG"},
    {AV_CODEC_ID_AAC, KN_MEDIA_AUDIO, KN_CODEC_AAC, "A_AAC"},
    {AV_CODEC_ID_OPUS, KN_MEDIA_AUDIO, KN_CODEC_OPUS, "A_OPUS"},
    {AV_CODEC_ID_PCM_ALAW, KN_MEDIA_AUDIO, KN_CODEC_PCMA, "A_MS/ACM"},
    {AV_CODEC_ID_PCM_MULAW, KN_MEDIA_AUDIO, KN_CODEC_PCMU, "A_MS/ACM"},
    {AV_CODEC_ID_PCM_S16LE, KN_MEDIA_AUDIO, KN_CODEC_PCM_S16LE, "A_PCM/INT/LIT"},
    {AV_CODEC_ID_PCM_S16BE, KN_MEDIA_AUDIO, KN_CODEC_PCM_S16BE, "A_PCM/INT/BIG"},
};

static const struct known_codec *find_codec(enum AVCodecID id) {
    for (size_t i = 0; i < KN_COUNT(known_codecs); i++) {
        if (known_codecs[i].av == id) {
            return &known_codecs[i];
        }
    }
    return NULL;
}

static bool is_rate(AVRational rate) {
    return rate.num > 0 && rate.den > 0;
}

AVRational ing_track_rate(const AVStream *stream) {
    AVRational rate =
        is_rate(stream->avg_frame_rate) ? stream->avg_frame_rate : stream->r_frame_rate;
    return is_rate(rate) ? rate : (AVRational){0, 0};
}

/* The two rates agree where every picture lasts as long as the next. */
static bool is_steady(const AVStream *stream) {
    double average = av_q2d(stream->avg_frame_rate), base = av_q2d(stream->r_frame_rate);
    return is_rate(stream->avg_frame_rate) && is_rate(stream->r_frame_rate) &&
           average > base * 0.99 && average < base * 1.01;
}

static void fill_video(const AVStream *stream, struct kn_track *track) {
    const AVCodecParameters *codec = stream->codecpar;
    AVRational sar = is_rate(codec->sample_aspect_ratio) ? codec->sample_aspect_ratio
                                                         : stream->sample_aspect_ratio;
    track->width = codec->width > 0 ? (uint32_t)codec->width : 0;
    track->height = codec->height > 0 ? (uint32_t)codec->height : 0;
    if (is_rate(sar) && sar.num != sar.den && codec->width > 0) {
        track->display_width = (uint32_t)av_rescale(codec->width, sar.num, sar.den);
        track->display_height = track->height;
    }
    if (is_steady(stream)) {
        track->default_duration_ns =
            av_rescale(KN_NS_PER_S, stream->avg_frame_rate.den, stream->avg_frame_rate.num);
    }
}

static bool fill_audio(const AVStream *stream, struct kn_track *track) {
    const AVCodecParameters *codec = stream->codecpar;
    if (codec->sample_rate <= 0 || codec->ch_layout.nb_channels <= 0) {
        return false; /* announced, and no packet of it was found */
    }
    track->sample_rate_hz = (uint32_t)codec->sample_rate;
    track->channels = (uint32_t)codec->ch_layout.nb_channels;
    switch (track->codec) {
    case KN_CODEC_AAC:
        if (codec->frame_size > 0) {
            track->default_duration_ns =
                av_rescale(KN_NS_PER_S, codec->frame_size, codec->sample_rate);
        }
        break;
    case KN_CODEC_OPUS:
        track->codec_delay_ns = av_rescale(KN_NS_PER_S, codec->initial_padding, 48000);
        track->seek_preroll_ns = OPUS_PREROLL_NS;
        break;
    case KN_CODEC_PCMA:
    case KN_CODEC_PCMU:
        track->bits_per_sample = 8;
        break;
    default:
        track->bits_per_sample = 16;
        break;
    }
    return true;
}

static void fill_text(const AVStream *stream, const char *key, char room[KN_TRACK_TEXT_BYTES]) {
    const AVDictionaryEntry *entry = av_dict_get(stream->metadata, key, NULL, 0);
    if (entry != NULL) {
        (void)kn_text_plain(entry->value, strlen(entry->value), room, KN_TRACK_TEXT_BYTES);
    }
}

bool ing_track_of(const AVStream *stream, struct kn_track *ret_track) {
    const struct known_codec *known = find_codec(stream->codecpar->codec_id);
    if (known == NULL || (stream->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) {
        return false;
    }
    struct kn_track track = {.media = known->media, .codec = known->codec};
    (void)snprintf(track.codec_id, sizeof(track.codec_id), "%s", known->id);
    fill_text(stream, "title", track.name);
    fill_text(stream, "language", track.language);
    if (known->media == KN_MEDIA_VIDEO) {
        fill_video(stream, &track);
    } else if (!fill_audio(stream, &track)) {
        return false;
    }
    *ret_track = track;
    return true;
}

static uint8_t *put_le(uint8_t *at, uint32_t value, unsigned bytes) {
    for (; bytes > 0; bytes--, value >>= 8) {
        *at++ = (uint8_t)value;
    }
    return at;
}

void ing_track_write_wave(const struct kn_track *track, uint8_t room[static ING_WAVE_BYTES]) {
    uint32_t channels = track->channels;
    uint8_t *at = put_le(room, track->codec == KN_CODEC_PCMA ? 6 : 7, 2);
    at = put_le(at, channels, 2);
    at = put_le(at, track->sample_rate_hz, 4);
    at = put_le(at, track->sample_rate_hz * channels, 4); /* bytes a second: one a sample */
    at = put_le(at, channels, 2);
    at = put_le(at, track->bits_per_sample, 2);
    (void)put_le(at, 0, 2); /* nothing follows */
}
