/* Export: from a source of fragments to a file. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/new_file.h"
#include "playback/export_inner.h"

#define PROGRESS_NS (100 * KN_NS_PER_MS)
#define PROGRESS_FRAGMENTS 64u

struct export {
    const struct play_export_config *config;
    const struct play_source *source;
    const struct play_format_writer *format;
    struct play_export_result *result;
    struct play_out out;
    struct play_times times;
    struct play_job job;
    void *writer; /* NULL before the first fragment is written */

    struct kn_tracks *tracks; /* of the first fragment; all others have the same */
    bool carried[KN_TRACKS_MAX];
    bool has_video;         /* among those carried: then a picture is what a file begins with */
    bool waits_for_key;     /* at its beginning and behind what was left out */
    uint64_t late_begin;    /* samples that nobody could decode */
    struct kn_sample *room; /* the fragment's samples, to be changed */
    size_t room_count;

    struct frag_number first, last;
    struct kn_mono told; /* when progress was told last */
    uint64_t told_fragments;
};

/* ---- words ---- */

KN_PRINTF(2, 3) static void note(struct export *export, const char *format, ...) {
    char *text = export->result->note;
    size_t used = strlen(text);
    size_t room = sizeof(export->result->note) - used;
    if (used > 0 && room > 1) {
        text[used++] = ' ';
        room--;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text + used, room, format, arguments); /* what does not fit is cut */
    va_end(arguments);
}

static void end_early(struct export *export, const struct frag_entry *entry, const char *why) {
    char text[KN_WALL_TEXT_BYTES];
    export->result->ended_at = play_entry_time(entry, export->config->clock);
    note(export, "The file ends before %s: %s. Export from there on for the rest.",
         kn_wall_format(export->result->ended_at, text), why);
}

static void tell_progress(struct export *export, struct kn_wall at) {
    const struct kn_clock *clock = kn_clock_system();
    if (export->config->handle_progress == NULL) {
        return;
    }
    uint64_t fragments = export->result->fragments + export->result->left_out;
    struct kn_mono now = clock->mono(clock);
    if (fragments - export->told_fragments < PROGRESS_FRAGMENTS &&
        now.ns - export->told.ns < PROGRESS_NS) {
        return;
    }
    export->told = now;
    export->told_fragments = fragments;
    const struct play_export_progress progress = {
        .fragments = export->result->fragments, .bytes = export->out.end, .at = at};
    export->config->handle_progress(&progress, export->config->user);
}

/* ---- tracks ---- */

static int choose_tracks(struct export *export, struct kn_tracks *tracks) {
    size_t carried = 0;
    for (size_t i = 0; i < tracks->count; i++) {
        const struct kn_track *track = &tracks->items[i];
        const char *refusal = export->format->refusal(track);
        export->carried[i] = refusal == NULL;
        if (refusal == NULL) {
            carried++;
            export->has_video = export->has_video || track->media == KN_MEDIA_VIDEO;
        } else {
            bool named = track->codec != KN_CODEC_OTHER;
            note(export, "Track %llu (%s) is left out: %s.", (unsigned long long)track->number,
                 named ? kn_codec_name(track->codec) : track->codec_id, refusal);
        }
    }
    export->tracks = kn_tracks_ref(tracks);
    export->waits_for_key = true;
    return carried > 0 ? 0 : KN_E_UNSUPPORTED;
}

/* Private data that is made from the stream may be missing in a fragment without parameter sets. */
static int same_tracks(const struct kn_tracks *known, const struct kn_tracks *tracks,
                       bool *ret_same) {
    if (kn_tracks_equal(known, tracks) || known->count != tracks->count) {
        *ret_same = known->count == tracks->count;
        return 0;
    }
    struct kn_track items[KN_TRACKS_MAX];
    memcpy(items, tracks->items, tracks->count * sizeof(*items));
    for (size_t i = 0; i < tracks->count; i++) {
        if (items[i].codec_private_bytes == 0) {
            items[i].codec_private = known->items[i].codec_private;
            items[i].codec_private_bytes = known->items[i].codec_private_bytes;
        }
    }
    struct kn_tracks *filled = NULL;
    int rc = kn_tracks_create(items, tracks->count, &filled);
    if (rc == 0) {
        *ret_same = kn_tracks_equal(known, filled);
        kn_tracks_unref(filled);
    }
    return rc;
}

/* ---- samples ---- */

static bool is_picture(const struct export *export, const struct kn_sample *sample) {
    return export->tracks->items[sample->track].media == KN_MEDIA_VIDEO;
}

