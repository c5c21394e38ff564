/* The reels an archive keeps open: the least recently used one makes room. A reel that retention
 * took is read through its descriptor for a little longer, so that who plays it comes to the end of
 * what he has begun; then its room on the disk is given back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/archive_inner.h"
#include "fragments/store/reel_file.h"

#define GONE_STAYS_NS (30 * KN_NS_PER_S)
#define LOOK_EVERY_NS (5 * KN_NS_PER_S)
#define PATH_BYTES (FRAG_FOLDER_PATH_BYTES + FRAG_INDEX_PATH_BYTES)

/* ---- closing ---- */

static void close_reel(struct frag_archive *archive, struct frag_archive_reel *reel) {
    struct frag_io *io = archive->store->io;
    if (reel->row != 0) {
        (void)io->close(io, reel->fd); /* was only read */
        kn_tracks_unref(reel->tracks);
    }
    *reel = (struct frag_archive_reel){.row = 0};
}

void frag_archive_close_reels(struct frag_archive *archive) {
    for (size_t i = 0; i < FRAG_ARCHIVE_REELS; i++) {
        close_reel(archive, &archive->reels[i]);
    }
}

/* Is the answer of frag_index_get_reel that the reel is no more, or soon will be? */
static bool is_gone(int rc, const struct frag_index_reel *found) {
    return rc == -ENOENT || (rc == 0 && found->state == FRAG_REEL_DELETING);
}

static void note_gone(struct frag_archive *archive, struct frag_archive_reel *reel) {
    reel->gone = true;
    reel->gone_at = archive->store->clock->mono(archive->store->clock);
}

static void look_for_gone(struct frag_archive *archive) {
    char path[FRAG_INDEX_PATH_BYTES];
    for (size_t i = 0; i < FRAG_ARCHIVE_REELS; i++) {
        struct frag_archive_reel *reel = &archive->reels[i];
        struct frag_index_reel found;
        if (reel->row == 0 || reel->gone) {
            continue;
        }
        int rc = frag_index_get_reel(archive->index, reel->row, path, sizeof(path), &found);
        if (is_gone(rc, &found)) {
            note_gone(archive, reel);
        }
    }
}

void frag_archive_sweep(struct frag_archive *archive) {
    struct kn_mono now = archive->store->clock->mono(archive->store->clock);
    for (size_t i = 0; i < FRAG_ARCHIVE_REELS; i++) {
        struct frag_archive_reel *reel = &archive->reels[i];
        if (reel->gone && now.ns - reel->gone_at.ns >= GONE_STAYS_NS) {
            close_reel(archive, reel);
        }
    }
    if (now.ns - archive->looked.ns >= LOOK_EVERY_NS) {
        archive->looked = now;
        look_for_gone(archive);
    }
}

/* ---- opening ---- */

static int keep_tracks(struct kn_tracks *tracks, void *user) {
    struct kn_tracks **ret_tracks = user;
    *ret_tracks = kn_tracks_ref(tracks);
    return KN_E_CLOSED; /* nothing behind it is wanted */
}

/* EBML header and Segment, then Tracks. */
static int push_tracks(struct frag_archive *archive, int fd, const struct frag_reel_body *body,
                       struct frag_mkv_parser *parser) {
    struct frag_io *io = archive->store->io;
    uint64_t at = body->tracks_at;
    int rc = frag_io_read_exactly(io, fd, archive->room, FRAG_REEL_SEGMENT_AT, 0);
    if (rc == 0) {
        rc = frag_mkv_parser_push(parser, archive->room, FRAG_REEL_SEGMENT_AT);
    }
    while (rc == 0 && at < body->first_cluster_at) {
        uint64_t left = body->first_cluster_at - at;
        size_t size = left < FRAG_ARCHIVE_PIECE_BYTES ? (size_t)left : FRAG_ARCHIVE_PIECE_BYTES;
        rc = frag_io_read_exactly(io, fd, archive->room, size, at);
        if (rc == 0) {
            rc = frag_mkv_parser_push(parser, archive->room, size);
        }
        at += size;
    }
    return rc;
}

static int read_tracks(struct frag_archive *archive, int fd, const struct frag_reel_body *body,
                       struct kn_tracks **ret_tracks) {
    static const struct frag_mkv_handler handler = {.tracks = keep_tracks};
    struct kn_tracks *tracks = NULL;
    struct frag_mkv_parser_config config = {.handler = &handler, .user = &tracks};
    struct frag_mkv_parser *parser = NULL;
    int rc = frag_mkv_parser_create(&config, &parser);
    if (rc < 0) {
        return rc;
    }
    rc = push_tracks(archive, fd, body, parser);
    frag_mkv_parser_destroy(parser);
    if (tracks == NULL) {
        /* Codes of ours, and the end without a word, speak of the bytes. */
        return rc == 0 || rc <= KN_E_TRUNCATED ? KN_E_MALFORMED : rc;
    }
    *ret_tracks = tracks;
    return 0;
}

