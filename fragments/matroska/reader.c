/* The sample reader: the parser with one cluster of memory behind it, framing put right and decode
 * times found. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/matroska/parser_state.h"
#include "fragments/nal.h"

#define FIRST_ROOM 65536u
/* A cluster says its size before a byte of it has come: so much is believed at once. */
#define TRUSTED_ROOM (4u * 1024u * 1024u)

/* How a track's frames are framed and what its parameter sets say. */
struct framing {
    bool nal;              /* H.264 or H.265 */
    bool wants_sets;       /* the private data is no avcC/hvcC yet */
    unsigned length_bytes; /* of prefixed frames */
    int reorder_frames;    /* -1: not said */
    /* Found in the private data, while wants_sets; they live in the track. */
    struct frag_param_sets sets;
};

struct frag_mkv_reader {
    const struct frag_mkv_reader_handler *handler;
    void *user;
    struct frag_mkv_parser *parser;
    struct kn_budget *budget;
    size_t max_bytes;

    struct kn_tracks *tracks; /* as received, with private data put right once it can be */
    struct framing framings[KN_TRACKS_MAX];

    bool in_cluster;
    struct frag_mkv_element cluster;
    uint64_t timecode;
    int64_t time_ns;
    struct kn_buffer *bytes;
    uint8_t *room;
    size_t used;
    size_t likely; /* room that the next cluster will need */

    struct kn_sample *samples;
    size_t *places; /* of each sample's bytes in its buffer, until the buffer is final */
    size_t sample_count, sample_room;
    uint32_t converted, malformed;
};

/* ---- tracks ---- */

static int read_record(enum kn_codec codec, const struct kn_track *track,
                       struct frag_param_sets *ret_sets) {
    return codec == KN_CODEC_H264
               ? frag_avcc_parse(track->codec_private, track->codec_private_bytes, ret_sets)
               : frag_hvcc_parse(track->codec_private, track->codec_private_bytes, ret_sets);
}

static struct framing framing_of(const struct kn_track *track) {
    struct framing framing = {.reorder_frames = -1, .length_bytes = 4};
    framing.nal = track->codec == KN_CODEC_H264 || track->codec == KN_CODEC_H265;
    if (!framing.nal) {
        return framing;
    }
    struct frag_param_sets sets;
    if (read_record(track->codec, track, &sets) != 0) {
        framing.wants_sets = true;
        framing.sets.length_bytes = 4;
        if (frag_nal_starts_annexb(track->codec_private, track->codec_private_bytes)) {
            (void)frag_param_sets_collect(track->codec, track->codec_private,
                                          track->codec_private_bytes, 0, &framing.sets);
        }
        return framing;
    }
    framing.length_bytes = sets.length_bytes;
    struct frag_video_params params;
    if (frag_param_sets_describe(track->codec, &sets, &params) == 0) {
        framing.reorder_frames = params.reorder_frames;
    }
    return framing;
}

static void use_tracks(struct frag_mkv_reader *reader, struct kn_tracks *tracks) {
    kn_tracks_unref(reader->tracks);
    reader->tracks = tracks;
    for (size_t i = 0; i < tracks->count; i++) {
        reader->framings[i] = framing_of(&tracks->items[i]);
    }
}

/* Puts the parameter sets that private data and this fragment's frames hold into the track's
 * private data. Nothing changes while they are not complete. */
static int adopt_sets(struct frag_mkv_reader *reader, size_t index) {
    const struct kn_track *track = &reader->tracks->items[index];
    struct frag_param_sets sets = reader->framings[index].sets;
    int rc = 0;
    for (size_t i = 0; i < reader->sample_count; i++) {
        const struct kn_sample *sample = &reader->samples[i];
        if (frag_param_sets_complete(track->codec, &sets)) {
            break;
        }
        if (sample->track == index) {
            /* A frame that gives nothing, or is broken, is passed over: the next may do. */
            bool prefixed = frag_nal_is_prefixed(sample->data, sample->size, 4);
            (void)frag_param_sets_collect(track->codec, sample->data, sample->size,
                                          prefixed ? 4 : 0, &sets);
        }
    }
    if (!frag_param_sets_complete(track->codec, &sets)) {
        return 0;
    }
    struct kn_writer writer;
    kn_writer_init_growing(&writer, KN_TRACK_PRIVATE_MAX);
    struct kn_track *items = NULL;
    if (frag_param_sets_pack(track->codec, &sets, &writer) == 0) {
        items = calloc(reader->tracks->count, sizeof(*items));
        rc = items == NULL ? -ENOMEM : 0;
    } else {
        rc = kn_writer_status(&writer) == -ENOMEM ? -ENOMEM : 0;
    }
    if (items != NULL) {
        memcpy(items, reader->tracks->items, reader->tracks->count * sizeof(*items));
        items[index].codec_private = writer.data;
        items[index].codec_private_bytes = writer.size;
        struct kn_tracks *tracks = NULL;
        rc = kn_tracks_create(items, reader->tracks->count, &tracks);
        if (rc == 0) {
            use_tracks(reader, tracks);
        }
        free(items);
    }
    kn_writer_finish(&writer);
    return rc;
}

