/* Reads a reel through a window, forward. Where the next fragment is not, the search goes on byte
 * by byte and believes a trailer only with the reel's id, its own place and its cluster's checksum.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/store/reel_file.h"

/* Every trailer fits. */
#define WINDOW_BYTES ((size_t)(1024 + 64) * 1024)
_Static_assert(WINDOW_BYTES >= FRAG_REEL_TRAILER_MOST, "trailers are read whole");
/* For a trailer and the head behind it. */
#define LITTLE_BYTES 4096u
/* What a trailer's element has before its packed values, and where in these id and place are. */
#define PACKED_AT (FRAG_REEL_TRAILER_LEAST - FRAG_REEL_TRAILER_BYTES)
#define REEL_ID_AT (PACKED_AT + 4u)
#define OWN_OFFSET_AT (REEL_ID_AT + FRAG_ID_BYTES)
/* Head and CRC-32. */
#define CUES_HEAD_BYTES (FRAG_REEL_CLUSTER_HEAD_BYTES + 6u)

static const char wrong_checksum[] = "wrong checksum";

struct scan {
    struct frag_io *io;
    int fd;
    bool verify;
    const struct frag_reel_handler *handler;
    void *user;
    struct frag_reel_scanned state;

    uint8_t *window;
    uint64_t window_at;
    size_t window_bytes;

    uint64_t at, end;             /* fragments are looked for in between */
    struct frag_reel_row last;    /* believed; rows behind it follow it */
    struct frag_reel_row waiting; /* its checksum is compared when nothing good comes behind it */
    bool has_last, is_waiting;
};

/* ---- the window ---- */

/* The bytes at `at`: those in the window where they are `least`, else up to `most` are read; 0 and
 * how many, fewer only at the end of the file. Good until the next call. */
static int peek(struct scan *scan, uint64_t at, size_t least, size_t most, const uint8_t **ret_data,
                size_t *ret_size) {
    KN_ASSERT(least <= most && most <= WINDOW_BYTES);
    bool inside = at >= scan->window_at && at - scan->window_at <= scan->window_bytes;
    if (!inside || scan->window_bytes - (size_t)(at - scan->window_at) < least) {
        scan->window_bytes = 0;
        int64_t got = scan->io->read(scan->io, scan->fd, scan->window, most, at);
        if (got < 0) {
            return (int)got;
        }
        scan->window_at = at;
        scan->window_bytes = (size_t)got;
    }
    size_t skip = (size_t)(at - scan->window_at);
    *ret_data = scan->window + skip;
    *ret_size = scan->window_bytes - skip;
    return 0;
}

/* 1 and the checksum over [from, to), 0: the file ends before. */
static int checksum(struct scan *scan, uint64_t from, uint64_t to,
                    uint32_t (*add)(uint32_t crc, const void *data, size_t size),
                    uint32_t *ret_crc) {
    uint32_t crc = 0;
    while (from < to) {
        const uint8_t *data = NULL;
        size_t size = 0;
        int rc = peek(scan, from, 1, WINDOW_BYTES, &data, &size);
        if (rc < 0 || size == 0) {
            return rc;
        }
        size = to - from < size ? (size_t)(to - from) : size;
        crc = add(crc, data, size);
        from += size;
    }
    *ret_crc = crc;
    return 1;
}

static int cluster_holds(struct scan *scan, const struct frag_reel_row *row) {
    uint32_t crc = 0;
    int rc = checksum(scan, row->cluster_at, row->cluster_at + row->cluster_bytes, kn_crc32c, &crc);
    return rc <= 0 ? rc : crc == row->cluster_crc32c;
}

/* ---- telling ---- */

static uint64_t row_end(const struct frag_reel_row *row) {
    return row->cluster_at + row->cluster_bytes + row->trailer_bytes;
}

static int tell_damage(struct scan *scan, uint64_t from, uint64_t to, const char *what) {
    return from < to && scan->handler->damage != NULL
               ? scan->handler->damage(from, to, what, scan->user)
               : 0;
}

static int tell_fragment(struct scan *scan, const struct frag_reel_row *row) {
    scan->state.fragments++;
    scan->state.good_bytes = row_end(row);
    return scan->handler->fragment != NULL ? scan->handler->fragment(row, scan->user) : 0;
}

