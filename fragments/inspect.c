/* Collects what a Matroska file is and what is odd about it, fragment by fragment. */
#include "fragments/inspect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "base/time.h"
#include "fragments/inspect_report.h"
#include "fragments/read_file.h"

/* A hole between two clusters that nobody takes for a slow camera. */
#define JUMP_NS (5 * KN_NS_PER_S)

static void note(struct inspection *inspection, enum odd odd, uint64_t offset) {
    struct odd_note *noted = &inspection->odd[odd];
    if (noted->count++ == 0) {
        noted->offset = offset;
    }
}

/* ---- pictures ---- */

static bool is_nal_codec(enum kn_codec codec) {
    return codec == KN_CODEC_H264 || codec == KN_CODEC_H265;
}

static int parse_sps(enum kn_codec codec, struct frag_nal nal, struct frag_video_params *params) {
    return codec == KN_CODEC_H264 ? frag_h264_parse_sps(nal, params)
                                  : frag_h265_parse_sps(nal, params);
}

/* Remembers the track's parameter set and notes one that says something else. */
static int see_sps(struct inspection *inspection, struct track_report *report, enum kn_codec codec,
                   struct frag_nal nal, uint64_t offset) {
    if (report->sps.data != NULL && report->sps.size == nal.size &&
        memcmp(report->sps.data, nal.data, nal.size) == 0) {
        return 0;
    }
    struct frag_video_params params;
    if (parse_sps(codec, nal, &params) != 0) {
        return 0; /* players will say so; its slices are counted all the same */
    }
    uint8_t *copy = malloc(nal.size);
    if (copy == NULL) {
        return -ENOMEM;
    }
    memcpy(copy, nal.data, nal.size);
    if (report->sps.data != NULL) {
        note(inspection, ODD_SETS_CHANGE, offset);
    }
    free((void *)(uintptr_t)report->sps.data);
    report->sps = (struct frag_nal){.data = copy, .size = nal.size};
    report->params = params;
    report->has_params = true;
    return 0;
}

static int see_units(struct inspection *inspection, const struct kn_track *track,
                     struct track_report *report, const struct kn_sample *sample, uint64_t offset) {
    struct kn_reader reader;
    kn_reader_init(&reader, sample->data, sample->size);
    struct frag_nal nal;
    bool key = false;
    bool slice = false;
    int rc = 0;
    while (rc == 0 && frag_nal_next_prefixed(&reader, report->length_bytes, &nal) == 1) {
        enum frag_nal_kind kind = frag_nal_kind(track->codec, nal);
        key = key || kind == FRAG_NAL_KEY;
        slice = slice || kind == FRAG_NAL_KEY || kind == FRAG_NAL_SLICE;
        if (kind == FRAG_NAL_SPS) {
            rc = see_sps(inspection, report, track->codec, nal, offset);
        }
    }
    bool flagged = (sample->flags & KN_SAMPLE_KEY) != 0;
    /* H.264 may also begin at a recovery point, without an IDR picture. */
    if (slice && flagged && !key && track->codec == KN_CODEC_H265) {
        note(inspection, ODD_KEY_FLAG_WRONG, offset);
    } else if (key && !flagged) {
        note(inspection, ODD_KEY_FLAG_MISSING, offset);
    }
    return rc;
}

/* Reads a track's private data, once. */
static int see_private(struct inspection *inspection, size_t index) {
    const struct kn_track *track = &inspection->tracks->items[index];
    struct track_report *report = &inspection->per_track[index];
    struct frag_param_sets sets;
    int rc = track->codec == KN_CODEC_H264
                 ? frag_avcc_parse(track->codec_private, track->codec_private_bytes, &sets)
                 : frag_hvcc_parse(track->codec_private, track->codec_private_bytes, &sets);
    report->length_bytes = rc == 0 ? sets.length_bytes : 4;
    for (size_t i = 0; rc == 0 && i < sets.count; i++) {
        if (report->sps.data == NULL && frag_nal_kind(track->codec, sets.nals[i]) == FRAG_NAL_SPS) {
            return see_sps(inspection, report, track->codec, sets.nals[i], 0);
        }
    }
    return 0;
}

static int use_tracks(struct inspection *inspection, struct kn_tracks *tracks) {
    kn_tracks_unref(inspection->tracks);
    inspection->tracks = kn_tracks_ref(tracks);
    int rc = 0;
    for (size_t i = 0; i < tracks->count && rc == 0; i++) {
        if (is_nal_codec(tracks->items[i].codec)) {
            rc = see_private(inspection, i);
        }
    }
    return rc;
}

/* ---- fragments ---- */