/* Drops what comes before the first key frame: pictures decoded before it, and where there are any,
 * sound heard before it. Returns how many are left; 0 where there is no key frame. */
static size_t begin_with_key(struct export *export, size_t count) {
    struct kn_sample *samples = export->room;
    size_t key = 0;
    size_t pictures = 0; /* before it */
    for (; key < count; key++) {
        bool picture = is_picture(export, &samples[key]);
        if ((samples[key].flags & KN_SAMPLE_KEY) != 0 && (picture || !export->has_video)) {
            break;
        }
        pictures += picture;
    }
    size_t kept = key < count && pictures == 0 ? count : 0;
    for (size_t i = 0; key < count && pictures > 0 && i < count; i++) {
        if (i >= key ||
            (!is_picture(export, &samples[i]) && samples[i].pts_ns >= samples[key].pts_ns)) {
            samples[kept++] = samples[i];
        }
    }
    export->late_begin += count - kept;
    export->waits_for_key = kept == 0;
    return kept;
}

/* The samples to be written, in export->room; as values: the fragment owns their bytes. */
static int take_samples(struct export *export, const struct frag_loaded *loaded,
                        size_t *ret_count) {
    if (loaded->sample_count > export->room_count) {
        struct kn_sample *larger =
            realloc(export->room, loaded->sample_count * sizeof(*export->room));
        if (larger == NULL) {
            return -ENOMEM;
        }
        export->room = larger;
        export->room_count = loaded->sample_count;
    }
    size_t count = 0;
    for (size_t i = 0; i < loaded->sample_count; i++) {
        if (loaded->samples[i].track >= loaded->tracks->count) {
            return KN_E_MALFORMED;
        }
        if (export->carried[loaded->samples[i].track]) {
            export->room[count++] = loaded->samples[i];
        }
    }
    export->result->left_out_samples += loaded->sample_count - count;
    *ret_count = export->waits_for_key ? begin_with_key(export, count) : count;
    return 0;
}

/* ---- fragments ---- */

static int create_writer(struct export *export, size_t count) {
    export->job = (struct play_job){
        .out = &export->out,
        .tracks = export->tracks,
        .carried = export->carried,
        .stream_name = export->source->stream_name,
        .zero = export->times.zero,
        .expected_bytes = export->source->expected_bytes,
        .samples = export->room,
        .sample_count = count,
    };
    return export->format->create(&export->job, &export->writer);
}

/* Where it really is by the clock of the range, wherever it had to be put. */
static void note_times(struct export *export, const struct frag_entry *entry) {
    struct play_export_result *result = export->result;
    bool first = result->fragments == 0;
    int64_t at_ns = play_entry_time(entry, export->config->clock).ns;
    int64_t begin_ns = at_ns;
    int64_t end_ns = at_ns;
    /* What cannot be added is no time that anybody could read. */
    (void)!kn_i64_add(at_ns, export->times.begin_ns, &begin_ns);
    (void)!kn_i64_add(at_ns, export->times.end_ns, &end_ns);
    result->from.ns = first || begin_ns < result->from.ns ? begin_ns : result->from.ns;
    result->to.ns = first || end_ns > result->to.ns ? end_ns : result->to.ns;
}

static void note_fragment(struct export *export, const struct frag_entry *entry, size_t count) {
    struct play_export_result *result = export->result;
    note_times(export, entry);
    if (result->fragments == 0) {
        export->first = entry->number;
    }
    export->last = entry->number;
    result->fragments++;
    result->samples += count;
}

/* 1: the file ends before this fragment. */
static int put_samples(struct export *export, const struct frag_entry *entry, size_t count) {
    if (export->format->samples_max - export->result->samples < count) {
        end_early(export, entry, "it has as many samples as a file of this format may have");
        return 1;
    }
    int fit = play_times_place(&export->times, entry->producer, export->format->hole_max_ns,
                               export->room, count);
    if (fit == PLAY_TOO_FAR) {
        end_early(export, entry, "the hole there is too long for this format");
        return 1;
    }
    int rc = fit < 0 ? fit : export->writer == NULL ? create_writer(export, count) : 0;
    if (rc == 0) {
        rc = export->format->add(export->writer, export->room, count);
    }
    if (rc == 0) {
        note_fragment(export, entry, count);
    }
    return rc;
}

