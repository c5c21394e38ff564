/* A record as the bytes of its block, and the keys of a batch. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/records.h"

#define MASK_ALL ((1u << FRAG_RECORD_KEYS) - 1)
/* What Matroska's parser takes for a cluster's time, to 2116. */
#define TIME_MOST_NS (INT64_MAX / 2 - FRAG_BATCH_SPAN_NS)

/* ---- framing ---- */

bool frag_record_can_be(const struct frag_record *record) {
    return record->time.ns >= 0 && record->time.ns <= TIME_MOST_NS &&
           (record->key_mask & ~MASK_ALL) == 0 && record->bytes <= FRAG_RECORD_MAX_BYTES;
}

void frag_record_write(struct kn_writer *writer, const struct frag_record *record) {
    if (!frag_record_can_be(record)) {
        if (writer->error == 0) {
            writer->error = KN_E_MALFORMED;
        }
        return;
    }
    kn_write_u8(writer, (uint8_t)record->key_mask);
    kn_write_be64(writer, (uint64_t)record->time.ns);
    for (unsigned slot = 0; slot < FRAG_RECORD_KEYS; slot++) {
        if ((record->key_mask & 1u << slot) != 0) {
            kn_write_be64(writer, record->keys[slot]);
        }
    }
    kn_write_bytes(writer, record->data, record->bytes);
}

int frag_record_read(const uint8_t *data, size_t size, struct frag_record *ret_record) {
    struct frag_record record = {0};
    struct kn_reader reader;
    kn_reader_init(&reader, data, size);
    record.key_mask = kn_read_u8(&reader);
    record.time.ns = (int64_t)kn_read_be64(&reader);
    for (unsigned slot = 0; slot < FRAG_RECORD_KEYS; slot++) {
        if ((record.key_mask & 1u << slot) != 0) {
            record.keys[slot] = kn_read_be64(&reader);
        }
    }
    record.bytes = kn_reader_left(&reader);
    record.data = kn_read_bytes(&reader, record.bytes);
    int rc = kn_reader_status(&reader);
    if (rc < 0) {
        return rc;
    }
    if (!frag_record_can_be(&record)) {
        return KN_E_MALFORMED;
    }
    *ret_record = record;
    return 0;
}

int frag_record_tracks(struct kn_tracks **ret_tracks) {
    const struct kn_track track = {
        .number = 1, .uid = 1, .media = KN_MEDIA_TEXT, .codec_id = "S_KINORA/RECORDS"};
    return kn_tracks_create(&track, 1, ret_tracks);
}

/* ---- keys ---- */

void frag_record_keys_finish(struct frag_record_keys *keys) {
    free(keys->all);
    *keys = (struct frag_record_keys){0};
}

/* Where it stands, or belongs. */
static size_t place_of(const struct frag_record_keys *keys, unsigned slot, uint64_t key,
                       bool *ret_there) {
    size_t low = 0;
    size_t high = keys->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct frag_record_key *at = &keys->all[middle];
        if (at->slot < slot || (at->slot == slot && at->key < key)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_there = low < keys->count && keys->all[low].slot == slot && keys->all[low].key == key;
    return low;
}

/* How many of the record's keys are not there yet. */
static size_t count_new(const struct frag_record_keys *keys, const struct frag_record *record) {
    size_t count = 0;
    for (unsigned slot = 0; slot < FRAG_RECORD_KEYS; slot++) {
        bool there = (record->key_mask & 1u << slot) == 0;
        if (!there) {
            (void)place_of(keys, slot, record->keys[slot], &there);
        }
        count += there ? 0 : 1;
    }
    return count;
}

bool frag_record_keys_fit(const struct frag_record_keys *keys, const struct frag_record *record) {
    return keys->count + count_new(keys, record) <= FRAG_BATCH_KEYS;
}

static int make_room(struct frag_record_keys *keys, size_t more) {
    if (keys->count + more <= keys->room) {
        return 0;
    }
    size_t room = keys->room == 0 ? 16 : keys->room * 2;
    struct frag_record_key *all = realloc(keys->all, room * sizeof(*all));
    if (all == NULL) {
        return -ENOMEM;
    }
    keys->all = all;
    keys->room = room;
    return 0;
}

int frag_record_keys_add(struct frag_record_keys *keys, const struct frag_record *record) {
    int rc = make_room(keys, FRAG_RECORD_KEYS);
    for (unsigned slot = 0; slot < FRAG_RECORD_KEYS && rc == 0; slot++) {
        bool there = (record->key_mask & 1u << slot) == 0;
        size_t at = there ? 0 : place_of(keys, slot, record->keys[slot], &there);
        if (!there) {
            memmove(&keys->all[at + 1], &keys->all[at], (keys->count - at) * sizeof(*keys->all));
            keys->all[at] = (struct frag_record_key){.slot = slot, .key = record->keys[slot]};
            keys->count++;
        }
    }
    return rc;
}
