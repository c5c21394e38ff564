/* Matroska: read what producers send, write what any player opens.
 *
 * Three layers, each usable alone:
 *   parser   bytes in any cut -> structure (elements, frames by offset, tags). No copy, no I/O.
 *   reader   parser + memory of one cluster -> whole fragments of samples, ready for playback.
 *   writer   tracks and samples -> bytes.
 * All pure: no descriptor, clock, lock or log. One thread at a time per object. */
#ifndef FRAGMENTS_MATROSKA_H
#define FRAGMENTS_MATROSKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/bytes.h"
#include "base/sample.h"
#include "base/track.h"
#include "fragments/fragment.h"

#define FRAG_MKV_UNKNOWN_SIZE UINT64_MAX
#define FRAG_MKV_TEXT_BYTES 128
#define FRAG_MKV_DEFAULT_SCALE_NS 1000000u

/* Level-1 elements and the two above them, as `id` of frag_mkv_element. */
enum frag_mkv_id {
    FRAG_MKV_EBML = 0x1A45DFA3,
    FRAG_MKV_SEGMENT = 0x18538067,
    FRAG_MKV_SEEK_HEAD = 0x114D9B74,
    FRAG_MKV_INFO = 0x1549A966,
    FRAG_MKV_TRACKS = 0x1654AE6B,
    FRAG_MKV_CLUSTER = 0x1F43B675,
    FRAG_MKV_CUES = 0x1C53BB6B,
    FRAG_MKV_CHAPTERS = 0x1043A770,
    FRAG_MKV_TAGS = 0x1254C367,
    FRAG_MKV_ATTACHMENTS = 0x1941A469,
    FRAG_MKV_VOID = 0xEC,
    FRAG_MKV_CRC32 = 0xBF
};

/* "Cluster", "Tags", ...; "unknown element" otherwise. */
const char *frag_mkv_id_name(uint32_t id);

/* ======== parser ======== */

/* Why a parser stopped. Append only: printed by tools, mapped to error acks. */
enum frag_mkv_fault {
    FRAG_MKV_FINE,
    FRAG_MKV_NOT_MATROSKA,   /* no EBML header, or not a document this parser reads */
    FRAG_MKV_BAD_ELEMENT,    /* an id or size that EBML does not allow, a value of a wrong size */
    FRAG_MKV_OVERRUN,        /* an element is larger than the one that holds it */
    FRAG_MKV_SIZE_UNKNOWN,   /* unknown size where only a known one can be read */
    FRAG_MKV_TOO_LARGE,      /* over a stated maximum */
    FRAG_MKV_TOO_DEEP,       /* nested beyond what Matroska has */
    FRAG_MKV_ORDER,          /* a cluster before Tracks, a block before the cluster's time ... */
    FRAG_MKV_SECOND_SEGMENT, /* one Segment per document */
    FRAG_MKV_BAD_TRACKS,     /* none, too many, a number 0 or twice, or another Tracks later */
    FRAG_MKV_COMPRESSED,     /* content compression or encryption, named in the text */
    FRAG_MKV_BAD_BLOCK,      /* block header or lacing */
    FRAG_MKV_NO_SUCH_TRACK,  /* a block names a track that Tracks does not */
    FRAG_MKV_BAD_TIME,       /* a time scale of 0 or over a second, a time beyond 2116 */
    FRAG_MKV_TRUNCATED,      /* the input ends inside an element */
    FRAG_MKV_STOPPED,        /* a callback returned an error */
    FRAG_MKV_NO_MEMORY
};

/* "truncated", "no-such-track", ...: for programs. */
const char *frag_mkv_fault_name(enum frag_mkv_fault fault);

struct frag_mkv_error {
    enum frag_mkv_fault fault;
    int result;      /* what push and finish return from now on */
    uint64_t offset; /* where the offending element begins */
    char text[FRAG_MKV_TEXT_BYTES];
};

struct frag_mkv_element {
    uint32_t id;
    uint8_t header_bytes;
    uint64_t offset; /* of its first header byte */
    uint64_t size;   /* of its body, or FRAG_MKV_UNKNOWN_SIZE */
};

struct frag_mkv_ebml {
    char doc_type[16];
    uint64_t doc_type_version, doc_type_read_version;
};

