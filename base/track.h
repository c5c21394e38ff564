/* What a session's tracks are: one immutable, refcounted set. Any change of codec, private data or
 * geometry is a new set, and a new set is a new reel. */
#ifndef BASE_TRACK_H
#define BASE_TRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

/* More than any producer here has (KVS allows 3); bounds sets, sample.track and parsers. */
#define KN_TRACKS_MAX 16
#define KN_TRACK_TEXT_BYTES 64
#define KN_TRACK_PRIVATE_MAX (1024u * 1024u)

enum kn_media { KN_MEDIA_OTHER, KN_MEDIA_VIDEO, KN_MEDIA_AUDIO, KN_MEDIA_TEXT };

enum kn_codec {
    KN_CODEC_OTHER, /* kept as it is; only the Matroska id names it */
    KN_CODEC_H264,
    KN_CODEC_H265,
    KN_CODEC_AV1,
    KN_CODEC_VP8,
    KN_CODEC_VP9,
    KN_CODEC_MJPEG,
    KN_CODEC_AAC,
    KN_CODEC_OPUS,
    KN_CODEC_PCMA,
    KN_CODEC_PCMU,
    KN_CODEC_G726,
    KN_CODEC_PCM_S16LE,
    KN_CODEC_PCM_S16BE
};

/* Plain values; 0 or "" where not known. */
struct kn_track {
    uint64_t number; /* the Matroska track number, 1 and up; blocks name it */
    uint64_t uid;
    enum kn_media media;
    enum kn_codec codec;
    char codec_id[KN_TRACK_TEXT_BYTES]; /* Matroska CodecID, e.g. "V_MPEG4/ISO/AVC" */
    char name[KN_TRACK_TEXT_BYTES];
    char language[KN_TRACK_TEXT_BYTES];
    const uint8_t *codec_private; /* owned by the set */
    size_t codec_private_bytes;
    int64_t default_duration_ns;
    int64_t codec_delay_ns;
    int64_t seek_preroll_ns;
    uint32_t width, height;                 /* coded picture, after cropping by the codec */
    uint32_t display_width, display_height; /* 0: as width and height */
    uint32_t sample_rate_hz;
    uint32_t channels;
    uint32_t bits_per_sample;
};

/* Refcounted; `count` and `items` may be read by every holder on any thread. */
struct kn_tracks {
    size_t count;
    const struct kn_track *items;
};

/* Copies everything. 0, -ENOMEM, -EINVAL (none or over KN_TRACKS_MAX, number 0 or twice, private
 * data over KN_TRACK_PRIVATE_MAX, text not terminated). */
KN_MUST_CHECK int kn_tracks_create(const struct kn_track *items, size_t count,
                                   struct kn_tracks **ret_tracks);
struct kn_tracks *kn_tracks_ref(struct kn_tracks *tracks);
/* NULL is fine. */
void kn_tracks_unref(struct kn_tracks *tracks);
bool kn_tracks_equal(const struct kn_tracks *a, const struct kn_tracks *b);
/* Index of the track with this Matroska number, or -ENOENT. */
int kn_tracks_find(const struct kn_tracks *tracks, uint64_t number);

/* The codec that a Matroska CodecID (and, for A_MS/ACM and V_MS/VFW/FOURCC, its private data)
 * names. */
enum kn_codec kn_codec_from_matroska(const char *codec_id, const uint8_t *codec_private,
                                     size_t codec_private_bytes);
/* "H.264", "AAC", ... ; "other" for KN_CODEC_OTHER. */
const char *kn_codec_name(enum kn_codec codec);
const char *kn_media_name(enum kn_media media);

#endif
