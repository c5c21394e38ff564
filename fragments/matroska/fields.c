/* Values of header elements, cluster times and tags, and what their masters mean as a whole. */
#include "fragments/matroska/parser_state.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fragments/matroska/ids.h"

/* 2001-01-01, where DateUTC counts from. */
#define MKV_EPOCH_NS (INT64_C(978307200) * 1000000000)

/* ---- plain values ---- */

static uint64_t to_uint(const uint8_t *data, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | data[i];
    }
    return value;
}

static int64_t to_sint(const uint8_t *data, size_t size) {
    uint64_t value = to_uint(data, size);
    if (size > 0 && size < 8 && (data[0] & 0x80) != 0) {
        value |= UINT64_MAX << (8 * size);
    }
    return (int64_t)value;
}

static bool to_float(const uint8_t *data, size_t size, double *ret_value) {
    uint64_t bits = to_uint(data, size);
    if (size == 0) {
        *ret_value = 0;
    } else if (size == 4) {
        uint32_t narrow = (uint32_t)bits;
        float value = 0;
        memcpy(&value, &narrow, sizeof(value));
        *ret_value = (double)value;
    } else if (size == 8) {
        memcpy(ret_value, &bits, sizeof(bits));
    } else {
        return false;
    }
    return true;
}

/* Copies a string without what follows its first NUL, cut to `room` - 1 bytes at a whole character.
 */
static void to_text(const uint8_t *data, size_t size, char *text, size_t room) {
    size_t length = strnlen((const char *)data, size);
    if (length >= room) {
        length = room - 1;
        while (length > 0 && (data[length] & 0xC0) == 0x80) {
            length--;
        }
    }
    memcpy(text, data, length);
    text[length] = '\0';
}

static int bad_value(struct frag_mkv_parser *parser, const char *what) {
    return frag_mkv_fail(parser, FRAG_MKV_BAD_ELEMENT, parser->element.offset, "%s", what);
}

/* ---- EBML header ---- */

static int leaf_ebml(struct frag_mkv_parser *parser, const uint8_t *data, size_t size) {
    switch (parser->element.id) {
    case ID_DOC_TYPE:
        to_text(data, size, parser->ebml.doc_type, sizeof(parser->ebml.doc_type));
        break;
    case ID_DOC_TYPE_VERSION:
        parser->ebml.doc_type_version = to_uint(data, size);
        break;
    case ID_DOC_TYPE_READ_VERSION:
        parser->ebml.doc_type_read_version = to_uint(data, size);
        break;
    case ID_EBML_READ_VERSION:
        parser->ebml_read_version = to_uint(data, size);
        break;
    case ID_EBML_MAX_ID_LENGTH:
        parser->ebml_max_id = to_uint(data, size);
        break;
    case ID_EBML_MAX_SIZE_LENGTH:
        parser->ebml_max_size = to_uint(data, size);
        break;
    default:
        break;
    }
    return 0;
}

static int end_ebml(struct frag_mkv_parser *parser, const struct frag_mkv_element *element) {
    const struct frag_mkv_ebml *ebml = &parser->ebml;
    if (strcmp(ebml->doc_type, "matroska") != 0 && strcmp(ebml->doc_type, "webm") != 0) {
        return frag_mkv_fail(parser, FRAG_MKV_NOT_MATROSKA, element->offset,
                             "the document type is \"%.16s\", not matroska or webm",
                             ebml->doc_type);
    }
    if (parser->ebml_read_version > 1 || ebml->doc_type_read_version > 4 ||
        parser->ebml_max_id > 4 || parser->ebml_max_size > 8) {
        return frag_mkv_fail(parser, FRAG_MKV_NOT_MATROSKA, element->offset,
                             "the document asks for a newer reader than this one");
    }
    parser->ebml_seen = true;
    return parser->handler->ebml == NULL
               ? 0
               : frag_mkv_answer(parser, parser->handler->ebml(ebml, parser->user));
}

/* ---- Info ---- */

