/* kinora: the command line. The only file that sees every face. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/error.h"
#include "base/log.h"
#include "base/options.h"
#include "base/path.h"
#include "base/quantity.h"
#include "base/text.h"
#include "fragments/fragments.h"
#include "ingest/ingest.h"
#include "playback/playback.h"

/* Documented in every --help; scripts build on them. */
enum exit_code {
    EXIT_FINE = 0,
    EXIT_FINDINGS = 1, /* the input is damaged or not whole; what could be done was done */
    EXIT_USAGE = 2,
    EXIT_FAILED = 3 /* the machine said no: a file missing, a disk full, no memory */
};

#define EXIT_CODES_HELP                                                                            \
    "\nExit codes: 0 all went well; 1 the input is damaged or not whole (what could be done was\n" \
    "done), or check found something; 2 wrong usage; 3 refused (no such file or stream, a file\n"  \
    "in the way, another program writing, disk full, no memory).\n"

#define DATA_DEFAULT "kinora-data"
#define STORAGE_MAX 32u
#define OPERANDS_MAX 2u
#define NAMES_NEAR_MAX 5u

/* ---- options ---- */

enum option_id {
    OPT_JSON,
    OPT_FRAMES,
    OPT_FORCE,
    OPT_DATA,
    OPT_STREAM,
    OPT_FROM,
    OPT_TO,
    OPT_CLOCK,
    OPT_OUTPUT,
    OPT_START,
    OPT_RATE,
    OPT_LOOP,
    OPT_FAULT,
    OPT_RETENTION,
    OPT_RETENTION_BYTES,
    OPT_TARGET,
    OPT_STORAGE,
    OPT_MIN_FREE,
    OPT_UNTIL,
    OPT_REASON,
    OPT_CONFIRM_CLOCK,
    OPT_VERBOSE,
    OPT_HELP,
    OPTION_COUNT
};

#define WITH(option) (UINT32_C(1) << OPT_##option)
/* Every command that opens a store. */
#define WITH_STORE (WITH(DATA) | WITH(VERBOSE))

struct command;

/* What the command line says. */
struct arguments {
    const struct command *command;
    const char *operands[OPERANDS_MAX];
    size_t operand_count;
    uint32_t given; /* options, as WITH() */
    struct kn_wall now;

    const char *data, *stream, *output, *reason;
    enum play_format format; /* of output */
    const char *storage[STORAGE_MAX];
    size_t storage_count;
    struct kn_wall from, to, start, until;
    enum frag_clock clock;
    bool paced;
    uint64_t loops;
    struct ing_faults faults;
    int64_t retention_ns, target_ns;
    uint64_t retention_bytes, min_free_bytes;
};

struct command {
    const char *name;
    const char *usage; /* what stands behind the name */
    const char *summary;
    const char *help; /* behind usage and summary, before the options */
    uint32_t options, required;
    size_t operands_min, operands_max;
    /* One of both; their answer is the exit code. `work` gets the store opened, as `mode` says. */
    int (*run)(const struct arguments *arguments);
    int (*work)(const struct arguments *arguments, struct frag_store *store);
    enum frag_store_mode mode;
};

/* ---- values of options: into the member of struct arguments at `at` ---- */

static bool take_text(void *user, size_t at, const char *value) {
    *(const char **)((char *)user + at) = value;
    return value[0] != '\0';
}

static bool take_time(void *user, size_t at, const char *value) {
    const struct arguments *arguments = user;
    return kn_when_parse(value, arguments->now, (struct kn_wall *)((char *)user + at)) == 0;
}

static bool take_size(void *user, size_t at, const char *value) {
    return kn_size_parse(value, (uint64_t *)((char *)user + at)) == 0;
}

/* A time, or how far ahead it is. */
static bool take_until(void *user, size_t at, const char *value) {
    struct arguments *arguments = user;
    int64_t ahead_ns;
    if (kn_duration_parse(value, &ahead_ns) < 0) {
        return take_time(user, at, value);
    }
    return !__builtin_add_overflow(arguments->now.ns, ahead_ns, &arguments->until.ns);
}

static bool take_clock(void *user, size_t at, const char *value) {
    struct arguments *arguments = user;
    (void)at;
    bool server = strcmp(value, "server") == 0;
    arguments->clock = server ? FRAG_CLOCK_SERVER : FRAG_CLOCK_PRODUCER;
    return server || strcmp(value, "producer") == 0;
}

static bool take_rate(void *user, size_t at, const char *value) {
    struct arguments *arguments = user;
    (void)at;
    arguments->paced = strcmp(value, "1") == 0;
    return arguments->paced || strcmp(value, "max") == 0;
}

static bool take_loops(void *user, size_t at, const char *value) {
    struct arguments *arguments = user;
    uint32_t part;
    (void)at;
    size_t used = kn_decimal_read(value, strlen(value), &arguments->loops, &part);
    return used > 0 && used == strspn(value, "0123456789") && value[used] == '\0';
}

static bool take_fault(void *user, size_t at, const char *value) {
    struct arguments *arguments = user;
    (void)at;
    return ing_faults_parse(value, &arguments->faults) == 0;
}

static bool take_retention(void *user, size_t at, const char *value) {
    struct arguments *arguments = user;
    (void)at;
    arguments->retention_ns = FRAG_RETAIN_FOREVER;
    return strcmp(value, "forever") == 0 || kn_duration_parse(value, &arguments->retention_ns) == 0;
}

static bool take_target(void *user, size_t at, const char *value) {
    struct arguments *arguments = user;
    (void)at;
    return kn_duration_parse(value, &arguments->target_ns) == 0 &&
           arguments->target_ns >= KN_NS_PER_S && arguments->target_ns <= 20 * KN_NS_PER_S;
}

static bool take_storage(void *user, size_t at, const char *value) {
    struct arguments *arguments = user;
    (void)at;
    if (arguments->storage_count == STORAGE_MAX || value[0] == '\0') {
        return false;
    }
    arguments->storage[arguments->storage_count++] = value;
    return true;
}

