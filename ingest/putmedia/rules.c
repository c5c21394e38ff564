#include "ingest/putmedia/rules.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

/* ---- the start of relative times ---- */

#define DIGITS_MAX 20u
#define NS_DIGITS 9u
/* So that an uploaded week ends before int64 does. */
#define SECONDS_MAX (UINT64_C(9000000000))

/* Digits at `text`; how many, 0 also where there are too many of them. */
static size_t take_digits(const char *text, size_t size, uint64_t *ret_value) {
    uint64_t value = 0;
    size_t count = 0;
    while (count < size && text[count] >= '0' && text[count] <= '9') {
        if (count == DIGITS_MAX || value > (UINT64_MAX - 9) / 10) {
            return 0;
        }
        value = value * 10 + (uint64_t)(text[count] - '0');
        count++;
    }
    *ret_value = value;
    return count;
}

static int64_t fraction_ns(const char *digits, size_t count) {
    int64_t ns = 0;
    for (size_t i = 0; i < NS_DIGITS; i++) {
        ns = ns * 10 + (i < count ? digits[i] - '0' : 0);
    }
    return ns;
}

int ing_put_start_parse(const char *text, size_t size, struct kn_wall *ret_start) {
    uint64_t seconds = 0, behind = 0;
    size_t count = take_digits(text, size, &seconds);
    if (count == 0 || seconds > SECONDS_MAX) {
        return KN_E_MALFORMED;
    }
    int64_t ns = 0;
    if (count < size) {
        const char *digits = text + count + 1;
        size_t left = size - count - 1;
        size_t fraction = text[count] == '.' ? take_digits(digits, left, &behind) : 0;
        if (fraction == 0 || fraction != left) {
            return KN_E_MALFORMED;
        }
        ns = fraction <= 2 ? (int64_t)behind * KN_NS_PER_MS : fraction_ns(digits, fraction);
    }
    ret_start->ns = (int64_t)seconds * KN_NS_PER_S + ns;
    return 0;
}

/* ---- errors ---- */

const char *ing_put_error_code(enum ing_put_error error) {
    switch (error) {
    case ING_PUT_SIZE:
        return "MAX_FRAGMENT_SIZE_REACHED";
    case ING_PUT_DURATION:
        return "MAX_FRAGMENT_DURATION_REACHED";
    case ING_PUT_CONNECTION:
        return "MAX_CONNECTION_DURATION_REACHED";
    case ING_PUT_ORDER:
        return "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS";
    case ING_PUT_INVALID:
        return "INVALID_MKV_DATA";
    case ING_PUT_TIME:
        return "INVALID_PRODUCER_TIMESTAMP";
    case ING_PUT_METADATA:
        return "FRAGMENT_METADATA_LIMIT_REACHED";
    case ING_PUT_NO_TRACK:
        return "TRACK_NUMBER_MISMATCH";
    case ING_PUT_NO_FRAMES:
        return "FRAMES_MISSING_FOR_TRACK";
    case ING_PUT_TRACKS:
        return "MORE_THAN_ALLOWED_TRACKS_FOUND";
    case ING_PUT_DELETED:
        return "STREAM_DELETED";
    case ING_PUT_INTERNAL:
        return "INTERNAL_ERROR";
    case ING_PUT_ARCHIVAL:
        return "ARCHIVAL_ERROR";
    }
    return "INTERNAL_ERROR";
}

enum ing_put_error ing_put_fault(const struct frag_mkv_error *error, bool in_cluster) {
    switch (error->fault) {
    case FRAG_MKV_NO_SUCH_TRACK:
        return ING_PUT_NO_TRACK;
    case FRAG_MKV_TOO_LARGE:
        return in_cluster ? ING_PUT_SIZE : ING_PUT_INVALID;
    case FRAG_MKV_BAD_TIME:
        return in_cluster ? ING_PUT_TIME : ING_PUT_INVALID;
    case FRAG_MKV_NO_MEMORY:
    case FRAG_MKV_STOPPED: /* by us, for want of memory: what else stops it has said why */
        return ING_PUT_INTERNAL;
    case FRAG_MKV_FINE:
    case FRAG_MKV_NOT_MATROSKA:
    case FRAG_MKV_BAD_ELEMENT:
    case FRAG_MKV_OVERRUN:
    case FRAG_MKV_SIZE_UNKNOWN:
    case FRAG_MKV_TOO_DEEP:
    case FRAG_MKV_ORDER:
    case FRAG_MKV_SECOND_SEGMENT:
    case FRAG_MKV_BAD_TRACKS:
    case FRAG_MKV_COMPRESSED:
    case FRAG_MKV_BAD_BLOCK:
    case FRAG_MKV_TRUNCATED:
        break;
    }
    return ING_PUT_INVALID;
}

