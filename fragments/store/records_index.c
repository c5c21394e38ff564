/* The keys of a reel of records, made again from its clusters: after a crash, or where the index is
 * made new. What has another checksum than its trailer says is not believed. */
#include <errno.h>
#include <stdlib.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/store/records.h"

/* A batch is FRAG_BATCH_BYTES or one record; blocks' heads and the keys' add less than as much. */
#define CLUSTER_MOST ((uint64_t)(2 * FRAG_BATCH_BYTES + FRAG_RECORD_MAX_BYTES))

struct batches {
    struct frag_io *io;
    int fd;
    uint64_t file_bytes;
    const struct frag_reel_identity *identity;
    struct kn_tracks *tracks;
    int (*each)(uint64_t sequence, const struct frag_record_keys *keys, void *user);
    void *user;
    struct frag_record_keys keys; /* of the batch at hand */
    uint64_t damaged;
};

static int collect_keys(const struct frag_mkv_fragment *fragment, void *user) {
    struct batches *batches = user;
    int rc = 0;
    for (size_t i = 0; i < fragment->sample_count && rc == 0; i++) {
        struct frag_record record;
        rc = frag_record_read(fragment->samples[i].data, fragment->samples[i].size, &record);
        if (rc == 0) {
            rc = frag_record_keys_fit(&batches->keys, &record)
                     ? frag_record_keys_add(&batches->keys, &record)
                     : KN_E_MALFORMED;
        }
    }
    return rc;
}

static int parse_cluster(struct batches *batches, const uint8_t *cluster, size_t bytes) {
    static const struct frag_mkv_reader_handler handler = {.fragment = collect_keys};
    const struct frag_mkv_reader_config config = {
        .handler = &handler,
        .user = batches,
        .max_cluster_bytes = bytes,
        .tracks = batches->tracks,
        .timecode_scale_ns = batches->identity->timecode_scale_ns,
    };
    struct frag_mkv_reader *reader = NULL;
    int rc = frag_mkv_reader_create(&config, &reader);
    if (rc < 0) {
        return rc;
    }
    rc = frag_mkv_reader_push(reader, cluster, bytes);
    rc = rc < 0 ? rc : frag_mkv_reader_finish(reader);
    frag_mkv_reader_destroy(reader);
    return rc;
}

static int check_cluster(const struct batches *batches, const struct frag_reel_row *known,
                         const uint8_t *data) {
    struct frag_reel_row row;
    int rc =
        frag_reel_read_trailer(data + known->cluster_bytes, known->trailer_bytes,
                               known->cluster_at + known->cluster_bytes, batches->identity, &row);
    if (rc < 0) {
        return rc;
    }
    return row.cluster_bytes == known->cluster_bytes &&
                   row.number.sequence == known->number.sequence &&
                   row.cluster_crc32c == kn_crc32c(0, data, (size_t)known->cluster_bytes)
               ? 0
               : KN_E_MALFORMED;
}

static int read_keys(struct batches *batches, const struct frag_reel_row *known) {
    uint64_t bytes = known->cluster_bytes + known->trailer_bytes;
    if (known->cluster_bytes > CLUSTER_MOST || known->trailer_bytes > FRAG_REEL_TRAILER_MOST ||
        known->cluster_at > batches->file_bytes ||
        bytes > batches->file_bytes - known->cluster_at) {
        return KN_E_MALFORMED;
    }
    uint8_t *data = malloc((size_t)bytes);
    int rc = data == NULL ? -ENOMEM
                          : frag_io_read_exactly(batches->io, batches->fd, data, (size_t)bytes,
                                                 known->cluster_at);
    rc = rc < 0 ? rc : check_cluster(batches, known, data);
    batches->keys.count = 0;
    rc = rc < 0 ? rc : parse_cluster(batches, data, (size_t)known->cluster_bytes);
    free(data);
    return rc;
}

static int each_batch(struct batches *batches, struct frag_reel_table *table) {
    struct frag_reel_row row;
    int rc = 0;
    while ((rc = frag_reel_table_next(table, &row)) == 1) {
        rc = read_keys(batches, &row);
        if (rc <= KN_E_TRUNCATED || rc == -EIO) {
            batches->damaged++; /* project codes speak of the bytes; others can still be read */
            continue;
        }
        rc = rc < 0 ? rc : batches->each(row.number.sequence, &batches->keys, batches->user);
        if (rc < 0) {
            return rc;
        }
    }
    return rc;
}

int frag_records_each_batch(struct frag_io *io, const char *path,
                            const struct frag_reel_identity *identity,
                            const struct kn_writer *table,
                            int (*each)(uint64_t sequence, const struct frag_record_keys *keys,
                                        void *user),
                            void *user, uint64_t *ret_damaged) {
    struct batches batches = {.io = io, .identity = identity, .each = each, .user = user};
    struct frag_reel_table rows;
    batches.fd = io->open(io, path, FRAG_IO_READ);
    if (batches.fd < 0) {
        return batches.fd;
    }
    int rc = io->size(io, batches.fd, &batches.file_bytes);
    rc = rc < 0 ? rc : frag_record_tracks(&batches.tracks);
    rc = rc < 0 ? rc : frag_reel_table_open(&rows, table->data, table->size, identity->number_low);
    rc = rc < 0 ? rc : each_batch(&batches, &rows);
    frag_record_keys_finish(&batches.keys);
    kn_tracks_unref(batches.tracks);
    (void)io->close(io, batches.fd); /* was only read */
    if (rc == 0) {
        *ret_damaged = batches.damaged;
    }
    return rc;
}

struct adding {
    struct frag_index *index;
    int64_t row;
};

static int add_keys(uint64_t sequence, const struct frag_record_keys *keys, void *user) {
    const struct adding *adding = user;
    return frag_index_add_keys(adding->index, adding->row, sequence, keys->all, keys->count);
}

int frag_records_index_reel(struct frag_io *io, const char *path,
                            const struct frag_reel_identity *identity,
                            const struct kn_writer *table, struct frag_index *index, int64_t row,
                            uint64_t *ret_damaged) {
    struct adding adding = {.index = index, .row = row};
    return frag_records_each_batch(io, path, identity, table, add_keys, &adding, ret_damaged);
}
