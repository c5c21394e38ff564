/* A reel's file against itself (checksums, trailers, table) and what must stand in it. What an open
 * reel has behind its row's bytes is being written, or waits for recovery: it is left out, and so
 * is what stands behind a seal. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/check_look.h"
#include "fragments/store/values.h"

/* ---- damage ---- */

static int tell(struct frag_check_look *look, enum frag_check_severity severity, uint64_t from,
                uint64_t to, const char *what) {
    return frag_check_tell(look->check, severity, look->path, from, to, look->stream, "%s", what);
}

/* How many of the expected fragments have a part in [from, to), and the first one's number. */
static uint64_t count_lost(struct frag_check_look *look, uint64_t from, uint64_t to,
                           struct frag_number *ret_first) {
    uint64_t lost = 0;
    while (look->next < look->count && frag_check_row_end(&look->rows[look->next]) <= from) {
        look->next++;
    }
    for (; look->next < look->count && look->rows[look->next].cluster_at < to; look->next++) {
        if (lost++ == 0) {
            *ret_first = look->rows[look->next].number;
        }
    }
    return lost;
}

static int tell_lost(struct frag_check_look *look, uint64_t from, uint64_t to, const char *what,
                     uint64_t lost, struct frag_number first) {
    char number[FRAG_NUMBER_TEXT_BYTES];
    return frag_check_tell(look->check, FRAG_CHECK_DAMAGE, look->path, from, to, look->stream,
                           "%s: %" PRIu64
                           " fragment%s, from number %s on, cannot be played; only a "
                           "copy of the file brings %s back",
                           what, lost, lost == 1 ? "" : "s", frag_number_format(first, number),
                           lost == 1 ? "it" : "them");
}

/* The page, or the table it points at. */
static int tell_end(struct frag_check_look *look) {
    look->end_told = true;
    if (look->cut_to != 0) {
        return 0; /* it went with the rest */
    }
    if (look->closed) {
        return tell(look, FRAG_CHECK_DAMAGE, look->places.table_at, look->file_bytes,
                    "the list of fragments at the end of this reel is damaged: the fragments are "
                    "there, kinora rebuild reads them and writes it anew");
    }
    return tell(look, FRAG_CHECK_DAMAGE, FRAG_REEL_SEEK_AT, FRAG_REEL_BODY_AT,
                "the page that says where the end of this reel is, is damaged: the fragments are "
                "there, kinora rebuild reads them and writes it anew");
}

/* Damage in which no expected fragment has a part. */
static int tell_other(struct frag_check_look *look, uint64_t from, uint64_t to, const char *what) {
    bool behind = look->next == look->count && from > FRAG_REEL_BODY_AT;
    bool end_is_told = look->end_told || look->cut_to != 0;
    if (end_is_told && behind &&
        (look->expects || (look->closed && from >= look->places.cues_at))) {
        return 0;
    }
    if (look->closed && from == look->places.cues_at) {
        return tell(look, FRAG_CHECK_DAMAGE, from, to,
                    "the seek list of this reel is damaged: players find places in it slowly, "
                    "nothing else is lost");
    }
    if (!look->expects && !look->end_told && to == look->file_bytes) {
        return tell(look, FRAG_CHECK_REPAIR, from, to,
                    "a crash left this end of the reel torn: the next start cuts it off");
    }
    if (from <= FRAG_REEL_BODY_AT) {
        return tell(
            look, FRAG_CHECK_DAMAGE, from, to,
            "what describes the tracks is damaged: fragments of this reel cannot be played, "
            "only a copy of the file brings it back");
    }
    return frag_check_tell(look->check, FRAG_CHECK_DAMAGE, look->path, from, to, look->stream,
                           "%s: what was here cannot be played, only a copy of the file brings it "
                           "back",
                           what);
}

static int take_damage(uint64_t from, uint64_t to, const char *what, void *user) {
    struct frag_check_look *look = user;
    struct frag_number first = {0};
    if (from >= look->limit) {
        return KN_E_CLOSED;
    }
    if (from == FRAG_REEL_SEEK_AT && to == FRAG_REEL_BODY_AT) {
        return tell_end(look);
    }
    to = to < look->limit ? to : look->limit;
    uint64_t lost = count_lost(look, from, to, &first);
    if (lost == 0) {
        return tell_other(look, from, to, what);
    }
    if (look->cut_to != 0 && to >= look->file_bytes) {
        look->first_in_cut = first;
        look->lost_in_cut = lost;
        return 0; /* told with the rest */
    }
    return tell_lost(look, from, to, what, lost, first);
}