/* ---- samples ---- */

/* Gives back the spare room behind `size` bytes, if it can. */
static uint8_t *fit(uint8_t *data, size_t size) {
    uint8_t *smaller = size == 0 ? NULL : realloc(data, size);
    return smaller == NULL ? data : smaller;
}

/* Converts the Annex-B samples of tracks with NAL units into one new buffer. */
static int put_framing_right(struct frag_mkv_reader *reader, struct kn_buffer **ret_converted) {
    struct kn_writer writer;
    kn_writer_init_growing(&writer, reader->max_bytes * 2);
    reader->converted = 0;
    reader->malformed = 0;
    for (size_t i = 0; i < reader->sample_count; i++) {
        struct kn_sample *sample = &reader->samples[i];
        const struct framing *framing = &reader->framings[sample->track];
        if (!framing->nal ||
            frag_nal_is_prefixed(sample->data, sample->size, framing->length_bytes)) {
            continue;
        }
        if (framing->length_bytes != 4 || !frag_nal_starts_annexb(sample->data, sample->size)) {
            sample->flags |= KN_SAMPLE_MALFORMED;
            reader->malformed++;
            continue;
        }
        size_t at = writer.size;
        frag_nal_annexb_to_prefixed(sample->data, sample->size, &writer);
        reader->places[i] = at;
        sample->size = writer.size - at;
        sample->buffer = NULL; /* its new one is not final yet */
        reader->converted++;
    }
    struct kn_buffer *converted = NULL;
    int rc = kn_writer_status(&writer);
    if (rc == 0 && reader->converted > 0) {
        size_t size = 0;
        uint8_t *data = fit(kn_writer_take(&writer, &size), size);
        rc = kn_buffer_wrap(reader->budget, data, size, free, data, &converted);
        if (rc != 0) {
            free(data);
        }
    }
    kn_writer_finish(&writer);
    if (rc != 0 || converted == NULL) {
        return rc;
    }
    for (size_t i = 0; i < reader->sample_count; i++) {
        struct kn_sample *sample = &reader->samples[i];
        if (sample->buffer == NULL) {
            sample->buffer = converted;
            /* A frame of start codes alone converts to nothing, perhaps all of them. */
            sample->data = converted->data == NULL ? NULL : converted->data + reader->places[i];
        }
    }
    *ret_converted = converted;
    return 0;
}

