/* A fragment off the disk: pieces of its cluster go through the checksum into the sample reader,
 * then its trailer says whether it was what was written. Nothing is given out before that. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/store/archive_inner.h"
#include "fragments/store/reel_file.h"

_Static_assert(FRAG_REEL_TRAILER_MOST >= FRAG_ARCHIVE_PIECE_BYTES, "the room has either");

/* What the face shows, and what it is made of. */
struct loaded {
    struct frag_loaded face; /* first: the face's pointer is this one's */
    struct kn_budget *budget;
    size_t claimed; /* for samples and bytes around */
    struct kn_sample *samples;
    struct kn_buffer *bytes;
    uint8_t *around;
};

struct load {
    struct frag_archive *archive;
    const struct frag_archive_reel *reel;
    const struct frag_entry *entry; /* where the index says it is */
    struct loaded *loaded;
    bool has_fragment;
    int64_t time_ns; /* of the cluster, as its timecode says */
    int refused;     /* what the reader said to the cluster's bytes */
    uint32_t crc32c;
};

void frag_loaded_free(struct frag_loaded *loaded) {
    struct loaded *all = (struct loaded *)loaded;
    if (all == NULL) {
        return;
    }
    for (size_t i = 0; i < all->face.sample_count; i++) {
        kn_sample_unref(&all->samples[i]);
    }
    free(all->samples);
    kn_buffer_unref(all->bytes);
    kn_tracks_unref(all->face.tracks);
    free(all->around);
    kn_budget_release(all->budget, all->claimed);
    kn_budget_unref(all->budget);
    free(all);
}

/* Memory of `bytes` that counts against the budget until the fragment is freed. */
static int claim(struct loaded *loaded, size_t bytes) {
    int rc = kn_budget_claim(loaded->budget, bytes);
    loaded->claimed += rc == 0 ? bytes : 0;
    return rc;
}

/* ---- the cluster ---- */

static int keep_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct load *load = user;
    struct loaded *loaded = load->loaded;
    size_t count = fragment->sample_count;
    if (load->has_fragment) {
        return KN_E_MALFORMED; /* one cluster is one fragment */
    }
    int rc = claim(loaded, count * sizeof(*loaded->samples));
    if (rc < 0) {
        return rc;
    }
    loaded->samples = calloc(count > 0 ? count : 1, sizeof(*loaded->samples));
    if (loaded->samples == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        loaded->samples[i] = kn_sample_ref(&fragment->samples[i]);
    }
    loaded->bytes = kn_buffer_ref(fragment->bytes);
    loaded->face.samples = loaded->samples;
    loaded->face.sample_count = count;
    loaded->face.tracks = kn_tracks_ref(fragment->tracks);
    loaded->face.cluster = fragment->bytes->data;
    loaded->face.cluster_bytes = fragment->bytes->size;
    load->has_fragment = true;
    load->time_ns = fragment->time_ns;
    return 0;
}

/* Behind bytes that the reader refuses the checksum goes on: it tells damage from what was written
 * so, and from a machine without memory. The reader repeats what it said. */
static int push_cluster(struct load *load, struct frag_mkv_reader *reader) {
    struct frag_io *io = load->archive->store->io;
    uint8_t *room = load->archive->room;
    uint64_t at = load->entry->cluster_at;
    uint64_t left = load->entry->cluster_bytes;
    while (left > 0) {
        size_t size = left < FRAG_ARCHIVE_PIECE_BYTES ? (size_t)left : FRAG_ARCHIVE_PIECE_BYTES;
        int rc = frag_io_read_exactly(io, load->reel->fd, room, size, at);
        if (rc < 0) {
            return rc;
        }
        load->crc32c = kn_crc32c(load->crc32c, room, size);
        load->refused = frag_mkv_reader_push(reader, room, size);
        at += size;
        left -= size;
    }
    load->refused = frag_mkv_reader_finish(reader);
    return 0;
}

static int read_cluster(struct load *load) {
    static const struct frag_mkv_reader_handler handler = {.fragment = keep_fragment};
    const struct frag_mkv_reader_config config = {
        .handler = &handler,
        .user = load,
        .max_cluster_bytes = (size_t)load->entry->cluster_bytes,
        .budget = load->loaded->budget,
        .tracks = load->reel->tracks,
        .timecode_scale_ns = load->reel->identity.timecode_scale_ns,
    };
    struct frag_mkv_reader *reader = NULL;
    int rc = frag_mkv_reader_create(&config, &reader);
    if (rc < 0) {
        return rc;
    }
    rc = push_cluster(load, reader);
    frag_mkv_reader_destroy(reader);
    return rc;
}

