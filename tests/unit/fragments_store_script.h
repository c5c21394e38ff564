/* A scripted life of a store in memory, everything of it (reels, journal, SQLite) through one
 * table, with a record of what was promised when: for stopping it and cutting its power. */
#ifndef TESTS_UNIT_FRAGMENTS_STORE_SCRIPT_H
#define TESTS_UNIT_FRAGMENTS_STORE_SCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fragments/fragments.h"
#include "tests/support/camera.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault_io.h"
#include "tests/support/mem_io.h"
#include "tests/support/vfs_io.h"
#include "tests/unit/fragments_store_notes.h"

#define SCRIPT_START (INT64_C(1795209820) * KN_NS_PER_S)
#define SCRIPT_FACTS 512

enum fact_kind {
    FACT_TRIED,   /* a fragment began: it may be there */
    FACT_DURABLE, /* ... it was acknowledged: it must be there, until its stream or retention goes
                   */
    FACT_STREAM,  /* created: it must be there, unless deleted */
    FACT_TAG,     /* `sequence`: how many times it was changed */
    FACT_HOLD,
    FACT_GAP,
    FACT_DELETED /* the stream must not be there */
};

struct fact {
    enum fact_kind kind;
    char stream[8];
    uint64_t sequence;
    size_t step; /* of the recorded changes when it was said */
};

struct script {
    struct mem_io *mem;
    struct fault_io fault;
    struct fake_clock clock;
    struct frag_store *store;
    struct fact facts[SCRIPT_FACTS];
    size_t fact_count;
    struct notes notes;
};

struct script_session {
    struct script *script;
    char stream[8];
    struct camera camera;
    struct frag_writer *writer;
};

static inline void script_note(struct script *script, enum fact_kind kind, const char *stream,
                               uint64_t sequence) {
    assert_true(script->fact_count < SCRIPT_FACTS);
    struct fact *fact = &script->facts[script->fact_count++];
    fact->kind = kind;
    (void)snprintf(fact->stream, sizeof(fact->stream), "%s", stream);
    fact->sequence = sequence;
    fact->step = script->fault.step_count;
}

static inline void script_take_ack(const struct frag_ack *ack, void *user) {
    struct script_session *session = user;
    if (ack->kind != FRAG_ACK_FAILED) {
        script_note(session->script, ack->kind == FRAG_ACK_DURABLE ? FACT_DURABLE : FACT_TRIED,
                    session->stream, ack->number.sequence);
    }
}

static inline struct frag_store_config script_config(struct script *script, struct frag_io *io) {
    struct frag_store_config config = frag_store_config_defaults();
    config.data = "a";
    config.threads = false;
    config.clock = &script->clock.clock;
    config.seed = 11;
    config.min_free_bytes = 0;
    config.io = io;
    return config;
}

static inline void script_move_clock(struct kn_wall time, void *user) {
    struct script *script = user;
    int64_t now = atomic_load(&script->clock.wall_ns);
    if (time.ns > now) {
        fake_clock_advance(&script->clock, time.ns - now);
    }
}

/* Everything may fail from here on: what works is noted. */

static inline void script_stream(struct script *script, const char *name,
                                 uint64_t retention_bytes) {
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_stream *stream = NULL;
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.retention_bytes = retention_bytes;
    settings.target_ns = KN_NS_PER_S;
    settings.records = strcmp(name, NOTES) == 0;
    if (frag_stream_create(script->store, name, &settings, NULL, 0, &stream) == 0) {
        script_note(script, FACT_STREAM, name, 0);
    }
}

static inline bool script_begin(struct script_session *session, struct script *script,
                                const char *name, uint32_t seed) {
    *session = (struct script_session){.script = script};
    (void)snprintf(session->stream, sizeof(session->stream), "%s", name);
    struct frag_stream *stream = frag_stream_find(script->store, name);
    const struct frag_writer_config config = {.handle_ack = script_take_ack, .user = session};
    if (stream == NULL || frag_writer_open(stream, &config, &session->writer) < 0) {
        return false;
    }
    camera_init(&session->camera, seed, (struct kn_wall){atomic_load(&script->clock.wall_ns)});
    session->camera.gop = 5;
    session->camera.picture_bytes = 40;
    session->camera.advance = script_move_clock;
    session->camera.user = script;
    return true;
}

