#include "commands/command.h"

#include "commands/streams.h"
#include "fragments/fragments.h"

static int work_streams(const struct cmd_arguments *arguments, struct frag_store *store) {
    return cmd_listed(arguments,
                      frag_report_streams(store, cmd_given(arguments, OPT_JSON), stdout));
}

static int work_fragments(const struct cmd_arguments *arguments, struct frag_store *store) {
    struct frag_stream *stream = cmd_find_stream(store, arguments->operands[0]);
    struct frag_archive *archive = NULL;
    if (stream == NULL) {
        return EXIT_FAILED;
    }
    int rc = frag_archive_open(store, &archive);
    if (rc == 0) {
        rc = frag_report_fragments(archive, stream, arguments->clock, arguments->from,
                                   arguments->to, cmd_given(arguments, OPT_JSON), stdout);
    }
    frag_archive_close(archive);
    return cmd_listed(arguments, rc);
}

static int work_gaps(const struct cmd_arguments *arguments, struct frag_store *store) {
    struct frag_stream *stream = NULL;
    if (arguments->operand_count > 0) {
        stream = cmd_find_stream(store, arguments->operands[0]);
        if (stream == NULL) {
            return EXIT_FAILED;
        }
    }
    return cmd_listed(arguments, frag_report_gaps(store, stream, arguments->from, arguments->to,
                                                  cmd_given(arguments, OPT_JSON), stdout));
}

const struct cmd_command cmd_streams = {
    .name = "streams",
    .usage = "[--json] [--data DIR]",
    .summary = "List the streams of a store.",
    .help = "",
    .options = WITH_STORE | WITH(JSON),
    .work = work_streams,
    .mode = FRAG_STORE_READ,
};

const struct cmd_command cmd_fragments = {
    .name = "fragments",
    .usage = "STREAM [--from TIME] [--to TIME] [OPTION]...",
    .summary = "List the fragments of a stream.",
    .help = "Those that begin from --from to --to, both ends in.\n\n",
    .options = WITH_STORE | WITH(FROM) | WITH(TO) | WITH(CLOCK) | WITH(JSON),
    .operands_min = 1,
    .operands_max = 1,
    .work = work_fragments,
    .mode = FRAG_STORE_READ,
};

const struct cmd_command cmd_gaps = {
    .name = "gaps",
    .usage = "[STREAM] [--from TIME] [--to TIME] [OPTION]...",
    .summary = "List the intervals that have no video, and why.",
    .help = "Those that touch --from to --to, by our clock; of all streams where none is "
            "named.\n\n",
    .options = WITH_STORE | WITH(FROM) | WITH(TO) | WITH(JSON),
    .operands_max = 1,
    .work = work_gaps,
    .mode = FRAG_STORE_READ,
};