/* ---- the trailer ---- */

/* The trailer tells of the same fragment as the index. */
static bool is_same_fragment(const struct frag_reel_row *row, const struct frag_entry *entry) {
    return row->cluster_at == entry->cluster_at && row->cluster_bytes == entry->cluster_bytes &&
           frag_number_compare(row->number, entry->number) == 0 && row->ordinal == entry->ordinal &&
           row->discontinuities == entry->discontinuities &&
           row->producer.ns == entry->producer.ns && row->server.ns == entry->server.ns &&
           row->duration_ns == entry->duration_ns && row->flags == entry->flags;
}

static int keep_around(struct loaded *loaded, const struct frag_reel_row *row,
                       const uint8_t *trailer) {
    struct kn_writer around;
    size_t size = 0;
    size_t bytes = (size_t)row->before_bytes + row->after_bytes;
    int rc = bytes == 0 ? 0 : claim(loaded, bytes);
    if (rc < 0 || bytes == 0) {
        return rc;
    }
    kn_writer_init_growing(&around, bytes);
    rc = frag_reel_read_around(trailer, row->trailer_bytes, row, &around);
    if (rc == 0) {
        loaded->around = kn_writer_take(&around, &size);
        loaded->face.before = loaded->around;
        loaded->face.before_bytes = row->before_bytes;
        loaded->face.after = loaded->around + row->before_bytes;
        loaded->face.after_bytes = row->after_bytes;
    }
    kn_writer_finish(&around);
    return rc;
}

/* Samples count from their cluster's time; from here on from the fragment's producer time. */
static int count_from_producer(struct load *load, const struct frag_reel_row *row) {
    const struct frag_reel_identity *identity = &load->reel->identity;
    bool relative = (identity->flags & FRAG_REEL_RELATIVE) != 0;
    int64_t shift_ns = 0;
    if (!kn_i64_add(load->time_ns, relative ? identity->producer_start.ns : 0, &shift_ns) ||
        __builtin_sub_overflow(shift_ns, row->producer.ns, &shift_ns)) {
        return KN_E_MALFORMED;
    }
    for (size_t i = 0; shift_ns != 0 && i < load->loaded->face.sample_count; i++) {
        struct kn_sample *sample = &load->loaded->samples[i];
        if (!kn_i64_add(sample->pts_ns, shift_ns, &sample->pts_ns) ||
            !kn_i64_add(sample->dts_ns, shift_ns, &sample->dts_ns)) {
            return KN_E_MALFORMED;
        }
    }
    return 0;
}

static int take_trailer(struct load *load) {
    struct frag_io *io = load->archive->store->io;
    struct frag_loaded *face = &load->loaded->face;
    const struct frag_entry *entry = load->entry;
    const uint8_t *trailer = load->archive->room;
    uint64_t at = entry->cluster_at + entry->cluster_bytes;
    struct frag_reel_row row;
    int rc =
        frag_io_read_exactly(io, load->reel->fd, load->archive->room, entry->trailer_bytes, at);
    if (rc == 0) {
        rc = frag_reel_read_trailer(trailer, entry->trailer_bytes, at, &load->reel->identity, &row);
    }
    if (rc != 0) {
        return rc;
    }
    if (row.trailer_bytes != entry->trailer_bytes || row.cluster_crc32c != load->crc32c ||
        !is_same_fragment(&row, entry)) {
        return KN_E_MALFORMED;
    }
    if (load->refused < 0) {
        return load->refused;
    }
    if (face->cluster_bytes != entry->cluster_bytes) {
        return KN_E_MALFORMED; /* it says another size than it was written with, or is no cluster */
    }
    face->entry = *entry;
    face->received_width = row.received_width;
    face->received_unknown = row.received_unknown != 0;
    face->timecode_scale_ns = load->reel->identity.timecode_scale_ns;
    rc = count_from_producer(load, &row);
    return rc == 0 ? keep_around(load->loaded, &row, trailer) : rc;
}

/* ---- a fragment ---- */

static bool is_place(const struct frag_entry *entry, uint64_t file_bytes) {
    return entry->cluster_bytes >= FRAG_REEL_CLUSTER_HEAD_BYTES &&
           entry->cluster_bytes <= FRAG_CLUSTER_MAX_BYTES &&
           entry->trailer_bytes >= FRAG_REEL_TRAILER_LEAST &&
           entry->trailer_bytes <= FRAG_REEL_TRAILER_MOST && entry->cluster_at <= file_bytes &&
           entry->cluster_bytes + entry->trailer_bytes <= file_bytes - entry->cluster_at;
}

