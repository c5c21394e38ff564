/* Records into a store as fast as it takes fragments, changes its journal in between, and says what
 * it was promised, so that tests can kill it at any moment and compare.
 *
 *     recorder --run 1 --fragments 200 DATA >>facts 3>>tries
 *     recorder --run 2 --kill close:1500 DATA ...      kill -9 itself, 1500 us after that began
 *
 * Standard output has a line, each by one write, for everything that was answered: a fragment that
 * is durable, a change that returned 0. Descriptor 3 has a line before each attempt. Words:
 *
 *     try STREAM PRODUCER_NS FIRST_PICTURE SEED                 ack STREAM NUMBER (as try)
 * SERVER_NS create, delete, tag, hold, unhold, gap, put and their arguments; on both descriptors */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"
#include "fragments/fragments.h"
#include "tests/support/camera.h"

#define TRIES_FD 3
#define STREAMS_MAX 16u
#define IN_FLIGHT_MOST 8u
#define PICTURES 25u /* of a fragment: 1 s */
#define ACK_WAIT_S 30

struct session {
    struct recorder *recorder;
    struct frag_writer *writer;
    struct camera camera;
    char stream[32];
    bool received;          /* clusters, not samples */
    struct kn_wall from;    /* what timecodes of clusters count from */
    size_t begun, finished; /* under the recorder's lock */
    bool closed, aborted;
    struct session *next;
};

struct recorder {
    struct frag_store *store;
    uint64_t run;
    uint64_t random;
    unsigned streams;
    bool has_far; /* a second directory is named */
    uint64_t retention_bytes;
    const char *kill_phase;
    int64_t kill_us;
    unsigned kill_skip; /* so many of that phase pass before */
    uint64_t changes;   /* of this run: tells changes apart */
    struct session *open[2 * STREAMS_MAX];
    struct session *all;
    uint8_t held[64][FRAG_ID_BYTES];
    unsigned held_count;
    char temp[32][32]; /* streams to be deleted */
    unsigned temp_count;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static _Noreturn void die(const char *what, int rc) {
    (void)fprintf(stderr, "recorder: %s: %s\n", what, rc < 0 ? kn_error_text(rc) : "");
    _exit(1);
}

static void must(int rc, const char *what) {
    if (rc < 0) {
        die(what, rc);
    }
}

/* One line, one write: a kill leaves it whole or out. */
__attribute__((format(printf, 2, 3))) static void say(int fd, const char *format, ...) {
    char line[512];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof(line), format, values);
    va_end(values);
    if (length < 0 || (size_t)length >= sizeof(line) ||
        write(fd, line, (size_t)length) != (ssize_t)length) {
        die("a line could not be written", 0);
    }
}

static uint64_t draw(struct recorder *recorder, uint64_t below) {
    recorder->random ^= recorder->random << 13;
    recorder->random ^= recorder->random >> 7;
    recorder->random ^= recorder->random << 17;
    return (recorder->random >> 11) % below;
}

static struct kn_wall now(void) {
    const struct kn_clock *clock = kn_clock_system();
    return clock->wall(clock);
}

/* ---- the end ---- */

/* From here on the kernel counts the time: its signal comes whatever threads do. */
static void enter(struct recorder *recorder, const char *phase) {
    if (recorder->kill_phase == NULL || strcmp(recorder->kill_phase, phase) != 0 ||
        recorder->kill_skip-- > 0) {
        return;
    }
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    timer_t timer;
    const struct itimerspec when = {
        .it_value = {.tv_sec = recorder->kill_us / 1000000,
                     .tv_nsec = recorder->kill_us % 1000000 * 1000 + 1}};
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &when, NULL) != 0) {
        die("no timer", -errno);
    }
    recorder->kill_phase = NULL;
}

/* ---- sessions ---- */

