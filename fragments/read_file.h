/* Inside of fragments/: a file from end to end through a sample reader. */
#ifndef FRAGMENTS_READ_FILE_H
#define FRAGMENTS_READ_FILE_H

#include "fragments/matroska.h"

/* 0; the reader's error; or, with ret_io set, the negative errno of open or read. `ret_bytes` is
 * what was read. */
KN_MUST_CHECK int frag_read_file(const char *path, struct frag_mkv_reader *reader, bool progress,
                                 uint64_t *ret_bytes, bool *ret_io);

#endif
