/* Sample clips in other containers, made by libavformat as the test runs. */
#ifndef TESTS_SUPPORT_REMUX_H
#define TESTS_SUPPORT_REMUX_H

#include <stdint.h>

/* Copies the streams of a type that `container` ("mp4", "mpegts", "h264", "adts" ...) takes,
 * without decoding. `media`: 'v', 'a', or 0 for both. `from_ns` is added to all times. Ends the
 * program where it fails. */
void remux(const char *source, const char *target, const char *container, char media,
           int64_t from_ns);

#endif