static void take_ack(const struct frag_ack *ack, void *user) {
    struct session *session = user;
    struct recorder *recorder = session->recorder;
    uint64_t first = (uint64_t)((ack->producer.ns - session->camera.start.ns) / CAMERA_FRAME_NS);
    if (ack->kind == FRAG_ACK_BUFFERING) {
        say(TRIES_FD, "try %s %" PRId64 " %" PRIu64 " %u\n", session->stream, ack->producer.ns,
            first, session->camera.seed);
    } else if (ack->kind == FRAG_ACK_DURABLE) {
        char number[FRAG_NUMBER_TEXT_BYTES];
        say(STDOUT_FILENO, "ack %s %s %" PRId64 " %" PRIu64 " %u %" PRId64 "\n", session->stream,
            frag_number_format(ack->number, number), ack->producer.ns, first, session->camera.seed,
            ack->server.ns);
    } else {
        die("a fragment failed", ack->error);
    }
    (void)pthread_mutex_lock(&recorder->lock);
    session->begun += ack->kind == FRAG_ACK_BUFFERING ? 1 : 0;
    session->finished += ack->kind == FRAG_ACK_DURABLE ? 1 : 0;
    (void)pthread_cond_broadcast(&recorder->changed);
    (void)pthread_mutex_unlock(&recorder->lock);
}

static void take_closed(void *user) {
    struct session *session = user;
    (void)pthread_mutex_lock(&session->recorder->lock);
    session->closed = true;
    (void)pthread_mutex_unlock(&session->recorder->lock);
}

static void wait_for_acks(struct session *session, size_t most) {
    struct recorder *recorder = session->recorder;
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += ACK_WAIT_S;
    (void)pthread_mutex_lock(&recorder->lock);
    while (session->begun - session->finished > most) {
        if (pthread_cond_timedwait(&recorder->changed, &recorder->lock, &end) != 0) {
            die("no ack came", -ETIMEDOUT);
        }
    }
    (void)pthread_mutex_unlock(&recorder->lock);
}

static size_t make_header(struct session *session, uint8_t *room, size_t size) {
    struct kn_writer writer;
    struct frag_mkv_layout layout;
    const struct frag_mkv_header header = {
        .tracks = session->camera.tracks, .duration_ns = -1, .writing_app = "recorder"};
    kn_writer_init(&writer, room, size);
    frag_mkv_write_header(&writer, &header, &layout);
    must(kn_writer_status(&writer), "header");
    return writer.size;
}

static struct session *begin(struct recorder *recorder, const char *name) {
    static const size_t sizes[] = {40, 600, 600, 6000, 40000};
    struct session *session = calloc(1, sizeof(*session));
    struct frag_stream *stream = frag_stream_find(recorder->store, name);
    if (session == NULL || stream == NULL) {
        die(name, -ENOENT);
    }
    uint32_t seed = (uint32_t)(recorder->run * 10000 + ++recorder->changes);
    session->recorder = recorder;
    (void)snprintf(session->stream, sizeof(session->stream), "%s", name);
    session->from = now();
    /* Whole milliseconds, as clusters have. */
    session->from.ns -= session->from.ns % KN_NS_PER_MS;
    camera_init(&session->camera, seed, session->from);
    session->camera.gop = PICTURES;
    session->camera.picture_bytes = sizes[draw(recorder, KN_COUNT(sizes))];
    session->received = draw(recorder, 3) == 0;
    uint8_t header[4096];
    struct frag_writer_config config = {
        .handle_ack = take_ack, .handle_closed = take_closed, .user = session};
    if (session->received) {
        config.header = header;
        config.header_bytes = make_header(session, header, sizeof(header));
        config.relative = draw(recorder, 2) == 0;
        config.producer_start = config.relative ? session->from : (struct kn_wall){0};
        session->from = config.relative ? (struct kn_wall){0} : session->from;
    }
    must(frag_writer_open(stream, &config, &session->writer), "writer");
    session->next = recorder->all;
    recorder->all = session;
    return session;
}