/* With `alone` nothing good stands behind the row that waits. */
static int settle_waiting(struct scan *scan, bool alone) {
    if (!scan->is_waiting) {
        return 0;
    }
    scan->is_waiting = false;
    int rc = alone ? cluster_holds(scan, &scan->waiting) : 1;
    if (rc < 0) {
        return rc;
    }
    return rc > 0 ? tell_fragment(scan, &scan->waiting)
                  : tell_damage(scan, scan->waiting.cluster_at, row_end(&scan->waiting),
                                wrong_checksum);
}

/* ---- one fragment ---- */

static uint64_t be64_at(const uint8_t *data) {
    struct kn_reader reader;
    kn_reader_init(&reader, data, 8);
    return kn_read_be64(&reader);
}

/* What every trailer of this reel at `at` has: looked at first, because checksums of what only
 * looks like one could cost a million bytes each. */
static bool names_itself(const struct scan *scan, const uint8_t *data, uint64_t at) {
    return memcmp(data + REEL_ID_AT, scan->state.identity.reel_id, FRAG_ID_BYTES) == 0 &&
           be64_at(data + OWN_OFFSET_AT) == at;
}

static bool follows(const struct scan *scan, const struct frag_reel_row *row) {
    const struct frag_reel_row *last = &scan->last;
    return !scan->has_last ||
           (row->number.sequence > last->number.sequence && row->ordinal > last->ordinal &&
            row->discontinuities >= last->discontinuities);
}

/* 1: a good trailer at `at`, of a cluster that begins at `least` or later and follows the rows
 * before; its checksum is not compared yet. */
static int read_trailer(struct scan *scan, uint64_t at, uint64_t least,
                        struct frag_reel_row *ret_row) {
    const uint8_t *data = NULL;
    size_t size = 0;
    uint32_t id = 0;
    uint64_t bytes = 0;
    struct frag_reel_row row;
    int rc = peek(scan, at, FRAG_REEL_TRAILER_LEAST, LITTLE_BYTES, &data, &size);
    if (rc < 0 || size < FRAG_REEL_TRAILER_LEAST || !names_itself(scan, data, at) ||
        frag_reel_read_element(data, size, &id, &bytes) != 0 || bytes > FRAG_REEL_TRAILER_MOST ||
        bytes > scan->end - at) {
        return rc < 0 ? rc : 0;
    }
    size_t most = bytes > LITTLE_BYTES ? (size_t)bytes : LITTLE_BYTES;
    rc = peek(scan, at, (size_t)bytes, most, &data, &size);
    if (rc < 0 || frag_reel_read_trailer(data, size, at, &scan->state.identity, &row) != 0 ||
        row.cluster_at < least || !follows(scan, &row)) {
        return rc < 0 ? rc : 0;
    }
    *ret_row = row;
    return 1;
}

/* 1: a cluster of known size with its good trailer stands at scan->at. */
static int read_fragment(struct scan *scan, struct frag_reel_row *ret_row) {
    const uint8_t *data = NULL;
    size_t size = 0;
    uint32_t id = 0;
    uint64_t bytes = 0;
    int rc = peek(scan, scan->at, FRAG_REEL_CLUSTER_HEAD_BYTES, LITTLE_BYTES, &data, &size);
    if (rc < 0 || frag_reel_read_element(data, size, &id, &bytes) != 0 || id != FRAG_MKV_CLUSTER ||
        bytes >= scan->end - scan->at) {
        return rc < 0 ? rc : 0;
    }
    rc = read_trailer(scan, scan->at + bytes, scan->at, ret_row);
    return rc > 0 && ret_row->cluster_at != scan->at ? 0 : rc;
}

static void believe(struct scan *scan, const struct frag_reel_row *row) {
    scan->last = *row;
    scan->has_last = true;
    scan->at = row_end(row);
}

static int take_fragment(struct scan *scan, const struct frag_reel_row *row) {
    int good = scan->verify ? cluster_holds(scan, row) : 1;
    int rc = good < 0 ? good : settle_waiting(scan, false);
    if (rc < 0) {
        return rc;
    }
    believe(scan, row);
    if (good == 0) {
        return tell_damage(scan, row->cluster_at, row_end(row), wrong_checksum);
    }
    if (scan->verify) {
        return tell_fragment(scan, row);
    }
    scan->waiting = *row;
    scan->is_waiting = true;
    return 0;
}

/* ---- behind damage ---- */