static int put_fragment(struct export *export, const struct frag_loaded *loaded) {
    bool same = true;
    int rc = 0;
    if (export->tracks == NULL) {
        rc = choose_tracks(export, loaded->tracks);
    } else {
        rc = same_tracks(export->tracks, loaded->tracks, &same);
    }
    if (rc != 0) {
        return rc;
    }
    if (!same) {
        end_early(export, &loaded->entry, "the codec setup changes");
        return 1;
    }
    size_t count = 0;
    rc = take_samples(export, loaded, &count);
    return rc == 0 && count > 0 ? put_samples(export, &loaded->entry, count) : rc;
}

/* 0: it ends. */
static int step(struct export *export) {
    if (play_out_stopped(&export->out)) {
        return -ECANCELED;
    }
    struct frag_loaded *loaded = NULL;
    int next = export->source->next(export->source->user, &loaded);
    if (next == PLAY_NEXT_LEFT_OUT) {
        export->result->left_out++;
        export->waits_for_key = true;
        return 1;
    }
    if (next != PLAY_NEXT_FRAGMENT) {
        return next;
    }
    struct kn_wall at = loaded->entry.producer;
    int rc = put_fragment(export, loaded);
    export->source->give_back(export->source->user, loaded);
    if (rc == KN_E_MALFORMED && export->out.error == 0) { /* its times or tracks cannot be */
        export->result->left_out++;
        export->waits_for_key = true;
        rc = 0;
    }
    if (rc == 0) {
        tell_progress(export, at);
    }
    return rc < 0 ? rc : rc == 0;
}

/* ---- the file ---- */

static int finish(struct export *export) {
    if (export->writer == NULL) {
        return -ENOENT;
    }
    char first[FRAG_NUMBER_TEXT_BYTES];
    char last[FRAG_NUMBER_TEXT_BYTES];
    struct play_ending ending = {
        .first = frag_number_format(export->first, first),
        .last = frag_number_format(export->last, last),
    };
    for (size_t i = 0; i < KN_TRACKS_MAX; i++) {
        int64_t end_ns = export->times.tracks[i].end_ns;
        ending.end_ns = end_ns > ending.end_ns ? end_ns : ending.end_ns;
    }
    int rc = export->format->finish(export->writer, &ending);
    export->result->bytes = export->out.end;
    if (export->times.shifted > 0) {
        note(export,
             "%llu fragments overlap earlier ones in time or lie before them: they follow them "
             "here.",
             (unsigned long long)export->times.shifted);
    }
    if (export->late_begin > 0) {
        note(export, "%llu samples without a key frame before them are left out.",
             (unsigned long long)export->late_begin);
    }
    return rc;
}

static int write_file(struct export *export) {
    int rc = 1;
    while (rc == 1) {
        rc = step(export);
    }
    if (rc == 0) {
        rc = finish(export);
    }
    export->format->destroy(export->writer);
    kn_tracks_unref(export->tracks);
    free(export->room);
    if (rc != 0 && export->out.error != 0) {
        export->result->about_new = true;
        return export->out.error;
    }
    return rc != 0 && play_out_stopped(&export->out) ? -ECANCELED : rc;
}

/* Why nothing may be written to this name. */
static int look_at_target(const struct play_export_config *config,
                          struct play_export_result *result) {
    struct stat old;
    if (lstat(config->path, &old) != 0 || (S_ISREG(old.st_mode) && config->replace)) {
        return 0;
    }
    result->about_new = true;
    result->exists = true;
    if (!S_ISREG(old.st_mode)) {
        (void)snprintf(result->note, sizeof(result->note), "It is no regular file.");
    }
    return -EEXIST;
}

int play_export_from(const struct play_export_config *config, const struct play_source *source,
                     struct play_export_result *ret_result) {
    *ret_result = (struct play_export_result){0};
    int rc = look_at_target(config, ret_result);
    if (rc != 0) {
        return rc;
    }
    struct kn_new_file file;
    rc = kn_new_file_open(config->path, &file);
    if (rc != 0) {
        ret_result->about_new = true;
        return rc;
    }
    struct export export = {
        .config = config,
        .source = source,
        .format = config->format == PLAY_MKV ? &play_mkv_writer : &play_mp4_writer,
        .result = ret_result,
        .out = {.fd = file.fd, .stop = config->stop},
    };
    rc = write_file(&export);
    if (rc != 0) {
        kn_new_file_drop(&file);
        return rc;
    }
    rc = kn_new_file_keep(&file, config->path, config->replace);
    ret_result->about_new = rc != 0;
    ret_result->exists = rc == -EEXIST;
    return rc;
}
