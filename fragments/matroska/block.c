/* Blocks: track, time and lacing, and the frames they hold (RFC 9559, 10). */
#include "fragments/matroska/parser_state.h"

#include <errno.h>

#include "fragments/matroska/ids.h"

#define FLAG_KEY 0x80
#define FLAG_INVISIBLE 0x08
#define FLAG_DISPOSABLE 0x01

enum lacing { LACING_NONE = 0, LACING_XIPH = 2, LACING_FIXED = 4, LACING_EBML = 6 };

/* A vint of 1 to 8 bytes without its marker; a failed reader where it is none. `ret_bytes` may be
 * NULL. */
static uint64_t read_vint(struct kn_reader *reader, unsigned *ret_bytes) {
    uint8_t first = kn_read_u8(reader);
    if (first == 0) {
        /* Also what a reader at its end gives: more bytes will show which it was. */
        reader->failed = true;
        return 0;
    }
    unsigned bytes = (unsigned)__builtin_clz(first) - 23;
    if (ret_bytes != NULL) {
        *ret_bytes = bytes;
    }
    uint64_t value = first & (0xFFu >> bytes);
    return value << (8 * (bytes - 1)) | kn_read_be(reader, bytes - 1);
}

static uint64_t read_xiph_size(struct kn_reader *reader) {
    uint64_t size = 0;
    uint8_t byte = 0;
    do {
        byte = kn_read_u8(reader);
        size += byte;
    } while (byte == 255 && !reader->failed);
    return size;
}

/* Sizes of all frames but the last one, whose size is what is left. */
static bool read_lace(struct mkv_block *block, struct kn_reader *reader, enum lacing lacing) {
    uint64_t size = 0;
    for (unsigned i = 0; i + 1 < block->count && !reader->failed; i++) {
        if (lacing == LACING_XIPH) {
            size = read_xiph_size(reader);
        } else if (i == 0) {
            size = read_vint(reader, NULL);
        } else {
            unsigned bytes = 0;
            uint64_t raw = read_vint(reader, &bytes);
            if (reader->failed) {
                break;
            }
            /* Signed: the middle of the range stands for 0. */
            int64_t change = (int64_t)raw - (((int64_t)1 << (7 * bytes - 1)) - 1);
            int64_t next = 0;
            if (!kn_i64_add((int64_t)size, change, &next) || next < 0) {
                return false;
            }
            size = (uint64_t)next;
        }
        block->sizes[i] = size;
    }
    return true;
}

static bool share_out(struct mkv_block *block, uint64_t left, enum lacing lacing) {
    if (lacing == LACING_FIXED) {
        if (left % block->count != 0) {
            return false;
        }
        for (unsigned i = 0; i < block->count; i++) {
            block->sizes[i] = left / block->count;
        }
        return true;
    }
    for (unsigned i = 0; i + 1 < block->count; i++) {
        if (block->sizes[i] > left) {
            return false;
        }
        left -= block->sizes[i];
    }
    block->sizes[block->count - 1] = left;
    return true;
}

static int find_track(struct frag_mkv_parser *parser, uint64_t number) {
    int index = kn_tracks_find(parser->tracks, number);
    if (index < 0) {
        return frag_mkv_fail(parser, FRAG_MKV_NO_SUCH_TRACK, parser->element.offset,
                             "a block of track %llu, which Tracks does not name",
                             (unsigned long long)number);
    }
    return index;
}