static void send_fragment(struct session *session) {
    if (session->received) {
        bool around = draw(session->recorder, 2) == 0;
        camera_send_cluster(&session->camera, session->writer, session->from, PICTURES, around);
    } else {
        camera_send(&session->camera, session->writer, PICTURES);
    }
    wait_for_acks(session, IN_FLIGHT_MOST);
}

static void end_session(struct session *session, bool abort) {
    session->aborted = abort;
    if (abort) {
        frag_writer_abort(session->writer, FRAG_GAP_NETWORK);
    } else {
        frag_writer_close(session->writer, FRAG_GAP_PRODUCER_AWAY);
    }
    session->writer = NULL;
    camera_finish(&session->camera);
}

/* Every fragment that began was answered, but for those that were dropped while they were built. */
static void check_answers(struct recorder *recorder) {
    while (recorder->all != NULL) {
        struct session *session = recorder->all;
        size_t missing = session->begun - session->finished;
        if (!session->closed || missing > (session->aborted ? 1u : 0u)) {
            die("acks or the end of a session never came", 0);
        }
        recorder->all = session->next;
        free(session);
    }
}

/* ---- changes of the journal ---- */

static void create_stream(struct recorder *recorder, const char *name,
                          const struct frag_stream_settings *settings) {
    struct frag_stream *stream = frag_stream_find(recorder->store, name);
    if (stream != NULL) {
        return;
    }
    say(TRIES_FD, "create %s\n", name);
    must(frag_stream_create(recorder->store, name, settings, NULL, 0, &stream), "create");
    say(STDOUT_FILENO, "create %s\n", name);
}

static struct frag_stream *any_stream(struct recorder *recorder, char name[static 32]) {
    static const char *const kinds[] = {"cam", "short", "far"};
    const char *kind = kinds[draw(recorder, recorder->has_far ? 3 : 2)];
    (void)snprintf(name, 32, "%s-%u", kind, (unsigned)draw(recorder, recorder->streams));
    return frag_stream_find(recorder->store, name);
}

static void change_tag(struct recorder *recorder) {
    char name[32];
    struct frag_stream *stream = any_stream(recorder, name);
    struct frag_stream_tag tag = {.key = "n"};
    uint64_t value = recorder->run * 1000000 + ++recorder->changes;
    (void)snprintf(tag.value, sizeof(tag.value), "%" PRIu64, value);
    say(TRIES_FD, "tag %s %s\n", name, tag.value);
    must(frag_stream_tag(stream, &tag, 1, NULL, 0), "tag");
    say(STDOUT_FILENO, "tag %s %s\n", name, tag.value);
}

static const char *hex(const uint8_t id[static FRAG_ID_BYTES], char text[static 33]) {
    for (size_t i = 0; i < FRAG_ID_BYTES; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", id[i]);
    }
    return text;
}

/* Of what is still to be recorded, so that retention cannot have been there before. */
static void add_hold(struct recorder *recorder) {
    char name[32];
    char id[33];
    struct frag_stream *stream = any_stream(recorder, name);
    struct frag_hold hold = {.clock = FRAG_CLOCK_SERVER, .from = now(), .reason = "proof"};
    if (recorder->held_count == KN_COUNT(recorder->held)) {
        return;
    }
    hold.from.ns += 50 * KN_NS_PER_MS;
    hold.to.ns = hold.from.ns + 100 * KN_NS_PER_MS;
    say(TRIES_FD, "hold %s %" PRId64 " %" PRId64 "\n", name, hold.from.ns, hold.to.ns);
    must(frag_hold_add(stream, &hold), "hold");
    if (now().ns < hold.from.ns) {
        say(STDOUT_FILENO, "hold %s %" PRId64 " %" PRId64 " %s\n", name, hold.from.ns, hold.to.ns,
            hex(hold.id, id));
    }
    memcpy(recorder->held[recorder->held_count++], hold.id, FRAG_ID_BYTES);
}