/* The reel's file as the index has it. */
static bool is_same_reel(const struct frag_reel_identity *a, const struct frag_reel_identity *b) {
    return memcmp(a->reel_id, b->reel_id, FRAG_ID_BYTES) == 0 &&
           memcmp(a->stream_id, b->stream_id, FRAG_ID_BYTES) == 0 &&
           memcmp(a->store_id, b->store_id, FRAG_ID_BYTES) == 0 && a->flags == b->flags;
}

/* What `reel` needs of the file; on failure there may be tracks. */
static int read_head(struct frag_archive *archive, const struct frag_index_reel *found,
                     struct frag_archive_reel *reel) {
    struct frag_io *io = archive->store->io;
    struct frag_reel_body body;
    uint64_t file_bytes = 0;
    int rc = frag_reel_identify_open(io, reel->fd, &reel->identity);
    if (rc == 0 && !is_same_reel(&reel->identity, &found->identity)) {
        rc = KN_E_MALFORMED;
    }
    if (rc == 0) {
        rc = io->size(io, reel->fd, &file_bytes);
    }
    if (rc == 0) {
        rc = frag_reel_load_body(io, reel->fd, file_bytes, &reel->identity, &body);
    }
    if (rc != 0) {
        return frag_reel_is_damage(rc) ? KN_E_MALFORMED : rc;
    }
    reel->first_cluster_at = body.first_cluster_at;
    return read_tracks(archive, reel->fd, &body, &reel->tracks);
}

/* A free place, or that of the one whose last use is longest ago. */
static struct frag_archive_reel *make_place(struct frag_archive *archive) {
    struct frag_archive_reel *oldest = &archive->reels[0];
    for (size_t i = 0; i < FRAG_ARCHIVE_REELS; i++) {
        struct frag_archive_reel *reel = &archive->reels[i];
        oldest = reel->used < oldest->used ? reel : oldest; /* free ones have 0 */
    }
    close_reel(archive, oldest);
    return oldest;
}

/* The file is not there: was it deleted just now, or lost? */
static int explain_missing(struct frag_archive *archive, int64_t row) {
    char path[FRAG_INDEX_PATH_BYTES];
    struct frag_index_reel found;
    int rc = frag_index_get_reel(archive->index, row, path, sizeof(path), &found);
    return is_gone(rc, &found) ? -ENOENT : rc == 0 ? KN_E_MALFORMED : rc;
}

static int open_reel(struct frag_archive *archive, const struct frag_index_reel *found,
                     struct frag_archive_reel **ret_reel) {
    struct frag_io *io = archive->store->io;
    const struct frag_folder *folder = frag_store_folder(archive->store, found->folder);
    char path[PATH_BYTES];
    if (folder == NULL || !folder->online) {
        return -ENODEV;
    }
    int rc = frag_folder_join(folder, found->path, path, sizeof(path));
    if (rc < 0) {
        return rc;
    }
    struct frag_archive_reel reel = {.row = found->row};
    reel.fd = io->open(io, path, FRAG_IO_READ);
    if (reel.fd < 0) {
        return reel.fd == -ENOENT ? explain_missing(archive, found->row) : reel.fd;
    }
    rc = read_head(archive, found, &reel);
    if (rc < 0) {
        close_reel(archive, &reel);
        return rc;
    }
    struct frag_archive_reel *place = make_place(archive);
    *place = reel;
    *ret_reel = place;
    return 0;
}

/* ---- getting ---- */

static struct frag_archive_reel *find_open(struct frag_archive *archive,
                                           const struct frag_entry *entry) {
    for (size_t i = 0; i < FRAG_ARCHIVE_REELS; i++) {
        if (archive->reels[i].row != 0 && archive->reels[i].row == entry->reel) {
            return &archive->reels[i];
        }
    }
    return NULL;
}

static int ask_index(struct frag_archive *archive, int64_t row, char path[FRAG_INDEX_PATH_BYTES],
                     struct frag_index_reel *ret_found) {
    int rc = frag_index_get_reel(archive->index, row, path, FRAG_INDEX_PATH_BYTES, ret_found);
    if (rc == KN_E_MALFORMED && frag_archive_reopen(archive) == 0) {
        rc = frag_index_get_reel(archive->index, row, path, FRAG_INDEX_PATH_BYTES, ret_found);
    }
    return rc;
}

int frag_archive_get_reel(struct frag_archive *archive, const struct frag_entry *entry,
                          struct frag_archive_reel **ret_reel) {
    char path[FRAG_INDEX_PATH_BYTES];
    struct frag_index_reel found;
    int rc = ask_index(archive, entry->reel, path, &found);
    struct frag_archive_reel *reel = find_open(archive, entry);
    if (is_gone(rc, &found)) {
        rc = reel == NULL ? -ENOENT : 0;
        if (reel != NULL && !reel->gone) {
            note_gone(archive, reel);
        }
    } else if (rc == 0 && memcmp(found.identity.stream_id, entry->stream, FRAG_ID_BYTES) != 0) {
        rc = -ENOENT; /* the entry is of an index that was replaced since */
    } else if (rc == 0 && reel == NULL) {
        rc = open_reel(archive, &found, &reel);
    }
    if (rc < 0 || reel == NULL) {
        return rc;
    }
    reel->used = ++archive->uses;
    *ret_reel = reel;
    return 0;
}
