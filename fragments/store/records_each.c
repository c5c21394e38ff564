/* Reading records back: the batches of a range, loaded one by one. */
#include "fragments/records.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "fragments/store/archive_inner.h"
#include "fragments/store/records.h"

#define BATCHES_AT_ONCE 64

struct reading {
    struct frag_archive *archive;
    struct frag_stream *stream;
    struct kn_wall from, to;
    const struct frag_record_key *key;
    int (*each)(const struct frag_record *record, void *user);
    void *user;
    int unread; /* why some batch could not be read; 0: all could */
};

static bool is_wanted(const struct reading *reading, const struct frag_record *record) {
    const struct frag_record_key *key = reading->key;
    return record->time.ns >= reading->from.ns && record->time.ns <= reading->to.ns &&
           (key == NULL ||
            ((record->key_mask & 1u << key->slot) != 0 && record->keys[key->slot] == key->key));
}

static void note_unread(struct reading *reading, int rc) {
    reading->unread = reading->unread != 0 ? reading->unread : rc;
}

/* All blocks of a batch are looked at before the first is told: half a batch would look whole. */
static int tell_batch(struct reading *reading, const struct frag_loaded *loaded) {
    struct frag_record record;
    int rc = 0;
    for (size_t i = 0; i < loaded->sample_count; i++) {
        if (frag_record_read(loaded->samples[i].data, loaded->samples[i].size, &record) < 0) {
            note_unread(reading, KN_E_MALFORMED);
            return 0;
        }
    }
    for (size_t i = 0; i < loaded->sample_count && rc >= 0; i++) {
        rc = frag_record_read(loaded->samples[i].data, loaded->samples[i].size, &record);
        if (rc == 0 && is_wanted(reading, &record)) {
            rc = reading->each(&record, reading->user);
        }
    }
    return rc;
}

static int read_batch(struct reading *reading, const struct frag_entry *entry) {
    struct frag_loaded *loaded = NULL;
    int rc = frag_archive_load(reading->archive, entry, &loaded);
    if (rc == -ENOENT) {
        return 0; /* retention took it meanwhile */
    }
    if (rc == KN_E_MALFORMED || rc == -ENODEV) {
        note_unread(reading, rc);
        return 0;
    }
    if (rc < 0) {
        return rc;
    }
    rc = tell_batch(reading, loaded);
    frag_loaded_free(loaded);
    return rc;
}

/* Where batches begin that can have a record from `time` on. */
static struct kn_wall earliest_begin(struct kn_wall time) {
    return (struct kn_wall){
        time.ns < INT64_MIN + FRAG_BATCH_SPAN_NS ? INT64_MIN : time.ns - FRAG_BATCH_SPAN_NS};
}

static int read_all(struct reading *reading, struct frag_entry *entries) {
    uint64_t after = 0;
    for (;;) {
        int count = frag_archive_range_of_key(
            reading->archive, reading->stream, FRAG_CLOCK_PRODUCER, earliest_begin(reading->from),
            reading->to, after, reading->key, entries, BATCHES_AT_ONCE);
        if (count <= 0) {
            return count < 0 ? count : reading->unread;
        }
        for (int i = 0; i < count; i++) {
            int rc = read_batch(reading, &entries[i]);
            if (rc < 0) {
                return rc;
            }
        }
        after = entries[count - 1].number.sequence;
    }
}

int frag_records_each(struct frag_archive *archive, struct frag_stream *stream, struct kn_wall from,
                      struct kn_wall to, const struct frag_record_key *key,
                      int (*each)(const struct frag_record *record, void *user), void *user) {
    struct reading reading = {
        .archive = archive,
        .stream = stream,
        .from = from,
        .to = to,
        .key = key,
        .each = each,
        .user = user,
    };
    if (!frag_stream_is_for_records(stream) || (key != NULL && key->slot >= FRAG_RECORD_KEYS)) {
        return -EINVAL;
    }
    struct frag_entry *entries = calloc(BATCHES_AT_ONCE, sizeof(*entries));
    if (entries == NULL) {
        return -ENOMEM;
    }
    int rc = read_all(&reading, entries);
    free(entries);
    return rc;
}