/* ---- fragments ---- */

int frag_check_pace(struct frag_check_look *look, uint64_t at) {
    uint64_t more = at > look->passed ? at - look->passed : 0;
    look->passed += more;
    return frag_check_advance(look->check, more);
}

static int check_numbers(struct frag_check_look *look, const struct frag_reel_row *row) {
    const struct frag_check *check = look->check;
    /* A start since the journal was read is no fault. */
    bool young = look->identity.opened.ns > check->now.ns - FRAG_CHECK_YOUNG_NS;
    if (check->epoch == 0 || row->number.sequence >> 32 <= check->epoch || young) {
        return 0;
    }
    return tell(look, FRAG_CHECK_DAMAGE, row->cluster_at, frag_check_row_end(row),
                "the fragment has a number of a later start of the store than the journal knows: "
                "the journal is an old copy, and numbers could be given twice");
}

static int check_seal(struct frag_check_look *look, const struct frag_reel_row *row) {
    return frag_check_row_end(row) <= look->seal
               ? 0
               : tell(look, FRAG_CHECK_DAMAGE, row->cluster_at, frag_check_row_end(row),
                      "the journal has sealed this reel before the fragment, which does not count: "
                      "kinora rebuild cuts it off");
}

/* Expected before `row`, and not met. */
static int check_missing(struct frag_check_look *look, const struct frag_reel_row *row) {
    struct frag_number first = {0};
    uint64_t from = look->next < look->count ? look->rows[look->next].cluster_at : 0;
    uint64_t lost = count_lost(look, 0, row->cluster_at, &first);
    return lost == 0
               ? 0
               : tell_lost(look, from, row->cluster_at, "other bytes stand here", lost, first);
}

static int check_same(struct frag_check_look *look, const struct frag_reel_row *row) {
    const struct frag_reel_row *expected =
        look->next < look->count ? &look->rows[look->next] : NULL;
    if (expected != NULL && expected->cluster_at == row->cluster_at) {
        look->next++;
    }
    if (expected != NULL && frag_check_same_row(expected, row)) {
        return 0;
    }
    if (!look->has_table) {
        look->expects = false; /* once is enough; the trailers hold */
        return frag_check_tell_index(look, FRAG_CHECK_DAMAGE, frag_check_other_fragments);
    }
    return tell(look, FRAG_CHECK_DAMAGE, row->cluster_at, frag_check_row_end(row),
                "the list at the end of the reel says otherwise of this fragment than its own "
                "trailer: it was written wrong");
}

static int take_fragment(const struct frag_reel_row *row, void *user) {
    struct frag_check_look *look = user;
    if (row->cluster_at >= look->limit) {
        return KN_E_CLOSED;
    }
    look->fragments++;
    int rc = look->expects ? check_missing(look, row) : 0;
    rc = rc == 0 && look->expects ? check_same(look, row) : rc;
    rc = rc == 0 ? check_numbers(look, row) : rc;
    rc = rc == 0 ? check_seal(look, row) : rc;
    return rc == 0 ? frag_check_pace(look, frag_check_row_end(row)) : rc;
}

/* Expected, and not met before the end. */
static int check_rest(struct frag_check_look *look) {
    struct frag_number first = look->first_in_cut;
    uint64_t from = look->next < look->count ? look->rows[look->next].cluster_at : 0;
    uint64_t to = look->count > 0 ? frag_check_row_end(&look->rows[look->count - 1]) : 0;
    uint64_t lost = look->expects ? count_lost(look, 0, UINT64_MAX, &first) : 0;
    if (look->cut_to == 0) {
        return lost == 0 ? 0 : tell_lost(look, from, to, "the file ends early", lost, first);
    }
    lost += look->lost_in_cut;
    first = look->lost_in_cut > 0 ? look->first_in_cut : first;
    return lost > 0 ? tell_lost(look, look->file_bytes, look->cut_to, "the file was cut off here",
                                lost, first)
                    : tell(look, FRAG_CHECK_DAMAGE, look->file_bytes, look->cut_to,
                           "the file was cut off here: kinora rebuild takes what is left and "
                           "writes its end anew");
}