int frag_mkv_block_head(struct frag_mkv_parser *parser, const uint8_t *data, size_t have,
                        uint64_t size) {
    struct mkv_block *block = &parser->block;
    if (block->pending) {
        return frag_mkv_fail(parser, FRAG_MKV_BAD_BLOCK, parser->element.offset,
                             "a second Block in its BlockGroup");
    }
    if (!parser->time_seen) {
        return frag_mkv_fail(parser, FRAG_MKV_ORDER, parser->element.offset,
                             "a block before its cluster's Timestamp");
    }
    if (have > 0 && data[0] == 0) {
        return frag_mkv_fail(parser, FRAG_MKV_BAD_BLOCK, parser->element.offset,
                             "a block whose track number is no number");
    }
    struct kn_reader reader;
    kn_reader_init(&reader, data, have);
    uint64_t number = read_vint(&reader, NULL);
    block->relative = (int16_t)kn_read_be16(&reader);
    block->flags = kn_read_u8(&reader);
    enum lacing lacing = block->flags & LACING_EBML;
    block->count = 1;
    bool good = true;
    if (lacing != LACING_NONE) {
        block->count += kn_read_u8(&reader);
        if (lacing != LACING_FIXED) {
            good = read_lace(block, &reader, lacing);
        }
    }
    if (good && reader.failed) {
        return 0;
    }
    if (!good || !share_out(block, size - reader.at, lacing)) {
        return frag_mkv_fail(parser, FRAG_MKV_BAD_BLOCK, parser->element.offset,
                             "a lace whose sizes do not fit its block");
    }
    int track = find_track(parser, number);
    if (track < 0) {
        return track;
    }
    block->track = (uint8_t)track;
    block->pending = true;
    return (int)reader.at;
}

static int bad_time(struct frag_mkv_parser *parser) {
    return frag_mkv_fail(parser, FRAG_MKV_BAD_TIME, parser->element.offset,
                         "a block's time lies beyond the year 2116");
}

static int block_time(struct frag_mkv_parser *parser, int64_t *ret_time_ns) {
    int64_t ticks = 0;
    int64_t scale = (int64_t)parser->scale_ns;
    if (!kn_i64_add((int64_t)parser->timecode, parser->block.relative, &ticks) ||
        !kn_i64_mul(ticks, scale, ret_time_ns) || *ret_time_ns > MKV_TIME_MAX_NS ||
        *ret_time_ns < -MKV_TIME_MAX_NS) {
        return bad_time(parser);
    }
    return 0;
}

/* Of one frame: the group's duration shared out, else the track's default; 0 when neither is said.
 */
static int64_t frame_duration(const struct frag_mkv_parser *parser, bool in_group) {
    int64_t duration = 0;
    if (in_group && parser->group.has_duration) {
        if (parser->group.duration > (uint64_t)INT64_MAX ||
            !kn_i64_mul((int64_t)parser->group.duration, (int64_t)parser->scale_ns, &duration) ||
            duration > MKV_DURATION_MAX_NS) {
            return 0;
        }
        return duration / parser->block.count;
    }
    return parser->tracks->items[parser->block.track].default_duration_ns;
}

int frag_mkv_block_emit(struct frag_mkv_parser *parser, bool in_group) {
    struct mkv_block *block = &parser->block;
    block->pending = false;
    int64_t time_ns = 0;
    int rc = block_time(parser, &time_ns);
    if (rc != 0) {
        return rc;
    }
    if (parser->handler->frame == NULL) {
        return 0;
    }
    rc = frag_mkv_tell_bytes(parser, parser->offset);
    struct frag_mkv_frame frame = {
        .offset = block->offset,
        .time_ns = time_ns,
        .duration_ns = frame_duration(parser, in_group),
        .track = block->track,
        .key = in_group ? !parser->group.has_reference : (block->flags & FLAG_KEY) != 0,
        .invisible = (block->flags & FLAG_INVISIBLE) != 0,
        .disposable = !in_group && (block->flags & FLAG_DISPOSABLE) != 0,
        .laced = block->count > 1,
    };
    for (unsigned i = 0; i < block->count && rc == 0; i++) {
        frame.size = block->sizes[i];
        frame.discard_ns = in_group && i + 1 == block->count ? parser->group.discard_ns : 0;
        if (frame.time_ns > MKV_TIME_MAX_NS) {
            return bad_time(parser);
        }
        rc = frag_mkv_answer(parser, parser->handler->frame(&frame, parser->user));
        frame.offset += frame.size;
        frame.time_ns += frame.duration_ns;
    }
    return rc;
}
