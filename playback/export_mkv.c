/* Export as Matroska: clusters packed anew from the samples, one a fragment, with a time index. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "playback/export_inner.h"

#define SCALE_NS ((int64_t)FRAG_MKV_DEFAULT_SCALE_NS)
/* SeekHead with Info, Tracks, Cues and Tags, at their longest. */
#define SEEK_HEAD_ROOM 128
#define SEEKS_MAX 4
/* A block lies at most 32,767 ticks from its cluster's time; what lies further apart is split. */
#define CLUSTER_MAX_NS (30 * KN_NS_PER_S)
/* More clusters than this get a cue for every second one, then every fourth ... */
#define CUES_MAX 65536u
#define CUES_FIRST 256u
#define HEADER_MAX_BYTES (32u * 1024u * 1024u)
/* A day without a picture is usual at a camera that records by schedule. */
#define HOLE_MAX_NS (7 * 24 * 3600 * KN_NS_PER_S)

struct mkv {
    const struct play_job *job;
    struct frag_mkv_packer *packer;
    struct frag_mkv_layout layout;
    struct kn_writer text; /* what is neither sample nor block header */
    struct frag_mkv_cue *cues;
    size_t cue_count, cue_room;
    uint64_t clusters, cue_stride;
};

static const char *mkv_refusal(const struct kn_track *track) {
    (void)track;
    return NULL; /* it came out of Matroska */
}

static void mkv_destroy(void *writer) {
    struct mkv *mkv = writer;
    if (mkv != NULL) {
        frag_mkv_packer_destroy(mkv->packer);
        kn_writer_finish(&mkv->text);
        free(mkv->cues);
        free(mkv);
    }
}

static int write_text(struct mkv *mkv) {
    int rc = kn_writer_status(&mkv->text);
    if (rc == 0) {
        rc = play_out_bytes(mkv->job->out, mkv->text.data, mkv->text.size);
    }
    kn_writer_clear(&mkv->text);
    return rc;
}

static void make_header(struct mkv *mkv, int64_t duration_ns, uint64_t segment_bytes) {
    const struct frag_mkv_header header = {
        .tracks = mkv->job->tracks,
        .duration_ns = duration_ns,
        .segment_bytes = segment_bytes,
        .seek_head_room = SEEK_HEAD_ROOM,
        .title = mkv->job->stream_name,
        .has_date = true,
        .date_ns = mkv->job->zero.ns,
    };
    frag_mkv_write_header(&mkv->text, &header, &mkv->layout);
}

static int mkv_create(const struct play_job *job, void **ret_writer) {
    struct mkv *mkv = calloc(1, sizeof(*mkv));
    if (mkv == NULL) {
        return -ENOMEM;
    }
    mkv->job = job;
    mkv->cue_stride = 1;
    kn_writer_init_growing(&mkv->text, HEADER_MAX_BYTES);
    int rc = frag_mkv_packer_create(&mkv->packer);
    if (rc == 0) {
        make_header(mkv, 0, 0);
        rc = write_text(mkv);
    }
    if (rc != 0) {
        mkv_destroy(mkv);
        return rc;
    }
    *ret_writer = mkv;
    return 0;
}

/* ---- clusters ---- */

static void thin_cues(struct mkv *mkv) {
    for (size_t i = 0; i * 2 < mkv->cue_count; i++) {
        mkv->cues[i] = mkv->cues[i * 2];
    }
    mkv->cue_count = (mkv->cue_count + 1) / 2;
    mkv->cue_stride *= 2;
}

static int add_cue(struct mkv *mkv, const struct frag_mkv_cue *cue) {
    if (mkv->clusters % mkv->cue_stride != 0) {
        return 0;
    }
    if (mkv->cue_count == CUES_MAX) {
        thin_cues(mkv);
    }
    if (mkv->cue_count == mkv->cue_room) {
        size_t room = mkv->cue_room == 0 ? CUES_FIRST : mkv->cue_room * 2;
        struct frag_mkv_cue *larger = realloc(mkv->cues, room * sizeof(*larger));
        if (larger == NULL) {
            return -ENOMEM;
        }
        mkv->cues = larger;
        mkv->cue_room = room;
    }
    mkv->cues[mkv->cue_count++] = *cue;
    return 0;
}

/* How many samples from the first one on go into one cluster, and its time. */
static size_t cluster_of(const struct kn_sample *samples, size_t count, int64_t *ret_time_ns) {
    int64_t low_ns = samples[0].pts_ns;
    int64_t high_ns = low_ns;
    size_t i = 1;
    for (; i < count; i++) {
        int64_t pts_ns = samples[i].pts_ns;
        int64_t low = pts_ns < low_ns ? pts_ns : low_ns;
        int64_t high = pts_ns > high_ns ? pts_ns : high_ns;
        if (high - low > CLUSTER_MAX_NS) {
            break;
        }
        low_ns = low;
        high_ns = high;
    }
    *ret_time_ns = low_ns / SCALE_NS * SCALE_NS; /* no time of the file is below 0 */
    return i;
}