/* Seconds of one fragment each. */
static inline void script_send(struct script_session *session, unsigned fragments) {
    if (session->writer != NULL) {
        camera_send(&session->camera, session->writer, 25 * fragments);
    }
}

static inline void script_end(struct script_session *session) {
    if (session->writer != NULL) {
        frag_writer_close(session->writer, FRAG_GAP_PRODUCER_AWAY);
        camera_finish(&session->camera);
        session->writer = NULL;
    }
}

static inline void script_tag(struct script *script, const char *name, unsigned value) {
    struct frag_stream *stream = frag_stream_find(script->store, name);
    struct frag_stream_tag tag = {.key = "n"};
    (void)snprintf(tag.value, sizeof(tag.value), "%u", value);
    if (stream != NULL && frag_stream_tag(stream, &tag, 1, NULL, 0) == 0) {
        script_note(script, FACT_TAG, name, value);
    }
}

static inline void script_hold(struct script *script, const char *name, int64_t from_s,
                               int64_t to_s) {
    struct frag_stream *stream = frag_stream_find(script->store, name);
    struct frag_hold hold = {.clock = FRAG_CLOCK_SERVER,
                             .from = {SCRIPT_START + from_s * KN_NS_PER_S},
                             .to = {SCRIPT_START + to_s * KN_NS_PER_S},
                             .reason = "test"};
    if (stream != NULL && frag_hold_add(stream, &hold) == 0) {
        script_note(script, FACT_HOLD, name, (uint64_t)from_s);
    }
}

static inline void script_gap(struct script *script, const char *name, int64_t from_s) {
    struct frag_stream *stream = frag_stream_find(script->store, name);
    const struct frag_gap gap = {.from = {SCRIPT_START + from_s * KN_NS_PER_S},
                                 .to = {SCRIPT_START + (from_s + 1) * KN_NS_PER_S},
                                 .cause = FRAG_GAP_OPERATOR};
    if (stream != NULL && frag_gap_add(stream, &gap, false) == 0) {
        script_note(script, FACT_GAP, name, (uint64_t)from_s);
    }
}

static inline void script_delete(struct script *script, const char *name) {
    struct frag_stream *stream = frag_stream_find(script->store, name);
    if (stream != NULL && frag_stream_delete(stream, NULL) == 0) {
        script_note(script, FACT_DELETED, name, 0);
    }
}

/* "keep" keeps everything, "short" a few reels with a hold on the first, "gone" is deleted, "notes"
 * has records. */
static inline void script_life(struct script *script) {
    /* Acks of theirs come until the store is gone. */
    static struct script_session keep;
    static struct script_session brief;
    script_stream(script, "keep", 0);
    script_stream(script, "short", 40000);
    script_stream(script, NOTES, 0);
    bool has_keep = script_begin(&keep, script, "keep", 1);
    script_send(&keep, 2);
    (void)frag_store_flush(script->store);
    bool has_short = script_begin(&brief, script, "short", 2);
    script_send(&brief, 3);
    script_send(&keep, 1);
    script_hold(script, "short", 3, 4);
    (void)frag_store_flush(script->store);
    script_end(&brief);
    notes_write(&script->notes, script->store, 0, 12);
    script_tag(script, "keep", 1);
    for (unsigned round = 0; round < 4; round++) {
        fake_clock_advance(&script->clock, 601 * KN_NS_PER_S);
        has_short = script_begin(&brief, script, "short", 3 + round);
        script_send(&brief, 4);
        script_end(&brief);
        (void)frag_store_flush(script->store);
        (void)frag_retention_run(script->store);
    }
    script_end(&keep);
    script_gap(script, "keep", -100);
    script_stream(script, "gone", 0);
    if (script_begin(&brief, script, "gone", 20)) {
        script_send(&brief, 2);
        script_end(&brief);
    }
    (void)frag_store_flush(script->store);
    script_delete(script, "gone");
    (void)frag_retention_run(script->store);
    script_tag(script, "keep", 2);
    notes_write(&script->notes, script->store, 1, 7);
    has_keep = script_begin(&keep, script, "keep", 9);
    script_send(&keep, 2);
    script_end(&keep);
    (void)has_keep;
    (void)has_short;
}

