/* The replay: loops, files and samples, at their time, with faults. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <libavutil/log.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "ingest/replay/clock.h"
#include "ingest/replay/feed.h"
#include "ingest/replay/files.h"
#include "ingest/replay/loss.h"
#include "ingest/replay/pace.h"
#include "ingest/replay/sink.h"

#define PROGRESS_NS (100 * KN_NS_PER_MS)

/* Times ending in `_at_ns` count from the beginning of the replay. */
struct run {
    const struct ing_replay_config *config;
    const struct ing_sink *sink;
    void *user;
    struct ing_replay_result *result;

    const struct kn_clock *clock; /* the store's: arrival, gaps */
    struct kn_wall start;         /* producer time of the beginning */
    struct kn_mono began;         /* on the machine's clock */
    int64_t file_at_ns;           /* where the file at hand begins */
    int64_t end_at_ns;            /* where the latest sample ends */
    int64_t arrival_at_ns;        /* of the sample at hand; rises */
    int64_t flap_at_ns;

    bool open; /* a session is */
    struct kn_tracks *tracks;
    struct ing_loss loss;
    bool lost_before[KN_TRACKS_MAX]; /* the next sample of the track says so */
    /* Something is missing before the next sample that decoding can begin with. */
    bool broken, has_gap;
    struct kn_wall gap_from;

    struct ing_replay_progress progress;
    struct kn_mono told;
    int first_error; /* of a file that could not be replayed */
};

static bool is_stopped(const struct run *run) {
    return run->config->stop != NULL && atomic_load(run->config->stop);
}

/* The first one is told. */
static void note_problem(struct run *run, const char *path, const char *words) {
    char *problem = run->result->problem;
    char text[sizeof(run->result->problem)];
    if (problem[0] == '\0') {
        (void)snprintf(text, sizeof(text), "%s: %s", path, words);
        (void)kn_text_plain(text, sizeof(text), problem, sizeof(run->result->problem));
    }
}

static void tell_progress(struct run *run, int64_t done_ns) {
    const struct kn_clock *machine = kn_clock_system();
    struct kn_mono now = machine->mono(machine);
    if (run->config->handle_progress != NULL &&
        (done_ns == 0 || now.ns - run->told.ns >= PROGRESS_NS)) {
        run->told = now;
        run->progress.done_ns = done_ns;
        run->progress.samples = run->result->samples;
        run->progress.bytes = run->result->bytes;
        run->progress.fragments = run->sink->fragments(run->user);
        run->config->handle_progress(&run->progress, run->config->user);
    }
}

/* ---- sessions ---- */

static int open_session(struct run *run) {
    int rc = run->sink->open(run->user);
    if (rc != 0) {
        return rc;
    }
    run->open = true;
    return run->tracks == NULL ? 0 : run->sink->tracks(run->tracks, run->user);
}

/* What is missing at its end, the session's end says. */
static void close_session(struct run *run, enum frag_gap_cause cause) {
    if (run->open) {
        run->sink->close(cause, run->user);
    }
    run->open = false;
    run->broken = false;
    run->has_gap = false;
}

/* What should go on for ever and ends by itself has failed. */
static enum frag_gap_cause cause_of_end(const struct run *run) {
    if (is_stopped(run)) {
        return FRAG_GAP_SHUTDOWN;
    }
    bool refused = run->config->one_session && run->config->loops == 0;
    return refused ? FRAG_GAP_SOURCE_REFUSED : FRAG_GAP_PRODUCER_AWAY;
}

static void end_file(struct run *run) {
    if (!run->config->one_session) {
        close_session(run, cause_of_end(run));
    } else if (run->open) {
        run->sink->cut(run->user);
    }
}

static int use_tracks(struct run *run, struct kn_tracks *tracks) {
    kn_tracks_unref(run->tracks);
    run->tracks = kn_tracks_ref(tracks);
    return run->open ? run->sink->tracks(tracks, run->user) : 0;
}

