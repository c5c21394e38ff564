/* The push machine. One element after the other:
 *
 *   PHASE_HEADER      id and size, at most 12 bytes    -> by kind and place:
 *   PHASE_LEAF        a value, whole, in place or gathered in scratch        -> HEADER
 *   PHASE_BLOCK_HEAD  track, time, lacing                                    -> BODY
 *   PHASE_BODY        passed over unread: frames, and what nobody asked for  -> HEADER
 *
 * After each of them every level that ends here is closed, so an end is told with the last byte of
 * a known size, not with the next element. */
#include "fragments/matroska/parser_state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/matroska/ids.h"

/* Id, size and value of a CRC-32. */
#define CRC_ELEMENT_BYTES 6u

static int result_of(enum frag_mkv_fault fault) {
    switch (fault) {
    case FRAG_MKV_FINE:
        return 0;
    case FRAG_MKV_TRUNCATED:
        return KN_E_TRUNCATED;
    case FRAG_MKV_TOO_LARGE:
    case FRAG_MKV_TOO_DEEP:
        return KN_E_LIMIT;
    case FRAG_MKV_COMPRESSED:
    case FRAG_MKV_SIZE_UNKNOWN:
    case FRAG_MKV_SECOND_SEGMENT:
        return KN_E_UNSUPPORTED;
    case FRAG_MKV_NO_MEMORY:
        return -ENOMEM;
    case FRAG_MKV_NOT_MATROSKA:
    case FRAG_MKV_BAD_ELEMENT:
    case FRAG_MKV_OVERRUN:
    case FRAG_MKV_ORDER:
    case FRAG_MKV_BAD_TRACKS:
    case FRAG_MKV_BAD_BLOCK:
    case FRAG_MKV_NO_SUCH_TRACK:
    case FRAG_MKV_BAD_TIME:
    case FRAG_MKV_STOPPED:
        break;
    }
    return KN_E_MALFORMED;
}

int frag_mkv_fail(struct frag_mkv_parser *parser, enum frag_mkv_fault fault, uint64_t offset,
                  const char *format, ...) {
    struct frag_mkv_error *error = &parser->error;
    if (error->fault == FRAG_MKV_FINE) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(error->text, sizeof(error->text), format, args); /* cut is fine */
        va_end(args);
        error->fault = fault;
        error->offset = offset;
        error->result = result_of(fault);
    }
    return error->result;
}

int frag_mkv_answer(struct frag_mkv_parser *parser, int answer) {
    if (answer >= 0) {
        return 0;
    }
    if (answer == -ENOMEM) {
        return frag_mkv_fail(parser, FRAG_MKV_NO_MEMORY, parser->offset, "out of memory");
    }
    if (parser->error.fault == FRAG_MKV_FINE) {
        (void)frag_mkv_fail(parser, FRAG_MKV_STOPPED, parser->offset, "stopped: %s",
                            kn_error_text(answer));
        parser->error.result = answer;
    }
    return parser->error.result;
}

/* ---- bytes ---- */

static int tell_piece(struct frag_mkv_parser *parser, const uint8_t *data, size_t size) {
    if (parser->crc_active) {
        uint64_t end = parser->told_upto + size;
        uint64_t from = parser->crc_from > parser->told_upto ? parser->crc_from : parser->told_upto;
        if (from < end) {
            size_t skip = (size_t)(from - parser->told_upto);
            parser->crc = kn_crc32(parser->crc, data + skip, size - skip);
        }
    }
    uint64_t at = parser->told_upto;
    parser->told_upto += size;
    if (parser->handler->bytes == NULL) {
        return 0;
    }
    return frag_mkv_answer(parser, parser->handler->bytes(data, size, at, parser->user));
}

