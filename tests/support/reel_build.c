#include "tests/support/reel_build.h"

#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/matroska.h"

#define FILE_MAX ((size_t)64 << 20)

struct builder {
    struct reel_built *reel;
    const uint8_t *clip;
    struct frag_mkv_packer *packer;
    struct kn_tracks *tracks;
    uint64_t scale_ns;
    struct frag_mkv_cue cues[REEL_BUILD_ROWS];
    size_t cue_count;
};

static void write_head(struct builder *builder, const struct frag_mkv_fragment *fragment) {
    struct reel_built *reel = builder->reel;
    reel->identity = (struct frag_reel_identity){
        .epoch = 7,
        .opened = {INT64_C(1795209820123456000)},
        .timecode_scale_ns = builder->scale_ns,
        .number_low = 0x0ABCDEF,
        .producer_header_bytes = (uint32_t)fragment->cluster.offset,
    };
    for (uint8_t i = 0; i < FRAG_ID_BYTES; i++) {
        reel->identity.store_id[i] = (uint8_t)(0x10 + i);
        reel->identity.stream_id[i] = (uint8_t)(0x20 + i);
        reel->identity.reel_id[i] = (uint8_t)(0x30 + i);
        reel->identity.session_id[i] = (uint8_t)(0x40 + i);
    }
    builder->tracks = kn_tracks_ref(fragment->tracks);
    frag_reel_write_head(&reel->file, &reel->identity, "gate", fragment->tracks, builder->clip);
}

static void add_cue(struct builder *builder, const struct frag_mkv_fragment *fragment,
                    const struct frag_mkv_cluster *cluster) {
    if (cluster->first_key == SIZE_MAX) {
        return;
    }
    const struct kn_sample *sample = &fragment->samples[cluster->first_key];
    builder->cues[builder->cue_count++] = (struct frag_mkv_cue){
        .timecode = (uint64_t)(fragment->time_ns + sample->pts_ns) / builder->scale_ns,
        .track = fragment->tracks->items[sample->track].number,
        .cluster_position = builder->reel->file.size - FRAG_REEL_SEGMENT_AT,
        .relative_position = cluster->first_key_at,
    };
}

static int64_t span_ns(const struct frag_mkv_fragment *fragment) {
    int64_t end = 0;
    for (size_t i = 0; i < fragment->sample_count; i++) {
        int64_t to = fragment->samples[i].pts_ns + fragment->samples[i].duration_ns;
        end = to > end ? to : end;
    }
    return end;
}

static int handle_info(const struct frag_mkv_info *info, void *user) {
    struct builder *builder = user;
    builder->scale_ns = info->timecode_scale_ns;
    return 0;
}

static int handle_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    static const uint8_t around[] = {0xEC, 0x82, 'h', 'i', 0xEC, 0x80};
    struct builder *builder = user;
    struct reel_built *reel = builder->reel;
    struct frag_mkv_cluster cluster;
    if (reel->count == 0) {
        write_head(builder, fragment);
    } else if (!kn_tracks_equal(builder->tracks, fragment->tracks)) {
        return KN_E_CLOSED;
    }
    int rc = frag_mkv_pack_cluster(builder->packer, fragment->tracks, builder->scale_ns,
                                   fragment->timecode, fragment->samples, fragment->sample_count,
                                   &cluster);
    KN_ASSERT(rc == 0 && reel->count < REEL_BUILD_ROWS);
    add_cue(builder, fragment, &cluster);
    struct frag_reel_row row = {
        .cluster_at = reel->file.size,
        .cluster_bytes = cluster.bytes,
        .number = {.sequence = (UINT64_C(7) << 32) + 1 + reel->count,
                   .server_ms = UINT64_C(1795209820123) + 2000 * reel->count,
                   .low = reel->identity.number_low},
        .ordinal = 100 + reel->count,
        .discontinuities = 3,
        .producer = {fragment->time_ns},
        .server = {INT64_C(1795209820123456000) + (int64_t)reel->count * 2 * KN_NS_PER_S},
        .duration_ns = span_ns(fragment),
        .frames = (uint32_t)fragment->sample_count,
        .received_width = 8,
        .received_unknown = fragment->cluster.size == FRAG_MKV_UNKNOWN_SIZE,
        .before_bytes = reel->count == 0 ? 4 : 0,
        .after_bytes = reel->count < 2 ? 2 : 0,
    };
    for (size_t i = 0; i < cluster.iov_count; i++) {
        kn_write_bytes(&reel->file, cluster.iov[i].iov_base, cluster.iov[i].iov_len);
    }
    KN_ASSERT(kn_writer_status(&reel->file) == 0);
    row.cluster_crc32c = kn_crc32c(0, reel->file.data + row.cluster_at, row.cluster_bytes);
    frag_reel_write_trailer(&reel->file, &row, reel->identity.reel_id, around, around + 4);
    reel->rows[reel->count++] = row;
    return 0;
}

static void close_reel(struct builder *builder) {
    struct reel_built *reel = builder->reel;
    struct kn_writer table;
    struct kn_writer page;
    struct frag_reel_body body;
    int rc = frag_reel_read_body(reel->file.data + FRAG_REEL_BODY_AT,
                                 reel->file.size - FRAG_REEL_BODY_AT, &reel->identity, NULL, &body);
    KN_ASSERT(rc == 0);
    reel->places.tracks_at = body.tracks_at;
    if (builder->cue_count > 0) {
        reel->places.cues_at = reel->file.size;
        frag_mkv_write_cues(&reel->file, builder->cues, builder->cue_count);
    }
    reel->places.table_at = reel->file.size;
    kn_writer_init_growing(&table, FILE_MAX);
    frag_reel_pack_table(&table, reel->rows, reel->count);
    KN_ASSERT(kn_writer_status(&table) == 0);
    frag_reel_write_table_element(&reel->file, table.data, table.size);
    kn_writer_finish(&table);
    KN_ASSERT(kn_writer_status(&reel->file) == 0);
    kn_writer_init(&page, reel->file.data + FRAG_REEL_SEEK_AT,
                   FRAG_REEL_BODY_AT - FRAG_REEL_SEEK_AT);
    frag_reel_close_page(&page, &reel->places);
    KN_ASSERT(kn_writer_status(&page) == 0 && page.size == page.room);
}

void reel_build(struct reel_built *ret_reel, const uint8_t *clip, size_t size, bool closed) {
    static const struct frag_mkv_reader_handler handler = {.info = handle_info,
                                                           .fragment = handle_fragment};
    struct builder builder = {.reel = ret_reel, .clip = clip, .scale_ns = 1000000};
    struct frag_mkv_reader_config config = {.handler = &handler, .user = &builder};
    struct frag_mkv_reader *reader = NULL;
    *ret_reel = (struct reel_built){.count = 0};
    kn_writer_init_growing(&ret_reel->file, FILE_MAX);
    KN_ASSERT(frag_mkv_packer_create(&builder.packer) == 0);
    KN_ASSERT(frag_mkv_reader_create(&config, &reader) == 0);
    /* A clip that is cut short gives what it has. */
    (void)!frag_mkv_reader_push(reader, clip, size);
    KN_ASSERT(ret_reel->count > 0);
    if (closed) {
        close_reel(&builder);
    }
    frag_mkv_reader_destroy(reader);
    frag_mkv_packer_destroy(builder.packer);
    kn_tracks_unref(builder.tracks);
}

void reel_built_free(struct reel_built *reel) {
    kn_writer_finish(&reel->file);
}