static int flap(struct run *run) {
    const struct ing_faults *faults = &run->config->faults;
    if (faults->flap_ns == 0 || run->arrival_at_ns < run->flap_at_ns) {
        return 0;
    }
    run->flap_at_ns = run->arrival_at_ns + faults->flap_ns;
    close_session(run, FRAG_GAP_NETWORK);
    return open_session(run);
}

/* ---- samples ---- */

static bool has_video(const struct kn_tracks *tracks) {
    for (size_t i = 0; i < tracks->count; i++) {
        if (tracks->items[i].media == KN_MEDIA_VIDEO) {
            return true;
        }
    }
    return false;
}

static bool can_begin(const struct run *run, const struct kn_sample *sample) {
    bool video = run->tracks->items[sample->track].media == KN_MEDIA_VIDEO;
    return (sample->flags & KN_SAMPLE_KEY) != 0 && (video || !has_video(run->tracks));
}

/* True: it does not arrive. */
static bool lose(struct run *run, const struct kn_sample *sample) {
    enum kn_media media = run->tracks->items[sample->track].media;
    if (run->config->faults.loss <= 0 || !ing_loss_takes(&run->loss, sample, media)) {
        return false;
    }
    run->result->lost_samples++;
    run->lost_before[sample->track] = true;
    if (run->loss.broken[sample->track] && !run->has_gap) {
        run->broken = true;
        run->has_gap = true;
        run->gap_from = run->clock->wall(run->clock);
    }
    return true;
}

static void tell_break(struct run *run, const struct kn_sample *sample) {
    if (!run->broken || !can_begin(run, sample)) {
        return;
    }
    const struct frag_gap gap = {
        .from = run->gap_from,
        .to = run->clock->wall(run->clock),
        .cause = FRAG_GAP_PACKET_LOSS,
    };
    run->sink->discontinuity(run->has_gap ? &gap : NULL, run->user);
    run->broken = false;
    run->has_gap = false;
}

/* The producer's wall time at the beginning of the file, as its clock says now. */
static int find_origin(const struct run *run, struct kn_wall *ret_origin) {
    const struct ing_faults *faults = &run->config->faults;
    bool jumped = faults->has_jump && run->arrival_at_ns >= faults->jump_at_ns;
    int64_t ns;
    if (!kn_i64_add(run->start.ns, run->file_at_ns, &ns) ||
        !kn_i64_add(ns, jumped ? faults->jump_ns : 0, &ns)) {
        return KN_E_LIMIT;
    }
    ret_origin->ns = ns;
    return 0;
}

/* It is `dts` now: on the store's clock, and with a pace on the machine's. */
static int arrive(struct run *run, const struct ing_feed_sample *next) {
    int64_t dts_ns = next->sample.dts_ns, pts_ns = next->sample.pts_ns, at_ns, end_ns, wall_ns;
    if (!kn_i64_add(run->file_at_ns, dts_ns, &at_ns) ||
        !kn_i64_add(run->file_at_ns, pts_ns > dts_ns ? pts_ns : dts_ns, &end_ns) ||
        !kn_i64_add(end_ns, next->step_ns, &end_ns) ||
        !kn_i64_add(run->start.ns, end_ns, &wall_ns) ||
        !kn_i64_add(run->began.ns, at_ns, &wall_ns)) {
        return KN_E_LIMIT;
    }
    run->end_at_ns = end_ns > run->end_at_ns ? end_ns : run->end_at_ns;
    run->arrival_at_ns = at_ns > run->arrival_at_ns ? at_ns : run->arrival_at_ns;
    if (run->config->paced) {
        ing_pace_until((struct kn_mono){run->began.ns + run->arrival_at_ns}, run->config->stop);
    }
    if (run->config->clock != NULL) {
        ing_clock_set(run->config->clock, run->arrival_at_ns);
    }
    return 0;
}

