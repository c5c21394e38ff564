#include "tests/support/ebml_build.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc.h"
#include "fragments/matroska.h"
#include "fragments/matroska/ids.h"

#define DOCUMENT_MAX ((size_t)64 << 20)
#define NO_PLACE SIZE_MAX

struct build {
    const char *at;
    struct kn_writer out;
    uint64_t mark;
    size_t crc_at; /* in the master being built: behind its CRC-32, or NO_PLACE */
    uint32_t crc_xor;
};

static const struct {
    const char *name;
    uint32_t id;
} names[] = {
    {"EBML", FRAG_MKV_EBML},
    {"EBMLReadVersion", ID_EBML_READ_VERSION},
    {"EBMLMaxIDLength", ID_EBML_MAX_ID_LENGTH},
    {"EBMLMaxSizeLength", ID_EBML_MAX_SIZE_LENGTH},
    {"DocType", ID_DOC_TYPE},
    {"DocTypeVersion", ID_DOC_TYPE_VERSION},
    {"DocTypeReadVersion", ID_DOC_TYPE_READ_VERSION},
    {"Segment", FRAG_MKV_SEGMENT},
    {"SeekHead", FRAG_MKV_SEEK_HEAD},
    {"Seek", ID_SEEK},
    {"Info", FRAG_MKV_INFO},
    {"Tracks", FRAG_MKV_TRACKS},
    {"Cluster", FRAG_MKV_CLUSTER},
    {"Cues", FRAG_MKV_CUES},
    {"CuePoint", ID_CUE_POINT},
    {"Chapters", FRAG_MKV_CHAPTERS},
    {"Tags", FRAG_MKV_TAGS},
    {"Attachments", FRAG_MKV_ATTACHMENTS},
    {"Void", FRAG_MKV_VOID},
    {"CRC", FRAG_MKV_CRC32},
    {"Scale", ID_TIMECODE_SCALE},
    {"Duration", ID_DURATION},
    {"Date", ID_DATE_UTC},
    {"Title", ID_TITLE},
    {"MuxingApp", ID_MUXING_APP},
    {"WritingApp", ID_WRITING_APP},
    {"SegmentUID", ID_SEGMENT_UID},
    {"Entry", ID_TRACK_ENTRY},
    {"Number", ID_TRACK_NUMBER},
    {"TrackUID", ID_TRACK_UID},
    {"Type", ID_TRACK_TYPE},
    {"Name", ID_TRACK_NAME},
    {"Language", ID_LANGUAGE},
    {"Codec", ID_CODEC_ID},
    {"Private", ID_CODEC_PRIVATE},
    {"Delay", ID_CODEC_DELAY},
    {"Preroll", ID_SEEK_PREROLL},
    {"DefaultDuration", ID_DEFAULT_DURATION},
    {"Video", ID_VIDEO},
    {"Width", ID_PIXEL_WIDTH},
    {"Height", ID_PIXEL_HEIGHT},
    {"DisplayWidth", ID_DISPLAY_WIDTH},
    {"DisplayHeight", ID_DISPLAY_HEIGHT},
    {"DisplayUnit", ID_DISPLAY_UNIT},
    {"Audio", ID_AUDIO},
    {"Rate", ID_SAMPLING_FREQUENCY},
    {"Channels", ID_CHANNELS},
    {"BitDepth", ID_BIT_DEPTH},
    {"Encodings", ID_CONTENT_ENCODINGS},
    {"Encoding", ID_CONTENT_ENCODING},
    {"Compression", ID_CONTENT_COMPRESSION},
    {"Algo", ID_CONTENT_COMP_ALGO},
    {"Encryption", ID_CONTENT_ENCRYPTION},
    {"Time", ID_TIMECODE},
    {"Simple", ID_SIMPLE_BLOCK},
    {"Group", ID_BLOCK_GROUP},
    {"Block", ID_BLOCK},
    {"BlockDuration", ID_BLOCK_DURATION},
    {"Reference", ID_REFERENCE_BLOCK},
    {"Discard", ID_DISCARD_PADDING},
    {"Encrypted", ID_ENCRYPTED_BLOCK},
    {"Tag", ID_TAG},
    {"Targets", ID_TARGETS},
    {"TagTrackUID", ID_TAG_TRACK_UID},
    {"SimpleTag", ID_SIMPLE_TAG},
    {"TagName", ID_TAG_NAME},
    {"TagString", ID_TAG_STRING},
    {"TagBinary", ID_TAG_BINARY},
};

