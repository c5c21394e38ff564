#include "commands/command.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/error.h"
#include "base/text.h"
#include "commands/place.h"
#include "commands/stop.h"
#include "commands/tell.h"
#include "fragments/fragments.h"
#include "ingest/ingest.h"

static void show_replay(const struct ing_replay_progress *progress, void *user) {
    (void)user;
    const char *name = strrchr(progress->path, '/');
    fprintf(stderr, "\r%s: %.1f s", cmd_plain(name == NULL ? progress->path : name + 1),
            (double)progress->done_ns / 1e9);
    if (progress->all_ns > 0) {
        fprintf(stderr, " of %.1f s", (double)progress->all_ns / 1e9);
    }
    (void)fputs("\033[K", stderr);
}

/* `user`: the list of them for --json. */
static void tell_left_out(const struct ing_left_out *left_out, void *user) {
    cmd_clear_progress();
    fprintf(stderr, "kinora: %s: ", cmd_plain(left_out->path));
    fprintf(stderr, "track %u (%s, %s) is left out: such tracks are not recorded\n",
            left_out->track, left_out->media, cmd_plain(left_out->codec));
    char path[PATH_MAX];
    json_t *told = json_pack(
        "{s:s, s:I, s:s, s:s}", "file", kn_text_plain(left_out->path, SIZE_MAX, path, sizeof(path)),
        "track", (json_int_t)left_out->track, "media", left_out->media, "codec", left_out->codec);
    (void)json_array_append_new(user, told); /* without memory it was told above all the same */
}

static void change_settings(const struct cmd_arguments *arguments,
                            struct frag_stream_settings *settings) {
    if (cmd_given(arguments, OPT_RETENTION)) {
        settings->retention_ns = arguments->retention_ns;
    }
    if (cmd_given(arguments, OPT_RETENTION_BYTES)) {
        settings->retention_bytes = arguments->retention_bytes;
    }
    if (cmd_given(arguments, OPT_TARGET)) {
        settings->target_ns = arguments->target_ns;
    }
}

static int update_stream(const struct cmd_arguments *arguments, struct frag_stream *stream) {
    const uint64_t settings = WITH(RETENTION) | WITH(RETENTION_BYTES) | WITH(TARGET);
    if ((arguments->given & settings) == 0) {
        return 0;
    }
    struct frag_stream_info *info = malloc(sizeof(*info));
    int rc = info == NULL ? -ENOMEM : frag_stream_describe(stream, info);
    if (rc == 0) {
        change_settings(arguments, &info->settings);
        rc = frag_stream_update(stream, NULL, &info->settings);
    }
    free(info);
    return rc;
}

/* NULL: it could not be had, which it has said. */
static struct frag_stream *prepare_stream(const struct cmd_arguments *arguments,
                                          struct frag_store *store) {
    struct frag_stream *stream = frag_stream_find(store, arguments->stream);
    int rc;
    if (stream != NULL) {
        rc = update_stream(arguments, stream);
    } else {
        struct frag_stream_settings settings = frag_stream_settings_defaults();
        settings.retention_ns = FRAG_RETAIN_FOREVER;
        change_settings(arguments, &settings);
        rc = frag_stream_create(store, arguments->stream, &settings, NULL, 0, &stream);
    }
    if (rc == -EINVAL) {
        fprintf(stderr,
                "kinora: '%s' cannot be a stream's name: it has 1 to 256 of A-Z a-z 0-9 . _ -, but "
                ". and ..\n",
                cmd_plain(arguments->stream));
    } else if (rc != 0) {
        (void)cmd_refused(arguments->stream, rc);
    }
    return rc == 0 ? stream : NULL;
}