static int give_sample(struct run *run, struct kn_sample *sample) {
    struct kn_wall origin;
    int rc = find_origin(run, &origin);
    if (rc != 0 || lose(run, sample)) {
        return rc;
    }
    tell_break(run, sample);
    if (run->lost_before[sample->track]) {
        run->lost_before[sample->track] = false;
        sample->flags |= KN_SAMPLE_DISCONT;
    }
    rc = run->sink->sample(origin, sample, run->user);
    run->result->samples += rc == 0 ? 1 : 0;
    run->result->bytes += rc == 0 ? sample->size : 0;
    return rc;
}

static int play_sample(struct run *run, struct ing_feed_sample *next) {
    int rc = arrive(run, next);
    if (rc != 0 || is_stopped(run)) {
        return rc;
    }
    rc = next->tracks == NULL ? 0 : use_tracks(run, next->tracks);
    if (rc == 0) {
        rc = run->open ? flap(run) : open_session(run);
    }
    if (next->jumped) {
        run->broken = true;
        next->sample.flags |= KN_SAMPLE_DISCONT;
    }
    tell_progress(run, next->sample.dts_ns);
    return rc == 0 ? give_sample(run, &next->sample) : rc;
}

/* ---- files ---- */

/* What stands in the way of one file alone. */
static const char *words_of(int error) {
    switch (error) {
    case KN_E_UNSUPPORTED:
        return "no H.264, H.265, AV1, VP8, VP9, MJPEG, AAC, Opus or 16-bit PCM in it";
    case KN_E_MALFORMED:
        return "no container that is read here, or damaged";
    case KN_E_LIMIT:
        return "its times are out of bounds";
    case -EISDIR:
        return "a directory";
    case -EINVAL:
        return "not a plain file";
    default:
        return kn_error_text(error);
    }
}

/* Until the file ends; `ret_file_error`: it ended badly, which is not the replay's end. */
static int play_samples(struct run *run, struct ing_feed *feed, int *ret_file_error) {
    for (;;) {
        struct ing_feed_sample next = {0};
        int rc = is_stopped(run) ? 0 : ing_feed_next(feed, &next);
        if (rc <= 0) {
            *ret_file_error = rc;
            return rc == -ENOMEM ? rc : 0;
        }
        rc = play_sample(run, &next);
        ing_feed_sample_unref(&next);
        if (rc != 0) {
            return rc;
        }
    }
}

static void count_file(struct run *run, const char *path, int error, bool played) {
    if (error != 0) {
        run->first_error = run->first_error == 0 ? error : run->first_error;
        note_problem(run, path, words_of(error));
    }
    /* A loop plays the same files again. */
    if (run->progress.loop == 0) {
        run->result->files += played ? 1 : 0;
        run->result->skipped_files += played ? 0 : 1;
    }
}

static void tell_left_out(unsigned track, const char *media, const char *codec, void *user) {
    struct run *run = user;
    const struct ing_left_out left_out = {
        .path = run->progress.path, .track = track, .media = media, .codec = codec};
    run->config->handle_left_out(&left_out, run->config->user);
}

static int play_file(struct run *run, const char *path) {
    struct ing_feed *feed = NULL;
    uint64_t before = run->result->samples + run->result->lost_samples;
    int error = ing_feed_open(path, run->config->faults.truncate, run->config->stop, &feed);
    int rc = error == -ENOMEM ? error : 0;
    run->file_at_ns = run->end_at_ns;
    if (error == 0) {
        run->progress.path = path;
        run->progress.all_ns = ing_feed_duration_ns(feed);
        if (run->config->handle_left_out != NULL && run->progress.loop == 0) {
            ing_feed_each_left_out(feed, tell_left_out, run);
        }
        rc = play_samples(run, feed, &error);
    }
    bool played = run->result->samples + run->result->lost_samples > before;
    if (!is_stopped(run) || played) {
        count_file(run, path, error == 0 && !played ? KN_E_MALFORMED : error, played);
    }
    end_file(run);
    kn_tracks_unref(run->tracks);
    run->tracks = NULL;
    ing_feed_close(feed);
    return rc;
}

