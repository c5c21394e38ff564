/* What the files behind reel.h share: where playing can begin in a cluster, and how a reel ends. */
#ifndef FRAGMENTS_STORE_REEL_FILE_H
#define FRAGMENTS_STORE_REEL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/track.h"
#include "fragments/matroska.h"
#include "fragments/store/io.h"
#include "fragments/store/reel.h"

/* ---- cues ---- */

/* Whose key frames playing begins at: the pictures', or all when there is no video. */
struct frag_reel_cue_tracks {
    uint64_t numbers[KN_TRACKS_MAX];
    size_t count;
};

void frag_reel_cue_tracks_set(struct frag_reel_cue_tracks *tracks, const struct kn_tracks *from);

/* A cluster's bytes, wherever they are. `read` gives exactly `size` bytes from `at` of the cluster
 * on, or a negative result; `at` never falls. */
struct frag_reel_span {
    int (*read)(void *user, uint64_t at, uint8_t *room, size_t size);
    void *user;
    uint64_t bytes;
};

/* The first key frame among the first blocks of the cluster that stands at `cluster_at`. 1; 0: none
 * is found (what is no cluster as we know it has none); or what `read` answered. */
KN_MUST_CHECK int frag_reel_find_cue(const struct frag_reel_span *span,
                                     const struct frag_reel_cue_tracks *tracks, uint64_t cluster_at,
                                     struct frag_mkv_cue *ret_cue);

/* ---- the end of a reel ---- */

/* What closing needs to know of all fragments: at most FRAG_REEL_ROWS_MAX. */
struct frag_reel_ends {
    struct frag_reel_row *rows;
    struct frag_mkv_cue *cues;
    size_t row_count, row_room, cue_count, cue_room;
};

void frag_reel_ends_finish(struct frag_reel_ends *ends);
/* Room for one more row and cue. 0, -ENOMEM, KN_E_LIMIT. */
KN_MUST_CHECK int frag_reel_ends_reserve(struct frag_reel_ends *ends);
/* The room was reserved. `cue` may be NULL. */
void frag_reel_ends_add(struct frag_reel_ends *ends, const struct frag_reel_row *row,
                        const struct frag_mkv_cue *cue);
/* Cues and table as they stand from `at` on, appended to `writer`: look at its status. Sets
 * cues_at and table_at. */
void frag_reel_ends_write(struct kn_writer *writer, const struct frag_reel_ends *ends, uint64_t at,
                          struct frag_reel_places *places);
/* Writes them behind what the file has up to `at`, cuts off what is behind them, syncs. */
KN_MUST_CHECK int frag_reel_put_ends(struct frag_io *io, int fd, const struct kn_writer *ends,
                                     uint64_t at);
/* Writes the page that closes, and syncs. */
KN_MUST_CHECK int frag_reel_put_page(struct frag_io *io, int fd,
                                     const struct frag_reel_places *places);
/* The folder of `path` and the three above it, from below: those that its name has. */
KN_MUST_CHECK int frag_reel_sync_folders(struct frag_io *io, const char *path);

/* ---- reading ---- */

/* Of a table's element. */
#define FRAG_REEL_TABLE_MOST ((uint64_t)64 * 1024 * 1024)

/* frag_reel_identify of an open file. */
KN_MUST_CHECK int frag_reel_identify_open(struct frag_io *io, int fd,
                                          struct frag_reel_identity *ret_identity);
/* 1: closed, and where; 0: open; what is neither, KN_E_MALFORMED or KN_E_TRUNCATED; an errno. */
KN_MUST_CHECK int frag_reel_load_page(struct frag_io *io, int fd,
                                      struct frag_reel_places *ret_places);
/* What stands between the first two pages and the first cluster. KN_E_MALFORMED, KN_E_TRUNCATED, an
 * errno. */
KN_MUST_CHECK int frag_reel_load_body(struct frag_io *io, int fd, uint64_t file_bytes,
                                      const struct frag_reel_identity *identity,
                                      struct frag_reel_body *ret_body);
/* Appends the packed table of the element at `at`. 0 and where the element ends; KN_E_MALFORMED,
 * KN_E_TRUNCATED, an errno, the writer's own failure. */
KN_MUST_CHECK int frag_reel_load_table(struct frag_io *io, int fd, uint64_t file_bytes, uint64_t at,
                                       struct kn_writer *table, uint64_t *ret_end);
/* Whether such a result speaks of the file's bytes, not of the machine. */
bool frag_reel_is_damage(int rc);
/* frag_reel_scan of an open file. */
KN_MUST_CHECK int frag_reel_scan_open(struct frag_io *io, int fd, uint64_t from, bool verify,
                                      const struct frag_reel_handler *handler, void *user,
                                      struct frag_reel_scanned *ret_state);

#endif
