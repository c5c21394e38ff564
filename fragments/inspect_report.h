/* Inside of fragments/: what inspect.c finds out and inspect_print.c prints. */
#ifndef FRAGMENTS_INSPECT_REPORT_H
#define FRAGMENTS_INSPECT_REPORT_H

#include "fragments/inspect.h"
#include "fragments/nal.h"

/* Times from here on (2001) are dates, not offsets. */
#define INSPECT_ABSOLUTE_NS (INT64_C(978307200) * 1000000000)
#define INSPECT_TAGS_MAX 1000u
#define INSPECT_TAG_VALUE_BYTES 256

/* Each kind of oddity once, with how often and where first. */
enum odd {
    ODD_NO_CODEC_PRIVATE,
    ODD_ANNEXB,
    ODD_MALFORMED,
    ODD_NO_KEY_START,
    ODD_SOUND_FIRST,
    ODD_KEY_FLAG_WRONG,
    ODD_KEY_FLAG_MISSING,
    ODD_SETS_CHANGE,
    ODD_TIME_BACK,
    ODD_TIME_JUMP,
    ODD_EMPTY_TRACK,
    ODD_UNKNOWN_SIZE,
    ODD_BAD_CRC,
    ODD_NO_CUES,
    ODD_RESERVED_TAG,
    ODD_COUNT
};

struct odd_note {
    uint64_t count;
    uint64_t offset;
};

struct track_report {
    uint64_t frames, key_frames, bytes;
    int64_t first_ns, end_ns; /* of shown time */
    int64_t last_key_ns;
    int64_t shortest_gop_ns, longest_gop_ns; /* 0: fewer than two key frames */
    uint64_t reordered;                      /* frames with dts before pts by more than the first */
    unsigned length_bytes;                   /* of NAL units */
    bool has_params;
    struct frag_video_params params;
    struct frag_nal sps; /* owned copy, to see a change */
};

struct tag_report {
    char *name;
    char value[INSPECT_TAG_VALUE_BYTES]; /* cut, binary values as their length */
    uint64_t offset;
    uint64_t fragment; /* how many fragments stand before it */
};

struct inspection {
    const char *path;
    struct frag_inspect_options options;
    FILE *out;
    int print_failed; /* 0, or the negative errno of the first time */
    uint64_t file_bytes;

    struct frag_mkv_ebml ebml;
    struct frag_mkv_info info;
    struct kn_tracks *tracks; /* newest, private data put right */
    bool printed_head;
    bool cues_seen;

    uint64_t fragments, cluster_bytes_min, cluster_bytes_max;
    int64_t first_ns, end_ns;
    int64_t last_cluster_ns, last_cluster_end_ns;
    struct track_report per_track[KN_TRACKS_MAX];
    struct odd_note odd[ODD_COUNT];

    struct tag_report *tags;
    size_t tag_count;
    uint64_t tags_left_out;
    const struct frag_mkv_error *error;
};

/* One fragment's line of the table. */
struct fragment_report {
    const struct frag_mkv_fragment *fragment;
    uint64_t number; /* from 1 */
    int64_t begin_ns, end_ns;
    uint64_t frames[KN_TRACKS_MAX], key_frames[KN_TRACKS_MAX];
};

void frag_inspect_print_fragment(struct inspection *inspection,
                                 const struct fragment_report *report);
void frag_inspect_print_end(struct inspection *inspection);

#endif
