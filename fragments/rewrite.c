/* A Matroska file anew: every good fragment of the old one, in a form that any player seeks in. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/new_file.h"
#include "fragments/inspect.h"
#include "fragments/read_file.h"

/* SeekHead with Info, Tracks, Cues and two Tags, at their longest. */
#define SEEKS_MAX 5
#define SEEK_HEAD_ROOM 160
/* Of one Tags element. */
#define TAGS_MAX 65536u
#define TAGS_MAX_BYTES (16u * 1024u * 1024u)
/* More fragments than this get a cue for every second one, then every fourth ... */
#define CUES_MAX 65536u

struct rewriter {
    int fd;
    uint64_t at; /* bytes written */
    struct frag_mkv_packer *packer;
    struct kn_tracks *tracks;
    struct kn_tracks *better_tracks; /* found while the file was written: it is begun again */
    struct frag_mkv_info info;
    struct frag_mkv_layout layout;
    bool header_written;

    struct frag_mkv_cue *cues;
    size_t cue_count, cue_room, cue_stride;
    uint64_t first_tags_at, last_tags_at; /* 0: none */
    int64_t first_ns, end_ns;

    /* The Tags element being read; names and values live in tag_bytes, by offset until it ends. */
    struct frag_mkv_tag *tags;
    size_t tag_count, tag_room;
    struct kn_writer tag_bytes;
    struct kn_writer out;
    struct kn_writer early; /* Tags that came before the first cluster: they follow the header */
    size_t early_last_at;
    struct frag_rewrite_result result;
};

/* ---- writing ---- */

/* The negative errno, as one about the new file. */
static int new_failed(struct rewriter *rewriter) {
    rewriter->result.about_new = true;
    return -errno;
}

static int write_slices(struct rewriter *rewriter, struct iovec *iov, size_t count) {
    while (count > 0) {
        int batch = count > IOV_MAX ? IOV_MAX : (int)count;
        ssize_t wrote = writev(rewriter->fd, iov, batch);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote < 0) {
            return new_failed(rewriter);
        }
        rewriter->at += (uint64_t)wrote;
        size_t left = (size_t)wrote;
        while (count > 0 && left >= iov->iov_len) {
            left -= iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0 && left > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + left;
            iov->iov_len -= left;
        }
    }
    return 0;
}

static int write_from(struct rewriter *rewriter, struct kn_writer *writer) {
    int rc = kn_writer_status(writer);
    if (rc == 0 && writer->size > 0) {
        struct iovec iov = {.iov_base = writer->data, .iov_len = writer->size};
        rc = write_slices(rewriter, &iov, 1);
    }
    kn_writer_clear(writer);
    return rc;
}

static int write_out(struct rewriter *rewriter) {
    return write_from(rewriter, &rewriter->out);
}

static void make_header(struct rewriter *rewriter, int64_t duration_ns, uint64_t segment_bytes) {
    static const uint8_t no_uid[16];
    const struct frag_mkv_info *info = &rewriter->info;
    struct frag_mkv_header header = {
        .tracks = rewriter->tracks,
        .timecode_scale_ns = info->timecode_scale_ns,
        .duration_ns = duration_ns,
        .segment_bytes = segment_bytes,
        .seek_head_room = SEEK_HEAD_ROOM,
        .title = info->title,
        .segment_uid =
            memcmp(info->segment_uid, no_uid, sizeof(no_uid)) == 0 ? NULL : info->segment_uid,
        .has_date = info->has_date,
        .date_ns = info->date_ns,
    };
    frag_mkv_write_header(&rewriter->out, &header, &rewriter->layout);
}

static void note_tags(struct rewriter *rewriter, uint64_t at) {
    rewriter->first_tags_at = rewriter->first_tags_at == 0 ? at : rewriter->first_tags_at;
    rewriter->last_tags_at = at;
}

static int begin_file(struct rewriter *rewriter, struct kn_tracks *tracks) {
    if (rewriter->header_written) {
        if (kn_tracks_equal(rewriter->tracks, tracks)) {
            return 0;
        }
        /* A track's parameter sets came only now: the header must be made with them. */
        rewriter->better_tracks = kn_tracks_ref(tracks);
        return -ECANCELED;
    }
    if (rewriter->tracks == NULL) {
        rewriter->tracks = kn_tracks_ref(tracks);
    }
    rewriter->header_written = true;
    make_header(rewriter, 0, 0);
    int rc = write_out(rewriter);
    if (rc == 0 && rewriter->early.size > 0) {
        note_tags(rewriter, rewriter->at);
        note_tags(rewriter, rewriter->at + rewriter->early_last_at);
        rc = write_from(rewriter, &rewriter->early);
    }
    return rc;
}

