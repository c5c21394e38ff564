/* Closes a reel that its writer could not close. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "fragments/store/reel_file.h"

#define ENDS_MOST ((size_t)128 * 1024 * 1024)
#define CHUNK_BYTES ((size_t)64 * 1024)

struct recovery {
    struct frag_io *io;
    int fd;
    const struct frag_reel_handler *handler;
    void *user;
    struct frag_reel_cue_tracks cue_tracks;
    bool has_tracks;
    struct frag_reel_ends ends;
    uint64_t cluster_at; /* of the cluster that is read */
};

/* ---- tracks ---- */

static int handle_tracks(struct kn_tracks *tracks, void *user) {
    struct recovery *recovery = user;
    frag_reel_cue_tracks_set(&recovery->cue_tracks, tracks);
    recovery->has_tracks = true;
    return KN_E_CLOSED; /* nothing else is wanted */
}

static int push_part(struct recovery *recovery, struct frag_mkv_parser *parser, uint64_t from,
                     uint64_t to) {
    uint8_t *chunk = malloc(CHUNK_BYTES);
    int rc = chunk != NULL ? 0 : -ENOMEM;
    for (uint64_t at = from; at < to && rc == 0 && !recovery->has_tracks; at += CHUNK_BYTES) {
        size_t size = to - at < CHUNK_BYTES ? (size_t)(to - at) : CHUNK_BYTES;
        rc = frag_io_read_exactly(recovery->io, recovery->fd, chunk, size, at);
        if (rc == 0) {
            rc = frag_mkv_parser_push(parser, chunk, size);
        }
    }
    free(chunk);
    return recovery->has_tracks ? 0 : rc;
}

static int load_tracks(struct recovery *recovery, const struct frag_reel_body *body) {
    static const struct frag_mkv_handler handler = {.tracks = handle_tracks};
    const struct frag_mkv_parser_config config = {.handler = &handler, .user = recovery};
    struct frag_mkv_parser *parser = NULL;
    int rc = frag_mkv_parser_create(&config, &parser);
    if (rc == 0) {
        rc = push_part(recovery, parser, 0, FRAG_REEL_SEGMENT_AT);
    }
    /* Not the page that closes: it may be torn. */
    if (rc == 0) {
        rc = push_part(recovery, parser, FRAG_REEL_BODY_AT, body->first_cluster_at);
    }
    frag_mkv_parser_destroy(parser);
    return rc == 0 && !recovery->has_tracks ? KN_E_MALFORMED : rc;
}

/* ---- rows ---- */

static int read_cluster(void *user, uint64_t at, uint8_t *room, size_t size) {
    const struct recovery *recovery = user;
    return frag_io_read_exactly(recovery->io, recovery->fd, room, size, recovery->cluster_at + at);
}

static int add_row(struct recovery *recovery, const struct frag_reel_row *row) {
    int rc = frag_reel_ends_reserve(&recovery->ends);
    if (rc < 0) {
        return rc;
    }
    const struct frag_reel_span span = {
        .read = read_cluster, .user = recovery, .bytes = row->cluster_bytes};
    struct frag_mkv_cue cue;
    recovery->cluster_at = row->cluster_at;
    rc = recovery->has_tracks
             ? frag_reel_find_cue(&span, &recovery->cue_tracks, row->cluster_at, &cue)
             : 0;
    if (rc >= 0) {
        frag_reel_ends_add(&recovery->ends, row, rc > 0 ? &cue : NULL);
    }
    return rc < 0 ? rc : 0;
}

static int handle_fragment(const struct frag_reel_row *row, void *user) {
    struct recovery *recovery = user;
    int rc = add_row(recovery, row);
    return rc == 0 && recovery->handler->fragment != NULL
               ? recovery->handler->fragment(row, recovery->user)
               : rc;
}

static int handle_damage(uint64_t from, uint64_t to, const char *what, void *user) {
    const struct recovery *recovery = user;
    return recovery->handler->damage != NULL
               ? recovery->handler->damage(from, to, what, recovery->user)
               : 0;
}

