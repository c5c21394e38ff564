/* The words and the JSON of `kinora inspect`. JSON is made piece by piece, so its size costs no
 * memory; every value in it comes from jansson, which escapes what strangers wrote. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>

#include "base/text.h"
#include "base/time.h"
#include "fragments/inspect_report.h"
#include "fragments/json_text.h"

#define TIME_TEXT_BYTES 40

static const struct {
    const char *name;
    const char *text;
} odd_texts[ODD_COUNT] = {
    [ODD_NO_CODEC_PRIVATE] = {"no-codec-private", "tracks without CodecPrivate"},
    [ODD_ANNEXB] = {"annex-b", "frames with start codes (Annex-B) instead of lengths"},
    [ODD_MALFORMED] = {"malformed-frames", "frames whose NAL units do not fit them"},
    [ODD_NO_KEY_START] = {"no-key-start", "fragments that do not start with a key frame"},
    [ODD_SOUND_FIRST] = {"audio-first-in-cluster", "fragments with sound before their key frame"},
    [ODD_KEY_FLAG_WRONG] = {"key-flag-wrong", "frames flagged as key that are none"},
    [ODD_KEY_FLAG_MISSING] = {"key-flag-missing", "key frames not flagged as such"},
    [ODD_SETS_CHANGE] = {"parameter-sets-change", "changes of picture parameters between frames"},
    [ODD_TIME_BACK] = {"time-goes-back", "fragments that begin before the one before them"},
    [ODD_TIME_JUMP] = {"time-jumps", "holes of more than 5 s between fragments"},
    [ODD_EMPTY_TRACK] = {"track-without-frames", "fragments in which a track has no frame"},
    [ODD_UNKNOWN_SIZE] = {"unknown-cluster-sizes", "clusters of unknown size"},
    [ODD_BAD_CRC] = {"bad-crc", "elements whose CRC-32 is wrong"},
    [ODD_NO_CUES] = {"no-cues", "no Cues: players seek slowly or not at all"},
    [ODD_RESERVED_TAG] = {"reserved-tags", "tags with the reserved prefix AWS"},
};

/* ---- text ---- */

static void check(struct inspection *inspection, bool printed) {
    if (!printed && inspection->print_failed == 0) {
        inspection->print_failed = errno != 0 ? -errno : -EIO;
    }
}

#define PRINT(...) check(inspection, fprintf(inspection->out, __VA_ARGS__) >= 0)

/* What a stranger wrote, for a terminal: control characters would act there. */
static const char *plain(const char *text, char *room, size_t room_bytes) {
    return kn_text_plain(text, SIZE_MAX, room, room_bytes);
}

/* Seconds, or a date where the time is one. */
static const char *time_text(int64_t ns, char text[static TIME_TEXT_BYTES]) {
    if (ns >= INSPECT_ABSOLUTE_NS) {
        return kn_wall_format((struct kn_wall){ns}, text);
    }
    (void)snprintf(text, TIME_TEXT_BYTES, "%.3f", (double)ns / 1e9);
    return text;
}

static void print_track(struct inspection *inspection, size_t index) {
    const struct kn_track *track = &inspection->tracks->items[index];
    const struct track_report *report = &inspection->per_track[index];
    char id[KN_TRACK_TEXT_BYTES];
    PRINT("  track %-6" PRIu64 " %-6s %s", track->number, kn_media_name(track->media),
          track->codec == KN_CODEC_OTHER ? plain(track->codec_id, id, sizeof(id))
                                         : kn_codec_name(track->codec));
    if (report->has_params) {
        char profile[64];
        PRINT(" %s",
              frag_video_params_text(track->codec, &report->params, profile, sizeof(profile)));
    }
    if (track->media == KN_MEDIA_VIDEO) {
        PRINT(", %" PRIu32 "x%" PRIu32, track->width, track->height);
    } else if (track->media == KN_MEDIA_AUDIO) {
        PRINT(", %" PRIu32 " Hz, %" PRIu32 " channel%s", track->sample_rate_hz, track->channels,
              track->channels == 1 ? "" : "s");
    }
    double seconds = (double)(report->end_ns - report->first_ns) / 1e9;
    PRINT("; %" PRIu64 " frames", report->frames);
    if (report->frames > 1 && seconds > 0) {
        PRINT(", %.4g/s, %.0f kbit/s", (double)report->frames / seconds,
              (double)report->bytes * 8 / seconds / 1000);
    }
    if (track->media == KN_MEDIA_VIDEO) {
        PRINT(", %" PRIu64 " key", report->key_frames);
        if (report->longest_gop_ns > 0) {
            PRINT(" (every %.2f to %.2f s)", (double)report->shortest_gop_ns / 1e9,
                  (double)report->longest_gop_ns / 1e9);
        }
        PRINT("%s", report->reordered > 0 ? ", B-frames" : "");
    }
    PRINT("\n");
}