static void thin_cues(struct rewriter *rewriter) {
    for (size_t i = 0; i * 2 < rewriter->cue_count; i++) {
        rewriter->cues[i] = rewriter->cues[i * 2];
    }
    rewriter->cue_count = (rewriter->cue_count + 1) / 2;
    rewriter->cue_stride *= 2;
}

static int add_cue(struct rewriter *rewriter, const struct frag_mkv_cue *cue) {
    if (rewriter->result.fragments % rewriter->cue_stride != 0) {
        return 0;
    }
    if (rewriter->cue_count == CUES_MAX) {
        thin_cues(rewriter);
    }
    if (rewriter->cue_count == rewriter->cue_room) {
        size_t room = rewriter->cue_room == 0 ? 64 : rewriter->cue_room * 2;
        struct frag_mkv_cue *larger = realloc(rewriter->cues, room * sizeof(*larger));
        if (larger == NULL) {
            return -ENOMEM;
        }
        rewriter->cues = larger;
        rewriter->cue_room = room;
    }
    rewriter->cues[rewriter->cue_count++] = *cue;
    return 0;
}

static void note_span(struct rewriter *rewriter, const struct frag_mkv_fragment *fragment) {
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        int64_t from = fragment->time_ns + sample->pts_ns;
        int64_t to = frag_sample_end_ns(fragment, sample);
        bool first = rewriter->result.samples == 0 && i == 0;
        rewriter->first_ns = first || from < rewriter->first_ns ? from : rewriter->first_ns;
        rewriter->end_ns = first || to > rewriter->end_ns ? to : rewriter->end_ns;
    }
    rewriter->result.samples += fragment->sample_count;
}

static int handle_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct rewriter *rewriter = user;
    int rc = begin_file(rewriter, fragment->tracks);
    if (rc != 0) {
        return rc;
    }
    uint64_t scale_ns = rewriter->info.timecode_scale_ns;
    struct frag_mkv_cluster cluster;
    rc = frag_mkv_pack_cluster(rewriter->packer, fragment->tracks, scale_ns, fragment->timecode,
                               fragment->samples, fragment->sample_count, &cluster);
    if (rc != 0) {
        return rc;
    }
    note_span(rewriter, fragment);
    if (cluster.first_key != SIZE_MAX) {
        const struct kn_sample *sample = &fragment->samples[cluster.first_key];
        int64_t ticks = (fragment->time_ns + sample->pts_ns) / (int64_t)scale_ns;
        const struct frag_mkv_cue cue = {
            .timecode = ticks < 0 ? 0 : (uint64_t)ticks,
            .track = fragment->tracks->items[sample->track].number,
            .cluster_position = rewriter->at - rewriter->layout.segment_data_at,
            .relative_position = cluster.first_key_at,
        };
        rc = add_cue(rewriter, &cue);
    }
    rewriter->result.fragments++;
    return rc == 0
               ? write_slices(rewriter, (struct iovec *)(uintptr_t)cluster.iov, cluster.iov_count)
               : rc;
}

/* ---- tags ---- */

static int handle_tag(const struct frag_mkv_tag *tag, void *user) {
    struct rewriter *rewriter = user;
    if (rewriter->tag_count == rewriter->tag_room) {
        size_t room = rewriter->tag_room == 0 ? 64 : rewriter->tag_room * 2;
        struct frag_mkv_tag *larger =
            room > TAGS_MAX ? NULL : realloc(rewriter->tags, room * sizeof(*larger));
        if (larger == NULL) {
            return room > TAGS_MAX ? KN_E_LIMIT : -ENOMEM;
        }
        rewriter->tags = larger;
        rewriter->tag_room = room;
    }
    struct frag_mkv_tag *kept = &rewriter->tags[rewriter->tag_count++];
    *kept = *tag;
    kept->offset = rewriter->tag_bytes.size;
    kn_write_bytes(&rewriter->tag_bytes, tag->name, strlen(tag->name) + 1);
    kn_write_bytes(&rewriter->tag_bytes, tag->value, tag->value_bytes);
    return kn_writer_status(&rewriter->tag_bytes);
}