/* ---- fragments ---- */

/* What is known of a track in one fragment; times from its cluster's. */
struct span {
    size_t count;
    int64_t first_ns, last_ns;
    int64_t said_ns; /* duration of the last frame */
};

static void look_through(const struct frag_mkv_fragment *fragment, struct span *spans) {
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        struct span *span = &spans[sample->track];
        if (span->count == 0 || sample->pts_ns < span->first_ns) {
            span->first_ns = sample->pts_ns;
        }
        if (span->count == 0 || sample->pts_ns >= span->last_ns) {
            span->last_ns = sample->pts_ns;
            span->said_ns = sample->duration_ns;
        }
        span->count++;
    }
}

static int64_t end_of(const struct kn_track *track, const struct span *span) {
    int64_t frame_ns = span->said_ns > 0 ? span->said_ns : track->default_duration_ns;
    if (frame_ns <= 0 && span->count > 1) {
        frame_ns = (span->last_ns - span->first_ns) / (int64_t)(span->count - 1);
    }
    int64_t end_ns = 0;
    return kn_i64_add(span->last_ns, frame_ns, &end_ns) ? end_ns : span->last_ns;
}

/* The first video track says how long, else whatever lasts longest. */
int64_t ing_put_duration(const struct frag_mkv_fragment *fragment) {
    struct span spans[KN_TRACKS_MAX] = {0};
    int64_t longest_ns = 0;
    look_through(fragment, spans);
    for (size_t i = 0; i < fragment->tracks->count; i++) {
        const struct kn_track *track = &fragment->tracks->items[i];
        int64_t end_ns = spans[i].count > 0 ? end_of(track, &spans[i]) : 0;
        if (track->media == KN_MEDIA_VIDEO && end_ns > 0) {
            return end_ns;
        }
        longest_ns = end_ns > longest_ns ? end_ns : longest_ns;
    }
    return longest_ns;
}

static bool is_media(const struct kn_track *track) {
    return track->media == KN_MEDIA_VIDEO || track->media == KN_MEDIA_AUDIO;
}

/* From the earliest frame to the latest one. */
static bool is_too_long(const struct span *spans, size_t count) {
    bool any = false;
    int64_t first_ns = 0, last_ns = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].count > 0) {
            first_ns = !any || spans[i].first_ns < first_ns ? spans[i].first_ns : first_ns;
            last_ns = !any || spans[i].last_ns > last_ns ? spans[i].last_ns : last_ns;
            any = true;
        }
    }
    return last_ns - first_ns > ING_PUT_LONGEST_NS;
}

static bool lacks_frames(const struct frag_mkv_fragment *fragment, const struct span *spans) {
    for (size_t i = 0; i < fragment->tracks->count; i++) {
        if (spans[i].count == 0 && is_media(&fragment->tracks->items[i])) {
            return ing_put_duration(fragment) >= ING_PUT_SHORTEST_NS;
        }
    }
    return false;
}

/* Its first picture is none that playing can begin with. */
static bool goes_on(const struct frag_mkv_fragment *fragment) {
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        if (fragment->tracks->items[sample->track].media == KN_MEDIA_VIDEO) {
            return (sample->flags & KN_SAMPLE_KEY) == 0;
        }
    }
    return false;
}

static bool is_late(const struct frag_mkv_fragment *fragment, const struct ing_put_before *before) {
    int64_t slack_ns = goes_on(fragment) ? ING_PUT_REORDER_NS : 0;
    return before->any && fragment->time_ns <= before->time_ns - slack_ns;
}

int ing_put_check(const struct frag_mkv_fragment *fragment, struct ing_put_before *before) {
    struct span spans[KN_TRACKS_MAX] = {0};
    look_through(fragment, spans);
    if (lacks_frames(fragment, spans)) {
        return ING_PUT_NO_FRAMES;
    }
    if (is_too_long(spans, fragment->tracks->count)) {
        return ING_PUT_DURATION;
    }
    if (is_late(fragment, before)) {
        return ING_PUT_ORDER;
    }
    before->any = true;
    before->time_ns = fragment->time_ns;
    return 0;
}
