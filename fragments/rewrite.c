/* A Matroska file anew: every good fragment of the old one, in a form that any player seeks in. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "fragments/inspect.h"
#include "fragments/read_file.h"

/* SeekHead with Info, Tracks and Cues, at their longest. */
#define SEEK_HEAD_ROOM 96
#define TAGS_MAX 1024u
#define TAGS_MAX_BYTES (1024u * 1024u)

struct rewriter {
    int fd;
    uint64_t at; /* bytes written */
    struct frag_mkv_packer *packer;
    struct kn_tracks *tracks;
    struct frag_mkv_info info;
    struct frag_mkv_layout layout;
    bool header_written;

    struct frag_mkv_cue *cues;
    size_t cue_count, cue_room;
    int64_t first_ns, end_ns;

    /* The Tags element being read; names and values live in tag_bytes, by offset until it ends. */
    struct frag_mkv_tag *tags;
    size_t tag_count;
    struct kn_writer tag_bytes;
    struct kn_writer out;
    struct kn_writer early; /* Tags that came before the first cluster: they follow the header */
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

static int begin_file(struct rewriter *rewriter, struct kn_tracks *tracks) {
    if (rewriter->header_written) {
        /* Parameter sets that come later than the first fragment would need another header. */
        return kn_tracks_equal(rewriter->tracks, tracks) ? 0 : KN_E_UNSUPPORTED;
    }
    rewriter->tracks = kn_tracks_ref(tracks);
    rewriter->header_written = true;
    make_header(rewriter, 0, 0);
    int rc = write_out(rewriter);
    return rc == 0 ? write_from(rewriter, &rewriter->early) : rc;
}

static int add_cue(struct rewriter *rewriter, uint64_t timecode, uint64_t cluster_at,
                   size_t block_at, uint64_t track) {
    if (rewriter->cue_count == rewriter->cue_room) {
        size_t room = rewriter->cue_room == 0 ? 64 : rewriter->cue_room * 2;
        struct frag_mkv_cue *larger = realloc(rewriter->cues, room * sizeof(*larger));
        if (larger == NULL) {
            return -ENOMEM;
        }
        rewriter->cues = larger;
        rewriter->cue_room = room;
    }
    rewriter->cues[rewriter->cue_count++] = (struct frag_mkv_cue){
        .timecode = timecode,
        .track = track,
        .cluster_position = cluster_at - rewriter->layout.segment_data_at,
        .relative_position = block_at,
    };
    return 0;
}

/* The first key picture of a fragment, or SIZE_MAX. */
static size_t first_key(const struct frag_mkv_fragment *fragment) {
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        if ((sample->flags & KN_SAMPLE_KEY) != 0 &&
            fragment->tracks->items[sample->track].media == KN_MEDIA_VIDEO) {
            return i;
        }
    }
    return SIZE_MAX;
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
    size_t key = first_key(fragment);
    if (key != SIZE_MAX) {
        const struct kn_sample *sample = &fragment->samples[key];
        int64_t ticks = (fragment->time_ns + sample->pts_ns) / (int64_t)scale_ns;
        rc = add_cue(rewriter, ticks < 0 ? 0 : (uint64_t)ticks, rewriter->at, cluster.first_key_at,
                     fragment->tracks->items[sample->track].number);
    }
    rewriter->result.fragments++;
    return rc == 0
               ? write_slices(rewriter, (struct iovec *)(uintptr_t)cluster.iov, cluster.iov_count)
               : rc;
}

/* ---- tags ---- */