static inline void script_setup(struct script *script) {
    memset(script, 0, sizeof(*script));
    script->mem = mem_io_create();
    struct frag_io *io = mem_io(script->mem);
    assert_int_equal(io->make_folder(io, "a"), 0);
    fault_io_init(&script->fault, io);
    script->notes.step = &script->fault.step_count;
    fake_clock_init(&script->clock, SCRIPT_START, KN_NS_PER_S);
}

/* Opens, lives, closes; with a stop or power cut in mind. */
static inline void script_run(struct script *script, bool close) {
    struct frag_store_config config = script_config(script, &script->fault.io);
    vfs_io_register(&script->fault.io);
    if (frag_store_open(&config, &script->store, NULL) == 0) {
        script_life(script);
        if (close) {
            frag_store_close(script->store);
        } else {
            frag_store_abandon(script->store);
        }
    }
    vfs_io_crash();
    vfs_io_unregister();
}

static inline void script_finish(struct script *script) {
    fault_io_finish(&script->fault);
    mem_io_destroy(script->mem);
}

/* ---- checking what is left ---- */

struct script_check {
    struct script *script;
    size_t steps; /* promises up to here count */
    struct frag_store *store;
    struct frag_archive *archive;
    bool stopped; /* the life was cut short in the middle of what is checked */
};

static inline bool was_tried(const struct script *script, const char *stream, uint64_t sequence) {
    for (size_t i = 0; i < script->fact_count; i++) {
        const struct fact *fact = &script->facts[i];
        if (fact->kind == FACT_TRIED && fact->sequence == sequence &&
            strcmp(fact->stream, stream) == 0) {
            return true;
        }
    }
    return false;
}

static inline bool may_be_deleted(const struct script *script, const char *stream) {
    /* The deletion may have been begun and not answered. */
    return strcmp(stream, "gone") == 0 && script->fact_count > 0;
}

static struct frag_entry script_entries[SCRIPT_FACTS];

static inline size_t check_stream(struct script_check *check, const char *name) {
    struct frag_stream *stream = frag_stream_find(check->store, name);
    size_t count = 0;
    while (stream != NULL && count < SCRIPT_FACTS) {
        int rc = frag_archive_range(check->archive, stream, FRAG_CLOCK_SERVER,
                                    (struct kn_wall){INT64_MIN}, (struct kn_wall){INT64_MAX},
                                    count > 0 ? script_entries[count - 1].number.sequence : 0,
                                    script_entries + count, 64);
        assert_true(rc >= 0);
        if (rc == 0) {
            break;
        }
        count += (size_t)rc;
        assert_true(count + 64 < SCRIPT_FACTS);
    }
    for (size_t i = 0; i < count; i++) {
        struct frag_loaded *loaded = NULL;
        uint32_t seed = 0;
        uint32_t first = 0;
        assert_true(was_tried(check->script, name, script_entries[i].number.sequence));
        assert_int_equal(frag_archive_load(check->archive, &script_entries[i], &loaded), 0);
        assert_null(camera_check(loaded, &seed, &first));
        frag_loaded_free(loaded);
        assert_true(i == 0 || script_entries[i].ordinal > script_entries[i - 1].ordinal);
    }
    return count;
}

static inline bool is_listed(size_t count, uint64_t sequence) {
    for (size_t i = 0; i < count; i++) {
        if (script_entries[i].number.sequence == sequence) {
            return true;
        }
    }
    return false;
}

static inline void check_fragments(struct script_check *check) {
    static const char *const names[] = {"keep", "short", "gone"};
    for (size_t n = 0; n < KN_COUNT(names); n++) {
        size_t count = check_stream(check, names[n]);
        uint64_t oldest = count > 0 ? script_entries[0].number.sequence : UINT64_MAX;
        bool all = strcmp(names[n], "keep") == 0 || (strcmp(names[n], "gone") == 0 && count > 0 &&
                                                     !may_be_deleted(check->script, names[n]));
        for (size_t i = 0; i < check->script->fact_count; i++) {
            const struct fact *fact = &check->script->facts[i];
            if (fact->kind != FACT_DURABLE || fact->step > check->steps ||
                strcmp(fact->stream, names[n]) != 0) {
                continue;
            }
            if (all && !is_listed(count, fact->sequence)) {
                print_message("# %s: fragment %llx, promised at %zu, is missing at %zu\n", names[n],
                              (unsigned long long)fact->sequence, fact->step, check->steps);
                assert_true(false);
            }
            (void)oldest;
        }
    }
}