static void count_sample(struct inspection *inspection, struct fragment_report *report,
                         const struct kn_sample *sample) {
    struct track_report *track = &inspection->per_track[sample->track];
    int64_t from = report->fragment->time_ns + sample->pts_ns;
    int64_t to = frag_sample_end_ns(report->fragment, sample);
    bool first = track->frames++ == 0;
    track->bytes += sample->size;
    track->first_ns = first || from < track->first_ns ? from : track->first_ns;
    track->end_ns = first || to > track->end_ns ? to : track->end_ns;
    report->frames[sample->track]++;
    if (sample->dts_ns != sample->pts_ns) {
        track->reordered++;
    }
    if ((sample->flags & KN_SAMPLE_KEY) != 0) {
        int64_t gop = from - track->last_key_ns;
        if (track->key_frames++ > 0 && gop > 0) { /* times may also stand still, or go back */
            track->shortest_gop_ns = track->shortest_gop_ns == 0 || gop < track->shortest_gop_ns
                                         ? gop
                                         : track->shortest_gop_ns;
            track->longest_gop_ns = gop > track->longest_gop_ns ? gop : track->longest_gop_ns;
        }
        track->last_key_ns = from;
        report->key_frames[sample->track]++;
    }
}

static void note_beginning(struct inspection *inspection,
                           const struct frag_mkv_fragment *fragment) {
    bool video_seen = false;
    for (size_t i = 0; i < fragment->sample_count && !video_seen; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        if (fragment->tracks->items[sample->track].media != KN_MEDIA_VIDEO) {
            continue;
        }
        video_seen = true;
        if ((sample->flags & KN_SAMPLE_KEY) == 0) {
            note(inspection, ODD_NO_KEY_START, fragment->cluster.offset);
        } else if (i > 0) {
            note(inspection, ODD_SOUND_FIRST, fragment->cluster.offset);
        }
    }
}

static void note_times(struct inspection *inspection, const struct fragment_report *report) {
    const struct frag_mkv_fragment *fragment = report->fragment;
    if (report->number > 1) {
        if (fragment->time_ns < inspection->last_cluster_ns) {
            note(inspection, ODD_TIME_BACK, fragment->cluster.offset);
        } else if (report->begin_ns - inspection->last_cluster_end_ns > JUMP_NS) {
            note(inspection, ODD_TIME_JUMP, fragment->cluster.offset);
        }
    }
    inspection->last_cluster_ns = fragment->time_ns;
    inspection->last_cluster_end_ns = report->end_ns;
}

static void note_cluster(struct inspection *inspection, const struct fragment_report *report) {
    const struct frag_mkv_fragment *fragment = report->fragment;
    uint64_t offset = fragment->cluster.offset;
    uint64_t bytes = fragment->end_offset - offset;
    if (fragment->cluster.size == FRAG_MKV_UNKNOWN_SIZE) {
        note(inspection, ODD_UNKNOWN_SIZE, offset);
    }
    for (uint32_t i = 0; i < fragment->converted; i++) {
        note(inspection, ODD_ANNEXB, offset);
    }
    for (uint32_t i = 0; i < fragment->malformed; i++) {
        note(inspection, ODD_MALFORMED, offset);
    }
    for (size_t i = 0; i < fragment->tracks->count; i++) {
        if (report->frames[i] == 0) {
            note(inspection, ODD_EMPTY_TRACK, offset);
        }
    }
    bool first = report->number == 1;
    inspection->cluster_bytes_min =
        first || bytes < inspection->cluster_bytes_min ? bytes : inspection->cluster_bytes_min;
    inspection->cluster_bytes_max =
        first || bytes > inspection->cluster_bytes_max ? bytes : inspection->cluster_bytes_max;
    note_beginning(inspection, fragment);
    note_times(inspection, report);
}

static int see_samples(struct inspection *inspection, struct fragment_report *report) {
    const struct frag_mkv_fragment *fragment = report->fragment;
    int rc = 0;
    for (size_t i = 0; i < fragment->sample_count && rc == 0; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        int64_t from = fragment->time_ns + sample->pts_ns;
        int64_t to = frag_sample_end_ns(fragment, sample);
        report->begin_ns = i == 0 || from < report->begin_ns ? from : report->begin_ns;
        report->end_ns = i == 0 || to > report->end_ns ? to : report->end_ns;
        count_sample(inspection, report, sample);
        const struct kn_track *track = &fragment->tracks->items[sample->track];
        if (is_nal_codec(track->codec) && (sample->flags & KN_SAMPLE_MALFORMED) == 0) {
            rc = see_units(inspection, track, &inspection->per_track[sample->track], sample,
                           fragment->cluster.offset);
        }
    }
    return rc;
}

static int handle_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct inspection *inspection = user;
    if (fragment->tracks != inspection->tracks) {
        int changed = use_tracks(inspection, fragment->tracks);
        if (changed != 0) {
            return changed;
        }
    }
    struct fragment_report report = {
        .fragment = fragment,
        .number = ++inspection->fragments,
        .begin_ns = fragment->time_ns,
        .end_ns = fragment->time_ns,
    };
    int rc = see_samples(inspection, &report);
    if (rc != 0) {
        return rc;
    }
    bool first = report.number == 1;
    inspection->first_ns =
        first || report.begin_ns < inspection->first_ns ? report.begin_ns : inspection->first_ns;
    inspection->end_ns =
        first || report.end_ns > inspection->end_ns ? report.end_ns : inspection->end_ns;
    note_cluster(inspection, &report);
    frag_inspect_print_fragment(inspection, &report);
    return inspection->print_failed;
}

