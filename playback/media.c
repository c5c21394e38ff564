/* The reader of one stream: from phase to phase, on its loop. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "playback/media_inner.h"

#define INTERNAL_ERROR 5000
#define ERROR_MAX_BYTES 4096u

/* ---- its life ---- */

static enum play_media_phase first_phase(enum play_media_start start) {
    switch (start) {
    case PLAY_MEDIA_NOW:
        return PLAY_MEDIA_JOIN;
    case PLAY_MEDIA_LIST:
        return PLAY_MEDIA_NUMBERS;
    case PLAY_MEDIA_EARLIEST:
    case PLAY_MEDIA_AFTER:
    case PLAY_MEDIA_AT:
        break;
    }
    return PLAY_MEDIA_SEEK;
}

static int look_at_stream(struct play_media *media) {
    struct frag_stream_info *info = malloc(sizeof(*info));
    if (info == NULL) {
        return -ENOMEM;
    }
    int rc = frag_stream_describe(media->config.stream, info);
    media->stored = rc == 0 && info->settings.retention_ns > 0;
    free(info);
    return rc == -ENOENT ? 0 : rc; /* deleted: that shows soon */
}

static int copy_numbers(struct play_media *media) {
    const struct play_media_config *config = &media->config;
    if (config->number_count == 0) {
        return 0;
    }
    media->numbers = calloc(config->number_count, sizeof(*media->numbers));
    if (media->numbers == NULL) {
        return -ENOMEM;
    }
    memcpy(media->numbers, config->numbers, config->number_count * sizeof(*media->numbers));
    return 0;
}

int play_media_create(const struct play_media_config *config, struct play_media **ret_media) {
    struct play_media *media = calloc(1, sizeof(*media));
    if (media == NULL) {
        return -ENOMEM;
    }
    media->refs = 1;
    media->config = *config;
    media->phase = first_phase(config->start);
    int rc = copy_numbers(media);
    rc = rc < 0 ? rc : look_at_stream(media);
    rc = rc < 0 ? rc : frag_mkv_packer_create(&media->packer);
    if (rc < 0) {
        play_media_unref(media);
        return rc;
    }
    *ret_media = media;
    return 0;
}

void play_media_unref(struct play_media *media) {
    if (--media->refs > 0) {
        return;
    }
    play_pieces_clear(&media->pieces);
    play_pieces_clear(&media->job.pieces);
    free(media->job.header);
    frag_mkv_packer_destroy(media->packer);
    free(media->numbers);
    free(media);
}

void play_media_destroy(struct play_media *media) {
    if (media != NULL) {
        play_media_live_leave(media);
        play_media_unref(media);
    }
}

uint64_t play_media_fragments(const struct play_media *media) {
    return media->fragments;
}

/* ---- work ---- */

void play_media_work(struct play_media *media, struct frag_archive *archive) {
    struct play_media_job *job = &media->job;
    if (archive == NULL) {
        job->rc = -EIO;
    } else if (media->phase == PLAY_MEDIA_SEEK) {
        play_media_store_seek(media, archive);
    } else if (media->phase == PLAY_MEDIA_NUMBERS) {
        play_media_store_listed(media, archive);
    } else {
        play_media_store_next(media, archive);
    }
    job->done = true;
}

static int ask_worker(struct play_media *media) {
    struct play_media_job *job = &media->job;
    job->after = media->after;
    job->filters = !media->begun;
    job->head = media->head;
    job->open = media->open;
    job->open_from = media->open_from;
    return PLAY_MEDIA_WORK;
}

static void move_pieces(struct play_media *media) {
    struct play_pieces *from = &media->job.pieces;
    while (from->first < from->count) {
        play_pieces_add(&media->pieces, from->items[from->first++]);
    }
    play_pieces_clear(from);
}

static int tell_error(struct play_media *media, int id, const char *message) {
    const struct play_media_config *config = &media->config;
    struct kn_writer text;
    kn_writer_init_growing(&text, ERROR_MAX_BYTES);
    play_document_error(&text, config->start == PLAY_MEDIA_AFTER ? &config->after : NULL, id,
                        message, false);
    int rc = play_pieces_add_text(&media->pieces, &text);
    kn_writer_finish(&text);
    media->phase = PLAY_MEDIA_OVER;
    return rc;
}

