/* A camera for store tests: VP8-like pictures of known bytes, a key frame every so often, and
 * sound if wanted; and a reader that says whether what came back is what it sent.
 *
 *     camera_init(&camera, seed, start);
 *     camera_send(&camera, writer, 50);      // 50 pictures, 25 a second
 *     camera_check(loaded)                   // every picture of it, bit by bit
 */
#ifndef TESTS_SUPPORT_CAMERA_H
#define TESTS_SUPPORT_CAMERA_H

#include <stdbool.h>

#include "fragments/fragments.h"

#define CAMERA_FRAME_NS (40 * KN_NS_PER_MS)

struct camera {
    uint32_t seed;
    struct kn_wall start;
    uint32_t next;        /* picture */
    uint32_t gop;         /* pictures from key frame to key frame; 50 */
    size_t picture_bytes; /* about; 600 */
    struct kn_tracks *tracks;
    /* Called with the time of each picture before it is sent; NULL: nothing. */
    void (*advance)(struct kn_wall time, void *user);
    void *user;
};

void camera_init(struct camera *camera, uint32_t seed, struct kn_wall start);
void camera_finish(struct camera *camera);
/* The next picture, alone; the caller drops its buffer. */
void camera_shoot(struct camera *camera, struct kn_sample *ret_sample);
/* Sends `count` pictures; stops the program where the writer refuses. */
void camera_send(struct camera *camera, struct frag_writer *writer, unsigned count);
/* The next `count` pictures as a cluster that was received, its timecode counted from `from`; with
 * `around` an empty element before it. */
void camera_send_cluster(struct camera *camera, struct frag_writer *writer, struct kn_wall from,
                         unsigned count, bool around);
/* NULL: every picture is as some camera sent it and stands where its time says. Else what is wrong.
 * `ret_first` is the number of its first picture, `ret_seed` the camera's. */
const char *camera_check(const struct frag_loaded *loaded, uint32_t *ret_seed, uint32_t *ret_first);

#endif
