/* Copies held fragments out of a reel that goes, to a kept one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/store/reel_file.h"
#include "fragments/store/retention.h"

#define PATH_BYTES ((size_t)4096 + FRAG_INDEX_PATH_BYTES)
#define HEADER_CHUNK ((size_t)64 * 1024)
/* What frag_reel_load_body reads at most: two elements of 17 MiB. */
#define BODY_MOST ((uint64_t)34 * 1024 * 1024)
#define TABLE_MOST ((size_t)64 * 1024 * 1024)
/* Of a cluster with its trailer. Fragments have at most FRAG_MAX_BYTES of payload; their blocks'
 * heads and what was received around add little. */
#define FRAGMENT_MOST ((uint64_t)128 * 1024 * 1024)

/* The reel that is copied from, and what its head says. */
struct source {
    struct frag_io *io;
    int fd;
    uint64_t file_bytes;
    struct frag_reel_identity identity;
    struct frag_reel_body body;
    struct kn_tracks *tracks;
    struct kn_writer header; /* of the producer */
    uint8_t *room;           /* one fragment with its trailer */
    size_t room_bytes;
    struct kn_writer around;
};

/* ---- the head ---- */

static int keep_tracks(struct kn_tracks *tracks, void *user) {
    struct source *source = user;
    source->tracks = kn_tracks_ref(tracks);
    return KN_E_CLOSED; /* nothing behind it is wanted */
}

/* Bytes of the head, as the parser wants them: from the EBML header to Segment, then Tracks. */
static int push_part(struct source *source, struct frag_mkv_parser *parser, uint64_t from,
                     uint64_t to) {
    uint8_t *chunk = malloc(HEADER_CHUNK);
    int rc = chunk != NULL ? 0 : -ENOMEM;
    for (uint64_t at = from; at < to && rc == 0; at += HEADER_CHUNK) {
        size_t size = to - at < HEADER_CHUNK ? (size_t)(to - at) : HEADER_CHUNK;
        rc = frag_io_read_exactly(source->io, source->fd, chunk, size, at);
        if (rc == 0) {
            rc = frag_mkv_parser_push(parser, chunk, size);
        }
    }
    free(chunk);
    return rc;
}

static int read_tracks(struct source *source) {
    static const struct frag_mkv_handler handler = {.tracks = keep_tracks};
    const struct frag_mkv_parser_config config = {.handler = &handler, .user = source};
    struct frag_mkv_parser *parser = NULL;
    int rc = frag_mkv_parser_create(&config, &parser);
    if (rc == 0) {
        rc = push_part(source, parser, 0, FRAG_REEL_SEGMENT_AT);
    }
    if (rc == 0) {
        rc = push_part(source, parser, source->body.tracks_at, source->body.first_cluster_at);
    }
    frag_mkv_parser_destroy(parser);
    if (source->tracks != NULL) {
        return 0;
    }
    return rc == 0 ? KN_E_MALFORMED : rc;
}

static int read_header(struct source *source) {
    uint64_t from = FRAG_REEL_BODY_AT;
    uint64_t bytes = source->body.first_cluster_at - from;
    struct frag_reel_body body;
    if (source->identity.producer_header_bytes == 0) {
        return 0;
    }
    if (bytes > BODY_MOST) {
        return KN_E_MALFORMED;
    }
    uint8_t *data = malloc((size_t)bytes);
    if (data == NULL) {
        return -ENOMEM;
    }
    int rc = frag_io_read_exactly(source->io, source->fd, data, (size_t)bytes, from);
    if (rc == 0) {
        rc = frag_reel_read_body(data, (size_t)bytes, &source->identity, &source->header, &body);
    }
    free(data);
    return rc < 0 ? rc : kn_writer_status(&source->header);
}

