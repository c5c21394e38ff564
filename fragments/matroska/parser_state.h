/* Inside of the push parser, shared by parser.c (the machine), schema.c (what each element is),
 * fields.c (values of header elements and tags) and block.c (block headers, frames). */
#ifndef FRAGMENTS_MATROSKA_PARSER_STATE_H
#define FRAGMENTS_MATROSKA_PARSER_STATE_H

#include "fragments/matroska.h"

/* Segment, Tags, Tag, then SimpleTags: nobody nests deeper than this. */
#define MKV_DEPTH_MAX 12
#define MKV_HEADER_MAX 12 /* id of 4 bytes and size of 8 */
#define MKV_LACE_MAX 256
/* Track number, time, flags, lace count, 255 sizes: a Xiph size needs a byte for every 255 of
 * payload, so its head has no bound but this one (a lace of 2 MB); larger ones are refused. */
#define MKV_BLOCK_HEAD_MAX 8192u
#define MKV_STRING_MAX 65536u
/* Times reach to 2116, a tick is at most a second, and longer durations count as not said: so the
 * sum of a time and a duration, and the difference of two such sums, fit into 64 bits. */
#define MKV_TIME_MAX_NS (INT64_MAX / 2)
#define MKV_DURATION_MAX_NS (INT64_MAX / 8)
#define MKV_SCALE_MAX_NS 1000000000u
#define MKV_TAG_NAME_MAX 512

enum mkv_kind {
    KIND_SKIP,
    KIND_PEEK, /* passed over but for a CRC-32 at its beginning */
    KIND_MASTER,
    KIND_UINT,
    KIND_FLOAT,
    KIND_DATE,
    KIND_TEXT,
    KIND_BINARY,
    KIND_BLOCK
};

struct mkv_level {
    struct frag_mkv_element element;
    uint64_t limit; /* the nearest known end, its own or an outer one's; UINT64_MAX: none */
};

/* A block whose frames wait for its last byte, or for the end of its group. */
struct mkv_block {
    bool pending;
    uint8_t track;
    uint8_t flags;
    int16_t relative;
    unsigned count;
    uint64_t offset; /* of the first frame */
    uint64_t sizes[MKV_LACE_MAX];
};

struct mkv_group {
    bool has_reference, has_duration;
    uint64_t duration;  /* in TimecodeScale units */
    int64_t discard_ns; /* DiscardPadding */
};

/* A SimpleTag that is open; its value stands in tag_values. */
struct mkv_simple_tag {
    bool told, has_name, has_value, binary;
    char name[MKV_TAG_NAME_MAX];
    uint64_t offset;
    size_t value_at, value_bytes;
};

enum mkv_phase { PHASE_HEADER, PHASE_LEAF, PHASE_BLOCK_HEAD, PHASE_BODY };

struct frag_mkv_parser {
    const struct frag_mkv_handler *handler;
    void *user;
    bool verify_crc;
    struct frag_mkv_error error;

    enum mkv_phase phase;
    uint64_t offset; /* of the next byte to take */
    const uint8_t *input;
    size_t input_size;
    uint64_t input_at;  /* offset of input[0] */
    uint64_t told_upto; /* handler.bytes has had everything before it */
    /* An element header cut by the end of a push; its bytes are not told yet. */
    uint8_t carry[MKV_HEADER_MAX];
    size_t carry_bytes;
    /* A value or block head cut by the end of a push. */
    uint8_t *scratch;
    size_t scratch_bytes, scratch_room;

    struct mkv_level levels[MKV_DEPTH_MAX];
    size_t depth;
    struct frag_mkv_element element; /* the leaf or block being read */
    enum mkv_kind kind;
    size_t leaf_bytes; /* of the value in PHASE_LEAF */
    uint64_t body_left;

    bool crc_active;
    uint32_t crc, crc_expected;
    uint64_t crc_from;

    bool ebml_seen, segment_seen, info_seen, time_seen;
    struct frag_mkv_ebml ebml;
    uint64_t ebml_read_version, ebml_max_id, ebml_max_size;
    struct frag_mkv_info info;
    double duration; /* raw, in TimecodeScale units */
    uint64_t scale_ns;
    bool scale_used;

    struct kn_tracks *tracks;
    struct kn_track *entries; /* KN_TRACKS_MAX of them, only while Tracks is read */
    uint8_t *privates[KN_TRACKS_MAX];
    size_t entry_count;
    uint64_t display_unit;

    uint64_t timecode;
    int64_t time_ns;
    struct mkv_block block;
    struct mkv_group group;

    uint32_t tag_group, tag_depth;
    uint64_t tag_track_uid;
    struct mkv_simple_tag tags[MKV_DEPTH_MAX]; /* tag_depth of them are open */
    uint8_t *tag_values;
    size_t tag_values_room;
};

/* Stops the parser: remembers the first fault and returns its result. */
int frag_mkv_fail(struct frag_mkv_parser *parser, enum frag_mkv_fault fault, uint64_t offset,
                  const char *format, ...) KN_PRINTF(4, 5);
/* 0, or stops the parser for a callback's (or allocation's) negative answer. */
KN_MUST_CHECK int frag_mkv_answer(struct frag_mkv_parser *parser, int answer);
/* Gives all bytes before `upto` to handler.bytes. */
KN_MUST_CHECK int frag_mkv_tell_bytes(struct frag_mkv_parser *parser, uint64_t upto);

/* schema.c */
bool frag_mkv_is_level1(uint32_t id);
enum mkv_kind frag_mkv_kind(const struct frag_mkv_parser *parser, uint32_t parent, uint32_t id);
/* What is read of a value at the most; UINT64_MAX for what is not read as one. */
uint64_t frag_mkv_largest_body(enum mkv_kind kind, uint32_t id);

/* block.c. `data` holds the first `have` bytes of a block body of `size` bytes. Bytes of the head,
 * 0 when more are needed, or a failure. */
KN_MUST_CHECK int frag_mkv_block_head(struct frag_mkv_parser *parser, const uint8_t *data,
                                      size_t have, uint64_t size);
KN_MUST_CHECK int frag_mkv_block_emit(struct frag_mkv_parser *parser, bool in_group);

/* fields.c */
KN_MUST_CHECK int frag_mkv_master_begin(struct frag_mkv_parser *parser,
                                        const struct frag_mkv_element *element);
KN_MUST_CHECK int frag_mkv_master_end(struct frag_mkv_parser *parser,
                                      const struct frag_mkv_element *element);
KN_MUST_CHECK int frag_mkv_leaf(struct frag_mkv_parser *parser, const uint8_t *data, size_t size);
void frag_mkv_fields_finish(struct frag_mkv_parser *parser);

#endif
