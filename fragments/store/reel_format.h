/* Reels as bytes (docs/store-format.md, Reels): head, trailers, packed tables, the page of a closed
 * reel. Pure, any thread; every reader is fed by damaged disks and takes only what the writers here
 * write.
 *
 *     new reel     frag_reel_write_head; for each fragment its cluster, frag_reel_write_trailer
 *     closing      frag_mkv_write_cues, frag_reel_pack_table, frag_reel_write_table_element;
 *                  synced, then frag_reel_close_page over the page at FRAG_REEL_SEEK_AT
 *     finding      frag_reel_read_identity, frag_reel_read_page: closed, and where the table is
 *     scanning     frag_reel_read_identity, frag_reel_read_body: where the first cluster is; then
 *                  frag_reel_read_element and frag_reel_read_trailer, in turns
 *
 * Writers report in kn_writer_status, and write nothing whole after a failure: KN_E_LIMIT and
 * -ENOMEM as always, KN_E_MALFORMED for values that no reader would take. */
#ifndef FRAGMENTS_STORE_REEL_FORMAT_H
#define FRAGMENTS_STORE_REEL_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "base/track.h"
#include "fragments/fragment.h"

#define FRAG_REEL_VERSION 1
#define FRAG_REEL_IDENTITY_BYTES 112
#define FRAG_REEL_TRAILER_BYTES 124
/* The Segment's body: positions in SeekHead and Cues count from here. */
#define FRAG_REEL_SEGMENT_AT 52u
#define FRAG_REEL_SEEK_AT 4096u /* the page that is written again when a reel is closed */
#define FRAG_REEL_BODY_AT 8192u /* Info */
#define FRAG_REEL_PIECE_BYTES 60000u
/* Cluster: id 4, size 8. Tags: id 4, size 4. */
#define FRAG_REEL_CLUSTER_HEAD_BYTES 12u
#define FRAG_REEL_TAGS_HEAD_BYTES 8u
/* Bytes received around a cluster, before and after together. */
#define FRAG_REEL_AROUND_MAX (1024u * 1024u)
/* A trailer's element: without bytes around, and with the most there may be, in 18 pieces. */
#define FRAG_REEL_TRAILER_LEAST 183u
#define FRAG_REEL_TRAILER_MOST (FRAG_REEL_TRAILER_LEAST + FRAG_REEL_AROUND_MAX + 18u * 31u)
#define FRAG_REEL_PRODUCER_HEADER_MAX (16u * 1024u * 1024u)
/* Of the number's server time: what int64 nanoseconds reach. */
#define FRAG_REEL_SERVER_MS_MAX (UINT64_C(0x7FFFFFFFFFFFFFFF) / 1000000u)

enum frag_reel_flags { FRAG_REEL_KEPT = 1, FRAG_REEL_RECORDS = 2, FRAG_REEL_RELATIVE = 4 };

struct frag_reel_identity {
    uint16_t flags; /* enum frag_reel_flags */
    uint8_t store_id[FRAG_ID_BYTES];
    uint8_t stream_id[FRAG_ID_BYTES];
    uint8_t reel_id[FRAG_ID_BYTES];
    uint8_t session_id[FRAG_ID_BYTES];
    uint64_t epoch;
    struct kn_wall opened;
    struct kn_wall producer_start; /* 0 with absolute timecodes */
    uint64_t timecode_scale_ns;    /* 1 to INT64_MAX */
    uint32_t number_low;           /* 28 bits */
    uint32_t producer_header_bytes;
};

/* One fragment of a reel: what its trailer says, and what an index row is made of. Possible rows
 * begin at FRAG_REEL_BODY_AT or later, end at INT64_MAX or earlier, have a number within
 * FRAG_NUMBER_SEQUENCE_MAX and FRAG_REEL_SERVER_MS_MAX, a duration from 0 with which the producer
 * time still fits, and no flags but those there are. */
struct frag_reel_row {
    uint64_t cluster_at;
    uint64_t cluster_bytes; /* header included */
    uint32_t trailer_bytes; /* of the Tags element behind it */
    uint32_t cluster_crc32c;
    struct frag_number number;
    uint64_t ordinal;
    uint64_t discontinuities;
    /* Whole µs, or a row of the table has 5 bytes more. */
    struct kn_wall producer, server;
    int64_t duration_ns;
    uint32_t frames;
    uint16_t flags;                     /* enum frag_flags */
    uint8_t received_unknown;           /* the cluster's size field as received: 1 unknown */
    uint8_t received_width;             /* its bytes; 0: the cluster was made here */
    uint32_t before_bytes, after_bytes; /* received level-1 bytes around the cluster */
};

/* ---- head ---- */

/* Offsets 0 to the first cluster, as docs/store-format.md lays it out. `producer_header` may be
 * NULL with 0 bytes. KN_E_LIMIT also where the stream's name does not fit the first page (3,700
 * bytes do) or the producer's header is over FRAG_REEL_PRODUCER_HEADER_MAX. */
void frag_reel_write_head(struct kn_writer *writer, const struct frag_reel_identity *identity,
                          const char *stream_name, struct kn_tracks *tracks,
                          const uint8_t *producer_header);
/* From the first FRAG_REEL_SEEK_AT bytes of a file. 0; KN_E_TRUNCATED; KN_E_MALFORMED (no reel, or
 * a checksum is wrong); KN_E_UNSUPPORTED (a newer version). */