/* ---- text ---- */

static _Noreturn void refuse(const struct build *build, const char *what) {
    (void)fprintf(stderr, "ebml_build: %s at \"%.40s\"\n", what, build->at);
    abort();
}

static char peek(struct build *build) {
    while (isspace((unsigned char)*build->at)) {
        build->at++;
    }
    return *build->at;
}

static bool take(struct build *build, char c) {
    if (*build->at != c) {
        return false;
    }
    build->at++;
    return true;
}

static uint64_t number(struct build *build, int base) {
    char *end = NULL;
    uint64_t value = strtoull(build->at, &end, base);
    if (end == build->at || !isxdigit((unsigned char)*build->at)) {
        refuse(build, "a number was expected");
    }
    build->at = end;
    return value;
}

static uint32_t id_of(struct build *build) {
    if (take(build, '#')) {
        return (uint32_t)number(build, 16);
    }
    size_t length = 0;
    while (isalnum((unsigned char)build->at[length])) {
        length++;
    }
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        if (strlen(names[i].name) == length && memcmp(names[i].name, build->at, length) == 0) {
            build->at += length;
            return names[i].id;
        }
    }
    refuse(build, "no such element");
}

/* ---- bytes ---- */

static void put_quoted(struct build *build) {
    while (*build->at != '\'') {
        if (*build->at == '\0') {
            refuse(build, "a text without end");
        }
        kn_write_u8(&build->out, (uint8_t)*build->at++);
    }
    build->at++;
}

static void repeat(struct build *build, size_t from) {
    if (!take(build, '*')) {
        return;
    }
    size_t size = build->out.size - from;
    for (uint64_t i = number(build, 10); i > 1; i--) {
        uint8_t *room = kn_write_reserve(&build->out, size);
        if (room == NULL) {
            refuse(build, "too many");
        }
        memcpy(room, build->out.data + from, size);
    }
}

/* Behind the `<`. */
static void put_raw(struct build *build) {
    while (peek(build) != '>') {
        size_t from = build->out.size;
        if (take(build, '\'')) {
            put_quoted(build);
        } else {
            while (isxdigit((unsigned char)build->at[0])) {
                char digits[3] = {build->at[0], build->at[1], '\0'};
                if (!isxdigit((unsigned char)digits[1])) {
                    refuse(build, "half a byte");
                }
                kn_write_u8(&build->out, (uint8_t)strtoul(digits, NULL, 16));
                build->at += 2;
            }
            if (build->out.size == from) {
                refuse(build, "bytes were expected");
            }
        }
        repeat(build, from);
    }
    build->at++;
}

static void put_value(struct build *build) {
    if (take(build, '\'')) {
        put_quoted(build);
    } else if (take(build, 'f')) {
        char *end = NULL;
        double value = strtod(build->at, &end);
        uint64_t bits = 0;
        memcpy(&bits, &value, sizeof(bits));
        build->at = end;
        kn_write_be64(&build->out, bits);
    } else {
        uint64_t value = number(build, 10);
        size_t bytes = 1;
        while (bytes < 8 && value >> (8 * bytes) != 0) {
            bytes++;
        }
        kn_write_be(&build->out, value, bytes);
    }
}

/* ---- elements ---- */

static void elements(struct build *build, char end);

static void put_crc(struct build *build, uint32_t crc_xor) {
    static const uint8_t element[6] = {0xBF, 0x84};
    kn_write_bytes(&build->out, element, sizeof(element));
    build->crc_at = build->out.size;
    build->crc_xor = crc_xor;
}