static void remove_hold(struct recorder *recorder) {
    char id[33];
    if (recorder->held_count == 0) {
        return;
    }
    (void)hex(recorder->held[--recorder->held_count], id);
    say(TRIES_FD, "unhold %s\n", id);
    must(frag_hold_remove(recorder->store, recorder->held[recorder->held_count]), "unhold");
    say(STDOUT_FILENO, "unhold %s\n", id);
}

static void add_gap(struct recorder *recorder) {
    char name[32];
    struct frag_stream *stream = any_stream(recorder, name);
    const struct frag_gap gap = {
        .from = {now().ns - KN_NS_PER_S}, .to = now(), .cause = FRAG_GAP_OPERATOR};
    say(TRIES_FD, "gap %s %" PRId64 " %" PRId64 "\n", name, gap.from.ns, gap.to.ns);
    must(frag_gap_add(stream, &gap, false), "gap");
    say(STDOUT_FILENO, "gap %s %" PRId64 " %" PRId64 "\n", name, gap.from.ns, gap.to.ns);
}

static void put_value(struct recorder *recorder) {
    char key[16];
    char value[32];
    (void)snprintf(key, sizeof(key), "k%u", (unsigned)draw(recorder, 20));
    (void)snprintf(value, sizeof(value), "%" PRIu64, recorder->run * 1000000 + ++recorder->changes);
    say(TRIES_FD, "put %s %s\n", key, value);
    must(frag_store_put(recorder->store, FRAG_STORE_KIND_SERVER, key, strlen(key), value,
                        strlen(value)),
         "put");
    say(STDOUT_FILENO, "put %s %s\n", key, value);
}

/* A short life: made, recorded to, later deleted. */
static void make_temp(struct recorder *recorder) {
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.target_ns = KN_NS_PER_S;
    if (recorder->temp_count == KN_COUNT(recorder->temp)) {
        return;
    }
    char *name = recorder->temp[recorder->temp_count++];
    (void)snprintf(name, sizeof(recorder->temp[0]), "temp-%" PRIu64 "-%" PRIu64, recorder->run,
                   ++recorder->changes);
    create_stream(recorder, name, &settings);
    struct session *session = begin(recorder, name);
    send_fragment(session);
    send_fragment(session);
    end_session(session, false);
}

static void delete_temp(struct recorder *recorder) {
    if (recorder->temp_count == 0) {
        return;
    }
    const char *name = recorder->temp[--recorder->temp_count];
    say(TRIES_FD, "delete %s\n", name);
    must(frag_stream_delete(frag_stream_find(recorder->store, name), NULL), "delete");
    say(STDOUT_FILENO, "delete %s\n", name);
}

static void change_journal(struct recorder *recorder) {
    static void (*const changes[])(struct recorder *) = {
        change_tag, add_hold, add_hold, remove_hold, add_gap, put_value, make_temp, delete_temp,
    };
    enter(recorder, "journal");
    changes[draw(recorder, KN_COUNT(changes))](recorder);
}

/* ---- a run ---- */

static void make_streams(struct recorder *recorder) {
    for (unsigned i = 0; i < recorder->streams; i++) {
        struct frag_stream_settings settings = frag_stream_settings_defaults();
        char name[32];
        settings.retention_ns = FRAG_RETAIN_FOREVER;
        settings.target_ns = KN_NS_PER_S;
        (void)snprintf(name, sizeof(name), "cam-%u", i);
        create_stream(recorder, name, &settings);
        if (recorder->has_far) {
            settings.folder = 1;
            (void)snprintf(name, sizeof(name), "far-%u", i);
            create_stream(recorder, name, &settings);
            settings.folder = FRAG_FOLDER_ANY;
        }
        settings.retention_bytes = recorder->retention_bytes;
        (void)snprintf(name, sizeof(name), "short-%u", i);
        create_stream(recorder, name, &settings);
    }
}