static bool take_output(void *user, size_t at, const char *value) {
    struct arguments *arguments = user;
    const char *end = strrchr(value, '.');
    bool mkv = end != NULL && strcasecmp(end, ".mkv") == 0;
    arguments->format = mkv ? PLAY_MKV : PLAY_MP4;
    return take_text(user, at, value) && (mkv || (end != NULL && strcasecmp(end, ".mp4") == 0));
}

/* The journal takes no other texts. */
static bool take_reason(void *user, size_t at, const char *value) {
    char plain[FRAG_HOLD_REASON_BYTES];
    return take_text(user, at, value) && strlen(value) < FRAG_HOLD_REASON_BYTES &&
           strcmp(kn_text_plain(value, SIZE_MAX, plain, sizeof(plain)), value) == 0;
}

#define A_TIME "a time: 2026-11-20T21:23:40Z, seconds since 1970, now or -10m"

#define AT(member) offsetof(struct arguments, member)

static const struct kn_option option_rows[OPTION_COUNT] = {
    [OPT_JSON] = {"json", 0, NULL, "print JSON", NULL, 0, NULL},
    [OPT_FRAMES] = {"frames", 0, NULL, "list every frame too", NULL, 0, NULL},
    [OPT_FORCE] = {"force", 0, NULL, "replace the new file if it is there already", NULL, 0, NULL},
    [OPT_DATA] = {"data", 0, "DIR", "the store's main directory; default: ./" DATA_DEFAULT,
                  take_text, AT(data), "a directory"},
    [OPT_STREAM] = {"stream", 0, "NAME", "the stream to record into; made if it is not there",
                    take_text, AT(stream), "a name"},
    [OPT_FROM] = {"from", 0, "TIME", "2026-11-20T21:23:40Z, seconds since 1970, now or -10m",
                  take_time, AT(from), A_TIME},
    [OPT_TO] = {"to", 0, "TIME", "likewise", take_time, AT(to), A_TIME},
    [OPT_CLOCK] = {"clock", 0, "CLOCK", "producer (default): the source's times; server: ours",
                   take_clock, 0, "producer or server"},
    [OPT_OUTPUT] = {"output", 'o', "FILE", "the new file, .mkv or .mp4; -o for short", take_output,
                    AT(output), "a name that ends in .mkv or .mp4"},
    [OPT_START] = {"start", 0, "TIME", "replay as if it were then; the same input, the same bytes",
                   take_time, AT(start), A_TIME},
    [OPT_RATE] = {"rate", 0, "RATE", "1: as fast as the video is; max: as fast as can be",
                  take_rate, 0, "1 or max"},
    [OPT_LOOP] = {"loop", 0, "N", "replay N times; 0: until stopped; default: 1", take_loops, 0,
                  "a number of times"},
    [OPT_FAULT] = {"fault", 0, "SPEC", "loss=2%, jump=-9800s@30s, flap=10s, truncate@N, seed=7",
                   take_fault, 0,
                   "loss=2%, jump=-9800s@30s, flap=10s, truncate@N or seed=7, with commas between"},
    [OPT_RETENTION] = {"retention", 0, "DURATION",
                       "keep so long: 7d, 12h, forever; 0: nothing on disk", take_retention, 0,
                       "a duration such as 7d or 12h, forever, or 0"},
    [OPT_RETENTION_BYTES] = {"retention-bytes", 0, "SIZE",
                             "keep at most so much: 500M, 5G; 0: no limit", take_size,
                             AT(retention_bytes), "a size in bytes, or such as 500M or 5G"},
    [OPT_TARGET] = {"target", 0, "DURATION", "length of fragments aimed at, 1s to 20s; default: 2s",
                    take_target, 0, "a duration from 1s to 20s"},
    [OPT_STORAGE] = {"storage", 0, "DIR", "add a storage directory; several times for several",
                     take_storage, 0, "a directory, at most 32 of them"},
    [OPT_MIN_FREE] = {"min-free", 0, "SIZE",
                      "keep so much of each disk free: the oldest goes; default: 5G or 5 %",
                      take_size, AT(min_free_bytes), "a size in bytes, or such as 500M or 5G"},
    [OPT_UNTIL] = {"until", 0, "WHEN", "how far to look: 24h (default), 7d, or a time", take_until,
                   AT(until), "a duration such as 24h, or " A_TIME},
    [OPT_REASON] = {"reason", 0, "TEXT", "why, for who finds the hold later; at most 256 bytes",
                    take_reason, AT(reason), "a text of 1 to 256 bytes without control characters"},
    [OPT_CONFIRM_CLOCK] = {"confirm-clock", 0, NULL,
                           "you looked, and the clock is right: delete by age in spite of doubt",
                           NULL, 0, NULL},
    [OPT_VERBOSE] = {"verbose", 0, NULL, "tell on standard error what the store does", NULL, 0,
                     NULL},
    [OPT_HELP] = {"help", 'h', NULL, "this text", NULL, 0, NULL},
};

static bool given(const struct arguments *arguments, enum option_id option) {
    return (arguments->given & UINT32_C(1) << option) != 0;
}

/* ---- words ---- */

static struct kn_options options_of(const struct command *command) {
    return (struct kn_options){
        .rows = option_rows, .count = OPTION_COUNT, .set = command->options | WITH(HELP)};
}

static void print_usage(const struct command *command, FILE *out) {
    fprintf(out, "Usage: kinora %s%s%s\n", command->name, command->usage[0] == '\0' ? "" : " ",
            command->usage);
}

static int print_help(const struct command *command) {
    const struct kn_options options = options_of(command);
    print_usage(command, stdout);
    printf("\n%s\n\n%s", command->summary, command->help);
    kn_options_print(&options, stdout);
    printf("%s", EXIT_CODES_HELP);
    return EXIT_FINE;
}

static int wrong_usage(const struct command *command) {
    print_usage(command, stderr);
    fprintf(stderr, "Try: kinora %s --help\n", command->name);
    return EXIT_USAGE;
}

/* A name from the command line or an error text, for a terminal. */
static const char *plain(const char *text) {
    static char room[PATH_MAX];
    return kn_text_plain(text, SIZE_MAX, room, sizeof(room));
}

/* Beside a table on the same terminal it would stand in the lines. */
static bool shows_progress(void) {
    return isatty(STDERR_FILENO) == 1 && isatty(STDOUT_FILENO) != 1;
}