static void put_master(struct build *build) {
    size_t outer_crc_at = build->crc_at;
    uint32_t outer_crc_xor = build->crc_xor;
    build->crc_at = NO_PLACE;
    elements(build, '}');
    if (build->crc_at != NO_PLACE) {
        const uint8_t *from = build->out.data + build->crc_at;
        uint32_t crc = kn_crc32(0, from, build->out.size - build->crc_at) ^ build->crc_xor;
        for (size_t i = 0; i < 4; i++) {
            build->out.data[build->crc_at - 4 + i] = (uint8_t)(crc >> (8 * i));
        }
    }
    build->crc_at = outer_crc_at;
    build->crc_xor = outer_crc_xor;
}

static void put_body(struct build *build) {
    if (take(build, '{')) {
        put_master(build);
    } else if (take(build, '<')) {
        put_raw(build);
    } else if (take(build, '=')) {
        put_value(build);
    }
}

struct size_form {
    unsigned width; /* 0: the fewest */
    bool unknown, said;
    uint64_t value;
};

static struct size_form read_size_form(struct build *build) {
    struct size_form form = {0};
    if (!take(build, ':')) {
        return form;
    }
    if (isdigit((unsigned char)*build->at)) {
        form.width = (unsigned)number(build, 10);
    }
    form.unknown = take(build, '?');
    if (form.unknown && form.width == 0) {
        form.width = 1;
    }
    form.said = !form.unknown && form.width != 0 && take(build, '~');
    if (form.said) {
        form.value = number(build, 10);
    }
    if (form.width > 8) {
        refuse(build, "a size has at most 8 bytes");
    }
    return form;
}

/* Moves the body from `body_at` on back and puts its size in front of it. */
static void put_size(struct build *build, struct size_form form, size_t body_at) {
    size_t body = build->out.size - body_at;
    uint64_t value = form.said ? form.value : body;
    unsigned width = form.width == 0 ? 1 : form.width;
    while (form.width == 0 && value >= ((uint64_t)1 << (7 * width)) - 1) {
        width++;
    }
    if (form.unknown) {
        value = ((uint64_t)1 << (7 * width)) - 1;
    } else if (value >> (7 * width) != 0) {
        refuse(build, "a size that its bytes do not hold");
    }
    kn_write_zeros(&build->out, width);
    if (kn_writer_status(&build->out) != 0) {
        refuse(build, "out of memory");
    }
    uint8_t *at = build->out.data + body_at;
    memmove(at + width, at, body);
    if (build->mark != UINT64_MAX && build->mark >= body_at) {
        build->mark += width;
    }
    value |= (uint64_t)1 << (7 * width);
    for (unsigned i = 0; i < width; i++) {
        at[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    }
}

static void element(struct build *build) {
    size_t from = build->out.size;
    if (take(build, '<')) {
        put_raw(build);
        return;
    }
    if (strncmp(build->at, "BadCrc", 6) == 0) {
        build->at += 6;
        put_crc(build, 1);
        return;
    }
    if (strncmp(build->at, "Crc", 3) == 0) {
        build->at += 3;
        put_crc(build, 0);
        return;
    }
    uint32_t id = id_of(build);
    kn_write_be(&build->out, id, id > 0xFFFFFF ? 4 : id > 0xFFFF ? 3 : id > 0xFF ? 2 : 1);
    struct size_form form = read_size_form(build);
    size_t body_at = build->out.size;
    /* A mark at the very place of the body belongs to its first child. */
    put_body(build);
    put_size(build, form, body_at);
    repeat(build, from);
}

static void elements(struct build *build, char end) {
    while (peek(build) != end && *build->at != '\0') {
        if (take(build, '!')) {
            build->mark = build->out.size;
        }
        element(build);
    }
    (void)(end != '\0' && take(build, end)); /* the end of the text closes all masters */
}

void ebml_build(struct ebml_document *ret_document, const char *text) {
    struct build build = {.at = text, .mark = UINT64_MAX, .crc_at = NO_PLACE};
    kn_writer_init_growing(&build.out, DOCUMENT_MAX);
    elements(&build, '\0');
    if (kn_writer_status(&build.out) != 0) {
        refuse(&build, "out of memory");
    }
    ret_document->data = kn_writer_take(&build.out, &ret_document->size);
    ret_document->mark = build.mark;
}

void ebml_free(struct ebml_document *document) {
    free(document->data);
    *document = (struct ebml_document){0};
}