static void step(struct recorder *recorder) {
    struct session **place = &recorder->open[draw(recorder, KN_COUNT(recorder->open))];
    char name[32];
    if (*place == NULL) {
        (void)any_stream(recorder, name);
        *place = begin(recorder, name);
    }
    send_fragment(*place);
    if (draw(recorder, 12) == 0) {
        end_session(*place, draw(recorder, 4) == 0);
        *place = NULL;
    }
    if (draw(recorder, 6) == 0) {
        change_journal(recorder);
    }
    if (draw(recorder, 40) == 0) {
        must(frag_store_flush(recorder->store), "flush");
    }
    if (draw(recorder, 25) == 0) {
        enter(recorder, "retention");
        must(frag_retention_run(recorder->store), "retention");
    }
}

static void record(struct recorder *recorder, uint64_t fragments) {
    enter(recorder, "record");
    make_streams(recorder);
    for (uint64_t i = 0; i < fragments; i++) {
        step(recorder);
    }
    for (size_t i = 0; i < KN_COUNT(recorder->open); i++) {
        if (recorder->open[i] != NULL) {
            end_session(recorder->open[i], false);
        }
    }
}

static void run(struct recorder *recorder, struct frag_store_config *config, uint64_t fragments) {
    struct frag_store_opening opening;
    (void)pthread_mutex_init(&recorder->lock, NULL);
    (void)pthread_cond_init(&recorder->changed, NULL);
    enter(recorder, "open");
    int rc = frag_store_open(config, &recorder->store, &opening);
    must(rc, rc < 0 ? opening.problem : "");
    record(recorder, fragments);
    enter(recorder, "close");
    frag_store_close(recorder->store);
    check_answers(recorder);
    (void)pthread_cond_destroy(&recorder->changed);
    (void)pthread_mutex_destroy(&recorder->lock);
}

static _Noreturn void refuse_usage(void) {
    (void)fprintf(stderr, "usage: recorder [--run N] [--streams N] [--fragments N] [--folder DIR]\n"
                          "                [--retention BYTES] [--kill PHASE:MICROSECONDS[:SKIP]]\n"
                          "                DATA >>FACTS 3>>TRIES\n"
                          "phases: open record journal retention close\n");
    exit(2);
}

/* PHASE:MICROSECONDS[:SKIP] */
static void parse_kill(struct recorder *recorder, char *text) {
    char *colon = strchr(text, ':');
    char *end = NULL;
    if (colon == NULL) {
        refuse_usage();
    }
    *colon = '\0';
    recorder->kill_phase = text;
    recorder->kill_us = strtoll(colon + 1, &end, 10);
    recorder->kill_skip = *end == ':' ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"run", required_argument, NULL, 'r'},
        {"streams", required_argument, NULL, 's'},
        {"fragments", required_argument, NULL, 'n'},
        {"folder", required_argument, NULL, 'f'},
        {"retention", required_argument, NULL, 'b'},
        {"kill", required_argument, NULL, 'k'},
        {NULL, 0, NULL, 0},
    };
    struct recorder recorder = {.run = 1, .streams = 2, .retention_bytes = 1000000};
    struct frag_store_config config = frag_store_config_defaults();
    const char *folder = NULL;
    uint64_t fragments = 200;
    int option = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'r':
            recorder.run = strtoull(optarg, NULL, 10);
            break;
        case 's':
            recorder.streams = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'n':
            fragments = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            folder = optarg;
            break;
        case 'b':
            recorder.retention_bytes = strtoull(optarg, NULL, 10);
            break;
        case 'k':
            parse_kill(&recorder, optarg);
            break;
        default:
            refuse_usage();
        }
    }
    if (argc - optind != 1 || recorder.streams == 0 || recorder.streams > STREAMS_MAX ||
        recorder.run == 0) {
        refuse_usage();
    }
    kn_log_set_level(KN_LOG_WARN);
    recorder.random = recorder.run * UINT64_C(0x9E3779B97F4A7C15);
    recorder.has_far = folder != NULL;
    config.data = argv[optind];
    config.folders = &folder;
    config.folder_count = folder != NULL ? 1 : 0;
    config.min_free_bytes = 0;
    run(&recorder, &config, fragments);
    return 0;
}
