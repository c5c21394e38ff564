/* Finds where playing can begin in a cluster, from the heads of its blocks alone: the same for one
 * that is being written and one that is read back, so that recovery closes a reel as its writer
 * would have. */
#include "base/bytes.h"
#include "fragments/matroska/ids.h"
#include "fragments/store/reel_file.h"

/* id 4, size 8; of a block: track 8, time 2, flags 1 */
#define HEAD_MOST 23u
/* Further in, a key frame is not worth finding. */
#define ELEMENTS_MOST 512u
#define KEY_FLAG 0x80u

struct element {
    uint32_t id;
    uint64_t at, body_at, end; /* from the cluster's first byte on */
};

struct search {
    const struct frag_reel_span *span;
    const struct frag_reel_cue_tracks *tracks;
    uint64_t cluster_at;
    uint64_t timecode;
    unsigned elements;
};

void frag_reel_cue_tracks_set(struct frag_reel_cue_tracks *tracks, const struct kn_tracks *from) {
    tracks->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        if (from->items[i].media == KN_MEDIA_VIDEO) {
            tracks->numbers[tracks->count++] = from->items[i].number;
        }
    }
}

static bool has_track(const struct frag_reel_cue_tracks *tracks, uint64_t number) {
    for (size_t i = 0; i < tracks->count; i++) {
        if (tracks->numbers[i] == number) {
            return true;
        }
    }
    return tracks->count == 0;
}

static unsigned width_of(uint8_t first, unsigned most) {
    unsigned width = 1;
    while (width <= most && (first & 0x80u >> (width - 1)) == 0) {
        width++;
    }
    return width <= most ? width : 0;
}

/* A number with its width in its first byte, the marker taken off; false for 'unknown' as well. */
static bool take_vint(struct kn_reader *reader, uint64_t *ret_value) {
    struct kn_reader first = *reader;
    unsigned width = width_of(kn_read_u8(&first), 8);
    uint64_t marker = width > 0 ? UINT64_C(1) << (7 * width) : 0;
    uint64_t value = kn_read_be(reader, width) ^ marker;
    *ret_value = value;
    return width > 0 && kn_reader_status(reader) == 0 && value != marker - 1;
}

/* 1 and the element at `at`, with what of its body fits the room; 0: there is none that ends by
 * `end`. */
static int read_element(struct search *search, uint64_t at, uint64_t end,
                        uint8_t room[static HEAD_MOST], struct element *ret_element,
                        struct kn_reader *ret_body) {
    if (at >= end || ++search->elements > ELEMENTS_MOST) {
        return 0;
    }
    size_t size = end - at < HEAD_MOST ? (size_t)(end - at) : HEAD_MOST;
    int rc = search->span->read(search->span->user, at, room, size);
    if (rc < 0) {
        return rc;
    }
    struct element element = {.at = at};
    uint64_t bytes = 0;
    kn_reader_init(ret_body, room, size);
    unsigned width = width_of(room[0], 4);
    element.id = (uint32_t)kn_read_be(ret_body, width);
    if (width == 0 || !take_vint(ret_body, &bytes) || bytes > end - at - ret_body->at) {
        return 0;
    }
    element.body_at = at + ret_body->at;
    element.end = element.body_at + bytes;
    if (bytes < kn_reader_left(ret_body)) {
        ret_body->size = ret_body->at + (size_t)bytes;
    }
    *ret_element = element;
    return 1;
}

/* Whether a block of the right track is in `body`, which begins with its head. */
static bool read_block(const struct search *search, struct kn_reader *body, uint64_t at,
                       struct frag_mkv_cue *cue, bool *ret_key) {
    uint64_t number = 0;
    if (!take_vint(body, &number) || !has_track(search->tracks, number)) {
        return false;
    }
    int16_t relative = (int16_t)kn_read_be16(body);
    uint8_t flags = kn_read_u8(body);
    /* Below 0 it stands before the reel's start. */
    if (kn_reader_status(body) != 0 ||
        (relative < 0 && search->timecode < (uint64_t) - (int64_t)relative)) {
        return false;
    }
    *ret_key = (flags & KEY_FLAG) != 0;
    *cue = (struct frag_mkv_cue){
        .timecode = search->timecode + (uint64_t)(int64_t)relative,
        .track = number,
        .cluster_position = search->cluster_at - FRAG_REEL_SEGMENT_AT,
        .relative_position = at - FRAG_REEL_CLUSTER_HEAD_BYTES,
    };
    return true;
}

/* In a group it is a key frame that refers to no other. */
static int read_group(struct search *search, const struct element *group,
                      struct frag_mkv_cue *cue) {
    uint8_t room[HEAD_MOST];
    struct kn_reader body;
    struct element element;
    bool found = false;
    int rc = 1;
    for (uint64_t at = group->body_at; at < group->end; at = element.end) {
        bool key = false;
        rc = read_element(search, at, group->end, room, &element, &body);
        if (rc <= 0) {
            return rc;
        }
        if (element.id == ID_REFERENCE_BLOCK) {
            return 0;
        }
        if (element.id == ID_BLOCK) {
            found = read_block(search, &body, group->at, cue, &key);
        }
    }
    return found ? 1 : 0;
}

int frag_reel_find_cue(const struct frag_reel_span *span, const struct frag_reel_cue_tracks *tracks,
                       uint64_t cluster_at, struct frag_mkv_cue *ret_cue) {
    struct search search = {.span = span, .tracks = tracks, .cluster_at = cluster_at};
    uint8_t room[HEAD_MOST];
    struct kn_reader body;
    struct element element;
    struct frag_mkv_cue cue;
    bool timed = false;
    for (uint64_t at = FRAG_REEL_CLUSTER_HEAD_BYTES; at < span->bytes; at = element.end) {
        bool key = false;
        int rc = read_element(&search, at, span->bytes, room, &element, &body);
        if (rc <= 0) {
            return rc;
        }
        if (element.id == ID_TIMECODE && kn_reader_left(&body) <= 8) {
            search.timecode = kn_read_be(&body, kn_reader_left(&body));
            timed = search.timecode <= INT64_MAX;
        }
        if (element.id == ID_BLOCK_GROUP && timed) {
            rc = read_group(&search, &element, &cue);
            if (rc < 0) {
                return rc;
            }
            key = rc > 0;
        } else if (element.id == ID_SIMPLE_BLOCK && timed) {
            key = read_block(&search, &body, element.at, &cue, &key) && key;
        }
        if (key) {
            *ret_cue = cue;
            return 1;
        }
    }
    return 0;
}