static void print_row(struct inspection *inspection, const struct fragment_report *report) {
    if (!inspection->printed_head) {
        inspection->printed_head = true;
        PRINT("%8s %12s %10s  %-24s %9s  %s\n", "fragment", "offset", "bytes", "begins", "lasts s",
              "frames (key) of each track");
    }
    const struct frag_mkv_fragment *fragment = report->fragment;
    char begin[TIME_TEXT_BYTES];
    PRINT("%8" PRIu64 " %12" PRIu64 " %10" PRIu64 "  %-24s %9.3f ", report->number,
          fragment->cluster.offset, fragment->end_offset - fragment->cluster.offset,
          time_text(report->begin_ns, begin), (double)(report->end_ns - report->begin_ns) / 1e9);
    for (size_t i = 0; i < fragment->tracks->count; i++) {
        PRINT(" %" PRIu64, report->frames[i]);
        if (fragment->tracks->items[i].media == KN_MEDIA_VIDEO) {
            PRINT(" (%" PRIu64 ")", report->key_frames[i]);
        }
    }
    PRINT("\n");
}

static uint64_t place_in_file(const struct frag_mkv_fragment *fragment,
                              const struct kn_sample *sample) {
    /* A converted frame has no bytes in the file that are its own. */
    return sample->buffer == fragment->bytes
               ? fragment->cluster.offset + (uint64_t)(sample->data - fragment->bytes->data)
               : fragment->cluster.offset;
}

static void print_frames(struct inspection *inspection, const struct frag_mkv_fragment *fragment) {
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        char pts[TIME_TEXT_BYTES];
        char dts[TIME_TEXT_BYTES];
        PRINT("           track %" PRIu64 "  offset %" PRIu64 "  %zu bytes  pts %s  dts %s%s\n",
              fragment->tracks->items[sample->track].number, place_in_file(fragment, sample),
              sample->size, time_text(fragment->time_ns + sample->pts_ns, pts),
              time_text(fragment->time_ns + sample->dts_ns, dts),
              (sample->flags & KN_SAMPLE_KEY) != 0 ? "  key" : "");
    }
}

static void print_summary(struct inspection *inspection) {
    char text[PATH_MAX];
    char first[TIME_TEXT_BYTES];
    char last[TIME_TEXT_BYTES];
    PRINT("%s: ", plain(inspection->path, text, sizeof(text)));
    PRINT("%s, %" PRIu64 " bytes\n",
          inspection->ebml.doc_type[0] == '\0'
              ? "no Matroska"
              : plain(inspection->ebml.doc_type, text, sizeof(text)),
          inspection->file_bytes);
    if (inspection->info.title[0] != '\0') {
        PRINT("  title        %s\n", plain(inspection->info.title, text, sizeof(text)));
    }
    if (inspection->info.writing_app[0] != '\0') {
        PRINT("  written by   %s\n", plain(inspection->info.writing_app, text, sizeof(text)));
    }
    for (size_t i = 0; inspection->tracks != NULL && i < inspection->tracks->count; i++) {
        print_track(inspection, i);
    }
    PRINT("  fragments    %" PRIu64, inspection->fragments);
    if (inspection->fragments > 0) {
        PRINT(", %" PRIu64 " to %" PRIu64 " bytes, %s to %s, %.3f s", inspection->cluster_bytes_min,
              inspection->cluster_bytes_max, time_text(inspection->first_ns, first),
              time_text(inspection->end_ns, last),
              (double)(inspection->end_ns - inspection->first_ns) / 1e9);
    }
    PRINT("\n");
}

