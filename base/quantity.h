/* How long, how much and when, as people write it. Pure, any thread. */
#ifndef BASE_QUANTITY_H
#define BASE_QUANTITY_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/time.h"

/* ---- whole texts: 0 or KN_E_MALFORMED ---- */

/* "500ms", "10s", "1.5m", "2h", "7d"; "0" alone needs no unit. What is below a nanosecond is cut
 * off. */
KN_MUST_CHECK int kn_duration_parse(const char *text, int64_t *ret_ns);
/* "1500" bytes, "10M", "1.5G": K, M, G and T are 1024 and its powers, as in df -h. What is below a
 * byte is cut off. */
KN_MUST_CHECK int kn_size_parse(const char *text, uint64_t *ret_bytes);
/* "now", "-10m" and "+2h" (from `now` on), and what kn_wall_parse reads. */
KN_MUST_CHECK int kn_when_parse(const char *text, struct kn_wall now, struct kn_wall *ret_wall);

/* Of what lies ahead: "7d" as "+7d", else as kn_when_parse; but no bare number that is past, which
 * was a duration without its unit. */
KN_MUST_CHECK int kn_when_ahead_parse(const char *text, struct kn_wall now,
                                      struct kn_wall *ret_wall);

/* ---- the beginning of a text: how many bytes of it were used, 0: it begins otherwise ---- */

/* "2", "0.5": in billionths, cut off below. */
KN_MUST_CHECK size_t kn_decimal_read(const char *text, size_t size, uint64_t *ret_whole,
                                     uint32_t *ret_billionths);
/* A decimal with its unit. */
KN_MUST_CHECK size_t kn_duration_read(const char *text, size_t size, int64_t *ret_ns);

/* ---- back ---- */

#define KN_DURATION_TEXT_BYTES 32

/* In the largest unit of which it is a whole number: "7d", "36h", "90s", "500ms"; otherwise in
 * seconds. What kn_duration_parse reads as the same number, of 0 or more. Returns `text`. */
const char *kn_duration_format(int64_t ns, char text[static KN_DURATION_TEXT_BYTES]);

#endif
