/* One stream of a file on its way to a track: its private data, and each packet as a sample. */
#ifndef INGEST_REPLAY_LANE_H
#define INGEST_REPLAY_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

#include "base/attributes.h"
#include "base/sample.h"
#include "base/track.h"
#include "ingest/replay/order.h"
#include "ingest/replay/times.h"
#include "ingest/replay/video.h"

struct ing_lane {
    const AVStream *stream; /* the format's */
    struct kn_track track;  /* its private data is borrowed from here */
    struct ing_video video; /* H.264, H.265 */
    uint8_t *private_data;  /* of other codecs */
    size_t private_bytes;
    bool adts;              /* AAC with a header before each frame */
    uint32_t width, height; /* as the last frame that told them told, not as the container */
    int64_t step_ns;        /* between two frames, as far as known; 0: not */
    /* inner: pictures without times of their own */
    AVCodecContext *context;
    AVCodecParserContext *parser;
    struct ing_order order;
};

/* What a packet is. */
struct ing_lane_frame {
    bool changed; /* the track is another one from here on */
    bool nothing; /* no sample is in it */
    bool resets_order;
    uint16_t flags;
    size_t skip; /* bytes at its front that do not belong into the sample */
    struct ing_video_frame video;
};

/* False: it is not recorded (tracks.h). Zero it before; finish it whatever the result. 0, -ENOMEM.
 */
KN_MUST_CHECK int ing_lane_init(struct ing_lane *lane, const AVStream *stream, bool *ret_recorded);
void ing_lane_finish(struct ing_lane *lane);
/* Decoders could begin: the private data that the codec needs is there. */
bool ing_lane_is_ready(const struct ing_lane *lane);
/* How far dts lies before pts. */
int64_t ing_lane_reorder_ns(const struct ing_lane *lane);
/* In the file's own time. */
struct ing_stamp ing_lane_stamp(const struct ing_lane *lane, const AVPacket *packet);
/* In order of the file; the same packet twice changes nothing the second time. 0, -ENOMEM. */
KN_MUST_CHECK int ing_lane_look(struct ing_lane *lane, const AVPacket *packet,
                                struct ing_lane_frame *ret_frame);
/* Uses up the packet, whatever the result. Times are not set. 0, -ENOMEM. */
KN_MUST_CHECK int ing_lane_sample(struct ing_lane *lane, AVPacket *packet,
                                  const struct ing_lane_frame *frame, struct kn_sample *ret_sample);

/* From now on `order` finds pts of its pictures. 0, -ENOMEM; KN_E_UNSUPPORTED. */
KN_MUST_CHECK int ing_lane_begin_order(struct ing_lane *lane);
/* Only while no picture waits: what the parameter sets now say holds for the next ones. */
void ing_lane_renew_order(struct ing_lane *lane);
/* The picture order count of a packet, each once and in order. */
int64_t ing_lane_order_count(struct ing_lane *lane, const AVPacket *packet);

#endif