/* Strings without padding NULs, cut at FRAG_MKV_TEXT_BYTES - 1. */
struct frag_mkv_info {
    uint64_t timecode_scale_ns;
    int64_t duration_ns; /* 0: not said */
    bool has_date;
    int64_t date_ns; /* since 1970 */
    char title[FRAG_MKV_TEXT_BYTES];
    char muxing_app[FRAG_MKV_TEXT_BYTES];
    char writing_app[FRAG_MKV_TEXT_BYTES];
    uint8_t segment_uid[16];
};

/* One frame whose bytes have all been seen: `size` bytes at `offset` of the input. */
struct frag_mkv_frame {
    uint64_t offset;
    uint64_t size;
    int64_t time_ns;     /* cluster time + block time; of later frames in a lace: by duration */
    int64_t duration_ns; /* 0: not said */
    int64_t discard_ns;  /* DiscardPadding; 0 as a rule */
    uint8_t track;       /* index into the tracks given to handler.tracks */
    bool key, invisible, disposable, laced;
};

struct frag_mkv_tag {
    const char *name; /* NUL-terminated, without padding */
    const uint8_t *value;
    size_t value_bytes; /* without padding NULs for strings */
    bool binary;
    bool has_value; /* false: neither TagString nor TagBinary stood there */
    uint32_t group; /* which Tag element of this Tags element, from 0 */
    /* SimpleTag inside SimpleTag. It is told behind the one around it where that one's name and
     * value stand before it, else before. */
    uint32_t depth;
    uint64_t track_uid; /* 0: the whole segment */
    uint64_t offset;    /* of its SimpleTag */
};

/* What the parser tells, in order of the input. Pointers are borrowed for the call; every member
 * may be NULL. A negative return stops the parser for good, with FRAG_MKV_STOPPED and that result.
 */
struct frag_mkv_handler {
    int (*ebml)(const struct frag_mkv_ebml *ebml, void *user);
    int (*segment)(const struct frag_mkv_element *element, void *user);
    /* Every level-1 element. `end` tells where a body of unknown size ended. */
    int (*begin)(const struct frag_mkv_element *element, void *user);
    int (*end)(const struct frag_mkv_element *element, uint64_t end_offset, void *user);
    int (*info)(const struct frag_mkv_info *info, void *user);
    /* Once, at the end of the first Tracks; a repetition must say the same. */
    int (*tracks)(struct kn_tracks *tracks, void *user);
    /* The cluster's raw time in TimecodeScale units and in ns, before its first frame. */
    int (*cluster_time)(uint64_t timecode, int64_t time_ns, void *user);
    /* When the block (for a BlockGroup: the group) is complete. */
    int (*frame)(const struct frag_mkv_frame *frame, void *user);
    int (*tag)(const struct frag_mkv_tag *tag, void *user);
    /* With verify_crc: a level-1 element whose CRC-32 is wrong. */
    int (*bad_crc)(const struct frag_mkv_element *element, void *user);
    /* Every byte of the input once and in order, between begin and end of its level-1 element;
     * `frame` comes after its frame's bytes. At most 12 bytes of an incomplete element header are
     * held back until the next push. */
    int (*bytes)(const uint8_t *data, size_t size, uint64_t offset, void *user);
};

struct frag_mkv_parser_config {
    const struct frag_mkv_handler *handler;
    void *user;
    bool verify_crc; /* costs reading every byte */
    /* Begin at a Cluster of a document whose header is already known; NULL: at the EBML header. */
    struct kn_tracks *tracks;
    uint64_t timecode_scale_ns; /* only with tracks; 0: the default */
};

struct frag_mkv_parser;

/* 0 or -ENOMEM. About 18 KiB; more (bounded by 1 MiB a value, 1 MiB a track's private data) only
 * while header elements are read. Nothing is allocated per block. */
KN_MUST_CHECK int frag_mkv_parser_create(const struct frag_mkv_parser_config *config,
                                         struct frag_mkv_parser **ret_parser);
void frag_mkv_parser_destroy(struct frag_mkv_parser *parser);
/* The next bytes of the document, in any cut. 0, or for ever the first error: KN_E_MALFORMED,
 * KN_E_TRUNCATED, KN_E_LIMIT, KN_E_UNSUPPORTED, -ENOMEM, a callback's own. Events before it stand.
 */
