/* What the store keeps in its journal, as bytes (docs/store-format.md, Values). Pure, any thread;
 * decoders are fed by damaged disks and take only what the encoders here write.
 *
 * Encoders append and report in kn_writer_status (KN_E_MALFORMED for what no decoder would take);
 * decoders answer 0, KN_E_TRUNCATED, KN_E_MALFORMED, or KN_E_UNSUPPORTED for a newer version; a
 * stream's also -ENOMEM. */
#ifndef FRAGMENTS_STORE_VALUES_H
#define FRAGMENTS_STORE_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "fragments/store.h"
#include "fragments/store/catalog.h"
#include "fragments/upkeep.h"

/* ---- kind STORE: keys are text, behind some an id ---- */

#define FRAG_KEY_EPOCH "epoch"   /* u64, +1 at every start for writing */
#define FRAG_KEY_FOLDER "folder" /* and the storage directory's id */
#define FRAG_KEY_MARK "mark"     /* and the stream's id */
#define FRAG_KEY_BYTES_MAX (8u + FRAG_ID_BYTES)

/* "folder" + id and the like; returns its bytes. */
size_t frag_key_of(const char *word, const uint8_t id[static FRAG_ID_BYTES],
                   uint8_t key[static FRAG_KEY_BYTES_MAX]);

void frag_value_write_u64(struct kn_writer *writer, uint64_t value);
KN_MUST_CHECK int frag_value_read_u64(struct frag_catalog_value value, uint64_t *ret_value);

#define FRAG_FOLDER_PATH_BYTES 4096u
/* A storage directory: reels of the index name it by its number. 0 is the main one. */
struct frag_value_folder {
    uint16_t number;
    char path[FRAG_FOLDER_PATH_BYTES]; /* absolute, where it was last; empty for the main one */
};
void frag_value_write_folder(struct kn_writer *writer, const struct frag_value_folder *folder);
KN_MUST_CHECK int frag_value_read_folder(struct frag_catalog_value value,
                                         struct frag_value_folder *ret_folder);

/* The highest numbers a stream has used, for when none of its reels is left to tell. */
struct frag_value_mark {
    uint64_t sequence;
    uint64_t ordinal;
    uint64_t discontinuities;
};
void frag_value_write_mark(struct kn_writer *writer, const struct frag_value_mark *mark);
KN_MUST_CHECK int frag_value_read_mark(struct frag_catalog_value value,
                                       struct frag_value_mark *ret_mark);

/* ---- kind STREAM: key is the stream's id ---- */

struct frag_value_stream {
    char name[FRAG_STREAM_NAME_BYTES];
    char version[21];
    struct kn_wall created;
    bool deleting;
    struct frag_stream_settings settings;
    size_t tag_count;
    struct frag_stream_tag *tags; /* in order of their keys; decoding: free() it */
};
/* 1 to 256 of A-Z a-z 0-9 . _ -, but "." and "..", which climb in the paths of URLs. */
bool frag_stream_name_valid(const char *name);
bool frag_stream_settings_valid(const struct frag_stream_settings *settings);
/* Key of 1 to 128 and value of 0 to 256 bytes of UTF-8 without control characters. */
bool frag_stream_tag_valid(const struct frag_stream_tag *tag);
void frag_value_write_stream(struct kn_writer *writer, const struct frag_value_stream *stream);
KN_MUST_CHECK int frag_value_read_stream(struct frag_catalog_value value,
                                         struct frag_value_stream *ret_stream);

/* ---- kind HOLD: key is the hold's id ---- */

struct frag_value_hold {
    uint8_t stream[FRAG_ID_BYTES];
    enum frag_clock clock;
    struct kn_wall from, to, created;
    char reason[FRAG_HOLD_REASON_BYTES];
};
void frag_value_write_hold(struct kn_writer *writer, const struct frag_value_hold *hold);
KN_MUST_CHECK int frag_value_read_hold(struct frag_catalog_value value,
                                       struct frag_value_hold *ret_hold);

/* ---- kind GAP: key is stream id, beginning, and a number that tells apart what begins at once
 * ----
 */

#define FRAG_GAP_KEY_BYTES (FRAG_ID_BYTES + 8u + 4u)
struct frag_gap_key {
    uint8_t stream[FRAG_ID_BYTES];
    struct kn_wall from;
    uint32_t number;
};
/* Bytewise order is order of stream and time, also below 0. */
void frag_gap_key_write(const struct frag_gap_key *key, uint8_t room[static FRAG_GAP_KEY_BYTES]);
KN_MUST_CHECK int frag_gap_key_read(struct frag_catalog_value value, struct frag_gap_key *ret_key);
/* Of `gap.from` nothing is written: it is in the key, and reading gives 0 for it. */
void frag_value_write_gap(struct kn_writer *writer, const struct frag_gap_entry *gap);
KN_MUST_CHECK int frag_value_read_gap(struct frag_catalog_value value,
                                      struct frag_gap_entry *ret_gap);

/* ---- kind SEAL: key is the reel's id ---- */

/* Behind `bytes` nothing of the reel was acknowledged, nor ever counts. */
struct frag_value_seal {
    uint8_t stream[FRAG_ID_BYTES];
    uint64_t bytes;
};
void frag_value_write_seal(struct kn_writer *writer, const struct frag_value_seal *seal);
KN_MUST_CHECK int frag_value_read_seal(struct frag_catalog_value value,
                                       struct frag_value_seal *ret_seal);

/* ---- the identity file of a storage directory, `kinora-store` ---- */

#define FRAG_IDENTITY_FILE "kinora-store"
#define FRAG_IDENTITY_BYTES 48u
struct frag_folder_identity {
    uint8_t store_id[FRAG_ID_BYTES];
    uint8_t folder_id[FRAG_ID_BYTES];
    bool main;
};
void frag_identity_write(const struct frag_folder_identity *identity,
                         uint8_t room[static FRAG_IDENTITY_BYTES]);
KN_MUST_CHECK int frag_identity_read(const uint8_t *data, size_t size,
                                     struct frag_folder_identity *ret_identity);

#endif