/* Whether a fragment may be believed whose trailer begins at `at`. */
static int is_trailer(struct scan *scan, uint64_t at, struct frag_reel_row *ret_row) {
    struct frag_reel_row row;
    int rc = read_trailer(scan, at, scan->at, &row);
    if (rc > 0) {
        rc = cluster_holds(scan, &row);
    }
    if (rc > 0) {
        *ret_row = row;
    }
    return rc;
}

/* The next fragment whose trailer begins at scan->at or later. */
static int search(struct scan *scan, struct frag_reel_row *ret_row) {
    static const uint8_t tags[] = {0x12, 0x54, 0xC3, 0x67};
    uint64_t at = scan->at;
    while (at < scan->end && scan->end - at >= FRAG_REEL_TRAILER_LEAST) {
        const uint8_t *data = NULL;
        size_t size = 0;
        int rc = peek(scan, at, FRAG_REEL_TRAILER_LEAST, WINDOW_BYTES, &data, &size);
        if (rc < 0 || size < FRAG_REEL_TRAILER_LEAST) {
            return rc;
        }
        const uint8_t *found = memmem(data, size, tags, sizeof(tags));
        /* What is cut by the window's end is found again at the beginning of the next. */
        size_t skip = found != NULL ? (size_t)(found - data) : size - (sizeof(tags) - 1);
        at += skip;
        if (found == NULL || at >= scan->end || size - skip < FRAG_REEL_TRAILER_LEAST) {
            continue;
        }
        rc = names_itself(scan, found, at) ? is_trailer(scan, at, ret_row) : 0;
        if (rc != 0) {
            return rc;
        }
        at++;
    }
    return 0;
}

static int pass_damage(struct scan *scan) {
    struct frag_reel_row row;
    uint64_t from = scan->at;
    int rc = settle_waiting(scan, true);
    if (rc < 0) {
        return rc;
    }
    int found = search(scan, &row);
    if (found <= 0) {
        scan->at = scan->end;
        return found < 0 ? found : tell_damage(scan, from, scan->end, "torn end");
    }
    rc = tell_damage(scan, from, row.cluster_at, "no good fragment");
    if (rc < 0) {
        return rc;
    }
    believe(scan, &row);
    return tell_fragment(scan, &row);
}