static int handle_end(const struct frag_mkv_element *element, uint64_t end_offset, void *user) {
    (void)end_offset;
    struct rewriter *rewriter = user;
    if (element->id != FRAG_MKV_TAGS || rewriter->tag_count == 0) {
        return 0;
    }
    for (size_t i = 0; i < rewriter->tag_count; i++) {
        struct frag_mkv_tag *tag = &rewriter->tags[i];
        tag->name = (const char *)rewriter->tag_bytes.data + tag->offset;
        tag->value = rewriter->tag_bytes.data + tag->offset + strlen(tag->name) + 1;
    }
    const struct frag_mkv_tags_form form = {.crc = true, .targets = true};
    struct kn_writer *writer = &rewriter->out;
    if (rewriter->header_written) {
        note_tags(rewriter, rewriter->at);
    } else {
        writer = &rewriter->early;
        rewriter->early_last_at = writer->size;
    }
    frag_mkv_write_tags(writer, rewriter->tags, rewriter->tag_count, form);
    rewriter->tag_count = 0;
    kn_writer_clear(&rewriter->tag_bytes);
    return rewriter->header_written ? write_out(rewriter) : kn_writer_status(writer);
}

static int handle_info(const struct frag_mkv_info *info, void *user) {
    struct rewriter *rewriter = user;
    if (!rewriter->header_written) { /* which is made again, in as many bytes, at the end */
        rewriter->info = *info;
    }
    return 0;
}

/* ---- the whole file ---- */

static int compare_cues(const void *a, const void *b) {
    uint64_t left = ((const struct frag_mkv_cue *)a)->timecode;
    uint64_t right = ((const struct frag_mkv_cue *)b)->timecode;
    return (left > right) - (left < right);
}

static size_t list_seeks(const struct rewriter *rewriter, uint64_t cues_at,
                         struct frag_mkv_seek seeks[static SEEKS_MAX]) {
    size_t count = 0;
    seeks[count++] = (struct frag_mkv_seek){FRAG_MKV_INFO, rewriter->layout.info_at};
    seeks[count++] = (struct frag_mkv_seek){FRAG_MKV_TRACKS, rewriter->layout.tracks_at};
    if (rewriter->cue_count > 0) {
        seeks[count++] = (struct frag_mkv_seek){FRAG_MKV_CUES, cues_at};
    }
    if (rewriter->first_tags_at != 0) {
        seeks[count++] = (struct frag_mkv_seek){FRAG_MKV_TAGS, rewriter->first_tags_at};
    }
    if (rewriter->last_tags_at != rewriter->first_tags_at) {
        seeks[count++] = (struct frag_mkv_seek){FRAG_MKV_TAGS, rewriter->last_tags_at};
    }
    for (size_t i = 0; i < count; i++) {
        seeks[i].position -= rewriter->layout.segment_data_at;
    }
    return count;
}

/* Header and SeekHead over the room that was left for them. */
static int write_header_again(struct rewriter *rewriter, uint64_t cues_at) {
    uint64_t end = rewriter->layout.end;
    int64_t duration_ns = rewriter->end_ns - rewriter->first_ns;
    make_header(rewriter, duration_ns > 0 ? duration_ns : 0,
                rewriter->result.bytes - rewriter->layout.segment_data_at);
    KN_ASSERT(rewriter->layout.end == end);
    if (lseek(rewriter->fd, 0, SEEK_SET) != 0) {
        return new_failed(rewriter);
    }
    int rc = write_out(rewriter);
    if (rc != 0) {
        return rc;
    }
    struct frag_mkv_seek seeks[SEEKS_MAX];
    size_t count = list_seeks(rewriter, cues_at, seeks);
    rc = frag_mkv_write_seek_head(&rewriter->out, seeks, count, SEEK_HEAD_ROOM);
    if (rc != 0) {
        return rc;
    }
    if (lseek(rewriter->fd, (off_t)rewriter->layout.seek_head_at, SEEK_SET) < 0) {
        return new_failed(rewriter);
    }
    return write_out(rewriter);
}

static int end_file(struct rewriter *rewriter) {
    uint64_t cues_at = rewriter->at;
    int rc = 0;
    if (rewriter->cue_count > 0) {
        qsort(rewriter->cues, rewriter->cue_count, sizeof(*rewriter->cues), compare_cues);
        frag_mkv_write_cues(&rewriter->out, rewriter->cues, rewriter->cue_count);
        rc = write_out(rewriter);
    }
    rewriter->result.bytes = rewriter->at;
    return rc == 0 ? write_header_again(rewriter, cues_at) : rc;
}

static int copy(struct rewriter *rewriter, const char *from, bool progress) {
    static const struct frag_mkv_reader_handler handler = {
        .info = handle_info,
        .fragment = handle_fragment,
        .tag = handle_tag,
        .end = handle_end,
    };
    const struct frag_mkv_reader_config config = {.handler = &handler, .user = rewriter};
    struct frag_mkv_reader *reader = NULL;
    int rc = frag_mkv_reader_create(&config, &reader);
    if (rc != 0) {
        return rc;
    }
    uint64_t read_bytes = 0;
    bool io = false;
    rc = frag_read_file(from, reader, progress, &read_bytes, &io);
    rewriter->result.error = *frag_mkv_reader_error(reader);
    frag_mkv_reader_destroy(reader);
    enum frag_mkv_fault fault = rewriter->result.error.fault;
    if (io || fault == FRAG_MKV_STOPPED || fault == FRAG_MKV_NO_MEMORY) {
        return rc;
    }
    if (rewriter->result.fragments == 0) {
        return KN_E_TRUNCATED;
    }
    return end_file(rewriter);
}

