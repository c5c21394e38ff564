/* One reel file at the start of a store: its footer, or a scan that closes it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/recover.h"

#define TABLE_MOST ((size_t)32 << 20)
#define CHUNK_BYTES ((size_t)64 << 10)
#define PATH_BYTES (FRAG_FOLDER_PATH_BYTES + FRAG_REEL_PATH_BYTES)

struct mending {
    const struct frag_mend_request *request;
    struct frag_mended *mended;
    char path[PATH_BYTES];
    struct frag_reel_row *known;
    size_t known_count, known_room;
};

static int refuse(struct mending *mending, enum frag_mend_outcome outcome, int error,
                  const char *what) {
    mending->mended->outcome = outcome;
    kn_log_error(what, kn_str("folder", mending->request->folder->path),
                 kn_str("reel", mending->request->path), kn_err("error", error));
    return 0;
}

/* What one file, or the disk below it, may answer without the whole store being in trouble. */
static bool is_of_the_file(int rc) {
    static const int answers[] = {KN_E_MALFORMED, KN_E_TRUNCATED, KN_E_UNSUPPORTED, KN_E_LIMIT,
                                  -EIO,           -EACCES,        -EPERM,           -ELOOP,
                                  -EROFS,         -EINVAL,        -ENOSPC,          -EDQUOT,
                                  -ENODEV,        -ENXIO,         -ESTALE,          -ETIMEDOUT};
    for (size_t i = 0; i < KN_COUNT(answers); i++) {
        if (rc == answers[i]) {
            return true;
        }
    }
    return false;
}

static bool has_known_fragments(const struct mending *mending) {
    const struct frag_index_reel *known = mending->request->known;
    return known != NULL && known->fragments > 0;
}

/* ---- the footer ---- */

static int read_footer(struct mending *mending) {
    struct frag_mended *mended = mending->mended;
    kn_writer_clear(&mended->table);
    int rc = frag_reel_read_footer(mending->request->store->io, mending->path,
                                   &mended->reel.identity, &mended->table);
    if (rc == 0) {
        mended->outcome = FRAG_MEND_CLOSED;
    }
    return rc;
}

static int file_size(const struct mending *mending, uint64_t *ret_bytes) {
    struct frag_io *io = mending->request->store->io;
    int fd = io->open(io, mending->path, FRAG_IO_READ);
    if (fd < 0) {
        return fd;
    }
    int rc = io->size(io, fd, ret_bytes);
    (void)io->close(io, fd);
    return rc;
}

/* ---- seals ---- */

/* Where the reel's seal is, UINT64_MAX: it has none. */
static uint64_t find_seal(const struct mending *mending) {
    struct frag_catalog_value value;
    struct frag_value_seal seal;
    return frag_catalog_get(mending->request->store->clerk.catalog, FRAG_CATALOG_SEAL,
                            mending->mended->reel.identity.reel_id, FRAG_ID_BYTES, &value) == 0 &&
                   frag_value_read_seal(value, &seal) == 0
               ? seal.bytes
               : UINT64_MAX;
}

/* Closed by an earlier start, which kept the seal. */
static bool ends_before(const struct mending *mending, uint64_t seal) {
    struct frag_reel_table table;
    struct frag_reel_row row = {0};
    const struct kn_writer *bytes = &mending->mended->table;
    if (frag_reel_table_open(&table, bytes->data, bytes->size,
                             mending->mended->reel.identity.number_low) < 0) {
        return false;
    }
    while (frag_reel_table_next(&table, &row) > 0) {
    }
    return row.cluster_at + row.cluster_bytes + row.trailer_bytes <= seal;
}

/* 1: nothing of the file counts, it is gone. */
static int keep_seal(struct mending *mending, uint64_t seal, uint64_t file_bytes) {
    struct frag_io *io = mending->request->store->io;
    if (file_bytes <= seal) {
        return 0;
    }
    if (seal < FRAG_REEL_BODY_AT) {
        int rc = io->unlink(io, mending->path);
        return rc < 0 ? rc : 1;
    }
    int fd = io->open(io, mending->path, FRAG_IO_WRITE);
    int rc = fd < 0 ? fd : io->truncate(io, fd, seal);
    rc = rc < 0 ? rc : io->sync(io, fd);
    if (fd >= 0) {
        (void)io->close(io, fd);
    }
    return rc;
}

