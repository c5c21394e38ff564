/* Journals as they may lie on a disk: fragments/store/journal.h on any bytes, and the opening of a
 * catalog whose copies they are. The first byte: bit 0 two copies, cut where the next two bytes
 * say; bit 1 checksums are made right first, so that what stands behind them is reached. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/store/catalog.h"
#include "tests/support/mem_io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const folders[] = {"a", "b"};
static const char *const paths[] = {"a/journal", "b/journal"};

#define MAX_BYTES ((size_t)1 << 20)

/* ---- bytes ---- */

static void check_same(const struct frag_journal_record *record, const uint8_t *data) {
    uint8_t head[FRAG_JOURNAL_RECORD_HEAD_BYTES];
    frag_journal_encode(record, head);
    KN_ASSERT(memcmp(head, data, sizeof(head)) == 0);
    KN_ASSERT(record->key.data == data + sizeof(head));
    KN_ASSERT(record->value.data == record->key.data + record->key.size);
    KN_ASSERT(sizeof(head) + record->key.size + record->value.size == record->bytes);
}

static void decode_all(const uint8_t *data, size_t size) {
    struct frag_journal_header header;
    struct frag_journal_record record;
    if (frag_journal_decode_header(data, size, &header) == 0) {
        uint8_t again[FRAG_JOURNAL_HEADER_BYTES];
        frag_journal_encode_header(&header, again);
        KN_ASSERT(memcmp(again, data, sizeof(again)) == 0);
    }
    for (size_t at = 0; at < size; at++) {
        uint64_t checked = 0;
        int rc = frag_journal_decode_between(data + at, size - at, 1, FRAG_JOURNAL_SEQUENCE_MAX,
                                             &record, &checked);
        if (rc == 0) {
            KN_ASSERT(record.bytes <= size - at && checked == record.bytes);
            check_same(&record, data + at);
            KN_ASSERT(frag_journal_decode(data + at, size - at, record.sequence, &record) == 0);
            KN_ASSERT(frag_journal_decode(data + at, record.bytes - 1, record.sequence, &record) ==
                      KN_E_TRUNCATED);
        }
    }
}

static void set_be32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* The checksums of a header and of the records behind it as far as lengths lead. */
static void seal(uint8_t *data, size_t size) {
    if (size < FRAG_JOURNAL_HEADER_BYTES) {
        return;
    }
    set_be32(data + FRAG_JOURNAL_HEADER_BYTES - 4,
             kn_crc32c(0, data, FRAG_JOURNAL_HEADER_BYTES - 4));
    for (size_t at = FRAG_JOURNAL_HEADER_BYTES; size - at >= 16;) {
        size_t bytes = frag_journal_record_bytes(data + at);
        if (bytes == 0 || bytes > size - at) {
            return;
        }
        set_be32(data + at + 4, kn_crc32c(0, data + at + 8, bytes - 8));
        at += bytes;
    }
}

/* ---- catalogs ---- */

struct digest {
    uint32_t crc;
    uint16_t kind;
    struct frag_catalog_value last;
};

static int add_value(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct digest *digest = user;
    size_t common = key.size < digest->last.size ? key.size : digest->last.size;
    int order = common > 0 ? memcmp(digest->last.data, key.data, common) : 0;
    KN_ASSERT(digest->last.data == NULL || order < 0 ||
              (order == 0 && digest->last.size < key.size));
    const uint16_t sizes[] = {digest->kind, (uint16_t)key.size, (uint16_t)value.size};
    digest->crc = kn_crc32c(digest->crc, sizes, sizeof(sizes));
    digest->crc = kn_crc32c(digest->crc, key.data, key.size);
    digest->crc = kn_crc32c(digest->crc, value.data, value.size);
    digest->last = key;
    return 0;
}

static uint32_t digest_of(const struct frag_catalog *catalog) {
    struct digest digest = {0};
    for (uint32_t kind = 0; kind < 256; kind++) {
        digest.kind = (uint16_t)kind;
        digest.last = (struct frag_catalog_value){NULL, 0};
        KN_ASSERT(frag_catalog_each(catalog, digest.kind, add_value, &digest) == 0);
    }
    return digest.crc;
}

static bool is_file(struct mem_io *mem, size_t i, const uint8_t *data, size_t size) {
    size_t now = 0;
    const uint8_t *bytes = mem_io_peek(mem, paths[i], &now);
    return bytes != NULL && now == size && (size == 0 || memcmp(bytes, data, size) == 0);
}

/* 0: opened, changed, and closed again. */
static int use(struct mem_io *mem, size_t copies, bool *ret_changed, uint32_t *ret_digest) {
    const struct frag_catalog_config config = {.io = mem_io(mem),
                                               .folders = folders,
                                               .folder_count = copies,
                                               .store_id = "0123456789abcdef",
                                               .max_bytes = MAX_BYTES,
                                               .compact_bytes = 200};
    struct frag_catalog *catalog;
    struct frag_catalog_report report;
    int rc = frag_catalog_open(&config, &catalog, &report);
    if (rc < 0) {
        KN_ASSERT(rc == KN_E_MALFORMED || rc == KN_E_UNSUPPORTED || rc == -EXDEV ||
                  rc == KN_E_LIMIT || rc == -ENOMEM);
        return rc;
    }
    rc = frag_catalog_put(catalog, 255, "key", 3, "value", 5);
    KN_ASSERT(rc == 0 || rc == -ENOMEM || rc == KN_E_LIMIT);
    *ret_changed = rc == 0;
    *ret_digest = digest_of(catalog);
    frag_catalog_close(catalog);
    return 0;
}

static void open_copies(const uint8_t *const data[2], const size_t sizes[2], size_t copies) {
    struct mem_io *mem = mem_io_create();
    bool changed = false, again = false;
    uint32_t digest = 0, digest_again = 0;
    for (size_t i = 0; i < copies; i++) {
        KN_ASSERT(mem_io(mem)->make_folder(mem_io(mem), folders[i]) == 0);
        mem_io_set(mem, paths[i], data[i], sizes[i]);
    }
    int rc = use(mem, copies, &changed, &digest);
    for (size_t i = 0; i < copies && rc < 0 && rc != -ENOMEM; i++) {
        KN_ASSERT(is_file(mem, i, data[i], sizes[i])); /* nothing is touched */
    }
    if (rc == 0) {
        rc = use(mem, copies, &again, &digest_again);
        KN_ASSERT(rc == 0 || rc == -ENOMEM);
        KN_ASSERT(rc < 0 || changed != again || digest == digest_again);
    }
    mem_io_destroy(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) {
        return 0;
    }
    size_t rest = size - 3, cut = rest;
    uint8_t *bytes = malloc(rest + 1);
    if (bytes == NULL) {
        return 0;
    }
    memcpy(bytes, data + 3, rest);
    if ((data[0] & 1) != 0) {
        size_t wanted = (size_t)data[1] << 8 | data[2];
        cut = wanted < rest ? wanted : rest;
    }
    if ((data[0] & 2) != 0) {
        seal(bytes, cut);
        seal(bytes + cut, rest - cut);
    }
    decode_all(bytes, rest);
    open_copies((const uint8_t *const[]){bytes, bytes + cut}, (const size_t[]){cut, rest - cut},
                (data[0] & 1) != 0 ? 2 : 1);
    free(bytes);
    return 0;
}
