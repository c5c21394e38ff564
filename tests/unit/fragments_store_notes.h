/* Records in the scripted life of a store (fragments_store_script.h): the n-th says n, and what was
 * promised of them when. */
#ifndef TESTS_UNIT_FRAGMENTS_STORE_NOTES_H
#define TESTS_UNIT_FRAGMENTS_STORE_NOTES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "fragments/fragments.h"

#define NOTES "notes" /* the stream */
#define NOTES_MAX 64u
#define NOTES_START (INT64_C(1795209820) * KN_NS_PER_S)
#define NOTES_STEP_NS (300 * KN_NS_PER_MS)
#define NOTES_PARTS 3u /* the second key of the n-th is n % NOTES_PARTS */

struct notes {
    const size_t *step; /* of the recorded changes, now */
    uint64_t tried;     /* those below were added: they may be there */
    bool promised[NOTES_MAX];
    size_t promised_at[NOTES_MAX];
    struct note_session {
        struct notes *notes;
        uint64_t first;
    } sessions[2]; /* acks of theirs come until the store is gone */
};

static inline void notes_take_ack(const struct frag_ack *ack, void *user) {
    struct note_session *session = user;
    struct notes *notes = session->notes;
    if (ack->kind == FRAG_ACK_DURABLE) {
        for (uint64_t i = 0; i < ack->records; i++) {
            uint64_t n = session->first + ack->first_record + i;
            assert_true(n < notes->tried);
            notes->promised[n] = true;
            notes->promised_at[n] = *notes->step;
        }
    }
}

/* A session of `count` records, in batches of two or three. Everything may fail. */
static inline void notes_write(struct notes *notes, struct frag_store *store, size_t session,
                               unsigned count) {
    struct frag_stream *stream = frag_stream_find(store, NOTES);
    struct frag_records *records = NULL;
    notes->sessions[session] = (struct note_session){.notes = notes, .first = notes->tried};
    const struct frag_records_config config = {.handle_ack = notes_take_ack,
                                               .user = &notes->sessions[session]};
    if (stream == NULL || frag_records_open(stream, &config, &records) < 0) {
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        uint64_t n = notes->tried;
        assert_true(n < NOTES_MAX);
        const struct frag_record record = {
            .time = {NOTES_START + (int64_t)n * NOTES_STEP_NS},
            .key_mask = 0x9,
            .keys = {n, 0, 0, n % NOTES_PARTS},
            .data = (const uint8_t *)&n,
            .bytes = sizeof(n),
        };
        if (frag_records_add(records, &record) < 0) {
            break;
        }
        notes->tried++;
        if (n % 5 == 1 || n % 5 == 4) {
            (void)!frag_records_commit(records);
        }
    }
    frag_records_close(records, FRAG_GAP_PRODUCER_AWAY);
}

struct notes_found {
    bool all[NOTES_MAX];
    uint64_t tried, next; /* they come in order */
};

static inline int notes_find(const struct frag_record *record, void *user) {
    struct notes_found *found = user;
    uint64_t n = 0;
    assert_int_equal(record->bytes, sizeof(n));
    memcpy(&n, record->data, sizeof(n));
    assert_true(n < found->tried && n >= found->next);
    assert_int_equal(record->time.ns, NOTES_START + (int64_t)n * NOTES_STEP_NS);
    assert_int_equal(record->key_mask, 0x9);
    assert_int_equal(record->keys[0], n);
    assert_int_equal(record->keys[3], n % NOTES_PARTS);
    found->all[n] = true;
    found->next = n + 1;
    return 0;
}

static inline void notes_list(const struct notes *notes, struct frag_archive *archive,
                              struct frag_stream *stream, const struct frag_record_key *key,
                              struct notes_found *found) {
    *found = (struct notes_found){.tried = notes->tried};
    assert_int_equal(frag_records_each(archive, stream, (struct kn_wall){INT64_MIN},
                                       (struct kn_wall){INT64_MAX}, key, notes_find, found),
                     0);
}

/* What was promised up to `steps` is there, and by each key just what is there without one. */
static inline void notes_check(const struct notes *notes, struct frag_archive *archive,
                               struct frag_store *store, size_t steps) {
    struct frag_stream *stream = frag_stream_find(store, NOTES);
    struct notes_found all, some;
    if (stream == NULL) {
        for (uint64_t n = 0; n < notes->tried; n++) {
            assert_false(notes->promised[n] && notes->promised_at[n] <= steps);
        }
        return;
    }
    notes_list(notes, archive, stream, NULL, &all);
    for (uint64_t n = 0; n < notes->tried; n++) {
        assert_true(all.all[n] || !notes->promised[n] || notes->promised_at[n] > steps);
    }
    for (uint64_t part = 0; part < NOTES_PARTS; part++) {
        const struct frag_record_key key = {.slot = 3, .key = part};
        notes_list(notes, archive, stream, &key, &some);
        for (uint64_t n = 0; n < notes->tried; n++) {
            assert_int_equal(some.all[n], all.all[n] && n % NOTES_PARTS == part);
        }
    }
}

#endif