/* ---- scanning ---- */

static int count_fragment(const struct frag_reel_row *row, void *user) {
    struct mending *mending = user;
    (void)row;
    mending->mended->found++;
    return 0;
}

static int log_damage(uint64_t from, uint64_t to, const char *what, void *user) {
    struct mending *mending = user;
    mending->mended->damaged = true;
    kn_log_warn("damage in a reel that was not closed",
                kn_str("folder", mending->request->folder->path),
                kn_str("reel", mending->request->path), kn_uint("from", from), kn_uint("to", to),
                kn_str("what", what));
    return 0;
}

static int add_known(const struct frag_reel_row *row, void *user) {
    struct mending *mending = user;
    if (mending->known_count == mending->known_room) {
        size_t room = mending->known_room == 0 ? 512 : mending->known_room * 2;
        struct frag_reel_row *rows = realloc(mending->known, room * sizeof(*rows));
        if (rows == NULL) {
            return -ENOMEM;
        }
        mending->known = rows;
        mending->known_room = room;
    }
    mending->known[mending->known_count++] = *row;
    return 0;
}

static int recover_from(struct mending *mending, uint64_t from, size_t known_count,
                        struct frag_reel_scanned *state) {
    static const struct frag_reel_handler handler = {.fragment = count_fragment,
                                                     .damage = log_damage};
    mending->mended->found = 0;
    return frag_reel_recover(mending->request->store->io, mending->path, from, mending->known,
                             known_count, &handler, mending, state);
}

/* From the last indexed offset on where that fits the file, else all of it. */
static int recover(struct mending *mending, struct frag_reel_scanned *state) {
    const struct frag_mend_request *request = mending->request;
    int rc = -EINVAL;
    if (has_known_fragments(mending)) {
        rc = frag_index_each_fragment(request->index, request->known->row, add_known, mending);
        if (rc < 0 && rc != KN_E_MALFORMED) {
            return rc;
        }
        rc = rc < 0 ? -EINVAL
                    : recover_from(mending, request->known->bytes, mending->known_count, state);
    }
    if (rc == -EINVAL || rc == KN_E_TRUNCATED || rc == KN_E_MALFORMED) {
        rc = recover_from(mending, 0, 0, state);
        uint64_t known = request->known != NULL ? request->known->fragments : 0;
        uint64_t *found = &mending->mended->found;
        *found = *found > known ? *found - known : 0;
    }
    return rc;
}

static int remove_empty(struct mending *mending) {
    struct frag_io *io = mending->request->store->io;
    mending->mended->outcome = FRAG_MEND_EMPTY;
    int rc = io->unlink(io, mending->path);
    return rc == -ENOENT ? 0 : rc;
}

/* The head behind the identity is not whole and there is no fragment: it was never synced, a kill
 * or a power cut came while it was written. */
static bool was_never_begun(const struct mending *mending, int rc) {
    return (rc == KN_E_MALFORMED || rc == KN_E_TRUNCATED) && mending->mended->found == 0 &&
           !has_known_fragments(mending);
}

/* `closed`: its page says that it was. */
static int scan(struct mending *mending, bool closed) {
    struct frag_reel_scanned state = {0};
    mending->mended->scanned = true;
    mending->mended->damaged = closed;
    int rc = recover(mending, &state);
    if (!closed && was_never_begun(mending, rc)) {
        return remove_empty(mending);
    }
    rc = rc < 0 ? rc : read_footer(mending);
    if (rc < 0) {
        return rc == -ENODATA ? KN_E_MALFORMED : rc; /* it did not take what closes it */
    }
    struct frag_reel_table table;
    if (frag_reel_table_open(&table, mending->mended->table.data, mending->mended->table.size,
                             mending->mended->reel.identity.number_low) == 0 &&
        table.rows_left == 0) {
        mending->mended->outcome = FRAG_MEND_EMPTY;
        /* Where fragments were acknowledged, a person may still get something out of it. */
        return has_known_fragments(mending) ? 0 : remove_empty(mending);
    }
    return 0;
}