/* ---- one look ---- */

static int tell_unreadable(struct frag_check_look *look, int rc) {
    if (frag_check_is_denied(rc)) {
        return frag_check_tell_denied(look->check, look->path, look->stream, rc);
    }
    return frag_check_tell(look->check, FRAG_CHECK_DAMAGE, look->path, 0, 0, look->stream,
                           "the file cannot be read: %s", kn_error_text(rc));
}
/* Size, page, and how far to look. */
static int open_look(struct frag_check_look *look) {
    struct frag_catalog_value value;
    struct frag_value_seal seal = {.bytes = UINT64_MAX};
    struct frag_io *io = look->check->io;
    int fd = io->open(io, look->path, FRAG_IO_READ);
    if (fd < 0) {
        return fd;
    }
    int rc = io->size(io, fd, &look->file_bytes);
    look->closed = rc == 0 && frag_reel_load_page(io, fd, &look->places) > 0;
    (void)io->close(io, fd); /* was only read */
    if (look->check->catalog == NULL ||
        frag_catalog_get(look->check->catalog, FRAG_CATALOG_SEAL, look->identity.reel_id,
                         FRAG_ID_BYTES, &value) != 0 ||
        frag_value_read_seal(value, &seal) != 0) {
        seal.bytes = UINT64_MAX; /* there is none, or it is told with the values */
    }
    look->seal = seal.bytes;
    look->limit = look->closed ? UINT64_MAX : look->seal;
    if (look->has_row && look->row.state == FRAG_REEL_OPEN && look->row.bytes < look->limit) {
        look->limit = look->row.bytes;
    }
    if (look->has_row && look->row.bytes > look->file_bytes) {
        look->cut_to = look->row.bytes;
    } else if (look->closed && look->places.table_at >= look->file_bytes) {
        look->cut_to = look->places.table_at + 1;
    }
    return rc;
}

static bool same_identity(const struct frag_reel_identity *a, const struct frag_reel_identity *b) {
    return a->flags == b->flags && memcmp(a->store_id, b->store_id, FRAG_ID_BYTES) == 0 &&
           memcmp(a->stream_id, b->stream_id, FRAG_ID_BYTES) == 0 &&
           memcmp(a->session_id, b->session_id, FRAG_ID_BYTES) == 0 && a->epoch == b->epoch &&
           a->opened.ns == b->opened.ns && a->producer_start.ns == b->producer_start.ns &&
           a->timecode_scale_ns == b->timecode_scale_ns && a->number_low == b->number_low &&
           a->producer_header_bytes == b->producer_header_bytes;
}

static int check_row(struct frag_check_look *look) {
    if (!look->has_row) {
        return look->check->index == NULL || !look->check->index_whole || look->row_told
                   ? 0 /* told with the index */
                   : tell(look, FRAG_CHECK_REPAIR, 0, 0,
                          "the index does not know this reel: the next start takes it up");
    }
    return same_identity(&look->row.identity, &look->identity)
               ? 0
               : frag_check_tell_index(look, FRAG_CHECK_DAMAGE,
                                       "the index has another identity for");
}

static int scan(struct frag_check_look *look) {
    static const struct frag_reel_handler handler = {.fragment = take_fragment,
                                                     .damage = take_damage};
    struct frag_reel_scanned scanned;
    int rc = frag_reel_scan(look->check->io, look->path, 0, true, &handler, look, &scanned);
    if (rc == KN_E_CLOSED && !look->check->stopped) {
        rc = 0; /* the limit was reached */
    }
    return rc == 0 ? check_rest(look) : rc;
}

int frag_check_look_once(struct frag_check_look *look) {
    look->count = 0;
    look->next = 0;
    look->expects = false;
    look->has_table = false;
    look->end_told = false;
    look->cut_to = 0;
    look->lost_in_cut = 0;
    look->fragments = 0;
    int rc = open_look(look);
    rc = rc == 0 ? check_row(look) : rc;
    rc = rc == 0 ? frag_check_expect(look) : rc;
    rc = rc == 0 ? scan(look) : rc;
    rc = rc == 0 ? frag_check_keys(look) : rc;
    kn_writer_finish(&look->table);
    return rc < 0 && rc != -ENOENT && frag_check_goes_on(look->check, rc)
               ? tell_unreadable(look, rc)
               : rc;
}
