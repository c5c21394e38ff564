#include "ingest/replay/codecs.h"

#include "base/error.h"

/* ---- ADTS ---- */

int ing_adts_parse(const uint8_t *data, size_t size, struct ing_adts *ret_adts) {
    struct kn_bits bits;
    kn_bits_init(&bits, data, size);
    uint32_t sync = kn_bits_read(&bits, 12);
    kn_bits_skip(&bits, 1); /* MPEG-2 or MPEG-4 */
    uint32_t layer = kn_bits_read(&bits, 2);
    bool checksum = kn_bits_read(&bits, 1) == 0;
    uint32_t object = kn_bits_read(&bits, 2) + 1;
    uint32_t rate = kn_bits_read(&bits, 4);
    kn_bits_skip(&bits, 1);
    uint32_t channels = kn_bits_read(&bits, 3);
    kn_bits_skip(&bits, 4);
    uint32_t length = kn_bits_read(&bits, 13);
    kn_bits_skip(&bits, 11);
    uint32_t more_frames = kn_bits_read(&bits, 2);
    size_t header_bytes = checksum ? 9 : 7;
    int rc = kn_bits_status(&bits);
    if (rc != 0) {
        return rc;
    }
    if (sync != 0xfff || layer != 0 || rate > 12 || length != size || length < header_bytes) {
        return KN_E_MALFORMED;
    }
    if (channels == 0 || more_frames > 0) {
        return KN_E_UNSUPPORTED;
    }
    *ret_adts = (struct ing_adts){
        .header_bytes = header_bytes,
        .config = {(uint8_t)(object << 3 | rate >> 1), (uint8_t)(rate << 7 | channels << 3)},
    };
    return 0;
}

/* ---- the size of a picture ---- */

static bool is_frame_header(uint8_t marker) {
    /* SOF0 to SOF15; among them stand DHT, JPG and DAC. */
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/* ISO/IEC 10918-1, B.2: segments up to the frame header. */
static bool jpeg_size(const uint8_t *data, size_t size, uint32_t *ret_width, uint32_t *ret_height) {
    struct kn_reader reader;
    kn_reader_init(&reader, data, size);
    if (kn_read_be16(&reader) != 0xffd8) {
        return false;
    }
    while (kn_reader_status(&reader) == 0 && kn_read_u8(&reader) == 0xff) {
        uint8_t marker = kn_read_u8(&reader);
        uint16_t length = kn_read_be16(&reader);
        if (marker == 0xda || length < 2) {
            return false; /* the picture begins: no size came */
        }
        if (is_frame_header(marker)) {
            kn_read_skip(&reader, 1);
            *ret_height = kn_read_be16(&reader);
            *ret_width = kn_read_be16(&reader);
            return kn_reader_status(&reader) == 0;
        }
        kn_read_skip(&reader, length - 2u);
    }
    return false;
}

/* RFC 6386, 9.1. */
static bool vp8_size(const uint8_t *data, size_t size, uint32_t *ret_width, uint32_t *ret_height) {
    struct kn_reader reader;
    kn_reader_init(&reader, data, size);
    bool key = (kn_read_u8(&reader) & 1) == 0;
    kn_read_skip(&reader, 2);
    uint32_t start_code = kn_read_be24(&reader);
    *ret_width = kn_read_le16(&reader) & 0x3fffu;
    *ret_height = kn_read_le16(&reader) & 0x3fffu;
    return kn_reader_status(&reader) == 0 && key && start_code == 0x9d012a;
}

/* VP9 bitstream specification, 6.2: a key frame's header up to frame_size(). */
static bool vp9_size(const uint8_t *data, size_t size, uint32_t *ret_width, uint32_t *ret_height) {
    struct kn_bits bits;
    kn_bits_init(&bits, data, size);
    uint32_t marker = kn_bits_read(&bits, 2);
    uint32_t profile = kn_bits_read(&bits, 1);
    profile |= kn_bits_read(&bits, 1) << 1;
    kn_bits_skip(&bits, profile == 3 ? 1 : 0);
    bool shows_existing = kn_bits_read(&bits, 1) != 0;
    bool key = kn_bits_read(&bits, 1) == 0;
    kn_bits_skip(&bits, 2); /* show_frame, error_resilient_mode */
    if (marker != 2 || shows_existing || !key || kn_bits_read(&bits, 24) != 0x498342) {
        return false;
    }
    kn_bits_skip(&bits, profile >= 2 ? 1 : 0); /* ten_or_twelve_bit */
    bool rgb = kn_bits_read(&bits, 3) == 7;
    bool odd_profile = (profile & 1) != 0;
    /* Range and subsampling; of RGB the odd profiles' reserved bit alone. */
    kn_bits_skip(&bits, rgb ? (odd_profile ? 1 : 0) : (odd_profile ? 4 : 1));
    *ret_width = kn_bits_read(&bits, 16) + 1;
    *ret_height = kn_bits_read(&bits, 16) + 1;
    return kn_bits_status(&bits) == 0;
}

bool ing_picture_size(enum kn_codec codec, const uint8_t *data, size_t size, uint32_t *ret_width,
                      uint32_t *ret_height) {
    uint32_t width = 0, height = 0;
    bool told = (codec == KN_CODEC_MJPEG && jpeg_size(data, size, &width, &height)) ||
                (codec == KN_CODEC_VP8 && vp8_size(data, size, &width, &height)) ||
                (codec == KN_CODEC_VP9 && vp9_size(data, size, &width, &height));
    if (!told || width == 0 || height == 0) {
        return false;
    }
    *ret_width = width;
    *ret_height = height;
    return true;
}