static int read_fragment(struct load *load) {
    struct frag_io *io = load->archive->store->io;
    uint64_t file_bytes = 0;
    int rc = io->size(io, load->reel->fd, &file_bytes);
    if (rc == 0 && !is_place(load->entry, file_bytes)) {
        rc = KN_E_MALFORMED;
    }
    if (rc == 0) {
        rc = read_cluster(load);
    }
    if (rc == 0) {
        rc = take_trailer(load);
    }
    /* Whatever a reader of bytes says of them, but for want of memory. */
    return rc <= KN_E_TRUNCATED && rc != KN_E_MEMORY_LIMIT ? KN_E_MALFORMED : rc;
}

static int load_at(struct frag_archive *archive, const struct frag_entry *entry,
                   struct frag_loaded **ret_loaded) {
    struct frag_archive_reel *reel = NULL;
    int rc = frag_archive_get_reel(archive, entry, &reel);
    if (rc < 0) {
        return rc;
    }
    struct loaded *loaded = calloc(1, sizeof(*loaded));
    if (loaded == NULL) {
        return -ENOMEM;
    }
    loaded->budget = kn_budget_ref(archive->store->reading);
    struct load load = {.archive = archive, .reel = reel, .entry = entry, .loaded = loaded};
    rc = read_fragment(&load);
    if (rc < 0) {
        frag_loaded_free(&loaded->face);
        return rc;
    }
    *ret_loaded = &loaded->face;
    return 0;
}

/* After `rc` for the entry's own place: is the fragment elsewhere now? A held one is copied to a
 * kept reel before its own goes; an index that was made again has other rows. */
static bool is_elsewhere(struct frag_archive *archive, int rc, const struct frag_entry *entry,
                         struct frag_entry *ret_entry) {
    return (rc == -ENOENT || rc == KN_E_MALFORMED) &&
           frag_archive_locate(archive, entry, ret_entry) == 0 &&
           (ret_entry->reel != entry->reel || ret_entry->cluster_at != entry->cluster_at);
}

int frag_archive_load(struct frag_archive *archive, const struct frag_entry *entry,
                      struct frag_loaded **ret_loaded) {
    struct frag_entry moved;
    frag_archive_refresh(archive);
    int rc = load_at(archive, entry, ret_loaded);
    return is_elsewhere(archive, rc, entry, &moved) ? load_at(archive, &moved, ret_loaded) : rc;
}

/* ---- the producer's header ---- */

static int read_header(struct frag_archive *archive, const struct frag_archive_reel *reel,
                       struct kn_writer *header) {
    struct frag_io *io = archive->store->io;
    struct frag_reel_body body;
    size_t size = (size_t)(reel->first_cluster_at - FRAG_REEL_BODY_AT); /* as it was read: 34 MiB */
    int rc = kn_budget_claim(archive->store->reading, size);
    if (rc < 0) {
        return rc;
    }
    uint8_t *data = malloc(size);
    rc = data == NULL ? -ENOMEM : frag_io_read_exactly(io, reel->fd, data, size, FRAG_REEL_BODY_AT);
    if (rc == 0) {
        rc = frag_reel_read_body(data, size, &reel->identity, header, &body);
    }
    free(data);
    kn_budget_release(archive->store->reading, size);
    return frag_reel_is_damage(rc) ? KN_E_MALFORMED : rc;
}

static int load_header_at(struct frag_archive *archive, const struct frag_entry *entry,
                          uint8_t **ret_header, size_t *ret_bytes) {
    struct frag_archive_reel *reel = NULL;
    struct kn_writer header;
    int rc = frag_archive_get_reel(archive, entry, &reel);
    if (rc < 0) {
        return rc;
    }
    kn_writer_init_growing(&header, reel->identity.producer_header_bytes);
    if (reel->identity.producer_header_bytes > 0) {
        rc = read_header(archive, reel, &header);
    }
    if (rc == 0) {
        *ret_header = kn_writer_take(&header, ret_bytes);
    }
    kn_writer_finish(&header);
    return rc;
}

int frag_archive_load_header(struct frag_archive *archive, const struct frag_entry *entry,
                             uint8_t **ret_header, size_t *ret_bytes) {
    struct frag_entry moved;
    frag_archive_refresh(archive);
    int rc = load_header_at(archive, entry, ret_header, ret_bytes);
    return is_elsewhere(archive, rc, entry, &moved)
               ? load_header_at(archive, &moved, ret_header, ret_bytes)
               : rc;
}
