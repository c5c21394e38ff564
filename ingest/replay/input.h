/* One file through libavformat, which sees nothing else: its bytes come from a descriptor of ours,
 * it can open no other file and no network, and formats that refer to other files are refused. */
#ifndef INGEST_REPLAY_INPUT_H
#define INGEST_REPLAY_INPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libavformat/avformat.h>

#include "base/attributes.h"

struct ing_input;

/* Blocks, as all here. `limit` not 0: the file ends behind so many bytes. `stop` (may be NULL) ends
 * waiting inside libavformat. 0; -ENOENT and the like; -EINVAL: no plain file; KN_E_MALFORMED:
 * no container that is read here, or damaged from the beginning; -ENOMEM. */
KN_MUST_CHECK int ing_input_open(const char *path, uint64_t limit, const atomic_bool *stop,
                                 struct ing_input **ret_input);
void ing_input_close(struct ing_input *input);
/* Its streams. Borrowed. */
AVFormatContext *ing_input_format(struct ing_input *input);
/* How long it says it is, or 0. */
int64_t ing_input_duration_ns(const struct ing_input *input);
/* 1: the next packet, to be freed; 0: the end; -ENOMEM, KN_E_MALFORMED, a failure of the disk. */
KN_MUST_CHECK int ing_input_read(struct ing_input *input, AVPacket **ret_packet);

#endif