static int refused(const char *what, int error) {
    fprintf(stderr, "kinora: %s: %s\n", plain(what), kn_error_text(error));
    return EXIT_FAILED;
}

static void clear_progress(void) {
    if (isatty(STDERR_FILENO) == 1) {
        (void)fputs("\r\033[K", stderr);
    }
}

static const char *plural(uint64_t count) {
    return count == 1 ? "" : "s";
}

/* ---- a store ---- */

/* Where it is and how it is opened. */
struct place {
    struct frag_store_config config;
    char data[PATH_MAX];
    char *storage[STORAGE_MAX]; /* its own */
};

static void place_finish(struct place *place) {
    for (size_t i = 0; i < place->config.folder_count; i++) {
        free(place->storage[i]);
    }
}

/* 0, or it has said what was wrong. place_finish it either way. */
static int find_place(const struct arguments *arguments, enum frag_store_mode mode,
                      struct place *ret_place) {
    struct frag_store_config *config = &ret_place->config;
    *config = frag_store_config_defaults();
    config->data = ret_place->data;
    config->folders = (const char *const *)ret_place->storage;
    config->mode = mode;
    config->min_free_bytes = arguments->min_free_bytes;
    config->clock_confirmed = given(arguments, OPT_CONFIRM_CLOCK);
    const char *path = arguments->data;
    int rc = kn_path_absolute(path, ret_place->data);
    for (size_t i = 0; i < arguments->storage_count && rc == 0; i++) {
        char room[PATH_MAX];
        path = arguments->storage[i];
        rc = kn_path_absolute(path, room);
        if (rc == 0) {
            ret_place->storage[i] = strdup(room);
            rc = ret_place->storage[i] == NULL ? -ENOMEM : 0;
            config->folder_count++;
        }
    }
    if (rc != 0) {
        (void)refused(path, rc);
    }
    return rc;
}

static void tell_refused(const struct place *place, const struct frag_store_opening *opening,
                         int rc) {
    if (opening->problem[0] == '\0') {
        (void)refused(place->data, rc);
        return;
    }
    fprintf(stderr, "kinora: %s%s\n", plain(opening->problem),
            rc == -ENOENT && place->config.mode == FRAG_STORE_READ
                ? "; --data names another directory, kinora replay makes a store"
                : "");
}

/* One sentence, where there is anything to say. */
static void tell_opening(const struct place *place, const struct frag_store_opening *opening) {
    char text[FRAG_REPORT_OPENING_BYTES];
    if (frag_report_opening(opening, place->data, text)[0] != '\0') {
        fprintf(stderr, "kinora: %s.\n", text);
    }
}

/* 0, or it has said what was wrong. */
static int open_place(const struct place *place, struct frag_store **ret_store) {
    struct frag_store_opening opening = {0};
    int rc = frag_store_open(&place->config, ret_store, &opening);
    if (rc != 0) {
        tell_refused(place, &opening, rc);
        return rc;
    }
    tell_opening(place, &opening);
    return 0;
}

/* Without threads: nothing else goes on in the store meanwhile, retention least of all. */
static int work_on_store(const struct arguments *arguments) {
    const struct command *command = arguments->command;
    struct place place;
    struct frag_store *store = NULL;
    int rc = find_place(arguments, command->mode, &place);
    if (rc == 0) {
        place.config.threads = false;
        rc = open_place(&place, &store);
    }
    int code = rc == 0 ? command->work(arguments, store) : EXIT_FAILED;
    frag_store_close(store);
    place_finish(&place);
    return code;
}

/* ---- the command line ---- */

/* Says what is missing. */
static bool has_all_required(const struct arguments *arguments) {
    for (int i = 0; i < OPTION_COUNT; i++) {
        if ((arguments->command->required & ~arguments->given & UINT32_C(1) << i) != 0) {
            fprintf(stderr, "kinora %s: --%s %s is missing\n", arguments->command->name,
                    option_rows[i].name, option_rows[i].value);
            return false;
        }
    }
    if (arguments->from.ns > arguments->to.ns) {
        fprintf(stderr, "kinora %s: --from is later than --to\n", arguments->command->name);
        return false;
    }
    return true;
}

static int run_with(const struct command *command, int argc, char **argv) {
    const struct kn_clock *clock = kn_clock_system();
    struct arguments arguments = {
        .command = command,
        .now = clock->wall(clock),
        .data = DATA_DEFAULT,
        .from = {INT64_MIN},
        .to = {INT64_MAX},
        .loops = 1,
        .faults = {.seed = 1},
        .min_free_bytes = FRAG_STORE_MIN_FREE_DEFAULT,
    };
    arguments.until.ns = arguments.now.ns + 86400 * KN_NS_PER_S;
    const struct kn_options options = options_of(command);
    int first = 0;
    if (kn_options_parse(&options, argc, argv, &arguments, &arguments.given, &first) < 0) {
        return wrong_usage(command);
    }
    if (given(&arguments, OPT_HELP)) {
        return print_help(command);
    }
    size_t operands = (size_t)(argc - first);
    if (operands < command->operands_min || operands > command->operands_max) {
        return wrong_usage(command);
    }
    for (size_t i = 0; i < operands; i++) {
        arguments.operands[arguments.operand_count++] = argv[(size_t)first + i];
    }
    if (!has_all_required(&arguments)) {
        return wrong_usage(command);
    }
    kn_log_set_level(given(&arguments, OPT_VERBOSE) ? KN_LOG_INFO : KN_LOG_WARN);
    return command->run != NULL ? command->run(&arguments) : work_on_store(&arguments);
}

/* ---- inspect ---- */

static int run_inspect(const struct arguments *arguments) {
    const char *path = arguments->operands[0];
    const struct frag_inspect_options options = {
        .json = given(arguments, OPT_JSON),
        .frames = given(arguments, OPT_FRAMES),
        .progress = shows_progress(),
    };
    enum frag_inspect_end end = FRAG_INSPECT_WHOLE;
    int rc = frag_inspect_file(path, &options, stdout, &end);
    switch (end) {
    case FRAG_INSPECT_WHOLE:
        return EXIT_FINE;
    case FRAG_INSPECT_DAMAGED:
        return EXIT_FINDINGS;
    case FRAG_INSPECT_UNREAD:
        return refused(path, rc);
    case FRAG_INSPECT_UNPRINTED:
        return refused("standard output", rc);
    }
    return EXIT_FAILED;
}

