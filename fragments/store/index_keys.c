/* Keys of records: which batches of a reel have which. Rows of their own, with a checksum each, as
 * fragments have. */
#include <errno.h>
#include <sqlite3.h>

#include "base/bytes.h"
#include "base/crc.h"
#include "base/error.h"
#include "fragments/records.h"
#include "fragments/store/index_inner.h"

static uint32_t sum_of(int64_t reel, const struct frag_record_key *key, uint64_t sequence) {
    uint8_t room[32];
    struct kn_writer writer;
    kn_writer_init(&writer, room, sizeof(room));
    kn_write_be64(&writer, (uint64_t)reel);
    kn_write_u8(&writer, (uint8_t)key->slot);
    kn_write_be64(&writer, key->key);
    kn_write_be64(&writer, sequence);
    KN_ASSERT(kn_writer_status(&writer) == 0);
    return kn_crc32c(0, writer.data, writer.size);
}

/* Of a statement that gives slot, key, sequence, sum. */
static int load(sqlite3_stmt *statement, int64_t reel, struct frag_record_key *ret_key,
                uint64_t *ret_sequence) {
    struct frag_index_columns columns = {.statement = statement};
    struct frag_record_key key;
    key.slot = (unsigned)frag_index_take_u64(&columns, FRAG_RECORD_KEYS - 1);
    key.key = (uint64_t)frag_index_take_i64(&columns, INT64_MIN, INT64_MAX);
    uint64_t sequence = frag_index_take_u64(&columns, FRAG_NUMBER_SEQUENCE_MAX);
    uint64_t sum = frag_index_take_u64(&columns, UINT32_MAX);
    if (columns.failed || sum != sum_of(reel, &key, sequence)) {
        return KN_E_MALFORMED;
    }
    *ret_key = key;
    *ret_sequence = sequence;
    return 1;
}

/* ---- writing ---- */

static int insert(struct frag_index *index, int64_t reel, const struct frag_record_key *key,
                  uint64_t sequence) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(index, FRAG_SQL_ADD_KEY, &statement);
    if (rc != 0) {
        return rc;
    }
    (void)sqlite3_bind_int64(statement, 1, reel); /* allocate nothing */
    (void)sqlite3_bind_int64(statement, 2, key->slot);
    (void)sqlite3_bind_int64(statement, 3, (int64_t)key->key);
    (void)sqlite3_bind_int64(statement, 4, (int64_t)sequence);
    (void)sqlite3_bind_int64(statement, 5, sum_of(reel, key, sequence));
    return frag_index_step(index, statement);
}

int frag_index_add_keys(struct frag_index *index, int64_t reel, uint64_t sequence,
                        const struct frag_record_key *keys, size_t count) {
    KN_ASSERT(index->writing);
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = insert(index, reel, &keys[i], sequence);
    }
    /* Each is given once: a row that stands there already is another writer's. */
    return frag_index_spoil(index, rc == -EEXIST ? KN_E_MALFORMED : rc);
}

int frag_index_copy_keys(struct frag_index *index, int64_t from, int64_t to,
                         bool (*has)(uint64_t sequence, const void *user), const void *user) {
    KN_ASSERT(index->writing);
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(index, FRAG_SQL_KEYS_OF, &statement);
    if (rc != 0) {
        return rc;
    }
    (void)sqlite3_bind_int64(statement, 1, from); /* allocates nothing */
    while ((rc = frag_index_step(index, statement)) == 1) {
        struct frag_record_key key;
        uint64_t sequence = 0;
        rc = load(statement, from, &key, &sequence);
        if (rc == 1 && has(sequence, user)) {
            rc = insert(index, to, &key, sequence);
            rc = rc == -EEXIST ? KN_E_MALFORMED : rc;
        }
        if (rc < 0) {
            break;
        }
    }
    return frag_index_spoil(index, rc);
}

/* ---- reading ---- */

int frag_index_has_key(struct frag_index *index, int64_t reel, const struct frag_record_key *key,
                       uint64_t sequence) {
    struct frag_index_keyed keyed;
    int rc = frag_index_keyed_begin(&keyed, index, reel, key, sequence - 1);
    frag_index_keyed_end(&keyed);
    return rc == 1 && keyed.next != sequence ? 0 : rc;
}

int frag_index_count_keys(struct frag_index *index, int64_t reel, uint64_t *ret_count) {
    KN_CLEANUP(frag_index_end_statement) sqlite3_stmt *statement = NULL;
    int rc = frag_index_statement(index, FRAG_SQL_COUNT_KEYS, &statement);
    if (rc != 0) {
        return rc;
    }
    (void)sqlite3_bind_int64(statement, 1, reel); /* allocates nothing */
    rc = frag_index_step(index, statement);
    if (rc <= 0) {
        return rc == 0 ? KN_E_MALFORMED : rc;
    }
    *ret_count = (uint64_t)sqlite3_column_int64(statement, 0);
    return 0;
}

int frag_index_keyed_begin(struct frag_index_keyed *keyed, struct frag_index *index, int64_t reel,
                           const struct frag_record_key *key, uint64_t after) {
    *keyed = (struct frag_index_keyed){.index = index, .reel = reel, .key = *key, .next = after};
    int rc = frag_index_statement(index, FRAG_SQL_FIND_KEY, &keyed->statement);
    if (rc != 0) {
        return rc;
    }
    (void)sqlite3_bind_int64(keyed->statement, 1, reel); /* allocate nothing */
    (void)sqlite3_bind_int64(keyed->statement, 2, key->slot);
    (void)sqlite3_bind_int64(keyed->statement, 3, (int64_t)key->key);
    (void)sqlite3_bind_int64(keyed->statement, 4, (int64_t)after);
    return frag_index_keyed_next(keyed);
}

void frag_index_keyed_end(struct frag_index_keyed *keyed) {
    frag_index_end_statement(&keyed->statement);
    keyed->statement = NULL;
}

int frag_index_keyed_next(struct frag_index_keyed *keyed) {
    struct frag_record_key key;
    uint64_t sequence = 0;
    int rc = frag_index_step(keyed->index, keyed->statement);
    rc = rc == 1 ? load(keyed->statement, keyed->reel, &key, &sequence) : rc;
    if (rc != 1) {
        return rc;
    }
    if (key.slot != keyed->key.slot || key.key != keyed->key.key || sequence <= keyed->next) {
        return KN_E_MALFORMED;
    }
    keyed->next = sequence;
    return 1;
}
