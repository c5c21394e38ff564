/* Small looks into frames of the codecs other than H.264 and H.265: what libavformat leaves out
 * and Matroska wants. Pure; fed by strangers. */
#ifndef INGEST_REPLAY_CODECS_H
#define INGEST_REPLAY_CODECS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "base/track.h"

/* ---- AAC in ADTS (ISO/IEC 13818-7, 6.2): a header before each frame ---- */

struct ing_adts {
    size_t header_bytes;
    uint8_t config[2]; /* AudioSpecificConfig of ISO/IEC 14496-3 */
};

/* Exactly one frame. KN_E_TRUNCATED, KN_E_MALFORMED (no ADTS), KN_E_UNSUPPORTED (channels told in
 * the frame alone, several frames under one header). */
KN_MUST_CHECK int ing_adts_parse(const uint8_t *data, size_t size, struct ing_adts *ret_adts);

/* ---- the size of a picture ---- */

/* MJPEG, VP8 and VP9. False: it does not say (frames between key frames), or another codec. */
bool ing_picture_size(enum kn_codec codec, const uint8_t *data, size_t size, uint32_t *ret_width,
                      uint32_t *ret_height);

/* ---- AV1 ---- */

/* How many bytes of temporal delimiters a temporal unit begins with; Matroska leaves them out. */
size_t ing_av1_delimiters(const uint8_t *data, size_t size);
/* The first sequence header OBU, header included: 0; -ENOENT; KN_E_TRUNCATED, KN_E_MALFORMED: what
 * comes before it is broken. */
KN_MUST_CHECK int ing_av1_find_sequence(const uint8_t *data, size_t size, const uint8_t **ret_obu,
                                        size_t *ret_bytes);

struct ing_av1_sequence {
    uint8_t profile, level, tier;
    bool high_bitdepth, twelve_bit, monochrome;
    uint8_t subsampling_x, subsampling_y, sample_position;
    uint32_t width, height;
};

/* One sequence header OBU as found. KN_E_TRUNCATED, KN_E_MALFORMED. */
KN_MUST_CHECK int ing_av1_parse_sequence(const uint8_t *obu, size_t bytes,
                                         struct ing_av1_sequence *ret_sequence);
/* av1C of this sequence header, CodecPrivate in Matroska. */
void ing_av1_write_record(const struct ing_av1_sequence *sequence, const uint8_t *obu, size_t bytes,
                          struct kn_writer *writer);

#endif