/* ---- rewrite ---- */

static void tell_damage(const char *from, const struct frag_rewrite_result *result) {
    if (result->error.fault == FRAG_MKV_NOT_MATROSKA) {
        fprintf(stderr, "kinora: %s is no Matroska file: ", plain(from));
        fprintf(stderr, "%s\n", plain(result->error.text));
        return;
    }
    fprintf(stderr, "kinora: %s is damaged ", plain(from));
    fprintf(stderr, "at byte %llu: %s. ", (unsigned long long)result->error.offset,
            plain(result->error.text));
    if (result->fragments > 0) {
        fprintf(stderr, "What stands before it was kept (fragments: %zu), nothing behind it.\n",
                result->fragments);
    } else {
        fprintf(stderr, "There is no whole fragment before it: nothing was written.\n");
    }
}

static int tell_refusal(const char *to, enum frag_rewrite_refusal refusal) {
    switch (refusal) {
    case FRAG_REWRITE_EXISTS:
        fprintf(stderr, "kinora: %s exists already; --force replaces it\n", plain(to));
        break;
    case FRAG_REWRITE_SAME:
        fprintf(stderr, "kinora: %s is the file that would be read: name another one\n", plain(to));
        break;
    case FRAG_REWRITE_NO_FILE:
        fprintf(stderr, "kinora: %s is there and no regular file: it is never replaced\n",
                plain(to));
        break;
    case FRAG_REWRITE_FINE:
        break;
    }
    return EXIT_FAILED;
}

/* What the contents of the old file forbid; NULL for anything else. */
static const char *content_problem(int rc) {
    switch (rc) {
    case KN_E_UNSUPPORTED:
        return "a track's parameter sets come behind its first fragment, and standard input "
               "cannot be read twice: give a file";
    case KN_E_LIMIT:
        return "it holds more tags in one place than are kept (65,536, or 16 MiB)";
    case -ERANGE:
        return "laced frames lie too far from their cluster to be written one by one";
    default:
        return NULL;
    }
}

static int explain_rewrite(const char *from, const char *to, int rc,
                           const struct frag_rewrite_result *result) {
    if (result->refusal != FRAG_REWRITE_FINE) {
        return tell_refusal(to, result->refusal);
    }
    if (rc == KN_E_TRUNCATED && result->error.fault == FRAG_MKV_FINE) {
        fprintf(stderr, "kinora: %s holds no fragment: nothing was written\n", plain(from));
        return EXIT_FINDINGS;
    }
    if (rc == KN_E_TRUNCATED) {
        tell_damage(from, result);
        return EXIT_FINDINGS;
    }
    const char *problem = result->about_new ? NULL : content_problem(rc);
    if (problem != NULL) {
        fprintf(stderr, "kinora: %s cannot be rewritten: %s\n", plain(from), problem);
        return EXIT_FINDINGS;
    }
    return refused(result->about_new ? to : from, rc);
}

static int run_rewrite(const struct arguments *arguments) {
    const char *from = arguments->operands[0];
    const char *to = arguments->operands[1];
    if (strcmp(to, "-") == 0) {
        fprintf(stderr,
                "kinora: a rewritten file is written in two passes: it cannot go to standard "
                "output\n");
        return EXIT_USAGE;
    }
    struct frag_rewrite_result result;
    int rc = frag_rewrite_file(from, to, given(arguments, OPT_FORCE), isatty(STDERR_FILENO) == 1,
                               &result);
    if (rc != 0) {
        return explain_rewrite(from, to, rc, &result);
    }
    printf("%s: %zu fragment%s, %zu frames, %llu bytes\n", plain(to), result.fragments,
           result.fragments == 1 ? "" : "s", result.samples, (unsigned long long)result.bytes);
    if (result.error.fault != FRAG_MKV_FINE) {
        tell_damage(from, &result);
        return EXIT_FINDINGS;
    }
    return EXIT_FINE;
}

/* ---- streams ---- */

/* What was listed, or why it was not. Whether it could be printed, the end of the program says. */
static int listed(const struct arguments *arguments, int rc) {
    if (rc == KN_E_MALFORMED) {
        fprintf(stderr, "kinora: the index of %s is damaged: kinora rebuild makes it again\n",
                plain(arguments->data));
        return EXIT_FAILED;
    }
    return rc == 0 ? EXIT_FINE : refused(arguments->data, rc);
}

static bool is_near(const char *a, const char *b) {
    return strcasestr(a, b) != NULL || strcasestr(b, a) != NULL || strncasecmp(a, b, 3) == 0;
}

/* NULL: there is none, which it has said. */
static struct frag_stream *find_stream(struct frag_store *store, const char *name) {
    struct frag_stream *stream = frag_stream_find(store, name);
    if (stream != NULL) {
        return stream;
    }
    fprintf(stderr, "kinora: there is no stream '%s'", plain(name));
    size_t near = 0;
    for (stream = frag_stream_next(store, NULL); stream != NULL && near < NAMES_NEAR_MAX;
         stream = frag_stream_next(store, frag_stream_name(stream))) {
        if (is_near(frag_stream_name(stream), name)) {
            fprintf(stderr, "%s%s", near++ == 0 ? "; there is " : ", ", frag_stream_name(stream));
        }
    }
    fprintf(stderr, "; kinora streams lists all\n");
    return NULL;
}

static int work_streams(const struct arguments *arguments, struct frag_store *store) {
    return listed(arguments, frag_report_streams(store, given(arguments, OPT_JSON), stdout));
}

static int work_fragments(const struct arguments *arguments, struct frag_store *store) {
    struct frag_stream *stream = find_stream(store, arguments->operands[0]);
    struct frag_archive *archive = NULL;
    if (stream == NULL) {
        return EXIT_FAILED;
    }
    int rc = frag_archive_open(store, &archive);
    if (rc == 0) {
        rc = frag_report_fragments(archive, stream, arguments->clock, arguments->from,
                                   arguments->to, given(arguments, OPT_JSON), stdout);
    }
    frag_archive_close(archive);
    return listed(arguments, rc);
}