int frag_mkv_tell_bytes(struct frag_mkv_parser *parser, uint64_t upto) {
    int rc = 0;
    if (parser->told_upto < upto && parser->told_upto < parser->input_at) {
        size_t held = (size_t)(parser->input_at - parser->told_upto);
        rc = tell_piece(parser, parser->carry, held);
    }
    if (rc == 0 && parser->told_upto < upto) {
        size_t from = (size_t)(parser->told_upto - parser->input_at);
        rc = tell_piece(parser, parser->input + from, (size_t)(upto - parser->told_upto));
    }
    return rc;
}

static size_t input_left(const struct frag_mkv_parser *parser) {
    return parser->input_size - (size_t)(parser->offset - parser->input_at);
}

static const uint8_t *input_here(const struct frag_mkv_parser *parser) {
    return parser->input + (size_t)(parser->offset - parser->input_at);
}

/* ---- element headers ---- */

/* Bytes used, 0 when more are needed, -1 for what EBML does not allow. */
static int parse_header(const uint8_t *data, size_t have, uint32_t *ret_id, uint64_t *ret_size) {
    if (have == 0) {
        return 0;
    }
    if (data[0] < 0x10) {
        return -1; /* an id of more than 4 bytes */
    }
    size_t id_bytes = (size_t)__builtin_clz(data[0]) - 23;
    if (have <= id_bytes) {
        return 0;
    }
    uint32_t id = 0;
    for (size_t i = 0; i < id_bytes; i++) {
        id = id << 8 | data[i];
    }
    uint8_t first = data[id_bytes];
    if (first == 0) {
        return -1; /* a size of more than 8 bytes */
    }
    size_t size_bytes = (size_t)__builtin_clz(first) - 23;
    if (have < id_bytes + size_bytes) {
        return 0;
    }
    uint64_t size = first & (0xFFu >> size_bytes);
    bool all_ones = size == 0xFFu >> size_bytes;
    for (size_t i = 1; i < size_bytes; i++) {
        size = size << 8 | data[id_bytes + i];
        all_ones = all_ones && data[id_bytes + i] == 0xFF;
    }
    *ret_id = id;
    *ret_size = all_ones ? FRAG_MKV_UNKNOWN_SIZE : size;
    return (int)(id_bytes + size_bytes);
}

/* ---- levels ---- */

static uint32_t parent_id(const struct frag_mkv_parser *parser) {
    return parser->depth == 0 ? 0 : parser->levels[parser->depth - 1].element.id;
}

/* Directly in the Segment; the EBML header's children are nobody's level 1. */
static bool at_level1(const struct frag_mkv_parser *parser) {
    return parser->depth == 1 && parser->levels[0].element.id == FRAG_MKV_SEGMENT;
}

static uint64_t here_limit(const struct frag_mkv_parser *parser) {
    return parser->depth == 0 ? UINT64_MAX : parser->levels[parser->depth - 1].limit;
}

static int level1_end(struct frag_mkv_parser *parser, const struct frag_mkv_element *element) {
    int rc = frag_mkv_tell_bytes(parser, parser->offset);
    if (rc == 0 && parser->crc_active) {
        parser->crc_active = false;
        if (parser->crc != parser->crc_expected && parser->handler->bad_crc != NULL) {
            rc = frag_mkv_answer(parser, parser->handler->bad_crc(element, parser->user));
        }
    }
    if (rc == 0 && parser->handler->end != NULL) {
        rc = frag_mkv_answer(parser, parser->handler->end(element, parser->offset, parser->user));
    }
    return rc;
}

static int close_level(struct frag_mkv_parser *parser) {
    struct frag_mkv_element element = parser->levels[parser->depth - 1].element;
    int rc = frag_mkv_master_end(parser, &element);
    if (rc != 0) {
        return rc;
    }
    parser->depth--;
    return at_level1(parser) ? level1_end(parser, &element) : 0;
}

