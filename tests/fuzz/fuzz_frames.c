/* Looks into frames from files (ingest/replay/video.h, codecs.h). The first byte chooses: bits 0-2
 * what is run, bit 3 whether the container calls the frame a key frame. For H.264 and H.265 the
 * second byte says how long the extradata is that stands before the frame. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ingest/replay/codecs.h"
#include "ingest/replay/video.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(const struct ing_video *video) {
    struct frag_param_sets sets;
    if (video->record == NULL) {
        return;
    }
    int rc = video->codec == KN_CODEC_H264
                 ? frag_avcc_parse(video->record, video->record_bytes, &sets)
                 : frag_hvcc_parse(video->record, video->record_bytes, &sets);
    KN_ASSERT(rc == 0 && sets.length_bytes == 4);
    KN_ASSERT(frag_param_sets_complete(video->codec, &sets));
}

static void check_written(const struct ing_video *video, const struct ing_video_frame *frame,
                          const uint8_t *data, size_t size) {
    uint8_t *room = frame->new_bytes == 0 ? NULL : malloc(frame->new_bytes);
    if (room != NULL) {
        ing_video_write(video, frame, data, size, room);
        KN_ASSERT(frag_nal_is_prefixed(room, frame->new_bytes, 4));
    }
    free(room);
}

static void run_video(enum kn_codec codec, bool flagged, const uint8_t *data, size_t size) {
    struct ing_video video;
    struct ing_video_frame frame;
    size_t extra = size > 0 ? data[0] : 0;
    if (size == 0 || extra > size - 1) {
        return;
    }
    int rc = ing_video_init(&video, codec, data + 1, extra);
    data += 1 + extra;
    size -= 1 + extra;
    check_record(&video);
    if (rc == 0 && ing_video_look(&video, data, size, flagged, &frame) == 0) {
        check_record(&video);
        KN_ASSERT(!frame.malformed || frame.new_bytes == 0);
        KN_ASSERT(!frame.changed || video.record != NULL);
        check_written(&video, &frame, data, size);
        /* The same frame again says nothing new. */
        if (ing_video_look(&video, data, size, flagged, &frame) == 0) {
            KN_ASSERT(!frame.changed || video.record != NULL);
        }
    }
    ing_video_finish(&video);
}

static void run_adts(const uint8_t *data, size_t size) {
    struct ing_adts adts;
    if (ing_adts_parse(data, size, &adts) == 0) {
        KN_ASSERT(adts.header_bytes <= size && (adts.config[1] >> 3 & 15) != 0);
    }
}

static void run_size(enum kn_codec codec, const uint8_t *data, size_t size) {
    uint32_t width = 0, height = 0;
    bool told = ing_picture_size(codec, data, size, &width, &height);
    KN_ASSERT(told == (width != 0) && told == (height != 0));
    KN_ASSERT(width <= 65536 && height <= 65536);
}

static void run_av1(const uint8_t *data, size_t size) {
    struct ing_av1_sequence sequence;
    const uint8_t *obu = NULL;
    size_t bytes = 0;
    KN_ASSERT(ing_av1_delimiters(data, size) <= size);
    if (ing_av1_find_sequence(data, size, &obu, &bytes) != 0) {
        return;
    }
    KN_ASSERT(obu >= data && bytes <= size - (size_t)(obu - data));
    if (ing_av1_parse_sequence(obu, bytes, &sequence) == 0) {
        uint8_t record[4];
        struct kn_writer writer;
        kn_writer_init(&writer, record, sizeof(record));
        ing_av1_write_record(&sequence, obu, 0, &writer);
        KN_ASSERT(writer.size == 4 && record[1] >> 5 == sequence.profile);
        KN_ASSERT((record[1] & 0x1f) == sequence.level && record[2] >> 7 == sequence.tier);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum kn_codec sized[] = {KN_CODEC_MJPEG, KN_CODEC_VP8, KN_CODEC_VP9};
    if (size == 0) {
        return 0;
    }
    unsigned what = data[0] & 7u;
    bool flagged = (data[0] & 8) != 0;
    data++;
    size--;
    switch (what) {
    case 0:
    case 1:
        run_video(what == 0 ? KN_CODEC_H264 : KN_CODEC_H265, flagged, data, size);
        break;
    case 2:
        run_adts(data, size);
        break;
    case 3:
        run_av1(data, size);
        break;
    default:
        run_size(sized[what % 3], data, size);
        break;
    }
    return 0;
}