static void print_text_end(struct inspection *inspection) {
    char name[FRAG_MKV_TEXT_BYTES * 4];
    char value[INSPECT_TAG_VALUE_BYTES];
    print_summary(inspection);
    for (size_t i = 0; i < inspection->tag_count; i++) {
        const struct tag_report *tag = &inspection->tags[i];
        PRINT("  tag          %s = \"%s\" (behind fragment %" PRIu64 ", offset %" PRIu64 ")\n",
              plain(tag->name, name, sizeof(name)), plain(tag->value, value, sizeof(value)),
              tag->fragment, tag->offset);
    }
    if (inspection->tags_left_out > 0) {
        PRINT("  tag          ... and %" PRIu64 " more\n", inspection->tags_left_out);
    }
    for (size_t i = 0; i < ODD_COUNT; i++) {
        if (inspection->odd[i].count > 0) {
            PRINT("  odd          %s", odd_texts[i].text);
            if (inspection->odd[i].offset > 0) {
                PRINT(": %" PRIu64 ", first at byte %" PRIu64, inspection->odd[i].count,
                      inspection->odd[i].offset);
            }
            PRINT("\n");
        }
    }
    if (inspection->error->fault != FRAG_MKV_FINE) {
        PRINT("  error        at byte %" PRIu64 ": %s\n", inspection->error->offset,
              plain(inspection->error->text, name, sizeof(name)));
    }
}

/* ---- JSON ---- */

/* Prints one value and frees it. What is no UTF-8 has been replaced before. */
static void put_json(struct inspection *inspection, json_t *value) {
    check(inspection,
          value != NULL && json_dumpf(value, inspection->out, JSON_COMPACT | JSON_ENCODE_ANY) == 0);
    json_decref(value);
}

static json_t *frame_json(const struct frag_mkv_fragment *fragment,
                          const struct kn_sample *sample) {
    json_int_t pts_ns = fragment->time_ns + sample->pts_ns;
    json_int_t dts_ns = fragment->time_ns + sample->dts_ns;
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:b}", "track",
                     frag_json_u64(fragment->tracks->items[sample->track].number), "offset",
                     frag_json_u64(place_in_file(fragment, sample)), "bytes",
                     (json_int_t)sample->size, "pts_ns", pts_ns, "dts_ns", dts_ns, "duration_ns",
                     (json_int_t)sample->duration_ns, "key", (sample->flags & KN_SAMPLE_KEY) != 0);
}

static json_t *fragment_json(const struct inspection *inspection,
                             const struct fragment_report *report) {
    const struct frag_mkv_fragment *fragment = report->fragment;
    json_t *counts = json_array();
    for (size_t i = 0; i < fragment->tracks->count; i++) {
        (void)json_array_append_new(counts,
                                    json_pack("{s:o, s:o, s:o}", "track",
                                              frag_json_u64(fragment->tracks->items[i].number),
                                              "frames", frag_json_u64(report->frames[i]),
                                              "key_frames", frag_json_u64(report->key_frames[i])));
    }
    json_t *value =
        json_pack("{s:o, s:o, s:o, s:b, s:o, s:I, s:I, s:o}", "number",
                  frag_json_u64(report->number), "offset", frag_json_u64(fragment->cluster.offset),
                  "bytes", frag_json_u64(fragment->end_offset - fragment->cluster.offset),
                  "size_known", fragment->cluster.size != FRAG_MKV_UNKNOWN_SIZE, "timecode",
                  frag_json_u64(fragment->timecode), "begin_ns", (json_int_t)report->begin_ns,
                  "end_ns", (json_int_t)report->end_ns, "tracks", counts);
    if (inspection->options.frames) {
        json_t *frames = json_array();
        for (size_t i = 0; i < fragment->sample_count; i++) {
            (void)json_array_append_new(frames, frame_json(fragment, &fragment->samples[i]));
        }
        (void)json_object_set_new(value, "frames", frames);
    }
    return value;
}