KN_MUST_CHECK int frag_mkv_parser_push(struct frag_mkv_parser *parser, const void *data,
                                       size_t size);
/* The document is over. KN_E_TRUNCATED where it ends inside an element of known size. */
KN_MUST_CHECK int frag_mkv_parser_finish(struct frag_mkv_parser *parser);
const struct frag_mkv_error *frag_mkv_parser_error(const struct frag_mkv_parser *parser);
/* Bytes taken so far; after an error, about where it came. */
uint64_t frag_mkv_parser_offset(const struct frag_mkv_parser *parser);

/* ======== reader ======== */

/* A cluster as samples. Borrowed for the call; take references to keep. */
struct frag_mkv_fragment {
    struct frag_mkv_element cluster;
    uint64_t end_offset;
    uint64_t timecode;        /* raw, in TimecodeScale units */
    int64_t time_ns;          /* the same in ns: origin of the samples' pts and dts */
    struct kn_tracks *tracks; /* with avcC/hvcC private data wherever it could be had */
    struct kn_buffer *bytes;  /* the cluster as received, header included */
    const struct kn_sample *samples;
    size_t sample_count;
    uint32_t converted; /* samples that came in Annex-B */
    uint32_t malformed; /* samples whose framing is neither; flagged KN_SAMPLE_MALFORMED */
};

struct frag_mkv_reader_handler {
    int (*ebml)(const struct frag_mkv_ebml *ebml, void *user);
    int (*begin)(const struct frag_mkv_element *element, void *user);
    int (*end)(const struct frag_mkv_element *element, uint64_t end_offset, void *user);
    int (*info)(const struct frag_mkv_info *info, void *user);
    int (*tracks)(struct kn_tracks *tracks, void *user); /* as received */
    /* Of a cluster whose first bytes have come; its fragment follows when it is complete. */
    int (*cluster_time)(uint64_t timecode, int64_t time_ns, void *user);
    int (*fragment)(const struct frag_mkv_fragment *fragment, void *user);
    int (*tag)(const struct frag_mkv_tag *tag, void *user);
    int (*bad_crc)(const struct frag_mkv_element *element, void *user);
    /* As the parser's, but for the clusters' bytes, which the fragment has. */
    int (*bytes)(const uint8_t *data, size_t size, uint64_t offset, void *user);
};

/* A whole fragment, and what its blocks' headers add to it. */
#define FRAG_CLUSTER_MAX_BYTES (FRAG_MAX_BYTES + FRAG_MAX_SAMPLES * 64u)

struct frag_mkv_reader_config {
    const struct frag_mkv_reader_handler *handler;
    void *user;
    bool verify_crc;
    size_t max_cluster_bytes; /* default FRAG_CLUSTER_MAX_BYTES */
    struct kn_budget *budget; /* for the clusters' bytes; may be NULL */
    struct kn_tracks *tracks; /* as in frag_mkv_parser_config */
    uint64_t timecode_scale_ns;
};

struct frag_mkv_reader;

KN_MUST_CHECK int frag_mkv_reader_create(const struct frag_mkv_reader_config *config,
                                         struct frag_mkv_reader **ret_reader);
void frag_mkv_reader_destroy(struct frag_mkv_reader *reader);
/* As the parser's. A cluster cut short by an error or the end is not given out. */
KN_MUST_CHECK int frag_mkv_reader_push(struct frag_mkv_reader *reader, const void *data,
                                       size_t size);
KN_MUST_CHECK int frag_mkv_reader_finish(struct frag_mkv_reader *reader);
const struct frag_mkv_error *frag_mkv_reader_error(const struct frag_mkv_reader *reader);

/* Sets dts_ns of a fragment's samples of track `track`, which stand in decode order: the n-th dts
 * is the n-th pts in rising order, moved back by the reorder depth (the larger of `reorder_frames`,
 * when the codec says it, and what the samples need), so that dts rises and never passes pts. A
 * function of this fragment alone, so every packaging of it is the same. 0 or -ENOMEM. */
KN_MUST_CHECK int frag_assign_dts(struct kn_sample *samples, size_t count, uint8_t track,
                                  int reorder_frames);

/* ======== writer ======== */

/* A file whose end is not known yet is written with room left, and its header made again, in the
 * same number of bytes, once it is. */
