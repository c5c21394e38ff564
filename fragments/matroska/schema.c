/* What each element is, by its id and its parent: how it is read and how large it may be. */
#include "fragments/matroska/ids.h"
#include "fragments/matroska/parser_state.h"

bool frag_mkv_is_level1(uint32_t id) {
    switch (id) {
    case FRAG_MKV_SEEK_HEAD:
    case FRAG_MKV_INFO:
    case FRAG_MKV_TRACKS:
    case FRAG_MKV_CLUSTER:
    case FRAG_MKV_CUES:
    case FRAG_MKV_CHAPTERS:
    case FRAG_MKV_TAGS:
    case FRAG_MKV_ATTACHMENTS:
        return true;
    default:
        return false;
    }
}

const char *frag_mkv_id_name(uint32_t id) {
    static const struct {
        uint32_t id;
        const char *name;
    } names[] = {
        {FRAG_MKV_EBML, "EBML"},
        {FRAG_MKV_SEGMENT, "Segment"},
        {FRAG_MKV_SEEK_HEAD, "SeekHead"},
        {FRAG_MKV_INFO, "Info"},
        {FRAG_MKV_TRACKS, "Tracks"},
        {FRAG_MKV_CLUSTER, "Cluster"},
        {FRAG_MKV_CUES, "Cues"},
        {FRAG_MKV_CHAPTERS, "Chapters"},
        {FRAG_MKV_TAGS, "Tags"},
        {FRAG_MKV_ATTACHMENTS, "Attachments"},
        {FRAG_MKV_VOID, "Void"},
        {FRAG_MKV_CRC32, "CRC-32"},
        {ID_TRACK_ENTRY, "TrackEntry"},
        {ID_SIMPLE_BLOCK, "SimpleBlock"},
        {ID_BLOCK_GROUP, "BlockGroup"},
        {ID_BLOCK, "Block"},
        {ID_TIMECODE, "Timestamp"},
        {ID_TAG, "Tag"},
        {ID_SIMPLE_TAG, "SimpleTag"},
        {ID_CODEC_PRIVATE, "CodecPrivate"},
        {ID_TAG_STRING, "TagString"},
        {ID_TAG_BINARY, "TagBinary"},
        {ID_TAG_NAME, "TagName"},
        {ID_CODEC_ID, "CodecID"},
        {ID_TIMECODE_SCALE, "TimestampScale"},
    };
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        if (names[i].id == id) {
            return names[i].name;
        }
    }
    return "unknown element";
}

static enum mkv_kind kind_in_header(uint32_t parent, uint32_t id) {
    switch (parent) {
    case FRAG_MKV_EBML:
        switch (id) {
        case ID_DOC_TYPE:
            return KIND_TEXT;
        case ID_EBML_READ_VERSION:
        case ID_EBML_MAX_ID_LENGTH:
        case ID_EBML_MAX_SIZE_LENGTH:
        case ID_DOC_TYPE_VERSION:
        case ID_DOC_TYPE_READ_VERSION:
            return KIND_UINT;
        default:
            return KIND_SKIP;
        }
    case FRAG_MKV_INFO:
        switch (id) {
        case ID_TIMECODE_SCALE:
            return KIND_UINT;
        case ID_DURATION:
            return KIND_FLOAT;
        case ID_DATE_UTC:
            return KIND_DATE;
        case ID_TITLE:
        case ID_MUXING_APP:
        case ID_WRITING_APP:
            return KIND_TEXT;
        case ID_SEGMENT_UID:
            return KIND_BINARY;
        default:
            return KIND_SKIP;
        }
    case FRAG_MKV_TRACKS:
        return id == ID_TRACK_ENTRY ? KIND_MASTER : KIND_SKIP;
    default:
        return KIND_SKIP;
    }
}

static enum mkv_kind kind_in_track(uint32_t parent, uint32_t id) {
    switch (id) {
    case ID_TRACK_NUMBER:
    case ID_TRACK_UID:
    case ID_TRACK_TYPE:
    case ID_DEFAULT_DURATION:
    case ID_CODEC_DELAY:
    case ID_SEEK_PREROLL:
        return parent == ID_TRACK_ENTRY ? KIND_UINT : KIND_SKIP;
    case ID_TRACK_NAME:
    case ID_LANGUAGE:
    case ID_CODEC_ID:
        return parent == ID_TRACK_ENTRY ? KIND_TEXT : KIND_SKIP;
    case ID_CODEC_PRIVATE:
        return parent == ID_TRACK_ENTRY ? KIND_BINARY : KIND_SKIP;
    case ID_VIDEO:
    case ID_AUDIO:
    case ID_CONTENT_ENCODINGS:
        return parent == ID_TRACK_ENTRY ? KIND_MASTER : KIND_SKIP;
    case ID_PIXEL_WIDTH:
    case ID_PIXEL_HEIGHT:
    case ID_DISPLAY_WIDTH:
    case ID_DISPLAY_HEIGHT:
    case ID_DISPLAY_UNIT:
        return parent == ID_VIDEO ? KIND_UINT : KIND_SKIP;
    case ID_SAMPLING_FREQUENCY:
        return parent == ID_AUDIO ? KIND_FLOAT : KIND_SKIP;
    case ID_CHANNELS:
    case ID_BIT_DEPTH:
        return parent == ID_AUDIO ? KIND_UINT : KIND_SKIP;
    case ID_CONTENT_ENCODING:
        return parent == ID_CONTENT_ENCODINGS ? KIND_MASTER : KIND_SKIP;
    case ID_CONTENT_COMPRESSION:
    case ID_CONTENT_ENCRYPTION:
        return parent == ID_CONTENT_ENCODING ? KIND_MASTER : KIND_SKIP;
    case ID_CONTENT_COMP_ALGO:
        return parent == ID_CONTENT_COMPRESSION ? KIND_UINT : KIND_SKIP;
    default:
        return KIND_SKIP;
    }
}