/* A clock that is ahead would make retention delete what is young. */
static bool may_start(const struct cmd_arguments *arguments, struct frag_store *store) {
    bool ages = false;
    struct frag_stream_info *info = malloc(sizeof(*info));
    struct frag_stream *stream = frag_stream_next(store, NULL);
    for (; stream != NULL && info != NULL; stream = frag_stream_next(store, info->name)) {
        if (frag_stream_describe(stream, info) != 0) {
            break; /* nobody else deletes streams meanwhile */
        }
        ages = ages || (info->settings.retention_ns != FRAG_RETAIN_FOREVER &&
                        info->settings.retention_ns > 0);
    }
    bool fine = info != NULL && (!ages || arguments->start.ns <= arguments->now.ns);
    free(info);
    if (!fine) {
        fprintf(stderr, "kinora: --start lies in the future, and this store has streams that are "
                        "kept by age: they would lose what is not old yet\n");
    }
    return fine;
}

static int print_replay_json(const struct cmd_arguments *arguments,
                             const struct ing_replay_result *result, json_t *left_out) {
    json_t *told =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:b, s:o}", "stream",
                  arguments->stream, "fragments", (json_int_t)result->fragments, "durable",
                  (json_int_t)result->durable, "samples", (json_int_t)result->samples, "bytes",
                  (json_int_t)result->bytes, "lost_samples", (json_int_t)result->lost_samples,
                  "unstored_samples", (json_int_t)result->unstored_samples, "files",
                  (json_int_t)result->files, "skipped_files", (json_int_t)result->skipped_files,
                  "duration_ms", (json_int_t)(result->duration_ns / KN_NS_PER_MS),
                  "left_out_tracks", left_out, "stopped", result->stopped, "problem",
                  result->problem[0] == '\0' ? json_null() : json_string(result->problem));
    if (told == NULL) {
        return cmd_refused("standard output", -ENOMEM);
    }
    (void)json_dumpf(told, stdout, JSON_COMPACT | JSON_ENSURE_ASCII); /* ferror tells */
    json_decref(told);
    printf("\n");
    return EXIT_FINE;
}

static void print_replay(const struct cmd_arguments *arguments,
                         const struct ing_replay_result *result) {
    printf("%s: %" PRIu64 " fragment%s, %" PRIu64 " frames, %" PRIu64 " bytes, %.3f s of video",
           cmd_plain(arguments->stream), result->durable, cmd_plural(result->durable),
           result->samples, result->bytes, (double)result->duration_ns / 1e9);
    printf(" from %" PRIu64 " file%s", result->files, cmd_plural(result->files));
    if (result->lost_samples > 0) {
        printf("; %" PRIu64 " frames lost by --fault", result->lost_samples);
    }
    if (result->unstored_samples > 0) {
        printf("; %" PRIu64 " frames not stored", result->unstored_samples);
    }
    printf("%s\n", result->stopped ? "; stopped" : "");
}

static bool keeps_nothing(struct frag_stream *stream) {
    struct frag_stream_info *info = malloc(sizeof(*info));
    bool nothing =
        info != NULL && frag_stream_describe(stream, info) == 0 && info->settings.retention_ns == 0;
    free(info);
    return nothing;
}

/* What was recorded, and what was not. */
static int tell_replay(const struct cmd_arguments *arguments, struct frag_stream *stream,
                       const struct ing_replay_result *result, json_t *left_out) {
    int code = EXIT_FINE;
    if (cmd_given(arguments, OPT_JSON)) {
        code = print_replay_json(arguments, result, left_out);
    } else {
        print_replay(arguments, result);
    }
    if (keeps_nothing(stream)) {
        fprintf(stderr, "kinora: nothing of it is kept on disk: the retention of %s is 0\n",
                cmd_plain(arguments->stream));
    }
    if (result->problem[0] != '\0') {
        fprintf(stderr, "kinora: %s\n", cmd_plain(result->problem));
        code = code == EXIT_FINE ? EXIT_FINDINGS : code;
    }
    bool full = frag_store_stats(frag_stream_store(stream)).health == FRAG_STORE_DISK_FULL;
    if (full || result->durable < result->fragments) {
        fprintf(stderr, "kinora: not all of it is stored (fragments that are not: %" PRIu64 ")%s\n",
                result->fragments - result->durable,
                full ? ": the disk is full, or has less free space than --min-free says" : "");
        code = EXIT_FAILED;
    }
    return code;
}