KN_MUST_CHECK int frag_reel_read_identity(const uint8_t *data, size_t size,
                                          struct frag_reel_identity *ret_identity);

/* Offsets in the file. */
struct frag_reel_body {
    uint64_t tracks_at;
    uint64_t first_cluster_at;
};

/* The bytes from FRAG_REEL_BODY_AT on: Info and Tracks against their checksums (what they say is
 * the Matroska parser's to read), and the producer's header, which is appended to `producer_header`
 * unless that is NULL. 0; KN_E_TRUNCATED: more bytes are needed (at most 34 MiB); KN_E_MALFORMED;
 * the writer's own failure. */
KN_MUST_CHECK int frag_reel_read_body(const uint8_t *data, size_t size,
                                      const struct frag_reel_identity *identity,
                                      struct kn_writer *producer_header,
                                      struct frag_reel_body *ret_body);

/* ---- trailers ---- */

/* Writes the trailer that will stand behind its cluster (at row->cluster_at + row->cluster_bytes)
 * and sets row->trailer_bytes. `before` and `after` have row->before_bytes and row->after_bytes,
 * and may be NULL where that is 0. KN_E_LIMIT also where they are over FRAG_REEL_AROUND_MAX. */
void frag_reel_write_trailer(struct kn_writer *writer, struct frag_reel_row *row,
                             const uint8_t reel_id[static FRAG_ID_BYTES], const uint8_t *before,
                             const uint8_t *after);
/* The Tags element that begins at `data`, which stands at `offset` of the reel `identity` is of. 0
 * and the row; KN_E_TRUNCATED: it may go on behind `size` (frag_reel_read_element says how far);
 * KN_E_MALFORMED: it is no good trailer of this reel at this place. The cluster's checksum is the
 * caller's to compare. */
KN_MUST_CHECK int frag_reel_read_trailer(const uint8_t *data, size_t size, uint64_t offset,
                                         const struct frag_reel_identity *identity,
                                         struct frag_reel_row *ret_row);
/* The bytes received around the cluster, from a trailer that was read well: appends before and
 * after one behind the other. 0, KN_E_MALFORMED, KN_E_TRUNCATED, the writer's own failure. */
KN_MUST_CHECK int frag_reel_read_around(const uint8_t *data, size_t size,
                                        const struct frag_reel_row *row, struct kn_writer *around);

/* The head of a Cluster, a Cues or a Tags element of ours: which (FRAG_MKV_CLUSTER, FRAG_MKV_CUES,
 * FRAG_MKV_TAGS), and its length with the head. A claim of the disk: nothing has checked it. 0;
 * KN_E_TRUNCATED (FRAG_REEL_CLUSTER_HEAD_BYTES are enough); KN_E_MALFORMED. */
KN_MUST_CHECK int frag_reel_read_element(const uint8_t *data, size_t size, uint32_t *ret_id,
                                         uint64_t *ret_bytes);

/* ---- packed tables ---- */

/* Rows in order of their place, as the binary of KINORA_TABLE. What a table does not hold
 * (checksums, frames, size as received, bytes around) is in the trailers. KN_E_MALFORMED also for
 * rows that overlap, or whose sequences or ordinals do not rise, or whose discontinuities fall. */
void frag_reel_pack_table(struct kn_writer *writer, const struct frag_reel_row *rows, size_t count);

struct frag_reel_table {
    struct kn_reader reader;
    uint32_t rows_left;
    struct frag_reel_row last;
    uint32_t number_low;
};

/* Checks the checksum and begins. 0, KN_E_TRUNCATED, KN_E_MALFORMED, KN_E_UNSUPPORTED. Borrows
 * `data`. */
KN_MUST_CHECK int frag_reel_table_open(struct frag_reel_table *table, const uint8_t *data,
                                       size_t size, uint32_t number_low);
/* 1: one row; 0: the end; KN_E_MALFORMED, for ever: a row that cannot be (sums that overflow,
 * clusters that overlap, numbers that do not rise), or written otherwise than pack_table would. */
KN_MUST_CHECK int frag_reel_table_next(struct frag_reel_table *table,
                                       struct frag_reel_row *ret_row);

/* The Tags element that holds a packed table, and the packed table out of it again, appended. Of
 * reading: 0; KN_E_TRUNCATED: more bytes are needed; KN_E_MALFORMED; the writer's own failure. */
void frag_reel_write_table_element(struct kn_writer *writer, const uint8_t *table, size_t size);
KN_MUST_CHECK int frag_reel_read_table_element(const uint8_t *data, size_t size,
                                               struct kn_writer *table);

/* ---- the page at FRAG_REEL_SEEK_AT ---- */

/* Offsets in the file, each behind the one before. */
struct frag_reel_places {
    uint64_t tracks_at;
    uint64_t cues_at; /* 0: no Cues */
    uint64_t table_at;
};

/* The page's FRAG_REEL_BODY_AT - FRAG_REEL_SEEK_AT bytes once all it points at is durable. */
void frag_reel_close_page(struct kn_writer *writer, const struct frag_reel_places *places);
/* The page's bytes. 1: closed, and the places; 0: open; KN_E_TRUNCATED; KN_E_MALFORMED: neither, as
 * after a torn write: take it for open. */
KN_MUST_CHECK int frag_reel_read_page(const uint8_t *data, size_t size,
                                      struct frag_reel_places *ret_places);

#endif