static int write_cluster(struct mkv *mkv, int64_t time_ns, struct kn_sample *samples,
                         size_t count) {
    for (size_t i = 0; i < count; i++) {
        samples[i].pts_ns -= time_ns;
    }
    uint64_t timecode = (uint64_t)(time_ns / SCALE_NS);
    struct frag_mkv_cluster cluster;
    int rc =
        frag_mkv_pack_cluster(mkv->packer, mkv->job->tracks, 0, timecode, samples, count, &cluster);
    if (rc == 0 && cluster.first_key != SIZE_MAX) {
        const struct kn_sample *key = &samples[cluster.first_key];
        const struct frag_mkv_cue cue = {
            .timecode = timecode + (uint64_t)((key->pts_ns + SCALE_NS / 2) / SCALE_NS),
            .track = mkv->job->tracks->items[key->track].number,
            .cluster_position = mkv->job->out->at - mkv->layout.segment_data_at,
            .relative_position = cluster.first_key_at,
        };
        rc = add_cue(mkv, &cue);
    }
    mkv->clusters++;
    return rc == 0 ? play_out_write(mkv->job->out, (struct iovec *)(uintptr_t)cluster.iov,
                                    cluster.iov_count)
                   : rc;
}

static int mkv_add(void *writer, struct kn_sample *samples, size_t count) {
    struct mkv *mkv = writer;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0;) {
        int64_t time_ns = 0;
        size_t together = cluster_of(samples + i, count - i, &time_ns);
        rc = write_cluster(mkv, time_ns, samples + i, together);
        i += together;
    }
    return rc;
}

/* ---- the end ---- */

static void write_tags(struct mkv *mkv, const struct play_ending *ending) {
    const struct {
        const char *name, *value;
    } texts[] = {
        {"STREAM", mkv->job->stream_name},
        {"FIRST_FRAGMENT", ending->first},
        {"LAST_FRAGMENT", ending->last},
    };
    struct frag_mkv_tag tags[KN_COUNT(texts)] = {0};
    for (size_t i = 0; i < KN_COUNT(texts); i++) {
        tags[i].name = texts[i].name;
        tags[i].value = (const uint8_t *)texts[i].value;
        tags[i].value_bytes = strlen(texts[i].value);
        tags[i].has_value = true;
    }
    const struct frag_mkv_tags_form form = {.crc = true, .targets = true};
    frag_mkv_write_tags(&mkv->text, tags, KN_COUNT(tags), form);
}

static int compare_cues(const void *a, const void *b) {
    uint64_t left = ((const struct frag_mkv_cue *)a)->timecode;
    uint64_t right = ((const struct frag_mkv_cue *)b)->timecode;
    return (left > right) - (left < right);
}

/* Over the header that has only room for what is known now, and over the room behind it. */
static int write_header_again(struct mkv *mkv, int64_t end_ns, uint64_t cues_at, uint64_t tags_at) {
    struct play_out *out = mkv->job->out;
    uint64_t header_end = mkv->layout.end;
    make_header(mkv, end_ns, out->end - mkv->layout.segment_data_at);
    KN_ASSERT(mkv->layout.end == header_end);
    out->at = 0;
    int rc = write_text(mkv);
    if (rc != 0) {
        return rc;
    }
    struct frag_mkv_seek seeks[SEEKS_MAX] = {
        {FRAG_MKV_INFO, mkv->layout.info_at},
        {FRAG_MKV_TRACKS, mkv->layout.tracks_at},
        {FRAG_MKV_TAGS, tags_at},
        {FRAG_MKV_CUES, cues_at},
    };
    size_t count = mkv->cue_count > 0 ? SEEKS_MAX : SEEKS_MAX - 1;
    for (size_t i = 0; i < count; i++) {
        seeks[i].position -= mkv->layout.segment_data_at;
    }
    rc = frag_mkv_write_seek_head(&mkv->text, seeks, count, SEEK_HEAD_ROOM);
    out->at = mkv->layout.seek_head_at;
    return rc == 0 ? write_text(mkv) : rc;
}

static int mkv_finish(void *writer, const struct play_ending *ending) {
    struct mkv *mkv = writer;
    uint64_t tags_at = mkv->job->out->at;
    write_tags(mkv, ending);
    uint64_t cues_at = tags_at + mkv->text.size;
    if (mkv->cue_count > 0) {
        qsort(mkv->cues, mkv->cue_count, sizeof(*mkv->cues), compare_cues);
        frag_mkv_write_cues(&mkv->text, mkv->cues, mkv->cue_count);
    }
    int rc = write_text(mkv);
    return rc == 0 ? write_header_again(mkv, ending->end_ns, cues_at, tags_at) : rc;
}

const struct play_format_writer play_mkv_writer = {
    .refusal = mkv_refusal,
    .create = mkv_create,
    .add = mkv_add,
    .finish = mkv_finish,
    .destroy = mkv_destroy,
    .samples_max = UINT64_MAX,
    .hole_max_ns = HOLE_MAX_NS,
};