static enum mkv_kind kind_in_cluster(uint32_t parent, uint32_t id) {
    switch (id) {
    case ID_SIMPLE_BLOCK:
        return parent == FRAG_MKV_CLUSTER ? KIND_BLOCK : KIND_SKIP;
    case ID_TIMECODE:
        return parent == FRAG_MKV_CLUSTER ? KIND_UINT : KIND_SKIP;
    case ID_BLOCK_GROUP:
        return parent == FRAG_MKV_CLUSTER ? KIND_MASTER : KIND_SKIP;
    case ID_ENCRYPTED_BLOCK:
        return KIND_BINARY; /* refused when it is opened */
    case ID_BLOCK:
        return parent == ID_BLOCK_GROUP ? KIND_BLOCK : KIND_SKIP;
    case ID_BLOCK_DURATION:
    case ID_REFERENCE_BLOCK:
    case ID_DISCARD_PADDING:
        return parent == ID_BLOCK_GROUP ? KIND_UINT : KIND_SKIP;
    default:
        return KIND_SKIP;
    }
}

static enum mkv_kind kind_in_tags(uint32_t parent, uint32_t id) {
    switch (id) {
    case ID_TAG:
        return parent == FRAG_MKV_TAGS ? KIND_MASTER : KIND_SKIP;
    case ID_TARGETS:
        return parent == ID_TAG ? KIND_MASTER : KIND_SKIP;
    case ID_TAG_TRACK_UID:
        return parent == ID_TARGETS ? KIND_UINT : KIND_SKIP;
    case ID_SIMPLE_TAG:
        return parent == ID_TAG || parent == ID_SIMPLE_TAG ? KIND_MASTER : KIND_SKIP;
    case ID_TAG_NAME:
    case ID_TAG_STRING:
        return parent == ID_SIMPLE_TAG ? KIND_TEXT : KIND_SKIP;
    case ID_TAG_BINARY:
        return parent == ID_SIMPLE_TAG ? KIND_BINARY : KIND_SKIP;
    default:
        return KIND_SKIP;
    }
}

enum mkv_kind frag_mkv_kind(const struct frag_mkv_parser *parser, uint32_t parent, uint32_t id) {
    switch (parent) {
    case FRAG_MKV_SEGMENT:
        switch (id) {
        case FRAG_MKV_INFO:
        case FRAG_MKV_TRACKS:
        case FRAG_MKV_CLUSTER:
        case FRAG_MKV_TAGS:
            return KIND_MASTER;
        default:
            return parser->verify_crc && frag_mkv_is_level1(id) ? KIND_PEEK : KIND_SKIP;
        }
    case FRAG_MKV_CLUSTER:
    case ID_BLOCK_GROUP:
        return kind_in_cluster(parent, id);
    case ID_TRACK_ENTRY:
    case ID_VIDEO:
    case ID_AUDIO:
    case ID_CONTENT_ENCODINGS:
    case ID_CONTENT_ENCODING:
    case ID_CONTENT_COMPRESSION:
        return kind_in_track(parent, id);
    case FRAG_MKV_TAGS:
    case ID_TAG:
    case ID_TARGETS:
    case ID_SIMPLE_TAG:
        return kind_in_tags(parent, id);
    default:
        return kind_in_header(parent, id);
    }
}

uint64_t frag_mkv_largest_body(enum mkv_kind kind, uint32_t id) {
    switch (kind) {
    case KIND_UINT:
    case KIND_FLOAT:
    case KIND_DATE:
        return 8;
    case KIND_TEXT:
        return MKV_STRING_MAX;
    case KIND_BINARY:
        return id == ID_CODEC_PRIVATE ? KN_TRACK_PRIVATE_MAX : MKV_STRING_MAX;
    case KIND_SKIP:
    case KIND_PEEK:
    case KIND_MASTER:
    case KIND_BLOCK:
        break;
    }
    return UINT64_MAX;
}

const char *frag_mkv_fault_name(enum frag_mkv_fault fault) {
    static const char *const names[] = {
        [FRAG_MKV_FINE] = "fine",
        [FRAG_MKV_NOT_MATROSKA] = "not-matroska",
        [FRAG_MKV_BAD_ELEMENT] = "bad-element",
        [FRAG_MKV_OVERRUN] = "overrun",
        [FRAG_MKV_SIZE_UNKNOWN] = "size-unknown",
        [FRAG_MKV_TOO_LARGE] = "too-large",
        [FRAG_MKV_TOO_DEEP] = "too-deep",
        [FRAG_MKV_ORDER] = "order",
        [FRAG_MKV_SECOND_SEGMENT] = "second-segment",
        [FRAG_MKV_BAD_TRACKS] = "bad-tracks",
        [FRAG_MKV_COMPRESSED] = "compressed",
        [FRAG_MKV_BAD_BLOCK] = "bad-block",
        [FRAG_MKV_NO_SUCH_TRACK] = "no-such-track",
        [FRAG_MKV_BAD_TIME] = "bad-time",
        [FRAG_MKV_TRUNCATED] = "truncated",
        [FRAG_MKV_STOPPED] = "stopped",
        [FRAG_MKV_NO_MEMORY] = "no-memory",
    };
    return (size_t)fault < KN_COUNT(names) ? names[fault] : "unknown";
}