static json_t *track_json(const struct inspection *inspection, size_t index) {
    const struct kn_track *track = &inspection->tracks->items[index];
    const struct track_report *report = &inspection->per_track[index];
    json_t *value = json_pack(
        "{s:o, s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:b}",
        "number", frag_json_u64(track->number), "media", kn_media_name(track->media), "codec",
        kn_codec_name(track->codec), "codec_id", frag_json_text(track->codec_id), "name",
        frag_json_text(track->name), "language", frag_json_text(track->language),
        "codec_private_bytes", (json_int_t)track->codec_private_bytes, "default_duration_ns",
        (json_int_t)track->default_duration_ns, "frames", frag_json_u64(report->frames),
        "key_frames", frag_json_u64(report->key_frames), "bytes", frag_json_u64(report->bytes),
        "begin_ns", (json_int_t)report->first_ns, "end_ns", (json_int_t)report->end_ns,
        "shortest_gop_ns", (json_int_t)report->shortest_gop_ns, "longest_gop_ns",
        (json_int_t)report->longest_gop_ns, "b_frames", report->reordered > 0);
    if (track->media == KN_MEDIA_VIDEO) {
        (void)json_object_set_new(value, "width", json_integer((json_int_t)track->width));
        (void)json_object_set_new(value, "height", json_integer((json_int_t)track->height));
    } else if (track->media == KN_MEDIA_AUDIO) {
        (void)json_object_set_new(value, "sample_rate",
                                  json_integer((json_int_t)track->sample_rate_hz));
        (void)json_object_set_new(value, "channels", json_integer((json_int_t)track->channels));
    }
    if (report->has_params) {
        char profile[64];
        (void)json_object_set_new(value, "profile",
                                  json_string(frag_video_params_text(track->codec, &report->params,
                                                                     profile, sizeof(profile))));
    }
    return value;
}

static json_t *tags_json(const struct inspection *inspection) {
    json_t *tags = json_array();
    for (size_t i = 0; i < inspection->tag_count; i++) {
        const struct tag_report *tag = &inspection->tags[i];
        (void)json_array_append_new(
            tags, json_pack("{s:o, s:o, s:o, s:o}", "name", frag_json_text(tag->name), "value",
                            frag_json_text(tag->value), "behind_fragment",
                            frag_json_u64(tag->fragment), "offset", frag_json_u64(tag->offset)));
    }
    return tags;
}

static json_t *odd_json(const struct inspection *inspection) {
    json_t *odd = json_array();
    for (size_t i = 0; i < ODD_COUNT; i++) {
        if (inspection->odd[i].count > 0) {
            (void)json_array_append_new(
                odd, json_pack("{s:s, s:s, s:o, s:o}", "name", odd_texts[i].name, "text",
                               odd_texts[i].text, "count", frag_json_u64(inspection->odd[i].count),
                               "offset", frag_json_u64(inspection->odd[i].offset)));
        }
    }
    return odd;
}

static void print_json_begin(struct inspection *inspection) {
    inspection->printed_head = true;
    PRINT("{\"file\":");
    put_json(inspection, frag_json_text(inspection->path));
    PRINT(",\"fragments\":[");
}

static void print_json_end(struct inspection *inspection) {
    if (!inspection->printed_head) {
        print_json_begin(inspection);
    }
    json_t *tracks = json_array();
    for (size_t i = 0; inspection->tracks != NULL && i < inspection->tracks->count; i++) {
        (void)json_array_append_new(tracks, track_json(inspection, i));
    }
    json_t *error = json_null();
    if (inspection->error->fault != FRAG_MKV_FINE) {
        error = json_pack("{s:s, s:o, s:o}", "name", frag_mkv_fault_name(inspection->error->fault),
                          "offset", frag_json_u64(inspection->error->offset), "text",
                          frag_json_text(inspection->error->text));
    }
    PRINT("\n],\"summary\":");
    put_json(inspection,
             json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "doc_type",
                       frag_json_text(inspection->ebml.doc_type), "bytes",
                       frag_json_u64(inspection->file_bytes), "title",
                       frag_json_text(inspection->info.title), "writing_app",
                       frag_json_text(inspection->info.writing_app), "timecode_scale_ns",
                       frag_json_u64(inspection->info.timecode_scale_ns), "begin_ns",
                       (json_int_t)inspection->first_ns, "end_ns", (json_int_t)inspection->end_ns,
                       "tracks", tracks, "tags", tags_json(inspection), "tags_left_out",
                       frag_json_u64(inspection->tags_left_out), "odd", odd_json(inspection),
                       "error", error));
    PRINT("}\n");
}

/* ---- both ---- */

void frag_inspect_print_fragment(struct inspection *inspection,
                                 const struct fragment_report *report) {
    if (!inspection->options.json) {
        print_row(inspection, report);
        if (inspection->options.frames) {
            print_frames(inspection, report->fragment);
        }
        return;
    }
    if (!inspection->printed_head) {
        print_json_begin(inspection);
    } else {
        PRINT(",");
    }
    PRINT("\n");
    put_json(inspection, fragment_json(inspection, report));
}

void frag_inspect_print_end(struct inspection *inspection) {
    if (inspection->options.json) {
        print_json_end(inspection);
    } else {
        print_text_end(inspection);
    }
    check(inspection, fflush(inspection->out) == 0);
}
