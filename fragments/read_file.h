/* Inside of fragments/: a file from end to end through a sample reader. */
#ifndef FRAGMENTS_READ_FILE_H
#define FRAGMENTS_READ_FILE_H

#include "fragments/matroska.h"

/* 0; the reader's error; or, with ret_io set, the negative errno of open or read. `ret_bytes` is
 * the file's size, or what was read of what has none. */
KN_MUST_CHECK int frag_read_file(const char *path, struct frag_mkv_reader *reader, bool progress,
                                 uint64_t *ret_bytes, bool *ret_io);

/* When a sample of a fragment is over: by its duration, else its track's, else as it begins. Times
 * from the parser are small enough for this sum. */
static inline int64_t frag_sample_end_ns(const struct frag_mkv_fragment *fragment,
                                         const struct kn_sample *sample) {
    int64_t length_ns = sample->duration_ns > 0
                            ? sample->duration_ns
                            : fragment->tracks->items[sample->track].default_duration_ns;
    return fragment->time_ns + sample->pts_ns + length_ns;
}

#endif