static int work_gaps(const struct arguments *arguments, struct frag_store *store) {
    struct frag_stream *stream = NULL;
    if (arguments->operand_count > 0) {
        stream = find_stream(store, arguments->operands[0]);
        if (stream == NULL) {
            return EXIT_FAILED;
        }
    }
    return listed(arguments, frag_report_gaps(store, stream, arguments->from, arguments->to,
                                              given(arguments, OPT_JSON), stdout));
}

/* ---- replay ---- */

static atomic_bool stopping;

static void handle_signal(int number) {
    (void)number;
    atomic_store(&stopping, true);
}

/* The first one ends the work cleanly, a second one the program. */
static void stop_on_signals(void) {
    struct sigaction action = {.sa_handler = handle_signal, .sa_flags = (int)SA_RESETHAND};
    (void)sigaction(SIGINT, &action, NULL); /* cannot fail for these */
    (void)sigaction(SIGTERM, &action, NULL);
    struct sigaction before;
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
        (void)sigaction(SIGHUP, &action, NULL); /* else it runs under nohup */
    }
}

static void show_replay(const struct ing_replay_progress *progress, void *user) {
    (void)user;
    const char *name = strrchr(progress->path, '/');
    fprintf(stderr, "\r%s: %.1f s", plain(name == NULL ? progress->path : name + 1),
            (double)progress->done_ns / 1e9);
    if (progress->all_ns > 0) {
        fprintf(stderr, " of %.1f s", (double)progress->all_ns / 1e9);
    }
    (void)fputs("\033[K", stderr);
}

/* `user`: the list of them for --json. */
static void tell_left_out(const struct ing_left_out *left_out, void *user) {
    clear_progress();
    fprintf(stderr, "kinora: %s: ", plain(left_out->path));
    fprintf(stderr, "track %u (%s, %s) is left out: such tracks are not recorded\n",
            left_out->track, left_out->media, plain(left_out->codec));
    char path[PATH_MAX];
    json_t *told = json_pack(
        "{s:s, s:I, s:s, s:s}", "file", kn_text_plain(left_out->path, SIZE_MAX, path, sizeof(path)),
        "track", (json_int_t)left_out->track, "media", left_out->media, "codec", left_out->codec);
    (void)json_array_append_new(user, told); /* without memory it was told above all the same */
}

static void change_settings(const struct arguments *arguments,
                            struct frag_stream_settings *settings) {
    if (given(arguments, OPT_RETENTION)) {
        settings->retention_ns = arguments->retention_ns;
    }
    if (given(arguments, OPT_RETENTION_BYTES)) {
        settings->retention_bytes = arguments->retention_bytes;
    }
    if (given(arguments, OPT_TARGET)) {
        settings->target_ns = arguments->target_ns;
    }
}

static int update_stream(const struct arguments *arguments, struct frag_stream *stream) {
    const uint32_t settings = WITH(RETENTION) | WITH(RETENTION_BYTES) | WITH(TARGET);
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
static struct frag_stream *prepare_stream(const struct arguments *arguments,
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
                "kinora: '%s' cannot be a stream's name: it has 1 to 256 of A-Z a-z 0-9 . _ -\n",
                plain(arguments->stream));
    } else if (rc != 0) {
        (void)refused(arguments->stream, rc);
    }
    return rc == 0 ? stream : NULL;
}

/* A clock that is ahead would make retention delete what is young. */
static bool may_start(const struct arguments *arguments, struct frag_store *store) {
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

static int print_replay_json(const struct arguments *arguments,
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
        return refused("standard output", -ENOMEM);
    }
    (void)json_dumpf(told, stdout, JSON_COMPACT | JSON_ENSURE_ASCII); /* ferror tells */
    json_decref(told);
    printf("\n");
    return EXIT_FINE;
}

static void print_replay(const struct arguments *arguments,
                         const struct ing_replay_result *result) {
    printf("%s: %" PRIu64 " fragment%s, %" PRIu64 " frames, %" PRIu64 " bytes, %.3f s of video",
           plain(arguments->stream), result->durable, plural(result->durable), result->samples,
           result->bytes, (double)result->duration_ns / 1e9);
    printf(" from %" PRIu64 " file%s", result->files, plural(result->files));
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
static int tell_replay(const struct arguments *arguments, struct frag_stream *stream,
                       const struct ing_replay_result *result, json_t *left_out) {
    int code = EXIT_FINE;
    if (given(arguments, OPT_JSON)) {
        code = print_replay_json(arguments, result, left_out);
    } else {
        print_replay(arguments, result);
    }
    if (keeps_nothing(stream)) {
        fprintf(stderr, "kinora: nothing of it is kept on disk: the retention of %s is 0\n",
                plain(arguments->stream));
    }
    if (result->problem[0] != '\0') {
        fprintf(stderr, "kinora: %s\n", plain(result->problem));
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

static int replay_into(const struct arguments *arguments, struct frag_store *store,
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
        return refused(arguments->operands[0], -ENOMEM);
    }
    struct ing_replay_result result;
    const struct ing_replay_config config = {
        .stream = stream,
        .path = arguments->operands[0],
        .clock = clock,
        .paced = given(arguments, OPT_RATE) ? arguments->paced : clock == NULL,
        .loops = arguments->loops,
        .faults = arguments->faults,
        .stop = &stopping,
        .handle_progress = isatty(STDERR_FILENO) == 1 ? show_replay : NULL,
        .handle_left_out = tell_left_out,
        .user = left_out,
    };
    int rc = ing_replay_run(&config, &result);
    clear_progress();
    int code = rc == 0 ? tell_replay(arguments, stream, &result, left_out) : EXIT_FAILED;
    json_decref(left_out);
    if (rc == 0) {
        return code;
    }
    if (result.problem[0] == '\0') {
        return refused(config.path, rc);
    }
    fprintf(stderr, "kinora: %s\n", plain(result.problem));
    return rc == KN_E_MALFORMED ? EXIT_FINDINGS : EXIT_FAILED;
}

static int run_replay(const struct arguments *arguments) {
    struct place place;
    struct frag_store *store = NULL;
    struct ing_clock *clock = NULL;
    if (access(arguments->operands[0], R_OK) != 0) {
        return refused(arguments->operands[0], -errno); /* before a store is made for nothing */
    }
    stop_on_signals();
    int rc = find_place(arguments, FRAG_STORE_WRITE, &place);
    if (rc == 0 && given(arguments, OPT_START)) {
        rc = ing_clock_create(arguments->start, &clock);
        if (rc == 0) {
            place.config.clock = ing_clock_face(clock);
            place.config.threads = false;
            place.config.seed = arguments->faults.seed;
        } else {
            (void)refused(arguments->operands[0], rc);
        }
    }
    if (rc == 0) {
        rc = open_place(&place, &store);
    }
    int code = rc == 0 ? replay_into(arguments, store, clock) : EXIT_FAILED;
    frag_store_close(store);
    ing_clock_destroy(clock);
    place_finish(&place);
    return code;
}

/* ---- export ---- */

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
        fprintf(stderr, "kinora: %s exists already; %s\n", plain(config->path),
                result->note[0] == '\0' ? "--force replaces it" : result->note);
        return EXIT_FAILED;
    }
    if (result->about_new) {
        return refused(config->path, rc);
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
                plain(result->note));
        return EXIT_FINDINGS;
    }
    return refused(name, rc);
}

