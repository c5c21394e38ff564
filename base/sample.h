/* A sample: one coded frame or audio packet. Immutable; stored and passed on in decode order.
 *
 * The bytes are a slice of a refcounted buffer, so the samples of a fragment may share one. Video
 * in H.264 and H.265 is length-prefixed (AVCC, HVCC) everywhere but in bytes as received. */
#ifndef BASE_SAMPLE_H
#define BASE_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

/* `pts_ns` where no time is known: never stored, only inside depayloaders. */
enum kn_sample_flags {
    KN_SAMPLE_KEY = 1 << 0,        /* decoding can begin here */
    KN_SAMPLE_DISCONT = 1 << 1,    /* something is missing before it */
    KN_SAMPLE_DISPOSABLE = 1 << 2, /* no other sample refers to it */
    KN_SAMPLE_INVISIBLE = 1 << 3,  /* decoded, not shown */
    KN_SAMPLE_MALFORMED = 1 << 4   /* its bytes break their codec's framing; kept as they are */
};

/* A holder of a sample by value holds one reference of `buffer`. */
struct kn_sample {
    struct kn_buffer *buffer; /* owner of the bytes */
    const uint8_t *data;      /* inside buffer */
    size_t size;
    int64_t pts_ns;      /* from the fragment's producer time; may be below 0 */
    int64_t dts_ns;      /* same origin; computed by the reader, not stored */
    int64_t duration_ns; /* 0: until the next sample of its track */
    int64_t discard_ns;  /* sound to be thrown away behind it (below 0: before it); as a rule 0 */
    uint16_t flags;      /* enum kn_sample_flags */
    uint8_t track;       /* index into the fragment's kn_tracks */
};

/* Copies the value and takes a reference. */
static inline struct kn_sample kn_sample_ref(const struct kn_sample *sample) {
    struct kn_sample copy = *sample;
    if (copy.buffer != NULL) {
        copy.buffer = kn_buffer_ref(copy.buffer);
    }
    return copy;
}

/* Drops the reference and clears the value. Any thread. */
static inline void kn_sample_unref(struct kn_sample *sample) {
    kn_buffer_unref(sample->buffer);
    *sample = (struct kn_sample){0};
}

#endif
