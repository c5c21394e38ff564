/* AV1 bitstream specification, 5.3 to 5.5; av1C: AV1 in ISO-BMFF, 2.3. */
#include <errno.h>

#include "base/error.h"
#include "ingest/replay/codecs.h"

enum obu_type { OBU_SEQUENCE = 1, OBU_DELIMITER = 2 };

struct obu {
    unsigned type;
    const uint8_t *begin; /* its header */
    size_t bytes;         /* with its header */
    const uint8_t *payload;
    size_t payload_bytes;
};

/* leb128 of at most 32 bits (4.10.5); a larger value fails the reader. */
static size_t read_leb128(struct kn_reader *reader) {
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) {
        uint8_t byte = kn_read_u8(reader);
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            break;
        }
    }
    if (value > UINT32_MAX) {
        kn_read_skip(reader, SIZE_MAX);
    }
    return (size_t)value;
}

/* 1, 0 at the end, KN_E_MALFORMED (forbidden bit), KN_E_TRUNCATED. */
static int next_obu(struct kn_reader *reader, struct obu *ret_obu) {
    size_t at = reader->at;
    if (kn_reader_left(reader) == 0) {
        return 0;
    }
    uint8_t header = kn_read_u8(reader);
    if ((header & 0x80) != 0) {
        return KN_E_MALFORMED;
    }
    if ((header & 4) != 0) {
        kn_read_skip(reader, 1); /* extension: temporal and spatial layer */
    }
    bool sized = (header & 2) != 0; /* else it reaches to the end */
    size_t size = sized ? read_leb128(reader) : kn_reader_left(reader);
    const uint8_t *payload = kn_read_bytes(reader, size);
    int rc = kn_reader_status(reader);
    if (rc != 0) {
        return rc;
    }
    *ret_obu = (struct obu){
        .type = header >> 3 & 15u,
        .begin = reader->data + at,
        .bytes = reader->at - at,
        .payload = payload,
        .payload_bytes = size,
    };
    return 1;
}

size_t ing_av1_delimiters(const uint8_t *data, size_t size) {
    struct kn_reader reader;
    struct obu obu = {0};
    size_t bytes = 0;
    kn_reader_init(&reader, data, size);
    while (next_obu(&reader, &obu) > 0 && obu.type == OBU_DELIMITER) {
        bytes += obu.bytes;
    }
    return bytes;
}

int ing_av1_find_sequence(const uint8_t *data, size_t size, const uint8_t **ret_obu,
                          size_t *ret_bytes) {
    struct kn_reader reader;
    struct obu obu = {0};
    int rc;
    kn_reader_init(&reader, data, size);
    while ((rc = next_obu(&reader, &obu)) > 0) {
        if (obu.type == OBU_SEQUENCE) {
            *ret_obu = obu.begin;
            *ret_bytes = obu.bytes;
            return 0;
        }
    }
    return rc == 0 ? -ENOENT : rc;
}

/* ---- the sequence header (5.5.1), as far as the colours ---- */

static bool read_flag(struct kn_bits *bits) {
    return kn_bits_read(bits, 1) != 0;
}

/* Returns whether there is a decoder model, and the length of its delays. */
static bool skip_timing(struct kn_bits *bits, unsigned *ret_delay_bits) {
    if (!read_flag(bits)) {
        return false;
    }
    kn_bits_skip(bits, 64); /* num_units_in_display_tick, time_scale */
    if (read_flag(bits)) {
        (void)kn_bits_read_ue(bits); /* uvlc() is the same code */
    }
    if (!read_flag(bits)) {
        return false;
    }
    *ret_delay_bits = kn_bits_read(bits, 5) + 1;
    kn_bits_skip(bits, 32 + 5 + 5);
    return true;
}

static void read_operating_points(struct kn_bits *bits, struct ing_av1_sequence *sequence) {
    unsigned delay_bits = 0;
    bool model = skip_timing(bits, &delay_bits);
    bool display_delay = read_flag(bits);
    unsigned count = kn_bits_read(bits, 5) + 1;
    for (unsigned i = 0; i < count; i++) {
        kn_bits_skip(bits, 12);
        uint8_t level = (uint8_t)kn_bits_read(bits, 5);
        uint8_t tier = level > 7 ? (uint8_t)kn_bits_read(bits, 1) : 0;
        if (i == 0) {
            sequence->level = level;
            sequence->tier = tier;
        }
        if (model && read_flag(bits)) {
            kn_bits_skip(bits, 2 * delay_bits + 1);
        }
        if (display_delay && read_flag(bits)) {
            kn_bits_skip(bits, 4);
        }
    }
}