/* They are all there are before `from`, and so are read from what is there. */
static int add_known(struct recovery *recovery, uint64_t from, const struct frag_reel_row *known,
                     size_t count) {
    int rc = 0;
    uint64_t end = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct frag_reel_row *row = &known[i];
        if (row->cluster_at > from || row->cluster_bytes > from - row->cluster_at) {
            return -EINVAL;
        }
        end = row->cluster_at + row->cluster_bytes + row->trailer_bytes;
        rc = add_row(recovery, row);
    }
    return rc == 0 && count > 0 && end != from ? -EINVAL : rc;
}

/* ---- closing ---- */

static int close_file(struct recovery *recovery, const char *path,
                      const struct frag_reel_body *body, struct frag_reel_scanned *state) {
    struct frag_reel_places places = {.tracks_at = body->tracks_at};
    struct kn_writer ends;
    kn_writer_init_growing(&ends, ENDS_MOST);
    frag_reel_ends_write(&ends, &recovery->ends, state->good_bytes, &places);
    int rc = kn_writer_status(&ends);
    if (rc == 0) {
        rc = frag_reel_put_ends(recovery->io, recovery->fd, &ends, state->good_bytes);
    }
    uint64_t file_bytes = state->good_bytes + ends.size;
    kn_writer_finish(&ends);
    if (rc == 0) {
        rc = frag_reel_sync_folders(recovery->io, path);
    }
    if (rc == 0) {
        rc = frag_reel_put_page(recovery->io, recovery->fd, &places);
    }
    if (rc == 0) {
        state->closed = true;
        state->file_bytes = file_bytes;
    }
    return rc;
}

/* Where the head is not good, fragments are told all the same. */
static int recover(struct recovery *recovery, const char *path, uint64_t from,
                   const struct frag_reel_row *known, size_t known_count,
                   struct frag_reel_scanned *ret_state) {
    static const struct frag_reel_handler collect = {.fragment = handle_fragment,
                                                     .damage = handle_damage};
    struct frag_reel_identity identity;
    struct frag_reel_body body = {0};
    struct frag_reel_scanned state = {0};
    uint64_t file_bytes = 0;
    int rc = recovery->io->size(recovery->io, recovery->fd, &file_bytes);
    if (rc == 0) {
        rc = frag_reel_identify_open(recovery->io, recovery->fd, &identity);
    }
    if (rc < 0) {
        return rc;
    }
    if (from > file_bytes) {
        return KN_E_TRUNCATED;
    }
    int head = frag_reel_load_body(recovery->io, recovery->fd, file_bytes, &identity, &body);
    if (head == 0) {
        head = load_tracks(recovery, &body);
    }
    if (head == 0 && known_count == 0 && from > body.first_cluster_at) {
        return -EINVAL;
    }
    rc = add_known(recovery, from, known, known_count);
    if (rc == 0) {
        rc =
            frag_reel_scan_open(recovery->io, recovery->fd, from, true, &collect, recovery, &state);
    }
    if (rc == 0 && !state.closed) {
        rc = head < 0 ? head : close_file(recovery, path, &body, &state);
    }
    if (rc == 0) {
        *ret_state = state;
    }
    return rc;
}

int frag_reel_recover(struct frag_io *io, const char *path, uint64_t from,
                      const struct frag_reel_row *known, size_t known_count,
                      const struct frag_reel_handler *handler, void *user,
                      struct frag_reel_scanned *ret_state) {
    struct recovery recovery = {.io = io, .handler = handler, .user = user};
    recovery.fd = io->open(io, path, FRAG_IO_WRITE);
    if (recovery.fd < 0) {
        return recovery.fd;
    }
    int rc = recover(&recovery, path, from, known, known_count, ret_state);
    (void)io->close(io, recovery.fd); /* what counts was synced */
    frag_reel_ends_finish(&recovery.ends);
    return rc;
}