static int replay_into(const struct cmd_arguments *arguments, struct frag_store *store,
                       struct ing_clock *clock) {
    struct frag_stream *stream = NULL;
    if (clock == NULL || may_start(arguments, store)) {
        stream = prepare_stream(arguments, store);
    }
    if (stream == NULL) {
        return EXIT_FAILED;
    }
    json_t *left_out = json_array();
    if (left_out == NULL) {
        return cmd_refused(arguments->operands[0], -ENOMEM);
    }
    struct ing_replay_result result;
    const struct ing_replay_config config = {
        .stream = stream,
        .path = arguments->operands[0],
        .clock = clock,
        .paced = cmd_given(arguments, OPT_RATE) ? arguments->paced : clock == NULL,
        .loops = arguments->loops,
        .faults = arguments->faults,
        .stop = &cmd_stopping,
        .handle_progress = isatty(STDERR_FILENO) == 1 ? show_replay : NULL,
        .handle_left_out = tell_left_out,
        .user = left_out,
    };
    int rc = ing_replay_run(&config, &result);
    cmd_clear_progress();
    int code = rc == 0 ? tell_replay(arguments, stream, &result, left_out) : EXIT_FAILED;
    json_decref(left_out);
    if (rc == 0) {
        return code;
    }
    if (result.problem[0] == '\0') {
        return cmd_refused(config.path, rc);
    }
    fprintf(stderr, "kinora: %s\n", cmd_plain(result.problem));
    return rc == KN_E_MALFORMED ? EXIT_FINDINGS : EXIT_FAILED;
}

static int run_replay(const struct cmd_arguments *arguments) {
    struct cmd_place place;
    struct frag_store *store = NULL;
    struct ing_clock *clock = NULL;
    if (access(arguments->operands[0], R_OK) != 0) {
        return cmd_refused(arguments->operands[0], -errno); /* before a store is made for nothing */
    }
    cmd_stop_on_signals();
    int rc = cmd_place_find(arguments, FRAG_STORE_WRITE, &place);
    if (rc == 0 && cmd_given(arguments, OPT_START)) {
        rc = ing_clock_create(arguments->start, &clock);
        if (rc == 0) {
            place.config.clock = ing_clock_face(clock);
            place.config.threads = false;
            place.config.seed = arguments->faults.seed;
        } else {
            (void)cmd_refused(arguments->operands[0], rc);
        }
    }
    if (rc == 0) {
        rc = cmd_place_open(&place, &store);
    }
    int code = rc == 0 ? replay_into(arguments, store, clock) : EXIT_FAILED;
    frag_store_close(store);
    ing_clock_destroy(clock);
    cmd_place_finish(&place);
    return code;
}

const struct cmd_command cmd_replay = {
    .name = "replay",
    .usage = "FILE|DIR --stream NAME [OPTION]...",
    .summary = "Record files into a stream, as if they came from a camera.",
    .help = "Opens what ffmpeg's libraries open and records H.264, H.265, AV1, VP8, VP9, MJPEG,\n"
            "AAC, Opus and PCM as they are. It happens now and at the pace of the video, as with\n"
            "a camera. With --start it happens then, as fast as can be, and the same input and\n"
            "options make the same bytes in a new store. --rate chooses the pace in both cases;\n"
            "--rate max without --start ends now. A new stream keeps its video for ever unless\n"
            "--retention says otherwise; one that is there keeps its settings unless told.\n"
            "Ctrl-C ends it cleanly.\n\n"
            "  FILE|DIR               a video file, or a directory: its files by name\n",
    .options = WITH_STORE | WITH(STREAM) | WITH(START) | WITH(RATE) | WITH(LOOP) | WITH(FAULT) |
               WITH(RETENTION) | WITH(RETENTION_BYTES) | WITH(TARGET) | WITH(STORAGE) |
               WITH(MIN_FREE) | WITH(JSON),
    .required = WITH(STREAM),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_replay,
};