static int scan_fragments(struct scan *scan) {
    while (scan->at < scan->end) {
        struct frag_reel_row row;
        int rc = read_fragment(scan, &row);
        if (rc >= 0) {
            rc = rc > 0 ? take_fragment(scan, &row) : pass_damage(scan);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return settle_waiting(scan, true);
}

/* ---- head and end ---- */

static int check_rows(const struct kn_writer *packed, uint32_t number_low) {
    struct frag_reel_table table;
    struct frag_reel_row row;
    int rc = frag_reel_table_open(&table, packed->data, packed->size, number_low);
    if (rc < 0) {
        return rc;
    }
    do {
        rc = frag_reel_table_next(&table, &row);
    } while (rc > 0);
    return rc;
}

/* Sets closed and where fragments end. */
static int find_end(struct scan *scan, struct frag_reel_places *places, uint64_t *ret_table_end) {
    scan->end = scan->state.file_bytes;
    int rc = frag_reel_load_page(scan->io, scan->fd, places);
    if (frag_reel_is_damage(rc)) {
        return tell_damage(scan, FRAG_REEL_SEEK_AT, FRAG_REEL_BODY_AT, "seek page");
    }
    if (rc <= 0) {
        return rc;
    }
    struct kn_writer table;
    kn_writer_init_growing(&table, (size_t)FRAG_REEL_TABLE_MOST);
    rc = frag_reel_load_table(scan->io, scan->fd, scan->end, places->table_at, &table,
                              ret_table_end);
    if (rc == 0) {
        rc = check_rows(&table, scan->state.identity.number_low);
    }
    kn_writer_finish(&table);
    if (rc == 0) {
        scan->state.closed = true;
        scan->end = places->cues_at != 0 ? places->cues_at : places->table_at;
        return 0;
    }
    /* The page is told, for the file may end before the table. */
    return frag_reel_is_damage(rc)
               ? tell_damage(scan, FRAG_REEL_SEEK_AT, FRAG_REEL_BODY_AT, "no good table")
               : rc;
}

/* 1: good Cues fill [from, to). */
static int cues_hold(struct scan *scan, uint64_t from, uint64_t to) {
    const uint8_t *data = NULL;
    size_t size = 0;
    struct kn_reader reader;
    int rc = peek(scan, from, CUES_HEAD_BYTES, LITTLE_BYTES, &data, &size);
    if (rc < 0 || to - from < CUES_HEAD_BYTES) {
        return rc;
    }
    kn_reader_init(&reader, data, size);
    uint32_t id = kn_read_be32(&reader);
    uint64_t bytes = kn_read_be64(&reader) ^ UINT64_C(0x0100000000000000);
    uint16_t crc_head = kn_read_be16(&reader);
    uint32_t crc = kn_read_le32(&reader);
    uint32_t found = 0;
    if (kn_reader_status(&reader) != 0 || id != FRAG_MKV_CUES ||
        bytes != to - from - FRAG_REEL_CLUSTER_HEAD_BYTES ||
        crc_head != (FRAG_MKV_CRC32 << 8 | 0x84)) {
        return 0;
    }
    rc = checksum(scan, from + CUES_HEAD_BYTES, to, kn_crc32, &found);
    return rc <= 0 ? rc : found == crc;
}

static int check_end(struct scan *scan, const struct frag_reel_places *places, uint64_t table_end) {
    int rc = places->cues_at != 0 ? cues_hold(scan, places->cues_at, places->table_at) : 1;
    if (rc == 0) {
        rc = tell_damage(scan, places->cues_at, places->table_at, "cues");
    }
    return rc < 0 ? rc
                  : tell_damage(scan, table_end, scan->state.file_bytes, "bytes behind the table");
}

/* Where the fragments begin; where that is not known, the search finds the first. */
static int find_start(struct scan *scan, uint64_t from) {
    struct frag_reel_body body;
    scan->at = from;
    if (from == 0) {
        scan->at = FRAG_REEL_BODY_AT;
        int rc = frag_reel_load_body(scan->io, scan->fd, scan->state.file_bytes,
                                     &scan->state.identity, &body);
        if (rc < 0 && !frag_reel_is_damage(rc)) {
            return rc;
        }
        if (rc == 0) {
            scan->at = body.first_cluster_at;
        } else if (scan->end <= FRAG_REEL_BODY_AT) {
            rc = tell_damage(scan, FRAG_REEL_BODY_AT, FRAG_REEL_BODY_AT + 1, "no head");
            if (rc < 0) {
                return rc;
            }
        }
    }
    scan->state.good_bytes = scan->at;
    return 0;
}

static int scan_all(struct scan *scan, uint64_t from) {
    struct frag_reel_places places = {0};
    uint64_t table_end = 0;
    int rc = frag_reel_identify_open(scan->io, scan->fd, &scan->state.identity);
    if (rc == 0) {
        rc = scan->io->size(scan->io, scan->fd, &scan->state.file_bytes);
    }
    if (rc == 0 && from > scan->state.file_bytes) {
        rc = KN_E_TRUNCATED;
    }
    if (rc == 0) {
        rc = find_end(scan, &places, &table_end);
    }
    if (rc >= 0) {
        rc = find_start(scan, from);
    }
    if (rc >= 0) {
        rc = scan_fragments(scan);
    }
    if (rc >= 0 && scan->state.closed) {
        rc = check_end(scan, &places, table_end);
    }
    return rc < 0 ? rc : 0;
}

int frag_reel_scan_open(struct frag_io *io, int fd, uint64_t from, bool verify,
                        const struct frag_reel_handler *handler, void *user,
                        struct frag_reel_scanned *ret_state) {
    if (from != 0 && from < FRAG_REEL_BODY_AT) {
        return -EINVAL;
    }
    struct scan scan = {.io = io, .fd = fd, .verify = verify, .handler = handler, .user = user};
    scan.window = malloc(WINDOW_BYTES);
    if (scan.window == NULL) {
        return -ENOMEM;
    }
    int rc = scan_all(&scan, from);
    free(scan.window);
    if (rc == 0) {
        *ret_state = scan.state;
    }
    return rc;
}

/* ---- face ---- */

int frag_reel_scan(struct frag_io *io, const char *path, uint64_t from, bool verify,
                   const struct frag_reel_handler *handler, void *user,
                   struct frag_reel_scanned *ret_state) {
    int fd = io->open(io, path, FRAG_IO_READ);
    if (fd < 0) {
        return fd;
    }
    int rc = frag_reel_scan_open(io, fd, from, verify, handler, user, ret_state);
    (void)io->close(io, fd); /* was only read */
    return rc;
}