static int open_source(struct source *source, const char *path,
                       const struct frag_index_reel *reel) {
    kn_writer_init_growing(&source->header, FRAG_REEL_PRODUCER_HEADER_MAX);
    kn_writer_init_growing(&source->around, FRAG_REEL_AROUND_MAX);
    source->fd = source->io->open(source->io, path, FRAG_IO_READ);
    if (source->fd < 0) {
        return source->fd;
    }
    int rc = frag_reel_identify_open(source->io, source->fd, &source->identity);
    if (rc == 0 &&
        (memcmp(source->identity.reel_id, reel->identity.reel_id, FRAG_ID_BYTES) != 0 ||
         memcmp(source->identity.stream_id, reel->identity.stream_id, FRAG_ID_BYTES) != 0)) {
        rc = KN_E_MALFORMED; /* another file has its name */
    }
    if (rc == 0) {
        rc = source->io->size(source->io, source->fd, &source->file_bytes);
    }
    if (rc == 0) {
        rc = frag_reel_load_body(source->io, source->fd, source->file_bytes, &source->identity,
                                 &source->body);
    }
    rc = rc == 0 ? read_tracks(source) : rc;
    return rc == 0 ? read_header(source) : rc;
}

static void close_source(struct source *source) {
    if (source->fd >= 0) {
        (void)source->io->close(source->io, source->fd); /* was only read */
    }
    kn_tracks_unref(source->tracks);
    kn_writer_finish(&source->header);
    kn_writer_finish(&source->around);
    free(source->room);
}

/* ---- fragments ---- */

static int make_room(struct source *source, size_t bytes) {
    if (bytes <= source->room_bytes) {
        return 0;
    }
    uint8_t *room = realloc(source->room, bytes);
    if (room == NULL) {
        return -ENOMEM;
    }
    source->room = room;
    source->room_bytes = bytes;
    return 0;
}

/* Cluster and trailer, checked; `ret_row` is as the trailer has it. */
static int read_fragment(struct source *source, const struct frag_reel_row *known,
                         struct frag_reel_row *ret_row) {
    uint64_t bytes = known->cluster_bytes + known->trailer_bytes;
    struct frag_reel_row row = {0};
    if (known->cluster_bytes > FRAGMENT_MOST || bytes > FRAGMENT_MOST ||
        known->cluster_at > source->file_bytes || bytes > source->file_bytes - known->cluster_at) {
        return KN_E_MALFORMED;
    }
    int rc = make_room(source, (size_t)bytes);
    if (rc == 0) {
        rc = frag_io_read_exactly(source->io, source->fd, source->room, (size_t)bytes,
                                  known->cluster_at);
    }
    if (rc == 0) {
        rc = frag_reel_read_trailer(source->room + known->cluster_bytes, known->trailer_bytes,
                                    known->cluster_at + known->cluster_bytes, &source->identity,
                                    &row);
    }
    if (rc < 0) {
        return rc;
    }
    if (row.number.sequence != known->number.sequence ||
        row.cluster_bytes != known->cluster_bytes ||
        kn_crc32c(0, source->room, (size_t)row.cluster_bytes) != row.cluster_crc32c) {
        return KN_E_MALFORMED;
    }
    kn_writer_clear(&source->around);
    rc = frag_reel_read_around(source->room + row.cluster_bytes, known->trailer_bytes, &row,
                               &source->around);
    if (rc == 0) {
        *ret_row = row;
    }
    return rc;
}

static int copy_fragment(struct source *source, const struct frag_reel_row *known,
                         struct frag_reel *reel) {
    struct frag_reel_row row = {0};
    int rc = read_fragment(source, known, &row);
    if (rc < 0) {
        return rc;
    }
    const struct iovec cluster = {.iov_base = source->room, .iov_len = (size_t)row.cluster_bytes};
    const uint8_t *before = row.before_bytes > 0 ? source->around.data : NULL;
    const uint8_t *after = row.after_bytes > 0 ? source->around.data + row.before_bytes : NULL;
    return frag_reel_append(reel, &row, &cluster, 1, row.cluster_bytes, before, after);
}

/* ---- the kept reel ---- */

/* What can be wrong with a file's bytes, under one name; the rest is the machine's. */
static int damage_or(int rc) {
    return frag_reel_is_damage(rc) || rc == KN_E_LIMIT || rc == -EINVAL ? KN_E_MALFORMED : rc;
}

static int create_reel(struct frag_folder *folder, const char *stream_name, struct source *source,
                       struct frag_keep *keep, struct frag_reel **ret_reel) {
    keep->identity = source->identity;
    keep->identity.flags |= FRAG_REEL_KEPT;
    frag_random_bytes(&folder->store->random, keep->identity.reel_id, FRAG_ID_BYTES);
    const struct frag_reel_config config = {
        .io = source->io,
        .folder = folder->path,
        .identity = keep->identity,
        .stream_name = stream_name,
        .tracks = source->tracks,
        .producer_header = source->header.data,
    };
    (void)frag_reel_path_of(&keep->identity, stream_name, keep->path);
    return frag_reel_create(&config, ret_reel);
}