static int heed_error(struct play_media *media, int rc) {
    if (rc == -ENOMEM) {
        return rc;
    }
    return rc > 0 ? tell_error(media, rc, "FRAGMENT_NOT_FOUND")
                  : tell_error(media, INTERNAL_ERROR, "INTERNAL_ERROR");
}

/* No more is stored: what is there from here on comes from the tail. */
static void reach_end_of_store(struct play_media *media) {
    if (play_media_is_deleted(media)) {
        media->phase = PLAY_MEDIA_OVER;
    } else if (media->phase == PLAY_MEDIA_STORE) {
        media->phase = PLAY_MEDIA_JOIN;
    } else {
        media->phase = PLAY_MEDIA_LIVE;
        media->restarted = media->restarted && !media->stored;
    }
}

static int heed_store(struct play_media *media) {
    struct play_media_job *job = &media->job;
    media->after = job->after;
    switch (job->found) {
    case PLAY_MEDIA_NONE:
        reach_end_of_store(media);
        break;
    case PLAY_MEDIA_PASSED:
        break;
    case PLAY_MEDIA_GIVEN:
    case PLAY_MEDIA_CONTINUED:
        media->fragments += job->found == PLAY_MEDIA_GIVEN ? 1 : 0;
        media->begun = true;
        media->ordinal = job->ordinal;
        media->open = (struct frag_number){0};
        move_pieces(media);
        break;
    }
    return 0;
}

static int heed_work(struct play_media *media) {
    struct play_media_job *job = &media->job;
    job->done = false;
    media->head = job->head.ns > media->head.ns ? job->head : media->head;
    if (job->rc != 0) {
        return heed_error(media, job->rc);
    }
    if (media->phase == PLAY_MEDIA_SEEK) {
        media->after = job->after;
        media->phase = PLAY_MEDIA_STORE;
        return 0;
    }
    if (media->phase == PLAY_MEDIA_NUMBERS) {
        media->fragments++;
        move_pieces(media);
        return 0;
    }
    return heed_store(media);
}

/* ---- the next bytes ---- */

static int join(struct play_media *media) {
    int rc = look_at_stream(media);
    rc = rc < 0 ? rc : play_media_live_join(media);
    if (rc == 0) {
        bool from_now = media->config.start == PLAY_MEDIA_NOW && !media->begun;
        media->phase = from_now ? PLAY_MEDIA_LIVE : PLAY_MEDIA_CATCH_UP;
    }
    return rc;
}

/* 0: look again; else what play_media_next answers. */
static int step(struct play_media *media) {
    int rc = 0;
    switch (media->phase) {
    case PLAY_MEDIA_NUMBERS:
        if (!media->job.done && media->job.list_at == media->config.number_count) {
            return PLAY_MEDIA_END;
        }
        return media->job.done ? heed_work(media) : ask_worker(media);
    case PLAY_MEDIA_SEEK:
    case PLAY_MEDIA_STORE:
    case PLAY_MEDIA_CATCH_UP:
        return media->job.done ? heed_work(media) : ask_worker(media);
    case PLAY_MEDIA_JOIN:
        return join(media);
    case PLAY_MEDIA_LIVE:
        rc = play_media_live_step(media);
        return rc > 0 ? 0 : rc < 0 ? rc : PLAY_MEDIA_WAIT;
    case PLAY_MEDIA_OVER:
        break;
    }
    return PLAY_MEDIA_END;
}

int play_media_next(struct play_media *media, struct kn_buffer **ret_bytes) {
    struct play_pieces *pieces = &media->pieces;
    while (pieces->first == pieces->count) {
        int rc = step(media);
        if (rc != 0) {
            return rc;
        }
    }
    *ret_bytes = pieces->items[pieces->first++];
    return PLAY_MEDIA_BYTES;
}
