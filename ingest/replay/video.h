/* H.264 and H.265 as they come out of files: what a frame is, how it is framed, and the avcC or
 * hvcC that goes with it. Pure; fed by strangers. */
#ifndef INGEST_REPLAY_VIDEO_H
#define INGEST_REPLAY_VIDEO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "fragments/fragments.h"

/* Zero it, init, finish. */
struct ing_video {
    enum kn_codec codec;
    unsigned length_bytes; /* of prefixed frames in the file */
    uint8_t *record;       /* avcC or hvcC with 4-byte lengths; NULL while it is not known */
    size_t record_bytes;
    bool described;
    struct frag_video_params params; /* of the record, where `described` */
};

struct ing_video_frame {
    bool changed;      /* the record is another one from this frame on */
    bool key;          /* decoding can begin here */
    bool resets_order; /* picture order counts begin anew */
    bool disposable;
    bool malformed;   /* neither framing: the bytes stay as they are */
    size_t new_bytes; /* size with 4-byte lengths; 0: they are as they should be */
    bool annexb;      /* where new_bytes is not 0 */
};

/* `extradata` as the file has it: a record, Annex-B parameter sets, or nothing of use. 0, -ENOMEM.
 */
KN_MUST_CHECK int ing_video_init(struct ing_video *video, enum kn_codec codec,
                                 const uint8_t *extradata, size_t size);
void ing_video_finish(struct ing_video *video);
/* The file says so in between: as ing_video_init. True in `ret_changed`: the record is another. */
KN_MUST_CHECK int ing_video_renew(struct ing_video *video, const uint8_t *extradata, size_t size,
                                  bool *ret_changed);
/* Looks at the next frame; parameter sets in it that the record lacks are taken into it. `flagged`:
 * the file calls it a key frame; that is believed of H.264 where all slices are intra, as open
 * groups of pictures begin without an IDR. 0, -ENOMEM. */
KN_MUST_CHECK int ing_video_look(struct ing_video *video, const uint8_t *data, size_t size,
                                 bool flagged, struct ing_video_frame *ret_frame);
/* Writes the `frame->new_bytes` bytes of a frame with 4-byte lengths. */
void ing_video_write(const struct ing_video *video, const struct ing_video_frame *frame,
                     const uint8_t *data, size_t size, uint8_t *room);

#endif
