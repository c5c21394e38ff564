/* Everything at once: 64 sessions, 64 readers, retention, holds, streams that come and go, for a
 * few seconds; then everything that was promised must be there, also after the next start. Built
 * with the thread sanitizer it proves the locking. */
#include "tests/unit/fragments_store_world.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/log.h"

#define STREAMS 32u
#define WRITERS 64u /* two a stream */
#define READERS 64u
#define LOAD_NS (5 * KN_NS_PER_S)
#define PICTURES 25u
#define IN_FLIGHT_MOST 4u
#define RETENTION_BYTES 60000u /* of every second stream */

struct acked {
    uint64_t *sequences;
    size_t count, room;
};

struct crowd {
    struct world *world;
    atomic_bool stop;
    atomic_uint problems;
    atomic_uint next_seed;
    atomic_uint_least64_t loads, misses, sessions, holds, temps;
    pthread_mutex_t lock; /* of what follows */
    struct acked acked[STREAMS];
};

struct member {
    struct crowd *crowd;
    pthread_t thread;
    unsigned number;
    uint64_t random;
};

static void complain(struct crowd *crowd, const char *what, int rc) {
    if (atomic_fetch_add(&crowd->problems, 1) < 10) {
        print_message("# %s: %d\n", what, rc);
    }
}

static bool is_fine(struct crowd *crowd, int rc, const char *what) {
    if (rc < 0) {
        complain(crowd, what, rc);
    }
    return rc >= 0;
}

static uint64_t draw(struct member *member, uint64_t below) {
    member->random ^= member->random << 13;
    member->random ^= member->random >> 7;
    member->random ^= member->random << 17;
    return (member->random >> 11) % below;
}

static struct kn_wall now(void) {
    const struct kn_clock *clock = kn_clock_system();
    return clock->wall(clock);
}

static const char *name_of(unsigned stream, char name[static 8]) {
    (void)snprintf(name, 8, "s%02u", stream);
    return name;
}

static bool is_short(unsigned stream) {
    return stream % 2 == 1;
}

/* ---- writers ---- */

/* Outlives its thread's interest: the last ack and the end come later. */
struct session {
    struct crowd *crowd;
    unsigned stream; /* STREAMS: one that is deleted later */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned begun, finished;
    bool closed;
};

static void note_acked(struct crowd *crowd, unsigned stream, uint64_t sequence) {
    (void)pthread_mutex_lock(&crowd->lock);
    struct acked *acked = &crowd->acked[stream];
    if (acked->count == acked->room) {
        acked->room = acked->room == 0 ? 256 : acked->room * 2;
        acked->sequences = realloc(acked->sequences, acked->room * sizeof(*acked->sequences));
    }
    if (acked->sequences != NULL) {
        acked->sequences[acked->count++] = sequence;
    }
    (void)pthread_mutex_unlock(&crowd->lock);
}

static void take_ack(const struct frag_ack *ack, void *user) {
    struct session *session = user;
    if (ack->kind == FRAG_ACK_FAILED) {
        complain(session->crowd, "a fragment failed", ack->error);
    }
    if (ack->kind == FRAG_ACK_DURABLE && session->stream < STREAMS) {
        note_acked(session->crowd, session->stream, ack->number.sequence);
    }
    (void)pthread_mutex_lock(&session->lock);
    session->begun += ack->kind == FRAG_ACK_BUFFERING ? 1 : 0;
    session->finished += ack->kind != FRAG_ACK_BUFFERING ? 1 : 0;
    (void)pthread_cond_signal(&session->changed);
    (void)pthread_mutex_unlock(&session->lock);
}

static void take_closed(void *user) {
    struct session *session = user;
    (void)pthread_mutex_lock(&session->lock);
    session->closed = true;
    (void)pthread_cond_signal(&session->changed);
    (void)pthread_mutex_unlock(&session->lock);
}

/* `most` in flight; with `closed` also the end. */
static void wait_for(struct session *session, unsigned most, bool closed) {
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 30;
    int rc = 0;
    (void)pthread_mutex_lock(&session->lock);
    while (rc == 0 && (closed ? !session->closed : session->begun - session->finished > most)) {
        rc = pthread_cond_timedwait(&session->changed, &session->lock, &end);
    }
    (void)pthread_mutex_unlock(&session->lock);
    if (rc != 0) {
        complain(session->crowd, "no ack, or no end of a session, for 30 s", -rc);
    }
}