static int play_files(struct run *run, const struct ing_files *files) {
    int rc = 0;
    for (size_t i = 0; i < files->count && rc == 0 && !is_stopped(run); i++) {
        run->progress.file = i;
        rc = play_file(run, files->paths[i]);
    }
    return rc;
}

static int play_loops(struct run *run, const struct ing_files *files) {
    uint64_t loops = run->config->loops;
    for (uint64_t i = 0; (loops == 0 || i < loops) && !is_stopped(run); i++) {
        uint64_t before = run->result->samples + run->result->lost_samples;
        run->progress.loop = i;
        int rc = play_files(run, files);
        if (rc != 0) {
            return rc;
        }
        if (run->result->samples + run->result->lost_samples == before) {
            break; /* else nothing would go on for ever */
        }
    }
    return 0;
}

/* ---- beginning ---- */

/* How long all files say they are; one that does not say counts as nothing. */
static int64_t measure(const struct run *run, const struct ing_files *files) {
    uint64_t loops = run->config->loops == 0 ? 1 : run->config->loops;
    int64_t sum_ns = 0;
    for (size_t i = 0; i < files->count && !is_stopped(run); i++) {
        struct ing_feed *feed = NULL;
        if (ing_feed_open(files->paths[i], run->config->faults.truncate, run->config->stop,
                          &feed) == 0 &&
            !kn_i64_add(sum_ns, ing_feed_duration_ns(feed), &sum_ns)) {
            sum_ns = 0;
        }
        ing_feed_close(feed);
    }
    int64_t all_ns;
    return loops <= INT64_MAX && kn_i64_mul(sum_ns, (int64_t)loops, &all_ns) ? all_ns : sum_ns;
}

/* A replay that runs faster than its video on the machine's clock ends now rather than beginning
 * now, or its later pictures would lie in the future. What does not say how long it is, and loops
 * for ever, lie there all the same. */
static void begin(struct run *run, const struct ing_files *files) {
    const struct ing_replay_config *config = run->config;
    const struct kn_clock *machine = kn_clock_system();
    ing_loss_init(&run->loss, config->faults.loss, config->faults.seed);
    run->flap_at_ns = config->faults.flap_ns;
    run->progress.files = files->count;
    run->clock = config->clock != NULL ? ing_clock_face(config->clock) : machine;
    if (config->clock != NULL) {
        run->start = ing_clock_start(config->clock);
    } else {
        int64_t earlier_ns = config->paced ? 0 : measure(run, files);
        int64_t now_ns = machine->wall(machine).ns;
        run->start.ns = earlier_ns < now_ns ? now_ns - earlier_ns : now_ns;
    }
    run->began = machine->mono(machine);
}

static int conclude(const struct run *run, const struct ing_files *files) {
    struct ing_replay_result *result = run->result;
    result->duration_ns = run->end_at_ns;
    result->stopped = is_stopped(run);
    if (result->files > 0 || result->stopped) {
        return 0;
    }
    /* Of one file alone, what the system said. */
    bool told = files->count == 1 && run->first_error < 0 && run->first_error > -4096;
    return told ? run->first_error : KN_E_MALFORMED;
}

int ing_replay_to(const struct ing_replay_config *config, const struct ing_sink *sink, void *user,
                  struct ing_replay_result *ret_result) {
    struct run run = {.config = config, .sink = sink, .user = user, .result = ret_result};
    struct ing_files files = {0};
    *ret_result = (struct ing_replay_result){0};
    av_log_set_level(AV_LOG_QUIET); /* what it would print, the result's `problem` says */
    int rc = ing_files_list(config->path, &files);
    if (rc != 0) {
        note_problem(&run, config->path, kn_error_text(rc));
        return rc;
    }
    if (files.count == 0) {
        note_problem(&run, config->path, "no files in it");
    }
    begin(&run, &files);
    rc = play_loops(&run, &files);
    close_session(&run, cause_of_end(&run));
    int concluded = conclude(&run, &files);
    ing_files_finish(&files);
    return rc < 0 ? rc : concluded;
}
