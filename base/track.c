#include "base/track.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"

/* One owner: its references. One allocation: this, the tracks, then their private data. */
struct set {
    struct kn_tracks face;
    atomic_size_t refs;
    struct kn_track items[];
};

static struct set *from_face(struct kn_tracks *face) {
    return (struct set *)face;
}

static bool text_ends(const char text[static KN_TRACK_TEXT_BYTES]) {
    return memchr(text, '\0', KN_TRACK_TEXT_BYTES) != NULL;
}

static bool track_is_valid(const struct kn_track *track) {
    if (track->number == 0 || track->codec_private_bytes > KN_TRACK_PRIVATE_MAX ||
        (track->codec_private == NULL && track->codec_private_bytes != 0)) {
        return false;
    }
    return text_ends(track->codec_id) && text_ends(track->name) && text_ends(track->language);
}

static bool numbers_differ(const struct kn_track *items, size_t count) {
    for (size_t i = 1; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (items[i].number == items[j].number) {
                return false;
            }
        }
    }
    return true;
}

int kn_tracks_create(const struct kn_track *items, size_t count, struct kn_tracks **ret_tracks) {
    if (count == 0 || count > KN_TRACKS_MAX) {
        return -EINVAL;
    }
    size_t bytes = sizeof(struct set) + count * sizeof(struct kn_track);
    for (size_t i = 0; i < count; i++) {
        if (!track_is_valid(&items[i])) {
            return -EINVAL;
        }
        bytes += items[i].codec_private_bytes; /* both factors are bounded */
    }
    if (!numbers_differ(items, count)) {
        return -EINVAL;
    }
    struct set *set = malloc(bytes);
    if (set == NULL) {
        return -ENOMEM;
    }
    set->face = (struct kn_tracks){.count = count, .items = set->items};
    atomic_init(&set->refs, 1);
    uint8_t *room = (uint8_t *)&set->items[count];
    for (size_t i = 0; i < count; i++) {
        size_t size = items[i].codec_private_bytes;
        set->items[i] = items[i];
        set->items[i].codec_private = NULL;
        if (size > 0) {
            memcpy(room, items[i].codec_private, size);
            set->items[i].codec_private = room;
            room += size;
        }
    }
    *ret_tracks = &set->face;
    return 0;
}

struct kn_tracks *kn_tracks_ref(struct kn_tracks *tracks) {
    atomic_fetch_add_explicit(&from_face(tracks)->refs, 1, memory_order_relaxed);
    return tracks;
}

void kn_tracks_unref(struct kn_tracks *tracks) {
    if (tracks != NULL &&
        atomic_fetch_sub_explicit(&from_face(tracks)->refs, 1, memory_order_acq_rel) == 1) {
        free(from_face(tracks));
    }
}

static bool texts_equal(const struct kn_track *a, const struct kn_track *b) {
    return strcmp(a->codec_id, b->codec_id) == 0 && strcmp(a->name, b->name) == 0 &&
           strcmp(a->language, b->language) == 0;
}

static bool private_equal(const struct kn_track *a, const struct kn_track *b) {
    size_t size = a->codec_private_bytes;
    return size == b->codec_private_bytes &&
           (size == 0 || memcmp(a->codec_private, b->codec_private, size) == 0);
}

static bool track_equal(const struct kn_track *a, const struct kn_track *b) {
    return a->number == b->number && a->uid == b->uid && a->media == b->media &&
           a->codec == b->codec && a->default_duration_ns == b->default_duration_ns &&
           a->codec_delay_ns == b->codec_delay_ns && a->seek_preroll_ns == b->seek_preroll_ns &&
           a->width == b->width && a->height == b->height && a->display_width == b->display_width &&
           a->display_height == b->display_height && a->sample_rate_hz == b->sample_rate_hz &&
           a->channels == b->channels && a->bits_per_sample == b->bits_per_sample &&
           texts_equal(a, b) && private_equal(a, b);
}

bool kn_tracks_equal(const struct kn_tracks *a, const struct kn_tracks *b) {
    if (a == b) {
        return true;
    }
    if (a == NULL || b == NULL || a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!track_equal(&a->items[i], &b->items[i])) {
            return false;
        }
    }
    return true;
}

int kn_tracks_find(const struct kn_tracks *tracks, uint64_t number) {
    for (size_t i = 0; i < tracks->count; i++) {
        if (tracks->items[i].number == number) {
            return (int)i;
        }
    }
    return -ENOENT;
}

/* ---- codecs ---- */

