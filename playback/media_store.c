/* What a worker does for a reader: finds where to begin, and makes documents of what is stored. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "playback/media_inner.h"

/* Damaged or gone meanwhile: passed over at once, then others have their turn. */
#define PASSED_OVER_MOST 64u
#define NOT_FOUND 4000
#define HEADER_MAX_BYTES ((size_t)64 * 1024 * 1024)
/* A number that no index has yet may be of what is being recorded or on its way to a disk. */
#define ON_THE_WAY_MOST 128u

bool play_media_is_deleted(const struct play_media *media) {
    const struct frag_stream *stream = media->config.stream;
    return frag_stream_find(frag_stream_store(stream), frag_stream_name(stream)) != stream;
}

int64_t play_media_behind(struct kn_wall head, struct kn_wall end) {
    return head.ns > end.ns ? head.ns - end.ns : 0;
}

bool play_media_is_before(const struct play_media_config *config, struct kn_wall producer,
                          struct kn_wall server, int64_t duration_ns) {
    struct kn_wall begin = config->clock == FRAG_CLOCK_PRODUCER ? producer : server;
    int64_t end_ns = 0;
    if (config->start != PLAY_MEDIA_AT || begin.ns >= config->time.ns) {
        return false;
    }
    return kn_i64_add(begin.ns, duration_ns, &end_ns) && end_ns <= config->time.ns;
}

static struct kn_wall end_of(const struct frag_entry *entry) {
    return (struct kn_wall){entry->server.ns + entry->duration_ns};
}

/* ---- a stored fragment as a document ---- */

static void release_loaded(void *user) {
    frag_loaded_free(user);
}

/* Of the entry's reel: kept from fragment to fragment. */
static int find_header(struct play_media_job *job, struct frag_archive *archive,
                       const struct frag_entry *entry) {
    if (job->has_header && job->header_reel == entry->reel) {
        return 0;
    }
    free(job->header);
    job->header = NULL;
    job->header_bytes = 0;
    job->has_header = false;
    int rc = frag_archive_load_header(archive, entry, &job->header, &job->header_bytes);
    if (rc == 0) {
        job->has_header = true;
        job->header_reel = entry->reel;
    }
    return rc;
}

/* Takes `loaded`. */
static int add_cluster(struct play_pieces *pieces, struct frag_loaded *loaded,
                       struct kn_writer *text) {
    struct kn_buffer *buffer = NULL;
    const uint8_t *data = loaded->cluster;
    size_t size = loaded->cluster_bytes;
    if (loaded->received_width > 0) {
        data += 12; /* as stored it has an 8-byte size */
        size -= 12;
        play_document_cluster(text, loaded->received_width, loaded->received_unknown, size);
    }
    int rc = kn_buffer_wrap(NULL, data, size, release_loaded, loaded, &buffer);
    if (rc < 0) {
        frag_loaded_free(loaded);
        return rc;
    }
    rc = play_pieces_add_text(pieces, text);
    if (rc < 0) {
        kn_buffer_unref(buffer);
        return rc;
    }
    play_pieces_add(pieces, buffer);
    return 0;
}

/* `after` of it, then the end. `loaded` is not there any more where its bytes are given away. */
static int add_end(struct play_media_job *job, const struct frag_entry *entry, const uint8_t *after,
                   size_t after_bytes, struct kn_writer *text) {
    kn_write_bytes(text, after, after_bytes);
    play_document_end(text, entry->number, play_media_behind(job->head, end_of(entry)));
    return play_pieces_add_text(&job->pieces, text);
}

/* Takes `loaded`. */
static int add_whole(struct play_media_job *job, struct frag_loaded *loaded,
                     struct kn_writer *text) {
    const struct frag_entry entry = loaded->entry;
    const struct play_document_about about = {entry.number, entry.producer, entry.server};
    struct kn_writer after;
    play_document_header(text, job->header, job->header_bytes, loaded->tracks,
                         loaded->timecode_scale_ns);
    play_document_begin(text, &about);
    kn_write_bytes(text, loaded->before, loaded->before_bytes);
    kn_writer_init_growing(&after, HEADER_MAX_BYTES);
    kn_write_bytes(&after, loaded->after, loaded->after_bytes);
    int rc = kn_writer_status(&after);
    if (rc < 0) {
        frag_loaded_free(loaded);
    } else {
        rc = add_cluster(&job->pieces, loaded, text);
    }
    rc = rc < 0 ? rc : add_end(job, &entry, after.data, after.size, text);
    kn_writer_finish(&after);
    return rc;
}