static int tell_export(const struct play_export_config *config,
                       const struct play_export_result *result) {
    char from[KN_WALL_TEXT_BYTES], to[KN_WALL_TEXT_BYTES];
    printf("%s: %" PRIu64 " fragment%s, %" PRIu64 " frames, %" PRIu64 " bytes, %s to %s\n",
           plain(config->path), result->fragments, plural(result->fragments), result->samples,
           result->bytes, kn_wall_format(result->from, from), kn_wall_format(result->to, to));
    if (result->note[0] != '\0') {
        fprintf(stderr, "kinora: %s\n", plain(result->note));
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
            plain(path));
    return true;
}

static int work_export(const struct arguments *arguments, struct frag_store *store) {
    struct frag_stream *stream = find_stream(store, arguments->operands[0]);
    if (stream == NULL || is_in_store(store, arguments->output)) {
        return EXIT_FAILED;
    }
    stop_on_signals();
    struct play_export_config config = {
        .stream = stream,
        .clock = arguments->clock,
        .from = arguments->from,
        .to = arguments->to,
        .format = arguments->format,
        .path = arguments->output,
        .replace = given(arguments, OPT_FORCE),
        .stop = &stopping,
        .handle_progress = isatty(STDERR_FILENO) == 1 ? show_export : NULL,
    };
    struct play_export_result result = {0};
    int rc = frag_archive_open(store, &config.archive);
    if (rc == 0) {
        rc = play_export_run(&config, &result);
        clear_progress();
    }
    int code = rc == 0 ? tell_export(&config, &result) : explain_export(&config, rc, &result);
    frag_archive_close(config.archive);
    return code;
}

/* ---- holds ---- */

static void print_id(const uint8_t id[static FRAG_ID_BYTES]) {
    for (size_t i = 0; i < FRAG_ID_BYTES; i++) {
        printf("%02x", id[i]);
    }
}

static int work_hold_add(const struct arguments *arguments, struct frag_store *store) {
    struct frag_stream *stream = find_stream(store, arguments->operands[0]);
    if (stream == NULL) {
        return EXIT_FAILED;
    }
    struct frag_hold hold = {
        .clock = arguments->clock, .from = arguments->from, .to = arguments->to};
    (void)snprintf(hold.reason, sizeof(hold.reason), "%s", arguments->reason);
    int rc = frag_hold_add(stream, &hold);
    if (rc == KN_E_LIMIT) {
        fprintf(stderr, "kinora: a store has at most %u holds: kinora hold remove ends one\n",
                FRAG_HOLDS_MAX);
        return EXIT_FAILED;
    }
    if (rc != 0) {
        return refused(arguments->operands[0], rc);
    }
    print_id(hold.id);
    printf("\n");
    return EXIT_FINE;
}

static int work_hold_list(const struct arguments *arguments, struct frag_store *store) {
    return listed(arguments, frag_report_holds(store, given(arguments, OPT_JSON), stdout));
}