/* Everything as at the start, but with the tracks that were found meanwhile. */
static int begin_again(struct rewriter *rewriter) {
    kn_tracks_unref(rewriter->tracks);
    rewriter->tracks = rewriter->better_tracks;
    rewriter->better_tracks = NULL;
    rewriter->header_written = false;
    rewriter->at = 0;
    rewriter->cue_count = 0;
    rewriter->cue_stride = 1;
    rewriter->first_tags_at = 0;
    rewriter->last_tags_at = 0;
    rewriter->tag_count = 0;
    kn_writer_clear(&rewriter->early);
    kn_writer_clear(&rewriter->out);
    kn_writer_clear(&rewriter->tag_bytes);
    rewriter->result = (struct frag_rewrite_result){0};
    if (lseek(rewriter->fd, 0, SEEK_SET) != 0 || ftruncate(rewriter->fd, 0) != 0) {
        return new_failed(rewriter);
    }
    return 0;
}

static int copy_all(struct rewriter *rewriter, const char *from, bool progress) {
    int rc = copy(rewriter, from, progress);
    /* Each time one track more has its sets. */
    for (int i = 0; i < KN_TRACKS_MAX && rc == -ECANCELED && rewriter->better_tracks != NULL; i++) {
        if (strcmp(from, "-") == 0) {
            return KN_E_UNSUPPORTED; /* cannot be read again */
        }
        rc = begin_again(rewriter);
        if (rc == 0) {
            rc = copy(rewriter, from, progress);
        }
    }
    return rc;
}

static int rewrite_into(int fd, const char *from, bool progress,
                        struct frag_rewrite_result *ret_result) {
    struct rewriter rewriter = {
        .fd = fd, .info.timecode_scale_ns = FRAG_MKV_DEFAULT_SCALE_NS, .cue_stride = 1};
    kn_writer_init_growing(&rewriter.out, SIZE_MAX / 2);
    kn_writer_init_growing(&rewriter.early, TAGS_MAX_BYTES);
    kn_writer_init_growing(&rewriter.tag_bytes, TAGS_MAX_BYTES);
    int rc = frag_mkv_packer_create(&rewriter.packer);
    if (rc == 0) {
        rc = copy_all(&rewriter, from, progress);
    }
    frag_mkv_packer_destroy(rewriter.packer);
    kn_tracks_unref(rewriter.tracks);
    kn_tracks_unref(rewriter.better_tracks);
    kn_writer_finish(&rewriter.out);
    kn_writer_finish(&rewriter.early);
    kn_writer_finish(&rewriter.tag_bytes);
    free(rewriter.tags);
    free(rewriter.cues);
    *ret_result = rewriter.result;
    return rc;
}

/* Why `to` must not be written, if it must not. */
static enum frag_rewrite_refusal refusal_of(const char *from, const char *to, bool replace) {
    struct stat new, old;
    if (lstat(to, &new) != 0) {
        return FRAG_REWRITE_FINE;
    }
    if (!S_ISREG(new.st_mode)) {
        return FRAG_REWRITE_NO_FILE;
    }
    if (strcmp(from, "-") != 0 && stat(from, &old) == 0 && old.st_dev == new.st_dev &&
        old.st_ino == new.st_ino) {
        return FRAG_REWRITE_SAME;
    }
    return replace ? FRAG_REWRITE_FINE : FRAG_REWRITE_EXISTS;
}

int frag_rewrite_file(const char *from, const char *to, bool replace, bool progress,
                      struct frag_rewrite_result *ret_result) {
    *ret_result = (struct frag_rewrite_result){.about_new = true};
    ret_result->refusal = refusal_of(from, to, replace);
    if (ret_result->refusal != FRAG_REWRITE_FINE) {
        return -EEXIST;
    }
    struct kn_new_file file;
    int rc = kn_new_file_open(to, &file);
    if (rc != 0) {
        return rc;
    }
    rc = rewrite_into(file.fd, from, progress, ret_result);
    if (rc != 0) {
        kn_new_file_drop(&file);
        return rc;
    }
    rc = kn_new_file_keep(&file, to, replace);
    if (rc != 0) {
        ret_result->about_new = true;
        ret_result->refusal = rc == -EEXIST ? FRAG_REWRITE_EXISTS : FRAG_REWRITE_FINE;
    }
    return rc;
}
