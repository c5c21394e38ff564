#include "commands/command.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/path.h"
#include "commands/stop.h"
#include "commands/streams.h"
#include "commands/tell.h"
#include "fragments/fragments.h"
#include "playback/playback.h"

static void show_export(const struct play_export_progress *progress, void *user) {
    (void)user;
    char at[KN_WALL_TEXT_BYTES];
    fprintf(stderr, "\r%" PRIu64 " fragments, %" PRIu64 " MB, %s\033[K", progress->fragments,
            progress->bytes / 1000000, kn_wall_format(progress->at, at));
}

static int explain_export(const struct play_export_config *config, int rc,
                          const struct play_export_result *result) {
    const char *name = frag_stream_name(config->stream);
    if (result->exists) {
        fprintf(stderr, "kinora: %s exists already; %s\n", cmd_plain(config->path),
                result->note[0] == '\0' ? "--force replaces it" : result->note);
        return EXIT_FAILED;
    }
    if (result->about_new) {
        return cmd_refused(config->path, rc);
    }
    if (rc == -ENOENT) {
        fprintf(
            stderr,
            "kinora: nothing of %s is stored there%s; kinora fragments %s lists what there is\n",
            name, result->left_out > 0 ? " but what is damaged" : "", name);
        return result->left_out > 0 ? EXIT_FINDINGS : EXIT_FAILED;
    }
    if (rc == -ECANCELED) {
        fprintf(stderr, "kinora: stopped, nothing was written\n");
        return EXIT_FAILED;
    }
    if (rc == KN_E_UNSUPPORTED) {
        fprintf(stderr, "kinora: nothing of %s goes into this format. %s\n", name,
                cmd_plain(result->note));
        return EXIT_FINDINGS;
    }
    return cmd_refused(name, rc);
}

static int tell_export(const struct play_export_config *config,
                       const struct play_export_result *result) {
    char from[KN_WALL_TEXT_BYTES], to[KN_WALL_TEXT_BYTES];
    printf("%s: %" PRIu64 " fragment%s, %" PRIu64 " frames, %" PRIu64 " bytes, %s to %s\n",
           cmd_plain(config->path), result->fragments, cmd_plural(result->fragments),
           result->samples, result->bytes, kn_wall_format(result->from, from),
           kn_wall_format(result->to, to));
    if (result->note[0] != '\0') {
        fprintf(stderr, "kinora: %s\n", cmd_plain(result->note));
    }
    if (result->left_out > 0) {
        fprintf(stderr,
                "kinora: %" PRIu64 " fragment%s damaged or gone: the file has a hole there\n",
                result->left_out, result->left_out == 1 ? " is" : "s are");
    }
    bool whole = result->left_out == 0 && result->left_out_samples == 0 && result->ended_at.ns == 0;
    return whole ? EXIT_FINE : EXIT_FINDINGS;
}

/* With --force it would replace what is recorded. A path that cannot be found, the export tells. */
static bool is_in_store(struct frag_store *store, const char *path) {
    char absolute[PATH_MAX];
    if (kn_path_absolute(path, absolute) != 0 || !frag_store_holds(store, absolute)) {
        return false;
    }
    fprintf(stderr,
            "kinora: %s lies in a directory of the store, where only its own files are: "
            "name a place outside\n",
            cmd_plain(path));
    return true;
}

static int work_export(const struct cmd_arguments *arguments, struct frag_store *store) {
    struct frag_stream *stream = cmd_find_stream(store, arguments->operands[0]);
    if (stream == NULL || is_in_store(store, arguments->output)) {
        return EXIT_FAILED;
    }
    cmd_stop_on_signals();
    struct play_export_config config = {
        .stream = stream,
        .clock = arguments->clock,
        .from = arguments->from,
        .to = arguments->to,
        .format = arguments->format,
        .path = arguments->output,
        .replace = cmd_given(arguments, OPT_FORCE),
        .stop = &cmd_stopping,
        .handle_progress = isatty(STDERR_FILENO) == 1 ? show_export : NULL,
    };
    struct play_export_result result = {0};
    int rc = frag_archive_open(store, &config.archive);
    if (rc == 0) {
        rc = play_export_run(&config, &result);
        cmd_clear_progress();
    }
    int code = rc == 0 ? tell_export(&config, &result) : explain_export(&config, rc, &result);
    frag_archive_close(config.archive);
    return code;
}

const struct cmd_command cmd_export = {
    .name = "export",
    .usage = "STREAM --from TIME --to TIME -o FILE [OPTION]...",
    .summary = "Write a range of a stream to a Matroska or MP4 file.",
    .help = "Whole fragments, from the one in which --from lies to the last one that begins by\n"
            "--to; nothing is coded again, and holes stay holes. The file appears when it is\n"
            "complete. Where the codec setup changes, it ends and says so, and so it does of a\n"
            "track that MP4 cannot carry (exit code 1).\n\n",
    .options = WITH_STORE | WITH(FROM) | WITH(TO) | WITH(CLOCK) | WITH(OUTPUT) | WITH(FORCE),
    .required = WITH(FROM) | WITH(TO) | WITH(OUTPUT),
    .operands_min = 1,
    .operands_max = 1,
    .work = work_export,
    .mode = FRAG_STORE_READ,
    .findings = "something was left out, as told; the rest was written",
};