static int find_times(struct frag_mkv_reader *reader) {
    for (size_t i = 0; i < reader->tracks->count; i++) {
        bool video = reader->tracks->items[i].media == KN_MEDIA_VIDEO;
        int rc = frag_assign_dts(reader->samples, reader->sample_count, (uint8_t)i,
                                 video ? reader->framings[i].reorder_frames : 0);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* The next cluster is about as large as this one: growing by doubling copies it all once more. */
static size_t likely_room(size_t used) {
    size_t room = used + used / 8;
    return room < TRUSTED_ROOM ? room : TRUSTED_ROOM;
}

static int give_fragment(struct frag_mkv_reader *reader, uint64_t end_offset) {
    reader->likely = likely_room(reader->used);
    kn_buffer_shrink(reader->bytes, reader->used);
    for (size_t i = 0; i < reader->sample_count; i++) {
        reader->samples[i].buffer = reader->bytes;
        reader->samples[i].data = reader->bytes->data + reader->places[i];
    }
    int rc = 0;
    for (size_t i = 0; i < reader->tracks->count && rc == 0; i++) {
        if (reader->framings[i].wants_sets) {
            rc = adopt_sets(reader, i);
        }
    }
    struct kn_buffer *converted = NULL;
    if (rc == 0) {
        rc = put_framing_right(reader, &converted);
    }
    if (rc == 0) {
        rc = find_times(reader);
    }
    if (rc == 0 && reader->handler->fragment != NULL) {
        struct frag_mkv_fragment fragment = {
            .cluster = reader->cluster,
            .end_offset = end_offset,
            .timecode = reader->timecode,
            .time_ns = reader->time_ns,
            .tracks = reader->tracks,
            .bytes = reader->bytes,
            .samples = reader->samples,
            .sample_count = reader->sample_count,
            .converted = reader->converted,
            .malformed = reader->malformed,
        };
        rc = reader->handler->fragment(&fragment, reader->user);
    }
    kn_buffer_unref(converted);
    return rc;
}

/* ---- the cluster's bytes ---- */

static void drop_cluster(struct frag_mkv_reader *reader) {
    kn_buffer_unref(reader->bytes);
    reader->bytes = NULL;
    reader->in_cluster = false;
    reader->used = 0;
    reader->sample_count = 0;
}

static int too_large(struct frag_mkv_reader *reader) {
    return frag_mkv_fail(reader->parser, FRAG_MKV_TOO_LARGE, reader->cluster.offset,
                         "a cluster of more than %zu bytes", reader->max_bytes);
}

static int grow(struct frag_mkv_reader *reader, size_t needed) {
    if (needed > reader->max_bytes) {
        return too_large(reader);
    }
    size_t size = reader->bytes == NULL ? FIRST_ROOM : reader->bytes->size * 2;
    uint64_t said = reader->cluster.size;
    if (reader->bytes == NULL && said <= TRUSTED_ROOM) {
        size = (size_t)said + reader->cluster.header_bytes;
    } else if (reader->bytes == NULL && reader->likely > size) {
        size = reader->likely;
    }
    size = size < needed ? needed : size;
    size = size > reader->max_bytes ? reader->max_bytes : size;
    uint8_t *room = NULL;
    struct kn_buffer *larger = NULL;
    int rc = kn_buffer_alloc(reader->budget, size, &room, &larger);
    if (rc != 0) {
        return rc;
    }
    if (reader->used > 0) {
        memcpy(room, reader->room, reader->used);
    }
    kn_buffer_unref(reader->bytes);
    reader->bytes = larger;
    reader->room = room;
    return 0;
}

static int handle_bytes(const uint8_t *data, size_t size, uint64_t offset, void *user) {
    struct frag_mkv_reader *reader = user;
    if (!reader->in_cluster) {
        return reader->handler->bytes == NULL
                   ? 0
                   : reader->handler->bytes(data, size, offset, reader->user);
    }
    size_t needed = 0;
    if (!kn_size_add(reader->used, size, &needed)) {
        return too_large(reader);
    }
    if (reader->bytes == NULL || needed > reader->bytes->size) {
        int rc = grow(reader, needed);
        if (rc != 0) {
            return rc;
        }
    }
    memcpy(reader->room + reader->used, data, size);
    reader->used = needed;
    return 0;
}

static int handle_begin(const struct frag_mkv_element *element, void *user) {
    struct frag_mkv_reader *reader = user;
    bool cluster = element->id == FRAG_MKV_CLUSTER;
    if (cluster) {
        reader->in_cluster = true;
        reader->cluster = *element;
    }
    int rc = reader->handler->begin == NULL ? 0 : reader->handler->begin(element, reader->user);
    if (rc == 0 && cluster && element->size != FRAG_MKV_UNKNOWN_SIZE &&
        element->size > reader->max_bytes) {
        return too_large(reader);
    }
    return rc;
}

static int handle_end(const struct frag_mkv_element *element, uint64_t end_offset, void *user) {
    struct frag_mkv_reader *reader = user;
    if (reader->in_cluster) {
        int rc = give_fragment(reader, end_offset);
        drop_cluster(reader);
        if (rc != 0) {
            return rc;
        }
    }
    return reader->handler->end == NULL ? 0
                                        : reader->handler->end(element, end_offset, reader->user);
}

static int handle_cluster_time(uint64_t timecode, int64_t time_ns, void *user) {
    struct frag_mkv_reader *reader = user;
    reader->timecode = timecode;
    reader->time_ns = time_ns;
    return reader->handler->cluster_time == NULL
               ? 0
               : reader->handler->cluster_time(timecode, time_ns, reader->user);
}

/* Room for one more sample. */
static int more_samples(struct frag_mkv_reader *reader) {
    if (reader->sample_count == FRAG_MAX_SAMPLES) {
        return frag_mkv_fail(reader->parser, FRAG_MKV_TOO_LARGE, reader->cluster.offset,
                             "a cluster of more than %u frames", FRAG_MAX_SAMPLES);
    }
    if (reader->sample_count < reader->sample_room) {
        return 0;
    }
    size_t room = reader->sample_room == 0 ? 256 : reader->sample_room * 2;
    struct kn_sample *samples = realloc(reader->samples, room * sizeof(*samples));
    if (samples == NULL) {
        return -ENOMEM;
    }
    reader->samples = samples;
    size_t *places = realloc(reader->places, room * sizeof(*places));
    if (places == NULL) {
        return -ENOMEM;
    }
    reader->places = places;
    reader->sample_room = room;
    return 0;
}

static int handle_frame(const struct frag_mkv_frame *frame, void *user) {
    struct frag_mkv_reader *reader = user;
    int rc = more_samples(reader);
    if (rc != 0) {
        return rc;
    }
    unsigned flags = 0;
    /* Every audio packet can be decoded alone; the AWS SDK flags none of them. */
    bool audio = reader->tracks->items[frame->track].media == KN_MEDIA_AUDIO;
    flags |= frame->key || audio ? KN_SAMPLE_KEY : 0u;
    flags |= frame->invisible ? KN_SAMPLE_INVISIBLE : 0u;
    flags |= frame->disposable ? KN_SAMPLE_DISPOSABLE : 0u;
    reader->places[reader->sample_count] = (size_t)(frame->offset - reader->cluster.offset);
    reader->samples[reader->sample_count++] = (struct kn_sample){
        .size = (size_t)frame->size, /* fits: its bytes are in the cluster */
        .pts_ns = frame->time_ns - reader->time_ns,
        .duration_ns = frame->duration_ns,
        .discard_ns = frame->discard_ns,
        .flags = (uint16_t)flags,
        .track = frame->track,
    };
    return 0;
}

/* ---- what is only passed on ---- */

static int handle_tracks(struct kn_tracks *tracks, void *user) {
    struct frag_mkv_reader *reader = user;
    use_tracks(reader, kn_tracks_ref(tracks));
    return reader->handler->tracks == NULL ? 0 : reader->handler->tracks(tracks, reader->user);
}

static int handle_ebml(const struct frag_mkv_ebml *ebml, void *user) {
    struct frag_mkv_reader *reader = user;
    return reader->handler->ebml == NULL ? 0 : reader->handler->ebml(ebml, reader->user);
}

static int handle_info(const struct frag_mkv_info *info, void *user) {
    struct frag_mkv_reader *reader = user;
    return reader->handler->info == NULL ? 0 : reader->handler->info(info, reader->user);
}

static int handle_tag(const struct frag_mkv_tag *tag, void *user) {
    struct frag_mkv_reader *reader = user;
    return reader->handler->tag == NULL ? 0 : reader->handler->tag(tag, reader->user);
}

static int handle_bad_crc(const struct frag_mkv_element *element, void *user) {
    struct frag_mkv_reader *reader = user;
    return reader->handler->bad_crc == NULL ? 0 : reader->handler->bad_crc(element, reader->user);
}

static const struct frag_mkv_handler parser_handler = {
    .ebml = handle_ebml,
    .begin = handle_begin,
    .end = handle_end,
    .info = handle_info,
    .tracks = handle_tracks,
    .cluster_time = handle_cluster_time,
    .frame = handle_frame,
    .tag = handle_tag,
    .bad_crc = handle_bad_crc,
    .bytes = handle_bytes,
};

/* ---- face ---- */

int frag_mkv_reader_create(const struct frag_mkv_reader_config *config,
                           struct frag_mkv_reader **ret_reader) {
    struct frag_mkv_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return -ENOMEM;
    }
    reader->handler = config->handler;
    reader->user = config->user;
    reader->max_bytes =
        config->max_cluster_bytes == 0 ? FRAG_CLUSTER_MAX_BYTES : config->max_cluster_bytes;
    if (config->budget != NULL) {
        reader->budget = kn_budget_ref(config->budget);
    }
    if (config->tracks != NULL) {
        use_tracks(reader, kn_tracks_ref(config->tracks));
    }
    struct frag_mkv_parser_config parser_config = {
        .handler = &parser_handler,
        .user = reader,
        .verify_crc = config->verify_crc,
        .tracks = config->tracks,
        .timecode_scale_ns = config->timecode_scale_ns,
    };
    int rc = frag_mkv_parser_create(&parser_config, &reader->parser);
    if (rc != 0) {
        frag_mkv_reader_destroy(reader);
        return rc;
    }
    *ret_reader = reader;
    return 0;
}

void frag_mkv_reader_destroy(struct frag_mkv_reader *reader) {
    if (reader == NULL) {
        return;
    }
    frag_mkv_parser_destroy(reader->parser);
    drop_cluster(reader);
    kn_tracks_unref(reader->tracks);
    kn_budget_unref(reader->budget);
    free(reader->samples);
    free(reader->places);
    free(reader);
}

int frag_mkv_reader_push(struct frag_mkv_reader *reader, const void *data, size_t size) {
    return frag_mkv_parser_push(reader->parser, data, size);
}

int frag_mkv_reader_finish(struct frag_mkv_reader *reader) {
    return frag_mkv_parser_finish(reader->parser);
}

const struct frag_mkv_error *frag_mkv_reader_error(const struct frag_mkv_reader *reader) {
    return frag_mkv_parser_error(reader->parser);
}