static void read_size(struct kn_bits *bits, struct ing_av1_sequence *sequence) {
    unsigned width_bits = kn_bits_read(bits, 4) + 1;
    unsigned height_bits = kn_bits_read(bits, 4) + 1;
    sequence->width = kn_bits_read(bits, width_bits) + 1;
    sequence->height = kn_bits_read(bits, height_bits) + 1;
}

static void skip_tools(struct kn_bits *bits, bool reduced) {
    if (!reduced && read_flag(bits)) {
        kn_bits_skip(bits, 4 + 3); /* frame ids */
    }
    kn_bits_skip(bits, 3); /* 128x128, filter intra, intra edge filter */
    if (!reduced) {
        kn_bits_skip(bits, 4); /* interintra, masked compound, warped motion, dual filter */
        bool order_hint = read_flag(bits);
        if (order_hint) {
            kn_bits_skip(bits, 2);
        }
        /* Both "choose" flags stand for the value 2, larger than 0. */
        bool screen_content = read_flag(bits) || read_flag(bits);
        if (screen_content && !read_flag(bits)) {
            kn_bits_skip(bits, 1);
        }
        if (order_hint) {
            kn_bits_skip(bits, 3);
        }
    }
    kn_bits_skip(bits, 3); /* superres, cdef, restoration */
}

static void read_subsampling(struct kn_bits *bits, struct ing_av1_sequence *sequence) {
    bool x = sequence->profile != 1, y = sequence->profile == 0;
    if (sequence->profile == 2 && sequence->twelve_bit) {
        x = read_flag(bits);
        y = x && read_flag(bits);
    }
    sequence->subsampling_x = x ? 1 : 0;
    sequence->subsampling_y = y ? 1 : 0;
    if (x && y) {
        sequence->sample_position = (uint8_t)kn_bits_read(bits, 2);
    }
}

/* 5.5.2 */
static void read_colours(struct kn_bits *bits, struct ing_av1_sequence *sequence) {
    uint32_t primaries = 2, transfer = 2, matrix = 2; /* unspecified */
    sequence->high_bitdepth = read_flag(bits);
    sequence->twelve_bit = sequence->profile == 2 && sequence->high_bitdepth && read_flag(bits);
    sequence->monochrome = sequence->profile != 1 && read_flag(bits);
    if (read_flag(bits)) {
        primaries = kn_bits_read(bits, 8);
        transfer = kn_bits_read(bits, 8);
        matrix = kn_bits_read(bits, 8);
    }
    if (sequence->monochrome) {
        kn_bits_skip(bits, 1);
        sequence->subsampling_x = 1;
        sequence->subsampling_y = 1;
        return;
    }
    if (primaries == 1 && transfer == 13 && matrix == 0) {
        return; /* sRGB: 4:4:4 */
    }
    kn_bits_skip(bits, 1); /* color_range */
    read_subsampling(bits, sequence);
}

int ing_av1_parse_sequence(const uint8_t *data, size_t bytes,
                           struct ing_av1_sequence *ret_sequence) {
    struct ing_av1_sequence sequence = {0};
    struct kn_reader reader;
    struct kn_bits bits;
    struct obu obu = {0};
    kn_reader_init(&reader, data, bytes);
    int rc = next_obu(&reader, &obu);
    if (rc <= 0) {
        return rc == 0 ? KN_E_TRUNCATED : rc;
    }
    if (obu.type != OBU_SEQUENCE) {
        return KN_E_MALFORMED;
    }
    kn_bits_init(&bits, obu.payload, obu.payload_bytes);
    sequence.profile = (uint8_t)kn_bits_read(&bits, 3);
    kn_bits_skip(&bits, 1); /* still_picture */
    bool reduced = read_flag(&bits);
    if (reduced) {
        sequence.level = (uint8_t)kn_bits_read(&bits, 5);
    } else {
        read_operating_points(&bits, &sequence);
    }
    read_size(&bits, &sequence);
    skip_tools(&bits, reduced);
    read_colours(&bits, &sequence);
    rc = kn_bits_status(&bits);
    if (rc == 0) {
        *ret_sequence = sequence;
    }
    return rc;
}

void ing_av1_write_record(const struct ing_av1_sequence *sequence, const uint8_t *obu, size_t bytes,
                          struct kn_writer *writer) {
    kn_write_u8(writer, 0x81); /* marker, version 1 */
    kn_write_u8(writer, (uint8_t)(sequence->profile << 5 | sequence->level));
    kn_write_u8(writer, (uint8_t)(sequence->tier << 7 | (sequence->high_bitdepth ? 0x40 : 0) |
                                  (sequence->twelve_bit ? 0x20 : 0) |
                                  (sequence->monochrome ? 0x10 : 0) | sequence->subsampling_x << 3 |
                                  sequence->subsampling_y << 2 | sequence->sample_position));
    kn_write_u8(writer, 0); /* no initial_presentation_delay */
    kn_write_bytes(writer, obu, bytes);
}