static void record(struct member *member, struct frag_stream *stream, unsigned number,
                   unsigned fragments) {
    struct crowd *crowd = member->crowd;
    struct session session = {.crowd = crowd, .stream = number};
    const struct frag_writer_config config = {
        .handle_ack = take_ack, .handle_closed = take_closed, .user = &session};
    struct frag_writer *writer = NULL;
    struct camera camera;
    (void)pthread_mutex_init(&session.lock, NULL);
    (void)pthread_cond_init(&session.changed, NULL);
    camera_init(&camera, atomic_fetch_add(&crowd->next_seed, 1), now());
    camera.start.ns -= camera.start.ns % KN_NS_PER_MS;
    camera.gop = PICTURES;
    camera.picture_bytes = 40;
    if (is_fine(crowd, frag_writer_open(stream, &config, &writer), "writer_open")) {
        for (unsigned i = 0; i < fragments; i++) {
            camera_send(&camera, writer, PICTURES);
            wait_for(&session, IN_FLIGHT_MOST, false);
        }
        bool abort = draw(member, 4) == 0;
        if (abort) {
            frag_writer_abort(writer, FRAG_GAP_NETWORK);
        } else {
            frag_writer_close(writer, FRAG_GAP_PRODUCER_AWAY);
        }
        wait_for(&session, 0, true);
        if (session.begun - session.finished != (abort ? 1 : 0)) {
            complain(crowd, "fragments without an answer", (int)(session.begun - session.finished));
        }
        (void)atomic_fetch_add(&crowd->sessions, 1);
    }
    camera_finish(&camera);
    (void)pthread_cond_destroy(&session.changed);
    (void)pthread_mutex_destroy(&session.lock);
}

static void *write_on(void *user) {
    struct member *member = user;
    struct crowd *crowd = member->crowd;
    char name[8];
    unsigned number = member->number % STREAMS;
    struct frag_stream *stream = frag_stream_find(crowd->world->store, name_of(number, name));
    while (!atomic_load(&crowd->stop)) {
        record(member, stream, number, 1 + (unsigned)draw(member, 12));
    }
    return NULL;
}

/* ---- readers ---- */

static void load(struct member *member, struct frag_archive *archive,
                 const struct frag_entry *entry) {
    struct crowd *crowd = member->crowd;
    struct frag_loaded *loaded = NULL;
    uint32_t seed = 0;
    uint32_t first = 0;
    int rc = frag_archive_load(archive, entry, &loaded);
    if (rc == -ENOENT) {
        (void)atomic_fetch_add(&crowd->misses, 1); /* retention was quicker */
        return;
    }
    if (!is_fine(crowd, rc, "load")) {
        return;
    }
    const char *wrong = camera_check(loaded, &seed, &first);
    if (wrong != NULL || loaded->entry.number.sequence != entry->number.sequence) {
        complain(crowd, wrong != NULL ? wrong : "another fragment than asked for", 0);
    }
    frag_loaded_free(loaded);
    (void)atomic_fetch_add(&crowd->loads, 1);
}

static void look_up(struct member *member, struct frag_archive *archive) {
    struct crowd *crowd = member->crowd;
    struct frag_entry entries[20];
    char name[8];
    struct frag_stream *stream =
        frag_stream_find(crowd->world->store, name_of((unsigned)draw(member, STREAMS), name));
    struct kn_wall time = {now().ns - (int64_t)draw(member, 2 * KN_NS_PER_S)};
    int rc = 0;
    switch (draw(member, 4)) {
    case 0:
        rc = frag_archive_earliest(archive, stream, entries);
        break;
    case 1:
        rc = frag_archive_latest(archive, stream, entries);
        break;
    case 2:
        rc = frag_archive_find_time(archive, stream, FRAG_CLOCK_SERVER, time, entries);
        break;
    default:
        rc = frag_archive_range(archive, stream, FRAG_CLOCK_SERVER, time,
                                (struct kn_wall){INT64_MAX}, 0, entries, KN_COUNT(entries));
        for (int i = 1; i < rc; i++) {
            if (entries[i].number.sequence <= entries[i - 1].number.sequence ||
                entries[i].ordinal <= entries[i - 1].ordinal) {
                complain(crowd, "a range is not in order", i);
            }
        }
        rc = rc == 0 ? -ENOENT : rc;
        break;
    }
    if (rc != -ENOENT && is_fine(crowd, rc, "lookup")) {
        load(member, archive, &entries[rc > 1 ? draw(member, (uint64_t)rc) : 0]);
    }
}

