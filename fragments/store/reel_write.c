/* Writes a reel. Bytes go one way: nothing is read back, and after a failed operation nothing is
 * written any more. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/store/reel_file.h"

#define STREAM_NAME_MOST 64
#define ALLOCATE_STEP (UINT64_C(8) * 1024 * 1024)
/* Two pages, 17 MiB of Tracks, 16 MiB of the producer's header, and their heads. */
#define HEAD_MOST ((size_t)36 * 1024 * 1024)
#define ENDS_MOST ((size_t)128 * 1024 * 1024)

struct frag_reel {
    struct frag_io *io;
    int fd;
    int failed; /* the first failed operation, for ever */
    bool folders_synced, sparing;
    struct frag_reel_identity identity;
    uint64_t tracks_at;
    uint64_t bytes, durable, started, allocated;
    struct frag_reel_cue_tracks cue_tracks;
    struct frag_reel_ends ends;
    struct kn_writer trailer; /* of the fragment being appended; keeps its memory */
    struct iovec *iov;        /* the caller's slices and the trailer */
    size_t iov_room;
    size_t folder_bytes;
    char path[]; /* with the storage directory and a slash, folder_bytes, before it */
};

/* ---- names ---- */

static bool is_plain(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static uint32_t first_32(const uint8_t id[static FRAG_ID_BYTES]) {
    return (uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3];
}

const char *frag_reel_path_of(const struct frag_reel_identity *identity, const char *stream_name,
                              char path[static FRAG_REEL_PATH_BYTES]) {
    char name[STREAM_NAME_MOST + 1];
    char wall[KN_WALL_TEXT_BYTES]; /* 2026-11-20T21:23:40.123Z */
    size_t size = 0;
    for (; size < STREAM_NAME_MOST && stream_name[size] != '\0'; size++) {
        name[size] = is_plain(stream_name[size]) ? stream_name[size] : '_';
    }
    name[size] = '\0';
    (void)kn_wall_format(identity->opened, wall);
    (void)snprintf(path, FRAG_REEL_PATH_BYTES, "reels/%s-%08x/%.10s/%.2s-%.2s-%.2s-%08x.mkv", name,
                   first_32(identity->stream_id), wall, wall + 11, wall + 14, wall + 17,
                   first_32(identity->reel_id)); /* about 120 characters at most */
    return path;
}

const char *frag_reel_path(const struct frag_reel *reel) {
    return reel->path + reel->folder_bytes;
}

/* ---- creating ---- */

static int fail(struct frag_reel *reel, int rc) {
    if (rc < 0 && reel->failed == 0) {
        reel->failed = rc;
    }
    return rc;
}

static int make_folders(struct frag_reel *reel) {
    int rc = 0;
    for (char *slash = strchr(reel->path + reel->folder_bytes, '/'); slash != NULL && rc == 0;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        rc = reel->io->make_folder(reel->io, reel->path);
        *slash = '/';
    }
    return rc;
}

static int allocate(struct frag_reel *reel, uint64_t to) {
    int rc = reel->io->allocate(reel->io, reel->fd, reel->allocated, to - reel->allocated);
    if (rc != -ENOSPC && rc != -EDQUOT) {
        reel->allocated = to;
        return 0;
    }
    return rc;
}

/* A disk that is full says so before anything is written; else it is a hint, which some file
 * systems do not take. Where there is no room for a whole step, what is written now may still fit,
 * and other reels need the rest. */
static int allocate_ahead(struct frag_reel *reel, uint64_t end) {
    if (end <= reel->allocated) {
        return 0;
    }
    int rc = reel->sparing ? -ENOSPC : allocate(reel, (end / ALLOCATE_STEP + 1) * ALLOCATE_STEP);
    if (rc < 0) {
        reel->sparing = true;
        rc = allocate(reel, end);
    }
    return rc;
}

static int write_head(struct frag_reel *reel, const struct frag_reel_config *config) {
    struct kn_writer head;
    struct frag_reel_body body;
    kn_writer_init_growing(&head, HEAD_MOST);
    frag_reel_write_head(&head, &config->identity, config->stream_name, config->tracks,
                         config->producer_header);
    int rc = kn_writer_status(&head);
    if (rc == 0) {
        rc = frag_reel_read_body(head.data + FRAG_REEL_BODY_AT, head.size - FRAG_REEL_BODY_AT,
                                 &config->identity, NULL, &body);
    }
    if (rc == 0) {
        reel->tracks_at = body.tracks_at;
        rc = allocate_ahead(reel, head.size);
    }
    if (rc == 0) {
        rc = frag_io_write_bytes(reel->io, reel->fd, head.data, head.size, 0);
        reel->bytes = head.size;
    }
    kn_writer_finish(&head);
    return rc;
}

static int create_file(struct frag_reel *reel, const struct frag_reel_config *config) {
    int rc = make_folders(reel);
    if (rc < 0) {
        return rc;
    }
    rc = reel->io->open(reel->io, reel->path, FRAG_IO_CREATE);
    if (rc < 0) {
        return rc;
    }
    reel->fd = rc;
    rc = write_head(reel, config);
    if (rc < 0) {
        /* It was made just now and holds nothing; the failure that is told is the first one. */
        (void)reel->io->unlink(reel->io, reel->path);
    }
    return rc;
}

int frag_reel_create(const struct frag_reel_config *config, struct frag_reel **ret_reel) {
    char path[FRAG_REEL_PATH_BYTES];
    (void)frag_reel_path_of(&config->identity, config->stream_name, path);
    size_t folder_bytes = strlen(config->folder) + 1;
    size_t path_bytes = strlen(path) + 1;
    struct frag_reel *reel = calloc(1, sizeof(*reel) + folder_bytes + path_bytes);
    if (reel == NULL) {
        return -ENOMEM;
    }
    reel->io = config->io;
    reel->fd = -1;
    reel->identity = config->identity;
    reel->sparing = config->sparing;
    reel->folder_bytes = folder_bytes;
    memcpy(reel->path, config->folder, folder_bytes - 1);
    reel->path[folder_bytes - 1] = '/';
    memcpy(reel->path + folder_bytes, path, path_bytes);
    kn_writer_init_growing(&reel->trailer, FRAG_REEL_TRAILER_MOST);
    frag_reel_cue_tracks_set(&reel->cue_tracks, config->tracks);
    int rc = create_file(reel, config);
    if (rc < 0) {
        frag_reel_abandon(reel);
        return rc;
    }
    *ret_reel = reel;
    return 0;
}

/* ---- appending ---- */

/* Where in the slices the last read was. */
struct slices {
    const struct iovec *iov;
    size_t count, at;
    uint64_t from; /* of iov[at], in the cluster */
};

static int read_slices(void *user, uint64_t at, uint8_t *room, size_t size) {
    struct slices *slices = user;
    while (slices->at < slices->count && at - slices->from >= slices->iov[slices->at].iov_len) {
        slices->from += slices->iov[slices->at++].iov_len;
    }
    uint64_t from = slices->from;
    for (size_t i = slices->at; i < slices->count && size > 0; i++) {
        size_t skip = (size_t)(at - from);
        size_t left = slices->iov[i].iov_len - skip;
        size_t part = left < size ? left : size;
        if (part > 0) {
            memcpy(room, (const uint8_t *)slices->iov[i].iov_base + skip, part);
        }
        room += part;
        size -= part;
        at += part;
        from += slices->iov[i].iov_len;
    }
    return size == 0 ? 0 : -EINVAL;
}

static bool is_cluster(const struct iovec *cluster, size_t slices, uint64_t cluster_bytes) {
    uint8_t head[FRAG_REEL_CLUSTER_HEAD_BYTES];
    struct slices bytes = {.iov = cluster, .count = slices};
    uint32_t id = 0;
    uint64_t said = 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < slices; i++) {
        if (!kn_u64_add(sum, cluster[i].iov_len, &sum)) {
            return false;
        }
    }
    return sum == cluster_bytes && sum >= sizeof(head) &&
           read_slices(&bytes, 0, head, sizeof(head)) == 0 &&
           frag_reel_read_element(head, sizeof(head), &id, &said) == 0 && id == FRAG_MKV_CLUSTER &&
           said == cluster_bytes;
}