/* The document was begun with samples as they came: what is lacking of it. Takes `loaded`. */
static int add_rest(struct play_media *media, struct frag_loaded *loaded, struct kn_writer *text) {
    struct play_media_job *job = &media->job;
    const struct play_blocks blocks = {
        .tracks = loaded->tracks,
        .timecode_scale_ns = loaded->timecode_scale_ns,
        .producer = loaded->entry.producer,
        .samples = loaded->samples,
        .count = loaded->sample_count,
        .from = job->open_from,
    };
    int rc = 0;
    if (blocks.from < blocks.count) {
        rc = play_document_blocks(&job->pieces, media->packer, &blocks, true);
    }
    rc = rc < 0 ? rc : add_end(job, &loaded->entry, loaded->after, loaded->after_bytes, text);
    frag_loaded_free(loaded);
    return rc;
}

/* 0; -ENOENT and KN_E_MALFORMED: passed over; else as the store answers. */
static int add_entry(struct play_media *media, struct frag_archive *archive,
                     const struct frag_entry *entry) {
    struct play_media_job *job = &media->job;
    struct frag_loaded *loaded = NULL;
    struct kn_writer text;
    int rc = frag_archive_load(archive, entry, &loaded);
    if (rc < 0) {
        return rc;
    }
    kn_writer_init_growing(&text, HEADER_MAX_BYTES);
    if (job->open.sequence == entry->number.sequence) {
        rc = add_rest(media, loaded, &text);
    } else {
        rc = find_header(job, archive, &loaded->entry);
        if (rc < 0) {
            frag_loaded_free(loaded);
        } else {
            rc = add_whole(job, loaded, &text);
        }
    }
    kn_writer_finish(&text);
    if (rc < 0) {
        play_pieces_clear(&job->pieces);
    }
    return rc;
}

/* ---- the next one ---- */

static bool is_passed_over(int rc) {
    return rc == -ENOENT || rc == KN_E_MALFORMED;
}

static void tell_damage(const struct play_media *media, const struct frag_entry *entry, int rc) {
    char text[FRAG_NUMBER_TEXT_BYTES];
    if (rc == KN_E_MALFORMED) {
        kn_log_warn("a damaged fragment is left out of what is read",
                    kn_str("stream", frag_stream_name(media->config.stream)),
                    kn_str("number", frag_number_format(entry->number, text)));
    }
}

/* 1: an entry; 0: there are no more. */
static int next_entry(struct play_media *media, struct frag_archive *archive,
                      const struct frag_entry **ret_entry) {
    struct play_media_job *job = &media->job;
    if (job->entry_at == job->entry_count) {
        int rc = frag_archive_range(archive, media->config.stream, FRAG_CLOCK_SERVER,
                                    (struct kn_wall){INT64_MIN}, (struct kn_wall){INT64_MAX},
                                    job->after, job->entries, KN_COUNT(job->entries));
        job->entry_at = 0;
        job->entry_count = rc > 0 ? (size_t)rc : 0;
        if (rc <= 0) {
            return rc == -ENOENT ? 0 : rc;
        }
    }
    *ret_entry = &job->entries[job->entry_at++];
    return 1;
}

/* Where the stream ends now; as before where that cannot be told. */
static void look_for_head(struct play_media *media, struct frag_archive *archive) {
    struct frag_entry latest;
    if (frag_archive_latest(archive, media->config.stream, &latest) == 0 &&
        end_of(&latest).ns > media->job.head.ns) {
        media->job.head = end_of(&latest);
    }
}

/* 1: given, or passed over. */
static int try_entry(struct play_media *media, struct frag_archive *archive,
                     const struct frag_entry *entry) {
    struct play_media_job *job = &media->job;
    bool filtered = job->filters && play_media_is_before(&media->config, entry->producer,
                                                         entry->server, entry->duration_ns);
    int rc = filtered ? -ENOENT : add_entry(media, archive, entry);
    tell_damage(media, entry, rc);
    if (rc < 0 && !is_passed_over(rc)) {
        return rc;
    }
    bool continued = job->open.sequence == entry->number.sequence;
    job->found = rc < 0 ? PLAY_MEDIA_PASSED : continued ? PLAY_MEDIA_CONTINUED : PLAY_MEDIA_GIVEN;
    job->after = entry->number.sequence;
    job->ordinal = entry->ordinal;
    return 1;
}

