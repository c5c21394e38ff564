/* Inside of export: what its parts see of each other.
 *
 *     export.c         from a source of fragments to a file: which samples, where they stand in
 * time export_range.c   the source that is an archive's range export_times.c   times that rise,
 * whatever the producer's clock did export_mkv.c, export_mp4.c   the two formats export_out.c the
 * new file */
#ifndef PLAYBACK_EXPORT_INNER_H
#define PLAYBACK_EXPORT_INNER_H

#include <stddef.h>
#include <sys/uio.h>

#include "playback/playback.h"

/* ---- where fragments come from ---- */

enum play_next {
    PLAY_NEXT_END,
    PLAY_NEXT_FRAGMENT,
    PLAY_NEXT_LEFT_OUT /* there was one, which is damaged or gone */
};

struct play_source {
    /* An enum play_next, or a failure that ends the export. A fragment goes to give_back. */
    int (*next)(void *user, struct frag_loaded **ret_loaded);
    void (*give_back)(void *user, struct frag_loaded *loaded);
    void *user;
    const char *stream_name;
    uint64_t expected_bytes; /* about, of all clusters; UINT64_MAX: very many */
};

/* play_export_run with another source; archive and stream of `config` are not looked at. */
KN_MUST_CHECK int play_export_from(const struct play_export_config *config,
                                   const struct play_source *source,
                                   struct play_export_result *ret_result);

/* Begins or ends by the clock that the user goes by. */
struct kn_wall play_entry_time(const struct frag_entry *entry, enum frag_clock clock);

/* ---- the new file ---- */

struct play_out {
    int fd;
    uint64_t at, end; /* where the next bytes go; the file's size */
    const atomic_bool *stop;
    int error; /* the first failure to write or read it; nothing is tried after it */
};

/* All bytes of the slices, which are used up. 0 or a negative errno. */
KN_MUST_CHECK int play_out_write(struct play_out *out, struct iovec *iov, size_t count);
KN_MUST_CHECK int play_out_bytes(struct play_out *out, const void *data, size_t size);
/* How many bytes of at most `size` were read; 0 at the end. */
KN_MUST_CHECK int play_out_read(struct play_out *out, uint64_t at, void *room, size_t size);
bool play_out_stopped(const struct play_out *out);

/* ---- times ---- */

struct play_times_track {
    bool any;
    int64_t last_ns; /* the largest pts so far, from the file's 0 */
    int64_t end_ns;  /* where what has it ends */
};

/* Zeroed at first. All members are times of the file but `zero`. */
struct play_times {
    bool begun;
    struct kn_wall zero; /* producer time of the file's 0: that of its first picture or sound */
    int64_t begin_ns, end_ns; /* of the last fragment, from its own time, wherever it was put */
    uint64_t shifted;         /* fragments that had to be */
    struct play_times_track tracks[KN_TRACKS_MAX];
};

enum play_fit {
    PLAY_FITS,
    PLAY_TOO_FAR /* a track would have a hole longer than asked; nothing was changed */
};

/* Makes the times of a fragment's samples, which count from `producer`, count from the file's 0.
 *
 * A fragment stands where its producer time says; one in which a track would begin before that
 * track's last sample so far is put later, as a whole, so that it begins where that track ends. The
 * next one stands by its own time again, as soon as it can: nothing adds up, holes stay holes, and
 * every track's times rise from fragment to fragment. An enum play_fit; KN_E_MALFORMED: times that
 * cannot be. */
KN_MUST_CHECK int play_times_place(struct play_times *times, struct kn_wall producer,
                                   int64_t hole_max_ns, struct kn_sample *samples, size_t count);

/* ---- formats ---- */

/* What a writer is made for; it outlives the writer. */
struct play_job {
    struct play_out *out;
    struct kn_tracks *tracks;
    const bool *carried; /* of each track */
    const char *stream_name;
    struct kn_wall zero;
    uint64_t expected_bytes;
    const struct kn_sample *samples; /* of the first fragment, to look into, while it is made */
    size_t sample_count;
};

/* What is known at its end. */
struct play_ending {
    const char *first, *last; /* numbers of the fragments in it */
    int64_t end_ns;           /* from the file's 0 */
};

struct play_format_writer {
    /* Why this track cannot be carried ("" for a codec that is never), or NULL. */
    const char *(*refusal)(const struct kn_track *track);
    int (*create)(const struct play_job *job, void **ret_writer);
    /* Samples of carried tracks, in decode order, timed by play_times; they may be changed. */
    int (*add)(void *writer, struct kn_sample *samples, size_t count);
    int (*finish)(void *writer, const struct play_ending *ending); /* once */
    void (*destroy)(void *writer);                                 /* NULL is fine */
    uint64_t samples_max;                                          /* it ends before it has more */
    int64_t hole_max_ns; /* ... before a longer hole in a track */
};

extern const struct play_format_writer play_mkv_writer;
extern const struct play_format_writer play_mp4_writer;

/* MP4 files expected to be larger get their index behind the pictures. */
#define PLAY_MP4_FASTSTART_MAX_BYTES (UINT64_C(512) * 1024 * 1024)

#endif