static int leaf_info(struct frag_mkv_parser *parser, const uint8_t *data, size_t size) {
    struct frag_mkv_info *info = &parser->info;
    switch (parser->element.id) {
    case ID_TIMECODE_SCALE:
        info->timecode_scale_ns = to_uint(data, size);
        break;
    case ID_DURATION:
        if (!to_float(data, size, &parser->duration)) {
            return bad_value(parser, "a Duration of neither 4 nor 8 bytes");
        }
        break;
    case ID_DATE_UTC:
        if (size == 8) {
            info->has_date = kn_i64_add((int64_t)to_uint(data, size), MKV_EPOCH_NS, &info->date_ns);
        }
        break;
    case ID_TITLE:
        to_text(data, size, info->title, sizeof(info->title));
        break;
    case ID_MUXING_APP:
        to_text(data, size, info->muxing_app, sizeof(info->muxing_app));
        break;
    case ID_WRITING_APP:
        to_text(data, size, info->writing_app, sizeof(info->writing_app));
        break;
    case ID_SEGMENT_UID:
        if (size == sizeof(info->segment_uid)) {
            memcpy(info->segment_uid, data, size);
        }
        break;
    default:
        break;
    }
    return 0;
}

static int end_info(struct frag_mkv_parser *parser, const struct frag_mkv_element *element) {
    struct frag_mkv_info *info = &parser->info;
    if (info->timecode_scale_ns == 0 || info->timecode_scale_ns > MKV_SCALE_MAX_NS) {
        return frag_mkv_fail(parser, FRAG_MKV_BAD_TIME, element->offset,
                             "a TimestampScale of 0 or of more than a second");
    }
    if (parser->scale_used && info->timecode_scale_ns != parser->scale_ns) {
        return frag_mkv_fail(parser, FRAG_MKV_ORDER, element->offset,
                             "an Info that changes the TimestampScale behind clusters");
    }
    parser->scale_ns = info->timecode_scale_ns;
    double duration_ns = parser->duration * (double)parser->scale_ns;
    if (isfinite(duration_ns) && duration_ns > 0 && duration_ns < 9e18) {
        info->duration_ns = (int64_t)llround(duration_ns);
    }
    parser->info_seen = true;
    return parser->handler->info == NULL
               ? 0
               : frag_mkv_answer(parser, parser->handler->info(info, parser->user));
}

/* ---- Tracks ---- */

