/* Blocks of records (fragments/store/records.h) on any bytes: cut into pieces, each behind a byte
 * that says its length. What is taken is written back as the same bytes; of the keys of all pieces
 * each is there once, in order. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const uint8_t *data, size_t size, const struct frag_record *record) {
    uint8_t room[256];
    struct kn_writer writer;
    kn_writer_init(&writer, room, sizeof(room));
    frag_record_write(&writer, record);
    KN_ASSERT(kn_writer_status(&writer) == 0);
    KN_ASSERT(writer.size == size && memcmp(writer.data, data, size) == 0);
}

static bool rises(const struct frag_record_key *a, const struct frag_record_key *b) {
    return a->slot < b->slot || (a->slot == b->slot && a->key < b->key);
}

static bool has(const struct frag_record_keys *keys, unsigned slot, uint64_t key) {
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->all[i].slot == slot && keys->all[i].key == key) {
            return true;
        }
    }
    return false;
}

static void add_keys(struct frag_record_keys *keys, const struct frag_record *record) {
    size_t before = keys->count;
    if (frag_record_keys_add(keys, record) < 0) {
        KN_ASSERT(keys->count == before);
        return;
    }
    for (unsigned slot = 0; slot < FRAG_RECORD_KEYS; slot++) {
        KN_ASSERT((record->key_mask & 1u << slot) == 0 || has(keys, slot, record->keys[slot]));
    }
    for (size_t i = 1; i < keys->count; i++) {
        KN_ASSERT(rises(&keys->all[i - 1], &keys->all[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct frag_record_keys keys = {0};
    struct kn_reader reader;
    kn_reader_init(&reader, data, size);
    while (kn_reader_left(&reader) > 0) {
        size_t bytes = kn_read_u8(&reader);
        bytes = bytes < kn_reader_left(&reader) ? bytes : kn_reader_left(&reader);
        const uint8_t *piece = kn_read_bytes(&reader, bytes);
        struct frag_record record;
        int rc = frag_record_read(piece, bytes, &record);
        KN_ASSERT(rc == 0 || rc == KN_E_TRUNCATED || rc == KN_E_MALFORMED);
        if (rc == 0 && frag_record_keys_fit(&keys, &record)) {
            check_again(piece, bytes, &record);
            add_keys(&keys, &record);
        }
    }
    frag_record_keys_finish(&keys);
    return 0;
}
