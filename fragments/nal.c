#include "fragments/nal.h"

#include "base/error.h"

/* ---- framing ---- */

/* Where the next 00 00 01 begins, or `size`. Looks at every third byte only while none of them can
 * belong to a start code; unlike a search for the byte 1 or 0, no input makes it slow. */
static size_t find_start_code(const uint8_t *data, size_t size, size_t at) {
    while (at < size && size - at >= 3) {
        const uint8_t third = data[at + 2];
        if (third == 0) {
            at++;
        } else if (third == 1 && data[at] == 0 && data[at + 1] == 0) {
            return at;
        } else {
            at += 3;
        }
    }
    return size;
}

bool frag_nal_next_annexb(struct kn_reader *reader, struct frag_nal *ret_nal) {
    const uint8_t *data = reader->data;
    size_t begin;

    begin = find_start_code(data, reader->size, reader->at);
    while (begin < reader->size) {
        size_t end;

        begin += 3;
        reader->at = find_start_code(data, reader->size, begin);
        /* trailing_zero_8bits and the next code's zero_byte; no unit ends in a zero (7.4.1). */
        for (end = reader->at; end > begin && data[end - 1] == 0; end--) {
        }
        if (end > begin) {
            *ret_nal = (struct frag_nal){.data = data + begin, .size = end - begin};
            return true;
        }
        begin = reader->at;
    }
    reader->at = reader->size;
    return false;
}

int frag_nal_next_prefixed(struct kn_reader *reader, unsigned length_bytes,
                           struct frag_nal *ret_nal) {
    struct frag_nal nal;

    KN_ASSERT(length_bytes >= 1 && length_bytes <= 4);
    if (kn_reader_status(reader) == 0 && kn_reader_left(reader) == 0) {
        return 0;
    }
    nal.size = (size_t)kn_read_be(reader, length_bytes);
    nal.data = kn_read_bytes(reader, nal.size);
    if (kn_reader_status(reader) < 0) {
        return KN_E_MALFORMED;
    }
    *ret_nal = nal;
    return 1;
}

bool frag_nal_starts_annexb(const uint8_t *data, size_t size) {
    size_t zeros;

    for (zeros = 0; zeros < size && data[zeros] == 0; zeros++) {
    }
    return zeros >= 2 && zeros < size && data[zeros] == 1;
}

bool frag_nal_is_prefixed(const uint8_t *data, size_t size, unsigned length_bytes) {
    struct kn_reader reader;
    struct frag_nal nal;
    int result;

    kn_reader_init(&reader, data, size);
    do {
        result = frag_nal_next_prefixed(&reader, length_bytes, &nal);
    } while (result > 0);
    return result == 0;
}

void frag_nal_annexb_to_prefixed(const uint8_t *data, size_t size, struct kn_writer *writer) {
    struct kn_reader reader;
    struct frag_nal nal;

    KN_ASSERT(size <= UINT32_MAX);
    kn_reader_init(&reader, data, size);
    while (frag_nal_next_annexb(&reader, &nal)) {
        kn_write_be32(writer, (uint32_t)nal.size);
        kn_write_bytes(writer, nal.data, nal.size);
    }
}

/* ---- unit types ---- */

/* H.264 table 7-1. */
static enum frag_nal_kind kind_h264(uint8_t header) {
    switch (header & 0x1f) {
    case 1:
    case 2: /* data partitions A, B and C */
    case 3:
    case 4:
        return FRAG_NAL_SLICE;
    case 5:
        return FRAG_NAL_KEY;
    case 6:
        return FRAG_NAL_SEI;
    case 7:
        return FRAG_NAL_SPS;
    case 8:
        return FRAG_NAL_PPS;
    case 9:
        return FRAG_NAL_DELIMITER;
    default:
        return FRAG_NAL_OTHER;
    }
}

/* H.265 table 7-1. */
static enum frag_nal_kind kind_h265(unsigned type) {
    if (type <= 9) {
        return FRAG_NAL_SLICE;
    }
    /* BLA, IDR, CRA; 22 and 23 are reserved, decoders drop them. */
    if (type >= 16 && type <= 21) {
        return FRAG_NAL_KEY;
    }
    switch (type) {
    case 32:
        return FRAG_NAL_VPS;
    case 33:
        return FRAG_NAL_SPS;
    case 34:
        return FRAG_NAL_PPS;
    case 35:
        return FRAG_NAL_DELIMITER;
    case 39:
    case 40:
        return FRAG_NAL_SEI;
    default:
        return FRAG_NAL_OTHER;
    }
}

enum frag_nal_kind frag_nal_kind(enum kn_codec codec, struct frag_nal nal) {
    /* forbidden_zero_bit: set by networks on damaged units. */
    if (nal.size == 0 || (nal.data[0] & 0x80) != 0) {
        return FRAG_NAL_OTHER;
    }
    if (codec == KN_CODEC_H264) {
        return kind_h264(nal.data[0]);
    }
    if (codec == KN_CODEC_H265 && nal.size >= 2) {
        const bool base_layer = (nal.data[0] & 1) == 0 && nal.data[1] >> 3 == 0;
        return base_layer ? kind_h265(nal.data[0] >> 1) : FRAG_NAL_OTHER;
    }
    return FRAG_NAL_OTHER;
}