struct frag_mkv_header {
    struct kn_tracks *tracks;
    uint64_t timecode_scale_ns; /* 0: the default, 1 ms */
    int64_t duration_ns;        /* below 0: none and no room for one; 0: room only */
    uint64_t segment_bytes;     /* of the Segment's body; 0: unknown */
    size_t seek_head_room;      /* a Void, for frag_mkv_write_seek_head; 0: none */
    const char *title;          /* NULL: none; likewise below */
    const char *writing_app;
    const uint8_t *segment_uid; /* 16 bytes */
    bool has_date;
    int64_t date_ns; /* since 1970 */
};

/* Where things stand in what frag_mkv_write_header wrote, counted from its first byte. */
struct frag_mkv_layout {
    uint64_t segment_data_at; /* what positions in SeekHead and Cues count from */
    uint64_t seek_head_at;
    uint64_t info_at, tracks_at;
    uint64_t end;
};

/* EBML header, Segment, the room asked for, Info and Tracks, the last two with a CRC-32. Check
 * kn_writer_status. */
void frag_mkv_write_header(struct kn_writer *writer, const struct frag_mkv_header *header,
                           struct frag_mkv_layout *ret_layout);
/* Two of its parts, each with a CRC-32 and an 8-byte size, for a file that lays itself out. Of the
 * header, Info does not look at tracks, segment_bytes and seek_head_room. */
void frag_mkv_write_info(struct kn_writer *writer, const struct frag_mkv_header *header);
void frag_mkv_write_tracks(struct kn_writer *writer, const struct kn_tracks *tracks);

struct frag_mkv_seek {
    uint32_t id;
    uint64_t position; /* from segment_data_at */
};
/* A SeekHead and a Void that fill `room` exactly; KN_E_LIMIT (nothing written) if it is too small.
 */
KN_MUST_CHECK int frag_mkv_write_seek_head(struct kn_writer *writer,
                                           const struct frag_mkv_seek *seeks, size_t count,
                                           size_t room);

struct frag_mkv_cue {
    uint64_t timecode; /* of the key frame, in TimecodeScale units */
    uint64_t track;    /* Matroska number */
    uint64_t cluster_position;
    uint64_t relative_position; /* of the block in the cluster's body */
};
void frag_mkv_write_cues(struct kn_writer *writer, const struct frag_mkv_cue *cues, size_t count);

struct frag_mkv_tags_form {
    bool crc;     /* begin with a CRC-32 */
    bool targets; /* a Targets in every Tag, as the format asks (the real service leaves it out) */
};
/* One Tags element; tags of one group that stand together share a Tag. `depth` and `offset` are not
 * looked at. All sizes are 4-byte, as the real service writes them. */
void frag_mkv_write_tags(struct kn_writer *writer, const struct frag_mkv_tag *tags, size_t count,
                         struct frag_mkv_tags_form form);

/* A cluster ready for writev: block headers of ours between payload slices of the samples. */
struct frag_mkv_cluster {
    const struct iovec *iov;
    size_t iov_count;
    size_t bytes;
    /* The first sample that playing can begin at, a picture where there is a video track: its index
     * and where its block stands in the cluster's body; SIZE_MAX: there is none. */
    size_t first_key, first_key_at;
};

/* Keeps its memory from cluster to cluster. */
struct frag_mkv_packer;

KN_MUST_CHECK int frag_mkv_packer_create(struct frag_mkv_packer **ret_packer);
void frag_mkv_packer_destroy(struct frag_mkv_packer *packer);
/* Cluster of known size (8 bytes) at `timecode`, one SimpleBlock a sample, a BlockGroup where the
 * duration is said and not the track's default, or sound is to be discarded. The result borrows the
 * samples' bytes and the packer's memory until its next call. 0, -ENOMEM, -ERANGE (a sample over
 * ±32767 ticks from the cluster), -EINVAL (no such track, or a number over 56 bits). */
KN_MUST_CHECK int frag_mkv_pack_cluster(struct frag_mkv_packer *packer,
                                        const struct kn_tracks *tracks, uint64_t timecode_scale_ns,
                                        uint64_t timecode, const struct kn_sample *samples,
                                        size_t count, struct frag_mkv_cluster *ret_cluster);

#endif