static void *read_on(void *user) {
    struct member *member = user;
    struct crowd *crowd = member->crowd;
    while (!atomic_load(&crowd->stop)) {
        struct frag_archive *archive = NULL;
        if (!is_fine(crowd, frag_archive_open(crowd->world->store, &archive), "archive_open")) {
            return NULL;
        }
        for (unsigned i = 0; i < 50 && !atomic_load(&crowd->stop); i++) {
            look_up(member, archive);
        }
        frag_archive_close(archive);
    }
    return NULL;
}

/* ---- upkeep ---- */

static int count_gap(const struct frag_gap_entry *gap, void *user) {
    (void)gap;
    (*(unsigned *)user)++;
    return 0;
}

static void come_and_go(struct member *member) {
    struct crowd *crowd = member->crowd;
    struct frag_store *store = crowd->world->store;
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_stream *stream = NULL;
    char name[32];
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.target_ns = KN_NS_PER_S;
    (void)snprintf(name, sizeof(name), "temp-%u-%" PRIu64, member->number, draw(member, 10));
    int rc = frag_stream_create(store, name, &settings, NULL, 0, &stream);
    if (!is_fine(crowd, rc, "create")) {
        return;
    }
    record(member, stream, STREAMS, 3);
    (void)is_fine(crowd, frag_stream_delete(stream, NULL), "delete");
    (void)atomic_fetch_add(&crowd->temps, 1);
}

static void hold_and_let_go(struct member *member) {
    struct crowd *crowd = member->crowd;
    char name[8];
    struct frag_stream *stream =
        frag_stream_find(crowd->world->store, name_of((unsigned)draw(member, STREAMS), name));
    struct frag_hold hold = {.clock = FRAG_CLOCK_SERVER,
                             .from = {now().ns - KN_NS_PER_S / 2},
                             .to = now(),
                             .reason = "threads"};
    if (is_fine(crowd, frag_hold_add(stream, &hold), "hold_add")) {
        (void)is_fine(crowd, frag_retention_run(crowd->world->store), "retention");
        (void)is_fine(crowd, frag_hold_remove(crowd->world->store, hold.id), "hold_remove");
        (void)atomic_fetch_add(&crowd->holds, 1);
    }
}

static void look_around(struct member *member) {
    static struct frag_stream_info info; /* one thread looks around */
    struct crowd *crowd = member->crowd;
    struct frag_retention_summary summary;
    unsigned gaps = 0;
    char name[8];
    struct frag_stream *stream =
        frag_stream_find(crowd->world->store, name_of((unsigned)draw(member, STREAMS), name));
    struct frag_stream_tag tag = {.key = "seen", .value = "yes"};
    (void)is_fine(crowd, frag_stream_tag(stream, &tag, 1, NULL, 0), "tag");
    (void)is_fine(crowd, frag_stream_describe(stream, &info), "describe");
    (void)is_fine(
        crowd,
        frag_gap_each(stream, (struct kn_wall){0}, (struct kn_wall){INT64_MAX}, count_gap, &gaps),
        "gaps");
    (void)is_fine(crowd, frag_retention_plan(crowd->world->store, now(), NULL, NULL, &summary),
                  "plan");
    (void)is_fine(crowd, frag_store_flush(crowd->world->store), "flush");
    (void)frag_store_stats(crowd->world->store);
}

static void *keep_up(void *user) {
    struct member *member = user;
    while (!atomic_load(&member->crowd->stop)) {
        come_and_go(member);
        hold_and_let_go(member);
        if (member->number == 0) {
            look_around(member);
        }
    }
    return NULL;
}

/* ---- all of it ---- */

static void make_streams(struct world *world) {
    for (unsigned i = 0; i < STREAMS; i++) {
        struct frag_stream_settings settings = frag_stream_settings_defaults();
        struct frag_stream *stream = NULL;
        char name[8];
        settings.retention_ns = FRAG_RETAIN_FOREVER;
        settings.target_ns = KN_NS_PER_S;
        settings.retention_bytes = is_short(i) ? RETENTION_BYTES : 0;
        assert_int_equal(
            frag_stream_create(world->store, name_of(i, name), &settings, NULL, 0, &stream), 0);
    }
}