struct found {
    const char *what;
    int64_t from;
    unsigned count;
};

static inline int find_gap(const struct frag_gap_entry *gap, void *user) {
    struct found *found = user;
    found->count += gap->gap.from.ns == found->from ? 1 : 0;
    return 0;
}

static inline int find_hold(const struct frag_hold *hold, void *user) {
    struct found *found = user;
    found->count += hold->from.ns == found->from ? 1 : 0;
    return 0;
}

static inline void check_tag(struct script_check *check, const struct fact *fact) {
    static struct frag_stream_info info;
    struct frag_stream *stream = frag_stream_find(check->store, fact->stream);
    assert_non_null(stream);
    assert_int_equal(frag_stream_describe(stream, &info), 0);
    assert_int_equal(info.tag_count, 1);
    assert_true(strtoull(info.tags[0].value, NULL, 10) >= fact->sequence);
}

static inline void check_fact(struct script_check *check, const struct fact *fact) {
    struct frag_stream *stream = frag_stream_find(check->store, fact->stream);
    struct found found = {.from = SCRIPT_START + (int64_t)fact->sequence * KN_NS_PER_S};
    switch (fact->kind) {
    case FACT_STREAM:
        assert_true(stream != NULL || may_be_deleted(check->script, fact->stream));
        break;
    case FACT_TAG:
        check_tag(check, fact);
        break;
    case FACT_HOLD:
        assert_int_equal(frag_hold_each(check->store, find_hold, &found), 0);
        assert_int_equal(found.count, 1);
        break;
    case FACT_GAP:
        assert_int_equal(frag_gap_each(stream, (struct kn_wall){INT64_MIN},
                                       (struct kn_wall){INT64_MAX}, find_gap, &found),
                         0);
        assert_int_equal(found.count, 1);
        break;
    case FACT_DELETED:
        assert_null(stream);
        break;
    case FACT_TRIED:
    case FACT_DURABLE:
        break;
    }
}

/* The held fragments of "short" are there whatever retention did. */
static inline void check_held(struct script_check *check) {
    bool held = false;
    for (size_t i = 0; i < check->script->fact_count; i++) {
        const struct fact *fact = &check->script->facts[i];
        held = held || (fact->kind == FACT_HOLD && fact->step <= check->steps);
    }
    struct frag_stream *stream = frag_stream_find(check->store, "short");
    struct frag_entry entry;
    if (!held || stream == NULL) {
        return;
    }
    /* The first fragments of the stream lie under it; those that were durable must be found. */
    for (size_t i = 0; i < check->script->fact_count; i++) {
        const struct fact *fact = &check->script->facts[i];
        if (fact->kind != FACT_DURABLE || fact->step > check->steps ||
            strcmp(fact->stream, "short") != 0 || (fact->sequence & 0xFFFFFFFFu) != 2) {
            continue;
        }
        assert_int_equal(frag_archive_find_number(check->archive, stream, fact->sequence, &entry),
                         0);
    }
}

/* Opens what is left in `left` and compares it with what was promised up to `steps`. */
static inline void script_check(struct script *script, struct mem_io *left, size_t steps) {
    struct script_check check = {.script = script, .steps = steps};
    struct frag_store_config config = script_config(script, mem_io(left));
    struct frag_store_opening opening;
    vfs_io_register(mem_io(left));
    int rc = frag_store_open(&config, &check.store, &opening);
    if (rc < 0) {
        print_message("# opening: %d %s\n", rc, opening.problem);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(frag_archive_open(check.store, &check.archive), 0);
    check_fragments(&check);
    for (size_t i = 0; i < script->fact_count; i++) {
        if (script->facts[i].step <= steps) {
            check_fact(&check, &script->facts[i]);
        }
    }
    check_held(&check);
    notes_check(&script->notes, check.archive, check.store, steps);
    frag_archive_close(check.archive);
    frag_store_close(check.store);
    vfs_io_unregister();
}

#endif
