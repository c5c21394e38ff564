/* What waits to be sent on a connection: copied bytes, shared buffers, parts of files. One thread
 * at a time. */
#ifndef SERVER_EXCHANGE_OUTPUT_H
#define SERVER_EXCHANGE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/buffer.h"
#include "server/transport/transport.h"

struct srv_output_part;

/* The caller's storage, zeroed to begin. */
struct srv_output {
    struct srv_output_part *first, *last;
    size_t queued; /* bytes in memory; a file's do not count */
};

/* Frees and closes what is left. */
void srv_output_finish(struct srv_output *output);
bool srv_output_empty(const struct srv_output *output);
/* All are whole or not at all: 0 or -ENOMEM. What is given is taken either way. */
KN_MUST_CHECK int srv_output_copy(struct srv_output *output, const void *data, size_t size);
/* malloc's. */
KN_MUST_CHECK int srv_output_own(struct srv_output *output, void *data, size_t size);
/* With a few bytes (at most 32 each) before and behind. */
KN_MUST_CHECK int srv_output_buffer(struct srv_output *output, const void *before,
                                    size_t before_bytes, struct kn_buffer *buffer,
                                    const void *after, size_t after_bytes);
KN_MUST_CHECK int srv_output_file(struct srv_output *output, int fd, uint64_t offset,
                                  uint64_t size);
/* Sends what there is room for; how many bytes that were. Below 0: the connection's error, or
 * KN_E_TRUNCATED: a file is shorter than was said. */
KN_MUST_CHECK int64_t srv_output_flush(struct srv_output *output, struct srv_conn *conn);

#endif