/* The private data is a BITMAPINFOHEADER; the codec is its biCompression. */
static enum kn_codec codec_from_bitmap(const uint8_t *data, size_t size) {
    static const struct {
        char fourcc[5];
        enum kn_codec codec;
    } known[] = {
        {"H264", KN_CODEC_H264},  {"avc1", KN_CODEC_H264}, {"HEVC", KN_CODEC_H265},
        {"H265", KN_CODEC_H265},  {"hev1", KN_CODEC_H265}, {"hvc1", KN_CODEC_H265},
        {"MJPG", KN_CODEC_MJPEG},
    };
    struct kn_reader reader;
    kn_reader_init(&reader, data, size);
    kn_read_skip(&reader, 16);
    const uint8_t *fourcc = kn_read_bytes(&reader, 4);
    for (size_t i = 0; fourcc != NULL && i < KN_COUNT(known); i++) {
        if (strncasecmp((const char *)fourcc, known[i].fourcc, 4) == 0) {
            return known[i].codec;
        }
    }
    return KN_CODEC_OTHER;
}

/* The private data is a WAVEFORMATEX: tag, channels, rate, bytes a second, block, bits a sample. */
static enum kn_codec codec_from_wave(const uint8_t *data, size_t size) {
    struct kn_reader reader;
    kn_reader_init(&reader, data, size);
    uint16_t tag = kn_read_le16(&reader); /* 0 is no known tag */
    kn_read_skip(&reader, 12);
    uint16_t bits = kn_read_le16(&reader); /* 0 where the header is cut short */
    switch (tag) {
    case 0x0001:
        return bits == 16 || bits == 0 ? KN_CODEC_PCM_S16LE : KN_CODEC_OTHER;
    case 0x0006:
        return KN_CODEC_PCMA;
    case 0x0007:
        return KN_CODEC_PCMU;
    case 0x0045:
    case 0x0064:
        return KN_CODEC_G726;
    case 0x00ff:
    case 0x1610:
        return KN_CODEC_AAC;
    default:
        return KN_CODEC_OTHER;
    }
}

enum kn_codec kn_codec_from_matroska(const char *codec_id, const uint8_t *codec_private,
                                     size_t codec_private_bytes) {
    static const struct {
        const char *id;
        enum kn_codec codec;
    } known[] = {
        {"V_MPEG4/ISO/AVC", KN_CODEC_H264},
        {"V_MPEG/ISO/AVC", KN_CODEC_H264}, /* written by some KVS producers */
        {"V_MPEGH/ISO/HEVC", KN_CODEC_H265},
        {"V_MPEG/ISO/HEVC", KN_CODEC_H265},
        {"V_AV1", KN_CODEC_AV1},
        {"V_VP8", KN_CODEC_VP8},
        {"V_VP9", KN_CODEC_VP9},
        {"V_MJPEG", KN_CODEC_MJPEG},
        {"A_AAC", KN_CODEC_AAC},
        {"A_OPUS", KN_CODEC_OPUS},
        /* Of other depths only the track's bits_per_sample tells. */
        {"A_PCM/INT/LIT", KN_CODEC_PCM_S16LE},
        {"A_PCM/INT/BIG", KN_CODEC_PCM_S16BE},
    };
    if (codec_id == NULL) {
        return KN_CODEC_OTHER;
    }
    for (size_t i = 0; i < KN_COUNT(known); i++) {
        if (strcmp(codec_id, known[i].id) == 0) {
            return known[i].codec;
        }
    }
    if (strncmp(codec_id, "A_AAC/", 6) == 0) {
        return KN_CODEC_AAC; /* the old ids: A_AAC/MPEG4/LC and the like */
    }
    if (strcmp(codec_id, "V_MS/VFW/FOURCC") == 0) {
        return codec_from_bitmap(codec_private, codec_private_bytes);
    }
    if (strcmp(codec_id, "A_MS/ACM") == 0) {
        return codec_from_wave(codec_private, codec_private_bytes);
    }
    return KN_CODEC_OTHER;
}

const char *kn_codec_name(enum kn_codec codec) {
    switch (codec) {
    case KN_CODEC_OTHER:
        return "other";
    case KN_CODEC_H264:
        return "H.264";
    case KN_CODEC_H265:
        return "H.265";
    case KN_CODEC_AV1:
        return "AV1";
    case KN_CODEC_VP8:
        return "VP8";
    case KN_CODEC_VP9:
        return "VP9";
    case KN_CODEC_MJPEG:
        return "MJPEG";
    case KN_CODEC_AAC:
        return "AAC";
    case KN_CODEC_OPUS:
        return "Opus";
    case KN_CODEC_PCMA:
        return "G.711 A-law";
    case KN_CODEC_PCMU:
        return "G.711 mu-law";
    case KN_CODEC_G726:
        return "G.726";
    case KN_CODEC_PCM_S16LE:
        return "PCM S16LE";
    case KN_CODEC_PCM_S16BE:
        return "PCM S16BE";
    }
    return "other";
}

const char *kn_media_name(enum kn_media media) {
    switch (media) {
    case KN_MEDIA_OTHER:
        return "other";
    case KN_MEDIA_VIDEO:
        return "video";
    case KN_MEDIA_AUDIO:
        return "audio";
    case KN_MEDIA_TEXT:
        return "text";
    }
    return "other";
}