static bool read_id(const char *text, uint8_t ret_id[static FRAG_ID_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != 2 * (size_t)FRAG_ID_BYTES || strspn(text, digits) != strlen(text)) {
        return false;
    }
    for (size_t i = 0; i < FRAG_ID_BYTES; i++) {
        size_t high = (size_t)(strchr(digits, text[2 * i]) - digits);
        size_t low = (size_t)(strchr(digits, text[2 * i + 1]) - digits);
        ret_id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static int work_hold_remove(const struct arguments *arguments, struct frag_store *store) {
    uint8_t id[FRAG_ID_BYTES];
    int rc = read_id(arguments->operands[0], id) ? frag_hold_remove(store, id) : -ENOENT;
    if (rc == -ENOENT) {
        fprintf(stderr, "kinora: there is no hold %s; kinora hold list shows all\n",
                plain(arguments->operands[0]));
        return EXIT_FAILED;
    }
    return rc == 0 ? EXIT_FINE : refused(arguments->operands[0], rc);
}

/* ---- upkeep ---- */

static int work_plan(const struct arguments *arguments, struct frag_store *store) {
    return listed(arguments,
                  frag_report_plan(store, arguments->until, given(arguments, OPT_JSON), stdout));
}

static int work_retention(const struct arguments *arguments, struct frag_store *store) {
    struct frag_store_stats before = frag_store_stats(store);
    int rc = frag_retention_run(store);
    struct frag_store_stats after = frag_store_stats(store);
    uint64_t reels = after.deleted_reels - before.deleted_reels;
    printf("deleted %" PRIu64 " reel%s, %" PRIu64 " bytes\n", reels, plural(reels),
           after.deleted_bytes - before.deleted_bytes);
    if (after.clock_in_doubt) {
        fprintf(stderr, "kinora: the clock is in doubt: nothing went by age. kinora retention plan "
                        "says why; --confirm-clock says that it is right\n");
    }
    return rc == 0 ? EXIT_FINE : refused(arguments->data, rc);
}

static int run_check(const struct arguments *arguments) {
    struct place place;
    struct frag_check_report report = {0};
    int rc = find_place(arguments, FRAG_STORE_READ, &place);
    int code = EXIT_FAILED;
    if (rc == 0) {
        rc = frag_report_check(&place.config, given(arguments, OPT_JSON), shows_progress(), stdout,
                               &report);
        struct frag_store_opening opening = {0};
        if (rc == -ENOENT && report.damages == 0) {
            (void)snprintf(opening.problem, sizeof(opening.problem), "there is no store in %s",
                           plain(arguments->data));
        }
        if (rc != 0 && (rc != -ENOENT || report.damages == 0)) {
            tell_refused(&place, &opening, rc);
        } else if (rc == 0) {
            code = report.damages > 0 || report.repairs > 0 ? EXIT_FINDINGS : EXIT_FINE;
        }
    }
    place_finish(&place);
    return code;
}

static int show_rebuild(const struct frag_check_progress *progress, void *user) {
    (void)user;
    fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " files\033[K", progress->files,
            progress->files_all);
    return 0;
}

static int run_rebuild(const struct arguments *arguments) {
    struct place place;
    struct frag_store_opening opening = {0};
    const struct frag_check_handler handler = {
        .progress = isatty(STDERR_FILENO) == 1 ? show_rebuild : NULL,
    };
    int code = EXIT_FAILED;
    int rc = find_place(arguments, FRAG_STORE_WRITE, &place);
    if (rc == 0) {
        rc = frag_store_rebuild(&place.config, &handler, NULL, &opening);
        clear_progress();
        if (rc != 0) {
            tell_refused(&place, &opening, rc);
        } else {
            opening.index_rebuilt = false; /* said below */
            tell_opening(&place, &opening);
            printf("index made again: %" PRIu64 " reel%s, %" PRIu64 " fragment%s\n", opening.reels,
                   plural(opening.reels), opening.fragments, plural(opening.fragments));
            code = EXIT_FINE;
        }
    }
    place_finish(&place);
    return code;
}

/* ---- version ---- */

static int run_version(const struct arguments *arguments) {
    (void)arguments;
    printf("kinora %s\n", KINORA_VERSION);
    return EXIT_FINE;
}

/* ---- all ---- */

static const struct command commands[] = {
    {
        .name = "inspect",
        .usage = "[--json] [--frames] FILE",
        .summary = "Show what a Matroska file holds and what is odd about it.",
        .help = "Prints tracks, codecs, fragments, times and tags.\n\n"
                "  FILE                   a .mkv or .webm file; - reads standard input\n",
        .options = WITH(JSON) | WITH(FRAMES),
        .operands_min = 1,
        .operands_max = 1,
        .run = run_inspect,
    },
    {
        .name = "rewrite",
        .usage = "[--force] FROM TO",
        .summary = "Write every good fragment of a Matroska file to a new, seekable one.",
        .help =
            "The new file has known sizes, a time index, and H.264 and H.265 with length "
            "prefixes.\n"
            "Frames, times and tags stay as they are, so a cut or streamed file becomes one that\n"
            "any player opens and seeks in.\n\n"
            "  FROM                   a .mkv or .webm file; - reads standard input\n"
            "  TO                     the new file; it appears when it is complete\n",
        .options = WITH(FORCE),
        .operands_min = 2,
        .operands_max = 2,
        .run = run_rewrite,
    },
    {
        .name = "replay",
        .usage = "FILE|DIR --stream NAME [OPTION]...",
        .summary = "Record files into a stream, as if they came from a camera.",
        .help =
            "Opens what ffmpeg's libraries open and records H.264, H.265, AV1, VP8, VP9, MJPEG,\n"
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
    },
    {
        .name = "streams",
        .usage = "[--json] [--data DIR]",
        .summary = "List the streams of a store.",
        .help = "",
        .options = WITH_STORE | WITH(JSON),
        .work = work_streams,
        .mode = FRAG_STORE_READ,
    },
    {
        .name = "fragments",
        .usage = "STREAM [--from TIME] [--to TIME] [OPTION]...",
        .summary = "List the fragments of a stream.",
        .help = "Those that begin from --from to --to, both ends in.\n\n",
        .options = WITH_STORE | WITH(FROM) | WITH(TO) | WITH(CLOCK) | WITH(JSON),
        .operands_min = 1,
        .operands_max = 1,
        .work = work_fragments,
        .mode = FRAG_STORE_READ,
    },
    {
        .name = "gaps",
        .usage = "[STREAM] [--from TIME] [--to TIME] [OPTION]...",
        .summary = "List the intervals that have no video, and why.",
        .help = "Those that touch --from to --to, by our clock; of all streams where none is "
                "named.\n\n",
        .options = WITH_STORE | WITH(FROM) | WITH(TO) | WITH(JSON),
        .operands_max = 1,
        .work = work_gaps,
        .mode = FRAG_STORE_READ,
    },
    {
        .name = "export",
        .usage = "STREAM --from TIME --to TIME -o FILE [OPTION]...",
        .summary = "Write a range of a stream to a Matroska or MP4 file.",
        .help =
            "Whole fragments, from the one in which --from lies to the last one that begins by\n"
            "--to; nothing is coded again, and holes stay holes. The file appears when it is\n"
            "complete. Where the codec setup changes, it ends and says so, and so it does of a\n"
            "track that MP4 cannot carry (exit code 1).\n\n",
        .options = WITH_STORE | WITH(FROM) | WITH(TO) | WITH(CLOCK) | WITH(OUTPUT) | WITH(FORCE),
        .required = WITH(FROM) | WITH(TO) | WITH(OUTPUT),
        .operands_min = 1,
        .operands_max = 1,
        .work = work_export,
        .mode = FRAG_STORE_READ,
    },
    {
        .name = "hold add",
        .usage = "STREAM --from TIME --to TIME --reason TEXT [OPTION]...",
        .summary = "Keep a range of a stream, whatever retention says.",
        .help = "Prints the hold's id. Fragments that have any part in the range are kept until "
                "the hold\nis removed.\n\n",
        .options = WITH_STORE | WITH(FROM) | WITH(TO) | WITH(CLOCK) | WITH(REASON),
        .required = WITH(FROM) | WITH(TO) | WITH(REASON),
        .operands_min = 1,
        .operands_max = 1,
        .work = work_hold_add,
        .mode = FRAG_STORE_WRITE,
    },
    {
        .name = "hold list",
        .usage = "[--json] [--data DIR]",
        .summary = "List what is held, and why.",
        .help = "",
        .options = WITH_STORE | WITH(JSON),
        .work = work_hold_list,
        .mode = FRAG_STORE_READ,
    },
    {
        .name = "hold remove",
        .usage = "ID [--data DIR]",
        .summary = "Let retention have a range again.",
        .help = "  ID                     as kinora hold add and hold list print it\n",
        .options = WITH_STORE,
        .operands_min = 1,
        .operands_max = 1,
        .work = work_hold_remove,
        .mode = FRAG_STORE_WRITE,
    },
    {
        .name = "retention plan",
        .usage = "[--until WHEN] [--json] [--data DIR]",
        .summary = "Show what will be deleted, when and why, and when a disk would be full.",
        .help = "",
        .options = WITH_STORE | WITH(UNTIL) | WITH(MIN_FREE) | WITH(JSON),
        .work = work_plan,
        .mode = FRAG_STORE_READ,
    },
    {
        .name = "retention run",
        .usage = "[--confirm-clock] [--data DIR]",
        .summary = "Delete now what may be deleted.",
        .help = "A program that records does it by itself.\n\n",
        .options = WITH_STORE | WITH(MIN_FREE) | WITH(CONFIRM_CLOCK),
        .work = work_retention,
        .mode = FRAG_STORE_WRITE,
    },
    {
        .name = "check",
        .usage = "[--json] [--data DIR]",
        .summary = "Read everything in a store and compare it with its checksums.",
        .help =
            "Changes nothing, and may run beside a program that records. Exit code 1: it found\n"
            "damage, or something that the next start or kinora rebuild puts right.\n\n",
        .options = WITH_STORE | WITH(JSON),
        .run = run_check,
    },
    {
        .name = "rebuild",
        .usage = "[--data DIR]",
        .summary = "Make the index of a store again from its video files.",
        .help = "",
        .options = WITH_STORE,
        .run = run_rebuild,
    },
    {
        .name = "version",
        .usage = "",
        .summary = "Print the version.",
        .help = "",
        .run = run_version,
    },
};

static int print_overview(FILE *out) {
    fprintf(out, "Kinora keeps video as timestamped fragments. Usage: kinora COMMAND ...\n\n");
    for (size_t i = 0; i < KN_COUNT(commands); i++) {
        fprintf(out, "  %-15s %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(out, "\nkinora COMMAND --help tells more.\n" EXIT_CODES_HELP);
    return fflush(out) == 0 ? EXIT_FINE : EXIT_FAILED;
}

/* The commands that begin with this word; "hold" is none itself. */
static bool print_group(const char *word, FILE *out) {
    size_t size = strlen(word);
    size_t count = 0;
    for (size_t i = 0; i < KN_COUNT(commands); i++) {
        if (strncmp(commands[i].name, word, size) == 0 && commands[i].name[size] == ' ') {
            if (count++ == 0) {
                fprintf(out, "Usage: kinora %s COMMAND ...\n\n", word);
            }
            fprintf(out, "  %-15s %s\n", commands[i].name, commands[i].summary);
        }
    }
    return count > 0;
}

static bool asks_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* By its one or two words, of which it tells how many. NULL: there is none. */
static const struct command *find_command(int argc, char **argv, int *ret_words) {
    for (size_t i = 0; i < KN_COUNT(commands); i++) {
        const char *name = commands[i].name;
        size_t first = strcspn(name, " ");
        bool two = name[first] != '\0';
        if (strncmp(name, argv[0], first) == 0 && argv[0][first] == '\0' &&
            (!two || (argc > 1 && strcmp(name + first + 1, argv[1]) == 0))) {
            *ret_words = two ? 2 : 1;
            return &commands[i];
        }
    }
    return NULL;
}

/* No command, perhaps a group of them. */
static int without_command(int argc, char **argv) {
    if (argc > 1 && asks_help(argv[1]) && print_group(argv[0], stdout)) {
        printf("%s", EXIT_CODES_HELP);
        return EXIT_FINE;
    }
    if (argc == 1 && print_group(argv[0], stderr)) {
        return EXIT_USAGE;
    }
    fprintf(stderr, "kinora: there is no command '%s", plain(argv[0]));
    if (argc > 1 && argv[1][0] != '-' && argv[1][0] != '\0') {
        fprintf(stderr, " %s", plain(argv[1]));
    }
    fprintf(stderr, "'; kinora --help lists them\n");
    return EXIT_USAGE;
}

static int run_help(int argc, char **argv) {
    int words = 0;
    if (argc == 0) {
        return print_overview(stdout);
    }
    const struct command *command = find_command(argc, argv, &words);
    if (command != NULL) {
        return print_help(command);
    }
    char help[] = "--help";
    char *group[] = {argv[0], help};
    return without_command(2, group);
}

/* `argv` begins with the command's name. */
static int run_command(int argc, char **argv) {
    if (asks_help(argv[0]) || strcmp(argv[0], "help") == 0) {
        return run_help(argc - 1, argv + 1);
    }
    char version[] = "version";
    if (strcmp(argv[0], "--version") == 0) {
        argv[0] = version;
    }
    int words = 0;
    const struct command *command = find_command(argc, argv, &words);
    if (command == NULL) {
        return without_command(argc, argv);
    }
    char title[64]; /* what getopt_long names in its complaints */
    (void)snprintf(title, sizeof(title), "kinora %s", command->name);
    argv[words - 1] = title;
    return run_with(command, argc - words + 1, argv + words - 1);
}

int main(int argc, char **argv) {
    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failure to write */
    if (argc < 2) {
        (void)print_overview(stderr); /* wrong usage either way */
        return EXIT_USAGE;
    }
    int code = run_command(argc - 1, argv + 1);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code != EXIT_FAILED) {
        return refused("standard output", errno == 0 ? -EIO : -errno);
    }
    return code;
}
