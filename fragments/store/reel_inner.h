/* What the files of the reel format share: our Tags elements, identities, and which rows can be. */
#ifndef FRAGMENTS_STORE_REEL_INNER_H
#define FRAGMENTS_STORE_REEL_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "fragments/store/reel_format.h"

/* Keeps the writer's first failure. */
void frag_reel_fail(struct kn_writer *writer, int error);

/* trailer_bytes is not looked at: it is known last. */
bool frag_reel_row_can_be(const struct frag_reel_row *row);

/* What identifies a reel, from its flags to its producer's header: as in a head and under
 * checksums. */
void frag_reel_write_identity(struct kn_writer *writer, const struct frag_reel_identity *identity);

/* ---- Tags elements of ours ---- */

/* The value of one tag: one slice behind the other, in SimpleTags of FRAG_REEL_PIECE_BYTES. */
struct frag_reel_value {
    const char *name;
    bool text;
    const uint8_t *slices[2];
    size_t sizes[2];
};

/* KN_E_LIMIT in the writer's status where 4-byte sizes do not reach. A value of no bytes is one
 * SimpleTag. */
void frag_reel_write_tags(struct kn_writer *writer, const struct frag_reel_value *values,
                          size_t count);
/* The element that begins at `data`: checksum, frame and sizes. `ret_simple` is left at its first
 * SimpleTag and ends with the last. 0 and its length in all, KN_E_TRUNCATED, KN_E_MALFORMED (also
 * when it says more than `most`). */
KN_MUST_CHECK int frag_reel_open_tags(const uint8_t *data, size_t size, size_t most,
                                      struct kn_reader *ret_simple, size_t *ret_bytes);
/* The next SimpleTag, which has this name and form. 0 or KN_E_MALFORMED. */
KN_MUST_CHECK int frag_reel_next_value(struct kn_reader *simple, const char *name, bool text,
                                       struct kn_reader *ret_value);
/* All SimpleTags that are left are pieces of one binary value, cut as frag_reel_write_tags cuts:
 * its length, 0 or more, or KN_E_MALFORMED. Appended to `joined` unless that is NULL: look at its
 * status. */
KN_MUST_CHECK int64_t frag_reel_join_pieces(struct kn_reader *simple, const char *name,
                                            struct kn_writer *joined);

#endif