/* ---- everything else ---- */

static int handle_tag(const struct frag_mkv_tag *tag, void *user) {
    struct inspection *inspection = user;
    if (strncmp(tag->name, "AWS", 3) == 0) {
        note(inspection, ODD_RESERVED_TAG, tag->offset);
    }
    if (inspection->tag_count == INSPECT_TAGS_MAX) {
        inspection->tags_left_out++;
        return 0;
    }
    struct tag_report *kept = &inspection->tags[inspection->tag_count];
    kept->name = strdup(tag->name);
    if (kept->name == NULL) {
        return -ENOMEM;
    }
    inspection->tag_count++;
    const char *value = (const char *)tag->value;
    if (tag->binary) {
        (void)snprintf(kept->value, sizeof(kept->value), "(%zu bytes)", tag->value_bytes);
    } else {
        size_t size = kn_text_cut(value, tag->value_bytes, sizeof(kept->value) - 1);
        memcpy(kept->value, value, size); /* the room was zeros */
    }
    kept->offset = tag->offset;
    kept->fragment = inspection->fragments;
    return 0;
}

static int handle_ebml(const struct frag_mkv_ebml *ebml, void *user) {
    ((struct inspection *)user)->ebml = *ebml;
    return 0;
}

static int handle_info(const struct frag_mkv_info *info, void *user) {
    ((struct inspection *)user)->info = *info;
    return 0;
}

static int handle_tracks(struct kn_tracks *tracks, void *user) {
    struct inspection *inspection = user;
    for (size_t i = 0; i < tracks->count; i++) {
        if (is_nal_codec(tracks->items[i].codec) && tracks->items[i].codec_private_bytes == 0) {
            note(inspection, ODD_NO_CODEC_PRIVATE, 0);
        }
    }
    return use_tracks(inspection, tracks);
}

static int handle_begin(const struct frag_mkv_element *element, void *user) {
    struct inspection *inspection = user;
    if (element->id == FRAG_MKV_CUES) {
        inspection->cues_seen = true;
    }
    return 0;
}

static int handle_bad_crc(const struct frag_mkv_element *element, void *user) {
    note(user, ODD_BAD_CRC, element->offset);
    return 0;
}

static int inspect(struct inspection *inspection, struct frag_mkv_reader *reader,
                   enum frag_inspect_end *ret_end) {
    bool io = false;
    int rc = frag_read_file(inspection->path, reader, inspection->options.progress,
                            &inspection->file_bytes, &io);
    const struct frag_mkv_error *error = frag_mkv_reader_error(reader);
    bool stopped = error->fault == FRAG_MKV_STOPPED || error->fault == FRAG_MKV_NO_MEMORY;
    if (!io && !stopped) {
        inspection->odd[ODD_NO_CUES].count =
            inspection->fragments > 0 && !inspection->cues_seen ? 1 : 0;
        inspection->error = error;
        *ret_end = rc == 0 ? FRAG_INSPECT_WHOLE : FRAG_INSPECT_DAMAGED;
        frag_inspect_print_end(inspection);
    }
    if (inspection->print_failed != 0) {
        *ret_end = FRAG_INSPECT_UNPRINTED;
        return inspection->print_failed;
    }
    return rc;
}

static void finish(struct inspection *inspection) {
    for (size_t i = 0; i < inspection->tag_count; i++) {
        free(inspection->tags[i].name);
    }
    for (size_t i = 0; i < KN_TRACKS_MAX; i++) {
        free((void *)(uintptr_t)inspection->per_track[i].sps.data);
    }
    free(inspection->tags);
    kn_tracks_unref(inspection->tracks);
    free(inspection);
}

int frag_inspect_file(const char *path, const struct frag_inspect_options *options, FILE *out,
                      enum frag_inspect_end *ret_end) {
    static const struct frag_mkv_reader_handler handler = {
        .ebml = handle_ebml,
        .begin = handle_begin,
        .info = handle_info,
        .tracks = handle_tracks,
        .fragment = handle_fragment,
        .tag = handle_tag,
        .bad_crc = handle_bad_crc,
    };
    *ret_end = FRAG_INSPECT_UNREAD;
    struct inspection *inspection = calloc(1, sizeof(*inspection));
    if (inspection == NULL) {
        return -ENOMEM;
    }
    inspection->path = path;
    inspection->options = *options;
    inspection->out = out;
    inspection->info.timecode_scale_ns = FRAG_MKV_DEFAULT_SCALE_NS;
    inspection->tags = calloc(INSPECT_TAGS_MAX, sizeof(*inspection->tags));
    const struct frag_mkv_reader_config config = {
        .handler = &handler, .user = inspection, .verify_crc = true};
    struct frag_mkv_reader *reader = NULL;
    int rc = inspection->tags == NULL ? -ENOMEM : frag_mkv_reader_create(&config, &reader);
    if (rc == 0) {
        rc = inspect(inspection, reader, ret_end);
        frag_mkv_reader_destroy(reader);
    }
    finish(inspection);
    return rc;
}