static int fill_reel(struct source *source, struct frag_keep *keep,
                     const struct frag_reel_row *rows, size_t count, struct frag_reel *reel) {
    for (size_t i = 0; i < count; i++) {
        int rc = damage_or(copy_fragment(source, &rows[i], reel));
        if (rc < 0) {
            frag_reel_abandon(reel);
            return rc;
        }
        keep->sequences[i] = rows[i].number.sequence;
    }
    keep->count = count;
    int rc = frag_reel_sync(reel);
    if (rc < 0) {
        frag_reel_abandon(reel);
        return rc;
    }
    return frag_reel_close(reel, &keep->bytes);
}

static int read_table(struct frag_folder *folder, struct frag_keep *keep) {
    char path[PATH_BYTES];
    struct frag_reel_identity identity;
    int rc = frag_folder_join(folder, keep->path, path, sizeof(path));
    kn_writer_init_growing(&keep->table, TABLE_MOST);
    return rc < 0 ? rc : frag_reel_read_footer(folder->store->io, path, &identity, &keep->table);
}

static int make_reel(struct frag_folder *folder, const char *stream_name, struct source *source,
                     const struct frag_reel_row *rows, size_t count, struct frag_keep *keep) {
    struct frag_reel *reel = NULL;
    int rc = create_reel(folder, stream_name, source, keep, &reel);
    if (rc < 0) {
        return rc == -EEXIST ? rc : damage_or(rc);
    }
    rc = fill_reel(source, keep, rows, count, reel);
    if (rc == 0) {
        rc = read_table(folder, keep);
    }
    if (rc < 0) {
        frag_keep_remove(folder, keep);
    }
    return rc;
}

int frag_keep_copy(struct frag_folder *folder, const char *stream_name,
                   const struct frag_index_reel *old, const struct frag_reel_row *rows,
                   size_t count, struct frag_keep *ret_keep) {
    KN_ASSERT(count > 0);
    char path[PATH_BYTES];
    struct source source = {.io = folder->store->io, .fd = -1};
    struct frag_keep keep = {0};
    int rc = frag_folder_join(folder, old->path, path, sizeof(path));
    if (rc < 0) {
        return rc;
    }
    rc = damage_or(open_source(&source, path, old));
    if (rc == 0) {
        keep.sequences = calloc(count, sizeof(*keep.sequences));
        rc = keep.sequences == NULL ? -ENOMEM : 0;
    }
    if (rc == 0) {
        rc = make_reel(folder, stream_name, &source, rows, count, &keep);
    }
    close_source(&source);
    if (rc < 0) {
        frag_keep_finish(&keep);
        return rc;
    }
    *ret_keep = keep;
    return 0;
}

bool frag_keep_has(const struct frag_keep *keep, uint64_t sequence) {
    size_t low = 0;
    size_t high = keep->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (keep->sequences[middle] == sequence) {
            return true;
        }
        if (keep->sequences[middle] < sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

bool frag_keep_exists(struct frag_index *index, const uint8_t stream[static FRAG_ID_BYTES],
                      int64_t reel, uint64_t sequence) {
    struct frag_index_found found;
    struct frag_index_reel other;
    char path[FRAG_INDEX_PATH_BYTES];
    return frag_index_find_sequence(index, stream, sequence, &found) == 0 && found.reel != reel &&
           frag_index_get_reel(index, found.reel, path, sizeof(path), &other) == 0 &&
           (other.identity.flags & FRAG_REEL_KEPT) != 0;
}

void frag_keep_remove(struct frag_folder *folder, const struct frag_keep *keep) {
    char path[PATH_BYTES];
    struct frag_io *io = folder->store->io;
    if (keep->path[0] != '\0' && frag_folder_join(folder, keep->path, path, sizeof(path)) == 0) {
        /* What stays after all is found at the next start: a kept reel more than needed. */
        (void)io->unlink(io, path);
    }
}

void frag_keep_finish(struct frag_keep *keep) {
    kn_writer_finish(&keep->table);
    free(keep->sequences);
    *keep = (struct frag_keep){0};
}