void play_media_store_next(struct play_media *media, struct frag_archive *archive) {
    struct play_media_job *job = &media->job;
    const struct frag_entry *entry = NULL;
    int rc = 1;
    look_for_head(media, archive);
    job->found = PLAY_MEDIA_PASSED;
    for (size_t i = 0; i < PASSED_OVER_MOST && rc > 0 && job->found == PLAY_MEDIA_PASSED; i++) {
        rc = next_entry(media, archive, &entry);
        if (rc == 0) {
            job->found = PLAY_MEDIA_NONE;
        } else if (rc > 0) {
            rc = try_entry(media, archive, entry);
        }
    }
    job->rc = rc < 0 ? rc : 0;
}

/* ---- where to begin ---- */

/* Documents begin behind `sequence`. */
static int begin_behind(struct play_media *media, uint64_t sequence) {
    media->job.after = sequence;
    return 0;
}

static int seek_number(struct play_media *media, struct frag_archive *archive) {
    uint64_t sequence = media->config.after.sequence;
    struct frag_stream *stream = media->config.stream;
    struct frag_entry found;
    int rc = frag_archive_find_number(archive, stream, sequence, &found);
    if (rc == 0) {
        bool same = frag_number_compare(found.number, media->config.after) == 0;
        return same ? begin_behind(media, sequence) : NOT_FOUND;
    }
    rc = rc == -ENOENT ? frag_archive_earliest(archive, stream, &found) : rc;
    if (rc < 0) {
        return rc == -ENOENT ? begin_behind(media, sequence) : rc; /* nothing is stored */
    }
    if (sequence < found.number.sequence) {
        return NOT_FOUND; /* retention took it */
    }
    rc = frag_archive_latest(archive, stream, &found);
    if (rc < 0) {
        return rc;
    }
    bool is_near = sequence <= found.number.sequence + ON_THE_WAY_MOST;
    return is_near ? begin_behind(media, sequence) : NOT_FOUND;
}

/* Of those that begin behind the time the one with the lowest number; else what is yet to come. */
static int seek_gap(struct play_media *media, struct frag_archive *archive) {
    const struct play_media_config *config = &media->config;
    struct frag_entry found;
    int rc = frag_archive_range(archive, config->stream, config->clock, config->time,
                                (struct kn_wall){INT64_MAX}, 0, &found, 1);
    if (rc > 0) {
        return begin_behind(media, found.number.sequence - 1);
    }
    rc = rc == 0 ? frag_archive_latest(archive, config->stream, &found) : rc;
    return rc == 0 ? begin_behind(media, found.number.sequence) : rc;
}

static int seek_time(struct play_media *media, struct frag_archive *archive) {
    const struct play_media_config *config = &media->config;
    struct frag_entry found;
    int rc = frag_archive_find_time(archive, config->stream, config->clock, config->time, &found);
    if (rc == 0 && !play_media_is_before(config, found.producer, found.server, found.duration_ns)) {
        return begin_behind(media, found.number.sequence - 1);
    }
    return rc == 0 || rc == -ENOENT ? seek_gap(media, archive) : rc;
}

void play_media_store_seek(struct play_media *media, struct frag_archive *archive) {
    int rc = 0;
    switch (media->config.start) {
    case PLAY_MEDIA_AFTER:
        rc = seek_number(media, archive);
        break;
    case PLAY_MEDIA_AT:
        rc = seek_time(media, archive);
        break;
    case PLAY_MEDIA_NOW:
    case PLAY_MEDIA_EARLIEST:
    case PLAY_MEDIA_LIST:
        break;
    }
    media->job.rc = rc == -ENOENT ? 0 : rc; /* nothing stored: what comes */
}

/* ---- a list ---- */

static int add_listed(struct play_media *media, struct frag_archive *archive,
                      struct frag_number number) {
    struct frag_entry found;
    int rc = frag_archive_find_number(archive, media->config.stream, number.sequence, &found);
    if (rc == 0 && frag_number_compare(found.number, number) != 0) {
        rc = -ENOENT;
    }
    return rc == 0 ? add_entry(media, archive, &found) : rc;
}

/* Always gives something: what is not there is told. */
void play_media_store_listed(struct play_media *media, struct frag_archive *archive) {
    struct play_media_job *job = &media->job;
    struct frag_number number = media->numbers[job->list_at];
    struct kn_writer text;
    look_for_head(media, archive);
    int rc = add_listed(media, archive, number);
    if (rc < 0 && rc != -ENOMEM) {
        kn_writer_init_growing(&text, HEADER_MAX_BYTES);
        play_document_error(&text, &number, rc == -ENOENT ? NOT_FOUND : 5000,
                            rc == -ENOENT ? "fragment not found" : "fragment cannot be read", true);
        rc = play_pieces_add_text(&job->pieces, &text);
        kn_writer_finish(&text);
    }
    job->list_at++;
    job->found = PLAY_MEDIA_GIVEN;
    job->rc = rc;
}