static uint32_t to_u32(const uint8_t *data, size_t size) {
    uint64_t value = to_uint(data, size);
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static int64_t to_ns(const uint8_t *data, size_t size) {
    uint64_t value = to_uint(data, size);
    return value > MKV_DURATION_MAX_NS ? 0 : (int64_t)value; /* one of 36 years is none */
}

static enum kn_media to_media(uint64_t type) {
    switch (type) {
    case 1:
        return KN_MEDIA_VIDEO;
    case 2:
        return KN_MEDIA_AUDIO;
    case 17:
        return KN_MEDIA_TEXT;
    default:
        return KN_MEDIA_OTHER;
    }
}

static int leaf_private(struct frag_mkv_parser *parser, const uint8_t *data, size_t size) {
    size_t index = parser->entry_count;
    struct kn_track *track = &parser->entries[index];
    free(parser->privates[index]);
    parser->privates[index] = NULL;
    track->codec_private = NULL;
    track->codec_private_bytes = 0;
    if (size == 0) {
        return 0;
    }
    uint8_t *copy = malloc(size);
    if (copy == NULL) {
        return frag_mkv_answer(parser, -ENOMEM);
    }
    memcpy(copy, data, size);
    parser->privates[index] = copy;
    track->codec_private = copy;
    track->codec_private_bytes = size;
    return 0;
}

static const char *compression_name(uint64_t algorithm) {
    static const char *const names[] = {"zlib", "bzlib", "lzo1x", "header stripping"};
    return algorithm < KN_COUNT(names) ? names[algorithm] : "an unknown algorithm";
}

static int leaf_track_text(struct frag_mkv_parser *parser, struct kn_track *track,
                           const uint8_t *data, size_t size) {
    switch (parser->element.id) {
    case ID_TRACK_NAME:
        to_text(data, size, track->name, sizeof(track->name));
        return 0;
    case ID_LANGUAGE:
        to_text(data, size, track->language, sizeof(track->language));
        return 0;
    default:
        if (strnlen((const char *)data, size) >= sizeof(track->codec_id)) {
            return bad_value(parser, "a CodecID of more than 63 bytes");
        }
        to_text(data, size, track->codec_id, sizeof(track->codec_id));
        return 0;
    }
}

static int leaf_track(struct frag_mkv_parser *parser, const uint8_t *data, size_t size) {
    struct kn_track *track = &parser->entries[parser->entry_count];
    double rate = 0;
    switch (parser->element.id) {
    case ID_TRACK_NUMBER:
        track->number = to_uint(data, size);
        break;
    case ID_TRACK_UID:
        track->uid = to_uint(data, size);
        break;
    case ID_TRACK_TYPE:
        track->media = to_media(to_uint(data, size));
        break;
    case ID_TRACK_NAME:
    case ID_LANGUAGE:
    case ID_CODEC_ID:
        return leaf_track_text(parser, track, data, size);
    case ID_CODEC_PRIVATE:
        return leaf_private(parser, data, size);
    case ID_DEFAULT_DURATION:
        track->default_duration_ns = to_ns(data, size);
        break;
    case ID_CODEC_DELAY:
        track->codec_delay_ns = to_ns(data, size);
        break;
    case ID_SEEK_PREROLL:
        track->seek_preroll_ns = to_ns(data, size);
        break;
    case ID_PIXEL_WIDTH:
        track->width = to_u32(data, size);
        break;
    case ID_PIXEL_HEIGHT:
        track->height = to_u32(data, size);
        break;
    case ID_DISPLAY_WIDTH:
        track->display_width = to_u32(data, size);
        break;
    case ID_DISPLAY_HEIGHT:
        track->display_height = to_u32(data, size);
        break;
    case ID_DISPLAY_UNIT:
        parser->display_unit = to_uint(data, size);
        break;
    case ID_SAMPLING_FREQUENCY:
        if (!to_float(data, size, &rate)) {
            return bad_value(parser, "a SamplingFrequency of neither 4 nor 8 bytes");
        }
        track->sample_rate_hz = rate >= 1 && rate <= 1e9 ? (uint32_t)lround(rate) : 0;
        break;
    case ID_CHANNELS:
        track->channels = to_u32(data, size);
        break;
    case ID_BIT_DEPTH:
        track->bits_per_sample = to_u32(data, size);
        break;
    case ID_CONTENT_COMP_ALGO:
        return frag_mkv_fail(parser, FRAG_MKV_COMPRESSED, parser->element.offset,
                             "track %llu is compressed (%s): not read",
                             (unsigned long long)track->number,
                             compression_name(to_uint(data, size)));
    default:
        break;
    }
    return 0;
}

static int begin_entry(struct frag_mkv_parser *parser, const struct frag_mkv_element *element) {
    if (parser->entry_count == KN_TRACKS_MAX) {
        return frag_mkv_fail(parser, FRAG_MKV_BAD_TRACKS, element->offset, "more than %d tracks",
                             KN_TRACKS_MAX);
    }
    if (parser->entries == NULL) {
        parser->entries = calloc(KN_TRACKS_MAX, sizeof(*parser->entries));
        if (parser->entries == NULL) {
            return frag_mkv_answer(parser, -ENOMEM);
        }
    }
    parser->entries[parser->entry_count] = (struct kn_track){0};
    parser->display_unit = 0;
    return 0;
}

static void end_entry(struct frag_mkv_parser *parser) {
    struct kn_track *track = &parser->entries[parser->entry_count++];
    track->codec =
        kn_codec_from_matroska(track->codec_id, track->codec_private, track->codec_private_bytes);
    if (parser->display_unit != 0) {
        track->display_width = 0; /* not in pixels */
        track->display_height = 0;
    }
    if (track->media == KN_MEDIA_AUDIO) {
        track->sample_rate_hz = track->sample_rate_hz == 0 ? 8000 : track->sample_rate_hz;
        track->channels = track->channels == 0 ? 1 : track->channels;
    }
}

static void drop_entries(struct frag_mkv_parser *parser) {
    for (size_t i = 0; i < KN_TRACKS_MAX; i++) {
        free(parser->privates[i]);
        parser->privates[i] = NULL;
    }
    free(parser->entries);
    parser->entries = NULL;
    parser->entry_count = 0;
}

static int check_entries(struct frag_mkv_parser *parser, const struct frag_mkv_element *element) {
    for (size_t i = 0; i < parser->entry_count; i++) {
        uint64_t number = parser->entries[i].number;
        for (size_t j = 0; j < i; j++) {
            if (parser->entries[j].number == number) {
                return frag_mkv_fail(parser, FRAG_MKV_BAD_TRACKS, element->offset,
                                     "track number %llu twice", (unsigned long long)number);
            }
        }
        if (number == 0) {
            return frag_mkv_fail(parser, FRAG_MKV_BAD_TRACKS, element->offset,
                                 "a track without number");
        }
    }
    return parser->entry_count > 0 ? 0
                                   : frag_mkv_fail(parser, FRAG_MKV_BAD_TRACKS, element->offset,
                                                   "Tracks names no track");
}

static int end_tracks(struct frag_mkv_parser *parser, const struct frag_mkv_element *element) {
    int rc = check_entries(parser, element);
    if (rc != 0) {
        return rc;
    }
    struct kn_tracks *tracks = NULL;
    rc = frag_mkv_answer(parser, kn_tracks_create(parser->entries, parser->entry_count, &tracks));
    drop_entries(parser);
    if (rc != 0) {
        return rc;
    }
    if (parser->tracks != NULL) {
        bool same = kn_tracks_equal(parser->tracks, tracks);
        kn_tracks_unref(tracks);
        return same ? 0
                    : frag_mkv_fail(parser, FRAG_MKV_BAD_TRACKS, element->offset,
                                    "a second Tracks that says something else");
    }
    parser->tracks = tracks;
    return parser->handler->tracks == NULL
               ? 0
               : frag_mkv_answer(parser, parser->handler->tracks(tracks, parser->user));
}

/* ---- Cluster ---- */

static int begin_cluster(struct frag_mkv_parser *parser, const struct frag_mkv_element *element) {
    if (parser->tracks == NULL) {
        return frag_mkv_fail(parser, FRAG_MKV_ORDER, element->offset, "a Cluster before Tracks");
    }
    parser->scale_used = true;
    parser->time_seen = false;
    return 0;
}

static int leaf_cluster(struct frag_mkv_parser *parser, const uint8_t *data, size_t size) {
    if (parser->element.id != ID_TIMECODE) {
        return 0;
    }
    if (parser->time_seen) {
        return frag_mkv_fail(parser, FRAG_MKV_ORDER, parser->element.offset,
                             "a second Timestamp in its cluster");
    }
    uint64_t timecode = to_uint(data, size);
    if (timecode > (uint64_t)INT64_MAX ||
        !kn_i64_mul((int64_t)timecode, (int64_t)parser->scale_ns, &parser->time_ns) ||
        parser->time_ns > MKV_TIME_MAX_NS) {
        return frag_mkv_fail(parser, FRAG_MKV_BAD_TIME, parser->element.offset,
                             "a cluster's time lies beyond the year 2116");
    }
    parser->timecode = timecode;
    parser->time_seen = true;
    return parser->handler->cluster_time == NULL
               ? 0
               : frag_mkv_answer(parser, parser->handler->cluster_time(timecode, parser->time_ns,
                                                                       parser->user));
}

static void leaf_group(struct frag_mkv_parser *parser, const uint8_t *data, size_t size) {
    if (parser->element.id == ID_BLOCK_DURATION) {
        parser->group.has_duration = true;
        parser->group.duration = to_uint(data, size);
    } else if (parser->element.id == ID_REFERENCE_BLOCK) {
        parser->group.has_reference = true;
    } else if (parser->element.id == ID_DISCARD_PADDING) {
        parser->group.discard_ns = to_sint(data, size);
    }
}

/* ---- Tags ---- */

static int tell_tag(struct frag_mkv_parser *parser, struct mkv_simple_tag *tag) {
    tag->told = true;
    if (!tag->has_name) {
        return frag_mkv_fail(parser, FRAG_MKV_BAD_ELEMENT, tag->offset,
                             "a SimpleTag without a TagName");
    }
    if (parser->handler->tag == NULL) {
        return 0;
    }
    static const uint8_t none[1];
    struct frag_mkv_tag told = {
        .name = tag->name,
        .value = tag->value_bytes > 0 ? parser->tag_values + tag->value_at : none,
        .value_bytes = tag->value_bytes,
        .binary = tag->binary,
        .has_value = tag->has_value,
        .group = parser->tag_group - 1,
        .depth = (uint32_t)(tag - parser->tags),
        .track_uid = parser->tag_track_uid,
        .offset = tag->offset,
    };
    return frag_mkv_answer(parser, parser->handler->tag(&told, parser->user));
}

/* The open one that encloses it is told first if it is complete, else at its own end: its name and
 * value may stand behind the ones nested in it. */
static int begin_simple_tag(struct frag_mkv_parser *parser,
                            const struct frag_mkv_element *element) {
    struct mkv_simple_tag *tag = &parser->tags[parser->tag_depth];
    size_t value_at = 0;
    if (parser->tag_depth > 0) {
        struct mkv_simple_tag *outer = tag - 1;
        if (outer->has_name && outer->has_value && !outer->told) {
            int rc = tell_tag(parser, outer);
            if (rc != 0) {
                return rc;
            }
        }
        value_at = outer->value_at + outer->value_bytes;
    }
    parser->tag_depth++;
    *tag = (struct mkv_simple_tag){.offset = element->offset, .value_at = value_at};
    return 0;
}

static int end_simple_tag(struct frag_mkv_parser *parser) {
    struct mkv_simple_tag *tag = &parser->tags[--parser->tag_depth];
    return tag->told ? 0 : tell_tag(parser, tag);
}

static int leaf_tag_value(struct frag_mkv_parser *parser, struct mkv_simple_tag *tag,
                          const uint8_t *data, size_t size) {
    if (parser->element.id == ID_TAG_STRING) {
        size = strnlen((const char *)data, size);
    }
    size_t needed = tag->value_at + size; /* at most MKV_DEPTH_MAX values of MKV_STRING_MAX */
    if (needed > parser->tag_values_room) {
        uint8_t *larger = realloc(parser->tag_values, needed);
        if (larger == NULL) {
            return frag_mkv_answer(parser, -ENOMEM);
        }
        parser->tag_values = larger;
        parser->tag_values_room = needed;
    }
    if (size > 0) {
        memcpy(parser->tag_values + tag->value_at, data, size);
    }
    tag->value_bytes = size;
    tag->has_value = true;
    tag->binary = parser->element.id == ID_TAG_BINARY;
    return 0;
}

static int leaf_simple_tag(struct frag_mkv_parser *parser, const uint8_t *data, size_t size) {
    struct mkv_simple_tag *tag = &parser->tags[parser->tag_depth - 1];
    if (tag->told) {
        return frag_mkv_fail(parser, FRAG_MKV_BAD_ELEMENT, parser->element.offset,
                             "a SimpleTag with two names or values");
    }
    if (parser->element.id != ID_TAG_NAME) {
        return leaf_tag_value(parser, tag, data, size);
    }
    if (strnlen((const char *)data, size) >= sizeof(tag->name)) {
        return frag_mkv_fail(parser, FRAG_MKV_TOO_LARGE, parser->element.offset,
                             "a TagName of more than %d bytes", MKV_TAG_NAME_MAX - 1);
    }
    to_text(data, size, tag->name, sizeof(tag->name));
    tag->has_name = true;
    return 0;
}

/* ---- masters and leaves ---- */

int frag_mkv_master_begin(struct frag_mkv_parser *parser, const struct frag_mkv_element *element) {
    switch (element->id) {
    case FRAG_MKV_SEGMENT:
        parser->segment_seen = true;
        return parser->handler->segment == NULL
                   ? 0
                   : frag_mkv_answer(parser, parser->handler->segment(element, parser->user));
    case FRAG_MKV_INFO:
        parser->info = (struct frag_mkv_info){.timecode_scale_ns = FRAG_MKV_DEFAULT_SCALE_NS};
        parser->duration = 0;
        return 0;
    case ID_TRACK_ENTRY:
        return begin_entry(parser, element);
    case ID_CONTENT_COMPRESSION:
        return 0;
    case ID_CONTENT_ENCRYPTION:
        return frag_mkv_fail(parser, FRAG_MKV_COMPRESSED, element->offset,
                             "track %llu is encrypted",
                             (unsigned long long)parser->entries[parser->entry_count].number);
    case FRAG_MKV_CLUSTER:
        return begin_cluster(parser, element);
    case ID_BLOCK_GROUP:
        parser->group = (struct mkv_group){0};
        return 0;
    case FRAG_MKV_TAGS:
        parser->tag_group = 0;
        return 0;
    case ID_TAG:
        parser->tag_group++;
        parser->tag_depth = 0;
        parser->tag_track_uid = 0;
        return 0;
    case ID_SIMPLE_TAG:
        return begin_simple_tag(parser, element);
    default:
        return 0;
    }
}

int frag_mkv_master_end(struct frag_mkv_parser *parser, const struct frag_mkv_element *element) {
    switch (element->id) {
    case FRAG_MKV_EBML:
        return end_ebml(parser, element);
    case FRAG_MKV_INFO:
        return end_info(parser, element);
    case ID_TRACK_ENTRY:
        end_entry(parser);
        return 0;
    case ID_CONTENT_COMPRESSION:
        /* Without ContentCompAlgo the default holds, which is zlib. */
        return frag_mkv_fail(
            parser, FRAG_MKV_COMPRESSED, element->offset, "track %llu is compressed (%s): not read",
            (unsigned long long)parser->entries[parser->entry_count].number, compression_name(0));
    case FRAG_MKV_TRACKS:
        return end_tracks(parser, element);
    case ID_BLOCK_GROUP:
        return parser->block.pending ? frag_mkv_block_emit(parser, true) : 0;
    case FRAG_MKV_CLUSTER:
        return parser->time_seen ? 0
                                 : frag_mkv_fail(parser, FRAG_MKV_ORDER, element->offset,
                                                 "a Cluster without Timestamp");
    case ID_SIMPLE_TAG:
        return end_simple_tag(parser);
    default:
        return 0;
    }
}

int frag_mkv_leaf(struct frag_mkv_parser *parser, const uint8_t *data, size_t size) {
    switch (parser->levels[parser->depth - 1].element.id) {
    case FRAG_MKV_EBML:
        return leaf_ebml(parser, data, size);
    case FRAG_MKV_INFO:
        return leaf_info(parser, data, size);
    case FRAG_MKV_CLUSTER:
        return leaf_cluster(parser, data, size);
    case ID_BLOCK_GROUP:
        leaf_group(parser, data, size);
        return 0;
    case ID_TARGETS:
        parser->tag_track_uid = to_uint(data, size);
        return 0;
    case ID_SIMPLE_TAG:
        return leaf_simple_tag(parser, data, size);
    default:
        return leaf_track(parser, data, size);
    }
}

void frag_mkv_fields_finish(struct frag_mkv_parser *parser) {
    drop_entries(parser);
    free(parser->tag_values);
}