/* 1: nothing but zeros; 0; or as reading answers. */
static int is_zero(const struct mending *mending, uint64_t file_bytes) {
    struct frag_io *io = mending->request->store->io;
    uint8_t *chunk = malloc(CHUNK_BYTES);
    int fd = chunk == NULL ? -ENOMEM : io->open(io, mending->path, FRAG_IO_READ);
    int rc = fd < 0 ? fd : 1;
    for (uint64_t at = 0; at < file_bytes && rc == 1; at += CHUNK_BYTES) {
        uint64_t left = file_bytes - at;
        size_t size = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        int got = frag_io_read_exactly(io, fd, chunk, size, at);
        rc = got < 0 ? got : rc;
        for (size_t i = 0; i < size && rc == 1; i++) {
            rc = chunk[i] == 0 ? 1 : 0;
        }
    }
    if (fd >= 0) {
        (void)io->close(io, fd);
    }
    free(chunk);
    return rc;
}

/* Where the head was never written whole, it was never synced, and nothing in it acknowledged: a
 * power cut came in the reel's first moment. What has more in it was a reel once. */
static int judge_headless(struct mending *mending, int error, uint64_t file_bytes) {
    int rc = has_known_fragments(mending)      ? 0
             : file_bytes <= FRAG_REEL_BODY_AT ? 1
                                               : is_zero(mending, file_bytes);
    if (rc == 1) {
        return remove_empty(mending);
    }
    if (rc < 0 && !is_of_the_file(rc)) {
        return rc;
    }
    return refuse(mending, FRAG_MEND_DAMAGED, error,
                  "a file that does not say whose reel it is; it is left as it is");
}

static int mend(struct mending *mending) {
    const struct frag_mend_request *request = mending->request;
    struct frag_mended *mended = mending->mended;
    struct frag_store *store = request->store;
    uint64_t file_bytes = 0;
    int rc = file_size(mending, &file_bytes);
    if (rc < 0) {
        return rc;
    }
    rc = frag_reel_identify(store->io, mending->path, &mended->reel.identity);
    if (rc == KN_E_MALFORMED || rc == KN_E_TRUNCATED) {
        return judge_headless(mending, rc, file_bytes);
    }
    if (rc < 0) {
        return rc;
    }
    if (memcmp(mended->reel.identity.store_id, store->id, FRAG_ID_BYTES) != 0) {
        return refuse(mending, FRAG_MEND_FOREIGN, 0, "a reel of another store is left alone");
    }
    if (request->kept_later && (mended->reel.identity.flags & FRAG_REEL_KEPT) != 0) {
        mended->outcome = FRAG_MEND_LATER;
        return 0;
    }
    uint64_t seal = find_seal(mending);
    rc = read_footer(mending);
    if (seal != UINT64_MAX && (rc != 0 || !ends_before(mending, seal))) {
        rc = keep_seal(mending, seal, file_bytes);
        if (rc != 0) {
            mended->outcome = FRAG_MEND_EMPTY;
            return rc < 0 ? rc : 0;
        }
        rc = read_footer(mending);
    }
    if (rc == -ENODATA || rc == KN_E_MALFORMED) {
        rc = scan(mending, rc == KN_E_MALFORMED);
    }
    if (rc == 0 && mended->outcome == FRAG_MEND_CLOSED) {
        rc = file_size(mending, &mended->reel.bytes);
    }
    return rc;
}

int frag_mend_reel(const struct frag_mend_request *request, struct frag_mended *ret_mended) {
    struct mending mending = {.request = request, .mended = ret_mended};
    memset(ret_mended, 0, sizeof(*ret_mended));
    kn_writer_init_growing(&ret_mended->table, TABLE_MOST);
    ret_mended->reel.path = request->path;
    ret_mended->reel.folder = request->folder->number;
    int rc = frag_folder_join(request->folder, request->path, mending.path, sizeof(mending.path));
    rc = rc < 0 ? rc : mend(&mending);
    if (is_of_the_file(rc)) {
        rc = refuse(&mending, FRAG_MEND_DAMAGED, rc,
                    "a reel cannot be read or mended; it is left as it is");
    }
    free(mending.known);
    if (rc < 0) {
        kn_writer_finish(&ret_mended->table);
    }
    return rc;
}