static int close_finished(struct frag_mkv_parser *parser) {
    while (parser->depth > 0 && here_limit(parser) == parser->offset) {
        int rc = close_level(parser);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* A leaf, block or skipped element is complete. */
static int element_done(struct frag_mkv_parser *parser) {
    parser->phase = PHASE_HEADER;
    parser->scratch_bytes = 0;
    if (parser->scratch_room > MKV_BLOCK_HEAD_MAX) {
        free(parser->scratch); /* a large value's; block heads keep theirs */
        parser->scratch = NULL;
        parser->scratch_room = 0;
    }
    if (at_level1(parser)) {
        int rc = level1_end(parser, &parser->element);
        if (rc != 0) {
            return rc;
        }
    }
    return close_finished(parser);
}

static int open_root(struct frag_mkv_parser *parser, const struct frag_mkv_element *element,
                     enum mkv_kind *ret_kind) {
    uint32_t id = element->id;
    if (!parser->ebml_seen && id != FRAG_MKV_EBML) {
        return frag_mkv_fail(parser, FRAG_MKV_NOT_MATROSKA, element->offset, "no EBML header");
    }
    if (id == FRAG_MKV_VOID || id == FRAG_MKV_CRC32) {
        *ret_kind = KIND_SKIP;
        return 0;
    }
    *ret_kind = KIND_MASTER;
    if (id == FRAG_MKV_EBML && !parser->ebml_seen) {
        return 0;
    }
    if (id == FRAG_MKV_SEGMENT && !parser->segment_seen) {
        return 0;
    }
    if (parser->segment_seen && (id == FRAG_MKV_EBML || id == FRAG_MKV_SEGMENT)) {
        return frag_mkv_fail(parser, FRAG_MKV_SECOND_SEGMENT, element->offset,
                             "a second %s: only one Segment is read", frag_mkv_id_name(id));
    }
    return frag_mkv_fail(parser, FRAG_MKV_BAD_ELEMENT, element->offset,
                         "%s (id %X) where the Segment was expected", frag_mkv_id_name(id), id);
}

static int check_place(struct frag_mkv_parser *parser, const struct frag_mkv_element *element,
                       enum mkv_kind kind, uint64_t *ret_limit) {
    uint64_t body = element->offset + element->header_bytes;
    uint64_t limit = here_limit(parser);
    const char *name = frag_mkv_id_name(element->id);
    if (element->size == FRAG_MKV_UNKNOWN_SIZE) {
        if (element->id != FRAG_MKV_SEGMENT && element->id != FRAG_MKV_CLUSTER) {
            return frag_mkv_fail(parser, FRAG_MKV_SIZE_UNKNOWN, element->offset,
                                 "%s (id %X) of unknown size", name, element->id);
        }
        if (body > limit) {
            return frag_mkv_fail(parser, FRAG_MKV_OVERRUN, element->offset,
                                 "the header of %s runs over its parent's end", name);
        }
        *ret_limit = limit;
        return 0;
    }
    uint64_t end = 0;
    if (!kn_u64_add(body, element->size, &end) || end > limit || end == UINT64_MAX) {
        return frag_mkv_fail(parser, FRAG_MKV_OVERRUN, element->offset,
                             "%s (id %X) of %llu bytes runs over its parent's end", name,
                             element->id, (unsigned long long)element->size);
    }
    if (element->size > frag_mkv_largest_body(kind, element->id)) {
        return frag_mkv_fail(parser, FRAG_MKV_TOO_LARGE, element->offset,
                             "%s (id %X) of %llu bytes: at most %llu are read", name, element->id,
                             (unsigned long long)element->size,
                             (unsigned long long)frag_mkv_largest_body(kind, element->id));
    }
    *ret_limit = end;
    return 0;
}

static int open_master(struct frag_mkv_parser *parser, const struct frag_mkv_element *element,
                       uint64_t limit) {
    if (parser->depth == MKV_DEPTH_MAX) {
        return frag_mkv_fail(parser, FRAG_MKV_TOO_DEEP, element->offset,
                             "%s nested more than %d deep", frag_mkv_id_name(element->id),
                             MKV_DEPTH_MAX);
    }
    int rc = frag_mkv_master_begin(parser, element);
    if (rc != 0) {
        return rc;
    }
    parser->levels[parser->depth++] = (struct mkv_level){.element = *element, .limit = limit};
    parser->phase = PHASE_HEADER;
    return close_finished(parser);
}

static bool begins_crc(const struct frag_mkv_parser *parser,
                       const struct frag_mkv_element *element) {
    if (!parser->verify_crc || element->id != FRAG_MKV_CRC32 || element->size != 4 ||
        parser->depth != 2) {
        return false;
    }
    const struct frag_mkv_element *outer = &parser->levels[1].element;
    return element->offset == outer->offset + outer->header_bytes;
}

static int open_leaf(struct frag_mkv_parser *parser, const struct frag_mkv_element *element,
                     enum mkv_kind kind) {
    if (element->id == ID_ENCRYPTED_BLOCK && kind == KIND_BINARY) {
        return frag_mkv_fail(parser, FRAG_MKV_COMPRESSED, element->offset, "an encrypted block");
    }
    parser->element = *element;
    parser->kind = kind;
    parser->body_left = element->size;
    switch (kind) {
    case KIND_BLOCK:
        parser->phase = PHASE_BLOCK_HEAD;
        return 0;
    case KIND_SKIP:
        parser->phase = PHASE_BODY;
        return 0;
    case KIND_PEEK:
        parser->phase = element->size < CRC_ELEMENT_BYTES ? PHASE_BODY : PHASE_LEAF;
        parser->leaf_bytes = CRC_ELEMENT_BYTES;
        return 0;
    case KIND_MASTER:
    case KIND_UINT:
    case KIND_FLOAT:
    case KIND_DATE:
    case KIND_TEXT:
    case KIND_BINARY:
        break;
    }
    parser->phase = PHASE_LEAF;
    parser->leaf_bytes = (size_t)element->size;
    return 0;
}

static int open_element(struct frag_mkv_parser *parser, const struct frag_mkv_element *element) {
    bool outer = frag_mkv_is_level1(element->id) || element->id == FRAG_MKV_EBML ||
                 element->id == FRAG_MKV_SEGMENT;
    if (outer && parser->depth >= 1 && !at_level1(parser)) {
        /* Nothing of level 0 or 1 stands deeper: it ends a cluster of unknown size. */
        if (parser->depth != 2 || parent_id(parser) != FRAG_MKV_CLUSTER ||
            parser->levels[1].element.size != FRAG_MKV_UNKNOWN_SIZE) {
            return frag_mkv_fail(parser, FRAG_MKV_BAD_ELEMENT, element->offset, "%s inside %s",
                                 frag_mkv_id_name(element->id),
                                 frag_mkv_id_name(parent_id(parser)));
        }
        uint64_t next = parser->offset;
        parser->offset = element->offset;
        int rc = close_level(parser);
        if (rc != 0) {
            return rc;
        }
        parser->offset = next;
    }
    if (at_level1(parser) && (element->id == FRAG_MKV_EBML || element->id == FRAG_MKV_SEGMENT)) {
        return frag_mkv_fail(parser, FRAG_MKV_SECOND_SEGMENT, element->offset,
                             "a second %s: only one Segment is read",
                             frag_mkv_id_name(element->id));
    }
    enum mkv_kind kind = KIND_SKIP;
    int rc = 0;
    if (parser->depth == 0) {
        rc = open_root(parser, element, &kind);
    } else if (begins_crc(parser, element)) {
        kind = KIND_BINARY;
    } else {
        kind = frag_mkv_kind(parser, parent_id(parser), element->id);
    }
    uint64_t limit = 0;
    if (rc == 0) {
        rc = check_place(parser, element, kind, &limit);
    }
    if (rc == 0 && at_level1(parser)) {
        rc = frag_mkv_tell_bytes(parser, element->offset);
        if (rc == 0 && parser->handler->begin != NULL) {
            rc = frag_mkv_answer(parser, parser->handler->begin(element, parser->user));
        }
    }
    if (rc != 0) {
        return rc;
    }
    if (kind == KIND_MASTER) {
        return open_master(parser, element, limit);
    }
    return open_leaf(parser, element, kind);
}

/* ---- phases: 1 to go on, 0 when the input is used up, below 0 the failure ---- */

static int step_header(struct frag_mkv_parser *parser) {
    uint32_t id = 0;
    uint64_t size = 0;
    size_t left = input_left(parser);
    int used = 0;
    if (parser->carry_bytes == 0) {
        used = parse_header(input_here(parser), left, &id, &size);
    } else {
        /* The carry begins the header; fill it up and read it there. */
        size_t more = MKV_HEADER_MAX - parser->carry_bytes;
        more = more < left ? more : left;
        if (more > 0) {
            memcpy(parser->carry + parser->carry_bytes, input_here(parser), more);
        }
        used = parse_header(parser->carry, parser->carry_bytes + more, &id, &size);
    }
    uint64_t start = parser->offset - parser->carry_bytes;
    if (used < 0) {
        return parser->ebml_seen || parser->depth > 0
                   ? frag_mkv_fail(parser, FRAG_MKV_BAD_ELEMENT, start,
                                   "no valid element id and size")
                   : frag_mkv_fail(parser, FRAG_MKV_NOT_MATROSKA, start, "no EBML header");
    }
    if (used == 0) {
        if (left > 0 && parser->carry_bytes == 0) {
            memcpy(parser->carry, input_here(parser), left);
        }
        parser->carry_bytes += left;
        parser->offset += left;
        return 0;
    }
    parser->offset = start + (uint64_t)used;
    struct frag_mkv_element element = {
        .id = id, .header_bytes = (uint8_t)used, .offset = start, .size = size};
    int rc = open_element(parser, &element);
    if (rc == 0) {
        rc = frag_mkv_tell_bytes(parser, parser->input_at); /* before the carry is used again */
    }
    parser->carry_bytes = 0;
    return rc == 0 ? 1 : rc;
}

/* Room for `bytes` in scratch; 0 or a failure. */
static int scratch_room(struct frag_mkv_parser *parser, size_t bytes) {
    if (parser->scratch_room >= bytes) {
        return 0;
    }
    uint8_t *larger = realloc(parser->scratch, bytes);
    if (larger == NULL) {
        return frag_mkv_answer(parser, -ENOMEM);
    }
    parser->scratch = larger;
    parser->scratch_room = bytes;
    return 0;
}

static void take_crc(struct frag_mkv_parser *parser, const uint8_t *data, size_t size) {
    struct kn_reader reader;
    kn_reader_init(&reader, data, size);
    parser->crc_expected = kn_read_le32(&reader);
    parser->crc = 0;
    parser->crc_from = parser->offset;
    parser->crc_active = true;
}

/* The first bytes of an element of which nothing but its CRC-32 is looked at. */
static void read_peek(struct frag_mkv_parser *parser, const uint8_t *data) {
    if (data[0] == FRAG_MKV_CRC32 && data[1] == 0x84) {
        take_crc(parser, data + 2, 4);
    }
    parser->scratch_bytes = 0;
    parser->body_left = parser->element.size - CRC_ELEMENT_BYTES;
    parser->phase = PHASE_BODY;
}

static int read_leaf(struct frag_mkv_parser *parser, const uint8_t *data, size_t size) {
    parser->offset = parser->element.offset + parser->element.header_bytes + size;
    parser->body_left = 0;
    if (parser->kind == KIND_PEEK) {
        read_peek(parser, data);
        return 1;
    }
    if (parser->element.id == FRAG_MKV_CRC32) {
        take_crc(parser, data, size);
    } else {
        int rc = frag_mkv_leaf(parser, data, size);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = element_done(parser);
    return rc == 0 ? 1 : rc;
}

static int step_leaf(struct frag_mkv_parser *parser) {
    size_t size = parser->leaf_bytes;
    size_t left = input_left(parser);
    if (parser->scratch_bytes == 0 && left >= size) {
        return read_leaf(parser, input_here(parser), size);
    }
    int rc = scratch_room(parser, size);
    if (rc != 0) {
        return rc;
    }
    size_t take = size - parser->scratch_bytes;
    take = take < left ? take : left;
    if (take > 0) {
        memcpy(parser->scratch + parser->scratch_bytes, input_here(parser), take);
    }
    parser->scratch_bytes += take;
    parser->offset += take;
    return parser->scratch_bytes == size ? read_leaf(parser, parser->scratch, size) : 0;
}

static int step_block_head(struct frag_mkv_parser *parser) {
    uint64_t size = parser->element.size;
    uint64_t body = parser->element.offset + parser->element.header_bytes;
    size_t left = input_left(parser);
    size_t most = size < MKV_BLOCK_HEAD_MAX ? (size_t)size : MKV_BLOCK_HEAD_MAX;
    size_t held = parser->scratch_bytes;
    size_t take = most - held < left ? most - held : left;
    const uint8_t *data = input_here(parser);
    if (held > 0) {
        if (take > 0) {
            memcpy(parser->scratch + held, data, take);
        }
        data = parser->scratch;
    }
    int used = frag_mkv_block_head(parser, data, held + take, size);
    if (used < 0) {
        return used;
    }
    if (used > 0) {
        parser->scratch_bytes = 0;
        parser->offset = body + (uint64_t)used;
        parser->block.offset = parser->offset;
        parser->body_left = size - (uint64_t)used;
        parser->phase = PHASE_BODY;
        return 1;
    }
    if (held + take == most) {
        return frag_mkv_fail(parser, FRAG_MKV_BAD_BLOCK, parser->element.offset,
                             "a block whose header does not fit in it");
    }
    if (held == 0 && take > 0) {
        int rc = scratch_room(parser, MKV_BLOCK_HEAD_MAX); /* once for all blocks */
        if (rc != 0) {
            return rc;
        }
        memcpy(parser->scratch, data, take);
    }
    parser->scratch_bytes = held + take;
    parser->offset += take;
    return 0;
}

static int step_body(struct frag_mkv_parser *parser) {
    size_t left = input_left(parser);
    if (left < parser->body_left) {
        parser->body_left -= left;
        parser->offset += left;
        return 0;
    }
    parser->offset += parser->body_left;
    parser->body_left = 0;
    if (parser->kind == KIND_BLOCK && parser->element.id == ID_SIMPLE_BLOCK) {
        int rc = frag_mkv_block_emit(parser, false);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = element_done(parser);
    return rc == 0 ? 1 : rc;
}

static int step(struct frag_mkv_parser *parser) {
    switch (parser->phase) {
    case PHASE_HEADER:
        return step_header(parser);
    case PHASE_LEAF:
        return step_leaf(parser);
    case PHASE_BLOCK_HEAD:
        return step_block_head(parser);
    case PHASE_BODY:
        return step_body(parser);
    }
    return 0;
}

/* ---- face ---- */

int frag_mkv_parser_create(const struct frag_mkv_parser_config *config,
                           struct frag_mkv_parser **ret_parser) {
    struct frag_mkv_parser *parser = calloc(1, sizeof(*parser));
    if (parser == NULL) {
        return -ENOMEM;
    }
    parser->handler = config->handler;
    parser->user = config->user;
    parser->verify_crc = config->verify_crc;
    parser->scale_ns = FRAG_MKV_DEFAULT_SCALE_NS;
    if (config->tracks != NULL) {
        parser->tracks = kn_tracks_ref(config->tracks);
        parser->ebml_seen = true;
        parser->segment_seen = true;
        parser->scale_used = true;
        if (config->timecode_scale_ns != 0) {
            parser->scale_ns = config->timecode_scale_ns;
        }
        parser->levels[0] =
            (struct mkv_level){.element = {.id = FRAG_MKV_SEGMENT, .size = FRAG_MKV_UNKNOWN_SIZE},
                               .limit = UINT64_MAX};
        parser->depth = 1;
    }
    *ret_parser = parser;
    return 0;
}

void frag_mkv_parser_destroy(struct frag_mkv_parser *parser) {
    if (parser == NULL) {
        return;
    }
    frag_mkv_fields_finish(parser);
    kn_tracks_unref(parser->tracks);
    free(parser->scratch);
    free(parser);
}

int frag_mkv_parser_push(struct frag_mkv_parser *parser, const void *data, size_t size) {
    if (parser->error.fault != FRAG_MKV_FINE) {
        return parser->error.result;
    }
    parser->input = data;
    parser->input_size = size;
    parser->input_at = parser->offset;
    int rc = size > 0 ? 1 : 0;
    while (rc > 0 && (input_left(parser) > 0 || parser->phase != PHASE_HEADER)) {
        rc = step(parser);
    }
    uint64_t upto = parser->offset - parser->carry_bytes;
    if (rc < 0 && parser->error.offset < upto) {
        upto = parser->error.offset; /* what stands before the fault is told all the same */
    }
    /* A callback that gave up (perhaps for want of memory) is not called again. */
    bool gave_up =
        parser->error.fault == FRAG_MKV_STOPPED || parser->error.fault == FRAG_MKV_NO_MEMORY;
    int told = gave_up ? 0 : frag_mkv_tell_bytes(parser, upto);
    parser->input = NULL;
    return rc < 0 ? rc : told;
}

int frag_mkv_parser_finish(struct frag_mkv_parser *parser) {
    if (parser->error.fault != FRAG_MKV_FINE) {
        return parser->error.result;
    }
    parser->input_at = parser->offset;
    parser->input_size = 0;
    if (parser->offset == 0) {
        return frag_mkv_fail(parser, FRAG_MKV_NOT_MATROSKA, 0, "no bytes");
    }
    if (parser->carry_bytes > 0) {
        return frag_mkv_fail(parser, FRAG_MKV_TRUNCATED, parser->offset - parser->carry_bytes,
                             "the input ends inside an element's header");
    }
    if (parser->phase != PHASE_HEADER) {
        return frag_mkv_fail(parser, FRAG_MKV_TRUNCATED, parser->element.offset,
                             "the input ends at byte %llu, inside %s",
                             (unsigned long long)parser->offset,
                             frag_mkv_id_name(parser->element.id));
    }
    while (parser->depth > 0) {
        const struct mkv_level *level = &parser->levels[parser->depth - 1];
        if (level->limit != UINT64_MAX) {
            return frag_mkv_fail(parser, FRAG_MKV_TRUNCATED, level->element.offset,
                                 "the input ends at byte %llu, inside %s, %llu bytes early",
                                 (unsigned long long)parser->offset,
                                 frag_mkv_id_name(level->element.id),
                                 (unsigned long long)(level->limit - parser->offset));
        }
        int rc = close_level(parser);
        if (rc != 0) {
            return rc;
        }
    }
    if (!parser->segment_seen) {
        return frag_mkv_fail(parser, FRAG_MKV_TRUNCATED, parser->offset,
                             "the input ends before the Segment");
    }
    return 0;
}

const struct frag_mkv_error *frag_mkv_parser_error(const struct frag_mkv_parser *parser) {
    return &parser->error;
}

uint64_t frag_mkv_parser_offset(const struct frag_mkv_parser *parser) {
    return parser->offset;
}
