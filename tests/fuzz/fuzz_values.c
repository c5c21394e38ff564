/* Values of the journal (fragments/store/values.h) on any bytes. The first byte says which; with
 * its highest bit the checksum of an identity is made right first. What is taken is written back as
 * the same bytes, and no part of it is taken. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/store/values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM ((size_t)64 * 1024)
#define PREFIXES 64u

/* Reads, and writes again what was read. 0 or the reader's answer. */
typedef int round_trip(struct frag_catalog_value value, struct kn_writer *writer);

#define MAKE_ROUND_TRIP(kind, type)                                                                \
    static int again_##kind(struct frag_catalog_value value, struct kn_writer *writer) {           \
        type read;                                                                                 \
        int rc = frag_value_read_##kind(value, &read);                                             \
        if (rc == 0) {                                                                             \
            frag_value_write_##kind(writer, &read);                                                \
        }                                                                                          \
        return rc;                                                                                 \
    }

MAKE_ROUND_TRIP(folder, struct frag_value_folder)
MAKE_ROUND_TRIP(mark, struct frag_value_mark)
MAKE_ROUND_TRIP(hold, struct frag_value_hold)
MAKE_ROUND_TRIP(gap, struct frag_gap_entry)
MAKE_ROUND_TRIP(seal, struct frag_value_seal)

static int again_u64(struct frag_catalog_value value, struct kn_writer *writer) {
    uint64_t read;
    int rc = frag_value_read_u64(value, &read);
    if (rc == 0) {
        frag_value_write_u64(writer, read);
    }
    return rc;
}

static int again_stream(struct frag_catalog_value value, struct kn_writer *writer) {
    struct frag_value_stream read;
    int rc = frag_value_read_stream(value, &read);
    if (rc == 0) {
        frag_value_write_stream(writer, &read);
        free(read.tags);
    }
    return rc;
}

static int again_gap_key(struct frag_catalog_value value, struct kn_writer *writer) {
    struct frag_gap_key read;
    uint8_t room[FRAG_GAP_KEY_BYTES];
    int rc = frag_gap_key_read(value, &read);
    if (rc == 0) {
        frag_gap_key_write(&read, room);
        kn_write_bytes(writer, room, sizeof(room));
    }
    return rc;
}

static int again_identity(struct frag_catalog_value value, struct kn_writer *writer) {
    struct frag_folder_identity read;
    uint8_t room[FRAG_IDENTITY_BYTES];
    int rc = frag_identity_read(value.data, value.size, &read);
    if (rc == 0) {
        frag_identity_write(&read, room);
        kn_write_bytes(writer, room, sizeof(room));
    }
    return rc;
}

static round_trip *const kinds[] = {again_u64, again_folder,  again_mark, again_stream,  again_hold,
                                    again_gap, again_gap_key, again_seal, again_identity};

static void check_same(struct frag_catalog_value value, round_trip *again) {
    struct kn_writer writer;
    kn_writer_init_growing(&writer, ROOM);
    int rc = again(value, &writer);
    KN_ASSERT(rc == 0 || rc == KN_E_TRUNCATED || rc == KN_E_MALFORMED || rc == KN_E_UNSUPPORTED ||
              rc == -ENOMEM);
    if (rc == 0 && kn_writer_status(&writer) != -ENOMEM) {
        KN_ASSERT(kn_writer_status(&writer) == 0 && writer.size == value.size);
        KN_ASSERT(memcmp(writer.data, value.data, value.size) == 0);
        for (size_t cut = value.size; cut > 0 && value.size - cut < PREFIXES; cut--) {
            const struct frag_catalog_value part = {value.data, cut - 1};
            rc = again(part, &writer);
            KN_ASSERT(rc == KN_E_TRUNCATED || rc == -ENOMEM);
        }
    }
    kn_writer_finish(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) {
        return 0;
    }
    size_t rest = size - 1;
    uint8_t *bytes = malloc(rest + 1);
    if (bytes == NULL) {
        return 0;
    }
    memcpy(bytes, data + 1, rest);
    if ((data[0] & 0x80) != 0 && rest >= FRAG_IDENTITY_BYTES) {
        struct kn_writer writer;
        kn_writer_init(&writer, bytes + FRAG_IDENTITY_BYTES - 4, 4);
        kn_write_be32(&writer, kn_crc32c(0, bytes, FRAG_IDENTITY_BYTES - 4));
    }
    check_same((struct frag_catalog_value){bytes, rest}, kinds[(data[0] & 0x7f) % KN_COUNT(kinds)]);
    free(bytes);
    return 0;
}