static int handle_tag(const struct frag_mkv_tag *tag, void *user) {
    struct rewriter *rewriter = user;
    if (rewriter->tag_count == TAGS_MAX) {
        return KN_E_LIMIT;
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
    struct kn_writer *writer = rewriter->header_written ? &rewriter->out : &rewriter->early;
    frag_mkv_write_tags(writer, rewriter->tags, rewriter->tag_count, form);
    rewriter->tag_count = 0;
    kn_writer_clear(&rewriter->tag_bytes);
    return rewriter->header_written ? write_out(rewriter) : kn_writer_status(writer);
}

static int handle_info(const struct frag_mkv_info *info, void *user) {
    struct rewriter *rewriter = user;
    rewriter->info = *info;
    return 0;
}

/* ---- the whole file ---- */

static int end_file(struct rewriter *rewriter) {
    uint64_t cues_at = rewriter->at;
    struct frag_mkv_seek seeks[3] = {
        {.id = FRAG_MKV_INFO, .position = rewriter->layout.info_at},
        {.id = FRAG_MKV_TRACKS, .position = rewriter->layout.tracks_at},
        {.id = FRAG_MKV_CUES, .position = cues_at},
    };
    for (size_t i = 0; i < KN_COUNT(seeks); i++) {
        seeks[i].position -= rewriter->layout.segment_data_at;
    }
    int rc = 0;
    if (rewriter->cue_count > 0) {
        frag_mkv_write_cues(&rewriter->out, rewriter->cues, rewriter->cue_count);
        rc = write_out(rewriter);
    }
    if (rc != 0) {
        return rc;
    }
    rewriter->result.bytes = rewriter->at;
    int64_t duration_ns = rewriter->end_ns - rewriter->first_ns;
    make_header(rewriter, duration_ns > 0 ? duration_ns : 0,
                rewriter->at - rewriter->layout.segment_data_at);
    if (lseek(rewriter->fd, 0, SEEK_SET) != 0) {
        return new_failed(rewriter);
    }
    rc = write_out(rewriter);
    if (rc != 0) {
        return rc;
    }
    rc = frag_mkv_write_seek_head(&rewriter->out, seeks, rewriter->cue_count > 0 ? 3 : 2,
                                  SEEK_HEAD_ROOM);
    if (rc != 0) {
        return rc;
    }
    if (lseek(rewriter->fd, (off_t)rewriter->layout.seek_head_at, SEEK_SET) < 0) {
        return new_failed(rewriter);
    }
    rc = write_out(rewriter);
    return rc == 0 && fsync(rewriter->fd) != 0 ? new_failed(rewriter) : rc;
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

/* A new file beside `to`, which nobody else has: its name goes to `part`. */
static int open_part(const char *to, char part[static PATH_MAX]) {
    for (int i = 1; i < 100; i++) {
        int length = snprintf(part, PATH_MAX, "%s.part%d", to, i);
        if (length < 0 || length >= PATH_MAX) {
            return -ENAMETOOLONG;
        }
        int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) {
            return fd >= 0 ? fd : -errno;
        }
    }
    return -EEXIST;
}

static int rewrite_into(int fd, const char *from, bool progress,
                        struct frag_rewrite_result *result) {
    struct rewriter rewriter = {
        .fd = fd, .info.timecode_scale_ns = FRAG_MKV_DEFAULT_SCALE_NS, .result = *result};
    kn_writer_init_growing(&rewriter.out, SIZE_MAX / 2);
    kn_writer_init_growing(&rewriter.early, TAGS_MAX_BYTES);
    kn_writer_init_growing(&rewriter.tag_bytes, TAGS_MAX_BYTES);
    rewriter.tags = calloc(TAGS_MAX, sizeof(*rewriter.tags));
    int rc = rewriter.tags == NULL ? -ENOMEM : frag_mkv_packer_create(&rewriter.packer);
    if (rc == 0) {
        rc = copy(&rewriter, from, progress);
    }
    frag_mkv_packer_destroy(rewriter.packer);
    kn_tracks_unref(rewriter.tracks);
    kn_writer_finish(&rewriter.out);
    kn_writer_finish(&rewriter.early);
    kn_writer_finish(&rewriter.tag_bytes);
    free(rewriter.tags);
    free(rewriter.cues);
    *result = rewriter.result;
    return rc;
}

/* Gives the complete file its name. */
static int name_it(const char *part, const char *to, bool replace) {
    unsigned flags = replace ? 0 : RENAME_NOREPLACE;
    if (renameat2(AT_FDCWD, part, AT_FDCWD, to, flags) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return -errno;
    }
    /* A file system that cannot refuse to replace: look first. */
    if (!replace && access(to, F_OK) == 0) {
        return -EEXIST;
    }
    return rename(part, to) == 0 ? 0 : -errno;
}

int frag_rewrite_file(const char *from, const char *to, bool replace, bool progress,
                      struct frag_rewrite_result *ret_result) {
    *ret_result = (struct frag_rewrite_result){.about_new = true};
    if (!replace && access(to, F_OK) == 0) {
        return -EEXIST;
    }
    char part[PATH_MAX];
    int fd = open_part(to, part);
    if (fd < 0) {
        return fd;
    }
    ret_result->about_new = false;
    int rc = rewrite_into(fd, from, progress, ret_result);
    if (close(fd) != 0 && rc == 0) {
        rc = -errno;
        ret_result->about_new = true;
    }
    if (rc == 0) {
        rc = name_it(part, to, replace);
        ret_result->about_new = rc != 0;
    }
    if (rc != 0) {
        (void)unlink(part); /* nothing more can be done about it */
    }
    return rc;
}