static void start(struct crowd *crowd, struct member *members, unsigned count,
                  void *(*work)(void *)) {
    for (unsigned i = 0; i < count; i++) {
        members[i] =
            (struct member){.crowd = crowd, .number = i, .random = i + 1 + (uintptr_t)count};
        assert_int_equal(pthread_create(&members[i].thread, NULL, work, &members[i]), 0);
    }
}

static void join(struct member *members, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(pthread_join(members[i].thread, NULL), 0);
    }
}

static void rest(int64_t ns) {
    struct timespec left = {.tv_sec = ns / KN_NS_PER_S, .tv_nsec = ns % KN_NS_PER_S};
    while (nanosleep(&left, &left) != 0) {
    }
}

static void load_all(struct crowd *crowd) {
    static struct member writers[WRITERS], readers[READERS], keepers[2];
    start(crowd, writers, WRITERS, write_on);
    start(crowd, readers, READERS, read_on);
    start(crowd, keepers, KN_COUNT(keepers), keep_up);
    rest(LOAD_NS); /* the load is the test: nothing else is waited for */
    atomic_store(&crowd->stop, true);
    join(writers, WRITERS);
    join(readers, READERS);
    join(keepers, KN_COUNT(keepers));
}

static int compare(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Of a stream that keeps everything, all that was acknowledged, and nothing else. */
static void check_stream(struct crowd *crowd, unsigned number) {
    static struct frag_entry entries[100000];
    struct acked *acked = &crowd->acked[number];
    char name[8];
    size_t count = world_list(crowd->world, name_of(number, name), entries, KN_COUNT(entries));
    assert_true(acked->count > 0 && count > 0);
    if (is_short(number)) {
        assert_true(count <= acked->count);
        return;
    }
    qsort(acked->sequences, acked->count, sizeof(*acked->sequences), compare);
    assert_int_equal(count, acked->count);
    for (size_t i = 0; i < count; i++) {
        assert_true(entries[i].number.sequence == acked->sequences[i]);
    }
    assert_int_equal(world_check(crowd->world, name), count);
}

static int say_finding(const struct frag_check_finding *finding, void *user) {
    (void)user;
    if (finding->severity != FRAG_CHECK_NOTE) {
        print_message("# check: %s: %s\n", finding->path, finding->what);
    }
    return 0;
}

static void check_store(struct world *world) {
    static const struct frag_check_handler handler = {.finding = say_finding};
    struct frag_store_config config = world->config;
    struct frag_check_report report;
    config.mode = FRAG_STORE_READ;
    assert_int_equal(frag_store_check(&config, &handler, NULL, &report), 0);
    assert_int_equal(report.damages, 0);
    assert_int_equal(report.repairs, 0);
}

static void everything_at_once(void **state) {
    static struct crowd crowd;
    struct world *world = *state;
    crowd.world = world;
    (void)pthread_mutex_init(&crowd.lock, NULL);
    world->config.threads = true;
    world->config.clock = NULL;
    kn_log_set_level(KN_LOG_WARN);
    world_open(world);
    make_streams(world);
    load_all(&crowd);
    assert_int_equal(frag_retention_run(world->store), 0);
    struct frag_store_stats stats = frag_store_stats(world->store);
    print_message("# %" PRIu64 " fragments in %" PRIu64 " sessions, %" PRIu64 " loads, %" PRIu64
                  " too late, %" PRIu64 " reels deleted, %" PRIu64 " holds, %" PRIu64 " streams\n",
                  stats.appended, atomic_load(&crowd.sessions), atomic_load(&crowd.loads),
                  atomic_load(&crowd.misses), stats.deleted_reels, atomic_load(&crowd.holds),
                  atomic_load(&crowd.temps));
    assert_int_equal(atomic_load(&crowd.problems), 0);
    assert_int_equal(stats.health, FRAG_STORE_FINE);
    assert_int_equal(stats.failed, 0);
    assert_true(stats.deleted_reels > 0);
    assert_true(atomic_load(&crowd.loads) > 0 && atomic_load(&crowd.holds) > 0 &&
                atomic_load(&crowd.temps) > 0);
    world_close(world);
    check_store(world);
    world->config.threads = false;
    world_open(world);
    assert_int_equal(world->opening.recovered_reels, 0);
    assert_int_equal(world->opening.lost_files, 0);
    assert_int_equal(world->opening.foreign_files, 0);
    for (unsigned i = 0; i < STREAMS; i++) {
        check_stream(&crowd, i);
        free(crowd.acked[i].sequences);
    }
    (void)pthread_mutex_destroy(&crowd.lock);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_at_once, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