static bool follows(const struct frag_reel *reel, const struct frag_reel_row *row) {
    if (row->number.low != reel->identity.number_low) {
        return false;
    }
    if (reel->ends.row_count == 0) {
        return true;
    }
    const struct frag_reel_row *last = &reel->ends.rows[reel->ends.row_count - 1];
    return row->number.sequence > last->number.sequence && row->ordinal > last->ordinal &&
           row->discontinuities >= last->discontinuities;
}

/* The caller's slices, and room for one more. */
static int copy_slices(struct frag_reel *reel, const struct iovec *cluster, size_t slices) {
    if (slices + 1 > reel->iov_room) {
        struct iovec *grown = reallocarray(reel->iov, slices + 1, sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        reel->iov = grown;
        reel->iov_room = slices + 1;
    }
    memcpy(reel->iov, cluster, slices * sizeof(*cluster));
    return 0;
}

static uint32_t crc_of(const struct iovec *cluster, size_t slices) {
    uint32_t crc = 0;
    for (size_t i = 0; i < slices; i++) {
        if (cluster[i].iov_len > 0) {
            crc = kn_crc32c(crc, cluster[i].iov_base, cluster[i].iov_len);
        }
    }
    return crc;
}

static int write_fragment(struct frag_reel *reel, size_t slices, uint64_t bytes) {
    reel->iov[slices] =
        (struct iovec){.iov_base = reel->trailer.data, .iov_len = reel->trailer.size};
    int rc = allocate_ahead(reel, reel->bytes + bytes);
    if (rc == 0) {
        rc = frag_io_write_all(reel->io, reel->fd, reel->iov, slices + 1, reel->bytes);
    }
    return fail(reel, rc);
}

int frag_reel_append(struct frag_reel *reel, struct frag_reel_row *row, const struct iovec *cluster,
                     size_t slices, uint64_t cluster_bytes, const uint8_t *before,
                     const uint8_t *after) {
    if (reel->failed != 0) {
        return reel->failed;
    }
    if (!follows(reel, row) || !is_cluster(cluster, slices, cluster_bytes)) {
        return -EINVAL;
    }
    int rc = frag_reel_ends_reserve(&reel->ends);
    if (rc == 0) {
        rc = copy_slices(reel, cluster, slices);
    }
    if (rc < 0) {
        return rc;
    }
    struct frag_reel_row whole = *row;
    whole.cluster_at = reel->bytes;
    whole.cluster_bytes = cluster_bytes;
    whole.cluster_crc32c = crc_of(cluster, slices);
    kn_writer_clear(&reel->trailer);
    frag_reel_write_trailer(&reel->trailer, &whole, reel->identity.reel_id, before, after);
    rc = kn_writer_status(&reel->trailer);
    if (rc == 0) {
        rc = write_fragment(reel, slices, cluster_bytes + whole.trailer_bytes);
    }
    if (rc < 0) {
        return rc;
    }
    struct slices bytes = {.iov = cluster, .count = slices};
    const struct frag_reel_span span = {
        .read = read_slices, .user = &bytes, .bytes = cluster_bytes};
    struct frag_mkv_cue cue;
    bool found = frag_reel_find_cue(&span, &reel->cue_tracks, whole.cluster_at, &cue) > 0;
    frag_reel_ends_add(&reel->ends, &whole, found ? &cue : NULL);
    reel->bytes += cluster_bytes + whole.trailer_bytes;
    *row = whole;
    return 0;
}

/* ---- syncing ---- */

int frag_reel_start_write_back(struct frag_reel *reel) {
    if (reel->failed != 0 || reel->started == reel->bytes) {
        return reel->failed;
    }
    int rc =
        reel->io->start_write_back(reel->io, reel->fd, reel->started, reel->bytes - reel->started);
    reel->started = reel->bytes;
    return fail(reel, rc);
}

int frag_reel_sync(struct frag_reel *reel) {
    if (reel->failed != 0 || reel->durable == reel->bytes) {
        return reel->failed;
    }
    int rc = reel->io->sync(reel->io, reel->fd);
    if (rc == 0 && !reel->folders_synced) {
        rc = frag_reel_sync_folders(reel->io, reel->path);
        reel->folders_synced = rc == 0;
    }
    if (rc == 0) {
        reel->durable = reel->bytes;
    }
    return fail(reel, rc);
}

uint64_t frag_reel_durable_bytes(const struct frag_reel *reel) {
    return reel->durable;
}

uint64_t frag_reel_bytes(const struct frag_reel *reel) {
    return reel->bytes;
}

size_t frag_reel_fragments(const struct frag_reel *reel) {
    return reel->ends.row_count;
}

/* ---- closing ---- */

static int write_ends(struct frag_reel *reel, uint64_t *ret_bytes) {
    struct kn_writer ends;
    struct frag_reel_places places = {.tracks_at = reel->tracks_at};
    kn_writer_init_growing(&ends, ENDS_MOST);
    frag_reel_ends_write(&ends, &reel->ends, reel->bytes, &places);
    uint64_t bytes = reel->bytes + ends.size;
    int rc = kn_writer_status(&ends);
    if (rc == 0) {
        rc = frag_reel_put_ends(reel->io, reel->fd, &ends, reel->bytes);
    }
    kn_writer_finish(&ends);
    if (rc == 0 && !reel->folders_synced) {
        rc = frag_reel_sync_folders(reel->io, reel->path);
    }
    if (rc == 0) {
        rc = frag_reel_put_page(reel->io, reel->fd, &places);
    }
    if (rc == 0) {
        *ret_bytes = bytes;
    }
    return rc;
}

int frag_reel_close(struct frag_reel *reel, uint64_t *ret_bytes) {
    int rc = reel->failed != 0 ? reel->failed : write_ends(reel, ret_bytes);
    frag_reel_abandon(reel);
    return rc;
}

void frag_reel_abandon(struct frag_reel *reel) {
    if (reel == NULL) {
        return;
    }
    if (reel->fd >= 0) {
        (void)reel->io->close(reel->io, reel->fd); /* what counts was synced */
    }
    kn_writer_finish(&reel->trailer);
    frag_reel_ends_finish(&reel->ends);
    free(reel->iov);
    free(reel);
}
